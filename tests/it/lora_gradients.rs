//! The trainer's loss and gradients: against finite differences on every family of models, and
//! with answers packed behind one prompt against the same answers one by one.

use restpg_edge::ggml::Backend;
use restpg_edge::gguf::{self, ModelFile};
use restpg_edge::lora::{
    Adapter, AdapterConfig, Answer, Design, Dropout, Example, Generator, Network, Normalizer,
    Packed, Pass, Projection, WeightType,
};

use crate::support::{Home, device};
use crate::tiny::{self, Gguf, Value};

/// An adapter all of whose numbers matter: B is not zero.
fn adapter(design: &Design) -> Adapter {
    let config = AdapterConfig {
        rank: 4,
        alpha: 8.0,
        rank_stabilized: false,
        projections: Projection::ALL.to_vec(),
    };
    let mut adapter = Adapter::new(config, design, 3);
    let generator = Generator::new(3, "b");
    for pair in adapter.pairs.clone() {
        for index in pair.b {
            adapter.values[index] = 0.05 * generator.normal(index as u64) as f32;
        }
    }
    adapter
}

fn families() -> Vec<(&'static str, Gguf)> {
    let mut sliding = tiny::gemma3();
    sliding.set("gemma3.attention.sliding_window", Value::U32(24));
    sliding.set("gemma3.attention.sliding_window_pattern", Value::Bools(vec![true, false]));
    let mut one_block = tiny::llama();
    one_block.set("llama.block_count", Value::U32(1));
    one_block.tensors.retain(|tensor| !tensor.name.starts_with("blk.1."));
    vec![
        ("llama of one block", one_block),
        ("llama", tiny::llama()),
        ("qwen2", tiny::qwen2()),
        ("qwen3", tiny::qwen3()),
        ("gemma3", sliding),
    ]
}

fn tokens(generator: Generator, count: usize) -> Vec<u32> {
    (0..count).map(|index| 4 + (generator.bits(index as u64) % 250) as u32).collect()
}

fn answer(part: u64, count: usize, weight: f32) -> Answer {
    let generator = Generator::new(5, "answer").part(part);
    Answer { tokens: tokens(generator, count), weight, token_weights: None }
}

/// A prompt that is no multiple of anything, and answers of all kinds of lengths.
fn example() -> Example {
    Example {
        prompt: tokens(Generator::new(5, "prompt"), 53),
        answers: vec![
            answer(0, 21, 1.0),
            answer(1, 1, 0.5),
            answer(2, 67, 0.25),
            answer(5, 2, 0.5),
        ],
    }
}

fn packed(examples: &[Example]) -> Packed {
    let total = Normalizer::Token.total(examples);
    Packed::new(examples, Normalizer::Token, total)
}

/// What two ways of the same sum may differ by, for their length: other devices round the numbers of
/// a product to 16 bits.
fn tolerance() -> f64 {
    if device().is_cpu() { 1e-5 } else { 2e-3 }
}

fn with_network(model: &Gguf, test: impl FnOnce(&Network<'_>, Adapter)) {
    let device = device();
    // Other devices multiply what is in rows, in 32 bits here too.
    let weights = if device.is_cpu() { WeightType::Mapped } else { WeightType::F32 };
    with_network_on(&device, weights, model, test);
}

fn with_network_on(
    backend: &Backend,
    weights: WeightType,
    model: &Gguf,
    test: impl FnOnce(&Network<'_>, Adapter),
) {
    let home = Home::new();
    let path = home.write("model.gguf", &model.to_bytes());
    let file = ModelFile::open(&path).unwrap();
    let checked = gguf::check(&file).unwrap();
    let adapter = adapter(&Design::read(&checked).unwrap());
    let network = Network::new(backend, &file, &checked, weights, &adapter).unwrap();
    test(&network, adapter);
}

fn gradients(network: &Network<'_>, packed: &Packed, adapter: &Adapter) -> (f64, Vec<f32>) {
    network.set_adapter(adapter).unwrap();
    let mut gradients = vec![0.0; adapter.values.len()];
    let loss = network.loss_and_gradients(packed, Pass::plain(), &mut gradients).unwrap();
    (loss, gradients)
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// How far `a` is from `b`, for the length of `b`.
fn relative_distance(a: &[f32], b: &[f32]) -> f64 {
    let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    (dot(&difference, &difference) / dot(b, b)).sqrt()
}

/// The slope of the loss along each matrix's own gradient and along a random direction, by central
/// differences, is what the gradient says. On the processor: elsewhere the losses are rounded too
/// coarsely for their differences to say anything.
#[test]
fn gradients_are_the_slopes_of_the_loss() {
    for (name, model) in families() {
        let cpu = Backend::cpu(2).unwrap();
        with_network_on(&cpu, WeightType::Mapped, &model, |network, adapter| {
            let packed = packed(&[example()]);
            let (_, gradients) = gradients(network, &packed, &adapter);
            let slope = |range: std::ops::Range<usize>, direction: &[f32], step: f32| {
                let at = |step: f32| {
                    let mut moved = adapter.clone();
                    for (value, direction) in moved.values[range.clone()].iter_mut().zip(direction)
                    {
                        *value += step * direction;
                    }
                    network.set_adapter(&moved).unwrap();
                    network.loss(&packed, Pass::plain()).unwrap()
                };
                (at(step) - at(-step)) / (2.0 * f64::from(step))
            };
            for pair in &adapter.pairs {
                for (matrix, range) in [("A", pair.a.clone()), ("B", pair.b.clone())] {
                    let gradient = &gradients[range.clone()];
                    let length = dot(gradient, gradient).sqrt();
                    let along: Vec<f32> =
                        gradient.iter().map(|value| value / length as f32).collect();
                    let generator = Generator::new(9, name);
                    let mut random: Vec<f32> = (0..gradient.len())
                        .map(|index| generator.normal(index as u64) as f32)
                        .collect();
                    let random_length = dot(&random, &random).sqrt() as f32;
                    random.iter_mut().for_each(|value| *value /= random_length);
                    for direction in [along, random] {
                        let expected = dot(gradient, &direction);
                        let found = slope(range.clone(), &direction, 0.02);
                        let allowed = 2e-3 * (expected.abs() + length) + 2e-5;
                        assert!(
                            (found - expected).abs() < allowed,
                            "{name} {}.{:?} {matrix}: {found} by differences, {expected}, length \
                             {length}",
                            pair.block,
                            pair.projection
                        );
                    }
                }
            }
        });
    }
}

/// One prompt shared by its answers, several examples in one pass, and everything one by one.
#[test]
fn packed_answers_learn_as_separate_ones_do() {
    for (name, model) in families() {
        with_network(&model, |network, adapter| {
            let other = Example {
                prompt: tokens(Generator::new(6, "prompt"), 300),
                answers: vec![answer(3, 270, 1.0), answer(4, 9, 0.75), answer(6, 66, 1.0)],
            };
            let examples = [example(), other];
            let total = Normalizer::Token.total(&examples);
            let (loss, together) = gradients(network, &packed(&examples), &adapter);
            let mut loss_alone = 0.0;
            let mut alone = vec![0.0; together.len()];
            for example in &examples {
                for answer in &example.answers {
                    let single =
                        Example { prompt: example.prompt.clone(), answers: vec![answer.clone()] };
                    let packed = Packed::new(&[single], Normalizer::Token, total);
                    let (loss, gradients) = gradients(network, &packed, &adapter);
                    loss_alone += loss;
                    alone.iter_mut().zip(gradients).for_each(|(sum, value)| *sum += value);
                }
            }
            assert!((loss / loss_alone - 1.0).abs() < tolerance(), "{name}: {loss} {loss_alone}");
            for pair in &adapter.pairs {
                for range in [pair.a.clone(), pair.b.clone()] {
                    let distance = relative_distance(&together[range.clone()], &alone[range]);
                    assert!(distance < tolerance(), "{name} {pair:?}: {distance}");
                }
            }
        });
    }
}

/// The device, which holds decoded weights, gives the losses and gradients that the processor has
/// with the weights as they lie, as nearly as it rounds.
#[test]
fn a_device_gives_what_the_processor_gives() {
    for (name, model) in families() {
        let packed = packed(&[example()]);
        let cpu = Backend::cpu(2).unwrap();
        let mut expected = (0.0, Vec::new());
        with_network_on(&cpu, WeightType::Mapped, &model, |network, adapter| {
            expected = gradients(network, &packed, &adapter);
        });
        with_network_on(&device(), WeightType::F32, &model, |network, adapter| {
            let (loss, found) = gradients(network, &packed, &adapter);
            let mut worst = 0.0_f64;
            assert!((loss / expected.0 - 1.0).abs() < 1e-3, "{name}: {loss} {}", expected.0);
            for pair in &adapter.pairs {
                for range in [pair.a.clone(), pair.b.clone()] {
                    let distance =
                        relative_distance(&found[range.clone()], &expected.1[range.clone()]);
                    worst = worst.max(distance);
                    assert!(distance < 1e-2, "{name} {pair:?}: {distance}");
                }
            }
            println!("{name}: loss {loss:.6} {:.6}, gradients within {worst:.1e}", expected.0);
        });
    }
}

/// With no room to keep anything, what is computed again is the same to the bit.
#[test]
fn less_memory_gives_the_same_gradients() {
    for (name, model) in families() {
        with_network(&model, |network, adapter| {
            let packed = packed(&[example()]);
            let (loss, kept) = gradients(network, &packed, &adapter);
            network.set_activation_bytes_max(0);
            let (loss_again, again) = gradients(network, &packed, &adapter);
            assert_eq!(loss.to_bits(), loss_again.to_bits(), "{name}");
            assert!(kept.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}");
        });
    }
}

/// What is dropped is dropped on the way back too, and by the pass's generator alone.
#[test]
fn dropout_is_a_function_of_its_generator() {
    with_network(&tiny::llama(), |network, adapter| {
        let packed = packed(&[example()]);
        let run = |seed: u64, values: &Adapter| {
            network.set_adapter(values).unwrap();
            let generator = Generator::new(seed, "dropout");
            let pass = Pass { dropout: Some(Dropout { rate: 0.3, generator }), ..Pass::plain() };
            let mut gradients = vec![0.0; values.values.len()];
            (network.loss_and_gradients(&packed, pass, &mut gradients).unwrap(), gradients)
        };
        let (loss, gradients) = run(1, &adapter);
        assert_eq!(run(1, &adapter), (loss, gradients.clone()));
        assert_ne!(run(2, &adapter).0, loss);
        let length = dot(&gradients, &gradients).sqrt();
        let moved = |step: f64| {
            let mut moved = adapter.clone();
            for (value, gradient) in moved.values.iter_mut().zip(&gradients) {
                *value += (step / length) as f32 * gradient;
            }
            run(1, &moved).0
        };
        let found = (moved(0.02) - moved(-0.02)) / 0.04;
        assert!((found / length - 1.0).abs() < 5e-3, "{found} {length}");
    });
}
