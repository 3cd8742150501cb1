//! Whether a model fits the memory that there is, before it is loaded; and what would.

use crate::catalogue::{self, ModelStore, Resolved};
use crate::config::Config;
use crate::error::{Error, Exit, Explain};
use crate::generate::Request;
use crate::gguf::{self, CheckedModel, Hyperparameters, ModelFile};
use crate::llama::{
    Device, DeviceKind, MemoryEstimate, Room, Runtime, cache_bytes, devices, gpu_layers,
    memory_available_bytes,
};
use crate::profile::{Hit, estimated_tokens};

use super::output::megabytes;

/// Instructions and tags around passages and request.
const LAYOUT_TOKENS: usize = 300;
/// Sizes of a context that are proposed.
const STEP_TOKENS: u32 = 256;

/// That a model does not fit.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name} would take {} with {context_tokens} tokens of context; {} are available",
    megabytes(*needed_bytes), megabytes(*available_bytes)
)]
pub(super) struct DoesNotFit {
    name: String,
    context_tokens: u32,
    needed_bytes: u64,
    available_bytes: u64,
    /// What would fit of it.
    fitting: Option<Fitting>,
    /// Models that would.
    smaller: Vec<String>,
}

/// A setting with which a model fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fitting {
    /// [sample] drafts_at_once.
    Drafts(u32),
    /// [model] context_tokens.
    Context(u32),
}

impl Explain for DoesNotFit {
    fn kind(&self) -> &'static str {
        "model_does_not_fit"
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }

    fn help(&self) -> Option<String> {
        let mut ways = Vec::new();
        match self.fitting {
            Some(Fitting::Drafts(drafts)) => {
                ways.push(format!("set [sample] drafts_at_once = {drafts}, which fits"));
            }
            Some(Fitting::Context(tokens)) => ways.push(format!(
                "set [model] context_tokens = {tokens}, which fits, with fewer passages (--k) or a \
                 shorter answer (--max-tokens)"
            )),
            None => {}
        }
        if !self.smaller.is_empty() {
            ways.push(format!("take a smaller model: {}", self.smaller.join(", ")));
        }
        ways.push("close other programs".into());
        ways.push(
            "set [model] memory_mib_max where this machine can do with more than it says".into(),
        );
        let mut text = ways.join("; or ");
        text[..1].make_ascii_uppercase();
        Some(format!("{text}."))
    }
}

/// The memory that a model may take; `None` where neither settings nor system say.
pub(super) fn available_bytes(config: &Config) -> Option<u64> {
    match config.model.memory_mib_max {
        0 => memory_available_bytes(),
        mib => Some(u64::from(mib) << 20),
    }
}

/// What of `estimate` is taken from the machine's memory where so many layers go to GPUs: a graphics
/// card has its own.
pub(super) fn on_this_machine_bytes(
    estimate: &MemoryEstimate,
    devices: &[Device],
    gpu_layers: u32,
    layers: u32,
) -> u64 {
    let is_own = devices.iter().any(|device| device.kind == DeviceKind::Gpu);
    let elsewhere = if is_own { gpu_layers.min(layers) } else { 0 };
    let of_layers = estimate.weights_bytes + estimate.cache_bytes;
    let elsewhere_bytes = of_layers / u64::from(layers.max(1)) * u64::from(elsewhere);
    estimate.total_bytes().saturating_sub(elsewhere_bytes)
}

/// A request as far as its memory is concerned.
struct Need<'a> {
    config: &'a Config,
    sizes: &'a Hyperparameters,
    request: &'a Request<'a>,
    /// About what request and passages take.
    prompt_tokens: u32,
    n_drafts: u32,
}

/// What a run wants of the memory.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) hits: &'a [Hit],
    pub(super) n_drafts: u32,
    /// Of the adapter, if any: llama.cpp has a copy.
    pub(super) adapter_bytes: u64,
}

/// That the model of `request` fits with `hits` as its passages and `n_drafts` of one prompt.
///
/// # Errors
/// [`DoesNotFit`], or that the file is no model.
pub(super) fn require(
    config: &Config,
    store: &ModelStore,
    runtime: &Runtime,
    model: &Resolved,
    wanted: Wanted<'_>,
) -> Result<(), Error> {
    let Wanted { request, hits, n_drafts, adapter_bytes } = wanted;
    let Some(available_bytes) = available_bytes(config) else { return Ok(()) };
    let file = ModelFile::open(&model.file)?;
    let checked = gguf::check(&file)?;
    let devices = devices(runtime);
    let gpu_layers = gpu_layers(runtime, &checked);
    let need = Need {
        config,
        sizes: &checked.hyperparameters,
        request,
        prompt_tokens: expected_prompt_tokens(request, hits),
        n_drafts,
    };
    let bytes = |room: &Room| {
        let estimate = MemoryEstimate::of(&checked, room, room.sequences, request.threads);
        let layers = checked.hyperparameters.n_layer + 1;
        on_this_machine_bytes(&estimate, &devices, gpu_layers, layers) + adapter_bytes
    };
    let (context_tokens, at_once) = (need.context_tokens(), config.sample.drafts_at_once);
    let room = need.room(context_tokens, at_once);
    let needed_bytes = bytes(&room);
    if needed_bytes <= available_bytes {
        return Ok(());
    }
    let fits = |context_tokens: u32, at_once: u32| {
        bytes(&need.room(context_tokens, at_once)) <= available_bytes
    };
    let drafts = (1..at_once.min(n_drafts)).rev().find(|&drafts| fits(context_tokens, drafts));
    let steps = (2..room.tokens.div_ceil(STEP_TOKENS)).rev().map(|step| step * STEP_TOKENS);
    let context = || steps.into_iter().find(|&tokens| fits(tokens, 1));
    let fitting = drafts.map(Fitting::Drafts).or_else(|| context().map(Fitting::Context));
    Err(DoesNotFit {
        name: model.manifest.name.clone(),
        context_tokens: room.tokens,
        needed_bytes,
        available_bytes,
        fitting,
        smaller: smaller(store, &checked, needed_bytes, available_bytes),
    }
    .into())
}

/// About what request and passages take with the instructions around them.
fn expected_prompt_tokens(request: &Request<'_>, hits: &[Hit]) -> u32 {
    let passages: usize = hits.iter().map(|hit| estimated_tokens(&hit.text)).sum();
    // The estimate is short of what some vocabularies take.
    let tokens = (passages + estimated_tokens(request.prompt)) * 4 / 3 + LAYOUT_TOKENS;
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

impl Need<'_> {
    /// The bound on prompt and output together.
    fn context_tokens(&self) -> u32 {
        match self.request.context_tokens {
            0 => self.sizes.n_ctx_train,
            bound => bound.min(self.sizes.n_ctx_train),
        }
    }

    /// The session that the request will need within `context_tokens`, with so many drafts at once.
    fn room(&self, context_tokens: u32, drafts_at_once: u32) -> Room {
        let request = self.request;
        let reasoning = if request.reasoning { request.reasoning_tokens } else { 0 };
        let output = (request.answer_tokens + reasoning).min(context_tokens);
        let prompt = self.prompt_tokens.min(context_tokens - output);
        let at_once = self.n_drafts.min(drafts_at_once).max(1);
        let one = u64::from(prompt + output);
        let all = u64::from(prompt) + u64::from(at_once) * u64::from(output);
        let token_bytes = (cache_bytes(self.sizes, 1024, request.cache) / 1024).max(1);
        let tokens_max = (u64::from(self.config.sample.cache_mib_max) << 20) / token_bytes;
        Room {
            tokens: u32::try_from(all.min(tokens_max.max(one))).unwrap_or(u32::MAX),
            sequences: at_once + 1,
            batch_tokens: request.batch_tokens,
            cache: request.cache,
        }
    }
}

/// Models of the catalogue that write and would fit, those on this machine first.
fn smaller(
    store: &ModelStore,
    model: &CheckedModel<'_>,
    needed_bytes: u64,
    available_bytes: u64,
) -> Vec<String> {
    let weights: u64 = model.header.tensors().iter().map(|it| it.size_bytes as u64).sum();
    let besides = needed_bytes.saturating_sub(weights);
    let installed = store.installed().unwrap_or_default();
    let mut entries = catalogue::entries();
    entries.retain(|entry| {
        let writes = !["bert", "nomic-bert"].contains(&entry.architecture.as_str());
        writes && entry.size_bytes < weights && entry.size_bytes + besides <= available_bytes
    });
    entries.sort_by_key(|entry| !installed.contains_key(&entry.name));
    entries.into_iter().map(|entry| entry.name).collect()
}
