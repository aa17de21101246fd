//! The levels of the hierarchy: on each, every block of the partition splits into `rank` children.

use super::co_cluster::{CoClusters, co_cluster};

use crate::error::Error;
use crate::geometry::{CentredBlocks, FeatureTensors, Features};
use crate::refine::checkpoint::State;
use crate::refine::partition::{Partition, child_sizes};
use crate::refine::ranks::rank_schedule;
use crate::refine::session::Session;
use crate::report::{Event, LevelReport, Phase};
use crate::rng::stream;
use candle_core::{Device, Tensor};
use rand::seq::index;
use rayon::prelude::*;
use std::time::Instant;

/// Points in one batched tensor problem: bounds the memory of a level, and leaves enough batches for all cores.
const BATCH_POINTS: usize = 1 << 15;

/// Splits a partition until the blocks fit a leaf.
pub(crate) fn split_to_leaves(session: &mut Session<'_>, mut partition: Partition) -> Result<Partition, Error> {
    let (params, geometry, control) = (session.params, session.geometry, session.control.without_deadline());
    let len = geometry.num_y();
    let ranks = rank_schedule(len, params.leaf_size, params.max_rank);
    let done = session.record.levels.len();
    control.begin(Phase::Split, (len * (ranks.len() - done)) as u64);
    for (level, &rank) in ranks.iter().enumerate().skip(done) {
        let started = Instant::now();
        let split = split(session, &partition, level, rank);
        if matches!(split, Err(Error::Interrupted)) && level > 0 {
            session.offer(State::Partition(&partition), session.record.seconds, true);
        }
        partition = split?;
        let Partition { x_order, y_order, offsets } = &partition;
        let report = LevelReport {
            level,
            rank,
            blocks: partition.num_blocks(),
            block_size: partition.largest_block(),
            block_coupling_cost: geometry.block_coupling_cost(x_order, y_order, offsets),
            seconds: started.elapsed().as_secs_f64(),
        };
        control.tell(&Event::LevelFinished(report.clone()));
        session.record.levels.push(report);
        session.offer(State::Partition(&partition), session.record.seconds, false);
    }
    Ok(partition)
}

/// Splits every block of `partition`; O((n + m) k rank) time, O(batch) memory beside the orders.
fn split(session: &Session<'_>, partition: &Partition, level: usize, rank: usize) -> Result<Partition, Error> {
    let (geometry, seed, control) = (session.geometry, session.params.seed, session.control.without_deadline());
    let resident = session.device.and_then(|device| device.features());
    // A device is filled by one batch; its factors and their products take about as much again.
    let batch_points = resident.map_or(BATCH_POINTS, |(_, bytes)| bytes as usize / (16 * geometry.dimension()));
    let batches = partition.batches(batch_points.max(1));
    let split_batch = |blocks: &Vec<usize>| -> Result<Vec<CoClusters>, Error> {
        if control.should_stop() {
            return Err(Error::Interrupted);
        }
        let (x, seeds_from_y, y) = match resident {
            None => {
                let features = geometry.features_of_blocks(partition.range(blocks[0]).len());
                gather(features, partition, blocks, level, rank, seed)?
            }
            Some((features, _)) => gather_resident(features, partition, blocks, level, rank, seed)?,
        };
        let clusters = co_cluster(&x, &y, rank, &seeds_from_y, &|| control.should_stop())?;
        control.advance(Phase::Split, blocks.iter().map(|&block| partition.range(block).len() as u64).sum());
        Ok(clusters.into_blocks())
    };
    let labelled: Vec<Vec<CoClusters>> = match resident {
        None => batches.par_iter().map(split_batch).collect::<Result<_, _>>()?,
        // One queue, one batch after the other.
        Some(_) => batches.iter().map(split_batch).collect::<Result<_, _>>()?,
    };

    let len = partition.x_order.len();
    let mut next = Partition { x_order: vec![0; len], y_order: vec![0; len], offsets: vec![0] };
    for (blocks, labels) in batches.iter().zip(labelled) {
        for (&block, labels) in blocks.iter().zip(labels) {
            let range = partition.range(block);
            reorder(&partition.x_order[range.clone()], &labels.x[0], rank, &mut next.x_order[range.clone()]);
            reorder(&partition.y_order[range.clone()], &labels.y[0], rank, &mut next.y_order[range]);
        }
    }
    for block in 0..partition.num_blocks() {
        for size in child_sizes(partition.range(block).len(), rank) {
            next.offsets.push(next.offsets[next.offsets.len() - 1] + size);
        }
    }
    Ok(next)
}

impl CoClusters {
    fn into_blocks(self) -> Vec<Self> {
        self.x.into_iter().zip(self.y).map(|(x, y)| Self { x: vec![x], y: vec![y] }).collect()
    }
}

/// The features of some blocks of equal size, each block centred: x `(B, s, k)`, the seeds `(B, rank, k)`, y `(B, s, k)`.
fn gather(
    features: Features<'_>,
    partition: &Partition,
    blocks: &[usize],
    level: usize,
    rank: usize,
    seed: u64,
) -> Result<(Tensor, Tensor, Tensor), Error> {
    let device = &Device::Cpu;
    let k = features.dimension();
    let size = partition.range(blocks[0]).len();
    let mut x = vec![0.0_f32; blocks.len() * size * k];
    let mut y = x.clone();
    let mut seeds = Vec::with_capacity(blocks.len() * rank * k);
    let parts = x.chunks_exact_mut(size * k).zip(y.chunks_exact_mut(size * k)).zip(blocks);
    for ((x, y), &block) in parts {
        let range = partition.range(block);
        for (out, &i) in x.chunks_exact_mut(k).zip(&partition.x_order[range.clone()]) {
            features.copy_x(i, out);
        }
        for (out, &j) in y.chunks_exact_mut(k).zip(&partition.y_order[range]) {
            features.copy_y(j, out);
        }
        centre(x, k);
        centre(y, k);
        let mut rng = stream(seed, &[0, level as u64, block as u64]);
        for row in index::sample(&mut rng, size, rank) {
            seeds.extend_from_slice(&y[row * k..][..k]);
        }
    }
    let shape = (blocks.len(), size, k);
    Ok((
        Tensor::from_vec(x, shape, device)?,
        Tensor::from_vec(seeds, (blocks.len(), rank, k), device)?,
        Tensor::from_vec(y, shape, device)?,
    ))
}

/// As [`gather`], by tensors on a device.
fn gather_resident(
    features: &FeatureTensors,
    partition: &Partition,
    blocks: &[usize],
    level: usize,
    rank: usize,
    seed: u64,
) -> Result<(Tensor, Tensor, Tensor), Error> {
    let size = partition.range(blocks[0]).len();
    let indices = |order: &[u32]| -> Vec<u32> {
        blocks.iter().flat_map(|&block| &order[partition.range(block)]).copied().collect()
    };
    let CentredBlocks { x, y } = features.centred(&indices(&partition.x_order), &indices(&partition.y_order), size)?;
    let mut rows = Vec::with_capacity(blocks.len() * rank);
    for (at, &block) in blocks.iter().enumerate() {
        let mut rng = stream(seed, &[0, level as u64, block as u64]);
        rows.extend(index::sample(&mut rng, size, rank).iter().map(|row| (at * size + row) as u32));
    }
    let k = y.dim(2)?;
    let rows = Tensor::new(rows, y.device())?;
    let seeds = y.reshape(((), k))?.index_select(&rows, 0)?.reshape((blocks.len(), rank, k))?;
    Ok((x, seeds, y))
}

/// Subtracts the mean row.
fn centre(rows: &mut [f32], k: usize) {
    let mut mean = vec![0.0_f64; k];
    for row in rows.chunks_exact(k) {
        mean.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v));
    }
    let count = (rows.len() / k) as f64;
    let mean: Vec<f32> = mean.iter().map(|m| (m / count) as f32).collect();
    for row in rows.chunks_exact_mut(k) {
        row.iter_mut().zip(&mean).for_each(|(v, m)| *v -= m);
    }
}

/// Writes `indices` sorted by label, keeping the order within a label.
fn reorder(indices: &[u32], labels: &[u32], rank: usize, out: &mut [u32]) {
    let mut starts = vec![0_usize; rank + 1];
    for &label in labels {
        starts[label as usize + 1] += 1;
    }
    for k in 0..rank {
        starts[k + 1] += starts[k];
    }
    for (&index, &label) in indices.iter().zip(labels) {
        out[starts[label as usize]] = index;
        starts[label as usize] += 1;
    }
}
