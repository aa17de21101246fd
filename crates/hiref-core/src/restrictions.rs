//! What a pair may cost at most, and pairs that may not be.

use std::collections::HashMap;
use std::sync::Arc;

/// Pairs that may not be.
#[derive(Debug, Default)]
pub(crate) struct Forbidden {
    /// The columns that a row may not take, by rising index.
    columns_of: HashMap<u32, Vec<u32>>,
    /// Rows that have any, by rising index.
    rows: Vec<u32>,
}

impl Forbidden {
    pub(crate) fn new(pairs: impl Iterator<Item = [u32; 2]>) -> Self {
        let mut columns_of: HashMap<u32, Vec<u32>> = HashMap::new();
        pairs.for_each(|[row, column]| columns_of.entry(row).or_default().push(column));
        for columns in columns_of.values_mut() {
            columns.sort_unstable();
            columns.dedup();
        }
        let mut rows: Vec<u32> = columns_of.keys().copied().collect();
        rows.sort_unstable();
        Self { columns_of, rows }
    }

    pub(crate) fn has(&self, row: u32, column: u32) -> bool {
        self.of(row).binary_search(&column).is_ok()
    }

    /// The columns that a row may not take.
    pub(crate) fn of(&self, row: u32) -> &[u32] {
        // Most problems have no such rows.
        if self.rows.is_empty() { &[] } else { self.columns_of.get(&row).map_or(&[], Vec::as_slice) }
    }

    /// Rows that have any.
    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    fn turned(&self) -> Self {
        let rows = self.rows.iter();
        Self::new(rows.flat_map(|&row| self.of(row).iter().map(move |&column| [column, row])))
    }
}

/// What becomes of the costs of a problem whose items may stay single, or whose pairs may not all be.
///
/// Where two singles together cost `cap`, a pair of items whose cost is above it stands for two singles: the least total of `min(c, cap)` over
/// one-to-one pairings is the least total of pairs and singles (the larger side's surplus apart, whose part is constant). A pair that may not be costs
/// `penalty`, more than any other.
#[derive(Debug, Clone)]
pub(crate) struct Restrictions {
    cap: f64,
    penalty: f64,
    forbidden: Arc<Forbidden>,
}

impl Restrictions {
    pub(crate) fn new(cap: f64, penalty: f64, forbidden: Forbidden) -> Self {
        Self { cap, penalty, forbidden: Arc::new(forbidden) }
    }

    /// What a pair costs under them.
    pub(crate) fn apply(&self, x: u32, y: u32, cost: f64) -> f64 {
        let cost = if self.forbidden.has(x, y) { self.penalty } else { cost };
        cost.min(self.cap)
    }

    /// The same seen from the other side.
    pub(crate) fn turned(&self) -> Self {
        Self { forbidden: Arc::new(self.forbidden.turned()), ..*self }
    }
}
