//! What it would be worth to draft tokens by looking the last ones up in the prompt and in what was
//! written (prompt lookup), and to verify them in one batch.
//!
//! `cargo bench --bench speculation [-- MODEL …]` writes texts in the sample writer's voice, one token
//! at a time, and counts for each way to look up how many of its proposals are what was written:
//! a proposal is verified exactly where it is the token that the sampler draws, which leaves the
//! distribution as it is. With what a step of so many rows costs on this machine, that gives the
//! speed with speculation, everything else costing nothing.

use std::path::Path;
use std::time::Instant;

use restpg_edge::generate::{Request, compose};
use restpg_edge::llama::{
    Append, CacheType, Model, Room, Runtime, Sampling, Session, Token, physical_cores,
};
use restpg_edge::paths::Paths;
use restpg_edge::profile::{Hit, NoPassphrase, ProfileStore, User};
use restpg_edge::task::Task;

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

const REQUESTS: [&str; 6] = [
    "a note to the volunteers: the shed door is mended, please keep it shut",
    "a letter to the council about the hosepipe",
    "what to do about slugs this spring",
    "a review of the new watering can, three of five",
    "the plot in November, looking back on the year",
    "thank the school for the seedlings, and ask for help on Saturday",
];
const PASSAGES: usize = 5;
const TOKENS: usize = 160;
/// Tokens that are proposed at most.
const PROPOSED: [usize; 3] = [2, 4, 8];
/// How many of the last tokens must have been seen in a row.
const NGRAMS: [usize; 3] = [2, 3, 4];
const COST_STEPS: usize = 24;
const COST_ROUNDS: usize = 5;

fn main() {
    let mut names: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if names.is_empty() {
        names.push("smollm2-135m-instruct".to_owned());
    }
    let passages = passages();
    let runtime = Runtime::start().expect("llama.cpp starts");
    for name in names {
        let model = Model::load(runtime.clone(), &support::model_file(&name)).expect("it loads");
        for temperature in [0.0, 0.3, 0.9] {
            let texts: Vec<Written> = (0..)
                .zip(REQUESTS)
                .map(|(seed, request)| write(&model, request, &passages, temperature, seed))
                .collect();
            report(&name, &model, temperature, &texts);
        }
    }
}

/// The sample writer's newest passages.
fn passages() -> Vec<Hit> {
    let writings = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sample-writer");
    support::run(support::restpg_edge().args(["ingest", "--user", "speculation"]).arg(writings));
    let paths = Paths::resolve(Some(&support::home())).expect("a home");
    let user = User::parse("speculation").expect("a name");
    let store = ProfileStore::open(&paths, &user, &NoPassphrase).expect("a profile");
    store.passages(&store.newest(PASSAGES).expect("documents")).expect("passages")
}

/// A prompt and what was written after it.
struct Written {
    tokens: Vec<Token>,
    prompt_tokens: usize,
}

fn write(model: &Model, request: &str, passages: &[Hit], temperature: f32, seed: u32) -> Written {
    let sampling = Sampling {
        temperature,
        top_k: 40,
        top_p: 0.95,
        min_p: 0.05,
        repeat_penalty: 1.1,
        repeat_window_tokens: 64,
        dry_multiplier: 0.0,
        seed,
    };
    let request = Request {
        prompt: request,
        task: Task::named("free").expect("it is there"),
        k: PASSAGES,
        reasoning: true,
        reasoning_tokens: TOKENS as u32,
        answer_tokens: TOKENS as u32,
        context_tokens: 0,
        batch_tokens: 512,
        cache: CacheType::F16,
        threads: physical_cores(),
        sampling,
        prefixes: None,
    };
    let prompt = compose(model, &request, passages).expect("it fits");
    let mut tokens = model.render(&prompt.messages, &prompt.opening);
    let prompt_tokens = tokens.len();
    let mut session = session(model, prompt_tokens + TOKENS);
    session.extend(0, &tokens, &mut |_| true).expect("it is read");
    let mut sampler = model.sampler(&sampling);
    for _ in 0..TOKENS {
        let logits = session.logits(0).expect("they were asked for");
        // An end would only make the text shorter.
        let token = sampler.sample(logits, model.turn_ends()).expect("a token");
        sampler.accept(token);
        tokens.push(token);
        session.step(&[Append { sequence: 0, tokens: &[token], n_logits: 1 }]).expect("it fits");
    }
    Written { tokens, prompt_tokens }
}

fn session(model: &Model, tokens: usize) -> Session<'_> {
    let room = Room {
        tokens: tokens.next_multiple_of(256) as u32,
        sequences: 1,
        batch_tokens: 512,
        cache: CacheType::F16,
    };
    model.session(room, physical_cores()).expect("there is room")
}

fn report(name: &str, model: &Model, temperature: f32, texts: &[Written]) {
    let prompt_tokens = texts[0].prompt_tokens;
    for proposed in PROPOSED {
        let costs = costs(model, prompt_tokens, proposed + 1);
        for ngram in NGRAMS {
            let runs: Vec<Run> = texts.iter().map(|text| run(text, ngram, proposed)).collect();
            let sum = |count: fn(&Run) -> usize| runs.iter().map(count).sum::<usize>();
            let seconds: f64 =
                runs.iter().flat_map(|run| &run.rows).map(|&rows| costs[rows - 1]).sum();
            let plain = costs[0] * (TOKENS * texts.len()) as f64;
            println!(
                "{name}, temperature {temperature}: last {ngram}, {proposed} proposed: {} steps for {} \
                 tokens, {} of {} proposals right, speed {:.2}",
                runs.iter().map(|run| run.rows.len()).sum::<usize>(),
                TOKENS * texts.len(),
                sum(|run| run.accepted),
                sum(|run| run.proposed),
                plain / seconds
            );
        }
    }
}

/// What a text would have taken with speculation.
struct Run {
    /// Rows of each step: one, and one for each token that was proposed.
    rows: Vec<usize>,
    proposed: usize,
    accepted: usize,
}

fn run(text: &Written, ngram: usize, proposed_max: usize) -> Run {
    let mut run = Run { rows: Vec::new(), proposed: 0, accepted: 0 };
    let mut at = text.prompt_tokens;
    while at < text.tokens.len() {
        let proposal = look_up(&text.tokens[..at], ngram, proposed_max);
        let actual = &text.tokens[at..];
        let right = proposal.iter().zip(actual).take_while(|(a, b)| a == b).count();
        run.rows.push(1 + proposal.len());
        run.proposed += proposal.len();
        run.accepted += right;
        // What was right, and the token that the model itself gives after it.
        at += right + 1;
    }
    run
}

/// What followed the last `ngram` tokens where they stood last.
fn look_up(tokens: &[Token], ngram: usize, most: usize) -> Vec<Token> {
    let Some(start) = tokens.len().checked_sub(ngram) else { return Vec::new() };
    let last = &tokens[start..];
    let found = (0..start).rev().find(|&at| tokens[at..at + ngram] == *last);
    let Some(found) = found else { return Vec::new() };
    tokens[found + ngram..].iter().copied().take(most).collect()
}

/// Seconds of a step with 1, 2, … rows of one sequence; medians.
fn costs(model: &Model, prompt_tokens: usize, rows_max: usize) -> Vec<f64> {
    let mut session = session(model, prompt_tokens + COST_STEPS * rows_max);
    let token = |index: usize| Token::new((1000 + index % 5000) as i32);
    let prompt: Vec<Token> = (0..prompt_tokens).map(token).collect();
    session.extend(0, &prompt, &mut |_| true).expect("it is read");
    let mut rounds = vec![Vec::new(); rows_max];
    for _ in 0..COST_ROUNDS {
        for rows in 1..=rows_max {
            let tokens: Vec<Token> = (0..rows).map(token).collect();
            let started = Instant::now();
            for _ in 0..COST_STEPS {
                session
                    .step(&[Append { sequence: 0, tokens: &tokens, n_logits: rows }])
                    .expect("it fits");
                session.truncate(0, prompt_tokens).expect("it can be cut");
            }
            rounds[rows - 1].push(started.elapsed().as_secs_f64() / COST_STEPS as f64);
        }
    }
    rounds.iter_mut().map(|times| support::median(times)).collect()
}
