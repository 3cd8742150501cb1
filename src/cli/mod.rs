//! The command line: arguments in, progress and results out.
//!
//! Each command opens what it needs, calls the library, and shows what came of it. stdout carries
//! results alone; progress, notes and errors go to stderr.

mod adapter;
mod adapter_arguments;
mod args;
mod best_of;
mod bundle;
mod doctor;
mod drafts;
mod drafts_arguments;
mod eval;
mod eval_graders;
mod eval_systems;
mod fit;
mod forget;
mod generate;
mod ingest;
mod ingest_report;
mod interrupt;
mod logs;
mod lora;
mod lora_arguments;
mod manners;
mod model;
mod model_tune;
mod output;
mod power;
mod profile;
mod profile_arguments;
mod protect;
mod retrieval;
mod search;
mod secrets;
mod stages;
mod train;
mod train_arguments;
mod train_plan;
mod train_show;
mod trainer;
mod watch;

use std::ffi::OsString;
use std::time::Instant;

use clap::{CommandFactory, Parser};

use crate::config::Config;
use crate::error::{Error, Exit, Explain};
use crate::paths::Paths;

use args::{Arguments, Command};
use output::Output;
use secrets::Secrets;

/// What every command has at hand.
struct Context {
    paths: Paths,
    config: Config,
    output: Output,
    secrets: Secrets,
    started: Instant,
}

/// Runs one command; returns the exit code. `started` is when the process began.
#[must_use]
pub fn run(arguments: Vec<OsString>, started: Instant) -> u8 {
    let wants_json = arguments.iter().any(|argument| argument == "--json");
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return usage_error(&error, wants_json),
    };
    let output = Output::new(&arguments.global);
    match dispatch(arguments, output, started) {
        Ok(exit) => exit.map_or(0, |exit| exit as u8),
        Err(error) if output::is_closed_pipe(&error) => 0,
        Err(error) => {
            output.error(&error);
            error.inner().exit() as u8
        }
    }
}

fn usage_error(error: &clap::Error, wants_json: bool) -> u8 {
    if wants_json && error.use_stderr() {
        output::usage_error_as_json(error);
    } else {
        // A terminal that is gone cannot be told.
        let _ = error.print();
    }
    if error.use_stderr() { Exit::Usage as u8 } else { 0 }
}

/// `None` is success.
fn dispatch(arguments: Arguments, output: Output, started: Instant) -> Result<Option<Exit>, Error> {
    let global = arguments.global;
    logs::start(global.verbose);
    // These need neither a home nor a configuration.
    match arguments.command {
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "restpg-edge", &mut text);
            return output.bytes(&text).map(|()| None);
        }
        Command::Man { command } => return man(output, &command).map(|()| None),
        Command::ReadSources { memory_mib_max } => {
            // Nobody reads what it would say; whoever asked sees that it ended.
            let served = crate::ingest::serve(memory_mib_max);
            return Ok(served.err().map(|_| Exit::Failed));
        }
        _ => {}
    }
    let paths = Paths::resolve(global.home.as_deref())?;
    let file = global.config.as_deref().unwrap_or(&paths.config_file);
    // A value that is no text is to be wrong, not absent.
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    });
    let config = Config::load(file, global.config.is_some(), environment)?;
    let secrets = Secrets::new(global.passphrase_file);
    let context = Context { paths, config, output, secrets, started };
    match arguments.command {
        Command::Model { command } => model::run(&context, command),
        Command::Ingest(arguments) => ingest::run(&context, arguments),
        Command::Profile { command } => profile::run(&context, command),
        Command::Doctor => doctor::run(&context),
        Command::Lora { command } => lora::run(&context, command),
        Command::Adapter { command } => adapter::run(&context, command),
        Command::Drafts { command } => drafts::run(&context, command),
        Command::Feedback(arguments) => drafts::feedback(&context, arguments),
        Command::Train(arguments) => train::run(context, arguments),
        Command::Eval(arguments) => eval::run(context, arguments),
        Command::Generate(arguments) => generate::run(context, arguments),
        Command::Completions { .. } | Command::Man { .. } | Command::ReadSources { .. } => Ok(None),
    }
}

/// The manual page of a command, named by the words that lead to it; of no words, the program's.
fn man(output: Output, words: &[String]) -> Result<(), Error> {
    let mut all = Arguments::command();
    // Only then do commands know their whole names.
    all.build();
    let mut command = &all;
    for word in words {
        let unknown = || UnknownCommand { name: words.join(" ") };
        command = command.find_subcommand(word).ok_or_else(unknown)?;
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text).map_err(output::OutputError::from)?;
    output.bytes(&text)
}

/// There is no manual page of such a command.
#[derive(Debug, thiserror::Error)]
#[error("there is no command {name:?}")]
struct UnknownCommand {
    name: String,
}

impl Explain for UnknownCommand {
    fn kind(&self) -> &'static str {
        "usage"
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn help(&self) -> Option<String> {
        Some("`restpg-edge --help` lists the commands.".into())
    }
}
