//! What must hold whatever happens to the machine: what was reported as stored stays stored, the
//! store opens at once, and the same command run again completes the job.
//!
//! - `kill`: `kill -9` at two hundred moments of an ingest, and in the recovery from it
//! - `disk`: no space, no right to write
//! - `two`: two processes that want to change one profile

mod disk;
mod kill;
mod two;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::Said;

/// A profile must open, be it after a crash, within this.
const OPENING_TIME_MAX: Duration = Duration::from_secs(2);
const MESSAGES_PER_MAILBOX: usize = 5;

/// SplitMix64: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// From 0 to below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn duration_below(&mut self, bound: Duration) -> Duration {
        Duration::from_micros(self.below(bound.as_micros() as u64))
    }

    /// Sentences of words that hardly any other text has: no two texts are alike.
    fn text(&mut self, words: usize) -> String {
        const CONSONANTS: &[u8] = b"bcdfghjklmnpqrstvwxz";
        const VOWELS: &[u8] = b"aeiouy";
        let mut text = String::new();
        for word in 0..words {
            for letter in 0..7 {
                let letters = if letter % 2 == 0 { CONSONANTS } else { VOWELS };
                let index = self.below(letters.len() as u64) as usize;
                text.push(char::from(letters[index]));
            }
            text.push_str(if word % 12 == 11 { ".\n" } else { " " });
        }
        text
    }
}

/// Texts and mailboxes in a folder.
struct Writings {
    _folder: tempfile::TempDir,
    /// As the store names it.
    path: PathBuf,
    /// Each file with the number of documents in it.
    documents: BTreeMap<String, usize>,
}

impl Writings {
    fn new(dice: &mut Dice, texts: usize, words: usize, mailboxes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let mut documents = BTreeMap::new();
        for index in 0..texts {
            let place = write(&path, &format!("text-{index:04}.txt"), &dice.text(words));
            documents.insert(place, 1);
        }
        for index in 0..mailboxes {
            let place = write(&path, &format!("box-{index:04}.mbox"), &mailbox(dice, index));
            documents.insert(place, MESSAGES_PER_MAILBOX);
        }
        Self { _folder: folder, path, documents }
    }

    /// The command that takes all of it in, and reports what is stored.
    fn ingest(&self) -> Vec<&OsStr> {
        let mut arguments = arguments(&["-v", "ingest", "--user", "me", "--me", "me@example.org"]);
        arguments.push(self.path.as_os_str());
        arguments
    }
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn mailbox(dice: &mut Dice, index: usize) -> String {
    let mut text = String::new();
    for message in 0..MESSAGES_PER_MAILBOX {
        text.push_str(&format!(
            "From me@example.org Tue May  4 10:0{message}:00 2021\n\
             From: Me <me@example.org>\nTo: Ann <ann@example.org>\nSubject: {}\
             Date: Tue, 4 May 2021 10:0{message}:00 +0000\n\
             Message-ID: <{index}.{message}@example.org>\n\
             MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n{}\n",
            dice.text(12),
            dice.text(60)
        ));
    }
    text
}

/// Runs the program on one home, wherever that lies, with these arguments.
type Run<'a> = &'a dyn Fn(&[&OsStr]) -> Said;

fn arguments<'a>(words: &[&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(|word| OsStr::new(*word)).collect()
}

/// The files that the profile has documents of, with how many; `None` where there is no profile.
fn held(run: Run<'_>) -> Option<BTreeMap<String, usize>> {
    let start = Instant::now();
    let said = run(&arguments(&["--json", "profile", "list", "--user", "me"]));
    let opening_time = start.elapsed();
    assert!(opening_time < OPENING_TIME_MAX, "opening took {opening_time:?}");
    if said.code == Some(3) {
        return None;
    }
    let list = said.exits(0).json();
    let mut held = BTreeMap::new();
    for document in list["documents"].as_array().unwrap() {
        *held.entry(document["source"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    Some(held)
}

/// Asserts that each of `writings` is in the profile wholly or not at all, nothing else is, and
/// all of `reported` is.
fn assert_kept<'a>(
    held: &BTreeMap<String, usize>,
    writings: &BTreeMap<String, usize>,
    reported: impl IntoIterator<Item = &'a String>,
) {
    for place in reported {
        assert!(held.contains_key(place), "{place} was reported as stored, and is lost");
    }
    for (place, documents) in held {
        assert_eq!(writings.get(place), Some(documents), "{place} is not there whole");
    }
}

/// Asserts that the program finds nothing wrong with the profile.
fn assert_sound(run: Run<'_>) {
    let said = run(&arguments(&["profile", "check", "--user", "me"])).exits(0);
    assert_eq!(said.stdout, "ok\n", "{said:#?}");
}

/// What `-v` said is stored; a line whose end is missing was not said yet.
fn reported(stderr: &str) -> Vec<String> {
    let lines = stderr.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    lines.filter_map(|line| line.strip_prefix("stored ")).map(str::to_owned).collect()
}
