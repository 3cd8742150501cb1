//! `[train]`: how a model learns from the person.

use serde::{Deserialize, Serialize};

use super::{ConfigError, range};

/// `[train]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct TrainConfig {
    pub rounds: u32,
    pub samples: u32,
    pub temperature: f32,
    pub top_p: f32,
    pub repeat_penalty: f32,
    pub reward_min: f32,
    pub kept_max: u32,
    pub gold_weight: f32,
    pub reasoning_model: String,
    pub reasoning_tries: u32,
    pub leak_max: f32,
    pub words_min: u32,
    pub words_max: u32,
    pub scrub: bool,
    pub pairs_max: u32,
    pub held_out_share: f32,
    pub held_out_min: u32,
    pub held_out_max: u32,
    pub held_out_drafts: u32,
    pub rank: u32,
    pub alpha: f32,
    pub learning_rate: f32,
    pub epochs: u32,
    pub batch: u32,
    pub validation_share: f32,
    pub confidence: f32,
    pub gate_judge: String,
    pub perplexity_ratio_max: f32,
    pub repetition_max: f32,
    pub copied_max: f32,
    pub length_ratio_max: f32,
    pub stop_early: bool,
    pub seed: u32,
    pub hours_max: f32,
    pub nice: u32,
    pub on_battery: String,
    pub battery_percent_min: u32,
}

/// What training does while the machine runs on its battery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBattery {
    /// Waits for the mains.
    Pause,
    /// Ends, to be taken up again.
    Stop,
    /// Goes on.
    GoOn,
}

impl OnBattery {
    /// What the settings call `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "pause" => Some(Self::Pause),
            "stop" => Some(Self::Stop),
            "go-on" => Some(Self::GoOn),
            _ => None,
        }
    }
}

impl TrainConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_sampling()?;
        self.check_pairs()?;
        self.check_fitting()?;
        self.check_gate()
    }

    fn check_sampling(&self) -> Result<(), ConfigError> {
        count(self.rounds, 1, 100, "train.rounds", "from 1 to 100")?;
        count(self.samples, 1, 1024, "train.samples", "from 1 to 1024")?;
        number(self.temperature, 0.0, 10.0, "train.temperature", "from 0 to 10")?;
        let top_p = self.top_p;
        range(top_p > 0.0 && top_p <= 1.0, "train.top_p", &top_p, "above 0 and at most 1")?;
        let penalty = self.repeat_penalty;
        number(penalty, 1.0, 10.0, "train.repeat_penalty", "from 1 to 10")?;
        share(self.reward_min, "train.reward_min")?;
        count(self.kept_max, 1, 1024, "train.kept_max", "from 1 to 1024")?;
        number(self.gold_weight, 0.0, 100.0, "train.gold_weight", "from 0 to 100")?;
        count(self.reasoning_tries, 1, 100, "train.reasoning_tries", "from 1 to 100")?;
        share(self.leak_max, "train.leak_max")
    }

    fn check_pairs(&self) -> Result<(), ConfigError> {
        let (least, most) = (self.words_min, self.words_max);
        range(least >= 1, "train.words_min", &least, "at least 1")?;
        range(most >= least, "train.words_max", &most, "at least words_min")?;
        share(self.held_out_share, "train.held_out_share")?;
        range(self.held_out_min >= 1, "train.held_out_min", &self.held_out_min, "at least 1")?;
        let most = self.held_out_max;
        range(most >= self.held_out_min, "train.held_out_max", &most, "at least held_out_min")?;
        count(self.held_out_drafts, 1, 1024, "train.held_out_drafts", "from 1 to 1024")
    }

    fn check_fitting(&self) -> Result<(), ConfigError> {
        count(self.rank, 1, 512, "train.rank", "from 1 to 512")?;
        let alpha = self.alpha;
        range(alpha > 0.0 && alpha <= 1e6, "train.alpha", &alpha, "above 0, at most 1000000")?;
        number(self.learning_rate, 0.0, 1.0, "train.learning_rate", "from 0 to 1")?;
        count(self.epochs, 1, 1000, "train.epochs", "from 1 to 1000")?;
        count(self.batch, 1, 65_536, "train.batch", "from 1 to 65536")?;
        number(self.validation_share, 0.0, 0.9, "train.validation_share", "from 0 to 0.9")
    }

    fn check_gate(&self) -> Result<(), ConfigError> {
        number(self.confidence, 0.5, 0.9999, "train.confidence", "from 0.5 to 0.9999")?;
        let ratio = self.perplexity_ratio_max;
        range(
            (1.0..=1e6).contains(&ratio),
            "train.perplexity_ratio_max",
            &ratio,
            "from 1 to 1000000",
        )?;
        share(self.repetition_max, "train.repetition_max")?;
        share(self.copied_max, "train.copied_max")?;
        let ratio = self.length_ratio_max;
        range((1.0..=1e6).contains(&ratio), "train.length_ratio_max", &ratio, "from 1 to 1000000")?;
        number(self.hours_max, 0.0, 10_000.0, "train.hours_max", "from 0 to 10000")?;
        count(self.nice, 0, 19, "train.nice", "from 0 to 19")?;
        count(self.seed, 0, 1 << 30, "train.seed", "from 0 to 1073741824")?;
        let known = OnBattery::named(&self.on_battery).is_some();
        range(known, "train.on_battery", &self.on_battery, "pause, stop or go-on")?;
        let percent = self.battery_percent_min;
        count(percent, 0, 100, "train.battery_percent_min", "from 0 to 100")
    }
}

fn count(
    value: u32,
    least: u32,
    most: u32,
    key: &'static str,
    allowed: &'static str,
) -> Result<(), ConfigError> {
    range((least..=most).contains(&value), key, &value, allowed)
}

fn number(
    value: f32,
    least: f32,
    most: f32,
    key: &'static str,
    allowed: &'static str,
) -> Result<(), ConfigError> {
    range((least..=most).contains(&value), key, &value, allowed)
}

fn share(value: f32, key: &'static str) -> Result<(), ConfigError> {
    number(value, 0.0, 1.0, key, "from 0 to 1")
}
