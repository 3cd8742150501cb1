//! The only place that names ggml's own bindings, and with the memory map the only one with
//! `unsafe`: each block says why it is sound.
//!
//! A failed assertion in ggml ends the process, so whatever it would assert is checked in Rust
//! before the call.

mod arena;
mod backend;
mod error;
mod gated;
mod graph;
mod layout;
mod numbers;
mod operations;
mod products;
mod profile;
mod quantize;
mod softmax;
mod tensor;
mod transfer;

pub use arena::{Arena, bytes_of};
pub use backend::Backend;
pub use error::GgmlError;
pub use gated::Activation;
pub use graph::Graph;
pub use numbers::{decode, encode};
pub use operations::{Rope, RopeKind};
pub use products::Over;
pub use profile::{OperationTime, Profile};
pub use quantize::{QuantizeError, fitting, is_matrix, quantize};
pub use tensor::{Kind, Shape, Tensor};
