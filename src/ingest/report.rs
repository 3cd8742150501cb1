//! What an ingest did, and what it could not use.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::profile::Applied;

/// Something that could not be used, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

impl Problem {
    /// Something of the whole file that cost writing.
    pub(super) fn lost(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: None, message: message.into(), lost: true }
    }
}

/// What happened to the files of one kind and to their documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct KindReport {
    /// Files whose documents are now in the store.
    pub files_ingested: usize,
    /// Files that had not changed since the last time.
    pub files_unchanged: usize,
    /// Files that could not be used at all.
    pub files_failed: usize,
    /// What happened to the documents.
    pub documents: Applied,
}

/// What an ingest did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Files whose documents are now in the store.
    pub files_ingested: usize,
    /// Files that had not changed since the last time.
    pub files_unchanged: usize,
    /// Files in folders that are of none of our kinds.
    pub files_skipped: usize,
    /// Files that could not be used at all.
    pub files_failed: usize,
    /// Files that are gone and whose documents were removed.
    pub files_pruned: usize,
    /// What happened to the documents.
    pub documents: Applied,
    /// The same by kind.
    pub by_kind: BTreeMap<Kind, KindReport>,
    /// The person's mail addresses, as far as they are known.
    pub me: Vec<String>,
    /// Everything that could not be used.
    pub problems: Vec<Problem>,
    /// What a person should know besides.
    pub notes: Vec<String>,
    /// Whether Ctrl-C ended it early; what was done before is stored.
    pub interrupted: bool,
}

impl Report {
    /// How many problems cost writing.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.problems.iter().filter(|problem| problem.lost).count()
    }

    pub(super) fn count_ingested(&mut self, kind: Kind, applied: Applied) {
        self.files_ingested += 1;
        self.documents += applied;
        let of_kind = self.by_kind.entry(kind).or_default();
        of_kind.files_ingested += 1;
        of_kind.documents += applied;
    }

    pub(super) fn count_unchanged(&mut self, kind: Kind) {
        self.files_unchanged += 1;
        self.by_kind.entry(kind).or_default().files_unchanged += 1;
    }

    pub(super) fn count_failed(&mut self, kind: Kind) {
        self.files_failed += 1;
        self.by_kind.entry(kind).or_default().files_failed += 1;
    }

    /// A file that cannot be used for the reason that `problem` names.
    pub(super) fn fail(&mut self, kind: Kind, problem: Problem) {
        self.count_failed(kind);
        self.problems.push(problem);
    }
}
