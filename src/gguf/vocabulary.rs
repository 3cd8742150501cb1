//! The vocabulary, checked for what llama.cpp's tokenizers rely on.

use std::collections::HashSet;

use super::value::{Array, Value, ValueType};
use super::{GgufError, Header};

const TOKENS_MAX: usize = 1 << 20;
/// The largest vocabulary of a BERT, LaBSE's, has 501,153.
const WORDPIECE_TOKENS_MAX: usize = 1 << 19;
const TOKEN_BYTES_MAX: usize = 1024;
const MERGE_BYTES_MAX: usize = 2048;
/// llama.cpp searches a text once for each special token.
const SPECIAL_TOKENS_MAX: usize = 1 << 14;
/// llama.cpp spells out each code point that is not of the byte alphabet together with the whole
/// token: a bound on what that may come to.
const UNMAPPED_BYTES_MAX: usize = 64 << 20;
const TOKEN_TYPE_NORMAL: i64 = 1;
const TOKEN_TYPE_BYTE: i64 = 6;

const TOKENS: &str = "tokenizer.ggml.tokens";
const TOKEN_TYPE: &str = "tokenizer.ggml.token_type";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";
const PRE: &str = "tokenizer.ggml.pre";
const MODEL: &str = "tokenizer.ggml.model";

/// Pre-tokenizers that llama.cpp splits with code of its own. The others go through a regular
/// expression engine that overflows its stack on long words.
const PRE_TOKENIZERS: [&str; 34] = [
    "llama-bpe",
    "llama3",
    "llama-v3",
    "falcon3",
    "falcon-h1",
    "pixtral",
    "midm-2.0",
    "lfm2",
    "dbrx",
    "smaug-bpe",
    "qwen2",
    "qwen35",
    "deepseek-r1-qwen",
    "kormo",
    "f2llmv2",
    "megrez",
    "stablelm2",
    "hunyuan",
    "solar-open",
    "grok-2",
    "gpt-2",
    "phi-2",
    "mpt",
    "olmo",
    "jais",
    "trillion",
    "exaone4",
    "mellum",
    "smollm",
    "starcoder",
    "refact",
    "command-r",
    "codeshell",
    "exaone",
];
/// Of these, the ones whose texts begin with a token of their own unless the file says otherwise.
const PRE_TOKENIZERS_WITH_BOS: [&str; 8] =
    ["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"];

/// The two families of tokenizers that the supported architectures use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tokenizer {
    /// `gpt2`: byte-level BPE with merges.
    Bpe,
    /// `llama`: SentencePiece with scores and byte tokens.
    Spm,
    /// `bert`: WordPiece.
    Wpm,
}

/// Checks the vocabulary and returns the number of its tokens.
pub(super) fn check(header: &Header<'_>) -> Result<u32, GgufError> {
    let tokenizer = match header.text(MODEL)? {
        Some("gpt2") => Tokenizer::Bpe,
        Some("llama") => Tokenizer::Spm,
        Some("bert") => Tokenizer::Wpm,
        Some(_) => {
            return Err(GgufError::key(MODEL, "is none of \"gpt2\", \"llama\" and \"bert\""));
        }
        None => return Err(GgufError::key(MODEL, "is missing")),
    };
    let tokens = strings(header, TOKENS)?;
    let n_tokens = tokens.len();
    if !(1..=TOKENS_MAX).contains(&n_tokens) {
        return Err(GgufError::key(TOKENS, format!("holds {n_tokens} tokens")));
    }
    let texts = check_texts(tokens)?;
    check_types(header, tokenizer, tokens)?;
    check_scores(header, n_tokens)?;
    match tokenizer {
        Tokenizer::Bpe => check_bpe(header)?,
        Tokenizer::Spm => check_byte_tokens(&texts)?,
        Tokenizer::Wpm => check_wordpiece(header, n_tokens)?,
    }
    check_special_tokens(header, tokenizer, n_tokens)?;
    check_template(header)?;
    // At most 2^20.
    Ok(n_tokens as u32)
}

fn strings<'a, 'map>(header: &'a Header<'map>, key: &str) -> Result<&'a Array<'map>, GgufError> {
    match header.array(key)? {
        Some(array) if array.kind() == ValueType::String => Ok(array),
        Some(_) => Err(GgufError::key(key, "is not an array of strings")),
        None => Err(GgufError::key(key, "is missing")),
    }
}

fn check_text(key: &str, index: usize, bytes: &[u8], bytes_max: usize) -> Result<(), GgufError> {
    let fault = if bytes.is_empty() {
        "is empty"
    } else if bytes.len() > bytes_max {
        "is too long"
    } else if bytes.contains(&0) {
        "contains a NUL byte"
    } else if std::str::from_utf8(bytes).is_err() {
        "is not UTF-8"
    } else {
        return Ok(());
    };
    Err(GgufError::key(key, format!("entry {index} {fault}")))
}

/// Every text is short, whole, and there once: llama.cpp asserts that texts and ids are one to
/// one.
fn check_texts<'map>(tokens: &Array<'map>) -> Result<HashSet<&'map [u8]>, GgufError> {
    let mut texts = HashSet::with_capacity(tokens.len());
    for (index, bytes) in tokens.strings().enumerate() {
        check_text(TOKENS, index, bytes, TOKEN_BYTES_MAX)?;
        if !texts.insert(bytes) {
            let shown = String::from_utf8_lossy(bytes);
            return Err(GgufError::key(TOKENS, format!("entry {index}, {shown:?}, appears twice")));
        }
    }
    Ok(texts)
}

fn check_types(
    header: &Header<'_>,
    tokenizer: Tokenizer,
    tokens: &Array<'_>,
) -> Result<(), GgufError> {
    let Some(types) = header.array(TOKEN_TYPE)? else {
        return Ok(());
    };
    if types.kind() != ValueType::I32 || types.len() != tokens.len() {
        let what = format!("must hold a 32-bit integer for each of {} tokens", tokens.len());
        return Err(GgufError::key(TOKEN_TYPE, what));
    }
    let mut n_special = 0;
    let mut unmapped_bytes = 0;
    for (index, (kind, text)) in types.iter().zip(tokens.strings()).enumerate() {
        let fail = |what: &str| Err(GgufError::key(TOKEN_TYPE, format!("entry {index} {what}")));
        let Value::Signed(kind @ 0..=6) = kind else {
            return fail("is no token type");
        };
        if kind == TOKEN_TYPE_BYTE && tokenizer == Tokenizer::Wpm {
            // llama.cpp aborts on one while it loads the vocabulary.
            return fail("says byte, but WordPiece has no tokens for bytes");
        }
        if kind == TOKEN_TYPE_BYTE && !is_byte_token(text) {
            return fail("says byte, but the token is not of the form <0xHH>");
        }
        if kind == TOKEN_TYPE_NORMAL {
            if tokenizer == Tokenizer::Bpe {
                unmapped_bytes += unmapped(text) * (text.len() + 24);
            }
        } else if kind != TOKEN_TYPE_BYTE {
            n_special += 1;
        }
    }
    if n_special > SPECIAL_TOKENS_MAX {
        return Err(GgufError::key(TOKEN_TYPE, format!("marks {n_special} tokens as special")));
    }
    if unmapped_bytes > UNMAPPED_BYTES_MAX {
        return Err(GgufError::key(TOKENS, "hold too much text outside the byte alphabet"));
    }
    Ok(())
}

/// Characters of a token that stand for no byte in the alphabet of byte-level BPE.
fn unmapped(text: &[u8]) -> usize {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let mapped = |char: char| matches!(u32::from(char), 33..=126 | 161..=172 | 174..=323);
    text.chars().filter(|&char| !mapped(char)).count()
}

fn is_byte_token(text: &[u8]) -> bool {
    matches!(text, [b'<', b'0', b'x', high, low, b'>']
        if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

fn check_scores(header: &Header<'_>, n_tokens: usize) -> Result<(), GgufError> {
    let Some(scores) = header.array(SCORES)? else {
        return Ok(());
    };
    if scores.kind() != ValueType::F32 || scores.len() != n_tokens {
        let what = format!("must hold a 32-bit float for each of {n_tokens} tokens");
        return Err(GgufError::key(SCORES, what));
    }
    let finite = |value: Value<'_>| matches!(value, Value::F32(score) if score.is_finite());
    if scores.iter().all(finite) {
        Ok(())
    } else {
        Err(GgufError::key(SCORES, "holds a score that is not finite"))
    }
}

fn check_bpe(header: &Header<'_>) -> Result<(), GgufError> {
    let pre = header.text(PRE)?.unwrap_or_default();
    if !PRE_TOKENIZERS.contains(&pre) {
        return Err(GgufError::key(PRE, format!("{pre:?} is not a supported pre-tokenizer")));
    }
    let merges = strings(header, MERGES)?;
    if merges.len() > TOKENS_MAX {
        return Err(GgufError::key(MERGES, format!("holds {} merges", merges.len())));
    }
    for (index, bytes) in merges.strings().enumerate() {
        check_text(MERGES, index, bytes, MERGE_BYTES_MAX)?;
        let mut sides = bytes.split(|&byte| byte == b' ');
        let two =
            [sides.next(), sides.next()].iter().all(|side| side.is_some_and(|it| !it.is_empty()));
        if !two || sides.next().is_some() {
            return Err(GgufError::key(MERGES, format!("entry {index} is not two texts")));
        }
    }
    Ok(())
}

/// SentencePiece falls back to a token for each byte; llama.cpp throws where one is missing.
fn check_byte_tokens(texts: &HashSet<&[u8]>) -> Result<(), GgufError> {
    let missing = (0..=255_u8).find(|byte| !texts.contains(format!("<0x{byte:02X}>").as_bytes()));
    match missing {
        Some(byte) => Err(GgufError::key(TOKENS, format!("has no token <0x{byte:02X}>"))),
        None => Ok(()),
    }
}

/// Texts begin and end with tokens that llama.cpp numbers as BERT does unless the file says
/// otherwise; it would abort on a text where such a number names no token.
fn check_wordpiece(header: &Header<'_>, n_tokens: usize) -> Result<(), GgufError> {
    if n_tokens > WORDPIECE_TOKENS_MAX {
        return Err(GgufError::key(TOKENS, format!("holds {n_tokens} tokens")));
    }
    for (name, default) in [
        ("bos_token_id", 101),
        ("seperator_token_id", 102),
        ("unknown_token_id", 100),
        ("padding_token_id", 0),
    ] {
        let key = format!("tokenizer.ggml.{name}");
        if header.unsigned(&key)?.is_none() && n_tokens <= default {
            return Err(GgufError::key(&key, "is missing"));
        }
    }
    for name in ["normalizer.lowercase", "normalizer.strip_accents"] {
        flag(header, &format!("tokenizer.ggml.{name}"))?;
    }
    Ok(())
}

fn check_special_tokens(
    header: &Header<'_>,
    tokenizer: Tokenizer,
    n_tokens: usize,
) -> Result<(), GgufError> {
    let in_vocabulary = |key: &str| -> Result<bool, GgufError> {
        match header.unsigned(key)? {
            None => Ok(false),
            Some(id) if id < n_tokens as u64 => Ok(true),
            Some(id) => {
                let what = format!("is {id}, but there are {n_tokens} tokens");
                Err(GgufError::key(key, what))
            }
        }
    };
    for (key, _) in header.metadata() {
        let is_id = key.starts_with("tokenizer.ggml.") && key.ends_with("_token_id");
        if is_id {
            in_vocabulary(key)?;
        }
    }
    if tokenizer == Tokenizer::Wpm {
        return Ok(());
    }
    let pre = header.text(PRE)?.unwrap_or_default();
    let adds_bos = tokenizer == Tokenizer::Spm || PRE_TOKENIZERS_WITH_BOS.contains(&pre);
    let eos = "tokenizer.ggml.eos_token_id";
    // Without one, llama.cpp takes token 11 or 2 for the end of a text.
    if !in_vocabulary(eos)? {
        return Err(GgufError::key(eos, "is missing"));
    }
    let bos = "tokenizer.ggml.bos_token_id";
    if flag(header, "tokenizer.ggml.add_bos_token")?.unwrap_or(adds_bos) && !in_vocabulary(bos)? {
        return Err(GgufError::key(bos, "is missing, but texts begin with it"));
    }
    for key in ["add_eos_token", "add_sep_token", "add_space_prefix", "remove_extra_whitespaces"] {
        flag(header, &format!("tokenizer.ggml.{key}"))?;
    }
    Ok(())
}

fn flag(header: &Header<'_>, key: &str) -> Result<Option<bool>, GgufError> {
    match header.get(key) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(GgufError::key(key, "is neither true nor false")),
    }
}

fn check_template(header: &Header<'_>) -> Result<(), GgufError> {
    let key = "tokenizer.chat_template";
    match header.text(key)? {
        Some(template) if template.len() > 1 << 20 => Err(GgufError::key(key, "is too long")),
        _ => Ok(()),
    }
}
