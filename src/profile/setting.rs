//! What a profile remembers of its person besides the documents: settings by name.
//!
//! This file does not know what the names mean.

use rusqlite::OptionalExtension;

use super::{ProfileError, ProfileStore};

impl ProfileStore {
    /// What is remembered under `name`.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn setting(&self, name: &str) -> Result<Option<String>, ProfileError> {
        self.connection
            .query_row("SELECT value FROM setting WHERE name = ?1", [name], |row| row.get(0))
            .optional()
            .map_err(|error| self.failed(error))
    }

    /// Remembers `value` under `name`, instead of what was there.
    ///
    /// # Errors
    /// [`ProfileError::Busy`] or [`ProfileError::Database`].
    pub fn set_setting(&mut self, name: &str, value: &str) -> Result<(), ProfileError> {
        self.connection
            .execute(
                "INSERT INTO setting (name, value) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET value = ?2",
                [name, value],
            )
            .map(|_| ())
            .map_err(|error| self.failed(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;
    use crate::profile::{NoPassphrase, User};

    #[test]
    fn what_is_remembered_outlives_the_process_and_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(folder.path())).unwrap();
        let user = User::parse("me").unwrap();
        let mut store = ProfileStore::open_or_create(&paths, &user, &NoPassphrase).unwrap();
        assert_eq!(store.setting("me").unwrap(), None);
        store.set_setting("me", "[1]").unwrap();
        store.set_setting("me", "[2]").unwrap();
        drop(store);
        let store = ProfileStore::open(&paths, &user, &NoPassphrase).unwrap();
        assert_eq!(store.setting("me").unwrap().as_deref(), Some("[2]"));
    }
}
