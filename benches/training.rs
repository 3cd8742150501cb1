//! Seconds and memory of a training step: one sequence of 768 + 256 tokens, and one prompt of 1536
//! tokens with eight answers of 256, adapters of rank 16 on all seven matrices of every block.
//!
//! `cargo bench --bench training [-- MODEL] [--peers] [--rounds N] [--case one|shared]
//! [--kinds mapped,mapped@500,f16]` (Linux); `@500` gives activations 500 MiB, so that some are
//! computed again. With PROFILE set, each of ours says where the time of one more step goes.
//!
//! What counts is the third step of a process of its own. `--peers` runs PEFT on the same weights in
//! turns (benches/peers/install.sh installs it), with `--plain` without gradient checkpointing alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use restpg_edge::ggml::{Arena, Backend, GgmlError, Kind, Over, Profile};
use restpg_edge::gguf::{self, ModelFile};
use restpg_edge::lora::{
    Adapter, AdapterConfig, Answer, Design, Example, FitMemory, Generator, Network, Normalizer,
    Packed, Pass, Projection, WeightType,
};
use serde_json::{Value, json};

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

const THREADS: u32 = 2;
const STEPS: usize = 3;

#[derive(Clone, Copy, PartialEq)]
enum Case {
    /// 768 + 256.
    One,
    /// 1536 + 8 × 256, the prompt shared.
    Shared,
}

impl Case {
    const ALL: [(&'static str, Self); 2] = [("one", Self::One), ("shared", Self::Shared)];

    fn example(self) -> Example {
        let (prompt, answers) = match self {
            Self::One => (768, 1),
            Self::Shared => (1536, 8),
        };
        let generator = Generator::new(1, "bench");
        let tokens = |part: u64, count: usize| -> Vec<u32> {
            let part = generator.part(part);
            (0..count).map(|index| (part.bits(index as u64) % 40_000) as u32 + 100).collect()
        };
        let answer = |part| Answer { tokens: tokens(part, 256), weight: 1.0, token_weights: None };
        Example { prompt: tokens(0, prompt), answers: (1..=answers).map(answer).collect() }
    }

    /// What PEFT is given: the same text in the ways that it can take it.
    fn peers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::One => &[("one", "plain"), ("one", "checkpointing")],
            Self::Shared => &[("eight", "plain"), ("eight", "checkpointing"), ("packed", "plain")],
        }
    }
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == "child") {
        return child(&arguments[1..]);
    }
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let rounds: usize = value("--rounds").map_or(3, |text| text.parse().expect("a number"));
    let kinds = value("--kinds").unwrap_or_else(|| "mapped".into());
    let only = value("--case");
    let model = arguments.first().filter(|first| !first.starts_with("--"));
    let file = support::model_file(model.map_or("smollm2-135m-instruct", String::as_str));
    for (name, case) in Case::ALL {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let mut programs: Vec<Program> = Vec::new();
        for kind in kinds.split(',') {
            let (weights, budget_mib) = kind.split_once('@').unwrap_or((kind, "1000000"));
            let arguments = ["child", name, weights, budget_mib].map(str::to_owned);
            let file = file.clone();
            programs.push((format!("ours, {kind}"), Box::new(move || ours(&arguments, &file))));
        }
        if arguments.iter().any(|argument| argument == "--peers") {
            let faster_only = arguments.iter().any(|argument| argument == "--plain");
            for &(work, setting) in case.peers() {
                if faster_only && setting != "plain" {
                    continue;
                }
                let file = file.clone();
                let run = move || peer(&file, work, setting);
                programs.push((format!("PEFT, {work}, {setting}"), Box::new(run)));
            }
        }
        compare(name, rounds, &programs);
    }
}

/// A name, and a run that says how long it took.
type Program = (String, Box<dyn Fn() -> Value>);

fn compare(case: &str, rounds: usize, programs: &[Program]) {
    let mut seconds = vec![Vec::new(); programs.len()];
    let mut peaks = vec![0.0_f64; programs.len()];
    for _ in 0..rounds {
        for (index, (_, program)) in programs.iter().enumerate() {
            let said = program();
            seconds[index].push(said["seconds"].as_f64().expect("seconds"));
            peaks[index] = peaks[index].max(said["peak_mb"].as_f64().expect("a peak"));
        }
    }
    let ours = seconds[0].clone();
    for (index, (name, _)) in programs.iter().enumerate() {
        let mut ratios: Vec<f64> =
            seconds[index].iter().zip(&ours).map(|(theirs, ours)| theirs / ours).collect();
        println!(
            "{case:<7} {name:<28} {:>7.2} s a step, {:>6.0} MB at most, {:.2} of ours in time, {:.2} \
             in memory",
            support::median(&mut seconds[index].clone()),
            peaks[index],
            support::median(&mut ratios),
            peaks[index] / peaks[0]
        );
    }
}

fn ours(arguments: &[String], file: &Path) -> Value {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).args(arguments).arg(file).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    eprint!("{said}");
    serde_json::from_slice(&output.stdout).expect("one object")
}

fn peer(file: &Path, work: &str, setting: &str) -> Value {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers/venv/bin/python");
    assert!(python.exists(), "run benches/peers/install.sh first");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/training.py");
    let output = Command::new(python)
        .arg(script)
        .args([file.as_os_str(), work.as_ref(), setting.as_ref()])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one object")
}

fn child(arguments: &[String]) {
    let [case, kind, budget, file] = arguments else { panic!("four arguments") };
    let (_, case) = Case::ALL.into_iter().find(|(name, _)| name == case).expect("a case");
    let kind = <WeightType as clap::ValueEnum>::from_str(kind, true).expect("a weight type");
    let file = ModelFile::open(&PathBuf::from(file)).expect("the model");
    let checked = gguf::check(&file).expect("a model");
    let backend = Backend::cpu(THREADS).expect("the processor");
    let config = AdapterConfig {
        rank: 16,
        alpha: 32.0,
        rank_stabilized: false,
        projections: Projection::ALL.to_vec(),
    };
    let design = Design::read(&checked).expect("a design");
    let adapter = Adapter::new(config, &design, 1);
    let network = Network::new(&backend, &file, &checked, kind, &adapter).expect("a network");
    let budget: u64 = budget.parse().expect("a number");
    network.set_activation_bytes_max(budget << 20);
    let examples = [case.example()];
    let total = Normalizer::Token.total(&examples);
    let mut gradients = vec![0.0; adapter.values.len()];
    let mut seconds: Vec<f64> = Vec::new();
    let mut loss = 0.0;
    for _ in 0..STEPS {
        let started = Instant::now();
        network.set_adapter(&adapter).expect("it fits");
        let packed = Packed::new(&examples, Normalizer::Token, total);
        loss = network.loss_and_gradients(&packed, Pass::plain(), &mut gradients).expect("a step");
        seconds.push(started.elapsed().as_secs_f64());
    }
    let peak = peak_mb();
    if std::env::var_os("PROFILE").is_some() {
        backend.start_profile();
        let packed = Packed::new(&examples, Normalizer::Token, total);
        network.loss_and_gradients(&packed, Pass::plain(), &mut gradients).expect("a step");
        let profile = backend.take_profile().expect("a profile");
        print_profile(&profile, seconds[STEPS - 1], peak_flop_per_s(&backend));
    }
    let rows = Packed::rows_of(&examples[0]);
    let stated = FitMemory::of(&checked, &design, true, kind, adapter.values.len(), rows);
    println!(
        "{}",
        json!({"seconds": seconds[STEPS - 1], "peak_mb": peak, "loss": loss,
        "graph_mb": backend.graph_peak_bytes() as f64 / 1e6, "stated": stated})
    );
}

/// What the processor reaches in products of 32-bit floats that suit it best: squares of 1024.
fn peak_flop_per_s(backend: &Backend) -> f64 {
    const SIDE: usize = 1024;
    let arena = Arena::new(backend, &[(Kind::F32, [SIDE, SIDE, 1, 1]); 3]).expect("memory");
    let values: Vec<f32> = (0..SIDE * SIDE).map(|index| (index as f32).sin()).collect();
    arena.at(0).write(&values).expect("it fits");
    arena.at(1).write(&values).expect("it fits");
    let once = |_| {
        let started = Instant::now();
        let product = backend.run(4, |g| -> Result<(), GgmlError> {
            let (a, b) = ((arena.at(0), Over::Rows), (arena.at(1), Over::Columns));
            g.place(g.product(a, b)?, arena.at(2))
        });
        product.expect("a product");
        started.elapsed().as_secs_f64()
    };
    let best = (0..40).map(once).fold(f64::INFINITY, f64::min);
    2.0 * (SIDE as f64).powi(3) / best
}

/// Where the time of one more step goes, to stderr; and what a step that took `seconds` reached of
/// what the processor can do.
fn print_profile(profile: &Profile, seconds: f64, peak_flop_per_s: f64) {
    let all: f64 = profile.values().map(|time| time.seconds).sum();
    let flop: f64 = profile.values().map(|time| time.flop).sum();
    eprintln!(
        "{:.0} GFLOP in products in {seconds:.2} s: {:.0} GFLOP/s, {:.0} % of the {:.0} that the \
         processor reached in squares of 1024; profiled, {all:.2} s:",
        flop / 1e9,
        flop / seconds / 1e9,
        100.0 * flop / seconds / peak_flop_per_s,
        peak_flop_per_s / 1e9
    );
    let mut rows: Vec<_> = profile.iter().collect();
    rows.sort_by(|a, b| b.1.seconds.total_cmp(&a.1.seconds));
    for (name, time) in rows {
        let rate = time.flop / time.seconds / 1e9;
        let share = 100.0 * time.seconds / all;
        eprintln!("{share:>5.1} % {name:<24} {:>6} times {rate:>6.0} GFLOP/s", time.count);
    }
}

/// The most memory that this process has had, in MB.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kib * 1024.0 / 1e6
}
