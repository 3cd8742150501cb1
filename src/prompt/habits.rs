//! What can be counted of a person's habits, as the notes on them begin: small models guess such things
//! badly, and what they guess wrong they then follow.
//!
//! Favourite words are noted of English alone, and only in English requests is a length found that they
//! ask for. Of scripts that do not part words, a length is one of characters.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use unicode_segmentation::UnicodeSegmentation;

use crate::metrics::{is_function_word, words};
use crate::profile::Hit;
use crate::statistics::median;

/// What the note on the length begins with.
pub const LENGTH: &str = "- Length: about";
/// What the note on the words begins with.
pub const FAVOURITES: &str = "- Favourite words:";

const FAVOURITES_MAX: usize = 8;
const FAVOURITE_CHARS: RangeInclusive<usize> = 4..=20;
/// Lengths are noted to the nearest ten: a draft never has exactly what was noted.
const ROUND_WORDS: f64 = 10.0;
const REQUESTED_WORDS: RangeInclusive<usize> = 10..=5000;
/// Of what is longer no answer is a whole.
const USUAL_WORDS_MAX: f64 = 1000.0;
/// Of English at least this share is function words, of other languages hardly any.
const ENGLISH: f64 = 0.2;
/// Words of more than three letters that say nothing either, beside the function words of styles.
const EMPTY_WORDS: [&str; 56] = [
    "above",
    "again",
    "already",
    "always",
    "another",
    "around",
    "back",
    "being",
    "below",
    "between",
    "cannot",
    "come",
    "doing",
    "done",
    "down",
    "during",
    "else",
    "every",
    "first",
    "getting",
    "give",
    "going",
    "good",
    "having",
    "instead",
    "keep",
    "like",
    "made",
    "make",
    "many",
    "must",
    "need",
    "never",
    "nothing",
    "once",
    "same",
    "something",
    "take",
    "them",
    "thing",
    "things",
    "think",
    "those",
    "through",
    "under",
    "until",
    "upon",
    "used",
    "using",
    "want",
    "were",
    "where",
    "will",
    "without",
    "your",
    "yours",
];

/// What a line of its own begins with: a point of a list, a quoted line, a heading, a row.
const LINE_MARKS: [char; 7] = ['-', '*', '•', '+', '>', '#', '|'];

/// Notes on what can be counted, a line each, each line ended; empty where there is nothing to count.
#[must_use]
pub(super) fn habits(request: &str, passages: &[Hit]) -> String {
    let mut notes = String::new();
    // Writing to a string does not fail.
    if let Some(length) = requested_words(request).or_else(|| usual_words(passages)) {
        let _ = write!(notes, "{LENGTH} {length} words");
        if let Some(sentence) = sentence_words(passages) {
            let _ = write!(notes, ", {sentence} in a sentence");
        }
        notes.push('\n');
    }
    let favourites = favourites(passages);
    if !favourites.is_empty() {
        let _ = writeln!(notes, "{FAVOURITES} {}", favourites.join(", "));
    }
    notes
}

/// How many words are asked for, as "in 200 words" or "a 1,000-word post"; what follows the first
/// paragraph is somebody else's, as the mail that is answered.
fn requested_words(request: &str) -> Option<usize> {
    let asked = request.trim().split("\n\n").next().unwrap_or_default().replace(',', "");
    let all = words(&asked);
    let mut pairs = all.windows(2).filter(|pair| matches!(pair[1].as_str(), "words" | "word"));
    pairs.find_map(|pair| pair[0].parse().ok().filter(|count| REQUESTED_WORDS.contains(count)))
}

/// The median length of the documents that the passages stand in.
fn usual_words(passages: &[Hit]) -> Option<usize> {
    let lengths: HashMap<&str, f64> = passages
        .iter()
        .map(|hit| {
            let of_passage = words(&hit.text).len() as f64;
            let share =
                hit.document_bytes.max(hit.text.len()) as f64 / hit.text.len().max(1) as f64;
            (hit.document.as_str(), of_passage * share)
        })
        .collect();
    let length = median(lengths.into_values().filter(|&length| length > 0.0).collect());
    let rounded = (length / ROUND_WORDS).round().max(1.0) * ROUND_WORDS;
    (length > 0.0 && rounded <= USUAL_WORDS_MAX).then_some(rounded as usize)
}

fn sentence_words(passages: &[Hit]) -> Option<usize> {
    let texts: Vec<String> = passages.iter().map(|hit| unwrapped(&hit.text)).collect();
    let sentences = texts.iter().flat_map(|text| text.unicode_sentences());
    let lengths = sentences.map(|it| words(it).len() as f64).filter(|&length| length > 0.0);
    let length = median(lengths.collect()).round() as usize;
    (length > 0).then_some(length)
}

/// The text without the line ends inside its paragraphs: they end no sentence.
fn unwrapped(text: &str) -> String {
    let mut unwrapped = String::with_capacity(text.len());
    for line in text.lines() {
        let is_new = line.trim().is_empty() || line.trim_start().starts_with(LINE_MARKS);
        unwrapped.push(if is_new { '\n' } else { ' ' });
        unwrapped.push_str(line);
    }
    unwrapped
}

/// Where a word stands.
#[derive(Default)]
struct Uses<'p> {
    documents: BTreeSet<&'p str>,
    spellings: BTreeMap<&'p str, usize>,
}

impl<'p> Uses<'p> {
    /// How much of a favourite it is.
    fn rank(&self) -> (usize, usize) {
        (self.documents.len(), self.spellings.values().sum())
    }

    /// How it is mostly spelt.
    fn spelling(&self) -> Option<&'p str> {
        self.spellings.iter().max_by_key(|&(_, count)| count).map(|(word, _)| *word)
    }
}

/// Words that come back in several documents, and say something.
fn favourites(passages: &[Hit]) -> Vec<&str> {
    let mut uses: BTreeMap<String, Uses<'_>> = BTreeMap::new();
    let (mut count, mut empty) = (0, 0);
    for hit in passages {
        for word in hit.text.unicode_words() {
            let lower = word.to_lowercase();
            count += 1;
            empty += u32::from(is_function_word(&lower));
            let uses = uses.entry(lower).or_default();
            uses.documents.insert(&hit.document);
            *uses.spellings.entry(word).or_default() += 1;
        }
    }
    if f64::from(empty) < ENGLISH * f64::from(count) {
        return Vec::new();
    }
    uses.retain(|word, uses| uses.documents.len() > 1 && says_something(word));
    let mut all: Vec<Uses<'_>> = uses.into_values().collect();
    // A stable order: of equal ones the first by the alphabet.
    all.sort_by_key(|uses| Reverse(uses.rank()));
    all.iter().take(FAVOURITES_MAX).filter_map(Uses::spelling).collect()
}

fn says_something(word: &str) -> bool {
    FAVOURITE_CHARS.contains(&word.chars().count())
        && word.chars().all(char::is_alphabetic)
        && !is_function_word(word)
        && !EMPTY_WORDS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(texts: &[&str]) -> Vec<Hit> {
        let hit = |(place, text): (usize, &&str)| Hit {
            document: place.to_string(),
            text: (*text).to_owned(),
            ..Hit::default()
        };
        texts.iter().enumerate().map(hit).collect()
    }

    #[test]
    fn what_comes_back_in_several_documents_is_a_favourite() {
        let passages = hits(&[
            "The Shed door is mended. Bring gloves, and the key of the Shed.",
            "Gloves again: the Shed is in need of paint, and so are your gloves and your paint.",
        ]);
        assert_eq!(
            habits("a note", &passages),
            "- Length: about 20 words, 8 in a sentence\n- Favourite words: gloves, Shed\n"
        );
        let of_one: Vec<Hit> =
            passages.into_iter().map(|hit| Hit { document: "one".into(), ..hit }).collect();
        assert!(!habits("a note", &of_one).contains(FAVOURITES));
    }

    #[test]
    fn of_other_languages_no_words_are_noted() {
        let passages = hits(&[
            "Die Hütte wird nicht mehr gestrichen, auch wenn es regnet.",
            "Auch die Hütte wird morgen nicht mehr offen sein.",
        ]);
        assert_eq!(habits("Ein Brief", &passages), "- Length: about 10 words, 10 in a sentence\n");
    }

    #[test]
    fn a_length_that_is_asked_for_is_what_is_noted() {
        let passages = hits(&["One two three."]);
        let noted = |request: &str| {
            let notes = habits(request, &passages);
            let rest = notes.strip_prefix(LENGTH).unwrap().trim_start();
            rest.split_once(' ').unwrap().0.to_owned()
        };
        assert_eq!(noted("the opening (about 320 words) of a post"), "320");
        assert_eq!(noted("a 1,200-word review"), "1200");
        assert_eq!(noted("in 2 words: a story. Take 300 words for it"), "300");
        for other in [
            "my 5 words",
            "say it in other words",
            "99999999999999999999 words",
            "Re: terms\n\nIn answer to:\nwe need 500 words by Friday",
        ] {
            assert_eq!(noted(other), "10", "{other}");
        }
        assert_eq!(habits("a poem of 40 words", &[]), "- Length: about 40 words\n");
    }

    #[test]
    fn a_passage_of_a_longer_document_has_the_document_s_length() {
        let text = "word ".repeat(20);
        let part = |bytes: usize| Hit { document_bytes: bytes, ..hits(&[&text]).remove(0) };
        assert!(habits("a note", &[part(1000)]).starts_with("- Length: about 200 words"));
        assert_eq!(habits("a note", &[part(900_000)]), "", "no answer is as long as a book");
        let other = Hit { document: "other".into(), ..part(400) };
        let notes = habits("a note", &[part(1000), part(1000), other]);
        assert!(notes.starts_with("- Length: about 140 words"), "each document once: {notes}");
    }

    #[test]
    fn the_end_of_a_line_is_not_that_of_a_sentence() {
        let wrapped =
            hits(&["The output leaves out\nmany of the files\nthat are there.\n\n- one\n- two"]);
        assert!(habits("a note", &wrapped).contains(", 1 in a sentence"));
        let wrapped = hits(&["The output leaves out\nmany of the files\nthat are there."]);
        assert!(habits("a note", &wrapped).contains(", 11 in a sentence"));
    }

    #[test]
    fn of_nothing_nothing_is_noted() {
        assert_eq!(habits("a note", &[]), "");
        assert_eq!(habits("a note", &hits(&[" … "])), "");
    }
}
