//! Files below a path: regular ones of our kinds, in a stable order.
//!
//! Nothing is opened here but files without an ending, for their first bytes. Links in folders are
//! not followed; pipes, sockets and devices are never opened.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use walkdir::{DirEntry, WalkDir};

use super::{Kind, Problem, maildir};

/// Folders below folders; a deeper tree is a mistake or a trap.
const DEPTH_MAX: usize = 64;
/// Names that a note lists of files that are left alone.
const NAMES_SHOWN: usize = 5;

/// A file that is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundFile {
    /// Where it lies: absolute, without links.
    pub(super) path: PathBuf,
    /// What the store calls it: its path, but for messages in a Maildir.
    pub(super) place: PathBuf,
    pub(super) kind: Kind,
    /// Whether a person named it, or its kind: then it has to be of that kind.
    pub(super) named: bool,
    pub(super) size_bytes: u64,
    /// 0 where only the size tells whether it has changed.
    pub(super) modified_ns: i64,
}

/// A folder that was given.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Absolute, without links.
    pub(super) root: PathBuf,
    /// What could not be looked into, or vanished.
    pub(super) unreadable: HashSet<PathBuf>,
    /// The Maildirs in it.
    pub(super) maildirs: HashSet<PathBuf>,
    /// Whether it has files of ours.
    pub(super) has_files: bool,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) files: Vec<FoundFile>,
    /// Files in folders that are of none of our kinds.
    pub(super) skipped: usize,
    pub(super) problems: Vec<Problem>,
    /// Where the path is a folder, or nothing at all.
    pub(super) folder: Option<Walked>,
}

/// The files at or below `path`. A file that is named is read whatever its ending, as `kind` or
/// as plain text; in a folder it must be of one of our kinds, or `kind` given. Hidden files are
/// left alone, but for the folders that mail programs hide in a Maildir.
pub(super) fn files(path: &Path, kind: Option<Kind>, interrupt: &AtomicBool) -> Found {
    let mut found = Found::default();
    let name = path.display().to_string();
    let real = path.canonicalize().and_then(|real| Ok((fs::metadata(&real)?, real)));
    match real {
        Err(error) => {
            found.problems.push(Problem::lost(name, error.to_string()));
            let root = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let unreadable = HashSet::from([root.clone()]);
            found.folder = Some(Walked { root, unreadable, ..Walked::default() });
        }
        Ok((metadata, real)) if metadata.is_file() => {
            let is_message =
                |folder: &&Path| maildir::is_maildir(folder) || maildir::is_flagged(&real);
            let folder = maildir::folder_of(&real).filter(is_message);
            let place = folder.map(|folder| maildir::place(folder, &real));
            let kind = kind
                .or(place.is_some().then_some(Kind::Mail))
                .or_else(|| Kind::of_file(&real))
                .unwrap_or(Kind::Text);
            found.files.push(FoundFile { named: true, ..file(real, place, kind, &metadata) });
        }
        Ok((metadata, real)) if metadata.is_dir() => {
            Walk::new(real, kind).run(&mut found, interrupt)
        }
        Ok(_) => {
            let message = "it is a pipe, socket or device, not a file";
            found.problems.push(Problem::lost(name, message));
        }
    }
    found
}

fn file(path: PathBuf, place: Option<PathBuf>, kind: Kind, metadata: &Metadata) -> FoundFile {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    // A message never changes in place; a copy of it may have another time.
    let modified_ns = match place {
        Some(_) => 0,
        None => modified.map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)),
    };
    let place = place.unwrap_or_else(|| path.clone());
    FoundFile { path, place, kind, named: false, size_bytes: metadata.len(), modified_ns }
}

/// A walk through one folder.
struct Walk {
    walked: Walked,
    kind: Option<Kind>,
    links: Vec<String>,
    /// Pipes, sockets, devices.
    others: Vec<String>,
}

impl Walk {
    fn new(root: PathBuf, kind: Option<Kind>) -> Self {
        let mut walked = Walked::default();
        // The folder may be a part of a Maildir.
        if let Some(folder) = maildir::folder_of(&root.join("message"))
            && maildir::is_maildir(folder)
        {
            walked.maildirs.insert(folder.to_owned());
        }
        walked.root = root;
        Self { walked, kind, links: Vec::new(), others: Vec::new() }
    }

    fn run(mut self, found: &mut Found, interrupt: &AtomicBool) {
        let entries = WalkDir::new(&self.walked.root).max_depth(DEPTH_MAX).sort_by_file_name();
        let mut entries = entries.into_iter();
        while let Some(entry) = entries.next() {
            if interrupt.load(Ordering::Relaxed) {
                break;
            }
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {
                    if self.is_left_alone(&entry) {
                        entries.skip_current_dir();
                    } else if entry.depth() == DEPTH_MAX {
                        let message = format!("it lies more than {DEPTH_MAX} folders deep");
                        let path = entry.into_path();
                        found.problems.push(Problem::lost(path.display().to_string(), message));
                        self.walked.unreadable.insert(path);
                    } else if maildir::is_maildir(entry.path()) {
                        self.walked.maildirs.insert(entry.into_path());
                    }
                }
                Ok(entry) if is_hidden(&entry) => {}
                Ok(entry) => self.take(entry, found),
                Err(error) => {
                    let path = error.path().unwrap_or(&self.walked.root).to_owned();
                    let reason = error
                        .io_error()
                        .map_or_else(|| "it cannot be walked".to_owned(), ToString::to_string);
                    found.problems.push(Problem::lost(path.display().to_string(), reason));
                    self.walked.unreadable.insert(path);
                }
            }
        }
        self.name_the_rest(found);
        self.walked.has_files = !found.files.is_empty();
        found.folder = Some(self.walked);
    }

    /// Hidden folders, and those in which mail programs build their messages.
    fn is_left_alone(&self, folder: &DirEntry) -> bool {
        let in_maildir =
            folder.path().parent().is_some_and(|parent| self.walked.maildirs.contains(parent));
        match (folder.depth(), is_hidden(folder)) {
            (0, _) => false,
            // Maildir++: the folders of a mail account are hidden ones of the first.
            (_, true) => !(in_maildir && folder.path().join("cur").is_dir()),
            (_, false) => in_maildir && folder.file_name() == "tmp",
        }
    }

    fn take(&mut self, entry: DirEntry, found: &mut Found) {
        let file_type = entry.file_type();
        if !file_type.is_file() {
            found.skipped += 1;
            let list = if file_type.is_symlink() { &mut self.links } else { &mut self.others };
            list.push(entry.path().display().to_string());
            return;
        }
        if maildir::is_flagged(entry.path()) {
            self.walked.maildirs.extend(maildir::folder_of(entry.path()).map(Path::to_owned));
        }
        let folder = maildir::folder_of(entry.path());
        let folder = folder.filter(|folder| self.walked.maildirs.contains(*folder));
        let place = folder.map(|folder| maildir::place(folder, entry.path()));
        let kind = self
            .kind
            .or(place.is_some().then_some(Kind::Mail))
            .or_else(|| Kind::of_file(entry.path()));
        let Some(kind) = kind else {
            found.skipped += 1;
            return;
        };
        match entry.metadata() {
            Ok(metadata) => {
                let file = file(entry.into_path(), place, kind, &metadata);
                found.files.push(FoundFile { named: self.kind.is_some(), ..file });
            }
            Err(error) => {
                let reason =
                    error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                found.problems.push(Problem::lost(entry.path().display().to_string(), reason));
                self.walked.unreadable.insert(entry.into_path());
            }
        }
    }

    fn name_the_rest(&self, found: &mut Found) {
        for (names, what) in [
            (&self.links, "symbolic links in it are not followed"),
            (&self.others, "pipes, sockets or devices in it are left alone"),
        ] {
            if names.is_empty() {
                continue;
            }
            let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).map(String::as_str).collect();
            let more = if names.len() > NAMES_SHOWN { ", …" } else { "" };
            let message = format!("{what} ({}: {}{more})", names.len(), shown.join(", "));
            let path = self.walked.root.display().to_string();
            found.problems.push(Problem { path, line: None, message, lost: false });
        }
    }
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &Path) -> Found {
        files(path, None, &AtomicBool::new(false))
    }

    /// The files below `folder` by what the store calls them, relative to it.
    fn places(folder: &Path) -> Vec<String> {
        let root = folder.canonicalize().unwrap();
        let relative = |file: &FoundFile| {
            file.place.strip_prefix(&root).unwrap().display().to_string().replace('\\', "/")
        };
        found(folder).files.iter().map(relative).collect()
    }

    fn write(folder: &Path, names: &[&str]) {
        for name in names {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
        }
    }

    #[test]
    fn a_folder_gives_its_visible_writings_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["b.md", "a.txt", "sub/c.JSONL", "image.png", ".hidden.md", "sub/.git/d.md"];
        write(folder.path(), &names);
        assert_eq!(places(folder.path()), ["a.txt", "b.md", "sub/c.JSONL"]);
        let found = found(folder.path());
        assert_eq!(found.skipped, 1);
        assert!(found.problems.is_empty());
        assert!(found.folder.unwrap().has_files);
    }

    #[test]
    fn a_named_file_is_read_whatever_its_ending() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &["LETTER"]);
        let found = found(&folder.path().join("LETTER"));
        assert_eq!(found.files[0].kind, Kind::Text);
        assert!(found.files[0].named);
    }

    /// Messages in `cur` and `new`, those of the account's hidden folders too; none of `tmp`, and
    /// nothing of other hidden folders.
    #[test]
    fn a_maildir_gives_its_messages_and_those_of_its_folders() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "tmp/1.half",
            "new/2.b.c",
            "cur/3.b.c:2,S",
            "cur/.dotted",
            ".Sent/tmp/4.half",
            ".Sent/new/.keep",
            ".Sent/cur/5.b.c:2,RS",
            ".nnmaildir/cache.txt",
        ];
        write(folder.path(), &names);
        let expected = [".Sent/cur/5.b.c", "cur/3.b.c", "cur/2.b.c"];
        assert_eq!(places(folder.path()), expected);
        let all = found(folder.path()).files;
        assert!(all.iter().all(|file| file.kind == Kind::Mail && file.modified_ns == 0));
        // A part of it, and a message of it, have the same places.
        let new = folder.path().canonicalize().unwrap().join("new");
        let from_new = found(&new).files.remove(0);
        assert_eq!(from_new.place, all[2].place);
        assert_eq!(found(&new.join("2.b.c")).files[0].place, all[2].place);
        assert_eq!(places(&folder.path().join(".Sent")), ["cur/5.b.c"]);
    }

    #[test]
    fn a_copy_of_a_maildir_without_its_empty_folders_is_one() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &["Mail/cur/1.b.c:2,S"]);
        assert_eq!(places(folder.path()), ["Mail/cur/1.b.c"]);
        let found = found(&folder.path().join("Mail/cur/1.b.c:2,S"));
        assert_eq!(found.files[0].kind, Kind::Mail);
    }

    #[test]
    fn a_folder_too_deep_is_named() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[&format!("{}a.txt", "d/".repeat(DEPTH_MAX + 9))]);
        let found = found(folder.path());
        assert!(found.files.is_empty());
        assert_eq!(found.problems.len(), 1);
        assert!(found.problems[0].lost);
    }

    #[test]
    fn what_is_not_there_is_a_problem() {
        let found = found(Path::new("/no/such/path"));
        assert_eq!(found.problems.len(), 1);
        assert!(found.files.is_empty());
        assert!(!found.folder.unwrap().has_files);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_refused() {
        assert_eq!(found(Path::new("/dev/null")).problems.len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn links_and_sockets_are_named_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &["a.txt"]);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        let socket = folder.path().join("socket.txt");
        let _listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        let found = found(folder.path());
        assert_eq!((found.files.len(), found.skipped), (1, 2));
        let messages: Vec<&str> =
            found.problems.iter().map(|problem| problem.message.as_str()).collect();
        assert!(messages[0].contains("loop") && messages[1].contains("socket.txt"), "{messages:?}");
        assert!(found.problems.iter().all(|problem| !problem.lost));
    }
}
