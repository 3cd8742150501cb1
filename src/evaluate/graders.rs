//! Whether the judge and the metrics can tell texts apart: real people's texts against each other,
//! and against texts that only look like an answer.
//!
//! For a request there is what the person really wrote for it, something else that they wrote, and
//! what another person of the same task wrote. A grader is of use where it puts them in this order.
//! How it takes a truncated, a repeating, an empty text or the request itself shows its biases.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::Person;
use super::dataset::{next_other, sample};
use crate::error::Error;
use crate::llama::LlamaError;
use crate::metrics::{StyleProfile, chrf, cosine, meteor, rouge};
use crate::retrieve::Embed;
use crate::reward::{Case, Judge, Verdict};
use crate::statistics::{Interval, macro_mean, mean};

/// Who grades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grader {
    /// The judge's expected grade, with what the person wrote before it.
    JudgeReference,
    /// The judge's likeliest grade, likewise.
    JudgeReferenceLikeliest,
    /// The judge's expected grade, with passages of the person's before it.
    JudgePassages,
    /// ROUGE-1, F1.
    Rouge1,
    /// ROUGE-2, F1.
    Rouge2,
    /// ROUGE-L, F1.
    RougeL,
    /// METEOR.
    Meteor,
    /// chrF.
    Chrf,
    /// The cosine of the embeddings.
    Meaning,
    /// The style distance from the person's documents, negated; it sees no reference.
    Style,
}

/// What is graded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Text {
    /// What the person wrote for the request.
    True,
    /// Something else that the person wrote.
    OwnOther,
    /// What another person of the task wrote.
    OtherPerson,
    /// The first half of what the person wrote.
    Truncated,
    /// The first words of it, again and again.
    Repeated,
    /// The request.
    Echo,
    /// Nothing.
    Empty,
}

impl Text {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 7] = [
        Self::True,
        Self::OwnOther,
        Self::OtherPerson,
        Self::Truncated,
        Self::Repeated,
        Self::Echo,
        Self::Empty,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::OwnOther => "own-other",
            Self::OtherPerson => "other-person",
            Self::Truncated => "truncated",
            Self::Repeated => "repeated",
            Self::Echo => "echo",
            Self::Empty => "empty",
        }
    }
}

impl Grader {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::JudgeReference => "judge, reference",
            Self::JudgeReferenceLikeliest => "judge, reference, likeliest",
            Self::JudgePassages => "judge, passages",
            Self::Rouge1 => "ROUGE-1",
            Self::Rouge2 => "ROUGE-2",
            Self::RougeL => "ROUGE-L",
            Self::Meteor => "METEOR",
            Self::Chrf => "chrF",
            Self::Meaning => "meaning",
            Self::Style => "style",
        }
    }
}

/// Pairs of which the first should be graded higher.
pub const ORDERED: [(Text, Text); 3] = [
    (Text::True, Text::OwnOther),
    (Text::OwnOther, Text::OtherPerson),
    (Text::True, Text::OtherPerson),
];

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct GradersPlan {
    /// Queries of each task.
    pub queries_per_task: usize,
    /// Queries of each task that are left out before these.
    pub skipped_per_task: usize,
    /// Texts are cut to so many words.
    pub words_max: usize,
    /// Passages that a judge without a reference sees: the newest documents.
    pub k: usize,
}

/// How one grader orders and grades.
#[derive(Debug, Clone, Serialize)]
pub struct GraderRow {
    /// The grader.
    pub grader: Grader,
    /// How often the first of each pair of [`ORDERED`] is graded higher, ties counting half; the
    /// mean over tasks.
    pub order: [Interval; ORDERED.len()],
    /// The mean grade of each text; the mean over tasks.
    pub grades: BTreeMap<Text, f64>,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct GradersReport {
    /// How many queries of each task.
    pub queries: BTreeMap<String, usize>,
    /// Queries that the judge's context did not hold.
    pub left_out: usize,
    /// Each grader.
    pub graders: Vec<GraderRow>,
    /// Whether it was ended early.
    pub interrupted: bool,
}

/// The grades of one query: by grader and text.
type Grades = BTreeMap<Grader, BTreeMap<Text, f64>>;

/// Measures all graders on a fixed sample of the people's queries. `on_progress` is told queries
/// done and in all.
///
/// # Errors
/// Those of the models.
pub fn evaluate_graders(
    people: &[Person],
    judge: &mut Judge<'_>,
    embedder: &dyn Embed,
    plan: GradersPlan,
    interrupt: &AtomicBool,
    on_progress: &mut dyn FnMut(usize, usize),
) -> Result<GradersReport, Error> {
    let sample = sample(people, plan.skipped_per_task, plan.queries_per_task);
    let mut outcomes: BTreeMap<&str, Vec<Grades>> = BTreeMap::new();
    let mut left_out = 0;
    for (done, &(person, query)) in sample.iter().enumerate() {
        on_progress(done, sample.len());
        if interrupt.load(Ordering::Relaxed) {
            break;
        }
        let scene = Scene::new(people, person, query, plan);
        match scene.grade(judge, embedder, interrupt)? {
            Some(grades) => outcomes.entry(&people[person].task).or_default().push(grades),
            None => left_out += 1,
        }
    }
    Ok(report(&outcomes, left_out, interrupt.load(Ordering::Relaxed)))
}

/// A request with the texts that are graded for it.
struct Scene<'a> {
    request: &'a str,
    texts: BTreeMap<Text, String>,
    passages: Vec<String>,
    style: Option<StyleProfile>,
}

impl<'a> Scene<'a> {
    fn new(people: &'a [Person], person: usize, query: usize, plan: GradersPlan) -> Self {
        let it = &people[person];
        let cut = |text: &str| first_words(text, plan.words_max);
        let held_out = &it.queries[query];
        let written = cut(&held_out.output);
        let mut newest = it.profile.iter().rev();
        let own_other = match it.queries.get((query + 1) % it.queries.len()) {
            Some(other) if other.id != held_out.id => Some(&other.output),
            // It is then no part of what graders know of the person.
            _ => newest.next().map(|document| &document.text),
        };
        let others = [
            (Text::OwnOther, own_other.map(|text| cut(text))),
            (Text::OtherPerson, other_person(people, person).map(cut)),
        ];
        let others = others.into_iter().filter_map(|(text, words)| Some((text, words?)));
        let texts = [
            (Text::True, written.clone()),
            (Text::Truncated, first_words(&written, written.split_whitespace().count() / 2)),
            (Text::Repeated, repeated(&written)),
            (Text::Echo, cut(&held_out.input)),
            (Text::Empty, String::new()),
        ];
        Self {
            request: &held_out.input,
            texts: texts.into_iter().chain(others).collect(),
            style: StyleProfile::of(newest.clone().map(|document| document.text.as_str())),
            passages: newest.take(plan.k).map(|document| cut(&document.text)).collect(),
        }
    }

    /// `None` where the judge's context does not hold the texts, or `interrupt` was set.
    fn grade(
        &self,
        judge: &mut Judge<'_>,
        embedder: &dyn Embed,
        interrupt: &AtomicBool,
    ) -> Result<Option<Grades>, Error> {
        let reference = &self.texts[&Text::True];
        let texts: Vec<&str> = self.texts.values().map(String::as_str).collect();
        let mut grades = Grades::new();
        let mut note = |grader: Grader, scores: Vec<f64>| {
            grades.insert(grader, self.texts.keys().copied().zip(scores).collect());
        };
        let request = self.request;
        let with = Case { request, reference: Some(reference), passages: &[] };
        let Some(verdicts) = graded(judge.grade(&with, &texts, interrupt))? else {
            return Ok(None);
        };
        note(Grader::JudgeReference, verdicts.iter().map(|it| it.expected).collect());
        note(Grader::JudgeReferenceLikeliest, verdicts.iter().map(|it| it.likeliest).collect());
        let without = Case { request, reference: None, passages: &self.passages };
        let Some(verdicts) = graded(judge.grade(&without, &texts, interrupt))? else {
            return Ok(None);
        };
        note(Grader::JudgePassages, verdicts.iter().map(|it| it.expected).collect());

        let each = |score: &dyn Fn(&str) -> f64| texts.iter().map(|text| score(text)).collect();
        note(Grader::Rouge1, each(&|text| rouge(text, reference, true).rouge_1.f1));
        note(Grader::Rouge2, each(&|text| rouge(text, reference, true).rouge_2.f1));
        note(Grader::RougeL, each(&|text| rouge(text, reference, true).rouge_l.f1));
        note(Grader::Meteor, each(&|text| meteor(text, reference)));
        note(Grader::Chrf, each(&|text| chrf(text, reference)));
        if let Some(style) = &self.style {
            // A text without words is as far as a text can be.
            note(Grader::Style, each(&|text| -style.distance(text).unwrap_or(FARTHEST)));
        }
        let vectors = embedder.passages(&texts)?;
        let truth = vectors.first().cloned().unwrap_or_default();
        note(Grader::Meaning, vectors.iter().map(|vector| cosine(vector, &truth)).collect());
        Ok(Some(grades))
    }
}

/// What does not fit the judge's context is left out rather than the end of everything.
fn graded(
    verdicts: Result<Option<Vec<Verdict>>, LlamaError>,
) -> Result<Option<Vec<Verdict>>, LlamaError> {
    match verdicts {
        Err(LlamaError::ContextFull { .. }) => Ok(None),
        other => other,
    }
}

/// No style distance is larger.
const FARTHEST: f64 = 4.0;
const REPEATED_WORDS: usize = 8;

fn first_words(text: &str, words: usize) -> String {
    let mut ends = text.split_whitespace().map(|word| {
        // Where the word ends in the text: line ends between the words are kept.
        word.as_ptr() as usize - text.as_ptr() as usize + word.len()
    });
    match words.checked_sub(1).and_then(|last| ends.nth(last)) {
        Some(end) => text[..end].to_owned(),
        None if words == 0 => String::new(),
        None => text.to_owned(),
    }
}

/// The first words of a text until it is as long as the text.
fn repeated(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let first = &words[..words.len().min(REPEATED_WORDS)];
    first.iter().copied().cycle().take(words.len()).collect::<Vec<_>>().join(" ")
}

/// What the next person of the same task wrote first.
fn other_person(people: &[Person], person: usize) -> Option<&str> {
    let other = next_other(people, person, |place| people[place].task == people[person].task)?;
    people[other].queries.first().map(|held_out| held_out.output.as_str())
}

fn report(
    outcomes: &BTreeMap<&str, Vec<Grades>>,
    left_out: usize,
    interrupted: bool,
) -> GradersReport {
    let graders: Vec<Grader> = outcomes
        .values()
        .flatten()
        .flat_map(|grades| grades.keys().copied())
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    let row = |grader: Grader| {
        // Of each task, a value of each query that has one.
        let by_task = |value: &dyn Fn(&BTreeMap<Text, f64>) -> Option<f64>| -> Vec<Vec<f64>> {
            let of_task = |queries: &Vec<Grades>| -> Vec<f64> {
                queries.iter().filter_map(|grades| value(grades.get(&grader)?)).collect()
            };
            let tasks = outcomes.values().map(of_task);
            tasks.filter(|values| !values.is_empty()).collect()
        };
        let order = ORDERED.map(|(higher, lower)| {
            let values = by_task(&|grades| Some(wins(*grades.get(&higher)?, *grades.get(&lower)?)));
            macro_mean(&values.iter().map(Vec::as_slice).collect::<Vec<_>>())
        });
        let grade = |text: Text| {
            let grades = by_task(&|grades| grades.get(&text).copied());
            (text, mean(&grades.iter().map(|it| mean(it)).collect::<Vec<_>>()))
        };
        GraderRow { grader, order, grades: Text::ALL.into_iter().map(grade).collect() }
    };
    GradersReport {
        queries: outcomes
            .iter()
            .map(|(task, queries)| ((*task).to_owned(), queries.len()))
            .collect(),
        left_out,
        graders: graders.into_iter().map(row).collect(),
        interrupted,
    }
}

/// 1 where the first is higher, a half where both are equal.
fn wins(first: f64, second: f64) -> f64 {
    match first.total_cmp(&second) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_words() {
        assert_eq!(first_words("one\n two  three", 2), "one\n two");
        assert_eq!(first_words("one two", 5), "one two");
        assert_eq!(first_words("one two", 0), "");
        assert_eq!(first_words("", 3), "");
    }

    #[test]
    fn a_repeating_text_is_as_long_as_the_text() {
        let text = "a b c d e f g h i j";
        assert_eq!(repeated(text), "a b c d e f g h a b");
        assert_eq!(repeated(""), "");
    }

    #[test]
    fn a_grader_is_judged_by_the_order_it_gives() {
        let grades = |truth: f64, own: f64, other: f64| -> Grades {
            let mut texts: BTreeMap<Text, f64> = Text::ALL.map(|text| (text, 0.0)).into();
            texts.extend([(Text::True, truth), (Text::OwnOther, own), (Text::OtherPerson, other)]);
            BTreeMap::from([(Grader::Chrf, texts)])
        };
        let outcomes = BTreeMap::from([
            ("email", vec![grades(1.0, 0.5, 0.5), grades(1.0, 0.5, 0.7)]),
            ("review", vec![grades(0.2, 0.9, 0.1)]),
        ]);
        let report = report(&outcomes, 0, false);
        let means = report.graders[0].order.map(|interval| interval.mean);
        assert_eq!(means, [0.5, 0.625, 1.0]);
        assert!((report.graders[0].grades[&Text::True] - 0.6).abs() < 1e-12);
    }
}
