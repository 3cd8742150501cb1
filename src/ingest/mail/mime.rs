//! Which parts of a message are its text.
//!
//! Attachments, invitations, reports and forwarded messages are not. Of alternatives, plain text
//! is taken unless there is none to speak of. The number and the depth of parts are bounded.

use mail_parser::ContentType;

use super::header::Header;
use super::line::{head, visible};
use super::transfer;

/// No message that a person wrote has more.
const PARTS_MAX: usize = 1000;
const DEPTH_MAX: usize = 16;
/// A plain text that only says that the message is HTML is no longer than this.
const STUB_CHARS_MAX: usize = 400;
/// Of one part, the text that is looked at.
const TEXT_BYTES_MAX: usize = 8 << 20;
const STUB_WORDS: [&str; 13] = [
    "view",
    "client",
    "support",
    "require",
    "enable",
    "reader",
    "program",
    "anzeig",
    "ansehen",
    "afficher",
    "visuali",
    "weergeven",
    "browser",
];

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Plain {
        /// RFC 3676: lines that end with a space go on.
        is_flowed: bool,
        /// RFC 3676: that space goes.
        deletes_space: bool,
    },
    Html,
}

/// One of the texts that a message consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) format: Format,
    pub(super) text: String,
    /// The same in HTML, where it was sent both ways.
    pub(super) html: Option<String>,
}

/// The texts of a message.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// In order.
    pub(super) texts: Vec<Text>,
    /// Whether a calendar answered for the person.
    pub(super) is_calendar_answer: bool,
}

/// The texts of the message with the header `header` and the body `bytes`.
///
/// # Errors
/// Why the message is not taken apart.
pub(super) fn body(header: &Header, bytes: &[u8]) -> Result<Body, &'static str> {
    let mut walk = Walk::default();
    let texts = walk.texts(header, bytes, 0)?;
    Ok(Body { texts, is_calendar_answer: walk.is_calendar_answer })
}

#[derive(Default)]
struct Walk {
    parts: usize,
    is_calendar_answer: bool,
}

impl Walk {
    /// The texts of one part. Goes no deeper than [`DEPTH_MAX`].
    fn texts(
        &mut self,
        header: &Header,
        bytes: &[u8],
        depth: usize,
    ) -> Result<Vec<Text>, &'static str> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err("it has more than 1,000 parts");
        }
        if depth > DEPTH_MAX {
            return Err("its parts are nested more than 16 deep");
        }
        let content = header.parameters("content-type");
        let content = content.as_ref();
        let main = content.map_or("text", ContentType::ctype);
        let sub = content.and_then(ContentType::subtype).unwrap_or("plain");
        match (main, sub) {
            ("multipart", _) => self.multipart(header, content, sub, bytes, depth),
            ("text", "calendar") => {
                let method = content.and_then(|content| content.attribute("method"));
                let method = method.unwrap_or_default().to_ascii_lowercase();
                let answers = ["reply", "counter", "cancel", "refresh", "declinecounter"];
                self.is_calendar_answer |= answers.contains(&method.as_str());
                Ok(Vec::new())
            }
            ("text", _) if is_attachment(header, content, depth) => Ok(Vec::new()),
            ("text", "plain" | "html") => Ok(vec![decoded(header, content, sub == "html", bytes)]),
            _ => Ok(Vec::new()),
        }
    }

    fn multipart(
        &mut self,
        header: &Header,
        content: Option<&ContentType<'_>>,
        sub: &str,
        bytes: &[u8],
        depth: usize,
    ) -> Result<Vec<Text>, &'static str> {
        if matches!(sub, "report" | "encrypted" | "digest") {
            return Ok(Vec::new());
        }
        let boundary = content.and_then(|content| content.attribute("boundary"));
        let boundary = boundary.map(str::trim).filter(|boundary| !boundary.is_empty());
        let children = boundary.map(|boundary| children(bytes, boundary.as_bytes()));
        let Some(children) = children.filter(|children| !children.is_empty()) else {
            return Ok(vec![decoded(header, None, false, bytes)]);
        };
        let mut texts: Vec<Vec<Text>> = Vec::new();
        for child in children {
            let (header, bytes) = Header::split(child);
            texts.push(self.texts(&header, bytes, depth + 1)?);
            let is_found = texts.last().is_some_and(|texts| !texts.is_empty());
            if is_found && matches!(sub, "signed" | "related") {
                break;
            }
        }
        Ok(match sub {
            "alternative" => best(texts),
            _ => texts.into_iter().flatten().collect(),
        })
    }
}

fn is_attachment(header: &Header, content: Option<&ContentType<'_>>, depth: usize) -> bool {
    let disposition = header.parameters("content-disposition");
    let has_name = content.is_some_and(|content| content.has_attribute("name"));
    let is_set_apart = disposition.is_some_and(|disposition| {
        disposition.is_attachment() || disposition.has_attribute("filename")
    });
    is_set_apart || (has_name && depth > 0)
}

fn decoded(header: &Header, content: Option<&ContentType<'_>>, is_html: bool, raw: &[u8]) -> Text {
    let attribute = |name: &str| content.and_then(|content| content.attribute(name));
    let is = |name: &str, value: &str| {
        attribute(name).is_some_and(|found| found.trim().eq_ignore_ascii_case(value))
    };
    let encoding = header.text("content-transfer-encoding").unwrap_or_default();
    let encoding = encoding.to_ascii_lowercase();
    let text = transfer::text(raw, encoding.trim(), attribute("charset"));
    let format = if is_html {
        Format::Html
    } else {
        Format::Plain { is_flowed: is("format", "flowed"), deletes_space: is("delsp", "yes") }
    };
    Text { format, text: head(&text, TEXT_BYTES_MAX).to_owned(), html: None }
}

/// Of several ways of saying the same, the one that tells best who wrote what.
fn best(mut alternatives: Vec<Vec<Text>>) -> Vec<Text> {
    let is_html =
        |texts: &Vec<Text>| texts.iter().any(|text| text.format == Format::Html && !is_empty(text));
    let html = alternatives.iter().rposition(is_html);
    let plain = alternatives.iter().position(|texts| is_plain(texts));
    let Some(at) = plain.or(html).or_else(|| alternatives.iter().position(|it| !it.is_empty()))
    else {
        return Vec::new();
    };
    let markup = html.filter(|html| *html != at).and_then(|html| match &alternatives[html][..] {
        [only] => Some(only.text.clone()),
        _ => None,
    });
    let mut texts = alternatives.swap_remove(at);
    if let [only] = &mut texts[..] {
        only.html = markup;
    }
    texts
}

fn is_plain(texts: &[Text]) -> bool {
    let is_good = |text: &Text| text.format != Format::Html && !is_empty(text) && !is_stub(text);
    !texts.is_empty() && texts.iter().all(is_good)
}

fn is_empty(text: &Text) -> bool {
    text.text.trim().is_empty()
}

/// Whether a plain text says no more than that its reader should show HTML.
fn is_stub(text: &Text) -> bool {
    if text.text.chars().take(STUB_CHARS_MAX + 1).count() > STUB_CHARS_MAX {
        return false;
    }
    let text = visible(&text.text).to_lowercase();
    text.contains("html") && STUB_WORDS.iter().any(|word| text.contains(word))
}

/// What stands between the delimiters of a multipart; at most one more than is allowed.
fn children<'a>(bytes: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mut children = Vec::new();
    let mut start: Option<usize> = None;
    let mut offset = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let end = offset + line.len();
        if let Some(is_last) = delimiter(line, boundary) {
            children.extend(start.map(|start| &bytes[start..offset]));
            start = (!is_last).then_some(end);
            if is_last || children.len() > PARTS_MAX {
                return children;
            }
        }
        offset = end;
    }
    children.extend(start.map(|start| &bytes[start..]));
    children
}

/// Whether `line` is a delimiter, and if so, the last one.
fn delimiter(line: &[u8], boundary: &[u8]) -> Option<bool> {
    match line.strip_prefix(b"--")?.strip_prefix(boundary)?.trim_ascii() {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &str) -> Result<Body, &'static str> {
        let (header, bytes) = Header::split(message.as_bytes());
        body(&header, bytes)
    }

    fn texts(message: &str) -> Vec<String> {
        read(message).unwrap().texts.into_iter().map(|text| text.text.trim().to_owned()).collect()
    }

    fn part(kind: &str, text: &str) -> String {
        format!("--b\nContent-Type: {kind}\n\n{text}\n")
    }

    fn multipart(sub: &str, parts: &[String]) -> String {
        let parts = parts.concat();
        format!("Content-Type: multipart/{sub}; boundary=\"b\"\n\nPreamble.\n{parts}--b--\nEnd.\n")
    }

    #[test]
    fn plain_text_is_preferred_unless_it_says_nothing() {
        let html = || part("text/html", "<p>Rich</p>");
        let both = multipart("alternative", &[part("text/plain", "Plain"), html()]);
        assert_eq!(texts(&both), ["Plain"]);
        assert!(read(&both).unwrap().texts[0].html.is_some());
        for stub in ["", "Your mail program does not support HTML."] {
            let stub = multipart("alternative", &[part("text/plain", stub), html()]);
            assert_eq!(texts(&stub), ["<p>Rich</p>"]);
        }
    }

    #[test]
    fn attachments_and_forwarded_messages_are_not_the_text() {
        let attached = "text/plain\nContent-Disposition: attachment; filename=a.txt";
        let message = multipart(
            "mixed",
            &[
                part("text/plain", "Mine."),
                part(attached, "Attached."),
                part("text/plain; name=\"b.txt\"", "Named."),
                part("message/rfc822", "From: a@b\n\nForwarded."),
                part("text/plain", "Mine too."),
            ],
        );
        assert_eq!(texts(&message), ["Mine.", "Mine too."]);
        assert!(texts(&multipart("report", &[part("text/plain", "Bounced.")])).is_empty());
    }

    #[test]
    fn a_multipart_without_its_boundary_is_text() {
        assert_eq!(texts("Content-Type: multipart/mixed\n\nHello."), ["Hello."]);
        assert_eq!(texts("Content-Type: multipart/mixed; boundary=x\n\nHello."), ["Hello."]);
        assert_eq!(texts("Subject: x\n\nHello."), ["Hello."]);
    }

    #[test]
    fn an_answer_of_a_calendar_is_known() {
        let answer = [part("text/plain", "x"), part("text/calendar; method=REPLY", "BEGIN")];
        assert!(read(&multipart("alternative", &answer)).unwrap().is_calendar_answer);
    }

    #[test]
    fn what_has_too_many_parts_or_too_deep_ones_is_refused() {
        let many: Vec<String> = (0..2000).map(|_| part("text/plain", "x")).collect();
        assert!(read(&multipart("mixed", &many)).is_err());
        let mut deep = String::new();
        for level in 0..100 {
            deep += &format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n");
        }
        assert!(read(&deep).is_err());
    }
}
