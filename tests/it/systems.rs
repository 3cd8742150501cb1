//! `eval --dataset … --output` on a tiny model with random weights: its figures mean nothing, but who is
//! compared, on what, and that it goes on where it was stopped do not depend on them.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Home;
use crate::tiny;

const SETTINGS: &str = "[model]\nname = \"roomy\"\nthreads = 1\n\
    [retrieve]\nk = 2\nembedder = \"\"\n\
    [generate]\nreasoning_tokens = 24\nanswer_tokens = 72\n\
    [train]\nrounds = 1\nsamples = 3\nwords_min = 3\nrank = 2\nepochs = 1\nreward_min = 0.0\n\
    learning_rate = 0.01\nreasoning_tries = 2\nheld_out_drafts = 2\nnice = 0\non_battery = \"go-on\"\n\
    [eval]\ntrain_queries = 8\ntest_queries = 3\nbest_of = 3\n";
const SYSTEMS: [&str; 9] = [
    "base",
    "retrieval",
    "reasoning",
    "sft",
    "sft-reasoning",
    "sft-informed",
    "rest-em",
    "rest-pg",
    "rest-pg-misled",
];

/// Nine people who write free texts, in words that nobody else has.
fn home() -> (Home, String) {
    let home = Home::new();
    let model = home.write("roomy.gguf", &tiny::llama().with_context(4096).to_bytes());
    home.run(["model", "pull", model.to_str().unwrap(), "--name", "roomy"]).exits(0);
    home.write("config.toml", SETTINGS.as_bytes());
    let mut dice = fastrand::Rng::with_seed(5);
    let mut words = |count: usize| -> String {
        let word = |_| -> String { (0..5).map(|_| dice.lowercase()).collect() };
        (0..count).map(word).collect::<Vec<String>>().join(" ")
    };
    let mut rows = String::new();
    for person in 0..9 {
        let profile: Vec<Value> = (0..4)
            .map(|n| json!({"id": format!("{person}.{n}"), "title": words(2), "text": words(9), "date": null}))
            .collect();
        let queries: Vec<Value> = (0..2)
            .map(|n| json!({"id": format!("q{person}.{n}"), "input": words(3), "output": words(6)}))
            .collect();
        let user = format!("p{person}");
        let row = json!({"user": user, "task": "free", "profile": profile, "queries": queries});
        rows.push_str(&format!("{row}\n"));
    }
    let people = home.write("people.jsonl", rows.as_bytes()).to_str().unwrap().to_owned();
    (home, people)
}

#[test]
fn all_systems_are_tried_on_the_same_requests_of_other_people() {
    let (home, people) = home();
    let output = home.path().join("results");
    let folder = output.to_str().unwrap();
    let arguments = ["eval", "--dataset", &people, "--output", folder];
    // Stopped in the middle, it goes on.
    let mut child = home.command(arguments).stderr(Stdio::null()).spawn().unwrap();
    thread::sleep(Duration::from_millis(300));
    let pid = rustix::process::Pid::from_child(&child);
    // It may be done already.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    assert!(matches!(child.wait().unwrap().code(), Some(0 | 130)));
    home.run(arguments).exits(0).says(&["good notes on"]);
    let table = fs::read_to_string(output.join("report.md")).unwrap();
    let all: Value =
        serde_json::from_slice(&fs::read(output.join("report.json")).unwrap()).unwrap();
    let cases = all["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 3);
    let learned_from: Vec<&str> = cases.iter().map(|case| case["key"].as_str().unwrap()).collect();
    for case in cases {
        let tried = case["systems"].as_object().unwrap();
        for system in SYSTEMS {
            assert!(tried.contains_key(system), "{system}: {learned_from:?}");
            let reasons = ["reasoning", "sft-reasoning", "sft-informed", "rest-pg"];
            let notes = tried[system]["draft"]["reasoning"].as_str().unwrap();
            let is_reasoned = reasons.contains(&system) || system == "rest-pg-misled";
            assert_eq!(notes.contains("- Tone:"), is_reasoned, "{system}: {notes:?}");
        }
        assert_eq!(tried["rest-pg"]["others"].as_array().unwrap().len(), 1, "two drafts of each");
        assert!(tried.contains_key("rest-pg, best of 3"));
        assert!(!tried.contains_key("sft-informed, best of 3"), "a control is no system");
    }
    for system in SYSTEMS {
        assert!(table.contains(&format!("| {system} |")), "{table}");
        for draft in ["", "-draft-2"] {
            assert!(output.join(format!("predictions/{system}{draft}-free.json")).exists());
        }
    }
    // Done, it says the same again.
    home.run(arguments).exits(0);
    assert_eq!(fs::read_to_string(output.join("report.md")).unwrap(), table);
    assert!(table.contains("Quality against sft:"), "{table}");
    // Compared with another of them, nothing is written anew.
    let against = |system: &'static str| arguments.into_iter().chain(["--against", system]);
    let said = home.run(against("rest-em, best of 3")).exits(0);
    assert!(!said.stderr.contains("trying"), "{}", said.stderr);
    let table = fs::read_to_string(output.join("report.md")).unwrap();
    assert!(table.contains("Quality against rest-em, best of 3:"), "{table}");
    home.run(against("rest-em, best of 4")).exits(2).says(&["was not tried", "rest-em, best of 3"]);
    home.write("config.toml", SETTINGS.replace("rank = 2", "rank = 4").as_bytes());
    home.run(arguments).exits(2).says(&["begun with other settings", "train.rank"]);
    home.write("config.toml", SETTINGS.as_bytes());
    let rows = fs::read_to_string(&people).unwrap();
    for (was, is) in
        [("\"date\":null", "\"date\":\"2024-01-01\""), ("\"id\":\"q0.0\"", "\"id\":\"q0.9\"")]
    {
        assert!(rows.contains(was), "{rows}");
        fs::write(&people, rows.replace(was, is)).unwrap();
        home.run(arguments).exits(2).says(&["begun with other settings", "the data"]);
    }
    fs::write(&people, rows).unwrap();
    // Nothing that was fitted depends on these.
    let other = SETTINGS.replace("nice = 0", "nice = 1").replace("best_of = 3", "best_of = 1");
    let other = other.replace("answer_tokens = 72\n", "answer_tokens = 72\ntemperature = 0.6\n");
    home.write("config.toml", other.as_bytes());
    let said = home.run(arguments).exits(0);
    assert!(said.stderr.contains("trying") && !said.stderr.contains("fitting"), "{}", said.stderr);
    assert!(!fs::read_to_string(output.join("report.md")).unwrap().contains("best of 3"));
    // Nor on what is tried: others, then both.
    let tried = || -> Vec<String> {
        let report = fs::read(output.join("report.json")).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        let cases = report["cases"].as_array().unwrap().iter();
        cases.map(|case| case["key"].as_str().unwrap().to_owned()).collect()
    };
    let first = tried();
    let more = |more: [&'static str; 4]| arguments.into_iter().chain(more);
    home.run(more(["--skip", "3", "--queries", "2"])).exits(0);
    let second = tried();
    assert!(second.len() == 2 && second.iter().all(|key| !first.contains(key)), "{second:?}");
    let said = home.run(more(["--skip", "0", "--queries", "5"])).exits(0);
    assert!(!said.stderr.contains("fitting"), "{}", said.stderr);
    assert_eq!(tried(), [first, second].concat());
    // A round more goes on from the first.
    home.write("config.toml", SETTINGS.replace("rounds = 1", "rounds = 2").as_bytes());
    let said = home.run(arguments).exits(0).stderr;
    assert_eq!(said.matches("sampling drafts").count(), 2, "{said}");
    let table = fs::read_to_string(output.join("report.md")).unwrap();
    for row in ["rest-em | 1", "rest-em | 2", "rest-pg | 1", "rest-pg | 2"] {
        assert!(table.contains(&format!("| {row} | 24 |")), "{table}");
    }
    let known = ["fitting sft", "fitting plain round 1", "fitting round 1"];
    assert!(!known.iter().any(|it| said.contains(it)), "{said}");
}

#[test]
fn points_are_compared_only_with_who_can() {
    let (home, people) = home();
    let output = home.path().join("results");
    let arguments = ["eval", "--dataset", &people, "--output", output.to_str().unwrap()];
    for more in ["aspects = true\n", "judge = \"roomy\"\naspects = true\n"] {
        home.write("config.toml", format!("{SETTINGS}{more}").as_bytes());
        home.run(arguments).exits(2).says(&["eval.aspects"]);
    }
    let settings = SETTINGS.replace("embedder = \"\"", "embedder = \"all-minilm-l6-v2\"");
    home.write("config.toml", format!("{settings}judge = \"roomy\"\naspects = true\n").as_bytes());
    home.run(arguments).exits(3).says(&["all-minilm-l6-v2", "model pull"]);
}

/// What a judge has no room for goes without a grade, and costs nothing else.
#[test]
fn a_judge_grades_what_it_has_room_for() {
    let (home, people) = home();
    for (name, context_tokens) in [("narrow", 256), ("wide", 4096)] {
        let model = tiny::llama().with_context(context_tokens).to_bytes();
        let file = home.write("judge.gguf", &model);
        home.run(["model", "pull", file.to_str().unwrap(), "--name", name]).exits(0);
    }
    let judged = |name: &str| -> Vec<bool> {
        home.write("config.toml", format!("{SETTINGS}judge = {name:?}\n").as_bytes());
        let output = home.path().join(name);
        let arguments = ["--json", "eval", "--dataset", &people, "--systems", "base"];
        let arguments = arguments.into_iter().chain(["--output", output.to_str().unwrap()]);
        let first = home.run(arguments.clone()).exits(0).json();
        assert_eq!(home.run(arguments).exits(0).json(), first);
        let cases = first["cases"].as_array().unwrap();
        cases.iter().map(|case| case["systems"]["base"]["scores"]["judge"].is_f64()).collect()
    };
    assert_eq!(judged("wide"), [true; 3]);
    assert_eq!(judged("narrow"), [false; 3]);
}

/// A judge that lists the same point of every text: whatever was written says all that the person said.
#[test]
fn points_are_compared_draft_by_draft_and_kept() {
    let (home, people) = home();
    let token = tiny::llama().tokens().iter().position(|token| token == b"~").unwrap();
    let mut judge = tiny::always(token).with_context(4096);
    judge.tokens()[token] = "Ġab".as_bytes().to_vec();
    for (name, model) in [("same", judge), ("meaning", tiny::bert())] {
        let file = home.write(&format!("{name}.gguf"), &model.to_bytes());
        home.run(["model", "pull", file.to_str().unwrap(), "--name", name]).exits(0);
    }
    let settings = SETTINGS.replace("embedder = \"\"", "embedder = \"meaning\"");
    let settings = format!("{settings}judge = \"same\"\naspects = true\n");
    home.write("config.toml", settings.as_bytes());
    let output = home.path().join("results");
    let arguments = ["--json", "eval", "--dataset", &people, "--systems", "base,retrieval"];
    let arguments = arguments.into_iter().chain(["--output", output.to_str().unwrap()]);
    let first = home.run(arguments.clone()).exits(0).json();
    for case in first["cases"].as_array().unwrap() {
        for system in ["base", "retrieval, best of 3"] {
            let aspects = &case["systems"][system]["scores"]["aspects"];
            assert!((aspects["f1"].as_f64().unwrap() - 1.0).abs() < 1e-6, "{aspects:#}");
            let [point] = aspects["points"].as_array().unwrap().as_slice() else {
                panic!("{aspects:#}")
            };
            assert!(point["person"].as_str().unwrap().starts_with("ab ab"), "{point:#}");
            assert_eq!(point["person"], point["draft"]);
        }
    }
    assert!(fs::read_to_string(output.join("report.md")).unwrap().contains("| aspects |"));
    assert_eq!(home.run(arguments).exits(0).json(), first);
}
