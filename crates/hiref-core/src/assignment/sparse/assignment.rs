//! Partners and prices, and bids for them.

use super::edges::{Best, CandidateEdges};
use super::frontier::FREE;

/// Displacements in a row that one pass of bids follows.
const LONGEST_CHAIN: usize = 64;

/// An assignment in the making.
pub(super) struct Assignment<'a> {
    pub(super) edges: &'a CandidateEdges,
    /// `(n,)`
    pub(super) column_of_row: &'a mut [u32],
    /// `(m,)`
    pub(super) row_of_column: Vec<u32>,
    /// `(m,)`
    pub(super) g: &'a mut [f64],
}

/// By how much a row's partner is not its best candidate.
pub(super) struct Looseness {
    pub(super) slack: f64,
    /// What rounding may add to it.
    pub(super) rounding: f64,
}

impl<'a> Assignment<'a> {
    pub(super) fn new(edges: &'a CandidateEdges, column_of_row: &'a mut [u32], g: &'a mut [f64]) -> Self {
        let mut row_of_column = vec![FREE; g.len()];
        for (row, &column) in column_of_row.iter().enumerate() {
            row_of_column[column as usize] = row as u32;
        }
        Self { edges, column_of_row, row_of_column, g }
    }

    pub(super) fn num_rows(&self) -> u32 {
        self.edges.num_rows() as u32
    }

    /// Of a row that has a partner.
    pub(super) fn looseness(&self, row: u32) -> Looseness {
        let partner = self.column_of_row[row as usize];
        let least = self.edges.least(row, self.g);
        let own = (self.edges.cost(row, partner), self.g[partner as usize]);
        Looseness { slack: (own.0 - own.1) - (least.0 - least.1), rounding: rounding(own, least) }
    }

    /// Lets go of every partner that is dearer than the best candidate by more than `allowed` and rounding; gives the rows that are free then.
    pub(super) fn free_loose_rows(&mut self, allowed: f64) -> Vec<u32> {
        let mut free = Vec::new();
        for row in 0..self.num_rows() {
            let partner = self.column_of_row[row as usize];
            if partner != FREE {
                let Looseness { slack, rounding } = self.looseness(row);
                if slack <= allowed + rounding {
                    continue;
                }
                self.row_of_column[partner as usize] = FREE;
                self.column_of_row[row as usize] = FREE;
            }
            free.push(row);
        }
        free
    }

    /// Lets each free row bid for its best column, at the price that makes the second best as good and less by `epsilon`. Gives the rows
    /// that are free then, and how many bids there were.
    pub(super) fn bid(&mut self, rows: Vec<u32>, epsilon: f64) -> (Vec<u32>, usize) {
        let (mut left, mut bids) = (Vec::new(), 0);
        for mut row in rows {
            // A chain of displacements ends when a row lowers no price, or finds a free column.
            for _ in 0..LONGEST_CHAIN {
                let Some(Best { column, least, next }) = self.edges.best(row, self.g) else { break };
                let displaced = self.row_of_column[column as usize];
                let step = epsilon + if next.is_finite() { next - least } else { 0.0 };
                if displaced != FREE && step <= 0.0 {
                    break;
                }
                bids += 1;
                if displaced != FREE {
                    self.g[column as usize] -= step;
                }
                self.row_of_column[column as usize] = row;
                self.column_of_row[row as usize] = column;
                if displaced == FREE {
                    row = FREE;
                    break;
                }
                self.column_of_row[displaced as usize] = FREE;
                row = displaced;
            }
            if row != FREE {
                left.push(row);
            }
        }
        (left, bids)
    }
}

/// How far two reduced costs, given as cost and price, may differ by rounding alone: prices carry that of the sums along paths, which is no
/// reason to look again.
pub(crate) fn rounding(a: (f64, f64), b: (f64, f64)) -> f64 {
    256.0 * f64::EPSILON * (a.0.abs() + a.1.abs() + b.0.abs() + b.1.abs())
}
