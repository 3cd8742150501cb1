//! Exact search over all vectors: SIMD dot products, rows shared out to all cores.

use numkong::{Dot, f16};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSlice;

use crate::profile::{Vectors, half};

/// Rows that one task looks through: enough to outweigh handing it over.
const TASK_ROWS: usize = 4096;

/// The `limit` passages whose vectors are nearest to `query` by cosine, nearest first, each with
/// its cosine. Of equal ones, the later passage comes first. Empty where the lengths differ.
#[must_use]
pub fn nearest(vectors: &Vectors, query: &[f32], limit: usize) -> Vec<(i64, f64)> {
    let dimensions = vectors.dimensions;
    if dimensions == 0 || query.len() != dimensions || limit == 0 {
        return Vec::new();
    }
    let query = half(query);
    let mut best: Vec<(i64, f32)> = vectors
        .rows
        .par_chunks(TASK_ROWS * dimensions)
        .enumerate()
        .flat_map_iter(|(task, rows)| {
            let mut best = Best::new(limit);
            for (index, row) in rows.chunks_exact(dimensions).enumerate() {
                best.offer(task * TASK_ROWS + index, dot(row, &query));
            }
            best.kept.into_iter().map(|(row, score)| (vectors.chunks[row], score))
        })
        .collect();
    best.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    best.truncate(limit);
    best.into_iter().map(|(chunk, score)| (chunk, f64::from(score))).collect()
}

/// The dot product of two rows of one length.
pub(super) fn dot(a: &[f16], b: &[f16]) -> f32 {
    // It is `None` only where the lengths differ.
    f16::dot(a, b).unwrap_or_default()
}

/// The best rows so far. Most rows are worse than all that are kept: one comparison for these.
struct Best {
    kept: Vec<(usize, f32)>,
    limit: usize,
    threshold: f32,
}

impl Best {
    fn new(limit: usize) -> Self {
        Self { kept: Vec::with_capacity(2 * limit), limit, threshold: f32::NEG_INFINITY }
    }

    fn offer(&mut self, row: usize, score: f32) {
        if score < self.threshold {
            return;
        }
        self.kept.push((row, score));
        if self.kept.len() >= 2 * self.limit {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        let last = self.limit - 1;
        self.kept.select_nth_unstable_by(last, |a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
        self.kept.truncate(self.limit);
        self.threshold = self.kept[last].1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of a fixed pseudo-random sequence.
    fn vectors(n: usize, dimensions: usize) -> (Vectors, Vec<Vec<f32>>) {
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let rows: Vec<Vec<f32>> =
            (0..n).map(|_| (0..dimensions).map(|_| next()).collect()).collect();
        let vectors = Vectors {
            chunks: (0..n as i64).map(|row| row * 3).collect(),
            rows: rows.iter().flat_map(|row| half(row)).collect(),
            dimensions,
        };
        (vectors, rows)
    }

    #[test]
    fn the_nearest_are_those_of_a_plain_loop() {
        let (vectors, rows) = vectors(10_000, 48);
        let query = &rows[4321];
        let mut expected: Vec<(i64, f32)> = (0..)
            .zip(&rows)
            .map(|(row, values)| {
                (row * 3, values.iter().zip(query).map(|(a, b)| a * b).sum::<f32>())
            })
            .collect();
        expected.sort_by(|a, b| b.1.total_cmp(&a.1));
        let found = nearest(&vectors, query, 10);
        assert_eq!(found[0].0, 4321 * 3);
        let worst = f64::from(expected[9].1);
        assert!(found.iter().all(|(_, score)| *score > worst - 0.02), "{found:?} {worst}");
        assert_eq!(found.len(), 10);
    }

    #[test]
    fn a_query_of_another_length_finds_nothing() {
        let (vectors, _) = vectors(10, 8);
        assert!(nearest(&vectors, &[1.0; 9], 3).is_empty());
        assert!(nearest(&Vectors::default(), &[], 3).is_empty());
        assert_eq!(nearest(&vectors, &[1.0; 8], 30).len(), 10);
    }
}
