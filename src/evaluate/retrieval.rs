//! What retrieval is worth: how much likelier the generator finds what the person really wrote
//! when it has the retrieved passages before it, than without any.
//!
//! The measure is the mean log-likelihood per token, in nats, of the true output after the prompt
//! that `generate` would give. The retriever sees the request alone, except that of the oracle,
//! which retrieves with the true output and shows what there is to gain.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::dataset::{next_other, sample};
use super::profiles::{Profile, Profiles};
use super::{HeldOut, Person};
use crate::config::RetrieveConfig;
use crate::error::{Error, Explain};
use crate::llama::{CacheType, Model, Room, Token};
use crate::paths::Paths;
use crate::profile::Hit;
use crate::prompt::{self, Parts};
use crate::retrieve::{Embed, Query, nearest, retrieve_to_write};
use crate::selftrain::TrainError;
use crate::statistics::{Interval, macro_mean, mean};
use crate::task::Task;

/// Ways to choose passages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// No passages: what gains are measured from.
    None,
    /// Any passages.
    Random,
    /// The newest.
    Recency,
    /// By words.
    Bm25,
    /// By meaning.
    Dense,
    /// Both, fused, weighted, without repetitions: what `generate` does.
    Hybrid,
    /// Hybrid, out of another person's profile.
    OtherPerson,
    /// Hybrid, with the true output as the query.
    Oracle,
}

impl System {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Random,
        Self::Recency,
        Self::Bm25,
        Self::Dense,
        Self::Hybrid,
        Self::OtherPerson,
        Self::Oracle,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Random => "random",
            Self::Recency => "recency",
            Self::Bm25 => "bm25",
            Self::Dense => "dense",
            Self::Hybrid => "hybrid",
            Self::OtherPerson => "other-person",
            Self::Oracle => "oracle",
        }
    }
}

/// What to measure, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Queries of each task.
    pub queries_per_task: usize,
    /// Queries of each task that come before these in the sample's order and are left out: what
    /// settings were chosen on says nothing of how good they are.
    pub skipped_per_task: usize,
    /// Passages of each prompt.
    pub k: usize,
    /// Longest true output that is scored, in tokens; more is cut.
    pub output_tokens_max: usize,
    /// Longest passage, in estimated tokens.
    pub chunk_tokens: usize,
    /// Tokens decoded in one batch.
    pub batch_tokens: u32,
    /// Threads that decode.
    pub threads: u32,
    /// How passages are fused.
    pub settings: RetrieveConfig,
    /// What is compared.
    pub systems: Vec<System>,
}

/// The log-likelihood per token of one query under each system.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The task.
    pub task: String,
    /// The person.
    pub user: String,
    /// The query.
    pub query: String,
    /// Nats per token.
    pub log_likelihood: BTreeMap<System, f64>,
}

/// What a system gains over no passages.
#[derive(Debug, Clone, Serialize)]
pub struct TaskRow {
    /// The system.
    pub system: System,
    /// By task, in nats per token.
    pub tasks: BTreeMap<String, Interval>,
    /// The mean over tasks.
    pub macro_average: Interval,
    /// The part of the oracle's gain that it reaches, over the macro average.
    pub share_of_oracle: Option<f64>,
}

/// One system against another, on the same queries.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The one.
    pub system: System,
    /// The other.
    pub against: System,
    /// By task: the first less the second, in nats per token.
    pub tasks: BTreeMap<String, Interval>,
    /// The mean over tasks.
    pub macro_average: Interval,
}

/// Everything that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How many queries of each task.
    pub queries: BTreeMap<String, usize>,
    /// What each system gains.
    pub gains: Vec<TaskRow>,
    /// Hybrid against each of the others.
    pub comparisons: Vec<Comparison>,
    /// Each query; ids and figures, no text.
    pub outcomes: Vec<Outcome>,
    /// Whether it was ended early.
    pub interrupted: bool,
}

/// Measures all systems on a fixed sample of the people's queries. Profiles are built in
/// `scratch`, encrypted, as `ingest` builds them. `on_progress` is told queries done and in all.
///
/// # Errors
/// Those of the store and of the models.
pub fn evaluate_retrieval(
    people: &[Person],
    model: &Model,
    embedder: &dyn Embed,
    plan: &Plan,
    scratch: &Paths,
    interrupt: &AtomicBool,
    on_progress: &mut dyn FnMut(usize, usize),
) -> Result<Report, Error> {
    let sample = sample(people, plan.skipped_per_task, plan.queries_per_task);
    let profiles = Profiles::new(people, Some(embedder), plan.chunk_tokens, scratch, interrupt);
    let mut choices = Choices { people, embedder, plan, profiles };
    let mut outcomes = Vec::new();
    for (done, &(person, query)) in sample.iter().enumerate() {
        on_progress(done, sample.len());
        if interrupt.load(Ordering::Relaxed) {
            break;
        }
        let held_out = &people[person].queries[query];
        let passages = match choices.passages(person, held_out) {
            Err(error) if error.inner().kind() == TrainError::Stopped.kind() => break,
            other => other?,
        };
        let scorer = Scorer { model, plan, task: task(&people[person].task) };
        if let Some(log_likelihood) = scorer.score_all(held_out, &passages)? {
            outcomes.push(Outcome {
                task: people[person].task.clone(),
                user: people[person].user.clone(),
                query: held_out.id.clone(),
                log_likelihood,
            });
        }
    }
    Ok(report(outcomes, &plan.systems, interrupt.load(Ordering::Relaxed)))
}

fn task(name: &str) -> Task {
    Task::named(name).unwrap_or_else(Task::free)
}

/// What each system shows beside a query.
struct Choices<'a> {
    people: &'a [Person],
    embedder: &'a dyn Embed,
    plan: &'a Plan,
    profiles: Profiles<'a>,
}

impl Choices<'_> {
    /// The passages that each system chooses for a query.
    fn passages(
        &mut self,
        person: usize,
        held_out: &HeldOut,
    ) -> Result<BTreeMap<System, Vec<Hit>>, Error> {
        let mut passages = BTreeMap::new();
        for &system in &self.plan.systems {
            let owner =
                if system == System::OtherPerson { self.other(person) } else { Some(person) };
            let Some(owner) = owner else { continue };
            let (embedder, plan) = (self.embedder, self.plan);
            let profile = self.profiles.of(owner)?;
            passages.insert(system, Choice { profile, embedder, plan }.of(system, held_out)?);
        }
        Ok(passages)
    }

    /// Another person of the same task: the next one.
    fn other(&self, person: usize) -> Option<usize> {
        let people = self.people;
        next_other(people, person, |place| people[place].task == people[person].task)
    }
}

/// The passages of one profile.
struct Choice<'c> {
    profile: &'c Profile,
    embedder: &'c dyn Embed,
    plan: &'c Plan,
}

impl Choice<'_> {
    fn of(&self, system: System, held_out: &HeldOut) -> Result<Vec<Hit>, Error> {
        let store = &self.profile.store;
        let k = self.plan.k;
        let by_numbers =
            |chunks: Vec<i64>| -> Result<Vec<Hit>, Error> { Ok(store.passages(&chunks)?) };
        match system {
            System::None => Ok(Vec::new()),
            System::Random => {
                let chunks = self.profile.vectors.as_ref().map(|vectors| vectors.chunks.clone());
                let mut chunks = chunks.unwrap_or_default();
                let seed = Sha256::digest(held_out.id.as_bytes());
                let seed = u64::from_le_bytes(std::array::from_fn(|index| seed[index]));
                fastrand::Rng::with_seed(seed).shuffle(&mut chunks);
                chunks.truncate(k);
                by_numbers(chunks)
            }
            System::Recency => by_numbers(store.newest(k)?),
            System::Bm25 => self.fused(&held_out.input, None, &plain(&self.plan.settings)),
            System::Dense => {
                let vector = self.embedder.query(&held_out.input)?;
                let vectors = self.profile.vectors.as_ref();
                let found = vectors.map(|vectors| nearest(vectors, &vector, k));
                by_numbers(found.into_iter().flatten().map(|(chunk, _)| chunk).collect())
            }
            System::Hybrid | System::OtherPerson => {
                let vector = self.embedder.query(&held_out.input)?;
                self.fused(&held_out.input, Some(&vector), &self.plan.settings)
            }
            System::Oracle => {
                let vector = self.embedder.query(&held_out.output)?;
                self.fused(&held_out.output, Some(&vector), &plain(&self.plan.settings))
            }
        }
    }

    fn fused(
        &self,
        text: &str,
        vector: Option<&[f32]>,
        settings: &RetrieveConfig,
    ) -> Result<Vec<Hit>, Error> {
        let Profile { store, vectors } = self.profile;
        let query = Query { text, vector, ..Query::default() };
        let vectors = vectors.as_ref().filter(|_| vector.is_some());
        let found = retrieve_to_write(store, vectors, &query, settings, self.plan.k)?;
        Ok(found.into_iter().map(|found| found.hit).collect())
    }
}

/// Ranks alone, without weights and diversity.
fn plain(settings: &RetrieveConfig) -> RetrieveConfig {
    RetrieveConfig { diversity: 0.0, recency_weight: 0.0, ..settings.clone() }
}

/// Scores true outputs of one task.
struct Scorer<'a> {
    model: &'a Model,
    plan: &'a Plan,
    task: Task,
}

impl Scorer<'_> {
    /// Nats per token under each system; `None` where the output has no token.
    fn score_all(
        &self,
        held_out: &HeldOut,
        passages: &BTreeMap<System, Vec<Hit>>,
    ) -> Result<Option<BTreeMap<System, f64>>, Error> {
        let mut output = self.model.tokenize(&held_out.output);
        output.truncate(self.plan.output_tokens_max);
        if output.is_empty() {
            return Ok(None);
        }
        // Systems that chose the same passages are scored once.
        let mut known: Vec<(Vec<i64>, f64)> = Vec::new();
        let mut scores = BTreeMap::new();
        for (&system, hits) in passages {
            let mut chunks: Vec<i64> = hits.iter().map(|hit| hit.chunk).collect();
            if system == System::OtherPerson {
                chunks.insert(0, -1);
            }
            let before = known.iter().find(|(other, _)| *other == chunks).map(|(_, score)| *score);
            let score = match before {
                Some(score) => score,
                None => {
                    let score = self.score(held_out, hits, &output)?;
                    known.push((chunks, score));
                    score
                }
            };
            scores.insert(system, score);
        }
        Ok(Some(scores))
    }

    fn score(&self, held_out: &HeldOut, passages: &[Hit], output: &[Token]) -> Result<f64, Error> {
        let request = &held_out.input;
        let parts = Parts { task: &self.task, request, passages, reasoning: false };
        let budget = (self.model.context_tokens_trained() as usize).saturating_sub(output.len());
        let prompt = prompt::assemble(&parts, budget, self.model)?;
        let tokens = self.model.render(&prompt.messages, &prompt.opening);
        let needed = u32::try_from(tokens.len() + output.len()).unwrap_or(u32::MAX);
        let room = Room {
            tokens: needed.next_multiple_of(256),
            sequences: 1,
            batch_tokens: self.plan.batch_tokens,
            cache: CacheType::default(),
        };
        let mut session = self.model.session(room, self.plan.threads)?;
        session.extend(0, &tokens, &mut |_| true)?;
        Ok(mean(&session.score(0, output)?))
    }
}

fn report(outcomes: Vec<Outcome>, systems: &[System], interrupted: bool) -> Report {
    let mut queries: BTreeMap<String, usize> = BTreeMap::new();
    for outcome in &outcomes {
        *queries.entry(outcome.task.clone()).or_default() += 1;
    }
    let difference = |one: System, other: System| -> BTreeMap<String, Vec<f64>> {
        let mut tasks: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for outcome in &outcomes {
            let score = |system: System| outcome.log_likelihood.get(&system);
            if let (Some(one), Some(other)) = (score(one), score(other)) {
                tasks.entry(outcome.task.clone()).or_default().push(one - other);
            }
        }
        tasks
    };
    let over_tasks = |tasks: &BTreeMap<String, Vec<f64>>| {
        macro_mean(&tasks.values().map(Vec::as_slice).collect::<Vec<_>>())
    };
    let by_task = |tasks: &BTreeMap<String, Vec<f64>>| {
        let row = tasks.iter().map(|(task, values)| (task.clone(), macro_mean(&[values])));
        row.collect::<BTreeMap<_, _>>()
    };
    let oracle = over_tasks(&difference(System::Oracle, System::None)).mean;
    let gains = systems
        .iter()
        .filter(|&&system| system != System::None)
        .map(|&system| {
            let tasks = difference(system, System::None);
            let macro_average = over_tasks(&tasks);
            let share_of_oracle = (oracle > 0.0).then(|| macro_average.mean / oracle);
            TaskRow { system, tasks: by_task(&tasks), macro_average, share_of_oracle }
        })
        .filter(|row| !row.tasks.is_empty())
        .collect();
    let others = systems.iter().filter(|&&it| !matches!(it, System::Hybrid | System::None));
    let comparisons = others
        .map(|&against| {
            let tasks = difference(System::Hybrid, against);
            let macro_average = over_tasks(&tasks);
            Comparison { system: System::Hybrid, against, tasks: by_task(&tasks), macro_average }
        })
        .filter(|row| !row.tasks.is_empty())
        .collect();
    Report { queries, gains, comparisons, outcomes, interrupted }
}
