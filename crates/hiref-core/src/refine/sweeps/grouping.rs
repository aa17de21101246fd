//! Blocks of pairs that lie close to each other along their displacement.

use crate::geometry::InnerProductGeometry;
use crate::refine::blocks::OnDevice;
use crate::refine::pairing::Pairing;
use crate::rng::{stream, unit};
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use std::ops::Range;

/// Coordinates in which pairs are grouped: more are projected at random to this many, afresh for each sweep.
const SKETCH_DIMENSION: usize = 16;
/// Below this many pairs a subtree is not worth a task of its own.
const SEQUENTIAL: usize = 4096;

/// Blocks of x indices: block b is `order[offsets[b]..offsets[b + 1]]`.
pub(crate) struct Grouping {
    pub(crate) order: Vec<u32>,
    pub(crate) offsets: Vec<usize>,
}

/// Groups the pairs of a pairing into blocks of at most `block_size` by a random tree on points `(1 - t_i) x_i + t_i y_π(i)`,
/// with `t_i` drawn for each pair and sweep: somewhere on its path, or at one of the ends. The device
/// projects, where there is one.
///
/// Pairs that may gain from an exchange have paths that meet. Optimal paths of the squared Euclidean cost could only meet
/// at the same time t; those of the Euclidean cost overlap along common rays, at different times. Measured (16 blocks of 256
/// out of 4096, squared Euclidean d = 2, 16, 64 and Euclidean d = 2, 64), drawing `t_i` for each pair reaches the same cost as
/// one t for all in about half the sweeps, and in a fifth on the Euclidean half-moon. Each node of the tree cuts along the difference of two random members, which
/// follows the local shape of the data. Time `O(m (k + log(m / block_size)) p)`, memory O(m p), for sketches of p coordinates.
pub(crate) fn group_pairs(
    geometry: &InnerProductGeometry<'_>,
    device: Option<&dyn OnDevice>,
    pairing: &Pairing,
    block_size: usize,
    seed: u64,
    sweep: u64,
) -> Grouping {
    let mut rng = stream(seed, &[1, sweep]);
    let (keys, width) = sketch(geometry, device, pairing, &mut rng);
    let len = pairing.y_of_x.len();
    let mut order: Vec<u32> = (0..len as u32).collect();
    let blocks = len.div_ceil(block_size);
    let offsets: Vec<usize> = (0..=blocks).map(|block| block * len / blocks).collect();
    let tree = Tree { keys: &keys, width, offsets: &offsets, seed, sweep };
    tree.cut(&mut order, 0..blocks, 1);
    Grouping { order, offsets }
}

/// The points `(1 - t_i) x_i + t_i y_π(i)` of all pairs, `(m, width)`, projected where they have many coordinates.
fn sketch(
    geometry: &InnerProductGeometry<'_>,
    device: Option<&dyn OnDevice>,
    pairing: &Pairing,
    rng: &mut impl Rng,
) -> (Vec<f32>, usize) {
    let dimension = geometry.coordinates();
    let width = dimension.min(SKETCH_DIMENSION);
    let projection: Option<Vec<f32>> =
        (dimension > SKETCH_DIMENSION).then(|| (0..dimension * width).map(|_| rng.sample(StandardNormal)).collect());
    let n = geometry.num_x();
    let times = rng.random();
    let time = |i: usize| (1.5 * unit(times, i as u64) - 0.25).clamp(0.0, 1.0);
    let mut keys = vec![0.0_f32; pairing.y_of_x.len() * width];
    if let (Some(device), Some(projection)) = (device, &projection)
        && let Some([x, y]) = device.project(projection, width)
    {
        // Projections of points on a path are points on the path of the projections.
        keys.par_chunks_exact_mut(width).enumerate().for_each(|(i, key)| {
            let y = &y[pairing.y_of_x[i] as usize * width..][..width];
            let from = if i < n { i as u32 } else { pairing.shadow[i - n] };
            let x = x.get(from as usize * width..).and_then(|rest| rest.get(..width)).unwrap_or(y);
            let t = time(i);
            key.iter_mut().zip(x).zip(y).for_each(|((key, &x), &y)| *key = (1.0 - t) * x + t * y);
        });
        return (keys, width);
    }
    keys.par_chunks_exact_mut(width).enumerate().for_each_init(
        || (vec![0.0_f32; geometry.dimension()], vec![0.0_f32; geometry.dimension()]),
        |(point, y), (i, key)| {
            geometry.copy_y(pairing.y_of_x[i], y);
            let from = if i < n { i as u32 } else { pairing.shadow[i - n] };
            if !geometry.copy_x(from, point) {
                point.copy_from_slice(y);
            }
            let t = time(i);
            for (p, &y) in point.iter_mut().zip(&*y) {
                *p = (1.0 - t) * *p + t * y;
            }
            let point = &point[..dimension];
            match &projection {
                None => key.copy_from_slice(point),
                Some(projection) => {
                    for (p, row) in point.iter().zip(projection.chunks_exact(width)) {
                        for (k, w) in key.iter_mut().zip(row) {
                            *k += p * w;
                        }
                    }
                }
            }
        },
    );
    (keys, width)
}

struct Tree<'a> {
    keys: &'a [f32],
    width: usize,
    offsets: &'a [usize],
    seed: u64,
    sweep: u64,
}

impl Tree<'_> {
    fn key(&self, i: u32) -> &[f32] {
        &self.keys[i as usize * self.width..][..self.width]
    }

    /// Orders `members`, the pairs of `blocks`, so that each block's share is close together; `node` names the place in the tree.
    fn cut(&self, members: &mut [u32], blocks: Range<usize>, node: u64) {
        if blocks.len() <= 1 {
            return;
        }
        let cut = blocks.start + blocks.len() / 2;
        let middle = self.offsets[cut] - self.offsets[blocks.start];
        let direction = self.direction(members, node);
        let position = |&i: &u32| {
            let value = self.key(i).iter().zip(&direction).map(|(k, d)| k * d).sum::<f32>();
            (value, i)
        };
        let mut positions: Vec<(f32, u32)> = if members.len() > SEQUENTIAL {
            members.par_iter().map(position).collect()
        } else {
            members.iter().map(position).collect()
        };
        positions.select_nth_unstable_by(middle, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        members.iter_mut().zip(positions).for_each(|(member, (_, i))| *member = i);
        let (low, high) = members.split_at_mut(middle);
        if low.len() + high.len() > SEQUENTIAL {
            rayon::join(
                || self.cut(low, blocks.start..cut, 2 * node),
                || self.cut(high, cut..blocks.end, 2 * node + 1),
            );
        } else {
            self.cut(low, blocks.start..cut, 2 * node);
            self.cut(high, cut..blocks.end, 2 * node + 1);
        }
    }

    /// The difference of two random members; any direction if they coincide.
    fn direction(&self, members: &[u32], node: u64) -> Vec<f32> {
        let mut rng = stream(self.seed, &[2, self.sweep, node]);
        let mut member = || self.key(members[rng.random_range(0..members.len())]);
        let (a, b) = (member(), member());
        let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        if difference.iter().any(|&d| d != 0.0) {
            difference
        } else {
            a.iter().map(|_| rng.sample(StandardNormal)).collect()
        }
    }
}
