//! Prompts with several answers each, laid out in one sequence of rows: a prompt goes through the
//! network once, and each answer attends to it and to itself, at the positions it would have alone.
//!
//! The loss and every gradient are those of the answers trained one by one behind their prompts.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A text to learn.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its tokens, the one that ends it included.
    pub tokens: Vec<u32>,
    /// How much it counts, for example its reward; not negative.
    pub weight: f32,
    /// How much each token counts beside that; `None` for all the same.
    pub token_weights: Option<Vec<f32>>,
}

/// A prompt and the texts to learn behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The tokens before every answer; at least one.
    pub prompt: Vec<u32>,
    /// The texts to learn.
    pub answers: Vec<Answer>,
}

/// What a sum of token losses is divided by; see [`Normalizer::total`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Normalizer {
    /// Every token counts by the weight of its answer: long answers count more.
    Token,
    /// Every answer counts by its weight, as the mean over its tokens.
    Sequence,
}

impl Normalizer {
    /// The divisor of a batch: the loss is then a weighted mean, of tokens or of answers.
    #[must_use]
    pub fn total(self, examples: &[Example]) -> f64 {
        let answers = examples.iter().flat_map(|example| &example.answers);
        answers
            .map(|answer| match self {
                Self::Token => f64::from(answer.weight) * answer.tokens_weight(),
                Self::Sequence => f64::from(answer.weight),
            })
            .sum()
    }
}

impl Answer {
    fn token_weight(&self, index: usize) -> f64 {
        self.token_weights.as_ref().map_or(1.0, |weights| f64::from(weights[index]))
    }

    fn tokens_weight(&self) -> f64 {
        (0..self.tokens.len()).map(|index| self.token_weight(index)).sum()
    }
}

/// Rows that see each other in order, and all the rows of a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its rows.
    pub rows: Range<usize>,
    /// The prompt's rows, for an answer.
    pub prefix: Range<usize>,
}

/// A token that a row is to predict.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Which of the rows that predict.
    pub row: usize,
    /// The token.
    pub token: u32,
    /// What its log-probability is multiplied by in the loss.
    pub coefficient: f64,
}

/// Examples laid out in rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Packed {
    /// The token of each row.
    pub tokens: Vec<i32>,
    /// The position of each row.
    pub positions: Vec<i32>,
    /// Prompts and answers.
    pub segments: Vec<Segment>,
    /// The rows that predict something, each once, ascending.
    pub predicting: Vec<usize>,
    /// What they predict, in their order; a prompt's last row predicts the first token of every
    /// answer.
    pub targets: Vec<Target>,
}

impl Packed {
    /// Lays `examples` out one after the other; `total` is what the loss is divided by.
    #[must_use]
    pub fn new(examples: &[Example], normalizer: Normalizer, total: f64) -> Self {
        let mut packing = Packing::default();
        for example in examples {
            packing.add(example, normalizer, total);
        }
        packing.finish()
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.tokens.len()
    }

    /// Rows that an example takes.
    #[must_use]
    pub fn rows_of(example: &Example) -> usize {
        let answers = example.answers.iter().map(|answer| answer.tokens.len().saturating_sub(1));
        example.prompt.len() + answers.sum::<usize>()
    }
}

#[derive(Default)]
struct Packing {
    tokens: Vec<i32>,
    positions: Vec<i32>,
    segments: Vec<Segment>,
    /// By row and token, so that what predicts the same token twice does so once.
    coefficients: BTreeMap<(usize, u32), f64>,
}

impl Packing {
    fn add(&mut self, example: &Example, normalizer: Normalizer, total: f64) {
        let prefix = self.segment(&example.prompt, 0, 0..0);
        for answer in &example.answers {
            let Some((_, fed)) = answer.tokens.split_last() else {
                continue;
            };
            let rows = self.segment(fed, example.prompt.len(), prefix.clone());
            let divisor = match normalizer {
                Normalizer::Token => total,
                Normalizer::Sequence => total * answer.tokens_weight(),
            };
            for (index, &token) in answer.tokens.iter().enumerate() {
                let row = if index == 0 { prefix.end - 1 } else { rows.start + index - 1 };
                let share = f64::from(answer.weight) * answer.token_weight(index) / divisor;
                if share > 0.0 {
                    *self.coefficients.entry((row, token)).or_default() += share;
                }
            }
        }
    }

    fn segment(&mut self, tokens: &[u32], position: usize, prefix: Range<usize>) -> Range<usize> {
        let rows = self.tokens.len()..self.tokens.len() + tokens.len();
        self.tokens.extend(tokens.iter().map(|&token| token as i32));
        self.positions.extend((position..position + rows.len()).map(|position| position as i32));
        if !rows.is_empty() {
            self.segments.push(Segment { rows: rows.clone(), prefix });
        }
        rows
    }

    fn finish(self) -> Packed {
        let mut predicting: Vec<usize> = self.coefficients.keys().map(|(row, _)| *row).collect();
        predicting.dedup();
        let number: BTreeMap<usize, usize> =
            predicting.iter().enumerate().map(|(index, row)| (*row, index)).collect();
        let targets = self.coefficients.iter().map(|((row, token), coefficient)| Target {
            row: number[row],
            token: *token,
            coefficient: *coefficient,
        });
        Packed {
            targets: targets.collect(),
            tokens: self.tokens,
            positions: self.positions,
            segments: self.segments,
            predicting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(tokens: &[u32], weight: f32) -> Answer {
        Answer { tokens: tokens.to_vec(), weight, token_weights: None }
    }

    #[test]
    fn answers_stand_behind_their_prompt_at_its_end() {
        let example = Example {
            prompt: (1..=20).collect(),
            answers: vec![answer(&[5, 6, 7], 1.0), answer(&[5, 9], 0.5)],
        };
        let total = Normalizer::Token.total(std::slice::from_ref(&example));
        assert!((total - 4.0).abs() < 1e-12);
        let packed = Packed::new(std::slice::from_ref(&example), Normalizer::Token, total);
        assert_eq!(packed.rows(), Packed::rows_of(&example));
        let rows: Vec<_> = packed.segments.iter().map(|segment| segment.rows.clone()).collect();
        assert_eq!(rows, [0..20, 20..22, 22..23]);
        assert_eq!(packed.segments[2].prefix, 0..20);
        assert_eq!(packed.positions[20..], [20, 21, 20]);
        // Row 19 predicts token 5 for both answers, and so once.
        assert_eq!(packed.predicting, [19, 20, 21, 22]);
        let coefficients: Vec<f64> =
            packed.targets.iter().map(|target| target.coefficient).collect();
        assert_eq!(coefficients, [0.375, 0.25, 0.25, 0.125]);
    }

    #[test]
    fn an_answer_counts_by_its_mean_where_asked() {
        let example = Example {
            prompt: vec![1],
            answers: vec![answer(&[5, 6, 7, 8], 2.0), answer(&[9], 1.0)],
        };
        let examples = [example];
        let total = Normalizer::Sequence.total(&examples);
        let packed = Packed::new(&examples, Normalizer::Sequence, total);
        let of = |token: u32| {
            let target = packed.targets.iter().find(|target| target.token == token);
            target.map(|target| target.coefficient)
        };
        assert_eq!(of(6), Some(2.0 / 12.0));
        assert_eq!(of(9), Some(1.0 / 3.0));
        let sum: f64 = packed.targets.iter().map(|target| target.coefficient).sum();
        assert!((sum - 1.0).abs() < 1e-12);
    }
}
