//! The parts of a reward, and their weighted mean.
//!
//! Every part lies between 0 and 1, 1 being best; a part that could not be measured is left out,
//! and the weights of the others count for more.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::config::RewardConfig;
use crate::metrics::words;

/// The style distance of texts by the person and by others (`eval` shows both): half a deviation,
/// and what nobody writes like.
const STYLE_DISTANCE_OWN: f64 = 0.5;
const STYLE_DISTANCE_FAR: f64 = 1.5;
/// As many words in a row are no coincidence.
pub const COPIED_WORDS: usize = 6;

/// What a reward is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// The judge's expected grade.
    pub judge: Option<f64>,
    /// How near the style is to the person's.
    pub style: Option<f64>,
    /// How much of it is not copied from the passages.
    pub originality: Option<f64>,
    /// How much of the wording of the other drafts it has.
    #[serde(default)]
    pub agreement: Option<f64>,
    /// How near its meaning is to that of what the person really wrote.
    pub similarity: Option<f64>,
    /// How many of the characters of what the person really wrote it has, in runs.
    pub overlap: Option<f64>,
    /// How near its length is to that of what the person really wrote.
    pub length: Option<f64>,
}

impl Parts {
    /// The weighted mean of the parts that there are; 0 where there is none that counts.
    #[must_use]
    pub fn blend(&self, weights: &RewardConfig) -> f64 {
        let parts = [
            (self.judge, weights.judge_weight),
            (self.style, weights.style_weight),
            (self.originality, weights.originality_weight),
            (self.agreement, weights.agreement_weight),
            (self.similarity, weights.similarity_weight),
            (self.overlap, weights.overlap_weight),
            (self.length, weights.length_weight),
        ];
        let there = || parts.iter().filter_map(|(part, weight)| Some((part.as_ref()?, weight)));
        let sum: f64 = there().map(|(_, &weight)| f64::from(weight)).sum();
        if sum <= 0.0 {
            return 0.0;
        }
        there().map(|(part, &weight)| part.clamp(0.0, 1.0) * f64::from(weight)).sum::<f64>() / sum
    }
}

/// What an answer is worth, by the parts of its reward; an empty one nothing.
#[must_use]
pub fn reward(answer: &str, parts: &Parts, weights: &RewardConfig) -> f64 {
    if answer.is_empty() { 0.0 } else { parts.blend(weights) }
}

/// A style distance as a part of a reward: 1 for what the person's own texts have, 0 for what is far
/// from all of them.
#[must_use]
pub fn style_score(distance: f64) -> f64 {
    let far = (distance - STYLE_DISTANCE_OWN) / (STYLE_DISTANCE_FAR - STYLE_DISTANCE_OWN);
    (1.0 - far).clamp(0.0, 1.0)
}

/// The likeness of two texts' meanings as a part of a reward: unlike texts have a cosine of about 0.
#[must_use]
pub fn similarity_score(cosine: f64) -> f64 {
    cosine.clamp(0.0, 1.0)
}

/// How near a length is to the wanted one: 1 for the same, half for twice or half as long.
#[must_use]
pub fn length_score(length_ratio: f64) -> f64 {
    if length_ratio > 0.0 { length_ratio.min(1.0 / length_ratio) } else { 0.0 }
}

/// The part of a text's words that stand in runs of six or more taken from the passages.
#[must_use]
pub fn copied<'a>(text: &str, passages: impl IntoIterator<Item = &'a str>) -> f64 {
    copied_beyond("", text, passages)
}

/// As [`copied`], without the runs that `own` has too: what the person says again, as they end a letter, is
/// right to be said again.
#[must_use]
pub fn copied_beyond<'a>(
    own: &str,
    text: &str,
    passages: impl IntoIterator<Item = &'a str>,
) -> f64 {
    let passages: Vec<Vec<String>> = passages.into_iter().map(words).collect();
    let own = words(own);
    let mut runs: HashSet<&[String]> =
        passages.iter().flat_map(|passage| passage.windows(COPIED_WORDS)).collect();
    for run in own.windows(COPIED_WORDS) {
        runs.remove(run);
    }
    share_in_runs(text, |run| runs.contains(run))
}

/// The part of a text's words that stand in runs of [`COPIED_WORDS`] for which `is_taken` holds.
#[must_use]
pub fn share_in_runs(text: &str, is_taken: impl Fn(&[String]) -> bool) -> f64 {
    let text = words(text);
    if text.is_empty() {
        return 0.0;
    }
    let mut is_covered = vec![false; text.len()];
    for (start, run) in text.windows(COPIED_WORDS).enumerate() {
        if is_taken(run) {
            is_covered[start..start + COPIED_WORDS].fill(true);
        }
    }
    is_covered.iter().filter(|it| **it).count() as f64 / text.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights() -> RewardConfig {
        RewardConfig {
            judge_weight: 1.0,
            style_weight: 3.0,
            originality_weight: 0.0,
            agreement_weight: 0.0,
            similarity_weight: 0.0,
            overlap_weight: 0.0,
            length_weight: 0.0,
        }
    }

    #[test]
    fn parts_that_are_not_there_leave_their_weight_to_the_others() {
        let parts = Parts { judge: Some(1.0), style: Some(0.0), ..Parts::default() };
        assert!((parts.blend(&weights()) - 0.25).abs() < 1e-12);
        assert_eq!(Parts { judge: Some(0.6), ..Parts::default() }.blend(&weights()), 0.6);
        assert_eq!(Parts { originality: Some(1.0), ..Parts::default() }.blend(&weights()), 0.0);
        assert_eq!(Parts::default().blend(&weights()), 0.0);
    }

    #[test]
    fn only_long_runs_are_copied() {
        let passages = ["The shed door is mended, and the key hangs by the gate."];
        let text = "Friends: the shed door is mended and the rest is as it was.";
        // "the shed door is mended and the" of 13 words.
        assert!((copied(text, passages) - 7.0 / 13.0).abs() < 1e-12);
        assert_eq!(copied("The shed door is shut.", passages), 0.0);
        assert_eq!(copied("", passages), 0.0);
        // What the person says again, too, is none.
        let own = "Once the shed door is mended and the cake eaten.";
        assert_eq!(copied_beyond(own, text, passages), 0.0);
    }

    #[test]
    fn twice_as_long_is_as_bad_as_half() {
        assert_eq!((length_score(1.0), length_score(2.0), length_score(0.5)), (1.0, 0.5, 0.5));
        assert_eq!(length_score(0.0), 0.0);
    }

    #[test]
    fn a_style_as_near_as_ones_own_is_best() {
        assert_eq!((style_score(0.3), style_score(1.0), style_score(9.0)), (1.0, 0.5, 0.0));
    }
}
