//! `restpg-edge profile search` and `profile index`.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::interrupt::{self, INTERRUPT};
use super::output::visible;
use super::{Context, profile, retrieval};
use crate::error::{Error, Exit};
use crate::retrieve::{self, Found, Parts, Query};

/// How much of a passage a line shows.
const PASSAGE_CHARS: usize = 240;

pub(super) fn search(
    context: &Context,
    user: &str,
    k: Option<u32>,
    recipient: Option<&str>,
    explain: bool,
    text: &str,
) -> Result<(), Error> {
    let k = k.unwrap_or(context.config.retrieve.k) as usize;
    let store = profile::open(context, user)?;
    let query = Query { text, recipient, ..Query::default() };
    let found = retrieval::find(context, &store, &mut None, &query, k, retrieve::retrieve)?;
    if context.output.json {
        let hits: Vec<Value> = found.iter().map(|found| as_json(found, explain)).collect();
        return context.output.object(&json!({"user": user, "query": text, "hits": hits}));
    }
    if found.is_empty() {
        context.output.note("no passage fits that");
    }
    retrieval::suggest_embedder(context)?;
    found.iter().try_for_each(|found| show(context, found, explain))
}

fn as_json(found: &Found, explain: bool) -> Value {
    let mut hit = json!(found);
    if !explain && let Some(object) = hit.as_object_mut() {
        object.remove("parts");
    }
    hit
}

fn show(context: &Context, found: &Found, explain: bool) -> Result<(), Error> {
    let hit = &found.hit;
    let words = hit.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let passage: String = words.chars().take(PASSAGE_CHARS).collect();
    context.output.line(&format!(
        "{:6.3}  {}  {}  {}",
        hit.score,
        hit.document,
        hit.date.as_deref().unwrap_or("undated"),
        visible(hit.title.as_deref().unwrap_or_default())
    ))?;
    if explain {
        context.output.line(&format!("        = {}", formula(&found.parts)))?;
    }
    context.output.line(&format!("        {}", visible(&passage)))
}

/// The parts of a score, in the order in which they are multiplied.
fn formula(parts: &Parts) -> String {
    let rank = |name: &str, score: Option<f64>, rank: Option<usize>| match (score, rank) {
        (Some(score), Some(rank)) => format!("{name} {score:.3} (rank {rank})"),
        _ => format!("{name} not found"),
    };
    let recency =
        parts.recency_rank.map_or("undated".into(), |rank| format!("rank {rank} by date"));
    format!(
        "ranks {:.3} [{}, {}, {recency}] x recipient {:.3} x kind {:.3}; repetition -{:.3}",
        parts.fused,
        rank("bm25", parts.bm25, parts.bm25_rank),
        rank("cosine", parts.cosine, parts.cosine_rank),
        parts.recipient,
        parts.kind,
        parts.repetition
    )
}

pub(super) fn index(context: &Context, user: &str) -> Result<Option<Exit>, Error> {
    let mut store = profile::open(context, user)?;
    interrupt::install();
    let embedded = retrieval::build_index(context, &mut store)?;
    let interrupted = INTERRUPT.load(Ordering::Relaxed);
    if context.output.json {
        let name = &context.config.retrieve.embedder;
        context.output.object(&json!({
            "user": user,
            "embedder": name,
            "embedded": embedded,
            "interrupted": interrupted,
        }))?;
    } else {
        context.output.note(&format!("{embedded} passages embedded"));
    }
    Ok(interrupted.then_some(Exit::Interrupted))
}
