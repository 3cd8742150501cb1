//! METEOR (Banerjee and Lavie 2005; parameters of Lavie and Agarwal 2007): words aligned as they
//! are, then by their stems, with a penalty for an alignment in many pieces. As NLTK computes it,
//! but without synonyms: WordNet is English alone, and not here.

use super::porter;
use super::words::words;

const ALPHA: f64 = 0.9;
const BETA: f64 = 3.0;
const GAMMA: f64 = 0.5;

/// METEOR of `text` against `reference`, 0 to 1.
#[must_use]
pub fn meteor(text: &str, reference: &str) -> f64 {
    let (text, reference) = (words(text), words(reference));
    let aligned = align(&text, &reference);
    if aligned.is_empty() {
        return 0.0;
    }
    let matches = aligned.len() as f64;
    let precision = matches / text.len() as f64;
    let recall = matches / reference.len() as f64;
    let mean = precision * recall / (ALPHA * precision + (1.0 - ALPHA) * recall);
    let fragmentation = chunks(&aligned) as f64 / matches;
    (1.0 - GAMMA * fragmentation.powf(BETA)) * mean
}

/// Pairs of places in the text and in the reference, by places in the text.
fn align(text: &[String], reference: &[String]) -> Vec<(usize, usize)> {
    let mut left = Left {
        text: (0..text.len()).collect(),
        reference: (0..reference.len()).collect(),
        aligned: Vec::new(),
    };
    left.align(|a, b| text[a] == reference[b]);
    let stems =
        |words: &[String]| -> Vec<String> { words.iter().map(|word| porter::stem(word)).collect() };
    let (text, reference) = (stems(text), stems(reference));
    left.align(|a, b| text[a] == reference[b]);
    left.aligned.sort_unstable();
    left.aligned
}

/// Places that have no partner yet.
struct Left {
    text: Vec<usize>,
    reference: Vec<usize>,
    aligned: Vec<(usize, usize)>,
}

impl Left {
    /// Gives each place of the text, last first, the last place of the reference that is `alike`.
    fn align(&mut self, alike: impl Fn(usize, usize) -> bool) {
        let mut unmatched = Vec::new();
        for &a in self.text.iter().rev() {
            match self.reference.iter().rposition(|&b| alike(a, b)) {
                Some(at) => self.aligned.push((a, self.reference.remove(at))),
                None => unmatched.push(a),
            }
        }
        unmatched.reverse();
        self.text = unmatched;
    }
}

/// Runs of pairs that are neighbours in both texts.
fn chunks(aligned: &[(usize, usize)]) -> usize {
    let continues =
        |pair: &[(usize, usize)]| pair[1].0 == pair[0].0 + 1 && pair[1].1 == pair[0].1 + 1;
    aligned.len() - aligned.windows(2).filter(|pair| continues(pair)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_in_order_are_worth_nearly_one() {
        let score = meteor("The cats sat down.", "the cat sat down");
        // One chunk of four.
        assert!((score - (1.0 - 0.5 / 64.0)).abs() < 1e-12, "{score}");
        assert!(meteor("down sat cats the", "the cat sat down") < score);
        assert_eq!(meteor("", "the cat"), 0.0);
        assert_eq!(meteor("dog", "the cat"), 0.0);
    }
}
