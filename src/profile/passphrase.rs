//! Where passphrases come from: whoever opens a profile is asked through [`Passphrase`].
//!
//! This file reads passphrase files; terminals are the command line's business.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use super::key_file::is_shared;
use super::{ProfileError, User};

/// A longer file is not taken for a passphrase.
const FILE_BYTES_MAX: u64 = 4096;

/// Who knows the passphrases of keys. Asked only where a key is sealed with one.
pub trait Passphrase {
    /// The passphrase of `user`'s key.
    ///
    /// # Errors
    /// [`ProfileError::PassphraseNeeded`] where there is nobody to ask; otherwise why it cannot be
    /// had.
    fn passphrase(&self, user: &User) -> Result<Zeroizing<String>, ProfileError>;
}

/// Nobody to ask: sealed keys stay closed.
#[derive(Debug, Clone, Copy)]
pub struct NoPassphrase;

impl Passphrase for NoPassphrase {
    fn passphrase(&self, user: &User) -> Result<Zeroizing<String>, ProfileError> {
        Err(ProfileError::PassphraseNeeded { user: user.to_string() })
    }
}

/// The passphrase in a file: its first line.
///
/// # Errors
/// [`ProfileError::BadPassphraseFile`] where others may read it, where it is empty, or where it is
/// no text; [`ProfileError::Io`] where it cannot be read.
pub fn passphrase_in_file(path: &Path) -> Result<Zeroizing<String>, ProfileError> {
    let bad = |what| ProfileError::BadPassphraseFile { path: path.to_owned(), what };
    let unusable = |source| ProfileError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(unusable)?;
    if is_shared(&file).map_err(unusable)? {
        return Err(bad("may be read by other users of this machine"));
    }
    let mut bytes: Zeroizing<Vec<u8>> =
        Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize + 1));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unusable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(bad("is too long for a passphrase"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| bad("is not UTF-8 text"))?;
    // Also without the carriage return that some editors leave.
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(bad("has an empty first line"));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        // Temporary files are readable by the owner alone.
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn the_first_line_is_the_passphrase_whatever_ends_it() {
        for content in ["a b ü", "a b ü\n", "a b ü\r\n", "a b ü\nsecond line\n"] {
            let file = file(content.as_bytes());
            assert_eq!(*passphrase_in_file(file.path()).unwrap(), "a b ü");
        }
        // Blanks belong to it.
        assert_eq!(*passphrase_in_file(file(b" a \n").path()).unwrap(), " a ");
    }

    #[test]
    fn what_is_no_passphrase_is_refused() {
        for content in [&b""[..], b"\n", b"\r\n", b"\nsecond", &[0xff; 10], &[b'x'; 5000]] {
            let refused = passphrase_in_file(file(content).path());
            assert!(matches!(refused, Err(ProfileError::BadPassphraseFile { .. })));
        }
        let missing = passphrase_in_file(Path::new("/no/such/file"));
        assert!(matches!(missing, Err(ProfileError::Io { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let file = file(b"passphrase");
        let open = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(file.path(), open).unwrap();
        let refused = passphrase_in_file(file.path());
        assert!(matches!(refused, Err(ProfileError::BadPassphraseFile { .. })));
    }
}
