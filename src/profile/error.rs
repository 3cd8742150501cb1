//! What can go wrong with a profile.

use std::path::PathBuf;

use super::{KeyringError, Protection};
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
    /// The key is sealed, and there is nobody to ask for its passphrase.
    #[error("the key of user {user:?} is protected by a passphrase")]
    PassphraseNeeded {
        /// The user.
        user: String,
    },
    /// The passphrase is not the one that sealed the key.
    #[error("the passphrase does not open the key of user {user:?}")]
    WrongPassphrase {
        /// The user.
        user: String,
    },
    /// A passphrase of no characters.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// A file that is given as a passphrase and is none.
    #[error("the passphrase file {} {what}", path.display())]
    BadPassphraseFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The system's keyring does not take what is to seal the key.
    #[error("the key of user {user:?} cannot be sealed with the system's keyring")]
    KeyringRefuses {
        /// The user.
        user: String,
        /// What the keyring says.
        source: KeyringError,
    },
    /// The system's keyring does not give what seals the key.
    #[error("the key of user {user:?} cannot be opened")]
    Keyring {
        /// The user.
        user: String,
        /// What the keyring says.
        source: KeyringError,
    },
    /// The key is sealed already.
    #[error("the key of user {user:?} is protected by {} already", by.name())]
    AlreadyProtected {
        /// The user.
        user: String,
        /// What seals it.
        by: Protection,
    },
    /// The key is not sealed.
    #[error("the key of user {user:?} is protected by its file's permissions alone")]
    NotProtected {
        /// The user.
        user: String,
    },
    /// There is no such adapter.
    #[error("user {user:?} has no adapter {adapter:?}")]
    NoSuchAdapter {
        /// The user.
        user: String,
        /// Its id.
        adapter: String,
    },
    /// No adapter of the model is in use.
    #[error("no adapter of user {user:?} is in use for this model")]
    NoAdapterInUse {
        /// The user.
        user: String,
    },
    /// A run of training has gone, with a document or a draft that it learned from or by hand.
    #[error("the training run of user {user:?} has been removed meanwhile")]
    NoSuchRun {
        /// The user.
        user: String,
    },
    /// The adapter must not be used.
    #[error("the adapter {adapter} cannot be used: {reason}")]
    InvalidAdapter {
        /// Its id.
        adapter: String,
        /// Why not.
        reason: String,
    },
    /// There is no such draft, or none at all.
    #[error("user {user:?} has no draft{}", draft.as_ref().map(|id| format!(" {id:?}")).unwrap_or_default())]
    NoSuchDraft {
        /// The user.
        user: String,
        /// Its id; `None`: any.
        draft: Option<String>,
    },
    /// No document is what should be forgotten.
    #[error("user {user:?} has nothing of that kind to forget")]
    NothingToForget {
        /// The user.
        user: String,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// Wrong key or damaged file.
    #[error("the profile {} cannot be decrypted with its key", path.display())]
    Undecryptable {
        /// The store's file.
        path: PathBuf,
    },
    /// A page of the file is not what was written.
    #[error("the profile {} is damaged", path.display())]
    Damaged {
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
            Self::PassphraseNeeded { .. } => "passphrase_needed",
            Self::WrongPassphrase { .. } => "wrong_passphrase",
            Self::EmptyPassphrase => "empty_passphrase",
            Self::BadPassphraseFile { .. } => "bad_passphrase_file",
            Self::KeyringRefuses { .. } | Self::Keyring { .. } => "keyring",
            Self::AlreadyProtected { .. } => "already_protected",
            Self::NotProtected { .. } => "not_protected",
            Self::NoSuchAdapter { .. } | Self::NoAdapterInUse { .. } => "no_such_adapter",
            Self::NoSuchRun { .. } => "no_such_run",
            Self::InvalidAdapter { .. } => "invalid_adapter",
            Self::NoSuchDraft { .. } => "no_such_draft",
            Self::NothingToForget { .. } => "nothing_to_forget",
            Self::Interrupted => "interrupted",
            Self::Undecryptable { .. } => "undecryptable_profile",
            Self::Damaged { .. } => "damaged_profile",
            Self::Busy { .. } => "profile_busy",
            Self::TooNew { .. } => "profile_too_new",
            Self::Database { .. } | Self::Io { .. } => "profile_store",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::BadUserName { .. }
            | Self::AmbiguousDocument { .. }
            | Self::PassphraseNeeded { .. }
            | Self::EmptyPassphrase
            | Self::BadPassphraseFile { .. } => Exit::Usage,
            Self::NoSuchUser { .. }
            | Self::NoSuchDocument { .. }
            | Self::NoSuchAdapter { .. }
            | Self::NoAdapterInUse { .. }
            | Self::NoSuchRun { .. }
            | Self::NoSuchDraft { .. }
            | Self::NothingToForget { .. } => Exit::NotFound,
            Self::Interrupted => Exit::Interrupted,
            Self::WrongPassphrase { .. }
            | Self::KeyringRefuses { .. }
            | Self::Keyring { .. }
            | Self::AlreadyProtected { .. }
            | Self::NotProtected { .. }
            | Self::KeyMissing { .. }
            | Self::InvalidAdapter { .. }
            | Self::BadKey { .. }
            | Self::Undecryptable { .. }
            | Self::Damaged { .. }
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
            Self::KeyMissing { user, .. } => format!(
                "Put the key file back from a backup: without it the profile cannot be read. To \
                 remove what is left of it: `restpg-edge profile delete --user {user:?}`."
            ),
            Self::BadKey { path, .. } => {
                format!("Restore it from a backup, or run `chmod 600 {}`.", path.display())
            }
            Self::PassphraseNeeded { .. } => "Put the passphrase in a file that you alone may \
                 read, and name it with --passphrase-file FILE; or run the command on a terminal \
                 and type it."
                .into(),
            Self::WrongPassphrase { .. } => "Try again; upper and lower case, blanks and the \
                 keyboard's layout matter. Where it is surely right, the key file is damaged: \
                 restore it from a backup."
                .into(),
            Self::EmptyPassphrase => "Choose one of several words.".into(),
            Self::BadPassphraseFile { path, .. } => format!(
                "Its first line is the passphrase, and you alone may read it: `chmod 600 {}`.",
                path.display()
            ),
            Self::KeyringRefuses { .. } => {
                "The key is kept as before. Unlock the keyring, and run \
                 the command where it runs; over ssh or in a service there may be none."
                    .into()
            }
            Self::Keyring { source: KeyringError::Lost, .. } => "Bring the keyring back from a \
                 backup, or the profile from an exported one: `restpg-edge profile import FILE`."
                .into(),
            Self::Keyring { user, .. } => format!(
                "Unlock the keyring, and run the command where it runs: over ssh or in a service \
                 there may be none. `restpg-edge profile unprotect --user {user:?}`, where it \
                 runs, makes the key independent of it."
            ),
            Self::AlreadyProtected { user, .. } => format!(
                "To protect it otherwise: `restpg-edge profile unprotect --user {user:?}`, then \
                 `protect` again."
            ),
            Self::NotProtected { user } => {
                format!("`restpg-edge profile protect --user {user:?}` protects it.")
            }
            Self::NoSuchAdapter { user, .. } | Self::NoAdapterInUse { user } => {
                format!("`restpg-edge adapter list --user {user:?}` shows which there are.")
            }
            Self::NoSuchRun { user } => {
                format!("Begin another: `restpg-edge train --user {user:?}`.")
            }
            Self::InvalidAdapter { adapter, .. } => format!(
                "Train another one; `restpg-edge adapter remove` takes {adapter} from the list."
            ),
            Self::NoSuchDraft { user, .. } => {
                format!("`restpg-edge drafts list --user {user:?}` names those that were kept.")
            }
            Self::NothingToForget { user } => format!(
                "`restpg-edge profile list --user {user:?}` shows the documents with their ids \
                 and dates; a path is that of the file or folder when it was ingested."
            ),
            Self::Interrupted => return None,
            Self::Undecryptable { .. } => {
                "The key file or the profile was replaced or damaged; restore both from a backup."
                    .into()
            }
            Self::Damaged { .. } => {
                "Restore it from an exported profile or a backup; the disk may be failing.".into()
            }
            Self::Busy { .. } => "Try again when the other command has finished.".into(),
            Self::TooNew { .. } => "Update restpg-edge.".into(),
            Self::Database { .. } | Self::Io { .. } => {
                "Check the folder's permissions and the free space.".into()
            }
        })
    }
}
