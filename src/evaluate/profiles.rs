//! Profiles of a data set's people, in a place of their own, encrypted as `ingest` keeps them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Person;
use crate::error::Error;
use crate::paths::Paths;
use crate::profile::{NoPassphrase, ProfileStore, Source, Stamp, User, Vectors};
use crate::retrieve::{Embed, update_index};
use crate::selftrain::TrainError;

/// Profiles that are built when they are first needed.
pub struct Profiles<'a> {
    people: &'a [Person],
    embedder: Option<&'a dyn Embed>,
    chunk_tokens: usize,
    scratch: &'a Paths,
    interrupt: &'a AtomicBool,
    built: BTreeMap<usize, Profile>,
}

/// A person's documents, and what they mean where there is an embedding model.
pub struct Profile {
    /// The documents.
    pub store: ProfileStore,
    /// The vectors of their passages.
    pub vectors: Option<Vectors>,
}

impl<'a> Profiles<'a> {
    /// Of `people`, in passages of `chunk_tokens`, kept in `scratch`, until `interrupt` is set.
    #[must_use]
    pub fn new(
        people: &'a [Person],
        embedder: Option<&'a dyn Embed>,
        chunk_tokens: usize,
        scratch: &'a Paths,
        interrupt: &'a AtomicBool,
    ) -> Self {
        Self { people, embedder, chunk_tokens, scratch, interrupt, built: BTreeMap::new() }
    }

    /// The profile of the person at that place.
    ///
    /// # Errors
    /// [`TrainError::Stopped`] when it was interrupted, the store's or the embedding model's.
    pub fn of(&mut self, person: usize) -> Result<&Profile, Error> {
        let profile = match self.built.remove(&person) {
            Some(profile) => profile,
            None => self.build(person)?,
        };
        Ok(self.built.entry(person).or_insert(profile))
    }

    fn build(&self, person: usize) -> Result<Profile, Error> {
        let user = User::parse(&format!("person {person}"))?;
        let mut store = ProfileStore::open_or_create(self.scratch, &user, &NoPassphrase)?;
        let stamp = Stamp { size_bytes: 0, modified_ns: 0, reading: String::new() };
        let source = Source { place: "dataset".into(), stamp };
        store.replace_source(&source, &self.people[person].profile, self.chunk_tokens)?;
        let mut vectors = None;
        if let Some(embedder) = self.embedder {
            update_index(&mut store, embedder, self.interrupt, &mut |_, _| {})?;
            if self.interrupt.load(Ordering::Relaxed) {
                return Err(TrainError::Stopped.into());
            }
            vectors = Some(store.vectors(&embedder.info().sha256)?);
        }
        Ok(Profile { store, vectors })
    }
}
