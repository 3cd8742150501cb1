//! Nothing that a person wrote lies on the disk in plain or reaches a log, whatever is done with
//! it and whatever is done to the program meanwhile.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use age::x25519;

use crate::support::{Home, Said, finish};
use crate::{tiny, training};

/// Phrases that no program and no model has by chance.
const PHRASES: [&str; 5] = [
    "vermilion astrolabe beneath the quiet orchard",
    "seventeen brass pigeons recite the almanac",
    "a reluctant cartographer of buttered weather",
    "zwölf müßige Boxkämpfer jagen über Sylts Deiche",
    "marmalade treaty of the hollow lighthouse",
];
/// Bytes of a phrase that must not be found, in UTF-8; twice as many in UTF-16.
const WINDOW_BYTES: usize = 12;

/// Every piece of every phrase, in each encoding.
struct Traces {
    narrow: HashSet<Vec<u8>>,
    wide: HashSet<Vec<u8>>,
}

impl Traces {
    fn new() -> Self {
        let pieces = |bytes: &[u8], length: usize| -> Vec<Vec<u8>> {
            bytes.windows(length).map(<[u8]>::to_vec).collect()
        };
        let (mut narrow, mut wide) = (HashSet::new(), HashSet::new());
        for phrase in PHRASES {
            narrow.extend(pieces(phrase.as_bytes(), WINDOW_BYTES));
            for encode in [u16::to_le_bytes, u16::to_be_bytes] {
                let encoded: Vec<u8> = phrase.encode_utf16().flat_map(encode).collect();
                wide.extend(pieces(&encoded, 2 * WINDOW_BYTES));
            }
        }
        Self { narrow, wide }
    }

    fn are_in(&self, bytes: &[u8]) -> bool {
        bytes.windows(WINDOW_BYTES).any(|window| self.narrow.contains(window))
            || bytes.windows(2 * WINDOW_BYTES).any(|window| self.wide.contains(window))
    }
}

/// A home with a model, and folders apart from it: writings, and what `TMPDIR` names.
struct Scene {
    home: Home,
    writings: tempfile::TempDir,
    temporary: tempfile::TempDir,
    traces: Traces,
}

impl Scene {
    fn new() -> Self {
        let home = Home::with_tiny_model();
        // Room for the instructions and some passages, a token a character.
        let roomy = home.write("roomy.gguf", &tiny::llama().with_context(8192).to_bytes());
        home.run(["model", "pull", roomy.to_str().unwrap(), "--name", "roomy"]).exits(0);
        home.write("config.toml", b"[model]\nname = \"roomy\"\nthreads = 1\n");
        Self {
            home,
            writings: tempfile::tempdir().unwrap(),
            temporary: tempfile::tempdir().unwrap(),
            traces: Traces::new(),
        }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.writings.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs the command, as talkative as it can be, and looks for traces afterwards.
    fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Said {
        let mut command = self.home.command(["-vv"]);
        command.args(arguments).env("TMPDIR", self.temporary.path());
        let what = format!("{command:?}");
        let said = finish(command, None);
        assert!(!self.traces.are_in(said.stderr.as_bytes()), "{what} logs a text");
        self.assert_clean(&what);
        said
    }

    #[track_caller]
    fn assert_clean(&self, after: &str) {
        for folder in [self.home.path(), self.temporary.path()] {
            for entry in walkdir::WalkDir::new(folder) {
                let entry = entry.unwrap();
                let path = entry.path();
                let name = path.as_os_str().as_encoded_bytes();
                assert!(!self.traces.are_in(name), "after {after}: the name {}", path.display());
                if entry.file_type().is_file() {
                    let bytes = fs::read(path).unwrap();
                    assert!(!self.traces.are_in(&bytes), "after {after}: in {}", path.display());
                }
            }
        }
    }

    /// Texts, titles, mail pasted into a text, lines of JSON.
    fn write_everything(&self) {
        self.write("note.txt", &format!("On Monday: {}.\n", PHRASES[0]));
        let letter = format!(
            "---\ntitle: {}\ndate: 2019-05-06\n---\nDear Bo,\n\n{} and more.\n",
            PHRASES[1], PHRASES[3]
        );
        self.write("letter.md", &letter);
        let mail = format!(
            "From: me@example.org\nTo: bo@example.org\nSubject: {}\n\nHello, {}.\n\n> {}\n",
            PHRASES[4], PHRASES[2], PHRASES[0]
        );
        self.write("mail.txt", &mail);
        let line = serde_json::json!({
            "id": "n1", "title": PHRASES[2], "text": format!("{}!", PHRASES[4]),
        });
        self.write("lines.jsonl", &format!("{line}\n"));
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path()).collect()
}

#[test]
fn no_command_leaves_a_text_on_the_disk_or_in_a_log() {
    let scene = Scene::new();
    scene.write_everything();
    let writings = scene.writings.path().to_str().unwrap();
    scene.run(["ingest", "--user", "me", writings]).exits(0);
    let found = scene.run(["profile", "search", "--user", "me", "astrolabe"]).exits(0);
    assert!(found.stdout.contains("vermilion astrolabe"), "{found:#?}");
    scene.run(["profile", "list", "--user", "me"]).exits(0);
    scene.run(["profile", "check", "--user", "me"]).exits(0);
    let request = format!("a note about the {}", PHRASES[0]);
    let generate = ["generate", "--user", "me", "--k", "2", "--max-tokens", "16", "--seed", "7"];
    scene.run(generate.iter().copied().chain([request.as_str()])).exits(0);

    let recipient = x25519::Identity::generate().to_public().to_string();
    let bundle = scene.home.path().join("backup.age");
    let export = ["profile", "export", "--user", "me", "--to", bundle.to_str().unwrap()];
    scene.run(export.iter().copied().chain(["--recipient", &recipient])).exits(0);

    scene.run(["profile", "forget", "--user", "me", "n1"]).exits(0);
    let letter = scene.writings.path().join("letter.md");
    let letter = letter.to_str().unwrap();
    scene.run(["profile", "forget", "--user", "me", "--path", letter]).exits(0);
    let found = scene.run(["profile", "search", "--user", "me", "pigeons"]).exits(0);
    assert_eq!(found.stdout, "");
    // A mistake must not repeat what it is about.
    scene.run(["profile", "forget", "--user", "me", "--path", letter]).exits(3);
    scene.run(["profile", "show", "--user", "me", "nothing"]).exits(3);

    scene.run(["profile", "delete", "--user", "me", "--yes"]).exits(0);
    for folder in ["profiles", "keys"] {
        let left = files_below(&scene.home.path().join(folder));
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Requests, notes, drafts, what became of them, adapters and checkpoints, of runs that are killed too.
#[test]
fn training_leaves_no_text_on_the_disk_or_in_a_log() {
    let scene = Scene::new();
    let settings = training::SETTINGS.replace("answer_tokens = 72", "answer_tokens = 160");
    scene.home.write("config.toml", settings.as_bytes());
    let mut dice = fastrand::Rng::with_seed(3);
    let mut words = |count: usize| -> String {
        let word = |_| -> String { (0..5).map(|_| dice.lowercase()).collect() };
        (0..count).map(word).collect::<Vec<String>>().join(" ")
    };
    for note in 0..12 {
        let (title, text) = (PHRASES[note % 5], PHRASES[(note + 1) % 5]);
        let head = format!("---\ntitle: {title}\ndate: 2024-01-{:02}\n---\n", note + 1);
        scene.write(&format!("{note}.md"), &format!("{head}{} {text} {}.", words(7), words(7)));
    }
    let writings = scene.writings.path().to_str().unwrap();
    scene.run(["ingest", "--user", "me", writings]).exits(0);
    let request = format!("a note about the {}", PHRASES[0]);
    scene.run(["generate", "--user", "me", "--max-tokens", "16", &request]).exits(0);
    let sent = scene.write("sent/1.txt", &format!("{} {} {}.", words(5), PHRASES[2], words(5)));
    scene.run(["feedback", "--user", "me", "--file", sent.to_str().unwrap()]).exits(0);
    scene.run(["train", "--user", "me", "--dry-run"]).exits(0);
    for round in 1..6_u64 {
        let mut command = scene.home.command(["-vv", "train", "--user", "me", "--resume"]);
        command.env("TMPDIR", scene.temporary.path());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        thread::sleep(Duration::from_millis(60 * round));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!scene.traces.are_in(&output.stderr), "training logs a text");
        scene.assert_clean("a killed training");
    }
    scene.run(["train", "--user", "me", "--resume"]).exits(0);
    let shown = scene.run(["--json", "train", "show", "--user", "me"]).exits(0);
    assert!(scene.traces.are_in(shown.stdout.as_bytes()), "the run has the texts: {shown:#?}");
    scene.run(["train", "show", "--user", "me", "--round", "1"]).exits(0);
    scene.run(["eval", "--user", "me"]).exits(0);
    scene.run(["drafts", "list", "--user", "me"]).exits(0);
    let listed = scene.run(["--json", "adapter", "list", "--user", "me"]).exits(0).json();
    let adapter = listed["adapters"][0]["id"].as_str().unwrap();
    scene.run(["adapter", "use", "--user", "me", adapter]).exits(0);
    scene.run(["generate", "--user", "me", "--max-tokens", "16", &request]).exits(0);
    scene.run(["profile", "delete", "--user", "me", "--yes"]).exits(0);
}

/// The story: the machine loses power while a folder is taken in. What lies on the disk then, the
/// log of the database and temporary files included, tells nothing.
#[test]
fn an_ingest_that_is_killed_leaves_no_text_either() {
    let scene = Scene::new();
    for index in 0..200 {
        let phrase = PHRASES[index % PHRASES.len()];
        let text = format!("Note {index}: {phrase}. ").repeat(60);
        scene.write(&format!("many/{index}.txt"), &text);
    }
    let many = scene.writings.path().join("many");
    let arguments = ["-vv", "ingest", "--user", "me", many.to_str().unwrap()];
    for round in 0..8_u64 {
        let mut command = scene.home.command(arguments);
        command.env("TMPDIR", scene.temporary.path());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        thread::sleep(Duration::from_millis(5 + 15 * round));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!scene.traces.are_in(&output.stderr), "an ingest logs a text");
        scene.assert_clean("a killed ingest");
    }
    scene.run(["ingest", "--user", "me", many.to_str().unwrap()]).exits(0);
    let found = scene.run(["profile", "search", "--user", "me", "cartographer"]).exits(0);
    assert!(found.stdout.contains(PHRASES[2]), "{found:#?}");
    // What a killed process left does not outlive the profile.
    scene.run(["profile", "delete", "--user", "me", "--yes"]).exits(0);
    assert!(files_below(&scene.home.path().join("profiles")).is_empty());
    assert!(files_below(&scene.home.path().join("keys")).is_empty());
}

/// The control: the same look finds a text that does lie there, in part and in other encodings.
#[test]
fn the_look_finds_what_there_is() {
    let traces = Traces::new();
    let piece: String = PHRASES[1].chars().skip(10).take(12).collect();
    assert!(traces.are_in(format!("....{piece}....").as_bytes()));
    let wide: Vec<u8> = piece.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(traces.are_in(&[b"...".as_slice(), &wide].concat()));
    assert!(!traces.are_in(&piece.as_bytes()[..11]));
    assert!(!traces.are_in(&[0; 4096]));
}
