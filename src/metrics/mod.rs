//! How near a text comes to another, or to a person's style: pure functions of texts.
//!
//! ROUGE, METEOR and chrF give what the field's own programs give (rouge_score, NLTK, sacrebleu;
//! the tests hold them to that). The style distance is our own. No metric here knows a model; the
//! likeness of two texts by meaning is the cosine of the vectors that the caller brings.

mod chrf;
mod meteor;
mod ngrams;
mod porter;
mod rouge;
mod style;
mod words;

pub use chrf::chrf;
pub use meteor::meteor;
pub use rouge::{Overlap, Rouge, rouge};
pub use style::{StyleProfile, is_function_word};
pub use words::words;

/// Words of `text` for each word of `reference`; 0 where the reference has none.
#[must_use]
pub fn length_ratio(text: &str, reference: &str) -> f64 {
    let (n_text, n_reference) = (words(text).len(), words(reference).len());
    if n_reference == 0 { 0.0 } else { n_text as f64 / n_reference as f64 }
}

/// The cosine of two vectors of one length; 0 where one has no direction.
#[must_use]
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let norm = (dot(a, a) * dot(b, b)).sqrt();
    if norm > 0.0 { dot(a, b) / norm } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_twice_as_long_has_ratio_two() {
        assert_eq!(length_ratio("one two three four", "Ein Text."), 2.0);
        assert_eq!(length_ratio("one", " .!"), 0.0);
    }

    #[test]
    fn the_cosine_does_not_see_lengths() {
        assert!((cosine(&[1.0, 2.0], &[2.0, 4.0]) - 1.0).abs() < 1e-12);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 3.0]), 0.0);
        assert_eq!(cosine(&[0.0, 0.0], &[0.0, 3.0]), 0.0);
    }
}
