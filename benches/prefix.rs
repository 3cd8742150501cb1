//! Reading a prompt: tokens per second against a bare loop; and what it is worth that a prompt that
//! was read before is not read again, in this process and in another one.
//!
//! `cargo bench --bench prefix [-- MODEL …]`. Bare loop and our own run in processes of their own, in
//! turns.

use std::num::NonZeroU32;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use restpg_edge::generate::{Request, Timings, write};
use restpg_edge::llama::{
    CacheType, Message, Model, Role, Room, Runtime, Sampling, Token, physical_cores,
};
use restpg_edge::paths::Paths;
use restpg_edge::profile::{NoPassphrase, ProfileStore, User};
use restpg_edge::prompt::Prompt;
use restpg_edge::task::Task;

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

const PROMPTS: [usize; 2] = [512, 2048];
const ROUNDS: usize = 5;
const BATCH_TOKENS: u32 = 512;
/// Of the prompt that is read twice.
const TWICE_TOKENS: usize = 1500;
const TWICE_ROUNDS: usize = 3;
const WORDS: &str = "the keeper counts the ships and writes each one down in a book with its colours \
    and its cargo while the lamp turns and the sea goes on ";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [who, file, tokens] = arguments.as_slice()
        && ["ours", "bare", "write", "within"].contains(&who.as_str())
    {
        let (file, tokens) = (Path::new(file), tokens.parse().expect("a number"));
        return match who.as_str() {
            "ours" => ours(file, tokens),
            "bare" => bare(file, tokens),
            "within" => println!("{}", write_after(file, &home(), tokens)[1]),
            _ => println!("{}", write_after(file, &home(), tokens)[0]),
        };
    }
    let mut names: Vec<String> =
        arguments.into_iter().filter(|argument| !argument.starts_with("--")).collect();
    if names.is_empty() {
        names.push("smollm2-135m-instruct".to_owned());
    }
    for name in &names {
        let file = support::model_file(name);
        for tokens in PROMPTS {
            reading(name, &file, tokens);
        }
        twice(name, &file);
    }
}

/// Runs this program on one case and returns the number that it prints.
fn run(who: &str, file: &Path, tokens: usize) -> f64 {
    let output = Command::new(std::env::current_exe().expect("the bench has a path"))
        .arg(who)
        .arg(file)
        .arg(tokens.to_string())
        .output()
        .expect("the bench runs");
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().unwrap_or_else(|_| panic!("{who} says {output:?}"))
}

fn reading(name: &str, file: &Path, tokens: usize) {
    let (mut own, mut other, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (ours, bare) = (run("ours", file, tokens), run("bare", file, tokens));
        own.push(ours);
        other.push(bare);
        ratios.push(ours / bare);
    }
    println!(
        "{name}: reading {tokens} tokens: ours {:.1} tokens/s, bare {:.1}, ratio {:.3}",
        support::median(&mut own),
        support::median(&mut other),
        support::median(&mut ratios)
    );
}

fn token(index: usize) -> Token {
    Token::new((1000 + index % 5000) as i32)
}

fn ours(file: &Path, tokens: usize) {
    let model = Model::load(Runtime::start().expect("it starts"), file).expect("it loads");
    let room = Room {
        tokens: tokens as u32,
        sequences: 2,
        batch_tokens: BATCH_TOKENS,
        cache: CacheType::F16,
    };
    let mut session = model.session(room, physical_cores()).expect("there is room");
    let prompt: Vec<Token> = (0..tokens).map(token).collect();
    let started = Instant::now();
    session.extend(0, &prompt, &mut |_| true).expect("it is read");
    assert!(session.logits(0).is_some());
    println!("{}", tokens as f64 / started.elapsed().as_secs_f64());
}

fn bare(file: &Path, tokens: usize) {
    let mut backend = LlamaBackend::init().expect("llama.cpp starts");
    backend.void_logs();
    let model =
        LlamaModel::load_from_file(&backend, file, &LlamaModelParams::default()).expect("it loads");
    let threads = physical_cores() as i32;
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(tokens as u32))
        .with_n_batch(BATCH_TOKENS)
        .with_n_ubatch(BATCH_TOKENS)
        .with_n_threads(threads)
        .with_n_threads_batch(threads)
        .with_swa_full(true);
    let mut context = model.new_context(&backend, params).expect("a context");
    let mut batch = LlamaBatch::new(BATCH_TOKENS as usize, 1);
    let started = Instant::now();
    for start in (0..tokens).step_by(BATCH_TOKENS as usize) {
        batch.clear();
        for index in start..(start + BATCH_TOKENS as usize).min(tokens) {
            let is_last = index + 1 == tokens;
            batch.add(token(index), index as i32, &[0], is_last).expect("it fits");
        }
        context.decode(&mut batch).expect("it is decoded");
    }
    context.synchronize();
    println!("{}", tokens as f64 / started.elapsed().as_secs_f64());
}

/// A home with a profile whose prompts may be kept.
fn home() -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-prefixes")
}

/// A prompt of about so many tokens.
fn prompt(model: &Model, tokens: usize) -> Prompt {
    let with = |words: usize| {
        let text: Vec<&str> = WORDS.split_whitespace().cycle().take(words).collect();
        vec![Message { role: Role::User, text: text.join(" ") }]
    };
    let n_tokens = |words: usize| model.render(&with(words), "").len();
    let words = (1..=tokens).rev().find(|&words| n_tokens(words) <= tokens).expect("some fit");
    Prompt {
        messages: with(words),
        opening: String::new(),
        marker: None,
        passages_used: 0,
        truncated: Vec::new(),
        tokens: n_tokens(words),
    }
}

/// Milliseconds from before the model is loaded to the first token, then from the request to the
/// first token of a second draft of the same prompt in this process.
fn write_after(file: &Path, home: &Path, tokens: usize) -> [f64; 2] {
    let paths = Paths::resolve(Some(home)).expect("a home");
    let user = User::parse("bench").expect("a name");
    let store = ProfileStore::open_or_create(&paths, &user, &NoPassphrase).expect("a profile");
    let prefixes = store.prefixes(file.display().to_string(), 1 << 30).expect("a folder");
    let started = Instant::now();
    let model = Model::load(Runtime::start().expect("it starts"), file).expect("it loads");
    let prompt = prompt(&model, tokens);
    let first_token_ms = |seed: u32, started: Instant| {
        let request = Request {
            prompt: "",
            task: Task::named("free").expect("it is there"),
            k: 0,
            reasoning: false,
            reasoning_tokens: 0,
            answer_tokens: 8,
            context_tokens: 0,
            batch_tokens: BATCH_TOKENS,
            cache: CacheType::F16,
            threads: physical_cores(),
            sampling: Sampling {
                temperature: 0.9,
                top_k: 40,
                top_p: 0.95,
                min_p: 0.05,
                repeat_penalty: 1.1,
                repeat_window_tokens: 64,
                dry_multiplier: 0.0,
                seed,
            },
            prefixes: Some(&prefixes),
        };
        let never = AtomicBool::new(false);
        write(&model, &request, &prompt, started, Timings::default(), &never, &mut |_| {})
            .expect("it writes")
            .timings
            .first_token_ms
    };
    [first_token_ms(1, started), first_token_ms(2, Instant::now())]
}

/// The same prompt again with another seed: in another process, and in the same one.
fn twice(name: &str, file: &Path) {
    let (mut cold, mut across, mut within) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TWICE_ROUNDS {
        let _ = std::fs::remove_dir_all(home());
        cold.push(run("write", file, TWICE_TOKENS));
        across.push(run("write", file, TWICE_TOKENS));
        within.push(run("within", file, TWICE_TOKENS));
    }
    let [cold, across, within] =
        [&mut cold, &mut across, &mut within].map(|times| support::median(times));
    println!(
        "{name}: a prompt of {TWICE_TOKENS} tokens, first token after {cold:.0} ms; again in another \
         process {across:.0} ms (1/{:.1}), in the same one {within:.0} ms (1/{:.1})",
        cold / across,
        cold / within
    );
}
