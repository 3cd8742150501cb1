//! Learning from a person: REST-PG (arXiv 2501.04167) on what the person wrote.
//!
//! Pairs of request and text are made of the person's documents; notes on the person are written for
//! each; an adapter is fitted to them, then again, round by round, to the best of its own drafts; a
//! gate lets it into use only where it is proved to write better. A run is made of pieces that the
//! profile keeps, so that it can be stopped and killed anywhere. Knows nothing of terminals.

mod error;
mod expectation;
mod figures;
mod gate;
mod grading;
mod item;
mod journal;
mod leaks;
mod lesson;
mod maximization;
mod names;
mod overlap;
mod pairs;
mod reasoning;
mod related;
mod requests;
mod rounds;
mod scrub;
mod trial;
mod wanted;
mod workshop;

pub use error::{TrainError, would_end_so_again};
pub use expectation::{Harvest, Sample, stage as samples_stage};
pub use figures::Figures;
pub use gate::{Comparison, Costs, Guard, Rival, Verdict, Written, judge};
pub use grading::{Grader, if_room, likeness, verdicts};
pub use item::{ITEMS, Item, LEFT_OUT, Shelf, fits, items, key};
pub use journal::Journal;
pub use leaks::Learned;
pub use lesson::{Lesson, Wanted, example};
pub use maximization::{FITTED, Lessons, adapter_config, maximization};
pub use names::betrays;
pub use overlap::{Overlaps, leaked};
pub use pairs::{Dropped, Origin, Pair, PairRules, Pairs, RELATED_SHARE, Shown, WhyDropped, pairs};
pub use reasoning::{Fault, NOTES, Notes, write_notes};
pub use requests::write_requests;
pub use rounds::{
    AllNotes, InUse, LEARNED, NOTHING, OUTCOME, Outcome, ROUND, Round, Rounds, SFT, SFT_WITH_NOTES,
    VERDICT, round_name, train,
};
pub use scrub::scrub;
pub use trial::{HELD_OUT, System, Trial, drafts_of_each};
pub use workshop::{Asked, Drafted, Progress, Workshop, Writing, batch_size};
