//! Reasoning data (REST-PG, stage 1): notes on the person's style and background, as far as they
//! matter for a text, written by a model that sees the text.
//!
//! Notes that give the text away, repeat the request or the passages, or say nothing are written
//! anew, then dropped: what is learned from must be what could be known without the text.

use serde::{Deserialize, Serialize};

use super::names::betrays;
use super::overlap::leaked;
use super::workshop::{Workshop, Writing};
use super::{Item, Journal};
use crate::error::Error;
use crate::generate::{self, Order, Request};
use crate::llama::Model;
use crate::metrics::words;
use crate::prompt::{INSTRUCTION, Prompt, defuse};
use crate::reward::copied;

/// The stage of the journal that has the notes.
pub const NOTES: &str = "notes";
const TAGS: [&str; 2] = ["<written>", "</written>"];
const SEEN: &str = "This is what the writer of the passages wrote for the request:\n\n<written>\n";
const AFTER: &str = "\n</written>\n\nTake short notes on the writer of the passages, a line each: tone, \
     background and interests. Note what helps to write such a text, and only what the passages \
     show. Do not mention the text that was written, and do not quote it.";
const RUN_WORDS: usize = 4;
const WORDS_MIN: usize = 4;
/// Of the notes, what may be taken from the passages or the request in runs of words.
const COPIED_MAX: f64 = 0.5;

/// What became of the notes for one text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// The notes; `None` where none were good.
    pub text: Option<String>,
    /// How often they were written.
    pub tries: u32,
    /// What was wrong with each that was not good.
    pub faults: Vec<Fault>,
}

/// What is wrong with notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// They say nothing.
    Empty,
    /// They have a name, a number or runs of words that stand in the text alone.
    GivesAway,
    /// They are taken from the request, the instruction or the passages.
    Repeats,
}

/// The notes for each of `items`, in their order.
///
/// # Errors
/// [`super::TrainError::Stopped`], the model's or the store's.
pub fn write_notes(
    workshop: &Workshop<'_>,
    journal: &mut Journal<'_>,
    items: &[&Item],
) -> Result<Vec<Notes>, Error> {
    let mut model = None;
    let mut all = Vec::with_capacity(items.len());
    for (done, item) in items.iter().enumerate() {
        workshop.stage("taking notes", done, items.len());
        if let Some(notes) = journal.get::<Notes>(NOTES, &item.key)? {
            all.push(notes);
            continue;
        }
        workshop.go_on()?;
        let model = match &mut model {
            Some(model) => model,
            none => none.insert(workshop.reasoning_model()?),
        };
        let notes = write(workshop, model, item)?;
        journal.keep(NOTES, &item.key, &notes)?;
        all.push(notes);
    }
    Ok(all)
}

fn write(workshop: &Workshop<'_>, model: &Model, item: &Item) -> Result<Notes, Error> {
    let settings = &workshop.config.train;
    let writing = Writing {
        reasoning: true,
        has_passages: true,
        temperature: settings.temperature.min(0.7),
        top_p: settings.top_p,
        repeat_penalty: settings.repeat_penalty,
    };
    let request = workshop.request(item, writing);
    let prompt = prompt(model, item, &request)?;
    // The notes alone.
    let request = Request { answer_tokens: 0, ..request };
    let mut notes = Notes { text: None, tries: 0, faults: Vec::new() };
    while notes.tries < settings.reasoning_tries && notes.text.is_none() {
        let seeds = vec![workshop.seed(NOTES, &item.key).wrapping_add(notes.tries)];
        let order = Order { prompt: &prompt, notes: None, seeds };
        let drafts = workshop.sample(model, &request, &[order])?;
        let text = drafts.into_iter().flatten().next().unwrap_or_default().reasoning;
        notes.tries += 1;
        match fault(prompt.own_notes(&text), item, f64::from(settings.leak_max)) {
            Some(fault) => notes.faults.push(fault),
            None => notes.text = Some(text),
        }
    }
    Ok(notes)
}

/// The prompt of the item with the text in it, in as much room as the request and the text leave.
fn prompt(model: &Model, item: &Item, request: &Request<'_>) -> Result<Prompt, Error> {
    let seen = format!("\n\n{SEEN}{}{AFTER}", defuse(item.output.trim(), &TAGS));
    let seen_tokens = u32::try_from(model.tokenize(&seen).len()).unwrap_or(u32::MAX);
    let request = Request { answer_tokens: seen_tokens, ..request.clone() };
    let mut prompt = generate::compose(model, &request, &item.passages)?;
    if let Some(last) = prompt.messages.last_mut() {
        // Not to write, but to see.
        let end = last.text.rfind(INSTRUCTION).unwrap_or(last.text.len());
        last.text.truncate(end);
        last.text.push_str(seen.trim_start());
    }
    Ok(prompt)
}

/// What is wrong with `notes`, the model's own, for `item`.
fn fault(notes: &str, item: &Item, leak_max: f64) -> Option<Fault> {
    if words(notes).len() < WORDS_MIN {
        return Some(Fault::Empty);
    }
    let shown = || item.passage_texts().chain([item.request.as_str()]);
    let titles = item.passages.iter().flat_map(|hit| [&hit.title, &hit.date]).flatten();
    if betrays(notes, &item.output, shown().chain(titles.map(String::as_str)))
        || leaked(notes, &item.output, shown(), RUN_WORDS) > leak_max
    {
        return Some(Fault::GivesAway);
    }
    let told = [AFTER, SEEN];
    (copied(notes, shown().chain(told)) > COPIED_MAX).then_some(Fault::Repeats)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Hit;

    fn item() -> Item {
        Item {
            key: "document a".into(),
            request: "a note to the volunteers about the shed".into(),
            task: "email".into(),
            output: "Dear all, the shed door is mended at last and the key hangs by the gate."
                .into(),
            passages: vec![Hit {
                text: "I have never understood people who leave a gate open in the rain.".into(),
                ..Hit::default()
            }],
            writer: 0,
            documents: Vec::new(),
            versions: Vec::new(),
            held_out: false,
        }
    }

    #[test]
    fn notes_must_say_something_of_their_own() {
        let fault = |notes: &str| fault(notes, &item(), 0.1);
        assert_eq!(fault("- Tone: dry, with short sentences and a joke at the end"), None);
        assert_eq!(fault(" dry"), Some(Fault::Empty));
        assert_eq!(
            fault("- Tone: dry\n- Says the shed door is mended at last and the key hangs"),
            Some(Fault::GivesAway)
        );
        let of_ottilie = Item { output: "The key hangs at Ottilie's gate.".into(), ..item() };
        let fault_of = |notes: &str| super::fault(notes, &of_ottilie, 0.1);
        assert_eq!(fault_of("- Tone: dry, as friends of Ottilie's are"), Some(Fault::GivesAway));
        assert_eq!(fault_of("- Tone: dry, as friends of old are"), None);
        assert_eq!(
            fault("- Tone: I have never understood people who leave a gate open in the rain"),
            Some(Fault::Repeats)
        );
    }

    #[test]
    fn what_the_passages_say_too_gives_nothing_away() {
        let mut item = item();
        item.passages.push(Hit {
            text: "The shed door is mended at last, for the third time.".into(),
            ..Hit::default()
        });
        let notes = "- Tone: warm and dry, with a joke where nobody expects one\n- Cares for sheds: the \
             shed door is mended at last";
        assert_eq!(fault(notes, &item, 0.1), None);
    }
}
