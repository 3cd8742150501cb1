//! `restpg-edge ingest --watch`: what changes is taken in, until Ctrl-C.
//!
//! The system tells what changes below the paths; where it cannot, they are looked through every
//! few seconds. Each change leads to a whole pass, which costs little where nothing else changed.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use notify::event::{EventKind, MetadataKind, ModifyKind};
use notify::{Config, Event, PollWatcher, RecommendedWatcher, RecursiveMode, Watcher};

use super::interrupt::INTERRUPT;
use super::{Context, ingest, ingest_report};
use crate::error::{Error, Exit, Explain};
use crate::ingest::{Input, Report, Request};
use crate::profile::ProfileStore;

/// A pass begins when nothing has changed for this long, and at the latest after the second.
const QUIET: Duration = Duration::from_secs(1);
const QUIET_AWAITED_MAX: Duration = Duration::from_secs(10);
/// How often paths are looked through where the system does not tell.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// How long it takes at most to notice Ctrl-C.
const SLICE: Duration = Duration::from_millis(200);

/// The paths cannot be watched at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch the files: {0}")]
struct WatchError(#[from] notify::Error);

impl Explain for WatchError {
    fn kind(&self) -> &'static str {
        "cannot_watch"
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }

    fn help(&self) -> Option<String> {
        Some("Run the same command without --watch from time to time.".into())
    }
}

/// Passes over what `request` names whenever something changes there after the pass that `first`
/// tells of; returns after Ctrl-C.
///
/// # Errors
/// Why the paths cannot be watched, or why a pass cannot be made.
pub(super) fn follow(
    context: &Context,
    store: &mut ProfileStore,
    mut request: Request,
    first: &Report,
) -> Result<(), Error> {
    // Standard input has ended.
    request.inputs.retain(|input| matches!(input, Input::Path(_)));
    let mut watch = Watch::start(&request, vec![context.paths.profiles.clone()])?;
    context.output.note("watching for changes; Ctrl-C ends it");
    // What changed before the watch began.
    let mut changes = Changes::new(Instant::now());
    let mut failed_before = first.files_failed;
    while !INTERRUPT.load(Ordering::Relaxed) {
        match watch.next()? {
            Seen::Change => changes.note(Instant::now()),
            Seen::Nothing => {}
        }
        if !changes.are_due(Instant::now()) {
            continue;
        }
        changes.forget();
        store.require_file()?;
        match ingest::pass(context, store, &request) {
            Ok(report) => {
                // What is still as bad as before has been told.
                let failed = report.files_failed;
                if report.files_ingested + report.files_pruned > 0 || failed != failed_before {
                    ingest_report::show_change(context, store.user(), &report)?;
                }
                failed_before = failed;
            }
            // Another command writes: once more in a moment.
            Err(error) if ingest::is_busy(&error) => changes.note(Instant::now()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Changes that wait for a pass.
struct Changes {
    first: Option<Instant>,
    last: Instant,
}

impl Changes {
    fn new(now: Instant) -> Self {
        Self { first: Some(now), last: now }
    }

    fn note(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        self.last = now;
    }

    fn are_due(&self, now: Instant) -> bool {
        self.first.is_some_and(|first| {
            now.duration_since(self.last) >= QUIET || now.duration_since(first) >= QUIET_AWAITED_MAX
        })
    }

    fn forget(&mut self) {
        self.first = None;
    }
}

enum Seen {
    Change,
    Nothing,
}

/// What is watched, and by whom.
struct Watch {
    /// Absolute, without links, as far as they are there.
    roots: Vec<PathBuf>,
    /// The program's own folders: what it does there is no change.
    ignored: Vec<PathBuf>,
    events: Receiver<notify::Result<Event>>,
    /// Watches as long as it is there.
    _watcher: Box<dyn Watcher>,
    is_polling: bool,
}

impl Watch {
    fn start(request: &Request, ignored: Vec<PathBuf>) -> Result<Self, WatchError> {
        let real = |path: &PathBuf| path.canonicalize().or_else(|_| std::path::absolute(path));
        let paths = request.inputs.iter().filter_map(|input| match input {
            Input::Path(path) => Some(path),
            Input::Stdin(_) => None,
        });
        let roots: Vec<PathBuf> = paths.filter_map(|path| real(path).ok()).collect();
        let ignored = ignored.iter().filter_map(|path| real(path).ok()).collect();
        let told = watcher::<RecommendedWatcher>(&roots);
        let is_polling = told.is_err();
        let (watcher, events) = told.or_else(|_| watcher::<PollWatcher>(&roots))?;
        Ok(Self { roots, ignored, events, _watcher: watcher, is_polling })
    }

    fn next(&mut self) -> Result<Seen, WatchError> {
        match self.events.recv_timeout(SLICE) {
            // A path that was replaced is another one: the watch must be set on it anew.
            Ok(Ok(event)) if self.is_of_a_root(&event) => {
                self.restart()?;
                Ok(Seen::Change)
            }
            Ok(Ok(event)) if is_change(&event, &self.roots, &self.ignored) => Ok(Seen::Change),
            Ok(Ok(_)) | Err(RecvTimeoutError::Timeout) => Ok(Seen::Nothing),
            // While polling, a folder that is not there for a moment is nothing to end for.
            Ok(Err(_)) if self.is_polling => Ok(Seen::Nothing),
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => {
                // The system cannot watch as many folders as there are by now.
                self.is_polling = true;
                self.restart()?;
                Ok(Seen::Change)
            }
        }
    }

    /// Whether a path itself came, went or was renamed.
    fn is_of_a_root(&self, event: &Event) -> bool {
        let kind = event.kind;
        let is_renaming = matches!(kind, EventKind::Modify(ModifyKind::Name(_)));
        (kind.is_create() || kind.is_remove() || is_renaming)
            && event.paths.iter().any(|path| self.roots.contains(path))
    }

    fn restart(&mut self) -> Result<(), WatchError> {
        let told =
            if self.is_polling { None } else { watcher::<RecommendedWatcher>(&self.roots).ok() };
        self.is_polling = told.is_none();
        (self._watcher, self.events) = match told {
            Some(told) => told,
            None => watcher::<PollWatcher>(&self.roots)?,
        };
        Ok(())
    }
}

type Watching = (Box<dyn Watcher>, Receiver<notify::Result<Event>>);

fn watcher<W: Watcher + 'static>(roots: &[PathBuf]) -> notify::Result<Watching> {
    let (sender, events) = mpsc::channel();
    let config = Config::default().with_poll_interval(POLL_INTERVAL).with_follow_symlinks(false);
    let mut watcher = W::new(sender, config)?;
    for root in roots {
        // What is saved or made anew is another file or folder: the folder around it stays, and is
        // watched first, or what takes the place of `root` in between would never be seen. Within
        // another root it is watched already.
        let is_within = |folder: &Path| roots.iter().any(|root| folder.starts_with(root));
        if let Some(folder) = root.parent().filter(|folder| folder.is_dir() && !is_within(folder)) {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
        }
        if root.is_dir() {
            let watched = watcher.watch(root, RecursiveMode::Recursive);
            // If it went away at this very moment, its coming again will be seen.
            watched.or_else(|error| if root.is_dir() { Err(error) } else { Ok(()) })?;
        }
    }
    Ok((Box::new(watcher), events))
}

/// Whether an event means that there may be something to take in. To read a file is none.
fn is_change(event: &Event, roots: &[PathBuf], ignored: &[PathBuf]) -> bool {
    let is_reading = matches!(
        event.kind,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(MetadataKind::AccessTime))
    );
    if is_reading {
        return false;
    }
    let within = |path: &Path, folders: &[PathBuf]| folders.iter().any(|it| path.starts_with(it));
    event.need_rescan()
        || event.paths.iter().any(|path| within(path, roots) && !within(path, ignored))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::slice::from_ref;
    use std::thread;

    use notify::event::{AccessKind, CreateKind};

    use super::*;

    fn event(kind: EventKind, path: &str) -> Event {
        Event::new(kind).add_path(path.into())
    }

    #[test]
    fn only_what_changes_below_the_paths_is_a_change() {
        let roots = ["/n", "/letter.txt"].map(PathBuf::from);
        let ignored = ["/n/home"].map(PathBuf::from);
        let created = EventKind::Create(CreateKind::File);
        for (kind, path, expected) in [
            (created, "/n/a.txt", true),
            (created, "/letter.txt", true),
            (created, "/other.txt", false),
            (created, "/n/home/me.db-wal", false),
            (EventKind::Access(AccessKind::Read), "/n/a.txt", false),
        ] {
            assert_eq!(is_change(&event(kind, path), &roots, &ignored), expected, "{path}");
        }
    }

    #[test]
    fn a_pass_waits_until_nothing_changes_but_not_for_ever() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut changes = Changes::new(start);
        assert!(!changes.are_due(after(900)));
        changes.note(after(900));
        assert!(!changes.are_due(after(1_500)));
        assert!(changes.are_due(after(1_900)));
        for half_second in 2..20 {
            changes.note(after(half_second * 500));
        }
        assert!(!changes.are_due(after(9_600)));
        assert!(changes.are_due(after(10_000)));
        changes.forget();
        assert!(!changes.are_due(after(99_000)));
    }

    /// The story: a folder is put in place just while the watch is set on it.
    #[test]
    fn a_folder_that_comes_while_the_watch_begins_is_seen() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        let root = place.join("notes");
        for round in 0..200_u64 {
            let aside = place.join("aside");
            fs::create_dir(&aside).unwrap();
            let (from, to) = (aside.clone(), root.clone());
            let coming = thread::spawn(move || {
                thread::sleep(Duration::from_micros(round));
                fs::rename(from, to).unwrap();
            });
            let (_watcher, events) = watcher::<RecommendedWatcher>(from_ref(&root)).unwrap();
            coming.join().unwrap();
            fs::write(root.join("a.txt"), "The otter came by.").unwrap();
            let event = events.recv_timeout(Duration::from_secs(5));
            assert!(event.is_ok(), "nothing of round {round} was seen");
            fs::remove_dir_all(&root).unwrap();
        }
    }
}
