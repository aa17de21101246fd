//! The rows of each column of an assignment in which a column takes several.

use super::frontier::FREE;

/// Which column each row has, and which rows each column: lists threaded through the rows, O(rows + columns) memory.
pub(super) struct RowLists<'a> {
    column_of_row: &'a mut [u32],
    first: Vec<u32>,
    next: Vec<u32>,
    previous: Vec<u32>,
    count: Vec<u32>,
}

impl<'a> RowLists<'a> {
    pub(super) fn new(column_of_row: &'a mut [u32], columns: usize) -> Self {
        let rows = column_of_row.len();
        let mut lists = Self {
            column_of_row,
            first: vec![FREE; columns],
            next: vec![FREE; rows],
            previous: vec![FREE; rows],
            count: vec![0; columns],
        };
        for row in 0..rows as u32 {
            let column = lists.column(row);
            if column != FREE {
                lists.insert(row, column);
            }
        }
        lists
    }

    /// The column of a row, or [`FREE`].
    pub(super) fn column(&self, row: u32) -> u32 {
        self.column_of_row[row as usize]
    }

    /// How many rows a column has.
    pub(super) fn count(&self, column: u32) -> u32 {
        self.count[column as usize]
    }

    /// One row of a column, or [`FREE`].
    pub(super) fn first(&self, column: u32) -> u32 {
        self.first[column as usize]
    }

    /// The row after this one in the list of its column, or [`FREE`].
    pub(super) fn next(&self, row: u32) -> u32 {
        self.next[row as usize]
    }

    /// Gives a row another column, or none.
    pub(super) fn put(&mut self, row: u32, column: u32) {
        let old = self.column(row);
        if old != FREE {
            let (previous, next) = (self.previous[row as usize], self.next[row as usize]);
            if previous == FREE {
                self.first[old as usize] = next;
            } else {
                self.next[previous as usize] = next;
            }
            if next != FREE {
                self.previous[next as usize] = previous;
            }
            self.count[old as usize] -= 1;
        }
        self.column_of_row[row as usize] = column;
        if column != FREE {
            self.insert(row, column);
        }
    }

    fn insert(&mut self, row: u32, column: u32) {
        let first = std::mem::replace(&mut self.first[column as usize], row);
        self.next[row as usize] = first;
        self.previous[row as usize] = FREE;
        if first != FREE {
            self.previous[first as usize] = row;
        }
        self.count[column as usize] += 1;
    }
}
