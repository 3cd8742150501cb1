//! Sequences of tokens in one KV cache.
//!
//! Each sequence grows at its end and can be cut back. What several have in common is computed and
//! stored once: one begins as a share of another, and both go on by themselves. A step decodes the
//! next tokens of many sequences in one batch, which is what makes many samples cheap.

use std::ops::Range;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;

use super::memory_file::MemoryFile;
use super::{LlamaError, Token};

/// Tokens of a text that are scored in one batch: all their logits are held at once.
const SCORED_BATCH_TOKENS: usize = 64;

/// The logarithm of the sum of the exponentials of `logits`: what is taken off a logit to make it a
/// log-likelihood, in nats.
#[must_use]
pub fn log_sum_exp(logits: &[f32]) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - most).exp()).sum();
    f64::from(most) + sum.ln()
}

/// The logit of a token; that of no token is impossible.
#[must_use]
pub fn logit(logits: &[f32], token: Token) -> f64 {
    let logit = usize::try_from(token.0).ok().and_then(|index| logits.get(index));
    logit.map_or(f64::NEG_INFINITY, |&logit| f64::from(logit))
}

/// The log-likelihood of `token`, in nats.
fn log_likelihood(logits: &[f32], token: Token) -> f64 {
    logit(logits, token) - log_sum_exp(logits)
}

/// What a session has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Tokens of all sequences together; what they share counts once.
    pub tokens: u32,
    /// Sequences.
    pub sequences: u32,
    /// Tokens decoded in one batch; at least as many as there are sequences.
    pub batch_tokens: u32,
    /// How keys and values are kept.
    pub cache: CacheType,
}

/// How the keys and values of the cache are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheType {
    /// 32 bits, and attention in 32 bits too: what rounds least, at twice the memory.
    F32,
    /// 16 bits.
    #[default]
    F16,
    /// 8 bits and a scale for 32 values: half the memory of 16.
    Q8_0,
}

impl CacheType {
    /// The type that llama.cpp calls `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "f32" => Some(Self::F32),
            "f16" => Some(Self::F16),
            "q8_0" => Some(Self::Q8_0),
            _ => None,
        }
    }
}

/// Tokens to append to a sequence.
#[derive(Debug, Clone, Copy)]
pub struct Append<'a> {
    /// The sequence, from 0.
    pub sequence: usize,
    /// Its next tokens.
    pub tokens: &'a [Token],
    /// After how many of the last of them it is wanted what the model expects.
    pub n_logits: usize,
}

/// The sequences of one context.
#[derive(Debug)]
pub struct Session<'model> {
    context: LlamaContext<'model>,
    batch: LlamaBatch<'static>,
    batch_tokens: usize,
    cache: CacheType,
    sequences: Vec<Sequence>,
    checked: bool,
}

#[derive(Debug, Default)]
struct Sequence {
    n_tokens: usize,
    /// The rows of the last batch that hold logits: the last one is that after its last token.
    rows: Range<usize>,
}

impl<'model> Session<'model> {
    pub(super) fn new(context: LlamaContext<'model>, room: Room) -> Self {
        let batch_tokens = (room.batch_tokens as usize).max(1);
        Self {
            context,
            batch: LlamaBatch::new(batch_tokens, 1),
            batch_tokens,
            cache: room.cache,
            sequences: (0..room.sequences.max(1)).map(|_| Sequence::default()).collect(),
            checked: false,
        }
    }

    /// How many sequences there are, empty ones included.
    #[must_use]
    pub fn sequences(&self) -> usize {
        self.sequences.len()
    }

    /// Tokens in a sequence.
    #[must_use]
    pub fn len(&self, sequence: usize) -> usize {
        self.sequences[sequence].n_tokens
    }

    /// Whether nothing of a sequence has been decoded.
    #[must_use]
    pub fn is_empty(&self, sequence: usize) -> bool {
        self.len(sequence) == 0
    }

    /// Tokens that fit, over all sequences.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.context.n_ctx() as usize
    }

    /// How keys and values are kept.
    #[must_use]
    pub fn cache(&self) -> CacheType {
        self.cache
    }

    /// Tokens that one batch takes.
    #[must_use]
    pub fn batch_tokens(&self) -> usize {
        self.batch_tokens
    }

    /// Decodes what is to be appended to several sequences in one batch, of at most
    /// [`Self::batch_tokens`] tokens.
    ///
    /// # Errors
    /// [`LlamaError::ContextFull`], [`LlamaError::Decode`], or [`LlamaError::NotFinite`] where the
    /// first logits of the session are no numbers.
    pub fn step(&mut self, appends: &[Append<'_>]) -> Result<(), LlamaError> {
        self.batch.clear();
        for append in appends {
            let first_wanted = append.tokens.len().saturating_sub(append.n_logits);
            for (index, &token) in append.tokens.iter().enumerate() {
                let position = self.len(append.sequence) + index;
                let wants_logits = index >= first_wanted;
                self.add(token, position, append.sequence, wants_logits)?;
            }
        }
        self.decode()?;
        for sequence in &mut self.sequences {
            sequence.rows = 0..0;
        }
        let mut row = 0;
        for append in appends {
            row += append.tokens.len();
            let sequence = &mut self.sequences[append.sequence];
            sequence.n_tokens += append.tokens.len();
            sequence.rows = row - append.n_logits.min(append.tokens.len())..row;
        }
        self.check()
    }

    fn add(
        &mut self,
        token: Token,
        position: usize,
        sequence: usize,
        wants_logits: bool,
    ) -> Result<(), LlamaError> {
        let failed = |reason: String| LlamaError::Decode { reason };
        let too_long = |_| failed("the sequence is too long".into());
        let position = i32::try_from(position).map_err(too_long)?;
        let sequence = i32::try_from(sequence).map_err(too_long)?;
        let added = self.batch.add(token, position, &[sequence], wants_logits);
        added.map_err(|error| failed(error.to_string()))
    }

    fn decode(&mut self) -> Result<(), LlamaError> {
        use llama_cpp_2::DecodeError;
        self.context.decode(&mut self.batch).map_err(|error| match error {
            DecodeError::NoKvCacheSlot => {
                LlamaError::ContextFull { context_tokens: self.context.n_ctx() }
            }
            other => LlamaError::Decode { reason: other.to_string() },
        })
    }

    /// Looks once whether the weights give numbers.
    fn check(&mut self) -> Result<(), LlamaError> {
        let row = self.sequences.iter().find_map(|sequence| sequence.rows.clone().last());
        let (false, Some(row)) = (self.checked, row) else { return Ok(()) };
        self.checked = true;
        if self.row(row).iter().all(|logit| logit.is_finite()) {
            Ok(())
        } else {
            Err(LlamaError::NotFinite)
        }
    }

    /// The logits of a row of the last batch.
    fn row(&self, row: usize) -> &[f32] {
        // A batch has fewer rows than an i32 counts.
        self.context.get_logits_ith(row as i32)
    }

    /// What the model expects next in a sequence: one logit per token of the vocabulary. `None`
    /// where the last step did not ask for it, or the sequence was cut since.
    #[must_use]
    pub fn logits(&self, sequence: usize) -> Option<&[f32]> {
        self.sequences[sequence].rows.clone().last().map(|row| self.row(row))
    }

    /// What the model expected after each of the last tokens of a sequence for which the last step
    /// asked, in order.
    pub fn all_logits(&self, sequence: usize) -> impl Iterator<Item = &[f32]> {
        self.sequences[sequence].rows.clone().map(|row| self.row(row))
    }

    /// Appends `tokens` to a sequence, a batch at a time. `on_progress` is told how many are done
    /// and returns whether to go on; where it does not, the rest is left out and `false` is
    /// returned.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn extend(
        &mut self,
        sequence: usize,
        tokens: &[Token],
        on_progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<bool, LlamaError> {
        let mut done = 0;
        for part in tokens.chunks(self.batch_tokens) {
            let n_logits = usize::from(done + part.len() == tokens.len());
            self.step(&[Append { sequence, tokens: part, n_logits }])?;
            done += part.len();
            if !on_progress(done) && done < tokens.len() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Appends `tokens` to a sequence and returns the log-likelihood of each, in nats, given all
    /// before it. Needs the sequence's logits, as after [`Self::extend`].
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn score(&mut self, sequence: usize, tokens: &[Token]) -> Result<Vec<f64>, LlamaError> {
        let mut scores = Vec::with_capacity(tokens.len());
        let Some(&first) = tokens.first() else { return Ok(scores) };
        let before = self.logits(sequence).ok_or_else(|| LlamaError::Decode {
            reason: "nothing was decoded before what is to be scored".into(),
        })?;
        scores.push(log_likelihood(before, first));
        let part_tokens = SCORED_BATCH_TOKENS.min(self.batch_tokens);
        for start in (0..tokens.len()).step_by(part_tokens) {
            let part = &tokens[start..(start + part_tokens).min(tokens.len())];
            self.step(&[Append { sequence, tokens: part, n_logits: part.len() }])?;
            let following = tokens[start + 1..].iter();
            let logits = self.all_logits(sequence);
            scores
                .extend(logits.zip(following).map(|(logits, &next)| log_likelihood(logits, next)));
        }
        Ok(scores)
    }

    /// Makes the sequence `to` what `from` is; no token is computed or stored again.
    ///
    /// # Errors
    /// [`LlamaError::Decode`] where the cache cannot be cut.
    pub fn share(&mut self, from: usize, to: usize) -> Result<(), LlamaError> {
        self.truncate(to, 0)?;
        let (Ok(source), Ok(target)) = (i32::try_from(from), i32::try_from(to)) else {
            return Ok(());
        };
        self.context
            .kv_cache_seq_cp(source, target, None, None)
            .map_err(|error| LlamaError::Decode { reason: error.to_string() })?;
        self.sequences[to].n_tokens = self.len(from);
        self.sequences[to].rows = self.sequences[from].rows.clone();
        Ok(())
    }

    /// The keys and values of a sequence, for [`Self::restore`] in a session of the same model with
    /// the same [`CacheType`]. `None` where there is no place to put them.
    #[must_use]
    pub fn snapshot(&self, sequence: usize) -> Option<Vec<u8>> {
        let id = i32::try_from(sequence).ok()?;
        let file = MemoryFile::create().ok()?;
        self.context.state_seq_save_file(file.path(), id, &[]).ok()?;
        let mut snapshot = file.into_bytes().ok()?;
        // llama.cpp asserts that what it reads does not end early.
        let length = snapshot.len() as u64;
        snapshot.extend(length.to_le_bytes());
        Some(snapshot)
    }

    /// Makes an empty sequence what another one of `n_tokens` tokens was when `snapshot` was taken of
    /// it; whether that was possible. The snapshot must be one that [`Self::snapshot`] gave: whether it
    /// is whole and fits the model is checked, the numbers in it are not.
    pub fn restore(&mut self, sequence: usize, n_tokens: usize, snapshot: &[u8]) -> bool {
        let Ok(id) = i32::try_from(sequence) else { return false };
        let Some((state, length)) = snapshot.split_last_chunk() else { return false };
        if u64::from_le_bytes(*length) != state.len() as u64 {
            return false;
        }
        let Ok(file) = MemoryFile::holding(state) else { return false };
        if n_tokens > self.capacity() || !self.is_empty(sequence) {
            return false;
        }
        let is_read = self.context.state_seq_load_file(file.path(), id, 0).is_ok();
        let n_held = self.context.kv_cache_seq_pos_max(id) + 1;
        if is_read && usize::try_from(n_held) == Ok(n_tokens) {
            self.sequences[sequence] = Sequence { n_tokens, rows: 0..0 };
            return true;
        }
        // What llama.cpp had read of it goes.
        let _ = self.context.kv_cache_seq_rm(id, None, None);
        false
    }

    /// Cuts a sequence back to its first `length` tokens; to go on, append at least one.
    ///
    /// # Errors
    /// [`LlamaError::Decode`] where the cache cannot be cut.
    pub fn truncate(&mut self, sequence: usize, length: usize) -> Result<(), LlamaError> {
        if length >= self.len(sequence) {
            return Ok(());
        }
        let id = i32::try_from(sequence).unwrap_or(i32::MAX);
        self.context
            .kv_cache_seq_rm(id, u32::try_from(length).ok(), None)
            .map_err(|error| LlamaError::Decode { reason: error.to_string() })?;
        self.sequences[sequence] = Sequence { n_tokens: length, rows: 0..0 };
        Ok(())
    }
}
