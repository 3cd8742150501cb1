//! `restpg-edge doctor`: what there is to compute on, and whether the model fits.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Context;
use super::fit::{available_bytes, on_this_machine_bytes};
use super::output::megabytes;
use crate::catalogue::{ModelStore, Use};
use crate::error::{Error, Exit};
use crate::ggml::Backend;
use crate::gguf::{self, ModelFile};
use crate::llama::{
    self, CacheType, Device, DeviceKind, MemoryEstimate, Room, Runtime, devices, gpu_layers,
};
use crate::lora::missing_operations;

/// What is told; `--json` has it under these names.
#[derive(Serialize)]
struct Report {
    version: &'static str,
    llama: &'static str,
    threads: u32,
    memory_available_bytes: Option<u64>,
    devices: Vec<Device>,
    /// Of each device that can train or could, what it lacks for it; absent for one that is busy.
    training_lacks: BTreeMap<String, Vec<String>>,
    models: std::path::PathBuf,
    embedder: Presence,
    model: Presence,
    fit: Option<Fit>,
}

/// A model of the settings, and whether it is here.
#[derive(Serialize)]
struct Presence {
    name: String,
    pulled: bool,
}

/// What the model takes with all the context that the settings allow.
#[derive(Serialize)]
struct Fit {
    context_tokens: u32,
    batch_tokens: u32,
    cache_type: String,
    layers: u32,
    gpu_layers: u32,
    memory: MemoryEstimate,
    memory_bytes: u64,
    fits: bool,
}

pub(super) fn run(context: &Context) -> Result<Option<Exit>, Error> {
    let config = &context.config;
    let store = ModelStore::new(&context.paths.models);
    let runtime = Runtime::start()?;
    let threads = llama::threads(config.model.threads);
    let presence = |name: &str| Presence { name: name.into(), pulled: store.resolve(name).is_ok() };
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        llama: llama::VERSION,
        threads,
        memory_available_bytes: available_bytes(config),
        training_lacks: training_lacks(&devices(&runtime)),
        devices: devices(&runtime),
        models: context.paths.models.clone(),
        embedder: presence(&config.retrieve.embedder),
        model: presence(&config.model.name),
        fit: fit(context, &store, &runtime, threads)?,
    };
    if context.output.json {
        context.output.object(&report)?;
    } else {
        lines(&report).iter().try_for_each(|line| context.output.line(line))?;
    }
    let is_well = report.fit.as_ref().is_some_and(|fit| fit.fits);
    Ok((!is_well).then_some(Exit::Failed))
}

/// What the processor and the graphics cards lack for training.
fn training_lacks(devices: &[Device]) -> BTreeMap<String, Vec<String>> {
    let can = |device: &&Device| device.kind == DeviceKind::Cpu || device.kind.takes_layers();
    let lacks = |device: &Device| {
        let backend = Backend::device(&device.name, 1).ok()?;
        Some((device.name.clone(), missing_operations(&backend).ok()?))
    };
    devices.iter().filter(can).filter_map(lacks).collect()
}

fn training_line((device, lacks): (&String, &Vec<String>)) -> String {
    if lacks.is_empty() {
        return format!("training      {device} has all that it takes");
    }
    format!("training      {device} lacks {}: `lora fit --device CPU`", lacks.join(", "))
}

/// `None` where the model is not here.
fn fit(
    context: &Context,
    store: &ModelStore,
    runtime: &Runtime,
    threads: u32,
) -> Result<Option<Fit>, Error> {
    let settings = &context.config.model;
    let found = store.resolve_for(&settings.name, Use::Generate, llama::VERSION);
    let Ok(resolved) = found else { return Ok(None) };
    let file = ModelFile::open(&resolved.file)?;
    let checked = gguf::check(&file)?;
    let trained = checked.hyperparameters.n_ctx_train;
    let context_tokens = match settings.context_tokens {
        0 => trained,
        bound => bound.min(trained),
    };
    let room = Room {
        tokens: context_tokens,
        sequences: 2,
        batch_tokens: settings.batch_tokens,
        // The settings were checked for other names.
        cache: CacheType::named(&settings.cache_type).unwrap_or_default(),
    };
    let memory = MemoryEstimate::of(&checked, &room, 1, threads);
    let memory_bytes = memory.total_bytes();
    let gpu_layers = gpu_layers(runtime, &checked);
    let available = available_bytes(&context.config);
    let layers = checked.hyperparameters.n_layer + 1;
    let here_bytes = on_this_machine_bytes(&memory, &devices(runtime), gpu_layers, layers);
    Ok(Some(Fit {
        context_tokens,
        batch_tokens: settings.batch_tokens,
        cache_type: settings.cache_type.clone(),
        layers,
        gpu_layers,
        memory,
        memory_bytes,
        fits: available.is_none_or(|available| here_bytes <= available),
    }))
}

fn lines(report: &Report) -> Vec<String> {
    let mut lines = vec![
        format!("restpg-edge   {}, {}", report.version, report.llama),
        format!("threads       {}", report.threads),
        match report.memory_available_bytes {
            Some(bytes) => format!("memory        {} available", megabytes(bytes)),
            None => "memory        this system does not say what is available".into(),
        },
    ];
    lines.extend(report.devices.iter().map(device_line));
    if !report.devices.iter().any(|device| device.kind.takes_layers()) {
        lines.push(
            "              no GPU that this build can use; all is computed on the CPU".into(),
        );
    }
    lines.extend(report.training_lacks.iter().map(training_line));
    lines.push(format!("models        {}", report.models.display()));
    lines.push(presence_line("embedder", &report.embedder));
    lines.push(presence_line("model", &report.model));
    if let Some(fit) = &report.fit {
        lines.extend(fit_lines(fit));
    }
    lines
}

fn device_line(device: &Device) -> String {
    let kind = match device.kind {
        DeviceKind::Cpu => "CPU",
        DeviceKind::Accelerator => "accelerator",
        DeviceKind::Gpu => "GPU",
        DeviceKind::IntegratedGpu => "integrated GPU",
    };
    let memory = if device.kind.takes_layers() {
        let [free, all] = [device.memory_free_bytes, device.memory_bytes].map(megabytes);
        format!(", {free} of {all} free")
    } else {
        String::new()
    };
    format!("device        {} ({kind}): {}{memory}", device.name, device.description)
}

fn presence_line(what: &str, model: &Presence) -> String {
    let Presence { name, pulled } = model;
    match (name.as_str(), pulled) {
        ("", _) => format!("{what:<13} none"),
        (_, true) => format!("{what:<13} {name}"),
        (_, false) => {
            format!("{what:<13} {name}, not here yet: `restpg-edge model pull {name}`")
        }
    }
}

fn fit_lines(fit: &Fit) -> Vec<String> {
    let memory = &fit.memory;
    let mut lines = vec![
        format!(
            "memory        {} at {} tokens of context: {} weights (mapped), {} interleaved again,",
            megabytes(fit.memory_bytes),
            fit.context_tokens,
            megabytes(memory.weights_bytes),
            megabytes(memory.repacked_bytes)
        ),
        format!(
            "              {} keys and values ({}), {} to compute with, {} program and vocabulary",
            megabytes(memory.cache_bytes),
            fit.cache_type,
            megabytes(memory.compute_bytes),
            megabytes(memory.program_bytes)
        ),
    ];
    if fit.gpu_layers > 0 {
        lines.push(format!("GPU           {} of {} layers", fit.gpu_layers, fit.layers));
    }
    lines.push(match fit.fits {
        true => "fits          yes".into(),
        false => "fits          no: lower [model] context_tokens, or take a smaller model".into(),
    });
    lines
}
