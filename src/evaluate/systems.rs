//! Systems side by side on the same requests: the model alone, with passages, with notes, with each
//! adapter, and with the best of several drafts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fitted::{Fitted, Sampled};
use super::scores::{Scorer, Scores};
use crate::error::Error;
use crate::reward::{place_of_best, reference_free_parts, reward};
use crate::selftrain::{
    Drafted, Grader, HELD_OUT, Item, Journal, Notes, Progress, System, Trial, Workshop, write_notes,
};
use crate::statistics::mean;

/// The stage of the requests with the passages of another person.
const MISLED: &str = "trial misled";

/// A way to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// The model alone.
    Base,
    /// With passages.
    Retrieval,
    /// With passages and notes.
    Reasoning,
    /// With passages, fitted to people's texts.
    Sft,
    /// With passages and notes, fitted to people's texts with notes.
    SftReasoning,
    /// The same after notes by a model that has seen the text, its own where those were not good:
    /// what better notes could be worth.
    SftInformed,
    /// With passages, trained on its own drafts.
    RestEm,
    /// With passages and notes, trained on its own drafts.
    RestPg,
    /// The same with the passages of another person: what is lost is what the person's own are worth.
    RestPgMisled,
}

impl Variant {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 9] = [
        Self::Base,
        Self::Retrieval,
        Self::Reasoning,
        Self::Sft,
        Self::SftReasoning,
        Self::SftInformed,
        Self::RestEm,
        Self::RestPg,
        Self::RestPgMisled,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Retrieval => "retrieval",
            Self::Reasoning => "reasoning",
            Self::Sft => "sft",
            Self::SftReasoning => "sft-reasoning",
            Self::SftInformed => "sft-informed",
            Self::RestEm => "rest-em",
            Self::RestPg => "rest-pg",
            Self::RestPgMisled => "rest-pg-misled",
        }
    }

    /// Whether it only tells what notes or passages are worth, and nobody would write so.
    fn is_control(self) -> bool {
        matches!(self, Self::RestPgMisled | Self::SftInformed)
    }

    /// The system, with what was fitted for it, and notes by a model that has seen the texts.
    fn system<'f>(self, fitted: &'f Fitted, informed: &'f [Notes]) -> Option<System<'f>> {
        let name = self.name();
        fn adapted<'f>(
            name: &'f str,
            adapter: &'f Option<Vec<u8>>,
            reasoning: bool,
        ) -> Option<System<'f>> {
            adapter.as_deref().map(|adapter| System::adapted(name, adapter, reasoning))
        }
        let plain = |reasoning: bool, has_passages: bool| {
            Some(System { name, adapter: None, reasoning, has_passages, notes: None })
        };
        match self {
            Self::Base => plain(false, false),
            Self::Retrieval => plain(false, true),
            Self::Reasoning => plain(true, true),
            Self::Sft => adapted(name, &fitted.sft, false),
            Self::SftReasoning => adapted(name, &fitted.sft_reasoning, true),
            Self::SftInformed => adapted(name, &fitted.sft_reasoning, true)
                .map(|system| System { notes: Some(informed), ..system }),
            Self::RestEm => adapted(name, &fitted.rest_em, false),
            Self::RestPg | Self::RestPgMisled => adapted(name, &fitted.rest_pg, true),
        }
    }
}

/// What a system wrote for a request, with its scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tried {
    /// The first of its drafts.
    pub draft: Drafted,
    /// The others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Drafted>,
    /// What they are worth: the means.
    pub scores: Scores,
}

/// A request and what each system wrote for it.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// The request's key.
    pub key: String,
    /// Its kind of text.
    pub task: String,
    /// What was asked for.
    pub request: String,
    /// What the person wrote.
    pub reference: String,
    /// Each system's draft, by the system's name.
    pub systems: BTreeMap<String, Tried>,
}

/// What selection could reach, and whether a reward can choose.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Selection {
    /// Drafts of each request.
    pub count: u32,
    /// The mean quality of all drafts.
    pub mean: f64,
    /// The mean quality of those that the reward of training, without a judge, would choose: it sees the
    /// person's text.
    pub by_reward: f64,
    /// The mean quality of the best of each request.
    pub oracle: f64,
    /// The mean over requests of the rank correlation (Spearman) of reward and quality.
    pub rank_correlation: f64,
}

/// Everything that was tried.
#[derive(Debug, Clone, Serialize)]
pub struct Tries {
    /// The systems, in their order.
    pub systems: Vec<String>,
    /// The requests.
    pub cases: Vec<Case>,
    /// Of the systems of which several drafts were written.
    pub selection: BTreeMap<String, Selection>,
    /// What the systems learned from, round by round.
    pub sampled: Vec<Sampled>,
}

/// What is tried on.
#[derive(Debug, Clone, Copy)]
pub struct Requests<'i> {
    /// The requests.
    pub own: &'i [Item],
    /// The same with the passages of another person; may be empty.
    pub misled: &'i [Item],
}

/// Tries `systems` on the requests; with `best_of` above 1 each but the controls also as the best of so
/// many drafts.
///
/// # Errors
/// A model's or the store's.
pub fn try_systems(
    workshop: &Workshop<'_>,
    journal: &mut Journal<'_>,
    requests: Requests<'_>,
    systems: &[Variant],
    fitted: &Fitted,
    scorer: &Scorer<'_>,
    best_of: u32,
) -> Result<Tries, Error> {
    let mut tries = Tries::of(requests.own);
    for &variant in systems {
        let items = match variant {
            Variant::RestPgMisled => requests.misled,
            _ => requests.own,
        };
        let listed: Vec<&Item> = items.iter().collect();
        let informed = if variant == Variant::SftInformed && fitted.sft_reasoning.is_some() {
            informed_notes(workshop, journal, &listed)?
        } else {
            Vec::new()
        };
        let system = variant.system(fitted, &informed).filter(|_| !items.is_empty());
        let Some(system) = system else { continue };
        let stage = if variant == Variant::RestPgMisled { MISLED } else { HELD_OUT };
        let trial = Trial { workshop, items: &listed, stage };
        let drafts = trial.drafts(journal, &system)?;
        let scores = scorer.scores(workshop, journal, items, &drafts)?;
        tries.add(variant.name().to_owned(), scores, drafts);
        if best_of > 1 && !variant.is_control() {
            let candidates = trial.candidates(journal, &system, best_of)?;
            let selection = selection(workshop, items, &candidates, best_of)?;
            tries.selection.insert(variant.name().to_owned(), selection);
            let chosen: Vec<Vec<Drafted>> = items
                .iter()
                .zip(candidates)
                .map(|(item, drafts)| vec![best(workshop, item, drafts)])
                .collect();
            let scores = scorer.scores(workshop, journal, requests.own, &chosen)?;
            tries.add(best_of_name(variant, best_of), scores, chosen);
        }
    }
    let was_tried = |it: &&Sampled| tries.systems.contains(&it.system);
    tries.sampled = fitted.sampled.iter().filter(was_tried).cloned().collect();
    Ok(tries)
}

/// What the tries of `systems` are called, in their order.
#[must_use]
pub fn tried_names(systems: &[Variant], best_of: u32) -> Vec<String> {
    let names = |&variant: &Variant| {
        let several =
            (best_of > 1 && !variant.is_control()).then(|| best_of_name(variant, best_of));
        [variant.name().to_owned()].into_iter().chain(several)
    };
    systems.iter().flat_map(names).collect()
}

fn best_of_name(variant: Variant, best_of: u32) -> String {
    format!("{}, best of {best_of}", variant.name())
}

/// Notes by a model that has seen the texts that are tried.
fn informed_notes(
    workshop: &Workshop<'_>,
    journal: &mut Journal<'_>,
    items: &[&Item],
) -> Result<Vec<Notes>, Error> {
    let informed = write_notes(workshop, journal, items)?;
    let good = informed.iter().filter(|notes| notes.text.is_some()).count();
    let text = format!("good notes on {good} of {} texts that are tried", items.len());
    (workshop.tell)(Progress::Note(text));
    Ok(informed)
}

impl Tries {
    /// Of nothing yet.
    fn of(items: &[Item]) -> Self {
        let case = |item: &Item| Case {
            key: item.key.clone(),
            task: item.task.clone(),
            request: item.request.clone(),
            reference: item.output.clone(),
            systems: BTreeMap::new(),
        };
        let cases = items.iter().map(case).collect();
        Self { systems: Vec::new(), cases, selection: BTreeMap::new(), sampled: Vec::new() }
    }

    fn add(&mut self, name: String, scores: Vec<Scores>, drafts: Vec<Vec<Drafted>>) {
        for ((case, scores), drafts) in self.cases.iter_mut().zip(scores).zip(drafts) {
            let mut drafts = drafts.into_iter();
            let draft = drafts.next().unwrap_or_default();
            case.systems.insert(name.clone(), Tried { draft, others: drafts.collect(), scores });
        }
        self.systems.push(name);
    }
}

/// The best of several drafts, sampled as in training, as `generate --best-of` without a judge would choose
/// it: without the person's text.
fn best(workshop: &Workshop<'_>, item: &Item, drafts: Vec<Drafted>) -> Drafted {
    let style = workshop.styles.get(item.writer).and_then(Option::as_ref);
    let drafts: Vec<Drafted> = drafts.into_iter().filter(|it| !it.answer.is_empty()).collect();
    let answers: Vec<&str> = drafts.iter().map(|draft| draft.answer.as_str()).collect();
    let passages: Vec<&str> = item.passage_texts().collect();
    let parts = reference_free_parts(&answers, style, &passages);
    let scores = parts.iter().map(|it| it.blend(&workshop.config.reward));
    let ranked: Vec<(bool, f64)> = drafts.iter().map(|draft| !draft.cut_off).zip(scores).collect();
    place_of_best(&ranked).and_then(|best| drafts.into_iter().nth(best)).unwrap_or_default()
}

/// What choosing among several drafts could reach, and whether the reward can choose.
fn selection(
    workshop: &Workshop<'_>,
    items: &[Item],
    candidates: &[Vec<Drafted>],
    count: u32,
) -> Result<Selection, Error> {
    let mut grader = Grader::new(workshop, None);
    let (mut means, mut chosen, mut oracles, mut ranks) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (item, drafts) in items.iter().zip(candidates) {
        let answers: Vec<&str> = drafts.iter().map(|draft| draft.answer.as_str()).collect();
        let parts = grader.parts(item, &answers)?;
        let weights = &workshop.config.reward;
        let rewards = answers.iter().zip(&parts).map(|(answer, it)| reward(answer, it, weights));
        let rewards: Vec<f64> = rewards.collect();
        let qualities: Vec<f64> = answers
            .iter()
            .map(|answer| crate::selftrain::Figures::of(answer, item).quality())
            .collect();
        means.push(mean(&qualities));
        oracles.push(qualities.iter().copied().fold(0.0, f64::max));
        let best = (0..rewards.len()).max_by(|&a, &b| rewards[a].total_cmp(&rewards[b]));
        chosen.extend(best.map(|best| qualities[best]));
        ranks.extend(rank_correlation(&rewards, &qualities));
    }
    Ok(Selection {
        count,
        mean: mean(&means),
        by_reward: mean(&chosen),
        oracle: mean(&oracles),
        rank_correlation: mean(&ranks),
    })
}

/// Spearman's rank correlation; `None` where one of them is the same for all.
fn rank_correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let (a, b) = (ranks(a), ranks(b));
    let (mean_a, mean_b) = (mean(&a), mean(&b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(&b).map(|(a, b)| f(a - mean_a, b - mean_b)).sum()
    };
    let norm = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
    (norm > 0.0).then(|| sum(&|a, b| a * b) / norm)
}

/// The place of each value in their order; those that are equal share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|it| *it < value).count() as f64;
        let equal = values.iter().filter(|it| *it == value).count() as f64;
        below + (equal - 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_that_go_together_correlate() {
        assert_eq!(rank_correlation(&[1.0, 2.0, 9.0], &[0.1, 0.2, 0.3]), Some(1.0));
        assert_eq!(rank_correlation(&[1.0, 2.0, 9.0], &[0.3, 0.2, 0.1]), Some(-1.0));
        assert_eq!(rank_correlation(&[1.0, 1.0], &[0.3, 0.2]), None);
        assert_eq!(ranks(&[2.0, 1.0, 2.0]), [1.5, 0.0, 1.5]);
    }

    #[test]
    fn each_system_has_a_name_of_its_own() {
        let names: std::collections::HashSet<&str> =
            Variant::ALL.iter().map(|it| it.name()).collect();
        assert_eq!(names.len(), Variant::ALL.len());
        let fitted = Fitted::default();
        assert!(Variant::Retrieval.system(&fitted, &[]).is_some());
        assert!(Variant::RestPg.system(&fitted, &[]).is_none());
    }

    #[test]
    fn controls_are_tried_without_choosing() {
        let systems = [Variant::Sft, Variant::RestPgMisled];
        assert_eq!(tried_names(&systems, 1), ["sft", "rest-pg-misled"]);
        assert_eq!(tried_names(&systems, 4), ["sft", "sft, best of 4", "rest-pg-misled"]);
    }
}
