//! Which passages of a profile a request calls for.
//!
//! Two searches, by words (BM25) and by meaning (vectors), are fused by their ranks; weights for
//! recency, recipient and kind follow; then passages that repeat each other make room for others.
//! Knows nothing of prompts, and no embedding model: the caller brings the query's vector.

mod dense;
mod diversity;
mod fusion;
mod index;

use std::collections::HashSet;

use serde::Serialize;

pub use dense::nearest;
pub use fusion::Parts;
pub use index::{Embed, update_index};

use crate::config::RetrieveConfig;
use crate::profile::{Hit, ProfileError, ProfileStore, Vectors};

/// What passages are looked for.
#[derive(Debug, Clone, Default)]
pub struct Query<'a> {
    /// The request, in words.
    pub text: &'a str,
    /// Its vector; `None`: by words alone.
    pub vector: Option<&'a [f32]>,
    /// The kind of writing that is to be written; passages of it weigh more.
    pub kind: Option<&'a str>,
    /// Whom it is to be written to; passages to the same weigh more.
    pub recipient: Option<&'a str>,
}

/// A passage with the parts of its score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The passage.
    #[serde(flatten)]
    pub hit: Hit,
    /// What its score is made of.
    pub parts: Parts,
}

/// The `k` passages that fit `query` best, best first. Where fewer are found, the beginnings of
/// the newest other documents fill up: they too show how the person writes.
///
/// `vectors` are the profile's; they must be those of the embedder that made the query's vector.
///
/// # Errors
/// [`ProfileError`] where the store cannot be read.
pub fn retrieve(
    store: &ProfileStore,
    vectors: Option<&Vectors>,
    query: &Query<'_>,
    settings: &RetrieveConfig,
    k: usize,
) -> Result<Vec<Found>, ProfileError> {
    let wanted = settings.candidates.max(settings.k) as usize;
    let lexical = store.lexical(query.text, wanted.max(k))?;
    let dense = match (vectors, query.vector) {
        (Some(vectors), Some(vector)) => nearest(vectors, vector, wanted.max(k)),
        _ => Vec::new(),
    };
    let fused = fusion::fuse(&lexical, &dense, settings);
    let chunks: Vec<i64> = fused.iter().map(|(chunk, _)| *chunk).collect();
    let hits = store.passages(&chunks)?;
    let mut found = fusion::weigh(hits, &fused, query, settings);
    found.sort_by(|a, b| b.hit.score.total_cmp(&a.hit.score));
    let mut chosen = diversity::choose(found, vectors, f64::from(settings.diversity), k);
    if chosen.len() < k {
        fill_up(store, &mut chosen, k)?;
    }
    Ok(chosen)
}

/// Appends the beginnings of the newest documents that are not there yet.
fn fill_up(store: &ProfileStore, chosen: &mut Vec<Found>, k: usize) -> Result<(), ProfileError> {
    let known: HashSet<String> = chosen.iter().map(|found| found.hit.document.clone()).collect();
    let newest = store.passages(&store.newest(k + known.len())?)?;
    let others = newest.into_iter().filter(|hit| !known.contains(&hit.document));
    let missing = k - chosen.len();
    chosen.extend(others.take(missing).map(|hit| Found { hit, parts: Parts::default() }));
    Ok(())
}
