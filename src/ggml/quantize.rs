//! A model file into one with other weight types, by llama.cpp's own quantizer.
//!
//! Which tensor becomes what is decided here, tensor by tensor, and never left to llama.cpp's
//! mixtures: these depend on shapes and counts in ways that end in an assertion for some models.

use std::ffi::{CString, NulError};
use std::path::{Path, PathBuf};
use std::ptr;

use llama_cpp_sys_2 as sys;

use crate::gguf::{self, GgufError, Header, ModelFile, TensorInfo, TensorType, Value};

/// What the quantizer pads tensors to, whatever the file says of itself.
const ALIGNMENT: u64 = 32;

/// Why a file cannot be quantized.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// The source is no model that this program reads.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The source is laid out in a way that the quantizer breaks.
    #[error("{} aligns its tensors to {alignment} bytes, which the quantizer cannot", path.display())]
    Alignment {
        /// The source.
        path: PathBuf,
        /// What it says.
        alignment: u64,
    },
    /// A path that C cannot take.
    #[error("a path holds a zero byte or is not UTF-8")]
    Path,
    /// The quantizer failed: mostly the disk is full.
    #[error("{} cannot be written by the quantizer", path.display())]
    Failed {
        /// The target.
        path: PathBuf,
    },
}

impl From<NulError> for QuantizeError {
    fn from(_: NulError) -> Self {
        Self::Path
    }
}

/// Writes the model at `source` to `target`, each matrix as the type that `kind_of` gives it; where
/// that type's blocks do not divide its rows, it keeps its own. What is written is not synced, and
/// of a failure a part may be left.
///
/// # Errors
/// [`QuantizeError`].
pub fn quantize(
    source: &Path,
    target: &Path,
    kind_of: &dyn Fn(&TensorInfo<'_>) -> TensorType,
    threads: u32,
) -> Result<(), QuantizeError> {
    let file = ModelFile::open(source)?;
    let header = gguf::check(&file)?.header;
    check_alignment(source, &header)?;
    let chosen: Vec<(&TensorInfo<'_>, TensorType)> = header
        .tensors()
        .iter()
        .filter(|tensor| is_matrix(tensor))
        .map(|tensor| (tensor, fitting(tensor, kind_of(tensor))))
        .collect();
    let kind_named = |name: &str| {
        let found = chosen.iter().find(|(tensor, _)| tensor.name == name);
        found.map_or(sys::GGML_TYPE_COUNT, |(_, kind)| kind.number())
    };
    let patterns: Vec<CString> =
        chosen.iter().map(|(tensor, _)| exact(tensor.name)).collect::<Result<_, _>>()?;
    let mut overrides: Vec<sys::llama_model_tensor_override> = patterns
        .iter()
        .zip(&chosen)
        .map(|(pattern, (_, kind))| sys::llama_model_tensor_override {
            pattern: pattern.as_ptr(),
            type_: kind.number(),
        })
        .collect();
    overrides.push(sys::llama_model_tensor_override { pattern: ptr::null(), type_: 0 });
    let (source, target_name) = (c_path(source)?, c_path(target)?);
    // SAFETY: it takes nothing and returns a plain struct.
    let mut params = unsafe { sys::llama_model_quantize_default_params() };
    params.nthread = i32::try_from(threads).unwrap_or(0);
    params.ftype = sys::LLAMA_FTYPE_MOSTLY_Q8_0;
    params.token_embedding_type = kind_named("token_embd.weight");
    params.output_tensor_type = kind_named("output.weight");
    params.allow_requantize = true;
    params.pure_ = true;
    params.tt_overrides = overrides.as_ptr();
    // SAFETY: both paths and every pattern end with a zero and outlive the call, which is
    // synchronous; the list of overrides ends with the null pattern that the quantizer looks for;
    // the other pointers of `params` are null, which it takes for absent. What it would assert was
    // checked: the source is a model whose tensors fit their file, and every type's blocks divide
    // the rows of its tensor. Exceptions are caught on its side.
    let code = unsafe {
        sys::llama_model_quantize(source.as_ptr(), target_name.as_ptr(), &raw const params)
    };
    if code == 0 { Ok(()) } else { Err(QuantizeError::Failed { path: target.to_owned() }) }
}

fn check_alignment(path: &Path, header: &Header<'_>) -> Result<(), QuantizeError> {
    let alignment = match header.get("general.alignment") {
        Some(Value::Unsigned(alignment)) => *alignment,
        _ => ALIGNMENT,
    };
    if alignment == ALIGNMENT {
        return Ok(());
    }
    Err(QuantizeError::Alignment { path: path.to_owned(), alignment })
}

/// Whether it is a weight that is multiplied, or looked rows up in; norms and biases stay.
#[must_use]
pub fn is_matrix(tensor: &TensorInfo<'_>) -> bool {
    tensor.dimensions.len() == 2
        && tensor.name.ends_with(".weight")
        && !tensor.name.ends_with("_norm.weight")
}

/// `wanted`, or the type that a matrix has where its rows are no whole number of blocks of that.
#[must_use]
pub fn fitting(tensor: &TensorInfo<'_>, wanted: TensorType) -> TensorType {
    let fits = |row: &u64| row.is_multiple_of(wanted.block_elements() as u64);
    if tensor.dimensions.first().is_some_and(fits) { wanted } else { tensor.kind }
}

/// A regular expression that this name alone fits.
fn exact(name: &str) -> Result<CString, NulError> {
    let mut pattern = String::from("^");
    for char in name.chars() {
        if !char.is_ascii_alphanumeric() && char != '_' {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern.push('$');
    CString::new(pattern)
}

fn c_path(path: &Path) -> Result<CString, QuantizeError> {
    Ok(CString::new(path.to_str().ok_or(QuantizeError::Path)?)?)
}
