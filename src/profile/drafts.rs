//! The drafts that were written for the person, and what the person made of them.
//!
//! A draft that was accepted, or the text that it became, is something the person stands by for a
//! known request; one that was rejected is not. A draft is derived from the documents whose
//! passages it was written from, and from those that its adapter learned from, and goes with them.
//! This file does not know how drafts are made.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::Serialize;

use super::{ProfileError, ProfileStore, runs};

/// What the person made of a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// It was used as it was.
    Accepted,
    /// It became another text.
    Edited {
        /// That text.
        final_text: String,
    },
    /// It was of no use.
    Rejected,
}

impl Verdict {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Edited { .. } => "edited",
            Self::Rejected => "rejected",
        }
    }
}

/// A draft to keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewDraft<'a> {
    /// What was asked for.
    pub request: &'a str,
    /// The kind of text.
    pub task: &'a str,
    /// Whom it was for.
    pub recipient: Option<&'a str>,
    /// What the model reasoned first.
    pub reasoning: &'a str,
    /// What it wrote.
    pub answer: &'a str,
    /// The model, by the hash of its file.
    pub model: &'a str,
    /// The adapter, by its id.
    pub adapter: Option<&'a str>,
    /// The documents that it was written from, by their ids.
    pub documents: &'a [String],
}

/// A draft that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptDraft {
    /// Its id.
    pub id: String,
    /// When it was written, in UTC, `YYYY-MM-DDThh:mm:ssZ`.
    pub written_at: String,
    /// What was asked for.
    pub request: String,
    /// The kind of text.
    pub task: String,
    /// Whom it was for.
    pub recipient: Option<String>,
    /// What the model reasoned first.
    pub reasoning: String,
    /// What it wrote.
    pub answer: String,
    /// The model, by the hash of its file.
    pub model: String,
    /// The adapter, by its id.
    pub adapter: Option<String>,
    /// What the person made of it, where that was told.
    #[serde(flatten)]
    pub verdict: Option<Verdict>,
    /// The documents that it was written from, by their ids.
    pub documents: Vec<String>,
    /// Others that its adapter had learned from.
    #[serde(skip)]
    pub adapter_documents: Vec<String>,
}

const COLUMNS: &str = "number, id, written_at, request, task, recipient, reasoning, answer, model, \
     adapter, verdict, final_text";

impl ProfileStore {
    /// Keeps a draft and gives its id; `None` where a document or the adapter that it was written
    /// from has gone meanwhile. Of those that nobody has judged the `kept_max` newest stay.
    ///
    /// # Errors
    /// [`ProfileError::Busy`] or [`ProfileError::Database`].
    pub fn keep_draft(
        &mut self,
        draft: &NewDraft<'_>,
        kept_max: u32,
    ) -> Result<Option<String>, ProfileError> {
        self.require_file()?;
        self.changed(|transaction| {
            let is_adapter = "SELECT count(*) FROM adapter WHERE id = ?1";
            let adapters: i64 =
                transaction.query_row(is_adapter, [draft.adapter], |row| row.get(0))?;
            if draft.adapter.is_some() && adapters == 0 {
                return Ok(None);
            }
            let id = insert(transaction, draft)?;
            transaction.execute(
                "DELETE FROM draft WHERE verdict IS NULL AND number NOT IN
                 (SELECT number FROM draft WHERE verdict IS NULL ORDER BY number DESC LIMIT ?1)",
                [kept_max],
            )?;
            remove_orphans(transaction)?;
            transaction
                .query_row("SELECT id FROM draft WHERE id = ?1", [id], |row| row.get(0))
                .optional()
        })
    }

    /// All drafts, newest first.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn drafts(&self) -> Result<Vec<KeptDraft>, ProfileError> {
        let read = || -> rusqlite::Result<Vec<KeptDraft>> {
            let sql = format!("SELECT {COLUMNS} FROM draft ORDER BY number DESC");
            let mut statement = self.connection.prepare(&sql)?;
            let found: Vec<(i64, KeptDraft)> =
                statement.query_map([], draft)?.collect::<rusqlite::Result<_>>()?;
            found.into_iter().map(|(number, draft)| self.with_documents(number, draft)).collect()
        };
        read().map_err(|error| self.failed(error))
    }

    /// The draft with this id, or the newest one.
    ///
    /// # Errors
    /// [`ProfileError::NoSuchDraft`] or [`ProfileError::Database`].
    pub fn draft(&self, id: Option<&str>) -> Result<KeptDraft, ProfileError> {
        let read = || -> rusqlite::Result<Option<KeptDraft>> {
            let sql = format!(
                "SELECT {COLUMNS} FROM draft WHERE ?1 IS NULL OR id = ?1
                 ORDER BY number DESC LIMIT 1"
            );
            let found = self.connection.query_row(&sql, [id], draft).optional()?;
            found.map(|(number, draft)| self.with_documents(number, draft)).transpose()
        };
        let found = read().map_err(|error| self.failed(error))?;
        found.ok_or_else(|| self.no_such_draft(id))
    }

    /// Notes what the person made of the draft with this id, instead of what was noted before.
    ///
    /// # Errors
    /// [`ProfileError::NoSuchDraft`], [`ProfileError::Busy`] or [`ProfileError::Database`].
    pub fn judge_draft(&mut self, id: &str, verdict: &Verdict) -> Result<(), ProfileError> {
        let final_text = match verdict {
            Verdict::Edited { final_text } => Some(final_text.as_str()),
            Verdict::Accepted | Verdict::Rejected => None,
        };
        let changed = self
            .connection
            .execute(
                "UPDATE draft SET verdict = ?2, final_text = ?3 WHERE id = ?1",
                params![id, verdict.name(), final_text],
            )
            .map_err(|error| self.failed(error))?;
        if changed == 0 { Err(self.no_such_draft(Some(id))) } else { Ok(()) }
    }

    /// Removes the drafts with these ids, or all of them, and with those that something was said of
    /// the runs of training begun since, which may have learned from them; how many drafts and runs
    /// went.
    ///
    /// # Errors
    /// [`ProfileError::NoSuchDraft`], [`ProfileError::Busy`] or [`ProfileError::Database`]; then
    /// nothing has changed.
    pub fn remove_drafts(
        &mut self,
        ids: Option<&[String]>,
    ) -> Result<(usize, usize), ProfileError> {
        if let Some(ids) = ids {
            for id in ids {
                self.draft(Some(id))?;
            }
        }
        self.changed(|transaction| {
            let (mut removed, mut runs) = (0, 0);
            for (number, id, is_judged) in numbered(transaction)? {
                if ids.is_some_and(|ids| !ids.contains(&id)) {
                    continue;
                }
                if is_judged {
                    runs += runs::remove_that_knew(transaction, number)?;
                }
                removed += transaction.execute("DELETE FROM draft WHERE number = ?1", [number])?;
            }
            Ok((removed, runs))
        })
    }

    fn no_such_draft(&self, id: Option<&str>) -> ProfileError {
        ProfileError::NoSuchDraft { user: self.user().to_string(), draft: id.map(str::to_owned) }
    }

    fn with_documents(&self, number: i64, mut draft: KeptDraft) -> rusqlite::Result<KeptDraft> {
        let mut statement = self.connection.prepare_cached(
            "SELECT document, rank FROM draft_document WHERE draft = ?1 ORDER BY rank",
        )?;
        let mut rows = statement.query([number])?;
        while let Some(row) = rows.next()? {
            let is_shown = row.get::<_, i64>(1)? >= 0;
            let documents =
                if is_shown { &mut draft.documents } else { &mut draft.adapter_documents };
            documents.push(row.get(0)?);
        }
        Ok(draft)
    }
}

fn insert(transaction: &Transaction<'_>, draft: &NewDraft<'_>) -> rusqlite::Result<String> {
    // Unlike a count, it says nothing of how many there were.
    transaction.execute(
        "INSERT INTO draft (id, written_at, request, task, recipient, reasoning, answer, model,
                            adapter)
         VALUES (lower(hex(randomblob(4))), strftime('%Y-%m-%dT%H:%M:%SZ', 'now'),
                 ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            draft.request,
            draft.task,
            draft.recipient,
            draft.reasoning,
            draft.answer,
            draft.model,
            draft.adapter
        ],
    )?;
    let number = transaction.last_insert_rowid();
    for (rank, document) in draft.documents.iter().enumerate() {
        transaction.execute(
            "INSERT OR IGNORE INTO draft_document (draft, document, rank) VALUES (?1, ?2, ?3)",
            params![number, document, rank],
        )?;
    }
    // They are known here when the adapter has gone; no passage of theirs was shown.
    transaction.execute(
        "INSERT OR IGNORE INTO draft_document (draft, document, rank)
         SELECT ?1, document, -1 FROM adapter_document WHERE adapter = ?2",
        params![number, draft.adapter],
    )?;
    transaction.query_row("SELECT id FROM draft WHERE number = ?1", [number], |row| row.get(0))
}

/// The numbers of all drafts, their ids, and whether something was said of them.
fn numbered(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<(i64, String, bool)>> {
    transaction
        .prepare("SELECT number, id, verdict IS NOT NULL FROM draft")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
}

/// Removes every draft that was written from a document that is there no more, or with an adapter
/// that had learned from one; how many they were. A document that was only edited, in a file of the
/// same name, keeps its id, and the draft stays.
pub(super) fn remove_orphans(transaction: &Transaction<'_>) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached(
            "DELETE FROM draft WHERE number IN
             (SELECT draft FROM draft_document WHERE document NOT IN (SELECT id FROM document))
             OR adapter IN (SELECT id FROM adapter WHERE state = 'invalid')",
        )?
        .execute([])
}

fn draft(row: &Row<'_>) -> rusqlite::Result<(i64, KeptDraft)> {
    let verdict: Option<String> = row.get(10)?;
    let final_text: Option<String> = row.get(11)?;
    // The table allows no other words than these, and a text with the second alone.
    let verdict = verdict.map(|verdict| match (verdict.as_str(), final_text) {
        ("accepted", _) => Verdict::Accepted,
        ("edited", Some(final_text)) => Verdict::Edited { final_text },
        _ => Verdict::Rejected,
    });
    let draft = KeptDraft {
        id: row.get(1)?,
        written_at: row.get(2)?,
        request: row.get(3)?,
        task: row.get(4)?,
        recipient: row.get(5)?,
        reasoning: row.get(6)?,
        answer: row.get(7)?,
        model: row.get(8)?,
        adapter: row.get(9)?,
        verdict,
        documents: Vec::new(),
        adapter_documents: Vec::new(),
    };
    Ok((row.get(0)?, draft))
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

    fn keep(store: &mut ProfileStore, answer: &str, documents: &[&str]) -> String {
        let documents: Vec<String> = documents.iter().map(|id| (*id).to_owned()).collect();
        let draft = NewDraft {
            request: "a note",
            task: "email",
            answer,
            model: "00",
            documents: &documents,
            ..NewDraft::default()
        };
        store.keep_draft(&draft, 3).unwrap().unwrap_or_default()
    }

    fn answers(store: &ProfileStore) -> Vec<String> {
        store.drafts().unwrap().into_iter().map(|draft| draft.answer).collect()
    }

    #[test]
    fn the_newest_stay_and_those_that_were_judged() {
        let (_folder, mut store) = store();
        let first = keep(&mut store, "a", &["two", "one"]);
        store.judge_draft(&first, &Verdict::Accepted).unwrap();
        for answer in ["b", "c", "d", "e"] {
            keep(&mut store, answer, &[]);
        }
        assert_eq!(answers(&store), ["e", "d", "c", "a"]);
        let newest = store.draft(None).unwrap();
        assert_eq!((newest.answer.as_str(), newest.verdict), ("e", None));
        let kept = store.draft(Some(&first)).unwrap();
        assert_eq!(kept.documents, ["two", "one"]);
        assert_eq!(kept.verdict, Some(Verdict::Accepted));
    }

    #[test]
    fn the_last_word_counts() {
        let (_folder, mut store) = store();
        let id = keep(&mut store, "a", &[]);
        let edited = Verdict::Edited { final_text: "A better one.".into() };
        for verdict in [Verdict::Rejected, edited.clone(), Verdict::Accepted, edited] {
            store.judge_draft(&id, &verdict).unwrap();
            assert_eq!(store.draft(Some(&id)).unwrap().verdict, Some(verdict));
        }
        let unknown = store.judge_draft("nothing", &Verdict::Accepted).unwrap_err();
        assert!(matches!(unknown, ProfileError::NoSuchDraft { .. }), "{unknown}");
        assert!(matches!(
            store.draft(Some("nothing")).unwrap_err(),
            ProfileError::NoSuchDraft { .. }
        ));
    }

    #[test]
    fn a_draft_goes_with_a_document_that_it_was_written_from() {
        let (_folder, mut store) = store();
        let of_both = keep(&mut store, "of both", &["one", "two"]);
        store.judge_draft(&of_both, &Verdict::Accepted).unwrap();
        keep(&mut store, "of the second", &["two"]);
        let selection = Selection { documents: vec!["one".into()], ..Selection::default() };
        let dry = Forgetting { dry_run: true, ..Forgetting::default() };
        assert_eq!(store.forget(&selection, dry).unwrap().drafts, 1);
        assert_eq!(answers(&store).len(), 2);
        assert_eq!(store.forget(&selection, Forgetting::default()).unwrap().drafts, 1);
        assert_eq!(answers(&store), ["of the second"]);
        let applied = store.remove_sources(&["/two".into()]).unwrap();
        assert_eq!((applied.removed, applied.drafts_removed), (1, 1));
        assert!(answers(&store).is_empty());
        assert_eq!(keep(&mut store, "of what is gone", &["one"]), "");
        assert!(answers(&store).is_empty());
    }

    #[test]
    fn a_draft_goes_with_what_its_adapter_learned_from() {
        let (_folder, mut store) = store();
        store.record_adapter("learned", &["one".into()]).unwrap();
        let draft = NewDraft { answer: "a", adapter: Some("learned"), ..NewDraft::default() };
        assert!(store.keep_draft(&draft, 3).unwrap().is_some());
        let selection = Selection { documents: vec!["one".into()], ..Selection::default() };
        assert_eq!(store.forget(&selection, Forgetting::default()).unwrap().drafts, 1);
        assert_eq!(store.keep_draft(&draft, 3).unwrap(), None);
        assert!(answers(&store).is_empty());
    }

    #[test]
    fn what_its_adapter_learned_from_is_known_when_the_adapter_has_gone() {
        let (_folder, mut store) = store();
        store.record_adapter("learned", &["one".into(), "two".into()]).unwrap();
        let documents = ["two".to_owned()];
        let draft = NewDraft {
            answer: "a",
            adapter: Some("learned"),
            documents: &documents,
            ..NewDraft::default()
        };
        store.keep_draft(&draft, 3).unwrap().unwrap();
        let kept = store.draft(None).unwrap();
        assert_eq!(
            (kept.documents, kept.adapter_documents),
            (vec!["two".into()], vec!["one".into()])
        );
        store.remove_adapter("learned").unwrap();
        assert_eq!(store.keep_draft(&draft, 3).unwrap(), None, "it could not be followed");
        let selection = Selection { documents: vec!["one".into()], ..Selection::default() };
        assert_eq!(store.forget(&selection, Forgetting::default()).unwrap().drafts, 1);
        assert!(answers(&store).is_empty());
    }

    #[test]
    fn a_run_goes_with_a_draft_that_it_may_have_learned() {
        let (_folder, mut store) = store();
        let (told, untold) = (keep(&mut store, "a", &[]), keep(&mut store, "b", &[]));
        store.judge_draft(&told, &Verdict::Rejected).unwrap();
        store.begin_run("00", &serde_json::json!({}), &[], &[]).unwrap();
        store.remove_drafts(Some(&[untold])).unwrap();
        assert_eq!(store.runs().unwrap().len(), 1);
        assert_eq!(store.remove_drafts(Some(&[told])).unwrap(), (1, 1));
        assert!(store.runs().unwrap().is_empty());
    }

    #[test]
    fn a_run_stays_that_was_begun_before_a_draft_was_written() {
        let (_folder, mut store) = store();
        store.begin_run("00", &serde_json::json!({}), &[], &[]).unwrap();
        let later = keep(&mut store, "a", &[]);
        store.judge_draft(&later, &Verdict::Rejected).unwrap();
        assert_eq!(store.remove_drafts(None).unwrap(), (1, 0));
        assert_eq!(store.runs().unwrap().len(), 1);
    }

    #[test]
    fn drafts_are_removed_all_or_none() {
        let (_folder, mut store) = store();
        let (a, b) = (keep(&mut store, "a", &[]), keep(&mut store, "b", &[]));
        let mistaken = store.remove_drafts(Some(&[a.clone(), "nothing".into()]));
        assert!(matches!(mistaken.unwrap_err(), ProfileError::NoSuchDraft { .. }));
        assert_eq!(answers(&store), ["b", "a"]);
        assert_eq!(store.remove_drafts(Some(&[a])).unwrap(), (1, 0));
        assert_eq!(store.draft(None).unwrap().id, b);
        assert_eq!(store.remove_drafts(None).unwrap(), (1, 0));
        assert!(matches!(store.draft(None).unwrap_err(), ProfileError::NoSuchDraft { .. }));
    }
}
