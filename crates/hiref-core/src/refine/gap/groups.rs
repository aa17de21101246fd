//! Groups of y points that bound reduced costs from below.

use crate::cost::CostKind;
use crate::geometry::{Supports, equal_offsets, kd_order};
use crate::math::inner_products;
use rayon::prelude::*;

/// Groups, at most: each x point is compared with all of them.
const GROUPS: usize = 128;
/// Points of a group, at least.
const FEWEST_MEMBERS: usize = 8;
/// x points of one unit of work.
const ROWS: usize = 64;

/// Groups of neighbouring y points, with an affine ceiling of the prices of each.
///
/// With y = centre + u and a slope s, the mean gradient of the cost at the points' own partners, `g <= ceiling + <s, u>`. All costs are
/// convex in y, so `c(x, y) - g >= c(x, centre) - ceiling - |∇ - s| radius`, ∇ the gradient at the centre: where the slopes agree, that is
/// tight to second order. The squared cost exceeds its tangent by |u|², which may be counted with the prices.
pub(super) struct Groups<'a> {
    supports: Supports<'a>,
    /// What all points are seen from, `(d,)`: for the distances, the mean of y.
    origin: Vec<f64>,
    /// Centres, then slopes, `(2 groups, d)`.
    frames: Vec<f64>,
    parts: Vec<Group>,
}

struct Group {
    radius: f64,
    ceiling: f64,
    /// Of the prices less |u|², for the squared cost.
    curved_ceiling: f64,
    centre_square: f64,
    slope_square: f64,
    centre_slope: f64,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl<'a> Groups<'a> {
    pub(super) fn new(supports: Supports<'a>, y_of_x: &[u32], g: &[f64]) -> Self {
        let (d, m) = (supports.dimension(), supports.num_y());
        let count = (m / FEWEST_MEMBERS).clamp(1, GROUPS);
        let offsets = equal_offsets(m, count);
        let mut order: Vec<u32> = (0..m as u32).collect();
        kd_order(&mut order, &supports.y.all(), d, &offsets);
        let mut x_of_y = vec![u32::MAX; m];
        y_of_x.iter().take(supports.num_x()).enumerate().for_each(|(x, &y)| x_of_y[y as usize] = x as u32);
        let mut groups = Self { supports, origin: vec![0.0; d], frames: Vec::new(), parts: Vec::new() };
        if matches!(supports.cost, CostKind::SquaredEuclidean | CostKind::Euclidean) {
            let mut origin = vec![0.0; d];
            for j in 0..m as u32 {
                origin.iter_mut().zip(&*supports.y_row(j)).for_each(|(o, &v)| *o += f64::from(v) / m as f64);
            }
            groups.origin = origin;
        }
        let parts: Vec<(Vec<f64>, Vec<f64>, Group)> =
            offsets.par_windows(2).map(|range| groups.group(&order[range[0]..range[1]], &x_of_y, g)).collect();
        groups.frames.extend(parts.iter().flat_map(|(centre, ..)| centre));
        groups.frames.extend(parts.iter().flat_map(|(_, slope, _)| slope));
        groups.parts = parts.into_iter().map(|(.., group)| group).collect();
        groups
    }

    /// A point as the bounds see it.
    fn point(&self, row: &[f32]) -> Vec<f64> {
        let mut point: Vec<f64> = row.iter().zip(&self.origin).map(|(&v, o)| f64::from(v) - o).collect();
        if self.supports.cost == CostKind::Cosine {
            let norm = dot(&point, &point).sqrt();
            point.iter_mut().for_each(|v| *v /= norm);
        }
        point
    }

    fn group(&self, members: &[u32], x_of_y: &[u32], g: &[f64]) -> (Vec<f64>, Vec<f64>, Group) {
        let d = self.supports.dimension();
        let (mut centre, mut slope, mut paired) = (vec![0.0; d], vec![0.0; d], 0.0_f64);
        let points: Vec<Vec<f64>> = members.iter().map(|&j| self.point(&self.supports.y_row(j))).collect();
        for (y, &j) in points.iter().zip(members) {
            centre.iter_mut().zip(y).for_each(|(c, v)| *c += v / members.len() as f64);
            let partner = x_of_y[j as usize];
            if partner != u32::MAX {
                let x = self.point(&self.supports.x_row(partner));
                self.add_gradient(&x, y, &mut slope);
                paired += 1.0;
            }
        }
        slope.iter_mut().for_each(|s| *s /= paired.max(1.0));
        let mut group = Group {
            radius: 0.0,
            ceiling: f64::NEG_INFINITY,
            curved_ceiling: f64::NEG_INFINITY,
            centre_square: dot(&centre, &centre),
            slope_square: dot(&slope, &slope),
            centre_slope: dot(&centre, &slope),
        };
        for (y, &j) in points.iter().zip(members) {
            let offset: Vec<f64> = y.iter().zip(&centre).map(|(y, c)| y - c).collect();
            let square = dot(&offset, &offset);
            let above = g[j as usize] - dot(&slope, &offset);
            group.radius = group.radius.max(square.sqrt());
            group.ceiling = group.ceiling.max(above);
            group.curved_ceiling = group.curved_ceiling.max(above - square);
        }
        (centre, slope, group)
    }

    /// Adds `∇_y c(x, y)`.
    fn add_gradient(&self, x: &[f64], y: &[f64], sum: &mut [f64]) {
        let scale = match self.supports.cost {
            CostKind::SquaredEuclidean => 2.0,
            CostKind::Euclidean => {
                let norm = x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt();
                if norm > 0.0 { norm.recip() } else { 0.0 }
            }
            CostKind::Cosine | CostKind::NegativeInnerProduct => {
                sum.iter_mut().zip(x).for_each(|(s, x)| *s -= x);
                return;
            }
        };
        sum.iter_mut().zip(x).zip(y).for_each(|((s, x), y)| *s += scale * (y - x));
    }

    /// A number never above `min_j (c_ij - g_j)` for each x point, `(n,)`. O(n groups d), in f64.
    pub(super) fn bounds(&self) -> Vec<f64> {
        let (d, n, count) = (self.supports.dimension(), self.supports.num_x(), self.parts.len());
        let mut bounds = vec![0.0; n];
        bounds.par_chunks_mut(ROWS).enumerate().for_each_init(
            || vec![0.0; ROWS * 2 * count],
            |products, (chunk, bounds)| {
                let rows = (chunk * ROWS) as u32..(chunk * ROWS + bounds.len()) as u32;
                let points: Vec<f64> = rows.flat_map(|i| self.point(&self.supports.x_row(i))).collect();
                inner_products(&points, &self.frames, d, products, 2 * count);
                for ((x, products), bound) in
                    points.chunks_exact(d).zip(products.chunks_exact(2 * count)).zip(bounds.iter_mut())
                {
                    let (along_centre, along_slope) = products.split_at(count);
                    let square = dot(x, x);
                    let groups = self.parts.iter().zip(along_centre).zip(along_slope);
                    *bound =
                        groups.map(|((group, &c), &s)| self.bound(group, square, c, s)).fold(f64::INFINITY, f64::min);
                }
            },
        );
        bounds
    }

    /// The bound of one group, given `|x|²`, `<x, centre>` and `<x, slope>`.
    fn bound(&self, group: &Group, square: f64, along_centre: f64, along_slope: f64) -> f64 {
        let Group { radius, ceiling, curved_ceiling, centre_square, slope_square, centre_slope } = *group;
        // What rounding can do to sums of squares.
        let size = square + centre_square + slope_square;
        let rounding = 1e-13 * (self.supports.dimension() + 8) as f64 * size;
        let distance = (square + centre_square - 2.0 * along_centre).max(0.0);
        // |∇ - s|², from above.
        let steep = |square: f64| (square + 4.0 * rounding).max(0.0).sqrt() * radius * (1.0 + 1e-12);
        match self.supports.cost {
            CostKind::SquaredEuclidean => {
                // ∇ = 2 (centre - x).
                let difference = 4.0 * distance + slope_square - 4.0 * (centre_slope - along_slope);
                let straight = ceiling + steep(difference).min(0.25 * (difference + 4.0 * rounding).max(0.0));
                distance - rounding - straight.min(curved_ceiling + steep(difference))
            }
            CostKind::Euclidean => {
                let distance = (distance - rounding).max(0.0).sqrt();
                let difference = if distance > 1e-3 * (size.sqrt()) {
                    1.0 + slope_square - 2.0 * (centre_slope - along_slope) / distance + 4.0 * rounding / distance
                } else {
                    (1.0 + slope_square.sqrt()).powi(2)
                };
                distance - ceiling - steep(difference)
            }
            // ∇ = -x.
            CostKind::Cosine => {
                1.0 - along_centre - rounding - ceiling - steep(square + slope_square + 2.0 * along_slope)
            }
            CostKind::NegativeInnerProduct => {
                -along_centre - rounding - ceiling - steep(square + slope_square + 2.0 * along_slope)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::Rows;
    use crate::rng::stream;
    use rand::Rng;

    #[test]
    fn bounds_are_below_every_reduced_cost_and_near_the_least() {
        let (n, m) = (150, 700);
        for d in [1, 3, 20] {
            let mut rng = stream(9, &[d as u64]);
            let x: Vec<f32> = (0..n * d).map(|_| rng.random_range(-1.0..1.0_f32) + 30.0).collect();
            let y: Vec<f32> = (0..m * d).map(|_| rng.random_range(-1.5..1.5_f32) + 31.0).collect();
            for cost in CostKind::ALL {
                let supports = Supports::new(Rows::of(&x, d), Rows::of(&y, d), cost);
                let y_of_x: Vec<u32> = (0..m as u32).map(|i| (i * 37) % m as u32).collect();
                // Prices that grow along the cost, and scatter a little.
                let g: Vec<f64> =
                    (0..m as u32).map(|j| supports.between(0, j) + 0.01 * rng.random_range(-1.0..1.0)).collect();
                let bounds = Groups::new(supports, &y_of_x, &g).bounds();
                let mut open = 0.0;
                for (i, bound) in (0..n as u32).zip(bounds) {
                    let reduced = (0..m as u32).map(|j| supports.between(i, j) - g[j as usize]);
                    let least = reduced.fold(f64::INFINITY, f64::min);
                    let rounding = 1e-9 * (least.abs() + supports.between(i, 0).abs());
                    assert!(bound <= least + rounding, "{cost}, d = {d}, row {i}: {bound} above {least}");
                    open += least - bound;
                }
                let highest = g.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                // Nearer than that no distance is negative, which is all that is known without groups.
                if matches!(cost, CostKind::SquaredEuclidean | CostKind::Euclidean) {
                    assert!(open / n as f64 <= highest, "{cost}, d = {d}: {open}");
                }
            }
        }
    }
}
