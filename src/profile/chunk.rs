//! Cutting a text into passages at paragraph and sentence ends.
//!
//! Sizes are estimated without a model, so that ingest needs none; the prompt counts again with
//! the generator's own tokenizer.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// Bytes of a word that count as one token; longer words count more.
const WORD_BYTES: usize = 8;

/// A passage: a range of bytes of its document's text, trimmed of white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where it stands in the text.
    pub range: Range<usize>,
}

/// How many tokens `text` will take, roughly: a word one for each eight bytes begun, a punctuation
/// mark or a Chinese character one.
#[must_use]
pub fn estimated_tokens(text: &str) -> usize {
    let mut count = TokenCount::default();
    count.add(text);
    count.total()
}

/// The estimate of a text that grows at its end.
#[derive(Debug, Clone, Copy, Default)]
struct TokenCount {
    closed: usize,
    word_bytes: usize,
}

impl TokenCount {
    fn add(&mut self, text: &str) {
        for char in text.chars() {
            if char.is_alphanumeric() && !is_ideograph(char) {
                self.word_bytes += char.len_utf8();
            } else if char.is_whitespace() {
                self.close_word();
            } else if char.is_ascii_punctuation() || is_ideograph(char) {
                self.close_word();
                self.closed += 1;
            } else {
                // Marks, emoji, symbols: part of whatever they stand in.
                self.word_bytes += char.len_utf8();
            }
        }
    }

    fn close_word(&mut self) {
        self.closed = self.total();
        self.word_bytes = 0;
    }

    fn total(&self) -> usize {
        self.closed + self.word_bytes.div_ceil(WORD_BYTES)
    }
}

fn is_ideograph(char: char) -> bool {
    matches!(u32::from(char), 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x2fa1f)
}

/// Cuts `text` into passages of at most `tokens_max` estimated tokens: at blank lines where
/// possible, else at sentence ends, else between words, else inside a word.
#[must_use]
pub fn chunks(text: &str, tokens_max: usize) -> Vec<Chunk> {
    let mut pieces = Vec::new();
    for paragraph in paragraphs(text) {
        split_to_size(text, paragraph, tokens_max, &SPLITTERS, &mut pieces);
    }
    join(text, &pieces, tokens_max)
}

type Splitter = fn(&str) -> Box<dyn Iterator<Item = &str> + '_>;

/// From the gentlest cut to the roughest; each returns the whole text in pieces, one by one.
const SPLITTERS: [Splitter; 4] = [
    |text| Box::new(text.split_sentence_bounds()),
    |text| Box::new(text.split_word_bounds()),
    |text| Box::new(text.graphemes(true)),
    |text| Box::new(text.char_indices().map(|(at, char)| &text[at..at + char.len_utf8()])),
];

/// The ranges between blank lines, each trimmed and not empty.
fn paragraphs(text: &str) -> Vec<Range<usize>> {
    let mut paragraphs = Vec::new();
    let mut start = 0;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() {
            paragraphs.push(start..offset);
            start = offset + line.len();
        }
        offset += line.len();
    }
    paragraphs.push(start..text.len());
    paragraphs.retain(|range| !text[range.clone()].trim().is_empty());
    paragraphs
}

fn split_to_size(
    text: &str,
    range: Range<usize>,
    tokens_max: usize,
    splitters: &[Splitter],
    pieces: &mut Vec<Range<usize>>,
) {
    let part = &text[range.clone()];
    let Some((splitter, rougher)) = splitters.split_first() else {
        pieces.push(range);
        return;
    };
    if estimated_tokens(part) <= tokens_max {
        pieces.push(range);
        return;
    }
    // What fits together stays together: a long text has very many words.
    let (mut start, mut end, mut open) = (range.start, range.start, TokenCount::default());
    for piece in splitter(part) {
        let mut longer = open;
        longer.add(piece);
        if longer.total() > tokens_max {
            if end > start {
                pieces.push(start..end);
                start = end;
            }
            longer = TokenCount::default();
            longer.add(piece);
            if longer.total() > tokens_max {
                split_to_size(text, start..start + piece.len(), tokens_max, rougher, pieces);
                start += piece.len();
                longer = TokenCount::default();
            }
        }
        end += piece.len();
        open = longer;
    }
    if range.end > start {
        pieces.push(start..range.end);
    }
}

/// Joins neighbouring pieces as long as they fit together.
fn join(text: &str, pieces: &[Range<usize>], tokens_max: usize) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut open: Option<(Range<usize>, usize)> = None;
    let mut close = |range: Range<usize>| {
        let part = &text[range.clone()];
        let start = range.start + (part.len() - part.trim_start().len());
        let end = start + part.trim().len();
        if end > start {
            chunks.push(Chunk { range: start..end });
        }
    };
    for piece in pieces {
        let tokens = estimated_tokens(&text[piece.clone()]);
        open = Some(match open.take() {
            Some((range, used)) if used + tokens <= tokens_max => {
                (range.start..piece.end, used + tokens)
            }
            Some((range, _)) => {
                close(range);
                (piece.clone(), tokens)
            }
            None => (piece.clone(), tokens),
        });
    }
    if let Some((range, _)) = open {
        close(range);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, tokens_max: usize) -> Vec<&str> {
        chunks(text, tokens_max).into_iter().map(|chunk| &text[chunk.range]).collect()
    }

    #[test]
    fn a_short_text_is_one_passage() {
        assert_eq!(texts("  One. Two.\n\nThree.\n", 100), ["One. Two.\n\nThree."]);
    }

    #[test]
    fn paragraphs_are_kept_whole_where_they_fit() {
        let text = "a b c d.\n\ne f g h.\n\ni j k l.";
        assert_eq!(texts(text, 10), ["a b c d.\n\ne f g h.", "i j k l."]);
    }

    #[test]
    fn a_long_paragraph_is_cut_at_sentence_ends() {
        let text = "One two three four. Five six seven eight. Nine ten.";
        assert_eq!(texts(text, 5), ["One two three four.", "Five six seven eight.", "Nine ten."]);
    }

    #[test]
    fn a_sentence_without_end_is_cut_between_words_and_a_word_without_end_inside() {
        let words = "word ".repeat(50);
        for passage in texts(&words, 10) {
            assert!(estimated_tokens(passage) <= 10);
        }
        let word = "ж".repeat(500);
        let passages = texts(&word, 10);
        assert!(passages.iter().all(|passage| estimated_tokens(passage) <= 10));
        assert_eq!(passages.concat(), word);
    }

    #[test]
    fn nothing_but_white_space_is_lost() {
        let text = "Α first paragraph; with 中文 text.\n \n\tSecond — “quoted” one!  \n\n\n(3) x"
            .repeat(9);
        let squeeze = |text: &str| text.split_whitespace().collect::<String>();
        for tokens_max in [1, 3, 16, 64] {
            assert_eq!(squeeze(&texts(&text, tokens_max).concat()), squeeze(&text));
        }
    }

    #[test]
    fn an_empty_text_has_no_passages() {
        assert!(texts(" \n\n ", 10).is_empty());
    }
}
