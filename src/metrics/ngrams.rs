//! Runs of neighbours that two sequences share.

use std::collections::HashMap;
use std::hash::Hash;

/// How many runs of `n` a sequence shares with another; each counts as often as both have it.
pub(super) fn shared<T: Eq + Hash>(sequence: &[T], other: &[T], n: usize) -> usize {
    let mut left: HashMap<&[T], usize> = HashMap::new();
    for run in other.windows(n) {
        *left.entry(run).or_default() += 1;
    }
    let mut takes_one = |run: &&[T]| match left.get_mut(*run) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    };
    sequence.windows(n).filter(|run| takes_one(run)).count()
}
