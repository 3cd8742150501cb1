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
mod error;
mod head;
mod linear;
mod network;
mod packing;
mod projection;
mod random;
mod weights;

pub use adapter::{Adapter, AdapterConfig, Pair};
pub use architecture::{Activation, BlockAttention, Design};
pub use error::LoraError;
pub use network::{Dropout, Network, Pass};
pub use packing::{Answer, Example, Normalizer, Packed, Segment, Target};
pub use projection::Projection;
pub use random::Generator;
pub use weights::{WeightType, copies_bytes};
