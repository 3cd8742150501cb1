//! Whether an adapter may be adopted: only where it writes better than everything else that could be
//! used, on texts that it never saw, by measures that its reward did not use; and where it does not
//! pay for that with what nobody would want. A judge, where there is one, must not surely like it less.

use serde::{Deserialize, Serialize};

use super::leaks::Learned;
use super::{Drafted, Figures, Item};
use crate::config::{TrainConfig, decimal};
use crate::perplexity::perplexity_ratio;
use crate::statistics::{Interval, confidence_above_zero, macro_mean, mean_of, median};

/// What an adapter is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rival<'f> {
    /// Its name.
    pub name: &'static str,
    /// The figures of its drafts, of the same requests in the same order.
    pub figures: &'f [Figures],
    /// The places of the requests whose texts it has learned: of those it knows what to write.
    pub learned: &'f [usize],
}

impl<'f> Rival<'f> {
    /// One that has learned none of the texts.
    #[must_use]
    pub fn fair(name: &'static str, figures: &'f [Figures]) -> Self {
        Self { name, figures, learned: &[] }
    }

    /// Its figures with those of a candidate, of every request that both can be asked.
    fn beside(self, candidate: &'f [Figures]) -> impl Iterator<Item = (&'f Figures, &'f Figures)> {
        let all = candidate.iter().zip(self.figures).enumerate();
        all.filter(move |(place, _)| !self.learned.contains(place)).map(|(_, both)| both)
    }
}

/// How an adapter fared against a rival.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The rival.
    pub rival: String,
    /// Requests that they were not compared on, since the rival has learned the texts.
    #[serde(default)]
    pub left_out: usize,
    /// How much better the drafts are, by the mean of ROUGE-1, ROUGE-L and METEOR.
    pub gain: Interval,
    /// How sure it is that they are better at all.
    pub confidence: f64,
    /// How sure it must be.
    pub confidence_min: f64,
    /// Whether that is sure enough.
    pub is_passed: bool,
}

/// A figure that must not grow too far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// What is measured.
    pub name: String,
    /// What was found.
    pub found: f64,
    /// What is allowed at most.
    pub allowed: f64,
    /// Whether it is within that.
    pub is_passed: bool,
}

/// What the gate says of an adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether it may be adopted.
    pub is_adopted: bool,
    /// How many requests it was tried on.
    pub requests: usize,
    /// Against each rival.
    pub comparisons: Vec<Comparison>,
    /// What must not grow.
    pub guards: Vec<Guard>,
}

/// What an adapter costs beside its drafts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Costs {
    /// Its perplexity on a neutral text, as a multiple of the model's own.
    pub perplexity_ratio: f64,
    /// Numbers and addresses in its drafts that it seems to have learned.
    pub leaks: usize,
    /// The same of the model without an adapter: those are chance.
    pub base_leaks: usize,
    /// Of the words of its drafts, the share in runs that only what was learned has.
    pub recited: f64,
    /// The same of the model without an adapter.
    pub base_recited: f64,
}

/// What a system wrote, and what it knows besides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Written<'w> {
    /// Its drafts of each request.
    pub drafts: &'w [Vec<Drafted>],
    /// What each token of the neutral text is worth to it, in nats.
    pub neutral: &'w [f64],
}

impl Costs {
    /// Of a candidate that has `learned`, beside the model without an adapter, in what both wrote for
    /// `items`.
    #[must_use]
    pub fn of(
        learned: &Learned,
        items: &[&Item],
        candidate: Written<'_>,
        base: Written<'_>,
    ) -> Self {
        Self {
            perplexity_ratio: perplexity_ratio(base.neutral, candidate.neutral).mean,
            leaks: learned.leaks(items, candidate.drafts),
            base_leaks: learned.leaks(items, base.drafts),
            recited: learned.recited(items, candidate.drafts),
            base_recited: learned.recited(items, base.drafts),
        }
    }
}

/// Judges an adapter by the figures of its drafts; `base` are those of the model without one.
#[must_use]
pub fn judge(
    candidate: &[Figures],
    rivals: &[Rival<'_>],
    base: &[Figures],
    costs: Costs,
    settings: &TrainConfig,
) -> Verdict {
    let comparisons: Vec<Comparison> =
        rivals.iter().map(|rival| compare(candidate, rival, settings)).collect();
    let mut guards = guards(candidate, base, costs, settings);
    if !settings.gate_judge.is_empty() {
        guards.push(ungraded(candidate, rivals));
        guards.extend(rivals.iter().map(|rival| liked_less(candidate, rival, settings)));
    }
    let is_adopted = !candidate.is_empty()
        && comparisons.iter().all(|it| it.is_passed)
        && guards.iter().all(|it| it.is_passed);
    Verdict { is_adopted, requests: candidate.len(), comparisons, guards }
}

fn compare(candidate: &[Figures], rival: &Rival<'_>, settings: &TrainConfig) -> Comparison {
    let gains: Vec<f64> =
        rival.beside(candidate).map(|(own, other)| own.quality() - other.quality()).collect();
    let confidence = confidence_above_zero(&gains);
    // The same texts prove every round: each may be wrong as rarely as all of them may together.
    let doubt = (1.0 - decimal(settings.confidence)) / f64::from(settings.rounds.max(1));
    Comparison {
        rival: rival.name.to_owned(),
        left_out: candidate.len() - gains.len(),
        gain: macro_mean(&[&gains]),
        confidence,
        confidence_min: 1.0 - doubt,
        is_passed: confidence >= 1.0 - doubt,
    }
}

/// Requests that the judge could not grade for everybody: of more than half nobody knows enough.
fn ungraded(candidate: &[Figures], rivals: &[Rival<'_>]) -> Guard {
    let is_ungraded = |place: &usize| {
        let of = |all: &[Figures]| all.get(*place).and_then(|it| it.grade).is_none();
        of(candidate) || rivals.iter().any(|rival| of(rival.figures))
    };
    let found = (0..candidate.len()).filter(is_ungraded).count() as f64;
    let allowed = (candidate.len() / 2) as f64;
    let name = "requests without a grade".to_owned();
    Guard { name, found, allowed, is_passed: found <= allowed }
}

/// How sure it is that the judge grades the rival's drafts higher.
fn liked_less(candidate: &[Figures], rival: &Rival<'_>, settings: &TrainConfig) -> Guard {
    let pairs = rival.beside(candidate);
    let losses: Vec<f64> =
        pairs.filter_map(|(own, other)| Some(other.grade? - own.grade?)).collect();
    let (found, allowed) = (confidence_above_zero(&losses), decimal(settings.confidence));
    let name = format!("confidence that the judge prefers {}", rival.name);
    Guard { name, found, allowed, is_passed: found <= allowed }
}

fn guards(
    candidate: &[Figures],
    base: &[Figures],
    costs: Costs,
    settings: &TrainConfig,
) -> Vec<Guard> {
    let guard = |name: &str, found: f64, allowed: f64| Guard {
        name: name.to_owned(),
        found,
        allowed,
        is_passed: found <= allowed,
    };
    // What the model does without an adapter is no fault of the adapter's.
    let as_base = |name: &str, of: fn(&Figures) -> f64, allowed: f32| {
        guard(name, mean_of(candidate, of), decimal(allowed).max(mean_of(base, of)))
    };
    let length = |all: &[Figures]| median(all.iter().map(|it| it.length_factor).collect());
    vec![
        guard("perplexity ratio", costs.perplexity_ratio, decimal(settings.perplexity_ratio_max)),
        guard("leaks", costs.leaks as f64, costs.base_leaks as f64),
        as_base("repetition", |it| it.repeated, settings.repetition_max),
        as_base("copying", |it| it.copied, settings.copied_max),
        guard("reciting", costs.recited, decimal(settings.copied_max).max(costs.base_recited)),
        guard("length", length(candidate), decimal(settings.length_ratio_max).max(length(base))),
    ]
}

impl Comparison {
    /// Whom it was compared with, of `requests` on which.
    #[must_use]
    pub fn over(&self, requests: usize) -> String {
        match self.left_out {
            0 => self.rival.clone(),
            left_out => {
                let known = requests - left_out;
                format!("{} on the {known} of {requests} texts that it has not learned", self.rival)
            }
        }
    }
}

impl Verdict {
    /// What kept it from being adopted, a line each.
    #[must_use]
    pub fn objections(&self) -> Vec<String> {
        let comparisons = self.comparisons.iter().filter(|it| !it.is_passed).map(|it| {
            format!(
                "not surely better than {}: {:+.3} [{:+.3}, {:+.3}], {:.1} % sure, of {:.1} % needed",
                it.over(self.requests),
                it.gain.mean,
                it.gain.low,
                it.gain.high,
                it.confidence * 100.0,
                it.confidence_min * 100.0
            )
        });
        let guards = self.guards.iter().filter(|it| !it.is_passed);
        let guards =
            guards.map(|it| format!("{} {:.3}, at most {:.3}", it.name, it.found, it.allowed));
        comparisons.chain(guards).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::profile::Hit;

    const NOTHING_LOST: Costs =
        Costs { perplexity_ratio: 1.0, leaks: 0, base_leaks: 0, recited: 0.0, base_recited: 0.0 };

    fn settings() -> TrainConfig {
        let none = std::path::Path::new("/nowhere.toml");
        Config::load(none, false, std::iter::empty()).unwrap().train
    }

    fn drafts(quality: f64, change: impl Fn(&mut Figures)) -> Vec<Figures> {
        let draft = |n: u32| {
            let quality = quality + f64::from(n % 3) * 0.02;
            let mut figures = Figures {
                rouge_1: quality,
                rouge_l: quality,
                meteor: quality,
                length_ratio: 1.1,
                length_factor: 1.1,
                repeated: 0.02,
                copied: 0.05,
                grade: None,
            };
            change(&mut figures);
            figures
        };
        (0..8).map(draft).collect()
    }

    fn verdict(candidate: &[Figures], perplexity_ratio: f64) -> Verdict {
        let base = drafts(0.2, |_| {});
        let sft = drafts(0.25, |_| {});
        let rivals = [
            Rival::fair("the model without an adapter", &base),
            Rival::fair("an adapter fitted to the texts alone", &sft),
        ];
        judge(candidate, &rivals, &base, Costs { perplexity_ratio, ..NOTHING_LOST }, &settings())
    }

    #[test]
    fn what_is_better_than_all_is_adopted() {
        let verdict = verdict(&drafts(0.3, |_| {}), 1.01);
        assert!(verdict.is_adopted, "{verdict:?}");
        assert!(verdict.objections().is_empty());
    }

    #[test]
    fn what_is_no_better_than_one_rival_is_refused_and_named() {
        let verdict = verdict(&drafts(0.25, |_| {}), 1.0);
        assert!(!verdict.is_adopted);
        let objections = verdict.objections();
        assert_eq!(objections.len(), 1);
        assert!(objections[0].contains("fitted to the texts alone"), "{objections:?}");
    }

    #[test]
    fn a_machine_that_copies_is_refused_however_good_it_looks() {
        let copied = drafts(0.6, |it| it.copied = 0.9);
        let verdict = verdict(&copied, 1.0);
        assert!(!verdict.is_adopted);
        assert_eq!(verdict.objections(), ["copying 0.900, at most 0.200"]);
    }

    /// Texts that have much in common with what is shown for them, and a machine that says what it is shown.
    #[test]
    fn a_machine_that_says_what_it_is_shown_is_refused() {
        let item = |n: usize| Item {
            key: n.to_string(),
            request: "a note".into(),
            task: "free".into(),
            output: format!("The kettle sings at dawn, and nobody gets up for it on day {n}."),
            passages: vec![Hit {
                text: "The kettle sings at dawn, and nobody but the cat gets up for it.".into(),
                ..Hit::default()
            }],
            writer: 0,
            documents: Vec::new(),
            versions: Vec::new(),
            held_out: true,
        };
        let items: Vec<Item> = (0..8).map(item).collect();
        let by = |answer: fn(&Item) -> &str| -> Vec<Figures> {
            items.iter().map(|item| Figures::of(answer(item), item)).collect()
        };
        let base = by(|_| "A kettle is a thing for water, and it stands on the stove.");
        let copies = by(|item| &item.passages[0].text);
        let rivals = [Rival::fair("the model", &base)];
        let costs = NOTHING_LOST;
        let verdict = judge(&copies, &rivals, &base, costs, &settings());
        assert!(verdict.comparisons[0].is_passed, "it looks better: {verdict:?}");
        assert_eq!(verdict.objections(), ["copying 1.000, at most 0.200"]);
    }

    #[test]
    fn costs_are_those_of_the_candidate() {
        let item = |text: &str| Item {
            key: "a".into(),
            request: "a note".into(),
            task: "free".into(),
            output: text.into(),
            passages: Vec::new(),
            writer: 0,
            documents: Vec::new(),
            versions: Vec::new(),
            held_out: true,
        };
        let text = "The kettle sings at dawn, and nobody gets up for it: the code is 482913.";
        let learned = Learned::of([&item(text)].iter());
        let held_out = item("Another day.");
        let drafts =
            |answer: &str| vec![vec![Drafted { answer: answer.into(), ..Drafted::default() }]];
        let (tells, other) = (drafts(text), drafts("Water boils."));
        let candidate = Written { drafts: &tells, neutral: &[-2.0, -2.0] };
        let base = Written { drafts: &other, neutral: &[-1.0, -1.0] };
        let costs = Costs::of(&learned, &[&held_out], candidate, base);
        assert!(costs.perplexity_ratio > 2.0, "{costs:?}");
        assert_eq!((costs.leaks, costs.base_leaks), (1, 0));
        assert_eq!((costs.recited, costs.base_recited), (1.0, 0.0));
    }

    #[test]
    fn repetition_length_and_lost_ability_are_refused() {
        for (candidate, ratio, what) in [
            (drafts(0.6, |it| it.repeated = 0.5), 1.0, "repetition"),
            (drafts(0.6, |it| it.length_factor = 3.0), 1.0, "length"),
            (drafts(0.6, |it| it.length_factor = 100.0), 1.0, "length"),
            (drafts(0.6, |_| {}), 1.2, "perplexity"),
        ] {
            let objections = verdict(&candidate, ratio).objections();
            assert!(objections.len() == 1 && objections[0].starts_with(what), "{objections:?}");
        }
    }

    #[test]
    fn what_the_model_does_anyway_is_no_objection() {
        let base = drafts(0.2, |it| it.copied = 0.4);
        let rivals = [Rival::fair("the model", &base)];
        let candidate = drafts(0.3, |it| it.copied = 0.35);
        let costs = NOTHING_LOST;
        assert!(judge(&candidate, &rivals, &base, costs, &settings()).is_adopted);
        let telling = Costs { leaks: 1, ..costs };
        let verdict = judge(&candidate, &rivals, &base, telling, &settings());
        assert_eq!(verdict.objections(), ["leaks 1.000, at most 0.000"]);
    }

    #[test]
    fn what_a_judge_surely_likes_less_is_refused() {
        let graded = |quality, grade| drafts(quality, |it| it.grade = Some(grade));
        let (base, candidate) = (graded(0.2, 0.5), graded(0.3, 0.4));
        let costs = NOTHING_LOST;
        let verdict = |rival: &[Figures]| {
            let rivals = [Rival::fair("the model", rival)];
            let settings = TrainConfig { gate_judge: "another".into(), ..settings() };
            judge(&candidate, &rivals, &base, costs, &settings)
        };
        let objections = verdict(&base).objections();
        assert_eq!(
            objections,
            ["confidence that the judge prefers the model 1.000, at most 0.950"]
        );
        assert!(verdict(&graded(0.2, 0.4)).is_adopted);
        let mut unsure = graded(0.2, 0.3);
        unsure.iter_mut().take(5).for_each(|it| it.grade = Some(0.5));
        assert!(verdict(&unsure).is_adopted, "five against three");
        let mut some = graded(0.2, 0.4);
        some.iter_mut().take(4).for_each(|it| it.grade = None);
        assert!(verdict(&some).is_adopted);
        some[4].grade = None;
        assert_eq!(verdict(&some).objections(), ["requests without a grade 5.000, at most 4.000"]);
    }

    #[test]
    fn nothing_proves_nothing() {
        let costs = NOTHING_LOST;
        assert!(!judge(&[], &[], &[], costs, &settings()).is_adopted);
    }

    #[test]
    fn a_machine_that_recites_what_it_learned_is_refused() {
        let (base, candidate) = (drafts(0.2, |_| {}), drafts(0.6, |_| {}));
        let rivals = [Rival::fair("the model", &base)];
        let objections = |costs| judge(&candidate, &rivals, &base, costs, &settings()).objections();
        let reciting = Costs { recited: 0.7, ..NOTHING_LOST };
        assert_eq!(objections(reciting), ["reciting 0.700, at most 0.200"]);
        let as_base = Costs { base_recited: 0.7, ..reciting };
        assert_eq!(objections(as_base), [""; 0]);
    }

    #[test]
    fn a_rival_is_not_asked_what_it_has_learned() {
        let base = drafts(0.2, |_| {});
        // By heart the first two; no better than the model elsewhere.
        let mut used = drafts(0.2, |_| {});
        used[..2].iter_mut().for_each(|it| it.rouge_1 = 2.0);
        let candidate = drafts(0.3, |_| {});
        let verdict = |learned: &[usize]| {
            let used = Rival { name: "the adapter in use", figures: &used, learned };
            let rivals = [Rival::fair("the model", &base), used];
            judge(&candidate, &rivals, &base, NOTHING_LOST, &settings())
        };
        assert!(!verdict(&[]).is_adopted);
        let fair = verdict(&[0, 1]);
        assert!(fair.is_adopted, "{fair:?}");
        assert_eq!(fair.comparisons[1].left_out, 2);
        // What has learned everything cannot be surpassed by proof.
        let objections = verdict(&[0, 1, 2, 3, 4, 5, 6, 7]).objections();
        assert!(objections[0].contains("in use on the 0 of 8 texts"), "{objections:?}");
    }
}
