//! A solve's state between two of its steps, as bytes.

use super::block_solver::Pairing;
use super::output::{LevelReport, PhaseSeconds, SweepReport};
use super::params::HirefParams;
use super::partition::Partition;
use crate::error::Error;
use crate::geometry::PointCloud;
use crate::problem::Problem;
use crate::rng::scramble;
use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Changes whenever older checkpoints could not be continued to the same bits.
const VERSION: u32 = 1;
const FACTS: &str = "hiref_checkpoint";

/// Where a solve stands: what it has made so far, and how it got there.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) stage: Stage,
    pub(crate) levels: Vec<LevelReport>,
    pub(crate) sweeps: Vec<SweepReport>,
    /// Mean costs before the first sweep and after each.
    pub(crate) costs: Vec<f64>,
    pub(crate) seconds: PhaseSeconds,
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

/// One named array of a checkpoint.
struct Array {
    name: &'static str,
    dtype: Dtype,
    len: usize,
    bytes: Vec<u8>,
}

impl Array {
    fn u32(name: &'static str, values: &[u32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name, dtype: Dtype::U32, len: values.len(), bytes }
    }

    fn f64(name: &'static str, values: &[f64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name, dtype: Dtype::F64, len: values.len(), bytes }
    }
}

/// A safetensors file of a solve's state: little-endian arrays, and the rest as JSON in its metadata.
pub(crate) fn encode(params: &HirefParams, fingerprint: u64, progress: &Progress) -> Vec<u8> {
    let Progress { stage, levels, sweeps, costs, seconds } = progress;
    let mut arrays = vec![Array::f64("costs", costs)];
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
    let facts = serde_json::to_string(&facts).expect("plain numbers and names become JSON");
    let views = arrays.iter().map(|array| {
        let view =
            TensorView::new(array.dtype, vec![array.len], &array.bytes).expect("as many bytes as the shape says");
        (array.name, view)
    });
    safetensors::serialize(views, Some(HashMap::from([(FACTS.to_owned(), facts)]))).expect("names are distinct")
}

impl Checkpoint {
    /// Reads what [`crate::Observer::on_checkpoint`] gave.
    ///
    /// # Errors
    /// [`Error::BrokenCheckpoint`] if the bytes are not a whole checkpoint of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let broken = |what: &dyn std::fmt::Display| Error::BrokenCheckpoint { what: what.to_string() };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| broken(&error))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| broken(&error))?;
        let facts = header.metadata().as_ref().and_then(|metadata| metadata.get(FACTS));
        let facts = facts.ok_or_else(|| broken(&"it is some other file"))?;
        let Facts { version, params, fingerprint, levels, sweeps, seconds } =
            serde_json::from_str(facts).map_err(|error| broken(&error))?;
        if version != VERSION {
            return Err(broken(&format_args!("it is of version {version}, expected {VERSION}")));
        }
        let words = |name: &str, dtype: Dtype| {
            let tensor = tensors.tensor(name).map_err(|error| broken(&error))?;
            if tensor.dtype() == dtype {
                Ok(tensor.data().to_vec())
            } else {
                Err(broken(&format_args!("`{name}` is of another type")))
            }
        };
        let u32s = |name: &str| {
            let bytes = words(name, Dtype::U32)?;
            Ok::<Vec<u32>, Error>(bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect())
        };
        let f64s = |name: &str| {
            let bytes = words(name, Dtype::F64)?;
            Ok::<Vec<f64>, Error>(bytes.as_chunks::<8>().0.iter().map(|word| f64::from_le_bytes(*word)).collect())
        };
        let stage = if tensors.tensor("y_of_x").is_ok() {
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
        let progress = Progress { stage, levels, sweeps, costs: f64s("costs")?, seconds };
        Ok(Self { params, fingerprint, progress })
    }

    /// What it holds for a solve of a problem with n <= m.
    ///
    /// # Errors
    /// [`Error::CheckpointMismatch`] and [`Error::BrokenCheckpoint`].
    pub(crate) fn continue_with(self, params: &HirefParams, problem: &Problem) -> Result<Progress, Error> {
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
        let consistent = match &self.progress.stage {
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
        if consistent {
            Ok(self.progress)
        } else {
            Err(Error::BrokenCheckpoint { what: "its arrays do not fit together".to_owned() })
        }
    }
}

/// A number that tells one problem from another: a hash of its cost, sizes and points.
pub(crate) fn fingerprint(problem: &Problem) -> u64 {
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
