//! ROUGE (Lin 2004): words, pairs of words, and the longest common subsequence of words that a text
//! shares with a reference, as Google's rouge_score counts them.

use serde::Serialize;

use super::ngrams::shared;
use super::words::rouge_words;

/// What a text shares with a reference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Overlap {
    /// The shared part of the text.
    pub precision: f64,
    /// The shared part of the reference.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

impl Overlap {
    /// Of `shared` units, where the text has `n_text` and the reference `n_reference`.
    fn of(shared: usize, n_text: usize, n_reference: usize) -> Self {
        let precision = shared as f64 / n_text.max(1) as f64;
        let recall = shared as f64 / n_reference.max(1) as f64;
        let sum = precision + recall;
        let f1 = if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 };
        Self { precision, recall, f1 }
    }
}

/// ROUGE-1, ROUGE-2 and ROUGE-L of one text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Rouge {
    /// Words.
    pub rouge_1: Overlap,
    /// Pairs of neighbouring words.
    pub rouge_2: Overlap,
    /// The longest common subsequence of words.
    pub rouge_l: Overlap,
}

/// ROUGE of `text` against `reference`; `stemmed`: words count as their stems (Porter).
#[must_use]
pub fn rouge(text: &str, reference: &str, stemmed: bool) -> Rouge {
    let (text, reference) = (rouge_words(text, stemmed), rouge_words(reference, stemmed));
    if text.is_empty() || reference.is_empty() {
        return Rouge::default();
    }
    let common = longest_common_subsequence(&text, &reference);
    Rouge {
        rouge_1: ngrams(&text, &reference, 1),
        rouge_2: ngrams(&text, &reference, 2),
        rouge_l: Overlap::of(common, text.len(), reference.len()),
    }
}

fn ngrams(text: &[String], reference: &[String], n: usize) -> Overlap {
    let count = |words: &[String]| (words.len() + 1).saturating_sub(n);
    Overlap::of(shared(text, reference, n), count(text), count(reference))
}

/// Its length, with two rows of the table at a time.
fn longest_common_subsequence(a: &[String], b: &[String]) -> usize {
    let mut above = vec![0; b.len() + 1];
    for word in a {
        let mut row = vec![0; b.len() + 1];
        for (column, other) in b.iter().enumerate() {
            row[column + 1] =
                if word == other { above[column] + 1 } else { above[column + 1].max(row[column]) };
        }
        above = row;
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_counts_as_often_as_the_reference_has_it() {
        let rouge = rouge("the the the cat", "the cat sat", false);
        assert_eq!(rouge.rouge_1.precision, 0.5);
        assert!((rouge.rouge_1.recall - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(rouge.rouge_l.precision, 0.5);
        assert!((rouge.rouge_2.precision - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_shares_nothing() {
        for (text, reference) in [("", "a"), ("a", ""), ("", ""), ("猫", "猫")] {
            assert_eq!(rouge(text, reference, true), Rouge::default());
        }
    }
}
