//! The formats that can be read, and how a file's name tells them.
//!
//! What a name does not tell, the first bytes or the whole text do; that is the readers' concern,
//! but for mailboxes, whose files often have no ending.

use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::open;

/// How every message of an mbox file begins.
pub(super) const MBOX_MARK: &[u8] = b"From ";

/// How the bytes of a file are turned into documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Plain text: one document.
    Text,
    /// Markdown: one document; front matter gives title and date.
    Markdown,
    /// Org: one document; its keywords give title and date.
    Org,
    /// reStructuredText: one document.
    Rst,
    /// A web page: one document, its text without navigation.
    Html,
    /// PDF: one document.
    Pdf,
    /// Word: one document.
    Docx,
    /// OpenDocument text: one document.
    Odt,
    /// One mail message.
    Mail,
    /// A mailbox in one file.
    Mbox,
    /// A table: a document a row.
    Csv,
    /// JSON lines: a document a line, or a person a line.
    Jsonl,
    /// The export of a chat, or a list of people and their writings.
    Json,
}

impl Kind {
    /// All kinds, in the order of the help.
    pub const ALL: [Self; 13] = [
        Self::Text,
        Self::Markdown,
        Self::Org,
        Self::Rst,
        Self::Html,
        Self::Pdf,
        Self::Docx,
        Self::Odt,
        Self::Mail,
        Self::Mbox,
        Self::Csv,
        Self::Jsonl,
        Self::Json,
    ];

    /// The name, as the command line and the store have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Markdown => "markdown",
            Self::Org => "org",
            Self::Rst => "rst",
            Self::Html => "html",
            Self::Pdf => "pdf",
            Self::Docx => "docx",
            Self::Odt => "odt",
            Self::Mail => "mail",
            Self::Mbox => "mbox",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Json => "json",
        }
    }

    /// What it is, for the help.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Text => "Plain text",
            Self::Markdown => "Markdown",
            Self::Org => "Org",
            Self::Rst => "reStructuredText",
            Self::Html => "Web pages",
            Self::Pdf => "PDF",
            Self::Docx => "Word",
            Self::Odt => "OpenDocument text",
            Self::Mail => "One mail message a file",
            Self::Mbox => "A mailbox in one file",
            Self::Csv => "A table, comma- or tab-separated",
            Self::Jsonl => "JSON lines",
            Self::Json => "Exports of ChatGPT and Claude",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// By the ending of the file's name; `None` where it is none of ours.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_lowercase();
        match extension.as_str() {
            "txt" | "text" => Some(Self::Text),
            "md" | "markdown" | "mdown" => Some(Self::Markdown),
            "org" => Some(Self::Org),
            "rst" => Some(Self::Rst),
            "html" | "htm" | "xhtml" => Some(Self::Html),
            "pdf" => Some(Self::Pdf),
            "docx" => Some(Self::Docx),
            "odt" => Some(Self::Odt),
            "eml" => Some(Self::Mail),
            "mbox" | "mbx" => Some(Self::Mbox),
            "csv" | "tsv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// [`Self::of`] for the regular file `path`; one without an ending is a mailbox where it
    /// begins like one.
    pub(super) fn of_file(path: &Path) -> Option<Self> {
        if path.extension().is_none() {
            return begins_like_mbox(path).then_some(Self::Mbox);
        }
        Self::of(path)
    }

    /// Whether messages stand in it, of which only the person's own are taken.
    pub(super) fn is_mail(self) -> bool {
        matches!(self, Self::Mail | Self::Mbox)
    }

    /// What the store calls the documents: a message is mail, however it was kept.
    pub(super) fn of_documents(self) -> &'static str {
        if self.is_mail() { Self::Mail.name() } else { self.name() }
    }
}

fn begins_like_mbox(path: &Path) -> bool {
    let mut start = [0; MBOX_MARK.len()];
    let read = open::regular(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == MBOX_MARK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(kind));
            let serialized = serde_json::to_value(kind).unwrap();
            assert_eq!(serialized, kind.name(), "the report and the flag name it alike");
        }
        assert_eq!(Kind::named("auto"), None);
    }

    #[test]
    fn the_ending_tells_whatever_its_case() {
        for (name, kind) in [
            ("a.TXT", Some(Kind::Text)),
            ("a.tar.md", Some(Kind::Markdown)),
            ("In Box.mbx", Some(Kind::Mbox)),
            ("a.tsv", Some(Kind::Csv)),
            ("a.png", None),
            ("README", None),
            (".txt", None),
        ] {
            assert_eq!(Kind::of(Path::new(name)), kind, "{name}");
        }
    }

    #[test]
    fn a_file_without_an_ending_is_a_mailbox_where_it_begins_like_one() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let mailbox = "From a@b.example Thu Mar  4 05:06:07 2021\nSubject: x\n\nHello.\n";
        assert_eq!(Kind::of_file(&write("mbox", mailbox)), Some(Kind::Mbox));
        assert_eq!(Kind::of_file(&write("Makefile", "from: x")), None);
        assert_eq!(Kind::of_file(&write("empty", "")), None);
        assert_eq!(Kind::of_file(&write("letter.txt", mailbox)), Some(Kind::Text));
    }
}
