//! JSON lines in two shapes: a document a line, `{"id", "title", "text", "date"}`, where only
//! `text` must be there; or a person a line, `{"user", "profile": [documents]}`, of whom one is
//! taken.

use serde::Deserialize;
use serde_json::Value;

use super::{Parsed, Problem, dates, problem};
use crate::profile::NewDocument;

/// Names that an error message lists of a file with many people.
const NAMES_SHOWN: usize = 5;

/// A line of either shape; other fields are ignored.
#[derive(Deserialize)]
struct Row {
    user: Option<String>,
    profile: Option<Vec<Value>>,
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

/// The documents of all lines; of lines that hold people, those of `person`, else of the only
/// one, else of the one called `user`.
pub(super) fn read(text: &str, person: Option<&str>, user: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut people: Vec<(usize, String, Vec<Value>)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str::<Row>(line) {
            Ok(Row { user, profile: Some(profile), .. }) => {
                people.push((number, user.unwrap_or_default(), profile));
            }
            Ok(row) => add(&mut parsed, row.item, number, number.to_string()),
            Err(error) => {
                let message = format!("not a JSON object of the expected shape: {error}");
                parsed.problems.push(problem("", Some(number), message));
            }
        }
    }
    if !people.is_empty() {
        match choose(&people, person, user) {
            Ok((line, profile)) => add_profile(&mut parsed, profile, line),
            Err(problem) => parsed.problems.push(problem),
        }
    }
    parsed
}

fn choose<'a>(
    people: &'a [(usize, String, Vec<Value>)],
    person: Option<&str>,
    user: &str,
) -> Result<(usize, &'a [Value]), Problem> {
    let named = |name: &str| people.iter().find(|(_, candidate, _)| candidate == name);
    let chosen = match (person, people) {
        (Some(person), _) => named(person),
        (None, [only]) => Some(only),
        (None, _) => named(user),
    };
    chosen.map(|(line, _, profile)| (*line, profile.as_slice())).ok_or_else(|| {
        let names: Vec<&str> =
            people.iter().take(NAMES_SHOWN).map(|(_, name, _)| name.as_str()).collect();
        let message = format!(
            "it holds {} people, none of them {:?}; choose one with --person (the first: {})",
            people.len(),
            person.unwrap_or(user),
            names.join("; ")
        );
        problem("", None, message)
    })
}

fn add_profile(parsed: &mut Parsed, profile: &[Value], line: usize) {
    for (index, value) in profile.iter().enumerate() {
        match Item::deserialize(value) {
            Ok(item) => add(parsed, item, line, format!("{line}/{}", index + 1)),
            Err(error) => {
                let message = format!("document {} of the profile: {error}", index + 1);
                parsed.problems.push(problem("", Some(line), message));
            }
        }
    }
}

fn add(parsed: &mut Parsed, item: Item, line: usize, key: String) {
    let text = item.text.unwrap_or_default();
    if text.trim().is_empty() {
        let message = "there is no \"text\" in it".to_owned();
        parsed.problems.push(problem("", Some(line), message));
        return;
    }
    let id = match item.id {
        Some(Value::String(id)) if !id.trim().is_empty() => Some(id.trim().to_owned()),
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
            let message = format!("the date {value} is not understood; stored without one");
            let mut problem = problem("", Some(line), message);
            problem.lost = false;
            parsed.problems.push(problem);
        }
        day
    });
    parsed.documents.push(NewDocument {
        key: id.clone().unwrap_or(key),
        id,
        title: item.title.map(|title| title.trim().to_owned()).filter(|title| !title.is_empty()),
        date,
        text: text.trim().to_owned(),
    });
}

/// A number is a year, else seconds since 1970.
fn from_number(number: i64) -> Option<String> {
    dates::day(&number.to_string()).or_else(|| dates::day_of_seconds(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(parsed: &Parsed) -> Vec<&str> {
        parsed.documents.iter().map(|document| document.text.as_str()).collect()
    }

    #[test]
    fn documents_come_with_their_fields() {
        let line = r#"{"id": 7, "title": " T ", "text": "Body\n", "date": "2020-01-02", "x": 1}"#;
        let parsed = read(line, None, "me");
        let document = &parsed.documents[0];
        assert_eq!(document.id.as_deref(), Some("7"));
        assert_eq!(document.title.as_deref(), Some("T"));
        assert_eq!(document.date.as_deref(), Some("2020-01-02"));
        assert_eq!(document.text, "Body");
    }

    #[test]
    fn a_bad_line_is_named_and_the_others_go_in() {
        let parsed = read("{\"text\": \"one\"}\n{oops\n\n[1]\n{\"text\": \"two\"}\n{}", None, "me");
        assert_eq!(texts(&parsed), ["one", "two"]);
        let lines: Vec<_> = parsed.problems.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [Some(2), Some(4), Some(6)]);
    }

    #[test]
    fn one_person_is_taken_of_several() {
        let lines = r#"{"user": "Ann", "profile": [{"id": "a", "text": "by Ann"}]}
            {"user": "Bo", "profile": [{"id": "b", "text": "by Bo"}]}"#;
        assert_eq!(texts(&read(lines, Some("Bo"), "me")), ["by Bo"]);
        assert_eq!(texts(&read(lines, None, "Ann")), ["by Ann"]);
        let neither = read(lines, None, "me");
        assert!(neither.documents.is_empty());
        assert!(neither.problems[0].message.contains("--person"), "{neither:?}");
        let single = lines.lines().next().unwrap();
        assert_eq!(texts(&read(single, None, "me")), ["by Ann"]);
    }

    #[test]
    fn dates_in_numbers_are_years_or_seconds() {
        assert_eq!(from_number(2021).as_deref(), Some("2021-01-01"));
        assert_eq!(from_number(1_614_816_000).as_deref(), Some("2021-03-04"));
    }
}
