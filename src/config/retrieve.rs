//! `[retrieve]`: what is looked up in the profile.

use serde::{Deserialize, Serialize};

use super::{ConfigError, defaults, range};

/// `[retrieve]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RetrieveConfig {
    pub k: u32,
    pub embedder: String,
    pub candidates: u32,
    pub rrf_constant: u32,
    pub lexical_weight: f32,
    pub dense_weight: f32,
    pub diversity: f32,
    pub recency_weight: f32,
    pub same_recipient_weight: f32,
    pub same_kind_weight: f32,
}

impl Default for RetrieveConfig {
    /// What configs/default.toml says.
    fn default() -> Self {
        let section = defaults().remove("retrieve").and_then(|section| section.try_into().ok());
        section.expect("configs/default.toml is checked by a test")
    }
}

impl RetrieveConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        range(self.k <= 100, "retrieve.k", &self.k, "from 0 to 100")?;
        range(
            (1..=1000).contains(&self.candidates),
            "retrieve.candidates",
            &self.candidates,
            "from 1 to 1000",
        )?;
        range(
            self.rrf_constant <= 10_000,
            "retrieve.rrf_constant",
            &self.rrf_constant,
            "from 0 to 10000",
        )?;
        range(
            (0.0..1.0).contains(&self.diversity),
            "retrieve.diversity",
            &self.diversity,
            "from 0 to below 1",
        )?;
        for (key, weight) in [
            ("retrieve.lexical_weight", self.lexical_weight),
            ("retrieve.dense_weight", self.dense_weight),
            ("retrieve.recency_weight", self.recency_weight),
            ("retrieve.same_recipient_weight", self.same_recipient_weight),
            ("retrieve.same_kind_weight", self.same_kind_weight),
        ] {
            range((0.0..=100.0).contains(&weight), key, &weight, "from 0 to 100")?;
        }
        let found_by_something = self.lexical_weight > 0.0 || self.dense_weight > 0.0;
        range(found_by_something, "retrieve.lexical_weight", &0, "above 0 where dense_weight is 0")
    }
}
