//! Systems side by side on people's held-out writing.
//!
//! What retrieval is worth, whether those who grade can be trusted, and what training adds. Knows
//! nothing of terminals.

mod aspects;
mod authorship;
mod cohort;
mod dataset;
mod fitted;
mod graders;
mod profiles;
mod render;
mod report;
mod retrieval;
mod scores;
mod systems;

pub use aspects::{AspectJudge, Aspects, Matched};
pub use authorship::Authors;
pub use cohort::{Cohort, CohortPlan, cohort, styles, that_fits};
pub use dataset::{DatasetError, HeldOut, Person, read_people};
pub use fitted::{Fitted, Sampled, ShownRound};
pub use graders::{Grader, GraderRow, GradersPlan, GradersReport, ORDERED, Text, evaluate_graders};
pub use render::{markdown, page, predictions};
pub use report::{Against, MEASURES, Measure, Row, SystemsReport};
pub use retrieval::{Comparison, Outcome, Plan, Report, System, TaskRow, evaluate_retrieval};
pub use scores::{Scorer, Scores};
pub use systems::{Case, Requests, Selection, Tried, Tries, Variant, tried_names, try_systems};
