//! `[eval]`: how much is measured when systems are put side by side.

use serde::{Deserialize, Serialize};

use super::{ConfigError, range};

/// `[eval]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct EvalConfig {
    pub train_queries: u32,
    pub test_queries: u32,
    pub best_of: u32,
    pub judge: String,
    pub aspects: bool,
}

impl EvalConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (key, value) in
            [("eval.train_queries", self.train_queries), ("eval.test_queries", self.test_queries)]
        {
            range((1..=100_000).contains(&value), key, &value, "from 1 to 100000")?;
        }
        let best_of = self.best_of;
        range((1..=64).contains(&best_of), "eval.best_of", &best_of, "from 1 to 64")?;
        let is_judged = !self.judge.is_empty();
        range(!self.aspects || is_judged, "eval.aspects", &self.aspects, "false without eval.judge")
    }
}
