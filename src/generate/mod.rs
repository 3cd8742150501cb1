//! From a request to a draft: retrieve, prompt, reason, answer; told as events.
//!
//! Knows nothing of terminals. Reasoning and answer are decoded in one KV cache: the model writes
//! its reasoning up to its natural end or its budget, the runtime appends the marker, the model
//! writes the answer.

mod answer;
mod decoder;
mod reasoning;
mod stream;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::Serialize;

use crate::error::{Exit, Explain};
use crate::llama::{LlamaError, Message, Model, Sampling, Session};
use crate::profile::{Hit, ProfileError, ProfileStore};
use crate::prompt::{self, LeftOut, Measure, Parts, Prompt, PromptError};
use crate::task::Task;

use answer::Answer;
use decoder::Decoder;

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
    /// Threads of the CPU.
    pub threads: u32,
    /// How tokens are chosen.
    pub sampling: Sampling,
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
}

/// Tokens by what they were for; their sum is the length of the sequence that was decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// The conversation up to the model's turn, the opening phrase of the reasoning included.
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
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The reasoning; empty where there was none.
    pub reasoning: String,
    /// The answer.
    pub answer: String,
    /// What did not fit the context.
    pub truncated: Vec<LeftOut>,
    /// Tokens.
    pub usage: Usage,
    /// Times.
    pub timings: Timings,
    /// Whether the answer ended because its bound was reached.
    pub cut_off: bool,
    /// Whether Ctrl-C ended it.
    pub interrupted: bool,
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

/// Writes the draft. `started` is when the process began; `timings` holds what was measured
/// before. Events come as they happen; `interrupt` ends the draft with what there is.
///
/// # Errors
/// [`GenerateError::Llama`] or [`GenerateError::NoAnswer`].
pub fn write(
    model: &Model,
    request: &Request<'_>,
    prompt: &Prompt,
    started: Instant,
    mut timings: Timings,
    interrupt: &AtomicBool,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Draft, GenerateError> {
    on_event(Event::Prompt(prompt));
    let tokens = model.render(&prompt.messages, &prompt.opening);
    let marker = prompt.marker.as_deref().map(|marker| model.tokenize(marker));
    let fixed_tokens = tokens.len() + marker.as_ref().map_or(0, Vec::len);
    let mut session = open_session(model, request, fixed_tokens)?;
    let prefill_started = Instant::now();
    let whole = session.extend(&tokens, &mut |done| {
        on_event(Event::Reading { done, total: tokens.len() });
        !interrupt.load(Ordering::Relaxed)
    })?;
    timings.prefill_ms = milliseconds(prefill_started);
    let mut usage = Usage { prompt_tokens: session.len(), ..Usage::default() };
    let mut decoder = Decoder::new(model, session, request.sampling, interrupt);
    let mut reasoning = String::new();
    if let (true, Some(marker)) = (whole, &marker) {
        let tokens_max = request.reasoning_tokens as usize;
        reasoning = reasoning::write(&mut decoder, prompt.lead(), tokens_max, marker, on_event)?;
        on_event(Event::ReasoningDone(&reasoning));
        usage.reasoning_tokens = decoder.len() - usage.prompt_tokens;
    }
    let before_answer = decoder.len();
    let answer = if decoder.interrupted() {
        Answer::default()
    } else {
        answer::write(&mut decoder, &reasoning, request.answer_tokens as usize, on_event)?
    };
    usage.answer_tokens = decoder.len() - before_answer;
    timings.first_token_ms =
        decoder.first_token().map_or(0.0, |at| at.duration_since(started).as_secs_f64() * 1e3);
    timings.total_ms = milliseconds(started);
    let interrupted = decoder.interrupted();
    if answer.text.is_empty() && !interrupted {
        return Err(GenerateError::NoAnswer);
    }
    Ok(Draft {
        reasoning,
        answer: answer.text,
        truncated: prompt.truncated.clone(),
        usage,
        timings,
        cut_off: answer.cut_off,
        interrupted,
    })
}

/// Milliseconds since `start`.
#[must_use]
pub fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// A session just large enough.
fn open_session<'model>(
    model: &'model Model,
    request: &Request<'_>,
    fixed_tokens: usize,
) -> Result<Session<'model>, LlamaError> {
    let needed = fixed_tokens + output_tokens(request);
    let needed = u32::try_from(needed).unwrap_or(u32::MAX);
    let context_tokens = needed.checked_next_multiple_of(CONTEXT_STEP_TOKENS).unwrap_or(needed);
    let batch_tokens = request.batch_tokens.min(context_tokens);
    model.session(context_tokens, batch_tokens, request.threads)
}
