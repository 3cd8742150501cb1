//! What a system writes for the requests that are held out, and what it makes of a neutral text.

use sha2::{Digest, Sha256};

use super::grading::{if_room, verdicts};
use super::workshop::{Asked, Drafted, Progress, Workshop, Writing};
use super::{Figures, Item, Journal, Notes, TrainError};
use crate::config::Config;
use crate::error::Error;
use crate::llama::Model;
use crate::perplexity::{NEUTRAL_TEXT, log_likelihoods};
use crate::reward::Judge;
use crate::statistics::mean_of;

/// The stage of the requests that are held out.
pub const HELD_OUT: &str = "trial";
const NEUTRAL: &str = "neutral";
const KEY_BYTES: usize = 12;

/// A way to write: the model, perhaps with an adapter, perhaps with notes first.
#[derive(Debug, Clone, Copy)]
pub struct System<'s> {
    /// What it is called where progress is told.
    pub name: &'s str,
    /// The adapter.
    pub adapter: Option<&'s [u8]>,
    /// Whether notes come first.
    pub reasoning: bool,
    /// Whether passages are shown.
    pub has_passages: bool,
    /// The notes for each request, where the model is not to take its own; it does where they have no
    /// text.
    pub notes: Option<&'s [Notes]>,
}

impl<'s> System<'s> {
    /// The model with passages alone.
    #[must_use]
    pub fn retrieval() -> Self {
        let name = "retrieval";
        Self { name, adapter: None, reasoning: false, has_passages: true, notes: None }
    }

    /// What it is called in the journal: by what it computes, whatever its name.
    fn key(&self) -> String {
        let mut hash = Sha256::new();
        hash.update([u8::from(self.reasoning), u8::from(self.has_passages)]);
        hash.update(self.adapter.unwrap_or_default());
        for notes in self.notes.unwrap_or_default() {
            hash.update([0]);
            hash.update(notes.text.as_deref().unwrap_or_default());
        }
        hex::encode(&hash.finalize()[..KEY_BYTES])
    }

    /// The model with passages and an adapter.
    #[must_use]
    pub fn adapted(name: &'s str, adapter: &'s [u8], reasoning: bool) -> Self {
        Self { name, adapter: Some(adapter), reasoning, has_passages: true, notes: None }
    }

    /// How it writes, sampled so.
    fn writing(&self, temperature: f32, top_p: f32, repeat_penalty: f32) -> Writing {
        let Self { reasoning, has_passages, .. } = *self;
        Writing { reasoning, has_passages, temperature, top_p, repeat_penalty }
    }

    /// What is asked of it for the request at `place`.
    fn asked<'i>(&self, item: &'i Item, place: usize, seeds: Vec<u32>) -> Asked<'i>
    where
        's: 'i,
    {
        let notes = self.notes.and_then(|notes| notes.get(place));
        Asked { item, notes: notes.and_then(|notes| notes.text.as_deref()), seeds }
    }
}

/// Requests that systems are tried on.
pub struct Trial<'t, 'a> {
    /// What they are tried with.
    pub workshop: &'t Workshop<'a>,
    /// The requests.
    pub items: &'t [&'t Item],
    /// What the drafts for these are called in the journal.
    pub stage: &'static str,
}

/// How many drafts a system is tried by on each request: `[train] held_out_drafts`, since one alone says
/// as much about chance as about the system; of the likeliest text one, which is the same every time.
#[must_use]
pub fn drafts_of_each(config: &Config) -> u32 {
    if config.generate.temperature > 0.0 { config.train.held_out_drafts } else { 1 }
}

impl Trial<'_, '_> {
    /// The drafts of each item, sampled as `generate` would: [`drafts_of_each`].
    ///
    /// # Errors
    /// [`TrainError::Stopped`], the model's or the store's.
    pub fn drafts(
        &self,
        journal: &mut Journal<'_>,
        system: &System<'_>,
    ) -> Result<Vec<Vec<Drafted>>, Error> {
        let generate = &self.workshop.config.generate;
        let writing = system.writing(generate.temperature, generate.top_p, generate.repeat_penalty);
        let count = drafts_of_each(self.workshop.config);
        self.write(journal, system, count, writing, &format!("trying {}", system.name))
    }

    /// `count` drafts of each item, sampled as in training.
    ///
    /// # Errors
    /// As [`Self::drafts`].
    pub fn candidates(
        &self,
        journal: &mut Journal<'_>,
        system: &System<'_>,
        count: u32,
    ) -> Result<Vec<Vec<Drafted>>, Error> {
        let train = &self.workshop.config.train;
        let writing = system.writing(train.temperature, train.top_p, train.repeat_penalty);
        let shown = format!("{count} drafts of each by {}", system.name);
        self.write(journal, system, count, writing, &shown)
    }

    /// `count` drafts of each item, called `shown` where progress is told. Those that were sampled in the
    /// same way before are the same.
    fn write(
        &self,
        journal: &mut Journal<'_>,
        system: &System<'_>,
        count: u32,
        writing: Writing,
        shown: &str,
    ) -> Result<Vec<Vec<Drafted>>, Error> {
        let Writing { temperature, top_p, repeat_penalty, .. } = writing;
        let sampled = format!("{count} {temperature} {top_p} {repeat_penalty}");
        let stage = format!("{} {sampled} {}", self.stage, system.key());
        let known = |item: &&Item| journal.get(&stage, &item.key);
        let mut all: Vec<Option<Vec<Drafted>>> =
            self.items.iter().map(known).collect::<Result<_, _>>()?;
        let mut model = None;
        for batch in self.workshop.batches(self.items, count, writing) {
            if batch.iter().all(|&place| all[place].is_some()) {
                continue;
            }
            self.workshop.stage(shown, all.iter().flatten().count(), self.items.len());
            self.workshop.go_on()?;
            let model = match &mut model {
                Some(model) => model,
                none => none.insert(self.workshop.model(system.adapter)?),
            };
            let asked = |&place: &usize| {
                let first = self.seed(self.items[place]);
                system.asked(self.items[place], place, (first..first + count).collect())
            };
            let asked: Vec<Asked<'_>> = batch.iter().map(asked).collect();
            let drafts = self.workshop.write(model, &asked, writing)?;
            for (place, drafts) in batch.into_iter().zip(drafts) {
                journal.keep(&stage, &self.items[place].key, &drafts)?;
                all[place] = Some(drafts);
            }
        }
        Ok(all.into_iter().flatten().collect())
    }

    /// The figures of each item: the means of its drafts'.
    ///
    /// # Errors
    /// As [`Self::drafts`].
    pub fn figures(
        &self,
        journal: &mut Journal<'_>,
        system: &System<'_>,
    ) -> Result<Vec<Figures>, Error> {
        let drafts = self.drafts(journal, system)?;
        let grades = self.grades(journal, system, &drafts)?;
        let figures = |(place, (item, drafts)): (usize, (&&Item, &Vec<Drafted>))| {
            let all: Vec<Figures> =
                drafts.iter().map(|draft| Figures::of(&draft.answer, item)).collect();
            Figures { grade: grades.get(place).copied().flatten(), ..Figures::mean_of(&all) }
        };
        Ok(self.items.iter().zip(&drafts).enumerate().map(figures).collect())
    }

    /// The mean grade of each item's drafts by the gate's judge; `None` where there is no judge, or it
    /// has no room for one of them.
    fn grades(
        &self,
        journal: &mut Journal<'_>,
        system: &System<'_>,
        drafts: &[Vec<Drafted>],
    ) -> Result<Vec<Option<f64>>, Error> {
        let Workshop { gate_judge: Some(file), threads, config, .. } = *self.workshop else {
            return Ok(vec![None; drafts.len()]);
        };
        let of_each = drafts_of_each(config);
        let stage = format!("{} {of_each} graded {}", self.stage, system.key());
        let known = |item: &&Item| journal.get(&stage, &item.key);
        let mut all: Vec<Option<Option<f64>>> =
            self.items.iter().map(known).collect::<Result<_, _>>()?;
        if all.iter().any(Option::is_none) {
            let model = Model::load(self.workshop.runtime.clone(), file)?;
            let mut judge = Judge::new(&model, threads, config.model.batch_tokens);
            for (place, of_item) in drafts.iter().enumerate() {
                if all[place].is_some() {
                    continue;
                }
                self.workshop.stage("judging drafts", place, drafts.len());
                self.workshop.go_on()?;
                let item = self.items[place];
                let grade = mean_grade(self.workshop, &mut judge, item, of_item)?;
                journal.keep(&stage, &item.key, &grade)?;
                all[place] = Some(grade);
            }
        }
        let grades: Vec<Option<f64>> = all.into_iter().flatten().collect();
        let ungraded = grades.iter().filter(|grade| grade.is_none()).count();
        if ungraded > 0 {
            let text = format!("the judge has no room for {ungraded} of {} texts", drafts.len());
            (self.workshop.tell)(Progress::Note(text));
        }
        Ok(grades)
    }

    /// What each token of the neutral text is worth to a system, in nats.
    ///
    /// # Errors
    /// As [`Self::drafts`].
    pub fn neutral(
        &self,
        journal: &mut Journal<'_>,
        system: &System<'_>,
    ) -> Result<Vec<f64>, Error> {
        if let Some(found) = journal.get(NEUTRAL, &system.key())? {
            return Ok(found);
        }
        self.workshop.go_on()?;
        let model = self.workshop.model(system.adapter)?;
        let found = self.log_likelihoods(&model)?;
        journal.keep(NEUTRAL, &system.key(), &found)?;
        Ok(found)
    }

    fn log_likelihoods(&self, model: &Model) -> Result<Vec<f64>, Error> {
        let Workshop { threads, interrupt, .. } = self.workshop;
        let found = log_likelihoods(model, NEUTRAL_TEXT, *threads, interrupt)?;
        Ok(found.ok_or(TrainError::Stopped)?)
    }

    /// The same for every system.
    fn seed(&self, item: &Item) -> u32 {
        self.workshop.seed("trial", &item.key)
    }
}

/// The mean grade of the drafts of `item`; `None` where the judge has no room for one of them.
fn mean_grade(
    workshop: &Workshop<'_>,
    judge: &mut Judge<'_>,
    item: &Item,
    drafts: &[Drafted],
) -> Result<Option<f64>, Error> {
    let answers: Vec<&str> = drafts.iter().map(|draft| draft.answer.as_str()).collect();
    let verdicts = if_room(verdicts(workshop, judge, item, &answers))?;
    Ok(verdicts.map(|verdicts| mean_of(&verdicts, |verdict| verdict.expected)))
}
