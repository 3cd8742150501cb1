//! Where the time of graphs goes, operation by operation.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::time::Instant;

use llama_cpp_sys_2 as sys;

use super::graph::GraphMemory;
use super::{Backend, GgmlError, Graph, Tensor};

/// What operations of one kind took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OperationTime {
    /// How often it was computed.
    pub count: u64,
    /// In all.
    pub seconds: f64,
    /// Multiplications and additions of matrix products, in all; 0 for anything else.
    pub flop: f64,
}

/// The time of each kind of operation, by its name and, for products, what is multiplied.
pub type Profile = BTreeMap<String, OperationTime>;

/// Computes a graph that has memory already, one operation at a time.
pub(super) fn compute(
    backend: &Backend,
    graph: &Graph<'_, '_>,
    profile: &mut Profile,
) -> Result<(), GgmlError> {
    for node in graph.nodes() {
        let memory = GraphMemory::new(1)?;
        // SAFETY: the graph has room for one node, which is alive and has memory, as have its
        // sources: those that are computed were so in an earlier round.
        let (status, seconds) = unsafe {
            sys::ggml_graph_add_node(memory.raw(), node.raw.as_ptr());
            let started = Instant::now();
            let status = sys::ggml_backend_graph_compute(backend.raw.as_ptr(), memory.raw());
            (status, started.elapsed().as_secs_f64())
        };
        if status != sys::GGML_STATUS_SUCCESS {
            return Err(GgmlError::Compute { device: backend.name() });
        }
        let (name, flop) = describe(node);
        let entry = profile.entry(name).or_default();
        entry.count += 1;
        entry.seconds += seconds;
        entry.flop += flop;
    }
    Ok(())
}

fn describe(node: Tensor<'_>) -> (String, f64) {
    let fields = node.fields();
    // SAFETY: the description is a string of the library's own.
    let name = unsafe { CStr::from_ptr(sys::ggml_op_desc(node.raw.as_ptr())) };
    let name = name.to_string_lossy().to_lowercase();
    let is_custom = fields.op == sys::GGML_OP_CUSTOM;
    let given = fields.name.map(|byte| byte as u8);
    let given = CStr::from_bytes_until_nul(&given).unwrap_or_default().to_string_lossy();
    // What is added to is the first source.
    let a = match (fields.op, &*given) {
        (sys::GGML_OP_MUL_MAT, _) | (sys::GGML_OP_CUSTOM, "product") => fields.src[0],
        (sys::GGML_OP_CUSTOM, "product_onto") => fields.src[1],
        _ => return (if is_custom { given.into_owned() } else { name }, 0.0),
    };
    // SAFETY: the sources of a node that was computed are alive, and a type's name is the
    // library's own.
    let (a, kind) = unsafe {
        let kind = CStr::from_ptr(sys::ggml_type_name((*a).type_));
        (Tensor { raw: NonNull::new_unchecked(a), life: PhantomData }, kind.to_string_lossy())
    };
    // [k, m] times [k, n] is [m, n]; whichever way it lies, `a` has k times m elements.
    let [m, n, batches, _] = node.shape();
    let k = a.elements() / a.shape()[2] / m;
    let class = match (batches, k.min(m).min(n)) {
        (2.., _) => "of heads".to_owned(),
        (_, ..=64) => format!("{kind}, thin"),
        _ => kind.into_owned(),
    };
    (format!("product {class}"), 2.0 * (k * m * n * batches) as f64)
}
