//! What systems came to, in figures: the mean of each measure, and how each system fares against one.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fitted::Sampled;
use super::scores::Scores;
use super::systems::{Case, Selection, Tries};
use crate::statistics::{Interval, macro_mean, macro_relative};

/// Qualities that differ by less are a tie.
const TIE: f64 = 0.005;
/// What the paper's gains are over.
const SFT: &str = "sft";

/// A measure by its name, where a draft has it.
pub type Measure = (&'static str, fn(&Scores) -> Option<f64>);

/// Every measure of a report, in order.
pub const MEASURES: [Measure; 14] = [
    ("quality", |it| Some(it.quality)),
    ("rouge_1", |it| Some(it.figures.rouge_1)),
    ("rouge_l", |it| Some(it.figures.rouge_l)),
    ("meteor", |it| Some(it.figures.meteor)),
    ("chrf", |it| Some(it.chrf)),
    ("similarity", |it| it.similarity),
    ("style", |it| it.style),
    ("judge", |it| it.judge),
    ("judge_likeliest", |it| it.judge_likeliest),
    ("aspects", |it| it.aspects.as_ref().map(|it| it.f1)),
    ("own_author", |it| it.own_author),
    ("length_ratio", |it| Some(it.figures.length_ratio)),
    ("repeated", |it| Some(it.figures.repeated)),
    ("copied", |it| Some(it.figures.copied)),
];

/// A system's means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The system.
    pub system: String,
    /// The macro average over tasks of each measure.
    pub measures: BTreeMap<String, Interval>,
    /// Quality by task.
    pub tasks: BTreeMap<String, Interval>,
}

/// A system against another, request by request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Against {
    /// The system.
    pub system: String,
    /// The other.
    pub other: String,
    /// The macro average over tasks, with the requests of all.
    #[serde(flatten)]
    pub all: Gain,
    /// By task.
    pub tasks: BTreeMap<String, Gain>,
}

/// How much better one does than another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gain {
    /// In quality.
    pub gain: Interval,
    /// The gain as a part of the other's quality.
    pub relative: Interval,
    /// Requests that it does better.
    pub wins: usize,
    /// Requests that both do as well.
    pub ties: usize,
    /// Requests that it does worse.
    pub losses: usize,
}

impl Gain {
    /// Of each request of each task the gain, and the other's quality.
    fn of(tasks: &[&[(f64, f64)]]) -> Self {
        let pairs: Vec<Vec<(f64, f64)>> = tasks.iter().map(|pairs| pairs.to_vec()).collect();
        let gains = |pairs: &&[(f64, f64)]| pairs.iter().map(|(gain, _)| *gain).collect();
        let gains: Vec<Vec<f64>> = tasks.iter().map(gains).collect();
        let all = || gains.iter().flatten();
        let wins = all().filter(|gain| **gain > TIE).count();
        let losses = all().filter(|gain| **gain < -TIE).count();
        Self {
            gain: macro_mean(&gains.iter().map(Vec::as_slice).collect::<Vec<_>>()),
            relative: macro_relative(&pairs),
            wins,
            ties: all().count() - wins - losses,
            losses,
        }
    }
}

/// A report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SystemsReport {
    /// Requests of each task.
    pub requests: BTreeMap<String, usize>,
    /// Each system.
    pub rows: Vec<Row>,
    /// Each system against one of them.
    pub against: Vec<Against>,
    /// What selection could reach.
    pub selection: BTreeMap<String, Selection>,
    /// What the systems learned from, round by round.
    pub sampled: Vec<Sampled>,
}

impl SystemsReport {
    /// Of everything that was tried, with each system against the one called `against`; where none is
    /// named or it was not tried, against SFT, or else the first one.
    #[must_use]
    pub fn of(tries: &Tries, against: Option<&str>) -> Self {
        let mut requests: BTreeMap<String, usize> = BTreeMap::new();
        tries.cases.iter().for_each(|case| *requests.entry(case.task.clone()).or_default() += 1);
        let called = |wanted: &str| tries.systems.iter().find(|name| *name == wanted);
        let other = against.and_then(called).or_else(|| called(SFT)).or(tries.systems.first());
        let comparisons = other.map(|other| {
            let others = tries.systems.iter().filter(|system| *system != other);
            others.map(|system| compared(&tries.cases, system, other)).collect()
        });
        Self {
            requests,
            rows: tries.systems.iter().map(|system| row(&tries.cases, system)).collect(),
            against: comparisons.unwrap_or_default(),
            selection: tries.selection.clone(),
            sampled: tries.sampled.clone(),
        }
    }
}

/// The values of `measure` by task.
fn by_task<T>(cases: &[Case], measure: impl Fn(&Case) -> Option<T>) -> BTreeMap<String, Vec<T>> {
    let mut tasks: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for case in cases {
        if let Some(value) = measure(case) {
            tasks.entry(case.task.clone()).or_default().push(value);
        }
    }
    tasks
}

fn macro_average(tasks: &BTreeMap<String, Vec<f64>>) -> Interval {
    macro_mean(&tasks.values().map(Vec::as_slice).collect::<Vec<_>>())
}

fn row(cases: &[Case], system: &str) -> Row {
    let of = |measure: fn(&Scores) -> Option<f64>| {
        by_task(cases, |case| measure(&case.systems.get(system)?.scores))
    };
    let measures = MEASURES.iter().filter_map(|(name, measure)| {
        let tasks = of(*measure);
        (!tasks.is_empty()).then(|| ((*name).to_owned(), macro_average(&tasks)))
    });
    let quality = of(|scores| Some(scores.quality));
    let tasks = quality.iter().map(|(task, values)| (task.clone(), macro_mean(&[values])));
    Row { system: system.to_owned(), measures: measures.collect(), tasks: tasks.collect() }
}

fn compared(cases: &[Case], system: &str, other: &str) -> Against {
    let quality = |case: &Case, name: &str| Some(case.systems.get(name)?.scores.quality);
    let pair = |case: &Case| {
        let others = quality(case, other)?;
        Some((quality(case, system)? - others, others))
    };
    let pairs = by_task(cases, pair);
    let all: Vec<&[(f64, f64)]> = pairs.values().map(Vec::as_slice).collect();
    let of_task = |(task, pairs): (&String, &Vec<(f64, f64)>)| (task.clone(), Gain::of(&[pairs]));
    Against {
        system: system.to_owned(),
        other: other.to_owned(),
        all: Gain::of(&all),
        tasks: pairs.iter().map(of_task).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::systems::Tried;
    use crate::selftrain::Drafted;

    fn case(task: &str, qualities: &[(&str, f64)]) -> Case {
        let tried = |&(name, quality): &(&str, f64)| {
            let scores = Scores { quality, ..Scores::default() };
            (name.to_owned(), Tried { draft: Drafted::default(), others: Vec::new(), scores })
        };
        Case {
            key: String::new(),
            task: task.into(),
            request: String::new(),
            reference: String::new(),
            systems: qualities.iter().map(tried).collect(),
        }
    }

    #[test]
    fn tasks_count_alike_and_gains_are_over_sft() {
        let tries = Tries {
            systems: vec!["base".into(), "sft".into()],
            cases: vec![
                case("email", &[("base", 0.1), ("sft", 0.2)]),
                case("email", &[("base", 0.1), ("sft", 0.2)]),
                case("email", &[("base", 0.3), ("sft", 0.2)]),
                case("review", &[("base", 0.4), ("sft", 0.4)]),
            ],
            selection: BTreeMap::new(),
            sampled: Vec::new(),
        };
        let report = SystemsReport::of(&tries, None);
        assert!((report.rows[1].measures["quality"].mean - 0.3).abs() < 1e-12);
        assert!(!report.rows[1].measures.contains_key("judge"));
        let [against] = report.against.as_slice() else { panic!("{report:?}") };
        let Against { all, tasks, .. } = against;
        assert_eq!((all.wins, all.ties, all.losses), (1, 1, 2));
        let mean = (-0.1 / 3.0 + 0.0) / 2.0;
        assert!((all.gain.mean - mean).abs() < 1e-12);
        assert!((all.relative.mean - mean / 0.3).abs() < 1e-12);
        let (email, review) = (&tasks["email"], &tasks["review"]);
        assert_eq!((email.wins, email.losses, review.ties), (1, 2, 1));
        assert!((email.relative.mean + 1.0 / 6.0).abs() < 1e-12);
        let named = SystemsReport::of(&tries, Some("base"));
        assert_eq!((named.against[0].other.as_str(), named.against[0].all.losses), ("base", 1));
    }
}
