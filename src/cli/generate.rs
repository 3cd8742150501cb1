//! `restpg-edge generate …`

use std::io::{IsTerminal, Read};
use std::sync::atomic::Ordering;
use std::time::Instant;

use indicatif::ProgressBar;
use serde::Serialize;

use super::args::GenerateArguments;
use super::best_of::{BestOf, Graded, Jury};
use super::fit;
use super::interrupt::{self, INTERRUPT};
use super::output::Output;
use super::retrieval;
use super::{Context, adapter};
use crate::catalogue::{ModelStore, Use};
use crate::config::Config;
use crate::error::{Error, Exit, Explain};
use crate::generate::{self, Draft, Event, Request, Timings, Usage, milliseconds};
use crate::llama::{self, AdapterSource, CacheType, Model, Runtime, Sampling};
use crate::profile::{Hit, NewDraft, Prefixes, ProfileStore, User};
use crate::prompt::{LeftOut, Prompt};
use crate::retrieve::{self, Query};
use crate::task::Task;

/// llama.cpp takes the seed after this one for "choose one".
pub(super) const SEED_MAX: u32 = u32::MAX - 1;
/// A longer request is refused before it is tokenized.
const PROMPT_BYTES_MAX: u64 = 1 << 20;

/// What is wrong with the request as it was given.
#[derive(Debug, thiserror::Error)]
enum InputError {
    #[error("there is no prompt")]
    Missing,
    #[error("standard input cannot be read")]
    Stdin(#[source] std::io::Error),
    #[error("standard input is not UTF-8 text")]
    NotText,
    #[error("the prompt on standard input is longer than {PROMPT_BYTES_MAX} bytes")]
    TooLong,
}

impl Explain for InputError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "empty_prompt",
            Self::Stdin(_) | Self::NotText => "unreadable_stdin",
            Self::TooLong => "prompt_too_long",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Missing => Exit::Usage,
            Self::Stdin(_) | Self::NotText | Self::TooLong => Exit::InvalidData,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Missing => {
                Some("Say what to write, as an argument or on standard input with `-`.".into())
            }
            Self::Stdin(_) | Self::NotText => None,
            Self::TooLong => {
                Some("Shorten it; take long texts in with `restpg-edge ingest`.".into())
            }
        }
    }
}

/// A passage that the draft was written from.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Citation {
    /// The document's id.
    document: String,
    /// The document's title.
    title: Option<String>,
    /// Its score in retrieval.
    score: f64,
}

/// `generate --json`.
#[derive(Serialize)]
struct Report<'a> {
    user: &'a str,
    prompt: &'a str,
    task: &'a str,
    reasoning: &'a str,
    answer: &'a str,
    citations: &'a [Citation],
    model: &'a str,
    adapter: Option<&'a str>,
    /// The id that `feedback` knows it by; `None`: it was not kept.
    draft: Option<&'a str>,
    seed: u32,
    usage: Usage,
    timings: Timings,
    truncated: &'a [LeftOut],
    /// All drafts with their scores, where there were several.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    drafts: &'a [Graded],
}

pub(super) fn run(
    mut context: Context,
    arguments: Box<GenerateArguments>,
) -> Result<Option<Exit>, Error> {
    let prompt = read_prompt(arguments.prompt.as_deref())?;
    // Only now: while the prompt is typed, Ctrl-C simply ends the program.
    interrupt::install();
    apply_flags(&mut context.config, &arguments);
    context.config.check()?;
    let context = context;
    let config = &context.config;
    let user = User::parse(&arguments.user)?;
    let request = request(config, &arguments, &prompt)?;

    // What is missing is said before anything slow happens.
    let mut store = if arguments.no_profile {
        None
    } else {
        Some(ProfileStore::open(&context.paths, &user, &context.secrets)?)
    };
    let jury = match arguments.best_of {
        1 => Jury::Nobody,
        _ => Jury::of(&context)?,
    };
    let purpose = if arguments.best_of == 1 { Use::Generate } else { Use::Sample };
    let models = ModelStore::new(&context.paths.models);
    let resolved = models.resolve_for(&config.model.name, purpose, llama::VERSION)?;
    let adapter = match &store {
        Some(store) => {
            adapter::chosen(&context, store, arguments.adapter.as_deref(), &resolved.manifest)?
        }
        None => None,
    };
    if let Some(adapter) = &adapter {
        adapter::note_other_layout(&context, &arguments.user, adapter);
    }
    let adapter_id = adapter.as_ref().map(|adapter| adapter.id.as_str());
    let computes = format!("{} {}", resolved.sha256, adapter_id.unwrap_or("none"));
    let prefixes = store.as_ref().and_then(|store| prefixes(config, store, &computes));
    let request = Request { prefixes: prefixes.as_ref(), ..request };
    let mut timings = Timings::default();
    let retrieve_started = Instant::now();
    let mut runtime = None;
    let hits = match &store {
        Some(store) => {
            generate::require_documents(store)?;
            let query = Query {
                text: &prompt,
                kind: request.task.kind.as_deref(),
                recipient: arguments.to.as_deref(),
                ..Query::default()
            };
            let choose = retrieve::retrieve_to_write;
            let found = retrieval::find(&context, store, &mut runtime, &query, request.k, choose)?;
            found.into_iter().map(|found| found.hit).collect()
        }
        None => Vec::new(),
    };
    timings.retrieve_ms = milliseconds(retrieve_started);

    let bar = context.output.count_bar("loading the model");
    let load_started = Instant::now();
    let runtime = match runtime {
        Some(runtime) => runtime,
        None => Runtime::start()?,
    };
    let adapter_content =
        adapter.as_ref().zip(store.as_ref()).map(|(it, store)| store.adapter_content(&it.id));
    let adapter_content = adapter_content.transpose()?;
    let wanted = fit::Wanted {
        request: &request,
        hits: &hits,
        n_drafts: arguments.best_of,
        adapter_bytes: adapter_content.as_ref().map_or(0, |content| content.len() as u64),
    };
    fit::require(config, &models, &runtime, &resolved, wanted)?;
    let source = adapter_content.as_deref().map(AdapterSource::Bytes);
    let model = Model::load_adapted(runtime, &resolved.file, source)?;
    drop(adapter_content);
    timings.load_ms = milliseconds(load_started);
    let composed = generate::compose(&model, &request, &hits)?;
    bar.set_message("reading");
    let (draft, graded) = if arguments.best_of == 1 {
        let mut screen = Screen::new(&context.output, &arguments, bar);
        let draft = generate::write(
            &model,
            &request,
            &composed,
            context.started,
            timings,
            &INTERRUPT,
            &mut |event| screen.show(&event),
        );
        screen.finish()?;
        (draft?, Vec::new())
    } else {
        let mut screen = Screen::new(&context.output, &arguments, bar);
        screen.show(&Event::Prompt(&composed));
        let desk = BestOf {
            context: &context,
            model: &model,
            request: &request,
            store: store.as_ref(),
            jury,
        };
        let passages = &hits[..composed.passages_used];
        let chosen = desk.write(&composed, passages, arguments.best_of, timings, &screen.bar);
        screen.bar.finish_and_clear();
        let (draft, graded) = chosen?;
        screen.show_whole(&draft);
        screen.finish()?;
        (draft, graded)
    };
    let citations = cite(&hits[..composed.passages_used]);
    let documents: Vec<String> =
        citations.iter().map(|citation| citation.document.clone()).collect();
    let new = NewDraft {
        request: request.prompt,
        task: request.task.name,
        recipient: arguments.to.as_deref(),
        reasoning: &draft.reasoning,
        answer: &draft.answer,
        model: &resolved.sha256,
        adapter: adapter_id,
        documents: &documents,
    };
    let kept = match &mut store {
        Some(store) if !draft.interrupted => keep(&context, store, &new),
        _ => None,
    };
    if context.output.json {
        context.output.object(&Report {
            user: user.as_str(),
            prompt: &prompt,
            task: request.task.name,
            reasoning: &draft.reasoning,
            answer: &draft.answer,
            citations: &citations,
            model: &config.model.name,
            adapter: adapter_id,
            draft: kept.as_deref(),
            seed: draft.seed,
            usage: draft.usage,
            timings: draft.timings,
            truncated: &composed.truncated,
            drafts: &graded,
        })?;
    }
    notes(&context.output, &draft, &composed);
    if let Some(id) = &kept
        && context.output.watched()
        && !context.output.json
    {
        context.output.note(&format!(
            "draft {id}; `restpg-edge feedback --user {:?}` says what becomes of it",
            arguments.user
        ));
    }
    // Also where the drafts were complete and only their grades were not.
    let interrupted = draft.interrupted || INTERRUPT.load(Ordering::Relaxed);
    Ok(interrupted.then_some(Exit::Interrupted))
}

/// Keeps a whole draft in the profile; its id. That it cannot be kept costs nobody the draft.
fn keep(context: &Context, store: &mut ProfileStore, draft: &NewDraft<'_>) -> Option<String> {
    let kept_max = context.config.generate.drafts_kept;
    if kept_max == 0 || draft.answer.is_empty() {
        return None;
    }
    match store.keep_draft(draft, kept_max) {
        Ok(kept) => kept,
        Err(error) => {
            let why = Error::from(error).message();
            context.output.note(&format!("note: the draft was not kept: {why}"));
            None
        }
    }
}

fn cite(hits: &[Hit]) -> Vec<Citation> {
    let cite = |hit: &Hit| Citation {
        document: hit.document.clone(),
        title: hit.title.clone(),
        score: hit.score,
    };
    hits.iter().map(cite).collect()
}

fn read_prompt(argument: Option<&str>) -> Result<String, InputError> {
    let prompt = match argument {
        Some("-") => read_stdin()?,
        Some(prompt) => prompt.to_owned(),
        None if std::io::stdin().is_terminal() => String::new(),
        None => read_stdin()?,
    };
    if prompt.trim().is_empty() {
        return Err(InputError::Missing);
    }
    Ok(prompt.trim().to_owned())
}

fn read_stdin() -> Result<String, InputError> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(PROMPT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(InputError::Stdin)?;
    if bytes.len() as u64 > PROMPT_BYTES_MAX {
        return Err(InputError::TooLong);
    }
    String::from_utf8(bytes).map_err(|_| InputError::NotText)
}

fn apply_flags(config: &mut Config, arguments: &GenerateArguments) {
    fn set<T: Clone>(setting: &mut T, flag: Option<&T>) {
        if let Some(value) = flag {
            setting.clone_from(value);
        }
    }
    set(&mut config.model.name, arguments.model.as_ref());
    let generate = &mut config.generate;
    set(&mut generate.temperature, arguments.temperature.as_ref());
    set(&mut generate.top_p, arguments.top_p.as_ref());
    set(&mut generate.top_k, arguments.top_k.as_ref());
    set(&mut generate.min_p, arguments.min_p.as_ref());
    set(&mut generate.repeat_penalty, arguments.repeat_penalty.as_ref());
    set(&mut generate.dry_multiplier, arguments.dry_multiplier.as_ref());
    generate.reasoning &= !arguments.no_reasoning;
}

fn request<'a>(
    config: &Config,
    arguments: &GenerateArguments,
    prompt: &'a str,
) -> Result<Request<'a>, Error> {
    // The argument parser knows the same names.
    let task = Task::named(&arguments.task).ok_or(InputError::Missing)?;
    let generate = &config.generate;
    let k = arguments.k.or(task.k).unwrap_or(config.retrieve.k);
    let answer_tokens =
        arguments.max_tokens.or(task.answer_tokens).unwrap_or(generate.answer_tokens);
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => random_seed(),
    };
    Ok(Request {
        prompt,
        task,
        k: k as usize,
        reasoning: generate.reasoning,
        reasoning_tokens: generate.reasoning_tokens,
        answer_tokens,
        context_tokens: config.model.context_tokens,
        batch_tokens: config.model.batch_tokens,
        // The settings were checked for other names.
        cache: CacheType::named(&config.model.cache_type).unwrap_or_default(),
        threads: llama::threads(config.model.threads),
        sampling: Sampling {
            temperature: generate.temperature,
            top_k: generate.top_k,
            top_p: generate.top_p,
            min_p: generate.min_p,
            repeat_penalty: generate.repeat_penalty,
            repeat_window_tokens: generate.repeat_window_tokens,
            dry_multiplier: generate.dry_multiplier,
            seed,
        },
        prefixes: None,
    })
}

/// The prompts that were read before by what `computes`: the hash of the model's file, and the
/// adapter.
fn prefixes(config: &Config, store: &ProfileStore, computes: &str) -> Option<Prefixes> {
    let model = &config.model;
    let identity = format!("{computes} {} {}", model.cache_type, llama::VERSION);
    store.prefixes(identity, u64::from(model.prefix_cache_mib_max) << 20)
}

/// A seed that differs from run to run; the time serves where the system has no randomness.
fn random_seed() -> u32 {
    let seed = getrandom::u32().unwrap_or_else(|_| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |time| time.subsec_nanos())
    });
    seed.min(SEED_MAX)
}

/// Shows a draft as it comes into being.
struct Screen<'a> {
    output: &'a Output,
    show_prompt: bool,
    show_reasoning: bool,
    bar: ProgressBar,
    written: Result<(), Error>,
    answer_began: bool,
}

impl<'a> Screen<'a> {
    fn new(output: &'a Output, arguments: &GenerateArguments, bar: ProgressBar) -> Self {
        Self {
            output,
            show_prompt: arguments.show_prompt,
            show_reasoning: arguments.show_reasoning || output.watched(),
            bar,
            written: Ok(()),
            answer_began: false,
        }
    }

    fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Prompt(prompt) => {
                if self.show_prompt {
                    self.bar.suspend(|| self.output.aside(&shown(prompt)));
                }
            }
            Event::Reading { done, total } => {
                self.bar.set_length(*total as u64);
                self.bar.set_position(*done as u64);
                if done == total {
                    self.bar.finish_and_clear();
                }
            }
            Event::Reasoning(text) => {
                if self.show_reasoning {
                    self.output.aside(text);
                }
            }
            Event::ReasoningDone(_) => {
                if self.show_reasoning {
                    self.output.aside("\n\n");
                }
            }
            Event::Written => {}
            Event::Answer(text) => {
                self.answer_began = true;
                if !self.output.json && self.written.is_ok() {
                    self.written = self.output.text(text);
                    if self.written.is_err() {
                        // Nobody reads on: there is nothing left to write for.
                        INTERRUPT.store(true, Ordering::Relaxed);
                    }
                }
            }
        }
    }

    /// A draft that was not shown as it came into being.
    fn show_whole(&mut self, draft: &Draft) {
        if !draft.reasoning.is_empty() {
            self.show(&Event::Reasoning(&draft.reasoning));
            self.show(&Event::ReasoningDone(&draft.reasoning));
        }
        if !draft.answer.is_empty() {
            self.show(&Event::Answer(&draft.answer));
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.bar.finish_and_clear();
        std::mem::replace(&mut self.written, Ok(()))?;
        if self.answer_began && !self.output.json {
            self.output.line("")?;
        }
        Ok(())
    }
}

fn shown(prompt: &Prompt) -> String {
    let turns: Vec<&str> = prompt.messages.iter().map(|message| message.text.as_str()).collect();
    let marker = prompt.marker.as_deref().unwrap_or_default();
    format!("{}\n\n{} …{marker}", turns.join("\n\n"), prompt.opening.trim_end())
}

/// What a person should know besides the answer.
fn notes(output: &Output, draft: &Draft, prompt: &Prompt) {
    for left_out in &prompt.truncated {
        let title = left_out.title.as_deref().unwrap_or("untitled");
        output.note(&format!(
            "note: a passage of {} ({title}) did not fit the context and was left out",
            left_out.document
        ));
    }
    if draft.cut_off && !draft.interrupted {
        output.note("note: the answer reached its longest length; --max-tokens allows more");
    }
    if draft.interrupted {
        output.note("interrupted; this is what was written so far");
    }
    if output.watched() && !output.json {
        output.note(&speed(draft));
    }
}

fn speed(draft: &Draft) -> String {
    let Draft { usage, timings, .. } = draft;
    let written = usage.reasoning_tokens + usage.answer_tokens;
    let writing_ms = (timings.total_ms - timings.first_token_ms).max(1.0);
    format!(
        "{} prompt tokens, {} of them read before, {written} written at {:.0} tokens/s, first after \
         {:.1} s, {:.1} s in all",
        usage.prompt_tokens,
        usage.cached_tokens,
        written as f64 / writing_ms * 1e3,
        timings.first_token_ms / 1e3,
        timings.total_ms / 1e3
    )
}
