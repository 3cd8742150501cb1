//! What tuning found for a model on this machine: which weight types it runs fastest with, and the
//! files that were kept.
//!
//! A tuned file stands in for its source and has no name of its own: adapters, manifests and
//! catalogues know the source's hash alone. The record lies in `tuned/`, under that hash.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::hash::sha256_of_file;
use super::{CatalogueError, Manifest, ModelStore};
use crate::paths::{create_private_folder, write_atomically};

/// What a model is loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// One text, for somebody who waits.
    Generate,
    /// Many texts at once.
    Sample,
}

/// Tokens per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Reading a prompt of 512 tokens.
    pub prefill: f64,
    /// Writing one text after it.
    pub decode: f64,
    /// Writing 16 texts after it at once, all together.
    pub sample: f64,
}

/// What was measured of one choice of weight types.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunedRow {
    /// The choice.
    pub recipe: String,
    /// Size of the file.
    pub size_bytes: u64,
    /// Its rates.
    pub rates: Rates,
    /// The source's, in the same rounds.
    pub source_rates: Rates,
    /// How many times the source's perplexity on a neutral text its own is.
    pub perplexity_ratio: f64,
    /// The interval of that, 95 %.
    pub perplexity_ratio_low: f64,
    /// The other end.
    pub perplexity_ratio_high: f64,
}

/// A file that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its recipe.
    pub recipe: String,
    /// SHA-256 of the file, in hex; also its file name.
    pub sha256: String,
    /// Size of the file.
    pub size_bytes: u64,
}

/// What was found for a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// SHA-256 of the source.
    pub source_sha256: String,
    /// The bindings that were measured.
    pub version: String,
    /// Threads that were used.
    pub threads: u32,
    /// The largest ratio of perplexities that a choice may have.
    pub perplexity_ratio_max: f64,
    /// The source's perplexity.
    pub perplexity: f64,
    /// What stands in for the source where one text is written; nothing where the source is best.
    pub generate: Option<Kept>,
    /// What stands in for it where many are.
    pub sample: Option<Kept>,
    /// All that was measured.
    pub rows: Vec<TunedRow>,
}

impl Tuning {
    /// What stands in for the source.
    #[must_use]
    pub fn kept_for(&self, purpose: Use) -> Option<&Kept> {
        match purpose {
            Use::Generate => self.generate.as_ref(),
            Use::Sample => self.sample.as_ref(),
        }
    }

    /// The files that were kept, each once.
    pub(super) fn files(&self) -> Vec<&Kept> {
        let mut files: Vec<&Kept> = self.generate.iter().chain(&self.sample).collect();
        files.dedup_by_key(|kept| &kept.sha256);
        files
    }
}

/// A model as it is loaded.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The model.
    pub manifest: Manifest,
    /// Its file, or the one that stands in for it.
    pub file: PathBuf,
    /// That file's SHA-256.
    pub sha256: String,
}

/// A folder for files that are tried; nobody else tunes meanwhile.
#[derive(Debug)]
pub struct Workshop {
    folder: PathBuf,
    _lock: File,
}

impl Workshop {
    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl ModelStore {
    /// The model called `name` as it is loaded for `purpose`: its own file, or what tuning found to
    /// be faster. One that has gone, or that another llama.cpp was measured with, is passed over.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn resolve_for(
        &self,
        name: &str,
        purpose: Use,
        version: &str,
    ) -> Result<Resolved, CatalogueError> {
        let (manifest, file) = self.resolve(name)?;
        let tuning = self.tuning(&manifest.sha256).filter(|tuning| tuning.version == version);
        let kept = tuning.as_ref().and_then(|tuning| tuning.kept_for(purpose));
        if let Some(kept) = kept {
            let file = self.file_of(&kept.sha256);
            if fs::metadata(&file).is_ok_and(|metadata| metadata.len() == kept.size_bytes) {
                return Ok(Resolved { manifest, file, sha256: kept.sha256.clone() });
            }
        }
        let sha256 = manifest.sha256.clone();
        Ok(Resolved { manifest, file, sha256 })
    }

    /// What was found for the model whose file has this hash.
    #[must_use]
    pub fn tuning(&self, source_sha256: &str) -> Option<Tuning> {
        let text = fs::read_to_string(self.record_of(source_sha256)).ok()?;
        toml::from_str(&text).ok()
    }

    /// An empty folder to try files in, on the file system of the models.
    ///
    /// # Errors
    /// [`CatalogueError::Io`], also where another process tunes.
    pub fn workshop(&self) -> Result<Workshop, CatalogueError> {
        let partial = self.partial();
        let failed = |source| CatalogueError::io(&partial, source);
        create_private_folder(&partial).map_err(failed)?;
        let lock = File::create(partial.join("tune.lock")).map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => {
                failed(io::Error::other("another process tunes a model"))
            }
            fs::TryLockError::Error(source) => failed(source),
        })?;
        let folder = partial.join("tune");
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => create_private_folder(&folder).map_err(failed)?,
        }
        Ok(Workshop { folder, _lock: lock })
    }

    /// Takes a file that was made in the workshop among the models, under its hash; it is synced, and
    /// read-only.
    ///
    /// # Errors
    /// [`CatalogueError::Io`].
    pub fn take_in(&self, file: &Path, recipe: &str) -> Result<Kept, CatalogueError> {
        let failed = |source| CatalogueError::io(file, source);
        let sha256 = sha256_of_file(file, &mut |_| true).map_err(failed)?;
        let opened = File::open(file).map_err(failed)?;
        opened.sync_all().map_err(failed)?;
        let metadata = opened.metadata().map_err(failed)?;
        let mut permissions = metadata.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(file, permissions).map_err(failed)?;
        create_private_folder(&self.blobs()).map_err(failed)?;
        fs::rename(file, self.file_of(&sha256)).map_err(failed)?;
        Ok(Kept { recipe: recipe.to_owned(), sha256, size_bytes: metadata.len() })
    }

    /// Records what was found; files that were kept before and are not any more go.
    ///
    /// # Errors
    /// [`CatalogueError::Io`].
    pub fn record_tuning(&self, tuning: &Tuning) -> Result<(), CatalogueError> {
        let path = self.record_of(&tuning.source_sha256);
        let failed = |source| CatalogueError::io(&path, source);
        let before = self.tuning(&tuning.source_sha256);
        let text =
            toml::to_string_pretty(tuning).map_err(|error| failed(io::Error::other(error)))?;
        create_private_folder(&self.tuned()).map_err(failed)?;
        let written = write_atomically(&path, text.as_bytes()).map_err(failed);
        if let Err(error) = written {
            for kept in tuning.files() {
                let _ = self.remove_unless_used(&kept.sha256);
            }
            return Err(error);
        }
        for kept in before.iter().flat_map(Tuning::files) {
            self.remove_unless_used(&kept.sha256)?;
        }
        Ok(())
    }

    /// Forgets what was found for a model, and removes what was kept; the bytes freed.
    ///
    /// # Errors
    /// [`CatalogueError::Io`].
    pub fn forget_tuning(&self, source_sha256: &str) -> Result<u64, CatalogueError> {
        let tuning = self.tuning(source_sha256);
        let path = self.record_of(source_sha256);
        // One that cannot be read goes too.
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(CatalogueError::io(&path, error)),
            Ok(()) => {}
        }
        let mut freed_bytes = 0;
        for kept in tuning.iter().flat_map(Tuning::files) {
            if self.remove_unless_used(&kept.sha256)? {
                freed_bytes += kept.size_bytes;
            }
        }
        Ok(freed_bytes)
    }

    /// Removes a model's file, unless a name or a tuning uses it; whether it did.
    pub(super) fn remove_unless_used(&self, sha256: &str) -> Result<bool, CatalogueError> {
        let is_named = self.installed()?.values().any(|manifest| manifest.sha256 == sha256);
        if is_named
            || self.tunings().iter().any(|it| it.files().iter().any(|it| it.sha256 == sha256))
        {
            return Ok(false);
        }
        let path = self.file_of(sha256);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(CatalogueError::io(&path, error))
            }
            result => Ok(result.is_ok()),
        }
    }

    /// All that was found for any model.
    fn tunings(&self) -> Vec<Tuning> {
        let entries = fs::read_dir(self.tuned()).into_iter().flatten().flatten();
        let texts = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
        texts.filter_map(|text| toml::from_str(&text).ok()).collect()
    }

    fn tuned(&self) -> PathBuf {
        self.folder.join("tuned")
    }

    fn record_of(&self, source_sha256: &str) -> PathBuf {
        self.tuned().join(format!("{source_sha256}.toml"))
    }
}
