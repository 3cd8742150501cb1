//! Plain text into lines: quote marks counted, flowed paragraphs (RFC 3676) joined.

use std::collections::HashMap;

use super::line::Line;

/// Of longer texts, what is beyond these lines is left out.
const LINES_MAX: usize = 200_000;
/// The separator of a signature, which is never joined with what follows.
const SIGNATURE_DELIMITER: &str = "-- ";

/// The lines of `text`, quote marks removed.
pub(super) fn lines(text: &str, is_flowed: bool, deletes_space: bool) -> Vec<Line> {
    if is_flowed {
        return flowed(text, deletes_space);
    }
    let initials = initials_of_quotes(text);
    let mut lines: Vec<Line> = Vec::new();
    let mut is_bar_quote = false;
    let mut escaped = Vec::new();
    for raw in text.lines().take(LINES_MAX) {
        let (depth, rest) = quote_marks(raw.strip_prefix(' ').filter(is_marked).unwrap_or(raw));
        let unbarred = bar_quoted(raw);
        is_bar_quote = unbarred.is_some() && (is_bar_quote || introduces(&lines));
        let line = match (depth, unbarred, initialled(raw)) {
            (0, Some(rest), _) if is_bar_quote => Line::new(1, rest),
            (0, _, Some((who, rest))) if initials.contains_key(who) => Line::new(1, rest),
            _ => Line::new(depth, rest),
        };
        if raw.starts_with(">From ") {
            escaped.push(lines.len());
        }
        lines.push(line);
    }
    unescape_from(&mut lines, &escaped);
    lines
}

/// How deep `line` is quoted, and its text.
pub(super) fn quote_marks(line: &str) -> (usize, &str) {
    let mut depth = 0;
    let mut rest = line;
    while let Some(after) = rest.strip_prefix('>') {
        depth += 1;
        rest = after.strip_prefix(' ').filter(is_marked).unwrap_or(after);
    }
    if depth > 0 {
        rest = rest.strip_prefix(' ').unwrap_or(rest);
    }
    (depth, rest)
}

fn is_marked(text: &&str) -> bool {
    text.starts_with('>')
}

fn flowed(text: &str, deletes_space: bool) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut goes_on = false;
    for raw in text.lines().take(LINES_MAX) {
        let (depth, rest) = match quote_marks(raw) {
            (0, rest) => (0, rest.strip_prefix(' ').unwrap_or(rest)),
            quoted => quoted,
        };
        let is_delimiter = rest == SIGNATURE_DELIMITER;
        let is_soft = rest.ends_with(' ') && !is_delimiter && !rest.trim().is_empty();
        let content = if is_soft && deletes_space { &rest[..rest.len() - 1] } else { rest };
        match lines.last_mut() {
            Some(last)
                if goes_on && last.depth == depth && !is_delimiter && !rest.trim().is_empty() =>
            {
                last.text.push_str(content);
            }
            _ => lines.push(Line::new(depth, content)),
        }
        goes_on = is_soft;
    }
    lines
}

/// Whether the last text of `lines` announces something.
fn introduces(lines: &[Line]) -> bool {
    let last = lines.iter().rev().take(3).find(|line| !line.is_blank());
    last.is_some_and(|line| line.text.trim_end().ends_with(':'))
}

/// Quoted with a bar; a row of a table has another at its end.
fn bar_quoted(raw: &str) -> Option<&str> {
    let rest = raw.strip_prefix('|')?;
    let is_row = raw.trim_end().len() > 1 && raw.trim_end().ends_with('|');
    (!is_row).then(|| rest.strip_prefix(' ').unwrap_or(rest))
}

/// Quoted with the initials of the writer, `MV> `: who, and the text.
fn initialled(raw: &str) -> Option<(&str, &str)> {
    let (who, rest) = raw.trim_start().split_once('>')?;
    let is_who = (1..=4).contains(&who.len())
        && who.starts_with(|char: char| char.is_ascii_uppercase())
        && who.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_who.then(|| (who, rest.trim_start_matches(['>', ' '])))
}

/// The initials that several lines are quoted with.
fn initials_of_quotes(text: &str) -> HashMap<&str, usize> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (who, _) in text.lines().filter_map(initialled) {
        *counts.entry(who).or_default() += 1;
    }
    counts.retain(|_, count| *count > 1);
    counts
}

/// A lone `>From` is no quote: on its way a mailbox had it escaped.
fn unescape_from(lines: &mut [Line], escaped: &[usize]) {
    for &at in escaped {
        let is_lone = lines[at].depth == 1
            && !at.checked_sub(1).is_some_and(|before| lines[before].is_quoted())
            && !lines.get(at + 1).is_some_and(Line::is_quoted)
            && !introduces(&lines[..at]);
        if is_lone {
            lines[at].depth = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, is_flowed: bool) -> Vec<(usize, String)> {
        lines(text, is_flowed, false).into_iter().map(|line| (line.depth, line.text)).collect()
    }

    fn expected(lines: &[(usize, &str)]) -> Vec<(usize, String)> {
        lines.iter().map(|(depth, text)| (*depth, (*text).to_owned())).collect()
    }

    #[test]
    fn quote_marks_are_counted() {
        assert_eq!(
            read("a\n> b\n>> c\n> > > d\n>e\n > f\n>\n", false),
            expected(&[(0, "a"), (1, "b"), (2, "c"), (3, "d"), (1, "e"), (1, "f"), (1, "")])
        );
    }

    #[test]
    fn flowed_lines_are_joined_within_their_quote() {
        let text = "One \nparagraph.\n>From here \n> on.\n >not a quote\n-- \nMara\n\nlast \n\nx\n";
        assert_eq!(
            read(text, true),
            expected(&[
                (0, "One paragraph."),
                (1, "From here on."),
                (0, ">not a quote"),
                (0, "-- "),
                (0, "Mara"),
                (0, ""),
                (0, "last "),
                (0, ""),
                (0, "x"),
            ])
        );
        let joined = lines("日本 \n語\n", true, true);
        assert_eq!(joined[0].text, "日本語");
    }

    #[test]
    fn bars_and_initials_quote_where_it_is_plain_that_they_do() {
        assert_eq!(
            read("Ann wrote:\n| When?\nAt two.\n", false),
            expected(&[(0, "Ann wrote:"), (1, "When?"), (0, "At two.")])
        );
        assert_eq!(read("| a | b |\n", false), expected(&[(0, "| a | b |")]));
        assert_eq!(
            read("AB> When?\nAt two.\nAB> Where?\nX> y\n", false),
            expected(&[(1, "When?"), (0, "At two."), (1, "Where?"), (0, "X> y")])
        );
    }

    #[test]
    fn a_line_that_a_mailbox_escaped_is_no_quote() {
        assert_eq!(
            read("Hi.\n\n>From here on it rains.\n", false)[2],
            (0, "From here on it rains.".to_owned())
        );
        assert_eq!(read("Hi.\n\n> From then on.\n", false)[2].0, 1);
    }
}
