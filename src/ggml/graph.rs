//! A graph while it is built: every operation is checked before ggml sees it.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;

use llama_cpp_sys_2 as sys;

use super::arena::context;
use super::{Backend, GgmlError, Tensor};

/// Sources that an operation here has at most; each may be a tensor of an arena.
const SOURCES_MAX: usize = 3;

/// Operations on their way to a device. `'g` is the building, `'outer` what stands longer: the
/// arenas whose tensors it reads. As with scoped threads, neither can be mixed up: a tensor of a
/// graph cannot leave it, and one of an arena that ends before the graph is computed cannot come in.
#[derive(Debug)]
pub struct Graph<'g, 'outer: 'g> {
    memory: &'g GraphMemory,
    pub(super) backend: &'g Backend,
    nodes: Cell<usize>,
    building: PhantomData<&'g mut &'g ()>,
    outer: PhantomData<&'outer mut &'outer ()>,
}

impl<'g, 'outer: 'g> Graph<'g, 'outer> {
    pub(super) fn new(backend: &'g Backend, memory: &'g GraphMemory) -> Self {
        Self { memory, backend, nodes: Cell::new(0), building: PhantomData, outer: PhantomData }
    }

    pub(super) fn raw(&self) -> *mut sys::ggml_cgraph {
        self.memory.raw()
    }

    /// The operations in the order in which they are computed.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Tensor<'_>> {
        // SAFETY: the graph is valid; it reads a count.
        let count = unsafe { sys::ggml_graph_n_nodes(self.raw()) };
        (0..count).filter_map(|index| {
            // SAFETY: the index is below the count.
            let node = unsafe { sys::ggml_graph_node(self.raw(), index) };
            NonNull::new(node).map(|raw| Tensor { raw, life: PhantomData })
        })
    }

    /// Room for one more tensor, or the error that there is none: ggml would abort.
    pub(super) fn reserve(&self) -> Result<*mut sys::ggml_context, GgmlError> {
        if self.nodes.get() == self.memory.max_nodes {
            return Err(self.full());
        }
        self.nodes.set(self.nodes.get() + 1);
        Ok(self.memory.context.as_ptr())
    }

    /// What an operation made.
    pub(super) fn made(&self, raw: *mut sys::ggml_tensor) -> Result<Tensor<'g>, GgmlError> {
        let raw = NonNull::new(raw).ok_or_else(|| self.full())?;
        Ok(Tensor { raw, life: PhantomData })
    }

    fn full(&self) -> GgmlError {
        GgmlError::Full { max_nodes: self.memory.max_nodes }
    }

    /// Puts `tensor`, and what it needs, next in the order of computing.
    pub(super) fn expand(&self, tensor: Tensor<'g>) {
        // SAFETY: both are of this graph's context; the graph has room for every tensor that the
        // context can hold and every source of each.
        unsafe { sys::ggml_build_forward_expand(self.raw(), tensor.raw.as_ptr()) };
    }
}

/// The memory that a graph is written into: its tensors without their elements, and their order.
#[derive(Debug)]
pub(super) struct GraphMemory {
    context: NonNull<sys::ggml_context>,
    graph: NonNull<sys::ggml_cgraph>,
    max_nodes: usize,
}

impl GraphMemory {
    pub(super) fn new(max_nodes: usize) -> Result<Self, GgmlError> {
        let size = max_nodes * (1 + SOURCES_MAX);
        // SAFETY: a constant for a size.
        let overhead = unsafe { sys::ggml_graph_overhead_custom(size, false) };
        let context = context(max_nodes, overhead)?;
        // SAFETY: the context has room for a graph of this size.
        let graph = unsafe { sys::ggml_new_graph_custom(context.as_ptr(), size, false) };
        let Some(graph) = NonNull::new(graph) else {
            // SAFETY: nobody else owns the context.
            unsafe { sys::ggml_free(context.as_ptr()) };
            return Err(GgmlError::Full { max_nodes });
        };
        Ok(Self { context, graph, max_nodes })
    }

    pub(super) fn raw(&self) -> *mut sys::ggml_cgraph {
        self.graph.as_ptr()
    }
}

impl Drop for GraphMemory {
    fn drop(&mut self) {
        // SAFETY: the context is this value's own, freed once; it holds the graph too. Graphs
        // borrow it.
        unsafe { sys::ggml_free(self.context.as_ptr()) };
    }
}
