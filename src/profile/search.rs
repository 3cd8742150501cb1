//! Looking passages up by their words: BM25 as SQLite's FTS5 computes it.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use super::{ProfileError, ProfileStore};

/// Distinct words of a query that are looked up; a longer request is a text of its own.
const QUERY_WORDS_MAX: usize = 64;

/// From this many passages on, words that stand in very many of them are not looked up.
const MANY_PASSAGES: usize = 5_000;
/// That many of them: one in this number.
const COMMON_SHARE: usize = 20;

/// A passage that was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// The passage's number in the store.
    #[serde(skip)]
    pub chunk: i64,
    /// The document's id.
    pub document: String,
    /// The document's title.
    pub title: Option<String>,
    /// The document's date, `YYYY-MM-DD`.
    pub date: Option<String>,
    /// What kind of writing it is.
    pub kind: String,
    /// Whom it was written to.
    pub recipient: Option<String>,
    /// How well it fits; higher is better. What it means depends on who found it.
    pub score: f64,
    /// The passage.
    pub text: String,
    /// Size of the document that it stands in; 0 where it is not known.
    #[serde(default)]
    pub document_bytes: usize,
}

impl ProfileStore {
    /// The numbers of the `limit` passages that share the rarest words with `query`, best first,
    /// each with its BM25 score.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn lexical(&self, query: &str, limit: usize) -> Result<Vec<(i64, f64)>, ProfileError> {
        let words = quoted_words(query);
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let read = || -> rusqlite::Result<Vec<(i64, f64)>> {
            let expression = self.telling(words)?.join(" OR ");
            self.connection
                .prepare_cached(
                    "SELECT rowid, -rank FROM chunk_text WHERE chunk_text MATCH ?1
                     ORDER BY rank, rowid DESC LIMIT ?2",
                )?
                .query_map(params![expression, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        };
        read().map_err(|error| self.failed(error))
    }

    /// Those of `words` that tell passages apart, where there are so many passages that looking the
    /// others up would take long: a word that stands in very many says little.
    fn telling(&self, words: Vec<String>) -> rusqlite::Result<Vec<String>> {
        let passages: usize = self
            .connection
            .prepare_cached("SELECT count(*) FROM chunk")?
            .query_row([], |row| row.get(0))?;
        let common = passages / COMMON_SHARE;
        if passages < MANY_PASSAGES {
            return Ok(words);
        }
        let mut count = self.connection.prepare_cached(
            "SELECT count(*) FROM
             (SELECT 1 FROM chunk_text WHERE chunk_text MATCH ?1 LIMIT ?2)",
        )?;
        let mut telling = Vec::new();
        for word in &words {
            let found: usize = count.query_row(params![word, common], |row| row.get(0))?;
            if (1..common).contains(&found) {
                telling.push(word.clone());
            }
        }
        Ok(if telling.is_empty() { words } else { telling })
    }

    /// The numbers of the first passages of the `limit` newest documents, newest first.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn newest(&self, limit: usize) -> Result<Vec<i64>, ProfileError> {
        let read = || -> rusqlite::Result<Vec<i64>> {
            self.connection
                .prepare_cached(
                    "SELECT (SELECT min(number) FROM chunk WHERE document = document.number) AS first
                     FROM document WHERE first IS NOT NULL
                     ORDER BY date DESC, document.number DESC LIMIT ?1",
                )?
                .query_map([limit], |row| row.get(0))?
                .collect()
        };
        read().map_err(|error| self.failed(error))
    }

    /// The passages with these numbers, in their order, with a score of 0; one that has gone is
    /// left out.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn passages(&self, chunks: &[i64]) -> Result<Vec<Hit>, ProfileError> {
        let read = || -> rusqlite::Result<Vec<Hit>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT chunk.number, document.id, document.title, document.date, document.kind,
                        document.recipient, chunk_text.text, octet_length(document.text)
                 FROM chunk
                 JOIN chunk_text ON chunk_text.rowid = chunk.number
                 JOIN document ON document.number = chunk.document
                 WHERE chunk.number = ?1",
            )?;
            let mut hits = Vec::with_capacity(chunks.len());
            for chunk in chunks {
                hits.extend(statement.query_row([chunk], hit).optional()?);
            }
            Ok(hits)
        };
        read().map_err(|error| self.failed(error))
    }

    /// The numbers of the passages of all documents that were written before `before`
    /// (`YYYY-MM-DD`; `None`: whenever) or have no date, but for those of `except`.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn passages_before(
        &self,
        before: Option<&str>,
        except: &[String],
    ) -> Result<HashSet<i64>, ProfileError> {
        let except: HashSet<&str> = except.iter().map(String::as_str).collect();
        let read = || -> rusqlite::Result<HashSet<i64>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT chunk.number, document.id FROM chunk
                 JOIN document ON document.number = chunk.document
                 WHERE document.date IS NULL OR ?1 IS NULL OR document.date < ?1",
            )?;
            let mut rows = statement.query([before])?;
            let mut passages = HashSet::new();
            while let Some(row) = rows.next()? {
                if !except.contains(row.get_ref(1)?.as_str()?) {
                    passages.insert(row.get(0)?);
                }
            }
            Ok(passages)
        };
        read().map_err(|error| self.failed(error))
    }
}

fn hit(row: &Row<'_>) -> rusqlite::Result<Hit> {
    Ok(Hit {
        chunk: row.get(0)?,
        document: row.get(1)?,
        title: row.get(2)?,
        date: row.get(3)?,
        kind: row.get(4)?,
        recipient: row.get(5)?,
        score: 0.0,
        text: row.get(6)?,
        document_bytes: row.get(7)?,
    })
}

/// The distinct words of `query`, each quoted so that none is read as FTS5 syntax.
fn quoted_words(query: &str) -> Vec<String> {
    let mut seen = HashSet::new();
    let words = query.unicode_words().map(str::to_lowercase);
    let distinct = words.filter(|word| seen.insert(word.clone()));
    distinct.take(QUERY_WORDS_MAX).map(|word| format!("\"{word}\"")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;
    use crate::profile::{NewDocument, NoPassphrase, Source, Stamp, User};

    fn store_with(texts: &[(&str, &str, &str)]) -> (tempfile::TempDir, ProfileStore) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(folder.path())).unwrap();
        let user = User::parse("me").unwrap();
        let mut store = ProfileStore::open_or_create(&paths, &user, &NoPassphrase).unwrap();
        let documents: Vec<NewDocument> = texts
            .iter()
            .map(|(id, date, text)| NewDocument {
                key: (*id).into(),
                id: Some((*id).into()),
                title: Some(format!("Title of {id}")),
                date: Some((*date).into()),
                text: (*text).into(),
                ..NewDocument::default()
            })
            .collect();
        let source = Source {
            place: "/x".into(),
            stamp: Stamp { size_bytes: 1, modified_ns: 1, reading: String::new() },
        };
        store.replace_source(&source, &documents, 50).unwrap();
        (folder, store)
    }

    fn ids(store: &ProfileStore, chunks: &[i64]) -> Vec<String> {
        store.passages(chunks).unwrap().into_iter().map(|hit| hit.document).collect()
    }

    fn found(store: &ProfileStore, query: &str, limit: usize) -> Vec<(i64, f64)> {
        store.lexical(query, limit).unwrap()
    }

    #[test]
    fn rare_words_decide() {
        let (_folder, store) = store_with(&[
            ("a", "2020-01-01", "The garden was wet and the path was long."),
            ("b", "2020-01-02", "The sourdough starter was wet."),
            ("c", "2020-01-03", "The path was long and the day was long."),
        ]);
        let hits = found(&store, "the sourdough", 3);
        assert_eq!(ids(&store, &[hits[0].0]), ["b"]);
        assert!(hits[0].1 > hits.get(1).map_or(0.0, |hit| hit.1));
    }

    #[test]
    fn inflections_and_accents_are_found() {
        let (_folder, store) = store_with(&[("a", "2020-01-01", "We reviewed the café menus.")]);
        assert_eq!(found(&store, "reviewing a CAFE", 1).len(), 1);
    }

    #[test]
    fn query_syntax_is_just_text() {
        let (_folder, store) = store_with(&[("a", "2020-01-01", "near and not")]);
        for query in ["NEAR(", "\"", "a AND", "text:*", "-", "", "title:x OR", "'); DROP"] {
            found(&store, query, 3);
        }
    }

    #[test]
    fn the_newest_come_first_where_words_do_not_help() {
        let (_folder, store) = store_with(&[
            ("old", "2019-01-01", "one"),
            ("new", "2021-01-01", "two"),
            ("mid", "2020-01-01", "three"),
        ]);
        assert_eq!(ids(&store, &store.newest(2).unwrap()), ["new", "mid"]);
    }
}
