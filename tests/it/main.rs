//! The integration tests: one binary, each file one concern.
//!
//! - `tidy`: the house rules: module order, where `unsafe` and raw bindings may stand
//! - `models`: the catalogue: pull, verify, remove; resuming a download
//! - `malformed`: damaged and hostile model files never end in a crash
//! - `malformed_embedders`: the same of models that embed
//! - `embedding`: the converted embedding model gives what the published one gives
//! - `profiles`: ingest and what the profile then holds
//! - `watching`: a folder is followed
//! - `mail_corpus`: of a mailbox only the person's own words are kept
//! - `hostile`: hostile inputs cost only themselves
//! - `crash`: kill -9, full disk, read-only folders, two processes
//! - `forget`: forget, delete, export, import, protect, check
//! - `keyring`: keys sealed with the system's keyring
//! - `privacy`: nothing that a person wrote lies on the disk in plain
//! - `retrieval`: search by words and by meaning, explained; the index follows the profile
//! - `metrics`: ROUGE, METEOR and chrF are those of the field's own programs
//! - `writing`: generate on a tiny model: the contract, prompts, stops, seeds
//! - `adapters`: adapters of a profile: encrypted, in use, gone back from
//! - `feedback`: drafts are kept and judged
//! - `training`: a run of self-training: what it learns from, keeps, adopts and forgets
//! - `requests`: what a text without a title was asked for
//! - `reasoning`: notes taken with the text in view do not give it away
//! - `systems`: systems side by side on the people of a data set
//! - `prefixes`: a prompt that was read before is not read again
//! - `evaluation`: what retrieval and grades are worth, on a small data set
//! - `judging`: grades read from the logits
//! - `tuning`: other weight types, and what stands in for a model
//! - `lora_fit`: `lora fit` learns, goes on to the same bits and loses nothing
//! - `lora_gradients`: the trainer's gradients are the slopes of its loss
//! - `lora_operations`: each operation and its gradient, in 64 bits
//! - `lora_parity`: the trainer against transformers and PEFT
//! - `hardware`: what there is to compute on, and models that do not fit
//! - `sampling`: many drafts at once
//! - `real`: generate on the catalogue's models with real people's writing
//! - `mistakes`: what a person does wrong gets an answer that helps
//! - `offline`: no command but `model pull` opens a network socket
//!
//! `support` runs the binary in a home of its own; `tiny` writes tiny models; `process_tree` runs a
//! command and watches its descendants; `held_to_modes` binds a command to file modes even where
//! the test runs as root.

// A test may panic: that is how it fails.
#![allow(clippy::unwrap_used)]

mod adapters;
// These watch processes as Linux shows them.
#[cfg(target_os = "linux")]
mod crash;
mod embedding;
mod evaluation;
mod feedback;
mod forget;
mod hardware;
#[cfg(target_os = "linux")]
mod held_to_modes;
#[cfg(target_os = "linux")]
mod hostile;
mod judging;
// It runs the keyring of a Linux desktop.
#[cfg(target_os = "linux")]
mod keyring;
mod lora_fit;
mod lora_gradients;
mod lora_operations;
mod lora_parity;
mod mail_corpus;
mod malformed;
mod malformed_embedders;
mod metrics;
mod mistakes;
mod models;
// It watches the system calls of Linux.
#[cfg(target_os = "linux")]
mod offline;
mod prefixes;
mod privacy;
#[cfg(target_os = "linux")]
mod process_tree;
mod profiles;
mod real;
mod reasoning;
mod requests;
mod retrieval;
mod sampling;
mod support;
mod systems;
mod tidy;
mod tiny;
mod training;
mod tuning;
mod watching;
mod writing;
