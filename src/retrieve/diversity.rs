//! Passages that repeat each other make room: maximal marginal relevance (Carbonell, Goldstein,
//! SIGIR 1998).

use std::collections::HashSet;

use unicode_segmentation::UnicodeSegmentation;

use super::Found;
use super::dense::dot;
use crate::profile::Vectors;

/// Chooses `k` of `found`, which are sorted by score, best first: each time the one whose score,
/// less `diversity` times its likeness to what is chosen already, is highest. Scores are brought
/// to 0…1 over the candidates first, so that both are of one size. 0 takes the best ones as they
/// are.
pub(super) fn choose(
    found: Vec<Found>,
    vectors: Option<&Vectors>,
    diversity: f64,
    k: usize,
) -> Vec<Found> {
    if diversity <= 0.0 || found.len() <= 1 {
        return found.into_iter().take(k).collect();
    }
    let scores = scaled(&found);
    let likeness = Likeness::new(&found, vectors);
    let mut repetition = vec![0.0_f64; found.len()];
    let mut left: Vec<usize> = (0..found.len()).collect();
    let mut chosen = Vec::new();
    while chosen.len() < k && !left.is_empty() {
        let value =
            |index: usize| (1.0 - diversity) * scores[index] - diversity * repetition[index];
        let mut best = 0;
        for place in 1..left.len() {
            // Of equal ones the better ranked stays.
            if value(left[place]) > value(left[best]) {
                best = place;
            }
        }
        let index = left.remove(best);
        for &other in &left {
            repetition[other] = repetition[other].max(likeness.of(index, other));
        }
        chosen.push(index);
    }
    let mut found: Vec<Option<Found>> = found.into_iter().map(Some).collect();
    chosen
        .into_iter()
        .filter_map(|index| {
            let mut found = found[index].take()?;
            found.parts.repetition = diversity * repetition[index];
            Some(found)
        })
        .collect()
}

fn scaled(found: &[Found]) -> Vec<f64> {
    let scores = || found.iter().map(|found| found.hit.score);
    let (least, most) = scores().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), it| {
        (least.min(it), most.max(it))
    });
    let range = (most - least).max(f64::MIN_POSITIVE);
    scores().map(|score| (score - least) / range).collect()
}

/// How alike two passages are, 0 to 1: by their vectors, else by the words they share.
enum Likeness<'a> {
    Vectors(Vec<&'a [numkong::f16]>),
    Words(Vec<HashSet<String>>),
}

impl<'a> Likeness<'a> {
    fn new(found: &[Found], vectors: Option<&'a Vectors>) -> Self {
        let rows = vectors.and_then(|vectors| {
            found.iter().map(|found| vectors.row_of(found.hit.chunk)).collect::<Option<Vec<_>>>()
        });
        match rows {
            Some(rows) => Self::Vectors(rows),
            None => {
                let words = |text: &str| text.unicode_words().map(str::to_lowercase).collect();
                Self::Words(found.iter().map(|found| words(&found.hit.text)).collect())
            }
        }
    }

    fn of(&self, a: usize, b: usize) -> f64 {
        match self {
            Self::Vectors(rows) => f64::from(dot(rows[a], rows[b])).clamp(0.0, 1.0),
            Self::Words(words) => {
                let shared = words[a].intersection(&words[b]).count() as f64;
                let all = (words[a].len() + words[b].len()) as f64 - shared;
                if all > 0.0 { shared / all } else { 0.0 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Hit;
    use crate::retrieve::Parts;

    fn found(chunk: i64, score: f64, text: &str) -> Found {
        let hit = Hit { chunk, score, text: text.into(), ..Hit::default() };
        Found { hit, parts: Parts::default() }
    }

    fn order(diversity: f64) -> Vec<i64> {
        let candidates = vec![
            found(1, 1.0, "the shed door is mended"),
            found(2, 0.95, "the shed door is mended now"),
            found(3, 0.7, "bring gloves on saturday"),
            found(4, 0.1, "nothing to do with it"),
        ];
        let chosen = choose(candidates, None, diversity, 3);
        chosen.into_iter().map(|found| found.hit.chunk).collect()
    }

    #[test]
    fn a_repetition_comes_after_something_new() {
        assert_eq!(order(0.0), [1, 2, 3]);
        assert_eq!(order(0.5), [1, 3, 2]);
    }
}
