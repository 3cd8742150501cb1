//! A whole run of REST-PG (arXiv 2501.04167): notes, a first adapter, then rounds of expectation and
//! maximization, each ending at the gate.
//!
//! Every stage is made of pieces that the journal keeps: taken up again, a run does what is missing
//! and no more, and comes to the same end.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::expectation::{Harvest, Sample, expectation, harvest};
use super::gate::{self, Costs, Rival, Verdict, Written};
use super::leaks::Learned;
use super::lesson::{Lesson, Wanted};
use super::maximization::{Lessons, maximization};
use super::reasoning::{Notes, write_notes};
use super::trial::{HELD_OUT, System, Trial};
use super::workshop::{Progress, Workshop};
use super::{Figures, Item, Journal, TrainError};
use crate::error::{Error, Explain};
use crate::profile::NewAdapter;
use crate::prompt::LAYOUT;

/// The adapter that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// Its bytes.
    pub content: Vec<u8>,
    /// Whether it was fitted to write notes first.
    pub reasoning: bool,
    /// The texts that it has learned, by their names ([`super::key`]).
    pub learned: Vec<String>,
}

/// What a round came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Which, from 1.
    pub round: u32,
    /// The drafts that were learned from.
    pub harvest: Harvest,
    /// What the gate said.
    pub verdict: Verdict,
    /// The adapter, by its id.
    pub adapter: String,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Texts that were learned from.
    pub learned: usize,
    /// Texts that told when to stop.
    pub validation: usize,
    /// Texts that proved it.
    pub held_out: usize,
    /// Texts whose notes were good.
    pub noted: usize,
    /// The rounds.
    pub rounds: Vec<Round>,
    /// The adapter that was adopted last, by its id.
    pub adopted: Option<String>,
}

/// Trains on `items`, and adopts what is proved to be better than what was there; `in_use` is the
/// adapter that was in use when the run began.
///
/// # Errors
/// [`TrainError`], a model's, the trainer's or the store's; what was done is kept.
pub fn train(
    workshop: &Workshop<'_>,
    journal: &mut Journal<'_>,
    items: &[Item],
    in_use: Option<&InUse>,
) -> Result<Outcome, Error> {
    let settings = &workshop.config.train;
    let run = Rounds::new(workshop, items, workshop.config.generate.reasoning);
    // A model that does not fit the memory is found out before hours were spent.
    let plain = run.fit_gold(journal, SFT, &run.no_notes(), false)?;
    let notes = run.notes(journal)?;
    let mut current = match run.reasoning {
        true => run.fit_gold(journal, SFT_WITH_NOTES, &notes, true)?,
        false => plain.clone(),
    };
    let trial = Trial { workshop, items: &run.split.held_out, stage: HELD_OUT };
    let mut outcome = Outcome {
        learned: run.split.learned.len(),
        validation: run.split.validation.len(),
        held_out: run.split.held_out.len(),
        noted: notes.learned.iter().filter(|notes| notes.text.is_some()).count(),
        rounds: Vec::new(),
        adopted: None,
    };
    // What is adopted in one round is what the next one has to surpass.
    let mut in_use = in_use.cloned();
    let mut parent = None;
    for round in 1..=settings.rounds {
        let harvest;
        (current, harvest) = match run.round(journal, &notes, round, &current) {
            Err(error) if round > 1 && error.inner().kind() == NOTHING.kind() => break,
            other => other?,
        };
        let verdict = run.verdict(journal, &trial, round, (&plain, &current), in_use.as_ref())?;
        let is_adopted = verdict.is_adopted;
        let new = NewAdapter {
            base_sha256: workshop.base_sha256,
            parent: parent.as_deref(),
            documents: &run.split.documents(),
            about: run.about(journal.run(), round, &harvest, &verdict),
            content: &current,
        };
        let adapter = journal.add_adapter(&round.to_string(), &new, is_adopted)?;
        if is_adopted {
            let learned = run.split.learned_names();
            in_use = Some(InUse { content: current.clone(), reasoning: run.reasoning, learned });
            outcome.adopted = Some(adapter.clone());
        }
        parent = Some(adapter.clone());
        let came_to = Round { round, harvest, verdict, adapter };
        journal.keep(ROUND, &round.to_string(), &came_to)?;
        outcome.rounds.push(came_to);
        if !is_adopted && settings.stop_early {
            break;
        }
    }
    journal.keep(OUTCOME, "", &outcome)?;
    journal.finish()?;
    Ok(outcome)
}

/// That a round has nothing to learn from.
pub const NOTHING: TrainError = TrainError::Nothing { what: "draft worth learning from" };

fn described(round: u32, harvest: &Harvest) -> String {
    let Harvest { requests, requests_without, samples, chosen, .. } = harvest;
    format!(
        "round {round}: reward {:.3} on average, {:.3} the best of each request; {chosen} of \
         {samples} drafts chosen, none of {requests_without} of {requests} requests",
        harvest.reward_mean, harvest.reward_best
    )
}

/// The items by what they are for.
#[derive(Debug)]
struct Split<'i> {
    learned: Vec<&'i Item>,
    validation: Vec<&'i Item>,
    held_out: Vec<&'i Item>,
}

impl<'i> Split<'i> {
    fn of(items: &'i [Item], validation_share: f64) -> Self {
        let (held_out, train): (Vec<&Item>, Vec<&Item>) = items.iter().partition(|it| it.held_out);
        // By kind, since kinds may take turns; of each in the order of time.
        let mut by_task: Vec<usize> = (0..train.len()).collect();
        by_task.sort_by(|&a, &b| train[a].task.cmp(&train[b].task));
        // One whenever another share of them is complete: they are spread evenly.
        let complete = |count: usize| (count as f64 * validation_share).floor();
        let is_due = |&(place, _): &(usize, usize)| complete(place + 1) > complete(place);
        let due: HashSet<usize> =
            by_task.into_iter().enumerate().filter(is_due).map(|(_, item)| item).collect();
        let (validation, learned): (Vec<usize>, Vec<usize>) =
            (0..train.len()).partition(|place| due.contains(place));
        let of = |places: Vec<usize>| places.into_iter().map(|place| train[place]).collect();
        Self { learned: of(learned), validation: of(validation), held_out }
    }

    /// The places of the held-out texts that an adapter has learned, or a version of them.
    fn learned_by(&self, adapter: &InUse) -> Vec<usize> {
        let has_learned = |item: &Item| item.names().any(|it| adapter.learned.contains(it));
        (0..self.held_out.len()).filter(|&place| has_learned(self.held_out[place])).collect()
    }

    /// The names of the texts that were learned, or told when to stop; of drafts those of their copies
    /// too, since these may be all that is left. Not so of other texts: what quotes one that is learned
    /// may quote one that is held out too, and says nothing of that.
    fn learned_names(&self) -> Vec<String> {
        self.of_all(|item| match item.is_draft() {
            true => item.names().cloned().collect(),
            false => vec![item.key.clone()],
        })
    }

    /// The documents that were learned from or shown meanwhile.
    fn documents(&self) -> Vec<String> {
        self.of_all(|item| item.documents.clone())
    }

    /// What `of` says of everything that is not held out, each once.
    fn of_all(&self, of: impl Fn(&Item) -> Vec<String>) -> Vec<String> {
        let items = self.learned.iter().chain(&self.validation);
        let mut all: Vec<String> = items.flat_map(|item| of(item)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The notes for the items, in their order.
#[derive(Debug)]
pub struct AllNotes {
    learned: Vec<Notes>,
    validation: Vec<Notes>,
}

/// What is learned in a run, stage by stage.
pub struct Rounds<'r, 'a> {
    workshop: &'r Workshop<'a>,
    split: Split<'r>,
    reasoning: bool,
}

/// The stage of the journal that has what a run came to.
pub const OUTCOME: &str = "outcome";
/// The stage of the journal that has what each round came to, by its number.
pub const ROUND: &str = "round";
/// The adapter that was fitted to the person's texts alone, as the journal calls it.
pub const SFT: &str = "sft";
/// The same with notes before the texts.
pub const SFT_WITH_NOTES: &str = "sft with notes";

/// The stage of the journal that has what the gate said, by the names of rounds.
pub const VERDICT: &str = "verdict";
/// Where the ledger has the names of the texts that an adapter has learned.
pub const LEARNED: &str = "learned";
/// What the adapter in use is called as a rival.
const IN_USE: &str = "the adapter in use";

/// The adapter of a round, as the journal calls it.
#[must_use]
pub fn round_name(round: u32, reasoning: bool) -> String {
    format!("{}round {round}", if reasoning { "" } else { "plain " })
}

impl<'r, 'a> Rounds<'r, 'a> {
    /// On `items`; with notes first (REST-PG) or without (ReST-EM, arXiv 2312.06585).
    #[must_use]
    pub fn new(workshop: &'r Workshop<'a>, items: &'r [Item], reasoning: bool) -> Self {
        let share = f64::from(workshop.config.train.validation_share);
        Self { workshop, split: Split::of(items, share), reasoning }
    }

    /// One round: the drafts of the model with the adapter `current`, and an adapter fitted to the
    /// best of them.
    ///
    /// # Errors
    /// [`TrainError`], a model's, the trainer's or the store's.
    pub fn round(
        &self,
        journal: &mut Journal<'_>,
        notes: &AllNotes,
        round: u32,
        current: &[u8],
    ) -> Result<(Vec<u8>, Harvest), Error> {
        let Self { workshop, split, reasoning } = self;
        // A model that learns from its own drafts may find the person's texts less likely however good
        // its drafts become: what tells when to stop is made as what is learned is.
        let items: Vec<&Item> = split.learned.iter().chain(&split.validation).copied().collect();
        let mut drafts = expectation(workshop, journal, &items, round, *reasoning, current)?;
        let drafts_of_validation = drafts.split_off(split.learned.len());
        let harvest = harvest(&drafts);
        (workshop.tell)(Progress::Note(described(round, &harvest)));
        let mix = Mix { reasoning: *reasoning, gold_weight: workshop.config.train.gold_weight };
        let learned = mix.lessons(&split.learned, &notes.learned, &drafts);
        if learned.is_empty() {
            return Err(NOTHING.into());
        }
        let validation = &split.validation;
        let mut validation = mix.lessons(validation, &notes.validation, &drafts_of_validation);
        if validation.is_empty() {
            validation = gold(&split.validation, &notes.validation, *reasoning);
        }
        let name = round_name(round, *reasoning);
        let lessons = Lessons { learned: &learned, validation: &validation, reasoning: *reasoning };
        Ok((maximization(workshop, journal, &name, lessons)?, harvest))
    }

    /// Notes for everything that is learned.
    ///
    /// # Errors
    /// As [`Self::round`].
    pub fn notes(&self, journal: &mut Journal<'_>) -> Result<AllNotes, Error> {
        let Split { learned, validation, .. } = &self.split;
        if !self.reasoning {
            return Ok(self.no_notes());
        }
        let all: Vec<&Item> = learned.iter().chain(validation).copied().collect();
        let mut notes = write_notes(self.workshop, journal, &all)?;
        let of_validation = notes.split_off(learned.len());
        if notes.iter().all(|notes| notes.text.is_none()) {
            return Err(TrainError::Nothing { what: "good notes" }.into());
        }
        Ok(AllNotes { learned: notes, validation: of_validation })
    }

    /// As many notes that are none.
    #[must_use]
    pub fn no_notes(&self) -> AllNotes {
        let none = |items: &[&Item]| {
            items.iter().map(|_| Notes { text: None, tries: 0, faults: Vec::new() }).collect()
        };
        let Split { learned, validation, .. } = &self.split;
        AllNotes { learned: none(learned), validation: none(validation) }
    }

    /// An adapter fitted to the person's own texts, with notes before them or without.
    ///
    /// # Errors
    /// As [`Self::round`].
    pub fn fit_gold(
        &self,
        journal: &mut Journal<'_>,
        name: &str,
        notes: &AllNotes,
        reasoning: bool,
    ) -> Result<Vec<u8>, Error> {
        let learned = gold(&self.split.learned, &notes.learned, reasoning);
        let validation = gold(&self.split.validation, &notes.validation, reasoning);
        let lessons = Lessons { learned: &learned, validation: &validation, reasoning };
        maximization(self.workshop, journal, name, lessons)
    }

    fn verdict(
        &self,
        journal: &mut Journal<'_>,
        trial: &Trial<'_, '_>,
        round: u32,
        (plain, candidate): (&[u8], &[u8]),
        in_use: Option<&InUse>,
    ) -> Result<Verdict, Error> {
        let reasoning = self.reasoning;
        let name = round_name(round, reasoning);
        // Once it was said, it stays: what is in use may be another adapter by then.
        if let Some(verdict) = journal.get(VERDICT, &name)? {
            return Ok(verdict);
        }
        let base = trial.figures(journal, &System::retrieval())?;
        let sft = trial.figures(journal, &System::adapted(SFT, plain, false))?;
        let system = System::adapted(&name, candidate, reasoning);
        let found = trial.figures(journal, &system)?;
        let used: Option<Vec<Figures>> = in_use
            .map(|it| {
                let system = System::adapted(IN_USE, &it.content, it.reasoning);
                trial.figures(journal, &system)
            })
            .transpose()?;
        let mut rivals = vec![
            Rival::fair("the model without an adapter", &base),
            Rival::fair("an adapter fitted to the texts alone", &sft),
        ];
        let learned = in_use.map(|it| self.split.learned_by(it)).unwrap_or_default();
        let used = used.as_deref();
        rivals.extend(used.map(|figures| Rival { name: IN_USE, figures, learned: &learned }));
        let mut wrote = |system: &System<'_>| -> Result<_, Error> {
            Ok((trial.drafts(journal, system)?, trial.neutral(journal, system)?))
        };
        let (base_drafts, base_neutral) = wrote(&System::retrieval())?;
        let (drafts, neutral) = wrote(&system)?;
        let learned = Learned::of(self.split.learned.iter().chain(&self.split.validation));
        let costs = Costs::of(
            &learned,
            &self.split.held_out,
            Written { drafts: &drafts, neutral: &neutral },
            Written { drafts: &base_drafts, neutral: &base_neutral },
        );
        let verdict = gate::judge(&found, &rivals, &base, costs, &self.workshop.config.train);
        journal.keep(VERDICT, &name, &verdict)?;
        Ok(verdict)
    }

    /// What the ledger says of an adapter: settings and figures, no text.
    fn about(
        &self,
        run: &str,
        round: u32,
        harvest: &Harvest,
        verdict: &Verdict,
    ) -> serde_json::Value {
        let config = self.workshop.config;
        serde_json::json!({
            "origin": "trained",
            "run": run,
            "round": round,
            "reasoning": self.reasoning,
            "layout": LAYOUT,
            // All by which it was trained and tried.
            "settings": {
                "train": config.train, "reward": config.reward, "generate": config.generate,
                "retrieve": config.retrieve, "judge": config.judge,
            },
            "texts": {
                "learned": self.split.learned.len(),
                "validation": self.split.validation.len(),
                "held_out": self.split.held_out.len(),
            },
            LEARNED: self.split.learned_names(),
            "rewards": harvest,
            "gate": verdict,
        })
    }
}

/// What is learned beside each other in a round.
#[derive(Debug, Clone, Copy)]
struct Mix {
    reasoning: bool,
    gold_weight: f32,
}

impl Mix {
    /// The chosen drafts by their weights, and the person's own texts beside them; what has neither is
    /// left out.
    fn lessons<'s>(
        self,
        items: &[&'s Item],
        notes: &'s [Notes],
        samples: &'s [Vec<Sample>],
    ) -> Vec<Lesson<'s>> {
        let all = items.iter().zip(notes).zip(samples);
        all.filter_map(|((item, notes), samples)| {
            let chosen = samples.iter().filter(|sample| sample.is_chosen);
            let chosen = chosen.map(|sample| Wanted {
                reasoning: self.reasoning.then_some(sample.draft.reasoning.as_str()),
                text: &sample.draft.answer,
                weight: sample.weight as f32,
            });
            let own = own(item, notes, self.reasoning, self.gold_weight);
            let wanted: Vec<Wanted<'_>> = chosen.chain(own).filter(|it| it.weight > 0.0).collect();
            (!wanted.is_empty()).then_some(Lesson { item, wanted })
        })
        .collect()
    }
}

/// The person's own texts as lessons; with notes first, only those that have good ones.
fn gold<'s>(items: &[&'s Item], notes: &'s [Notes], reasoning: bool) -> Vec<Lesson<'s>> {
    let of = |(item, notes): (&&'s Item, &'s Notes)| {
        let wanted: Vec<Wanted<'s>> = own(item, notes, reasoning, 1.0).collect();
        (!wanted.is_empty()).then_some(Lesson { item, wanted })
    };
    items.iter().zip(notes).filter_map(of).collect()
}

/// The person's own text, with notes first where that is wanted and there are good ones.
fn own<'s>(
    item: &'s Item,
    notes: &'s Notes,
    reasoning: bool,
    weight: f32,
) -> impl Iterator<Item = Wanted<'s>> {
    let notes = notes.text.as_deref();
    let is_there = !reasoning || notes.is_some();
    let reasoning = notes.filter(|_| reasoning);
    is_there.then_some(Wanted { reasoning, text: &item.output, weight }).into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Hit;
    use crate::selftrain::Drafted;

    fn item(key: usize, held_out: bool) -> Item {
        Item {
            key: key.to_string(),
            request: "a note".into(),
            task: "email".into(),
            output: "text".into(),
            passages: Vec::new(),
            writer: 0,
            documents: vec![format!("d{key}")],
            versions: Vec::new(),
            held_out,
        }
    }

    #[test]
    fn what_tells_when_to_stop_is_spread_over_all() {
        let items: Vec<Item> = (0..20).map(|key| item(key, key >= 18)).collect();
        let split = Split::of(&items, 0.2);
        let keys = |items: &[&Item]| items.iter().map(|it| it.key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(&split.validation), ["4", "9", "14"]);
        assert_eq!((split.learned.len(), split.held_out.len()), (15, 2));
        assert!(!split.documents().contains(&"d18".to_owned()));
        assert!(Split::of(&items, 0.0).validation.is_empty());
        // Kinds that take turns, as those of a data set do.
        let tasks = ["abstract", "email", "review", "topic"];
        let in_turn = |key: usize| Item { task: tasks[key % 4].into(), ..item(key, false) };
        let items: Vec<Item> = (0..32).map(in_turn).collect();
        let found = Split::of(&items, 0.125).validation;
        assert_eq!(found.iter().map(|item| item.task.as_str()).collect::<Vec<_>>(), tasks);
    }

    #[test]
    fn what_the_adapter_in_use_has_learned_is_found_by_the_text_and_not_by_what_is_shown() {
        let mut items: Vec<Item> = (0..4).map(|key| item(key, true)).collect();
        for (number, item) in items.iter_mut().enumerate() {
            item.key = format!("document d{number}");
        }
        // Shown for the third, and learned as a text.
        items[2].documents.push("d9".into());
        items[2].passages = vec![Hit { document: "d9".into(), ..Hit::default() }];
        // A draft that the adapter itself wrote, from all that it knows, and that the person edited.
        items[3].key = "draft a".into();
        // A mail that was sent of another draft, and a digest of it and of a text that is learned.
        items[0].versions = ["document d0", "draft b", "document digest"].map(str::to_owned).into();
        let adapter = |learned: &[&str]| InUse {
            content: Vec::new(),
            reasoning: true,
            learned: learned.iter().map(ToString::to_string).collect(),
        };
        let split = Split::of(&items, 0.0);
        let learned = ["document d9", "document d1", "document d3", "document d7"];
        assert_eq!(split.learned_by(&adapter(&learned)), [1]);
        assert_eq!(split.learned_by(&adapter(&["draft a"])), [3]);
        assert_eq!(split.learned_by(&adapter(&[])), [0; 0]);
        assert_eq!(split.learned_by(&adapter(&["draft b"])), [0]);
        let mut learned = item(7, false);
        learned.versions = vec!["document digest".into()];
        items.push(learned);
        let split = Split::of(&items, 0.0);
        let names = split.learned_names();
        assert_eq!(names, ["7"]);
        assert_eq!(split.learned_by(&InUse { learned: names, ..adapter(&[]) }), [0; 0]);
        // The sent copy of a draft that is learned, found also when the draft has gone.
        items[4].key = "draft c".into();
        items[4].versions = ["draft c", "document d1"].map(str::to_owned).into();
        let names = Split::of(&items, 0.0).learned_names();
        assert_eq!(names, ["document d1", "draft c"]);
        let split = Split::of(&items, 0.0);
        assert_eq!(split.learned_by(&InUse { learned: names, ..adapter(&[]) }), [1]);
    }

    #[test]
    fn chosen_drafts_are_learned_beside_the_person_s_text() {
        let items = [item(0, false), item(1, false)];
        let items: Vec<&Item> = items.iter().collect();
        let notes = Notes { text: Some("- Tone: dry".into()), tries: 1, faults: Vec::new() };
        let notes = [notes.clone(), notes];
        let sample = |answer: &str, is_chosen: bool| Sample {
            draft: Drafted { answer: answer.into(), ..Drafted::default() },
            parts: crate::reward::Parts::default(),
            reward: 0.6,
            was_rejected: false,
            is_chosen,
            weight: 0.25,
        };
        let samples =
            [vec![sample("good", true), sample("bad", false)], vec![sample("bad", false)]];
        let learned = |gold_weight: f32| -> Vec<Vec<(String, f32)>> {
            let lessons = Mix { reasoning: true, gold_weight }.lessons(&items, &notes, &samples);
            let of = |lesson: Lesson<'_>| {
                lesson.wanted.iter().map(|it| (it.text.to_owned(), it.weight)).collect()
            };
            lessons.into_iter().map(of).collect()
        };
        let (good, text) = (("good".to_owned(), 0.25), ("text".to_owned(), 0.5));
        assert_eq!(learned(0.5), [vec![good.clone(), text.clone()], vec![text]]);
        assert_eq!(learned(0.0), [vec![good]]);
    }

    #[test]
    fn a_text_without_notes_is_learned_only_where_none_are_wanted() {
        let items = [item(0, false), item(1, false)];
        let items: Vec<&Item> = items.iter().collect();
        let notes = |text: Option<&str>| Notes {
            text: text.map(str::to_owned),
            tries: 1,
            faults: Vec::new(),
        };
        let notes = [notes(Some("- Tone: dry")), notes(None)];
        let with = gold(&items, &notes, true);
        assert_eq!(with.len(), 1);
        assert_eq!(with[0].wanted[0].reasoning, Some("- Tone: dry"));
        let without = gold(&items, &notes, false);
        assert_eq!(without.len(), 2);
        assert_eq!(without[0].wanted[0].reasoning, None);
    }
}
