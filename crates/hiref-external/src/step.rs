//! The steps of a run, in their order, and where their files are.

use crate::error::Error;
use crate::plan::{PLAN, Plan};
use std::fmt;
use std::path::{Path, PathBuf};

/// A step: tasks that depend on nothing but the results of earlier steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Reads all rows once: sums, a sample, whatever must be refused.
    Scan,
    /// Pairs the sample, and makes clusters of its pairs.
    Sample,
    /// Finds the best clusters of each row.
    Score,
    /// Prices of clusters, and which rows move, so that sizes are exact.
    Balance,
    /// Sorts rows by their clusters.
    Route,
    /// Pairs the rows of each cluster.
    Solve,
    /// Makes the tree by which the pairs are regrouped for a sweep.
    Cut(usize),
    /// Improves the pairs of each new block.
    Sweep(usize),
    /// Computes the pairs' costs anew, and sorts pairs by the rows of the smaller side.
    Collect,
    /// Writes the pairs, part by part.
    Parts,
    /// Checks that each row has one partner, and writes the permutation.
    Check,
    /// Prices from a sample of the pairs.
    Prices,
    /// The slack of sampled rows, over pieces of the larger side.
    Gap,
    /// Puts the figures together.
    Summary,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Scan => "scan",
            Self::Sample => "sample",
            Self::Score => "score",
            Self::Balance => "balance",
            Self::Route => "route",
            Self::Solve => "solve",
            Self::Cut(number) => return write!(formatter, "cut-{number:03}"),
            Self::Sweep(number) => return write!(formatter, "sweep-{number:03}"),
            Self::Collect => "collect",
            Self::Parts => "parts",
            Self::Check => "check",
            Self::Prices => "prices",
            Self::Gap => "gap",
            Self::Summary => "summary",
        };
        formatter.write_str(name)
    }
}

/// The steps that are there once.
const PLAIN: [Step; 12] = [
    Step::Scan,
    Step::Sample,
    Step::Score,
    Step::Balance,
    Step::Route,
    Step::Solve,
    Step::Collect,
    Step::Parts,
    Step::Check,
    Step::Prices,
    Step::Gap,
    Step::Summary,
];

/// The files that a run makes in the folder of temporary files; `#` stands for a number.
pub fn work_files() -> Vec<String> {
    let names = PLAIN.map(|step| step.to_string()).into_iter().chain(["cut-#", "sweep-#"].map(str::to_owned));
    let of_steps = names.flat_map(|name| [format!("{name}.json"), format!("{name}/#.bin")]);
    std::iter::once(PLAN.to_owned()).chain(of_steps).collect()
}

impl std::str::FromStr for Step {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let unknown = || Error::NoSuchStep(name.to_owned());
        if let Some((kind, number)) = name.split_once('-') {
            let number = number.parse().map_err(|_| unknown())?;
            return match kind {
                "cut" => Ok(Self::Cut(number)),
                "sweep" => Ok(Self::Sweep(number)),
                _ => Err(unknown()),
            };
        }
        PLAIN.into_iter().find(|step| step.to_string() == name).ok_or_else(unknown)
    }
}

impl Step {
    /// Tasks of the step.
    pub fn tasks(self, plan: &Plan) -> usize {
        match self {
            Self::Scan | Self::Score | Self::Route => plan.all_pieces(),
            Self::Sample | Self::Cut(_) | Self::Check | Self::Prices | Self::Summary => 1,
            Self::Balance => 2,
            Self::Solve => plan.solve_blocks,
            Self::Sweep(_) => plan.sweep_blocks,
            Self::Collect => {
                if plan.max_sweeps == 0 {
                    plan.solve_blocks
                } else {
                    plan.sweep_blocks
                }
            }
            Self::Parts => plan.parts(),
            Self::Gap => plan.pieces(1),
        }
    }

    /// Whether its files hold pairs, and what they cost.
    pub(crate) fn makes_pairs(self) -> bool {
        matches!(self, Self::Solve | Self::Sweep(_))
    }

    /// The step that the pairs after so many sweeps come from.
    pub(crate) fn last_pairs(sweeps: usize) -> Self {
        if sweeps == 0 { Self::Solve } else { Self::Sweep(sweeps) }
    }

    /// The step after this one; `goes_on` says whether another sweep is worth it.
    pub(crate) fn next(self, plan: &Plan, goes_on: bool) -> Option<Self> {
        Some(match self {
            Self::Scan => Self::Sample,
            Self::Sample => Self::Score,
            Self::Score => Self::Balance,
            Self::Balance => Self::Route,
            Self::Route => Self::Solve,
            Self::Cut(number) => Self::Sweep(number - 1),
            Self::Solve | Self::Sweep(_) if goes_on => {
                let next = if let Self::Sweep(number) = self { number + 1 } else { 1 };
                // The last sweep's pairs are not regrouped.
                if next < plan.max_sweeps { Self::Cut(next + 1) } else { Self::Sweep(next) }
            }
            Self::Solve | Self::Sweep(_) => Self::Collect,
            Self::Collect => Self::Parts,
            Self::Parts => Self::Check,
            Self::Check => Self::Prices,
            Self::Prices => Self::Gap,
            Self::Gap => Self::Summary,
            Self::Summary => return None,
        })
    }

    /// The folder of the step's files.
    pub(crate) fn folder(self, work: &Path) -> PathBuf {
        work.join(self.to_string())
    }

    /// The file that a task leaves: its result and its done mark.
    pub(crate) fn file(self, work: &Path, task: usize) -> PathBuf {
        self.folder(work).join(format!("{task:06}.bin"))
    }

    /// The file that says that the step is complete.
    pub(crate) fn mark(self, work: &Path) -> PathBuf {
        work.join(format!("{self}.json"))
    }
}
