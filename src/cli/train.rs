//! `restpg-edge train …`: a run begun, taken up or planned, and what came of it.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::interrupt::{self, INTERRUPT};
use super::manners::Manners;
use super::stages::Stages;
use super::train_arguments::{RunArguments, TrainArguments, TrainCommand};
use super::trainer::Trainer;
use super::{Context, retrieval, train_plan, train_show};
use crate::config::{Config, TrainConfig, decimal};
use crate::error::{Error, Exit, Explain};
use crate::metrics::StyleProfile;
use crate::profile::{
    AdapterState, Document, KeptDraft, Known, ProfileError, ProfileStore, Run, User, Verdict,
};
use crate::prompt::LAYOUT;
use crate::selftrain::{
    self, InUse, Journal, LEARNED, OUTCOME, Origin, Outcome, PairRules, Pairs, Progress,
    TrainError, key, scrub,
};

/// Texts to learn from, at least.
const TRAINED_MIN: usize = 4;
/// Stages of the journal.
pub(super) const BEGUN: &str = "begun";
const IN_USE: &str = "adapter in use";

/// A run stands in the way, or there is none.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("a run of {begun_at} was stopped before its end")]
    UnderWay { user: String, begun_at: String },
    #[error("the run was begun with other settings than this version of the program has")]
    OtherVersion { user: String },
    #[error("the run was begun with other models than are here now")]
    OtherFiles { user: String },
    #[error("the last run of {user:?} ended without a result: nothing could be learned")]
    CameToNothing { user: String },
    #[error("another process trains on the profile of {user:?}")]
    Busy { user: String },
}

impl Explain for RunError {
    fn kind(&self) -> &'static str {
        match self {
            Self::UnderWay { .. } => "run_under_way",
            Self::OtherVersion { .. } => "other_version",
            Self::OtherFiles { .. } => "other_models",
            Self::CameToNothing { .. } => "came_to_nothing",
            Self::Busy { .. } => "training_busy",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::UnderWay { .. } => Exit::Usage,
            Self::OtherVersion { .. }
            | Self::OtherFiles { .. }
            | Self::CameToNothing { .. }
            | Self::Busy { .. } => Exit::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::UnderWay { user, .. } => format!(
                "`restpg-edge train --user {user:?} --resume` goes on with it; --anew begins \
                 another instead."
            ),
            Self::OtherVersion { user } => {
                format!("`restpg-edge train --user {user:?} --anew` begins another.")
            }
            Self::OtherFiles { user } => format!(
                "A model was pulled or tuned anew, or the embedding model has come or gone. Bring \
                 it back, or begin another run: `restpg-edge train --user {user:?} --anew`."
            ),
            Self::CameToNothing { user } => format!(
                "`restpg-edge train show --user {user:?}` has what it came to; `restpg-edge train \
                 --user {user:?}` begins another, perhaps with more writing or other settings."
            ),
            Self::Busy { .. } => {
                "Wait for it, or stop it with Ctrl-C: it keeps what it has done.".into()
            }
        })
    }
}

pub(super) fn run(context: Context, arguments: TrainArguments) -> Result<Option<Exit>, Error> {
    match arguments.command {
        Some(TrainCommand::Show { user, round, request }) => {
            train_show::show(&context, &user, round, request)
        }
        Some(TrainCommand::Remove { user }) => train_show::remove(&context, &user),
        None => train(context, &arguments.run),
    }
}

fn train(mut context: Context, arguments: &RunArguments) -> Result<Option<Exit>, Error> {
    interrupt::install();
    let usual_model = context.config.model.name.clone();
    apply_flags(&mut context.config, arguments);
    context.config.check()?;
    // The parser asks for it.
    let user = User::parse(arguments.user.as_deref().unwrap_or_default())?;
    let mut store = ProfileStore::open(&context.paths, &user, &context.secrets)?;
    if arguments.dry_run {
        return train_plan::plan(&context, &store);
    }
    let _lock = lock(&store)?;
    let earlier = match earlier_run(&mut store, arguments)? {
        Earlier::Done(_, None) => {
            return Err(RunError::CameToNothing { user: user.to_string() }.into());
        }
        Earlier::Done(run, Some(outcome)) => {
            context.output.note("nothing to go on with: the last run came to its end");
            // They name the model; what was found can be told without.
            if let Ok(settings) = settings_of(&run, &context.config, &user) {
                context.config = settings;
            }
            report(&context, &store, &outcome, &usual_model)?;
            return Ok(None);
        }
        Earlier::UnderWay(run) => Some(run),
        Earlier::None => {
            if arguments.resume {
                context.output.note("no run to go on with: this one begins");
            }
            None
        }
    };
    if let Some(run) = &earlier {
        context.config = settings_of(run, &context.config, &user)?;
    }
    context.config.reward.require_training()?;
    retrieval::index_after_ingest(&context, &mut store);
    // Passages that were found by half an index would be kept.
    if INTERRUPT.load(Ordering::Relaxed) {
        return stopped(&context, &user, earlier.is_some());
    }
    match train_in(&context, &mut store, earlier) {
        Err(error) if error.inner().kind() == TrainError::Stopped.kind() => {
            stopped(&context, &user, true)
        }
        Err(error) => Err(error),
        Ok(outcome) => {
            report(&context, &store, &outcome, &usual_model)?;
            Ok(None)
        }
    }
}

/// Says how to go on after Ctrl-C.
fn stopped(context: &Context, user: &User, is_begun: bool) -> Result<Option<Exit>, Error> {
    let user = user.as_str();
    context.output.note(&match is_begun {
        true => {
            format!("stopped; `restpg-edge train --user {user:?} --resume` goes on where it was")
        }
        false => "stopped before a run was begun; the same command begins it".to_owned(),
    });
    if context.output.json {
        context.output.object(&json!({"user": user, "outcome": null}))?;
    }
    Ok(Some(Exit::Interrupted))
}

/// Keeps other commands of training from the profile while it is held; what forgets may still take the
/// run away.
pub(super) fn lock(store: &ProfileStore) -> Result<File, Error> {
    let busy = || RunError::Busy { user: store.user().to_string() };
    Ok(store.lock_training()?.ok_or_else(busy)?)
}

fn apply_flags(config: &mut Config, arguments: &RunArguments) {
    fn set<T: Clone>(setting: &mut T, flag: Option<&T>) {
        if let Some(value) = flag {
            setting.clone_from(value);
        }
    }
    set(&mut config.model.name, arguments.model.as_ref());
    let train = &mut config.train;
    set(&mut train.rounds, arguments.rounds.as_ref());
    set(&mut train.samples, arguments.samples.as_ref());
    set(&mut train.seed, arguments.seed.as_ref());
    set(&mut train.hours_max, arguments.max_hours.as_ref());
    set(&mut train.nice, arguments.nice.as_ref());
}

/// What there is to go on with.
enum Earlier {
    /// Nothing, or it is not wanted.
    None,
    /// A run that was stopped.
    UnderWay(Run),
    /// A run that has come to its end, with what it came to.
    Done(Run, Option<Outcome>),
}

fn earlier_run(store: &mut ProfileStore, arguments: &RunArguments) -> Result<Earlier, Error> {
    let Some(run) = store.runs()?.pop() else { return Ok(Earlier::None) };
    match (run.is_done, arguments.resume) {
        (true, true) => {
            let outcome = Journal::new(store, run.id.clone()).get(OUTCOME, "")?;
            Ok(Earlier::Done(run, outcome))
        }
        (true, false) => Ok(Earlier::None),
        (false, true) => Ok(Earlier::UnderWay(run)),
        // It goes when the other has begun.
        (false, false) if arguments.anew => Ok(Earlier::None),
        (false, false) => {
            let user = store.user().to_string();
            Err(RunError::UnderWay { user, begun_at: run.begun_at }.into())
        }
    }
}

/// The settings that a run was begun with; how the machine is treated is as it is wanted now.
pub(super) fn settings_of(run: &Run, now: &Config, user: &User) -> Result<Config, Error> {
    let settings: Result<Config, _> = serde_json::from_value(run.settings.clone());
    let mut config =
        settings.map_err(|_| RunError::OtherVersion { user: user.as_str().to_owned() })?;
    let TrainConfig { hours_max, nice, ref on_battery, battery_percent_min, .. } = now.train;
    config.train = TrainConfig {
        hours_max,
        nice,
        on_battery: on_battery.clone(),
        battery_percent_min,
        ..config.train
    };
    config.model.memory_mib_max = now.model.memory_mib_max;
    Ok(config)
}

/// What a profile has to learn from, without secrets where the settings say so.
pub(super) struct Material {
    pub(super) pairs: Pairs,
    /// The ids of all documents.
    documents: Vec<String>,
    style: Option<StyleProfile>,
    rejected: Vec<String>,
    /// Secrets that were hidden.
    pub(super) secrets: usize,
}

impl Material {
    pub(super) fn of(store: &ProfileStore, settings: &TrainConfig) -> Result<Self, ProfileError> {
        let (mut documents, mut drafts) = (store.documents()?, store.drafts()?);
        let mut secrets = 0;
        if settings.scrub {
            let mut hide = |text: &mut String| {
                let (hidden, found) = scrub(text);
                secrets += found;
                *text = hidden.into_owned();
            };
            for document in &mut documents {
                hide(&mut document.text);
                document.title.as_mut().map(&mut hide);
                document.context.as_mut().map(&mut hide);
            }
            for draft in &mut drafts {
                hide(&mut draft.request);
                hide(&mut draft.answer);
                if let Some(Verdict::Edited { final_text }) = &mut draft.verdict {
                    hide(final_text);
                }
            }
        }
        let pairs = selftrain::pairs(&documents, &drafts, &rules(settings));
        let style = style(&documents, &pairs);
        let documents = documents.into_iter().map(|document| document.id).collect();
        let is_rejected = |draft: &KeptDraft| matches!(draft.verdict, Some(Verdict::Rejected));
        let rejected = drafts.into_iter().filter(is_rejected).map(|draft| draft.answer).collect();
        Ok(Self { pairs, documents, style, rejected, secrets })
    }
}

fn rules(settings: &TrainConfig) -> PairRules {
    PairRules {
        words_min: settings.words_min as usize,
        words_max: settings.words_max as usize,
        held_out_share: decimal(settings.held_out_share),
        held_out_min: settings.held_out_min as usize,
        held_out_max: settings.held_out_max as usize,
        trained_max: settings.pairs_max as usize,
    }
}

/// That there is enough to learn from and to prove it on.
pub(super) fn require_enough(
    store: &ProfileStore,
    train: usize,
    held_out: usize,
    settings: &TrainConfig,
) -> Result<(), TrainError> {
    let held_out_min = settings.held_out_min as usize;
    if train >= TRAINED_MIN && held_out >= held_out_min {
        return Ok(());
    }
    let user = store.user().to_string();
    Err(TrainError::TooFew { user, train, held_out, train_min: TRAINED_MIN, held_out_min })
}

/// The style of what is not held out, nor related to it.
fn style(documents: &[Document], pairs: &Pairs) -> Option<StyleProfile> {
    let kept_away: HashSet<&str> = pairs.kept_away.iter().map(String::as_str).collect();
    let known = documents.iter().filter(|document| !kept_away.contains(document.id.as_str()));
    StyleProfile::of(known.map(|document| document.text.as_str()))
}

fn train_in(
    context: &Context,
    store: &mut ProfileStore,
    earlier: Option<Run>,
) -> Result<Outcome, Error> {
    // Before any thread is begun: those inherit its priority.
    let manners = Manners::new(&context.output, &context.config.train);
    let trainer = Trainer::open(context)?;
    let run = match earlier {
        Some(run) => run.id,
        None => begin(context, store, &trainer)?,
    };
    let vectors = trainer.embed().map(|it| store.vectors(&it.info().sha256)).transpose()?;
    let mut journal = Journal::new(store, run);
    let begun: Begun = journal.get(BEGUN, "")?.ok_or_else(|| other_version(&journal))?;
    let user = journal.store().user().to_string();
    begun.require_layout(&user)?;
    if begun.files != trainer.files {
        return Err(RunError::OtherFiles { user }.into());
    }
    let in_use = match begun.in_use_reasons {
        Some(reasoning) => journal.bytes(IN_USE, "")?.map(|content| {
            let learned = begun.in_use_learned.clone();
            let learned = learned.unwrap_or_else(|| names_of(&begun.in_use_documents));
            InUse { content, reasoning, learned }
        }),
        None => None,
    };
    let styles = [begun.style];
    let stages = Stages::new(&context.output);
    let (breathe, tell) = (|| manners.breathe(), |progress: Progress<'_>| stages.show(progress));
    let workshop = trainer.workshop(context, &styles, &begun.rejected, &breathe, &tell);
    let (pairs, known) = (&begun.pairs.pairs, &begun.documents);
    let settings = &context.config.train;
    let ended = selftrain::items(&workshop, &mut journal, pairs, known, vectors.as_ref()).and_then(
        |items| {
            let held_out = items.iter().filter(|item| item.held_out).count();
            let learned = items.len() - held_out;
            require_enough(journal.store(), learned, held_out, settings)?;
            selftrain::train(&workshop, &mut journal, &items, in_use.as_ref())
        },
    );
    stages.finish();
    if ended.as_ref().is_err_and(selftrain::would_end_so_again) {
        // Why it ended is what the person has to know.
        drop(journal.finish());
    }
    ended
}

fn other_version(journal: &Journal<'_>) -> RunError {
    RunError::OtherVersion { user: journal.store().user().to_string() }
}

/// What a run is begun with and keeps to.
#[derive(Serialize, Deserialize)]
pub(super) struct Begun {
    layout: u32,
    pairs: Pairs,
    documents: Vec<String>,
    pub(super) style: Option<StyleProfile>,
    /// Drafts that the person has rejected.
    rejected: Vec<String>,
    pub(super) files: BTreeMap<String, String>,
    /// Whether the adapter that is in use writes notes first; `None` without one.
    in_use_reasons: Option<bool>,
    /// The texts that it has learned, by their names.
    in_use_learned: Option<Vec<String>>,
    /// What runs of earlier versions have instead: the documents, by their ids.
    #[serde(default, skip_serializing)]
    in_use_documents: Vec<String>,
}

impl Begun {
    /// That prompts are made as when the run was begun: drafts of both ways say nothing together.
    pub(super) fn require_layout(&self, user: &str) -> Result<(), Error> {
        match self.layout {
            LAYOUT => Ok(()),
            _ => Err(RunError::OtherVersion { user: user.to_owned() }.into()),
        }
    }
}

/// Begins a run, and gives its id.
fn begin(context: &Context, store: &mut ProfileStore, trainer: &Trainer) -> Result<String, Error> {
    let config = &context.config;
    let material = Material::of(store, &config.train)?;
    let held_out = material.pairs.pairs.iter().filter(|pair| pair.held_out).count();
    let learned = material.pairs.pairs.len() - held_out;
    require_enough(store, learned, held_out, &config.train)?;
    let in_use = in_use(store, &trainer.manifest.sha256, config.generate.reasoning)?;
    let begun = Begun {
        layout: LAYOUT,
        pairs: material.pairs,
        documents: material.documents,
        style: material.style,
        rejected: material.rejected,
        files: trainer.files.clone(),
        in_use_reasons: in_use.as_ref().map(|it| it.reasoning),
        in_use_learned: in_use.as_ref().map(|it| it.learned.clone()),
        in_use_documents: Vec::new(),
    };
    let user = || store.user().to_string();
    let unwritable = |_: serde_json::Error| RunError::OtherVersion { user: user() };
    let settings = serde_json::to_value(config).map_err(unwritable)?;
    let content = serde_json::to_vec(&begun).map_err(unwritable)?;
    let mut known: Vec<Known<'_>> = vec![(BEGUN, "", &content)];
    known.extend(in_use.as_ref().map(|it| (IN_USE, "", it.content.as_slice())));
    let base_sha256 = &trainer.manifest.sha256;
    Ok(store.begin_run(base_sha256, &settings, &begun.documents, &known)?)
}

/// The adapter of the model that is in use; one that came from elsewhere writes notes first where
/// `reasoning` says that.
fn in_use(
    store: &ProfileStore,
    base_sha256: &str,
    reasoning: bool,
) -> Result<Option<InUse>, Error> {
    let Some(adapter) = store.adopted_adapter(base_sha256)? else { return Ok(None) };
    let content = store.adapter_content(&adapter.id)?;
    let reasoning = adapter.about["reasoning"].as_bool().unwrap_or(reasoning);
    let learned = match serde_json::from_value(adapter.about[LEARNED].clone()) {
        Ok(learned) => learned,
        // It came from elsewhere, or from an earlier version: all that it may have learned.
        Err(_) => names_of(&store.adapter_documents(&adapter.id)?),
    };
    Ok(Some(InUse { content, reasoning, learned }))
}

fn names_of(documents: &[String]) -> Vec<String> {
    documents.iter().map(|id| key(&Origin::Document(id.clone()))).collect()
}

/// What a run came to; `usual_model` is the one that writes where none is named.
fn report(
    context: &Context,
    store: &ProfileStore,
    outcome: &Outcome,
    usual_model: &str,
) -> Result<(), Error> {
    let output = &context.output;
    let user = store.user();
    if output.json {
        return output.object(&json!({"user": user.as_str(), "outcome": outcome}));
    }
    let Outcome { learned, validation, held_out, noted, .. } = outcome;
    output.line(&format!(
        "learned from {learned} texts ({noted} with notes), {validation} told when to stop, \
         {held_out} were held out"
    ))?;
    for round in &outcome.rounds {
        train_show::round(output, round)?;
    }
    let model = &context.config.model.name;
    let named = if model == usual_model { String::new() } else { format!(" --model {model}") };
    let is_in_use = |id: &&String| {
        store.adapter(id).is_ok_and(|adapter| adapter.state == AdapterState::Adopted)
    };
    let last = match &outcome.adopted {
        Some(id) if !is_in_use(&id) => {
            format!("the adapter {id} was adopted, and is in use no more")
        }
        Some(id) => {
            let command = format!("restpg-edge generate --user {:?}{named}", user.as_str());
            format!("the adapter {id} is in use: `{command}` writes with it")
        }
        None => "no adapter was adopted: what was in use stays in use".to_owned(),
    };
    output.line(&last)
}
