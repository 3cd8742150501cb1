//! Generate on the catalogue's models, one per architecture, for every task: in the voice of real
//! people where their writing lies beside the checkout, else in the sample writer's.

use std::collections::HashSet;

use restpg_edge::catalogue::ModelStore;
use restpg_edge::llama::{Model, Sampling, Token};
use serde_json::Value;

use crate::support::{Home, real_writing, runtime, sample_writings};

pub const MODELS: [&str; 3] =
    ["smollm2-135m-instruct", "gemma-3-270m", "qwen2.5-coder-0.5b-instruct"];
const MARKS: [&str; 8] = [
    "<|im_start|>",
    "<|im_end|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<passage",
    "</passage",
    "<request>",
    "Notes on the writer of these passages:",
];

/// A task, the file with the person who writes such texts, and that person.
const PEOPLE: [(&str, &str, &str); 5] = [
    ("email", "email.jsonl", "Jeff Hostetler (git)"),
    ("abstract", "abstract.jsonl", "Harry Bunt"),
    ("review", "review.jsonl", "bookishmusings"),
    ("topic", "topic.jsonl", "Erin Becker (carpentries.org)"),
    ("free", "email.jsonl", "Victoria Dye (git)"),
];

/// Takes the person's writing in and returns the first request that they are known to have
/// answered.
fn ingest(home: &Home, task: &str, file: &str, person: &str) -> String {
    let Some(path) = real_writing(file) else {
        let sample = sample_writings();
        home.run(["ingest", "--user", person, sample.to_str().unwrap()]).exits(0);
        return format!("a short {task} about the shed door");
    };
    home.run(["ingest", "--user", person, path.to_str().unwrap()]).exits(0);
    let rows = std::fs::read_to_string(path).unwrap();
    let row = rows
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|row| row["user"] == person)
        .unwrap();
    row["queries"][0]["input"].as_str().unwrap().to_owned()
}

fn check(draft: &Value, model: &str, task: &str) {
    let answer = draft["answer"].as_str().unwrap();
    let reasoning = draft["reasoning"].as_str().unwrap();
    let context = format!("{model}, {task}: {draft:#}");
    assert!(!answer.trim().is_empty(), "{context}");
    assert!(reasoning.starts_with("- Length: about "), "{context}");
    let (_, first_point) = reasoning.split_once("\n- Tone:").expect(&context);
    assert!(first_point.contains(char::is_alphanumeric), "{context}");
    assert!(!answer.contains(reasoning), "{context}");
    for mark in MARKS {
        assert!(!answer.contains(mark), "{mark} in {context}");
    }
    let usage = |key: &str| draft["usage"][key].as_u64().unwrap();
    assert!(usage("prompt_tokens") > 200, "{context}");
    assert!((1..=160 + 80).contains(&usage("reasoning_tokens")), "{context}");
    assert!((1..=48).contains(&usage("answer_tokens")), "{context}");
    assert_eq!(draft["citations"].as_array().unwrap().len(), 5, "{context}");
    let time = |key: &str| draft["timings"][key].as_f64().unwrap();
    assert!(time("load_ms") + time("retrieve_ms") + time("prefill_ms") <= time("first_token_ms"));
    assert!(time("first_token_ms") < time("total_ms"), "{context}");
}

#[test]
fn every_model_writes_for_every_task() {
    let home = Home::with_real_models(&MODELS);
    for (task, file, person) in PEOPLE {
        let request = ingest(&home, task, file, person);
        for model in MODELS {
            let arguments = [
                "--json",
                "generate",
                "--user",
                person,
                "--task",
                task,
                "--model",
                model,
                "--max-tokens",
                "48",
                "--seed",
                "5",
                &request,
            ];
            check(&home.run(arguments).exits(0).json(), model, task);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_text_on_a_real_model() {
    let home = Home::with_real_models(&["smollm2-135m-instruct"]);
    let arguments = [
        "generate",
        "--user",
        "me",
        "--no-profile",
        "--max-tokens",
        "40",
        "--seed",
        "11",
        "a thank-you note",
    ];
    let first = home.run(arguments).exits(0).stdout;
    assert_eq!(first, home.run(arguments).exits(0).stdout);
    assert!(first.split_whitespace().count() > 5, "{first}");
}

#[test]
fn a_request_too_long_for_a_real_model_is_refused() {
    let home = Home::with_real_models(&["smollm2-135m-instruct"]);
    let long = "and then the committee met again ".repeat(3000);
    home.run_with_input(["generate", "--user", "me", "--no-profile", "-"], &long)
        .exits(4)
        .says(&["tokens"]);
}

/// Numbers all apart from each other, by far: the likeliest of them is drawn for certain.
fn logits(vocabulary_size: usize, round: u32) -> Vec<f32> {
    let number = |id: u32| id.wrapping_add(round).wrapping_mul(2_654_435_761) >> 8;
    (0..vocabulary_size as u32).map(|id| number(id) as f32).collect()
}

#[test]
fn the_few_tokens_that_are_handed_on_are_enough_where_runs_may_not_come_again() {
    let home = Home::with_real_models(&["smollm2-135m-instruct"]);
    let store = ModelStore::new(&home.path().join("models"));
    let (_, path) = store.resolve("smollm2-135m-instruct").unwrap();
    let model = Model::load(runtime(), &path).unwrap();
    let greedy = Sampling {
        temperature: 0.0,
        top_k: 40,
        top_p: 1.0,
        min_p: 0.0,
        repeat_penalty: 1.0,
        repeat_window_tokens: 0,
        dry_multiplier: 1e5,
        seed: 1,
    };
    let written = |sampling: &Sampling| -> Vec<Token> {
        let mut sampler = model.sampler(sampling);
        let token = |round: u32| {
            // The same seven again and again, but for what may not come again.
            let logits = logits(model.vocabulary_size(), round % 7);
            let token = sampler.sample(&logits, &HashSet::new()).unwrap();
            sampler.accept(token);
            token
        };
        (0..300).map(token).collect()
    };
    let few = written(&greedy);
    // Without a bound all tokens are handed on.
    let all = written(&Sampling { temperature: 1e-3, top_k: 0, ..greedy });
    assert_eq!(few, all);
    let free = written(&Sampling { dry_multiplier: 0.0, ..greedy });
    let changed = few.iter().zip(&free).filter(|(few, free)| few != free).count();
    assert!(changed > 50, "{changed} of 300 tokens are others");
}
