//! What a model takes in memory, known from its header before anything is loaded.
//!
//! The parts follow what llama.cpp allocates on the CPU: the mapped file; copies of the matrices
//! that it interleaves for its kernels; keys and values, which it clears at once; what it computes
//! with, of which only those pages count that a batch touches; its vocabulary. `cargo bench --bench
//! memory` holds the sum against what the system says of a process.
//!
//! Not known here: what the C library keeps of what was freed, and what a GPU's driver takes.

use super::{CacheType, Room};
use crate::gguf::{Architecture, CheckedModel, Hyperparameters, TensorInfo, TensorType, Value};

/// Cells of the cache come in multiples of this.
const CACHE_STEP_TOKENS: u64 = 256;
/// What llama.cpp notes of each cell, and of each cell in use.
const CELL_BYTES: u64 = 52 + 120;
/// Its lists for one node of a graph, several graphs and the schedule together.
const NODE_BYTES: u64 = 2500;
/// Entries of the vocabulary: text, both directions, pieces; and a merge of two of them.
const TOKEN_BYTES: u64 = 165;
const MERGE_BYTES: u64 = 120;
/// Tables of Unicode.
const UNICODE_BYTES: u64 = 2_200_000;
/// The program itself with its libraries.
const PROGRAM_BYTES: u64 = 9_000_000;

/// Bytes that a model takes, by what they are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct MemoryEstimate {
    /// The file, memory-mapped; shared with other processes that map it.
    pub weights_bytes: u64,
    /// Matrices that are kept once more, interleaved.
    pub repacked_bytes: u64,
    /// Keys and values.
    pub cache_bytes: u64,
    /// Activations, logits, work space.
    pub compute_bytes: u64,
    /// The vocabulary and the program.
    pub program_bytes: u64,
}

impl MemoryEstimate {
    /// What a model takes in a session of `room`, where a step asks for the logits of `n_logits`
    /// tokens at most, on `threads` threads of the CPU.
    #[must_use]
    pub fn of(model: &CheckedModel<'_>, room: &Room, n_logits: u32, threads: u32) -> Self {
        let sizes = &model.hyperparameters;
        let tensors = model.header.tensors();
        let repacked = |tensor: &&TensorInfo<'_>| is_repacked(tensor, tensors);
        let bytes = |tensor: &TensorInfo<'_>| tensor.size_bytes as u64;
        Self {
            weights_bytes: tensors.iter().map(bytes).sum(),
            repacked_bytes: tensors.iter().filter(repacked).map(bytes).sum(),
            cache_bytes: cache_bytes(sizes, u64::from(room.tokens), room.cache),
            compute_bytes: compute_bytes(sizes, tensors, room, n_logits, threads),
            program_bytes: vocabulary_bytes(model) + PROGRAM_BYTES,
        }
    }

    /// All of it.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        let Self { weights_bytes, repacked_bytes, cache_bytes, compute_bytes, program_bytes } =
            self;
        weights_bytes + repacked_bytes + cache_bytes + compute_bytes + program_bytes
    }
}

/// Bytes of the keys and values of `tokens`.
#[must_use]
pub fn cache_bytes(sizes: &Hyperparameters, tokens: u64, cache: CacheType) -> u64 {
    let tokens = tokens.next_multiple_of(CACHE_STEP_TOKENS);
    let in_16_bits = sizes.cache_bytes(u32::try_from(tokens).unwrap_or(u32::MAX));
    match cache {
        CacheType::F32 => in_16_bits * 2,
        CacheType::F16 => in_16_bits,
        // 34 bytes for 32 values.
        CacheType::Q8_0 => in_16_bits / 64 * 34,
    }
}

/// Whether llama.cpp keeps a copy of a matrix in the order that its kernels read.
fn is_repacked(tensor: &TensorInfo<'_>, all: &[TensorInfo<'_>]) -> bool {
    let [_, rows] = tensor.dimensions[..] else { return false };
    let is_output_too = || !all.iter().any(|other| other.name == "output.weight");
    let is_multiplied = match tensor.name {
        "token_embd.weight" => is_output_too(),
        name => !name.ends_with("_norm.weight"),
    };
    let has_kernel = if cfg!(target_arch = "x86_64") {
        let by_eight =
            matches!(tensor.kind, TensorType::Q4_0 | TensorType::Q4_K | TensorType::IQ4_NL);
        (by_eight && cfg!(target_feature = "avx2"))
            || (tensor.kind == TensorType::Q2_K && cfg!(target_feature = "avx512f"))
    } else {
        matches!(
            tensor.kind,
            TensorType::Q4_0
                | TensorType::IQ4_NL
                | TensorType::Q4_K
                | TensorType::Q5_K
                | TensorType::Q6_K
                | TensorType::Q8_0
        )
    };
    is_multiplied && has_kernel && rows.is_multiple_of(8)
}

fn compute_bytes(
    sizes: &Hyperparameters,
    tensors: &[TensorInfo<'_>],
    room: &Room,
    n_logits: u32,
    threads: u32,
) -> u64 {
    let [embd, ff, vocab] = [sizes.n_embd, sizes.n_ff, sizes.n_vocab].map(u64::from);
    let heads = u64::from(sizes.n_head);
    let query = heads * u64::from(sizes.head_dim);
    let kv = u64::from(sizes.n_head_kv) * u64::from(sizes.head_dim);
    let cells = u64::from(room.tokens).next_multiple_of(CACHE_STEP_TOKENS);
    let batch = u64::from(room.batch_tokens.min(room.tokens));
    let logits = u64::from(n_logits.max(1));
    let masks = if sizes.architecture == Architecture::Gemma3 { 2 } else { 1 };
    let has_flash_attention = room.cache != CacheType::F32;
    let feed_forward = 4 * batch * 3 * (embd + ff);
    let output = 4 * batch * 4 * embd + 4 * vocab * logits;
    let (mask, attention) = if has_flash_attention {
        (masks * 2 * batch * cells, 0)
    } else {
        let scores = 4 * batch * (2 * embd + 2 * query + kv) + 4 * batch * cells * heads;
        (masks * (4 * batch * cells + 8 * batch * kv), scores)
    };
    let activations = mask + feed_forward.max(output).max(attention);
    // The widest input of a matrix as 8-bit numbers, or as 16-bit ones.
    let work = 2 * batch * ff.max(query) + u64::from(threads) * (512 << 10);
    let outputs = 4 * vocab * (logits.max(u64::from(room.sequences)) + 1);
    let nodes = (8 * tensors.len() as u64).max(1024);
    activations + work + outputs + cells * CELL_BYTES * masks + nodes * NODE_BYTES
}

fn vocabulary_bytes(model: &CheckedModel<'_>) -> u64 {
    let merges = match model.header.get("tokenizer.ggml.merges") {
        Some(Value::Array(merges)) => merges.len() as u64,
        _ => 0,
    };
    let tokens = u64::from(model.hyperparameters.n_vocab);
    tokens * TOKEN_BYTES + merges * MERGE_BYTES + UNICODE_BYTES
}
