//! Training that is under way: what each finished piece of its work came to, encrypted with the rest
//! of the profile.
//!
//! A piece is kept in one transaction, so that a run that was killed goes on after the last whole
//! one. What a run holds is derived from documents, and from drafts that something was said of, and
//! goes when one of them goes. This file does not know what the pieces are.

use std::fs::{File, OpenOptions, TryLockError};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;

use super::adapters::{self, NewAdapter};
use super::{ProfileError, ProfileStore};

/// What a lock's name ends with, beside the database.
pub(super) const LOCK: &str = "training";

/// A run of training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// When it began, in UTC, `YYYY-MM-DDThh:mm:ssZ`.
    pub begun_at: String,
    /// The model that is trained, by the hash of its file.
    pub base_sha256: String,
    /// What it was begun with.
    pub settings: serde_json::Value,
    /// Whether it has come to its end.
    pub is_done: bool,
}

/// Where the pieces of a run's work are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The run.
    pub run: &'a str,
    /// What kind of work it is.
    pub stage: &'a str,
    /// Which piece of it.
    pub key: &'a str,
}

/// A piece that is known when a run begins: stage, key, content.
pub type Known<'a> = (&'a str, &'a str, &'a [u8]);

/// Where a run has the number of the last draft that was there when it was begun.
const DRAFTS: &str = "drafts";

const COLUMNS: &str = "id, begun_at, base_sha256, settings, is_done";

impl ProfileStore {
    /// Begins a run on `documents` with what it already knows, and gives its id. The runs before it
    /// go, whatever they came to.
    ///
    /// # Errors
    /// [`ProfileError::NoSuchRun`] where one of the documents has gone meanwhile,
    /// [`ProfileError::Busy`] or [`ProfileError::Database`].
    pub fn begin_run(
        &mut self,
        base_sha256: &str,
        settings: &serde_json::Value,
        documents: &[String],
        known: &[Known<'_>],
    ) -> Result<String, ProfileError> {
        self.require_file()?;
        let id = self.changed(|transaction| {
            for document in documents {
                if !is_document(transaction, document)? {
                    return Ok(None);
                }
            }
            transaction.execute("DELETE FROM run", [])?;
            let id: String =
                transaction.query_row("SELECT lower(hex(randomblob(4)))", [], |row| row.get(0))?;
            transaction.execute(
                "INSERT INTO run (id, begun_at, base_sha256, settings)
                 VALUES (?1, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), ?2, ?3)",
                params![id, base_sha256, settings.to_string()],
            )?;
            let mut statement = transaction
                .prepare("INSERT OR IGNORE INTO run_document (run, document) VALUES (?1, ?2)")?;
            for document in documents {
                statement.execute(params![id, document])?;
            }
            // By number: clocks may be set back.
            let sql = "SELECT coalesce(max(number), 0) FROM draft";
            let drafts: i64 = transaction.query_row(sql, [], |row| row.get(0))?;
            let place = Place { run: &id, stage: DRAFTS, key: "" };
            keep(transaction, place, drafts.to_string().as_bytes())?;
            for &(stage, key, content) in known {
                keep(transaction, Place { run: &id, stage, key }, content)?;
            }
            Ok(Some(id))
        })?;
        id.ok_or_else(|| self.no_such_run())
    }

    /// Keeps others from training on this profile for as long as the lock is held; `None` where one
    /// does.
    ///
    /// # Errors
    /// [`ProfileError::Io`].
    pub fn lock_training(&self) -> Result<Option<File>, ProfileError> {
        // Not the database itself: SQLite locks that, and on some systems both kinds of locks meet.
        let path = self.path.with_extension(LOCK);
        let failed = |source| ProfileError::Io { path: path.clone(), source };
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// All runs, oldest first.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn runs(&self) -> Result<Vec<Run>, ProfileError> {
        let read = || -> rusqlite::Result<Vec<Run>> {
            let sql = format!("SELECT {COLUMNS} FROM run ORDER BY rowid");
            self.connection.prepare(&sql)?.query_map([], run)?.collect()
        };
        read().map_err(|error| self.failed(error))
    }

    /// What a piece of work came to; `None` where it was not done yet.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn unit(&self, place: Place<'_>) -> Result<Option<Vec<u8>>, ProfileError> {
        content(&self.connection, place).map_err(|error| self.failed(error))
    }

    /// Keeps what a piece of work came to, instead of what was kept of it before.
    ///
    /// # Errors
    /// [`ProfileError::NoSuchRun`] where the run has gone with something that it learned from,
    /// [`ProfileError::Busy`] or [`ProfileError::Database`].
    pub fn keep_unit(&mut self, place: Place<'_>, content: &[u8]) -> Result<(), ProfileError> {
        self.require_file()?;
        let is_there = self.changed(|transaction| keep(transaction, place, content))?;
        if is_there { Ok(()) } else { Err(self.no_such_run()) }
    }

    /// Lets what was kept of a piece of work go.
    ///
    /// # Errors
    /// [`ProfileError::Busy`] or [`ProfileError::Database`].
    pub fn remove_unit(&mut self, place: Place<'_>) -> Result<(), ProfileError> {
        self.changed(|transaction| {
            transaction
                .execute(
                    "DELETE FROM run_unit WHERE run = ?1 AND stage = ?2 AND key = ?3",
                    params![place.run, place.stage, place.key],
                )
                .map(|_| ())
        })
    }

    /// Takes an adapter in, puts it into use where that is wanted, and keeps its id as what the
    /// piece of work came to: all or nothing, and once, however often it is asked for.
    ///
    /// # Errors
    /// As [`Self::keep_unit`].
    pub fn add_adapter_of_run(
        &mut self,
        place: Place<'_>,
        new: &NewAdapter<'_>,
        is_adopted: bool,
    ) -> Result<String, ProfileError> {
        self.require_file()?;
        let id = self.changed(|transaction| {
            if !is_there(transaction, place.run)? {
                return Ok(None);
            }
            // Done before, perhaps by another process.
            let known = content(transaction, place)?;
            if let Some(id) = known.and_then(|id| String::from_utf8(id).ok()) {
                return Ok(Some(id));
            }
            let id: String =
                transaction.query_row("SELECT lower(hex(randomblob(4)))", [], |row| row.get(0))?;
            adapters::insert(transaction, &id, new)?;
            if is_adopted {
                adapters::adopt(transaction, &id)?;
            }
            keep(transaction, place, id.as_bytes())?;
            Ok(Some(id))
        })?;
        id.ok_or_else(|| self.no_such_run())
    }

    /// Notes that a run has come to its end.
    ///
    /// # Errors
    /// [`ProfileError::Busy`] or [`ProfileError::Database`].
    pub fn finish_run(&mut self, id: &str) -> Result<(), ProfileError> {
        self.changed(|transaction| {
            transaction.execute("UPDATE run SET is_done = 1 WHERE id = ?1", [id]).map(|_| ())
        })
    }

    /// Removes a run and all that was kept of it; whether there was one.
    ///
    /// # Errors
    /// [`ProfileError::Busy`] or [`ProfileError::Database`].
    pub fn remove_run(&mut self, id: &str) -> Result<bool, ProfileError> {
        self.changed(|transaction| {
            transaction.execute("DELETE FROM run WHERE id = ?1", [id]).map(|count| count > 0)
        })
    }

    fn no_such_run(&self) -> ProfileError {
        ProfileError::NoSuchRun { user: self.user().to_string() }
    }
}

fn is_document(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<bool> {
    transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM document WHERE id = ?1)")?
        .query_row([id], |row| row.get(0))
}

fn is_there(transaction: &Transaction<'_>, run: &str) -> rusqlite::Result<bool> {
    transaction
        .query_row("SELECT EXISTS (SELECT 1 FROM run WHERE id = ?1)", [run], |row| row.get(0))
}

fn content(connection: &Connection, place: Place<'_>) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .query_row(
            "SELECT content FROM run_unit WHERE run = ?1 AND stage = ?2 AND key = ?3",
            params![place.run, place.stage, place.key],
            |row| row.get(0),
        )
        .optional()
}

/// Whether the run is there, and the content is kept.
fn keep(transaction: &Transaction<'_>, place: Place<'_>, content: &[u8]) -> rusqlite::Result<bool> {
    if !is_there(transaction, place.run)? {
        return Ok(false);
    }
    transaction.execute(
        "INSERT OR REPLACE INTO run_unit (run, stage, key, content) VALUES (?1, ?2, ?3, ?4)",
        params![place.run, place.stage, place.key, content],
    )?;
    Ok(true)
}

/// Removes every run on a document that is there no more; how many they were. A document that was
/// only edited, in a file of the same name, keeps its id, and the run stays.
pub(super) fn remove_orphans(transaction: &Transaction<'_>) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached(
            "DELETE FROM run WHERE id IN
             (SELECT run FROM run_document WHERE document NOT IN (SELECT id FROM document))",
        )?
        .execute([])
}

/// Removes every run that may have learned from the draft of this number: those that were begun when it
/// was there; how many they were.
pub(super) fn remove_that_knew(
    transaction: &Transaction<'_>,
    draft: i64,
) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached(
            "DELETE FROM run WHERE ?1 <= coalesce(
             (SELECT CAST(CAST(content AS TEXT) AS INTEGER) FROM run_unit
              WHERE run = run.id AND stage = ?2), ?1)",
        )?
        .execute(params![draft, DRAFTS])
}

fn run(row: &Row<'_>) -> rusqlite::Result<Run> {
    let settings: String = row.get(3)?;
    Ok(Run {
        id: row.get(0)?,
        begun_at: row.get(1)?,
        base_sha256: row.get(2)?,
        settings: serde_json::from_str(&settings).unwrap_or_default(),
        is_done: row.get(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;
    use crate::profile::{
        AdapterState, Forgetting, NewDocument, NoPassphrase, Selection, Source, Stamp, User,
    };

    fn store() -> (tempfile::TempDir, ProfileStore) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(folder.path())).unwrap();
        let user = User::parse("me").unwrap();
        let mut store = ProfileStore::open_or_create(&paths, &user, &NoPassphrase).unwrap();
        for name in ["one", "two"] {
            let document = NewDocument {
                key: name.into(),
                id: Some(name.into()),
                text: format!("The text called {name}."),
                ..NewDocument::default()
            };
            let stamp = Stamp { size_bytes: 1, modified_ns: 1, reading: String::new() };
            let source = Source { place: format!("/{name}"), stamp };
            store.replace_source(&source, &[document], 50).unwrap();
        }
        (folder, store)
    }

    fn begin(store: &mut ProfileStore, documents: &[&str]) -> String {
        let documents: Vec<String> = documents.iter().map(|id| (*id).to_owned()).collect();
        let known: [Known<'_>; 1] = [("pairs", "", b"known")];
        store.begin_run("base", &serde_json::json!({"seed": 1}), &documents, &known).unwrap()
    }

    #[test]
    fn a_piece_of_work_is_kept_until_it_is_done_anew() {
        let (_folder, mut store) = store();
        let run = begin(&mut store, &["one"]);
        let place = Place { run: &run, stage: "samples", key: "a" };
        assert_eq!(store.unit(place).unwrap(), None);
        store.keep_unit(place, b"first").unwrap();
        store.keep_unit(place, b"second").unwrap();
        assert_eq!(store.unit(place).unwrap().as_deref(), Some(&b"second"[..]));
        store.remove_unit(place).unwrap();
        assert_eq!(store.unit(place).unwrap(), None);
        store.finish_run(&run).unwrap();
        assert!(store.runs().unwrap()[0].is_done);
        assert!(store.remove_run(&run).unwrap());
        assert!(store.runs().unwrap().is_empty());
    }

    #[test]
    fn a_run_goes_with_each_of_its_documents() {
        let (_folder, mut store) = store();
        let gone = begin(&mut store, &["one", "two"]);
        let place = Place { run: &gone, stage: "samples", key: "a" };
        store.keep_unit(place, b"derived").unwrap();
        let selection = Selection { documents: vec!["one".into()], ..Selection::default() };
        let forgotten = store.forget(&selection, Forgetting::default()).unwrap();
        assert_eq!(forgotten.runs, 1);
        assert!(store.runs().unwrap().is_empty());
        assert_eq!(store.unit(place).unwrap(), None);
        assert!(matches!(store.keep_unit(place, b"late"), Err(ProfileError::NoSuchRun { .. })));
        let new = NewAdapter { base_sha256: "base", content: b"late", ..NewAdapter::default() };
        assert!(store.add_adapter_of_run(place, &new, true).is_err());
        assert!(store.adapters().unwrap().is_empty());
    }

    #[test]
    fn a_run_begins_with_what_it_knows_and_ends_those_before_it() {
        let (_folder, mut store) = store();
        begin(&mut store, &["one"]);
        let run = begin(&mut store, &["two"]);
        let runs = store.runs().unwrap();
        assert_eq!(runs.len(), 1);
        let place = Place { run: &run, stage: "pairs", key: "" };
        assert_eq!(store.unit(place).unwrap().as_deref(), Some(&b"known"[..]));
        let gone = store.begin_run("base", &serde_json::Value::Null, &["gone".into()], &[]);
        assert!(matches!(gone, Err(ProfileError::NoSuchRun { .. })));
    }

    #[test]
    fn one_process_trains_at_a_time() {
        let (_folder, store) = store();
        let lock = store.lock_training().unwrap();
        assert!(lock.is_some());
        assert!(store.lock_training().unwrap().is_none());
        drop(lock);
        assert!(store.lock_training().unwrap().is_some());
    }

    #[test]
    fn an_adapter_comes_with_the_note_of_its_id() {
        let (_folder, mut store) = store();
        let run = begin(&mut store, &["one"]);
        let place = Place { run: &run, stage: "adapter", key: "1" };
        let new = NewAdapter { base_sha256: "base", content: b"first", ..NewAdapter::default() };
        let first = store.add_adapter_of_run(place, &new, true).unwrap();
        assert_eq!(store.unit(place).unwrap().as_deref(), Some(first.as_bytes()));
        assert_eq!(store.add_adapter_of_run(place, &new, true).unwrap(), first);
        let place = Place { key: "2", ..place };
        let second = store.add_adapter_of_run(place, &new, true).unwrap();
        assert_eq!(store.adapter(&first).unwrap().state, AdapterState::Retired);
        assert_eq!(store.adapter(&second).unwrap().state, AdapterState::Adopted);
    }
}
