//! The adapters of a profile: which documents each was trained on, and what has become of it.
//!
//! An adapter has learned from its documents, so it follows them: when one is forgotten, or gone
//! with its file, the adapter is invalid in the same transaction. This file does not know what an adapter is made of.

use rusqlite::{Row, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::{ProfileError, ProfileStore};

/// What has become of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AdapterState {
    /// Trained, not in use.
    Candidate,
    /// In use.
    Adopted,
    /// Was in use.
    Retired,
    /// Must not be used, nor trained on.
    Invalid,
}

/// An adapter as the profile knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Adapter {
    /// Its id.
    pub id: String,
    /// What has become of it.
    pub state: AdapterState,
    /// Why it is in that state, where there is something to say.
    pub reason: Option<String>,
    /// How many documents it was trained on.
    pub documents: usize,
}

impl ProfileStore {
    /// Records a new adapter and the ids of the documents that it was trained on. It is a
    /// candidate; where one of the documents has gone since the training began, it is invalid.
    ///
    /// # Errors
    /// [`ProfileError::Database`], also where the id is taken.
    pub fn record_adapter(&mut self, id: &str, documents: &[String]) -> Result<(), ProfileError> {
        let result = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                transaction
                    .execute("INSERT INTO adapter (id, state) VALUES (?1, 'candidate')", [id])?;
                for document in documents {
                    transaction
                        .prepare_cached(
                            "INSERT OR IGNORE INTO adapter_document (adapter, document)
                             VALUES (?1, ?2)",
                        )?
                        .execute(params![id, document])?;
                }
                invalidate_orphans(&transaction)?;
                transaction.commit()
            });
        result.map_err(|error| self.failed(error))
    }

    /// All adapters, by their ids.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn adapters(&self) -> Result<Vec<Adapter>, ProfileError> {
        let read = || -> rusqlite::Result<Vec<Adapter>> {
            self.connection
                .prepare(
                    "SELECT id, state, reason,
                            (SELECT count(*) FROM adapter_document
                             WHERE adapter_document.adapter = adapter.id)
                     FROM adapter ORDER BY id",
                )?
                .query_map([], adapter)?
                .collect()
        };
        read().map_err(|error| self.failed(error))
    }
}

/// Marks every adapter that was trained on `document` invalid; the ids of those that were not yet.
pub(super) fn invalidate(
    transaction: &Transaction<'_>,
    document: &str,
) -> rusqlite::Result<Vec<String>> {
    let reason = format!("it was trained on document {document}, which has gone");
    transaction
        .prepare_cached(
            "UPDATE adapter SET state = 'invalid', reason = ?2
             WHERE state <> 'invalid'
             AND id IN (SELECT adapter FROM adapter_document WHERE document = ?1)
             RETURNING id",
        )?
        .query_map(params![document, reason], |row| row.get(0))?
        .collect()
}

/// Marks every adapter invalid that was trained on a document that is there no more; how many were
/// not yet. A document that was only edited, in a
/// file of the same name, keeps its id.
pub(super) fn invalidate_orphans(transaction: &Transaction<'_>) -> rusqlite::Result<usize> {
    let gone: Vec<String> = transaction
        .prepare_cached(
            "SELECT DISTINCT document FROM adapter_document
             JOIN adapter ON adapter.id = adapter WHERE state <> 'invalid'
             AND document NOT IN (SELECT id FROM document)",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut invalidated = 0;
    for document in gone {
        invalidated += invalidate(transaction, &document)?.len();
    }
    Ok(invalidated)
}

fn adapter(row: &Row<'_>) -> rusqlite::Result<Adapter> {
    let state: String = row.get(1)?;
    Ok(Adapter {
        id: row.get(0)?,
        // The table allows no other words than these.
        state: match state.as_str() {
            "candidate" => AdapterState::Candidate,
            "adopted" => AdapterState::Adopted,
            "retired" => AdapterState::Retired,
            _ => AdapterState::Invalid,
        },
        reason: row.get(2)?,
        documents: row.get(3)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;
    use crate::profile::{NewDocument, NoPassphrase, Source, Stamp, User};

    fn store() -> (tempfile::TempDir, ProfileStore) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(folder.path())).unwrap();
        let user = User::parse("me").unwrap();
        let mut store = ProfileStore::open_or_create(&paths, &user, &NoPassphrase).unwrap();
        let documents = ["one", "two"].map(|name| NewDocument {
            key: name.into(),
            id: Some(name.into()),
            text: format!("The text called {name}."),
            ..NewDocument::default()
        });
        let stamp = Stamp { size_bytes: 1, modified_ns: 1, reading: String::new() };
        let source = Source { place: "/x".into(), stamp };
        store.replace_source(&source, &documents, 50).unwrap();
        (folder, store)
    }

    #[test]
    fn an_adapter_is_recorded_with_its_documents_once() {
        let (_folder, mut store) = store();
        store.record_adapter("a", &["one".into(), "two".into(), "one".into()]).unwrap();
        let expected =
            Adapter { id: "a".into(), state: AdapterState::Candidate, reason: None, documents: 2 };
        assert_eq!(store.adapters().unwrap(), [expected]);
        assert!(store.record_adapter("a", &[]).is_err());
        assert_eq!(store.adapters().unwrap()[0].documents, 2);
    }

    #[test]
    fn an_adapter_of_a_document_that_has_gone_is_invalid_from_the_start() {
        let (_folder, mut store) = store();
        store.record_adapter("a", &["one".into(), "gone".into()]).unwrap();
        let adapter = &store.adapters().unwrap()[0];
        assert_eq!(adapter.state, AdapterState::Invalid);
        assert!(adapter.reason.as_deref().unwrap().contains("gone"));
    }
}
