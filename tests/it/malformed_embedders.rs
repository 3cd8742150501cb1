//! The same law for models that embed: each damaged file ends in exit code 4, or embeds.

use crate::support::{Home, Said};
use crate::tiny::{self, Gguf, N_EMBD, Value, text};

type Damage = fn(&mut Gguf);

fn cases() -> Vec<(&'static str, Damage)> {
    vec![
        ("no blocks", |model| model.set("bert.block_count", Value::U32(0))),
        ("a block too many", |model| model.set("bert.block_count", Value::U32(3))),
        ("no heads", |model| model.set("bert.attention.head_count", Value::U32(0))),
        ("heads that do not divide", |model| {
            model.set("bert.attention.head_count", Value::U32(7));
        }),
        ("fewer key heads", |model| {
            model.set("bert.attention.head_count_kv", Value::U32(2));
        }),
        ("another width", |model| model.set("bert.embedding_length", Value::U32(128))),
        ("no epsilon", |model| model.remove("bert.attention.layer_norm_epsilon")),
        ("a negative epsilon", |model| {
            model.set("bert.attention.layer_norm_epsilon", Value::F32(-1.0));
        }),
        ("an epsilon that is no number", |model| {
            model.set("bert.attention.layer_norm_epsilon", Value::F32(f32::NAN));
        }),
        ("causal", |model| model.set("bert.attention.causal", Value::Bool(true))),
        ("causal unsaid", |model| model.remove("bert.attention.causal")),
        ("no pooling", |model| model.remove("bert.pooling_type")),
        ("pooling 0", |model| model.set("bert.pooling_type", Value::U32(0))),
        ("first token", |model| model.set("bert.pooling_type", Value::U32(2))),
        ("last token", |model| model.set("bert.pooling_type", Value::U32(3))),
        ("ranking", |model| model.set("bert.pooling_type", Value::U32(4))),
        ("pooling 99", |model| model.set("bert.pooling_type", Value::U32(99))),
        ("negative pooling", |model| model.set("bert.pooling_type", Value::I32(-1))),
        ("no kinds of segments", |model| model.remove("tokenizer.ggml.token_type_count")),
        ("0 kinds of segments", |model| {
            model.set("tokenizer.ggml.token_type_count", Value::U32(0));
        }),
        ("other kinds of segments", |model| {
            model.set("tokenizer.ggml.token_type_count", Value::U32(3));
        }),
        ("a longer context than positions", |model| {
            model.set("bert.context_length", Value::U32(4096));
        }),
        ("a context of 1", |model| with_context(model, 1)),
        ("a context of 2", |model| with_context(model, 2)),
        ("a context of 32", |model| with_context(model, 32)),
        ("a context of 500", |model| with_context(model, 500)),
        ("a token of type byte", |model| {
            model.tokens()[8] = b"<0x41>".to_vec();
            let count = model.tokens().len();
            let types = (0..count).map(|index| if index == 8 { 6 } else { 1 }).collect();
            model.set("tokenizer.ggml.token_type", Value::I32s(types));
        }),
        ("an endless context", |model| {
            model.set("bert.context_length", Value::U32(u32::MAX));
        }),
        ("no positions", |model| {
            model.tensors.retain(|tensor| tensor.name != "position_embd.weight");
        }),
        ("no norm", |model| {
            model.tensors.retain(|tensor| tensor.name != "token_embd_norm.bias");
        }),
        ("a matrix missing", |model| {
            model.tensors.retain(|tensor| tensor.name != "blk.1.attn_k.weight");
        }),
        ("a tensor too many", |model| {
            tiny::add_tensor(model, "cls.weight", &[N_EMBD, N_EMBD]);
        }),
        ("fused besides", |model| {
            tiny::add_tensor(model, "blk.0.attn_qkv.weight", &[N_EMBD, 3 * N_EMBD]);
        }),
        ("a bias of another size", |model| {
            model.tensor("blk.0.attn_q.bias").dimensions = vec![32, 2];
        }),
        ("integer embeddings", |model| model.tensor("token_embd.weight").kind = 26),
        ("integer positions", |model| model.tensor("position_embd.weight").kind = 26),
        ("numbers that are none", |model| {
            model.tensor("token_embd.weight").data.fill(0xff);
        }),
        ("another tokenizer", |model| model.set("tokenizer.ggml.model", text("gpt2"))),
        ("no tokenizer", |model| model.remove("tokenizer.ggml.model")),
        ("two tokens of one text", |model| {
            let first = model.tokens()[7].clone();
            model.tokens()[8] = first;
        }),
        ("an end that is no token", |model| {
            model.set("tokenizer.ggml.seperator_token_id", Value::U32(5000));
        }),
        ("a begin unsaid", |model| model.remove("tokenizer.ggml.bos_token_id")),
        ("an end unsaid", |model| model.remove("tokenizer.ggml.seperator_token_id")),
        ("an unknown token unsaid", |model| {
            model.remove("tokenizer.ggml.unknown_token_id");
        }),
        ("adds an end of text", |model| {
            model.set("tokenizer.ggml.add_eos_token", Value::Bool(true));
        }),
        ("lower case as a number", |model| {
            model.set("tokenizer.ggml.normalizer.lowercase", Value::U32(1));
        }),
        ("no types", |model| model.remove("tokenizer.ggml.token_type")),
        ("experts", |model| model.set("bert.expert_count", Value::U32(4))),
        ("an output of another length", |model| {
            model.set("bert.embedding_length_out", Value::U32(32));
        }),
    ]
}

/// The model with as many positions as the context has.
fn with_context(model: &mut Gguf, context_tokens: u32) {
    model.set("bert.context_length", Value::U32(context_tokens));
    let positions = model.tensor("position_embd.weight");
    positions.dimensions[1] = u64::from(context_tokens);
    positions.data.truncate(context_tokens as usize * N_EMBD as usize * 4);
}

fn home() -> Home {
    let home = Home::new();
    home.write("config.toml", b"[model]\nthreads = 1\n[retrieve]\nembedder = \"case\"\n");
    let text = "a few words, and a few more.\n\n".repeat(60);
    home.run_with_input(["ingest", "--user", "me", "-"], &text).exits(0);
    home
}

/// Pulls the file and, where that goes well, embeds with it.
fn use_file(home: &Home, name: &str, model: &Gguf) -> Said {
    let file = home.write("case.gguf", &model.to_bytes());
    let pulled = home.run(["model", "pull", file.to_str().unwrap(), "--name", "case"]);
    if pulled.code != Some(0) {
        return pulled;
    }
    let said = home.run(["--json", "profile", "index", "--user", "me"]);
    if said.code == Some(0) {
        assert_ne!(said.json()["embedded"], 0, "{name}");
        home.run(["profile", "search", "--user", "me", "more words"]).exits(0);
    }
    home.run(["model", "remove", "case"]).exits(0);
    said
}

#[test]
fn valid_tiny_embedders_embed() {
    let home = home();
    for (name, model) in [("bert", tiny::bert()), ("nomic-bert", tiny::nomic_bert())] {
        use_file(&home, name, &model).exits(0);
    }
}

/// llama.cpp aborts where a batch is no multiple of the texts in it.
#[test]
fn batches_of_any_size_embed() {
    let home = home();
    for batch_tokens in [1, 63, 100, 1000, 8192] {
        let config = format!(
            "[model]\nthreads = 1\nbatch_tokens = {batch_tokens}\n[retrieve]\nembedder = \"case\"\n"
        );
        home.write("config.toml", config.as_bytes());
        for (name, mut model) in [("bert", tiny::bert()), ("nomic-bert", tiny::nomic_bert())] {
            // Each another model, so that there is something to embed.
            model.set("general.name", text(&format!("{name} {batch_tokens}")));
            use_file(&home, name, &model).exits(0);
        }
        let mut short = tiny::bert();
        with_context(&mut short, 32);
        short.set("general.name", text(&format!("short {batch_tokens}")));
        use_file(&home, "short", &short).exits(0);
    }
}

#[test]
fn malformed_embedders_are_refused_or_embed() {
    let home = home();
    let (mut refused, mut ran) = (0, 0);
    for (name, damage) in cases() {
        let mut model = tiny::bert();
        damage(&mut model);
        let said = use_file(&home, name, &model);
        match said.code {
            Some(4) => refused += 1,
            Some(0) => ran += 1,
            _ => panic!("{name}: {said:#?}"),
        }
    }
    println!("{refused} refused with exit code 4, {ran} embedded");
    assert!(refused >= 30, "only {refused} were refused");
}

#[test]
fn a_header_with_one_byte_changed_never_crashes() {
    let home = home();
    let valid = tiny::nomic_bert().to_bytes();
    for position in (0..5_000).step_by(67) {
        let mut bytes = valid.clone();
        bytes[position] ^= 0x81;
        let file = home.write("flip.gguf", &bytes);
        let pulled = home.run(["model", "pull", file.to_str().unwrap(), "--name", "case"]);
        if pulled.code == Some(0) {
            let said = home.run(["profile", "index", "--user", "me"]);
            assert!(matches!(said.code, Some(0 | 2 | 4)), "byte {position}: {said:#?}");
            home.run(["model", "remove", "case"]).exits(0);
        } else {
            assert_eq!(pulled.code, Some(4), "byte {position}: {pulled:#?}");
        }
    }
}
