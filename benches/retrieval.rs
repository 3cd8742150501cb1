//! Search over 100,000 passages: by words, by meaning, both; and embedding.
//!
//! `cargo bench --bench retrieval [-- --peers]` builds a profile out of real people's writing where
//! `../shared/data` lies beside the checkout, else out of the sample writings, repeated with
//! variations, and prints criterion's estimates, the 50th and 99th percentile over many queries,
//! and how much of the memory's bandwidth the dense scan reaches. `--peers` runs bm25s and
//! sentence-transformers on the same texts (benches/peers/install.sh installs them).

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use criterion::Criterion;
use rayon::prelude::{IntoParallelRefIterator, ParallelIterator, ParallelSlice};
use restpg_edge::config::RetrieveConfig;
use restpg_edge::embedding::NamedEmbedder;
use restpg_edge::llama::Runtime;
use restpg_edge::paths::Paths;
use restpg_edge::profile::{
    NewDocument, NoPassphrase, PendingPassage, ProfileStore, Source, Stamp, User, Vectors,
};
use restpg_edge::retrieve::{self, Embed, Query};

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

const PASSAGES: usize = 100_000;
/// Texts that are really embedded; the vectors of the others are these, moved a little.
const EMBEDDED: usize = 512;
/// Passages that are embedded bare and through the store, in turns.
const INDEXED: usize = 256;
const QUERIES: usize = 200;
/// The part of the words that a variation replaces.
const REPLACED: f64 = 0.3;
const DOCUMENTS_PER_SOURCE: usize = 5_000;
const MEMORY_BYTES: usize = 512 << 20;

fn main() {
    let with_peers = std::env::args().any(|argument| argument == "--peers");
    support::model_file("all-minilm-l6-v2");
    let models = support::home().join("models");
    let runtime = Runtime::start().expect("llama.cpp starts");
    let embedder = NamedEmbedder::load(runtime, &models, "all-minilm-l6-v2", 512, 2)
        .expect("the embedder loads");
    let (texts, queries) = passages_and_queries();
    println!("{} passages, {} queries", texts.len(), queries.len());

    let mut criterion = Criterion::default()
        .sample_size(10)
        .measurement_time(Duration::from_secs(4))
        .without_plots();
    let sample: Vec<&str> = texts[..32].iter().map(String::as_str).collect();
    criterion.bench_function("embed 32 passages", |bench| {
        bench.iter(|| embedder.passages(black_box(&sample)).expect("vectors"));
    });
    indexing_beside_bare(&texts[..INDEXED], &embedder);
    let embedded: Vec<&str> = texts[..EMBEDDED].iter().map(String::as_str).collect();
    let started = Instant::now();
    let base = embedder.passages(&embedded).expect("vectors");
    let rate = EMBEDDED as f64 / started.elapsed().as_secs_f64();
    println!("embedding: {rate:.1} passages a second");

    let scratch = tempfile::tempdir().expect("a folder");
    let store = build(scratch.path(), &texts, &base, embedder.info());
    let vectors = store.vectors(&embedder.info().sha256).expect("vectors");
    scan_bandwidth(&mut criterion, &vectors, &base[0]);
    queries_over(&mut criterion, &store, &vectors, &embedder, &queries);
    if with_peers {
        peers(&texts, &queries);
    }
}

/// Texts of real people where they are at hand, varied until there are enough, and their titles.
fn passages_and_queries() -> (Vec<String>, Vec<String>) {
    let (mut base, mut queries) = (Vec::new(), Vec::new());
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    for task in ["abstract", "email", "review", "topic"] {
        let Ok(text) = std::fs::read_to_string(data.join(format!("{task}.jsonl"))) else {
            continue;
        };
        for line in text.lines() {
            let person: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let items = person["profile"].as_array().expect("documents");
            base.extend(items.iter().filter_map(|item| item["text"].as_str()).map(str::to_owned));
            let asked = person["queries"].as_array().expect("queries");
            queries.extend(asked.iter().filter_map(|it| it["input"].as_str()).map(str::to_owned));
        }
    }
    if base.is_empty() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sample-writer");
        for entry in std::fs::read_dir(folder).expect("the sample writings").flatten() {
            let text = std::fs::read_to_string(entry.path()).expect("text");
            queries.extend(text.lines().find(|line| line.starts_with("title:")).map(str::to_owned));
            base.push(text);
        }
    }
    let mut random = fastrand::Rng::with_seed(1);
    random.shuffle(&mut base);
    random.shuffle(&mut queries);
    queries.truncate(QUERIES);
    let cut = |text: &String| text.split_whitespace().take(160).map(str::to_owned).collect();
    let base: Vec<Vec<String>> = base.iter().map(cut).collect();
    let words: Vec<&String> = base.iter().flatten().collect();
    let texts = (0..PASSAGES).map(|number| {
        let mut text = base[number % base.len()].clone();
        if number >= base.len() {
            for word in &mut text {
                if random.f64() < REPLACED {
                    word.clone_from(words[random.usize(..words.len())]);
                }
            }
        }
        text.join(" ")
    });
    (texts.collect(), queries)
}

fn build(
    folder: &Path,
    texts: &[String],
    base: &[Vec<f32>],
    info: &restpg_edge::profile::EmbedderInfo,
) -> ProfileStore {
    let mut store = empty_store(folder);
    let started = Instant::now();
    for (number, part) in texts.chunks(DOCUMENTS_PER_SOURCE).enumerate() {
        add_documents(&mut store, &format!("part {number}"), part);
    }
    println!("stored in {:.1} s", started.elapsed().as_secs_f64());
    let mut random = fastrand::Rng::with_seed(2);
    let mut after = 0;
    loop {
        let pending = store.pending(info, after, 10_000).expect("pending");
        let Some(last) = pending.last() else { return store };
        after = last.chunk;
        let rows: Vec<(PendingPassage, Vec<f32>)> = pending
            .into_iter()
            .map(|passage| {
                let vector = &base[passage.chunk as usize % base.len()];
                let moved: Vec<f32> =
                    vector.iter().map(|value| value + (random.f32() - 0.5) * 0.05).collect();
                let norm = moved.iter().map(|value| value * value).sum::<f32>().sqrt();
                (passage, moved.iter().map(|value| value / norm).collect())
            })
            .collect();
        store.put_vectors(info, &rows).expect("stored");
    }
}

/// Embedding as `profile index` does it, out of the store and into it, beside the embedder alone.
fn indexing_beside_bare(texts: &[String], embedder: &NamedEmbedder) {
    let plain: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (mut bare, mut indexing) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let started = Instant::now();
        black_box(embedder.embedder().embed(&plain).expect("vectors"));
        bare.push(texts.len() as f64 / started.elapsed().as_secs_f64());
        let scratch = tempfile::tempdir().expect("a folder");
        let mut store = empty_store(scratch.path());
        add_documents(&mut store, "texts", texts);
        let started = Instant::now();
        let done =
            retrieve::update_index(&mut store, embedder, &AtomicBool::new(false), &mut |_, _| {});
        assert_eq!(done.expect("an index"), texts.len());
        indexing.push(texts.len() as f64 / started.elapsed().as_secs_f64());
    }
    let (bare, indexing) = (support::median(&mut bare), support::median(&mut indexing));
    println!(
        "embedding, passages a second: bare {bare:.1}, through the store {indexing:.1}, ratio {:.3}",
        indexing / bare
    );
}

fn empty_store(folder: &Path) -> ProfileStore {
    let paths = Paths::resolve(Some(folder)).expect("paths");
    let user = User::parse("bench").expect("a name");
    ProfileStore::open_or_create(&paths, &user, &NoPassphrase).expect("a store")
}

fn add_documents(store: &mut ProfileStore, place: &str, texts: &[String]) {
    let documents: Vec<NewDocument> = (0..)
        .zip(texts)
        .map(|(key, text): (usize, _)| NewDocument {
            key: key.to_string(),
            text: text.clone(),
            ..NewDocument::default()
        })
        .collect();
    let stamp = Stamp { size_bytes: 0, modified_ns: 0, reading: String::new() };
    let source = Source { place: place.to_owned(), stamp };
    store.replace_source(&source, &documents, 4096).expect("stored");
}

/// The dense scan beside a plain read of as much memory as the caches cannot hold.
fn scan_bandwidth(criterion: &mut Criterion, vectors: &Vectors, query: &[f32]) {
    criterion.bench_function("dense scan", |bench| {
        bench.iter(|| retrieve::nearest(black_box(vectors), black_box(query), 50));
    });
    let memory: Vec<u64> = (0..MEMORY_BYTES as u64 / 8).collect();
    let (mut scans, mut reads) = (Vec::new(), Vec::new());
    // In turns: the machine drifts.
    for _ in 0..15 {
        let started = Instant::now();
        black_box(retrieve::nearest(black_box(vectors), black_box(query), 50));
        scans.push((vectors.rows.len() * 2) as f64 / started.elapsed().as_secs_f64() / 1e9);
        let started = Instant::now();
        let parts: Vec<&[u64]> = memory.par_chunks(1 << 20).collect();
        let sum = |part: &&[u64]| part.iter().fold(0_u64, |sum, value| sum.wrapping_add(*value));
        black_box(parts.par_iter().map(sum).reduce(|| 0, u64::wrapping_add));
        reads.push(MEMORY_BYTES as f64 / started.elapsed().as_secs_f64() / 1e9);
    }
    let (scan, read) = (support::median(&mut scans), support::median(&mut reads));
    println!("dense scan {scan:.1} GB/s, plain read {read:.1} GB/s, ratio {:.2}", scan / read);
}

fn queries_over(
    criterion: &mut Criterion,
    store: &ProfileStore,
    vectors: &Vectors,
    embedder: &NamedEmbedder,
    queries: &[String],
) {
    let settings = RetrieveConfig::default();
    let embed = |text: &str| embedder.query(text).expect("a vector");
    type Asked<'a> = (&'a String, Vec<f32>);
    let with_vectors: Vec<Asked<'_>> = queries.iter().map(|query| (query, embed(query))).collect();
    let lexical = |text: &str| store.lexical(text, 50).expect("hits");
    let hybrid = |text: &str, vector: &[f32]| {
        let query = Query { text, vector: Some(vector), ..Query::default() };
        retrieve::retrieve(store, Some(vectors), &query, &settings, 5).expect("hits")
    };
    criterion.bench_function("hybrid query", |bench| {
        let mut next = with_vectors.iter().cycle();
        bench.iter(|| next.next().map(|(text, vector)| hybrid(text, vector)));
    });
    let percentiles = |name: &str, run: &mut dyn FnMut(&Asked<'_>)| {
        let mut times: Vec<f64> = with_vectors
            .iter()
            .map(|query| {
                let started = Instant::now();
                run(query);
                started.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!("{name}: p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99));
    };
    percentiles("by words", &mut |(text, _)| {
        black_box(lexical(text));
    });
    percentiles("by meaning, vector given", &mut |(_, vector)| {
        black_box(retrieve::nearest(vectors, vector, 50));
    });
    percentiles("embedding the query", &mut |(text, _)| {
        black_box(embed(text));
    });
    percentiles("hybrid, vector given", &mut |(text, vector)| {
        black_box(hybrid(text, vector));
    });
    percentiles("hybrid, whole", &mut |(text, _)| {
        black_box(hybrid(text, &embed(text)));
    });
}

/// bm25s and sentence-transformers on the same texts and queries.
fn peers(texts: &[String], queries: &[String]) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
    let python: PathBuf = folder.join("venv/bin/python");
    assert!(python.exists(), "run benches/peers/install.sh first");
    let file = folder.join("texts.json");
    let content = serde_json::json!({"texts": texts, "queries": queries});
    std::fs::write(&file, content.to_string()).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/retrieval.py");
    let status = std::process::Command::new(python)
        .args([script.as_path(), file.as_path(), &folder.join("model")])
        .status()
        .expect("python runs");
    assert!(status.success());
}
