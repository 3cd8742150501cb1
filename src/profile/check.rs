//! Checking a profile: whether every page is what was written, and whether what belongs together
//! is together.
//!
//! A fault is told in terms of tables and numbers, never of texts. Nothing is repaired here.

use rusqlite::{Connection, TransactionBehavior};
use serde::Serialize;

use super::{ProfileError, ProfileStore};

/// Faults of one kind that are told one by one.
const FAULTS_SHOWN: usize = 20;

/// What must not be found, and how it is said where it is.
const CONTRADICTIONS: [(&str, &str); 8] = [
    (
        "SELECT count(*) FROM chunk
         WHERE NOT EXISTS (SELECT 1 FROM chunk_text WHERE chunk_text.rowid = chunk.number)",
        "passages without a text",
    ),
    (
        "SELECT count(*) FROM chunk_text
         WHERE NOT EXISTS (SELECT 1 FROM chunk WHERE chunk.number = chunk_text.rowid)",
        "texts of passages that are not there",
    ),
    (
        "SELECT count(*) FROM document
         WHERE NOT EXISTS (SELECT 1 FROM chunk WHERE chunk.document = document.number)",
        "documents without a passage",
    ),
    (
        "SELECT count(*) FROM document
         WHERE NOT EXISTS (SELECT 1 FROM occurrence WHERE occurrence.document = document.number)",
        "documents that came from nowhere",
    ),
    (
        "SELECT count(*) FROM document
         WHERE text_sha256 IN (SELECT text_sha256 FROM forgotten)",
        "documents that were forgotten",
    ),
    (
        "SELECT count(*) FROM draft_document WHERE document NOT IN (SELECT id FROM document)",
        "drafts that were written from documents that are not there",
    ),
    (
        "SELECT count(*) FROM adapter WHERE (state = 'invalid') =
         EXISTS (SELECT 1 FROM adapter_content WHERE adapter_content.adapter = adapter.id)",
        "adapters without what they are, or that should have lost it",
    ),
    // Numbers of 16 bits.
    (
        "SELECT count(*) FROM embedding JOIN embedder ON embedder.id = embedding.embedder
         WHERE length(vector) <> 2 * dimensions",
        "vectors of the wrong length",
    ),
];

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Documents.
    pub documents: usize,
    /// Passages.
    pub passages: usize,
    /// Passages that have a vector.
    pub embeddings: usize,
    /// What is wrong, a line each; nothing where all is well.
    pub faults: Vec<String>,
}

impl ProfileStore {
    /// Checks the whole store: each page against its authentication code, the structure of the
    /// database and of its full-text index, and what the tables say of each other. Other
    /// processes cannot write meanwhile.
    ///
    /// # Errors
    /// [`ProfileError::Busy`] while another process writes, or [`ProfileError::Database`].
    pub fn check(&mut self) -> Result<Check, ProfileError> {
        // The codes are checked in the file itself: what still stands in the log should be there.
        let _ = self.checkpoint();
        let result = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map(|transaction| examine(&transaction));
        result.map_err(|error| self.failed(error))
    }
}

fn examine(connection: &Connection) -> Check {
    let mut check = Check::default();
    for (pragma, what) in [
        ("cipher_integrity_check", "encryption"),
        ("integrity_check", "structure"),
        ("foreign_key_check", "reference"),
    ] {
        let mut found = match lines(connection, pragma) {
            Ok(found) => found,
            Err(error) => vec![format!("cannot be checked: {error}")],
        };
        found.retain(|line| line != "ok");
        let more = found.len().saturating_sub(FAULTS_SHOWN);
        found.truncate(FAULTS_SHOWN);
        check.faults.extend(found.into_iter().map(|line| format!("{what}: {line}")));
        if more > 0 {
            check.faults.push(format!("{what}: and {more} more"));
        }
    }
    for (sql, what) in CONTRADICTIONS {
        match count(connection, sql) {
            Ok(0) => {}
            Ok(number) => check.faults.push(format!("content: {number} {what}")),
            Err(error) => check.faults.push(format!("content: {what} cannot be counted: {error}")),
        }
    }
    // Where they cannot be counted, the faults say so.
    check.documents = count(connection, "SELECT count(*) FROM document").unwrap_or(0);
    check.passages = count(connection, "SELECT count(*) FROM chunk").unwrap_or(0);
    check.embeddings = count(connection, "SELECT count(*) FROM embedding").unwrap_or(0);
    check
}

fn count(connection: &Connection, sql: &str) -> rusqlite::Result<usize> {
    connection.query_row(sql, [], |row| row.get(0))
}

/// The rows of a pragma, each as one line. None of these pragmas tells of contents.
fn lines(connection: &Connection, pragma: &str) -> rusqlite::Result<Vec<String>> {
    let mut lines = Vec::new();
    connection.pragma_query(None, pragma, |row| {
        lines.push(if pragma == "foreign_key_check" {
            let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
            format!("a row of {table} names a row of {parent} that is not there")
        } else {
            row.get(0)?
        });
        Ok(())
    })?;
    Ok(lines)
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
        let documents: Vec<NewDocument> = (0..40)
            .map(|number| NewDocument {
                key: number.to_string(),
                title: Some(format!("zanzibar {number}")),
                text: format!("zanzibar number {number} ").repeat(50),
                ..NewDocument::default()
            })
            .collect();
        let stamp = Stamp { size_bytes: 1, modified_ns: 1, reading: String::new() };
        store.replace_source(&Source { place: "/x".into(), stamp }, &documents, 50).unwrap();
        (folder, store)
    }

    #[test]
    fn a_sound_profile_has_no_faults_and_everything_is_counted() {
        let (_folder, mut store) = store();
        let check = store.check().unwrap();
        assert_eq!(check.faults, Vec::<String>::new());
        assert_eq!(check.documents, store.document_count().unwrap());
        assert!(check.passages >= check.documents);
        assert_eq!(check.embeddings, 0);
    }

    #[test]
    fn what_does_not_belong_together_is_told_without_any_text() {
        let (_folder, mut store) = store();
        store
            .connection
            .execute_batch(
                "INSERT INTO embedder VALUES (1, 'test', '00', 4);
                 INSERT INTO embedding SELECT number, 1, x'000000' FROM chunk LIMIT 3;
                 DELETE FROM chunk_text WHERE rowid = (SELECT min(number) FROM chunk);
                 INSERT INTO chunk_text (rowid, title, text) VALUES (123456, 'a', 'b');
                 INSERT INTO forgotten SELECT text_sha256 FROM document LIMIT 2;
                 PRAGMA foreign_keys = OFF;
                 DELETE FROM source;",
            )
            .unwrap();
        let faults = store.check().unwrap().faults.join("\n");
        for expected in [
            "1 passages without a text",
            "1 texts of passages that are not there",
            "2 documents that were forgotten",
            "3 vectors of the wrong length",
            "a row of occurrence names a row of source that is not there",
        ] {
            assert!(faults.contains(expected), "{expected}: {faults}");
        }
        assert!(!faults.contains("zanzibar"), "{faults}");
    }

    #[test]
    fn a_flipped_bit_anywhere_behind_the_first_page_is_found() {
        let (_folder, store) = store();
        store.checkpoint().unwrap();
        let (path, key, user) = (store.path.clone(), store.key.clone(), store.user().clone());
        drop(store);
        let whole = std::fs::read(&path).unwrap();
        assert!(whole.len() > 20 * 4096);
        for page in [5, 11, whole.len() / 4096 - 1] {
            let mut damaged = whole.clone();
            damaged[page * 4096 + 100] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            // Where the damage hinders opening already, that is an answer too.
            let Ok(mut store) = ProfileStore::connect(path.clone(), key.clone(), &user) else {
                continue;
            };
            let faults = store.check().unwrap().faults.join("\n");
            let expected = format!("encryption: HMAC verification failed for page {}", page + 1);
            assert!(faults.contains(&expected), "{faults}");
        }
    }
}
