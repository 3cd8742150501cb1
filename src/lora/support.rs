//! Which operations of training a device lacks.

use crate::ggml::{Arena, Backend, GgmlError, Graph, Kind, Over, Rope, RopeKind};
use crate::gguf::TensorType;

/// Sizes that no kernel finds odd.
const WIDTH: usize = 64;
const ROWS: usize = 32;

/// The names of the operations that `backend` cannot compute; empty where it can train.
///
/// # Errors
/// [`GgmlError`] where the device has no memory for a few small tensors.
pub fn missing_operations(backend: &Backend) -> Result<Vec<String>, GgmlError> {
    let floats = |shape| (Kind::F32, shape);
    let arena = Arena::new(
        backend,
        &[
            (Kind::Float(TensorType::F16), [WIDTH, WIDTH, 1, 1]),
            floats([WIDTH, ROWS, 1, 1]),
            floats([WIDTH, 1, 1, 1]),
            floats([ROWS, ROWS, 1, 1]),
            (Kind::I32, [ROWS, 1, 1, 1]),
        ],
    )?;
    let numbers: Vec<i32> = (0..ROWS as i32).collect();
    arena.at(4).write_numbers(&numbers)?;
    backend.missing(64, |g| every_operation(g, &arena))
}

/// One of each operation of the forward and backward pass.
fn every_operation<'g>(g: &'g Graph<'g, '_>, arena: &'g Arena<'_>) -> Result<(), GgmlError> {
    let [weight, x, vector, mask, numbers] = [0, 1, 2, 3, 4].map(|index| arena.at(index));
    let y = g.mul_mat(weight, g.scale(x, 2.0, 0.0)?)?;
    let y = g.mul(g.add(y, x)?, vector)?;
    let normed = g.rms_norm_back(y, g.rms_norm(y, 1e-5)?, 1e-5)?;
    let gated = g.swiglu(g.silu_back(normed, y)?, g.tanh(g.silu(y)?)?)?;
    let heads = g.reshape(gated, [WIDTH / 4, 4, ROWS, 1])?;
    let mut turned = heads;
    for kind in [RopeKind::Interleaved, RopeKind::Halves] {
        let rope = Rope { kind, freq_base: 10_000.0, freq_scale: 1.0 };
        turned = g.rope_back(g.rope(turned, numbers, None, &rope)?, numbers, None, &rope)?;
    }
    let by_head = g.contiguous(g.swap_middle(turned)?)?;
    let scores = g.product((by_head, Over::Columns), (by_head, Over::Columns))?;
    let p = g.masked_soft_max(scores, mask, 1.0)?;
    let back = g.soft_max_back(g.scale(p, 1.0, 0.0)?, p, 1.0)?;
    let found = g.product((by_head, Over::Rows), (back, Over::Rows))?;
    let found = g.reshape(g.contiguous(g.swap_middle(found)?)?, [WIDTH, ROWS, 1, 1])?;
    let rows = g.get_rows(found, numbers)?;
    g.include(g.acc(x, rows, [WIDTH * 4, WIDTH * ROWS * 4, WIDTH * ROWS * 4], 0)?);
    g.include(g.set_rows(x, rows, numbers)?);
    g.store(rows, x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_lacks_nothing() {
        let missing = missing_operations(&Backend::cpu(1).unwrap()).unwrap();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
