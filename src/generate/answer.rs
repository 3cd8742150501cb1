//! The second phase: the answer, free of marker, reasoning and template.

use std::collections::HashSet;
use std::rc::Rc;

use super::Event;
use super::decoder::{Banned, Decoder};
use super::draft::Tell;
use super::stream::{StopFilter, Utf8Stream};
use crate::llama::Token;
use crate::prompt::{
    CLOSING_TAG, FAVOURITES, FIRST_POINT, INSTRUCTION, LAYOUT_TEXTS, LENGTH, OPENING_PLAN,
    OPENING_PROFILE,
};

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
    /// Whether a stop that is no end of a text did: a tag, the instruction or the reasoning again.
    pub(super) stopped: bool,
}

/// How one attempt ended.
enum Attempt {
    Done(Answer),
    /// Nothing but a stop came, and this token began it.
    Nothing(Token),
}

/// Writes the answer from here on. An answer that begins with a stop (a tag of the layout, a line
/// of the reasoning again) is begun anew without its first token.
pub(super) async fn write(
    decoder: &mut Decoder<'_>,
    reasoning: &str,
    tokens_max: usize,
    tell: &Tell<'_>,
) -> Answer {
    let stops = stops(decoder.model().template_texts(), reasoning);
    // Those that began what was no answer.
    let mut firsts: HashSet<Token> = HashSet::new();
    let start = decoder.len();
    loop {
        let filter = StopFilter::new(stops.clone());
        // An answer has at least one word: a turn may not end before it.
        let banned = if firsts.is_empty() {
            Banned::TurnEnds
        } else {
            Banned::These(Rc::new(decoder.model().turn_ends().union(&firsts).copied().collect()))
        };
        match attempt(decoder, filter, banned, tokens_max, tell).await {
            Attempt::Done(answer) => return answer,
            Attempt::Nothing(_) if firsts.len() >= RETRIES_MAX => return Answer::default(),
            Attempt::Nothing(first) => {
                firsts.insert(first);
                decoder.rewind(start);
            }
        }
    }
}

/// Where an answer ends: at a tag of the layout or a mark of the template, wherever it stands,
/// and at a line that repeats the instruction or the reasoning, with or without a bullet.
fn stops(template_texts: &[String], reasoning: &str) -> Vec<String> {
    let mut stops: Vec<String> = LAYOUT_TEXTS.iter().map(ToString::to_string).collect();
    stops.extend(template_texts.iter().cloned());
    let mut lines = vec![INSTRUCTION, OPENING_PROFILE, OPENING_PLAN];
    let points = reasoning.lines().map(without_bullet);
    lines.extend(points.filter(|point| point.len() >= ECHO_BYTES_MIN));
    if !reasoning.is_empty() {
        // The labels of the runtime's notes, however short a note is.
        lines.extend([LENGTH, FAVOURITES, FIRST_POINT].map(without_bullet));
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

async fn attempt(
    decoder: &mut Decoder<'_>,
    mut filter: StopFilter,
    banned: Banned,
    tokens_max: usize,
    tell: &Tell<'_>,
) -> Attempt {
    let mut teller = Teller::new(tell);
    // The answer begins a line; its own leading white space is dropped anyway.
    let _ = filter.push("\n");
    let mut stream = Utf8Stream::default();
    let mut first = None;
    let mut n_tokens = 0;
    let end = loop {
        if n_tokens == tokens_max || decoder.interrupted() {
            break End::Bound;
        }
        let banned = match first {
            None => banned.clone(),
            Some(_) if teller.is_empty() => Banned::TurnEnds,
            Some(_) => Banned::Nothing,
        };
        let Some(token) = decoder.sample(banned).await else { break End::Turn };
        first.get_or_insert(token);
        decoder.push(token);
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
        Some(first) if text.is_empty() && !decoder.interrupted() => Attempt::Nothing(first),
        _ => Attempt::Done(Answer { text, cut_off: end == End::Bound, stopped: end == End::Stop }),
    }
}

/// Tells the answer without white space around it: leading space is dropped, and space that may
/// turn out to be the last waits for what follows. The first words wait too.
struct Teller<'run, 'a> {
    text: String,
    told_bytes: usize,
    tell: &'run Tell<'a>,
}

impl<'run, 'a> Teller<'run, 'a> {
    fn new(tell: &'run Tell<'a>) -> Self {
        Self { text: String::new(), told_bytes: 0, tell }
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
            self.tell.event(Event::Answer(&self.text[self.told_bytes..solid]));
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
    use std::cell::RefCell;

    use super::*;
    use crate::generate::DraftId;
    use crate::generate::draft::OnEvent;

    /// What is told of an answer that comes in pieces, and what it is in the end.
    fn told_of(pieces: &[&str], finish: impl FnOnce(Teller<'_, '_>) -> String) -> (String, String) {
        let mut told = String::new();
        let mut on_event = |_: DraftId, event: Event<'_>| {
            if let Event::Answer(text) = event {
                told.push_str(text);
            }
        };
        let sink = RefCell::new(&mut on_event as &mut OnEvent<'_>);
        let tell = Tell::new(DraftId::default(), &sink);
        let mut teller = Teller::new(&tell);
        for piece in pieces {
            teller.push(piece);
        }
        let text = finish(teller);
        (told, text)
    }

    #[test]
    fn white_space_around_the_answer_is_dropped_and_inside_kept() {
        let pieces = ["\n", " Dear", " ", "Ann,", "\n", "\n", "hello", " \n", "\n"];
        let (told, text) = told_of(&pieces, |teller| teller.finish());
        assert_eq!(text, "Dear Ann,\n\nhello");
        assert_eq!(told, text);
    }

    #[test]
    fn a_stop_after_a_word_or_two_takes_them_back() {
        let (told, text) = told_of(&["1. The"], |teller| teller.told());
        assert_eq!((told.as_str(), text.as_str()), ("", ""));
        let (told, text) = told_of(&["Yes, ", "thanks."], |teller| teller.finish());
        assert_eq!((told.as_str(), text.as_str()), ("Yes, thanks.", "Yes, thanks."));
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
            "Length: about 300 words",
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
