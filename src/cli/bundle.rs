//! `restpg-edge profile export …` and `… import …`

use serde_json::json;

use super::Context;
use super::interrupt::{self, INTERRUPT};
use super::output::megabytes;
use super::profile_arguments::{ExportArguments, ImportArguments};
use super::secrets;
use crate::error::Error;
use crate::profile::{
    Bundle, BundleKey, BundleLock, Export, Import, ProfileStore, User, passphrase_in_file,
};

const FLAG: &str = "--export-passphrase-file";
const WHAT: &str = "the exported profile";

pub(super) fn export(context: &Context, arguments: &ExportArguments) -> Result<(), Error> {
    let user = User::parse(&arguments.user)?;
    // A mistyped recipient is said before anybody types a passphrase.
    let (given, files) = (&arguments.recipient, &arguments.recipient_file);
    let recipients = if given.is_empty() && files.is_empty() {
        None
    } else {
        Some(BundleLock::for_recipients(given, files)?)
    };
    let store = ProfileStore::open(&context.paths, &user, &context.secrets)?;
    let lock = match recipients {
        Some(recipients) => recipients,
        None => {
            let file = arguments.export_passphrase_file.as_deref();
            BundleLock::Passphrase(secrets::chosen(file, WHAT, FLAG)?)
        }
    };
    interrupt::install();
    let bar = context.output.bytes_bar("exporting");
    let request = Export {
        to: &arguments.to,
        overwrite: arguments.force,
        lock: &lock,
        interrupt: &INTERRUPT,
    };
    let result = store.export(&request, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let size_bytes = result?.size_bytes;
    let output = &context.output;
    if output.json {
        return output.object(&json!({
            "user": user.as_str(),
            "file": arguments.to.display().to_string(),
            "size_bytes": size_bytes,
        }));
    }
    output.note(&format!(
        "exported {user} to {} ({}); whoever can open it has the whole profile",
        arguments.to.display(),
        megabytes(size_bytes)
    ));
    Ok(())
}

pub(super) fn import(context: &Context, arguments: &ImportArguments) -> Result<(), Error> {
    let user = arguments.user.as_deref().map(User::parse).transpose()?;
    let protect = context.secrets.file().map(passphrase_in_file).transpose()?;
    let bundle = Bundle::open(&arguments.file)?;
    let key = key(arguments, &bundle)?;
    interrupt::install();
    let bar = context.output.bytes_bar("importing");
    let request = Import { paths: &context.paths, user, protect, interrupt: &INTERRUPT };
    let result = bundle.import(&key, &request, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let imported = result?;
    let output = &context.output;
    if output.json {
        return output.object(&imported);
    }
    let user = &imported.user;
    output.note(&format!("imported {user}: {} documents", imported.documents));
    if !imported.protected {
        output.note(&format!(
            "its key is protected by its file's permissions alone; `restpg-edge profile protect \
             --user {user:?}` protects it"
        ));
    }
    Ok(())
}

/// What was given to open the bundle, else the passphrase that is typed. Of the wrong kind, the
/// bundle says so itself.
fn key(arguments: &ImportArguments, bundle: &Bundle) -> Result<BundleKey, Error> {
    let file = arguments.export_passphrase_file.as_deref();
    Ok(match &arguments.identity {
        Some(identities) => BundleKey::Identities(identities.clone()),
        None if file.is_none() && !bundle.takes_passphrase() => {
            // Nobody has to type what cannot help.
            BundleKey::Passphrase(String::new().into())
        }
        None => BundleKey::Passphrase(secrets::existing(file, WHAT, FLAG)?),
    })
}
