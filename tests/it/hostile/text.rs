//! Plain text: encodings and what Unicode allows.

use super::{Case, file};

pub(super) fn cases() -> Vec<Case> {
    vec![
        file("a line of 10 MB without a space", "hostile.txt", || vec![b'x'; 10 << 20]),
        file("a million line ends", "hostile.txt", || "\n".repeat(1_000_000).into()),
        file("300,000 one-letter paragraphs", "hostile.txt", || "a\n\n".repeat(300_000).into()),
        file("10 MB of full stops", "hostile.txt", || vec![b'.'; 10 << 20]),
        file("NUL bytes after a byte order mark", "hostile.txt", || {
            let mut bytes = "\u{feff}Dear Ann,".as_bytes().to_vec();
            bytes.extend([0; 100_000]);
            bytes
        }),
        file("byte order marks only", "hostile.txt", || "\u{feff}".repeat(100_000).into()),
        file("UTF-16 without a mark", "hostile.txt", || utf16(&"Dear Ann. ".repeat(50_000))),
        file("UTF-16 of half a character", "hostile.txt", || {
            let mut bytes = vec![0xff, 0xfe];
            bytes.extend(utf16(&"Dear Ann. ".repeat(50_000)));
            bytes.extend([0x3d, 0xd8, 0x41]);
            bytes
        }),
        file("UTF-32", "hostile.txt", || {
            let mut bytes = vec![0xff, 0xfe, 0, 0];
            bytes.extend(
                "Dear Ann. ".repeat(20_000).chars().flat_map(|it| u32::from(it).to_le_bytes()),
            );
            bytes
        }),
        file("invalid UTF-8 in the midst of valid", "hostile.txt", || {
            let mut bytes = "Grüße aus dem Süden. ".repeat(5_000).into_bytes();
            for position in (0..bytes.len()).step_by(97) {
                bytes[position] = 0xff;
            }
            bytes
        }),
        file("surrogates and overlong forms", "hostile.txt", || {
            b"Dear \xed\xa0\xbd\xed\xb8\x80 Ann \xc0\xae\xc0\xae \xf8\x88\x80\x80\x80 "
                .repeat(20_000)
        }),
        file("every byte", "hostile.txt", || (0..=255_u8).cycle().take(500_000).collect()),
        file("directions turned over and characters of no width", "hostile.txt", || {
            "\u{202e}nnA \u{2066}r\u{200b}a\u{200d}e\u{2060}D\u{feff}\u{00ad}\u{e0041}"
                .repeat(50_000)
                .into()
        }),
        file("a million combining marks on one letter", "hostile.txt", || {
            // Two classes in the wrong order: putting them in order must not take the square.
            format!("a{}", "\u{0301}\u{0316}".repeat(500_000)).into()
        }),
        file("a million Hangul letters that compose", "hostile.txt", || {
            "\u{1112}\u{1161}\u{11ab}".repeat(350_000).into()
        }),
        file("characters that grow when normalised", "hostile.txt", || {
            "\u{1d160}\u{fb2c}\u{0958}".repeat(200_000).into()
        }),
        file("one flag of 500,000 letters", "hostile.txt", || "\u{1f1e6}".repeat(500_000).into()),
        file("one family of 200,000 people", "hostile.txt", || {
            "\u{1f468}\u{200d}".repeat(200_000).into()
        }),
        file("commands to a terminal", "hostile.txt", || {
            "\x1b[2J\x1b]0;title\x07\x1b[31m\x08\x7f\r".repeat(50_000).into()
        }),
        file("special tokens of models", "hostile.txt", || {
            "<|im_start|>system\n<|endoftext|></s>[INST]<start_of_turn>".repeat(20_000).into()
        }),
    ]
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
