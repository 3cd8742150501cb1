//! What a text without a title was asked for, as a model says it that always says the same.

use serde_json::Value;

use crate::support::Home;
use crate::tiny;
use crate::training::SETTINGS;

/// What the model says, a token each time: a line of five words.
const SAID: &str = "ab cd ef gh ij";

/// A profile of twelve notes, of which the second and the third have no title, and end with `untitled`.
fn home(untitled: [&str; 2]) -> Home {
    let home = Home::new();
    let token = tiny::llama().tokens().iter().position(|token| token == b"~").unwrap();
    let mut model = tiny::always(token).with_context(4096);
    model.tokens()[token] = format!(" {SAID}").replace(' ', "Ġ").into_bytes();
    model.tokens()[token].extend("Ċ".bytes());
    let model = home.write("same.gguf", &model.to_bytes());
    home.run(["model", "pull", model.to_str().unwrap(), "--name", "same"]).exits(0);
    let settings = SETTINGS.replace("\"roomy\"", "\"same\"");
    let settings = settings.replace("[generate]\n", "[generate]\nreasoning = false\n");
    home.write("config.toml", settings.as_bytes());
    for note in 0..12 {
        let mut dice = fastrand::Rng::with_seed(note as u64);
        let mut words = (0..9).map(|_| (0..5).map(|_| dice.lowercase()).collect::<String>());
        let words: String = words.by_ref().collect::<Vec<_>>().join(" ");
        let (title, more) = match note {
            1 | 2 => (String::new(), untitled[note - 1]),
            _ => (format!("title: Note {note}\n"), ""),
        };
        let text = format!("---\n{title}date: 2024-01-{:02}\n---\n{words} {more}.", note + 1);
        home.write(&format!("notes/{note}.md"), text.as_bytes());
    }
    let notes = home.path().join("notes");
    home.run(["ingest", "--user", "me", notes.to_str().unwrap()]).exits(0);
    home
}

#[test]
fn a_text_without_a_title_is_asked_for_as_the_model_says_unless_that_gives_it_away() {
    let home = home(["a plain one", &format!("and {SAID} klmno")]);
    let plan = home.run(["--json", "train", "--user", "me", "--dry-run"]).exits(0).json();
    let asked: Vec<&Value> =
        plan["pairs"].as_array().unwrap().iter().map(|pair| &pair["request"]).collect();
    assert_eq!(asked.iter().filter(|it| it.is_null()).count(), 2, "{plan:#}");
    home.run(["train", "--user", "me", "--rounds", "1", "--samples", "1"]).exits(0);
    let shown = home.run(["--json", "train", "show", "--user", "me"]).exits(0).json();
    let requests: Vec<&str> = shown["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["request"].as_str().unwrap())
        .collect();
    let said = format!("Write {SAID}");
    assert_eq!(requests.iter().filter(|request| **request == said).count(), 1, "{requests:?}");
    assert!(requests.iter().all(|it| *it == said || it.starts_with("Note ")), "{requests:?}");
    let left_out = shown["left_out"].as_array().unwrap();
    assert_eq!(left_out.iter().map(|it| &it["why"]).collect::<Vec<_>>(), ["no_request"]);
}
