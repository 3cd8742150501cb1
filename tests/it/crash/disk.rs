//! No space, no right to write: a clear word, exit code 1, and nothing lost.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Dice, Run, Writings, assert_kept, assert_sound, held, reported};
use crate::held_to_modes::held_to_modes;
use crate::support::{Home, Said, binary, finish};

/// By how much the profile's files may grow before a write fails.
const ROOM_BYTES: u64 = 512 << 10;

/// A file system in memory that only commands sent into it see; it goes with its holder.
struct SmallDisk {
    holder: Child,
    path: PathBuf,
    /// How commands are sent into it.
    enter: Vec<OsString>,
}

impl SmallDisk {
    /// `None` where this machine does not let a test mount anything.
    fn mount(path: &Path, size: &str) -> Option<Self> {
        let ways: [(&[&str], &[&str]); 2] = [
            (&["-m"], &["-m"]),
            // Not as root: in a name space where one is.
            (&["-r", "-m"], &["-U", "-m", "--preserve-credentials"]),
        ];
        ways.iter().find_map(|(unshare, nsenter)| {
            let script = "mount -t tmpfs -o size=$1 tmpfs \"$0\" && echo mounted && exec cat";
            let holder = Command::new("unshare")
                .args(*unshare)
                .args(["sh", "-c", script])
                .arg(path)
                .arg(size)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .ok()?;
            let mut enter: Vec<OsString> = vec!["-t".into(), holder.id().to_string().into()];
            enter.extend(nsenter.iter().map(OsString::from));
            // From here on it is ended where it turns out to have no disk.
            let mut disk = Self { holder, path: path.to_owned(), enter };
            let mut line = String::new();
            BufReader::new(disk.holder.stdout.take()?).read_line(&mut line).ok()?;
            (line == "mounted\n").then_some(disk)
        })
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(&self.enter).arg("--").arg(program).env_remove("RESTPG_HOME");
        command.stdin(Stdio::null());
        command
    }

    fn remount(&self, option: &str) {
        let mut command = self.command("mount");
        command.arg("-o").arg(format!("remount,{option}")).arg(&self.path);
        assert!(command.status().unwrap().success(), "cannot remount with {option}");
    }

    /// The program with its home on this disk.
    fn run(&self, arguments: &[&OsStr]) -> Said {
        let mut command = self.command(binary());
        command.arg("--home").arg(&self.path).args(arguments);
        finish(command, None)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// The error names the profile, and says what a person should look at.
#[track_caller]
fn assert_clear(said: Said, home: &Path, words: &[&str]) {
    let said = said.exits(1).says(&["error: ", "help: ", home.to_str().unwrap()]);
    let stderr = said.stderr.to_lowercase();
    assert!(words.iter().any(|word| stderr.contains(word)), "none of {words:?} in {said:#?}");
}

/// Writings that are stored before there is trouble, and more of them than there is room for.
struct FewAndMany {
    few: Writings,
    many: Writings,
}

impl FewAndMany {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let few = Writings::new(&mut dice, 3, 60, 1);
        Self { few, many: Writings::new(&mut dice, 300, 1_500, 0) }
    }

    /// Asserts that what was stored before and what was reported since is there, and is whole.
    fn assert_kept(&self, run: Run<'_>, reported: &[String]) {
        let (few, many) = (&self.few.documents, &self.many.documents);
        let all: BTreeMap<String, usize> =
            few.iter().chain(many).map(|(place, count)| (place.clone(), *count)).collect();
        assert_kept(&held(run).unwrap(), &all, few.keys().chain(reported));
    }

    /// Asserts that the same command completes what could not be stored.
    fn assert_completed(&self, run: Run<'_>) {
        run(&self.many.ingest()).exits(0);
        let held = held(run).unwrap();
        assert_eq!(held.len(), self.few.documents.len() + self.many.documents.len());
        self.assert_kept(run, &self.many.documents.keys().cloned().collect::<Vec<_>>());
        assert_sound(run);
    }
}

#[test]
fn a_full_disk_costs_nothing_that_was_stored() {
    let home = Home::new();
    let place = home.path().join("disk");
    fs::create_dir(&place).unwrap();
    let Some(disk) = SmallDisk::mount(&place, "3m") else {
        // The next test has no room either, by other means, on every machine.
        println!("this machine does not let a test mount a small disk");
        return;
    };
    let run = |arguments: &[&OsStr]| disk.run(arguments);
    let writings = FewAndMany::new(1);
    run(&writings.few.ingest()).exits(0);
    let said = run(&writings.many.ingest());
    let stored = reported(&said.stderr);
    assert_clear(said, &place, &["space", "disk"]);
    // There is no need to make room only to read.
    writings.assert_kept(&run, &stored);

    disk.remount("size=256m");
    writings.assert_kept(&run, &stored);
    assert_sound(&run);
    writings.assert_completed(&run);
}

/// A file that may not grow beyond `bytes_max`: writing more fails, as on a full disk.
fn limited(command: &Command, bytes_max: u64) -> Command {
    // POSIX counts blocks of 512 bytes. Whoever does not ignore the signal would die of it.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", bytes_max / 512);
    let mut limited = Command::new("sh");
    limited.arg("-c").arg(script).arg(command.get_program()).args(command.get_args());
    limited.env_remove("RESTPG_HOME").stdin(Stdio::null());
    limited
}

/// The size of the largest file of the profiles.
fn profile_bytes(home: &Home) -> u64 {
    let files = fs::read_dir(home.path().join("profiles")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).max().unwrap()
}

#[test]
fn a_write_that_fails_costs_nothing_that_was_stored() {
    let writings = FewAndMany::new(2);
    let home = Home::new();
    let run = |arguments: &[&OsStr]| home.run(arguments);
    run(&writings.few.ingest()).exits(0);
    let bytes_max = profile_bytes(&home) + ROOM_BYTES;

    let said = finish(limited(&home.command(writings.many.ingest()), bytes_max), None);
    let stored = reported(&said.stderr);
    assert_clear(said, home.path(), &["space", "disk"]);
    writings.assert_kept(&run, &stored);
    assert_sound(&run);
    writings.assert_completed(&run);
}

/// What `ingest` says while the profiles cannot be written; they must be as before afterwards.
fn assert_refused_and_kept(
    home: &Home,
    words: &[&str],
    refuse: impl FnOnce(&Path) -> Option<Said>,
    permit: impl FnOnce(&Path),
) {
    let before = Writings::new(&mut Dice(4), 3, 60, 0);
    home.run(before.ingest()).exits(0);
    let profiles = home.path().join("profiles");
    let said = refuse(&profiles);
    permit(&profiles);
    match said {
        Some(said) => assert_clear(said, &profiles, words),
        None => println!("this machine does not let root give up its rights"),
    }
    let run = |arguments: &[&OsStr]| home.run(arguments);
    assert_eq!(held(&run).unwrap(), before.documents);
    assert_sound(&run);
}

#[test]
fn a_profile_folder_that_may_not_be_written_is_named() {
    let home = Home::new();
    let more = Writings::new(&mut Dice(5), 3, 60, 0);
    assert_refused_and_kept(
        &home,
        &["permission", "read-only"],
        |profiles| {
            fs::set_permissions(profiles, Permissions::from_mode(0o555)).unwrap();
            held_to_modes(&home.command(more.ingest())).map(|command| finish(command, None))
        },
        |profiles| fs::set_permissions(profiles, Permissions::from_mode(0o700)).unwrap(),
    );
    home.run(more.ingest()).exits(0);
}

#[test]
fn a_disk_that_became_read_only_is_named() {
    let home = Home::new();
    let place = home.path().join("disk");
    fs::create_dir(&place).unwrap();
    let Some(disk) = SmallDisk::mount(&place, "64m") else {
        // The other tests of this file refuse writing by other means, on every machine.
        println!("this machine does not let a test mount a small disk");
        return;
    };
    let (few, more) =
        (Writings::new(&mut Dice(6), 3, 60, 0), Writings::new(&mut Dice(7), 3, 60, 0));
    disk.run(&few.ingest()).exits(0);
    disk.remount("ro");
    assert_clear(disk.run(&more.ingest()), &place, &["permission", "read-only"]);
    disk.remount("rw");
    let run = |arguments: &[&OsStr]| disk.run(arguments);
    assert_eq!(held(&run).unwrap(), few.documents);
    assert_sound(&run);
}

#[test]
fn a_profile_folder_that_is_no_folder_is_named() {
    let more = Writings::new(&mut Dice(8), 3, 60, 0);
    let aside = |profiles: &Path| profiles.with_file_name("aside");
    let back = |profiles: &Path| {
        fs::remove_file(profiles).unwrap();
        fs::rename(aside(profiles), profiles).unwrap();
    };
    let make: [fn(&Path); 2] = [
        |profiles| fs::write(profiles, "").unwrap(),
        |profiles| symlink("missing/folder", profiles).unwrap(),
    ];
    for make in make {
        let home = Home::new();
        let refuse = |profiles: &Path| {
            fs::rename(profiles, aside(profiles)).unwrap();
            make(profiles);
            Some(home.run(more.ingest()))
        };
        assert_refused_and_kept(&home, &["folder", "permission", "file exists"], refuse, back);
    }
}
