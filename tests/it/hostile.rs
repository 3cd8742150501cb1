//! Hostile input costs only itself. Each case lies in a folder between good files; the ingest of
//! that folder must end by itself within its time and its memory, with exit code 0 or 4, say
//! truthfully whether something was left out, and store every good file.
//!
//! `-- --nocapture` prints what each case took.

mod data;
mod folders;
mod mail;
mod markup;
mod office;
mod pdf;
mod text;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::held_to_modes::held_to_modes;
use crate::process_tree::{self, End, Outcome};
use crate::support::Home;

const WALL_TIME_MAX: Duration = Duration::from_secs(10);
/// Of the process and its children together.
const MEMORY_BYTES_MAX: u64 = 512 << 20;
const CASES_MIN: usize = 40;
/// How much of an output a failure shows.
const SHOWN_CHARS: usize = 1_500;

/// A word that stands in a file beside the folder, which no case may bring in.
const SECRET: &str = "quillonsecret";
/// The good files: name, a word that only it has, content.
const GOOD: [(&str, &str, &str); 3] = [
    (
        "a-first.txt",
        "marzipanlantern",
        "The marzipanlantern hung over the gate until the first frost, and then I took it in.",
    ),
    (
        "n-middle.md",
        "bramblewhistle",
        "# Hedges\n\nNobody plays the bramblewhistle now; the hedge was cut down last spring.\n",
    ),
    (
        "z-last.eml",
        "gooseferry",
        "From: Me <me@example.org>\nTo: Ann <ann@example.org>\nSubject: The crossing\n\
         Date: Tue, 4 May 2021 10:00:00 +0000\nMessage-ID: <good@example.org>\n\
         MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n\
         Dear Ann,\n\nThe gooseferry leaves at nine, and I have kept two seats for you.\n",
    ),
];

/// One hostile input.
struct Case {
    /// What is hostile about it.
    name: &'static str,
    input: Input,
}

enum Input {
    /// A file: its name and its bytes.
    File(&'static str, fn() -> Vec<u8>),
    /// Whatever is built in the folder.
    Built(fn(&Path)),
    /// Built in the folder, and read by somebody whom the modes of files bind.
    Denied(fn(&Path)),
    /// Done in the folder once before and then again and again during the ingest.
    Changing(fn(&Path)),
}

fn file(name: &'static str, file: &'static str, bytes: fn() -> Vec<u8>) -> Case {
    Case { name, input: Input::File(file, bytes) }
}

fn built(name: &'static str, build: fn(&Path)) -> Case {
    Case { name, input: Input::Built(build) }
}

/// Sets a flag when it goes, so that a failure ends the thread that watches the flag too.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs the command while `change` is done in the folder.
fn run_during(change: fn(&Path), folder: &Path, command: Command) -> Outcome {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                change(folder);
            }
        });
        let _done = Done(&is_done);
        process_tree::run(command, WALL_TIME_MAX)
    })
}

fn ingest(home: &Home, input: &Input) -> Outcome {
    home.write("outside/secret.txt", format!("Nobody may read the {SECRET}.\n").as_bytes());
    for (name, _, content) in GOOD {
        home.write(&format!("writings/{name}"), content.as_bytes());
    }
    let folder = home.path().join("writings");
    let path = folder.to_str().unwrap();
    let command =
        home.command(["--json", "ingest", "--user", "me", "--me", "me@example.org", path]);
    match input {
        Input::File(name, bytes) => fs::write(folder.join(name), bytes()).unwrap(),
        Input::Built(build) | Input::Denied(build) | Input::Changing(build) => build(&folder),
    }
    match input {
        Input::File(..) | Input::Built(_) => process_tree::run(command, WALL_TIME_MAX),
        // Where root cannot give its rights up, it reads what nobody may; that must go well too.
        Input::Denied(_) => {
            let held = held_to_modes(&command).unwrap_or(command);
            process_tree::run(held, WALL_TIME_MAX)
        }
        Input::Changing(change) => run_during(*change, &folder, command),
    }
}

/// What is wrong with how the ingest ended and what it said.
fn faults_of(outcome: &Outcome) -> Vec<String> {
    let mut faults = Vec::new();
    let End::Code(code @ (0 | 4)) = outcome.end else {
        return vec![format!("ended with {:?}", outcome.end)];
    };
    if outcome.memory_bytes_peak > MEMORY_BYTES_MAX {
        faults.push(format!("took {} MiB", outcome.memory_bytes_peak >> 20));
    }
    // A panic's message may quote the text.
    if outcome.stderr.contains("panicked") {
        faults.push("shows a panic".into());
    }
    match serde_json::from_str::<Value>(&outcome.stdout) {
        Ok(report) => {
            let problems = report["problems"].as_array();
            let lost = problems.is_some_and(|all| all.iter().any(|it| it["lost"] == true));
            if lost != (code == 4) {
                faults.push(format!("lost: {lost}, but the exit code is {code}"));
            }
        }
        Err(error) => faults.push(format!("the report is no JSON: {error}")),
    }
    faults
}

/// Good files that cannot be found, and what should not be found.
fn faults_of_profile(home: &Home) -> Vec<String> {
    let markers: Vec<&str> = GOOD.iter().map(|(_, marker, _)| *marker).collect();
    let query = format!("{} {SECRET}", markers.join(" "));
    let said = home.run(["--json", "profile", "search", "--user", "me", "--k", "20", &query]);
    if said.code != Some(0) {
        return vec![format!("the profile cannot be searched: {}", shown(&said.stderr))];
    }
    let found = said.json();
    let texts = found["hits"].as_array().unwrap().iter().filter_map(|hit| hit["text"].as_str());
    let text = texts.collect::<Vec<_>>().join("\n");
    let mut faults: Vec<String> = GOOD
        .iter()
        .filter(|(_, marker, _)| !text.contains(marker))
        .map(|(name, ..)| format!("the good file {name} is not found"))
        .collect();
    if text.contains(SECRET) {
        faults.push("a file outside the folder was taken in".into());
    }
    faults
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

/// Runs every case and fails with the names of all that did harm.
fn check(cases: Vec<Case>) {
    let mut harmful = Vec::new();
    for Case { name, input } in cases {
        let home = Home::new();
        let outcome = ingest(&home, &input);
        let mebibytes = outcome.memory_bytes_peak >> 20;
        println!("{name}: {:?}, {:.1?}, {mebibytes} MiB", outcome.end, outcome.wall_time);
        let mut faults = faults_of(&outcome);
        faults.extend(faults_of_profile(&home));
        if !faults.is_empty() {
            let (stdout, stderr) = (shown(&outcome.stdout), shown(&outcome.stderr));
            harmful.push(format!("{name}: {faults:#?}\nstdout: {stdout}\nstderr: {stderr}"));
        }
        folders::permit(&home.path().join("writings"));
    }
    assert!(harmful.is_empty(), "{} cases did harm:\n{}", harmful.len(), harmful.join("\n\n"));
}

#[test]
fn hostile_mail_costs_only_itself() {
    check(mail::cases());
}

#[test]
fn hostile_text_costs_only_itself() {
    check(text::cases());
}

#[test]
fn hostile_markup_costs_only_itself() {
    check(markup::cases());
}

#[test]
fn hostile_data_costs_only_itself() {
    check(data::cases());
}

#[test]
fn hostile_office_documents_cost_only_themselves() {
    check(office::cases());
}

#[test]
fn hostile_pdfs_cost_only_themselves() {
    check(pdf::cases());
}

#[test]
fn hostile_folders_cost_only_themselves() {
    check(folders::cases());
}

#[test]
fn there_are_many_hostile_inputs_each_of_its_own_name() {
    let families = [
        mail::cases(),
        text::cases(),
        markup::cases(),
        data::cases(),
        office::cases(),
        pdf::cases(),
        folders::cases(),
    ];
    let names: Vec<&str> = families.iter().flatten().map(|case| case.name).collect();
    assert!(names.len() >= CASES_MIN, "only {} cases", names.len());
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
}
