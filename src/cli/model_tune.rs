//! `restpg-edge model tune`: which weight types this machine runs a model fastest with.

use std::path::Path;

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::Context;
use super::args::TuneArguments;
use super::interrupt::INTERRUPT;
use super::output::megabytes;
use crate::catalogue::{Kept, ModelStore, TunedRow, Tuning, Use};
use crate::error::{Error, Exit};
use crate::llama::{self, Runtime};
use crate::tune::{self, Found, Plan, Progress, gain};

pub(super) fn run(
    context: &Context,
    store: &ModelStore,
    arguments: &TuneArguments,
) -> Result<Option<Exit>, Error> {
    let (manifest, file) = store.resolve(&arguments.name)?;
    if arguments.reset {
        let freed_bytes = store.forget_tuning(&manifest.sha256)?;
        if context.output.json {
            context.output.object(&json!({"reset": manifest.name, "freed_bytes": freed_bytes}))?;
        } else {
            context.output.note(&format!("{} is used as it was pulled", manifest.name));
        }
        return Ok(None);
    }
    let workshop = store.workshop()?;
    let model = &context.config.model;
    let plan = Plan {
        source: &file,
        folder: workshop.folder(),
        threads: llama::threads(model.threads),
        batch_tokens: model.batch_tokens,
        rounds: arguments.rounds as usize,
        perplexity_ratio_max: 1.0 + f64::from(arguments.max_loss),
    };
    let bar = context.output.count_bar("reading a neutral text");
    let found = tune::tune(&Runtime::start()?, &plan, &INTERRUPT, &mut |progress| {
        show_progress(&bar, context, &progress);
    });
    bar.finish_and_clear();
    let Some(found) = found? else {
        context.output.note("interrupted; nothing was changed");
        return Ok(Some(Exit::Interrupted));
    };
    let tuning = keep(store, &manifest.sha256, &plan, found)?;
    if context.output.json {
        context.output.object(&object(&tuning))?;
    } else {
        lines(&tuning).iter().try_for_each(|line| context.output.line(line))?;
    }
    Ok(None)
}

fn show_progress(bar: &ProgressBar, context: &Context, progress: &Progress<'_>) {
    match progress {
        Progress::Recipes(count) => bar.set_length(*count as u64),
        Progress::Begins(recipe) => bar.set_message((*recipe).to_owned()),
        Progress::Row(row) => {
            bar.inc(1);
            bar.suspend(|| context.output.detail(&line(row)));
        }
    }
}

/// Moves the files of the best among the models, and records all.
fn keep(
    store: &ModelStore,
    source_sha256: &str,
    plan: &Plan<'_>,
    found: Found,
) -> Result<Tuning, Error> {
    let take = |row: Option<usize>, file: &str| -> Result<Option<Kept>, Error> {
        let Some(row) = row else { return Ok(None) };
        let path: &Path = &plan.folder.join(file);
        Ok(Some(store.take_in(path, &found.rows[row].recipe)?))
    };
    let tuning = Tuning {
        source_sha256: source_sha256.to_owned(),
        version: llama::VERSION.to_owned(),
        threads: plan.threads,
        perplexity_ratio_max: plan.perplexity_ratio_max,
        perplexity: found.perplexity,
        generate: take(found.generate, "generate.gguf")?,
        sample: take(found.sample, "sample.gguf")?,
        rows: found.rows,
    };
    store.record_tuning(&tuning)?;
    Ok(tuning)
}

/// What was found, for `--json`.
pub(super) fn object(tuning: &Tuning) -> Value {
    let rows = tuning.rows.iter().map(|row| {
        json!({
            "recipe": row.recipe,
            "size_bytes": row.size_bytes,
            "tokens_per_second": row.rates,
            "source_tokens_per_second": row.source_rates,
            "perplexity_ratio": row.perplexity_ratio,
            "perplexity_ratio_95": [row.perplexity_ratio_low, row.perplexity_ratio_high],
        })
    });
    json!({
        "source_sha256": tuning.source_sha256,
        "measured_with": tuning.version,
        "threads": tuning.threads,
        "perplexity": tuning.perplexity,
        "perplexity_ratio_max": tuning.perplexity_ratio_max,
        "generate": tuning.generate,
        "sample": tuning.sample,
        "rows": rows.collect::<Vec<_>>(),
    })
}

/// What was found, as a table.
pub(super) fn lines(tuning: &Tuning) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{:<36} {:>9} {:>14} {:>14} {:>14}  {}",
            "tokens/s, and times the source's",
            "size",
            "prefill",
            "decode",
            "16 at once",
            "perplexity"
        ),
        source_line(tuning),
    ];
    lines.extend(tuning.rows.iter().map(line));
    if tuning.version != llama::VERSION {
        lines.push(format!("not in use: measured with {}; tune again", tuning.version));
        return lines;
    }
    for (purpose, what) in [(Use::Generate, "one draft"), (Use::Sample, "many drafts at once")] {
        let row = |kept: &Kept| tuning.rows.iter().find(|row| row.recipe == kept.recipe);
        lines.push(match tuning.kept_for(purpose) {
            Some(kept) => format!(
                "{what}: {}, {:.2} times as fast as the source",
                kept.recipe,
                row(kept).map_or(1.0, |row| gain(row, purpose))
            ),
            None => format!(
                "{what}: the source; none is clearly faster with at most {:.1} % more perplexity",
                (tuning.perplexity_ratio_max - 1.0) * 100.0
            ),
        });
    }
    lines
}

/// The source's rates: the medians of what was measured beside each recipe.
fn source_line(tuning: &Tuning) -> String {
    let rounds: Vec<_> = tuning.rows.iter().map(|row| row.source_rates).collect();
    let rates = tune::median(&rounds);
    format!(
        "{:<36} {:>9} {:>14.0} {:>14.0} {:>14.0}  {:.3}",
        "the source", "", rates.prefill, rates.decode, rates.sample, tuning.perplexity
    )
}

fn line(row: &TunedRow) -> String {
    let rate = |own: f64, source: f64| format!("{own:.0} ({:.2})", own / source);
    let (own, source) = (row.rates, row.source_rates);
    format!(
        "{:<36} {:>9} {:>14} {:>14} {:>14}  {:+.2} % [{:+.2}, {:+.2}]",
        row.recipe,
        megabytes(row.size_bytes),
        rate(own.prefill, source.prefill),
        rate(own.decode, source.decode),
        rate(own.sample, source.sample),
        (row.perplexity_ratio - 1.0) * 100.0,
        (row.perplexity_ratio_low - 1.0) * 100.0,
        (row.perplexity_ratio_high - 1.0) * 100.0
    )
}
