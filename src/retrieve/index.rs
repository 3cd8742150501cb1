//! Bringing the vectors of a profile up to date, batch by batch.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Error;
use crate::profile::{EmbedderInfo, PendingPassage, ProfileStore};

/// Passages that are embedded before they are stored: what an interruption may cost.
const ROUND_PASSAGES: usize = 256;

/// Turns texts into vectors; a model somewhere else.
pub trait Embed {
    /// Who it is.
    fn info(&self) -> &EmbedderInfo;
    /// A unit vector for each passage.
    ///
    /// # Errors
    /// The model's.
    fn passages(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Error>;
    /// The unit vector of a request.
    ///
    /// # Errors
    /// The model's.
    fn query(&self, text: &str) -> Result<Vec<f32>, Error>;
}

/// Embeds every passage that has no vector of `embedder` yet. Each round is stored before the next
/// begins, so that an interrupted run goes on where it was. `on_progress` is told passages done and
/// passages in all. Returns how many were embedded.
///
/// # Errors
/// The model's or the store's; what was stored stays.
pub fn update_index(
    store: &mut ProfileStore,
    embedder: &dyn Embed,
    interrupt: &AtomicBool,
    on_progress: &mut dyn FnMut(usize, usize),
) -> Result<usize, Error> {
    let state = store.index_state(&embedder.info().sha256)?;
    let (mut done, mut after) = (state.embedded, 0);
    loop {
        let pending = store.pending(embedder.info(), after, ROUND_PASSAGES)?;
        let Some(last) = pending.last() else { break };
        if interrupt.load(Ordering::Relaxed) {
            break;
        }
        after = last.chunk;
        let texts: Vec<&str> = pending.iter().map(|passage| passage.text.as_str()).collect();
        let vectors = embedder.passages(&texts)?;
        let rows: Vec<(PendingPassage, Vec<f32>)> = pending.into_iter().zip(vectors).collect();
        store.put_vectors(embedder.info(), &rows)?;
        done += rows.len();
        on_progress(done, state.passages);
    }
    Ok(done - state.embedded)
}
