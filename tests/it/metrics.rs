//! The metrics give what the field's own programs give; `tests/reference/metrics.py` asked them.

use restpg_edge::metrics::{Overlap, chrf, meteor, rouge};
use serde::Deserialize;

/// The reference is rounded to nine digits.
const TOLERANCE: f64 = 1e-8;

#[derive(Deserialize)]
struct Row {
    text: String,
    reference: String,
    /// Precision, recall, F1 of ROUGE-1, ROUGE-2, ROUGE-L.
    rouge: [[f64; 3]; 3],
    rouge_stemmed: [[f64; 3]; 3],
    /// Both texts as words with spaces between them.
    words: [String; 2],
    meteor: f64,
    chrf: f64,
}

fn rows() -> Vec<Row> {
    let lines = include_str!("../reference/metrics.jsonl").lines();
    let rows: Vec<Row> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 500);
    rows
}

fn assert_near(found: f64, expected: f64, what: &str, row: &Row) {
    assert!(
        (found - expected).abs() < TOLERANCE,
        "{what} is {found}, should be {expected}: {:?} against {:?}",
        row.text,
        row.reference
    );
}

#[test]
fn rouge_is_that_of_rouge_score() {
    for row in rows() {
        for (stemmed, expected) in [(false, &row.rouge), (true, &row.rouge_stemmed)] {
            let found = rouge(&row.text, &row.reference, stemmed);
            let found = [found.rouge_1, found.rouge_2, found.rouge_l];
            for (name, (found, expected)) in ["1", "2", "L"].iter().zip(found.iter().zip(expected))
            {
                let Overlap { precision, recall, f1 } = *found;
                for (part, (found, expected)) in ["precision", "recall", "F1"]
                    .iter()
                    .zip([precision, recall, f1].iter().zip(expected))
                {
                    let what = format!("{part} of ROUGE-{name}, stemmed {stemmed},");
                    assert_near(*found, *expected, &what, &row);
                }
            }
        }
    }
}

#[test]
fn meteor_is_that_of_nltk_without_synonyms() {
    for row in rows() {
        let [text, reference] = &row.words;
        assert_near(meteor(text, reference), row.meteor, "METEOR", &row);
    }
}

#[test]
fn chrf_is_that_of_sacrebleu() {
    for row in rows() {
        assert_near(chrf(&row.text, &row.reference), row.chrf, "chrF", &row);
    }
}
