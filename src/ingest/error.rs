//! Why an ingest could not be tried, or had to stop.

use std::io;

use crate::error::{Exit, Explain};
use crate::profile::ProfileError;

/// What ends an ingest as a whole; a bad file or line does not.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Standard input cannot be read.
    #[error("cannot read standard input")]
    Stdin {
        /// The system's reason.
        source: io::Error,
    },
    /// Standard input does not end.
    #[error("standard input is longer than {bytes_max} bytes")]
    StdinTooLong {
        /// The bound, `[ingest] file_mib_max`.
        bytes_max: u64,
    },
    /// The store cannot take it.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

impl Explain for IngestError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Stdin { .. } => "unreadable_stdin",
            Self::StdinTooLong { .. } => "stdin_too_long",
            Self::Profile(error) => error.kind(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Stdin { .. } => Exit::Failed,
            Self::StdinTooLong { .. } => Exit::InvalidData,
            Self::Profile(error) => error.exit(),
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Stdin { .. } => None,
            Self::StdinTooLong { .. } => {
                Some("Split it, or raise [ingest] file_mib_max in the config file.".into())
            }
            Self::Profile(error) => error.help(),
        }
    }
}
