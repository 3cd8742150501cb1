//! The integration tests: one binary, each file one concern.
//!
//! - `tidy`: the house rules: module order, where `unsafe` and raw bindings may stand
//! - `models`: the catalogue: pull, verify, remove; resuming a download
//! - `malformed`: damaged and hostile model files never end in a crash
//! - `profiles`: ingest and what the profile then holds; `kill -9` in the middle
//! - `writing`: generate on a tiny model: the contract, prompts, stops, seeds
//! - `real`: generate on the catalogue's models with real people's writing
//! - `mistakes`: what a person does wrong gets an answer that helps
//! - `offline`: no command but `model pull` opens a socket
//!
//! `support` runs the binary in a home of its own; `tiny` writes tiny models.

// A test may panic: that is how it fails.
#![allow(clippy::unwrap_used)]

mod malformed;
mod mistakes;
mod models;
// It watches the system calls of Linux.
#[cfg(target_os = "linux")]
mod offline;
mod profiles;
mod real;
mod support;
mod tidy;
mod tiny;
mod writing;
