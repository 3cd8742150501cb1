//! One reader process, as the program that started it sees it.
//!
//! The process is ended when its owner lets go of it, whatever it is doing, and never outlives
//! that as a zombie. Two threads move the frames, so that neither a reader that does not listen
//! nor one that does not answer can hold up the program.

use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::Duration;

use super::frame::{self, Content, Order, Reading, Reply};
use super::parsed::Parsed;

/// How long it takes at most to notice that everything shall stop.
const SLICE: Duration = Duration::from_millis(50);
/// Frames of an answer that wait to be looked at.
const REPLIES_WAITING_MAX: usize = 4;
/// Text of one source; a reader that sends more has gone wrong.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// How a reader process is started.
#[derive(Debug, Clone)]
pub(super) struct ReaderCommand {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
}

/// An order on its way.
#[derive(Debug, Clone)]
pub(super) struct Message {
    order: Arc<Vec<u8>>,
    content: Arc<Vec<u8>>,
}

impl Message {
    pub(super) fn new(order: &Order<'_>, content: &Content) -> io::Result<Self> {
        Ok(Self { order: Arc::new(serde_json::to_vec(order)?), content: content.to_frame()? })
    }
}

/// How the reading of one source ended.
#[derive(Debug)]
pub(super) enum End {
    Read(Reading),
    /// It took too long.
    Slow,
    /// The process died of it.
    Died,
    /// Everything shall stop.
    Interrupted,
}

/// A running reader.
#[derive(Debug)]
pub(super) struct ReaderProcess {
    child: Child,
    orders: Sender<Message>,
    replies: Receiver<Reply>,
}

impl ReaderProcess {
    /// Starts it.
    ///
    /// # Errors
    /// The system's reason.
    pub(super) fn start(command: &ReaderCommand) -> io::Result<Self> {
        let mut process = Command::new(&command.program);
        process.args(&command.arguments);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Every further arena of glibc's allocator reserves 64 MiB of the bounded address space.
        process.env("MALLOC_ARENA_MAX", "1");
        // Ctrl-C in the terminal is for the program, which then ends its readers.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut process, 0);
        let mut child = process.spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (orders, orders_received) = mpsc::channel();
        let (replies_sent, replies) = mpsc::sync_channel(REPLIES_WAITING_MAX);
        // From here on the process is ended on every way out.
        let reader = Self { child, orders, replies };
        let (Some(input), Some(output)) = (input, output) else {
            return Err(io::Error::other("its pipes are missing"));
        };
        thread::Builder::new().spawn(move || send_all(input, &orders_received))?;
        thread::Builder::new().spawn(move || receive_all(output, &replies_sent))?;
        Ok(reader)
    }

    /// Has one source read; gives up after `patience` without a sign of progress, or when
    /// `stopped` says so. After anything but [`End::Read`] the process is of no more use.
    pub(super) fn read(
        &mut self,
        message: &Message,
        patience: Duration,
        stopped: &dyn Fn() -> bool,
    ) -> End {
        if self.orders.send(message.clone()).is_err() {
            return End::Died;
        }
        let mut parsed = Parsed::default();
        let mut bytes = 0;
        let mut waited = Duration::ZERO;
        loop {
            if stopped() {
                return End::Interrupted;
            }
            let slice = SLICE.min(patience.saturating_sub(waited));
            if slice.is_zero() {
                return End::Slow;
            }
            match self.replies.recv_timeout(slice) {
                Ok(Reply::Progress) => {}
                Ok(Reply::Part(part)) => {
                    bytes +=
                        part.documents.iter().map(|document| document.text.len()).sum::<usize>();
                    if bytes > ANSWER_BYTES_MAX {
                        return End::Died;
                    }
                    parsed.documents.extend(part.documents);
                    parsed.problems.extend(part.problems);
                }
                Ok(Reply::Done) => return End::Read(Reading::Documents(parsed)),
                Ok(Reply::OtherKind) => return End::Read(Reading::OtherKind),
                Ok(Reply::Senders(senders)) => return End::Read(Reading::Senders(senders)),
                Err(RecvTimeoutError::Timeout) => {
                    // Not by the clock: both processes may have been stopped for a while.
                    waited += slice;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return End::Died,
            }
            waited = Duration::ZERO;
        }
    }
}

impl Drop for ReaderProcess {
    fn drop(&mut self) {
        // It may have ended by itself; then there is only its status to be fetched.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends when the orders do, or when the process no longer listens.
fn send_all(mut input: ChildStdin, orders: &Receiver<Message>) {
    while let Ok(Message { order, content }) = orders.recv() {
        let sent =
            frame::write(&mut input, &order).and_then(|()| frame::write(&mut input, &content));
        if sent.is_err() {
            return;
        }
    }
}

/// Ends when the process does, or when nobody wants its replies any more.
fn receive_all(output: ChildStdout, replies: &SyncSender<Reply>) {
    let mut output = BufReader::new(output);
    while let Ok(Some(payload)) = frame::read(&mut output) {
        let Ok(reply) = serde_json::from_slice(&payload) else { return };
        if replies.send(reply).is_err() {
            return;
        }
    }
}
