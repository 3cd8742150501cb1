//! A reading position in the bytes of a header, with every length checked before it is used.

use super::GgufError;

/// Longest metadata key and longest tensor name, in bytes. ggml's names hold 63 and its converter
/// writes keys far below this.
const KEY_BYTES_MAX: usize = 4096;

/// A position in `bytes`; reading past the end is an error that names the place.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'map> {
    bytes: &'map [u8],
    offset: usize,
}

impl<'map> Cursor<'map> {
    pub(super) fn new(bytes: &'map [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn malformed(&self, what: impl Into<String>) -> GgufError {
        GgufError::Malformed { offset: self.offset, what: what.into() }
    }

    pub(super) fn take(&mut self, length: usize, what: &str) -> Result<&'map [u8], GgufError> {
        let end = self.offset.checked_add(length);
        let slice = end.and_then(|end| self.bytes.get(self.offset..end));
        let Some(slice) = slice else {
            let left = self.bytes.len() - self.offset;
            return Err(self.malformed(format!(
                "{what} needs {length} bytes, but only {left} are left in the file"
            )));
        };
        self.offset += length;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], GgufError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, GgufError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, GgufError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A 64-bit count or length that must fit the machine.
    pub(super) fn length(&mut self, what: &str) -> Result<usize, GgufError> {
        let length = self.u64(what)?;
        usize::try_from(length).map_err(|_| self.malformed(format!("{what} is {length}")))
    }

    /// A length-prefixed byte string; the encoding of values is the reader's affair.
    pub(super) fn string(&mut self, what: &str) -> Result<&'map [u8], GgufError> {
        let length = self.length(what)?;
        self.take(length, what)
    }

    /// A metadata key or tensor name: short, printable ASCII, not empty.
    pub(super) fn name(&mut self, what: &str) -> Result<&'map str, GgufError> {
        let at = self.clone();
        let length = self.length(what)?;
        if length == 0 || length > KEY_BYTES_MAX {
            return Err(at.malformed(format!("{what} has a length of {length} bytes")));
        }
        let bytes = self.take(length, what)?;
        match std::str::from_utf8(bytes) {
            Ok(name) if bytes.iter().all(u8::is_ascii_graphic) => Ok(name),
            _ => Err(at.malformed(format!("{what} is not printable ASCII"))),
        }
    }
}
