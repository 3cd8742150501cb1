//! What a run has come to so far, piece by piece, in the person's encrypted store.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Exit, Explain};
use crate::profile::{NewAdapter, Place, ProfileStore};

/// The pieces of one run.
#[derive(Debug)]
pub struct Journal<'a> {
    store: &'a mut ProfileStore,
    run: String,
}

/// A piece that this version of the program did not write.
#[derive(Debug, thiserror::Error)]
#[error("the training run was begun by another version of this program")]
struct OtherVersion;

impl Explain for OtherVersion {
    fn kind(&self) -> &'static str {
        "other_version"
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }

    fn help(&self) -> Option<String> {
        Some("Begin anew: the same command with --anew instead of --resume.".into())
    }
}

impl<'a> Journal<'a> {
    /// The pieces of the run with this id.
    pub fn new(store: &'a mut ProfileStore, run: String) -> Self {
        Self { store, run }
    }

    /// The run's id.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The store that it is kept in.
    #[must_use]
    pub fn store(&self) -> &ProfileStore {
        self.store
    }

    fn place<'p>(&'p self, stage: &'p str, key: &'p str) -> Place<'p> {
        Place { run: &self.run, stage, key }
    }

    /// What a piece came to; `None` where it was not done yet.
    ///
    /// # Errors
    /// The store's, or that another version wrote it.
    pub fn get<T: DeserializeOwned>(&self, stage: &str, key: &str) -> Result<Option<T>, Error> {
        let bytes = self.bytes(stage, key)?;
        let read = |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_err(|_| OtherVersion.into());
        bytes.map(read).transpose()
    }

    /// Keeps what a piece came to.
    ///
    /// # Errors
    /// The store's.
    pub fn keep<T: Serialize>(&mut self, stage: &str, key: &str, it: &T) -> Result<(), Error> {
        let bytes = serde_json::to_vec(it).map_err(|_| OtherVersion)?;
        self.keep_bytes(stage, key, &bytes)
    }

    /// What a piece came to, as bytes.
    ///
    /// # Errors
    /// The store's.
    pub fn bytes(&self, stage: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.store.unit(self.place(stage, key))?)
    }

    /// Keeps bytes.
    ///
    /// # Errors
    /// The store's.
    pub fn keep_bytes(&mut self, stage: &str, key: &str, bytes: &[u8]) -> Result<(), Error> {
        let place = Place { run: &self.run, stage, key };
        Ok(self.store.keep_unit(place, bytes)?)
    }

    /// Lets what was kept of a piece go.
    ///
    /// # Errors
    /// The store's.
    pub fn remove(&mut self, stage: &str, key: &str) -> Result<(), Error> {
        let place = Place { run: &self.run, stage, key };
        Ok(self.store.remove_unit(place)?)
    }

    /// Takes an adapter into the ledger, and into use where that is wanted; done once, however often
    /// a run is taken up. Its id.
    ///
    /// # Errors
    /// The store's.
    pub fn add_adapter(
        &mut self,
        key: &str,
        new: &NewAdapter<'_>,
        is_adopted: bool,
    ) -> Result<String, Error> {
        let place = Place { run: &self.run, stage: "adapter", key };
        Ok(self.store.add_adapter_of_run(place, new, is_adopted)?)
    }

    /// Notes that the run has come to its end.
    ///
    /// # Errors
    /// The store's.
    pub fn finish(&mut self) -> Result<(), Error> {
        Ok(self.store.finish_run(&self.run)?)
    }
}
