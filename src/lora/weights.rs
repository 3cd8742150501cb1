//! The frozen weights: where the map has them, or as copies.
//!
//! The gradient through y = W x is W transposed times that of y. On the processor one matrix
//! serves both ([`Graph::product`](crate::ggml::Graph::product)); elsewhere ggml multiplies fast
//! only what lies in rows, and there is a transposed copy of each.

use std::collections::HashMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{LoraError, Projection};
use crate::ggml::{Arena, Backend, GgmlError, Kind, Shape, Tensor, decode, encode};
use crate::gguf::{CheckedModel, ModelFile, TensorInfo, TensorType};

/// How training holds the frozen matrices of the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum WeightType {
    /// Where the map has them, decoded into 32 bits whenever a block is computed: exact, and no
    /// memory but one block's. Weights are few compared with rows times width.
    Mapped,
    /// Decoded into 32 bits once.
    F32,
    /// In 16 bits, upright and transposed: for ggml's own kernels, which graphics cards are best at.
    F16,
    /// As F16, in half the memory; activations are rounded to eight bits.
    #[value(name = "q8_0")]
    #[serde(rename = "q8_0")]
    Q8_0,
}

impl WeightType {
    /// The best for a device: exact products on the processor, ggml's kernels elsewhere.
    #[must_use]
    pub fn for_backend(backend: &Backend) -> Self {
        if backend.is_cpu() { Self::Mapped } else { Self::F16 }
    }

    /// The type of a copy whose rows have `row` elements: what does not fit blocks is kept in 16
    /// bits.
    fn copied(self, row: usize) -> TensorType {
        match self {
            Self::Mapped | Self::F32 => TensorType::F32,
            Self::Q8_0 if row.is_multiple_of(TensorType::Q8_0.block_elements()) => TensorType::Q8_0,
            Self::F16 | Self::Q8_0 => TensorType::F16,
        }
    }
}

/// A frozen matrix and what is added after it.
#[derive(Clone, Copy)]
pub struct Frozen<'t> {
    /// `[n_in, n_out]`.
    pub weight: Tensor<'t>,
    /// [n_out, n_in], where one is kept.
    pub transposed: Option<Tensor<'t>>,
    /// `[n_out]`.
    pub bias: Option<Tensor<'t>>,
}

/// Everything frozen of a model.
#[derive(Debug)]
pub struct Weights<'b> {
    /// What the map, or a copy on the device, has.
    plain: Arena<'b>,
    plain_at: HashMap<String, usize>,
    /// Copies of matrices, upright and, where `has_transposed`, transposed.
    copies: Arena<'b>,
    copies_at: HashMap<String, usize>,
    has_transposed: bool,
    output: &'static str,
}

impl<'b> Weights<'b> {
    /// Holds the weights of a checked model as `kind` says. Its output is always copied: it is
    /// used for every few rows.
    ///
    /// # Errors
    /// [`LoraError::Ggml`] where there is no memory for it.
    pub fn load(
        backend: &'b Backend,
        file: &'b ModelFile,
        model: &CheckedModel<'_>,
        kind: WeightType,
    ) -> Result<Self, LoraError> {
        let copied = copied(model, kind);
        let is_plain = |tensor: &&TensorInfo<'_>| {
            let is_copied = copied.iter().any(|other| other.name == tensor.name);
            !is_copied || tensor.name == EMBEDDING
        };
        let plain: Vec<&TensorInfo<'_>> = model.header.tensors().iter().filter(is_plain).collect();
        let plain_arena = load_plain(backend, file, model, &plain)?;
        let has_transposed = has_transposed(backend.is_cpu(), kind);
        let copies = Arena::new(backend, &copy_shapes(&copied, kind, has_transposed))?;
        let each = if has_transposed { 2 } else { 1 };
        for (index, tensor) in copied.iter().enumerate() {
            let data = data_of(file, model, tensor);
            let transposed = has_transposed.then(|| copies.at(each * index + 1));
            copy_matrix(tensor, data, kind, copies.at(each * index), transposed)?;
        }
        let at = |tensors: &[&TensorInfo<'_>], each: usize| {
            let names = tensors.iter().enumerate();
            names.map(|(index, tensor)| (tensor.name.to_owned(), each * index)).collect()
        };
        Ok(Self {
            plain_at: at(&plain, 1),
            copies_at: at(&copied, each),
            plain: plain_arena,
            copies,
            has_transposed,
            output: output_name(model),
        })
    }

    /// A vector or the embedding, where the model has it.
    #[must_use]
    pub fn plain(&self, name: &str) -> Option<Tensor<'_>> {
        self.plain_at.get(name).map(|&index| self.plain.at(index))
    }

    /// A vector that every model has.
    ///
    /// # Errors
    /// [`LoraError::Model`].
    pub fn required(&self, name: &str) -> Result<Tensor<'_>, LoraError> {
        self.plain(name).ok_or_else(|| LoraError::Model { what: format!("{name} is missing") })
    }

    /// The embedding, [n_embd, n_vocab].
    ///
    /// # Errors
    /// [`LoraError::Model`].
    pub fn embedding(&self) -> Result<Tensor<'_>, LoraError> {
        self.required(EMBEDDING)
    }

    /// What turns the stream into logits: the model's own output, or its embedding.
    ///
    /// # Errors
    /// [`LoraError::Model`].
    pub fn output(&self) -> Result<Frozen<'_>, LoraError> {
        self.matrix(self.output, "output.bias")
    }

    /// A matrix of block `block`.
    ///
    /// # Errors
    /// [`LoraError::Model`].
    pub fn projection(
        &self,
        block: usize,
        projection: Projection,
    ) -> Result<Frozen<'_>, LoraError> {
        let name = format!("blk.{block}.{}", projection.gguf_name());
        self.matrix(&format!("{name}.weight"), &format!("{name}.bias"))
    }

    fn matrix(&self, name: &str, bias: &str) -> Result<Frozen<'_>, LoraError> {
        let bias = self.plain(bias);
        let Some(&index) = self.copies_at.get(name) else {
            return Ok(Frozen { weight: self.required(name)?, transposed: None, bias });
        };
        let transposed = self.has_transposed.then(|| self.copies.at(index + 1));
        Ok(Frozen { weight: self.copies.at(index), transposed, bias })
    }
}

const EMBEDDING: &str = "token_embd.weight";
const OUTPUT: &str = "output.weight";

/// The matrix that makes logits: the embedding, where there is none of its own.
fn output_name(model: &CheckedModel<'_>) -> &'static str {
    let has_own = model.header.tensors().iter().any(|tensor| tensor.name == OUTPUT);
    if has_own { OUTPUT } else { EMBEDDING }
}

fn has_transposed(is_cpu: bool, kind: WeightType) -> bool {
    !is_cpu || matches!(kind, WeightType::F16 | WeightType::Q8_0)
}

/// The matrices that are copied.
fn copied<'t, 'map>(model: &'t CheckedModel<'map>, kind: WeightType) -> Vec<&'t TensorInfo<'map>> {
    let output = output_name(model);
    let is_copied = |tensor: &&TensorInfo<'_>| {
        let of_block = tensor.dimensions.len() == 2 && tensor.name != EMBEDDING;
        tensor.name == output || of_block && kind != WeightType::Mapped
    };
    model.header.tensors().iter().filter(is_copied).collect()
}

fn load_plain<'b>(
    backend: &'b Backend,
    file: &'b ModelFile,
    model: &CheckedModel<'_>,
    tensors: &[&TensorInfo<'_>],
) -> Result<Arena<'b>, LoraError> {
    if backend.is_cpu() {
        let place = |tensor: &&TensorInfo<'_>| {
            let offset = model.header.data_offset_bytes(tensor);
            (Kind::Float(tensor.kind), shape_of(tensor), offset)
        };
        let shapes: Vec<(Kind, Shape, usize)> = tensors.iter().map(place).collect();
        return Ok(Arena::over(file.bytes(), &shapes)?);
    }
    let shapes: Vec<(Kind, Shape)> =
        tensors.iter().map(|tensor| (Kind::Float(tensor.kind), shape_of(tensor))).collect();
    let arena = Arena::new(backend, &shapes)?;
    for (index, tensor) in tensors.iter().enumerate() {
        arena.at(index).write_encoded(0, data_of(file, model, tensor))?;
    }
    Ok(arena)
}

fn shape_of(tensor: &TensorInfo<'_>) -> Shape {
    let mut shape = [1; 4];
    for (size, dimension) in shape.iter_mut().zip(&tensor.dimensions) {
        *size = *dimension as usize;
    }
    shape
}

fn data_of<'m>(file: &'m ModelFile, model: &CheckedModel<'_>, tensor: &TensorInfo<'_>) -> &'m [u8] {
    let start = model.header.data_offset_bytes(tensor);
    &file.bytes()[start..start + tensor.size_bytes]
}

fn copy_shapes(
    tensors: &[&TensorInfo<'_>],
    kind: WeightType,
    has_transposed: bool,
) -> Vec<(Kind, Shape)> {
    let shapes = |tensor: &&TensorInfo<'_>| {
        let [n_in, n_out, ..] = shape_of(tensor);
        let upright = (Kind::Float(kind.copied(n_in)), [n_in, n_out, 1, 1]);
        let transposed = (Kind::Float(kind.copied(n_out)), [n_out, n_in, 1, 1]);
        [Some(upright), has_transposed.then_some(transposed)].into_iter().flatten()
    };
    tensors.iter().flat_map(shapes).collect()
}

/// Bytes that the copies of a model will take.
#[must_use]
pub fn copies_bytes(model: &CheckedModel<'_>, is_cpu: bool, kind: WeightType) -> u64 {
    let has_transposed = has_transposed(is_cpu, kind);
    crate::ggml::bytes_of(&copy_shapes(&copied(model, kind), kind, has_transposed))
}

/// Rows that one thread decodes, turns or encodes at a time: what the caches hold.
const ROWS_AT_ONCE: usize = 64;
/// Rows of which there are floats at once, beside the copy itself.
const ROWS_IN_FLOATS: usize = 4096;

fn copy_matrix(
    tensor: &TensorInfo<'_>,
    data: &[u8],
    kind: WeightType,
    upright: Tensor<'_>,
    transposed: Option<Tensor<'_>>,
) -> Result<(), LoraError> {
    let [n_in, n_out, ..] = shape_of(tensor);
    let row_bytes = data.len() / n_out;
    let mut offset_bytes = 0;
    for data in data.chunks(row_bytes * ROWS_IN_FLOATS) {
        let rows = encode_rows(kind.copied(n_in), &decode_rows(tensor, data, n_in)?, n_in)?;
        upright.write_encoded(offset_bytes, &rows)?;
        offset_bytes += rows.len();
    }
    let Some(transposed) = transposed else {
        return Ok(());
    };
    let turned = turn(&decode_rows(tensor, data, n_in)?, n_in, n_out);
    transposed.write_encoded(0, &encode_rows(kind.copied(n_out), &turned, n_out)?)?;
    Ok(())
}

fn decode_rows(tensor: &TensorInfo<'_>, data: &[u8], n_in: usize) -> Result<Vec<f32>, GgmlError> {
    let row_bytes = tensor.size_bytes / tensor.dimensions[1] as usize;
    let mut values = vec![0.0_f32; data.len() / row_bytes * n_in];
    values
        .par_chunks_mut(n_in * ROWS_AT_ONCE)
        .zip(data.par_chunks(row_bytes * ROWS_AT_ONCE))
        .try_for_each(|(values, data)| decode(tensor.kind, data, values))?;
    Ok(values)
}

/// Rows of `n_in` elements into as many of `n_out`.
fn turn(values: &[f32], n_in: usize, n_out: usize) -> Vec<f32> {
    let mut turned = vec![0.0_f32; n_in * n_out];
    turned.par_chunks_mut(n_out * ROWS_AT_ONCE).enumerate().for_each(|(chunk, rows)| {
        let first = chunk * ROWS_AT_ONCE;
        for (out, row) in values.chunks_exact(n_in).enumerate() {
            for (index, turned) in rows.chunks_exact_mut(n_out).enumerate() {
                turned[out] = row[first + index];
            }
        }
    });
    turned
}

fn encode_rows(kind: TensorType, values: &[f32], row: usize) -> Result<Vec<u8>, GgmlError> {
    let rows: Result<Vec<Vec<u8>>, GgmlError> = values
        .par_chunks(row * ROWS_AT_ONCE)
        .map(|values| {
            let bytes = crate::ggml::bytes_of(&[(Kind::Float(kind), [values.len(), 1, 1, 1])]);
            let mut encoded = vec![0; bytes as usize];
            encode(kind, values, &mut encoded).map(|()| encoded)
        })
        .collect();
    Ok(rows?.concat())
}
