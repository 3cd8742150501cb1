//! What can go wrong with a profile.

use std::path::PathBuf;

use crate::error::{Exit, Explain};

/// Why a profile cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// A name that cannot be a user's.
    #[error("{name:?} cannot be a user's name")]
    BadUserName {
        /// The name, cut to a reasonable length.
        name: String,
    },
    /// No profile of that name.
    #[error("there is no user called {user:?}")]
    NoSuchUser {
        /// The name as given.
        user: String,
        /// Those that exist.
        known: Vec<String>,
    },
    /// No document of that id.
    #[error("user {user:?} has no document {document:?}")]
    NoSuchDocument {
        /// The user.
        user: String,
        /// As given.
        document: String,
    },
    /// The beginning of an id fits several documents.
    #[error("{document:?} is the beginning of several documents' ids")]
    AmbiguousDocument {
        /// As given.
        document: String,
        /// Some of those that fit.
        matches: Vec<String>,
    },
    /// The store is there, its key is not.
    #[error("the key of user {user:?} is missing: {}", path.display())]
    KeyMissing {
        /// The user.
        user: String,
        /// Where the key should be.
        path: PathBuf,
    },
    /// The key file is there but holds no key, or others may read it.
    #[error("the key file {} {what}", path.display())]
    BadKey {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Wrong key or damaged file.
    #[error("the profile {} cannot be decrypted with its key", path.display())]
    Undecryptable {
        /// The store's file.
        path: PathBuf,
    },
    /// Another process is writing.
    #[error("another restpg-edge is changing the profile of {user:?}")]
    Busy {
        /// The user.
        user: String,
    },
    /// Written by a newer program.
    #[error("the profile {} has format {found}; this program knows up to {known}", path.display())]
    TooNew {
        /// The store's file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// This program's.
        known: i64,
    },
    /// The database reports an error.
    #[error("the profile {} cannot be read or written", path.display())]
    Database {
        /// The store's file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A file cannot be read or written.
    #[error("cannot read or write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Explain for ProfileError {
    fn kind(&self) -> &'static str {
        match self {
            Self::BadUserName { .. } => "bad_user_name",
            Self::NoSuchUser { .. } => "no_such_user",
            Self::NoSuchDocument { .. } => "no_such_document",
            Self::AmbiguousDocument { .. } => "ambiguous_document",
            Self::KeyMissing { .. } => "key_missing",
            Self::BadKey { .. } => "bad_key",
            Self::Undecryptable { .. } => "undecryptable_profile",
            Self::Busy { .. } => "profile_busy",
            Self::TooNew { .. } => "profile_too_new",
            Self::Database { .. } | Self::Io { .. } => "profile_store",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::BadUserName { .. } | Self::AmbiguousDocument { .. } => Exit::Usage,
            Self::NoSuchUser { .. } | Self::NoSuchDocument { .. } => Exit::NotFound,
            Self::KeyMissing { .. }
            | Self::BadKey { .. }
            | Self::Undecryptable { .. }
            | Self::Busy { .. }
            | Self::TooNew { .. }
            | Self::Database { .. }
            | Self::Io { .. } => Exit::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::BadUserName { .. } => "Use letters, digits, spaces and . _ - @ + ( ) ' , — at \
                 most 64 bytes."
                .into(),
            Self::NoSuchUser { user, known } if known.is_empty() => format!(
                "No profile exists yet. Create one: `restpg-edge ingest --user {user:?} FOLDER`."
            ),
            Self::NoSuchUser { user, known } => format!(
                "Users: {}. A new one comes into being with `restpg-edge ingest --user {user:?} \
                 FOLDER`.",
                known.join(", ")
            ),
            Self::NoSuchDocument { user, .. } => {
                format!("`restpg-edge profile list --user {user:?}` shows the ids.")
            }
            Self::AmbiguousDocument { matches, .. } => {
                format!("Give more of it; it fits {}.", matches.join(", "))
            }
            Self::KeyMissing { .. } => "Put the key file back from a backup: without it the \
                 profile cannot be read."
                .into(),
            Self::BadKey { path, .. } => {
                format!("Restore it from a backup, or run `chmod 600 {}`.", path.display())
            }
            Self::Undecryptable { .. } => {
                "The key file or the profile was replaced or damaged; restore both from a backup."
                    .into()
            }
            Self::Busy { .. } => "Try again when the other command has finished.".into(),
            Self::TooNew { .. } => "Update restpg-edge.".into(),
            Self::Database { .. } | Self::Io { .. } => {
                "Check the folder's permissions and the free space.".into()
            }
        })
    }
}
