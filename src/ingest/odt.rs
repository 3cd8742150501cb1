//! OpenDocument texts (.odt): the text of `content.xml` with all tracked changes accepted.
//! Comments, notes and generated lists (contents, index) are left out.

use std::collections::HashSet;

use super::decode::clean_line;
use super::office::{Element, OfficeError, Prose, Step, document, walk};
use super::parsed::{Options, Parsed};
use super::zipped::{MEMBER_BYTES_MAX, MemberError, member};

const MAIN_PART: &str = "content.xml";
/// What the manifest of an encrypted document says of its parts.
const ENCRYPTION_MARK: &[u8] = b"encryption-data";
/// Most spaces that one element stands for.
const SPACES_MAX: u64 = 16;
const LEFT_OUT: [&str; 13] = [
    "tracked-changes",
    "annotation",
    "note",
    "notes",
    "table-of-content",
    "alphabetical-index",
    "bibliography",
    "illustration-index",
    "table-index",
    "object-index",
    "user-index",
    "forms",
    "ruby-text",
];

/// The document as one.
pub(super) fn read(bytes: &[u8], _options: &Options) -> Parsed {
    let body = body(bytes).map(|body| (body.prose, body.title));
    document(bytes, "odt", "meta.xml", body)
}

fn body(bytes: &[u8]) -> Result<Body, OfficeError> {
    // Its parts are encrypted one by one: the zip file itself does not know.
    if let Some(manifest) = member(bytes, "META-INF/manifest.xml", MEMBER_BYTES_MAX)?
        && manifest.windows(ENCRYPTION_MARK.len()).any(|window| window == ENCRYPTION_MARK)
    {
        return Err(MemberError::Encrypted.into());
    }
    let xml = member(bytes, MAIN_PART, MEMBER_BYTES_MAX)?.ok_or(OfficeError::Missing(MAIN_PART))?;
    let mut body = Body::default();
    walk(&xml, |step| body.step(step))?;
    Ok(body)
}

/// The text under way.
#[derive(Default)]
struct Body {
    prose: Prose,
    /// Styles that are, or stand on, the style of titles.
    title_styles: HashSet<String>,
    /// Whether the paragraph that is open is a title or heading, the innermost last.
    open: Vec<bool>,
    /// Of the list items that are open, whether the mark is still to come.
    items: Vec<bool>,
    /// The first title or heading.
    title: Option<String>,
    depth: usize,
    /// The level of the element that is being left out.
    left_out: Option<usize>,
}

impl Body {
    fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Open(element) => {
                self.depth += 1;
                if self.left_out.is_none() {
                    self.open(&element);
                }
            }
            Step::Close(name) => {
                if self.left_out.is_none() {
                    self.close(name);
                } else if self.left_out == Some(self.depth) {
                    self.left_out = None;
                }
                self.depth = self.depth.saturating_sub(1);
            }
            Step::Text(text) if self.left_out.is_none() => self.push(text),
            Step::Text(_) => {}
        }
    }

    fn open(&mut self, element: &Element<'_>) {
        match element.name() {
            name if LEFT_OUT.contains(&name) => self.left_out = Some(self.depth),
            "style" => {
                let name = element.attribute("name").unwrap_or_default();
                if element.attribute("parent-style-name").is_some_and(|parent| parent == "Title") {
                    self.title_styles.insert(name);
                }
            }
            "p" => {
                let style = element.attribute("style-name").unwrap_or_default();
                self.prose.open_paragraph();
                self.open.push(style == "Title" || self.title_styles.contains(&style));
            }
            "h" => {
                self.prose.open_paragraph();
                self.open.push(true);
            }
            // What stands in a frame beside its paragraphs describes a picture.
            "frame" => self.prose.open_paragraph(),
            "s" => {
                let count = element.attribute("c").and_then(|count| count.parse().ok());
                for _ in 0..count.unwrap_or(1_u64).min(SPACES_MAX) {
                    self.prose.push(" ");
                }
            }
            "tab" => self.prose.push("\t"),
            "line-break" => self.prose.push("\n"),
            "list-item" => self.items.push(true),
            "table-row" => self.prose.open_row(),
            "table-cell" | "covered-table-cell" => self.prose.open_cell(),
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "p" | "h" => self.close_paragraph(),
            "frame" => self.prose.drop_paragraph(),
            "list-item" => {
                self.items.pop();
            }
            "table-row" => self.prose.close_row(),
            _ => {}
        }
    }

    fn close_paragraph(&mut self) {
        let is_heading = self.open.pop().unwrap_or_default();
        let is_blank = self.prose.paragraph().trim().is_empty();
        if is_heading && !is_blank && self.title.is_none() {
            self.title = Some(clean_line(self.prose.paragraph()));
        }
        let mark = self.items.last_mut().filter(|_| !is_blank).map(std::mem::take);
        // Chapter numbers come as lists around the headings.
        self.prose.close_paragraph(mark == Some(true) && !is_heading);
    }

    /// Adds text; white space in the file, new lines too, is one space.
    fn push(&mut self, text: &str) {
        let before = self.prose.paragraph();
        let mut after_space = before.is_empty() || before.ends_with(char::is_whitespace);
        let mut run = String::with_capacity(text.len());
        for char in text.chars() {
            let is_space = matches!(char, ' ' | '\t' | '\n' | '\r');
            if !is_space {
                run.push(char);
            } else if !after_space {
                run.push(' ');
            }
            after_space = is_space;
        }
        self.prose.push(&run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::zipped::tests::packed;

    fn document(body: &str) -> Parsed {
        let xml = format!(
            "<?xml version=\"1.0\"?><office:document-content><office:body><office:text>{body}\
             </office:text></office:body></office:document-content>"
        );
        read(&packed(&[(MAIN_PART, xml.as_bytes())]), &Options::default())
    }

    fn text_of(body: &str) -> String {
        let parsed = document(body);
        assert!(parsed.problems.is_empty(), "{parsed:?}");
        parsed.documents.into_iter().map(|document| document.text).collect()
    }

    #[test]
    fn paragraphs_lists_and_tables_become_text() {
        let body = "<text:h>Walk</text:h><text:p>One\n  <text:span>two</text:span> &amp;\
            <text:s text:c=\"2\"/>three<text:line-break/>four.</text:p>\
            <text:list><text:list-item><text:p>a</text:p><text:p>more</text:p></text:list-item>\
            <text:list-item><text:p>b</text:p></text:list-item></text:list>\
            <table:table-row><table:table-cell><text:p>x</text:p></table:table-cell>\
            <table:table-cell><text:p>y</text:p></table:table-cell></table:table-row>";
        let expected = "Walk\n\nOne two &  three\nfour.\n\n- a\n\nmore\n\n- b\n\nx | y";
        assert_eq!(text_of(body), expected);
    }

    #[test]
    fn deletions_notes_and_descriptions_go() {
        let body = "<text:tracked-changes><text:changed-region><text:p>cut</text:p>\
            </text:changed-region></text:tracked-changes><text:p>Kept<office:annotation>\
            <text:p>who?</text:p></office:annotation><text:note><text:p>n</text:p></text:note>\
            <draw:frame><svg:title>a cat</svg:title><draw:text-box><text:p>Boxed</text:p>\
            </draw:text-box></draw:frame>.</text:p>";
        assert_eq!(text_of(body), "Boxed\n\nKept.");
    }

    #[test]
    fn a_count_of_spaces_is_bounded() {
        for count in ["999999999", "99999999999999999999999", "-1", "x"] {
            let text = text_of(&format!("<text:p>a<text:s text:c=\"{count}\"/>b</text:p>"));
            assert!(text.len() < 32, "{count}");
        }
    }

    #[test]
    fn title_and_date_come_from_the_properties_else_the_title_from_the_text() {
        let content = b"<o><style:style style:name=\"P1\" style:parent-style-name=\"Title\"/>\
            <text:p text:style-name=\"P1\">The title</text:p><text:h>Part</text:h></o>";
        let meta = b"<o><dc:title>T</dc:title><meta:creation-date>2020-05-06T01:02:03\
            </meta:creation-date><dc:date>2021-01-01</dc:date></o>";
        let bytes = packed(&[(MAIN_PART, content), ("meta.xml", meta)]);
        let document = read(&bytes, &Options::default()).documents.remove(0);
        assert_eq!(document.title.as_deref(), Some("T"));
        assert_eq!(document.date.as_deref(), Some("2020-05-06"));
        let document = read(&packed(&[(MAIN_PART, content)]), &Options::default());
        assert_eq!(document.documents[0].title.as_deref(), Some("The title"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let manifest = b"<m:file-entry><m:encryption-data/></m:file-entry>";
        let encrypted =
            packed(&[("META-INF/manifest.xml", manifest), (MAIN_PART, b"\x01\x02\x03")]);
        for (bytes, hint) in [
            (encrypted, "encrypted"),
            (packed(&[("word/document.xml", b"<a/>")]), "content.xml"),
            (packed(&[(MAIN_PART, &vec![b' '; 4 << 20])]), "grows"),
            (packed(&[(MAIN_PART, b"<!DOCTYPE o [<!ENTITY e 'x'>]><o>&e;</o>")]), "entities"),
        ] {
            let parsed = read(&bytes, &Options::default());
            assert!(parsed.documents.is_empty());
            assert!(parsed.problems[0].lost && parsed.problems[0].message.contains(hint), "{hint}");
        }
    }
}
