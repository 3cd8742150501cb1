//! Retrieval as every command does it: with the embedding model where there is one.

use super::Context;
use super::interrupt::INTERRUPT;
use crate::catalogue::{CatalogueError, ModelStore};
use crate::config::RetrieveConfig;
use crate::embedding::NamedEmbedder;
use crate::error::Error;
use crate::llama::{self, Runtime};
use crate::profile::{IndexState, ProfileError, ProfileStore, Vectors};
use crate::retrieve::{self, Embed, Found, Query};

/// One of the ways to choose passages that `retrieve` has.
type Choose = fn(
    &ProfileStore,
    Option<&Vectors>,
    &Query<'_>,
    &RetrieveConfig,
    usize,
) -> Result<Vec<Found>, ProfileError>;

/// The passages that `choose` chooses for `query`, by words and, where the embedding model is here
/// and the profile has vectors of it, by meaning. `runtime` is started where it is needed.
pub(super) fn find(
    context: &Context,
    store: &ProfileStore,
    runtime: &mut Option<Runtime>,
    query: &Query<'_>,
    k: usize,
    choose: Choose,
) -> Result<Vec<Found>, Error> {
    let settings = &context.config.retrieve;
    let Some(sha256) = embedder_sha256(context)? else {
        return Ok(choose(store, None, query, settings, k)?);
    };
    let state = store.index_state(&sha256)?;
    if let Some(advice) = advice(&state, &settings.embedder, store) {
        context.output.note(&advice);
    }
    if state.embedded == 0 {
        return Ok(choose(store, None, query, settings, k)?);
    }
    let embedder = load(context, runtime)?;
    let vectors = store.vectors(&sha256)?;
    let vector = embedder.query(query.text)?;
    let query = Query { vector: Some(&vector), ..query.clone() };
    Ok(choose(store, Some(&vectors), &query, settings, k)?)
}

/// Brings the vectors of a profile up to date. Returns how many passages were embedded.
///
/// # Errors
/// Where no embedding model is chosen or it has not been pulled, or it or the store fails.
pub(super) fn build_index(context: &Context, store: &mut ProfileStore) -> Result<usize, Error> {
    let name = &context.config.retrieve.embedder;
    let (manifest, _) = ModelStore::new(&context.paths.models).resolve(name)?;
    let state = store.index_state(&manifest.sha256)?;
    if state.embedded == state.passages {
        return Ok(0);
    }
    let bar = context.output.count_bar("embedding");
    let embedder = load(context, &mut None)?;
    let result = retrieve::update_index(store, &embedder, &INTERRUPT, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    result
}

/// After new writings were stored: brings the vectors up to date where there is an embedding model.
/// What goes wrong costs search by meaning, not the writings, so it is said and no more.
pub(super) fn index_after_ingest(context: &Context, store: &mut ProfileStore) {
    let result = match embedder_sha256(context) {
        Ok(None) => return,
        Ok(Some(_)) => build_index(context, store),
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        context.output.note(&format!(
            "the writings are stored, but not indexed for search by meaning: {error}"
        ));
    }
}

/// Whether the embedding model of the settings is here.
pub(super) fn is_pulled(context: &Context) -> Result<bool, Error> {
    Ok(embedder_sha256(context)?.is_some())
}

/// What tells the chosen embedder from others; `None` where none is chosen or it has not been
/// pulled.
fn embedder_sha256(context: &Context) -> Result<Option<String>, Error> {
    let name = &context.config.retrieve.embedder;
    if name.is_empty() {
        return Ok(None);
    }
    match ModelStore::new(&context.paths.models).resolve(name) {
        Ok((manifest, _)) => Ok(Some(manifest.sha256)),
        Err(CatalogueError::NotPulled { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Says how to search by meaning too, where that needs a model that is not here.
pub(super) fn suggest_embedder(context: &Context) -> Result<(), Error> {
    let name = &context.config.retrieve.embedder;
    if !name.is_empty() && embedder_sha256(context)?.is_none() {
        context.output.note(&format!(
            "found by words alone; `restpg-edge model pull {name}` adds search by meaning"
        ));
    }
    Ok(())
}

fn load(context: &Context, runtime: &mut Option<Runtime>) -> Result<NamedEmbedder, Error> {
    let started = match runtime.take() {
        Some(runtime) => runtime,
        None => Runtime::start()?,
    };
    *runtime = Some(started.clone());
    let config = &context.config;
    let threads = llama::threads(config.model.threads);
    let name = &config.retrieve.embedder;
    NamedEmbedder::load(started, &context.paths.models, name, config.model.batch_tokens, threads)
}

fn advice(state: &IndexState, embedder: &str, store: &ProfileStore) -> Option<String> {
    let user = store.user().as_str();
    let command = format!("`restpg-edge profile index --user {user:?}`");
    match state {
        _ if state.embedded == state.passages => None,
        IndexState { embedded: 0, stale, .. } if !stale.is_empty() => Some(format!(
            "the index is stale: it was made by {}, not by {embedder}; {command} rebuilds it",
            stale.join(", ")
        )),
        IndexState { passages, embedded, .. } => Some(format!(
            "{embedded} of {passages} passages can be found by meaning; {command} completes the \
             index"
        )),
    }
}
