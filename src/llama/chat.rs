//! Conversations into tokens, in the chat template that the model brings.
//!
//! The template's own pieces are tokenized with special tokens on, everything that came from a
//! person or a document with special tokens off. To tell them apart the template is rendered
//! with placeholders first, then cut at them.

use llama_cpp_2::model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel};

use super::Token;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The instructions that hold for the whole conversation.
    System,
    /// The request.
    User,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; never read as template or special tokens.
    pub text: String,
}

/// How a model wants a conversation laid out.
#[derive(Debug)]
pub(super) enum Layout {
    /// Pieces of the template around a system and a user turn.
    Template {
        /// Before the system text, between the two texts, before the assistant's.
        pieces: [String; 3],
        marks: Vec<String>,
    },
    /// The template has no system turn: its text goes before the user's.
    UserOnly {
        /// Before the user's text, before the assistant's.
        pieces: [String; 2],
        marks: Vec<String>,
    },
    /// A base model: paragraphs one after the other.
    Plain,
}

// Private-use characters: no template contains or changes them.
const SYSTEM: &str = "\u{f8f0}";
const USER: &str = "\u{f8f1}";

impl Layout {
    pub(super) fn of(model: &LlamaModel) -> Self {
        let Ok(template) = model.chat_template(None) else {
            return Self::Plain;
        };
        let both = [("system", SYSTEM), ("user", USER)];
        if let Some(rendered) = apply(model, &template, &both)
            && let Some((before, rest)) = rendered.split_once(SYSTEM)
            && let Some((between, after)) = rest.split_once(USER)
        {
            return Self::Template {
                pieces: [before.into(), between.into(), after.into()],
                marks: marks(&rendered),
            };
        }
        if let Some(rendered) = apply(model, &template, &both[1..])
            && let Some((before, after)) = rendered.split_once(USER)
        {
            return Self::UserOnly {
                pieces: [before.into(), after.into()],
                marks: marks(&rendered),
            };
        }
        tracing::warn!("the model's chat template is not one that llama.cpp knows");
        Self::Plain
    }

    pub(super) fn marks(&self) -> &[String] {
        match self {
            Self::Template { marks, .. } | Self::UserOnly { marks, .. } => marks,
            Self::Plain => &[],
        }
    }
}

fn apply(
    model: &LlamaModel,
    template: &LlamaChatTemplate,
    turns: &[(&str, &str)],
) -> Option<String> {
    let messages: Result<Vec<LlamaChatMessage>, _> = turns
        .iter()
        .map(|(role, text)| LlamaChatMessage::new((*role).into(), (*text).into()))
        .collect();
    model.apply_chat_template(template, &messages.ok()?, true).ok()
}

/// The parts of a rendered template in angle or square brackets, such as `<|im_start|>`.
fn marks(rendered: &str) -> Vec<String> {
    let mut marks = Vec::new();
    for (open, close) in [('<', '>'), ('[', ']')] {
        let mut rest = rendered;
        while let Some(start) = rest.find(open) {
            rest = &rest[start..];
            let Some(end) = rest.find(close) else { break };
            let mark = &rest[..=end];
            if !mark.contains(char::is_whitespace) && !marks.iter().any(|known| known == mark) {
                marks.push(mark.to_owned());
            }
            rest = &rest[end..];
        }
    }
    marks
}

/// The marks that the tokenizer makes one token of even where special tokens are off, as it does
/// with tokens that the file calls user-defined.
pub(super) fn unwanted_marks(model: &LlamaModel, marks: &[String]) -> Vec<String> {
    let vocab = model.vocab();
    let is_one = |mark: &&String| vocab.tokenize(mark.as_bytes(), false, false).len() == 1;
    marks.iter().filter(is_one).cloned().collect()
}

/// The tokens of a text in which nothing is special; what would be is tokenized in two parts.
pub(super) fn plain_tokens(model: &LlamaModel, unwanted: &[String], text: &str) -> Vec<Token> {
    let vocab = model.vocab();
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(at) = unwanted.iter().filter_map(|mark| rest.find(mark.as_str())).min() {
        let (before, after) = rest.split_at(at + 1);
        tokens.extend(vocab.tokenize(before.as_bytes(), false, false));
        rest = after;
    }
    if !rest.is_empty() {
        tokens.extend(vocab.tokenize(rest.as_bytes(), false, false));
    }
    tokens
}

pub(super) fn render(
    model: &LlamaModel,
    layout: &Layout,
    unwanted: &[String],
    messages: &[Message],
    opening: &str,
) -> Vec<Token> {
    let said = |role: Role| -> String {
        let texts = messages.iter().filter(|message| message.role == role);
        texts.map(|message| message.text.as_str()).collect::<Vec<_>>().join("\n\n")
    };
    let (system, user) = (said(Role::System), said(Role::User));
    let mut tokens = Tokens { model, unwanted, tokens: Vec::new() };
    match layout {
        Layout::Template { pieces, .. } => {
            tokens.template(&pieces[0]);
            tokens.text(&system);
            tokens.template(&pieces[1]);
            tokens.text(&user);
            tokens.template(&pieces[2]);
            tokens.text(opening);
        }
        Layout::UserOnly { pieces, .. } => {
            tokens.template(&pieces[0]);
            tokens.text(&format!("{system}\n\n{user}"));
            tokens.template(&pieces[1]);
            tokens.text(opening);
        }
        Layout::Plain => {
            tokens.start();
            tokens.text(&format!("{system}\n\n{user}\n\n{opening}"));
        }
    }
    tokens.tokens
}

/// A growing prompt.
struct Tokens<'a> {
    model: &'a LlamaModel,
    unwanted: &'a [String],
    tokens: Vec<Token>,
}

impl Tokens<'_> {
    /// The beginning-of-sequence token, where the model wants one.
    fn start(&mut self) {
        let vocab = self.model.vocab();
        if vocab.should_add_bos() {
            self.tokens.push(vocab.bos());
        }
    }

    fn template(&mut self, piece: &str) {
        let vocab = self.model.vocab();
        let first = self.tokens.is_empty();
        let tokens = vocab.tokenize(piece.as_bytes(), false, true);
        // A template may spell the token out itself.
        if first && tokens.first() != Some(&vocab.bos()) {
            self.start();
        }
        self.tokens.extend(tokens);
    }

    fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.tokens.extend(plain_tokens(self.model, self.unwanted, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_what_stands_in_brackets() {
        let rendered = "<|im_start|>system\nx<|im_end|>\n<|im_start|>user\n[INST] a < b > c";
        assert_eq!(marks(rendered), ["<|im_start|>", "<|im_end|>", "[INST]"]);
    }
}
