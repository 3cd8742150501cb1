//! Prompts that a model has read, so that no other process reads them again: encrypted, bounded in
//! size, the least recently used first to go.
//!
//! What the model computed of a prompt is derived from the passages in it. It is encrypted with a
//! key of its own and lies beside the store in a folder with a random name. When documents go, the
//! folder goes: a process that read them before then finds no folder to write to. What is damaged,
//! or of another model, is passed over; the worst that can happen is that a prompt is read again.
//! Names, sizes and times of the files tell how many prompts there were and about how long they
//! are, nothing else. Knows no model: numbers and bytes.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{Key, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::keys::{KEY_BYTES, fill_random};
use super::{ProfileError, ProfileStore, Purpose, delete};
use crate::paths::create_private_folder;

/// What the folder's name begins with, after the user's; and what that of one that goes does.
pub(super) const FOLDER: &str = "prefixes-";
pub(super) const GOING: &str = "gone-";
const MAGIC: &[u8; 8] = b"RPGPFX01";
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// A head is an identity and a token after the other; more than this is none of ours.
const HEAD_BYTES_MAX: u64 = 1 << 24;
/// Looking through more entries takes longer than reading a prompt.
const ENTRIES_MAX: usize = 256;
/// An entry must share so many tokens, and one for so many that it has: the rest is fetched in vain.
const SHARED_TOKENS_MIN: usize = 32;
const LENGTH_PER_SHARED: usize = 16;
/// A file that is none of ours was left by a process that ended in the middle of writing it.
const LEFT_AFTER: Duration = Duration::from_secs(3600);

/// A prompt, and what a model made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Prefix {
    /// Its tokens.
    pub tokens: Vec<i32>,
    /// What the model expects after the last of them: a logit per token of the vocabulary.
    pub logits: Vec<f32>,
    /// The model's state after them, as the model's own module writes it.
    pub state: Vec<u8>,
}

/// The prompts that one model has read for one person.
pub struct Prefixes {
    folder: PathBuf,
    key: Zeroizing<[u8; KEY_BYTES]>,
    identity: String,
    bytes_max: u64,
}

impl std::fmt::Debug for Prefixes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Prefixes").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl ProfileStore {
    /// The prompts that were read for this person by whatever `identity` tells apart: the hash of
    /// the model, its adapter, how its cache is kept. They take `bytes_max` on the disk at most.
    /// `None` where nothing may be kept, or no folder can be had.
    #[must_use]
    pub fn prefixes(&self, identity: String, bytes_max: u64) -> Option<Prefixes> {
        if bytes_max == 0 {
            return None;
        }
        let folder = self.prefix_folder().ok()?;
        Some(Prefixes { folder, key: self.derive_key(Purpose::Caches), identity, bytes_max })
    }

    /// [`remove_all`] after documents went; what it was that could not be removed.
    pub(super) fn remove_prefixes(&self) -> Result<(), ProfileError> {
        let failed = |source| ProfileError::Io { path: self.path.clone(), source };
        remove_all(&self.path).map_err(failed)
    }

    /// The folder, made where there is none; of two that are made at once the first by name stays.
    fn prefix_folder(&self) -> io::Result<PathBuf> {
        let first = || Ok::<_, io::Error>(delete::beside(&self.path, FOLDER)?.into_iter().min());
        if let Some(folder) = first()? {
            return Ok(folder);
        }
        let folder = beside(&self.path, FOLDER)?;
        create_private_folder(&folder)?;
        match first()? {
            Some(other) if other != folder => {
                let _ = fs::remove_dir(&folder);
                Ok(other)
            }
            _ => Ok(folder),
        }
    }
}

/// A path beside `database`, of the same user, that nothing has yet.
fn beside(database: &Path, what: &str) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    fill_random(&mut random)?;
    let stem = database.file_stem().unwrap_or_default().to_string_lossy();
    Ok(database.with_file_name(format!("{stem}.{what}{}", hex::encode(random))))
}

/// Removes all prompts that were read for the person whose store is `database`, with what was made
/// of them. Called before documents go for good, so that a crash leaves nothing of them, and after:
/// another process may have read them in between. A folder loses its name first, so that nobody
/// writes to it meanwhile.
///
/// # Errors
/// The system's reason; then something may be left.
pub(super) fn remove_all(database: &Path) -> io::Result<()> {
    for folder in delete::beside(database, FOLDER)? {
        match fs::rename(&folder, beside(database, GOING)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    delete::beside(database, GOING)?.iter().try_for_each(|folder| delete::remove(folder))
}

/// An entry whose head could be read.
struct Found {
    path: PathBuf,
    file: File,
    head_nonce: [u8; NONCE_BYTES],
    tokens: Vec<i32>,
    n_shared: usize,
}

impl Found {
    /// With fewer tokens in common than this it is read faster than it is fetched.
    fn least_shared(&self) -> usize {
        SHARED_TOKENS_MIN.max(self.tokens.len() / LENGTH_PER_SHARED)
    }
}

impl Prefixes {
    /// The entry that begins with more of `tokens` than any other and has `length_max` tokens at
    /// most; how many both have in common.
    #[must_use]
    pub fn longest(&self, tokens: &[i32], length_max: usize) -> Option<(Prefix, usize)> {
        let mut found: Vec<Found> = self
            .entries()
            .into_iter()
            .filter_map(|path| self.look_at(path, tokens))
            .filter(|found| found.n_shared >= found.least_shared())
            .filter(|found| found.tokens.len() <= length_max)
            .collect();
        // Of those that share as much, the smallest.
        found.sort_by_key(|found| (found.n_shared, Reverse(found.tokens.len())));
        while let Some(entry) = found.pop() {
            let (path, n_shared) = (entry.path.clone(), entry.n_shared);
            if let Some(prefix) = self.read(entry) {
                // Used just now: others go first.
                let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                return Some((prefix, n_shared));
            }
            // Damaged.
            let _ = fs::remove_file(&path);
        }
        None
    }

    /// Whether something of `bytes` that was made of a prompt would be kept: it may be so large, and
    /// is not there yet. What is there counts as used.
    #[must_use]
    pub fn wants(&self, tokens: &[i32], bytes: u64) -> bool {
        let path = self.folder.join(self.name_of(tokens));
        let is_there = self.look_at(path.clone(), tokens).is_some_and(|it| it.tokens == tokens);
        if is_there {
            let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        }
        !is_there && bytes <= self.bytes_max
    }

    /// Keeps what was made of a prompt, and lets the least recently used go until all fit. Where it
    /// cannot be written, nothing is kept.
    pub fn keep(&self, prefix: Prefix) {
        let Prefix { tokens, logits, state } = &prefix;
        let bytes = (4 * tokens.len() + 4 * logits.len() + state.len()) as u64;
        if self.wants(tokens, bytes) {
            let path = self.folder.join(self.name_of(tokens));
            let _ = self.write(prefix, &path);
        }
        self.make_room();
    }

    /// The entries that are whole.
    fn entries(&self) -> Vec<PathBuf> {
        self.files().into_iter().filter(|path| is_entry(path)).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(Key::from_slice(self.key.as_slice()))
    }

    /// The name of an entry: the same for the same prompt, and of no use without the key.
    fn name_of(&self, tokens: &[i32]) -> String {
        let mut name = [0; 16];
        Hkdf::<Sha256>::new(None, self.key.as_slice())
            .expand(&head_of(&self.identity, tokens), &mut name)
            .expect("16 bytes are far below HKDF's limit");
        hex::encode(name)
    }

    /// Reads the head of an entry; `None` where it is none of ours, or of another identity.
    fn look_at(&self, path: PathBuf, wanted: &[i32]) -> Option<Found> {
        let mut file = File::open(&path).ok()?;
        let mut magic = [0; MAGIC.len()];
        file.read_exact(&mut magic).ok()?;
        let mut length = [0; 8];
        file.read_exact(&mut length).ok()?;
        let length = u64::from_le_bytes(length);
        if magic != *MAGIC || length > HEAD_BYTES_MAX {
            return None;
        }
        let (head, head_nonce) = self.open_box(&mut file, length as usize, MAGIC)?;
        let tokens = tokens_of(&head, &self.identity)?;
        let n_shared = tokens.iter().zip(wanted).take_while(|(a, b)| a == b).count();
        Some(Found { path, file, head_nonce, tokens, n_shared })
    }

    fn read(&self, found: Found) -> Option<Prefix> {
        let Found { mut file, head_nonce, tokens, .. } = found;
        let mut length = [0; 8];
        file.read_exact(&mut length).ok()?;
        let n_logits = usize::try_from(u64::from_le_bytes(length)).ok()?;
        let (logits, logits_nonce) =
            self.open_box(&mut file, n_logits.checked_mul(4)?, &head_nonce)?;
        let length = file.metadata().ok()?.len();
        let at = io::Seek::stream_position(&mut file).ok()?;
        let rest = usize::try_from(length.checked_sub(at)?).ok()?;
        let length = rest.checked_sub(NONCE_BYTES + TAG_BYTES)?;
        let (state, _) = self.open_box(&mut file, length, &logits_nonce)?;
        let logits = logits.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Some(Prefix { tokens, logits, state })
    }

    /// Reads nonce, tag and `length` sealed bytes; what was sealed, and the nonce.
    fn open_box(
        &self,
        file: &mut File,
        length: usize,
        bound_to: &[u8],
    ) -> Option<(Vec<u8>, [u8; NONCE_BYTES])> {
        let (mut nonce, mut tag) = ([0; NONCE_BYTES], [0; TAG_BYTES]);
        file.read_exact(&mut nonce).ok()?;
        file.read_exact(&mut tag).ok()?;
        let mut bytes = Vec::new();
        file.take(length as u64).read_to_end(&mut bytes).ok()?;
        let opened = self.cipher().decrypt_in_place_detached(
            XNonce::from_slice(&nonce),
            bound_to,
            &mut bytes,
            Tag::from_slice(&tag),
        );
        (opened.is_ok() && bytes.len() == length).then_some((bytes, nonce))
    }

    /// Writes an entry beside its name and renames it. It is not synced: one that a crash cut short
    /// does not open, and is written again.
    fn write(&self, prefix: Prefix, path: &Path) -> io::Result<()> {
        let Prefix { tokens, logits, mut state } = prefix;
        let mut head = head_of(&self.identity, &tokens);
        let mut logit_bytes: Vec<u8> =
            logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
        // In the folder, which may have gone.
        let mut temporary = tempfile::NamedTempFile::new_in(&self.folder)?;
        let file = temporary.as_file_mut();
        file.write_all(MAGIC)?;
        file.write_all(&(head.len() as u64).to_le_bytes())?;
        let head_nonce = self.seal_box(file, &mut head, MAGIC)?;
        file.write_all(&(logits.len() as u64).to_le_bytes())?;
        let logits_nonce = self.seal_box(file, &mut logit_bytes, &head_nonce)?;
        self.seal_box(file, &mut state, &logits_nonce)?;
        temporary.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    fn seal_box(
        &self,
        file: &mut File,
        bytes: &mut [u8],
        bound_to: &[u8],
    ) -> io::Result<[u8; NONCE_BYTES]> {
        let mut nonce = [0; NONCE_BYTES];
        fill_random(&mut nonce)?;
        let tag = self
            .cipher()
            .encrypt_in_place_detached(XNonce::from_slice(&nonce), bound_to, bytes)
            .map_err(|_| io::Error::other("too long to be sealed"))?;
        file.write_all(&nonce)?;
        file.write_all(&tag)?;
        file.write_all(bytes)?;
        Ok(nonce)
    }

    /// Removes the least recently used until the others fit.
    fn make_room(&self) {
        let size_and_time = |path: PathBuf| {
            let metadata = fs::metadata(&path).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), path))
        };
        let is_left = |path: &PathBuf| {
            let age = fs::metadata(path).and_then(|it| it.modified()).map(|at| at.elapsed());
            !is_entry(path) && age.is_ok_and(|age| age.is_ok_and(|age| age > LEFT_AFTER))
        };
        for path in self.files().into_iter().filter(is_left) {
            let _ = fs::remove_file(path);
        }
        let mut entries: Vec<_> = self.entries().into_iter().filter_map(size_and_time).collect();
        entries.sort();
        let (mut bytes, mut count) = (0, 0);
        // The newest first.
        for (_, size, path) in entries.into_iter().rev() {
            (bytes, count) = (bytes + size, count + 1);
            if bytes > self.bytes_max || count > ENTRIES_MAX {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Whether a file has the name of an entry.
fn is_entry(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whose the tokens are, then the tokens.
fn head_of(identity: &str, tokens: &[i32]) -> Vec<u8> {
    let mut head = Vec::with_capacity(8 + identity.len() + 4 * tokens.len());
    head.extend((identity.len() as u64).to_le_bytes());
    head.extend(identity.as_bytes());
    head.extend(tokens.iter().flat_map(|token| token.to_le_bytes()));
    head
}

/// The tokens of a head of this identity.
fn tokens_of(head: &[u8], identity: &str) -> Option<Vec<i32>> {
    let (length, rest) = head.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (found, tokens) = rest.split_at_checked(length)?;
    let tokens = tokens.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes));
    (found == identity.as_bytes()).then(|| tokens.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;
    use crate::profile::{NoPassphrase, User};

    struct Place {
        _folder: tempfile::TempDir,
        store: ProfileStore,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(folder.path())).unwrap();
        let user = User::parse("me").unwrap();
        let store = ProfileStore::open_or_create(&paths, &user, &NoPassphrase).unwrap();
        Place { _folder: folder, store }
    }

    fn prefix(tokens: std::ops::Range<i32>) -> Prefix {
        let state = tokens.clone().flat_map(|token| [token as u8; 10]).collect();
        Prefix { tokens: tokens.collect(), logits: vec![0.5, -1.5], state }
    }

    fn some_of(place: &Place, bytes_max: u64) -> Prefixes {
        place.store.prefixes("model a".into(), bytes_max).unwrap()
    }

    #[test]
    fn the_entry_with_most_in_common_is_found() {
        let place = place();
        let prefixes = some_of(&place, 1 << 20);
        prefixes.keep(prefix(0..40));
        prefixes.keep(prefix(0..80));
        prefixes.keep(prefix(5..90));
        let wanted: Vec<i32> = (0..60).chain(1000..1040).collect();
        let (found, n_shared) = prefixes.longest(&wanted, 1000).unwrap();
        assert_eq!((found, n_shared), (prefix(0..80), 60));
        // Too long for whoever asks.
        let (found, n_shared) = prefixes.longest(&wanted, 50).unwrap();
        assert_eq!((found, n_shared), (prefix(0..40), 40));
        // A few tokens are read faster than fetched.
        let wanted: Vec<i32> = (0..10).chain(1000..1040).collect();
        assert_eq!(prefixes.longest(&wanted, 1000), None);
    }

    #[test]
    fn another_model_finds_nothing() {
        let place = place();
        some_of(&place, 1 << 20).keep(prefix(0..40));
        let others = place.store.prefixes("model b".into(), 1 << 20).unwrap();
        assert_eq!(others.longest(&prefix(0..40).tokens, 1000), None);
        assert_eq!(others.entries().len(), 1);
    }

    #[test]
    fn what_is_damaged_is_passed_over_wherever_the_damage_is() {
        let place = place();
        let prefixes = some_of(&place, 1 << 20);
        prefixes.keep(prefix(0..40));
        let path = prefixes.entries().remove(0);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(prefixes.longest(&prefix(0..40).tokens, 1000), None, "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(prefixes.longest(&prefix(0..40).tokens, 1000), None, "cut at {at}");
        }
        // It is written again, also where nothing of it can be read.
        fs::write(&path, []).unwrap();
        prefixes.keep(prefix(0..40));
        assert!(prefixes.longest(&prefix(0..40).tokens, 1000).is_some());
        assert!(!prefixes.wants(&prefix(0..40).tokens, 1));
        // What another process has not finished writing is left alone.
        let unfinished = prefixes.folder.join(".tmpabc");
        fs::write(&unfinished, &whole[..whole.len() - 1]).unwrap();
        assert!(prefixes.longest(&prefix(0..40).tokens, 1000).is_some());
        prefixes.make_room();
        assert!(unfinished.exists());
    }

    #[test]
    fn the_least_recently_used_go_first_and_none_is_plain() {
        let place = place();
        let prefixes = some_of(&place, 1 << 20);
        let names = [0..40, 100..140, 200..240].map(prefix);
        for (age, prefix) in names.iter().enumerate() {
            prefixes.keep(prefix.clone());
            let path = prefixes.folder.join(prefixes.name_of(&prefix.tokens));
            let text = fs::read(&path).unwrap();
            assert!(!text.windows(20).any(|bytes| prefix.state.starts_with(bytes)));
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age as u64);
            File::open(&path).unwrap().set_modified(at).unwrap();
        }
        assert!(prefixes.longest(&names[0].tokens, 1000).is_some());
        let entry_bytes = fs::metadata(&prefixes.entries()[0]).unwrap().len();
        let fewer = some_of(&place, 2 * entry_bytes);
        fewer.make_room();
        assert!(fewer.longest(&names[0].tokens, 1000).is_some());
        assert!(fewer.longest(&names[1].tokens, 1000).is_none());
        assert!(fewer.longest(&names[2].tokens, 1000).is_some());
        // One that takes more than there may be is not kept.
        some_of(&place, 100).keep(prefix(300..340));
        assert!(some_of(&place, 100).entries().is_empty());
    }

    #[test]
    fn whoever_began_before_documents_went_keeps_nothing() {
        let place = place();
        let before = some_of(&place, 1 << 20);
        before.keep(prefix(0..40));
        remove_all(&place.store.path).unwrap();
        let after = some_of(&place, 1 << 20);
        before.keep(prefix(0..80));
        assert!(after.entries().is_empty());
        assert!(!before.folder.exists());
    }
}
