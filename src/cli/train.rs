//! `restpg-edge train …`: a run begun, taken up or planned, and what came of it.

use std::collections::HashSet;

use serde_json::json;

use super::interrupt;
use super::manners::Manners;
use super::stages::Stages;
use super::train_arguments::{RunArguments, TrainArguments, TrainCommand};
use super::trainer::Trainer;
use super::{Context, retrieval, train_plan, train_show};
use crate::config::{Config, TrainConfig};
use crate::error::{Error, Exit, Explain};
use crate::metrics::StyleProfile;
use crate::profile::{Document, ProfileError, ProfileStore, Run, User};
use crate::selftrain::{
    self, InUse, Journal, Outcome, PairRules, Pairs, Progress, TrainError, scrub,
};

/// Texts to learn from, at least.
const TRAINED_MIN: usize = 4;
const PAIRS: &str = "pairs";

/// A run stands in the way, or there is none.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("a run of {begun_at} was stopped before its end")]
    UnderWay { user: String, begun_at: String },
    #[error("the run was begun with other settings than this version of the program has")]
    OtherVersion { user: String },
}

impl Explain for RunError {
    fn kind(&self) -> &'static str {
        match self {
            Self::UnderWay { .. } => "run_under_way",
            Self::OtherVersion { .. } => "other_version",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::UnderWay { .. } => Exit::Usage,
            Self::OtherVersion { .. } => Exit::Failed,
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
    apply_flags(&mut context.config, arguments);
    context.config.check()?;
    // The parser asks for it.
    let user = User::parse(arguments.user.as_deref().unwrap_or_default())?;
    let mut store = ProfileStore::open(&context.paths, &user, &context.secrets)?;
    if arguments.dry_run {
        return train_plan::plan(&context, &store);
    }
    let earlier = earlier_run(&mut store, arguments)?;
    if let Some(run) = &earlier {
        context.config = settings_of(run, &context.config, &user)?;
    }
    retrieval::index_after_ingest(&context, &mut store);
    let result = train_in(&context, &mut store, earlier);
    match result {
        Err(error) if error.inner().kind() == TrainError::Stopped.kind() => {
            context.output.note(&format!(
                "stopped; `restpg-edge train --user {:?} --resume` goes on where it was",
                user.as_str()
            ));
            Ok(Some(Exit::Interrupted))
        }
        Err(error) => Err(error),
        Ok(outcome) => {
            report(&context, &user, &outcome)?;
            Ok(None)
        }
    }
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

/// The run to go on with, where there is one and that is what is wanted.
fn earlier_run(store: &mut ProfileStore, arguments: &RunArguments) -> Result<Option<Run>, Error> {
    let unfinished = store.runs()?.into_iter().rev().find(|run| !run.is_done);
    match unfinished {
        Some(run) if arguments.anew => {
            store.remove_run(&run.id)?;
            Ok(None)
        }
        Some(run) if !arguments.resume => {
            let user = store.user().to_string();
            Err(RunError::UnderWay { user, begun_at: run.begun_at }.into())
        }
        run => Ok(run),
    }
}

/// The settings that a run was begun with; how the machine is treated is as it is wanted now.
fn settings_of(run: &Run, now: &Config, user: &User) -> Result<Config, Error> {
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

/// The pairs of a profile, without secrets where the settings say so; and how many secrets there
/// were.
pub(super) fn pairs_of(
    store: &ProfileStore,
    settings: &TrainConfig,
) -> Result<(Pairs, usize), ProfileError> {
    let mut documents = store.documents()?;
    let mut drafts = store.drafts()?;
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
        }
    }
    Ok((selftrain::pairs(&documents, &drafts, &rules(settings)), secrets))
}

fn rules(settings: &TrainConfig) -> PairRules {
    PairRules {
        words_min: settings.words_min as usize,
        words_max: settings.words_max as usize,
        held_out_share: f64::from(settings.held_out_share),
        held_out_min: settings.held_out_min as usize,
        held_out_max: settings.held_out_max as usize,
        trained_max: settings.pairs_max as usize,
    }
}

/// That there is enough to learn from and to prove it on.
pub(super) fn require_enough(
    store: &ProfileStore,
    pairs: &Pairs,
    settings: &TrainConfig,
) -> Result<(), TrainError> {
    let held_out = pairs.pairs.iter().filter(|pair| pair.held_out).count();
    let train = pairs.pairs.len() - held_out;
    let held_out_min = settings.held_out_min as usize;
    if train >= TRAINED_MIN && held_out >= held_out_min {
        return Ok(());
    }
    let user = store.user().to_string();
    Err(TrainError::TooFew { user, train, held_out, train_min: TRAINED_MIN, held_out_min })
}

/// The style of what is not held out.
fn style(documents: &[Document], pairs: &Pairs) -> Option<StyleProfile> {
    let held_out = pairs.pairs.iter().filter(|pair| pair.held_out);
    let held_out: HashSet<&str> =
        held_out.flat_map(|pair| pair.documents.iter().map(String::as_str)).collect();
    let known = documents.iter().filter(|document| !held_out.contains(document.id.as_str()));
    StyleProfile::of(known.map(|document| document.text.as_str()))
}

fn train_in(
    context: &Context,
    store: &mut ProfileStore,
    earlier: Option<Run>,
) -> Result<Outcome, Error> {
    let config = &context.config;
    // Before any thread is begun: those inherit its priority.
    let manners = Manners::new(&context.output, &config.train);
    let trainer = Trainer::open(context)?;
    let base_sha256 = &trainer.manifest.sha256;
    let documents = store.documents()?;
    let in_use = in_use(store, base_sha256)?;
    let vectors = trainer.embed().map(|it| store.vectors(&it.info().sha256)).transpose()?;
    let (run, pairs) = match earlier {
        Some(run) => (run.id, None),
        None => {
            let (pairs, _) = pairs_of(store, &config.train)?;
            require_enough(store, &pairs, &config.train)?;
            let settings = serde_json::to_value(config).unwrap_or_default();
            let ids: Vec<String> = documents.iter().map(|it| it.id.clone()).collect();
            (store.begin_run(base_sha256, &settings, &ids)?, Some(pairs))
        }
    };
    let mut journal = Journal::new(store, run);
    let pairs = match (journal.get(PAIRS, "")?, pairs) {
        (Some(pairs), _) | (None, Some(pairs)) => pairs,
        (None, None) => pairs_of(journal.store(), &config.train)?.0,
    };
    journal.keep(PAIRS, "", &pairs)?;
    let styles = [style(&documents, &pairs)];
    drop(documents);
    let stages = Stages::new(&context.output);
    let (breathe, tell) = (|| manners.breathe(), |progress: Progress<'_>| stages.show(progress));
    let workshop = trainer.workshop(context, &styles, &breathe, &tell);
    let ended = selftrain::items(&workshop, &mut journal, &pairs.pairs, vectors.as_ref())
        .and_then(|items| selftrain::train(&workshop, &mut journal, &items, in_use.as_ref()));
    stages.finish();
    ended
}

/// The adapter of the model that is in use.
fn in_use(store: &ProfileStore, base_sha256: &str) -> Result<Option<InUse>, Error> {
    let Some(adapter) = store.adopted_adapter(base_sha256)? else { return Ok(None) };
    let content = store.adapter_content(&adapter.id)?;
    // One that came from elsewhere is used as the settings say.
    let reasoning = adapter.about["reasoning"].as_bool().unwrap_or(true);
    Ok(Some(InUse { id: adapter.id, content, reasoning }))
}

/// What a run came to.
fn report(context: &Context, user: &User, outcome: &Outcome) -> Result<(), Error> {
    let output = &context.output;
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
    let last = match &outcome.adopted {
        Some(id) => format!("the adapter {id} is in use: `restpg-edge generate` writes with it"),
        None => "no adapter was adopted: what was in use stays in use".to_owned(),
    };
    output.line(&last)
}
