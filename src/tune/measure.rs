//! How fast a model is on this machine: reading a prompt, writing one text, writing many.

use std::time::Instant;

use crate::catalogue::{Rates, Use};
use crate::llama::{Append, CacheType, LlamaError, Model, Room, Token};

/// Tokens of the prompt; also how many are decoded before anything is written.
const PROMPT_TOKENS: usize = 512;
/// Tokens that are written alone.
const SINGLE_TOKENS: usize = 32;
/// Texts that are written at once, and tokens of each.
const SEQUENCES: usize = 16;
const SEQUENCE_TOKENS: usize = 16;

/// The median of each rate.
#[must_use]
pub fn median(rounds: &[Rates]) -> Rates {
    let median = |rate: fn(&Rates) -> f64| {
        let mut rates: Vec<f64> = rounds.iter().map(rate).collect();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or(0.0)
    };
    Rates {
        prefill: median(|it| it.prefill),
        decode: median(|it| it.decode),
        sample: median(|it| it.sample),
    }
}

/// Seconds that a model with these rates takes for what it is used for: a prompt of 1024 tokens, and
/// a text of 256 tokens after it, or 16 of them.
#[must_use]
pub fn seconds(rates: &Rates, purpose: Use) -> f64 {
    let prompt = 1024.0 / rates.prefill;
    match purpose {
        Use::Generate => prompt + 256.0 / rates.decode,
        Use::Sample => prompt + 16.0 * 256.0 / rates.sample,
    }
}

/// Measures `model` once, on `threads` threads.
///
/// # Errors
/// [`LlamaError`].
pub fn measure(model: &Model, threads: u32, batch_tokens: u32) -> Result<Rates, LlamaError> {
    let tokens = PROMPT_TOKENS + SINGLE_TOKENS + SEQUENCES * SEQUENCE_TOKENS;
    let room = Room {
        tokens: u32::try_from(tokens.next_multiple_of(256)).unwrap_or(u32::MAX),
        sequences: SEQUENCES as u32 + 1,
        batch_tokens,
        cache: CacheType::default(),
    };
    let mut session = model.session(room, threads)?;
    let n_vocab = model.vocabulary_size().max(1);
    // What the tokens say does not matter; that they differ might.
    let token = |index: usize| Token::new((index * 7919 % n_vocab) as i32);
    let prompt: Vec<Token> = (0..PROMPT_TOKENS).map(token).collect();
    let started = Instant::now();
    session.extend(SEQUENCES, &prompt, &mut |_| true)?;
    let prefill = per_second(PROMPT_TOKENS, started);
    for sequence in 0..SEQUENCES {
        session.share(SEQUENCES, sequence)?;
    }
    let started = Instant::now();
    for index in 0..SINGLE_TOKENS {
        let next = [token(index)];
        session.step(&[Append { sequence: SEQUENCES, tokens: &next, n_logits: 1 }])?;
    }
    let decode = per_second(SINGLE_TOKENS, started);
    session.truncate(SEQUENCES, PROMPT_TOKENS)?;
    let started = Instant::now();
    for index in 0..SEQUENCE_TOKENS {
        let next: Vec<[Token; 1]> = (0..SEQUENCES).map(|it| [token(index + it)]).collect();
        let appends: Vec<Append<'_>> = (0..SEQUENCES)
            .zip(&next)
            .map(|(sequence, tokens)| Append { sequence, tokens, n_logits: 1 })
            .collect();
        session.step(&appends)?;
    }
    let sample = per_second(SEQUENCES * SEQUENCE_TOKENS, started);
    Ok(Rates { prefill, decode, sample })
}

fn per_second(count: usize, started: Instant) -> f64 {
    count as f64 / started.elapsed().as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_each_rate_is_taken_by_itself() {
        let rates = |prefill, decode, sample| Rates { prefill, decode, sample };
        let rounds = [rates(1.0, 30.0, 5.0), rates(2.0, 10.0, 6.0), rates(3.0, 20.0, 4.0)];
        assert_eq!(median(&rounds), rates(2.0, 20.0, 5.0));
    }
}
