//! A request with everything that is needed to write for it and to grade what was written.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::requests::write_requests;
use super::workshop::{Progress, Workshop, Writing};
use super::{Dropped, Journal, Origin, Pair, WhyDropped, scrub};
use crate::config::RetrieveConfig;
use crate::error::Error;
use crate::generate::{self, Request};
use crate::llama::Model;
use crate::profile::{Hit, ProfileStore, Vectors};
use crate::retrieve::{Embed, Query, retrieve_to_write};
use crate::task::Task;

/// A request, what the person wrote for it, and the passages that are shown beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Tells it from the others of a run.
    pub key: String,
    /// What asks for the text.
    pub request: String,
    /// The kind of text, as [`Task`] names it.
    pub task: String,
    /// What the person wrote.
    pub output: String,
    /// Passages of the person's writing, best first.
    pub passages: Vec<Hit>,
    /// Whose: the place of the person among those that the run learns from.
    pub writer: usize,
    /// What it is made of, by the documents' ids.
    pub documents: Vec<String>,
    /// The texts that it has much in common with, by their names ([`key`]).
    #[serde(default)]
    pub versions: Vec<String>,
    /// Whether it is never trained on.
    pub held_out: bool,
}

impl Item {
    /// The kind of text.
    #[must_use]
    pub fn task(&self) -> Task {
        Task::named(&self.task).unwrap_or_else(Task::free)
    }

    /// The names of the text and of its versions. Passages are not among them, nor what a draft was written
    /// from.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.key).chain(&self.versions)
    }

    /// Whether the text came of a draft, which may be removed while its copies stay.
    #[must_use]
    pub fn is_draft(&self) -> bool {
        self.key.starts_with(DRAFT)
    }

    /// The texts of the passages.
    pub fn passage_texts(&self) -> impl Iterator<Item = &str> {
        self.passages.iter().map(|hit| hit.text.as_str())
    }

    /// The item without what has the form of a secret.
    #[must_use]
    pub fn scrubbed(mut self) -> Self {
        let hide = |text: &mut String| *text = scrub(text).0.into_owned();
        for hit in &mut self.passages {
            hide(&mut hit.text);
            hit.title.as_mut().map(hide);
        }
        hide(&mut self.request);
        hide(&mut self.output);
        self
    }
}

/// Where passages come from.
pub struct Shelf<'a> {
    /// The person's documents.
    pub store: &'a ProfileStore,
    /// Their vectors, and what makes one of a request; `None`: by words alone.
    pub meaning: Option<(&'a Vectors, &'a dyn Embed)>,
    /// How passages are found.
    pub settings: &'a RetrieveConfig,
    /// Documents that came after the run began, by their ids: they are never shown.
    pub newcomers: &'a [String],
    /// Whose documents they are.
    pub writer: usize,
    /// Whether secrets are hidden in what is shown.
    pub is_scrubbed: bool,
}

impl Shelf<'_> {
    /// The item of a pair that `request` asks for; `None` where nothing may be shown beside it.
    ///
    /// # Errors
    /// The store's or the embedding model's.
    pub fn item(&self, pair: &Pair, request: &str) -> Result<Option<Item>, Error> {
        let shown = &pair.shown;
        let except = [&shown.except, self.newcomers].concat();
        let among = self.store.passages_before(shown.before.as_deref(), &except)?;
        let task = Task::named(&pair.task).unwrap_or_else(Task::free);
        let k = task.k.unwrap_or(self.settings.k) as usize;
        let vector = self.meaning.map(|(_, embedder)| embedder.query(request)).transpose()?;
        let query = Query {
            text: request,
            vector: vector.as_deref(),
            kind: task.kind.as_deref(),
            recipient: pair.recipient.as_deref(),
            among: Some(&among),
        };
        let vectors = self.meaning.map(|(vectors, _)| vectors);
        let found = retrieve_to_write(self.store, vectors, &query, self.settings, k)?;
        let passages: Vec<Hit> = found.into_iter().map(|found| found.hit).collect();
        if passages.is_empty() {
            return Ok(None);
        }
        let mut documents = pair.documents.clone();
        documents.extend(passages.iter().map(|hit| hit.document.clone()));
        documents.sort_unstable();
        documents.dedup();
        let item = Item {
            key: key(&pair.origin),
            request: request.to_owned(),
            task: pair.task.clone(),
            output: pair.output.clone(),
            passages,
            writer: self.writer,
            documents,
            versions: pair.versions.clone(),
            held_out: pair.held_out,
        };
        Ok(Some(if self.is_scrubbed { item.scrubbed() } else { item }))
    }
}

/// How the name of a draft begins.
const DRAFT: &str = "draft ";

/// The name of a text, the same in every run.
#[must_use]
pub fn key(origin: &Origin) -> String {
    match origin {
        Origin::Document(id) => format!("document {id}"),
        Origin::Draft(id) => format!("{DRAFT}{id}"),
    }
}

/// The stage of the journal that has the items.
pub const ITEMS: &str = "items";
/// The stage of the journal that has the pairs that are none, and why.
pub const LEFT_OUT: &str = "left out";

/// The items of `pairs`, of a profile that had the documents `known` when the run began: what has no
/// title is given a request by the model first. A pair that the model has no room for, or that no
/// request or passage could be had for, is left out. Made once in a run.
///
/// # Errors
/// [`super::TrainError::Stopped`], a model's or the store's.
pub fn items(
    workshop: &Workshop<'_>,
    journal: &mut Journal<'_>,
    pairs: &[Pair],
    known: &[String],
    vectors: Option<&Vectors>,
) -> Result<Vec<Item>, Error> {
    if let Some(items) = journal.get(ITEMS, "")? {
        return Ok(items);
    }
    let untitled: Vec<&Pair> = pairs.iter().filter(|pair| pair.request.is_none()).collect();
    let mut written = write_requests(workshop, journal, &untitled)?.into_iter();
    let model = workshop.model(None)?;
    let known: HashSet<&str> = known.iter().map(String::as_str).collect();
    let now = journal.store().summaries()?.into_iter().map(|summary| summary.id);
    let newcomers: Vec<String> = now.filter(|id| !known.contains(id.as_str())).collect();
    let shelf = Shelf {
        store: journal.store(),
        meaning: vectors.zip(workshop.embedder),
        settings: &workshop.config.retrieve,
        newcomers: &newcomers,
        writer: 0,
        is_scrubbed: workshop.config.train.scrub,
    };
    let mut items = Vec::with_capacity(pairs.len());
    let mut left_out: Vec<Dropped> = Vec::new();
    for (done, pair) in pairs.iter().enumerate() {
        workshop.stage("finding passages", done, pairs.len());
        let request = pair.request.clone().or_else(|| written.next().flatten());
        let item = request.as_deref().map(|request| shelf.item(pair, request)).transpose()?;
        let why = match item {
            None => WhyDropped::NoRequest,
            Some(None) => WhyDropped::NothingBefore,
            Some(Some(item)) if !fits(workshop, &model, &item) => WhyDropped::NoRoom,
            Some(Some(item)) => {
                items.push(item);
                continue;
            }
        };
        left_out.push(Dropped { origin: pair.origin.clone(), why });
    }
    let mut counts: BTreeMap<WhyDropped, usize> = BTreeMap::new();
    left_out.iter().for_each(|dropped| *counts.entry(dropped.why).or_default() += 1);
    for (why, count) in counts {
        let text = format!("left out {count} texts: {}", why.in_words());
        (workshop.tell)(Progress::Note(text));
    }
    journal.keep(LEFT_OUT, "", &left_out)?;
    journal.keep(ITEMS, "", &items)?;
    Ok(items)
}

/// What stands around the text where notes are taken on it.
const SEEN_TOKENS: u32 = 200;

/// Whether the model has room for the request, and an answer may be as long as the text is.
#[must_use]
pub fn fits(workshop: &Workshop<'_>, model: &Model, item: &Item) -> bool {
    let writing = Writing::greedy(true);
    let request = workshop.request(item, writing);
    let output_tokens = model.tokenize(&item.output).len();
    // With the text in the prompt of its notes.
    let seen_tokens = u32::try_from(output_tokens).unwrap_or(u32::MAX).saturating_add(SEEN_TOKENS);
    let of_notes = Request { answer_tokens: seen_tokens, ..request.clone() };
    output_tokens <= request.answer_tokens as usize
        && generate::compose(model, &request, &item.passages).is_ok()
        && generate::compose(model, &of_notes, &item.passages).is_ok()
}
