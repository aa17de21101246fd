//! The solvers that `compare` sets side by side: ours and the peers, each in a process of its own.

use crate::report::QualityArg;
use anyhow::{Context, anyhow, bail, ensure};
use hiref_core::CostKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// What the last line on a solver's standard output says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// From points in memory to a coupling in memory.
    pub(crate) seconds: f64,
    /// Compilation ahead of time, not in `seconds`.
    pub(crate) compile_seconds: f64,
    /// Resident size before the solve.
    pub(crate) start_rss_bytes: Option<u64>,
    /// Largest resident size of the process up to the end of the solve.
    pub(crate) peak_rss_bytes: Option<u64>,
    pub(crate) version: String,
    pub(crate) options: Value,
    pub(crate) note: String,
    /// Of a soft coupling; that of a bijection is computed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mean_cost: Option<f64>,
    /// Of a soft coupling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) marginal_error: Option<f64>,
    /// The share of the mean cost that a dual bound leaves open, from solvers that certify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) relative_gap: Option<f64>,
}

/// What a solver gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Coupling {
    /// Every x point has one y point of its own.
    Bijection,
    /// Masses between all points.
    Soft,
}

impl Outcome {
    /// A soft coupling comes with its cost.
    pub(crate) fn coupling(&self) -> Coupling {
        if self.mean_cost.is_some() { Coupling::Soft } else { Coupling::Bijection }
    }
}

/// A peer of `scripts/peers/run.py` and its one setting, as `NAME` or `NAME:PARAMETER`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Peer {
    name: String,
    parameter: Option<String>,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, parameter) = match text.split_once(':') {
            Some((name, parameter)) => (name, Some(parameter)),
            None => (text, None),
        };
        if parameter.is_some_and(|parameter| parameter.parse::<f64>().is_err()) {
            return Err("expected NAME or NAME:NUMBER".to_owned());
        }
        Ok(Self { name: name.to_owned(), parameter: parameter.map(str::to_owned) })
    }
}

/// One solver.
#[derive(Debug, Clone)]
pub(crate) enum Contender {
    /// This library.
    Ours(QualityArg),
    /// A program under the peers' contract.
    Peer(Peer),
}

impl Contender {
    /// How it is called in tables.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Ours(quality) => format!("hiref {}", quality.name()),
            Self::Peer(Peer { name, parameter: Some(parameter) }) => format!("{name} {parameter}"),
            Self::Peer(Peer { name, parameter: None }) => name.clone(),
        }
    }

    /// Whether its cost is the optimum.
    pub(crate) fn is_exact(&self) -> bool {
        match self {
            Self::Ours(quality) => *quality == QualityArg::Exact,
            Self::Peer(peer) => ["emd", "lsa"].contains(&peer.name.as_str()),
        }
    }
}

/// The two sides as files, and the cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) x: &'a Path,
    pub(crate) y: &'a Path,
    pub(crate) cost: CostKind,
    pub(crate) seed: u64,
}

/// How processes are started.
#[derive(Debug)]
pub(crate) struct Launcher {
    /// The interpreter for the peers.
    pub(crate) python: PathBuf,
    /// `run.py`.
    pub(crate) script: PathBuf,
    pub(crate) threads: usize,
    /// A process that takes longer is ended.
    pub(crate) timeout: Option<Duration>,
    /// For what processes write.
    pub(crate) folder: PathBuf,
}

impl Launcher {
    /// Refuses an interpreter that cannot run the peers.
    pub(crate) fn check_python(&self) -> anyhow::Result<()> {
        const HINT: &str = "hint: `scripts/peers/setup.sh FOLDER` makes the environment of the peers; then pass --python \
                            FOLDER/bin/python";
        ensure!(self.script.is_file(), "no file {}\nhint: run from the repository's root", self.script.display());
        let tried = Command::new(&self.python).args(["-c", "import numpy, scipy, ot, ott"]).output();
        let output = tried.map_err(|error| anyhow!("cannot run {}: {error}\n{HINT}", self.python.display()))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            let last = message.trim_end().lines().last().unwrap_or("no message");
            bail!("{} cannot load the peers: {last}\n{HINT}", self.python.display());
        }
        Ok(())
    }

    /// Runs `contender`; what it said, and the file with its coupling.
    pub(crate) fn run(&self, contender: &Contender, task: &Task<'_>) -> anyhow::Result<(Outcome, PathBuf)> {
        let coupling = self.folder.join("coupling.npy");
        let mut command = self.command(contender)?;
        command.arg("--x").arg(task.x).arg("--y").arg(task.y).arg("--cost").arg(task.cost.name());
        command.arg("--seed").arg(task.seed.to_string()).arg("--output").arg(&coupling);
        let (stdout, stderr) = (self.folder.join("stdout"), self.folder.join("stderr"));
        command.stdin(Stdio::null()).stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        let status = self.wait(&mut command)?;
        if !status.success() {
            let message = fs::read_to_string(&stderr).unwrap_or_default();
            let last = message.trim_end().lines().last().unwrap_or("no message");
            bail!("{status}: {last}");
        }
        let said = fs::read_to_string(&stdout)?;
        let last = said.trim_end().lines().last().unwrap_or_default();
        Ok((serde_json::from_str(last).with_context(|| format!("not one JSON object: `{last}`"))?, coupling))
    }

    fn command(&self, contender: &Contender) -> anyhow::Result<Command> {
        let threads = self.threads.to_string();
        let mut command = match contender {
            Contender::Ours(quality) => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["solve", "--quality", &quality.name()]);
                command
            }
            Contender::Peer(peer) => {
                let mut command = Command::new(&self.python);
                command.arg(&self.script).arg(&peer.name).args(["--threads", &threads]);
                if let Some(parameter) = &peer.parameter {
                    command.args(["--parameter", parameter]);
                }
                command
            }
        };
        command.env("RAYON_NUM_THREADS", &threads).env("OMP_NUM_THREADS", &threads);
        Ok(command)
    }

    fn wait(&self, command: &mut Command) -> anyhow::Result<ExitStatus> {
        let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let Some(timeout) = self.timeout else { return Ok(child.wait()?) };
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if started.elapsed() > timeout {
                child.kill()?;
                child.wait()?;
                bail!("not done after {} s", timeout.as_secs());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_at_most_one_number() {
        let name = |text: &str| text.parse().map(|peer: Peer| Contender::Peer(peer).name());
        assert_eq!(name("bsp:16"), Ok("bsp 16".to_owned()));
        assert_eq!(name("lsa"), Ok("lsa".to_owned()));
        assert!(name("bsp:many").is_err());
    }

    #[test]
    fn what_a_peer_says_is_read() {
        let said = r#"{"seconds": 1.5, "start_rss_bytes": 1, "peak_rss_bytes": 2, "compile_seconds": 0.0,
                       "version": "POT 1", "options": {"plans": 16}, "note": ""}"#;
        let outcome: Outcome = serde_json::from_str(said).unwrap();
        assert_eq!((outcome.seconds, outcome.coupling()), (1.5, Coupling::Bijection));
        let soft: Outcome = serde_json::from_str(&said.replace("\"note\"", "\"mean_cost\": 2.0, \"note\"")).unwrap();
        assert_eq!(soft.coupling(), Coupling::Soft);
    }

    #[test]
    fn a_missing_interpreter_is_told_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("run.py");
        fs::write(&script, "").unwrap();
        let python = folder.path().join("python");
        let launcher = Launcher { python, script, threads: 1, timeout: None, folder: folder.path().to_path_buf() };
        let message = launcher.check_python().unwrap_err().to_string();
        assert!(message.contains("scripts/peers/setup.sh"), "{message}");
    }
}
