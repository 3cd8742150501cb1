//! What a run works with: the model's files, the settings, the devices, and whoever is told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Item, TrainError};
use crate::config::Config;
use crate::error::Error;
use crate::generate::{self, Clock, Draft, DraftId, Event, Order, Request, Slots, Timings};
use crate::ggml::Backend;
use crate::llama::{AdapterSource, CacheType, Model, Runtime, Sampling};
use crate::lora;
use crate::metrics::StyleProfile;
use crate::profile::Hit;
use crate::prompt::Prompt;
use crate::retrieve::Embed;
use crate::task::Task;

/// What happens in a run.
#[derive(Debug)]
pub enum Progress<'a> {
    /// So many of so many pieces of a stage are done.
    Stage {
        /// What is done, as people call it.
        name: &'a str,
        /// Pieces done.
        done: usize,
        /// Pieces in all.
        total: usize,
    },
    /// A step of fitting.
    Fit {
        /// What is fitted.
        name: &'a str,
        /// Steps in all.
        steps: u64,
        /// What happened.
        event: lora::Event,
    },
    /// Something to be known.
    Note(String),
}

/// Everything that a run works with.
pub struct Workshop<'a> {
    /// llama.cpp.
    pub runtime: Runtime,
    /// The model's file, as it was pulled: what is fitted.
    pub base: &'a Path,
    /// The hash of that file.
    pub base_sha256: &'a str,
    /// The file that drafts are sampled with: the same, or what this machine runs faster.
    pub sampled: &'a Path,
    /// The file of the model that writes the first notes.
    pub reasoning: Option<&'a Path>,
    /// The file of the model that grades; `None` where none counts.
    pub judge: Option<&'a Path>,
    /// The file of the model that grades at the gate: one that no reward uses; `None` where none does.
    pub gate_judge: Option<&'a Path>,
    /// All settings.
    pub config: &'a Config,
    /// Threads that decode.
    pub threads: u32,
    /// What fits.
    pub backend: &'a Backend,
    /// Memory that fitting may take.
    pub fit_bytes_max: u64,
    /// What makes vectors of texts, where there is one.
    pub embedder: Option<&'a dyn Embed>,
    /// The styles of the people who are learned from.
    pub styles: &'a [Option<StyleProfile>],
    /// Drafts that the person has rejected: what is much like one is not learned.
    pub rejected: &'a [String],
    /// Set where the run is to stop.
    pub interrupt: &'a AtomicBool,
    /// Called between two pieces of work; may wait.
    pub breathe: &'a dyn Fn(),
    /// Told what happens.
    pub tell: &'a dyn Fn(Progress<'_>),
}

/// How drafts are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Writing {
    /// Whether notes come first.
    pub reasoning: bool,
    /// Whether passages are shown.
    pub has_passages: bool,
    /// As sampling takes it.
    pub temperature: f32,
    /// As sampling takes it.
    pub top_p: f32,
    /// As sampling takes it.
    pub repeat_penalty: f32,
}

impl Writing {
    /// The likeliest text: what matters is its prompt.
    #[must_use]
    pub fn greedy(reasoning: bool) -> Self {
        Self { reasoning, has_passages: true, temperature: 0.0, top_p: 1.0, repeat_penalty: 1.0 }
    }
}

/// A request, and the drafts that are wanted of it.
#[derive(Debug, Clone)]
pub struct Asked<'i> {
    /// The request.
    pub item: &'i Item,
    /// The notes, where the model is not to take its own.
    pub notes: Option<&'i str>,
    /// A seed for each draft.
    pub seeds: Vec<u32>,
}

/// A draft that was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drafted {
    /// The notes; empty where there were none.
    pub reasoning: String,
    /// The text.
    pub answer: String,
    /// Whether its bound ended it.
    pub cut_off: bool,
    /// Whether it was ended because the prompt or the notes came again.
    #[serde(default)]
    pub stopped: bool,
}

impl Drafted {
    /// Whether it has come to an end of its own.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.answer.is_empty() && !self.cut_off && !self.stopped
    }
}

impl Workshop<'_> {
    /// The model that samples, with an adapter where one is given.
    ///
    /// # Errors
    /// The model's.
    pub fn model(&self, adapter: Option<&[u8]>) -> Result<Model, Error> {
        let adapter = adapter.map(AdapterSource::Bytes);
        Ok(Model::load_adapted(self.runtime.clone(), self.sampled, adapter)?)
    }

    /// The model that writes the first notes.
    ///
    /// # Errors
    /// The model's.
    pub fn reasoning_model(&self) -> Result<Model, Error> {
        let file = self.reasoning.unwrap_or(self.sampled);
        Ok(Model::load(self.runtime.clone(), file)?)
    }

    /// The model that grades, where one counts.
    ///
    /// # Errors
    /// The model's.
    pub fn judge_model(&self) -> Result<Option<Model>, Error> {
        let load = |file: &Path| Model::load(self.runtime.clone(), file);
        Ok(self.judge.map(load).transpose()?)
    }

    /// Lets others have the machine, and says whether to go on.
    ///
    /// # Errors
    /// [`TrainError::Stopped`].
    pub fn go_on(&self) -> Result<(), TrainError> {
        (self.breathe)();
        if self.interrupt.load(Ordering::Relaxed) { Err(TrainError::Stopped) } else { Ok(()) }
    }

    /// Where chance begins for what is written for `purpose` and the item with this key: elsewhere for
    /// each, so that what is written for many items is not odd in the same way.
    #[must_use]
    pub fn seed(&self, purpose: &str, key: &str) -> u32 {
        seed(self.config.train.seed, purpose, key)
    }

    /// Says how far a stage is.
    pub fn stage(&self, name: &str, done: usize, total: usize) {
        (self.tell)(Progress::Stage { name, done, total });
    }

    /// The request of `item` as `generate` takes it.
    pub fn request<'i>(&self, item: &'i Item, writing: Writing) -> Request<'i> {
        let task = item.task();
        let answer_tokens = task.answer_tokens.unwrap_or(self.config.generate.answer_tokens);
        let bare = self.bare_request(answer_tokens, writing.temperature, writing.top_p);
        Request {
            prompt: &item.request,
            k: item.passages.len(),
            reasoning: writing.reasoning,
            task,
            sampling: Sampling { repeat_penalty: writing.repeat_penalty, ..bare.sampling },
            ..bare
        }
    }

    /// A request with bounds and sampling alone: its prompt is made by whoever asks.
    #[must_use]
    pub fn bare_request(
        &self,
        answer_tokens: u32,
        temperature: f32,
        top_p: f32,
    ) -> Request<'static> {
        let Config { model, generate, .. } = self.config;
        Request {
            prompt: "",
            task: Task::free(),
            k: 0,
            reasoning: false,
            reasoning_tokens: generate.reasoning_tokens,
            answer_tokens,
            context_tokens: model.context_tokens,
            batch_tokens: model.batch_tokens,
            cache: CacheType::named(&model.cache_type).unwrap_or_default(),
            threads: self.threads,
            sampling: Sampling {
                temperature,
                top_k: generate.top_k,
                top_p,
                min_p: generate.min_p,
                repeat_penalty: generate.repeat_penalty,
                repeat_window_tokens: generate.repeat_window_tokens,
                dry_multiplier: generate.dry_multiplier,
                seed: 0,
            },
            prefixes: None,
        }
    }

    /// The prompt of `item`.
    ///
    /// # Errors
    /// That its request does not fit the model.
    pub fn prompt(&self, model: &Model, item: &Item, writing: Writing) -> Result<Prompt, Error> {
        let passages: &[Hit] = if writing.has_passages { &item.passages } else { &[] };
        Ok(generate::compose(model, &self.request(item, writing), passages)?)
    }

    /// The drafts of each of `all`, in their order.
    ///
    /// # Errors
    /// [`TrainError::Stopped`], or the model's.
    pub fn write(
        &self,
        model: &Model,
        all: &[Asked<'_>],
        writing: Writing,
    ) -> Result<Vec<Vec<Drafted>>, Error> {
        let prompts: Vec<Prompt> = all
            .iter()
            .map(|asked| self.prompt(model, asked.item, writing))
            .collect::<Result<_, _>>()?;
        // Kinds of text have bounds of their own: those with the same are written together.
        let mut groups: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (place, asked) in all.iter().enumerate() {
            groups.entry(self.request(asked.item, writing).answer_tokens).or_default().push(place);
        }
        let mut written: Vec<Vec<Drafted>> = vec![Vec::new(); all.len()];
        for places in groups.into_values() {
            let order = |&place: &usize| {
                let Asked { notes, ref seeds, .. } = all[place];
                Order { prompt: &prompts[place], notes, seeds: seeds.clone() }
            };
            let group: Vec<Order<'_>> = places.iter().map(order).collect();
            let request = self.request(all[places[0]].item, writing);
            let drafts = self.sample(model, &request, &group)?;
            places.into_iter().zip(drafts).for_each(|(place, drafts)| written[place] = drafts);
        }
        Ok(written)
    }

    /// The places of `items` in batches of which, with so many drafts of each item, a batch keeps all
    /// slots busy; kinds of text with bounds of their own are apart.
    #[must_use]
    pub fn batches(&self, items: &[&Item], drafts: u32, writing: Writing) -> Vec<Vec<usize>> {
        let bounds = items.iter().map(|item| self.request(item, writing).answer_tokens);
        let bounds: Vec<u32> = bounds.collect();
        batches(&bounds, batch_size(self.config.sample.drafts_at_once, drafts))
    }

    /// Drafts of prompts that are already made.
    ///
    /// # Errors
    /// [`TrainError::Stopped`], or the model's.
    pub fn sample(
        &self,
        model: &Model,
        request: &Request<'_>,
        orders: &[Order<'_>],
    ) -> Result<Vec<Vec<Drafted>>, Error> {
        let slots = Slots::of(&self.config.sample, model, request.cache);
        let clock = Clock { started: Instant::now(), timings: Timings::default() };
        let mut on_event = |_: DraftId, _: Event<'_>| {};
        let written =
            generate::sample(model, request, orders, slots, clock, self.interrupt, &mut on_event)?;
        let is_whole = |draft: &Option<Draft>| draft.as_ref().is_some_and(|it| !it.interrupted);
        if self.interrupt.load(Ordering::Relaxed) || !written.iter().flatten().all(is_whole) {
            return Err(TrainError::Stopped.into());
        }
        let drafted = |draft: Draft| Drafted {
            reasoning: draft.reasoning,
            answer: draft.answer,
            cut_off: draft.cut_off,
            stopped: draft.stopped,
        };
        let of_order = |drafts: Vec<Option<Draft>>| drafts.into_iter().flatten().map(drafted);
        Ok(written.into_iter().map(|drafts| of_order(drafts).collect()).collect())
    }
}

fn seed(seed: u32, purpose: &str, key: &str) -> u32 {
    let hash = Sha256::digest(format!("{seed} {purpose} {key}").as_bytes());
    u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]) >> 1
}

/// Requests of which, with `drafts` of each, `slots` are busy and something waits for the first
/// that is free.
#[must_use]
pub fn batch_size(slots: u32, drafts: u32) -> usize {
    (2 * slots).div_ceil(drafts.max(1)).max(1) as usize
}

/// The places of `bounds` by what stands there, in batches of `size`: the same whenever they are
/// made, since what a draft becomes depends, in the last bits, on what is written beside it.
fn batches(bounds: &[u32], size: usize) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (place, &bound) in bounds.iter().enumerate() {
        groups.entry(bound).or_default().push(place);
    }
    groups.values().flat_map(|group| group.chunks(size).map(<[usize]>::to_vec)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_items_and_purposes_have_other_seeds() {
        assert_eq!(seed(1, "notes", "a"), seed(1, "notes", "a"));
        for other in [seed(2, "notes", "a"), seed(1, "trial", "a"), seed(1, "notes", "b")] {
            assert_ne!(seed(1, "notes", "a"), other);
        }
    }

    #[test]
    fn a_batch_keeps_the_slots_busy_and_has_one_bound() {
        assert_eq!((batch_size(16, 8), batch_size(16, 5), batch_size(4, 64)), (4, 7, 1));
        let bounds = [320, 640, 320, 320, 640, 320];
        assert_eq!(batches(&bounds, 3), [vec![0, 2, 3], vec![5], vec![1, 4]]);
        assert!(batches(&[], 3).is_empty());
    }
}
