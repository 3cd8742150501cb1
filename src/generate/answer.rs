//! The second phase: the answer, free of marker, reasoning and template.

use super::Event;
use super::decoder::Decoder;
use super::stream::{StopFilter, Utf8Stream};
use crate::llama::{LlamaError, Token};
use crate::prompt::{LAYOUT_TEXTS, MARKER, OPENING_PLAN, OPENING_PROFILE};

/// How often a model that begins with something that is no answer is set back.
const RETRIES_MAX: usize = 8;
/// A line of the reasoning shorter than this may well stand in an answer too.
const ECHO_BYTES_MIN: usize = 24;

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

/// Writes the answer from here on. An answer that begins with a stop (the marker again, the
/// reasoning again, a tag of the layout) is begun anew without its first token.
pub(super) fn write(
    decoder: &mut Decoder<'_, '_>,
    reasoning: &str,
    tokens_max: usize,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Answer, LlamaError> {
    let stops = stops(decoder.model().template_texts(), reasoning);
    // An answer has at least one word: a turn may not end before it.
    let mut banned = decoder.model().turn_ends();
    let n_turn_ends = banned.len();
    let start = decoder.len();
    loop {
        let filter = StopFilter::new(stops.clone());
        match attempt(decoder, filter, &banned, n_turn_ends, tokens_max, on_event)? {
            Attempt::Done(answer) => return Ok(answer),
            Attempt::Nothing(_) if banned.len() >= n_turn_ends + RETRIES_MAX => {
                return Ok(Answer::default());
            }
            Attempt::Nothing(first) => {
                banned.push(first);
                decoder.rewind(start)?;
            }
        }
    }
}

fn stops(template_texts: &[String], reasoning: &str) -> Vec<String> {
    let mut stops: Vec<String> = LAYOUT_TEXTS.iter().map(ToString::to_string).collect();
    stops.extend(template_texts.iter().cloned());
    stops.push(MARKER.trim().to_owned());
    for opening in [OPENING_PROFILE, OPENING_PLAN] {
        stops.push(opening.trim_end_matches(['-', '\n']).to_owned());
    }
    let lines = reasoning.lines().map(str::trim);
    stops.extend(lines.filter(|line| line.len() >= ECHO_BYTES_MIN).map(str::to_owned));
    stops
}

fn attempt(
    decoder: &mut Decoder<'_, '_>,
    mut filter: StopFilter,
    banned: &[Token],
    n_turn_ends: usize,
    tokens_max: usize,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Attempt, LlamaError> {
    let mut teller = Teller::new(on_event);
    let mut stream = Utf8Stream::default();
    let mut first = None;
    let mut n_tokens = 0;
    let mut stopped = false;
    while n_tokens < tokens_max && !decoder.interrupted() && !stopped {
        let banned = match (first, teller.text.is_empty()) {
            (None, _) => banned,
            (Some(_), true) => &banned[..n_turn_ends],
            (Some(_), false) => &[],
        };
        let Some(token) = decoder.sample(banned)? else {
            stopped = true;
            break;
        };
        first.get_or_insert(token);
        decoder.push(token)?;
        n_tokens += 1;
        decoder.model().append_piece(token, stream.bytes());
        let passed = filter.push(&stream.take());
        teller.push(&passed.text);
        stopped = passed.stopped;
    }
    if !stopped {
        teller.push(&filter.finish());
    }
    let text = teller.finish();
    match first {
        Some(first) if text.is_empty() && !decoder.interrupted() => Ok(Attempt::Nothing(first)),
        _ => Ok(Attempt::Done(Answer { text, cut_off: !stopped && !decoder.interrupted() })),
    }
}

/// Tells the answer without white space around it: leading space is dropped, and space that may
/// turn out to be the last waits for what follows.
struct Teller<'a> {
    text: String,
    space: String,
    on_event: &'a mut dyn FnMut(Event<'_>),
}

impl<'a> Teller<'a> {
    fn new(on_event: &'a mut dyn FnMut(Event<'_>)) -> Self {
        Self { text: String::new(), space: String::new(), on_event }
    }

    fn push(&mut self, more: &str) {
        let mut pending = std::mem::take(&mut self.space);
        pending.push_str(more);
        let pending = if self.text.is_empty() { pending.trim_start() } else { &pending };
        let solid = pending.trim_end();
        self.space = pending[solid.len()..].to_owned();
        if !solid.is_empty() {
            self.text.push_str(solid);
            (self.on_event)(Event::Answer(solid));
        }
    }

    fn finish(self) -> String {
        self.text
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
    fn marker_openings_and_longer_points_are_stops() {
        let reasoning = "- short\n- The writer prefers very short sentences.";
        let stops = stops(&["<|im_end|>".to_owned()], reasoning);
        for expected in [
            "The text itself, in the writer's own voice:",
            "What these passages show about the writer:",
            "<|im_end|>",
            "- The writer prefers very short sentences.",
        ] {
            assert!(stops.iter().any(|stop| stop == expected), "{expected}");
        }
        assert!(!stops.iter().any(|stop| stop == "- short"));
    }
}
