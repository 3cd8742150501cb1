//! A device that computes graphs, and the memory that it computes them in.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::ptr::NonNull;

use llama_cpp_sys_2 as sys;

use super::graph::{Graph, GraphMemory};
use super::profile::{self, Profile};
use super::{GgmlError, Tensor};

/// The processor, or another device that the build can use, with memory for what is on its way.
#[derive(Debug)]
pub struct Backend {
    pub(super) raw: NonNull<sys::ggml_backend>,
    allocator: NonNull<sys::ggml_gallocr>,
    is_cpu: bool,
    peak_bytes: Cell<usize>,
    profile: RefCell<Option<Profile>>,
}

impl Backend {
    /// The processor, on `threads` threads.
    ///
    /// # Errors
    /// [`GgmlError::Memory`].
    pub fn cpu(threads: u32) -> Result<Self, GgmlError> {
        // SAFETY: it takes nothing; null is an allocation that failed.
        let raw = unsafe { sys::ggml_backend_cpu_init() };
        let backend = Self::with_allocator(raw, true)?;
        let threads = i32::try_from(threads.max(1)).unwrap_or(1);
        // SAFETY: the backend was just made by the CPU's own constructor.
        unsafe { sys::ggml_backend_cpu_set_n_threads(backend.raw.as_ptr(), threads) };
        Ok(backend)
    }

    /// The device of that name, as `doctor` lists it.
    ///
    /// # Errors
    /// [`GgmlError::NoDevice`], [`GgmlError::Memory`].
    pub fn device(name: &str, threads: u32) -> Result<Self, GgmlError> {
        let missing = || GgmlError::NoDevice { name: name.to_owned() };
        let wanted = CString::new(name).map_err(|_| missing())?;
        // SAFETY: the name ends with a zero; null is a device that is not there.
        let device = unsafe { sys::ggml_backend_dev_by_name(wanted.as_ptr()) };
        if device.is_null() {
            return Err(missing());
        }
        // SAFETY: the device is one that the library has just named.
        let kind = unsafe { sys::ggml_backend_dev_type(device) };
        if kind == sys::GGML_BACKEND_DEVICE_TYPE_CPU {
            return Self::cpu(threads);
        }
        // SAFETY: as above; without parameters it takes its own.
        let raw = unsafe { sys::ggml_backend_dev_init(device, std::ptr::null()) };
        Self::with_allocator(raw, false)
    }

    fn with_allocator(raw: sys::ggml_backend_t, is_cpu: bool) -> Result<Self, GgmlError> {
        let none = || GgmlError::Memory { device: "the device".into(), bytes: 0 };
        let raw = NonNull::new(raw).ok_or_else(none)?;
        // SAFETY: the backend is valid, and its buffer type lives as long as the library.
        let allocator = unsafe {
            sys::ggml_gallocr_new(sys::ggml_backend_get_default_buffer_type(raw.as_ptr()))
        };
        let allocator = NonNull::new(allocator).ok_or_else(none)?;
        Ok(Self { raw, allocator, is_cpu, peak_bytes: Cell::new(0), profile: RefCell::new(None) })
    }

    /// Whether it is the processor, which reads the program's own memory.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        self.is_cpu
    }

    /// Memory that is free on it; `None` where it does not say.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        // SAFETY: the backend is valid, and its device lives as long as the library.
        let device = unsafe { sys::ggml_backend_get_device(self.raw.as_ptr()) };
        if device.is_null() {
            return None;
        }
        let (mut free, mut total) = (0, 0);
        // SAFETY: both places are this function's own.
        unsafe { sys::ggml_backend_dev_memory(device, &raw mut free, &raw mut total) };
        (total > 0).then_some(free as u64)
    }

    /// Its name, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        // SAFETY: the name of a backend is a string that lives as long as it.
        let name = unsafe { CStr::from_ptr(sys::ggml_backend_name(self.raw.as_ptr())) };
        name.to_string_lossy().into_owned()
    }

    /// Builds a graph of at most `max_nodes` tensors and computes it. What it leaves behind is
    /// what `build` stored in tensors of an [`Arena`](super::Arena).
    ///
    /// # Errors
    /// Those of `build`, and [`GgmlError`] where the device cannot.
    pub fn run<'outer, T, E: From<GgmlError>>(
        &self,
        max_nodes: usize,
        build: impl for<'g> FnOnce(&'g Graph<'g, 'outer>) -> Result<T, E>,
    ) -> Result<T, E> {
        let _building = Building::begin()?;
        let memory = GraphMemory::new(max_nodes)?;
        let graph = Graph::new(self, &memory);
        let value = build(&graph)?;
        self.compute(&graph)?;
        Ok(value)
    }

    /// Builds a graph and computes nothing: the names of the operations that the device lacks.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn missing<'outer, E: From<GgmlError>>(
        &self,
        max_nodes: usize,
        build: impl for<'g> FnOnce(&'g Graph<'g, 'outer>) -> Result<(), E>,
    ) -> Result<Vec<String>, E> {
        let _building = Building::begin()?;
        let memory = GraphMemory::new(max_nodes)?;
        let graph = Graph::new(self, &memory);
        build(&graph)?;
        let mut missing: Vec<String> = Vec::new();
        for node in graph.nodes() {
            if let Err(GgmlError::Unsupported { op, .. }) = self.check_support(node)
                && !missing.contains(&op)
            {
                missing.push(op);
            }
        }
        Ok(missing)
    }

    fn compute(&self, graph: &Graph<'_, '_>) -> Result<(), GgmlError> {
        for node in graph.nodes() {
            self.check_support(node)?;
            self.check_sources(node)?;
        }
        let raw = graph.raw();
        // Left to itself, the allocator would keep its plan for the next graph that has as many
        // nodes of these sizes, whatever their order.
        // SAFETY: the graph's tensors, and the arenas that they read, live through this call: the
        // graph borrows them. The allocator belongs to the same backend.
        let allocated = unsafe {
            sys::ggml_gallocr_reserve(self.allocator.as_ptr(), raw)
                && sys::ggml_gallocr_alloc_graph(self.allocator.as_ptr(), raw)
        };
        // SAFETY: the allocator has one buffer, number 0.
        let bytes = unsafe { sys::ggml_gallocr_get_buffer_size(self.allocator.as_ptr(), 0) };
        if !allocated {
            return Err(GgmlError::Memory { device: self.name(), bytes: bytes as u64 });
        }
        self.peak_bytes.set(self.peak_bytes.get().max(bytes));
        if let Some(profile) = self.profile.borrow_mut().as_mut() {
            return profile::compute(self, graph, profile);
        }
        // SAFETY: every node has memory now, every operation's shapes were checked as it was
        // added, and the device says that it supports each.
        match unsafe { sys::ggml_backend_graph_compute(self.raw.as_ptr(), raw) } {
            sys::GGML_STATUS_SUCCESS => Ok(()),
            sys::GGML_STATUS_ALLOC_FAILED => {
                Err(GgmlError::Memory { device: self.name(), bytes: bytes as u64 })
            }
            _ => Err(GgmlError::Compute { device: self.name() }),
        }
    }

    /// Whether what a node reads lies where the device can read it, and rows that are looked up by
    /// number are there: the numbers may have been written anew since the node was made.
    fn check_sources(&self, node: Tensor<'_>) -> Result<(), GgmlError> {
        let sources = node.fields().src.map(NonNull::new).into_iter().flatten();
        let sources: Vec<Tensor<'_>> =
            sources.map(|raw| Tensor { raw, life: PhantomData }).collect();
        let elsewhere = |source: &Tensor<'_>| {
            let buffer = source.fields().buffer;
            // SAFETY: a buffer that is set is alive as long as its tensors.
            !buffer.is_null()
                && !unsafe {
                    let kind = sys::ggml_backend_buffer_get_type(buffer);
                    sys::ggml_backend_supports_buft(self.raw.as_ptr(), kind)
                }
        };
        let rows = match (node.fields().op, sources.as_slice()) {
            (sys::GGML_OP_GET_ROWS, [table, rows]) => Some((table.shape()[1], rows)),
            (sys::GGML_OP_SET_ROWS, [_, rows, ..]) => Some((node.shape()[1], rows)),
            _ => None,
        };
        let missing = rows.is_some_and(|(count, rows)| {
            rows.largest_index().is_none_or(|largest| largest >= count)
        });
        if missing || sources.iter().any(elsewhere) {
            let what: Vec<String> = sources.iter().map(Tensor::describe).collect();
            return Err(GgmlError::Shape { op: "a graph", what: what.join(" and ") });
        }
        Ok(())
    }

    /// Whether the device computes the operation that `node` stands for.
    pub(super) fn check_support(&self, node: Tensor<'_>) -> Result<(), GgmlError> {
        // SAFETY: both are valid; it reads shapes and types alone.
        if unsafe { sys::ggml_backend_supports_op(self.raw.as_ptr(), node.raw.as_ptr()) } {
            return Ok(());
        }
        // SAFETY: the description is a string of the library's own.
        let op = unsafe { CStr::from_ptr(sys::ggml_op_desc(node.raw.as_ptr())) };
        let op = op.to_string_lossy().into_owned();
        Err(GgmlError::Unsupported { device: self.name(), op })
    }

    /// From now on, computes one operation at a time and notes what each takes; this costs time of
    /// its own.
    pub fn start_profile(&self) {
        self.profile.replace(Some(Profile::new()));
    }

    /// What was noted since [`Backend::start_profile`], where it was called.
    pub fn take_profile(&self) -> Option<Profile> {
        self.profile.take()
    }

    /// The most memory that any graph has taken so far.
    #[must_use]
    pub fn graph_peak_bytes(&self) -> usize {
        self.peak_bytes.get()
    }
}

thread_local! {
    static IS_BUILDING: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, a graph is being built in this thread: another inside of it could take its
/// tensors for its own.
struct Building;

impl Building {
    fn begin() -> Result<Self, GgmlError> {
        if IS_BUILDING.replace(true) {
            let what = "a graph inside of another".to_owned();
            return Err(GgmlError::Shape { op: "a device", what });
        }
        Ok(Self)
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        IS_BUILDING.set(false);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // SAFETY: both were made by their constructors and are freed once; graphs and arenas
        // borrow the backend, so none is left.
        unsafe {
            sys::ggml_gallocr_free(self.allocator.as_ptr());
            sys::ggml_backend_free(self.raw.as_ptr());
        }
    }
}
