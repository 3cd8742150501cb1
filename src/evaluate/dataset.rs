//! People with a profile and later writing that is not in it, from JSON lines: `{user, task,
//! profile: [{id, title, text, date}], queries: [{id, input, output}]}` a line.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Exit, Explain};
use crate::profile::NewDocument;

/// A person of a data set.
#[derive(Debug, Clone)]
pub struct Person {
    /// Their name.
    pub user: String,
    /// The kind of text that they write.
    pub task: String,
    /// What they wrote before.
    pub profile: Vec<NewDocument>,
    /// What they wrote later, with what was asked for.
    pub queries: Vec<HeldOut>,
}

/// A request and what the person really wrote for it.
#[derive(Debug, Clone, Deserialize)]
pub struct HeldOut {
    /// Its id.
    pub id: String,
    /// The request.
    pub input: String,
    /// What the person wrote.
    pub output: String,
}

#[derive(Deserialize)]
struct Row {
    user: String,
    task: String,
    profile: Vec<Item>,
    queries: Vec<HeldOut>,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    title: Option<String>,
    text: String,
    date: Option<String>,
}

/// Why a data set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line has another shape.
    #[error("{}:{line}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// There is nobody with both a profile and held-out writing.
    #[error("there is nobody in the data set with a profile and later writing")]
    Empty,
}

impl Explain for DatasetError {
    fn kind(&self) -> &'static str {
        "bad_dataset"
    }

    fn exit(&self) -> Exit {
        Exit::InvalidData
    }

    fn help(&self) -> Option<String> {
        Some(
            "A data set has a person a line: {\"user\", \"task\", \"profile\": [{\"id\", \
             \"title\", \"text\", \"date\"}], \"queries\": [{\"id\", \"input\", \"output\"}]}."
                .into(),
        )
    }
}

/// The people of all `files`.
///
/// # Errors
/// [`DatasetError`], the first one.
pub fn read_people(files: &[PathBuf]) -> Result<Vec<Person>, DatasetError> {
    let mut people = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(path)
            .map_err(|source| DatasetError::Unreadable { path: path.clone(), source })?;
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            people.push(person(path, index + 1, line)?);
        }
    }
    people.retain(|person| !person.profile.is_empty() && !person.queries.is_empty());
    if people.is_empty() { Err(DatasetError::Empty) } else { Ok(people) }
}

fn person(path: &Path, line: usize, text: &str) -> Result<Person, DatasetError> {
    let row: Row = serde_json::from_str(text).map_err(|error| DatasetError::Malformed {
        path: path.to_owned(),
        line,
        reason: error.to_string(),
    })?;
    let profile = row.profile.into_iter().map(|item| NewDocument {
        key: item.id.clone(),
        id: Some(item.id),
        title: item.title,
        date: item.date,
        text: item.text,
        ..NewDocument::default()
    });
    Ok(Person { user: row.user, task: row.task, profile: profile.collect(), queries: row.queries })
}
