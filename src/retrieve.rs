//! Which passages of a profile a request calls for.
//!
//! Lexical: BM25 over the passages, the request being the query. Knows nothing of prompts.

use std::collections::HashSet;

use crate::profile::{Hit, ProfileError, ProfileStore};

/// The `k` passages that fit `request` best, best first. Where fewer share a word with it, the
/// beginnings of the newest other documents fill up: they too show how the person writes.
///
/// # Errors
/// [`ProfileError`] where the store cannot be read.
pub fn retrieve(store: &ProfileStore, request: &str, k: usize) -> Result<Vec<Hit>, ProfileError> {
    let mut passages = store.search(request, k)?;
    if passages.len() < k {
        let known: HashSet<String> =
            passages.iter().map(|passage| passage.document.clone()).collect();
        let newest = store.newest(k + known.len())?;
        let others = newest.into_iter().filter(|passage| !known.contains(&passage.document));
        let missing = k - passages.len();
        passages.extend(others.take(missing));
    }
    Ok(passages)
}
