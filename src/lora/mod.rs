//! Fitting a LoRA adapter to a quantized model in place: forward and backward by hand, as graphs of
//! ggml, on whatever device the build has.
//!
//! The module knows nothing of people, profiles or rewards: it is given prompts, answers and
//! weights, and gives an adapter.

mod activations;
mod adapter;
mod architecture;
mod attention;
mod block;
mod checkpoint;
mod curve;
mod error;
mod examples;
mod export;
mod fit;
mod head;
mod linear;
mod memory;
mod merge;
mod network;
mod optimizer;
mod packing;
mod projection;
mod random;
mod support;
mod weights;

pub use adapter::{Adapter, AdapterConfig, Pair, RANK_MAX};
pub use architecture::{BlockAttention, Design};
pub use checkpoint::{Checkpoint, Origin};
pub use curve::{Point, svg};
pub use error::LoraError;
pub use examples::{Examples, read_examples};
pub use export::{
    Exported, PEFT_FILES, gguf_bytes, read_gguf, read_gguf_bytes, read_peft, write_gguf, write_peft,
};
pub use fit::{Data, Event, FitConfig, Keep, Pauses, begin, examples_sha256, fit, loss};
pub use memory::FitMemory;
pub use merge::merge;
pub use network::{Dropout, Network, Pass};
pub use optimizer::{Moments, OptimizerConfig, Schedule};
pub use packing::{Answer, Example, Normalizer, Packed, Segment, Target};
pub use projection::Projection;
pub use random::Generator;
pub use support::missing_operations;
pub use weights::{WeightType, copies_bytes};
