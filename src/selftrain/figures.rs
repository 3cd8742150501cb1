//! What a draft is like beside what the person wrote: figures that the reward does not see.
//!
//! ROUGE and METEOR, which LongLaMP (arXiv 2407.11016) reports, measure what a draft says; repetition,
//! copying and length show what a model does to please a measure.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::Item;
use crate::metrics::{length_ratio, meteor, rouge, words};
use crate::reward::copied;
use crate::statistics::mean;

/// A run of so many words that comes again is a repetition.
const REPEATED_WORDS: usize = 4;

/// The figures of one draft.
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
    /// Of its runs of four words, the share that comes again.
    pub repeated: f64,
    /// Of its words, the share in runs of six taken from the passages.
    pub copied: f64,
    /// The expected grade of a judge, from 0 to 1, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grade: Option<f64>,
}

impl Figures {
    /// Of `answer` to `item`.
    #[must_use]
    pub fn of(answer: &str, item: &Item) -> Self {
        let overlap = rouge(answer, &item.output, true);
        Self {
            rouge_1: overlap.rouge_1.f1,
            rouge_l: overlap.rouge_l.f1,
            meteor: meteor(answer, &item.output),
            length_ratio: length_ratio(answer, &item.output),
            repeated: repeated(answer),
            copied: copied(answer, item.passage_texts()),
            grade: None,
        }
    }

    /// The mean of each figure; a grade where all have one.
    #[must_use]
    pub fn mean_of(all: &[Self]) -> Self {
        let mean_of = |of: fn(&Self) -> f64| mean(&all.iter().map(of).collect::<Vec<_>>());
        let grades: Option<Vec<f64>> = all.iter().map(|it| it.grade).collect();
        Self {
            rouge_1: mean_of(|it| it.rouge_1),
            rouge_l: mean_of(|it| it.rouge_l),
            meteor: mean_of(|it| it.meteor),
            length_ratio: mean_of(|it| it.length_ratio),
            repeated: mean_of(|it| it.repeated),
            copied: mean_of(|it| it.copied),
            grade: grades.filter(|grades| !grades.is_empty()).map(|grades| mean(&grades)),
        }
    }

    /// The mean of the measures of LongLaMP.
    #[must_use]
    pub fn quality(&self) -> f64 {
        mean(&[self.rouge_1, self.rouge_l, self.meteor])
    }
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
}
