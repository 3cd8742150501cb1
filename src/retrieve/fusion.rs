//! Two ranked lists into one: reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009), then
//! weights for what ranks do not know.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{Found, Query};
use crate::config::RetrieveConfig;
use crate::profile::Hit;

/// What the score of a passage is made of. All zero where it only fills up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Parts {
    /// Its BM25 score, where it was found by words.
    pub bm25: Option<f64>,
    /// Its rank by words, from 1.
    pub bm25_rank: Option<usize>,
    /// Its cosine with the request, where it was found by meaning.
    pub cosine: Option<f64>,
    /// Its rank by meaning, from 1.
    pub cosine_rank: Option<usize>,
    /// Its rank by date among those that were found, from 1 for the newest.
    pub recency_rank: Option<usize>,
    /// The ranks fused, 1 where it leads all lists.
    pub fused: f64,
    /// Factor for going to the same person.
    pub recipient: f64,
    /// Factor for being of the same kind.
    pub kind: f64,
    /// What its likeness to better passages cost it.
    pub repetition: f64,
}

/// The passages of both lists with the parts that ranks give, by their numbers.
pub(super) fn fuse(
    lexical: &[(i64, f64)],
    dense: &[(i64, f64)],
    settings: &RetrieveConfig,
) -> Vec<(i64, Parts)> {
    let mut parts: BTreeMap<i64, Parts> = BTreeMap::new();
    let mut add = |list: &[(i64, f64)], weight: f32, set: fn(&mut Parts, f64, usize)| {
        for (rank, &(chunk, score)) in (1..).zip(list) {
            let parts = parts.entry(chunk).or_default();
            set(parts, score, rank);
            parts.fused += share(weight, rank, settings);
        }
    };
    add(lexical, settings.lexical_weight, |parts, score, rank| {
        (parts.bm25, parts.bm25_rank) = (Some(score), Some(rank));
    });
    add(dense, settings.dense_weight, |parts, score, rank| {
        (parts.cosine, parts.cosine_rank) = (Some(score), Some(rank));
    });
    parts.into_iter().collect()
}

/// What a place in a list is worth: the weight of the list for the first one.
fn share(weight: f32, rank: usize, settings: &RetrieveConfig) -> f64 {
    let constant = f64::from(settings.rrf_constant);
    f64::from(weight) * (constant + 1.0) / (constant + rank as f64)
}

/// The passages with their scores: a third list, by date, joins the two; then the factors.
pub(super) fn weigh(
    hits: Vec<Hit>,
    fused: &[(i64, Parts)],
    query: &Query<'_>,
    settings: &RetrieveConfig,
) -> Vec<Found> {
    let parts: HashMap<i64, Parts> = fused.iter().copied().collect();
    let mut days: Vec<&str> = hits.iter().filter_map(|hit| hit.date.as_deref()).collect();
    days.sort_unstable_by(|a, b| b.cmp(a));
    let any = |found: fn(&Parts) -> bool| fused.iter().any(|(_, parts)| found(parts));
    let most: f64 = [
        (any(|parts| parts.bm25.is_some()), settings.lexical_weight),
        (any(|parts| parts.cosine.is_some()), settings.dense_weight),
        (!days.is_empty(), settings.recency_weight),
    ]
    .iter()
    .filter(|(there, _)| *there)
    .map(|(_, weight)| f64::from(*weight))
    .sum();
    let weighed = hits.iter().filter_map(|hit| {
        let mut parts = *parts.get(&hit.chunk)?;
        // Days are written so that their order is that of their texts; equal days share a rank.
        parts.recency_rank =
            hit.date.as_deref().map(|day| days.partition_point(|other| *other > day) + 1);
        if !days.is_empty() {
            // An undated passage is neither new nor old.
            let rank = parts.recency_rank.unwrap_or(days.len() / 2 + 1);
            parts.fused += share(settings.recency_weight, rank, settings);
        }
        parts.fused /= most.max(f64::MIN_POSITIVE);
        let same_kind = query.kind.is_some_and(|kind| kind == hit.kind);
        parts.kind = factor(same_kind, settings.same_kind_weight);
        let same_recipient = same_recipient(query.recipient, hit.recipient.as_deref());
        parts.recipient = factor(same_recipient, settings.same_recipient_weight);
        let score = parts.fused * parts.kind * parts.recipient;
        Some(Found { hit: Hit { score, ..hit.clone() }, parts })
    });
    weighed.collect()
}

fn factor(applies: bool, weight: f32) -> f64 {
    if applies { 1.0 + f64::from(weight) } else { 1.0 }
}

/// Whether an address or a name that was asked for stands among a document's recipients.
fn same_recipient(wanted: Option<&str>, recipients: Option<&str>) -> bool {
    match (wanted.map(str::trim), recipients) {
        (Some(wanted), Some(recipients)) if !wanted.is_empty() => {
            recipients.to_lowercase().contains(&wanted.to_lowercase())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> RetrieveConfig {
        RetrieveConfig { rrf_constant: 60, ..RetrieveConfig::default() }
    }

    #[test]
    fn a_passage_in_both_lists_beats_one_that_leads_one() {
        let lexical = [(1, 9.0), (2, 8.0)];
        let dense = [(3, 0.9), (2, 0.8)];
        let fused: HashMap<i64, Parts> = fuse(&lexical, &dense, &settings()).into_iter().collect();
        assert!(fused[&2].fused > fused[&1].fused);
        assert_eq!(fused[&2].bm25_rank, Some(2));
        assert_eq!(fused[&3].bm25, None);
    }

    #[test]
    fn leading_every_list_there_is_counts_as_one() {
        let hit =
            |date: Option<&str>| Hit { chunk: 1, date: date.map(str::to_owned), ..Hit::default() };
        for (dense, date) in [(vec![], None), (vec![(1, 0.5)], Some("2024-01-01"))] {
            let fused = fuse(&[(1, 9.0)], &dense, &settings());
            let found = weigh(vec![hit(date)], &fused, &Query::default(), &settings());
            assert!((found[0].hit.score - 1.0).abs() < 1e-9, "{found:?}");
        }
    }

    fn hit(chunk: i64, date: &str, recipient: &str) -> Hit {
        Hit {
            chunk,
            date: Some(date.into()),
            recipient: Some(recipient.into()),
            kind: "mail".into(),
            ..Hit::default()
        }
    }

    #[test]
    fn passages_to_the_same_person_weigh_more() {
        let hits = vec![
            hit(1, "2020-01-01", "Ann Bee <ann@x.org>"),
            hit(2, "2024-01-01", "Bob <bob@x.org>"),
        ];
        let fused = fuse(&[(1, 1.0)], &[(2, 1.0)], &settings());
        let settings = RetrieveConfig { same_recipient_weight: 0.5, ..settings() };
        let query = Query { recipient: Some("ANN@x.org"), ..Query::default() };
        let found = weigh(hits, &fused, &query, &settings);
        assert!(found[0].hit.score > found[1].hit.score);
        assert_eq!(found[1].parts.recency_rank, Some(1));
    }

    /// The story: of two notes one is about the kettle, the other shares only an article with the
    /// request, and is newer.
    #[test]
    fn a_newer_passage_does_not_pass_the_one_that_fits() {
        let hits = vec![hit(1, "2020-01-01", ""), hit(2, "2024-01-01", "")];
        let fused = fuse(&[(1, 2.0), (2, 1.0)], &[], &settings());
        let found = weigh(hits, &fused, &Query::default(), &settings());
        assert!(found[0].hit.score > found[1].hit.score, "{found:?}");
    }
}
