//! What a draft says that it can only have from what was learned: long numbers and addresses, which
//! nobody guesses. They are canaries that every profile has.
//!
//! Knows nothing of names and of secrets in plain words.

use std::collections::HashSet;

use super::Item;

/// Shorter numbers are years, counts and prices.
const DIGITS_MIN: usize = 5;

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
