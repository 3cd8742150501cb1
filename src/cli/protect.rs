//! `restpg-edge profile protect …` and `… unprotect …`

use serde_json::json;

use super::Context;
use super::secrets;
use crate::error::Error;
use crate::profile::{self, ProfileError, Protection, User};

/// What overwriting the old key file cannot promise.
const OLD_BYTES: &str = "The old key file was overwritten. What a backup, a snapshot, a \
    copy-on-write file system or the wear levelling of a flash drive keeps of it is out of reach.";

pub(super) fn protect(context: &Context, user: &str) -> Result<(), Error> {
    let user = User::parse(user)?;
    // Whoever cannot be protected is not asked for a passphrase.
    if profile::protection(&context.paths, &user)? == Protection::Passphrase {
        return Err(ProfileError::AlreadyProtected { user: user.to_string() }.into());
    }
    let passphrase = secrets::chosen(context.secrets.file(), "the key", "--passphrase-file")?;
    profile::protect(&context.paths, &user, &passphrase)?;
    show(context, &user, true, "now needs its passphrase. There is no way back without it.")
}

pub(super) fn unprotect(context: &Context, user: &str) -> Result<(), Error> {
    let user = User::parse(user)?;
    profile::unprotect(&context.paths, &user, &context.secrets)?;
    show(context, &user, false, "is protected by its file's permissions alone again.")
}

fn show(context: &Context, user: &User, is_protected: bool, what: &str) -> Result<(), Error> {
    if context.output.json {
        let report = json!({"user": user.as_str(), "protected": is_protected});
        return context.output.object(&report);
    }
    context.output.note(&format!("The key of {user} {what}"));
    if is_protected {
        context.output.note(OLD_BYTES);
    }
    Ok(())
}
