//! What exports of chats share: a JSON array read element by element, and the messages that a
//! person wrote in one conversation made one document. It knows no export's fields.

use std::collections::HashSet;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde_json::{Deserializer, Value};

use super::decode::{clean, clean_line};
use super::parsed::Parsed;
use crate::profile::NewDocument;

/// What is said of JSON that is of none of the shapes that are read.
pub(super) const UNKNOWN_JSON: &str = "it is JSON of no shape that is read; these are: \
    conversations.json of a ChatGPT or Claude export, rows of LongLaMP, and lines of {\"text\": …}";
/// Bytes by which one export is told from another.
const SAMPLE_BYTES: usize = 8192;
/// Conversations that are named one by one; of the others the number is told.
const NAMED_MAX: usize = 20;

/// A conversation, with what the person wrote in it.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// The id that the export gives it.
    pub(super) id: Option<String>,
    pub(super) title: Option<String>,
    /// The day when it began, `YYYY-MM-DD`.
    pub(super) date: Option<String>,
    pub(super) messages: Vec<Message>,
}

/// What the person wrote at once.
#[derive(Debug)]
pub(super) struct Message {
    /// When, in seconds since 1970, where it is told.
    pub(super) seconds: Option<f64>,
    pub(super) text: String,
}

/// The beginning of `text` where it may be a JSON array or object.
pub(super) fn beginning(text: &str) -> Option<String> {
    let text = text.trim_start();
    let sample = &text.as_bytes()[..text.len().min(SAMPLE_BYTES)];
    text.starts_with(['[', '{']).then(|| String::from_utf8_lossy(sample).into_owned())
}

/// The documents of an export: an array of `T`, each of which `convert` understands.
pub(super) fn read<T: DeserializeOwned>(
    text: &str,
    kind: &str,
    convert: impl Fn(T) -> Conversation,
) -> Parsed {
    let mut parsed = Parsed::default();
    let mut keys = HashSet::new();
    let (mut understood, mut others) = (0_usize, 0_usize);
    let ended = elements(text, &mut |number, value| match serde_json::from_value::<T>(value) {
        Ok(conversation) => {
            understood += 1;
            parsed.documents.extend(document(convert(conversation), number, kind, &mut keys));
        }
        // What serde says of it may hold some of the text.
        Err(_) => {
            others += 1;
            if others <= NAMED_MAX {
                let message = format!("conversation {number} is not of the expected shape");
                parsed.lose(None, message);
            }
        }
    });
    if others > NAMED_MAX {
        let rest = others - NAMED_MAX;
        parsed.lose(None, format!("{rest} more conversations are not of the expected shape"));
    }
    if understood == 0 && others > 0 {
        parsed = Parsed::failed(UNKNOWN_JSON);
    }
    if let Err(why) = ended {
        parsed.lose(None, why);
    }
    parsed
}

/// Tells `visit` every element of a JSON array, with its number from 1. Those before a broken
/// place are told too.
///
/// # Errors
/// A sentence where it is no array, or broken.
pub(super) fn elements(text: &str, visit: &mut dyn FnMut(usize, Value)) -> Result<(), String> {
    if !text.trim_start().starts_with('[') {
        return Err(UNKNOWN_JSON.to_owned());
    }
    let mut deserializer = Deserializer::from_str(text);
    deserializer.deserialize_seq(Elements { visit }).and_then(|()| deserializer.end()).map_err(
        |error| {
            let (line, column) = (error.line(), error.column());
            format!("the JSON is broken or nested too deeply at line {line}, column {column}")
        },
    )
}

struct Elements<'a> {
    visit: &'a mut dyn FnMut(usize, Value),
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut number = 0;
        while let Some(element) = elements.next_element()? {
            number += 1;
            (self.visit)(number, element);
        }
        Ok(())
    }
}

/// The conversation as one document, or none where the person wrote nothing in it.
fn document(
    conversation: Conversation,
    number: usize,
    kind: &str,
    keys: &mut HashSet<String>,
) -> Option<NewDocument> {
    let Conversation { id, title, date, mut messages } = conversation;
    // Messages of other branches stand between: time puts them in order.
    messages.sort_by(|a, b| {
        let time = |message: &Message| message.seconds.unwrap_or(f64::NEG_INFINITY);
        time(a).total_cmp(&time(b))
    });
    let first_day = messages.iter().find_map(|message| day(message.seconds));
    let mut seen = HashSet::new();
    let mut text = String::new();
    for message in messages {
        let message = clean(&without_code(&message.text)).trim().to_owned();
        // One that was sent again after a change of mind is there twice.
        if !message.is_empty() && seen.insert(message.clone()) {
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            text.push_str(&message);
        }
    }
    if text.is_empty() {
        return None;
    }
    let line = |text: String| Some(clean_line(&text)).filter(|line| !line.is_empty());
    let mut key = id.and_then(line).unwrap_or_else(|| number.to_string());
    if keys.contains(&key) {
        key = format!("{key}#{number}");
    }
    keys.insert(key.clone());
    Some(NewDocument {
        key,
        kind: kind.to_owned(),
        title: title.and_then(line),
        date: date.or(first_day),
        text,
        ..NewDocument::default()
    })
}

/// The day of a time in seconds since 1970.
pub(super) fn day(seconds: Option<f64>) -> Option<String> {
    super::dates::day_of_seconds(seconds? as i64)
}

/// The text without its fenced code blocks; a fence that nothing closes goes on to the end.
pub(super) fn without_code(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut fence: Option<(u8, usize)> = None;
    for line in text.lines() {
        let line_start = line.trim_start();
        let mark = line_start.bytes().next().unwrap_or_default();
        let run = line_start.bytes().take_while(|byte| *byte == mark).count();
        let rest = if matches!(mark, b'`' | b'~') { &line_start[run..] } else { "" };
        let may_open = run >= 3 && matches!(mark, b'`' | b'~') && !rest.contains('`');
        match fence {
            None if may_open => fence = Some((mark, run)),
            None => {
                kept.push_str(line);
                kept.push('\n');
            }
            Some((sign, length)) if mark == sign && run >= length && rest.trim().is_empty() => {
                fence = None;
            }
            Some(_) => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(messages: &[(f64, &str)]) -> Conversation {
        let messages = messages
            .iter()
            .map(|(seconds, text)| Message { seconds: Some(*seconds), text: (*text).to_owned() });
        Conversation { messages: messages.collect(), ..Conversation::default() }
    }

    #[test]
    fn messages_come_in_order_and_once() {
        let conversation =
            conversation(&[(3.0, "last"), (1.0, "first"), (2.0, " again "), (2.5, "again")]);
        let document = document(conversation, 4, "chatgpt", &mut HashSet::new()).unwrap();
        assert_eq!(document.text, "first\n\nagain\n\nlast");
        assert_eq!(document.key, "4");
        assert_eq!(document.date.as_deref(), Some("1970-01-01"));
    }

    #[test]
    fn keys_differ_even_where_ids_do_not() {
        let mut keys = HashSet::new();
        let mut key_of = |number| {
            let conversation =
                Conversation { id: Some("a".into()), ..conversation(&[(1.0, "text")]) };
            document(conversation, number, "claude", &mut keys).unwrap().key
        };
        assert_eq!([key_of(1), key_of(2)], ["a", "a#2"]);
    }

    #[test]
    fn code_is_left_out() {
        let text = "Why?\n```rust\nfn main() {}\n```\nAnd ```this```?\n  ~~~~\n~~~\nx\n~~~~\nEnd.\n```\nopen";
        assert_eq!(without_code(text), "Why?\nAnd ```this```?\nEnd.\n");
        assert_eq!(without_code("é``\n"), "é``\n");
    }

    #[test]
    fn elements_before_a_broken_place_are_told() {
        let mut seen = Vec::new();
        let ended = elements("[1, {\"a\": 2}, oops]", &mut |number, _| seen.push(number));
        assert_eq!(seen, [1, 2]);
        assert!(ended.unwrap_err().contains("line 1"));
        let deep = format!("[{}{}]", "[".repeat(100_000), "]".repeat(100_000));
        assert!(elements(&deep, &mut |_, _| {}).unwrap_err().contains("nested"));
        assert!(elements("{}", &mut |_, _| {}).is_err());
        assert!(elements("[] x", &mut |_, _| {}).is_err());
    }
}
