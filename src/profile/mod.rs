//! What a person wrote: documents, the passages they are cut into, and the encrypted store that
//! keeps both.
//!
//! One SQLCipher file per user, opened with a key derived from that user's root key. Every change
//! of one source file is one transaction. This module never loads a model, never reads the
//! person's files and never opens a socket.

mod change;
mod chunk;
mod document;
mod error;
mod keys;
mod schema;
mod search;
mod store;
mod user;

pub use change::Applied;
pub use chunk::{Chunk, chunks, estimated_tokens};
pub use document::{Document, NewDocument, Source, Stamp};
pub use error::ProfileError;
pub use search::Hit;
pub use store::{ProfileStore, Summary};
pub use user::{User, users};
