//! The sources of a profile: which there are, whether they have changed, what each contributes.
//!
//! This file knows places and stamps as text and numbers; it never looks at a file.

use std::collections::HashMap;
use std::path::MAIN_SEPARATOR;

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};
use rusqlite::{OptionalExtension, Row, TransactionBehavior, params};

use super::adapters::invalidate_orphans;
use super::change::{Applied, Change, CutDocument, remove_unless_elsewhere};
use super::{NewDocument, ProfileError, ProfileStore, Source, Stamp, drafts, prefixes, runs};

impl ProfileStore {
    /// The stamp with which `place` was ingested last; `None` where it never was.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn stamp(&self, place: &str) -> Result<Option<Stamp>, ProfileError> {
        let read = || -> rusqlite::Result<Option<Stamp>> {
            self.connection
                .prepare_cached(
                    "SELECT place, size_bytes, modified_ns, reading FROM source WHERE place = ?1",
                )?
                .query_row([place], |row| Ok(place_and_stamp(row)?.1))
                .optional()
        };
        read().map_err(|error| self.failed(error))
    }

    /// The stamps of all places below `folder`, by place.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn stamps_below(&self, folder: &str) -> Result<HashMap<String, Stamp>, ProfileError> {
        let (first, end) = range_below(folder);
        let read = || -> rusqlite::Result<HashMap<String, Stamp>> {
            self.connection
                .prepare(
                    "SELECT place, size_bytes, modified_ns, reading FROM source
                     WHERE place >= ?1 AND place < ?2",
                )?
                .query_map([&first, &end], place_and_stamp)?
                .collect()
        };
        read().map_err(|error| self.failed(error))
    }

    /// Makes `documents` what the store holds of `source`, in one transaction: new texts are
    /// added, texts that are already there from elsewhere are stored once, and what the source no
    /// longer has is removed unless another source has it. Passages take `chunk_tokens` at most.
    ///
    /// # Errors
    /// [`ProfileError::Busy`] or [`ProfileError::Database`]; then nothing has changed.
    pub fn replace_source(
        &mut self,
        source: &Source,
        documents: &[NewDocument],
        chunk_tokens: usize,
    ) -> Result<Applied, ProfileError> {
        let applied = self.replace(&[(source, documents)], chunk_tokens)?;
        Ok(applied.into_iter().next().unwrap_or_default())
    }

    /// [`Self::replace_source`] for several sources, one after the other, all in one transaction;
    /// what was done, source by source.
    ///
    /// # Errors
    /// [`ProfileError::Busy`] or [`ProfileError::Database`]; then nothing has changed.
    pub fn replace_sources(
        &mut self,
        changes: &[(Source, Vec<NewDocument>)],
        chunk_tokens: usize,
    ) -> Result<Vec<Applied>, ProfileError> {
        let changes: Vec<(&Source, &[NewDocument])> =
            changes.iter().map(|(source, documents)| (source, documents.as_slice())).collect();
        self.replace(&changes, chunk_tokens)
    }

    fn replace(
        &mut self,
        changes: &[(&Source, &[NewDocument])],
        chunk_tokens: usize,
    ) -> Result<Vec<Applied>, ProfileError> {
        // Cut before the transaction begins: other writers wait only for what must be written.
        let cut: Vec<Vec<CutDocument<'_>>> = changes
            .par_iter()
            .map(|&(_, documents)| {
                documents
                    .par_iter()
                    .map(|document| CutDocument::new(document, chunk_tokens))
                    .collect()
            })
            .collect();
        let path = self.path.clone();
        let result = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                let mut applied = Vec::with_capacity(changes.len());
                for (&(source, _), cut) in changes.iter().zip(&cut) {
                    let mut done = Change::new(&transaction, source)?.apply(cut)?;
                    if done.removed > 0 {
                        done.adapters_invalidated = invalidate_orphans(&transaction)?;
                        done.drafts_removed = drafts::remove_orphans(&transaction)?;
                        runs::remove_orphans(&transaction)?;
                    }
                    applied.push(done);
                }
                if applied.iter().any(|applied| applied.removed > 0) {
                    // Once more below, where it is said if it fails.
                    let _ = prefixes::remove_all(&path);
                }
                transaction.commit()?;
                Ok(applied)
            });
        let applied = result.map_err(|error| self.failed(error))?;
        if applied.iter().any(|applied| applied.removed > 0) {
            self.remove_prefixes()?;
        }
        Ok(applied)
    }

    /// Removes the sources at `places`, in one transaction, with every document that no other
    /// source has.
    ///
    /// # Errors
    /// [`ProfileError::Busy`] or [`ProfileError::Database`]; then nothing has changed.
    pub fn remove_sources(&mut self, places: &[String]) -> Result<Applied, ProfileError> {
        let path = self.path.clone();
        let result = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                let mut applied = Applied::default();
                for place in places {
                    let id: Option<i64> = transaction
                        .prepare_cached("SELECT id FROM source WHERE place = ?1")?
                        .query_row([place], |row| row.get(0))
                        .optional()?;
                    let Some(id) = id else { continue };
                    let numbers: Vec<i64> = transaction
                        .prepare_cached(
                            "SELECT DISTINCT document FROM occurrence WHERE source = ?1",
                        )?
                        .query_map([id], |row| row.get(0))?
                        .collect::<rusqlite::Result<_>>()?;
                    for number in numbers {
                        applied.removed +=
                            remove_unless_elsewhere(&transaction, number, id, false)?;
                    }
                    transaction
                        .prepare_cached("DELETE FROM source WHERE id = ?1")?
                        .execute(params![id])?;
                }
                applied.adapters_invalidated = invalidate_orphans(&transaction)?;
                applied.drafts_removed = drafts::remove_orphans(&transaction)?;
                runs::remove_orphans(&transaction)?;
                if applied.removed > 0 {
                    // Once more below, where it is said if it fails.
                    let _ = prefixes::remove_all(&path);
                }
                transaction.commit()?;
                Ok(applied)
            });
        let applied = result.map_err(|error| self.failed(error))?;
        if applied.removed > 0 {
            self.remove_prefixes()?;
        }
        Ok(applied)
    }
}

fn place_and_stamp(row: &Row<'_>) -> rusqlite::Result<(String, Stamp)> {
    let stamp = Stamp { size_bytes: row.get(1)?, modified_ns: row.get(2)?, reading: row.get(3)? };
    Ok((row.get(0)?, stamp))
}

/// The first place below `folder`, and the first that comes after all of them.
fn range_below(folder: &str) -> (String, String) {
    let folder = folder.trim_end_matches(MAIN_SEPARATOR);
    // The separator is ASCII, so that the next byte is a character too.
    let after = char::from(MAIN_SEPARATOR as u8 + 1);
    (format!("{folder}{MAIN_SEPARATOR}"), format!("{folder}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;
    use crate::profile::{NoPassphrase, User};

    fn store() -> (tempfile::TempDir, ProfileStore) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(folder.path())).unwrap();
        let user = User::parse("me").unwrap();
        let store = ProfileStore::open_or_create(&paths, &user, &NoPassphrase).unwrap();
        (folder, store)
    }

    fn source(place: &str, size_bytes: u64) -> Source {
        let stamp = Stamp { size_bytes, modified_ns: 1, reading: "text".into() };
        Source { place: place.into(), stamp }
    }

    fn document(text: &str) -> NewDocument {
        NewDocument { text: text.into(), kind: "text".into(), ..NewDocument::default() }
    }

    /// A text of some length; texts with different words have nothing in common.
    fn long(word: &str) -> String {
        (0..100).map(|number| format!("{word}{number} ")).collect()
    }

    fn put(store: &mut ProfileStore, place: &str, size_bytes: u64, text: &str) -> Applied {
        store.replace_source(&source(place, size_bytes), &[document(text)], 100).unwrap()
    }

    #[test]
    fn a_nearly_equal_text_is_stored_once_and_goes_with_the_last_place() {
        let (_folder, mut store) = store();
        put(&mut store, "/a", 1, &long("x"));
        let copy = long("x").replace("x50 ", "new ");
        let applied = put(&mut store, "/b", 1, &copy);
        assert_eq!((applied.added, applied.near_duplicates), (0, 1));
        assert_eq!(store.document_count().unwrap(), 1);
        // Read again, it is still the same one.
        let applied = put(&mut store, "/b", 2, &copy);
        assert_eq!((applied.near_duplicates, applied.removed), (1, 0));
        assert_eq!(store.remove_sources(&["/a".into()]).unwrap().removed, 0);
        assert_eq!(store.remove_sources(&["/b".into()]).unwrap().removed, 1);
        assert_eq!(store.document_count().unwrap(), 0);
    }

    #[test]
    fn a_slightly_edited_text_replaces_its_old_version() {
        let (_folder, mut store) = store();
        put(&mut store, "/a", 1, &long("x"));
        let edited = long("x").replace("x50 ", "giraffe ");
        let applied = put(&mut store, "/a", 2, &edited);
        assert_eq!((applied.added, applied.near_duplicates, applied.removed), (1, 0, 1));
        let id = store.summaries().unwrap()[0].id.clone();
        assert_eq!(store.document(&id).unwrap().text, edited);
    }

    #[test]
    fn a_copy_whose_original_has_gone_gets_its_own_text_when_it_is_read_again() {
        let (_folder, mut store) = store();
        put(&mut store, "/a", 1, &long("x"));
        let copy = long("x").replace("x50 ", "giraffe ");
        put(&mut store, "/b", 1, &copy);
        store.remove_sources(&["/a".into()]).unwrap();
        let stamp = store.stamp("/b").unwrap().unwrap();
        assert_eq!(stamp.modified_ns, -1, "it is read again though its file has not changed");
        let applied = put(&mut store, "/b", 2, &copy);
        assert_eq!((applied.added, applied.removed), (1, 1));
        assert_eq!(store.lexical("giraffe", 5).unwrap().len(), 1);
    }

    /// The story: two copies; a sentence is taken out of one, then the other is deleted. No file has
    /// the sentence any more, so the store must not have it either.
    #[test]
    fn a_text_that_no_place_has_any_more_goes() {
        let (_folder, mut store) = store();
        put(&mut store, "/a", 1, &long("x"));
        put(&mut store, "/b", 1, &long("x"));
        let edited = long("x").replace("x50 ", "");
        put(&mut store, "/a", 2, &edited);
        store.remove_sources(&["/b".into()]).unwrap();
        assert_eq!(store.stamp("/a").unwrap().unwrap().modified_ns, -1);
        put(&mut store, "/a", 2, &edited);
        let id = store.summaries().unwrap()[0].id.clone();
        assert_eq!(store.document(&id).unwrap().text, edited);
        assert_eq!(store.document_count().unwrap(), 1);
    }

    #[test]
    fn a_title_that_was_taken_away_goes_unless_another_place_has_it() {
        let (_folder, mut store) = store();
        let titled = NewDocument { title: Some("Zebra".into()), ..document("the same text") };
        store.replace_source(&source("/a", 1), std::slice::from_ref(&titled), 100).unwrap();
        store.replace_source(&source("/b", 1), &[titled], 100).unwrap();
        put(&mut store, "/a", 2, "the same text");
        assert_eq!(store.lexical("zebra", 5).unwrap().len(), 1);
        store.remove_sources(&["/b".into()]).unwrap();
        put(&mut store, "/a", 3, "the same text");
        assert!(store.lexical("zebra", 5).unwrap().is_empty());
        assert_eq!(store.summaries().unwrap()[0].title, None);
    }

    #[test]
    fn short_texts_are_the_same_only_where_they_are_equal() {
        let (_folder, mut store) = store();
        put(&mut store, "/a", 1, "See you on Monday at the shed.");
        let applied = put(&mut store, "/b", 1, "See you on Sunday at the shed.");
        assert_eq!((applied.added, applied.near_duplicates), (1, 0));
    }

    #[test]
    fn a_text_that_was_forgotten_stays_away() {
        let (_folder, mut store) = store();
        put(&mut store, "/a", 1, "zebra");
        store
            .connection
            .execute_batch(
                "INSERT INTO forgotten SELECT text_sha256 FROM document; DELETE FROM document;",
            )
            .unwrap();
        for (place, size_bytes) in [("/a", 2), ("/b", 1)] {
            let applied = put(&mut store, place, size_bytes, "zebra");
            assert_eq!((applied.added, applied.forgotten), (0, 1));
        }
        assert_eq!(store.document_count().unwrap(), 0);
        assert_eq!(put(&mut store, "/a", 3, "giraffe").added, 1);
    }

    #[test]
    fn kind_recipient_and_context_are_kept_and_brought_up_to_date() {
        let (_folder, mut store) = store();
        put(&mut store, "/a", 1, "body");
        let mail = NewDocument {
            kind: "mail".into(),
            recipient: Some("Bo <b@b.example>".into()),
            context: Some("their words".into()),
            ..document("body")
        };
        store.replace_source(&source("/a", 2), &[mail], 100).unwrap();
        let id = store.summaries().unwrap()[0].id.clone();
        let read = || -> (String, Option<String>, Option<String>) {
            let sql = "SELECT kind, recipient, context FROM document WHERE id = ?1";
            let columns = |row: &Row<'_>| -> rusqlite::Result<_> {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            };
            store.connection.query_row(sql, [&id], columns).unwrap()
        };
        let (kind, recipient, context) = read();
        assert_eq!(kind, "mail");
        assert_eq!(recipient.as_deref(), Some("Bo <b@b.example>"));
        assert_eq!(context.as_deref(), Some("their words"));
        assert!(store.lexical("words", 5).unwrap().is_empty(), "context is never retrieved");
    }

    #[test]
    fn several_sources_change_together_or_not_at_all() {
        let (_folder, mut store) = store();
        let changes = |texts: [&str; 2]| {
            [("/a", texts[0]), ("/b", texts[1])]
                .map(|(place, text)| (source(place, 1), vec![document(text)]))
        };
        let applied = store.replace_sources(&changes(["one", "one"]), 100).unwrap();
        assert_eq!((applied[0].added, applied[1].duplicates), (1, 1));
        // The second change fails in the store itself.
        let trigger = "CREATE TEMP TRIGGER fails BEFORE INSERT ON document
                       WHEN new.text = 'bad' BEGIN SELECT raise(ABORT, 'no'); END";
        store.connection.execute_batch(trigger).unwrap();
        assert!(store.replace_sources(&changes(["two", "bad"]), 100).is_err());
        assert_eq!(store.document_count().unwrap(), 1);
        assert!(store.lexical("two", 5).unwrap().is_empty());
    }

    #[test]
    fn places_below_a_folder_are_those_and_no_others() {
        let (_folder, mut store) = store();
        for place in ["/n/a", "/n/b/c", "/n", "/n0", "/nn/a", "/n-/a", "/m/a"] {
            put(&mut store, place, 1, place);
        }
        let below = |folder: &str| {
            let mut places: Vec<String> = store.stamps_below(folder).unwrap().into_keys().collect();
            places.sort();
            places
        };
        assert_eq!(below("/n"), ["/n/a", "/n/b/c"]);
        assert_eq!(below("/n/"), below("/n"));
        assert_eq!(below("/").len(), 7);
        assert!(below("/other").is_empty());
    }

    #[test]
    fn an_unchanged_source_has_exactly_its_stamp() {
        let (_folder, mut store) = store();
        put(&mut store, "/a", 1, "text");
        assert_eq!(store.stamp("/a").unwrap(), Some(source("/a", 1).stamp));
        assert_eq!(store.stamp("/b").unwrap(), None);
    }
}
