//! The header of a message or of one of its parts: the fields that are needed, and no others.
//!
//! Fields are cut to a length, so that a header of any size costs its bytes once. This file knows
//! the syntax of fields, not what follows from them.

use mail_parser::ContentType;
use mail_parser::parsers::MessageStream;

use super::transfer;
use crate::ingest::dates;
use crate::ingest::decode::clean_line;

const FIELD_BYTES_MAX: usize = 16 << 10;
const TAIL_BYTES: usize = 1 << 10;
const NAME_BYTES_MAX: usize = 64;
const YEARS: std::ops::RangeInclusive<u32> = 1970..=2099;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The fields that are kept.
const NAMES: [&str; 17] = [
    "auto-submitted",
    "content-disposition",
    "content-transfer-encoding",
    "content-type",
    "date",
    "from",
    "message-id",
    "precedence",
    "subject",
    "to",
    "x-autoreply",
    "x-autorespond",
    "x-failed-recipients",
    "x-gmail-labels",
    "x-mozilla-draft-info",
    "x-unsent",
    "x-vacation",
];

/// A name and an address, of which one may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mailbox {
    pub(super) name: Option<String>,
    pub(super) address: Option<String>,
}

/// The fields of a header; of several with one name, the first.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// Names in lower case; values with their line breaks, and one at the end.
    fields: Vec<(&'static str, String)>,
}

impl Header {
    /// The header that `bytes` begin with, and what is below it.
    pub(super) fn split(bytes: &[u8]) -> (Self, &[u8]) {
        let mut header = Self::default();
        let mut open: Option<(&'static str, Vec<u8>)> = None;
        let mut offset = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            offset += line.len();
            if line == b"\n" || line == b"\r\n" {
                break;
            }
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                if let Some((_, value)) = &mut open {
                    let room = FIELD_BYTES_MAX.saturating_sub(value.len());
                    value.extend_from_slice(&line[..line.len().min(room)]);
                }
                continue;
            }
            header.keep(open.take());
            open = field(line).filter(|(name, _)| !header.has(name));
        }
        header.keep(open);
        (header, &bytes[offset..])
    }

    fn keep(&mut self, field: Option<(&'static str, Vec<u8>)>) {
        if let Some((name, mut value)) = field {
            value.push(b'\n');
            self.fields.push((name, transfer::of_charset(&value, None)));
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    fn raw(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The text of a field on one line, its encoded words decoded; `None` where it is empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let value = MessageStream::new(self.raw(name)?.as_bytes()).parse_unstructured();
        value.as_text().map(clean_line).filter(|text| !text.is_empty())
    }

    /// A field such as Content-Type, with its parameters.
    pub(super) fn parameters(&self, name: &str) -> Option<ContentType<'_>> {
        MessageStream::new(self.raw(name)?.as_bytes()).parse_content_type().into_content_type()
    }

    /// The first `count_max` addresses of a field.
    pub(super) fn mailboxes(&self, name: &str, count_max: usize) -> Vec<Mailbox> {
        let Some(raw) = self.raw(name) else { return Vec::new() };
        let value = MessageStream::new(raw.as_bytes()).parse_address();
        let Some(list) = value.as_address() else { return Vec::new() };
        let text = |part: Option<&str>| part.map(clean_line).filter(|part| !part.is_empty());
        list.iter()
            .take(count_max)
            .map(|addr| Mailbox { name: text(addr.name()), address: text(addr.address()) })
            .collect()
    }

    /// The address in From, in lower case.
    pub(super) fn sender(&self) -> Option<String> {
        let mailboxes = self.mailboxes("from", 8);
        let address = mailboxes.into_iter().find_map(|mailbox| mailbox.address)?;
        address.contains('@').then(|| address.to_lowercase())
    }

    /// Message-ID, without its brackets.
    pub(super) fn message_id(&self) -> Option<String> {
        let id = clean_line(self.raw("message-id")?);
        let id = id.trim_start_matches('<').split('>').next().unwrap_or_default().trim();
        (!id.is_empty()).then(|| id.to_owned())
    }

    /// The day in Date as it was where the message was written, `YYYY-MM-DD`.
    pub(super) fn day(&self) -> Option<String> {
        let written = clean_line(self.raw("date")?);
        let written = written.split('(').next().unwrap_or_default();
        let day = match named_month(written) {
            Some(day) => dates::day(&day),
            None => dates::day(written),
        }?;
        let year = day.split('-').next()?.parse::<u32>().ok()?;
        YEARS.contains(&year).then_some(day)
    }
}

fn field(line: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    let colon = line.iter().take(NAME_BYTES_MAX).position(|byte| *byte == b':')?;
    let name = std::str::from_utf8(line[..colon].trim_ascii_end()).ok()?;
    let name = NAMES.iter().copied().find(|known| known.eq_ignore_ascii_case(name))?;
    let value = &line[colon + 1..];
    if value.len() <= FIELD_BYTES_MAX {
        return Some((name, value.to_vec()));
    }
    // Of a line that is too long, the end matters too: there stands the address.
    let (head, tail) = (FIELD_BYTES_MAX - TAIL_BYTES, value.len() - TAIL_BYTES);
    Some((name, [&value[..head], b" ".as_slice(), &value[tail..]].concat()))
}

/// A date with the name of its month, as day, month and year: RFC 5322, or as the C library has
/// it.
fn named_month(written: &str) -> Option<String> {
    let words: Vec<&str> = written
        .split(|char: char| char.is_whitespace() || char == ',' || char == '-')
        .filter(|word| !word.is_empty())
        .take(8)
        .collect();
    let at = words.iter().position(|word| month(word).is_some())?;
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u32>().ok());
    let before = at.checked_sub(1).and_then(number);
    let (day, year) = match before {
        Some(day) => (day, words.get(at + 1)?),
        None => {
            let is_year =
                |word: &&&str| word.parse::<u32>().is_ok_and(|year| YEARS.contains(&year));
            (number(at + 1)?, words.iter().skip(at + 2).find(is_year)?)
        }
    };
    let year = match (year.parse::<u32>().ok()?, year.len()) {
        (year @ 0..50, 2) => 2000 + year,
        (year, 2 | 3) => 1900 + year,
        (year, _) => year,
    };
    Some(format!("{day} {} {year}", month(words[at])?))
}

fn month(word: &str) -> Option<&'static str> {
    let start = word.get(..3)?;
    let is_word = word.trim_end_matches('.').bytes().all(|byte| byte.is_ascii_alphabetic());
    MONTHS.iter().copied().find(|month| is_word && month.eq_ignore_ascii_case(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Header {
        Header::split(text.as_bytes()).0
    }

    #[test]
    fn fields_are_unfolded_and_decoded() {
        let text = "From me@x Tue May  4 10:00:00 2021\r\nSUBJECT: =?utf-8?Q?Caf=C3=A9?=\r\n \
                    au lait\r\nsubject: second\r\nX-Other: x\r\nTo: \"Bee, Ann\" <Ann@x.example>,\
                    \r\n\tBo <bo@x.example>\r\n\r\nBody: not a field\r\n";
        let (header, body) = Header::split(text.as_bytes());
        assert_eq!(header.text("subject").as_deref(), Some("Café au lait"));
        assert_eq!(body, b"Body: not a field\r\n");
        let to = header.mailboxes("to", 9);
        assert_eq!(to[0].name.as_deref(), Some("Bee, Ann"));
        assert_eq!(to[1].address.as_deref(), Some("bo@x.example"));
        assert_eq!(header.sender(), None);
    }

    #[test]
    fn the_sender_is_the_address_in_from() {
        for from in ["Mara <Mara@X.example>", "mara@x.example", "mara@x.example (Mara)"] {
            let sender = header(&format!("From: {from}\n\n")).sender();
            assert_eq!(sender.as_deref(), Some("mara@x.example"), "{from}");
        }
        assert_eq!(header("From: Mara\n\n").sender(), None);
    }

    #[test]
    fn dates_are_read_and_impossible_ones_are_none() {
        for (written, expected) in [
            ("Tue, 3 Mar 2020 17:06:00 +0100 (CET)", Some("2020-03-03")),
            ("3 Mar 98 17:06 GMT", Some("1998-03-03")),
            ("Tue Mar  3 17:06:00 2020", Some("2020-03-03")),
            ("2020-03-03T17:06:00Z", Some("2020-03-03")),
            ("Sat, 1 Jan 0000 00:00:00 +0000", None),
            ("Sat, 1 Jan 99999 00:00:00 +0000", None),
            ("Sat, 99 Feb 4294967297 99:99:99 +99999999999999999999", None),
            ("", None),
        ] {
            let day = header(&format!("Date: {written}\n\n")).day();
            assert_eq!(day.as_deref(), expected, "{written}");
        }
    }

    #[test]
    fn a_field_without_an_end_costs_little() {
        let long = header(&format!("Subject: {}", "=?utf-8?b?".repeat(200_000)));
        assert!(long.text("subject").is_some_and(|text| text.len() <= FIELD_BYTES_MAX + 1));
        let name = format!("From: {} <mara@x.example>\n\n", "M".repeat(1 << 20));
        assert_eq!(header(&name).sender().as_deref(), Some("mara@x.example"));
        assert!(header("From me").fields.is_empty());
    }
}
