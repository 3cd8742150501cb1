//! Aspect by aspect, after ExPerT (ACL Findings 2025): the points that a draft makes and those that
//! the person made, as a judging model lists them, matched both ways by what they mean.
//!
//! ExPerT has a model match the points, and grade the style of each pair; here an embedding model
//! matches them, and style is measured by itself. What it comes to is no better than the model that
//! lists the points.

use std::cell::RefCell;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::generate::Order;
use crate::llama::{LlamaError, Model, Sampling};
use crate::metrics::{cosine, words};
use crate::prompt::Prompt;
use crate::retrieve::Embed;
use crate::selftrain::{Item, Workshop};
use crate::statistics::{mean, mean_of};

const SYSTEM: &str = "You list the points that a text makes.";
const INSTRUCTION: &str = "List the points that this text makes, in its order: a line each, in a few \
     words, six at most.";
const OPENING: &str = "-";
const POINTS_MAX: usize = 6;
const POINTS_TOKENS: u32 = 120;
const POINT_WORDS_MIN: usize = 2;
/// Points whose meanings are less alike are about different things.
const ALIKE_MIN: f64 = 0.4;

/// A point of the person's, and the one of the draft that says it too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matched {
    /// What the person said.
    pub person: String,
    /// What the draft says of it; `None` where it leaves that out.
    pub draft: Option<String>,
    /// How alike the two are, from 0 to 1.
    pub likeness: f64,
}

/// How the points of a draft and those of the person go together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Aspects {
    /// How much of what the draft says the person said.
    pub precision: f64,
    /// How much of what the person said the draft says.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
    /// The person's points, in their order.
    pub points: Vec<Matched>,
    /// What only the draft says.
    pub added: Vec<String>,
}

impl Aspects {
    /// The means of `all`, with the points of the first; `None` of none.
    pub(super) fn mean_of<'a>(all: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let all: Vec<&Self> = all.collect();
        let first = (*all.first()?).clone();
        Some(Self {
            precision: mean_of(&all, |it| it.precision),
            recall: mean_of(&all, |it| it.recall),
            f1: mean_of(&all, |it| it.f1),
            ..first
        })
    }
}

/// Lists points, and matches them.
pub struct AspectJudge<'a> {
    model: &'a Model,
    embedder: &'a dyn Embed,
    /// The points of the persons' texts, by the keys of their requests.
    known: RefCell<HashMap<String, Vec<String>>>,
}

impl<'a> AspectJudge<'a> {
    /// With a model that lists points, and one that knows what they mean.
    #[must_use]
    pub fn new(model: &'a Model, embedder: &'a dyn Embed) -> Self {
        Self { model, embedder, known: RefCell::new(HashMap::new()) }
    }

    /// The points of `answer` beside those of what the person wrote for `item`; `None` where the
    /// model finds none in that.
    ///
    /// # Errors
    /// [`crate::selftrain::TrainError::Stopped`] or a model's: [`LlamaError::ContextFull`] where it has no
    /// room for a text.
    pub fn aspects(
        &self,
        workshop: &Workshop<'_>,
        item: &Item,
        answer: &str,
    ) -> Result<Option<Aspects>, Error> {
        let known = self.known.borrow().get(&item.key).cloned();
        let of_person = match known {
            Some(points) => points,
            None => {
                let points = self.points(workshop, &item.output)?;
                self.known.borrow_mut().insert(item.key.clone(), points.clone());
                points
            }
        };
        if of_person.is_empty() {
            return Ok(None);
        }
        let of_draft = self.points(workshop, answer)?;
        let vectors = |points: &[String]| -> Result<Vec<Vec<f32>>, Error> {
            let texts: Vec<&str> = points.iter().map(String::as_str).collect();
            if texts.is_empty() { Ok(Vec::new()) } else { self.embedder.passages(&texts) }
        };
        let (persons, drafts) = (vectors(&of_person)?, vectors(&of_draft)?);
        let likeness: Vec<Vec<f64>> = persons
            .iter()
            .map(|person| drafts.iter().map(|draft| cosine(person, draft)).collect())
            .collect();
        Ok(Some(matched(&of_person, &of_draft, &likeness)))
    }

    fn points(&self, workshop: &Workshop<'_>, text: &str) -> Result<Vec<String>, Error> {
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let prompt = Prompt::about(text.trim(), SYSTEM, INSTRUCTION, OPENING);
        let read = self.model.render(&prompt.messages, &prompt.opening).len();
        let context_tokens = self.model.context_tokens_trained();
        if read + POINTS_TOKENS as usize > context_tokens as usize {
            return Err(LlamaError::ContextFull { context_tokens }.into());
        }
        let mut request = workshop.bare_request(POINTS_TOKENS, 0.0, 1.0);
        // A list is the same whatever the systems that are tried sample with.
        request.sampling =
            Sampling { repeat_penalty: 1.0, dry_multiplier: 0.0, ..request.sampling };
        let order = Order { prompt: &prompt, notes: None, seeds: vec![0] };
        let drafts = workshop.sample(self.model, &request, &[order])?;
        let listed = drafts.into_iter().flatten().next().unwrap_or_default();
        Ok(points(&listed.answer, listed.cut_off))
    }
}

/// The points of a list, each once; without the last of several where the list was cut off.
fn points(list: &str, cut_off: bool) -> Vec<String> {
    let mut lines: Vec<&str> = list.lines().collect();
    if cut_off && lines.len() > 1 {
        lines.pop();
    }
    let mut points: Vec<String> = Vec::new();
    for line in lines {
        let point = unmarked(line).to_owned();
        if words(&point).len() >= POINT_WORDS_MIN && !points.contains(&point) {
            points.push(point);
        }
    }
    points.truncate(POINTS_MAX);
    points
}

/// A line without its bullet, or its number with a dot or a bracket.
fn unmarked(line: &str) -> &str {
    let line = line.trim().trim_start_matches(['-', '*', '•']).trim_start();
    let rest = line.trim_start_matches(|char: char| char.is_ascii_digit());
    match rest.strip_prefix(['.', ')']) {
        Some(point) if rest.len() < line.len() => point.trim_start(),
        _ => line,
    }
}

/// The points of both sides by how alike they are: a row for each of the person's.
fn matched(of_person: &[String], of_draft: &[String], likeness: &[Vec<f64>]) -> Aspects {
    let counted = |value: f64| if value >= ALIKE_MIN { value.min(1.0) } else { 0.0 };
    let best_draft = |row: &Vec<f64>| -> Option<(usize, f64)> {
        let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]))?;
        Some((best, counted(row[best]))).filter(|(_, likeness)| *likeness > 0.0)
    };
    let points: Vec<Matched> = of_person
        .iter()
        .zip(likeness)
        .map(|(person, row)| {
            let best = best_draft(row);
            Matched {
                person: person.clone(),
                draft: best.map(|(place, _)| of_draft[place].clone()),
                likeness: best.map_or(0.0, |(_, likeness)| likeness),
            }
        })
        .collect();
    let best_person =
        |place: usize| counted(likeness.iter().map(|row| row[place]).fold(0.0, f64::max));
    let of_drafts: Vec<f64> = (0..of_draft.len()).map(best_person).collect();
    let of_persons: Vec<f64> = points.iter().map(|point| point.likeness).collect();
    let part = |values: &[f64]| if values.is_empty() { 0.0 } else { mean(values) };
    let (precision, recall) = (part(&of_drafts), part(&of_persons));
    let sum = precision + recall;
    let alone = of_draft.iter().zip(&of_drafts).filter(|(_, likeness)| **likeness <= 0.0);
    Aspects {
        precision,
        recall,
        f1: if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 },
        points,
        added: alone.map(|(point, _)| point.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_with_any_marks_and_without_repetitions() {
        let list = " the shed door\n2. who has the key\n* who has the key\n- \nso\n- 3 chairs are";
        assert_eq!(points(list, false), ["the shed door", "who has the key", "3 chairs are"]);
        assert_eq!(points(list, true), ["the shed door", "who has the key"]);
        assert_eq!(points("the shed", true), ["the shed"]);
        assert!(points("", true).is_empty());
    }

    #[test]
    fn what_is_said_by_both_counts_both_ways() {
        let person = ["the shed", "the key"].map(str::to_owned);
        let draft = ["a shed", "the weather", "thanks all"].map(str::to_owned);
        let likeness = [vec![0.8, 0.1, 0.0], vec![0.2, 0.3, 0.1]];
        let found = matched(&person, &draft, &likeness);
        assert!((found.recall - 0.4).abs() < 1e-12);
        assert!((found.precision - 0.8 / 3.0).abs() < 1e-12);
        assert!((found.f1 - 0.32).abs() < 1e-12);
        assert_eq!(found.points[0].draft.as_deref(), Some("a shed"));
        assert_eq!((found.points[1].draft.as_deref(), found.points[1].likeness), (None, 0.0));
        assert_eq!(found.added, ["the weather", "thanks all"]);
    }

    #[test]
    fn nothing_said_is_nothing_matched() {
        let said = ["the shed".to_owned()];
        assert_eq!(matched(&said, &[], &[Vec::new()]).f1, 0.0);
        assert_eq!(matched(&[], &said, &[]).f1, 0.0);
    }
}
