//! Looking passages up by their words: BM25 as SQLite's FTS5 computes it.

use std::collections::HashSet;

use rusqlite::Row;
use serde::Serialize;
use unicode_segmentation::UnicodeSegmentation;

use super::{ProfileError, ProfileStore};

/// Distinct words of a query that are looked up; a longer request is a text of its own.
const QUERY_WORDS_MAX: usize = 64;

/// A passage that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    /// The document's id.
    pub document: String,
    /// The document's title.
    pub title: Option<String>,
    /// The document's date, `YYYY-MM-DD`.
    pub date: Option<String>,
    /// BM25; higher is better, 0 where the passage was not found by its words.
    pub score: f64,
    /// The passage.
    pub text: String,
}

impl ProfileStore {
    /// The `k` passages that share the rarest words with `query`, best first.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn search(&self, query: &str, k: usize) -> Result<Vec<Hit>, ProfileError> {
        let expression = match_expression(query);
        if expression.is_empty() {
            return Ok(Vec::new());
        }
        let read = || -> rusqlite::Result<Vec<Hit>> {
            self.connection
                .prepare(
                    "SELECT document.id, document.title, document.date, chunk_text.text,
                            -bm25(chunk_text) AS score
                     FROM chunk_text
                     JOIN chunk ON chunk.number = chunk_text.rowid
                     JOIN document ON document.number = chunk.document
                     WHERE chunk_text MATCH ?1
                     ORDER BY score DESC, chunk.number DESC LIMIT ?2",
                )?
                .query_map((&expression, k), hit)?
                .collect()
        };
        read().map_err(|error| self.failed(error))
    }

    /// The first passages of the `k` newest documents, newest first, with a score of 0.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn newest(&self, k: usize) -> Result<Vec<Hit>, ProfileError> {
        let read = || -> rusqlite::Result<Vec<Hit>> {
            self.connection
                .prepare(
                    "SELECT document.id, document.title, document.date, chunk_text.text, 0.0
                     FROM document
                     JOIN chunk ON chunk.number =
                          (SELECT min(number) FROM chunk WHERE document = document.number)
                     JOIN chunk_text ON chunk_text.rowid = chunk.number
                     ORDER BY document.date DESC, document.number DESC LIMIT ?1",
                )?
                .query_map([k], hit)?
                .collect()
        };
        read().map_err(|error| self.failed(error))
    }
}

fn hit(row: &Row<'_>) -> rusqlite::Result<Hit> {
    Ok(Hit {
        document: row.get(0)?,
        title: row.get(1)?,
        date: row.get(2)?,
        text: row.get(3)?,
        score: row.get(4)?,
    })
}

/// The words of `query`, each quoted so that none is read as FTS5 syntax, any of them matching.
fn match_expression(query: &str) -> String {
    let mut seen = HashSet::new();
    let words = query.unicode_words().map(str::to_lowercase);
    let distinct = words.filter(|word| seen.insert(word.clone()));
    let quoted: Vec<String> =
        distinct.take(QUERY_WORDS_MAX).map(|word| format!("\"{word}\"")).collect();
    quoted.join(" OR ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;
    use crate::profile::{NewDocument, Source, Stamp, User};

    fn store_with(texts: &[(&str, &str, &str)]) -> (tempfile::TempDir, ProfileStore) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(folder.path())).unwrap();
        let mut store = ProfileStore::open_or_create(&paths, &User::parse("me").unwrap()).unwrap();
        let documents: Vec<NewDocument> = texts
            .iter()
            .map(|(id, date, text)| NewDocument {
                key: (*id).into(),
                id: Some((*id).into()),
                title: Some(format!("Title of {id}")),
                date: Some((*date).into()),
                text: (*text).into(),
            })
            .collect();
        let source = Source {
            place: "/x".into(),
            stamp: Stamp { size_bytes: 1, modified_ns: 1, reading: String::new() },
        };
        store.replace_source(&source, &documents, 50).unwrap();
        (folder, store)
    }

    fn ids(hits: &[Hit]) -> Vec<&str> {
        hits.iter().map(|hit| hit.document.as_str()).collect()
    }

    #[test]
    fn rare_words_decide() {
        let (_folder, store) = store_with(&[
            ("a", "2020-01-01", "The garden was wet and the path was long."),
            ("b", "2020-01-02", "The sourdough starter was wet."),
            ("c", "2020-01-03", "The path was long and the day was long."),
        ]);
        let hits = store.search("the sourdough", 3).unwrap();
        assert_eq!(ids(&hits)[0], "b");
        assert!(hits[0].score > hits.get(1).map_or(0.0, |hit| hit.score));
    }

    #[test]
    fn inflections_and_accents_are_found() {
        let (_folder, store) = store_with(&[("a", "2020-01-01", "We reviewed the café menus.")]);
        assert_eq!(store.search("reviewing a CAFE", 1).unwrap().len(), 1);
    }

    #[test]
    fn query_syntax_is_just_text() {
        let (_folder, store) = store_with(&[("a", "2020-01-01", "near and not")]);
        for query in ["NEAR(", "\"", "a AND", "text:*", "-", "", "title:x OR", "'); DROP"] {
            store.search(query, 3).unwrap();
        }
    }

    #[test]
    fn the_newest_come_first_where_words_do_not_help() {
        let (_folder, store) = store_with(&[
            ("old", "2019-01-01", "one"),
            ("new", "2021-01-01", "two"),
            ("mid", "2020-01-01", "three"),
        ]);
        assert_eq!(ids(&store.newest(2).unwrap()), ["new", "mid"]);
    }
}
