//! A prompt that was read before is not read again, in no process of the same person and model; what
//! is kept of it is encrypted, and goes with the documents in it.

use std::fs;
use std::path::PathBuf;

use restpg_edge::llama::{Append, CacheType, Model, Room, Session, Token};
use serde_json::Value;

use crate::support::{Home, runtime};
use crate::tiny;
use crate::writing::with_profile;

fn generate(home: &Home, arguments: &[&str]) -> Value {
    let fixed = ["--json", "generate", "--user", "me", "--max-tokens", "24", "--seed", "7"];
    home.run(fixed.iter().chain(arguments)).exits(0).json()
}

fn tokens(draft: &Value, key: &str) -> u64 {
    draft["usage"][key].as_u64().unwrap()
}

/// What is kept.
fn kept(home: &Home) -> Vec<PathBuf> {
    let files = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    files(home.path().join("profiles"))
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("me.prefixes-"))
        .flat_map(files)
        .collect()
}

#[test]
fn the_second_run_reads_nothing_and_writes_the_same() {
    let home = with_profile();
    let first = generate(&home, &["the kettle"]);
    assert_eq!(tokens(&first, "cached_tokens"), 0);
    let second = generate(&home, &["the kettle"]);
    assert_eq!(tokens(&second, "cached_tokens"), tokens(&first, "prompt_tokens"));
    for key in ["answer", "reasoning", "citations"] {
        assert_eq!(first[key], second[key], "{key}");
    }
    // Of an edited request what stands before it.
    let edited = generate(&home, &["the kettle is off"]);
    let (cached, prompt) = (tokens(&edited, "cached_tokens"), tokens(&edited, "prompt_tokens"));
    assert!(cached > prompt / 3 && cached < prompt, "{cached} of {prompt}");
    // Several drafts share it too.
    let several = generate(&home, &["--best-of", "3", "the kettle"]);
    assert_eq!(tokens(&several, "cached_tokens"), tokens(&several, "prompt_tokens"));
    assert_eq!(kept(&home).len(), 2);
}

#[test]
fn nothing_is_kept_where_nothing_may_be() {
    let home = with_profile();
    let text = fs::read_to_string(home.path().join("config.toml")).unwrap();
    home.write("config.toml", format!("{text}prefix_cache_mib_max = 0\n").as_bytes());
    generate(&home, &["the kettle"]);
    assert_eq!(tokens(&generate(&home, &["the kettle"]), "cached_tokens"), 0);
    assert!(kept(&home).is_empty());
}

#[test]
fn without_a_profile_there_is_no_key_and_nothing_is_kept() {
    let home = with_profile();
    generate(&home, &["--no-profile", "the kettle"]);
    assert!(kept(&home).is_empty());
}

#[test]
fn what_is_damaged_is_read_again() {
    let home = with_profile();
    let first = generate(&home, &["the kettle"]);
    let path = kept(&home).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let second = generate(&home, &["the kettle"]);
    assert_eq!(tokens(&second, "cached_tokens"), 0);
    assert_eq!(first["answer"], second["answer"]);
    let third = generate(&home, &["the kettle"]);
    assert_eq!(tokens(&third, "cached_tokens"), tokens(&first, "prompt_tokens"));
}

#[test]
fn another_cache_or_model_reads_for_itself() {
    let home = with_profile();
    generate(&home, &["the kettle"]);
    let text = fs::read_to_string(home.path().join("config.toml")).unwrap();
    home.write("config.toml", format!("{text}cache_type = \"f32\"\n").as_bytes());
    assert_eq!(tokens(&generate(&home, &["the kettle"]), "cached_tokens"), 0);
    assert_eq!(kept(&home).len(), 2);
}

#[test]
fn it_goes_with_the_documents() {
    let home = with_profile();
    let id = generate(&home, &["the kettle"])["citations"][0]["document"].clone();
    assert_eq!(kept(&home).len(), 1);
    let id = id.as_str().unwrap();
    home.run(["profile", "forget", "--user", "me", id]).exits(0);
    assert!(kept(&home).is_empty());

    generate(&home, &["the bees"]);
    assert_eq!(kept(&home).len(), 1);
    home.write("notes/b.md", b"---\ntitle: Bees\n---\nNothing of the kind, and never was.");
    let notes = home.path().join("notes");
    home.run(["ingest", "--user", "me", notes.to_str().unwrap()]).exits(0);
    assert!(kept(&home).is_empty());

    generate(&home, &["the bees"]);
    assert_eq!(kept(&home).len(), 1);
    home.run(["profile", "delete", "--user", "me", "--yes"]).exits(0);
    let left: Vec<_> = fs::read_dir(home.path().join("profiles")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What the model expects after the last of `tokens`, of which a sequence holds all but that.
fn logits_after(session: &mut Session<'_>, sequence: usize, last: Token) -> Vec<f32> {
    session.step(&[Append { sequence, tokens: &[last], n_logits: 1 }]).unwrap();
    session.logits(sequence).unwrap().to_vec()
}

/// The cells lie elsewhere in the cache, so that sums are made in another order.
const TOLERANCE: f32 = 0.01;

fn distance(some: &[f32], others: &[f32]) -> f32 {
    some.iter().zip(others).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32]) {
    assert!(distance(found, expected) < TOLERANCE, "{}", distance(found, expected));
}

#[test]
fn a_restored_sequence_goes_on_as_the_one_that_was_kept() {
    let home = Home::new();
    let tokens: Vec<Token> = (0..50).map(|id| Token::new(10 + id)).collect();
    let (before, last) = tokens.split_at(49);
    for file in [tiny::llama(), tiny::qwen2(), tiny::qwen3(), tiny::gemma3()] {
        let path = home.write("tiny.gguf", &file.to_bytes());
        let model = Model::load(runtime(), &path).unwrap();
        // Heads of 16 are no whole blocks of 8-bit numbers.
        for cache in [CacheType::F32, CacheType::F16] {
            let room = Room { tokens: 256, sequences: 3, batch_tokens: 64, cache };
            let mut first = model.session(room, 1).unwrap();
            first.extend(2, before, &mut |_| true).unwrap();
            let snapshot = first.snapshot(2).unwrap();
            let mut second = model.session(room, 1).unwrap();
            // Beside another sequence, under another number.
            second.extend(1, &tokens[7..30], &mut |_| true).unwrap();
            assert!(second.restore(0, before.len(), &snapshot));
            assert_eq!(second.len(0), before.len());
            let found = logits_after(&mut second, 0, last[0]);
            assert_near(&found, &logits_after(&mut first, 2, last[0]));
            // Cut back, it is what its beginning was.
            second.truncate(0, 20).unwrap();
            first.truncate(2, 20).unwrap();
            let cut = logits_after(&mut second, 0, last[0]);
            assert_near(&cut, &logits_after(&mut first, 2, last[0]));
            assert!(distance(&cut, &found) > 10.0 * TOLERANCE);

            // What does not fit, or is none, leaves the sequence empty.
            let small = Room { tokens: 256, sequences: 1, ..room };
            let mut third = model.session(small, 1).unwrap();
            assert!(!third.restore(0, before.len(), &snapshot[..snapshot.len() / 2]));
            assert!(!third.restore(0, before.len() + 1, &snapshot));
            assert!(!third.restore(0, 3, b"noise"));
            assert!(third.is_empty(0));
            assert!(third.restore(0, before.len(), &snapshot));
        }
    }
}
