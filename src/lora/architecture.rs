//! What sets the families of models apart, as a table: the block itself is written once.
//!
//! Biases, norms of queries and keys, norms after a layer and a separate output are not named
//! here: a block has them where the file does.

use crate::ggml::{Activation, Rope, RopeKind};
use crate::gguf::{Architecture, CheckedModel, Header, Value};

use super::LoraError;

/// How one block attends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockAttention {
    /// How positions turn queries and keys.
    pub rope: Rope,
    /// Tokens that a query sees, itself included; `None` for all before it.
    pub window: Option<usize>,
}

/// The sizes and choices of a model, as far as a block depends on them.
#[derive(Debug, Clone, PartialEq)]
pub struct Design {
    /// Width of the residual stream.
    pub n_embd: usize,
    /// Query heads.
    pub n_head: usize,
    /// Key and value heads.
    pub n_head_kv: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width of the feed-forward layer.
    pub n_ff: usize,
    /// Tokens of the vocabulary.
    pub n_vocab: usize,
    /// Added to the mean square in every norm.
    pub rms_norm_eps: f32,
    /// What embeddings are multiplied by.
    pub embedding_scale: f32,
    /// What the products of queries and keys are multiplied by.
    pub attention_scale: f32,
    /// What a feed-forward layer does to its gate.
    pub activation: Activation,
    /// How each block attends.
    pub blocks: Vec<BlockAttention>,
}

/// The differences between families.
struct Family {
    rope: RopeKind,
    activation: Activation,
    embedding_is_scaled: bool,
    slides: bool,
}

fn family(architecture: Architecture) -> Option<Family> {
    let plain = |rope| Family {
        rope,
        activation: Activation::Silu,
        embedding_is_scaled: false,
        slides: false,
    };
    match architecture {
        Architecture::Llama => Some(plain(RopeKind::Interleaved)),
        Architecture::Qwen2 | Architecture::Qwen3 => Some(plain(RopeKind::Halves)),
        Architecture::Gemma3 => Some(Family {
            rope: RopeKind::Halves,
            activation: Activation::Gelu,
            embedding_is_scaled: true,
            slides: true,
        }),
        Architecture::Bert | Architecture::NomicBert => None,
    }
}

/// Every how many blocks one sees everything, in a model that does not say.
const GEMMA3_PATTERN: u64 = 6;
/// Blocks of the one Gemma 3 whose attention is scaled by its width instead of its heads'.
const GEMMA3_27B_BLOCKS: usize = 62;
const FREQ_BASE: f32 = 10_000.0;

impl Design {
    /// Reads what the trainer needs of a checked model.
    ///
    /// # Errors
    /// [`LoraError::Model`] for one that embeds, and for variants whose forward pass is not known
    /// here.
    pub fn read(model: &CheckedModel<'_>) -> Result<Self, LoraError> {
        let sizes = &model.hyperparameters;
        let architecture = sizes.architecture;
        let refuse = |what: &str| Err(LoraError::Model { what: what.to_owned() });
        let Some(family) = family(architecture) else {
            return refuse("it turns texts into vectors, and writes nothing");
        };
        let keys = Keys { header: &model.header, prefix: architecture.name() };
        if keys.header.text(&keys.name("rope.scaling.type"))? == Some("yarn") {
            return refuse("its positions are scaled by YaRN, which the trainer does not know");
        }
        if keys.float("rope.scaling.attn_factor")?.is_some_and(|factor| factor != 1.0) {
            return refuse("its rotations are scaled, which the trainer does not know");
        }
        if keys.float("final_logit_softcapping")?.is_some_and(|cap| cap > 0.0) {
            return refuse("its logits are capped, which the trainer does not know");
        }
        let [n_embd, n_head, head_dim, n_layer] =
            [sizes.n_embd, sizes.n_head, sizes.head_dim, sizes.n_layer].map(|size| size as usize);
        let wide = architecture == Architecture::Gemma3 && n_layer == GEMMA3_27B_BLOCKS;
        let scaled_width = if wide { n_embd / n_head } else { head_dim };
        Ok(Self {
            n_embd,
            n_head,
            n_head_kv: sizes.n_head_kv as usize,
            head_dim,
            n_ff: sizes.n_ff as usize,
            n_vocab: sizes.n_vocab as usize,
            rms_norm_eps: keys.float("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5),
            embedding_scale: if family.embedding_is_scaled { (n_embd as f32).sqrt() } else { 1.0 },
            attention_scale: 1.0 / (scaled_width as f32).sqrt(),
            activation: family.activation,
            blocks: keys.blocks(&family, n_layer)?,
        })
    }

    /// How many different windows blocks have.
    #[must_use]
    pub fn window_kinds(&self) -> usize {
        let windows: std::collections::HashSet<_> =
            self.blocks.iter().map(|block| block.window).collect();
        windows.len()
    }

    /// Elements of all queries of a token.
    #[must_use]
    pub fn query_width(&self) -> usize {
        self.n_head * self.head_dim
    }

    /// Elements of all keys, and of all values, of a token.
    #[must_use]
    pub fn kv_width(&self) -> usize {
        self.n_head_kv * self.head_dim
    }
}

struct Keys<'a> {
    header: &'a Header<'a>,
    prefix: &'static str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    fn float(&self, key: &str) -> Result<Option<f32>, LoraError> {
        Ok(self.header.float(&self.name(key))?)
    }

    fn blocks(&self, family: &Family, n_layer: usize) -> Result<Vec<BlockAttention>, LoraError> {
        let freq_base = self.float("rope.freq_base")?.unwrap_or(FREQ_BASE);
        let factor = match self.float("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => self.float("rope.scale_linear")?,
        };
        let unscaled = self.header.text(&self.name("rope.scaling.type"))? == Some("none");
        let factor = factor.filter(|factor| *factor > 0.0 && !unscaled);
        let everything = BlockAttention {
            rope: Rope { kind: family.rope, freq_base, freq_scale: 1.0 / factor.unwrap_or(1.0) },
            window: None,
        };
        let window = self.header.unsigned(&self.name("attention.sliding_window"))?;
        let Some(window) = window.filter(|window| family.slides && *window > 0) else {
            return Ok(vec![everything; n_layer]);
        };
        let sliding = BlockAttention {
            rope: Rope {
                kind: family.rope,
                freq_base: self.float("rope.freq_base_swa")?.unwrap_or(FREQ_BASE),
                freq_scale: 1.0,
            },
            window: Some(window as usize),
        };
        let slides = self.sliding(n_layer)?;
        Ok(slides.into_iter().map(|slides| if slides { sliding } else { everything }).collect())
    }

    /// Which blocks see a window only.
    fn sliding(&self, n_layer: usize) -> Result<Vec<bool>, LoraError> {
        let key = self.name("attention.sliding_window_pattern");
        if let Some(Value::Array(array)) = self.header.get(&key) {
            let slides = |value| match value {
                Value::Bool(truth) => truth,
                Value::Unsigned(number) => number > 0,
                Value::Signed(number) => number > 0,
                _ => false,
            };
            return Ok(array.iter().map(slides).collect());
        }
        let pattern = self.header.unsigned(&key)?.unwrap_or(GEMMA3_PATTERN) as usize;
        Ok((0..n_layer).map(|index| pattern == 0 || index % pattern < pattern - 1).collect())
    }
}
