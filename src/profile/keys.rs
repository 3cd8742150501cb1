//! A user's root key, and the keys derived from it.
//!
//! The root key is 32 random bytes in a file that only the owner may read, apart from the data.
//! What encrypts a store is derived from it by HKDF-SHA256 (RFC 5869), one key per purpose.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::ProfileError;
use crate::paths;

const KEY_BYTES: usize = 32;
const DATABASE: &[u8] = b"restpg-edge/v1/database";

/// A user's root key; wiped from memory when dropped.
pub(super) struct RootKey(Zeroizing<[u8; KEY_BYTES]>);

impl RootKey {
    /// Reads the key file, `None` where there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, ProfileError> {
        let bad = |what| ProfileError::BadKey { path: path.to_owned(), what };
        let bytes = match fs::read(path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(unusable(path, source)),
        };
        refuse_if_shared(path)?;
        let key: [u8; KEY_BYTES] =
            bytes.as_slice().try_into().map_err(|_| bad("does not hold a key of 32 bytes"))?;
        Ok(Some(Self(Zeroizing::new(key))))
    }

    /// Creates the key file with a fresh random key. A key that is already there is never
    /// overwritten: then that one is read.
    pub(super) fn create(path: &Path) -> Result<Self, ProfileError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        paths::create_private_folder(folder).map_err(|source| unusable(folder, source))?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(key.as_mut())
            .map_err(|error| unusable(path, io::Error::other(error.to_string())))?;
        // Written beside its name first: a crash must not leave half a key. The temporary file is
        // readable by the owner alone from its first byte on.
        let write = || -> io::Result<bool> {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(key.as_slice())?;
            file.as_file().sync_all()?;
            match file.persist_noclobber(path) {
                Ok(_) => fs::File::open(folder)?.sync_all().map(|()| true),
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error.error),
            }
        };
        if write().map_err(|source| unusable(path, source))? {
            return Ok(Self(key));
        }
        // Another process was faster; its key is the one.
        Self::read(path)?.ok_or_else(|| unusable(path, io::ErrorKind::NotFound.into()))
    }

    /// The key of the store, in hex as SQLCipher takes it.
    pub(super) fn database_key_hex(&self) -> Zeroizing<String> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Hkdf::<Sha256>::new(None, self.0.as_slice())
            .expand(DATABASE, key.as_mut())
            .expect("32 bytes are far below HKDF's limit");
        Zeroizing::new(hex::encode(key.as_slice()))
    }
}

fn unusable(path: &Path, source: io::Error) -> ProfileError {
    ProfileError::Io { path: path.to_owned(), source }
}

#[cfg(unix)]
fn refuse_if_shared(path: &Path) -> Result<(), ProfileError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(path).map_err(|source| unusable(path, source))?;
    if metadata.permissions().mode() & 0o077 == 0 {
        Ok(())
    } else {
        Err(ProfileError::BadKey {
            path: path.to_owned(),
            what: "may be read by other users of this machine",
        })
    }
}

#[cfg(not(unix))]
fn refuse_if_shared(_: &Path) -> Result<(), ProfileError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_created_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/me.key");
        assert!(RootKey::read(&path).unwrap().is_none());
        let first = RootKey::create(&path).unwrap().database_key_hex();
        let second = RootKey::create(&path).unwrap().database_key_hex();
        let read = RootKey::read(&path).unwrap().unwrap().database_key_hex();
        assert_eq!(first, second);
        assert_eq!(first, read);
        assert_eq!(fs::read_dir(folder.path().join("keys")).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("me.key");
        RootKey::create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(RootKey::read(&path), Err(ProfileError::BadKey { .. })));
    }
}
