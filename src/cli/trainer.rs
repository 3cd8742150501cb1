//! The models, devices and settings that training and its evaluation work with, found and loaded.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::interrupt::INTERRUPT;
use super::{Context, lora, retrieval};
use crate::catalogue::{Manifest, ModelStore, Use};
use crate::config::Config;
use crate::embedding::NamedEmbedder;
use crate::error::{Error, Exit, Explain};
use crate::ggml::Backend;
use crate::llama::{self, Model, Runtime};
use crate::metrics::StyleProfile;
use crate::retrieve::Embed;
use crate::selftrain::{Progress, Workshop};

/// A judge is not asked of what its own grades have brought about.
#[derive(Debug, thiserror::Error)]
#[error("the judge {name} is part of the reward")]
struct JudgeOfReward {
    name: String,
}

impl Explain for JudgeOfReward {
    fn kind(&self) -> &'static str {
        "usage"
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn help(&self) -> Option<String> {
        Some(
            "Name another model in [train] gate_judge and [eval] judge: one that no reward used."
                .into(),
        )
    }
}

/// What training works with.
pub(super) struct Trainer {
    pub(super) manifest: Manifest,
    base: PathBuf,
    sampled: PathBuf,
    reasoning: Option<PathBuf>,
    judge: Option<PathBuf>,
    gate_judge: Option<PathBuf>,
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
        require_impartial(&models, config, &config.train.gate_judge)?;
        let gate_judge = file_of("judge at the gate", &config.train.gate_judge)?;
        let threads = llama::threads(config.model.threads);
        let runtime = Runtime::start()?;
        runtime.require_memory_files()?;
        if let Some(file) = &gate_judge {
            // Hours later would be too late to find that it cannot write.
            Model::load(runtime.clone(), file)?;
        }
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
            gate_judge,
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
            gate_judge: self.gate_judge.as_deref(),
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

/// That the model called `name`, if any, is not the one whose grades are part of the reward.
///
/// # Errors
/// That it is.
pub(super) fn require_impartial(
    models: &ModelStore,
    config: &Config,
    name: &str,
) -> Result<(), Error> {
    if name.is_empty() || config.reward.judge_weight <= 0.0 {
        return Ok(());
    }
    let of_reward = match config.judge.model.as_str() {
        "" => config.model.name.as_str(),
        other => other,
    };
    // Two names may stand for one model.
    let sha256 = |name: &str| models.resolve(name).map(|(manifest, _)| manifest.sha256);
    if sha256(name)? == sha256(of_reward)? {
        return Err(JudgeOfReward { name: name.to_owned() }.into());
    }
    Ok(())
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
