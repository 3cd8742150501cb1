//! WordPiece as BERT's own tokenizer does it, with the vocabulary of a GGUF file.
//!
//! llama.cpp has a tokenizer of its own for these files, which gives other ids: it strips the
//! vowel signs of Indic scripts with the accents, decomposes Hangul by other tables, and knows no
//! longest word. Embeddings would differ from those that the model was trained to give.

use ahash::AHashMap;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, TokenizerImpl,
};

use super::Token;
use crate::gguf::{Header, Value};

const CONTINUATION: &str = "##";
/// What stands before the tokens that begin a word in a GGUF file.
const WORD_BEGIN: char = '\u{2581}';
/// BERT's own: a longer word is an unknown one.
const WORD_CHARS_MAX: usize = 100;
/// The ids that llama.cpp takes where a file names none.
const BEGIN: (&str, u64) = ("tokenizer.ggml.bos_token_id", 101);
const END: (&str, u64) = ("tokenizer.ggml.seperator_token_id", 102);
const UNKNOWN: (&str, u64) = ("tokenizer.ggml.unknown_token_id", 100);

type Inner = TokenizerImpl<
    WordPiece,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// The tokenizer of one embedding model.
#[derive(Debug)]
pub(super) struct WordPieceTokenizer {
    inner: Inner,
    begin: Token,
    end: Token,
}

impl WordPieceTokenizer {
    /// Reads the vocabulary of a checked file; `None` where it is of another kind.
    pub(super) fn read(header: &Header<'_>) -> Option<Self> {
        let model = header.text("tokenizer.ggml.model").ok().flatten();
        if model != Some("bert") {
            return None;
        }
        let tokens = header.array("tokenizer.ggml.tokens").ok().flatten()?;
        let texts: Vec<&str> =
            tokens.strings().map(std::str::from_utf8).collect::<Result<_, _>>().ok()?;
        let id =
            |(key, default): (&str, u64)| header.unsigned(key).ok().flatten().unwrap_or(default);
        let unknown = texts.get(usize::try_from(id(UNKNOWN)).ok()?)?;
        let vocabulary: AHashMap<String, u32> =
            (0..).zip(&texts).map(|(id, text)| (as_wordpiece(text), id)).collect();
        let pieces = WordPiece::builder()
            .vocab(vocabulary)
            .unk_token(as_wordpiece(unknown))
            .continuing_subword_prefix(CONTINUATION.into())
            .max_input_chars_per_word(WORD_CHARS_MAX)
            .build()
            .ok()?;
        let flag = |name: &str, default: bool| match header.get(name) {
            Some(Value::Bool(value)) => *value,
            _ => default,
        };
        let lowercase = flag("tokenizer.ggml.normalizer.lowercase", true);
        let strip_accents = flag("tokenizer.ggml.normalizer.strip_accents", lowercase);
        let mut inner = Inner::new(pieces);
        inner.with_normalizer(Some(BertNormalizer::new(
            true,
            true,
            Some(strip_accents),
            lowercase,
        )));
        inner.with_pre_tokenizer(Some(BertPreTokenizer));
        // Both were checked to be ids of the vocabulary.
        Some(Self { inner, begin: Token(id(BEGIN) as i32), end: Token(id(END) as i32) })
    }

    /// The tokens of `text` between those that begin and end it, `tokens_max` at most: what is too
    /// long is cut at its end.
    pub(super) fn tokenize(&self, text: &str, tokens_max: usize) -> Vec<Token> {
        // It fails on no text: whatever is not in the vocabulary is the unknown token.
        let ids = self.inner.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec());
        let inside = ids.unwrap_or_default().into_iter().take(tokens_max.saturating_sub(2));
        let mut tokens = vec![self.begin];
        tokens.extend(inside.map(|id| Token(id as i32)));
        tokens.push(self.end);
        tokens
    }
}

/// A GGUF file marks what begins a word, WordPiece what continues one.
fn as_wordpiece(token: &str) -> String {
    match token.strip_prefix(WORD_BEGIN) {
        Some(word) => word.to_owned(),
        None if token.starts_with('[') && token.ends_with(']') => token.to_owned(),
        None => format!("{CONTINUATION}{token}"),
    }
}
