//! The models, devices and settings that training and its evaluation work with, found and loaded.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::interrupt::INTERRUPT;
use super::{Context, lora, retrieval};
use crate::catalogue::{Manifest, ModelStore, Use};
use crate::embedding::NamedEmbedder;
use crate::error::Error;
use crate::ggml::Backend;
use crate::llama::{self, Runtime, physical_cores};
use crate::metrics::StyleProfile;
use crate::retrieve::Embed;
use crate::selftrain::{Progress, Workshop};

/// What training works with.
pub(super) struct Trainer {
    pub(super) manifest: Manifest,
    base: PathBuf,
    sampled: PathBuf,
    reasoning: Option<PathBuf>,
    judge: Option<PathBuf>,
    pub(super) runtime: Runtime,
    backend: Backend,
    fit_bytes_max: u64,
    threads: u32,
    pub(super) embedder: Option<NamedEmbedder>,
    /// What each part of the run is computed with, by the hashes of the files.
    pub(super) files: BTreeMap<String, String>,
}

impl Trainer {
    /// As the settings say.
    ///
    /// # Errors
    /// That a model is not here, or why it cannot be used.
    pub(super) fn open(context: &Context) -> Result<Self, Error> {
        let config = &context.config;
        let models = ModelStore::new(&context.paths.models);
        let (manifest, base) = models.resolve(&config.model.name)?;
        let resolved = models.resolve_for(&config.model.name, Use::Sample, llama::VERSION)?;
        let sampled = resolved.file;
        let mut files = BTreeMap::from([
            ("model".to_owned(), manifest.sha256.clone()),
            ("sampling".to_owned(), resolved.sha256),
        ]);
        let mut file_of = |purpose: &str, name: &str| -> Result<Option<PathBuf>, Error> {
            if name.is_empty() {
                return Ok(None);
            }
            let (manifest, file) = models.resolve(name)?;
            files.insert(purpose.to_owned(), manifest.sha256);
            Ok(Some(file))
        };
        let reasoning = file_of("notes", &config.train.reasoning_model)?;
        let judge = match (config.reward.judge_weight > 0.0, config.judge.model.as_str()) {
            (false, _) => None,
            (true, "") => Some(sampled.clone()),
            (true, name) => file_of("judge", name)?,
        };
        let threads = match config.model.threads {
            0 => physical_cores(),
            threads => threads,
        };
        let runtime = Runtime::start()?;
        let backend = lora::backend(None, threads, &runtime)?;
        let fit_bytes_max = lora::available_bytes(context, &backend);
        let embedder = embedder(context, &runtime, threads)?;
        if let Some(embedder) = &embedder {
            files.insert("embedder".to_owned(), embedder.info().sha256.clone());
        }
        Ok(Self {
            manifest,
            base,
            sampled,
            reasoning,
            judge,
            runtime,
            backend,
            fit_bytes_max,
            threads,
            embedder,
            files,
        })
    }

    /// The embedding model, where there is one.
    pub(super) fn embed(&self) -> Option<&dyn Embed> {
        self.embedder.as_ref().map(|it| it as &dyn Embed)
    }

    /// Everything that a run works with.
    pub(super) fn workshop<'a>(
        &'a self,
        context: &'a Context,
        styles: &'a [Option<StyleProfile>],
        rejected: &'a [String],
        breathe: &'a dyn Fn(),
        tell: &'a dyn Fn(Progress<'_>),
    ) -> Workshop<'a> {
        Workshop {
            runtime: self.runtime.clone(),
            base: &self.base,
            base_sha256: &self.manifest.sha256,
            sampled: &self.sampled,
            reasoning: self.reasoning.as_deref(),
            judge: self.judge.as_deref(),
            config: &context.config,
            threads: self.threads,
            backend: &self.backend,
            fit_bytes_max: self.fit_bytes_max,
            embedder: self.embed(),
            styles,
            rejected,
            interrupt: &INTERRUPT,
            breathe,
            tell,
        }
    }
}

/// The embedding model of the settings, where it is here.
fn embedder(
    context: &Context,
    runtime: &Runtime,
    threads: u32,
) -> Result<Option<NamedEmbedder>, Error> {
    let name = &context.config.retrieve.embedder;
    if !retrieval::is_pulled(context)? {
        return Ok(None);
    }
    let batch_tokens = context.config.model.batch_tokens;
    let models = &context.paths.models;
    Ok(Some(NamedEmbedder::load(runtime.clone(), models, name, batch_tokens, threads)?))
}
