//! A file that lies in memory alone, for those parts of llama.cpp that read and write only by path.
//!
//! What it holds is never on the disk, and gone with the process. Linux has such files with a path;
//! elsewhere there is none, and whatever would need one is left out.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;

/// A file in memory.
#[derive(Debug)]
pub(super) struct MemoryFile {
    file: File,
    path: PathBuf,
}

impl MemoryFile {
    /// An empty file.
    ///
    /// # Errors
    /// The system's reason; [`io::ErrorKind::Unsupported`] where it has no such files.
    #[cfg(target_os = "linux")]
    pub(super) fn create() -> io::Result<Self> {
        use std::os::fd::AsRawFd;

        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let file = File::from(rustix::fs::memfd_create("restpg-edge", flags)?);
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(Self { file, path })
    }

    /// There is none here.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn create() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A file that holds `bytes`.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub(super) fn holding(bytes: &[u8]) -> io::Result<Self> {
        let mut file = Self::create()?;
        file.file.write_all(bytes)?;
        Ok(file)
    }

    /// Where it can be opened, as long as it lives.
    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// What it holds.
    ///
    /// # Errors
    /// The system's reason.
    pub(super) fn into_bytes(mut self) -> io::Result<Vec<u8>> {
        self.file.rewind()?;
        let length = usize::try_from(self.file.metadata()?.len()).unwrap_or(0);
        let mut bytes = Vec::with_capacity(length);
        self.file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
