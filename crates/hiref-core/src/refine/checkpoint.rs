//! A solve's state between two of its steps, as bytes.

use super::archive::{self, Array, Arrays};
use super::pairing::{Pairing, is_order};
use super::params::HirefParams;
use super::partition::Partition;
use super::ranks::rank_schedule;
use super::stage::{Origin, Record, Stage};
use crate::error::Error;
use crate::points::PointCloud;
use crate::problem::Problem;
use crate::report::{LevelReport, PhaseSeconds, SweepReport};
use crate::rng::scramble;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Changes whenever older checkpoints could not be continued to the same bits.
const VERSION: u32 = 2;

/// What is written of a solve between two of its steps.
#[derive(Clone, Copy)]
pub(crate) enum State<'a> {
    Partition(&'a Partition),
    Pairing(&'a Pairing),
}

/// The state of an interrupted solve, from which [`crate::Hiref::resume`] goes on to the same result, bit for bit, as if there had been no
/// interruption. Made by [`crate::Observer::on_checkpoint`].
#[derive(Debug)]
pub struct Checkpoint {
    params: HirefParams,
    fingerprint: u64,
    stage: Stage,
    record: Record,
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
pub(crate) fn encode(
    params: &HirefParams,
    fingerprint: u64,
    state: State<'_>,
    record: &Record,
    seconds: PhaseSeconds,
) -> Vec<u8> {
    let mut arrays = vec![Array::f64("costs", &record.costs)];
    arrays.extend(record.earlier.as_ref().map(|earlier| Array::u32("earlier", earlier)));
    match state {
        State::Partition(Partition { x_order, y_order, offsets }) => {
            let offsets: Vec<u32> = offsets.iter().map(|&offset| offset as u32).collect();
            arrays.extend([
                Array::u32("x_order", x_order),
                Array::u32("y_order", y_order),
                Array::u32("offsets", &offsets),
            ]);
        }
        State::Pairing(Pairing { y_of_x, g, block, shadow }) => arrays.extend([
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
        levels: record.levels.clone(),
        sweeps: record.sweeps.clone(),
        seconds,
    };
    archive::encode(&arrays, &facts)
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
            let pairing =
                Pairing { y_of_x: u32s("y_of_x")?, g: f64s("g")?, block: u32s("block")?, shadow: u32s("shadow")? };
            // A solve from nothing has levels.
            Stage::Polish(pairing, if levels.is_empty() { Origin::EarlierSolve } else { Origin::Here })
        } else {
            let offsets = u32s("offsets")?.into_iter().map(|offset| offset as usize).collect();
            Stage::Split(Partition { x_order: u32s("x_order")?, y_order: u32s("y_order")?, offsets })
        };
        let earlier = arrays.has("earlier").then(|| u32s("earlier")).transpose()?;
        let record = Record { earlier, levels, sweeps, costs: f64s("costs")?, seconds };
        Ok(Self { params, fingerprint, stage, record })
    }

    /// What it holds for a solve of a problem with n <= m.
    ///
    /// # Errors
    /// [`Error::CheckpointMismatch`] and [`Error::BrokenCheckpoint`].
    pub(crate) fn continue_with(self, params: &HirefParams, problem: &Problem<'_>) -> Result<(Stage, Record), Error> {
        // The time limit, and what is said of the result's distance from the optimum, do not change the way to it.
        let way = |params: &HirefParams| {
            let (time_limit, gap_rows) = (None, None);
            HirefParams { time_limit, certify: false, estimate_gap: false, gap_rows, ..params.clone() }
        };
        if way(&self.params) != way(params) {
            return Err(Error::CheckpointMismatch { what: "setting" });
        }
        if self.fingerprint != fingerprint(problem) {
            return Err(Error::CheckpointMismatch { what: "problem" });
        }
        let m = problem.y().num_points();
        let is_order = |order: &[u32]| order.len() == m && is_order(order);
        let Record { earlier, levels, sweeps, costs, .. } = &self.record;
        let earlier = earlier.as_ref().is_none_or(|earlier| is_order(earlier));
        let fits = match &self.stage {
            Stage::Split(Partition { x_order, y_order, offsets }) => {
                let ranks = rank_schedule(m, params.leaf_size, params.max_rank);
                let level = ranks.get(..levels.len()).map(|done| Partition::offsets_after(done, m));
                is_order(x_order) && is_order(y_order) && sweeps.is_empty() && level.as_ref() == Some(offsets)
            }
            Stage::Polish(pairing, _) => {
                pairing.is_sound(problem)
                    && costs.len() == sweeps.len() + 1
                    && costs.iter().all(|cost| cost.is_finite())
                    && sweeps.iter().all(|sweep| sweep.block_size <= m)
            }
            Stage::Cold | Stage::Warm(_) | Stage::Given(_) | Stage::Direct(_) => false,
        };
        if earlier && fits {
            Ok((self.stage, self.record))
        } else {
            Err(Error::BrokenCheckpoint { what: "its arrays do not fit together".to_owned() })
        }
    }
}

/// A number that tells one problem from another: a hash of its cost, sizes and points.
pub(crate) fn fingerprint(problem: &Problem<'_>) -> u64 {
    const CHUNK: usize = 256;
    let side = |cloud: &PointCloud<'_>| {
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
