//! A model and an adapter on a device: loss and gradients of packed examples.

use std::cell::{Cell, RefCell};

use super::activations::{Activations, Keeping};
use super::adapter::{Adapter, AdapterConfig, Pair};
use super::attention::{AttentionPlan, HeadGradients};
use super::block::{self, Block, Rows};
use super::head;
use super::linear::{Fitted, Linear};
use super::packing::Packed;
use super::random::Generator;
use super::weights::{WeightType, Weights};
use super::{BlockAttention, Design, LoraError, Projection};
use crate::ggml::{Arena, Backend, GgmlError, Kind, Tensor};
use crate::gguf::{CheckedModel, ModelFile};

/// Inputs of the fitted matrices that are left out at random.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// How many of them.
    pub rate: f32,
    /// What decides which, for this pass.
    pub generator: Generator,
}

/// What a pass is to do, and when to give up.
#[derive(Clone, Copy)]
pub struct Pass<'p> {
    /// Inputs that are left out, if any.
    pub dropout: Option<Dropout>,
    /// Asked between blocks: whether to give up.
    pub is_stopped: &'p dyn Fn() -> bool,
}

impl Pass<'_> {
    /// A pass that leaves nothing out and is never given up.
    #[must_use]
    pub fn plain() -> Self {
        Self { dropout: None, is_stopped: &|| false }
    }
}

/// A model on a device, with an adapter beside it.
#[derive(Debug)]
pub struct Network<'b> {
    backend: &'b Backend,
    design: Design,
    weights: Weights<'b>,
    adapter: FittedValues<'b>,
    memory_bytes_max: Cell<u64>,
    /// Those of the last pass: the next one is often as long.
    activations: RefCell<Option<Room<'b>>>,
}

/// The adapter's matrices and their gradients on the device, in the order of its pairs.
#[derive(Debug)]
struct FittedValues<'b> {
    config: AdapterConfig,
    pairs: Vec<Pair>,
    values: Arena<'b>,
    gradients: Arena<'b>,
}

/// Memory for a pass over so many rows.
#[derive(Debug)]
struct Room<'b> {
    rows: usize,
    blocks: Vec<Activations<'b>>,
    /// Nothing goes back: blocks take turns in the room of one.
    takes_turns: bool,
    /// The stream, and its gradients, before and after a block.
    streams: Arena<'b>,
    heads: Arena<'b>,
}

impl<'b> Network<'b> {
    /// Copies the weights of a checked model to the device, as `kind`. `adapter` is the form of
    /// the adapters that it will be used with.
    ///
    /// # Errors
    /// [`LoraError`].
    pub fn new(
        backend: &'b Backend,
        file: &'b ModelFile,
        model: &CheckedModel<'_>,
        kind: WeightType,
        adapter: &Adapter,
    ) -> Result<Self, LoraError> {
        let design = Design::read(model)?;
        let weights = Weights::load(backend, file, model, kind)?;
        let adapter = FittedValues::new(backend, adapter)?;
        let memory_bytes_max = Cell::new(u64::MAX);
        Ok(Self {
            backend,
            design,
            weights,
            adapter,
            memory_bytes_max,
            activations: RefCell::new(None),
        })
    }

    /// Sizes and choices of the model.
    #[must_use]
    pub fn design(&self) -> &Design {
        &self.design
    }

    /// Bytes that activations may take: with less, more is computed again on the way back.
    pub fn set_activation_bytes_max(&self, bytes: u64) {
        self.memory_bytes_max.set(bytes);
        self.activations.replace(None);
    }

    /// Takes over the values of an adapter of the form that the network was made with.
    ///
    /// # Errors
    /// [`LoraError::Ggml`] for one of another form.
    pub fn set_adapter(&self, adapter: &Adapter) -> Result<(), LoraError> {
        self.adapter.write(adapter)
    }

    /// The loss of `packed`.
    ///
    /// # Errors
    /// [`LoraError`]; [`LoraError::Stopped`] where the pass says so.
    pub fn loss(&self, packed: &Packed, pass: Pass<'_>) -> Result<f64, LoraError> {
        // What was kept for gradients makes room.
        self.activations.replace(None);
        // Nothing goes back, so nothing is kept.
        let room = Room::new(self.backend, &self.design, packed.rows(), 0, false, 1)?;
        let setting = Setting::new(self, packed, pass)?;
        self.forward(packed, &setting, &room)?;
        let x = room.input(self.design.blocks.len());
        let is_stopped = setting.pass.is_stopped;
        head::loss(self.backend, &self.design, &self.weights, packed, x, None, is_stopped)
    }

    /// The loss of `packed` with the values of the adapter, and the gradients of these, in
    /// `gradients`, which has as many elements.
    ///
    /// # Errors
    /// [`LoraError`]; [`LoraError::Stopped`] where the pass says so.
    pub fn loss_and_gradients(
        &self,
        packed: &Packed,
        pass: Pass<'_>,
        gradients: &mut [f32],
    ) -> Result<f64, LoraError> {
        let mut slot = self.activations.borrow_mut();
        let room = match slot.take() {
            Some(room) if room.rows == packed.rows() => slot.insert(room),
            other => {
                // Before the new one, so that both are never there at once.
                drop(other);
                slot.insert(self.room(packed.rows())?)
            }
        };
        let setting = Setting::new(self, packed, pass)?;
        self.forward(packed, &setting, room)?;
        let loss_scale = loss_scale(packed);
        let n_layer = self.design.blocks.len();
        let (x, grad) = (room.input(n_layer), room.gradient(n_layer));
        let (design, weights) = (&self.design, &self.weights);
        let grad = Some((grad, loss_scale));
        let is_stopped = pass.is_stopped;
        let loss = head::loss(self.backend, design, weights, packed, x, grad, is_stopped)?;
        for index in (0..n_layer).rev() {
            self.backward(index, &setting, room)?;
        }
        self.adapter.read_gradients(gradients, loss_scale)?;
        Ok(loss)
    }

    fn room(&self, rows: usize) -> Result<Room<'b>, LoraError> {
        let design = &self.design;
        let bytes = |keeping| Activations::bytes(design, rows, keeping, self.has_post_norms());
        let least = bytes(Keeping::Inputs);
        let n_layer = design.blocks.len() as u64;
        let left = self.memory_bytes_max.get().saturating_sub(least * n_layer);
        let whole = left / (bytes(Keeping::Everything) - least);
        let whole = whole.min(n_layer) as usize;
        let kept = design.blocks.len();
        Room::new(self.backend, design, rows, whole, self.has_post_norms(), kept)
    }

    fn has_post_norms(&self) -> bool {
        self.weights.plain("blk.0.post_attention_norm.weight").is_some()
    }

    fn forward(
        &self,
        packed: &Packed,
        setting: &Setting<'_>,
        room: &Room<'_>,
    ) -> Result<(), LoraError> {
        let tokens = Arena::new(self.backend, &[(Kind::I32, [packed.rows(), 1, 1, 1])])?;
        tokens.at(0).write_numbers(&packed.tokens)?;
        self.backend.run(8, |g| -> Result<(), LoraError> {
            let x = g.get_rows(self.weights.embedding()?, tokens.at(0))?;
            let x = g.scale(x, self.design.embedding_scale, 0.0)?;
            Ok(g.place(x, room.input(0))?)
        })?;
        for index in 0..self.design.blocks.len() {
            setting.check()?;
            let dropout = setting.dropout(self, index)?;
            let rows = setting.rows(self, index);
            let kept = room.block(index);
            self.backend.run(setting.max_nodes(), |g| -> Result<(), LoraError> {
                let block = self.block(index, dropout.as_ref())?;
                Ok(block.forward(g, &rows, kept, room.input(index + 1))?)
            })?;
            room.advance(self.backend)?;
        }
        Ok(())
    }

    fn backward(
        &self,
        index: usize,
        setting: &Setting<'_>,
        room: &Room<'_>,
    ) -> Result<(), LoraError> {
        setting.check()?;
        let dropout = setting.dropout(self, index)?;
        let rows = setting.rows(self, index);
        let kept = room.block(index);
        let (after, middle, before) =
            (room.gradient(index + 1), room.gradient_in_middle(), room.gradient(index));
        self.backend.run(block::MAX_NODES, |g| -> Result<(), LoraError> {
            let block = self.block(index, dropout.as_ref())?;
            Ok(block.backward_feed_forward(g, &self.design, kept, after, middle)?)
        })?;
        let gathered = room.head_gradients();
        gathered.k.clear()?;
        gathered.v.clear()?;
        self.backend.run(setting.max_nodes(), |g| -> Result<(), LoraError> {
            let block = self.block(index, dropout.as_ref())?;
            Ok(block.backward_attention(g, &rows, kept, middle, gathered, before)?)
        })
    }

    fn block<'t>(
        &'t self,
        index: usize,
        dropout: Option<&'t DropoutMasks<'_>>,
    ) -> Result<Block<'t>, LoraError> {
        let plain = |name: &str| self.weights.plain(&format!("blk.{index}.{name}.weight"));
        let required = |name: &str| self.weights.required(&format!("blk.{index}.{name}.weight"));
        let linear = |projection| -> Result<Linear<'t>, LoraError> {
            let frozen = self.weights.projection(index, projection)?;
            Ok(Linear { frozen, fitted: self.adapter.fitted(index, projection, dropout) })
        };
        Ok(Block {
            attn_norm: required("attn_norm")?,
            q_norm: plain("attn_q_norm"),
            k_norm: plain("attn_k_norm"),
            post_attn_norm: plain("post_attention_norm"),
            ffn_norm: required("ffn_norm")?,
            post_ffn_norm: plain("post_ffw_norm"),
            q: linear(Projection::Q)?,
            k: linear(Projection::K)?,
            v: linear(Projection::V)?,
            o: linear(Projection::O)?,
            gate: linear(Projection::Gate)?,
            up: linear(Projection::Up)?,
            down: linear(Projection::Down)?,
        })
    }
}

/// What gradients are multiplied by on their way, so that they do not vanish in 16 bits: about the
/// number of targets, as a power of two, so that nothing is rounded.
fn loss_scale(packed: &Packed) -> f64 {
    let largest = packed.targets.iter().map(|target| target.coefficient).fold(0.0, f64::max);
    if largest > 0.0 { 2.0_f64.powi(-(largest.log2().floor() as i32)) } else { 1.0 }
}

impl<'b> FittedValues<'b> {
    fn new(backend: &'b Backend, adapter: &Adapter) -> Result<Self, LoraError> {
        let rank = adapter.config.rank;
        let shapes: Vec<_> = adapter
            .pairs
            .iter()
            .flat_map(|pair| [[pair.n_in, rank, 1, 1], [rank, pair.n_out, 1, 1]])
            .map(|shape| (Kind::F32, shape))
            .collect();
        let values = Arena::new(backend, &shapes)?;
        let gradients = Arena::new(backend, &shapes)?;
        let fitted = Self {
            config: adapter.config.clone(),
            pairs: adapter.pairs.clone(),
            values,
            gradients,
        };
        fitted.write(adapter)?;
        Ok(fitted)
    }

    fn write(&self, adapter: &Adapter) -> Result<(), LoraError> {
        if adapter.pairs != self.pairs {
            let what = "an adapter of another form".to_owned();
            return Err(GgmlError::Shape { op: "set_adapter", what }.into());
        }
        for (index, pair) in self.pairs.iter().enumerate() {
            self.values.at(2 * index).write(&adapter.values[pair.a.clone()])?;
            self.values.at(2 * index + 1).write(&adapter.values[pair.b.clone()])?;
        }
        Ok(())
    }

    fn read_gradients(&self, to: &mut [f32], loss_scale: f64) -> Result<(), LoraError> {
        for (index, pair) in self.pairs.iter().enumerate() {
            self.gradients.at(2 * index).read(&mut to[pair.a.clone()])?;
            self.gradients.at(2 * index + 1).read(&mut to[pair.b.clone()])?;
        }
        let inverse = (1.0 / loss_scale) as f32;
        to.iter_mut().for_each(|gradient| *gradient *= inverse);
        Ok(())
    }

    fn fitted<'t>(
        &'t self,
        block: usize,
        projection: Projection,
        dropout: Option<&'t DropoutMasks<'_>>,
    ) -> Option<Fitted<'t>> {
        let here = |pair: &Pair| pair.block == block && pair.projection == projection;
        let index = self.pairs.iter().position(here)?;
        Some(Fitted {
            a: self.values.at(2 * index),
            b: self.values.at(2 * index + 1),
            a_gradient: self.gradients.at(2 * index),
            b_gradient: self.gradients.at(2 * index + 1),
            scale: self.config.scale(),
            dropout: dropout.and_then(|masks| masks.of(projection)),
        })
    }
}

impl<'b> Room<'b> {
    /// `whole` of `kept` blocks keep everything; with one kept, blocks take turns in it.
    fn new(
        backend: &'b Backend,
        design: &Design,
        rows: usize,
        whole: usize,
        has_post_norms: bool,
        kept: usize,
    ) -> Result<Self, LoraError> {
        let blocks: Result<Vec<_>, LoraError> = (0..kept)
            .map(|index| {
                let keeping = if index < whole { Keeping::Everything } else { Keeping::Inputs };
                Activations::new(backend, design, rows, keeping, has_post_norms)
            })
            .collect();
        let stream = (Kind::F32, [design.n_embd, rows, 1, 1]);
        let streams = Arena::new(backend, &[stream; 4])?;
        let wide = |width| (Kind::F32, [width, rows, 1, 1]);
        let heads = Arena::new(
            backend,
            &[wide(design.query_width()), wide(design.kv_width()), wide(design.kv_width())],
        )?;
        let takes_turns = kept < design.blocks.len();
        Ok(Self { rows, blocks: blocks?, takes_turns, streams, heads })
    }

    fn block(&self, index: usize) -> &Activations<'b> {
        &self.blocks[index.min(self.blocks.len() - 1)]
    }

    /// Where what goes into block `index` is written, or what the last block leaves.
    fn input(&self, index: usize) -> Tensor<'_> {
        if index < self.blocks.len() { self.block(index).x() } else { self.streams.at(0) }
    }

    /// Makes what a block left the input of the next, where blocks take turns.
    fn advance(&self, backend: &Backend) -> Result<(), LoraError> {
        if !self.takes_turns {
            return Ok(());
        }
        let (from, to) = (self.streams.at(0), self.block(0).x());
        backend.run(4, |g| -> Result<(), LoraError> { Ok(g.store(from, to)?) })
    }

    /// The gradient of what block `index` is given: two take turns.
    fn gradient(&self, index: usize) -> Tensor<'_> {
        self.streams.at(1 + index % 2)
    }

    fn gradient_in_middle(&self) -> Tensor<'_> {
        self.streams.at(3)
    }

    fn head_gradients(&self) -> HeadGradients<'_> {
        HeadGradients { q: self.heads.at(0), k: self.heads.at(1), v: self.heads.at(2) }
    }
}

/// What all blocks of a pass share.
struct Setting<'s> {
    plans: Vec<(Option<usize>, AttentionPlan<'s>)>,
    positions: Arena<'s>,
    pass: Pass<'s>,
    rows: usize,
    n_head_kv: usize,
}

impl<'s> Setting<'s> {
    fn new(network: &'s Network<'_>, packed: &Packed, pass: Pass<'s>) -> Result<Self, LoraError> {
        let rows = packed.rows();
        let positions = Arena::new(network.backend, &[(Kind::I32, [rows, 1, 1, 1])])?;
        positions.at(0).write_numbers(&packed.positions)?;
        let mut plans: Vec<(Option<usize>, AttentionPlan<'s>)> = Vec::new();
        for BlockAttention { window, .. } in &network.design.blocks {
            if !plans.iter().any(|(known, _)| known == window) {
                plans.push((*window, AttentionPlan::new(network.backend, packed, *window)?));
            }
        }
        Ok(Self { plans, positions, pass, rows, n_head_kv: network.design.n_head_kv })
    }

    fn check(&self) -> Result<(), LoraError> {
        if (self.pass.is_stopped)() { Err(LoraError::Stopped) } else { Ok(()) }
    }

    fn max_nodes(&self) -> usize {
        let most = self.plans.iter().map(|(_, plan)| plan.max_nodes(self.n_head_kv)).max();
        block::MAX_NODES + most.unwrap_or(0)
    }

    fn rows<'t>(&'t self, network: &'t Network<'_>, index: usize) -> Rows<'t> {
        let attention = &network.design.blocks[index];
        let plan = self.plans.iter().find(|(window, _)| *window == attention.window);
        Rows {
            design: &network.design,
            plan: plan.map_or(&self.plans[0].1, |(_, plan)| plan),
            positions: self.positions.at(0),
            rope_factors: network.weights.plain("rope_freqs.weight"),
            rope: &attention.rope,
        }
    }

    /// The masks of block `index`: the same on the way back as on the way there.
    fn dropout<'b>(
        &self,
        network: &Network<'b>,
        index: usize,
    ) -> Result<Option<DropoutMasks<'b>>, LoraError> {
        let Some(dropout) = self.pass.dropout.filter(|dropout| dropout.rate > 0.0) else {
            return Ok(None);
        };
        DropoutMasks::new(network, dropout, index, self.rows).map(Some)
    }
}

/// What is left out of the inputs of one block's fitted matrices.
#[derive(Debug)]
struct DropoutMasks<'b> {
    arena: Arena<'b>,
    projections: Vec<Projection>,
}

impl<'b> DropoutMasks<'b> {
    fn new(
        network: &Network<'b>,
        dropout: Dropout,
        block: usize,
        rows: usize,
    ) -> Result<Self, LoraError> {
        use rayon::prelude::*;

        let projections = network.adapter.config.projections.clone();
        let width = |projection: &Projection| projection.widths(&network.design).0;
        let shapes: Vec<_> = projections
            .iter()
            .map(|projection| (Kind::F32, [width(projection), rows, 1, 1]))
            .collect();
        let arena = Arena::new(network.backend, &shapes)?;
        let kept = 1.0 / (1.0 - dropout.rate);
        for (index, projection) in projections.iter().enumerate() {
            let part = dropout.generator.part(block as u64).part(*projection as u64);
            let mut mask = vec![0.0_f32; width(projection) * rows];
            mask.par_iter_mut().enumerate().for_each(|(index, value)| {
                let is_kept = part.uniform(index as u64) >= f64::from(dropout.rate);
                *value = if is_kept { kept } else { 0.0 };
            });
            arena.at(index).write(&mask)?;
        }
        Ok(Self { arena, projections })
    }

    fn of(&self, projection: Projection) -> Option<Tensor<'_>> {
        let index = self.projections.iter().position(|known| *known == projection)?;
        Some(self.arena.at(index))
    }
}
