//! Passages as vectors: which have none yet, storing them, and all of them in one block to search.
//!
//! A vector is 16-bit floats inside the encrypted file, tied to its passage, so that it goes with
//! it, and to the embedder that made it: vectors of two embedders are never compared. Knows no
//! embedder; the caller brings the numbers.

use numkong::f16;
use rusqlite::{OptionalExtension, TransactionBehavior, params};
use serde::Serialize;

use super::{ProfileError, ProfileStore};

/// Who made a vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EmbedderInfo {
    /// The model's name.
    pub name: String,
    /// SHA-256 of the model's file, in hex: what tells embedders apart.
    pub sha256: String,
    /// Length of its vectors.
    pub dimensions: usize,
}

/// How much of a profile can be searched by meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IndexState {
    /// Passages in the profile.
    pub passages: usize,
    /// Those with a vector of the embedder asked about.
    pub embedded: usize,
    /// Names of other embedders that made vectors; these are stale.
    pub stale: Vec<String>,
}

/// A passage that has no vector yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingPassage {
    /// Its number.
    pub chunk: i64,
    /// What is embedded: the document's title, then the passage.
    pub text: String,
    /// The passage.
    pub passage: String,
}

/// All vectors of one embedder, row after row.
#[derive(Debug, Default)]
pub struct Vectors {
    /// The passage of each row, ascending.
    pub chunks: Vec<i64>,
    /// The rows: `[chunks.len(), dimensions]`.
    pub rows: Vec<f16>,
    /// Length of a row.
    pub dimensions: usize,
}

impl Vectors {
    /// The row of `chunk`.
    #[must_use]
    pub fn row_of(&self, chunk: i64) -> Option<&[f16]> {
        let row = self.chunks.binary_search(&chunk).ok()?;
        self.rows.get(row * self.dimensions..(row + 1) * self.dimensions)
    }
}

/// A vector as the store keeps it.
#[must_use]
pub fn half(vector: &[f32]) -> Vec<f16> {
    vector.iter().map(|&value| f16::from_f32(value)).collect()
}

impl ProfileStore {
    /// How many passages have a vector of the embedder with this hash.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn index_state(&self, sha256: &str) -> Result<IndexState, ProfileError> {
        let read = || -> rusqlite::Result<IndexState> {
            let count = |sql: &str| self.connection.query_row(sql, [], |row| row.get(0));
            let embedded = self.connection.query_row(
                "SELECT count(*) FROM embedding JOIN embedder ON embedder.id = embedder
                 WHERE sha256 = ?1",
                [sha256],
                |row| row.get(0),
            )?;
            let stale = self
                .connection
                .prepare(
                    "SELECT name FROM embedder WHERE sha256 <> ?1 AND EXISTS
                     (SELECT 1 FROM embedding WHERE embedder = embedder.id) ORDER BY name",
                )?
                .query_map([sha256], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(IndexState { passages: count("SELECT count(*) FROM chunk")?, embedded, stale })
        };
        read().map_err(|error| self.failed(error))
    }

    /// The next `limit` passages after number `after` that have no vector of `embedder`. What was
    /// stored stays stored, so that a run that was ended goes on where it was.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn pending(
        &self,
        embedder: &EmbedderInfo,
        after: i64,
        limit: usize,
    ) -> Result<Vec<PendingPassage>, ProfileError> {
        let read = || -> rusqlite::Result<Vec<PendingPassage>> {
            self.connection
                .prepare_cached(
                    "SELECT chunk.number, chunk_text.title, chunk_text.text
                     FROM chunk JOIN chunk_text ON chunk_text.rowid = chunk.number
                     WHERE chunk.number > ?2 AND NOT EXISTS
                       (SELECT 1 FROM embedding JOIN embedder ON embedder.id = embedder
                        WHERE embedding.chunk = chunk.number AND sha256 = ?1)
                     ORDER BY chunk.number LIMIT ?3",
                )?
                .query_map(params![embedder.sha256, after, limit], |row| {
                    let title: Option<String> = row.get(1)?;
                    let text: String = row.get(2)?;
                    let titled = titled(title.as_deref(), &text);
                    Ok(PendingPassage { chunk: row.get(0)?, text: titled, passage: text })
                })?
                .collect()
        };
        read().map_err(|error| self.failed(error))
    }

    /// Stores vectors of passages, in one transaction; a passage that has gone meanwhile is passed
    /// over, also where its number now is another's. A vector of another embedder is replaced.
    ///
    /// # Errors
    /// [`ProfileError::Busy`] or [`ProfileError::Database`]; then none is stored.
    pub fn put_vectors(
        &mut self,
        embedder: &EmbedderInfo,
        vectors: &[(PendingPassage, Vec<f32>)],
    ) -> Result<(), ProfileError> {
        let write = |connection: &mut rusqlite::Connection| -> rusqlite::Result<()> {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let id: i64 = transaction.query_row(
                "INSERT INTO embedder (name, sha256, dimensions) VALUES (?1, ?2, ?3)
                 ON CONFLICT (sha256) DO UPDATE SET name = ?1 RETURNING id",
                params![embedder.name, embedder.sha256, embedder.dimensions],
                |row| row.get(0),
            )?;
            {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO embedding (chunk, embedder, vector)
                     SELECT rowid, ?2, ?3 FROM chunk_text WHERE rowid = ?1 AND text = ?4
                     ON CONFLICT (chunk) DO UPDATE SET embedder = ?2, vector = ?3",
                )?;
                for (passage, vector) in vectors {
                    let PendingPassage { chunk, text: _, passage } = passage;
                    insert.execute(params![chunk, id, to_bytes(vector), passage])?;
                }
            }
            transaction.commit()
        };
        write(&mut self.connection).map_err(|error| self.failed(error))
    }

    /// All vectors of the embedder with this hash.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn vectors(&self, sha256: &str) -> Result<Vectors, ProfileError> {
        let read = || -> rusqlite::Result<Vectors> {
            let found: Option<(i64, usize)> = self
                .connection
                .query_row(
                    "SELECT id, dimensions FROM embedder WHERE sha256 = ?1",
                    [sha256],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            let Some((embedder, dimensions)) = found else {
                return Ok(Vectors::default());
            };
            let mut vectors = Vectors { dimensions, ..Vectors::default() };
            let mut statement = self.connection.prepare_cached(
                "SELECT chunk, vector FROM embedding WHERE embedder = ?1 ORDER BY chunk",
            )?;
            let mut rows = statement.query([embedder])?;
            while let Some(row) = rows.next()? {
                let bytes = row.get_ref(1)?.as_blob()?;
                // A row of another length is damaged; `profile check` names it.
                if bytes.len() == 2 * dimensions {
                    vectors.chunks.push(row.get(0)?);
                    let values = bytes.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair));
                    vectors.rows.extend(values.map(f16));
                }
            }
            Ok(vectors)
        };
        read().map_err(|error| self.failed(error))
    }
}

fn titled(title: Option<&str>, text: &str) -> String {
    match title {
        Some(title) if !text.starts_with(title) => format!("{title}\n{text}"),
        _ => text.to_owned(),
    }
}

fn to_bytes(vector: &[f32]) -> Vec<u8> {
    half(vector).iter().flat_map(|value| value.0.to_le_bytes()).collect()
}
