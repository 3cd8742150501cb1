//! Writings into documents: one file per source format, and the walk that feeds them.
//!
//! A reader turns the bytes of one source into documents and a list of what it could not use,
//! with places; everything else of that source, and every other source, still goes in. Each
//! source is one transaction of the store. This module never loads a model.

mod dates;
mod decode;
mod jsonl;
mod markdown;
mod text;
mod walk;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::profile::{Applied, NewDocument, ProfileError, ProfileStore, Source, Stamp};

/// Files, and bytes of files, read at once before what they gave is stored.
const ROUND_FILES_MAX: usize = 64;
const ROUND_BYTES_MAX: u64 = 32 << 20;
/// Marks the stamp of a source that could not be used whole.
const INCOMPLETE: &str = " incomplete";

/// How the bytes of a file are turned into documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Plain text: one document.
    Text,
    /// Markdown: one document; front matter gives title and date.
    Markdown,
    /// JSON lines: a document a line, or a person a line.
    Jsonl,
}

impl Kind {
    /// By the ending of the file's name; `None` where it is none of ours.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_lowercase();
        match extension.as_str() {
            "txt" | "text" => Some(Self::Text),
            "md" | "markdown" | "mdown" => Some(Self::Markdown),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Markdown => "markdown",
            Self::Jsonl => "jsonl",
        }
    }
}

/// Where writings are taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file, or a folder that is walked.
    Path(PathBuf),
    /// What was read from standard input.
    Stdin(Vec<u8>),
}

/// What to take in, and how.
#[derive(Debug)]
pub struct Request {
    /// Files, folders, or standard input.
    pub inputs: Vec<Input>,
    /// The format; by default each file's ending tells.
    pub kind: Option<Kind>,
    /// Whose profile to take from a file that holds several people.
    pub person: Option<String>,
    /// Largest passage, in estimated tokens.
    pub chunk_tokens: usize,
    /// Larger files are refused.
    pub file_bytes_max: u64,
}

/// Something that could not be used, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub path: String,
    /// The line, from 1, where one line is at fault.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// Whether writing was left out because of it.
    pub lost: bool,
}

/// What an ingest did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Files whose documents are now in the store.
    pub files_ingested: usize,
    /// Files that had not changed since the last time.
    pub files_unchanged: usize,
    /// Files in folders whose endings are none of ours.
    pub files_skipped: usize,
    /// Files that could not be used at all.
    pub files_failed: usize,
    /// What happened to the documents.
    pub documents: Applied,
    /// Everything that could not be used.
    pub problems: Vec<Problem>,
    /// Whether Ctrl-C ended it early; what was done before is stored.
    pub interrupted: bool,
}

impl Report {
    /// How many problems cost writing.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.problems.iter().filter(|problem| problem.lost).count()
    }
}

/// What a reader makes of one source.
#[derive(Debug, Default)]
struct Parsed {
    documents: Vec<NewDocument>,
    problems: Vec<Problem>,
}

/// One source that has to be read.
struct Pending {
    source: Source,
    kind: Kind,
    content: Content,
}

enum Content {
    File(PathBuf),
    Bytes(Vec<u8>),
}

/// Takes in everything that `request` names. `on_progress` is told files done and files in all.
///
/// # Errors
/// [`ProfileError`] where the store fails; files that were done before stay done.
pub fn ingest(
    store: &mut ProfileStore,
    request: &Request,
    interrupt: &AtomicBool,
    on_progress: &mut dyn FnMut(usize, usize),
) -> Result<Report, ProfileError> {
    let user = store.user().to_string();
    let mut report = Report::default();
    let pending = collect(store, request, &mut report)?;
    let total = pending.len();
    let mut done = 0;
    for round in rounds(&pending) {
        let parsed: Vec<Result<Parsed, Problem>> =
            round.par_iter().map(|item| read(item, request, &user)).collect();
        for (item, parsed) in round.iter().zip(parsed) {
            if interrupt.load(Ordering::Relaxed) {
                report.interrupted = true;
                return Ok(report);
            }
            match parsed {
                Ok(parsed) => apply(store, item, parsed, request, &mut report)?,
                Err(problem) => {
                    report.files_failed += 1;
                    report.problems.push(problem);
                }
            }
            done += 1;
            on_progress(done, total);
        }
    }
    Ok(report)
}

/// Neighbouring sources whose sizes together stay within bounds; a larger one goes alone.
fn rounds(pending: &[Pending]) -> Vec<&[Pending]> {
    let mut rounds = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, item) in pending.iter().enumerate() {
        let more = item.source.stamp.size_bytes;
        let full = bytes + more > ROUND_BYTES_MAX || index - start == ROUND_FILES_MAX;
        if full && index > start {
            rounds.push(&pending[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += more;
    }
    if start < pending.len() {
        rounds.push(&pending[start..]);
    }
    rounds
}

fn apply(
    store: &mut ProfileStore,
    item: &Pending,
    parsed: Parsed,
    request: &Request,
    report: &mut Report,
) -> Result<(), ProfileError> {
    let lost_something = parsed.problems.iter().any(|problem| problem.lost);
    report.problems.extend(parsed.problems);
    if lost_something && parsed.documents.is_empty() {
        // What an earlier, better version of the file gave is kept.
        report.files_failed += 1;
        return Ok(());
    }
    let mut source = item.source.clone();
    if lost_something {
        // Not done: the next ingest reads it again, and complains again.
        source.stamp.reading.push_str(INCOMPLETE);
    }
    let applied = store.replace_source(&source, &parsed.documents, request.chunk_tokens)?;
    report.files_ingested += 1;
    report.documents.added += applied.added;
    report.documents.unchanged += applied.unchanged;
    report.documents.duplicates += applied.duplicates;
    report.documents.removed += applied.removed;
    Ok(())
}

/// The sources that are new or changed.
fn collect(
    store: &ProfileStore,
    request: &Request,
    report: &mut Report,
) -> Result<Vec<Pending>, ProfileError> {
    let mut pending = Vec::new();
    for input in &request.inputs {
        match input {
            Input::Stdin(bytes) => pending.push(from_stdin(bytes, request)),
            Input::Path(path) => {
                let found = walk::files(path, request.kind);
                report.files_skipped += found.skipped;
                report.files_failed += found.problems.len();
                report.problems.extend(found.problems);
                for (file, kind) in found.files {
                    let source = match source_of(&file, kind, request) {
                        Ok(source) => source,
                        Err(problem) => {
                            report.files_failed += 1;
                            report.problems.push(problem);
                            continue;
                        }
                    };
                    if store.is_unchanged(&source)? {
                        report.files_unchanged += 1;
                    } else {
                        let content = Content::File(file);
                        pending.push(Pending { source, kind, content });
                    }
                }
            }
        }
    }
    Ok(pending)
}

/// Everything besides the bytes that decides what is stored of a source.
fn reading(kind: Kind, request: &Request) -> String {
    let person = request.person.as_deref().unwrap_or_default();
    format!("{} {} {person}", kind.name(), request.chunk_tokens)
}

fn from_stdin(bytes: &[u8], request: &Request) -> Pending {
    let kind = request.kind.unwrap_or(Kind::Text);
    let digest = hex::encode(Sha256::digest(bytes));
    let source = Source {
        place: format!("stdin:{}", &digest[..12]),
        stamp: Stamp {
            size_bytes: bytes.len() as u64,
            modified_ns: 0,
            reading: reading(kind, request),
        },
    };
    Pending { source, kind, content: Content::Bytes(bytes.to_vec()) }
}

/// The path as text, and who was taken out of it. A name that is not UTF-8 is told from others
/// that look alike by a hash.
fn place_of(absolute: &Path, request: &Request) -> String {
    let mut place = match absolute.to_str() {
        Some(place) => place.to_owned(),
        None => {
            let digest = hex::encode(Sha256::digest(absolute.as_os_str().as_encoded_bytes()));
            format!("{}#{}", absolute.to_string_lossy(), &digest[..12])
        }
    };
    if let Some(person) = &request.person {
        place.push_str(&format!("#{person}"));
    }
    place
}

fn source_of(file: &Path, kind: Kind, request: &Request) -> Result<Source, Problem> {
    let problem = |message: String| problem(&file.display().to_string(), None, message);
    let absolute = file.canonicalize().map_err(|error| problem(error.to_string()))?;
    let metadata = fs::metadata(&absolute).map_err(|error| problem(error.to_string()))?;
    if metadata.len() > request.file_bytes_max {
        return Err(problem(format!(
            "the file is larger than {} MiB ([ingest] file_mib_max)",
            request.file_bytes_max >> 20
        )));
    }
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(Source {
        place: place_of(&absolute, request),
        stamp: Stamp {
            size_bytes: metadata.len(),
            modified_ns: modified.map_or(0, |time| time.as_nanos() as i64),
            reading: reading(kind, request),
        },
    })
}

fn read(item: &Pending, request: &Request, user: &str) -> Result<Parsed, Problem> {
    let place = &item.source.place;
    let bytes = match &item.content {
        Content::Bytes(bytes) => bytes.clone(),
        Content::File(path) => read_file(path, request.file_bytes_max)
            .map_err(|error| problem(place, None, error.to_string()))?,
    };
    let decoded = decode::text(&bytes).map_err(|why| problem(place, None, why.to_owned()))?;
    let mut parsed = match item.kind {
        Kind::Text => text::read(&decoded.text),
        Kind::Markdown => markdown::read(&decoded.text),
        Kind::Jsonl => jsonl::read(&decoded.text, request.person.as_deref(), user),
    };
    if decoded.broken > 0 {
        let message = format!("{} places are not valid UTF-8; kept as U+FFFD", decoded.broken);
        parsed.problems.push(note("", None, message));
    }
    if parsed.documents.is_empty() && parsed.problems.is_empty() {
        parsed.problems.push(note("", None, "there is no text in it".into()));
    }
    for problem in &mut parsed.problems {
        problem.path.clone_from(place);
    }
    Ok(parsed)
}

/// The file's bytes; one that has grown past the bound since it was looked at is refused.
fn read_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other("the file has grown too large"));
    }
    Ok(bytes)
}

/// Something that cost writing.
fn problem(path: &str, line: Option<usize>, message: String) -> Problem {
    Problem { path: path.to_owned(), line, message, lost: true }
}

/// Something that a person should know, but that cost nothing.
fn note(path: &str, line: Option<usize>, message: String) -> Problem {
    Problem { lost: false, ..problem(path, line, message) }
}
