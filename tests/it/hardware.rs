//! What there is to compute on, and models that do not fit.

use std::process::Stdio;
use std::time::Duration;

use restpg_edge::gguf::{self, ModelFile};
use restpg_edge::llama::{CacheType, MemoryEstimate, Room, layers_that_fit};

use crate::support::Home;
use crate::tiny;
use crate::writing::with_profile;

#[test]
fn the_doctor_tells_what_a_run_would_take() {
    let home = Home::with_tiny_model();
    let told = home.run(["--json", "doctor"]).exits(0).json();
    assert!(told["devices"].as_array().unwrap().iter().any(|device| device["kind"] == "cpu"));
    assert_eq!(told["training_lacks"]["CPU"], serde_json::json!([]));
    assert_eq!(told["threads"], 1);
    let fit = &told["fit"];
    assert_eq!(fit["context_tokens"], 1024);
    // 2 blocks of 2 key heads of 16: keys and values, two bytes each.
    assert_eq!(fit["memory"]["cache_bytes"], 2 * 2 * 2 * 16 * 2 * 1024);
    let parts = fit["memory"].as_object().unwrap().values().map(|part| part.as_u64().unwrap());
    assert_eq!(fit["memory_bytes"].as_u64().unwrap(), parts.sum::<u64>());
    assert_eq!(fit["fits"], true);
    let lines = home.run(["doctor"]).exits(0).stdout;
    assert!(lines.contains("fits          yes"), "{lines}");
    // A model that is not here is said to be so, with the way to it.
    let mut command = home.command(["doctor"]);
    command.env("RESTPG_MODEL_NAME", "gemma-3-270m");
    let missing = crate::support::finish(command, None).exits(1);
    assert!(missing.stdout.contains("model pull gemma-3-270m"), "{missing:#?}");
}

#[test]
fn a_model_that_does_not_fit_is_refused_before_it_is_loaded() {
    let home = with_profile();
    let mut command = home.command(["-v", "generate", "--user", "me", "the kettle"]);
    command.env("RESTPG_MODEL_MEMORY_MIB_MAX", "1");
    let refused = crate::support::finish(command, None).exits(1);
    let refused = refused.says(&["would take", "memory_mib_max", "are available"]);
    assert!(!refused.stderr.contains("load_tensors"), "{refused:#?}");
    let mut command = home.command(["doctor"]);
    command.env("RESTPG_MODEL_MEMORY_MIB_MAX", "1");
    crate::support::finish(command, None).exits(1);
}

#[test]
fn a_context_that_fits_is_proposed() {
    let home = Home::new();
    let roomy = home.write("roomy.gguf", &tiny::llama().with_context(1 << 17).to_bytes());
    home.run(["model", "pull", roomy.to_str().unwrap(), "--name", "roomy"]).exits(0);
    let file = ModelFile::open(&roomy).unwrap();
    let checked = gguf::check(&file).unwrap();
    // Room for some of the answer that is asked for, not for all.
    let room =
        Room { tokens: 50_000, sequences: 2, batch_tokens: 512, cache: CacheType::default() };
    let bytes = MemoryEstimate::of(&checked, &room, 2, 1).total_bytes();
    let fixed = ["generate", "--user", "me", "--no-profile", "--model", "roomy", "--max-tokens"];
    let mut command = home.command(fixed.iter().chain(&["40000", "--best-of", "2", "the kettle"]));
    command.env("RESTPG_MODEL_MEMORY_MIB_MAX", (bytes >> 20).to_string());
    command.env("RESTPG_MODEL_CONTEXT_TOKENS", "0").env("RESTPG_MODEL_THREADS", "1");
    let refused = crate::support::finish(command, None).exits(1);
    let refused = refused.says(&["[sample] drafts_at_once = 1"]);
    assert!(!refused.stderr.contains("context_tokens ="), "{refused:#?}");
    // With what is proposed it begins.
    let mut command = home.command(fixed.iter().chain(&["40000", "the kettle"]));
    command.env("RESTPG_MODEL_MEMORY_MIB_MAX", "40");
    command.env("RESTPG_MODEL_CONTEXT_TOKENS", "0").env("RESTPG_MODEL_THREADS", "1");
    let refused = crate::support::finish(command, None).exits(1);
    let (_, proposed) = refused.stderr.split_once("context_tokens = ").unwrap_or_default();
    let tokens: String = proposed.chars().take_while(char::is_ascii_digit).collect();
    let tokens: u32 = tokens.parse().unwrap_or_else(|_| panic!("{refused:#?}"));
    let answer = (tokens - 1024).to_string();
    let mut command = home.command(fixed.iter().chain(&[answer.as_str(), "--seed", "1", "x"]));
    command.env("RESTPG_MODEL_MEMORY_MIB_MAX", "40").env("RESTPG_MODEL_THREADS", "1");
    command.env("RESTPG_MODEL_CONTEXT_TOKENS", tokens.to_string());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut begun = command.spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    // Not refused: it still writes, or has come to its end.
    begun.kill().unwrap();
    let said = begun.wait_with_output().unwrap();
    assert!(!String::from_utf8_lossy(&said.stderr).contains("would take"), "{said:?}");
}

#[test]
fn a_gpu_takes_the_layers_that_fit() {
    let home = Home::new();
    // Without an output of its own, and with one.
    for file in [tiny::llama(), tiny::qwen2()] {
        let path = home.write("tiny.gguf", &file.to_bytes());
        let file = ModelFile::open(&path).unwrap();
        let checked = gguf::check(&file).unwrap();
        let layers = |free_bytes| layers_that_fit(&checked, free_bytes, 1024, 64);
        assert_eq!(layers(0), 0);
        assert_eq!(layers(1 << 40), 3);
        let found: Vec<u32> = (0..400).map(|step| layers((128 << 20) + step * 4096)).collect();
        assert!(found.is_sorted());
        for count in 0..=3 {
            assert!(found.contains(&count), "{count} layers never fit: {found:?}");
        }
        // The output goes first, with as many rows as there are tokens.
        let output = found.iter().position(|&count| count == 1).unwrap() as u64 * 4096;
        let vocab = u64::from(checked.hyperparameters.n_vocab);
        assert!(output >= vocab * tiny::N_EMBD * 4, "{output}");
    }
}
