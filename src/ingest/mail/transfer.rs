//! The bytes of a part into text: transfer encoding, then character set.
//!
//! Both are declared, and both declarations lie at times; what is decoded is the text that the
//! bytes are likeliest to be. Nothing here fails.

use std::borrow::Cow;

use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE};
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;

use crate::ingest::decode;

/// Encoded bytes of one part that are looked at.
const RAW_BYTES_MAX: usize = 16 << 20;
/// In what is declared base64, the share of characters that base64 has not, in percent, above
/// which it is taken for plain text.
const FOREIGN_PERCENT_MAX: usize = 5;

/// The text of a part; `encoding` is its transfer encoding in lower case.
pub(super) fn text(raw: &[u8], encoding: &str, charset: Option<&str>) -> String {
    let raw = &raw[..raw.len().min(RAW_BYTES_MAX)];
    let bytes = match encoding {
        "base64" => base64(raw),
        "quoted-printable" => Cow::Owned(quoted_printable(raw)),
        _ => Cow::Borrowed(raw),
    };
    of_charset(&bytes, charset)
}

/// The text that `bytes` are; `charset` is what they were declared to be.
pub(super) fn of_charset(bytes: &[u8], charset: Option<&str>) -> String {
    let label = charset.unwrap_or_default().trim().to_ascii_lowercase();
    let declared =
        Encoding::for_label(label.as_bytes()).filter(|encoding| *encoding != REPLACEMENT);
    let utf8 = std::str::from_utf8(bytes).ok();
    if let Some(encoding) = declared
        && !encoding.is_single_byte()
        && encoding != UTF_8
    {
        let is_utf16 = encoding == UTF_16LE || encoding == UTF_16BE;
        let (text, _, had_errors) = encoding.decode(bytes);
        // What is declared UTF-16 and has no NUL is mostly ASCII.
        let is_declared_well = if is_utf16 { bytes.contains(&0) } else { !had_errors };
        return match utf8 {
            Some(utf8) if !is_declared_well => utf8.to_owned(),
            _ => text.into_owned(),
        };
    }
    if matches!(label.as_str(), "utf-7" | "unicode-1-1-utf-7")
        && let Some(decoder) = charset_decoder(label.as_bytes())
    {
        return decoder(bytes);
    }
    // Whatever is declared: what is UTF-8 beyond ASCII is hardly anything else.
    if let Some(utf8) = utf8 {
        return utf8.to_owned();
    }
    match declared {
        Some(encoding) if encoding != UTF_8 => {
            encoding.decode_without_bom_handling(bytes).0.into_owned()
        }
        Some(_) => detected(bytes),
        None => match charset_decoder(label.as_bytes()) {
            Some(decoder) if !label.is_empty() => decoder(bytes),
            _ => detected(bytes),
        },
    }
}

fn detected(bytes: &[u8]) -> String {
    match decode::text(bytes) {
        Ok(decoded) => decoded.text,
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Decoded, or `raw` itself where it is no base64.
fn base64(raw: &[u8]) -> Cow<'_, [u8]> {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let foreign =
        raw.iter().filter(|byte| !is_digit(byte) && !matches!(byte, b'\r' | b'\n')).count();
    if foreign * 100 > raw.len() * FOREIGN_PERCENT_MAX {
        return Cow::Borrowed(raw);
    }
    let decoded = if foreign == 0 {
        base64_decode(raw)
    } else {
        base64_decode(&raw.iter().copied().filter(|byte| is_digit(byte)).collect::<Vec<u8>>())
    };
    decoded.map_or(Cow::Borrowed(raw), Cow::Owned)
}

/// Decoded; what is no code stays as it is.
fn quoted_printable(raw: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(raw.len());
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        // White space at the end of a line came on the way.
        let content = line.trim_ascii_end();
        let unbroken = content.strip_suffix(b"=");
        let mut rest = unbroken.unwrap_or(content);
        while let Some((&first, others)) = rest.split_first() {
            let code = match (first, others) {
                (b'=', [high, low, ..]) => hex_byte(*high, *low),
                _ => None,
            };
            decoded.push(code.unwrap_or(first));
            rest = if code.is_some() { &others[2..] } else { others };
        }
        if unbroken.is_none() && line.ends_with(b"\n") {
            decoded.push(b'\n');
        }
    }
    decoded
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_printable_is_read_even_where_it_is_broken() {
        let decoded = quoted_printable(b"caf=C3=A9 =\r\nau lait  \r\n--=20\r\n1 = 1 =G1 ==3D\r\n");
        let expected = "café au lait\n-- \n1 = 1 =G1 ==\n";
        assert_eq!(String::from_utf8(decoded).unwrap(), expected);
    }

    #[test]
    fn plain_text_that_is_declared_base64_stays_text() {
        assert_eq!(text(b"SGVsbG8s\r\nIEFubi4=\r\n", "base64", None), "Hello, Ann.");
        assert_eq!(text(b"Hello there my dear Ann", "base64", None), "Hello there my dear Ann");
        assert_eq!(text(b"Hello.", "base64", None), "Hello.");
    }

    #[test]
    fn charsets_that_lie_do_no_harm() {
        for (bytes, charset, expected) in [
            ("café".as_bytes(), Some("us-ascii"), "café"),
            ("café".as_bytes(), Some("iso-8859-1"), "café"),
            (b"caf\xe9".as_slice(), Some("iso-8859-1"), "café"),
            (b"caf\xe9".as_slice(), Some("utf-8"), "café"),
            (b"This is ASCII.".as_slice(), Some("utf-16"), "This is ASCII."),
            (b"\xff\xfeH\0i\0".as_slice(), Some("utf-16"), "Hi"),
            (b"Item 3 is +AKM-1.".as_slice(), Some("utf-7"), "Item 3 is £1."),
            (b"\x1b$B%O%m!<\x1b(B".as_slice(), Some("iso-2022-jp"), "ハロー"),
            (b"plain".as_slice(), Some("x-unknown"), "plain"),
        ] {
            assert_eq!(of_charset(bytes, charset), expected, "{charset:?}");
        }
    }
}
