//! Requests and the texts that the person really wrote for them, out of the person's own writing:
//! leave-one-out in time.
//!
//! Each document that is long enough is once the wanted text. What is asked for is what it answers:
//! the subject of a mail with the mail that it replies to, the title of a note or post; where it has
//! none, the model has to write the request. A draft that was accepted, and the text that an edited
//! one became, count too. What may be shown beside the request is what was dated before, but never
//! the text itself nor what has a fifth of its runs of words in common with it. The newest texts are
//! held out: neither they nor what is related to them is trained on or shown there, and they decide
//! whether an adapter may be adopted. A draft that was accepted as it was is never one of them: being like
//! what the model writes anyway proves nothing.
//!
//! What was shown for a draft may be held out by now: it is learned all the same, unless it has a fifth of
//! its runs of words from there. Where a fifth is held out and five passages are shown, chance alone would
//! have two of three drafts left out otherwise.
//!
//! This file knows no model and no store.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::related::Texts;
use super::wanted::wanted;
use crate::metrics::words;
use crate::profile::{Document, KeptDraft, Verdict};

/// What makes pairs of documents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairRules {
    /// Words that a text has at least.
    pub words_min: usize,
    /// Words that a text has at most: what a draft has room for.
    pub words_max: usize,
    /// Share of the newest pairs that is held out, of those that may be.
    pub held_out_share: f64,
    /// Pairs that are held out at least.
    pub held_out_min: usize,
    /// Pairs that are held out at most.
    pub held_out_max: usize,
    /// Pairs that are trained on at most, the newest; 0 for all.
    pub trained_max: usize,
}

impl Default for PairRules {
    fn default() -> Self {
        Self {
            words_min: 25,
            words_max: 250,
            held_out_share: 0.2,
            held_out_min: 4,
            held_out_max: usize::MAX,
            trained_max: 0,
        }
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
    /// The kind of text, as [`crate::task::Task`] names it.
    pub task: String,
    /// Whom it was written to.
    pub recipient: Option<String>,
    /// When, `YYYY-MM-DD`.
    pub date: Option<String>,
    /// The documents that it is made of, by their ids: itself, or those of the draft; and those that
    /// have much in common with it.
    pub documents: Vec<String>,
    /// The texts that this one has much in common with, itself among them, by their names ([`super::key`]): of a
    /// draft that was sent and taken in again the latter too.
    #[serde(default)]
    pub versions: Vec<String>,
    /// What may be shown beside the request.
    pub shown: Shown,
    /// Whether it is never trained on.
    pub held_out: bool,
}

/// Documents that may be shown: those that were written before a day or have no date, but for some.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The day, `YYYY-MM-DD`; `None`: whenever.
    pub before: Option<String>,
    /// Those that are not, by their ids.
    pub except: Vec<String>,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The text.
    pub origin: Origin,
    /// Why.
    pub why: WhyDropped,
}

/// Why a document is no wanted text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyDropped {
    /// It has too few words to show a style.
    TooShort,
    /// It has more words than a draft has room for.
    TooLong,
    /// Nothing may be shown beside its request: it is the first, or all before it is related to it.
    NothingBefore,
    /// It has much in common with a text that is held out.
    RelatedToHeldOut,
    /// It has much in common with an older one that is trained on: a draft that was sent and taken
    /// in again.
    Repeated,
    /// Enough newer ones are trained on.
    Older,
    /// It has no title, and no request for it could be had that is whole and does not give it away.
    NoRequest,
    /// The model has no room for it, or for its request with what is to be shown.
    NoRoom,
}

impl WhyDropped {
    /// The same in words.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::TooShort => "too short",
            Self::TooLong => "too long",
            Self::NothingBefore => "nothing older to show beside it",
            Self::RelatedToHeldOut => "much in common with what is held out",
            Self::Repeated => "much in common with an older one",
            Self::Older => "enough newer ones",
            Self::NoRequest => "no request for it that is whole and does not give it away",
            Self::NoRoom => "longer than the model has room for",
        }
    }
}

/// Pairs, oldest first, and what became of the other documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairs {
    /// Those to train on, then those that are held out.
    pub pairs: Vec<Pair>,
    /// What is no pair.
    pub dropped: Vec<Dropped>,
    /// The documents that are held out or related to what is, by their ids: nothing of them is
    /// learned, not even their style.
    pub kept_away: Vec<String>,
}

/// Of the runs of words of the shorter of two texts, the share that makes them related.
pub const RELATED_SHARE: f64 = 0.2;

/// The pairs of `documents`, which may be in any order, and of the drafts that were accepted or
/// edited.
#[must_use]
pub fn pairs(documents: &[Document], drafts: &[KeptDraft], rules: &PairRules) -> Pairs {
    let mut wanted = wanted(documents, drafts);
    // Without a date a text is as old as none. A draft comes before what was sent of it.
    wanted.sort_by(|a, b| (&a.date, &b.origin).cmp(&(&b.date, &a.origin)));
    let texts = Texts::of(&wanted);
    let mut made = Pairs::default();
    let mut fit: Vec<Placed> = Vec::new();
    for (place, mut pair) in wanted.iter().cloned().enumerate() {
        pair.shown = texts.shown(place, &[]);
        pair.versions = texts.names(&texts.related[place]).collect();
        pair.documents.extend(texts.documents(&texts.related[place]));
        pair.documents.sort_unstable();
        pair.documents.dedup();
        match unfit(&pair, rules).or_else(|| texts.nothing(&pair.shown)) {
            None => fit.push((place, pair)),
            Some(why) => made.dropped.push(Dropped { origin: pair.origin, why }),
        }
    }
    let accepted = accepted(&wanted, drafts);
    let is_own = |place: usize| !texts.related[place].iter().any(|it| accepted.contains(it));
    // Accepted drafts may be many: of the person's own texts the share is held out.
    let own = fit.iter().filter(|(place, _)| is_own(*place)).count();
    let held_out = (own as f64 * rules.held_out_share).ceil() as usize;
    let held_out = held_out.max(rules.held_out_min).min(rules.held_out_max);
    let (tail, fit) = split(fit, held_out, is_own);
    let near_tail: HashSet<usize> =
        tail.iter().flat_map(|(place, _)| texts.related[*place].iter().copied()).collect();
    let kept_away: Vec<usize> = near_tail.iter().copied().collect();
    made.kept_away = texts.documents(&kept_away).collect();
    made.kept_away.sort_unstable();
    let mut usable: Vec<Placed> = Vec::new();
    for (place, mut pair) in fit {
        pair.shown = texts.shown(place, &kept_away);
        let why = match near_tail.contains(&place) {
            true => Some(WhyDropped::RelatedToHeldOut),
            false => texts.nothing(&pair.shown),
        };
        match why {
            Some(why) => made.dropped.push(Dropped { origin: pair.origin, why }),
            None => usable.push((place, pair)),
        }
    }
    let places: Vec<usize> = usable.iter().map(|(place, _)| *place).collect();
    let trained_on = trained_on(&places, &texts, rules.trained_max);
    let oldest = trained_on.iter().min().copied();
    for (place, pair) in usable {
        let why = if Some(place) < oldest { WhyDropped::Older } else { WhyDropped::Repeated };
        match trained_on.contains(&place) {
            true => made.pairs.push(pair),
            false => made.dropped.push(Dropped { origin: pair.origin, why }),
        }
    }
    made.pairs.extend(tail.into_iter().map(|(_, pair)| Pair { held_out: true, ..pair }));
    made
}

/// A pair, and its place among all texts.
type Placed = (usize, Pair);

/// Those of `places`, in the order of time, that are trained on: of texts that have much in common the
/// oldest that is no older than the rest, and no more than `most` (0: however many), the newest.
fn trained_on(places: &[usize], texts: &Texts<'_>, most: usize) -> HashSet<usize> {
    let mut from = 0;
    loop {
        let (mut chosen, mut starts) = (HashSet::new(), Vec::new());
        for (start, &place) in places.iter().enumerate().skip(from) {
            if !texts.related[place].iter().any(|other| chosen.contains(other)) {
                chosen.insert(place);
                starts.push(start);
            }
        }
        // What goes may have kept a newer version of itself away.
        match starts.len().checked_sub(most) {
            Some(too_many) if too_many > 0 && most > 0 => from = starts[too_many],
            _ => return chosen,
        }
    }
}

/// The newest `count` of those that the person wrote, and the others.
fn split(
    all: Vec<Placed>,
    count: usize,
    is_own: impl Fn(usize) -> bool,
) -> (Vec<Placed>, Vec<Placed>) {
    let own = all.iter().rev().map(|(place, _)| *place).filter(|&place| is_own(place));
    let newest: HashSet<usize> = own.take(count).collect();
    all.into_iter().partition(|(place, _)| newest.contains(place))
}

/// The places of the drafts that were accepted as they were.
fn accepted(wanted: &[Pair], drafts: &[KeptDraft]) -> HashSet<usize> {
    let is_accepted = |draft: &&KeptDraft| matches!(draft.verdict, Some(Verdict::Accepted));
    let ids: HashSet<&str> = drafts.iter().filter(is_accepted).map(|it| it.id.as_str()).collect();
    let is_one =
        |pair: &Pair| matches!(&pair.origin, Origin::Draft(id) if ids.contains(id.as_str()));
    (0..wanted.len()).filter(|&place| is_one(&wanted[place])).collect()
}

/// Why it cannot be asked for.
fn unfit(pair: &Pair, rules: &PairRules) -> Option<WhyDropped> {
    match words(&pair.output).len() {
        count if count < rules.words_min => Some(WhyDropped::TooShort),
        count if count > rules.words_max => Some(WhyDropped::TooLong),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftrain::related::is_before;

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

    /// The documents that may be shown for a pair.
    fn shown(pair: &Pair, documents: &[Document]) -> Vec<String> {
        let may = |document: &&Document| {
            is_before(document.date.as_deref(), pair.shown.before.as_deref())
                && !pair.shown.except.contains(&document.id)
        };
        documents.iter().filter(may).map(|document| document.id.clone()).collect()
    }

    /// A draft of the seventh of January.
    fn draft(id: &str, verdict: Option<Verdict>) -> KeptDraft {
        KeptDraft {
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
            adapter_documents: Vec::new(),
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
        assert_eq!((&first.origin, shown(first, &diary(12))), (&of("day-1"), vec!["day-0".into()]));
        assert_eq!(first.request.as_deref(), Some("About day-1"));
        let why = WhyDropped::NothingBefore;
        assert_eq!(made.dropped, [Dropped { origin: of("day-0"), why }]);
        let last = made.pairs.last().unwrap();
        assert_eq!((&last.origin, shown(last, &diary(12)).len()), (&of("day-11"), 11));
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
    fn there_are_no_more_than_was_asked_for() {
        let rules = PairRules { held_out_max: 5, trained_max: 10, ..PairRules::default() };
        let made = pairs(&diary(41), &[], &rules);
        assert_eq!(made.pairs.iter().filter(|pair| pair.held_out).count(), 5);
        assert_eq!(made.pairs.len(), 15);
        assert_eq!(made.pairs[0].origin, of("day-26"));
        assert_eq!(made.dropped.iter().filter(|it| it.why == WhyDropped::Older).count(), 25);
    }

    #[test]
    fn of_a_series_that_began_long_ago_a_newer_one_is_learned() {
        let mut documents = diary(41);
        let versions = ["day-5", "day-30", "day-32"].map(of);
        let places = [5, 30, 32];
        let (same, own) = (text("same", 40), |place: usize| text(&format!("v{place}x"), 10));
        for place in places {
            documents[place].text = format!("{same}{}", own(place));
        }
        let rules = PairRules { held_out_max: 5, trained_max: 10, ..PairRules::default() };
        let made = pairs(&documents, &[], &rules);
        let why =
            |origin: &Origin| made.dropped.iter().find(|it| it.origin == *origin).map(|it| it.why);
        let expected = [Some(WhyDropped::Older), None, Some(WhyDropped::Repeated)];
        assert_eq!(versions.each_ref().map(why), expected);
        assert!(made.pairs.iter().any(|pair| pair.origin == versions[1]));
        assert_eq!(made.pairs.len(), 15);
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
            let shown = shown(pair, &documents);
            assert_eq!(shown.len(), if pair.held_out { 4 } else { 4 - held_out });
            assert!(shown.iter().all(|id| of(id) != pair.origin));
        }
    }

    #[test]
    fn what_quotes_a_text_is_not_shown_for_it_nor_trained_on_beside_it() {
        let mut documents = diary(12);
        let quoted = documents[11].text.clone();
        documents.push(document("old", Some("2023-01-01"), &format!("{quoted} {}", text("o", 20))));
        let made = pairs(&documents, &[], &PairRules::default());
        let newest = made.pairs.iter().find(|pair| pair.origin == of("day-11")).unwrap();
        let beside = shown(newest, &documents);
        assert!(!beside.contains(&"old".to_owned()));
        assert_eq!(beside.len(), 11);
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
        assert!(shown(made.pairs.last().unwrap(), &documents).contains(&"book".to_owned()));
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
        assert_eq!(of_drafts[1].request.as_deref(), Some("a note a"));
        assert_eq!(of_drafts[0].output, final_text);
        // Those of the days before.
        assert_eq!(shown(of_drafts[0], &diary(12)).len(), 6);
    }

    #[test]
    fn a_draft_that_was_sent_and_taken_in_again_counts_once() {
        let draft = draft("a", Some(Verdict::Accepted));
        let mut documents = diary(20);
        documents.push(document("sent", Some("2024-01-07"), &draft.answer));
        let made = pairs(&documents, std::slice::from_ref(&draft), &PairRules::default());
        let dropped = made.dropped.iter().find(|dropped| dropped.origin == of("sent")).unwrap();
        assert_eq!(dropped.why, WhyDropped::Repeated);
        let sent = made.pairs.iter().find(|pair| pair.origin == Origin::Draft("a".into())).unwrap();
        assert_eq!(sent.versions, ["draft a", "document sent"]);
        // Where what an edited draft became is among the newest, its copy is not trained on.
        let old = document("copy", Some("2023-01-02"), &draft.answer);
        let documents: Vec<Document> = diary(7).into_iter().chain([old]).collect();
        let rules = PairRules { held_out_min: 1, held_out_share: 0.0, ..PairRules::default() };
        let edited = Some(Verdict::Edited { final_text: draft.answer.clone() });
        let drafts = [self::draft("a", edited)];
        let made = pairs(&documents, &drafts, &rules);
        assert!(made.pairs.last().unwrap().held_out);
        assert_eq!(made.pairs.last().unwrap().origin, of("day-6"));
        let rules = PairRules { held_out_min: 2, ..rules };
        let made = pairs(&documents, &drafts, &rules);
        let dropped = made.dropped.iter().find(|dropped| dropped.origin == of("copy")).unwrap();
        assert!(matches!(dropped.why, WhyDropped::RelatedToHeldOut | WhyDropped::NothingBefore));
        for pair in made.pairs.iter().filter(|pair| !pair.held_out) {
            assert!(!shown(pair, &documents).contains(&"copy".to_owned()));
        }
    }

    #[test]
    fn many_accepted_drafts_do_not_have_the_person_s_own_texts_held_out() {
        let accepted = |number: usize| KeptDraft {
            written_at: "2024-03-01T10:00:00Z".into(),
            ..draft(&format!("a{number}"), Some(Verdict::Accepted))
        };
        let drafts: Vec<KeptDraft> = (0..40).map(accepted).collect();
        let made = pairs(&diary(26), &drafts, &PairRules::default());
        assert_eq!(made.pairs.iter().filter(|pair| pair.held_out).count(), 5);
        let is_own = |pair: &&Pair| !pair.held_out && matches!(pair.origin, Origin::Document(_));
        assert_eq!(made.pairs.iter().filter(is_own).count(), 20);
    }

    #[test]
    fn what_was_accepted_as_it_was_is_never_held_out() {
        let accepted = |id: &str, day: &str| KeptDraft {
            written_at: format!("{day}T10:00:00Z"),
            ..draft(id, Some(Verdict::Accepted))
        };
        let drafts = [accepted("a", "2024-02-01"), accepted("b", "2024-02-02")];
        let sent = document("sent", Some("2024-02-03"), &drafts[1].answer);
        let documents: Vec<Document> = diary(12).into_iter().chain([sent]).collect();
        let made = pairs(&documents, &drafts, &PairRules::default());
        let (held_out, learned): (Vec<&Pair>, Vec<&Pair>) =
            made.pairs.iter().partition(|pair| pair.held_out);
        let held_out: Vec<&Origin> = held_out.into_iter().map(|pair| &pair.origin).collect();
        assert_eq!(held_out, [&of("day-8"), &of("day-9"), &of("day-10"), &of("day-11")]);
        let of_drafts = learned.iter().filter(|it| matches!(it.origin, Origin::Draft(_))).count();
        assert_eq!(of_drafts, 2);
    }
}
