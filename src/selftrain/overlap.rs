//! What texts share word for word: runs of neighbouring words.
//!
//! Finds what quotes a text or is quoted by it among many others, and what a text has from one and
//! from none of the others. Knows nothing of documents or models.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};

use crate::metrics::words;

/// As many words in a row are no coincidence.
const QUOTED_WORDS: usize = 6;
/// A run that stands in more texts than this is a formula of the writer's (a greeting, a
/// signature), and no quotation. Versions of one form letter are fewer.
const FORMULA_TEXTS: usize = 200;

/// Texts by the runs of words in them.
#[derive(Debug, Default)]
pub struct Overlaps {
    /// The texts that each run stands in; none for formulas.
    texts: HashMap<u64, Vec<u32>>,
    /// Distinct runs of each text that are no formulas.
    runs: Vec<usize>,
}

impl Overlaps {
    /// Of `texts`, which have their places as numbers.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut overlaps = Self::default();
        for (number, text) in texts.into_iter().enumerate() {
            let runs = runs(text, QUOTED_WORDS);
            overlaps.runs.push(runs.len());
            for run in runs {
                overlaps.texts.entry(run).or_default().push(number as u32);
            }
        }
        for texts in overlaps.texts.values_mut().filter(|texts| texts.len() > FORMULA_TEXTS) {
            for text in std::mem::take(texts) {
                overlaps.runs[text as usize] -= 1;
            }
        }
        overlaps
    }

    /// The texts of which `text` has at least `share` of the runs, or that have as much of its own;
    /// formulas do not count. A text of these is among them itself.
    #[must_use]
    pub fn related(&self, text: &str, share: f64) -> Vec<usize> {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        let mut own = 0;
        for run in runs(text, QUOTED_WORDS) {
            let texts = self.texts.get(&run).map_or(&[][..], Vec::as_slice);
            let is_formula = texts.is_empty() && self.texts.contains_key(&run);
            own += usize::from(!is_formula);
            texts.iter().for_each(|&text| *counts.entry(text).or_default() += 1);
        }
        let is_related = |&(text, shared): &(u32, usize)| {
            let shorter = self.runs[text as usize].min(own);
            shared as f64 >= share * shorter as f64
        };
        let mut related: Vec<usize> =
            counts.into_iter().filter(is_related).map(|(text, _)| text as usize).collect();
        related.sort_unstable();
        related
    }
}

/// The part of a text's runs of `n` words that stand in `source` and in none of `others`: what it
/// can only have from there.
#[must_use]
pub fn leaked<'a>(
    text: &str,
    source: &str,
    others: impl IntoIterator<Item = &'a str>,
    n: usize,
) -> f64 {
    let own = runs(text, n);
    if own.is_empty() {
        return 0.0;
    }
    let mut of_source: HashSet<u64> = runs(source, n);
    for other in others {
        for run in runs(other, n) {
            of_source.remove(&run);
        }
    }
    own.intersection(&of_source).count() as f64 / own.len() as f64
}

/// The distinct runs of `n` words of a text, as hashes: they tell texts apart within one process.
fn runs(text: &str, n: usize) -> HashSet<u64> {
    let hash = |run: &[String]| {
        let mut hasher = DefaultHasher::new();
        run.hash(&mut hasher);
        hasher.finish()
    };
    words(text).windows(n).map(hash).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "The shed door is mended at last, and the key hangs by the gate for \
        whoever wants the barrow on a Sunday morning.";
    const QUOTING: &str = "You wrote: the shed door is mended at last, and the key hangs by the \
        gate for whoever wants the barrow on a Sunday morning. I say thank you, and so do the bees, \
        the hens and everybody else who has had to climb through the window since the autumn.";
    const OTHER: &str = "Nobody has seen the barrow since the fair, and nobody misses it much.";

    #[test]
    fn quotations_are_found_from_either_side() {
        let overlaps = Overlaps::of([REPORT, OTHER, QUOTING]);
        assert_eq!(overlaps.related(REPORT, 0.2), [0, 2]);
        assert_eq!(overlaps.related(QUOTING, 0.2), [0, 2]);
        assert_eq!(overlaps.related(OTHER, 0.2), [1]);
        assert!(overlaps.related("too short", 0.2).is_empty());
    }

    #[test]
    fn versions_of_a_letter_are_related_and_formulas_are_not() {
        let version = |n: usize| REPORT.replace("Sunday", &format!("day{n}"));
        let letters: Vec<String> = (0..12).map(version).collect();
        let overlaps = Overlaps::of(letters.iter().map(String::as_str));
        assert_eq!(overlaps.related(&letters[0], 0.2).len(), 12);

        let words = |n: usize| (0..30).map(|word| format!("w{n}x{word} ")).collect::<String>();
        let signed = |n: usize| {
            format!(
                "{} Yours in haste from the allotments by the river where the bees are",
                words(n)
            )
        };
        let letters: Vec<String> = (0..=FORMULA_TEXTS).map(signed).collect();
        let overlaps = Overlaps::of(letters.iter().map(String::as_str));
        assert_eq!(overlaps.related(&letters[0], 0.2), [0]);
    }

    #[test]
    fn what_the_profile_has_too_is_no_leak() {
        let notes = "says the shed door is mended; likes the bees and the hens";
        assert!(leaked(notes, REPORT, [], 4) > 0.2);
        assert_eq!(leaked(notes, REPORT, [QUOTING], 4), 0.0);
        assert_eq!(leaked("short", REPORT, [], 4), 0.0);
    }
}
