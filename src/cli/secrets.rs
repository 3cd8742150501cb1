//! Passphrases: from the file that a flag names, or typed on the terminal.
//!
//! Nothing that is typed is shown. Where nobody watches, nothing is asked.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::interrupt;
use crate::error::{Error, Exit, Explain};
use crate::profile::{Passphrase, ProfileError, User, passphrase_in_file};

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    /// No file, no terminal.
    #[error("{what} needs a passphrase")]
    NobodyToAsk { what: &'static str, flag: &'static str },
    /// What was typed first and what was typed second.
    #[error("the two passphrases differ")]
    Differ,
}

impl Explain for SecretError {
    fn kind(&self) -> &'static str {
        match self {
            Self::NobodyToAsk { .. } => "passphrase_needed",
            Self::Differ => "passphrases_differ",
        }
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::NobodyToAsk { flag, .. } => format!(
                "Put it in a file that you alone may read, and name it with {flag} FILE; or run \
                 the command on a terminal and type it."
            ),
            Self::Differ => "Try again.".into(),
        })
    }
}

/// Who is asked for the passphrases of keys.
#[derive(Debug)]
pub(super) struct Secrets {
    file: Option<PathBuf>,
}

impl Secrets {
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        Self { file }
    }

    /// The file that --passphrase-file names.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl Passphrase for Secrets {
    fn passphrase(&self, user: &User) -> Result<Zeroizing<String>, ProfileError> {
        match &self.file {
            Some(file) => passphrase_in_file(file),
            None => ask(&format!("Passphrase of {user}: "))?
                .ok_or_else(|| ProfileError::PassphraseNeeded { user: user.to_string() }),
        }
    }
}

/// The passphrase in `file`, else the one that is typed; `flag` is what names the file.
pub(super) fn existing(
    file: Option<&Path>,
    what: &'static str,
    flag: &'static str,
) -> Result<Zeroizing<String>, Error> {
    match file {
        Some(file) => Ok(passphrase_in_file(file)?),
        None => Ok(ask(&format!("Passphrase of {what}: "))?
            .ok_or(SecretError::NobodyToAsk { what, flag })?),
    }
}

/// A new passphrase: the one in `file`, else one that is typed twice.
pub(super) fn chosen(
    file: Option<&Path>,
    what: &'static str,
    flag: &'static str,
) -> Result<Zeroizing<String>, Error> {
    if let Some(file) = file {
        return Ok(passphrase_in_file(file)?);
    }
    let nobody = || SecretError::NobodyToAsk { what, flag };
    let first = ask(&format!("New passphrase for {what}: "))?.ok_or_else(nobody)?;
    let second = ask("The same again: ")?.ok_or_else(nobody)?;
    if *first == *second { Ok(first) } else { Err(SecretError::Differ.into()) }
}

/// What is typed on the terminal, unseen; `None` where nobody can type.
fn ask(question: &str) -> Result<Option<Zeroizing<String>>, ProfileError> {
    // A process may have a terminal that its user does not look at.
    if !io::stdin().is_terminal() && !io::stderr().is_terminal() {
        return Ok(None);
    }
    let typed = interrupt::while_typing(|| rpassword::prompt_password(question));
    match typed.map(Zeroizing::new) {
        Ok(typed) if typed.is_empty() => Err(ProfileError::EmptyPassphrase),
        Ok(typed) => Ok(Some(typed)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(ProfileError::Interrupted),
        // No terminal after all, or its end.
        Err(_) => Ok(None),
    }
}
