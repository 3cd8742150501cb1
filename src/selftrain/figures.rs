//! What drafts are like beside what the person wrote: figures that the reward is not made of, though kin to
//! some of its parts.
//!
//! ROUGE and METEOR, which LongLaMP (arXiv 2407.11016) reports, measure what a draft says; repetition,
//! copying and length show what a model does to please a measure.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::Item;
use crate::metrics::{length_ratio, meteor, rouge, words};
use crate::reward::copied;
use crate::statistics::{mean, mean_of, median};

/// A run of so many words that comes again is a repetition.
const REPEATED_WORDS: usize = 4;

/// The figures of a draft, or of several of one request on average.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Words in common, F1.
    pub rouge_1: f64,
    /// The longest sequence of words in common, F1.
    pub rouge_l: f64,
    /// Words in common by stem, in order.
    pub meteor: f64,
    /// Words for each of the person's.
    pub length_ratio: f64,
    /// How many times longer or shorter than the person's text, whichever it is.
    pub length_factor: f64,
    /// Of its runs of four words, the share that comes again.
    pub repeated: f64,
    /// Of its words, the share in runs of six taken from the passages.
    pub copied: f64,
    /// The expected grade of a judge, from 0 to 1, where one was asked and had room for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grade: Option<f64>,
}

impl Figures {
    /// Of `answer` to `item`.
    #[must_use]
    pub fn of(answer: &str, item: &Item) -> Self {
        let overlap = rouge(answer, &item.output, true);
        let length_ratio = length_ratio(answer, &item.output);
        Self {
            rouge_1: overlap.rouge_1.f1,
            rouge_l: overlap.rouge_l.f1,
            meteor: meteor(answer, &item.output),
            length_ratio,
            length_factor: too_long_or_short(length_ratio),
            repeated: repeated(answer),
            copied: copied(answer, item.passage_texts()),
            grade: None,
        }
    }

    /// The mean of each figure; of lengths that are far off the median, which one empty draft of several does
    /// not change much. There is no grade.
    #[must_use]
    pub fn mean_of(all: &[Self]) -> Self {
        Self {
            rouge_1: mean_of(all, |it| it.rouge_1),
            rouge_l: mean_of(all, |it| it.rouge_l),
            meteor: mean_of(all, |it| it.meteor),
            length_ratio: mean_of(all, |it| it.length_ratio),
            length_factor: median(all.iter().map(|it| it.length_factor).collect()),
            repeated: mean_of(all, |it| it.repeated),
            copied: mean_of(all, |it| it.copied),
            grade: None,
        }
    }

    /// The mean of the measures of LongLaMP.
    #[must_use]
    pub fn quality(&self) -> f64 {
        mean(&[self.rouge_1, self.rouge_l, self.meteor])
    }
}

/// How many times longer or shorter than the person's text.
fn too_long_or_short(length_ratio: f64) -> f64 {
    /// An empty draft.
    const NOTHING: f64 = 100.0;
    if length_ratio > 0.0 { length_ratio.max(1.0 / length_ratio).min(NOTHING) } else { NOTHING }
}

/// Of the runs of four words of a text, the share that was there before.
fn repeated(text: &str) -> f64 {
    let words = words(text);
    let runs: Vec<&[String]> = words.windows(REPEATED_WORDS).collect();
    let distinct: HashSet<&&[String]> = runs.iter().collect();
    if runs.is_empty() { 0.0 } else { 1.0 - distinct.len() as f64 / runs.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_repeated() {
        assert_eq!(repeated("one two three four five six"), 0.0);
        let twice = "the shed door is mended the shed door is mended";
        // Seven runs, of which two come again.
        assert!((repeated(twice) - 2.0 / 7.0).abs() < 1e-12);
        assert_eq!(repeated("too short"), 0.0);
    }

    #[test]
    fn means_are_of_all_and_lengths_do_not_make_up_for_each_other() {
        let of = |quality: f64, length_ratio: f64| Figures {
            rouge_1: quality,
            rouge_l: quality,
            meteor: quality,
            length_ratio,
            length_factor: too_long_or_short(length_ratio),
            ..Figures::default()
        };
        let mean = Figures::mean_of(&[of(0.2, 0.5), of(0.4, 1.5), of(0.6, 1.0)]);
        assert!((mean.quality() - 0.4).abs() < 1e-12);
        assert!((mean.length_ratio - 1.0).abs() < 1e-12);
        assert!((mean.length_factor - 1.5).abs() < 1e-12);
        let one_empty = [of(0.2, 1.0), of(0.2, 0.0), of(0.2, 1.0), of(0.2, 1.25)];
        assert!((Figures::mean_of(&one_empty).length_factor - 1.125).abs() < 1e-12);
        assert_eq!((too_long_or_short(0.0), too_long_or_short(0.25)), (100.0, 4.0));
    }
}
