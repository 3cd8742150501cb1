//! Ingest, and what the profile holds afterwards.

use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::Home;

fn documents(home: &Home) -> Vec<Value> {
    let list = home.run(["--json", "profile", "list", "--user", "me"]).exits(0).json();
    list["documents"].as_array().unwrap().clone()
}

fn titles(home: &Home) -> Vec<String> {
    let title = |document: &Value| document["title"].as_str().unwrap_or("-").to_owned();
    documents(home).iter().map(title).collect()
}

fn ingest(home: &Home, path: &Path) -> Value {
    let arguments = ["--json", "ingest", "--user", "me", path.to_str().unwrap()];
    home.run(arguments).exits(0).json()
}

#[test]
fn a_folder_is_taken_in_once_and_followed_when_it_changes() {
    let home = Home::new();
    home.write("notes/a.txt", b"The kettle is on.");
    home.write("notes/b.md", b"---\ntitle: Bees\ndate: 2021-05-06\n---\nThe bees are back.");
    home.write("notes/deep/c.jsonl", b"{\"id\": \"n1\", \"title\": \"N\", \"text\": \"Third.\"}\n");
    home.write("notes/picture.png", b"\x89PNG");
    let notes = home.path().join("notes");

    let first = ingest(&home, &notes);
    assert_eq!(first["files"]["ingested"], 3);
    assert_eq!(first["files"]["skipped"], 1);
    assert_eq!(first["documents"]["added"], 3);
    assert_eq!(titles(&home), ["-", "N", "Bees"]);

    let second = ingest(&home, &notes);
    assert_eq!(second["files"]["unchanged"], 3);
    assert_eq!(second["documents"]["added"], 0);

    home.write("notes/a.txt", b"The kettle is off, and cold.");
    let third = ingest(&home, &notes);
    assert_eq!(third["files"]["ingested"], 1);
    assert_eq!(third["documents"]["added"], 1);
    assert_eq!(third["documents"]["removed"], 1);
    assert_eq!(documents(&home).len(), 3);
    let found = home.run(["--json", "profile", "search", "--user", "me", "kettle"]).json();
    assert_eq!(found["hits"][0]["text"], "The kettle is off, and cold.");
}

#[test]
fn the_same_text_twice_is_stored_once() {
    let home = Home::new();
    home.write("notes/a.txt", b"One and the same.");
    home.write("notes/b.md", "One and the same.\r\n".as_bytes());
    let report = ingest(&home, &home.path().join("notes"));
    assert_eq!(report["documents"]["added"], 1);
    assert_eq!(report["documents"]["duplicates"], 1);
    assert_eq!(documents(&home).len(), 1);
}

#[test]
fn bad_files_and_lines_are_named_and_the_rest_goes_in() {
    let home = Home::new();
    home.write("notes/good.txt", b"Good.");
    home.write("notes/binary.txt", &[0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 3, 0]);
    home.write("notes/lines.jsonl", b"{\"text\": \"fine\"}\n{broken\n{\"title\": \"no text\"}\n");
    home.write("notes/empty.md", b"");
    let notes = home.path().join("notes");
    let arguments = ["--json", "ingest", "--user", "me", notes.to_str().unwrap()];
    for _ in 0..2 {
        // The same complaint again: what could not be used is not taken for done.
        let said = home.run(arguments).exits(4).says(&["left_out", "left out: 3"]);
        let report = said.json();
        assert_eq!(report["files"]["failed"], 1, "{report:#}");
        let lines: Vec<&Value> = report["problems"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|problem| problem["lost"] == true)
            .map(|problem| &problem["line"])
            .collect();
        assert_eq!(lines, [&Value::Null, &Value::from(2), &Value::from(3)]);
        assert_eq!(documents(&home).len(), 2);
    }
    let arguments = ["ingest", "--user", "me", notes.to_str().unwrap()];
    home.run(arguments).exits(4).says(&["lines.jsonl:2", "lines.jsonl:3", "binary.txt"]);
}

#[test]
fn a_file_that_was_emptied_leaves_nothing() {
    let home = Home::new();
    let file = home.write("a.txt", b"Once there was a text.");
    ingest(&home, &file);
    home.write("a.txt", b" \n");
    let report = ingest(&home, &file);
    assert_eq!(report["documents"]["removed"], 1);
    assert_eq!(documents(&home).len(), 0);
}

#[cfg(unix)]
#[test]
fn unreadable_files_are_named_and_the_rest_goes_in() {
    let home = Home::new();
    home.write("notes/good.txt", b"Good.");
    std::os::unix::fs::symlink("nowhere", home.path().join("notes/dangling.txt")).unwrap();
    let missing = home.path().join("missing.txt");
    let notes = home.path().join("notes");
    let paths = [missing.to_str().unwrap(), notes.to_str().unwrap(), "/dev/zero"];
    home.run(["ingest", "--user", "me"].iter().chain(&paths)).exits(4).says(&[
        "missing.txt",
        "No such file",
        "/dev/zero",
        "1 new",
    ]);
    assert_eq!(documents(&home).len(), 1);
}

#[test]
fn standard_input_is_a_document() {
    let home = Home::new();
    home.run_with_input(["ingest", "--user", "me", "-"], "Written on a train.").exits(0);
    home.run_with_input(["ingest", "--user", "me", "-"], "Written on a train.").exits(0);
    let documents = documents(&home);
    assert_eq!(documents.len(), 1);
    let id = documents[0]["id"].as_str().unwrap();
    let shown = home.run(["-q", "profile", "show", "--user", "me", &id[..6]]).exits(0);
    assert_eq!(shown.stdout, "Written on a train.\n");
}

#[test]
fn one_person_is_taken_out_of_a_file_of_many() {
    let home = Home::new();
    let people = [
        r#"{"user": "Ann", "profile": [{"id": "a1", "text": "Ann's first."}]}"#,
        r#"{"user": "Bo", "profile": [{"id": "b1", "text": "Bo's first."}]}"#,
        r#"{"user": "Bo", "profile": [{"id": "b2", "text": "Bo's second."}]}"#,
    ];
    let file = home.write("people.jsonl", people.join("\n").as_bytes());
    let file = file.to_str().unwrap();
    home.run(["ingest", "--user", "me", file]).exits(4).says(&["--person", "Ann; Bo"]);
    home.run(["ingest", "--user", "me", "--person", "Bo", file]).exits(0);
    let ids = || -> Vec<Value> {
        documents(&home).iter().map(|document| document["id"].clone()).collect()
    };
    assert_eq!(ids(), ["b1", "b2"]);
    // Another person of the same file comes beside, not instead.
    home.run(["ingest", "--user", "me", "--person", "Ann", file]).exits(0);
    assert_eq!(ids(), ["b1", "b2", "a1"]);
}

#[test]
fn users_do_not_see_each_other() {
    let home = Home::new();
    home.run_with_input(["ingest", "--user", "Ann", "-"], "Ann's text about otters.").exits(0);
    home.run_with_input(["ingest", "--user", "Bo", "-"], "Bo's text about badgers.").exits(0);
    let users = home.run(["--json", "profile", "list"]).json();
    assert_eq!(users["users"], serde_json::json!(["Ann", "Bo"]));
    let found = home.run(["--json", "profile", "search", "--user", "Bo", "otters"]).json();
    assert_eq!(found["hits"], serde_json::json!([]));
}

/// The story: a laptop runs out of power in the middle of an ingest, again and again. Whatever
/// the store holds afterwards must be whole documents that can be searched, the store must open
/// at once, and a last undisturbed run must complete the job.
#[test]
fn an_ingest_survives_being_killed_at_any_moment() {
    const FILES: usize = 120;
    let home = Home::new();
    for index in 0..FILES {
        let text = format!("Note {index}. The marker of this note is word{index}x.\n").repeat(40);
        home.write(&format!("notes/{index}.txt"), text.as_bytes());
    }
    let notes = home.path().join("notes");
    let arguments = ["ingest", "--user", "me", notes.to_str().unwrap()];
    let (mut held, mut halfway) = (0, 0);
    for round in 0..25_u64 {
        let mut command = home.command(arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // From the first instant to well after the end; later rounds have less left to do.
        thread::sleep(Duration::from_millis(1 + round * 9 % 120));
        child.kill().unwrap();
        child.wait().unwrap();
        let list = home.run(["--json", "profile", "list", "--user", "me"]);
        if list.code == Some(3) {
            // Killed before there was a profile.
            assert_eq!(held, 0);
            continue;
        }
        let documents = list.exits(0).json()["documents"].as_array().unwrap().clone();
        assert!(documents.len() >= held, "documents were lost");
        held = documents.len();
        halfway += usize::from(0 < held && held < FILES);
        assert!(documents.iter().all(|document| document["chunks"].as_u64() > Some(0)));
    }
    assert!(halfway > 0, "no kill came in the middle");
    home.run(arguments).exits(0);
    assert_eq!(documents(&home).len(), FILES);
    for index in [0, FILES / 2, FILES - 1] {
        let query = format!("word{index}x");
        let found = home.run(["--json", "profile", "search", "--user", "me", &query]).json();
        assert!(!found["hits"].as_array().unwrap().is_empty(), "{query}");
    }
}
