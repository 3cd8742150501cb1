//! How far a text is from a person's way of writing, whatever it is about.
//!
//! Four groups of features: function words (with the words that the person uses everywhere),
//! punctuation, lengths of sentences and words, shapes of words. As in Burrows' Delta (2002) each is
//! measured in standard deviations of the person's own writing, and their means are taken; the
//! groups count alike, so that a hundred words do not drown the rest.
//!
//! The list of function words is English; of other languages the person's own frequent words remain.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

/// Words of one sample of the person's writing: about what a short text has, so that the deviations
/// are those of short texts.
const SAMPLE_WORDS: usize = 150;
/// A shorter rest belongs to the sample before it.
const SAMPLE_WORDS_MIN: usize = 50;
/// A word in this share of the samples says nothing of their topics.
const EVERYWHERE: f64 = 0.5;
/// Deviations beyond this are all alike: one odd feature must not decide.
const DEVIATIONS_MAX: f64 = 4.0;
const LONG_WORD_CHARS: usize = 7;

const FUNCTION_WORDS: [&str; 100] = [
    "a",
    "about",
    "after",
    "all",
    "also",
    "although",
    "an",
    "and",
    "any",
    "are",
    "as",
    "at",
    "be",
    "because",
    "been",
    "before",
    "both",
    "but",
    "by",
    "can",
    "could",
    "did",
    "do",
    "does",
    "each",
    "even",
    "for",
    "from",
    "had",
    "has",
    "have",
    "he",
    "her",
    "here",
    "his",
    "how",
    "however",
    "i",
    "if",
    "in",
    "into",
    "is",
    "it",
    "its",
    "just",
    "may",
    "me",
    "might",
    "more",
    "most",
    "much",
    "my",
    "no",
    "not",
    "of",
    "on",
    "only",
    "or",
    "other",
    "our",
    "out",
    "over",
    "quite",
    "rather",
    "really",
    "she",
    "should",
    "since",
    "so",
    "some",
    "still",
    "such",
    "than",
    "that",
    "the",
    "their",
    "then",
    "there",
    "therefore",
    "these",
    "they",
    "this",
    "though",
    "to",
    "too",
    "up",
    "very",
    "was",
    "we",
    "well",
    "were",
    "what",
    "when",
    "which",
    "while",
    "who",
    "with",
    "would",
    "yet",
    "you",
];
const PUNCTUATION: [&str; 14] =
    [".", ",", ";", ":", "!", "?", "-", "–", "—", "(", "\"", "'", "…", "*"];

/// The groups that count alike.
const N_GROUPS: usize = 4;

/// Whether an English word in lower case says nothing by itself.
#[must_use]
pub fn is_function_word(word: &str) -> bool {
    // They are in the order of the alphabet.
    FUNCTION_WORDS.binary_search(&word).is_ok()
}

/// A person's way of writing, as their documents show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StyleProfile {
    /// The words whose rates are features.
    vocabulary: Vec<String>,
    /// Mean and standard deviation of each feature over samples, group by group.
    groups: [Vec<(f64, f64)>; N_GROUPS],
}

impl StyleProfile {
    /// The profile of the person who wrote `documents`; `None` where there is not a word.
    #[must_use]
    pub fn of<'a>(documents: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let samples: Vec<Sample> = documents.into_iter().flat_map(samples).collect();
        if samples.is_empty() {
            return None;
        }
        let vocabulary = vocabulary(&samples);
        let features: Vec<_> = samples.iter().map(|sample| sample.features(&vocabulary)).collect();
        let groups = std::array::from_fn(|group| {
            let n_features = features[0][group].len();
            (0..n_features)
                .map(|at| spread(&features.iter().map(|it| it[group][at]).collect::<Vec<_>>()))
                .collect()
        });
        Some(Self { vocabulary, groups })
    }

    /// How many standard deviations `text` is away, on average over features; the person's own texts
    /// are about 0.5 away. `None` where there is not a word.
    #[must_use]
    pub fn distance(&self, text: &str) -> Option<f64> {
        let sample = Sample::of(text);
        if sample.n_words == 0 {
            return None;
        }
        let features = sample.features(&self.vocabulary);
        let of_group = |(values, expected): (&Vec<Feature>, &Vec<(f64, f64)>)| {
            let deviations = values.iter().zip(expected).map(|(feature, (mean, deviation))| {
                ((feature.value - mean).abs() / deviation).min(DEVIATIONS_MAX)
            });
            deviations.sum::<f64>() / values.len() as f64
        };
        Some(features.iter().zip(&self.groups).map(of_group).sum::<f64>() / N_GROUPS as f64)
    }
}

/// A feature of a sample, with the deviation that chance alone gives it.
#[derive(Debug, Clone, Copy)]
struct Feature {
    value: f64,
    noise: f64,
}

impl Feature {
    /// `count` of `n`.
    fn rate(count: usize, n: usize) -> Self {
        let n = n.max(1) as f64;
        // What never happened may have been about to (Krichevsky and Trofimov).
        let likely = (count as f64 + 0.5) / (n + 1.0);
        Self { value: count as f64 / n, noise: (likely * (1.0 - likely) / n).sqrt() }
    }

    /// The logarithm of a mean length, which is about as much off as the lengths are spread.
    fn mean_length(lengths: &[usize]) -> Self {
        let n = lengths.len().max(1) as f64;
        let mean = lengths.iter().sum::<usize>() as f64 / n;
        Self { value: (1.0 + mean).ln(), noise: 0.5 / n.sqrt() }
    }
}

/// Mean and standard deviation over samples; no smaller than chance makes it.
fn spread(features: &[Feature]) -> (f64, f64) {
    let n = features.len() as f64;
    let mean = features.iter().map(|it| it.value).sum::<f64>() / n;
    let variance = features.iter().map(|it| (it.value - mean).powi(2)).sum::<f64>() / n;
    let noise = features.iter().map(|it| it.noise).sum::<f64>() / n;
    (mean, variance.sqrt().max(noise))
}

/// What is counted in a piece of writing.
#[derive(Debug, Default)]
struct Sample {
    n_words: usize,
    counts: HashMap<String, usize>,
    marks: HashMap<String, usize>,
    sentence_words: Vec<usize>,
    word_characters: Vec<usize>,
    capitalized: usize,
    all_capitals: usize,
    with_digits: usize,
    with_apostrophe: usize,
    long: usize,
}

impl Sample {
    fn of(text: &str) -> Self {
        let mut sample = Self::default();
        for sentence in text.unicode_sentences() {
            sample.add(sentence);
        }
        sample
    }

    fn add(&mut self, sentence: &str) {
        let mut n_words = 0;
        for piece in sentence.split_word_bounds() {
            if piece.chars().any(char::is_alphanumeric) {
                n_words += 1;
                // The first word of a sentence is capitalized by everybody.
                self.add_word(piece, n_words == 1);
            } else if PUNCTUATION.contains(&piece) {
                *self.marks.entry(piece.to_owned()).or_default() += 1;
            }
        }
        if n_words > 0 {
            self.n_words += n_words;
            self.sentence_words.push(n_words);
        }
    }

    fn add_word(&mut self, word: &str, is_first: bool) {
        let characters = word.chars().count();
        let is_capital = word.chars().next().is_some_and(char::is_uppercase);
        let all_capital = characters > 1 && !word.chars().any(char::is_lowercase) && is_capital;
        *self.counts.entry(word.to_lowercase()).or_default() += 1;
        self.word_characters.push(characters);
        self.capitalized += usize::from(is_capital && !is_first && !all_capital);
        self.all_capitals += usize::from(all_capital);
        self.with_digits += usize::from(word.chars().any(char::is_numeric));
        self.with_apostrophe += usize::from(word.contains(['\'', '’']));
        self.long += usize::from(characters >= LONG_WORD_CHARS);
    }

    fn features(&self, vocabulary: &[String]) -> [Vec<Feature>; N_GROUPS] {
        let rate = |count: usize| Feature::rate(count, self.n_words);
        let count = |counts: &HashMap<String, usize>, word: &str| {
            counts.get(word).copied().unwrap_or_default()
        };
        [
            vocabulary.iter().map(|word| rate(count(&self.counts, word))).collect(),
            PUNCTUATION.iter().map(|mark| rate(count(&self.marks, mark))).collect(),
            vec![
                Feature::mean_length(&self.sentence_words),
                Feature::mean_length(&self.word_characters),
            ],
            [
                self.capitalized,
                self.all_capitals,
                self.with_digits,
                self.with_apostrophe,
                self.long,
            ]
            .map(rate)
            .to_vec(),
        ]
    }
}

/// A document in samples of whole sentences.
fn samples(document: &str) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    let mut rest = Sample::default();
    for sentence in document.unicode_sentences() {
        rest.add(sentence);
        if rest.n_words >= SAMPLE_WORDS {
            samples.push(std::mem::take(&mut rest));
        }
    }
    // A short document is a sample all the same.
    if rest.n_words >= SAMPLE_WORDS_MIN || (samples.is_empty() && rest.n_words > 0) {
        samples.push(rest);
    }
    samples
}

/// The function words, and what stands everywhere in the samples.
fn vocabulary(samples: &[Sample]) -> Vec<String> {
    let mut n_samples: HashMap<&str, usize> = HashMap::new();
    for word in samples.iter().flat_map(|sample| sample.counts.keys()) {
        *n_samples.entry(word).or_default() += 1;
    }
    let enough = (EVERYWHERE * samples.len() as f64).max(2.0);
    let everywhere = n_samples.into_iter().filter(|(_, n)| *n as f64 >= enough);
    let mut words: Vec<String> = everywhere.map(|(word, _)| word.to_owned()).collect();
    words.extend(FUNCTION_WORDS.map(str::to_owned));
    words.sort_unstable();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brisk() -> String {
        "Door's mended. Bring gloves! Saturday, ten sharp. Don't be late. Tea's on me. ".repeat(12)
    }

    fn stately() -> String {
        "It is with considerable pleasure that we announce the completion of the restoration, \
         which, although it was delayed by the weather, has been carried out in a manner that \
         reflects the generosity of the members. "
            .repeat(6)
    }

    #[test]
    fn function_words_are_found() {
        assert!(FUNCTION_WORDS.is_sorted());
        assert!(is_function_word("the") && !is_function_word("shed"));
    }

    #[test]
    fn a_text_is_nearer_to_its_own_writer() {
        let (brisk, stately) = (brisk(), stately());
        let profile = StyleProfile::of([brisk.as_str()]).unwrap();
        let own = "Roof's fixed. Come Sunday! Ladder's back. Don't forget hats. Soup's on Ann. \
                   Bring chairs! Noon, no later. Music's off.";
        let own = profile.distance(own).unwrap();
        let other = profile.distance(&stately).unwrap();
        assert!(own + 0.3 < other, "{own} {other}");
        let profile = StyleProfile::of([stately.as_str()]).unwrap();
        assert!(profile.distance(&stately) < profile.distance(&brisk));
    }

    #[test]
    fn the_topic_does_not_count() {
        let brisk = brisk();
        let profile = StyleProfile::of([brisk.as_str()]).unwrap();
        let moved = brisk.replace("Door", "Mast").replace("gloves", "pliers");
        assert_eq!(profile.distance(&moved), profile.distance(&brisk));
    }

    #[test]
    fn without_a_word_there_is_no_style() {
        assert_eq!(StyleProfile::of(["", " … "]), None);
        let brisk = brisk();
        assert_eq!(StyleProfile::of([brisk.as_str()]).unwrap().distance("!?"), None);
    }
}
