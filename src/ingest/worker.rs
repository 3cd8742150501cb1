//! The reader's side of reading: a process that turns sources into documents, one after the other.
//!
//! What is read may be damaged or made to do harm, and the libraries that read it may fail on it.
//! So it is read in a process that has bounded memory, writes no file, leaves no core dump and
//! knows no key; when it dies, one source is lost and nothing else. It ends when its standard
//! input does, even in the middle of a source: then nobody waits for it any more.

use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::frame::{self, Content, Order, Reading, Reply};
use super::parsed::Parsed;
use super::readers;

/// Documents nest; the readers bound the depth, and this is room enough for it.
const STACK_BYTES: usize = 16 << 20;
/// Text in one part of an answer.
const PART_BYTES: usize = 1 << 20;

/// An order, and the path or the bytes that it is about.
type Ordered = (Vec<u8>, Vec<u8>);

/// Reads what standard input asks for and answers on standard output, until standard input ends.
/// The process may use `memory_mib_max` MiB of address space.
///
/// # Errors
/// The system's reason, where no thread can be started or the input breaks off.
pub fn serve(memory_mib_max: u32) -> io::Result<()> {
    bound(memory_mib_max);
    // What a panic says may quote what was being read.
    panic::set_hook(Box::new(|_| {}));
    let (sender, orders) = mpsc::sync_channel::<Ordered>(1);
    let answer = move || {
        let mut output = io::stdout().lock();
        let answered = panic::catch_unwind(AssertUnwindSafe(|| answer_all(&orders, &mut output)));
        if !matches!(answered, Ok(Ok(()))) {
            // The other thread waits for input that will not come before this one answers.
            process::exit(1);
        }
    };
    thread::Builder::new().name("reader".into()).stack_size(STACK_BYTES).spawn(answer)?;
    let mut input = io::stdin().lock();
    while let Some(order) = frame::read(&mut input)? {
        let Some(content) = frame::read(&mut input)? else { break };
        if sender.send((order, content)).is_err() {
            break;
        }
    }
    Ok(())
}

/// Bounds what the process may take, as far as the system lets it.
#[cfg(unix)]
fn bound(memory_mib_max: u32) {
    use rlimit::Resource;
    // Linux hands core dumps to a collecting program whatever the limit is, unless it is 1.
    let core = u64::from(cfg!(target_os = "linux"));
    let memory = u64::from(memory_mib_max) << 20;
    for (resource, most) in [(Resource::CORE, core), (Resource::FSIZE, 0), (Resource::AS, memory)] {
        // A system without such a limit still has the others, and the time that is waited.
        let _ = resource.set(most, most);
    }
}

#[cfg(not(unix))]
fn bound(_memory_mib_max: u32) {}

fn answer_all(orders: &Receiver<Ordered>, output: &mut impl Write) -> io::Result<()> {
    while let Ok((order, content)) = orders.recv() {
        answer(&order, content, output)?;
    }
    Ok(())
}

fn answer(order: &[u8], content: Vec<u8>, output: &mut impl Write) -> io::Result<()> {
    let order: Order<'static> = serde_json::from_slice(order)?;
    let content = Content::from_frame(order.is_path, content)?;
    let mut progress = || {
        // Where nobody listens any more, the answer itself fails.
        let _ = reply(output, &Reply::Progress);
    };
    let reading = readers::read(&order, &content, &mut progress);
    drop(content);
    match reading {
        Reading::Documents(parsed) => in_parts(parsed, output),
        Reading::OtherKind => reply(output, &Reply::OtherKind),
        Reading::Senders(senders) => reply(output, &Reply::Senders(senders)),
    }
}

/// A mailbox gives many documents: they go one part after the other, each leaving memory.
fn in_parts(parsed: Parsed, output: &mut impl Write) -> io::Result<()> {
    let mut part = Parsed { documents: Vec::new(), problems: parsed.problems };
    let mut bytes = 0;
    for document in parsed.documents {
        bytes += document.text.len() + document.context.as_ref().map_or(0, String::len);
        part.documents.push(document);
        if bytes >= PART_BYTES {
            reply(output, &Reply::Part(std::mem::take(&mut part)))?;
            bytes = 0;
        }
    }
    reply(output, &Reply::Part(part))?;
    reply(output, &Reply::Done)
}

fn reply(output: &mut impl Write, reply: &Reply) -> io::Result<()> {
    frame::write(output, &serde_json::to_vec(reply)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::NewDocument;

    #[test]
    fn many_documents_come_in_parts_and_none_is_lost() {
        let document = |number: usize| NewDocument {
            key: number.to_string(),
            text: "x".repeat(PART_BYTES / 3 + 1),
            ..NewDocument::default()
        };
        let mut parsed = Parsed { documents: (0..7).map(document).collect(), problems: Vec::new() };
        parsed.note(Some(1), "a note");
        let mut output = Vec::new();
        in_parts(parsed, &mut output).unwrap();
        let (mut keys, mut problems, mut parts) = (Vec::new(), 0, 0);
        let mut input = output.as_slice();
        loop {
            let payload = frame::read(&mut input).unwrap().expect("the last frame is Done");
            match serde_json::from_slice(&payload).unwrap() {
                Reply::Part(part) => {
                    keys.extend(part.documents.into_iter().map(|document| document.key));
                    problems += part.problems.len();
                    parts += 1;
                }
                Reply::Done => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(keys, ["0", "1", "2", "3", "4", "5", "6"]);
        assert_eq!((problems, parts), (1, 3));
        assert!(input.is_empty());
    }

    #[test]
    fn an_order_that_is_none_ends_the_reader() {
        assert!(answer(b"{}", Vec::new(), &mut Vec::new()).is_err());
    }
}
