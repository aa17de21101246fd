//! An auction, which brings partners and prices near the optimum.

use super::assignment::{Assignment, Looseness};

/// The first epsilon is this share of the mean slack, the following ones a fourth of the one before.
const FIRST: f64 = 0.5;
const SCALES: usize = 5;
const SMALLER: f64 = 4.0;
/// Bids for each row at most, under one epsilon. As a rule there are two to twenty.
const MOST_BIDS: usize = 256;

/// Lets all rows bid, each time for a price lower by some epsilon than need be, which becomes ever smaller; after each, few partners are
/// dearer than the best candidate by more than epsilon. `None` if asked to stop.
///
/// Without epsilon rows whose two best candidates are the same two columns bid no further, and each of them needs a shortest path, through
/// whole clusters at times: two mixtures of 16 dimensions, 262,144 rows, 50 s of paths, where the auction takes 4 and leaves paths of 0.3 million
/// columns in all. For as many rows as columns: a column that nobody has would keep too low a price.
///
/// References: \[B88\]. O(edges) for each pass.
pub(super) fn auction(assignment: &mut Assignment<'_>, should_stop: &dyn Fn() -> bool) -> Option<()> {
    let rows = assignment.num_rows();
    let (mut slack, mut noise) = (0.0, 0.0);
    for row in 0..rows {
        let own: Looseness = assignment.looseness(row);
        slack += own.slack / f64::from(rows);
        noise += own.rounding / f64::from(rows);
    }
    let mut epsilon = FIRST * slack;
    for _ in 0..SCALES {
        if epsilon <= noise {
            break;
        }
        let (mut free, mut bids) = (assignment.free_loose_rows(epsilon), 0);
        while !free.is_empty() && bids < MOST_BIDS * rows as usize {
            if should_stop() {
                return None;
            }
            let (left, made) = assignment.bid(free, epsilon);
            (free, bids) = (left, bids + made);
        }
        epsilon /= SMALLER;
    }
    Some(())
}
