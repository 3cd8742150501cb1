//! Systems side by side on people's held-out writing.
//!
//! What retrieval is worth, and whether those who grade can be trusted; what a model lost by being
//! changed. Measures on people of a data set or on a neutral text, never on one's own profile; knows nothing of terminals.

mod dataset;
mod graders;
mod retrieval;

pub use dataset::{DatasetError, HeldOut, Person, read_people};
pub use graders::{Grader, GraderRow, GradersPlan, GradersReport, ORDERED, Text, evaluate_graders};
pub use retrieval::{Comparison, Outcome, Plan, Report, System, TaskRow, evaluate_retrieval};
