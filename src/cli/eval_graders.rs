//! `restpg-edge eval --graders …`

use serde_json::json;

use super::Context;
use super::args::EvalArguments;
use super::eval::QUERIES;
use super::interrupt::INTERRUPT;
use crate::embedding::NamedEmbedder;
use crate::error::{Error, Exit};
use crate::evaluate::{self, GraderRow, GradersPlan, GradersReport, ORDERED, Person, Text};
use crate::reward::Judge;
use crate::statistics::Interval;

/// Longer texts are cut: judges with a short context must hold several and a rubric.
const WORDS_MAX: usize = 150;

pub(super) fn run(
    context: &Context,
    arguments: &EvalArguments,
    model: &str,
    people: &[Person],
    judge: &mut Judge<'_>,
    embedder: &NamedEmbedder,
) -> Result<Option<Exit>, Error> {
    let plan = GradersPlan {
        queries_per_task: arguments.queries.unwrap_or(QUERIES) as usize,
        skipped_per_task: arguments.skip as usize,
        words_max: WORDS_MAX,
        k: arguments.k.unwrap_or(context.config.retrieve.k) as usize,
    };
    let bar = context.output.count_bar("grading");
    let result = evaluate::evaluate_graders(
        people,
        judge,
        embedder,
        plan,
        &INTERRUPT,
        &mut |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        },
    );
    bar.finish_and_clear();
    let report = result?;
    if context.output.json {
        context.output.object(&json!({
            "judge": model,
            "embedder": context.config.retrieve.embedder,
            "words_max": WORDS_MAX,
            "k": plan.k,
            "skipped_per_task": plan.skipped_per_task,
            "report": report,
        }))?;
    } else {
        table(context, model, &report)?;
    }
    Ok(report.interrupted.then_some(Exit::Interrupted))
}

/// How often each grader orders each pair rightly, then its mean grade of each text.
fn table(context: &Context, model: &str, report: &GradersReport) -> Result<(), Error> {
    let output = &context.output;
    let queries: Vec<String> =
        report.queries.iter().map(|(task, count)| format!("{task} {count}")).collect();
    output.line(&format!("judge {model}; queries: {}", queries.join(", ")))?;
    if report.left_out > 0 {
        output.note(&format!("{} queries do not fit the judge's context", report.left_out));
    }
    output.line("how often the first is graded higher, mean of the tasks")?;
    let mut head = format!("{:<30}", "");
    for (higher, lower) in ORDERED {
        head.push_str(&format!("{:>26}", format!("{} > {}", higher.name(), lower.name())));
    }
    output.line(&head)?;
    for GraderRow { grader, order, .. } in &report.graders {
        let mut line = format!("{:<30}", grader.name());
        for interval in order {
            line.push_str(&format!("{:>26}", share(interval)));
        }
        output.line(&line)?;
    }
    output.line("mean grade")?;
    let mut head = format!("{:<30}", "");
    for text in Text::ALL {
        head.push_str(&format!("{:>14}", text.name()));
    }
    output.line(&head)?;
    for GraderRow { grader, grades, .. } in &report.graders {
        let mut line = format!("{:<30}", grader.name());
        for text in Text::ALL {
            line.push_str(&format!("{:>14.3}", grades.get(&text).copied().unwrap_or_default()));
        }
        output.line(&line)?;
    }
    Ok(())
}

fn share(interval: &Interval) -> String {
    format!("{:.2} [{:.2}, {:.2}]", interval.mean, interval.low, interval.high)
}
