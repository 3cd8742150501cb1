//! The story: a laptop runs out of power in the middle of an ingest, again and again, and now and
//! then once more while it looks at what is left.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{Dice, Writings, arguments, assert_kept, assert_sound, held, reported};
use crate::process_tree;
use crate::support::Home;

const KILLS: usize = 200;
/// An ingest that ends before its moment comes is no kill; so many rounds are enough.
const ROUNDS_MAX: usize = 600;
/// The latest moment: each round goes on where the one before was killed, so that short rounds
/// reach every moment of the whole too.
const DELAY_MAX: Duration = Duration::from_millis(250);
const RECOVERY_DELAY_MAX: Duration = Duration::from_millis(25);
const KILL_SIGNAL: i32 = 9;
/// The output of a killed program ends with it.
const OUTPUT_TIME_MAX: Duration = Duration::from_secs(10);

/// An ingest that was killed, or was faster.
struct Ended {
    is_killed: bool,
    reported: Vec<String>,
}

fn killed_ingest(home: &Home, writings: &Writings, delay: Duration) -> Ended {
    let mut command = home.command(writings.ingest());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = process_tree::collect(child.stderr.take().unwrap());
    thread::sleep(delay);
    let children = process_tree::descendants(child.id());
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let stderr = stderr.recv_timeout(OUTPUT_TIME_MAX).expect("somebody holds the output open");
    assert!(process_tree::end_together(&children), "a reader outlives the killed ingest");
    let is_killed = status.signal() == Some(KILL_SIGNAL);
    assert!(is_killed || status.success(), "{status:?}: {stderr}");
    Ended { is_killed, reported: reported(&stderr) }
}

fn kill_soon(mut command: Command, delay: Duration) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Kills whoever opens the store next, and with it the recovery of what was not finished.
fn kill_the_recovery(home: &Home, writings: &Writings, dice: &mut Dice) {
    let list = || home.command(arguments(&["profile", "list", "--user", "me"]));
    kill_soon(list(), dice.duration_below(RECOVERY_DELAY_MAX));
    kill_soon(home.command(writings.ingest()), dice.duration_below(RECOVERY_DELAY_MAX));
    kill_soon(list(), dice.duration_below(RECOVERY_DELAY_MAX));
}

/// An undisturbed run completes what is missing.
fn complete(home: &Home, writings: &Writings) {
    home.run(writings.ingest()).exits(0);
    let run = |arguments: &[&OsStr]| home.run(arguments);
    assert_eq!(held(&run).as_ref(), Some(&writings.documents));
    assert_sound(&run);
}

#[test]
fn two_hundred_kills_lose_nothing_that_was_reported() {
    let mut dice = Dice(0x5eed);
    let writings = Writings::new(&mut dice, 400, 60, 8);
    let start = Instant::now();
    complete(&Home::new(), &writings);
    let delay_max = start.elapsed().min(DELAY_MAX);

    let mut home = Home::new();
    let mut stored: BTreeSet<String> = BTreeSet::new();
    let (mut kills, mut halfway, mut completed) = (0, 0, 0);
    for _ in 0..ROUNDS_MAX {
        if kills == KILLS {
            break;
        }
        let ended = killed_ingest(&home, &writings, dice.duration_below(delay_max));
        kills += usize::from(ended.is_killed);
        stored.extend(ended.reported);
        if ended.is_killed && kills % 10 == 0 {
            kill_the_recovery(&home, &writings, &mut dice);
        }
        let run = |arguments: &[&OsStr]| home.run(arguments);
        let held = held(&run).unwrap_or_default();
        assert_kept(&held, &writings.documents, &stored);
        halfway += usize::from(!held.is_empty() && held.len() < writings.documents.len());
        if held.len() == writings.documents.len() {
            complete(&home, &writings);
            completed += 1;
            home = Home::new();
            stored.clear();
        }
    }
    println!("{kills} kills, {halfway} of them halfway, {completed} profiles completed");
    assert_eq!(kills, KILLS);
    assert!(halfway >= KILLS / 10, "only {halfway} kills came in the middle");
    complete(&home, &writings);
}
