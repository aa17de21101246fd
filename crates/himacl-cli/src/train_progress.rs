//! The progress of a training run, shown by the printer.

use super::printer::{Printer, ProgressTask};
use crate::interrupt;
use himacl::train::Watch;
use hiref_core::{Event, Observer};
use std::sync::{Mutex, PoisonError};

/// Shows steps and losses, and passes a Ctrl-C on.
#[derive(Debug)]
pub struct TrainProgress<'a> {
    printer: &'a Printer,
    title: String,
    task: Mutex<Option<(u64, ProgressTask)>>,
}

impl<'a> TrainProgress<'a> {
    /// A watch over the run called `title`.
    pub fn new(printer: &'a Printer, title: &str) -> Self {
        printer.info(title);
        Self { printer, title: title.to_owned(), task: Mutex::default() }
    }
}

impl Observer for TrainProgress<'_> {
    fn on_event(&self, event: &Event) {
        // Couplings are short beside training: their phases go to the log only.
        tracing::debug!(run = self.title, ?event, "coupling");
    }

    fn should_stop(&self) -> bool {
        interrupt::requested()
    }
}

impl Watch for TrainProgress<'_> {
    fn on_step(&self, step: u64, total: u64, loss: f64) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen, task) = task.get_or_insert_with(|| (0, self.printer.task("train", "steps", total)));
        task.advance(step.saturating_sub(*seen));
        *seen = step;
        task.remark(&format!("loss {loss:.4}"));
    }

    fn note(&self, message: &str) {
        self.printer.info(message);
    }

    fn warn(&self, message: &str) {
        self.printer.warn(message);
    }
}
