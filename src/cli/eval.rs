//! `restpg-edge eval …`

use serde_json::json;

use super::Context;
use super::args::EvalArguments;
use super::eval_systems::{SystemsError, require_known};
use super::interrupt::{self, INTERRUPT};
use super::{eval_graders, eval_systems};
use crate::catalogue::ModelStore;
use crate::embedding::NamedEmbedder;
use crate::error::{Error, Exit, Explain};
use crate::evaluate::{self, Plan, Report, System};
use crate::llama::{self, Model, Runtime};
use crate::paths::Paths;
use crate::reward::Judge;
use crate::statistics::Interval;

/// No place for the profiles of the people that are measured on.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a folder for temporary profiles")]
struct NoScratch(#[source] std::io::Error);

impl Explain for NoScratch {
    fn kind(&self) -> &'static str {
        "no_scratch"
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }

    fn help(&self) -> Option<String> {
        Some("Set TMPDIR to a folder with free space.".into())
    }
}

/// Queries of each task, where nothing else is said.
pub(super) const QUERIES: u32 = 12;

pub(super) fn run(context: Context, arguments: EvalArguments) -> Result<Option<Exit>, Error> {
    interrupt::install();
    if arguments.retrieval || arguments.graders {
        return measure(&context, arguments);
    }
    eval_systems::run(context, &arguments)
}

fn measure(context: &Context, arguments: EvalArguments) -> Result<Option<Exit>, Error> {
    let config = &context.config;
    let systems = if arguments.graders { Vec::new() } else { systems(&arguments.systems)? };
    let people = evaluate::read_people(&arguments.dataset)?;
    let judge = Some(&config.judge.model).filter(|name| arguments.graders && !name.is_empty());
    let name = arguments.model.as_ref().or(judge).unwrap_or(&config.model.name);
    let (manifest, file) = ModelStore::new(&context.paths.models).resolve(name)?;
    let threads = llama::threads(config.model.threads);
    let runtime = Runtime::start()?;
    let embedder = NamedEmbedder::load(
        runtime.clone(),
        &context.paths.models,
        &config.retrieve.embedder,
        config.model.batch_tokens,
        threads,
    )?;
    let model = Model::load(runtime, &file)?;
    if arguments.graders {
        let mut judge = Judge::new(&model, threads, config.model.batch_tokens);
        return eval_graders::run(
            context,
            &arguments,
            &manifest.name,
            &people,
            &mut judge,
            &embedder,
        );
    }
    let plan = Plan {
        queries_per_task: arguments.queries.unwrap_or(QUERIES) as usize,
        skipped_per_task: arguments.skip as usize,
        k: arguments.k.unwrap_or(config.retrieve.k) as usize,
        output_tokens_max: arguments.output_tokens as usize,
        chunk_tokens: config.ingest.chunk_tokens as usize,
        batch_tokens: config.model.batch_tokens,
        threads,
        settings: config.retrieve.clone(),
        systems,
    };
    let scratch = tempfile::tempdir().map_err(NoScratch)?;
    let paths = Paths::resolve(Some(scratch.path()))?;
    let bar = context.output.count_bar("measuring");
    let result = evaluate::evaluate_retrieval(
        &people,
        &model,
        &embedder,
        &plan,
        &paths,
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
            "model": manifest.name,
            "embedder": config.retrieve.embedder,
            "k": plan.k,
            "skipped_per_task": plan.skipped_per_task,
            "settings": config.retrieve,
            "report": report,
        }))?;
    } else {
        table(context, &manifest.name, &report)?;
    }
    Ok(report.interrupted.then_some(Exit::Interrupted))
}

/// The systems that were named, or all of them; gains are measured from none.
fn systems(names: &[String]) -> Result<Vec<System>, SystemsError> {
    require_known(names, &System::ALL.map(System::name))?;
    let is_wanted = |system: &System| {
        names.is_empty() || *system == System::None || names.iter().any(|it| it == system.name())
    };
    Ok(System::ALL.into_iter().filter(is_wanted).collect())
}

/// Gains over no passages, then hybrid against each other system; a line each.
fn table(context: &Context, model: &str, report: &Report) -> Result<(), Error> {
    let output = &context.output;
    let tasks: Vec<&String> = report.queries.keys().collect();
    let queries: Vec<String> =
        report.queries.iter().map(|(task, count)| format!("{task} {count}")).collect();
    output.line(&format!("{model}: gain in log-likelihood per token over no passages, nats"))?;
    output.line(&format!("queries: {}", queries.join(", ")))?;
    let mut head = format!("{:<14}", "");
    for task in &tasks {
        head.push_str(&format!("{task:>24}"));
    }
    output.line(&format!("{head}{:>24}{:>10}", "macro average", "of oracle"))?;
    for row in &report.gains {
        let mut line = format!("{:<14}", row.system.name());
        for task in &tasks {
            line.push_str(&format!("{:>24}", row.tasks.get(*task).map_or_else(String::new, cell)));
        }
        let share = row.share_of_oracle.map_or_else(String::new, |it| format!("{:.0} %", it * 1e2));
        output.line(&format!("{line}{:>24}{share:>10}", cell(&row.macro_average)))?;
    }
    output.line("hybrid less:")?;
    for row in &report.comparisons {
        let mut line = format!("{:<14}", row.against.name());
        for task in &tasks {
            line.push_str(&format!("{:>24}", row.tasks.get(*task).map_or_else(String::new, cell)));
        }
        output.line(&format!("{line}{:>24}", cell(&row.macro_average)))?;
    }
    Ok(())
}

/// A mean with its interval, as gains are shown.
fn cell(interval: &Interval) -> String {
    format!("{:+.3} [{:+.3}, {:+.3}]", interval.mean, interval.low, interval.high)
}
