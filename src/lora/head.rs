//! The loss, on the rows that predict something and on no others, a few rows at a time: tokens
//! times vocabulary is never held.

use super::block::{norm, norm_back};
use super::packing::Packed;
use super::weights::Weights;
use super::{Design, LoraError};
use crate::ggml::{Arena, Backend, Graph, Kind, Tensor};

/// Bytes that the logits of one chunk may take.
const CHUNK_BYTES: usize = 32 << 20;
const MAX_NODES: usize = 64;

/// Rows whose logits are held at once.
#[must_use]
pub fn chunk_rows(design: &Design) -> usize {
    (CHUNK_BYTES / size_of::<f32>() / design.n_vocab).clamp(1, 256)
}

/// A few rows that predict, and what.
struct Chunk<'b> {
    numbers: Arena<'b>,
    floats: Arena<'b>,
    coefficients: Vec<f64>,
}

impl<'b> Chunk<'b> {
    /// Rows `first` to `last` of those that predict. Gradients come out multiplied by
    /// `loss_scale`.
    fn new(
        backend: &'b Backend,
        design: &Design,
        packed: &Packed,
        rows: std::ops::Range<usize>,
        loss_scale: f64,
    ) -> Result<Self, LoraError> {
        let count = rows.len();
        let targets: Vec<_> =
            packed.targets.iter().filter(|target| rows.contains(&target.row)).collect();
        let mut row_coefficients = vec![0.0_f64; count];
        for target in &targets {
            row_coefficients[target.row - rows.start] += target.coefficient;
        }
        let places: Vec<i32> = targets
            .iter()
            .map(|target| ((target.row - rows.start) * design.n_vocab) as i32 + target.token as i32)
            .collect();
        // What softmax has less its targets' shares, times the row's coefficient, is the gradient.
        let shares: Vec<f32> = targets
            .iter()
            .map(|target| -target.coefficient / row_coefficients[target.row - rows.start])
            .map(|share| share as f32)
            .collect();
        let scales: Vec<f32> =
            row_coefficients.iter().map(|sum| (sum * loss_scale) as f32).collect();
        let predicting: Vec<i32> = packed.predicting[rows].iter().map(|&row| row as i32).collect();

        let list = |count: usize| [count, 1, 1, 1];
        let numbers =
            Arena::new(backend, &[(Kind::I32, list(count)), (Kind::I32, list(targets.len()))])?;
        numbers.at(0).write_numbers(&predicting)?;
        numbers.at(1).write_numbers(&places)?;
        let one = |count: usize| (Kind::F32, [1, count, 1, 1]);
        let floats = Arena::new(backend, &[one(targets.len()), one(count), one(targets.len())])?;
        floats.at(0).write(&shares)?;
        floats.at(1).write(&scales)?;
        let coefficients = targets.iter().map(|target| target.coefficient).collect();
        Ok(Self { numbers, floats, coefficients })
    }

    fn rows(&self) -> Tensor<'_> {
        self.numbers.at(0)
    }

    /// Where the targets stand among the logits of the chunk.
    fn places(&self) -> Tensor<'_> {
        self.numbers.at(1)
    }

    fn shares(&self) -> Tensor<'_> {
        self.floats.at(0)
    }

    fn scales(&self) -> Tensor<'_> {
        self.floats.at(1)
    }

    /// The probabilities of the targets.
    fn probabilities(&self) -> Tensor<'_> {
        self.floats.at(2)
    }

    /// The sum of -coefficient · ln p.
    fn loss(&self) -> Result<f64, LoraError> {
        let probabilities = self.probabilities().to_vec()?;
        let terms = probabilities.iter().zip(&self.coefficients);
        // What is too improbable for 32 bits is as good as the least that they hold; the gradient
        // is right either way. What is no number stays so.
        let log = |p: f32| f64::from(if p == 0.0 { f32::MIN_POSITIVE } else { p }).ln();
        Ok(terms.map(|(p, coefficient)| -coefficient * log(*p)).sum())
    }
}

/// The loss of what the last block left in `x`, [n_embd, rows]; with `grad`, its gradient times
/// `loss_scale` is left there, zero in rows that predict nothing.
///
/// # Errors
/// [`LoraError`].
pub fn loss(
    backend: &Backend,
    design: &Design,
    weights: &Weights<'_>,
    packed: &Packed,
    x: Tensor<'_>,
    grad: Option<(Tensor<'_>, f64)>,
    is_stopped: &dyn Fn() -> bool,
) -> Result<f64, LoraError> {
    let mut sum = 0.0;
    if let Some((grad, _)) = grad {
        grad.clear()?;
    }
    let count = packed.predicting.len();
    for first in (0..count).step_by(chunk_rows(design)) {
        if is_stopped() {
            return Err(LoraError::Stopped);
        }
        let rows = first..(first + chunk_rows(design)).min(count);
        let loss_scale = grad.map_or(1.0, |(_, scale)| scale);
        let chunk = Chunk::new(backend, design, packed, rows, loss_scale)?;
        let target = grad.map(|(grad, _)| grad);
        backend.run(MAX_NODES, |g| chunk_graph(g, design, weights, &chunk, x, target))?;
        sum += chunk.loss()?;
    }
    Ok(sum)
}

fn chunk_graph<'g>(
    g: &'g Graph<'g, '_>,
    design: &Design,
    weights: &'g Weights<'_>,
    chunk: &'g Chunk<'_>,
    x: Tensor<'g>,
    grad: Option<Tensor<'g>>,
) -> Result<(), LoraError> {
    let output = weights.output()?;
    let norm_weight = weights.required("output_norm.weight")?;
    let x = g.get_rows(x, chunk.rows())?;
    let normed = norm(g, x, norm_weight, design.rms_norm_eps)?;
    let mut logits = output.forward(g, normed)?;
    if let Some(bias) = output.bias {
        logits = g.add(logits, bias)?;
    }
    let shape = logits.shape();
    let p = g.soft_max(logits, None, 1.0)?;
    let flat = g.reshape(p, [1, shape[0] * shape[1], 1, 1])?;
    let p_targets = g.get_rows(flat, chunk.places())?;
    g.store(p_targets, chunk.probabilities())?;
    let Some(grad) = grad else {
        return Ok(());
    };
    let less = g.add(p_targets, chunk.shares())?;
    let d_logits = g.reshape(g.set_rows(flat, less, chunk.places())?, shape)?;
    let d_normed = g.mul(output.backward(g, d_logits)?, chunk.scales())?;
    let d_x = norm_back(g, d_normed, x, norm_weight, design.rms_norm_eps)?;
    let done = g.set_rows(grad, d_x, chunk.rows())?;
    g.include(done);
    Ok(())
}
