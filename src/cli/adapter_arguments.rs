//! The arguments of `restpg-edge adapter`, their help and their examples.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

#[derive(Debug, Subcommand)]
pub(super) enum AdapterCommand {
    /// List the adapters of a profile, oldest first
    #[command(after_help = "Example: restpg-edge adapter list --user me")]
    List {
        /// Whose adapters
        #[arg(long, value_name = "U")]
        user: String,
    },
    /// Show what is known of an adapter
    #[command(after_help = "Example: restpg-edge adapter show --user me 5c01aa9e")]
    Show {
        /// Whose adapter
        #[arg(long, value_name = "U")]
        user: String,
        /// Its id
        adapter: String,
    },
    /// Take an adapter into the profile, encrypted
    #[command(after_help = "Examples:\n  \
        restpg-edge adapter add --user me mails\n  \
        restpg-edge adapter add --user me --model qwen2.5-coder-0.5b-instruct adapter.gguf\n\n\
        PATH is the folder of a run of `lora fit`, a GGUF adapter, or a folder of PEFT's. `adapter \
        use` puts it into use. What it learned from is not known to the profile: `profile forget` \
        cannot follow it.")]
    Add {
        /// Whose adapter it shall be
        #[arg(long, value_name = "U")]
        user: String,
        /// The model that it belongs to, by name
        #[arg(long, value_name = "NAME")]
        model: Option<String>,
        /// Where it is
        #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
        path: PathBuf,
    },
    /// Write with an adapter from now on, instead of the one in use for its model
    #[command(after_help = "Example: restpg-edge adapter use --user me 5c01aa9e")]
    Use {
        /// Whose adapter
        #[arg(long, value_name = "U")]
        user: String,
        /// Its id
        adapter: String,
    },
    /// Take the adapter in use out of use, and go back to the one before it
    #[command(after_help = "Examples:\n  \
        restpg-edge adapter rollback --user me\n  \
        restpg-edge adapter rollback --user me --model qwen2.5-coder-0.5b-instruct")]
    Rollback {
        /// Whose adapter
        #[arg(long, value_name = "U")]
        user: String,
        /// The model, by name
        #[arg(long, value_name = "NAME")]
        model: Option<String>,
    },
    /// Write an adapter into a plain GGUF file, which llama.cpp loads
    #[command(after_help = "Examples:\n  \
        restpg-edge adapter export --user me 5c01aa9e --to mine.gguf\n  \
        restpg-edge adapter export --user me 5c01aa9e --merge --to my-model.gguf\n\n\
        --merge writes the whole model with the adapter in its weights, those in 16 bits: for \
        programs that take no adapters. The file is not encrypted. An adapter knows what it was trained on: whoever has it can make \
        a model write like you, and may get pieces of your texts out of it.")]
    Export {
        /// Whose adapter
        #[arg(long, value_name = "U")]
        user: String,
        /// Its id
        adapter: String,
        /// Write the model with the adapter merged into it
        #[arg(long)]
        merge: bool,
        /// The file
        #[arg(long, value_name = "FILE.gguf", value_hint = ValueHint::FilePath)]
        to: PathBuf,
        /// Overwrite the file where it is there
        #[arg(long)]
        force: bool,
    },
    /// Remove an adapter for good
    #[command(after_help = "Example: restpg-edge adapter remove --user me 5c01aa9e")]
    Remove {
        /// Whose adapter
        #[arg(long, value_name = "U")]
        user: String,
        /// Its id
        adapter: String,
    },
}
