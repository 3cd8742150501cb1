//! What the texts of a person have to do with each other, and so which may be shown for which.

use super::item::key;
use super::overlap::Overlaps;
use super::pairs::{Origin, Pair, RELATED_SHARE, Shown, WhyDropped};

/// All texts, oldest first, and what each has to do with the others.
pub struct Texts<'w> {
    wanted: &'w [Pair],
    /// Of each text the places of those that have much in common with it, itself among them.
    pub related: Vec<Vec<usize>>,
}

impl<'w> Texts<'w> {
    /// Of texts that are in order.
    pub fn of(wanted: &'w [Pair]) -> Self {
        let overlaps = Overlaps::of(wanted.iter().map(|pair| pair.output.as_str()));
        let related = |(place, pair): (usize, &Pair)| {
            let mut related = overlaps.related(&pair.output, RELATED_SHARE);
            // Too short to have a run.
            if !related.contains(&place) {
                related.push(place);
            }
            related
        };
        Self { wanted, related: wanted.iter().enumerate().map(related).collect() }
    }

    /// What may be shown for the text at `place`, which is nothing of `kept_away`.
    pub fn shown(&self, place: usize, kept_away: &[usize]) -> Shown {
        let before = self.wanted[place].date.clone();
        let candidates = self.related[place].iter().chain(kept_away);
        let mut except: Vec<String> = candidates
            .filter_map(|&other| self.document(other))
            .filter(|(_, date)| is_before(*date, before.as_deref()))
            .map(|(id, _)| id.to_owned())
            .collect();
        except.sort_unstable();
        except.dedup();
        Shown { before, except }
    }

    /// The ids of the documents at `places`.
    pub fn documents(&self, places: &[usize]) -> impl Iterator<Item = String> {
        places.iter().filter_map(|&place| Some(self.document(place)?.0.to_owned()))
    }

    /// The names of the texts at `places`.
    pub fn names(&self, places: &[usize]) -> impl Iterator<Item = String> {
        places.iter().map(|&place| key(&self.wanted[place].origin))
    }

    /// That nothing is left to be shown.
    pub fn nothing(&self, shown: &Shown) -> Option<WhyDropped> {
        let left = (0..self.wanted.len())
            .filter_map(|place| self.document(place))
            .filter(|(_, date)| is_before(*date, shown.before.as_deref()))
            .take(shown.except.len() + 1)
            .count();
        (left <= shown.except.len()).then_some(WhyDropped::NothingBefore)
    }

    /// The id and date of the document at `place`; drafts are never shown.
    fn document(&self, place: usize) -> Option<(&str, Option<&str>)> {
        let pair = &self.wanted[place];
        match &pair.origin {
            Origin::Document(id) => Some((id, pair.date.as_deref())),
            Origin::Draft(_) => None,
        }
    }
}

/// Without a date a text is shown for all, and is shown all.
#[must_use]
pub fn is_before(date: Option<&str>, before: Option<&str>) -> bool {
    date.zip(before).is_none_or(|(date, before)| date < before)
}
