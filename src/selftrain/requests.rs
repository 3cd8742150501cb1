//! What a text without a title was asked for, as the model says it.
//!
//! The request must not give the text away: what shares too many runs of words with it is written anew or
//! dropped. What it is about, names and all, is what a request says.

use super::item::key;
use super::overlap::leaked;
use super::workshop::Workshop;
use super::{Journal, Pair};
use crate::error::Error;
use crate::generate::{Order, Request};
use crate::llama::Model;
use crate::prompt::Prompt;

const STAGE: &str = "request";
const SYSTEM: &str = "You say in one line what a text was asked for.";
const INSTRUCTION: &str = "Say in one line what its writer was asked to write: the kind of text, for \
     whom, and about what. Say nothing of how it is written, and do not quote it.";
const OPENING: &str = "Write";
const REQUEST_TOKENS: u32 = 40;
/// Words of the text that the model is shown: it is about what it begins with.
const WORDS_SHOWN: usize = 250;
const RUN_WORDS: usize = 4;
/// A shorter one asks for nothing.
const CHARS_MIN: usize = 12;

/// The requests of `pairs` that have none, in their order; `None` where none could be had.
///
/// # Errors
/// [`super::TrainError::Stopped`], the model's or the store's.
pub fn write_requests(
    workshop: &Workshop<'_>,
    journal: &mut Journal<'_>,
    pairs: &[&Pair],
) -> Result<Vec<Option<String>>, Error> {
    let mut model = None;
    let mut requests = Vec::with_capacity(pairs.len());
    for (done, pair) in pairs.iter().enumerate() {
        workshop.stage("writing requests", done, pairs.len());
        let key = key(&pair.origin);
        if let Some(request) = journal.get::<Option<String>>(STAGE, &key)? {
            requests.push(request);
            continue;
        }
        workshop.go_on()?;
        let model = match &mut model {
            Some(model) => model,
            none => none.insert(workshop.model(None)?),
        };
        let request = write(workshop, model, pair)?;
        journal.keep(STAGE, &key, &request)?;
        requests.push(request);
    }
    Ok(requests)
}

fn write(workshop: &Workshop<'_>, model: &Model, pair: &Pair) -> Result<Option<String>, Error> {
    let settings = &workshop.config.train;
    let prompt = prompt(&pair.output);
    let request = request(workshop);
    for attempt in 0..settings.reasoning_tries {
        let seeds = vec![workshop.seed(STAGE, &key(&pair.origin)).wrapping_add(attempt)];
        let order = Order { prompt: &prompt, notes: None, seeds };
        let drafts = workshop.sample(model, &request, &[order])?;
        let written = drafts.into_iter().flatten().next().unwrap_or_default();
        let mut lines = written.answer.lines();
        let line = lines.next().unwrap_or_default();
        if written.cut_off && lines.next().is_none() {
            // Half a line asks for something else.
            continue;
        }
        let text = format!("{OPENING} {}", line.trim());
        let gives_away = leaked(&text, &pair.output, [], RUN_WORDS);
        if text.chars().count() >= CHARS_MIN && gives_away <= f64::from(settings.leak_max) {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

fn prompt(text: &str) -> Prompt {
    let shown: String = text.split_inclusive(char::is_whitespace).take(WORDS_SHOWN).collect();
    Prompt::about(shown.trim(), SYSTEM, INSTRUCTION, OPENING)
}

fn request(workshop: &Workshop<'_>) -> Request<'static> {
    let settings = &workshop.config.train;
    workshop.bare_request(REQUEST_TOKENS, settings.temperature.min(0.5), settings.top_p)
}
