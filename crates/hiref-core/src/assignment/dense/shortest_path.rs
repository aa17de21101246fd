//! Shortest augmenting paths (Jonker and Volgenant 1987), with warm starts and dual potentials.

use super::scan::{LANES, Scalar, column_of, position_of, relax, smallest, two_smallest};
use crate::cost::CostTile;

const FREE: u32 = u32::MAX;

/// A square cost matrix, `(size, size)`, whose rows are padded with infinity to whole vectors.
#[derive(Debug, Clone, Default)]
pub struct CostMatrix<T> {
    size: usize,
    stride: usize,
    values: Vec<T>,
}

impl<T: Scalar> CostMatrix<T> {
    /// Makes room for `size` rows, keeping the allocation.
    pub fn resize(&mut self, size: usize) {
        self.size = size;
        self.stride = size.next_multiple_of(LANES);
        self.values.clear();
        self.values.resize(self.size * self.stride, T::INFINITY);
    }

    /// Number of rows and columns.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Row i, `(size,)`.
    pub fn row_mut(&mut self, i: usize) -> &mut [T] {
        &mut self.values[i * self.stride..][..self.size]
    }

    /// All rows, each `(size,)`.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut [T]> {
        let size = self.size;
        self.values.chunks_mut(self.stride.max(1)).map(move |row| &mut row[..size])
    }

    /// Takes the entries of a tile, rounded to its own type.
    pub(crate) fn fill_from(&mut self, tile: &CostTile) {
        let rows = tile.rows();
        self.resize(rows.len());
        for (out, row) in self.rows_mut().zip(rows) {
            for (out, &value) in out.iter_mut().zip(row) {
                *out = T::from_f64(value);
            }
        }
    }

    /// One entry.
    pub fn at(&self, i: usize, j: usize) -> T {
        self.values[i * self.stride + j]
    }

    #[inline(always)]
    fn padded_row(&self, i: usize) -> &[T] {
        &self.values[i * self.stride..][..self.stride]
    }
}

/// An optimal assignment as left in the solver's workspace.
#[derive(Debug, Clone, Copy)]
pub struct Assignment<'a, T> {
    /// Column of each row, `(size,)`.
    pub column_of_row: &'a [u32],
    /// Column potentials, `(size,)`: `c_ij - f_i - g_j >= 0`, with equality on the assigned entries.
    pub g: &'a [T],
}

/// Solves dense square assignment problems one after the other, reusing its memory.
///
/// `min Σ c_{i,σ(i)}` over permutations σ, with the dual `max Σ f_i + Σ g_j`, `f_i + g_j <= c_ij`.
///
/// *Shapes*: cost `(s, s)`. *Units*: potentials in units of the cost. *Complexity*: O(s³) worst case, near O(s²) from
/// good potentials; O(s) memory beside the cost. *Errors*: none; the optimum is exact for the costs as rounded to `T`,
/// up to the rounding of sums along augmenting paths. *Determinism*: ties go to the lowest index; one thread.
///
/// ```
/// use hiref_core::assignment::{AssignmentSolver, CostMatrix};
/// let mut cost = CostMatrix::<f64>::default();
/// cost.resize(2);
/// cost.row_mut(0).copy_from_slice(&[1.0, 2.0]);
/// cost.row_mut(1).copy_from_slice(&[1.0, 4.0]);
/// let mut solver = AssignmentSolver::default();
/// assert_eq!(solver.solve(&cost).column_of_row, [1, 0]);
/// ```
///
/// References: \[JV87\] Jonker, Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment
/// problems", Computing 38, 1987. We differ in that the start is a set of column potentials and, optionally, a pairing,
/// of which every tight entry is kept.
#[derive(Debug, Default)]
pub struct AssignmentSolver<T> {
    g: Vec<T>,
    masked_g: Vec<T>,
    column_of_row: Vec<u32>,
    row_of_column: Vec<u32>,
    distance: Vec<T>,
    predecessor: Vec<u32>,
    tree: Vec<(u32, T)>,
    free_rows: Vec<u32>,
    next_free_rows: Vec<u32>,
}

impl<T: Scalar> AssignmentSolver<T> {
    /// Solves from nothing.
    pub fn solve(&mut self, cost: &CostMatrix<T>) -> Assignment<'_, T> {
        self.prepare(cost);
        self.run(cost, Start::Potentials)
    }

    /// As [`Self::solve`]; `None` once `stop` says so, which is asked row by row.
    pub fn solve_until(&mut self, cost: &CostMatrix<T>, stop: &dyn Fn() -> bool) -> Option<Assignment<'_, T>> {
        self.prepare(cost);
        self.run_until(cost, Start::Potentials, stop)?;
        Some(Assignment { column_of_row: &self.column_of_row, g: &self.g[..cost.size] })
    }

    /// The potentials of a solve from nothing.
    fn prepare(&mut self, cost: &CostMatrix<T>) {
        self.g.clear();
        self.g.resize(cost.stride, T::ZERO);
        // Column reduction: the largest feasible g for f = 0, the classical start.
        for i in 0..cost.size {
            for (g, &c) in self.g.iter_mut().zip(cost.padded_row(i)) {
                if i == 0 || c < *g {
                    *g = c;
                }
            }
        }
        self.g[cost.size..].fill(T::ZERO);
    }

    /// Solves from column potentials `g`, `(s,)`, and from the pairing of row i with column i, of which every entry that is
    /// tight under `g` is kept.
    pub fn solve_warm(&mut self, cost: &CostMatrix<T>, g: impl Iterator<Item = T>) -> Assignment<'_, T> {
        self.g.clear();
        self.g.extend(g);
        debug_assert_eq!(self.g.len(), cost.size, "one potential for each column");
        self.g.resize(cost.stride, T::ZERO);
        self.run(cost, Start::Identity)
    }

    /// Solves from column potentials `g`, `(s,)`, under which every row but those of `rows` finds all columns equally cheap: the columns that
    /// `rows` leave keep their potentials, and so go to the others as they come. Takes as long as the assignment of `rows` alone.
    ///
    /// # Panics
    /// Never.
    pub fn solve_rows(
        &mut self,
        cost: &CostMatrix<T>,
        g: impl Iterator<Item = T>,
        rows: impl Iterator<Item = u32>,
    ) -> Assignment<'_, T> {
        // Nobody stops it.
        let _ = self.assign_rows(cost, g, rows, &|| false);
        Assignment { column_of_row: &self.column_of_row, g: &self.g[..cost.size] }
    }

    /// As [`Self::solve_rows`]; `None` once `stop` says so, which is asked row by row.
    ///
    /// # Panics
    /// Never.
    pub fn solve_rows_until(
        &mut self,
        cost: &CostMatrix<T>,
        g: impl Iterator<Item = T>,
        rows: impl Iterator<Item = u32>,
        stop: &dyn Fn() -> bool,
    ) -> Option<Assignment<'_, T>> {
        self.assign_rows(cost, g, rows, stop)?;
        Some(Assignment { column_of_row: &self.column_of_row, g: &self.g[..cost.size] })
    }

    fn assign_rows(
        &mut self,
        cost: &CostMatrix<T>,
        g: impl Iterator<Item = T>,
        rows: impl Iterator<Item = u32>,
        stop: &dyn Fn() -> bool,
    ) -> Option<()> {
        self.g.clear();
        self.g.extend(g);
        debug_assert_eq!(self.g.len(), cost.size, "one potential for each column");
        self.g.resize(cost.stride, T::ZERO);
        self.next_free_rows.clear();
        self.next_free_rows.extend(rows);
        self.run_until(cost, Start::Rows, stop)?;
        let mut left = (0..cost.size).filter(|&column| self.row_of_column[column] == FREE);
        for column in self.column_of_row.iter_mut().filter(|column| **column == FREE) {
            *column = left.next().expect("as many columns are left as rows") as u32;
        }
        Some(())
    }

    fn run_until(&mut self, cost: &CostMatrix<T>, start: Start, stop: &dyn Fn() -> bool) -> Option<()> {
        pulp::Arch::new().dispatch(Solve { solver: self, cost, start, stop })
    }

    fn run(&mut self, cost: &CostMatrix<T>, start: Start) -> Assignment<'_, T> {
        // Nobody stops it.
        let _ = self.run_until(cost, start, &|| false);
        Assignment { column_of_row: &self.column_of_row, g: &self.g[..cost.size] }
    }

    /// Assigns every row whose cheapest column under the present potentials is to be had; the rest become free.
    #[inline(always)]
    fn assign_tight(&mut self, cost: &CostMatrix<T>, start: Start) {
        self.column_of_row.clear();
        self.column_of_row.resize(cost.size, FREE);
        self.row_of_column.clear();
        self.row_of_column.resize(cost.size, FREE);
        self.free_rows.clear();
        match start {
            Start::Rows => {}
            Start::Potentials => {
                self.next_free_rows.clear();
                self.next_free_rows.extend(0..cost.size as u32);
            }
            Start::Identity => {
                self.next_free_rows.clear();
                for i in 0..cost.size {
                    let row = cost.padded_row(i);
                    if row[i] - self.g[i] <= smallest(row, &self.g) {
                        self.column_of_row[i] = i as u32;
                        self.row_of_column[i] = i as u32;
                    } else {
                        self.next_free_rows.push(i as u32);
                    }
                }
            }
        }
        for &i in &self.next_free_rows {
            let row = cost.padded_row(i as usize);
            let j = column_of(row, &self.g, smallest(row, &self.g));
            if self.row_of_column[j] == FREE {
                self.row_of_column[j] = i;
                self.column_of_row[i as usize] = j as u32;
            } else {
                self.free_rows.push(i);
            }
        }
    }

    /// Lets each free row bid for its cheapest column, lowering that column's potential to the row's second choice.
    #[inline(always)]
    fn reduce_augmenting_rows(&mut self, cost: &CostMatrix<T>, stop: &dyn Fn() -> bool) -> Option<()> {
        self.next_free_rows.clear();
        // Near-ties can make rows outbid each other in tiny steps for very long; the augmentations finish the rest.
        let mut bids_left = 8 * cost.size;
        for &start in &self.free_rows {
            if stop() {
                return None;
            }
            let mut i = start;
            loop {
                if bids_left == 0 {
                    self.next_free_rows.push(i);
                    break;
                }
                bids_left -= 1;
                let (least, j, next) = two_smallest(cost.padded_row(i as usize), &self.g);
                let lowered = self.g[j] - (next - least);
                // The second smallest of a single column is infinite.
                let lowers = next < T::INFINITY && lowered < self.g[j];
                if lowers {
                    self.g[j] = lowered;
                }
                let displaced = self.row_of_column[j];
                if displaced != FREE && !lowers {
                    self.next_free_rows.push(i);
                    break;
                }
                self.row_of_column[j] = i;
                self.column_of_row[i as usize] = j as u32;
                if displaced == FREE {
                    break;
                }
                self.column_of_row[displaced as usize] = FREE;
                i = displaced;
            }
        }
        std::mem::swap(&mut self.free_rows, &mut self.next_free_rows);
        Some(())
    }

    /// Assigns one more row along a shortest path in reduced costs, and updates the potentials of the columns passed.
    #[inline(always)]
    fn augment(&mut self, cost: &CostMatrix<T>, free_row: u32) {
        self.distance.clear();
        self.distance.resize(cost.stride, T::INFINITY);
        self.predecessor.clear();
        self.predecessor.resize(cost.stride, free_row);
        self.tree.clear();
        let mut row = free_row;
        let mut offset = T::ZERO;
        let (sink, reached) = loop {
            let least = relax(
                cost.padded_row(row as usize),
                &self.masked_g,
                offset,
                row,
                &mut self.distance,
                &mut self.predecessor,
            );
            let column = position_of(&self.distance, least);
            let next_row = self.row_of_column[column];
            if next_row == FREE {
                break (column, least);
            }
            self.tree.push((column as u32, least));
            self.distance[column] = T::INFINITY;
            self.masked_g[column] = T::NEG_INFINITY;
            row = next_row;
            offset = least - (cost.padded_row(row as usize)[column] - self.g[column]);
        };
        for &(column, distance) in &self.tree {
            let column = column as usize;
            self.g[column] = self.g[column] + (distance - reached);
            self.masked_g[column] = self.g[column];
        }
        let mut column = sink;
        loop {
            let row = self.predecessor[column];
            self.row_of_column[column] = row;
            let next = std::mem::replace(&mut self.column_of_row[row as usize], column as u32);
            if row == free_row {
                break;
            }
            column = next as usize;
        }
    }
}

/// One solve with the machine's best vector instructions.
///
/// A value of its own and no closure: the body of a large closure becomes a function without them.
struct Solve<'a, T> {
    solver: &'a mut AssignmentSolver<T>,
    cost: &'a CostMatrix<T>,
    start: Start,
    stop: &'a dyn Fn() -> bool,
}

/// What a solve starts from beside the column potentials.
#[derive(Clone, Copy)]
enum Start {
    /// Nothing.
    Potentials,
    /// Row i with column i, where that is tight.
    Identity,
    /// The rows that are free already, and no others.
    Rows,
}

impl<T: Scalar> pulp::NullaryFnOnce for Solve<'_, T> {
    /// `None` where it was stopped.
    type Output = Option<()>;

    #[inline(always)]
    fn call(self) -> Option<()> {
        let Self { solver, cost, start, stop } = self;
        solver.assign_tight(cost, start);
        for _ in 0..2 {
            solver.reduce_augmenting_rows(cost, stop)?;
        }
        solver.masked_g.clear();
        solver.masked_g.extend_from_slice(&solver.g);
        let free_rows = std::mem::take(&mut solver.free_rows);
        let augmented = free_rows.iter().try_for_each(|&row| {
            if stop() {
                return None;
            }
            solver.augment(cost, row);
            Some(())
        });
        solver.free_rows = free_rows;
        augmented
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;
    use rand::Rng;

    fn matrix(size: usize, entry: impl Fn(usize, usize) -> f64) -> CostMatrix<f64> {
        let mut cost = CostMatrix::default();
        cost.resize(size);
        for i in 0..size {
            for (j, value) in cost.row_mut(i).iter_mut().enumerate() {
                *value = entry(i, j);
            }
        }
        cost
    }

    fn total(cost: &CostMatrix<f64>, columns: &[u32]) -> f64 {
        columns.iter().enumerate().map(|(i, &j)| cost.at(i, j as usize)).sum()
    }

    /// The least total over all permutations, by enumeration (Heap's algorithm).
    fn brute_force(cost: &CostMatrix<f64>) -> f64 {
        fn visit(k: usize, columns: &mut Vec<u32>, cost: &CostMatrix<f64>, best: &mut f64) {
            if k <= 1 {
                *best = best.min(total(cost, columns));
                return;
            }
            for i in 0..k {
                visit(k - 1, columns, cost, best);
                columns.swap(if k.is_multiple_of(2) { i } else { 0 }, k - 1);
            }
        }
        let mut best = f64::INFINITY;
        visit(cost.size(), &mut (0..cost.size() as u32).collect(), cost, &mut best);
        best
    }

    fn check_optimal(cost: &CostMatrix<f64>, solution: Assignment<'_, f64>, what: &str) {
        let size = cost.size();
        let mut seen = vec![false; size];
        for (i, &j) in solution.column_of_row.iter().enumerate() {
            assert!(!std::mem::replace(&mut seen[j as usize], true), "{what}: column {j} twice");
            let f = cost.at(i, j as usize) - solution.g[j as usize];
            for (k, g) in solution.g.iter().enumerate() {
                let slack = cost.at(i, k) - f - g;
                assert!(slack >= -1e-9, "{what}: entry ({i}, {k}) has slack {slack:e}");
            }
        }
    }

    #[test]
    fn matches_enumeration() {
        let mut rng = stream(1, &[]);
        for size in 1..=7 {
            for trial in 0..20 {
                let values: Vec<f64> = (0..size * size).map(|_| f64::from(rng.random_range(0..12_u8))).collect();
                let cost = matrix(size, |i, j| values[i * size + j]);
                let mut solver = AssignmentSolver::default();
                let solution = solver.solve(&cost);
                assert_eq!(total(&cost, solution.column_of_row), brute_force(&cost), "size {size}, trial {trial}");
                check_optimal(&cost, solution, "integer costs");
            }
        }
    }

    #[test]
    fn potentials_prove_optimality_from_any_start() {
        let mut rng = stream(2, &[]);
        for size in [1, 2, 15, 16, 17, 100, 257] {
            let points: Vec<(f64, f64)> = (0..2 * size).map(|_| (rng.random(), rng.random())).collect();
            let cost = matrix(size, |i, j| {
                let ((a, b), (c, d)) = (points[i], points[size + j]);
                (a - c).powi(2) + (b - d).powi(2)
            });
            let mut solver = AssignmentSolver::default();
            let cold = solver.solve(&cost);
            check_optimal(&cost, cold, "cold");
            let (expected, g) = (total(&cost, cold.column_of_row), cold.g.to_vec());
            let noisy: Vec<f64> = g.iter().map(|g| g + rng.random_range(-0.3..0.3)).collect();
            for (what, start) in [("warm", g), ("noisy", noisy), ("zero", vec![0.0; size])] {
                let solution = solver.solve_warm(&cost, start.into_iter());
                check_optimal(&cost, solution, what);
                let got = total(&cost, solution.column_of_row);
                assert!((got - expected).abs() < 1e-9, "{what}, size {size}: {got} against {expected}");
            }
        }
    }

    #[test]
    fn all_equal_costs_keep_the_present_pairing() {
        let cost = matrix(50, |_, _| 3.0);
        let mut solver = AssignmentSolver::default();
        let kept: Vec<u32> = (0..50).collect();
        assert_eq!(solver.solve_warm(&cost, std::iter::repeat_n(0.0, 50)).column_of_row, kept);
    }

    #[test]
    fn a_solver_that_was_stopped_solves_again() {
        let mut rng = stream(11, &[]);
        let entries: Vec<f64> = (0..60 * 60).map(|_| rng.random()).collect();
        let cost = matrix(60, |i, j| entries[i * 60 + j]);
        let mut solver = AssignmentSolver::default();
        let whole = solver.solve(&cost).column_of_row.to_vec();
        let mut stopped = 0;
        for looks in 0..200_usize {
            let left = std::cell::Cell::new(looks);
            let stop = || left.replace(left.get().saturating_sub(1)) == 0;
            match solver.solve_until(&cost, &stop) {
                None => stopped += 1,
                Some(found) => assert_eq!(found.column_of_row, whole),
            }
            assert_eq!(solver.solve(&cost).column_of_row, whole);
        }
        assert!((10..200).contains(&stopped), "{stopped}");
    }
}
