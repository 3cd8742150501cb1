//! Tensors that outlive a graph: weights, activations that are kept, gradients.

use std::marker::PhantomData;
use std::ptr::NonNull;

use llama_cpp_sys_2 as sys;

use super::tensor::Kind;
use super::{Backend, GgmlError, Shape, Tensor};

/// Tensors with memory of one device, made together and freed together.
#[derive(Debug)]
pub struct Arena<'b> {
    context: NonNull<sys::ggml_context>,
    buffer: NonNull<sys::ggml_backend_buffer>,
    tensors: Vec<NonNull<sys::ggml_tensor>>,
    life: PhantomData<&'b ()>,
}

impl<'b> Arena<'b> {
    /// Tensors of these kinds and shapes; what they hold is undefined until it is written.
    ///
    /// # Errors
    /// [`GgmlError::Memory`], and [`GgmlError::Shape`] for one with no elements or rows that are
    /// no whole number of blocks.
    pub fn new(backend: &'b Backend, shapes: &[(Kind, Shape)]) -> Result<Self, GgmlError> {
        let (context, tensors) = describe(shapes)?;
        let wanted = bytes_of(shapes);
        // SAFETY: the context holds tensors without memory, as it asks; the backend is valid.
        let buffer = unsafe {
            sys::ggml_backend_alloc_ctx_tensors(context.0.as_ptr(), backend.raw.as_ptr())
        };
        let buffer = NonNull::new(buffer)
            .ok_or_else(|| GgmlError::Memory { device: backend.name(), bytes: wanted })?;
        Ok(Self { context: context.release(), buffer, tensors, life: PhantomData })
    }

    /// Tensors over memory that stays where it is, `offset` bytes into `bytes` each: the weights
    /// of a mapped file, for the processor. Nothing can be stored in them.
    ///
    /// # Errors
    /// [`GgmlError::Shape`] for one that does not lie within `bytes`, aligned.
    pub fn over(bytes: &'b [u8], shapes: &[(Kind, Shape, usize)]) -> Result<Self, GgmlError> {
        let kinds: Vec<(Kind, Shape)> =
            shapes.iter().map(|(kind, shape, _)| (*kind, *shape)).collect();
        let (context, tensors) = describe(&kinds)?;
        let fail = |what: &str| Err(GgmlError::Shape { op: "a map", what: what.into() });
        if !(bytes.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
            return fail("memory that is not aligned");
        }
        // SAFETY: the memory is aligned and outlives the arena. ggml asks for a pointer that
        // could write; nothing writes, since a buffer for weights is refused as a target.
        let buffer = unsafe {
            sys::ggml_backend_cpu_buffer_from_ptr(bytes.as_ptr().cast_mut().cast(), bytes.len())
        };
        let Some(buffer) = NonNull::new(buffer) else {
            return fail("memory that cannot be described");
        };
        // SAFETY: the buffer was just made.
        unsafe {
            sys::ggml_backend_buffer_set_usage(
                buffer.as_ptr(),
                sys::GGML_BACKEND_BUFFER_USAGE_WEIGHTS,
            );
        }
        let arena = Self { context: context.release(), buffer, tensors, life: PhantomData };
        for (index, (_, _, offset)) in shapes.iter().enumerate() {
            let tensor = arena.at(index);
            let end = offset.checked_add(tensor.bytes());
            if !offset.is_multiple_of(ALIGNMENT) || end.is_none_or(|end| end > bytes.len()) {
                return fail("a tensor outside the file");
            }
            // SAFETY: the place lies within the buffer, as just checked.
            unsafe {
                let place = bytes.as_ptr().add(*offset).cast_mut().cast();
                sys::ggml_backend_tensor_alloc(buffer.as_ptr(), tensor.raw.as_ptr(), place);
            }
        }
        Ok(arena)
    }

    /// The tensor that was given at `index`.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn at(&self, index: usize) -> Tensor<'_> {
        Tensor { raw: self.tensors[index], life: PhantomData }
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        // SAFETY: the buffer is this arena's own.
        unsafe { sys::ggml_backend_buffer_get_size(self.buffer.as_ptr()) }
    }
}

impl Drop for Arena<'_> {
    fn drop(&mut self) {
        // SAFETY: both are this arena's own and freed once; its tensors borrow it.
        unsafe {
            sys::ggml_backend_buffer_free(self.buffer.as_ptr());
            sys::ggml_free(self.context.as_ptr());
        }
    }
}

/// What ggml's CPU backend asks of an address.
const ALIGNMENT: usize = 32;

/// A context until somebody owns it.
struct Described(NonNull<sys::ggml_context>);

impl Described {
    fn release(self) -> NonNull<sys::ggml_context> {
        let context = self.0;
        std::mem::forget(self);
        context
    }
}

impl Drop for Described {
    fn drop(&mut self) {
        // SAFETY: nobody else owns it.
        unsafe { sys::ggml_free(self.0.as_ptr()) };
    }
}

/// A context with room for `tensors`, and `extra_bytes` for something else, without their data.
pub(super) fn context(
    tensors: usize,
    extra_bytes: usize,
) -> Result<NonNull<sys::ggml_context>, GgmlError> {
    // SAFETY: a constant of the library.
    let each = unsafe { sys::ggml_tensor_overhead() };
    let mem_size = tensors * each + extra_bytes;
    let params =
        sys::ggml_init_params { mem_size, mem_buffer: std::ptr::null_mut(), no_alloc: true };
    // SAFETY: a plain struct; it allocates the memory itself.
    let context = unsafe { sys::ggml_init(params) };
    NonNull::new(context)
        .ok_or_else(|| GgmlError::Memory { device: "the processor".into(), bytes: mem_size as u64 })
}

fn describe(
    shapes: &[(Kind, Shape)],
) -> Result<(Described, Vec<NonNull<sys::ggml_tensor>>), GgmlError> {
    let context = Described(context(shapes.len(), 1024)?);
    let mut tensors = Vec::with_capacity(shapes.len());
    for (kind, shape) in shapes {
        let whole = shape[0].is_multiple_of(kind.block_elements());
        let elements = shape.iter().try_fold(1_usize, |all, &size| all.checked_mul(size));
        if !whole || elements.is_none_or(|count| count == 0 || count > 1 << 40) {
            let what = format!("{kind:?}{shape:?}");
            return Err(GgmlError::Shape { op: "a tensor", what });
        }
        let sizes = shape.map(|size| size as i64);
        // SAFETY: the context has room for as many tensors, and the sizes were just checked.
        let tensor =
            unsafe { sys::ggml_new_tensor(context.0.as_ptr(), kind.number(), 4, sizes.as_ptr()) };
        let tensor = NonNull::new(tensor).ok_or(GgmlError::Full { max_nodes: shapes.len() })?;
        tensors.push(tensor);
    }
    Ok((context, tensors))
}

/// Bytes of tensors of these kinds and shapes.
#[must_use]
pub fn bytes_of(shapes: &[(Kind, Shape)]) -> u64 {
    let bytes = |(kind, shape): &(Kind, Shape)| {
        // SAFETY: a constant of a type that the library knows.
        let row = unsafe { sys::ggml_row_size(kind.number(), shape[0] as i64) } as u64;
        row * (shape[1] * shape[2] * shape[3]) as u64
    };
    shapes.iter().map(bytes).sum()
}
