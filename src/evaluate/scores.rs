//! Every measure of drafts beside what the person wrote.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{AspectJudge, Aspects, Authors};
use crate::error::Error;
use crate::llama::Model;
use crate::metrics::{StyleProfile, chrf};
use crate::retrieve::Embed;
use crate::reward::{Judge, Verdict, style_score};
use crate::selftrain::{
    Drafted, Figures, Item, Journal, Progress, Workshop, if_room, likeness, verdicts,
};
use crate::statistics::{mean, mean_of};

const KEY_BYTES: usize = 12;

/// What a draft is worth, or several drafts of one request on average.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Scores {
    /// What it says, and how it is written.
    #[serde(flatten)]
    pub figures: Figures,
    /// The mean of ROUGE-1, ROUGE-L and METEOR.
    pub quality: f64,
    /// Characters in common.
    pub chrf: f64,
    /// The cosine of the meanings.
    pub similarity: Option<f64>,
    /// How near the style is to the person's, from 0 to 1.
    pub style: Option<f64>,
    /// The judge's expected grade.
    pub judge: Option<f64>,
    /// The judge's likeliest grade.
    pub judge_likeliest: Option<f64>,
    /// How its points and the person's go together.
    pub aspects: Option<Aspects>,
    /// The share of drafts that sound like this person rather than like another of the task.
    pub own_author: Option<f64>,
}

impl Scores {
    /// The means of `all`; of the points themselves, which are no numbers, those of the first.
    fn mean_of(all: &[Self]) -> Self {
        let mean_of_some = |of: fn(&Self) -> Option<f64>| {
            let there: Vec<f64> = all.iter().filter_map(of).collect();
            (!there.is_empty()).then(|| mean(&there))
        };
        Self {
            figures: Figures::mean_of(&all.iter().map(|it| it.figures).collect::<Vec<_>>()),
            quality: mean_of(all, |it| it.quality),
            chrf: mean_of(all, |it| it.chrf),
            similarity: mean_of_some(|it| it.similarity),
            style: mean_of_some(|it| it.style),
            judge: mean_of_some(|it| it.judge),
            judge_likeliest: mean_of_some(|it| it.judge_likeliest),
            aspects: Aspects::mean_of(all.iter().filter_map(|it| it.aspects.as_ref())),
            own_author: mean_of_some(|it| it.own_author),
        }
    }
}

/// Who scores.
pub struct Scorer<'s> {
    /// What makes vectors of texts.
    pub embedder: Option<&'s dyn Embed>,
    /// The people's styles.
    pub styles: &'s [Option<StyleProfile>],
    /// The people by their n-grams.
    pub authors: Option<&'s Authors>,
    /// Of each person, the people of the same task.
    pub peers: &'s [Vec<usize>],
    /// The model that judges: one that no reward used.
    pub judge: Option<&'s Model>,
    /// The hash of its file.
    pub judge_sha256: &'s str,
    /// What lists points, where that is wanted.
    pub aspects: Option<&'s AspectJudge<'s>>,
}

impl Scorer<'_> {
    /// The scores of the drafts of each item. What a model has to say of them is kept in the journal, and
    /// left out where it has no room for them.
    ///
    /// # Errors
    /// A model's or the store's.
    pub fn scores(
        &self,
        workshop: &Workshop<'_>,
        journal: &mut Journal<'_>,
        items: &[Item],
        drafts: &[Vec<Drafted>],
    ) -> Result<Vec<Scores>, Error> {
        let batch_tokens = workshop.config.model.batch_tokens;
        let mut judge = self.judge.map(|model| Judge::new(model, workshop.threads, batch_tokens));
        let mut all = Vec::with_capacity(items.len());
        let mut ungraded = 0;
        for (item, drafts) in items.iter().zip(drafts) {
            let answers: Vec<&str> = drafts.iter().map(|draft| draft.answer.as_str()).collect();
            let mut scores: Vec<Scores> =
                answers.iter().map(|answer| self.score(item, answer)).collect();
            let alike = self.embedder.map(|it| likeness(it, &item.output, &answers)).transpose()?;
            for (scores, alike) in scores.iter_mut().zip(alike.into_iter().flatten()) {
                scores.similarity = Some(alike);
            }
            if let Some(judge) = &mut judge {
                let grades = self.grades(workshop, journal, judge, item, &answers)?;
                ungraded += usize::from(grades.is_none());
                for (scores, grade) in scores.iter_mut().zip(grades.into_iter().flatten()) {
                    scores.judge = Some(grade.expected);
                    scores.judge_likeliest = Some(grade.likeliest);
                }
            }
            if let Some(judge) = self.aspects {
                for (scores, answer) in scores.iter_mut().zip(&answers) {
                    scores.aspects = self.aspects(workshop, journal, judge, item, answer)?;
                }
            }
            all.push(Scores::mean_of(&scores));
        }
        if ungraded > 0 {
            let text = format!("the judge has no room for {ungraded} of {} texts", items.len());
            (workshop.tell)(Progress::Note(text));
        }
        Ok(all)
    }

    /// What the judge says of each draft; `None` where it has no room for one of them.
    fn grades(
        &self,
        workshop: &Workshop<'_>,
        journal: &mut Journal<'_>,
        judge: &mut Judge<'_>,
        item: &Item,
        answers: &[&str],
    ) -> Result<Option<Vec<Verdict>>, Error> {
        let stage = format!("verdicts {}", self.judge_sha256);
        let key = key(item, answers);
        if let Some(known) = journal.get(&stage, &key)? {
            return Ok(known);
        }
        workshop.go_on()?;
        let grades = if_room(verdicts(workshop, judge, item, answers))?;
        journal.keep(&stage, &key, &grades)?;
        Ok(grades)
    }

    /// How the points of a draft and those of the person go together; `None` where the model finds none
    /// in the person's text, or has no room for one of the two.
    fn aspects(
        &self,
        workshop: &Workshop<'_>,
        journal: &mut Journal<'_>,
        judge: &AspectJudge<'_>,
        item: &Item,
        answer: &str,
    ) -> Result<Option<Aspects>, Error> {
        let stage = format!("aspects {}", self.judge_sha256);
        let key = key(item, &[answer]);
        if let Some(known) = journal.get(&stage, &key)? {
            return Ok(known);
        }
        workshop.go_on()?;
        let aspects = if_room(judge.aspects(workshop, item, answer))?.flatten();
        journal.keep(&stage, &key, &aspects)?;
        Ok(aspects)
    }

    /// What needs no model.
    fn score(&self, item: &Item, answer: &str) -> Scores {
        let figures = Figures::of(answer, item);
        let style = self.styles.get(item.writer).and_then(Option::as_ref);
        // One who is alone is everybody's nearest.
        let peers = self.peers.get(item.writer).filter(|peers| peers.len() > 1);
        let nearest = self.authors.zip(peers).map(|(all, peers)| all.nearest(answer, peers));
        Scores {
            figures,
            quality: figures.quality(),
            chrf: chrf(answer, &item.output),
            similarity: None,
            // What says nothing is in nobody's style.
            style: style.map(|style| style.distance(answer).map_or(0.0, style_score)),
            judge: None,
            judge_likeliest: None,
            aspects: None,
            own_author: nearest.map(|nearest| f64::from(u8::from(nearest == Some(item.writer)))),
        }
    }
}

/// What drafts of an item are called in the journal: whoever wrote them, they are worth the same.
fn key(item: &Item, answers: &[&str]) -> String {
    let mut hash = Sha256::new();
    for answer in answers {
        hash.update((answer.len() as u64).to_le_bytes());
        hash.update(answer);
    }
    format!("{} {}", item.key, hex::encode(&hash.finalize()[..KEY_BYTES]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_every_draft_and_of_those_that_have_a_measure() {
        let of = |quality: f64, style: Option<f64>, own_author: f64| Scores {
            quality,
            style,
            own_author: Some(own_author),
            ..Scores::default()
        };
        let mean = Scores::mean_of(&[of(0.2, None, 1.0), of(0.4, Some(0.5), 0.0)]);
        assert!((mean.quality - 0.3).abs() < 1e-12);
        assert_eq!((mean.style, mean.own_author, mean.judge), (Some(0.5), Some(0.5), None));
        assert_eq!(mean.aspects, None);
    }
}
