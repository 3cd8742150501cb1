//! The one place that memory-maps: a model file, read-only.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use super::GgufError;

/// A regular file mapped read-only. The pages are the page cache's, shared by every process
/// that maps the same model.
#[derive(Debug)]
pub struct ModelFile {
    map: Mmap,
}

impl ModelFile {
    /// Maps the file at `path`. A directory, pipe, socket or device is refused before it is
    /// opened, so that a FIFO cannot make the program wait.
    ///
    /// # Errors
    /// [`GgufError::NotAFile`], or [`GgufError::Io`] with the system's reason.
    #[allow(unsafe_code)]
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let unreadable = |source| GgufError::Io { path: path.to_owned(), source };
        let before = std::fs::metadata(path).map_err(unreadable)?;
        if !before.is_file() {
            return Err(GgufError::NotAFile {
                path: path.to_owned(),
                what: if before.is_dir() { "a directory" } else { "a pipe, socket or device" },
            });
        }
        let file = File::open(path).map_err(unreadable)?;
        // SAFETY: the map is private to this value and never written. What makes a file map
        // unsound is another process changing the file meanwhile: models are stored read-only
        // under their hash and replaced by rename, never in place. Of the map the header is read,
        // every length checked against the map's own, and weights, which may be any numbers.
        let map = unsafe { Mmap::map(&file) }.map_err(unreadable)?;
        Ok(Self { map })
    }

    /// The whole file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }
}
