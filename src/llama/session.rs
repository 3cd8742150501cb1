//! One sequence of tokens and its KV cache.

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;

use super::{LlamaError, Token};

const SEQUENCE: i32 = 0;
/// Tokens of a text that are scored in one batch.
const SCORED_BATCH_TOKENS: usize = 64;

/// The logarithm of the softmax of `logits` at `token`.
fn log_likelihood(logits: &[f32], token: Token) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - most).exp()).sum();
    let logit = usize::try_from(token.0).ok().and_then(|index| logits.get(index));
    logit.map_or(f64::NEG_INFINITY, |&logit| f64::from(logit - most) - sum.ln())
}

/// A sequence that grows at its end and can be cut back.
#[derive(Debug)]
pub struct Session<'model> {
    context: LlamaContext<'model>,
    batch: LlamaBatch<'static>,
    batch_tokens: usize,
    tokens: Vec<Token>,
    checked: bool,
}

impl<'model> Session<'model> {
    pub(super) fn new(context: LlamaContext<'model>, batch_tokens: u32) -> Self {
        let batch_tokens = (batch_tokens as usize).max(1);
        Self {
            context,
            batch: LlamaBatch::new(batch_tokens, 1),
            batch_tokens,
            tokens: Vec::new(),
            checked: false,
        }
    }

    /// Tokens in the sequence.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether nothing has been decoded yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Tokens that fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.context.n_ctx() as usize
    }

    /// Appends `tokens`, a batch at a time. `on_progress` is told how many are done and returns
    /// whether to go on; where it does not, the rest is left out and `false` is returned.
    ///
    /// # Errors
    /// [`LlamaError::ContextFull`], [`LlamaError::Decode`], or [`LlamaError::NotFinite`] where
    /// the first logits of the session are no numbers.
    pub fn extend(
        &mut self,
        tokens: &[Token],
        on_progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<bool, LlamaError> {
        if self.len() + tokens.len() > self.capacity() {
            return Err(LlamaError::ContextFull { context_tokens: self.context.n_ctx() });
        }
        let mut done = 0;
        for part in tokens.chunks(self.batch_tokens) {
            self.decode(part)?;
            done += part.len();
            if !on_progress(done) && done < tokens.len() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Appends one token.
    ///
    /// # Errors
    /// As [`Self::extend`].
    pub fn push(&mut self, token: Token) -> Result<(), LlamaError> {
        self.extend(&[token], &mut |_| true).map(|_| ())
    }

    /// Appends `tokens` and returns the log-likelihood of each, in nats, given all before it. Needs
    /// a sequence whose last logits are there, as after [`Self::extend`].
    ///
    /// # Errors
    /// As [`Self::extend`].
    pub fn score(&mut self, tokens: &[Token]) -> Result<Vec<f64>, LlamaError> {
        if self.len() + tokens.len() > self.capacity() {
            return Err(LlamaError::ContextFull { context_tokens: self.context.n_ctx() });
        }
        let mut scores = Vec::with_capacity(tokens.len());
        let Some(&first) = tokens.first() else { return Ok(scores) };
        scores.push(log_likelihood(self.logits(), first));
        // All logits of a batch are held at once: small batches.
        for start in (0..tokens.len()).step_by(SCORED_BATCH_TOKENS.min(self.batch_tokens)) {
            let end = (start + SCORED_BATCH_TOKENS.min(self.batch_tokens)).min(tokens.len());
            self.decode_with(&tokens[start..end], true)?;
            for (index, &next) in tokens[start + 1..].iter().take(end - start).enumerate() {
                // A batch has fewer tokens than fit an i32.
                let logits = self.context.get_logits_ith(index as i32);
                scores.push(log_likelihood(logits, next));
            }
        }
        Ok(scores)
    }

    fn decode(&mut self, tokens: &[Token]) -> Result<(), LlamaError> {
        self.decode_with(tokens, false)
    }

    fn decode_with(&mut self, tokens: &[Token], all_logits: bool) -> Result<(), LlamaError> {
        let failed = |reason: String| LlamaError::Decode { reason };
        self.batch.clear();
        for (index, &token) in tokens.iter().enumerate() {
            let position = i32::try_from(self.len() + index)
                .map_err(|_| failed("the sequence is too long".into()))?;
            let is_last = index + 1 == tokens.len();
            self.batch
                .add(token, position, &[SEQUENCE], all_logits || is_last)
                .map_err(|error| failed(error.to_string()))?;
        }
        self.context.decode(&mut self.batch).map_err(|error| failed(error.to_string()))?;
        self.tokens.extend_from_slice(tokens);
        if !self.checked {
            self.checked = true;
            if !self.logits().iter().all(|logit| logit.is_finite()) {
                return Err(LlamaError::NotFinite);
            }
        }
        Ok(())
    }

    /// What the model expects next: one logit per token of the vocabulary. Valid after an append
    /// or a rewind, not after [`Self::truncate`].
    #[must_use]
    pub fn logits(&self) -> &[f32] {
        self.context.get_logits_ith(self.batch.n_tokens() - 1)
    }

    /// Cuts the sequence back to its first `length` tokens; to go on, append at least one.
    ///
    /// # Errors
    /// [`LlamaError::Decode`] where the cache cannot be cut.
    pub fn truncate(&mut self, length: usize) -> Result<(), LlamaError> {
        if length < self.len() {
            let from = u32::try_from(length).ok();
            self.context
                .kv_cache_seq_rm(SEQUENCE, from, None)
                .map_err(|error| LlamaError::Decode { reason: error.to_string() })?;
            self.tokens.truncate(length);
        }
        Ok(())
    }

    /// Cuts the sequence back to its first `length` tokens and computes what the model expects
    /// after them.
    ///
    /// # Errors
    /// [`LlamaError::Decode`] where the cache cannot be cut.
    pub fn rewind(&mut self, length: usize) -> Result<(), LlamaError> {
        match self.tokens.get(..length).and_then(<[Token]>::last) {
            Some(&last) if length < self.len() => {
                self.truncate(length - 1)?;
                self.push(last)
            }
            _ => self.truncate(length),
        }
    }
}
