//! Prompts and answers from JSON lines, in the model's own chat template.

use std::path::Path;

use serde::Deserialize;

use super::{Answer, Example, LoraError};
use crate::llama::{Message, Model, Role};

/// A line: a prompt with answers, or a conversation whose last turn is the answer.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Prompt { prompt: String, answers: Vec<LineAnswer> },
    Conversation { messages: Vec<LineMessage> },
}

#[derive(Debug, Deserialize)]
struct LineAnswer {
    text: String,
    #[serde(default = "one")]
    weight: f32,
}

fn one() -> f32 {
    1.0
}

#[derive(Debug, Deserialize)]
struct LineMessage {
    role: String,
    content: String,
}

/// What a file of examples came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Examples {
    /// Those that can be learned from.
    pub examples: Vec<Example>,
    /// The lines, from 1, of those that are longer than was asked for, or have no answer that
    /// counts.
    pub left_out: Vec<usize>,
}

/// Reads the text of a file; `path` is for messages. An answer ends with the token that ends the
/// model's turn. Of an example, a prompt and its longest answer may have `tokens_max` tokens.
///
/// # Errors
/// [`LoraError::Data`] with the first line that is not usable.
pub fn read_examples(
    path: &Path,
    text: &str,
    model: &Model,
    tokens_max: usize,
) -> Result<Examples, LoraError> {
    let mut read = Examples::default();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line_number = index + 1;
        let fail =
            |what: String| LoraError::Data { path: path.to_owned(), line: line_number, what };
        let line: Line = serde_json::from_str(line).map_err(|_| fail(FORM.into()))?;
        let example = example_of(line, model).map_err(fail)?;
        let longest = example.answers.iter().map(|answer| answer.tokens.len()).max();
        match longest {
            Some(longest) if example.prompt.len() + longest <= tokens_max => {
                read.examples.push(example);
            }
            _ => read.left_out.push(line_number),
        }
    }
    Ok(read)
}

const FORM: &str = "it must be {\"prompt\": TEXT, \"answers\": [{\"text\": TEXT, \"weight\": NUMBER}]} \
    or {\"messages\": [{\"role\": NAME, \"content\": TEXT}]}";

fn example_of(line: Line, model: &Model) -> Result<Example, String> {
    let (messages, answers) = match line {
        Line::Prompt { prompt, answers } => {
            (vec![Message { role: Role::User, text: prompt }], answers)
        }
        Line::Conversation { messages } => conversation(messages)?,
    };
    let bad = |answer: &&LineAnswer| !answer.weight.is_finite() || answer.weight < 0.0;
    if let Some(answer) = answers.iter().find(bad) {
        return Err(format!("a weight is {}; it must be 0 or more", answer.weight));
    }
    let prompt = model.render(&messages, "").into_iter().map(|token| token.0 as u32).collect();
    let answers = answers.into_iter().filter(|answer| answer.weight > 0.0).map(|answer| {
        let mut tokens = model.tokenize(&answer.text);
        tokens.extend(model.ending());
        let tokens = tokens.into_iter().map(|token| token.0 as u32).collect();
        Answer { tokens, weight: answer.weight, token_weights: None }
    });
    Ok(Example { prompt, answers: answers.collect() })
}

fn conversation(mut messages: Vec<LineMessage>) -> Result<(Vec<Message>, Vec<LineAnswer>), String> {
    let last = messages.pop().filter(|message| message.role == "assistant");
    let last = last.ok_or("the last message must be the assistant's: it is what is learned")?;
    let messages: Result<Vec<Message>, String> = messages
        .into_iter()
        .map(|LineMessage { role, content }| match role.as_str() {
            "system" => Ok(Message { role: Role::System, text: content }),
            "user" => Ok(Message { role: Role::User, text: content }),
            other => Err(format!(
                "a message of {other:?} before the last; only system and user are known there"
            )),
        })
        .collect();
    Ok((messages?, vec![LineAnswer { text: last.content, weight: 1.0 }]))
}
