//! A loaded model: its vocabulary, its chat template, its size.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, Mutex};

use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::model::{LlamaLoraAdapter, LlamaModel};
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::{LogOptions, send_logs_to_tracing};

use super::chat::{self, Message};
use super::device;
use super::memory_file::MemoryFile;
use super::sampler::{DRY_BASE, DRY_RUN_TOKENS, DRY_WINDOW_TOKENS};
use super::{CacheType, LlamaError, Room, Sampler, Sampling, Session, Token, memory};
use crate::gguf::{self, CheckedModel, Hyperparameters, ModelFile};

/// The context and the batch that a GPU is to have room for.
const GPU_CONTEXT_TOKENS: u32 = 8192;
const GPU_BATCH_TOKENS: u32 = 512;

/// llama.cpp, started once in a process and shared by the models in it. Its log goes to `tracing`.
#[derive(Debug, Clone)]
pub struct Runtime(Arc<LlamaBackend>);

impl Runtime {
    pub(super) fn backend(&self) -> &LlamaBackend {
        &self.0
    }

    /// Starts llama.cpp.
    ///
    /// # Errors
    /// [`LlamaError::Backend`] where it has been started before.
    pub fn start() -> Result<Self, LlamaError> {
        send_logs_to_tracing(LogOptions::default());
        load_backends();
        LlamaBackend::init()
            .map(|backend| Self(Arc::new(backend)))
            .map_err(|error| LlamaError::Backend { reason: error.to_string() })
    }

    /// That adapters can be read from memory ([`AdapterSource::Bytes`]) here, for whoever needs it only
    /// after hours of work.
    ///
    /// # Errors
    /// [`LlamaError::NoMemoryFile`].
    pub fn require_memory_files(&self) -> Result<(), LlamaError> {
        let file = MemoryFile::create();
        file.map(|_| ()).map_err(|source| LlamaError::NoMemoryFile { source })
    }
}

/// In a build that finds its backends when it runs: those in the folder of the program, else where
/// the build put them.
#[cfg(feature = "dynamic-backends")]
fn load_backends() {
    use llama_cpp_2::llama_backend;

    let program = std::env::current_exe().ok();
    let beside = program.as_deref().and_then(Path::parent);
    if let Some(folder) = beside.filter(|folder| folder.to_str().is_some()) {
        llama_backend::load_backends_from_path(folder);
    }
    if llama_cpp_2::list_llama_ggml_backend_devices().is_empty() {
        llama_backend::load_backends();
    }
}

#[cfg(not(feature = "dynamic-backends"))]
fn load_backends() {}

/// The number of physical cores that this process may use; decoding is fastest with one thread
/// on each.
#[must_use]
pub fn physical_cores() -> u32 {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = num_cpus::get_physical().min(available).max(1);
    u32::try_from(cores).unwrap_or(1)
}

/// The threads that compute, by the setting: 0 is one on each physical core.
#[must_use]
pub fn threads(setting: u32) -> u32 {
    if setting == 0 { physical_cores() } else { setting }
}

/// The layers of a model that go to GPUs: those that fit what is free of their memory, together with
/// the cache of a long context.
#[must_use]
pub fn gpu_layers(runtime: &Runtime, model: &CheckedModel<'_>) -> u32 {
    let devices = device::devices(runtime);
    let gpus = devices.iter().filter(|device| device.kind.takes_layers());
    let free_bytes: u64 = gpus.map(|device| device.memory_free_bytes).sum();
    if free_bytes == 0 {
        return 0;
    }
    let context_tokens = model.hyperparameters.n_ctx_train.min(GPU_CONTEXT_TOKENS);
    device::layers_that_fit(model, free_bytes, context_tokens, GPU_BATCH_TOKENS)
}

/// A model, memory-mapped by llama.cpp.
#[derive(Debug)]
pub struct Model {
    inner: LlamaModel,
    layout: chat::Layout,
    /// Texts that would become special tokens although nobody meant them to.
    unwanted: Vec<String>,
    turn_ends: HashSet<Token>,
    hyperparameters: Hyperparameters,
    /// In effect in every session. llama.cpp wants it for itself while it takes it over.
    adapter: Option<Mutex<LlamaLoraAdapter>>,
    // Dropped last: the model must be freed before llama.cpp is shut down.
    runtime: Runtime,
}

/// Where an adapter is.
#[derive(Debug, Clone, Copy)]
pub enum AdapterSource<'a> {
    /// In a file.
    File(&'a Path),
    /// In memory: what is encrypted on the disk reaches llama.cpp without a plain copy there.
    Bytes(&'a [u8]),
}

impl AdapterSource<'_> {
    fn load(self, model: &mut LlamaModel) -> Result<LlamaLoraAdapter, LlamaError> {
        let refused = |adapter: String| move |_| LlamaError::Adapter { adapter };
        match self {
            Self::File(path) => {
                let name = path.display().to_string();
                model.lora_adapter_init(path).map_err(refused(name))
            }
            Self::Bytes(bytes) => {
                let file = MemoryFile::holding(bytes)
                    .map_err(|source| LlamaError::NoMemoryFile { source })?;
                // It is read whole before the file goes.
                model.lora_adapter_init(file.path()).map_err(refused("of the profile".into()))
            }
        }
    }
}

impl Model {
    /// Checks the file at `path` and loads it, as many of its layers on GPUs as fit there.
    ///
    /// # Errors
    /// [`LlamaError::Gguf`] with what is wrong and where, or [`LlamaError::Load`].
    pub fn load(runtime: Runtime, path: &Path) -> Result<Self, LlamaError> {
        Self::load_adapted(runtime, path, None)
    }

    /// As [`Self::load`], with a GGUF adapter in effect in every session.
    ///
    /// # Errors
    /// As [`Self::load`], [`LlamaError::Adapter`] where llama.cpp refuses the adapter, and
    /// [`LlamaError::NoMemoryFile`].
    pub fn load_adapted(
        runtime: Runtime,
        path: &Path,
        adapter: Option<AdapterSource<'_>>,
    ) -> Result<Self, LlamaError> {
        // The map stays until llama.cpp has its own of the same file.
        let file = ModelFile::open(path)?;
        let checked = gguf::check(&file)?;
        let gpu_layers = gpu_layers(&runtime, &checked);
        let hyperparameters = checked.hyperparameters;
        if hyperparameters.architecture.embeds() {
            return Err(LlamaError::EmbedsOnly { path: path.to_owned() });
        }
        let unloadable = || LlamaError::Load { path: path.to_owned() };
        let params = LlamaModelParams::default().with_n_gpu_layers(gpu_layers);
        let mut inner =
            LlamaModel::load_from_file(&runtime.0, path, &params).map_err(|_| unloadable())?;
        let adapter = adapter.map(|adapter| adapter.load(&mut inner)).transpose()?;
        let adapter = adapter.map(Mutex::new);
        let layout = chat::Layout::of(&inner);
        let vocab = inner.vocab();
        // A control token that is not the end of a turn begins one: either way the turn is over.
        let turn_ends =
            vocab.tokens().filter(|&it| vocab.is_eog(it) || vocab.is_control(it)).collect();
        let unwanted = chat::unwanted_marks(&inner, layout.marks());
        Ok(Self { inner, layout, unwanted, turn_ends, hyperparameters, adapter, runtime })
    }

    /// llama.cpp, for loading another model beside this one.
    #[must_use]
    pub fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    /// The tokens of context that the model was trained for.
    #[must_use]
    pub fn context_tokens_trained(&self) -> u32 {
        self.inner.n_ctx_train()
    }

    /// Bytes that the keys and values of `tokens` take.
    #[must_use]
    pub fn cache_bytes(&self, tokens: u32, cache: CacheType) -> u64 {
        memory::cache_bytes(&self.hyperparameters, u64::from(tokens), cache)
    }

    /// The tokens of `text`, in which nothing of the chat template is a special token:
    /// `<|im_start|>` in somebody's notes is just text.
    #[must_use]
    pub fn tokenize(&self, text: &str) -> Vec<Token> {
        chat::plain_tokens(&self.inner, &self.unwanted, text)
    }

    /// The tokens of a conversation in the model's own chat template, or in a plain layout where
    /// it has none, ready for the assistant's turn, which begins with `opening`.
    #[must_use]
    pub fn render(&self, messages: &[Message], opening: &str) -> Vec<Token> {
        chat::render(&self.inner, &self.layout, &self.unwanted, messages, opening)
    }

    /// What a text begins with, where the model was trained with such a token.
    #[must_use]
    pub fn beginning(&self) -> Option<Token> {
        let vocab = self.inner.vocab();
        vocab.should_add_bos().then(|| vocab.bos())
    }

    /// What ends the model's own turn: of the tokens that the file calls its ends, the one that the
    /// chat template uses, or the first.
    #[must_use]
    pub fn ending(&self) -> Option<Token> {
        let vocab = self.inner.vocab();
        let ends = [vocab.eos(), vocab.eot()].into_iter().filter(|token| token.0 >= 0);
        let in_template = |token: &Token| {
            let mut bytes = Vec::new();
            vocab.token_to_piece_into(*token, &mut bytes, true, None);
            self.layout.marks().iter().any(|mark| mark.as_bytes() == bytes)
        };
        ends.clone().find(in_template).or_else(|| ends.clone().next())
    }

    /// Appends the bytes of `token` to `bytes`; special tokens have none.
    pub fn append_piece(&self, token: Token, bytes: &mut Vec<u8>) {
        self.inner.vocab().token_to_piece_into(token, bytes, false, None);
    }

    /// Whether `token` ends the turn: an end token, or any other that is never part of a text.
    #[must_use]
    pub fn ends_turn(&self, token: Token) -> bool {
        self.turn_ends.contains(&token)
    }

    /// The tokens that end a turn.
    #[must_use]
    pub fn turn_ends(&self) -> &HashSet<Token> {
        &self.turn_ends
    }

    /// Texts that belong to the chat template and never to an answer, such as `<|im_end|>`: small
    /// models sometimes spell them out instead of ending their turn.
    #[must_use]
    pub fn template_texts(&self) -> &[String] {
        self.layout.marks()
    }

    /// The number of tokens in the vocabulary.
    #[must_use]
    pub fn vocabulary_size(&self) -> usize {
        usize::try_from(self.inner.n_vocab()).unwrap_or(0)
    }

    /// What picks tokens for this vocabulary.
    #[must_use]
    pub fn sampler(&self, sampling: &Sampling) -> Sampler {
        let multiplier = sampling.dry_multiplier;
        // Nothing ends the search for a run: what is often said to end one, line ends and quotes,
        // is what lists and loops of lines are made of.
        let breakers: [&[u8]; 0] = [];
        let dry = (multiplier > 0.0).then(|| {
            LlamaSampler::dry(
                &self.inner,
                multiplier,
                DRY_BASE,
                DRY_RUN_TOKENS,
                DRY_WINDOW_TOKENS,
                breakers,
            )
        });
        Sampler::new(sampling, self.vocabulary_size(), dry)
    }

    /// A fresh session, decoding on `threads` threads. All sequences share one cache, so that what
    /// they have in common is stored once.
    ///
    /// # Errors
    /// [`LlamaError::Context`], mostly for want of memory.
    pub fn session(&self, room: Room, threads: u32) -> Result<Session<'_>, LlamaError> {
        let threads = i32::try_from(threads).unwrap_or(i32::MAX);
        // llama.cpp makes batches no larger than the context, and asserts that one has room for an
        // output of each sequence.
        let batch_tokens = room.batch_tokens.min(room.tokens).max(room.sequences);
        let room = Room { batch_tokens, ..room };
        let cache = match room.cache {
            CacheType::F32 => KvCacheType::F32,
            CacheType::F16 => KvCacheType::F16,
            CacheType::Q8_0 => KvCacheType::Q8_0,
        };
        // LLAMA_FLASH_ATTN_TYPE_AUTO or _DISABLED: the kernels of flash attention on the CPU round
        // differently for one row, for a few and for many.
        let flash_attention = if room.cache == CacheType::F32 { 0 } else { -1 };
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(room.tokens))
            .with_n_seq_max(room.sequences)
            .with_kv_unified(true)
            .with_type_k(cache)
            .with_type_v(cache)
            .with_flash_attention_policy(flash_attention)
            .with_n_batch(room.batch_tokens)
            .with_n_ubatch(room.batch_tokens)
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            // A sliding-window cache cannot be rewound; this one can.
            .with_swa_full(true);
        let failed = || LlamaError::Context { context_tokens: room.tokens };
        let mut context = self.inner.new_context(&self.runtime.0, params).map_err(|_| failed())?;
        if let Some(adapter) = &self.adapter {
            let mut adapter = adapter.lock().map_err(|_| failed())?;
            context.lora_adapter_set(&mut adapter, 1.0).map_err(|_| failed())?;
        }
        Ok(Session::new(context, room))
    }
}
