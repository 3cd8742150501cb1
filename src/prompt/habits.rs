//! What can be counted of a person's habits, as the notes on them begin: small models guess such things
//! badly, and what they guess wrong they then follow.
//!
//! Lengths that are asked for are found in English requests only; the words that are left out of the
//! favourite ones are English too.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use unicode_segmentation::UnicodeSegmentation;

use crate::metrics::{is_function_word, words};
use crate::profile::Hit;

const FAVOURITES_MAX: usize = 8;
const FAVOURITE_CHARS_MIN: usize = 4;
/// Longer ones are no words, but names of machines and keys.
const FAVOURITE_CHARS_MAX: usize = 20;
/// Counts are round: what a draft has is never exactly what was noted.
const ROUND_WORDS: usize = 10;
const REQUESTED_WORDS: std::ops::RangeInclusive<usize> = 10..=5000;

/// Notes on what can be counted, a line each, each line ended; empty where there is nothing to count.
#[must_use]
pub fn habits(request: &str, passages: &[Hit]) -> String {
    let mut notes = String::new();
    // Writing to a string does not fail.
    if let Some(length) = requested_words(request).or_else(|| usual_words(passages)) {
        let _ = write!(notes, "- Length: about {length} words");
        if let Some(sentence) = sentence_words(passages) {
            let _ = write!(notes, ", {sentence} in a sentence");
        }
        notes.push('\n');
    }
    let favourites = favourites(passages);
    if !favourites.is_empty() {
        let _ = writeln!(notes, "- Favourite words: {}", favourites.join(", "));
    }
    notes
}

/// How many words are asked for: "in 200 words".
fn requested_words(request: &str) -> Option<usize> {
    let all = words(request);
    let mut pairs = all.windows(2).filter(|pair| pair[1] == "words");
    let count = pairs.find_map(|pair| pair[0].parse().ok())?;
    REQUESTED_WORDS.contains(&count).then_some(count)
}

/// The median length of the documents that the passages stand in.
fn usual_words(passages: &[Hit]) -> Option<usize> {
    let of_document = |hit: &Hit| {
        let passage_chars = hit.text.chars().count().max(1);
        words(&hit.text).len() * hit.document_chars.max(passage_chars) / passage_chars
    };
    let lengths = passages.iter().map(of_document).filter(|&length| length > 0).collect();
    median(lengths).map(|length| length.next_multiple_of(ROUND_WORDS))
}

fn sentence_words(passages: &[Hit]) -> Option<usize> {
    let sentences = passages.iter().flat_map(|hit| hit.text.unicode_sentences());
    median(sentences.map(|it| words(it).len()).filter(|&length| length > 0).collect())
}

fn median(mut values: Vec<usize>) -> Option<usize> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// Words that come back in several passages, and say something.
fn favourites(passages: &[Hit]) -> Vec<String> {
    // In how many passages a word stands, and how often in all.
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for hit in passages {
        let all = words(&hit.text);
        let distinct: HashSet<&String> = all.iter().collect();
        distinct.into_iter().for_each(|word| counts.entry(word.clone()).or_default().0 += 1);
        all.into_iter().for_each(|word| counts.entry(word).or_default().1 += 1);
    }
    let says_something = |word: &str| {
        let chars = word.chars().count();
        (FAVOURITE_CHARS_MIN..=FAVOURITE_CHARS_MAX).contains(&chars)
            && word.chars().all(char::is_alphabetic)
            && !is_function_word(word)
    };
    let mut all: Vec<(String, (usize, usize))> = counts
        .into_iter()
        .filter(|(word, (in_passages, _))| *in_passages > 1 && says_something(word))
        .collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.into_iter().take(FAVOURITES_MAX).map(|(word, _)| word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(text: &str) -> Hit {
        Hit { text: text.into(), ..Hit::default() }
    }

    #[test]
    fn what_comes_back_in_several_passages_is_a_favourite() {
        let passages = [
            hit("The shed door is mended. Bring gloves, and the shed key."),
            hit("Gloves again: the shed needs paint, and the paint needs a brush and a dry day."),
        ];
        assert_eq!(
            habits("a note", &passages),
            "- Length: about 20 words, 6 in a sentence\n- Favourite words: shed, gloves\n"
        );
    }

    #[test]
    fn a_length_that_is_asked_for_is_what_is_noted() {
        let passages = [hit("One two three.")];
        let asked = habits("the opening (about 320 words) of a post", &passages);
        assert_eq!(asked, "- Length: about 320 words, 3 in a sentence\n");
        assert!(habits("my 5 words", &passages).contains("about 10 words"));
        assert!(habits("say it in other words", &passages).contains("about 10 words"));
    }

    #[test]
    fn a_passage_of_a_longer_document_has_the_document_s_length() {
        let text = "word ".repeat(20);
        let part = Hit { document_chars: 1000, ..hit(&text) };
        assert!(habits("a note", &[part]).starts_with("- Length: about 200 words"));
    }

    #[test]
    fn of_nothing_nothing_is_noted() {
        assert_eq!(habits("a note", &[]), "");
        assert_eq!(habits("a note", &[hit(" … ")]), "");
    }
}
