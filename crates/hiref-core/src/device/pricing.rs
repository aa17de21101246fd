//! Least reduced costs of whole supports on a device, and the slack between parts; the specification is `pricing/tiles.rs`.

use super::{Accelerator, DevicePoints};
use crate::cost::CostKind;
use crate::error::Error;
use crate::geometry::Supports;
use crate::points::Rows;
use crate::pricing::{Pricing, lowered};
use hiref_kernels::{
    Blocks, Buffer, DeviceRows, ExactSearch, NONE, PartScan, Precision, Product, Scan, View, exact_least,
    gather_centred, pair_costs, prepare_rows, scan_parts, scan_tile, slack_of_bits, split_digits,
};
use rayon::prelude::*;
use std::ops::Range;

/// Candidates that the device lists for each row: more than are asked for, so that rounding seldom leaves the least one in doubt.
const LISTED: usize = 32;
/// From this many coordinates on products run on tensor cores, in two parts of the digits.
const SPLIT_DIMENSION: usize = 256;
/// Rows searched again in f64, of each chunk, at most: one in so many. The others keep a floor that is lower than it need be.
const SEARCHED_AGAIN: usize = 64;

/// One side as tiles see it: less a centre, with the norms of what is left.
#[derive(Debug)]
pub(super) struct Frame {
    centre: Buffer<f64>,
    largest_norm: f64,
}

/// Prices in f32 less their mean, and what their rounding and that of products can amount to; as in `pricing/tiles.rs`.
struct Rounding {
    cost: CostKind,
    terms: f64,
    largest_y: f64,
    largest_price: f64,
    level: f64,
}

impl Rounding {
    fn product_error(&self, norm: f64) -> f64 {
        let size = norm + self.largest_y;
        self.terms * (f64::from(f32::EPSILON) * size * size + f64::from(f32::MIN_POSITIVE))
    }

    fn sum_error(&self, norm: f64) -> f64 {
        let size = match self.cost {
            CostKind::SquaredEuclidean | CostKind::NegativeInnerProduct => 0.0,
            CostKind::Euclidean => norm + self.largest_y,
            CostKind::Cosine => 1.0,
        };
        4.0 * f64::from(f32::EPSILON) * (size + self.largest_price)
    }

    /// Never above the reduced cost of an entry that a tile gave as `value` or more.
    fn floor(&self, norm: f64, value: f64) -> f64 {
        let product = if self.cost == CostKind::Euclidean { 0.0 } else { self.product_error(norm) };
        value - product - self.sum_error(norm) - self.level
    }
}

/// Told of the products of a tile, the squared norms of its columns, and which columns they are.
type Visit<'v> = dyn FnMut(View<'_, f32>, View<'_, f64>, Range<usize>) -> Result<(), Error> + 'v;

/// A chunk of one side, ready for products.
struct Chunk {
    /// `(rows, d)`, or `(rows, 3 d)` where digits are split.
    values: Buffer<f32>,
    squares: Buffer<f64>,
}

impl Accelerator<'_> {
    fn sides(&self, turned: bool) -> (&DevicePoints<'_>, &DevicePoints<'_>) {
        if turned { (&self.y, &self.x) } else { (&self.x, &self.y) }
    }

    /// As [`crate::pricing::Pricer::price`].
    pub(super) fn try_price(
        &self,
        turned: bool,
        supports: Supports<'_>,
        g: &[f64],
        width: usize,
        should_stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Pricing>, Error> {
        let (n, m) = (supports.num_x(), supports.num_y());
        let frame = self.frame(turned, supports)?;
        let (prices, rounding) = self.prices(frame, g)?;
        let listed = LISTED.max(width).min(m);
        let mut pricing = Pricing::new(n, width);
        for start in (0..n).step_by(self.tile[0]) {
            if should_stop() {
                return Ok(None);
            }
            let rows = start..(start + self.tile[0]).min(n);
            let x = self.chunk(self.sides(turned).0, rows.clone(), frame, false)?;
            let norms: Vec<f64> = x.squares.to_vec()?.into_iter().map(f64::sqrt).collect();
            let slack: Vec<f64> = norms.iter().map(|&norm| rounding.product_error(norm)).collect();
            let slack = self.queue.upload(&slack)?;
            let mut values = self.queue.upload(&vec![f32::INFINITY; rows.len() * listed])?;
            let mut indices = self.queue.upload(&vec![NONE; rows.len() * listed])?;
            self.for_each_tile(turned, frame, &x, rows.len(), m, &mut |products, y_squares, columns| {
                let prices = prices.view().range(columns.clone());
                let (cost, first_column) = (self.cost(), columns.start);
                let x_squares = x.squares.view();
                let x_slack = slack.view();
                let scan = Scan { cost, products, x_squares, x_slack, y_squares, prices, first_column, width: listed };
                Ok(scan_tile(&self.queue, &scan, &mut values, &mut indices)?)
            })?;
            let (values, indices) = (values.to_vec()?, indices.to_vec()?);
            let found = Listed { rows, width: listed, norms: &norms, values: &values, indices: &indices };
            self.recheck(turned, supports, g, &rounding, &found, &mut pricing)?;
        }
        Ok(Some(pricing))
    }

    /// Calls `visit` with the products of a chunk of x with each chunk of y, the squared norms of that chunk, and its columns.
    fn for_each_tile(
        &self,
        turned: bool,
        frame: &Frame,
        x: &Chunk,
        rows: usize,
        m: usize,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        let split = self.dimension >= SPLIT_DIMENSION;
        let precision = if split { Precision::TensorFloat } else { Precision::Single };
        let inner = if split { 3 * self.dimension } else { self.dimension };
        let mut products = self.queue.allocate::<f32>(rows * self.tile[1].min(m))?;
        for start in (0..m).step_by(self.tile[1]) {
            let columns = start..(start + self.tile[1]).min(m);
            let y = self.chunk(self.sides(turned).1, columns.clone(), frame, true)?;
            let product = Product { batch: 1, rows, columns: columns.len(), inner, precision };
            self.queue.multiply(&product, x.values.view(), y.values.view(), &mut products)?;
            visit(products.view(), y.squares.view(), columns)?;
        }
        Ok(())
    }

    /// A range of one side's rows, centred, with their squared norms.
    fn chunk(&self, side: &DevicePoints<'_>, range: Range<usize>, frame: &Frame, right: bool) -> Result<Chunk, Error> {
        let picked = side.pick_range(&self.queue, range.clone(), self.kind == CostKind::Cosine)?;
        let rows = picked.range_rows(range);
        let (values, squares) = self.prepared(&rows, frame.centre.view())?;
        if self.dimension < SPLIT_DIMENSION {
            return Ok(Chunk { values, squares });
        }
        let mut parts = self.queue.allocate(3 * values.len())?;
        split_digits(&self.queue, values.view(), self.dimension, right, &mut parts)?;
        Ok(Chunk { values: parts, squares })
    }

    fn prepared(&self, rows: &DeviceRows<'_>, centre: View<'_, f64>) -> Result<(Buffer<f32>, Buffer<f64>), Error> {
        let mut values = self.queue.allocate(rows.len() * self.dimension)?;
        let mut squares = self.queue.allocate(rows.len())?;
        prepare_rows(&self.queue, rows, centre, &mut values, &mut squares)?;
        Ok((values, squares))
    }

    /// The centre of y and the largest norm around it; computed once for each orientation.
    fn frame(&self, turned: bool, supports: Supports<'_>) -> Result<&Frame, Error> {
        let slot = &self.frames[usize::from(turned)];
        if let Some(frame) = slot.get() {
            return Ok(frame);
        }
        let metric = matches!(self.kind, CostKind::SquaredEuclidean | CostKind::Euclidean);
        let d = self.dimension;
        let centre = if metric { mean_row(supports.y) } else { vec![0.0; d] };
        let centre = self.queue.upload(&centre)?;
        let mut largest = 0.0_f64;
        let m = supports.num_y();
        for start in (0..m).step_by(self.tile[1]) {
            let range = start..(start + self.tile[1]).min(m);
            let picked = self.sides(turned).1.pick_range(&self.queue, range.clone(), self.kind == CostKind::Cosine)?;
            let (_, squares) = self.prepared(&picked.range_rows(range), centre.view())?;
            largest = squares.to_vec()?.into_iter().fold(largest, f64::max);
        }
        Ok(slot.get_or_init(|| Frame { centre, largest_norm: largest.sqrt() }))
    }

    fn prices(&self, frame: &Frame, g: &[f64]) -> Result<(Buffer<f32>, Rounding), Error> {
        let level = g.iter().sum::<f64>() / g.len() as f64;
        let prices: Vec<f32> = g.iter().map(|g| (g - level) as f32).collect();
        let depth = if self.dimension >= SPLIT_DIMENSION { 3 * self.dimension } else { self.dimension };
        let rounding = Rounding {
            cost: self.kind,
            terms: (depth + 8) as f64,
            largest_y: frame.largest_norm,
            largest_price: g.iter().map(|g| (g - level).abs()).fold(0.0, f64::max),
            level,
        };
        Ok((self.queue.upload(&prices)?, rounding))
    }

    /// Puts the listed candidates of some rows in order by their exact costs, and finds each row's floor.
    fn recheck(
        &self,
        turned: bool,
        supports: Supports<'_>,
        g: &[f64],
        rounding: &Rounding,
        found: &Listed<'_>,
        pricing: &mut Pricing,
    ) -> Result<(), Error> {
        let Listed { rows, width: listed, norms, values, indices } = found;
        let (listed, width, d) = (*listed, pricing.width, supports.dimension());
        let costs = self.exact_costs(turned, supports, found)?;
        let mut doubtful: Vec<(f64, u32)> = Vec::new();
        for (at, i) in rows.clone().enumerate() {
            let list = at * listed..(at + 1) * listed;
            let mut exact: Vec<(f64, u32, f64)> = indices[list.clone()]
                .iter()
                .zip(&costs[list.clone()])
                .filter(|&(&j, _)| j != NONE)
                .map(|(&j, &cost)| (cost - g[j as usize], j, cost))
                .collect();
            exact.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            if exact.len() < listed {
                return Err(candle_core::Error::Msg(format!("the device priced no columns for row {i}")).into());
            }
            // What is not listed was no less than the last one listed, up to rounding.
            let all = listed == supports.num_y();
            let unlisted = if all { f64::INFINITY } else { rounding.floor(norms[at], f64::from(values[list.end - 1])) };
            let least = lowered(exact[0].0, exact[0].2, d);
            if exact[0].0 > unlisted {
                doubtful.push((exact[0].0 - unlisted, i as u32));
            }
            pricing.floor[i] = least.min(unlisted);
            for (k, &(_, j, cost)) in exact[..width].iter().enumerate() {
                (pricing.columns[i * width + k], pricing.costs[i * width + k]) = (j, cost);
            }
        }
        // Those that lose the most first.
        doubtful.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        doubtful.truncate(rows.len().div_ceil(SEARCHED_AGAIN).max(16));
        let doubtful: Vec<u32> = doubtful.into_iter().map(|(_, i)| i).collect();
        for (&i, j) in doubtful.iter().zip(self.search_again(turned, supports, g, &doubtful)?) {
            let cost = supports.between(i, j);
            let i = i as usize;
            pricing.floor[i] = lowered(cost - g[j as usize], cost, d);
            let list = i * width..(i + 1) * width;
            // In front, in the place of itself or of the last.
            let place = pricing.columns[list.clone()].iter().position(|&column| column == j).unwrap_or(width - 1);
            pricing.columns[list.start..=list.start + place].rotate_right(1);
            pricing.costs[list.start..=list.start + place].rotate_right(1);
            (pricing.columns[list.start], pricing.costs[list.start]) = (j, cost);
        }
        Ok(())
    }

    /// The costs of all listed pairs in f64.
    fn exact_costs(&self, turned: bool, supports: Supports<'_>, found: &Listed<'_>) -> Result<Vec<f64>, Error> {
        let (x, y) = self.sides(turned);
        let pairs = found.rows.clone().flat_map(|i| std::iter::repeat_n(i as u32, found.width));
        // A column that is missing is reported later.
        let columns: Vec<u32> = found.indices.iter().map(|&j| if j == NONE { 0 } else { j }).collect();
        let rows: Vec<u32> = pairs.collect();
        if !(x.is_resident() && y.is_resident()) {
            return Ok(rows.par_iter().zip(&columns).map(|(&i, &j)| supports.between(i, j)).collect());
        }
        let (x, y) = (x.pick(&self.queue, Vec::new(), false)?, y.pick(&self.queue, Vec::new(), false)?);
        let (rows, columns) = (self.queue.upload(&rows)?, self.queue.upload(&columns)?);
        let costs = pair_costs(&self.queue, self.cost(), &x.rows(), &y.rows(), rows.view(), columns.view())?;
        Ok(costs.to_vec()?)
    }

    /// The column of least reduced cost of some rows, by a search of all in f64.
    fn search_again(&self, turned: bool, supports: Supports<'_>, g: &[f64], rows: &[u32]) -> Result<Vec<u32>, Error> {
        let (x, y) = self.sides(turned);
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let picked = x.pick(&self.queue, rows.to_vec(), false)?;
        let index = self.queue.upload(&picked.index)?;
        let mut least = self.queue.upload(&vec![f64::INFINITY; rows.len()])?;
        let mut columns = self.queue.upload(&vec![NONE; rows.len()])?;
        let m = supports.num_y();
        for start in (0..m).step_by(self.tile[1]) {
            let range = start..(start + self.tile[1]).min(m);
            let prices = self.queue.upload(&g[range.clone()])?;
            let y = y.pick_range(&self.queue, range.clone(), false)?;
            let search = ExactSearch {
                cost: self.cost(),
                x: picked.rows(),
                y: y.range_rows(range),
                first_column: start,
                prices: prices.view(),
                rows: index.view(),
            };
            exact_least(&self.queue, &search, &mut least, &mut columns)?;
        }
        Ok(columns.to_vec()?)
    }

    /// Some rows of a side less the frame's centre, `(rows, d)`, and their squared norms.
    fn gathered(
        &self,
        side: &DevicePoints<'_>,
        index: &[u32],
        frame: &Frame,
    ) -> Result<(Buffer<f32>, Buffer<f64>), Error> {
        let picked = side.pick(&self.queue, index.to_vec(), self.kind == CostKind::Cosine)?;
        let len = picked.index.len();
        let (index, sizes) = (self.queue.upload(&picked.index)?, self.queue.upload(&[len as u32])?);
        let blocks = Blocks { index: index.view(), sizes: sizes.view(), stride: len };
        let mut values = self.queue.allocate(len * self.dimension)?;
        gather_centred(&self.queue, &picked.rows(), &blocks, frame.centre.view(), false, &mut values)?;
        let rows = DeviceRows { values: values.view(), dimension: self.dimension, scales: None };
        // Centred already.
        let origin = self.queue.zeros::<f64>(self.dimension)?;
        self.prepared(&rows, origin.view())
    }

    /// As [`crate::pricing::DevicePricer::slack_between`].
    pub(super) fn try_slack_between(
        &self,
        supports: Supports<'_>,
        [x_order, y_order]: [&[u32]; 2],
        offsets: &[usize],
        g: &[f64],
    ) -> Result<Vec<f64>, Error> {
        let (parts, len) = (offsets.len() - 1, x_order.len());
        let frame = self.frame(false, supports)?;
        let ordered: Vec<f64> = y_order.iter().map(|&j| g[j as usize]).collect();
        let (prices, Rounding { level, .. }) = self.prices(frame, &ordered)?;
        let bounds: Vec<u32> = offsets.iter().map(|&offset| offset as u32).collect();
        let bounds = self.queue.upload(&bounds)?;
        let mut slack = self.queue.upload(&vec![NONE; parts * parts])?;
        let part_of = |at: usize| offsets.partition_point(|&offset| offset <= at) - 1;
        for start in (0..len).step_by(self.tile[0]) {
            let rows = start..(start + self.tile[0]).min(len);
            let (x, x_squares) = self.gathered(&self.x, &x_order[rows.clone()], frame)?;
            let own: Vec<f64> = rows
                .clone()
                .into_par_iter()
                .map(|at| {
                    let (i, j) = (x_order[at], y_order[at]);
                    supports.between(i, j) - g[j as usize] + level
                })
                .collect();
            let (own, x_slack) = (self.queue.upload(&own)?, self.queue.zeros(rows.len())?);
            let row_parts: Vec<u32> = rows.clone().map(|at| part_of(at) as u32).collect();
            let row_parts = self.queue.upload(&row_parts)?;
            for first_column in (0..len).step_by(self.tile[1]) {
                let columns = first_column..(first_column + self.tile[1]).min(len);
                let (y, y_squares) = self.gathered(&self.y, &y_order[columns.clone()], frame)?;
                let mut products = self.queue.allocate(rows.len() * columns.len())?;
                let product = Product {
                    batch: 1,
                    rows: rows.len(),
                    columns: columns.len(),
                    inner: self.dimension,
                    precision: Precision::Single,
                };
                self.queue.multiply(&product, x.view(), y.view(), &mut products)?;
                let scan = Scan {
                    cost: self.cost(),
                    products: products.view(),
                    x_squares: x_squares.view(),
                    x_slack: x_slack.view(),
                    y_squares: y_squares.view(),
                    prices: prices.view().range(columns.clone()),
                    first_column,
                    width: 1,
                };
                let (first, last) = (part_of(columns.start), part_of(columns.end - 1));
                let scanned = PartScan {
                    own: own.view(),
                    row_parts: row_parts.view(),
                    offsets: bounds.view(),
                    reached: (first, last + 1 - first),
                };
                scan_parts(&self.queue, &scan, &scanned, &mut slack)?;
            }
        }
        Ok(slack.to_vec()?.into_iter().map(|bits| f64::from(slack_of_bits(bits))).collect())
    }
}

/// The candidates of a chunk of rows as the device listed them.
struct Listed<'a> {
    rows: Range<usize>,
    /// Candidates for each row.
    width: usize,
    norms: &'a [f64],
    values: &'a [f32],
    indices: &'a [u32],
}

/// The mean row in f64, summed in fixed chunks.
fn mean_row(rows: Rows<'_>) -> Vec<f64> {
    let d = rows.dimension();
    let partial: Vec<Vec<f64>> = rows
        .chunks(4096)
        .map(|chunk| {
            let mut sum = vec![0.0; d];
            for row in chunk.chunks_exact(d) {
                sum.iter_mut().zip(row).for_each(|(s, &v)| *s += f64::from(v));
            }
            sum
        })
        .collect();
    let mut mean = vec![0.0; d];
    for sum in partial {
        mean.iter_mut().zip(sum).for_each(|(m, s)| *m += s);
    }
    mean.iter_mut().for_each(|m| *m /= rows.num_points() as f64);
    mean
}
