//! A model that grades answers, read from its logits.
//!
//! It sees a rubric, the request, what the person really wrote or passages of theirs, and an
//! answer. Nothing is sampled: each grade has the likelihood of its whole label, and that no digit
//! follows it, since "1" begins "10" too. Normalised over the labels these give the expected grade
//! (as in G-Eval, arXiv 2303.16634) and the likeliest (as in REST-PG, arXiv 2501.04167).
//!
//! Whatever the prompts of several answers begin with is read once, and the answers are read and
//! graded many in a batch.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::llama::{
    Append, CacheType, LlamaError, Message, Model, Role, Room, Session, Token, log_sum_exp, logit,
};
use crate::prompt::defuse;

/// The grades, as they are written and as numbers.
pub const LABELS: [(&str, f64); 5] = [("1", 1.0), ("3", 3.0), ("5", 5.0), ("7", 7.0), ("10", 10.0)];
/// The best grade.
const GRADE_MAX: f64 = 10.0;
const OPENING: &str = "Score:";

/// Answers that are read and graded together.
const ANSWERS_AT_ONCE: usize = 16;
/// Sizes of a context are rounded up to this, as llama.cpp does.
const CONTEXT_STEP_TOKENS: usize = 256;

/// Tags of the layout; broken inside the texts, so that none can step out of its block and praise
/// itself.
const TAGS: [&str; 8] = [
    "<request",
    "</request",
    "<written",
    "</written",
    "<passages",
    "</passages",
    "<answer",
    "</answer",
];

const SYSTEM: &str =
    "You grade texts, strictly and fairly. You answer with one number and nothing else.";
const WITH_REFERENCE: &str = "Grade the answer to a request by comparing it with the text that the \
    person really wrote for it.\n\
    1: it has nothing to do with the request\n\
    3: it touches the topic, and misses nearly all of what the person wrote\n\
    5: it has part of what the person wrote, with gaps or mistakes\n\
    7: it has most of what the person wrote, with small omissions\n\
    10: it says what the person wrote, correctly and completely";
const WITHOUT_REFERENCE: &str = "Grade the answer to a request. A good answer does what was asked, and \
    sounds as if the writer of the passages had written it.\n\
    1: it has nothing to do with the request\n\
    3: it touches the topic, and does not do what was asked\n\
    5: it does part of what was asked, or sounds like somebody else\n\
    7: it does what was asked, with small faults\n\
    10: it does what was asked, in the writer's own voice";

/// What answers are graded for.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The request.
    pub request: &'a str,
    /// What the person really wrote for it, where it is known.
    pub reference: Option<&'a str>,
    /// Passages of the person's writing; used where there is no reference.
    pub passages: &'a [String],
}

/// What a judge says of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The likelihood of each grade of [`LABELS`], summing to 1.
    pub likelihoods: [f64; LABELS.len()],
    /// The expected grade, as a part of the best one.
    pub expected: f64,
    /// The likeliest grade, as a part of the best one.
    pub likeliest: f64,
}

impl Verdict {
    fn of(log_likelihoods: [f64; LABELS.len()]) -> Self {
        let most = log_likelihoods.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights = log_likelihoods.map(|it| (it - most).exp());
        let sum: f64 = weights.iter().sum();
        let likelihoods = weights.map(|weight| weight / sum);
        let grades = LABELS.map(|(_, grade)| grade / GRADE_MAX);
        let pairs = || likelihoods.iter().zip(grades);
        let expected = pairs().map(|(likelihood, grade)| likelihood * grade).sum();
        let likeliest = pairs().max_by(|a, b| a.0.total_cmp(b.0)).map_or(0.0, |(_, grade)| grade);
        Self { likelihoods, expected, likeliest }
    }
}

/// A model with what it needs to grade.
#[derive(Debug)]
pub struct Judge<'model> {
    model: &'model Model,
    threads: u32,
    batch_tokens: u32,
    /// The tokens of each label after [`OPENING`].
    labels: [Vec<Token>; LABELS.len()],
    /// Every token that begins with a digit.
    digits: Vec<Token>,
    /// What was graded last: the next case begins alike, with the rubric at least.
    desk: Option<Desk<'model>>,
}

/// A session whose last sequence holds what the prompts of a case begin with.
#[derive(Debug)]
struct Desk<'model> {
    session: Session<'model>,
    shared: Vec<Token>,
}

impl<'model> Judge<'model> {
    /// A judge on a loaded model, reading `batch_tokens` at a time on `threads` threads.
    #[must_use]
    pub fn new(model: &'model Model, threads: u32, batch_tokens: u32) -> Self {
        let mut piece = Vec::new();
        let begins_with_digit = |token: &Token| {
            piece.clear();
            model.append_piece(*token, &mut piece);
            piece.first().is_some_and(u8::is_ascii_digit)
        };
        let n_vocab = i32::try_from(model.vocabulary_size()).unwrap_or(i32::MAX);
        let digits = (0..n_vocab).map(Token::new).filter(begins_with_digit).collect();
        let labels = LABELS.map(|(label, _)| model.tokenize(&format!(" {label}")));
        Self { model, threads, batch_tokens, labels, digits, desk: None }
    }

    /// Grades `answers`, in order; `None` where `interrupt` was set before all were graded.
    ///
    /// # Errors
    /// [`LlamaError`], above all [`LlamaError::ContextFull`] where the model was trained for less
    /// than the prompt takes.
    pub fn grade(
        &mut self,
        case: &Case<'_>,
        answers: &[&str],
        interrupt: &AtomicBool,
    ) -> Result<Option<Vec<Verdict>>, LlamaError> {
        let prompts: Vec<Vec<Token>> =
            answers.iter().map(|answer| self.prompt(case, answer)).collect();
        let n_shared = shared_beginning(&prompts);
        if prompts.is_empty() {
            return Ok(Some(Vec::new()));
        }
        if interrupt.load(Ordering::Relaxed) {
            return Ok(None);
        }
        // A desk that an error or an interruption left behind is not used again.
        let mut desk = self.set_up(&prompts, n_shared)?;
        let mut verdicts = Vec::with_capacity(answers.len());
        for some in prompts.chunks(ANSWERS_AT_ONCE) {
            if interrupt.load(Ordering::Relaxed) {
                return Ok(None);
            }
            verdicts.extend(self.grade_some(&mut desk.session, n_shared, some)?);
        }
        self.desk = Some(desk);
        Ok(Some(verdicts))
    }

    fn prompt(&self, case: &Case<'_>, answer: &str) -> Vec<Token> {
        let safe = |text: &str| defuse(text.trim(), &TAGS);
        let request = safe(case.request);
        let material = match case.reference {
            Some(reference) => format!(
                "{WITH_REFERENCE}\n\n<request>\n{request}\n</request>\n\n<written>\n{}\n</written>",
                safe(reference)
            ),
            None => format!(
                "{WITHOUT_REFERENCE}\n\n<passages>\n{}\n</passages>\n\n<request>\n{request}\n\
                 </request>",
                safe(&case.passages.join("\n\n"))
            ),
        };
        let answer = safe(answer);
        let messages = [
            Message { role: Role::System, text: SYSTEM.into() },
            Message {
                role: Role::User,
                text: format!("{material}\n\n<answer>\n{answer}\n</answer>"),
            },
        ];
        self.model.render(&messages, OPENING)
    }

    /// A session that holds what all prompts begin with, in its last sequence, and has room for the
    /// rest of as many as are graded at once. The one of the case before where it is large enough:
    /// what both begin with is not read again.
    fn set_up(
        &mut self,
        prompts: &[Vec<Token>],
        n_shared: usize,
    ) -> Result<Desk<'model>, LlamaError> {
        let room = self.room(prompts, n_shared)?;
        let is_roomy = |desk: &Desk<'_>| {
            desk.session.sequences() >= room.sequences as usize
                && desk.session.capacity() >= room.tokens as usize
        };
        let mut desk = match self.desk.take().filter(is_roomy) {
            Some(desk) => desk,
            None => Desk { session: self.model.session(room, self.threads)?, shared: Vec::new() },
        };
        let shared = &prompts[0][..n_shared];
        let n_alike = desk.shared.iter().zip(shared).take_while(|(a, b)| a == b).count();
        let last = desk.session.sequences() - 1;
        desk.session.truncate(last, n_alike)?;
        desk.session.extend(last, &shared[n_alike..], &mut |_| true)?;
        desk.shared = shared.to_vec();
        Ok(desk)
    }

    /// # Errors
    /// [`LlamaError::ContextFull`] where a prompt is longer than what the model was trained for.
    fn room(&self, prompts: &[Vec<Token>], n_shared: usize) -> Result<Room, LlamaError> {
        let n_sequences = prompts.len().min(ANSWERS_AT_ONCE);
        let label_tokens = self.labels.iter().map(Vec::len).max().unwrap_or(0);
        let own = |prompt: &Vec<Token>| prompt.len() - n_shared + label_tokens;
        let needed = |prompts: &[Vec<Token>]| prompts.iter().map(own).sum::<usize>();
        let own = prompts.chunks(ANSWERS_AT_ONCE).map(needed).max().unwrap_or(0);
        let tokens = (n_shared + own).next_multiple_of(CONTEXT_STEP_TOKENS);
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0) + label_tokens;
        let trained = self.model.context_tokens_trained();
        if longest > trained as usize {
            return Err(LlamaError::ContextFull { context_tokens: trained });
        }
        Ok(Room {
            tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
            sequences: u32::try_from(n_sequences + 1).unwrap_or(u32::MAX),
            batch_tokens: self.batch_tokens.max(u32::try_from(label_tokens).unwrap_or(u32::MAX)),
            cache: CacheType::default(),
        })
    }

    /// Grades as many answers as the session has sequences for.
    fn grade_some(
        &self,
        session: &mut Session<'_>,
        n_shared: usize,
        prompts: &[Vec<Token>],
    ) -> Result<Vec<Verdict>, LlamaError> {
        let shared = session.sequences() - 1;
        for sequence in 0..prompts.len() {
            session.share(shared, sequence)?;
        }
        let rests: Vec<&[Token]> = prompts.iter().map(|prompt| &prompt[n_shared..]).collect();
        // Of each answer, the log-likelihood of the first token of each label.
        let mut scores = vec![[0.0; LABELS.len()]; prompts.len()];
        read_together(session, &rests, &mut |answer, logits| {
            let all = log_sum_exp(logits);
            for (score, label) in scores[answer].iter_mut().zip(&self.labels) {
                *score = label.first().map_or(0.0, |&first| logit(logits, first) - all);
            }
        })?;
        for (place, label) in self.labels.iter().enumerate() {
            let appends: Vec<Append<'_>> = (0..prompts.len())
                .map(|sequence| Append { sequence, tokens: label, n_logits: label.len() })
                .collect();
            for some in appends.chunks((session.batch_tokens() / label.len().max(1)).max(1)) {
                session.step(some)?;
                for append in some {
                    let logits: Vec<&[f32]> = session.all_logits(append.sequence).collect();
                    scores[append.sequence][place] += self.rest_of_label(label, &logits);
                }
            }
            for (sequence, prompt) in prompts.iter().enumerate() {
                session.truncate(sequence, prompt.len())?;
            }
        }
        for sequence in 0..prompts.len() {
            session.truncate(sequence, 0)?;
        }
        Ok(scores.into_iter().map(Verdict::of).collect())
    }

    /// The log-likelihood of the tokens of a label after its first, and that no digit follows.
    fn rest_of_label(&self, label: &[Token], logits: &[&[f32]]) -> f64 {
        let Some((last, others)) = logits.split_last() else { return 0.0 };
        let following = label.iter().skip(1);
        let rest = others.iter().zip(following);
        let rest: f64 = rest.map(|(row, &next)| logit(row, next) - log_sum_exp(row)).sum();
        let all = log_sum_exp(last);
        let a_digit: f64 = self.digits.iter().map(|&it| (logit(last, it) - all).exp()).sum();
        rest + (1.0 - a_digit).max(f64::MIN_POSITIVE).ln()
    }
}

/// How many tokens all prompts begin with; each keeps at least one of its own.
fn shared_beginning(prompts: &[Vec<Token>]) -> usize {
    let Some((first, others)) = prompts.split_first() else { return 0 };
    let alike = |other: &Vec<Token>| first.iter().zip(other).take_while(|(a, b)| a == b).count();
    let shortest = prompts.iter().map(Vec::len).min().unwrap_or(0);
    others.iter().map(alike).min().unwrap_or(usize::MAX).min(shortest.saturating_sub(1))
}

/// Appends its text to each sequence, from 0, several in a batch; `on_end` is told the sequence and
/// what the model expects after its last token.
fn read_together(
    session: &mut Session<'_>,
    texts: &[&[Token]],
    on_end: &mut dyn FnMut(usize, &[f32]),
) -> Result<(), LlamaError> {
    let mut left: Vec<(usize, &[Token])> = texts.iter().copied().enumerate().collect();
    while !left.is_empty() {
        let mut room = session.batch_tokens();
        let mut appends: Vec<Append<'_>> = Vec::new();
        for (sequence, tokens) in &mut left {
            let (now, later) = tokens.split_at(tokens.len().min(room));
            if now.is_empty() {
                break;
            }
            let n_logits = usize::from(later.is_empty());
            appends.push(Append { sequence: *sequence, tokens: now, n_logits });
            (room, *tokens) = (room - now.len(), later);
        }
        session.step(&appends)?;
        for append in appends.iter().filter(|append| append.n_logits > 0) {
            if let Some(logits) = session.logits(append.sequence) {
                on_end(append.sequence, logits);
            }
        }
        left.retain(|(_, tokens)| !tokens.is_empty());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(ids: &[i32]) -> Vec<Token> {
        ids.iter().copied().map(Token::new).collect()
    }

    #[test]
    fn a_verdict_is_the_mean_over_the_grades() {
        let verdict = Verdict::of([0.0, f64::NEG_INFINITY, f64::NEG_INFINITY, 0.0, -1e9]);
        assert_eq!(verdict.likelihoods, [0.5, 0.0, 0.0, 0.5, 0.0]);
        assert!((verdict.expected - 0.4).abs() < 1e-12);
        let verdict = Verdict::of([-3.0, -2.0, -1.0, -2.0, -3.0]);
        assert_eq!(verdict.likeliest, 0.5);
        assert!((verdict.likelihoods.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn every_prompt_keeps_a_token_of_its_own() {
        assert_eq!(shared_beginning(&[tokens(&[1, 2, 3, 4]), tokens(&[1, 2, 5])]), 2);
        assert_eq!(shared_beginning(&[tokens(&[1, 2, 3]), tokens(&[1, 2, 3])]), 2);
        assert_eq!(shared_beginning(&[tokens(&[1, 2, 3])]), 2);
        assert_eq!(shared_beginning(&[]), 0);
    }
}
