//! Maildir: a folder with `cur`, `new` and `tmp`, a message a file.
//!
//! A mail program renames a message's file when its flags change (`1.b.c:2,S`, `1.b.c:2,RS`) and
//! when it has been seen (from `new` to `cur`). A message is therefore known by the part of its
//! name that stays, as if it lay in `cur`. This file knows nothing of what stands in messages.

use std::path::{Path, PathBuf};

/// Before the flags: `:` by the standard, the others where a file's name cannot have one.
const FLAG_MARKS: [&str; 3] = [":2,", ";2,", "!2,"];

/// Whether `folder` is a Maildir.
pub(super) fn is_maildir(folder: &Path) -> bool {
    ["cur", "new", "tmp"].iter().all(|name| folder.join(name).is_dir())
}

/// The folder that would be a Maildir if `file` were one of its messages.
pub(super) fn folder_of(file: &Path) -> Option<&Path> {
    let parent = file.parent()?;
    let holds_messages = parent.file_name().is_some_and(|name| name == "cur" || name == "new");
    if holds_messages { parent.parent() } else { None }
}

/// Whether `file` can only be a message: it lies where messages do and has flags in its name. A
/// copy of a Maildir may lack the folders that were empty.
pub(super) fn is_flagged(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    folder_of(file).is_some()
        && name.starts_with(|first: char| first.is_ascii_digit())
        && without_flags(name).len() < name.len()
}

/// What the store calls the message `file` of the Maildir `folder`, whatever its flags are.
pub(super) fn place(folder: &Path, file: &Path) -> PathBuf {
    let cur = folder.join("cur");
    let Some(name) = file.file_name() else { return cur };
    match name.to_str() {
        Some(name) => cur.join(without_flags(name)),
        None => cur.join(name),
    }
}

fn without_flags(name: &str) -> &str {
    let end = FLAG_MARKS.iter().filter_map(|mark| name.rfind(mark)).min();
    // What is nothing but flags is a name like any other.
    let end = end.filter(|end| *end > 0);
    &name[..end.unwrap_or(name.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_place_when_its_flags_change() {
        let folder = Path::new("/m");
        let expected = Path::new("/m/cur/1204680122.27c448.host,S=9");
        for file in [
            "/m/new/1204680122.27c448.host,S=9",
            "/m/cur/1204680122.27c448.host,S=9:2,",
            "/m/cur/1204680122.27c448.host,S=9:2,RS",
            "/m/cur/1204680122.27c448.host,S=9!2,S",
        ] {
            assert_eq!(place(folder, Path::new(file)), expected, "{file}");
        }
        assert_ne!(place(folder, Path::new("/m/cur/2.b.c:2,S")), expected);
        assert_eq!(place(folder, Path::new("/m/cur/:2,S")), Path::new("/m/cur/:2,S"));
    }

    #[test]
    fn only_files_in_cur_and_new_can_be_messages() {
        assert_eq!(folder_of(Path::new("/m/cur/1")), Some(Path::new("/m")));
        assert_eq!(folder_of(Path::new("/m/new/1")), Some(Path::new("/m")));
        assert_eq!(folder_of(Path::new("/m/tmp/1")), None);
        assert_eq!(folder_of(Path::new("/m/current/1")), None);
    }

    #[test]
    fn a_message_with_flags_is_known_without_the_other_folders() {
        assert!(is_flagged(Path::new("/m/cur/1.b.c:2,S")));
        for file in ["/m/cur/1.b.c", "/m/notes/1.b.c:2,S", "/m/cur/notes:2,S"] {
            assert!(!is_flagged(Path::new(file)), "{file}");
        }
    }

    #[test]
    fn a_maildir_has_all_three_folders() {
        let folder = tempfile::tempdir().unwrap();
        for (name, complete) in [("cur", false), ("new", false), ("tmp", true)] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            assert_eq!(is_maildir(folder.path()), complete);
        }
    }
}
