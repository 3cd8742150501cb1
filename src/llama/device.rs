//! What there is to compute on, and how much memory it has left.

use std::fs;

use llama_cpp_2::{LlamaBackendDeviceType, list_llama_ggml_backend_devices};
use serde::Serialize;

use super::Runtime;
use crate::gguf::{CheckedModel, Hyperparameters};

/// Of a GPU's memory what is never given to a model: the screen and other programs have theirs.
const GPU_SPARE_BYTES: u64 = 128 << 20;

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// A library that speeds the processor up.
    Accelerator,
    /// A graphics card with memory of its own, or one that says so.
    Gpu,
    /// A graphics unit that computes in the processor's memory.
    IntegratedGpu,
}

impl DeviceKind {
    /// Whether layers of a model can go to it.
    #[must_use]
    pub fn takes_layers(self) -> bool {
        matches!(self, Self::Gpu | Self::IntegratedGpu)
    }
}

/// A device as its backend describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Its name in the backend, for example `CUDA0`.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Its kind.
    pub kind: DeviceKind,
    /// Memory in all.
    pub memory_bytes: u64,
    /// Memory that is free.
    pub memory_free_bytes: u64,
}

/// All devices that this build can use.
#[must_use]
pub fn devices(_runtime: &Runtime) -> Vec<Device> {
    let kind = |kind| match kind {
        LlamaBackendDeviceType::Gpu => DeviceKind::Gpu,
        LlamaBackendDeviceType::IntegratedGpu => DeviceKind::IntegratedGpu,
        LlamaBackendDeviceType::Accelerator => DeviceKind::Accelerator,
        LlamaBackendDeviceType::Cpu | LlamaBackendDeviceType::Unknown => DeviceKind::Cpu,
    };
    let devices = list_llama_ggml_backend_devices().into_iter().map(|device| Device {
        kind: kind(device.device_type),
        memory_bytes: device.memory_total as u64,
        memory_free_bytes: device.memory_free as u64,
        name: device.name,
        description: device.description,
    });
    devices.collect()
}

/// Memory that a process could still be given without swapping: what Linux says is available, and
/// no more than the control group of this process leaves. `None` where the system does not say.
#[must_use]
pub fn memory_available_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    let available = kib << 10;
    Some(group_leaves_bytes().map_or(available, |leaves| leaves.min(available)))
}

/// What the control group leaves; `None` where it sets no bound.
fn group_leaves_bytes() -> Option<u64> {
    let number = |name: &str| -> Option<u64> {
        fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse().ok()
    };
    // Pages of files can go: they count as used, though they are not in the way.
    let files = || -> Option<u64> {
        let text = fs::read_to_string("/sys/fs/cgroup/memory.stat").ok()?;
        text.lines().find_map(|line| line.strip_prefix("file "))?.trim().parse().ok()
    };
    let used = number("memory.current")?.saturating_sub(files().unwrap_or(0));
    Some(number("memory.max")?.saturating_sub(used))
}

/// How many of a model's layers, the output as the last one, fit `free_bytes` of a GPU's memory with
/// their part of the cache for `context_tokens`. All or as many as fit: each spares the processor
/// its part of the work.
#[must_use]
pub fn layers_that_fit(
    model: &CheckedModel<'_>,
    free_bytes: u64,
    context_tokens: u32,
    batch_tokens: u32,
) -> u32 {
    let sizes: &Hyperparameters = &model.hyperparameters;
    // A GPU's buffers are taken whole, the logits of every token of a batch among them.
    let logits_bytes = 4 * u64::from(sizes.n_vocab) * u64::from(batch_tokens);
    let width = u64::from(sizes.n_embd + sizes.n_ff);
    let compute_bytes = logits_bytes + 16 * width * u64::from(batch_tokens);
    let Some(free) = free_bytes.checked_sub(GPU_SPARE_BYTES + compute_bytes) else { return 0 };
    let n_layer = sizes.n_layer;
    let cache_bytes = sizes.cache_bytes(context_tokens) / u64::from(n_layer.max(1));
    let bytes_of = |is_meant: &dyn Fn(&str) -> bool| -> u64 {
        let tensors = model.header.tensors().iter();
        tensors.filter(|it| is_meant(it.name)).map(|it| it.size_bytes as u64).sum()
    };
    // A model without an output of its own has its token embedding there, once more.
    let output_bytes = match bytes_of(&|name| name == "output.weight") {
        0 => bytes_of(&|name| name == "token_embd.weight"),
        own => own,
    };
    let layer_bytes = |layer: u32| {
        let prefix = format!("blk.{layer}.");
        bytes_of(&|name| name.starts_with(&prefix)) + cache_bytes
    };
    let mut left = free;
    // llama.cpp gives the last layers to the GPU first, the output before them.
    let sizes = std::iter::once(output_bytes).chain((0..n_layer).rev().map(layer_bytes));
    let fitting = sizes.take_while(|&size| match left.checked_sub(size) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    });
    u32::try_from(fitting.count()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn linux_says_what_is_available() {
        let available = super::memory_available_bytes().unwrap();
        assert!(available > 1 << 20, "{available}");
    }
}
