//! The arguments of `restpg-edge profile`, their help and their examples.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand, ValueHint};
use jiff::civil::Date;

#[derive(Debug, Subcommand)]
pub(super) enum ProfileCommand {
    /// List the documents of a profile; without --user, the users
    #[command(after_help = "Examples:\n  \
        restpg-edge profile list\n  \
        restpg-edge profile list --user me")]
    List {
        /// Whose profile
        #[arg(long, value_name = "U")]
        user: Option<String>,
    },
    /// Print a document
    #[command(after_help = "Example: restpg-edge profile show --user me 3f2a91")]
    Show {
        /// Whose profile
        #[arg(long, value_name = "U")]
        user: String,
        /// Its id, or the beginning of it
        document: String,
    },
    /// Find the passages that fit a request
    #[command(after_help = "Examples:\n  \
        restpg-edge profile search --user me \"the leaking roof\"\n  \
        restpg-edge profile search --user me --explain --k 10 \"the leaking roof\"\n\n\
        By words (BM25) and, where the embedding model has been pulled, by meaning; both lists \
        are fused by rank. [retrieve] in the settings weighs recency, recipient and likeness.")]
    Search {
        /// Whose profile
        #[arg(long, value_name = "U")]
        user: String,
        /// How many
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
        k: Option<u32>,
        /// Whom the text is for; passages written to the same person weigh more
        #[arg(long, value_name = "NAME|ADDRESS")]
        to: Option<String>,
        /// Show what each score is made of
        #[arg(long)]
        explain: bool,
        /// What to look for
        query: String,
    },
    /// Bring the index for search by meaning up to date
    #[command(after_help = "Example: restpg-edge profile index --user me\n\n\
        `ingest` does this by itself where the embedding model has been pulled. Ctrl-C loses \
        nothing: the next run goes on where this one ended. After [retrieve] embedder was \
        changed, this replaces the vectors of the former one.")]
    Index {
        /// Whose profile
        #[arg(long, value_name = "U")]
        user: String,
    },
    /// Forget documents, and whatever was derived from them
    #[command(after_help = "Examples:\n  \
        restpg-edge profile forget --user me 3f2a91\n  \
        restpg-edge profile forget --user me --path ~/letters --dry-run\n  \
        restpg-edge profile forget --user me --path ~/mail --before 2015-01-01\n\n\
        Several kinds of conditions together narrow the choice. Passages, index entries and \
        vectors go with their documents, adapters that were trained on one become invalid, and \
        the texts stay away when the same files are taken in again. A text that stands in several \
        places is one document and goes as a whole. The files themselves are not touched; \
        exported profiles and backups keep what they hold.")]
    Forget(ForgetArguments),
    /// Check that a profile is whole and sound
    #[command(after_help = "Example: restpg-edge profile check --user me\n\n\
        Every page is checked against its authentication code, then the structure of the \
        database and of its index, then what belongs together. Exit code 1 where there are \
        faults; a damaged profile is restored from an exported one.")]
    Check {
        /// Whose profile
        #[arg(long, value_name = "U")]
        user: String,
    },
    /// Protect the key of a profile with a passphrase, or with the system's keyring
    #[command(after_help = "Examples:\n  \
        restpg-edge profile protect --user me\n  \
        restpg-edge profile protect --user me --passphrase-file ~/.config/restpg-passphrase\n  \
        restpg-edge profile protect --user me --keyring\n\n\
        With a passphrase every command that uses the profile asks for it, or reads it from \
        --passphrase-file. A forgotten passphrase cannot be recovered, nor the profile without \
        it. Argon2id makes each guess slow.\n\n\
        With the keyring (the Secret Service of a Linux desktop, the Keychain of macOS) the \
        profile opens while you are logged in and the keyring is unlocked. New profiles are \
        protected so where there is a keyring, except below --home.")]
    Protect {
        /// Whose profile
        #[arg(long, value_name = "U")]
        user: String,
        /// With the system's keyring instead of a passphrase
        #[arg(long)]
        keyring: bool,
    },
    /// Keep the key of a profile without passphrase or keyring again
    #[command(after_help = "Example: restpg-edge profile unprotect --user me\n\n\
        The key file is then protected by its permissions alone.")]
    Unprotect {
        /// Whose profile
        #[arg(long, value_name = "U")]
        user: String,
    },
    /// Write a whole profile into one encrypted file
    #[command(after_help = "Examples:\n  \
        restpg-edge profile export --user me --to me.age\n  \
        restpg-edge profile export --user me --to me.age --recipient age1...\n  \
        restpg-edge profile export --user me --to me.age --export-passphrase-file secret.txt\n\n\
        The file is an age file (age-encryption.org) with the documents and the key: whoever can \
        open it has the whole profile. `profile import` makes a profile of it, here or on another \
        machine.")]
    Export(ExportArguments),
    /// Make a profile of an exported one
    #[command(after_help = "Examples:\n  \
        restpg-edge profile import me.age\n  \
        restpg-edge profile import me.age --user me-on-the-laptop\n  \
        restpg-edge profile import me.age --identity ~/.config/age/key.txt\n\n\
        A profile that is there is never replaced. With --passphrase-file the key is protected by \
        that passphrase from the first moment on.")]
    Import(ImportArguments),
    /// Destroy the key of a profile, and remove everything that it opened
    #[command(after_help = "Examples:\n  \
        restpg-edge profile delete --user me\n  \
        restpg-edge profile delete --user me --yes\n\n\
        The key is overwritten and removed first: from then on nothing of the profile can be \
        read. Exported profiles and backups of the key are not found; the wear levelling of a \
        flash drive, a copy-on-write file system or a snapshot may keep the old bytes.")]
    Delete {
        /// Whose profile
        #[arg(long, value_name = "U")]
        user: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").args(["documents", "path", "before"]).required(true).multiple(true)))]
pub(super) struct ForgetArguments {
    /// Whose profile
    #[arg(long, value_name = "U")]
    pub(super) user: String,
    /// Documents, by their ids or the beginnings of them
    #[arg(value_name = "DOC", value_parser = NonEmptyStringValueParser::new())]
    pub(super) documents: Vec<String>,
    /// What came from this file, or from below this folder; it need not exist any more
    #[arg(long, value_name = "P", value_hint = ValueHint::AnyPath)]
    pub(super) path: Vec<PathBuf>,
    /// What was written before this day; undated documents are not
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_day)]
    pub(super) before: Option<Date>,
    /// Let the next ingest bring the texts back
    #[arg(long)]
    pub(super) allow_again: bool,
    /// Only show what would go
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    /// Whose profile
    #[arg(long, value_name = "U")]
    pub(super) user: String,
    /// The file to write
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) to: PathBuf,
    /// Replace the file where there is one
    #[arg(long)]
    pub(super) force: bool,
    /// Encrypt for the owner of this age key, age1...; may be given several times
    #[arg(long, value_name = "KEY")]
    pub(super) recipient: Vec<String>,
    /// Encrypt for the owners of the age keys in this file, one a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) recipient_file: Vec<PathBuf>,
    /// Encrypt with the passphrase in this file instead of asking for one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["recipient", "recipient_file"])]
    pub(super) export_passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ImportArguments {
    /// The exported profile
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,
    /// Call the user this; by default as where it was exported
    #[arg(long, value_name = "U")]
    pub(super) user: Option<String>,
    /// The age identities that open it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) identity: Option<PathBuf>,
    /// The passphrase that opens it, in a file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "identity")]
    pub(super) export_passphrase_file: Option<PathBuf>,
}

fn parse_day(text: &str) -> Result<Date, String> {
    let is_whole = text.len() == "YYYY-MM-DD".len();
    text.parse().ok().filter(|_| is_whole).ok_or_else(|| "a day is written YYYY-MM-DD".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_in_one_way() {
        assert_eq!(parse_day("2015-01-31").unwrap().to_string(), "2015-01-31");
        for text in ["", "2015", "2015-1-1", "31.01.2015", "2015-02-30", "2015-01-31T00:00:00"] {
            assert!(parse_day(text).is_err(), "{text}");
        }
    }
}
