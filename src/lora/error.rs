//! What can keep an adapter from being fitted, kept or read.

use crate::error::{Exit, Explain};
use crate::ggml::GgmlError;
use crate::gguf::GgufError;

/// Why training cannot begin or go on, or an adapter cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoraError {
    /// The model's file is not what it must be.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The device cannot.
    #[error(transparent)]
    Ggml(#[from] GgmlError),
    /// The trainer does not know this kind of model.
    #[error("the model cannot be trained: {what}")]
    Model {
        /// Why not.
        what: String,
    },
    /// Somebody asked to stop.
    #[error("stopped")]
    Stopped,
}

impl Explain for LoraError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Gguf(error) => error.kind(),
            Self::Ggml(error) => error.kind(),
            Self::Model { .. } => "unsupported_model",
            Self::Stopped => "interrupted",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Gguf(error) => error.exit(),
            Self::Ggml(error) => error.exit(),
            Self::Model { .. } => Exit::InvalidData,
            Self::Stopped => Exit::Interrupted,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Gguf(error) => error.help(),
            Self::Ggml(error) => error.help(),
            Self::Model { .. } => {
                Some("`restpg-edge model list` names models that can be trained.".into())
            }
            Self::Stopped => None,
        }
    }
}
