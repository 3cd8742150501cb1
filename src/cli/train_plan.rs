//! `restpg-edge train --dry-run`: what would be learned from, what would not and why, and what it
//! would take on this machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use serde_json::json;

use super::output::{megabytes, visible};
use super::trainer::require_impartial;
use super::{Context, lora, train};
use crate::catalogue::{ModelStore, Rates, Use};
use crate::config::Config;
use crate::error::{Error, Exit};
use crate::gguf::{self, ModelFile};
use crate::llama::{self, CacheType, MemoryEstimate, Model, Room, Runtime};
use crate::lora::{
    Adapter, Answer, Design, Example, FitMemory, LoraError, Network, Normalizer, Packed, Pass,
    WeightType,
};
use crate::profile::ProfileStore;
use crate::selftrain::{
    Origin, Pair, Pairs, WhyDropped, adapter_config, batch_size, drafts_of_each,
};
use crate::tune::measure;

/// Instructions and tags around passages and request.
const LAYOUT_TOKENS: usize = 300;
/// Rows of the pass that is timed: a short one takes a second or two.
const TIMED_ROWS: usize = 512;
const REQUEST_TOKENS: usize = 40;

/// What a stage would take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Stage {
    name: &'static str,
    seconds: f64,
    memory_bytes: u64,
}

pub(super) fn plan(context: &Context, store: &ProfileStore) -> Result<Option<Exit>, Error> {
    let train::Material { pairs, secrets, .. } = train::Material::of(store, &context.config.train)?;
    let held_out = pairs.pairs.iter().filter(|pair| pair.held_out).count();
    let learned = pairs.pairs.len() - held_out;
    let enough = train::require_enough(store, learned, held_out, &context.config.train);
    let stages = match enough {
        Ok(()) => stages(context, &pairs),
        Err(_) => Ok(Vec::new()),
    };
    // What serves is shown, whatever stands in the way.
    let (stages, measured) = match stages {
        Ok(stages) => (stages, Ok(())),
        Err(error) => (Vec::new(), Err(error)),
    };
    if context.output.json {
        context.output.object(&json!({
            "user": store.user().as_str(),
            "pairs": pairs.pairs,
            "dropped": pairs.dropped,
            "secrets_hidden": secrets,
            "stages": stages,
        }))?;
    } else {
        show(context, store, &pairs, secrets, &stages)?;
    }
    enough?;
    measured?;
    Ok(None)
}

fn show(
    context: &Context,
    store: &ProfileStore,
    pairs: &Pairs,
    secrets: usize,
    stages: &[Stage],
) -> Result<(), Error> {
    let output = &context.output;
    for pair in &pairs.pairs {
        let purpose = if pair.held_out { "held out" } else { "learned" };
        let request = pair.request.as_deref().unwrap_or("(no title: the model says what for)");
        let request = request.lines().next().unwrap_or_default();
        let date = pair.date.as_deref().unwrap_or("undated");
        output.line(&format!(
            "{purpose:<8}  {date:<10}  {:<8}  {}",
            pair.task,
            visible(request)
        ))?;
    }
    let mut why: BTreeMap<WhyDropped, Vec<String>> = BTreeMap::new();
    for dropped in &pairs.dropped {
        let (Origin::Document(id) | Origin::Draft(id)) = &dropped.origin;
        let title = store.document(id).ok().and_then(|it| it.title).unwrap_or_else(|| id.clone());
        why.entry(dropped.why).or_default().push(title);
    }
    for (why, titles) in &why {
        output.line(&format!("dropped, {}: {}", why.in_words(), titles.len()))?;
        for title in titles {
            output.line(&format!("          {}", visible(title)))?;
        }
    }
    let held_out = pairs.pairs.iter().filter(|pair| pair.held_out).count();
    let learned = pairs.pairs.len() - held_out;
    output.line(&format!("{learned} to learn from, {held_out} held out"))?;
    if secrets > 0 {
        output.line(&format!("{secrets} secrets (keys, cards, passwords) are hidden"))?;
    }
    for Stage { name, seconds, memory_bytes } in stages {
        let minutes = seconds / 60.0;
        output.line(&format!("{name:<28}{minutes:>8.1} min {:>12}", megabytes(*memory_bytes)))?;
    }
    if !stages.is_empty() {
        let minutes = stages.iter().map(|stage| stage.seconds).sum::<f64>() / 60.0;
        output.line(&format!("{:<28}{minutes:>8.1} min, about", "all"))?;
    }
    Ok(())
}

/// Tokens of what is read and written, on average.
struct Sizes {
    prompt: usize,
    output: usize,
    notes: usize,
}

impl Sizes {
    fn of(config: &Config, model: &Model, pairs: &Pairs) -> Self {
        let passages = (config.retrieve.k * config.ingest.chunk_tokens * 4 / 3) as usize;
        let count = pairs.pairs.len().max(1);
        let tokens = |text: &str| model.tokenize(text).len();
        let request = |pair: &Pair| pair.request.as_deref().map_or(REQUEST_TOKENS, tokens);
        let requests: usize = pairs.pairs.iter().map(request).sum();
        let outputs: usize = pairs.pairs.iter().map(|pair| tokens(&pair.output)).sum();
        Self {
            prompt: passages + LAYOUT_TOKENS + requests / count,
            output: outputs / count,
            notes: if config.generate.reasoning {
                config.generate.reasoning_tokens as usize
            } else {
                0
            },
        }
    }
}

/// What each stage would take, by rates that are measured now.
fn stages(context: &Context, pairs: &Pairs) -> Result<Vec<Stage>, Error> {
    let config = &context.config;
    let bar = context.output.count_bar("measuring this machine");
    let models = ModelStore::new(&context.paths.models);
    require_impartial(&models, config, &config.train.gate_judge)?;
    let (_, base) = models.resolve(&config.model.name)?;
    let sampled = models.resolve_for(&config.model.name, Use::Sample, llama::VERSION)?;
    let threads = llama::threads(config.model.threads);
    let machine = Machine { config, runtime: Runtime::start()?, threads };
    let model = Model::load(machine.runtime.clone(), &sampled.file)?;
    let sizes = Sizes::of(config, &model, pairs);
    let rates = measure(&model, threads, config.model.batch_tokens)?;
    drop(model);
    let other = |name: &str| -> Result<Option<Other>, Error> {
        if name.is_empty() {
            return Ok(None);
        }
        machine.other(&models.resolve(name)?.1, &sizes).map(Some)
    };
    let notes = match sizes.notes {
        0 => None,
        _ => other(&config.train.reasoning_model)?,
    };
    let judge = other(&config.train.gate_judge)?;
    let grades_count = config.reward.judge_weight > 0.0;
    let grader = match config.judge.model.as_str() {
        _ if !grades_count => None,
        "" => Some(Other { rates, memory_bytes: machine.memory_bytes(&base, &sizes, 1)? }),
        name => other(name)?,
    };
    let sampling = machine.memory_bytes(&base, &sizes, config.train.samples)?;
    let trial = machine.memory_bytes(&base, &sizes, drafts_of_each(config))?;
    let (rows_per_second, fitting) = fitting(context, &machine, &base, &sizes)?;
    bar.finish_and_clear();
    let notes = notes.unwrap_or(Other { rates, memory_bytes: sampling });
    let costs = Costs { config, pairs, sizes, rates, notes, grader, judge, rows_per_second };
    Ok(costs.stages(Memory { sampling, trial, fitting }))
}

/// What models are measured with.
struct Machine<'a> {
    config: &'a Config,
    runtime: Runtime,
    threads: u32,
}

impl Machine<'_> {
    /// A model that writes or reads one text at a time.
    fn other(&self, file: &Path, sizes: &Sizes) -> Result<Other, Error> {
        let model = Model::load(self.runtime.clone(), file)?;
        let rates = measure(&model, self.threads, self.config.model.batch_tokens)?;
        Ok(Other { rates, memory_bytes: self.memory_bytes(file, sizes, 1)? })
    }

    /// What the model in `file` takes where so many drafts of each prompt are written.
    fn memory_bytes(&self, file: &Path, sizes: &Sizes, drafts: u32) -> Result<u64, Error> {
        let room = room(self.config, sizes, drafts.max(1));
        let file = ModelFile::open(file)?;
        let checked = gguf::check(&file)?;
        Ok(MemoryEstimate::of(&checked, &room, room.sequences, self.threads).total_bytes())
    }
}

/// Room for what is written at once where each prompt has so many drafts.
fn room(config: &Config, sizes: &Sizes, drafts: u32) -> Room {
    let slots = config.sample.drafts_at_once;
    let at_once = slots.min(batch_size(slots, drafts) as u32 * drafts);
    // Those that are written belong to so many prompts, and one more is being read.
    let prompts = at_once.div_ceil(drafts) + 1;
    let tokens = prompts as usize * sizes.prompt + at_once as usize * (sizes.notes + sizes.output);
    Room {
        tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
        sequences: at_once + 1,
        batch_tokens: config.model.batch_tokens,
        cache: CacheType::named(&config.model.cache_type).unwrap_or_default(),
    }
}

/// Rows that go through the trainer in a second, and the memory that it takes.
fn fitting(
    context: &Context,
    machine: &Machine<'_>,
    base: &Path,
    sizes: &Sizes,
) -> Result<(f64, u64), Error> {
    let train = &machine.config.train;
    let file = ModelFile::open(base)?;
    let checked = gguf::check(&file)?;
    let backend = lora::backend(None, machine.threads, &machine.runtime)?;
    let weights = WeightType::for_backend(&backend);
    let design = Design::read(&checked)?;
    let form = Adapter::zero(adapter_config(train), &design);
    let learned_at_once = train.kept_max as usize + 1;
    let rows = (sizes.prompt + learned_at_once * (sizes.notes + sizes.output)).max(2048);
    let memory =
        FitMemory::of(&checked, &design, backend.is_cpu(), weights, form.values.len(), rows);
    let available_bytes = lora::available_bytes(context, &backend);
    if memory.least_bytes() > available_bytes {
        // By what texts take on average: training itself sees the longest.
        let needed_bytes = memory.least_bytes();
        return Err(LoraError::Memory { needed_bytes, available_bytes, rows }.into());
    }
    let network = Network::new(&backend, &file, &checked, weights, &form)?;
    Ok((rows_per_second(&network, &form)?, memory.most_bytes().min(available_bytes)))
}

/// Rows that go through the trainer in a second, forward and back.
fn rows_per_second(network: &Network<'_>, form: &Adapter) -> Result<f64, Error> {
    let half = TIMED_ROWS as u32 / 2;
    // What the tokens say does not matter.
    let tokens: Vec<u32> = (0..half).map(|index| index % 200 + 4).collect();
    let answer = Answer { tokens: tokens.clone(), weight: 1.0, token_weights: None };
    let example = [Example { prompt: tokens, answers: vec![answer] }];
    let packed = Packed::new(&example, Normalizer::Token, Normalizer::Token.total(&example));
    network.set_adapter(form)?;
    let mut gradients = vec![0.0; form.values.len()];
    // The first pass makes what the others keep.
    network.loss_and_gradients(&packed, Pass::plain(), &mut gradients)?;
    let started = Instant::now();
    network.loss_and_gradients(&packed, Pass::plain(), &mut gradients)?;
    Ok(packed.rows() as f64 / started.elapsed().as_secs_f64())
}

/// A model beside the one that is trained.
#[derive(Debug, Clone, Copy)]
struct Other {
    rates: Rates,
    memory_bytes: u64,
}

/// What stages take, in bytes.
struct Memory {
    sampling: u64,
    trial: u64,
    fitting: u64,
}

struct Costs<'a> {
    config: &'a Config,
    pairs: &'a Pairs,
    sizes: Sizes,
    rates: Rates,
    /// What writes the notes that are learned.
    notes: Other,
    /// What grades the drafts that are sampled, beside the model that writes them.
    grader: Option<Other>,
    /// What grades at the gate.
    judge: Option<Other>,
    rows_per_second: f64,
}

impl Costs<'_> {
    fn stages(&self, memory: Memory) -> Vec<Stage> {
        let Memory { sampling, trial, fitting } = memory;
        let rounds = f64::from(self.config.train.rounds);
        // Both ways are fitted to the texts, with notes and without.
        let ways = if self.sizes.notes > 0 { 2.0 } else { 1.0 };
        let at_once = self.config.train.kept_max as usize + 1;
        let stage = |name, seconds, memory_bytes| Stage { name, seconds, memory_bytes };
        let mut stages = vec![
            stage("requests for what has no title", self.requests_seconds(), sampling),
            stage("notes", self.notes_seconds(), self.notes.memory_bytes),
            stage("fitting to the texts", ways * self.fitting_seconds(1), fitting),
            stage("sampling", rounds * self.sampling_seconds(), sampling),
            stage("fitting to drafts", rounds * self.fitting_seconds(at_once), fitting),
            stage("the gate", self.tried() * self.trial_seconds(), trial),
        ];
        if let Some(grader) = self.grader {
            let drafts = self.learned() * self.config.train.samples as usize;
            let seconds = rounds * self.judging_seconds(drafts, grader.rates);
            stages.push(stage("grading what is sampled", seconds, sampling + grader.memory_bytes));
        }
        if let Some(judge) = self.judge {
            let drafts = self.held_out() * drafts_of_each(self.config) as usize;
            let seconds = self.tried() * self.judging_seconds(drafts, judge.rates);
            stages.push(stage("the judge", seconds, judge.memory_bytes));
        }
        stages.retain(|stage| stage.seconds > 0.0);
        stages
    }

    fn held_out(&self) -> usize {
        self.pairs.pairs.iter().filter(|pair| pair.held_out).count()
    }

    fn learned(&self) -> usize {
        self.pairs.pairs.len() - self.held_out()
    }

    /// Systems at the gate: beside those of the rounds the model, what is fitted to the texts, and perhaps
    /// one in use.
    fn tried(&self) -> f64 {
        f64::from(self.config.train.rounds + 3)
    }

    /// Seconds to write the requests that are lacking.
    fn requests_seconds(&self) -> f64 {
        let untitled = self.pairs.pairs.iter().filter(|it| it.request.is_none()).count();
        let Rates { prefill, decode, .. } = self.rates;
        untitled as f64 * (self.sizes.output as f64 / prefill + REQUEST_TOKENS as f64 / decode)
    }

    /// Seconds to write the notes that are learned.
    fn notes_seconds(&self) -> f64 {
        let Sizes { prompt, output, notes } = self.sizes;
        if notes == 0 {
            return 0.0;
        }
        let Rates { prefill, decode, .. } = self.notes.rates;
        self.learned() as f64 * ((prompt + output) as f64 / prefill + notes as f64 / decode)
    }

    /// Seconds to fit, with so many texts of each request.
    fn fitting_seconds(&self, texts: usize) -> f64 {
        let Sizes { prompt, output, notes } = self.sizes;
        let rows = self.learned() * (prompt + texts * (notes + output));
        f64::from(self.config.train.epochs) * rows as f64 / self.rows_per_second
    }

    /// Seconds to write the drafts of a round.
    fn sampling_seconds(&self) -> f64 {
        self.learned() as f64 * self.drafts_seconds(self.config.train.samples)
    }

    /// Seconds to write what one system at the gate is tried by.
    fn trial_seconds(&self) -> f64 {
        self.held_out() as f64 * self.drafts_seconds(drafts_of_each(self.config))
    }

    /// Seconds to write so many drafts of a request.
    fn drafts_seconds(&self, count: u32) -> f64 {
        let Sizes { prompt, output, notes } = self.sizes;
        let written = count as usize * (notes + output);
        prompt as f64 / self.rates.prefill + written as f64 / self.rates.sample
    }

    /// Seconds to grade so many: the text and a draft of it are read for each grade.
    fn judging_seconds(&self, drafts: usize, rates: Rates) -> f64 {
        (drafts * (2 * self.sizes.output + LAYOUT_TOKENS)) as f64 / rates.prefill
    }
}
