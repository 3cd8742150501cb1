//! Means with paired bootstrap intervals (Efron): queries are drawn again with replacement, all
//! systems on the same draw, so that what makes a query easy for all of them cancels.

use serde::{Deserialize, Serialize};

const RESAMPLES: usize = 10_000;
/// Fixed, so that the same figures come out again.
const SEED: u64 = 0x5eed;

/// A mean and where 95 of 100 resamples lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// The 2.5th percentile.
    pub low: f64,
    /// The 97.5th percentile.
    pub high: f64,
}

/// The mean of the means of `groups`, drawn again within each group. One group: its own mean.
#[must_use]
pub fn macro_mean(groups: &[&[f64]]) -> Interval {
    let mut random = fastrand::Rng::with_seed(SEED);
    let average = |means: &mut dyn Iterator<Item = f64>| {
        let (sum, count) = means.fold((0.0, 0), |(sum, count), mean| (sum + mean, count + 1));
        if count == 0 { 0.0 } else { sum / f64::from(count) }
    };
    let mut resamples: Vec<f64> = (0..RESAMPLES)
        .map(|_| average(&mut groups.iter().map(|values| resampled(values, &mut random))))
        .collect();
    resamples.sort_by(f64::total_cmp);
    Interval {
        mean: average(&mut groups.iter().map(|values| mean(values))),
        low: resamples[RESAMPLES * 25 / 1000],
        high: resamples[RESAMPLES * 975 / 1000 - 1],
    }
}

/// The mean; 0 of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// The share of resamples of `values` whose mean is above 0: how sure it is that the mean of what they
/// are a sample of is. 0 of nothing.
#[must_use]
pub fn confidence_above_zero(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let mut random = fastrand::Rng::with_seed(SEED);
    let above = (0..RESAMPLES).filter(|_| resampled(values, &mut random) > 0.0).count();
    above as f64 / RESAMPLES as f64
}

fn resampled(values: &[f64], random: &mut fastrand::Rng) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let sum: f64 = (0..values.len()).map(|_| values[random.usize(..values.len())]).sum();
    sum / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_normal_law_for_many_values() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let interval = macro_mean(&[&values]);
        assert!((interval.mean - 0.5).abs() < 1e-12);
        // Standard error 0.5 / sqrt(400) = 0.025.
        assert!((interval.low - (0.5 - 1.96 * 0.025)).abs() < 0.006, "{interval:?}");
        assert!((interval.high - (0.5 + 1.96 * 0.025)).abs() < 0.006, "{interval:?}");
    }

    #[test]
    fn what_is_always_above_zero_is_sure_to_be() {
        assert_eq!(confidence_above_zero(&[0.1, 0.2, 0.3]), 1.0);
        assert_eq!(confidence_above_zero(&[0.0; 9]), 0.0);
        assert_eq!(confidence_above_zero(&[]), 0.0);
        let even = confidence_above_zero(&[-1.0, 1.0, -1.0, 1.0]);
        assert!((0.2..0.5).contains(&even), "{even}");
    }

    #[test]
    fn groups_count_alike_whatever_their_size() {
        let interval = macro_mean(&[&[1.0, 1.0, 1.0, 1.0], &[3.0]]);
        assert_eq!((interval.mean, interval.low, interval.high), (2.0, 2.0, 2.0));
    }
}
