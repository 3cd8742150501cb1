//! What can be wrong with a model file, and where.

use std::io;
use std::path::PathBuf;

use crate::error::{Exit, Explain};

/// Why a file is not a model that this program will hand to llama.cpp.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The path is a directory, a pipe, a socket or a device.
    #[error("{} is {what}, not a file", path.display())]
    NotAFile {
        /// The path as given.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// The file cannot be opened or mapped.
    #[error("cannot read the model file {}", path.display())]
    Io {
        /// The path as given.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The bytes of the header do not follow the format.
    #[error("malformed GGUF at byte {offset}: {what}")]
    Malformed {
        /// Where in the file.
        offset: usize,
        /// What stands there.
        what: String,
    },
    /// A metadata key is missing, of the wrong type or out of its range.
    #[error("malformed GGUF, key {key}: {what}")]
    Key {
        /// The key's name.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// A tensor is missing, unknown, of the wrong shape or type, or outside the file.
    #[error("malformed GGUF, tensor {name}: {what}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// The model's architecture is not one that this program runs.
    #[error("the model's architecture is {architecture:?}, which is not supported")]
    Architecture {
        /// `general.architecture` of the file.
        architecture: String,
    },
}

impl GgufError {
    pub(super) fn key(key: &str, what: impl Into<String>) -> Self {
        Self::Key { key: key.to_owned(), what: what.into() }
    }

    pub(super) fn tensor(name: &str, what: impl Into<String>) -> Self {
        Self::Tensor { name: name.to_owned(), what: what.into() }
    }
}

impl Explain for GgufError {
    fn kind(&self) -> &'static str {
        match self {
            Self::NotAFile { .. } => "not_a_file",
            Self::Io { .. } => "unreadable_model",
            Self::Architecture { .. } => "unsupported_architecture",
            Self::Malformed { .. } | Self::Key { .. } | Self::Tensor { .. } => "malformed_model",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::InvalidData,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::NotAFile { .. } => "Give the path of a .gguf file.".into(),
            Self::Io { .. } => "Check that the file exists and that you may read it.".into(),
            Self::Architecture { .. } => "Supported architectures: llama, qwen2, qwen3, gemma3. \
                 `restpg-edge model list` shows models that are known to work."
                .into(),
            Self::Malformed { .. } | Self::Key { .. } | Self::Tensor { .. } => {
                "The file is damaged or was not made by llama.cpp's converter; pull it again or \
                 choose another one (`restpg-edge model list`)."
                    .into()
            }
        })
    }
}
