//! PDF: the text of all pages, lines joined into paragraphs. What is only drawn is not read.
//!
//! The parser panics on what it does not expect, so this must run where that is contained.

use pdf_extract::{
    Document, MediaBox, Object, OutputDev, OutputError, Transform, decode_text_string, output_doc,
};

use super::dates;
use super::decode::{clean, clean_line};
use super::parsed::{Options, Parsed};
use super::reflow::{self, Line};
use crate::profile::NewDocument;

/// Text of one file; a page that draws itself a thousand times ends here.
const TEXT_BYTES_MAX: usize = 32 << 20;
/// Letters that stand for nothing, of a hundred, above which the fonts do not say what they show.
const UNKNOWN_PER_CENT_MAX: usize = 20;
/// What Word puts before the name of the file where nobody gave a title.
const TITLE_PREFIX: &str = "Microsoft Word - ";
const ENCRYPTED: &str = "it is encrypted; save a copy without a password";

/// The text of all pages as one document.
pub(super) fn read(bytes: &[u8], _options: &Options) -> Parsed {
    let mut document = match Document::load_mem(bytes) {
        Ok(document) => document,
        Err(_) if holds(bytes, b"/Encrypt") => return Parsed::failed(ENCRYPTED),
        Err(_) => return Parsed::failed("it is no PDF file, or a damaged one"),
    };
    // Those that open without a password have been decrypted by now.
    if document.trailer.get(b"Encrypt").is_ok() {
        return Parsed::failed(ENCRYPTED);
    }
    let images = empty_images(&mut document);
    let mut pages = Pages::default();
    if output_doc(&document, &mut pages).is_err() {
        return Parsed::failed(if pages.bytes > TEXT_BYTES_MAX {
            format!("it holds more than {} MiB of text", TEXT_BYTES_MAX >> 20)
        } else {
            "a page of it is damaged".to_owned()
        });
    }
    let pages: Vec<Vec<Line>> = pages.pages.into_iter().map(lines).collect();
    let blank = pages.iter().filter(|page| page.is_empty()).count();
    let text = clean(&with_plain_letters(&reflow::prose(&pages)));
    let text = text.trim();
    if text.is_empty() {
        return if images > 0 {
            Parsed::failed("it holds no text, only images; run OCR over it first")
        } else {
            Parsed::default()
        };
    }
    if is_unreadable(text) {
        return Parsed::failed(
            "its fonts do not say which letters they show; run OCR over it first",
        );
    }
    let mut parsed = Parsed::default();
    if blank > 0 && images > 0 {
        let count = pages.len();
        parsed.note(
            None,
            format!("{blank} of {count} pages hold no text; if they are scans, run OCR over it"),
        );
    }
    parsed.documents.push(NewDocument {
        key: String::new(),
        kind: "pdf".into(),
        title: title(&document),
        date: date(&document),
        text: text.to_owned(),
        ..NewDocument::default()
    });
    parsed
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// Empties all images, which the parser would take for drawing commands; how many there were.
fn empty_images(document: &mut Document) -> usize {
    let mut count = 0;
    for object in document.objects.values_mut() {
        let Object::Stream(stream) = object else { continue };
        let subtype = stream.dict.get(b"Subtype").and_then(Object::as_name);
        if subtype.is_ok_and(|name| name == b"Image") {
            stream.content = Vec::new();
            stream.dict.remove(b"Filter");
            count += 1;
        }
    }
    count
}

/// An entry of what the file says of itself.
fn information(document: &Document, key: &[u8]) -> Option<String> {
    let information = document.trailer.get_deref(b"Info", document).ok()?.as_dict().ok()?;
    let value = information.get_deref(key, document).ok()?;
    decode_text_string(value).ok()
}

fn title(document: &Document) -> Option<String> {
    let title = clean_line(&information(document, b"Title")?);
    let title = title.strip_prefix(TITLE_PREFIX).unwrap_or(&title);
    (!title.is_empty() && !title.eq_ignore_ascii_case("untitled")).then(|| title.to_owned())
}

/// The day when it was made, from `D:20210304050607+01'00'`.
fn date(document: &Document) -> Option<String> {
    let made = information(document, b"CreationDate")?;
    dates::day(made.trim().trim_start_matches("D:").get(..8)?)
}

/// Ligatures as the letters that they are made of; the font's own sign for a space as one.
fn with_plain_letters(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            'ﬀ' => plain.push_str("ff"),
            'ﬁ' => plain.push_str("fi"),
            'ﬂ' => plain.push_str("fl"),
            'ﬃ' => plain.push_str("ffi"),
            'ﬄ' => plain.push_str("ffl"),
            'ﬅ' | 'ﬆ' => plain.push_str("st"),
            '\u{a0}' => plain.push(' '),
            _ => plain.push(char),
        }
    }
    plain
}

/// Whether many of the letters stand for nothing: fonts without a map of what they show.
fn is_unreadable(text: &str) -> bool {
    let is_unknown = |char: &char| matches!(char, '\u{fffd}' | '\u{e000}'..='\u{f8ff}');
    let unknown = text.chars().filter(is_unknown).count();
    unknown * 100 > text.chars().count() * UNKNOWN_PER_CENT_MAX
}

/// A line under way, with what the mean size of its letters is made of.
#[derive(Debug, Default)]
struct Drawn {
    line: Line,
    sizes: f64,
    letters: f64,
    /// The size of the last letter.
    size: f64,
}

fn lines(drawn: Vec<Drawn>) -> Vec<Line> {
    let has_text = |drawn: &Drawn| !drawn.line.text.trim().is_empty();
    let finish = |drawn: Drawn| Line { size: drawn.sizes / drawn.letters.max(1.0), ..drawn.line };
    drawn.into_iter().filter(has_text).map(finish).collect()
}

/// Takes letters in the order in which they are drawn, and puts them into lines.
#[derive(Debug, Default)]
struct Pages {
    pages: Vec<Vec<Drawn>>,
    /// Whether the next letter begins a piece, which may stand anywhere.
    is_piece_start: bool,
    bytes: usize,
}

impl Pages {
    /// The line that a letter at this place belongs to: the last one, or a new one.
    fn line_at(&mut self, x: f64, y: f64, size: f64) -> Option<&mut Drawn> {
        let page = self.pages.last_mut()?;
        let is_new = page.last().is_none_or(|drawn| {
            let size = drawn.size.max(size);
            let shift = (drawn.line.y - y).abs();
            // A shift that goes on to the right is a power or an index.
            shift > 1.5 * size || (shift > 0.5 * size && x < drawn.line.x_end)
        });
        if is_new {
            let line = Line { x_start: x, x_end: x, y, ..Line::default() };
            page.push(Drawn { line, size, ..Drawn::default() });
        }
        page.last_mut()
    }
}

impl OutputDev for Pages {
    fn begin_page(
        &mut self,
        _page_num: u32,
        _media_box: &MediaBox,
        _art_box: Option<(f64, f64, f64, f64)>,
    ) -> Result<(), OutputError> {
        self.pages.push(Vec::new());
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn output_character(
        &mut self,
        trm: &Transform,
        width: f64,
        spacing: f64,
        font_size: f64,
        char: &str,
    ) -> Result<(), OutputError> {
        self.bytes += char.len();
        if self.bytes > TEXT_BYTES_MAX {
            return Err(OutputError::FormatError(std::fmt::Error));
        }
        let scale = (trm.m11 * trm.m22 - trm.m12 * trm.m21).abs().sqrt();
        let size = scale * font_size.abs();
        let (x, y) = (trm.m31, trm.m32);
        let is_piece_start = std::mem::take(&mut self.is_piece_start);
        let drawn = if is_piece_start {
            self.line_at(x, y, size)
        } else {
            self.pages.last_mut().and_then(|page| page.last_mut())
        };
        let Some(drawn) = drawn else { return Ok(()) };
        let line = &mut drawn.line;
        // A space between two pieces is often no letter, only room.
        let is_away = x > line.x_end + 0.1 * size || x < line.x_end - size;
        if is_piece_start
            && is_away
            && !line.text.is_empty()
            && !line.text.ends_with(char::is_whitespace)
        {
            line.text.push(' ');
        }
        line.text.push_str(char);
        line.x_end = x + width * size + spacing * scale;
        drawn.size = size;
        drawn.sizes += size;
        drawn.letters += 1.0;
        Ok(())
    }

    fn begin_word(&mut self) -> Result<(), OutputError> {
        self.is_piece_start = true;
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PDF file with one object per entry, numbered from 1; object 1 is the catalogue.
    fn file(objects: &[String], trailer: &str) -> Vec<u8> {
        let mut file = String::from("%PDF-1.4\n");
        let mut offsets = Vec::new();
        for (index, object) in objects.iter().enumerate() {
            offsets.push(file.len());
            file.push_str(&format!("{} 0 obj\n{object}\nendobj\n", index + 1));
        }
        let start = file.len();
        let count = objects.len() + 1;
        file.push_str(&format!("xref\n0 {count}\n0000000000 65535 f \n"));
        for offset in offsets {
            file.push_str(&format!("{offset:010} 00000 n \n"));
        }
        file.push_str(&format!(
            "trailer\n<< /Size {count} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n"
        ));
        file.into_bytes()
    }

    fn stream(entries: &str, content: &str) -> String {
        format!("<< {entries} /Length {} >>\nstream\n{content}\nendstream", content.len())
    }

    /// One page that draws `content`, with a font `F1` and an image `Im0`.
    fn one_page(content: &str, trailer: &str) -> Vec<u8> {
        file(
            &[
                "<< /Type /Catalog /Pages 2 0 R >>".into(),
                "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".into(),
                "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources \
                 << /Font << /F1 5 0 R >> /XObject << /Im0 6 0 R >> >> >>"
                    .into(),
                stream("", content),
                "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
                    .into(),
                stream(
                    "/Type /XObject /Subtype /Image /Width 1 /Height 1 /BitsPerComponent 8 \
                     /ColorSpace /DeviceGray",
                    "x Tj",
                ),
                "<< /Title (Microsoft Word - The walk) /CreationDate (D:20210304050607+01'00') >>"
                    .into(),
            ],
            trailer,
        )
    }

    #[test]
    fn lines_of_a_page_become_text() {
        let content = "BT /F1 10 Tf 14 TL 50 700 Td (We went up the hill, past the old mill and to) \
            Tj T* (the river, where we ate [what] was left. Then we) Tj T* (went home.) Tj ET";
        let content = content.replace('[', "\\(").replace(']', "\\)");
        let parsed = read(&one_page(&content, "/Info 7 0 R"), &Options::default());
        let document = &parsed.documents[0];
        assert_eq!(
            document.text,
            "We went up the hill, past the old mill and to the river, where we ate (what) was \
             left. Then we went home."
        );
        assert_eq!(document.title.as_deref(), Some("The walk"));
        assert_eq!(document.date.as_deref(), Some("2021-03-04"));
        assert!(parsed.problems.is_empty());
    }

    #[test]
    fn room_between_pieces_is_a_space() {
        let content = "BT /F1 10 Tf 50 700 Td [(Two) -300 (wo) 20 (rds)] TJ ET";
        let parsed = read(&one_page(content, ""), &Options::default());
        assert_eq!(parsed.documents[0].text, "Two words");
    }

    #[test]
    fn a_scan_is_named() {
        let content = "q 600 0 0 800 0 0 cm /Im0 Do Q";
        let parsed = read(&one_page(content, ""), &Options::default());
        assert!(parsed.documents.is_empty());
        assert!(parsed.problems[0].lost && parsed.problems[0].message.contains("OCR"));
    }

    #[test]
    fn an_encrypted_file_is_named() {
        let encryption = "/Encrypt << /Filter /Standard /V 1 /R 2 /O (x) /U (y) /P -4 >>";
        let parsed = read(&one_page("BT ET", encryption), &Options::default());
        assert!(parsed.documents.is_empty());
        assert!(parsed.problems[0].message.contains("encrypted"), "{parsed:?}");
    }

    #[test]
    fn what_is_no_pdf_is_named() {
        for bytes in [&b""[..], b"plain text", b"%PDF-1.4\n", b"%PDF-1.4\nxref\n0 9\n%%EOF"] {
            let parsed = read(bytes, &Options::default());
            assert!(parsed.documents.is_empty() && parsed.problems[0].lost);
        }
    }

    #[test]
    fn ligatures_become_letters_and_unknown_letters_are_told() {
        assert_eq!(with_plain_letters("eﬃcient ﬁsh"), "efficient fish");
        assert!(is_unreadable("\u{e001}\u{e002}\u{e003} a"));
        assert!(!is_unreadable("plain text, with one \u{fffd} in it"));
    }
}
