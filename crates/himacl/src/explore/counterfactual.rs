//! Which single removal would give an item another partner.

use super::paired::Paired;
use super::rivals::Rivals;
use hiref_core::assignment::{AssignmentSolver, CostMatrix};
use serde::Serialize;
use std::collections::HashMap;

/// Removals tried for one pair, at most.
const TRIED: usize = 8;

/// What the removal of one item would do to a pair.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Removal {
    /// The x item that is removed.
    pub removed: u32,
    /// The partner that i would have then.
    pub partner: u32,
    /// Its cost.
    pub cost: f64,
    /// Other items that would change their partners too.
    pub others: u32,
}

/// The single removals of an x item that would give i another partner, the largest change first: one in the cost that i itself bears.
///
/// The pairs around i are paired again without the removed item, exactly; all others are held. `around` has the pairs
/// that may change, i's own among them (see [`neighbourhood`]); those who hold the runners-up of i are tried.
///
/// *Complexity*: O(s² d + s³) for s pairs around, then near O(s²) for each of at most 8 removals.
pub fn removals(paired: &Paired, i: u32, of_i: &Rivals, around: &[(u32, u32)]) -> Vec<Removal> {
    let Some(own) = around.iter().position(|&(x, _)| x == i) else { return Vec::new() };
    let place: HashMap<u32, usize> = around.iter().enumerate().map(|(at, &(_, y))| (y, at)).collect();
    let costs: Vec<f64> =
        around.iter().flat_map(|&(x, _)| around.iter().map(move |&(_, y)| paired.between(x, y))).collect();
    let size = around.len();
    let mut matrix = CostMatrix::<f64>::default();
    let mut solver = AssignmentSolver::default();
    let mut solve = |without: Option<usize>| -> Vec<u32> {
        matrix.resize(size);
        for (row, out) in matrix.rows_mut().enumerate() {
            // In the place of the removed item stands one that costs the same with everything: it takes what is left.
            if Some(row) == without { out.fill(0.0) } else { out.copy_from_slice(&costs[row * size..][..size]) }
        }
        solver.solve(&matrix).column_of_row.to_vec()
    };
    // What changes without any removal, where the pairing is not optimal, is no effect of one.
    let before = solve(None);
    let nearest = std::iter::once(&of_i.nearest);
    let mut held: Vec<usize> =
        nearest.chain(&of_i.runners_up).filter_map(|rival| place.get(&rival.item).copied()).collect();
    let mut seen = vec![false; size];
    held.retain(|&at| at != own && !std::mem::replace(&mut seen[at], true));
    let mut found: Vec<Removal> = held
        .into_iter()
        .take(TRIED)
        .filter_map(|removed| {
            let after = solve(Some(removed));
            let changed = |row: usize| row != removed && after[row] != before[row];
            changed(own).then(|| Removal {
                removed: around[removed].0,
                partner: around[after[own] as usize].1,
                cost: costs[own * size + after[own] as usize],
                others: (0..size).filter(|&row| row != own && changed(row)).count() as u32,
            })
        })
        .collect();
    found.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    found
}

/// The pairs that may change with that of i: its own, those that hold what is nearest to it and its runners-up, and
/// theirs in turn, at most `most`. `rivals_of(x)` are the [`rivals`](super::rivals()) of an x item, where they are known.
pub fn neighbourhood<'a>(
    paired: &Paired,
    i: u32,
    most: usize,
    rivals_of: impl Fn(u32) -> Option<&'a Rivals>,
) -> Vec<(u32, u32)> {
    let mut around: Vec<(u32, u32)> = paired.y_of_x(i).map(|j| (i, j)).into_iter().collect();
    let mut next = 0;
    while next < around.len() && around.len() < most {
        let (x, _) = around[next];
        next += 1;
        let Some(rivals) = rivals_of(x) else { continue };
        for rival in std::iter::once(&rivals.nearest).chain(&rivals.runners_up) {
            if let Some(holder) = paired.x_of_y(rival.item)
                && around.len() < most
                && !around.iter().any(|&(x, _)| x == holder)
            {
                around.push((holder, rival.item));
            }
        }
    }
    around
}
