//! Word documents (.docx): the text of `word/document.xml` as it stands with all tracked changes
//! accepted. Comments, notes, headers and footers are left out: they are often somebody else's.

use std::collections::HashMap;

use super::decode::clean_line;
use super::office::{Element, OfficeError, Prose, Step, document, walk};
use super::parsed::{Options, Parsed};
use super::zipped::{MEMBER_BYTES_MAX, member};

/// How the compound files begin that Word encrypts documents into, and wrote before 2007.
const COMPOUND_MARK: [u8; 8] = [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];
const MAIN_PART: &str = "word/document.xml";
/// Elements whose content is no text of the document: what was deleted or moved away, field
/// codes, what an older program would show instead, how things looked before, tab stops, the
/// reading aid above a word.
const LEFT_OUT: [&str; 14] = [
    "del",
    "moveFrom",
    "delText",
    "instrText",
    "delInstrText",
    "Fallback",
    "pPrChange",
    "rPrChange",
    "tblPrChange",
    "trPrChange",
    "sectPr",
    "sectPrChange",
    "tabs",
    "rt",
];

/// What a paragraph is, by its style or by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Look {
    heading: bool,
    item: bool,
    /// A line of a table of contents.
    contents: bool,
}

/// The document as one.
pub(super) fn read(bytes: &[u8], _options: &Options) -> Parsed {
    if bytes.starts_with(&COMPOUND_MARK) {
        return Parsed::failed(
            "it is encrypted, or in Word's format of before 2007; open it and save it as .docx \
             without a password",
        );
    }
    let body = body(bytes).map(|body| (body.prose, body.title));
    document(bytes, "docx", "docProps/core.xml", body)
}

fn body(bytes: &[u8]) -> Result<Body, OfficeError> {
    let looks = match member(bytes, "word/styles.xml", MEMBER_BYTES_MAX)? {
        Some(xml) => looks(&xml)?,
        None => HashMap::new(),
    };
    let xml = match member(bytes, MAIN_PART, MEMBER_BYTES_MAX)? {
        Some(xml) => xml,
        None => other_main_part(bytes)?,
    };
    let mut body = Body { looks, ..Body::default() };
    walk(&xml, |step| body.step(step))?;
    Ok(body)
}

/// The main part under another name, which the package's relations give.
fn other_main_part(bytes: &[u8]) -> Result<Vec<u8>, OfficeError> {
    let missing = OfficeError::Missing(MAIN_PART);
    let Some(relations) = member(bytes, "_rels/.rels", MEMBER_BYTES_MAX)? else {
        return Err(missing);
    };
    let mut target = None;
    walk(&relations, |step| {
        if let Step::Open(element) = step
            && element.name() == "Relationship"
            && element.attribute("Type").is_some_and(|kind| kind.ends_with("/officeDocument"))
        {
            target = element.attribute("Target");
        }
    })?;
    let Some(target) = target else { return Err(missing) };
    member(bytes, target.trim_start_matches('/'), MEMBER_BYTES_MAX)?.ok_or(missing)
}

/// Styles by their ids. The ids follow the language of the program, the names do not.
fn looks(xml: &[u8]) -> Result<HashMap<String, Look>, OfficeError> {
    let mut looks = HashMap::new();
    let mut open: Option<(String, Look)> = None;
    walk(xml, |step| match step {
        Step::Open(element) if element.name() == "style" => {
            open = element.attribute("styleId").map(|id| (id, Look::default()));
        }
        Step::Open(element) => {
            let Some((_, look)) = &mut open else { return };
            match element.name() {
                "name" => {
                    let name = element.attribute("val").unwrap_or_default().to_lowercase();
                    let is_list =
                        name.starts_with("list bullet") || name.starts_with("list number");
                    look.heading = name == "title" || name.starts_with("heading ");
                    look.contents = name.starts_with("toc ");
                    look.item |= is_list;
                }
                "numPr" => look.item = true,
                _ => {}
            }
        }
        Step::Close("style") => looks.extend(open.take()),
        Step::Close(_) | Step::Text(_) => {}
    })?;
    Ok(looks)
}

/// The text under way.
#[derive(Default)]
struct Body {
    prose: Prose,
    looks: HashMap<String, Look>,
    /// Of the paragraphs that are open, the innermost last.
    open: Vec<Look>,
    /// The first heading.
    title: Option<String>,
    depth: usize,
    /// The level of the element that is being left out.
    left_out: Option<usize>,
    in_text: bool,
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
            Step::Text(text) if self.in_text && self.left_out.is_none() => self.prose.push(text),
            Step::Text(_) => {}
        }
    }

    fn open(&mut self, element: &Element<'_>) {
        match element.name() {
            name if LEFT_OUT.contains(&name) => self.left_out = Some(self.depth),
            "p" => {
                self.prose.open_paragraph();
                self.open.push(Look::default());
            }
            "pStyle" => {
                let look = element.attribute("val").and_then(|id| self.looks.get(&id).copied());
                if let (Some(look), Some(open)) = (look, self.open.last_mut()) {
                    *open = look;
                }
            }
            // Number 0 takes a paragraph out of the list that its style puts it in.
            "numId" => {
                if let Some(open) = self.open.last_mut() {
                    open.item = element.attribute("val").is_some_and(|number| number != "0");
                }
            }
            "t" => self.in_text = true,
            "tab" => self.prose.push("\t"),
            "br" | "cr" => self.prose.push("\n"),
            "noBreakHyphen" => self.prose.push("-"),
            "tr" => self.prose.open_row(),
            "tc" => self.prose.open_cell(),
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "t" => self.in_text = false,
            "p" => {
                let look = self.open.pop().unwrap_or_default();
                if look.heading && self.title.is_none() {
                    let title = clean_line(self.prose.paragraph());
                    self.title = (!title.is_empty()).then_some(title);
                }
                if look.contents {
                    self.prose.drop_paragraph();
                } else {
                    self.prose.close_paragraph(look.item && !look.heading);
                }
            }
            "tr" => self.prose.close_row(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::zipped::tests::packed;

    fn document(body: &str, others: &[(&str, &[u8])]) -> Parsed {
        let xml =
            format!("<?xml version=\"1.0\"?><w:document><w:body>{body}</w:body></w:document>");
        let mut members = vec![(MAIN_PART, xml.as_bytes())];
        members.extend(others);
        read(&packed(&members), &Options::default())
    }

    fn text_of(body: &str) -> String {
        let parsed = document(body, &[]);
        assert!(parsed.problems.is_empty(), "{parsed:?}");
        parsed.documents.into_iter().map(|document| document.text).collect()
    }

    #[test]
    fn paragraphs_lists_and_tables_become_text() {
        let body = "<w:p><w:r><w:t>One </w:t></w:r><w:r><w:t xml:space=\"preserve\">&amp; two.\
            </w:t><w:br/><w:t>Next</w:t><w:tab/><w:t>line.</w:t></w:r></w:p>\
            <w:p><w:pPr><w:numPr><w:numId w:val=\"3\"/></w:numPr></w:pPr><w:r><w:t>a</w:t></w:r></w:p>\
            <w:p><w:pPr><w:numPr><w:numId w:val=\"3\"/></w:numPr></w:pPr><w:r><w:t>b</w:t></w:r></w:p>\
            <w:tbl><w:tr><w:tc><w:p><w:r><w:t>x</w:t></w:r></w:p></w:tc>\
            <w:tc><w:p><w:r><w:t>y</w:t></w:r></w:p></w:tc></w:tr></w:tbl>";
        assert_eq!(text_of(body), "One & two.\nNext\tline.\n\n- a\n- b\n\nx | y");
    }

    #[test]
    fn deletions_go_and_insertions_stay() {
        let body = "<w:p><w:pPr><w:tabs><w:tab w:val=\"left\"/></w:tabs><w:rPr><w:del/></w:rPr>\
            </w:pPr><w:r><w:t>Kept</w:t></w:r><w:del><w:r><w:delText> cut</w:delText></w:r>\
            <w:r><w:t> cut too</w:t></w:r></w:del><w:ins><w:r><w:t> and new</w:t></w:r></w:ins>\
            <w:r><w:instrText> PAGE </w:instrText></w:r></w:p>";
        assert_eq!(text_of(body), "Kept and new");
    }

    #[test]
    fn a_text_box_is_taken_once() {
        let box_of = "<w:txbxContent><w:p><w:r><w:t>In the box</w:t></w:r></w:p></w:txbxContent>";
        let body = format!(
            "<w:p><w:r><w:t>Around</w:t><mc:AlternateContent><mc:Choice>{box_of}</mc:Choice>\
             <mc:Fallback>{box_of}</mc:Fallback></mc:AlternateContent></w:r></w:p>"
        );
        assert_eq!(text_of(&body), "In the box\n\nAround");
    }

    #[test]
    fn styles_tell_headings_items_and_contents() {
        let styles = b"<w:styles><w:style w:styleId=\"berschrift1\"><w:name w:val=\"heading 1\"/>\
            <w:pPr><w:numPr/></w:pPr></w:style><w:style w:styleId=\"L\"><w:name w:val=\"List Bullet\"/>\
            </w:style><w:style w:styleId=\"V\"><w:name w:val=\"toc 1\"/></w:style></w:styles>";
        let paragraph = |style: &str, text: &str| {
            format!(
                "<w:p><w:pPr><w:pStyle w:val=\"{style}\"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"
            )
        };
        let body = [
            paragraph("V", "The walk ... 1"),
            paragraph("berschrift1", "The walk"),
            paragraph("L", "shoes"),
        ]
        .concat();
        let parsed = document(&body, &[("word/styles.xml", styles)]);
        assert_eq!(parsed.documents[0].text, "The walk\n\n- shoes");
        assert_eq!(parsed.documents[0].title.as_deref(), Some("The walk"));
    }

    #[test]
    fn properties_come_before_the_heading() {
        let core = b"<cp:p><dc:title>T</dc:title><dcterms:modified>2020-05-06T00:00:00Z\
            </dcterms:modified></cp:p>";
        let parsed = document("<w:p><w:r><w:t>x</w:t></w:r></w:p>", &[("docProps/core.xml", core)]);
        assert_eq!(parsed.documents[0].title.as_deref(), Some("T"));
        assert_eq!(parsed.documents[0].date.as_deref(), Some("2020-05-06"));
    }

    #[test]
    fn the_main_part_may_have_another_name() {
        let relations = b"<Relationships><Relationship Type=\"http://x/officeDocument\" \
            Target=\"/word/document2.xml\"/></Relationships>";
        let main = b"<w:p><w:r><w:t>Here.</w:t></w:r></w:p>";
        let bytes = packed(&[("_rels/.rels", relations), ("word/document2.xml", main)]);
        assert_eq!(read(&bytes, &Options::default()).documents[0].text, "Here.");
    }

    #[test]
    fn what_is_no_word_document_is_named() {
        for (bytes, hint) in [
            (COMPOUND_MARK.to_vec(), "password"),
            (b"plain text".to_vec(), "zip"),
            (packed(&[("content.xml", b"<a/>")]), "word/document.xml"),
            (packed(&[(MAIN_PART, b"<w:p><w:t>x")]), "damaged"),
            (packed(&[(MAIN_PART, b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>")]), "entities"),
        ] {
            let parsed = read(&bytes, &Options::default());
            assert!(parsed.documents.is_empty());
            assert!(parsed.problems[0].lost && parsed.problems[0].message.contains(hint), "{hint}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{}{}", "<w:p>".repeat(5000), "</w:p>".repeat(5000));
        let parsed = document(&deep, &[]);
        assert!(parsed.problems[0].message.contains("levels deep"), "{parsed:?}");
    }
}
