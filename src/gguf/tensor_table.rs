//! The tensors that each architecture is made of, with their shapes, and the check that a file
//! has exactly these.

use std::collections::HashMap;

use super::tensor::{TensorInfo, TensorType};
use super::{Architecture, GgufError, Header, Hyperparameters};

/// A tensor that may stand in the file.
struct Expected {
    dimensions: Vec<u64>,
    required: bool,
}

/// Checks that every required tensor is there and that every tensor there is known, has its shape
/// and a type that llama.cpp computes with.
pub(super) fn check(header: &Header<'_>, sizes: &Hyperparameters) -> Result<(), GgufError> {
    let expected = table(sizes);
    let found: HashMap<&str, &TensorInfo<'_>> =
        header.tensors().iter().map(|tensor| (tensor.name, tensor)).collect();
    for tensor in header.tensors() {
        let architecture = sizes.architecture.name();
        let Some(expected) = expected.get(tensor.name) else {
            let what = format!("does not belong to a model of architecture {architecture}");
            return Err(GgufError::tensor(tensor.name, what));
        };
        if !same_shape(&tensor.dimensions, &expected.dimensions) {
            let what = format!(
                "has shape {:?}; the hyperparameters make it {:?}",
                tensor.dimensions, expected.dimensions
            );
            return Err(GgufError::tensor(tensor.name, what));
        }
        // ggml adds and multiplies vectors (norms, biases, frequencies) as 32-bit floats only; a row
        // of the token types is such a vector.
        let is_vector = expected.dimensions.len() == 1 || tensor.name == "token_types.weight";
        if is_vector && tensor.kind != TensorType::F32 {
            let what = format!("is {:?}; it must be F32", tensor.kind);
            return Err(GgufError::tensor(tensor.name, what));
        }
    }
    let mut missing: Vec<&String> = expected
        .iter()
        .filter(|(name, tensor)| tensor.required && !found.contains_key(name.as_str()))
        .map(|(name, _)| name)
        .collect();
    missing.sort();
    match missing.first() {
        Some(name) => Err(GgufError::tensor(name, "is missing")),
        None => Ok(()),
    }
}

/// Trailing dimensions of 1 may be written or not.
fn same_shape(found: &[u64], expected: &[u64]) -> bool {
    let longest = found.len().max(expected.len());
    let at = |shape: &[u64], index: usize| shape.get(index).copied().unwrap_or(1);
    (0..longest).all(|index| at(found, index) == at(expected, index))
}

fn table(sizes: &Hyperparameters) -> HashMap<String, Expected> {
    if sizes.architecture.embeds() { embedding_table(sizes) } else { writing_table(sizes) }
}

/// The tensors of a model that turns a text into a vector.
fn embedding_table(sizes: &Hyperparameters) -> HashMap<String, Expected> {
    let [embd, ff, vocab, context, types] =
        [sizes.n_embd, sizes.n_ff, sizes.n_vocab, sizes.n_ctx_train, sizes.n_token_types]
            .map(u64::from);
    let kv = u64::from(sizes.head_dim) * u64::from(sizes.n_head_kv);
    let is_bert = sizes.architecture == Architecture::Bert;
    let mut table = HashMap::new();
    let mut add = |name: String, dimensions: &[u64], required: bool| {
        let dimensions = dimensions.to_vec();
        table.insert(name, Expected { dimensions, required });
    };
    add("token_embd.weight".into(), &[embd, vocab], true);
    add("token_types.weight".into(), &[embd, types], false);
    add("token_embd_norm.weight".into(), &[embd], true);
    add("token_embd_norm.bias".into(), &[embd], true);
    if is_bert {
        add("position_embd.weight".into(), &[embd, context], true);
    }
    for layer in 0..sizes.n_layer {
        let mut block = |name: &str, dimensions: &[u64], required: bool| {
            add(format!("blk.{layer}.{name}"), dimensions, required);
        };
        if is_bert {
            block("attn_q.weight", &[embd, embd], true);
            block("attn_k.weight", &[embd, kv], true);
            block("attn_v.weight", &[embd, kv], true);
            block("attn_q.bias", &[embd], false);
            block("attn_k.bias", &[kv], false);
            block("attn_v.bias", &[kv], false);
        } else {
            block("attn_qkv.weight", &[embd, embd + 2 * kv], true);
            block("attn_qkv.bias", &[embd + 2 * kv], false);
            block("ffn_gate.weight", &[embd, ff], true);
        }
        block("attn_output.weight", &[embd, embd], true);
        block("attn_output.bias", &[embd], false);
        block("attn_output_norm.weight", &[embd], true);
        block("attn_output_norm.bias", &[embd], true);
        block("ffn_up.weight", &[embd, ff], true);
        block("ffn_up.bias", &[ff], false);
        block("ffn_down.weight", &[ff, embd], true);
        block("ffn_down.bias", &[embd], false);
        block("layer_output_norm.weight", &[embd], true);
        block("layer_output_norm.bias", &[embd], true);
    }
    table
}

/// The tensors of a model that writes.
fn writing_table(sizes: &Hyperparameters) -> HashMap<String, Expected> {
    use Architecture::{Bert, Gemma3, Llama, NomicBert, Qwen2, Qwen3};

    let architecture = sizes.architecture;
    let [embd, ff, vocab, head] =
        [sizes.n_embd, sizes.n_ff, sizes.n_vocab, sizes.head_dim].map(u64::from);
    let query = head * u64::from(sizes.n_head);
    let kv = head * u64::from(sizes.n_head_kv);

    let mut table = HashMap::new();
    let mut add = |name: String, dimensions: &[u64], required: bool| {
        let dimensions = dimensions.to_vec();
        table.insert(name, Expected { dimensions, required });
    };
    add("token_embd.weight".into(), &[embd, vocab], true);
    add("output_norm.weight".into(), &[embd], true);
    // Absent where the embedding serves as output too.
    add("output.weight".into(), &[embd, vocab], false);
    match architecture {
        Llama => add("rope_freqs.weight".into(), &[head / 2], false),
        Qwen2 => add("output.bias".into(), &[vocab], false),
        Qwen3 | Gemma3 | Bert | NomicBert => {}
    }
    for layer in 0..sizes.n_layer {
        let mut block = |name: &str, dimensions: &[u64], required: bool| {
            add(format!("blk.{layer}.{name}"), dimensions, required);
        };
        block("attn_norm.weight", &[embd], true);
        block("attn_q.weight", &[embd, query], true);
        block("attn_k.weight", &[embd, kv], true);
        block("attn_v.weight", &[embd, kv], true);
        block("attn_output.weight", &[query, embd], true);
        block("ffn_norm.weight", &[embd], true);
        block("ffn_gate.weight", &[embd, ff], true);
        block("ffn_up.weight", &[embd, ff], true);
        block("ffn_down.weight", &[ff, embd], true);
        block("attn_q.bias", &[query], false);
        block("attn_k.bias", &[kv], false);
        block("attn_v.bias", &[kv], false);
        if architecture == Llama {
            block("attn_output.bias", &[embd], false);
            block("ffn_gate.bias", &[ff], false);
            block("ffn_up.bias", &[ff], false);
            block("ffn_down.bias", &[embd], false);
        }
        if matches!(architecture, Qwen3 | Gemma3) {
            block("attn_q_norm.weight", &[head], true);
            block("attn_k_norm.weight", &[head], true);
        }
        if architecture == Gemma3 {
            block("post_attention_norm.weight", &[embd], true);
            block("post_ffw_norm.weight", &[embd], true);
        }
    }
    table
}
