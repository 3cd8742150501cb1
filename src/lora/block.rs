//! A decoder block, forward and backward.
//!
//! x → norm → q, k, v → (norms of heads) → rotation → attention → o → (norm) → + x = middle
//! → norm → gate, up → act(gate) · up → down → (norm) → + middle
//!
//! What stands in parentheses is there where the model has its weights. The backward pass first
//! recalls what it needs: from what was kept, or by computing it again with the functions of the
//! forward pass.

use super::Design;
use super::activations::Activations;
use super::attention::{self, AttentionPlan, HeadGradients, Heads};
use super::linear::Linear;
use crate::ggml::{GgmlError, Graph, Rope, Tensor};

/// The weights of one block.
#[derive(Clone, Copy)]
pub struct Block<'t> {
    /// `[n_embd]`
    pub attn_norm: Tensor<'t>,
    /// `[head_dim]`
    pub q_norm: Option<Tensor<'t>>,
    /// `[head_dim]`
    pub k_norm: Option<Tensor<'t>>,
    /// `[n_embd]`
    pub post_attn_norm: Option<Tensor<'t>>,
    /// `[n_embd]`
    pub ffn_norm: Tensor<'t>,
    /// `[n_embd]`
    pub post_ffn_norm: Option<Tensor<'t>>,
    /// Queries.
    pub q: Linear<'t>,
    /// Keys.
    pub k: Linear<'t>,
    /// Values.
    pub v: Linear<'t>,
    /// What was found, back into the stream.
    pub o: Linear<'t>,
    /// The gate.
    pub gate: Linear<'t>,
    /// What the gate lets through.
    pub up: Linear<'t>,
    /// Back into the stream.
    pub down: Linear<'t>,
}

/// What a block has to know of the rows.
#[derive(Clone, Copy)]
pub struct Rows<'t> {
    /// The model.
    pub design: &'t Design,
    /// Who sees whom.
    pub plan: &'t AttentionPlan<'t>,
    /// The position of each row.
    pub positions: Tensor<'t>,
    /// What divides the frequencies of the rotation, where anything does.
    pub rope_factors: Option<Tensor<'t>>,
    /// How positions turn queries and keys.
    pub rope: &'t Rope,
}

/// Tensors of a graph beside those of attention.
pub const MAX_NODES: usize = 512;

type Made<'g> = Result<Tensor<'g>, GgmlError>;

/// Queries, keys and values before norms and rotation, [width, rows].
#[derive(Clone, Copy)]
struct Projected<'g> {
    q: Tensor<'g>,
    k: Tensor<'g>,
    v: Tensor<'g>,
}

/// Half a block: what it adds to the stream before the norm after it, and the stream behind it.
#[derive(Clone, Copy)]
struct Added<'g> {
    before_norm: Tensor<'g>,
    stream: Tensor<'g>,
}

impl<'g> Block<'g> {
    /// Computes the block of what `kept` has as its input into `out`, [n_embd, rows], and leaves
    /// in `kept` what it keeps.
    ///
    /// # Errors
    /// [`GgmlError`].
    pub fn forward(
        &self,
        g: &'g Graph<'g, '_>,
        rows: &Rows<'g>,
        kept: &'g Activations<'_>,
        out: Tensor<'g>,
    ) -> Result<(), GgmlError> {
        let design = rows.design;
        let everything = kept.everything();
        let projected = self.project(g, design, kept.x())?;
        if let Some(kept) = &everything {
            g.place(projected.q, kept.q)?;
            g.place(projected.k, kept.k)?;
            g.place(projected.v, kept.v)?;
        }
        let heads = self.heads(g, rows, projected)?;
        attention::forward(g, rows.plan, design, heads, kept.found())?;
        let middle = self.attended(g, design, kept)?;
        let (gate, up) = self.gated(g, design, middle.stream)?;
        if let Some(kept) = &everything {
            g.place(middle.stream, kept.middle)?;
            g.place(gate, kept.gate)?;
            g.place(up, kept.up)?;
        }
        let hidden = g.gated(design.activation, gate, up)?;
        let added = self.down.forward(g, hidden)?;
        if let Some([attended, fed]) = everything.and_then(|kept| kept.before_post_norms) {
            g.place(middle.before_norm, attended)?;
            g.place(added, fed)?;
        }
        let normed = post_norm(g, design, added, self.post_ffn_norm)?;
        g.place(g.add(normed, middle.stream)?, out)
    }

    /// The backward pass of the feed-forward half: from the gradient of the block's result to
    /// that of the stream in its middle, into `out`.
    ///
    /// # Errors
    /// [`GgmlError`].
    pub fn backward_feed_forward(
        &self,
        g: &'g Graph<'g, '_>,
        design: &Design,
        kept: &'g Activations<'_>,
        grad: Tensor<'g>,
        out: Tensor<'g>,
    ) -> Result<(), GgmlError> {
        let eps = design.rms_norm_eps;
        let everything = kept.everything();
        let middle = match &everything {
            Some(kept) => kept.middle,
            None => self.attended(g, design, kept)?.stream,
        };
        let normed = norm(g, middle, self.ffn_norm, eps)?;
        let (gate, up) = match &everything {
            Some(kept) => (kept.gate, kept.up),
            None => (self.gate.forward(g, normed)?, self.up.forward(g, normed)?),
        };
        let hidden = g.gated(design.activation, gate, up)?;
        let d_added = match self.post_ffn_norm {
            None => grad,
            Some(weight) => {
                let added = match everything.and_then(|kept| kept.before_post_norms) {
                    Some([_, added]) => added,
                    None => self.down.forward(g, hidden)?,
                };
                norm_back(g, grad, added, weight, eps)?
            }
        };
        let d_hidden = self.down.backward(g, hidden, d_added)?;
        let [d_gate, d_up] = g.gated_back(design.activation, d_hidden, gate, up)?;
        let d_normed = self.gate.backward(g, normed, d_gate)?;
        let d_normed = g.add(d_normed, self.up.backward(g, normed, d_up)?)?;
        let d_middle = norm_back(g, d_normed, middle, self.ffn_norm, eps)?;
        g.place(g.add(d_middle, grad)?, out)
    }

    /// The backward pass of the attention half: from the gradient of the stream in the middle to
    /// that of the block's input, into `out`.
    ///
    /// # Errors
    /// [`GgmlError`].
    pub fn backward_attention(
        &self,
        g: &'g Graph<'g, '_>,
        rows: &Rows<'g>,
        kept: &'g Activations<'_>,
        grad: Tensor<'g>,
        gathered: HeadGradients<'g>,
        out: Tensor<'g>,
    ) -> Result<(), GgmlError> {
        let design = rows.design;
        let eps = design.rms_norm_eps;
        let everything = kept.everything();
        let d_added = match self.post_attn_norm {
            None => grad,
            Some(weight) => {
                let added = match everything.and_then(|kept| kept.before_post_norms) {
                    Some([added, _]) => added,
                    None => self.o.forward(g, kept.found())?,
                };
                norm_back(g, grad, added, weight, eps)?
            }
        };
        let d_found = self.o.backward(g, kept.found(), d_added)?;
        let projected = match &everything {
            Some(kept) => Projected { q: kept.q, k: kept.k, v: kept.v },
            None => self.project(g, design, kept.x())?,
        };
        let heads = self.heads(g, rows, projected)?;
        let d_heads = attention::backward(g, rows.plan, design, heads, d_found, gathered)?;
        let d_projected = self.heads_back(g, rows, projected, d_heads)?;
        let normed = norm(g, kept.x(), self.attn_norm, eps)?;
        let d_normed = self.q.backward(g, normed, d_projected.q)?;
        let d_normed = g.add(d_normed, self.k.backward(g, normed, d_projected.k)?)?;
        let d_normed = g.add(d_normed, self.v.backward(g, normed, d_projected.v)?)?;
        let d_x = norm_back(g, d_normed, kept.x(), self.attn_norm, eps)?;
        g.place(g.add(d_x, grad)?, out)
    }

    fn project(
        &self,
        g: &'g Graph<'g, '_>,
        design: &Design,
        x: Tensor<'g>,
    ) -> Result<Projected<'g>, GgmlError> {
        let normed = norm(g, x, self.attn_norm, design.rms_norm_eps)?;
        Ok(Projected {
            q: self.q.forward(g, normed)?,
            k: self.k.forward(g, normed)?,
            v: self.v.forward(g, normed)?,
        })
    }

    fn heads(
        &self,
        g: &'g Graph<'g, '_>,
        rows: &Rows<'g>,
        projected: Projected<'g>,
    ) -> Result<Heads<'g>, GgmlError> {
        let turned = |x, weight: Option<Tensor<'g>>| {
            let mut heads = split_heads(g, rows.design, x)?;
            if let Some(weight) = weight {
                heads = norm(g, heads, weight, rows.design.rms_norm_eps)?;
            }
            g.rope(heads, rows.positions, rows.rope_factors, rows.rope)
        };
        Ok(Heads {
            q: turned(projected.q, self.q_norm)?,
            k: turned(projected.k, self.k_norm)?,
            v: split_heads(g, rows.design, projected.v)?,
        })
    }

    fn heads_back(
        &self,
        g: &'g Graph<'g, '_>,
        rows: &Rows<'g>,
        projected: Projected<'g>,
        grads: Heads<'g>,
    ) -> Result<Projected<'g>, GgmlError> {
        let back = |grad, x: Tensor<'g>, weight: Option<Tensor<'g>>| {
            let mut grad = g.rope_back(grad, rows.positions, rows.rope_factors, rows.rope)?;
            if let Some(weight) = weight {
                let heads = split_heads(g, rows.design, x)?;
                grad = norm_back(g, grad, heads, weight, rows.design.rms_norm_eps)?;
            }
            g.reshape(grad, x.shape())
        };
        Ok(Projected {
            q: back(grads.q, projected.q, self.q_norm)?,
            k: back(grads.k, projected.k, self.k_norm)?,
            v: g.reshape(grads.v, projected.v.shape())?,
        })
    }

    /// What attention found, added to the stream.
    fn attended(
        &self,
        g: &'g Graph<'g, '_>,
        design: &Design,
        kept: &'g Activations<'_>,
    ) -> Result<Added<'g>, GgmlError> {
        let before_norm = self.o.forward(g, kept.found())?;
        let normed = post_norm(g, design, before_norm, self.post_attn_norm)?;
        Ok(Added { before_norm, stream: g.add(normed, kept.x())? })
    }

    fn gated(
        &self,
        g: &'g Graph<'g, '_>,
        design: &Design,
        middle: Tensor<'g>,
    ) -> Result<(Tensor<'g>, Tensor<'g>), GgmlError> {
        let normed = norm(g, middle, self.ffn_norm, design.rms_norm_eps)?;
        Ok((self.gate.forward(g, normed)?, self.up.forward(g, normed)?))
    }
}

fn split_heads<'g>(g: &'g Graph<'g, '_>, design: &Design, x: Tensor<'g>) -> Made<'g> {
    let [width, rows, ..] = x.shape();
    g.reshape(x, [design.head_dim, width / design.head_dim, rows, 1])
}

/// RMSNorm, arXiv 1910.07467: `weight` · x / sqrt(mean(x²) + eps).
pub(super) fn norm<'g>(
    g: &'g Graph<'g, '_>,
    x: Tensor<'g>,
    weight: Tensor<'g>,
    eps: f32,
) -> Made<'g> {
    g.mul(g.rms_norm(x, eps)?, weight)
}

pub(super) fn norm_back<'g>(
    g: &'g Graph<'g, '_>,
    grad: Tensor<'g>,
    x: Tensor<'g>,
    weight: Tensor<'g>,
    eps: f32,
) -> Made<'g> {
    g.rms_norm_back(g.mul(grad, weight)?, x, eps)
}

fn post_norm<'g>(
    g: &'g Graph<'g, '_>,
    design: &Design,
    x: Tensor<'g>,
    weight: Option<Tensor<'g>>,
) -> Made<'g> {
    weight.map_or(Ok(x), |weight| norm(g, x, weight, design.rms_norm_eps))
}
