//! Picking the next token with llama.cpp's samplers.
//!
//! llama.cpp's chain walks the whole vocabulary several times per token, which costs more than
//! the 3 % that sampling may cost on a small model. Only the most likely candidates can survive
//! top-k, so only those are handed to the chain; the outcome is the same.

use std::collections::HashSet;

use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;

use super::{LlamaError, Token};

/// How tokens are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// 0 takes the most likely token.
    pub temperature: f32,
    /// Keep the k most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the smallest set with this probability together; 1 keeps all.
    pub top_p: f32,
    /// Drop tokens less likely than this times the most likely one.
    pub min_p: f32,
    /// Divide the score of recent tokens; 1 is off.
    pub repeat_penalty: f32,
    /// What recent means.
    pub repeat_window_tokens: u32,
    /// How hard it is made to say the same words again in the same order (DRY: "don't repeat
    /// yourself"); 0 is off.
    pub dry_multiplier: f32,
    /// Seed of the random choice.
    pub seed: u32,
}

/// What DRY subtracts from a score for each further token of a run that comes again is multiplied by
/// this: the value that llama.cpp and others ship.
pub(super) const DRY_BASE: f32 = 1.75;
/// A run of so many tokens may come again for nothing, as names and set phrases do: what follows it
/// may not.
pub(super) const DRY_RUN_TOKENS: i32 = 3;
/// Tokens in which a run is looked for: those of one answer.
pub(super) const DRY_WINDOW_TOKENS: i32 = 1024;
/// Tokens that may be lowered at once: a run of three does not come more often in such a window.
const DRY_LOWERED_MAX: usize = DRY_WINDOW_TOKENS as usize / (DRY_RUN_TOKENS as usize + 1);

/// A chain of samplers with its memory of recent tokens and its random state.
#[derive(Debug)]
pub struct Sampler {
    chain: LlamaSampler,
    candidates_max: usize,
    selection: Vec<LlamaTokenData>,
}

impl Sampler {
    /// The chain for a vocabulary of `vocabulary_size` tokens, in llama.cpp's usual order:
    /// penalties, DRY, top-k, top-p, min-p, temperature, choice.
    pub(super) fn new(
        sampling: &Sampling,
        vocabulary_size: usize,
        dry: Option<LlamaSampler>,
    ) -> Self {
        let n_vocab = i32::try_from(vocabulary_size).unwrap_or(i32::MAX);
        let window = i32::try_from(sampling.repeat_window_tokens).unwrap_or(i32::MAX);
        let greedy = sampling.temperature <= 0.0;
        let mut chain = Vec::new();
        if sampling.repeat_penalty > 1.0 && window > 0 {
            chain.push(LlamaSampler::penalties(n_vocab, window, sampling.repeat_penalty, 0.0, 0.0));
        }
        let dry_lowered = if dry.is_some() { DRY_LOWERED_MAX } else { 0 };
        chain.extend(dry);
        let top_k = if greedy { 1 } else { sampling.top_k };
        if greedy {
            chain.push(LlamaSampler::greedy());
        } else {
            if top_k > 0 {
                chain.push(LlamaSampler::top_k(i32::try_from(top_k).unwrap_or(i32::MAX)));
            }
            chain.push(LlamaSampler::top_p(sampling.top_p, 1));
            chain.push(LlamaSampler::min_p(sampling.min_p, 1));
            chain.push(LlamaSampler::temp(sampling.temperature));
            chain.push(LlamaSampler::dist(sampling.seed));
        }
        // A penalty only ever lowers scores, one for each recent token at most, and DRY those of what
        // followed the run that was written last: whatever is among the k best afterwards was among
        // the k and as many more best before.
        let candidates_max = match top_k {
            0 => vocabulary_size,
            k => (k as usize)
                .saturating_add(sampling.repeat_window_tokens as usize)
                .saturating_add(dry_lowered),
        };
        Self {
            chain: LlamaSampler::chain(chain, true),
            candidates_max: candidates_max.clamp(1, vocabulary_size.max(1)),
            selection: Vec::new(),
        }
    }

    /// Picks the next token from `logits` (one per token of the vocabulary), never one of
    /// `banned`.
    ///
    /// # Errors
    /// [`LlamaError::NotFinite`] where no logit is a number.
    pub fn sample(&mut self, logits: &[f32], banned: &HashSet<Token>) -> Result<Token, LlamaError> {
        let wanted = self.candidates_max + banned.len();
        select_largest(logits, wanted, &mut self.selection);
        let mut candidates: Vec<LlamaTokenData> = self.selection.clone();
        candidates.retain(|candidate| !banned.contains(&candidate.id()));
        if candidates.is_empty() {
            return Err(LlamaError::NotFinite);
        }
        let mut candidates = LlamaTokenDataArray::new(candidates, false);
        candidates.apply_sampler(&mut self.chain);
        candidates.selected_token().ok_or(LlamaError::NotFinite)
    }

    /// Tells the chain that `token` was written.
    pub fn accept(&mut self, token: Token) {
        self.chain.accept(token);
    }
}

/// The `count` largest logits into `selection`, in no order; what is not finite is left out.
fn select_largest(logits: &[f32], count: usize, selection: &mut Vec<LlamaTokenData>) {
    selection.clear();
    let full = count.saturating_mul(4);
    let mut threshold = f32::NEG_INFINITY;
    for (id, &logit) in (0_i32..).zip(logits) {
        if logit > threshold && logit.is_finite() {
            selection.push(LlamaTokenData::new(Token::new(id), logit, 0.0));
            if selection.len() == full {
                threshold = prune(selection, count);
            }
        }
    }
    if selection.len() > count {
        prune(selection, count);
    }
}

/// Keeps the `count` largest and returns the smallest of them.
fn prune(selection: &mut Vec<LlamaTokenData>, count: usize) -> f32 {
    selection.select_nth_unstable_by(count - 1, |a, b| b.logit().total_cmp(&a.logit()));
    selection.truncate(count);
    selection[count - 1].logit()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: usize = 5000;

    /// Distinct pseudo-random logits.
    fn logits(round: u32) -> Vec<f32> {
        (0..VOCABULARY as u32)
            .map(|id| (id.wrapping_add(round).wrapping_mul(2_654_435_761) >> 8) as f32 / 1e6)
            .collect()
    }

    fn sampling(temperature: f32) -> Sampling {
        Sampling {
            temperature,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.02,
            repeat_penalty: 1.3,
            repeat_window_tokens: 64,
            dry_multiplier: 0.0,
            seed: 7,
        }
    }

    /// What the chain does when it is given the whole vocabulary.
    fn sample_from_all(sampler: &mut Sampler, logits: &[f32]) -> Token {
        let all = (0_i32..).zip(logits);
        let data = all.map(|(id, &logit)| LlamaTokenData::new(Token::new(id), logit, 0.0));
        let mut candidates = LlamaTokenDataArray::from_iter(data, false);
        candidates.apply_sampler(&mut sampler.chain);
        candidates.selected_token().unwrap()
    }

    #[test]
    fn the_preselection_changes_nothing() {
        for temperature in [0.0, 0.3, 1.0] {
            let mut ours = Sampler::new(&sampling(temperature), VOCABULARY, None);
            let mut whole = Sampler::new(&sampling(temperature), VOCABULARY, None);
            for round in 0..300 {
                // Little changes from round to round, so that penalties decide.
                let logits = logits(round / 50);
                let token = ours.sample(&logits, &HashSet::new()).unwrap();
                assert_eq!(token, sample_from_all(&mut whole, &logits), "round {round}");
                ours.accept(token);
                whole.accept(token);
            }
        }
    }

    #[test]
    fn a_banned_token_is_never_picked() {
        let logits = logits(0);
        let mut sampler = Sampler::new(&sampling(0.0), VOCABULARY, None);
        let first = sampler.sample(&logits, &HashSet::new()).unwrap();
        let second = sampler.sample(&logits, &HashSet::from([first])).unwrap();
        assert_ne!(first, second);
    }

    #[test]
    fn the_same_seed_picks_the_same_tokens() {
        let run = |seed| {
            let mut sampler = Sampler::new(&Sampling { seed, ..sampling(1.0) }, VOCABULARY, None);
            (0..50)
                .map(|round| sampler.sample(&logits(round), &HashSet::new()).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn logits_that_are_no_numbers_are_an_error() {
        let mut sampler = Sampler::new(&sampling(0.5), 8, None);
        assert!(matches!(
            sampler.sample(&[f32::NAN; 8], &HashSet::new()),
            Err(LlamaError::NotFinite)
        ));
    }
}
