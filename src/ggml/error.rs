//! What can go wrong between a shape and a result.

use crate::error::{Exit, Explain};

/// Why a computation cannot be built or run.
#[derive(Debug, thiserror::Error)]
pub enum GgmlError {
    /// An operation was asked of tensors that it does not take.
    #[error("{op} cannot take {what}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The tensors.
        what: String,
    },
    /// A graph was begun with room for fewer operations.
    #[error("a graph with room for {max_nodes} tensors is full")]
    Full {
        /// What it was begun with.
        max_nodes: usize,
    },
    /// Memory of the device is not to be had.
    #[error("{device} cannot give {bytes} bytes")]
    Memory {
        /// The device.
        device: String,
        /// What was asked for.
        bytes: u64,
    },
    /// No such device in this build.
    #[error("there is no device {name:?}")]
    NoDevice {
        /// The name asked for.
        name: String,
    },
    /// A device lacks an operation.
    #[error("{device} cannot compute {op}")]
    Unsupported {
        /// The device.
        device: String,
        /// The operation, as ggml names it.
        op: String,
    },
    /// The device gave up while it computed.
    #[error("{device} failed while computing")]
    Compute {
        /// The device.
        device: String,
    },
}

impl Explain for GgmlError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Shape { .. } | Self::Full { .. } => "computation",
            Self::Memory { .. } => "out_of_memory",
            Self::NoDevice { .. } => "no_such_device",
            Self::Unsupported { .. } => "unsupported_by_device",
            Self::Compute { .. } => "device_failed",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NoDevice { .. } => Exit::Usage,
            _ => Exit::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Shape { .. } | Self::Full { .. } => {
                Some("This is a mistake of the program; please report it.".into())
            }
            Self::Memory { .. } => {
                Some("Close other programs, or choose shorter texts or a smaller model.".into())
            }
            Self::NoDevice { .. } => Some("`restpg-edge doctor` lists the devices.".into()),
            Self::Unsupported { .. } => Some("Use another device; the CPU computes all.".into()),
            Self::Compute { .. } => None,
        }
    }
}
