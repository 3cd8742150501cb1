//! The binary: hands the arguments to the library and leaves with its exit code.

use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let started = Instant::now();
    ExitCode::from(restpg_edge::cli::run(std::env::args_os().collect(), started))
}
