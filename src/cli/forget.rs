//! `restpg-edge profile forget …` and `… delete …`

use std::collections::HashSet;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use serde_json::json;

use super::Context;
use super::output::{Output, visible};
use super::profile_arguments::ForgetArguments;
use crate::error::{Error, Exit, Explain};
use crate::profile::{self, Forgetting, Forgotten, ProfileError, ProfileStore, Selection, User};

/// What forgetting cannot promise.
const COPIES: &str = "The files themselves, exported profiles and backups keep what they hold.";
/// What deleting cannot promise.
const OLD_KEYS: &str = "Nothing of it can be read without its key, which was overwritten. Exported \
    profiles, backups of the key, and what a snapshot, a copy-on-write file system or the wear \
    levelling of a flash drive keeps are out of reach.";
/// The beginning of a place that is no path.
const STDIN: &str = "stdin:";

/// Nobody said that it should be done.
#[derive(Debug, thiserror::Error)]
#[error("deleting the profile of {user:?} must be confirmed")]
struct Unconfirmed {
    user: String,
}

impl Explain for Unconfirmed {
    fn kind(&self) -> &'static str {
        "confirmation_needed"
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn help(&self) -> Option<String> {
        Some("Add --yes, or run the command on a terminal and answer yes.".into())
    }
}

pub(super) fn forget(context: &Context, arguments: ForgetArguments) -> Result<(), Error> {
    let user = User::parse(&arguments.user)?;
    let selection = Selection {
        documents: arguments.documents,
        places: arguments.path.iter().map(|path| place(path)).collect(),
        before: arguments.before,
    };
    let how = Forgetting { allow_again: arguments.allow_again, dry_run: arguments.dry_run };
    let mut store = ProfileStore::open(&context.paths, &user, &context.secrets)?;
    let forgotten = store.forget(&selection, how)?;
    let output = &context.output;
    if output.json {
        return output.object(&json!({
            "user": user.as_str(),
            "dry_run": how.dry_run,
            "forgotten": forgotten,
        }));
    }
    if how.dry_run {
        list(output, &store, &forgotten)?;
    }
    output.note(&summary(&forgotten, how.dry_run));
    if !how.dry_run {
        output.note(COPIES);
    }
    Ok(())
}

/// The path as it was when its file was ingested: absolute, links followed as far as it exists.
fn place(path: &Path) -> String {
    if path.to_str().is_some_and(|text| text.starts_with(STDIN)) {
        return path.to_string_lossy().into_owned();
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = absolute.ancestors().find_map(|ancestor| {
        let real = ancestor.canonicalize().ok()?;
        let rest = absolute.strip_prefix(ancestor).ok()?;
        Some(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
    });
    existing.unwrap_or(absolute).to_string_lossy().into_owned()
}

/// The documents that would go, as `profile list` shows them.
fn list(output: &Output, store: &ProfileStore, forgotten: &Forgotten) -> Result<(), Error> {
    let ids: HashSet<&str> = forgotten.ids.iter().map(String::as_str).collect();
    let documents = store.summaries()?;
    documents.iter().filter(|document| ids.contains(document.id.as_str())).try_for_each(
        |document| {
            output.line(&format!(
                "{}  {}  {}",
                document.id,
                document.date.as_deref().unwrap_or("undated   "),
                visible(document.title.as_deref().unwrap_or(&document.source))
            ))
        },
    )
}

fn summary(forgotten: &Forgotten, is_dry_run: bool) -> String {
    let Forgotten { documents, passages, embeddings, sources, drafts, .. } = forgotten;
    let verb = if is_dry_run { "would forget" } else { "forgot" };
    let mut summary = format!(
        "{verb} {documents} documents with {passages} passages and {embeddings} vectors; \
         {sources} files have nothing left"
    );
    if *drafts > 0 {
        summary.push_str(&format!("\n{drafts} drafts that are derived from them go too"));
    }
    if forgotten.runs > 0 {
        summary.push_str(&format!("\n{} runs of training on them go too", forgotten.runs));
    }
    if !forgotten.adapters_invalidated.is_empty() {
        let names = forgotten.adapters_invalidated.join(", ");
        let verb = if is_dry_run { "would become" } else { "are now" };
        summary.push_str(&format!("\nadapters that learned from them {verb} invalid: {names}"));
    }
    for id in &forgotten.adapters_adopted {
        let verb = if is_dry_run { "would be" } else { "is" };
        summary.push_str(&format!("\nthe adapter {id} {verb} in use instead"));
    }
    summary
}

pub(super) fn delete(context: &Context, user: &str, yes: bool) -> Result<Option<Exit>, Error> {
    let user = User::parse(user)?;
    if !profile::is_anything_left(&context.paths, &user)? {
        let known = profile::users(&context.paths)?.iter().map(ToString::to_string).collect();
        return Err(ProfileError::NoSuchUser { user: user.to_string(), known }.into());
    }
    if !yes && !is_confirmed(&user)? {
        context.output.note("nothing was deleted");
        return Ok(Some(Exit::Failed));
    }
    let deleted = profile::delete(&context.paths, &user)?;
    if context.output.json {
        context.output.object(&json!({
            "user": user.as_str(),
            "key_destroyed": deleted.key,
            "keyring_secret_left": deleted.secret_left,
            "files_removed": deleted.files,
        }))?;
        return Ok(None);
    }
    let key = if deleted.key { "its key destroyed" } else { "its key was gone already" };
    context.output.note(&format!("deleted the profile of {user}, {key}"));
    if deleted.secret_left {
        context.output.note(
            "The keyring could not be reached: what it holds for this key stays there. It opens \
             nothing without a copy of the key file.",
        );
    }
    context.output.note(OLD_KEYS);
    Ok(None)
}

/// Asks on the terminal; anything but yes is no.
fn is_confirmed(user: &User) -> Result<bool, Error> {
    if !io::stdin().is_terminal() {
        return Err(Unconfirmed { user: user.to_string() }.into());
    }
    let question =
        format!("Delete the profile of {user} and destroy its key? This cannot be undone. [y/N] ");
    let mut answer = String::new();
    let asked = io::stderr().write_all(question.as_bytes());
    if asked.and_then(|()| io::stdin().read_line(&mut answer)).is_err() {
        return Ok(false);
    }
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_absolute_whether_or_not_they_exist() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let expected = real.join("gone/deep/a.txt");
        assert_eq!(place(&folder.path().join("gone/deep/a.txt")), expected.to_str().unwrap());
        assert_eq!(place(folder.path()), real.to_str().unwrap());
        assert_eq!(place(Path::new("stdin:12ab")), "stdin:12ab");
        assert!(place(Path::new("gone.txt")).ends_with("/gone.txt"));
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_where_the_file_was() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("there")).unwrap();
        std::os::unix::fs::symlink("there", real.join("link")).unwrap();
        let expected = real.join("there/gone.txt");
        assert_eq!(place(&real.join("link/gone.txt")), expected.to_str().unwrap());
    }
}
