//! `restpg-edge ingest …`

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Context;
use super::args::{IngestArguments, KindArgument};
use super::interrupt::{self, INTERRUPT};
use crate::error::{Error, Exit, Explain};
use crate::ingest::{self, Input, Kind, Problem, Report, Request};
use crate::profile::{ProfileStore, User};

/// What an ingest as a whole complains of.
#[derive(Debug, thiserror::Error)]
enum InputError {
    #[error("cannot read standard input")]
    Stdin(#[source] std::io::Error),
    #[error("standard input is longer than {} MiB", bytes_max >> 20)]
    TooLong { bytes_max: u64 },
    #[error("no such file or folder: {paths}")]
    NothingThere { paths: String },
    #[error("left out: {lost} files or lines; the rest is stored")]
    Lost { lost: usize },
}

impl Explain for InputError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Stdin(_) => "unreadable_stdin",
            Self::TooLong { .. } => "stdin_too_long",
            Self::NothingThere { .. } => "no_such_path",
            Self::Lost { .. } => "left_out",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Stdin(_) => Exit::Failed,
            Self::TooLong { .. } | Self::NothingThere { .. } | Self::Lost { .. } => {
                Exit::InvalidData
            }
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Stdin(_) => None,
            Self::TooLong { .. } => {
                Some("Split it, or raise [ingest] file_mib_max in the config file.".into())
            }
            Self::NothingThere { .. } => Some("Check the path.".into()),
            Self::Lost { .. } => Some("Mend what is named and run the same command again.".into()),
        }
    }
}

pub(super) fn run(context: &Context, arguments: IngestArguments) -> Result<Option<Exit>, Error> {
    let user = User::parse(&arguments.user)?;
    let request = request(context, arguments)?;
    // A mistyped path must not bring a profile into being.
    let missing: Vec<&PathBuf> = request.inputs.iter().filter_map(missing_path).collect();
    if missing.len() == request.inputs.len() {
        let names: Vec<String> = missing.iter().map(|path| path.display().to_string()).collect();
        return Err(InputError::NothingThere { paths: names.join(", ") }.into());
    }
    let mut store = ProfileStore::open_or_create(&context.paths, &user)?;
    interrupt::install();
    let bar = context.output.count_bar("reading");
    let result = ingest::ingest(&mut store, &request, &INTERRUPT, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let report = result?;
    show(context, &user, &report)?;
    if report.interrupted {
        return Ok(Some(Exit::Interrupted));
    }
    match report.lost() {
        0 => Ok(None),
        lost => Err(InputError::Lost { lost }.into()),
    }
}

fn request(context: &Context, arguments: IngestArguments) -> Result<Request, InputError> {
    let kind = match arguments.kind {
        KindArgument::Auto => None,
        KindArgument::Text => Some(Kind::Text),
        KindArgument::Markdown => Some(Kind::Markdown),
        KindArgument::Jsonl => Some(Kind::Jsonl),
    };
    let config = &context.config.ingest;
    let file_bytes_max = u64::from(config.file_mib_max) << 20;
    let mut inputs = Vec::new();
    for path in arguments.paths {
        inputs.push(if path == Path::new("-") {
            Input::Stdin(read_stdin(file_bytes_max)?)
        } else {
            Input::Path(path)
        });
    }
    Ok(Request {
        inputs,
        kind,
        person: arguments.person,
        chunk_tokens: config.chunk_tokens as usize,
        file_bytes_max,
    })
}

/// The path, where it names nothing at all.
fn missing_path(input: &Input) -> Option<&PathBuf> {
    let Input::Path(path) = input else { return None };
    let error = std::fs::symlink_metadata(path).err()?;
    (error.kind() == std::io::ErrorKind::NotFound).then_some(path)
}

fn read_stdin(bytes_max: u64) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    std::io::stdin().take(bytes_max + 1).read_to_end(&mut bytes).map_err(InputError::Stdin)?;
    if bytes.len() as u64 > bytes_max {
        return Err(InputError::TooLong { bytes_max });
    }
    Ok(bytes)
}

fn show(context: &Context, user: &User, report: &Report) -> Result<(), Error> {
    let output = &context.output;
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
    for problem in &report.problems {
        output.note(&describe(problem));
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
