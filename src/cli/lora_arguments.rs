//! The arguments of `restpg-edge lora`.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand, ValueHint};

use crate::lora::{Normalizer, Projection, Schedule, WeightType};

#[derive(Debug, Subcommand)]
pub(super) enum LoraCommand {
    /// Fit an adapter to prompts and the answers that are wanted
    #[command(after_help = "Examples:\n  \
        restpg-edge lora fit --data mails.jsonl --output mails\n  \
        restpg-edge lora fit --model gemma-3-270m --data mails.jsonl --rank 8 --epochs 5 --output g\n  \
        restpg-edge lora fit --data mails.jsonl --output mails --resume\n\n\
        An example a line: {\"prompt\": TEXT, \"answers\": [{\"text\": TEXT, \"weight\": NUMBER}]}, \
        weights as they may be absent, or {\"messages\": [{\"role\", \"content\"}]}, the last of \
        them the assistant's. The answers of one prompt share it: it is computed once.\n\n\
        The folder holds the run (checkpoint.safetensors), its losses (curve.svg) and, when it is \
        done, the adapter for llama.cpp (adapter.gguf). Ctrl-C stops at once and keeps every \
        step that is done; --resume then goes on as if nothing had happened.")]
    Fit(Box<FitArguments>),
    /// Turn an adapter into another format
    #[command(after_help = "Examples:\n  \
        restpg-edge lora convert mails mails-peft\n  \
        restpg-edge lora convert mails-peft mails.gguf\n\n\
        An adapter is the folder of a run, a GGUF file, or a folder with PEFT's \
        adapter_model.safetensors and adapter_config.json. What ends in .gguf is written for \
        llama.cpp, anything else for PEFT.")]
    Convert(ConvertArguments),
}

#[derive(Debug, Args)]
pub(super) struct FitArguments {
    /// Examples, one a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub data: PathBuf,
    /// Folder of the run; it is made
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub output: PathBuf,
    /// The model, by name; else [model] name
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Go on with the run in the folder
    #[arg(long)]
    pub resume: bool,
    /// Examples that are only measured, never trained on
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub held_out: Option<PathBuf>,
    /// Instead of a file: the last N of the data [default: a tenth]
    #[arg(long, value_name = "N", conflicts_with = "held_out")]
    pub held_out_examples: Option<usize>,
    /// Leave out examples with more tokens [default: what the model was trained for]
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u32>,
    /// Width of the adapter's bottleneck
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = small(1..=512))]
    pub rank: usize,
    /// What the adapter's part is multiplied by, times the rank [default: twice the rank]
    #[arg(long, value_name = "NUMBER", value_parser = positive)]
    pub alpha: Option<f32>,
    /// Divide alpha by the root of the rank instead of the rank (rsLoRA)
    #[arg(long)]
    pub rank_stabilized: bool,
    /// Matrices that are changed
    #[arg(long, value_name = "A,B", value_delimiter = ',', default_values = ALL, value_parser = projection)]
    pub projections: Vec<Projection>,
    /// Times that every example is seen
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = RangedU64ValueParser::<u64>::new().range(1..=1_000_000))]
    pub epochs: u64,
    /// Steps, instead of epochs
    #[arg(long, value_name = "N", conflicts_with = "epochs", value_parser = RangedU64ValueParser::<u64>::new().range(1..=100_000_000))]
    pub steps: Option<u64>,
    /// Examples of a step
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = small(1..=65_536))]
    pub batch: usize,
    /// The learning rate at its highest
    #[arg(long, value_name = "RATE", default_value_t = 2e-4, value_parser = not_negative_f64)]
    pub learning_rate: f64,
    /// What the rate of B is multiplied by (LoRA+)
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0, value_parser = not_negative_f64)]
    pub b_rate_ratio: f64,
    /// Share of the steps during which the rate rises
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    pub warmup: f64,
    /// How the rate falls
    #[arg(long, value_enum, default_value = "cosine")]
    pub schedule: Schedule,
    /// What a step takes from every value, times the rate
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0, value_parser = not_negative_f64)]
    pub weight_decay: f64,
    /// Longest gradient of a step; 0 for any
    #[arg(long, value_name = "NORM", default_value_t = 1.0, value_parser = not_negative_f64)]
    pub clip_norm: f64,
    /// Share of the adapter's inputs that is left out at random
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = small_share)]
    pub dropout: f32,
    /// Whether every token counts, or every answer
    #[arg(long, value_enum, default_value = "token")]
    pub per: Normalizer,
    /// Tokens that go through the network together, at most
    #[arg(long, value_name = "N", default_value_t = 2048)]
    pub pass_rows: usize,
    /// Of the order and the adapter's first numbers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How the model's weights are held [default: the best for the device]
    #[arg(long, value_enum)]
    pub weights: Option<WeightType>,
    /// The device, as `doctor` names it [default: a graphics card where there is one]
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// Steps between checkpoints
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub checkpoint_every: u64,
    /// Steps between measurements of the held-out loss
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub measure_every: u64,
    /// End after N measurements in a row that were no better than the best, and take the adapter of
    /// the best; 0 never
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub patience: usize,
}

#[derive(Debug, Args)]
pub(super) struct ConvertArguments {
    /// The adapter
    #[arg(value_hint = ValueHint::AnyPath)]
    pub from: PathBuf,
    /// Where it goes
    #[arg(value_hint = ValueHint::AnyPath)]
    pub to: PathBuf,
    /// The model that it belongs to; else [model] name
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
}

const ALL: [&str; 7] = ["q", "k", "v", "o", "gate", "up", "down"];

fn projection(text: &str) -> Result<Projection, String> {
    let index = ALL.iter().position(|name| *name == text);
    let index = index.ok_or_else(|| format!("it must be one of {}", ALL.join(", ")))?;
    Ok(Projection::ALL[index])
}

fn small(range: std::ops::RangeInclusive<u64>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(range)
}

fn not_negative_f64(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number >= 0.0 && number.is_finite() => Ok(number),
        _ => Err("it must be a number, 0 or more".into()),
    }
}

fn positive(text: &str) -> Result<f32, String> {
    match not_negative_f64(text) {
        Ok(number) if number > 0.0 => Ok(number as f32),
        _ => Err("it must be a number above 0".into()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    not_negative_f64(text)
        .ok()
        .filter(|share| *share <= 1.0)
        .ok_or_else(|| "it must be from 0 to 1".into())
}

fn small_share(text: &str) -> Result<f32, String> {
    let below = |share: &f64| *share <= 0.95;
    let share = share(text).ok().filter(below).ok_or("it must be from 0 to 0.95")?;
    Ok(share as f32)
}
