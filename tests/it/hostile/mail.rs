//! Messages and mailboxes.

use std::fs;
use std::path::Path;

use super::{Case, built, file};

const HEADERS: &str = "From: Me <me@example.org>\nTo: Ann <ann@example.org>\nSubject: Hostile\n\
     Message-ID: <hostile@example.org>\nMIME-Version: 1.0\n";
const DATE: &str = "Date: Tue, 4 May 2021 10:00:00 +0000\n";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = header_cases();
    cases.extend(body_cases());
    cases.extend(mailbox_cases());
    cases
}

fn header_cases() -> Vec<Case> {
    vec![
        file("a header line of 1 MB", "hostile.eml", || {
            mail(&format!("X-Long: {}\n", "x".repeat(1 << 20)), "Body.\n")
        }),
        file("100,000 headers", "hostile.eml", || mail(&"X-More: x\n".repeat(100_000), "Body.\n")),
        file("a header folded 100,000 times", "hostile.eml", || {
            mail(&format!("X-Folded: a{}\n", "\n a".repeat(100_000)), "Body.\n")
        }),
        file("a sender's name of 1 MB", "hostile.eml", || {
            let name = "M".repeat(1 << 20);
            format!("From: {name} <me@example.org>\nTo: ann@example.org\n{DATE}\nBody.\n").into()
        }),
        file("50,000 encoded words in a subject", "hostile.eml", || {
            let words = "\n =?utf-8?B?w6TDtsO8?=".repeat(50_000);
            format!("From: me@example.org\nSubject:{words}\n{DATE}\nBody.\n").into()
        }),
        file("100,000 recipients in nested groups", "hostile.eml", || {
            let groups = "g:a@example.org,".repeat(100_000);
            format!("From: me@example.org\nTo: {groups};\n{DATE}\nBody.\n").into()
        }),
        file("100,000 comments in brackets in an address", "hostile.eml", || {
            let comments = "(".repeat(100_000);
            format!("From: {comments} me@example.org\n{DATE}\nBody.\n").into()
        }),
        file("the year 0", "hostile.eml", || dated("Sat, 1 Jan 0000 00:00:00 +0000")),
        file("the year 99999", "hostile.eml", || dated("Sat, 1 Jan 99999 00:00:00 +0000")),
        file("a date of numbers that overflow", "hostile.eml", || {
            dated("Sat, 99 Feb 4294967297 99:99:99 +99999999999999999999")
        }),
        file("no header ends", "hostile.eml", || "From me".repeat(200_000).into()),
    ]
}

fn body_cases() -> Vec<Case> {
    vec![
        file("multiparts nested 10,000 deep", "hostile.eml", nested_multiparts),
        file("100,000 parts", "hostile.eml", || {
            let part = "--b\nContent-Type: text/plain\n\nA part.\n";
            let body = format!("{}--b--\n", part.repeat(100_000));
            mail("Content-Type: multipart/mixed; boundary=b\n", &body)
        }),
        file("a part with its parent's boundary", "hostile.eml", || {
            let part = "--b\nContent-Type: multipart/mixed; boundary=b\n\n";
            mail("Content-Type: multipart/mixed; boundary=b\n", &part.repeat(20_000))
        }),
        file("an empty boundary", "hostile.eml", || {
            mail("Content-Type: multipart/mixed; boundary=\"\"\n", &"--\n\n".repeat(100_000))
        }),
        file("messages nested 1,000 deep", "hostile.eml", || {
            let level = format!("{HEADERS}{DATE}Content-Type: message/rfc822\n\n");
            format!("{}{HEADERS}{DATE}\nAt the bottom.\n", level.repeat(1_000)).into()
        }),
        file("messages in base64 nested 16 deep", "hostile.eml", nested_base64),
        file("20 MB of base64 on one line", "hostile.eml", || {
            let body = "QUFB".repeat(5 << 20);
            mail("Content-Type: text/plain\nContent-Transfer-Encoding: base64\n", &body)
        }),
        file("base64 that is none", "hostile.eml", || {
            let headers = "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n";
            mail(headers, &"=*=A\u{e9}=".repeat(200_000))
        }),
        file("a quoted-printable line of 5 MB in soft breaks", "hostile.eml", || {
            let headers = "Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n";
            mail(headers, &"softly=20broken=\n".repeat(5_000_000 / 17))
        }),
        file("binary content that is declared UTF-8", "hostile.eml", || {
            let mut bytes = mail("Content-Type: text/plain; charset=utf-8\n", "");
            bytes.extend((0..=255_u8).cycle().take(100_000));
            bytes
        }),
        file("ASCII that is declared UTF-16", "hostile.eml", || {
            mail("Content-Type: text/plain; charset=utf-16\n", &"This is ASCII.\n".repeat(1_000))
        }),
        file("UTF-7", "hostile.eml", || {
            let body = "Hi Mom +Jjo-! +2D/cEg- +////// +AAAA".repeat(10_000);
            mail("Content-Type: text/plain; charset=utf-7\n", &body)
        }),
        file("ISO-2022-JP that never leaves its shift", "hostile.eml", || {
            let body = "\x1b$B\x1b(B\x1b$@".repeat(100_000);
            mail("Content-Type: text/plain; charset=iso-2022-jp\n", &body)
        }),
        file("a charset of no known name", "hostile.eml", || {
            let charset = "x".repeat(100_000);
            mail(&format!("Content-Type: text/plain; charset=\"{charset}\"\n"), "Body.\n")
        }),
        file("quotes nested 100,000 deep", "hostile.eml", || {
            mail("", &format!("{} deep\n", ">".repeat(100_000)))
        }),
        file("100,000 lines that introduce a quote", "hostile.eml", || {
            mail("", &"On Tue, 4 May 2021, Ann <ann@example.org> wrote:\n".repeat(100_000))
        }),
        file("an HTML part nested 50,000 deep", "hostile.eml", || {
            let body = format!("{}deep", "<blockquote><div>".repeat(50_000));
            mail("Content-Type: text/html; charset=utf-8\n", &body)
        }),
    ]
}

fn mailbox_cases() -> Vec<Case> {
    vec![
        file("lines that begin with From and are not escaped", "hostile.mbox", || {
            let message = format!(
                "From me@example.org Tue May  4 10:00:00 2021\n{HEADERS}{DATE}\n\
                 Dear Ann,\n\nFrom here on it rains.\nFrom \nFrom: nobody\n\n\
                 From me@example.org Tue May  4 10:00:00 2021 is what a line may begin with.\n\n"
            );
            message.repeat(200).into()
        }),
        file("a mailbox of 100,000 separators", "hostile.mbox", || {
            "From me@example.org Tue May  4 10:00:00 2021\n".repeat(100_000).into()
        }),
        file("a mailbox of NUL bytes", "hostile.mbox", || vec![0; 4 << 20]),
        file("a mailbox without a separator", "hostile.mbox", || {
            "This is no mailbox at all.\n".repeat(100_000).into()
        }),
        file("50,000 tiny messages under one id", "hostile.mbox", || {
            let message = "From me Tue May  4 10:00:00 2021\nFrom: me@example.org\n\
                           Message-ID: <one@example.org>\nIn-Reply-To: <one@example.org>\n\nHi.\n\n";
            message.repeat(50_000).into()
        }),
        built("Maildir with colons in its names", maildir),
    ]
}

/// A message of mine; `headers` end with a line end.
fn mail(headers: &str, body: &str) -> Vec<u8> {
    format!("{HEADERS}{DATE}{headers}\n{body}").into()
}

fn dated(date: &str) -> Vec<u8> {
    format!("{HEADERS}Date: {date}\n\nWritten outside of time.\n").into()
}

fn nested_multiparts() -> Vec<u8> {
    const DEPTH: usize = 10_000;
    let mut text = format!("{HEADERS}{DATE}");
    for level in 0..DEPTH {
        text.push_str(&format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"));
    }
    text.push_str("Content-Type: text/plain\n\nAt the bottom.\n");
    for level in (0..DEPTH).rev() {
        text.push_str(&format!("--b{level}--\n"));
    }
    text.into()
}

/// Each level is a message in base64 within the one around it.
fn nested_base64() -> Vec<u8> {
    let mut message = mail("", &"At the bottom. ".repeat(1_000));
    for _ in 0..16 {
        let headers = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n";
        message = mail(headers, &base64(&message));
    }
    message
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (index, group) in bytes.chunks(3).enumerate() {
        if index > 0 && index % 19 == 0 {
            text.push('\n');
        }
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            let is_padding = digit > group.len();
            text.push(if is_padding { '=' } else { char::from(BASE64[index as usize]) });
        }
    }
    text.push('\n');
    text
}

fn maildir(folder: &Path) {
    let maildir = folder.join("Maildir");
    for name in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(name)).unwrap();
    }
    let names = [
        "cur/1620122400.M1P2.host,S=100:2,S",
        "cur/1620122400.M1P2.host,S=100:2,",
        "cur/1620122401.M1P2.host:2,FRS",
        "cur/:2,S",
        "new/1620122402.M1P2.host",
        "tmp/1620122403.M1P2.host",
    ];
    for name in names {
        fs::write(maildir.join(name), mail("", &format!("This is the letter {name}.\n"))).unwrap();
    }
    fs::write(maildir.join("cur/1620122404.M1P2.host:2,S"), [0xff; 5_000]).unwrap();
}
