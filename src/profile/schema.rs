//! The tables of a profile, and how older ones are brought up to date.

use rusqlite::{Connection, TransactionBehavior};

/// The version that this program writes, in `PRAGMA user_version`.
pub(super) const VERSION: i64 = 5;

/// What each version adds to the one before it.
const MIGRATIONS: [&str; VERSION as usize] = [
    // A text is stored once; `occurrence` says in which sources it stands.
    "
    CREATE TABLE source (
        id INTEGER PRIMARY KEY,
        place TEXT NOT NULL UNIQUE,
        size_bytes INTEGER NOT NULL,
        modified_ns INTEGER NOT NULL,
        reading TEXT NOT NULL
    );
    CREATE TABLE document (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        title TEXT,
        date TEXT,
        text TEXT NOT NULL,
        text_sha256 BLOB NOT NULL UNIQUE
    );
    CREATE TABLE occurrence (
        source INTEGER NOT NULL REFERENCES source(id) ON DELETE CASCADE,
        key TEXT NOT NULL,
        document INTEGER NOT NULL REFERENCES document(number) ON DELETE CASCADE,
        PRIMARY KEY (source, key, document)
    ) WITHOUT ROWID;
    CREATE INDEX occurrence_document ON occurrence(document);
    CREATE TABLE chunk (
        number INTEGER PRIMARY KEY,
        document INTEGER NOT NULL REFERENCES document(number) ON DELETE CASCADE
    );
    CREATE INDEX chunk_document ON chunk(document);
    CREATE VIRTUAL TABLE chunk_text USING fts5(
        title, text, tokenize = 'porter unicode61 remove_diacritics 2'
    );
    CREATE TRIGGER chunk_forget AFTER DELETE ON chunk BEGIN
        DELETE FROM chunk_text WHERE rowid = old.number;
    END;
    ",
    // Mail, near-duplicates, passages as vectors, and what must follow a document that is
    // forgotten.
    "
    ALTER TABLE document ADD COLUMN kind TEXT NOT NULL DEFAULT '';
    ALTER TABLE document ADD COLUMN recipient TEXT;
    ALTER TABLE document ADD COLUMN context TEXT;
    -- The text that the source really has, where it is only nearly the document's.
    ALTER TABLE occurrence ADD COLUMN text_sha256 BLOB;
    CREATE TABLE minhash (
        document INTEGER PRIMARY KEY REFERENCES document(number) ON DELETE CASCADE,
        signature BLOB NOT NULL
    );
    CREATE TABLE minhash_band (
        band INTEGER NOT NULL,
        document INTEGER NOT NULL REFERENCES document(number) ON DELETE CASCADE,
        PRIMARY KEY (band, document)
    ) WITHOUT ROWID;
    CREATE INDEX minhash_band_document ON minhash_band(document);
    CREATE TABLE embedder (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        sha256 TEXT NOT NULL UNIQUE,
        dimensions INTEGER NOT NULL
    );
    CREATE TABLE embedding (
        chunk INTEGER PRIMARY KEY REFERENCES chunk(number) ON DELETE CASCADE,
        embedder INTEGER NOT NULL REFERENCES embedder(id) ON DELETE CASCADE,
        vector BLOB NOT NULL
    );
    CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE forgotten (text_sha256 BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE adapter (
        id TEXT PRIMARY KEY,
        state TEXT NOT NULL CHECK (state IN ('candidate', 'adopted', 'retired', 'invalid')),
        reason TEXT
    ) WITHOUT ROWID;
    -- The documents by their ids: the line stays when the document has gone.
    CREATE TABLE adapter_document (
        adapter TEXT NOT NULL REFERENCES adapter(id) ON DELETE CASCADE,
        document TEXT NOT NULL,
        PRIMARY KEY (adapter, document)
    ) WITHOUT ROWID;
    CREATE INDEX adapter_document_document ON adapter_document(document);
    -- Deleted words leave the index at once, not when its segments are merged; those that were
    -- deleted before leave it now.
    INSERT INTO chunk_text(chunk_text) VALUES ('rebuild');
    INSERT INTO chunk_text(chunk_text, rank) VALUES ('secure-delete', 1);
    ",
    // Drafts, and what the person made of them; adapters themselves.
    "
    CREATE TABLE draft (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        written_at TEXT NOT NULL,
        request TEXT NOT NULL,
        task TEXT NOT NULL,
        recipient TEXT,
        reasoning TEXT NOT NULL,
        answer TEXT NOT NULL,
        model TEXT NOT NULL,
        adapter TEXT,
        verdict TEXT CHECK (verdict IN ('accepted', 'edited', 'rejected')),
        final_text TEXT,
        CHECK ((verdict IS 'edited') = (final_text IS NOT NULL))
    );
    -- The documents by their ids, in the order of their passages.
    CREATE TABLE draft_document (
        draft INTEGER NOT NULL REFERENCES draft(number) ON DELETE CASCADE,
        document TEXT NOT NULL,
        rank INTEGER NOT NULL,
        PRIMARY KEY (draft, document)
    ) WITHOUT ROWID;
    CREATE INDEX draft_document_document ON draft_document(document);
    ALTER TABLE adapter ADD COLUMN base_sha256 TEXT NOT NULL DEFAULT '';
    ALTER TABLE adapter ADD COLUMN parent TEXT;
    ALTER TABLE adapter ADD COLUMN made_at TEXT NOT NULL DEFAULT '';
    -- What is to be known of it, in JSON.
    ALTER TABLE adapter ADD COLUMN about TEXT NOT NULL DEFAULT '{}';
    -- Which change of a state was its last: the largest number is the latest.
    ALTER TABLE adapter ADD COLUMN change INTEGER NOT NULL DEFAULT 0;
    -- One adapter of each base is in use.
    CREATE UNIQUE INDEX adapter_adopted ON adapter(base_sha256) WHERE state = 'adopted';
    CREATE TABLE adapter_content (
        adapter TEXT PRIMARY KEY REFERENCES adapter(id) ON DELETE CASCADE,
        content BLOB NOT NULL
    );
    ",
    // Training that is under way: what each finished piece of work came to.
    "
    CREATE TABLE run (
        id TEXT PRIMARY KEY,
        begun_at TEXT NOT NULL,
        base_sha256 TEXT NOT NULL,
        -- In JSON.
        settings TEXT NOT NULL,
        is_done INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE run_document (
        run TEXT NOT NULL REFERENCES run(id) ON DELETE CASCADE,
        document TEXT NOT NULL,
        PRIMARY KEY (run, document)
    ) WITHOUT ROWID;
    CREATE TABLE run_unit (
        run TEXT NOT NULL REFERENCES run(id) ON DELETE CASCADE,
        stage TEXT NOT NULL,
        key TEXT NOT NULL,
        content BLOB NOT NULL,
        PRIMARY KEY (run, stage, key)
    );
    ",
    // A draft is derived from what its adapter learned from too: of these the rank is -1, as none of their
    // passages was shown.
    "
    INSERT OR IGNORE INTO draft_document (draft, document, rank)
    SELECT draft.number, adapter_document.document, -1 FROM draft
    JOIN adapter_document ON adapter_document.adapter = draft.adapter;
    ",
];

/// The version of the open database; a fresh file has 0.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings the tables up to [`VERSION`], in one transaction. Two processes may try at once: the
/// version is read again inside the transaction.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    migrate_to(connection, VERSION)
}

/// The same up to another version.
pub(super) fn migrate_to(connection: &mut Connection, to: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let from = usize::try_from(version(&transaction)?).unwrap_or(0);
    let until = usize::try_from(to).unwrap_or(0);
    for migration in MIGRATIONS.iter().take(until).skip(from) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", to)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The story: a draft was written before drafts knew what their adapter had learned from.
    #[test]
    fn an_older_draft_goes_with_what_its_adapter_learned_from() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate_to(&mut connection, 4).unwrap();
        connection
            .execute_batch(
                "INSERT INTO adapter (id, state) VALUES ('ad', 'adopted');
                 INSERT INTO adapter_document VALUES ('ad', 'learned'), ('ad', 'shown');
                 INSERT INTO draft (id, written_at, request, task, reasoning, answer, model, adapter)
                 VALUES ('with', '2020-01-01', 'a note', 'free', '', 'one', 'm', 'ad'),
                        ('without', '2020-01-02', 'a note', 'free', '', 'two', 'm', NULL);
                 INSERT INTO draft_document SELECT number, 'shown', 0 FROM draft;",
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        let of = |draft: &str| -> Vec<(String, i64)> {
            let query = "SELECT document, rank FROM draft_document JOIN draft ON number = draft
                         WHERE id = ?1 ORDER BY document";
            let mut query = connection.prepare(query).unwrap();
            let rows = query.query_map([draft], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.collect::<rusqlite::Result<_>>().unwrap()
        };
        let shown = ("shown".to_owned(), 0);
        assert_eq!(of("with"), [("learned".to_owned(), -1), shown.clone()]);
        assert_eq!(of("without"), [shown]);
    }
}
