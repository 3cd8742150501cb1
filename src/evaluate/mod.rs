//! Systems side by side on people's held-out writing.
//!
//! So far: what retrieval is worth. Measures on people of a data set, never on one's own profile;
//! knows nothing of terminals.

mod dataset;
mod retrieval;
mod statistics;

pub use dataset::{DatasetError, HeldOut, Person, read_people};
pub use retrieval::{Comparison, Outcome, Plan, Report, System, TaskRow, evaluate_retrieval};
pub use statistics::Interval;
