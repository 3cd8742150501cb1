//! The file that keeps a user's root key, as it is or sealed with a passphrase.
//!
//! 32 bytes are the key itself; anything else is a text that [`SealedKey`] reads. The file is
//! readable by its owner alone, lies apart from the data, and is never overwritten in place except
//! to destroy it. A key in the system's keyring would be a third [`Kept`], named by a third text.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::keys::{KEY_BYTES, RootKey};
use super::sealed_key::{Cost, SealedKey};
use super::store::no_such_user;
use super::{Passphrase, ProfileError, User};
use crate::paths::{self, Paths};

/// A longer file holds no key of ours.
const FILE_BYTES_MAX: u64 = 4096;
/// Room for that and one more: the bytes of a key are never moved about.
const BUFFER_BYTES: usize = FILE_BYTES_MAX as usize + 1;

/// What stands between the key and whoever has its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Nothing but the file's permissions.
    Permissions,
    /// A passphrase too.
    Passphrase,
}

/// A root key as its file keeps it.
pub(super) enum Kept {
    /// As it is.
    Plain(RootKey),
    /// Sealed with a passphrase.
    Sealed(SealedKey),
}

impl Kept {
    /// Reads the key file, `None` where there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, ProfileError> {
        let bad = |what| ProfileError::BadKey { path: path.to_owned(), what };
        let unusable = |source| unusable(path, source);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(unusable(source)),
        };
        if is_shared(&file).map_err(unusable)? {
            return Err(bad("may be read by other users of this machine"));
        }
        let mut bytes: Zeroizing<Vec<u8>> = Zeroizing::new(Vec::with_capacity(BUFFER_BYTES));
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unusable)?;
        let was_destroyed = !bytes.is_empty() && bytes.iter().all(|&byte| byte == 0);
        if was_destroyed {
            return Err(bad("was destroyed by a deletion that did not finish"));
        }
        if let Some(key) = RootKey::from_bytes(&bytes) {
            return Ok(Some(Self::Plain(key)));
        }
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(bad("holds no key"));
        }
        SealedKey::parse(&bytes).map(|sealed| Some(Self::Sealed(sealed))).map_err(bad)
    }

    /// The key itself; `secrets` is asked where it is sealed.
    pub(super) fn open(
        self,
        path: &Path,
        user: &User,
        secrets: &dyn Passphrase,
    ) -> Result<RootKey, ProfileError> {
        match self {
            Self::Plain(key) => Ok(key),
            Self::Sealed(sealed) => {
                let passphrase = secrets.passphrase(user)?;
                sealed
                    .open(&passphrase)
                    .map_err(|source| unusable(path, source))?
                    .ok_or_else(|| ProfileError::WrongPassphrase { user: user.to_string() })
            }
        }
    }
}

/// Reads and opens the key in a file, `None` where there is no such file.
pub(super) fn read(
    path: &Path,
    user: &User,
    secrets: &dyn Passphrase,
) -> Result<Option<RootKey>, ProfileError> {
    Kept::read(path)?.map(|kept| kept.open(path, user, secrets)).transpose()
}

/// Creates the key file with a fresh random key. A key that is already there is never
/// overwritten: then that one is read.
pub(super) fn create(
    path: &Path,
    user: &User,
    secrets: &dyn Passphrase,
) -> Result<RootKey, ProfileError> {
    let key = RootKey::random().map_err(|source| unusable(path, source))?;
    if write_new(path, key.as_bytes()).map_err(|source| unusable(path, source))? {
        return Ok(key);
    }
    // Another process was faster, or the profile is gone and its key is not; this key is the one.
    read(path, user, secrets)?.ok_or_else(|| unusable(path, io::ErrorKind::NotFound.into()))
}

/// Creates the key file with `key`, sealed where there is a passphrase; `false` where there is a
/// file already.
pub(super) fn create_with(
    path: &Path,
    key: &RootKey,
    passphrase: Option<&str>,
) -> Result<bool, ProfileError> {
    let unusable = |source| unusable(path, source);
    match passphrase {
        None => write_new(path, key.as_bytes()).map_err(unusable),
        Some(passphrase) => {
            let sealed =
                SealedKey::seal(key, passphrase, Cost::STANDARD).map_err(unusable)?.to_text();
            write_new(path, sealed.as_bytes()).map_err(unusable)
        }
    }
}

/// What protects `user`'s key.
///
/// # Errors
/// [`ProfileError::NoSuchUser`], [`ProfileError::KeyMissing`], or [`ProfileError::BadKey`] where
/// the file holds no key.
pub fn protection(paths: &Paths, user: &User) -> Result<Protection, ProfileError> {
    match Kept::read(&user.key_file(paths))? {
        Some(Kept::Plain(_)) => Ok(Protection::Permissions),
        Some(Kept::Sealed(_)) => Ok(Protection::Passphrase),
        None => Err(missing(paths, user)),
    }
}

/// Seals `user`'s key with `passphrase`: from now on the file alone opens nothing.
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
    let path = user.key_file(paths);
    let unusable = |source| unusable(&path, source);
    match Kept::read(&path)? {
        None => Err(missing(paths, user)),
        Some(Kept::Sealed(_)) => Err(ProfileError::AlreadyProtected { user: user.to_string() }),
        Some(Kept::Plain(key)) => {
            let sealed = SealedKey::seal(&key, passphrase, cost).map_err(unusable)?;
            // What cannot be opened again must never replace the key.
            if sealed.open(passphrase).map_err(unusable)?.as_ref() != Some(&key) {
                return Err(unusable(io::Error::other("the sealed key cannot be opened")));
            }
            replace(&path, sealed.to_text().as_bytes()).map_err(unusable)
        }
    }
}

/// Keeps `user`'s key as it is again, protected by the file's permissions alone.
///
/// # Errors
/// [`ProfileError::NotProtected`], [`ProfileError::WrongPassphrase`], or why the file cannot be
/// read or written; then the old file is still there.
pub fn unprotect(paths: &Paths, user: &User, secrets: &dyn Passphrase) -> Result<(), ProfileError> {
    let path = user.key_file(paths);
    match Kept::read(&path)? {
        None => Err(missing(paths, user)),
        Some(Kept::Plain(_)) => Err(ProfileError::NotProtected { user: user.to_string() }),
        Some(kept) => {
            let key = kept.open(&path, user, secrets)?;
            replace(&path, key.as_bytes()).map_err(|source| unusable(&path, source))
        }
    }
}

/// That there is no key: with a profile, or without one.
fn missing(paths: &Paths, user: &User) -> ProfileError {
    if user.database(paths).exists() {
        ProfileError::KeyMissing { user: user.to_string(), path: user.key_file(paths) }
    } else {
        no_such_user(paths, user)
    }
}

/// Overwrites a key file with zeros and removes it; `false` where there is none. Overwriting may
/// fail, for example on a file that its owner may not write; removing may not.
pub(super) fn destroy(path: &Path) -> io::Result<bool> {
    if let Ok(file) = OpenOptions::new().write(true).open(path) {
        // What cannot be overwritten is at least removed.
        let _ = overwrite(file);
    }
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    File::open(folder_of(path))?.sync_all()?;
    Ok(true)
}

/// Writes a key file that is not there yet; `false` where it is.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    paths::create_private_folder(folder_of(path))?;
    match beside(path, bytes)?.persist_noclobber(path) {
        Ok(_) => File::open(folder_of(path))?.sync_all().map(|()| true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    }
}

/// Replaces a key file, so that a crash leaves either the old key or the new one, then overwrites
/// the old bytes.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Held open: its bytes can be reached after its name is the new file's.
    let old = OpenOptions::new().write(true).open(path);
    beside(path, bytes)?.persist(path).map_err(|error| error.error)?;
    File::open(folder_of(path))?.sync_all()?;
    if let Ok(old) = old {
        // The new key is in place; what cannot be overwritten stays unnamed.
        let _ = overwrite(old);
    }
    Ok(())
}

/// A synced file with `bytes`, readable by the owner alone from its first byte on. Its name begins
/// with that of the key file, so that deleting the profile finds one that a crash left.
fn beside(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let name = path.file_name().unwrap_or_default();
    let mut prefix = name.to_owned();
    prefix.push(".");
    let mut file = tempfile::Builder::new().prefix(&prefix).tempfile_in(folder_of(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn overwrite(mut file: File) -> io::Result<()> {
    let length = file.metadata()?.len().min(FILE_BYTES_MAX) as usize;
    file.rewind()?;
    file.write_all(&vec![0; length.max(KEY_BYTES)])?;
    file.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn unusable(path: &Path, source: io::Error) -> ProfileError {
    ProfileError::Io { path: PathBuf::from(path), source }
}

/// Whether other users of this machine may read or write the file.
#[cfg(unix)]
pub(super) fn is_shared(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.metadata()?.permissions().mode() & 0o077 != 0)
}

/// The system has no such permissions.
#[cfg(not(unix))]
pub(super) fn is_shared(_: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::NoPassphrase;

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
    fn a_key_is_created_once_and_read_again() {
        let (_folder, paths, user) = home();
        let path = user.key_file(&paths);
        assert_eq!(read(&path, &user, &NoPassphrase).unwrap(), None);
        let none = protection(&paths, &user);
        assert!(matches!(none, Err(ProfileError::NoSuchUser { .. })));
        let first = create(&path, &user, &NoPassphrase).unwrap();
        let second = create(&path, &user, &NoPassphrase).unwrap();
        assert_eq!(first, second);
        assert_eq!(read(&path, &user, &NoPassphrase).unwrap(), Some(first));
        assert_eq!(fs::metadata(&path).unwrap().len(), KEY_BYTES as u64);
        assert_eq!(files(&paths), 1);
    }

    #[test]
    fn a_protected_key_needs_its_passphrase_and_an_unprotected_one_does_not() {
        let (_folder, paths, user) = home();
        let path = user.key_file(&paths);
        let key = create(&path, &user, &NoPassphrase).unwrap();
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
        create(&path, &user, &NoPassphrase).unwrap();
        // Another name of the same bytes shows what becomes of them.
        let witness = paths.keys.join("witness");
        fs::hard_link(&path, &witness).unwrap();
        protect_at(&paths, &user, "horse", Cost::LEAST).unwrap();
        assert_eq!(fs::read(&witness).unwrap(), vec![0; KEY_BYTES]);

        fs::remove_file(&witness).unwrap();
        fs::hard_link(&path, &witness).unwrap();
        assert!(destroy(&path).unwrap());
        assert!(!path.exists());
        assert!(fs::read(&witness).unwrap().iter().all(|byte| *byte == 0));
        assert!(!destroy(&path).unwrap());
    }

    #[test]
    fn an_empty_passphrase_protects_nothing() {
        let (_folder, paths, user) = home();
        create(&user.key_file(&paths), &user, &NoPassphrase).unwrap();
        let refused = protect(&paths, &user, "");
        assert!(matches!(refused, Err(ProfileError::EmptyPassphrase)));
        assert_eq!(protection(&paths, &user).unwrap(), Protection::Permissions);
    }

    #[test]
    fn a_file_that_holds_no_key_is_refused_whatever_its_size() {
        let (_folder, paths, user) = home();
        let path = user.key_file(&paths);
        create(&path, &user, &NoPassphrase).unwrap();
        for content in [&b""[..], &[7; 31], &[7; 33], b"version = 1\n", &[b'#'; 10_000]] {
            fs::write(&path, content).unwrap();
            assert!(matches!(Kept::read(&path), Err(ProfileError::BadKey { .. })));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, paths, user) = home();
        let path = user.key_file(&paths);
        create(&path, &user, &NoPassphrase).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Kept::read(&path), Err(ProfileError::BadKey { .. })));
    }
}
