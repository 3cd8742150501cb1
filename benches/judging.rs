//! How many answers a judge grades a second when what their prompts have in common is read once and
//! the rest in batches, against each answer with its full prompt; and how far the grades differ.
//!
//! `cargo bench --bench judging [-- MODEL …]`

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use restpg_edge::llama::{Model, Runtime, physical_cores};
use restpg_edge::reward::{Case, Judge, Verdict};

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

const ANSWERS: usize = 32;
/// Of them, how many are graded with their full prompts, in each round.
const ALONE: usize = 4;
const ROUNDS: usize = 3;
const BATCH_TOKENS: u32 = 512;
const PASSAGES: usize = 5;
const PASSAGE_WORDS: usize = 220;
const ANSWER_WORDS: usize = 70;
const WORDS: &str = "the keeper counts the ships and writes each one down in a book with its colours \
    and its cargo while the lamp turns and the sea goes on and nobody asks him why he does it";

fn main() {
    let mut names: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if names.is_empty() {
        names.push("smollm2-135m-instruct".to_owned());
    }
    let files: Vec<_> = names.iter().map(|name| support::model_file(name)).collect();
    let runtime = Runtime::start().expect("llama.cpp starts");
    for (name, file) in names.iter().zip(files) {
        let model = Model::load(runtime.clone(), &file).expect("it loads");
        let passages: Vec<String> = (0..PASSAGES).map(|it| text(PASSAGE_WORDS, it)).collect();
        let reference = text(ANSWER_WORDS, 11);
        let request = "a page on the keeper of the lighthouse and his book";
        let cases = [
            ("passages", Case { request, reference: None, passages: &passages }),
            ("reference", Case { request, reference: Some(&reference), passages: &[] }),
        ];
        for (what, case) in cases {
            compare(name, &model, what, &case);
        }
    }
}

/// Words in another order each time.
fn text(words: usize, which: usize) -> String {
    let all: Vec<&str> = WORDS.split_whitespace().collect();
    let word = |index: usize| all[(index * (which * 2 + 3) + which) % all.len()];
    (0..words).map(word).collect::<Vec<_>>().join(" ")
}

fn compare(name: &str, model: &Model, what: &str, case: &Case<'_>) {
    let answers: Vec<String> = (0..ANSWERS).map(|which| text(ANSWER_WORDS, which)).collect();
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let (mut rates, mut alone_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut most: f64 = 0.0;
    for round in 0..ROUNDS {
        let started = Instant::now();
        let together = grade(model, case, &answers);
        let rate = ANSWERS as f64 / started.elapsed().as_secs_f64();
        let some = (round * ALONE..(round + 1) * ALONE).map(|it| it % ANSWERS);
        let started = Instant::now();
        let mut differences = Vec::new();
        for index in some {
            let alone = grade(model, case, &answers[index..=index])[0];
            differences.push((alone.expected - together[index].expected).abs());
        }
        let alone_rate = ALONE as f64 / started.elapsed().as_secs_f64();
        most = differences.into_iter().fold(most, f64::max);
        rates.push(rate);
        alone_rates.push(alone_rate);
        ratios.push(rate / alone_rate);
    }
    println!(
        "{name}, {what}: {ANSWERS} answers together {:.2} a second, each with its full prompt {:.2}, \
         ratio {:.1}; grades differ by {most:.1e} at most",
        support::median(&mut rates),
        support::median(&mut alone_rates),
        support::median(&mut ratios)
    );
}

/// A judge of its own each time: nothing is left of the case before.
fn grade(model: &Model, case: &Case<'_>, answers: &[&str]) -> Vec<Verdict> {
    let mut judge = Judge::new(model, physical_cores(), BATCH_TOKENS);
    let verdicts = judge.grade(case, answers, &AtomicBool::new(false));
    verdicts.expect("the model grades").expect("nobody interrupts")
}
