//! A command that the modes of files bind, whoever runs the tests: root may read and write what
//! nobody may, and containers run tests as root.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

/// Without these two rights root is held to the modes of its files, as everybody is.
const WITHOUT: &str = "--bounding-set=-dac_override,-dac_read_search";

/// The same command, held to modes; `None` where this machine does not let root give rights up.
pub fn held_to_modes(command: &Command) -> Option<Command> {
    let mut held = if is_root() {
        let tried = Command::new("setpriv").args([WITHOUT, "true"]).stderr(Stdio::null()).status();
        if !tried.is_ok_and(|status| status.success()) {
            return None;
        }
        let mut held = Command::new("setpriv");
        held.arg(WITHOUT).arg(command.get_program());
        held
    } else {
        Command::new(command.get_program())
    };
    held.args(command.get_args()).env_remove("RESTPG_HOME").stdin(Stdio::null());
    Some(held)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}
