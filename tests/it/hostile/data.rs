//! JSON, the exports of chat services, JSON lines, CSV.

use serde_json::{Value, json};

use super::{Case, file};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = json_cases();
    cases.extend(export_cases());
    cases.extend(line_cases());
    cases.extend(table_cases());
    cases
}

fn json_cases() -> Vec<Case> {
    vec![
        file("JSON lists nested 100,000 deep", "hostile.json", || "[".repeat(100_000).into()),
        file("JSON objects nested 100,000 deep", "hostile.json", || {
            format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000)).into()
        }),
        file("a million keys of one name", "hostile.json", || {
            format!("{{{}\"text\": \"x\"}}", "\"text\": \"x\", ".repeat(1_000_000)).into()
        }),
        file("a string of 20 MB", "hostile.json", || {
            format!("{{\"text\": \"{}\"}}", "x".repeat(20 << 20)).into()
        }),
        file("half characters and numbers without end", "hostile.json", || {
            let number = "9".repeat(100_000);
            format!("[{{\"text\": \"\\ud83d\\udc00\", \"date\": {number}e{number}}}]").into()
        }),
    ]
}

fn export_cases() -> Vec<Case> {
    vec![
        file("a conversation that is its own ancestor", "conversations.json", || {
            chatgpt(&json!({
                "a": message("a", Some("c"), &["b"]),
                "b": message("b", Some("a"), &["c"]),
                "c": message("c", Some("b"), &["a", "b", "c"]),
            }))
        }),
        file("a conversation 50,000 messages long", "conversations.json", || {
            let id = |index: usize| format!("m{index}");
            let mapping = (0..50_000_usize).map(|index| {
                let parent = index.checked_sub(1).map(id);
                let child = id(index + 1);
                (id(index), message(&id(index), parent.as_deref(), &[child.as_str()]))
            });
            chatgpt(&Value::Object(mapping.collect()))
        }),
        file("a conversation whose messages share all children", "conversations.json", || {
            // Walking each path once would take 2^40 steps.
            let layer = |index: usize| [format!("l{index}"), format!("r{index}")];
            let mut mapping = serde_json::Map::new();
            for index in 0..40 {
                let [left, right] = layer(index + 1);
                for id in layer(index) {
                    let children = [left.as_str(), right.as_str()];
                    mapping.insert(id.clone(), message(&id, None, &children));
                }
            }
            chatgpt(&Value::Object(mapping))
        }),
        file("a conversation of wrong types", "conversations.json", || {
            let wrong = [json!(null), json!(1), json!("x"), json!([[]]), json!({"a": {}})];
            let conversations = wrong.iter().map(|value| {
                json!({"title": value, "create_time": value, "current_node": value,
                       "mapping": {"a": value, "b": {"message": value, "parent": value,
                                                     "children": value}}})
            });
            Value::from_iter(conversations).to_string().into()
        }),
        file("another service's export of wrong types", "conversations.json", || {
            let wrong = [json!(null), json!(-1e300), json!(true), json!([{}]), json!({"a": []})];
            let conversations = wrong.iter().map(|value| {
                json!({"uuid": value, "name": value, "created_at": value,
                       "chat_messages": [value, {"sender": value, "text": value,
                                                 "content": value, "created_at": value}]})
            });
            Value::from_iter(conversations).to_string().into()
        }),
        file("dates at the ends of time", "conversations.json", || {
            let times = [json!(1e300), json!(-1e300), json!(i64::MIN), json!(u64::MAX), json!(0)];
            let conversations = times.iter().map(|time| {
                let mut first = message("a", None, &[]);
                first["message"]["create_time"] = time.clone();
                json!({"title": "t", "create_time": time, "current_node": "a",
                       "mapping": {"a": first}})
            });
            Value::from_iter(conversations).to_string().into()
        }),
    ]
}

fn line_cases() -> Vec<Case> {
    vec![
        file("a line of 10 MB in JSON lines", "hostile.jsonl", || {
            format!("{{\"text\": \"{}\"}}\n{{\"text\": \"Short.\"}}\n", "x".repeat(10 << 20)).into()
        }),
        file("a line nested 100,000 deep in JSON lines", "hostile.jsonl", || {
            format!("{{\"text\": {}\n{{\"text\": \"Short.\"}}\n", "[".repeat(100_000)).into()
        }),
        file("100,000 broken lines", "hostile.jsonl", || "{broken\n".repeat(100_000).into()),
        file("lines of wrong types", "hostile.jsonl", || {
            let line = "{\"text\": 1}\n{\"id\": [], \"text\": {}}\n\
                        {\"user\": {}, \"profile\": \"x\"}\n[]\nnull\n{\"text\": null, \"date\": []}\n";
            line.repeat(1_000).into()
        }),
    ]
}

fn table_cases() -> Vec<Case> {
    vec![
        file("100,000 columns and rows of other lengths", "hostile.csv", || {
            let header: String = (0..100_000).map(|index| format!("c{index},")).collect();
            format!("{header}text\n{}{}", "a,b\n".repeat(5_000), ",".repeat(300_000)).into()
        }),
        file("a quote that never ends", "hostile.csv", || {
            format!("id,text\n1,\"{}", "never ends, \n".repeat(800_000)).into()
        }),
        file("5 MB of quotes", "hostile.csv", || {
            format!("id,text\n1,{}", "\"".repeat(5_000_000)).into()
        }),
        file("columns of one name", "hostile.csv", || {
            format!("{}\n{}\n", "text,".repeat(10_000), "x,".repeat(10_000)).into()
        }),
        file("a table of NUL bytes and binary", "hostile.csv", || {
            let mut bytes = b"text,date\n".to_vec();
            bytes.extend((0..=255_u8).cycle().take(1_000_000));
            bytes
        }),
        file("cells that other programs would execute", "hostile.tsv", || {
            "text\tdate\n=cmd|'/C calc'!A0\t9999-99-99\n".repeat(10_000).into()
        }),
    ]
}

fn chatgpt(mapping: &Value) -> Vec<u8> {
    json!([{"title": "Hostile", "create_time": 1620122400.5, "current_node": "c",
            "mapping": mapping}])
    .to_string()
    .into()
}

fn message(id: &str, parent: Option<&str>, children: &[&str]) -> Value {
    json!({
        "id": id,
        "parent": parent,
        "children": children,
        "message": {
            "id": id,
            "author": {"role": "user"},
            "create_time": 1620122400.5,
            "content": {"content_type": "text", "parts": [format!("This is message {id}.")]},
        },
    })
}
