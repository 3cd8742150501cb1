//! Bytes into text: encoding detected, line ends and Unicode made uniform.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use unicode_normalization::UnicodeNormalization;

/// How many bytes tell a text in UTF-16 without a mark, and how many of them must be NUL.
const UTF_16_SAMPLE_BYTES: usize = 4096;

/// Bytes that are no UTF-8 in a text that else is, above which it is taken for another encoding.
const BROKEN_PER_THOUSAND_MAX: usize = 5;

const UTF_8_MARK: &[u8] = "\u{feff}".as_bytes();

/// A decoded text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    /// In normalisation form C, with `\n` line ends and without other control characters.
    pub(super) text: String,
    /// How many places could not be decoded; each is now U+FFFD.
    pub(super) broken: usize,
}

/// The text of `bytes`.
///
/// # Errors
/// A sentence where the bytes are no text.
pub(super) fn text(bytes: &[u8]) -> Result<Decoded, &'static str> {
    let bytes = bytes.strip_prefix(UTF_8_MARK).unwrap_or(bytes);
    if let Some(decoded) = nearly_utf8(bytes) {
        return Ok(decoded);
    }
    let (decoded, had_errors) = encoding_of(bytes).decode_with_bom_removal(bytes);
    let controls = decoded.chars().filter(|&char| is_stray_control(char)).count();
    if controls * 100 > decoded.chars().count() || had_errors {
        return Err("it does not look like text");
    }
    Ok(Decoded { text: clean(&decoded), broken: 0 })
}

/// Text out of a file or one of its fields as it is kept: uniform line ends, no control
/// characters, normalisation form C.
pub(super) fn clean(text: &str) -> String {
    let unix = text.replace("\r\n", "\n").replace('\r', "\n");
    unix.chars().filter(|&char| !is_stray_control(char)).nfc().collect()
}

/// [`clean`] for what stands on one line: titles, ids.
pub(super) fn clean_line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A UTF-8 text with a few broken places, as a cut or a bad copy leaves them: any other encoding
/// would turn all of its other letters into nonsense.
fn nearly_utf8(bytes: &[u8]) -> Option<Decoded> {
    let has_mark = Encoding::for_bom(bytes).is_some();
    if has_mark || bytes.contains(&0) || std::str::from_utf8(bytes).is_ok() {
        return None;
    }
    let chunks = || bytes.utf8_chunks();
    let broken = chunks().filter(|chunk| !chunk.invalid().is_empty()).count();
    let letters = chunks().flat_map(|chunk| chunk.valid().chars());
    let beyond_ascii = letters.filter(|char| !char.is_ascii()).count();
    let few = broken * 1000 <= bytes.len() * BROKEN_PER_THOUSAND_MAX || broken == 1;
    (few && beyond_ascii > broken)
        .then(|| Decoded { text: clean(&String::from_utf8_lossy(bytes)), broken })
}

fn is_stray_control(char: char) -> bool {
    char.is_control() && !matches!(char, '\n' | '\r' | '\t' | '\u{c}' | '\u{85}')
}

fn encoding_of(bytes: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return encoding;
    }
    if std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0) {
        return UTF_8;
    }
    if let Some(encoding) = utf_16(bytes) {
        return encoding;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Allow)
}

/// UTF-16 without a mark: of mostly Latin text, every other byte is NUL.
fn utf_16(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = &bytes[..bytes.len().min(UTF_16_SAMPLE_BYTES) & !1];
    let (mut even, mut odd) = (0, 0);
    for pair in sample.chunks_exact(2) {
        even += usize::from(pair[0] == 0);
        odd += usize::from(pair[1] == 0);
    }
    let pairs = sample.len() / 2;
    match (even * 2 > pairs, odd * 2 > pairs) {
        (true, false) => Some(UTF_16BE),
        (false, true) => Some(UTF_16LE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_detected() {
        let expected = "Ærlig talt: café, naïve façade; très bien sûr, élève à l'école.\n";
        let utf16: Vec<u8> = expected.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut with_mark = vec![0xff, 0xfe];
        with_mark.extend(&utf16);
        let mut utf8_mark = vec![0xef, 0xbb, 0xbf];
        utf8_mark.extend(expected.as_bytes());
        let latin1 = encoding_rs::WINDOWS_1252.encode(expected).0.into_owned();
        for bytes in [expected.as_bytes().to_vec(), utf16, with_mark, utf8_mark, latin1] {
            assert_eq!(text(&bytes).unwrap().text, expected);
        }
    }

    #[test]
    fn text_is_composed_and_line_ends_are_uniform() {
        assert_eq!(text("cafe\u{301}\r\nb\rc".as_bytes()).unwrap().text, "café\nb\nc");
    }

    #[test]
    fn a_cut_character_does_not_change_the_others() {
        let mut bytes = "Très bien, élève : à l'école".as_bytes().to_vec();
        bytes.push(0xc3);
        let decoded = text(&bytes).unwrap();
        assert_eq!(decoded.text, "Très bien, élève : à l'école\u{fffd}");
        assert_eq!(decoded.broken, 1);
    }

    #[test]
    fn fields_are_cleaned_like_files() {
        assert_eq!(clean("cafe\u{301}\r\n\u{1b}[31mred\0"), "café\n[31mred");
        assert_eq!(clean_line(" a\n b\t"), "a b");
    }

    #[test]
    fn binary_data_is_refused() {
        let bytes: Vec<u8> =
            (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        assert!(text(&bytes).is_err());
        assert!(text(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01").is_err());
    }
}
