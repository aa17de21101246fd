//! The solver's events, shown by the printer.

use super::printer::{Printer, ProgressTask};
use crate::interrupt;
use hiref_core::{Event, Observer, Phase};
use serde::Serialize;
use std::sync::{Mutex, PoisonError};

/// Shows a solve's progress and passes a Ctrl-C on to the solver.
#[derive(Debug)]
pub struct SolveProgress<'a> {
    printer: &'a Printer,
    tasks: Mutex<Vec<(Phase, ProgressTask)>>,
}

/// The events that are more than progress, as lines of `--progress json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum JsonEvent<'a> {
    Level(&'a hiref_core::LevelReport),
    Sweep(&'a hiref_core::SweepReport),
    Round(&'a hiref_core::RoundReport),
    Iteration(&'a hiref_core::IterationReport),
}

impl<'a> SolveProgress<'a> {
    /// An observer that prints through `printer`.
    pub fn new(printer: &'a Printer) -> Self {
        Self { printer, tasks: Mutex::default() }
    }

    fn with_task(&self, phase: Phase, action: impl FnOnce(&ProgressTask)) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, task)) = tasks.iter().find(|(running, _)| *running == phase) {
            action(task);
        }
    }
}

impl Observer for SolveProgress<'_> {
    fn on_event(&self, event: &Event) {
        match event {
            Event::PhaseStarted { phase, total } => {
                let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
                // A phase that starts again, as each polish sweep does, is planned longer than it was.
                match tasks.iter().find(|(running, _)| running == phase) {
                    Some((_, task)) => task.extend(*total),
                    None => tasks.push((*phase, self.printer.task(phase.name(), phase.unit(), *total))),
                }
            }
            Event::Advanced { phase, work } => self.with_task(*phase, |task| task.advance(*work)),
            Event::PhaseFinished { phase, seconds } => {
                self.tasks.lock().unwrap_or_else(PoisonError::into_inner).retain(|(running, _)| running != phase);
                tracing::info!(?phase, seconds, "phase finished");
            }
            Event::LevelFinished(report) => self.printer.json(&JsonEvent::Level(report)),
            Event::SweepFinished(report) => {
                self.with_task(Phase::Polish, |task| task.remark(&format!("mean cost {:.6}", report.mean_cost)));
                self.printer.json(&JsonEvent::Sweep(report));
            }
            Event::RoundFinished(report) => {
                let bound = report.dual_bound.map(|bound| format!(", at least {bound:.6}")).unwrap_or_default();
                let remark = format!("mean cost {:.6}{bound}", report.mean_cost);
                self.with_task(Phase::Exact, |task| task.remark(&remark));
                self.printer.json(&JsonEvent::Round(report));
            }
            Event::IterationFinished(report) => {
                self.with_task(Phase::Iterations, |task| task.remark(&format!("error {:.2e}", report.error)));
                self.printer.json(&JsonEvent::Iteration(report));
            }
            _ => {}
        }
    }

    fn should_stop(&self) -> bool {
        interrupt::requested()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProgressMode;

    #[test]
    fn a_task_lives_as_long_as_its_phase() {
        let printer = Printer::new(ProgressMode::None, true);
        let progress = SolveProgress::new(&printer);
        progress.on_event(&Event::PhaseStarted { phase: Phase::Leaves, total: 4 });
        progress.on_event(&Event::Advanced { phase: Phase::Leaves, work: 4 });
        progress.on_event(&Event::PhaseStarted { phase: Phase::Leaves, total: 2 });
        progress.on_event(&Event::Advanced { phase: Phase::Polish, work: 4 });
        assert_eq!(progress.tasks.lock().unwrap().len(), 1);
        progress.on_event(&Event::PhaseFinished { phase: Phase::Leaves, seconds: 0.1 });
        assert!(progress.tasks.lock().unwrap().is_empty());
    }
}
