//! Writings into documents: one file per source format, and the walk that feeds them.
//!
//! A reader turns the bytes of one source into documents and a list of what it could not use,
//! with places; everything else of that source, and every other source, still goes in. Sources are
//! read in processes of their own, several at once, and stored in a stable order: what a source
//! contributes changes in one transaction. This module never loads a model.

mod batch;
mod chatgpt;
mod claude;
mod conversations;
mod csv;
mod dates;
mod decode;
mod docx;
mod error;
mod frame;
mod html;
mod html_text;
mod jsonl;
mod kind;
mod longlamp;
mod mail;
mod maildir;
mod markdown;
mod me;
mod odt;
mod office;
mod open;
mod org;
mod org_inline;
mod parsed;
mod pdf;
mod pool;
mod process;
mod prune;
mod readers;
mod reflow;
mod report;
mod rst;
mod rst_inline;
mod source;
mod text;
mod walk;
mod worker;
mod zipped;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

pub use error::IngestError;
pub use kind::Kind;
pub use longlamp::{Asked, asked};
pub use parsed::Columns;
pub use report::{KindReport, Problem, Report};
pub use worker::serve;

use batch::Batch;
use frame::{Content, Task};
use parsed::{Options, Parsed};
use pool::{Job, Pool, Queue, Reader};
use process::ReaderCommand;
use source::{OTHER_KIND, Pending};
use walk::{FoundFile, Walked};

use crate::profile::{ProfileError, ProfileStore, Stamp};

/// Where writings are taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file, or a folder that is walked.
    Path(PathBuf),
    /// What was read from standard input.
    Stdin(Vec<u8>),
}

/// What to take in, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// Files, folders, or standard input.
    pub inputs: Vec<Input>,
    /// The format; by default each file tells by itself.
    pub kind: Option<Kind>,
    /// Whose profile to take from a file that holds several people.
    pub person: Option<String>,
    /// The person's mail addresses, beside those that the profile remembers.
    pub me: Vec<String>,
    /// Names of the columns of a table.
    pub columns: Columns,
    /// Whether to remove what came from files below the given folders that are gone.
    pub prune: bool,
    /// Largest passage, in estimated tokens.
    pub chunk_tokens: usize,
    /// Larger files are refused, but for mailboxes, which are read piece by piece.
    pub file_bytes_max: u64,
    /// The program that reads the sources when it is called with `read-sources`; `None`: they are
    /// read in this process, which then bounds neither time nor memory.
    pub reader: Option<PathBuf>,
    /// Memory that one reader may use, in MiB.
    pub reader_mib_max: u32,
    /// How long one source may take without a sign of progress, in seconds.
    pub reader_seconds_max: u32,
}

impl Default for Request {
    /// Nothing, read in this process.
    fn default() -> Self {
        Self {
            inputs: Vec::new(),
            kind: None,
            person: None,
            me: Vec::new(),
            columns: Columns::default(),
            prune: false,
            chunk_tokens: 220,
            file_bytes_max: 64 << 20,
            reader: None,
            reader_mib_max: 400,
            reader_seconds_max: 8,
        }
    }
}

impl Request {
    fn reader(&self, user: &str) -> Reader {
        let arguments = ["read-sources", "--memory-mib-max", &self.reader_mib_max.to_string()]
            .map(str::to_owned)
            .to_vec();
        let command = |program: &PathBuf| ReaderCommand { program: program.clone(), arguments };
        Reader {
            command: self.reader.as_ref().map(command),
            patience: Duration::from_secs(self.reader_seconds_max.into()),
            file_bytes_max: self.file_bytes_max,
            options: Options {
                user: user.to_owned(),
                person: self.person.clone(),
                me: Vec::new(),
                columns: self.columns.clone(),
            },
        }
    }
}

/// How far an ingest has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Sources that are done: stored, or found to be unusable.
    pub done: usize,
    /// Sources that are new or changed.
    pub total: usize,
    /// The places of the sources that have just been stored.
    pub stored: &'a [&'a str],
}

/// Takes everything that `request` names into `store`. `on_progress` is told after each
/// transaction; once `interrupt` is set, what was read is stored and the rest is left.
///
/// # Errors
/// Why the profile cannot be read or changed, or no reader be started. What is wrong with a source
/// stands in the report instead.
pub fn ingest(
    store: &mut ProfileStore,
    request: &Request,
    interrupt: &AtomicBool,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Report, IngestError> {
    let mut report = Report::default();
    let (files, folders) = walk_all(request, interrupt, &mut report);
    let mut reader = request.reader(store.user().as_str());
    reader.options.me = me::addresses(store, &request.me, &files, &reader, interrupt, &mut report)?;
    report.me.clone_from(&reader.options.me);
    let (pending, seen) = collect(store, request, files, &folders, &reader.options, &mut report)?;
    read_and_store(store, &pending, &reader, request, interrupt, &mut report, on_progress)?;
    report.interrupted |= interrupt.load(Ordering::Relaxed) && request.prune;
    if request.prune && !report.interrupted {
        prune::prune(store, &folders, &seen, &mut report)?;
    }
    Ok(report)
}

/// The files of all inputs, and the folders among the inputs.
fn walk_all(
    request: &Request,
    interrupt: &AtomicBool,
    report: &mut Report,
) -> (Vec<FoundFile>, Vec<Walked>) {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for input in &request.inputs {
        let Input::Path(path) = input else { continue };
        let found = walk::files(path, request.kind, interrupt);
        report.files_skipped += found.skipped;
        report.files_failed += found.problems.iter().filter(|problem| problem.lost).count();
        report.problems.extend(found.problems);
        files.extend(found.files);
        folders.extend(found.folder);
    }
    // The walk may have been left in the middle.
    report.interrupted = interrupt.load(Ordering::Relaxed);
    (files, folders)
}

/// The sources that are new or changed, and the places of all.
fn collect(
    store: &ProfileStore,
    request: &Request,
    files: Vec<FoundFile>,
    folders: &[Walked],
    options: &Options,
    report: &mut Report,
) -> Result<(Vec<Pending>, HashSet<String>), ProfileError> {
    let mut known: HashMap<String, Stamp> = HashMap::new();
    for folder in folders.iter().filter(|folder| folder.has_files) {
        known.extend(store.stamps_below(&source::text_of(&folder.root))?);
    }
    let mut pending = Vec::new();
    let mut seen = HashSet::new();
    for file in files {
        let reading = source::reading(file.kind, request.chunk_tokens, options);
        let source = source::of_file(&file, request.person.as_deref(), reading);
        // Inputs may overlap.
        if !seen.insert(source.place.clone()) {
            continue;
        }
        let FoundFile { path, kind, named, size_bytes, .. } = file;
        let shown = path.display().to_string();
        if kind != Kind::Mbox && size_bytes > request.file_bytes_max {
            let bound = request.file_bytes_max >> 20;
            let message = format!("the file is larger than {bound} MiB ([ingest] file_mib_max)");
            report.fail(kind, Problem::lost(shown, message));
            continue;
        }
        let before = match known.remove(&source.place) {
            Some(stamp) => Some(stamp),
            None if named => store.stamp(&source.place)?,
            None => None,
        };
        if before.as_ref() == Some(&source.stamp) {
            report.count_unchanged(kind);
        } else if before.as_ref().is_some_and(|before| is_other_kind(before, &source.stamp))
            && !named
        {
            report.files_skipped += 1;
        } else {
            let known = before.is_some_and(|before| !before.reading.ends_with(OTHER_KIND));
            let content = Content::File(path);
            pending.push(Pending { source, kind, content, named, known, shown });
        }
    }
    for input in &request.inputs {
        if let Input::Stdin(bytes) = input {
            pending.push(source::of_stdin(bytes, request, options));
        }
    }
    Ok((pending, seen))
}

/// Whether a file that is now as `stamp` says turned out to be of none of our kinds before.
fn is_other_kind(before: &Stamp, stamp: &Stamp) -> bool {
    before.reading.strip_suffix(OTHER_KIND) == Some(stamp.reading.as_str())
        && (before.size_bytes, before.modified_ns) == (stamp.size_bytes, stamp.modified_ns)
}

fn read_and_store(
    store: &mut ProfileStore,
    pending: &[Pending],
    reader: &Reader,
    request: &Request,
    interrupt: &AtomicBool,
    report: &mut Report,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), IngestError> {
    let jobs: Vec<Job<'_>> = pending
        .iter()
        .map(|Pending { source, kind, content, .. }| Job {
            task: Task::Documents,
            kind: *kind,
            content,
            size_bytes: source.stamp.size_bytes,
        })
        .collect();
    let queue = Queue::new(&jobs, reader, interrupt);
    thread::scope(|scope| {
        let mut pool = Pool::start(scope, &queue);
        let batch = Batch::new(store, request.chunk_tokens, pending, report);
        batch.run(&mut pool, interrupt, on_progress)
    })
}
