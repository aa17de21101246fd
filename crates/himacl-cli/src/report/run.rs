//! What was run, on what, for how long.

use super::memory::peak_rss_bytes;
use crate::error::Error;
use himacl::data::files::{write_json, write_text};
use himacl::data::output::OutputDir;
use serde::{Serialize, Serializer};
use std::time::Instant;

/// The name of the file that ends a run.
const SUMMARY: &str = "summary.json";

/// The common part of every summary.json; put it into a command's own summary with `#[serde(flatten)]`.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// Program versions.
    pub versions: Versions,
    /// The device, as `--device` takes it.
    pub device: String,
    /// Worker threads.
    pub threads: usize,
    /// The command line as it was given.
    pub command_line: Vec<String>,
    /// Wall time of each phase, in seconds.
    pub seconds: Seconds,
    /// Wall time of the whole run, in seconds.
    pub total_seconds: f64,
    /// Largest resident size, in bytes; null where the system does not tell.
    pub peak_rss_bytes: Option<u64>,
}

/// Program versions.
#[derive(Debug, Clone, Serialize)]
pub struct Versions {
    /// This program's.
    pub himacl: &'static str,
}

/// Wall time by phase, in the order of the phases; null for a phase that was not asked for.
#[derive(Debug, Clone, Default)]
pub struct Seconds(Vec<(&'static str, Option<f64>)>);

/// Measures a run.
#[derive(Debug)]
pub struct Recorder {
    device: String,
    threads: usize,
    command_line: Vec<String>,
    started: Instant,
    seconds: Seconds,
}

impl Recorder {
    /// Starts the clock; `device` is the device's name, `command_line` what was given, the program's name first.
    pub fn start(device: String, threads: usize, command_line: Vec<String>) -> Self {
        Self { device, threads, command_line, started: Instant::now(), seconds: Seconds::default() }
    }

    /// Runs `work` and notes its wall time as that of `phase`.
    pub fn time<T>(&mut self, phase: &'static str, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.note(phase, Some(started.elapsed().as_secs_f64()));
        result
    }

    /// Adds seconds to `phase`; `None` lists a phase that was not asked for.
    pub fn note(&mut self, phase: &'static str, seconds: Option<f64>) {
        match self.seconds.0.iter_mut().find(|(name, _)| *name == phase) {
            None => self.seconds.0.push((phase, seconds)),
            Some((_, sum)) => *sum = sum.map_or(seconds, |sum| Some(sum + seconds.unwrap_or(0.0))),
        }
    }

    /// The report as of now.
    pub fn report(&self) -> RunReport {
        RunReport {
            versions: Versions { himacl: env!("CARGO_PKG_VERSION") },
            device: self.device.clone(),
            threads: self.threads,
            command_line: self.command_line.clone(),
            seconds: self.seconds.clone(),
            total_seconds: self.started.elapsed().as_secs_f64(),
            peak_rss_bytes: peak_rss_bytes(),
        }
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// Writes `summary.json`: last, since its presence tells that the rest is complete.
///
/// # Errors
/// [`himacl::data::Error::Io`]; [`himacl::data::Error::Json`] for a value that JSON cannot hold.
pub fn write_summary(output: &OutputDir, summary: &impl Serialize) -> Result<(), Error> {
    Ok(write_json(&output.file(SUMMARY), summary)?)
}

/// Writes `config.toml`, the resolved configuration.
///
/// # Errors
/// [`himacl::data::Error::Io`]; [`himacl::data::Error::ConfigWrite`] for a value that TOML cannot hold.
pub fn write_config(output: &OutputDir, config: &impl Serialize) -> Result<(), Error> {
    Ok(write_text(&output.file("config.toml"), &toml::to_string(config)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_keep_their_order_and_add_up() {
        let mut recorder = Recorder::start("cpu".to_owned(), 2, Vec::new());
        assert_eq!(recorder.time("write", || 7), 7);
        recorder.note("load", Some(1.0));
        recorder.note("load", Some(0.5));
        recorder.note("certify", None);
        let report = recorder.report();
        assert_eq!(report.seconds.0[1..], [("load", Some(1.5)), ("certify", None)]);
        let text = serde_json::to_string(&report).unwrap();
        assert!(text.contains(r#""load":1.5,"certify":null}"#), "{text}");
    }
}
