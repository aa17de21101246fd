//! Prices that are consistent within parts of a pairing, made consistent across them.

use super::pricer::Pricer;
use super::tiles::{LANES, Tiles};
use crate::assignment::{AssignmentSolver, CostMatrix};
use crate::geometry::Supports;
use rayon::prelude::*;

/// More parts than this are left alone: their constraints would take longer than the rounds that they save.
const MAX_PARTS: usize = 1024;
/// Larger parts are left alone: the products of two of them are held at once, by each thread.
const MAX_PART: usize = 4096;

/// Shifts the prices `g`, `(m,)`, of each part of a bijection by a constant so that the pairing comes as close as possible to
/// optimal across parts; `part`, `(m,)`, names the part of each y point. Leaves them as they are if `should_stop` said so. O(n m d)
/// time, O(n d + parts²) memory.
pub(crate) fn align(
    pricer: Pricer<'_>,
    y_of_x: &[u32],
    g: &mut [f64],
    part: &[u32],
    should_stop: &(dyn Fn() -> bool + Sync),
) {
    let Some(parts) = Parts::new(y_of_x, part) else { return };
    let orders = [&parts.x_order[..], &parts.y_order];
    let slack = match pricer.device {
        None => slack_between(pricer.supports, orders, &parts.offsets, g, should_stop),
        Some(device) => device.slack_between(pricer.supports, orders, &parts.offsets, g),
    };
    if let Some(slack) = slack {
        parts.shift(&slack, g);
    }
}

/// The points of both sides, sorted by parts of a pairing.
struct Parts {
    x_order: Vec<u32>,
    /// The partners.
    y_order: Vec<u32>,
    offsets: Vec<usize>,
}

impl Parts {
    /// `None` where there are too many parts, too large ones, or one only.
    fn new(y_of_x: &[u32], part: &[u32]) -> Option<Self> {
        let part_of = |i: u32| part[y_of_x[i as usize] as usize];
        let mut x_order: Vec<u32> = (0..y_of_x.len() as u32).collect();
        x_order.sort_by_key(|&i| part_of(i));
        let y_order: Vec<u32> = x_order.iter().map(|&i| y_of_x[i as usize]).collect();
        let mut offsets: Vec<usize> =
            (0..x_order.len()).filter(|&k| k == 0 || part_of(x_order[k]) != part_of(x_order[k - 1])).collect();
        offsets.push(x_order.len());
        let parts = Self { x_order, y_order, offsets };
        ((2..=MAX_PARTS).contains(&parts.len()) && parts.largest() <= MAX_PART).then_some(parts)
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn largest(&self) -> usize {
        self.offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0)
    }

    /// Shifts prices by what the slack between parts, `(parts, parts)`, allows.
    fn shift(&self, slack: &[f64], g: &mut [f64]) {
        for (part, shift) in shifts(slack, self.len()).into_iter().enumerate() {
            for &j in &self.y_order[self.offsets[part]..self.offsets[part + 1]] {
                g[j as usize] += shift;
            }
        }
    }
}

/// Shifts `s` for which `s_b - s_a <= w_ab` as far as possible, given `w`, `(parts, parts)`.
///
/// The constraints have a solution unless the pairing can be improved across parts. Either way the column potentials of the
/// assignment problem with costs w are one: exact where there is one, and the nearest thing by duality where not. The mean of those from
/// both sides lies between the extremes.
pub(crate) fn shifts(slack: &[f64], parts: usize) -> Vec<f64> {
    let mut matrix = CostMatrix::<f64>::default();
    let mut solver = AssignmentSolver::default();
    let mut potentials = |transposed: bool| {
        matrix.resize(parts);
        for (a, row) in matrix.rows_mut().enumerate() {
            for (b, entry) in row.iter_mut().enumerate() {
                *entry = match () {
                    () if a == b => 0.0,
                    () if transposed => slack[b * parts + a],
                    () => slack[a * parts + b],
                };
            }
        }
        let potentials = solver.solve_warm(&matrix, std::iter::repeat_n(0.0, parts)).g.to_vec();
        let mean = potentials.iter().sum::<f64>() / parts as f64;
        potentials.into_iter().map(move |g| g - mean)
    };
    let (upper, lower) = (potentials(false), potentials(true));
    upper.zip(lower).map(|(upper, lower)| 0.5 * (upper - lower)).collect()
}

/// The least `c_ij - f_i - g_j` of the x points of each part with the y points of each other, `(parts, parts)`, in f32;
/// `f_i` is what makes each pair's own zero. `None` if `should_stop` said so.
fn slack_between(
    supports: Supports<'_>,
    [x_order, y_order]: [&[u32]; 2],
    offsets: &[usize],
    g: &[f64],
    should_stop: &(dyn Fn() -> bool + Sync),
) -> Option<Vec<f64>> {
    let (x, y) = (supports.x.gather(x_order), supports.y.gather(y_order));
    let g: Vec<f64> = y_order.iter().map(|&j| g[j as usize]).collect();
    let own: Vec<f64> =
        x_order.par_iter().zip(y_order).zip(&g).map(|((&i, &j), g)| supports.between(i, j) - g).collect();
    let level = g.iter().sum::<f64>() / g.len() as f64;
    let tiles = Tiles::new(supports.cost, supports.dimension(), x, y, &g);
    let parts = offsets.len() - 1;
    let largest = offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0).next_multiple_of(LANES);
    let mut slack = vec![0.0; parts * parts];
    let complete = slack.par_chunks_exact_mut(parts).enumerate().map_init(
        || vec![0.0_f32; largest * largest],
        |product, (a, slack)| {
            let rows = offsets[a]..offsets[a + 1];
            for (b, slack) in slack.iter_mut().enumerate() {
                if should_stop() {
                    return false;
                }
                let columns = offsets[b]..offsets[b + 1];
                tiles.multiply(rows.clone(), columns.clone(), product, largest);
                *slack = f64::INFINITY;
                for (i, products) in rows.clone().zip(product.chunks_exact(largest)) {
                    let products = &products[..columns.len().next_multiple_of(LANES)];
                    let least = pulp::Arch::new().dispatch(RowLeast {
                        tiles: &tiles,
                        row: i,
                        columns: columns.clone(),
                        products,
                    });
                    *slack = slack.min(f64::from(least) - level - own[i]);
                }
            }
            true
        },
    );
    complete.all(|done| done).then_some(slack)
}

/// The least reduced cost of a row over some columns; a value of its own, so that it keeps the vector instructions.
struct RowLeast<'a> {
    tiles: &'a Tiles,
    row: usize,
    columns: std::ops::Range<usize>,
    products: &'a [f32],
}

impl pulp::NullaryFnOnce for RowLeast<'_> {
    type Output = f32;

    #[inline(always)]
    fn call(self) -> f32 {
        let mut least = [f32::INFINITY; LANES];
        for (chunk, products) in self.tiles.chunks(self.columns.start, self.products).iter().enumerate() {
            let column = self.columns.start + chunk * LANES;
            let values = self.tiles.reduced(self.row, column, products);
            for l in 0..LANES {
                // The last columns of a part share their vector with the next part's.
                if column + l < self.columns.end && values[l] < least[l] {
                    least[l] = values[l];
                }
            }
        }
        least.into_iter().fold(f32::INFINITY, f32::min)
    }
}
