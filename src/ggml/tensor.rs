//! A tensor: a shape, a type, and where its elements lie.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::NonNull;

use llama_cpp_sys_2 as sys;

use crate::gguf::TensorType;

/// Sizes in ggml's order: the first dimension is the contiguous one; absent ones are 1.
pub type Shape = [usize; 4];

/// What the elements of a tensor are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Weights, activations, gradients.
    Float(TensorType),
    /// Tokens, positions, row numbers.
    I32,
}

impl Kind {
    /// 32-bit floats.
    pub const F32: Self = Self::Float(TensorType::F32);

    pub(super) fn number(self) -> sys::ggml_type {
        match self {
            Self::Float(kind) => kind.number(),
            Self::I32 => sys::GGML_TYPE_I32,
        }
    }

    pub(super) fn block_elements(self) -> usize {
        match self {
            Self::Float(kind) => kind.block_elements(),
            Self::I32 => 1,
        }
    }
}

/// A tensor that lives at most as long as what made it: an [`Arena`](super::Arena), or a
/// [`Graph`](super::Graph) that is being built.
#[derive(Clone, Copy)]
pub struct Tensor<'t> {
    pub(super) raw: NonNull<sys::ggml_tensor>,
    pub(super) life: PhantomData<&'t ()>,
}

impl Tensor<'_> {
    pub(super) fn fields(&self) -> &sys::ggml_tensor {
        // SAFETY: `raw` points into the memory of a ggml context that outlives the lifetime of
        // this value (see the type's comment), and no reference to it that could write is ever
        // made; ggml itself writes only inside calls, none of which runs while this one is read.
        unsafe { self.raw.as_ref() }
    }

    /// Its sizes.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.fields().ne.map(|size| size as usize)
    }

    /// Elements.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape().iter().product()
    }

    /// Distances in bytes from one element, row, … to the next.
    #[must_use]
    pub fn strides_bytes(&self) -> [usize; 4] {
        self.fields().nb
    }

    pub(super) fn type_number(&self) -> sys::ggml_type {
        self.fields().type_
    }

    pub(super) fn is_f32(&self) -> bool {
        self.type_number() == sys::GGML_TYPE_F32
    }

    /// Bytes from its first element to its last.
    pub(super) fn bytes(&self) -> usize {
        // SAFETY: it reads the fields of a tensor.
        unsafe { sys::ggml_nbytes(self.raw.as_ptr()) }
    }

    /// Whether the elements lie one after the other in order.
    pub(super) fn is_contiguous(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::ggml_is_contiguous(self.raw.as_ptr()) }
    }

    /// Whether the elements of a row lie one after the other.
    pub(super) fn has_contiguous_rows(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::ggml_is_contiguous_rows(self.raw.as_ptr()) }
    }

    /// Gives it a name, for profiles and debuggers.
    pub(super) fn named(self, name: &CStr) -> Self {
        // SAFETY: the name is copied into the tensor's own fields, to which no reference is alive.
        unsafe { sys::ggml_set_name(self.raw.as_ptr(), name.as_ptr()) };
        self
    }

    /// For messages.
    pub(super) fn describe(&self) -> String {
        // SAFETY: the name of a type is a string of the library's own, that lives for ever.
        let kind = unsafe { CStr::from_ptr(sys::ggml_type_name(self.type_number())) };
        let strided = if self.is_contiguous() { "" } else { " strided" };
        format!("{}{:?}{strided}", kind.to_string_lossy(), self.shape())
    }
}
