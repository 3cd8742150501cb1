//! People with a profile and later writing that is not in it, from JSON lines: `{user, task,
//! profile: [{id, title, text, date}], queries: [{id, input, output}]}` a line; or rows of LongLaMP, a
//! line each or in an array, each of which asks for one text.

use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::{Exit, Explain};
use crate::ingest::{Asked, asked};
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

const ID_BYTES: usize = 4;

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
    /// A request cannot be told from another one.
    #[error("{user:?} has two requests for {task} with the id {id:?}")]
    Repeated {
        /// The person.
        user: String,
        /// The kind of text.
        task: String,
        /// The id.
        id: String,
    },
    /// There is nobody with both a profile and held-out writing.
    #[error("there is nobody in the data set with a profile and later writing")]
    Empty,
}

impl Explain for DatasetError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "cannot_read",
            _ => "bad_dataset",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Unreadable { source, .. } => match source.kind() {
                ErrorKind::NotFound => Exit::NotFound,
                ErrorKind::InvalidData => Exit::InvalidData,
                _ => Exit::Failed,
            },
            _ => Exit::InvalidData,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Unreadable { .. } => {
                "Give files of UTF-8 text with --dataset that are there and may be read.".into()
            }
            Self::Repeated { .. } => {
                "Name each file once, and give each request of a person its own id.".into()
            }
            Self::Malformed { .. } | Self::Empty => {
                "A data set has a person a line: {\"user\", \"task\", \"profile\": [{\"id\", \
                 \"title\", \"text\", \"date\"}], \"queries\": [{\"id\", \"input\", \
                 \"output\"}]}; or it has rows of LongLaMP."
                    .into()
            }
        })
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
        if text.trim_start().starts_with('[') {
            people.extend(rows(path, &text)?);
            continue;
        }
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            people.extend(person(path, index + 1, line)?);
        }
    }
    people.retain(|person| !person.profile.is_empty() && !person.queries.is_empty());
    require_own_ids(&people)?;
    if people.is_empty() { Err(DatasetError::Empty) } else { Ok(people) }
}

/// What is kept of a request is found by its task, its person and its id.
fn require_own_ids(people: &[Person]) -> Result<(), DatasetError> {
    let mut known = HashSet::new();
    for Person { user, task, queries, .. } in people {
        if let Some(query) = queries.iter().find(|query| !known.insert((task, user, &query.id))) {
            let (user, task, id) = (user.clone(), task.clone(), query.id.clone());
            return Err(DatasetError::Repeated { user, task, id });
        }
    }
    Ok(())
}

/// The rows of an array.
fn rows(path: &Path, text: &str) -> Result<Vec<Person>, DatasetError> {
    let malformed = |line: usize, reason: String| DatasetError::Malformed {
        path: path.to_owned(),
        line,
        reason,
    };
    let rows: Vec<Value> =
        serde_json::from_str(text).map_err(|error| malformed(error.line(), error.to_string()))?;
    let mut people = Vec::new();
    for (number, row) in (1..).zip(rows) {
        if !is_row(&row) {
            return Err(malformed(1, format!("element {number} is no row of LongLaMP")));
        }
        people.extend(asked(&row, number).map(|asked| of_row(asked, number)));
    }
    Ok(people)
}

/// Whether it is a row of LongLaMP; one whose text is kept back asks for nothing.
fn is_row(row: &Value) -> bool {
    row.get("profile").is_some_and(Value::is_array) && row.get("user").is_none()
}

fn of_row(asked: Asked, number: usize) -> Person {
    let Asked { person, task, input, output, profile } = asked;
    // Files are put together, and each counts its rows from 1.
    let hash = hex::encode(&Sha256::digest(format!("{input}\n{output}").as_bytes())[..ID_BYTES]);
    let queries = vec![HeldOut { id: format!("{number}-{hash}"), input, output }];
    Person { user: person, task: task.to_owned(), profile, queries }
}

fn person(path: &Path, line: usize, text: &str) -> Result<Option<Person>, DatasetError> {
    let malformed = |error: serde_json::Error| DatasetError::Malformed {
        path: path.to_owned(),
        line,
        reason: error.to_string(),
    };
    let row: Value = serde_json::from_str(text).map_err(malformed)?;
    if is_row(&row) {
        return Ok(asked(&row, line).map(|asked| of_row(asked, line)));
    }
    let row: Row = serde_json::from_value(row).map_err(malformed)?;
    let profile = row.profile.into_iter().map(|item| NewDocument {
        key: item.id.clone(),
        id: Some(item.id),
        title: item.title,
        date: item.date,
        text: item.text,
        ..NewDocument::default()
    });
    let (user, task, queries) = (row.user, row.task, row.queries);
    Ok(Some(Person { user, task, profile: profile.collect(), queries }))
}

/// Persons and queries by their indices: of each task as many as wanted, people in turn, in an
/// order that a hash of their names gives, the first ones left out where that is wanted.
pub(super) fn sample(
    people: &[Person],
    skipped_per_task: usize,
    queries_per_task: usize,
) -> Vec<(usize, usize)> {
    let hash = |text: &str| Sha256::digest(text.as_bytes()).to_vec();
    // Of each person of a task, who may stand in several rows: a query's hash, and both indices.
    type Asked = (Vec<u8>, usize, usize);
    let mut persons: BTreeMap<(&str, &str), Vec<Asked>> = BTreeMap::new();
    for (person, it) in people.iter().enumerate() {
        let queries = it.queries.iter().enumerate();
        let asked = queries.map(|(query, held)| (hash(&held.id), person, query));
        persons.entry((&it.task, &it.user)).or_default().extend(asked);
    }
    // Of each task: a person's how-manieth query, a hash of the person, both indices.
    type Turn = (usize, Vec<u8>, usize, usize);
    let mut tasks: BTreeMap<&str, Vec<Turn>> = BTreeMap::new();
    for ((task, user), mut asked) in persons {
        asked.sort();
        for (turn, (_, person, query)) in asked.into_iter().enumerate() {
            tasks.entry(task).or_default().push((turn, hash(user), person, query));
        }
    }
    // A query of each task in turn: a run that is ended early knows as much of every task.
    let mut chosen = Vec::new();
    for (place, mut queries) in tasks.into_values().enumerate() {
        queries.sort();
        let some = queries.into_iter().skip(skipped_per_task).take(queries_per_task);
        chosen.extend(
            some.enumerate().map(|(turn, (.., person, query))| (turn, place, person, query)),
        );
    }
    chosen.sort_unstable();
    chosen.into_iter().map(|(.., person, query)| (person, query)).collect()
}

/// The next one after `person`, in a ring, who is another and `is_fit`; of the same task, where there is
/// one.
pub(super) fn next_other(
    people: &[Person],
    person: usize,
    is_fit: impl Fn(usize) -> bool,
) -> Option<usize> {
    let n = people.len();
    let is_other = |place: &usize| people[*place].user != people[person].user && is_fit(*place);
    let others = || (1..n).map(|step| (person + step) % n).filter(is_other);
    let same_task = |place: &usize| people[*place].task == people[person].task;
    others().find(same_task).or_else(|| others().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(user: &str, task: &str, n_queries: usize) -> Person {
        let query = |index| HeldOut {
            id: format!("{user}/{index}"),
            input: String::new(),
            output: String::new(),
        };
        Person {
            user: user.into(),
            task: task.into(),
            profile: Vec::new(),
            queries: (0..n_queries).map(query).collect(),
        }
    }

    #[test]
    fn rows_of_longlamp_ask_for_a_text_each() {
        let folder = tempfile::tempdir().unwrap();
        let row = |output: &str| {
            serde_json::json!({"input": "Write.", "output": output, "author": "Ann",
                "profile": [{"summary": "T", "content": "A post."}]})
        };
        let lines = format!("{}\n\n{}\n", row("one"), row("two"));
        let array = serde_json::json!([row("one"), row("two")]).to_string();
        for text in [lines, array] {
            let path = folder.path().join("rows");
            std::fs::write(&path, text).unwrap();
            let people = read_people(&[path]).unwrap();
            let asked: Vec<(&str, &str, &str)> = people
                .iter()
                .map(|it| (it.user.as_str(), it.task.as_str(), it.queries[0].output.as_str()))
                .collect();
            assert_eq!(asked, [("Ann", "topic", "one"), ("Ann", "topic", "two")]);
            assert_eq!(people[0].profile[0].text, "A post.");
        }
    }

    #[test]
    fn requests_that_cannot_be_told_apart_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.jsonl");
        let row = |id: &str| {
            serde_json::json!({"user": "Ann", "task": "email",
                "profile": [{"id": "1", "text": "A mail."}],
                "queries": [{"id": id, "input": "Write.", "output": "Text."}]})
        };
        std::fs::write(&path, format!("{}\n{}\n", row("q1"), row("q2"))).unwrap();
        assert_eq!(read_people(std::slice::from_ref(&path)).unwrap().len(), 2);
        let twice = read_people(&[path.clone(), path]).unwrap_err();
        assert!(twice.to_string().contains("\"Ann\" has two requests for email"), "{twice}");
    }

    #[test]
    fn the_next_other_is_somebody_else() {
        let people = [person("a", "email", 1), person("a", "email", 1), person("b", "review", 1)];
        assert_eq!(next_other(&people, 0, |_| true), Some(2));
        assert_eq!(next_other(&people, 0, |place| people[place].task == "email"), None);
        let people = [&people[..], &[person("c", "email", 1)]].concat();
        assert_eq!(next_other(&people, 0, |_| true), Some(3), "of the same task");
        assert_eq!(next_other(&people, 3, |_| true), Some(0));
    }

    #[test]
    fn a_sample_takes_tasks_and_people_in_turn_and_goes_on_where_another_ended() {
        let people = [person("a", "email", 3), person("b", "email", 3), person("c", "review", 5)];
        let all = sample(&people, 0, 4);
        assert_eq!(all.len(), 8);
        let tasks: Vec<&str> =
            all.iter().map(|&(person, _)| people[person].task.as_str()).collect();
        assert_eq!(tasks, ["email", "review"].repeat(4));
        let mails: Vec<usize> =
            all.iter().map(|&(person, _)| person).filter(|it| *it < 2).collect();
        assert_ne!(mails[0], mails[1]);
        let (first, rest) = (sample(&people, 0, 1), sample(&people, 1, 3));
        assert_eq!(all, [first, rest].concat());
    }
}
