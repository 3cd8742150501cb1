//! Forgetting: documents go, with everything that was derived from them, in one transaction.
//!
//! Passages, index entries, vectors and signatures go with their document, and every prompt that a
//! model has read, and the drafts that were written from it; adapters that learned from it become
//! invalid; sources that are left without a document go too, so that not even the names of the files
//! stay. The hash of each text is remembered, so that the next ingest does not bring it back. Near
//! copies in files that are read again count as other texts.

use std::collections::BTreeSet;
use std::path::{Path, is_separator};

use jiff::civil::Date;
use rusqlite::{Transaction, TransactionBehavior};
use serde::Serialize;

use super::{ProfileError, ProfileStore, adapters, delete, drafts, prefixes, runs};

/// Which documents: those that fit every kind of condition given, and of each kind any one. No
/// condition selects nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Ids, or beginnings that fit one id alone.
    pub documents: Vec<String>,
    /// Places: a file, whoever was taken out of it, or everything below a folder.
    pub places: Vec<String>,
    /// Written before this day; undated documents are not.
    pub before: Option<Date>,
}

/// How to forget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgetting {
    /// Let the next ingest bring the texts back.
    pub allow_again: bool,
    /// Only say what would go.
    pub dry_run: bool,
}

/// What went, or would go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// Documents.
    pub documents: usize,
    /// Their passages.
    pub passages: usize,
    /// Their passages' vectors.
    pub embeddings: usize,
    /// Files and other places that have no document left.
    pub sources: usize,
    /// Drafts that were written from them.
    pub drafts: usize,
    /// Runs of training on them, finished or not.
    pub runs: usize,
    /// Adapters that learned from the documents and were still valid, by their ids.
    pub adapters_invalidated: Vec<String>,
    /// Adapters that are in use again instead of those.
    pub adapters_adopted: Vec<String>,
    /// The documents' ids.
    pub ids: Vec<String>,
}

impl ProfileStore {
    /// Forgets the documents that `selection` names.
    ///
    /// Afterwards the store's file is rewritten where they stood and the write-ahead log emptied,
    /// as far as other processes that read allow it; copies of interrupted exports are removed.
    ///
    /// # Errors
    /// [`ProfileError::NoSuchDocument`], [`ProfileError::AmbiguousDocument`],
    /// [`ProfileError::NothingToForget`], [`ProfileError::Busy`] or [`ProfileError::Database`];
    /// then nothing has changed.
    pub fn forget(
        &mut self,
        selection: &Selection,
        how: Forgetting,
    ) -> Result<Forgotten, ProfileError> {
        let ids: BTreeSet<String> = selection
            .documents
            .iter()
            .map(|id| self.document(id).map(|document| document.id))
            .collect::<Result<_, _>>()?;
        let path = self.path.clone();
        let result = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                let forgotten = Removal::of(&transaction, selection, &ids)?.run(how.allow_again)?;
                // Otherwise it is dropped, and nothing has happened.
                if !how.dry_run {
                    // Once more below, where it is said if it fails.
                    let _ = prefixes::remove_all(&path);
                    transaction.commit()?;
                }
                Ok(forgotten)
            });
        let forgotten = result.map_err(|error| self.failed(error))?;
        if forgotten.documents == 0 && forgotten.sources == 0 {
            return Err(ProfileError::NothingToForget { user: self.user().to_string() });
        }
        if !how.dry_run {
            self.remove_prefixes()?;
            // Best effort: what is gone is gone from every query already.
            let _ = self.checkpoint();
            for copy in delete::beside(&self.path, "export-").unwrap_or_default() {
                let _ = delete::remove(&copy);
            }
        }
        Ok(forgotten)
    }
}

/// What is to go, inside its transaction.
struct Removal<'a> {
    transaction: &'a Transaction<'a>,
    /// Documents, by their numbers.
    documents: BTreeSet<i64>,
    /// Sources that go where no document is left in them.
    sources: BTreeSet<i64>,
}

impl<'a> Removal<'a> {
    fn of(
        transaction: &'a Transaction<'a>,
        selection: &Selection,
        ids: &BTreeSet<String>,
    ) -> rusqlite::Result<Self> {
        let mut removal =
            Self { transaction, documents: BTreeSet::new(), sources: BTreeSet::new() };
        let mut conditions = Vec::new();
        if !ids.is_empty() {
            conditions.push(removal.with_ids(ids)?);
        }
        if !selection.places.is_empty() {
            let sources = removal.covered_by(&selection.places)?;
            conditions.push(removal.in_sources(&sources)?);
            // A file without any text has left its name, too.
            if ids.is_empty() && selection.before.is_none() {
                removal.sources = sources;
            }
        }
        if let Some(day) = selection.before {
            conditions.push(removal.before(day)?);
        }
        let mut conditions = conditions.into_iter();
        let first = conditions.next().unwrap_or_default();
        removal.documents = conditions.fold(first, |all, more| &all & &more);
        Ok(removal)
    }

    fn with_ids(&self, ids: &BTreeSet<String>) -> rusqlite::Result<BTreeSet<i64>> {
        let mut statement =
            self.transaction.prepare("SELECT number FROM document WHERE id = ?1")?;
        ids.iter().map(|id| statement.query_row([id], |row| row.get(0))).collect()
    }

    fn before(&self, day: Date) -> rusqlite::Result<BTreeSet<i64>> {
        self.transaction
            .prepare("SELECT number FROM document WHERE date < ?1")?
            .query_map([day.to_string()], |row| row.get(0))?
            .collect()
    }

    fn covered_by(&self, places: &[String]) -> rusqlite::Result<BTreeSet<i64>> {
        let mut statement = self.transaction.prepare("SELECT id, place FROM source")?;
        let mut rows = statement.query([])?;
        let mut sources = BTreeSet::new();
        while let Some(row) = rows.next()? {
            let place: String = row.get(1)?;
            let is_covered = |given: &String| {
                // `C#.md` lies beside a folder `C`, not in it.
                covers(given, &place) && (given == &place || !names_beside(given, &place))
            };
            if places.iter().any(is_covered) {
                sources.insert(row.get(0)?);
            }
        }
        Ok(sources)
    }

    fn in_sources(&self, sources: &BTreeSet<i64>) -> rusqlite::Result<BTreeSet<i64>> {
        let mut statement =
            self.transaction.prepare("SELECT document FROM occurrence WHERE source = ?1")?;
        let mut documents = BTreeSet::new();
        for source in sources {
            for document in statement.query_map([source], |row| row.get(0))? {
                documents.insert(document?);
            }
        }
        Ok(documents)
    }

    fn run(mut self, allow_again: bool) -> rusqlite::Result<Forgotten> {
        let mut forgotten = Forgotten::default();
        let adopted = adapters::adopted(self.transaction)?;
        for number in std::mem::take(&mut self.documents) {
            self.remove(number, allow_again, &mut forgotten)?;
        }
        let mut statement = self.transaction.prepare(
            "DELETE FROM source WHERE id = ?1
             AND NOT EXISTS (SELECT 1 FROM occurrence WHERE source = ?1)",
        )?;
        for source in &self.sources {
            forgotten.sources += statement.execute([source])?;
        }
        let now = adapters::adopted(self.transaction)?;
        forgotten.adapters_adopted = now.into_iter().filter(|id| !adopted.contains(id)).collect();
        forgotten.drafts = drafts::remove_orphans(self.transaction)?;
        forgotten.runs = runs::remove_orphans(self.transaction)?;
        forgotten.ids.sort_unstable();
        forgotten.adapters_invalidated.sort_unstable();
        Ok(forgotten)
    }

    fn remove(
        &mut self,
        number: i64,
        allow_again: bool,
        forgotten: &mut Forgotten,
    ) -> rusqlite::Result<()> {
        let count = |sql: &str| -> rusqlite::Result<usize> {
            self.transaction.prepare_cached(sql)?.query_row([number], |row| row.get(0))
        };
        forgotten.passages += count("SELECT count(*) FROM chunk WHERE document = ?1")?;
        forgotten.embeddings += count(
            "SELECT count(*) FROM embedding JOIN chunk ON chunk.number = embedding.chunk
             WHERE chunk.document = ?1",
        )?;
        let (id, hash): (String, Vec<u8>) = self
            .transaction
            .prepare_cached("SELECT id, text_sha256 FROM document WHERE number = ?1")?
            .query_row([number], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut statement = self
            .transaction
            .prepare_cached("SELECT DISTINCT source FROM occurrence WHERE document = ?1")?;
        for source in statement.query_map([number], |row| row.get(0))? {
            self.sources.insert(source?);
        }
        if !allow_again {
            self.transaction
                .prepare_cached("INSERT OR IGNORE INTO forgotten (text_sha256) VALUES (?1)")?
                .execute([hash])?;
            // Near copies counted as this document; they must not take its place.
            self.transaction
                .prepare_cached(
                    "INSERT OR IGNORE INTO forgotten (text_sha256)
                     SELECT text_sha256 FROM occurrence
                     WHERE document = ?1 AND text_sha256 IS NOT NULL",
                )?
                .execute([number])?;
        }
        forgotten.adapters_invalidated.extend(adapters::invalidate(self.transaction, &id)?);
        // Passages, index entries, vectors, signatures and occurrences go with it.
        forgotten.documents += self
            .transaction
            .prepare_cached("DELETE FROM document WHERE number = ?1")?
            .execute([number])?;
        forgotten.ids.push(id);
        Ok(())
    }
}

/// Whether `given` is a folder that is there, and `place` only begins with its name and a `#`.
fn names_beside(given: &str, place: &str) -> bool {
    let given = given.trim_end_matches(is_separator);
    place.strip_prefix(given).is_some_and(|rest| rest.starts_with('#')) && Path::new(given).is_dir()
}

/// Whether `given` is the place itself, the file that a person was taken out of, or a folder that
/// the place lies in.
fn covers(given: &str, place: &str) -> bool {
    if given.is_empty() {
        return false;
    }
    let Some(rest) = place.strip_prefix(given.trim_end_matches(is_separator)) else {
        return false;
    };
    rest.is_empty()
        || rest.starts_with(is_separator)
        // `file#person`; behind a separator it would be another folder whose name begins alike.
        || rest.strip_prefix('#').is_some_and(|person| !person.contains(is_separator))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;
    use crate::profile::{AdapterState, Applied, NewDocument, NoPassphrase, Source, Stamp, User};

    fn store() -> (tempfile::TempDir, ProfileStore) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(folder.path())).unwrap();
        let user = User::parse("me").unwrap();
        let store = ProfileStore::open_or_create(&paths, &user, &NoPassphrase).unwrap();
        (folder, store)
    }

    /// One document of one place; its id and its text are made of `name`.
    fn put(store: &mut ProfileStore, place: &str, name: &str, date: Option<&str>) -> Applied {
        let stamp = Stamp { size_bytes: 1, modified_ns: 1, reading: String::new() };
        let source = Source { place: place.into(), stamp };
        let document = NewDocument {
            id: Some(name.into()),
            title: Some(format!("Title {name}")),
            date: date.map(str::to_owned),
            text: format!("The word here is {name}."),
            ..NewDocument::default()
        };
        store.replace_source(&source, &[document], 50).unwrap()
    }

    fn documents(ids: &[&str]) -> Selection {
        let documents = ids.iter().map(|id| (*id).to_owned()).collect();
        Selection { documents, ..Selection::default() }
    }

    fn places(places: &[&str]) -> Selection {
        let places = places.iter().map(|place| (*place).to_owned()).collect();
        Selection { places, ..Selection::default() }
    }

    fn ids(store: &ProfileStore) -> Vec<String> {
        let mut ids: Vec<String> =
            store.summaries().unwrap().into_iter().map(|summary| summary.id).collect();
        ids.sort();
        ids
    }

    fn count(store: &ProfileStore, table: &str) -> usize {
        let sql = format!("SELECT count(*) FROM {table}");
        store.connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_forgotten_document_takes_everything_derived_from_it_along() {
        let (_folder, mut store) = store();
        put(&mut store, "/a", "zebra", None);
        put(&mut store, "/b", "giraffe", None);
        store
            .connection
            .execute_batch(
                "INSERT INTO embedder VALUES (1, 'test', '00', 2);
                 INSERT INTO embedding SELECT number, 1, x'00000000' FROM chunk;
                 INSERT OR IGNORE INTO minhash SELECT number, x'00' FROM document;
                 INSERT OR IGNORE INTO minhash_band SELECT 1, number FROM document;",
            )
            .unwrap();
        store.record_adapter("learned", &["zebra".into(), "giraffe".into()]).unwrap();
        store.record_adapter("other", &["giraffe".into()]).unwrap();

        let forgotten = store.forget(&documents(&["zeb"]), Forgetting::default()).unwrap();
        let expected = Forgotten {
            documents: 1,
            passages: 1,
            embeddings: 1,
            sources: 1,
            drafts: 0,
            runs: 0,
            adapters_invalidated: vec!["learned".into()],
            adapters_adopted: Vec::new(),
            ids: vec!["zebra".into()],
        };
        assert_eq!(forgotten, expected);
        assert!(store.lexical("zebra", 5).unwrap().is_empty());
        assert_eq!(store.lexical("giraffe", 5).unwrap().len(), 1);
        for table in
            ["document", "chunk", "chunk_text", "embedding", "minhash", "minhash_band", "source"]
        {
            assert_eq!(count(&store, table), 1, "{table}");
        }
        let adapters = store.adapters().unwrap();
        assert_eq!(adapters[0].state, AdapterState::Invalid);
        assert!(adapters[0].reason.as_deref().unwrap().contains("zebra"));
        assert_eq!(adapters[1].state, AdapterState::Candidate);
    }

    #[test]
    fn a_forgotten_text_stays_away_unless_it_is_allowed_again() {
        let (_folder, mut store) = store();
        put(&mut store, "/a", "zebra", None);
        store.forget(&documents(&["zebra"]), Forgetting::default()).unwrap();
        // The stamp went too: the file is read again, and its text still stays away.
        assert!(store.stamp("/a").unwrap().is_none());
        assert_eq!(put(&mut store, "/a", "zebra", None).forgotten, 1);
        assert_eq!(store.document_count().unwrap(), 0);

        put(&mut store, "/b", "giraffe", None);
        let again = Forgetting { allow_again: true, ..Forgetting::default() };
        store.forget(&documents(&["giraffe"]), again).unwrap();
        assert_eq!(put(&mut store, "/b", "giraffe", None).added, 1);
    }

    #[test]
    fn a_dry_run_says_the_same_and_changes_nothing() {
        let (_folder, mut store) = store();
        put(&mut store, "/a", "zebra", None);
        store.record_adapter("learned", &["zebra".into()]).unwrap();
        let dry = Forgetting { dry_run: true, ..Forgetting::default() };
        let said = store.forget(&documents(&["zebra"]), dry).unwrap();
        assert_eq!(store.lexical("zebra", 5).unwrap().len(), 1);
        assert_eq!(store.adapters().unwrap()[0].state, AdapterState::Candidate);
        assert_eq!(count(&store, "forgotten"), 0);
        assert_eq!(store.forget(&documents(&["zebra"]), Forgetting::default()).unwrap(), said);
    }

    #[test]
    fn places_cover_files_people_in_files_and_folders_alone() {
        for (given, place, expected) in [
            ("/n/a.txt", "/n/a.txt", true),
            ("/n", "/n/a.txt", true),
            ("/n/", "/n/deep/a.txt", true),
            ("/", "/n/a.txt", true),
            ("/n/a.jsonl", "/n/a.jsonl#Bo", true),
            ("/n/a.jsonl#Bo", "/n/a.jsonl#Bo", true),
            ("stdin:12ab", "stdin:12ab", true),
            ("/n/a", "/n/ab", false),
            ("/n/a", "/n/a.txt", false),
            ("/n/c", "/n/c#/a.txt", false),
            ("/n/a.jsonl#Bo", "/n/a.jsonl#Bob", false),
            ("/n/a.jsonl#Bo", "/n/a.jsonl", false),
            ("n", "/n/a.txt", false),
            ("", "/n/a.txt", false),
        ] {
            assert_eq!(covers(given, place), expected, "{given} {place}");
        }
    }

    #[test]
    fn a_folder_is_forgotten_with_the_names_of_its_files() {
        let (_folder, mut store) = store();
        put(&mut store, "/n/a", "one", None);
        put(&mut store, "/n/deep/b", "two", None);
        put(&mut store, "/other", "three", None);
        let stamp = Stamp { size_bytes: 0, modified_ns: 1, reading: String::new() };
        let empty = Source { place: "/n/empty".into(), stamp };
        store.replace_source(&empty, &[], 50).unwrap();
        // The same text elsewhere is the same document: it goes.
        put(&mut store, "/copy", "one", None);

        let forgotten = store.forget(&places(&["/n"]), Forgetting::default()).unwrap();
        assert_eq!((forgotten.documents, forgotten.sources), (2, 4));
        assert_eq!(ids(&store), ["three"]);
        assert_eq!(count(&store, "source"), 1);
        let nothing = store.forget(&places(&["/n"]), Forgetting::default());
        assert!(matches!(nothing, Err(ProfileError::NothingToForget { .. })));
    }

    #[test]
    fn a_source_with_other_documents_keeps_its_stamp() {
        let (_folder, mut store) = store();
        let stamp = Stamp { size_bytes: 1, modified_ns: 1, reading: String::new() };
        let source = Source { place: "/a".into(), stamp };
        let both = ["one", "two"].map(|name| NewDocument {
            key: name.into(),
            id: Some(name.into()),
            text: format!("The word here is {name}."),
            ..NewDocument::default()
        });
        store.replace_source(&source, &both, 50).unwrap();
        let forgotten = store.forget(&documents(&["one"]), Forgetting::default()).unwrap();
        assert_eq!(forgotten.sources, 0);
        assert_eq!(store.stamp(&source.place).unwrap(), Some(source.stamp));
        assert_eq!(ids(&store), ["two"]);
    }

    #[test]
    fn dates_and_several_conditions_narrow_the_choice() {
        let (_folder, mut store) = store();
        put(&mut store, "/n/old", "old", Some("2019-12-31"));
        put(&mut store, "/n/new", "new", Some("2020-01-01"));
        put(&mut store, "/n/undated", "undated", None);
        put(&mut store, "/m/old", "elsewhere", Some("2010-01-01"));
        let before = Some("2020-01-01".parse().unwrap());
        let both = Selection { before, ..places(&["/n"]) };
        store.forget(&both, Forgetting::default()).unwrap();
        assert_eq!(ids(&store), ["elsewhere", "new", "undated"]);
        let selection = Selection { before, ..Selection::default() };
        store.forget(&selection, Forgetting::default()).unwrap();
        assert_eq!(ids(&store), ["new", "undated"]);
    }

    #[test]
    fn a_wrong_id_or_no_condition_forgets_nothing() {
        let (_folder, mut store) = store();
        put(&mut store, "/a", "zebra", None);
        put(&mut store, "/b", "zebu", None);
        let how = Forgetting::default();
        let refused = store.forget(&documents(&["zebra", "lion"]), how);
        assert!(matches!(refused, Err(ProfileError::NoSuchDocument { .. })));
        let refused = store.forget(&documents(&["zeb"]), how);
        assert!(matches!(refused, Err(ProfileError::AmbiguousDocument { .. })));
        let refused = store.forget(&Selection::default(), how);
        assert!(matches!(refused, Err(ProfileError::NothingToForget { .. })));
        assert_eq!(ids(&store), ["zebra", "zebu"]);
    }

    #[test]
    fn the_write_ahead_log_is_empty_afterwards_and_copies_are_gone() {
        let (_folder, mut store) = store();
        put(&mut store, "/a", "zebra", None);
        let copy = store.path.with_file_name("me.export-x7Qz");
        std::fs::create_dir(&copy).unwrap();
        std::fs::write(copy.join("profile.db"), b"copy").unwrap();
        store.forget(&documents(&["zebra"]), Forgetting::default()).unwrap();
        let log = store.path.with_file_name("me.db-wal");
        assert_eq!(std::fs::metadata(log).map_or(0, |metadata| metadata.len()), 0);
        assert!(!copy.exists());
    }
}
