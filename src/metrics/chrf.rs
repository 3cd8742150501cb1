//! chrF (Popović 2015): runs of one to six characters that a text shares with a reference, as
//! sacrebleu counts them.

use super::ngrams::shared;

const CHARACTERS_MAX: usize = 6;
/// How much more recall counts than precision, squared.
const BETA_SQUARED: f64 = 4.0;

/// chrF of `text` against `reference`, 0 to 1. White space does not count.
#[must_use]
pub fn chrf(text: &str, reference: &str) -> f64 {
    let characters =
        |text: &str| -> Vec<char> { text.chars().filter(|it| !it.is_whitespace()).collect() };
    let (text, reference) = (characters(text), characters(reference));
    let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
    for n in 1..=CHARACTERS_MAX.min(text.len()).min(reference.len()) {
        let shared = shared(&text, &reference, n) as f64;
        precision += shared / (text.len() + 1 - n) as f64;
        recall += shared / (reference.len() + 1 - n) as f64;
        orders += 1.0;
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (precision / orders, recall / orders);
    (1.0 + BETA_SQUARED) * precision * recall / (BETA_SQUARED * precision + recall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_others_nothing() {
        assert!((chrf("a cat", "acat") - 1.0).abs() < 1e-12);
        assert_eq!(chrf("abc", "xyz"), 0.0);
        assert_eq!(chrf("", "xyz"), 0.0);
        assert_eq!(chrf("xyz", " "), 0.0);
    }
}
