//! The adapters of a profile: the ledger of what each was trained on and what has become of it, and
//! the adapters themselves, encrypted with the rest of the store.
//!
//! An adapter belongs to the base model that it was trained on, by the hash of its file; of each
//! base one is in use at most. An adapter has learned from its documents, so it follows them: when
//! one is forgotten, or gone with its file, the adapter is invalid in the same transaction, its
//! content goes, and the one that was in use before it is in use again. This file does not know
//! what an adapter is made of.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::Serialize;

use super::{ProfileError, ProfileStore};

/// What has become of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AdapterState {
    /// There, not in use.
    Candidate,
    /// In use.
    Adopted,
    /// Was in use.
    Retired,
    /// Must not be used, nor trained on.
    Invalid,
}

impl AdapterState {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Adopted => "adopted",
            Self::Retired => "retired",
            Self::Invalid => "invalid",
        }
    }
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
    /// The model that it belongs to, by the hash of its file.
    pub base_sha256: String,
    /// The adapter that its training data came from.
    pub parent: Option<String>,
    /// When it came into the profile, in UTC, `YYYY-MM-DDThh:mm:ssZ`.
    pub made_at: String,
    /// Bytes of its content; 0 where that has gone.
    pub size_bytes: u64,
    /// How many documents it was trained on.
    pub documents: usize,
    /// What else is to be known of it: configuration, rewards, results.
    pub about: serde_json::Value,
}

/// An adapter on its way into the profile.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewAdapter<'a> {
    /// The model that it belongs to, by the hash of its file.
    pub base_sha256: &'a str,
    /// The adapter that its training data came from.
    pub parent: Option<&'a str>,
    /// The documents that it was trained on, by their ids; its parent's count too.
    pub documents: &'a [String],
    /// What else is to be known of it.
    pub about: serde_json::Value,
    /// The adapter itself.
    pub content: &'a [u8],
}

const COLUMNS: &str = "id, state, reason, base_sha256, parent, made_at, about,
     (SELECT count(*) FROM adapter_document WHERE adapter_document.adapter = adapter.id),
     coalesce((SELECT length(content) FROM adapter_content WHERE adapter = adapter.id), 0)";

impl ProfileStore {
    /// Takes an adapter in, as a candidate, and gives its id; where one of its documents has gone
    /// since the training began, it is invalid.
    ///
    /// # Errors
    /// [`ProfileError::Busy`] or [`ProfileError::Database`].
    pub fn add_adapter(&mut self, new: &NewAdapter<'_>) -> Result<String, ProfileError> {
        self.changed(|transaction| {
            let id: String =
                transaction.query_row("SELECT lower(hex(randomblob(4)))", [], |row| row.get(0))?;
            insert(transaction, &id, new)?;
            Ok(id)
        })
    }

    /// All adapters, oldest first.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn adapters(&self) -> Result<Vec<Adapter>, ProfileError> {
        let read = || -> rusqlite::Result<Vec<Adapter>> {
            // Those of one second by the order of their contents.
            let sql = format!(
                "SELECT {COLUMNS} FROM adapter
                 ORDER BY made_at, (SELECT rowid FROM adapter_content WHERE adapter = adapter.id)"
            );
            self.connection.prepare(&sql)?.query_map([], adapter)?.collect()
        };
        read().map_err(|error| self.failed(error))
    }

    /// The adapter with this id.
    ///
    /// # Errors
    /// [`ProfileError::NoSuchAdapter`] or [`ProfileError::Database`].
    pub fn adapter(&self, id: &str) -> Result<Adapter, ProfileError> {
        let sql = format!("SELECT {COLUMNS} FROM adapter WHERE id = ?1");
        let found = self.connection.query_row(&sql, [id], adapter).optional();
        found.map_err(|error| self.failed(error))?.ok_or_else(|| self.no_such_adapter(id))
    }

    /// The ids of the documents that an adapter was trained on, some of which may have gone.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn adapter_documents(&self, id: &str) -> Result<Vec<String>, ProfileError> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let sql = "SELECT document FROM adapter_document WHERE adapter = ?1 ORDER BY document";
            let mut query = self.connection.prepare(sql)?;
            query.query_map([id], |row| row.get(0))?.collect()
        };
        read().map_err(|error| self.failed(error))
    }

    /// The adapter of this base that is in use.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn adopted_adapter(&self, base_sha256: &str) -> Result<Option<Adapter>, ProfileError> {
        let sql =
            format!("SELECT {COLUMNS} FROM adapter WHERE base_sha256 = ?1 AND state = 'adopted'");
        let found = self.connection.query_row(&sql, [base_sha256], adapter).optional();
        found.map_err(|error| self.failed(error))
    }

    /// The adapter itself.
    ///
    /// # Errors
    /// [`ProfileError::NoSuchAdapter`] where there is none, [`ProfileError::InvalidAdapter`] where
    /// it must not be used.
    pub fn adapter_content(&self, id: &str) -> Result<Vec<u8>, ProfileError> {
        let known = self.adapter(id)?;
        self.require_valid(&known)?;
        self.connection
            .query_row("SELECT content FROM adapter_content WHERE adapter = ?1", [id], |row| {
                row.get(0)
            })
            .map_err(|error| self.failed(error))
    }

    /// Puts an adapter into use, instead of the one of its base that was.
    ///
    /// # Errors
    /// [`ProfileError::NoSuchAdapter`], [`ProfileError::InvalidAdapter`], [`ProfileError::Busy`] or
    /// [`ProfileError::Database`].
    pub fn adopt_adapter(&mut self, id: &str) -> Result<(), ProfileError> {
        let is_adopted = self.changed(|transaction| adopt(transaction, id))?;
        if is_adopted { Ok(()) } else { self.require_valid(&self.adapter(id)?) }
    }

    /// Takes the adapter of this base out of use and puts the one before it, where there is one,
    /// into use again: both.
    ///
    /// # Errors
    /// [`ProfileError::NoAdapterInUse`], [`ProfileError::Busy`] or [`ProfileError::Database`].
    pub fn roll_back_adapter(
        &mut self,
        base_sha256: &str,
    ) -> Result<(String, Option<String>), ProfileError> {
        let done = self.changed(|transaction| {
            let Some(current) = in_use(transaction, base_sha256)? else { return Ok(None) };
            // A candidate again: going back once more must not find it.
            set_state(transaction, &current, AdapterState::Candidate)?;
            Ok(Some((current, adopt_the_last(transaction, base_sha256)?)))
        })?;
        done.ok_or_else(|| ProfileError::NoAdapterInUse { user: self.user().to_string() })
    }

    /// Removes an adapter for good; where it was in use, the one before it is in use again: its id.
    ///
    /// # Errors
    /// [`ProfileError::NoSuchAdapter`], [`ProfileError::Busy`] or [`ProfileError::Database`].
    pub fn remove_adapter(&mut self, id: &str) -> Result<Option<String>, ProfileError> {
        let known = self.adapter(id)?;
        self.changed(|transaction| {
            let was_in_use = in_use(transaction, &known.base_sha256)?.as_deref() == Some(id);
            transaction.execute("DELETE FROM adapter WHERE id = ?1", [id])?;
            if was_in_use { adopt_the_last(transaction, &known.base_sha256) } else { Ok(None) }
        })
    }

    /// That an adapter may be used.
    ///
    /// # Errors
    /// [`ProfileError::InvalidAdapter`].
    pub fn require_valid(&self, known: &Adapter) -> Result<(), ProfileError> {
        if known.state != AdapterState::Invalid {
            return Ok(());
        }
        let reason = known.reason.clone().unwrap_or_default();
        Err(ProfileError::InvalidAdapter { adapter: known.id.clone(), reason })
    }

    fn no_such_adapter(&self, id: &str) -> ProfileError {
        ProfileError::NoSuchAdapter { user: self.user().to_string(), adapter: id.to_owned() }
    }
}

/// Puts an adapter into use, instead of the one of its base that was; whether it is there and valid.
pub(super) fn adopt(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<bool> {
    let base: Option<String> = transaction
        .query_row(
            "SELECT base_sha256 FROM adapter WHERE id = ?1 AND state <> 'invalid'",
            [id],
            |row| row.get(0),
        )
        .optional()?;
    let Some(base) = base else { return Ok(false) };
    if in_use(transaction, &base)?.as_deref() != Some(id) {
        retire(transaction, &base)?;
        set_state(transaction, id, AdapterState::Adopted)?;
    }
    Ok(true)
}

pub(super) fn insert(
    transaction: &Transaction<'_>,
    id: &str,
    new: &NewAdapter<'_>,
) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO adapter (id, state, base_sha256, parent, made_at, about)
         VALUES (?1, 'candidate', ?2, ?3, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), ?4)",
        params![id, new.base_sha256, new.parent, new.about.to_string()],
    )?;
    transaction.execute(
        "INSERT INTO adapter_content (adapter, content) VALUES (?1, ?2)",
        params![id, new.content],
    )?;
    for document in new.documents {
        transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO adapter_document (adapter, document) VALUES (?1, ?2)",
            )?
            .execute(params![id, document])?;
    }
    // What its parent learned from, it has learned from too.
    transaction.execute(
        "INSERT OR IGNORE INTO adapter_document (adapter, document)
         SELECT ?1, document FROM adapter_document WHERE adapter = ?2",
        params![id, new.parent],
    )?;
    invalidate_orphans(transaction).map(|_| ())
}

fn set_state(transaction: &Transaction<'_>, id: &str, state: AdapterState) -> rusqlite::Result<()> {
    transaction
        .execute(
            "UPDATE adapter SET state = ?2, change = 1 + (SELECT max(change) FROM adapter)
             WHERE id = ?1",
            params![id, state.name()],
        )
        .map(|_| ())
}

/// The adapter of this base that is in use.
fn in_use(transaction: &Transaction<'_>, base_sha256: &str) -> rusqlite::Result<Option<String>> {
    transaction
        .query_row(
            "SELECT id FROM adapter WHERE base_sha256 = ?1 AND state = 'adopted'",
            [base_sha256],
            |row| row.get(0),
        )
        .optional()
}

/// Takes the adapter of this base out of use.
fn retire(transaction: &Transaction<'_>, base_sha256: &str) -> rusqlite::Result<()> {
    transaction
        .execute(
            "UPDATE adapter SET state = 'retired', change = 1 + (SELECT max(change) FROM adapter)
             WHERE base_sha256 = ?1 AND state = 'adopted'",
            [base_sha256],
        )
        .map(|_| ())
}

/// Puts the adapter of this base that went out of use last into use again.
fn adopt_the_last(
    transaction: &Transaction<'_>,
    base_sha256: &str,
) -> rusqlite::Result<Option<String>> {
    let last: Option<String> = transaction
        .query_row(
            "SELECT id FROM adapter WHERE base_sha256 = ?1 AND state = 'retired'
             ORDER BY change DESC LIMIT 1",
            [base_sha256],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(id) = &last {
        set_state(transaction, id, AdapterState::Adopted)?;
    }
    Ok(last)
}

/// The adapters that are in use, of whatever base.
pub(super) fn adopted(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<String>> {
    transaction
        .prepare("SELECT id FROM adapter WHERE state = 'adopted' ORDER BY id")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Marks every adapter that was trained on `document` invalid; the ids of those that were not yet.
/// Their contents go, and for one that was in use the one before it is in use again.
pub(super) fn invalidate(
    transaction: &Transaction<'_>,
    document: &str,
) -> rusqlite::Result<Vec<String>> {
    let bases: Vec<String> = transaction
        .prepare_cached(
            "SELECT base_sha256 FROM adapter WHERE state = 'adopted'
             AND id IN (SELECT adapter FROM adapter_document WHERE document = ?1)",
        )?
        .query_map([document], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let reason = format!("it was trained on document {document}, which has gone");
    let invalidated: Vec<String> = transaction
        .prepare_cached(
            "UPDATE adapter SET state = 'invalid', reason = ?2, about = '{}'
             WHERE state <> 'invalid'
             AND id IN (SELECT adapter FROM adapter_document WHERE document = ?1)
             RETURNING id",
        )?
        .query_map(params![document, reason], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in &invalidated {
        transaction
            .prepare_cached("DELETE FROM adapter_content WHERE adapter = ?1")?
            .execute([id])?;
    }
    for base in bases {
        adopt_the_last(transaction, &base)?;
    }
    Ok(invalidated)
}

/// Marks every adapter invalid that was trained on a document that is there no more; how many were
/// not yet. A document that was only edited, in a file of the same name, keeps its id.
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
    let about: String = row.get(6)?;
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
        base_sha256: row.get(3)?,
        parent: row.get(4)?,
        made_at: row.get(5)?,
        about: serde_json::from_str(&about).unwrap_or_default(),
        documents: row.get(7)?,
        size_bytes: row.get(8)?,
    })
}

#[cfg(test)]
impl ProfileStore {
    /// An adapter with this id, of these documents.
    pub(super) fn record_adapter(
        &mut self,
        id: &str,
        documents: &[String],
    ) -> Result<(), ProfileError> {
        let new =
            NewAdapter { base_sha256: "base", documents, content: b"!", ..NewAdapter::default() };
        self.changed(|transaction| insert(transaction, id, &new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;
    use crate::profile::{Forgetting, NewDocument, NoPassphrase, Selection, Source, Stamp, User};

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
        let recorded = store.adapter("a").unwrap();
        assert_eq!((recorded.state, recorded.documents), (AdapterState::Candidate, 2));
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

    fn states(store: &ProfileStore, ids: [&str; 3]) -> [AdapterState; 3] {
        ids.map(|id| store.adapter(id).unwrap().state)
    }

    #[test]
    fn one_of_a_base_is_in_use_and_going_back_finds_the_one_before() {
        use AdapterState::{Adopted, Candidate, Retired};

        let (_folder, mut store) = store();
        for id in ["a", "b", "c"] {
            store.record_adapter(id, &[]).unwrap();
        }
        assert!(matches!(
            store.roll_back_adapter("base").unwrap_err(),
            ProfileError::NoAdapterInUse { .. }
        ));
        for id in ["a", "b", "c"] {
            store.adopt_adapter(id).unwrap();
        }
        assert_eq!(states(&store, ["a", "b", "c"]), [Retired, Retired, Adopted]);
        assert_eq!(store.adopted_adapter("base").unwrap().unwrap().id, "c");
        assert_eq!(store.adopted_adapter("another").unwrap(), None);
        assert_eq!(store.roll_back_adapter("base").unwrap(), ("c".into(), Some("b".into())));
        assert_eq!(states(&store, ["a", "b", "c"]), [Retired, Adopted, Candidate]);
        assert_eq!(store.roll_back_adapter("base").unwrap(), ("b".into(), Some("a".into())));
        assert_eq!(store.roll_back_adapter("base").unwrap(), ("a".into(), None));
        assert_eq!(states(&store, ["a", "b", "c"]), [Candidate; 3]);
        store.adopt_adapter("a").unwrap();
        store.adopt_adapter("b").unwrap();
        assert_eq!(store.remove_adapter("b").unwrap().as_deref(), Some("a"));
        assert_eq!(store.remove_adapter("c").unwrap(), None);
        assert!(matches!(store.adapter("b").unwrap_err(), ProfileError::NoSuchAdapter { .. }));
    }

    #[test]
    fn what_learned_from_a_forgotten_document_is_gone_and_the_one_before_is_in_use() {
        let (_folder, mut store) = store();
        store.record_adapter("old", &["one".into()]).unwrap();
        store.record_adapter("new", &["one".into(), "two".into()]).unwrap();
        store.adopt_adapter("old").unwrap();
        store.adopt_adapter("new").unwrap();
        assert_eq!(store.adapter_content("new").unwrap(), b"!");
        let selection = Selection { documents: vec!["two".into()], ..Selection::default() };
        let forgotten = store.forget(&selection, Forgetting::default()).unwrap();
        assert_eq!(forgotten.adapters_invalidated, ["new"]);
        assert_eq!(forgotten.adapters_adopted, ["old"]);
        assert_eq!(store.adapter("old").unwrap().state, AdapterState::Adopted);
        assert_eq!(store.adapter("new").unwrap().size_bytes, 0);
        let child =
            NewAdapter { base_sha256: "base", parent: Some("old"), ..NewAdapter::default() };
        let child = store.add_adapter(&child).unwrap();
        assert_eq!(store.adapter(&child).unwrap().documents, 1);
        for refused in [store.adapter_content("new").map(|_| ()), store.adopt_adapter("new")] {
            assert!(matches!(refused.unwrap_err(), ProfileError::InvalidAdapter { .. }));
        }
    }
}
