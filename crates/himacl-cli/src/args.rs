//! The arguments that commands share.

use super::device::DeviceChoice;
use super::error::Error;
use super::printer::{LogLevel, ProgressMode};
use clap::Args;
use himacl::data::output::Existing;
use std::path::{Path, PathBuf};

/// Arguments of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct GlobalArgs {
    /// Where tensors live: auto, cpu, cuda or cuda:N.
    ///
    /// `auto` takes the first CUDA device and falls back to the CPU where there is none; `cuda` fails then.
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto")]
    pub(crate) device: DeviceChoice,

    /// Seed of every random choice [default: 0, or the configuration's]. On the CPU, the same seed gives the same bits.
    // TOML integers are signed 64-bit, and every run's configuration is written as TOML.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub(crate) seed: Option<u64>,

    /// Worker threads, 1 to 4096 [default: one per core].
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) threads: Option<u16>,

    /// Print nothing but warnings, errors and the result.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,

    /// How progress is shown on stderr.
    ///
    /// `auto` shows bars on a terminal and nothing elsewhere; `json` writes one object a line.
    #[arg(long, global = true, value_enum, value_name = "MODE", default_value_t)]
    pub(crate) progress: ProgressMode,

    /// Least severe log messages to show on stderr.
    #[arg(long, global = true, value_enum, value_name = "LEVEL", default_value_t)]
    pub(crate) log_level: LogLevel,
}

/// Arguments of every command that writes a folder of results.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArgs {
    /// Folder for the results.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: PathBuf,

    /// Replace the result of the same command in the output folder; everything else there stays.
    #[arg(long)]
    pub(crate) force: bool,

    /// Go on with an interrupted run in the output folder, with the same settings.
    #[arg(long)]
    pub(crate) resume: bool,
}

impl OutputArgs {
    /// What the flags say about existing output.
    pub(crate) fn existing(&self) -> Existing {
        existing(self.force, self.resume)
    }
}

/// What `--force` and `--resume` say of output that exists; `--resume` goes first.
pub(crate) fn existing(force: bool, resume: bool) -> Existing {
    match (force, resume) {
        (_, true) => Existing::Resume,
        (true, false) => Existing::Overwrite,
        (false, false) => Existing::Refuse,
    }
}

/// Refuses a file that is there, unless it is to be replaced.
///
/// # Errors
/// [`himacl::data::Error::OutputFileExists`].
pub(crate) fn refuse_existing(path: &Path, force: bool) -> Result<(), Error> {
    if path.exists() && !force {
        return Err(himacl::data::Error::OutputFileExists(path.to_path_buf()).into());
    }
    Ok(())
}
