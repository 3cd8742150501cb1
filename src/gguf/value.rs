//! Metadata values: scalars, strings, and arrays that stay in the map until they are read.

use super::GgufError;
use super::cursor::Cursor;

/// Most elements an array may have; the largest vocabularies have well under a million.
const ARRAY_LENGTH_MAX: usize = 1 << 24;

/// A metadata value. Strings are bytes: token texts need not be UTF-8.
#[derive(Debug, Clone)]
pub enum Value<'map> {
    /// Any unsigned integer type.
    Unsigned(u64),
    /// Any signed integer type.
    Signed(i64),
    /// A 32-bit float.
    F32(f32),
    /// A 64-bit float.
    F64(f64),
    /// A boolean.
    Bool(bool),
    /// A byte string.
    String(&'map [u8]),
    /// An array of scalars or strings.
    Array(Array<'map>),
}

/// The format's numbers for value types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// 8-bit unsigned.
    U8,
    /// 8-bit signed.
    I8,
    /// 16-bit unsigned.
    U16,
    /// 16-bit signed.
    I16,
    /// 32-bit unsigned.
    U32,
    /// 32-bit signed.
    I32,
    /// 32-bit float.
    F32,
    /// One byte, 0 or 1.
    Bool,
    /// Length-prefixed bytes.
    String,
    /// Type, length, elements.
    Array,
    /// 64-bit unsigned.
    U64,
    /// 64-bit signed.
    I64,
    /// 64-bit float.
    F64,
}

impl ValueType {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, GgufError> {
        let at = cursor.clone();
        Ok(match cursor.u32("a value type")? {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::String,
            9 => Self::Array,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            other => return Err(at.malformed(format!("{other} is no value type"))),
        })
    }

    /// Size of one element in bytes, for the types that have a fixed one.
    fn size_bytes(self) -> Option<usize> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::String | Self::Array => None,
        }
    }
}

/// The elements of an array, still encoded; their bounds have been checked.
#[derive(Debug, Clone)]
pub struct Array<'map> {
    kind: ValueType,
    length: usize,
    bytes: &'map [u8],
}

impl<'map> Array<'map> {
    /// The elements' type.
    #[must_use]
    pub fn kind(&self) -> ValueType {
        self.kind
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'map>> + use<'map> {
        let (kind, mut cursor) = (self.kind, Cursor::new(self.bytes));
        // The bounds of every element were checked when the array was read.
        (0..self.length).map_while(move |_| read_scalar(kind, &mut cursor).ok())
    }

    /// The elements of a string array; empty for other types.
    pub fn strings(&self) -> impl Iterator<Item = &'map [u8]> + use<'map> {
        self.iter().filter_map(|value| match value {
            Value::String(bytes) => Some(bytes),
            _ => None,
        })
    }

    fn read(cursor: &mut Cursor<'map>) -> Result<Self, GgufError> {
        let kind = ValueType::read(cursor)?;
        if kind == ValueType::Array {
            return Err(cursor.malformed("arrays of arrays are not supported"));
        }
        let length = cursor.length("an array's length")?;
        if length > ARRAY_LENGTH_MAX {
            return Err(cursor.malformed(format!("an array of {length} elements")));
        }
        let start = cursor.clone();
        if let Some(size) = kind.size_bytes() {
            // At most 2^24 elements of 8 bytes: no overflow.
            cursor.take(length * size, "an array")?;
        } else {
            for _ in 0..length {
                cursor.string("a string of an array")?;
            }
        }
        let bytes = start.clone().take(cursor.offset() - start.offset(), "an array")?;
        let array = Self { kind, length, bytes };
        if kind == ValueType::Bool && array.bytes.iter().any(|&byte| byte > 1) {
            return Err(start.malformed("a boolean that is neither 0 nor 1"));
        }
        Ok(array)
    }
}

impl<'map> Value<'map> {
    pub(super) fn read(cursor: &mut Cursor<'map>) -> Result<Self, GgufError> {
        match ValueType::read(cursor)? {
            ValueType::Array => Array::read(cursor).map(Self::Array),
            kind => read_scalar(kind, cursor),
        }
    }

    /// The value as people read it; long arrays are summarised by their length.
    #[must_use]
    pub fn display(&self) -> String {
        match self {
            Self::Unsigned(value) => value.to_string(),
            Self::Signed(value) => value.to_string(),
            Self::F32(value) => value.to_string(),
            Self::F64(value) => value.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::String(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Array(array) if array.len() <= 8 => {
                let items: Vec<String> = array.iter().map(|item| item.display()).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Array(array) => format!("[{} values]", array.len()),
        }
    }
}

fn read_scalar<'map>(kind: ValueType, cursor: &mut Cursor<'map>) -> Result<Value<'map>, GgufError> {
    let what = "a value";
    if kind == ValueType::String {
        return cursor.string(what).map(Value::String);
    }
    let at = cursor.clone();
    let size = kind.size_bytes().unwrap_or(0);
    let mut raw = [0_u8; 8];
    raw[..size].copy_from_slice(cursor.take(size, what)?);
    let unsigned = u64::from_le_bytes(raw);
    let low = unsigned as u32;
    Ok(match kind {
        ValueType::U8 | ValueType::U16 | ValueType::U32 | ValueType::U64 => {
            Value::Unsigned(unsigned)
        }
        ValueType::I8 => Value::Signed(i64::from(low as u8 as i8)),
        ValueType::I16 => Value::Signed(i64::from(low as u16 as i16)),
        ValueType::I32 => Value::Signed(i64::from(low as i32)),
        ValueType::I64 => Value::Signed(unsigned as i64),
        ValueType::F32 => Value::F32(f32::from_bits(low)),
        ValueType::F64 => Value::F64(f64::from_bits(unsigned)),
        ValueType::Bool if unsigned <= 1 => Value::Bool(unsigned == 1),
        ValueType::Bool => return Err(at.malformed("a boolean that is neither 0 nor 1")),
        ValueType::String | ValueType::Array => {
            return Err(at.malformed("an array inside an array"));
        }
    })
}
