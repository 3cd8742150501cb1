//! Weights from 32-bit floats into the types that a converted model has.

use half::f16;

use super::TensorType;

/// Elements of a Q8_0 block, which share one scale.
pub const Q8_0_ELEMENTS: usize = 32;
const Q8_MAX: f32 = 127.0;

/// Encodes `values` as `kind`; `None` where that type cannot be made here, or rows of
/// `row_elements` are no whole number of its blocks.
#[must_use]
pub fn encode(values: &[f32], row_elements: usize, kind: TensorType) -> Option<Vec<u8>> {
    match kind {
        TensorType::F32 => Some(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        TensorType::F16 => {
            Some(values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect())
        }
        TensorType::Q8_0 if row_elements.is_multiple_of(Q8_0_ELEMENTS) => {
            Some(values.chunks_exact(Q8_0_ELEMENTS).flat_map(q8_0_block).collect())
        }
        _ => None,
    }
}

/// As ggml's `quantize_row_q8_0_ref`: the scale as a 16-bit float, then a byte per element.
fn q8_0_block(values: &[f32]) -> Vec<u8> {
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = largest / Q8_MAX;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut block = Vec::with_capacity(2 + values.len());
    block.extend_from_slice(&f16::from_f32(scale).to_le_bytes());
    // Within ±127 by construction.
    block.extend(values.iter().map(|value| (value * inverse).round() as i8 as u8));
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q8_0_is_within_half_a_step() {
        let values: Vec<f32> = (0..64).map(|i| ((i * 37 % 64) as f32 - 31.5) / 7.0).collect();
        let bytes = encode(&values, 64, TensorType::Q8_0).unwrap();
        assert_eq!(bytes.len(), 2 * 34);
        for (block, values) in bytes.chunks(34).zip(values.chunks(32)) {
            let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
            for (&byte, value) in block[2..].iter().zip(values) {
                let restored = f32::from(byte as i8) * scale;
                assert!((restored - value).abs() <= scale * 0.51, "{restored} {value}");
            }
        }
    }

    #[test]
    fn rows_that_are_no_whole_blocks_are_refused() {
        assert!(encode(&[0.0; 33], 33, TensorType::Q8_0).is_none());
        assert!(encode(&[0.0; 256], 256, TensorType::Q4_K).is_none());
        assert_eq!(encode(&[1.0], 1, TensorType::F16).unwrap(), [0x00, 0x3c]);
    }
}
