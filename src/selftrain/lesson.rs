//! What is learned for one request, as the tokens that the trainer takes: exactly what `generate`
//! would have the model read, and then what it should have written.

use super::Item;
use super::workshop::{Workshop, Writing};
use crate::error::Error;
use crate::llama::{Model, Token};
use crate::lora::{Answer, Example};
use crate::prompt::Prompt;

/// A text to learn, after its notes where notes come first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted<'a> {
    /// The notes.
    pub reasoning: Option<&'a str>,
    /// The text.
    pub text: &'a str,
    /// How much it counts.
    pub weight: f32,
}

/// A request with all that is learned for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson<'a> {
    /// The request.
    pub item: &'a Item,
    /// What is learned.
    pub wanted: Vec<Wanted<'a>>,
}

/// The lesson in tokens, with notes first or not.
///
/// # Errors
/// That the request does not fit the model.
pub fn example(
    workshop: &Workshop<'_>,
    model: &Model,
    lesson: &Lesson<'_>,
    reasoning: bool,
) -> Result<Example, Error> {
    let writing = Writing::greedy(reasoning);
    let prompt = workshop.prompt(model, lesson.item, writing)?;
    let tokens = model.render(&prompt.messages, &prompt.opening);
    let answers = lesson.wanted.iter().map(|wanted| answer(model, &prompt, wanted)).collect();
    Ok(Example { prompt: ids(tokens), answers })
}

fn answer(model: &Model, prompt: &Prompt, wanted: &Wanted<'_>) -> Answer {
    let mut tokens = Vec::new();
    let mut weights = Vec::new();
    if let (Some(marker), Some(notes)) = (&prompt.marker, wanted.reasoning) {
        // The prompt ends with the beginning of the notes.
        tokens.extend(model.tokenize(prompt.own_notes(notes)));
        weights.resize(tokens.len(), 1.0);
        let marker = model.tokenize(marker);
        weights.extend(marker_weights(model, &marker));
        tokens.extend(marker);
    }
    tokens.extend(model.tokenize(wanted.text.trim()));
    tokens.extend(model.ending());
    let has_marker = !weights.is_empty();
    weights.resize(tokens.len(), 1.0);
    let token_weights = has_marker.then_some(weights);
    Answer { tokens: ids(tokens), weight: wanted.weight, token_weights }
}

/// How much each token of the marker counts: what ends the notes is the model's to write, the rest is
/// written by the runtime, and nothing to learn.
fn marker_weights(model: &Model, marker: &[Token]) -> Vec<f32> {
    let mut piece = Vec::new();
    let mut is_ending = true;
    let weight = |&token: &Token| {
        piece.clear();
        model.append_piece(token, &mut piece);
        is_ending &= piece.iter().all(u8::is_ascii_whitespace);
        f32::from(u8::from(is_ending))
    };
    marker.iter().map(weight).collect()
}

fn ids(tokens: Vec<Token>) -> Vec<u32> {
    tokens.into_iter().map(|token| token.0 as u32).collect()
}
