//! What every error of this program tells: its kind, its exit code, and what to do next.
//!
//! Each concern has its own error enum beside its code and implements [`Explain`]; this module
//! knows none of them. The command line turns any of them into an [`Error`], prints it, and
//! leaves with its exit code.

use std::fmt;

/// How the process leaves; scripts depend on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Something went wrong that is neither the user's wording nor the user's data.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// No such user, model, adapter or document.
    NotFound = 3,
    /// A file or a text given as input is not usable.
    InvalidData = 4,
    /// Ctrl-C or a termination signal.
    Interrupted = 130,
}

/// An error that can say what a person should do next.
pub trait Explain: std::error::Error + Send + Sync + 'static {
    /// A stable word for scripts, for example `no_such_user`.
    fn kind(&self) -> &'static str;
    /// The exit code that this error ends the process with.
    fn exit(&self) -> Exit;
    /// The next step, in one or two sentences; `None` where the message says it all.
    fn help(&self) -> Option<String> {
        None
    }
}

/// Any error of the program, on its way to the terminal.
#[derive(Debug)]
pub struct Error(Box<dyn Explain>);

impl Error {
    /// The error itself.
    #[must_use]
    pub fn inner(&self) -> &dyn Explain {
        self.0.as_ref()
    }

    /// The message with its causes, joined by colons.
    #[must_use]
    pub fn message(&self) -> String {
        let mut message = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = error.source();
        }
        message
    }
}

impl<E: Explain> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message())
    }
}
