//! Running a model: the only place that names `llama_cpp_2`.
//!
//! A [`Model`] is loaded from a file that `gguf/` has checked; a [`Session`] decodes sequences of
//! tokens on it; a [`Sampler`] picks the next one; an [`Embedder`] turns texts into vectors. Nothing
//! here knows of prompts, profiles or terminals: tokens, texts and logits only.

/// The bindings that this program is written for, and so the llama.cpp in them: what one computed,
/// another need not understand.
pub const VERSION: &str = "llama-cpp-2 0.1.160, llama-cpp-sys-2 0.1.161";

mod chat;
mod device;
mod embedder;
mod error;
mod memory;
mod memory_file;
mod model;
mod sampler;
mod session;
mod wordpiece;

pub use chat::{Message, Role};
pub use device::{Device, DeviceKind, devices, layers_that_fit, memory_available_bytes};
pub use embedder::Embedder;
pub use error::LlamaError;
pub use llama_cpp_2::token::LlamaToken as Token;
pub use memory::{MemoryEstimate, cache_bytes};
pub use model::{AdapterSource, Model, Runtime, gpu_layers, physical_cores, threads};
pub use sampler::{Sampler, Sampling};
pub use session::{Append, CacheType, Room, Session, log_sum_exp, logit};

#[cfg(test)]
mod tests {
    #[test]
    fn the_versions_are_those_that_are_pinned() {
        for crate_and_version in super::VERSION.split(", ") {
            let (name, version) = crate_and_version.split_once(' ').unwrap_or_default();
            let pinned = format!("{name} = {{ version = \"={version}\"");
            assert!(include_str!("../../Cargo.toml").contains(&pinned), "{pinned}");
        }
    }
}
