//! Rows of the LongLaMP benchmark, as a JSON array or a row a line: the profile of one person.
//! `output` is what a model is asked to write, and is never stored.
//!
//! A person is named by `name`, `reviewerId` or `author`; a row without any of them by its number.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;

use super::conversations::elements;
use super::dates;
use super::decode::{clean, clean_line};
use super::parsed::{Options, Parsed};
use crate::profile::NewDocument;

/// Names that a message lists of a file with many people.
const NAMES_SHOWN: usize = 5;

/// Whether `row` is of this shape; ours with `user` is another.
pub(super) fn looks_like(row: &Value) -> bool {
    let has_text = |key: &str| row.get(key).is_some_and(Value::is_string);
    row.get("profile").is_some_and(Value::is_array)
        && (has_text("input") || has_text("output"))
        && row.get("user").is_none()
}

/// The profile of `options.person`, else of the only person, else of the one called as the user.
pub(super) fn read(text: &str, options: &Options) -> Parsed {
    let mut parsed = Parsed::default();
    let mut people = People::default();
    let person = options.person.as_deref();
    if text.trim_start().starts_with('[') {
        let ended = elements(text, &mut |number, row| {
            if people.add(row, number, person, &options.user).is_none() {
                parsed.lose(None, format!("row {number} is no row of LongLaMP"));
            }
        });
        if let Err(why) = ended {
            parsed.lose(None, why);
        }
    } else {
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if line.trim().is_empty() {
                continue;
            }
            let row = serde_json::from_str(line).ok();
            if row.and_then(|row| people.add(row, number, person, &options.user)).is_none() {
                parsed.lose(Some(number), "it is no row of LongLaMP");
            }
        }
    }
    if people.names.is_empty() {
        return parsed;
    }
    let wanted = match person {
        Some(person) => person,
        None if people.names.len() == 1 => people.first.as_str(),
        None => options.user.as_str(),
    };
    if !people.names.contains(wanted) {
        parsed.lose(None, people.nobody(wanted));
        return parsed;
    }
    let mut seen = HashSet::new();
    for (number, _, profile) in people.kept.iter().filter(|(_, name, _)| name == wanted) {
        for (index, item) in profile.iter().enumerate() {
            match document(item, *number, index + 1) {
                // Later rows of a person repeat the profiles of earlier ones.
                Some(document) if seen.insert(document.text.clone()) => {
                    parsed.documents.push(document);
                }
                Some(_) => {}
                None => {
                    let message = format!("document {} of row {number} has no text", index + 1);
                    parsed.lose(None, message);
                }
            }
        }
    }
    parsed
}

#[derive(Deserialize)]
struct Row {
    name: Option<Value>,
    #[serde(rename = "reviewerId")]
    reviewer_id: Option<Value>,
    author: Option<Value>,
    profile: Vec<Value>,
}

/// A row with what it asks for: for measuring, never for a profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The person; where the row has no name, its number.
    pub person: String,
    /// The kind of text, as the tasks are called.
    pub task: &'static str,
    /// What is asked for.
    pub input: String,
    /// What the person wrote.
    pub output: String,
    /// What the person wrote before.
    pub profile: Vec<NewDocument>,
}

/// Row `number` of a file, from 1, with what it asks for; `None` where it is no row of LongLaMP, or
/// asks for nothing.
#[must_use]
pub fn asked(row: &Value, number: usize) -> Option<Asked> {
    let text = |key: &str| Some(clean(row.get(key)?.as_str()?).trim().to_owned());
    let (input, output) = (text("input")?, text("output")?);
    if !looks_like(row) || input.is_empty() || output.is_empty() {
        return None;
    }
    let named = Row::deserialize(row).ok()?;
    let person =
        [(&named.name, "abstract"), (&named.reviewer_id, "review"), (&named.author, "topic")];
    let found = person.into_iter().find_map(|(name, task)| Some((plain(name)?, task)));
    let (person, task) = found.unwrap_or((number.to_string(), "email"));
    let items = named.profile.iter().enumerate();
    let profile = items.filter_map(|(at, item)| document(item, number, at + 1)).collect();
    Some(Asked { person, task, input, output, profile })
}

/// The people of a file, and the rows of those who may be wanted.
#[derive(Default)]
struct People {
    names: HashSet<String>,
    /// The name in the first row.
    first: String,
    shown: Vec<String>,
    /// Number, name and profile.
    kept: Vec<(usize, String, Vec<Value>)>,
}

impl People {
    /// Takes in a row; `None` where it is none.
    fn add(&mut self, row: Value, number: usize, person: Option<&str>, user: &str) -> Option<()> {
        let row: Row = serde_json::from_value(row).ok()?;
        let id = [&row.name, &row.reviewer_id, &row.author].into_iter().find_map(plain);
        let name = id.unwrap_or_else(|| number.to_string());
        if self.names.is_empty() {
            self.first.clone_from(&name);
        }
        let may_be_wanted = match person {
            Some(person) => person == name,
            None => name == self.first || name == user,
        };
        if self.names.insert(name.clone()) && self.shown.len() < NAMES_SHOWN {
            self.shown.push(name.clone());
        }
        if may_be_wanted {
            self.kept.push((number, name, row.profile));
        }
        Some(())
    }

    fn nobody(&self, wanted: &str) -> String {
        format!(
            "it holds {} people, none of them {wanted:?}; choose one with --person (the first: {})",
            self.names.len(),
            self.shown.join("; ")
        )
    }
}

/// The fields of the four tasks.
#[derive(Deserialize)]
struct Item {
    id: Option<Value>,
    title: Option<Value>,
    summary: Option<Value>,
    year: Option<Value>,
    #[serde(rename = "abstract")]
    abstract_text: Option<Value>,
    #[serde(rename = "reviewText")]
    review_text: Option<Value>,
    content: Option<Value>,
    text: Option<Value>,
}

fn document(item: &Value, row: usize, number: usize) -> Option<NewDocument> {
    let item = Item::deserialize(item).ok()?;
    let texts = [&item.abstract_text, &item.review_text, &item.content, &item.text];
    let text = clean(texts.into_iter().find_map(|text| text.as_ref()?.as_str())?);
    let text = text.trim();
    let line = |text: String| Some(clean_line(&text)).filter(|line| !line.is_empty());
    (!text.is_empty()).then(|| NewDocument {
        key: format!("{row}/{number}"),
        id: plain(&item.id).and_then(line),
        title: plain(&item.title).or_else(|| plain(&item.summary)).and_then(line),
        date: plain(&item.year).and_then(|year| dates::day(&year)),
        kind: "longlamp".into(),
        text: text.to_owned(),
        ..NewDocument::default()
    })
}

/// A string or a number as text.
fn plain(value: &Option<Value>) -> Option<String> {
    match value.as_ref()? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(person: Option<&str>, user: &str) -> Options {
        Options { user: user.to_owned(), person: person.map(str::to_owned), ..Options::default() }
    }

    fn texts(parsed: &Parsed) -> Vec<&str> {
        parsed.documents.iter().map(|document| document.text.as_str()).collect()
    }

    #[test]
    fn items_of_all_tasks_become_documents() {
        let row = json!({"input": "Write.", "output": "SECRET", "author": "Ann", "profile": [
            {"title": "T", "abstract": "An abstract.", "year": 2008, "id": 7},
            {"overall": 5.0, "description": "A lamp", "summary": "S", "reviewText": "A review."},
            {"summary": "Topic", "content": "A post."},
            {"title": "Subject", "text": "A mail."},
            {"title": "nothing"},
        ]});
        assert!(looks_like(&row));
        let parsed = read(&json!([row]).to_string(), &Options::default());
        assert_eq!(texts(&parsed), ["An abstract.", "A review.", "A post.", "A mail."]);
        let titles: Vec<_> =
            parsed.documents.iter().map(|document| document.title.as_deref()).collect();
        assert_eq!(titles, [Some("T"), Some("S"), Some("Topic"), Some("Subject")]);
        let first = &parsed.documents[0];
        assert_eq!((first.key.as_str(), first.id.as_deref()), ("1/1", Some("7")));
        assert_eq!(first.date.as_deref(), Some("2008-01-01"));
        assert!(!format!("{parsed:?}").contains("SECRET"));
        assert_eq!(parsed.problems.len(), 1);
    }

    #[test]
    fn a_row_says_what_it_asks_for_of_whom() {
        let row = json!({"input": "Write.", "output": "It.", "reviewerId": "Bo", "profile": [
            {"overall": 5.0, "summary": "S", "reviewText": "A review."}, {"title": "nothing"},
        ]});
        let asked = asked(&row, 3).unwrap();
        assert_eq!((asked.person.as_str(), asked.task), ("Bo", "review"));
        assert_eq!((asked.input.as_str(), asked.output.as_str()), ("Write.", "It."));
        assert_eq!(asked.profile.len(), 1);
        let nothing = json!({"input": " ", "output": "It.", "name": "Ann", "profile": []});
        assert_eq!(super::asked(&nothing, 1), None);
    }

    #[test]
    fn one_person_is_taken_of_several() {
        let lines = "{\"input\": \"\", \"name\": \"Ann\", \"profile\": [{\"text\": \"by Ann\"}]}\n\n\
            {\"input\": \"\", \"reviewerId\": \"Bo\", \"profile\": [{\"text\": \"by Bo\"}]}\n\
            {\"input\": \"\", \"name\": \"Ann\", \"profile\": [{\"text\": \"by Ann\"}, {\"text\": \"new\"}]}";
        assert_eq!(texts(&read(lines, &options(Some("Bo"), "me"))), ["by Bo"]);
        assert_eq!(texts(&read(lines, &options(None, "Ann"))), ["by Ann", "new"]);
        let neither = read(lines, &options(None, "me"));
        assert!(neither.documents.is_empty());
        assert!(neither.problems[0].message.contains("--person"), "{neither:?}");
        let single = lines.lines().next().unwrap();
        assert_eq!(texts(&read(single, &options(None, "me"))), ["by Ann"]);
    }

    #[test]
    fn rows_without_a_name_are_told_by_their_number() {
        let rows = r#"[{"input": "", "profile": [{"text": "one"}]},
            {"input": "", "profile": [{"text": "two"}]}]"#;
        assert_eq!(texts(&read(rows, &options(Some("2"), "me"))), ["two"]);
    }

    #[test]
    fn what_is_no_row_is_named() {
        let parsed = read("{\"input\": 1}\n{oops\n[1]", &Options::default());
        let lines: Vec<_> = parsed.problems.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [Some(1), Some(2), Some(3)]);
        let parsed = read("[1, {\"profile\": [], \"author\": \"Ann\"}, ", &Options::default());
        assert_eq!(parsed.problems.len(), 2);
        for other in
            [json!({"user": "Ann", "input": "", "profile": []}), json!({"text": ""}), json!(1)]
        {
            assert!(!looks_like(&other), "{other}");
        }
    }
}
