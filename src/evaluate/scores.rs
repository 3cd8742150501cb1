//! Every measure of one draft beside what the person wrote.

use serde::Serialize;

use super::{AspectJudge, Aspects, Authors};
use crate::error::Error;
use crate::llama::Model;
use crate::metrics::{StyleProfile, chrf, cosine};
use crate::retrieve::Embed;
use crate::reward::{Case, Judge, style_score};
use crate::selftrain::{Drafted, Figures, Item, TrainError, Workshop};

/// What one draft is worth.
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
    /// Whether it sounds like this person rather than like another of the task.
    pub own_author: Option<bool>,
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
    /// What lists points, where that is wanted.
    pub aspects: Option<&'s AspectJudge<'s>>,
}

impl Scorer<'_> {
    /// The scores of a draft of each item.
    ///
    /// # Errors
    /// A model's.
    pub fn scores(
        &self,
        workshop: &Workshop<'_>,
        items: &[Item],
        drafts: &[Drafted],
    ) -> Result<Vec<Scores>, Error> {
        let batch_tokens = workshop.config.model.batch_tokens;
        let mut judge = self.judge.map(|model| Judge::new(model, workshop.threads, batch_tokens));
        let mut all = Vec::with_capacity(items.len());
        for (item, draft) in items.iter().zip(drafts) {
            let mut scores = self.score(item, &draft.answer)?;
            if let Some(judge) = &mut judge {
                let reference = Some(item.output.as_str());
                let case = Case { request: &item.request, reference, passages: &[] };
                let grades = judge.grade(&case, &[&draft.answer], workshop.interrupt)?;
                let grades = grades.ok_or(TrainError::Stopped)?;
                let grade = grades.first().copied();
                scores.judge = grade.map(|grade| grade.expected);
                scores.judge_likeliest = grade.map(|grade| grade.likeliest);
            }
            let aspects = self.aspects.map(|it| it.aspects(workshop, item, &draft.answer));
            scores.aspects = aspects.transpose()?.flatten();
            all.push(scores);
        }
        Ok(all)
    }

    fn score(&self, item: &Item, answer: &str) -> Result<Scores, Error> {
        let figures = Figures::of(answer, item);
        let style = self.styles.get(item.writer).and_then(Option::as_ref);
        let peers = self.peers.get(item.writer);
        let nearest = self.authors.zip(peers).map(|(all, peers)| all.nearest(answer, peers));
        Ok(Scores {
            figures,
            quality: figures.quality(),
            chrf: chrf(answer, &item.output),
            similarity: self.similarity(answer, &item.output)?,
            style: style.and_then(|style| style.distance(answer)).map(style_score),
            judge: None,
            judge_likeliest: None,
            aspects: None,
            own_author: nearest.map(|nearest| nearest == Some(item.writer)),
        })
    }

    fn similarity(&self, answer: &str, output: &str) -> Result<Option<f64>, Error> {
        let Some(embedder) = self.embedder else { return Ok(None) };
        let vectors = embedder.passages(&[answer, output])?;
        Ok(match vectors.as_slice() {
            [a, b] => Some(cosine(a, b)),
            _ => None,
        })
    }
}
