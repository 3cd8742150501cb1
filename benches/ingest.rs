//! Taking mail in: how many messages a minute, without embeddings.
//!
//! `cargo bench --bench ingest` writes a Maildir of 10,000 sent messages, most of them replies with
//! quotes and signatures, takes it in with the binary, and again with nothing changed.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

const MESSAGES: usize = 10_000;
const ROUNDS: usize = 3;
const WORDS: [&str; 24] = [
    "the", "meeting", "was", "moved", "to", "Thursday", "because", "roof", "leaks", "and", "we",
    "need", "new", "tiles", "before", "winter", "please", "bring", "your", "ladder", "if", "you",
    "can", "thanks",
];

fn main() {
    let scratch = tempfile::tempdir().expect("a folder");
    let mailbox = scratch.path().join("Maildir");
    let bytes = write_mailbox(&mailbox);
    println!("{MESSAGES} messages, {:.1} MB", bytes as f64 / 1e6);
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let home = scratch.path().join(format!("home {round}"));
        first.push(ingest(&home, &mailbox, MESSAGES));
        again.push(ingest(&home, &mailbox, 0));
    }
    let (first, again) = (support::median(&mut first), support::median(&mut again));
    println!("first: {first:.1} s, {:.0} messages a minute", MESSAGES as f64 / first * 60.0);
    println!("again, nothing changed: {again:.2} s");
}

/// Takes the mailbox in; `ingested` messages must be read. Returns the seconds.
fn ingest(home: &Path, mailbox: &Path, ingested: usize) -> f64 {
    let started = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_restpg-edge"))
        .arg("--home")
        .arg(home)
        .args(["--json", "ingest", "--user", "me", "--me", "mara@example.org"])
        .arg(mailbox)
        .output()
        .expect("the binary was built");
    let seconds = started.elapsed().as_secs_f64();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["files"]["ingested"], ingested, "{report}");
    seconds
}

fn write_mailbox(folder: &Path) -> usize {
    for name in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    let mut random = fastrand::Rng::with_seed(3);
    let mut bytes = 0;
    for number in 0..MESSAGES {
        let message = message(number, &mut random);
        bytes += message.len();
        let name = format!("cur/{}.M{number}P1.host:2,S", 1_583_251_200 + number * 600);
        std::fs::write(folder.join(name), message).expect("written");
    }
    bytes
}

fn message(number: usize, random: &mut fastrand::Rng) -> String {
    let mut text = format!(
        "From: Mara Quill <mara@example.org>\r\nTo: Ann Bee <ann{}@example.org>\r\n\
         Subject: Re: the roof, part {number}\r\nDate: Tue, 3 Mar 2020 17:06:00 +0100\r\n\
         Message-ID: <{number}@example.org>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\nHello Ann,\r\n\r\n",
        number % 40
    );
    text.push_str(&sentences(random, 12, ""));
    text.push_str("\r\nBest,\r\nMara\r\n\r\n");
    text.push_str("On Mon, Mar 2, 2020 at 9:12 AM Ann Bee <ann@example.org> wrote:\r\n");
    text.push_str(&sentences(random, 15, "> "));
    text.push_str("\r\n-- \r\nMara Quill\r\n+44 20 7946 0000\r\n");
    text
}

fn sentences(random: &mut fastrand::Rng, count: usize, mark: &str) -> String {
    let mut text = String::new();
    for _ in 0..count {
        let words: Vec<&str> = (0..11).map(|_| WORDS[random.usize(..WORDS.len())]).collect();
        // Writing to a string does not fail.
        let _ = write!(text, "{mark}{} {}.\r\n", words.join(" "), random.u32(..));
    }
    text
}
