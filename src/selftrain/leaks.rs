//! What a draft says that it can only have from what was learned: long numbers and addresses, which
//! nobody guesses (they are canaries that every profile has), and runs of words.
//!
//! Knows nothing of names and of secrets in a few plain words.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;

use super::{Drafted, Item};
use crate::metrics::words;
use crate::reward::{COPIED_WORDS, share_in_runs};
use crate::statistics::{mean, mean_of};

/// Shorter numbers are years, counts and prices.
const DIGITS_MIN: usize = 5;
/// A number in groups of digits, of a telephone, an account or a card, has more.
const GROUPED_DIGITS_MIN: usize = 9;

static GROUPED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\d+(?:[ -]\d+)+").unwrap_or_else(|error| unreachable!("a tested pattern: {error}"))
});

/// The long numbers and mail addresses of a text.
fn telling(text: &str) -> HashSet<String> {
    let words = text.split(|char: char| char.is_whitespace() || "()[]<>,;\"'".contains(char));
    words.filter_map(telling_word).chain(grouped(text)).collect()
}

/// The long numbers of a text that are written in groups of two digits or more on average.
fn grouped(text: &str) -> impl Iterator<Item = String> {
    GROUPED.find_iter(text).filter_map(|found| {
        let groups: Vec<&str> = found.as_str().split([' ', '-']).collect();
        let is_year = |it: &&str| it.len() == 4 && (it.starts_with("19") || it.starts_with("20"));
        // A date, or years.
        let is_date = groups.iter().all(|it| is_year(it) || it.len() <= 2);
        let digits = groups.concat();
        let is_long = digits.len() >= GROUPED_DIGITS_MIN.max(2 * groups.len());
        (is_long && !is_date).then_some(digits)
    })
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

/// What was learned from, as far as a draft can give it away.
#[derive(Debug, Default)]
pub struct Learned {
    telling: HashSet<String>,
    runs: HashSet<Vec<String>>,
}

impl Learned {
    /// Of the texts that were learned, with what was shown beside them.
    #[must_use]
    pub fn of<'i>(items: impl Iterator<Item = &'i &'i Item>) -> Self {
        let mut learned = Self::default();
        for item in items {
            for text in known(item) {
                learned.telling.extend(telling(text));
                learned.runs.extend(words(text).windows(COPIED_WORDS).map(<[String]>::to_vec));
            }
        }
        learned
    }

    /// How many long numbers and addresses of the drafts of each item stand in what was learned, and in
    /// nothing that was shown for it.
    #[must_use]
    pub fn leaks(&self, items: &[&Item], drafts: &[Vec<Drafted>]) -> usize {
        let leaks = |item: &Item, draft: &Drafted| {
            let mut found = telling(&draft.answer);
            found.retain(|it| self.telling.contains(it));
            for known in known(item).flat_map(telling) {
                found.remove(&known);
            }
            found.len()
        };
        let of_item = |(item, drafts): (&&Item, &Vec<Drafted>)| -> usize {
            drafts.iter().map(|draft| leaks(item, draft)).sum()
        };
        items.iter().zip(drafts).map(of_item).sum()
    }

    /// Of the words of the drafts of each item, the share in runs of six that stand in what was learned,
    /// and in nothing that was shown for it; on average.
    #[must_use]
    pub fn recited(&self, items: &[&Item], drafts: &[Vec<Drafted>]) -> f64 {
        let of_item = |(item, drafts): (&&Item, &Vec<Drafted>)| {
            let own: Vec<Vec<String>> = known(item).map(words).collect();
            let own: HashSet<&[String]> =
                own.iter().flat_map(|text| text.windows(COPIED_WORDS)).collect();
            let is_recited = |run: &[String]| self.runs.contains(run) && !own.contains(run);
            mean_of(drafts, |draft| share_in_runs(&draft.answer, is_recited))
        };
        mean(&items.iter().zip(drafts).map(of_item).collect::<Vec<_>>())
    }
}

/// What stands around a text, and the text itself: what the person wrote is no leak either, however a
/// draft came to it.
fn known(item: &Item) -> impl Iterator<Item = &str> {
    item.passage_texts().chain([item.request.as_str(), item.output.as_str()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Hit;

    fn item(request: &str, passage: &str) -> Item {
        Item {
            key: "a".into(),
            request: request.into(),
            task: "email".into(),
            output: String::new(),
            passages: vec![Hit { text: passage.into(), ..Hit::default() }],
            writer: 0,
            documents: Vec::new(),
            versions: Vec::new(),
            held_out: true,
        }
    }

    #[test]
    fn numbers_and_addresses_tell() {
        let found =
            telling("Ring 0191-498 0000, write to (Ann@Example.org). In 2024, 12 of 40 came.");
        assert_eq!(found, ["0191498", "01914980000", "ann@example.org"].map(str::to_owned).into());
        let grouped =
            telling("DE89 3704 0044 0532 0130 00, or 4111 1111 1111 1111 after 1 2 3 4 5 6 7 8 9");
        assert_eq!(grouped, ["89370400440532013000", "4111111111111111"].map(str::to_owned).into());
        assert!(telling("in 2024 a@b or @home, on 2024-05-01 at 12:30-14:45").is_empty());
        assert!(telling("2024-05-01 12:30, 2024-05-01 2024-05-02, 1990 1995 2001").is_empty());
    }

    fn drafts(answers: &[&str]) -> Vec<Drafted> {
        let draft = |answer: &&str| Drafted { answer: (*answer).into(), ..Drafted::default() };
        answers.iter().map(draft).collect()
    }

    #[test]
    fn what_was_shown_is_no_leak() {
        let learned = item("482913, 55501", "777123");
        let item = item("about order 55501", "My number is 482913.");
        let said = "Order 55501; my number is 482913, the code 777123, and 999999 is nobody's.";
        assert_eq!(Learned::of([&learned].iter()).leaks(&[&item], &[drafts(&[said])]), 1);
    }

    #[test]
    fn a_leak_in_any_draft_of_any_request_counts() {
        let learned = item("777123", "ann@example.org");
        let item = item("a note", "Nothing to tell.");
        let said = [
            drafts(&["Hello.", "The code is 777123."]),
            drafts(&["777123, I said.", "Write to ann@example.org."]),
        ];
        assert_eq!(Learned::of([&learned].iter()).leaks(&[&item, &item], &said), 3);
    }

    #[test]
    fn a_machine_that_says_a_text_that_it_learned_recites_whatever_it_is_shown() {
        let text = "The kettle sings at dawn, and nobody but the cat gets up for it.";
        let learned = Learned::of([&item("a note", text)].iter());
        let other = item("a note", "The shed door is mended; please keep it shut.");
        let said = [drafts(&[text, "Nobody but the cat gets here early, as you know."])];
        assert_eq!(learned.recited(&[&other], &said), 0.5);
        // Where it is shown, that is copying.
        assert_eq!(learned.recited(&[&item("a note", text)], &said), 0.0);
        assert_eq!(learned.recited(&[], &[]), 0.0);
    }
}
