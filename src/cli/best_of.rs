//! `restpg-edge generate --best-of N`: several drafts, graded, the best kept.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use indicatif::ProgressBar;
use serde::Serialize;

use super::Context;
use super::generate::SEED_MAX;
use super::interrupt::INTERRUPT;
use crate::catalogue::ModelStore;
use crate::error::Error;
use crate::generate::{
    self, Clock, Draft, DraftId, Event, GenerateError, Order, Request, Slots, Timings,
};
use crate::llama::{LlamaError, Model};
use crate::metrics::StyleProfile;
use crate::profile::{Hit, ProfileError, ProfileStore};
use crate::prompt::Prompt;
use crate::reward::{Case, Judge, Parts, place_of_best, reference_free_parts};

/// The newest documents that the person's style is measured on.
const STYLE_DOCUMENTS: usize = 400;

/// A draft with its score.
#[derive(Debug, Serialize)]
pub(super) struct Graded {
    seed: u32,
    answer: String,
    score: f64,
    parts: Parts,
    chosen: bool,
}

/// What drafts are written and graded with.
pub(super) struct BestOf<'a> {
    pub(super) context: &'a Context,
    pub(super) model: &'a Model,
    pub(super) request: &'a Request<'a>,
    pub(super) store: Option<&'a ProfileStore>,
    pub(super) jury: Jury,
}

/// Who grades, found before anything slow happens.
pub(super) enum Jury {
    /// Nobody: the judge does not count.
    Nobody,
    /// The model that writes.
    Writer,
    /// Another one.
    Model(PathBuf),
}

impl Jury {
    /// The judge of the settings.
    ///
    /// # Errors
    /// That its model is not here.
    pub(super) fn of(context: &Context) -> Result<Self, Error> {
        let config = &context.config;
        Ok(match config.judge.model.as_str() {
            _ if config.reward.judge_weight == 0.0 => Self::Nobody,
            "" => Self::Writer,
            name => Self::Model(ModelStore::new(&context.paths.models).resolve(name)?.1),
        })
    }
}

impl BestOf<'_> {
    /// Writes `n` drafts, with the request's seed and those after it; the best one, and all with
    /// their scores.
    pub(super) fn write(
        &self,
        prompt: &Prompt,
        passages: &[Hit],
        n: u32,
        timings: Timings,
        bar: &ProgressBar,
    ) -> Result<(Draft, Vec<Graded>), Error> {
        let asked_for = self.request.sampling.seed;
        let first = asked_for.min(SEED_MAX - (n - 1));
        let seeds: Vec<u32> = (first..=first + (n - 1)).collect();
        let mut drafts = self.drafts(prompt, seeds, timings, bar)?;
        drafts.retain(|draft| !draft.answer.is_empty());
        if drafts.is_empty() {
            if INTERRUPT.load(Ordering::Relaxed) {
                let clock = Clock { started: self.context.started, timings };
                return Ok((Draft::never_begun(asked_for, clock), Vec::new()));
            }
            return Err(GenerateError::NoAnswer.into());
        }
        bar.set_message("grading");
        let parts = self.parts(&drafts, passages)?;
        let weights = &self.context.config.reward;
        let scores: Vec<f64> = parts.iter().map(|parts| parts.blend(weights)).collect();
        let is_whole = |draft: &Draft| !draft.interrupted && !draft.cut_off;
        let ranked: Vec<(bool, f64)> =
            drafts.iter().map(is_whole).zip(scores.iter().copied()).collect();
        let best = place_of_best(&ranked).unwrap_or(0);
        let graded = drafts.iter().zip(parts).zip(&scores).enumerate();
        let graded = graded.map(|(place, ((draft, parts), &score))| Graded {
            seed: draft.seed,
            answer: draft.answer.clone(),
            score,
            parts,
            chosen: place == best,
        });
        let graded = graded.collect();
        Ok((drafts.swap_remove(best), graded))
    }

    fn drafts(
        &self,
        prompt: &Prompt,
        seeds: Vec<u32>,
        timings: Timings,
        bar: &ProgressBar,
    ) -> Result<Vec<Draft>, Error> {
        let slots = Slots::of(&self.context.config.sample, self.model, self.request.cache);
        let n_drafts = seeds.len() as u64;
        let orders = [Order { prompt, notes: None, seeds }];
        let clock = Clock { started: self.context.started, timings };
        let mut on_event = |_: DraftId, event: Event<'_>| match event {
            Event::Reading { done, total } => {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
                if done == total {
                    bar.set_message("writing drafts");
                    bar.set_length(n_drafts);
                    bar.set_position(0);
                }
            }
            Event::Written => bar.inc(1),
            _ => {}
        };
        let drafts = generate::sample(
            self.model,
            self.request,
            &orders,
            slots,
            clock,
            &INTERRUPT,
            &mut on_event,
        )?;
        Ok(drafts.into_iter().flatten().flatten().collect())
    }

    /// What the score of each draft is made of.
    fn parts(&self, drafts: &[Draft], passages: &[Hit]) -> Result<Vec<Parts>, Error> {
        let texts: Vec<String> = passages.iter().map(|hit| hit.text.clone()).collect();
        let grades = self.grades(drafts, &texts)?;
        let answers: Vec<&str> = drafts.iter().map(|draft| draft.answer.as_str()).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let style = self.style()?;
        // What was ended says nothing of the middle of the others.
        let is_whole = |place: &usize| !drafts[*place].interrupted;
        let (whole, ended): (Vec<usize>, Vec<usize>) = (0..drafts.len()).partition(is_whole);
        let mut parts = vec![Parts::default(); drafts.len()];
        for places in [whole, ended] {
            let of_these: Vec<&str> = places.iter().map(|&place| answers[place]).collect();
            let found = reference_free_parts(&of_these, style.as_ref(), &texts);
            places.into_iter().zip(found).for_each(|(place, found)| parts[place] = found);
        }
        for (parts, grade) in parts.iter_mut().zip(grades.unwrap_or_default()) {
            parts.judge = Some(grade);
        }
        Ok(parts)
    }

    fn style(&self) -> Result<Option<StyleProfile>, ProfileError> {
        let Some(store) = self.store else { return Ok(None) };
        let newest = store.passages(&store.newest(STYLE_DOCUMENTS)?)?;
        Ok(StyleProfile::of(newest.iter().map(|hit| hit.text.as_str())))
    }

    /// The judge's expected grades; `None` where it does not count, or cannot grade these.
    fn grades(&self, drafts: &[Draft], passages: &[String]) -> Result<Option<Vec<f64>>, Error> {
        let other = match &self.jury {
            Jury::Nobody => return Ok(None),
            _ if INTERRUPT.load(Ordering::Relaxed) => return Ok(None),
            Jury::Writer => None,
            Jury::Model(file) => Some(Model::load(self.model.runtime(), file)?),
        };
        let model = other.as_ref().unwrap_or(self.model);
        let mut judge = Judge::new(model, self.request.threads, self.request.batch_tokens);
        let case = Case { request: self.request.prompt, reference: None, passages };
        let answers: Vec<&str> = drafts.iter().map(|draft| draft.answer.as_str()).collect();
        match judge.grade(&case, &answers, &INTERRUPT) {
            Ok(verdicts) => {
                Ok(verdicts.map(|all| all.iter().map(|verdict| verdict.expected).collect()))
            }
            // The drafts are there: without the judge the other parts choose.
            Err(error @ LlamaError::ContextFull { .. }) => {
                self.context.output.note(&format!("note: chosen without the judge: {error}"));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}
