//! Prompts that a model has read, so that no other process reads them again: encrypted, bounded in
//! size, the least recently used first to go.
//!
//! What the model computed of a prompt is derived from the passages in it. It is encrypted with a
//! key of its own and lies beside the store in a folder with a random name. When documents go, the
//! folder goes: a process that read them before then finds no folder to write to. What is damaged,
//! or of another model, is passed over; the worst that can happen is that a prompt is read again.
//! Names, sizes and times of the files tell how many prompts there were and about how long they
//! are, nothing else. Knows no model: numbers and bytes.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{Key, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::keys::{KEY_BYTES, fill_random};
use super::{ProfileStore, Purpose, delete};
use crate::paths::create_private_folder;

/// What the folder's name begins with, after the user's.
pub(super) const FOLDER: &str = "prefixes-";
const MAGIC: &[u8; 8] = b"RPGPFX01";
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// A head is an identity and a token after the other; more than this is none of ours.
const HEAD_BYTES_MAX: u64 = 1 << 24;
/// Looking through more entries takes longer than reading a prompt.
const ENTRIES_MAX: usize = 256;
/// What is shared with fewer tokens is read faster than it is fetched.
const SHARED_TOKENS_MIN: usize = 32;

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

    /// The folder, made where there is none.
    fn prefix_folder(&self) -> io::Result<PathBuf> {
        if let Some(folder) = delete::beside(&self.path, FOLDER)?.into_iter().min() {
            return Ok(folder);
        }
        let mut random = [0; 8];
        fill_random(&mut random)?;
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let folder = self.path.with_file_name(format!("{stem}.{FOLDER}{}", hex::encode(random)));
        create_private_folder(&folder)?;
        Ok(folder)
    }
}

/// Removes all prompts that were read for the person whose store is `database`, with what was made
/// of them. Called before documents go for good, so that a crash leaves nothing of them, and after:
/// another process may have read them in between.
pub(super) fn remove_all(database: &Path) {
    for folder in delete::beside(database, FOLDER).unwrap_or_default() {
        let _ = delete::remove(&folder);
    }
}

/// An entry whose head could be read.
struct Found {
    path: PathBuf,
    file: File,
    head_nonce: [u8; NONCE_BYTES],
    tokens: Vec<i32>,
    n_shared: usize,
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
            .filter(|found| found.n_shared >= SHARED_TOKENS_MIN && found.tokens.len() <= length_max)
            .collect();
        found.sort_by_key(|found| found.n_shared);
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

    /// Keeps what was made of a prompt, unless it is there already, and lets the least recently used
    /// go until all fit. Where it cannot be written, nothing is kept.
    pub fn keep(&self, prefix: &Prefix) {
        let path = self.folder.join(self.name_of(&prefix.tokens));
        let is_there = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        if is_there.is_err() && self.bytes_of(prefix) <= self.bytes_max {
            let _ = self.write(prefix, &path);
        }
        self.make_room();
    }

    fn bytes_of(&self, prefix: &Prefix) -> u64 {
        let Prefix { tokens, logits, state } = prefix;
        (4 * tokens.len() + 4 * logits.len() + state.len() + self.identity.len()) as u64
    }

    fn entries(&self) -> Vec<PathBuf> {
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
        let length = file.metadata().ok()?.len();
        let at = io::Seek::stream_position(&mut file).ok()?;
        let rest = usize::try_from(length.checked_sub(at)?).ok()?;
        let length = rest.checked_sub(NONCE_BYTES + TAG_BYTES)?;
        let (body, _) = self.open_box(&mut file, length, &head_nonce)?;
        let (count, rest) = body.split_first_chunk()?;
        let n_logits = usize::try_from(u64::from_le_bytes(*count)).ok()?;
        let (logits, state) = rest.split_at_checked(n_logits.checked_mul(4)?)?;
        let logits = logits.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Some(Prefix { tokens, logits, state: state.to_vec() })
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
    /// does not open, and is removed when it is met.
    fn write(&self, prefix: &Prefix, path: &Path) -> io::Result<()> {
        let mut head = head_of(&self.identity, &prefix.tokens);
        let mut body = Vec::with_capacity(8 + 4 * prefix.logits.len() + prefix.state.len());
        body.extend((prefix.logits.len() as u64).to_le_bytes());
        body.extend(prefix.logits.iter().flat_map(|logit| logit.to_le_bytes()));
        body.extend(&prefix.state);
        // In the folder, which may have gone.
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(MAGIC)?;
        file.write_all(&(head.len() as u64).to_le_bytes())?;
        let head_nonce = self.seal_box(file.as_file_mut(), &mut head, MAGIC)?;
        self.seal_box(file.as_file_mut(), &mut body, &head_nonce)?;
        file.persist(path).map_err(|error| error.error)?;
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
        prefixes.keep(&prefix(0..40));
        prefixes.keep(&prefix(0..80));
        prefixes.keep(&prefix(5..90));
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
        some_of(&place, 1 << 20).keep(&prefix(0..40));
        let others = place.store.prefixes("model b".into(), 1 << 20).unwrap();
        assert_eq!(others.longest(&prefix(0..40).tokens, 1000), None);
        assert_eq!(others.entries().len(), 1);
    }

    #[test]
    fn what_is_damaged_is_passed_over_wherever_the_damage_is() {
        let place = place();
        let prefixes = some_of(&place, 1 << 20);
        prefixes.keep(&prefix(0..40));
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
        fs::write(&path, &whole).unwrap();
        assert!(prefixes.longest(&prefix(0..40).tokens, 1000).is_some());
    }

    #[test]
    fn the_least_recently_used_go_first_and_none_is_plain() {
        let place = place();
        let prefixes = some_of(&place, 1 << 20);
        let names = [0..40, 100..140, 200..240].map(prefix);
        for (age, prefix) in names.iter().enumerate() {
            prefixes.keep(prefix);
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
        some_of(&place, 100).keep(&prefix(300..340));
        assert!(some_of(&place, 100).entries().is_empty());
    }

    #[test]
    fn whoever_began_before_documents_went_keeps_nothing() {
        let place = place();
        let before = some_of(&place, 1 << 20);
        before.keep(&prefix(0..40));
        remove_all(&place.store.path);
        let after = some_of(&place, 1 << 20);
        before.keep(&prefix(0..80));
        assert!(after.entries().is_empty());
        assert!(!before.folder.exists());
    }
}
