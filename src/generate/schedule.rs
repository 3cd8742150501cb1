//! Many drafts at once: each step decodes the next token of every one in a single batch.
//!
//! A prompt is read once, and its drafts share it. A draft that ends makes room for the next one at
//! once, of the next prompt too, which is read in pieces beside the drafts that still run. What a
//! draft becomes depends on its prompt and its seed, never on its neighbours, except for how the
//! kernels round batches of other sizes.
//!
//! Knows tokens and futures; what the drafts are about is theirs.

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::DraftId;
use super::decoder::{Banned, Decoder, Line};
use super::prefix;
use crate::llama::{Append, LlamaError, Model, Sampler, Sampling, Session, Token};
use crate::profile::Prefixes;

/// A prompt and the drafts that are wanted of it.
pub(super) struct Work {
    pub(super) prompt: Vec<Token>,
    /// Most tokens that one draft may take after the prompt.
    pub(super) draft_tokens_max: usize,
    /// How each draft is sampled.
    pub(super) drafts: Vec<Sampling>,
}

type Writing<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What the schedule is given besides the work.
pub(super) struct Desk<'a, T> {
    pub(super) model: &'a Model,
    pub(super) interrupt: &'a AtomicBool,
    /// Begins a draft.
    pub(super) begin: &'a dyn Fn(DraftId, Decoder<'a>) -> Writing<'a, T>,
    /// Told the prompt, and how many of its tokens have been read, or need not be read.
    pub(super) on_reading: &'a dyn Fn(usize, usize),
    /// Told the prompt, and how many of its tokens need not be read.
    pub(super) on_reused: &'a dyn Fn(usize, usize),
    /// What was read before.
    pub(super) prefixes: Option<&'a Prefixes>,
}

/// Does all the work; the last sequence of `session` reads prompts, each of the others writes a
/// draft at a time. A draft that was not begun before an interruption is `None`.
pub(super) fn run<'a, T>(
    desk: &Desk<'a, T>,
    session: Session<'a>,
    work: &[Work],
) -> Result<Vec<Vec<Option<T>>>, LlamaError> {
    let results = work.iter().map(|work| work.drafts.iter().map(|_| None).collect()).collect();
    let n_slots = session.sequences() - 1;
    let mut schedule = Schedule {
        desk,
        session,
        work,
        slots: (0..n_slots).map(|_| None).collect(),
        reader: Reader::default(),
        results,
    };
    schedule.begin_reading()?;
    while schedule.advance()? {}
    schedule.keep_last();
    Ok(schedule.results)
}

struct Schedule<'desk, 'a, T> {
    desk: &'desk Desk<'a, T>,
    session: Session<'a>,
    work: &'desk [Work],
    /// The draft that each sequence writes.
    slots: Vec<Option<Slot<'a, T>>>,
    reader: Reader,
    results: Vec<Vec<Option<T>>>,
}

/// A draft that is being written.
struct Slot<'a, T> {
    id: DraftId,
    writing: Writing<'a, T>,
    line: Rc<RefCell<Line>>,
    sampling: Sampling,
    sampler: Sampler,
    /// Whether the sampler has picked a token.
    has_drawn: bool,
}

/// The prompt that is being read, or that drafts are begun of.
#[derive(Default)]
struct Reader {
    prompt: usize,
    /// Its drafts that have been begun.
    begun: usize,
    /// How many of its tokens need not be read.
    reused: usize,
    /// What the model expects after it, once it has been read.
    logits: Option<Vec<f32>>,
    /// The one read last, all of whose drafts were begun, and what the model expects after it.
    last: Option<(usize, Vec<f32>)>,
}

impl<'a, T> Schedule<'_, 'a, T> {
    /// One step; whether there is anything left to do.
    fn advance(&mut self) -> Result<bool, LlamaError> {
        self.begin_drafts()?;
        for sequence in 0..self.slots.len() {
            self.write_on(sequence)?;
        }
        let (appends, read) = self.next_batch();
        if appends.is_empty() {
            // Drafts that ended just now may have made room.
            return Ok(self.can_begin());
        }
        let appends: Vec<Append<'_>> = appends.iter().map(Piece::as_append).collect();
        self.session.step(&appends)?;
        if read > 0 {
            self.note_reading();
        }
        self.sample_all()?;
        Ok(true)
    }

    fn is_interrupted(&self) -> bool {
        self.desk.interrupt.load(Ordering::Relaxed)
    }

    fn reading(&self) -> usize {
        self.session.sequences() - 1
    }

    /// Whether a draft could be begun now.
    fn can_begin(&self) -> bool {
        let Some(work) = self.work.get(self.reader.prompt) else { return false };
        self.reader.begun < work.drafts.len()
            && self.reader.logits.is_some()
            && self.slots.iter().any(Option::is_none)
            && self.reserved() + work.draft_tokens_max <= self.session.capacity()
            && !self.is_interrupted()
    }

    /// Tokens of the cache that are taken, or may be by drafts that still run.
    fn reserved(&self) -> usize {
        let drafts = || self.slots.iter().flatten();
        let is_used = |prompt: usize| {
            drafts().any(|slot| slot.id.prompt == prompt)
                || (prompt == self.reader.prompt && !self.session.is_empty(self.reading()))
        };
        let prompts = (0..self.work.len()).filter(|&prompt| is_used(prompt));
        let prompts: usize = prompts.map(|prompt| self.work[prompt].prompt.len()).sum();
        prompts + drafts().map(|slot| self.work[slot.id.prompt].draft_tokens_max).sum::<usize>()
    }

    /// Begins drafts of the prompt that was read in all free sequences, and turns to the next
    /// prompt where all were begun.
    fn begin_drafts(&mut self) -> Result<(), LlamaError> {
        while self.can_begin() {
            let Some(sequence) = self.slots.iter().position(Option::is_none) else { break };
            let id = DraftId { prompt: self.reader.prompt, draft: self.reader.begun };
            let work = &self.work[id.prompt];
            self.session.share(self.reading(), sequence)?;
            let line = Rc::new(RefCell::new(Line::after(&work.prompt)));
            let decoder = Decoder::new(self.desk.model, line.clone(), self.desk.interrupt);
            let sampling = work.drafts[id.draft];
            let mut slot = Slot {
                id,
                writing: (self.desk.begin)(id, decoder),
                line,
                sampling,
                sampler: self.desk.model.sampler(&sampling),
                has_drawn: false,
            };
            self.reader.begun += 1;
            if slot.has_ended(&mut self.results) {
                self.session.truncate(sequence, 0)?;
                continue;
            }
            // One that wrote something before it wants a token waits for the next step.
            if slot.is_decoded()
                && let Some(logits) = &self.reader.logits
            {
                slot.sample(self.desk.model, logits)?;
            }
            self.slots[sequence] = Some(slot);
        }
        let is_done = |work: &Work| self.reader.begun == work.drafts.len();
        if self.work.get(self.reader.prompt).is_some_and(is_done) {
            self.turn_to_next()?;
        }
        Ok(())
    }

    /// Turns to the next prompt; what it begins with as the one before does stays.
    fn turn_to_next(&mut self) -> Result<(), LlamaError> {
        let this = self.reader.prompt;
        if let Some(next) = self.work.get(this + 1) {
            let alike = self.work[this].prompt.iter().zip(&next.prompt);
            let n_alike = alike.take_while(|(a, b)| a == b).count();
            self.reader = Reader { prompt: this + 1, ..Reader::default() };
            self.session
                .truncate(self.reading(), n_alike.min(next.prompt.len().saturating_sub(1)))?;
            return self.begin_reading();
        }
        let last = self.reader.logits.take().map(|logits| (this, logits));
        self.reader = Reader { prompt: this + 1, last, ..Reader::default() };
        Ok(())
    }

    /// Looks up what need not be read of the prompt.
    fn begin_reading(&mut self) -> Result<(), LlamaError> {
        let (reading, prompt) = (self.reading(), self.reader.prompt);
        let Some(work) = self.work.get(prompt) else { return Ok(()) };
        let mut n_reused = self.session.len(reading);
        if let Some(prefixes) = self.desk.prefixes.filter(|_| n_reused == 0) {
            let room = self.session.capacity().saturating_sub(self.reserved());
            (n_reused, self.reader.logits) =
                prefix::fetch(prefixes, &mut self.session, reading, &work.prompt, room)?;
        }
        self.reader.reused = n_reused;
        if n_reused > 0 {
            (self.desk.on_reused)(prompt, n_reused);
            (self.desk.on_reading)(prompt, n_reused);
        }
        Ok(())
    }

    /// Keeps the prompt that was read last. Only now: nobody waits for a token any more.
    fn keep_last(&mut self) {
        let reading = self.reading();
        let Some((prompt, logits)) = self.reader.last.take() else { return };
        if let Some(prefixes) = self.desk.prefixes {
            let prompt = &self.work[prompt].prompt;
            let length = u32::try_from(prompt.len()).unwrap_or(u32::MAX);
            let state_bytes = self.desk.model.cache_bytes(length, self.session.cache());
            prefix::keep(prefixes, &self.session, reading, prompt, logits, state_bytes);
        }
    }

    /// Lets the draft of a sequence go on until it wants a token or ends.
    fn write_on(&mut self, sequence: usize) -> Result<(), LlamaError> {
        let Some(slot) = &mut self.slots[sequence] else { return Ok(()) };
        if slot.has_ended(&mut self.results) {
            self.slots[sequence] = None;
            return self.session.truncate(sequence, 0);
        }
        let decoded = slot.line.borrow().decoded;
        self.session.truncate(sequence, decoded)
    }

    /// What the next step decodes, and how many tokens of a prompt are among it: what each draft
    /// waits for, then as much of a prompt as the batch still takes.
    fn next_batch(&self) -> (Vec<Piece>, usize) {
        let mut room = self.session.batch_tokens();
        let mut pieces = Vec::new();
        for (sequence, slot) in self.slots.iter().enumerate() {
            let Some(slot) = slot.as_ref().filter(|_| room > 0) else { continue };
            let line = slot.line.borrow();
            let piece = Piece::of(sequence, &line.tokens, self.session.len(sequence), room);
            room -= piece.tokens.len();
            pieces.push(piece);
        }
        let Some(prompt) = self.next_to_read().filter(|_| room > 0) else { return (pieces, 0) };
        let reading = self.reading();
        let piece = Piece::of(reading, prompt, self.session.len(reading), room);
        let n_read = piece.tokens.len();
        pieces.push(piece);
        (pieces, n_read)
    }

    /// The prompt that is to be read, or read on, where there is room for it and a draft of it.
    fn next_to_read(&self) -> Option<&[Token]> {
        let work = self.work.get(self.reader.prompt)?;
        let n_held = self.session.len(self.reading());
        // What is reserved counts a prompt of which anything is held.
        let prompt_tokens = if n_held == 0 { work.prompt.len() } else { 0 };
        let needed = self.reserved() + prompt_tokens + work.draft_tokens_max;
        let fits = n_held > self.reader.reused || needed <= self.session.capacity();
        let is_read = self.reader.logits.is_some();
        (fits && !is_read && !self.is_interrupted()).then_some(&work.prompt)
    }

    /// After a piece of the prompt was decoded.
    fn note_reading(&mut self) {
        let reading = self.reading();
        (self.desk.on_reading)(self.reader.prompt, self.session.len(reading));
        self.reader.logits = self.session.logits(reading).map(<[f32]>::to_vec);
    }

    /// Gives each draft whose sequence was decoded to its end its next token.
    fn sample_all(&mut self) -> Result<(), LlamaError> {
        for (sequence, slot) in self.slots.iter_mut().enumerate() {
            let Some(slot) = slot else { continue };
            slot.line.borrow_mut().decoded = self.session.len(sequence);
            if let Some(logits) = self.session.logits(sequence) {
                slot.sample(self.desk.model, logits)?;
            }
        }
        Ok(())
    }
}

impl<T> Slot<'_, T> {
    /// Lets the draft go on until it wants a token; whether it ended instead, its result in its
    /// place.
    fn has_ended(&mut self, results: &mut [Vec<Option<T>>]) -> bool {
        if self.line.borrow().wanted.is_some() {
            // It still waits: its sequence takes more than one batch.
            return false;
        }
        match self.writing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => {
                results[self.id.prompt][self.id.draft] = Some(result);
                true
            }
            Poll::Pending => false,
        }
    }

    /// Whether the cache holds all of its sequence.
    fn is_decoded(&self) -> bool {
        let line = self.line.borrow();
        line.decoded == line.tokens.len()
    }

    fn sample(&mut self, model: &Model, logits: &[f32]) -> Result<(), LlamaError> {
        let mut line = self.line.borrow_mut();
        let line = &mut *line;
        if std::mem::take(&mut line.begins_anew) {
            if std::mem::take(&mut self.has_drawn) {
                // Chance goes on, or the answer would follow the dice of the notes.
                self.sampling.seed = next_seed(self.sampling.seed);
            }
            self.sampler = model.sampler(&self.sampling);
        }
        for token in line.accepted.drain(..) {
            self.sampler.accept(token);
        }
        let nothing = HashSet::new();
        let banned = match line.wanted.take() {
            Some(Banned::TurnEnds) => self.sampler.sample(logits, model.turn_ends()),
            Some(Banned::These(banned)) => self.sampler.sample(logits, &banned),
            Some(Banned::Nothing) | None => self.sampler.sample(logits, &nothing),
        };
        self.has_drawn = true;
        line.token = Some(banned?);
        line.first_token.get_or_insert_with(Instant::now);
        Ok(())
    }
}

/// Tokens of one sequence that go into the next batch.
struct Piece {
    sequence: usize,
    tokens: Vec<Token>,
    is_last: bool,
}

impl Piece {
    /// What comes after the first `decoded` of `tokens`, `room` of it at most.
    fn of(sequence: usize, tokens: &[Token], decoded: usize, room: usize) -> Self {
        let rest = &tokens[decoded.min(tokens.len())..];
        let part = &rest[..rest.len().min(room)];
        Self { sequence, tokens: part.to_vec(), is_last: part.len() == rest.len() }
    }

    fn as_append(&self) -> Append<'_> {
        Append {
            sequence: self.sequence,
            tokens: &self.tokens,
            n_logits: usize::from(self.is_last),
        }
    }
}

/// Where chance goes on after a draft has begun anew: neighbouring seeds stay apart, and the seed that llama.cpp
/// takes for none is not among them.
fn next_seed(seed: u32) -> u32 {
    (seed ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b1) >> 1
}
