//! The memory that a model is said to take before it is loaded, against what the system says of a
//! process that has loaded it, read a prompt and written after it.
//!
//! `cargo bench --bench memory [-- MODEL …]` (Linux). Each case runs in a process of its own.

use std::path::Path;
use std::process::Command;

use restpg_edge::gguf::{self, ModelFile};
use restpg_edge::llama::{
    Append, CacheType, MemoryEstimate, Model, Room, Runtime, Token, physical_cores,
};

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

/// Cache type, tokens of the cache, sequences.
const CASES: [(&str, u32, u32); 5] =
    [("f16", 1024, 1), ("f16", 4096, 1), ("q8_0", 4096, 1), ("f32", 2048, 1), ("f16", 2048, 16)];
const WRITTEN_TOKENS: usize = 16;
const BATCH_TOKENS: u32 = 512;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [one, file, cache, tokens, sequences] = arguments.as_slice()
        && one == "one"
    {
        let number = |text: &String| text.parse().expect("a number");
        return run(Path::new(file), room(cache, number(tokens), number(sequences)));
    }
    let mut names: Vec<String> =
        arguments.into_iter().filter(|argument| !argument.starts_with("--")).collect();
    if names.is_empty() {
        names.push("smollm2-135m-instruct".to_owned());
    }
    println!(
        "{:<28} {:>6} {:>7} {:>9} {:>10} {:>10} {:>7} {:>10}",
        "model", "cache", "tokens", "sequences", "stated, MB", "found, MB", "ratio", "KV, MB"
    );
    for name in names {
        let path = support::model_file(&name);
        for (cache, tokens, sequences) in CASES {
            let estimate = estimate(&path, room(cache, tokens, sequences));
            let found = measure(&path, cache, tokens, sequences);
            let stated = estimate.total_bytes() as f64;
            println!(
                "{name:<28} {cache:>6} {tokens:>7} {sequences:>9} {:>10.1} {:>10.1} {:>7.3} {:>10.1}",
                stated / 1e6,
                found / 1e6,
                stated / found,
                estimate.cache_bytes as f64 / 1e6
            );
        }
    }
}

fn room(cache: &str, tokens: u32, sequences: u32) -> Room {
    let cache = CacheType::named(cache).expect("a type");
    Room { tokens, sequences, batch_tokens: BATCH_TOKENS, cache }
}

fn estimate(path: &Path, room: Room) -> MemoryEstimate {
    let file = ModelFile::open(path).expect("it opens");
    let checked = gguf::check(&file).expect("it is a model");
    MemoryEstimate::of(&checked, &room, room.sequences, physical_cores())
}

fn measure(path: &Path, cache: &str, tokens: u32, sequences: u32) -> f64 {
    let output = Command::new(std::env::current_exe().expect("the bench has a path"))
        .arg("one")
        .arg(path)
        .args([cache, &tokens.to_string(), &sequences.to_string()])
        .output()
        .expect("the bench runs");
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().unwrap_or_else(|_| panic!("the case says {output:?}"))
}

/// Uses a model as `generate` does, until its cache is full, and prints the bytes of its process that are resident.
fn run(path: &Path, room: Room) {
    let runtime = Runtime::start().expect("llama.cpp starts");
    let model = Model::load(runtime, path).expect("it loads");
    let mut session = model.session(room, physical_cores()).expect("there is room");
    let n_vocab = model.vocabulary_size();
    let token = |index: usize| Token::new((index * 7919 % n_vocab) as i32);
    let prompt_tokens = room.tokens as usize - room.sequences as usize * WRITTEN_TOKENS;
    let prompt: Vec<Token> = (0..prompt_tokens).map(token).collect();
    session.extend(0, &prompt, &mut |_| true).expect("it is read");
    for sequence in 1..room.sequences as usize {
        session.share(0, sequence).expect("it is shared");
    }
    for step in 0..WRITTEN_TOKENS {
        let next: Vec<[Token; 1]> =
            (0..room.sequences as usize).map(|sequence| [token(step + sequence)]).collect();
        let appends: Vec<Append<'_>> = next
            .iter()
            .enumerate()
            .map(|(sequence, tokens)| Append { sequence, tokens, n_logits: 1 })
            .collect();
        session.step(&appends).expect("it is written");
    }
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    println!("{}", kib * 1024.0);
}
