//! What a block leaves for its backward pass.
//!
//! Always kept are what goes into the block and what attention found: with these, everything else
//! can be computed again without attending twice. With room, the rest is kept too.

use super::{Design, LoraError};
use crate::ggml::{Arena, Backend, Kind, Shape, Tensor, bytes_of};

/// How much of a block's forward pass is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// What cannot be had again cheaply: [`Activations::x`] and [`Activations::found`].
    Inputs,
    /// Everything that the backward pass reads.
    Everything,
}

/// The tensors of one block that its backward pass reads, each [width, rows].
#[derive(Debug)]
pub struct Activations<'b> {
    arena: Arena<'b>,
    keeping: Keeping,
    has_post_norms: bool,
}

/// What is kept beside the inputs.
#[derive(Clone, Copy)]
pub struct Everything<'t> {
    /// Queries before norm and rotation.
    pub q: Tensor<'t>,
    /// Keys before norm and rotation.
    pub k: Tensor<'t>,
    /// Values.
    pub v: Tensor<'t>,
    /// The stream between attention and the feed-forward layer.
    pub middle: Tensor<'t>,
    /// The gate.
    pub gate: Tensor<'t>,
    /// What the gate lets through.
    pub up: Tensor<'t>,
    /// What attention adds, and what the feed-forward layer adds, before the norms after them.
    pub before_post_norms: Option<[Tensor<'t>; 2]>,
}

impl<'b> Activations<'b> {
    /// Room for those of `rows` rows.
    ///
    /// # Errors
    /// [`LoraError::Ggml`] where there is none.
    pub fn new(
        backend: &'b Backend,
        design: &Design,
        rows: usize,
        keeping: Keeping,
        has_post_norms: bool,
    ) -> Result<Self, LoraError> {
        let arena = Arena::new(backend, &shapes(design, rows, keeping, has_post_norms))?;
        Ok(Self { arena, keeping, has_post_norms })
    }

    /// Bytes that `rows` rows of one block take.
    #[must_use]
    pub fn bytes(design: &Design, rows: usize, keeping: Keeping, has_post_norms: bool) -> u64 {
        bytes_of(&shapes(design, rows, keeping, has_post_norms))
    }

    /// What goes into the block.
    #[must_use]
    pub fn x(&self) -> Tensor<'_> {
        self.arena.at(0)
    }

    /// What attention found, before the projection that follows it.
    #[must_use]
    pub fn found(&self) -> Tensor<'_> {
        self.arena.at(1)
    }

    /// The rest, where it is kept.
    #[must_use]
    pub fn everything(&self) -> Option<Everything<'_>> {
        let at = |index| self.arena.at(index);
        (self.keeping == Keeping::Everything).then(|| Everything {
            q: at(2),
            k: at(3),
            v: at(4),
            middle: at(5),
            gate: at(6),
            up: at(7),
            before_post_norms: self.has_post_norms.then(|| [at(8), at(9)]),
        })
    }
}

fn shapes(
    design: &Design,
    rows: usize,
    keeping: Keeping,
    has_post_norms: bool,
) -> Vec<(Kind, Shape)> {
    let [embd, query, kv, ff] =
        [design.n_embd, design.query_width(), design.kv_width(), design.n_ff];
    let mut widths = vec![embd, query];
    if keeping == Keeping::Everything {
        widths.extend([query, kv, kv, embd, ff, ff]);
        if has_post_norms {
            widths.extend([embd, embd]);
        }
    }
    widths.into_iter().map(|width| (Kind::F32, [width, rows, 1, 1])).collect()
}
