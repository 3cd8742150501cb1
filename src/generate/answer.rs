//! The second phase: the answer, free of marker, reasoning and template.

use std::collections::HashSet;

use super::Event;
use super::decoder::Decoder;
use super::stream::{StopFilter, Utf8Stream};
use crate::llama::{LlamaError, Token};
use crate::prompt::{CLOSING_TAG, INSTRUCTION, LAYOUT_TEXTS, OPENING_PLAN, OPENING_PROFILE};

/// How often a model that begins with something that is no answer is set back.
const RETRIES_MAX: usize = 8;
/// A line of the reasoning shorter than this may well stand in an answer too.
const ECHO_BYTES_MIN: usize = 24;
/// An answer is told from its third word on, or from this many characters on in a script without
/// spaces; before that a stop takes it back.
const WORDS_UNTOLD: usize = 2;
const CHARS_UNTOLD: usize = 24;

/// The answer, and why it ended.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) text: String,
    /// Whether the bound on its tokens ended it.
    pub(super) cut_off: bool,
}

/// How one attempt ended.
enum Attempt {
    Done(Answer),
    /// Nothing but a stop came, and this token began it.
    Nothing(Token),
}

/// Writes the answer from here on. An answer that begins with a stop (a tag of the layout, a line
/// of the reasoning again) is begun anew without its first token.
pub(super) fn write(
    decoder: &mut Decoder<'_, '_>,
    reasoning: &str,
    tokens_max: usize,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Answer, LlamaError> {
    let stops = stops(decoder.model().template_texts(), reasoning);
    // An answer has at least one word: a turn may not end before it.
    let mut banned = decoder.model().turn_ends().clone();
    let n_turn_ends = banned.len();
    let start = decoder.len();
    loop {
        let filter = StopFilter::new(stops.clone());
        match attempt(decoder, filter, &banned, tokens_max, on_event)? {
            Attempt::Done(answer) => return Ok(answer),
            Attempt::Nothing(_) if banned.len() >= n_turn_ends + RETRIES_MAX => {
                return Ok(Answer::default());
            }
            Attempt::Nothing(first) => {
                banned.insert(first);
                decoder.rewind(start)?;
            }
        }
    }
}

/// Where an answer ends: at a tag of the layout or a mark of the template, wherever it stands,
/// and at a line that repeats the instruction or the reasoning, with or without a bullet.
fn stops(template_texts: &[String], reasoning: &str) -> Vec<String> {
    let mut stops: Vec<String> = LAYOUT_TEXTS.iter().map(ToString::to_string).collect();
    stops.extend(template_texts.iter().cloned());
    let mut lines = vec![INSTRUCTION];
    for opening in [OPENING_PROFILE, OPENING_PLAN] {
        lines.extend(opening.lines().take(1));
    }
    let points = reasoning.lines().map(without_bullet);
    lines.extend(points.filter(|point| point.len() >= ECHO_BYTES_MIN));
    if !reasoning.is_empty() {
        // The label of the first note, however short the note is.
        lines.extend(OPENING_PROFILE.lines().last().map(without_bullet));
    }
    for line in lines {
        let bullets = ["", "- ", "* ", "• "].map(str::to_owned).into_iter();
        let numbers = (1..=9).map(|number| format!("{number}. "));
        stops.extend(bullets.chain(numbers).map(|bullet| format!("\n{bullet}{line}")));
    }
    stops
}

fn without_bullet(line: &str) -> &str {
    let bullet = |char: char| char.is_ascii_digit() || "-*•+.) ".contains(char);
    line.trim().trim_start_matches(bullet)
}

/// Why the decoding of an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The bound on the tokens was reached, or Ctrl-C.
    Bound,
    /// The model ended its turn.
    Turn,
    /// The model closed the passage that the answer is.
    Closed,
    /// Another stop came up in the text.
    Stop,
}

fn attempt(
    decoder: &mut Decoder<'_, '_>,
    mut filter: StopFilter,
    banned: &HashSet<Token>,
    tokens_max: usize,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Attempt, LlamaError> {
    let mut teller = Teller::new(on_event);
    // The answer begins a line; its own leading white space is dropped anyway.
    let _ = filter.push("\n");
    let mut stream = Utf8Stream::default();
    let none = HashSet::new();
    let mut first = None;
    let mut n_tokens = 0;
    let end = loop {
        if n_tokens == tokens_max || decoder.interrupted() {
            break End::Bound;
        }
        let banned = match first {
            None => banned,
            Some(_) if teller.is_empty() => decoder.model().turn_ends(),
            Some(_) => &none,
        };
        let Some(token) = decoder.sample(banned)? else { break End::Turn };
        first.get_or_insert(token);
        decoder.push(token)?;
        n_tokens += 1;
        decoder.model().append_piece(token, stream.bytes());
        let passed = filter.push(&stream.take());
        teller.push(&passed.text);
        match passed.stop.as_deref() {
            Some(CLOSING_TAG) => break End::Closed,
            Some(_) => break End::Stop,
            None => {}
        }
    };
    let held = filter.finish();
    // At the bound a tag may be half written.
    let half_a_tag = end == End::Bound && held.starts_with(['<', '[']);
    if matches!(end, End::Turn | End::Bound) && !half_a_tag {
        teller.push(&held);
    }
    let text = match end {
        End::Stop => teller.told(),
        End::Turn | End::Bound | End::Closed => teller.finish(),
    };
    match first {
        Some(first) if text.is_empty() && !decoder.interrupted() => Ok(Attempt::Nothing(first)),
        _ => Ok(Attempt::Done(Answer { text, cut_off: end == End::Bound })),
    }
}

/// Tells the answer without white space around it: leading space is dropped, and space that may
/// turn out to be the last waits for what follows. The first words wait too.
struct Teller<'a> {
    text: String,
    told_bytes: usize,
    on_event: &'a mut dyn FnMut(Event<'_>),
}

impl<'a> Teller<'a> {
    fn new(on_event: &'a mut dyn FnMut(Event<'_>)) -> Self {
        Self { text: String::new(), told_bytes: 0, on_event }
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn push(&mut self, more: &str) {
        let more = if self.text.is_empty() { more.trim_start() } else { more };
        self.text.push_str(more);
        let is_answer = self.told_bytes > 0
            || self.text.split_whitespace().nth(WORDS_UNTOLD).is_some()
            || self.text.chars().nth(CHARS_UNTOLD).is_some();
        if is_answer {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let solid = self.text.trim_end().len();
        if solid > self.told_bytes {
            (self.on_event)(Event::Answer(&self.text[self.told_bytes..solid]));
            self.told_bytes = solid;
        }
    }

    /// What has been told; the rest is dropped.
    fn told(mut self) -> String {
        self.text.truncate(self.told_bytes);
        self.text
    }

    /// All of it, told to the end.
    fn finish(mut self) -> String {
        self.tell();
        self.told()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_the_answer_is_dropped_and_inside_kept() {
        let mut told = String::new();
        let mut on_event = |event: Event<'_>| {
            if let Event::Answer(text) = event {
                told.push_str(text);
            }
        };
        let mut teller = Teller::new(&mut on_event);
        for piece in ["\n", " Dear", " ", "Ann,", "\n", "\n", "hello", " \n", "\n"] {
            teller.push(piece);
        }
        assert_eq!(teller.finish(), "Dear Ann,\n\nhello");
        assert_eq!(told, "Dear Ann,\n\nhello");
    }

    #[test]
    fn a_stop_after_a_word_or_two_takes_them_back() {
        let mut told = String::new();
        let mut on_event = |event: Event<'_>| {
            if let Event::Answer(text) = event {
                told.push_str(text);
            }
        };
        let mut teller = Teller::new(&mut on_event);
        teller.push("1. The");
        assert_eq!(teller.told(), "");
        let mut teller = Teller::new(&mut on_event);
        teller.push("Yes, ");
        teller.push("thanks.");
        assert_eq!(teller.finish(), "Yes, thanks.");
        assert_eq!(told, "Yes, thanks.");
    }

    #[test]
    fn openings_and_longer_points_are_stops() {
        let reasoning = "- Tone: dry\n2. The writer prefers very short sentences.";
        let ends = |answer: &str| {
            let mut filter = StopFilter::new(stops(&["<|im_end|>".to_owned()], reasoning));
            let _ = filter.push("\n");
            filter.push(answer).stop.is_some()
        };
        for answer in [
            "Notes on the writer of these passages:",
            "x<|im_end|>",
            "x\n3. The writer prefers very short sentences.",
            "The writer prefers very short sentences.",
            "- Tone: warm",
            "First take short notes on it",
        ] {
            assert!(ends(answer), "{answer}");
        }
        for answer in
            ["Tone deaf", "Skin Tone: medium", "He says The writer prefers very short sentences."]
        {
            assert!(!ends(answer), "{answer}");
        }
    }
}
