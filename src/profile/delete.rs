//! Deleting a profile: the key first, then everything that it opened.
//!
//! Without the key the rest is noise, so a crash in the middle leaves nothing that can be read, and
//! deleting again removes what is left. What a backup, a snapshot or the wear levelling of a flash
//! drive holds of the key is out of reach.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::store::no_such_user;
use super::{ProfileError, User, key_file, prefixes, runs};
use crate::paths::Paths;

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Deleted {
    /// Whether there was a key.
    pub key: bool,
    /// Whether the system's keyring, being out of reach, still holds what sealed it.
    pub secret_left: bool,
    /// How many files and folders of the profile besides.
    pub files: usize,
}

/// Destroys the key of `user`, then removes the store and whatever else is this user's.
///
/// # Errors
/// [`ProfileError::NoSuchUser`] where there is nothing; [`ProfileError::Io`] where something
/// cannot be removed.
pub fn delete(paths: &Paths, user: &User) -> Result<Deleted, ProfileError> {
    let (keys, files) = left(paths, user)?;
    if keys.is_empty() && files.is_empty() {
        return Err(no_such_user(paths, user));
    }
    let failed = |path: &Path, source| ProfileError::Io { path: path.to_owned(), source };
    let mut secret_left = false;
    for path in &keys {
        let destroyed = key_file::destroy(path).map_err(|source| failed(path, source))?;
        secret_left |= destroyed.secret_left;
    }
    for path in &files {
        remove(path).map_err(|source| failed(path, source))?;
    }
    if !files.is_empty() {
        let folder = &paths.profiles;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| failed(folder, source))?;
    }
    Ok(Deleted { key: !keys.is_empty(), secret_left, files: files.len() })
}

/// Whether there is anything that [`delete`] would remove: a profile, or what is left of one.
///
/// # Errors
/// [`ProfileError::Io`] where the folders cannot be read.
pub fn is_anything_left(paths: &Paths, user: &User) -> Result<bool, ProfileError> {
    let (keys, files) = left(paths, user)?;
    Ok(!keys.is_empty() || !files.is_empty())
}

/// Key files and files of `user`, each in the order in which they go: the key before what a crash
/// left beside it, the store after its write-ahead log.
fn left(paths: &Paths, user: &User) -> Result<(Vec<PathBuf>, Vec<PathBuf>), ProfileError> {
    let list = |path: &Path| {
        beside(path, "").map_err(|source| ProfileError::Io { path: path.to_owned(), source })
    };
    let key_file = user.key_file(paths);
    let mut keys = list(&key_file)?;
    keys.retain(|path| *path != key_file);
    if fs::symlink_metadata(&key_file).is_ok() {
        keys.insert(0, key_file);
    }
    let database = user.database(paths);
    let mut files = list(&database)?;
    files.sort_by_key(|path| *path == database);
    Ok((keys, files))
}

/// What lies beside `path` in its folder under the same user's name and begins with `what`: the
/// store's write-ahead log, temporary files and folders; with an empty `what`, `path` itself too.
pub(super) fn beside(path: &Path, what: &str) -> io::Result<Vec<PathBuf>> {
    // Names of users hold no dots once they are names of files.
    let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else {
        return Ok(Vec::new());
    };
    let beginning = format!("{stem}.{what}");
    let folder = path.parent().unwrap_or(Path::new("."));
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let is_ours = |name: &str| {
            name.strip_prefix(&beginning).is_some_and(|rest| is_a_file_of_ours(what, rest))
        };
        if entry.file_name().to_str().is_some_and(is_ours) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Whether a name that goes on with `rest` is one that this program gives: a person may have put an
/// exported profile, or a backup of the key, beside it.
fn is_a_file_of_ours(what: &str, rest: &str) -> bool {
    let is_temporary = |kind: &str| {
        rest.strip_prefix(kind).is_some_and(|end| end.chars().all(char::is_alphanumeric))
    };
    !what.is_empty()
        || ["db", "db-wal", "db-shm", "db-journal", "key", runs::LOCK].contains(&rest)
        || ["key.", "export-", "import-", "create-", prefixes::FOLDER, prefixes::GOING]
            .iter()
            .any(|kind| is_temporary(kind))
}

/// Removes a file or a folder; one that has gone already is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let is_folder = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.is_dir(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{NoPassphrase, ProfileStore, users};

    fn home() -> (tempfile::TempDir, Paths) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(folder.path())).unwrap();
        (folder, paths)
    }

    fn create(paths: &Paths, name: &str) -> User {
        let user = User::parse(name).unwrap();
        drop(ProfileStore::open_or_create(paths, &user, &NoPassphrase).unwrap());
        user
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn nothing_of_a_deleted_profile_is_left_and_others_stay() {
        let (_folder, paths) = home();
        let user = create(&paths, "me");
        // Names that begin alike, as they are and as names of files.
        for other in ["men", "me.key", "me.db", "m"] {
            create(&paths, other);
        }
        // What crashes leave behind.
        fs::write(paths.profiles.join("me.db-wal"), b"log").unwrap();
        fs::write(paths.keys.join("me.key.x7Qz"), b"half a key").unwrap();
        fs::create_dir(paths.profiles.join("me.export-x7Qz")).unwrap();
        fs::write(paths.profiles.join("me.export-x7Qz/profile.db"), b"copy").unwrap();

        let deleted = delete(&paths, &user).unwrap();
        assert_eq!(deleted, Deleted { key: true, secret_left: false, files: 3 });
        assert!(!is_anything_left(&paths, &user).unwrap());
        assert_eq!(users(&paths).unwrap().len(), 4);
        assert_eq!(names(&paths.keys).len(), 4);
        for other in users(&paths).unwrap() {
            ProfileStore::open(&paths, &other, &NoPassphrase).unwrap();
        }
        assert!(matches!(delete(&paths, &user), Err(ProfileError::NoSuchUser { .. })));
    }

    #[test]
    fn what_a_crash_left_of_a_deletion_cannot_be_read_and_is_deleted_next_time() {
        let (_folder, paths) = home();
        let user = create(&paths, "me");
        // The key goes first: this is what any crash afterwards leaves.
        assert!(key_file::destroy(&user.key_file(&paths)).unwrap().was_there);
        let opened = ProfileStore::open(&paths, &user, &NoPassphrase);
        assert!(matches!(opened, Err(ProfileError::KeyMissing { .. })));
        assert_eq!(
            delete(&paths, &user).unwrap(),
            Deleted { key: false, secret_left: false, files: 1 }
        );
        assert!(users(&paths).unwrap().is_empty());
    }

    #[test]
    fn a_new_profile_of_the_same_name_has_another_key() {
        let (_folder, paths) = home();
        let user = create(&paths, "me");
        let before = fs::read(user.key_file(&paths)).unwrap();
        delete(&paths, &user).unwrap();
        create(&paths, "me");
        assert_ne!(fs::read(user.key_file(&paths)).unwrap(), before);
    }
}
