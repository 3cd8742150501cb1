//! The memory that training takes, known before it starts.

use serde::Serialize;

use super::activations::{Activations, Keeping};
use super::{Design, Projection, WeightType, copies_bytes, head};
use crate::gguf::CheckedModel;

/// What a run will take on the device, and what of it can be saved by computing things again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FitMemory {
    /// The model's file, mapped, and copies of its weights.
    pub weights_bytes: u64,
    /// The adapter, its gradients and moments.
    pub adapter_bytes: u64,
    /// What blocks keep for the way back, at least.
    pub activations_least_bytes: u64,
    /// The same with nothing computed again.
    pub activations_most_bytes: u64,
    /// What one graph takes while it is computed, and the streams between graphs.
    pub graph_bytes: u64,
}

/// Copies of an adapter's values that exist at once: on the device values and gradients, else
/// values, two moments, a sum of gradients and the last pass's, and a checkpoint of three.
const ADAPTER_COPIES: u64 = 10;
const F32_BYTES: u64 = 4;

impl FitMemory {
    /// Of a run on a model whose longest pass has `rows` rows and whose adapter has `values`
    /// values.
    #[must_use]
    pub fn of(
        model: &CheckedModel<'_>,
        design: &Design,
        is_cpu: bool,
        kind: WeightType,
        values: usize,
        rows: usize,
    ) -> Self {
        let mapped: u64 = model.header.tensors().iter().map(|it| it.size_bytes as u64).sum();
        let has_post_norms =
            model.header.tensors().iter().any(|it| it.name == "blk.0.post_attention_norm.weight");
        let blocks = design.blocks.len() as u64;
        let kept = |keeping| blocks * Activations::bytes(design, rows, keeping, has_post_norms);
        Self {
            weights_bytes: mapped + copies_bytes(model, is_cpu, kind),
            adapter_bytes: ADAPTER_COPIES * F32_BYTES * values as u64,
            activations_least_bytes: kept(Keeping::Inputs),
            activations_most_bytes: kept(Keeping::Everything),
            graph_bytes: graph_bytes(design, kind, rows),
        }
    }

    /// With everything that can be computed again computed again.
    #[must_use]
    pub fn least_bytes(&self) -> u64 {
        self.fixed_bytes() + self.activations_least_bytes
    }

    /// With nothing computed again.
    #[must_use]
    pub fn most_bytes(&self) -> u64 {
        self.fixed_bytes() + self.activations_most_bytes
    }

    /// What activations may take of `available_bytes`.
    #[must_use]
    pub fn activation_bytes_max(&self, available_bytes: u64) -> u64 {
        available_bytes.saturating_sub(self.fixed_bytes())
    }

    fn fixed_bytes(&self) -> u64 {
        self.weights_bytes + self.adapter_bytes + self.graph_bytes
    }
}

/// The backward pass of a feed-forward half holds most: at its height five times the width of the
/// layer and of the stream, and one decoded matrix.
fn graph_bytes(design: &Design, kind: WeightType, rows: usize) -> u64 {
    let widths = 5 * (design.n_ff + design.n_embd);
    let streams = 4 * design.n_embd + design.query_width() + 2 * design.kv_width();
    let (n_in, n_out) = Projection::Gate.widths(design);
    let decoded = if kind == WeightType::Mapped { n_in * n_out } else { 0 };
    let logits = head::chunk_rows(design) * design.n_vocab;
    let graph = (rows * widths + decoded).max(logits);
    // Half a square, and as much again while it is made.
    let masks = design.window_kinds() * rows * rows;
    F32_BYTES * (graph + rows * streams + masks) as u64
}
