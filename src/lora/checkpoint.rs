//! Everything that a run needs to go on to the same bits: the adapter, the optimizer's moments, the
//! step. Which examples come next, and what is dropped, follow from the seed and the step.
//!
//! A checkpoint is one safetensors file, written beside its name, synced and renamed: there is the
//! old one or the new one, at any instant.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::{Adapter, Design, FitConfig, LoraError, Moments, Point, RANK_MAX};
use crate::paths::replace;

/// What a run was begun with: another cannot take it up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The settings.
    pub config: FitConfig,
    /// SHA-256 of the model's file.
    pub model_sha256: String,
    /// SHA-256 of the examples' tokens and weights.
    pub examples_sha256: String,
}

/// A run so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// What it was begun with.
    pub origin: Origin,
    /// Steps that are done.
    pub step: u64,
    /// The adapter after them.
    pub adapter: Adapter,
    /// The optimizer after them.
    pub moments: Moments,
    /// The loss of each step's batch.
    pub batches: Vec<Point>,
    /// The held-out losses that were measured, the first before any step.
    pub held_out: Vec<Point>,
    /// The adapter's values where the held-out loss was lowest, in a run that may end early.
    pub best: Option<Vec<f32>>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    step: u64,
    origin: Origin,
    batches: Vec<Point>,
    held_out: Vec<Point>,
}

const FORMAT: u32 = 1;
const KEY: &str = "restpg_edge";
const PARTS: [&str; 3] = ["adapter", "moments.first", "moments.second"];
const BEST: &str = "best";

impl Checkpoint {
    /// The adapter where the held-out loss was lowest; where none was measured, the last one.
    #[must_use]
    pub fn best_adapter(&self) -> Adapter {
        let values = self.best.as_ref().unwrap_or(&self.adapter.values).clone();
        Adapter { values, ..self.adapter.clone() }
    }

    /// After a held-out loss was measured: keeps the values aside where it is the lowest so far.
    pub(super) fn note_best(&mut self) {
        let lowest = |points: &[Point]| points.iter().map(|(_, loss)| *loss).reduce(f64::min);
        let Some(((_, last), before)) = self.held_out.split_last() else { return };
        if lowest(before).is_none_or(|best| *last < best) {
            self.best = Some(self.adapter.values.clone());
        }
    }

    /// Whether the last `patience` measurements were no better than the best before them.
    pub(super) fn has_stopped_learning(&self, patience: usize) -> bool {
        let loss = |point: &Point| point.1;
        let Some(place) = self.held_out.len().checked_sub(patience).filter(|_| patience > 0) else {
            return false;
        };
        let (before, last) = self.held_out.split_at(place);
        let best = before.iter().map(loss).reduce(f64::min);
        best.is_some_and(|best| last.iter().all(|point| point.1 >= best))
    }

    /// Writes it to `path`.
    ///
    /// # Errors
    /// [`LoraError::Write`]; what was at `path` is still there then.
    pub fn write(&self, path: &Path) -> Result<(), LoraError> {
        let failed = |source| LoraError::Write { path: path.to_owned(), source };
        replace(path, &self.to_bytes().map_err(failed)?).map_err(failed)
    }

    /// It as the bytes of a safetensors file.
    ///
    /// # Errors
    /// None that memory gives.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let head = Head {
            format: FORMAT,
            step: self.step,
            origin: self.origin.clone(),
            batches: self.batches.clone(),
            held_out: self.held_out.clone(),
        };
        let head = serde_json::to_string(&head)?;
        let parts = [&self.adapter.values, &self.moments.first, &self.moments.second];
        let best = self.best.iter().map(|values| (BEST, values));
        let views = PARTS.into_iter().zip(parts).chain(best).map(|(name, part)| {
            let view = TensorView::new(Dtype::F32, vec![part.len()], le_bytes(part));
            view.map(|view| (name, view))
        });
        let views: Vec<_> = views.collect::<Result<_, _>>().map_err(|_| broken())?;
        let metadata = HashMap::from([(KEY.to_owned(), head)]);
        safetensors::serialize(views, Some(metadata)).map_err(|_| broken())
    }

    /// Reads the one at `path`; `None` where there is none.
    ///
    /// # Errors
    /// [`LoraError::Read`], [`LoraError::NoCheckpoint`] for a file of another kind.
    pub fn read(path: &Path, design: &Design) -> Result<Option<Self>, LoraError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LoraError::Read { path: path.to_owned(), source }),
        };
        let other = || LoraError::NoCheckpoint { path: path.to_owned() };
        Self::from_bytes(&bytes, design).ok_or_else(other).map(Some)
    }

    /// What [`Self::to_bytes`] gave; `None` for other bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], design: &Design) -> Option<Self> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
        let head = metadata.metadata().as_ref().and_then(|all| all.get(KEY))?;
        let head: Head = serde_json::from_str(head).ok()?;
        let tensors = SafeTensors::deserialize(bytes).ok()?;
        if head.format != FORMAT || !(1..=RANK_MAX).contains(&head.origin.config.adapter.rank) {
            return None;
        }
        let mut adapter = Adapter::zero(head.origin.config.adapter.clone(), design);
        let part = |name: &str| -> Option<Vec<f32>> {
            let tensor = tensors.tensor(name).ok()?;
            let fits = tensor.dtype() == Dtype::F32 && tensor.shape() == [adapter.values.len()];
            fits.then(|| floats(tensor.data()))
        };
        let [values, first, second] = PARTS.map(part);
        let best = part(BEST);
        adapter.values = values?;
        let moments = Moments { first: first?, second: second? };
        let Head { step, origin, batches, held_out, .. } = head;
        Some(Self { origin, step, adapter, moments, batches, held_out, best })
    }
}

fn broken() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

/// The bytes of numbers as these files have them, which is how the machines that this program runs
/// on have them too.
pub(super) fn le_bytes(values: &[f32]) -> &[u8] {
    const { assert!(cfg!(target_endian = "little")) };
    bytemuck::cast_slice(values)
}

pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    let number = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    bytes.chunks_exact(size_of::<f32>()).map(number).collect()
}
