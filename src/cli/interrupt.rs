//! Ctrl-C and termination: the first asks the command to end cleanly, the second ends the process.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Exit;

/// Set once the person wants the command to end.
pub(super) static INTERRUPT: AtomicBool = AtomicBool::new(false);

static INSTALLED: Once = Once::new();

/// Begins to listen. Without a handler the signal simply ends the process, which loses nothing
/// that was reported done; so a failure here is only noted.
pub(super) fn install() {
    let handler = || {
        if terminal::restore() || INTERRUPT.swap(true, Ordering::Relaxed) {
            std::process::exit(Exit::Interrupted as i32);
        }
    };
    INSTALLED.call_once(|| {
        if let Err(error) = ctrlc::set_handler(handler) {
            tracing::warn!("Ctrl-C ends the program at once: {error}");
        }
    });
}

/// Asks for something that is typed unseen: Ctrl-C meanwhile ends the process, and leaves a
/// terminal that shows again what is typed.
pub(super) fn while_typing<T>(ask: impl FnOnce() -> T) -> T {
    install();
    terminal::remember();
    let typed = ask();
    terminal::forget();
    typed
}

#[cfg(unix)]
mod terminal {
    use std::fs::File;
    use std::sync::Mutex;

    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

    /// The terminal and how it was before something was typed unseen.
    static BEFORE: Mutex<Option<(File, Termios)>> = Mutex::new(None);

    fn set(before: Option<(File, Termios)>) -> Option<(File, Termios)> {
        BEFORE.lock().ok().and_then(|mut state| std::mem::replace(&mut *state, before))
    }

    pub(super) fn remember() {
        let terminal = File::open("/dev/tty").ok();
        set(terminal.and_then(|terminal| tcgetattr(&terminal).ok().map(|state| (terminal, state))));
    }

    pub(super) fn forget() {
        set(None);
    }

    /// Whether something was being typed; then the terminal is as before.
    pub(super) fn restore() -> bool {
        let Some((terminal, state)) = set(None) else { return false };
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(&terminal, OptionalActions::Now, &state);
        true
    }
}

#[cfg(not(unix))]
mod terminal {
    pub(super) fn remember() {}
    pub(super) fn forget() {}
    pub(super) fn restore() -> bool {
        false
    }
}
