//! BERT: the architecture of MiniLM, bge, Contriever and their kin.
//!
//! Names and layout follow llama.cpp's `bert`: vectors and positions stay 32-bit floats, matrices
//! become the wanted type. WordPiece's `##` marks a continuation; llama.cpp marks the beginning of
//! a word instead.

use std::collections::BTreeMap;

use serde::Deserialize;
use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::{Model, Tokenizer};

use super::weights::Weights;
use super::{ConvertError, Published};
use crate::gguf::{Metadata, Tensor, TensorType, encode};

const CONTINUATION: &str = "##";
/// What llama.cpp puts before the tokens that begin a word.
const WORD_BEGIN: char = '\u{2581}';
/// llama.cpp's numbers for how token embeddings become one.
const POOLING_MEAN: u32 = 1;
const POOLING_CLS: u32 = 2;
const TOKEN_TYPE_NORMAL: i32 = 1;
const TOKEN_TYPE_UNKNOWN: i32 = 2;
const TOKEN_TYPE_CONTROL: i32 = 3;
/// The special tokens, and the keys that name their ids.
const SPECIAL_TOKENS: [(&str, &str); 6] = [
    ("[CLS]", "bos_token_id"),
    ("[CLS]", "cls_token_id"),
    ("[SEP]", "seperator_token_id"),
    ("[PAD]", "padding_token_id"),
    ("[UNK]", "unknown_token_id"),
    ("[MASK]", "mask_token_id"),
];
const LAYERS_MAX: usize = 256;

#[derive(Deserialize)]
struct Config {
    model_type: String,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    vocab_size: usize,
    layer_norm_eps: f32,
}

fn gelu() -> String {
    "gelu".into()
}

fn absolute() -> String {
    "absolute".into()
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pooling {
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
}

/// What a GGUF file is made of.
pub(super) struct Converted {
    pub(super) metadata: Vec<(String, Metadata)>,
    pub(super) tensors: Vec<Tensor>,
}

/// The metadata and tensors of the GGUF file, its matrices as `kind`.
pub(super) fn bert(published: &Published, kind: TensorType) -> Result<Converted, ConvertError> {
    let config: Config = json("config.json", &published.config)?;
    config.check()?;
    let mut metadata = sizes(&config, pooling(published)?);
    metadata.extend(vocabulary(&config, &published.tokenizer)?);
    Ok(Converted { metadata, tensors: tensors(&config, &published.weights, kind)? })
}

fn json<'a, T: Deserialize<'a>>(file: &'static str, bytes: &'a [u8]) -> Result<T, ConvertError> {
    serde_json::from_slice(bytes).map_err(|error| ConvertError::Malformed {
        file,
        what: format!("is not of the expected shape: {error}"),
    })
}

fn unsupported<T>(what: String) -> Result<T, ConvertError> {
    Err(ConvertError::Unsupported { what })
}

impl Config {
    fn check(&self) -> Result<(), ConvertError> {
        if self.model_type != "bert" {
            return unsupported(format!("a model of type {:?}", self.model_type));
        }
        if self.hidden_act != "gelu" {
            return unsupported(format!("the activation {:?}", self.hidden_act));
        }
        if self.position_embedding_type != "absolute" {
            return unsupported(format!("{} positions", self.position_embedding_type));
        }
        let sizes = [self.hidden_size, self.intermediate_size, self.num_attention_heads];
        let plausible = sizes.iter().all(|&size| (1..=1 << 16).contains(&size))
            && (1..=LAYERS_MAX).contains(&self.num_hidden_layers)
            && (1..=1 << 16).contains(&self.max_position_embeddings)
            && (1..=16).contains(&self.type_vocab_size)
            && (1..=1 << 20).contains(&self.vocab_size)
            && self.hidden_size.is_multiple_of(self.num_attention_heads);
        if plausible { Ok(()) } else { unsupported("a model of these sizes".into()) }
    }
}

fn pooling(published: &Published) -> Result<u32, ConvertError> {
    let Some(bytes) = &published.pooling else {
        return Ok(POOLING_MEAN);
    };
    let pooling: Pooling = json("1_Pooling/config.json", bytes)?;
    match pooling {
        Pooling { pooling_mode_mean_tokens: true, pooling_mode_cls_token: false } => {
            Ok(POOLING_MEAN)
        }
        Pooling { pooling_mode_mean_tokens: false, pooling_mode_cls_token: true } => {
            Ok(POOLING_CLS)
        }
        _ => unsupported("pooling other than by mean or by first token".into()),
    }
}

fn sizes(config: &Config, pooling: u32) -> Vec<(String, Metadata)> {
    // Within the bounds that `check` sets.
    let number = |size: usize| Metadata::U32(size as u32);
    let entry = |key: &str, value: Metadata| (key.to_owned(), value);
    vec![
        entry("general.architecture", Metadata::Text("bert".into())),
        entry("bert.context_length", number(config.max_position_embeddings)),
        entry("bert.embedding_length", number(config.hidden_size)),
        entry("bert.block_count", number(config.num_hidden_layers)),
        entry("bert.feed_forward_length", number(config.intermediate_size)),
        entry("bert.attention.head_count", number(config.num_attention_heads)),
        entry("bert.attention.layer_norm_epsilon", Metadata::F32(config.layer_norm_eps)),
        entry("bert.attention.causal", Metadata::Bool(false)),
        entry("bert.pooling_type", Metadata::U32(pooling)),
        entry("tokenizer.ggml.token_type_count", number(config.type_vocab_size)),
    ]
}

fn vocabulary(config: &Config, bytes: &[u8]) -> Result<Vec<(String, Metadata)>, ConvertError> {
    let malformed = |what: String| ConvertError::Malformed { file: "tokenizer.json", what };
    let tokenizer = Tokenizer::from_bytes(bytes)
        .map_err(|error| malformed(format!("cannot be read: {error}")))?;
    let ModelWrapper::WordPiece(pieces) = tokenizer.get_model() else {
        return unsupported("a vocabulary other than WordPiece".into());
    };
    if pieces.continuing_subword_prefix != CONTINUATION {
        return unsupported("a continuation mark other than ##".into());
    }
    let Some(NormalizerWrapper::BertNormalizer(normalizer)) = tokenizer.get_normalizer() else {
        return unsupported("a normalizer other than BERT's".into());
    };
    let by_id: BTreeMap<u32, String> =
        pieces.get_vocab().into_iter().map(|(token, id)| (id, token)).collect();
    let dense = by_id.keys().copied().eq(0..config.vocab_size as u32);
    if !dense {
        let what = format!("does not number {} tokens from 0 on", config.vocab_size);
        return Err(malformed(what));
    }
    let mut metadata: Vec<(String, Metadata)> = Vec::new();
    let mut add = |key: &str, value: Metadata| {
        metadata.push((format!("tokenizer.ggml.{key}"), value));
    };
    add("model", Metadata::Text("bert".into()));
    add("tokens", Metadata::Texts(by_id.values().map(|token| begin_marked(token)).collect()));
    let kinds = by_id.values().map(|token| token_type(token, &pieces.unk_token)).collect();
    add("token_type", Metadata::I32s(kinds));
    for (token, key) in SPECIAL_TOKENS {
        let id = pieces.token_to_id(token).ok_or_else(|| malformed(format!("has no {token}")))?;
        add(key, Metadata::U32(id));
    }
    let strip_accents = normalizer.strip_accents.unwrap_or(normalizer.lowercase);
    add("normalizer.lowercase", Metadata::Bool(normalizer.lowercase));
    add("normalizer.strip_accents", Metadata::Bool(strip_accents));
    Ok(metadata)
}

fn is_special(token: &str) -> bool {
    token.starts_with('[') && token.ends_with(']') && token.len() > 2
}

/// WordPiece marks what continues a word, llama.cpp what begins one; special tokens have no mark.
fn begin_marked(token: &str) -> String {
    match token.strip_prefix(CONTINUATION) {
        _ if is_special(token) => token.to_owned(),
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => format!("{WORD_BEGIN}{token}"),
    }
}

fn token_type(token: &str, unknown: &str) -> i32 {
    if token == unknown {
        TOKEN_TYPE_UNKNOWN
    } else if is_special(token) {
        TOKEN_TYPE_CONTROL
    } else {
        TOKEN_TYPE_NORMAL
    }
}

/// The tensors of a block: their names here, there, and their shapes `[rows, columns]` or `[size]`.
fn block_tensors(config: &Config) -> Vec<(&'static str, &'static str, Vec<usize>)> {
    let (embd, ff) = (config.hidden_size, config.intermediate_size);
    vec![
        ("attn_q.weight", "attention.self.query.weight", vec![embd, embd]),
        ("attn_q.bias", "attention.self.query.bias", vec![embd]),
        ("attn_k.weight", "attention.self.key.weight", vec![embd, embd]),
        ("attn_k.bias", "attention.self.key.bias", vec![embd]),
        ("attn_v.weight", "attention.self.value.weight", vec![embd, embd]),
        ("attn_v.bias", "attention.self.value.bias", vec![embd]),
        ("attn_output.weight", "attention.output.dense.weight", vec![embd, embd]),
        ("attn_output.bias", "attention.output.dense.bias", vec![embd]),
        ("attn_output_norm.weight", "attention.output.LayerNorm.weight", vec![embd]),
        ("attn_output_norm.bias", "attention.output.LayerNorm.bias", vec![embd]),
        ("ffn_up.weight", "intermediate.dense.weight", vec![ff, embd]),
        ("ffn_up.bias", "intermediate.dense.bias", vec![ff]),
        ("ffn_down.weight", "output.dense.weight", vec![embd, ff]),
        ("ffn_down.bias", "output.dense.bias", vec![embd]),
        ("layer_output_norm.weight", "output.LayerNorm.weight", vec![embd]),
        ("layer_output_norm.bias", "output.LayerNorm.bias", vec![embd]),
    ]
}

fn tensors(config: &Config, bytes: &[u8], kind: TensorType) -> Result<Vec<Tensor>, ConvertError> {
    let weights = Weights::parse(bytes, "bert.")?;
    let embd = config.hidden_size;
    let mut tensors = Vec::new();
    let mut add = |name: String, there: &str, shape: &[usize], kind: TensorType| {
        let values = weights.tensor(there, shape)?;
        let kind = if shape.len() == 1 { TensorType::F32 } else { kind };
        let row = shape[shape.len() - 1];
        let bytes = encode(&values, row, kind).ok_or_else(|| ConvertError::Unsupported {
            what: format!("a model of width {row} as {kind:?}"),
        })?;
        // ggml names the contiguous dimension first.
        let dimensions = shape.iter().rev().map(|&size| size as u64).collect();
        tensors.push(Tensor { name, dimensions, kind, bytes });
        Ok::<(), ConvertError>(())
    };
    let f32 = TensorType::F32;
    let words = [config.vocab_size, embd];
    add("token_embd.weight".into(), "embeddings.word_embeddings.weight", &words, kind)?;
    let positions = [config.max_position_embeddings, embd];
    add("position_embd.weight".into(), "embeddings.position_embeddings.weight", &positions, f32)?;
    let types = [config.type_vocab_size, embd];
    add("token_types.weight".into(), "embeddings.token_type_embeddings.weight", &types, f32)?;
    add("token_embd_norm.weight".into(), "embeddings.LayerNorm.weight", &[embd], f32)?;
    add("token_embd_norm.bias".into(), "embeddings.LayerNorm.bias", &[embd], f32)?;
    for layer in 0..config.num_hidden_layers {
        for (here, there, shape) in block_tensors(config) {
            let there = format!("encoder.layer.{layer}.{there}");
            add(format!("blk.{layer}.{here}"), &there, &shape, kind)?;
        }
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_word_is_marked_instead_of_its_continuation() {
        assert_eq!(begin_marked("##ing"), "ing");
        assert_eq!(begin_marked("walk"), "\u{2581}walk");
        assert_eq!(begin_marked("[CLS]"), "[CLS]");
        assert_eq!(begin_marked("##"), "\u{2581}##");
        assert_eq!(begin_marked("["), "\u{2581}[");
    }

    #[test]
    fn other_models_are_named() {
        let published = Published {
            config: br#"{"model_type": "roberta", "hidden_size": 8, "intermediate_size": 8,
                "num_hidden_layers": 1, "num_attention_heads": 1, "max_position_embeddings": 8,
                "type_vocab_size": 1, "vocab_size": 8, "layer_norm_eps": 1e-5}"#
                .to_vec(),
            tokenizer: Vec::new(),
            weights: Vec::new(),
            pooling: None,
        };
        let error = bert(&published, TensorType::F16).err().unwrap();
        assert!(error.to_string().contains("roberta"), "{error}");
    }
}
