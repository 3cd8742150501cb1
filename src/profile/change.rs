//! What a source contributes to a profile, made to be what the source holds now.
//!
//! A text is stored once. A text that is nearly one that is stored counts as that one: the source
//! is noted as another place of it. What a source no longer holds goes first, so that an edited
//! text never counts as its own old version. A text that the person had forgotten stays away.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::AddAssign;

use rusqlite::{OptionalExtension, Transaction, params};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::minhash::Signature;
use super::{NewDocument, Source, chunks};

const ID_HEX_DIGITS: usize = 12;
/// Stored documents of one band that are compared with a new one.
const CANDIDATES_MAX: usize = 64;

/// What a change of one source did to the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Documents that were not in the store before.
    pub added: usize,
    /// Documents that this source already had.
    pub unchanged: usize,
    /// Documents whose text another place had already brought.
    pub duplicates: usize,
    /// Documents that are one that was stored already but for details.
    pub near_duplicates: usize,
    /// Documents that no source has any more.
    pub removed: usize,
    /// Documents that the person had forgotten, and that stay away.
    pub forgotten: usize,
    /// Adapters that had learned from a removed document, and are now invalid.
    pub adapters_invalidated: usize,
    /// Drafts that had been written from a removed document, and have gone with it.
    pub drafts_removed: usize,
}

impl Applied {
    /// How many documents were read.
    #[must_use]
    pub fn documents(&self) -> usize {
        let Self { added, unchanged, duplicates, near_duplicates, forgotten, .. } = self;
        added + unchanged + duplicates + near_duplicates + forgotten
    }
}

impl AddAssign for Applied {
    fn add_assign(&mut self, other: Self) {
        self.added += other.added;
        self.unchanged += other.unchanged;
        self.duplicates += other.duplicates;
        self.near_duplicates += other.near_duplicates;
        self.removed += other.removed;
        self.forgotten += other.forgotten;
        self.adapters_invalidated += other.adapters_invalidated;
        self.drafts_removed += other.drafts_removed;
    }
}

/// A document with its hash, its signature and its passages.
pub(super) struct CutDocument<'a> {
    document: &'a NewDocument,
    hash: Vec<u8>,
    signature: Option<Signature>,
    chunks: Vec<&'a str>,
}

impl<'a> CutDocument<'a> {
    pub(super) fn new(document: &'a NewDocument, chunk_tokens: usize) -> Self {
        let chunks = chunks(&document.text, chunk_tokens);
        Self {
            document,
            hash: sha256(document.text.as_bytes()),
            signature: Signature::of(&document.text),
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
                "SELECT document.text_sha256, number FROM occurrence
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
            if self.is_forgotten(&cut.hash)? {
                applied.forgotten += 1;
                continue;
            }
            let number = self.settle(cut, &mut applied)?;
            self.transaction
                .prepare_cached(
                    "INSERT OR IGNORE INTO occurrence (source, key, document, text_sha256)
                     VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![self.source, cut.document.key, number, cut.hash])?;
        }
        Ok(applied)
    }

    /// The number of the stored document that stands for `cut`, which may be a new one.
    fn settle(&self, cut: &CutDocument<'_>, applied: &mut Applied) -> rusqlite::Result<i64> {
        if let Some(number) = self.number_of(&cut.hash)? {
            if self.before.contains_key(&cut.hash) {
                applied.unchanged += 1;
                self.update(number, cut)?;
            } else {
                applied.duplicates += 1;
            }
            return Ok(number);
        }
        if let Some(signature) = &cut.signature
            && let Some(number) = self.near(signature)?
        {
            applied.near_duplicates += 1;
            return Ok(number);
        }
        applied.added += 1;
        self.insert(cut)
    }

    /// Removes what this source had, no longer has, and no other source has either.
    fn forget_missing(&self, documents: &[CutDocument<'_>]) -> rusqlite::Result<usize> {
        let kept: HashSet<&[u8]> = documents.iter().map(|cut| cut.hash.as_slice()).collect();
        let mut removed = 0;
        for (_, number) in self.before.iter().filter(|(hash, _)| !kept.contains(hash.as_slice())) {
            let is_replaced = self.is_near_any(*number, documents)?;
            removed +=
                remove_unless_elsewhere(self.transaction, *number, self.source, is_replaced)?;
        }
        Ok(removed)
    }

    /// Whether one of the texts that the source has now is near the stored document.
    fn is_near_any(&self, number: i64, documents: &[CutDocument<'_>]) -> rusqlite::Result<bool> {
        let bytes: Option<Vec<u8>> = self
            .transaction
            .prepare_cached("SELECT signature FROM minhash WHERE document = ?1")?
            .query_row([number], |row| row.get(0))
            .optional()?;
        let stored = bytes.as_deref().and_then(Signature::from_bytes);
        let mut signatures = documents.iter().filter_map(|cut| cut.signature.as_ref());
        Ok(stored.is_some_and(|stored| signatures.any(|signature| signature.is_near(&stored))))
    }

    fn number_of(&self, hash: &[u8]) -> rusqlite::Result<Option<i64>> {
        self.transaction
            .prepare_cached("SELECT number FROM document WHERE text_sha256 = ?1")?
            .query_row([hash], |row| row.get(0))
            .optional()
    }

    fn is_forgotten(&self, hash: &[u8]) -> rusqlite::Result<bool> {
        self.transaction
            .prepare_cached("SELECT 1 FROM forgotten WHERE text_sha256 = ?1")?
            .exists([hash])
    }

    /// The stored document that is nearest to a text, where one is near; the oldest of several.
    fn near(&self, signature: &Signature) -> rusqlite::Result<Option<i64>> {
        let mut candidates: BTreeSet<i64> = BTreeSet::new();
        for band in signature.bands() {
            let mut statement = self.transaction.prepare_cached(
                "SELECT document FROM minhash_band WHERE band = ?1 ORDER BY document LIMIT ?2",
            )?;
            for number in statement.query_map(params![band, CANDIDATES_MAX], |row| row.get(0))? {
                candidates.insert(number?);
            }
        }
        let mut nearest: Option<(usize, i64)> = None;
        for number in candidates {
            let bytes: Option<Vec<u8>> = self
                .transaction
                .prepare_cached("SELECT signature FROM minhash WHERE document = ?1")?
                .query_row([number], |row| row.get(0))
                .optional()?;
            let Some(other) = bytes.as_deref().and_then(Signature::from_bytes) else { continue };
            let equal = signature.equal_minima(&other);
            if signature.is_near(&other) && nearest.is_none_or(|(most, _)| equal > most) {
                nearest = Some((equal, number));
            }
        }
        Ok(nearest.map(|(_, number)| number))
    }

    fn insert(&self, cut: &CutDocument<'_>) -> rusqlite::Result<i64> {
        let CutDocument { document, hash, .. } = cut;
        let id = self.free_id(document, hash)?;
        self.transaction
            .prepare_cached(
                "INSERT INTO document
                 (id, title, date, text, text_sha256, kind, recipient, context)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                id,
                document.title,
                document.date,
                document.text,
                hash,
                document.kind,
                document.recipient,
                document.context
            ])?;
        let number = self.transaction.last_insert_rowid();
        self.insert_signature(number, cut)?;
        self.insert_chunks(number, cut)?;
        Ok(number)
    }

    /// Everything but the text may have changed where the text has not. A place that does not know
    /// a thing takes it away from no other that does.
    fn update(&self, number: i64, cut: &CutDocument<'_>) -> rusqlite::Result<()> {
        let NewDocument { title, date, kind, recipient, context, .. } = cut.document;
        // Its own occurrences have just been taken out.
        let is_shared = self
            .transaction
            .prepare_cached("SELECT 1 FROM occurrence WHERE document = ?1")?
            .exists([number])?;
        self.transaction
            .prepare_cached(
                "UPDATE document SET date = coalesce(?2, iif(?6, date, NULL)),
                                     kind = coalesce(nullif(?3, ''), kind),
                                     recipient = coalesce(?4, iif(?6, recipient, NULL)),
                                     context = coalesce(?5, iif(?6, context, NULL))
                 WHERE number = ?1",
            )?
            .execute(params![number, date, kind, recipient, context, is_shared])?;
        let renamed = self
            .transaction
            .prepare_cached(
                "UPDATE document SET title = ?2
                 WHERE number = ?1 AND ?2 IS NOT title AND (?2 IS NOT NULL OR NOT ?3)",
            )?
            .execute(params![number, title, is_shared])?
            > 0;
        if self.read_anew {
            // A profile that an older program wrote has no signatures.
            self.insert_signature(number, cut)?;
        }
        // Passages that stay keep what was computed of them.
        if renamed || self.read_anew && !self.is_cut_like(number, cut)? {
            self.transaction.execute("DELETE FROM chunk WHERE document = ?1", [number])?;
            self.insert_chunks(number, cut)?;
        }
        Ok(())
    }

    /// Whether the stored passages are those of `cut`.
    fn is_cut_like(&self, number: i64, cut: &CutDocument<'_>) -> rusqlite::Result<bool> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT chunk_text.text FROM chunk JOIN chunk_text ON chunk_text.rowid = chunk.number
             WHERE chunk.document = ?1 ORDER BY chunk.number",
        )?;
        let stored: Vec<String> =
            statement.query_map([number], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(stored == cut.chunks)
    }

    fn insert_signature(&self, number: i64, cut: &CutDocument<'_>) -> rusqlite::Result<()> {
        let Some(signature) = &cut.signature else { return Ok(()) };
        self.transaction
            .prepare_cached("INSERT OR IGNORE INTO minhash (document, signature) VALUES (?1, ?2)")?
            .execute(params![number, signature.to_bytes()])?;
        for band in signature.bands() {
            self.transaction
                .prepare_cached(
                    "INSERT OR IGNORE INTO minhash_band (band, document) VALUES (?1, ?2)",
                )?
                .execute(params![band, number])?;
        }
        Ok(())
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

/// Removes the document `number`, which `source` no longer has, where no other source has its very
/// text. Sources that have nearly it are read again the next time, since what they really have may
/// now stand for all of them; until then the document stays for their sake, unless it `is_replaced`
/// by a near text at once. Returns how many documents went.
pub(super) fn remove_unless_elsewhere(
    transaction: &Transaction<'_>,
    number: i64,
    source: i64,
    is_replaced: bool,
) -> rusqlite::Result<usize> {
    let is_elsewhere = transaction
        .prepare_cached(
            "SELECT 1 FROM occurrence JOIN document ON number = occurrence.document
             WHERE document = ?1 AND source <> ?2
             AND coalesce(occurrence.text_sha256, document.text_sha256) = document.text_sha256",
        )?
        .exists([number, source])?;
    if is_elsewhere {
        return Ok(0);
    }
    let near_sources = transaction
        .prepare_cached(
            "UPDATE source SET modified_ns = -1
             WHERE id IN (SELECT source FROM occurrence WHERE document = ?1 AND source <> ?2)",
        )?
        .execute([number, source])?;
    if near_sources > 0 && !is_replaced {
        return Ok(0);
    }
    transaction.prepare_cached("DELETE FROM document WHERE number = ?1")?.execute([number])
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}
