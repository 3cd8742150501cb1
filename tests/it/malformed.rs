//! llama.cpp aborts or crashes on many malformed model files (block_count 0, a negative epsilon,
//! two tokens with one text, integer weights …), and nothing in Rust can catch that. Each case
//! here is a valid tiny model with one thing wrong; each must end in exit code 4, or load and
//! write. A signal, a hang or any other code fails.

use crate::support::{Home, Said};
use crate::tiny::{self, F16, Gguf, N_EMBD, Tensor, Value, text};

/// What a case does to a valid file.
enum Damage {
    /// To the model before it is written.
    Model(fn(&mut Gguf)),
    /// To the bytes afterwards.
    Bytes(fn(&mut Vec<u8>)),
}

use Damage::{Bytes, Model};

/// Damage to any of the models, shown on the llama.
fn general_cases() -> Vec<(&'static str, Damage)> {
    vec![
        ("empty file", Bytes(|bytes| bytes.clear())),
        ("magic alone", Bytes(|bytes| bytes.truncate(4))),
        ("wrong magic", Model(|model| model.magic = *b"GGML")),
        ("big-endian", Model(|model| model.version = 3_u32.swap_bytes())),
        ("version 0", Model(|model| model.version = 0)),
        ("version 1", Model(|model| model.version = 1)),
        ("version 99", Model(|model| model.version = 99)),
        ("half a header", Bytes(|bytes| bytes.truncate(200))),
        ("no data", Bytes(|bytes| bytes.truncate(12_000))),
        ("last byte missing", Bytes(|bytes| bytes.truncate(bytes.len() - 33))),
        ("too many keys", Model(|model| model.n_keys = Some(u64::MAX))),
        ("one key too few", Model(|model| model.n_keys = Some(model.metadata.len() as u64 - 1))),
        ("one key too many", Model(|model| model.n_keys = Some(model.metadata.len() as u64 + 1))),
        ("too many tensors", Model(|model| model.n_tensors = Some(1 << 40))),
        ("no tensors", Model(|model| model.tensors.clear())),
        (
            "a key twice",
            Model(|model| {
                model.metadata.push(("general.name".into(), text("again")));
            }),
        ),
        ("a key without a name", Model(|model| model.metadata.push((String::new(), text("x"))))),
        ("a key with a NUL", Model(|model| model.metadata.push(("a\0b".into(), text("x"))))),
        ("a huge key", Model(|model| model.metadata.push(("k".repeat(70_000), text("x"))))),
        ("a value of no type", Model(|model| model.set("x", Value::Raw(13, vec![0; 8])))),
        ("a boolean of 2", Model(|model| model.set("x", Value::Raw(7, vec![2])))),
        (
            "a text of 2^63 bytes",
            Model(|model| {
                model.set("x", Value::Raw(8, (1_u64 << 63).to_le_bytes().to_vec()));
            }),
        ),
        (
            "an array of arrays",
            Model(|model| {
                let mut raw = 9_u32.to_le_bytes().to_vec();
                raw.extend(1_u64.to_le_bytes());
                model.set("x", Value::Raw(9, raw));
            }),
        ),
        (
            "an array of 2^61 numbers",
            Model(|model| {
                let mut raw = 10_u32.to_le_bytes().to_vec();
                raw.extend((1_u64 << 61).to_le_bytes());
                model.set("x", Value::Raw(9, raw));
            }),
        ),
        ("alignment 0", Model(|model| model.set("general.alignment", Value::U32(0)))),
        (
            "alignment 8",
            Model(|model| {
                model.set("general.alignment", Value::U32(8));
                model.alignment = 8;
            }),
        ),
        ("alignment 33", Model(|model| model.set("general.alignment", Value::U32(33)))),
        ("alignment as text", Model(|model| model.set("general.alignment", text("32")))),
        ("no architecture", Model(|model| model.remove("general.architecture"))),
        ("unknown architecture", Model(|model| model.set("general.architecture", text("gpt9")))),
        (
            "architecture as a number",
            Model(|model| {
                model.set("general.architecture", Value::U32(1));
            }),
        ),
        (
            "architecture not UTF-8",
            Model(|model| {
                model.set("general.architecture", Value::Text(vec![0xff, 0xfe]));
            }),
        ),
        ("another architecture", Model(|model| model.set("general.architecture", text("gemma3")))),
        ("one part of several", Model(|model| model.set("split.count", Value::U32(3)))),
    ]
}

/// Hyperparameters.
fn size_cases() -> Vec<(&'static str, Damage)> {
    vec![
        ("no block count", Model(|model| model.remove("llama.block_count"))),
        ("no blocks", Model(|model| model.set("llama.block_count", Value::U32(0)))),
        ("2^32-1 blocks", Model(|model| model.set("llama.block_count", Value::U32(u32::MAX)))),
        ("a block too many", Model(|model| model.set("llama.block_count", Value::U32(3)))),
        ("blocks as text", Model(|model| model.set("llama.block_count", text("2")))),
        ("blocks as 64 bits", Model(|model| model.set("llama.block_count", Value::U64(2)))),
        ("blocks as a byte", Model(|model| model.set("llama.block_count", Value::U8(2)))),
        ("negative blocks", Model(|model| model.set("llama.block_count", Value::I32(-2)))),
        ("no width", Model(|model| model.set("llama.embedding_length", Value::U32(0)))),
        ("another width", Model(|model| model.set("llama.embedding_length", Value::U32(128)))),
        ("no context", Model(|model| model.set("llama.context_length", Value::U32(0)))),
        (
            "endless context",
            Model(|model| {
                model.set("llama.context_length", Value::U32(u32::MAX));
            }),
        ),
        ("no heads", Model(|model| model.set("llama.attention.head_count", Value::U32(0)))),
        ("no head count", Model(|model| model.remove("llama.attention.head_count"))),
        ("no key heads", Model(|model| model.set("llama.attention.head_count_kv", Value::U32(0)))),
        (
            "3 key heads for 4",
            Model(|model| {
                model.set("llama.attention.head_count_kv", Value::U32(3));
            }),
        ),
        (
            "heads that differ",
            Model(|model| {
                model.set("llama.attention.head_count", Value::U32s(vec![4, 2]));
            }),
        ),
        (
            "heads that do not divide the width",
            Model(|model| {
                model.set("llama.attention.head_count", Value::U32(6));
            }),
        ),
        ("odd heads", Model(|model| model.set("llama.attention.key_length", Value::U32(15)))),
        ("wide values", Model(|model| model.set("llama.attention.value_length", Value::U32(32)))),
        ("no feed-forward", Model(|model| model.remove("llama.feed_forward_length"))),
        (
            "negative epsilon",
            Model(|model| {
                model.set("llama.attention.layer_norm_rms_epsilon", Value::F32(-1e-5));
            }),
        ),
        (
            "epsilon not a number",
            Model(|model| {
                model.set("llama.attention.layer_norm_rms_epsilon", Value::F32(f32::NAN));
            }),
        ),
        ("no epsilon", Model(|model| model.remove("llama.attention.layer_norm_rms_epsilon"))),
        (
            "unknown rope scaling",
            Model(|model| {
                model.set("llama.rope.scaling.type", text("dynamic"));
            }),
        ),
        (
            "rope scaling not a number",
            Model(|model| {
                model.set("llama.rope.scaling.factor", Value::F32(f32::NAN));
            }),
        ),
        ("odd rope", Model(|model| model.set("llama.rope.dimension_count", Value::U32(7)))),
        ("wide rope", Model(|model| model.set("llama.rope.dimension_count", Value::U32(64)))),
        (
            "infinite rope base",
            Model(|model| {
                model.set("llama.rope.freq_base", Value::F32(f32::INFINITY));
            }),
        ),
        (
            "experts without experts",
            Model(|model| {
                model.set("llama.expert_count", Value::U32(4));
            }),
        ),
        ("experts in use", Model(|model| model.set("llama.expert_used_count", Value::U32(2)))),
        (
            "more predicted than there are",
            Model(|model| {
                model.set("llama.nextn_predict_layers", Value::U32(9));
            }),
        ),
        ("not causal", Model(|model| model.set("llama.attention.causal", Value::Bool(false)))),
        ("pooled", Model(|model| model.set("llama.pooling_type", Value::U32(77)))),
    ]
}

/// The vocabulary.
fn vocabulary_cases() -> Vec<(&'static str, Damage)> {
    vec![
        ("no tokenizer", Model(|model| model.remove("tokenizer.ggml.model"))),
        ("unknown tokenizer", Model(|model| model.set("tokenizer.ggml.model", text("magic")))),
        ("unknown pre-tokenizer", Model(|model| model.set("tokenizer.ggml.pre", text("magic")))),
        ("no tokens", Model(|model| model.remove("tokenizer.ggml.tokens"))),
        ("an empty vocabulary", Model(|model| model.tokens().clear())),
        (
            "tokens as numbers",
            Model(|model| {
                model.set("tokenizer.ggml.tokens", Value::I32s(vec![1; 264]));
            }),
        ),
        ("one text twice", Model(|model| model.tokens()[9] = model.tokens()[8].clone())),
        (
            "all texts alike",
            Model(|model| {
                model.tokens().iter_mut().for_each(|token| *token = b"x".to_vec());
            }),
        ),
        ("an empty token", Model(|model| model.tokens()[9].clear())),
        ("a token with a NUL", Model(|model| model.tokens()[9] = b"a\0b".to_vec())),
        ("a token not UTF-8", Model(|model| model.tokens()[9] = vec![0xc3, 0x28])),
        ("an endless token", Model(|model| model.tokens()[9] = vec![b'a'; 1 << 20])),
        (
            "a token fewer than rows",
            Model(|model| {
                model.tokens().pop();
            }),
        ),
        ("a token more than rows", Model(|model| model.tokens().push(b"extra".to_vec()))),
        (
            "types for half the tokens",
            Model(|model| {
                model.set("tokenizer.ggml.token_type", Value::I32s(vec![1; 100]));
            }),
        ),
        (
            "types out of range",
            Model(|model| {
                let count = model.tokens().len();
                model.set("tokenizer.ggml.token_type", Value::I32s(vec![77; count]));
            }),
        ),
        (
            "bytes that are none",
            Model(|model| {
                let count = model.tokens().len();
                model.set("tokenizer.ggml.token_type", Value::I32s(vec![6; count]));
            }),
        ),
        ("no merges", Model(|model| model.remove("tokenizer.ggml.merges"))),
        (
            "a merge without a space",
            Model(|model| {
                model.set("tokenizer.ggml.merges", Value::Texts(vec![b"th".to_vec()]));
            }),
        ),
        (
            "an end beyond the tokens",
            Model(|model| {
                model.set("tokenizer.ggml.eos_token_id", Value::U32(70_000));
            }),
        ),
        (
            "a beginning that is missing",
            Model(|model| {
                model.remove("tokenizer.ggml.bos_token_id");
                model.set("tokenizer.ggml.add_bos_token", Value::Bool(true));
            }),
        ),
        ("no end", Model(|model| model.remove("tokenizer.ggml.eos_token_id"))),
        (
            "a template that is a number",
            Model(|model| {
                model.set("tokenizer.chat_template", Value::U32(7));
            }),
        ),
        (
            "a template of nonsense",
            Model(|model| {
                model.set("tokenizer.chat_template", text("{% for %}{{ messages[ }}"));
            }),
        ),
    ]
}

/// The tensors.
fn tensor_cases() -> Vec<(&'static str, Damage)> {
    const NORM: &str = "blk.0.attn_norm.weight";
    const QUERY: &str = "blk.1.attn_q.weight";
    vec![
        ("a tensor missing", Model(|model| model.tensors.retain(|tensor| tensor.name != QUERY))),
        (
            "a tensor unknown",
            Model(|model| {
                tiny::add_tensor(model, "blk.0.surprise.weight", &[N_EMBD]);
            }),
        ),
        (
            "a tensor twice",
            Model(|model| {
                let again = model.tensor(NORM).clone();
                model.tensors.push(again);
            }),
        ),
        ("a tensor without a name", Model(|model| model.tensor(NORM).name.clear())),
        ("a tensor's name of 64 bytes", Model(|model| model.tensor(NORM).name = "n".repeat(64))),
        ("no dimensions", Model(|model| model.tensor(QUERY).dimensions.clear())),
        ("five dimensions", Model(|model| model.tensor(QUERY).dimensions = vec![64, 64, 1, 1, 1])),
        ("a dimension of 0", Model(|model| model.tensor(QUERY).dimensions = vec![64, 0])),
        (
            "dimensions that overflow",
            Model(|model| {
                model.tensor(QUERY).dimensions = vec![1 << 33, 1 << 33];
            }),
        ),
        (
            "dimensions at the edge of overflow",
            Model(|model| {
                model.tensor(QUERY).dimensions = vec![(1 << 31) - 1, 1 << 32];
            }),
        ),
        (
            "dimensions exchanged",
            Model(|model| {
                model.tensor("blk.0.ffn_up.weight").dimensions.reverse();
            }),
        ),
        ("integer weights", Model(|model| model.tensor(QUERY).kind = 26)),
        ("8-bit integer weights", Model(|model| model.tensor(QUERY).kind = 24)),
        ("double weights", Model(|model| model.tensor(QUERY).kind = 28)),
        ("q8_K weights", Model(|model| model.tensor(QUERY).kind = 15)),
        ("weights of a removed type", Model(|model| model.tensor(QUERY).kind = 4)),
        ("weights of no type", Model(|model| model.tensor(QUERY).kind = u32::MAX)),
        (
            "a norm of 16 bits",
            Model(|model| {
                let norm = model.tensor(NORM);
                norm.kind = F16;
                norm.data.truncate(2 * N_EMBD as usize);
            }),
        ),
        (
            "rows that are no whole blocks",
            Model(|model| {
                let tensor = model.tensor(QUERY);
                tensor.kind = 12;
                tensor.data.truncate(144 * 16);
            }),
        ),
        ("an offset into the next tensor", Model(|model| model.tensor(QUERY).offset = Some(64))),
        ("an offset that is not aligned", Model(|model| model.tensor(QUERY).offset = Some(1))),
        ("an offset beyond the file", Model(|model| model.tensor(QUERY).offset = Some(1 << 50))),
        ("an offset that overflows", Model(|model| model.tensor(QUERY).offset = Some(u64::MAX))),
        ("weights that are not numbers", Model(|model| fill(model.tensor(QUERY), f32::NAN))),
        (
            "infinite weights",
            Model(|model| {
                fill(model.tensor("token_embd.weight"), f32::INFINITY);
            }),
        ),
        ("weights that overflow", Model(|model| fill(model.tensor(QUERY), f32::MAX))),
        (
            "weights that are all zero",
            Model(|model| {
                model.tensors.iter_mut().for_each(|tensor| fill(tensor, 0.0));
            }),
        ),
    ]
}

/// What only the gemma3 has: a window, SentencePiece.
fn gemma_cases() -> Vec<(&'static str, Damage)> {
    vec![
        (
            "a byte token missing",
            Model(|model| {
                let tokens = model.tokens();
                let index = tokens.iter().position(|token| token == b"<0x41>").unwrap();
                tokens[index] = b"<0xZZ>".to_vec();
            }),
        ),
        (
            "no byte tokens",
            Model(|model| {
                for (index, token) in model.tokens().iter_mut().enumerate() {
                    *token = format!("t{index}").into_bytes();
                }
            }),
        ),
        (
            "scores that are not numbers",
            Model(|model| {
                let count = model.tokens().len();
                model.set("tokenizer.ggml.scores", Value::F32s(vec![f32::NAN; count]));
            }),
        ),
        (
            "scores for half the tokens",
            Model(|model| {
                model.set("tokenizer.ggml.scores", Value::F32s(vec![0.0; 9]));
            }),
        ),
        (
            "an endless window",
            Model(|model| {
                model.set("gemma3.attention.sliding_window", Value::U32(u32::MAX));
            }),
        ),
        (
            "a window for no layer",
            Model(|model| {
                model.set("gemma3.attention.sliding_window_pattern", Value::U32(1));
            }),
        ),
        (
            "a window pattern of false",
            Model(|model| {
                let none = Value::Bools(vec![false, false]);
                model.set("gemma3.attention.sliding_window_pattern", none);
            }),
        ),
        (
            "other heads in the window",
            Model(|model| {
                model.set("gemma3.attention.key_length_swa", Value::U32(8));
            }),
        ),
        (
            "no norm on the keys",
            Model(|model| {
                model.tensors.retain(|tensor| tensor.name != "blk.1.attn_k_norm.weight");
            }),
        ),
    ]
}

fn fill(tensor: &mut Tensor, number: f32) {
    tensor.data = number.to_le_bytes().repeat(tensor.data.len() / 4);
}

/// A home where tiny models are quick.
fn quick_home() -> Home {
    let home = Home::new();
    home.write("config.toml", b"[model]\nthreads = 1\n[generate]\nreasoning_tokens = 8\n");
    home
}

/// Pulls the file and, where that goes well, writes with it. Returns what the last command said.
fn use_file(home: &Home, file: &str) -> Said {
    let name = "case";
    let pulled = home.run(["model", "pull", file, "--name", name]);
    if pulled.code != Some(0) {
        return pulled;
    }
    let said = home.run([
        "--json",
        "generate",
        "--user",
        "me",
        "--no-profile",
        "--model",
        name,
        "--max-tokens",
        "4",
        "--seed",
        "1",
        "the an then",
    ]);
    home.run(["model", "remove", name]).exits(0);
    said
}

fn check(cases: Vec<(&'static str, Damage)>, valid: fn() -> Gguf) -> (usize, usize) {
    let home = quick_home();
    let (mut refused, mut ran) = (0, 0);
    for (index, (name, damage)) in cases.into_iter().enumerate() {
        let mut model = valid();
        if let Model(damage) = &damage {
            damage(&mut model);
        }
        let mut bytes = model.to_bytes();
        if let Bytes(damage) = &damage {
            damage(&mut bytes);
        }
        let file = home.write(&format!("case-{index}.gguf"), &bytes);
        let said = use_file(&home, file.to_str().unwrap());
        match said.code {
            Some(4) => refused += 1,
            Some(0) => ran += 1,
            _ => panic!("{name}: {said:#?}"),
        }
    }
    (refused, ran)
}

#[test]
fn valid_tiny_models_of_every_architecture_run() {
    for valid in [tiny::llama, tiny::qwen2, tiny::qwen3, tiny::gemma3] {
        let home = quick_home();
        let file = home.write("valid.gguf", &valid().to_bytes());
        let said = use_file(&home, file.to_str().unwrap()).exits(0);
        assert_ne!(said.json()["answer"], "");
    }
}

#[test]
fn malformed_files_are_refused_or_run() {
    let mut total = (0, 0);
    for cases in [general_cases(), size_cases(), vocabulary_cases(), tensor_cases()] {
        let (refused, ran) = check(cases, tiny::llama);
        total = (total.0 + refused, total.1 + ran);
    }
    let (refused, ran) = check(gemma_cases(), tiny::gemma3);
    total = (total.0 + refused, total.1 + ran);
    println!("{} refused with exit code 4, {} ran", total.0, total.1);
    assert!(total.0 >= 60, "only {} cases were refused", total.0);
}

/// Every byte of a header, changed one at a time in several ways, would take hours; this is a
/// sample of positions with a fixed stride.
#[test]
fn a_header_with_one_byte_changed_never_crashes() {
    let home = quick_home();
    let valid = tiny::llama().to_bytes();
    let header_bytes = 9_000;
    for position in (0..header_bytes).step_by(61) {
        let mut bytes = valid.clone();
        bytes[position] ^= 0x81;
        let file = home.write(&format!("flip-{position}.gguf"), &bytes);
        let said = use_file(&home, file.to_str().unwrap());
        assert!(matches!(said.code, Some(0 | 4)), "byte {position}: {said:#?}");
    }
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let home = quick_home();
    let fifo = home.path().join("pipe.gguf");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let folder = home.path().join("folder.gguf");
    std::fs::create_dir(&folder).unwrap();
    for path in [fifo.as_path(), folder.as_path(), "/dev/zero".as_ref()] {
        home.run(["model".as_ref(), "pull".as_ref(), path.as_os_str()]).exits(4);
    }
}
