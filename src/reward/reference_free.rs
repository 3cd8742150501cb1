//! What drafts of one request are worth where nobody knows what the person would have written.
//!
//! The other drafts stand in for that: a draft that has much in common with them is near the middle of
//! what the model would say, and seldom far off (minimum Bayes risk decoding: Kumar and Byrne 2004;
//! Eikema and Aziz, arXiv 2108.04718). With fewer than three drafts there is no middle.

use rayon::prelude::*;

use super::{Parts, copied, style_score};
use crate::metrics::{StyleProfile, chrf};

/// Drafts that have a middle, at least.
const AGREEING_MIN: usize = 3;

/// What the score of each of `answers` is made of, but for a judge's grade.
#[must_use]
pub fn reference_free_parts(
    answers: &[&str],
    style: Option<&StyleProfile>,
    passages: &[&str],
) -> Vec<Parts> {
    let of = |place: usize| Parts {
        style: style.and_then(|style| style.distance(answers[place])).map(style_score),
        originality: (!passages.is_empty())
            .then(|| 1.0 - copied(answers[place], passages.iter().copied())),
        agreement: (answers.len() >= AGREEING_MIN).then(|| agreement(answers, place)),
        ..Parts::default()
    };
    (0..answers.len()).into_par_iter().map(of).collect()
}

/// How much of the wording of the other answers the one at `place` has: the mean chrF.
fn agreement(answers: &[&str], place: usize) -> f64 {
    let others = answers.iter().enumerate().filter(|&(other, _)| other != place);
    let sum: f64 = others.map(|(_, other)| chrf(answers[place], other)).sum();
    sum / (answers.len() - 1) as f64
}

/// The place of the draft that is chosen, of each of which it is known whether it came to its end by
/// itself, and its score: one that did before one that did not; of equal ones the first.
#[must_use]
pub fn place_of_best(drafts: &[(bool, f64)]) -> Option<usize> {
    let order = |&a: &usize, &b: &usize| {
        let ((is_whole, score), (other_is_whole, other_score)) = (drafts[a], drafts[b]);
        is_whole.cmp(&other_is_whole).then(score.total_cmp(&other_score))
    };
    (0..drafts.len()).rev().max_by(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_draft_is_chosen_before_a_better_one_and_the_first_of_equal_ones() {
        assert_eq!(place_of_best(&[]), None);
        assert_eq!(place_of_best(&[(false, 0.9), (true, 0.2), (true, 0.3), (true, 0.3)]), Some(2));
        assert_eq!(place_of_best(&[(false, 0.1), (false, 0.4)]), Some(1));
    }

    #[test]
    fn the_odd_one_out_agrees_least() {
        let answers = [
            "The shed is shut on Sunday.",
            "Barrels of eels went by!",
            "On Sunday the shed will be shut.",
        ];
        let found: Vec<f64> = reference_free_parts(&answers, None, &[])
            .iter()
            .map(|it| it.agreement.unwrap())
            .collect();
        assert!(found[1] < found[0] && found[1] < found[2], "{found:?}");
    }

    #[test]
    fn two_drafts_have_no_middle_and_no_passages_no_copies() {
        let parts = reference_free_parts(&["one", "another"], None, &[]);
        assert_eq!(parts, [Parts::default(), Parts::default()]);
        let parts = reference_free_parts(
            &["one two three four five six"],
            None,
            &["one two three four five six"],
        );
        assert_eq!(parts[0].originality, Some(0.0));
    }
}
