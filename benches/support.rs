//! What the benches share: the binary with the catalogue's models, and medians.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A home for the benches, kept between runs so that models are pulled once.
pub fn home() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-home")
}

/// The program, ready to run in the benches' home.
pub fn restpg_edge() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_restpg-edge"));
    command.arg("--json").arg("--home").arg(home());
    command
}

/// Runs the command, which must succeed, and returns its JSON object.
pub fn run(command: &mut Command) -> Value {
    let Output { status, stdout, stderr } = command.output().expect("the binary was built");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).expect("--json prints one object")
}

/// The file of a model, which is pulled where it is one of the catalogue's and not here yet.
pub fn model_file(name: &str) -> PathBuf {
    let is_here = restpg_edge().args(["model", "show", name]).output();
    if !is_here.is_ok_and(|output| output.status.success()) {
        run(restpg_edge().args(["model", "pull", name]));
    }
    let shown = run(restpg_edge().args(["model", "show", name]));
    PathBuf::from(shown["path"].as_str().expect("a path"))
}

/// The middle value.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
