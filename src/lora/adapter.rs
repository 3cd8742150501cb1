//! The matrices that are fitted: y = W x + scale · B (A x), for each matrix W that is named.
//!
//! LoRA, arXiv 2106.09685; the scale of rsLoRA, arXiv 2312.03732.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::random::Generator;
use super::{Design, Projection};

/// The widest bottleneck.
pub const RANK_MAX: usize = 1024;

/// The form of an adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterConfig {
    /// Width of the bottleneck.
    pub rank: usize,
    /// The scale is alpha / rank.
    pub alpha: f32,
    /// The scale is alpha / sqrt(rank) instead.
    #[serde(default)]
    pub rank_stabilized: bool,
    /// Which matrices of every block are changed, each once.
    pub projections: Vec<Projection>,
}

impl AdapterConfig {
    /// What B (A x) is multiplied by.
    #[must_use]
    pub fn scale(&self) -> f32 {
        let rank = self.rank as f32;
        self.alpha / if self.rank_stabilized { rank.sqrt() } else { rank }
    }
}

/// Where the two matrices of one projection of one block stand among all values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The block.
    pub block: usize,
    /// The matrix that they change.
    pub projection: Projection,
    /// Width of what goes in.
    pub n_in: usize,
    /// Width of what comes out.
    pub n_out: usize,
    /// A, in ggml's order [n_in, rank].
    pub a: Range<usize>,
    /// B, in ggml's order [rank, n_out].
    pub b: Range<usize>,
}

/// All matrices of an adapter, in one run of numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// Its form.
    pub config: AdapterConfig,
    /// Where the matrices stand: blocks in order, and in each the projections in theirs.
    pub pairs: Vec<Pair>,
    /// The numbers.
    pub values: Vec<f32>,
}

impl Adapter {
    /// An adapter that changes nothing yet: A normal with variance 1 / n_in, B zero. The same
    /// seed, the same numbers.
    #[must_use]
    pub fn new(config: AdapterConfig, design: &Design, seed: u64) -> Self {
        let mut adapter = Self::zero(config, design);
        let generator = Generator::new(seed, "adapter");
        for pair in &adapter.pairs {
            let deviation = 1.0 / (pair.n_in as f64).sqrt();
            for index in pair.a.clone() {
                adapter.values[index] = (generator.normal(index as u64) * deviation) as f32;
            }
        }
        adapter
    }

    /// An adapter of zeros.
    #[must_use]
    pub fn zero(config: AdapterConfig, design: &Design) -> Self {
        let mut pairs = Vec::new();
        let mut end = 0;
        let mut next = |count: usize| {
            end += count;
            end - count..end
        };
        for block in 0..design.blocks.len() {
            for projection in Projection::ALL {
                if config.projections.contains(&projection) {
                    let (n_in, n_out) = projection.widths(design);
                    let (a, b) = (next(n_in * config.rank), next(config.rank * n_out));
                    pairs.push(Pair { block, projection, n_in, n_out, a, b });
                }
            }
        }
        let values = vec![0.0; end];
        Self { config, pairs, values }
    }
}
