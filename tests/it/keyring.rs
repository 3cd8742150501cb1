//! Keys in the system's keyring: a real Secret Service on a bus of its own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Said, binary, finish};

const PATIENCE: Duration = Duration::from_secs(20);
const PLAIN_KEY_BYTES: usize = 32;

/// A person's desktop: a home with the XDG folders in it, a session bus, and on it a keyring that
/// was unlocked at login.
struct Desktop {
    home: tempfile::TempDir,
    bus: Option<Child>,
    keyring: Option<Child>,
}

impl Desktop {
    fn without_keyring() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("notes")).unwrap();
        fs::write(home.path().join("notes/kettle.txt"), "Dear Ann, the kettle is on.").unwrap();
        Self { home, bus: None, keyring: None }
    }

    fn new() -> Self {
        let mut desktop = Self::without_keyring();
        let bus = desktop.isolated("dbus-daemon");
        let mut bus = spawn(
            bus,
            &["--session", "--nofork", "--print-address=1", "--address"],
            &[desktop.bus_address()],
        );
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.starts_with("unix:"), "the bus says {address:?}");
        desktop.bus = Some(bus);
        let keyring = desktop.isolated("gnome-keyring-daemon");
        let mut keyring =
            spawn(keyring, &["--foreground", "--unlock", "--components=secrets"], &[]);
        keyring.stdin.take().unwrap().write_all(b"the login passphrase").unwrap();
        desktop.keyring = Some(keyring);
        desktop.wait_for_keyring();
        desktop
    }

    fn wait_for_keyring(&self) {
        let start = Instant::now();
        loop {
            let mut asking = self.isolated("dbus-send");
            asking.args(["--session", "--print-reply=literal", "--dest=org.freedesktop.DBus", "/"]);
            asking.args(["org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"]);
            let answer = asking.output().unwrap();
            if String::from_utf8_lossy(&answer.stdout).contains("true") {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "no keyring came up: {answer:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn bus_address(&self) -> String {
        format!("unix:path={}", self.home.path().join("bus").display())
    }

    /// A command that knows no other home and no other bus than these.
    fn isolated(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home.path()).env("XDG_RUNTIME_DIR", self.home.path());
        command.env("DBUS_SESSION_BUS_ADDRESS", self.bus_address());
        command
    }

    /// Runs the program as the person would, without `--home`.
    fn run(&self, arguments: &[&str]) -> Said {
        let mut command = self.isolated(binary());
        command.args(arguments).current_dir(self.home.path()).stdin(Stdio::null());
        finish(command, None)
    }

    fn key_file(&self) -> PathBuf {
        self.home.path().join(".config/restpg-edge/keys/me.key")
    }

    fn protection(&self) -> serde_json::Value {
        self.run(&["--json", "profile", "list"]).exits(0).json()["protected_by"]["me"].clone()
    }

    fn assert_opens(&self) {
        let found = self.run(&["profile", "search", "--user", "me", "kettle"]).exits(0);
        assert!(found.stdout.contains("kettle"), "{found:#?}");
    }

    /// The keyring ends, as when the person logs out.
    fn log_out(&mut self) {
        for mut child in [self.keyring.take(), self.bus.take()].into_iter().flatten() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        self.log_out();
    }
}

fn spawn(mut command: Command, arguments: &[&str], more: &[String]) -> Child {
    command.args(arguments).args(more);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let spawned = command.spawn();
    spawned.unwrap_or_else(|error| panic!("{command:?}: {error}: `.ci/tools test` installs it"))
}

#[test]
fn a_new_profile_is_sealed_with_the_keyring_and_opens_only_with_it() {
    let mut desktop = Desktop::new();
    desktop.run(&["ingest", "--user", "me", "notes"]).exits(0);
    assert_eq!(desktop.protection(), "keyring");
    desktop.assert_opens();

    desktop.log_out();
    desktop
        .run(&["profile", "list", "--user", "me"])
        .exits(1)
        .says(&["keyring", "profile unprotect"]);
    // Taking more in must not make another key of it.
    desktop.run(&["ingest", "--user", "me", "notes"]).exits(1);
    assert_eq!(desktop.protection(), "keyring");
}

#[test]
fn a_key_goes_into_the_keyring_and_out_again() {
    let desktop = Desktop::new();
    desktop.run(&["ingest", "--user", "me", "notes"]).exits(0);
    desktop.run(&["profile", "unprotect", "--user", "me"]).exits(0);
    assert_eq!(desktop.protection(), "permissions");
    assert_eq!(fs::read(desktop.key_file()).unwrap().len(), PLAIN_KEY_BYTES);
    desktop.assert_opens();
    let said = desktop.run(&["--json", "profile", "protect", "--user", "me", "--keyring"]);
    assert_eq!(said.exits(0).json(), json!({"user": "me", "protected": true, "by": "keyring"}));
    desktop.assert_opens();
    let again = ["profile", "protect", "--user", "me", "--keyring"];
    desktop.run(&again).exits(1).says(&["system's keyring already", "unprotect"]);
    // From there to a passphrase, without ever being plain.
    let passphrase = desktop.home.path().join("passphrase");
    fs::write(&passphrase, "correct horse").unwrap();
    fs::set_permissions(&passphrase, fs::metadata(desktop.key_file()).unwrap().permissions())
        .unwrap();
    let file = passphrase.to_str().unwrap();
    let protect = ["profile", "protect", "--user", "me", "--passphrase-file", file];
    desktop.run(&protect).exits(0);
    assert_eq!(desktop.protection(), "passphrase");
    desktop.run(&["profile", "list", "--user", "me"]).exits(2);
    desktop.run(&["profile", "list", "--user", "me", "--passphrase-file", file]).exits(0);
    desktop.run(&again).exits(1).says(&["passphrase already"]);
}

/// The story: somebody took a copy of the whole home before the profile was deleted.
#[test]
fn a_deleted_profile_cannot_be_read_from_a_copy_of_its_files() {
    let desktop = Desktop::new();
    desktop.run(&["ingest", "--user", "me", "notes"]).exits(0);
    let database = desktop.home.path().join(".local/share/restpg-edge/profiles/me.db");
    let copies = tempfile::tempdir().unwrap();
    let files =
        [(database, copies.path().join("db")), (desktop.key_file(), copies.path().join("key"))];
    for (path, copy) in &files {
        fs::copy(path, copy).unwrap();
    }
    desktop.run(&["profile", "delete", "--user", "me", "--yes"]).exits(0);
    for (path, copy) in &files {
        fs::copy(copy, path).unwrap();
    }
    desktop.run(&["profile", "list", "--user", "me"]).exits(1).says(&["no longer holds"]);
}

#[test]
fn an_imported_profile_is_sealed_with_the_keyring_too() {
    let desktop = Desktop::new();
    desktop.run(&["ingest", "--user", "me", "notes"]).exits(0);
    let passphrase = desktop.home.path().join("passphrase");
    fs::write(&passphrase, "correct horse").unwrap();
    fs::set_permissions(&passphrase, fs::metadata(desktop.key_file()).unwrap().permissions())
        .unwrap();
    let file = passphrase.to_str().unwrap();
    let export = ["profile", "export", "--user", "me", "--to", "me.age"];
    desktop.run(&[&export[..], &["--export-passphrase-file", file]].concat()).exits(0);
    desktop.run(&["profile", "delete", "--user", "me", "--yes"]).exits(0);
    let import = ["--json", "profile", "import", "me.age", "--export-passphrase-file", file];
    let imported = desktop.run(&import).exits(0).json();
    assert_eq!((&imported["by"], &imported["protected"]), (&json!("keyring"), &json!(true)));
    desktop.assert_opens();
}

/// The story: the person deletes a profile over ssh, where the keyring cannot be reached.
#[test]
fn a_deletion_that_cannot_reach_the_keyring_says_so() {
    let mut desktop = Desktop::new();
    desktop.run(&["ingest", "--user", "me", "notes"]).exits(0);
    desktop.log_out();
    let said = desktop.run(&["profile", "delete", "--user", "me", "--yes"]);
    said.exits(0).says(&["keyring could not be reached"]);
    assert!(!desktop.key_file().exists());
}

#[test]
fn without_a_keyring_the_key_lies_in_its_file_and_the_person_is_told() {
    let desktop = Desktop::without_keyring();
    desktop
        .run(&["ingest", "--user", "me", "notes"])
        .exits(0)
        .says(&["no keyring", "profile protect"]);
    assert_eq!(desktop.protection(), "permissions");
    desktop.run(&["profile", "protect", "--user", "me", "--keyring"]).exits(1).says(&["keyring"]);
    desktop.assert_opens();
    assert_eq!(fs::read(desktop.key_file()).unwrap().len(), PLAIN_KEY_BYTES);
}
