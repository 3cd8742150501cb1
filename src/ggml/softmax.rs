//! Masked softmax. ggml's own looks for a row's largest element one by one, which takes longer than
//! all the rest of it; on the processor this one stands in for it.

use std::ptr;
use std::slice;

use llama_cpp_sys_2 as sys;

use super::products::ALL_THREADS;
use super::{GgmlError, Graph, Tensor};

impl<'g> Graph<'g, '_> {
    /// softmax(`a` * `scale` + `mask`) over each row, in the place of `a`. The mask, [columns, rows], holds for all
    /// further dimensions of `a`.
    ///
    /// # Errors
    /// [`GgmlError::Shape`].
    pub fn masked_soft_max(
        &'g self,
        a: Tensor<'g>,
        mask: Tensor<'g>,
        scale: f32,
    ) -> Result<Tensor<'g>, GgmlError> {
        if !self.backend.is_cpu() {
            return self.soft_max(a, Some(mask), scale);
        }
        let [columns, rows, ..] = a.shape();
        let plain = |tensor: Tensor<'_>| tensor.is_f32() && tensor.is_contiguous();
        // A mask of an arena, and what a graph makes: never the same memory.
        let apart = !mask.buffer().is_null() && a.buffer().is_null();
        let fits = mask.shape() == [columns, rows, 1, 1] && a.shape()[3] == 1;
        if !(fits && apart && plain(a) && plain(mask)) {
            let what = format!("{} and {}", a.describe(), mask.describe());
            return Err(GgmlError::Shape { op: "masked_soft_max", what });
        }
        let mut sources = [mask.raw.as_ptr()];
        // SAFETY: room was reserved; the function relies on the shapes checked above. The number
        // takes the place of a pointer that nobody follows.
        let made = self.made(unsafe {
            sys::ggml_custom_inplace(
                self.reserve()?,
                a.raw.as_ptr(),
                sources.as_mut_ptr(),
                1,
                Some(soft_max_part),
                ALL_THREADS,
                ptr::without_provenance_mut(scale.to_bits() as usize),
            )
        })?;
        Ok(made.named(c"masked_soft_max"))
    }
}

/// The part of thread `thread` of `threads`: ggml calls it once on each.
unsafe extern "C" fn soft_max_part(
    result: *mut sys::ggml_tensor,
    thread: i32,
    threads: i32,
    scale: *mut std::ffi::c_void,
) {
    // SAFETY: ggml calls it with the tensor that `Graph::masked_soft_max` made: it and its two
    // sources have memory now.
    let (to, mask) = unsafe { (&*result, &*(*result).src[1]) };
    let [columns, rows, heads, _] = to.ne.map(|size| size as usize);
    let scale = f32::from_bits(scale.addr() as u32);
    let all = rows * heads;
    let (first, end) =
        (all * thread as usize / threads as usize, all * (thread as usize + 1) / threads as usize);
    let arch = pulp::Arch::new();
    for row in first..end {
        // SAFETY: both are contiguous; the row lies within the result, which is its source, the
        // same row of any head within the mask, and no other thread has it.
        let (to, mask) = unsafe {
            let mask = mask.data.cast::<f32>().add(row % rows * columns);
            (
                slice::from_raw_parts_mut(to.data.cast::<f32>().add(row * columns), columns),
                slice::from_raw_parts(mask, columns),
            )
        };
        arch.dispatch(|| soft_max_row(to, mask, scale));
    }
}

/// Accumulators that are kept apart, so that they fill the widest registers.
const LANES: usize = 32;

#[inline(always)]
fn soft_max_row(row: &mut [f32], mask: &[f32], scale: f32) {
    let mut largest = [f32::NEG_INFINITY; LANES];
    let keep = |largest: &mut f32, value: &mut f32, mask: f32| {
        *value = *value * scale + mask;
        *largest = if *value > *largest { *value } else { *largest };
    };
    let (whole, rest) = row.as_chunks_mut::<LANES>();
    let (whole_mask, rest_mask) = mask.as_chunks::<LANES>();
    for (values, mask) in whole.iter_mut().zip(whole_mask) {
        for lane in 0..LANES {
            keep(&mut largest[lane], &mut values[lane], mask[lane]);
        }
    }
    for (value, mask) in rest.iter_mut().zip(rest_mask) {
        keep(&mut largest[0], value, *mask);
    }
    let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut sums = [0.0_f32; LANES];
    for values in whole.iter_mut() {
        for lane in 0..LANES {
            values[lane] = exp(values[lane] - largest);
            sums[lane] += values[lane];
        }
    }
    let mut sum: f32 = sums.into_iter().sum();
    for value in rest.iter_mut() {
        *value = exp(*value - largest);
        sum += *value;
    }
    let inverse = 1.0 / sum;
    row.iter_mut().for_each(|value| *value *= inverse);
}

/// e^x for x not above 0, within two units of the last place; 0 where that is no normal number.
/// What is no number stays so.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// Adding it rounds to a whole number, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const LOWEST: f32 = -87.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x < LOWEST { LOWEST } else { x };
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let whole = rounded - ROUND;
    let r = clamped - whole * LN_2_HIGH - whole * LN_2_LOW;
    // The minimax polynomial of Cephes' expf.
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + coefficient;
    }
    let mantissa = p * r * r + r + 1.0;
    let exponent = (rounded.to_bits() << 23).wrapping_add(127 << 23);
    let value = mantissa * f32::from_bits(exponent);
    if x < LOWEST { 0.0 } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_as_good_as_the_libraries() {
        for step in 0..87_000 {
            let x = -(step as f32) / 1000.0;
            let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found / expected - 1.0).abs() < 2.0 * f64::from(f32::EPSILON), "{x} {found}");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn rows_of_any_length_sum_to_one() {
        for columns in [1, 7, 32, 33, 100] {
            let from: Vec<f32> = (0..columns).map(|i| (i * 7 % 13) as f32 - 4.0).collect();
            let mut mask = vec![0.0; columns];
            if columns > 1 {
                mask[columns - 1] = f32::NEG_INFINITY;
            }
            let mut to = from.clone();
            soft_max_row(&mut to, &mask, 0.5);
            let weights: Vec<f64> = from
                .iter()
                .zip(&mask)
                .map(|(value, mask)| (0.5 * f64::from(*value) + f64::from(*mask)).exp())
                .collect();
            let sum: f64 = weights.iter().sum();
            for (found, weight) in to.iter().zip(weights) {
                assert!((f64::from(*found) - weight / sum).abs() < 1e-6, "{columns}: {found}");
            }
        }
        let mut to = [0.0, f32::NAN, 1.0];
        soft_max_row(&mut to, &[0.0; 3], 1.0);
        assert!(to.iter().all(|value| value.is_nan()));
    }
}
