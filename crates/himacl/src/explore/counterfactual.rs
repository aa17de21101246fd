//! Which single removal would give an item another partner.

use super::paired::{PairSide, Paired};
use super::rivals::Rivals;
use hiref_core::assignment::{AssignmentSolver, CostMatrix};
use serde::Serialize;

/// Removals tried for one pair, at most.
const TRIED: usize = 8;
/// How much dearer than any other a pair counts that may not be.
const FORBIDDEN: f64 = 1e3;

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

/// The single removals of an x item that would take a pair apart, the largest change first: one in the cost that i itself bears.
///
/// The pairs around it are made again without the removed item, exactly; all others are held, and single items stay single.
/// `around` has the pairs that may change, the pair itself among them (see [`neighbourhood`]); those who hold the
/// runners-up of i are tried.
///
/// *Complexity*: O(s² d + s³) for s pairs around, then near O(s²) for each of at most 8 removals.
pub fn removals(paired: &Paired, [i, j]: [u32; 2], of_i: &Rivals, around: &[[u32; 2]]) -> Vec<Removal> {
    if !around.contains(&[i, j]) {
        return Vec::new();
    }
    let mut costs: Vec<f64> =
        around.iter().flat_map(|&[x, _]| around.iter().map(move |&[_, y]| paired.between(x, y))).collect();
    let size = around.len();
    let largest = costs.iter().fold(0.0f64, |largest, cost| largest.max(cost.abs()));
    for (at, cost) in costs.iter_mut().enumerate() {
        if !paired.may_be(around[at / size][0], around[at % size][1]) {
            *cost = FORBIDDEN * (largest + 1.0);
        }
    }
    let mut matrix = CostMatrix::<f64>::default();
    let mut solver = AssignmentSolver::default();
    // The pairs that are made, by x, then y: an item with several partners has several rows or columns, which are alike.
    let mut solve = |without: Option<u32>| -> Vec<[u32; 2]> {
        matrix.resize(size);
        for (row, out) in matrix.rows_mut().enumerate() {
            // In the place of the removed item stands one that costs the same with everything: it takes what is left.
            if Some(around[row][0]) == without {
                out.fill(0.0);
            } else {
                out.copy_from_slice(&costs[row * size..][..size]);
            }
        }
        let columns = solver.solve(&matrix).column_of_row;
        let mut pairs: Vec<[u32; 2]> =
            columns.iter().zip(around).map(|(&column, &[x, _])| [x, around[column as usize][1]]).collect();
        pairs.sort_unstable();
        pairs
    };
    // What changes without any removal, where the pairing is not optimal, is no effect of one.
    let before = solve(None);
    let nearest = std::iter::once(&of_i.nearest);
    let mut held: Vec<u32> = nearest
        .chain(&of_i.runners_up)
        .flat_map(|rival| around.iter().filter(move |pair| pair[1] == rival.item).map(|pair| pair[0]))
        .collect();
    let mut seen = std::collections::HashSet::from([i]);
    held.retain(|&x| seen.insert(x));
    let mut found: Vec<Removal> = held
        .into_iter()
        .take(TRIED)
        .filter_map(|removed| {
            let after = solve(Some(removed));
            let partners = |pairs: &[[u32; 2]], x: u32| -> Vec<u32> {
                pairs.iter().filter(|pair| pair[0] == x).map(|pair| pair[1]).collect()
            };
            let (own_before, own_after) = (partners(&before, i), partners(&after, i));
            // Of an item with several partners it is this one that has to go.
            let several = own_before.len() > 1;
            if own_before == own_after || (several && own_after.contains(&j)) {
                return None;
            }
            let partner = *own_after.iter().find(|y| !own_before.contains(y))?;
            let mut others: Vec<u32> = around.iter().map(|pair| pair[0]).filter(|&x| x != i && x != removed).collect();
            others.sort_unstable();
            others.dedup();
            others.retain(|&x| partners(&before, x) != partners(&after, x));
            Some(Removal { removed, partner, cost: paired.between(i, partner), others: others.len() as u32 })
        })
        .collect();
    found.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    found
}

/// The pairs that may change with a pair: itself, those that hold what is nearest to its x and its runners-up, and
/// theirs in turn, at most `most`. `rivals_of(x)` are the [`rivals`](super::rivals()) of an x item, where they are known.
pub fn neighbourhood<'a>(
    paired: &Paired,
    pair: [u32; 2],
    most: usize,
    rivals_of: impl Fn(u32) -> Option<&'a Rivals>,
) -> Vec<[u32; 2]> {
    let mut around = vec![pair];
    let mut next = 0;
    while next < around.len() && around.len() < most {
        let [x, _] = around[next];
        next += 1;
        let Some(rivals) = rivals_of(x) else { continue };
        for rival in std::iter::once(&rivals.nearest).chain(&rivals.runners_up) {
            for holder in paired.partners(PairSide::Y, rival.item) {
                let held = [holder, rival.item];
                if around.len() < most && !around.contains(&held) {
                    around.push(held);
                }
            }
        }
    }
    around
}
