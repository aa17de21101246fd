//! Candidates of the y points that hardly any x point lists.

use super::candidates::Pricing;
use crate::assignment::sparse::Edge;
use rayon::prelude::*;

/// A y point that so many x points list has enough of them.
const ENOUGH: u32 = 4;
/// x points that each of the others gets.
const WIDTH: usize = 4;

/// Further candidates, ordered by x point: for each y point that fewer than four x points list, the four of least `c_ij - f_i`, where f are the least
/// reduced costs; `price` finds those of some y points, by rising order, as rows. `None` if it does not.
///
/// If k + 1 x points list the same k y points, one of them is left with its present partner, and the prices of all k fall until that one is as
/// good: somewhere a y point is missing from a list, one that hardly anybody lists. Measured on one mixture of 64 dimensions, 65,536 points, a cost of
/// 77.3: the bound by the prices of the first round is .05% below the cost; without these candidates it proves nothing, the prices are off by 335. One
/// round over generated embeddings of 128 dimensions, 3,000 points, ends .13 to .24% above the optimum, with enough at two .23 to .51%. O(their
/// number · n · d), a tenth to a third of a pass over all pairs.
pub(super) fn candidates_of_unlisted(
    pricing: &Pricing,
    num_y: usize,
    price: impl FnOnce(&[u32], usize) -> Option<Pricing>,
) -> Option<Vec<Edge>> {
    let mut listed = vec![0_u32; num_y];
    pricing.columns.iter().for_each(|&j| listed[j as usize] += 1);
    let unlisted: Vec<u32> = (0..listed.len() as u32).filter(|&j| listed[j as usize] < ENOUGH).collect();
    if unlisted.is_empty() {
        return Some(Vec::new());
    }
    let found = price(&unlisted, WIDTH)?;
    Some(candidates_of_columns(&found, |at| unlisted[at]))
}

/// What columns list, row by row; `column` tells which one is at a place of `found`.
pub(super) fn candidates_of_columns(found: &Pricing, column: impl Fn(usize) -> u32) -> Vec<Edge> {
    let lists = found.columns.chunks(found.width).zip(found.costs.chunks(found.width)).enumerate();
    let mut candidates: Vec<Edge> = Vec::with_capacity(found.columns.len());
    for (at, (rows, costs)) in lists {
        let j = column(at);
        candidates.extend(rows.iter().zip(costs).map(|(&i, &cost)| (i, j, cost)));
    }
    candidates.par_sort_unstable_by_key(|&(i, j, _)| (i, j));
    candidates.dedup_by_key(|&mut (i, j, _)| (i, j));
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::CostKind;
    use crate::geometry::Supports;
    use crate::points::Rows;
    use crate::pricing::pricer::{CANDIDATES, Pricer};
    use hiref_testkit::problems;

    #[test]
    fn they_are_those_of_least_reduced_cost() {
        let (n, d) = (300, 6);
        let instance = problems::mixture(n, n, d, 4);
        for cost in CostKind::ALL {
            let supports = Supports::new(Rows::of(&instance.x, d), Rows::of(&instance.y, d), cost);
            let pricer = Pricer::new(supports, None);
            let y_of_x: Vec<u32> = (0..n as u32).collect();
            let pricing = pricer.price(&y_of_x, &vec![0.0; n], CANDIDATES, &|| false).unwrap();
            let some = |some: &[u32], width| pricer.price_some_y(&y_of_x, some, &pricing.floor, width, &|| false);
            let found = candidates_of_unlisted(&pricing, n, some).unwrap();
            assert!(found.is_sorted_by_key(|&(i, j, _)| (i, j)));
            let mut given = 0;
            for j in 0..n as u32 {
                let mut those: Vec<u32> = found.iter().filter(|entry| entry.1 == j).map(|entry| entry.0).collect();
                if pricing.columns.iter().filter(|&&column| column == j).count() >= ENOUGH as usize {
                    assert!(those.is_empty());
                    continue;
                }
                given += 1;
                let reduced = |&i: &u32| supports.between(i, j) - pricing.floor[i as usize];
                let mut expected: Vec<u32> = (0..n as u32).collect();
                expected.sort_by(|a, b| reduced(a).total_cmp(&reduced(b)));
                expected.truncate(WIDTH);
                those.sort_unstable();
                expected.sort_unstable();
                assert_eq!(those, expected, "{cost}, y point {j}");
            }
            assert!(given > 20, "{cost}: {given}");
            assert!(found.iter().all(|&(i, j, value)| value == supports.between(i, j)));
        }
    }
}
