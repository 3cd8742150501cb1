//! Writing GGUF version 3, little-endian: metadata, then tensors at aligned offsets.
//!
//! The same input gives the same bytes, so that the hash of a converted model can be known
//! beforehand.

use std::io::{self, Write};

use super::{Header, ModelFile, TensorInfo, TensorType};

const MAGIC: &[u8; 4] = b"GGUF";
const VERSION: u32 = 3;
const ALIGNMENT: usize = 32;

/// A metadata value of a file to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Metadata {
    /// A 32-bit unsigned integer.
    U32(u32),
    /// A 32-bit float.
    F32(f32),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(String),
    /// An array of texts.
    Texts(Vec<String>),
    /// An array of 32-bit signed integers.
    I32s(Vec<i32>),
}

impl Metadata {
    /// The format's number of the type.
    fn type_number(&self) -> u32 {
        match self {
            Self::U32(_) => 4,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::Text(_) => 8,
            Self::Texts(_) | Self::I32s(_) => 9,
        }
    }
}

/// A tensor of a file to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Sizes in ggml's order: the first dimension is the contiguous one.
    pub dimensions: Vec<u64>,
    /// Its type.
    pub kind: TensorType,
    /// Its encoded elements.
    pub bytes: Vec<u8>,
}

/// Writes a whole file.
///
/// # Errors
/// Those of `out`.
pub fn write(
    out: &mut dyn Write,
    metadata: &[(String, Metadata)],
    tensors: &[Tensor],
) -> io::Result<()> {
    let mut header = Vec::new();
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&(tensors.len() as u64).to_le_bytes());
    header.extend_from_slice(&(metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        push_text(&mut header, key);
        header.extend_from_slice(&value.type_number().to_le_bytes());
        push_value(&mut header, value);
    }
    let mut offset_bytes = 0;
    for tensor in tensors {
        push_text(&mut header, &tensor.name);
        header.extend_from_slice(&(tensor.dimensions.len() as u32).to_le_bytes());
        for dimension in &tensor.dimensions {
            header.extend_from_slice(&dimension.to_le_bytes());
        }
        header.extend_from_slice(&tensor.kind.number().to_le_bytes());
        header.extend_from_slice(&(offset_bytes as u64).to_le_bytes());
        offset_bytes += tensor.bytes.len().next_multiple_of(ALIGNMENT);
    }
    header.resize(header.len().next_multiple_of(ALIGNMENT), 0);
    out.write_all(&header)?;
    for tensor in tensors {
        out.write_all(&tensor.bytes)?;
        let padding = tensor.bytes.len().next_multiple_of(ALIGNMENT) - tensor.bytes.len();
        out.write_all(&[0; ALIGNMENT][..padding])?;
    }
    Ok(())
}

/// Writes a file again with some tensors in other types: `kind_of` says which, `bytes_of` gives the
/// encoded elements of those, and the others stay as they are. Metadata stay as they are.
///
/// # Errors
/// Those of `out` and of `bytes_of`.
pub fn rewrite(
    out: &mut dyn Write,
    file: &ModelFile,
    header: &Header<'_>,
    kind_of: &dyn Fn(&TensorInfo<'_>) -> Option<TensorType>,
    bytes_of: &mut dyn FnMut(&TensorInfo<'_>) -> io::Result<Vec<u8>>,
) -> io::Result<()> {
    let alignment = header.alignment_bytes();
    let size_bytes = |tensor: &TensorInfo<'_>| {
        let (row, rows) = tensor.dimensions.split_first().unwrap_or((&1, &[]));
        let rows: u64 = rows.iter().product();
        let made = |kind: TensorType| kind.size_bytes(*row as usize, rows as usize).unwrap_or(0);
        kind_of(tensor).map_or(tensor.size_bytes, made)
    };
    let mut head = header.beginning().to_vec();
    let mut offset_bytes = 0;
    for tensor in header.tensors() {
        push_text(&mut head, tensor.name);
        head.extend_from_slice(&(tensor.dimensions.len() as u32).to_le_bytes());
        for dimension in &tensor.dimensions {
            head.extend_from_slice(&dimension.to_le_bytes());
        }
        let kind = kind_of(tensor).unwrap_or(tensor.kind);
        head.extend_from_slice(&kind.number().to_le_bytes());
        head.extend_from_slice(&(offset_bytes as u64).to_le_bytes());
        offset_bytes += size_bytes(tensor).next_multiple_of(alignment);
    }
    head.resize(head.len().next_multiple_of(alignment), 0);
    out.write_all(&head)?;
    for tensor in header.tensors() {
        let start = header.data_offset_bytes(tensor);
        let own = &file.bytes()[start..start + tensor.size_bytes];
        let made = kind_of(tensor).map(|_| bytes_of(tensor)).transpose()?;
        let bytes = made.as_deref().unwrap_or(own);
        if bytes.len() != size_bytes(tensor) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        out.write_all(bytes)?;
        out.write_all(&vec![0; bytes.len().next_multiple_of(alignment) - bytes.len()])?;
    }
    Ok(())
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn push_value(out: &mut Vec<u8>, value: &Metadata) {
    match value {
        Metadata::U32(number) => out.extend_from_slice(&number.to_le_bytes()),
        Metadata::F32(number) => out.extend_from_slice(&number.to_le_bytes()),
        Metadata::Bool(truth) => out.push(u8::from(*truth)),
        Metadata::Text(text) => push_text(out, text),
        Metadata::Texts(texts) => {
            push_array(out, 8, texts.len());
            for text in texts {
                push_text(out, text);
            }
        }
        Metadata::I32s(numbers) => {
            push_array(out, 5, numbers.len());
            for number in numbers {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
    }
}

fn push_array(out: &mut Vec<u8>, type_number: u32, length: usize) {
    out.extend_from_slice(&type_number.to_le_bytes());
    out.extend_from_slice(&(length as u64).to_le_bytes());
}
