//! The embedding model that the settings name, with the words that it wants before its texts.

use std::path::Path;

use crate::catalogue::{self, ModelStore, Prefixes};
use crate::error::Error;
use crate::llama::{Embedder, Runtime};
use crate::profile::EmbedderInfo;
use crate::retrieve::Embed;

/// An embedding model under its name.
#[derive(Debug)]
pub struct NamedEmbedder {
    embedder: Embedder,
    info: EmbedderInfo,
    prefixes: Prefixes,
}

impl NamedEmbedder {
    /// Loads the pulled model called `name` from the folder `models`, to embed on `threads`
    /// threads, `batch_tokens` at a time.
    ///
    /// # Errors
    /// That it is not here, or why it cannot be loaded.
    pub fn load(
        runtime: Runtime,
        models: &Path,
        name: &str,
        batch_tokens: u32,
        threads: u32,
    ) -> Result<Self, Error> {
        let (manifest, file) = ModelStore::new(models).resolve(name)?;
        let embedder = Embedder::load(runtime, &file, batch_tokens, threads)?;
        let info = EmbedderInfo {
            name: manifest.name,
            sha256: manifest.sha256,
            dimensions: embedder.dimensions(),
        };
        Ok(Self { embedder, info, prefixes: catalogue::prefixes(name) })
    }

    /// The model itself.
    #[must_use]
    pub fn embedder(&self) -> &Embedder {
        &self.embedder
    }

    fn embed(&self, prefix: &str, texts: &[&str]) -> Result<Vec<Vec<f32>>, Error> {
        if prefix.is_empty() {
            return Ok(self.embedder.embed(texts)?);
        }
        let texts: Vec<String> = texts.iter().map(|text| format!("{prefix}{text}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        Ok(self.embedder.embed(&texts)?)
    }
}

impl Embed for NamedEmbedder {
    fn info(&self) -> &EmbedderInfo {
        &self.info
    }

    fn passages(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Error> {
        self.embed(&self.prefixes.passage, texts)
    }

    fn query(&self, text: &str) -> Result<Vec<f32>, Error> {
        let vectors = self.embed(&self.prefixes.query, &[text])?;
        Ok(vectors.into_iter().next().unwrap_or_default())
    }
}
