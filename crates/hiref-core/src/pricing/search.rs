//! Least reduced costs by streamed tiles: any cost, any dimension, the n x m matrix never stored.

use super::bytes::ByteBounds;
use super::candidates::{Least, Pricing, lowered};
use super::tiles::{LANES, Tiles, mean};
use crate::cost::CostKind;
use crate::geometry::{Supports, equal_offsets, kd_order};
use crate::math::inner_products;
use rayon::prelude::*;

/// x points of a tile.
const ROWS: usize = 256;
/// y points of a tile.
const COLUMNS: usize = 256;
/// Tiles between two questions whether to stop.
const VISITS_BETWEEN_QUESTIONS: usize = 32;

/// Ranges of `COLUMNS` y points: where they are, and the largest price among them.
struct Ranges {
    /// `(ranges, d)`
    centres: Vec<f32>,
    norms: Vec<f64>,
    radius: Vec<f64>,
    highest: Vec<f64>,
}

impl Ranges {
    fn new(tiles: &Tiles, num_y: usize) -> Self {
        let d = tiles.dimension();
        let parts: Vec<(Vec<f32>, f64, f64)> = (0..num_y.div_ceil(COLUMNS))
            .into_par_iter()
            .map(|range| {
                let members = range * COLUMNS..((range + 1) * COLUMNS).min(num_y);
                let rows = &tiles.values()[1][members.start * d..members.end * d];
                let centre: Vec<f32> = mean(rows, d).into_iter().map(|c| c as f32).collect();
                let distance = |row: &[f32]| {
                    row.iter().zip(&centre).map(|(&v, &c)| (f64::from(v) - f64::from(c)).powi(2)).sum::<f64>().sqrt()
                };
                let radius = rows.chunks_exact(d).map(distance).fold(0.0, f64::max);
                let highest = tiles.prices()[members].iter().copied().fold(f32::NEG_INFINITY, f32::max);
                (centre, radius, f64::from(highest))
            })
            .collect();
        let norms = parts.iter().map(|(centre, ..)| centre.iter().map(|&c| f64::from(c).powi(2)).sum::<f64>().sqrt());
        Self {
            norms: norms.collect(),
            radius: parts.iter().map(|part| part.1).collect(),
            highest: parts.iter().map(|part| part.2).collect(),
            centres: parts.into_iter().flat_map(|part| part.0).collect(),
        }
    }

    fn len(&self) -> usize {
        self.radius.len()
    }

    /// A number never above the reduced costs of row i with any column of a range, given `<x_i, centre>` in f32.
    fn bound(&self, tiles: &Tiles, i: usize, range: usize, product: f32) -> f64 {
        let (error, radius, product) = (tiles.product_error(i), self.radius[range], f64::from(product));
        // By the triangle inequality.
        let nearest = || {
            let square = tiles.norms()[0][i].powi(2) + self.norms[range].powi(2) - 2.0 * product - error;
            (square.max(0.0).sqrt() - radius * (1.0 + 1e-6)).max(0.0)
        };
        let cost = match tiles.cost() {
            CostKind::SquaredEuclidean => nearest().powi(2),
            CostKind::Euclidean => nearest(),
            // Of unit vectors.
            CostKind::Cosine => 0.5 * nearest().powi(2),
            CostKind::NegativeInnerProduct => -product - tiles.norms()[0][i] * radius,
        };
        cost - self.highest[range] - error - tiles.sum_error(i)
    }
}

/// Offers every column whose reduced cost may be below the row's threshold.
///
/// A value of its own and no closure: the body of a large closure becomes a function without the vector instructions.
pub(super) struct Scan<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) bounds: &'a ByteBounds,
    pub(super) row: usize,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) products: &'a [i32],
    pub(super) looseness: &'a [f32],
    pub(super) list: &'a mut Least,
}

impl pulp::NullaryFnOnce for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { tiles, bounds, row, start, end, products, looseness, list } = self;
        let mut limit = bounds.limit(tiles, row, list.threshold());
        let chunks = products.as_chunks::<LANES>().0.iter().zip(looseness.as_chunks::<LANES>().0);
        for (column, (products, looseness)) in (start..).step_by(LANES).zip(chunks) {
            let found = limit.candidates(bounds, tiles, column, products, looseness);
            if !found.iter().fold(false, |any, &found| any | found) {
                continue;
            }
            for (column, _) in (column..end).zip(found).filter(|&(_, found)| found) {
                list.offer(f64::from(tiles.reduced_cost(row, column)), column as u32);
            }
            limit = bounds.limit(tiles, row, list.threshold());
        }
    }
}

/// Both sides in an order that keeps neighbours together: y points as in a k-d tree, x points as their partners.
fn neighbours_together(supports: Supports<'_>, y_of_x: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let (n, m) = (supports.num_x(), supports.num_y());
    let mut y_order: Vec<u32> = (0..m as u32).collect();
    let offsets = equal_offsets(m, m.div_ceil(COLUMNS).next_power_of_two());
    kd_order(&mut y_order, &supports.y.all(), supports.dimension(), &offsets);
    let mut place = vec![0_u32; m];
    y_order.iter().enumerate().for_each(|(at, &j)| place[j as usize] = at as u32);
    let mut x_order: Vec<u32> = (0..n as u32).collect();
    x_order.sort_by_key(|&i| place.get(y_of_x[i as usize] as usize).copied().unwrap_or(u32::MAX));
    (x_order, y_order)
}

/// What a search asks whether to stop, and tells how many rows are done.
type Watch<'a> = (&'a (dyn Fn() -> bool + Sync), &'a (dyn Fn(usize) + Sync));

/// The least reduced costs by tiles; see [`super::Pricer::price`]. Tiles that the triangle inequality shows to be too dear for every row are left out.
pub(super) fn price(
    supports: Supports<'_>,
    y_of_x: &[u32],
    g: &[f64],
    width: usize,
    (should_stop, told): Watch<'_>,
) -> Option<Pricing> {
    let n = supports.num_x();
    let search = Search::new(supports, y_of_x, g, width);
    // Rows of the pricing in the order of the search, to be put in their places at the end.
    let mut found = Pricing::new(n, width);
    let complete = found
        .columns
        .par_chunks_mut(width * ROWS)
        .zip(found.costs.par_chunks_mut(width * ROWS))
        .zip(found.floor.par_chunks_mut(ROWS))
        .enumerate()
        .map_init(Scratch::default, |scratch, (block, ((columns, costs), floor))| {
            let rows = block * ROWS..block * ROWS + floor.len();
            let Some(lists) = search.least_in_tiles(rows.clone(), scratch, should_stop) else { return false };
            for (((i, list), floor), (columns, costs)) in
                rows.zip(&lists).zip(floor).zip(columns.chunks_exact_mut(width).zip(costs.chunks_exact_mut(width)))
            {
                *floor = search.recheck(i, list, columns, costs);
            }
            told(lists.len());
            true
        })
        .all(|done| done);
    if !complete {
        return None;
    }
    let mut pricing = Pricing::new(n, width);
    for (at, &i) in search.x_order.iter().enumerate() {
        let (from, to) = (at * width..(at + 1) * width, i as usize * width..(i as usize + 1) * width);
        pricing.columns[to.clone()].copy_from_slice(&found.columns[from.clone()]);
        pricing.costs[to].copy_from_slice(&found.costs[from]);
        pricing.floor[i as usize] = found.floor[at];
    }
    Some(pricing)
}

/// `min_j (c_ij - g_j)` of each x point, `(n,)`, up to rounding in f32: for prices, which nothing is proved with.
pub(super) fn least(
    supports: Supports<'_>,
    y_of_x: &[u32],
    g: &[f64],
    (should_stop, told): Watch<'_>,
) -> Option<Vec<f64>> {
    let search = Search::new(supports, y_of_x, g, 1);
    let mut found = vec![0.0; supports.num_x()];
    let complete = found.par_chunks_mut(ROWS).enumerate().map_init(Scratch::default, |scratch, (block, found)| {
        let rows = block * ROWS..block * ROWS + found.len();
        let Some(lists) = search.least_in_tiles(rows, scratch, should_stop) else { return false };
        found.iter_mut().zip(&lists).for_each(|(found, list)| *found = list.threshold() - search.tiles.level());
        told(lists.len());
        true
    });
    if !complete.all(|done| done) {
        return None;
    }
    let mut least = vec![0.0; found.len()];
    search.x_order.iter().zip(found).for_each(|(&i, found)| least[i as usize] = found);
    Some(least)
}

/// Both sides in the order of the search, and what it needs to know of them.
struct Search<'a> {
    supports: Supports<'a>,
    g: &'a [f64],
    width: usize,
    x_order: Vec<u32>,
    y_order: Vec<u32>,
    tiles: Tiles,
    bounds: ByteBounds,
    ranges: Ranges,
}

/// Memory that one thread uses again for each block of rows.
#[derive(Default)]
struct Scratch {
    /// `(rows, ranges)`
    centres: Vec<f32>,
    /// `(rows, columns)`
    products: Vec<i32>,
    looseness: Vec<f32>,
}

impl<'a> Search<'a> {
    fn new(supports: Supports<'a>, y_of_x: &[u32], g: &'a [f64], width: usize) -> Self {
        let (x_order, y_order) = neighbours_together(supports, y_of_x);
        let ordered: Vec<f64> = y_order.iter().map(|&j| g[j as usize]).collect();
        let (x, y) = (supports.x.gather(&x_order), supports.y.gather(&y_order));
        let tiles = Tiles::new(supports.cost, supports.dimension(), x, y, &ordered);
        let (bounds, ranges) = (ByteBounds::new(&tiles), Ranges::new(&tiles, supports.num_y()));
        Self { supports, g, width, x_order, y_order, tiles, bounds, ranges }
    }

    /// The columns of least rounded reduced costs of some rows; ranges that may hold the least come first. `None` if
    /// `should_stop` said so.
    fn least_in_tiles(
        &self,
        rows: std::ops::Range<usize>,
        Scratch { centres, products, looseness }: &mut Scratch,
        should_stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Vec<Least>> {
        let Self { tiles, bounds: bytes, ranges, .. } = self;
        let (d, m, stride) = (self.supports.dimension(), self.supports.num_y(), ranges.len());
        let mut lists: Vec<Least> = rows.clone().map(|_| Least::new(self.width)).collect();
        centres.resize(ROWS * stride, 0.0);
        products.resize(ROWS * COLUMNS, 0);
        inner_products(&tiles.values()[0][rows.start * d..rows.end * d], &ranges.centres, d, centres, stride);
        let mut bounds: Vec<f64> = Vec::with_capacity(rows.len() * stride);
        for (i, products) in rows.clone().zip(centres.chunks_exact(stride)) {
            bounds.extend(products.iter().enumerate().map(|(range, &p)| ranges.bound(tiles, i, range, p)));
        }
        let mut visits: Vec<(f64, usize)> = (0..stride)
            .map(|range| (bounds.iter().skip(range).step_by(stride).copied().fold(f64::INFINITY, f64::min), range))
            .collect();
        visits.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let loosest = bytes.loosest(rows.clone());
        for (visit, (_, range)) in visits.into_iter().enumerate() {
            if visit % VISITS_BETWEEN_QUESTIONS == 0 && should_stop() {
                return None;
            }
            let wanted = |row: usize, list: &Least| bounds[row * stride + range] < list.threshold();
            if !lists.iter().enumerate().any(|(row, list)| wanted(row, list)) {
                continue;
            }
            let columns = range * COLUMNS..((range + 1) * COLUMNS).min(m);
            bytes.multiply(rows.clone(), columns.clone(), products, COLUMNS);
            bytes.looseness(loosest, columns.clone(), looseness);
            for (row, (list, products)) in lists.iter_mut().zip(products.chunks_exact(COLUMNS)).enumerate() {
                if wanted(row, list) {
                    let (row, start, end) = (rows.start + row, columns.start, columns.end);
                    pulp::Arch::new().dispatch(Scan {
                        tiles,
                        bounds: bytes,
                        row,
                        start,
                        end,
                        products,
                        looseness,
                        list,
                    });
                }
            }
        }
        Some(lists)
    }

    /// Hands over every y point whose reduced cost with row i may be as small as `least`.
    fn search_again(&self, i: usize, least: f64, mut take: impl FnMut(u32)) {
        let Self { tiles, bounds, .. } = self;
        let limit = bounds.limit(tiles, i, tiles.ceiling(i, least));
        let (mut products, mut looseness) = (vec![0; COLUMNS], Vec::new());
        let m = self.supports.num_y();
        for start in (0..m).step_by(COLUMNS) {
            let columns = start..(start + COLUMNS).min(m);
            bounds.multiply(i..i + 1, columns.clone(), &mut products, COLUMNS);
            bounds.looseness(bounds.loosest(i..i + 1), columns.clone(), &mut looseness);
            let chunks = products.as_chunks::<LANES>().0.iter().zip(looseness.as_chunks::<LANES>().0);
            for (column, (products, looseness)) in (start..).step_by(LANES).zip(chunks) {
                let found = limit.candidates(bounds, tiles, column, products, looseness);
                let found = (column..columns.end).zip(found).filter(|&(_, found)| found);
                found.for_each(|(column, _)| take(self.y_order[column]));
            }
        }
    }

    /// Puts the listed columns of row i in order by their exact costs; returns its floor. Where rounding leaves the least one in doubt, the
    /// row is searched again in f64.
    fn recheck(&self, i: usize, list: &Least, columns: &mut [u32], costs: &mut [f64]) -> f64 {
        let Self { supports, g, width, .. } = *self;
        let (d, m) = (supports.dimension(), supports.num_y());
        let x = supports.x_row(self.x_order[i]);
        let reduced = |j: u32| {
            let cost = supports.cost.between(&x, &supports.y_row(j));
            (cost - g[j as usize], j, cost)
        };
        let listed: Vec<u32> = list.entries().iter().map(|&(_, at)| self.y_order[at as usize]).collect();
        let found = supports.costs(self.x_order[i], &listed);
        let mut exact: Vec<_> = listed.iter().zip(found).map(|(&j, cost)| (cost - g[j as usize], j, cost)).collect();
        exact.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        // What is not listed was no less than the last one listed, up to rounding.
        let unlisted = if width == m { f64::INFINITY } else { self.tiles.floor(i, list.threshold()) };
        if exact.len() < width || unlisted.is_nan() || exact[0].0 > unlisted {
            let mut list = Least::new(width);
            self.search_again(i, exact.first().map_or(f64::INFINITY, |first| first.0), |j| list.offer(reduced(j).0, j));
            exact = list.entries().iter().map(|&(_, j)| reduced(j)).collect();
        }
        for ((column, cost), &(_, j, c)) in columns.iter_mut().zip(costs).zip(&exact) {
            (*column, *cost) = (j, c);
        }
        lowered(exact[0].0, exact[0].2, d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::Rows;
    use crate::rng::stream;
    use rand::Rng;

    /// Points around a few centres, far from the origin; some twice, some zero, prices of the size of costs.
    fn instance(n: usize, m: usize, d: usize, seed: u64) -> (Vec<f32>, Vec<f32>, Vec<f64>) {
        let mut rng = stream(seed, &[]);
        let centres: Vec<f32> = (0..5 * d).map(|_| rng.random_range(-2.0..3.0)).collect();
        let mut points = |count: usize| {
            let mut rows = Vec::new();
            for at in 0..count {
                let (centre, scale) = (rng.random_range(0..5), if at % 7 == 0 { 0.0 } else { 0.5 });
                let row = &centres[centre * d..][..d];
                rows.extend(row.iter().map(|c| c + scale * rng.random_range(-1.0..1.0_f32)));
            }
            rows
        };
        let (x, y) = (points(n), points(m));
        let g = (0..m).map(|_| rng.random_range(-1.0..1.0)).collect();
        (x, y, g)
    }

    #[test]
    fn the_least_reduced_costs_are_those_of_a_full_search() {
        for (n, m, d) in [(70, 600, 5), (300, 530, 40), (20, 9, 17)] {
            let (x, y, g) = instance(n, m, d, 3);
            for cost in CostKind::ALL {
                let supports = Supports::new(Rows::of(&x, d), Rows::of(&y, d), cost);
                let y_of_x: Vec<u32> = (0..n.max(m) as u32).collect();
                let width = 8.min(m);
                let pricing = price(supports, &y_of_x, &g, width, (&|| false, &|_| ())).unwrap();
                let rough = least(supports, &y_of_x, &g, (&|| false, &|_| ())).unwrap();
                for (i, &rough) in rough.iter().enumerate() {
                    let reduced = |j: u32| supports.between(i as u32, j) - g[j as usize];
                    let mut all: Vec<f64> = (0..m as u32).map(reduced).collect();
                    all.sort_by(f64::total_cmp);
                    let what = format!("{cost}, {m} points in {d} dimensions, row {i}");
                    let columns = &pricing.columns[i * width..][..width];
                    assert!((reduced(columns[0]) - all[0]).abs() <= 1e-12 * (1.0 + all[0].abs()), "{what}");
                    for (rank, &j) in columns.iter().enumerate() {
                        let (found, expected) = (reduced(j), all[rank]);
                        assert!((found - expected).abs() <= 1e-3, "{what}: {found} in place of {expected}");
                        assert_eq!(pricing.costs[i * width + rank], supports.between(i as u32, j), "{what}");
                    }
                    assert!(pricing.floor[i] <= all[0] && pricing.floor[i] >= all[0] - 1e-9, "{what}");
                    assert!((rough - all[0]).abs() <= 1e-3, "{what}: {rough} against {}", all[0]);
                }
            }
        }
    }

    #[test]
    fn no_pair_below_the_threshold_is_left_out() {
        let (n, m, d) = (64, 300, 24);
        let (x, y, g) = instance(n, m, d, 8);
        for cost in CostKind::ALL {
            let supports = Supports::new(Rows::of(&x, d), Rows::of(&y, d), cost);
            let tiles = Tiles::new(cost, d, x.clone(), y.clone(), &g);
            let bounds = ByteBounds::new(&tiles);
            let (mut products, mut looseness) = (vec![0; n * m.next_multiple_of(LANES)], Vec::new());
            let stride = m.next_multiple_of(LANES);
            bounds.multiply(0..n, 0..m, &mut products, stride);
            bounds.looseness(bounds.loosest(0..n), 0..m, &mut looseness);
            let (mut below, mut passed) = (0, 0);
            for i in 0..n {
                let reduced: Vec<f64> = (0..m).map(|j| supports.between(i as u32, j as u32) - g[j]).collect();
                let mut sorted = reduced.clone();
                sorted.sort_by(f64::total_cmp);
                // Thresholds are of prices less their mean.
                let threshold = sorted[10];
                let limit = bounds.limit(&tiles, i, threshold + tiles.level());
                let chunks = products[i * stride..][..stride].as_chunks::<LANES>().0.iter();
                for (chunk, products) in chunks.enumerate() {
                    let looseness = looseness[chunk * LANES..].first_chunk().unwrap();
                    let found = limit.candidates(&bounds, &tiles, chunk * LANES, products, looseness);
                    for (j, found) in (chunk * LANES..m).zip(found) {
                        assert!(found || reduced[j] >= threshold - 1e-4, "{cost}: ({i}, {j}) is left out");
                        below += usize::from(reduced[j] < threshold);
                        passed += usize::from(found);
                    }
                }
            }
            assert!(below >= 10 * n / 2 && passed < 3 * below + n * m / 10, "{cost}: {passed} passed, {below} below");
        }
    }
}
