//! Few points paired with many: each among its nearest, without a hierarchy.

use super::pairing::Pairing;
use super::params::HirefParams;
use crate::assignment::sparse::{CandidateEdges, solve_sparse};
use crate::control::Control;
use crate::error::Error;
use crate::geometry::Supports;
use crate::permutation::{Permutation, UNMATCHED};
use crate::points::Rows;
use crate::pricing::Pricer;
use crate::report::Phase;

/// y points for each x point, at least.
const FEWEST_TIMES: usize = 16;
/// Coordinates of all x points, at most: the search takes as long as so many products for each y point.
const MOST_VALUES: usize = 1 << 20;
/// Nearest points that every x point starts with.
const FIRST_WIDTH: usize = 8;
/// How much wider the search is made where that was not enough.
const WIDER: usize = 4;
/// The widest, and the most candidates searched for at once: where more are wanted, many x points crowd around few y points, and sweeps
/// do better.
const WIDEST: usize = 2048;
const MOST_CANDIDATES: usize = 1 << 24;

/// Whether a problem is of the kind that this is for.
pub(crate) fn suits(supports: Supports<'_>, params: &HirefParams) -> bool {
    let (n, m) = (supports.num_x(), supports.num_y());
    supports.restrictions.is_none()
        && m > params.leaf_size
        && m / n >= FEWEST_TIMES
        && n * supports.dimension() <= MOST_VALUES
}

/// The nearest points of an x point with their costs, by rising cost.
type Nearest = Vec<(u32, f64)>;

/// Pairs n x points with n of many y points at the least cost, and prices them; `None` if x points crowd around too few of the y points.
///
/// Where few points compete, the partner of each is among its nearest. The assignment over these is solved with one more column for each
/// row, which stands for all that are not listed and costs what the last listed one does: less than any of them. Where no row takes it,
/// the pairing is optimal (up to the rounding of the search, which the round of pricing that follows sees); rows that take it get more
/// candidates. O(n m d), in f32.
pub(crate) fn pair_directly(supports: Supports<'_>, control: Control<'_>) -> Result<Option<Pairing>, Error> {
    let (n, m) = (supports.num_x(), supports.num_y());
    let should_stop = || control.should_stop();
    let mut nearest: Vec<Nearest> = vec![Vec::new(); n];
    let mut wanting: Vec<u32> = (0..n as u32).collect();
    let mut found = Vec::new();
    loop {
        let width_of = |row: u32| (nearest[row as usize].len() * WIDER).max(FIRST_WIDTH);
        let mut widths: Vec<usize> = wanting.iter().map(|&row| width_of(row)).collect();
        if widths.iter().sum::<usize>() > MOST_CANDIDATES || widths.iter().any(|&width| width > WIDEST) {
            return Ok(None);
        }
        widths.sort_unstable();
        widths.dedup();
        for width in widths {
            let rows: Vec<u32> = wanting.iter().copied().filter(|&row| width_of(row) == width).collect();
            let pairs = rows.len() as u64 * m as u64;
            control.begin(Phase::Exact, pairs);
            found.push((nearest_points(supports, &rows, width.min(m), &should_stop).ok_or(Error::Interrupted)?, rows));
            control.advance(Phase::Exact, pairs);
        }
        for (lists, rows) in found.drain(..) {
            rows.iter().zip(lists).for_each(|(&row, list)| nearest[row as usize] = list);
        }
        let solved = Assigned::among(&nearest, &should_stop).ok_or(Error::Interrupted)?;
        wanting = solved.wanting();
        if wanting.is_empty() {
            return Ok(Some(solved.pairing(m)));
        }
    }
}

/// The `width` nearest y points of some x points.
fn nearest_points(
    supports: Supports<'_>,
    rows: &[u32],
    width: usize,
    should_stop: &(dyn Fn() -> bool + Sync),
) -> Option<Vec<Nearest>> {
    let x = supports.x.gather(rows);
    let some = Supports { x: Rows::of(&x, supports.dimension()), ..supports };
    let pricer = Pricer::new(some, None);
    let found = pricer.price(&vec![UNMATCHED; rows.len()], &vec![0.0; supports.num_y()], width, should_stop)?;
    let lists = found.columns.chunks_exact(width).zip(found.costs.chunks_exact(width));
    Some(lists.map(|(columns, costs)| columns.iter().copied().zip(costs.iter().copied()).collect()).collect())
}

/// An assignment among the nearest points of each x point.
struct Assigned {
    /// The y points that are listed by any x point, by index.
    listed: Vec<u32>,
    /// `(n,)`: positions in `listed`; past its end for rows that took what stands for the rest.
    column_of_row: Vec<u32>,
    /// Prices of the listed points, at most 0.
    g: Vec<f64>,
}

impl Assigned {
    fn among(nearest: &[Nearest], should_stop: &dyn Fn() -> bool) -> Option<Self> {
        let mut listed: Vec<u32> = nearest.iter().flatten().map(|&(column, _)| column).collect();
        listed.sort_unstable();
        listed.dedup();
        let n = nearest.len();
        // A row that lists n points finds one of them free; all others are dearer.
        let costs = || nearest.iter().flatten().map(|&(_, cost)| cost);
        let range = costs().fold(f64::NEG_INFINITY, f64::max) - costs().fold(f64::INFINITY, f64::min);
        let rows = nearest.iter().enumerate().map(|(row, nearest)| {
            let last = nearest[nearest.len() - 1].1;
            let rest = if nearest.len() >= n { last + (n + 1) as f64 * range + 1.0 } else { last };
            let position = |column| listed.partition_point(|&other| other < column) as u32;
            let points = nearest.iter().map(move |&(column, cost)| (position(column), cost));
            points.chain([((listed.len() + row) as u32, rest)])
        });
        let edges = CandidateEdges::of_rows(rows);
        let mut column_of_row: Vec<u32> = (listed.len()..listed.len() + n).map(|column| column as u32).collect();
        let mut g = vec![0.0; listed.len() + n];
        solve_sparse(&edges, &mut column_of_row, &mut g, should_stop)?;
        g.truncate(listed.len());
        Some(Self { listed, column_of_row, g })
    }

    /// The rows that took what stands for the rest.
    fn wanting(&self) -> Vec<u32> {
        let rows = self.column_of_row.iter().enumerate();
        rows.filter(|&(_, &column)| column as usize >= self.listed.len()).map(|(row, _)| row as u32).collect()
    }

    /// The pairing with all m y points.
    fn pairing(&self, m: usize) -> Pairing {
        let y_of_x = self.column_of_row.iter().map(|&column| self.listed[column as usize]).collect();
        let mut pairing = Pairing::from_permutation(&Permutation::of_distinct(y_of_x, m));
        for (&y, &g) in self.listed.iter().zip(&self.g) {
            pairing.g[y as usize] = g;
        }
        pairing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::CostKind;
    use crate::rng::stream;
    use rand::Rng;

    #[test]
    fn a_row_takes_what_stands_for_the_rest_only_where_it_lists_too_few() {
        let mut rng = stream(4, &[]);
        let (n, m, d) = (40, 700, 3);
        let mut points = |count: usize| (0..count * d).map(|_| rng.random_range(-1.0..1.0_f32)).collect::<Vec<f32>>();
        let (x, y) = (points(n), points(m));
        for cost in CostKind::ALL {
            let supports = Supports::new(Rows::of(&x, d), Rows::of(&y, d), cost);
            let rows: Vec<u32> = (0..n as u32).collect();
            for width in [2, 8, n] {
                let nearest = nearest_points(supports, &rows, width, &|| false).unwrap();
                let solved = Assigned::among(&nearest, &|| false).unwrap();
                let wanting = solved.wanting().len();
                println!("{cost} {width}: {wanting}");
                assert!(width < n || wanting == 0, "{cost}: {wanting} of {width}");
            }
        }
    }
}
