//! How far long work is, stage by stage: a bar for whoever watches, a line a stage for others.

use std::cell::RefCell;

use indicatif::ProgressBar;

use super::output::Output;
use crate::lora::Event;
use crate::selftrain::Progress;

/// Shows how far a run is.
pub(super) struct Stages<'c> {
    output: &'c Output,
    bar: RefCell<ProgressBar>,
    stage: RefCell<String>,
}

impl<'c> Stages<'c> {
    pub(super) fn new(output: &'c Output) -> Self {
        let bar = RefCell::new(output.count_bar("beginning"));
        Self { output, bar, stage: RefCell::new(String::new()) }
    }

    pub(super) fn show(&self, progress: Progress<'_>) {
        match progress {
            Progress::Stage { name, done, total } => self.stage(name, done as u64, total as u64),
            Progress::Note(text) => self.say(|output| output.note(&text)),
            Progress::Fit { name, steps, event } => self.fit(name, steps, &event),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.borrow().finish_and_clear();
    }

    fn stage(&self, name: &str, done: u64, total: u64) {
        let is_new = *self.stage.borrow() != name;
        if is_new {
            name.clone_into(&mut self.stage.borrow_mut());
            self.finish();
            self.output.note(&format!("{name}: {total}"));
            *self.bar.borrow_mut() = self.output.count_bar(name);
        }
        let bar = self.bar.borrow();
        bar.set_length(total);
        bar.set_position(done);
        if is_new {
            bar.reset_eta();
        } else {
            bar.set_message(format!("{name}, {:.1} a minute", bar.per_sec() * 60.0));
        }
    }

    fn fit(&self, name: &str, steps: u64, event: &Event) {
        match *event {
            Event::Step { step, loss, seconds, rows, .. } => {
                self.stage(&format!("fitting {name}, steps"), step, steps);
                let speed = rows as f64 / seconds;
                let message = format!("fitting {name}: loss {loss:.3}, {speed:.0} tokens/s");
                self.bar.borrow().set_message(message);
                self.say(|output| {
                    output.detail(&format!("{name}, step {step}: loss {loss:.4}, {seconds:.1} s"));
                });
            }
            Event::HeldOut { step, loss } => {
                self.say(|output| {
                    output.detail(&format!("{name}, after step {step}: validation loss {loss:.4}"));
                });
            }
        }
    }

    fn say(&self, say: impl FnOnce(&Output)) {
        self.bar.borrow().suspend(|| say(self.output));
    }
}
