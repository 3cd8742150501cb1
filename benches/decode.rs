//! What decoding costs beyond llama.cpp: tokens per second of `restpg-edge generate` and of a bare
//! loop over the same library, model, threads, prompt length and number of tokens, run in turns.
//!
//! `cargo bench --bench decode [-- MODEL …]` prints the medians and their ratio.

use std::num::NonZeroU32;
use std::time::Instant;

use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

const ROUNDS: usize = 9;
const TOKENS: usize = 128;
const REQUEST: &str = "A long story of a lighthouse keeper who counts the ships, day after day, \
    and writes each one down in a book, with its colours and its cargo";

fn main() {
    let mut names: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if names.is_empty() {
        names.push("smollm2-135m-instruct".to_owned());
    }
    let mut backend = LlamaBackend::init().expect("llama.cpp starts");
    backend.void_logs();
    println!("{TOKENS} tokens, {ROUNDS} rounds in turns, medians");
    println!("{:<28} {:>14} {:>14} {:>7}", "model", "generate tok/s", "bare tok/s", "ratio");
    for name in names {
        let file = support::model_file(&name);
        let model = LlamaModel::load_from_file(&backend, &file, &LlamaModelParams::default())
            .expect("it loads");
        let (mut ours, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let seed = seed_of_a_long_answer(&name);
        for round in 0..ROUNDS {
            let (rate, prompt_tokens, tokens) = generate(&name, seed);
            let bare_rate = bare_loop(&backend, &model, prompt_tokens, tokens);
            if round > 0 {
                ours.push(rate);
                bare.push(bare_rate);
                ratios.push(rate / bare_rate);
            }
        }
        println!(
            "{name:<28} {:>14.1} {:>14.1} {:>7.3}",
            support::median(&mut ours),
            support::median(&mut bare),
            support::median(&mut ratios)
        );
    }
}

/// A seed whose answer does not end before the bound on its tokens.
fn seed_of_a_long_answer(model: &str) -> u32 {
    let is_long = |seed: &u32| generate(model, *seed).2 == TOKENS;
    (1..100).find(is_long).expect("one of a hundred answers is long")
}

/// Tokens per second of the whole program after its first token, with its usual sampling; also
/// the prompt's length and the number of tokens written.
fn generate(model: &str, seed: u32) -> (f64, usize, usize) {
    let draft = support::run(
        support::restpg_edge()
            .args(["generate", "--user", "bench", "--no-profile", "--no-reasoning"])
            .args(["--model", model, "--seed", &seed.to_string(), "--temperature", "0.9"])
            .args(["--max-tokens", &TOKENS.to_string(), REQUEST]),
    );
    let number = |object: &str, key: &str| draft[object][key].as_f64().expect("a number");
    let tokens = number("usage", "answer_tokens");
    // The first token has been sampled at first_token_ms; from there on, each is decoded.
    let milliseconds = number("timings", "total_ms") - number("timings", "first_token_ms");
    (tokens / milliseconds * 1e3, number("usage", "prompt_tokens") as usize, tokens as usize)
}

/// Tokens per second of decoding alone: no sampler, no text, the same number of tokens.
fn bare_loop(
    backend: &LlamaBackend,
    model: &LlamaModel,
    prompt_tokens: usize,
    tokens: usize,
) -> f64 {
    let room = (prompt_tokens + TOKENS).next_multiple_of(256) as u32;
    let threads = restpg_edge::llama::physical_cores() as i32;
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(room))
        .with_n_batch(512.min(room))
        .with_n_ubatch(512.min(room))
        .with_n_threads(threads)
        .with_n_threads_batch(threads)
        .with_swa_full(true);
    let mut context = model.new_context(backend, params).expect("a context");
    let mut batch = LlamaBatch::new(prompt_tokens, 1);
    let token = |index: usize| LlamaToken::new((1000 + index % 5000) as i32);
    for index in 0..prompt_tokens {
        let last = index + 1 == prompt_tokens;
        batch.add(token(index), index as i32, &[0], last).expect("it fits");
    }
    context.decode(&mut batch).expect("the prompt is decoded");
    context.synchronize();
    let start = Instant::now();
    for index in prompt_tokens..prompt_tokens + tokens {
        batch.clear();
        batch.add(token(index), index as i32, &[0], true).expect("it fits");
        context.decode(&mut batch).expect("a token is decoded");
        context.synchronize();
    }
    tokens as f64 / start.elapsed().as_secs_f64()
}
