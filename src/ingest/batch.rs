//! What readers made of sources, into the store: several sources in one transaction.
//!
//! A transaction ends with the disk's confirmation, which costs milliseconds: too much for every
//! single message of a mailbox. So sources wait for each other, for a moment only, and are
//! reported when they are stored. The first transactions are small: a first result comes at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::conversations::UNKNOWN_JSON;
use super::frame::Reading;
use super::parsed::Parsed;
use super::pool::{Next, Outcome, Pool};
use super::source::{INCOMPLETE, OTHER_KIND, Pending};
use super::{IngestError, Kind, Problem, Progress, Report};
use crate::profile::{NewDocument, ProfileStore, Source};

/// Sources in one transaction: from few to many.
const SOURCES_FIRST: usize = 8;
const SOURCES_MAX: usize = 64;
/// Text in one transaction, unless one source alone has more.
const BYTES_MAX: usize = 4 << 20;
/// How long what was read waits to be stored.
const WAIT: Duration = Duration::from_millis(200);

/// A source whose reading is done.
struct Settled {
    index: usize,
    kind: Kind,
    /// Whether its documents count, or it is only noted that it is of none of our kinds.
    is_ours: bool,
}

/// Sources that wait to be stored together.
pub(super) struct Batch<'a> {
    store: &'a mut ProfileStore,
    chunk_tokens: usize,
    pending: &'a [Pending],
    report: &'a mut Report,
    changes: Vec<(Source, Vec<NewDocument>)>,
    /// For each change.
    settled: Vec<Settled>,
    /// Sources that change nothing in the store.
    unusable: Vec<usize>,
    bytes: usize,
    /// When the first of them came.
    since: Option<Instant>,
    sources_max: usize,
    done: usize,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        store: &'a mut ProfileStore,
        chunk_tokens: usize,
        pending: &'a [Pending],
        report: &'a mut Report,
    ) -> Self {
        Self {
            store,
            chunk_tokens,
            pending,
            report,
            changes: Vec::new(),
            settled: Vec::new(),
            unusable: Vec::new(),
            bytes: 0,
            since: None,
            sources_max: SOURCES_FIRST,
            done: 0,
        }
    }

    /// Stores everything that `pool` hands out. `on_progress` is told after each transaction.
    ///
    /// # Errors
    /// Why the store cannot be changed, or no reader started; what was reported is stored.
    pub(super) fn run(
        mut self,
        pool: &mut Pool<'_>,
        interrupt: &AtomicBool,
        on_progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), IngestError> {
        loop {
            match pool.next(self.patience()) {
                Next::Outcome(index, outcome) => self.settle(index, outcome),
                Next::Idle => {}
                Next::Finished => break,
                Next::NoReader(source) => {
                    self.commit(pool, on_progress)?;
                    let program = pool.program();
                    return Err(IngestError::Reader { program, source });
                }
            }
            if interrupt.load(Ordering::Relaxed) {
                break;
            }
            if self.is_due() {
                self.commit(pool, on_progress)?;
            }
        }
        self.commit(pool, on_progress)?;
        if self.done < self.pending.len() {
            self.report.interrupted = true;
        }
        Ok(())
    }

    fn patience(&self) -> Duration {
        self.since.map_or(WAIT, |since| WAIT.saturating_sub(since.elapsed()))
    }

    fn is_due(&self) -> bool {
        let sources = self.changes.len() + self.unusable.len();
        sources >= self.sources_max
            || self.bytes >= BYTES_MAX
            || self.since.is_some_and(|since| since.elapsed() >= WAIT)
    }

    fn settle(&mut self, index: usize, outcome: Outcome) {
        let item = &self.pending[index];
        match outcome {
            Outcome::Interrupted => return,
            Outcome::Failed(reason) => self.fail(index, reason),
            Outcome::Read(Reading::Documents(parsed)) => self.take(index, parsed),
            Outcome::Read(Reading::OtherKind) if item.named => {
                self.fail(index, UNKNOWN_JSON);
            }
            Outcome::Read(Reading::OtherKind) if item.known => {
                let reason = "it is not what it was any more; what was stored of it is kept";
                self.fail(index, reason);
            }
            Outcome::Read(Reading::OtherKind) => {
                // Noted, so that it is not read again before it changes.
                self.change(index, Vec::new(), OTHER_KIND);
            }
            Outcome::Read(Reading::Senders(_)) => self.fail(index, "the reader failed on it"),
        }
        self.since.get_or_insert_with(Instant::now);
    }

    fn take(&mut self, index: usize, mut parsed: Parsed) {
        for problem in &mut parsed.problems {
            problem.path.clone_from(&self.pending[index].shown);
        }
        let lost_something = parsed.problems.iter().any(|problem| problem.lost);
        self.report.problems.append(&mut parsed.problems);
        if lost_something && parsed.documents.is_empty() {
            // What an earlier, better version of the file gave is kept.
            self.report.count_failed(self.pending[index].kind);
            self.unusable.push(index);
            return;
        }
        // What lost something is not done: the next ingest reads it again, and complains again.
        let mark = if lost_something { INCOMPLETE } else { "" };
        self.bytes += parsed.documents.iter().map(|document| document.text.len()).sum::<usize>();
        self.change(index, parsed.documents, mark);
    }

    fn change(&mut self, index: usize, documents: Vec<NewDocument>, mark: &str) {
        let Pending { source, kind, .. } = &self.pending[index];
        let mut source = source.clone();
        source.stamp.reading.push_str(mark);
        self.changes.push((source, documents));
        self.settled.push(Settled { index, kind: *kind, is_ours: mark != OTHER_KIND });
    }

    fn fail(&mut self, index: usize, reason: impl Into<String>) {
        let Pending { kind, shown, .. } = &self.pending[index];
        self.report.fail(*kind, Problem::lost(shown, reason));
        self.unusable.push(index);
    }

    /// Stores what waits. Where that fails, nothing of it is stored, and nothing of it reported:
    /// the next ingest reads it again.
    fn commit(
        &mut self,
        pool: &Pool<'_>,
        on_progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), IngestError> {
        if self.changes.is_empty() && self.unusable.is_empty() {
            return Ok(());
        }
        if !self.changes.is_empty() {
            let applied = self.store.replace_sources(&self.changes, self.chunk_tokens)?;
            for (settled, applied) in self.settled.iter().zip(applied) {
                if settled.is_ours {
                    self.report.count_ingested(settled.kind, applied);
                } else {
                    self.report.files_skipped += 1;
                }
            }
            self.sources_max = SOURCES_MAX.min(self.sources_max * 2);
        }
        self.done += self.settled.len() + self.unusable.len();
        let ours = self.settled.iter().filter(|settled| settled.is_ours);
        let stored: Vec<&str> =
            ours.map(|settled| self.pending[settled.index].source.place.as_str()).collect();
        on_progress(Progress { done: self.done, total: self.pending.len(), stored: &stored });
        let settled = self.settled.drain(..).map(|settled| settled.index);
        for index in settled.chain(self.unusable.drain(..)) {
            pool.let_go(index);
        }
        self.changes.clear();
        (self.bytes, self.since) = (0, None);
        Ok(())
    }
}
