//! The progress of a training run, shown by the printer.

use super::printer::{Printer, ProgressTask};
use super::progress::SolveProgress;
use crate::interrupt;
use himacl::train::Watch;
use hiref_core::{AlignmentRound, Event, Observer, Phase};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Couplings of at least so many points are shown phase by phase; smaller ones are over in a few seconds.
const LARGE_COUPLING: u64 = 1 << 15;

/// Shows steps and losses, and passes a Ctrl-C on.
#[derive(Debug)]
pub struct TrainProgress<'a> {
    printer: &'a Printer,
    title: String,
    task: Mutex<Option<(u64, ProgressTask)>>,
    align: Mutex<Option<ProgressTask>>,
    coupling: SolveProgress<'a>,
    is_large: AtomicBool,
}

/// A round of the alignment, as a line of `--progress json`.
#[derive(Serialize)]
struct JsonRound<'a> {
    event: &'static str,
    run: &'a str,
    #[serde(flatten)]
    round: &'a AlignmentRound,
}

impl<'a> TrainProgress<'a> {
    /// A watch over the run called `title`.
    pub fn new(printer: &'a Printer, title: &str) -> Self {
        printer.info(title);
        let (coupling, is_large) = (SolveProgress::new(printer), AtomicBool::new(false));
        Self { printer, title: title.to_owned(), task: Mutex::default(), align: Mutex::default(), coupling, is_large }
    }

    /// Shows the phases of large couplings; those of others go to the log only.
    fn on_coupling(&self, event: &Event) {
        if let Event::PhaseStarted { phase: Phase::Split | Phase::Leaves | Phase::Polish, total } = event {
            self.is_large.store(*total >= LARGE_COUPLING, Ordering::Relaxed);
        }
        if self.is_large.load(Ordering::Relaxed) {
            self.coupling.on_event(event);
        } else {
            tracing::debug!(run = self.title, ?event, "coupling");
        }
    }
}

impl Observer for TrainProgress<'_> {
    fn on_event(&self, event: &Event) {
        let mut task = self.align.lock().unwrap_or_else(PoisonError::into_inner);
        match (event, &*task) {
            // Further starts are planned once the first ones do not agree.
            (Event::PhaseStarted { phase: Phase::Align, total }, Some(task)) => task.extend(*total),
            (Event::PhaseStarted { phase: phase @ Phase::Align, total }, None) => {
                *task = Some(self.printer.task(phase.name(), phase.unit(), *total));
            }
            (Event::Advanced { phase: Phase::Align, work }, Some(task)) => task.advance(*work),
            (Event::AlignmentRound(round), Some(task)) => {
                task.remark(&format!("{}, round {} of {}", round.stage, round.round, round.rounds));
                self.printer.json(&JsonRound { event: "alignment_round", run: &self.title, round });
            }
            _ => self.on_coupling(event),
        }
    }

    fn should_stop(&self) -> bool {
        interrupt::requested()
    }
}

impl Watch for TrainProgress<'_> {
    fn on_step(&self, step: u64, total: u64, loss: f64) {
        // The alignment is over.
        drop(self.align.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        // A run that chooses its map trains twice.
        if task.as_ref().is_some_and(|(seen, _)| step < *seen) {
            *task = None;
        }
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
