//! Plain text: the whole file is one document.

use super::Parsed;
use crate::profile::NewDocument;

/// The text as one document, or none where it is blank.
pub(super) fn read(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    if !text.trim().is_empty() {
        let text = text.trim().to_owned();
        parsed.documents.push(NewDocument { text, ..NewDocument::default() });
    }
    parsed
}
