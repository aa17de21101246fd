//! Shortest augmenting paths over candidate edges, from prices and a pairing that are nearly optimal.

use super::assignment::Assignment;
use super::auction::auction;
use super::edges::CandidateEdges;
use super::frontier::{FREE, Frontier};

/// Passes in which free rows take their best column from its owner, before paths are searched: at least so many and at most, and in between as long
/// as a pass leaves no more than this share of the rows free. Measured on two mixtures of 64 dimensions, 65,536 rows with prices from few samples:
/// 1,969 rows are free after 4 passes and 140 after 64, which take 1.4 s; their paths take 16 s and 4.
const BIDDING_ROUNDS: std::ops::RangeInclusive<usize> = 4..=128;
const STILL_FREE: f64 = 0.98;
const ROWS_BETWEEN_QUESTIONS: usize = 64;
/// Or so many columns reached.
const REACHED_BETWEEN_QUESTIONS: usize = 1 << 18;

/// Finds the assignment of least cost over candidate edges, among which each row's present partner must be; updates
/// `y_of_x`, `(n,)`, and the column prices `g`, `(m,)`. Afterwards every row is tight: `c_ij - g_j` is least, among its candidates, at
/// its partner.
///
/// Columns without a partner are free to take, and must have the largest price. Where every row's partner is as good as its best up to rounding,
/// nothing changes. For as many rows as columns an auction comes first. Returns the columns reached by all searches, the measure of the work done;
/// `None`, with everything left in between, if `should_stop` said so. O(reached · edges per row · log).
pub(crate) fn solve_sparse(
    edges: &CandidateEdges,
    y_of_x: &mut [u32],
    g: &mut [f64],
    should_stop: &dyn Fn() -> bool,
) -> Option<usize> {
    let mut assignment = Assignment::new(edges, y_of_x, g);
    if edges.num_rows() == assignment.g.len() {
        auction(&mut assignment, should_stop)?;
    }
    let mut free = assignment.free_loose_rows(0.0);
    for round in 1..=*BIDDING_ROUNDS.end() {
        let before = free.len();
        (free, _) = assignment.bid(free, 0.0);
        let after = free.len();
        if after == 0 || (round >= *BIDDING_ROUNDS.start() && after as f64 > STILL_FREE * before as f64) {
            break;
        }
    }
    let frontier = Frontier::new(assignment.g.len());
    let mut search = Search { assignment, frontier, tree: Vec::new() };
    let (mut reached, mut asked_at) = (0, 0);
    for (count, row) in free.into_iter().enumerate() {
        if count % ROWS_BETWEEN_QUESTIONS == 0 || reached - asked_at > REACHED_BETWEEN_QUESTIONS {
            asked_at = reached;
            if should_stop() {
                return None;
            }
        }
        reached += search.augment(row);
    }
    Some(reached)
}

struct Search<'a> {
    assignment: Assignment<'a>,
    frontier: Frontier,
    /// Columns reached by the present search, with their distances.
    tree: Vec<(u32, f64)>,
}

impl Search<'_> {
    /// Assigns one more row along a shortest path; returns the columns reached.
    fn augment(&mut self, free_row: u32) -> usize {
        let mut row = free_row;
        let mut offset = 0.0;
        let reduced = self.assignment.edges.of(row).map(|(column, cost)| cost - self.assignment.g[column as usize]);
        let mut base = reduced.fold(f64::INFINITY, f64::min);
        let (sink, reached) = loop {
            let edges = self.assignment.edges;
            for (column, cost) in edges.of(row) {
                let through = offset + (cost - self.assignment.g[column as usize] - base);
                let free = self.assignment.row_of_column[column as usize] == FREE;
                self.frontier.relax(column, through, row, free);
            }
            let Some((column, distance)) = self.frontier.next() else {
                unreachable!("the present partners are candidates, so a free column is always within reach");
            };
            let owner = self.assignment.row_of_column[column as usize];
            if owner == FREE {
                break (column, distance);
            }
            self.tree.push((column, distance));
            self.frontier.close(column);
            row = owner;
            offset = distance;
            // The row is tight at its partner.
            base = self.assignment.edges.cost(row, column) - self.assignment.g[column as usize];
        };
        for &(column, distance) in &self.tree {
            self.assignment.g[column as usize] -= (reached - distance).max(0.0);
        }
        let count = self.tree.len();
        let mut column = sink;
        loop {
            let row = self.frontier.predecessor(column);
            self.assignment.row_of_column[column as usize] = row;
            let next = std::mem::replace(&mut self.assignment.column_of_row[row as usize], column);
            if row == free_row {
                break;
            }
            column = next;
        }
        self.frontier.clear();
        self.tree.clear();
        count
    }
}

#[cfg(test)]
mod tests {
    use super::super::assignment::rounding;
    use super::*;
    use crate::rng::stream;
    use rand::Rng;
    use rand::seq::SliceRandom;

    /// Each row has its partner and some random columns; whole numbers are often tied.
    fn random_problem(seed: u64, n: u32, others: u32, whole: bool) -> (CandidateEdges, Vec<u32>) {
        let mut rng = stream(seed, &[1]);
        let mut y_of_x: Vec<u32> = (0..n).collect();
        y_of_x.shuffle(&mut rng);
        let rows: Vec<Vec<(u32, f64)>> = y_of_x
            .iter()
            .map(|&partner| {
                let mut columns: Vec<u32> = (0..others).map(|_| rng.random_range(0..n)).collect();
                columns.push(partner);
                columns.sort_unstable();
                columns.dedup();
                let cost = |column: u32| (column, if whole { f64::from(rng.random_range(0..5)) } else { rng.random() });
                columns.into_iter().map(cost).collect()
            })
            .collect();
        (CandidateEdges::of_rows(rows.into_iter().map(Vec::into_iter)), y_of_x)
    }

    #[test]
    fn every_row_is_tight_at_a_partner_of_its_own() {
        for seed in 0..60 {
            let (n, others) = ([1, 2, 7, 60, 400][seed as usize % 5], [1, 2, 6][seed as usize % 3]);
            let (edges, mut y_of_x) = random_problem(seed, n, others, seed % 2 == 0);
            let mut rng = stream(seed, &[2]);
            let size = [0.0, 1.0, 100.0][seed as usize / 5 % 3];
            let mut g: Vec<f64> = (0..n).map(|_| size * rng.random::<f64>()).collect();
            solve_sparse(&edges, &mut y_of_x, &mut g, &|| false).unwrap();
            let mut owners = y_of_x.clone();
            owners.sort_unstable();
            assert!(owners.into_iter().eq(0..n), "seed {seed}");
            for row in 0..n {
                let partner = y_of_x[row as usize];
                let own = edges.of(row).find(|&(column, _)| column == partner).unwrap().1;
                for (column, cost) in edges.of(row) {
                    let (own, other) = ((own, g[partner as usize]), (cost, g[column as usize]));
                    // Partners and prices with this property are optimal, both.
                    assert!(own.0 - own.1 <= other.0 - other.1 + 1e3 * rounding(own, other), "seed {seed}, row {row}");
                }
            }
        }
    }

    #[test]
    fn it_stops_when_asked_to() {
        let (edges, mut y_of_x) = random_problem(3, 400, 6, false);
        assert!(solve_sparse(&edges, &mut y_of_x, &mut vec![0.0; 400], &|| true).is_none());
    }
}
