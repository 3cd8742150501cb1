//! A model with an adapter in its weights, for programs that take no adapters: W + s B A.
//!
//! The matrices that change become 16-bit floats, so that little of what was fitted is rounded away;
//! everything else stays as it is in the file.

use std::collections::HashMap;
use std::io::{self, Write};

use super::{Adapter, Pair};
use crate::ggml;
use crate::gguf::{self, CheckedModel, ModelFile, TensorInfo, TensorType};

/// Writes the model to `out`.
///
/// # Errors
/// Those of `out`.
pub fn merge(
    out: &mut dyn Write,
    file: &ModelFile,
    model: &CheckedModel<'_>,
    adapter: &Adapter,
) -> io::Result<()> {
    let pairs: HashMap<String, &Pair> = adapter
        .pairs
        .iter()
        .map(|pair| (format!("blk.{}.{}.weight", pair.block, pair.projection.gguf_name()), pair))
        .collect();
    let kind_of =
        |tensor: &TensorInfo<'_>| pairs.contains_key(tensor.name).then_some(TensorType::F16);
    let mut bytes_of = |tensor: &TensorInfo<'_>| {
        let pair = pairs.get(tensor.name).ok_or(io::ErrorKind::InvalidData)?;
        let start = model.header.data_offset_bytes(tensor);
        let encoded = &file.bytes()[start..start + tensor.size_bytes];
        let mut values = vec![0.0; pair.n_in * pair.n_out];
        ggml::decode(tensor.kind, encoded, &mut values).map_err(io::Error::other)?;
        add(&mut values, adapter, pair);
        gguf::encode(&values, pair.n_in, TensorType::F16)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    };
    gguf::rewrite(out, file, &model.header, &kind_of, &mut bytes_of)
}

/// Adds s B A to the rows of W, which have `n_in` values each.
fn add(values: &mut [f32], adapter: &Adapter, pair: &Pair) {
    let rank = adapter.config.rank;
    let scale = adapter.config.scale();
    let (a, b) = (&adapter.values[pair.a.clone()], &adapter.values[pair.b.clone()]);
    for (row, b) in values.chunks_exact_mut(pair.n_in).zip(b.chunks_exact(rank)) {
        for (a, weight) in a.chunks_exact(pair.n_in).zip(b) {
            let weight = weight * scale;
            row.iter_mut().zip(a).for_each(|(value, a)| *value += weight * a);
        }
    }
}
