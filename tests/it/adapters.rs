//! Adapters of a profile: taken in, encrypted, put into use, gone back from.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use restpg_edge::llama::{AdapterSource, Model};
use restpg_edge::perplexity::log_likelihoods;
use serde_json::{Value, json};

use crate::support::{Home, runtime};
use crate::writing::with_profile;

/// A profile, and the folder of an adapter that was fitted to its default model.
fn with_adapter() -> (Home, String) {
    let home = with_profile();
    let line = |n: usize| {
        let answer = format!("zzzz {} zzzz", "zyx ".repeat(3 + n % 3));
        json!({"prompt": format!("letter {n}"), "answers": [{"text": answer}]}).to_string()
    };
    let lines: Vec<String> = (0..8).map(line).collect();
    let data = home.write("letters.jsonl", lines.join("\n").as_bytes());
    let folder = home.path().join("run").to_str().unwrap().to_owned();
    let fit = ["lora", "fit", "--data", data.to_str().unwrap(), "--output", &folder];
    let how = ["--steps", "12", "--learning-rate", "2e-2", "--rank", "4"];
    home.run(fit.iter().chain(&how)).exits(0);
    (home, folder)
}

fn add(home: &Home, path: &str) -> String {
    let added = home.run(["--json", "adapter", "add", "--user", "me", path]).exits(0).json();
    added["adapter"].as_str().unwrap().to_owned()
}

fn write(home: &Home, more: &[&str]) -> Value {
    let fixed = ["--json", "generate", "--user", "me", "--max-tokens", "16", "--seed", "3"];
    let request = ["the kettle"];
    home.run(fixed.iter().chain(more).chain(&request)).exits(0).json()
}

fn listed(home: &Home) -> Vec<(String, String)> {
    let said = home.run(["--json", "adapter", "list", "--user", "me"]).exits(0).json();
    let field = |adapter: &Value, name: &str| adapter[name].as_str().unwrap().to_owned();
    let adapters = said["adapters"].as_array().unwrap().iter();
    adapters.map(|adapter| (field(adapter, "id"), field(adapter, "state"))).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn an_adapter_in_use_changes_what_is_written_until_it_is_gone_back_from() {
    let (home, folder) = with_adapter();
    let before = write(&home, &[]);
    assert_eq!(before["adapter"], Value::Null);
    let id = add(&home, &folder);
    assert_eq!(write(&home, &[])["answer"], before["answer"]);

    home.run(["adapter", "use", "--user", "me", &id]).exits(0).says(&[&id, "in use"]);
    let adapted = write(&home, &[]);
    assert_eq!(adapted["adapter"], id.as_str());
    // What the base model made of the same prompt is not taken for what the adapter makes of it.
    assert_eq!(adapted["usage"]["cached_tokens"], 0);
    let text = |draft: &Value| (draft["reasoning"].clone(), draft["answer"].clone());
    assert_ne!(text(&adapted), text(&before));
    assert_eq!(text(&write(&home, &["--adapter", "none"])), text(&before));
    assert_eq!(text(&write(&home, &["--adapter", &id])), text(&adapted));
    let newest = home.run(["--json", "drafts", "show", "--user", "me"]).exits(0).json();
    assert_eq!(newest["adapter"], id.as_str());

    let second = add(&home, &folder);
    home.run(["adapter", "use", "--user", "me", &second]).exits(0);
    let mut states = listed(&home);
    states.sort();
    let mut expected = [(id.clone(), "retired".to_owned()), (second.clone(), "adopted".to_owned())];
    expected.sort();
    assert_eq!(states, expected);
    let rollback = ["--json", "adapter", "rollback", "--user", "me"];
    let back = home.run(rollback).exits(0).json();
    assert_eq!((&back["out_of_use"], &back["in_use"]), (&json!(second), &json!(id)));
    assert_eq!(home.run(rollback).exits(0).json()["in_use"], Value::Null);
    home.run(["adapter", "rollback", "--user", "me"]).exits(3).says(&["no adapter"]);
    assert_eq!(text(&write(&home, &[])), text(&before));
}

#[test]
fn an_adapter_lies_encrypted_and_leaves_only_when_it_is_exported() {
    let (home, folder) = with_adapter();
    let id = add(&home, &folder);
    home.run(["adapter", "use", "--user", "me", &id]).exits(0);
    write(&home, &[]);
    let plain = fs::read(Path::new(&folder).join("adapter.gguf")).unwrap();
    let piece = &plain[plain.len() - 64..];
    for file in files_below(&home.path().join("profiles")) {
        let bytes = fs::read(&file).unwrap();
        let is_there = bytes.windows(piece.len()).any(|window| window == piece);
        assert!(!is_there, "{} holds it in plain", file.display());
    }
    let to = home.path().join("mine.gguf");
    let export = ["adapter", "export", "--user", "me", &id, "--to", to.to_str().unwrap()];
    home.run(export).exits(0).says(&["not encrypted"]);
    assert_eq!(fs::read(&to).unwrap(), plain);
    home.run(export).exits(2).says(&["is there already", "--force"]);
    let again = ["--json"].iter().chain(&export).chain(&["--force"]);
    let said = home.run(again).exits(0).json();
    assert!(said["warning"].as_str().unwrap().contains("not encrypted"), "{said}");
    let shown = home.run(["--json", "adapter", "show", "--user", "me", &id]).exits(0).json();
    assert_eq!(shown["size_bytes"], plain.len());
    home.run(["adapter", "show", "--user", "me", &id]).exits(0);
    home.run(["adapter", "remove", "--user", "me", &id]).exits(0);
    assert!(listed(&home).is_empty());
    home.run(["profile", "check", "--user", "me"]).exits(0);
}

/// Also to a path that is no text, and leaving what lies beside it.
#[cfg(unix)]
#[test]
fn an_adapter_is_exported_to_any_path_for_its_owner_alone() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    let (home, folder) = with_adapter();
    let id = add(&home, &folder);
    let beside = home.write("mine.gguf.part", b"somebody's");
    let plain = home.path().join("mine.gguf");
    let odd = home.path().join(OsStr::from_bytes(b"odd\xff.gguf"));
    for to in [&plain, &odd] {
        let export = ["--json", "adapter", "export", "--user", "me", &id, "--to"].map(OsStr::new);
        let said = home.run(export.into_iter().chain([to.as_os_str()])).exits(0).json();
        assert!(said["to"].as_str().unwrap().ends_with(".gguf"), "{said}");
        assert_eq!(to.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::read(beside).unwrap(), b"somebody's");
    let nowhere = ["adapter", "export", "--user", "me", &id, "--to", "/no/such/mine.gguf"];
    home.run(nowhere).exits(1).says(&["/no/such/mine.gguf", "folder that is there"]);
    let remove = ["--json", "adapter", "remove", "--user", "me", &id];
    assert_eq!(home.run(remove).exits(0).json()["in_use_again"], Value::Null);
}

#[test]
fn an_adapter_of_another_model_is_refused_by_name() {
    let (home, folder) = with_adapter();
    let id = add(&home, &folder);
    let other = ["generate", "--user", "me", "--model", "tiny", "--adapter", &id, "the kettle"];
    home.run(other).exits(2).says(&[&id, "belongs to roomy, not to tiny", "--model roomy"]);
    let elsewhere = ["adapter", "add", "--user", "me", "--model", "tiny", &folder];
    home.run(elsewhere).exits(4).says(&["another model"]);
    home.run(["adapter", "use", "--user", "me", "zz"]).exits(3).says(&["zz", "adapter list"]);
    home.run(["generate", "--user", "me", "--adapter", "zz", "the kettle"]).exits(3);
    home.run(["generate", "--user", "me", "--no-profile", "--adapter", &id, "x"]).exits(2);
    let notes = home.path().join("notes/a.md");
    home.run(["adapter", "add", "--user", "me", notes.to_str().unwrap()]).exits(4);
    home.write("config.toml", b"[model]\nname = \"tiny\"\n");
    home.run(["adapter", "use", "--user", "me", &id]).exits(0).says(&["belongs to", "--model"]);
}

/// The model with the adapter in its weights predicts what the model with the adapter beside it does.
#[test]
fn a_merged_model_is_the_model_with_its_adapter() {
    let (home, folder) = with_adapter();
    let id = add(&home, &folder);
    let path = |name: &str| home.path().join(name);
    let (plain, merged) = (path("mine.gguf"), path("merged.gguf"));
    let export = |to: &Path, more: &[&str]| {
        let to = to.to_str().unwrap();
        let arguments = ["adapter", "export", "--user", "me", &id, "--to", to];
        home.run(arguments.iter().chain(more)).exits(0).says(&["not encrypted"]);
    };
    export(&plain, &[]);
    export(&merged, &["--merge"]);
    let base = path("roomy.gguf");
    let predicted = |file: &Path, adapter: Option<&Path>| {
        let source = adapter.map(AdapterSource::File);
        let model = Model::load_adapted(runtime(), file, source).unwrap();
        let text = "zzzz zyx zyx zyx zyx zzzz letter";
        let never = AtomicBool::new(false);
        log_likelihoods(&model, text, 1, &never).unwrap().unwrap()
    };
    let (expected, found) = (predicted(&base, Some(&plain)), predicted(&merged, None));
    let apart =
        |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let changed = apart(&predicted(&base, None), &expected);
    assert!(changed > 0.1, "the adapter changes nothing: {changed}");
    let lost = apart(&expected, &found);
    assert!(lost < 0.02 * changed, "{lost} of {changed}");
}
