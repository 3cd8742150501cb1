//! The judge on tiny models: what it reads from the logits.

use std::sync::atomic::AtomicBool;

use restpg_edge::llama::Model;
use restpg_edge::reward::{Case, Judge, Verdict};

use crate::support::{Home, runtime};
use crate::{tiny, training};

/// How the kernels round batches of other sizes moves a grade, with random weights, by less.
const TOLERANCE: f64 = 5e-3;

fn answers() -> Vec<String> {
    let answer = |n: usize| format!("answer {n}: {}", "the kettle is on ".repeat(n % 7));
    (0..20).map(answer).collect()
}

fn case<'a>(reference: Option<&'a str>, passages: &'a [String]) -> Case<'a> {
    Case { request: "a note about the kettle", reference, passages }
}

fn grade(judge: &mut Judge<'_>, case: &Case<'_>, answers: &[&str]) -> Vec<Verdict> {
    judge.grade(case, answers, &AtomicBool::new(false)).unwrap().unwrap()
}

#[track_caller]
fn assert_near(found: &Verdict, expected: &Verdict) {
    let difference = (found.expected - expected.expected).abs();
    assert!(difference < TOLERANCE, "{found:?} {expected:?}");
}

#[test]
fn an_answer_is_graded_alike_alone_and_among_others() {
    let home = Home::new();
    for file in [tiny::llama(), tiny::gemma3()] {
        let path = home.write("tiny.gguf", &file.with_context(8192).to_bytes());
        let model = Model::load(runtime(), &path).unwrap();
        let answers = answers();
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        let passages = ["The kettle sings.".to_owned(), "Tea at four.".to_owned()];
        // Batches that hold several answers, and that an answer does not fit into.
        for batch_tokens in [512, 32] {
            // One judge for all cases, and a fresh one for each answer.
            let mut judge = Judge::new(&model, 2, batch_tokens);
            for case in [case(Some("The kettle is on."), &[]), case(None, &passages)] {
                let together = grade(&mut judge, &case, &answers);
                assert_eq!(together.len(), answers.len());
                let grades = together.iter().map(|verdict| verdict.expected);
                let (least, most) =
                    (grades.clone().fold(1.0, f64::min), grades.fold(0.0, f64::max));
                assert!(most - least > 4.0 * TOLERANCE, "{least} to {most}");
                for (answer, found) in answers.iter().zip(&together) {
                    let mut alone = Judge::new(&model, 2, batch_tokens);
                    assert_near(found, &grade(&mut alone, &case, &[answer])[0]);
                    assert_near(found, &grade(&mut judge, &case, &[answer])[0]);
                    assert!((found.likelihoods.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                }
            }
        }
        let mut judge = Judge::new(&model, 2, 512);
        assert!(grade(&mut judge, &case(None, &[]), &[]).is_empty());
        let interrupted = judge.grade(&case(None, &[]), &answers, &AtomicBool::new(true));
        assert!(interrupted.unwrap().is_none());
    }
}

/// A model that writes a 7 whatever came before: it follows every label alike, and only one has it
/// in itself.
#[test]
fn a_label_counts_as_a_whole() {
    let home = Home::new();
    let mut file = tiny::llama();
    let seven = file.tokens().iter().position(|token| token == b"7");
    let Some(seven) = seven else { panic!("the tiny vocabulary has digits") };
    let path = home.write("sure.gguf", &tiny::always(seven).with_context(8192).to_bytes());
    let model = Model::load(runtime(), &path).unwrap();
    let mut judge = Judge::new(&model, 1, 512);
    let verdict = grade(&mut judge, &case(Some("x"), &[]), &["y"])[0];
    assert_eq!(verdict.likeliest, 0.7);
}

#[test]
fn a_prompt_beyond_the_context_is_refused() {
    let home = Home::new();
    let path = home.write("tiny.gguf", &tiny::llama().with_context(512).to_bytes());
    let model = Model::load(runtime(), &path).unwrap();
    let long = "word ".repeat(600);
    let never = AtomicBool::new(false);
    let refused = Judge::new(&model, 1, 512).grade(&case(Some(&long), &[]), &["y"], &never);
    assert!(refused.unwrap_err().to_string().contains("512 tokens is full"));
}

/// A judge of the reward that has no room for any text: the run goes on without its grades.
#[test]
fn a_run_does_not_end_where_the_judge_of_its_reward_has_no_room() {
    let home = training::home();
    let model = tiny::llama().with_context(256).to_bytes();
    let file = home.write("judge.gguf", &model);
    home.run(["model", "pull", file.to_str().unwrap(), "--name", "narrow"]).exits(0);
    let more = "[judge]\nmodel = \"narrow\"\n[reward]\njudge_weight = 0.5\n";
    home.write("config.toml", format!("{}{more}", training::SETTINGS).as_bytes());
    home.run(["train", "--user", "me", "--rounds", "1", "--samples", "2"]).exits(0);
    let show = ["--json", "train", "show", "--user", "me", "--round", "1"];
    let shown = home.run(show).exits(0).json();
    let drafts = shown["requests"].as_array().unwrap().iter();
    for draft in drafts.flat_map(|request| request["drafts"].as_array().unwrap()) {
        assert!(draft["parts"]["judge"].is_null(), "{draft:#}");
        assert!(draft["reward"].as_f64().is_some(), "{draft:#}");
    }
}
