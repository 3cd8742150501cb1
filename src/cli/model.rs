//! `restpg-edge model …`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::Context;
use super::args::{ModelCommand, WeightArgument};
use super::interrupt::{self, INTERRUPT};
use super::model_tune;
use super::output::megabytes;
use crate::catalogue::{self, Manifest, ModelStore, Origin, Pull, Tuning, WeightType};
use crate::error::{Error, Exit};
use crate::gguf::{self, CheckedModel, ModelFile};

/// A longer value is cut; `--json` has all of it.
const LONG_VALUE_CHARS: usize = 100;

pub(super) fn run(context: &Context, command: ModelCommand) -> Result<Option<Exit>, Error> {
    interrupt::install();
    let store = ModelStore::new(&context.paths.models);
    match command {
        ModelCommand::Pull { origin, name, sha256 } => {
            pull(context, &store, Origin::parse(&origin)?, name, sha256)?;
        }
        ModelCommand::Import { folder, name, weights } => {
            let weights = match weights {
                WeightArgument::F16 => WeightType::F16,
                WeightArgument::Q8_0 => WeightType::Q8_0,
            };
            pull(context, &store, Origin::Folder(folder, weights), name, None)?;
        }
        ModelCommand::List => list(context, &store)?,
        ModelCommand::Show { name, context: tokens } => show(context, &store, &name, tokens)?,
        ModelCommand::Tune(arguments) => return model_tune::run(context, &store, &arguments),
        ModelCommand::Verify { name } => verify(context, &store, &name)?,
        ModelCommand::Remove { name } => {
            let freed_bytes = store.remove(&name)?;
            if context.output.json {
                context.output.object(&json!({"removed": name, "freed_bytes": freed_bytes}))?;
            } else {
                context.output.note(&format!("removed {name}, {} freed", megabytes(freed_bytes)));
            }
        }
    }
    Ok(None)
}

fn pull(
    context: &Context,
    store: &ModelStore,
    origin: Origin,
    name: Option<String>,
    sha256: Option<String>,
) -> Result<(), Error> {
    let bar = context.output.bytes_bar(&origin.to_string());
    let request = Pull { origin, name, sha256, interrupt: &INTERRUPT };
    let result = catalogue::pull(store, &request, &mut |done, total| {
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let (manifest, fetched) = result?;
    if context.output.json {
        return context.output.object(&json!({
            "name": manifest.name,
            "sha256": manifest.sha256,
            "size_bytes": manifest.size_bytes,
            "origin": manifest.origin,
            "fetched": fetched,
        }));
    }
    let state = if fetched { "pulled" } else { "already here" };
    let size = megabytes(manifest.size_bytes);
    context.output.note(&format!("{state}: {} ({size})", manifest.name));
    Ok(())
}

fn list(context: &Context, store: &ModelStore) -> Result<(), Error> {
    let mut installed = store.installed()?;
    let mut rows = Vec::new();
    for entry in catalogue::entries() {
        let here = installed.remove(&entry.name).is_some();
        rows.push(json!({
            "name": entry.name,
            "pulled": here,
            "size_bytes": entry.size_bytes,
            "architecture": entry.architecture,
            "license": entry.license,
            "context_tokens": entry.context_tokens,
            "summary": entry.summary,
        }));
    }
    for manifest in installed.into_values() {
        rows.push(json!({
            "name": manifest.name,
            "pulled": true,
            "size_bytes": manifest.size_bytes,
            "summary": manifest.origin,
        }));
    }
    if context.output.json {
        return context
            .output
            .object(&json!({"default": context.config.model.name, "models": rows}));
    }
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let mark = if row["pulled"] == true { "*" } else { " " };
        let size = megabytes(row["size_bytes"].as_u64().unwrap_or(0));
        let line = format!("{mark} {:<28} {size:>10}  {}", text("name"), text("summary"));
        context.output.line(line.trim_end())?;
    }
    context.output.note("* is on this machine; the others come with `restpg-edge model pull NAME`");
    Ok(())
}

fn show(
    context: &Context,
    store: &ModelStore,
    name: &str,
    context_tokens: Option<u32>,
) -> Result<(), Error> {
    let (manifest, path) = store.resolve(name)?;
    let file = ModelFile::open(&path)?;
    let checked = gguf::check(&file)?;
    let sizes = &checked.hyperparameters;
    let configured = match context.config.model.context_tokens {
        0 => sizes.n_ctx_train,
        bound => bound.min(sizes.n_ctx_train),
    };
    let shown = Shown {
        license: catalogue::entry(name).map(|entry| entry.license),
        context_tokens: context_tokens.unwrap_or(configured),
        types: tensor_types(&checked),
        tuning: store.tuning(&manifest.sha256),
        manifest,
        path,
        checked,
    };
    if context.output.json {
        return context.output.object(&shown.object());
    }
    shown.lines().iter().try_for_each(|line| context.output.line(line))
}

/// What `model show` tells of a model.
struct Shown<'map> {
    manifest: Manifest,
    path: PathBuf,
    license: Option<String>,
    checked: CheckedModel<'map>,
    types: BTreeMap<String, (usize, u64)>,
    context_tokens: u32,
    tuning: Option<Tuning>,
}

impl Shown<'_> {
    fn weights_bytes(&self) -> u64 {
        self.types.values().map(|(_, bytes)| bytes).sum()
    }

    fn cache_bytes(&self) -> u64 {
        self.checked.hyperparameters.cache_bytes(self.context_tokens)
    }

    fn object(&self) -> Value {
        let metadata = self.checked.header.metadata().iter();
        let metadata: serde_json::Map<String, Value> = metadata
            .map(|(key, value)| ((*key).to_owned(), Value::String(value.display())))
            .collect();
        let types = self
            .types
            .iter()
            .map(|(kind, (count, bytes))| json!({"type": kind, "tensors": count, "bytes": bytes}));
        json!({
            "name": self.manifest.name,
            "path": self.path,
            "origin": self.manifest.origin,
            "sha256": self.manifest.sha256,
            "size_bytes": self.manifest.size_bytes,
            "license": self.license,
            "architecture": self.checked.hyperparameters.architecture.name(),
            "context_tokens_trained": self.checked.hyperparameters.n_ctx_train,
            "tensor_types": types.collect::<Vec<_>>(),
            "memory": {
                "weights_bytes": self.weights_bytes(),
                "context_tokens": self.context_tokens,
                "cache_bytes": self.cache_bytes(),
            },
            "tuning": self.tuning.as_ref().map(model_tune::object),
            "metadata": metadata,
        })
    }

    fn lines(&self) -> Vec<String> {
        let sizes = &self.checked.hyperparameters;
        let mut lines = vec![
            format!("name          {}", self.manifest.name),
            format!("file          {}", self.path.display()),
            format!("origin        {}", self.manifest.origin),
            format!("sha256        {}", self.manifest.sha256),
        ];
        lines.extend(self.license.iter().map(|license| format!("license       {license}")));
        lines.extend([
            format!(
                "architecture  {}: {} blocks, width {}, {} heads ({} for keys and values)",
                sizes.architecture.name(),
                sizes.n_layer,
                sizes.n_embd,
                sizes.n_head,
                sizes.n_head_kv
            ),
            format!("context       {} tokens as trained", sizes.n_ctx_train),
            format!("weights       {}, memory-mapped", megabytes(self.weights_bytes())),
            format!(
                "KV cache      {} at {} tokens of context",
                megabytes(self.cache_bytes()),
                self.context_tokens
            ),
        ]);
        lines.extend(self.types.iter().map(|(kind, (count, bytes))| {
            format!("tensors       {count:>4} {kind:<8} {}", megabytes(*bytes))
        }));
        if let Some(tuning) = &self.tuning {
            lines.push(String::new());
            lines.extend(model_tune::lines(tuning));
        }
        lines.push(String::new());
        lines.extend(self.checked.header.metadata().iter().map(|(key, value)| {
            let shown: String = value.display().escape_debug().collect();
            let cut: String = shown.chars().take(LONG_VALUE_CHARS).collect();
            let more = if cut.len() < shown.len() { "…" } else { "" };
            format!("{key} = {cut}{more}")
        }));
        lines
    }
}

/// Tensors and bytes by weight type.
fn tensor_types(checked: &CheckedModel<'_>) -> BTreeMap<String, (usize, u64)> {
    let mut types: BTreeMap<String, (usize, u64)> = BTreeMap::new();
    for tensor in checked.header.tensors() {
        let (count, bytes) = types.entry(format!("{:?}", tensor.kind)).or_default();
        *count += 1;
        *bytes += tensor.size_bytes as u64;
    }
    types
}

fn verify(context: &Context, store: &ModelStore, name: &str) -> Result<(), Error> {
    let (manifest, path) = store.resolve(name)?;
    let bar = context.output.bytes_bar(name);
    bar.set_length(manifest.size_bytes);
    let result = store.verify(name, &mut |done| {
        bar.set_position(done);
        !INTERRUPT.load(Ordering::Relaxed)
    });
    bar.finish_and_clear();
    let manifest = result?;
    gguf::check(&ModelFile::open(&path)?)?;
    if context.output.json {
        return context.output.object(&json!({
            "name": manifest.name,
            "sha256": manifest.sha256,
            "verified": true,
        }));
    }
    context.output.note(&format!("{name} is what was pulled: {}", manifest.sha256));
    Ok(())
}
