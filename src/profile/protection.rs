//! What stands between a key and whoever has its file, and changing it.

use serde::Serialize;

use super::key_file::{self, Keep, Kept};
use super::sealed_key::Cost;
use super::store::no_such_user;
use super::{NoPassphrase, Passphrase, ProfileError, User};
use crate::paths::Paths;

/// What protects a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// Nothing but its file's permissions.
    Permissions,
    /// A passphrase too.
    Passphrase,
    /// The system's keyring too.
    Keyring,
}

impl Protection {
    fn of(kept: &Kept) -> Self {
        match kept {
            Kept::Plain(_) => Self::Permissions,
            Kept::Sealed(_) => Self::Passphrase,
            Kept::InKeyring(_) => Self::Keyring,
        }
    }

    /// Its name in a sentence.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Permissions => "its file's permissions alone",
            Self::Passphrase => "a passphrase",
            Self::Keyring => "the system's keyring",
        }
    }
}

/// What protects `user`'s key.
///
/// # Errors
/// [`ProfileError::NoSuchUser`], [`ProfileError::KeyMissing`], or [`ProfileError::BadKey`] where
/// the file holds no key.
pub fn protection(paths: &Paths, user: &User) -> Result<Protection, ProfileError> {
    kept(paths, user).map(|kept| Protection::of(&kept))
}

/// Seals `user`'s key with `passphrase`: from now on the file opens nothing without it. A key that the
/// system's keyring sealed goes from there to the passphrase without ever being plain on the disk.
///
/// The old bytes are overwritten before they are given back to the file system. Copies that a
/// backup, a snapshot, a copy-on-write file system or the wear levelling of a flash drive holds are
/// out of reach.
///
/// # Errors
/// [`ProfileError::AlreadyProtected`], [`ProfileError::NoSuchUser`], [`ProfileError::KeyMissing`],
/// or why the file cannot be read or written; then the old file is still there.
pub fn protect(paths: &Paths, user: &User, passphrase: &str) -> Result<(), ProfileError> {
    protect_at(paths, user, passphrase, Cost::STANDARD)
}

fn protect_at(
    paths: &Paths,
    user: &User,
    passphrase: &str,
    cost: Cost,
) -> Result<(), ProfileError> {
    if passphrase.is_empty() {
        return Err(ProfileError::EmptyPassphrase);
    }
    protect_with(paths, user, Keep::Sealed(passphrase, cost))
}

/// Seals `user`'s key with a secret of the system's keyring: from now on the file opens nothing
/// without it. What [`protect`] says of copies holds here too.
///
/// # Errors
/// As [`protect`], and [`ProfileError::Keyring`] where the keyring cannot be used.
pub fn protect_with_keyring(paths: &Paths, user: &User) -> Result<(), ProfileError> {
    protect_with(paths, user, Keep::InKeyring)
}

fn protect_with(paths: &Paths, user: &User, keep: Keep<'_>) -> Result<(), ProfileError> {
    let path = user.key_file(paths);
    let old = kept(paths, user)?;
    match (&old, keep) {
        (Kept::Plain(_), _) | (Kept::InKeyring(_), Keep::Sealed(..)) => {
            let key = old.open(&path, user, &NoPassphrase)?;
            key_file::keep_otherwise(&path, user, &old, &key, keep)
        }
        _ => {
            let by = Protection::of(&old);
            Err(ProfileError::AlreadyProtected { user: user.to_string(), by })
        }
    }
}

/// Keeps `user`'s key as it is again, protected by the file's permissions alone.
///
/// # Errors
/// [`ProfileError::NotProtected`], [`ProfileError::WrongPassphrase`], [`ProfileError::Keyring`], or
/// why the file cannot be read or written; then the old file is still there.
pub fn unprotect(paths: &Paths, user: &User, secrets: &dyn Passphrase) -> Result<(), ProfileError> {
    let path = user.key_file(paths);
    let old = kept(paths, user)?;
    if matches!(old, Kept::Plain(_)) {
        return Err(ProfileError::NotProtected { user: user.to_string() });
    }
    let key = old.open(&path, user, secrets)?;
    key_file::keep_otherwise(&path, user, &old, &key, Keep::Plain)
}

/// The key as its file keeps it. That there is none is said otherwise of a user who has a profile
/// than of one who has not.
fn kept(paths: &Paths, user: &User) -> Result<Kept, ProfileError> {
    let path = user.key_file(paths);
    match Kept::read(&path)? {
        Some(kept) => Ok(kept),
        None if user.has_database(paths)? => {
            Err(ProfileError::KeyMissing { user: user.to_string(), path })
        }
        None => Err(no_such_user(paths, user)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use zeroize::Zeroizing;

    use super::super::key_file::{create, destroy, read};
    use super::super::keys::KEY_BYTES;
    use super::*;

    struct Knows(&'static str);

    impl Passphrase for Knows {
        fn passphrase(&self, _: &User) -> Result<Zeroizing<String>, ProfileError> {
            Ok(Zeroizing::new(self.0.to_owned()))
        }
    }

    fn home() -> (tempfile::TempDir, Paths, User) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(folder.path())).unwrap();
        (folder, paths, User::parse("me").unwrap())
    }

    fn files(paths: &Paths) -> usize {
        fs::read_dir(&paths.keys).unwrap().count()
    }

    #[test]
    fn a_protected_key_needs_its_passphrase_and_an_unprotected_one_does_not() {
        let (_folder, paths, user) = home();
        let path = user.key_file(&paths);
        let key = create(&path, &user, false, &NoPassphrase).unwrap();
        protect_at(&paths, &user, "horse", Cost::LEAST).unwrap();
        assert_eq!(protection(&paths, &user).unwrap(), Protection::Passphrase);
        let refused = read(&path, &user, &NoPassphrase);
        assert!(matches!(refused, Err(ProfileError::PassphraseNeeded { .. })));
        let refused = read(&path, &user, &Knows("house"));
        assert!(matches!(refused, Err(ProfileError::WrongPassphrase { .. })));
        assert_eq!(read(&path, &user, &Knows("horse")).unwrap().as_ref(), Some(&key));
        let again = protect_at(&paths, &user, "other", Cost::LEAST);
        assert!(matches!(again, Err(ProfileError::AlreadyProtected { .. })));

        let refused = unprotect(&paths, &user, &Knows("house"));
        assert!(matches!(refused, Err(ProfileError::WrongPassphrase { .. })));
        unprotect(&paths, &user, &Knows("horse")).unwrap();
        assert_eq!(read(&path, &user, &NoPassphrase).unwrap(), Some(key));
        let again = unprotect(&paths, &user, &Knows("horse"));
        assert!(matches!(again, Err(ProfileError::NotProtected { .. })));
        assert_eq!(files(&paths), 1);
    }

    #[test]
    fn the_plain_bytes_are_overwritten_when_a_key_is_protected_or_destroyed() {
        let (_folder, paths, user) = home();
        let path = user.key_file(&paths);
        create(&path, &user, false, &NoPassphrase).unwrap();
        // Another name of the same bytes shows what becomes of them.
        let witness = paths.keys.join("witness");
        fs::hard_link(&path, &witness).unwrap();
        protect_at(&paths, &user, "horse", Cost::LEAST).unwrap();
        assert_eq!(fs::read(&witness).unwrap(), vec![0; KEY_BYTES]);

        fs::remove_file(&witness).unwrap();
        fs::hard_link(&path, &witness).unwrap();
        assert!(destroy(&path).unwrap().was_there);
        assert!(!path.exists());
        assert!(fs::read(&witness).unwrap().iter().all(|byte| *byte == 0));
        assert!(!destroy(&path).unwrap().was_there);
    }

    #[test]
    fn an_empty_passphrase_protects_nothing() {
        let (_folder, paths, user) = home();
        create(&user.key_file(&paths), &user, false, &NoPassphrase).unwrap();
        let refused = protect(&paths, &user, "");
        assert!(matches!(refused, Err(ProfileError::EmptyPassphrase)));
        assert_eq!(protection(&paths, &user).unwrap(), Protection::Permissions);
    }
}
