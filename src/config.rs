//! Settings: defaults < config file < environment; the command line lays its flags on top.
//!
//! `configs/default.toml` is both the defaults and the schema: a key that is not there, or a value
//! of another type than there, is an error with its line and column. Values are parsed once and
//! range-checked once, here. This module knows nothing of what the settings do.

mod eval;
mod retrieve;
mod reward;
mod train;

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use crate::error::{Exit, Explain};

pub use eval::EvalConfig;
pub use retrieve::RetrieveConfig;
pub use reward::RewardConfig;
pub use train::{OnBattery, TrainConfig};

const DEFAULTS: &str = include_str!("../configs/default.toml");
const ENVIRONMENT_PREFIX: &str = "RESTPG_";
/// No setting: it says where the settings lie.
const HOME_VARIABLE: &str = "RESTPG_HOME";

/// All settings. `configs/default.toml` explains each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The model and how it runs.
    pub model: ModelConfig,
    /// What is written, and how it is sampled.
    pub generate: GenerateConfig,
    /// How many drafts are written at once.
    pub sample: SampleConfig,
    /// Who grades them.
    pub judge: JudgeConfig,
    /// What their scores are made of.
    pub reward: RewardConfig,
    /// How a model learns from the person.
    pub train: TrainConfig,
    /// How much is measured.
    pub eval: EvalConfig,
    /// What is looked up in the profile.
    pub retrieve: RetrieveConfig,
    /// How writings are taken in.
    pub ingest: IngestConfig,
}

/// `[model]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ModelConfig {
    pub name: String,
    pub threads: u32,
    pub context_tokens: u32,
    pub batch_tokens: u32,
    pub cache_type: String,
    pub prefix_cache_mib_max: u32,
    pub memory_mib_max: u32,
}

/// `[generate]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct GenerateConfig {
    pub reasoning: bool,
    pub reasoning_tokens: u32,
    pub answer_tokens: u32,
    pub temperature: f32,
    pub top_k: u32,
    pub top_p: f32,
    pub min_p: f32,
    pub repeat_penalty: f32,
    pub repeat_window_tokens: u32,
    pub dry_multiplier: f32,
    pub drafts_kept: u32,
}

/// `[sample]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct SampleConfig {
    pub drafts_at_once: u32,
    pub cache_mib_max: u32,
}

/// `[judge]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct JudgeConfig {
    pub model: String,
}

/// `[ingest]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct IngestConfig {
    pub chunk_tokens: u32,
    pub file_mib_max: u32,
    pub reader_mib_max: u32,
    pub reader_seconds_max: u32,
}

/// What is wrong with the settings, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named by `--config` cannot be read.
    #[error("cannot read the config file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{}:{line}:{column}: {what}", path.display())]
    At {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong there.
        what: String,
        /// The next step.
        help: String,
    },
    /// An environment variable with a value of the wrong type.
    #[error("the environment variable {name} is {value:?}; it must be {expected}")]
    Environment {
        /// The variable.
        name: String,
        /// Its value.
        value: String,
        /// What its type is.
        expected: &'static str,
    },
    /// An environment variable that is meant for this program but names no setting.
    #[error("the environment variable {name} names no setting")]
    UnknownVariable {
        /// The variable.
        name: String,
    },
    /// A value of the right type outside its range.
    #[error("{key} is {value}; it must be {range}")]
    OutOfRange {
        /// Dotted key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        range: &'static str,
    },
}

impl Explain for ConfigError {
    fn kind(&self) -> &'static str {
        "bad_config"
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Unreadable { .. } => "Check the path given with --config.".into(),
            Self::At { help, .. } => help.clone(),
            Self::Environment { name, .. } => format!("Unset {name} or correct it."),
            Self::UnknownVariable { .. } => "Unset it or correct its name: RESTPG_, the section, \
                 the key, as in RESTPG_GENERATE_TEMPERATURE; configs/default.toml has all of them."
                .into(),
            Self::OutOfRange { key, .. } => format!(
                "Correct {key} in the config file, the environment or the flag that sets it."
            ),
        })
    }
}

impl Config {
    /// Reads the settings: the defaults, then `file` where it exists (`required`: it must), then
    /// those variables of `environment` whose names begin with `RESTPG_`.
    ///
    /// # Errors
    /// [`ConfigError`], the first one found.
    pub fn load(
        file: &Path,
        required: bool,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut settings: Table = defaults();
        match std::fs::read_to_string(file) {
            Ok(text) => overlay(&mut settings, &text, file)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {}
            Err(source) => {
                return Err(ConfigError::Unreadable { path: file.to_owned(), source });
            }
        }
        overlay_environment(&mut settings, environment)?;
        let config: Self =
            settings.try_into().expect("every section and key was checked against the defaults");
        config.check()?;
        Ok(config)
    }

    /// Checks every range; call again after flags were laid on top.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for the first value outside its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let GenerateConfig {
            reasoning: _,
            reasoning_tokens,
            answer_tokens,
            temperature,
            top_k: _,
            top_p,
            min_p,
            repeat_penalty,
            repeat_window_tokens,
            dry_multiplier,
            drafts_kept: _,
        } = &self.generate;
        let tokens = |value: &u32| (1..=1 << 20).contains(value);
        let model = &self.model;
        range(model.threads <= 1024, "model.threads", &model.threads, "from 0 to 1024")?;
        range(
            (1..=8192).contains(&model.batch_tokens),
            "model.batch_tokens",
            &model.batch_tokens,
            "from 1 to 8192",
        )?;
        range(
            ["f32", "f16", "q8_0"].contains(&model.cache_type.as_str()),
            "model.cache_type",
            &model.cache_type,
            "f32, f16 or q8_0",
        )?;
        range(
            model.memory_mib_max <= 1 << 24,
            "model.memory_mib_max",
            &model.memory_mib_max,
            "from 0 to 16777216",
        )?;
        range(
            model.prefix_cache_mib_max <= 1 << 20,
            "model.prefix_cache_mib_max",
            &model.prefix_cache_mib_max,
            "from 0 to 1048576",
        )?;
        range(
            tokens(reasoning_tokens),
            "generate.reasoning_tokens",
            reasoning_tokens,
            "from 1 to 1048576",
        )?;
        range(tokens(answer_tokens), "generate.answer_tokens", answer_tokens, "from 1 to 1048576")?;
        range(
            (0.0..=10.0).contains(temperature),
            "generate.temperature",
            temperature,
            "from 0 to 10",
        )?;
        range(*top_p > 0.0 && *top_p <= 1.0, "generate.top_p", top_p, "above 0 and at most 1")?;
        range((0.0..1.0).contains(min_p), "generate.min_p", min_p, "from 0 to below 1")?;
        range(
            (1.0..=10.0).contains(repeat_penalty),
            "generate.repeat_penalty",
            repeat_penalty,
            "from 1 to 10",
        )?;
        range(
            *repeat_window_tokens <= 8192,
            "generate.repeat_window_tokens",
            repeat_window_tokens,
            "from 0 to 8192",
        )?;
        range(
            (0.0..=10.0).contains(dry_multiplier),
            "generate.dry_multiplier",
            dry_multiplier,
            "from 0 to 10",
        )?;
        self.sample.check()?;
        self.reward.check()?;
        self.train.check()?;
        self.eval.check()?;
        self.retrieve.check()?;
        range(
            !self.eval.aspects || !self.retrieve.embedder.is_empty(),
            "eval.aspects",
            &self.eval.aspects,
            "false without retrieve.embedder",
        )?;
        let ingest = &self.ingest;
        range(
            (16..=4096).contains(&ingest.chunk_tokens),
            "ingest.chunk_tokens",
            &ingest.chunk_tokens,
            "from 16 to 4096",
        )?;
        range(
            (1..=4096).contains(&ingest.file_mib_max),
            "ingest.file_mib_max",
            &ingest.file_mib_max,
            "from 1 to 4096",
        )?;
        range(
            (128..=65536).contains(&ingest.reader_mib_max),
            "ingest.reader_mib_max",
            &ingest.reader_mib_max,
            "from 128 to 65536",
        )?;
        range(
            (1..=3600).contains(&ingest.reader_seconds_max),
            "ingest.reader_seconds_max",
            &ingest.reader_seconds_max,
            "from 1 to 3600",
        )
    }
}

impl SampleConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let drafts = &self.drafts_at_once;
        range((1..=128).contains(drafts), "sample.drafts_at_once", drafts, "from 1 to 128")?;
        let mib = &self.cache_mib_max;
        range((1..=1 << 20).contains(mib), "sample.cache_mib_max", mib, "from 1 to 1048576")
    }
}

fn range(
    ok: bool,
    key: &'static str,
    value: &dyn ToString,
    range: &'static str,
) -> Result<(), ConfigError> {
    let value = value.to_string();
    if ok { Ok(()) } else { Err(ConfigError::OutOfRange { key, value, range }) }
}

/// A setting as it was written: 0.2, not the number next to it that 32 bits have.
#[must_use]
pub fn decimal(setting: f32) -> f64 {
    const DIGITS: f64 = 1e6;
    (f64::from(setting) * DIGITS).round() / DIGITS
}

fn defaults() -> Table {
    DEFAULTS.parse().expect("configs/default.toml is checked by a test")
}

/// Lays the settings of `text` over `settings`, refusing what the defaults do not have.
fn overlay(settings: &mut Table, text: &str, path: &Path) -> Result<(), ConfigError> {
    let at = |span: Range<usize>, what: String, help: String| {
        let (line, column) = line_and_column(text, span.start);
        ConfigError::At { path: path.to_owned(), line, column, what, help }
    };
    let parsed = DeTable::parse(text).map_err(|error| {
        at(
            error.span().unwrap_or(0..0),
            error.message().to_owned(),
            "Correct the TOML at this place.".into(),
        )
    })?;
    for (section, keys) in parsed.get_ref() {
        let Some(Value::Table(known)) = settings.get_mut(section.get_ref().as_ref()) else {
            let what = format!("unknown section [{}]", section.get_ref());
            let names: Vec<&str> = settings.keys().map(String::as_str).collect();
            return Err(at(section.span(), what, format!("Sections: {}.", names.join(", "))));
        };
        let DeValue::Table(keys) = keys.get_ref() else {
            let what = format!("{} must be a section: [{0}]", section.get_ref());
            return Err(at(section.span(), what, "Write its keys below that line.".into()));
        };
        for (key, value) in keys {
            let name = key.get_ref().as_ref();
            let Some(default) = known.get_mut(name) else {
                let what = format!("unknown key {name} in [{}]", section.get_ref());
                let names: Vec<&str> = known.keys().map(String::as_str).collect();
                let help = format!("Keys of [{}]: {}.", section.get_ref(), names.join(", "));
                return Err(at(key.span(), what, help));
            };
            *default = coerce(default, value).ok_or_else(|| {
                let expected = type_name(default);
                let what = format!("{}.{name} must be {expected}", section.get_ref());
                at(value.span(), what, format!("The default is {name} = {default}."))
            })?;
        }
    }
    Ok(())
}

/// The value with the type of `default`, where it has it; an integer also serves as a float.
fn coerce(default: &Value, value: &Spanned<DeValue<'_>>) -> Option<Value> {
    match (default, value.get_ref()) {
        (Value::String(_), DeValue::String(text)) => Some(Value::String(text.to_string())),
        (Value::Boolean(_), DeValue::Boolean(truth)) => Some(Value::Boolean(*truth)),
        (Value::Integer(_), DeValue::Integer(number)) => {
            let digits = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
            u32::try_from(digits).ok().map(|number| Value::Integer(number.into()))
        }
        (Value::Float(_), DeValue::Float(text)) => finite(text.as_str()),
        (Value::Float(_), DeValue::Integer(text)) => finite(text.as_str()),
        _ => None,
    }
}

fn finite(text: &str) -> Option<Value> {
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(Value::Float(number))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a whole number from 0 to 4294967295",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        _ => "a table",
    }
}

fn overlay_environment(
    settings: &mut Table,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    let ours = environment
        .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX) && name != HOME_VARIABLE);
    for (name, value) in ours {
        let Some(setting) = setting_of_variable(settings, &name) else {
            return Err(ConfigError::UnknownVariable { name });
        };
        let parsed = match setting {
            Value::String(_) => Some(Value::String(value.clone())),
            Value::Boolean(_) => value.parse().ok().map(Value::Boolean),
            Value::Integer(_) => {
                value.parse::<u32>().ok().map(|number| Value::Integer(number.into()))
            }
            Value::Float(_) => finite(&value),
            _ => None,
        };
        let expected = type_name(setting);
        *setting = parsed.ok_or(ConfigError::Environment { name, value, expected })?;
    }
    Ok(())
}

fn setting_of_variable<'a>(settings: &'a mut Table, name: &str) -> Option<&'a mut Value> {
    for (section, keys) in settings.iter_mut() {
        let Value::Table(keys) = keys else { continue };
        for (key, value) in keys.iter_mut() {
            if format!("{ENVIRONMENT_PREFIX}{section}_{key}").to_uppercase() == name {
                return Some(value);
            }
        }
    }
    None
}

/// Line and column, from 1, of a byte offset; the column counts characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        load_with(text, &[])
    }

    fn load_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Config::load(&path, true, environment.iter().map(owned))
    }

    fn place(error: &ConfigError) -> (usize, usize) {
        match error {
            ConfigError::At { line, column, .. } => (*line, *column),
            other => panic!("{other:?} has no place"),
        }
    }

    #[test]
    fn the_defaults_are_complete_and_in_range() {
        let config: Config = defaults().try_into().unwrap();
        config.check().unwrap();
    }

    #[test]
    fn a_file_changes_only_what_it_names() {
        let config = load("[generate]\ntemperature = 1\n").unwrap();
        assert_eq!(config.generate.temperature, 1.0);
        assert_eq!(config.retrieve.k, 5);
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let environment = [("RESTPG_RETRIEVE_K", "7"), ("RESTPG_HOME", "/x"), ("PATH", "/bin")];
        assert_eq!(load_with("[retrieve]\nk = 3\n", &environment).unwrap().retrieve.k, 7);
    }

    #[test]
    fn a_wrong_key_is_placed_and_the_right_ones_are_named() {
        let error = load("[retrieve]\nk = 3\ndepth = 4\n").unwrap_err();
        assert_eq!(place(&error), (3, 1));
        assert!(error.help().unwrap().starts_with("Keys of [retrieve]: "));
    }

    #[test]
    fn bad_toml_is_placed() {
        assert_eq!(place(&load("[retrieve]\nk = = 3\n").unwrap_err()), (2, 5));
    }

    #[test]
    fn a_wrong_type_is_placed_at_the_value() {
        assert_eq!(place(&load("[retrieve]\nk = \"five\"\n").unwrap_err()), (2, 5));
        assert_eq!(place(&load("[retrieve]\nk = -1\n").unwrap_err()), (2, 5));
    }

    #[test]
    fn a_value_out_of_range_names_its_range() {
        let error = load("[generate]\ntop_p = 0.0\n").unwrap_err();
        assert!(error.to_string().contains("generate.top_p is 0"), "{error}");
    }

    #[test]
    fn a_bad_environment_value_names_the_variable() {
        let error = load_with("", &[("RESTPG_MODEL_THREADS", "two")]).unwrap_err();
        assert!(error.to_string().contains("RESTPG_MODEL_THREADS"), "{error}");
        let error = load_with("", &[("RESTPG_MODEL_THREAD", "2")]).unwrap_err();
        assert!(matches!(error, ConfigError::UnknownVariable { .. }), "{error}");
    }
}
