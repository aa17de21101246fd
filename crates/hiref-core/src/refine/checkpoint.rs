//! A solve's state between two of its steps, as bytes.

use super::arrays::{self, Array, Arrays};
use super::block_solver::Pairing;
use super::output::{LevelReport, PhaseSeconds, SweepReport};
use super::params::HirefParams;
use super::partition::Partition;
use crate::error::Error;
use crate::points::PointCloud;
use crate::problem::Problem;
use crate::rng::scramble;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Changes whenever older checkpoints could not be continued to the same bits.
const VERSION: u32 = 2;

/// Where a solve stands: what it has made so far, and how it got there.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) stage: Stage,
    /// The y partner of each x index in a warm start that the first pairing is yet to be merged with.
    pub(crate) earlier: Option<Vec<u32>>,
    pub(crate) levels: Vec<LevelReport>,
    pub(crate) sweeps: Vec<SweepReport>,
    /// Mean costs before the first sweep and after each.
    pub(crate) costs: Vec<f64>,
    pub(crate) seconds: PhaseSeconds,
}

impl Progress {
    /// At the start of a stage, with nothing to report yet.
    pub(crate) fn at(stage: Stage) -> Self {
        let (levels, sweeps, costs) = (Vec::new(), Vec::new(), Vec::new());
        Self { stage, earlier: None, levels, sweeps, costs, seconds: PhaseSeconds::default() }
    }
}

/// What a solve has made so far.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    /// Both sides split into co-clusters, perhaps not down to the leaves yet.
    Partition(Partition),
    /// A pairing, perhaps not polished to the end.
    Pairing(Pairing),
}

/// The state of an interrupted solve, from which [`crate::Hiref::resume`] goes on to the same result, bit for bit, as if there had been no
/// interruption. Made by [`crate::Observer::on_checkpoint`].
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub(crate) params: HirefParams,
    pub(crate) fingerprint: u64,
    pub(crate) progress: Progress,
}

#[derive(Serialize, Deserialize)]
struct Facts {
    version: u32,
    params: HirefParams,
    fingerprint: u64,
    levels: Vec<LevelReport>,
    sweeps: Vec<SweepReport>,
    seconds: PhaseSeconds,
}

/// A safetensors file of a solve's state.
pub(crate) fn encode(params: &HirefParams, fingerprint: u64, progress: &Progress) -> Vec<u8> {
    let Progress { stage, earlier, levels, sweeps, costs, seconds } = progress;
    let mut arrays = vec![Array::f64("costs", costs)];
    arrays.extend(earlier.as_ref().map(|earlier| Array::u32("earlier", earlier)));
    match stage {
        Stage::Partition(Partition { x_order, y_order, offsets }) => {
            let offsets: Vec<u32> = offsets.iter().map(|&offset| offset as u32).collect();
            arrays.extend([
                Array::u32("x_order", x_order),
                Array::u32("y_order", y_order),
                Array::u32("offsets", &offsets),
            ]);
        }
        Stage::Pairing(Pairing { y_of_x, g, block, shadow }) => arrays.extend([
            Array::u32("y_of_x", y_of_x),
            Array::f64("g", g),
            Array::u32("block", block),
            Array::u32("shadow", shadow),
        ]),
    }
    let facts = Facts {
        version: VERSION,
        params: params.clone(),
        fingerprint,
        levels: levels.clone(),
        sweeps: sweeps.clone(),
        seconds: *seconds,
    };
    arrays::encode(&arrays, &facts)
}

impl Checkpoint {
    /// Reads what [`crate::Observer::on_checkpoint`] gave.
    ///
    /// # Errors
    /// [`Error::BrokenCheckpoint`] if the bytes are not a whole checkpoint of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let broken = |what: String| Error::BrokenCheckpoint { what };
        let (arrays, Facts { version, params, fingerprint, levels, sweeps, seconds }) =
            Arrays::decode(bytes).map_err(broken)?;
        if version != VERSION {
            return Err(broken(format!("it is of version {version}, expected {VERSION}")));
        }
        let u32s = |name: &str| arrays.u32(name).map_err(broken);
        let f64s = |name: &str| arrays.f64(name).map_err(broken);
        let stage = if arrays.has("y_of_x") {
            Stage::Pairing(Pairing {
                y_of_x: u32s("y_of_x")?,
                g: f64s("g")?,
                block: u32s("block")?,
                shadow: u32s("shadow")?,
            })
        } else {
            let offsets = u32s("offsets")?.into_iter().map(|offset| offset as usize).collect();
            Stage::Partition(Partition { x_order: u32s("x_order")?, y_order: u32s("y_order")?, offsets })
        };
        let earlier = arrays.has("earlier").then(|| u32s("earlier")).transpose()?;
        let progress = Progress { stage, earlier, levels, sweeps, costs: f64s("costs")?, seconds };
        Ok(Self { params, fingerprint, progress })
    }

    /// What it holds for a solve of a problem with n <= m.
    ///
    /// # Errors
    /// [`Error::CheckpointMismatch`] and [`Error::BrokenCheckpoint`].
    pub(crate) fn continue_with(self, params: &HirefParams, problem: &Problem<'_>) -> Result<Progress, Error> {
        // The time limit, and whether to certify the result, do not change the way to it.
        let way = |params: &HirefParams| HirefParams { time_limit: None, certify: false, ..params.clone() };
        if way(&self.params) != way(params) {
            return Err(Error::CheckpointMismatch { what: "setting" });
        }
        if self.fingerprint != fingerprint(problem) {
            return Err(Error::CheckpointMismatch { what: "problem" });
        }
        let (n, m) = (problem.x().num_points(), problem.y().num_points());
        let whole = |order: &[u32]| {
            let mut seen = vec![false; m];
            order.len() == m
                && order.iter().all(|&i| seen.get_mut(i as usize).is_some_and(|seen| !std::mem::replace(seen, true)))
        };
        let earlier = self.progress.earlier.as_ref().is_none_or(|earlier| whole(earlier));
        let stage = match &self.progress.stage {
            Stage::Partition(Partition { x_order, y_order, offsets }) => {
                whole(x_order)
                    && whole(y_order)
                    && offsets.first() == Some(&0)
                    && offsets.last() == Some(&m)
                    && offsets.is_sorted()
            }
            Stage::Pairing(Pairing { y_of_x, g, block, shadow }) => {
                whole(y_of_x)
                    && g.len() == m
                    && block.len() == m
                    && shadow.len() == m - n
                    && !self.progress.costs.is_empty()
            }
        };
        if earlier && stage {
            Ok(self.progress)
        } else {
            Err(Error::BrokenCheckpoint { what: "its arrays do not fit together".to_owned() })
        }
    }
}

/// A number that tells one problem from another: a hash of its cost, sizes and points.
pub(crate) fn fingerprint(problem: &Problem<'_>) -> u64 {
    const CHUNK: usize = 256;
    let side = |cloud: &PointCloud| {
        let host = cloud.rows();
        let chunks: Vec<u64> = host
            .view()
            .chunks(CHUNK)
            .map(|chunk| chunk.iter().fold(0, |hash, value| scramble(hash ^ u64::from(value.to_bits()))))
            .collect();
        chunks.into_iter().fold(cloud.num_points() as u64, |hash, chunk| scramble(hash ^ chunk))
    };
    let (x, y) = (side(problem.x()), side(problem.y()));
    [problem.cost() as u64, problem.x().dimension() as u64, x, y]
        .into_iter()
        .fold(0, |hash, word| scramble(hash ^ word))
}
