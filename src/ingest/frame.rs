//! What the program and its reader say to each other: frames over two pipes.
//!
//! A frame is its length in bytes (u32, little-endian) and that many bytes. The program sends two
//! for each source: the order as JSON, and the file's path or the bytes themselves. The reader
//! answers with any number of parts and of signs of progress, and one last frame. Neither side
//! takes room for a length that the other only claims.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Kind;
use super::parsed::{Options, Parsed};

/// No frame is longer; it is more than a reader may use memory for.
const FRAME_BYTES_MAX: u32 = 512 << 20;
const LENGTH_BYTES: usize = 4;

/// What is to be found out about a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Task {
    /// Its documents.
    Documents,
    /// Who sent the first messages in it.
    Senders,
}

/// What a reader is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order<'a> {
    pub(super) task: Task,
    pub(super) kind: Kind,
    /// Whether the frame that follows is a path; else it is the content itself.
    pub(super) is_path: bool,
    pub(super) file_bytes_max: u64,
    pub(super) options: Cow<'a, Options>,
}

/// Where the bytes of a source come from.
#[derive(Debug, Clone)]
pub(super) enum Content {
    File(PathBuf),
    Bytes(Arc<Vec<u8>>),
}

impl Content {
    /// As the frame that follows the order.
    pub(super) fn to_frame(&self) -> io::Result<Arc<Vec<u8>>> {
        match self {
            Self::Bytes(bytes) => Ok(Arc::clone(bytes)),
            Self::File(path) => path_to_bytes(path).map(Arc::new),
        }
    }

    /// Out of the frame that followed an order.
    pub(super) fn from_frame(is_path: bool, bytes: Vec<u8>) -> io::Result<Self> {
        if is_path {
            path_from_bytes(bytes).map(Self::File)
        } else {
            Ok(Self::Bytes(Arc::new(bytes)))
        }
    }
}

#[cfg(unix)]
fn path_to_bytes(path: &std::path::Path) -> io::Result<Vec<u8>> {
    Ok(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec())
}

#[cfg(unix)]
fn path_from_bytes(bytes: Vec<u8>) -> io::Result<PathBuf> {
    let path: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(bytes);
    Ok(path.into())
}

#[cfg(not(unix))]
fn path_to_bytes(path: &std::path::Path) -> io::Result<Vec<u8>> {
    let text = path.to_str().ok_or_else(|| io::Error::other("the path is not Unicode"))?;
    Ok(text.as_bytes().to_vec())
}

#[cfg(not(unix))]
fn path_from_bytes(bytes: Vec<u8>) -> io::Result<PathBuf> {
    String::from_utf8(bytes).map(PathBuf::from).map_err(io::Error::other)
}

/// What a reader found out about a source.
#[derive(Debug)]
pub(super) enum Reading {
    Documents(Parsed),
    /// It is of none of our kinds after all.
    OtherKind,
    Senders(Vec<String>),
}

/// A frame of a reader's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// It is still at it.
    Progress,
    /// Some of the documents and problems; more may follow.
    Part(Parsed),
    /// There are no more parts.
    Done,
    /// The whole answer: it is of none of our kinds.
    OtherKind,
    /// The whole answer.
    Senders(Vec<String>),
}

/// Writes one frame.
pub(super) fn write(output: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).ok().filter(|length| *length <= FRAME_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    output.write_all(&length.to_le_bytes())?;
    output.write_all(payload)?;
    output.flush()
}

/// Reads one frame; `None` where the other side has ended between two.
pub(super) fn read(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = Vec::with_capacity(LENGTH_BYTES);
    input.by_ref().take(LENGTH_BYTES as u64).read_to_end(&mut length)?;
    let length = match <[u8; LENGTH_BYTES]>::try_from(length.as_slice()) {
        Ok(bytes) => u32::from_le_bytes(bytes),
        Err(_) if length.is_empty() => return Ok(None),
        Err(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
    };
    if length > FRAME_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut payload = Vec::new();
    // Room is taken as the bytes come, not for what the length claims.
    let read = input.by_ref().take(length.into()).read_to_end(&mut payload)?;
    if read < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(payload))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in() {
        let mut pipe = Vec::new();
        for payload in [&b"first"[..], b"", b"second"] {
            write(&mut pipe, payload).unwrap();
        }
        let mut input = pipe.as_slice();
        assert_eq!(read(&mut input).unwrap().unwrap(), b"first");
        assert_eq!(read(&mut input).unwrap().unwrap(), b"");
        assert_eq!(read(&mut input).unwrap().unwrap(), b"second");
        assert!(read(&mut input).unwrap().is_none());
    }

    #[test]
    fn a_length_that_is_only_claimed_costs_nothing() {
        let claimed = |length: u32| length.to_le_bytes().to_vec();
        for claim in [claimed(u32::MAX), claimed(400 << 20), vec![1]] {
            assert!(read(&mut claim.as_slice()).is_err());
        }
    }

    #[test]
    fn a_path_arrives_whatever_its_bytes() {
        let path = Path::new("/a b/é\n");
        let frame = Content::File(path.to_owned()).to_frame().unwrap();
        let Content::File(back) = Content::from_frame(true, frame.to_vec()).unwrap() else {
            panic!("a path became something else");
        };
        assert_eq!(back, path);
    }

    #[test]
    fn orders_and_replies_survive_the_way() {
        let options = Options { person: Some("Ann".into()), ..Options::default() };
        let order = Order {
            task: Task::Documents,
            kind: Kind::Mbox,
            is_path: true,
            file_bytes_max: 7,
            options: Cow::Owned(options.clone()),
        };
        let bytes = serde_json::to_vec(&order).unwrap();
        let back: Order<'static> = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((back.task, back.kind, back.is_path), (order.task, order.kind, true));
        assert_eq!(*back.options, options);
    }
}
