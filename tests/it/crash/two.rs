//! Two processes that want to change one profile: the second is told so, or waits; readers read.

use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{Dice, arguments, assert_sound, held};
use crate::support::{Home, Said, finish};

/// A second, and half of one for a machine that is busy with other tests.
const REFUSAL_TIME_MAX: Duration = Duration::from_millis(1_500);
/// Longer than a refusal takes.
const WAITING_TIME: Duration = Duration::from_secs(2);
const ENDING_TIME_MAX: Duration = Duration::from_secs(60);
const DOCUMENTS: usize = 4_000;
const STARTS_MAX: usize = 20;

/// A process that is killed where the test fails.
struct Running(Child);

impl Running {
    fn signal(&self, name: &str) {
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -s \"$0\" \"$1\"", name, &self.0.id().to_string()]);
        assert!(kill.status().unwrap().success(), "cannot send {name}");
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Its exit code.
    fn end(mut self) -> Option<i32> {
        let start = Instant::now();
        while !self.has_ended() {
            assert!(start.elapsed() < ENDING_TIME_MAX, "it goes on and on");
            thread::sleep(Duration::from_millis(5));
        }
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Many documents in one file: one long transaction.
fn write_big_file(home: &Home, dice: &mut Dice) -> String {
    let mut lines = String::new();
    for index in 0..DOCUMENTS {
        let text = dice.text(40).replace('\n', " ");
        lines.push_str(&format!("{{\"id\": \"d{index}\", \"text\": \"{text}\"}}\n"));
    }
    home.write("big.jsonl", lines.as_bytes()).to_str().unwrap().to_owned()
}

fn write_small_file(home: &Home, dice: &mut Dice, number: u64) -> String {
    let text = dice.text(30);
    home.write(&format!("small/{number}.txt"), text.as_bytes()).to_str().unwrap().to_owned()
}

/// Stops an ingest at one moment after the other, until one of them lies within a transaction.
/// Returns it, with what the second ingest said and how long that took.
fn stopped_while_it_changes(home: &Home, dice: &mut Dice) -> (Running, Said, Duration) {
    for _ in 0..STARTS_MAX {
        let big = write_big_file(home, dice);
        let mut command = home.command(["ingest", "--user", "me", &big]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut first = Running(child);
        loop {
            thread::sleep(Duration::from_millis(5 + dice.below(60)));
            if first.has_ended() {
                // It was too quick; once more, with other texts.
                break;
            }
            first.signal("STOP");
            let number = dice.next();
            let small = write_small_file(home, dice, number);
            let start = Instant::now();
            let said = home.run(["ingest", "--user", "me", &small]);
            let refusal_time = start.elapsed();
            if said.code != Some(0) {
                return (first, said, refusal_time);
            }
            first.signal("CONT");
        }
    }
    panic!("no ingest could be stopped while it changes the profile");
}

#[test]
fn the_second_of_two_ingests_is_told_or_waits_and_readers_read() {
    let mut dice = Dice(9);
    let home = Home::new();
    // A profile of before.
    let small = write_small_file(&home, &mut dice, 0);
    home.run(["ingest", "--user", "me", &small]).exits(0);

    let (first, said, refusal_time) = stopped_while_it_changes(&home, &mut dice);
    said.exits(1).says(&["another restpg-edge is changing the profile", "help: "]);
    assert!(refusal_time < REFUSAL_TIME_MAX, "the refusal took {refusal_time:?}");

    let run = |arguments: &[&OsStr]| home.run(arguments);
    assert!(held(&run).unwrap().contains_key(&small));
    run(&arguments(&["profile", "search", "--user", "me", "anything"])).exits(0);

    // Whoever waits may give up.
    let another = write_small_file(&home, &mut dice, 2);
    let mut command = home.command(["ingest", "--wait", "--user", "me", &another]);
    let given_up = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    thread::sleep(WAITING_TIME);
    given_up.signal("INT");
    let start = Instant::now();
    assert_eq!(given_up.end(), Some(130));
    assert!(start.elapsed() < REFUSAL_TIME_MAX, "giving up took {:?}", start.elapsed());

    let waits = write_small_file(&home, &mut dice, 1);
    let command = home.command(["ingest", "--wait", "--user", "me", &waits]);
    let second = thread::spawn(move || finish(command, None));
    thread::sleep(WAITING_TIME);
    assert!(!second.is_finished(), "it did not wait: {:#?}", second.join().unwrap());
    first.signal("CONT");
    assert_eq!(first.end(), Some(0));
    second.join().unwrap().exits(0);

    let held = held(&run).unwrap();
    assert!(held.contains_key(&waits));
    assert_eq!(held.values().max(), Some(&DOCUMENTS));
    assert_sound(&run);
}
