//! Sources read by several readers at once, and handed out in the order in which they were given.
//!
//! A bounded number of sources is in flight: being read, or read and not yet let go of. This
//! module knows nothing of the store, nor of what stands in the documents.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use super::Kind;
use super::frame::{Content, Order, Reading, Task};
use super::parsed::Options;
use super::process::{End, Message, ReaderCommand, ReaderProcess};
use super::readers;

/// Readers at once, on however many cores.
const READERS_MAX: usize = 4;
/// Sources in flight, and the sum of their sizes.
const IN_FLIGHT_MAX: usize = 256;
const IN_FLIGHT_BYTES_MAX: u64 = 64 << 20;
/// How long a worker sleeps at most before it looks whether everything shall stop.
const SLICE: Duration = Duration::from_millis(100);

const DIED: &str = "the reader failed on it";

/// How sources are read.
#[derive(Debug)]
pub(super) struct Reader {
    /// How a reader process is started; `None`: sources are read in this process.
    pub(super) command: Option<ReaderCommand>,
    /// How long one source may take without a sign of progress.
    pub(super) patience: Duration,
    pub(super) file_bytes_max: u64,
    pub(super) options: Options,
}

/// A source to be read.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) task: Task,
    pub(super) kind: Kind,
    pub(super) content: &'a Content,
    pub(super) size_bytes: u64,
}

impl Job<'_> {
    /// What it counts for among those in flight. A mailbox is read piece by piece: what is kept of
    /// it is far less than its size.
    fn weight(&self) -> u64 {
        self.size_bytes.min(IN_FLIGHT_BYTES_MAX / 2)
    }
}

/// What became of a source.
#[derive(Debug)]
pub(super) enum Outcome {
    Read(Reading),
    /// It was lost for this reason.
    Failed(String),
    Interrupted,
}

/// What there is to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// The next source in order, by its number.
    Outcome(usize, Outcome),
    /// Nothing yet.
    Idle,
    /// That was all, or everything shall stop.
    Finished,
    /// No reader can be started.
    NoReader(io::Error),
}

/// The sources to be read, and how far that has come.
#[derive(Debug)]
pub(super) struct Queue<'a> {
    jobs: &'a [Job<'a>],
    reader: &'a Reader,
    interrupt: &'a AtomicBool,
    stopped: AtomicBool,
    flight: Mutex<Flight>,
    /// Told when something has left the flight.
    room: Condvar,
}

#[derive(Debug, Default)]
struct Flight {
    /// The number of the source that is taken next.
    next: usize,
    sources: usize,
    bytes: u64,
}

impl<'a> Queue<'a> {
    pub(super) fn new(jobs: &'a [Job<'a>], reader: &'a Reader, interrupt: &'a AtomicBool) -> Self {
        let stopped = AtomicBool::new(false);
        let flight = Mutex::default();
        Self { jobs, reader, interrupt, stopped, flight, room: Condvar::new() }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.interrupt.load(Ordering::Relaxed)
    }

    fn flight(&self) -> MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the next source, once there is room for it.
    fn take(&self) -> Option<usize> {
        let mut flight = self.flight();
        loop {
            if self.is_stopped() {
                return None;
            }
            let index = flight.next;
            let weight = self.jobs.get(index)?.weight();
            let fits = flight.sources < IN_FLIGHT_MAX
                && flight.bytes.saturating_add(weight) <= IN_FLIGHT_BYTES_MAX;
            if fits || flight.sources == 0 {
                flight.next += 1;
                flight.sources += 1;
                flight.bytes += weight;
                return Some(index);
            }
            let waited = self.room.wait_timeout(flight, SLICE);
            flight = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn let_go(&self, index: usize) {
        let mut flight = self.flight();
        flight.sources -= 1;
        flight.bytes -= self.jobs[index].weight();
        self.room.notify_all();
    }

    /// Reads one source, in `process` where there is one left from the source before.
    fn read(&self, index: usize, process: &mut Option<ReaderProcess>) -> io::Result<Outcome> {
        let Job { task, kind, content, .. } = self.jobs[index];
        let order = Order {
            task,
            kind,
            is_path: matches!(content, Content::File(_)),
            file_bytes_max: self.reader.file_bytes_max,
            options: Cow::Borrowed(&self.reader.options),
        };
        let Some(command) = &self.reader.command else { return Ok(in_process(&order, content)) };
        let Ok(message) = Message::new(&order, content) else {
            return Ok(Outcome::Failed("its name cannot be handed to the reader".into()));
        };
        let start = Instant::now();
        loop {
            let (mut reader, is_fresh) = match process.take() {
                Some(reader) => (reader, false),
                None => (ReaderProcess::start(command)?, true),
            };
            // A second try gets what the first has left.
            let patience = self.reader.patience.saturating_sub(start.elapsed());
            match reader.read(&message, patience, &|| self.is_stopped()) {
                End::Read(reading) => {
                    *process = Some(reader);
                    return Ok(Outcome::Read(reading));
                }
                End::Slow => {
                    let seconds = self.reader.patience.as_secs_f32();
                    let reason = format!("the reader took longer than {seconds} s");
                    return Ok(Outcome::Failed(reason));
                }
                End::Interrupted => return Ok(Outcome::Interrupted),
                End::Died if is_fresh => return Ok(Outcome::Failed(DIED.into())),
                // It may have been worn out by the sources before: a fresh one decides.
                End::Died => {}
            }
        }
    }
}

fn in_process(order: &Order<'_>, content: &Content) -> Outcome {
    let read = || readers::read(order, content, &mut || {});
    match panic::catch_unwind(AssertUnwindSafe(read)) {
        Ok(reading) => Outcome::Read(reading),
        Err(_) => Outcome::Failed(DIED.into()),
    }
}

/// Readers at work on a queue; they stop when it is dropped.
#[derive(Debug)]
pub(super) struct Pool<'a> {
    queue: &'a Queue<'a>,
    results: Receiver<(usize, io::Result<Outcome>)>,
    /// Sources that were read before one that comes before them.
    early: BTreeMap<usize, Outcome>,
    /// The number of the source that is handed out next.
    next: usize,
}

impl<'a> Pool<'a> {
    /// Sets readers to work on `queue`.
    pub(super) fn start<'scope>(scope: &'scope Scope<'scope, 'a>, queue: &'a Queue<'a>) -> Self {
        let (sender, results) = mpsc::channel();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores.min(READERS_MAX).min(queue.jobs.len()) {
            let sender = sender.clone();
            scope.spawn(move || work(queue, &sender));
        }
        Self { queue, results, early: BTreeMap::new(), next: 0 }
    }

    /// The next source in order, waiting for it for `patience` at most.
    pub(super) fn next(&mut self, patience: Duration) -> Next {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(outcome) = self.early.remove(&self.next) {
                self.next += 1;
                return Next::Outcome(self.next - 1, outcome);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.results.recv_timeout(left) {
                Ok((index, Ok(outcome))) => {
                    self.early.insert(index, outcome);
                }
                Ok((_, Err(error))) => return Next::NoReader(error),
                Err(RecvTimeoutError::Timeout) => return Next::Idle,
                Err(RecvTimeoutError::Disconnected) => return Next::Finished,
            }
        }
    }

    /// The program that reads.
    pub(super) fn program(&self) -> PathBuf {
        self.queue
            .reader
            .command
            .as_ref()
            .map(|command| command.program.clone())
            .unwrap_or_default()
    }

    /// Makes room: nothing of the source `index` is kept in memory any more.
    pub(super) fn let_go(&self, index: usize) {
        self.queue.let_go(index);
    }
}

impl Drop for Pool<'_> {
    fn drop(&mut self) {
        self.queue.stopped.store(true, Ordering::Relaxed);
        self.queue.room.notify_all();
    }
}

fn work(queue: &Queue<'_>, results: &Sender<(usize, io::Result<Outcome>)>) {
    let mut process = None;
    while let Some(index) = queue.take() {
        let outcome = queue.read(index, &mut process);
        if results.send((index, outcome)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    fn reader(command: Option<ReaderCommand>, patience: Duration) -> Reader {
        Reader { command, patience, file_bytes_max: 1 << 20, options: Options::default() }
    }

    /// A reader that is a shell script.
    fn shell(script: &str, patience: Duration) -> Reader {
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        reader(Some(ReaderCommand { program: "/bin/sh".into(), arguments }), patience)
    }

    fn contents(count: usize) -> Vec<Content> {
        let text = |number: usize| Content::Bytes(Arc::new(format!("text {number}").into_bytes()));
        (0..count).map(text).collect()
    }

    /// What becomes of `count` texts, in the order in which they are handed out.
    fn outcomes(reader: &Reader, count: usize, interrupt: &AtomicBool) -> Vec<Outcome> {
        let contents = contents(count);
        let job = |content| Job { task: Task::Documents, kind: Kind::Text, content, size_bytes: 9 };
        let jobs: Vec<Job<'_>> = contents.iter().map(job).collect();
        let queue = Queue::new(&jobs, reader, interrupt);
        thread::scope(|scope| {
            let mut pool = Pool::start(scope, &queue);
            let mut outcomes = Vec::new();
            loop {
                match pool.next(LONG) {
                    Next::Outcome(index, outcome) => {
                        assert_eq!(index, outcomes.len(), "in order");
                        pool.let_go(index);
                        outcomes.push(outcome);
                    }
                    Next::Finished => return outcomes,
                    other => panic!("{other:?}"),
                }
            }
        })
    }

    fn failures(outcomes: Vec<Outcome>) -> Vec<String> {
        let failure = |outcome| match outcome {
            Outcome::Failed(reason) => reason,
            other => panic!("{other:?}"),
        };
        outcomes.into_iter().map(failure).collect()
    }

    #[test]
    fn sources_come_out_in_order_however_many_there_are() {
        let count = 3 * IN_FLIGHT_MAX;
        let outcomes = outcomes(&reader(None, LONG), count, &AtomicBool::new(false));
        assert_eq!(outcomes.len(), count);
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let Outcome::Read(Reading::Documents(parsed)) = outcome else { panic!("{outcome:?}") };
            assert_eq!(parsed.documents[0].text, format!("text {number}"));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_source_that_kills_its_reader_is_lost_alone() {
        for script in ["exit 1", "kill -9 $$", "printf 'no frame at all'; exec cat >/dev/null"] {
            let outcomes = outcomes(&shell(script, LONG), 3, &AtomicBool::new(false));
            assert_eq!(failures(outcomes), [DIED; 3], "{script}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_source_that_takes_too_long_is_lost_alone() {
        let outcomes = outcomes(&shell("exec sleep 600", PATIENCE), 3, &AtomicBool::new(false));
        assert_eq!(failures(outcomes), ["the reader took longer than 0.05 s"; 3]);
    }

    /// Each process answers one source and is then gone: the next source is not to blame.
    #[cfg(unix)]
    #[test]
    fn a_reader_that_is_worn_out_is_replaced() {
        let script = r#"printf '\006\000\000\000"Done"'"#;
        let outcomes = outcomes(&shell(script, LONG), 12, &AtomicBool::new(false));
        assert_eq!(outcomes.len(), 12);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Read(_))), "{outcomes:?}");
    }

    #[cfg(unix)]
    #[test]
    fn an_interrupt_ends_readers_in_the_middle_of_a_source() {
        let contents = contents(9);
        let job = |content| Job { task: Task::Documents, kind: Kind::Text, content, size_bytes: 9 };
        let jobs: Vec<Job<'_>> = contents.iter().map(job).collect();
        let (reader, interrupt) = (shell("exec sleep 600", LONG), AtomicBool::new(false));
        let queue = Queue::new(&jobs, &reader, &interrupt);
        thread::scope(|scope| {
            let mut pool = Pool::start(scope, &queue);
            assert!(matches!(pool.next(PATIENCE), Next::Idle));
            interrupt.store(true, Ordering::Relaxed);
            loop {
                match pool.next(LONG) {
                    Next::Outcome(_, Outcome::Interrupted) => {}
                    Next::Finished => break,
                    other => panic!("{other:?}"),
                }
            }
        });
    }

    #[test]
    fn a_reader_that_does_not_start_is_told() {
        let command = ReaderCommand { program: "/no/such/reader".into(), arguments: Vec::new() };
        let contents = contents(1);
        let job = |content| Job { task: Task::Documents, kind: Kind::Text, content, size_bytes: 9 };
        let jobs: Vec<Job<'_>> = contents.iter().map(job).collect();
        let (reader, interrupt) = (reader(Some(command), LONG), AtomicBool::new(false));
        let queue = Queue::new(&jobs, &reader, &interrupt);
        thread::scope(|scope| {
            let mut pool = Pool::start(scope, &queue);
            assert!(matches!(pool.next(LONG), Next::NoReader(_)));
        });
    }
}
