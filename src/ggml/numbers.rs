//! Encoded weights into floats, and back.

use llama_cpp_sys_2 as sys;

use super::GgmlError;
use crate::gguf::TensorType;

/// The floats that `bytes`, encoded as `kind`, stand for.
///
/// # Errors
/// [`GgmlError::Shape`] where the bytes are not those of `to.len()` elements.
pub fn decode(kind: TensorType, bytes: &[u8], to: &mut [f32]) -> Result<(), GgmlError> {
    // SAFETY: a constant of a type that the library knows.
    let traits = unsafe { &*sys::ggml_get_type_traits(kind.number()) };
    check(kind, bytes.len(), to.len(), "decoding")?;
    match traits.to_float {
        // SAFETY: as many elements as were checked, whole blocks of them.
        Some(decode) => unsafe { decode(bytes.as_ptr().cast(), to.as_mut_ptr(), to.len() as i64) },
        None => {
            for (value, bytes) in to.iter_mut().zip(bytes.chunks_exact(size_of::<f32>())) {
                *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
        }
    }
    Ok(())
}

/// `values` encoded as `kind`, which needs no statistics of what the weights are used for.
///
/// # Errors
/// [`GgmlError::Shape`] where they are no whole number of blocks, or the type needs statistics.
pub fn encode(kind: TensorType, values: &[f32], to: &mut [u8]) -> Result<(), GgmlError> {
    check(kind, to.len(), values.len(), "encoding")?;
    // SAFETY: a constant of a type that the library knows.
    if unsafe { sys::ggml_quantize_requires_imatrix(kind.number()) } {
        return Err(GgmlError::Shape { op: "encoding", what: format!("{kind:?}") });
    }
    // SAFETY: `to` has room for one row of as many elements, a whole number of blocks; the type
    // takes no statistics.
    unsafe {
        let data = to.as_mut_ptr().cast();
        let count = values.len() as i64;
        sys::ggml_quantize_chunk(
            kind.number(),
            values.as_ptr(),
            data,
            0,
            1,
            count,
            std::ptr::null(),
        );
    }
    Ok(())
}

fn check(
    kind: TensorType,
    bytes: usize,
    elements: usize,
    op: &'static str,
) -> Result<(), GgmlError> {
    // SAFETY: a constant of a type that the library knows.
    let row = || unsafe { sys::ggml_row_size(kind.number(), elements as i64) };
    if elements > 0 && elements.is_multiple_of(kind.block_elements()) && row() == bytes {
        return Ok(());
    }
    Err(GgmlError::Shape { op, what: format!("{bytes} bytes as {elements} elements of {kind:?}") })
}
