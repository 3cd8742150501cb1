//! What a draft sees of the model: one token after the other.
//!
//! A draft is a future. Where it wants a token it waits; [`super::schedule`] polls it, decodes what
//! many of them wait for in one batch, and hands each its token. So a draft is written as the plain
//! loop that it is, and does not know how many others there are.

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Instant;

use crate::llama::{Model, Token};

/// Tokens that must not be picked.
#[derive(Debug, Clone)]
pub(super) enum Banned {
    Nothing,
    /// Those that end a turn.
    TurnEnds,
    These(Rc<HashSet<Token>>),
}

/// What draft and schedule tell each other.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The sequence as the draft wants it, prompt included.
    pub(super) tokens: Vec<Token>,
    /// How many of them may be in the cache as they are.
    pub(super) decoded: usize,
    /// What was picked and kept since the last token was wanted.
    pub(super) accepted: Vec<Token>,
    /// Whether the sampler begins anew: what was cut must not weigh on what follows.
    pub(super) begins_anew: bool,
    /// That a token is wanted, and which not.
    pub(super) wanted: Option<Banned>,
    /// The token.
    pub(super) token: Option<Token>,
    /// When the first one was sampled.
    pub(super) first_token: Option<Instant>,
}

impl Line {
    /// The line of a draft that begins after `prompt`, which is in the cache.
    pub(super) fn after(prompt: &[Token]) -> Self {
        Self { tokens: prompt.to_vec(), decoded: prompt.len(), ..Self::default() }
    }
}

/// A draft's end of its line.
#[derive(Debug, Clone)]
pub(super) struct Decoder<'run> {
    model: &'run Model,
    line: Rc<RefCell<Line>>,
    interrupt: &'run AtomicBool,
}

impl<'run> Decoder<'run> {
    pub(super) fn new(
        model: &'run Model,
        line: Rc<RefCell<Line>>,
        interrupt: &'run AtomicBool,
    ) -> Self {
        Self { model, line, interrupt }
    }

    pub(super) fn model(&self) -> &'run Model {
        self.model
    }

    /// Tokens in the sequence.
    pub(super) fn len(&self) -> usize {
        self.line.borrow().tokens.len()
    }

    pub(super) fn interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }

    /// When the first token was sampled.
    pub(super) fn first_token(&self) -> Option<Instant> {
        self.line.borrow().first_token
    }

    /// The next token, not yet part of the sequence; `None` where the model ends its turn.
    pub(super) async fn sample(&mut self, banned: Banned) -> Option<Token> {
        self.line.borrow_mut().wanted = Some(banned);
        let token = poll_fn(|_| match self.line.borrow_mut().token.take() {
            Some(token) => Poll::Ready(token),
            None => Poll::Pending,
        });
        let token = token.await;
        (!self.model.ends_turn(token)).then_some(token)
    }

    /// Makes `token` part of the sequence.
    pub(super) fn push(&mut self, token: Token) {
        let mut line = self.line.borrow_mut();
        line.accepted.push(token);
        line.tokens.push(token);
    }

    /// Cuts the sequence back to `length` and begins anew from there.
    pub(super) fn rewind(&mut self, length: usize) {
        self.rewrite(length, &[]);
    }

    /// Cuts the sequence back to `length`, and writes `tokens` after it.
    pub(super) fn rewrite(&mut self, length: usize, tokens: &[Token]) {
        let mut line = self.line.borrow_mut();
        line.tokens.truncate(length);
        line.tokens.extend_from_slice(tokens);
        // The last token is decoded once more where nothing follows it: what comes after it is
        // asked for.
        let known = if tokens.is_empty() { length.saturating_sub(1) } else { length };
        line.decoded = line.decoded.min(known);
        line.accepted.clear();
        line.begins_anew = true;
    }
}
