//! Search by words and by meaning as a user sees it: found, explained, kept up to date.

use serde_json::Value;

use crate::support::Home;

const EMBEDDER: &str = "all-minilm-l6-v2";

const NOTES: [(&str, &str, &str); 4] = [
    ("roof", "2023-02-01", "Rain came through the ceiling again; the tiles must be replaced."),
    ("soup", "2023-03-01", "Leek and potato, an hour on a low flame, pepper at the end."),
    ("bees", "2023-04-01", "The hive swarmed on Sunday and settled in the pear tree."),
    ("train", "2023-05-01", "The 7:40 was late, so I missed the dentist and came back at noon."),
];

fn notes(home: &Home) -> String {
    for (name, date, text) in NOTES {
        let note = format!("---\ntitle: Note on {name}\ndate: {date}\n---\n{text}\n");
        home.write(&format!("notes/{name}.md"), note.as_bytes());
    }
    home.path().join("notes").to_str().unwrap().to_owned()
}

fn best_title(hits: &Value) -> &str {
    hits["hits"][0]["title"].as_str().unwrap_or_default()
}

fn search(home: &Home, arguments: &[&str]) -> Value {
    let command = ["profile", "search", "--json", "--user", "me"];
    home.run(command.iter().chain(arguments)).exits(0).json()
}

#[test]
fn without_an_embedding_model_words_alone_are_searched() {
    let home = Home::new();
    let folder = notes(&home);
    home.run(["ingest", "--user", "me", &folder]).exits(0);
    assert_eq!(best_title(&search(&home, &["hive"])), "Note on bees");
    assert_eq!(search(&home, &["zeppelin"])["hits"], serde_json::json!([]));
    home.run(["profile", "search", "--user", "me", "hive"])
        .exits(0)
        .says(&["model pull all-minilm-l6-v2"]);
    home.run(["profile", "index", "--user", "me"]).exits(3).says(&["model pull"]);
}

#[test]
fn what_shares_no_word_is_found_by_meaning() {
    let home = Home::with_real_models(&[EMBEDDER]);
    let folder = notes(&home);
    home.run(["ingest", "--user", "me", &folder]).exits(0);
    for (request, title) in [
        ("water leaking into the house", "Note on roof"),
        ("a recipe for dinner", "Note on soup"),
        ("insects and honey", "Note on bees"),
        ("commuting by rail", "Note on train"),
    ] {
        let found = search(&home, &["--explain", request]);
        assert_eq!(best_title(&found), title, "{found:#}");
        let parts = &found["hits"][0]["parts"];
        assert_eq!(parts["cosine_rank"], 1, "{found:#}");
    }
    let explained =
        home.run(["profile", "search", "--user", "me", "--explain", "the hive"]).exits(0);
    for part in ["bm25", "cosine", "by date", "recipient", "repetition"] {
        assert!(explained.stdout.contains(part), "{explained:#?}");
    }
}

/// The story: the person takes another embedding model. What the old one made is of no use to the
/// new one; until the index is built anew, words alone are searched, and the command says so.
#[test]
fn an_index_of_another_embedder_is_stale_and_is_rebuilt() {
    let home = Home::with_real_models(&[EMBEDDER, "all-minilm-l6-v2-q8_0"]);
    let folder = notes(&home);
    home.run(["ingest", "--user", "me", &folder]).exits(0);
    home.write("config.toml", b"[retrieve]\nembedder = \"all-minilm-l6-v2-q8_0\"\n");
    let stale = home.run(["profile", "search", "--user", "me", "hive"]).exits(0);
    assert!(stale.stderr.contains("stale") && stale.stderr.contains(EMBEDDER), "{stale:#?}");
    let built = home.run(["--json", "profile", "index", "--user", "me"]).exits(0).json();
    assert_eq!(built["embedded"], 4, "{built}");
    let again = home.run(["--json", "profile", "index", "--user", "me"]).exits(0).json();
    assert_eq!(again["embedded"], 0, "{again}");
    let found = home.run(["profile", "search", "--user", "me", "insects"]).exits(0);
    assert!(!found.stderr.contains("stale"), "{found:#?}");
    assert!(found.stdout.contains("Note on bees"), "{found:#?}");
    let checked = home.run(["--json", "profile", "check", "--user", "me"]).exits(0).json();
    assert_eq!(checked["embeddings"], 4, "{checked}");
}

#[test]
fn a_changed_note_is_embedded_anew_and_a_forgotten_one_leaves_no_vector() {
    let home = Home::with_real_models(&[EMBEDDER]);
    let folder = notes(&home);
    home.run(["ingest", "--user", "me", &folder]).exits(0);
    let changed =
        "---\ntitle: Note on soup\ndate: 2023-03-01\n---\nThe violin needs a new string.\n";
    home.write("notes/soup.md", changed.as_bytes());
    home.run(["ingest", "--user", "me", &folder]).exits(0);
    assert_eq!(best_title(&search(&home, &["musical instruments"])), "Note on soup");
    let path = home.path().join("notes/soup.md");
    home.run(["profile", "forget", "--user", "me", "--path", path.to_str().unwrap()]).exits(0);
    let checked = home.run(["--json", "profile", "check", "--user", "me"]).exits(0).json();
    assert_eq!((&checked["documents"], &checked["embeddings"]), (&3.into(), &3.into()));
    assert_ne!(best_title(&search(&home, &["musical instruments"])), "Note on soup");
}

#[test]
fn a_model_that_writes_is_no_embedder_and_the_other_way_round() {
    let home = Home::with_real_models(&[EMBEDDER, "smollm2-135m-instruct"]);
    let folder = notes(&home);
    home.run(["generate", "--user", "me", "--no-profile", "--model", EMBEDDER, "hello"])
        .exits(2)
        .says(&["embedding model"]);
    home.write("config.toml", b"[retrieve]\nembedder = \"smollm2-135m-instruct\"\n");
    // The writings are safe whatever becomes of the index.
    home.run(["ingest", "--user", "me", &folder]).exits(0).says(&["not indexed"]);
    home.run(["profile", "index", "--user", "me"]).exits(2).says(&["embedding model"]);
}
