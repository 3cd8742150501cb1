//! Messages as bytes: header, MIME parts, transfer encodings, and the mailboxes that hold them.

use encoding_rs::WINDOWS_1252;
use jiff::civil::DateTime;

use super::letters::{Encoding, Extra, Form, Letter, Person, Style};

/// What a client hands over to be sent.
pub struct Body {
    /// The line of the header that names the client, or nothing.
    pub agent: &'static str,
    pub boundary: &'static str,
    /// What it encodes text in where that suffices; else it takes UTF-8.
    pub charset: &'static str,
    /// What follows the charset of the plain part.
    pub parameters: &'static str,
    pub plain: String,
    pub html: Option<String>,
    pub reply: &'static str,
    pub forward: &'static str,
}

impl Default for Body {
    fn default() -> Self {
        Self {
            agent: "",
            boundary: "=_boundary_",
            charset: "utf-8",
            parameters: "",
            plain: String::new(),
            html: None,
            reply: "Re: ",
            forward: "Fwd: ",
        }
    }
}

/// The message as it lies in a mailbox, with `\n` line ends.
pub fn message(letter: &Letter, body: &Body) -> Vec<u8> {
    let Letter { number, written, .. } = letter;
    let prefix = match letter.style {
        Style::New => "",
        Style::Forward => body.forward,
        Style::Top | Style::Inline | Style::Bottom => body.reply,
    };
    let subject = header_text(&format!("{prefix}{}", letter.subject));
    let mut lines = vec![
        format!("From: {}", address(written.author)),
        format!("To: {}", address(written.to)),
        format!("Subject: {subject}"),
        format!("Date: {} {}", written.at.strftime("%a, %-d %b %Y %H:%M:%S"), letter.zone),
        format!("Message-ID: <{number}.5e5e8a4d@mail.example.org>"),
    ];
    if let Some(earlier) = letter.earlier.first() {
        lines.push(format!("In-Reply-To: <{number}.1@{}>", earlier.author.mail.replace('@', ".")));
    }
    let more = [body.agent].into_iter().chain(letter.headers.iter().copied());
    lines.extend(more.filter(|line| !line.is_empty()).map(str::to_owned));
    lines.push("MIME-Version: 1.0\n".to_owned());
    let mut bytes = lines.join("\n").into_bytes();
    bytes.extend(content(letter, body));
    bytes
}

/// The text in the form that is sent, with what the letter carries besides.
fn content(letter: &Letter, body: &Body) -> Vec<u8> {
    let tail: String = letter.tail.iter().map(|line| format!("{line}\n")).collect();
    let plain = match tail.as_str() {
        "" => body.plain.clone(),
        tail => format!("{}\n{tail}", body.plain),
    };
    let boundary = |kind: &str| format!("{}{kind}{}", body.boundary, letter.number);
    let html = body.html.as_ref().map(|html| {
        let html = with_tail(html, &letter.tail);
        text_part("html", body.charset, "", &html, letter.encoding)
    });
    let text = match (html, letter.form) {
        (Some(html), Form::HtmlOnly) => html,
        (Some(html), Form::AsUsual) => {
            multipart("alternative", &boundary("a"), &[plain_part(letter, body, &plain), html])
        }
        _ => plain_part(letter, body, &plain),
    };
    match &letter.extra {
        Extra::Nothing => text,
        Extra::TextFile(file) => multipart("mixed", &boundary("m"), &[text, text_file(file)]),
        Extra::Message { from, text: inner } => {
            let inner = attached_message(letter, *from, inner);
            multipart("mixed", &boundary("m"), &[text, inner])
        }
        Extra::Picture => {
            let (before, after) = plain.split_once("\n\n").unwrap_or((plain.as_str(), ""));
            let before = plain_part(letter, body, &format!("{before}\n\n"));
            let after = plain_part(letter, body, after);
            multipart("mixed", &boundary("m"), &[before, picture(), after])
        }
        Extra::PgpSignature => {
            let kind = "signed; micalg=pgp-sha256; protocol=\"application/pgp-signature\"";
            multipart(kind, &boundary("s"), &[text, pgp_signature()])
        }
    }
}

fn plain_part(letter: &Letter, body: &Body, text: &str) -> Vec<u8> {
    text_part("plain", body.charset, body.parameters, text, letter.encoding)
}

fn text_file(text: &str) -> Vec<u8> {
    format!(
        "Content-Type: text/plain; charset=utf-8; name=\"minutes.txt\"\n\
         Content-Disposition: attachment; filename=\"minutes.txt\"\n\
         Content-Transfer-Encoding: 8bit\n\n{text}\n"
    )
    .into_bytes()
}

fn attached_message(letter: &Letter, from: Person, text: &str) -> Vec<u8> {
    format!(
        "Content-Type: message/rfc822\nContent-Disposition: attachment\n\n\
         From: {}\nTo: {}\nSubject: As it came\nDate: Mon, 1 Feb 2016 10:00:00 +0000\n\
         Message-ID: <inner.{}@mail.example.org>\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: 8bit\n\n{text}\n",
        address(from),
        address(letter.written.to),
        letter.number
    )
    .into_bytes()
}

fn picture() -> Vec<u8> {
    format!(
        "Content-Type: image/jpeg; name=\"IMG_0412.jpeg\"\n\
         Content-Disposition: inline; filename=\"IMG_0412.jpeg\"\n\
         Content-Transfer-Encoding: base64\n\n{}",
        base64(&[0xff_u8, 0xd8, 0xff, 0xe0].repeat(60))
    )
    .into_bytes()
}

fn pgp_signature() -> Vec<u8> {
    b"Content-Type: application/pgp-signature; name=\"signature.asc\"\n\n\
      -----BEGIN PGP SIGNATURE-----\n\niHUEABYKAB0WIQTxmYUb\n=Q9Xk\n\
      -----END PGP SIGNATURE-----\n"
        .to_vec()
}

/// A server's words before the end of the page.
fn with_tail(html: &str, tail: &[String]) -> String {
    if tail.is_empty() {
        return html.to_owned();
    }
    let tail = tail.join("<br>\n");
    let tail = format!("<br>\n<p style=\"font-size:8pt;color:gray\">{tail}</p>\n");
    let end = html.rfind("</body>").unwrap_or(html.len());
    format!("{}{tail}{}", &html[..end], &html[end..])
}

/// Parts, each with its header, in one.
fn multipart(kind: &str, boundary: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes =
        format!("Content-Type: multipart/{kind};\n\tboundary=\"{boundary}\"\n\n").into_bytes();
    for part in parts {
        bytes.extend(format!("--{boundary}\n").bytes());
        bytes.extend(part);
        bytes.push(b'\n');
    }
    bytes.extend(format!("--{boundary}--\n").bytes());
    bytes
}

fn text_part(
    kind: &str,
    charset: &str,
    parameters: &str,
    text: &str,
    encoding: Encoding,
) -> Vec<u8> {
    let (charset, bytes) = encoded(text, charset);
    // No line of a message may be longer than 998 bytes.
    let as_it_is = bytes.split(|&byte| byte == b'\n').all(|line| line.len() < 990);
    let (name, content) = match encoding {
        Encoding::Base64 => ("base64", base64(&with_crlf(&bytes)).into_bytes()),
        Encoding::AsUsual if as_it_is && bytes.is_ascii() => ("7bit", bytes),
        Encoding::EightBit if as_it_is => ("8bit", bytes),
        _ => ("quoted-printable", quoted_printable(&bytes).into_bytes()),
    };
    let mut part = format!(
        "Content-Type: text/{kind}; charset=\"{charset}\"{parameters}\n\
         Content-Transfer-Encoding: {name}\n\n"
    )
    .into_bytes();
    part.extend(content);
    part
}

/// In `charset` where that has all the letters, else in UTF-8.
fn encoded<'a>(text: &str, charset: &'a str) -> (&'a str, Vec<u8>) {
    let bytes = match charset {
        "us-ascii" => text.is_ascii().then(|| text.as_bytes().to_vec()),
        "iso-8859-1" => text.chars().map(|char| u8::try_from(char).ok()).collect(),
        "windows-1252" => {
            let (bytes, _, unmappable) = WINDOWS_1252.encode(text);
            (!unmappable).then(|| bytes.into_owned())
        }
        _ => None,
    };
    bytes.map_or_else(|| ("utf-8", text.as_bytes().to_vec()), |bytes| (charset, bytes))
}

/// With the line ends that some programs keep in their files.
pub fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    lines.join(&b"\r\n"[..])
}

fn quoted_printable(bytes: &[u8]) -> String {
    let mut lines = Vec::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        let (mut text, mut column) = (String::new(), 0);
        for (index, &byte) in line.iter().enumerate() {
            let is_last = index + 1 == line.len();
            let is_plain = (byte.is_ascii_graphic() && byte != b'=') || (byte == b' ' && !is_last);
            // Servers would put a mark before this word.
            let is_from = index == 0 && line.starts_with(b"From ");
            let piece = match is_plain && !is_from {
                true => char::from(byte).to_string(),
                false => format!("={byte:02X}"),
            };
            if column + piece.len() > 75 {
                text.push_str("=\n");
                column = 0;
            }
            column += piece.len();
            text.push_str(&piece);
        }
        lines.push(text);
    }
    lines.join("\n")
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for line in bytes.chunks(57) {
        for triple in line.chunks(3) {
            let byte = |index: usize| usize::from(triple.get(index).copied().unwrap_or(0));
            let group = (byte(0) << 16) | (byte(1) << 8) | byte(2);
            for index in 0..4 {
                let digit = DIGITS[(group >> (18 - 6 * index)) & 63];
                text.push(if index <= triple.len() { char::from(digit) } else { '=' });
            }
        }
        text.push('\n');
    }
    text
}

/// Whom a header names.
fn address(person: Person) -> String {
    match person.name {
        "" => person.mail.to_owned(),
        name if name.contains([',', '.']) => format!("\"{name}\" <{}>", person.mail),
        name => format!("{} <{}>", header_text(name), person.mail),
    }
}

/// Text of a header: folded where it is long, in encoded words where it is more than ASCII.
fn header_text(text: &str) -> String {
    if text.is_ascii() {
        return match text.len() > 66 {
            true => text.replacen(" remarks", "\n remarks", 1),
            false => text.to_owned(),
        };
    }
    let letters: Vec<char> = text.chars().collect();
    let words = letters.chunks(18).map(|chunk| {
        let chunk: String = chunk.iter().collect();
        // Both encodings are met with.
        match letters.len().is_multiple_of(2) {
            true => format!("=?UTF-8?B?{}?=", base64(chunk.as_bytes()).trim_end()),
            false => format!("=?iso-8859-1?Q?{}?=", encoded_word_q(&chunk)),
        }
    });
    words.collect::<Vec<_>>().join("\n ")
}

fn encoded_word_q(text: &str) -> String {
    let (_, bytes) = encoded(text, "iso-8859-1");
    let digit = |byte: &u8| match byte {
        b' ' => "_".to_owned(),
        byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
        byte => format!("={byte:02X}"),
    };
    bytes.iter().map(digit).collect()
}

/// The name of a message in a Maildir.
pub fn maildir_name(number: usize) -> String {
    format!("{}.M{number}P1.host:2,S", 1_483_228_800 + number * 777_600)
}

/// One file of messages, each with its sender and time. A line that would begin another message
/// is marked, and so is one that looks marked.
pub fn mbox<'a>(messages: impl Iterator<Item = (&'a str, DateTime, &'a [u8])>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (sender, at, message) in messages {
        let date = at.strftime("%a %b %e %H:%M:%S %Y");
        bytes.extend(format!("From {sender} {date}\n").bytes());
        for line in message.split_inclusive(|&byte| byte == b'\n') {
            let marks = line.iter().take_while(|&&byte| byte == b'>').count();
            if line[marks..].starts_with(b"From ") {
                bytes.push(b'>');
            }
            bytes.extend(
                line.strip_suffix(b"\r\n")
                    .unwrap_or_else(|| line.strip_suffix(b"\n").unwrap_or(line)),
            );
            bytes.push(b'\n');
        }
        bytes.push(b'\n');
    }
    bytes
}
