//! Names of users, and the files that belong to one.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::ProfileError;
use crate::paths::Paths;

const NAME_BYTES_MAX: usize = 64;

/// A user's name: letters, digits, spaces and `. _ - @ + ( ) ' ,`; at most 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct User(String);

impl User {
    /// Checks a name.
    ///
    /// # Errors
    /// [`ProfileError::BadUserName`].
    pub fn parse(name: &str) -> Result<Self, ProfileError> {
        let allowed = |char: char| char.is_alphanumeric() || " ._-@+()',".contains(char);
        let name = name.trim();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(allowed) {
            return Err(ProfileError::BadUserName {
                name: name.chars().take(NAME_BYTES_MAX).collect(),
            });
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a file name: whatever is not a plain letter or digit becomes %XX, so that no
    /// two names meet in one file, on file systems that ignore case too.
    fn file_stem(&self) -> String {
        let mut stem = String::new();
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => stem.push(char::from(byte)),
                other => stem.push_str(&format!("%{other:02x}")),
            }
        }
        stem
    }

    pub(super) fn database(&self, paths: &Paths) -> PathBuf {
        paths.profiles.join(format!("{}.db", self.file_stem()))
    }

    /// Whether there is a profile of this user.
    pub(super) fn has_database(&self, paths: &Paths) -> Result<bool, ProfileError> {
        let path = self.database(paths);
        path.try_exists().map_err(|source| ProfileError::Io { path, source })
    }

    pub(super) fn key_file(&self, paths: &Paths) -> PathBuf {
        paths.keys.join(format!("{}.key", self.file_stem()))
    }

    fn from_file_stem(stem: &str) -> Option<Self> {
        let mut bytes = Vec::new();
        let mut rest = stem;
        while let Some((before, after)) = rest.split_once('%') {
            bytes.extend_from_slice(before.as_bytes());
            bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
            rest = &after[2..];
        }
        bytes.extend_from_slice(rest.as_bytes());
        Self::parse(std::str::from_utf8(&bytes).ok()?).ok()
    }
}

impl fmt::Display for User {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The users that have a profile, in order of their names.
///
/// # Errors
/// [`ProfileError::Io`] where the folder of the profiles cannot be read.
pub fn users(paths: &Paths) -> Result<Vec<User>, ProfileError> {
    let failed = |source| ProfileError::Io { path: paths.profiles.clone(), source };
    let entries = match std::fs::read_dir(&paths.profiles) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut users = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".db"));
        users.extend(stem.and_then(User::from_file_stem));
    }
    users.sort();
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_file_system() {
        for name in ["me", "Jeff Hostetler (git)", "Ævar Arnfjörð Bjarmason", "a.b@c-d_e+f"] {
            let user = User::parse(name).unwrap();
            let stem = user.file_stem();
            assert!(!stem.contains(['/', '.', ' ']), "{stem}");
            assert_eq!(User::from_file_stem(&stem), Some(user));
        }
    }

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for name in ["", " ", "../x", "a/b", "a\0b", "x".repeat(65).as_str(), "a\nb"] {
            assert!(User::parse(name).is_err(), "{name:?}");
        }
    }
}
