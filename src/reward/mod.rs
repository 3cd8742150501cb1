//! How good an answer is, from 0 to 1: what a judge reads from its logits, blended with measures
//! that need no model.
//!
//! With what the person really wrote (training, evaluation) or without it (choosing a draft).

mod blend;
mod reference_free;
mod judge;

pub use blend::{
    COPIED_WORDS, Parts, copied, copied_beyond, length_score, reward, share_in_runs,
    similarity_score, style_score,
};
pub use judge::{Case, Judge, LABELS, Verdict};
pub use reference_free::{place_of_best, reference_free_parts};
