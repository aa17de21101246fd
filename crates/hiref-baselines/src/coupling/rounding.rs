//! From a soft coupling to a one-to-one pairing, by rules that know the coupling alone.

use super::{EntropicCoupling, one_to_one};
use hiref_core::{Event, Observer, Permutation, Phase, UNMATCHED, rng};
use std::cmp::Ordering;
use std::time::Instant;

/// Partners that a point lists in a round.
const CANDIDATES: usize = 16;

/// An entry of the coupling that could become a pair.
struct Entry {
    log_probability: f64,
    row: u32,
    column: u32,
    /// Orders equal probabilities.
    key: (u64, u64),
}

impl Entry {
    fn order(&self, other: &Self) -> Ordering {
        let by_probability = other.log_probability.total_cmp(&self.log_probability);
        by_probability.then(self.key.cmp(&other.key)).then((self.row, self.column).cmp(&(other.row, other.column)))
    }
}

/// Greedy choice in rounds, for a coupling with n <= m; `None` where the observer says stop. See [`EntropicCoupling::round`].
pub(super) fn round_greedily(coupling: &EntropicCoupling, seed: u64, observer: &dyn Observer) -> Option<Permutation> {
    let started = Instant::now();
    let (n, m) = (coupling.cost().num_x(), coupling.cost().num_y());
    observer.on_event(&Event::PhaseStarted { phase: Phase::Rounding, total: n as u64 });
    let key = |side: u64, index: u32| rng::order_key(seed, (side << 32) | u64::from(index));
    let mut y_of_x = vec![UNMATCHED; n];
    let mut taken = vec![false; m];
    let mut rows: Vec<u32> = (0..n as u32).collect();
    let mut columns: Vec<u32> = (0..m as u32).collect();
    while !rows.is_empty() {
        let whole = rows.len() == n && columns.len() == m;
        let rest = (!whole).then(|| coupling.restricted(&rows, &columns));
        let rest = rest.as_ref().unwrap_or(coupling);
        let offsets = rest.row_offsets();
        let count = CANDIDATES.min(columns.len());
        let candidates =
            rest.candidates(CANDIDATES, &|column| key(1, columns[column as usize]), &|| observer.should_stop())?;
        let mut entries: Vec<Entry> = Vec::with_capacity(candidates.len());
        for (row, candidates) in candidates.chunks_exact(count).enumerate() {
            for &(exponent, column) in candidates {
                let (row_index, column) = (rows[row], columns[column as usize]);
                let key = (key(0, row_index), key(1, column));
                entries.push(Entry { log_probability: offsets[row] + exponent, row: row_index, column, key });
            }
        }
        entries.sort_unstable_by(Entry::order);
        for entry in &entries {
            let (row, column) = (entry.row as usize, entry.column as usize);
            if y_of_x[row] == UNMATCHED && !taken[column] {
                y_of_x[row] = entry.column;
                taken[column] = true;
            }
        }
        let before = rows.len();
        rows.retain(|&row| y_of_x[row as usize] == UNMATCHED);
        columns.retain(|&column| !taken[column as usize]);
        observer.on_event(&Event::Advanced { phase: Phase::Rounding, work: (before - rows.len()) as u64 });
    }
    observer.on_event(&Event::PhaseFinished { phase: Phase::Rounding, seconds: started.elapsed().as_secs_f64() });
    Some(one_to_one(y_of_x, m))
}
