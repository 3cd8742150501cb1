//! AdamW with decoupled weight decay, arXiv 1711.05101, in 32-bit floats; gradients clipped by
//! their global norm; B may learn faster than A (LoRA+, arXiv 2402.12354).

use serde::{Deserialize, Serialize};

use super::Adapter;

/// How the learning rate falls once it is warm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Along half a cosine, to zero.
    Cosine,
    /// In a straight line, to zero.
    Linear,
    /// Not at all.
    Constant,
}

/// How far a step goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// At its highest.
    pub learning_rate: f64,
    /// What the rate of B is multiplied by.
    pub b_rate_ratio: f64,
    /// Steps during which the rate rises from zero.
    pub warmup_steps: u64,
    /// How it falls after that.
    pub schedule: Schedule,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of their squares.
    pub beta2: f64,
    /// Added to the root of that mean.
    pub eps: f64,
    /// What a step takes from every value, times the rate.
    pub weight_decay: f64,
    /// Gradients that are longer together are shortened to this; 0 for never.
    pub clip_norm: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            learning_rate: 2e-4,
            b_rate_ratio: 1.0,
            warmup_steps: 0,
            schedule: Schedule::Cosine,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            clip_norm: 1.0,
        }
    }
}

impl OptimizerConfig {
    /// The rate of step `step` (the first is 0) of `steps`.
    #[must_use]
    pub fn rate(&self, step: u64, steps: u64) -> f64 {
        if step < self.warmup_steps {
            return self.learning_rate * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let falling = steps.saturating_sub(self.warmup_steps).max(1);
        let done = ((step - self.warmup_steps) as f64 / falling as f64).min(1.0);
        self.learning_rate
            * match self.schedule {
                Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
                Schedule::Linear => 1.0 - done,
                Schedule::Constant => 1.0,
            }
    }
}

/// What AdamW remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// The mean of gradients.
    pub first: Vec<f32>,
    /// The mean of their squares.
    pub second: Vec<f32>,
}

impl Moments {
    /// Of `count` values that have seen no gradient.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { first: vec![0.0; count], second: vec![0.0; count] }
    }

    /// Moves the adapter against `gradients`, as step `step` (the first is 0) at `rate`; returns
    /// the norm of the gradients before they were clipped, and moves nothing where that is not
    /// finite.
    pub fn step(
        &mut self,
        config: &OptimizerConfig,
        adapter: &mut Adapter,
        gradients: &[f32],
        step: u64,
        rate: f64,
    ) -> f64 {
        let norm = norm(gradients);
        if !norm.is_finite() {
            return norm;
        }
        let clipped = config.clip_norm > 0.0 && norm > config.clip_norm;
        let shortened = if clipped { config.clip_norm / norm } else { 1.0 };
        let unbias = |beta: f64| 1.0 / (1.0 - beta.powf(step as f64 + 1.0));
        let (unbias1, unbias2) = (unbias(config.beta1), unbias(config.beta2));
        let ranges: Vec<_> = adapter
            .pairs
            .iter()
            .flat_map(|pair| [(pair.a.clone(), 1.0), (pair.b.clone(), config.b_rate_ratio)])
            .collect();
        for (range, ratio) in ranges {
            let rate = rate * ratio;
            for index in range {
                let gradient = f64::from(gradients[index]) * shortened;
                let mean =
                    |beta: f64, old: f32, new: f64| beta * f64::from(old) + (1.0 - beta) * new;
                let first = mean(config.beta1, self.first[index], gradient);
                let second = mean(config.beta2, self.second[index], gradient * gradient);
                self.first[index] = first as f32;
                self.second[index] = second as f32;
                let value = f64::from(adapter.values[index]);
                let moved = first * unbias1 / ((second * unbias2).sqrt() + config.eps);
                adapter.values[index] =
                    (value - rate * (moved + config.weight_decay * value)) as f32;
            }
        }
        norm
    }
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls() {
        let config =
            OptimizerConfig { learning_rate: 1.0, warmup_steps: 4, ..OptimizerConfig::default() };
        let rates: Vec<f64> = (0..12).map(|step| config.rate(step, 12)).collect();
        assert_eq!(rates[..5], [0.25, 0.5, 0.75, 1.0, 1.0]);
        assert!((rates[8] - 0.5).abs() < 1e-12);
        assert!(rates[11] < 0.05 && rates[11] > 0.0);
        let linear = OptimizerConfig { schedule: Schedule::Linear, ..config };
        assert!((linear.rate(8, 12) - 0.5).abs() < 1e-12);
    }
}
