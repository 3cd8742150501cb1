//! SHA-256 of files, with progress.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

const BUFFER_BYTES: usize = 1 << 20;

/// The SHA-256 of the file at `path` in hex. `on_bytes` is told the bytes read so far and returns
/// whether to go on.
///
/// # Errors
/// The system's reason; [`io::ErrorKind::Interrupted`] where `on_bytes` ends it.
pub(super) fn sha256_of_file(
    path: &Path,
    on_bytes: &mut dyn FnMut(u64) -> bool,
) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut total = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
        total += read as u64;
        if !on_bytes(total) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
}

/// Hashes and counts what is written to it.
#[derive(Default)]
pub(super) struct HashWriter {
    hasher: Sha256,
    size_bytes: u64,
}

impl HashWriter {
    /// The SHA-256 in hex, and how many bytes there were.
    pub(super) fn finish(self) -> (String, u64) {
        (hex::encode(self.hasher.finalize()), self.size_bytes)
    }
}

impl Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.size_bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
