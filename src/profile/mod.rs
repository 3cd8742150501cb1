//! What a person wrote: documents, the passages they are cut into, and the encrypted store that
//! keeps both.
//!
//! One SQLCipher file per user, opened with a key derived from that user's root key. Every change
//! of one source file is one transaction. This module never loads a model, never reads the
//! person's files and opens no socket but the keyring's, which is local.

mod adapters;
mod bundle;
mod change;
mod check;
mod chunk;
mod database_file;
mod delete;
mod document;
mod drafts;
mod error;
mod forget;
mod key_file;
mod keyring;
mod keyring_key;
mod keys;
mod minhash;
mod passphrase;
mod prefixes;
mod protection;
mod runs;
mod schema;
mod sealed_key;
mod search;
mod setting;
mod sources;
mod store;
mod transaction;
mod user;
mod vectors;

pub use adapters::{Adapter, AdapterState, NewAdapter};
pub use bundle::{Bundle, BundleError, BundleKey, BundleLock, Export, Exported, Import, Imported};
pub use change::Applied;
pub use check::Check;
pub use chunk::{Chunk, chunks, estimated_tokens};
pub use delete::{Deleted, delete, is_anything_left};
pub use document::{Document, NewDocument, Source, Stamp};
pub use drafts::{KeptDraft, NewDraft, Verdict};
pub use error::ProfileError;
pub use forget::{Forgetting, Forgotten, Selection};
pub use keyring::KeyringError;
pub use keys::Purpose;
pub use passphrase::{NoPassphrase, Passphrase, passphrase_in_file};
pub use prefixes::{Prefix, Prefixes};
pub use protection::{Protection, protect, protect_with_keyring, protection, unprotect};
pub use runs::{Known, Place, Run};
pub use search::Hit;
pub use store::{ProfileStore, Summary};
pub use user::{User, users};
pub use vectors::{EmbedderInfo, IndexState, PendingPassage, Vectors, half};
