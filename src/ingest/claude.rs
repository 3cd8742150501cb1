//! `conversations.json` of a Claude data export: what the person wrote, a document for each
//! conversation. Answers and attachments are left out; code blocks too, which are mostly pasted.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::conversations::{self, Conversation, Message, beginning};
use super::dates;
use super::parsed::{Options, Parsed};

/// Whether `value_start`, the beginning of a JSON text, looks like such an export.
pub(super) fn looks_like(value_start: &str) -> bool {
    beginning(value_start).is_some_and(|start| {
        let has = |key: &str| start.contains(&format!("\"{key}\""));
        // A long summary may stand before the messages.
        has("chat_messages")
            || (has("uuid") && has("name") && (has("account") || has("summary"))) && !has("mapping")
    })
}

/// A document for each conversation in which the person wrote.
pub(super) fn read(text: &str, _options: &Options) -> Parsed {
    conversations::read(text, "claude", |exported: Exported| exported.into())
}

#[derive(Deserialize)]
struct Exported {
    uuid: Option<String>,
    name: Option<String>,
    created_at: Option<String>,
    chat_messages: Vec<Sent>,
}

#[derive(Deserialize)]
struct Sent {
    sender: Option<String>,
    created_at: Option<String>,
    text: Option<String>,
    /// Blocks of text, and of other things.
    content: Option<Value>,
}

impl From<Exported> for Conversation {
    fn from(exported: Exported) -> Self {
        Self {
            id: exported.uuid,
            title: exported.name,
            date: exported.created_at.as_deref().and_then(dates::day),
            messages: exported.chat_messages.into_iter().filter_map(by_the_person).collect(),
        }
    }
}

fn by_the_person(sent: Sent) -> Option<Message> {
    if sent.sender.as_deref() != Some("human") {
        return None;
    }
    let blocks = sent.content.as_ref().and_then(Value::as_array);
    let texts: Vec<&str> = blocks.into_iter().flatten().filter_map(text_of).collect();
    let text = texts.join("\n\n");
    Some(Message {
        seconds: sent.created_at.as_deref().and_then(seconds),
        text: if text.trim().is_empty() { sent.text.unwrap_or_default() } else { text },
    })
}

/// The text of a block of text.
fn text_of(block: &Value) -> Option<&str> {
    let is_text = block.get("type").and_then(Value::as_str) == Some("text");
    block.get("text").and_then(Value::as_str).filter(|_| is_text)
}

/// The time, in seconds since 1970.
fn seconds(written: &str) -> Option<f64> {
    let time: Timestamp = written.trim().parse().ok()?;
    Some(time.as_millisecond() as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_persons_own_messages_become_one_document() {
        let export = json!([{
            "uuid": "u-1", "name": "A walk", "created_at": "2021-03-04T05:06:07.123456Z",
            "account": {"uuid": "a"},
            "chat_messages": [
                {"sender": "human", "text": "And then?", "created_at": "2021-03-04T06:00:00Z",
                 "content": [{"type": "text", "text": "And then?"}, {"type": "tool_use", "text": "no"}],
                 "attachments": [{"extracted_content": "somebody else's"}]},
                {"sender": "assistant", "text": "Answer.", "created_at": "2021-03-04T05:30:00Z"},
                {"sender": "human", "text": "Where to walk?", "content": [],
                 "created_at": "2021-03-04T05:06:08Z"},
            ],
        }, {"uuid": "u-2", "name": "", "created_at": null, "chat_messages": []}]);
        let export = export.to_string();
        assert!(looks_like(&export));
        let parsed = read(&export, &Options::default());
        assert!(parsed.problems.is_empty(), "{parsed:?}");
        assert_eq!(parsed.documents.len(), 1);
        let document = &parsed.documents[0];
        assert_eq!(document.text, "Where to walk?\n\nAnd then?");
        assert_eq!(document.title.as_deref(), Some("A walk"));
        assert_eq!(document.date.as_deref(), Some("2021-03-04"));
        assert_eq!((document.key.as_str(), document.kind.as_str()), ("u-1", "claude"));
    }

    #[test]
    fn messages_without_times_keep_their_order() {
        let export = r#"[{"chat_messages": [{"sender": "human", "text": "b"},
            {"sender": "human", "text": "a"}]}]"#;
        let parsed = read(export, &Options::default());
        assert_eq!(parsed.documents[0].text, "b\n\na");
        assert_eq!(parsed.documents[0].date, None);
    }

    #[test]
    fn json_of_another_shape_is_no_export() {
        for other in ["[{\"uuid\": \"1\", \"full_name\": \"Ann\"}]", "{}", "null", ""] {
            assert!(!looks_like(other), "{other}");
            assert!(read(other, &Options::default()).problems[0].lost, "{other}");
        }
        let long = format!("[{{\"uuid\":\"1\",\"name\":\"n\",\"summary\":\"{}é", "x".repeat(9000));
        assert!(looks_like(&long));
    }
}
