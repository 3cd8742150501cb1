//! What a model can learn from a person, out of what the person wrote.
//!
//! The pairs of request and text that self-training (REST-PG, arXiv 2501.04167) starts from.

mod overlap;
mod pairs;

pub use overlap::{Overlaps, leaked};
pub use pairs::{Dropped, Origin, Pair, PairRules, Pairs, Shown, WhyDropped, pairs};
