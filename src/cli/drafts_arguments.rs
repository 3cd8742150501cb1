//! The arguments of `restpg-edge drafts` and `feedback`, their help and their examples.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

#[derive(Debug, Subcommand)]
pub(super) enum DraftsCommand {
    /// List the drafts that were kept, newest first
    #[command(after_help = "Example: restpg-edge drafts list --user me")]
    List {
        /// Whose drafts
        #[arg(long, value_name = "U")]
        user: String,
    },
    /// Print a draft, or the text that it became; without an id, the newest
    #[command(after_help = "Examples:\n  \
        restpg-edge drafts show --user me\n  \
        restpg-edge drafts show --user me 5c01aa9e")]
    Show {
        /// Whose draft
        #[arg(long, value_name = "U")]
        user: String,
        /// Its id
        draft: Option<String>,
    },
    /// Remove drafts, with what was said of them
    #[command(after_help = "Examples:\n  \
        restpg-edge drafts remove --user me 5c01aa9e\n  \
        restpg-edge drafts remove --user me --all")]
    Remove {
        /// Whose drafts
        #[arg(long, value_name = "U")]
        user: String,
        #[command(flatten)]
        which: WhichDrafts,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct WhichDrafts {
    /// All of them
    #[arg(long)]
    pub(super) all: bool,
    /// Their ids
    #[arg(value_name = "DRAFT")]
    pub(super) drafts: Vec<String>,
}

/// What the person made of a draft.
#[derive(Debug, Args)]
pub(super) struct FeedbackArguments {
    /// Whose draft
    #[arg(long, value_name = "U")]
    pub(super) user: String,
    /// Which draft, by its id; the newest where none is named
    #[arg(long, value_name = "ID")]
    pub(super) draft: Option<String>,
    #[command(flatten)]
    pub(super) verdict: VerdictArguments,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct VerdictArguments {
    /// It was used as it was
    #[arg(long)]
    pub(super) accept: bool,
    /// It was of no use
    #[arg(long)]
    pub(super) reject: bool,
    /// The text that it became; - reads it from standard input
    #[arg(long, value_name = "FINAL.txt", value_hint = ValueHint::FilePath)]
    pub(super) file: Option<PathBuf>,
}
