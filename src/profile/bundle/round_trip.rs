//! Tests: what was exported comes back whole, and nothing else does.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use age::secrecy::ExposeSecret;
use age::{Encryptor, x25519};
use zeroize::Zeroizing;

use super::*;
use crate::paths::Paths;
use crate::profile::key_file;
use crate::profile::{
    NewDocument, NoPassphrase, ProfileError, ProfileStore, Protection, Source, Stamp, protection,
    users,
};

static NEVER: AtomicBool = AtomicBool::new(false);
/// Sixteen rounds: these tests are not about time.
const WORK_FACTOR: u8 = 4;

struct Place {
    folder: tempfile::TempDir,
    paths: Paths,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(folder.path())).unwrap();
        Self { folder, paths }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn import(&self, bundle: &Path, key: &BundleKey) -> Result<Imported, BundleError> {
        let request = Import { paths: &self.paths, user: None, protect: None, interrupt: &NEVER };
        Bundle::open(bundle)?.import(key, &request, &mut |_, _| {})
    }

    /// Neither profile nor key, nor anything temporary.
    fn is_empty(&self) -> bool {
        let is_empty = |folder: &Path| {
            let Ok(mut entries) = fs::read_dir(folder) else { return true };
            entries.next().is_none()
        };
        is_empty(&self.paths.profiles) && is_empty(&self.paths.keys)
    }
}

fn profile(place: &Place) -> ProfileStore {
    let user = User::parse("Ann").unwrap();
    let mut store = ProfileStore::open_or_create(&place.paths, &user, &NoPassphrase).unwrap();
    let stamp = Stamp { size_bytes: 1, modified_ns: 1, reading: String::new() };
    let document = NewDocument {
        id: Some("one".into()),
        title: Some("A title".into()),
        text: "The otter sat on the bank.".into(),
        ..NewDocument::default()
    };
    store.replace_source(&Source { place: "/x".into(), stamp }, &[document], 50).unwrap();
    store
}

fn passphrase(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

fn export(store: &ProfileStore, to: &Path, lock: &BundleLock) -> Result<Exported, BundleError> {
    let request = Export { to, overwrite: false, lock, interrupt: &NEVER };
    store.export_with_work(&request, WORK_FACTOR, &mut |_, _| {})
}

/// A place with a profile, a bundle of it for a new age key, and that key in a file.
fn exported() -> (Place, PathBuf, BundleKey) {
    let place = Place::new();
    let identity = x25519::Identity::generate();
    let key = place.file("identity.txt");
    let text = format!("# a comment\n{}\n", identity.to_string().expose_secret());
    fs::write(&key, text).unwrap();
    let recipients = [identity.to_public().to_string()];
    let lock = BundleLock::for_recipients(&recipients, &[]).unwrap();
    let bundle = place.file("ann.age");
    export(&profile(&place), &bundle, &lock).unwrap();
    (place, bundle, BundleKey::Identities(key))
}

#[test]
fn a_profile_comes_back_whole_with_its_passphrase() {
    let place = Place::new();
    let store = profile(&place);
    let bundle = place.file("ann.age");
    let lock = BundleLock::Passphrase(passphrase("correct horse"));
    let size_bytes = export(&store, &bundle, &lock).unwrap().size_bytes;
    assert_eq!(fs::metadata(&bundle).unwrap().len(), size_bytes);
    let is_copy = |entry: fs::DirEntry| entry.file_name().to_string_lossy().contains("export");
    assert!(!fs::read_dir(&place.paths.profiles).unwrap().any(|entry| is_copy(entry.unwrap())));

    let other = Place::new();
    let wrong = other.import(&bundle, &BundleKey::Passphrase(passphrase("wrong horse")));
    assert!(matches!(wrong, Err(BundleError::WrongPassphrase { .. })));
    assert!(other.is_empty());

    assert!(Bundle::open(&bundle).unwrap().takes_passphrase());
    let right = BundleKey::Passphrase(passphrase("correct horse"));
    let imported = other.import(&bundle, &right).unwrap();
    assert_eq!((imported.user.as_str(), imported.documents), ("Ann", 1));
    let user = User::parse("Ann").unwrap();
    let mut here = ProfileStore::open(&other.paths, &user, &NoPassphrase).unwrap();
    assert_eq!(here.document("one").unwrap(), store.document("one").unwrap());
    assert_eq!(here.lexical("otter", 5).unwrap(), store.lexical("otter", 5).unwrap());
    assert_eq!(here.check().unwrap().faults, Vec::<String>::new());
    assert_eq!(here.key, store.key);
    assert_eq!(fs::read_dir(&other.paths.keys).unwrap().count(), 1);
}

#[test]
fn a_profile_comes_back_under_another_name_with_an_identity() {
    let (place, bundle, key) = exported();
    let again = place.import(&bundle, &key);
    assert!(matches!(again, Err(BundleError::UserExists { .. })));
    let request = Import {
        paths: &place.paths,
        user: Some(User::parse("Bo").unwrap()),
        protect: Some(passphrase("seal")),
        interrupt: &NEVER,
    };
    let opened = Bundle::open(&bundle).unwrap();
    assert!(!opened.takes_passphrase());
    let imported = opened.import(&key, &request, &mut |_, _| {}).unwrap();
    assert!(imported.protected);
    let user = User::parse("Bo").unwrap();
    assert_eq!(protection(&place.paths, &user).unwrap(), Protection::Passphrase);
    assert_eq!(users(&place.paths).unwrap().len(), 2);
}

#[test]
fn nothing_of_a_text_or_a_key_stands_in_a_bundle_or_a_copy_in_plain() {
    let (place, bundle, _) = exported();
    let user = User::parse("Ann").unwrap();
    let store = ProfileStore::open(&place.paths, &user, &NoPassphrase).unwrap();
    let bundle = fs::read(&bundle).unwrap();
    let copy = Path::new(&place.paths.profiles).join("copy.db");
    store.connection.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let copy = fs::read(copy).unwrap();
    let key = store.key.as_bytes().to_vec();
    for secret in [&b"otter sat"[..], b"A title", b"SQLite format", &key] {
        for bytes in [&bundle, &copy] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
}

#[test]
fn a_bundle_is_not_overwritten_unasked() {
    let (place, bundle, _) = exported();
    let before = fs::read(&bundle).unwrap();
    let user = User::parse("Ann").unwrap();
    let store = ProfileStore::open(&place.paths, &user, &NoPassphrase).unwrap();
    let lock = BundleLock::Passphrase(passphrase("p"));
    let refused = export(&store, &bundle, &lock);
    assert!(matches!(refused, Err(BundleError::FileExists { .. })));
    assert_eq!(fs::read(&bundle).unwrap(), before);
    let request = Export { to: &bundle, overwrite: true, lock: &lock, interrupt: &NEVER };
    store.export_with_work(&request, WORK_FACTOR, &mut |_, _| {}).unwrap();
    assert_ne!(fs::read(&bundle).unwrap(), before);
}

#[test]
fn an_interrupted_export_or_import_leaves_nothing() {
    let (place, bundle, key) = exported();
    let stop = AtomicBool::new(true);
    let user = User::parse("Ann").unwrap();
    let store = ProfileStore::open(&place.paths, &user, &NoPassphrase).unwrap();
    let lock = BundleLock::Passphrase(passphrase("p"));
    let to = place.file("second.age");
    let request = Export { to: &to, overwrite: false, lock: &lock, interrupt: &stop };
    let stopped = store.export_with_work(&request, WORK_FACTOR, &mut |_, _| {});
    assert!(matches!(stopped, Err(BundleError::Profile(ProfileError::Interrupted))));
    assert!(!to.exists());

    let other = Place::new();
    let request = Import { paths: &other.paths, user: None, protect: None, interrupt: &stop };
    let stopped = Bundle::open(&bundle).unwrap().import(&key, &request, &mut |_, _| {});
    assert!(matches!(stopped, Err(BundleError::Profile(ProfileError::Interrupted))));
    assert!(other.is_empty());
}

#[test]
fn a_bundle_that_was_cut_or_changed_anywhere_is_refused() {
    let (_place, bundle, key) = exported();
    let whole = fs::read(&bundle).unwrap();
    let other = Place::new();
    let damaged = other.file("damaged.age");
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&damaged, bytes).unwrap();
        let result = other.import(&damaged, &key);
        assert!(
            matches!(result, Err(BundleError::Bad { .. } | BundleError::WrongIdentity { .. })),
            "{what}: {result:?}"
        );
        assert!(other.is_empty(), "{what}");
    };
    // Every length of the header and of the first bytes behind it, then here and there.
    let lengths =
        (0..400).chain((400..whole.len()).step_by(4093)).chain(whole.len() - 20..whole.len());
    for length in lengths {
        refused(&whole[..length], &format!("{length} bytes"));
    }
    let mut longer = whole.clone();
    longer.push(0);
    refused(&longer, "a byte more");
    for at in (30..whole.len()).step_by(2999) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        refused(&changed, &format!("byte {at} changed"));
    }
    assert_eq!(other.import(&bundle, &key).unwrap().documents, 1);
}

#[test]
fn a_bundle_is_opened_with_its_own_kind_of_key_alone() {
    let (place, bundle, _) = exported();
    let other = Place::new();
    let stranger = place.file("stranger.txt");
    let identity = x25519::Identity::generate();
    fs::write(&stranger, identity.to_string().expose_secret()).unwrap();
    let wrong = other.import(&bundle, &BundleKey::Identities(stranger.clone()));
    assert!(matches!(wrong, Err(BundleError::WrongIdentity { .. })));
    let wrong = other.import(&bundle, &BundleKey::Passphrase(passphrase("p")));
    assert!(matches!(wrong, Err(BundleError::OtherLock { .. })));
    for content in ["", "# nothing\n", "AGE-SECRET-KEY-1NONSENSE\n", "age1abc\n"] {
        fs::write(&stranger, content).unwrap();
        let wrong = other.import(&bundle, &BundleKey::Identities(stranger.clone()));
        assert!(matches!(wrong, Err(BundleError::BadIdentities { .. })), "{content:?}");
    }
    assert!(other.is_empty());
}

#[test]
fn recipients_are_checked_and_never_repeated() {
    let place = Place::new();
    let public = x25519::Identity::generate().to_public().to_string();
    let secret = x25519::Identity::generate().to_string();
    let secret = secret.expose_secret().to_owned();
    let file = place.file("recipients.txt");
    fs::write(&file, format!("# friends\n\n{public}\n{secret}\n")).unwrap();
    let refused = BundleLock::for_recipients(&[], &[file]).err().unwrap();
    assert!(refused.to_string().contains("recipients.txt:4"), "{refused}");
    assert!(!refused.to_string().contains(&secret));
    let none = BundleLock::for_recipients(&[], &[]);
    assert!(matches!(none, Err(BundleError::RecipientCount { given: 0, .. })));
    let many = BundleLock::for_recipients(&vec![public; 101], &[]);
    assert!(matches!(many, Err(BundleError::RecipientCount { given: 101, .. })));
}

/// The bound on recipients is what the bound on the header allows.
#[test]
fn a_bundle_for_the_most_recipients_can_be_opened() {
    let (place, _, key) = exported();
    let BundleKey::Identities(file) = &key else { panic!("an identity was made") };
    let identity: x25519::Identity =
        fs::read_to_string(file).unwrap().lines().nth(1).unwrap().parse().unwrap();
    let mut recipients = vec![x25519::Identity::generate().to_public().to_string(); 99];
    recipients.push(identity.to_public().to_string());
    let lock = BundleLock::for_recipients(&recipients, &[]).unwrap();
    let user = User::parse("Ann").unwrap();
    let store = ProfileStore::open(&place.paths, &user, &NoPassphrase).unwrap();
    let bundle = place.file("many.age");
    export(&store, &bundle, &lock).unwrap();
    assert_eq!(Place::new().import(&bundle, &key).unwrap().documents, 1);
}

/// A bundle with any content, for the owner of `key`.
fn forged(place: &Place, key: &BundleKey, content: &[u8]) -> PathBuf {
    let BundleKey::Identities(file) = key else { panic!("an identity was made") };
    let identity: x25519::Identity =
        fs::read_to_string(file).unwrap().lines().nth(1).unwrap().parse().unwrap();
    let recipient = identity.to_public();
    let encryptor =
        Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient)).unwrap();
    let path = place.file("forged.age");
    let mut output = encryptor.wrap_output(File::create(&path).unwrap()).unwrap();
    output.write_all(content).unwrap();
    output.finish().unwrap();
    path
}

#[test]
fn a_hostile_bundle_that_is_rightly_encrypted_is_refused() {
    let (place, _, key) = exported();
    let user = User::parse("Eve").unwrap();
    let root = RootKey::random().unwrap();
    let content = |database_bytes: u64, database: &[u8]| {
        let header = Header { user: user.clone(), key: root.clone(), database_bytes };
        let mut content = Vec::new();
        header.write(&mut content).unwrap();
        content.extend(database);
        content
    };
    // A database of the right key, with a trigger of somebody else's.
    let evil = place.file("evil.db");
    let store = ProfileStore::connect_new(evil.clone(), root.clone(), &user).unwrap();
    let trigger = "CREATE TRIGGER evil AFTER INSERT ON document BEGIN
                   UPDATE document SET text = 'evil'; END";
    store.connection.execute_batch(trigger).unwrap();
    store.checkpoint().unwrap();
    drop(store);
    let evil = fs::read(evil).unwrap();

    for (content, what) in [
        (b"something else entirely".to_vec(), "no profile"),
        (content(u64::MAX, b"x"), "an endless database"),
        (content(100, b"x"), "less than announced"),
        (content(1, b"xyz"), "more than announced"),
        (content(8192, &[7; 8192]), "noise"),
        (content(evil.len() as u64, &evil), "a trigger"),
    ] {
        let other = Place::new();
        let bundle = forged(&place, &key, &content);
        let refused = other.import(&bundle, &key);
        assert!(matches!(refused, Err(BundleError::Bad { .. })), "{what}: {refused:?}");
        assert!(other.is_empty(), "{what}");
    }
}

#[test]
fn what_is_no_age_file_is_refused_at_once() {
    let place = Place::new();
    let path = place.file("bundle");
    let endless = [b"age-encryption.org/v1\n".to_vec(), b"-> X25519 a\n".repeat(10_000)].concat();
    for content in [b"".to_vec(), b"hello\n---\n".to_vec(), vec![0; 100_000], endless] {
        fs::write(&path, content).unwrap();
        assert!(matches!(Bundle::open(&path), Err(BundleError::Bad { .. })));
    }
    assert!(matches!(Bundle::open(place.folder.path()), Err(BundleError::Bad { .. })));
    assert!(matches!(Bundle::open(&place.file("missing")), Err(BundleError::Io { .. })));
}

#[test]
fn a_bundle_that_asks_for_too_much_work_is_refused_before_any_is_done() {
    let place = Place::new();
    let bundle = place.file("ann.age");
    let lock = BundleLock::Passphrase(passphrase("p"));
    export(&profile(&place), &bundle, &lock).unwrap();
    let bytes = fs::read(&bundle).unwrap();
    let end = bytes.windows(4).position(|window| window == b"\n---").unwrap();
    let header = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let line = header.lines().find(|line| line.starts_with("-> scrypt ")).unwrap();
    let (salt, work_factor) = line.rsplit_once(' ').unwrap();
    assert_eq!(work_factor, WORK_FACTOR.to_string());
    let harder = header.replace(line, &format!("{salt} 63"));
    fs::write(&bundle, [harder.as_bytes(), &bytes[end..]].concat()).unwrap();
    let refused = place.import(&bundle, &BundleKey::Passphrase(passphrase("p"))).unwrap_err();
    assert!(refused.to_string().contains("more work"), "{refused}");
}

/// The story: the machine goes down in the middle of an import, and the person runs it again.
#[test]
fn an_import_that_was_cut_off_behind_its_key_is_completed_by_the_next() {
    let (place, bundle, key) = exported();
    let user = User::parse("Ann").unwrap();
    let other = Place::new();
    let database = user.database(&other.paths);
    let copy = database.with_extension("import-x7Qz");
    fs::create_dir_all(&copy).unwrap();
    fs::create_dir_all(&other.paths.keys).unwrap();
    fs::copy(user.key_file(&place.paths), user.key_file(&other.paths)).unwrap();
    // A log of an earlier profile must never be taken for the new one's.
    fs::write(database.with_extension("db-wal"), b"log").unwrap();
    assert!(users(&other.paths).unwrap().is_empty());
    other.import(&bundle, &key).unwrap();
    let store = ProfileStore::open(&other.paths, &user, &NoPassphrase).unwrap();
    assert_eq!(store.document_count().unwrap(), 1);
    assert!(!copy.exists());
}

#[test]
fn a_key_that_may_belong_to_a_profile_elsewhere_is_never_replaced() {
    let (_place, bundle, key) = exported();
    let user = User::parse("Ann").unwrap();
    let other = Place::new();
    let path = user.key_file(&other.paths);
    key_file::create(&path, &user, false, &NoPassphrase).unwrap();
    let before = fs::read(&path).unwrap();
    let refused = other.import(&bundle, &key);
    assert!(matches!(refused, Err(BundleError::KeyInTheWay { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(users(&other.paths).unwrap().is_empty());
}
