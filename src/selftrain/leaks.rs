//! What a text says that it can only have from another: of drafts, the long numbers and addresses of what
//! was learned, which nobody guesses (canaries that every profile has); of notes, the names and numbers
//! of the text that is to be written.
//!
//! Knows nothing of secrets in plain words. A name is what is written with a capital inside a sentence:
//! those at its beginning are not seen, nor those of scripts without capitals, or of languages that write
//! all nouns with one.

use std::collections::HashSet;

use super::Item;

/// Shorter numbers are years, counts and prices.
const DIGITS_MIN: usize = 5;
/// Shorter words are initials and units.
const NAME_CHARS_MIN: usize = 3;
/// Of the words inside sentences, more than this share with a capital name nothing.
const CAPITALS_MAX: f64 = 0.25;

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
    tokens(text)
        .filter(|word| word.is_capital() || word.is_identifier())
        .any(|word| of_source.contains(&word.text.to_lowercase()))
}

/// The words of a text that name something, in lower case.
fn particulars(text: &str) -> HashSet<String> {
    let words: Vec<Word<'_>> = tokens(text).collect();
    let inside = || words.iter().filter(|word| !word.begins_sentence);
    let capitals = inside().filter(|word| word.is_capital()).count();
    // German nouns, and titles: there a capital names nothing.
    let names_are_capital = capitals as f64 <= CAPITALS_MAX * inside().count() as f64;
    let is_name = |word: &&Word<'_>| {
        word.is_identifier() || names_are_capital && !word.begins_sentence && word.is_name()
    };
    let mut particulars: HashSet<String> =
        words.iter().filter(is_name).map(|word| word.text.to_lowercase()).collect();
    // What stands there in lower case too is a word like others.
    for word in words.iter().filter(|word| !word.is_capital() && !word.is_identifier()) {
        particulars.remove(word.text);
    }
    particulars
}

/// A word without what punctuates it.
struct Word<'t> {
    text: &'t str,
    begins_sentence: bool,
}

impl Word<'_> {
    fn is_capital(&self) -> bool {
        self.text.starts_with(char::is_uppercase)
    }

    /// A capital, then small letters: others are emphasized, or initials.
    fn is_name(&self) -> bool {
        let rest = self.text.trim_start_matches(char::is_uppercase);
        self.is_capital()
            && self.text.chars().count() >= NAME_CHARS_MIN
            && !rest.is_empty()
            && !self.text.contains(['\'', '’'])
    }

    /// Whether it has a digit, a low line, or a capital after a small letter.
    fn is_identifier(&self) -> bool {
        let small_then_capital =
            |pair: (char, char)| pair.0.is_lowercase() && pair.1.is_uppercase();
        self.text.chars().count() >= NAME_CHARS_MIN
            && (self.text.contains(|char: char| char.is_numeric() || "_@".contains(char))
                || self.text.chars().zip(self.text.chars().skip(1)).any(small_then_capital))
    }
}

/// The words of a text; a line, a quotation and what stands in brackets begin like sentences.
fn tokens(text: &str) -> impl Iterator<Item = Word<'_>> {
    text.lines().flat_map(|line| {
        let mut begins_sentence = true;
        line.split(|char: char| char.is_whitespace() || "—–…/|".contains(char)).filter_map(
            move |piece| {
                let opens = piece.starts_with(['"', '“', '„', '‘', '\'', '(', '[', '*']);
                let word = piece.trim_matches(|char: char| !char.is_alphanumeric());
                let word =
                    word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")).unwrap_or(word);
                let begins = begins_sentence || opens;
                if !word.is_empty() {
                    // "Dr." and "J." end none.
                    let is_title =
                        word.len() < NAME_CHARS_MIN && word.starts_with(char::is_uppercase);
                    let end = piece.trim_end_matches(['"', '”', '’', '\'', ')', ']', '*']);
                    begins_sentence = end.ends_with(['.', '!', '?', ':']) && !is_title
                        || word.chars().all(char::is_numeric) && end.ends_with(')');
                }
                (!word.is_empty()).then_some(Word { text: word, begins_sentence: begins })
            },
        )
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
        let source = "Dear Ottilie, we met Dr. Brandvold at the Shed, and all of us were of one mind \
                      with him on it; Ewing’s idea went to New York with the rest of his papers. The \
                      shed has 1742 slates, which I'm told is \"Good\" and NOT new, however new it \
                      looks from below; see what odb_new() does in the XHate set.";
        let betrays =
            |text: &str| betrays(text, source, ["Thank Ottilie's friend for the slates."]);
        for text in [
            "- Knows Brandvold",
            "Brandvold's way",
            "like Ewing",
            "of 1742",
            "uses odb_new",
            "XHate",
        ] {
            assert!(betrays(text), "{text}");
        }
        for text in [
            "- Tone: warm, new ideas",
            "- Writes to Ottilie of slates",
            "- Has a Shed, and I'm told a good one",
            "- Not one, says the writer",
            "",
        ] {
            assert!(!betrays(text), "{text}");
        }
    }

    #[test]
    fn where_all_nouns_have_capitals_they_name_nothing() {
        let source =
            "Liebe Ottilie, die Hütte hat ein Dach aus Schiefer, und der Garten ein Tor mit 1742.";
        assert!(!betrays("- Ton: warm, der Garten ist wichtig", source, []));
        assert!(betrays("- Ton: warm, wie 1742", source, []));
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
