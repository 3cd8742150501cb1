//! Self-training on tiny models with random weights: what they write is noise, but what is learned
//! from, what is kept, what is adopted and what is forgotten do not depend on that.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use restpg_edge::paths::Paths;
use restpg_edge::profile::{NoPassphrase, ProfileStore, User};
use restpg_edge::selftrain::Journal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::Home;
use crate::tiny;

pub const SETTINGS: &str = "[model]\nname = \"roomy\"\nthreads = 1\n\
    [retrieve]\nk = 2\n\
    [generate]\nreasoning_tokens = 24\nanswer_tokens = 72\n\
    [sample]\ndrafts_at_once = 4\n\
    [train]\nrounds = 2\nsamples = 4\nwords_min = 5\nrank = 2\nepochs = 2\nreward_min = 0.0\n\
    learning_rate = 0.01\nstop_early = false\nreasoning_tries = 1\nheld_out_drafts = 2\n";
const NOTES: usize = 12;

/// A person with twelve short notes, each with a word that no other has.
pub fn home() -> Home {
    home_with(tiny::llama(), SETTINGS)
}

/// The same with a model that ends half of its drafts itself: only those are learned. Notes may end at once.
fn home_that_ends() -> Home {
    home_with(tiny::ending_llama(), &SETTINGS.replace("reasoning_tries = 1", "reasoning_tries = 5"))
}

fn home_with(model: tiny::Gguf, settings: &str) -> Home {
    let home = Home::new();
    let model = home.write("roomy.gguf", &model.with_context(4096).to_bytes());
    home.run(["model", "pull", model.to_str().unwrap(), "--name", "roomy"]).exits(0);
    home.write("config.toml", settings.as_bytes());
    for note in 0..NOTES {
        // Words that no other note has: otherwise they would be taken for versions of one text.
        let mut dice = fastrand::Rng::with_seed(note as u64);
        let words: Vec<String> =
            (0..8).map(|_| (0..5).map(|_| dice.lowercase()).collect()).collect();
        let text = format!(
            "---\ntitle: Note {note}\ndate: 2024-01-{:02}\n---\n{} {}.",
            note + 1,
            word(note),
            words.join(" ")
        );
        home.write(&format!("notes/{note}.md"), text.as_bytes());
    }
    let notes = home.path().join("notes");
    home.run(["ingest", "--user", "me", notes.to_str().unwrap()]).exits(0);
    home
}

/// The word that stands in one note alone.
fn word(note: usize) -> String {
    format!("zq{}x", char::from(b'a' + note as u8).to_string().repeat(5))
}

fn train(home: &Home, more: &[&str]) -> Value {
    let arguments = ["--json", "train", "--user", "me"].iter().chain(more);
    home.run(arguments).exits(0).json()
}

fn shown(home: &Home, more: &[&str]) -> Value {
    let arguments = ["--json", "train", "show", "--user", "me"].iter().chain(more);
    home.run(arguments).exits(0).json()
}

fn adapters(home: &Home) -> Vec<Value> {
    let said = home.run(["--json", "adapter", "list", "--user", "me"]).exits(0).json();
    said["adapters"].as_array().unwrap().clone()
}

fn content(home: &Home, adapter: &Value) -> Vec<u8> {
    let path = home.path().join("adapter.gguf");
    let id = adapter["id"].as_str().unwrap();
    let path_text = path.to_str().unwrap();
    let export = ["adapter", "export", "--user", "me", "--force", "--to", path_text, id];
    home.run(export).exits(0);
    fs::read(path).unwrap()
}

#[test]
fn a_run_leaves_what_it_made_and_says_why_it_is_not_used() {
    let home = home_that_ends();
    let plan = home.run(["--json", "train", "--user", "me", "--dry-run"]).exits(0).json();
    assert_eq!(plan["pairs"].as_array().unwrap().len(), NOTES - 1);
    assert_eq!(plan["dropped"][0]["why"], "nothing_before");
    assert!(plan["stages"].as_array().unwrap().iter().all(|it| it["seconds"].as_f64() > Some(0.0)));
    assert!(adapters(&home).is_empty());

    let outcome = train(&home, &["--samples", "12"])["outcome"].clone();
    let rounds = outcome["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 2, "{outcome:#}");
    assert_eq!(outcome["held_out"], 4);
    assert!(rounds[0]["harvest"]["chosen"].as_u64() > Some(0), "{outcome:#}");
    assert_eq!(outcome["adopted"], Value::Null, "noise is no better than noise: {outcome:#}");
    let all = adapters(&home);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|adapter| adapter["state"] == "candidate"));
    assert_eq!(all[0]["about"]["origin"], "trained");
    assert_eq!(all[0]["about"]["gate"], rounds[0]["verdict"]);
    let candidate = all[0]["id"].as_str().unwrap();
    home.run(["adapter", "use", "--user", "me", candidate]).exits(0).says(&["did not adopt it"]);
    home.run(["adapter", "rollback", "--user", "me"]).exits(0);
    let learned = all[0]["documents"].as_u64().unwrap();
    assert!((4..=NOTES as u64 - 4).contains(&learned), "{learned} documents");
    let show = ["adapter", "show", "--user", "me", candidate];
    let ids = home.run(["--json"].iter().chain(&show)).exits(0).json()["document_ids"].clone();
    assert_eq!(ids.as_array().unwrap().len() as u64, learned);
    let said = home.run(show).exits(0).stdout;
    assert!(ids.as_array().unwrap().iter().all(|id| said.contains(id.as_str().unwrap())), "{said}");
    assert!(said.contains("  Note "), "{said}");

    let overview = shown(&home, &[]);
    assert_eq!(overview["requests"].as_array().unwrap().len(), NOTES - 1);
    assert_eq!(overview["rounds"], outcome["rounds"]);
    let drafts = shown(&home, &["--round", "1"])["requests"].clone();
    assert_eq!(drafts[0]["drafts"].as_array().unwrap().len(), 12);
    let arguments = ["train", "show", "--user", "me", "--round", "1", "--request", "1"];
    let said = home.run(arguments).exits(0).stdout;
    assert!(said.contains("written by the person") && said.contains("reward"), "{said}");
    home.run(["train", "remove", "--user", "me"]).exits(0);
    home.run(["train", "show", "--user", "me"]).exits(3);
    assert_eq!(adapters(&home).len(), 2);
}

/// Neither the text, nor anything written later, nor what is held out.
#[test]
fn what_is_to_be_written_is_never_shown() {
    let home = home();
    train(&home, &["--rounds", "1", "--samples", "1"]);
    let shown = shown(&home, &[]);
    let requests = shown["requests"].as_array().unwrap();
    for request in requests {
        let number: usize =
            request["request"].as_str().unwrap().trim_start_matches("Note ").parse().unwrap();
        assert!(request["output"].as_str().unwrap().contains(&word(number)));
        let passages = request["passages"].to_string();
        for later in number..NOTES {
            assert!(!passages.contains(&word(later)), "{number} is shown {later}");
        }
    }
    let notes = shown["notes"].as_array().unwrap();
    for (request, notes) in requests.iter().zip(notes) {
        let is_held_out = request["held_out"] == true;
        assert_eq!(notes.is_null(), is_held_out, "only what is learned has notes");
        let number: usize =
            request["request"].as_str().unwrap().trim_start_matches("Note ").parse().unwrap();
        for later in number..NOTES {
            assert!(!notes.to_string().contains(&word(later)), "{number} is told {later}");
        }
    }
}

/// Where no draft is good enough, both rounds learn the person's texts alone: a second one that went on
/// from the first would come to something else.
#[test]
fn every_round_begins_with_the_fresh_model() {
    let home = home();
    let settings = SETTINGS.replace("reward_min = 0.0", "reward_min = 1.0");
    home.write("config.toml", settings.as_bytes());
    let outcome = train(&home, &[])["outcome"].clone();
    let rounds = outcome["rounds"].as_array().unwrap();
    assert!(rounds.iter().all(|round| round["harvest"]["chosen"] == 0), "{outcome:#}");
    let all = adapters(&home);
    let first = content(&home, &all[0]);
    assert_eq!(content(&home, &all[1]), first);
    // And something is learned in a round.
    let still = settings.replace("learning_rate = 0.01", "learning_rate = 0.0");
    home.write("config.toml", still.as_bytes());
    train(&home, &["--rounds", "1"]);
    assert_ne!(content(&home, adapters(&home).last().unwrap()), first);
}

/// What a person sees of a run, on the requests that it held out.
#[test]
fn a_run_is_shown_side_by_side_with_what_it_has_to_surpass() {
    let home = home();
    home.run(["eval", "--user", "me"]).exits(3).says(&["no training run", "train --user"]);
    let outcome = train(&home, &["--rounds", "1"])["outcome"].clone();
    let page = home.path().join("report.html");
    let arguments = ["--json", "eval", "--user", "me", "--report", page.to_str().unwrap()];
    let said = home.run(arguments).exits(0);
    assert!(said.stderr.contains("rest-pg-misled and own_author need"), "{}", said.stderr);
    assert!(said.stderr.contains("of round 1, which was not adopted"), "{}", said.stderr);
    let report = said.json();
    let cases = report["cases"].as_array().unwrap();
    assert_eq!(cases.len() as u64, outcome["held_out"].as_u64().unwrap());
    for case in cases {
        let systems: Vec<&String> = case["systems"].as_object().unwrap().keys().collect();
        let expected =
            ["base", "reasoning", "rest-pg", "retrieval", "sft", "sft-informed", "sft-reasoning"];
        assert_eq!(systems, expected);
        assert!(fs::read_to_string(&page).unwrap().contains(case["reference"].as_str().unwrap()));
    }
    home.run(["eval", "--user", "me", "--queries", "3"]).exits(2);
    home.run(["eval", "--user", "nobody"]).exits(3);
    home.write("config.toml", format!("{SETTINGS}[eval]\njudge = \"nothing\"\n").as_bytes());
    home.run(["eval", "--user", "me"]).exits(3).says(&["nothing"]);
}

#[test]
fn the_gate_asks_a_judge_that_no_reward_used() {
    let home = home();
    let judged = SETTINGS.replace("rank = 2", "rank = 2\ngate_judge = \"twin\"");
    home.write("config.toml", judged.as_bytes());
    home.run(["train", "--user", "me"]).exits(3).says(&["twin"]);
    let model = home.path().join("roomy.gguf");
    home.run(["model", "pull", model.to_str().unwrap(), "--name", "twin"]).exits(0);
    let outcome = train(&home, &["--rounds", "1"])["outcome"].clone();
    let guards = outcome["rounds"][0]["verdict"]["guards"].as_array().unwrap();
    let is_judge = |it: &&Value| it["name"].as_str().unwrap().contains("the judge prefers");
    let of_judge: Vec<&Value> = guards.iter().filter(is_judge).collect();
    assert_eq!(of_judge.len(), 2, "{guards:#?}");
    for guard in of_judge {
        // Noise likes some drafts more than others: neither 0 nor 1.
        let found = guard["found"].as_f64().unwrap();
        assert!(0.0 < found && found < 1.0, "{guard}");
        assert_eq!(guard["is_passed"], found <= 0.95, "{guard}");
    }
    // The same model under another name is no other judge.
    home.write("config.toml", format!("{judged}[reward]\njudge_weight = 1.0\n").as_bytes());
    let said = ["twin is part of the reward", "gate_judge"];
    home.run(["train", "--user", "me", "--anew"]).exits(2).says(&said);
}

/// The rate is far too high: what is fitted is worth nothing.
#[test]
fn an_adapter_that_is_no_better_is_refused_and_it_is_said_why() {
    let home = home();
    home.write("config.toml", SETTINGS.replace("0.01", "0.9").as_bytes());
    let outcome = train(&home, &["--rounds", "1"])["outcome"].clone();
    let verdict = &outcome["rounds"][0]["verdict"];
    assert_eq!(verdict["is_adopted"], false);
    let comparisons = verdict["comparisons"].as_array().unwrap();
    assert!(comparisons.iter().any(|it| it["is_passed"] == false), "{verdict:#}");
    assert_eq!(adapters(&home)[0]["state"], "candidate");
}

#[test]
fn forgetting_ends_a_run_and_what_came_of_it() {
    let home = home();
    train(&home, &["--rounds", "1"]);
    assert_eq!(adapters(&home)[0]["state"], "candidate");
    let forget = ["profile", "forget", "--user", "me", "--path"];
    let note = home.path().join("notes/3.md");
    home.run(forget.iter().copied().chain([note.to_str().unwrap()]))
        .exits(0)
        .says(&["1 runs of training", "invalid"]);
    assert_eq!(adapters(&home)[0]["state"], "invalid");
    home.run(["train", "show", "--user", "me"]).exits(3);
}

#[test]
fn too_little_writing_is_said_to_be_too_little() {
    let home = home();
    for note in 2..NOTES {
        let path = home.path().join(format!("notes/{note}.md"));
        home.run(["profile", "forget", "--user", "me", "--path", path.to_str().unwrap()]).exits(0);
    }
    for more in [&["--dry-run"][..], &[]] {
        let arguments = ["train", "--user", "me"].iter().chain(more);
        home.run(arguments).exits(1).says(&["0 texts to learn from", "help: Take in more"]);
    }
    assert_eq!(home.run(["train", "show", "--user", "me"]).code, Some(3), "nothing was begun");
    home.run(["train", "--user", "nobody"]).exits(3);
    home.run(["train"]).exits(2);
}

/// Texts that look long enough, and that the model has no room for.
#[test]
fn a_run_that_can_come_to_nothing_ends_and_is_not_taken_up() {
    let home = home();
    home.write(
        "config.toml",
        SETTINGS.replace("answer_tokens = 72", "answer_tokens = 40").as_bytes(),
    );
    let arguments = ["train", "--user", "me"];
    home.run(arguments).exits(1).says(&["left out 11 texts", "0 texts to learn from"]);
    let said = home.run(["train", "show", "--user", "me"]).exits(0).stdout;
    assert!(said.contains("ended without a result") && said.contains("left out, longer"), "{said}");
    let again = ["train", "--user", "me", "--resume"];
    home.run(again).exits(1).says(&["ended without a result", "begins another"]);
    home.write("config.toml", SETTINGS.as_bytes());
    home.run(["train", "--user", "me", "--rounds", "1", "--samples", "1"]).exits(0);
}

#[test]
fn a_stopped_run_must_be_taken_up_or_given_up() {
    let home = home();
    let arguments = ["train", "--user", "me"];
    let said = stopped(&home, &arguments);
    assert!(said.contains("--resume"), "{said}");
    home.run(arguments).exits(2).says(&["was stopped before its end", "--anew"]);
    let said = home.run(["train", "--user", "me", "--resume"]).exits(0).stdout;
    assert!(said.ends_with("what was in use stays in use\n"), "{said}");
    let again = home.run(["train", "--user", "me", "--resume"]).exits(0);
    assert_eq!(again.stdout, said, "a run that is done is not done again");
    assert_eq!(adapters(&home).len(), 2);
    home.run(["train", "--user", "me", "--rounds", "1", "--samples", "1"]).exits(0);
}

#[test]
fn what_the_model_has_no_room_for_is_left_out_and_shown() {
    let home = home();
    let words: Vec<String> = (0..12).map(|n| word(n).replace("zq", "longer")).collect();
    let note = format!("---\ntitle: Long\ndate: 2024-01-05\n---\n{}.", words.join(" "));
    home.write("notes/long.md", note.as_bytes());
    let notes = home.path().join("notes");
    home.run(["ingest", "--user", "me", notes.to_str().unwrap()]).exits(0);
    let arguments = ["train", "--user", "me", "--rounds", "1", "--samples", "1"];
    home.run(arguments).exits(0).says(&["left out 1 texts: longer than the model has room for"]);
    let left_out = shown(&home, &[])["left_out"].clone();
    assert_eq!((left_out.as_array().unwrap().len(), &left_out[0]["why"]), (1, &json!("no_room")));
    let said = home.run(["train", "show", "--user", "me"]).exits(0).stdout;
    assert!(said.contains("left out, longer than the model has room for: "), "{said}");
}

/// A password, which is not learned, whether it stands in a text, in a title or in what a draft became.
#[test]
fn secrets_are_not_learned() {
    let home = home();
    let words = "kfwpo rtkqa mnbvc lkjhg poiuy trewq asdfg";
    let note = format!(
        "---\ntitle: The pin is 4711\ndate: 2023-12-01\n---\n{words}, password: hunter2 {words}."
    );
    home.write("notes/secret.md", note.as_bytes());
    let notes = home.path().join("notes");
    home.run(["ingest", "--user", "me", notes.to_str().unwrap()]).exits(0);
    home.run(["generate", "--user", "me", "--max-tokens", "8", "the kettle"]).exits(0);
    let sent =
        home.write("sent.txt", b"vbnmq wertz uiopa sdfgh jklyx, my api_key=abcd-1234 cvbnm qwert.");
    home.run(["feedback", "--user", "me", "--file", sent.to_str().unwrap()]).exits(0);
    home.run(["train", "--user", "me", "--dry-run"]).exits(0);
    train(&home, &["--rounds", "1", "--samples", "1"]);
    let shown = shown(&home, &[]).to_string();
    assert!(shown.contains("asdfg") && shown.contains("sdfgh"), "{shown}");
    for secret in ["4711", "hunter2", "abcd-1234"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

/// A model that always says the same: once the person has rejected that, it is known for it.
#[test]
fn what_is_like_a_rejected_draft_is_known_for_it() {
    let home = home();
    let token = tiny::llama().tokens().iter().position(|token| token == b"~").unwrap();
    let mut model = tiny::always(token).with_context(4096);
    // A word: one long one would have no runs of words.
    model.tokens()[token] = "Ġab".as_bytes().to_vec();
    let model = home.write("same.gguf", &model.to_bytes());
    home.run(["model", "pull", model.to_str().unwrap(), "--name", "same"]).exits(0);
    home.write("config.toml", SETTINGS.replace("\"roomy\"", "\"same\"").as_bytes());
    let rejected = |home: &Home| -> Vec<Value> {
        let arguments = ["train", "--user", "me", "--rounds", "1", "--samples", "2", "--anew"];
        home.run(arguments).exits(0);
        let requests = shown(home, &["--round", "1"])["requests"].as_array().unwrap().clone();
        let drafts = requests.iter().flat_map(|it| it["drafts"].as_array().unwrap().clone());
        drafts.map(|draft| draft["was_rejected"].clone()).collect()
    };
    let before = rejected(&home);
    assert!(!before.is_empty() && before.iter().all(|it| it == false), "{before:?}");
    home.run(["generate", "--user", "me", "--no-reasoning", "the kettle"]).exits(0);
    home.run(["feedback", "--user", "me", "--reject"]).exits(0);
    let after = rejected(&home);
    assert!(after.len() == before.len() && after.iter().all(|it| it == true), "{after:?}");
    home.run(["drafts", "remove", "--user", "me", "--all"]).exits(0).says(&["the run of training"]);
    home.run(["train", "show", "--user", "me"]).exits(3);
}

/// Two that train at once would undo what the other keeps, and so would one that takes the run away.
#[test]
fn a_run_is_one_process_s_alone_while_that_goes_on() {
    let home = home();
    let mut child = begin(&home);
    while home.run(["train", "show", "--user", "me"]).code != Some(0) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it began");
        thread::sleep(Duration::from_millis(5));
    }
    for arguments in
        [&["train", "--user", "me", "--anew"][..], &["train", "remove", "--user", "me"]]
    {
        home.run(arguments).exits(1).says(&["another process trains", "Ctrl-C"]);
    }
    assert!(child.wait().unwrap().success());
    home.run(["train", "remove", "--user", "me"]).exits(0);
}

/// What comes in while a run is under way changes nothing of it.
#[test]
fn what_comes_in_meanwhile_is_not_shown() {
    let home = home();
    stopped(&home, &["train", "--user", "me"]);
    let before = shown(&home, &[]);
    home.write("late.md", b"A late one without a date: zqlatex mnbvc lkjhg poiuy trewq.");
    let late = home.path().join("late.md");
    home.run(["ingest", "--user", "me", late.to_str().unwrap()]).exits(0);
    home.run(["train", "--user", "me", "--resume"]).exits(0);
    let after = shown(&home, &[]);
    assert!(!after.to_string().contains("zqlatex"));
    if before["requests"].as_array().is_some_and(|it| !it.is_empty()) {
        assert_eq!(before["requests"], after["requests"]);
    }
}

/// Another model under the same name: what was begun cannot go on with it.
#[test]
fn a_run_does_not_go_on_with_another_model() {
    let home = home();
    stopped(&home, &["train", "--user", "me"]);
    let mut other = tiny::llama().with_context(4096);
    other.set("general.name", tiny::text("another"));
    let model = home.write("other.gguf", &other.to_bytes());
    home.run(["model", "remove", "roomy"]).exits(0);
    home.run(["model", "pull", model.to_str().unwrap(), "--name", "roomy"]).exits(0);
    home.run(["train", "--user", "me", "--resume"]).exits(1).says(&["other models", "--anew"]);
    home.run(["train", "--user", "me", "--anew", "--rounds", "1", "--samples", "1"]).exits(0);
}

/// What rounds came to is known when they are done, not only when the run is.
#[test]
fn a_round_is_shown_before_the_run_is_at_its_end() {
    let home = home();
    let arguments = ["train", "--user", "me", "--rounds", "4", "--samples", "2"];
    let rounds = |home: &Home| shown(home, &[])["rounds"].as_array().unwrap().clone();
    let has_begun = || home.run(["train", "show", "--user", "me"]).code == Some(0);
    stopped_when(&home, &arguments, || has_begun() && !rounds(&home).is_empty());
    let said = home.run(["train", "show", "--user", "me"]).exits(0).stdout;
    assert!(said.contains("not at its end") && said.contains("\nround 1: "), "{said}");
    let done = rounds(&home);
    assert!((1..4).contains(&done.len()), "{done:?}");
    home.run(["train", "--user", "me", "--resume"]).exits(0);
    assert_eq!(rounds(&home)[..done.len()], done);
}

/// What a run says that is asked to end when it has just begun.
fn stopped(home: &Home, arguments: &[&str]) -> String {
    stopped_when(home, arguments, || home.run(["train", "show", "--user", "me"]).code == Some(0))
}

/// What a run says that is asked to end once it is `due`.
fn stopped_when(home: &Home, arguments: &[&str], due: impl Fn() -> bool) -> String {
    let mut command = home.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    while !due() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was due");
        thread::sleep(Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a run came to, piece by piece, without ids and times.
fn came(home: &Home) -> Vec<(String, Value)> {
    let shown = shown(home, &[]);
    let mut all = Vec::new();
    for (what, pieces) in [("request", &shown["requests"]), ("notes", &shown["notes"])] {
        let pieces = pieces.as_array().unwrap().iter().enumerate();
        all.extend(pieces.map(|(place, piece)| (format!("{what} {place}"), piece.clone())));
    }
    for round in ["1", "2"] {
        let drafts = self::shown(home, &["--round", round])["requests"].clone();
        let pieces = drafts.as_array().unwrap().iter().enumerate();
        all.extend(pieces.map(|(at, piece)| (format!("drafts {round}.{at}"), piece.clone())));
    }
    for (place, round) in shown["rounds"].as_array().unwrap().iter().enumerate() {
        let mut round = round.clone();
        round.as_object_mut().unwrap().remove("adapter");
        all.push((format!("round {place}"), round));
    }
    for (place, adapter) in adapters(home).iter().enumerate() {
        let mut about = adapter["about"].clone();
        about.as_object_mut().unwrap().remove("run");
        let hash = hex::encode(Sha256::digest(content(home, adapter)));
        let row = json!([adapter["state"], adapter["documents"], about, hash]);
        all.push((format!("adapter {place}"), row));
    }
    all
}

/// `kill -9` at a hundred moments of runs: each comes to what an undisturbed one comes to.
#[test]
fn a_run_that_is_killed_comes_to_the_same_end() {
    let fresh = home_that_ends();
    let undisturbed = copy(&fresh);
    let started = Instant::now();
    let outcome = train(&undisturbed, &[])["outcome"].clone();
    let lasts = started.elapsed();
    assert!(outcome["rounds"][0]["harvest"]["chosen"].as_u64() > Some(0), "{outcome:#}");
    let expected = came(&undisturbed);
    let mut dice = fastrand::Rng::with_seed(7);
    let mut kills = 0;
    while kills < 100 {
        let home = copy(&fresh);
        let mut is_done = false;
        while !is_done {
            // Several kills in a run, and pieces of work that are done between them.
            let micros = dice.u64(0..lasts.as_micros() as u64 / 3);
            let child = begin(&home);
            is_done = !is_killed_after(child, Duration::from_micros(micros));
            kills += usize::from(!is_done);
        }
        let found = came(&home);
        assert_eq!(found.len(), expected.len());
        for ((what, found), (_, expected)) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{what}");
        }
    }
}

/// The same after an adoption, which decides what the next round has to surpass. The verdict is planted:
/// noise is no better than noise.
#[test]
fn a_run_that_is_killed_after_an_adoption_comes_to_the_same_end() {
    let fresh = home();
    stopped(&fresh, &["train", "--user", "me"]);
    assert!(adapters(&fresh).is_empty(), "no round has come to its end");
    plant_an_adoption(&fresh);
    let undisturbed = copy(&fresh);
    let started = Instant::now();
    resumed_and_adopted(&undisturbed);
    let lasts = started.elapsed();
    let expected = came(&undisturbed);
    let states: Vec<Value> = adapters(&undisturbed).iter().map(|it| it["state"].clone()).collect();
    assert_eq!(states, ["adopted", "candidate"]);
    let rivals = adapters(&undisturbed)[1]["about"]["gate"]["comparisons"].to_string();
    assert!(rivals.contains("the adapter in use"), "the next round has it to surpass: {rivals}");
    // What is in use is what is shown, not what was refused after it.
    let eval = ["eval", "--user", "me", "--systems", "rest-pg"];
    undisturbed.run(eval).exits(0).says(&["of round 1, which was adopted"]);
    let mut dice = fastrand::Rng::with_seed(9);
    let mut kills = 0;
    while kills < 20 {
        let home = copy(&fresh);
        let mut is_done = false;
        while !is_done {
            let micros = dice.u64(0..lasts.as_micros() as u64 / 2);
            is_done = !is_killed_after(begin(&home), Duration::from_micros(micros));
            kills += usize::from(!is_done);
        }
        assert_eq!(came(&home), expected);
        let said = home.run(["--json", "generate", "--user", "me", "the kettle"]).exits(0).json();
        assert_eq!(said["adapter"], adapters(&home)[0]["id"], "{said:#}");
    }
}

/// Goes on with the run to its end, which says that its adapter is in use.
fn resumed_and_adopted(home: &Home) {
    let said = home.run(["train", "--user", "me", "--resume"]).exits(0).stdout;
    assert!(said.contains("is in use: `restpg-edge generate --user \"me\"` writes"), "{said}");
}

/// Has the first round of the run adopted, as far as its journal says.
fn plant_an_adoption(home: &Home) {
    let paths = Paths::resolve(Some(home.path())).unwrap();
    let user = User::parse("me").unwrap();
    let mut store = ProfileStore::open_or_create(&paths, &user, &NoPassphrase).unwrap();
    let run = store.runs().unwrap().pop().unwrap().id;
    let verdict = json!({"is_adopted": true, "requests": 4, "comparisons": [], "guards": []});
    Journal::new(&mut store, run).keep("verdict", "round 1", &verdict).unwrap();
}

/// The same home again: documents have other ids elsewhere.
fn copy(home: &Home) -> Home {
    let copy = Home::new();
    let from = home.path().join(".");
    let status = Command::new("cp").arg("-a").arg(from).arg(copy.path()).status().unwrap();
    assert!(status.success());
    copy
}

fn begin(home: &Home) -> Child {
    let mut command = home.command(["train", "--user", "me", "--resume"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Whether it was killed before it came to its end.
fn is_killed_after(mut child: Child, after: Duration) -> bool {
    let until = Instant::now() + after;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status:?}");
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}
