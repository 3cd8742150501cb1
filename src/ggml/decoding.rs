//! Weights as 32-bit floats, as they lie or transposed.
//!
//! A product sums over the rows of one matrix on the way there and over its columns on the way
//! back, and is fastest where what is not summed over is contiguous. Decoding has to write every
//! element anyway, and can do so in either order at the same price.

use std::slice;

use llama_cpp_sys_2 as sys;

use super::operations::check;
use super::products::{ALL_THREADS, stripe};
use super::{GgmlError, Graph, Tensor};

/// Rows that are decoded before they are turned: as many floats as a line of the caches has.
const ROWS: usize = 16;

impl<'g> Graph<'g, '_> {
    /// Weights as 32-bit floats; those that are such already stay where they are.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn decoded(&'g self, weight: Tensor<'g>) -> Result<Tensor<'g>, GgmlError> {
        if weight.is_f32() { Ok(weight) } else { self.decoded_copy(weight) }
    }

    /// Weights as 32-bit floats of the graph's own, which it may change.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn decoded_copy(&'g self, weight: Tensor<'g>) -> Result<Tensor<'g>, GgmlError> {
        let is_float = weight.type_number() != sys::GGML_TYPE_I32;
        check(is_float && weight.is_contiguous(), "decoded", &[weight])?;
        // SAFETY: room was reserved; every type of weight can be copied into floats.
        self.made(unsafe {
            sys::ggml_cast(self.reserve()?, weight.raw.as_ptr(), sys::GGML_TYPE_F32)
        })
    }

    /// A matrix of weights, [n, m], as 32-bit floats of the graph's own, [m, n].
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn decoded_transposed(&'g self, weight: Tensor<'g>) -> Result<Tensor<'g>, GgmlError> {
        let [columns, rows, a2, a3] = weight.shape();
        let is_float = weight.type_number() != sys::GGML_TYPE_I32;
        let is_matrix = a2 == 1 && a3 == 1 && weight.is_contiguous();
        check(is_float && is_matrix, "decoded_transposed", &[weight])?;
        if !self.backend.is_cpu() {
            return self.transpose(self.decoded(weight)?);
        }
        let mut sources = [weight.raw.as_ptr()];
        // SAFETY: room was reserved; the function relies on a contiguous matrix of some type of
        // weight, checked above.
        let made = self.made(unsafe {
            sys::ggml_custom_4d(
                self.reserve()?,
                sys::GGML_TYPE_F32,
                rows as i64,
                columns as i64,
                1,
                1,
                sources.as_mut_ptr(),
                1,
                Some(transposed_part),
                ALL_THREADS,
                std::ptr::null_mut(),
            )
        })?;
        Ok(made.named(c"decoded_transposed"))
    }
}

/// The part of thread `thread` of `threads`: ggml calls it once on each.
unsafe extern "C" fn transposed_part(
    result: *mut sys::ggml_tensor,
    thread: i32,
    threads: i32,
    _: *mut std::ffi::c_void,
) {
    // SAFETY: ggml calls it with the tensor that `Graph::decoded_transposed` made: it and its
    // source have memory now.
    let (to, weight) = unsafe { (&*result, &*(*result).src[0]) };
    let [rows, columns, ..] = to.ne.map(|size| size as usize);
    let (first, end) = stripe(rows, thread as usize, threads as usize);
    let mut floats = vec![0.0_f32; ROWS * columns];
    for row in (first..end).step_by(ROWS) {
        let count = ROWS.min(end - row);
        // SAFETY: the source has these rows, one after the other.
        unsafe { decode_rows(weight, row, &mut floats[..count * columns]) };
        for column in 0..columns {
            // SAFETY: `to` is contiguous and has this element and the `count - 1` behind it, which
            // no other thread has.
            let to = unsafe {
                let start = to.data.cast::<f32>().add(column * rows + row);
                slice::from_raw_parts_mut(start, count)
            };
            for (index, to) in to.iter_mut().enumerate() {
                *to = floats[index * columns + column];
            }
        }
    }
}

/// Rows of `weight` from `row` on, as many as `to` holds.
///
/// # Safety
/// The tensor has memory and these rows, contiguous.
unsafe fn decode_rows(weight: &sys::ggml_tensor, row: usize, to: &mut [f32]) {
    // SAFETY: the rows lie within the tensor, as the caller says; a type's traits are a constant
    // of the library's, and its function reads as many elements as it is told.
    unsafe {
        let from = weight.data.cast::<u8>().add(row * weight.nb[1]);
        match (*sys::ggml_get_type_traits(weight.type_)).to_float {
            Some(decode) => decode(from.cast(), to.as_mut_ptr(), to.len() as i64),
            // 32-bit floats have none.
            None => to.copy_from_slice(slice::from_raw_parts(from.cast(), to.len())),
        }
    }
}
