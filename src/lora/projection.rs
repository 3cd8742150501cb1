//! The seven matrices of a block that an adapter can change.

use serde::{Deserialize, Serialize};

use super::Design;

/// A matrix of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Projection {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// What attention found, back into the stream.
    O,
    /// The gate of the feed-forward layer.
    Gate,
    /// What the gate lets through.
    Up,
    /// Back into the stream.
    Down,
}

impl Projection {
    /// All of them, in the order of a block.
    pub const ALL: [Self; 7] =
        [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// Its name in GGUF files, after the block's number.
    #[must_use]
    pub fn gguf_name(self) -> &'static str {
        match self {
            Self::Q => "attn_q",
            Self::K => "attn_k",
            Self::V => "attn_v",
            Self::O => "attn_output",
            Self::Gate => "ffn_gate",
            Self::Up => "ffn_up",
            Self::Down => "ffn_down",
        }
    }

    /// Its name in published models, after the layer's number.
    #[must_use]
    pub fn published_name(self) -> &'static str {
        match self {
            Self::Q => "self_attn.q_proj",
            Self::K => "self_attn.k_proj",
            Self::V => "self_attn.v_proj",
            Self::O => "self_attn.o_proj",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }

    /// Its widths: what goes in, what comes out.
    #[must_use]
    pub fn widths(self, design: &Design) -> (usize, usize) {
        let [embd, query, kv, ff] =
            [design.n_embd, design.query_width(), design.kv_width(), design.n_ff];
        match self {
            Self::Q => (embd, query),
            Self::K | Self::V => (embd, kv),
            Self::O => (query, embd),
            Self::Gate | Self::Up => (embd, ff),
            Self::Down => (ff, embd),
        }
    }
}
