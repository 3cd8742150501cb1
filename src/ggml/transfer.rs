//! Numbers into tensors and out of them.

use llama_cpp_sys_2 as sys;

use super::{GgmlError, Tensor};

/// Where a leaf of numbers keeps how many rows they need, the largest and one; 0 until they are
/// written. It has no operation, and so no use for parameters.
const ROWS_AT: usize = 0;

impl Tensor<'_> {
    /// Copies all elements out.
    ///
    /// # Errors
    /// [`GgmlError::Shape`] where `to` has another length, or the tensor no place.
    pub fn read(&self, to: &mut [f32]) -> Result<(), GgmlError> {
        self.check_transfer("reading", self.is_f32() && to.len() == self.elements())?;
        // SAFETY: the tensor is contiguous, has memory, and as many floats as `to`.
        unsafe {
            let data = to.as_mut_ptr().cast();
            sys::ggml_backend_tensor_get(self.raw.as_ptr(), data, 0, size_of_val(to));
        }
        Ok(())
    }

    /// All elements.
    ///
    /// # Errors
    /// [`GgmlError::Shape`] where the tensor has no place.
    pub fn to_vec(&self) -> Result<Vec<f32>, GgmlError> {
        let mut values = vec![0.0; self.elements()];
        self.read(&mut values)?;
        Ok(values)
    }

    /// Replaces all elements.
    ///
    /// # Errors
    /// [`GgmlError::Shape`] where `from` has another length, and for weights.
    pub fn write(&self, from: &[f32]) -> Result<(), GgmlError> {
        let fits = self.is_f32() && from.len() == self.elements() && self.is_writable();
        self.check_transfer("writing", fits)?;
        // SAFETY: as for reading; the memory can be written.
        unsafe {
            let data = from.as_ptr().cast();
            sys::ggml_backend_tensor_set(self.raw.as_ptr(), data, 0, size_of_val(from));
        }
        Ok(())
    }

    /// Replaces the elements from byte `offset_bytes` on by `from`, already encoded as the
    /// tensor's type.
    ///
    /// # Errors
    /// [`GgmlError::Shape`] where `from` reaches over the end, and for weights.
    pub fn write_encoded(&self, offset_bytes: usize, from: &[u8]) -> Result<(), GgmlError> {
        let plain = self.type_number() != sys::GGML_TYPE_I32;
        let end = offset_bytes.checked_add(from.len());
        let fits = plain && end.is_some_and(|end| end <= self.bytes()) && self.is_writable();
        self.check_transfer("writing", fits)?;
        // SAFETY: as for writing floats; the end is not behind the tensor's own.
        unsafe {
            let data = from.as_ptr().cast();
            sys::ggml_backend_tensor_set(self.raw.as_ptr(), data, offset_bytes, from.len());
        }
        Ok(())
    }

    /// Replaces all numbers; an operation that looks rows up by them compares the largest with
    /// the rows that there are.
    ///
    /// # Errors
    /// [`GgmlError::Shape`] where `from` has another length, or is negative somewhere.
    pub fn write_numbers(&self, from: &[i32]) -> Result<(), GgmlError> {
        let numbers = self.type_number() == sys::GGML_TYPE_I32;
        let fits = numbers && from.len() == self.elements() && self.is_writable();
        let leaf = self.fields().op == sys::GGML_OP_NONE && self.fields().view_src.is_null();
        let natural = from.iter().all(|&number| number >= 0);
        self.check_transfer("writing", fits && leaf && natural)?;
        let rows = from.iter().copied().max().unwrap_or(0).saturating_add(1);
        // SAFETY: as for writing floats. The parameters of a leaf are read by nobody but
        // `largest_index`, and no other reference to the tensor's fields is alive.
        unsafe {
            let data = from.as_ptr().cast();
            sys::ggml_backend_tensor_set(self.raw.as_ptr(), data, 0, size_of_val(from));
            (*self.raw.as_ptr()).op_params[ROWS_AT] = rows;
        }
        Ok(())
    }

    /// Makes all elements zero.
    ///
    /// # Errors
    /// [`GgmlError::Shape`] for weights.
    pub fn clear(&self) -> Result<(), GgmlError> {
        self.check_transfer("clearing", self.is_writable())?;
        // SAFETY: the tensor is contiguous, has memory that can be written, and as many bytes.
        unsafe { sys::ggml_backend_tensor_memset(self.raw.as_ptr(), 0, 0, self.bytes()) };
        Ok(())
    }

    /// The largest of the numbers that were written; `None` for anything but numbers of an arena.
    pub(super) fn largest_index(&self) -> Option<usize> {
        let fields = self.fields();
        let written = self.type_number() == sys::GGML_TYPE_I32
            && fields.op == sys::GGML_OP_NONE
            && fields.view_src.is_null();
        written.then(|| usize::try_from(fields.op_params[ROWS_AT]).ok()?.checked_sub(1))?
    }

    /// Whether it may be a target: the memory is not a mapped file's. What a graph makes has no
    /// buffer yet and will get one that can be written.
    pub(super) fn is_writable(&self) -> bool {
        let buffer = self.buffer();
        // SAFETY: a buffer that is set is alive as long as its tensors.
        buffer.is_null()
            || unsafe { sys::ggml_backend_buffer_get_usage(buffer) }
                != sys::GGML_BACKEND_BUFFER_USAGE_WEIGHTS
    }

    /// The buffer with its elements, null for what a graph is yet to make.
    pub(super) fn buffer(&self) -> sys::ggml_backend_buffer_t {
        let fields = self.fields();
        if fields.view_src.is_null() {
            return fields.buffer;
        }
        // SAFETY: the source of a view lives as long as the view.
        unsafe { (*fields.view_src).buffer }
    }

    fn check_transfer(&self, op: &'static str, fits: bool) -> Result<(), GgmlError> {
        if fits && self.is_contiguous() && !self.fields().data.is_null() {
            return Ok(());
        }
        Err(GgmlError::Shape { op, what: self.describe() })
    }
}
