//! What keeps a run from beginning or going on.

use crate::error::{Error, Exit, Explain};

const TOO_FEW: &str = "too_few_texts";
const NOTHING: &str = "nothing_to_learn";

/// Why a run cannot begin or go on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TrainError {
    /// Somebody or something asked to stop.
    #[error("stopped")]
    Stopped,
    /// There is too little to learn from, or to prove it on.
    #[error(
        "{user:?} has {train} texts to learn from and {held_out} to prove it on; at least \
         {train_min} and {held_out_min} are needed"
    )]
    TooFew {
        /// Whose profile it is.
        user: String,
        /// Texts to learn from.
        train: usize,
        /// Texts that are held out.
        held_out: usize,
        /// How many are needed.
        train_min: usize,
        /// How many are needed.
        held_out_min: usize,
    },
    /// The model did nothing that can be learned from.
    #[error("no {what} came of any text")]
    Nothing {
        /// What there is none of.
        what: &'static str,
    },
}

/// Whether a run that ended so would end so whenever it is taken up again.
#[must_use]
pub fn would_end_so_again(error: &Error) -> bool {
    [TOO_FEW, NOTHING].contains(&error.inner().kind())
}

impl Explain for TrainError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Stopped => "interrupted",
            Self::TooFew { .. } => TOO_FEW,
            Self::Nothing { .. } => NOTHING,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Stopped => Exit::Interrupted,
            Self::TooFew { .. } | Self::Nothing { .. } => Exit::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Stopped => None,
            Self::TooFew { user, .. } => Some(format!(
                "Take in more writing (`restpg-edge ingest --user {user:?} FOLDER`), or say what \
                 became of drafts (`restpg-edge feedback`); `restpg-edge train --user {user:?} \
                 --dry-run` shows which texts do not serve, and why."
            )),
            Self::Nothing { .. } => Some(
                "Try a larger model, or notes by one ([train] reasoning_model); `restpg-edge train \
                 show` has what was written."
                    .into(),
            ),
        }
    }
}
