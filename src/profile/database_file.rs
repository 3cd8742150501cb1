//! How a store's file comes into being: whole, in a folder beside its place, then by its name.
//!
//! So a profile is there once its file is, and a file of no bytes is a damaged profile, never a new
//! one. This file does not know what a store holds.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::{TempDir, TempPath};

use super::{User, delete};
use crate::paths::{self, Paths};

const SQLITE_BESIDE: [&str; 3] = ["db-wal", "db-shm", "db-journal"];

/// Why a store is made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Making {
    /// A new profile.
    Create,
    /// A profile out of a bundle.
    Import,
}

impl Making {
    /// What follows the user's name in that of the folder.
    fn mark(self) -> &'static str {
        match self {
            Self::Create => "create-",
            Self::Import => "import-",
        }
    }
}

/// A folder beside the stores, to make one of `user` in.
pub(super) fn workplace(paths: &Paths, user: &User, making: Making) -> io::Result<TempDir> {
    paths::create_private_folder(&paths.profiles)?;
    let mut prefix = user.database(paths).file_stem().unwrap_or_default().to_owned();
    prefix.push(".");
    prefix.push(making.mark());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(&paths.profiles)
}

/// Gives a finished store its name; `false` where there is one already.
pub(super) fn give_name(database: &Path, paths: &Paths, user: &User) -> io::Result<bool> {
    let target = user.database(paths);
    File::open(database)?.sync_all()?;
    // Nobody gives the same name meanwhile, and begins a log that would be taken for a left one.
    let folder = File::open(&paths.profiles)?;
    folder.lock()?;
    if !target.try_exists()? {
        for what in SQLITE_BESIDE {
            // A log without its database would be taken for the new one's.
            for left in delete::beside(&target, what)? {
                delete::remove(&left)?;
            }
        }
    }
    match TempPath::try_from_path(database)?.persist_noclobber(&target) {
        Ok(()) => folder.sync_all().map(|()| true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    }
}
