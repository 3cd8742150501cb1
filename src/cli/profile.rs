//! `restpg-edge profile …`

use serde_json::json;

use super::Context;
use super::args::ProfileCommand;
use crate::error::{Error, Exit};
use crate::profile::{ProfileStore, User, users};

/// How much of a passage a line of the search shows.
const PASSAGE_CHARS: usize = 240;

pub(super) fn run(context: &Context, command: ProfileCommand) -> Result<Option<Exit>, Error> {
    match command {
        ProfileCommand::List { user: None } => list_users(context)?,
        ProfileCommand::List { user: Some(user) } => list(context, &user)?,
        ProfileCommand::Show { user, document } => show(context, &user, &document)?,
        ProfileCommand::Search { user, k, query } => search(context, &user, k, &query)?,
    }
    Ok(None)
}

fn open(context: &Context, user: &str) -> Result<ProfileStore, Error> {
    Ok(ProfileStore::open(&context.paths, &User::parse(user)?)?)
}

fn list_users(context: &Context) -> Result<(), Error> {
    let users: Vec<String> = users(&context.paths).iter().map(ToString::to_string).collect();
    if context.output.json {
        return context.output.object(&json!({"users": users}));
    }
    if users.is_empty() {
        let advice = "no profiles yet; `restpg-edge ingest --user me FOLDER` makes one";
        context.output.note(advice);
    }
    users.iter().try_for_each(|user| context.output.line(user))
}

fn list(context: &Context, user: &str) -> Result<(), Error> {
    let documents = open(context, user)?.summaries()?;
    if context.output.json {
        return context.output.object(&json!({"user": user, "documents": documents}));
    }
    if documents.is_empty() {
        let advice =
            format!("{user} has no documents; `restpg-edge ingest --user {user:?} FOLDER`");
        context.output.note(&advice);
    }
    documents.iter().try_for_each(|document| {
        context.output.line(&format!(
            "{}  {}  {:>6} chars  {}",
            document.id,
            document.date.as_deref().unwrap_or("undated   "),
            document.characters,
            document.title.as_deref().unwrap_or(&document.source)
        ))
    })
}

fn show(context: &Context, user: &str, id: &str) -> Result<(), Error> {
    let document = open(context, user)?.document(id)?;
    if context.output.json {
        return context.output.object(&document);
    }
    let output = &context.output;
    if output.watched() {
        output.note(&format!("{} from {}", document.id, document.source));
        let title = document.title.as_deref().unwrap_or("untitled");
        output.note(&format!("{title}, {}\n", document.date.as_deref().unwrap_or("undated")));
    }
    output.line(&document.text)
}

fn search(context: &Context, user: &str, k: Option<u32>, query: &str) -> Result<(), Error> {
    let k = k.unwrap_or(context.config.retrieve.k) as usize;
    let hits = open(context, user)?.search(query, k)?;
    if context.output.json {
        return context.output.object(&json!({"user": user, "query": query, "hits": hits}));
    }
    if hits.is_empty() {
        context.output.note("no passage shares a word with that");
    }
    hits.iter().try_for_each(|hit| {
        let passage: String = hit
            .text
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .chars()
            .take(PASSAGE_CHARS)
            .collect();
        context.output.line(&format!(
            "{:6.2}  {}  {}  {}\n        {passage}",
            hit.score,
            hit.document,
            hit.date.as_deref().unwrap_or("undated"),
            hit.title.as_deref().unwrap_or_default()
        ))
    })
}
