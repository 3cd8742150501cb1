//! How long work treats the machine: it makes way for other programs, ends in time, and spares the
//! battery.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::interrupt::INTERRUPT;
use super::output::Output;
use super::power::{Power, power};
use crate::config::{OnBattery, TrainConfig};

/// How often the battery is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long it takes at most to notice Ctrl-C while waiting.
const SLICE: Duration = Duration::from_millis(200);
const SECONDS_OF_AN_HOUR: f64 = 3600.0;

/// What the settings ask of long work.
pub(super) struct Manners<'a> {
    output: &'a Output,
    deadline: Option<Instant>,
    on_battery: OnBattery,
    percent_min: u32,
    looked: Cell<Option<Instant>>,
}

impl<'a> Manners<'a> {
    /// As the settings say, from now on.
    pub(super) fn new(output: &'a Output, settings: &TrainConfig) -> Self {
        make_way(settings.nice);
        let hours = f64::from(settings.hours_max);
        let limit = (hours > 0.0).then(|| Duration::from_secs_f64(hours * SECONDS_OF_AN_HOUR));
        Self {
            output,
            deadline: limit.and_then(|limit| Instant::now().checked_add(limit)),
            on_battery: OnBattery::named(&settings.on_battery).unwrap_or(OnBattery::Pause),
            percent_min: settings.battery_percent_min,
            looked: Cell::new(None),
        }
    }

    /// Called between pieces of work: waits where the settings say so, and asks for the end where
    /// it is time.
    pub(super) fn breathe(&self) {
        if INTERRUPT.load(Ordering::Relaxed) {
            return;
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            self.stop("the time is up");
            return;
        }
        if self.looked.get().is_some_and(|last| last.elapsed() < LOOK_EVERY) {
            return;
        }
        self.spare_the_battery();
        self.looked.set(Some(Instant::now()));
    }

    fn spare_the_battery(&self) {
        let mut waits = false;
        while let Power::Battery { percent } = power() {
            if percent < self.percent_min {
                return self.stop(&format!("the battery is at {percent} %"));
            }
            match self.on_battery {
                OnBattery::GoOn => return,
                OnBattery::Stop => return self.stop("the machine runs on its battery"),
                OnBattery::Pause => {}
            }
            if !waits {
                self.output.note("waiting for the mains; [train] on_battery = \"go-on\" does not");
                waits = true;
            }
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return self.stop("the time is up");
            }
            if !self.slept() {
                return;
            }
        }
    }

    /// Sleeps until the battery is looked at again; whether the work goes on.
    fn slept(&self) -> bool {
        let until = Instant::now() + LOOK_EVERY;
        while Instant::now() < until {
            if INTERRUPT.load(Ordering::Relaxed) {
                return false;
            }
            thread::sleep(SLICE);
        }
        true
    }

    fn stop(&self, why: &str) {
        self.output.note(why);
        INTERRUPT.store(true, Ordering::Relaxed);
    }
}

/// Lowers the priority of this thread and of those that it starts. That it cannot is no reason not
/// to work.
#[cfg(unix)]
fn make_way(nice: u32) {
    let nice = i32::try_from(nice).unwrap_or(0);
    if nice > 0
        && let Err(error) = rustix::process::setpriority_process(None, nice)
    {
        tracing::warn!("the priority stays as it is: {error}");
    }
}

#[cfg(not(unix))]
fn make_way(_: u32) {}
