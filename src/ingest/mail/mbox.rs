//! A mailbox in one file, message by message, so that a file of any size takes little memory.
//!
//! A message begins at a line such as `From ann@x.example Tue Mar  3 17:06:00 2020` after an empty
//! line; other lines that begin with `From ` are text. What was escaped as `>From ` is restored.

use std::collections::HashSet;
use std::io::{self, BufRead, ErrorKind};

use super::message::{Outcome, TOO_LONG, UNKNOWN_OWNER, outcome};
use crate::ingest::parsed::{Options, Parsed};

/// A longer message is passed over.
const MESSAGE_BYTES_MAX: usize = 32 << 20;
/// The lines that part messages are no longer.
const SEPARATOR_BYTES_MAX: usize = 1024;
/// Words of a sender before the date.
const SENDER_WORDS_MAX: usize = 8;
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The messages of a mailbox.
pub(in crate::ingest) fn read(input: &mut dyn BufRead, options: &Options) -> Parsed {
    let mut mailbox = Mailbox {
        options,
        parsed: Parsed::default(),
        seen: HashSet::new(),
        message: Vec::new(),
        begins_at: None,
        ordinal: 0,
        is_too_large: false,
        is_unknown: false,
    };
    if let Err(error) = mailbox.read(input) {
        mailbox.parsed.lose(None, format!("it could not be read to its end: {error}"));
    }
    mailbox.finish()
}

struct Mailbox<'a> {
    options: &'a Options,
    parsed: Parsed,
    /// The ids of the messages that gave a document.
    seen: HashSet<String>,
    /// The message under way, without the line that it begins with.
    message: Vec<u8>,
    /// The number of that line, from 1.
    begins_at: Option<usize>,
    /// The number of the message, from 1.
    ordinal: usize,
    /// Whether it is longer than what is read.
    is_too_large: bool,
    /// Whether there are messages whose owner is not known.
    is_unknown: bool,
}

impl Mailbox<'_> {
    fn read(&mut self, input: &mut dyn BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        let mut number = 0;
        let mut is_blank_above = true;
        let mut is_quote_above = false;
        loop {
            let room = MESSAGE_BYTES_MAX.saturating_sub(self.message.len());
            let bytes = next_line(input, room.max(SEPARATOR_BYTES_MAX), &mut line)?;
            if bytes == 0 {
                return Ok(());
            }
            number += 1;
            if is_blank_above && is_separator(&line) {
                self.end_message();
                self.begins_at = Some(number);
                self.ordinal += 1;
                (is_blank_above, is_quote_above) = (false, false);
                continue;
            }
            if self.begins_at.is_none() && !line.trim_ascii().is_empty() {
                self.parsed.lose(
                    Some(number),
                    "it is not a mailbox: it does not begin with a line such as From \
                     ann@example.org Tue Mar 3 17:06:00 2020",
                );
                return Ok(());
            }
            is_blank_above = matches!(line.as_slice(), b"\n" | b"\r\n");
            // Below a quoted line, an escaped one is quoted too.
            let is_escaped = !is_quote_above && is_escaped(&line);
            is_quote_above = line.starts_with(b">") && !is_escaped;
            self.add(&line[usize::from(is_escaped)..], bytes);
        }
    }

    /// Adds a line to the message under way; it was `bytes` long.
    fn add(&mut self, line: &[u8], bytes: usize) {
        if self.is_too_large || self.message.len() + bytes > MESSAGE_BYTES_MAX {
            self.is_too_large = true;
            self.message.clear();
        } else {
            self.message.extend_from_slice(line);
        }
    }

    fn end_message(&mut self) {
        let Some(line) = self.begins_at.take() else { return };
        let message = std::mem::take(&mut self.message);
        if std::mem::take(&mut self.is_too_large) {
            let number = self.ordinal;
            let reason = format!("message {number} is larger than 32 MiB; it was left out");
            self.parsed.lose(Some(line), reason);
            return;
        }
        match outcome(&message, self.options, &self.ordinal.to_string()) {
            Outcome::Written { document, is_cut } => {
                if is_cut {
                    self.parsed.lose(Some(line), TOO_LONG);
                }
                if self.seen.insert(document.key.clone()) {
                    self.parsed.documents.push(*document);
                }
            }
            Outcome::Nothing => {}
            Outcome::Unknown => self.is_unknown = true,
            Outcome::Lost(reason) => self.parsed.lose(Some(line), reason),
        }
        self.message = message;
        self.message.clear();
    }

    fn finish(mut self) -> Parsed {
        self.end_message();
        if self.is_unknown {
            self.parsed.lose(None, UNKNOWN_OWNER);
        }
        self.parsed
    }
}

/// Reads a line into `line`, of which it keeps `kept_max` bytes and perhaps some more; returns
/// its whole length, 0 at the end.
fn next_line(input: &mut dyn BufRead, kept_max: usize, line: &mut Vec<u8>) -> io::Result<usize> {
    line.clear();
    let mut length = 0;
    loop {
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let newline = buffer.iter().position(|byte| *byte == b'\n');
        let end = newline.map_or(buffer.len(), |at| at + 1);
        if line.len() < kept_max {
            let room = kept_max - line.len();
            line.extend_from_slice(&buffer[..end.min(room)]);
        }
        length += end;
        let is_end = newline.is_some() || end == 0;
        input.consume(end);
        if is_end {
            return Ok(length);
        }
    }
}

/// `>From `, `>>From ` and so on.
fn is_escaped(line: &[u8]) -> bool {
    let marks = line.iter().take_while(|byte| **byte == b'>').count();
    marks > 0 && line[marks..].starts_with(b"From ")
}

/// Whether `line` parts two messages: a sender, then a date as the C library writes it, with a
/// time zone or without.
fn is_separator(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"From ") else { return false };
    if line.len() > SEPARATOR_BYTES_MAX {
        return false;
    }
    let text = String::from_utf8_lossy(rest);
    let words: Vec<&str> = text.split_whitespace().collect();
    let weekday = words
        .iter()
        .take(SENDER_WORDS_MAX)
        .position(|word| WEEKDAYS.contains(&word.trim_end_matches(',')));
    weekday.is_some_and(|at| is_date(&words[at + 1..]))
}

/// `Mar 3 17:06:00 2020`, `Mar 3 17:06:00 +0000 2020`, `3 Mar 2020 17:06:00 +0100`
fn is_date(words: &[&str]) -> bool {
    let is_month = |word: &&str| MONTHS.contains(word);
    let Some(month) = words.iter().take(2).position(is_month) else { return false };
    let Some(day) = words.get(1 - month) else { return false };
    let is_number = |word: &str, range: std::ops::RangeInclusive<u32>| {
        !word.starts_with('+') && word.parse().is_ok_and(|number: u32| range.contains(&number))
    };
    let rest = words.get(2..).unwrap_or_default();
    let years = rest.iter().filter(|word| is_number(word, 1970..=2199)).count();
    let times = rest.iter().filter(|word| is_time(word)).count();
    let zones = rest.iter().filter(|word| is_zone(word)).count();
    is_number(day, 1..=31) && years == 1 && times == 1 && years + times + zones == rest.len()
}

fn is_time(word: &str) -> bool {
    let is_part =
        |part: &str| matches!(part.len(), 1 | 2) && part.bytes().all(|byte| byte.is_ascii_digit());
    matches!(word.split(':').count(), 2 | 3) && word.split(':').all(is_part)
}

/// `+0100`, `CET`, `(CET)`
fn is_zone(word: &str) -> bool {
    let offset = word.strip_prefix(['+', '-']);
    let is_offset = offset.is_some_and(|offset| {
        offset.len() == 4 && offset.bytes().all(|byte| byte.is_ascii_digit())
    });
    let name = word.trim_matches(['(', ')']);
    is_offset || (matches!(name.len(), 1..=5) && name.bytes().all(|byte| byte.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options { me: vec!["mara@x.example".to_owned()], ..Options::default() }
    }

    fn read_with(mailbox: &str, options: &Options) -> Parsed {
        // A small buffer, so that lines stand across its ends.
        read(&mut io::BufReader::with_capacity(7, mailbox.as_bytes()), options)
    }

    fn texts(mailbox: &str) -> Vec<String> {
        let documents = read_with(mailbox, &options()).documents;
        documents.into_iter().map(|document| document.text).collect()
    }

    const SEPARATOR: &str = "From mara@x.example Tue Mar  3 17:06:00 2020\n";

    fn message(id: &str, text: &str) -> String {
        format!("{SEPARATOR}From: mara@x.example\nMessage-ID: <{id}>\n\n{text}\n\n")
    }

    #[test]
    fn messages_are_parted_and_text_is_not() {
        let first = "Dear Ann,\n\nFrom here on it rains.\n\nFrom Tuesday to Friday.\n\n\
                     From me@x.example Tue Mar  3 17:06:00 2020 is what a line may begin with.";
        let mailbox = message("1", first) + &message("2", "Two.\n\n>From now on.\n> From then.");
        assert_eq!(texts(&mailbox), [first, "Two.\n\nFrom now on."]);
    }

    #[test]
    fn below_a_quoted_line_nothing_is_taken_for_escaped() {
        assert_eq!(texts(&message("1", "Ann wrote:\n>When?\n>From now?\n\nAt two.")), ["At two."]);
    }

    #[test]
    fn separators_of_many_programs_are_known() {
        for line in [
            "From - Tue Mar 03 17:06:00 2020\r\n",
            "From 1660283@xxx Tue Mar 03 17:06:12 +0000 2020\n",
            "From ann at x.example  Tue Mar  3 17:06:00 2020\n",
            "From ann@x.example Tue Mar  3 17:06 CET 2020\n",
            "From ann@x.example Tue, 3 Mar 2020 17:06:00 +0100\n",
        ] {
            assert!(is_separator(line.as_bytes()), "{line}");
        }
        for line in ["From here on we wait", "From Mon to Fri", "From: a@b Tue Mar 3 1:00 2020"] {
            assert!(!is_separator(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_message_that_comes_twice_counts_once() {
        let mailbox = message("1", "One.") + &message("1", "One.") + &message("2", "Two.");
        assert_eq!(texts(&mailbox), ["One.", "Two."]);
        let keys: Vec<String> =
            read_with(&mailbox, &options()).documents.into_iter().map(|it| it.key).collect();
        assert_eq!(keys, ["1", "2"]);
    }

    #[test]
    fn a_message_that_is_too_large_is_named_and_the_others_go_in() {
        let large = "x".repeat(MESSAGE_BYTES_MAX + 1);
        let mailbox = message("1", "One.") + &message("2", &large) + &message("3", "Three.");
        let parsed = read(&mut mailbox.as_bytes(), &options());
        assert_eq!(parsed.documents.len(), 2);
        assert_eq!((parsed.problems.len(), parsed.problems[0].line), (1, Some(7)));
    }

    #[test]
    fn what_is_no_mailbox_is_refused() {
        for text in ["This is no mailbox.\n".repeat(1000), "\0".repeat(4096)] {
            let parsed = read_with(&text, &options());
            assert_eq!((parsed.documents.len(), parsed.problems.len()), (0, 1));
        }
        assert_eq!(read_with("", &options()), Parsed::default());
    }

    #[test]
    fn that_nobody_knows_whose_it_is_is_told_once() {
        let mailbox = message("1", "One.") + &message("2", "Two.");
        let parsed = read_with(&mailbox, &Options::default());
        assert_eq!((parsed.documents.len(), parsed.problems.len()), (0, 1));
        let sent = mailbox.replace("Message-ID", "X-Gmail-Labels: Sent\nMessage-ID");
        assert_eq!(read_with(&sent, &Options::default()).documents.len(), 2);
    }
}
