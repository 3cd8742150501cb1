//! Which passages of a profile a request calls for.
//!
//! Two searches, by words (BM25) and by meaning (vectors), are fused by their ranks; weights for
//! recency, recipient and kind follow; then passages that repeat each other make room for others. To
//! write from, the newest documents join them.
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
    Ok(diversity::choose(found, vectors, f64::from(settings.diversity), k))
}

/// The `k` passages to write from: those that fit `query` best, then the beginnings of the newest
/// other documents, which show how the person writes now. `settings.newest` places are theirs, and
/// whatever is left where fewer passages fit.
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
    let fitting = k.saturating_sub(settings.newest as usize).max(1).min(chosen.len());
    // Where there are not as many other documents, more that fit.
    let more = chosen.split_off(fitting);
    let known: HashSet<&str> = chosen.iter().map(|found| found.hit.document.as_str()).collect();
    let newest = store.passages(&store.newest(k + known.len())?)?;
    let others = newest.into_iter().filter(|hit| !known.contains(hit.document.as_str()));
    let others: Vec<Found> =
        others.map(|hit| Found { hit, parts: Parts::default() }).take(k - fitting).collect();
    let taken: HashSet<i64> = others.iter().map(|found| found.hit.chunk).collect();
    chosen.extend(others);
    chosen.extend(more.into_iter().filter(|found| !taken.contains(&found.hit.chunk)));
    chosen.truncate(k);
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

    fn chosen(store: &ProfileStore, newest: u32, k: usize) -> Vec<String> {
        let settings = RetrieveConfig { newest, ..RetrieveConfig::default() };
        let query = Query { text: "the kettle", ..Query::default() };
        let found = retrieve_to_write(store, None, &query, &settings, k).unwrap();
        found.into_iter().map(|found| found.hit.document).collect()
    }

    #[test]
    fn the_newest_take_their_places_after_what_fits() {
        let (_folder, store) = store(&[
            ("kettle", "The kettle is on, the kettle sings."),
            ("kettles", "A kettle, a copper kettle, boils over."),
            ("tea", "Tea out of the kettle for eleven people in the hall."),
            ("bees", "They swarmed."),
            ("roof", "Rain again."),
        ]);
        let fits = chosen(&store, 0, 3);
        assert_eq!(fits.iter().filter(|id| ["bees", "roof"].contains(&id.as_str())).count(), 0);
        assert_eq!(chosen(&store, 2, 4), [&fits[..2], &["roof".into(), "bees".into()]].concat());
        // What fits best always has its place.
        assert_eq!(chosen(&store, 9, 1), fits[..1]);
        assert_eq!(chosen(&store, 2, 0), Vec::<String>::new());
    }

    #[test]
    fn nothing_stands_twice_in_a_small_profile() {
        let (_folder, store) =
            store(&[("kettle", "The kettle is on."), ("tea", "Tea out of the kettle, at four.")]);
        let mut all = chosen(&store, 1, 5);
        all.sort();
        assert_eq!(all, ["kettle", "tea"]);
    }

    #[test]
    fn nothing_that_fits_leaves_all_places_to_the_newest() {
        let (_folder, store) = store(&[("roof", "Rain again."), ("bees", "They swarmed.")]);
        assert_eq!(chosen(&store, 2, 5), ["bees", "roof"]);
        let query = Query { text: "zeppelin", ..Query::default() };
        let found = retrieve(&store, None, &query, &RetrieveConfig::default(), 5).unwrap();
        assert!(found.is_empty());
    }
}
