//! Gated linear units, arXiv 2002.05202: act(gate) · up, and their gradients.
//!
//! Both activations are x σ(w(x)) with σ(w) = 1 / (1 + e^-w). ggml has no gradient of GELU, computes
//! that of SiLU element by element, and goes through the widest matrices of a block once for every
//! step; on the processor each of the two here is one operation. Other devices get ggml's.

use std::slice;

use llama_cpp_sys_2 as sys;

use super::operations::check_same;
use super::products::{ALL_THREADS, Part, stripe};
use super::softmax::exp;
use super::{GgmlError, Graph, Tensor};

/// What a gate goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// w(x) = x.
    Silu,
    /// GELU by its usual approximation with tanh, arXiv 1606.08415: w(x) = 2 √(2/π) (x + 0.044715 x³).
    Gelu,
}

const GELU_CUBIC: f32 = 0.044_715;
/// √(2/π)
const GELU_SCALE: f32 = 0.797_884_6;

type Made<'g> = Result<Tensor<'g>, GgmlError>;

impl<'g> Graph<'g, '_> {
    /// act(`gate`) · `up`.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn gated(&'g self, activation: Activation, gate: Tensor<'g>, up: Tensor<'g>) -> Made<'g> {
        if !self.backend.is_cpu() {
            return composed(self, activation, gate, up);
        }
        check_same("gated", gate, up)?;
        let part = match activation {
            Activation::Silu => gated_part::<false>,
            Activation::Gelu => gated_part::<true>,
        };
        Ok(self.custom([gate, up], 1, part)?.named(c"gated"))
    }

    /// The gradients of `gate` and of `up`, from that of what [`Graph::gated`] gives.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn gated_back(
        &'g self,
        activation: Activation,
        grad: Tensor<'g>,
        gate: Tensor<'g>,
        up: Tensor<'g>,
    ) -> Result<[Tensor<'g>; 2], GgmlError> {
        if !self.backend.is_cpu() {
            return composed_back(self, activation, grad, gate, up);
        }
        check_same("gated_back", grad, gate)?;
        check_same("gated_back", grad, up)?;
        let part = match activation {
            Activation::Silu => gated_back_part::<false>,
            Activation::Gelu => gated_back_part::<true>,
        };
        let both = self.custom([grad, gate, up], 2, part)?.named(c"gated_back");
        let [_, nb1, nb2, nb3] = both.strides_bytes();
        let one = |index| self.view(both, grad.shape(), [nb1, nb2, nb3], index * nb2);
        Ok([one(0)?, one(1)?])
    }

    /// An operation on `sources`, matrices of one shape, whose result is `planes` such matrices.
    fn custom<const SOURCES: usize>(
        &'g self,
        sources: [Tensor<'g>; SOURCES],
        planes: i64,
        part: Part,
    ) -> Made<'g> {
        let [columns, rows, a2, a3] = sources[0].shape();
        if a2 != 1 || a3 != 1 {
            return Err(GgmlError::Shape { op: "gated", what: sources[0].describe() });
        }
        let mut sources = sources.map(|source| source.raw.as_ptr());
        // SAFETY: room was reserved; the functions rely on contiguous matrices of one shape, which
        // the callers have checked.
        self.made(unsafe {
            sys::ggml_custom_4d(
                self.reserve()?,
                sys::GGML_TYPE_F32,
                columns as i64,
                rows as i64,
                planes,
                1,
                sources.as_mut_ptr(),
                SOURCES as i32,
                Some(part),
                ALL_THREADS,
                std::ptr::null_mut(),
            )
        })
    }
}

/// The part of thread `thread` of `threads`: ggml calls it once on each.
unsafe extern "C" fn gated_part<const GELU: bool>(
    result: *mut sys::ggml_tensor,
    thread: i32,
    threads: i32,
    _: *mut std::ffi::c_void,
) {
    // SAFETY: ggml calls it with the tensor that `Graph::gated` made: it and its sources have
    // memory now.
    let result = unsafe { &*result };
    let (first, count) = share(result, thread, threads);
    // SAFETY: result and sources are contiguous and have these elements; no other thread has
    // those of the result.
    let (to, gate, up) = unsafe {
        (plane(result, 0, first, count), of(result, 0, first, count), of(result, 1, first, count))
    };
    pulp::Arch::new().dispatch(|| {
        for ((to, gate), up) in to.iter_mut().zip(gate).zip(up) {
            *to = gate * sigmoid(steepness::<GELU>(*gate).0) * up;
        }
    });
}

/// The part of thread `thread` of `threads`: ggml calls it once on each.
unsafe extern "C" fn gated_back_part<const GELU: bool>(
    result: *mut sys::ggml_tensor,
    thread: i32,
    threads: i32,
    _: *mut std::ffi::c_void,
) {
    // SAFETY: ggml calls it with the tensor that `Graph::gated_back` made: it and its sources have
    // memory now.
    let result = unsafe { &*result };
    let (first, count) = share(result, thread, threads);
    // SAFETY: the sources are contiguous and have these elements, as has either half of the
    // result; the halves do not overlap, and no other thread has these elements of them.
    let (d_gate, d_up, grad, gate, up) = unsafe {
        (
            plane(result, 0, first, count),
            plane(result, 1, first, count),
            of(result, 0, first, count),
            of(result, 1, first, count),
            of(result, 2, first, count),
        )
    };
    pulp::Arch::new().dispatch(|| {
        let to = d_gate.iter_mut().zip(d_up);
        for ((((d_gate, d_up), grad), x), up) in to.zip(grad).zip(gate).zip(up) {
            let (w, slope) = steepness::<GELU>(*x);
            let sigma = sigmoid(w);
            *d_up = grad * x * sigma;
            *d_gate = grad * up * (sigma + x * sigma * (1.0 - sigma) * slope);
        }
    });
}

/// The first of a thread's elements of a matrix, and how many they are.
fn share(result: &sys::ggml_tensor, thread: i32, threads: i32) -> (usize, usize) {
    let elements = (result.ne[0] * result.ne[1]) as usize;
    let (first, end) = stripe(elements, thread as usize, threads as usize);
    (first, end - first)
}

/// # Safety
/// The result is contiguous and has that many matrices, each these elements, and nobody else
/// reads or writes them.
unsafe fn plane<'a>(
    result: &sys::ggml_tensor,
    index: usize,
    first: usize,
    count: usize,
) -> &'a mut [f32] {
    let offset = index * (result.ne[0] * result.ne[1]) as usize + first;
    // SAFETY: as the caller says.
    unsafe { slice::from_raw_parts_mut(result.data.cast::<f32>().add(offset), count) }
}

/// # Safety
/// There is such a source, it is contiguous and has these elements, and nobody writes them.
unsafe fn of<'a>(
    result: &sys::ggml_tensor,
    source: usize,
    first: usize,
    count: usize,
) -> &'a [f32] {
    // SAFETY: as the caller says.
    unsafe { slice::from_raw_parts((*result.src[source]).data.cast::<f32>().add(first), count) }
}

/// w(x) and its slope.
#[inline(always)]
fn steepness<const GELU: bool>(x: f32) -> (f32, f32) {
    if !GELU {
        return (x, 1.0);
    }
    let square = x * x;
    let scale = 2.0 * GELU_SCALE;
    (scale * x * (1.0 + GELU_CUBIC * square), scale * (1.0 + 3.0 * GELU_CUBIC * square))
}

/// 1 / (1 + e^-w).
#[inline(always)]
fn sigmoid(w: f32) -> f32 {
    let small = exp(-w.abs());
    (if w < 0.0 { small } else { 1.0 }) / (1.0 + small)
}

fn composed<'g>(
    g: &'g Graph<'g, '_>,
    activation: Activation,
    gate: Tensor<'g>,
    up: Tensor<'g>,
) -> Made<'g> {
    match activation {
        Activation::Silu => g.swiglu(gate, up),
        Activation::Gelu => g.mul(ComposedGelu::new(g, gate)?.value, up),
    }
}

fn composed_back<'g>(
    g: &'g Graph<'g, '_>,
    activation: Activation,
    grad: Tensor<'g>,
    gate: Tensor<'g>,
    up: Tensor<'g>,
) -> Result<[Tensor<'g>; 2], GgmlError> {
    let d_activated = g.mul(grad, up)?;
    match activation {
        Activation::Silu => Ok([g.silu_back(d_activated, gate)?, g.mul(grad, g.silu(gate)?)?]),
        Activation::Gelu => {
            let gelu = ComposedGelu::new(g, gate)?;
            Ok([g.mul(d_activated, gelu.slope(g, gate)?)?, g.mul(grad, gelu.value)?])
        }
    }
}

/// x/2 (1 + t), t = tanh(√(2/π) (x + 0.044715 x³)), which is the same. ggml has it as one
/// operation, but looks it up in 16 bits.
struct ComposedGelu<'g> {
    value: Tensor<'g>,
    /// t
    tanh: Tensor<'g>,
    /// x²
    square: Tensor<'g>,
}

impl<'g> ComposedGelu<'g> {
    fn new(g: &'g Graph<'g, '_>, x: Tensor<'g>) -> Result<Self, GgmlError> {
        let square = g.mul(x, x)?;
        let inner = g.mul(g.scale(square, GELU_SCALE * GELU_CUBIC, GELU_SCALE)?, x)?;
        let tanh = g.tanh(inner)?;
        let value = g.mul(g.scale(tanh, 0.5, 0.5)?, x)?;
        Ok(Self { value, tanh, square })
    }

    /// (1 + t)/2 + x/2 (1 - t²) √(2/π) (1 + 3 · 0.044715 x²)
    fn slope(&self, g: &'g Graph<'g, '_>, x: Tensor<'g>) -> Made<'g> {
        let flat = g.scale(g.mul(self.tanh, self.tanh)?, -0.5, 0.5)?;
        let inner = g.scale(self.square, 3.0 * GELU_CUBIC * GELU_SCALE, GELU_SCALE)?;
        let bent = g.mul(g.mul(flat, inner)?, x)?;
        g.add(bent, g.scale(self.tanh, 0.5, 0.5)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ggml::{Arena, Backend, Kind};

    /// What is computed on the processor and what other devices compute.
    #[test]
    fn one_operation_does_what_several_do() {
        let backend = Backend::cpu(2).unwrap();
        let arena = Arena::new(&backend, &[(Kind::F32, [50, 7, 1, 1]); 9]).unwrap();
        let wave = |step: f32, width: f32| -> Vec<f32> {
            (0..350).map(|index| (index as f32 * step).sin() * width).collect()
        };
        for (index, values) in
            [wave(0.37, 2.0), wave(0.11, 9.0), wave(0.23, 1.5)].iter().enumerate()
        {
            arena.at(index).write(values).unwrap();
        }
        let [grad, gate, up] = [arena.at(0), arena.at(1), arena.at(2)];
        for activation in [Activation::Silu, Activation::Gelu] {
            backend
                .run(64, |g| -> Result<(), GgmlError> {
                    g.store(g.gated(activation, gate, up)?, arena.at(3))?;
                    let [d_gate, d_up] = g.gated_back(activation, grad, gate, up)?;
                    g.store(d_gate, arena.at(4))?;
                    g.store(d_up, arena.at(5))?;
                    g.store(composed(g, activation, gate, up)?, arena.at(6))?;
                    let [d_gate, d_up] = composed_back(g, activation, grad, gate, up)?;
                    g.store(d_gate, arena.at(7))?;
                    g.store(d_up, arena.at(8))
                })
                .unwrap();
            for index in 3..6 {
                let pairs =
                    (arena.at(index).to_vec().unwrap(), arena.at(index + 3).to_vec().unwrap());
                for (one, several) in pairs.0.iter().zip(pairs.1) {
                    let near = (one - several).abs() < 1e-5 * several.abs().max(1.0);
                    assert!(near, "{activation:?}, {index}: {one}, {several}");
                }
            }
        }
    }

    #[test]
    fn extremes_stay_numbers_and_what_is_none_stays_none() {
        assert_eq!(sigmoid(f32::INFINITY), 1.0);
        assert_eq!(sigmoid(f32::NEG_INFINITY), 0.0);
        assert_eq!(sigmoid(0.0), 0.5);
        assert!(sigmoid(f32::NAN).is_nan());
    }
}
