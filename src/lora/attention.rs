//! Attention of packed rows, forward and backward, query block by query block: each block of a
//! segment is multiplied with the keys that it can see and no others, so that answers cost
//! nothing against each other and nothing is spent above the diagonal.
//!
//! The heads that share keys are laid side by side, so that each product is one matrix for each
//! head of keys. What softmax made is computed again on the way back (as in FlashAttention, arXiv
//! 2205.14135): it is too large to keep.

use std::collections::HashMap;
use std::ops::Range;

use super::packing::{Packed, Segment};
use super::{Design, LoraError};
use crate::ggml::{Arena, Backend, GgmlError, Graph, Kind, Over, Tensor};

/// Queries of a block: enough for the kernels, few enough that what they find of one head stays in
/// the caches.
const QUERY_ROWS: usize = 64;

/// The queries of a segment, and the keys that they see: those of the prefix, then their own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Planned {
    segment: Segment,
    /// The list of rows with these keys, where they are not all in one run.
    list: Option<usize>,
    blocks: Vec<QueryBlock>,
}

/// Queries that are multiplied with the same keys.
#[derive(Debug, Clone, PartialEq, Eq)]
struct QueryBlock {
    rows: Range<usize>,
    /// Which of the segment's keys: by position, since the prefix begins at position 0.
    keys: Range<usize>,
    mask: usize,
}

/// Which rows see which, for blocks of one kind.
#[derive(Debug)]
pub struct AttentionPlan<'b> {
    segments: Vec<Planned>,
    masks: Arena<'b>,
    lists: Option<Arena<'b>>,
}

impl<'b> AttentionPlan<'b> {
    /// The blocks of `packed`, where a query sees `window` tokens, or all before it.
    ///
    /// # Errors
    /// [`LoraError::Ggml`].
    pub fn new(
        backend: &'b Backend,
        packed: &Packed,
        window: Option<usize>,
    ) -> Result<Self, LoraError> {
        let window = window.unwrap_or(usize::MAX);
        let mut masks = Masks { window, known: HashMap::new(), masks: Vec::new() };
        let mut lists: Vec<Vec<i32>> = Vec::new();
        let segments = packed.segments.iter().map(|segment| {
            let list = (!segment.prefix.is_empty()).then(|| {
                let rows = segment.prefix.clone().chain(segment.rows.clone());
                lists.push(rows.map(|row| row as i32).collect());
                lists.len() - 1
            });
            Planned { segment: segment.clone(), list, blocks: masks.blocks(segment) }
        });
        let segments = segments.collect();
        let shapes: Vec<_> = masks
            .masks
            .iter()
            .map(|(rows, mask)| (Kind::F32, [mask.len() / rows, *rows, 1, 1]))
            .collect();
        let arena = Arena::new(backend, &shapes)?;
        for (index, (_, mask)) in masks.masks.iter().enumerate() {
            arena.at(index).write(mask)?;
        }
        Ok(Self { segments, masks: arena, lists: list_arena(backend, &lists)? })
    }

    /// Tensors of a graph that attends with `n_head_kv` heads of keys, forward or backward.
    #[must_use]
    pub fn max_nodes(&self, n_head_kv: usize) -> usize {
        let blocks: usize = self.segments.iter().map(|planned| planned.blocks.len()).sum();
        64 + 16 * self.segments.len() + blocks * (16 + 48 * n_head_kv)
    }
}

fn list_arena<'b>(
    backend: &'b Backend,
    lists: &[Vec<i32>],
) -> Result<Option<Arena<'b>>, LoraError> {
    if lists.is_empty() {
        return Ok(None);
    }
    let shapes: Vec<_> = lists.iter().map(|list| (Kind::I32, [list.len(), 1, 1, 1])).collect();
    let arena = Arena::new(backend, &shapes)?;
    for (index, list) in lists.iter().enumerate() {
        arena.at(index).write_numbers(list)?;
    }
    Ok(Some(arena))
}

/// Masks of blocks, those that are equal made once: what matters is the position of the first
/// query and the first key, and how many queries there are.
struct Masks {
    window: usize,
    known: HashMap<(usize, usize, usize), usize>,
    /// Queries of each, and 0 where a query sees a key, minus infinity where not.
    masks: Vec<(usize, Vec<f32>)>,
}

impl Masks {
    fn blocks(&mut self, segment: &Segment) -> Vec<QueryBlock> {
        let starts = segment.rows.clone().step_by(QUERY_ROWS);
        let block = |start: usize| {
            let rows = start..(start + QUERY_ROWS).min(segment.rows.end);
            let position = segment.prefix.len() + rows.start - segment.rows.start;
            let first_seen = (position + 1).saturating_sub(self.window);
            let keys = first_seen..position + rows.len();
            let mask = self.mask(position, first_seen, rows.len());
            QueryBlock { rows, keys, mask }
        };
        starts.map(block).collect()
    }

    fn mask(&mut self, position: usize, first_seen: usize, queries: usize) -> usize {
        *self.known.entry((position, first_seen, queries)).or_insert_with(|| {
            let mut mask = Vec::new();
            for query in position..position + queries {
                for key in first_seen..position + queries {
                    let sees = key <= query && query - key < self.window;
                    mask.push(if sees { 0.0 } else { f32::NEG_INFINITY });
                }
            }
            self.masks.push((queries, mask));
            self.masks.len() - 1
        })
    }
}

/// Queries [head_dim, n_head, rows], keys and values [head_dim, n_head_kv, rows].
#[derive(Clone, Copy)]
pub struct Heads<'g> {
    /// Queries, rotated.
    pub q: Tensor<'g>,
    /// Keys, rotated.
    pub k: Tensor<'g>,
    /// Values.
    pub v: Tensor<'g>,
}

/// Stores what the queries find in `out`, [query_width, rows], of an arena.
///
/// # Errors
/// [`GgmlError`].
pub fn forward<'g>(
    g: &'g Graph<'g, '_>,
    plan: &'g AttentionPlan<'_>,
    design: &'g Design,
    heads: Heads<'g>,
    out: Tensor<'g>,
) -> Result<(), GgmlError> {
    let out = g.reshape(out, heads.q.shape())?;
    for planned in &plan.segments {
        let k = g.transpose(g.swap_middle(seen(g, plan, planned, heads.k)?)?)?;
        let v = seen(g, plan, planned, heads.v)?;
        for block in &planned.blocks {
            let q = by_head(g, heads.q, &block.rows)?;
            for head in 0..design.n_head_kv {
                let part = Part { plan, design, block, head };
                let p = part.probabilities(g, k, q)?;
                let found = g.product((part.keys(g, v)?, Over::Rows), (p, Over::Columns))?;
                part.store(g, found, out)?;
            }
        }
    }
    Ok(())
}

/// Tensors of an arena that gradients are gathered in, each [width, rows].
#[derive(Clone, Copy)]
pub struct HeadGradients<'t> {
    /// Of the queries.
    pub q: Tensor<'t>,
    /// Of the keys; zero before.
    pub k: Tensor<'t>,
    /// Of the values; zero before.
    pub v: Tensor<'t>,
}

/// The gradients of the heads, from that of what was found, [query_width, rows].
///
/// With P = softmax(s · KᵀQ) and O = V P: dV = dO Pᵀ, dP = Vᵀ dO, dS = softmax'(dP), dQ = K dS,
/// dK = Q dSᵀ, the sums over the queries of a group among them.
///
/// # Errors
/// [`GgmlError`].
pub fn backward<'g>(
    g: &'g Graph<'g, '_>,
    plan: &'g AttentionPlan<'_>,
    design: &'g Design,
    heads: Heads<'g>,
    grad: Tensor<'g>,
    gathered: HeadGradients<'g>,
) -> Result<Heads<'g>, GgmlError> {
    let grad = g.reshape(grad, heads.q.shape())?;
    let dq = g.reshape(gathered.q, heads.q.shape())?;
    let mut dk = g.reshape(gathered.k, heads.k.shape())?;
    let mut dv = g.reshape(gathered.v, heads.v.shape())?;
    for planned in &plan.segments {
        let k = seen(g, plan, planned, heads.k)?;
        let v = seen(g, plan, planned, heads.v)?;
        let k_transposed = g.transpose(g.swap_middle(k)?)?;
        let v_transposed = g.transpose(g.swap_middle(v)?)?;
        for block in &planned.blocks {
            let q = by_head(g, heads.q, &block.rows)?;
            let d_found = by_head(g, grad, &block.rows)?;
            for head in 0..design.n_head_kv {
                let part = Part { plan, design, block, head };
                let p = part.probabilities(g, k_transposed, q)?;
                let (q, d_found) = (part.queries(g, q)?, part.queries(g, d_found)?);
                dv = part.gather(g, dv, [d_found, p], &planned.segment)?;
                let dp = g.product(
                    (part.columns(g, v_transposed)?, Over::Rows),
                    (d_found, Over::Columns),
                )?;
                let ds = g.soft_max_back(dp, p, design.attention_scale)?;
                dk = part.gather(g, dk, [q, ds], &planned.segment)?;
                let dq_part = g.product((part.keys(g, k)?, Over::Rows), (ds, Over::Columns))?;
                part.store(g, dq_part, dq)?;
            }
        }
    }
    Ok(Heads { q: dq, k: dk, v: dv })
}

/// The keys or values that a segment sees, [head_dim, n_head_kv, keys].
fn seen<'g>(
    g: &'g Graph<'g, '_>,
    plan: &'g AttentionPlan<'_>,
    planned: &Planned,
    a: Tensor<'g>,
) -> Result<Tensor<'g>, GgmlError> {
    let (Some(list), Some(lists)) = (planned.list, &plan.lists) else {
        return rows_of(g, a, &planned.segment.rows);
    };
    let [width, heads, rows, _] = a.shape();
    let found = g.get_rows(g.reshape(a, [width * heads, rows, 1, 1])?, lists.at(list))?;
    g.reshape(found, [width, heads, found.shape()[1], 1])
}

/// Some rows of `a`, [width, heads, rows].
fn rows_of<'g>(
    g: &'g Graph<'g, '_>,
    a: Tensor<'g>,
    rows: &Range<usize>,
) -> Result<Tensor<'g>, GgmlError> {
    let [width, heads, ..] = a.shape();
    let [_, nb1, nb2, nb3] = a.strides_bytes();
    g.view(a, [width, heads, rows.len(), 1], [nb1, nb2, nb3], rows.start * nb2)
}

/// Some rows of queries, head by head: [head_dim, rows, n_head].
fn by_head<'g>(
    g: &'g Graph<'g, '_>,
    a: Tensor<'g>,
    rows: &Range<usize>,
) -> Result<Tensor<'g>, GgmlError> {
    g.contiguous(g.swap_middle(rows_of(g, a, rows)?)?)
}

/// The queries of a block that share one head of keys: those of a group, side by side.
struct Part<'g> {
    plan: &'g AttentionPlan<'g>,
    design: &'g Design,
    block: &'g QueryBlock,
    head: usize,
}

impl<'g> Part<'g> {
    fn group(&self) -> usize {
        self.design.n_head / self.design.n_head_kv
    }

    /// Of the queries of a block, head by head, those of the group: [head_dim, rows * group].
    fn queries(&self, g: &'g Graph<'g, '_>, q: Tensor<'g>) -> Result<Tensor<'g>, GgmlError> {
        let count = self.block.rows.len() * self.group();
        let width = self.design.head_dim * size_of::<f32>();
        let all = count * width;
        g.view(q, [self.design.head_dim, count, 1, 1], [width, all, all], self.head * all)
    }

    /// Of the keys or values of a segment, the head's that the block sees: [head_dim, keys].
    fn keys(&self, g: &'g Graph<'g, '_>, k: Tensor<'g>) -> Result<Tensor<'g>, GgmlError> {
        let [_, nb1, nb2, nb3] = k.strides_bytes();
        let keys = &self.block.keys;
        let offset = keys.start * nb2 + self.head * nb1;
        g.view(k, [self.design.head_dim, keys.len(), 1, 1], [nb2, nb3, nb3], offset)
    }

    /// The same of transposed ones, [keys, head_dim, n_head_kv]: [keys, head_dim].
    fn columns(&self, g: &'g Graph<'g, '_>, k: Tensor<'g>) -> Result<Tensor<'g>, GgmlError> {
        let [nb0, nb1, nb2, nb3] = k.strides_bytes();
        let keys = &self.block.keys;
        let offset = keys.start * nb0 + self.head * nb2;
        g.view(k, [keys.len(), self.design.head_dim, 1, 1], [nb1, nb3, nb3], offset)
    }

    /// softmax(scale * k q + mask), [keys, rows * group].
    fn probabilities(
        &self,
        g: &'g Graph<'g, '_>,
        k: Tensor<'g>,
        q: Tensor<'g>,
    ) -> Result<Tensor<'g>, GgmlError> {
        let (k, q) = (self.columns(g, k)?, self.queries(g, q)?);
        let scores = g.product((k, Over::Rows), (q, Over::Columns))?;
        let [keys, columns, ..] = scores.shape();
        let scores = g.reshape(scores, [keys, self.block.rows.len(), self.group(), 1])?;
        let mask = self.plan.masks.at(self.block.mask);
        let p = g.masked_soft_max(scores, mask, self.design.attention_scale)?;
        g.reshape(p, [keys, columns, 1, 1])
    }

    /// Puts what belongs to the queries, [head_dim, rows * group], where they stand in `to`,
    /// [head_dim, n_head, rows].
    fn store(
        &self,
        g: &'g Graph<'g, '_>,
        part: Tensor<'g>,
        to: Tensor<'g>,
    ) -> Result<(), GgmlError> {
        let [width, rows, group] = [self.design.head_dim, self.block.rows.len(), self.group()];
        let [_, nb1, nb2, nb3] = to.strides_bytes();
        let offset = self.block.rows.start * nb2 + self.head * group * nb1;
        let to = g.view(to, [width, group, rows, 1], [nb1, nb2, nb3], offset)?;
        g.store(g.swap_middle(g.reshape(part, [width, rows, group, 1])?)?, to)
    }

    /// Adds a Pᵀ, the gradients of the keys that the block sees, to those of all rows: `a` is
    /// [head_dim, rows * group], `p` [keys, rows * group].
    fn gather(
        &self,
        g: &'g Graph<'g, '_>,
        mut all: Tensor<'g>,
        [a, p]: [Tensor<'g>; 2],
        segment: &Segment,
    ) -> Result<Tensor<'g>, GgmlError> {
        let [_, nb1, nb2, nb3] = all.strides_bytes();
        let head_dim = self.design.head_dim;
        let part = match g.adds_products() {
            true => None,
            false => Some(g.product((a, Over::Rows), (p, Over::Rows))?),
        };
        for (run, row) in self.runs(segment) {
            let offset = row * nb2 + self.head * nb1;
            let shape = [head_dim, run.len(), 1, 1];
            let Some(part) = part else {
                let to = g.view(all, shape, [nb2, nb3, nb3], offset)?;
                let [p_nb0, p_nb1, p_nb2, p_nb3] = p.strides_bytes();
                let seen = [run.len(), p.shape()[1], 1, 1];
                let p = g.view(p, seen, [p_nb1, p_nb2, p_nb3], run.start * p_nb0)?;
                g.product_onto(to, (a, Over::Rows), (p, Over::Rows), 1.0)?;
                continue;
            };
            let [_, part_nb1, part_nb2, part_nb3] = part.strides_bytes();
            let part_strides = [part_nb1, part_nb2, part_nb3];
            let part = g.view(part, shape, part_strides, run.start * part_nb1)?;
            all = g.acc(all, part, [nb2, nb3, nb3], offset)?;
            // Now, and not when the last block is done: until then all parts would be kept.
            g.include(all);
        }
        Ok(all)
    }

    /// Which of the keys that the block sees lie one after the other among all rows, and where.
    fn runs(&self, segment: &Segment) -> impl Iterator<Item = (Range<usize>, usize)> {
        let keys = &self.block.keys;
        let border = segment.prefix.len().clamp(keys.start, keys.end);
        let runs = [
            (0..border - keys.start, segment.prefix.start + keys.start),
            (
                border - keys.start..keys.len(),
                segment.rows.start + border - segment.prefix.len().min(border),
            ),
        ];
        runs.into_iter().filter(|(run, _)| !run.is_empty())
    }
}
