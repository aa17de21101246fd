//! A k-d tree over the y points that finds the least reduced costs in few dimensions.

use super::candidates::{Least, Pricing, lowered};
use crate::cost::CostKind;
use crate::geometry::{Supports, equal_offsets, kd_order};
use rayon::prelude::*;
use std::borrow::Cow;

/// x points of one unit of work.
const ROWS: usize = 256;
/// Points of a leaf.
const LEAF: usize = 8;

/// The y points in a balanced k-d tree; each node bounds the prices within by an affine function.
///
/// Near the partner of x the cost `c(x, ·)` and the prices rise together: along an optimal pairing their gradients agree. So a node keeps
/// `g_j <= ceiling + <slope, y_j - centre>` with the slope the mean gradient of the cost at its points' own partners, and the
/// least reduced cost in its box is bounded through the tangent of the convex cost: `c(x, centre) - ceiling - Σ_k |∇_k - slope_k| half_k`.
/// That is loose only to second order in the box, where a bound on the box alone would be to first.
pub(super) struct PriceTree<'a> {
    supports: Supports<'a>,
    dimension: usize,
    /// The x points, `(n, d)`.
    x: Cow<'a, [f32]>,
    /// Leaf-ordered y points.
    order: Vec<u32>,
    /// Their coordinates, in f64, and prices.
    points: Vec<f64>,
    prices: Vec<f64>,
    /// Nodes as a heap: children of node k are 2k + 1 and 2k + 2; `levels` deep.
    levels: u32,
    offsets: Vec<usize>,
    ceiling: Vec<f64>,
    /// Per node: centre, half extent, slope; each `(d,)`.
    frames: Vec<f64>,
}

impl<'a> PriceTree<'a> {
    pub(super) fn new(supports: Supports<'a>, y_of_x: &[u32], g: &[f64]) -> Self {
        let (d, m) = (supports.dimension(), supports.num_y());
        let mut levels = 0;
        while m.div_ceil(1 << levels) > LEAF {
            levels += 1;
        }
        let leaves = 1_usize << levels;
        let offsets = equal_offsets(m, leaves);
        let mut order: Vec<u32> = (0..m as u32).collect();
        let y = supports.y.all();
        kd_order(&mut order, &y, d, &offsets);
        let mut x_of_y = vec![u32::MAX; m];
        for (x, &y) in y_of_x.iter().take(supports.num_x()).enumerate() {
            if let Some(slot) = x_of_y.get_mut(y as usize) {
                *slot = x as u32;
            }
        }
        let mut tree = Self {
            supports,
            dimension: d,
            x: supports.x.all(),
            points: order.iter().flat_map(|&j| y[j as usize * d..][..d].iter().map(|&v| f64::from(v))).collect(),
            prices: order.iter().map(|&j| g[j as usize]).collect(),
            order,
            levels,
            offsets,
            ceiling: Vec::new(),
            frames: Vec::new(),
        };
        // The gradient of the cost at each point's own partner; where there is none, the price is flat.
        let mut gradients = vec![0.0; m * d];
        gradients.par_chunks_exact_mut(d).enumerate().for_each(|(at, gradient)| {
            if let Some(x) = tree.x.get(x_of_y[tree.order[at] as usize] as usize * d..).and_then(|x| x.get(..d)) {
                tree.gradient(x, &tree.points[at * d..][..d], gradient);
            }
        });
        let nodes: Vec<(f64, Vec<f64>)> =
            (0..2 * leaves - 1).into_par_iter().map(|node| tree.frame(node, &gradients)).collect();
        for (ceiling, frame) in nodes {
            tree.ceiling.push(ceiling);
            tree.frames.extend(frame);
        }
        tree
    }

    /// The points of a node.
    fn range(&self, node: usize) -> std::ops::Range<usize> {
        let level = (node + 1).ilog2();
        let first = (node + 1 - (1 << level)) << (self.levels - level);
        self.offsets[first]..self.offsets[first + (1 << (self.levels - level))]
    }

    /// The affine bound of a node: ceiling, and centre, half extent and slope.
    fn frame(&self, node: usize, gradients: &[f64]) -> (f64, Vec<f64>) {
        let d = self.dimension;
        let range = self.range(node);
        let points = &self.points[range.start * d..range.end * d];
        let mut frame = vec![0.0; 3 * d];
        for k in 0..d {
            let coordinate = || points.iter().skip(k).step_by(d).copied();
            let (low, high) =
                (coordinate().fold(f64::INFINITY, f64::min), coordinate().fold(f64::NEG_INFINITY, f64::max));
            frame[k] = 0.5 * (low + high);
            // Rounded up, so that every point lies within.
            frame[d + k] = 0.5 * (high - low) * (1.0 + 1e-12) + f64::MIN_POSITIVE;
            frame[2 * d + k] =
                gradients[range.start * d..range.end * d].iter().skip(k).step_by(d).sum::<f64>() / range.len() as f64;
        }
        let ceiling = points
            .chunks_exact(d)
            .zip(&self.prices[range])
            .map(|(y, g)| {
                let along: f64 = (0..d).map(|k| frame[2 * d + k] * (y[k] - frame[k])).sum();
                g - along
            })
            .fold(f64::NEG_INFINITY, f64::max);
        (ceiling, frame)
    }

    /// `∇_y c(x, y)`.
    fn gradient(&self, x: &[f32], y: &[f64], gradient: &mut [f64]) {
        for ((g, &x), y) in gradient.iter_mut().zip(x).zip(y) {
            *g = y - f64::from(x);
        }
        match self.supports.cost {
            CostKind::Euclidean => {
                let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
                if norm > 0.0 {
                    gradient.iter_mut().for_each(|g| *g /= norm);
                }
            }
            _ => gradient.iter_mut().for_each(|g| *g *= 2.0),
        }
    }

    /// Never above the least reduced cost of a node's points.
    #[inline(always)]
    fn bound(&self, node: usize, x: &[f64]) -> f64 {
        let d = self.dimension;
        let frame = &self.frames[node * 3 * d..][..3 * d];
        let squared = self.supports.cost == CostKind::SquaredEuclidean;
        let mut square = 0.0;
        for k in 0..d {
            let step = frame[k] - x[k];
            square += step * step;
        }
        let (cost, scale) = if squared {
            (square, 2.0)
        } else {
            let norm = square.sqrt();
            (norm, if norm > 0.0 { 1.0 / norm } else { 0.0 })
        };
        let mut slack = 0.0;
        for k in 0..d {
            slack += ((frame[k] - x[k]) * scale - frame[2 * d + k]).abs() * frame[d + k];
        }
        cost - self.ceiling[node] - slack
    }

    fn cost(&self, x: &[f64], y: &[f64]) -> f64 {
        let square: f64 = x.iter().zip(y).map(|(a, b)| (a - b) * (a - b)).sum();
        if self.supports.cost == CostKind::Euclidean { square.sqrt() } else { square }
    }

    pub(super) fn price(&self, width: usize, should_stop: &(dyn Fn() -> bool + Sync)) -> Option<Pricing> {
        let d = self.dimension;
        let mut pricing = Pricing::new(self.supports.num_x(), width);
        let Pricing { columns, costs, floor, .. } = &mut pricing;
        let complete = columns
            .par_chunks_mut(width * ROWS)
            .zip(costs.par_chunks_mut(width * ROWS))
            .zip(floor.par_chunks_mut(ROWS))
            .enumerate()
            .map_init(
                || (Least::new(width), Vec::new(), vec![0.0; d]),
                |(least, stack, x), (block, ((columns, costs), floor))| {
                    if should_stop() {
                        return false;
                    }
                    let rows = columns.chunks_exact_mut(width).zip(costs.chunks_exact_mut(width)).zip(floor);
                    for (i, ((columns, costs), floor)) in (block * ROWS..).zip(rows) {
                        x.iter_mut().zip(&self.x[i * d..][..d]).for_each(|(x, &v)| *x = f64::from(v));
                        self.search(x, least, stack);
                        for ((column, cost), &(_, at)) in columns.iter_mut().zip(costs.iter_mut()).zip(least.entries())
                        {
                            *column = self.order[at as usize];
                            *cost = self.cost(x, &self.points[at as usize * d..][..d]);
                        }
                        *floor = lowered(least.entries()[0].0, costs[0], d);
                    }
                    true
                },
            )
            .all(|done| done);
        complete.then_some(pricing)
    }

    /// Collects the least reduced costs into `least`, with positions in leaf order.
    fn search(&self, x: &[f64], least: &mut Least, stack: &mut Vec<(f64, usize)>) {
        let d = self.dimension;
        least.clear();
        stack.clear();
        stack.push((f64::NEG_INFINITY, 0));
        let inner = (1_usize << self.levels) - 1;
        while let Some((bound, node)) = stack.pop() {
            if bound >= least.threshold() {
                continue;
            }
            if node >= inner {
                let leaf = node - inner;
                for at in self.offsets[leaf]..self.offsets[leaf + 1] {
                    least.offer(self.cost(x, &self.points[at * d..][..d]) - self.prices[at], at as u32);
                }
                continue;
            }
            let (left, right) = (2 * node + 1, 2 * node + 2);
            let (a, b) = (self.bound(left, x), self.bound(right, x));
            // The nearer child is looked at first.
            if a <= b {
                stack.push((b, right));
                stack.push((a, left));
            } else {
                stack.push((a, left));
                stack.push((b, right));
            }
        }
    }
}
