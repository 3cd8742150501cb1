//! The arguments of `restpg-edge train`, their help and their examples.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct TrainArguments {
    #[command(subcommand)]
    pub(super) command: Option<TrainCommand>,
    #[command(flatten)]
    pub(super) run: RunArguments,
}

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Whose writing is learned from
    #[arg(long, value_name = "U", required = true)]
    pub(super) user: Option<String>,
    /// The model, by name; else [model] name
    #[arg(long, value_name = "NAME")]
    pub(super) model: Option<String>,
    /// Rounds of self-training; else [train] rounds
    #[arg(long, value_name = "T")]
    pub(super) rounds: Option<u32>,
    /// Drafts of each request; else [train] samples
    #[arg(long, value_name = "M")]
    pub(super) samples: Option<u32>,
    /// The same seed, the same adapter; else [train] seed
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u32>,
    /// Stop after so many hours, to go on with --resume; else [train] hours_max
    #[arg(long, value_name = "H")]
    pub(super) max_hours: Option<f32>,
    /// How far to make way for other programs, 0 to 19; else [train] nice
    #[arg(long, value_name = "N")]
    pub(super) nice: Option<u32>,
    /// Go on with the run that was stopped, with the settings it was begun with
    #[arg(long, conflicts_with_all = ["model", "rounds", "samples", "seed"])]
    pub(super) resume: bool,
    /// Give up a run that was stopped, and begin another
    #[arg(long, conflicts_with = "resume")]
    pub(super) anew: bool,
    /// Show what would be learned from, what would not and why, and what it would take
    #[arg(long, conflicts_with_all = ["resume", "anew"])]
    pub(super) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum TrainCommand {
    /// Show what a run has done so far: requests, notes, drafts with their rewards; at its end, the rounds
    #[command(after_help = "Examples:\n  \
        restpg-edge train show --user me\n  \
        restpg-edge train show --user me --round 1\n  \
        restpg-edge train show --user me --round 1 --request 3")]
    Show {
        /// Whose run: the last one
        #[arg(long, value_name = "U")]
        user: String,
        /// The drafts of this round
        #[arg(long, value_name = "T")]
        round: Option<u32>,
        /// Of this request alone, with their texts
        #[arg(long, value_name = "N", requires = "round")]
        request: Option<usize>,
    },
    /// Remove the last run and all that is kept of it; adapters stay
    #[command(after_help = "Example: restpg-edge train remove --user me")]
    Remove {
        /// Whose run
        #[arg(long, value_name = "U")]
        user: String,
    },
}
