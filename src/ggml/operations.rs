//! The operations that training needs, each with the conditions under which ggml asserts nothing.
//!
//! Names and argument orders are ggml's where it has the operation. Shapes are written as ggml
//! has them: the contiguous dimension first.

use std::ptr;

use llama_cpp_sys_2 as sys;

use super::{GgmlError, Graph, Shape, Tensor};

/// Which elements of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeKind {
    /// Neighbours.
    Interleaved,
    /// One of each half, as GPT-NeoX does.
    Halves,
}

/// How positions turn into angles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rope {
    /// Which elements are rotated together.
    pub kind: RopeKind,
    /// The base of the frequencies.
    pub freq_base: f32,
    /// What every angle is multiplied by.
    pub freq_scale: f32,
}

type Made<'g> = Result<Tensor<'g>, GgmlError>;

pub(super) fn check(
    holds: bool,
    op: &'static str,
    tensors: &[Tensor<'_>],
) -> Result<(), GgmlError> {
    if holds {
        return Ok(());
    }
    let what: Vec<String> = tensors.iter().map(Tensor::describe).collect();
    Err(GgmlError::Shape { op, what: what.join(" and ") })
}

/// Whether `small`, repeated whole, fills `large`.
fn repeats(small: Shape, large: Shape) -> bool {
    small.iter().zip(large).all(|(small, large)| large.is_multiple_of(*small))
}

impl<'g> Graph<'g, '_> {
    /// `a` transposed times `b`: `a` is [k, m], `b` is [k, n], the result [m, n] in 32-bit floats.
    /// Further dimensions are batches; those of `a` are repeated to fill those of `b`.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn mul_mat(&'g self, a: Tensor<'g>, b: Tensor<'g>) -> Made<'g> {
        let ([k, .., a2, a3], [k_b, .., b2, b3]) = (a.shape(), b.shape());
        let holds = k == k_b
            && b2.is_multiple_of(a2)
            && b3.is_multiple_of(a3)
            && a.type_number() != sys::GGML_TYPE_I32
            && a.has_contiguous_rows()
            && b.is_f32()
            && b.has_contiguous_rows();
        check(holds, "mul_mat", &[a, b])?;
        // SAFETY: room was reserved; shapes, types and strides are what ggml asserts.
        self.made(unsafe { sys::ggml_mul_mat(self.reserve()?, a.raw.as_ptr(), b.raw.as_ptr()) })
    }

    /// `a` + `b`, which is repeated to fill `a`.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn add(&'g self, a: Tensor<'g>, b: Tensor<'g>) -> Made<'g> {
        check_pair("add", a, b)?;
        // SAFETY: room was reserved; both are floats of shapes that repeat.
        self.made(unsafe { sys::ggml_add(self.reserve()?, a.raw.as_ptr(), b.raw.as_ptr()) })
    }

    /// `a` * `b`, element by element; `b` is repeated to fill `a`.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn mul(&'g self, a: Tensor<'g>, b: Tensor<'g>) -> Made<'g> {
        check_pair("mul", a, b)?;
        // SAFETY: as for `add`.
        self.made(unsafe { sys::ggml_mul(self.reserve()?, a.raw.as_ptr(), b.raw.as_ptr()) })
    }

    /// `a` * `factor` + `offset`.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn scale(&'g self, a: Tensor<'g>, factor: f32, offset: f32) -> Made<'g> {
        check(a.is_f32() && a.is_contiguous(), "scale", &[a])?;
        // SAFETY: room was reserved; the elements are contiguous floats.
        self.made(unsafe { sys::ggml_scale_bias(self.reserve()?, a.raw.as_ptr(), factor, offset) })
    }

    /// The hyperbolic tangent of each element.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn tanh(&'g self, a: Tensor<'g>) -> Made<'g> {
        check(a.is_f32() && a.is_contiguous(), "tanh", &[a])?;
        // SAFETY: as for `scale`.
        self.made(unsafe { sys::ggml_tanh(self.reserve()?, a.raw.as_ptr()) })
    }

    /// `a` / sqrt(mean(`a`²) + `eps`) over each row.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn rms_norm(&'g self, a: Tensor<'g>, eps: f32) -> Made<'g> {
        check(a.is_f32() && a.has_contiguous_rows() && eps >= 0.0, "rms_norm", &[a])?;
        // SAFETY: room was reserved; rows are contiguous floats.
        self.made(unsafe { sys::ggml_rms_norm(self.reserve()?, a.raw.as_ptr(), eps) })
    }

    /// The gradient of [`Graph::rms_norm`] at `x`, from that of its result.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn rms_norm_back(&'g self, grad: Tensor<'g>, x: Tensor<'g>, eps: f32) -> Made<'g> {
        check_same("rms_norm_back", grad, x)?;
        // SAFETY: room was reserved; both are contiguous floats of one shape.
        self.made(unsafe {
            sys::ggml_rms_norm_back(self.reserve()?, grad.raw.as_ptr(), x.raw.as_ptr(), eps)
        })
    }

    /// SiLU(`gate`) * `up`.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn swiglu(&'g self, gate: Tensor<'g>, up: Tensor<'g>) -> Made<'g> {
        check_same("swiglu", gate, up)?;
        // SAFETY: as for `rms_norm_back`.
        self.made(unsafe {
            sys::ggml_swiglu_split(self.reserve()?, gate.raw.as_ptr(), up.raw.as_ptr())
        })
    }

    /// x / (1 + e^-x).
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn silu(&'g self, a: Tensor<'g>) -> Made<'g> {
        check(a.is_f32() && a.is_contiguous(), "silu", &[a])?;
        // SAFETY: as for `scale`.
        self.made(unsafe { sys::ggml_silu(self.reserve()?, a.raw.as_ptr()) })
    }

    /// The gradient of [`Graph::silu`] at `x`, from that of its result.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn silu_back(&'g self, grad: Tensor<'g>, x: Tensor<'g>) -> Made<'g> {
        check_same("silu_back", grad, x)?;
        // SAFETY: as for `rms_norm_back`.
        self.made(unsafe {
            sys::ggml_silu_back(self.reserve()?, grad.raw.as_ptr(), x.raw.as_ptr())
        })
    }

    /// softmax(`a` * `scale` + `mask`) over each row. A mask has the rows of the first two
    /// dimensions of `a` and holds for all of the others.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn soft_max(&'g self, a: Tensor<'g>, mask: Option<Tensor<'g>>, scale: f32) -> Made<'g> {
        check(a.is_f32() && a.is_contiguous(), "soft_max", &[a])?;
        if let Some(mask) = mask {
            let fits = mask.shape() == [a.shape()[0], a.shape()[1], 1, 1];
            check(fits && mask.is_f32() && mask.is_contiguous(), "soft_max", &[a, mask])?;
        }
        let mask = mask.map_or(ptr::null_mut(), |mask| mask.raw.as_ptr());
        // SAFETY: room was reserved; the mask is absent or fits, all contiguous floats.
        self.made(unsafe {
            sys::ggml_soft_max_ext(self.reserve()?, a.raw.as_ptr(), mask, scale, 0.0)
        })
    }

    /// The gradient of [`Graph::soft_max`] with regard to `a`, from that of its result and the
    /// result itself.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn soft_max_back(&'g self, grad: Tensor<'g>, result: Tensor<'g>, scale: f32) -> Made<'g> {
        check_same("soft_max_back", grad, result)?;
        // SAFETY: as for `rms_norm_back`.
        self.made(unsafe {
            let (grad, result) = (grad.raw.as_ptr(), result.raw.as_ptr());
            sys::ggml_soft_max_ext_back(self.reserve()?, grad, result, scale, 0.0)
        })
    }

    /// The heads of `a`, [width, heads, tokens], rotated by the positions of its tokens. `factors`,
    /// where there are any, divide the frequencies.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn rope(
        &'g self,
        a: Tensor<'g>,
        positions: Tensor<'g>,
        factors: Option<Tensor<'g>>,
        rope: &Rope,
    ) -> Made<'g> {
        self.rotate("rope", sys::ggml_rope_ext, a, positions, factors, rope)
    }

    /// The gradient of [`Graph::rope`]: rotated back.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn rope_back(
        &'g self,
        grad: Tensor<'g>,
        positions: Tensor<'g>,
        factors: Option<Tensor<'g>>,
        rope: &Rope,
    ) -> Made<'g> {
        self.rotate("rope_back", sys::ggml_rope_ext_back, grad, positions, factors, rope)
    }

    fn rotate(
        &'g self,
        name: &'static str,
        operation: RopeFn,
        a: Tensor<'g>,
        positions: Tensor<'g>,
        factors: Option<Tensor<'g>>,
        rope: &Rope,
    ) -> Made<'g> {
        let [width, _, tokens, batch] = a.shape();
        let holds = a.is_f32()
            && a.has_contiguous_rows()
            && width.is_multiple_of(2)
            && batch == 1
            && positions.type_number() == sys::GGML_TYPE_I32
            && positions.shape() == [tokens, 1, 1, 1]
            && rope.freq_base > 0.0;
        check(holds, name, &[a, positions])?;
        if let Some(factors) = factors {
            check(factors.is_f32() && factors.shape()[0] >= width / 2, name, &[a, factors])?;
        }
        let factors = factors.map_or(ptr::null_mut(), |factors| factors.raw.as_ptr());
        let mode = match rope.kind {
            RopeKind::Interleaved => sys::LLAMA_ROPE_TYPE_NORM,
            RopeKind::Halves => sys::LLAMA_ROPE_TYPE_NEOX,
        };
        let (a, positions) = (a.raw.as_ptr(), positions.raw.as_ptr());
        let (base, scale) = (rope.freq_base, rope.freq_scale);
        // SAFETY: room was reserved; one position per token, the factors reach as far as half a
        // head, and the rows are contiguous floats. Without an extrapolation factor the three
        // numbers after it are not read, nor is the original context.
        self.made(unsafe {
            let context = self.reserve()?;
            let width = width as i32;
            operation(
                context, a, positions, factors, width, mode, 0, base, scale, 0.0, 1.0, 0.0, 0.0,
            )
        })
    }

    /// The rows of `a` that the numbers in `rows` name, as 32-bit floats.
    ///
    /// # Errors
    /// [`GgmlError::Shape`], for rows that `a` does not have too.
    pub fn get_rows(&'g self, a: Tensor<'g>, rows: Tensor<'g>) -> Made<'g> {
        let flat = |shape: Shape| shape[2] == 1 && shape[3] == 1;
        let holds = flat(a.shape())
            && flat(rows.shape())
            && rows.shape()[1] == 1
            && a.has_contiguous_rows()
            && rows.largest_index().is_some_and(|largest| largest < a.shape()[1]);
        check(holds, "get_rows", &[a, rows])?;
        // SAFETY: room was reserved; the numbers are below the count of rows, as was noted when
        // they were written.
        self.made(unsafe { sys::ggml_get_rows(self.reserve()?, a.raw.as_ptr(), rows.raw.as_ptr()) })
    }

    /// Puts the rows of `values` in the rows of `a` that the numbers in `rows` name, each at most
    /// once; the result is `a`.
    ///
    /// # Errors
    /// [`GgmlError::Shape`], for rows that `a` does not have too, and of weights.
    pub fn set_rows(&'g self, a: Tensor<'g>, values: Tensor<'g>, rows: Tensor<'g>) -> Made<'g> {
        let ([width, count, a2, a3], [width_b, count_b, b2, b3]) = (a.shape(), values.shape());
        let holds = width == width_b
            && [a2, a3, b2, b3] == [1; 4]
            && a.is_f32()
            && values.is_f32()
            && a.is_contiguous()
            && values.is_contiguous()
            && a.is_writable()
            && rows.shape() == [count_b, 1, 1, 1]
            && rows.largest_index().is_some_and(|largest| largest < count);
        check(holds, "set_rows", &[a, values, rows])?;
        // SAFETY: as for `get_rows`; the target is no memory that cannot be written.
        self.made(unsafe {
            let (a, values, rows) = (a.raw.as_ptr(), values.raw.as_ptr(), rows.raw.as_ptr());
            sys::ggml_set_rows(self.reserve()?, a, values, rows)
        })
    }

    /// Adds `b` to the elements of `a` that begin `offset_bytes` into it and lie `strides_bytes`
    /// apart in the second, third and fourth dimension; the result is `a`.
    ///
    /// # Errors
    /// [`GgmlError::Shape`], for elements outside `a` and for weights too.
    pub fn acc(
        &'g self,
        a: Tensor<'g>,
        b: Tensor<'g>,
        strides_bytes: [usize; 3],
        offset_bytes: usize,
    ) -> Made<'g> {
        let inside = window_bytes(b.shape(), size_of::<f32>(), strides_bytes, offset_bytes)
            .is_some_and(|end| end <= a.bytes() && end <= i32::MAX as usize);
        let holds = inside
            && strides_bytes.iter().all(|&stride| stride <= i32::MAX as usize)
            && a.is_f32()
            && b.is_f32()
            && a.is_contiguous()
            && b.is_contiguous()
            && a.is_writable();
        check(holds, "acc", &[a, b])?;
        let [nb1, nb2, nb3] = strides_bytes;
        // SAFETY: room was reserved; the last element lies within `a`, which can be written.
        self.made(unsafe {
            let (a, b) = (a.raw.as_ptr(), b.raw.as_ptr());
            sys::ggml_acc_inplace(self.reserve()?, a, b, nb1, nb2, nb3, offset_bytes)
        })
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn reshape(&'g self, a: Tensor<'g>, shape: Shape) -> Made<'g> {
        let elements = shape.iter().try_fold(1_usize, |all, &size| all.checked_mul(size));
        let same = elements == Some(a.elements());
        check(same && a.is_contiguous(), "reshape", &[a])?;
        let [n0, n1, n2, n3] = shape.map(|size| size as i64);
        // SAFETY: room was reserved; as many elements, contiguous.
        self.made(unsafe { sys::ggml_reshape_4d(self.reserve()?, a.raw.as_ptr(), n0, n1, n2, n3) })
    }

    /// A window on `a`: `shape` elements, `strides_bytes` apart in the second, third and fourth
    /// dimension, from `offset_bytes` on.
    ///
    /// # Errors
    /// [`GgmlError::Shape`], for elements outside `a` too.
    pub fn view(
        &'g self,
        a: Tensor<'g>,
        shape: Shape,
        strides_bytes: [usize; 3],
        offset_bytes: usize,
    ) -> Made<'g> {
        let inside = window_bytes(shape, a.strides_bytes()[0], strides_bytes, offset_bytes)
            .is_some_and(|end| end <= a.bytes());
        check(inside && a.is_f32(), "view", &[a])?;
        let [n0, n1, n2, n3] = shape.map(|size| size as i64);
        let [nb1, nb2, nb3] = strides_bytes;
        // SAFETY: room was reserved; the last element lies within `a`.
        self.made(unsafe {
            let a = a.raw.as_ptr();
            sys::ggml_view_4d(self.reserve()?, a, n0, n1, n2, n3, nb1, nb2, nb3, offset_bytes)
        })
    }

    /// The same elements with the second and third dimension exchanged.
    ///
    /// # Errors
    /// [`GgmlError::Full`].
    pub fn swap_middle(&'g self, a: Tensor<'g>) -> Made<'g> {
        // SAFETY: room was reserved; the axes are each named once.
        self.made(unsafe { sys::ggml_permute(self.reserve()?, a.raw.as_ptr(), 0, 2, 1, 3) })
    }

    /// The elements laid out one after the other.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn contiguous(&'g self, a: Tensor<'g>) -> Made<'g> {
        if a.is_contiguous() {
            return Ok(a);
        }
        check(a.is_f32(), "cont", &[a])?;
        // SAFETY: room was reserved; any strides will do.
        self.made(unsafe { sys::ggml_cont(self.reserve()?, a.raw.as_ptr()) })
    }

    /// Has `tensor` computed even where nothing that is stored needs it: for what works in place.
    pub fn include(&'g self, tensor: Tensor<'g>) {
        self.expand(tensor);
    }

    /// Copies `from` into `to`, a tensor of an arena or a window on one, of as many elements.
    ///
    /// # Errors
    /// [`GgmlError::Shape`], for weights too.
    pub fn store(&'g self, from: Tensor<'g>, to: Tensor<'g>) -> Result<(), GgmlError> {
        let holds =
            from.elements() == to.elements() && from.is_f32() && to.is_f32() && to.is_writable();
        check(holds, "cpy", &[from, to])?;
        // SAFETY: room was reserved; as many elements, and the target can be written.
        let copy = self
            .made(unsafe { sys::ggml_cpy(self.reserve()?, from.raw.as_ptr(), to.raw.as_ptr()) })?;
        self.expand(copy);
        Ok(())
    }

    /// Puts the result of the operation that `tensor` stands for right into `to`, a whole tensor
    /// of an arena with the same shape; no copy is made.
    ///
    /// # Errors
    /// [`GgmlError::Shape`] for a window, a tensor that already has a place, and weights.
    pub fn place(&'g self, tensor: Tensor<'g>, to: Tensor<'g>) -> Result<(), GgmlError> {
        let (node, target) = (tensor.fields(), to.fields());
        let holds = tensor.shape() == to.shape()
            && tensor.is_f32()
            && to.is_f32()
            && tensor.is_contiguous()
            && to.is_contiguous()
            && to.is_writable()
            && node.data.is_null()
            && node.view_src.is_null()
            && node.op != sys::GGML_OP_NONE
            && target.view_src.is_null()
            && !target.buffer.is_null()
            && !target.data.is_null();
        check(holds, "place", &[tensor, to])?;
        // SAFETY: the node has no memory yet and is no view; the target's memory belongs to its
        // buffer, holds as many bytes, and outlives the graph.
        unsafe { sys::ggml_backend_tensor_alloc(target.buffer, tensor.raw.as_ptr(), target.data) };
        self.expand(tensor);
        Ok(())
    }
}

type RopeFn = unsafe extern "C" fn(
    *mut sys::ggml_context,
    *mut sys::ggml_tensor,
    *mut sys::ggml_tensor,
    *mut sys::ggml_tensor,
    i32,
    i32,
    i32,
    f32,
    f32,
    f32,
    f32,
    f32,
    f32,
) -> *mut sys::ggml_tensor;

fn check_pair(op: &'static str, a: Tensor<'_>, b: Tensor<'_>) -> Result<(), GgmlError> {
    let holds = a.is_f32()
        && b.is_f32()
        && a.has_contiguous_rows()
        && b.has_contiguous_rows()
        && repeats(b.shape(), a.shape());
    check(holds, op, &[a, b])
}

pub(super) fn check_same(op: &'static str, a: Tensor<'_>, b: Tensor<'_>) -> Result<(), GgmlError> {
    let plain = |tensor: Tensor<'_>| tensor.is_f32() && tensor.is_contiguous();
    check(a.shape() == b.shape() && plain(a) && plain(b), op, &[a, b])
}

/// Where a window of floats ends: its strides are whole numbers of floats, and no element is in it
/// twice, whatever its order.
fn window_bytes(
    shape: Shape,
    first_stride_bytes: usize,
    strides_bytes: [usize; 3],
    offset_bytes: usize,
) -> Option<usize> {
    let [second, third, fourth] = strides_bytes;
    let mut dimensions: Vec<(usize, usize)> =
        [first_stride_bytes, second, third, fourth].into_iter().zip(shape).collect();
    dimensions.retain(|(_, size)| *size != 1);
    dimensions.sort_unstable();
    let mut end = size_of::<f32>();
    for (stride, size) in dimensions {
        // The next element of this dimension begins where all before it have ended.
        if stride < end || !stride.is_multiple_of(size_of::<f32>()) {
            return None;
        }
        end = end.checked_add(size.checked_sub(1)?.checked_mul(stride)?)?;
    }
    let aligned = offset_bytes.is_multiple_of(size_of::<f32>());
    aligned.then(|| end.checked_add(offset_bytes)).flatten()
}
