//! `restpg-edge drafts …` and `restpg-edge feedback …`

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::drafts_arguments::{DraftsCommand, FeedbackArguments};
use super::output::visible;
use super::{Context, profile};
use crate::error::{Error, Exit, Explain};
use crate::profile::{KeptDraft, Verdict};

/// A longer text is no mail.
const FINAL_BYTES_MAX: u64 = 1 << 20;
/// How much of a request a line shows.
const REQUEST_CHARS: usize = 60;

/// What is wrong with the text that a draft is said to have become.
#[derive(Debug, thiserror::Error)]
enum FinalError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is empty", path.display())]
    Empty { path: PathBuf },
    #[error("{} is not UTF-8 text of at most {FINAL_BYTES_MAX} bytes", path.display())]
    NotText { path: PathBuf },
}

impl Explain for FinalError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Read { .. } => "unreadable_file",
            Self::Empty { .. } => "empty_text",
            Self::NotText { .. } => "not_text",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => Exit::NotFound,
            Self::Read { .. } => Exit::Failed,
            Self::Empty { .. } | Self::NotText { .. } => Exit::InvalidData,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Read { .. } => {
                Some("Give a text file that can be read, or - for standard input.".into())
            }
            Self::Empty { .. } => Some("A draft of no use is said to be so with --reject.".into()),
            Self::NotText { .. } => Some("Give the text that you sent, as plain text.".into()),
        }
    }
}

pub(super) fn run(context: &Context, command: DraftsCommand) -> Result<Option<Exit>, Error> {
    match command {
        DraftsCommand::List { user } => list(context, &user)?,
        DraftsCommand::Show { user, draft } => show(context, &user, draft.as_deref())?,
        DraftsCommand::Remove { user, which } => {
            let chosen = if which.all { None } else { Some(which.drafts.as_slice()) };
            let (removed, runs) = profile::open(context, &user)?.remove_drafts(chosen)?;
            if context.output.json {
                let said = json!({"user": user, "removed": removed, "runs": runs});
                context.output.object(&said)?;
            } else {
                context.output.note(&format!("{removed} drafts removed"));
                if runs > 0 {
                    context.output.note(
                        "the run of training begun since may have learned from them, and went too",
                    );
                }
            }
        }
    }
    Ok(None)
}

fn list(context: &Context, user: &str) -> Result<(), Error> {
    let drafts = profile::open(context, user)?.drafts()?;
    if context.output.json {
        return context.output.object(&json!({"user": user, "drafts": drafts}));
    }
    if drafts.is_empty() {
        context.output.note(&format!(
            "{user} has no drafts yet; `restpg-edge generate --user {user:?} PROMPT` writes one"
        ));
    }
    drafts.iter().try_for_each(|draft| context.output.line(&line(draft)))
}

fn line(draft: &KeptDraft) -> String {
    let words = draft.request.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut request: String = words.chars().take(REQUEST_CHARS).collect();
    if request.len() < words.len() {
        request.push('…');
    }
    let verdict = draft.verdict.as_ref().map_or("-", Verdict::name);
    let KeptDraft { id, written_at, task, .. } = draft;
    format!("{id}  {written_at}  {verdict:<8}  {task:<8}  {}", visible(&request))
}

fn show(context: &Context, user: &str, id: Option<&str>) -> Result<(), Error> {
    let draft = profile::open(context, user)?.draft(id)?;
    let output = &context.output;
    if output.json {
        return output.object(&draft);
    }
    if output.watched() {
        output.note(&format!("{}\n", line(&draft)));
    }
    let text = match &draft.verdict {
        Some(Verdict::Edited { final_text }) => final_text,
        _ => &draft.answer,
    };
    output.text(&format!("{text}\n"))
}

pub(super) fn feedback(
    context: &Context,
    arguments: FeedbackArguments,
) -> Result<Option<Exit>, Error> {
    let FeedbackArguments { user, draft, verdict } = arguments;
    let verdict = match &verdict.file {
        Some(path) => Verdict::Edited { final_text: final_text(path)? },
        None if verdict.accept => Verdict::Accepted,
        None => Verdict::Rejected,
    };
    let mut store = profile::open(context, &user)?;
    let draft = store.draft(draft.as_deref())?;
    // Sent as it was: that is what accepting means.
    let verdict = match verdict {
        Verdict::Edited { final_text } if final_text == draft.answer.trim() => Verdict::Accepted,
        other => other,
    };
    store.judge_draft(&draft.id, &verdict)?;
    if context.output.json {
        let noted = json!({"user": user, "draft": draft.id, "verdict": verdict.name()});
        context.output.object(&noted)?;
    } else {
        context.output.note(&format!("draft {}: {}", draft.id, verdict.name()));
    }
    Ok(None)
}

fn final_text(path: &Path) -> Result<String, FinalError> {
    let failed = |source| FinalError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let mut input: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ => Box::new(File::open(path).map_err(failed)?),
    };
    input.by_ref().take(FINAL_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    let text = match String::from_utf8(bytes) {
        Ok(text) if text.len() as u64 <= FINAL_BYTES_MAX => text,
        _ => return Err(FinalError::NotText { path: path.to_owned() }),
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(FinalError::Empty { path: path.to_owned() });
    }
    Ok(text.to_owned())
}
