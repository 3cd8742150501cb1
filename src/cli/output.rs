//! Results on stdout, everything else on stderr.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use super::args::Global;
use crate::error::{Error, Exit, Explain};

const TICK: Duration = Duration::from_millis(120);
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// How results and notes are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) json: bool,
    quiet: bool,
    verbose: bool,
}

/// stdout does not take what it is given.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub(super) struct OutputError {
    #[from]
    source: io::Error,
}

impl Explain for OutputError {
    fn kind(&self) -> &'static str {
        if self.source.kind() == io::ErrorKind::BrokenPipe { CLOSED_PIPE } else { "stdout" }
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

const CLOSED_PIPE: &str = "closed_pipe";

/// Whether the reader of stdout has gone, as in `… | head`: then there is nothing left to say.
pub(super) fn is_closed_pipe(error: &Error) -> bool {
    error.inner().kind() == CLOSED_PIPE
}

/// A wrong command line, as `--json` shows errors.
pub(super) fn usage_error_as_json(error: &clap::Error) {
    let rendered = error.render().to_string();
    // What is missing or allowed stands below the first line; how it is used after an empty one.
    let lines = rendered.lines().map(str::trim).take_while(|line| !line.is_empty());
    let message = lines.collect::<Vec<_>>().join(" ");
    let message = message.trim_start_matches("error: ");
    print_error("usage", message, Some("See `restpg-edge --help`."));
}

fn print_error(kind: &str, message: &str, help: Option<&str>) {
    let error = json!({"error": {"kind": kind, "message": message, "help": help}});
    note_line(&error.to_string());
}

/// A line on stderr; a terminal that is gone cannot be told.
fn note_line(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        Self { json: global.json, quiet: global.quiet, verbose: global.verbose > 0 }
    }

    /// A line of the result.
    pub(super) fn line(&self, text: &str) -> Result<(), Error> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// A part of the result, shown at once.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(OutputError::from)?;
        Ok(())
    }

    /// A text, or a part of it, as it is; on a terminal with everything visible that it would obey.
    pub(super) fn text(&self, text: &str) -> Result<(), Error> {
        if io::stdout().is_terminal() {
            return self.bytes(visible_lines(text).as_bytes());
        }
        self.bytes(text.as_bytes())
    }

    /// The result as one JSON object.
    pub(super) fn object(&self, value: &impl Serialize) -> Result<(), Error> {
        let text =
            serde_json::to_string(value).map_err(io::Error::from).map_err(OutputError::from)?;
        self.line(&text)
    }

    /// A remark that a person should see, unless quiet.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            note_line(text);
        }
    }

    /// A remark for whoever asked for more.
    pub(super) fn detail(&self, text: &str) {
        if self.verbose {
            note_line(text);
        }
    }

    /// Whether a person is watching stderr, or asked for what would be shown to one.
    pub(super) fn watched(&self) -> bool {
        !self.quiet && (self.verbose || io::stderr().is_terminal())
    }

    /// Text on stderr as it comes, dimmed on a terminal that shows colours.
    pub(super) fn aside(&self, text: &str) {
        let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let (before, after) = if colours { (DIM, RESET) } else { ("", "") };
        // A terminal that is gone cannot be told.
        let _ = write!(io::stderr(), "{before}{text}{after}");
    }

    /// The error and what to do about it.
    pub(super) fn error(&self, error: &Error) {
        let (message, help) = (error.message(), error.inner().help());
        if self.json {
            print_error(error.inner().kind(), &message, help.as_deref());
        } else {
            note_line(&format!("error: {message}"));
            if let Some(help) = help {
                note_line(&format!("help: {help}"));
            }
        }
    }

    /// A bar of bytes; hidden where nobody watches.
    pub(super) fn bytes_bar(&self, what: &str) -> ProgressBar {
        let template = "{msg} {wide_bar} {bytes}/{total_bytes} {eta}";
        self.bar(what, template)
    }

    /// A bar of things; hidden where nobody watches.
    pub(super) fn count_bar(&self, what: &str) -> ProgressBar {
        self.bar(what, "{msg} {wide_bar} {pos}/{len} {eta}")
    }

    fn bar(&self, what: &str, template: &str) -> ProgressBar {
        if self.quiet {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::no_length().with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        bar
    }
}

/// `text` with everything made visible that a terminal would obey.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        // Marks of direction turn the rest of the line over.
        let turns = matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
            || matches!(char, '\u{2066}'..='\u{2069}');
        if char.is_control() || turns {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// As [`visible`], but for tabs and the ends of lines.
pub(super) fn visible_lines(text: &str) -> String {
    let line = |line: &str| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.split('\t').map(visible).collect::<Vec<_>>().join("\t")
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Bytes as people read them.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
