//! What the store calls a source, and what tells whether it has changed.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::frame::Content;
use super::parsed::Options;
use super::walk::FoundFile;
use super::{Kind, Request};
use crate::profile::{Source, Stamp};

/// Raised when the readers make other documents of the same bytes: then everything is read again.
const READERS_VERSION: u32 = 2;
/// Marks the stamp of a source that could not be used whole.
pub(super) const INCOMPLETE: &str = " incomplete";
/// Marks the stamp of a file that turned out to be of none of our kinds.
pub(super) const OTHER_KIND: &str = " other kind";
/// Hexadecimal digits of a hash that tell two sources apart.
const DIGEST_DIGITS: usize = 12;

/// One source that has to be read.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) source: Source,
    pub(super) kind: Kind,
    pub(super) content: Content,
    /// Whether a person named it, or its kind: then it has to be of that kind.
    pub(super) named: bool,
    /// Whether documents of an earlier version may be in the store.
    pub(super) known: bool,
    /// What a person is told of it.
    pub(super) shown: String,
}

/// Everything besides the bytes that decides what is stored of a source.
pub(super) fn reading(kind: Kind, chunk_tokens: usize, options: &Options) -> String {
    let Options { user: _, person, me, columns } = options;
    let name = kind.name();
    let person = person.as_deref().unwrap_or_default();
    let mut reading = format!("{name} {chunk_tokens} v{READERS_VERSION} {person}");
    if kind.is_mail() {
        reading.push_str(&format!(" me={}", me.join(",")));
    }
    if kind == Kind::Csv {
        for column in [&columns.text, &columns.title, &columns.date] {
            reading.push_str(&format!(" {:?}", column.as_deref().unwrap_or_default()));
        }
    }
    reading
}

/// The source that a file is. `person`: who was taken out of it, where one was named.
pub(super) fn of_file(file: &FoundFile, person: Option<&str>, reading: String) -> Source {
    let mut place = text_of(&file.place);
    // Other files hold nobody but their writer.
    let holds_people = matches!(file.kind, Kind::Jsonl | Kind::Json);
    if let Some(person) = person.filter(|_| holds_people) {
        place.push_str(&format!("#{person}"));
    }
    let FoundFile { size_bytes, modified_ns, .. } = *file;
    Source { place, stamp: Stamp { size_bytes, modified_ns, reading } }
}

/// The source that standard input is: known by what it says.
pub(super) fn of_stdin(bytes: &[u8], request: &Request, options: &Options) -> Pending {
    let kind = request.kind.unwrap_or(Kind::Text);
    let stamp = Stamp {
        size_bytes: bytes.len() as u64,
        modified_ns: 0,
        reading: reading(kind, request.chunk_tokens, options),
    };
    let place = format!("stdin:{}", digest(bytes));
    Pending {
        shown: place.clone(),
        source: Source { place, stamp },
        kind,
        content: Content::Bytes(Arc::new(bytes.to_vec())),
        named: true,
        known: false,
    }
}

/// The path as text. A name that is not UTF-8 is told from others that look alike by a hash.
pub(super) fn text_of(path: &Path) -> String {
    match path.to_str() {
        Some(text) => text.to_owned(),
        None => {
            let digest = digest(path.as_os_str().as_encoded_bytes());
            format!("{}#{digest}", path.to_string_lossy())
        }
    }
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))[..DIGEST_DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_addresses_have_mail_read_again_and_nothing_else() {
        let one = Options { me: vec!["a@b.example".into()], ..Options::default() };
        let other = Options { me: vec!["c@d.example".into()], ..Options::default() };
        for kind in Kind::ALL {
            let same = reading(kind, 200, &one) == reading(kind, 200, &other);
            assert_eq!(same, !kind.is_mail(), "{}", kind.name());
        }
    }

    #[test]
    fn other_columns_have_tables_read_again() {
        let mut options = Options::default();
        let before = reading(Kind::Csv, 200, &options);
        options.columns.text = Some("body".into());
        assert_ne!(reading(Kind::Csv, 200, &options), before);
    }

    #[cfg(unix)]
    #[test]
    fn names_that_only_look_alike_are_different_places() {
        use std::os::unix::ffi::OsStrExt;
        let path = |bytes: &[u8]| text_of(Path::new(std::ffi::OsStr::from_bytes(bytes)));
        assert_ne!(path(b"/a\xff"), path(b"/a\xfe"));
        assert_eq!(path("/ä".as_bytes()), "/ä");
    }
}
