//! The trainer against transformers and PEFT in f64: losses, gradients, five steps of AdamW.
//!
//! The reference lies beside the checkout, as real people's writing does.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use restpg_edge::ggml::Backend;
use restpg_edge::gguf::{self, ModelFile};
use restpg_edge::lora::{
    Adapter, AdapterConfig, Answer, Design, Example, Network, Normalizer, Packed, Pass, Projection,
    WeightType,
};
use serde_json::Value;

use crate::support::Home;

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/parity")
}

/// An array of an `.npz` file: its elements as bytes.
fn array(file: &str, name: &str) -> Vec<u8> {
    let file = fs::File::open(reference().join(file)).unwrap();
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(&format!("{name}.npy")).unwrap().read_to_end(&mut bytes).unwrap();
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes.split_off(10 + header)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|it| f32::from_le_bytes(it.try_into().unwrap())).collect()
}

fn adapter(design: &Design) -> Adapter {
    let config = AdapterConfig {
        rank: 16,
        alpha: 32.0,
        rank_stabilized: false,
        projections: Projection::ALL.to_vec(),
    };
    let mut adapter = Adapter::zero(config, design);
    let bytes = fs::read(reference().join("lora_init_gguf_layout.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for pair in adapter.pairs.clone() {
        let name = format!("blk.{}.{}.weight", pair.block, pair.projection.gguf_name());
        for (part, range) in [("lora_a", pair.a), ("lora_b", pair.b)] {
            let tensor = tensors.tensor(&format!("{name}.{part}")).unwrap();
            adapter.values[range].copy_from_slice(&floats(tensor.data()));
        }
    }
    adapter
}

fn batch() -> Packed {
    let tokens: Vec<u32> = array("batch.npz", "token_ids")
        .chunks_exact(4)
        .map(|it| u32::from_le_bytes(it.try_into().unwrap()))
        .collect();
    let (prompt, answer) = tokens.split_at(96);
    let answer = Answer { tokens: answer.to_vec(), weight: 1.0, token_weights: None };
    let examples = [Example { prompt: prompt.to_vec(), answers: vec![answer] }];
    Packed::new(&examples, Normalizer::Token, Normalizer::Token.total(&examples))
}

/// The gradients that the reference has: block, projection, which matrix.
const GRADIENTS: [(usize, Projection, &str); 4] = [
    (0, Projection::Q, "lora_b"),
    (15, Projection::Down, "lora_b"),
    (29, Projection::V, "lora_a"),
    (29, Projection::Up, "lora_b"),
];

struct Found {
    losses: Vec<f64>,
    /// Relative distance and cosine of each.
    gradients: Vec<(f64, f64)>,
}

fn train(kind: WeightType) -> Found {
    let home = Home::with_real_models(&["smollm2-135m-instruct"]);
    let blobs = home.path().join("models/smollm2-135m-instruct.toml");
    let manifest: toml::Table = fs::read_to_string(blobs).unwrap().parse().unwrap();
    let sha256 = manifest["sha256"].as_str().unwrap();
    let file = ModelFile::open(&home.path().join(format!("models/blobs/{sha256}.gguf"))).unwrap();
    let checked = gguf::check(&file).unwrap();
    let backend = Backend::cpu(1).unwrap();
    let mut adapter = adapter(&Design::read(&checked).unwrap());
    let network = Network::new(&backend, &file, &checked, kind, &adapter).unwrap();
    let packed = batch();
    let mut gradients = vec![0.0; adapter.values.len()];
    let mut moments = vec![(0.0_f64, 0.0_f64); gradients.len()];
    let mut found = Found { losses: Vec::new(), gradients: Vec::new() };
    for step in 0..6 {
        network.set_adapter(&adapter).unwrap();
        found
            .losses
            .push(network.loss_and_gradients(&packed, Pass::plain(), &mut gradients).unwrap());
        if step == 0 {
            found.gradients = GRADIENTS.map(|which| compare(&adapter, &gradients, which)).to_vec();
        }
        for ((value, gradient), (m, v)) in
            adapter.values.iter_mut().zip(&gradients).zip(&mut moments)
        {
            let gradient = f64::from(*gradient);
            *m = 0.9 * *m + 0.1 * gradient;
            *v = 0.999 * *v + 0.001 * gradient * gradient;
            let unbiased = |moment: f64, beta: f64| moment / (1.0 - beta.powi(step + 1));
            let step = unbiased(*m, 0.9) / (unbiased(*v, 0.999).sqrt() + 1e-8);
            *value -= (1e-4 * step) as f32;
        }
    }
    found
}

fn compare(
    adapter: &Adapter,
    gradients: &[f32],
    (block, projection, part): (usize, Projection, &str),
) -> (f64, f64) {
    let here =
        |pair: &&restpg_edge::lora::Pair| pair.block == block && pair.projection == projection;
    let pair = adapter.pairs.iter().find(here).unwrap();
    let range = if part == "lora_a" { pair.a.clone() } else { pair.b.clone() };
    let name = format!("blk.{block}.{}.weight.{part}", projection.gguf_name());
    let expected = floats(&array("grads_3.npz", &name));
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let found = &gradients[range];
    let difference: Vec<f32> = found.iter().zip(&expected).map(|(a, b)| a - b).collect();
    let length = dot(&expected, &expected).sqrt();
    let cosine = dot(found, &expected) / length / dot(found, found).sqrt();
    (dot(&difference, &difference).sqrt() / length, cosine)
}

fn check(kind: WeightType, loss_allowed: f64, gradient_allowed: f64, cosine_least: f64) {
    let found = train(kind);
    let expected: Value =
        serde_json::from_str(&fs::read_to_string(reference().join("expected.json")).unwrap())
            .unwrap();
    for (step, found) in found.losses.iter().enumerate() {
        let expected = expected["bnz"]["loss_at_step"][step].as_f64().unwrap();
        let distance = (found / expected - 1.0).abs();
        println!("{kind:?} step {step}: {found:.7} for {expected:.7}, {distance:.1e}");
        assert!(distance < loss_allowed, "{kind:?} step {step}: {found} for {expected}");
    }
    for (which, (distance, cosine)) in GRADIENTS.iter().zip(&found.gradients) {
        println!("{kind:?} {which:?}: {distance:.1e} away, cosine {cosine:.8}");
        assert!(*distance < gradient_allowed && *cosine >= cosine_least, "{kind:?} {which:?}");
    }
}

#[test]
fn exact_weights_give_the_references_losses_and_gradients() {
    // The reference's own f32 run has gradients 1.3e-4 to 2.7e-4 away, losses 2e-5.
    check(WeightType::Mapped, 1e-4, 1e-4, 0.999_999);
    check(WeightType::F32, 1e-4, 1e-4, 0.999_999);
}

#[test]
fn weights_in_16_bits_stay_close() {
    check(WeightType::F16, 1e-3, 1e-2, 0.9995);
}
