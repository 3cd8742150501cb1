//! Ctrl-C and termination: the first asks the command to end cleanly, the second ends the process.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Exit;

/// Set once the person wants the command to end.
pub(super) static INTERRUPT: AtomicBool = AtomicBool::new(false);

/// Begins to listen. Without a handler the signal simply ends the process, which loses nothing
/// that was reported done; so a failure here is only noted.
pub(super) fn install() {
    let handler = || {
        if INTERRUPT.swap(true, Ordering::Relaxed) {
            std::process::exit(Exit::Interrupted as i32);
        }
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        tracing::warn!("Ctrl-C ends the program at once: {error}");
    }
}
