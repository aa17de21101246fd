//! Costs that are given: a matrix, or a list of candidate pairs.

use crate::assignment::sparse::CandidateEdges;
use crate::error::{Error, Side};
use crate::pricing::{Least, Pricing, lowered};
use crate::restrictions::Forbidden;
use rayon::prelude::*;

/// Rows priced as one unit of work.
const ROWS: usize = 16;

/// Costs between rows and columns; those of pairs that may not be are infinite.
pub(crate) trait Costs: Sync {
    fn num_rows(&self) -> usize;
    fn num_columns(&self) -> usize;
    fn between(&self, row: u32, column: u32) -> f64;
    /// The columns of least `c_ij - g_j` of one row, as many as `least` keeps, with their exact values.
    fn least(&self, row: u32, g: &[f64], least: &mut Least);
    /// No pair costs less.
    fn lowest(&self) -> f64;

    /// Finds, for each row, the `width` columns of least `c_ij - g_j`, where it has so many: a column whose cost is infinite is none. `None` if
    /// `should_stop` said so.
    fn price(
        &self,
        _column_of_row: &[u32],
        g: &[f64],
        width: usize,
        should_stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Pricing> {
        let width = width.min(self.num_columns());
        let mut pricing = Pricing::new(self.num_rows(), width);
        let Pricing { columns, costs, floor, .. } = &mut pricing;
        let complete = columns
            .par_chunks_mut(width * ROWS)
            .zip(costs.par_chunks_mut(width * ROWS))
            .zip(floor.par_chunks_mut(ROWS))
            .enumerate()
            .map_init(
                || Least::new(width),
                |least, (block, ((columns, costs), floor))| {
                    if should_stop() {
                        return false;
                    }
                    let rows = columns.chunks_exact_mut(width).zip(costs.chunks_exact_mut(width)).zip(floor);
                    for (row, ((columns, costs), floor)) in (block * ROWS..).zip(rows) {
                        *floor = self.list(row as u32, g, least, (columns, costs));
                    }
                    true
                },
            )
            .all(|done| done);
        complete.then_some(pricing)
    }

    /// `g_j = min_i (c_ij - f_i)`, `(m,)`, from below; `None` if `should_stop` said so, or where it is not to be had.
    fn raise(&self, _column_of_row: &[u32], _f: &[f64], _should_stop: &(dyn Fn() -> bool + Sync)) -> Option<Vec<f64>> {
        None
    }

    /// Lists the columns of least reduced cost of a row; returns a number never above the least.
    fn list(&self, row: u32, g: &[f64], least: &mut Least, (columns, costs): (&mut [u32], &mut [f64])) -> f64 {
        least.clear();
        self.least(row, g, least);
        columns.fill(0);
        costs.fill(f64::INFINITY);
        for ((column, cost), &(_, j)) in columns.iter_mut().zip(costs.iter_mut()).zip(least.entries()) {
            (*column, *cost) = (j, self.between(row, j));
        }
        let Some(&(value, _)) = least.entries().first() else { return f64::INFINITY };
        lowered(value, costs[0], 0)
    }
}

#[derive(Debug, Clone, Copy)]
enum Values<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
}

/// A matrix of costs, `(n, m)`, row-major, borrowed from memory or a mapped file: what pairing x i with y j costs. Infinite where that pair may
/// not be.
///
/// ```
/// use hiref_core::matching::CostRows;
/// assert!(CostRows::new(&[1.0_f32, f32::INFINITY, 0.5, 2.0], 2).is_ok());
/// assert!(CostRows::new(&[1.0_f64, f64::NAN], 2).is_err());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct CostRows<'a> {
    values: Values<'a>,
    columns: usize,
    lowest: f64,
}

/// A type that costs are stored in: f32 or f64.
pub trait CostValue: Copy + Into<f64> + Sync + sealed::Stored {}

impl CostValue for f32 {}
impl CostValue for f64 {}

mod sealed {
    /// What the crate knows of a [`super::CostValue`].
    pub trait Stored: Sized {
        fn wrap(values: &[Self]) -> super::Stored<'_>;
    }
}

/// Costs in the type that they are stored in.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a>(Values<'a>);

impl sealed::Stored for f32 {
    fn wrap(values: &[Self]) -> Stored<'_> {
        Stored(Values::F32(values))
    }
}

impl sealed::Stored for f64 {
    fn wrap(values: &[Self]) -> Stored<'_> {
        Stored(Values::F64(values))
    }
}

impl<'a> CostRows<'a> {
    /// Checks a matrix with `columns` columns; O(n m).
    ///
    /// # Errors
    /// An empty matrix, rows that are not whole, NaN or minus infinity, sides of more than 2^31 items.
    pub fn new<T: CostValue>(values: &'a [T], columns: usize) -> Result<Self, Error> {
        if columns == 0 || values.is_empty() || !values.len().is_multiple_of(columns) {
            return Err(Error::CostShape { values: values.len(), columns });
        }
        let rows = values.len() / columns;
        let limit = (u32::MAX / 2) as usize;
        for (side, points) in [(Side::X, rows), (Side::Y, columns)] {
            if points > limit {
                return Err(Error::TooManyPoints { side, points, limit });
            }
        }
        let is_wrong = |value: f64| value.is_nan() || value == f64::NEG_INFINITY;
        let lowest = values
            .par_chunks(columns)
            .enumerate()
            .map(|(row, values)| {
                let mut lowest = f64::INFINITY;
                for (column, &value) in values.iter().enumerate() {
                    let value: f64 = value.into();
                    if is_wrong(value) {
                        return Err(Error::CostValue { row, column, value });
                    }
                    lowest = if value < lowest { value } else { lowest };
                }
                Ok(lowest)
            })
            .try_reduce(|| f64::INFINITY, |a, b| Ok(a.min(b)))?;
        // Where no pair may be, any number is below all costs.
        let lowest = if lowest.is_finite() { lowest } else { 0.0 };
        Ok(Self { values: T::wrap(values).0, columns, lowest })
    }
}

/// Offers every finite entry of a row.
fn offer_all<T: Copy + Into<f64>>(row: &[T], g: &[f64], least: &mut Least) {
    let mut threshold = least.threshold();
    for (j, (&cost, &g)) in row.iter().zip(g).enumerate() {
        let value = cost.into() - g;
        if value < threshold {
            least.offer(value, j as u32);
            threshold = least.threshold();
        }
    }
}

impl Costs for CostRows<'_> {
    fn num_rows(&self) -> usize {
        match self.values {
            Values::F32(values) => values.len() / self.columns,
            Values::F64(values) => values.len() / self.columns,
        }
    }

    fn num_columns(&self) -> usize {
        self.columns
    }

    fn between(&self, row: u32, column: u32) -> f64 {
        let at = row as usize * self.columns + column as usize;
        match self.values {
            Values::F32(values) => values[at].into(),
            Values::F64(values) => values[at],
        }
    }

    fn least(&self, row: u32, g: &[f64], least: &mut Least) {
        let range = row as usize * self.columns..(row as usize + 1) * self.columns;
        match self.values {
            Values::F32(values) => offer_all(&values[range], g, least),
            Values::F64(values) => offer_all(&values[range], g, least),
        }
    }

    fn lowest(&self) -> f64 {
        self.lowest
    }
}

/// The pairs that may be, with their costs: a sparse matrix, `(n, m)`.
#[derive(Debug)]
pub struct Candidates {
    edges: CandidateEdges,
    num_columns: usize,
    lowest: f64,
}

impl Candidates {
    /// Takes pairs `(x, y, cost)` of n x with m y in any order; of a pair that is listed more than once, the least cost counts.
    ///
    /// # Errors
    /// No pairs, indices out of range, costs that are NaN or infinite.
    ///
    /// ```
    /// use hiref_core::matching::Candidates;
    /// assert_eq!(Candidates::new(2, 3, &[(0, 2, 1.0), (1, 0, 2.5), (0, 2, 0.5)])?.len(), 2);
    /// assert!(Candidates::new(2, 3, &[(0, 3, 1.0)]).is_err());
    /// # Ok::<(), hiref_core::Error>(())
    /// ```
    pub fn new(n: usize, m: usize, pairs: &[(u32, u32, f64)]) -> Result<Self, Error> {
        if pairs.is_empty() {
            return Err(Error::CostShape { values: 0, columns: m });
        }
        let mut start = vec![0_usize; n + 1];
        for (position, &(x, y, cost)) in pairs.iter().enumerate() {
            for (side, index, limit) in [(Side::X, x, n), (Side::Y, y, m)] {
                if index as usize >= limit {
                    return Err(Error::PairOutOfRange { position, side, index: index.into(), limit });
                }
            }
            if !cost.is_finite() {
                return Err(Error::CandidateCost { position, x, y, cost });
            }
            start[x as usize + 1] += 1;
        }
        (0..n).for_each(|row| start[row + 1] += start[row]);
        let mut free = start.clone();
        let mut sorted = vec![(0_u32, 0.0_f64); pairs.len()];
        for &(x, y, cost) in pairs {
            sorted[free[x as usize]] = (y, cost);
            free[x as usize] += 1;
        }
        let rows = (0..n).map(|row| {
            let mut row = sorted[start[row]..start[row + 1]].to_vec();
            row.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            row.dedup_by_key(|entry| entry.0);
            row.into_iter()
        });
        let edges = CandidateEdges::of_rows(rows);
        let lowest = pairs.iter().map(|pair| pair.2).fold(f64::INFINITY, f64::min);
        Ok(Self { edges, num_columns: m, lowest })
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.edges.len()
    }

    /// Whether there are none; there always are.
    pub fn is_empty(&self) -> bool {
        self.edges.len() == 0
    }

    pub(crate) fn edges(&self) -> &CandidateEdges {
        &self.edges
    }
}

impl Costs for Candidates {
    fn num_rows(&self) -> usize {
        self.edges.num_rows()
    }

    fn num_columns(&self) -> usize {
        self.num_columns
    }

    fn between(&self, row: u32, column: u32) -> f64 {
        self.edges.of(row).find(|&(other, _)| other == column).map_or(f64::INFINITY, |(_, cost)| cost)
    }

    fn least(&self, row: u32, g: &[f64], least: &mut Least) {
        self.edges.of(row).for_each(|(column, cost)| least.offer(cost - g[column as usize], column));
    }

    fn lowest(&self) -> f64 {
        self.lowest
    }
}

/// Costs without the pairs that may not be.
pub(crate) struct Allowed<'a> {
    pub(crate) costs: &'a dyn Costs,
    pub(crate) forbidden: &'a Forbidden,
}

impl Costs for Allowed<'_> {
    fn num_rows(&self) -> usize {
        self.costs.num_rows()
    }

    fn num_columns(&self) -> usize {
        self.costs.num_columns()
    }

    fn between(&self, row: u32, column: u32) -> f64 {
        if self.forbidden.has(row, column) { f64::INFINITY } else { self.costs.between(row, column) }
    }

    fn least(&self, row: u32, g: &[f64], least: &mut Least) {
        // Among as many more as the row may not take are those that it may.
        let spare = self.forbidden.of(row).len();
        let mut wide = Least::new(least.width() + spare);
        self.costs.least(row, g, &mut wide);
        wide.entries()
            .iter()
            .filter(|&&(_, j)| !self.forbidden.has(row, j))
            .for_each(|&(value, j)| least.offer(value, j));
    }

    fn lowest(&self) -> f64 {
        self.costs.lowest()
    }

    fn raise(&self, column_of_row: &[u32], f: &[f64], should_stop: &(dyn Fn() -> bool + Sync)) -> Option<Vec<f64>> {
        self.costs.raise(column_of_row, f, should_stop)
    }

    fn price(
        &self,
        column_of_row: &[u32],
        g: &[f64],
        width: usize,
        should_stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Pricing> {
        let mut pricing = self.costs.price(column_of_row, g, width, should_stop)?;
        let width = pricing.width;
        let found: Vec<(Vec<u32>, Vec<f64>, f64)> = self
            .forbidden
            .rows()
            .par_iter()
            .map(|&row| {
                let (mut columns, mut costs, mut least) = (vec![0; width], vec![0.0; width], Least::new(width));
                let floor = self.list(row, g, &mut least, (&mut columns, &mut costs));
                (columns, costs, floor)
            })
            .collect();
        for (&row, (columns, costs, floor)) in self.forbidden.rows().iter().zip(found) {
            let range = row as usize * width..(row as usize + 1) * width;
            pricing.columns[range.clone()].copy_from_slice(&columns);
            pricing.costs[range].copy_from_slice(&costs);
            pricing.floor[row as usize] = floor;
        }
        Some(pricing)
    }
}
