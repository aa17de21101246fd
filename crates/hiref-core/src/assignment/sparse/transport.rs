//! Rows that take one column each, columns that take several rows: shortest augmenting paths over candidate edges, from any prices and any part
//! of an assignment.

use super::assignment::rounding;
use super::edges::{Best, CandidateEdges};
use super::frontier::{FREE, Frontier};
use super::rows::RowLists;
use std::collections::VecDeque;

/// Passes in which free rows take their best column from its owner, before paths are searched.
const BIDDING_ROUNDS: usize = 4;
/// Displacements in a row that one such pass follows.
const LONGEST_CHAIN: usize = 64;
/// Columns reached between two questions whether to stop, and what a search costs beside them.
const REACHED_BETWEEN_QUESTIONS: usize = 1 << 18;
const COST_OF_SEARCH: usize = 1 << 12;

/// Why there is no assignment.
#[derive(Debug)]
pub(crate) enum Unassigned {
    /// Someone asked to stop; the state in between is of no use.
    Stopped,
    /// All candidates of these rows together take fewer rows than there are.
    TooFewColumns {
        /// The rows.
        rows: Vec<u32>,
        /// All their candidates.
        columns: Vec<u32>,
    },
}

/// Assigns every row to one of its candidates, column j to at most `capacity[j]` rows, at the least total cost.
///
/// `column_of_row` is where to start from, [`FREE`] for rows without a column; `g` the columns' prices, at most 0 where the capacities exceed the
/// rows. Afterwards every row is tight (`c_ij - g_j` is least, among its candidates, at its column), and columns that could take more rows have
/// the price 0, if prices are at most 0: so that the assignment is optimal. Rows whose column is as good as their best up to [`rounding`] keep
/// it. Returns the columns reached by all searches, the measure of the work done. O(reached · edges per row · log).
///
/// Rows are placed one by one along shortest paths in reduced costs (\[JV87\]). What is then too cheap, a column that could take more and
/// whose price is below 0, draws rows along shortest paths in the other direction, until it is full or a price has risen to 0.
pub(crate) fn assign(
    edges: &CandidateEdges,
    capacity: &[u32],
    column_of_row: &mut [u32],
    g: &mut [f64],
    should_stop: &dyn Fn() -> bool,
) -> Result<usize, Unassigned> {
    let mut search = Search::new(edges, capacity, column_of_row, g);
    search.free_loose_rows();
    for _ in 0..BIDDING_ROUNDS {
        search.bid();
    }
    let mut work = Work { reached: 0, since_question: REACHED_BETWEEN_QUESTIONS, should_stop };
    work.add(0)?;
    for row in std::mem::take(&mut search.free_rows) {
        let reached = search.place(row)?;
        work.add(reached)?;
    }
    let rows: u64 = edges.num_rows() as u64;
    if capacity.iter().map(|&capacity| u64::from(capacity)).sum::<u64>() > rows {
        search.draw_to_underpriced(&mut work)?;
    }
    Ok(work.reached)
}

/// The work done, and whether to go on.
struct Work<'a> {
    reached: usize,
    since_question: usize,
    should_stop: &'a dyn Fn() -> bool,
}

impl Work<'_> {
    fn add(&mut self, reached: usize) -> Result<(), Unassigned> {
        self.reached += reached;
        self.since_question += reached + COST_OF_SEARCH;
        if self.since_question > REACHED_BETWEEN_QUESTIONS {
            self.since_question = 0;
            if (self.should_stop)() {
                return Err(Unassigned::Stopped);
            }
        }
        Ok(())
    }
}

struct Search<'a> {
    edges: &'a CandidateEdges,
    capacity: &'a [u32],
    g: &'a mut [f64],
    assigned: RowLists<'a>,
    free_rows: Vec<u32>,
    frontier: Frontier,
    /// Columns reached by the present search, with their distances.
    tree: Vec<(u32, f64)>,
}

impl<'a> Search<'a> {
    fn new(edges: &'a CandidateEdges, capacity: &'a [u32], column_of_row: &'a mut [u32], g: &'a mut [f64]) -> Self {
        let columns = g.len();
        Self {
            edges,
            capacity,
            g,
            assigned: RowLists::new(column_of_row, columns),
            free_rows: Vec::new(),
            frontier: Frontier::new(columns),
            tree: Vec::new(),
        }
    }

    fn has_room(&self, column: u32) -> bool {
        self.assigned.count(column) < self.capacity[column as usize]
    }

    /// The cost of the least dear edge between the two, and the column's price.
    fn priced(&self, row: u32, column: u32) -> (f64, f64) {
        (self.edges.cost(row, column), self.g[column as usize])
    }

    /// Lets go of every column that is not the best candidate of its row, or has too many rows.
    fn free_loose_rows(&mut self) {
        for row in 0..self.edges.num_rows() as u32 {
            let column = self.assigned.column(row);
            if column != FREE {
                let own = self.priced(row, column);
                let least = self.edges.least(row, self.g);
                let fits = self.assigned.count(column) <= self.capacity[column as usize];
                if fits && own.0 - own.1 <= least.0 - least.1 + rounding(own, least) {
                    continue;
                }
                self.assigned.put(row, FREE);
            }
            self.free_rows.push(row);
        }
    }

    /// Lets each free row bid for its best column, at the price that makes the second best as good; columns of one row only, since the others of
    /// a column would be left behind.
    fn bid(&mut self) {
        let rows = std::mem::take(&mut self.free_rows);
        for mut row in rows {
            for _ in 0..LONGEST_CHAIN {
                let Some(Best { column: best, least, next }) = self.edges.best(row, self.g) else { break };
                if self.has_room(best) {
                    self.assigned.put(row, best);
                    row = FREE;
                    break;
                }
                if self.capacity[best as usize] != 1 || !next.is_finite() || next <= least {
                    break;
                }
                self.g[best as usize] -= next - least;
                let displaced = self.assigned.first(best);
                self.assigned.put(displaced, FREE);
                self.assigned.put(row, best);
                row = displaced;
            }
            if row != FREE {
                self.free_rows.push(row);
            }
        }
    }

    /// Relaxes the candidates of a row at some distance; `base` is its least reduced cost.
    fn relax(&mut self, row: u32, offset: f64, base: f64) {
        let edges = self.edges;
        for (column, cost) in edges.of(row) {
            let through = offset + (cost - self.g[column as usize] - base).max(0.0);
            let free = self.has_room(column);
            self.frontier.relax(column, through, row, free);
        }
    }

    /// Gives one more row a column along a shortest path; returns the columns reached.
    fn place(&mut self, free_row: u32) -> Result<usize, Unassigned> {
        let base = self.edges.least(free_row, self.g);
        self.relax(free_row, 0.0, base.0 - base.1);
        let (sink, reached) = loop {
            let Some((column, distance)) = self.frontier.next() else { return Err(self.violation(free_row)) };
            if self.has_room(column) {
                break (column, distance);
            }
            self.tree.push((column, distance));
            self.frontier.close(column);
            let mut row = self.assigned.first(column);
            while row != FREE {
                // The row is tight at its column.
                let own = self.priced(row, column);
                self.relax(row, distance, own.0 - own.1);
                row = self.assigned.next(row);
            }
        };
        for &(column, distance) in &self.tree {
            self.g[column as usize] -= (reached - distance).max(0.0);
        }
        let mut column = sink;
        loop {
            let row = self.frontier.predecessor(column);
            let next = self.assigned.column(row);
            self.assigned.put(row, column);
            if row == free_row {
                break;
            }
            column = next;
        }
        Ok(self.end())
    }

    /// Forgets the present search; returns the columns that it reached.
    fn end(&mut self) -> usize {
        self.frontier.clear();
        let reached = self.tree.len();
        self.tree.clear();
        reached
    }

    /// All rows that the present search went through: their candidates are full.
    fn violation(&self, free_row: u32) -> Unassigned {
        let columns: Vec<u32> = self.tree.iter().map(|&(column, _)| column).collect();
        let mut rows = vec![free_row];
        for &column in &columns {
            let mut row = self.assigned.first(column);
            while row != FREE {
                rows.push(row);
                row = self.assigned.next(row);
            }
        }
        Unassigned::TooFewColumns { rows, columns }
    }

    fn is_underpriced(&self, column: u32) -> bool {
        self.g[column as usize] < 0.0 && self.has_room(column)
    }

    fn draw_to_underpriced(&mut self, work: &mut Work<'_>) -> Result<(), Unassigned> {
        let mut columns: VecDeque<u32> = (0..self.g.len() as u32).filter(|&j| self.is_underpriced(j)).collect();
        if columns.is_empty() {
            return Ok(());
        }
        let rows_of = self.edges.transposed(self.g.len());
        let mut target = vec![FREE; self.g.len()];
        while let Some(column) = columns.pop_front() {
            while self.is_underpriced(column) {
                let reached = self.draw(&rows_of, &mut target, column);
                work.add(reached)?;
            }
        }
        Ok(())
    }

    /// Raises the price of a column that has room until it takes one more row, along a shortest path from a column whose price becomes 0, or is 0
    /// itself; `target` is scratch. Returns the columns reached.
    fn draw(&mut self, rows_of: &CandidateEdges, target: &mut [u32], start: u32) -> usize {
        self.frontier.relax(start, 0.0, FREE, false);
        let (mut sink, mut raise) = (start, -self.g[start as usize]);
        while let Some((column, distance)) = self.frontier.next().filter(|&(_, distance)| distance < raise) {
            self.tree.push((column, distance));
            self.frontier.close(column);
            let price = self.g[column as usize];
            if distance - price < raise {
                (sink, raise) = (column, distance - price);
            }
            for (row, cost) in rows_of.of(column) {
                let own_column = self.assigned.column(row);
                if own_column == column {
                    continue;
                }
                let own = self.priced(row, own_column);
                let slack = ((cost - price) - (own.0 - own.1)).max(0.0);
                if self.frontier.relax(own_column, distance + slack, row, false) {
                    target[own_column as usize] = column;
                }
            }
        }
        for &(column, distance) in &self.tree {
            let price = &mut self.g[column as usize];
            *price = (*price + (raise - distance).max(0.0)).min(0.0);
        }
        self.g[sink as usize] = 0.0;
        let mut column = sink;
        while column != start {
            let to = target[column as usize];
            self.assigned.put(self.frontier.predecessor(column), to);
            column = to;
        }
        self.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assignment::{AssignmentSolver, CostMatrix};
    use crate::rng::stream;
    use rand::Rng;

    /// The least cost by the dense solver, each column as often as it may be taken, stand-ins for rows.
    fn reference(cost: &[Vec<f64>], capacity: &[u32]) -> f64 {
        let slots: Vec<usize> =
            capacity.iter().enumerate().flat_map(|(j, &c)| std::iter::repeat_n(j, c as usize)).collect();
        let mut matrix = CostMatrix::<f64>::default();
        matrix.resize(slots.len());
        for (i, row) in matrix.rows_mut().enumerate() {
            row.iter_mut().zip(&slots).for_each(|(c, &j)| *c = cost.get(i).map_or(0.0, |row| row[j]));
        }
        let mut solver = AssignmentSolver::default();
        let columns = solver.solve(&matrix).column_of_row.to_vec();
        cost.iter().zip(columns).map(|(row, slot)| row[slots[slot as usize]]).sum()
    }

    #[test]
    fn equal_to_the_dense_solver_from_any_start() {
        let mut rng = stream(12, &[]);
        for trial in 0..60 {
            let (n, m) = (rng.random_range(1..30), rng.random_range(1..30_usize));
            let mut capacity: Vec<u32> = (0..m).map(|_| rng.random_range(0..4)).collect();
            while capacity.iter().sum::<u32>() < n as u32 {
                capacity[rng.random_range(0..m)] += 1;
            }
            // Few different costs make ties.
            let largest = if trial % 2 == 0 { 5 } else { 1000 };
            let cost: Vec<Vec<f64>> =
                (0..n).map(|_| (0..m).map(|_| f64::from(rng.random_range(0..largest))).collect()).collect();
            let edges =
                CandidateEdges::of_rows(cost.iter().map(|row| row.iter().enumerate().map(|(j, &c)| (j as u32, c))));
            let expected = reference(&cost, &capacity);
            for start in 0..3 {
                let mut columns = vec![FREE; n];
                let mut g = vec![0.0; m];
                if start > 0 {
                    g.iter_mut().for_each(|g| *g = -rng.random_range(0.0..f64::from(largest)));
                    let mut room = capacity.clone();
                    for column in &mut columns {
                        let j = rng.random_range(0..m);
                        if room[j] > 0 && start == 2 {
                            room[j] -= 1;
                            *column = j as u32;
                        }
                    }
                }
                assign(&edges, &capacity, &mut columns, &mut g, &|| false).unwrap();
                let total: f64 = cost.iter().zip(&columns).map(|(row, &j)| row[j as usize]).sum();
                assert!((total - expected).abs() < 1e-9, "trial {trial}, start {start}: {total} against {expected}");
                let mut count = vec![0; m];
                columns.iter().for_each(|&j| count[j as usize] += 1);
                for j in 0..m {
                    assert!(count[j] <= capacity[j], "trial {trial}: column {j} is over-full");
                    let spare = capacity.iter().sum::<u32>() > n as u32;
                    assert!(!spare || count[j] == capacity[j] || g[j] == 0.0, "trial {trial}: column {j} is too cheap");
                }
                for (row, &own) in cost.iter().zip(&columns) {
                    let base = row[own as usize] - g[own as usize];
                    let least = row.iter().zip(&g).map(|(c, g)| c - g).fold(f64::INFINITY, f64::min);
                    assert!(base <= least + 1e-9, "trial {trial}: a row is not tight");
                }
            }
        }
    }

    #[test]
    fn rows_that_have_too_few_columns_are_named() {
        let rows = [vec![(0, 1.0), (1, 1.0), (2, 5.0)], vec![(1, 2.0)], vec![(0, 3.0), (1, 1.0)], vec![(0, 1.0)]];
        let edges = CandidateEdges::of_rows(rows.into_iter().map(Vec::into_iter));
        let mut columns = vec![FREE; 4];
        match assign(&edges, &[1, 1, 1], &mut columns, &mut [0.0; 3], &|| false) {
            Err(Unassigned::TooFewColumns { mut rows, mut columns }) => {
                rows.sort_unstable();
                columns.sort_unstable();
                assert!(rows == [1, 2, 3] || rows == [0, 1, 2, 3], "{rows:?}");
                assert!(rows.len() > columns.len());
            }
            other => panic!("{other:?}"),
        }
        let stopped = assign(&edges, &[2, 2, 2], &mut columns, &mut [0.0; 3], &|| true);
        assert!(matches!(stopped, Err(Unassigned::Stopped)));
    }
}
