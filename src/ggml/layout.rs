//! Matrices laid out anew: weights as 32-bit floats, as they lie or transposed, and floats
//! transposed.
//!
//! A product sums over the rows of one matrix on the way there and over its columns on the way
//! back, and is fastest where what is not summed over is contiguous. Decoding has to write every
//! element anyway, and can do so in either order at the same price. On the processor these are
//! operations of our own: ggml decodes on its way through smaller pieces, and transposes element by
//! element.

use std::slice;

use llama_cpp_sys_2 as sys;

use super::operations::check;
use super::products::{ALL_THREADS, Part, stripe};
use super::{GgmlError, Graph, Shape, Tensor};

/// Rows that are turned together: as many floats as a line of the caches has.
const ROWS: usize = 16;

type Made<'g> = Result<Tensor<'g>, GgmlError>;

impl<'g> Graph<'g, '_> {
    /// Weights as 32-bit floats; those that are such already stay where they are.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn decoded(&'g self, weight: Tensor<'g>) -> Made<'g> {
        if weight.is_f32() { Ok(weight) } else { self.decoded_copy(weight) }
    }

    /// A matrix of weights as 32-bit floats of the graph's own, which it may change.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn decoded_copy(&'g self, weight: Tensor<'g>) -> Made<'g> {
        let is_float = weight.type_number() != sys::GGML_TYPE_I32;
        let is_matrix = weight.shape()[2..] == [1, 1] && weight.is_contiguous();
        check(is_float && is_matrix, "decoded", &[weight])?;
        if self.backend.is_cpu() {
            return Ok(self.laid_out(weight, weight.shape(), decoded_part)?.named(c"decoded"));
        }
        // SAFETY: room was reserved; every type of weight can be copied into floats.
        self.made(unsafe {
            sys::ggml_cast(self.reserve()?, weight.raw.as_ptr(), sys::GGML_TYPE_F32)
        })
    }

    /// A matrix of weights, [n, m], as 32-bit floats of the graph's own, [m, n].
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn decoded_transposed(&'g self, weight: Tensor<'g>) -> Made<'g> {
        let is_float = weight.type_number() != sys::GGML_TYPE_I32;
        let is_matrix = weight.shape()[2..] == [1, 1] && weight.is_contiguous();
        check(is_float && is_matrix, "decoded_transposed", &[weight])?;
        if !self.backend.is_cpu() {
            return self.transpose(self.decoded(weight)?);
        }
        let [n, m, ..] = weight.shape();
        let turned = self.laid_out(weight, [m, n, 1, 1], transposed_part)?;
        Ok(turned.named(c"decoded_transposed"))
    }

    /// `a`, [m, n, …], as [n, m, …], laid out anew.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn transpose(&'g self, a: Tensor<'g>) -> Made<'g> {
        let [m, n, batches, last] = a.shape();
        check(a.is_f32(), "transpose", &[a])?;
        if self.backend.is_cpu() && a.has_contiguous_rows() && last == 1 {
            let turned = self.laid_out(a, [n, m, batches, 1], transposed_part)?;
            return Ok(turned.named(c"transpose"));
        }
        // SAFETY: room was reserved for both; floats of any strides can be copied.
        self.made(unsafe {
            let turned = sys::ggml_transpose(self.reserve()?, a.raw.as_ptr());
            sys::ggml_cont(self.reserve()?, turned)
        })
    }

    /// An operation of our own on `source`, whose result has `shape`.
    fn laid_out(&'g self, source: Tensor<'g>, shape: Shape, part: Part) -> Made<'g> {
        let [columns, rows, batches, last] = shape.map(|size| size as i64);
        let mut sources = [source.raw.as_ptr()];
        // SAFETY: room was reserved; the functions rely on what their callers have checked.
        self.made(unsafe {
            sys::ggml_custom_4d(
                self.reserve()?,
                sys::GGML_TYPE_F32,
                columns,
                rows,
                batches,
                last,
                sources.as_mut_ptr(),
                1,
                Some(part),
                ALL_THREADS,
                std::ptr::null_mut(),
            )
        })
    }
}

/// The part of thread `thread` of `threads`: ggml calls it once on each.
unsafe extern "C" fn decoded_part(
    result: *mut sys::ggml_tensor,
    thread: i32,
    threads: i32,
    _: *mut std::ffi::c_void,
) {
    // SAFETY: ggml calls it with the tensor that `Graph::decoded_copy` made: it and its source
    // have memory now.
    let (to, weight) = unsafe { (&*result, &*(*result).src[0]) };
    let [columns, rows, ..] = to.ne.map(|size| size as usize);
    let (first, end) = stripe(rows, thread as usize, threads as usize);
    // SAFETY: result and source are contiguous and have these rows, those of the result no other
    // thread.
    unsafe {
        let start = to.data.cast::<f32>().add(first * columns);
        let to = slice::from_raw_parts_mut(start, (end - first) * columns);
        decode_rows(weight, first, to);
    }
}

/// The part of thread `thread` of `threads`: ggml calls it once on each.
unsafe extern "C" fn transposed_part(
    result: *mut sys::ggml_tensor,
    thread: i32,
    threads: i32,
    _: *mut std::ffi::c_void,
) {
    // SAFETY: ggml calls it with the tensor that `Graph::decoded_transposed` or `transpose` made:
    // it and its source have memory now.
    let (to, from) = unsafe { (&*result, &*(*result).src[0]) };
    let [rows, columns, batches, _] = to.ne.map(|size| size as usize);
    let (first, end) = stripe(rows, thread as usize, threads as usize);
    let is_f32 = from.type_ == sys::GGML_TYPE_F32;
    let mut decoded = vec![0.0_f32; if is_f32 { 0 } else { ROWS * columns }];
    for batch in 0..batches {
        for row in (first..end).step_by(ROWS) {
            let count = ROWS.min(end - row);
            // SAFETY: the source has these rows: floats with strides, each row contiguous, or one
            // matrix of weights, contiguous. The result is contiguous and has these elements, which
            // no other thread has.
            unsafe {
                let (start, stride) = if is_f32 {
                    let start = from.data.cast::<u8>().add(batch * from.nb[2] + row * from.nb[1]);
                    (start.cast::<f32>().cast_const(), from.nb[1] / size_of::<f32>())
                } else {
                    decode_rows(from, row, &mut decoded[..count * columns]);
                    (decoded.as_ptr(), columns)
                };
                let to = to.data.cast::<f32>().add(batch * rows * columns + row);
                for column in 0..columns {
                    let to = slice::from_raw_parts_mut(to.add(column * rows), count);
                    for (index, to) in to.iter_mut().enumerate() {
                        *to = *start.add(index * stride + column);
                    }
                }
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
