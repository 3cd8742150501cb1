//! What a person does wrong gets an answer that helps: the exit code of the contract, what is
//! wrong, and what to do next.

use std::io::Read;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Home;
use crate::tiny;

#[test]
fn no_such_user() {
    let home = Home::with_tiny_model();
    home.run(["generate", "--user", "nobody", "hello"])
        .exits(3)
        .says(&["no user called \"nobody\"", "ingest --user \"nobody\""]);
    home.run_with_input(["ingest", "--user", "Ann", "-"], "text").exits(0);
    home.run(["profile", "list", "--user", "ann"]).exits(3).says(&["Users: Ann"]);
    home.run(["generate", "--user", "../../etc", "hello"]).exits(2).says(&["letters, digits"]);
}

#[test]
fn an_empty_profile() {
    let home = Home::with_tiny_model();
    let empty = home.write("empty.txt", b" \n");
    home.run(["ingest", "--user", "me", empty.to_str().unwrap()]).exits(0).says(&["no text"]);
    home.run(["generate", "--user", "me", "hello"]).exits(3).says(&["is empty", "--no-profile"]);
}

#[test]
fn what_a_measurement_would_not_read_is_refused() {
    let home = Home::with_tiny_model();
    let people = home.write("people.jsonl", b"");
    let people = people.to_str().unwrap();
    let eval = |arguments: &[&str]| home.run(["eval", "--dataset", people].iter().chain(arguments));
    eval(&["--retrieval", "--systems", "sft"]).exits(2).says(&["sft is no system", "hybrid"]);
    eval(&["--output", "results", "--systems", "hybrid"]).exits(2).says(&["rest-pg"]);
    eval(&["--graders", "--output-tokens", "9"]).exits(2).says(&["--output-tokens"]);
    eval(&["--output", "results", "--k", "3"]).exits(2).says(&["--retrieval|--graders"]);
    // Several files behind one option.
    let files = ["eval", "--retrieval", "--dataset", people, "/no/such/people.jsonl"];
    home.run(files).exits(3).says(&["/no/such/people.jsonl"]);
}

#[test]
fn what_an_evaluation_cannot_come_to_is_said_before_it_begins() {
    let home = Home::new();
    let of_one = b"{\"user\": \"ann\", \"task\": \"email\", \"profile\": [{\"id\": \"a\", \"text\": \"A \
        text.\"}], \"queries\": [{\"id\": \"b\", \"input\": \"a note\", \"output\": \"A note.\"}]}\n";
    let people = home.write("people.jsonl", of_one);
    let output = home.path().join("results");
    let eval =
        ["eval", "--dataset", people.to_str().unwrap(), "--output", output.to_str().unwrap()];
    // Without a model nothing is begun.
    home.run(eval).exits(3).says(&["model pull"]);
    assert!(!output.exists());
    let mute = home.write(
        "mute.toml",
        b"[reward]\nstyle_weight = 0.0\noriginality_weight = 0.0\n\
        similarity_weight = 0.0\noverlap_weight = 0.0\nlength_weight = 0.0\n",
    );
    let muted = ["--config", mute.to_str().unwrap()];
    home.run(muted.iter().chain(&eval)).exits(2).says(&["agreement_weight", "above 0 in another"]);
    home.run_with_input(["ingest", "--user", "me", "-"], "text").exits(0);
    let report = ["eval", "--user", "me", "--report", "/no/such/page.html"];
    home.run(report).exits(1).says(&["/no/such/page.html"]);
}

#[test]
fn what_is_missing_on_the_command_line_is_named() {
    let home = Home::new();
    for (line, missing) in [
        ("drafts remove --user me", "--all|DRAFT"),
        ("profile forget --user me", "DOC|--path"),
        ("eval", "--user <U>|--dataset"),
        ("train", "--user <U>"),
    ] {
        home.run(line.split(' ')).exits(2).says(&[missing]);
        home.run(["--json"].into_iter().chain(line.split(' '))).exits(2).says(&[missing]);
    }
    let page = home.run(["man", "train", "show"]).exits(0);
    assert!(page.stdout.contains("restpg\\-edge\\-train\\-show"), "{}", page.stdout);
    home.run(["man", "fly"]).exits(2).says(&["fly", "--help"]);
}

#[test]
fn a_mistyped_path_makes_no_profile() {
    let home = Home::new();
    home.run(["ingest", "--user", "me", "/no/such/folder"]).exits(4).says(&["/no/such/folder"]);
    home.run(["profile", "list", "--user", "me"]).exits(3);
}

#[test]
fn a_model_that_is_not_there() {
    let home = Home::new();
    home.run_with_input(["ingest", "--user", "me", "-"], "text").exits(0);
    home.run(["generate", "--user", "me", "hello"]).exits(3).says(&[
        "smollm2-135m-instruct",
        "model pull smollm2-135m-instruct",
        "98 MB",
    ]);
    home.run(["generate", "--user", "me", "--model", "gpt-5", "hello"]).exits(3).says(&[
        "no model called \"gpt-5\"",
        "gemma-3-270m",
        "hf:OWNER/REPO/FILE",
    ]);
    home.run(["model", "pull", "gpt-5"]).exits(3).says(&["gemma-3-270m"]);
    home.run(["model", "pull", "hf:nobody"]).exits(2).says(&["hf:OWNER/REPO/FILE"]);
    home.run(["model", "pull", "/no/such.gguf"]).exits(4).says(&["No such file"]);
}

#[test]
fn a_prompt_longer_than_the_context() {
    let home = Home::with_tiny_model();
    let long = "many words ".repeat(2000);
    home.run_with_input(["generate", "--user", "me", "--no-profile", "-"], &long)
        .exits(4)
        .says(&["tokens", "context_tokens"]);
}

#[test]
fn no_prompt_at_all() {
    let home = Home::with_tiny_model();
    home.run(["generate", "--user", "me", "--no-profile"]).exits(2).says(&["no prompt"]);
    home.run(["generate", "--user", "me", "--no-profile", " "]).exits(2).says(&["no prompt"]);
    let arguments = ["generate", "--user", "me", "--no-profile", "-"];
    home.run_with_input(arguments, "\n").exits(2);
}

#[test]
fn a_wrong_config() {
    let home = Home::new();
    home.write("config.toml", b"[generate]\ntemperature = 0.3\ntemprature = 0.4\n");
    home.run(["model", "list"]).exits(2).says(&[
        "config.toml:3:1",
        "unknown key temprature",
        "temperature",
    ]);
    home.write("config.toml", b"[generate]\ntemperature = = 0.3\n");
    home.run(["model", "list"]).exits(2).says(&["config.toml:2:15"]);
    home.write("config.toml", b"[generate]\ntemperature = \"hot\"\n");
    home.run(["model", "list"]).exits(2).says(&["config.toml:2:15", "must be a number"]);
    home.write("config.toml", b"[generate]\ntop_p = 3.0\n");
    home.run(["model", "list"]).exits(2).says(&["generate.top_p is 3"]);
    home.run(["--config", "/no/such/file", "model", "list"]).exits(2).says(&["--config"]);
}

#[test]
fn a_flag_out_of_range() {
    let home = Home::with_tiny_model();
    let arguments = ["generate", "--user", "me", "--no-profile", "--temperature", "-1", "hello"];
    home.run(arguments).exits(2);
    let arguments = ["generate", "--user", "me", "--no-profile", "--top-p", "7", "hello"];
    home.run(arguments).exits(2).says(&["top_p"]);
    home.run(["generate", "--user", "me", "--task", "poem", "hello"]).exits(2).says(&["review"]);
}

#[test]
fn errors_are_objects_on_request() {
    let home = Home::new();
    for (arguments, kind) in [
        (&["--json", "generate", "--user", "nobody", "hi"][..], "no_such_user"),
        (&["--json", "generate", "--nonsense"][..], "usage"),
        (&["--json", "model", "show", "none"][..], "no_such_model"),
    ] {
        let said = home.run(arguments);
        let object: Value = serde_json::from_str(&said.stderr).unwrap();
        assert_eq!(object["error"]["kind"], kind, "{said:#?}");
        assert!(object["error"]["message"].is_string());
        assert!(object["error"]["help"].is_string());
        assert_eq!(said.stdout, "");
    }
}

#[test]
fn the_key_of_a_profile_is_gone() {
    let home = Home::new();
    home.run_with_input(["ingest", "--user", "me", "-"], "text").exits(0);
    std::fs::remove_file(home.path().join("keys/me.key")).unwrap();
    home.run(["profile", "list", "--user", "me"]).exits(1).says(&["key", "backup"]);
}

#[test]
fn help_and_manual_are_there() {
    let home = Home::new();
    for arguments in [&["--help"][..], &["generate", "--help"], &["ingest", "--help"]] {
        let said = home.run(arguments).exits(0);
        assert!(said.stdout.contains("Examples:"), "{said:#?}");
    }
    assert!(home.run(["man"]).exits(0).stdout.contains(".TH restpg-edge"));
    assert!(home.run(["completions", "bash"]).exits(0).stdout.contains("complete"));
    assert!(home.run(["--version"]).exits(0).stdout.starts_with("restpg-edge "));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let home = Home::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = home.command(["man"]).stdout(writer).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}

/// A home whose model writes the same letter on and on, with room for minutes of it.
fn endless_home() -> Home {
    let home = Home::new();
    let token = tiny::llama().tokens().iter().position(|token| token == b"a").unwrap();
    let endless = tiny::always(token).with_context(1 << 20);
    let file = home.write("big.gguf", &endless.to_bytes());
    home.run(["model", "pull", file.to_str().unwrap(), "--name", "big"]).exits(0);
    let config = "[model]\nname = \"big\"\nthreads = 1\ncontext_tokens = 0\n\
                  [generate]\nrepeat_penalty = 1.0\ndry_multiplier = 0.0\n";
    home.write("config.toml", config.as_bytes());
    home
}

fn endless_generate(home: &Home, flags: &[&str]) -> Child {
    let arguments = ["generate", "--user", "me", "--no-profile", "--no-reasoning"];
    let mut command = home.command(flags.iter().chain(&arguments));
    command.args(["--max-tokens", "100000", "hello"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Sends the signal after a while; the process must end soon, with exit code 130.
fn interrupt(child: Child, signal: &str) -> Output {
    thread::sleep(Duration::from_secs(3));
    let kill = format!("kill {signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let interrupted = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(interrupted.elapsed() < Duration::from_secs(5));
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    output
}

/// The story: the draft goes the wrong way and the person presses Ctrl-C. What was written so far
/// is theirs, and the exit code tells scripts.
#[test]
fn an_interrupt_ends_cleanly_with_what_there_is() {
    let home = endless_home();
    for signal in ["-INT", "-TERM"] {
        let output = interrupt(endless_generate(&home, &[]), signal);
        assert!(output.stdout.starts_with(b"aaaa"), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"));
    }
    let output = interrupt(endless_generate(&home, &["--json"]), "-INT");
    let draft: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(draft["answer"].as_str().unwrap().starts_with("aaaa"));
}

/// The story: `generate … | head -c 9`. Nobody reads on, so nothing is written on.
#[test]
fn an_answer_that_nobody_reads_on_ends() {
    let home = endless_home();
    let mut child = endless_generate(&home, &[]);
    let mut beginning = [0; 9];
    child.stdout.take().unwrap().read_exact(&mut beginning).unwrap();
    assert_eq!(&beginning, b"aaaaaaaaa");
    let closed = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(closed.elapsed() < Duration::from_secs(5));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
