//! Expectation (REST-PG, stage 3): drafts are sampled from the model as it is, their answers graded,
//! and the best ones chosen to learn from.
//!
//! Chosen is what reaches an absolute reward, is better than the mean of its request's drafts, is no
//! copy of another nor much like what the person has rejected, and came to its own end: a model that
//! learned from what was cut off would not learn to end.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::grading::Grader;
use super::overlap::leaked;
use super::workshop::{Asked, Drafted, Workshop, Writing};
use super::{Item, Journal};
use crate::config::TrainConfig;
use crate::error::Error;
use crate::llama::Model;
use crate::metrics::words;
use crate::reward::{Parts, reward};

/// Of the runs of words of a draft, the share that makes it another version of a rejected one.
const REJECTED_SHARE: f64 = 0.5;
const RUN_WORDS: usize = 6;
/// What the mean of equal rewards may be below them.
const ROUNDING: f64 = 1e-9;

/// A draft with what it is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The draft.
    #[serde(flatten)]
    pub draft: Drafted,
    /// What the reward is made of.
    pub parts: Parts,
    /// The reward of the answer alone, from 0 to 1.
    pub reward: f64,
    /// Whether it is much like a draft that the person has rejected.
    #[serde(default)]
    pub was_rejected: bool,
    /// Whether it is learned from.
    pub is_chosen: bool,
    /// How much it counts then, beside the person's own text, which counts 1: where it lies between
    /// the mean of its request's drafts and the best reward that there is. By the reward alone,
    /// several middling drafts would outweigh the one text that is known to be right.
    pub weight: f64,
}

/// What one round of sampling came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Harvest {
    /// Requests.
    pub requests: usize,
    /// Those of which no draft was chosen.
    pub requests_without: usize,
    /// Drafts.
    pub samples: usize,
    /// Those that were chosen.
    pub chosen: usize,
    /// The mean reward of all.
    pub reward_mean: f64,
    /// The mean of the best of each request.
    pub reward_best: f64,
    /// The mean of those that were chosen.
    pub reward_chosen: f64,
}

/// The drafts of each of `items` in round `round`, in their order, sampled from the model with
/// `adapter`.
///
/// # Errors
/// [`super::TrainError::Stopped`], a model's or the store's.
pub fn expectation(
    workshop: &Workshop<'_>,
    journal: &mut Journal<'_>,
    items: &[&Item],
    round: u32,
    reasoning: bool,
    adapter: &[u8],
) -> Result<Vec<Vec<Sample>>, Error> {
    let stage = stage(round, reasoning);
    let known = |journal: &Journal<'_>| -> Result<Vec<Option<Vec<Sample>>>, Error> {
        items.iter().map(|item| journal.get(&stage, &item.key)).collect()
    };
    let mut all = known(journal)?;
    if all.iter().any(Option::is_none) {
        let writing = writing(&workshop.config.train, reasoning);
        let model = workshop.model(Some(adapter))?;
        let judge = workshop.judge_model()?;
        let mut grader = Grader::new(workshop, judge.as_ref());
        for batch in workshop.batches(items, workshop.config.train.samples, writing) {
            let done = all.iter().flatten().count();
            workshop.stage("sampling drafts", done, items.len());
            // All of a batch anew where one is missing: it would come out otherwise alone.
            if batch.iter().all(|&place| all[place].is_some()) {
                continue;
            }
            workshop.go_on()?;
            let batch_items: Vec<&Item> = batch.iter().map(|&place| items[place]).collect();
            let drafts = write(workshop, &model, &batch_items, round, writing)?;
            for (place, drafts) in batch.into_iter().zip(drafts) {
                let mut samples = graded(workshop, &mut grader, items[place], drafts)?;
                for sample in &mut samples {
                    sample.was_rejected = was_rejected(&sample.draft.answer, workshop.rejected);
                }
                choose(&mut samples, &workshop.config.train);
                journal.keep(&stage, &items[place].key, &samples)?;
                all[place] = Some(samples);
            }
        }
    }
    Ok(all.into_iter().flatten().collect())
}

/// The stage of the journal that has the drafts of a round.
#[must_use]
pub fn stage(round: u32, reasoning: bool) -> String {
    format!("samples {}{round}", if reasoning { "" } else { "plain " })
}

fn was_rejected(answer: &str, rejected: &[String]) -> bool {
    // One that is too short to have a run is another version only where it is the same.
    let is_same = |other: &String| !answer.is_empty() && words(answer) == words(other);
    let is_version = |other: &String| leaked(answer, other, [], RUN_WORDS) >= REJECTED_SHARE;
    rejected.iter().any(|other| is_same(other) || is_version(other))
}

fn writing(settings: &TrainConfig, reasoning: bool) -> Writing {
    Writing {
        reasoning,
        has_passages: true,
        temperature: settings.temperature,
        top_p: settings.top_p,
        repeat_penalty: settings.repeat_penalty,
    }
}

fn write(
    workshop: &Workshop<'_>,
    model: &Model,
    items: &[&Item],
    round: u32,
    writing: Writing,
) -> Result<Vec<Vec<Drafted>>, Error> {
    let settings = &workshop.config.train;
    let seeds = items.iter().map(|item| {
        let first = workshop.seed(&round.to_string(), &item.key);
        (first..first + settings.samples).collect()
    });
    let all = items.iter().zip(seeds).map(|(item, seeds)| Asked { item, notes: None, seeds });
    workshop.write(model, &all.collect::<Vec<_>>(), writing)
}

/// The drafts of `item` with their rewards; none is chosen yet.
fn graded(
    workshop: &Workshop<'_>,
    grader: &mut Grader<'_, '_>,
    item: &Item,
    drafts: Vec<Drafted>,
) -> Result<Vec<Sample>, Error> {
    let answers: Vec<&str> = drafts.iter().map(|draft| draft.answer.as_str()).collect();
    let parts = grader.parts(item, &answers)?;
    let samples = drafts.into_iter().zip(parts).map(|(draft, parts)| {
        let reward = reward(&draft.answer, &parts, &workshop.config.reward);
        Sample { draft, parts, reward, was_rejected: false, is_chosen: false, weight: 0.0 }
    });
    Ok(samples.collect())
}

/// Marks what is learned from.
fn choose(samples: &mut [Sample], settings: &TrainConfig) {
    let count = samples.len().max(1);
    let mean = samples.iter().map(|sample| sample.reward).sum::<f64>() / count as f64;
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_by(|&a, &b| samples[b].reward.total_cmp(&samples[a].reward));
    let mut known: HashSet<String> = HashSet::new();
    for place in order {
        let sample = &samples[place];
        let is_good = sample.reward >= f64::from(settings.reward_min)
            && sample.reward > mean + ROUNDING
            && sample.draft.is_whole()
            && !sample.was_rejected;
        if is_good
            && known.len() < settings.kept_max as usize
            && known.insert(sample.draft.answer.clone())
        {
            samples[place].is_chosen = true;
            samples[place].weight = (samples[place].reward - mean) / (1.0 - mean);
        }
    }
}

/// What the drafts of a round came to.
#[must_use]
pub fn harvest(samples: &[Vec<Sample>]) -> Harvest {
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        let (count, sum) = values.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value));
        if count == 0 { 0.0 } else { sum / f64::from(count) }
    };
    let all = || samples.iter().flatten();
    let chosen = || all().filter(|sample| sample.is_chosen);
    let best = |samples: &Vec<Sample>| samples.iter().map(|it| it.reward).fold(0.0, f64::max);
    Harvest {
        requests: samples.len(),
        requests_without: samples.iter().filter(|it| !it.iter().any(|it| it.is_chosen)).count(),
        samples: all().count(),
        chosen: chosen().count(),
        reward_mean: mean(&mut all().map(|sample| sample.reward)),
        reward_best: mean(&mut samples.iter().map(best)),
        reward_chosen: mean(&mut chosen().map(|sample| sample.reward)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn settings() -> TrainConfig {
        let none = std::path::Path::new("/nowhere.toml");
        Config::load(none, false, std::iter::empty()).unwrap().train
    }

    fn sample(answer: &str, reward: f64) -> Sample {
        let draft = Drafted { answer: answer.into(), ..Drafted::default() };
        let parts = Parts::default();
        Sample { draft, parts, reward, was_rejected: false, is_chosen: false, weight: 0.0 }
    }

    fn chosen(mut samples: Vec<Sample>, settings: &TrainConfig) -> Vec<String> {
        choose(&mut samples, settings);
        let chosen = samples.into_iter().filter(|sample| sample.is_chosen);
        chosen.map(|sample| sample.draft.answer).collect()
    }

    #[test]
    fn better_than_the_mean_and_good_enough_is_chosen_once() {
        let samples = vec![sample("a", 0.9), sample("b", 0.5), sample("a", 0.9), sample("c", 0.1)];
        assert_eq!(chosen(samples, &settings()), ["a"]);
        let poor = vec![sample("a", 0.19), sample("b", 0.01)];
        assert!(chosen(poor, &settings()).is_empty());
        let alike = ["a", "b", "c"].map(|answer| sample(answer, 0.7)).into();
        assert!(chosen(alike, &settings()).is_empty());
    }

    #[test]
    fn no_request_has_more_than_its_share() {
        let many = (0..20).map(|n| sample(&n.to_string(), f64::from(n) / 20.0)).collect();
        let settings = TrainConfig { kept_max: 3, ..settings() };
        assert_eq!(chosen(many, &settings), ["17", "18", "19"]);
    }

    #[test]
    fn a_draft_counts_by_how_far_above_the_mean_it_is() {
        let mut samples = vec![sample("a", 0.9), sample("b", 0.5), sample("c", 0.4)];
        choose(&mut samples, &settings());
        assert!((samples[0].weight - 0.75).abs() < 1e-12);
        assert_eq!((samples[1].weight, samples[2].weight), (0.0, 0.0));
    }

    #[test]
    fn what_is_like_a_rejected_draft_is_not_learned() {
        let mut rejected = sample("a", 0.9);
        rejected.was_rejected = true;
        assert_eq!(chosen(vec![rejected, sample("b", 0.7), sample("c", 0.1)], &settings()), ["b"]);
    }

    #[test]
    fn a_version_of_a_rejected_draft_is_one_and_what_shares_its_greeting_is_not() {
        let rejected =
            ["Dear all, many thanks for the work that you did on the old shed.".to_owned()];
        let version = "Dear all, many thanks for the work that you did on the old barn!";
        assert!(was_rejected(version, &rejected));
        let other = "Dear all, many thanks for the cakes; there is none left, and the key hangs by \
                     the gate again where you will find it.";
        assert!(!was_rejected(other, &rejected));
        assert!(!was_rejected("", &rejected));
        let short = ["Thanks, see you on Friday.".to_owned()];
        assert!(was_rejected("Thanks - see you on Friday!", &short));
        assert!(!was_rejected("Thanks, see you on Monday.", &short));
    }

    #[test]
    fn what_did_not_come_to_an_end_of_its_own_is_not_learned() {
        let mut cut = sample("a", 0.9);
        cut.draft.cut_off = true;
        assert!(chosen(vec![cut, sample("b", 0.1)], &settings()).is_empty());
        let mut stopped = sample("a", 0.9);
        stopped.draft.stopped = true;
        assert!(chosen(vec![stopped, sample("b", 0.1)], &settings()).is_empty());
    }

    #[test]
    fn a_request_without_a_chosen_draft_is_counted() {
        let mut samples = vec![
            vec![sample("a", 0.8), sample("b", 0.4)],
            vec![sample("c", 0.2), sample("d", 0.2)],
        ];
        samples.iter_mut().for_each(|samples| choose(samples, &settings()));
        let harvest = harvest(&samples);
        assert_eq!((harvest.requests, harvest.requests_without, harvest.chosen), (2, 1, 1));
        assert!((harvest.reward_mean - 0.4).abs() < 1e-12);
        assert!((harvest.reward_best - 0.5).abs() < 1e-12);
    }
}
