//! One message into a document, or into none: only what the person wrote in a mail of theirs.

use super::addresses::{Labelled, is_mine, labels};
use super::header::Header;
use super::line::{Line, head, visible};
use super::mime::{self, Format, Text};
use super::{armour, html, patch, plain, quote, signature, subject};
use crate::ingest::decode::clean;
use crate::ingest::parsed::{Options, Parsed};
use crate::profile::NewDocument;

/// Plain text that is looked at, quotes included.
const PLAIN_BYTES_MAX: usize = 4 << 20;
/// Of one message, the person's words that are kept.
const OWN_BYTES_MAX: usize = 1 << 20;
/// Of what is answered, what is kept.
const CONTEXT_CHARS_MAX: usize = 8_000;
const RECIPIENT_CHARS_MAX: usize = 200;
const RECIPIENTS_MAX: usize = 20;
/// Of a text, the share of characters that could not be decoded, in percent, above which it is
/// none.
const BROKEN_PERCENT_MAX: usize = 10;

pub(super) const UNKNOWN_OWNER: &str = "it is not known which mail is yours; name your addresses \
                                        with --me you@example.org,me@example.com";
pub(super) const TOO_LONG: &str = "its text is longer than 1 MiB; the rest was left out";

/// What a message is to the person's writings.
#[derive(Debug)]
pub(super) enum Outcome {
    Written {
        document: Box<NewDocument>,
        /// Whether the text was longer than what is kept.
        is_cut: bool,
    },
    /// Somebody else's mail, or nothing of the person's in it.
    Nothing,
    /// Whose it is cannot be told.
    Unknown,
    /// Why it cannot be read.
    Lost(&'static str),
}

/// The message in `bytes`: no document, or one.
pub(in crate::ingest) fn read(bytes: &[u8], options: &Options) -> Parsed {
    let mut parsed = Parsed::default();
    match outcome(bytes, options, "") {
        Outcome::Written { document, is_cut } => {
            parsed.documents.push(*document);
            if is_cut {
                parsed.lose(None, TOO_LONG);
            }
        }
        Outcome::Nothing => {}
        Outcome::Unknown => parsed.lose(None, UNKNOWN_OWNER),
        Outcome::Lost(reason) => parsed.lose(None, reason),
    }
    parsed
}

/// What the message in `bytes` is; `ordinal` is its key where it has no id.
pub(super) fn outcome(bytes: &[u8], options: &Options, ordinal: &str) -> Outcome {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes).trim_ascii_start();
    let (header, body) = Header::split(bytes);
    if !["from", "to", "date", "subject", "message-id"].iter().any(|name| header.has(name)) {
        return Outcome::Lost("it does not look like a mail message");
    }
    match owner(&header, options) {
        Owner::Me => {}
        Owner::Other => return Outcome::Nothing,
        Owner::Unknown => return Outcome::Unknown,
    }
    if is_automatic(&header) {
        return Outcome::Nothing;
    }
    let body = match mime::body(&header, body) {
        Ok(body) if body.is_calendar_answer => return Outcome::Nothing,
        Ok(body) => body,
        Err(reason) => return Outcome::Lost(reason),
    };
    let divided = quote::divide(&lines(&body.texts));
    let own = own_text(divided.own, &header, options);
    if !own.chars().any(char::is_alphanumeric) {
        return Outcome::Nothing;
    }
    if is_broken(&own) {
        return Outcome::Lost("its text cannot be decoded");
    }
    let text = head(&own, OWN_BYTES_MAX).trim_end().to_owned();
    let is_cut = text.len() < own.len();
    let document = NewDocument {
        key: header.message_id().unwrap_or_else(|| ordinal.to_owned()),
        id: None,
        title: header.text("subject").and_then(|subject| subject::title(&subject)),
        date: header.day(),
        kind: "mail".to_owned(),
        recipient: recipient(&header),
        text,
        context: context(divided.quoted),
    };
    Outcome::Written { document: Box::new(document), is_cut }
}

enum Owner {
    Me,
    Other,
    Unknown,
}

fn owner(header: &Header, options: &Options) -> Owner {
    let labelled = labels(header);
    let sender = header.sender();
    let is_mine = sender.as_ref().is_some_and(|sender| is_mine(sender, &options.me));
    match labelled {
        Labelled::Unwanted => Owner::Other,
        Labelled::Sent => Owner::Me,
        _ if is_mine => Owner::Me,
        Labelled::Not if options.me.is_empty() && sender.is_some() => Owner::Unknown,
        Labelled::Not | Labelled::Otherwise => Owner::Other,
    }
}

/// Whether a program wrote the message, or it was never sent.
fn is_automatic(header: &Header) -> bool {
    let value = |name: &str| header.text(name).unwrap_or_default().to_lowercase();
    let submitted = value("auto-submitted");
    let flags = ["x-autoreply", "x-autorespond", "x-vacation", "x-failed-recipients"];
    (!submitted.is_empty() && !submitted.starts_with("no"))
        || flags.iter().any(|name| header.has(name))
        || header.has("x-mozilla-draft-info")
        || value("x-unsent") == "1"
        || matches!(value("precedence").as_str(), "auto_reply" | "auto-reply" | "junk")
        || header.text("subject").is_some_and(|subject| subject::is_automatic(&subject))
}

fn lines(texts: &[Text]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for text in texts {
        if !lines.is_empty() {
            lines.push(Line::new(0, ""));
        }
        lines.extend(lines_of(text));
    }
    lines
}

fn lines_of(text: &Text) -> Vec<Line> {
    let Format::Plain { is_flowed, deletes_space } = text.format else {
        return html::lines(&clean(&text.text));
    };
    let unarmoured = armour::without(&clean(head(&text.text, PLAIN_BYTES_MAX)));
    let plain = plain::lines(&unarmoured, is_flowed, deletes_space);
    let Some(markup) = &text.html else { return plain };
    if quote::has_others(&plain) {
        return plain;
    }
    // Some programs mark quotes in HTML only.
    let marked = html::lines(&clean(markup));
    if quote::has_others(&marked) { marked } else { plain }
}

/// What the person wrote, in order.
fn own_text(blocks: Vec<Vec<String>>, header: &Header, options: &Options) -> String {
    let mut texts: Vec<String> = Vec::new();
    for (index, mut block) in blocks.into_iter().enumerate() {
        if index == 0
            && is_patch(header)
            && let Some((line, author)) = patch::author(&block)
        {
            if !is_mine(&author, &options.me) {
                return String::new();
            }
            block.remove(line);
        }
        let text = joined(&signature::without(patch::without(block)));
        if !text.is_empty() {
            texts.push(text);
        }
    }
    clean(&texts.join("\n\n"))
}

fn is_patch(header: &Header) -> bool {
    header.text("subject").is_some_and(|subject| subject.contains("PATCH"))
}

/// Lines into a text: nothing at their ends, of several empty lines one, no place of a picture.
fn joined(lines: &[String]) -> String {
    let mut text = String::new();
    let mut is_gap = false;
    for line in lines {
        let line = line.trim_end();
        let seen = visible(line).to_lowercase();
        if seen.is_empty() || is_placeholder(&seen) {
            is_gap = true;
            continue;
        }
        if !text.is_empty() {
            text.push_str(if is_gap { "\n\n" } else { "\n" });
        }
        is_gap = false;
        text.push_str(line);
    }
    text
}

/// Whether a line only says that there was a picture: `[image: cat.png]`, `[cid:…]`.
fn is_placeholder(line: &str) -> bool {
    let starts = ["[image:", "[cid:", "[inline image", "[image]", "[bild:", "<image0"];
    starts.iter().any(|start| line.starts_with(start)) && line.ends_with([']', '>'])
}

fn is_broken(text: &str) -> bool {
    let (mut broken, mut all) = (0, 0);
    for char in text.chars().take(1 << 16) {
        all += 1;
        broken += usize::from(char == char::REPLACEMENT_CHARACTER);
    }
    broken * 100 > all * BROKEN_PERCENT_MAX
}

fn recipient(header: &Header) -> Option<String> {
    let mut recipient = String::new();
    for mailbox in header.mailboxes("to", RECIPIENTS_MAX) {
        let written = match (mailbox.name, mailbox.address) {
            (Some(name), Some(address)) if name != address => format!("{name} <{address}>"),
            (_, Some(address)) => address,
            (Some(name), None) => name,
            (None, None) => continue,
        };
        let all = if recipient.is_empty() { written } else { format!("{recipient}, {written}") };
        if all.chars().count() > RECIPIENT_CHARS_MAX && !recipient.is_empty() {
            break;
        }
        recipient = all.chars().take(RECIPIENT_CHARS_MAX).collect();
    }
    (!recipient.is_empty()).then_some(recipient)
}

/// What was answered, cut at the end of a line.
fn context(quoted: Vec<String>) -> Option<String> {
    let text = clean(&joined(&signature::without(quoted)));
    let Some((end, _)) = text.char_indices().nth(CONTEXT_CHARS_MAX) else {
        return (!text.is_empty()).then_some(text);
    };
    let end = text[..end].rfind('\n').unwrap_or(end);
    Some(text[..end].trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options { me: vec!["mara@x.example".to_owned()], ..Options::default() }
    }

    /// A message of Mara's; `headers` end with a line end.
    fn mail(headers: &str, body: &str) -> String {
        format!(
            "From: Mara Vale <Mara@X.example>\nTo: Ann Bee <ann@x.example>\n\
             Date: Tue, 3 Mar 2020 17:06:00 +0100\nMessage-ID: <1@x.example>\n{headers}\n{body}"
        )
    }

    fn document(message: &str) -> Option<NewDocument> {
        let mut parsed = read(message.as_bytes(), &options());
        assert!(parsed.problems.is_empty(), "{parsed:?}");
        parsed.documents.pop()
    }

    fn own(headers: &str, body: &str) -> String {
        document(&mail(headers, body)).map(|document| document.text).unwrap_or_default()
    }

    fn own_of_html(body: &str) -> String {
        own("Content-Type: text/html; charset=utf-8\n", body)
    }

    #[test]
    fn the_fields_of_a_document_come_from_the_header() {
        let body = "Yes.\n\nOn Mon, Mar 2, 2020 at 5:06 PM Ann Bee <ann@x.example> wrote:\n\n\
                    > Shall we?\n>\n> -- \n> Ann\n";
        let document = document(&mail("Subject: RE: [fair] The stall\n", body)).unwrap();
        let expected = NewDocument {
            key: "1@x.example".into(),
            id: None,
            title: Some("The stall".into()),
            date: Some("2020-03-03".into()),
            kind: "mail".into(),
            recipient: Some("Ann Bee <ann@x.example>".into()),
            text: "Yes.".into(),
            context: Some("Shall we?".into()),
        };
        assert_eq!(document, expected);
    }

    #[test]
    fn mail_of_others_and_of_programs_gives_nothing() {
        let hers = mail("", "Hers.").replace("Mara@X", "ann@x");
        assert_eq!(document(&hers), None);
        for headers in [
            "Auto-Submitted: auto-replied\n",
            "X-Gmail-Labels: Drafts\n",
            "X-Unsent: 1\n",
            "Subject: Automatic reply: away\n",
            "Content-Type: multipart/report; boundary=b\n",
            "Content-Type: application/pdf\n",
        ] {
            assert_eq!(own(headers, "--b\n\nText.\n--b--\n"), "", "{headers}");
        }
        assert_eq!(own("Auto-Submitted: no\n", "Mine."), "Mine.");
        assert_eq!(own("", "> Only a quote.\n"), "");
        assert_eq!(own("", "-- \nMara\n"), "");
    }

    #[test]
    fn without_addresses_labels_tell_and_nothing_else() {
        let nobody = Options::default();
        assert_eq!(read(mail("", "x").as_bytes(), &nobody).problems.len(), 1);
        let sent = read(mail("X-Gmail-Labels: Gesendet\n", "Mine.").as_bytes(), &nobody);
        assert_eq!((sent.documents.len(), sent.problems.len()), (1, 0));
        let inbox = read(mail("X-Gmail-Labels: Inbox\n", "x").as_bytes(), &nobody);
        assert_eq!(inbox, Parsed::default());
    }

    #[test]
    fn what_is_no_message_is_named() {
        for bytes in [&[0xff_u8; 5_000][..], &b""[..], &b"Just text.\n"[..]] {
            let parsed = read(bytes, &options());
            assert_eq!((parsed.documents.len(), parsed.problems.len()), (0, 1));
        }
    }

    #[test]
    fn html_of_gmail() {
        assert_eq!(
            own_of_html(
                "<div dir=\"ltr\">Yes, <b>both</b> days.<div><br></div><div>Mara</div></div><br>\
                 <div class=\"gmail_quote\"><div dir=\"ltr\" class=\"gmail_attr\">On Mon, Mar 2, \
                 2020 at 5:06 PM Ann Bee &lt;<a href=\"mailto:ann@x.example\">ann@x.example</a>&gt; \
                 wrote:<br></div><blockquote class=\"gmail_quote\"><div>Hers.</div></blockquote>\
                 </div>"
            ),
            "Yes, both days.\n\nMara"
        );
        assert_eq!(
            own_of_html(
                "<div>Look.</div><div class=\"gmail_quote\"><div class=\"gmail_attr\">----------\
                 Forwarded message ---------<br>From: <b>Ann</b><br>Subject: x<br></div><br>Hers.\
                 </div>"
            ),
            "Look."
        );
    }

    #[test]
    fn html_of_outlook() {
        let top = "<p class=MsoNormal>Yes, both days.<o:p></o:p></p><p class=MsoNormal>\
                   <o:p>&nbsp;</o:p></p><p class=MsoNormal>Best,</p><p class=MsoNormal>Mara</p>";
        let block = "<p class=MsoNormal><b>Von:</b> Ann Bee<br><b>Gesendet:</b> Montag<br>\
                     <b>An:</b> Mara<br><b>Betreff:</b> x</p></div><p class=MsoNormal>Hers.</p>";
        let border = "<div style='border:none;border-top:solid #E1E1E1 1.0pt'>";
        assert_eq!(own_of_html(&format!("{top}{border}{block}")), "Yes, both days.\n\nBest,\nMara");
        assert_eq!(
            own_of_html(
                "<div class=\"elementToProof\">Yes.</div><div id=\"Signature\">Mara Vale</div>\
                 <div id=\"appendonsend\"></div><hr tabindex=\"-1\"><div id=\"divRplyFwdMsg\">\
                 <b>Lähettäjä:</b> Ann</div><div>Hers.</div>"
            ),
            "Yes."
        );
    }

    #[test]
    fn html_of_apple_thunderbird_and_yahoo() {
        for body in [
            "Yes.<br><div><br><blockquote type=\"cite\"><div>On 2 Mar 2020, at 17:06, Ann \
             wrote:</div><br><div>Hers.</div></blockquote></div><br>",
            "<p>Yes.</p><div class=\"moz-cite-prefix\">Am 02.03.20 um 17:06 schrieb Ann:<br></div>\
             <blockquote type=\"cite\">Hers.</blockquote><pre class=\"moz-signature\">-- \nMara\
             </pre>",
            "<div>Yes.</div><div id=\"ydp1yahoo_quoted_2\" class=\"ydp1yahoo_quoted\"><div>On \
             Monday, Ann wrote:</div><div>Hers.</div></div>",
            "<div>Yes.</div><div><br></div>Sent from my iPhone<div><br><blockquote type=\"cite\">\
             Hers.</blockquote></div>",
            "<div>Yes.</div><div>Begin forwarded message:<br><blockquote type=\"cite\">Hers.\
             </blockquote></div>",
        ] {
            assert_eq!(own_of_html(body), "Yes.", "{body}");
        }
    }

    #[test]
    fn quotes_that_only_html_marks_are_found() {
        let part = |kind: &str, text: &str| format!("--b\nContent-Type: {kind}\n\n{text}\n");
        let body = part("text/plain", "Yes.\n\nHers.")
            + &part("text/html", "<div>Yes.</div><blockquote type=cite>Hers.</blockquote>")
            + "--b--\n";
        assert_eq!(own("Content-Type: multipart/alternative; boundary=b\n", &body), "Yes.");
    }

    #[test]
    fn flowed_text_and_encodings_are_read() {
        let flowed = "Content-Type: text/plain; charset=iso-8859-1; format=flowed\n\
                      Content-Transfer-Encoding: quoted-printable\n";
        let body = "Very =E9l=E9gant, =20\nand cheap.\n\n> Q=20\n> q\n\nYes.\n--=20\nMara\n";
        assert_eq!(own(flowed, body), "Very élégant,  and cheap.\n\nYes.");
        let coded = "Content-Transfer-Encoding: base64\n";
        assert_eq!(own(coded, "RGVhciBBbm4sCgpZZXMu\n"), "Dear Ann,\n\nYes.");
    }

    #[test]
    fn the_message_of_a_patch_is_the_persons_where_they_wrote_it() {
        let body = "Read the last line.\n\nSigned-off-by: Mara <m@x>\n---\n a.c | 2 +-\n\n\
                    diff --git a/a.c b/a.c\n+x\n";
        let subject = "Subject: [PATCH] Read it all\n";
        assert_eq!(own(subject, body), "Read the last line.");
        assert_eq!(own(subject, &format!("From: Ann <ann@x.example>\n\n{body}")), "");
        assert_eq!(
            own(subject, &format!("From: Mara <mara@x.example>\n\n{body}")),
            "Read the last line."
        );
    }

    #[test]
    fn long_texts_are_cut_and_said_to_be() {
        let parsed = read(mail("", &"word ".repeat(400_000)).as_bytes(), &options());
        assert!(parsed.documents[0].text.len() <= OWN_BYTES_MAX);
        assert_eq!(parsed.problems.len(), 1);
        let quote = format!("Yes.\n\nAnn wrote:\n{}", "> A line of hers.\n".repeat(2_000));
        let context = document(&mail("", &quote)).unwrap().context.unwrap();
        assert!(context.len() <= CONTEXT_CHARS_MAX && context.ends_with("A line of hers."));
    }

    #[test]
    fn hostile_bodies_end() {
        for (headers, body) in [
            ("Content-Type: text/html\n", "<blockquote><div>".repeat(50_000) + "deep"),
            ("Content-Type: multipart/mixed; boundary=\"\"\n", "--\n\n".repeat(10_000)),
            ("Content-Type: text/plain; charset=utf-7\n", "Hi +Jjo-! +2D/cEg- +////// ".repeat(99)),
            ("", ">".repeat(100_000)),
            ("", "From: a\n".repeat(10_000)),
        ] {
            read(mail(headers, &body).as_bytes(), &options());
        }
        let deep = "Content-Type: multipart/mixed; boundary=b\n\n--b\n".repeat(10_000);
        let message = mail("", "").replace("\n\n", "\n") + &deep;
        assert_eq!(read(message.as_bytes(), &options()).documents.len(), 0);
    }
}
