//! What ends an ingest as a whole; a source that cannot be used does not.

use std::path::PathBuf;

use crate::error::{Exit, Explain};
use crate::profile::ProfileError;

/// Why an ingest ended early.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The profile cannot be read or changed.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The program that reads the files does not start.
    #[error("cannot start the reader {}", program.display())]
    Reader {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Explain for IngestError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Profile(error) => error.kind(),
            Self::Reader { .. } => "no_reader",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Profile(error) => error.exit(),
            Self::Reader { .. } => Exit::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Profile(error) => error.help(),
            Self::Reader { .. } => {
                Some("Run the command again; what was stored before stays.".into())
            }
        }
    }
}
