//! `lora fit`: it learns, it goes on to the same bits, it loses nothing, and llama.cpp computes
//! with its adapters what the trainer computed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use restpg_edge::ggml::Backend;
use restpg_edge::gguf::{self, CheckedModel, ModelFile};
use restpg_edge::llama::{AdapterSource, CacheType, Model, Room, Token};
use restpg_edge::lora::{
    self, Adapter, AdapterConfig, Answer, Checkpoint, Design, Example, Exported, Generator,
    Network, Normalizer, Packed, Pass, Projection, WeightType,
};
use serde_json::{Value, json};

use crate::support::{Home, real_writing, runtime};
use crate::tiny::{self, Gguf};

/// Examples of letters that a tiny model's tokenizer knows.
fn letters(home: &Home, count: usize) -> PathBuf {
    let lines: Vec<String> = (0..count)
        .map(|index| {
            let answers = [
                json!({"text": format!("the ant ate the tin {index}"), "weight": 1.0}),
                json!({"text": format!("no, the tin {index}"), "weight": 0.5}),
            ];
            json!({"prompt": format!("what of {index}?"), "answers": answers}).to_string()
        })
        .collect();
    home.write("letters.jsonl", lines.join("\n").as_bytes())
}

fn fit<'a>(data: &'a str, output: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["--json", "lora", "fit", "--data", data, "--output", output];
    arguments.extend(["--rank", "4", "--learning-rate", "0.01"]);
    arguments.extend(more);
    arguments
}

fn checked_design(model: &CheckedModel<'_>) -> Design {
    Design::read(model).unwrap()
}

/// The tiny model's file in a home.
fn with_tiny(test: impl FnOnce(&ModelFile, &CheckedModel<'_>, &Design)) {
    let home = Home::new();
    let path = home.write("tiny.gguf", &tiny::llama().to_bytes());
    let file = ModelFile::open(&path).unwrap();
    let checked = gguf::check(&file).unwrap();
    test(&file, &checked, &checked_design(&checked));
}

/// Whatever happened, the run's checkpoint opens, and an adapter that is there is whole.
fn assert_whole(folder: &Path) -> Option<u64> {
    let mut step = None;
    with_tiny(|_, _, design| {
        let run = Checkpoint::read(&folder.join("checkpoint.safetensors"), design).unwrap();
        step = run.map(|run| run.step);
        let adapter = folder.join("adapter.gguf");
        if adapter.exists() {
            lora::read_gguf(&adapter, design).unwrap();
        }
    });
    step
}

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let home = Home::with_tiny_model();
    let data = letters(&home, 24);
    let data = data.to_str().unwrap();
    let at = |name: &str| home.path().join(name);
    let more = ["--steps", "60", "--dropout", "0.1", "--checkpoint-every", "1", "--batch", "3"];
    let whole = at("whole");
    home.run(fit(data, whole.to_str().unwrap(), &more)).exits(0);

    let killed = at("killed");
    let mut arguments = fit(data, killed.to_str().unwrap(), &more);
    arguments.push("--resume");
    let generator = Generator::new(1, "kill");
    let mut steps_seen = Vec::new();
    for moment in 0..50 {
        let mut command = home.command(&arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros((generator.uniform(moment) * 150_000.0) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        steps_seen.extend(assert_whole(&killed));
    }
    assert!(steps_seen.is_sorted(), "{steps_seen:?}");
    assert!(steps_seen.iter().any(|step| (1..60).contains(step)), "{steps_seen:?}");
    home.run(&arguments).exits(0);
    for file in ["adapter.gguf", "checkpoint.safetensors"] {
        let same = fs::read(whole.join(file)).unwrap() == fs::read(killed.join(file)).unwrap();
        assert!(same, "{file} differs");
    }
    let left: Vec<_> = fs::read_dir(&killed).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn ctrl_c_keeps_what_is_done() {
    let home = Home::with_tiny_model();
    let data = letters(&home, 24);
    let folder = home.path().join("run");
    let more = ["--steps", "100000"];
    let arguments = fit(data.to_str().unwrap(), folder.to_str().unwrap(), &more);
    let mut command = home.command(&arguments);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while assert_whole(&folder).is_none() {
        assert!(started.elapsed() < Duration::from_secs(60), "no checkpoint");
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = Instant::now();
    let killed =
        std::process::Command::new("kill").arg("-INT").arg(child.id().to_string()).status();
    assert!(killed.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(5));
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("--resume"), "{said}");
    assert!(assert_whole(&folder).is_some());
    let again = home.run(&arguments).exits(2);
    again.says(&["--resume"]);
}

#[test]
fn a_full_disk_keeps_the_last_checkpoint() {
    let home = Home::with_tiny_model();
    let data = letters(&home, 12);
    let folder = home.path().join("run");
    let (data, output) = (data.to_str().unwrap(), folder.to_str().unwrap());
    home.run(fit(data, output, &["--steps", "4"])).exits(0);
    let before = fs::read(folder.join("checkpoint.safetensors")).unwrap();
    // Files may grow to 16 KiB: less than a checkpoint, more than what is written before it.
    let program = home.command(["--version"]).get_program().to_owned();
    let other = home.path().join("other");
    let script = "trap '' XFSZ; ulimit -f 32; exec \"$@\"";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script, "sh"]).arg(program).arg("--home").arg(home.path());
    command.args(fit(data, other.to_str().unwrap(), &["--steps", "4"]));
    let said = crate::support::finish(command, None).exits(1);
    said.says(&["cannot_write", "checkpoint.safetensors"]);
    assert!(fs::read_dir(&other).unwrap().count() <= 1, "more than the curve");
    assert_eq!(fs::read(folder.join("checkpoint.safetensors")).unwrap(), before);
}

/// An adapter all of whose numbers matter.
fn random_adapter(design: &Design) -> Adapter {
    let config = AdapterConfig {
        rank: 4,
        alpha: 8.0,
        rank_stabilized: true,
        projections: Projection::ALL.to_vec(),
    };
    let mut adapter = Adapter::new(config, design, 3);
    let generator = Generator::new(4, "b");
    for pair in adapter.pairs.clone() {
        for index in pair.b {
            adapter.values[index] = 0.3 * generator.normal(index as u64) as f32;
        }
    }
    adapter
}

fn families() -> [(&'static str, Gguf); 4] {
    [
        ("llama", tiny::llama()),
        ("qwen2", tiny::qwen2()),
        ("qwen3", tiny::qwen3()),
        ("gemma3", tiny::gemma3()),
    ]
}

#[test]
fn llama_cpp_computes_with_an_adapter_what_the_trainer_does() {
    for (name, model) in families() {
        let home = Home::new();
        let path = home.write("model.gguf", &model.to_bytes());
        let file = ModelFile::open(&path).unwrap();
        let checked = gguf::check(&file).unwrap();
        let design = checked_design(&checked);
        let adapter = random_adapter(&design);
        let adapter_path = home.path().join("adapter.gguf");
        let exported = Exported { adapter: adapter.clone(), base_sha256: Some("5a".repeat(32)) };
        lora::write_gguf(&adapter_path, name, &exported).unwrap();
        assert_eq!(lora::read_gguf(&adapter_path, &design).unwrap(), exported, "{name}");

        let generator = Generator::new(2, "tokens");
        let tokens: Vec<u32> =
            (0..150).map(|index| 4 + (generator.bits(index) % 250) as u32).collect();
        let (prompt, answer) = tokens.split_at(90);
        let answer = Answer { tokens: answer.to_vec(), weight: 1.0, token_weights: None };
        let examples = [Example { prompt: prompt.to_vec(), answers: vec![answer] }];
        let total = Normalizer::Token.total(&examples);
        let packed = Packed::new(&examples, Normalizer::Token, total);
        let backend = Backend::cpu(1).unwrap();
        let network =
            Network::new(&backend, &file, &checked, WeightType::Mapped, &adapter).unwrap();
        let trained = network.loss(&packed, Pass::plain()).unwrap();
        network.set_adapter(&Adapter::zero(adapter.config.clone(), &design)).unwrap();
        let base = network.loss(&packed, Pass::plain()).unwrap();

        let run = |adapter: Option<&Path>| {
            let adapter = adapter.map(AdapterSource::File);
            let model = Model::load_adapted(runtime(), &path, adapter).unwrap();
            let room = Room { tokens: 256, sequences: 1, batch_tokens: 256, cache: CacheType::F32 };
            let mut session = model.session(room, 1).unwrap();
            let tokens: Vec<Token> = tokens.iter().map(|&token| Token(token as i32)).collect();
            session.extend(0, &tokens[..90], &mut |_| true).unwrap();
            let scores = session.score(0, &tokens[90..]).unwrap();
            -scores.iter().sum::<f64>() / scores.len() as f64
        };
        let (with, without) = (run(Some(&adapter_path)), run(None));
        assert!((with - trained).abs() < 1e-4 * trained, "{name}: {with}, trainer {trained}");
        assert!((without - base).abs() < 1e-4 * base, "{name}: {without}, trainer {base}");
        assert!((trained - base).abs() > 1e-3 * base, "{name}: the adapter changes nothing");
    }
}

#[test]
fn adapters_survive_the_way_to_peft_and_back() {
    for (name, model) in families() {
        let home = Home::new();
        let path = home.write("model.gguf", &model.to_bytes());
        let file = ModelFile::open(&path).unwrap();
        let checked = gguf::check(&file).unwrap();
        let design = checked_design(&checked);
        let adapter = random_adapter(&design);
        lora::write_peft(home.path(), &adapter, &design).unwrap();
        assert_eq!(lora::read_peft(home.path(), &design).unwrap(), adapter, "{name}");
    }
}

#[test]
fn mistakes_are_told_with_their_line() {
    let home = Home::with_tiny_model();
    let output = home.path().join("run");
    let output = output.to_str().unwrap();
    for (text, exit, words) in [
        ("{\"prompt\": \"a\"}", 4, ["line 1", "answers"]),
        (
            "\n{\"prompt\": \"a\", \"answers\": [{\"text\": \"b\", \"weight\": -1}]}",
            4,
            ["line 2", "0 or"],
        ),
        ("{\"messages\": [{\"role\": \"user\", \"content\": \"b\"}]}", 4, ["line 1", "assistant"]),
        ("", 2, ["nothing to train on", "--help"]),
    ] {
        let data = home.write("data.jsonl", text.as_bytes());
        home.run(fit(data.to_str().unwrap(), output, &[])).exits(exit).says(&words);
    }
    home.run(fit("/nowhere.jsonl", output, &[])).exits(3).says(&["/nowhere.jsonl"]);
    let data = letters(&home, 3);
    let data = data.to_str().unwrap();
    home.run(fit(data, output, &["--device", "Nix9"])).exits(2).says(&["Nix9", "doctor"]);
    home.run(fit(data, output, &["--projections", "q,zz"])).exits(2).says(&["gate"]);
    let mut command = home.command(fit(data, output, &[]));
    command.env("RESTPG_MODEL_MEMORY_MIB_MAX", "1");
    crate::support::finish(command, None).exits(1).says(&["out_of_memory", "--pass-rows"]);
    home.run(fit(data, output, &["--steps", "2"])).exits(0);
    let other = fit(data, output, &["--steps", "3", "--resume"]);
    home.run(other).exits(2).says(&["other settings", "--output"]);
}

/// Every model of the catalogue learns two mails of real people nearly by heart.
#[test]
fn every_model_learns() {
    let home = Home::with_real_models(&crate::real::MODELS);
    let path = real_writing("email.jsonl").expect("the people's mails beside the checkout");
    let rows = fs::read_to_string(path).unwrap();
    let examples: Vec<String> = rows
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .flat_map(|row| row["queries"].as_array().unwrap().clone())
        .filter(|query| query["input"].as_str().unwrap().len() < 1000)
        .filter(|query| (100..600).contains(&query["output"].as_str().unwrap().len()))
        .map(|query| json!({"prompt": query["input"], "answers": [{"text": query["output"]}]}))
        .map(|line| line.to_string())
        .take(2)
        .collect();
    assert_eq!(examples.len(), 2);
    let data = home.write("mails.jsonl", examples.join("\n").as_bytes());
    let data = data.to_str().unwrap();
    for model in crate::real::MODELS {
        let folder = home.path().join(model);
        let mut command = home.command([
            "--json",
            "lora",
            "fit",
            "--model",
            model,
            "--data",
            data,
            "--held-out",
            data,
            "--steps",
            "8",
            "--learning-rate",
            "2e-3",
            "--output",
            folder.to_str().unwrap(),
        ]);
        // It takes longer than a command is otherwise given.
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let loss = |key: &str| said[key].as_f64().unwrap();
        let (before, after) = (loss("held_out_loss_before"), loss("held_out_loss"));
        assert!(after < 0.5 * before, "{model}: {before} before, {after} after");
    }
}
