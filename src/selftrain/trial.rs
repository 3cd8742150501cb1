//! What a system writes for the requests that are held out, and what it makes of a neutral text.

use sha2::{Digest, Sha256};

use super::workshop::{Asked, Drafted, Workshop, Writing};
use super::{Figures, Item, Journal, Notes, TrainError};
use crate::error::Error;
use crate::llama::Model;
use crate::perplexity::{NEUTRAL_TEXT, log_likelihoods};

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

impl Trial<'_, '_> {
    /// A draft of each item.
    ///
    /// # Errors
    /// [`TrainError::Stopped`], the model's or the store's.
    pub fn drafts(
        &self,
        journal: &mut Journal<'_>,
        system: &System<'_>,
    ) -> Result<Vec<Drafted>, Error> {
        if let Some(drafts) = journal.get(self.stage, &system.key())? {
            return Ok(drafts);
        }
        self.workshop.go_on()?;
        let shown = format!("trying {}", system.name);
        self.workshop.stage(&shown, 0, self.items.len());
        let generate = &self.workshop.config.generate;
        let writing = Writing {
            reasoning: system.reasoning,
            has_passages: system.has_passages,
            temperature: generate.temperature,
            top_p: generate.top_p,
            repeat_penalty: generate.repeat_penalty,
        };
        let places = self.items.iter().enumerate();
        let all: Vec<Asked<'_>> =
            places.map(|(place, item)| system.asked(item, place, vec![self.seed(item)])).collect();
        let model = self.workshop.model(system.adapter)?;
        let drafts = self.workshop.write(&model, &all, writing)?;
        let drafts: Vec<Drafted> = drafts.into_iter().flatten().collect();
        journal.keep(self.stage, &system.key(), &drafts)?;
        Ok(drafts)
    }

    /// Several drafts of each item, at the temperature of training.
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
        let writing = Writing {
            reasoning: system.reasoning,
            has_passages: system.has_passages,
            temperature: train.temperature,
            top_p: train.top_p,
            repeat_penalty: train.repeat_penalty,
        };
        let shown = format!("{count} drafts of each by {}", system.name);
        let stage = format!("{} {count} {}", self.stage, system.key());
        let known = |item: &&Item| journal.get(&stage, &item.key);
        let mut all: Vec<Option<Vec<Drafted>>> =
            self.items.iter().map(known).collect::<Result<_, _>>()?;
        let mut model = None;
        for batch in self.workshop.batches(self.items, count, writing) {
            self.workshop.stage(&shown, all.iter().flatten().count(), self.items.len());
            if batch.iter().all(|&place| all[place].is_some()) {
                continue;
            }
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

    /// The figures of a draft of each item.
    ///
    /// # Errors
    /// As [`Self::drafts`].
    pub fn figures(
        &self,
        journal: &mut Journal<'_>,
        system: &System<'_>,
    ) -> Result<Vec<Figures>, Error> {
        let drafts = self.drafts(journal, system)?;
        let drafts = self.items.iter().zip(&drafts);
        Ok(drafts.map(|(item, draft)| Figures::of(&draft.answer, item)).collect())
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
        let seed = self.workshop.config.train.seed;
        let hash = Sha256::digest(format!("{seed} trial {}", item.key).as_bytes());
        u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]) >> 1
    }
}
