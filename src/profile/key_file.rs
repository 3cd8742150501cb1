//! The file that keeps a user's root key: as it is, sealed with a passphrase, or sealed with a
//! secret of the system's keyring.
//!
//! 32 bytes are the key itself; anything else is a text that [`KeyringKey`] or [`SealedKey`] reads.
//! The file is readable by its owner alone, lies apart from the data, and is never overwritten in
//! place except to destroy it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::keyring_key::KeyringKey;
use super::keys::{KEY_BYTES, RootKey};
use super::sealed_key::{Cost, SealedKey};
use super::{KeyringError, NoPassphrase, Passphrase, ProfileError, User};
use crate::paths;

/// A longer file holds no key of ours.
const FILE_BYTES_MAX: u64 = 4096;
/// Room for that and one more: the bytes of a key are never moved about.
const BUFFER_BYTES: usize = FILE_BYTES_MAX as usize + 1;

/// How a key is to be kept.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keep<'a> {
    /// As it is.
    Plain,
    /// Sealed with a passphrase.
    Sealed(&'a str, Cost),
    /// Sealed with a secret of the system's keyring.
    InKeyring,
}

/// A root key as its file keeps it.
pub(super) enum Kept {
    /// As it is.
    Plain(RootKey),
    /// Sealed with a passphrase.
    Sealed(SealedKey),
    /// Sealed with a secret of the system's keyring.
    InKeyring(KeyringKey),
}

impl Kept {
    /// Makes of `key` what its file is to hold, for the key file `path` of `user`.
    pub(super) fn new(
        key: &RootKey,
        keep: Keep<'_>,
        path: &Path,
        user: &User,
    ) -> Result<Self, ProfileError> {
        match keep {
            Keep::Plain => Ok(Self::Plain(key.clone())),
            Keep::Sealed(passphrase, cost) => SealedKey::seal(key, passphrase, cost)
                .map(Self::Sealed)
                .map_err(|source| unusable(path, source)),
            Keep::InKeyring => KeyringKey::seal(key)
                .map(Self::InKeyring)
                .map_err(|source| ProfileError::KeyringRefuses { user: user.to_string(), source }),
        }
    }

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
        if let Some(kept) = KeyringKey::parse(&bytes) {
            return Ok(Some(Self::InKeyring(kept)));
        }
        SealedKey::parse(&bytes).map(|sealed| Some(Self::Sealed(sealed))).map_err(bad)
    }

    /// What its file holds.
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Plain(key) => key.as_bytes().to_vec(),
            Self::Sealed(sealed) => sealed.to_text().into_bytes(),
            Self::InKeyring(kept) => kept.to_text().into_bytes(),
        })
    }

    /// The key itself; `secrets` is asked where a passphrase seals it.
    pub(super) fn open(
        &self,
        path: &Path,
        user: &User,
        secrets: &dyn Passphrase,
    ) -> Result<RootKey, ProfileError> {
        match self {
            Self::Plain(key) => Ok(key.clone()),
            Self::Sealed(sealed) => {
                let passphrase = secrets.passphrase(user)?;
                sealed
                    .open(&passphrase)
                    .map_err(|source| unusable(path, source))?
                    .ok_or_else(|| ProfileError::WrongPassphrase { user: user.to_string() })
            }
            Self::InKeyring(kept) => kept
                .open()
                .map_err(|source| ProfileError::Keyring { user: user.to_string(), source }),
        }
    }

    /// Takes back what making it left outside its file: from then on the file opens nothing. Where
    /// the keyring is out of reach it keeps what is of use only with a copy of the file; whether
    /// that is so.
    pub(super) fn discard(&self) -> bool {
        match self {
            Self::InKeyring(kept) => !matches!(kept.remove(), Ok(()) | Err(KeyringError::Lost)),
            Self::Plain(_) | Self::Sealed(_) => false,
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

/// Creates the key file with a fresh random key, sealed with the system's keyring where that is
/// wanted and there is one. A key that is already there is never overwritten: then that one is
/// read.
pub(super) fn create(
    path: &Path,
    user: &User,
    wants_keyring: bool,
    secrets: &dyn Passphrase,
) -> Result<RootKey, ProfileError> {
    if let Some(key) = read(path, user, secrets)? {
        return Ok(key);
    }
    let key = RootKey::random().map_err(|source| unusable(path, source))?;
    if create_unattended(path, &key, user, wants_keyring)? {
        return Ok(key);
    }
    // Another process was faster; its key is the one.
    read(path, user, secrets)?.ok_or_else(|| unusable(path, io::ErrorKind::NotFound.into()))
}
/// Creates the key file with `key`; `false` where there is a file already. A keyring that is wanted
/// and cannot be used makes it a plain file.
pub(super) fn create_unattended(
    path: &Path,
    key: &RootKey,
    user: &User,
    wants_keyring: bool,
) -> Result<bool, ProfileError> {
    if wants_keyring {
        match create_with(path, key, user, Keep::InKeyring) {
            Err(ProfileError::KeyringRefuses { source, .. }) => {
                tracing::info!("the key is kept without a keyring: {source}");
            }
            other => return other,
        }
    }
    create_with(path, key, user, Keep::Plain)
}

/// Creates the key file with `key`, kept as wanted; `false` where there is a file already.
pub(super) fn create_with(
    path: &Path,
    key: &RootKey,
    user: &User,
    keep: Keep<'_>,
) -> Result<bool, ProfileError> {
    let kept = Kept::new(key, keep, path, user)?;
    let is_new = write_new(path, &kept.to_bytes());
    // Once the file has its name, what it needs must stay, whatever fails afterwards.
    if !matches!(is_new, Ok(true)) {
        kept.discard();
    }
    let is_new = is_new.map_err(|source| unusable(path, source))?;
    if is_new {
        sync_folder(path).map_err(|source| unusable(path, source))?;
    }
    Ok(is_new)
}

/// Keeps the key of a file in another way. What cannot be opened again never replaces it, and a
/// crash or an error at any point leaves a file that opens: the old one or the new one.
pub(super) fn keep_otherwise(
    path: &Path,
    user: &User,
    old: &Kept,
    key: &RootKey,
    keep: Keep<'_>,
) -> Result<(), ProfileError> {
    let unusable = |source| unusable(path, source);
    let new = Kept::new(key, keep, path, user)?;
    let opened = match (&new, keep) {
        (Kept::Sealed(sealed), Keep::Sealed(passphrase, _)) => {
            sealed.open(passphrase).map_err(unusable)
        }
        _ => new.open(path, user, &NoPassphrase).map(Some),
    };
    // What the key was asked for may have taken a while.
    let lock = lock_folder(path);
    let now = Kept::read(path).ok().flatten();
    let is_unchanged = now.is_some_and(|now| now.to_bytes() == old.to_bytes());
    let replaced = match opened {
        _ if lock.is_err() || !is_unchanged => {
            Err(unusable(io::Error::other("the key was changed or destroyed meanwhile")))
        }
        Ok(opened) if opened.as_ref() == Some(key) => {
            replace(path, &new.to_bytes()).map_err(unusable)
        }
        Ok(_) => Err(unusable(io::Error::other("the sealed key cannot be opened"))),
        Err(error) => Err(error),
    };
    let old_file = match replaced {
        Ok(old_file) => old_file,
        Err(error) => {
            new.discard();
            return Err(error);
        }
    };
    sync_folder(path).map_err(unusable)?;
    if let Some(old_file) = old_file {
        // The new key is in place; what cannot be overwritten stays unnamed.
        let _ = overwrite(old_file);
    }
    old.discard();
    Ok(())
}

/// What became of a key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Destroyed {
    /// Whether there was one.
    pub(super) was_there: bool,
    /// Whether the keyring, being out of reach, still holds what sealed it.
    pub(super) secret_left: bool,
}

/// Takes the secret of a key file out of the keyring, overwrites the file with zeros and removes it.
/// Overwriting may fail, for example on a file that its owner may not write; removing may not.
pub(super) fn destroy(path: &Path) -> io::Result<Destroyed> {
    let _lock = lock_folder(path)?;
    // First: the file tells the secret's name, so that a deletion that a crash ended can go on. A
    // file that others may read, or that holds no key, is destroyed all the same.
    let secret_left = Kept::read(path).ok().flatten().is_some_and(|kept| kept.discard());
    if let Ok(file) = OpenOptions::new().write(true).open(path) {
        // What cannot be overwritten is at least removed.
        let _ = overwrite(file);
    }
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Destroyed { was_there: false, secret_left });
        }
        Err(error) => return Err(error),
    }
    sync_folder(path)?;
    Ok(Destroyed { was_there: true, secret_left })
}

/// Writes a key file that is not there yet; `false` where it is.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    paths::create_private_folder(folder_of(path))?;
    match beside(path, bytes)?.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    }
}

/// Replaces a key file, so that a crash leaves either the old key or the new one; the old file,
/// whose bytes can still be reached, where it may be written.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<Option<File>> {
    let old = OpenOptions::new().write(true).open(path);
    beside(path, bytes)?.persist(path).map_err(|error| error.error)?;
    Ok(old.ok())
}

/// Held while a key file is changed or destroyed, so that a change never brings back what was
/// destroyed meanwhile.
fn lock_folder(path: &Path) -> io::Result<File> {
    let folder = File::open(folder_of(path))?;
    folder.lock()?;
    Ok(folder)
}

/// Makes the name of a key file last.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
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
    use crate::paths::Paths;

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
        let first = create(&path, &user, false, &NoPassphrase).unwrap();
        let second = create(&path, &user, false, &NoPassphrase).unwrap();
        assert_eq!(first, second);
        assert_eq!(read(&path, &user, &NoPassphrase).unwrap(), Some(first));
        assert_eq!(fs::metadata(&path).unwrap().len(), KEY_BYTES as u64);
        assert_eq!(files(&paths), 1);
    }

    /// The story: while `protect` works on its passphrase, the profile is deleted elsewhere.
    #[test]
    fn a_change_does_not_bring_back_a_key_that_was_destroyed_meanwhile() {
        let (_folder, paths, user) = home();
        let path = user.key_file(&paths);
        let key = create(&path, &user, false, &NoPassphrase).unwrap();
        let old = Kept::read(&path).unwrap().unwrap();
        assert!(destroy(&path).unwrap().was_there);
        let keep = Keep::Sealed("horse", Cost::LEAST);
        let refused = keep_otherwise(&path, &user, &old, &key, keep).unwrap_err();
        assert!(matches!(refused, ProfileError::Io { .. }), "{refused}");
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_holds_no_key_is_refused_whatever_its_size() {
        let (_folder, paths, user) = home();
        let path = user.key_file(&paths);
        create(&path, &user, false, &NoPassphrase).unwrap();
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
        create(&path, &user, false, &NoPassphrase).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Kept::read(&path), Err(ProfileError::BadKey { .. })));
    }
}
