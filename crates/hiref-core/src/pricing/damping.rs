//! How far to follow new prices, from a sample of rows.

use super::tiles::{LANES, Tiles};
use crate::geometry::Supports;
use crate::rng::stream;
use rand::seq::index::sample;
use rayon::prelude::*;
use std::ops::RangeInclusive;

/// Shares of the way to new prices that are tried, and none of it, with which they are compared. With smaller ones the next round finds the columns that are
/// there already.
const SHARES: [f32; 7] = [1.0, 0.75, 0.625, 0.5, 0.375, 0.25, 0.0];
/// One row of so many is looked at, and so many at least and at most: a small part of the time of a pass over all pairs.
const ROWS_FOR_EACH: usize = 64;
const ROWS: RangeInclusive<usize> = 256..=2048;
/// y points of one unit of work.
const COLUMNS: usize = 512;

/// Which share of the way from prices g to new ones raises the bound by g most, and by how much; 0 and 0 if none does. `None` if asked to stop.
///
/// A sparse solve knows few columns of a row, so its prices may fall far below what all pairs allow, and then prove nothing. But the bound is concave
/// along the line from the former prices to them, and a sample of rows tells where it is largest: the smoothing of column generation \[W97\].
/// Where some y points stay without a partner, what the bound gains by their price being the largest is left out. O(rows · m · d).
pub(super) fn best_share(
    supports: Supports<'_>,
    g: &[f64],
    (new, capacity): (&[f64], Option<&[u32]>),
    draw: u64,
    should_stop: &(dyn Fn() -> bool + Sync),
) -> Option<(f64, f64)> {
    let gains = gains(supports, g, (new, capacity), draw, should_stop)?;
    Some(gains.into_iter().fold((0.0, 0.0), |best, gain| if gain.1 > best.1 { gain } else { best }))
}

/// What the bound on the mean cost gains by each share, as the sample tells.
fn gains(
    supports: Supports<'_>,
    g: &[f64],
    (new, capacity): (&[f64], Option<&[u32]>),
    draw: u64,
    should_stop: &(dyn Fn() -> bool + Sync),
) -> Option<[(f64, f64); SHARES.len()]> {
    let (n, m, d) = (supports.num_x(), supports.num_y(), supports.dimension());
    let count = (n / ROWS_FOR_EACH).clamp(*ROWS.start(), *ROWS.end()).min(n);
    let rows: Vec<u32> = sample(&mut stream(draw, &[8]), n, count).into_iter().map(|i| i as u32).collect();
    let tiles = Tiles::new(supports.cost, d, supports.x.gather(&rows), supports.y.all().into_owned(), g);
    let mut steps: Vec<f32> = new.iter().zip(g).map(|(new, g)| (new - g) as f32).collect();
    // A whole vector may be read from any column on.
    steps.resize(m + LANES, 0.0);
    let least_of = |products: &mut Vec<f32>, start: usize| {
        let mut least = vec![[f32::INFINITY; SHARES.len()]; count];
        if !should_stop() {
            tiles.multiply(0..count, start..(start + COLUMNS).min(m), products, COLUMNS);
            for (row, (least, products)) in least.iter_mut().zip(products.chunks_exact(COLUMNS)).enumerate() {
                let (tiles, steps) = (&tiles, &steps[..]);
                pulp::Arch::new().dispatch(Scan { tiles, steps, row, start, products, least });
            }
        }
        least
    };
    let least = (0..m.div_ceil(COLUMNS))
        .into_par_iter()
        .map_init(|| vec![0.0; count * COLUMNS], |products, unit| least_of(products, unit * COLUMNS))
        .reduce_with(|mut all, some| {
            all.iter_mut().flatten().zip(some.iter().flatten()).for_each(|(all, &some)| *all = all.min(some));
            all
        })?;
    if should_stop() {
        return None;
    }
    let taken = |j: usize| capacity.map_or(1.0, |capacity| f64::from(capacity[j]));
    let step = new.iter().zip(g).enumerate().map(|(j, (new, g))| taken(j) * (new - g)).sum::<f64>() / n as f64;
    Some(std::array::from_fn(|k| {
        let share = f64::from(SHARES[k]);
        let floor = least.iter().map(|least| f64::from(least[k]) - f64::from(least[SHARES.len() - 1]));
        (share, share * step + floor.sum::<f64>() / count as f64)
    }))
}

/// The least reduced costs of a row with some columns, for each share.
///
/// A value of its own and no closure: the body of a large closure becomes a function without the vector instructions.
struct Scan<'a> {
    tiles: &'a Tiles,
    /// From the former prices to the new ones.
    steps: &'a [f32],
    row: usize,
    start: usize,
    products: &'a [f32],
    least: &'a mut [f32; SHARES.len()],
}

impl pulp::NullaryFnOnce for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { tiles, steps, row, start, products, least } = self;
        let mut lanes = [[f32::INFINITY; LANES]; SHARES.len()];
        for (column, products) in (start..).step_by(LANES).zip(tiles.chunks(start, products)) {
            let (values, steps) = (tiles.reduced(row, column, products), &steps[column..column + LANES]);
            for (lanes, share) in lanes.iter_mut().zip(SHARES) {
                for l in 0..LANES {
                    let value = values[l] - share * steps[l];
                    lanes[l] = if value < lanes[l] { value } else { lanes[l] };
                }
            }
        }
        for (least, lanes) in least.iter_mut().zip(lanes) {
            *least = lanes.into_iter().fold(*least, f32::min);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::CostKind;
    use crate::points::Rows;
    use rand::Rng;

    /// All rows are in the sample, so that the gains are those of the bound itself.
    #[test]
    fn gains_are_those_of_the_bound() {
        let (n, d) = (130, 5);
        let mut rng = stream(3, &[]);
        let mut values =
            |count: usize, size: f64| -> Vec<f64> { (0..count).map(|_| rng.random_range(-size..size)).collect() };
        let points = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect::<Vec<f32>>();
        let (x, y) = (points(values(n * d, 1.0)), points(values(n * d, 1.0)));
        for cost in CostKind::ALL {
            let supports = Supports::new(Rows::of(&x, d), Rows::of(&y, d), cost);
            let (g, near, far) = (values(n, 0.3), values(n, 0.3), values(n, 30.0));
            let bound = |g: &[f64]| {
                let least = |i: usize| {
                    (0..n).map(|j| supports.between(i as u32, j as u32) - g[j]).fold(f64::INFINITY, f64::min)
                };
                let f: Vec<f64> = (0..n).map(least).collect();
                (f.iter().sum::<f64>() + g.iter().sum::<f64>()) / n as f64
            };
            let before = bound(&g);
            for new in [near, far, g.iter().map(|g| g + 2.0).collect()] {
                let found = gains(supports, &g, (&new, None), 1, &|| false).unwrap();
                let mut best = (0.0, 1e-6);
                for (share, gain) in found {
                    let between: Vec<f64> = g.iter().zip(&new).map(|(g, new)| g + share * (new - g)).collect();
                    let expected = bound(&between) - before;
                    assert!((gain - expected).abs() < 2e-5, "{cost}, {share}: {gain} instead of {expected}");
                    if expected > best.1 {
                        best = (share, expected);
                    }
                }
                assert!(
                    best.1 < 1e-4
                        || best_share(supports, &g, (&new, None), 1, &|| false).is_some_and(|found| found.0 == best.0),
                    "{cost}: {best:?}, {found:?}"
                );
            }
            assert_eq!(best_share(supports, &g, (&g, None), 1, &|| true), None);
        }
    }
}
