//! What many drafts of one prompt cost: tokens per second of `generate::sample`, samplers and texts
//! included, and of a bare loop that decodes as many tokens of as many sequences in the same steps;
//! then what it is worth to begin the next draft as soon as one ends; then how often a draft differs
//! because others were written beside it, which only the kernels' rounding can bring about.
//!
//! `cargo bench --bench sampling [-- --shared|--refilling|--slots] [--once] [MODEL …]`: one of the
//! three, or all; each comparison once instead of three times. The bare loop runs in a process of its own, in turns with ours; it decodes sequences of the lengths
//! that our drafts had.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use restpg_edge::generate::{Clock, Draft, Order, Request, Slots, Timings, sample};
use restpg_edge::llama::{CacheType, Message, Model, Role, Runtime, Sampling, physical_cores};
use restpg_edge::prompt::Prompt;
use restpg_edge::task::Task;

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

const PROMPT_TOKENS: usize = 1024;
const DRAFT_TOKENS: u32 = 128;
const DRAFTS: [usize; 6] = [1, 2, 4, 8, 16, 32];
const ROUNDS: usize = 3;
const BATCH_TOKENS: u32 = 512;
/// Words that fill prompts; what they say does not matter.
const WORDS: &str = "the keeper counts the ships and writes each one down in a book with its colours \
    and its cargo while the lamp turns and the sea goes on ";

/// Of the comparison of refilling with waiting: prompts of other lengths, drafts of each, all at
/// once, and the longest that one may be.
const MIXED_PROMPTS: [usize; 20] = [
    150, 900, 300, 600, 200, 1200, 100, 450, 750, 250, 350, 1000, 120, 500, 180, 800, 220, 400,
    650, 160,
];
const MIXED_DRAFTS: usize = 16;
const MIXED_TOKENS: u32 = 256;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|it| it == "bare") {
        return bare(&arguments[1..]);
    }
    let has = |flag: &str| arguments.iter().any(|it| it == flag);
    let all = !["--shared", "--refilling", "--slots"].iter().any(|flag| has(flag));
    let mut names: Vec<String> =
        arguments.iter().filter(|argument| !argument.starts_with("--")).cloned().collect();
    if names.is_empty() {
        names.push("smollm2-135m-instruct".to_owned());
    }
    let files: Vec<PathBuf> = names.iter().map(|name| support::model_file(name)).collect();
    let runtime = Runtime::start().expect("llama.cpp starts");
    for (name, file) in names.iter().zip(&files) {
        let model = Model::load(runtime.clone(), file).expect("it loads");
        if all || has("--shared") {
            shared_prompt(name, file, &model, if has("--once") { 1 } else { ROUNDS });
        }
        if all || has("--refilling") {
            refilling(name, &model);
        }
        if all || has("--slots") {
            slots(name, &model);
        }
    }
}

/// Drafts of one prompt, all at once.
fn shared_prompt(name: &str, file: &Path, model: &Model, rounds: usize) {
    println!("{name}: a prompt of {PROMPT_TOKENS} tokens, {DRAFT_TOKENS} tokens each at most");
    println!("{:>8} {:>14} {:>14} {:>7}", "drafts", "ours, tok/s", "bare, tok/s", "ratio");
    let prompt = prompt(model, PROMPT_TOKENS);
    for n_drafts in DRAFTS {
        let (mut ours, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            let seeds = (0..n_drafts as u32).map(|seed| seed + 100 * round as u32).collect();
            let (rate, lengths) =
                decoding_rate(model, &Order { prompt: &prompt, notes: None, seeds });
            let bare_rate = run_bare(file, &lengths);
            ours.push(rate);
            bare.push(bare_rate);
            ratios.push(rate / bare_rate);
        }
        println!(
            "{n_drafts:>8} {:>14.1} {:>14.1} {:>7.3}",
            support::median(&mut ours),
            support::median(&mut bare),
            support::median(&mut ratios)
        );
    }
}

/// Tokens per second after the prompt was read, and the tokens of each draft.
fn decoding_rate(model: &Model, order: &Order<'_>) -> (f64, Vec<usize>) {
    let n_drafts = order.seeds.len();
    let (drafts, seconds) = write_all(model, &request(), std::slice::from_ref(order), n_drafts);
    let lengths: Vec<usize> = drafts.iter().map(|draft| draft.usage.answer_tokens).collect();
    let seconds = seconds - drafts[0].timings.prefill_ms / 1e3;
    (lengths.iter().sum::<usize>() as f64 / seconds, lengths)
}

fn write_all(
    model: &Model,
    request: &Request<'_>,
    orders: &[Order<'_>],
    drafts_max: usize,
) -> (Vec<Draft>, f64) {
    let started = Instant::now();
    let clock = Clock { started, timings: Timings::default() };
    let slots = Slots { drafts_max, tokens_max: usize::MAX };
    let never = AtomicBool::new(false);
    let drafts = sample(model, request, orders, slots, clock, &never, &mut |_, _| {})
        .expect("the model writes");
    let seconds = started.elapsed().as_secs_f64();
    (drafts.into_iter().flatten().flatten().collect(), seconds)
}

fn request() -> Request<'static> {
    Request {
        prompt: "",
        task: Task::named("free").expect("it is there"),
        k: 0,
        reasoning: false,
        reasoning_tokens: 0,
        answer_tokens: DRAFT_TOKENS,
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
            seed: 0,
        },
        prefixes: None,
    }
}

/// A prompt of about so many tokens, never more.
fn prompt(model: &Model, tokens: usize) -> Prompt {
    prompt_for("Go on with this story:", model, tokens)
}

fn prompt_for(task: &str, model: &Model, tokens: usize) -> Prompt {
    let with = |words: usize| {
        let text: Vec<&str> = WORDS.split_whitespace().cycle().take(words).collect();
        vec![Message { role: Role::User, text: format!("{task}\n{}", text.join(" ")) }]
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

/// Drafts of several prompts, refilled as they end, and prompt after prompt.
fn refilling(name: &str, model: &Model) {
    // Texts of a sentence or two, and some that go on: their ends are uneven.
    let task = "Say in a sentence or two what this is about:";
    let prompts: Vec<Prompt> =
        MIXED_PROMPTS.iter().map(|&tokens| prompt_for(task, model, tokens)).collect();
    let seeds: Vec<u32> = (0..MIXED_DRAFTS as u32).collect();
    let orders: Vec<Order<'_>> =
        prompts.iter().map(|prompt| Order { prompt, notes: None, seeds: seeds.clone() }).collect();
    let request = Request { answer_tokens: MIXED_TOKENS, ..request() };
    let (drafts, refilled) = write_all(model, &request, &orders, MIXED_DRAFTS);
    let tokens: usize = drafts.iter().map(|draft| draft.usage.answer_tokens).sum();
    let whole = drafts.iter().filter(|draft| draft.cut_off).count();
    let started = Instant::now();
    for order in &orders {
        write_all(model, &request, std::slice::from_ref(order), MIXED_DRAFTS);
    }
    let waited = started.elapsed().as_secs_f64();
    println!(
        "{name}: {} drafts of {} prompts, {tokens} tokens, {whole} drafts of {MIXED_TOKENS}, \
         {MIXED_DRAFTS} at once: refilled {refilled:.1} s, prompt after prompt {waited:.1} s, ratio \
         {:.2}",
        drafts.len(),
        prompts.len(),
        waited / refilled
    );
}

/// How many drafts are other ones because they were written beside others.
fn slots(name: &str, model: &Model) {
    let prompt = prompt(model, PROMPT_TOKENS);
    let orders = [Order { prompt: &prompt, notes: None, seeds: (0..16).collect() }];
    for cache in [CacheType::F16, CacheType::F32] {
        let request = Request { cache, ..request() };
        let (alone, _) = write_all(model, &request, &orders, 1);
        let (again, _) = write_all(model, &request, &orders, 1);
        let differing = |others: &[Draft]| {
            alone.iter().zip(others).filter(|(one, other)| one.answer != other.answer).count()
        };
        print!(
            "{name}, {cache:?}: of 16 drafts differ from those written alone: again alone {}",
            { differing(&again) }
        );
        for at_once in [2, 4, 8, 16] {
            let (drafts, _) = write_all(model, &request, &orders, at_once);
            print!(", {at_once} at once {}", differing(&drafts));
        }
        println!();
    }
}

fn run_bare(file: &Path, lengths: &[usize]) -> f64 {
    let lengths: Vec<String> = lengths.iter().map(ToString::to_string).collect();
    let program = std::env::current_exe().expect("the bench has a path");
    let output = Command::new(program)
        .arg("bare")
        .arg(file)
        .arg(lengths.join(","))
        .output()
        .expect("the bench runs");
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().unwrap_or_else(|_| panic!("the bare loop says {output:?}"))
}

/// `bare FILE LENGTHS`: prints the tokens per second of decoding alone.
fn bare(arguments: &[String]) {
    let mut backend = LlamaBackend::init().expect("llama.cpp starts");
    backend.void_logs();
    let model = LlamaModel::load_from_file(
        &backend,
        Path::new(&arguments[0]),
        &LlamaModelParams::default(),
    )
    .expect("it loads");
    let lengths: Vec<usize> =
        arguments[1].split(',').map(|length| length.parse().expect("a number")).collect();
    let n = lengths.len();
    let room = (PROMPT_TOKENS + n * DRAFT_TOKENS as usize).next_multiple_of(256) as u32;
    let threads = physical_cores() as i32;
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(room))
        .with_n_seq_max(n as u32)
        .with_kv_unified(true)
        .with_n_batch(BATCH_TOKENS.min(room))
        .with_n_ubatch(BATCH_TOKENS.min(room))
        .with_n_threads(threads)
        .with_n_threads_batch(threads)
        .with_swa_full(true);
    let mut context = model.new_context(&backend, params).expect("a context");
    let mut batch = LlamaBatch::new(BATCH_TOKENS as usize, 1);
    let token = |index: usize| LlamaToken::new((1000 + index % 5000) as i32);
    for start in (0..PROMPT_TOKENS).step_by(BATCH_TOKENS as usize) {
        batch.clear();
        for index in start..(start + BATCH_TOKENS as usize).min(PROMPT_TOKENS) {
            batch
                .add(token(index), index as i32, &[0], index + 1 == PROMPT_TOKENS)
                .expect("it fits");
        }
        context.decode(&mut batch).expect("the prompt is decoded");
    }
    for sequence in 1..n as i32 {
        context.kv_cache_seq_cp(0, sequence, None, None).expect("it is shared");
    }
    context.synchronize();
    let start = Instant::now();
    for step in 0..lengths.iter().copied().max().unwrap_or(0) {
        batch.clear();
        for sequence in (0..n).filter(|&it| step < lengths[it]) {
            let position = (PROMPT_TOKENS + step) as i32;
            batch.add(token(step + sequence), position, &[sequence as i32], true).expect("it fits");
        }
        context.decode(&mut batch).expect("tokens are decoded");
        context.synchronize();
    }
    println!("{}", lengths.iter().sum::<usize>() as f64 / start.elapsed().as_secs_f64());
}
