//! Plain text: the whole file is one document.

use super::Parsed;
use crate::profile::NewDocument;

/// The text as one document, or none where it is blank.
pub(super) fn read(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    if !text.trim().is_empty() {
        parsed.documents.push(NewDocument {
            key: String::new(),
            id: None,
            title: None,
            date: None,
            text: text.trim().to_owned(),
        });
    }
    parsed
}
