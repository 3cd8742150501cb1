//! Whose mail is the person's own: the addresses that they write from.
//!
//! They are given, or remembered from an earlier ingest, or learnt from the folders of sent mail.
//! What was given stays beside what is given later; what was only learnt gives way to it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::frame::{Content, Reading, Task};
use super::pool::{Job, Next, Outcome, Pool, Queue, Reader};
use super::walk::FoundFile;
use super::{IngestError, Kind, Report, mail, maildir};
use crate::profile::{ProfileError, ProfileStore};

/// The settings of the profile: the addresses, and whether they were only learnt.
const SETTING: &str = "me";
const SETTING_LEARNT: &str = "me_learnt";
/// Sent messages that are looked at.
const MESSAGES_MAX: usize = 500;
/// Of the sent messages, the share that an address of the person's makes up at least, in percent.
const SHARE_PERCENT_MIN: usize = 10;
const PATIENCE: Duration = Duration::from_secs(1);

/// The person's addresses, in lower case and in order. `reader` reads the sent mail among `files`
/// where nothing else is known.
///
/// # Errors
/// Why the store cannot be changed, or no reader started.
pub(super) fn addresses(
    store: &mut ProfileStore,
    given: &[String],
    files: &[FoundFile],
    reader: &Reader,
    interrupt: &AtomicBool,
    report: &mut Report,
) -> Result<Vec<String>, IngestError> {
    let remembered = remembered(store)?;
    if !given.is_empty() {
        return Ok(merge(store, remembered, given)?);
    }
    if !remembered.is_empty() || !files.iter().any(|file| file.kind.is_mail()) {
        return Ok(remembered);
    }
    let sent: Vec<&FoundFile> =
        files.iter().filter(|file| is_sent(file)).take(MESSAGES_MAX).collect();
    let senders = senders(&sent, reader, interrupt)?;
    if interrupt.load(Ordering::Relaxed) {
        // Some of the messages are no fair share of them.
        return Ok(Vec::new());
    }
    let learnt = frequent(&senders);
    if learnt.is_empty() {
        let note = "whose mail is yours is not known, and no folder of sent mail tells; \
                    name your addresses with --me you@example.org";
        report.notes.push(note.into());
    } else {
        remember(store, &learnt, true)?;
        let addresses = learnt.join(", ");
        report.notes.push(format!("taking mail from {addresses} as yours; --me names others"));
    }
    Ok(learnt)
}

fn remembered(store: &ProfileStore) -> Result<Vec<String>, ProfileError> {
    let list = store.setting(SETTING)?;
    Ok(list.and_then(|list| serde_json::from_str(&list).ok()).unwrap_or_default())
}

fn remember(
    store: &mut ProfileStore,
    addresses: &[String],
    learnt: bool,
) -> Result<(), ProfileError> {
    store.set_setting(SETTING, &serde_json::json!(addresses).to_string())?;
    store.set_setting(SETTING_LEARNT, &learnt.to_string())
}

fn merge(
    store: &mut ProfileStore,
    remembered: Vec<String>,
    given: &[String],
) -> Result<Vec<String>, ProfileError> {
    let learnt = store.setting(SETTING_LEARNT)?.is_some_and(|learnt| learnt == "true");
    let given = given.iter().map(|address| address.trim().to_lowercase());
    let before = if learnt { Vec::new() } else { remembered.clone() };
    let mut merged: Vec<String> = before.into_iter().chain(given).collect();
    merged.retain(|address| !address.is_empty());
    merged.sort();
    merged.dedup();
    if merged != remembered || learnt {
        remember(store, &merged, false)?;
    }
    Ok(merged)
}

/// Whether a file lies among the person's sent mail.
fn is_sent(file: &FoundFile) -> bool {
    let folder = match file.kind {
        Kind::Mail => maildir::folder_of(&file.place).or_else(|| file.place.parent()),
        // The mailbox itself, or as Apple has it: `Sent Messages.mbox/mbox`.
        Kind::Mbox if mail::addresses::is_sent_folder(&file.path) => return true,
        Kind::Mbox => file.path.parent(),
        _ => None,
    };
    folder.is_some_and(mail::addresses::is_sent_folder)
}

/// Who sent the first messages in `files`.
fn senders(
    files: &[&FoundFile],
    reader: &Reader,
    interrupt: &AtomicBool,
) -> Result<Vec<String>, IngestError> {
    let contents: Vec<(&FoundFile, Content)> =
        files.iter().map(|file| (*file, Content::File(file.path.clone()))).collect();
    let jobs: Vec<Job<'_>> = contents
        .iter()
        .map(|(file, content)| Job {
            task: Task::Senders,
            kind: file.kind,
            content,
            size_bytes: file.size_bytes,
        })
        .collect();
    let queue = Queue::new(&jobs, reader, interrupt);
    thread::scope(|scope| {
        let mut pool = Pool::start(scope, &queue);
        let mut senders: Vec<String> = Vec::new();
        while senders.len() < MESSAGES_MAX {
            match pool.next(PATIENCE) {
                Next::Outcome(index, outcome) => {
                    pool.let_go(index);
                    // A message that cannot be read is told of when its documents are asked for.
                    if let Outcome::Read(Reading::Senders(some)) = outcome {
                        senders.extend(some);
                    }
                }
                Next::Idle => {}
                Next::Finished => break,
                Next::NoReader(source) => {
                    return Err(IngestError::Reader { program: pool.program(), source });
                }
            }
        }
        senders.truncate(MESSAGES_MAX);
        Ok(senders)
    })
}

/// The addresses that a good part of the messages come from, in order.
fn frequent(senders: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for sender in senders {
        *counts.entry(sender.trim().to_lowercase()).or_default() += 1;
    }
    let is_frequent = |count: usize| count * 100 >= senders.len() * SHARE_PERCENT_MIN;
    counts
        .into_iter()
        .filter(|(address, count)| !address.is_empty() && is_frequent(*count))
        .map(|(address, _)| address)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;
    use crate::profile::{NoPassphrase, User};

    fn store() -> (tempfile::TempDir, ProfileStore) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(Some(folder.path())).unwrap();
        let store =
            ProfileStore::open_or_create(&paths, &User::parse("me").unwrap(), &NoPassphrase)
                .unwrap();
        (folder, store)
    }

    fn given(store: &mut ProfileStore, addresses: &[&str]) -> Vec<String> {
        let before = remembered(store).unwrap();
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        merge(store, before, &addresses).unwrap()
    }

    #[test]
    fn given_addresses_are_remembered_beside_each_other() {
        let (_folder, mut store) = store();
        assert_eq!(
            given(&mut store, &["B@x.example", "a@x.example"]),
            ["a@x.example", "b@x.example"]
        );
        assert_eq!(given(&mut store, &["c@x.example", "a@x.example"]).len(), 3);
        assert_eq!(remembered(&store).unwrap().len(), 3);
    }

    #[test]
    fn learnt_addresses_give_way_to_given_ones() {
        let (_folder, mut store) = store();
        remember(&mut store, &["wrong@x.example".to_owned()], true).unwrap();
        assert_eq!(given(&mut store, &["right@x.example"]), ["right@x.example"]);
        assert_eq!(given(&mut store, &["too@x.example"]).len(), 2);
    }

    #[test]
    fn an_address_is_the_persons_where_it_sent_a_tenth() {
        let mut senders = vec!["Me@x.example".to_owned(); 18];
        senders.extend(["me@work.example".to_owned(), "me@work.example".to_owned()]);
        assert_eq!(frequent(&senders), ["me@work.example", "me@x.example"]);
        senders.push("somebody@else.example".to_owned());
        assert_eq!(frequent(&senders), ["me@x.example"]);
        assert!(frequent(&[]).is_empty());
    }
}
