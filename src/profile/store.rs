//! The encrypted store of one user: documents, their passages and where they came from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Row};
use serde::Serialize;
use zeroize::Zeroizing;

use super::database_file::{self, Making};
use super::keys::{Purpose, RootKey};
use super::{Document, Passphrase, ProfileError, User, users};
use super::{key_file, schema};
use crate::paths::Paths;

/// How long a second writer waits before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_millis(800);
/// Decrypted pages that are kept in memory, where the store is as large.
const CACHE_KIB: i64 = 64 << 10;
const MATCHES_SHOWN: usize = 5;

/// The open profile of one user.
#[derive(Debug)]
pub struct ProfileStore {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) key: RootKey,
    user: User,
}

/// A line of the list of documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The document's id.
    pub id: String,
    /// Title, subject or heading.
    pub title: Option<String>,
    /// Date of writing, `YYYY-MM-DD`.
    pub date: Option<String>,
    /// Length of the text in characters.
    pub characters: usize,
    /// Number of passages.
    pub chunks: usize,
    /// Where it was ingested from.
    pub source: String,
}

impl ProfileStore {
    /// Opens the profile of `user`. `secrets` is asked where the key is sealed with a passphrase.
    ///
    /// # Errors
    /// [`ProfileError::NoSuchUser`] where there is none; otherwise why it cannot be opened.
    pub fn open(
        paths: &Paths,
        user: &User,
        secrets: &dyn Passphrase,
    ) -> Result<Self, ProfileError> {
        let path = user.database(paths);
        if !user.has_database(paths)? {
            return Err(no_such_user(paths, user));
        }
        // SQLite would take it for a new one.
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == 0) {
            return Err(ProfileError::Damaged { path });
        }
        let key_file = user.key_file(paths);
        let key = key_file::read(&key_file, user, secrets)?
            .ok_or_else(|| ProfileError::KeyMissing { user: user.to_string(), path: key_file })?;
        Self::connect(path, key, user)
    }

    /// Opens the profile of `user`, creating it and its key where there is none.
    ///
    /// # Errors
    /// Why it cannot be opened or created.
    pub fn open_or_create(
        paths: &Paths,
        user: &User,
        secrets: &dyn Passphrase,
    ) -> Result<Self, ProfileError> {
        if !user.has_database(paths)? {
            Self::create(paths, user, secrets)?;
        }
        Self::open(paths, user, secrets)
    }

    /// Makes an empty profile; where another process was faster, that one's is fine.
    fn create(paths: &Paths, user: &User, secrets: &dyn Passphrase) -> Result<(), ProfileError> {
        let failed = |source| ProfileError::Io { path: paths.profiles.clone(), source };
        // First: it may be asked for, and take a while.
        let key = key_file::create(&user.key_file(paths), user, paths.has_keyring, secrets)?;
        let folder = database_file::workplace(paths, user, Making::Create).map_err(failed)?;
        let database = folder.path().join("profile.db");
        Self::connect_new(database.clone(), key, user)?.close_whole()?;
        database_file::give_name(&database, paths, user).map_err(failed)?;
        Ok(())
    }

    /// Moves everything into the store's file and closes it.
    pub(super) fn close_whole(self) -> Result<(), ProfileError> {
        self.checkpoint().map_err(|error| self.failed(error))?;
        let path = self.path.clone();
        drop(self);
        let mut log = path.clone().into_os_string();
        log.push("-wal");
        if fs::metadata(log).is_ok_and(|metadata| metadata.len() > 0) {
            let source = io::Error::other("it cannot be written whole");
            return Err(ProfileError::Io { path, source });
        }
        Ok(())
    }

    /// Opens the store in the file `path`. One that has gone meanwhile is not made again.
    pub(super) fn connect(path: PathBuf, key: RootKey, user: &User) -> Result<Self, ProfileError> {
        Self::connect_with(path, key, user, OpenFlags::default() - OpenFlags::SQLITE_OPEN_CREATE)
    }

    /// Opens the store in the file `path`, creating it where there is none.
    pub(super) fn connect_new(
        path: PathBuf,
        key: RootKey,
        user: &User,
    ) -> Result<Self, ProfileError> {
        Self::connect_with(path, key, user, OpenFlags::default())
    }

    fn connect_with(
        path: PathBuf,
        key: RootKey,
        user: &User,
        flags: OpenFlags,
    ) -> Result<Self, ProfileError> {
        let connection = Connection::open_with_flags(&path, flags)
            .map_err(|error| failed(&path, user, error))?;
        let mut store = Self { connection, path, key, user: user.clone() };
        store.unlock().map_err(|error| store.failed(error))?;
        let version = schema::version(&store.connection).map_err(|error| store.failed(error))?;
        if version > schema::VERSION {
            return Err(ProfileError::TooNew {
                path: store.path,
                found: version,
                known: schema::VERSION,
            });
        }
        if version < schema::VERSION {
            schema::migrate(&mut store.connection).map_err(|error| store.failed(error))?;
        }
        Ok(store)
    }

    fn unlock(&self) -> rusqlite::Result<()> {
        let connection = &self.connection;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // SQLCipher writes to stderr by itself; what it has to say comes back as an error too.
        connection.pragma_update_and_check(None, "cipher_log_level", "NONE", |_| Ok(()))?;
        connection.pragma_update(None, "key", self.key.database_key().as_str())?;
        // The first read shows whether the key fits.
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // Deleted text is overwritten, and intermediate results never reach a temporary file.
        connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        // Every page that is not in the cache is decrypted and authenticated again.
        connection.pragma_update(None, "cache_size", -CACHE_KIB)
    }

    /// That the store's file is still there: another command may have deleted the profile, and what
    /// is written to a deleted file is lost.
    ///
    /// # Errors
    /// [`ProfileError::NoSuchUser`].
    pub fn require_file(&self) -> Result<(), ProfileError> {
        if self.path.exists() {
            return Ok(());
        }
        Err(ProfileError::NoSuchUser { user: self.user.to_string(), known: Vec::new() })
    }

    /// The key for one purpose, derived from the user's root key: what is kept outside the store
    /// is encrypted with it, and goes with the root key.
    #[must_use]
    pub fn derive_key(&self, purpose: Purpose) -> Zeroizing<[u8; 32]> {
        self.key.derive(purpose)
    }

    /// Moves what the write-ahead log holds into the store's file and empties the log. Where
    /// another process reads, less than all is moved; the next call moves the rest.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    /// From now on, waits for another process that is writing as long as `goes_on` says, instead
    /// of giving up after less than a second. It is told how often it has been asked, and waits a
    /// moment before it answers.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn wait_for_writers(&mut self, goes_on: fn(i32) -> bool) -> Result<(), ProfileError> {
        let set = self.connection.busy_handler(Some(goes_on));
        set.map_err(|error| self.failed(error))
    }

    /// The user whose profile this is.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    pub(super) fn failed(&self, error: rusqlite::Error) -> ProfileError {
        failed(&self.path, &self.user, error)
    }

    /// All documents, oldest first, undated ones before them.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn summaries(&self) -> Result<Vec<Summary>, ProfileError> {
        let read = || -> rusqlite::Result<Vec<Summary>> {
            let mut statement = self.connection.prepare(
                "SELECT id, title, date, length(text),
                        (SELECT count(*) FROM chunk WHERE chunk.document = document.number),
                        (SELECT min(place) FROM occurrence JOIN source ON source.id = source
                         WHERE occurrence.document = document.number)
                 FROM document ORDER BY date, number",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(Summary {
                    id: row.get(0)?,
                    title: row.get(1)?,
                    date: row.get(2)?,
                    characters: row.get(3)?,
                    chunks: row.get(4)?,
                    source: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
                })
            })?;
            rows.collect()
        };
        read().map_err(|error| self.failed(error))
    }

    /// All documents with their texts, oldest first, undated ones before them.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn documents(&self) -> Result<Vec<Document>, ProfileError> {
        let read = || -> rusqlite::Result<Vec<Document>> {
            let sql = format!("{DOCUMENT} ORDER BY date, number");
            self.connection.prepare(&sql)?.query_map([], document)?.collect()
        };
        read().map_err(|error| self.failed(error))
    }

    /// The number of documents.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn document_count(&self) -> Result<usize, ProfileError> {
        self.connection
            .query_row("SELECT count(*) FROM document", [], |row| row.get(0))
            .map_err(|error| self.failed(error))
    }

    /// The document whose id is `id`, or begins with it where only one does.
    ///
    /// # Errors
    /// [`ProfileError::NoSuchDocument`] or [`ProfileError::AmbiguousDocument`].
    pub fn document(&self, id: &str) -> Result<Document, ProfileError> {
        let matches = self.matching_ids(id).map_err(|error| self.failed(error))?;
        let found = match matches.as_slice() {
            [] => {
                return Err(ProfileError::NoSuchDocument {
                    user: self.user.to_string(),
                    document: id.to_owned(),
                });
            }
            [only] => only,
            several => match several.iter().find(|candidate| *candidate == id) {
                Some(exact) => exact,
                None => {
                    return Err(ProfileError::AmbiguousDocument {
                        document: id.to_owned(),
                        matches: matches.into_iter().take(MATCHES_SHOWN).collect(),
                    });
                }
            },
        };
        self.connection
            .query_row(&format!("{DOCUMENT} WHERE id = ?1"), [found], document)
            .map_err(|error| self.failed(error))
    }

    fn matching_ids(&self, prefix: &str) -> rusqlite::Result<Vec<String>> {
        let mut statement = self
            .connection
            .prepare("SELECT id FROM document WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id")?;
        statement.query_map([prefix], |row| row.get(0))?.collect()
    }
}

const DOCUMENT: &str = "SELECT id, title, date, text, kind, recipient, context,
            (SELECT min(place) FROM occurrence JOIN source ON source.id = source
             WHERE occurrence.document = document.number)
     FROM document";

fn document(row: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document {
        id: row.get(0)?,
        title: row.get(1)?,
        date: row.get(2)?,
        text: row.get(3)?,
        kind: row.get(4)?,
        recipient: row.get(5)?,
        context: row.get(6)?,
        source: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
    })
}

/// That there is no such user, and who there is; or why that cannot be told.
pub(super) fn no_such_user(paths: &Paths, user: &User) -> ProfileError {
    match users(paths) {
        Ok(known) => ProfileError::NoSuchUser {
            user: user.to_string(),
            known: known.iter().map(ToString::to_string).collect(),
        },
        Err(error) => error,
    }
}

fn failed(path: &Path, user: &User, source: rusqlite::Error) -> ProfileError {
    match source.sqlite_error_code() {
        Some(ErrorCode::CannotOpen) if !path.exists() => {
            ProfileError::NoSuchUser { user: user.to_string(), known: Vec::new() }
        }
        Some(ErrorCode::NotADatabase) => ProfileError::Undecryptable { path: path.to_owned() },
        Some(ErrorCode::DatabaseCorrupt) => ProfileError::Damaged { path: path.to_owned() },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            ProfileError::Busy { user: user.to_string() }
        }
        _ => ProfileError::Database { path: path.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{AdapterState, NewDocument, NoPassphrase, Source, Stamp};

    fn home() -> (tempfile::TempDir, Paths) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(folder.path())).unwrap();
        (folder, paths)
    }

    fn store(paths: &Paths) -> ProfileStore {
        let user = User::parse("me").unwrap();
        ProfileStore::open_or_create(paths, &user, &NoPassphrase).unwrap()
    }

    fn source(place: &str, size_bytes: u64) -> Source {
        Source {
            place: place.into(),
            stamp: Stamp { size_bytes, modified_ns: 1, reading: "text".into() },
        }
    }

    fn document(key: &str, text: &str) -> NewDocument {
        NewDocument { key: key.into(), text: text.into(), ..NewDocument::default() }
    }

    /// The story: a profile that an older program wrote is opened by this one.
    #[test]
    fn a_profile_of_the_first_version_is_brought_up_to_date() {
        let (_folder, paths) = home();
        let user = User::parse("me").unwrap();
        let key = key_file::create(&user.key_file(&paths), &user, false, &NoPassphrase).unwrap();
        std::fs::create_dir_all(&paths.profiles).unwrap();
        let mut old = Connection::open(user.database(&paths)).unwrap();
        old.pragma_update(None, "key", key.database_key().as_str()).unwrap();
        schema::migrate_to(&mut old, 1).unwrap();
        old.execute_batch(
            "INSERT INTO source VALUES (1, '/notes/a.txt', 9, 1, 'text');
             INSERT INTO document VALUES (1, 'a1', 'Shed', '2020-01-01', 'the shed door', x'00');
             INSERT INTO occurrence VALUES (1, '', 1);
             INSERT INTO chunk VALUES (1, 1);
             INSERT INTO chunk_text (rowid, title, text) VALUES (1, 'Shed', 'the shed door');",
        )
        .unwrap();
        drop(old);

        let mut store = store(&paths);
        assert_eq!(schema::version(&store.connection).unwrap(), schema::VERSION);
        assert_eq!(store.document("a1").unwrap().text, "the shed door");
        assert_eq!(store.lexical("door", 5).unwrap().len(), 1);
        assert_eq!(store.check().unwrap().faults, Vec::<String>::new());
        let other = [document("", "The same file, another text.")];
        let applied = store.replace_source(&source("/notes/a.txt", 2), &other, 100).unwrap();
        assert_eq!((applied.added, applied.removed), (1, 1));
    }

    /// The story: while a command asks for the passphrase, the profile is deleted elsewhere.
    #[test]
    fn a_store_that_has_gone_is_not_made_again() {
        let (_folder, paths) = home();
        let (path, key) = {
            let store = store(&paths);
            (store.path.clone(), store.key.clone())
        };
        std::fs::remove_file(&path).unwrap();
        let opened = ProfileStore::connect(path.clone(), key, &User::parse("me").unwrap());
        assert!(matches!(opened, Err(ProfileError::NoSuchUser { .. })));
        assert!(!path.exists());
    }

    #[test]
    fn a_store_of_no_bytes_is_a_damaged_one() {
        let (_folder, paths) = home();
        drop(store(&paths));
        let user = User::parse("me").unwrap();
        std::fs::write(user.database(&paths), b"").unwrap();
        for _ in 0..2 {
            let opened = ProfileStore::open_or_create(&paths, &user, &NoPassphrase);
            assert!(matches!(opened, Err(ProfileError::Damaged { .. })));
        }
    }

    #[test]
    fn an_adapter_follows_a_file_that_is_gone_but_not_one_that_was_edited() {
        let (_folder, paths) = home();
        let mut store = store(&paths);
        store.replace_source(&source("/a", 1), &[document("", "zebra")], 100).unwrap();
        let id = store.summaries().unwrap()[0].id.clone();
        store.record_adapter("learned", &[id]).unwrap();
        store.replace_source(&source("/a", 2), &[document("", "zebras")], 100).unwrap();
        assert_eq!(store.adapters().unwrap()[0].state, AdapterState::Candidate);
        let applied = store.remove_sources(&["/a".into()]).unwrap();
        assert_eq!((applied.removed, applied.adapters_invalidated), (1, 1));
        assert_eq!(store.adapters().unwrap()[0].state, AdapterState::Invalid);
    }

    #[test]
    fn a_text_from_two_places_is_stored_once_and_goes_with_the_last() {
        let (_folder, paths) = home();
        let mut store = store(&paths);
        let text = [document("", "The same text.")];
        let first = store.replace_source(&source("/a", 1), &text, 100).unwrap();
        let second = store.replace_source(&source("/b", 1), &text, 100).unwrap();
        assert_eq!((first.added, second.added, second.duplicates), (1, 0, 1));
        assert_eq!(store.document_count().unwrap(), 1);

        let other = [document("", "Another text.")];
        let applied = store.replace_source(&source("/a", 2), &other, 100).unwrap();
        assert_eq!((applied.added, applied.removed), (1, 0));
        assert_eq!(store.document_count().unwrap(), 2);
        let applied = store.replace_source(&source("/b", 2), &[], 100).unwrap();
        assert_eq!(applied.removed, 1);
        assert_eq!(store.document_count().unwrap(), 1);
    }

    #[test]
    fn a_changed_file_keeps_its_id_and_leaves_nothing_of_the_old_text() {
        let (_folder, paths) = home();
        let mut store = store(&paths);
        store.replace_source(&source("/a", 1), &[document("", "zebra")], 100).unwrap();
        let id = store.summaries().unwrap()[0].id.clone();
        store.replace_source(&source("/a", 2), &[document("", "giraffe")], 100).unwrap();
        assert_eq!(store.summaries().unwrap()[0].id, id);
        assert!(store.lexical("zebra", 5).unwrap().is_empty());
        assert_eq!(store.lexical("giraffe", 5).unwrap().len(), 1);
    }

    #[test]
    fn a_new_title_over_the_same_text_is_taken_over() {
        let (_folder, paths) = home();
        let mut store = store(&paths);
        let mut changed = document("", "body");
        store.replace_source(&source("/a", 1), &[changed.clone()], 100).unwrap();
        changed.title = Some("Heading".into());
        let applied = store.replace_source(&source("/a", 2), &[changed], 100).unwrap();
        assert_eq!(applied.unchanged, 1);
        assert_eq!(store.summaries().unwrap()[0].title.as_deref(), Some("Heading"));
        assert_eq!(store.lexical("heading", 5).unwrap().len(), 1);
    }

    #[test]
    fn a_place_without_a_title_takes_none_away() {
        let (_folder, paths) = home();
        let mut store = store(&paths);
        let titled = NewDocument { title: Some("Heading".into()), ..document("", "body") };
        store.replace_source(&source("/a.md", 1), &[titled], 100).unwrap();
        for size_bytes in [1, 2] {
            let plain = [document("", "body")];
            store.replace_source(&source("/a.txt", size_bytes), &plain, 100).unwrap();
        }
        assert_eq!(store.summaries().unwrap()[0].title.as_deref(), Some("Heading"));
        assert_eq!(store.lexical("heading", 5).unwrap().len(), 1);
    }

    #[test]
    fn own_ids_are_kept_and_found_by_their_beginning() {
        let (_folder, paths) = home();
        let mut store = store(&paths);
        let with_id =
            |id: &str, text: &str| NewDocument { id: Some(id.into()), ..document(id, text) };
        let documents = [with_id("git:1ab", "one"), with_id("git:1ac", "two")];
        store.replace_source(&source("/a", 1), &documents, 100).unwrap();
        assert_eq!(store.document("git:1ab").unwrap().text, "one");
        assert_eq!(store.document("git:1ac").unwrap().text, "two");
        assert!(matches!(store.document("git:1"), Err(ProfileError::AmbiguousDocument { .. })));
        assert!(matches!(store.document("hg:"), Err(ProfileError::NoSuchDocument { .. })));
    }

    #[test]
    fn two_texts_under_one_id_of_their_own_are_two_documents() {
        let (_folder, paths) = home();
        let mut store = store(&paths);
        let with_id =
            |key: &str, text: &str| NewDocument { id: Some("1".into()), ..document(key, text) };
        let both = [with_id("1", "zebra"), with_id("2", "giraffe")];
        store.replace_source(&source("/a", 1), &both, 100).unwrap();
        assert_eq!(store.document_count().unwrap(), 2);
        // Whichever goes, its text goes with it.
        store.replace_source(&source("/a", 2), &both[1..], 100).unwrap();
        assert!(store.lexical("zebra", 5).unwrap().is_empty());
        store.replace_source(&source("/a", 3), &both[..1], 100).unwrap();
        assert!(store.lexical("giraffe", 5).unwrap().is_empty());
        assert_eq!(store.document_count().unwrap(), 1);
    }

    #[test]
    fn another_passage_size_cuts_anew() {
        let (_folder, paths) = home();
        let mut store = store(&paths);
        let text = [document("", "One two three four. Five six seven eight.")];
        store.replace_source(&source("/a", 1), &text, 100).unwrap();
        assert_eq!(store.summaries().unwrap()[0].chunks, 1);
        let mut smaller = source("/a", 1);
        smaller.stamp.reading = "text 5".into();
        store.replace_source(&smaller, &text, 5).unwrap();
        assert_eq!(store.summaries().unwrap()[0].chunks, 2);
    }

    #[test]
    fn nothing_of_a_text_is_on_the_disk_in_plain() {
        let (folder, paths) = home();
        let mut store = store(&paths);
        let text = "a phrase that no other file has: xylophone quagmire";
        store.replace_source(&source("/secret-place", 1), &[document("", text)], 100).unwrap();
        for entry in walkdir::WalkDir::new(folder.path()) {
            let entry = entry.unwrap();
            if entry.file_type().is_file() {
                let bytes = std::fs::read(entry.path()).unwrap();
                for word in ["xylophone", "quagmire", "secret-place"] {
                    let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
                    assert!(!found, "{word} stands in {}", entry.path().display());
                }
            }
        }
    }

    #[test]
    fn another_key_does_not_open_a_store() {
        let (_folder, paths) = home();
        let user = User::parse("me").unwrap();
        drop(store(&paths));
        std::fs::remove_file(user.key_file(&paths)).unwrap();
        let opened = ProfileStore::open(&paths, &user, &NoPassphrase);
        assert!(matches!(opened, Err(ProfileError::KeyMissing { .. })));
        key_file::create(&user.key_file(&paths), &user, false, &NoPassphrase).unwrap();
        let opened = ProfileStore::open(&paths, &user, &NoPassphrase);
        assert!(matches!(opened, Err(ProfileError::Undecryptable { .. })));
    }

    #[test]
    fn a_second_writer_is_told_within_a_second() {
        let (_folder, paths) = home();
        let first = store(&paths);
        let mut second = store(&paths);
        first.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let start = std::time::Instant::now();
        let result = second.replace_source(&source("/a", 1), &[document("", "x")], 100);
        assert!(matches!(result, Err(ProfileError::Busy { .. })));
        // The wait is bounded at 800 ms; a busy machine may take longer to notice.
        assert!(start.elapsed() < Duration::from_secs(5));
        assert_eq!(second.document_count().unwrap(), 0);
    }
}
