//! Embedding models as they are published (config.json, model.safetensors, tokenizer.json) into
//! GGUF files that llama.cpp embeds with.
//!
//! The same folder gives the same bytes. Knows nothing of catalogues, names or llama.cpp.

mod bert;
mod weights;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Exit, Explain};
use crate::gguf::{self, TensorType};

/// Files larger than this are no embedding model of a kind that is converted here.
const FILE_BYTES_MAX: u64 = 8 << 30;

/// The files of a published model.
#[derive(Debug)]
struct Published {
    /// config.json: architecture and sizes.
    config: Vec<u8>,
    /// tokenizer.json: vocabulary and normalisation.
    tokenizer: Vec<u8>,
    /// model.safetensors: the weights.
    weights: Vec<u8>,
    /// 1_Pooling/config.json: how token embeddings become one, where the publisher says.
    pooling: Option<Vec<u8>>,
}

/// Where the files of a published model lie in its folder.
pub const FILES: [&str; 4] =
    ["config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"];

impl Published {
    /// Reads the files of `folder`.
    fn read(folder: &Path) -> Result<Self, ConvertError> {
        let read = |name: &str| {
            let path = folder.join(name);
            let unreadable = |source| ConvertError::Unreadable { path: path.clone(), source };
            let metadata = fs::metadata(&path).map_err(unreadable)?;
            if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
                return Err(unreadable(io::ErrorKind::InvalidInput.into()));
            }
            fs::read(&path).map_err(unreadable)
        };
        let [config, tokenizer, weights, pooling] = FILES;
        Ok(Self {
            config: read(config)?,
            tokenizer: read(tokenizer)?,
            weights: read(weights)?,
            pooling: if folder.join(pooling).exists() { Some(read(pooling)?) } else { None },
        })
    }
}

/// Converts the model in `folder` and writes the GGUF file to `out`; the matrices become `kind`.
///
/// # Errors
/// [`ConvertError`] with the file and what is wrong in it.
pub fn convert(
    folder: &Path,
    kind: TensorType,
    out: &mut dyn io::Write,
) -> Result<(), ConvertError> {
    let converted = bert::bert(&Published::read(folder)?, kind)?;
    gguf::write(out, &converted.metadata, &converted.tensors).map_err(ConvertError::Write)
}

/// Why a folder cannot be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// A file is missing or cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The converted file cannot be written.
    #[error("cannot write the converted model")]
    Write(#[source] io::Error),
    /// A file is not what its name says.
    #[error("{file} {what}")]
    Malformed {
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A tensor is missing or has another shape than config.json says.
    #[error("model.safetensors: the tensor {name} {what}")]
    Tensor {
        /// Its name there.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// A kind of model that is not converted here.
    #[error("{what} is not supported")]
    Unsupported {
        /// What it is.
        what: String,
    },
}

impl Explain for ConvertError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable_model_folder",
            Self::Write(_) => "model_store",
            Self::Malformed { .. } | Self::Tensor { .. } => "malformed_model",
            Self::Unsupported { .. } => "unsupported_model",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Write(_) => Exit::Failed,
            Self::Unreadable { .. }
            | Self::Malformed { .. }
            | Self::Tensor { .. }
            | Self::Unsupported { .. } => Exit::InvalidData,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Unreadable { .. } => format!(
                "A folder with {} is needed, as sentence-transformers saves a model.",
                FILES[..3].join(", ")
            ),
            Self::Write(_) => "Check the folder's permissions and the free space.".into(),
            Self::Malformed { .. } | Self::Tensor { .. } => {
                "Fetch the model's folder again: a file in it is damaged or incomplete.".into()
            }
            Self::Unsupported { .. } => "BERT embedding models with a WordPiece vocabulary can be \
                 imported; for others, pull a GGUF file."
                .into(),
        })
    }
}
