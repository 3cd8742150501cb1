//! Whether a model fits the memory that there is, before it is loaded; and what would.

use crate::catalogue::{self, ModelStore, Resolved};
use crate::config::Config;
use crate::error::{Error, Exit, Explain};
use crate::generate::Request;
use crate::gguf::{self, CheckedModel, ModelFile};
use crate::llama::{MemoryEstimate, Room, Runtime, gpu_layers, memory_available_bytes};
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
    /// The context that would fit.
    fitting_tokens: Option<u32>,
    /// Models that would.
    smaller: Vec<String>,
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
        if let Some(tokens) = self.fitting_tokens {
            ways.push(format!(
                "set [model] context_tokens = {tokens}, which fits (fewer passages: --k, a shorter \
                 answer: --max-tokens, fewer drafts at once: [sample] drafts_at_once)"
            ));
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

/// That the model of `request` fits with `hits` as its passages and `n_drafts` at once.
///
/// # Errors
/// [`DoesNotFit`], or that the file is no model.
pub(super) fn require(
    config: &Config,
    store: &ModelStore,
    runtime: &Runtime,
    model: &Resolved,
    request: &Request<'_>,
    hits: &[Hit],
    n_drafts: u32,
) -> Result<(), Error> {
    let Some(available_bytes) = available_bytes(config) else { return Ok(()) };
    let file = ModelFile::open(&model.file)?;
    let checked = gguf::check(&file)?;
    if gpu_layers(runtime, &checked) > 0 {
        // What lies there is not taken from the memory of the machine.
        return Ok(());
    }
    let room = expected_room(config, &checked, request, hits, n_drafts);
    let estimate = |tokens: u32| {
        let room = Room { tokens, ..room };
        MemoryEstimate::of(&checked, &room, room.sequences, request.threads).total_bytes()
    };
    let needed_bytes = estimate(room.tokens);
    if needed_bytes <= available_bytes {
        return Ok(());
    }
    let least = request.answer_tokens + request.reasoning_tokens + STEP_TOKENS;
    let mut smaller_rooms = (1..room.tokens.div_ceil(STEP_TOKENS)).rev().map(|n| n * STEP_TOKENS);
    let fitting_tokens =
        smaller_rooms.find(|&tokens| tokens >= least && estimate(tokens) <= available_bytes);
    Err(DoesNotFit {
        name: model.manifest.name.clone(),
        context_tokens: room.tokens,
        needed_bytes,
        available_bytes,
        fitting_tokens,
        smaller: smaller(store, &checked, needed_bytes, available_bytes),
    }
    .into())
}

/// About what the request will need.
fn expected_room(
    config: &Config,
    model: &CheckedModel<'_>,
    request: &Request<'_>,
    hits: &[Hit],
    n_drafts: u32,
) -> Room {
    let text = |text: &str| estimated_tokens(text);
    let passages: usize = hits.iter().map(|hit| text(&hit.text)).sum();
    // The estimate is short of what some vocabularies take.
    let prompt = (passages + text(request.prompt)) * 4 / 3 + LAYOUT_TOKENS;
    let trained = model.hyperparameters.n_ctx_train;
    let bound = match request.context_tokens {
        0 => trained,
        bound => bound.min(trained),
    };
    let output = request.answer_tokens + request.reasoning_tokens;
    let prompt = u32::try_from(prompt).unwrap_or(u32::MAX).min(bound.saturating_sub(output));
    let at_once = n_drafts.min(config.sample.drafts_at_once).max(1);
    let token_bytes = (model.hyperparameters.cache_bytes(1024) / 1024).max(1);
    let tokens_max = (u64::from(config.sample.cache_mib_max) << 20) / token_bytes;
    let all = u64::from(prompt) + u64::from(at_once) * u64::from(output);
    let one = u64::from(prompt) + u64::from(output);
    Room {
        tokens: u32::try_from(all.min(tokens_max.max(one))).unwrap_or(u32::MAX),
        sequences: at_once + 1,
        batch_tokens: request.batch_tokens,
        cache: request.cache,
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
