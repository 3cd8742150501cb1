//! The only place that names ggml's own bindings, and with the memory map the only one with
//! `unsafe`: each block says why it is sound.
//!
//! A failed assertion in ggml ends the process, so whatever it would assert is checked in Rust
//! before the call.

mod quantize;

pub use quantize::{QuantizeError, fitting, is_matrix, quantize};
