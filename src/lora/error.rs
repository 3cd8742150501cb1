//! What can keep an adapter from being fitted, kept or read.

use std::io;
use std::path::PathBuf;

use crate::error::{Error, Exit, Explain};
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
    /// A file cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is there, but no checkpoint for this model.
    #[error("{} is no checkpoint of this program for this model", path.display())]
    NoCheckpoint {
        /// The file.
        path: PathBuf,
    },
    /// A file is there, but no adapter for this model.
    #[error("{} cannot be used: {what}", path.display())]
    NoAdapter {
        /// The file.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// A run was begun with something else.
    #[error("the run in {} was begun with {what}", path.display())]
    OtherRun {
        /// Its checkpoint.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// A line of the examples is not usable.
    #[error("{}, line {line}: {what}", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// Which, from 1.
        line: usize,
        /// Why not.
        what: String,
    },
    /// There is nothing to learn, or nothing to learn it with.
    #[error("{what}")]
    Settings {
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },
    /// It would take more memory than there is.
    #[error("training takes {} MB and there are {} MB", needed_bytes / 1_000_000, available_bytes / 1_000_000)]
    Memory {
        /// With everything that can be computed again computed again.
        needed_bytes: u64,
        /// What there is, or may be used.
        available_bytes: u64,
        /// Rows of the longest pass.
        rows: usize,
    },
    /// The loss or a gradient is no finite number.
    #[error("step {step} came to no finite number")]
    NotFinite {
        /// Which, from 1.
        step: u64,
    },
    /// A checkpoint could not be kept where the caller keeps them.
    #[error("{0}")]
    NotKept(Box<Error>),
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
            Self::Write { .. } => "cannot_write",
            Self::Read { .. } => "cannot_read",
            Self::NoCheckpoint { .. } => "no_checkpoint",
            Self::NoAdapter { .. } => "no_adapter",
            Self::OtherRun { .. } => "other_run",
            Self::Data { .. } => "bad_examples",
            Self::Settings { .. } => "bad_settings",
            Self::Memory { .. } => "out_of_memory",
            Self::NotFinite { .. } => "not_finite",
            Self::NotKept(error) => error.inner().kind(),
            Self::Stopped => "interrupted",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Gguf(error) => error.exit(),
            Self::Ggml(error) => error.exit(),
            Self::Model { .. }
            | Self::NoCheckpoint { .. }
            | Self::NoAdapter { .. }
            | Self::Data { .. } => Exit::InvalidData,
            Self::OtherRun { .. } | Self::Settings { .. } => Exit::Usage,
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => Exit::NotFound,
            Self::Write { .. }
            | Self::Read { .. }
            | Self::Memory { .. }
            | Self::NotFinite { .. } => Exit::Failed,
            Self::NotKept(error) => error.inner().exit(),
            Self::Stopped => Exit::Interrupted,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Gguf(error) => error.help(),
            Self::Ggml(error) => error.help(),
            Self::NotKept(error) => error.inner().help(),
            Self::Model { .. } => {
                Some("Models of the llama, qwen2, qwen3 and gemma3 families can be trained.".into())
            }
            Self::Settings { help, .. } => Some(help.clone()),
            Self::Memory { rows, .. } => Some(format!(
                "The longest pass has {rows} rows: lower --pass-rows, or leave out the longest \
                 examples with --max-tokens; [model] memory_mib_max says what may be used."
            )),
            Self::NotFinite { .. } => Some(
                "The checkpoint is the last good one. A lower --learning-rate may help.".into(),
            ),
            Self::NoCheckpoint { .. } => {
                Some("Give --output another folder, or remove the file.".into())
            }
            Self::OtherRun { .. } => {
                Some("Give the settings it was begun with, or --output another folder.".into())
            }
            Self::Write { .. } => {
                Some("Name a place that is there, can be written to and has room.".into())
            }
            Self::Read { .. } => {
                Some("Check the path, and that you may read what is there.".into())
            }
            Self::NoAdapter { .. } => Some(
                "An adapter is the folder of a run of `restpg-edge lora fit`, a GGUF file, or a \
                 folder with PEFT's adapter_model.safetensors and adapter_config.json."
                    .into(),
            ),
            Self::Data { .. } | Self::Stopped => None,
        }
    }
}
