//! The header of a GGUF file: version, metadata and tensor directory.

use std::collections::HashSet;

use super::GgufError;
use super::cursor::Cursor;
use super::tensor::TensorInfo;
use super::value::{Array, Value};

const MAGIC: &[u8] = b"GGUF";
/// `general.alignment` where the file does not say, and the least that ggml maps.
const ALIGNMENT_BYTES: usize = 32;
const ALIGNMENT_BYTES_MAX: u64 = 1 << 16;
/// Bounds on the directory; the largest models have some thousands of each.
const KEYS_MAX: usize = 1 << 12;
const TENSORS_MAX: usize = 1 << 16;

/// The parsed header. Names, strings and arrays point into the map.
#[derive(Debug)]
pub struct Header<'map> {
    metadata: Vec<(&'map str, Value<'map>)>,
    tensors: Vec<TensorInfo<'map>>,
    /// Version, counts and metadata as they lie in the file.
    beginning: &'map [u8],
    alignment_bytes: usize,
    data_start: usize,
}

impl<'map> Header<'map> {
    /// Parses the header at the start of `bytes` (the whole file) and checks that every tensor's
    /// data lies inside the file and overlaps no other's.
    ///
    /// # Errors
    /// [`GgufError::Malformed`] with the byte offset, or [`GgufError::Key`] and
    /// [`GgufError::Tensor`] with the name.
    pub fn parse(bytes: &'map [u8]) -> Result<Self, GgufError> {
        let mut cursor = Cursor::new(bytes);
        check_version(&mut cursor)?;
        let n_tensors = read_count(&mut cursor, "the number of tensors", TENSORS_MAX)?;
        let n_keys = read_count(&mut cursor, "the number of keys", KEYS_MAX)?;

        let metadata = read_metadata(&mut cursor, n_keys)?;
        let beginning = &bytes[..cursor.offset()];
        let (tensors, alignment_bytes, data_start) = (Vec::new(), ALIGNMENT_BYTES, 0);
        let mut header = Self { metadata, tensors, beginning, alignment_bytes, data_start };
        let alignment = header.alignment()?;
        header.alignment_bytes = alignment;
        for _ in 0..n_tensors {
            header.tensors.push(TensorInfo::read(&mut cursor)?);
        }
        let data_start = cursor.offset().next_multiple_of(alignment);
        check_layout(&header.tensors, alignment, data_start, bytes.len())?;
        header.data_start = data_start;
        Ok(header)
    }

    /// All keys in file order.
    #[must_use]
    pub fn metadata(&self) -> &[(&'map str, Value<'map>)] {
        &self.metadata
    }

    /// All tensors in file order.
    #[must_use]
    pub fn tensors(&self) -> &[TensorInfo<'map>] {
        &self.tensors
    }

    /// Where the data of `tensor` begins in the file; it lies within it.
    #[must_use]
    pub fn data_offset_bytes(&self, tensor: &TensorInfo<'_>) -> usize {
        self.data_start + tensor.offset_bytes as usize
    }

    /// Version, counts and metadata as they lie in the file.
    #[must_use]
    pub(super) fn beginning(&self) -> &'map [u8] {
        self.beginning
    }

    /// What tensors are aligned to.
    #[must_use]
    pub(super) fn alignment_bytes(&self) -> usize {
        self.alignment_bytes
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value<'map>> {
        let entry = self.metadata.iter().find(|(name, _)| *name == key);
        entry.map(|(_, value)| value)
    }

    /// The text of `key`, where it is a UTF-8 string.
    ///
    /// # Errors
    /// [`GgufError::Key`] where it is anything else.
    pub fn text(&self, key: &str) -> Result<Option<&'map str>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) if !text.contains('\0') => Ok(Some(text)),
                _ => Err(GgufError::key(key, "is not UTF-8 text")),
            },
            Some(_) => Err(GgufError::key(key, "is not a string")),
        }
    }

    /// The number at `key`, where it is a non-negative integer.
    ///
    /// # Errors
    /// [`GgufError::Key`] where it is anything else.
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Unsigned(value)) => Ok(Some(*value)),
            Some(other) => {
                Err(GgufError::key(key, format!("is {}, not an unsigned integer", other.display())))
            }
        }
    }

    /// The number at `key`, where it is a 32-bit float.
    ///
    /// # Errors
    /// [`GgufError::Key`] where it is anything else.
    pub fn float(&self, key: &str) -> Result<Option<f32>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::F32(value)) => Ok(Some(*value)),
            Some(_) => Err(GgufError::key(key, "is not a 32-bit float")),
        }
    }

    /// The array at `key`.
    ///
    /// # Errors
    /// [`GgufError::Key`] where it is anything else.
    pub fn array(&self, key: &str) -> Result<Option<&Array<'map>>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(array)) => Ok(Some(array)),
            Some(_) => Err(GgufError::key(key, "is not an array")),
        }
    }

    fn alignment(&self) -> Result<usize, GgufError> {
        let key = "general.alignment";
        match self.unsigned(key)? {
            None => Ok(ALIGNMENT_BYTES),
            Some(value)
                if value.is_power_of_two()
                    && (ALIGNMENT_BYTES as u64..=ALIGNMENT_BYTES_MAX).contains(&value) =>
            {
                Ok(value as usize)
            }
            Some(value) => Err(GgufError::key(
                key,
                format!(
                    "is {value}; it must be a power of two from {ALIGNMENT_BYTES} to \
                     {ALIGNMENT_BYTES_MAX}"
                ),
            )),
        }
    }
}

fn check_version(cursor: &mut Cursor<'_>) -> Result<(), GgufError> {
    let start = cursor.clone();
    if cursor.take(4, "the magic number")? != MAGIC {
        return Err(start.malformed("the file does not begin with \"GGUF\""));
    }
    let at = cursor.clone();
    match cursor.u32("the version")? {
        2 | 3 => Ok(()),
        version if matches!(version.swap_bytes(), 1..=3) => {
            Err(at.malformed("the file is big-endian; only little-endian files are supported"))
        }
        version => Err(at.malformed(format!("version {version} is not supported (2 and 3 are)"))),
    }
}

fn read_count(cursor: &mut Cursor<'_>, what: &str, max: usize) -> Result<usize, GgufError> {
    let at = cursor.clone();
    let count = cursor.length(what)?;
    if count > max {
        return Err(at.malformed(format!("{what} is {count}; at most {max} are supported")));
    }
    Ok(count)
}

fn read_metadata<'map>(
    cursor: &mut Cursor<'map>,
    n_keys: usize,
) -> Result<Vec<(&'map str, Value<'map>)>, GgufError> {
    let mut metadata = Vec::with_capacity(n_keys);
    let mut seen = HashSet::new();
    for _ in 0..n_keys {
        let key = cursor.name("a key")?;
        if !seen.insert(key) {
            return Err(GgufError::key(key, "appears twice"));
        }
        metadata.push((key, Value::read(cursor)?));
    }
    Ok(metadata)
}

/// ggml lays tensors out one after the other, each padded to the alignment; the checks here ask
/// for what matters: aligned, inside the file, no overlap, no name twice.
fn check_layout(
    tensors: &[TensorInfo<'_>],
    alignment: usize,
    data_start: usize,
    file_bytes: usize,
) -> Result<(), GgufError> {
    let mut seen = HashSet::new();
    let mut next_offset = 0_usize;
    for tensor in tensors {
        let fail = |what: String| Err(GgufError::tensor(tensor.name, what));
        if !seen.insert(tensor.name) {
            return fail("appears twice".into());
        }
        // ggml's reader wants each tensor exactly where the one before it ends, padded.
        if tensor.offset_bytes != next_offset as u64 {
            let found = tensor.offset_bytes;
            return fail(format!("lies at offset {found}, expected {next_offset}"));
        }
        let end = next_offset.checked_add(tensor.size_bytes);
        let absolute = end.and_then(|end| end.checked_add(data_start));
        let (Some(end), Some(absolute)) = (end, absolute) else {
            return fail("its end overflows".into());
        };
        if absolute > file_bytes {
            return fail(format!(
                "its data ends at byte {absolute}, but the file has {file_bytes}"
            ));
        }
        next_offset = match end.checked_next_multiple_of(alignment) {
            Some(offset) => offset,
            None => return fail("its end overflows".into()),
        };
    }
    Ok(())
}
