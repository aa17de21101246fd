//! The solver's state on disk, from time to time.

use crate::error::Error;
use crate::{Printer, SolveProgress};
use himacl::data::files::{remove_if_present, write_atomic};
use himacl::data::output::OutputDir;
use himacl::data::seal;
use hiref_core::{Event, Observer};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The name of the state's file.
pub(super) const CHECKPOINT: &str = "checkpoint.safetensors";

/// Shows a solve's progress, and writes its state every so often and whenever it is asked to stop.
pub(super) struct Checkpoints<'a> {
    progress: SolveProgress<'a>,
    printer: &'a Printer,
    output: &'a OutputDir,
    every: Duration,
    written: Mutex<Instant>,
}

impl<'a> Checkpoints<'a> {
    pub(super) fn new(printer: &'a Printer, output: &'a OutputDir, every: f64) -> Self {
        let every = Duration::try_from_secs_f64(every).unwrap_or(Duration::MAX);
        let (progress, written) = (SolveProgress::new(printer), Mutex::new(Instant::now()));
        Self { progress, printer, output, every, written }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        // An earlier run's summary must not vouch for this one.
        remove_if_present(&self.output.file("summary.json"))?;
        let path = self.output.file(CHECKPOINT);
        let bytes =
            seal(bytes, &[]).map_err(|source| himacl::data::Error::Safetensors { path: path.clone(), source })?;
        Ok(write_atomic(&path, |file| file.write_all(&bytes))?)
    }
}

impl Observer for Checkpoints<'_> {
    fn on_event(&self, event: &Event) {
        self.progress.on_event(event);
    }

    fn on_checkpoint(&self, encode: &dyn Fn() -> Vec<u8>, last: bool) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if !last && written.elapsed() < self.every {
            return;
        }
        // The solve goes on without: its result may still find room.
        if let Err(error) = self.write(&encode()) {
            self.printer.warn(&format!("the run cannot be resumed from here: {error}"));
        }
        *written = Instant::now();
    }

    fn should_stop(&self) -> bool {
        self.progress.should_stop()
    }
}
