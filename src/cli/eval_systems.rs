//! `restpg-edge eval --user U` and `eval --dataset FILE… --output DIR`: systems side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::EvalArguments;
use super::interrupt::INTERRUPT;
use super::manners::Manners;
use super::stages::Stages;
use super::train::{self, BEGUN, Begun};
use super::trainer::{Trainer, require_impartial};
use super::{Context, profile};
use crate::catalogue::ModelStore;
use crate::config::Config;
use crate::error::{Error, Exit, Explain};
use crate::evaluate::{
    self, AspectJudge, Authors, Cohort, CohortPlan, Fitted, Person, Requests, Scorer, ShownRound,
    SystemsReport, Tries, Variant,
};
use crate::llama::Model;
use crate::metrics::StyleProfile;
use crate::paths::{Paths, create_private_folder, replace};
use crate::profile::{NewDocument, NoPassphrase, ProfileStore, User};
use crate::prompt::LAYOUT;
use crate::selftrain::{ITEMS, Item, Journal, Progress, TrainError};

/// Whose journal it is that an evaluation keeps.
const JOURNAL: &str = "journal";
const WORK: &str = "work";
const COHORT: &str = "cohort";

#[derive(Debug, thiserror::Error)]
pub(super) enum SystemsError {
    #[error("nothing was told where the results go")]
    NoOutput,
    #[error("{} was begun with other settings or data: {}", path.display(), differ.join(", "))]
    OtherSettings { path: PathBuf, differ: Vec<String> },
    #[error("{user:?} has no training run that came so far")]
    NoRun { user: String },
    #[error("{name} is not the model any more that the run was made with")]
    OtherModel { name: String },
    #[error("{name} is no system of this comparison")]
    NoSystem { name: String, known: Vec<&'static str> },
    #[error("{name} was not tried, so nothing can be compared with it")]
    NotTried { name: String, tried: Vec<String> },
    #[error("none of the systems was fitted in the run")]
    NotFitted,
    #[error("points of texts are matched by the embedding model {name:?}, which is not here")]
    NoEmbedder { name: String },
    #[error("the data set has no request {what}")]
    NoRequest { what: &'static str },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl Explain for SystemsError {
    fn kind(&self) -> &'static str {
        match self {
            Self::NoOutput => "usage",
            Self::OtherSettings { .. } => "other_settings",
            Self::NoRun { .. } => "no_such_run",
            Self::OtherModel { .. } => "other_models",
            Self::NoEmbedder { .. } => "no_embedder",
            Self::NoSystem { .. } | Self::NotTried { .. } | Self::NotFitted => "usage",
            Self::NoRequest { .. } => "bad_dataset",
            Self::Write { .. } => "cannot_write",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NoOutput
            | Self::OtherSettings { .. }
            | Self::NoSystem { .. }
            | Self::NotTried { .. }
            | Self::NotFitted => Exit::Usage,
            Self::OtherModel { .. } | Self::Write { .. } => Exit::Failed,
            Self::NoRun { .. } | Self::NoEmbedder { .. } => Exit::NotFound,
            Self::NoRequest { .. } => Exit::InvalidData,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::NoOutput => Some(
                "Give --output DIR; or ask for --retrieval or --graders, which need none.".into(),
            ),
            Self::OtherSettings { .. } => {
                Some("Give the same ones, or another folder with --output.".into())
            }
            Self::NoRun { user } => Some(format!("`restpg-edge train --user {user:?}` makes one.")),
            Self::OtherModel { .. } => Some("Train again, or pull the model that it was.".into()),
            Self::NoSystem { known, .. } => Some(format!("The systems are {}.", known.join(", "))),
            Self::NotFitted => {
                let names = Variant::ALL.map(Variant::name).join(", ");
                Some(format!("The systems are {names}; a run has those that it came to."))
            }
            Self::NotTried { tried, .. } => {
                // Names have commas.
                let names: Vec<String> = tried.iter().map(|name| format!("{name:?}")).collect();
                Some(format!("--against takes one of: {}.", names.join(", ")))
            }
            Self::NoEmbedder { name } => Some(format!("`restpg-edge model pull {name}`")),
            Self::NoRequest { .. } => Some(
                "Of the people of a task one in three is tried on, the others are learned from: it \
                 takes two, with texts of [train] words_min to words_max words that the model has \
                 room for, more of them than --skip leaves out. With other data or settings give another \
                 folder with --output."
                    .into(),
            ),
            Self::Write { .. } => {
                Some("Name a file or folder that can be made or overwritten.".into())
            }
        }
    }
}

pub(super) fn run(context: Context, arguments: &EvalArguments) -> Result<Option<Exit>, Error> {
    let output = context.output;
    let ended = match &arguments.user {
        Some(user) => of_user(context, user, arguments),
        None => of_people(context, arguments),
    };
    match ended {
        Err(error) if error.inner().kind() == TrainError::Stopped.kind() => {
            output.note("stopped; the same command goes on where it was");
            if output.json {
                output.object(&json!({"report": null}))?;
            }
            Ok(Some(Exit::Interrupted))
        }
        other => other.map(|()| None),
    }
}

/// That what was named is among what there is to compare.
pub(super) fn require_known(names: &[String], known: &[&'static str]) -> Result<(), SystemsError> {
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(SystemsError::NoSystem { name: name.clone(), known: known.to_vec() }),
        None => Ok(()),
    }
}

/// The systems that were named, or all.
fn variants(arguments: &EvalArguments) -> Result<Vec<Variant>, SystemsError> {
    require_known(&arguments.systems, &Variant::ALL.map(Variant::name))?;
    let is_wanted = |variant: &Variant| {
        arguments.systems.is_empty() || arguments.systems.iter().any(|it| it == variant.name())
    };
    Ok(Variant::ALL.into_iter().filter(is_wanted).collect())
}

/// That the system that others are compared with, where one is named, is one of `tried`.
fn require_tried(arguments: &EvalArguments, tried: &[String]) -> Result<(), SystemsError> {
    match &arguments.against {
        Some(name) if !tried.contains(name) => {
            Err(SystemsError::NotTried { name: name.clone(), tried: tried.to_vec() })
        }
        _ => Ok(()),
    }
}

/// What is held out of a person's last run, with what that run fitted.
fn of_user(mut context: Context, user: &str, arguments: &EvalArguments) -> Result<(), Error> {
    let variants = variants(arguments)?;
    require_tried(arguments, &evaluate::tried_names(&variants, context.config.eval.best_of))?;
    require_place(arguments.report.as_deref())?;
    let mut store = profile::open(&context, user)?;
    let no_run = || SystemsError::NoRun { user: user.to_owned() };
    // The drafts are kept with the run.
    let _lock = train::lock(&store)?;
    let run = store.runs()?.pop().ok_or_else(no_run)?;
    let settings = train::settings_of(&run, &context.config, store.user())?;
    context.config = Config { eval: context.config.eval, ..settings };
    let mut journal = Journal::new(&mut store, run.id);
    let items: Vec<Item> = journal.get(ITEMS, "")?.ok_or_else(no_run)?;
    let begun: Begun = journal.get(BEGUN, "")?.ok_or_else(no_run)?;
    begun.require_layout(user)?;
    let held_out: Vec<Item> = items.into_iter().filter(|item| item.held_out).collect();
    let (fitted, round) = Fitted::of_run(&journal, context.config.train.rounds)?;
    if let Some(ShownRound { round, is_adopted }) = round {
        let said = if is_adopted { "was adopted" } else { "was not adopted" };
        context.output.note(&format!(
            "what was trained on its own drafts is the adapter of round {round}, which {said}"
        ));
    }
    if arguments.systems.is_empty() {
        context.output.note(
            "a run fits one of rest-em and rest-pg, and knows no other people: rest-pg-misled and \
             own_author need `eval --dataset`",
        );
    }
    let bench = Bench::open(&context, vec![begun.style], None, vec![vec![0]])?;
    if bench.trainer.files != begun.files {
        return Err(SystemsError::OtherModel { name: context.config.model.name.clone() }.into());
    }
    let requests = Requests { own: &held_out, misled: &[] };
    let tries = bench.work(&context, |workshop, scorer| {
        let best_of = context.config.eval.best_of;
        evaluate::try_systems(workshop, &mut journal, requests, &variants, &fitted, scorer, best_of)
    })?;
    let report = compared(&tries, arguments)?;
    show(&context, &tries, &report, arguments.report.as_deref(), user)
}

/// Fitted on some of the people, tried on others.
fn of_people(context: Context, arguments: &EvalArguments) -> Result<(), Error> {
    let mut context = context;
    if let Some(name) = &arguments.model {
        context.config.model.name.clone_from(name);
    }
    if let Some(queries) = arguments.queries {
        context.config.eval.test_queries = queries;
    }
    let output = arguments.output.as_ref().ok_or(SystemsError::NoOutput)?;
    let variants = variants(arguments)?;
    require_tried(arguments, &evaluate::tried_names(&variants, context.config.eval.best_of))?;
    if variants.iter().any(is_self_trained) {
        context.config.reward.require_training()?;
    }
    let people = evaluate::read_people(&arguments.dataset)?;
    let config = &context.config;
    let eval = &config.eval;
    let plan = CohortPlan {
        train_queries: eval.train_queries as usize,
        test_queries: eval.test_queries as usize,
        skipped: arguments.skip as usize,
    };
    let styles = evaluate::styles(&people);
    let (authors, peers) = authors(&people);
    let bench = Bench::open(&context, styles, Some(authors), peers)?;
    let failed = |source| SystemsError::Write { path: output.clone(), source };
    create_private_folder(output).map_err(failed)?;
    require_place(arguments.report.as_deref())?;
    let paths = Paths::resolve(Some(&output.join(WORK)))?;
    let user = User::parse(JOURNAL)?;
    let mut store = ProfileStore::open_or_create(&paths, &user, &NoPassphrase)?;
    let settings = json!({
        "config": config, "layout": LAYOUT, "people": people_sha256(&people),
        "files": bench.trainer.files,
    });
    let run = the_run(&mut store, &settings, &bench.trainer.manifest.sha256, output)?;
    let mut journal = Journal::new(&mut store, run);
    let find = |plan: &CohortPlan| {
        let bar = context.output.count_bar("finding passages");
        let mut progress = |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        };
        let embedder = bench.trainer.embed();
        let found =
            evaluate::cohort(&people, plan, config, embedder, &paths, &INTERRUPT, &mut progress);
        bar.finish_and_clear();
        found
    };
    let cohort = the_cohort(&mut journal, &plan, find)?;
    let tries = bench.work(&context, |workshop, scorer| {
        let cohort = evaluate::that_fits(cohort, workshop)?;
        require_requests(&cohort, &variants)?;
        let requests = Requests { own: &cohort.test, misled: &cohort.misled };
        let fitted = Fitted::fit(workshop, &mut journal, &cohort.train, &variants)?;
        evaluate::try_systems(
            workshop,
            &mut journal,
            requests,
            &variants,
            &fitted,
            scorer,
            eval.best_of,
        )
    })?;
    let report = compared(&tries, arguments)?;
    write_results(output, &tries, &report)?;
    let page = arguments.report.clone().unwrap_or_else(|| output.join("report.html"));
    show(&context, &tries, &report, Some(&page), "people of a data set")
}

/// That a page can be written, before there is all that it is to have.
fn require_place(page: Option<&Path>) -> Result<(), SystemsError> {
    let Some(path) = page else { return Ok(()) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let is_folder = folder.unwrap_or(Path::new(".")).metadata().map(|found| found.is_dir());
    let kind = match is_folder {
        Ok(true) if path.is_dir() => io::ErrorKind::IsADirectory,
        Ok(true) => return Ok(()),
        Ok(false) => io::ErrorKind::NotADirectory,
        Err(error) => error.kind(),
    };
    Err(SystemsError::Write { path: path.to_owned(), source: kind.into() })
}

/// Whether it learns from drafts, which are graded.
fn is_self_trained(variant: &Variant) -> bool {
    matches!(variant, Variant::RestEm | Variant::RestPg | Variant::RestPgMisled)
}

fn is_fitted(variant: &Variant) -> bool {
    !matches!(variant, Variant::Base | Variant::Retrieval | Variant::Reasoning)
}

/// That there is something to try the systems on, and to fit those on that are fitted.
fn require_requests(cohort: &Cohort, variants: &[Variant]) -> Result<(), SystemsError> {
    let what = if cohort.test.is_empty() {
        "to try the systems on"
    } else if cohort.train.is_empty() && variants.iter().any(is_fitted) {
        "to learn from"
    } else {
        return Ok(());
    };
    Err(SystemsError::NoRequest { what })
}

/// The requests of `plan`, each found once. Those that are learned from and those that are tried on are
/// kept apart: what was fitted can be tried on others later.
fn the_cohort(
    journal: &mut Journal<'_>,
    plan: &CohortPlan,
    find: impl Fn(&CohortPlan) -> Result<Cohort, Error>,
) -> Result<Cohort, Error> {
    let mut kept = |key: &str, plan: &CohortPlan| -> Result<Cohort, Error> {
        if let Some(cohort) = journal.get(COHORT, key)? {
            return Ok(cohort);
        }
        let found = find(plan)?;
        journal.keep(COHORT, key, &found)?;
        Ok(found)
    };
    let learned = kept("", &CohortPlan { test_queries: 0, ..*plan })?;
    let CohortPlan { skipped, test_queries, .. } = *plan;
    let key = format!("{test_queries} after {skipped}");
    let tried = kept(&key, &CohortPlan { train_queries: 0, ..*plan })?;
    Ok(Cohort { train: learned.train, ..tried })
}

/// The run in the folder, where it is the same; a new one in a new folder.
fn the_run(
    store: &mut ProfileStore,
    settings: &Value,
    base_sha256: &str,
    output: &Path,
) -> Result<String, Error> {
    // As it comes back from the store.
    let settings = settings.to_string().parse::<Value>().unwrap_or_default();
    match store.runs()?.pop() {
        Some(run) => {
            let differ = differing(&run.settings, &settings);
            if differ.is_empty() && run.base_sha256 == base_sha256 {
                return Ok(run.id);
            }
            Err(SystemsError::OtherSettings { path: output.to_owned(), differ }.into())
        }
        None => Ok(store.begin_run(base_sha256, &settings, &[], &[])?),
    }
}

/// Settings that may change while an evaluation goes on: how the machine is treated, how many rounds are
/// fitted (each goes on from the one before), how many requests and drafts are tried and how these are
/// sampled (those that were sampled otherwise are kept apart), and who looks at them.
const FREE_SETTINGS: [&str; 13] = [
    "train.rounds",
    "train.nice",
    "train.hours_max",
    "train.on_battery",
    "train.battery_percent_min",
    "train.held_out_drafts",
    "model.memory_mib_max",
    "generate.temperature",
    "generate.top_p",
    "eval.test_queries",
    "eval.best_of",
    "eval.judge",
    "eval.aspects",
];

/// What an evaluation was begun with and is different now: settings by their names, then the rest.
fn differing(begun: &Value, now: &Value) -> Vec<String> {
    let (begun_settings, now_settings) = (flat(&begun["config"]), flat(&now["config"]));
    let names: BTreeSet<&String> = begun_settings.keys().chain(now_settings.keys()).collect();
    let is_other = |name: &&&String| begun_settings.get(**name) != now_settings.get(**name);
    let is_free = |name: &&&String| FREE_SETTINGS.contains(&name.as_str());
    let settings = names.iter().filter(is_other).filter(|name| !is_free(name));
    let mut differ: Vec<String> = settings.map(ToString::to_string).collect();
    let rest = [("people", "the data"), ("files", "a model"), ("layout", "this program")];
    let others = rest.iter().filter(|(key, _)| begun[key] != now[key]);
    differ.extend(others.map(|(_, name)| (*name).to_owned()));
    differ
}

/// The settings of each section by `section.name`.
fn flat(config: &Value) -> BTreeMap<String, &Value> {
    let sections = config.as_object().into_iter().flatten();
    let settings = sections.flat_map(|(section, settings)| {
        let settings = settings.as_object().into_iter().flatten();
        settings.map(move |(name, value)| (format!("{section}.{name}"), value))
    });
    settings.collect()
}

fn people_sha256(people: &[Person]) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    for Person { user, task, profile, queries } in people {
        [user, task].into_iter().for_each(|text| add(text));
        for NewDocument { key, title, date, text, .. } in profile {
            let written = [title, date].map(|it| it.as_deref().unwrap_or_default());
            [key, text].into_iter().map(String::as_str).chain(written).for_each(&mut add);
        }
        queries.iter().flat_map(|it| [&it.id, &it.input, &it.output]).for_each(|text| add(text));
    }
    hex::encode(hash.finalize())
}

/// The people by how they write, and of each the people of the same task.
fn authors(people: &[Person]) -> (Authors, Vec<Vec<usize>>) {
    let texts = |person: &Person| -> Vec<String> {
        person.profile.iter().map(|document| document.text.clone()).collect()
    };
    let texts: Vec<Vec<String>> = people.iter().map(texts).collect();
    let listed: Vec<Vec<&str>> =
        texts.iter().map(|texts| texts.iter().map(String::as_str).collect()).collect();
    // Another row of the same person is no other author.
    let peers = |(own, person): (usize, &Person)| -> Vec<usize> {
        let is_peer = |(place, other): &(usize, &Person)| {
            other.task == person.task && (*place == own || other.user != person.user)
        };
        people.iter().enumerate().filter(is_peer).map(|(place, _)| place).collect()
    };
    (Authors::of(&listed), people.iter().enumerate().map(peers).collect())
}

/// What systems are tried and scored with.
struct Bench {
    trainer: Trainer,
    styles: Vec<Option<StyleProfile>>,
    authors: Option<Authors>,
    peers: Vec<Vec<usize>>,
    /// The model that judges, with the hash of its file.
    judge: Option<(Model, String)>,
}

impl Bench {
    fn open(
        context: &Context,
        styles: Vec<Option<StyleProfile>>,
        authors: Option<Authors>,
        peers: Vec<Vec<usize>>,
    ) -> Result<Self, Error> {
        let trainer = Trainer::open(context)?;
        let config = &context.config;
        let name = &config.eval.judge;
        let models = ModelStore::new(&context.paths.models);
        require_impartial(&models, config, name)?;
        if config.eval.aspects && trainer.embed().is_none() {
            let name = config.retrieve.embedder.clone();
            return Err(SystemsError::NoEmbedder { name }.into());
        }
        let judge = match name.as_str() {
            "" => None,
            name => {
                let (manifest, file) = models.resolve(name)?;
                Some((Model::load(trainer.runtime.clone(), &file)?, manifest.sha256))
            }
        };
        Ok(Self { trainer, styles, authors, peers, judge })
    }

    fn work<T>(
        &self,
        context: &Context,
        work: impl FnOnce(&crate::selftrain::Workshop<'_>, &Scorer<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let manners = Manners::new(&context.output, &context.config.train);
        let stages = Stages::new(&context.output);
        let breathe = || manners.breathe();
        let tell = |progress: Progress<'_>| stages.show(progress);
        let workshop = self.trainer.workshop(context, &self.styles, &[], &breathe, &tell);
        let is_wanted = context.config.eval.aspects;
        let judge = self.judge.as_ref().map(|(model, _)| model);
        let both = judge.zip(self.trainer.embed()).filter(|_| is_wanted);
        let aspects = both.map(|(model, embedder)| AspectJudge::new(model, embedder));
        let scorer = Scorer {
            embedder: self.trainer.embed(),
            styles: &self.styles,
            authors: self.authors.as_ref(),
            peers: &self.peers,
            judge,
            judge_sha256: self.judge.as_ref().map_or("", |(_, sha256)| sha256),
            aspects: aspects.as_ref(),
        };
        let ended = work(&workshop, &scorer);
        stages.finish();
        ended
    }
}

/// The systems beside each other, where there are some.
fn compared(tries: &Tries, arguments: &EvalArguments) -> Result<SystemsReport, SystemsError> {
    if tries.systems.is_empty() {
        return Err(SystemsError::NotFitted);
    }
    // A run need not have fitted all that was asked for.
    require_tried(arguments, &tries.systems)?;
    Ok(SystemsReport::of(tries, arguments.against.as_deref()))
}

/// The tables, the figures and the drafts as files.
fn write_results(output: &Path, tries: &Tries, report: &SystemsReport) -> Result<(), Error> {
    let write = |path: PathBuf, bytes: &[u8]| {
        replace(&path, bytes).map_err(|source| SystemsError::Write { path, source })
    };
    write(output.join("report.md"), evaluate::markdown(report).as_bytes())?;
    let all = json!({"report": report, "cases": tries.cases});
    write(output.join("report.json"), all.to_string().as_bytes())?;
    let folder = output.join("predictions");
    let failed = |source| SystemsError::Write { path: folder.clone(), source };
    create_private_folder(&folder).map_err(failed)?;
    for (name, content) in evaluate::predictions(tries) {
        write(folder.join(format!("{name}.json")), content.to_string().as_bytes())?;
    }
    Ok(())
}

fn show(
    context: &Context,
    tries: &Tries,
    report: &SystemsReport,
    page: Option<&Path>,
    whose: &str,
) -> Result<(), Error> {
    if let Some(path) = page {
        let title = format!("How {} writes: {whose}", context.config.model.name);
        let html = evaluate::page(&title, report, tries);
        replace(path, html.as_bytes())
            .map_err(|source| SystemsError::Write { path: path.to_owned(), source })?;
        context.output.note(&format!("{} has the drafts, in plain", path.display()));
    }
    if context.output.json {
        return context.output.object(&json!({"report": report, "cases": tries.cases}));
    }
    context.output.line(evaluate::markdown(report).trim_end())
}
