//! What it takes to begin: the time from process start to the first token, and the memory of a
//! second process that maps the same model.
//!
//! `cargo bench --bench startup [-- MODEL …]` prints medians, and the kernel's account of the
//! second process's memory (Linux).

use std::process::Stdio;
use std::time::Duration;

#[allow(dead_code, reason = "each bench uses its part")]
mod support;

const ROUNDS: usize = 9;
/// With the instructions around it, a prompt of about 200 tokens.
const REQUEST: &str = "A letter to the neighbours about the summer party: it begins at four in the \
    yard behind the house, everybody brings a dish and a chair, the children plan a treasure \
    hunt, the music ends at eleven, and whoever can lend a table, a lamp or a pair of hands for \
    the washing-up should tell me before Thursday. If it rains we move to the cellar, where there \
    is room for thirty people but no light, so candles and torches are welcome too. Last year the \
    potato salad ran out first, so please: potato salad";

fn main() {
    let mut names: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if names.is_empty() {
        names.push("smollm2-135m-instruct".to_owned());
    }
    for name in names {
        let file_bytes = std::fs::metadata(support::model_file(&name)).expect("a file").len();
        let (mut first, mut load) = (Vec::new(), Vec::new());
        let mut prompt_tokens = 0.0;
        for _ in 0..ROUNDS {
            let draft = support::run(generate(&name, "8").args(["--seed", "1"]));
            let number = |object: &str, key: &str| draft[object][key].as_f64().expect("a number");
            prompt_tokens = number("usage", "prompt_tokens");
            first.push(number("timings", "first_token_ms"));
            load.push(number("timings", "load_ms"));
        }
        println!(
            "{name}: {prompt_tokens} prompt tokens, first token {:.0} ms after process start, of \
             which {:.0} ms are checking and mapping the model (medians of {ROUNDS})",
            support::median(&mut first),
            support::median(&mut load)
        );
        memory(&name, file_bytes);
    }
}

fn generate(model: &str, tokens: &str) -> std::process::Command {
    let mut command = support::restpg_edge();
    command.args(["generate", "--user", "bench", "--no-profile", "--no-reasoning"]).args([
        "--model",
        model,
        "--max-tokens",
        tokens,
        REQUEST,
    ]);
    command
}

/// Starts two processes on one model and prints what the second holds.
fn memory(name: &str, file_bytes: u64) {
    let spawn = || {
        let mut command = generate(name, "4000");
        command.env("RESTPG_MODEL_THREADS", "1");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the binary was built")
    };
    let [mut first, mut second] = [spawn(), spawn()];
    let path = format!("/proc/{}/smaps", second.id());
    // The fullest account before either ends: by then all of the model has been read.
    let mut fullest = Memory::default();
    while let (Ok(None), Ok(None)) = (first.try_wait(), second.try_wait()) {
        let memory = std::fs::read_to_string(&path).map(|text| Memory::read(&text));
        fullest = fullest.max(memory.unwrap_or_default());
        std::thread::sleep(Duration::from_millis(10));
    }
    for process in [&mut first, &mut second] {
        // It may have ended by itself meanwhile.
        let _ = process.kill();
        let _ = process.wait();
    }
    println!(
        "  second process: {} MB resident: {} MB pages of the model's file, of which {} MB are \
         shared with the first process; {} MB of its own; the file has {} MB",
        fullest.resident_kb / 1000,
        fullest.model_kb / 1000,
        fullest.model_shared_kb / 1000,
        fullest.anonymous_kb / 1000,
        file_bytes / 1_000_000
    );
}

/// A process's memory as `/proc/PID/smaps` states it; zeros on other systems than Linux.
#[derive(Default, PartialEq, Eq, PartialOrd, Ord)]
struct Memory {
    model_shared_kb: u64,
    resident_kb: u64,
    model_kb: u64,
    anonymous_kb: u64,
}

impl Memory {
    fn read(smaps: &str) -> Self {
        let mut memory = Self::default();
        let mut in_model = false;
        for line in smaps.lines() {
            let (key, rest) = line.split_once(':').unwrap_or_default();
            let kilobytes = rest.trim().strip_suffix("kB").and_then(|it| it.trim().parse().ok());
            match (key, kilobytes) {
                ("Rss", Some(kilobytes)) => {
                    let kilobytes: u64 = kilobytes;
                    memory.resident_kb += kilobytes;
                    memory.model_kb += if in_model { kilobytes } else { 0 };
                }
                ("Anonymous", Some(kilobytes)) => memory.anonymous_kb += kilobytes,
                ("Shared_Clean", Some(kilobytes)) if in_model => {
                    memory.model_shared_kb += kilobytes;
                }
                // A line without a size names the next mapping.
                (_, None) => in_model = line.ends_with(".gguf"),
                _ => {}
            }
        }
        memory
    }
}
