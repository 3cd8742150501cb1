//! Writing a profile into one file.
//!
//! The database is copied into a temporary folder beside it first, encrypted as it is, so that
//! other processes can go on writing. The bundle is written beside its name, synced, then renamed.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use age::secrecy::SecretString;
use age::{Encryptor, scrypt, x25519};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{BundleError, Cut, Header, copy};
use crate::profile::delete;
use crate::profile::{ProfileError, ProfileStore};

/// scrypt's work factor for new bundles: 2^18 is 256 MiB and about a second, as age chooses it.
const WORK_FACTOR: u8 = 18;
/// More would not fit the bound on the header that is read again.
const RECIPIENTS_MAX: usize = 100;
const RECIPIENT_FILE_BYTES_MAX: u64 = 1 << 20;
/// A copy that is as old was left by an export that was killed.
const COPY_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Who can open a bundle.
pub enum BundleLock {
    /// Whoever knows this passphrase.
    Passphrase(Zeroizing<String>),
    /// The owners of these age keys.
    Recipients(Vec<x25519::Recipient>),
}

impl BundleLock {
    /// The recipients in `given` and in the lines of `files`; empty lines and lines that begin
    /// with # are skipped.
    ///
    /// # Errors
    /// [`BundleError::BadRecipient`], [`BundleError::RecipientCount`], or [`BundleError::Io`] for
    /// a file that cannot be read.
    pub fn for_recipients(given: &[String], files: &[PathBuf]) -> Result<Self, BundleError> {
        let parse = |text: &str, place: String| {
            text.trim()
                .parse::<x25519::Recipient>()
                .map_err(|_| BundleError::BadRecipient { place })
        };
        let mut recipients = Vec::new();
        for (index, text) in given.iter().enumerate() {
            recipients.push(parse(text, format!("--recipient number {}", index + 1))?);
        }
        for path in files {
            let text =
                read_text(path).map_err(|source| BundleError::Io { path: path.clone(), source })?;
            let lines = text.lines().enumerate().filter(|(_, line)| {
                let line = line.trim();
                !line.is_empty() && !line.starts_with('#')
            });
            for (index, line) in lines {
                recipients.push(parse(line, format!("{}:{}", path.display(), index + 1))?);
            }
        }
        if recipients.is_empty() || recipients.len() > RECIPIENTS_MAX {
            return Err(BundleError::RecipientCount {
                given: recipients.len(),
                most: RECIPIENTS_MAX,
            });
        }
        Ok(Self::Recipients(recipients))
    }

    fn encryptor(&self, work_factor: u8) -> Result<Encryptor, age::EncryptError> {
        match self {
            Self::Passphrase(passphrase) => {
                let passphrase = SecretString::from(passphrase.as_str());
                let mut recipient = scrypt::Recipient::new(passphrase);
                recipient.set_work_factor(work_factor);
                Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
            }
            Self::Recipients(recipients) => Encryptor::with_recipients(
                recipients.iter().map(|recipient| recipient as &dyn age::Recipient),
            ),
        }
    }
}

/// What to write, and where.
pub struct Export<'a> {
    /// The bundle.
    pub to: &'a Path,
    /// Replace what is there.
    pub overwrite: bool,
    /// Who can open it.
    pub lock: &'a BundleLock,
    /// Ends the export early; then there is no bundle.
    pub interrupt: &'a AtomicBool,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The bundle's size.
    pub size_bytes: u64,
}

impl ProfileStore {
    /// Writes the whole profile, its key included, into one encrypted file. `on_progress` is told
    /// bytes done and bytes in all.
    ///
    /// # Errors
    /// [`BundleError::FileExists`], or why the bundle cannot be written; then there is none.
    pub fn export(
        &self,
        request: &Export<'_>,
        on_progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Exported, BundleError> {
        self.export_with_work(request, WORK_FACTOR, on_progress)
    }

    pub(super) fn export_with_work(
        &self,
        request: &Export<'_>,
        work_factor: u8,
        on_progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Exported, BundleError> {
        let failed = |source| BundleError::Io { path: request.to.to_owned(), source };
        if request.to.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        if !request.overwrite && fs::symlink_metadata(request.to).is_ok() {
            return Err(BundleError::FileExists { path: request.to.to_owned() });
        }
        let folder = self.copy_of_database()?;
        let copied = folder.path().join("profile.db");
        let mut database = File::open(&copied).map_err(failed)?;
        let header = Header {
            user: self.user().clone(),
            key: self.key.clone(),
            database_bytes: database.metadata().map_err(failed)?.len(),
        };

        let target = match request.to.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let mut file = tempfile::NamedTempFile::new_in(target).map_err(failed)?;
        let encryptor = request
            .lock
            .encryptor(work_factor)
            .map_err(|_| failed(io::Error::other("it cannot be encrypted")))?;
        let mut output = encryptor.wrap_output(&mut file).map_err(failed)?;
        header.write(&mut output).map_err(failed)?;
        let total = header.database_bytes;
        copy(&mut database, &mut output, total, request.interrupt, on_progress).map_err(|cut| {
            match cut {
                Cut::Read(source) | Cut::Write(source) => failed(source),
                Cut::Interrupted => ProfileError::Interrupted.into(),
            }
        })?;
        output.finish().and_then(|file| file.flush()).map_err(failed)?;
        let size_bytes = file.as_file().metadata().map_err(failed)?.len();
        put_in_place(file, request, target)?;
        Ok(Exported { size_bytes })
    }

    /// A consistent copy of the database, `profile.db` in a folder that goes with the returned
    /// value. SQLCipher encrypts the copy with the same key.
    fn copy_of_database(&self) -> Result<tempfile::TempDir, BundleError> {
        let profiles = self.path.parent().unwrap_or(Path::new("."));
        let failed = |source| BundleError::Io { path: profiles.to_owned(), source };
        for old in delete::beside(&self.path, "export-").unwrap_or_default() {
            let age = fs::metadata(&old).and_then(|metadata| metadata.modified());
            if age.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > COPY_AGE_MAX)) {
                // Deleting the profile removes what stays.
                let _ = delete::remove(&old);
            }
        }
        let mut prefix = self.path.file_stem().unwrap_or_default().to_owned();
        prefix.push(".export-");
        let folder =
            tempfile::Builder::new().prefix(&prefix).tempdir_in(profiles).map_err(failed)?;
        let copy = folder.path().join("profile.db");
        let copy = copy
            .to_str()
            .ok_or_else(|| failed(io::Error::other("the folder's name is not UTF-8")))?;
        self.connection
            .execute("VACUUM INTO ?1", [copy])
            .map_err(|error| BundleError::Profile(self.failed(error)))?;
        Ok(folder)
    }
}

/// Gives a finished bundle its name, so that a crash leaves either all of it or none.
fn put_in_place(
    file: tempfile::NamedTempFile,
    request: &Export<'_>,
    folder: &Path,
) -> Result<(), BundleError> {
    let failed = |source: io::Error| {
        let path = request.to.to_owned();
        if source.kind() == io::ErrorKind::AlreadyExists {
            BundleError::FileExists { path }
        } else {
            BundleError::Io { path, source }
        }
    };
    file.as_file().sync_all().map_err(failed)?;
    let persisted = if request.overwrite {
        file.persist(request.to)
    } else {
        file.persist_noclobber(request.to)
    };
    persisted.map_err(|error| failed(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(RECIPIENT_FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
