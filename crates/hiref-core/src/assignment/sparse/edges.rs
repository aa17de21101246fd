//! The columns among which each row may choose.

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

    /// The same with more columns of each row and their costs, `(n, k)`, and with its partner, `(n,)`.
    pub(crate) fn with(&self, (columns, costs): (&[u32], &[f64]), (partner, partner_cost): (&[u32], &[f64])) -> Self {
        let width = columns.len() / self.num_rows();
        let capacity = self.len() + self.num_rows() * (width + 1);
        let mut next = Self {
            offsets: Vec::with_capacity(self.offsets.len()),
            columns: Vec::with_capacity(capacity),
            costs: Vec::with_capacity(capacity),
        };
        next.offsets.push(0);
        for row in 0..self.num_rows() {
            let start = next.columns.len();
            for (column, cost) in self.of(row as u32) {
                next.columns.push(column);
                next.costs.push(cost);
            }
            let new = row * width..(row + 1) * width;
            let added = columns[new.clone()].iter().copied().zip(costs[new].iter().copied());
            for (column, cost) in added.chain([(partner[row], partner_cost[row])]) {
                if !next.columns[start..].contains(&column) {
                    next.columns.push(column);
                    next.costs.push(cost);
                }
            }
            next.offsets.push(next.columns.len());
        }
        next
    }
}
