//! `restpg-edge profile …`

use std::collections::BTreeMap;

use serde_json::json;

use super::Context;
use super::output::visible;
use super::profile_arguments::ProfileCommand;
use super::{bundle, forget, protect, search};
use crate::error::{Error, Exit};
use crate::profile::{Check, ProfileError, ProfileStore, Protection, User, protection, users};

pub(super) fn run(context: &Context, command: ProfileCommand) -> Result<Option<Exit>, Error> {
    match command {
        ProfileCommand::List { user: None } => list_users(context)?,
        ProfileCommand::List { user: Some(user) } => list(context, &user)?,
        ProfileCommand::Show { user, document } => show(context, &user, &document)?,
        ProfileCommand::Search { user, k, to, explain, query } => {
            search::search(context, &user, k, to.as_deref(), explain, &query)?;
        }
        ProfileCommand::Index { user } => return search::index(context, &user),
        ProfileCommand::Forget(arguments) => forget::forget(context, arguments)?,
        ProfileCommand::Check { user } => return check(context, &user),
        ProfileCommand::Protect { user, keyring } => protect::protect(context, &user, keyring)?,
        ProfileCommand::Unprotect { user } => protect::unprotect(context, &user)?,
        ProfileCommand::Export(arguments) => bundle::export(context, &arguments)?,
        ProfileCommand::Import(arguments) => bundle::import(context, &arguments)?,
        ProfileCommand::Delete { user, yes } => return forget::delete(context, &user, yes),
    }
    Ok(None)
}

pub(super) fn open(context: &Context, user: &str) -> Result<ProfileStore, Error> {
    Ok(ProfileStore::open(&context.paths, &User::parse(user)?, &context.secrets)?)
}

fn list_users(context: &Context) -> Result<(), Error> {
    let users = users(&context.paths)?;
    let mut keyless: Vec<&str> = Vec::new();
    let mut protected_by: BTreeMap<&str, Protection> = BTreeMap::new();
    for user in &users {
        match protection(&context.paths, user) {
            Ok(by) => {
                protected_by.insert(user.as_str(), by);
            }
            Err(ProfileError::KeyMissing { .. }) => keyless.push(user.as_str()),
            // Whoever opens the profile is told.
            Err(_) => {}
        }
    }
    if context.output.json {
        let names: Vec<&str> = users.iter().map(User::as_str).collect();
        return context.output.object(&json!({
            "users": names,
            "without_key": keyless,
            "protected_by": protected_by,
        }));
    }
    if users.is_empty() {
        let advice = "no profiles yet; `restpg-edge ingest --user me FOLDER` makes one";
        context.output.note(advice);
    }
    users.iter().try_for_each(|user| context.output.line(user.as_str()))?;
    for user in keyless {
        context.output.note(&format!(
            "the key of {user} is gone; put it back from a backup, or remove what is left with \
             `restpg-edge profile delete --user {user:?}`"
        ));
    }
    Ok(())
}

fn check(context: &Context, user: &str) -> Result<Option<Exit>, Error> {
    let opened = ProfileStore::open(&context.paths, &User::parse(user)?, &context.secrets);
    let checked = match opened.and_then(|mut store| store.check()) {
        // So badly that it cannot even be opened.
        Err(error @ ProfileError::Damaged { .. }) => {
            Check { faults: vec![format!("structure: {error}")], ..Check::default() }
        }
        other => other?,
    };
    let Check { documents, passages, embeddings, faults } = checked;
    let exit = if faults.is_empty() { None } else { Some(Exit::Failed) };
    let output = &context.output;
    if output.json {
        output.object(&json!({
            "user": user,
            "ok": faults.is_empty(),
            "documents": documents,
            "passages": passages,
            "embeddings": embeddings,
            "faults": faults,
        }))?;
        return Ok(exit);
    }
    for fault in &faults {
        output.line(fault)?;
    }
    if faults.is_empty() {
        output.line("ok")?;
    } else {
        output.note("help: restore the profile from an exported one, or from a backup");
    }
    output.note(&format!("{documents} documents, {passages} passages, {embeddings} vectors"));
    Ok(exit)
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
            visible(document.title.as_deref().unwrap_or(&document.source))
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
        output.note(&format!("{} from {}", document.id, visible(&document.source)));
        let title = visible(document.title.as_deref().unwrap_or("untitled"));
        output.note(&format!("{title}, {}\n", document.date.as_deref().unwrap_or("undated")));
    }
    output.text(&format!("{}\n", document.text))
}
