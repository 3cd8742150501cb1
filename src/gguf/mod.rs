//! Reading and checking a GGUF file over a read-only memory map, before llama.cpp sees it.
//!
//! llama.cpp aborts the process on many malformed files, and no Rust code can catch that, so
//! everything it would assert is checked here first, in safe Rust with checked arithmetic and an
//! allow-list: what is not known to be right is refused. The format is the GGUF specification of
//! ggml (versions 2 and 3, little-endian).
//!
//! This module knows nothing of llama.cpp's interface, of catalogues, or of where models live.

mod cursor;
mod error;
mod header;
mod hyperparameters;
mod map;
mod quantize;
mod tensor;
mod tensor_table;
mod value;
mod vocabulary;
mod write;

pub use error::GgufError;
pub use header::Header;
pub use hyperparameters::{Architecture, Hyperparameters, Pooling};
pub use map::ModelFile;
pub use quantize::encode;
pub use tensor::{TensorInfo, TensorType};
pub use value::{Array, Value};
pub use write::{Metadata, Tensor, rewrite, write};

/// A model file whose header, hyperparameters, tensors and vocabulary have all been checked.
#[derive(Debug)]
pub struct CheckedModel<'map> {
    /// Every key and tensor of the file.
    pub header: Header<'map>,
    /// The architecture and its sizes.
    pub hyperparameters: Hyperparameters,
}

/// Checks everything in the mapped `file` that llama.cpp relies on.
///
/// # Errors
/// The first thing found wrong, with its place in the file.
pub fn check(file: &ModelFile) -> Result<CheckedModel<'_>, GgufError> {
    let header = Header::parse(file.bytes())?;
    let vocabulary_size = vocabulary::check(&header)?;
    let hyperparameters = Hyperparameters::read(&header, vocabulary_size)?;
    tensor_table::check(&header, &hyperparameters)?;
    Ok(CheckedModel { header, hyperparameters })
}
