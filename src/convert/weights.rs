//! Tensors of a safetensors file as 32-bit floats.

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use super::ConvertError;

/// The weights of a published model.
pub(super) struct Weights<'a> {
    file: SafeTensors<'a>,
    /// What the names begin with; some publishers write `bert.`.
    prefix: &'static str,
}

impl<'a> Weights<'a> {
    /// Reads the file; `prefix` is taken off the names where they have it.
    pub(super) fn parse(bytes: &'a [u8], prefix: &'static str) -> Result<Self, ConvertError> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| ConvertError::Malformed {
            file: "model.safetensors",
            what: format!("cannot be read: {error}"),
        })?;
        let has_prefix = file.names().iter().any(|name| name.starts_with(prefix));
        Ok(Self { file, prefix: if has_prefix { prefix } else { "" } })
    }

    /// The tensor called `name`, row by row, which must have `shape` (the contiguous dimension
    /// last, as safetensors writes it).
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ConvertError> {
        let name = format!("{}{name}", self.prefix);
        let fail = |what: String| ConvertError::Tensor { name: name.clone(), what };
        let tensor = self.file.tensor(&name).map_err(|_| fail("is missing".into()))?;
        if tensor.shape() != shape {
            let what = format!("has shape {:?}; config.json makes it {shape:?}", tensor.shape());
            return Err(fail(what));
        }
        let bytes = tensor.data();
        let values: Vec<f32> = match tensor.dtype() {
            Dtype::F32 => {
                bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
            Dtype::F16 => bytes
                .as_chunks()
                .0
                .iter()
                .map(|bytes| f16::from_le_bytes(*bytes).to_f32())
                .collect(),
            Dtype::BF16 => bytes
                .as_chunks()
                .0
                .iter()
                .map(|bytes| bf16::from_le_bytes(*bytes).to_f32())
                .collect(),
            other => return Err(fail(format!("is {other:?}; F32, F16 and BF16 are known"))),
        };
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(fail("holds a value that is not finite".into()))
        }
    }
}
