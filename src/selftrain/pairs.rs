//! Requests and the texts that the person really wrote for them, out of the person's own writing:
//! leave-one-out in time.
//!
//! Each document that is long enough is once the wanted text. What is asked for is what it answers:
//! the subject of a mail with the mail that it replies to, the title of a note or post; where it has
//! none, the model has to write the request. A draft that was accepted, and the text that an edited
//! one became, count too. What may be shown beside the request is what was
//! dated before, and never the text itself, what quotes it, or what it quotes. The newest texts are
//! held out: they are never trained on, and decide whether an adapter may be adopted.
//!
//! This file knows no model and no store.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::overlap::Overlaps;
use crate::metrics::words;
use crate::profile::{Document, KeptDraft, Verdict};
use crate::task::Task;

/// What makes pairs of documents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairRules {
    /// Words that a text has at least.
    pub words_min: usize,
    /// Words that a text has at most: what a draft has room for.
    pub words_max: usize,
    /// Share of the newest pairs that is held out.
    pub held_out_share: f64,
    /// Pairs that are held out at least.
    pub held_out_min: usize,
}

impl Default for PairRules {
    fn default() -> Self {
        Self { words_min: 25, words_max: 400, held_out_share: 0.2, held_out_min: 4 }
    }
}

/// A request, and what the person wrote or stands by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Where the text is from.
    pub origin: Origin,
    /// What asks for it; `None`: a model has to say it.
    pub request: Option<String>,
    /// What the person wrote.
    pub output: String,
    /// The kind of text, as [`Task`] names it.
    pub task: String,
    /// Whom it was written to.
    pub recipient: Option<String>,
    /// When, `YYYY-MM-DD`.
    pub date: Option<String>,
    /// The documents that may be shown beside the request.
    pub shown: Vec<String>,
    /// Whether it is never trained on.
    pub held_out: bool,
}

/// Where a wanted text is from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A document of the profile, by its id.
    Document(String),
    /// A draft that was accepted, or what it became, by its id.
    Draft(String),
}

/// A text that is no wanted text, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The text.
    pub origin: Origin,
    /// Why.
    pub why: WhyDropped,
}

/// Why a document is no wanted text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyDropped {
    /// It has too few words to show a style.
    TooShort,
    /// It has more words than a draft has room for.
    TooLong,
    /// Nothing may be shown beside its request: it is the first, or all before it is related to it.
    NothingBefore,
    /// It quotes a text that is held out, or is quoted there.
    RelatedToHeldOut,
}

/// Pairs, oldest first, and what became of the other documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pairs {
    /// Those to train on, then those that are held out.
    pub pairs: Vec<Pair>,
    /// What is no pair.
    pub dropped: Vec<Dropped>,
}

/// Of the runs of words of the shorter of two texts, the share that makes them related.
const RELATED_SHARE: f64 = 0.2;
/// Of a time of writing, its date.
const DATE_BYTES: usize = "YYYY-MM-DD".len();
/// Characters of the mail that is answered that stand in a request: its beginning.
const CONTEXT_CHARS_MAX: usize = 1200;

/// The pairs of `documents`, which may be in any order, and of the drafts that were accepted or
/// edited.
#[must_use]
pub fn pairs(documents: &[Document], drafts: &[KeptDraft], rules: &PairRules) -> Pairs {
    let library = Library::of(documents);
    let mut wanted: Vec<Pair> = documents.iter().map(of_document).collect();
    wanted.extend(drafts.iter().filter_map(of_draft));
    // Without a date a text is as old as none.
    wanted.sort_by(|a, b| (&a.date, &a.origin).cmp(&(&b.date, &b.origin)));
    let mut made = Pairs::default();
    let mut related_to: Vec<Vec<usize>> = Vec::new();
    for mut pair in wanted {
        let related = library.overlaps.related(&pair.output, RELATED_SHARE);
        pair.shown = library.shown(&pair, &related);
        match unfit(&pair, rules) {
            None => {
                made.pairs.push(pair);
                related_to.push(related);
            }
            Some(why) => made.dropped.push(Dropped { origin: pair.origin, why }),
        }
    }
    hold_out(&mut made, &library, &related_to, rules);
    made
}

/// The documents that may be shown.
struct Library<'d> {
    documents: &'d [Document],
    overlaps: Overlaps,
}

impl<'d> Library<'d> {
    fn of(documents: &'d [Document]) -> Self {
        let overlaps = Overlaps::of(documents.iter().map(|document| document.text.as_str()));
        Self { documents, overlaps }
    }

    /// What was dated before the text of `pair`, and has nothing to do with it. Without a date a
    /// text is shown for all, and is shown all.
    fn shown(&self, pair: &Pair, related: &[usize]) -> Vec<String> {
        let is_shown = |(number, document): &(usize, &Document)| {
            let before = match (&document.date, &pair.date) {
                (Some(theirs), Some(own)) => theirs < own,
                _ => true,
            };
            let is_itself = matches!(&pair.origin, Origin::Document(id) if *id == document.id);
            before && !is_itself && !related.contains(number)
        };
        let shown = self.documents.iter().enumerate().filter(is_shown);
        shown.map(|(_, document)| document.id.clone()).collect()
    }
}

fn of_document(document: &Document) -> Pair {
    Pair {
        origin: Origin::Document(document.id.clone()),
        request: request(document),
        output: document.text.clone(),
        task: task(document).to_owned(),
        recipient: document.recipient.clone(),
        date: document.date.clone(),
        shown: Vec::new(),
        held_out: false,
    }
}

/// The text that the person stands by, where the draft came to one.
fn of_draft(draft: &KeptDraft) -> Option<Pair> {
    let output = match draft.verdict.as_ref()? {
        Verdict::Accepted => &draft.answer,
        Verdict::Edited { final_text } => final_text,
        Verdict::Rejected => return None,
    };
    Some(Pair {
        origin: Origin::Draft(draft.id.clone()),
        request: Some(draft.request.clone()),
        output: output.clone(),
        task: draft.task.clone(),
        recipient: draft.recipient.clone(),
        date: draft.written_at.get(..DATE_BYTES).map(str::to_owned),
        shown: Vec::new(),
        held_out: false,
    })
}

/// Why it cannot be asked for.
fn unfit(pair: &Pair, rules: &PairRules) -> Option<WhyDropped> {
    match words(&pair.output).len() {
        count if count < rules.words_min => Some(WhyDropped::TooShort),
        count if count > rules.words_max => Some(WhyDropped::TooLong),
        _ if pair.shown.is_empty() => Some(WhyDropped::NothingBefore),
        _ => None,
    }
}

/// What the document answers, where it says so itself.
fn request(document: &Document) -> Option<String> {
    let title = document.title.as_deref().map(str::trim).filter(|title| !title.is_empty());
    let answered = document.context.as_deref().map(str::trim).filter(|text| !text.is_empty());
    match (title, answered) {
        (title, Some(answered)) => {
            let mut beginning: String = answered.chars().take(CONTEXT_CHARS_MAX).collect();
            if beginning.len() < answered.len() {
                beginning.push('…');
            }
            let title = title.map(|title| format!("{title}\n\n")).unwrap_or_default();
            Some(format!("{title}In answer to:\n{beginning}"))
        }
        (Some(title), None) => Some(title.to_owned()),
        (None, None) => None,
    }
}

fn task(document: &Document) -> &'static str {
    let of_kind = |name: &&str| {
        Task::named(name).is_some_and(|task| task.kind.as_deref() == Some(&document.kind))
    };
    Task::names().find(of_kind).unwrap_or("free")
}

/// Marks the newest pairs. What is trained on is not related to them, and is not shown them.
fn hold_out(made: &mut Pairs, library: &Library<'_>, related_to: &[Vec<usize>], rules: &PairRules) {
    let count = made.pairs.len();
    let share = (count as f64 * rules.held_out_share).ceil() as usize;
    let first = count.saturating_sub(share.max(rules.held_out_min));
    made.pairs[first..].iter_mut().for_each(|pair| pair.held_out = true);
    let ids: HashSet<String> = made.pairs[first..]
        .iter()
        .filter_map(|pair| match &pair.origin {
            Origin::Document(id) => Some(id.clone()),
            Origin::Draft(_) => None,
        })
        .collect();
    let is_held_out = |number: &usize| ids.contains(&library.documents[*number].id);
    for (mut pair, related) in std::mem::take(&mut made.pairs).into_iter().zip(related_to) {
        if !pair.held_out {
            pair.shown.retain(|document| !ids.contains(document));
        }
        let why = if !pair.held_out && related.iter().any(is_held_out) {
            WhyDropped::RelatedToHeldOut
        } else if pair.shown.is_empty() {
            WhyDropped::NothingBefore
        } else {
            made.pairs.push(pair);
            continue;
        };
        made.dropped.push(Dropped { origin: pair.origin, why });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(id: &str, date: Option<&str>, text: &str) -> Document {
        Document {
            id: id.into(),
            title: Some(format!("About {id}")),
            date: date.map(Into::into),
            source: "/x".into(),
            kind: "markdown".into(),
            recipient: None,
            text: text.into(),
            context: None,
        }
    }

    fn of(id: &str) -> Origin {
        Origin::Document(id.into())
    }

    /// A text of `count` words that no other has.
    fn text(name: &str, count: usize) -> String {
        (0..count).map(|word| format!("{name}{word} ")).collect()
    }

    fn diary(days: usize) -> Vec<Document> {
        let day = |day: usize| {
            let date = format!("2024-01-{:02}", day + 1);
            document(&format!("day-{day}"), Some(&date), &text(&format!("d{day}x"), 40))
        };
        (0..days).map(day).collect()
    }

    #[test]
    fn only_what_came_before_is_shown() {
        let made = pairs(&diary(12), &[], &PairRules::default());
        let first = &made.pairs[0];
        assert_eq!(
            (&first.origin, first.shown.as_slice()),
            (&of("day-1"), &["day-0".to_owned()][..])
        );
        assert_eq!(first.request.as_deref(), Some("About day-1"));
        let why = WhyDropped::NothingBefore;
        assert_eq!(made.dropped, [Dropped { origin: of("day-0"), why }]);
        let last = made.pairs.last().unwrap();
        assert_eq!((&last.origin, last.shown.len()), (&of("day-11"), 11));
    }

    #[test]
    fn the_newest_are_held_out() {
        let made = pairs(&diary(41), &[], &PairRules::default());
        let held: Vec<Origin> = made
            .pairs
            .iter()
            .filter(|pair| pair.held_out)
            .map(|pair| pair.origin.clone())
            .collect();
        let expected: Vec<Origin> = (33..41).map(|day| of(&format!("day-{day}"))).collect();
        assert_eq!(held, expected);
        let few = pairs(&diary(6), &[], &PairRules::default());
        assert_eq!(few.pairs.iter().filter(|pair| pair.held_out).count(), 4);
    }

    #[test]
    fn without_dates_all_others_are_shown() {
        let documents: Vec<Document> = (0..5)
            .map(|n| document(&format!("n{n}"), None, &text(&format!("t{n}x"), 30)))
            .collect();
        let rules = PairRules { held_out_min: 2, ..PairRules::default() };
        let made = pairs(&documents, &[], &rules);
        assert_eq!(made.pairs.len(), 5);
        for pair in &made.pairs {
            let held_out = made.pairs.iter().filter(|pair| pair.held_out).count();
            assert_eq!(pair.shown.len(), if pair.held_out { 4 } else { 4 - held_out });
            assert!(pair.shown.iter().all(|id| of(id) != pair.origin));
        }
    }

    #[test]
    fn what_quotes_a_text_is_not_shown_for_it_nor_trained_on_beside_it() {
        let mut documents = diary(12);
        let quoted = documents[11].text.clone();
        documents.push(document("old", Some("2023-01-01"), &format!("{quoted} {}", text("o", 20))));
        let made = pairs(&documents, &[], &PairRules::default());
        let newest = made.pairs.iter().find(|pair| pair.origin == of("day-11")).unwrap();
        assert!(!newest.shown.contains(&"old".to_owned()));
        assert_eq!(newest.shown.len(), 11);
        let later = diary(13).pop().unwrap();
        documents.push(document("new", Some("2024-02-01"), &quoted.replace("d11x3 ", "")));
        documents.push(later);
        let made = pairs(
            &documents,
            &[],
            &PairRules { held_out_min: 1, held_out_share: 0.0, ..PairRules::default() },
        );
        let dropped = made.dropped.iter().find(|dropped| dropped.origin == of("day-11")).unwrap();
        assert_eq!(dropped.why, WhyDropped::RelatedToHeldOut);
    }

    #[test]
    fn what_is_too_short_or_too_long_is_shown_but_not_asked_for() {
        let mut documents = diary(8);
        documents.push(document("note", Some("2024-01-02"), &text("n", 5)));
        documents.push(document("book", Some("2024-01-03"), &text("b", 900)));
        let made = pairs(&documents, &[], &PairRules::default());
        let why = |id: &str| made.dropped.iter().find(|it| it.origin == of(id)).unwrap().why;
        assert_eq!((why("note"), why("book")), (WhyDropped::TooShort, WhyDropped::TooLong));
        assert!(made.pairs.last().unwrap().shown.contains(&"book".to_owned()));
    }

    #[test]
    fn a_mail_is_asked_for_with_what_it_answers() {
        let mut documents = diary(8);
        documents[5].kind = "mail".into();
        documents[5].context = Some("When will the shed be ready?".into());
        documents[6].title = None;
        let made = pairs(&documents, &[], &PairRules::default());
        let found = |id: &str| made.pairs.iter().find(|pair| pair.origin == of(id)).unwrap();
        let mail = found("day-5");
        assert_eq!(mail.task, "email");
        let asked = mail.request.as_deref().unwrap();
        assert!(
            asked.starts_with("About day-5\n\n") && asked.ends_with("When will the shed be ready?")
        );
        assert_eq!(found("day-6").request, None);
        assert_eq!(found("day-6").task, "free");
    }

    #[test]
    fn what_the_person_stands_by_counts_and_what_they_rejected_does_not() {
        let draft = |id: &str, verdict: Option<Verdict>| KeptDraft {
            id: id.into(),
            written_at: "2024-01-07T10:00:00Z".into(),
            request: format!("a note {id}"),
            task: "email".into(),
            recipient: None,
            reasoning: String::new(),
            answer: text(&format!("{id}w"), 30),
            model: "00".into(),
            adapter: None,
            verdict,
            documents: Vec::new(),
        };
        let final_text = text("sent", 33);
        let drafts = [
            draft("a", Some(Verdict::Accepted)),
            draft("b", Some(Verdict::Edited { final_text: final_text.clone() })),
            draft("c", Some(Verdict::Rejected)),
            draft("d", None),
        ];
        let made = pairs(&diary(12), &drafts, &PairRules::default());
        let of_drafts: Vec<&Pair> =
            made.pairs.iter().filter(|pair| matches!(pair.origin, Origin::Draft(_))).collect();
        assert_eq!(of_drafts.len(), 2);
        assert_eq!(of_drafts[0].request.as_deref(), Some("a note a"));
        assert_eq!(of_drafts[1].output, final_text);
        // Those of the days before.
        assert_eq!(of_drafts[0].shown.len(), 6);
    }
}
