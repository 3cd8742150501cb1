//! The names, numbers and identifiers of a text that notes on its writer must not give away.
//!
//! A name is what is written with a capital inside a sentence: those at its beginning are not seen, nor
//! those of scripts without capitals, or of languages that write all nouns with one.

use std::collections::HashSet;

/// Shorter words are initials and units.
const NAME_CHARS_MIN: usize = 3;
/// Of the words inside sentences, more than this share with a capital name nothing.
const CAPITALS_MAX: f64 = 0.25;
const OPENING_MARKS: [char; 8] = ['"', '“', '„', '‘', '\'', '(', '[', '*'];
const CLOSING_MARKS: [char; 7] = ['"', '”', '’', '\'', ')', ']', '*'];

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
                let word = bare(piece);
                if word.is_empty() {
                    return None;
                }
                let begins = begins_sentence || piece.starts_with(OPENING_MARKS);
                begins_sentence = ends_sentence(piece, word);
                Some(Word { text: word, begins_sentence: begins })
            },
        )
    })
}

/// A word without what punctuates it, and without the ending of a possessive.
fn bare(piece: &str) -> &str {
    let word = piece.trim_matches(|char: char| !char.is_alphanumeric());
    word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")).unwrap_or(word)
}

/// Whether a sentence ends with `piece`, which has this word, or the number of a point in a list.
fn ends_sentence(piece: &str, word: &str) -> bool {
    // "Dr." and "J." end none.
    let is_title = word.chars().count() < NAME_CHARS_MIN && word.starts_with(char::is_uppercase);
    let is_number = word.chars().all(char::is_numeric) && piece.ends_with(')');
    let end = piece.trim_end_matches(CLOSING_MARKS);
    is_number || end.ends_with(['.', '!', '?', ':']) && !is_title
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_in_one_text_alone_betrays_it() {
        let source = "Dear Ottilie, we met Dr. Brandvold at the Shed, and all of us were of one mind \
                      with him on it; Ewing’s idea went to New York with the rest of his papers. The \
                      shed has 1742 slates, which I'm told is \"Good\" and NOT new, however new it \
                      looks from below; see what odb_new() does in the XHate set, and 1) Paint it.";
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
            "- Paint is what he likes",
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
}
