//! What the person wrote or stands by, as texts that are wanted, with what asks for them where that is known.

use super::pairs::{Origin, Pair, Shown};
use crate::profile::{Document, KeptDraft, Verdict};
use crate::task::Task;

/// Of a time of writing, its date.
const DATE_BYTES: usize = "YYYY-MM-DD".len();
/// Characters of the mail that is answered that stand in a request: its beginning.
const CONTEXT_CHARS_MAX: usize = 1200;

/// Every document, and every draft that was accepted or edited; what may be shown for them is not known
/// yet.
#[must_use]
pub fn wanted(documents: &[Document], drafts: &[KeptDraft]) -> Vec<Pair> {
    let tasks = tasks();
    let of_documents = documents.iter().map(|document| of_document(document, &tasks));
    of_documents.chain(drafts.iter().filter_map(of_draft)).collect()
}

fn of_document(document: &Document, tasks: &[(String, &'static str)]) -> Pair {
    Pair {
        origin: Origin::Document(document.id.clone()),
        request: request(document),
        output: document.text.clone(),
        task: task(document, tasks).to_owned(),
        recipient: document.recipient.clone(),
        date: document.date.clone(),
        documents: vec![document.id.clone()],
        versions: Vec::new(),
        shown: Shown::default(),
        held_out: false,
    }
}

/// The text that the person stands by, where the draft came to one.
fn of_draft(draft: &KeptDraft) -> Option<Pair> {
    let output = match draft.verdict.as_ref()? {
        Verdict::Accepted => &draft.answer,
        Verdict::Edited { final_text } => final_text,
        Verdict::Rejected => return None,
    };
    Some(Pair {
        origin: Origin::Draft(draft.id.clone()),
        request: Some(draft.request.clone()),
        output: output.clone(),
        task: draft.task.clone(),
        recipient: draft.recipient.clone(),
        date: draft.written_at.get(..DATE_BYTES).map(str::to_owned),
        documents: [&draft.documents[..], &draft.adapter_documents].concat(),
        versions: Vec::new(),
        shown: Shown::default(),
        held_out: false,
    })
}

/// What the document answers, where it says so itself.
fn request(document: &Document) -> Option<String> {
    let title = document.title.as_deref().map(str::trim).filter(|title| !title.is_empty());
    let answered = document.context.as_deref().map(str::trim).filter(|text| !text.is_empty());
    match (title, answered) {
        (title, Some(answered)) => {
            let mut beginning: String = answered.chars().take(CONTEXT_CHARS_MAX).collect();
            if beginning.len() < answered.len() {
                beginning.push('…');
            }
            let title = title.map(|title| format!("{title}\n\n")).unwrap_or_default();
            Some(format!("{title}In answer to:\n{beginning}"))
        }
        (Some(title), None) => Some(title.to_owned()),
        (None, None) => None,
    }
}

/// The kinds of documents that are those of a task.
fn tasks() -> Vec<(String, &'static str)> {
    Task::names().filter_map(|name| Some((Task::named(name)?.kind?, name))).collect()
}

fn task(document: &Document, tasks: &[(String, &'static str)]) -> &'static str {
    tasks.iter().find(|(kind, _)| *kind == document.kind).map_or("free", |(_, name)| name)
}
