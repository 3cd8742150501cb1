//! Nothing leaves the machine: the kernel is asked which sockets each command opens.

use std::process::Command;

use crate::support::{Home, Said, binary, finish};
use crate::training;

/// Runs the command under strace and returns the calls about sockets that are not local ones.
fn network_calls(home: &Home, arguments: &[&str]) -> (Vec<String>, Said) {
    let installed = Command::new("strace").arg("--version").output();
    assert!(installed.is_ok(), "strace is missing: `.ci/tools test` installs it");
    let log = home.path().join("strace.log");
    let mut command = Command::new("strace");
    command.args(["-f", "-e", "trace=network", "-o"]).arg(&log).arg(binary());
    command.arg("--home").arg(home.path()).args(arguments).env_remove("RESTPG_HOME");
    command.env("NO_PROXY", "127.0.0.1");
    let said = finish(command, Some("Dear Ann, the kettle is on."));
    let log = std::fs::read_to_string(&log).unwrap();
    let is_call = |line: &&str| line.contains('(') && !line.contains("AF_UNIX");
    (log.lines().filter(is_call).map(str::to_owned).collect(), said)
}

#[test]
fn no_command_on_private_text_opens_a_socket() {
    let home = Home::with_tiny_model();
    let commands: [&[&str]; 11] = [
        &["ingest", "--user", "me", "-"],
        &["generate", "--user", "me", "--max-tokens", "4", "a note about the kettle"],
        &["profile", "list", "--user", "me"],
        &["profile", "search", "--user", "me", "kettle"],
        &["profile", "show", "--user", "me", ""],
        &["profile", "check", "--user", "me"],
        &["profile", "delete", "--user", "me", "--yes"],
        &["model", "list"],
        &["model", "show", "tiny"],
        &["model", "verify", "tiny"],
        &["model", "remove", "tiny"],
    ];
    for arguments in commands {
        let (calls, said) = network_calls(&home, arguments);
        said.exits(0);
        assert!(calls.is_empty(), "{arguments:?} made {calls:#?}");
    }
}

#[test]
fn neither_does_training_nor_what_comes_of_it() {
    let home = training::home();
    let sent = home.write("sent.txt", b"What was sent in the end, in words of its own.");
    let commands: [&[&str]; 11] = [
        &["generate", "--user", "me", "--max-tokens", "8", "a note about the kettle"],
        &["feedback", "--user", "me", "--file", sent.to_str().unwrap()],
        &["drafts", "list", "--user", "me"],
        &["train", "--user", "me", "--dry-run"],
        &["train", "--user", "me", "--rounds", "1", "--samples", "1"],
        &["train", "show", "--user", "me"],
        &["eval", "--user", "me"],
        &["adapter", "list", "--user", "me"],
        &["drafts", "remove", "--user", "me", "--all"],
        &["profile", "check", "--user", "me"],
        &["profile", "delete", "--user", "me", "--yes"],
    ];
    for arguments in commands {
        let (calls, said) = network_calls(&home, arguments);
        said.exits(0);
        assert!(calls.is_empty(), "{arguments:?} made {calls:#?}");
    }
}

/// The control: the same watch catches the one command that may use the network.
#[test]
fn the_watch_catches_a_command_that_does() {
    let home = Home::new();
    let hash = "0".repeat(64);
    let arguments = ["model", "pull", "https://127.0.0.1:9/model.gguf", "--sha256", &hash];
    let (calls, said) = network_calls(&home, &arguments);
    said.exits(1);
    assert!(calls.iter().any(|call| call.contains("AF_INET")), "{calls:#?}");
}
