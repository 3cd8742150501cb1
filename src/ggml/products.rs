//! Products of matrices of 32-bit floats, contracted over whichever dimension.
//!
//! ggml contracts over the dimension that is contiguous in both, and anything else has to be laid
//! out anew first. On the processor a product is one operation of the graph that hands the two
//! matrices, strides and all, to the `gemm` crate, which is faster than ggml's own kernels, most of
//! all for the small ones of attention and of adapters (`PROFILE=1 cargo bench --bench training`
//! shows their rates). Other devices get ggml's operations.

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
        let part = match (a_over, b_over) {
            (Over::Columns, Over::Columns) => product_part::<false, false>,
            (Over::Columns, Over::Rows) => product_part::<false, true>,
            (Over::Rows, Over::Columns) => product_part::<true, false>,
            (Over::Rows, Over::Rows) => product_part::<true, true>,
        };
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
                Some(part),
                ALL_THREADS,
                std::ptr::null_mut(),
            )
        })?;
        Ok(made.named(c"product"))
    }

    /// `a`, [m, n, …], as [n, m, …], laid out anew.
    pub fn transpose(&'g self, a: Tensor<'g>) -> Result<Tensor<'g>, GgmlError> {
        if !a.is_f32() {
            return Err(GgmlError::Shape { op: "transpose", what: a.describe() });
        }
        // SAFETY: room was reserved for both; floats of any strides can be copied.
        self.made(unsafe {
            let turned = sys::ggml_transpose(self.reserve()?, a.raw.as_ptr());
            sys::ggml_cont(self.reserve()?, turned)
        })
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

/// The part of thread `thread` of `threads`: ggml calls it once on each.
unsafe extern "C" fn product_part<const A_ROWS: bool, const B_ROWS: bool>(
    result: *mut sys::ggml_tensor,
    thread: i32,
    threads: i32,
    _: *mut std::ffi::c_void,
) {
    // SAFETY: ggml calls it with the tensor that `Graph::product` made: it and its two sources
    // have memory now.
    let (to, a, b) = unsafe { (&*result, &*(*result).src[0], &*(*result).src[1]) };
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
            // elements as the result's sides; the result is contiguous, and no other thread
            // writes this part of it.
            unsafe {
                let a = Matrix::of(a, A_ROWS, batch / group).from(m_first);
                let b = Matrix::of(b, B_ROWS, batch).from(column);
                let target = to.data.cast::<f32>().add((batch * n + column) * m + m_first);
                multiply([m_end - m_first, count, k], a, b, target, m);
            }
        }
    }
}

/// `a` [k, m] and `b` [k, n] into `to` [m, n], whose rows lie `stride` apart.
///
/// # Safety
/// The matrices have as many elements as `[m, n, k]` says, and nobody else writes those of `to`.
unsafe fn multiply([m, n, k]: [usize; 3], a: Matrix, b: Matrix, to: *mut f32, stride: usize) {
    // SAFETY: `gemm` reads and writes no further than the sizes that it is given.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            to,
            stride as isize,
            1,
            false,
            a.start,
            a.along,
            a.across,
            b.start,
            b.across,
            b.along,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// The part of `size` elements that thread `thread` has, from and to.
fn stripe(size: usize, thread: usize, threads: usize) -> (usize, usize) {
    let stripes = size.div_ceil(STRIPE);
    let at = |thread: usize| (stripes * thread / threads * STRIPE).min(size);
    (at(thread), at(thread + 1))
}
