//! A home folder, the binary run in it, and what it said.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use restpg_edge::ggml::Backend;
use restpg_edge::llama::Runtime;
use serde_json::Value;

use crate::tiny;

/// No command of a test may take longer; a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program under test.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_restpg-edge")
}

/// What a command did.
#[derive(Debug)]
pub struct Said {
    /// Exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// stdout as one JSON object.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Asserts that stderr says each of `words`.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is missing in {self:#?}");
        }
        self
    }
}

/// llama.cpp in the test's own process, where it can be started once.
pub fn runtime() -> Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::start().unwrap()).clone()
}

/// A folder for settings, models, profiles and keys, removed afterwards.
pub struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A home that has the tiny model and takes it by default.
    pub fn with_tiny_model() -> Self {
        let home = Self::new();
        let file = home.write("tiny.gguf", &tiny::llama().to_bytes());
        home.run(["model", "pull", file.to_str().unwrap(), "--name", "tiny"]).exits(0);
        home.write("config.toml", b"[model]\nname = \"tiny\"\nthreads = 1\n");
        home
    }

    /// A home that shares the real models, each pulled once as a user would.
    pub fn with_real_models(names: &[&str]) -> Self {
        let home = Self::new();
        let shared = real_models();
        for name in names {
            let pulled = Command::new(binary())
                .args(["--home".as_ref(), shared.as_os_str()])
                .args(["model", "pull", name])
                .output()
                .unwrap();
            let stderr = String::from_utf8_lossy(&pulled.stderr);
            assert!(pulled.status.success(), "cannot pull {name}: {stderr}");
        }
        std::os::unix::fs::symlink(shared.join("models"), home.path().join("models")).unwrap();
        home
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file below the home.
    pub fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The command, ready to run.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(binary());
        command.arg("--home").arg(self.path()).args(arguments);
        // Tests run beside each other, and threads that wait by spinning take the processors from
        // the ones that they wait for: two commands that compute then take ten times as long.
        command.env("OMP_WAIT_POLICY", "passive");
        command.env_remove("RESTPG_HOME").stdin(Stdio::null());
        command
    }

    /// Runs the command to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Said {
        finish(self.command(arguments), None)
    }

    /// Runs the command with `input` on its standard input.
    pub fn run_with_input<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &str,
    ) -> Said {
        finish(self.command(arguments), Some(input))
    }
}

fn real_models() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("real-models");
        std::fs::create_dir_all(folder.join("models")).unwrap();
        folder
    })
}

/// A file of real people's writing, where such a folder lies beside the checkout.
pub fn real_writing(file: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(file);
    path.is_file().then_some(path)
}

/// The writings that the project ships.
pub fn sample_writings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sample-writer")
}

/// Runs a command to its end, or fails where it does not come.
pub fn finish(mut command: Command, input: Option<&str>) -> Said {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().unwrap();
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        // A command that does not want its input may close it early.
        let _ = stdin.write_all(input.as_bytes());
    }
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let code = wait(&mut child, &command);
    Said { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, command: &Command) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{command:?} did not end within {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// The processor, or the device that RESTPG_TEST_DEVICE names.
pub fn device() -> Backend {
    match std::env::var("RESTPG_TEST_DEVICE") {
        Ok(name) => Backend::device(&name, 2).unwrap(),
        Err(_) => Backend::cpu(2).unwrap(),
    }
}
