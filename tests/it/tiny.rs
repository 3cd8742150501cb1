//! Tiny models with random weights, written from scratch: valid ones, and a builder that can be
//! told to write anything.

/// A metadata value as it is written.
#[derive(Clone)]
pub enum Value {
    U8(u8),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Text(Vec<u8>),
    Texts(Vec<Vec<u8>>),
    I32s(Vec<i32>),
    U32s(Vec<u32>),
    F32s(Vec<f32>),
    Bools(Vec<bool>),
    U64(u64),
    /// A type number and the bytes after it, as they are.
    Raw(u32, Vec<u8>),
}

/// A tensor as it is written.
#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    pub dimensions: Vec<u64>,
    pub kind: u32,
    pub data: Vec<u8>,
    /// Written instead of the offset that follows from the sizes.
    pub offset: Option<u64>,
}

/// A file in the making; every field can be set to something wrong.
#[derive(Clone)]
pub struct Gguf {
    pub magic: [u8; 4],
    pub version: u32,
    pub alignment: usize,
    pub n_tensors: Option<u64>,
    pub n_keys: Option<u64>,
    pub metadata: Vec<(String, Value)>,
    pub tensors: Vec<Tensor>,
}

pub const F32: u32 = 0;
pub const F16: u32 = 1;

impl Gguf {
    pub fn set(&mut self, key: &str, value: Value) {
        self.remove(key);
        self.metadata.push((key.to_owned(), value));
    }

    pub fn remove(&mut self, key: &str) {
        self.metadata.retain(|(name, _)| name != key);
    }

    #[track_caller]
    pub fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
    }

    /// The same model, said to be trained for another context.
    pub fn with_context(mut self, context_tokens: u32) -> Self {
        let is_it = |key: &str| key.ends_with(".context_length");
        let key = self.metadata.iter().map(|(key, _)| key).find(|key| is_it(key));
        let key = key.expect("every model has a context").clone();
        self.set(&key, Value::U32(context_tokens));
        self
    }

    /// The texts of the vocabulary.
    #[track_caller]
    pub fn tokens(&mut self) -> &mut Vec<Vec<u8>> {
        let tokens = self.metadata.iter_mut().find(|(key, _)| key == "tokenizer.ggml.tokens");
        match tokens {
            Some((_, Value::Texts(texts))) => texts,
            _ => panic!("no tokens"),
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.magic.to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.n_tensors.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        bytes.extend(self.n_keys.unwrap_or(self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            write_text(&mut bytes, key.as_bytes());
            write_value(&mut bytes, value);
        }
        let mut data: Vec<u8> = Vec::new();
        for tensor in &self.tensors {
            write_text(&mut bytes, tensor.name.as_bytes());
            bytes.extend((tensor.dimensions.len() as u32).to_le_bytes());
            for dimension in &tensor.dimensions {
                bytes.extend(dimension.to_le_bytes());
            }
            bytes.extend(tensor.kind.to_le_bytes());
            bytes.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&tensor.data);
            data.resize(data.len().next_multiple_of(self.alignment), 0);
        }
        bytes.resize(bytes.len().next_multiple_of(self.alignment), 0);
        bytes.extend(data);
        bytes
    }
}

fn write_text(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text);
}

fn write_array<T>(
    bytes: &mut Vec<u8>,
    kind: u32,
    items: &[T],
    mut write: impl FnMut(&mut Vec<u8>, &T),
) {
    bytes.extend(9_u32.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend((items.len() as u64).to_le_bytes());
    for item in items {
        write(bytes, item);
    }
}

fn write_value(bytes: &mut Vec<u8>, value: &Value) {
    let mut scalar = |kind: u32, raw: &[u8]| {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(raw);
    };
    match value {
        Value::U8(value) => scalar(0, &[*value]),
        Value::U32(value) => scalar(4, &value.to_le_bytes()),
        Value::I32(value) => scalar(5, &value.to_le_bytes()),
        Value::F32(value) => scalar(6, &value.to_le_bytes()),
        Value::Bool(value) => scalar(7, &[u8::from(*value)]),
        Value::U64(value) => scalar(10, &value.to_le_bytes()),
        Value::Raw(kind, raw) => scalar(*kind, raw),
        Value::Text(text) => {
            bytes.extend(8_u32.to_le_bytes());
            write_text(bytes, text);
        }
        Value::Texts(texts) => write_array(bytes, 8, texts, |bytes, text| write_text(bytes, text)),
        Value::I32s(items) => {
            write_array(bytes, 5, items, |bytes, item| bytes.extend(item.to_le_bytes()));
        }
        Value::U32s(items) => {
            write_array(bytes, 4, items, |bytes, item| bytes.extend(item.to_le_bytes()));
        }
        Value::F32s(items) => {
            write_array(bytes, 6, items, |bytes, item| bytes.extend(item.to_le_bytes()));
        }
        Value::Bools(items) => {
            write_array(bytes, 7, items, |bytes, item| bytes.push(u8::from(*item)));
        }
    }
}

pub fn text(text: &str) -> Value {
    Value::Text(text.as_bytes().to_vec())
}

/// Sizes of the tiny models.
pub const N_EMBD: u64 = 64;
pub const N_LAYER: u64 = 2;
const N_FF: u64 = 96;
const N_HEAD: u64 = 4;
const N_HEAD_KV: u64 = 2;
const HEAD_DIM: u64 = 16;
const N_CTX: u32 = 1024;

const CHATML: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + \
    message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// The token that ends what the byte-level models write.
const END: usize = 2;

/// A llama with a chat template and a byte-level BPE.
pub fn llama() -> Gguf {
    let mut model = base("llama");
    add_bpe(&mut model, "smollm");
    model.set("tokenizer.chat_template", text(CHATML));
    add_tensors(&mut model, &[]);
    model
}

/// A llama that comes to an end of its own now and then: at random it would seldom do so.
pub fn ending_llama() -> Gguf {
    let mut model = llama();
    let row_bytes = N_EMBD as usize * size_of::<f32>();
    let rows = &mut model.tensor("token_embd.weight").data;
    for number in rows[END * row_bytes..][..row_bytes].chunks_exact_mut(size_of::<f32>()) {
        let larger = 3.0 * f32::from_le_bytes(number.try_into().unwrap());
        number.copy_from_slice(&larger.to_le_bytes());
    }
    model
}

/// A qwen2, with biases and an output of its own.
pub fn qwen2() -> Gguf {
    let mut model = base("qwen2");
    add_bpe(&mut model, "qwen2");
    model.set("tokenizer.chat_template", text(CHATML));
    let (query, kv) = (HEAD_DIM * N_HEAD, HEAD_DIM * N_HEAD_KV);
    let extra = [("attn_q.bias", query), ("attn_k.bias", kv), ("attn_v.bias", kv)];
    add_tensors(&mut model, &extra);
    let n_vocab = model.tokens().len() as u64;
    add_tensor(&mut model, "output.weight", &[N_EMBD, n_vocab]);
    model
}

/// A qwen3, with norms on queries and keys.
pub fn qwen3() -> Gguf {
    let mut model = base("qwen3");
    add_bpe(&mut model, "qwen2");
    model.set("qwen3.attention.key_length", Value::U32(HEAD_DIM as u32));
    model.set("qwen3.attention.value_length", Value::U32(HEAD_DIM as u32));
    let extra = [("attn_q_norm.weight", HEAD_DIM), ("attn_k_norm.weight", HEAD_DIM)];
    add_tensors(&mut model, &extra);
    model
}

/// A gemma3 base model: SentencePiece, a sliding window, no chat template.
pub fn gemma3() -> Gguf {
    let mut model = base("gemma3");
    add_spm(&mut model);
    model.set("gemma3.attention.key_length", Value::U32(HEAD_DIM as u32));
    model.set("gemma3.attention.value_length", Value::U32(HEAD_DIM as u32));
    model.set("gemma3.attention.sliding_window", Value::U32(64));
    let extra = [
        ("attn_q_norm.weight", HEAD_DIM),
        ("attn_k_norm.weight", HEAD_DIM),
        ("post_attention_norm.weight", N_EMBD),
        ("post_ffw_norm.weight", N_EMBD),
    ];
    add_tensors(&mut model, &extra);
    model
}

/// A BERT that embeds: WordPiece, positions of its own, biases.
pub fn bert() -> Gguf {
    let mut model = embedder("bert");
    add_tensor(&mut model, "position_embd.weight", &[N_EMBD, u64::from(N_CTX)]);
    for layer in 0..N_LAYER {
        for part in ["q", "k", "v"] {
            add_tensor(&mut model, &format!("blk.{layer}.attn_{part}.weight"), &[N_EMBD, N_EMBD]);
            add_tensor(&mut model, &format!("blk.{layer}.attn_{part}.bias"), &[N_EMBD]);
        }
    }
    model
}

/// A nomic-bert: rotated positions, one matrix for queries, keys and values, a gated layer.
pub fn nomic_bert() -> Gguf {
    let mut model = embedder("nomic-bert");
    model.set("nomic-bert.rope.freq_base", Value::F32(1000.0));
    for layer in 0..N_LAYER {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        add_tensor(&mut model, &name("attn_qkv"), &[N_EMBD, 3 * N_EMBD]);
        add_tensor(&mut model, &name("ffn_gate"), &[N_EMBD, N_FF]);
    }
    model
}

/// What the two have in common.
fn embedder(architecture: &str) -> Gguf {
    let mut model = base(architecture);
    model.remove(&format!("{architecture}.attention.layer_norm_rms_epsilon"));
    model.remove(&format!("{architecture}.rope.freq_base"));
    model.set(&format!("{architecture}.attention.head_count_kv"), Value::U32(N_HEAD as u32));
    model.set(&format!("{architecture}.attention.layer_norm_epsilon"), Value::F32(1e-12));
    model.set(&format!("{architecture}.attention.causal"), Value::Bool(false));
    model.set(&format!("{architecture}.pooling_type"), Value::U32(1));
    add_wordpiece(&mut model);
    let n_vocab = model.tokens().len() as u64;
    add_tensor(&mut model, "token_embd.weight", &[N_EMBD, n_vocab]);
    add_tensor(&mut model, "token_types.weight", &[N_EMBD, 2]);
    add_tensor(&mut model, "token_embd_norm.weight", &[N_EMBD]);
    add_tensor(&mut model, "token_embd_norm.bias", &[N_EMBD]);
    for layer in 0..N_LAYER {
        let mut add = |name: &str, dimensions: &[u64]| {
            add_tensor(&mut model, &format!("blk.{layer}.{name}"), dimensions);
        };
        add("attn_output.weight", &[N_EMBD, N_EMBD]);
        add("ffn_up.weight", &[N_EMBD, N_FF]);
        add("ffn_down.weight", &[N_FF, N_EMBD]);
        for norm in ["attn_output_norm", "layer_output_norm"] {
            add(&format!("{norm}.weight"), &[N_EMBD]);
            add(&format!("{norm}.bias"), &[N_EMBD]);
        }
    }
    model
}

fn add_wordpiece(model: &mut Gguf) {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let mut tokens: Vec<Vec<u8>> = special.map(|it| it.as_bytes().to_vec()).into();
    for letter in 'a'..='z' {
        tokens.push(format!("▁{letter}").into_bytes());
        tokens.push(letter.to_string().into_bytes());
    }
    let types = (0..tokens.len()).map(|index| if index < 5 { 3 } else { 1 }).collect();
    model.set("tokenizer.ggml.model", text("bert"));
    model.set("tokenizer.ggml.tokens", Value::Texts(tokens));
    model.set("tokenizer.ggml.token_type", Value::I32s(types));
    model.set("tokenizer.ggml.token_type_count", Value::U32(2));
    for (key, id) in [
        ("padding_token_id", 0),
        ("unknown_token_id", 1),
        ("bos_token_id", 2),
        ("cls_token_id", 2),
        ("seperator_token_id", 3),
        ("mask_token_id", 4),
    ] {
        model.set(&format!("tokenizer.ggml.{key}"), Value::U32(id));
    }
}

fn base(architecture: &str) -> Gguf {
    let mut model = Gguf {
        magic: *b"GGUF",
        version: 3,
        alignment: 32,
        n_tensors: None,
        n_keys: None,
        metadata: Vec::new(),
        tensors: Vec::new(),
    };
    model.set("general.architecture", text(architecture));
    model.set("general.name", text("tiny"));
    for (key, value) in [
        ("block_count", N_LAYER),
        ("context_length", u64::from(N_CTX)),
        ("embedding_length", N_EMBD),
        ("feed_forward_length", N_FF),
        ("attention.head_count", N_HEAD),
        ("attention.head_count_kv", N_HEAD_KV),
    ] {
        model.set(&format!("{architecture}.{key}"), Value::U32(value as u32));
    }
    let epsilon = "attention.layer_norm_rms_epsilon";
    model.set(&format!("{architecture}.{epsilon}"), Value::F32(1e-5));
    model.set(&format!("{architecture}.rope.freq_base"), Value::F32(10_000.0));
    model
}

/// The character that stands for a byte in the alphabet of byte-level BPE.
fn byte_character(byte: u8) -> char {
    let plain = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    if plain(byte) {
        return char::from(byte);
    }
    let index = (0..byte).filter(|&byte| !plain(byte)).count();
    char::from_u32(256 + index as u32).unwrap()
}

fn add_bpe(model: &mut Gguf, pre: &str) {
    let mut tokens: Vec<Vec<u8>> =
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(|it| it.as_bytes().to_vec()).into();
    tokens.extend((0..=255).map(|byte| byte_character(byte).to_string().into_bytes()));
    let mut merges = Vec::new();
    for (left, right) in [("t", "h"), ("th", "e"), ("Ġ", "the"), ("a", "n"), ("Ġ", "an")] {
        tokens.push(format!("{left}{right}").into_bytes());
        merges.push(format!("{left} {right}").into_bytes());
    }
    let types = (0..tokens.len()).map(|index| if index < 3 { 3 } else { 1 }).collect();
    model.set("tokenizer.ggml.model", text("gpt2"));
    model.set("tokenizer.ggml.pre", text(pre));
    model.set("tokenizer.ggml.tokens", Value::Texts(tokens));
    model.set("tokenizer.ggml.token_type", Value::I32s(types));
    model.set("tokenizer.ggml.merges", Value::Texts(merges));
    model.set("tokenizer.ggml.bos_token_id", Value::U32(1));
    model.set("tokenizer.ggml.eos_token_id", Value::U32(END as u32));
    model.set("tokenizer.ggml.add_bos_token", Value::Bool(false));
}

fn add_spm(model: &mut Gguf) {
    let mut tokens: Vec<Vec<u8>> =
        ["<pad>", "<eos>", "<bos>", "<unk>"].map(|it| it.as_bytes().to_vec()).into();
    let mut types = vec![3, 3, 3, 2];
    for byte in 0..=255_u8 {
        tokens.push(format!("<0x{byte:02X}>").into_bytes());
        types.push(6);
    }
    for piece in ["▁", "▁the", "e", "t", "a", "n", "o", "i", "s", "th", "the"] {
        tokens.push(piece.as_bytes().to_vec());
        types.push(1);
    }
    let scores = (0..tokens.len()).map(|index| -(index as f32)).collect();
    model.set("tokenizer.ggml.model", text("llama"));
    model.set("tokenizer.ggml.tokens", Value::Texts(tokens));
    model.set("tokenizer.ggml.token_type", Value::I32s(types));
    model.set("tokenizer.ggml.scores", Value::F32s(scores));
    model.set("tokenizer.ggml.bos_token_id", Value::U32(2));
    model.set("tokenizer.ggml.eos_token_id", Value::U32(1));
    model.set("tokenizer.ggml.unknown_token_id", Value::U32(3));
    model.set("tokenizer.ggml.add_bos_token", Value::Bool(true));
    model.set("tokenizer.ggml.add_space_prefix", Value::Bool(false));
}

fn add_tensors(model: &mut Gguf, extra: &[(&str, u64)]) {
    let n_vocab = model.tokens().len() as u64;
    let (query, kv) = (HEAD_DIM * N_HEAD, HEAD_DIM * N_HEAD_KV);
    add_tensor(model, "token_embd.weight", &[N_EMBD, n_vocab]);
    add_tensor(model, "output_norm.weight", &[N_EMBD]);
    for layer in 0..N_LAYER {
        let mut add = |name: &str, dimensions: &[u64]| {
            add_tensor(model, &format!("blk.{layer}.{name}"), dimensions);
        };
        add("attn_norm.weight", &[N_EMBD]);
        add("attn_q.weight", &[N_EMBD, query]);
        add("attn_k.weight", &[N_EMBD, kv]);
        add("attn_v.weight", &[N_EMBD, kv]);
        add("attn_output.weight", &[query, N_EMBD]);
        add("ffn_norm.weight", &[N_EMBD]);
        add("ffn_gate.weight", &[N_EMBD, N_FF]);
        add("ffn_up.weight", &[N_EMBD, N_FF]);
        add("ffn_down.weight", &[N_FF, N_EMBD]);
        for (name, width) in extra {
            add(name, &[*width]);
        }
    }
}

/// Adds a tensor of random numbers that depend on its name alone.
pub fn add_tensor(model: &mut Gguf, name: &str, dimensions: &[u64]) {
    let mut state = name.bytes().fold(1_u64, |state, byte| state * 31 + u64::from(byte)) | 1;
    let mut random = || {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let bits = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
        bits as f32 / (1 << 24) as f32 - 0.5
    };
    let count: u64 = dimensions.iter().product();
    let is_norm = name.contains("norm");
    let data = (0..count).flat_map(|_| {
        let number = if is_norm { 1.0 + 0.1 * random() } else { 0.5 * random() };
        number.to_le_bytes()
    });
    model.tensors.push(Tensor {
        name: name.to_owned(),
        dimensions: dimensions.to_vec(),
        kind: F32,
        data: data.collect(),
        offset: None,
    });
}

/// A model whose weights make one token follow whatever came before.
pub fn always(token: usize) -> Gguf {
    let mut model = llama();
    let n_vocab = model.tokens().len();
    let width = N_EMBD as usize;
    for tensor in &mut model.tensors {
        let is_block = tensor.name.starts_with("blk.") && !tensor.name.contains("norm");
        if is_block {
            tensor.data.fill(0);
        }
    }
    // Every embedding is the same, so the last hidden state is too; the output likes one token.
    let number = |value: f32| value.to_le_bytes();
    model.tensor("token_embd.weight").data =
        (0..n_vocab * width).flat_map(|_| number(0.5)).collect();
    add_tensor(&mut model, "output.weight", &[N_EMBD, n_vocab as u64]);
    model.tensor("output.weight").data = (0..n_vocab)
        .flat_map(|row| (0..width).flat_map(move |_| number(if row == token { 9.0 } else { 0.0 })))
        .collect();
    model
}
