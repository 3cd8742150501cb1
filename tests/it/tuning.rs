//! Other weight types: what the quantizer writes is the model, what tuning kept stands in for it, and
//! nothing else changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use restpg_edge::catalogue::{ModelStore, Rates, TunedRow, Tuning, Use};
use restpg_edge::ggml::quantize;
use restpg_edge::gguf::{self, ModelFile, TensorType};
use restpg_edge::llama::{Model, VERSION};
use restpg_edge::perplexity::log_likelihoods;

use crate::support::{Home, finish, runtime};
use crate::tiny;

fn kinds(file: &Path) -> Vec<(String, TensorType)> {
    let file = ModelFile::open(file).unwrap();
    let checked = gguf::check(&file).unwrap();
    let tensors = checked.header.tensors().iter();
    tensors.map(|tensor| (tensor.name.to_owned(), tensor.kind)).collect()
}

#[test]
fn each_matrix_gets_the_type_that_was_asked_for_and_predicts_nearly_the_same() {
    let runtime = runtime();
    let home = Home::new();
    let never = false.into();
    let text = "the kettle is on, and the bees are back.";
    for file in [tiny::llama(), tiny::qwen2(), tiny::qwen3(), tiny::gemma3()] {
        let source = home.write("source.gguf", &file.to_bytes());
        let target = home.path().join("target.gguf");
        quantize(
            &source,
            &target,
            &|tensor| match tensor.name.contains("attn_q.") {
                // Rows of 64 are no whole number of blocks of 256: it stays what it is.
                true => TensorType::Q4_K,
                false if tensor.name.contains("ffn_down") => TensorType::F16,
                false => TensorType::Q8_0,
            },
            2,
        )
        .unwrap();
        for ((name, before), (after_name, after)) in sorted(&source).zip(sorted(&target)) {
            assert_eq!(name, after_name);
            let expected = match name.as_str() {
                name if !name.ends_with(".weight") || name.ends_with("_norm.weight") => before,
                name if name.contains("attn_q.") => before,
                name if name.contains("ffn_down") => TensorType::F16,
                _ => TensorType::Q8_0,
            };
            assert_eq!(after, expected, "{name}");
        }
        let scores = |path| {
            let model = Model::load(runtime.clone(), path).unwrap();
            log_likelihoods(&model, text, 1, &never).unwrap().unwrap()
        };
        let (before, after) = (scores(&source), scores(&target));
        assert_eq!(before.len(), after.len());
        let most = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(most > 0.0 && most < 0.2, "{most}");
    }
}

fn sorted(path: &Path) -> impl Iterator<Item = (String, TensorType)> {
    let mut kinds = kinds(path);
    kinds.sort();
    kinds.into_iter()
}

#[test]
fn a_target_that_cannot_be_written_is_an_error() {
    // Its log goes to nobody's terminal.
    let _runtime = runtime();
    let home = Home::new();
    let source = home.write("source.gguf", &tiny::llama().to_bytes());
    let target = home.path().join("no/such/folder/target.gguf");
    let failed = quantize(&source, &target, &|_| TensorType::Q8_0, 1);
    assert!(failed.unwrap_err().to_string().contains("cannot be written"));
    let noise = home.write("noise.gguf", b"GGUFnoise");
    assert!(quantize(&noise, &target, &|_| TensorType::Q8_0, 1).is_err());
}

fn blobs(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.path().join("models/blobs")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn tuning_measures_every_choice_and_leaves_nothing_else_behind() {
    let home = Home::with_tiny_model();
    let tune = ["--json", "model", "tune", "tiny", "--rounds", "1", "--max-loss", "1"];
    let found = home.run(tune).exits(0).json();
    let rows = found["rows"].as_array().unwrap();
    // Rows of 64: what asks for blocks of 256 alone makes no file of its own.
    assert!(rows.len() >= 5, "{found:#}");
    for row in rows {
        for rate in ["prefill", "decode", "sample"] {
            assert!(row["tokens_per_second"][rate].as_f64().unwrap() > 0.0);
            assert!(row["source_tokens_per_second"][rate].as_f64().unwrap() > 0.0);
        }
        let ratio = row["perplexity_ratio"].as_f64().unwrap();
        assert!(ratio > 0.5 && ratio < 2.0, "{row}");
    }
    let mut kept: Vec<&str> = ["generate", "sample"]
        .iter()
        .filter_map(|purpose| found[purpose]["sha256"].as_str())
        .collect();
    kept.dedup();
    assert_eq!(blobs(&home).len(), 1 + kept.len());
    assert!(!home.path().join("models/partial/tune").exists());
    let shown = home.run(["--json", "model", "show", "tiny"]).exits(0).json();
    assert_eq!(shown["tuning"], found);
    let table = home.run(["model", "show", "tiny"]).exits(0);
    assert!(table.stdout.contains("many drafts at once:"), "{table:#?}");
    home.run(["model", "verify", "tiny"]).exits(0);
    home.run(["model", "tune", "--reset", "tiny"]).exits(0);
    assert_eq!(blobs(&home).len(), 1);
    let shown = home.run(["--json", "model", "show", "tiny"]).exits(0).json();
    assert!(shown["tuning"].is_null());
    home.run(["model", "tune", "no-such-model"]).exits(3);
}

#[test]
fn an_interruption_changes_nothing() {
    let home = Home::with_tiny_model();
    let mut command = home.command(["model", "tune", "tiny", "--rounds", "100"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(blobs(&home).len(), 1);
    assert!(!home.path().join("models/partial/tune").exists());
    // A killed one leaves what the next one removes.
    let left = home.write("models/partial/tune/tried.gguf", b"half");
    home.run(["model", "tune", "tiny", "--rounds", "1"]).exits(0);
    assert!(!left.exists());
}

/// The tiny model under its name, and as what tuning kept one that always writes a 7.
fn tuned(home: &Home) -> (ModelStore, Tuning) {
    let mut file = tiny::llama();
    let seven = file.tokens().iter().position(|token| token == b"7").unwrap();
    let other = home.write("sevens.gguf", &tiny::always(seven).with_context(4096).to_bytes());
    let store = ModelStore::new(&home.path().join("models"));
    let kept = store.take_in(&other, "sevens").unwrap();
    let (manifest, _) = store.resolve("tiny").unwrap();
    let tuning = Tuning {
        source_sha256: manifest.sha256,
        version: VERSION.into(),
        threads: 1,
        perplexity_ratio_max: 1.02,
        perplexity: 7.0,
        generate: None,
        sample: Some(kept),
        rows: vec![TunedRow {
            recipe: "sevens".into(),
            size_bytes: 1,
            rates: Rates { prefill: 2.0, decode: 2.0, sample: 2.0 },
            source_rates: Rates { prefill: 1.0, decode: 1.0, sample: 1.0 },
            perplexity_ratio: 1.0,
            perplexity_ratio_low: 0.9,
            perplexity_ratio_high: 1.1,
        }],
    };
    store.record_tuning(&tuning).unwrap();
    (store, tuning)
}

#[test]
fn what_was_kept_stands_in_for_its_use_alone() {
    let home = Home::with_tiny_model();
    let (store, tuning) = tuned(&home);
    let write = |arguments: &[&str]| {
        let fixed = ["--json", "generate", "--user", "me", "--no-profile", "--max-tokens", "8"];
        let draft = home.run(fixed.iter().chain(arguments).chain(&["hello"])).exits(0).json();
        draft["answer"].as_str().unwrap().to_owned()
    };
    let is_sevens = |text: &str| !text.is_empty() && text.chars().all(|char| char == '7');
    assert!(!is_sevens(&write(&["--no-reasoning"])));
    assert!(is_sevens(&write(&["--no-reasoning", "--best-of", "2"])));

    // One that has gone, or that another llama.cpp was measured with, is passed over.
    let sha256 = |version| store.resolve_for("tiny", Use::Sample, version).unwrap().sha256;
    let kept = tuning.sample.clone().unwrap();
    assert_eq!(sha256(VERSION), kept.sha256);
    assert_eq!(sha256("another"), tuning.source_sha256);
    let file = home.path().join(format!("models/blobs/{}.gguf", kept.sha256));
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(sha256(VERSION), tuning.source_sha256);

    // One that was damaged is found.
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&file, &damaged).unwrap();
    home.run(["model", "verify", "tiny"]).exits(4).says(&["tuned file", "model tune tiny"]);
    fs::write(&file, &bytes).unwrap();
    home.run(["model", "verify", "tiny"]).exits(0);

    // It goes with the model.
    home.run(["model", "remove", "tiny"]).exits(0);
    assert!(blobs(&home).is_empty());
    assert!(store.tuning(&tuning.source_sha256).is_none());
}

#[test]
fn what_was_kept_stays_where_it_was_pulled_too() {
    let home = Home::with_tiny_model();
    let (store, tuning) = tuned(&home);
    let kept = home.path().join(format!("models/blobs/{}.gguf", tuning.sample.unwrap().sha256));
    let pulled = ["model", "pull", kept.to_str().unwrap(), "--name", "sevens"];
    finish(home.command(pulled), None).exits(0);
    // Nor does it go with that name while it stands in for another.
    home.run(["model", "remove", "sevens"]).exits(0);
    home.run(["model", "verify", "tiny"]).exits(0);
    finish(home.command(pulled), None).exits(0);
    assert_eq!(store.forget_tuning(&tuning.source_sha256).unwrap(), 0);
    home.run(["model", "verify", "sevens"]).exits(0);
}
