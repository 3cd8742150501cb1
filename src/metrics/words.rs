//! Texts into words, in the ways that the metrics want them.

use unicode_segmentation::UnicodeSegmentation;

use super::porter;

/// Shorter words are not stemmed by rouge_score.
const STEMMED_CHARS_MIN: usize = 4;

/// The words of a text (UAX #29) in lower case, without punctuation.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    text.unicode_words().map(str::to_lowercase).collect()
}

/// The words that rouge_score sees: runs of a–z and 0–9 in lower case, stemmed where that is
/// wanted. Of other scripts it sees nothing.
pub(super) fn rouge_words(text: &str, stemmed: bool) -> Vec<String> {
    let lower = text.to_lowercase();
    let is_boundary = |char: char| !char.is_ascii_lowercase() && !char.is_ascii_digit();
    let words = lower.split(is_boundary).filter(|word| !word.is_empty());
    words
        .map(|word| {
            if stemmed && word.len() >= STEMMED_CHARS_MIN {
                porter::stem(word)
            } else {
                word.to_owned()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_any_script_are_words() {
        assert_eq!(words("Don't panic: Zwölf Äpfel!"), ["don't", "panic", "zwölf", "äpfel"]);
    }

    #[test]
    fn rouge_sees_plain_letters_and_digits_alone() {
        assert_eq!(rouge_words("Don't: Zwölf 42nd!", false), ["don", "t", "zw", "lf", "42nd"]);
        assert_eq!(rouge_words("the running dogs", true), ["the", "run", "dog"]);
    }
}
