//! A whole profile in one file, for another machine or as a backup.
//!
//! The file is an age file (age-encryption.org/v1), locked with a passphrase or for the owners of
//! age keys. It encrypts, one after the other and all numbers little-endian:
//!
//! - 20 bytes `restpg-edge profile\n`, then the version as a `u32`
//! - the length of the user's name as a `u32`, then the name
//! - the user's root key, 32 bytes
//! - the length of the database as a `u64`, then the database, encrypted with the root key
//!
//! Nothing follows. Whoever can open it has everything, so it is as private as its lock.

mod error;
mod export;
mod import;
#[cfg(test)]
mod round_trip;

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use zeroize::Zeroizing;

use super::User;
use super::keys::{KEY_BYTES, RootKey};

pub use error::BundleError;
pub use export::{BundleLock, Export, Exported};
pub use import::{Bundle, BundleKey, Import, Imported};

const MAGIC: &[u8; 20] = b"restpg-edge profile\n";
const VERSION: u32 = 1;
/// Longer names of users there are none.
const NAME_BYTES_MAX: u32 = 64;
/// Bytes of the database that are copied at once.
const COPY_BYTES: usize = 256 << 10;

/// What stands before the database.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Header {
    user: User,
    key: RootKey,
    database_bytes: u64,
}

/// Why a header or a database does not come out of a bundle.
#[derive(Debug)]
enum Unreadable {
    /// What is wrong with what is read.
    Content(&'static str),
    /// It cannot be read, or what is read fails its authentication.
    Input(io::Error),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Input(error)
    }
}

impl Header {
    fn write(&self, output: &mut impl Write) -> io::Result<()> {
        let name = self.user.as_str().as_bytes();
        output.write_all(MAGIC)?;
        output.write_all(&VERSION.to_le_bytes())?;
        output.write_all(&(name.len() as u32).to_le_bytes())?;
        output.write_all(name)?;
        output.write_all(self.key.as_bytes())?;
        output.write_all(&self.database_bytes.to_le_bytes())
    }

    fn read(input: &mut impl Read) -> Result<Self, Unreadable> {
        let bad = Unreadable::Content;
        let mut magic = [0; MAGIC.len()];
        input.read_exact(&mut magic)?;
        if magic != *MAGIC {
            return Err(bad("is encrypted, but holds no profile"));
        }
        if read_u32(input)? != VERSION {
            return Err(bad("was written by a newer restpg-edge"));
        }
        let name_bytes = read_u32(input)?;
        if name_bytes > NAME_BYTES_MAX {
            return Err(bad("holds a name that is no user's"));
        }
        let mut name = vec![0; name_bytes as usize];
        input.read_exact(&mut name)?;
        let user = std::str::from_utf8(&name).ok().and_then(|name| User::parse(name).ok());
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        input.read_exact(key.as_mut_slice())?;
        let mut database_bytes = [0; 8];
        input.read_exact(&mut database_bytes)?;
        Ok(Self {
            user: user.ok_or(bad("holds a name that is no user's"))?,
            key: RootKey::from_bytes(key.as_slice()).ok_or(bad("holds no key"))?,
            database_bytes: u64::from_le_bytes(database_bytes),
        })
    }
}

fn read_u32(input: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Why a copy ended early.
#[derive(Debug)]
enum Cut {
    Read(io::Error),
    Write(io::Error),
    Interrupted,
}

/// Copies exactly `bytes_total` bytes; tells how many are done and how many there are.
fn copy(
    input: &mut impl Read,
    output: &mut impl Write,
    bytes_total: u64,
    interrupt: &AtomicBool,
    on_progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Cut> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut done = 0;
    while done < bytes_total {
        if interrupt.load(Ordering::Relaxed) {
            return Err(Cut::Interrupted);
        }
        let wanted = buffer.len().min(usize::try_from(bytes_total - done).unwrap_or(usize::MAX));
        let part = &mut buffer[..wanted];
        input.read_exact(part).map_err(Cut::Read)?;
        output.write_all(part).map_err(Cut::Write)?;
        done += wanted as u64;
        on_progress(done, bytes_total);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            user: User::parse("Ævar (git)").unwrap(),
            key: RootKey::random().unwrap(),
            database_bytes: 0x0102_0304_0506,
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let header = header();
        let mut bytes = Vec::new();
        header.write(&mut bytes).unwrap();
        bytes.extend(b"database");
        let mut rest = bytes.as_slice();
        assert_eq!(Header::read(&mut rest).unwrap(), header);
        assert_eq!(rest, b"database");
    }

    #[test]
    fn a_header_that_is_cut_or_wrong_is_refused() {
        let mut bytes = Vec::new();
        header().write(&mut bytes).unwrap();
        for length in 0..bytes.len() {
            let refused = Header::read(&mut &bytes[..length]);
            assert!(matches!(refused, Err(Unreadable::Input(_))), "{length}");
        }
        // Magic, version, length of the name, the name's second byte.
        for (at, byte) in [(0, b'R'), (20, 2), (24, 65), (27, 0xff), (29, b'/')] {
            let mut wrong = bytes.clone();
            wrong[at] = byte;
            let refused = Header::read(&mut wrong.as_slice());
            assert!(matches!(refused, Err(Unreadable::Content(_))), "{at}: {refused:?}");
        }
    }

    #[test]
    fn a_copy_takes_what_was_announced_and_no_more() {
        let never = AtomicBool::new(false);
        let input = vec![7; COPY_BYTES + 10];
        let mut output = Vec::new();
        let mut told = Vec::new();
        let total = COPY_BYTES as u64 + 3;
        let progress = &mut |done: u64, _: u64| told.push(done);
        copy(&mut input.as_slice(), &mut output, total, &never, progress).unwrap();
        assert_eq!(output.len() as u64, total);
        assert_eq!(told, [COPY_BYTES as u64, total]);
        let short = copy(&mut input.as_slice(), &mut output, u64::MAX, &never, &mut |_, _| {});
        assert!(matches!(short, Err(Cut::Read(_))));
        let stop = AtomicBool::new(true);
        let stopped = copy(&mut input.as_slice(), &mut output, 1, &stop, &mut |_, _| {});
        assert!(matches!(stopped, Err(Cut::Interrupted)));
    }
}
