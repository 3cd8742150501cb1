//! Documents and the files they came from.

use serde::{Deserialize, Serialize};

/// A document as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Document {
    /// The id that citations name: the writing's own where it has one, else made from its place.
    pub id: String,
    /// Title, subject or heading.
    pub title: Option<String>,
    /// Date of writing, `YYYY-MM-DD`.
    pub date: Option<String>,
    /// Where it was ingested from.
    pub source: String,
    /// What kind of writing it is: the name of the format, `mail` for any message.
    pub kind: String,
    /// Whom it was written to, as the message names them.
    pub recipient: Option<String>,
    /// The text, in Unicode normalisation form C.
    pub text: String,
    /// What it answers, in somebody else's words: never retrieved, never taken for the person's.
    pub context: Option<String>,
}

/// A document on its way into the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDocument {
    /// Tells the documents of one source apart: a line number, an id of its own.
    pub key: String,
    /// The id that the writing brings with it.
    pub id: Option<String>,
    /// Title, subject or heading.
    pub title: Option<String>,
    /// Date of writing, `YYYY-MM-DD`.
    pub date: Option<String>,
    /// What kind of writing it is: the name of the format, `mail` for any message.
    pub kind: String,
    /// Whom it was written to, as the message names them.
    pub recipient: Option<String>,
    /// The text, in Unicode normalisation form C: the person's own words only.
    pub text: String,
    /// What it answers, in somebody else's words.
    pub context: Option<String>,
}

/// The place that documents came from: a file, or standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file's absolute path, or a name such as `stdin:…`.
    pub place: String,
    /// What tells whether it has changed.
    pub stamp: Stamp,
}

/// What tells whether a source has changed since it was ingested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Size of the file.
    pub size_bytes: u64,
    /// Time of its last change, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// How its bytes were turned into documents: the reader, its options, the passage size.
    pub reading: String,
}
