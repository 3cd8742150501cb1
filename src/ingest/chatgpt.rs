//! `conversations.json` of a ChatGPT data export: what the person wrote, a document for each
//! conversation. Answers, instructions, files and pictures are left out; code blocks too, which
//! are mostly pasted.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::conversations::{self, Conversation, Message, beginning, day};
use super::parsed::{Options, Parsed};

/// Titles of conversations that nobody named.
const NO_TITLES: [&str; 2] = ["New chat", "New Chat"];

/// Whether `value_start`, the beginning of a JSON text, looks like such an export.
pub(super) fn looks_like(value_start: &str) -> bool {
    let has = |start: &str, key: &str| start.contains(&format!("\"{key}\""));
    beginning(value_start).is_some_and(|start| {
        has(&start, "mapping") && (has(&start, "create_time") || has(&start, "message"))
    })
}

/// A document for each conversation in which the person wrote.
pub(super) fn read(text: &str, _options: &Options) -> Parsed {
    conversations::read(text, "chatgpt", |exported: Exported| exported.into())
}

#[derive(Deserialize)]
struct Exported {
    id: Option<String>,
    conversation_id: Option<String>,
    title: Option<String>,
    create_time: Option<Value>,
    /// Every message ever sent in it, whatever branch it is on.
    mapping: BTreeMap<String, Node>,
}

#[derive(Deserialize)]
struct Node {
    message: Option<Sent>,
}

#[derive(Deserialize)]
struct Sent {
    author: Option<Author>,
    create_time: Option<Value>,
    content: Option<Content>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Author {
    role: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    content_type: Option<String>,
    parts: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    is_visually_hidden_from_conversation: Option<bool>,
    is_user_system_message: Option<bool>,
}

impl From<Exported> for Conversation {
    fn from(exported: Exported) -> Self {
        let is_named = |title: &String| !NO_TITLES.contains(&title.as_str());
        Self {
            id: exported.conversation_id.or(exported.id),
            title: exported.title.filter(is_named),
            date: day(exported.create_time.as_ref().and_then(Value::as_f64)),
            messages: exported
                .mapping
                .into_values()
                .filter_map(|node| node.message)
                .filter_map(by_the_person)
                .collect(),
        }
    }
}

/// The message where the person wrote it and saw it.
fn by_the_person(sent: Sent) -> Option<Message> {
    let role = sent.author?.role?;
    let metadata = sent.metadata.unwrap_or_default();
    let is_hidden = metadata.is_visually_hidden_from_conversation.unwrap_or(false)
        || metadata.is_user_system_message.unwrap_or(false);
    let content = sent.content?;
    let is_text = matches!(content.content_type.as_deref(), Some("text" | "multimodal_text"));
    if role != "user" || is_hidden || !is_text {
        return None;
    }
    let parts = content.parts.unwrap_or_default();
    let texts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
    Some(Message {
        seconds: sent.create_time.as_ref().and_then(Value::as_f64),
        text: texts.join("\n\n"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(role: &str, seconds: f64, content: Value) -> Value {
        json!({"message": {
            "id": "x", "author": {"role": role, "name": null}, "create_time": seconds,
            "content": content, "status": "finished", "metadata": {"model_slug": "m"},
        }, "parent": null, "children": []})
    }

    fn text(parts: &[&str]) -> Value {
        json!({"content_type": "text", "parts": parts})
    }

    #[test]
    fn the_persons_own_messages_become_one_document() {
        let picture = json!({"content_type": "multimodal_text", "parts": [
            {"content_type": "image_asset_pointer", "asset_pointer": "file"}, "What is this?"]});
        let context = json!({"content_type": "user_editable_context", "user_profile": "secret"});
        let mut hidden = message("user", 4.0, text(&["hidden"]));
        hidden["message"]["metadata"]["is_visually_hidden_from_conversation"] = json!(true);
        let export = json!([{
            "title": "A walk", "create_time": 1614816000.5, "update_time": 1614816001.5,
            "mapping": {
                "root": {"id": "root", "message": null, "children": ["a"]},
                "a": message("system", 0.0, text(&[""])),
                "b": message("user", 3.0, picture),
                "c": message("assistant", 2.0, text(&["Answer."])),
                "d": message("user", 1.0, text(&["Where to walk?\n```\ncode\n```"])),
                "e": message("user", 1.5, context),
                "f": hidden,
            },
            "conversation_id": "c-1", "id": "c-1",
        }]);
        let export = export.to_string();
        assert!(looks_like(&export));
        let parsed = read(&export, &Options::default());
        assert!(parsed.problems.is_empty(), "{parsed:?}");
        let document = &parsed.documents[0];
        assert_eq!(document.text, "Where to walk?\n\nWhat is this?");
        assert_eq!(document.title.as_deref(), Some("A walk"));
        assert_eq!(document.date.as_deref(), Some("2021-03-04"));
        assert_eq!((document.key.as_str(), document.kind.as_str()), ("c-1", "chatgpt"));
        assert_eq!(document.context, None);
    }

    #[test]
    fn a_conversation_of_another_shape_is_named_and_the_others_go_in() {
        let export = json!([
            {"title": "no messages here"},
            {"title": "New chat", "mapping": {"a": message("user", 1.0, text(&["Text."]))}},
            {"mapping": {}},
        ]);
        let parsed = read(&export.to_string(), &Options::default());
        assert_eq!(parsed.documents.len(), 1);
        assert_eq!(parsed.documents[0].title, None);
        assert!(parsed.problems[0].lost && parsed.problems[0].message.contains("conversation 1"));
        assert_eq!(parsed.problems.len(), 1);
    }

    #[test]
    fn json_of_another_shape_is_no_export() {
        for other in ["[1, 2]", "{\"mapping\": 1}", "[{\"text\": \"x\"}]", "plain", "["] {
            let parsed = read(other, &Options::default());
            assert!(parsed.documents.is_empty() && parsed.problems[0].lost, "{other}");
        }
        assert!(!looks_like("[{\"uuid\": \"1\", \"chat_messages\": []}]"));
        assert!(!looks_like("a \"mapping\" of \"create_time\""));
        assert!(!looks_like(""));
    }
}
