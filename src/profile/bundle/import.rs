//! Reading a profile out of one file.
//!
//! Everything in a bundle is checked before any of it gets a name here: its header is bounded
//! before it is parsed, the work that its passphrase costs before it is done, the length of the
//! database by the length of the file; the database must open with the key, have our tables and no
//! others, and be free of faults. Then the key gets its name, and the database last: a profile is
//! there once its database is. A crash in between leaves a key that the same import accepts.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use age::secrecy::SecretString;
use age::stream::StreamReader;
use age::{DecryptError, Decryptor, IdentityFile, scrypt};
use rusqlite::Connection;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{BundleError, Cut, Header, Unreadable, copy};
use crate::paths::Paths;
use crate::profile::database_file::{self, Making};
use crate::profile::key_file::{self, Keep, Kept};
use crate::profile::keys::RootKey;
use crate::profile::sealed_key::Cost;
use crate::profile::{
    KeyringError, NoPassphrase, ProfileError, ProfileStore, Protection, User, delete, protection,
    schema,
};

/// An age header is read up to here: a hundred recipients and more.
const HEADER_BYTES_MAX: u64 = 16 << 10;
/// The last line of an age header begins with this.
const HEADER_END: &[u8] = b"\n---";
/// Bundles that ask for more work on their passphrase, 2^20 and a GiB, are refused.
const WORK_FACTOR_MAX: u8 = 20;

/// A bundle that was found to be an age file; nothing of it is decrypted yet.
pub struct Bundle {
    path: PathBuf,
    size_bytes: u64,
    decryptor: Decryptor<BufReader<File>>,
}

/// What opens a bundle.
pub enum BundleKey {
    /// The passphrase that was chosen when it was exported.
    Passphrase(Zeroizing<String>),
    /// A file of age identities.
    Identities(PathBuf),
}

/// Where the profile goes.
pub struct Import<'a> {
    /// The folders of this installation.
    pub paths: &'a Paths,
    /// The user's name here; by default the name that the bundle tells.
    pub user: Option<User>,
    /// Seals the key here, so that it needs this passphrase from the first moment on.
    pub protect: Option<Zeroizing<String>>,
    /// Ends the import early; then there is no profile.
    pub interrupt: &'a AtomicBool,
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The user's name here.
    pub user: String,
    /// Documents of the profile.
    pub documents: usize,
    /// Whether more than the permissions of its file protects its key here.
    pub protected: bool,
    /// What protects it.
    pub by: Protection,
}

impl Bundle {
    /// Opens a file and reads the header of its encryption.
    ///
    /// # Errors
    /// [`BundleError::Bad`] where it is no age file; [`BundleError::Io`] where it cannot be read.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let failed = |source| BundleError::Io { path: path.to_owned(), source };
        let bad = |what| BundleError::Bad { path: path.to_owned(), what };
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(bad("is no file"));
        }
        let mut beginning = Vec::new();
        Read::by_ref(&mut file)
            .take(HEADER_BYTES_MAX)
            .read_to_end(&mut beginning)
            .map_err(failed)?;
        // The parser reads on and on while a header does not end.
        if !beginning.windows(HEADER_END.len()).any(|window| window == HEADER_END) {
            return Err(bad("is no exported profile"));
        }
        file.rewind().map_err(failed)?;
        let decryptor = Decryptor::new_buffered(BufReader::new(file))
            .map_err(|_| bad("is no exported profile, or a damaged one"))?;
        Ok(Self { path: path.to_owned(), size_bytes: metadata.len(), decryptor })
    }

    /// Whether a passphrase opens it; otherwise an identity does.
    #[must_use]
    pub fn takes_passphrase(&self) -> bool {
        self.decryptor.is_scrypt()
    }

    /// Makes a profile of it. `on_progress` is told bytes done and bytes in all.
    ///
    /// # Errors
    /// [`BundleError::WrongPassphrase`], [`BundleError::WrongIdentity`],
    /// [`BundleError::UserExists`], [`BundleError::KeyInTheWay`], [`BundleError::Bad`] for a bundle
    /// that is damaged or not ours, or why it cannot be written; then there is no profile.
    pub fn import(
        self,
        key: &BundleKey,
        request: &Import<'_>,
        on_progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Imported, BundleError> {
        let (path, size_bytes) = (self.path.clone(), self.size_bytes);
        let mut input = self.decrypt(key)?;
        let header = Header::read(&mut input).map_err(|error| unreadable(&path, error))?;
        let user = request.user.as_ref().unwrap_or(&header.user);
        if user.has_database(request.paths)? {
            return Err(BundleError::UserExists { user: user.to_string() });
        }
        // Encryption does not compress: a longer database cannot follow.
        if header.database_bytes > size_bytes {
            return Err(cut_short(&path));
        }
        let folder = temporary_folder(request.paths, user)?;
        let database = folder.path().join("profile.db");
        unpack(&path, &mut input, &header, &database, request.interrupt, on_progress)?;
        let documents = verify(&path, &database, &header.key, user)?;
        place(&database, &header.key, user, request)?;
        let by = protection(request.paths, user)?;
        let protected = by != Protection::Permissions;
        Ok(Imported { user: user.to_string(), documents, protected, by })
    }

    fn decrypt(self, key: &BundleKey) -> Result<StreamReader<BufReader<File>>, BundleError> {
        let path = self.path;
        let other = |how, instead| BundleError::OtherLock { path: path.clone(), how, instead };
        let is_scrypt = self.decryptor.is_scrypt();
        match key {
            BundleKey::Passphrase(_) if !is_scrypt => Err(other(
                "for age keys",
                "Give the secret key of one of them with --identity FILE.",
            )),
            BundleKey::Identities(_) if is_scrypt => Err(other(
                "with a passphrase",
                "Leave --identity out; the passphrase is asked for, or read from \
                 --export-passphrase-file FILE.",
            )),
            BundleKey::Passphrase(passphrase) => {
                let mut identity = scrypt::Identity::new(SecretString::from(passphrase.as_str()));
                identity.set_max_work_factor(WORK_FACTOR_MAX);
                let identities = std::iter::once(&identity as &dyn age::Identity);
                self.decryptor.decrypt(identities).map_err(|error| match error {
                    DecryptError::ExcessiveWork { .. } => BundleError::Bad {
                        path,
                        what: "asks for more work on its passphrase than is reasonable",
                    },
                    DecryptError::DecryptionFailed
                    | DecryptError::KeyDecryptionFailed
                    | DecryptError::NoMatchingKeys => BundleError::WrongPassphrase { path },
                    other => undecryptable(path, other),
                })
            }
            BundleKey::Identities(file) => {
                let identities = identities(file)?;
                let identities =
                    identities.iter().map(|identity| identity.as_ref() as &dyn age::Identity);
                self.decryptor.decrypt(identities).map_err(|error| match error {
                    DecryptError::NoMatchingKeys => {
                        BundleError::WrongIdentity { path, identities: file.clone() }
                    }
                    other => undecryptable(path, other),
                })
            }
        }
    }
}

/// What age says of a bundle, in our words. Its own are never shown: some are made for another
/// program, and some cannot be made of what a hostile file holds.
fn undecryptable(path: PathBuf, error: DecryptError) -> BundleError {
    match error {
        DecryptError::Io(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
            BundleError::Io { path, source }
        }
        _ => BundleError::Bad { path, what: "is damaged" },
    }
}

fn identities(file: &Path) -> Result<Vec<Box<dyn age::Identity + Send + Sync>>, BundleError> {
    let bad = || BundleError::BadIdentities { path: file.to_owned() };
    let opened =
        File::open(file).map_err(|source| BundleError::Io { path: file.to_owned(), source })?;
    let identities = IdentityFile::from_buffer(BufReader::new(opened))
        .map_err(|_| bad())?
        .into_identities()
        .map_err(|_| bad())?;
    if identities.is_empty() { Err(bad()) } else { Ok(identities) }
}

fn unreadable(path: &Path, error: Unreadable) -> BundleError {
    match error {
        Unreadable::Content(what) => BundleError::Bad { path: path.to_owned(), what },
        Unreadable::Input(source) => unreadable_input(path, source),
    }
}

fn unreadable_input(path: &Path, source: io::Error) -> BundleError {
    match source.kind() {
        // What ends too early, and what fails its authentication.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => cut_short(path),
        _ => BundleError::Io { path: path.to_owned(), source },
    }
}

fn cut_short(path: &Path) -> BundleError {
    BundleError::Bad { path: path.to_owned(), what: "is damaged or was cut short" }
}

/// A folder beside the databases. What an import that was killed left of the same user goes.
fn temporary_folder(paths: &Paths, user: &User) -> Result<tempfile::TempDir, BundleError> {
    let failed = |source| BundleError::Io { path: paths.profiles.clone(), source };
    for old in delete::beside(&user.database(paths), "import-").map_err(failed)? {
        delete::remove(&old).map_err(failed)?;
    }
    database_file::workplace(paths, user, Making::Import).map_err(failed)
}

/// Writes the database, and makes sure that the bundle ends with it.
fn unpack(
    path: &Path,
    input: &mut impl Read,
    header: &Header,
    database: &Path,
    interrupt: &AtomicBool,
    on_progress: &mut dyn FnMut(u64, u64),
) -> Result<(), BundleError> {
    let failed = |source| BundleError::Io { path: database.to_owned(), source };
    let mut output = File::create_new(database).map_err(failed)?;
    copy(input, &mut output, header.database_bytes, interrupt, on_progress).map_err(
        |cut| match cut {
            Cut::Read(source) => unreadable_input(path, source),
            Cut::Write(source) => failed(source),
            Cut::Interrupted => ProfileError::Interrupted.into(),
        },
    )?;
    let mut rest = [0; 1];
    if input.read(&mut rest).map_err(|source| unreadable_input(path, source))? > 0 {
        return Err(cut_short(path));
    }
    Ok(())
}

/// Opens the database with its key, brings it up to date, and looks for whatever is not ours or
/// not sound; the number of documents.
fn verify(path: &Path, database: &Path, key: &RootKey, user: &User) -> Result<usize, BundleError> {
    let bad = |what| BundleError::Bad { path: path.to_owned(), what };
    let mut store = ProfileStore::connect(database.to_owned(), key.clone(), user).map_err(
        |error| match error {
            ProfileError::TooNew { .. } => bad("was written by a newer restpg-edge"),
            _ => bad("holds a profile that its key does not open"),
        },
    )?;
    let failed = |store: &ProfileStore, error| BundleError::Profile(store.failed(error));
    let ours = our_tables().map_err(|error| failed(&store, error))?;
    let theirs = tables(&store.connection).map_err(|_| bad("holds a damaged profile"))?;
    if ours != theirs {
        return Err(bad("holds other tables than a profile has"));
    }
    let check = store.check()?;
    if !check.faults.is_empty() {
        return Err(bad("holds a damaged profile"));
    }
    store.close_whole()?;
    Ok(check.documents)
}

/// Names and definitions of all tables, indices and triggers, but those that SQLite makes itself.
fn tables(connection: &Connection) -> rusqlite::Result<BTreeSet<(String, Option<String>)>> {
    connection
        .prepare("SELECT name, sql FROM sqlite_master WHERE substr(name, 1, 7) <> 'sqlite_'")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// What a new profile has.
fn our_tables() -> rusqlite::Result<BTreeSet<(String, Option<String>)>> {
    let mut fresh = Connection::open_in_memory()?;
    schema::migrate(&mut fresh)?;
    tables(&fresh)
}

/// Gives the key its name, then the database.
fn place(
    database: &Path,
    key: &RootKey,
    user: &User,
    request: &Import<'_>,
) -> Result<(), BundleError> {
    let key_path = user.key_file(request.paths);
    let passphrase = request.protect.as_ref().map(|passphrase| passphrase.as_str());
    let is_new = match passphrase {
        Some(passphrase) => {
            key_file::create_with(&key_path, key, user, Keep::Sealed(passphrase, Cost::STANDARD))
        }
        None => key_file::create_unattended(&key_path, key, user, request.paths.has_keyring),
    }?;
    if !is_new {
        // What a crash of the same import left is fine; any other key may be the only one of a
        // profile on a disk that is not there today.
        if !is_kept_in(&key_path, key, user, passphrase)? {
            return Err(BundleError::KeyInTheWay { user: user.to_string(), path: key_path });
        }
    }
    let failed = |source| BundleError::Io { path: user.database(request.paths), source };
    if database_file::give_name(database, request.paths, user).map_err(failed)? {
        Ok(())
    } else {
        Err(BundleError::UserExists { user: user.to_string() })
    }
}

fn is_kept_in(
    path: &Path,
    key: &RootKey,
    user: &User,
    passphrase: Option<&str>,
) -> Result<bool, BundleError> {
    let kept = match (Kept::read(path)?, passphrase) {
        (Some(Kept::Sealed(sealed)), Some(passphrase)) => sealed
            .open(passphrase)
            .map_err(|source| BundleError::Io { path: path.to_owned(), source })?,
        (Some(kept @ (Kept::Plain(_) | Kept::InKeyring(_))), None) => {
            match kept.open(path, user, &NoPassphrase) {
                Ok(key) => Some(key),
                // A key that nothing opens any more is not this one.
                Err(ProfileError::Keyring { source: KeyringError::Lost, .. }) => None,
                Err(error) => return Err(error.into()),
            }
        }
        _ => None,
    };
    Ok(kept.as_ref() == Some(key))
}
