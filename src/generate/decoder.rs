//! The loop that both phases share: sample, check, decode.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::llama::{LlamaError, Model, Sampler, Sampling, Session, Token};

/// A session that writes.
pub(super) struct Decoder<'model, 'run> {
    model: &'model Model,
    session: Session<'model>,
    sampling: Sampling,
    sampler: Sampler,
    interrupt: &'run AtomicBool,
    first_token: Option<Instant>,
}

impl<'model, 'run> Decoder<'model, 'run> {
    pub(super) fn new(
        model: &'model Model,
        session: Session<'model>,
        sampling: Sampling,
        interrupt: &'run AtomicBool,
    ) -> Self {
        Self {
            model,
            session,
            sampling,
            sampler: Sampler::new(&sampling, model.vocabulary_size()),
            interrupt,
            first_token: None,
        }
    }

    pub(super) fn model(&self) -> &'model Model {
        self.model
    }

    /// Tokens in the sequence.
    pub(super) fn len(&self) -> usize {
        self.session.len()
    }

    pub(super) fn interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }

    /// When the first token was sampled.
    pub(super) fn first_token(&self) -> Option<Instant> {
        self.first_token
    }

    /// The next token, not yet part of the sequence; `None` where the model ends its turn. None
    /// of `banned` is picked.
    pub(super) fn sample(&mut self, banned: &HashSet<Token>) -> Result<Option<Token>, LlamaError> {
        let token = self.sampler.sample(self.session.logits(), banned)?;
        self.first_token.get_or_insert_with(Instant::now);
        Ok((!self.model.ends_turn(token)).then_some(token))
    }

    /// Makes `token` part of the sequence.
    pub(super) fn push(&mut self, token: Token) -> Result<(), LlamaError> {
        self.sampler.accept(token);
        self.session.push(token)
    }

    /// Cuts the sequence back to `length` and begins anew from there.
    pub(super) fn rewind(&mut self, length: usize) -> Result<(), LlamaError> {
        self.sampler = Sampler::new(&self.sampling, self.model.vocabulary_size());
        self.session.rewind(length)
    }

    /// Cuts the sequence back to `length`, and writes `tokens` after it. The sampler begins anew:
    /// what was cut must not weigh on what follows.
    pub(super) fn rewrite(&mut self, length: usize, tokens: &[Token]) -> Result<(), LlamaError> {
        self.session.truncate(length)?;
        self.sampler = Sampler::new(&self.sampling, self.model.vocabulary_size());
        self.session.extend(tokens, &mut |_| true).map(|_| ())
    }
}
