//! Folders: what is no file, what cannot be read, what changes meanwhile, and names.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use super::{Case, Input, built};

/// One for each kind of file, and none of ours.
const ENDINGS: [&str; 14] = [
    "txt", "md", "org", "rst", "html", "pdf", "docx", "odt", "eml", "mbox", "csv", "jsonl", "json",
    "png",
];
/// The folder that nobody may read.
const DENIED: &str = "denied";
/// How many files turn into pipes and back.
const TURNING: usize = 32;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        built("symbolic links in a loop", |folder| {
            symlink(folder, folder.join("loop")).unwrap();
            symlink("b.txt", folder.join("a.txt")).unwrap();
            symlink("a.txt", folder.join("b.txt")).unwrap();
            symlink("..", folder.join("up")).unwrap();
        }),
        built("a symbolic link out of the folder", |folder| {
            symlink("../outside/secret.txt", folder.join("link.txt")).unwrap();
            symlink("../outside", folder.join("outside")).unwrap();
        }),
        built("symbolic links to nowhere and to devices", |folder| {
            symlink("nowhere", folder.join("nowhere.txt")).unwrap();
            symlink("/dev/zero", folder.join("zero.txt")).unwrap();
            symlink("/proc/self/mem", folder.join("memory.txt")).unwrap();
        }),
        built("a pipe that nobody writes to", |folder| pipe(&folder.join("pipe.txt"))),
        built("a socket", |folder| drop(UnixListener::bind(folder.join("s.txt")).unwrap())),
        built("a folder with the name of a message", |folder| {
            fs::create_dir_all(folder.join("letter.eml/notes.pdf")).unwrap();
            fs::create_dir_all(folder.join("conversations.json/box.mbox")).unwrap();
        }),
        built("folders 300 deep", |folder| {
            let deep = folder.join("d/".repeat(300));
            fs::create_dir_all(&deep).unwrap();
            fs::write(deep.join("deep.txt"), "Written at the bottom.\n").unwrap();
        }),
        built("a file of a terabyte without content", |folder| {
            File::create(folder.join("terabyte.txt")).unwrap().set_len(1 << 40).unwrap();
        }),
        built("a file of 60 MiB without content", |folder| {
            File::create(folder.join("sparse.txt")).unwrap().set_len(60 << 20).unwrap();
        }),
        built("empty files of every kind", |folder| {
            for ending in ENDINGS {
                File::create(folder.join(format!("empty.{ending}"))).unwrap();
            }
        }),
        built("one file of every kind that is binary", |folder| {
            let bytes: Vec<u8> = (0..=255_u8).rev().cycle().take(30_000).collect();
            for ending in ENDINGS {
                fs::write(folder.join(format!("binary.{ending}")), &bytes).unwrap();
            }
        }),
    ];
    cases.extend(name_cases());
    cases.extend(changing_cases());
    cases
}

fn name_cases() -> Vec<Case> {
    vec![
        built("names with line ends and commands", |folder| {
            for name in ["a\nstored b.txt", "c\r\x1b[2J.txt", "-rf.txt", "--json.txt", "#x?%00.txt"]
            {
                fs::write(folder.join(name), format!("The file {name:?}.\n")).unwrap();
            }
        }),
        built("names that are not UTF-8", |folder| {
            for name in [&b"caf\xe9.txt"[..], b"\xff\xfe.md", b"a.\xff"] {
                let text = format!("The file {}.\n", name.escape_ascii());
                fs::write(folder.join(OsStr::from_bytes(name)), text).unwrap();
            }
        }),
        built("names of 255 bytes", |folder| {
            for ending in [".txt", ".md", ".eml"] {
                let name = format!("{}{ending}", "n".repeat(255 - ending.len()));
                fs::write(folder.join(name), format!("A long name and {ending}.\n")).unwrap();
            }
        }),
        built("names that are only an ending", |folder| {
            for name in [".txt", "..txt", "...", "txt", " .txt", "\u{202e}txt.exe.txt"] {
                fs::write(folder.join(name), format!("The file {name:?}.\n")).unwrap();
            }
        }),
    ]
}

fn changing_cases() -> Vec<Case> {
    vec![
        Case { name: "a file and a folder that nobody may read", input: Input::Denied(deny) },
        Case { name: "a file that vanishes and comes back", input: Input::Changing(vanish) },
        Case { name: "a file that shrinks and grows", input: Input::Changing(resize) },
        Case { name: "files that turn into pipes and back", input: Input::Changing(turn) },
    ]
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn deny(folder: &Path) {
    fs::create_dir_all(folder.join(DENIED)).unwrap();
    for name in ["denied.txt", "denied/within.txt"] {
        fs::write(folder.join(name), "Nobody may read this.\n").unwrap();
        fs::set_permissions(folder.join(name), Permissions::from_mode(0o000)).unwrap();
    }
    fs::set_permissions(folder.join(DENIED), Permissions::from_mode(0o000)).unwrap();
}

/// Makes the folder such that it can be removed again.
pub(super) fn permit(folder: &Path) {
    let denied = folder.join(DENIED);
    if denied.exists() {
        fs::set_permissions(denied, Permissions::from_mode(0o700)).unwrap();
    }
}

fn vanish(folder: &Path) {
    let (here, gone) = (folder.join("here.txt"), folder.join("gone"));
    fs::write(&here, "Now you see it. ".repeat(20_000)).unwrap();
    fs::rename(&here, &gone).unwrap();
    fs::rename(&gone, &here).unwrap();
    fs::remove_file(&here).unwrap();
}

fn resize(folder: &Path) {
    let mut file = File::create(folder.join("breathing.txt")).unwrap();
    for bytes in [0, 1 << 20, 5, 3 << 20] {
        file.set_len(bytes).unwrap();
        file.write_all(b"In and out. ").unwrap();
    }
}

/// Between the look at a file and its opening it may become a pipe, whose opening waits for ever.
fn turn(folder: &Path) {
    let outside = folder.parent().unwrap();
    let (text, pipe_path, link) =
        (outside.join("text"), outside.join("pipe"), outside.join("link"));
    if !text.exists() {
        pipe(&pipe_path);
        fs::write(&text, "This file may be a pipe by now.\n").unwrap();
    }
    for turned in [text, pipe_path] {
        for index in 0..TURNING {
            fs::hard_link(&turned, &link).unwrap();
            fs::rename(&link, folder.join(format!("turning-{index}.txt"))).unwrap();
        }
    }
}
