//! What a source contributes to a profile, made to be what the source holds now.

use std::collections::{HashMap, HashSet};

use rusqlite::{OptionalExtension, Transaction, params};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{NewDocument, Source, chunks};

const ID_HEX_DIGITS: usize = 12;

/// What a change of one source did to the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Documents that were not in the store before.
    pub added: usize,
    /// Documents that this source already had.
    pub unchanged: usize,
    /// Documents whose text another place had already brought.
    pub duplicates: usize,
    /// Documents that no source has any more.
    pub removed: usize,
}

/// A document with its hash and its passages.
pub(super) struct CutDocument<'a> {
    document: &'a NewDocument,
    hash: Vec<u8>,
    chunks: Vec<&'a str>,
}

impl<'a> CutDocument<'a> {
    pub(super) fn new(document: &'a NewDocument, chunk_tokens: usize) -> Self {
        let chunks = chunks(&document.text, chunk_tokens);
        Self {
            document,
            hash: sha256(document.text.as_bytes()),
            chunks: chunks.into_iter().map(|chunk| &document.text[chunk.range]).collect(),
        }
    }
}

/// The change of one source inside its transaction.
pub(super) struct Change<'a> {
    transaction: &'a Transaction<'a>,
    place: &'a str,
    source: i64,
    /// Whether the source was read in another way before, so that passages may differ.
    read_anew: bool,
    /// Documents that this source had before, by the hash of their text.
    before: HashMap<Vec<u8>, i64>,
}

impl<'a> Change<'a> {
    pub(super) fn new(
        transaction: &'a Transaction<'a>,
        source: &'a Source,
    ) -> rusqlite::Result<Self> {
        let stamp = &source.stamp;
        let reading: Option<String> = transaction
            .query_row("SELECT reading FROM source WHERE place = ?1", [&source.place], |row| {
                row.get(0)
            })
            .optional()?;
        let number = transaction.query_row(
            "INSERT INTO source (place, size_bytes, modified_ns, reading) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (place) DO UPDATE SET size_bytes = ?2, modified_ns = ?3, reading = ?4
             RETURNING id",
            params![source.place, stamp.size_bytes, stamp.modified_ns, stamp.reading],
            |row| row.get(0),
        )?;
        let before = transaction
            .prepare(
                "SELECT text_sha256, number FROM occurrence
                 JOIN document ON number = occurrence.document WHERE source = ?1",
            )?
            .query_map([number], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let read_anew = reading.is_some_and(|reading| reading != stamp.reading);
        Ok(Self { transaction, place: &source.place, source: number, read_anew, before })
    }

    /// Does it all; returns what was done.
    pub(super) fn apply(&self, documents: &[CutDocument<'_>]) -> rusqlite::Result<Applied> {
        let mut applied =
            Applied { removed: self.forget_missing(documents)?, ..Applied::default() };
        self.transaction.execute("DELETE FROM occurrence WHERE source = ?1", [self.source])?;
        for cut in documents {
            let number = match self.number_of(&cut.hash)? {
                Some(number) if self.before.contains_key(&cut.hash) => {
                    applied.unchanged += 1;
                    self.update(number, cut)?;
                    number
                }
                Some(number) => {
                    applied.duplicates += 1;
                    number
                }
                None => {
                    applied.added += 1;
                    self.insert(cut)?
                }
            };
            self.transaction
                .prepare_cached(
                    "INSERT OR IGNORE INTO occurrence (source, key, document) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![self.source, cut.document.key, number])?;
        }
        Ok(applied)
    }

    /// Removes what this source had, no longer has, and no other source has either.
    fn forget_missing(&self, documents: &[CutDocument<'_>]) -> rusqlite::Result<usize> {
        let kept: HashSet<&[u8]> = documents.iter().map(|cut| cut.hash.as_slice()).collect();
        let mut removed = 0;
        for (_, number) in self.before.iter().filter(|(hash, _)| !kept.contains(hash.as_slice())) {
            removed += self.transaction.execute(
                "DELETE FROM document WHERE number = ?1 AND NOT EXISTS
                 (SELECT 1 FROM occurrence WHERE document = ?1 AND source <> ?2)",
                params![number, self.source],
            )?;
        }
        Ok(removed)
    }

    fn number_of(&self, hash: &[u8]) -> rusqlite::Result<Option<i64>> {
        self.transaction
            .prepare_cached("SELECT number FROM document WHERE text_sha256 = ?1")?
            .query_row([hash], |row| row.get(0))
            .optional()
    }

    fn insert(&self, cut: &CutDocument<'_>) -> rusqlite::Result<i64> {
        let CutDocument { document, hash, .. } = cut;
        let id = self.free_id(document, hash)?;
        self.transaction
            .prepare_cached(
                "INSERT INTO document (id, title, date, text, text_sha256)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![id, document.title, document.date, document.text, hash])?;
        let number = self.transaction.last_insert_rowid();
        self.insert_chunks(number, cut)?;
        Ok(number)
    }

    /// Title, date and passage size may have changed where the text has not. A place that knows
    /// neither title nor date takes nothing away from one that does.
    fn update(&self, number: i64, cut: &CutDocument<'_>) -> rusqlite::Result<()> {
        let NewDocument { title, date, .. } = cut.document;
        let changed = self
            .transaction
            .prepare_cached(
                "UPDATE document SET title = coalesce(?2, title), date = coalesce(?3, date)
                 WHERE number = ?1 AND (coalesce(?2, title) IS NOT title
                                        OR coalesce(?3, date) IS NOT date)",
            )?
            .execute(params![number, title, date])?;
        if changed == 0 && !self.read_anew {
            return Ok(());
        }
        self.transaction.execute("DELETE FROM chunk WHERE document = ?1", [number])?;
        self.insert_chunks(number, cut)
    }

    fn insert_chunks(&self, number: i64, cut: &CutDocument<'_>) -> rusqlite::Result<()> {
        for chunk in &cut.chunks {
            self.transaction
                .prepare_cached("INSERT INTO chunk (document) VALUES (?1)")?
                .execute([number])?;
            let rowid = self.transaction.last_insert_rowid();
            self.transaction
                .prepare_cached(
                    "INSERT INTO chunk_text (rowid, title, text)
                     SELECT ?1, title, ?2 FROM document WHERE number = ?3",
                )?
                .execute(params![rowid, chunk, number])?;
        }
        Ok(())
    }

    /// The document's own id, else one made of its place, else of its place and text.
    fn free_id(&self, document: &NewDocument, hash: &[u8]) -> rusqlite::Result<String> {
        let made =
            |parts: &[&[u8]]| hex::encode(sha256(&parts.join(&0)))[..ID_HEX_DIGITS].to_owned();
        let (place, key) = (self.place.as_bytes(), document.key.as_bytes());
        let candidates =
            [document.id.clone(), Some(made(&[place, key])), Some(made(&[place, key, hash]))];
        for id in candidates.into_iter().flatten() {
            let taken: Option<i64> = self
                .transaction
                .query_row("SELECT number FROM document WHERE id = ?1", [&id], |row| row.get(0))
                .optional()?;
            if taken.is_none() {
                return Ok(id);
            }
        }
        Ok(hex::encode(hash))
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}
