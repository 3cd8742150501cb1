//! What can go wrong with a profile in a file.

use std::path::PathBuf;

use crate::error::{Exit, Explain};
use crate::profile::ProfileError;

/// Why a profile cannot be exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The profile itself.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Not a bundle, a damaged one, or one that asks for too much.
    #[error("{} {what}", path.display())]
    Bad {
        /// The bundle.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The passphrase is not the one that locked the bundle.
    #[error("the passphrase does not open {}", path.display())]
    WrongPassphrase {
        /// The bundle.
        path: PathBuf,
    },
    /// The bundle is locked for others.
    #[error("no identity of {} opens {}", identities.display(), path.display())]
    WrongIdentity {
        /// The bundle.
        path: PathBuf,
        /// The file of identities.
        identities: PathBuf,
    },
    /// The bundle is locked with a passphrase, and an identity was given, or the reverse.
    #[error("{} is locked {how}", path.display())]
    OtherLock {
        /// The bundle.
        path: PathBuf,
        /// How it is locked.
        how: &'static str,
        /// What to give instead.
        instead: &'static str,
    },
    /// No age recipient. What was given is not repeated: it might be a secret key.
    #[error("{place} is no age recipient")]
    BadRecipient {
        /// Where it was given.
        place: String,
    },
    /// Nobody to lock the bundle for, or too many.
    #[error("a bundle is locked for 1 to {most} recipients, not for {given}")]
    RecipientCount {
        /// How many were given.
        given: usize,
        /// How many it may be.
        most: usize,
    },
    /// A file of identities that holds none.
    #[error("{} holds no age identity", path.display())]
    BadIdentities {
        /// The file.
        path: PathBuf,
    },
    /// What would be written is there already.
    #[error("{} is there already", path.display())]
    FileExists {
        /// The file.
        path: PathBuf,
    },
    /// A user of that name has a profile here.
    #[error("there is a user called {user:?} already")]
    UserExists {
        /// The user.
        user: String,
    },
    /// A user of that name has a key here, and it is another one.
    #[error("another key for user {user:?} is there already: {}", path.display())]
    KeyInTheWay {
        /// The user.
        user: String,
        /// The key file.
        path: PathBuf,
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

impl Explain for BundleError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Profile(error) => error.kind(),
            Self::Bad { .. } => "bad_bundle",
            Self::WrongPassphrase { .. } => "wrong_passphrase",
            Self::WrongIdentity { .. } => "wrong_identity",
            Self::OtherLock { .. } => "other_lock",
            Self::BadRecipient { .. } | Self::RecipientCount { .. } => "bad_recipient",
            Self::BadIdentities { .. } => "bad_identity",
            Self::FileExists { .. } => "file_exists",
            Self::UserExists { .. } => "user_exists",
            Self::KeyInTheWay { .. } => "key_exists",
            Self::Io { .. } => "bundle_file",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Profile(error) => error.exit(),
            Self::Bad { .. } | Self::BadIdentities { .. } => Exit::InvalidData,
            Self::WrongPassphrase { .. }
            | Self::WrongIdentity { .. }
            | Self::KeyInTheWay { .. }
            | Self::Io { .. } => Exit::Failed,
            Self::OtherLock { .. }
            | Self::BadRecipient { .. }
            | Self::RecipientCount { .. }
            | Self::FileExists { .. }
            | Self::UserExists { .. } => Exit::Usage,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Profile(error) => return error.help(),
            Self::Bad { .. } => {
                "Nothing was imported. Take another copy, or export the profile again.".into()
            }
            Self::WrongPassphrase { .. } => "Try again; it is the one that was chosen when the \
                 profile was exported."
                .into(),
            Self::WrongIdentity { .. } => {
                "Give the identity of one of the recipients that it was exported for.".into()
            }
            Self::OtherLock { instead, .. } => (*instead).into(),
            Self::BadRecipient { .. } => "A recipient is a public key as `age-keygen -y` prints \
                 it; it begins with age1."
                .into(),
            Self::RecipientCount { .. } => {
                "Name them with --recipient or --recipient-file, or leave both out for a \
                 passphrase."
                    .into()
            }
            Self::BadIdentities { .. } => "An identity is a secret key in a file as `age-keygen` \
                 writes it; it begins with AGE-SECRET-KEY-."
                .into(),
            Self::FileExists { .. } => "Choose another name, or overwrite it with --force.".into(),
            Self::UserExists { user } => format!(
                "Choose another name for the imported profile with --user, or remove the one here \
                 first: `restpg-edge profile delete --user {user:?}`."
            ),
            Self::KeyInTheWay { user, .. } => format!(
                "If no profile needs it any more, remove it: `restpg-edge profile delete --user \
                 {user:?}`. Otherwise choose another name with --user."
            ),
            Self::Io { .. } => {
                "Check the path, the folder's permissions and the free space.".into()
            }
        })
    }
}
