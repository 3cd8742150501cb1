//! `restpg-edge adapter …`, and which adapter a model writes with.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use super::adapter_arguments::AdapterCommand;
use super::lora::{self, Base};
use super::output::{megabytes, visible};
use super::{Context, profile};
use crate::catalogue::{Manifest, ModelStore};
use crate::error::{Error, Exit, Explain};
use crate::gguf;
use crate::lora::{self as trainer, Design, gguf_bytes, merge};
use crate::paths::{replace, write_atomically_with};
use crate::profile::{Adapter, NewAdapter, ProfileStore};
use crate::prompt::LAYOUT;
use crate::selftrain::{LEARNED, Verdict};

/// The name that stands for no adapter.
const NONE: &str = "none";
/// What is to be known before a file is passed on.
const EXPORTED_WARNING: &str =
    "the file is not encrypted, and an adapter knows what it learned from";

#[derive(Debug, thiserror::Error)]
enum AdapterError {
    #[error("the adapter {adapter} belongs to {its_model}, not to {model}")]
    OfAnother { adapter: String, its_model: String, is_here: bool, model: String },
    #[error("the model that {adapter} belongs to is not here: its file has the hash {sha256}")]
    NoModel { adapter: String, sha256: String },
    #[error("{} is there already", path.display())]
    FileExists { path: PathBuf },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl Explain for AdapterError {
    fn kind(&self) -> &'static str {
        match self {
            Self::OfAnother { .. } => "adapter_of_another_model",
            Self::NoModel { .. } => "no_such_model",
            Self::FileExists { .. } => "file_exists",
            Self::Write { .. } => "cannot_write",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::OfAnother { .. } | Self::FileExists { .. } => Exit::Usage,
            Self::NoModel { .. } => Exit::NotFound,
            Self::Write { .. } => Exit::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::OfAnother { its_model, is_here: true, .. } => Some(format!(
                "--model {its_model} writes with it; without --adapter writes the one in use for the model."
            )),
            Self::OfAnother { is_here: false, .. } => Some(
                "Obtain its model again, `restpg-edge model pull NAME`, or leave --adapter out."
                    .into(),
            ),
            Self::NoModel { .. } => Some("Obtain it again: `restpg-edge model pull NAME`.".into()),
            Self::FileExists { .. } => {
                Some("Choose another name, or overwrite it with --force.".into())
            }
            Self::Write { .. } => {
                Some("Give --to a file in a folder that is there and can be written to.".into())
            }
        }
    }
}

pub(super) fn run(context: &Context, command: AdapterCommand) -> Result<Option<Exit>, Error> {
    match command {
        AdapterCommand::List { user } => list(context, &user)?,
        AdapterCommand::Show { user, adapter } => show(context, &user, &adapter)?,
        AdapterCommand::Add { user, model, path } => {
            add(context, &user, model.as_deref(), &path)?;
        }
        AdapterCommand::Use { user, adapter } => {
            let mut store = profile::open(context, &user)?;
            store.adopt_adapter(&adapter)?;
            let known = store.adapter(&adapter)?;
            say(context, &user, &adapter, "in use")?;
            note_what_use_needs(context, &user, &known)?;
        }
        AdapterCommand::Rollback { user, model } => rollback(context, &user, model.as_deref())?,
        AdapterCommand::Export { user, adapter, merge, to, force } => {
            let store = profile::open(context, &user)?;
            let adapter = store.adapter(&adapter)?;
            // A link that leads nowhere would be overwritten too.
            if !force && to.symlink_metadata().is_ok() {
                return Err(AdapterError::FileExists { path: to }.into());
            }
            export(context, &store, &adapter, merge, &to)?;
        }
        AdapterCommand::Remove { user, adapter } => {
            let back = profile::open(context, &user)?.remove_adapter(&adapter)?;
            if context.output.json {
                context.output.object(&json!({
                    "user": user, "adapter": adapter, "now": "removed", "in_use_again": back,
                }))?;
                return Ok(None);
            }
            say(context, &user, &adapter, "removed")?;
            if let Some(id) = back {
                context.output.note(&format!("adapter {id}: in use again"));
            }
        }
    }
    Ok(None)
}

/// That training did not adopt it, and how to write with it where its model is not the usual one.
fn note_what_use_needs(context: &Context, user: &str, adapter: &Adapter) -> Result<(), Error> {
    let (output, id) = (&context.output, &adapter.id);
    if adapter.about["gate"]["is_adopted"] == false {
        output.note(&format!(
            "note: training did not adopt it; `restpg-edge adapter show --user {user:?} {id}` says why"
        ));
    }
    match installed_model_of(context, adapter)? {
        None => output.note(&format!(
            "note: the model that it belongs to is not here, its file has the hash {}; `restpg-edge \
             model pull` obtains it",
            adapter.base_sha256
        )),
        Some(model) if model != context.config.model.name => output.note(&format!(
            "it belongs to {model}: `restpg-edge generate --user {user:?} --model {model}` writes \
             with it"
        )),
        Some(_) => {}
    }
    Ok(())
}

/// What the gate said of it, where it came of training.
fn verdict_on(adapter: &Adapter) -> Option<Verdict> {
    serde_json::from_value(adapter.about.get("gate")?.clone()).ok()
}

/// The adapter that is asked for, or else the one in use for the model.
///
/// # Errors
/// That there is no such adapter, that it must not be used, or that it is another model's.
pub(super) fn chosen(
    context: &Context,
    store: &ProfileStore,
    asked_for: Option<&str>,
    model: &Manifest,
) -> Result<Option<Adapter>, Error> {
    match asked_for {
        Some(NONE) => Ok(None),
        None => Ok(store.adopted_adapter(&model.sha256)?),
        Some(id) => {
            let adapter = store.adapter(id)?;
            store.require_valid(&adapter)?;
            if adapter.base_sha256 == model.sha256 {
                return Ok(Some(adapter));
            }
            let (its_model, is_here) = match installed_model_of(context, &adapter)? {
                Some(name) => (name, true),
                None => (format!("the model of the hash {}", adapter.base_sha256), false),
            };
            let (adapter, model) = (adapter.id, model.name.clone());
            Err(AdapterError::OfAnother { adapter, its_model, is_here, model }.into())
        }
    }
}

/// That it was fitted to other prompts than are made now.
pub(super) fn note_other_layout(context: &Context, user: &str, adapter: &Adapter) {
    let layout = adapter.about["layout"].as_u64();
    if layout.is_some_and(|layout| layout != u64::from(LAYOUT)) {
        context.output.note(&format!(
            "note: the adapter {} was fitted to the prompts of another version of this program, and may \
             write worse with these; `restpg-edge train --user {user:?}` fits another",
            adapter.id
        ));
    }
}

fn say(context: &Context, user: &str, adapter: &str, state: &str) -> Result<(), Error> {
    if context.output.json {
        return context.output.object(&json!({"user": user, "adapter": adapter, "now": state}));
    }
    context.output.note(&format!("adapter {adapter}: {state}"));
    Ok(())
}

/// Writes the model of an adapter with the adapter in its weights.
fn write_merged(
    context: &Context,
    known: &Adapter,
    content: &[u8],
    to: &Path,
) -> Result<(), Error> {
    let models = ModelStore::new(&context.paths.models).installed()?;
    let model = models.into_values().find(|model| model.sha256 == known.base_sha256);
    let gone =
        || AdapterError::NoModel { adapter: known.id.clone(), sha256: known.base_sha256.clone() };
    let base = Base::open(context, Some(&model.ok_or_else(gone)?.name))?;
    let checked = gguf::check(&base.file)?;
    let design = Design::read(&checked)?;
    let adapter = trainer::read_gguf_bytes(content, &design)?.adapter;
    let failed = |source| AdapterError::Write { path: to.to_owned(), source };
    write_atomically_with(to, &mut |out| merge(out, &base.file, &checked, &adapter))
        .map_err(failed)?;
    Ok(())
}

/// The name of the model that an adapter belongs to, where it is here.
fn installed_model_of(context: &Context, adapter: &Adapter) -> Result<Option<String>, Error> {
    let models = ModelStore::new(&context.paths.models).installed()?;
    let known = models.into_values().find(|model| model.sha256 == adapter.base_sha256);
    Ok(known.map(|model| model.name))
}

/// The model that an adapter belongs to, by its name or else by the beginning of its hash.
fn model_of(context: &Context, adapter: &Adapter) -> Result<String, Error> {
    let name = installed_model_of(context, adapter)?;
    Ok(name.unwrap_or_else(|| adapter.base_sha256.chars().take(12).collect()))
}

fn list(context: &Context, user: &str) -> Result<(), Error> {
    let adapters = profile::open(context, user)?.adapters()?;
    if context.output.json {
        return context.output.object(&json!({"user": user, "adapters": adapters}));
    }
    if adapters.is_empty() {
        context.output.note(&format!("{user} has no adapters"));
    }
    adapters.iter().try_for_each(|adapter| {
        let model = model_of(context, adapter)?;
        let Adapter { id, state, made_at, size_bytes, .. } = adapter;
        let size = megabytes(*size_bytes);
        context.output.line(&format!("{id}  {made_at}  {:<9}  {size:>9}  {model}", state.name()))
    })
}

fn show(context: &Context, user: &str, id: &str) -> Result<(), Error> {
    let store = profile::open(context, user)?;
    let adapter = store.adapter(id)?;
    let documents = store.adapter_documents(id)?;
    if context.output.json {
        #[derive(Serialize)]
        struct Shown {
            #[serde(flatten)]
            adapter: Adapter,
            document_ids: Vec<String>,
        }
        return context.output.object(&Shown { adapter, document_ids: documents });
    }
    let mut lines = vec![
        format!("adapter    {}", adapter.id),
        format!("state      {}", adapter.state.name()),
        format!("model      {}", model_of(context, &adapter)?),
        format!("made       {}", adapter.made_at),
        format!("size       {}", megabytes(adapter.size_bytes)),
        format!("documents  {}", adapter.documents),
    ];
    lines.extend(documents.iter().map(|id| {
        let title = match store.document(id) {
            Ok(document) => document.title.unwrap_or_default(),
            Err(_) => "(gone)".into(),
        };
        format!("           {id}  {}", visible(&title)).trim_end().to_owned()
    }));
    lines.extend(adapter.reason.as_ref().map(|reason| format!("because    {reason}")));
    lines.extend(adapter.parent.as_ref().map(|parent| format!("parent     {parent}")));
    let verdict = verdict_on(&adapter);
    if let Some(verdict) = &verdict {
        let said = if verdict.is_adopted { "adopted" } else { "not adopted" };
        lines.push(format!("gate       {said}"));
        lines.extend(verdict.objections().iter().map(|why| format!("           {why}")));
    }
    let mut about = adapter.about;
    if let Some(about) = about.as_object_mut() {
        if verdict.is_some() {
            about.remove("gate");
        }
        about.remove(LEARNED);
    }
    lines.push(format!("about      {about}"));
    lines.iter().try_for_each(|line| context.output.line(line))
}

fn add(context: &Context, user: &str, model: Option<&str>, path: &Path) -> Result<(), Error> {
    let mut store = profile::open(context, user)?;
    let base = Base::open(context, model)?;
    let checked = gguf::check(&base.file)?;
    let design = Design::read(&checked)?;
    let exported = lora::open_adapter(path, &base.manifest, &design)?;
    let architecture = checked.hyperparameters.architecture.name();
    let failed = |source| AdapterError::Write { path: path.to_owned(), source };
    let content = gguf_bytes(architecture, &exported).map_err(failed)?;
    let new = NewAdapter {
        base_sha256: &base.manifest.sha256,
        about: json!({"origin": "added", "adapter": exported.adapter.config}),
        content: &content,
        ..NewAdapter::default()
    };
    let id = store.add_adapter(&new)?;
    if context.output.json {
        let added = json!({"user": user, "adapter": id, "model": base.manifest.name});
        return context.output.object(&added);
    }
    let size = megabytes(content.len() as u64);
    context.output.line(&id)?;
    context.output.note(&format!(
        "added for {}, {size}; `restpg-edge adapter use --user {user:?} {id}` puts it into use",
        base.manifest.name
    ));
    Ok(())
}

fn rollback(context: &Context, user: &str, model: Option<&str>) -> Result<(), Error> {
    let mut store = profile::open(context, user)?;
    let name = model.unwrap_or(&context.config.model.name);
    let (model, _) = ModelStore::new(&context.paths.models).resolve(name)?;
    let (out, back) = store.roll_back_adapter(&model.sha256)?;
    if context.output.json {
        let done = json!({"user": user, "model": name, "out_of_use": out, "in_use": back});
        return context.output.object(&done);
    }
    let now = back.map_or("no adapter is in use".into(), |id| format!("{id} is in use again"));
    context.output.note(&format!("adapter {out} is out of use; {now}"));
    Ok(())
}

fn export(
    context: &Context,
    store: &ProfileStore,
    adapter: &Adapter,
    is_merged: bool,
    to: &Path,
) -> Result<(), Error> {
    let (id, user) = (&adapter.id, store.user().as_str());
    let content = store.adapter_content(id)?;
    context.output.note(&format!("note: {EXPORTED_WARNING}"));
    let failed = |source| AdapterError::Write { path: to.to_owned(), source };
    if is_merged {
        write_merged(context, adapter, &content, to)?;
    } else {
        replace(to, &content).map_err(failed)?;
    }
    if context.output.json {
        return context.output.object(&json!({
            "user": user, "adapter": id, "to": to.display().to_string(), "warning": EXPORTED_WARNING,
        }));
    }
    context.output.line(&to.display().to_string())
}
