//! What a draft is worth in training: it is compared with what the person really wrote.

use super::Item;
use super::workshop::Workshop;
use crate::error::Error;
use crate::llama::Model;
use crate::metrics::{chrf, cosine, length_ratio};
use crate::retrieve::Embed;
use crate::reward::{
    Case, Judge, Parts, Verdict, copied_beyond, length_score, similarity_score, style_score,
};

/// The kind of error that is no fault of a run's: a text is longer than the model can read.
const NO_ROOM: &str = "context_full";

/// Grades the drafts of a run.
pub struct Grader<'w, 'a> {
    workshop: &'w Workshop<'a>,
    judge: Option<Judge<'w>>,
}

impl<'w, 'a> Grader<'w, 'a> {
    /// A grader; `judge` is the model that grades, where one counts.
    pub fn new(workshop: &'w Workshop<'a>, judge: Option<&'w Model>) -> Self {
        let batch_tokens = workshop.config.model.batch_tokens;
        let judge = judge.map(|model| Judge::new(model, workshop.threads, batch_tokens));
        Self { workshop, judge }
    }

    /// What the reward of each of `answers` for `item` is made of.
    ///
    /// # Errors
    /// [`super::TrainError::Stopped`] or a model's.
    pub fn parts(&mut self, item: &Item, answers: &[&str]) -> Result<Vec<Parts>, Error> {
        let grades = self.grades(item, answers)?;
        let embedder = self.workshop.embedder;
        let likeness = embedder.map(|it| likeness(it, &item.output, answers)).transpose()?;
        let style = self.workshop.styles.get(item.writer).and_then(Option::as_ref);
        let parts = |(place, answer): (usize, &&str)| {
            let distance = style.and_then(|style| style.distance(answer));
            Parts {
                judge: grades.as_ref().map(|grades| grades[place]),
                style: distance.map(style_score),
                originality: Some(1.0 - copied_beyond(&item.output, answer, item.passage_texts())),
                agreement: None,
                similarity: likeness.as_ref().map(|likeness| similarity_score(likeness[place])),
                overlap: Some(chrf(answer, &item.output)),
                length: Some(length_score(length_ratio(answer, &item.output))),
            }
        };
        Ok(answers.iter().enumerate().map(parts).collect())
    }

    fn grades(&mut self, item: &Item, answers: &[&str]) -> Result<Option<Vec<f64>>, Error> {
        let Some(judge) = &mut self.judge else { return Ok(None) };
        // Without its grades the other parts count.
        let verdicts = if_room(verdicts(self.workshop, judge, item, answers))?;
        Ok(verdicts.map(|all| all.iter().map(|verdict| verdict.expected).collect()))
    }
}

/// What a judge says of each of `answers` for `item`, with the person's text beside it.
///
/// # Errors
/// [`super::TrainError::Stopped`] or the model's.
pub fn verdicts(
    workshop: &Workshop<'_>,
    judge: &mut Judge<'_>,
    item: &Item,
    answers: &[&str],
) -> Result<Vec<Verdict>, Error> {
    let case = Case { request: &item.request, reference: Some(&item.output), passages: &[] };
    let verdicts = judge.grade(&case, answers, workshop.interrupt)?;
    Ok(verdicts.ok_or(super::TrainError::Stopped)?)
}

/// What a model said of a text; `None` where it has no room for that text, which is no reason to end.
///
/// # Errors
/// Every other one.
pub fn if_room<T>(said: Result<T, Error>) -> Result<Option<T>, Error> {
    match said {
        Err(error) if error.inner().kind() == NO_ROOM => Ok(None),
        other => other.map(Some),
    }
}

/// The cosine of each answer's meaning and that of `output`.
///
/// # Errors
/// The embedding model's.
pub fn likeness(embedder: &dyn Embed, output: &str, answers: &[&str]) -> Result<Vec<f64>, Error> {
    let mut texts = vec![output];
    texts.extend(answers);
    let vectors = embedder.passages(&texts)?;
    // A vector for each text.
    let (wanted, found) = (&vectors[0], &vectors[1..]);
    Ok(found.iter().map(|vector| cosine(wanted, vector)).collect())
}
