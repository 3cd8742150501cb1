//! `restpg-edge model …`

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::Context;
use super::args::ModelCommand;
use super::interrupt::{self, INTERRUPT};
use super::output::megabytes;
use crate::catalogue::{self, ModelStore, Origin, Pull};
use crate::error::{Error, Exit};
use crate::gguf::{self, CheckedModel, ModelFile};

/// A longer value is cut; `--json` has all of it.
const LONG_VALUE_CHARS: usize = 100;

pub(super) fn run(context: &Context, command: ModelCommand) -> Result<Option<Exit>, Error> {
    interrupt::install();
    let store = ModelStore::new(&context.paths.models);
    match command {
        ModelCommand::Pull { origin, name, sha256 } => {
            pull(context, &store, &origin, name, sha256)?;
        }
        ModelCommand::List => list(context, &store)?,
        ModelCommand::Show { name, context: tokens } => show(context, &store, &name, tokens)?,
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
    origin: &str,
    name: Option<String>,
    sha256: Option<String>,
) -> Result<(), Error> {
    let request = Pull { origin: Origin::parse(origin)?, name, sha256, interrupt: &INTERRUPT };
    let bar = context.output.bytes_bar(origin);
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
    let context_tokens = context_tokens.unwrap_or(configured);
    let types = tensor_types(&checked);
    let weights_bytes: u64 = types.values().map(|(_, bytes)| bytes).sum();
    let cache_bytes = sizes.cache_bytes(context_tokens);
    let license = catalogue::entry(name).map(|entry| entry.license);
    if context.output.json {
        let metadata: serde_json::Map<String, Value> = checked
            .header
            .metadata()
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Value::String(value.display())))
            .collect();
        return context.output.object(&json!({
            "name": manifest.name,
            "path": path,
            "origin": manifest.origin,
            "sha256": manifest.sha256,
            "size_bytes": manifest.size_bytes,
            "license": license,
            "architecture": sizes.architecture.name(),
            "context_tokens_trained": sizes.n_ctx_train,
            "tensor_types": types.iter().map(|(kind, (count, bytes))|
                json!({"type": kind, "tensors": count, "bytes": bytes})).collect::<Vec<_>>(),
            "memory": {
                "weights_bytes": weights_bytes,
                "context_tokens": context_tokens,
                "cache_bytes": cache_bytes,
            },
            "metadata": metadata,
        }));
    }
    let output = &context.output;
    output.line(&format!("name          {}", manifest.name))?;
    output.line(&format!("file          {}", path.display()))?;
    output.line(&format!("origin        {}", manifest.origin))?;
    output.line(&format!("sha256        {}", manifest.sha256))?;
    if let Some(license) = license {
        output.line(&format!("license       {license}"))?;
    }
    output.line(&format!(
        "architecture  {}: {} blocks, width {}, {} heads ({} for keys and values)",
        sizes.architecture.name(),
        sizes.n_layer,
        sizes.n_embd,
        sizes.n_head,
        sizes.n_head_kv
    ))?;
    output.line(&format!("context       {} tokens as trained", sizes.n_ctx_train))?;
    output.line(&format!("weights       {}, memory-mapped", megabytes(weights_bytes)))?;
    output.line(&format!(
        "KV cache      {} at {context_tokens} tokens of context",
        megabytes(cache_bytes)
    ))?;
    for (kind, (count, bytes)) in &types {
        output.line(&format!("tensors       {count:>4} {kind:<8} {}", megabytes(*bytes)))?;
    }
    output.line("")?;
    for (key, value) in checked.header.metadata() {
        let shown: String = value.display().escape_debug().collect();
        let cut: String = shown.chars().take(LONG_VALUE_CHARS).collect();
        let more = if cut.len() < shown.len() { "…" } else { "" };
        output.line(&format!("{key} = {cut}{more}"))?;
    }
    Ok(())
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
