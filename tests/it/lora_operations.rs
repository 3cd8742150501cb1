//! Each operation of the trainer and its gradient, against the same written down in 64 bits: the
//! gradient is the slope of the sum of what the operation gives, each element times a number.

use restpg_edge::ggml::{Arena, Backend, GgmlError, Graph, Kind, Over, Rope, RopeKind, Tensor};
use restpg_edge::lora::Generator;

use crate::support::device;

const WIDTH: usize = 12;
const ROWS: usize = 5;
const EPS: f32 = 1e-5;

fn numbers(purpose: &str, count: usize) -> Vec<f32> {
    let generator = Generator::new(11, purpose);
    (0..count).map(|index| generator.normal(index as u64) as f32).collect()
}

/// How far from the exact value: `on_cpu` on the processor; other devices round the numbers of a
/// product to 16 bits, and have functions of their own.
fn tolerance(on_cpu: f64) -> f64 {
    if device().is_cpu() { on_cpu } else { 2e-3 }
}

fn matrix() -> (Kind, [usize; 4]) {
    (Kind::F32, [WIDTH, ROWS, 1, 1])
}

/// What `build` makes of `x` and the gradient of its result, both [`WIDTH`, `ROWS`].
fn computed(
    x: &[f32],
    grad: &[f32],
    build: impl for<'g> Fn(
        &'g Graph<'g, '_>,
        Tensor<'g>,
        Tensor<'g>,
    ) -> Result<(Tensor<'g>, Tensor<'g>), GgmlError>,
) -> [Vec<f32>; 2] {
    let backend = device();
    let arena = Arena::new(&backend, &[matrix(); 4]).unwrap();
    arena.at(0).write(x).unwrap();
    arena.at(1).write(grad).unwrap();
    backend
        .run(64, |g| -> Result<(), GgmlError> {
            let (value, slope) = build(g, arena.at(0), arena.at(1))?;
            g.store(value, arena.at(2))?;
            g.store(slope, arena.at(3))
        })
        .unwrap();
    [2, 3].map(|index| arena.at(index).to_vec().unwrap())
}

/// Compares what was computed with `reference` and its slopes.
#[track_caller]
fn check(
    name: &str,
    x: &[f32],
    grad: &[f32],
    [value, slope]: [Vec<f32>; 2],
    reference: impl Fn(&[f64]) -> Vec<f64>,
) {
    let x: Vec<f64> = x.iter().map(|value| f64::from(*value)).collect();
    let allowed = tolerance(2e-5);
    let near = |found: f32, expected: f64| (f64::from(found) - expected).abs() < allowed;
    for (found, expected) in value.iter().zip(reference(&x)) {
        assert!(near(*found, expected), "{name}: {found} for {expected}");
    }
    let sum = |x: &[f64]| -> f64 {
        reference(x).iter().zip(grad).map(|(value, grad)| value * f64::from(*grad)).sum()
    };
    for (index, found) in slope.iter().enumerate() {
        let at = |step: f64| {
            let mut moved = x.clone();
            moved[index] += step;
            sum(&moved)
        };
        let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
        assert!(near(*found, expected), "{name}, slope {index}: {found} for {expected}");
    }
}

fn by_row(x: &[f64], row: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    x.chunks(WIDTH).flat_map(row).collect()
}

#[test]
fn the_norm_and_its_gradient() {
    let (x, grad) = (numbers("x", WIDTH * ROWS), numbers("grad", WIDTH * ROWS));
    let found =
        computed(&x, &grad, |g, x, grad| Ok((g.rms_norm(x, EPS)?, g.rms_norm_back(grad, x, EPS)?)));
    check("rms_norm", &x, &grad, found, |x| {
        by_row(x, |row| {
            let square = row.iter().map(|value| value * value).sum::<f64>() / WIDTH as f64;
            row.iter().map(|value| value / (square + f64::from(EPS)).sqrt()).collect()
        })
    });
}

#[test]
fn the_gate_and_its_gradient() {
    let (x, grad) = (numbers("x", WIDTH * ROWS), numbers("grad", WIDTH * ROWS));
    let silu = |x: &f64| x / (1.0 + (-x).exp());
    let found = computed(&x, &grad, |g, x, grad| Ok((g.silu(x)?, g.silu_back(grad, x)?)));
    check("silu", &x, &grad, found, |x| x.iter().map(silu).collect());
    // Both of its sources are the same here: the slopes of the gate and of what it lets through.
    let found = computed(&x, &grad, |g, x, grad| {
        let through = g.mul(grad, g.silu(x)?)?;
        Ok((g.swiglu(x, x)?, g.add(g.silu_back(g.mul(grad, x)?, x)?, through)?))
    });
    check("swiglu", &x, &grad, found, |x| x.iter().map(|x| silu(x) * x).collect());
    let found = computed(&x, &grad, |g, x, grad| {
        let tanh = g.tanh(x)?;
        Ok((tanh, g.mul(grad, g.scale(g.mul(tanh, tanh)?, -1.0, 1.0)?)?))
    });
    check("tanh", &x, &grad, found, |x| x.iter().map(|x| x.tanh()).collect());
}

#[test]
fn softmax_and_its_gradient() {
    let (x, grad) = (numbers("x", WIDTH * ROWS), numbers("grad", WIDTH * ROWS));
    let scale = 0.7;
    let hidden = |row: usize, column: usize| column > row + 6;
    let backend = device();
    let mask = Arena::new(&backend, &[matrix()]).unwrap();
    let values: Vec<f32> = (0..ROWS * WIDTH)
        .map(|at| if hidden(at / WIDTH, at % WIDTH) { f32::NEG_INFINITY } else { 0.0 })
        .collect();
    mask.at(0).write(&values).unwrap();
    let arena = Arena::new(&backend, &[matrix(); 4]).unwrap();
    arena.at(0).write(&x).unwrap();
    arena.at(1).write(&grad).unwrap();
    backend
        .run(64, |g| -> Result<(), GgmlError> {
            let scores = g.scale(arena.at(0), 1.0, 0.0)?;
            let p = g.masked_soft_max(scores, mask.at(0), scale)?;
            g.store(p, arena.at(2))?;
            g.store(g.soft_max_back(arena.at(1), p, scale)?, arena.at(3))
        })
        .unwrap();
    let found = [2, 3].map(|index| arena.at(index).to_vec().unwrap());
    check("masked_soft_max", &x, &grad, found, |x| {
        let rows = x.chunks(WIDTH).enumerate();
        rows.flat_map(|(row, values)| {
            let weights: Vec<f64> = values
                .iter()
                .enumerate()
                .map(
                    |(column, value)| {
                        if hidden(row, column) { 0.0 } else { (f64::from(scale) * value).exp() }
                    },
                )
                .collect();
            let sum: f64 = weights.iter().sum();
            weights.into_iter().map(move |weight| weight / sum).collect::<Vec<f64>>()
        })
        .collect()
    });
}

#[test]
fn rotations_and_their_gradients() {
    let (x, grad) = (numbers("x", WIDTH * ROWS), numbers("grad", WIDTH * ROWS));
    let positions: Vec<i32> = vec![0, 1, 7, 100, 3];
    for kind in [RopeKind::Interleaved, RopeKind::Halves] {
        let rope = Rope { kind, freq_base: 10_000.0, freq_scale: 0.5 };
        let backend = device();
        let numbers = Arena::new(&backend, &[(Kind::I32, [ROWS, 1, 1, 1])]).unwrap();
        numbers.at(0).write_numbers(&positions).unwrap();
        let arena = Arena::new(&backend, &[matrix(); 4]).unwrap();
        arena.at(0).write(&x).unwrap();
        arena.at(1).write(&grad).unwrap();
        backend
            .run(64, |g| -> Result<(), GgmlError> {
                let heads = |a| g.reshape(a, [WIDTH, 1, ROWS, 1]);
                let turned = g.rope(heads(arena.at(0))?, numbers.at(0), None, &rope)?;
                g.store(turned, heads(arena.at(2))?)?;
                let back = g.rope_back(heads(arena.at(1))?, numbers.at(0), None, &rope)?;
                g.store(back, heads(arena.at(3))?)
            })
            .unwrap();
        let found = [2, 3].map(|index| arena.at(index).to_vec().unwrap());
        let positions = &positions;
        check("rope", &x, &grad, found, |x| {
            let rows = x.chunks(WIDTH).zip(positions);
            rows.flat_map(|(row, position)| {
                let mut turned = row.to_vec();
                for pair in 0..WIDTH / 2 {
                    let angle = f64::from(*position) * 0.5
                        / 10_000_f64.powf(2.0 * pair as f64 / WIDTH as f64);
                    let (a, b) = match kind {
                        RopeKind::Interleaved => (2 * pair, 2 * pair + 1),
                        RopeKind::Halves => (pair, pair + WIDTH / 2),
                    };
                    turned[a] = row[a] * angle.cos() - row[b] * angle.sin();
                    turned[b] = row[a] * angle.sin() + row[b] * angle.cos();
                }
                turned
            })
            .collect()
        });
    }
}

/// Products over either dimension of either matrix, of sizes that are no multiple of anything, with
/// the matrices of several batches, against sums in 64 bits.
#[test]
fn products_over_any_dimension() {
    for [m, n, k] in [[3, 5, 7], [70, 1, 33], [1, 300, 2], [129, 517, 65]] {
        for (a_over, b_over) in [
            (Over::Columns, Over::Columns),
            (Over::Columns, Over::Rows),
            (Over::Rows, Over::Columns),
            (Over::Rows, Over::Rows),
        ] {
            let shape = |over: Over, left: usize, batches: usize| match over {
                Over::Columns => [k, left, batches, 1],
                Over::Rows => [left, k, batches, 1],
            };
            let (a, b) = (numbers("a", k * m), numbers("b", k * n * 2));
            let backend = device();
            let shapes = [shape(a_over, m, 1), shape(b_over, n, 2), [m, n, 2, 1]];
            let arena = Arena::new(&backend, &shapes.map(|shape| (Kind::F32, shape))).unwrap();
            arena.at(0).write(&a).unwrap();
            arena.at(1).write(&b).unwrap();
            backend
                .run(8, |g| -> Result<(), GgmlError> {
                    let product = g.product((arena.at(0), a_over), (arena.at(1), b_over))?;
                    g.store(product, arena.at(2))
                })
                .unwrap();
            let found = arena.at(2).to_vec().unwrap();
            let rounding = tolerance(4e-6);
            let at = |over: Over, left: usize, which: usize, index: usize| match over {
                Over::Columns => which * k + index,
                Over::Rows => index * left + which,
            };
            for (place, found) in found.iter().enumerate() {
                let (row, column, batch) = (place % m, place / m % n, place / m / n);
                let sum: f64 = (0..k)
                    .map(|index| {
                        let b = b[batch * k * n + at(b_over, n, column, index)];
                        f64::from(a[at(a_over, m, row, index)]) * f64::from(b)
                    })
                    .sum();
                let allowed = rounding * ((k as f64).sqrt() + sum.abs());
                assert!((f64::from(*found) - sum).abs() < allowed, "{found} for {sum}");
            }
        }
    }
}

#[track_caller]
fn refused<'outer>(
    backend: &Backend,
    what: &str,
    build: impl for<'g> FnOnce(&'g Graph<'g, 'outer>) -> Result<(), GgmlError>,
) {
    let ended = backend.run(8, build);
    assert!(matches!(ended, Err(GgmlError::Shape { .. } | GgmlError::Full { .. })), "{what}");
}

/// What ggml would end the process for comes back as an error.
#[test]
fn what_does_not_fit_is_refused() {
    let backend = Backend::cpu(1).unwrap();
    let rows = (Kind::I32, [3, 1, 1, 1]);
    let arena = Arena::new(&backend, &[matrix(), (Kind::F32, [7, 3, 1, 1]), rows, rows]).unwrap();
    arena.at(2).write_numbers(&[0, 4, 5]).unwrap();
    let bytes = vec![0_u8; 4096];
    let aligned = bytes.as_ptr().align_offset(32);
    let map = Arena::over(&bytes[aligned..], &[(Kind::F32, [WIDTH, ROWS, 1, 1], 0)]).unwrap();
    let [x, other, numbers, unwritten] = [0, 1, 2, 3].map(|index| arena.at(index));
    let floats = WIDTH * 4;
    refused(&backend, "a product", |g| g.mul_mat(x, other).map(drop));
    refused(&backend, "a sum", |g| g.add(x, other).map(drop));
    refused(&backend, "a row that is not there", |g| g.get_rows(x, numbers).map(drop));
    refused(&backend, "rows that were never written", |g| g.get_rows(x, unwritten).map(drop));
    refused(&backend, "a window outside", |g| {
        g.view(x, [WIDTH, ROWS + 1, 1, 1], [floats; 3], 0).map(drop)
    });
    refused(&backend, "a window on itself", |g| {
        g.view(x, [WIDTH, ROWS, 1, 1], [0; 3], 0).map(drop)
    });
    refused(&backend, "half an element", |g| g.view(x, [1, 1, 1, 1], [floats; 3], 2).map(drop));
    refused(&backend, "a map as a target", |g| g.store(x, map.at(0)));
    refused(&backend, "a place in a window", |g| {
        let window = g.reshape(x, [WIDTH * ROWS, 1, 1, 1])?;
        g.place(g.scale(window, 2.0, 0.0)?, window)
    });
    refused(&backend, "more than there is room for", |g| {
        (0..9).try_for_each(|_| g.scale(x, 1.0, 0.0).map(drop))
    });
    refused(&backend, "a graph inside of another", |_| backend.run(8, |g| g.store(x, x)));
    assert!(map.at(0).write(&vec![1.0; WIDTH * ROWS]).is_err());
    assert!(Arena::over(&bytes[aligned..], &[(Kind::F32, [WIDTH, 1000, 1, 1], 0)]).is_err());
}
