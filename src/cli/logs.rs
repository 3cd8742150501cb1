//! The log: llama.cpp's and our own, to stderr, only where asked for. Never any content.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging: our warnings by default, everything's with `verbose`.
pub(super) fn start(verbose: u8) {
    let (ours, others) = match verbose {
        0 => (LevelFilter::WARN, LevelFilter::OFF),
        1 => (LevelFilter::INFO, LevelFilter::INFO),
        _ => (LevelFilter::DEBUG, LevelFilter::DEBUG),
    };
    let filter = Targets::new().with_default(others).with_target("restpg_edge", ours);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(verbose > 0)
        .with_ansi(false);
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(layer).with(filter).try_init();
}
