//! Products of matrices of 32-bit floats, contracted over whichever dimension.
//!
//! ggml contracts over the dimension that is contiguous in both, and anything else has to be laid
//! out anew first. On the processor a product is one operation of the graph that hands the two
//! matrices, strides and all, to the `gemm` crate, which is faster than ggml's own kernels, most of
//! all for the small ones of attention and of adapters (`PROFILE=1 cargo bench --bench training`
//! shows their rates). Other devices get ggml's operations.

use std::ptr;

use llama_cpp_sys_2 as sys;

use super::{GgmlError, Graph, Tensor};

/// The dimension of a matrix that a product sums over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Its rows' elements: dimension 0.
    Columns,
    /// Its rows: dimension 1.
    Rows,
}

/// ggml's number for as many tasks as there are threads.
pub(super) const ALL_THREADS: i32 = -1;
/// Threads share a result at whole multiples of this.
const STRIPE: usize = 16;
/// Columns that a thread must have for columns to be what is shared.
const COLUMNS_EACH: usize = 48;
/// Columns of a result that are made at a time: what the caches hold.
const COLUMNS: usize = 256;

impl<'g> Graph<'g, '_> {
    /// The product of `a` and `b`, summed over one dimension of each, which are equally long: of
    /// [k, m] or, over rows, [m, k], and [k, n] or [n, k], the result is [m, n]. Further
    /// dimensions are batches; those of `a` are repeated to fill those of `b`.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn product(
        &'g self,
        (a, a_over): (Tensor<'g>, Over),
        (b, b_over): (Tensor<'g>, Over),
    ) -> Result<Tensor<'g>, GgmlError> {
        if !(self.backend.is_cpu() && a.is_f32() && b.is_f32()) {
            let turned = |x, over| if over == Over::Rows { self.transpose(x) } else { Ok(x) };
            return self.mul_mat(turned(a, a_over)?, turned(b, b_over)?);
        }
        let ([k, m], [k_b, n]) = (sizes(a, a_over), sizes(b, b_over));
        let ([.., a2, a3], [.., b2, b3]) = (a.shape(), b.shape());
        if k != k_b || !b2.is_multiple_of(a2) || a3 != 1 || b3 != 1 {
            let what = format!("{} {a_over:?} and {} {b_over:?}", a.describe(), b.describe());
            return Err(GgmlError::Shape { op: "product", what });
        }
        let mut sources = [a.raw.as_ptr(), b.raw.as_ptr()];
        let [m, n, b2] = [m, n, b2].map(|size| size as i64);
        // SAFETY: room was reserved; the function relies on the two tensors' shapes, checked
        // above, and their strides alone.
        let made = self.made(unsafe {
            sys::ggml_custom_4d(
                self.reserve()?,
                sys::GGML_TYPE_F32,
                m,
                n,
                b2,
                1,
                sources.as_mut_ptr(),
                2,
                Some(Form { a_over, b_over, adds: false }.part()),
                ALL_THREADS,
                ptr::null_mut(),
            )
        })?;
        Ok(made.named(c"product"))
    }

    /// Whether [`Graph::product_onto`] is there: on the processor.
    pub fn adds_products(&self) -> bool {
        self.backend.is_cpu()
    }

    /// Adds `scale` times the product of the matrices `a` and `b` to `to`, [m, n], in its place.
    /// Either the graph made `to`, and `a` and `b` are tensors of arenas, or the other way round:
    /// they never share memory. What is added to an arena is there for all that is built later.
    ///
    /// # Errors
    /// [`GgmlError::Shape`], for weights and on other devices too.
    pub fn product_onto(
        &'g self,
        to: Tensor<'g>,
        (a, a_over): (Tensor<'g>, Over),
        (b, b_over): (Tensor<'g>, Over),
        scale: f32,
    ) -> Result<Tensor<'g>, GgmlError> {
        let ([k, m], [k_b, n]) = (sizes(a, a_over), sizes(b, b_over));
        let is_made = |tensor: Tensor<'_>| tensor.buffer().is_null();
        let apart = is_made(a) != is_made(to) && is_made(b) != is_made(to);
        let floats = [to, a, b].iter().all(|tensor| tensor.is_f32());
        let matrices = [a, b].iter().all(|tensor| tensor.shape()[2..] == [1, 1]);
        let fits = k == k_b && to.shape() == [m, n, 1, 1] && to.has_contiguous_rows();
        if !(self.adds_products() && apart && to.is_writable() && floats && matrices && fits) {
            let what = format!("{} {a_over:?} and {} {b_over:?}", a.describe(), b.describe());
            let what = format!("{what} onto {}", to.describe());
            return Err(GgmlError::Shape { op: "product_onto", what });
        }
        let mut sources = [a.raw.as_ptr(), b.raw.as_ptr()];
        // SAFETY: room was reserved; the function relies on the tensors' shapes and on their being
        // apart, checked above, and their strides alone. The number takes the place of a pointer
        // that nobody follows.
        let made = self.made(unsafe {
            sys::ggml_custom_inplace(
                self.reserve()?,
                to.raw.as_ptr(),
                sources.as_mut_ptr(),
                2,
                Some(Form { a_over, b_over, adds: true }.part()),
                ALL_THREADS,
                ptr::without_provenance_mut(scale.to_bits() as usize),
            )
        })?;
        if !is_made(to) {
            self.expand(made);
        }
        Ok(made.named(c"product_onto"))
    }
}

/// What is summed over, and what is left.
fn sizes(tensor: Tensor<'_>, over: Over) -> [usize; 2] {
    let [columns, rows, ..] = tensor.shape();
    match over {
        Over::Columns => [columns, rows],
        Over::Rows => [rows, columns],
    }
}

/// A matrix of a batch as the product sees it: its elements lie `along` apart in the dimension that
/// is summed over, and `across` in the other.
#[derive(Clone, Copy)]
struct Matrix {
    start: *const f32,
    along: isize,
    across: isize,
}

impl Matrix {
    /// # Safety
    /// The tensor has memory, and the batch.
    unsafe fn of(tensor: &sys::ggml_tensor, over_rows: bool, batch: usize) -> Self {
        let stride = |dimension: usize| (tensor.nb[dimension] / size_of::<f32>()) as isize;
        let (along, across) =
            if over_rows { (stride(1), stride(0)) } else { (stride(0), stride(1)) };
        // SAFETY: the batch lies within the tensor, as the caller says.
        let start = unsafe { tensor.data.cast::<u8>().add(batch * tensor.nb[2]) };
        Self { start: start.cast(), along, across }
    }

    /// From element `index` of the dimension that is left.
    ///
    /// # Safety
    /// There is such an element.
    unsafe fn from(self, index: usize) -> Self {
        // SAFETY: within the matrix, as the caller says.
        Self { start: unsafe { self.start.offset(index as isize * self.across) }, ..self }
    }
}

/// What ggml calls on each of its threads.
pub(super) type Part = unsafe extern "C" fn(*mut sys::ggml_tensor, i32, i32, *mut std::ffi::c_void);

/// Which function computes a product.
struct Form {
    a_over: Over,
    b_over: Over,
    /// Whether what is there already stays: then it is the first source.
    adds: bool,
}

impl Form {
    fn part(self) -> Part {
        match (self.a_over, self.b_over, self.adds) {
            (Over::Columns, Over::Columns, false) => product_part::<false, false, false>,
            (Over::Columns, Over::Rows, false) => product_part::<false, true, false>,
            (Over::Rows, Over::Columns, false) => product_part::<true, false, false>,
            (Over::Rows, Over::Rows, false) => product_part::<true, true, false>,
            (Over::Columns, Over::Columns, true) => product_part::<false, false, true>,
            (Over::Columns, Over::Rows, true) => product_part::<false, true, true>,
            (Over::Rows, Over::Columns, true) => product_part::<true, false, true>,
            (Over::Rows, Over::Rows, true) => product_part::<true, true, true>,
        }
    }
}

/// The part of thread `thread` of `threads`: ggml calls it once on each.
unsafe extern "C" fn product_part<const A_ROWS: bool, const B_ROWS: bool, const ADDS: bool>(
    result: *mut sys::ggml_tensor,
    thread: i32,
    threads: i32,
    scale: *mut std::ffi::c_void,
) {
    let first_source = usize::from(ADDS);
    // SAFETY: ggml calls it with the tensor that `Graph::product` or, where it adds,
    // `Graph::product_onto` made: it and its sources have memory now.
    let (to, a, b) = unsafe {
        let [a, b] = [0, 1].map(|index| (*result).src[first_source + index]);
        (&*result, &*a, &*b)
    };
    let added_scale = ADDS.then(|| f32::from_bits(scale.addr() as u32));
    let [m, n, batches, _] = to.ne.map(|size| size as usize);
    let k = a.ne[usize::from(A_ROWS)] as usize;
    let group = batches / a.ne[2] as usize;
    let share = |size: usize| stripe(size, thread as usize, threads as usize);
    // Columns are shared out, so that what follows finds them in the caches of the same thread;
    // where they are few, the longer side. Each thread has all of the other.
    let by_columns = n >= m || n >= COLUMNS_EACH * threads as usize;
    let ((m_first, m_end), (n_first, n_end)) =
        if by_columns { ((0, m), share(n)) } else { (share(m), (0, n)) };
    if m_first == m_end || n_first == n_end {
        return;
    }
    for batch in 0..batches {
        for column in (n_first..n_end).step_by(COLUMNS) {
            let count = COLUMNS.min(n_end - column);
            // SAFETY: the sources have these batches, and what is left of each has as many
            // elements as the result's sides; the result's rows are contiguous, and no other thread
            // writes this part of it.
            unsafe {
                let a = Matrix::of(a, A_ROWS, batch / group).from(m_first);
                let b = Matrix::of(b, B_ROWS, batch).from(column);
                let row = to.data.cast::<u8>().add(batch * to.nb[2] + column * to.nb[1]);
                let start = row.cast::<f32>().add(m_first);
                let stride = (to.nb[1] / size_of::<f32>()) as isize;
                let to = Target { start, stride, added_scale };
                multiply([m_end - m_first, count, k], a, b, to);
            }
        }
    }
}

/// Where a product goes.
struct Target {
    start: *mut f32,
    /// Between its rows of m elements.
    stride: isize,
    /// What the product is multiplied by before it is added to what is there, if anything is.
    added_scale: Option<f32>,
}

/// `a` [k, m] and `b` [k, n] into `to` [m, n].
///
/// # Safety
/// The matrices have as many elements as `[m, n, k]` says, and nobody else writes those of `to`.
unsafe fn multiply([m, n, k]: [usize; 3], a: Matrix, b: Matrix, to: Target) {
    let (adds, kept, scale) = match to.added_scale {
        Some(scale) => (true, 1.0, scale),
        None => (false, 0.0, 1.0),
    };
    // SAFETY: `gemm` reads and writes no further than the sizes that it is given.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            to.start,
            to.stride,
            1,
            adds,
            a.start,
            a.along,
            a.across,
            b.start,
            b.across,
            b.along,
            kept,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// The part of `size` elements that thread `thread` has, from and to.
pub(super) fn stripe(size: usize, thread: usize, threads: usize) -> (usize, usize) {
    let stripes = size.div_ceil(STRIPE);
    let at = |thread: usize| (stripes * thread / threads * STRIPE).min(size);
    (at(thread), at(thread + 1))
}
