//! `[reward]`: what the score of a draft is made of.

use serde::{Deserialize, Serialize};

use super::{ConfigError, range};

/// `[reward]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RewardConfig {
    pub judge_weight: f32,
    pub style_weight: f32,
    pub originality_weight: f32,
    pub agreement_weight: f32,
    pub similarity_weight: f32,
    pub overlap_weight: f32,
    pub length_weight: f32,
}

impl RewardConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let weights = [
            ("reward.judge_weight", self.judge_weight),
            ("reward.style_weight", self.style_weight),
            ("reward.originality_weight", self.originality_weight),
            ("reward.agreement_weight", self.agreement_weight),
            ("reward.similarity_weight", self.similarity_weight),
            ("reward.overlap_weight", self.overlap_weight),
            ("reward.length_weight", self.length_weight),
        ];
        for (key, weight) in weights {
            range((0.0..=100.0).contains(&weight), key, &weight, "from 0 to 100")?;
        }
        let counts_something = weights.iter().any(|(_, weight)| *weight > 0.0);
        range(counts_something, "reward", &"0 in all weights", "above 0 in one of them")
    }

    /// That something counts in training, where there is no agreement of drafts.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`].
    pub fn require_training(&self) -> Result<(), ConfigError> {
        let left = Self { agreement_weight: 0.0, ..self.clone() }.check();
        let value = "0 in all weights but agreement_weight, which training does not know";
        range(left.is_ok(), "reward", &value, "above 0 in another")
    }
}
