//! The weight types that this machine runs a model fastest with.
//!
//! The same model runs at very different speeds by weight type, and not in the order of size. Each
//! recipe is made of the file at hand by llama.cpp's own quantizer and measured here, in turns with
//! the source: reading a prompt, writing one text, writing many; and how well it still predicts a
//! neutral text. The fastest that loses less than the bound is kept, for writing one text and for
//! many apart. Knows nothing of names of models.

mod measure;
mod recipes;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

pub use measure::{measure, median, seconds};
pub use recipes::{Recipe, recipes};

use crate::catalogue::{Rates, TunedRow, Use};
use crate::error::{Exit, Explain};
use crate::ggml::{QuantizeError, fitting, is_matrix, quantize};
use crate::gguf::{self, GgufError, ModelFile, TensorType};
use crate::llama::{LlamaError, Model, Runtime};
use crate::perplexity::{NEUTRAL_TEXT, log_likelihoods, perplexity, perplexity_ratio};

/// What is less faster than this is noise.
const GAIN_MIN: f64 = 1.05;

/// How to tune.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The model's file.
    pub source: &'a Path,
    /// An empty folder for what is tried.
    pub folder: &'a Path,
    /// Threads.
    pub threads: u32,
    /// Tokens read in a batch.
    pub batch_tokens: u32,
    /// How often each rate is measured; medians count.
    pub rounds: usize,
    /// The largest ratio of perplexities that a choice may have.
    pub perplexity_ratio_max: f64,
}

/// What happens meanwhile.
#[derive(Debug)]
pub enum Progress<'a> {
    /// So many recipes will be tried.
    Recipes(usize),
    /// This one is made, then measured.
    Begins(&'a str),
    /// It was measured.
    Row(&'a TunedRow),
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// The source's perplexity.
    pub perplexity: f64,
    /// All that was measured.
    pub rows: Vec<TunedRow>,
    /// The row of the best for one text, whose file is `generate.gguf` in the folder.
    pub generate: Option<usize>,
    /// The row of the best for many, whose file is `sample.gguf`.
    pub sample: Option<usize>,
}

/// Why tuning failed.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    /// The model cannot be run.
    #[error(transparent)]
    Llama(#[from] LlamaError),
    /// The file is no model.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A recipe cannot be made.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// A file cannot be moved.
    #[error("a tried file cannot be kept")]
    Io(#[from] std::io::Error),
}

impl Explain for TuneError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Llama(error) => error.kind(),
            Self::Gguf(error) => error.kind(),
            Self::Quantize(_) => "cannot_quantize",
            Self::Io(_) => "model_folder",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Llama(error) => error.exit(),
            Self::Gguf(error) => error.exit(),
            Self::Quantize(_) | Self::Io(_) => Exit::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Llama(error) => error.help(),
            Self::Gguf(error) => error.help(),
            Self::Quantize(QuantizeError::Alignment { .. }) => {
                Some("The model runs as it is; it cannot be tuned.".into())
            }
            Self::Quantize(_) | Self::Io(_) => Some(
                "Check the free space in the folder of models: tuning needs room for three copies \
                 of the model. -v shows what llama.cpp says."
                    .into(),
            ),
        }
    }
}

/// Tries all recipes that make a difference; `None` where `interrupt` was set before the end.
///
/// # Errors
/// [`TuneError`].
pub fn tune(
    runtime: &Runtime,
    plan: &Plan<'_>,
    interrupt: &AtomicBool,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Option<Found>, TuneError> {
    let recipes = different(plan.source)?;
    on_progress(Progress::Recipes(recipes.len()));
    let source = Model::load(runtime.clone(), plan.source)?;
    let Some(before) = log_likelihoods(&source, NEUTRAL_TEXT, plan.threads, interrupt)? else {
        return Ok(None);
    };
    let mut bench = Bench { runtime, plan, source: &source, before: &before, interrupt };
    let mut best = [Best::new(plan, Use::Generate), Best::new(plan, Use::Sample)];
    let mut rows = Vec::new();
    for recipe in recipes {
        on_progress(Progress::Begins(recipe.name));
        let tried = plan.folder.join("tried.gguf");
        let row = match bench.row(&recipe, &tried) {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(None),
            // This choice breaks the model; the others need not.
            Err(TuneError::Llama(LlamaError::NotFinite)) => continue,
            Err(error) => return Err(error),
        };
        on_progress(Progress::Row(&row));
        for best in &mut best {
            best.consider(&row, rows.len(), &tried, plan.perplexity_ratio_max)?;
        }
        fs::remove_file(&tried)?;
        rows.push(row);
    }
    let [generate, sample] = best.map(|best| best.row);
    Ok(Some(Found { perplexity: perplexity(&before), rows, generate, sample }))
}

/// The recipes that make other files than the source and than one another.
fn different(source: &Path) -> Result<Vec<Recipe>, TuneError> {
    let file = ModelFile::open(source)?;
    let header = gguf::check(&file)?.header;
    let matrices = || header.tensors().iter().filter(|tensor| is_matrix(tensor));
    let mut seen: Vec<Vec<TensorType>> = vec![matrices().map(|tensor| tensor.kind).collect()];
    let is_new = |recipe: &Recipe| {
        let kinds = matrices().map(|tensor| fitting(tensor, recipe.kind_of(tensor))).collect();
        let is_new = !seen.contains(&kinds);
        seen.push(kinds);
        is_new
    };
    Ok(recipes().into_iter().filter(is_new).collect())
}

/// What recipes are measured with.
struct Bench<'a> {
    runtime: &'a Runtime,
    plan: &'a Plan<'a>,
    source: &'a Model,
    /// What the source makes of the neutral text.
    before: &'a [f64],
    interrupt: &'a AtomicBool,
}

impl Bench<'_> {
    /// Makes a recipe in the file `tried` and measures it.
    fn row(&mut self, recipe: &Recipe, tried: &Path) -> Result<Option<TunedRow>, TuneError> {
        let plan = self.plan;
        quantize(plan.source, tried, &|tensor| recipe.kind_of(tensor), plan.threads)?;
        let model = Model::load(self.runtime.clone(), tried)?;
        let after = log_likelihoods(&model, NEUTRAL_TEXT, plan.threads, self.interrupt)?;
        let Some(after) = after else { return Ok(None) };
        let ratio = perplexity_ratio(self.before, &after);
        if !ratio.mean.is_finite() {
            return Err(LlamaError::NotFinite.into());
        }
        let mut rates: [Vec<Rates>; 2] = Default::default();
        for _ in 0..plan.rounds {
            for (rates, model) in rates.iter_mut().zip([self.source, &model]) {
                if self.interrupt.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                rates.push(measure(model, plan.threads, plan.batch_tokens)?);
            }
        }
        let [source_rates, rates] = rates.map(|rounds| median(&rounds));
        Ok(Some(TunedRow {
            recipe: recipe.name.to_owned(),
            size_bytes: fs::metadata(tried)?.len(),
            rates,
            source_rates,
            perplexity_ratio: ratio.mean,
            perplexity_ratio_low: ratio.low,
            perplexity_ratio_high: ratio.high,
        }))
    }
}

/// The best so far for one use, whose file is set aside.
struct Best<'a> {
    purpose: Use,
    folder: &'a Path,
    row: Option<usize>,
    gain: f64,
}

impl<'a> Best<'a> {
    fn new(plan: &Plan<'a>, purpose: Use) -> Self {
        Self { purpose, folder: plan.folder, row: None, gain: GAIN_MIN }
    }

    fn consider(
        &mut self,
        row: &TunedRow,
        index: usize,
        file: &Path,
        perplexity_ratio_max: f64,
    ) -> std::io::Result<()> {
        let gain = gain(row, self.purpose);
        let is_as_good = row.perplexity_ratio <= perplexity_ratio_max;
        if !is_as_good || gain <= self.gain {
            return Ok(());
        }
        let name = match self.purpose {
            Use::Generate => "generate.gguf",
            Use::Sample => "sample.gguf",
        };
        let target = self.folder.join(name);
        match fs::remove_file(&target) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // The same file may be the best for both.
        fs::hard_link(file, &target).or_else(|_| fs::copy(file, &target).map(|_| ()))?;
        (self.row, self.gain) = (Some(index), gain);
        Ok(())
    }
}

/// How many times as fast as the source a recipe is for `purpose`.
#[must_use]
pub fn gain(row: &TunedRow, purpose: Use) -> f64 {
    seconds(&row.source_rates, purpose) / seconds(&row.rates, purpose)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(decode: f64, sample: f64, perplexity_ratio: f64) -> TunedRow {
        let source_rates = Rates { prefill: 100.0, decode: 10.0, sample: 20.0 };
        TunedRow {
            recipe: String::new(),
            size_bytes: 0,
            rates: Rates { prefill: 100.0, decode, sample },
            source_rates,
            perplexity_ratio,
            perplexity_ratio_low: perplexity_ratio,
            perplexity_ratio_high: perplexity_ratio,
        }
    }

    #[test]
    fn the_fastest_within_the_bound_is_kept_for_each_use() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan {
            source: Path::new(""),
            folder: folder.path(),
            threads: 1,
            batch_tokens: 1,
            rounds: 1,
            perplexity_ratio_max: 1.02,
        };
        let rows = [
            row(10.2, 20.2, 1.0),
            row(15.0, 21.0, 1.01),
            row(12.0, 40.0, 1.02),
            row(90.0, 90.0, 1.03),
            row(99.0, 99.0, f64::NAN),
        ];
        let mut best = [Best::new(&plan, Use::Generate), Best::new(&plan, Use::Sample)];
        for (index, row) in rows.iter().enumerate() {
            let tried = folder.path().join("tried.gguf");
            fs::write(&tried, [index as u8]).unwrap();
            for best in &mut best {
                best.consider(row, index, &tried, plan.perplexity_ratio_max).unwrap();
            }
            fs::remove_file(&tried).unwrap();
        }
        assert_eq!(best.map(|best| best.row), [Some(1), Some(2)]);
        assert_eq!(fs::read(folder.path().join("generate.gguf")).unwrap(), [1]);
        assert_eq!(fs::read(folder.path().join("sample.gguf")).unwrap(), [2]);
    }

    #[test]
    fn what_is_hardly_faster_is_not_worth_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut best =
            Best { purpose: Use::Sample, folder: folder.path(), row: None, gain: GAIN_MIN };
        let tried = folder.path().join("tried.gguf");
        fs::write(&tried, "x").unwrap();
        best.consider(&row(10.0, 20.4, 1.0), 0, &tried, 1.02).unwrap();
        assert_eq!(best.row, None);
    }
}
