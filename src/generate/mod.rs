//! From a request to a draft: retrieve, prompt, reason, answer; told as events.
//!
//! Knows nothing of terminals. Reasoning and answer are decoded in one KV cache: the model writes
//! its reasoning up to its natural end or its budget, the runtime appends the marker, the model
//! writes the answer. One draft or many: many are decoded in one batch, each from its own seed.

mod answer;
mod decoder;
mod draft;
mod prefix;
mod reasoning;
mod schedule;
mod stream;

use std::cell::{Cell, RefCell};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde::Serialize;

use crate::config::SampleConfig;
use crate::error::{Exit, Explain};
use crate::llama::{CacheType, LlamaError, Message, Model, Room, Sampling, Token};
use crate::profile::{Hit, Prefixes, ProfileError, ProfileStore};
use crate::prompt::{self, Measure, Parts, Prompt, PromptError};
use crate::task::Task;

use draft::{OnEvent, Outline, Tell, Written};
use schedule::{Desk, Work};

/// Sizes of a context are rounded up to this, as llama.cpp does.
const CONTEXT_STEP_TOKENS: u32 = 256;

/// What is to be written, and how.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// What the person asks for.
    pub prompt: &'a str,
    /// The kind of text.
    pub task: Task,
    /// Passages to retrieve.
    pub k: usize,
    /// Whether the model reasons first.
    pub reasoning: bool,
    /// Bound on the reasoning.
    pub reasoning_tokens: u32,
    /// Bound on the answer.
    pub answer_tokens: u32,
    /// Bound on everything together; the model's own bound holds too.
    pub context_tokens: u32,
    /// Tokens decoded at once while the prompt is read.
    pub batch_tokens: u32,
    /// How keys and values are kept.
    pub cache: CacheType,
    /// Threads of the CPU.
    pub threads: u32,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The prompts that were read before.
    pub prefixes: Option<&'a Prefixes>,
}

/// A prompt and the seeds of the drafts that are wanted of it.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// The prompt.
    pub prompt: &'a Prompt,
    /// The reasoning, where it is given and only the answer is to be written: a text as the first
    /// phase gives it.
    pub notes: Option<&'a str>,
    /// A draft each.
    pub seeds: Vec<u32>,
}

/// Which of several drafts: the place of its order, and its own among those of the order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DraftId {
    /// The order.
    pub prompt: usize,
    /// The draft of that order.
    pub draft: usize,
}

/// How many drafts are written at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Drafts.
    pub drafts_max: usize,
    /// Tokens of the cache that they take together; fewer drafts at once take fewer. A single one
    /// takes what it needs.
    pub tokens_max: usize,
}

impl Slots {
    /// As many as the settings give room to.
    #[must_use]
    pub fn of(settings: &SampleConfig, model: &Model, cache: CacheType) -> Self {
        let cache_bytes_max = u64::from(settings.cache_mib_max) << 20;
        let token_bytes = model.cache_bytes(1024, cache).div_ceil(1024).max(1);
        Self {
            drafts_max: settings.drafts_at_once as usize,
            tokens_max: usize::try_from(cache_bytes_max / token_bytes).unwrap_or(usize::MAX),
        }
    }
}

/// What happens while a draft comes into being.
#[derive(Debug)]
pub enum Event<'a> {
    /// The prompt is complete.
    Prompt(&'a Prompt),
    /// So many of so many prompt tokens have been read.
    Reading {
        /// Tokens read.
        done: usize,
        /// Tokens in all.
        total: usize,
    },
    /// More of the reasoning.
    Reasoning(&'a str),
    /// The reasoning is complete; here it is as it counts.
    ReasoningDone(&'a str),
    /// More of the answer. What has been told is never taken back.
    Answer(&'a str),
    /// The draft is complete.
    Written,
}

/// Tokens by what they were for; their sum is the length of the sequence that was decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// The conversation up to the model's turn, and what the runtime writes of the reasoning.
    pub prompt_tokens: usize,
    /// Those of the prompt that were taken from a cache.
    pub cached_tokens: usize,
    /// The reasoning and the marker after it.
    pub reasoning_tokens: usize,
    /// The answer.
    pub answer_tokens: usize,
}

/// Milliseconds. Loading, retrieving and reading the prompt come before the first token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Timings {
    /// Checking and mapping the model.
    pub load_ms: f64,
    /// Looking passages up.
    pub retrieve_ms: f64,
    /// Reading the prompt.
    pub prefill_ms: f64,
    /// From the start of the process to the first token, of reasoning or answer.
    pub first_token_ms: f64,
    /// From the start of the process to the end of the draft.
    pub total_ms: f64,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Draft {
    /// The reasoning; empty where there was none.
    pub reasoning: String,
    /// The answer.
    pub answer: String,
    /// Tokens.
    pub usage: Usage,
    /// Times.
    pub timings: Timings,
    /// Whether the answer ended because its bound was reached.
    pub cut_off: bool,
    /// Whether it was ended because the prompt or the reasoning came again, of which nothing is told.
    pub stopped: bool,
    /// Whether Ctrl-C ended it.
    pub interrupted: bool,
    /// What its tokens were chosen with.
    pub seed: u32,
}

impl Draft {
    /// What there is of a draft that an interruption came before.
    #[must_use]
    pub fn never_begun(seed: u32, clock: Clock) -> Self {
        let total_ms = milliseconds(clock.started);
        let timings = Timings { total_ms, ..clock.timings };
        Self { interrupted: true, seed, timings, ..Self::default() }
    }
}

/// Why there is no draft.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The profile has no documents.
    #[error("the profile of {user:?} is empty")]
    EmptyProfile {
        /// The user.
        user: String,
    },
    /// The profile cannot be read.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The request does not make a prompt.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The model fails.
    #[error(transparent)]
    Llama(#[from] LlamaError),
    /// The model has nothing to say.
    #[error("the model wrote no answer")]
    NoAnswer,
}

impl Explain for GenerateError {
    fn kind(&self) -> &'static str {
        match self {
            Self::EmptyProfile { .. } => "empty_profile",
            Self::Profile(error) => error.kind(),
            Self::Prompt(error) => error.kind(),
            Self::Llama(error) => error.kind(),
            Self::NoAnswer => "no_answer",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::EmptyProfile { .. } => Exit::NotFound,
            Self::Profile(error) => error.exit(),
            Self::Prompt(error) => error.exit(),
            Self::Llama(error) => error.exit(),
            Self::NoAnswer => Exit::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::EmptyProfile { user } => Some(format!(
                "Take in some writing, `restpg-edge ingest --user {user:?} FOLDER`, or write \
                 without it: --no-profile."
            )),
            Self::Profile(error) => error.help(),
            Self::Prompt(error) => error.help(),
            Self::Llama(error) => error.help(),
            Self::NoAnswer => {
                Some("Try another --seed, a higher --temperature or a larger model.".into())
            }
        }
    }
}

/// That there is something to retrieve from.
///
/// # Errors
/// [`GenerateError::EmptyProfile`], or why the profile cannot be read.
pub fn require_documents(store: &ProfileStore) -> Result<(), GenerateError> {
    if store.document_count()? == 0 {
        return Err(GenerateError::EmptyProfile { user: store.user().to_string() });
    }
    Ok(())
}

/// The prompt for the request, within what the context leaves beside reasoning and answer.
///
/// # Errors
/// [`GenerateError::Prompt`].
pub fn compose(
    model: &Model,
    request: &Request<'_>,
    passages: &[Hit],
) -> Result<Prompt, GenerateError> {
    let parts = Parts {
        task: &request.task,
        request: request.prompt,
        passages,
        reasoning: request.reasoning,
    };
    let budget = context_tokens_max(model, request).saturating_sub(output_tokens(request));
    Ok(prompt::assemble(&parts, budget, model)?)
}

impl Measure for Model {
    fn prompt(&self, messages: &[Message], opening: &str) -> usize {
        self.render(messages, opening).len()
    }

    fn text(&self, text: &str) -> usize {
        self.tokenize(text).len()
    }
}

fn context_tokens_max(model: &Model, request: &Request<'_>) -> usize {
    let trained = model.context_tokens_trained();
    let bound = match request.context_tokens {
        0 => trained,
        bound => bound.min(trained),
    };
    bound as usize
}

/// What reasoning and answer may take together.
fn output_tokens(request: &Request<'_>) -> usize {
    let reasoning_tokens = if request.reasoning { request.reasoning_tokens } else { 0 };
    reasoning_tokens as usize + request.answer_tokens as usize
}

/// Writes one draft. `started` is when the process began; `timings` holds what was measured before.
/// Events come as they happen; `interrupt` ends the draft with what there is.
///
/// # Errors
/// [`GenerateError::Llama`] or [`GenerateError::NoAnswer`].
pub fn write(
    model: &Model,
    request: &Request<'_>,
    prompt: &Prompt,
    started: Instant,
    timings: Timings,
    interrupt: &AtomicBool,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Draft, GenerateError> {
    on_event(Event::Prompt(prompt));
    let seed = request.sampling.seed;
    let orders = [Order { prompt, notes: None, seeds: vec![seed] }];
    let slots = Slots { drafts_max: 1, tokens_max: 0 };
    let mut on_event = |_: DraftId, event: Event<'_>| on_event(event);
    let clock = Clock { started, timings };
    let drafts = sample(model, request, &orders, slots, clock, interrupt, &mut on_event)?;
    let draft = drafts.into_iter().flatten().flatten().next();
    let draft = draft.unwrap_or_else(|| Draft::never_begun(seed, clock));
    if draft.answer.is_empty() && !draft.interrupted {
        return Err(GenerateError::NoAnswer);
    }
    Ok(draft)
}

/// When the process began, and what was measured before the drafts.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// When the process began.
    pub started: Instant,
    /// What was measured since.
    pub timings: Timings,
}

/// Writes all drafts of all orders, as many at once as `slots` allow; each prompt is read once.
/// Bounds and sampling are those of `request`, its prompt and seed are not used. A draft that has
/// not begun before an interruption is `None`; one whose answer is empty found nothing to say.
///
/// # Errors
/// [`GenerateError::Llama`].
pub fn sample(
    model: &Model,
    request: &Request<'_>,
    orders: &[Order<'_>],
    slots: Slots,
    clock: Clock,
    interrupt: &AtomicBool,
    on_event: &mut dyn FnMut(DraftId, Event<'_>),
) -> Result<Vec<Vec<Option<Draft>>>, GenerateError> {
    let marker = |order: &Order<'_>| order.prompt.marker.as_deref().map(|it| model.tokenize(it));
    let markers: Vec<Option<Vec<Token>>> = orders.iter().map(marker).collect();
    let given: Vec<Option<Vec<Token>>> = orders.iter().map(|order| given(model, order)).collect();
    let work: Vec<Work> = orders
        .iter()
        .zip(markers.iter().zip(&given))
        .map(|(order, (marker, given))| {
            work(model, request, order, marker.as_deref(), given.as_deref())
        })
        .collect();
    let session = model.session(room(&work, slots, request), request.threads)?;
    let sink: RefCell<&mut OnEvent<'_>> = RefCell::new(on_event);
    let reading: Cell<(usize, Instant)> = Cell::new((0, Instant::now()));
    let read_ms: Vec<Cell<f64>> = orders.iter().map(|_| Cell::new(0.0)).collect();
    let reused: Vec<Cell<usize>> = orders.iter().map(|_| Cell::new(0)).collect();
    let desk = Desk {
        model,
        interrupt,
        begin: &|id: DraftId, decoder| {
            let outline = Outline {
                lead: orders[id.prompt].prompt.lead(),
                marker: markers[id.prompt].as_deref(),
                given: orders[id.prompt].notes.zip(given[id.prompt].as_deref()),
                reasoning_tokens_max: request.reasoning_tokens as usize,
                answer_tokens_max: request.answer_tokens as usize,
            };
            Box::pin(draft::write(decoder, outline, Tell::new(id, &sink)))
        },
        on_reading: &|prompt, done| {
            if reading.get().0 != prompt {
                // It is read beside drafts that still run: from its first piece on.
                reading.set((prompt, Instant::now()));
            }
            read_ms[prompt].set(milliseconds(reading.get().1));
            let event = Event::Reading { done, total: work[prompt].prompt.len() };
            (sink.borrow_mut())(DraftId { prompt, draft: 0 }, event);
        },
        on_reused: &|prompt, n_tokens| reused[prompt].set(n_tokens),
        prefixes: request.prefixes,
    };
    let written = schedule::run(&desk, session, &work)?;
    let finish = |prompt: usize, place: usize, written: Option<Written>| {
        let mut timings = clock.timings;
        timings.prefill_ms = read_ms[prompt].get();
        let seed = orders[prompt].seeds[place];
        written.map(|mut written| {
            written.usage.cached_tokens = reused[prompt].get();
            finished(written, seed, Clock { timings, ..clock })
        })
    };
    Ok(written
        .into_iter()
        .enumerate()
        .map(|(prompt, drafts)| {
            let drafts = drafts.into_iter().enumerate();
            drafts.map(|(place, written)| finish(prompt, place, written)).collect()
        })
        .collect())
}

fn finished(written: Written, seed: u32, clock: Clock) -> Draft {
    let since_start = |at: Instant| at.duration_since(clock.started).as_secs_f64() * 1e3;
    let mut timings = clock.timings;
    timings.first_token_ms = written.first_token.map_or(0.0, since_start);
    timings.total_ms = since_start(written.ended);
    Draft {
        reasoning: written.reasoning,
        answer: written.answer.text,
        usage: written.usage,
        timings,
        cut_off: written.answer.cut_off,
        stopped: written.answer.stopped,
        interrupted: written.interrupted,
        seed,
    }
}

/// The tokens of the reasoning that is given, after what the prompt ends with.
fn given(model: &Model, order: &Order<'_>) -> Option<Vec<Token>> {
    let notes = order.notes?;
    Some(model.tokenize(order.prompt.own_notes(notes)))
}

/// The tokens of an order's prompt, and what each of its drafts may take.
fn work(
    model: &Model,
    request: &Request<'_>,
    order: &Order<'_>,
    marker: Option<&[Token]>,
    given: Option<&[Token]>,
) -> Work {
    let notes = given.map_or(request.reasoning_tokens as usize, <[Token]>::len);
    let reasoning_tokens = marker.map_or(0, |marker| notes + marker.len());
    Work {
        prompt: model.render(&order.prompt.messages, &order.prompt.opening),
        draft_tokens_max: reasoning_tokens + request.answer_tokens as usize,
        drafts: order.seeds.iter().map(|&seed| Sampling { seed, ..request.sampling }).collect(),
    }
}

/// A session just large enough: as many drafts at once as are wanted and allowed, with the prompts
/// that they may belong to, and one more sequence that reads prompts.
fn room(work: &[Work], slots: Slots, request: &Request<'_>) -> Room {
    let wanted: usize = work.iter().map(|work| work.drafts.len()).sum();
    let batch_tokens = request.batch_tokens as usize;
    let drafts_max = slots.drafts_max.min(wanted).min(batch_tokens).max(1);
    let sizes = |drafts: usize| tokens_needed(work, drafts);
    // Fewer at once, until they fit.
    let drafts = (1..=drafts_max).rev().find(|&n| n == 1 || sizes(n) <= slots.tokens_max);
    let drafts = drafts.unwrap_or(1);
    let tokens = u32::try_from(sizes(drafts)).unwrap_or(u32::MAX);
    let tokens = tokens.checked_next_multiple_of(CONTEXT_STEP_TOKENS).unwrap_or(tokens);
    Room {
        tokens,
        sequences: u32::try_from(drafts + 1).unwrap_or(u32::MAX),
        batch_tokens: request.batch_tokens.min(tokens),
        cache: request.cache,
    }
}

/// Tokens of the cache that so many drafts at once take at most, and the prompt that is read
/// meanwhile.
fn tokens_needed(work: &[Work], drafts: usize) -> usize {
    let fewest = work.iter().map(|work| work.drafts.len()).min().unwrap_or(1).max(1);
    let mut prompts: Vec<usize> = work.iter().map(|work| work.prompt.len()).collect();
    prompts.sort_unstable_by(|a, b| b.cmp(a));
    let at_once = drafts.div_ceil(fewest) + usize::from(drafts > 1);
    let draft_tokens = work.iter().map(|work| work.draft_tokens_max).max().unwrap_or(0);
    prompts.iter().take(at_once).sum::<usize>() + drafts * draft_tokens
}

/// Milliseconds since `start`.
#[must_use]
pub fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
