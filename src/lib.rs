//! restpg-edge: a local model that writes the way its owner writes.
//!
//! The modules, bottom-up; each uses only those above it in this list, and a test holds them to
//! that:
//!
//! - [`error`]: kind, exit code and advice of every error
//! - [`paths`]: where configuration, models, profiles and keys live
//! - [`config`]: defaults < config file < environment
//! - [`gguf`]: model files read and checked over a memory map
//! - [`ggml`]: ggml's own bindings: tensors, graphs, devices; weights into other types
//! - [`convert`]: published embedding models into GGUF
//! - [`llama`]: model, session, sampler, embedder on llama.cpp
//! - [`lora`]: fitting an adapter: forward and backward, optimizer, checkpoints
//! - [`catalogue`]: models by name
//! - [`profile`]: the encrypted store of a person's documents
//! - [`ingest`]: writings into documents
//! - [`retrieve`]: passages for a request
//! - [`embedding`]: the embedding model of the settings
//! - [`task`]: kinds of text
//! - [`statistics`]: means with their intervals
//! - [`metrics`]: how near a text comes to another, or to a person's style
//! - [`prompt`]: request and passages into messages that fit
//! - [`generate`]: reasoning, then answer, as events
//! - [`reward`]: how good an answer is
//! - [`perplexity`]: how well a model predicts a text
//! - [`selftrain`]: what a model can learn from a person
//! - [`evaluate`]: systems side by side on people's held-out writing
//! - [`tune`]: the weight types that this machine runs fastest
//! - [`cli`]: the command line
//!
//! Invariants: `unsafe` stands only in `ggml` and where the model file is mapped; a model file is checked before
//! llama.cpp sees it; profile, ingest, prompt and retrieve never load a model; files of foreign
//! formats are parsed in child processes; only `model pull` opens a network socket; private text is
//! never on the disk in plain, nor in a log.

pub mod error;
pub mod paths;
pub mod config;
pub mod gguf;
#[allow(unsafe_code)]
pub mod ggml;
pub mod convert;
pub mod llama;
pub mod lora;
pub mod catalogue;
pub mod profile;
pub mod ingest;
pub mod retrieve;
pub mod embedding;
pub mod task;
pub mod statistics;
pub mod metrics;
pub mod prompt;
pub mod generate;
pub mod reward;
pub mod perplexity;
pub mod selftrain;
pub mod evaluate;
pub mod tune;
pub mod cli;
