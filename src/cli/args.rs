//! The arguments, their help and their examples. Scripts depend on the names.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use super::adapter_arguments::AdapterCommand;
use super::drafts_arguments::{DraftsCommand, FeedbackArguments};
use super::lora_arguments::LoraCommand;
use super::profile_arguments::ProfileCommand;
use super::train_arguments::TrainArguments;
use crate::evaluate::{System, Variant};
use crate::ingest::Kind;
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
        Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such user, model, document, data set or adapter, \
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
#[command(next_help_heading = "Everywhere")]
pub(super) struct Global {
    /// Keep settings, models, profiles and keys below this folder
    #[arg(long, global = true, env = "RESTPG_HOME", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) home: Option<PathBuf>,
    /// Read the settings from this file
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
    /// Read the passphrase that protects a profile's key from this file
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) passphrase_file: Option<PathBuf>,
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
    #[command(after_help = "Examples:\n  \
        restpg-edge model list\n  \
        restpg-edge model pull smollm2-135m-instruct")]
    Model {
        #[command(subcommand)]
        command: ModelCommand,
    },
    /// Take writings into a profile
    #[command(after_help = "Examples:\n  \
        restpg-edge ingest --user me ~/notes letter.docx\n  \
        restpg-edge ingest --user me --me me@example.org,me@work.example ~/Maildir\n  \
        restpg-edge ingest --user me ~/Mail/Sent\n  \
        restpg-edge ingest --user me --prune --watch ~/notes\n  \
        pbpaste | restpg-edge ingest --user me -\n\n\
        Files that have not changed are skipped, so that the same folder can be given again at \
        any time. In a folder the name of a file tells its kind: text, Markdown, Org, \
        reStructuredText, web pages, PDF, Word, OpenDocument; mail as .eml, mbox or Maildir; \
        tables (.csv, .tsv); JSON lines, {\"id\", \"title\", \"text\", \"date\"} or \
        {\"user\", \"profile\": [...]}; the exports of ChatGPT and Claude.\n\n\
        Of mail only what you wrote yourself is kept. Your addresses are those of --me, else those \
        that most of your sent mail comes from.")]
    Ingest(IngestArguments),
    /// A profile: list, show, search, forget, check, protect, export, import, delete
    #[command(after_help = "Examples:\n  \
        restpg-edge profile list --user me\n  \
        restpg-edge profile search --user me \"the leaking roof\"")]
    Profile {
        #[command(subcommand)]
        command: ProfileCommand,
    },
    /// Write something in the person's own voice
    #[command(after_help = "Examples:\n  \
        restpg-edge generate --user me \"a note to the team about the moved deadline\"\n  \
        restpg-edge generate --user me --task review --max-tokens 200 \"the new kettle, 2 of 5\"\n  \
        restpg-edge generate --user me --best-of 8 \"thank Ann for the soup\"\n  \
        git log -1 --format=%B | restpg-edge generate --user me --task email - > draft.txt\n\n\
        stdout carries the answer alone; the reasoning is shown on stderr where it is a terminal.")]
    Generate(Box<GenerateArguments>),
    /// The adapters of a profile: list, show, add, use, rollback, export, remove
    #[command(after_help = "Examples:\n  \
        restpg-edge adapter list --user me\n  \
        restpg-edge adapter use --user me 5c01aa9e")]
    Adapter {
        #[command(subcommand)]
        command: AdapterCommand,
    },
    /// Teach the model to write like you, on your own writing; adopt what is proved to be better
    #[command(after_help = "Examples:\n  \
        restpg-edge train --user me --dry-run\n  \
        restpg-edge train --user me\n  \
        restpg-edge train --user me --resume\n  \
        restpg-edge train show --user me --round 1\n\n\
        Self-training (REST-PG, arXiv 2501.04167): the model writes drafts for what you once wrote, \
        each is compared with your own text, and a small adapter is fitted to the best ones, round by \
        round. Your newest texts are held out: an adapter is adopted only where it writes them better \
        than what is in use. Ctrl-C stops and keeps what is done. [train] in the settings has the \
        rest. Everything stays in the profile, encrypted.")]
    Train(TrainArguments),
    /// Say what became of a draft: used as it was, edited, or of no use
    #[command(after_help = "Examples:\n  \
        restpg-edge feedback --user me --accept\n  \
        restpg-edge feedback --user me --file sent.txt\n  \
        restpg-edge feedback --user me --draft 5c01aa9e --reject\n\n\
        The last word counts. A draft that was accepted, or the text that it became, is as good an \
        example of your writing as there is: request and text together. Of what a model drafts in \
        training, nothing is learned that is much like a draft of no use.")]
    Feedback(FeedbackArguments),
    /// The drafts that were kept: list, show, remove
    #[command(after_help = "Examples:\n  \
        restpg-edge drafts list --user me\n  \
        restpg-edge drafts show --user me 5c01aa9e\n  \
        restpg-edge drafts remove --user me --all\n\n\
        `generate` keeps what it gives in the profile, encrypted, unless it was stopped or wrote with \
        --no-profile: those that something was said of, and as many others as [generate] drafts_kept says. A draft goes with the documents that it \
        was written from. What something was said of may have been learned from: removing it removes \
        the run of training begun since too, not the adapters that came of it.")]
    Drafts {
        #[command(subcommand)]
        command: DraftsCommand,
    },
    /// Measure on held-out writing what training, retrieval, or a grade is worth
    #[command(after_help = "Examples:\n  \
        restpg-edge eval --user me --report proof.html\n  \
        restpg-edge eval --dataset email.jsonl --dataset review.jsonl --output results\n  \
        restpg-edge eval --retrieval --dataset email.jsonl --dataset review.jsonl --queries 20\n  \
        restpg-edge eval --graders --dataset email.jsonl --model qwen2.5-coder-0.5b-instruct\n\n\
        A data set has a person a line: {\"user\", \"task\", \"profile\": [{\"id\", \"title\", \
        \"text\", \"date\"}], \"queries\": [{\"id\", \"input\", \"output\"}]}. Systems side by side \
        (base, retrieval, reasoning, sft, sft-reasoning, rest-em, rest-pg; and the controls \
        sft-informed, whose notes are by a model that has seen the text, and rest-pg-misled, which \
        is shown another person's passages): what is fitted is fitted \
        on some people and tried on others, and gains are over sft; asked again with --against, which \
        takes little time, over another of them. --output has the tables, the page, the drafts in \
        LongLaMP's shape, and goes on where it was stopped. --retrieval \
        measures the mean log-likelihood per token that the model gives to the true output after \
        the request and the passages. --graders measures how often the judge and each metric put \
        the true text before another of the same person, and that before another person's. Both need \
        the embedding model of [retrieve] embedder.")]
    Eval(EvalArguments),
    /// Fit a LoRA adapter to examples in a file; convert adapters
    #[command(after_help = "Examples:\n  \
        restpg-edge lora fit --data mails.jsonl --output mails\n  \
        restpg-edge lora convert mails mails.gguf")]
    Lora {
        #[command(subcommand)]
        command: LoraCommand,
    },
    /// Show what there is to compute on, and whether the model fits
    #[command(after_help = "Examples:\n  \
        restpg-edge doctor\n  \
        RESTPG_MODEL_NAME=qwen2.5-coder-0.5b-instruct restpg-edge doctor\n\n\
        The model is the one of [model] name, with as much context as [model] context_tokens \
        allows. A process takes that much at most; most requests need less context. Exit code 1 \
        where the model is not here or does not fit.")]
    Doctor,
    /// Print the completion script for a shell
    #[command(after_help = "Example: restpg-edge completions bash > \
        ~/.local/share/bash-completion/completions/restpg-edge")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Read files for another restpg-edge, which says which ones on standard input
    #[command(hide = true)]
    ReadSources {
        /// Memory to use, in MiB
        #[arg(long, value_name = "MIB")]
        memory_mib_max: u32,
    },
    /// Print the manual page, of all or of one command
    #[command(after_help = "Examples:\n  \
        restpg-edge man | man -l -\n  \
        restpg-edge man train show | man -l -")]
    Man {
        /// The command
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },
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
    /// Convert a published embedding model and give it a name
    #[command(after_help = "Example:\n  \
        restpg-edge model import ./all-MiniLM-L6-v2 --name my-minilm\n\n\
        The folder is one that sentence-transformers saves: config.json, tokenizer.json, \
        model.safetensors. BERT models with a WordPiece vocabulary can be converted.")]
    Import {
        /// The model's folder
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        folder: PathBuf,
        /// Call the model this; by default the folder's name
        #[arg(long)]
        name: Option<String>,
        /// What its matrices become
        #[arg(long, value_enum, default_value = "f16")]
        weights: WeightArgument,
    },
    /// List the models that are known, and which are here
    #[command(after_help = "Example: restpg-edge model list")]
    List,
    /// Show a model's metadata, tensor types and memory
    #[command(after_help = "Examples:\n  \
        restpg-edge model show smollm2-135m-instruct\n  \
        restpg-edge model show --context 8192 smollm2-135m-instruct")]
    Show {
        /// Its name
        name: String,
        /// Tokens of context to state the memory of the KV cache for
        #[arg(long, value_name = "N")]
        context: Option<u32>,
    },
    /// Find the weight types that this machine runs a model fastest with
    #[command(after_help = "Examples:\n  \
        restpg-edge model tune smollm2-135m-instruct\n  \
        restpg-edge model tune --reset smollm2-135m-instruct\n\n\
        Each choice is made of the model's file and measured in turns with it; this takes minutes \
        for a small model. The fastest that loses no more than --max-loss is kept beside the file \
        and used in its place, for one draft and for many at once apart; `model show` has the \
        table. It needs room for three copies of the model meanwhile.")]
    Tune(TuneArguments),
    /// Recompute the hash of a model's file
    #[command(after_help = "Example: restpg-edge model verify smollm2-135m-instruct")]
    Verify {
        /// Its name
        name: String,
    },
    /// Remove a model from this machine
    #[command(after_help = "Example: restpg-edge model remove smollm2-135m-instruct")]
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct TuneArguments {
    /// Its name
    pub(super) name: String,
    /// How much more perplexity on a neutral text a choice may have, as a part of the model's own
    #[arg(long, value_name = "X", default_value_t = 0.01, value_parser = parse_loss)]
    pub(super) max_loss: f32,
    /// How often each choice is measured; medians count
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) rounds: u32,
    /// Go back to the model as it was pulled
    #[arg(long, conflicts_with_all = ["max_loss", "rounds"])]
    pub(super) reset: bool,
}

fn parse_loss(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(loss) if (0.0..=1.0).contains(&loss) => Ok(loss),
        _ => Err("it must be from 0 to 1".into()),
    }
}

/// What the matrices of a converted model become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum WeightArgument {
    /// 16-bit floats
    F16,
    /// 8-bit integers: half the size, vectors that differ a little
    #[value(name = "q8_0")]
    Q8_0,
}

#[derive(Debug, Args)]
pub(super) struct IngestArguments {
    /// Whose profile
    #[arg(long, value_name = "U")]
    pub(super) user: String,
    /// The files' format
    #[arg(long, value_name = "KIND", default_value = "auto", value_parser = kinds())]
    pub(super) kind: String,
    /// Your mail addresses; what they sent is yours. They are remembered
    #[arg(long, value_name = "A@B", value_delimiter = ',', value_parser = parse_address)]
    pub(super) me: Vec<String>,
    /// Whose writings to take from a file that holds several people
    #[arg(long, value_name = "NAME")]
    pub(super) person: Option<String>,
    /// Remove what came from files below these folders that are gone
    #[arg(long)]
    pub(super) prune: bool,
    /// Go on, and take in what changes, until Ctrl-C
    #[arg(long)]
    pub(super) watch: bool,
    /// Wait, up to ten minutes, while another command changes the profile
    #[arg(long)]
    pub(super) wait: bool,
    /// The column of a table that holds the text
    #[arg(long, value_name = "NAME")]
    pub(super) text_column: Option<String>,
    /// The column of a table that holds the title
    #[arg(long, value_name = "NAME")]
    pub(super) title_column: Option<String>,
    /// The column of a table that holds the date
    #[arg(long, value_name = "NAME")]
    pub(super) date_column: Option<String>,
    /// Files and folders; - is standard input
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(super) paths: Vec<PathBuf>,
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
    /// Whom it is for; passages written to the same person weigh more
    #[arg(long, value_name = "NAME|ADDRESS")]
    pub(super) to: Option<String>,
    /// The model, by name
    #[arg(long, value_name = "NAME")]
    pub(super) model: Option<String>,
    /// The adapter, by its id, or none; by default the one in use for the model
    #[arg(long, value_name = "ID|none", conflicts_with = "no_profile")]
    pub(super) adapter: Option<String>,
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
    /// Make it hard to say the same words again in the same order; 0 is off
    #[arg(long, value_name = "X")]
    pub(super) dry_multiplier: Option<f32>,
    /// Repeat a draft: the same seed on the same machine gives the same text
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(super::generate::SEED_MAX)))]
    pub(super) seed: Option<u32>,
    /// Write N drafts and keep the one that scores best; [reward] in the settings says what counts
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) best_of: u32,
    /// Answer at once, without reasoning about the person's style first
    #[arg(long)]
    pub(super) no_reasoning: bool,
    /// Use none of the person's documents and adapters, and keep no draft
    #[arg(long)]
    pub(super) no_profile: bool,
    /// Print the prompt on stderr
    #[arg(long)]
    pub(super) show_prompt: bool,
    /// Print the reasoning on stderr, terminal or not
    #[arg(long)]
    pub(super) show_reasoning: bool,
}

/// The formats that can be forced, each with what it is.
fn kinds() -> PossibleValuesParser {
    let auto = PossibleValue::new("auto").help("As the file's name tells");
    let kinds = Kind::ALL.map(|kind| PossibleValue::new(kind.name()).help(kind.description()));
    std::iter::once(auto).chain(kinds).collect::<Vec<_>>().into()
}

fn parse_address(text: &str) -> Result<String, String> {
    let address = text.trim().to_lowercase();
    let parts = address.split_once('@');
    match parts {
        Some((name, domain)) if !name.is_empty() && !domain.is_empty() => Ok(address),
        _ => Err("a mail address looks like you@example.org".into()),
    }
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("measured").args(["retrieval", "graders"])))]
#[command(group(ArgGroup::new("whose").args(["user", "dataset"]).required(true)))]
pub(super) struct EvalArguments {
    /// Compare ways to choose passages
    #[arg(long)]
    pub(super) retrieval: bool,
    /// See whether the judge and the metrics can tell texts apart
    #[arg(long, conflicts_with_all = ["retrieval", "systems"])]
    pub(super) graders: bool,
    /// Try the systems on what is held out of this person's last training run
    #[arg(long, value_name = "U", conflicts_with_all = ["retrieval", "graders"])]
    pub(super) user: Option<String>,
    /// Files with a person a line
    #[arg(long, num_args = 1.., value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) dataset: Vec<PathBuf>,
    /// Folder for what comes of it, and for what goes on where it was stopped
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with_all = ["user", "retrieval", "graders"])]
    pub(super) output: Option<PathBuf>,
    /// Write the report as a page, with the drafts
    #[arg(long, value_name = "FILE.html", value_hint = ValueHint::FilePath, conflicts_with_all = ["retrieval", "graders"])]
    pub(super) report: Option<PathBuf>,
    /// What to compare, by names joined with commas; with --retrieval: none, random, recency, bm25, dense,
    /// hybrid, other-person, oracle
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = systems())]
    pub(super) systems: Vec<String>,
    /// Show the gains over this system, also one of several drafts such as "sft, best of 4" [default: sft, or
    /// where it is not tried the first]
    #[arg(long, value_name = "SYSTEM", conflicts_with_all = ["retrieval", "graders"])]
    pub(super) against: Option<String>,
    /// Queries of each task; a fixed sample, people in turn [default: 12; of systems: [eval]
    /// test_queries]
    #[arg(long, value_name = "N", conflicts_with = "user", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) queries: Option<u32>,
    /// Leave out this many queries of each task, in the sample's order: those that settings were
    /// chosen on
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "user")]
    pub(super) skip: u32,
    /// The model that writes or, with --retrieval, reads; with --graders the one that judges, else
    /// [judge] model
    #[arg(long, value_name = "NAME", conflicts_with = "user")]
    pub(super) model: Option<String>,
    /// With --retrieval or --graders: passages of each prompt [default: [retrieve] k]
    #[arg(long, value_name = "N", requires = "measured", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) k: Option<u32>,
    /// With --retrieval: longest output that is scored, in tokens; more is cut
    #[arg(long, value_name = "N", default_value_t = 256, requires = "retrieval", conflicts_with = "graders", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) output_tokens: u32,
}

fn systems() -> PossibleValuesParser {
    let names = System::ALL.map(System::name).into_iter().chain(Variant::ALL.map(Variant::name));
    names.collect::<Vec<_>>().into()
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

    #[test]
    fn every_command_has_examples() {
        fn look(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let is_shown = help.contains("Example") && help.contains(path.trim());
            assert!(is_shown || command.is_hide_set(), "{path}: {help}");
            command.get_subcommands().for_each(|command| look(command, &path));
        }
        look(&Arguments::command(), "");
    }

    #[test]
    fn several_addresses_come_as_a_list_or_one_by_one() {
        let line = "restpg-edge ingest --user me --me A@x.example,b@y.example --me c@z.example p";
        let Command::Ingest(arguments) =
            Arguments::try_parse_from(line.split(' ')).unwrap().command
        else {
            panic!("it is another command");
        };
        assert_eq!(arguments.me, ["a@x.example", "b@y.example", "c@z.example"]);
        assert_eq!(arguments.paths.len(), 1);
        let line = "restpg-edge ingest --user me --me nobody p";
        assert!(Arguments::try_parse_from(line.split(' ')).is_err());
    }
}
