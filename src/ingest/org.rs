//! Org files, line by line: a parser crate would be more than prose needs. Headings lose their
//! stars, keywords and tags; drawers, planning lines, comments and source code are left out.

use std::collections::HashMap;

use super::dates;
use super::decode::clean_line;
use super::org_inline::plain;
use super::parsed::{Options, Parsed};
use crate::profile::NewDocument;

/// Words before a heading that tell how far a task is; a file may declare its own.
const KEYWORDS: [&str; 8] =
    ["TODO", "DONE", "NEXT", "WAITING", "HOLD", "STARTED", "CANCELLED", "CANCELED"];
/// Words of the file's own among them; every heading is compared with all.
const KEYWORDS_MAX: usize = 100;
/// Blocks that are not the person's prose.
const BLOCKS_LEFT_OUT: [&str; 4] = ["src", "example", "export", "comment"];

/// The file as one document.
pub(super) fn read(text: &str, _options: &Options) -> Parsed {
    let mut parsed = Parsed::default();
    let mut reader = Reader::of(text);
    for (index, line) in text.lines().enumerate() {
        reader.line(index, line);
    }
    reader.put_back_drawer();
    if let Some(written) = &reader.date_not_understood {
        let message = format!("the date {written:?} is not understood; stored without one");
        parsed.note(None, message);
    }
    let body = reader.out.trim();
    if !body.is_empty() {
        let title = clean_line(&reader.title);
        parsed.documents.push(NewDocument {
            key: String::new(),
            kind: "org".into(),
            title: Some(title).filter(|title| !title.is_empty()).or(reader.heading),
            date: reader.date,
            text: body.to_owned(),
            ..NewDocument::default()
        });
    }
    parsed
}

/// What is being read at a line.
#[derive(Debug, Default)]
enum Within {
    #[default]
    Text,
    /// A block that is left out up to its end, by its name.
    Block(String),
    /// A drawer, with its lines so far: one without an end is text after all.
    Drawer(Vec<String>),
    /// Below a heading of this level that is commented out.
    Comment(usize),
}

#[derive(Debug, Default)]
struct Reader {
    within: Within,
    /// The last line that ends a block of this name.
    block_ends: HashMap<String, usize>,
    keywords: Vec<String>,
    title: String,
    heading: Option<String>,
    date: Option<String>,
    date_not_understood: Option<String>,
    out: String,
}

impl Reader {
    /// A reader that knows where the blocks of `text` end: a beginning without an end begins
    /// nothing.
    fn of(text: &str) -> Self {
        let mut reader = Self::default();
        reader.keywords.extend(KEYWORDS.map(str::to_owned));
        for (index, line) in text.lines().enumerate() {
            if let Some((keyword, _)) = keyword(line)
                && let Some(name) = keyword.strip_prefix("end_")
            {
                reader.block_ends.insert(name.to_owned(), index);
            }
        }
        reader
    }

    fn line(&mut self, index: usize, line: &str) {
        match &mut self.within {
            Within::Text => {}
            Within::Block(name) => {
                let is_end = keyword(line).is_some_and(|(keyword, _)| {
                    keyword.strip_prefix("end_") == Some(name.as_str())
                });
                if is_end {
                    self.within = Within::Text;
                }
                return;
            }
            Within::Drawer(_) if line.trim().eq_ignore_ascii_case(":END:") => {
                self.within = Within::Text;
                return;
            }
            Within::Drawer(lines) if heading(line).is_none() => {
                lines.push(line.to_owned());
                return;
            }
            Within::Drawer(_) => self.put_back_drawer(),
            Within::Comment(level) => match heading(line) {
                Some((other, _)) if other <= *level => self.within = Within::Text,
                _ => return,
            },
        }
        if let Some((level, rest)) = heading(line) {
            self.heading(level, rest);
        } else if is_drawer(line) {
            self.within = Within::Drawer(vec![line.to_owned()]);
        } else if let Some((keyword, value)) = keyword(line) {
            self.keyword(index, &keyword, value);
        } else {
            self.text(line);
        }
    }

    /// What looked like a drawer had no end: its lines are text.
    fn put_back_drawer(&mut self) {
        if let Within::Drawer(lines) = std::mem::take(&mut self.within) {
            for line in lines {
                self.text(&line);
            }
        }
    }

    fn keyword(&mut self, index: usize, keyword: &str, value: &str) {
        match keyword {
            "title" => {
                self.title.push(' ');
                self.title.push_str(&plain(value));
            }
            "date" if self.date.is_none() => {
                let written = value.trim().trim_matches(['<', '>', '[', ']']);
                self.date =
                    dates::day(written).or_else(|| dates::day(written.split_whitespace().next()?));
                if self.date.is_none() && !written.is_empty() {
                    self.date_not_understood = Some(written.to_owned());
                }
            }
            "todo" | "seq_todo" | "typ_todo" => {
                let words = value.split_whitespace().filter(|word| *word != "|");
                let words = words.map(|word| word.split('(').next().unwrap_or(word).to_owned());
                let room = KEYWORDS_MAX.saturating_sub(self.keywords.len());
                self.keywords.extend(words.take(room));
            }
            _ => {
                let Some(name) = keyword.strip_prefix("begin_") else { return };
                let ends = self.block_ends.get(name).is_some_and(|end| *end > index);
                if ends && BLOCKS_LEFT_OUT.contains(&name) {
                    self.within = Within::Block(name.to_owned());
                }
            }
        }
    }

    fn heading(&mut self, level: usize, text: &str) {
        let mut text = text.trim();
        if text == "COMMENT" || text.starts_with("COMMENT ") {
            self.within = Within::Comment(level);
            return;
        }
        if let Some((word, rest)) = text.split_once(' ')
            && self.keywords.iter().any(|keyword| keyword == word)
        {
            text = rest.trim_start();
        } else if self.keywords.iter().any(|keyword| keyword == text) {
            text = "";
        }
        if text.starts_with("[#") && text.as_bytes().get(3) == Some(&b']') {
            text = text[4..].trim_start();
        }
        let text = plain(without_counts(without_tags(text)));
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        if self.heading.is_none() {
            self.heading = Some(clean_line(text));
        }
        self.blank();
        self.out.push_str(text);
        self.out.push('\n');
        self.blank();
    }

    fn text(&mut self, line: &str) {
        let text = line.trim();
        if text.is_empty() {
            return self.blank();
        }
        let is_remark = text == "#" || text.starts_with("# ") || text.starts_with("#+");
        if is_remark || is_planning(text) || text.starts_with(": ") {
            return;
        }
        if text.starts_with('|') {
            return self.row(text);
        }
        let text = match text.strip_prefix("+ ") {
            Some(item) => format!("- {item}"),
            None => text.to_owned(),
        };
        let text = plain(&without_box(&text));
        let text = text.trim_end_matches("\\\\").trim();
        if !text.is_empty() {
            self.out.push_str(text);
            self.out.push('\n');
        }
    }

    /// A row of a table; the lines between rows are no text.
    fn row(&mut self, text: &str) {
        if text.starts_with("|-") {
            return;
        }
        let cells: Vec<String> = text
            .trim_matches('|')
            .split('|')
            .map(|cell| plain(cell.trim()))
            .filter(|cell| !cell.is_empty())
            .collect();
        if !cells.is_empty() {
            self.out.push_str(&cells.join(" | "));
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

/// The level and the text of a heading.
fn heading(line: &str) -> Option<(usize, &str)> {
    let rest = line.trim_start_matches('*');
    let level = line.len() - rest.len();
    (level > 0 && rest.starts_with(' ')).then_some((level, rest))
}

/// `#+KEYWORD: value` or `#+BEGIN_X value`, the keyword in small letters.
fn keyword(line: &str) -> Option<(String, &str)> {
    let rest = line.trim_start().strip_prefix("#+")?;
    let end = rest.find([':', ' ']).unwrap_or(rest.len());
    let value = rest[end..].trim_start_matches(':').trim();
    Some((rest[..end].trim_end().to_ascii_lowercase(), value))
}

/// `:NAME:` alone on its line.
fn is_drawer(line: &str) -> bool {
    let inner = line.trim().strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
    let is_name = |char: char| char.is_alphanumeric() || matches!(char, '_' | '-');
    inner.is_some_and(|name| !name.is_empty() && name.chars().all(is_name))
}

fn is_planning(text: &str) -> bool {
    ["SCHEDULED:", "DEADLINE:", "CLOSED:", "CLOCK:"].iter().any(|mark| text.starts_with(mark))
}

/// A heading without `:tag:other:` at its end.
fn without_tags(text: &str) -> &str {
    let Some((rest, last)) = text.rsplit_once(char::is_whitespace) else { return text };
    let is_tag = |char: char| char.is_alphanumeric() || matches!(char, '_' | '@' | '#' | '%' | ':');
    let is_tags = last.len() > 2 && last.starts_with(':') && last.ends_with(':');
    if is_tags && last.chars().all(is_tag) { rest.trim_end() } else { text }
}

/// A heading without `[1/3]` or `[50%]` at its end.
fn without_counts(text: &str) -> &str {
    let Some((rest, last)) = text.rsplit_once('[') else { return text };
    let Some(count) = last.strip_suffix(']') else { return text };
    let is_count = count.contains(['/', '%'])
        && count.chars().all(|char| char.is_ascii_digit() || matches!(char, '/' | '%'));
    if is_count { rest.trim_end() } else { text }
}

/// An item without its check box.
fn without_box(text: &str) -> String {
    match text.split_once(' ') {
        Some((mark, rest)) if mark == "-" || mark.ends_with(['.', ')']) => {
            let boxes = ["[ ] ", "[X] ", "[x] ", "[-] "];
            let rest = boxes.iter().find_map(|empty| rest.strip_prefix(empty)).unwrap_or(rest);
            format!("{mark} {rest}")
        }
        _ => text.to_owned(),
    }
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
    fn title_and_date_come_from_keywords() {
        let document =
            only("#+TITLE: The *long*\n#+title: walk\n#+DATE: <2020-05-06 Wed>\n\nText.");
        assert_eq!(document.title.as_deref(), Some("The long walk"));
        assert_eq!(document.date.as_deref(), Some("2020-05-06"));
        assert_eq!(document.text, "Text.");
        let parsed = read("#+DATE: some day\nText.", &Options::default());
        assert!(parsed.problems[0].message.contains("some day") && !parsed.problems[0].lost);
    }

    #[test]
    fn headings_are_told_without_their_marks() {
        let document = only(
            "#+TODO: ASK(a) | ANSWERED\n* TODO [#A] Write to Ann [1/3] :mail:home:\nText.\n\
             ** ASK Bo\n*** DONE\n* not: a tag:",
        );
        assert_eq!(document.text, "Write to Ann\n\nText.\n\nBo\n\nnot: a tag:");
        assert_eq!(document.title.as_deref(), Some("Write to Ann"));
    }

    #[test]
    fn drawers_planning_and_comments_go() {
        let document = only(
            "* Walk\nSCHEDULED: <2020-05-06 Wed>\n:PROPERTIES:\n:ID: 1\n:END:\nText.\n# a remark\n\
             #+STARTUP: fold\n* COMMENT Hidden\nsecret\n** deeper\nsecret\n* Shown\n: output\nMore.",
        );
        assert_eq!(document.text, "Walk\n\nText.\n\nShown\n\nMore.");
    }

    #[test]
    fn a_drawer_without_an_end_is_text() {
        let document = only("Before.\n:note:\nStill text.\n* Next\n:last:\nMore.");
        assert_eq!(document.text, "Before.\n:note:\nStill text.\n\nNext\n\n:last:\nMore.");
    }

    #[test]
    fn source_code_goes_and_quotes_stay() {
        let document = only(
            "One.\n#+BEGIN_SRC rust\nfn main() {}\n* no heading\n#+end_src\n#+BEGIN_QUOTE\nTwo.\n\
             #+END_QUOTE\n#+BEGIN_SRC sh\nThree, since nothing ends it.",
        );
        assert_eq!(document.text, "One.\nTwo.\nThree, since nothing ends it.");
    }

    #[test]
    fn lists_and_tables_become_plain() {
        let document =
            only("+ [X] bread\n- [ ] cheese\n1. wine\n\n| a | *b* |\n|---+---|\n| c | |");
        assert_eq!(document.text, "- bread\n- cheese\n1. wine\n\na | b\nc");
    }

    #[test]
    fn hostile_files_cost_a_pass_or_two() {
        for piece in [":A:\n", "#+BEGIN_SRC\n", "* COMMENT x\n", "[[", "*a ", "[fn:", "<2020-", "|"]
        {
            let text = format!("Text.\n{}", piece.repeat(200_000));
            let _ = read(&text, &Options::default());
        }
    }

    #[test]
    fn a_file_without_text_gives_nothing() {
        assert!(read("#+TITLE: T\n\n# only a remark\n", &Options::default()).documents.is_empty());
    }
}
