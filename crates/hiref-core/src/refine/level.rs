//! One level of the hierarchy: every block of the partition splits into `rank` children.

use super::co_cluster::{CoClusters, co_cluster};
use super::partition::{Partition, child_sizes};
use crate::error::Error;
use crate::geometry::InnerProductGeometry;
use crate::progress::{Event, Observer, Phase};
use crate::rng::stream;
use candle_core::{Device, Tensor};
use rand::seq::index;
use rayon::prelude::*;

/// Points in one batched tensor problem: bounds the memory of a level, and leaves enough batches for all cores.
const BATCH_POINTS: usize = 1 << 15;

/// Splits every block of `partition`; O((n + m) k rank) time, O(batch) memory beside the orders.
pub(crate) fn split(
    geometry: &InnerProductGeometry<'_>,
    partition: &Partition,
    level: usize,
    rank: usize,
    seed: u64,
    device: &Device,
    observer: &dyn Observer,
) -> Result<Partition, Error> {
    let batches = partition.batches(BATCH_POINTS);
    let split_batch = |blocks: &Vec<usize>| -> Result<Vec<CoClusters>, Error> {
        if observer.should_stop() {
            return Err(Error::Interrupted);
        }
        let (x, seeds_from_y, y) = gather(geometry, partition, blocks, level, rank, seed, device)?;
        let clusters = co_cluster(&x, &y, rank, &seeds_from_y)?;
        let points = blocks.iter().map(|&block| partition.range(block).len() as u64).sum();
        observer.on_event(&Event::Advanced { phase: Phase::Split, work: points });
        Ok(clusters.into_blocks())
    };
    let labelled: Vec<Vec<CoClusters>> = batches.par_iter().map(split_batch).collect::<Result<_, _>>()?;

    let mut next = partition.clone();
    for (blocks, labels) in batches.iter().zip(labelled) {
        for (&block, labels) in blocks.iter().zip(labels) {
            let range = partition.range(block);
            reorder(&partition.x_order[range.clone()], &labels.x[0], rank, &mut next.x_order[range.clone()]);
            reorder(&partition.y_order[range.clone()], &labels.y[0], rank, &mut next.y_order[range]);
        }
    }
    next.offsets = vec![0];
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
    geometry: &InnerProductGeometry<'_>,
    partition: &Partition,
    blocks: &[usize],
    level: usize,
    rank: usize,
    seed: u64,
    device: &Device,
) -> Result<(Tensor, Tensor, Tensor), Error> {
    let k = geometry.dimension();
    let size = partition.range(blocks[0]).len();
    let mut x = vec![0.0_f32; blocks.len() * size * k];
    let mut y = x.clone();
    let mut seeds = Vec::with_capacity(blocks.len() * rank * k);
    let parts = x.chunks_exact_mut(size * k).zip(y.chunks_exact_mut(size * k)).zip(blocks);
    for ((x, y), &block) in parts {
        let range = partition.range(block);
        for (out, &i) in x.chunks_exact_mut(k).zip(&partition.x_order[range.clone()]) {
            geometry.copy_x(i, out);
        }
        for (out, &j) in y.chunks_exact_mut(k).zip(&partition.y_order[range]) {
            geometry.copy_y(j, out);
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
