//! Texts into vectors: a BERT-like model, several texts in one batch.
//!
//! Knows nothing of passages, queries or their prefixes: texts in, unit vectors out.

use std::num::NonZeroU32;
use std::path::Path;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{LlamaContextParams, LlamaPoolingType};
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;

use super::wordpiece::WordPieceTokenizer;
use super::{LlamaError, Runtime, Token};
use crate::gguf::{self, ModelFile, Pooling};

/// Texts in one batch; llama.cpp's own bound is 256. It reserves as many tokens for each, and one
/// output for each, and asserts where a batch is no multiple of this.
const TEXTS_MAX: usize = 64;
/// llama.cpp sets aside a logit per token of the vocabulary for each token of a batch, though an
/// embedder has none: a bound on what that takes.
const LOGITS_BYTES_MAX: usize = 256 << 20;
/// Positions beyond this cost more than they tell; passages are shorter.
const MAX_TEXT_TOKENS: u32 = 512;
/// Bytes of a text that can matter: longer ones are cut before they are tokenized.
const TEXT_BYTES_PER_TOKEN: usize = 64;

/// An embedding model, ready to embed.
#[derive(Debug)]
pub struct Embedder {
    // Dropped before what it was loaded on.
    model: LlamaModel,
    runtime: Runtime,
    tokenizer: WordPieceTokenizer,
    pooling: LlamaPoolingType,
    batch_tokens: usize,
    text_tokens_max: usize,
    threads: i32,
    dimensions: usize,
}

impl Embedder {
    /// Checks the file at `path` and loads it. Texts are embedded `batch_tokens` at a time, more
    /// where a single one may be longer, on `threads` threads.
    ///
    /// # Errors
    /// [`LlamaError::Gguf`], [`LlamaError::DoesNotEmbed`] or [`LlamaError::Load`].
    pub fn load(
        runtime: Runtime,
        path: &Path,
        batch_tokens: u32,
        threads: u32,
    ) -> Result<Self, LlamaError> {
        let file = ModelFile::open(path)?;
        let checked = gguf::check(&file)?;
        let sizes = &checked.hyperparameters;
        if !sizes.architecture.embeds() {
            return Err(LlamaError::DoesNotEmbed { path: path.to_owned() });
        }
        let tokenizer = WordPieceTokenizer::read(&checked.header)
            .ok_or_else(|| LlamaError::DoesNotEmbed { path: path.to_owned() })?;
        let pooling = match sizes.pooling {
            Some(Pooling::Mean) | None => LlamaPoolingType::Mean,
            Some(Pooling::Cls) => LlamaPoolingType::Cls,
            Some(Pooling::Last) => LlamaPoolingType::Last,
        };
        let text_tokens_max = sizes.n_ctx_train.min(MAX_TEXT_TOKENS) as usize;
        let dimensions = sizes.n_embd as usize;
        let affordable = LOGITS_BYTES_MAX / (4 * sizes.n_vocab as usize);
        let model =
            LlamaModel::load_from_file(runtime.backend(), path, &LlamaModelParams::default())
                .map_err(|_| LlamaError::Load { path: path.to_owned() })?;
        Ok(Self {
            model,
            runtime,
            tokenizer,
            pooling,
            batch_tokens: (batch_tokens as usize)
                .min(affordable)
                .max(text_tokens_max)
                .next_multiple_of(TEXTS_MAX),
            text_tokens_max,
            threads: i32::try_from(threads).unwrap_or(i32::MAX),
            dimensions,
        })
    }

    /// The length of its vectors.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The tokens of `text`, with those that begin and end it; what is too long is cut.
    #[must_use]
    pub fn tokenize(&self, text: &str) -> Vec<Token> {
        let end = text.floor_char_boundary(self.text_tokens_max * TEXT_BYTES_PER_TOKEN);
        self.tokenizer.tokenize(&text[..end], self.text_tokens_max)
    }

    /// The tokens of `text` as llama.cpp's own tokenizer sees it. It differs for some scripts; where
    /// it does not, it shows that the file's vocabulary is laid out as llama.cpp expects.
    #[must_use]
    pub fn tokenize_by_llama(&self, text: &str) -> Vec<Token> {
        self.model.vocab().tokenize(text.as_bytes(), true, false)
    }

    /// A unit vector for each text, in order.
    ///
    /// # Errors
    /// [`LlamaError::Context`], [`LlamaError::Decode`] or [`LlamaError::NotFinite`].
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, LlamaError> {
        let tokenized: Vec<Vec<Token>> = texts.iter().map(|text| self.tokenize(text)).collect();
        // Texts of one length share a batch well; the order is restored at the end.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&index| tokenized[index].len());
        let mut context = self.context()?;
        let mut vectors = vec![Vec::new(); texts.len()];
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let (batch, more) = rest.split_at(self.batch_length(rest, &tokenized));
            let parts: Vec<&[Token]> =
                batch.iter().map(|&index| tokenized[index].as_slice()).collect();
            for (&index, vector) in batch.iter().zip(self.embed_batch(&mut context, &parts)?) {
                vectors[index] = vector;
            }
            rest = more;
        }
        Ok(vectors)
    }

    /// How many of the next texts fit one batch.
    fn batch_length(&self, order: &[usize], tokenized: &[Vec<Token>]) -> usize {
        let mut tokens = 0;
        let fits = order.iter().take(TEXTS_MAX).take_while(|&&index| {
            tokens += tokenized[index].len();
            tokens <= self.batch_tokens
        });
        // A single text is never longer than a batch.
        fits.count().max(1)
    }

    fn context(&self) -> Result<LlamaContext<'_>, LlamaError> {
        let tokens = u32::try_from(self.batch_tokens).unwrap_or(u32::MAX);
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(tokens))
            .with_n_batch(tokens)
            .with_n_ubatch(tokens)
            .with_n_seq_max(TEXTS_MAX as u32)
            .with_n_threads(self.threads)
            .with_n_threads_batch(self.threads)
            .with_embeddings(true)
            .with_pooling_type(self.pooling);
        self.model
            .new_context(self.runtime.backend(), params)
            .map_err(|_| LlamaError::Context { context_tokens: tokens })
    }

    fn embed_batch(
        &self,
        context: &mut LlamaContext<'_>,
        texts: &[&[Token]],
    ) -> Result<Vec<Vec<f32>>, LlamaError> {
        let failed = |reason: String| LlamaError::Decode { reason };
        let mut batch = LlamaBatch::new(self.batch_tokens, 1);
        for (sequence, tokens) in (0..).zip(texts) {
            batch
                .add_sequence(tokens, sequence, true)
                .map_err(|error| failed(error.to_string()))?;
        }
        context.encode(&mut batch).map_err(|error| failed(error.to_string()))?;
        (0..)
            .zip(texts)
            .map(|(sequence, _)| {
                let vector = context
                    .embeddings_seq_ith(sequence)
                    .map_err(|error| failed(error.to_string()))?;
                unit(vector).ok_or(LlamaError::NotFinite)
            })
            .collect()
    }
}

/// The vector with length 1; `None` where it is no vector of numbers.
fn unit(vector: &[f32]) -> Option<Vec<f32>> {
    let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    (norm.is_finite() && norm > 0.0).then(|| vector.iter().map(|value| value / norm).collect())
}
