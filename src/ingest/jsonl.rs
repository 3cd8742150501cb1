//! JSON lines in two shapes: a document a line, `{"id", "title", "text", "date"}`, where only
//! `text` must be there; or a person a line, `{"user", "profile": [documents]}`, of whom one is
//! taken.

use serde::Deserialize;
use serde_json::Value;

use super::decode::{clean, clean_line};
use super::{Options, Parsed, dates};
use crate::profile::NewDocument;

/// Names that an error message lists of a file with many people.
const NAMES_SHOWN: usize = 5;
/// Of a date that is none.
const DATE_CHARS_SHOWN: usize = 32;

/// A line of either shape; other fields are ignored.
#[derive(Deserialize)]
struct Row {
    user: Option<Value>,
    profile: Option<Value>,
    #[serde(flatten)]
    item: Item,
}

/// The fields of a document.
#[derive(Deserialize)]
struct Item {
    id: Option<Value>,
    title: Option<String>,
    text: Option<String>,
    date: Option<Value>,
}

/// The documents of all lines; of lines that hold people, those of the person whom `options`
/// name, else of the only one, else of the one called like the user.
pub(super) fn read(text: &str, options: &Options) -> Parsed {
    let mut parsed = Parsed::default();
    let mut people: Vec<(usize, String, Vec<Value>)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str::<Row>(line) {
            Ok(Row { user, profile: Some(Value::Array(profile)), .. }) => {
                let name = user.as_ref().and_then(Value::as_str).unwrap_or_default();
                people.push((number, name.to_owned(), profile));
            }
            Ok(row) => add(&mut parsed, row.item, number, number.to_string()),
            Err(error) => {
                // What serde says of it quotes the person's text.
                let column = error.column();
                let message =
                    format!("not a JSON object of the expected shape, at column {column}");
                parsed.lose(Some(number), message);
            }
        }
    }
    if !people.is_empty() {
        match choose(&people, options) {
            Ok(name) => {
                // A person may have several lines.
                for (line, _, profile) in people.iter().filter(|(_, other, _)| *other == name) {
                    add_profile(&mut parsed, profile, *line);
                }
            }
            Err(message) => parsed.lose(None, message),
        }
    }
    parsed
}

fn choose(people: &[(usize, String, Vec<Value>)], options: &Options) -> Result<String, String> {
    let mut names: Vec<&str> = people.iter().map(|(_, name, _)| name.as_str()).collect();
    names.dedup();
    let wanted = match (options.person.as_deref(), names.as_slice()) {
        (Some(person), _) => person,
        (None, [only]) => only,
        (None, _) => options.user.as_str(),
    };
    if names.contains(&wanted) {
        return Ok(wanted.to_owned());
    }
    let first: Vec<&str> = names.iter().take(NAMES_SHOWN).copied().collect();
    Err(format!(
        "it holds {} people, none of them {wanted:?}; choose one with --person (the first: {})",
        names.len(),
        first.join("; ")
    ))
}

fn add_profile(parsed: &mut Parsed, profile: &[Value], line: usize) {
    for (index, value) in profile.iter().enumerate() {
        match Item::deserialize(value) {
            Ok(item) => add(parsed, item, line, format!("{line}/{}", index + 1)),
            Err(_) => {
                let message = format!("document {} is not of the expected shape", index + 1);
                parsed.lose(Some(line), message);
            }
        }
    }
}

fn add(parsed: &mut Parsed, item: Item, line: usize, key: String) {
    let text = clean(&item.text.unwrap_or_default());
    if text.trim().is_empty() {
        parsed.lose(Some(line), "there is no \"text\" in it");
        return;
    }
    let id = match item.id {
        Some(Value::String(id)) => Some(clean_line(&id)).filter(|id| !id.is_empty()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    };
    let date = item.date.and_then(|value| {
        let day = match &value {
            Value::String(text) => dates::day(text),
            Value::Number(number) => number.as_i64().and_then(from_number),
            _ => None,
        };
        if day.is_none() && !value.is_null() {
            let shown: String = value.to_string().chars().take(DATE_CHARS_SHOWN).collect();
            let message = format!("the date {shown} is not understood; stored without one");
            parsed.note(Some(line), message);
        }
        day
    });
    parsed.documents.push(NewDocument {
        key,
        id,
        title: item.title.map(|title| clean_line(&title)).filter(|title| !title.is_empty()),
        date,
        text: text.trim().to_owned(),
        ..NewDocument::default()
    });
}

/// A number is a year, else seconds since 1970.
fn from_number(number: i64) -> Option<String> {
    dates::day(&number.to_string()).or_else(|| dates::day_of_seconds(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_for(text: &str, person: Option<&str>, user: &str) -> Parsed {
        let (person, user) = (person.map(str::to_owned), user.to_owned());
        read(text, &Options { person, user, ..Options::default() })
    }

    fn texts(parsed: &Parsed) -> Vec<&str> {
        parsed.documents.iter().map(|document| document.text.as_str()).collect()
    }

    #[test]
    fn documents_come_with_their_fields() {
        let line = r#"{"id": 7, "title": " T ", "text": "Body\n", "date": "2020-01-02", "x": 1}"#;
        let parsed = read_for(line, None, "me");
        let document = &parsed.documents[0];
        assert_eq!(document.id.as_deref(), Some("7"));
        assert_eq!(document.title.as_deref(), Some("T"));
        assert_eq!(document.date.as_deref(), Some("2020-01-02"));
        assert_eq!(document.text, "Body");
    }

    #[test]
    fn a_bad_line_is_named_and_the_others_go_in() {
        let parsed =
            read_for("{\"text\": \"one\"}\n{oops\n\n[1]\n{\"text\": \"two\"}\n{}", None, "me");
        assert_eq!(texts(&parsed), ["one", "two"]);
        let lines: Vec<_> = parsed.problems.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [Some(2), Some(4), Some(6)]);
    }

    #[test]
    fn escapes_in_fields_are_cleaned_too() {
        let line = r#"{"id": "a\tb", "title": "x\u001b[2Jy\n", "text": "cafe\u0301\r\n\u0000end"}"#;
        let document = &read_for(line, None, "me").documents[0];
        assert_eq!(document.id.as_deref(), Some("a b"));
        assert_eq!(document.title.as_deref(), Some("x[2Jy"));
        assert_eq!(document.text, "café\nend");
    }

    #[test]
    fn one_person_is_taken_of_several() {
        let lines = r#"{"user": "Ann", "profile": [{"id": "a", "text": "by Ann"}]}
            {"user": "Bo", "profile": [{"id": "b", "text": "by Bo"}]}"#;
        assert_eq!(texts(&read_for(lines, Some("Bo"), "me")), ["by Bo"]);
        assert_eq!(texts(&read_for(lines, None, "Ann")), ["by Ann"]);
        let neither = read_for(lines, None, "me");
        assert!(neither.documents.is_empty());
        assert!(neither.problems[0].message.contains("--person"), "{neither:?}");
        let single = lines.lines().next().unwrap();
        assert_eq!(texts(&read_for(single, None, "me")), ["by Ann"]);
    }

    #[test]
    fn dates_in_numbers_are_years_or_seconds() {
        assert_eq!(from_number(2021).as_deref(), Some("2021-01-01"));
        assert_eq!(from_number(1_614_816_000).as_deref(), Some("2021-03-04"));
    }
}
