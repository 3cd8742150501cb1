//! One draft from its prompt to its end: reasoning, marker, answer.

use std::cell::RefCell;
use std::time::Instant;

use super::answer::{self, Answer};
use super::decoder::Decoder;
use super::{DraftId, Event, Usage, reasoning};
use crate::llama::Token;

/// Whoever is told what happens.
pub(super) type OnEvent<'a> = dyn FnMut(DraftId, Event<'_>) + 'a;

/// Tells what happens to one of several drafts.
pub(super) struct Tell<'a> {
    draft: DraftId,
    sink: &'a RefCell<&'a mut OnEvent<'a>>,
}

impl<'a> Tell<'a> {
    pub(super) fn new(draft: DraftId, sink: &'a RefCell<&'a mut OnEvent<'a>>) -> Self {
        Self { draft, sink }
    }

    pub(super) fn event(&self, event: Event<'_>) {
        (self.sink.borrow_mut())(self.draft, event);
    }
}

/// The parts of a prompt that come after its tokens, and the bounds on what is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outline<'a> {
    /// What the runtime writes of the reasoning: notes, and how the model's first point begins.
    pub(super) lead: &'a str,
    /// What parts reasoning from answer; `None` where there is no reasoning.
    pub(super) marker: Option<&'a [Token]>,
    /// The reasoning where it is given, and its tokens after `lead`.
    pub(super) given: Option<(&'a str, &'a [Token])>,
    pub(super) reasoning_tokens_max: usize,
    pub(super) answer_tokens_max: usize,
}

/// What was written.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) reasoning: String,
    pub(super) answer: Answer,
    pub(super) usage: Usage,
    /// Whether it was ended rather than came to its end.
    pub(super) interrupted: bool,
    pub(super) first_token: Option<Instant>,
    pub(super) ended: Instant,
}

/// Writes a draft after a prompt that has been read.
pub(super) async fn write(
    mut decoder: Decoder<'_>,
    outline: Outline<'_>,
    tell: Tell<'_>,
) -> Written {
    let mut usage = Usage { prompt_tokens: decoder.len(), ..Usage::default() };
    let mut reasoning = String::new();
    if let Some(marker) = outline.marker {
        reasoning = match outline.given {
            Some((notes, tokens)) => {
                decoder.rewrite(decoder.len(), &[tokens, marker].concat());
                notes.to_owned()
            }
            None => {
                let tokens_max = outline.reasoning_tokens_max;
                reasoning::write(&mut decoder, outline.lead, tokens_max, marker, &tell).await
            }
        };
        tell.event(Event::ReasoningDone(&reasoning));
        usage.reasoning_tokens = decoder.len() - usage.prompt_tokens;
    }
    let before_answer = decoder.len();
    let answer = if decoder.interrupted() {
        Answer::default()
    } else {
        answer::write(&mut decoder, &reasoning, outline.answer_tokens_max, &tell).await
    };
    usage.answer_tokens = decoder.len() - before_answer;
    tell.event(Event::Written);
    let first_token = decoder.first_token();
    let interrupted = decoder.interrupted();
    Written { reasoning, answer, usage, interrupted, first_token, ended: Instant::now() }
}
