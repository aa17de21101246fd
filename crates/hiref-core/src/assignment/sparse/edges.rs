//! The columns among which each row may choose.

/// A row, one of its candidate columns, and the cost.
pub(crate) type Edge = (u32, u32, f64);

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
