//! What can go wrong between a checked model file and a token.

use std::path::PathBuf;

use crate::error::{Exit, Explain};
use crate::gguf::GgufError;

/// Why a model cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum LlamaError {
    /// llama.cpp cannot be started, or was started twice.
    #[error("llama.cpp cannot be started: {reason}")]
    Backend {
        /// What it says.
        reason: String,
    },
    /// The file failed the check.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// llama.cpp refused the file.
    #[error("llama.cpp cannot load {}", path.display())]
    Load {
        /// The model file.
        path: PathBuf,
    },
    /// llama.cpp refused the adapter.
    #[error("llama.cpp cannot use the adapter {adapter}")]
    Adapter {
        /// Which.
        adapter: String,
    },
    /// An adapter of a profile cannot be handed over without writing it to the disk.
    #[error("this system has no files in memory, which an adapter of a profile is read from")]
    NoMemoryFile {
        /// The system's reason.
        source: std::io::Error,
    },
    /// A model that turns texts into vectors was to write.
    #[error("{} is an embedding model: it cannot write", path.display())]
    EmbedsOnly {
        /// The model file.
        path: PathBuf,
    },
    /// A model that writes was to turn a text into a vector.
    #[error("{} is no embedding model", path.display())]
    DoesNotEmbed {
        /// The model file.
        path: PathBuf,
    },
    /// Not enough memory for the context, or a setting that the model cannot run with.
    #[error("llama.cpp cannot make a context of {context_tokens} tokens")]
    Context {
        /// The size asked for.
        context_tokens: u32,
    },
    /// The weights give no usable numbers.
    #[error("the model's output is not finite: its weights are damaged")]
    NotFinite,
    /// The sequence is full.
    #[error("the context of {context_tokens} tokens is full")]
    ContextFull {
        /// Its size.
        context_tokens: u32,
    },
    /// A batch could not be decoded.
    #[error("decoding failed: {reason}")]
    Decode {
        /// What llama.cpp says.
        reason: String,
    },
}

impl Explain for LlamaError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Backend { .. } => "llama_backend",
            Self::Gguf(error) => error.kind(),
            Self::Load { .. } => "malformed_model",
            Self::Adapter { .. } => "malformed_adapter",
            Self::NoMemoryFile { .. } => "no_memory_file",
            Self::EmbedsOnly { .. } | Self::DoesNotEmbed { .. } => "wrong_kind_of_model",
            Self::Context { .. } => "no_context",
            Self::NotFinite => "damaged_model",
            Self::ContextFull { .. } => "context_full",
            Self::Decode { .. } => "decode_failed",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Gguf(_) | Self::Load { .. } | Self::Adapter { .. } | Self::NotFinite => {
                Exit::InvalidData
            }
            Self::EmbedsOnly { .. } | Self::DoesNotEmbed { .. } => Exit::Usage,
            Self::Backend { .. }
            | Self::NoMemoryFile { .. }
            | Self::Context { .. }
            | Self::ContextFull { .. }
            | Self::Decode { .. } => Exit::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Backend { .. } | Self::Decode { .. } => None,
            Self::Gguf(error) => error.help(),
            Self::NoMemoryFile { .. } => {
                Some("Write without it: --adapter none; training needs Linux.".into())
            }
            Self::Adapter { .. } => {
                Some("An adapter belongs to the model that it was fitted to.".into())
            }
            Self::Load { .. } => {
                Some("Run again with -v to see what llama.cpp says of the file.".into())
            }
            Self::EmbedsOnly { .. } => Some(
                "Name a model that writes with --model or [model] name; `restpg-edge model list` \
                 shows which."
                    .into(),
            ),
            Self::DoesNotEmbed { .. } => Some(
                "Name an embedding model in [retrieve] embedder, such as all-minilm-l6-v2.".into(),
            ),
            Self::Context { .. } | Self::ContextFull { .. } => Some(
                "Lower [model] context_tokens, --k or --max-tokens, or take a smaller model."
                    .into(),
            ),
            Self::NotFinite => Some(
                "Check the file with `restpg-edge model verify`, or pull the model again.".into(),
            ),
        }
    }
}
