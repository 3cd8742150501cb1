//! What .docx and .odt share: XML as a flat run of steps, and paragraphs, list items and table
//! rows put together into text. It knows neither format's elements, and expands no XML entity.

use encoding_rs::UTF_8;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use thiserror::Error;

use super::dates;
use super::decode::{clean, clean_line};
use super::parsed::Parsed;
use super::zipped::{MEMBER_BYTES_MAX, MemberError, member};
use crate::profile::NewDocument;

/// Levels of XML elements; tables in tables in text boxes reach about fifty.
const DEPTH_MAX: usize = 256;

/// Why a document cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum OfficeError {
    /// The zip file around it.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The part with the text is not there.
    #[error("there is no {0} in it; is it another kind of file under this name?")]
    Missing(&'static str),
    /// XML that does not parse.
    #[error("the XML in it is damaged; open it and save it again")]
    Damaged,
    /// A document type or an entity of its own.
    #[error("its XML declares a document type or entities of its own, which is not read")]
    Declaration,
    /// Elements in elements in elements.
    #[error("its XML is nested more than {} levels deep", DEPTH_MAX)]
    Nested,
}

/// An element that begins.
pub(super) struct Element<'a> {
    start: &'a BytesStart<'a>,
}

impl Element<'_> {
    /// Its name without the prefix of its namespace.
    pub(super) fn name(&self) -> &str {
        self.start.local_name().into_inner()
    }

    /// The value of the attribute called `name`, whatever its prefix.
    pub(super) fn attribute(&self, name: &str) -> Option<String> {
        let mut attributes = self.start.attributes();
        // The check compares every attribute with every other.
        attributes.with_checks(false);
        attributes
            .map_while(Result::ok)
            .find(|attribute| attribute.key.local_name().into_inner() == name)
            .and_then(|attribute| attribute.normalized_value(XmlVersion::Implicit1_0).ok())
            .map(|value| value.into_owned())
    }
}

/// One step through XML. An empty element opens and closes.
pub(super) enum Step<'a> {
    Open(Element<'a>),
    /// The name of the element that ends, without prefix.
    Close(&'a str),
    Text(&'a str),
}

/// Tells `visit` every step through `xml`.
///
/// # Errors
/// Where the XML does not parse, is nested too deeply, or declares a document type or entities.
pub(super) fn walk(xml: &[u8], mut visit: impl FnMut(Step<'_>)) -> Result<(), OfficeError> {
    // Office programs write UTF-8, or UTF-16 with a mark, which this honours.
    let (xml, _, _) = UTF_8.decode(xml);
    let mut reader = Reader::from_str(&xml);
    let mut depth = 0_usize;
    loop {
        match reader.read_event().map_err(|_| OfficeError::Damaged)? {
            Event::Start(start) => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(OfficeError::Nested);
                }
                visit(Step::Open(Element { start: &start }));
            }
            Event::Empty(start) => {
                visit(Step::Open(Element { start: &start }));
                visit(Step::Close(start.local_name().into_inner()));
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                visit(Step::Close(end.local_name().into_inner()));
            }
            Event::Text(text) => visit(Step::Text(&text.xml10_content())),
            Event::CData(text) => visit(Step::Text(&text.xml10_content())),
            Event::GeneralRef(reference) => {
                let char = character(&reference)?;
                visit(Step::Text(char.encode_utf8(&mut [0; 4])));
            }
            Event::DocType(_) => return Err(OfficeError::Declaration),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof if depth == 0 => return Ok(()),
            Event::Eof => return Err(OfficeError::Damaged),
        }
    }
}

/// The character that `&…;` stands for: by number, or one of the five names that XML knows.
fn character(reference: &BytesRef<'_>) -> Result<char, OfficeError> {
    if let Some(char) = reference.resolve_char_ref().map_err(|_| OfficeError::Damaged)? {
        return Ok(char);
    }
    resolve_xml_entity(reference)
        .and_then(|text| text.chars().next())
        .ok_or(OfficeError::Declaration)
}

/// How a piece of text stands among its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Paragraph,
    Item,
    Row,
}

/// Text put together from paragraphs, list items and table rows as they open and close.
#[derive(Debug, Default)]
pub(super) struct Prose {
    text: String,
    last: Option<Block>,
    /// Paragraphs that are open: a text box has its own inside the one that it hangs on.
    open: Vec<String>,
    /// Rows that are open, each with its cells so far, each with its paragraphs.
    rows: Vec<Vec<Vec<String>>>,
}

impl Prose {
    pub(super) fn open_paragraph(&mut self) {
        self.open.push(String::new());
    }

    /// Adds to the innermost paragraph; text outside one is left out.
    pub(super) fn push(&mut self, text: &str) {
        if let Some(paragraph) = self.open.last_mut() {
            paragraph.push_str(text);
        }
    }

    /// What the innermost paragraph holds so far.
    pub(super) fn paragraph(&self) -> &str {
        self.open.last().map_or("", String::as_str)
    }

    /// Ends the innermost paragraph, as a list item or not.
    pub(super) fn close_paragraph(&mut self, is_item: bool) {
        let Some(paragraph) = self.open.pop() else { return };
        let paragraph = paragraph.trim();
        if is_item && !paragraph.is_empty() {
            self.add(Block::Item, &format!("- {paragraph}"));
        } else {
            self.add(Block::Paragraph, paragraph);
        }
    }

    /// Ends the innermost paragraph and leaves it out.
    pub(super) fn drop_paragraph(&mut self) {
        self.open.pop();
    }

    pub(super) fn open_row(&mut self) {
        self.rows.push(Vec::new());
    }

    pub(super) fn open_cell(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            row.push(Vec::new());
        }
    }

    /// Ends the innermost row. A row with one filled cell only lays out the page: what is in it
    /// stays paragraphs.
    pub(super) fn close_row(&mut self) {
        let Some(mut cells) = self.rows.pop() else { return };
        cells.retain(|paragraphs| !paragraphs.is_empty());
        if let [only] = cells.as_slice() {
            for paragraph in only {
                self.add(Block::Paragraph, paragraph);
            }
            return;
        }
        let cells: Vec<String> = cells.iter().map(|cell| clean_line(&cell.join(" "))).collect();
        self.add(Block::Row, &cells.join(" | "));
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn add(&mut self, block: Block, text: &str) {
        if text.is_empty() {
            return;
        }
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.last_mut()) {
            cell.push(text.to_owned());
            return;
        }
        if !self.text.is_empty() {
            let is_run = block != Block::Paragraph && self.last == Some(block);
            self.text.push_str(if is_run { "\n" } else { "\n\n" });
        }
        self.text.push_str(text);
        self.last = Some(block);
    }
}

/// What a document says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Properties {
    pub(super) title: Option<String>,
    /// The day when it was begun, else the day of its last change.
    pub(super) date: Option<String>,
}

/// The properties in the member called `name`; none where it is not there.
///
/// # Errors
/// Where the member cannot be read.
fn properties(bytes: &[u8], name: &str) -> Result<Properties, OfficeError> {
    let Some(xml) = member(bytes, name, MEMBER_BYTES_MAX)? else {
        return Ok(Properties::default());
    };
    let (mut title, mut begun, mut changed) = (String::new(), String::new(), String::new());
    let mut within = String::new();
    walk(&xml, |step| match step {
        Step::Open(element) => element.name().clone_into(&mut within),
        Step::Close(_) => within.clear(),
        Step::Text(text) => match within.as_str() {
            "title" => title.push_str(text),
            "created" | "creation-date" => begun.push_str(text),
            "modified" | "date" => changed.push_str(text),
            _ => {}
        },
    })?;
    let title = clean_line(&title);
    Ok(Properties {
        title: (!title.is_empty()).then_some(title),
        date: dates::day(&begun).or_else(|| dates::day(&changed)),
    })
}

/// The document in the file `bytes` of the format `kind`, made of the text and the first heading of
/// its `body` and of its properties, which stand in the member `properties_name`.
pub(super) fn document(
    bytes: &[u8],
    kind: &str,
    properties_name: &str,
    body: Result<(Prose, Option<String>), OfficeError>,
) -> Parsed {
    let (prose, heading) = match body {
        Ok(body) => body,
        Err(why) => return Parsed::failed(why.to_string()),
    };
    let mut parsed = Parsed::default();
    let properties = properties(bytes, properties_name).unwrap_or_else(|why| {
        parsed.note(None, format!("its title and date cannot be read: {why}"));
        Properties::default()
    });
    let text = clean(&prose.finish());
    if !text.trim().is_empty() {
        parsed.documents.push(NewDocument {
            kind: kind.into(),
            title: properties.title.or(heading),
            date: properties.date,
            text: text.trim().to_owned(),
            ..NewDocument::default()
        });
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::zipped::tests::packed;

    fn text_of(xml: &str) -> Result<String, OfficeError> {
        let mut text = String::new();
        walk(xml.as_bytes(), |step| {
            if let Step::Text(part) = step {
                text.push_str(part);
            }
        })?;
        Ok(text)
    }

    #[test]
    fn characters_are_resolved_and_entities_are_not() {
        assert_eq!(text_of("<a>x &amp; y &#65;<![CDATA[<z>]]></a>").unwrap(), "x & y A<z>");
        assert_eq!(text_of("<a>&other;</a>"), Err(OfficeError::Declaration));
        let laughs = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
        assert_eq!(text_of(laughs), Err(OfficeError::Declaration));
    }

    #[test]
    fn deep_and_broken_xml_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
        assert_eq!(text_of(&deep), Err(OfficeError::Nested));
        for broken in ["<a>", "<a></b>", "</a>", "<a", "<a>&#0;</a>"] {
            assert!(text_of(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn attributes_are_found_whatever_their_prefix() {
        let mut found = None;
        walk(b"<w:p w:val=\"a&amp;b\" x='1'/>", |step| {
            if let Step::Open(element) = step {
                assert_eq!(element.name(), "p");
                found = element.attribute("val");
                assert_eq!(element.attribute("none"), None);
            }
        })
        .unwrap();
        assert_eq!(found.as_deref(), Some("a&b"));
    }

    #[test]
    fn items_and_rows_stand_together_and_paragraphs_apart() {
        let mut prose = Prose::default();
        for (text, is_item) in [("One.", false), ("a", true), ("b", true), ("Two.", false)] {
            prose.open_paragraph();
            prose.push(text);
            prose.close_paragraph(is_item);
        }
        for row in [["x", "y"], ["z", "w"]] {
            prose.open_row();
            for cell in row {
                prose.open_cell();
                prose.open_paragraph();
                prose.push(cell);
                prose.close_paragraph(false);
            }
            prose.close_row();
        }
        assert_eq!(prose.finish(), "One.\n\n- a\n- b\n\nTwo.\n\nx | y\nz | w");
    }

    #[test]
    fn a_row_that_only_lays_out_stays_paragraphs() {
        let mut prose = Prose::default();
        prose.open_row();
        prose.open_cell();
        for text in ["Dear Ann,", "Thank you."] {
            prose.open_paragraph();
            prose.push(text);
            prose.close_paragraph(false);
        }
        prose.open_cell();
        prose.close_row();
        assert_eq!(prose.finish(), "Dear Ann,\n\nThank you.");
    }

    #[test]
    fn properties_give_title_and_day() {
        let xml = b"<p><dc:title> A  title </dc:title>\
            <dcterms:created>2021-03-04T05:06:07Z</dcterms:created></p>";
        let bytes = packed(&[("core.xml", xml)]);
        let found = properties(&bytes, "core.xml").unwrap();
        assert_eq!(found.title.as_deref(), Some("A title"));
        assert_eq!(found.date.as_deref(), Some("2021-03-04"));
        assert_eq!(properties(&bytes, "other.xml").unwrap(), Properties::default());
    }
}
