//! What came from files that are gone, out of the store.
//!
//! A disk that is not there looks like a folder whose files are all gone. So only single files
//! can be gone: where a folder cannot be read, or nothing at all is left in it, nothing is removed,
//! and the person is told how to do it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use super::walk::Walked;
use super::{Report, maildir, source};
use crate::profile::{ProfileError, ProfileStore};

/// Removes the sources below the given `folders` whose files are gone. `seen`: the places of all
/// files that were found.
///
/// # Errors
/// Why the store cannot be changed; then nothing of that folder has been removed.
pub(super) fn prune(
    store: &mut ProfileStore,
    folders: &[Walked],
    seen: &HashSet<String>,
    report: &mut Report,
) -> Result<(), ProfileError> {
    for folder in folders {
        let stored = store.stamps_below(&source::text_of(&folder.root))?;
        if stored.is_empty() {
            continue;
        }
        let root = folder.root.display();
        let is_unreadable = folder.unreadable.contains(&folder.root);
        if is_unreadable || !folder.has_files {
            let why = if is_unreadable { "cannot be read" } else { "has no files to read" };
            report.notes.push(format!(
                "{root} {why}, perhaps because a disk is missing; nothing of it was removed. \
                 `restpg-edge profile forget --user {:?} --path {root:?}` removes it",
                store.user().as_str()
            ));
            continue;
        }
        let mut gone: Vec<String> = stored
            .into_keys()
            .filter(|place| !seen.contains(place) && is_gone(place, folder))
            .collect();
        let all = gone.len();
        gone.retain(|place| !stands_in_an_empty_folder(place));
        if gone.len() < all {
            let kept = all - gone.len();
            report.notes.push(format!(
                "below {root}, {kept} files stood in folders that are now empty, perhaps because a \
                 disk is missing; nothing of them was removed. `restpg-edge profile forget --user \
                 {:?} --path FOLDER` removes it",
                store.user().as_str()
            ));
        }
        gone.sort();
        if !gone.is_empty() {
            report.documents += store.remove_sources(&gone)?;
            report.files_pruned += gone.len();
        }
    }
    Ok(())
}

/// Whether the nearest folder of `place` that is there holds nothing at all, as a folder does where
/// a disk should be mounted.
fn stands_in_an_empty_folder(place: &str) -> bool {
    let folder = Path::new(place).ancestors().skip(1).find(|folder| folder.is_dir());
    let entries = folder.and_then(|folder| fs::read_dir(folder).ok());
    let is_mailbox = maildir::folder_of(Path::new(place)).is_some();
    !is_mailbox && entries.is_some_and(|mut entries| entries.next().is_none())
}

/// Whether the file at `place` is gone, as far as can be known for sure.
fn is_gone(place: &str, folder: &Walked) -> bool {
    // A name that is not UTF-8: the file cannot be looked for by what the store calls it.
    if place.contains(char::REPLACEMENT_CHARACTER) {
        return false;
    }
    let hidden = |part: &Path| folder.unreadable.contains(part);
    if Path::new(place).ancestors().any(hidden) {
        return false;
    }
    if let Some(mailbox) = maildir::folder_of(Path::new(place))
        && mailbox.is_dir()
    {
        // Its messages have other names than places; they were all seen, if they could be.
        return folder.maildirs.contains(mailbox)
            && !["cur", "new"].iter().any(|part| hidden(&mailbox.join(part)));
    }
    // After a `#` may stand who was taken out of the file.
    let before_marks = place.match_indices('#').map(|(at, _)| &place[..at]);
    before_marks.chain([place]).all(is_missing)
}

fn is_missing(path: &str) -> bool {
    match fs::symlink_metadata(path) {
        Ok(_) => false,
        Err(error) => {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::ingest::{Input, Request, ingest};
    use crate::paths::Paths;
    use crate::profile::{NoPassphrase, User};

    struct Home {
        _folder: tempfile::TempDir,
        notes: PathBuf,
        store: ProfileStore,
    }

    fn home() -> Home {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(&folder.path().join("home"))).unwrap();
        let store =
            ProfileStore::open_or_create(&paths, &User::parse("me").unwrap(), &NoPassphrase)
                .unwrap();
        let notes = folder.path().canonicalize().unwrap().join("notes");
        fs::create_dir(&notes).unwrap();
        Home { _folder: folder, notes, store }
    }

    impl Home {
        fn write(&self, name: &str) {
            let path = self.notes.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("text of {name}")).unwrap();
        }

        fn prune(&mut self) -> Report {
            self.run(Request { prune: true, ..Request::default() })
        }

        fn run(&mut self, request: Request) -> Report {
            let inputs = vec![Input::Path(self.notes.clone())];
            let request = Request { inputs, ..request };
            ingest(&mut self.store, &request, &AtomicBool::new(false), &mut |_| {}).unwrap()
        }

        fn count(&self) -> usize {
            self.store.document_count().unwrap()
        }
    }

    #[test]
    fn what_came_from_a_file_that_is_gone_goes() {
        let mut home = home();
        for name in ["a.txt", "sub/b.txt", "sub/c.txt"] {
            home.write(name);
        }
        home.prune();
        assert_eq!(home.count(), 3);
        fs::remove_dir_all(home.notes.join("sub")).unwrap();
        // Only where it is asked for.
        assert_eq!(home.run(Request::default()).files_pruned, 0);
        assert_eq!(home.count(), 3);
        let report = home.prune();
        assert_eq!((report.files_pruned, report.documents.removed), (2, 2));
        assert_eq!(home.count(), 1);
    }

    /// The story: the notes lie on a disk that is not mounted today.
    #[test]
    fn a_folder_that_is_empty_or_missing_takes_nothing_with_it() {
        let mut home = home();
        home.write("a.txt");
        home.prune();
        fs::remove_file(home.notes.join("a.txt")).unwrap();
        for _ in 0..2 {
            let report = home.prune();
            assert_eq!(report.files_pruned, 0);
            assert!(report.notes[0].contains("profile forget"), "{:?}", report.notes);
            assert_eq!(home.count(), 1);
            // The second time, the folder itself is missing.
            let _ = fs::remove_dir(&home.notes);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_part_that_cannot_be_read_takes_nothing_with_it() {
        use std::os::unix::fs::PermissionsExt;
        let mut home = home();
        for name in ["a.txt", "locked/b.txt"] {
            home.write(name);
        }
        home.prune();
        let locked = home.notes.join("locked");
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
        let report = home.prune();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(report.files_pruned, 0);
        assert_eq!(home.count(), 2);
    }

    #[test]
    fn one_person_of_a_file_stays_while_another_is_read() {
        let mut home = home();
        let people = "{\"user\": \"Ann\", \"profile\": [{\"text\": \"by Ann\"}]}\n\
                      {\"user\": \"Bo\", \"profile\": [{\"text\": \"by Bo\"}]}\n";
        fs::write(home.notes.join("people.jsonl"), people).unwrap();
        for person in ["Ann", "Bo"] {
            let person = Some(person.to_owned());
            home.run(Request { prune: true, person, ..Request::default() });
        }
        assert_eq!(home.count(), 2);
        fs::remove_file(home.notes.join("people.jsonl")).unwrap();
        home.write("other.txt");
        assert_eq!(home.prune().files_pruned, 2);
    }

    #[test]
    fn a_message_is_gone_with_its_file_and_not_with_its_flags() {
        let walked = |maildirs: &[&Path]| Walked {
            maildirs: maildirs.iter().map(|path| path.to_path_buf()).collect(),
            has_files: true,
            ..Walked::default()
        };
        let home = home();
        home.write("mail/cur/1.a.b:2,S");
        let mail = home.notes.join("mail");
        let place = source::text_of(&mail.join("cur/2.a.b"));
        assert!(is_gone(&place, &walked(&[mail.as_path()])), "it was not seen");
        // Where the folder was not taken for a Maildir, nobody has looked.
        assert!(!is_gone(&place, &walked(&[])));
        let mut half = walked(&[mail.as_path()]);
        half.unreadable.insert(mail.join("new"));
        assert!(!is_gone(&place, &half));
        fs::remove_dir_all(&mail).unwrap();
        assert!(is_gone(&place, &walked(&[])));
    }
}
