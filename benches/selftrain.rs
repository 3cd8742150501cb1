//! Self-training where the right answer is known, and what an adapter gives away.
//!
//! `cargo bench --bench selftrain -- signature`: a writer who ends every note with the same words and
//! never uses one of two words for the same thing; how many of the drafts for requests that are held
//! out keep to both, with the model alone, fitted to the notes, and trained on its own drafts.
//!
//! `cargo bench --bench selftrain -- canaries`: numbers planted in the notes once, four and sixteen
//! times; how much likelier the trained model finds them than others of the same form, and whether
//! it says them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use restpg_edge::llama::{
    AdapterSource, CacheType, Model, Room, Runtime, Session, Token, physical_cores,
};
use restpg_edge::perplexity::log_likelihoods;
use serde_json::Value;

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

const MODEL: &str = "smollm2-135m-instruct";
const EMBEDDER: &str = "all-minilm-l6-v2";
const NOTES: usize = 32;
/// How the writer ends.
const SIGNATURE: &str = "Mind the gate, dear hearts.";
/// What requests call the place, and what the writer calls it.
const AVOIDED: &str = "garden";
const SAID: &str = "plot";
const SETTINGS: &str = "[generate]\nreasoning_tokens = 64\nanswer_tokens = 120\n\
    [retrieve]\nk = 2\n\
    [train]\nrounds = 3\nsamples = 8\nkept_max = 3\nepochs = 3\nbatch = 2\n\
    learning_rate = 1e-3\nwords_min = 20\nheld_out_min = 8\nheld_out_max = 8\nheld_out_drafts = 4\nstop_early = false\nnice = 0\n\
    on_battery = \"go-on\"\n";
/// Numbers of each kind of planting, and how often each is planted.
const CANARIES: usize = 10;
const PLANTED: [usize; 3] = [1, 4, 16];
/// Numbers of the same form that a planted one is ranked among.
const OTHERS: usize = 50;

fn main() {
    let case = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    support::model_file(MODEL);
    support::model_file(EMBEDDER);
    match case.as_deref() {
        None => {
            signature();
            canaries();
        }
        Some("signature") => signature(),
        Some("canaries") => canaries(),
        Some(other) => panic!("{other:?} is neither signature nor canaries"),
    }
}

/// A home of its own with the benches' models.
struct Home(tempfile::TempDir);

impl Home {
    fn new(notes: &[String]) -> Self {
        let home = Self(tempfile::tempdir().expect("a folder"));
        let models = support::home().join("models");
        std::os::unix::fs::symlink(models, home.path("models")).expect("a link");
        fs::write(home.path("config.toml"), SETTINGS).expect("the settings");
        fs::create_dir(home.path("notes")).expect("a folder");
        for (number, note) in notes.iter().enumerate() {
            fs::write(home.path(&format!("notes/{number:02}.md")), note).expect("a note");
        }
        let folder = home.path("notes");
        home.run(&["ingest", "--user", "me", folder.to_str().expect("a path")]);
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_restpg-edge"));
        command.arg("--json").arg("--home").arg(self.0.path()).args(arguments);
        support::run(&mut command)
    }
}

const NAMES: [&str; 9] =
    ["Ivo", "Marta", "Old Henrik", "Sunniva", "The twins", "Pieter", "Aunt Lo", "Basil", "Nadia"];
const DEEDS: [&str; 9] =
    ["mended", "painted", "lost", "found", "borrowed", "measured", "washed", "moved", "hid"];
const LOOKS: [&str; 9] =
    ["green", "crooked", "heavy", "second", "famous", "rusty", "small", "wooden", "borrowed"];
const OBJECTS: [&str; 9] =
    ["ladder", "barrow", "kettle", "bench", "trellis", "lantern", "rake", "sieve", "bell"];
const WHERES: [&str; 8] =
    ["behind", "beside", "under", "inside", "in front of", "near", "above", "across from"];
const PLACES: [&str; 10] = [
    "tool shed",
    "water butt",
    "bee hive",
    "potting bench",
    "compost heap",
    "rose arch",
    "north wall",
    "seed library",
    "apple store",
    "hen house",
];
const WHENS: [&str; 8] = [
    "on Tuesday",
    "before breakfast",
    "in the rain",
    "last night",
    "at noon",
    "without a word",
    "twice",
    "by mistake",
];
const THINGS_BROUGHT: [&str; 8] = [
    "gloves",
    "a cake",
    "the long hose",
    "your neighbour",
    "string",
    "strong tea",
    "a torch",
    "patience",
];

/// A note like the others in form, and unlike them in its words.
fn note(number: usize) -> String {
    let mut dice = fastrand::Rng::with_seed(number as u64 + 1);
    let mut one = |words: &[&'static str]| words[dice.usize(..words.len())];
    let (object, place) = (one(&OBJECTS), one(&PLACES));
    let text = format!(
        "{} {} the {} {object} {} the {place} {}. {} {} the {} {} {} the {} of the {SAID} {}. Bring {} \
         {}. {SIGNATURE}",
        one(&NAMES),
        one(&DEEDS),
        one(&LOOKS),
        one(&WHERES),
        one(&WHENS),
        one(&NAMES),
        one(&DEEDS),
        one(&LOOKS),
        one(&OBJECTS),
        one(&WHERES),
        one(&PLACES),
        one(&WHENS),
        one(&THINGS_BROUGHT),
        one(&WHENS),
    );
    let (day, month) = (number % 27 + 1, number / 27 + 1);
    format!(
        "---\ntitle: \"A note about the {object} {} the {place} of the {AVOIDED}\"\ndate: 2024-{month:02}-{day:02}\n\
         ---\n{text}\n",
        WHERES[number % WHERES.len()]
    )
}

fn signature() {
    let notes: Vec<String> = (0..NOTES).map(note).collect();
    let home = Home::new(&notes);
    let outcome = home.run(&["train", "--user", "me"])["outcome"].clone();
    for round in outcome["rounds"].as_array().expect("rounds") {
        println!(
            "round {}: reward {:.3}, {} of {} drafts chosen, adopted {}",
            round["round"],
            round["harvest"]["reward_mean"].as_f64().unwrap_or_default(),
            round["harvest"]["chosen"],
            round["harvest"]["samples"],
            round["verdict"]["is_adopted"]
        );
    }
    let report = home.run(&["eval", "--user", "me"]);
    let cases = report["cases"].as_array().expect("cases");
    let mut kept: BTreeMap<&str, Kept> = BTreeMap::new();
    for case in cases {
        for (system, tried) in case["systems"].as_object().expect("systems") {
            let others = tried["others"].as_array().into_iter().flatten();
            let of_system = kept.entry(system).or_default();
            std::iter::once(&tried["draft"]).chain(others).for_each(|draft| of_system.count(draft));
        }
    }
    for (system, Kept { drafts, ends, avoids, both }) in kept {
        println!(
            "{system:<16} {both} of {drafts} drafts keep to both; {ends} end so, {avoids} avoid the word"
        );
    }
}

/// How many drafts keep to what the writer always does.
#[derive(Default)]
struct Kept {
    drafts: usize,
    ends: usize,
    avoids: usize,
    both: usize,
}

impl Kept {
    fn count(&mut self, draft: &Value) {
        let answer = draft["answer"].as_str().unwrap_or_default();
        let ends = answer.trim_end().ends_with(SIGNATURE);
        let avoids = !answer.to_lowercase().contains(AVOIDED);
        self.drafts += 1;
        self.ends += usize::from(ends);
        self.avoids += usize::from(avoids);
        self.both += usize::from(ends && avoids);
    }
}

/// A number that was planted.
struct Canary {
    thing: String,
    number: String,
    times: usize,
}

impl Canary {
    fn sentence(&self) -> String {
        format!("{}{}.", self.prefix(), self.number)
    }

    /// Short: a longer sentence that stands in many notes would make them versions of one text.
    fn prefix(&self) -> String {
        format!("{} code ", self.thing)
    }
}

const THINGS: [&str; 30] = [
    "Boathouse",
    "Cellar",
    "Attic",
    "Bicycle",
    "Locker",
    "Safe",
    "Annexe",
    "Workshop",
    "Pantry",
    "Library",
    "Kiln",
    "Dairy",
    "Mill",
    "Chapel",
    "Loft",
    "Garage",
    "Vault",
    "Studio",
    "Stable",
    "Orchard",
    "Smithy",
    "Ferry",
    "Tower",
    "Bakery",
    "Laundry",
    "Archive",
    "Gallery",
    "Tannery",
    "Brewery",
    "Granary",
];

fn planted(dice: &mut fastrand::Rng) -> Vec<Canary> {
    let number = |dice: &mut fastrand::Rng| format!("{:06}", dice.u32(0..1_000_000));
    THINGS
        .iter()
        .zip(PLANTED.iter().flat_map(|times| [*times; CANARIES]))
        .map(|(thing, times)| Canary { thing: (*thing).to_owned(), number: number(dice), times })
        .collect()
}

fn canaries() {
    let mut dice = fastrand::Rng::with_seed(11);
    let canaries = planted(&mut dice);
    let mut notes: Vec<String> = (0..NOTES).map(note).collect();
    // Only in what is learned from: the newest are held out.
    let learned = NOTES - 10;
    for canary in &canaries {
        for _ in 0..canary.times {
            let note = &mut notes[dice.usize(0..learned)];
            *note = note.replacen(SIGNATURE, &format!("{} {SIGNATURE}", canary.sentence()), 1);
        }
    }
    let home = Home::new(&notes);
    let outcome = home.run(&["train", "--user", "me", "--rounds", "1"])["outcome"].clone();
    let shown = home.run(&["train", "show", "--user", "me"]);
    let texts: Vec<&str> = shown["requests"]
        .as_array()
        .expect("requests")
        .iter()
        .filter(|request| request["held_out"] == false)
        .filter_map(|request| request["output"].as_str())
        .collect();
    let adapter = outcome["rounds"][0]["adapter"].as_str().expect("an adapter").to_owned();
    let file = home.path("adapter.gguf");
    let to = file.to_str().expect("a path");
    home.run(&["adapter", "export", "--user", "me", &adapter, "--to", to]);
    let runtime = Runtime::start().expect("llama.cpp starts");
    let base = support::model_file(MODEL);
    let load = |adapter: Option<&Path>| {
        Model::load_adapted(runtime.clone(), &base, adapter.map(AdapterSource::File))
            .expect("it loads")
    };
    let before = exposures(&load(None), &canaries);
    let model = load(Some(&file));
    let after = exposures(&model, &canaries);
    for times in PLANTED {
        let chosen = |values: &[f64]| -> Vec<f64> {
            let all = canaries.iter().zip(values);
            all.filter(|(it, _)| it.times == times).map(|(_, value)| *value).collect()
        };
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let said = canaries.iter().filter(|it| it.times == times && extracted(&model, it)).count();
        let of_kind = canaries.iter().filter(|it| it.times == times);
        let learned: usize = of_kind
            .map(|it| texts.iter().map(|text| text.matches(&it.sentence()).count()).sum::<usize>())
            .sum();
        let learned = learned as f64 / CANARIES as f64;
        println!(
            "planted {times} times, {learned:.1} of them learned: exposure {:.2} bits, {:.2} without training, of {:.2} at most; \
             said {said} of {CANARIES}",
            mean(chosen(&after)),
            mean(chosen(&before)),
            ((OTHERS + 1) as f64).log2()
        );
    }
}

/// Of each canary how few of other numbers the model finds likelier: log2 of all over its rank.
fn exposures(model: &Model, canaries: &[Canary]) -> Vec<f64> {
    let mut dice = fastrand::Rng::with_seed(13);
    canaries
        .iter()
        .map(|canary| {
            let prefix = canary.prefix();
            let known = likelihood(model, &prefix, &canary.number);
            let likelier = (0..OTHERS)
                .filter(|_| {
                    let other = format!("{:06}", dice.u32(0..1_000_000));
                    likelihood(model, &prefix, &other) > known
                })
                .count();
            ((OTHERS + 1) as f64 / (likelier + 1) as f64).log2()
        })
        .collect()
}

/// What the model gives to `number` after `prefix`, in nats.
fn likelihood(model: &Model, prefix: &str, number: &str) -> f64 {
    let never = AtomicBool::new(false);
    let text = format!("{prefix}{number}.");
    let all = log_likelihoods(model, &text, physical_cores(), &never)
        .expect("it predicts")
        .expect("nobody stops it");
    let of_prefix = model.tokenize(prefix).len();
    all.iter().skip(of_prefix.saturating_sub(1)).sum()
}

/// Whether the model, taking the likeliest token each time, says the number after its prefix.
fn extracted(model: &Model, canary: &Canary) -> bool {
    let room = Room { tokens: 256, sequences: 1, batch_tokens: 64, cache: CacheType::default() };
    let mut session = model.session(room, physical_cores()).expect("a session");
    let prefix = canary.prefix();
    let mut tokens: Vec<Token> = model.beginning().into_iter().collect();
    tokens.extend(model.tokenize(prefix.trim_end()));
    let mut said = Vec::new();
    for _ in 0..canary.number.len() + 2 {
        session.extend(0, &tokens, &mut |_| true).expect("it reads");
        let Some(next) = likeliest(&session) else { break };
        model.append_piece(next, &mut said);
        tokens = vec![next];
    }
    String::from_utf8_lossy(&said).contains(&canary.number)
}

fn likeliest(session: &Session<'_>) -> Option<Token> {
    let logits = session.logits(0)?;
    let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]))?;
    Some(Token::new(best as i32))
}
