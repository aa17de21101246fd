//! What every command gets: the device, the seed, the printer.

use super::args::GlobalArgs;
use super::device::device_name;
use super::printer::Printer;
use crate::error::Error;
use crate::report::Recorder;
use candle_core::Device;

/// The common options, resolved, and the one way to print.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where tensors live.
    pub device: Device,
    /// `--seed`, where given.
    pub seed: Option<u64>,
    /// Worker threads of the global pool.
    pub threads: usize,
    /// `--threads`, where given.
    pub(crate) asked_threads: Option<u16>,
    /// The command line as it was given, the program's name first.
    pub command_line: Vec<String>,
    /// The only way to print.
    pub printer: Printer,
}

impl Context {
    /// Opens the device and starts the worker threads.
    pub(crate) fn new(args: &GlobalArgs, command_line: Vec<String>, printer: Printer) -> Result<Self, Error> {
        if let Some(threads) = args.threads.map(usize::from) {
            let built = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
            built.map_err(|error| Error::Threads { threads, reason: error.to_string() })?;
        }
        let (device, note) = args.device.open()?;
        if let Some(note) = note {
            printer.info(&note);
        }
        let threads = rayon::current_num_threads();
        Ok(Self { device, seed: args.seed, threads, asked_threads: args.threads, command_line, printer })
    }

    /// Starts the clock of a run's summary.
    pub(crate) fn recorder(&self) -> Recorder {
        Recorder::start(self.device_name(), self.threads, self.command_line.clone())
    }

    /// The device's name, as `--device` takes it.
    pub fn device_name(&self) -> String {
        device_name(&self.device)
    }
}
