//! `restpg-edge ingest …`

use std::path::Path;

use serde_json::json;

use super::Context;
use super::args::{IngestArguments, KindArgument};
use super::interrupt::INTERRUPT;
use crate::error::{Error, Exit};
use crate::ingest::{self, Input, Kind, Problem, Report, Request};
use crate::profile::{ProfileStore, User};

pub(super) fn run(context: &Context, arguments: IngestArguments) -> Result<Option<Exit>, Error> {
    let user = User::parse(&arguments.user)?;
    let request = request(context, arguments);
    let mut store = ProfileStore::open_or_create(&context.paths, &user)?;
    let bar = context.output.count_bar("reading");
    let result = ingest::ingest(&mut store, &request, &INTERRUPT, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let report = result?;
    show(context, &user, &report)?;
    Ok(if report.interrupted {
        Some(Exit::Interrupted)
    } else if report.lost_something() {
        Some(Exit::InvalidData)
    } else {
        None
    })
}

fn request(context: &Context, arguments: IngestArguments) -> Request {
    let kind = match arguments.kind {
        KindArgument::Auto => None,
        KindArgument::Text => Some(Kind::Text),
        KindArgument::Markdown => Some(Kind::Markdown),
        KindArgument::Jsonl => Some(Kind::Jsonl),
    };
    let inputs = arguments
        .paths
        .into_iter()
        .map(|path| if path == Path::new("-") { Input::Stdin } else { Input::Path(path) });
    let config = &context.config.ingest;
    Request {
        inputs: inputs.collect(),
        kind,
        person: arguments.person,
        chunk_tokens: config.chunk_tokens as usize,
        file_bytes_max: u64::from(config.file_mib_max) << 20,
    }
}

fn show(context: &Context, user: &User, report: &Report) -> Result<(), Error> {
    let output = &context.output;
    for problem in &report.problems {
        output.note(&describe(problem));
    }
    if output.json {
        return output.object(&json!({
            "user": user.as_str(),
            "files": {
                "ingested": report.files_ingested,
                "unchanged": report.files_unchanged,
                "skipped": report.files_skipped,
                "failed": report.files_failed,
            },
            "documents": report.documents,
            "problems": report.problems,
            "interrupted": report.interrupted,
        }));
    }
    let documents = &report.documents;
    output.note(&format!(
        "files: {} read, {} unchanged, {} of other kinds, {} failed\n\
         documents: {} new, {} as before, {} stored already, {} removed",
        report.files_ingested,
        report.files_unchanged,
        report.files_skipped,
        report.files_failed,
        documents.added,
        documents.unchanged,
        documents.duplicates,
        documents.removed
    ));
    Ok(())
}

fn describe(problem: &Problem) -> String {
    let place = match problem.line {
        Some(line) => format!("{}:{line}", problem.path),
        None => problem.path.clone(),
    };
    let weight = if problem.lost { "left out" } else { "note" };
    format!("{weight}: {place}: {}", problem.message)
}
