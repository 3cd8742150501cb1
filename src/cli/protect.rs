//! `restpg-edge profile protect …` and `… unprotect …`

use serde_json::json;

use super::Context;
use super::secrets;
use crate::error::Error;
use crate::profile::{self, ProfileError, Protection, User};

/// What overwriting the old key file cannot promise.
const OLD_BYTES: &str = "The old key file was overwritten. What a backup, a snapshot, a \
    copy-on-write file system or the wear levelling of a flash drive keeps of it is out of reach.";

pub(super) fn protect(context: &Context, user: &str, keyring: bool) -> Result<(), Error> {
    let user = User::parse(user)?;
    if keyring {
        profile::protect_with_keyring(&context.paths, &user)?;
        return show(context, &user, Protection::Keyring);
    }
    // Whoever cannot be protected is not asked for a passphrase.
    let by = profile::protection(&context.paths, &user)?;
    if by == Protection::Passphrase {
        return Err(ProfileError::AlreadyProtected { user: user.to_string(), by }.into());
    }
    let passphrase = secrets::chosen(context.secrets.file(), "the key", "--passphrase-file")?;
    profile::protect(&context.paths, &user, &passphrase)?;
    show(context, &user, Protection::Passphrase)
}

pub(super) fn unprotect(context: &Context, user: &str) -> Result<(), Error> {
    let user = User::parse(user)?;
    profile::unprotect(&context.paths, &user, &context.secrets)?;
    show(context, &user, Protection::Permissions)
}

fn show(context: &Context, user: &User, by: Protection) -> Result<(), Error> {
    let is_protected = by != Protection::Permissions;
    if context.output.json {
        let report = json!({"user": user.as_str(), "protected": is_protected, "by": by});
        return context.output.object(&report);
    }
    let what = match by {
        Protection::Passphrase => "now needs its passphrase. There is no way back without it.",
        Protection::Keyring => {
            "now needs this system's keyring. A backup of its file is of no \
            use elsewhere; `restpg-edge profile export` is."
        }
        Protection::Permissions => "is protected by its file's permissions alone again.",
    };
    context.output.note(&format!("The key of {user} {what}"));
    if is_protected {
        context.output.note(OLD_BYTES);
    }
    Ok(())
}
