//! Maximization (REST-PG, stage 3), and fitting to the person's own texts before it: an adapter is
//! fitted to lessons, each text counting by its reward, from the fresh model every time.
//!
//! One prompt is shared by everything that is learned for it. Some of the lessons only tell when to
//! stop: the adapter is the one that was best on them.

use super::journal::Journal;
use super::lesson::{Lesson, example};
use super::workshop::{Progress, Workshop};
use crate::config::TrainConfig;
use crate::error::Error;
use crate::gguf::{self, ModelFile};
use crate::lora::{
    self, Adapter, AdapterConfig, Checkpoint, Data, Design, Example, Exported, FitConfig,
    FitMemory, LoraError, Network, Normalizer, OptimizerConfig, Origin, Packed, Pauses, Projection,
    Schedule, WeightType, gguf_bytes,
};

const CHECKPOINT: &str = "checkpoint";
/// The stage of the journal that has the adapters.
pub const FITTED: &str = "fitted";
/// Rows that go through the network together: with more, products are not faster.
const PASS_ROWS: usize = 2048;
const CHECKPOINT_STEPS: u64 = 10;
/// The rate rises during this share of the steps.
const WARMUP_SHARE: f64 = 0.1;
/// The fitting ends after so many looks at the lessons that are held back which were no better.
const PATIENCE: usize = 1;

/// What is learned, and what tells when to stop.
#[derive(Debug, Clone, Copy)]
pub struct Lessons<'l> {
    /// What is learned.
    pub learned: &'l [Lesson<'l>],
    /// What tells when to stop.
    pub validation: &'l [Lesson<'l>],
    /// Whether notes come before texts.
    pub reasoning: bool,
}

/// The adapter called `name` of this run, fitted to `lessons`: a GGUF file's bytes.
///
/// # Errors
/// [`super::TrainError::Stopped`] with a checkpoint in the journal; the trainer's or the store's.
pub fn maximization(
    workshop: &Workshop<'_>,
    journal: &mut Journal<'_>,
    name: &str,
    lessons: Lessons<'_>,
) -> Result<Vec<u8>, Error> {
    if let Some(bytes) = journal.bytes(FITTED, name)? {
        journal.remove(CHECKPOINT, name)?;
        return Ok(bytes);
    }
    if lessons.learned.is_empty() {
        return Err(super::TrainError::Nothing { what: "text to learn" }.into());
    }
    workshop.go_on()?;
    let model = workshop.model(None)?;
    let in_tokens = |some: &[Lesson<'_>]| -> Result<Vec<Example>, Error> {
        some.iter().map(|lesson| example(workshop, &model, lesson, lessons.reasoning)).collect()
    };
    let (learned, validation) = (in_tokens(lessons.learned)?, in_tokens(lessons.validation)?);
    // The trainer has the weights for itself.
    drop(model);
    let bytes = fit(workshop, journal, name, &learned, &validation)?;
    journal.keep_bytes(FITTED, name, &bytes)?;
    journal.remove(CHECKPOINT, name)?;
    Ok(bytes)
}

fn fit(
    workshop: &Workshop<'_>,
    journal: &mut Journal<'_>,
    name: &str,
    learned: &[Example],
    validation: &[Example],
) -> Result<Vec<u8>, Error> {
    let file = ModelFile::open(workshop.base)?;
    let checked = gguf::check(&file)?;
    let design = Design::read(&checked)?;
    let backend = workshop.backend;
    let weights = WeightType::for_backend(backend);
    let origin = Origin {
        config: config(workshop, learned.len(), weights),
        model_sha256: workshop.base_sha256.to_owned(),
        examples_sha256: lora::examples_sha256(learned),
    };
    let form = Adapter::zero(origin.config.adapter.clone(), &design);
    let rows = longest_pass(learned.iter().chain(validation));
    let (values, is_cpu) = (form.values.len(), backend.is_cpu());
    let memory = FitMemory::of(&checked, &design, is_cpu, weights, values, rows);
    let available_bytes = workshop.fit_bytes_max;
    if memory.least_bytes() > available_bytes {
        let needed_bytes = memory.least_bytes();
        return Err(LoraError::Memory { needed_bytes, available_bytes, rows }.into());
    }
    let network = Network::new(backend, &file, &checked, weights, &form)?;
    drop(form);
    network.set_activation_bytes_max(memory.activation_bytes_max(available_bytes));
    let earlier = journal.bytes(CHECKPOINT, name)?;
    let earlier = earlier.and_then(|bytes| Checkpoint::from_bytes(&bytes, &design));
    let earlier = earlier.filter(|run| run.origin == origin);
    let mut run = earlier.unwrap_or_else(|| lora::begin(origin, &network));
    let steps = run.origin.config.steps;
    let per_epoch = steps / u64::from(workshop.config.train.epochs).max(1);
    let ended = lora::fit(
        &network,
        &mut run,
        Data { examples: learned, held_out: validation },
        Pauses {
            checkpoint_steps: CHECKPOINT_STEPS,
            held_out_steps: per_epoch,
            patience: if validation.is_empty() { 0 } else { PATIENCE },
        },
        &mut |run| keep(journal, name, run),
        &|| workshop.go_on().is_err(),
        &mut |event| (workshop.tell)(Progress::Fit { name, steps, event }),
    );
    match ended {
        Err(LoraError::Stopped) => return Err(super::TrainError::Stopped.into()),
        other => other?,
    }
    let architecture = checked.hyperparameters.architecture.name();
    let base_sha256 = Some(workshop.base_sha256.to_owned());
    let exported = Exported { adapter: run.best_adapter(), base_sha256 };
    let failed = |source| LoraError::Write { path: name.into(), source };
    Ok(gguf_bytes(architecture, &exported).map_err(failed)?)
}

fn keep(journal: &mut Journal<'_>, name: &str, run: &Checkpoint) -> Result<(), LoraError> {
    let not_kept = |error: Error| LoraError::NotKept(Box::new(error));
    let bytes = run.to_bytes().map_err(|source| LoraError::Write { path: name.into(), source })?;
    journal.keep_bytes(CHECKPOINT, name, &bytes).map_err(not_kept)
}

/// What the adapters of a run are like.
#[must_use]
pub fn adapter_config(settings: &TrainConfig) -> AdapterConfig {
    AdapterConfig {
        rank: settings.rank as usize,
        alpha: settings.alpha,
        rank_stabilized: false,
        projections: Projection::ALL.to_vec(),
    }
}

fn config(workshop: &Workshop<'_>, examples: usize, weights: WeightType) -> FitConfig {
    let settings = &workshop.config.train;
    let batch_examples = (settings.batch as usize).min(examples.max(1));
    let per_epoch = examples.div_ceil(batch_examples).max(1) as u64;
    let steps = per_epoch * u64::from(settings.epochs);
    FitConfig {
        adapter: adapter_config(settings),
        optimizer: OptimizerConfig {
            learning_rate: f64::from(settings.learning_rate),
            warmup_steps: (steps as f64 * WARMUP_SHARE).ceil() as u64,
            schedule: Schedule::Linear,
            weight_decay: 0.01,
            ..OptimizerConfig::default()
        },
        steps,
        batch_examples,
        pass_rows: PASS_ROWS,
        dropout: 0.0,
        weights,
        normalizer: Normalizer::Token,
        seed: u64::from(settings.seed),
    }
}

/// Rows of the longest pass: one example alone may have more than is packed together.
fn longest_pass<'e>(examples: impl Iterator<Item = &'e Example>) -> usize {
    examples.map(Packed::rows_of).max().unwrap_or(0).max(PASS_ROWS)
}
