//! The converted embedding model gives what the published one gives.
//!
//! `tests/reference/minilm.py` made the reference with the model's own tokenizer and with
//! sentence-transformers.

use std::path::Path;

use restpg_edge::embedding::NamedEmbedder;
use restpg_edge::llama::Token;
use restpg_edge::retrieve::Embed;
use serde_json::Value;

use crate::support::{Home, runtime};

const MODELS: [&str; 2] = ["all-minilm-l6-v2", "all-minilm-l6-v2-q8_0"];

fn reference(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn ids(tokens: &[Token]) -> Vec<f64> {
    tokens.iter().map(|token| f64::from(token.0)).collect()
}

/// Whether llama.cpp's own tokenizer is known to give other ids: it decomposes Hangul by other
/// tables, strips the vowel signs of Indic scripts, and knows no longest word.
fn llama_differs(text: &str) -> bool {
    let indic_or_hangul = |char: char| matches!(u32::from(char), 0x0900..=0x0dff | 0xac00..=0xd7a3);
    let long = |word: &str| word.chars().count() >= 99;
    text.chars().any(indic_or_hangul) || text.split_whitespace().any(long)
}

#[test]
fn the_converted_model_gives_the_ids_and_vectors_of_the_published_one() {
    let home = Home::with_real_models(&MODELS);
    let runtime = runtime();
    let models = home.path().join("models");
    let load = |name| NamedEmbedder::load(runtime.clone(), &models, name, 512, 2).unwrap();
    let [f16, q8_0] = MODELS.map(load);

    let lines = reference("minilm-tokens.jsonl");
    assert_eq!(lines.len(), 2000);
    let mut compared_with_llama = 0;
    for line in &lines {
        let (text, expected) = (line["text"].as_str().unwrap(), numbers(&line["ids"]));
        assert_eq!(ids(&f16.embedder().tokenize(text)), expected, "{text:?}");
        // llama.cpp's own tokenizer shows that the vocabulary lies as it expects.
        if !llama_differs(text) {
            let by_llama = f16.embedder().tokenize_by_llama(text);
            assert_eq!(ids(&by_llama), expected, "{text:?}");
            compared_with_llama += 1;
        }
    }
    assert!(compared_with_llama > 1000, "{compared_with_llama}");

    let texts = reference("minilm-vectors.jsonl");
    for (embedder, least) in [(&f16, 0.999), (&q8_0, 0.99)] {
        for row in &texts {
            let text = row["text"].as_str().unwrap();
            let vector = embedder.query(text).unwrap();
            let expected = numbers(&row["vector"]);
            let pairs = expected.iter().zip(&vector);
            let cosine: f64 = pairs.map(|(a, b)| a * f64::from(*b)).sum();
            assert!(cosine >= least, "{cosine} for {text:?}");
        }
    }

    // Several in one batch are what each is alone.
    let all: Vec<&str> = texts.iter().map(|row| row["text"].as_str().unwrap()).collect();
    for (text, vector) in all.iter().zip(f16.passages(&all).unwrap()) {
        let alone = f16.query(text).unwrap();
        let cosine: f32 = vector.iter().zip(&alone).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.9999, "{cosine} for {text:?}");
    }
}
