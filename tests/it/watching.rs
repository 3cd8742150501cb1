//! `ingest --watch`: what changes below a path is taken in while it is followed.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::Home;

/// A pass begins a second after the last change, or ten after the first.
const PATIENCE: Duration = Duration::from_secs(40);

/// A command that follows a folder, ended with the test.
struct Watching(Child);

impl Watching {
    fn start(home: &Home, folder: &str) -> Self {
        let mut command = home.command(["ingest", "--watch", "--user", "me", folder]);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Ends it as the person would; its exit code.
    fn interrupt(&mut self) -> Option<i32> {
        let kill = format!("kill -INT {}", self.0.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_until_found(home: &Home, word: &str) {
    let start = Instant::now();
    loop {
        let found = home.run(["profile", "search", "--user", "me", word]);
        if found.code == Some(0) && found.stdout.contains(word) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{word} was never taken in: {found:#?}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// The story: a program that synchronizes notes replaces the whole folder now and then, rather than
/// the files in it.
#[test]
fn a_folder_is_followed_also_after_another_took_its_place() {
    let home = Home::new();
    home.write("sync/notes/a.txt", b"The otter came by.");
    let notes = home.path().join("sync/notes");
    let mut watching = Watching::start(&home, notes.to_str().unwrap());
    wait_until_found(&home, "otter");
    home.write("sync/notes/b.txt", b"The badger came by.");
    wait_until_found(&home, "badger");

    home.write("new/a.txt", b"The heron came by.");
    fs::rename(&notes, home.path().join("old")).unwrap();
    fs::rename(home.path().join("new"), &notes).unwrap();
    wait_until_found(&home, "heron");
    home.write("sync/notes/deep/c.txt", b"The crow came by.");
    wait_until_found(&home, "crow");
    assert_eq!(watching.interrupt(), Some(0));
}
