//! HTML into tags and the text between them, in one pass and without a tree.
//!
//! It reads what browsers read, broken markup too, but leaves the meaning of tags to its callers.

use std::borrow::Cow;

use encoding_rs::WINDOWS_1252;
use mail_parser::decoders::html::add_html_token;

use super::line::head;

/// Elements whose content is no text of the page.
const UNREAD: [&str; 9] =
    ["script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "object"];
/// Of one tag, what is looked at.
const ATTRIBUTES_BYTES_MAX: usize = 4096;
const ATTRIBUTES_MAX: usize = 32;
const ENTITY_BYTES_MAX: usize = 32;
/// Entities that browsers know without their semicolon.
const BARE_ENTITIES: [(&str, char); 5] =
    [("nbsp", '\u{a0}'), ("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"')];

/// The start of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// In lower case.
    pub(super) name: String,
    /// As they are written: see [`attributes`].
    pub(super) attributes: &'a str,
    /// `<br/>`
    pub(super) is_closed: bool,
}

/// What HTML consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Text, its entities not decoded: see [`unescaped`].
    Text(&'a str),
    Open(Tag<'a>),
    /// The name in lower case.
    Close(String),
}

/// The tokens of a page.
pub(super) struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(html: &'a str) -> Self {
        Self { rest: html }
    }

    /// Takes the first `len` bytes.
    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    /// Passes over what ends with `end`; over everything where nothing does.
    fn skip_past(&mut self, end: &str) {
        let len = self.rest.find(end).map_or(self.rest.len(), |at| at + end.len());
        self.take(len);
    }

    fn open(&mut self) -> Option<Tag<'a>> {
        let Some(end) = tag_end(self.rest) else {
            // A tag that never ends: browsers drop it too.
            self.rest = "";
            return None;
        };
        let inside = &self.take(end + 1)[1..end];
        let name_end = inside.find(is_name_end).unwrap_or(inside.len());
        let name = inside[..name_end].to_lowercase();
        let attributes = &inside[name_end..];
        if UNREAD.contains(&name.as_str()) {
            self.skip_element(&name);
        }
        Some(Tag { name, attributes, is_closed: inside.ends_with('/') })
    }

    /// Passes over the content of the element `name`, up to its end tag.
    fn skip_element(&mut self, name: &str) {
        let bytes = self.rest.as_bytes();
        let mut at = 0;
        while let Some(found) = self.rest[at..].find("</") {
            at += found;
            let after = bytes.get(at + 2..at + 2 + name.len());
            if after.is_some_and(|after| after.eq_ignore_ascii_case(name.as_bytes())) {
                break;
            }
            at += 2;
        }
        let is_found = self.rest[at..].starts_with("</");
        self.take(if is_found { at } else { self.rest.len() });
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        while !self.rest.is_empty() {
            let text = self.rest.find('<').unwrap_or(self.rest.len());
            if text > 0 {
                return Some(Token::Text(self.take(text)));
            }
            let after = &self.rest[1..];
            if after.starts_with(|char: char| char.is_ascii_alphabetic()) {
                match self.open() {
                    Some(tag) => return Some(Token::Open(tag)),
                    None => continue,
                }
            } else if let Some(name) = after.strip_prefix('/') {
                let is_tag = name.starts_with(|char: char| char.is_ascii_alphabetic());
                let name_end = name.find(is_name_end).unwrap_or(name.len());
                let name = head(&name[..name_end], ATTRIBUTES_BYTES_MAX).to_lowercase();
                self.skip_past(">");
                if is_tag {
                    return Some(Token::Close(name));
                }
            } else if after.starts_with("!--") {
                // The dashes of `<!-->` count twice.
                self.take(2);
                self.skip_past("-->");
            } else if after.starts_with(['!', '?']) {
                self.skip_past(">");
            } else {
                return Some(Token::Text(self.take(1)));
            }
        }
        None
    }
}

fn is_name_end(char: char) -> bool {
    char.is_ascii_whitespace() || matches!(char, '/' | '>')
}

/// Where the tag that `html` begins with ends: its `>`, none in quoted values.
fn tag_end(html: &str) -> Option<usize> {
    let mut quote: Option<u8> = None;
    let mut is_value_due = false;
    for (at, byte) in html.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'>') => return Some(at),
            (None, b'=') => is_value_due = true,
            (None, b'"' | b'\'') if is_value_due => {
                quote = Some(byte);
                is_value_due = false;
            }
            (None, byte) => is_value_due &= byte.is_ascii_whitespace(),
        }
    }
    None
}

/// Names, in lower case, and values.
pub(super) fn attributes(written: &str) -> Vec<(String, String)> {
    let mut attributes = Vec::new();
    let mut rest = head(written, ATTRIBUTES_BYTES_MAX);
    while attributes.len() < ATTRIBUTES_MAX {
        rest = rest.trim_start_matches(|char: char| {
            char.is_whitespace() || matches!(char, '/' | '=' | '"' | '\'')
        });
        if rest.is_empty() {
            break;
        }
        let is_end = |char: char| char.is_whitespace() || matches!(char, '/' | '=');
        let (name, after) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
        let value = match after.trim_start().strip_prefix('=') {
            Some(after) => {
                let (value, after) = value(after.trim_start());
                rest = after;
                value
            }
            None => {
                rest = after;
                ""
            }
        };
        attributes.push((name.to_lowercase(), value.to_owned()));
    }
    attributes
}

/// The value that `text` begins with, and what is after it.
fn value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(inside) = text.strip_prefix(quote) {
            return inside.split_once(quote).unwrap_or((inside, ""));
        }
    }
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}

/// `text` with its entities decoded.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = &rest[entity(rest, &mut decoded)..];
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// Decodes the entity that `text` begins with; returns its length.
fn entity(text: &str, decoded: &mut String) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'#';
    let len = 1 + text.bytes().skip(1).take(ENTITY_BYTES_MAX).take_while(is_part).count();
    if len > 1 && text.as_bytes().get(len) == Some(&b';') {
        let before = decoded.len();
        add_html_token(decoded, &text.as_bytes()[..=len], false);
        // `&#146;` means a character of Windows, whatever the standard says.
        if let Some(char @ '\u{80}'..='\u{9f}') = decoded[before..].chars().next() {
            decoded.truncate(before);
            let byte = [u8::try_from(u32::from(char)).unwrap_or(b'?')];
            decoded.push_str(&WINDOWS_1252.decode_without_bom_handling(&byte).0);
        }
        return len + 1;
    }
    let bare = BARE_ENTITIES.iter().find(|(name, _)| text[1..].starts_with(name));
    let (name, char) = bare.copied().unwrap_or(("", '&'));
    decoded.push(char);
    1 + name.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(html: &str) -> Vec<String> {
        Tokens::new(html)
            .map(|token| match token {
                Token::Text(text) => text.to_owned(),
                Token::Open(tag) => format!("<{}>", tag.name),
                Token::Close(name) => format!("</{name}>"),
            })
            .collect()
    }

    #[test]
    fn tags_and_text_are_told_apart() {
        assert_eq!(
            shown("a<P class=\"x>y\">b</p ><!-- <b> -->1 < 2<!doctype x><br/><o:p>"),
            ["a", "<p>", "b", "</p>", "1 ", "<", " 2", "<br>", "<o:p>"]
        );
        assert_eq!(
            shown("<style>p > a</style>x<SCRIPT>'</b>'</script >y")[1..3],
            ["</style>", "x"]
        );
    }

    #[test]
    fn broken_markup_ends() {
        for html in ["<", "</", "<a", "<a href=\"", "<!--", "<!", "<script>", "</>", "&", "<a b='>"]
        {
            assert!(shown(html).len() <= 1, "{html}");
        }
        assert_eq!(shown("<p a=b\"c>x"), ["<p>", "x"]);
        assert_eq!(shown("<!-->x"), ["x"]);
    }

    #[test]
    fn attributes_are_read_however_they_are_quoted() {
        let pairs = attributes(" CLASS = \"a b\" id='c' hidden type=cite/ x=");
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected =
            [("class", "a b"), ("id", "c"), ("hidden", ""), ("type", "cite/"), ("x", "")];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn entities_are_decoded() {
        assert_eq!(unescaped("a &lt;b&gt; &eacute;&#8217;&#x20AC;&#146;"), "a <b> é’€’");
        assert_eq!(unescaped("R&D &nbspx &unknown; & &"), "R&D \u{a0}x &unknown; & &");
        assert_eq!(unescaped("&#x110000;"), "\u{fffd}");
    }
}
