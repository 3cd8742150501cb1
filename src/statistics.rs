//! How sure a mean is, by Student's t; and means with paired bootstrap intervals (Efron): queries are
//! drawn again with replacement, all systems on the same draw, so that what makes a query easy for all of
//! them cancels.

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
    interval(average(&mut groups.iter().map(|values| mean(values))), &mut resamples)
}

/// The macro mean of gains as a part of that of what they are gained over; both of a query, `(gain, base)`,
/// are drawn together. 0 where the base is.
#[must_use]
pub fn macro_relative(groups: &[Vec<(f64, f64)>]) -> Interval {
    let mut random = fastrand::Rng::with_seed(SEED);
    let part = |gain: f64, base: f64| if base > 0.0 { gain / base } else { 0.0 };
    let mut ratio = |is_drawn: bool| {
        let (mut gains, mut bases) = (0.0, 0.0);
        for group in groups {
            for &pair in group {
                let (gain, base) = if is_drawn { group[random.usize(..group.len())] } else { pair };
                gains += gain / group.len() as f64;
                bases += base / group.len() as f64;
            }
        }
        part(gains, bases)
    };
    let mean = ratio(false);
    let mut resamples: Vec<f64> = (0..RESAMPLES).map(|_| ratio(true)).collect();
    interval(mean, &mut resamples)
}

fn interval(mean: f64, resamples: &mut [f64]) -> Interval {
    resamples.sort_by(f64::total_cmp);
    Interval {
        mean,
        low: resamples[RESAMPLES * 25 / 1000],
        high: resamples[RESAMPLES * 975 / 1000 - 1],
    }
}

/// The mean; 0 of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// The mean of a measure of `all`; 0 of nothing.
#[must_use]
pub fn mean_of<T>(all: &[T], measure: impl Fn(&T) -> f64) -> f64 {
    mean(&all.iter().map(measure).collect::<Vec<_>>())
}

/// How sure it is that the mean of what `values` are a sample of is above 0, by Student's t: the
/// bootstrap is too sure of few values. 0 of fewer than two.
#[must_use]
pub fn confidence_above_zero(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let center = mean(values);
    let variance = values.iter().map(|it| (it - center).powi(2)).sum::<f64>() / (n - 1.0);
    if values.len() < 2 {
        return 0.0;
    }
    if variance <= 0.0 {
        return if center > 0.0 { 1.0 } else { 0.0 };
    }
    student(center / (variance / n).sqrt(), n - 1.0)
}

/// The distribution function of Student's t with `freedom` degrees of freedom, by Simpson's rule.
fn student(t: f64, freedom: f64) -> f64 {
    const STEPS: u32 = 2_000;
    // u = atan(t / sqrt(freedom)) makes the density cos(u)^(freedom - 1) over a bounded range.
    let density = |u: f64| u.cos().powf(freedom - 1.0);
    let integral = |to: f64| {
        let step = to / f64::from(STEPS);
        let at = |index: u32| {
            let weight = match index {
                0 | STEPS => 1.0,
                odd if odd % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * density(step * f64::from(index))
        };
        (0..=STEPS).map(at).sum::<f64>() * step / 3.0
    };
    let half = integral(std::f64::consts::FRAC_PI_2);
    0.5 + 0.5 * integral((t / freedom.sqrt()).atan()) / half
}

/// The middle value, or the mean of the two in the middle; 0 of nothing.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
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
    fn a_relative_gain_is_of_what_was_drawn_with_it() {
        // Everything gains a tenth: however they are drawn, so does their mean.
        let groups = [vec![(0.1, 1.0), (0.5, 5.0)], vec![(0.02, 0.2)]];
        let relative = macro_relative(&groups);
        for value in [relative.mean, relative.low, relative.high] {
            assert!((value - 0.1).abs() < 1e-12, "{relative:?}");
        }
        let spread = macro_relative(&[vec![(0.2, 1.0), (0.0, 1.0), (0.4, 1.0), (0.2, 1.0)]]);
        assert!((spread.mean - 0.2).abs() < 1e-12);
        assert!(spread.low < 0.1 && spread.high > 0.3, "{spread:?}");
        assert_eq!(macro_relative(&[]).mean, 0.0);
    }

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
    fn confidence_is_that_of_students_tables() {
        for (t, freedom, expected) in
            [(2.353, 3.0, 0.95), (1.895, 7.0, 0.95), (1.753, 15.0, 0.95), (-2.353, 3.0, 0.05)]
        {
            let found = student(t, freedom);
            assert!((found - expected).abs() < 1e-4, "{t} {freedom}: {found}");
        }
        // Mean 2, standard error 1 / sqrt(3): t = 3.464 of 2 degrees of freedom.
        assert!((confidence_above_zero(&[1.0, 2.0, 3.0]) - 0.962_8).abs() < 1e-3);
        assert_eq!(confidence_above_zero(&[0.5]), 0.0);
        assert_eq!(confidence_above_zero(&[0.0; 9]), 0.0);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }

    #[test]
    fn groups_count_alike_whatever_their_size() {
        let interval = macro_mean(&[&[1.0, 1.0, 1.0, 1.0], &[3.0]]);
        assert_eq!((interval.mean, interval.low, interval.high), (2.0, 2.0, 2.0));
    }
}
