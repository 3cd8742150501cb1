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

/// More passages than there are.
const ALL: usize = i32::MAX as usize;

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
    /// The passages, by their numbers, that are looked among; `None`: all. What was written after a
    /// text, or quotes it, must not be shown to who is to write it again.
    pub among: Option<&'a HashSet<i64>>,
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

/// The `k` passages that fit `query` best, best first; fewer where fewer are found.
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
    let wanted = k.max(settings.candidates.max(settings.k) as usize);
    let lexical = candidates(query, wanted, |limit| store.lexical(query.text, limit))?;
    let dense = match (vectors, query.vector) {
        (Some(vectors), Some(vector)) => candidates(query, wanted, |limit| {
            Ok(nearest(vectors, vector, limit.min(vectors.chunks.len())))
        })?,
        _ => Vec::new(),
    };
    let fused = fusion::fuse(&lexical, &dense, settings);
    let chunks: Vec<i64> = fused.iter().map(|(chunk, _)| *chunk).collect();
    let hits = store.passages(&chunks)?;
    let mut found = fusion::weigh(hits, &fused, query, settings);
    found.sort_by(|a, b| b.hit.score.total_cmp(&a.hit.score));
    Ok(diversity::choose(found, vectors, f64::from(settings.diversity), k))
}

/// The `wanted` best of what `search` finds; it is told how many to look for.
fn candidates<T>(
    query: &Query<'_>,
    wanted: usize,
    search: impl Fn(usize) -> Result<Vec<(i64, T)>, ProfileError>,
) -> Result<Vec<(i64, T)>, ProfileError> {
    let Some(among) = query.among else { return search(wanted) };
    let mut found = search(ALL)?;
    found.retain(|(chunk, _)| among.contains(chunk));
    found.truncate(wanted);
    Ok(found)
}

/// The `k` passages to write from: those that fit `query` best; where fewer are found, the beginnings
/// of the newest other documents fill up: they too show how the person writes.
///
/// # Errors
/// As [`retrieve`].
pub fn retrieve_to_write(
    store: &ProfileStore,
    vectors: Option<&Vectors>,
    query: &Query<'_>,
    settings: &RetrieveConfig,
    k: usize,
) -> Result<Vec<Found>, ProfileError> {
    let mut chosen = retrieve(store, vectors, query, settings, k)?;
    let missing = k.saturating_sub(chosen.len());
    if missing > 0 {
        let known: HashSet<&str> = chosen.iter().map(|found| found.hit.document.as_str()).collect();
        let newest = candidates(query, k + known.len(), |limit| {
            Ok(store.newest(limit)?.into_iter().map(|chunk| (chunk, ())).collect())
        })?;
        let newest: Vec<i64> = newest.into_iter().map(|(chunk, ())| chunk).collect();
        let newest = store.passages(&newest)?;
        let others = newest.into_iter().filter(|hit| !known.contains(hit.document.as_str()));
        let others: Vec<Found> =
            others.map(|hit| Found { hit, parts: Parts::default() }).take(missing).collect();
        chosen.extend(others);
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;
    use crate::profile::{NewDocument, NoPassphrase, Source, Stamp, User};

    fn store(documents: &[(&str, &str)]) -> (tempfile::TempDir, ProfileStore) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(folder.path())).unwrap();
        let user = User::parse("me").unwrap();
        let mut store = ProfileStore::open_or_create(&paths, &user, &NoPassphrase).unwrap();
        let documents: Vec<NewDocument> = (2001..)
            .zip(documents)
            .map(|(year, (id, text))| NewDocument {
                key: (*id).into(),
                id: Some((*id).into()),
                date: Some(format!("{year}-01-01")),
                text: (*text).into(),
                ..NewDocument::default()
            })
            .collect();
        let stamp = Stamp { size_bytes: 0, modified_ns: 0, reading: String::new() };
        let source = Source { place: "notes".into(), stamp };
        store.replace_source(&source, &documents, 200).unwrap();
        (folder, store)
    }

    fn chosen(store: &ProfileStore, text: &str, k: usize) -> Vec<String> {
        let query = Query { text, ..Query::default() };
        let settings = RetrieveConfig::default();
        let found = retrieve_to_write(store, None, &query, &settings, k).unwrap();
        found.into_iter().map(|found| found.hit.document).collect()
    }

    #[test]
    fn the_newest_fill_up_what_is_found() {
        let (_folder, store) = store(&[
            ("kettle", "The kettle is on, the kettle sings."),
            ("tea", "Tea out of the kettle for eleven people in the hall."),
            ("bees", "They swarmed."),
            ("roof", "Rain again."),
        ]);
        let mut found = chosen(&store, "kettle", 3);
        assert_eq!(found.pop().as_deref(), Some("roof"));
        found.sort();
        assert_eq!(found, ["kettle", "tea"]);
        assert_eq!(chosen(&store, "zeppelin", 2), ["roof", "bees"]);
        assert_eq!(chosen(&store, "kettle", 9).len(), 4);
        let among = store.passages_before(Some("2004-01-01"), &["kettle".into()]).unwrap();
        assert_eq!(among.len(), 2);
        let query = Query { text: "the kettle", among: Some(&among), ..Query::default() };
        let settings = RetrieveConfig::default();
        let found = retrieve_to_write(&store, None, &query, &settings, 4).unwrap();
        let ids: Vec<String> = found.into_iter().map(|found| found.hit.document).collect();
        assert_eq!(ids, ["tea", "bees"]);
        let query = Query { text: "zeppelin", ..Query::default() };
        let found = retrieve(&store, None, &query, &RetrieveConfig::default(), 5).unwrap();
        assert!(found.is_empty());
    }
}
