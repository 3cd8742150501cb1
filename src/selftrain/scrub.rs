//! Secrets in what is learned: keys, cards, passwords. A model that learned one could say it.
//!
//! Finds what has the form of a secret; a secret in plain words is not known for one.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands in the place of a secret.
const HIDDEN: &str = "[…]";
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

static KEY_BLOCK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\z)")
});
/// The end of a key whose beginning stands in another passage.
static KEY_END: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?m)(?:^[A-Za-z0-9+/=]{1,76}\r?\n)+-----END [A-Z ]*PRIVATE KEY-----")
});
/// The middle of one: lines of base64, which has letters of both sizes, unlike hashes.
static KEY_LINES: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)(?:^[A-Za-z0-9+/]{48,76}\r?\n)+^[A-Za-z0-9+/]{1,76}={0,2}$"));
/// Tokens of well-known services, and JSON web tokens.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|sk-[A-Za-z0-9_-]{16,}|[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{16,}|xox[abprs]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{30,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)",
    )
});
/// What is called a password, also as a part of a name, how that is said, and what follows.
static PASSWORD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?i)(?:(?:\b|_)(?:password|passwd|passphrase|passcode|pwd|pin|pin code|api[_ -]?key|secret[_ -]?(?:access[_ -]?)?key|client[_ -]?secret|access[_ -]?token|auth[_ -]?token)|_pass|_token|_secret)(["'`]?\s*[:=]\s*|\s+(?:is|was)\s+)["'`]?([^\s"'`,;]{4,})"#,
    )
});
/// What opens a web service, in a header.
static BEARER: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b([Bb]earer\s+)([A-Za-z0-9._~+/-]{16,}=*)"));
static DIGITS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b\d(?:[ -]?\d){12,18}\b"));
/// Cards as they are printed, beside other numbers: their dates, their codes.
static LONG_CARD: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(?:\d{4}[ -]){4}\d{3}\b"));
static CARD: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b(?:(?:\d{4}[ -]){3}\d{4}|\d{4}[ -]\d{6}[ -]\d{4,5}|\d{13,19})\b"));

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|error| unreachable!("a tested pattern: {error}"))
}

/// `text` without what has the form of a secret, and how many there were.
#[must_use]
pub fn scrub(text: &str) -> (Cow<'_, str>, usize) {
    let mut found = 0;
    let mut text = Cow::Borrowed(text);
    for secret in [&KEY_BLOCK, &KEY_END, &TOKEN] {
        replace(&mut text, secret, &mut found, |_| Some(HIDDEN.to_owned()));
    }
    replace(&mut text, &KEY_LINES, &mut found, |parts| {
        let has = |is: fn(char) -> bool| parts[0].contains(is);
        (has(char::is_uppercase) && has(char::is_lowercase)).then(|| HIDDEN.to_owned())
    });
    replace(&mut text, &PASSWORD, &mut found, |parts| {
        // "The password is in the drawer" tells none.
        let secret = parts[2].trim_end_matches(['.', '!', '?', ')']);
        let is_told =
            parts[1].contains([':', '=']) || secret.contains(|it: char| it.is_ascii_digit());
        is_told.then(|| format!("{}{HIDDEN}", &parts[0][..parts[0].len() - parts[2].len()]))
    });
    replace(&mut text, &BEARER, &mut found, |parts| {
        // Words have no digits.
        let is_key = parts[2].contains(|it: char| it.is_ascii_digit());
        is_key.then(|| format!("{}{HIDDEN}", &parts[1]))
    });
    for cards in [&LONG_CARD, &CARD] {
        hide_cards(&mut text, cards, &mut found);
    }
    replace(&mut text, &DIGITS, &mut found, |parts| is_card(&parts[0]).then(|| HIDDEN.to_owned()));
    (text, found)
}

/// Hides the cards that `pattern` finds; what is none may overlap with one.
fn hide_cards(text: &mut Cow<'_, str>, pattern: &Regex, found: &mut usize) {
    let (mut hidden, mut kept, mut at) = (String::new(), 0, 0);
    while let Some(it) = pattern.find_at(text, at) {
        if is_card(it.as_str()) {
            hidden.push_str(&text[kept..it.start()]);
            hidden.push_str(HIDDEN);
            (kept, at) = (it.end(), it.end());
            *found += 1;
        } else {
            at = it.start() + it.as_str().bytes().take_while(u8::is_ascii_digit).count();
        }
    }
    if kept > 0 {
        hidden.push_str(&text[kept..]);
        *text = Cow::Owned(hidden);
    }
}

fn replace(
    text: &mut Cow<'_, str>,
    pattern: &Regex,
    found: &mut usize,
    with: impl Fn(&Captures<'_>) -> Option<String>,
) {
    if !pattern.is_match(text) {
        return;
    }
    let replaced = pattern.replace_all(text, |parts: &Captures<'_>| match with(parts) {
        Some(hidden) => {
            *found += 1;
            hidden
        }
        None => parts[0].to_owned(),
    });
    *text = Cow::Owned(replaced.into_owned());
}

/// Whether the digits are those of a card: their check digit is right (Luhn, ISO/IEC 7812-1).
fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|char| char.to_digit(10)).collect();
    let doubled = |(place, &digit): (usize, &u32)| match (place % 2, digit) {
        (0, digit) => digit,
        (_, 9) => 9,
        (_, digit) => digit * 2 % 9,
    };
    let sum: u32 = digits.iter().rev().enumerate().map(doubled).sum();
    let is_all_alike = digits.windows(2).all(|pair| pair[0] == pair[1]);
    CARD_DIGITS.contains(&digits.len()) && sum.is_multiple_of(10) && !is_all_alike
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden() {
        for (text, expected) in [
            ("Use AKIAIOSFODNN7EXAMPLE for it.", "Use […] for it."),
            ("token ghp_0123456789abcdefghijABCDEFGHIJ012345!", "token […]!"),
            ("The password: hunter2, as ever", "The password: […], as ever"),
            ("api_key=\"abcd-efgh\" there", "api_key=\"[…]\" there"),
            ("DB_PASSWORD=hunter2 make", "DB_PASSWORD=[…] make"),
            ("{\"password\": \"hunter2\"}", "{\"password\": \"[…]\"}"),
            ("AWS_SECRET_ACCESS_KEY='wJalrXUtnFEMI'", "AWS_SECRET_ACCESS_KEY='[…]'"),
            ("export GH_TOKEN=abcdefgh", "export GH_TOKEN=[…]"),
            ("my PIN is 4711.", "my PIN is […]"),
            ("Stripe: sk_live_4eC39HqLyjWDarjtT1zdp7dc.", "Stripe: […]."),
            ("Authorization: Bearer mF_9.B5f-4.1JqMabcdef", "Authorization: Bearer […]"),
            ("Card 4111 1111 1111 1111, until May", "Card […], until May"),
            ("Card 4111 1111 1111 1111 12/26", "Card […] 12/26"),
            ("Card 4111-1111-1111-1111 123", "Card […] 123"),
            ("On the 12 4111 1111 1111 1111 2026", "On the 12 […] 2026"),
            ("Amex 3782 822463 10005", "Amex […]"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nbye",
                "[…]\nbye",
            ),
            ("- one:\nabc\nde==\n-----END RSA PRIVATE KEY-----\nbye", "- one:\n[…]\nbye"),
            (
                &format!("one:\n{0}{0}AbC=\n\nbye", "MIIEvQIBADANBgkq".repeat(4) + "\n"),
                "one:\n[…]\n\nbye",
            ),
        ] {
            let (found, count) = scrub(text);
            assert_eq!((found.as_ref(), count), (expected, 1), "{text}");
        }
    }

    #[test]
    fn several_cards_in_a_row_are_all_hidden() {
        for text in [
            "4111 1111 1111 1111 5500 0000 0000 0004",
            "3782 822463 10005 4111 1111 1111 1111",
            "378282246310005 4111111111111111",
        ] {
            assert_eq!(scrub(text), ("[…] […]".into(), 2), "{text}");
        }
    }

    #[test]
    fn plain_writing_stays() {
        for text in [
            "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
            "The password is in the drawer, with the pin that holds the map.",
            "Ring 0191 498 0000, or 0044 191 498 0000 from abroad.",
            "Order 4111 1111 1111 1112 came on the 12th.",
            "The secret: plenty of water.",
            "sk-short",
            "the bearer internationalization/localization",
            "It ends with\n-----END RSA PRIVATE KEY-----",
            &"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n".repeat(2),
        ] {
            let (found, count) = scrub(text);
            assert_eq!((found.as_ref(), count), (text, 0));
        }
    }
}
