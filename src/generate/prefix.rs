//! A prompt that was read before need not be read again, in whole or as far as it begins alike.

use crate::llama::{LlamaError, Session, Token};
use crate::profile::{Prefix, Prefixes};

/// Fetches into an empty sequence what is kept of a prompt that begins as `prompt` and has
/// `length_max` tokens at most; how many of its tokens the sequence then holds, and, where these are
/// all of them, what comes after.
///
/// # Errors
/// [`LlamaError::Decode`] where the cache cannot be cut.
pub(super) fn fetch(
    prefixes: &Prefixes,
    session: &mut Session<'_>,
    sequence: usize,
    prompt: &[Token],
    length_max: usize,
) -> Result<(usize, Option<Vec<f32>>), LlamaError> {
    let Some((prefix, n_shared)) = prefixes.longest(&numbers(prompt), length_max) else {
        return Ok((0, None));
    };
    if !session.restore(sequence, prefix.tokens.len(), &prefix.state) {
        return Ok((0, None));
    }
    if n_shared == prompt.len() && n_shared == prefix.tokens.len() {
        return Ok((n_shared, Some(prefix.logits)));
    }
    // What comes after the last token is asked for: it is read in any case.
    let n_kept = n_shared.min(prompt.len() - 1);
    session.truncate(sequence, n_kept)?;
    Ok((n_kept, None))
}

/// Keeps a prompt that a sequence holds, and nothing after it; its state takes about `state_bytes`.
pub(super) fn keep(
    prefixes: &Prefixes,
    session: &Session<'_>,
    sequence: usize,
    prompt: &[Token],
    logits: Vec<f32>,
    state_bytes: u64,
) {
    let tokens = numbers(prompt);
    if !prefixes.wants(&tokens, state_bytes) {
        return;
    }
    let Some(state) = session.snapshot(sequence) else { return };
    prefixes.keep(Prefix { tokens, logits, state });
}

fn numbers(tokens: &[Token]) -> Vec<i32> {
    tokens.iter().map(|token| token.0).collect()
}
