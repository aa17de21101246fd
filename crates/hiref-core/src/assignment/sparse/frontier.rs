//! Columns in the order of their distance.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// No row, or no column.
pub(crate) const FREE: u32 = u32::MAX;

/// A column waiting to be reached, nearest first, ties by index.
struct Waiting {
    distance: f64,
    column: u32,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        other.distance.total_cmp(&self.distance).then(other.column.cmp(&self.column))
    }
}

/// Distances of the present search.
pub(super) struct Frontier {
    distance: Vec<f64>,
    /// The row through which a column is reached.
    predecessor: Vec<u32>,
    touched: Vec<u32>,
    heap: BinaryHeap<Waiting>,
    /// The distance of the nearest free column found so far: what is further away is of no use.
    nearest_free: f64,
}

impl Frontier {
    pub(super) fn new(len: usize) -> Self {
        Self {
            distance: vec![f64::INFINITY; len],
            predecessor: vec![FREE; len],
            touched: Vec::new(),
            heap: BinaryHeap::new(),
            nearest_free: f64::INFINITY,
        }
    }

    /// Notes a path to a column, `free` if the search may end there, and says whether it is shorter than those before.
    pub(super) fn relax(&mut self, column: u32, through: f64, row: u32, free: bool) -> bool {
        let distance = &mut self.distance[column as usize];
        let shorter = through < *distance && through <= self.nearest_free;
        if shorter {
            if free {
                self.nearest_free = through;
            }
            if *distance == f64::INFINITY {
                self.touched.push(column);
            }
            *distance = through;
            self.predecessor[column as usize] = row;
            self.heap.push(Waiting { distance: through, column });
        }
        shorter
    }

    /// The nearest column not closed before, and its distance.
    pub(super) fn next(&mut self) -> Option<(u32, f64)> {
        loop {
            let Waiting { distance, column } = self.heap.pop()?;
            if distance <= self.distance[column as usize] {
                return Some((column, distance));
            }
        }
    }

    /// The row through which a column was reached.
    pub(super) fn predecessor(&self, column: u32) -> u32 {
        self.predecessor[column as usize]
    }

    /// No later path to the column is shorter.
    pub(super) fn close(&mut self, column: u32) {
        self.distance[column as usize] = f64::NEG_INFINITY;
    }

    pub(super) fn clear(&mut self) {
        for &column in &self.touched {
            self.distance[column as usize] = f64::INFINITY;
        }
        self.touched.clear();
        self.heap.clear();
        self.nearest_free = f64::INFINITY;
    }
}
