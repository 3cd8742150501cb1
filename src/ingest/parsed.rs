//! What a reader is told, and what it makes of one source.

use serde::{Deserialize, Serialize};

use super::Problem;
use crate::profile::NewDocument;

const MESSAGE_CHARS_MAX: usize = 240;

/// What a reader is told besides the bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Options {
    /// The user whose profile it is.
    pub(super) user: String,
    /// Whose writings to take from a file that holds several people.
    pub(super) person: Option<String>,
    /// The person's mail addresses, in lower case.
    pub(super) me: Vec<String>,
    /// Names of the columns of a table: text, title, date.
    pub(super) columns: Columns,
}

/// Which columns of a table hold what; `None`: by their usual names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// The text.
    pub text: Option<String>,
    /// The title or subject.
    pub title: Option<String>,
    /// The date of writing.
    pub date: Option<String>,
}

/// What a reader makes of one source.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parsed {
    pub(super) documents: Vec<NewDocument>,
    pub(super) problems: Vec<Problem>,
}

impl Parsed {
    /// Nothing but the reason why.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        let mut parsed = Self::default();
        parsed.lose(None, message);
        parsed
    }

    /// Notes something that cost writing; `line` from 1.
    pub(super) fn lose(&mut self, line: Option<usize>, message: impl Into<String>) {
        self.say(line, message.into(), true);
    }

    /// Notes something that a person should know, but that cost nothing.
    pub(super) fn note(&mut self, line: Option<usize>, message: impl Into<String>) {
        self.say(line, message.into(), false);
    }

    fn say(&mut self, line: Option<usize>, message: String, lost: bool) {
        // Whatever is quoted of a text is quoted in a few words.
        let message = message.chars().take(MESSAGE_CHARS_MAX).collect();
        // The caller knows the path.
        self.problems.push(Problem { path: String::new(), line, message, lost });
    }
}
