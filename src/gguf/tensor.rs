//! The tensor directory: name, shape, type, place and size of each tensor.

use super::GgufError;
use super::cursor::Cursor;

const DIMENSIONS_MAX: u32 = 4;
/// ggml stores tensor names in 64 bytes, the terminator included.
const NAME_BYTES_MAX: usize = 63;

/// Weight types that ggml multiplies and looks rows up in; integer types are refused, since
/// llama.cpp would abort on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(non_camel_case_types, missing_docs)]
pub enum TensorType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ2_XXS,
    IQ2_XS,
    IQ2_S,
    IQ3_XXS,
    IQ3_S,
    IQ1_S,
    IQ1_M,
    IQ4_NL,
    IQ4_XS,
}

impl TensorType {
    /// From the format's number.
    fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2_K,
            11 => Self::Q3_K,
            12 => Self::Q4_K,
            13 => Self::Q5_K,
            14 => Self::Q6_K,
            16 => Self::IQ2_XXS,
            17 => Self::IQ2_XS,
            18 => Self::IQ3_XXS,
            19 => Self::IQ1_S,
            20 => Self::IQ4_NL,
            21 => Self::IQ3_S,
            22 => Self::IQ2_S,
            23 => Self::IQ4_XS,
            29 => Self::IQ1_M,
            30 => Self::BF16,
            _ => return None,
        })
    }

    /// The format's number.
    #[must_use]
    pub fn number(self) -> u32 {
        (0..).find(|&number| Self::from_number(number) == Some(self)).unwrap_or_default()
    }

    /// Elements of one block: rows are whole numbers of it.
    #[must_use]
    pub fn block_elements(self) -> usize {
        self.block().0
    }

    /// Elements and bytes of one block.
    fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::Q4_0 | Self::IQ4_NL => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q2_K => (256, 84),
            Self::Q3_K | Self::IQ3_S => (256, 110),
            Self::Q4_K => (256, 144),
            Self::Q5_K => (256, 176),
            Self::Q6_K => (256, 210),
            Self::IQ2_XXS => (256, 66),
            Self::IQ2_XS => (256, 74),
            Self::IQ2_S => (256, 82),
            Self::IQ3_XXS => (256, 98),
            Self::IQ1_S => (256, 50),
            Self::IQ1_M => (256, 56),
            Self::IQ4_XS => (256, 136),
        }
    }

    /// Bytes that rows of `row` elements take, `rows` of them; `None` where a row is no whole
    /// number of blocks or the size overflows.
    pub(super) fn size_bytes(self, row: usize, rows: usize) -> Option<usize> {
        let (elements, bytes) = self.block();
        if !row.is_multiple_of(elements) {
            return None;
        }
        (row / elements).checked_mul(bytes)?.checked_mul(rows)
    }
}

/// One entry of the tensor directory.
#[derive(Debug, Clone)]
pub struct TensorInfo<'map> {
    /// Name, for example `blk.0.attn_q.weight`.
    pub name: &'map str,
    /// Sizes in ggml's order: the first dimension is the contiguous one.
    pub dimensions: Vec<u64>,
    /// Weight type.
    pub kind: TensorType,
    /// Offset from the start of the data section.
    pub offset_bytes: u64,
    /// Size of the data.
    pub size_bytes: usize,
}

impl<'map> TensorInfo<'map> {
    pub(super) fn read(cursor: &mut Cursor<'map>) -> Result<Self, GgufError> {
        let name = cursor.name("a tensor name")?;
        if name.len() > NAME_BYTES_MAX {
            return Err(GgufError::tensor(
                name,
                format!("the name is longer than {NAME_BYTES_MAX} bytes"),
            ));
        }
        let n_dimensions = cursor.u32("the number of dimensions")?;
        if !(1..=DIMENSIONS_MAX).contains(&n_dimensions) {
            return Err(GgufError::tensor(name, format!("has {n_dimensions} dimensions")));
        }
        let mut dimensions = Vec::new();
        for _ in 0..n_dimensions {
            dimensions.push(cursor.u64("a dimension")?);
        }
        let number = cursor.u32("a tensor type")?;
        let kind = TensorType::from_number(number).ok_or_else(|| {
            GgufError::tensor(name, format!("type {number} is not a supported weight type"))
        })?;
        let size_bytes = size_bytes(name, &dimensions, kind)?;
        Ok(Self {
            name,
            dimensions,
            kind,
            offset_bytes: cursor.u64("a tensor offset")?,
            size_bytes,
        })
    }
}

fn size_bytes(name: &str, dimensions: &[u64], kind: TensorType) -> Result<usize, GgufError> {
    if dimensions.contains(&0) {
        return Err(GgufError::tensor(name, "a dimension is 0"));
    }
    let mut sizes = dimensions.iter().map(|&size| usize::try_from(size).ok());
    let row = sizes.next().flatten();
    let rows = sizes.try_fold(1_usize, |rows, size| rows.checked_mul(size?));
    let bytes = row.zip(rows).and_then(|(row, rows)| {
        row.checked_mul(rows)?;
        kind.size_bytes(row, rows)
    });
    // ggml counts in signed 64-bit integers.
    bytes.filter(|&bytes| i64::try_from(bytes).is_ok()).ok_or_else(|| {
        GgufError::tensor(name, format!("{dimensions:?} is no valid shape for {kind:?}"))
    })
}
