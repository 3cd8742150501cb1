//! One source through the reader of its kind.
//!
//! This runs in a process of its own, since what is read is anybody's: see `worker.rs`. Nothing
//! here knows the store, or the other sources.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde_json::Value;

use super::frame::{Content, Order, Reading, Task};
use super::kind::MBOX_MARK;
use super::parsed::{Options, Parsed};
use super::{
    Kind, chatgpt, claude, csv, decode, docx, html, jsonl, longlamp, mail, markdown, odt, open,
    org, pdf, rst, text,
};

/// Bytes of a mailbox between two signs of progress.
const PROGRESS_BYTES: usize = 1 << 20;
/// A row that is longer is not looked at to tell what it is.
const ROW_BYTES_MAX: usize = 8 << 20;
/// Of one source, problems that are told one by one.
const PROBLEMS_MAX: usize = 200;
/// Messages of a mailbox whose senders are looked at, and bytes in which they are looked for.
const SENDERS_MAX: usize = 100;
const SENDERS_BYTES_MAX: u64 = 8 << 20;

/// Does what `order` says. `progress` is called every now and then while a mailbox is read.
pub(super) fn read(order: &Order<'_>, content: &Content, progress: &mut dyn FnMut()) -> Reading {
    match order.task {
        Task::Senders => Reading::Senders(senders(order.kind, content)),
        Task::Documents => match documents(order, content, progress) {
            Ok(Some(parsed)) => Reading::Documents(finished(order.kind, parsed)),
            Ok(None) => Reading::OtherKind,
            Err(reason) => Reading::Documents(Parsed::failed(reason)),
        },
    }
}

/// `None` where it is of none of our kinds.
fn documents(
    order: &Order<'_>,
    content: &Content,
    progress: &mut dyn FnMut(),
) -> Result<Option<Parsed>, String> {
    let options = &*order.options;
    if order.kind == Kind::Mbox {
        return mailbox(content, options, progress).map(Some);
    }
    let bytes = match content {
        Content::Bytes(bytes) => Cow::Borrowed(bytes.as_slice()),
        Content::File(path) => Cow::Owned(read_file(path, order.file_bytes_max)?),
    };
    let parsed = match order.kind {
        Kind::Mail => mail::message::read(&bytes, options),
        Kind::Html => html::read_bytes(&bytes, options),
        Kind::Pdf => pdf::read(&bytes, options),
        Kind::Docx => docx::read(&bytes, options),
        Kind::Odt => odt::read(&bytes, options),
        kind => return of_text(kind, bytes, options),
    };
    Ok(Some(parsed))
}

fn of_text(kind: Kind, bytes: Cow<'_, [u8]>, options: &Options) -> Result<Option<Parsed>, String> {
    let decoded = decode::text(&bytes)?;
    // Memory is bounded here: what is not needed any more goes.
    drop(bytes);
    let text = decoded.text.as_str();
    let mut parsed = match kind {
        Kind::Markdown => markdown::read(text),
        Kind::Org => org::read(text, options),
        Kind::Rst => rst::read(text, options),
        Kind::Csv => csv::read(text, options),
        Kind::Jsonl if is_of_people(text) => longlamp::read(text, options),
        Kind::Jsonl => jsonl::read(text, options),
        Kind::Json => return Ok(json(text, options)),
        _ => text::read(text),
    };
    if decoded.broken > 0 {
        let broken = decoded.broken;
        parsed.note(None, format!("{broken} places are not valid UTF-8; kept as U+FFFD"));
    }
    Ok(Some(parsed))
}

/// JSON that somebody else's program wrote; `None` where it is none that we know.
fn json(text: &str, options: &Options) -> Option<Parsed> {
    if chatgpt::looks_like(text) {
        Some(chatgpt::read(text, options))
    } else if claude::looks_like(text) {
        Some(claude::read(text, options))
    } else if text.trim_start().strip_prefix('[').is_some_and(is_of_people) {
        Some(longlamp::read(text, options))
    } else {
        None
    }
}

/// Whether the first of `rows` is of the shape of LongLaMP.
fn is_of_people(rows: &str) -> bool {
    let start = &rows.as_bytes()[..rows.len().min(ROW_BYTES_MAX)];
    let first = serde_json::Deserializer::from_slice(start).into_iter::<Value>().next();
    first.and_then(Result::ok).is_some_and(|row| longlamp::looks_like(&row))
}

fn mailbox(
    content: &Content,
    options: &Options,
    progress: &mut dyn FnMut(),
) -> Result<Parsed, String> {
    match content {
        Content::Bytes(bytes) => Ok(mail::mbox::read(&mut bytes.as_slice(), options)),
        Content::File(path) => {
            let inner = BufReader::new(open(path)?);
            let mut watched = Watched { inner, unreported: 0, progress };
            Ok(mail::mbox::read(&mut watched, options))
        }
    }
}

/// What is the same for every kind: documents know their kind, silence is explained, and a
/// thousand problems are told as some.
fn finished(kind: Kind, mut parsed: Parsed) -> Parsed {
    for document in &mut parsed.documents {
        if document.kind.is_empty() {
            kind.of_documents().clone_into(&mut document.kind);
        }
    }
    // Most mail is somebody else's: that there is none of the person's is nothing to tell.
    if parsed.documents.is_empty() && parsed.problems.is_empty() && !kind.is_mail() {
        parsed.note(None, "there is no text in it");
    }
    if parsed.problems.len() > PROBLEMS_MAX {
        // What cost writing comes first.
        parsed.problems.sort_by_key(|problem| !problem.lost);
        let rest = parsed.problems.split_off(PROBLEMS_MAX);
        let message = format!("{} more problems like these", rest.len());
        if rest.iter().any(|problem| problem.lost) {
            parsed.lose(None, message);
        } else {
            parsed.note(None, message);
        }
    }
    parsed
}

/// Who sent the first messages of a source.
fn senders(kind: Kind, content: &Content) -> Vec<String> {
    let own;
    let bytes = match content {
        Content::Bytes(bytes) => bytes.as_slice(),
        Content::File(path) => {
            let mut start = Vec::new();
            let read = open(path).and_then(|file| {
                let read = file.take(SENDERS_BYTES_MAX).read_to_end(&mut start);
                read.map_err(|error| error.to_string())
            });
            if read.is_err() {
                return Vec::new();
            }
            own = start;
            own.as_slice()
        }
    };
    let messages = if kind == Kind::Mbox { messages(bytes) } else { vec![bytes] };
    messages.into_iter().filter_map(mail::addresses::sender_of).collect()
}

/// The first messages of a mailbox, without the lines that part them.
fn messages(mailbox: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    let mut message: Option<(usize, usize)> = None;
    let mut offset = 0;
    for line in mailbox.split_inclusive(|byte| *byte == b'\n') {
        let end = offset + line.len();
        if line.starts_with(MBOX_MARK) {
            messages.extend(message.map(|(start, end)| &mailbox[start..end]));
            message = Some((end, end));
        } else if let Some((_, message_end)) = &mut message {
            *message_end = end;
        }
        if messages.len() == SENDERS_MAX {
            return messages;
        }
        offset = end;
    }
    messages.extend(message.map(|(start, end)| &mailbox[start..end]));
    messages
}

fn open(path: &Path) -> Result<File, String> {
    open::regular(path).map_err(|error| error.to_string())
}

/// The file's bytes; one that has grown past the bound since it was looked at is refused.
fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let file = open(path)?;
    let claimed = file.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = Vec::new();
    // One allocation instead of a doubling one: memory is bounded here.
    let room = usize::try_from(claimed.min(bytes_max)).unwrap_or(0);
    bytes.try_reserve_exact(room.saturating_add(1)).map_err(|error| error.to_string())?;
    let read = file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > bytes_max {
        return Err("the file has grown too large".into());
    }
    Ok(bytes)
}

/// A mailbox being read, telling of its progress.
struct Watched<'a, R> {
    inner: R,
    /// Bytes since it told last.
    unreported: usize,
    progress: &'a mut dyn FnMut(),
}

impl<R> Watched<'_, R> {
    fn count(&mut self, bytes: usize) {
        self.unreported += bytes;
        if self.unreported >= PROGRESS_BYTES {
            self.unreported = 0;
            (self.progress)();
        }
    }
}

impl<R: BufRead> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.count(bytes);
        Ok(bytes)
    }
}

impl<R: BufRead> BufRead for Watched<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.inner.consume(bytes);
        self.count(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn read_bytes(kind: Kind, bytes: &[u8]) -> Reading {
        let order = Order {
            task: Task::Documents,
            kind,
            is_path: false,
            file_bytes_max: 1 << 20,
            options: Cow::Owned(Options::default()),
        };
        read(&order, &Content::Bytes(Arc::new(bytes.to_vec())), &mut || {})
    }

    fn parsed(kind: Kind, bytes: &[u8]) -> Parsed {
        match read_bytes(kind, bytes) {
            Reading::Documents(parsed) => parsed,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn documents_know_their_kind() {
        for (kind, text) in [(Kind::Text, "a"), (Kind::Markdown, "b"), (Kind::Org, "c")] {
            assert_eq!(parsed(kind, text.as_bytes()).documents[0].kind, kind.name());
        }
        let row = parsed(Kind::Jsonl, b"{\"text\": \"d\"}");
        assert_eq!(row.documents[0].kind, "jsonl");
    }

    #[test]
    fn json_of_another_program_is_of_another_kind() {
        for text in ["{\"name\": \"package\"}", "[1, 2]", "[", "", "null", "[{\"a\": {}}]"] {
            assert!(
                matches!(read_bytes(Kind::Json, text.as_bytes()), Reading::OtherKind),
                "{text}"
            );
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_lost_and_an_empty_file_is_not() {
        assert!(parsed(Kind::Text, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01").problems[0].lost);
        assert!(!parsed(Kind::Text, b" \n").problems[0].lost);
        assert!(parsed(Kind::Mbox, b"").problems.iter().all(|problem| !problem.lost));
    }

    #[test]
    fn a_thousand_problems_are_told_as_some_with_the_losses_first() {
        let mut all = Parsed::default();
        for line in 0..1000 {
            all.note(Some(line), "note");
        }
        all.lose(Some(1000), "loss");
        let told = finished(Kind::Jsonl, all).problems;
        assert_eq!(told.len(), PROBLEMS_MAX + 1);
        assert_eq!(told[0].message, "loss");
        assert_eq!(told[PROBLEMS_MAX].message, "801 more problems like these");
        assert!(!told[PROBLEMS_MAX].lost);
    }

    #[test]
    fn a_mailbox_falls_apart_at_its_marks() {
        let mailbox = b"From a\nA: 1\n\nbody From here\nFrom b\nB: 2\n";
        assert_eq!(messages(mailbox), [&b"A: 1\n\nbody From here\n"[..], b"B: 2\n"]);
        assert!(messages(b"no mark at all\n").is_empty());
        let many = b"From a\nA: 1\n".repeat(3 * SENDERS_MAX);
        assert_eq!(messages(&many).len(), SENDERS_MAX);
    }

    #[test]
    fn progress_is_told_while_a_mailbox_is_read() {
        let bytes = vec![b'x'; 3 * PROGRESS_BYTES];
        let mut told = 0;
        let mut progress = || told += 1;
        let inner = BufReader::new(bytes.as_slice());
        let mut watched = Watched { inner, unreported: 0, progress: &mut progress };
        io::copy(&mut watched, &mut io::sink()).unwrap();
        assert_eq!(told, 3);
    }

    #[test]
    fn a_file_that_has_grown_past_the_bound_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, "text").unwrap();
        assert_eq!(read_file(&file, 4).unwrap(), b"text");
        assert!(read_file(&file, 3).is_err());
    }
}
