//! One line of a message: its text, how deep it is quoted, and what its markup says of it.

/// What markup says of a line besides its depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mark {
    #[default]
    None,
    /// It introduces a quote.
    Attribution,
    /// A mail program put it there as the signature.
    Signature,
    /// A rule across the page, or a border above what follows.
    Rule,
    /// Nothing from here on is the writer's.
    Cut,
}

/// A line of a message's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// How many times it was quoted; 0 where it is not.
    pub(super) depth: usize,
    /// Without quote marks.
    pub(super) text: String,
    pub(super) mark: Mark,
}

impl Line {
    pub(super) fn new(depth: usize, text: impl Into<String>) -> Self {
        Self { depth, text: text.into(), mark: Mark::None }
    }

    pub(super) fn marked(mark: Mark) -> Self {
        Self { depth: 0, text: String::new(), mark }
    }

    pub(super) fn is_blank(&self) -> bool {
        self.text.chars().all(|char| char.is_whitespace() || is_invisible(char))
    }

    pub(super) fn is_quoted(&self) -> bool {
        self.depth > 0
    }
}

/// `text` as a person sees it: without characters that take no room, every space a plain one.
pub(super) fn visible(text: &str) -> String {
    let seen: String = text
        .chars()
        .filter(|&char| !is_invisible(char))
        .map(|char| if char.is_whitespace() { ' ' } else { char })
        .collect();
    seen.trim().to_owned()
}

/// Whether a character takes no room.
pub(super) fn is_invisible(char: char) -> bool {
    matches!(
        char,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
    )
}

/// The beginning of `text`, of `bytes_max` bytes at most.
pub(super) fn head(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    &text[..end]
}

/// Whether `word` stands in `text` as a word of its own; both are in lower case.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    // Scripts without spaces between words have words wherever they stand.
    let is_spaced =
        |char: Option<char>| char.is_none_or(|char| !char.is_alphabetic() || char >= '\u{2e80}');
    text.match_indices(word).any(|(at, found)| {
        let end = at + found.len();
        let begins_wide = word.starts_with(|char: char| char >= '\u{2e80}');
        begins_wide
            || (is_spaced(text[..at].chars().next_back()) && is_spaced(text[end..].chars().next()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_no_room_is_not_seen() {
        assert_eq!(visible("\u{a0}5:06\u{202f}PM\u{200e} \u{feff}"), "5:06 PM");
    }

    #[test]
    fn a_head_ends_between_characters() {
        assert_eq!(head("aé", 2), "a");
        assert_eq!(head("aé", 3), "aé");
        assert_eq!(head("é", 0), "");
    }

    #[test]
    fn a_word_is_no_part_of_another() {
        assert!(has_word("ann wrote:", "wrote"));
        assert!(has_word("napisał(a):", "napisał"));
        assert!(has_word("下午5:06写道：", "写道"));
        assert!(!has_word("ann underwrote it", "wrote"));
    }
}
