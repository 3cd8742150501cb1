//! The sizes of a model, read from its metadata and checked for what llama.cpp asserts.
//!
//! llama.cpp reads some keys with defaults and asserts on others only while it computes; the
//! ranges here are those under which none of its assertions can fail.

use std::ops::RangeInclusive;

use super::value::Value;
use super::{GgufError, Header};

const MAX_U31: u64 = (1 << 31) - 1;
/// Bytes of a key or value of the cache: 16-bit floats.
const CACHE_ELEMENT_BYTES: u64 = 2;

/// The families of models that this program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Llama, Mistral, SmolLM.
    Llama,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3, dense.
    Qwen3,
    /// Gemma 3, text.
    Gemma3,
    /// BERT: MiniLM, bge, Contriever. Embeds; writes nothing.
    Bert,
    /// BERT with rotated positions and a gated feed-forward layer: nomic-embed.
    NomicBert,
}

/// How the embeddings of a text's tokens become one, as llama.cpp numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first one.
    Cls,
    /// The last one.
    Last,
}

impl Architecture {
    fn read(header: &Header<'_>) -> Result<Self, GgufError> {
        let key = "general.architecture";
        match header.text(key)? {
            Some("llama") => Ok(Self::Llama),
            Some("qwen2") => Ok(Self::Qwen2),
            Some("qwen3") => Ok(Self::Qwen3),
            Some("gemma3") => Ok(Self::Gemma3),
            Some("bert") => Ok(Self::Bert),
            Some("nomic-bert") => Ok(Self::NomicBert),
            Some(other) => {
                Err(GgufError::Architecture { architecture: other.chars().take(64).collect() })
            }
            None => Err(GgufError::key(key, "is missing")),
        }
    }

    /// Its name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 => "gemma3",
            Self::Bert => "bert",
            Self::NomicBert => "nomic-bert",
        }
    }

    /// Whether it turns a text into a vector instead of writing.
    #[must_use]
    pub fn embeds(self) -> bool {
        matches!(self, Self::Bert | Self::NomicBert)
    }
}

/// The sizes of a model, under their usual names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hyperparameters {
    /// The family.
    pub architecture: Architecture,
    /// Tokens of context it was trained for.
    pub n_ctx_train: u32,
    /// Width of the residual stream.
    pub n_embd: u32,
    /// Blocks.
    pub n_layer: u32,
    /// Width of the feed-forward layer.
    pub n_ff: u32,
    /// Query heads.
    pub n_head: u32,
    /// Key and value heads.
    pub n_head_kv: u32,
    /// Width of a head.
    pub head_dim: u32,
    /// Tokens of the vocabulary.
    pub n_vocab: u32,
    /// Kinds of segments that an embedding model tells apart.
    pub n_token_types: u32,
    /// How an embedding model makes one vector of a text; `None` where the file does not say, and
    /// of models that write.
    pub pooling: Option<Pooling>,
}

impl Hyperparameters {
    /// Reads and checks the sizes; `n_vocab` is the number of tokens in the vocabulary.
    ///
    /// # Errors
    /// [`GgufError::Key`] with the key and what is wrong.
    pub fn read(header: &Header<'_>, n_vocab: u32) -> Result<Self, GgufError> {
        let architecture = Architecture::read(header)?;
        let keys = Keys { header, prefix: architecture.name() };
        let n_layer = keys.required("block_count", 1..=256)?;
        let n_embd = keys.required("embedding_length", 1..=1 << 15)?;
        let n_head = keys.per_layer("attention.head_count", n_layer, 1..=256, None)?;
        let n_head_kv =
            keys.per_layer("attention.head_count_kv", n_layer, 1..=n_head, Some(n_head))?;
        if !n_head.is_multiple_of(n_head_kv) {
            let what = format!("is {n_head_kv}, which does not divide the {n_head} heads");
            return keys.fail("attention.head_count_kv", what);
        }
        let n_ff = keys.per_layer("feed_forward_length", n_layer, 1..=1 << 20, None)?;
        let embeds = architecture.embeds();
        // Two tokens begin and end every text that is embedded; each takes a position.
        let n_ctx_min = if embeds { 2 } else { 1 };
        let sizes = Self {
            architecture,
            n_ctx_train: keys.required("context_length", n_ctx_min..=MAX_U31)? as u32,
            n_embd: n_embd as u32,
            n_layer: n_layer as u32,
            n_ff: n_ff as u32,
            n_head: n_head as u32,
            n_head_kv: n_head_kv as u32,
            head_dim: head_dim(&keys, n_embd, n_head)? as u32,
            n_vocab,
            n_token_types: if embeds { keys.token_types()? } else { 0 },
            pooling: if embeds { keys.pooling()? } else { None },
        };
        keys.check_numbers(architecture)?;
        keys.check_rope_scaling()?;
        keys.check_absent(architecture)?;
        if architecture == Architecture::Gemma3 {
            keys.check_sliding_window(n_layer)?;
        }
        Ok(sizes)
    }

    /// Bytes that the keys and values of `context_tokens` take in a 16-bit cache.
    #[must_use]
    pub fn cache_bytes(&self, context_tokens: u32) -> u64 {
        let width = u64::from(self.n_head_kv) * u64::from(self.head_dim);
        2 * u64::from(self.n_layer) * width * u64::from(context_tokens) * CACHE_ELEMENT_BYTES
    }
}

/// Keys and values must have one width, all of which is rotated, in pairs.
fn head_dim(keys: &Keys<'_>, n_embd: u64, n_head: u64) -> Result<u64, GgufError> {
    let default = n_embd / n_head;
    let head_dim = keys.optional("attention.key_length", 2..=512)?.unwrap_or(default);
    if !head_dim.is_multiple_of(2) || !(2..=512).contains(&head_dim) {
        let what = format!("a head is {head_dim} wide; it must be even and from 2 to 512");
        return keys.fail("attention.key_length", what);
    }
    for name in ["attention.value_length", "rope.dimension_count"] {
        // llama.cpp takes the default from the heads, not from key_length, for the values.
        let fallback = if name == "attention.value_length" { default } else { head_dim };
        let found = keys.optional(name, 0..=MAX_U31)?.unwrap_or(fallback);
        if found != head_dim {
            return keys.fail(name, format!("is {found}, but heads are {head_dim} wide"));
        }
    }
    let must_be_square = matches!(keys.prefix, "qwen2" | "bert" | "nomic-bert");
    if must_be_square && head_dim * n_head != n_embd {
        let what = format!("{n_head} heads of {head_dim} do not make {n_embd}");
        return keys.fail("attention.head_count", what);
    }
    Ok(head_dim)
}

/// The keys of one architecture.
struct Keys<'a> {
    header: &'a Header<'a>,
    prefix: &'static str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    fn fail<T>(&self, key: &str, what: impl Into<String>) -> Result<T, GgufError> {
        Err(GgufError::key(&self.name(key), what))
    }

    fn in_range(
        &self,
        key: &str,
        value: u64,
        range: &RangeInclusive<u64>,
    ) -> Result<u64, GgufError> {
        if range.contains(&value) {
            return Ok(value);
        }
        self.fail(key, format!("is {value}; it must be {} to {}", range.start(), range.end()))
    }

    fn optional(&self, key: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, GgufError> {
        let value = self.header.unsigned(&self.name(key))?;
        value.map(|value| self.in_range(key, value, &range)).transpose()
    }

    fn required(&self, key: &str, range: RangeInclusive<u64>) -> Result<u64, GgufError> {
        self.optional(key, range)?.ok_or_else(|| GgufError::key(&self.name(key), "is missing"))
    }

    /// A number, or an array of the same number for each layer.
    fn per_layer(
        &self,
        key: &str,
        n_layer: u64,
        range: RangeInclusive<u64>,
        default: Option<u64>,
    ) -> Result<u64, GgufError> {
        let value = match self.header.get(&self.name(key)) {
            None => match default {
                Some(default) => default,
                None => return self.fail(key, "is missing"),
            },
            Some(Value::Array(array)) => {
                let mut values = array.iter().map(|value| match value {
                    Value::Unsigned(value) => Some(value),
                    Value::Signed(value) => u64::try_from(value).ok(),
                    _ => None,
                });
                match values.next() {
                    Some(Some(first))
                        if array.len() as u64 == n_layer
                            && values.all(|value| value == Some(first)) =>
                    {
                        first
                    }
                    _ => return self.fail(key, "differs between layers, which is not supported"),
                }
            }
            Some(_) => match self.optional(key, 0..=u64::MAX)? {
                Some(value) => value,
                None => return self.fail(key, "is missing"),
            },
        };
        self.in_range(key, value, &range)
    }

    fn float(&self, key: &str, range: RangeInclusive<f32>) -> Result<Option<f32>, GgufError> {
        match self.header.float(&self.name(key))? {
            Some(value) if !range.contains(&value) => self
                .fail(key, format!("is {value}; it must be {} to {}", range.start(), range.end())),
            value => Ok(value),
        }
    }

    /// The kinds of segments; llama.cpp refuses a file without them.
    fn token_types(&self) -> Result<u32, GgufError> {
        let key = "tokenizer.ggml.token_type_count";
        match self.header.unsigned(key)? {
            Some(count @ 1..=16) => Ok(count as u32),
            Some(count) => Err(GgufError::key(key, format!("is {count}; it must be 1 to 16"))),
            None => Err(GgufError::key(key, "is missing")),
        }
    }

    fn pooling(&self) -> Result<Option<Pooling>, GgufError> {
        let key = "pooling_type";
        match self.optional(key, 0..=4)? {
            None | Some(0) => Ok(None),
            Some(1) => Ok(Some(Pooling::Mean)),
            Some(2) => Ok(Some(Pooling::Cls)),
            Some(3) => Ok(Some(Pooling::Last)),
            Some(_) => self.fail(key, "is that of a model that ranks, not one that embeds"),
        }
    }

    fn check_numbers(&self, architecture: Architecture) -> Result<(), GgufError> {
        let epsilon = if architecture.embeds() {
            "attention.layer_norm_epsilon"
        } else {
            "attention.layer_norm_rms_epsilon"
        };
        if self.float(epsilon, 1e-12..=0.1)?.is_none() {
            return self.fail(epsilon, "is missing");
        }
        self.float("rope.freq_base", 1.0..=1e10)?;
        self.float("rope.freq_base_swa", 1.0..=1e10)?;
        self.float("final_logit_softcapping", 0.0..=1e4)?;
        Ok(())
    }

    fn check_rope_scaling(&self) -> Result<(), GgufError> {
        let kind = "rope.scaling.type";
        match self.header.text(&self.name(kind))? {
            None | Some("none" | "linear" | "yarn") => {}
            Some(other) => {
                let shown: String = other.chars().take(32).collect();
                return self.fail(kind, format!("is {shown:?}; none, linear and yarn are known"));
            }
        }
        for key in ["rope.scaling.factor", "rope.scale_linear"] {
            self.float(key, 0.0..=4096.0)?;
        }
        self.float("rope.scaling.attn_factor", 1e-3..=100.0)?;
        self.float("rope.scaling.alpha", -1e4..=1e4)?;
        self.optional("rope.scaling.original_context_length", 0..=MAX_U31)?;
        Ok(())
    }

    /// Keys of variants that this program does not run; llama.cpp aborts on several of them when
    /// the rest of the file does not go with them.
    fn check_absent(&self, architecture: Architecture) -> Result<(), GgufError> {
        for key in [
            "expert_count",
            "expert_used_count",
            "expert_group_count",
            "expert_group_used_count",
            "nextn_predict_layers",
            "moe_every_n_layers",
        ] {
            self.optional(key, 0..=0)?;
        }
        if !architecture.embeds() {
            self.optional("pooling_type", 0..=0)?;
        }
        for key in [
            "classifier.pooling_type",
            "classifier.output_labels",
            "embedding_length_out",
            "attention.key_length_swa",
            "attention.value_length_swa",
            "rope.dimension_count_swa",
        ] {
            if self.header.get(&self.name(key)).is_some() {
                return self.fail(key, "is of a kind of model that is not supported");
            }
        }
        match (self.header.get(&self.name("attention.causal")), architecture.embeds()) {
            (None | Some(Value::Bool(true)), false) | (Some(Value::Bool(false)), true) => {}
            (_, false) => return self.fail("attention.causal", "must be true"),
            (_, true) => return self.fail("attention.causal", "must be false"),
        }
        for key in ["general.tensor_extra.name", "general.tensor_extra.prec_a4"] {
            if self.header.get(key).is_some() {
                return Err(GgufError::key(key, "is not supported"));
            }
        }
        match self.header.unsigned("split.count")? {
            None | Some(0 | 1) => Ok(()),
            Some(parts) => Err(GgufError::key(
                "split.count",
                format!("is {parts}: the model is split into several files; join them first"),
            )),
        }
    }

    /// At least one layer must use the window that the file announces.
    fn check_sliding_window(&self, n_layer: u64) -> Result<(), GgufError> {
        let window = self.optional("attention.sliding_window", 0..=1 << 20)?.unwrap_or(0);
        let key = "attention.sliding_window_pattern";
        match self.header.get(&self.name(key)) {
            Some(Value::Array(array)) => {
                let any = array.iter().any(|value| {
                    matches!(value, Value::Bool(true) | Value::Unsigned(1..) | Value::Signed(1..))
                });
                if array.len() as u64 != n_layer || (window > 0 && !any) {
                    return self.fail(key, "must name a window layer, with one value per layer");
                }
            }
            _ => {
                let scalar = self.optional(key, 0..=MAX_U31)?;
                if scalar == Some(1) && window > 0 {
                    return self.fail(key, "is 1, which leaves no layer with a window");
                }
            }
        }
        Ok(())
    }
}
