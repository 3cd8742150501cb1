//! The run: examples in random order, several packed into a pass, several passes into a step.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Adapter, AdapterConfig, Checkpoint, Dropout, Example, Generator, LoraError, Moments, Network,
    Normalizer, OptimizerConfig, Origin, Packed, Pass, WeightType,
};

/// Everything that decides what a run comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitConfig {
    /// The form of the adapter.
    pub adapter: AdapterConfig,
    /// How far a step goes.
    pub optimizer: OptimizerConfig,
    /// Steps in all.
    pub steps: u64,
    /// Examples of a step.
    pub batch_examples: usize,
    /// Rows of a pass, at most, unless one example alone has more.
    pub pass_rows: usize,
    /// Inputs of the fitted matrices that are left out.
    pub dropout: f32,
    /// How the model's weights are held: another way rounds otherwise.
    pub weights: WeightType,
    /// What the loss is divided by.
    pub normalizer: Normalizer,
    /// Of the order, the adapter's first numbers, and what is dropped.
    pub seed: u64,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A step is done.
    Step {
        /// Which, from 1.
        step: u64,
        /// Of the batch, before the step.
        loss: f64,
        /// Of the gradients, before they were clipped.
        gradient_norm: f64,
        /// Of the learning rate.
        rate: f64,
        /// That it took.
        seconds: f64,
        /// That went through the network.
        rows: usize,
    },
    /// The loss of examples that are never trained on was measured.
    HeldOut {
        /// After this many steps.
        step: u64,
        /// Over all of them.
        loss: f64,
    },
}

/// What a run learns, and what it is measured on.
#[derive(Debug, Clone, Copy)]
pub struct Data<'e> {
    /// Trained on; at least one.
    pub examples: &'e [Example],
    /// Never trained on.
    pub held_out: &'e [Example],
}

/// When a run looks up from its work.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    /// Steps between checkpoints.
    pub checkpoint_steps: u64,
    /// Steps between measurements of the held-out loss.
    pub held_out_steps: u64,
    /// The run ends after so many measurements in a row that were no better than the best; 0 never.
    pub patience: usize,
}

/// A hash of what is trained on, so that a run is only taken up with the same.
#[must_use]
pub fn examples_sha256(examples: &[Example]) -> String {
    let mut hash = Sha256::new();
    let mut numbers = |numbers: &[u32]| {
        hash.update((numbers.len() as u64).to_le_bytes());
        numbers.iter().for_each(|number| hash.update(number.to_le_bytes()));
    };
    for example in examples {
        numbers(&example.prompt);
        for answer in &example.answers {
            numbers(&answer.tokens);
            numbers(&[answer.weight.to_bits()]);
            let weights = answer.token_weights.iter().flatten();
            numbers(&weights.map(|weight| weight.to_bits()).collect::<Vec<_>>());
        }
    }
    hex::encode(hash.finalize())
}

/// A run that has not begun: an adapter that changes nothing.
#[must_use]
pub fn begin(origin: Origin, network: &Network<'_>) -> Checkpoint {
    let config = &origin.config;
    let adapter = Adapter::new(config.adapter.clone(), network.design(), config.seed);
    let moments = Moments::new(adapter.values.len());
    let (batches, held_out) = (Vec::new(), Vec::new());
    Checkpoint { origin, step: 0, adapter, moments, batches, held_out, best: None }
}

/// Where checkpoints go.
pub type Keep<'k> = dyn FnMut(&Checkpoint) -> Result<(), LoraError> + 'k;

/// Goes on with `run` until it is done, or `is_stopped` says so; what was kept last is then the last
/// whole step.
///
/// # Errors
/// [`LoraError::Stopped`] where it was stopped; [`LoraError::NotFinite`] where the loss left the
/// numbers: what was kept is the last good step. Others as they come.
pub fn fit(
    network: &Network<'_>,
    run: &mut Checkpoint,
    data: Data<'_>,
    pauses: Pauses,
    keep: &mut Keep<'_>,
    is_stopped: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(Event),
) -> Result<(), LoraError> {
    let ended = advance(network, run, data, pauses, keep, is_stopped, tell);
    match &ended {
        // The weights that led there are not worth keeping, nor what could not be kept.
        Err(LoraError::NotFinite { .. } | LoraError::Write { .. } | LoraError::NotKept(_)) => ended,
        Err(_) => keep(run).and(ended),
        Ok(()) => ended,
    }
}

fn advance(
    network: &Network<'_>,
    run: &mut Checkpoint,
    data: Data<'_>,
    pauses: Pauses,
    keep: &mut Keep<'_>,
    is_stopped: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(Event),
) -> Result<(), LoraError> {
    let Data { examples, held_out } = data;
    let steps = run.origin.config.steps;
    loop {
        let is_last = run.step >= steps;
        let step_done = run.step;
        let is_due = |every: u64| is_last || step_done.is_multiple_of(every.max(1));
        let is_measured = run.held_out.last().is_some_and(|(step, _)| *step == run.step);
        if is_due(pauses.held_out_steps) && !is_measured && !held_out.is_empty() {
            let loss = loss(network, &run.adapter, held_out, &run.origin.config, is_stopped)?;
            run.held_out.push((run.step, loss));
            if pauses.patience > 0 {
                run.note_best();
            }
            tell(Event::HeldOut { step: run.step, loss });
        }
        if run.step > 0 && is_due(pauses.checkpoint_steps) {
            keep(run)?;
        }
        if is_last || run.has_stopped_learning(pauses.patience) {
            return Ok(());
        }
        let event = step(network, run, examples, is_stopped)?;
        tell(event);
    }
}

/// One step: the adapter and the moments change when it is done, and not before.
fn step(
    network: &Network<'_>,
    run: &mut Checkpoint,
    examples: &[Example],
    is_stopped: &dyn Fn() -> bool,
) -> Result<Event, LoraError> {
    let started = Instant::now();
    let config = &run.origin.config;
    let batch: Vec<Example> =
        batch(config, examples.len(), run.step).map(|index| examples[index].clone()).collect();
    let total = config.normalizer.total(&batch);
    network.set_adapter(&run.adapter)?;
    let generator = Generator::new(config.seed, "dropout").part(run.step);
    let mut gradients = vec![0.0; run.adapter.values.len()];
    let mut part = gradients.clone();
    let (mut loss, mut rows) = (0.0, 0);
    for (index, pass_examples) in passes(&batch, config.pass_rows).into_iter().enumerate() {
        let packed = Packed::new(pass_examples, config.normalizer, total);
        let generator = generator.part(index as u64);
        let dropout = (config.dropout > 0.0).then_some(Dropout { rate: config.dropout, generator });
        let pass = Pass { dropout, is_stopped };
        loss += network.loss_and_gradients(&packed, pass, &mut part)?;
        gradients.iter_mut().zip(&part).for_each(|(sum, value)| *sum += value);
        rows += packed.rows();
    }
    let rate = config.optimizer.rate(run.step, config.steps);
    let not_finite = LoraError::NotFinite { step: run.step + 1 };
    if !loss.is_finite() {
        return Err(not_finite);
    }
    let (optimizer, adapter) = (config.optimizer.clone(), &mut run.adapter);
    let gradient_norm = run.moments.step(&optimizer, adapter, &gradients, run.step, rate);
    if !gradient_norm.is_finite() {
        return Err(not_finite);
    }
    run.step += 1;
    run.batches.push((run.step, loss));
    let seconds = started.elapsed().as_secs_f64();
    Ok(Event::Step { step: run.step, loss, gradient_norm, rate, seconds, rows })
}

/// The examples of step `step`: every epoch has all of them, in an order of its own.
fn batch(config: &FitConfig, count: usize, step: u64) -> impl Iterator<Item = usize> {
    let first = step * config.batch_examples as u64;
    let seed = config.seed;
    let mut known: Option<(u64, Vec<usize>)> = None;
    (first..first + config.batch_examples as u64).map(move |index| {
        let (epoch, within) = (index / count as u64, (index % count as u64) as usize);
        if known.as_ref().is_none_or(|(of, _)| *of != epoch) {
            let order = Generator::new(seed, "order").part(epoch).permutation(count);
            known = Some((epoch, order));
        }
        known.as_ref().map_or(within, |(_, order)| order[within])
    })
}

/// Neighbours that fit a pass together.
fn passes(batch: &[Example], pass_rows: usize) -> Vec<&[Example]> {
    let mut passes = Vec::new();
    let (mut first, mut rows) = (0, 0);
    for (index, example) in batch.iter().enumerate() {
        let more = Packed::rows_of(example);
        if index > first && rows + more > pass_rows {
            passes.push(&batch[first..index]);
            (first, rows) = (index, 0);
        }
        rows += more;
    }
    passes.push(&batch[first..]);
    passes
}

/// The loss of `examples` with `adapter`, as a run with `config` counts it.
///
/// # Errors
/// [`LoraError`].
pub fn loss(
    network: &Network<'_>,
    adapter: &Adapter,
    examples: &[Example],
    config: &FitConfig,
    is_stopped: &dyn Fn() -> bool,
) -> Result<f64, LoraError> {
    network.set_adapter(adapter)?;
    let total = config.normalizer.total(examples);
    let mut sum = 0.0;
    for pass in passes(examples, config.pass_rows) {
        let packed = Packed::new(pass, config.normalizer, total);
        sum += network.loss(&packed, Pass { dropout: None, is_stopped })?;
    }
    Ok(sum)
}
