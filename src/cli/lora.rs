//! `restpg-edge lora`: fitting an adapter to examples in a file, on its own.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use indicatif::ProgressBar;
use serde_json::json;

use super::Context;
use super::interrupt::{self, INTERRUPT};
use super::lora_arguments::{ConvertArguments, FitArguments, LoraCommand};
use super::output::megabytes;
use crate::catalogue::{Manifest, ModelStore};
use crate::error::{Error, Exit};
use crate::ggml::Backend;
use crate::gguf::{self, CheckedModel, ModelFile};
use crate::llama::{self, Model, Runtime, devices};
use crate::lora::{
    self, Adapter, Checkpoint, Data, Design, Event, Example, Exported, FitConfig, FitMemory,
    LoraError, Network, Origin, Packed, Pauses, WeightType,
};

const CHECKPOINT: &str = "checkpoint.safetensors";
const ADAPTER: &str = "adapter.gguf";
const CURVE: &str = "curve.svg";
/// Of the memory that is available, what training leaves.
const SPARE_SHARE: f64 = 0.1;

pub(super) fn run(context: &Context, command: LoraCommand) -> Result<Option<Exit>, Error> {
    match command {
        LoraCommand::Fit(arguments) => fit(context, &arguments),
        LoraCommand::Convert(arguments) => convert(context, &arguments),
    }
}

/// A model's file, as the trainer sees it.
pub(super) struct Base {
    pub(super) manifest: Manifest,
    path: PathBuf,
    pub(super) file: ModelFile,
}

impl Base {
    pub(super) fn open(context: &Context, name: Option<&str>) -> Result<Self, Error> {
        let store = ModelStore::new(&context.paths.models);
        let (manifest, path) = store.resolve(name.unwrap_or(&context.config.model.name))?;
        let file = ModelFile::open(&path)?;
        Ok(Self { manifest, path, file })
    }
}

fn fit(context: &Context, arguments: &FitArguments) -> Result<Option<Exit>, Error> {
    interrupt::install();
    check_output(arguments)?;
    let base = Base::open(context, arguments.model.as_deref())?;
    let checked = gguf::check(&base.file)?;
    let design = Design::read(&checked)?;
    let (examples, held_out) = read(context, arguments, &base.path)?;
    let threads = llama::threads(context.config.model.threads);
    let backend = backend(arguments.device.as_deref(), threads, &Runtime::start()?)?;
    let kind = arguments.weights.unwrap_or_else(|| WeightType::for_backend(&backend));
    let origin = Origin {
        config: config(arguments, examples.len(), kind),
        model_sha256: base.manifest.sha256.clone(),
        examples_sha256: lora::examples_sha256(&examples),
    };
    let path = arguments.output.join(CHECKPOINT);
    let earlier = earlier_run(&path, &origin, &design)?;

    let form = Adapter::zero(origin.config.adapter.clone(), &design);
    let values = form.values.len();
    let rows = longest_pass(examples.iter().chain(&held_out), origin.config.pass_rows);
    let memory = FitMemory::of(&checked, &design, backend.is_cpu(), kind, values, rows);
    let available = available_bytes(context, &backend);
    if memory.least_bytes() > available {
        let needed_bytes = memory.least_bytes();
        return Err(LoraError::Memory { needed_bytes, available_bytes: available, rows }.into());
    }
    crate::paths::create_private_folder(&arguments.output)
        .map_err(|source| LoraError::Write { path: arguments.output.clone(), source })?;

    let network = Network::new(&backend, &base.file, &checked, kind, &form)?;
    drop(form);
    network.set_activation_bytes_max(memory.activation_bytes_max(available));
    let mut run = earlier.unwrap_or_else(|| lora::begin(origin, &network));
    tell_beginning(
        context,
        &run,
        &memory,
        available,
        examples.len(),
        held_out.len(),
        arguments.resume,
    );
    let mut story = Story::new(context, &run);
    let ended = lora::fit(
        &network,
        &mut run,
        Data { examples: &examples, held_out: &held_out },
        Pauses {
            checkpoint_steps: arguments.checkpoint_every,
            held_out_steps: arguments.measure_every,
            patience: arguments.patience,
        },
        &mut |run| run.write(&path),
        &|| INTERRUPT.load(Ordering::Relaxed),
        &mut |event| story.hear(event),
    );
    story.bar.finish_and_clear();
    draw(context, &run, &arguments.output.join(CURVE));
    match ended {
        Err(LoraError::Stopped) => {
            context.output.note(&format!(
                "stopped after step {} of {}; go on with --resume",
                run.step, run.origin.config.steps
            ));
            Ok(Some(Exit::Interrupted))
        }
        Err(error) => Err(error.into()),
        Ok(()) => finish(context, arguments, &checked, run, &story),
    }
}

/// The losses as a picture; a run is not worth less without it.
fn draw(context: &Context, run: &Checkpoint, path: &Path) {
    let svg = lora::svg(&run.batches, &run.held_out);
    if let Err(error) = crate::paths::replace(path, svg.as_bytes()) {
        context.output.note(&format!("{} was not drawn: {error}", path.display()));
    }
}

/// Writes the adapter and says what the run came to.
fn finish(
    context: &Context,
    arguments: &FitArguments,
    checked: &CheckedModel<'_>,
    run: Checkpoint,
    story: &Story,
) -> Result<Option<Exit>, Error> {
    let adapter = arguments.output.join(ADAPTER);
    let architecture = checked.hyperparameters.architecture.name();
    let base_sha256 = Some(run.origin.model_sha256.clone());
    let steps = run.step;
    let exported = Exported { adapter: run.best_adapter(), base_sha256 };
    lora::write_gguf(&adapter, architecture, &exported)?;
    let loss = |point: Option<&lora::Point>| point.map(|(_, loss)| *loss);
    let (before, after) = (loss(run.held_out.first()), loss(run.held_out.last()));
    let last = loss(run.batches.last());
    if context.output.json {
        context.output.object(&json!({
            "adapter": adapter.display().to_string(),
            "steps": steps,
            "loss": last,
            "held_out_loss_before": before,
            "held_out_loss": after,
            "rows_per_second": story.rows_per_second(),
            "seconds": story.started.elapsed().as_secs_f64(),
        }))?;
        return Ok(None);
    }
    if let (Some(before), Some(after)) = (before, after) {
        context.output.note(&format!("held-out loss {before:.4} before, {after:.4} after"));
    }
    context.output.line(&adapter.display().to_string())?;
    Ok(None)
}

fn read(
    context: &Context,
    arguments: &FitArguments,
    model: &Path,
) -> Result<(Vec<Example>, Vec<Example>), Error> {
    let model = Model::load(Runtime::start()?, model)?;
    let tokens_max = arguments.max_tokens.unwrap_or(model.context_tokens_trained()) as usize;
    let read = |path: &Path| -> Result<Vec<Example>, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| LoraError::Read { path: path.to_owned(), source })?;
        let read = lora::read_examples(path, &text, &model, tokens_max)?;
        if !read.left_out.is_empty() {
            context.output.note(&format!(
                "{}: left out lines {}: longer than {tokens_max} tokens, or without an answer that \
                 counts",
                path.display(),
                listed(&read.left_out)
            ));
        }
        Ok(read.examples)
    };
    let mut examples = read(&arguments.data)?;
    let held_out = match &arguments.held_out {
        Some(path) => read(path)?,
        None => {
            let count = arguments.held_out_examples.unwrap_or(examples.len() / 10);
            examples.split_off(examples.len().saturating_sub(count))
        }
    };
    if examples.is_empty() {
        let help = if held_out.is_empty() {
            "Nothing in it can be learned; `lora fit --help` shows what an example looks like."
        } else {
            "Lower --held-out-examples."
        };
        let what = format!("{} leaves nothing to train on", arguments.data.display());
        return Err(LoraError::Settings { what, help: help.into() }.into());
    }
    Ok((examples, held_out))
}

/// The first of some numbers.
fn listed(numbers: &[usize]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = numbers.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = numbers.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

fn config(arguments: &FitArguments, examples: usize, weights: WeightType) -> FitConfig {
    let batch_examples = arguments.batch.clamp(1, examples);
    let seen = (examples as u64).saturating_mul(arguments.epochs);
    let steps = arguments.steps.unwrap_or(seen.div_ceil(batch_examples as u64));
    let chosen = |projection: &lora::Projection| arguments.projections.contains(projection);
    let warmup = (steps as f64 * arguments.warmup).round() as u64;
    FitConfig {
        adapter: lora::AdapterConfig {
            rank: arguments.rank,
            alpha: arguments.alpha.unwrap_or(2.0 * arguments.rank as f32),
            rank_stabilized: arguments.rank_stabilized,
            projections: lora::Projection::ALL.into_iter().filter(chosen).collect(),
        },
        optimizer: lora::OptimizerConfig {
            learning_rate: arguments.learning_rate,
            b_rate_ratio: arguments.b_rate_ratio,
            warmup_steps: warmup,
            schedule: arguments.schedule,
            weight_decay: arguments.weight_decay,
            clip_norm: arguments.clip_norm,
            ..lora::OptimizerConfig::default()
        },
        steps,
        batch_examples,
        pass_rows: arguments.pass_rows,
        dropout: arguments.dropout,
        weights,
        normalizer: arguments.per,
        seed: arguments.seed,
    }
}

/// What would be found out late, when much has been read.
fn check_output(arguments: &FitArguments) -> Result<(), LoraError> {
    let folder = &arguments.output;
    let (what, help) = if folder.exists() && !folder.is_dir() {
        ("is no folder", "Give --output the name of a folder; it is made.")
    } else if folder.join(CHECKPOINT).exists() && !arguments.resume {
        ("holds a run already", "Go on with --resume, or give --output another folder.")
    } else {
        return Ok(());
    };
    Err(LoraError::Settings { what: format!("{} {what}", folder.display()), help: help.into() })
}

/// The run in the folder, where it is to go on.
fn earlier_run(
    path: &Path,
    origin: &Origin,
    design: &Design,
) -> Result<Option<Checkpoint>, LoraError> {
    let Some(run) = Checkpoint::read(path, design)? else {
        return Ok(None);
    };
    let what = if run.origin.model_sha256 != origin.model_sha256 {
        "another model"
    } else if run.origin.examples_sha256 != origin.examples_sha256 {
        "other examples"
    } else if run.origin.config != origin.config {
        "other settings"
    } else {
        return Ok(Some(run));
    };
    Err(LoraError::OtherRun { path: path.to_owned(), what })
}

/// Rows of the longest pass: one example alone may have more than is packed together.
fn longest_pass<'e>(examples: impl Iterator<Item = &'e Example>, pass_rows: usize) -> usize {
    let (mut longest, mut all) = (0, 0);
    for example in examples {
        longest = longest.max(Packed::rows_of(example));
        all += Packed::rows_of(example);
    }
    longest.max(pass_rows.min(all))
}

/// The device that was asked for, or a graphics card where there is one.
pub(super) fn backend(
    device: Option<&str>,
    threads: u32,
    runtime: &Runtime,
) -> Result<Backend, Error> {
    if let Some(name) = device {
        return Ok(Backend::device(name, threads)?);
    }
    let card = devices(runtime).into_iter().find(|device| device.kind.takes_layers());
    Ok(match card {
        Some(card) => Backend::device(&card.name, threads)?,
        None => Backend::cpu(threads)?,
    })
}

/// The memory that fitting may take.
pub(super) fn available_bytes(context: &Context, backend: &Backend) -> u64 {
    let free = if backend.is_cpu() {
        super::fit::available_bytes(&context.config)
    } else {
        backend.free_bytes()
    };
    free.map_or(u64::MAX, |free| (free as f64 * (1.0 - SPARE_SHARE)) as u64)
}

fn tell_beginning(
    context: &Context,
    run: &Checkpoint,
    memory: &FitMemory,
    available: u64,
    examples: usize,
    held_out: usize,
    is_resumed: bool,
) {
    let config = &run.origin.config;
    let most = memory.most_bytes();
    let again = if most > available { ", some of it computed twice to save memory" } else { "" };
    context.output.note(&format!(
        "{examples} examples, {held_out} held out; {} steps of {}; up to {} of memory{again}",
        config.steps,
        config.batch_examples,
        megabytes(most.min(available))
    ));
    if is_resumed && run.step == 0 {
        context.output.note("there is no run in the folder yet: this is its beginning");
    }
    if run.step > 0 {
        context.output.note(&format!("going on after step {}", run.step));
    }
}

/// What a run says, and how it is shown.
struct Story<'c> {
    context: &'c Context,
    bar: ProgressBar,
    started: Instant,
    rows: usize,
    seconds: f64,
}

impl<'c> Story<'c> {
    fn new(context: &'c Context, run: &Checkpoint) -> Self {
        let bar = context.output.count_bar("the first step");
        bar.set_length(run.origin.config.steps);
        bar.set_position(run.step);
        bar.reset_eta();
        Self { context, bar, started: Instant::now(), rows: 0, seconds: 0.0 }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Step { step, loss, gradient_norm, rate, seconds, rows } => {
                self.rows += rows;
                self.seconds += seconds;
                self.bar.set_position(step);
                let speed = rows as f64 / seconds;
                self.bar.set_message(format!("loss {loss:.3}, {speed:.0} tokens/s"));
                self.say(&format!(
                    "step {step}: loss {loss:.4}, gradient {gradient_norm:.3}, rate {rate:.2e}, \
                     {seconds:.1} s, {speed:.0} tokens/s"
                ));
            }
            Event::HeldOut { step, loss } => {
                self.say(&format!("after step {step}: held-out loss {loss:.4}"));
            }
        }
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| self.context.output.detail(line));
    }

    fn rows_per_second(&self) -> f64 {
        self.rows as f64 / self.seconds
    }
}

fn convert(context: &Context, arguments: &ConvertArguments) -> Result<Option<Exit>, Error> {
    let base = Base::open(context, arguments.model.as_deref())?;
    let checked = gguf::check(&base.file)?;
    let design = Design::read(&checked)?;
    let exported = open_adapter(&arguments.from, &base.manifest, &design)?;
    if arguments.to.extension().is_some_and(|extension| extension == "gguf") {
        let architecture = checked.hyperparameters.architecture.name();
        lora::write_gguf(&arguments.to, architecture, &exported)?;
    } else {
        crate::paths::create_private_folder(&arguments.to)
            .map_err(|source| LoraError::Write { path: arguments.to.clone(), source })?;
        lora::write_peft(&arguments.to, &exported.adapter, &design)?;
    }
    let config = &exported.adapter.config;
    if context.output.json {
        context.output.object(&json!({
            "to": arguments.to.display().to_string(), "adapter": config,
        }))?;
    } else {
        context.output.line(&arguments.to.display().to_string())?;
    }
    Ok(None)
}

/// An adapter of the model `base`, as GGUF, in PEFT's files, or in the folder of a run.
pub(super) fn open_adapter(
    from: &Path,
    base: &Manifest,
    design: &Design,
) -> Result<Exported, LoraError> {
    let exported = read_adapter(from, design)?;
    if exported.base_sha256.as_ref().is_some_and(|sha256| *sha256 != base.sha256) {
        let what = format!("it was fitted to another model than {}", base.name);
        return Err(LoraError::NoAdapter { path: from.to_owned(), what });
    }
    Ok(exported)
}

fn read_adapter(from: &Path, design: &Design) -> Result<Exported, LoraError> {
    if !from.is_dir() {
        return lora::read_gguf(from, design);
    }
    if let Some(run) = Checkpoint::read(&from.join(CHECKPOINT), design)? {
        let adapter = run.best_adapter();
        return Ok(Exported { adapter, base_sha256: Some(run.origin.model_sha256) });
    }
    Ok(Exported { adapter: lora::read_peft(from, design)?, base_sha256: None })
}
