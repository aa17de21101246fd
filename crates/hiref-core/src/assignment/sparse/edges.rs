//! The columns among which each row may choose.

use super::frontier::FREE;

/// A row, one of its candidate columns, and the cost.
pub(crate) type Edge = (u32, u32, f64);

/// The column of least reduced cost of a row.
pub(super) struct Best {
    pub(super) column: u32,
    pub(super) least: f64,
    /// The least of the other columns; infinite where there are none.
    pub(super) next: f64,
}

/// Candidate columns of each row with their costs, as compressed rows.
#[derive(Debug)]
pub(crate) struct CandidateEdges {
    offsets: Vec<usize>,
    columns: Vec<u32>,
    costs: Vec<f64>,
}

impl CandidateEdges {
    /// Rows without candidates.
    pub(crate) fn empty(num_rows: usize) -> Self {
        Self { offsets: vec![0; num_rows + 1], columns: Vec::new(), costs: Vec::new() }
    }

    /// The candidates of each row, without repetition.
    pub(crate) fn of_rows<R: Iterator<Item = (u32, f64)>>(rows: impl Iterator<Item = R>) -> Self {
        let mut edges = Self::empty(0);
        for row in rows {
            for (column, cost) in row {
                edges.columns.push(column);
                edges.costs.push(cost);
            }
            edges.offsets.push(edges.columns.len());
        }
        edges
    }

    pub(crate) fn num_rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Candidates of all rows together.
    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    /// The candidates of a row, and their costs.
    pub(crate) fn of(&self, row: u32) -> impl Iterator<Item = (u32, f64)> + '_ {
        let range = self.offsets[row as usize]..self.offsets[row as usize + 1];
        self.columns[range.clone()].iter().copied().zip(self.costs[range].iter().copied())
    }

    /// The least cost of an edge between the two; infinite where there is none.
    pub(super) fn cost(&self, row: u32, column: u32) -> f64 {
        self.of(row).filter(|&(c, _)| c == column).map(|(_, cost)| cost).fold(f64::INFINITY, f64::min)
    }

    /// The least reduced cost of a row under prices g, as cost and price.
    pub(super) fn least(&self, row: u32, g: &[f64]) -> (f64, f64) {
        let priced = |(column, cost): (u32, f64)| (cost, g[column as usize]);
        let less = |a: (f64, f64), b: (f64, f64)| if b.0 - b.1 < a.0 - a.1 { b } else { a };
        self.of(row).map(priced).fold((f64::INFINITY, 0.0), less)
    }

    /// The column of least reduced cost of a row under prices g, if it has any.
    pub(super) fn best(&self, row: u32, g: &[f64]) -> Option<Best> {
        let mut best = Best { column: FREE, least: f64::INFINITY, next: f64::INFINITY };
        for (column, cost) in self.of(row) {
            let reduced = cost - g[column as usize];
            if reduced < best.least {
                let next = if column == best.column { best.next } else { best.least };
                best = Best { column, least: reduced, next };
            } else if reduced < best.next && column != best.column {
                best.next = reduced;
            }
        }
        (best.column != FREE).then_some(best)
    }

    /// The rows among whose candidates each column is, with the costs.
    pub(crate) fn transposed(&self, num_columns: usize) -> Self {
        let mut offsets = vec![0; num_columns + 1];
        self.columns.iter().for_each(|&column| offsets[column as usize + 1] += 1);
        for column in 0..num_columns {
            offsets[column + 1] += offsets[column];
        }
        let mut free = offsets.clone();
        let (mut rows, mut costs) = (vec![0; self.len()], vec![0.0; self.len()]);
        for row in 0..self.num_rows() as u32 {
            for (column, cost) in self.of(row) {
                let at = &mut free[column as usize];
                (rows[*at], costs[*at]) = (row, cost);
                *at += 1;
            }
        }
        Self { offsets, columns: rows, costs }
    }

    /// The same with more columns of each row and their costs, `(n, k)`, further ones of some rows (row, column and cost, ordered by row), and with
    /// its partner, `(n,)`. Of the columns that were there, `kept` stay, those of least `c_ij - g_j`.
    pub(crate) fn with(
        &self,
        (columns, costs, further): (&[u32], &[f64], &[Edge]),
        (partner, partner_cost): (&[u32], &[f64]),
        (kept, g): (usize, &[f64]),
    ) -> Self {
        let width = columns.len() / self.num_rows();
        let capacity =
            self.num_rows() * (width + 1) + further.len() + self.len().min(self.num_rows().saturating_mul(kept));
        let mut next = Self {
            offsets: Vec::with_capacity(self.offsets.len()),
            columns: Vec::with_capacity(capacity),
            costs: Vec::with_capacity(capacity),
        };
        next.offsets.push(0);
        let mut old: Vec<(f64, u32, f64)> = Vec::new();
        let mut further = further.iter().peekable();
        for row in 0..self.num_rows() {
            let start = next.columns.len();
            let new = row * width..(row + 1) * width;
            let added = columns[new.clone()].iter().copied().zip(costs[new].iter().copied());
            let of_row = std::iter::from_fn(|| further.next_if(|&&(of, ..)| of as usize == row));
            let further_added = of_row.map(|&(_, column, cost)| (column, cost));
            for (column, cost) in added.chain(further_added).chain([(partner[row], partner_cost[row])]) {
                if !next.columns[start..].contains(&column) {
                    next.columns.push(column);
                    next.costs.push(cost);
                }
            }
            old.clear();
            let others = self.of(row as u32).filter(|(column, _)| !next.columns[start..].contains(column));
            old.extend(others.map(|(column, cost)| (cost - g[column as usize], column, cost)));
            if old.len() > kept {
                old.select_nth_unstable_by(kept, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                old.truncate(kept);
            }
            for &(_, column, cost) in &old {
                next.columns.push(column);
                next.costs.push(cost);
            }
            next.offsets.push(next.columns.len());
        }
        next
    }
}
