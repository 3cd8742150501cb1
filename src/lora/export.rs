//! Adapters as files that other programs read: GGUF, which llama.cpp loads beside its base model,
//! and PEFT's safetensors with their configuration. Both can be read back.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value as Json, json};

use super::checkpoint::{floats, le_bytes};
use super::{Adapter, AdapterConfig, Design, LoraError, Pair, Projection, RANK_MAX};
use crate::ggml::RopeKind;
use crate::gguf::{self, GgufError, Header, Metadata, ModelFile, Tensor, TensorType, Value};
use crate::paths::replace;

const BASE_KEY: &str = "restpg_edge.base.sha256";
const SCALE_KEY: &str = "restpg_edge.rank_stabilized";
/// The files of an adapter as PEFT has them.
pub const PEFT_FILES: [&str; 2] = ["adapter_model.safetensors", "adapter_config.json"];

/// An adapter and what it was fitted to.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// The adapter.
    pub adapter: Adapter,
    /// SHA-256 of the base model's file; `None` where the file does not say.
    pub base_sha256: Option<String>,
}

fn part_names(pair: &Pair) -> [String; 2] {
    let name = format!("blk.{}.{}.weight", pair.block, pair.projection.gguf_name());
    [format!("{name}.lora_a"), format!("{name}.lora_b")]
}

/// Writes a GGUF adapter for a model of architecture `architecture` (its name in GGUF files).
///
/// # Errors
/// [`LoraError::Write`].
pub fn write_gguf(path: &Path, architecture: &str, exported: &Exported) -> Result<(), LoraError> {
    let failed = |source| LoraError::Write { path: path.to_owned(), source };
    replace(path, &gguf_bytes(architecture, exported).map_err(failed)?).map_err(failed)
}

/// What [`write_gguf`] writes.
///
/// # Errors
/// None that memory gives.
pub fn gguf_bytes(architecture: &str, exported: &Exported) -> io::Result<Vec<u8>> {
    let Exported { adapter, base_sha256 } = exported;
    let config = &adapter.config;
    let text = |text: &str| Metadata::Text(text.to_owned());
    // llama.cpp divides by the rank.
    let alpha = config.scale() * config.rank as f32;
    let mut metadata = vec![
        ("general.architecture".to_owned(), text(architecture)),
        ("general.type".to_owned(), text("adapter")),
        ("adapter.type".to_owned(), text("lora")),
        ("adapter.lora.alpha".to_owned(), Metadata::F32(alpha)),
        (SCALE_KEY.to_owned(), Metadata::Bool(config.rank_stabilized)),
    ];
    if let Some(sha256) = base_sha256 {
        metadata.push((BASE_KEY.to_owned(), text(sha256)));
    }
    let rank = config.rank as u64;
    let tensors: Vec<Tensor> = adapter
        .pairs
        .iter()
        .flat_map(|pair| {
            let [a, b] = part_names(pair);
            let shapes = [vec![pair.n_in as u64, rank], vec![rank, pair.n_out as u64]];
            let values = [pair.a.clone(), pair.b.clone()];
            [a, b].into_iter().zip(shapes).zip(values)
        })
        .map(|((name, dimensions), range)| Tensor {
            name,
            dimensions,
            kind: TensorType::F32,
            bytes: le_bytes(&adapter.values[range]).to_vec(),
        })
        .collect();
    let mut bytes = Vec::new();
    gguf::write(&mut bytes, &metadata, &tensors)?;
    Ok(bytes)
}

/// Reads a GGUF adapter for a model of `design`.
///
/// # Errors
/// [`LoraError::Read`], and [`LoraError::NoAdapter`] for another kind of file or another model's.
pub fn read_gguf(path: &Path, design: &Design) -> Result<Exported, LoraError> {
    let file = ModelFile::open(path).map_err(|error| no_adapter(path, error))?;
    read_bytes(file.bytes(), path, design)
}

/// Reads the bytes of a GGUF adapter for a model of `design`.
///
/// # Errors
/// As [`read_gguf`].
pub fn read_gguf_bytes(bytes: &[u8], design: &Design) -> Result<Exported, LoraError> {
    read_bytes(bytes, Path::new("the adapter"), design)
}

fn read_bytes(bytes: &[u8], path: &Path, design: &Design) -> Result<Exported, LoraError> {
    read(bytes, path, design).map_err(|error| match error {
        LoraError::Gguf(error) => no_adapter(path, error),
        other => other,
    })
}

/// What is wrong with the file of an adapter: nobody can pull it again as a model.
fn no_adapter(path: &Path, error: GgufError) -> LoraError {
    let path = path.to_owned();
    match error {
        GgufError::Io { source, .. } => LoraError::Read { path, source },
        GgufError::NotAFile { what, .. } => {
            LoraError::NoAdapter { path, what: format!("it is {what}") }
        }
        other => LoraError::NoAdapter { path, what: other.to_string() },
    }
}

fn read(bytes: &[u8], path: &Path, design: &Design) -> Result<Exported, LoraError> {
    let header = Header::parse(bytes)?;
    let refuse = |what: &str| LoraError::NoAdapter { path: path.to_owned(), what: what.into() };
    if header.text("general.type")? != Some("adapter")
        || header.text("adapter.type")? != Some("lora")
    {
        return Err(refuse("it is a GGUF file, but no LoRA adapter"));
    }
    let alpha = header.float("adapter.lora.alpha")?.ok_or_else(|| refuse("it has no alpha"))?;
    let rank_stabilized = matches!(header.get(SCALE_KEY), Some(Value::Bool(true)));
    let mut parts = HashMap::new();
    for tensor in header.tensors() {
        if tensor.kind != TensorType::F32 {
            return Err(refuse("its matrices are not 32-bit floats"));
        }
        let start = header.data_offset_bytes(tensor);
        let values = floats(&bytes[start..start + tensor.size_bytes]);
        parts.insert(tensor.name.to_owned(), values);
    }
    let rank = header.tensors().iter().find(|tensor| tensor.name.ends_with(".lora_a"));
    let rank = rank.and_then(|tensor| tensor.dimensions.get(1)).copied().unwrap_or(0) as usize;
    // llama.cpp takes 0 for a scale of 1.
    let alpha = if alpha == 0.0 { rank as f32 } else { alpha };
    let alpha = if rank_stabilized { alpha / (rank as f32).sqrt() } else { alpha };
    let adapter = assemble(parts, rank, alpha, rank_stabilized, design, part_names)
        .ok_or_else(|| refuse("it belongs to a model of other sizes"))?;
    Ok(Exported { adapter, base_sha256: header.text(BASE_KEY)?.map(str::to_owned) })
}

/// Puts named matrices where they belong; `None` where one is missing, left over or of another
/// size.
fn assemble(
    mut parts: HashMap<String, Vec<f32>>,
    rank: usize,
    alpha: f32,
    rank_stabilized: bool,
    design: &Design,
    names: impl Fn(&Pair) -> [String; 2],
) -> Option<Adapter> {
    if !(1..=RANK_MAX).contains(&rank) || parts.is_empty() {
        return None;
    }
    let all = AdapterConfig { rank, alpha, rank_stabilized, projections: Projection::ALL.to_vec() };
    let every = Adapter::zero(all.clone(), design);
    let is_there = |projection: &Projection| {
        let mut pairs = every.pairs.iter().filter(|pair| pair.projection == *projection);
        pairs.any(|pair| parts.contains_key(&names(pair)[0]))
    };
    let projections = Projection::ALL.into_iter().filter(is_there).collect();
    let mut adapter = Adapter::zero(AdapterConfig { projections, ..all }, design);
    for pair in adapter.pairs.clone() {
        for (name, range) in names(&pair).into_iter().zip([pair.a, pair.b]) {
            let values = parts.remove(&name).filter(|values| values.len() == range.len())?;
            adapter.values[range].copy_from_slice(&values);
        }
    }
    parts.is_empty().then_some(adapter)
}

fn peft_names(pair: &Pair) -> [String; 2] {
    let layer = format!("base_model.model.model.layers.{}", pair.block);
    let name = format!("{layer}.{}", pair.projection.published_name());
    [format!("{name}.lora_A.weight"), format!("{name}.lora_B.weight")]
}

/// The order of B's rows in published models, for queries and keys of models whose converter puts
/// the rows that are rotated together side by side: row `index` of a GGUF file is row
/// `published_row` there.
fn published_row(pair: &Pair, design: &Design, index: usize) -> usize {
    let interleaved = matches!(pair.projection, Projection::Q | Projection::K)
        && design.blocks[pair.block].rope.kind == RopeKind::Interleaved;
    if !interleaved {
        return index;
    }
    let (head, within) = (index / design.head_dim, index % design.head_dim);
    head * design.head_dim + within % 2 * (design.head_dim / 2) + within / 2
}

/// Writes PEFT's two files into `folder`, which exists.
///
/// # Errors
/// [`LoraError::Write`].
pub fn write_peft(folder: &Path, adapter: &Adapter, design: &Design) -> Result<(), LoraError> {
    let rank = adapter.config.rank;
    let mut parts: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for pair in &adapter.pairs {
        let [a_name, b_name] = peft_names(pair);
        parts.push((
            a_name,
            vec![rank, pair.n_in],
            le_bytes(&adapter.values[pair.a.clone()]).to_vec(),
        ));
        let b = &adapter.values[pair.b.clone()];
        let mut published = vec![0.0; b.len()];
        for (index, row) in b.chunks_exact(rank).enumerate() {
            let start = published_row(pair, design, index) * rank;
            published[start..start + rank].copy_from_slice(row);
        }
        parts.push((b_name, vec![pair.n_out, rank], le_bytes(&published).to_vec()));
    }
    let [model, config] = PEFT_FILES.map(|name| folder.join(name));
    let broken = |_| LoraError::Write {
        path: model.clone(),
        source: std::io::Error::from(std::io::ErrorKind::InvalidData),
    };
    let views: Result<Vec<_>, _> = parts
        .iter()
        .map(|(name, shape, bytes)| {
            TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name, view))
        })
        .collect();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(views.map_err(broken)?, Some(metadata)).map_err(broken)?;
    let write = |path: &Path, bytes: &[u8]| {
        replace(path, bytes).map_err(|source| LoraError::Write { path: path.to_owned(), source })
    };
    write(&model, &bytes)?;
    write(&config, peft_config(&adapter.config).to_string().as_bytes())
}

fn peft_config(config: &AdapterConfig) -> Json {
    let modules: Vec<&str> = config
        .projections
        .iter()
        .filter_map(|projection| projection.published_name().split('.').next_back())
        .collect();
    json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": config.rank,
        "lora_alpha": config.alpha,
        "use_rslora": config.rank_stabilized,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "target_modules": modules,
    })
}

/// Reads PEFT's two files from `folder`.
///
/// # Errors
/// [`LoraError::Read`], [`LoraError::NoAdapter`].
pub fn read_peft(folder: &Path, design: &Design) -> Result<Adapter, LoraError> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).map_err(|source| LoraError::Read { path, source })
    };
    let [model, config] = [read(PEFT_FILES[0])?, read(PEFT_FILES[1])?];
    let refuse = |what: &str| LoraError::NoAdapter { path: folder.to_owned(), what: what.into() };
    let config: Json =
        serde_json::from_slice(&config).map_err(|_| refuse("its configuration is no JSON"))?;
    let (Some(rank), Some(alpha)) = (config["r"].as_u64(), config["lora_alpha"].as_f64()) else {
        return Err(refuse("its configuration has no r and lora_alpha"));
    };
    let tensors =
        SafeTensors::deserialize(&model).map_err(|_| refuse("it is no safetensors file"))?;
    let mut parts = HashMap::new();
    for (name, tensor) in tensors.tensors() {
        if tensor.dtype() != Dtype::F32 {
            return Err(refuse("its matrices are not 32-bit floats"));
        }
        parts.insert(name, floats(tensor.data()));
    }
    let rank_stabilized = config["use_rslora"].as_bool().unwrap_or(false);
    let (rank, alpha) = (rank as usize, alpha as f32);
    let mut adapter = assemble(parts, rank, alpha, rank_stabilized, design, peft_names)
        .ok_or_else(|| refuse("it belongs to a model of other sizes"))?;
    for pair in adapter.pairs.clone() {
        let published = adapter.values[pair.b.clone()].to_vec();
        for (index, row) in adapter.values[pair.b.clone()].chunks_exact_mut(rank).enumerate() {
            let start = published_row(&pair, design, index) * rank;
            row.copy_from_slice(&published[start..start + rank]);
        }
    }
    Ok(adapter)
}
