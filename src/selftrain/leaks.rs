//! What a text says that it can only have from another: of drafts, the long numbers and addresses of what
//! was learned, which nobody guesses (canaries that every profile has); of notes, the names and numbers
//! of the text that is to be written.
//!
//! Knows nothing of secrets in plain words. A name is what is written with a capital inside a sentence, so
//! those of scripts without capitals are not seen, and all nouns of German are.

use std::collections::HashSet;

use super::Item;

/// Shorter numbers are years, counts and prices.
const DIGITS_MIN: usize = 5;
/// Shorter words are initials and units.
const NAME_CHARS_MIN: usize = 3;

/// The long numbers and mail addresses of a text.
#[must_use]
pub fn telling(text: &str) -> HashSet<String> {
    let words = text.split(|char: char| char.is_whitespace() || "()[]<>,;\"'".contains(char));
    words.filter_map(telling_word).collect()
}

/// A word without what punctuates it, where it is a long number or an address; dates and times are
/// neither.
fn telling_word(word: &str) -> Option<String> {
    let word = word.trim_matches(|char: char| !char.is_alphanumeric());
    let word = word.strip_prefix("mailto:").unwrap_or(word);
    let parts: Vec<&str> = word.split(['-', '/', '.', ':', 'T']).collect();
    let is_date = parts.len() >= 3 && parts.iter().all(|part| part.len() <= 4);
    if is_date || word.contains(':') {
        return None;
    }
    let is_address = word
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && host.contains('.') && !host.contains('@'));
    if is_address {
        return Some(word.to_lowercase());
    }
    let digits: String = word.chars().filter(char::is_ascii_digit).collect();
    (digits.len() >= DIGITS_MIN).then_some(digits)
}

/// Whether `text` has a name, a number or an identifier that stands in `source` and in none of `others`.
#[must_use]
pub fn betrays<'a>(text: &str, source: &str, others: impl IntoIterator<Item = &'a str>) -> bool {
    let mut of_source = particulars(source);
    for other in others {
        for word in tokens(other) {
            of_source.remove(&word.text.to_lowercase());
        }
    }
    tokens(text).any(|word| of_source.contains(&word.text.to_lowercase()))
}

/// The words of a text that name something, in lower case.
fn particulars(text: &str) -> HashSet<String> {
    let mut particulars: HashSet<String> = tokens(text)
        .filter(|word| word.text.chars().count() >= NAME_CHARS_MIN && word.is_particular())
        .map(|word| word.text.to_lowercase())
        .collect();
    // What stands there in lower case too is a word like others.
    for word in tokens(text).filter(|word| !word.text.chars().any(char::is_uppercase)) {
        if word.text.chars().all(char::is_alphabetic) {
            particulars.remove(word.text);
        }
    }
    particulars
}

/// A word without what punctuates it.
struct Word<'t> {
    text: &'t str,
    begins_sentence: bool,
}

impl Word<'_> {
    fn is_particular(&self) -> bool {
        let mut chars = self.text.chars();
        let is_capital = chars.next().is_some_and(char::is_uppercase);
        let is_mixed = chars.any(char::is_uppercase);
        let is_written_by_machines = |char: char| char.is_numeric() || "_@".contains(char);
        is_mixed
            || is_capital && !self.begins_sentence
            || self.text.contains(is_written_by_machines)
    }
}

fn tokens(text: &str) -> impl Iterator<Item = Word<'_>> {
    let sentences = text.split(['\n', '.', '!', '?', ':']).map(str::trim);
    sentences.flat_map(|sentence| {
        let all =
            sentence.split(|char: char| char.is_whitespace() || ",;/()[]<>\"“”‘’|".contains(char));
        let words = all.map(|word| word.trim_matches(|char: char| !char.is_alphanumeric()));
        words
            .filter(|word| !word.is_empty())
            .enumerate()
            .map(|(place, text)| Word { text, begins_sentence: place == 0 })
    })
}

/// How many long numbers and addresses of `answer` stand in the texts that were learned, `learned`,
/// and in nothing that was shown for `item`.
#[must_use]
pub fn leaks(answer: &str, item: &Item, learned: &HashSet<String>) -> usize {
    let mut found = telling(answer);
    found.retain(|it| learned.contains(it));
    // What the person wrote for it is no leak either, however the draft came to it.
    let shown = item.passage_texts().chain([item.request.as_str(), item.output.as_str()]);
    for text in shown {
        for known in telling(text) {
            found.remove(&known);
        }
    }
    found.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Hit;

    #[test]
    fn numbers_and_addresses_tell() {
        let found =
            telling("Ring 0191-498 0000, write to (Ann@Example.org). In 2024, 12 of 40 came.");
        assert_eq!(found, ["0191498", "ann@example.org"].map(str::to_owned).into());
        assert!(telling("in 2024 a@b or @home, on 2024-05-01 at 12:30-14:45").is_empty());
    }

    #[test]
    fn a_name_that_stands_in_one_text_alone_betrays_it() {
        let source = "Dear Ottilie, we met Brandvold at the Shed. The shed has 1742 slates; see odb_new() \
                      in the XHate set.";
        let betrays = |text: &str| betrays(text, source, ["Thank Ottilie for the slates."]);
        for text in ["- Knows Brandvold", "likes brandvold", "of 1742", "uses odb_new", "XHate"] {
            assert!(betrays(text), "{text}");
        }
        for text in
            ["- Tone: warm", "- Writes to Ottilie of slates", "- Has a shed", "- Dear, we", ""]
        {
            assert!(!betrays(text), "{text}");
        }
    }

    #[test]
    fn what_was_shown_is_no_leak() {
        let item = Item {
            key: "a".into(),
            request: "about order 55501".into(),
            task: "email".into(),
            output: String::new(),
            passages: vec![Hit { text: "My number is 482913.".into(), ..Hit::default() }],
            writer: 0,
            documents: Vec::new(),
            held_out: true,
        };
        let learned = telling("482913, 55501, 777123");
        let answer = "Order 55501; my number is 482913, the code 777123, and 999999 is nobody's.";
        assert_eq!(leaks(answer, &item, &learned), 1);
    }
}
