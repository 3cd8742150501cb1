//! reStructuredText, line by line: a parser crate would be more than prose needs. Of directives
//! only admonitions keep their text; code, comments, targets and markup are left out.

use super::dates;
use super::decode::clean_line;
use super::parsed::{Options, Parsed};
use super::rst_inline::plain;
use crate::profile::NewDocument;

/// Directives whose text is the person's.
const KEPT: [&str; 21] = [
    "admonition",
    "attention",
    "caution",
    "centered",
    "danger",
    "deprecated",
    "epigraph",
    "error",
    "highlights",
    "hint",
    "important",
    "note",
    "pull-quote",
    "rubric",
    "seealso",
    "sidebar",
    "tip",
    "topic",
    "versionadded",
    "versionchanged",
    "warning",
];
/// Shortest line below a title that is longer than it.
const ADORNMENT_MIN: usize = 4;

/// The file as one document.
pub(super) fn read(text: &str, _options: &Options) -> Parsed {
    let mut parsed = Parsed::default();
    let mut reader = Reader { lines: text.lines().collect(), is_top: true, ..Reader::default() };
    while reader.at < reader.lines.len() {
        reader.step();
    }
    if let Some(written) = &reader.date_not_understood {
        let message = format!("the date {written:?} is not understood; stored without one");
        parsed.note(None, message);
    }
    let body = reader.out.trim();
    if !body.is_empty() {
        parsed.documents.push(NewDocument {
            key: String::new(),
            kind: "rst".into(),
            title: reader.field_title.or(reader.title),
            date: reader.date,
            text: body.to_owned(),
            ..NewDocument::default()
        });
    }
    parsed
}

#[derive(Debug, Default)]
struct Reader<'a> {
    lines: Vec<&'a str>,
    at: usize,
    /// Whether nothing but titles and fields has come yet.
    is_top: bool,
    /// The first section's.
    title: Option<String>,
    field_title: Option<String>,
    date: Option<String>,
    date_not_understood: Option<String>,
    out: String,
}

impl<'a> Reader<'a> {
    /// The line `ahead` of this one; blank beyond the end.
    fn peek(&self, ahead: usize) -> &'a str {
        self.lines.get(self.at + ahead).map_or("", |line| line.trim_end())
    }

    /// Reads one element, or one line of text.
    fn step(&mut self) {
        let line = self.peek(0);
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if text.is_empty() {
            self.at += 1;
            return self.blank();
        }
        if self.heading() || (self.is_top && self.field(text)) {
            return;
        }
        self.is_top = false;
        if text == ".." || text.starts_with(".. ") || text.starts_with("__ ") {
            return self.explicit(text, indent);
        }
        if text.starts_with(">>> ") {
            while !self.peek(0).is_empty() {
                self.at += 1;
            }
            return;
        }
        self.at += 1;
        if is_adornment(text) || is_border(text) {
            return self.blank();
        }
        if let Some(row) =
            text.strip_prefix('|').filter(|row| row.is_empty() || row.starts_with(' '))
        {
            return self.row(row);
        }
        let before_literal = text.strip_suffix("::").filter(|_| self.peek(0).is_empty());
        match before_literal {
            None => self.put(text),
            Some(text) => {
                match text.strip_suffix(' ') {
                    Some(text) => self.put(text),
                    None if text.is_empty() => {}
                    None => self.put(&format!("{text}:")),
                }
                self.skip_body(indent);
            }
        }
    }

    /// A title with a line below it, and perhaps one above.
    fn heading(&mut self) -> bool {
        let first = self.peek(0);
        let (title, length) = if is_adornment(first) && self.peek(2) == first {
            (self.peek(1), 3)
        } else if is_adornment(self.peek(1)) && !first.starts_with(' ') && self.is_after_blank() {
            let width = first.chars().count();
            let below = self.peek(1).len();
            if below < width.min(ADORNMENT_MIN) {
                return false;
            }
            (first, 2)
        } else {
            return false;
        };
        if title.trim().is_empty() || is_adornment(title) {
            return false;
        }
        self.at += length;
        let title = plain(title.trim());
        if self.title.is_none() {
            self.title = Some(clean_line(&title)).filter(|title| !title.is_empty());
        }
        self.blank();
        self.out.push_str(&title);
        self.out.push('\n');
        self.blank();
        true
    }

    fn is_after_blank(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|before| self.lines.get(before));
        before.is_none_or(|line| line.trim().is_empty() || is_adornment(line.trim_end()))
    }

    /// `:name: value` at the top, with the indented lines that go on with it.
    fn field(&mut self, text: &str) -> bool {
        let Some((name, value)) = text.strip_prefix(':').and_then(|rest| rest.split_once(':'))
        else {
            return false;
        };
        let is_name = |char: char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_');
        if name.is_empty() || !name.chars().all(is_name) || value.starts_with('`') {
            return false;
        }
        let value = value.trim();
        match name.to_lowercase().as_str() {
            "date" if self.date.is_none() => {
                self.date = dates::day(value);
                if self.date.is_none() && !value.is_empty() {
                    self.date_not_understood = Some(value.to_owned());
                }
            }
            "title" => {
                self.field_title =
                    Some(clean_line(&plain(value))).filter(|title| !title.is_empty());
            }
            _ => {}
        }
        self.at += 1;
        while self.peek(0).starts_with([' ', '\t']) {
            self.at += 1;
        }
        true
    }

    /// What begins with two dots: a directive, a target, a note, or a comment.
    fn explicit(&mut self, text: &str, indent: usize) {
        self.at += 1;
        let rest = text[2..].trim_start();
        if rest.is_empty() && text == ".." && self.peek(0).is_empty() {
            // An empty comment: what is indented below is none of it.
            return;
        }
        if let Some((name, argument)) = rest.split_once("::")
            && !name.is_empty()
            && name.chars().all(|char| char.is_alphanumeric() || matches!(char, '-' | '_' | ':'))
        {
            if !KEPT.contains(&name.to_lowercase().as_str()) {
                return self.skip_body(indent);
            }
            self.blank();
            self.put(argument.trim());
            while is_option(self.peek(0).trim_start()) {
                self.at += 1;
            }
            return;
        }
        // The text of a note goes on below, indented.
        if rest.starts_with('[')
            && let Some((_, note)) = rest.split_once(']')
        {
            self.blank();
            return self.put(note.trim());
        }
        self.skip_body(indent);
    }

    /// Passes over blank lines, and lines further in than `indent`.
    fn skip_body(&mut self, indent: usize) {
        while self.at < self.lines.len() {
            let line = self.peek(0);
            let text = line.trim_start();
            if !text.is_empty() && line.len() - text.len() <= indent {
                break;
            }
            self.at += 1;
        }
        self.blank();
    }

    /// A row of a table, or a line that keeps its end.
    fn row(&mut self, row: &str) {
        let cells: Vec<&str> = match row.trim_end().strip_suffix('|') {
            Some(cells) => {
                cells.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect()
            }
            None => vec![row.trim()],
        };
        self.put(&cells.join(" | "));
    }

    fn put(&mut self, text: &str) {
        let (mark, text) = match text.split_once(' ') {
            Some(("*" | "-" | "+" | "•" | "#.", rest)) => ("- ", rest.trim_start()),
            _ => ("", text),
        };
        let text = plain(text);
        let text = text.trim();
        if !text.is_empty() {
            self.out.push_str(mark);
            self.out.push_str(text);
            self.out.push('\n');
        }
    }

    /// At most one blank line, and none at the beginning.
    fn blank(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }
}

/// A line of one sign, as below titles and between parts.
fn is_adornment(line: &str) -> bool {
    let mut bytes = line.bytes();
    let Some(first) = bytes.next() else { return false };
    line.len() >= 2
        && first.is_ascii_punctuation()
        && bytes.all(|byte| byte == first)
        && line != "::"
}

/// `:name: value` below a directive; a role looks alike up to its text.
fn is_option(text: &str) -> bool {
    let option = text.strip_prefix(':').and_then(|rest| rest.split_once(':'));
    option.is_some_and(|(name, value)| !name.contains(' ') && !value.starts_with('`'))
}

/// A line of a table's frame: `+----+---+` or `====  ===`.
fn is_border(text: &str) -> bool {
    let is_grid = text.starts_with("+-") || text.starts_with("+=");
    let is_simple = text.starts_with("==");
    (is_grid && text.bytes().all(|byte| matches!(byte, b'+' | b'-' | b'=')))
        || (is_simple && text.bytes().all(|byte| matches!(byte, b'=' | b' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> NewDocument {
        let mut parsed = read(text, &Options::default());
        assert_eq!(parsed.documents.len(), 1, "{parsed:?}");
        parsed.documents.remove(0)
    }

    #[test]
    fn title_and_date_stand_at_the_top() {
        let document = only(
            "========\nThe walk\n========\n:date: 2020-05-06 10:00\n:tags: a,\n   b\n\nText.\n\n\
             Part *one*\n----------\n\n:param x: stays\n",
        );
        assert_eq!(document.title.as_deref(), Some("The walk"));
        assert_eq!(document.date.as_deref(), Some("2020-05-06"));
        assert_eq!(document.text, "The walk\n\nText.\n\nPart one\n\n:param x: stays");
        let parsed = read(":date: soon\n\nText.", &Options::default());
        assert!(parsed.problems[0].message.contains("soon") && !parsed.problems[0].lost);
    }

    #[test]
    fn admonitions_keep_their_text_and_other_directives_go() {
        let document = only(
            "One.\n\n.. image:: cat.png\n   :alt: a cat\n\n.. note:: Mind the *gap*.\n   :class: x\n\n   \
             It is wide.\n\n.. code-block:: python\n\n   print(1)\n\n   print(2)\n\n.. toctree::\n   \
             other\n\nTwo.",
        );
        assert_eq!(document.text, "One.\n\nMind the gap.\n\nIt is wide.\n\nTwo.");
    }

    #[test]
    fn comments_targets_and_code_go() {
        let document = only(
            ".. _start:\n.. a remark\n   that goes on\n\nOne. See this::\n\n    code\n\n    code\n\n\
             Two ::\n\n  code\n\n::\n\n  code\n\n>>> 1 + 1\n2\n\n..\n\n   A quote.\n\n__ https://a.example\n\n\
             .. [1] A note.\n",
        );
        assert_eq!(document.text, "One. See this:\n\nTwo\n\nA quote.\n\nA note.");
    }

    #[test]
    fn lists_and_tables_become_plain() {
        let document = only(
            "* bread\n* cheese\n  from Ann\n\n#. wine\n\n+---+---+\n| a | b |\n+===+===+\n| c |   |\n\
             +---+---+\n\n=== ===\nx   y\n=== ===\n\n| A line,\n| and one.\n",
        );
        assert_eq!(
            document.text,
            "- bread\n- cheese\nfrom Ann\n\n- wine\n\na | b\n\nc\n\nx   y\n\nA line,\nand one."
        );
    }

    #[test]
    fn parts_are_no_titles() {
        let document = only("One.\n\n----\n\nTwo.\n");
        assert_eq!(document.title, None);
        assert_eq!(document.text, "One.\n\nTwo.");
    }

    #[test]
    fn hostile_files_cost_a_pass_or_two() {
        for piece in [".. a\n", "==\n", ":a: b\n", "a::\n\n", "  ", "`a <", ":r:`", "*a ", "|\n"] {
            let text = format!("{}\nText.", piece.repeat(200_000));
            let _ = read(&text, &Options::default());
        }
    }
}
