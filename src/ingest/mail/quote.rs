//! Whose line is whose: the person's own, in blocks, and what they answered.
//!
//! What is quoted is somebody else's, and so is what stands below the header of another message,
//! or below an attribution that nothing else can be. Text between and below quotes is the
//! person's. Signatures are left to `signature`.

use super::attribution;
use super::line::{Line, Mark, visible};
use super::reply_header::{block_at, block_below_rule, is_separator};

/// Empty lines between an attribution and its quote.
const GAP_LINES_MAX: usize = 2;
/// A greeting between an attribution and its quote is no longer.
const GREETING_CHARS_MAX: usize = 40;
/// The quoted text that is kept.
const QUOTED_BYTES_MAX: usize = 64 << 10;
/// A quoted line of this length may have been wrapped on its way, and what went over it is short.
const WRAPPED_CHARS_MIN: usize = 60;
const OVERFLOW_CHARS_MAX: usize = 30;

/// A message, divided.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Divided {
    /// The lines that the person wrote, in blocks with others' words between them.
    pub(super) own: Vec<Vec<String>>,
    /// What they answered: the first level of quotes, or the message below.
    pub(super) quoted: Vec<String>,
}

/// Where a message that is not the person's begins.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// The first line that is not theirs.
    first: usize,
    /// The first line of that message's text.
    text: usize,
}

/// Divides a message.
pub(super) fn divide(lines: &[Line]) -> Divided {
    let cut = first_cut(lines);
    let (above, below) = match cut {
        Some(cut) => (&lines[..cut.first], &lines[cut.text.min(lines.len())..]),
        None => (lines, &lines[lines.len()..]),
    };
    let mut quoted = first_level(above);
    if quoted.is_empty() {
        let end = first_cut(below).map_or(below.len(), |cut| cut.first);
        quoted = unquoted(&below[..end]);
    }
    let introduced = attribution::length_at_start(&quoted);
    quoted.drain(..introduced);
    Divided { own: blocks(above), quoted }
}

/// Whether a message shows where somebody else's words are.
pub(super) fn has_others(lines: &[Line]) -> bool {
    lines.iter().any(|line| line.is_quoted() && !line.is_blank()) || first_cut(lines).is_some()
}

fn first_cut(lines: &[Line]) -> Option<Cut> {
    (0..lines.len()).find_map(|at| cut_at(lines, at))
}

fn cut_at(lines: &[Line], at: usize) -> Option<Cut> {
    let line = &lines[at];
    if line.is_quoted() {
        return None;
    }
    if line.mark == Mark::Cut {
        return Some(Cut { first: at, text: below_header(lines, at + 1) });
    }
    if let Some(block) = block_below_rule(lines, at) {
        return Some(Cut { first: block.first, text: block.end });
    }
    if line.is_blank() || line.mark == Mark::Signature {
        return None;
    }
    if is_separator(&line.text) {
        return Some(Cut { first: at, text: below_header(lines, at + 1) });
    }
    if let Some(block) = block_at(lines, at) {
        return Some(Cut { first: block.first, text: block.end });
    }
    let found = attribution::sure(lines, at)?;
    (!is_quote_near(lines, at)).then_some(Cut { first: found.first, text: at + 1 })
}

/// The line below the header that begins within the next few lines from `from`.
fn below_header(lines: &[Line], from: usize) -> usize {
    let rest = lines.get(from..).unwrap_or_default();
    let skipped = rest.iter().take(GAP_LINES_MAX + 1).take_while(|line| line.is_blank()).count();
    let start = from + skipped;
    let block = if start < lines.len() { block_at(lines, start) } else { None };
    block.map_or(from, |block| block.end)
}

/// Whether a quote follows the line `at`, perhaps below a greeting.
fn is_quote_near(lines: &[Line], at: usize) -> bool {
    let mut next = lines[at + 1..].iter().filter(|line| !line.is_blank());
    let Some(first) = next.next() else { return false };
    let text = first.text.trim_end();
    let is_greeting = text.chars().count() <= GREETING_CHARS_MAX && text.ends_with([',', '!']);
    first.is_quoted() || (is_greeting && next.next().is_some_and(Line::is_quoted))
}

/// What is quoted once, without what is quoted in it.
fn first_level(lines: &[Line]) -> Vec<String> {
    let quoted = || lines.iter().filter(|line| line.is_quoted() && !line.is_blank());
    let Some(level) = quoted().map(|line| line.depth).min() else { return Vec::new() };
    let mut level_lines = Vec::new();
    let mut bytes = 0;
    for line in lines {
        let is_level = line.depth == level && line.mark == Mark::None;
        push(&mut level_lines, if is_level { line.text.as_str() } else { "" });
        bytes += line.text.len();
        if bytes > QUOTED_BYTES_MAX {
            break;
        }
    }
    level_lines
}

/// The text of a message that stands below, without what is quoted in it.
fn unquoted(lines: &[Line]) -> Vec<String> {
    let level = lines.iter().filter(|line| !line.is_blank()).map(|line| line.depth).min();
    let mut texts = Vec::new();
    let mut bytes = 0;
    for line in lines.iter().filter(|line| Some(line.depth) == level) {
        push(&mut texts, &line.text);
        bytes += line.text.len();
        if bytes > QUOTED_BYTES_MAX {
            break;
        }
    }
    texts
}

/// Appends a line; of empty lines, one.
fn push(lines: &mut Vec<String>, text: &str) {
    let is_blank = |text: &str| text.trim().is_empty();
    if !is_blank(text) || lines.last().is_some_and(|last| !is_blank(last)) {
        lines.push(text.to_owned());
    }
}

/// The person's lines, in blocks.
fn blocks(lines: &[Line]) -> Vec<Vec<String>> {
    let own = own_lines(lines);
    let mut blocks: Vec<Vec<String>> = Vec::new();
    let mut block: Vec<String> = Vec::new();
    for (line, is_own) in lines.iter().zip(own) {
        if is_own {
            block.push(line.text.clone());
        } else if !block.is_empty() {
            blocks.push(std::mem::take(&mut block));
        }
    }
    blocks.push(block);
    blocks.retain(|block| block.iter().any(|line| !visible(line).is_empty()));
    blocks
}

/// Of each line, whether the person wrote it.
fn own_lines(lines: &[Line]) -> Vec<bool> {
    let mut own: Vec<bool> = lines
        .iter()
        .map(|line| !line.is_quoted() && matches!(line.mark, Mark::None | Mark::Rule))
        .collect();
    for at in 1..lines.len() {
        if is_overflow(lines, at) {
            own[at] = false;
        }
        if !lines[at].is_quoted() || lines[at - 1].is_quoted() {
            continue;
        }
        let above = (0..at).rev().take(GAP_LINES_MAX + 1).find(|above| !lines[*above].is_blank());
        let introduction = above
            .filter(|above| !lines[*above].is_quoted())
            .and_then(|above| Some((attribution::before_quote(lines, above)?.first, above)));
        if let Some((first, last)) = introduction {
            own[first..=last].fill(false);
        }
    }
    own
}

/// Whether a line is the end of the quoted one above it, which was wrapped on its way.
fn is_overflow(lines: &[Line], at: usize) -> bool {
    let (line, above) = (&lines[at], &lines[at - 1]);
    let Some(below) = lines.get(at + 1) else { return false };
    let is_between = above.is_quoted() && below.is_quoted() && !line.is_quoted();
    if !is_between || line.is_blank() || below.is_blank() {
        return false;
    }
    let text = visible(&line.text);
    text.starts_with(char::is_lowercase)
        && text.chars().count() <= OVERFLOW_CHARS_MAX
        && above.text.chars().count() >= WRAPPED_CHARS_MIN
        && !above.text.trim_end().ends_with(['.', '?', '!', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::mail::plain;

    fn divided(text: &str) -> Divided {
        divide(&plain::lines(text, false, false))
    }

    /// The person's words on one line a block, without empty lines.
    fn own(text: &str) -> Vec<String> {
        let words = |block: &Vec<String>| {
            let lines = block.iter().map(|line| line.trim()).filter(|line| !line.is_empty());
            lines.collect::<Vec<_>>().join(" / ")
        };
        divided(text).own.iter().map(words).collect()
    }

    fn quoted(text: &str) -> String {
        divided(text).quoted.join("\n").trim().to_owned()
    }

    const ATTRIBUTION: &str = "On Tue, Mar 3, 2020 at 5:06 PM Ann Bee <ann@x.example> wrote:";

    #[test]
    fn an_answer_above_the_quote_is_the_persons() {
        let text = format!("Yes.\n\nMara\n\n{ATTRIBUTION}\n\n> When?\n>\n> Ann\n>> older\n");
        assert_eq!(own(&text), ["Yes. / Mara"]);
        assert_eq!(quoted(&text), "When?\n\nAnn");
    }

    #[test]
    fn an_answer_below_or_between_quotes_is_the_persons() {
        let text = format!("{ATTRIBUTION}\n> When?\n\nAt two.\n\n> Where?\nHere.\n");
        assert_eq!(own(&text), ["At two.", "Here."]);
        assert_eq!(quoted(&text), "When?\n\nWhere?");
    }

    #[test]
    fn a_wrapped_attribution_goes_whole() {
        let text = "Yes.\n\nOn Tue, Mar 3, 2020 at 5:06 PM Ann\nBee <ann@x.example> wrote:\n> Q\n";
        assert_eq!(own(text), ["Yes."]);
        assert_eq!(own("Ann Bee wrote:\n\n> Q\n\nYes.\n"), ["Yes."]);
        assert_eq!(own("Fine\nAnn Bee wrote:\n> Q\n"), ["Fine"]);
    }

    #[test]
    fn below_the_header_of_another_message_nothing_is_the_persons() {
        for above in [
            "-----Original Message-----\nFrom: Ann\nSent: Tuesday\nTo: Mara\nSubject: x\n\n",
            "________________________________\nFrom: Ann\nSent: Tuesday\nTo: M\nSubject: x\n\n",
            "*Von:* Ann <a@x>\n*Gesendet:* Dienstag\n*An:* Mara\n*Betreff:* x\n\n",
            "---------- Forwarded message ---------\nFrom: Ann <a@x>\nDate: x\nSubject: x\nTo: M\n\n",
            "Begin forwarded message:\n\n",
            "On Tuesday, March 3, 2020, 05:06:07 PM GMT, Ann <ann@x.example> wrote:\n\n",
        ] {
            let text = format!("Yes.\n\n{above}Hers.\n\n> old\n\nHers too.\n");
            assert_eq!(own(&text), ["Yes."], "{above}");
            assert_eq!(quoted(&text), "Hers.\n\nHers too.", "{above}");
        }
    }

    #[test]
    fn what_only_looks_like_others_words_stays() {
        for text in [
            "From: the top\nand again.",
            "On Monday I wrote:\nit will rain.\nAnd it rained.",
            "I wrote:\n\nNothing came back.",
            "So we agree:\n>\nYes.",
        ] {
            let expected: Vec<&str> = text.split("\n>\n").collect();
            let expected: Vec<String> = expected
                .iter()
                .map(|text| {
                    let lines = text.lines().filter(|line| !line.is_empty());
                    lines.collect::<Vec<_>>().join(" / ")
                })
                .collect();
            assert_eq!(own(text), expected, "{text}");
        }
    }

    #[test]
    fn the_end_of_a_wrapped_quote_is_not_the_persons() {
        let long = "A quoted line that was too long for the program which sent it on its";
        let text = format!("> {long}\nway\n> and on.\n\nMine.\n");
        assert_eq!(own(&text), ["Mine."]);
    }

    #[test]
    fn what_apple_quotes_begins_with_its_attribution() {
        let text = "Yes.\n\n> On Mar 3, 2020, at 5:06 PM, Ann Bee <ann@x> wrote:\n> \n> When?\n";
        assert_eq!(own(text), ["Yes."]);
        assert_eq!(quoted(text), "When?");
    }

    #[test]
    fn a_hundred_thousand_introductions_cost_little() {
        let sure = format!("{ATTRIBUTION}\n").repeat(100_000);
        assert!(divided(&sure).own.is_empty());
        let weak = "Ann wrote:\n> x\n".repeat(1_000);
        assert!(divided(&weak).own.is_empty());
    }
}
