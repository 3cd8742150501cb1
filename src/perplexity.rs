//! How well a model predicts a text that is nobody's: what it lost by being changed.
//!
//! Short, so that it can be measured on any machine within seconds; what two versions of one model
//! make of the same tokens differs little from token to token, so that the ratio of their
//! perplexities is known much better than either.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::llama::{CacheType, LlamaError, Model, Room, Token};
use crate::statistics::{Interval, macro_mean};

/// Eight passages on nothing in particular: descriptions, instructions, a tale, talk, an argument.
pub const NEUTRAL_TEXT: &str = include_str!("neutral.txt");

const BATCH_TOKENS: u32 = 64;
const CONTEXT_STEP_TOKENS: usize = 256;

/// The log-likelihood of each token of `text` after the first, in nats; of what is longer than the
/// model's context, the beginning. `None` where `interrupt` was set before the end.
///
/// # Errors
/// [`LlamaError`].
pub fn log_likelihoods(
    model: &Model,
    text: &str,
    threads: u32,
    interrupt: &AtomicBool,
) -> Result<Option<Vec<f64>>, LlamaError> {
    let mut tokens: Vec<Token> = model.beginning().into_iter().collect();
    tokens.extend(model.tokenize(text));
    tokens.truncate(model.context_tokens_trained() as usize);
    let Some((first, rest)) = tokens.split_first() else { return Ok(Some(Vec::new())) };
    let room = Room {
        tokens: u32::try_from(tokens.len().next_multiple_of(CONTEXT_STEP_TOKENS))
            .unwrap_or(u32::MAX),
        sequences: 1,
        batch_tokens: BATCH_TOKENS,
        cache: CacheType::default(),
    };
    let mut session = model.session(room, threads)?;
    session.extend(0, &[*first], &mut |_| true)?;
    let mut found = Vec::with_capacity(rest.len());
    for part in rest.chunks(BATCH_TOKENS as usize) {
        if interrupt.load(Ordering::Relaxed) {
            return Ok(None);
        }
        found.extend(session.score(0, part)?);
    }
    Ok(Some(found))
}

/// The perplexity of a text of whose tokens these are the log-likelihoods.
#[must_use]
pub fn perplexity(log_likelihoods: &[f64]) -> f64 {
    let mean = log_likelihoods.iter().sum::<f64>() / log_likelihoods.len().max(1) as f64;
    (-mean).exp()
}

/// How many times the perplexity of `before` that of `after` is, the same tokens of two models,
/// with the interval that a bootstrap over the tokens gives.
#[must_use]
pub fn perplexity_ratio(before: &[f64], after: &[f64]) -> Interval {
    let lost: Vec<f64> = before.iter().zip(after).map(|(before, after)| before - after).collect();
    let Interval { mean, low, high } = macro_mean(&[&lost]);
    Interval { mean: mean.exp(), low: low.exp(), high: high.exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_which_each_token_is_one_of_four_has_a_perplexity_of_four() {
        assert!((perplexity(&[-(4.0_f64.ln()); 7]) - 4.0).abs() < 1e-12);
    }

    #[test]
    fn what_both_models_find_hard_cancels() {
        let before: Vec<f64> = (0..500).map(|i| -f64::from(i % 10)).collect();
        let after: Vec<f64> = before.iter().map(|it| it - 0.01).collect();
        let ratio = perplexity_ratio(&before, &after);
        assert!((ratio.mean - 0.01_f64.exp()).abs() < 1e-9);
        assert!(ratio.high - ratio.low < 1e-9);
    }
}
