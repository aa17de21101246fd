//! What else an item might have been paired with, and how much dearer that would be.

use super::paired::{PairSide, Paired};
use crate::eval::{Best, Scores};
use candle_core::{Result, Tensor};
use hiref_core::CostKind;
use rayon::prelude::*;
use serde::Serialize;

/// An item of the other side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rival {
    /// Its row.
    pub item: u32,
    /// The cost of the pair with it.
    pub cost: f64,
    /// By how much at least the whole pairing would get dearer with this pair in it.
    pub reduced_cost: f64,
}

/// What one item might have been paired with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rivals {
    /// The item of the other side at the least cost, whoever has it.
    pub nearest: Rival,
    /// The items of the other side that may be partners and are not, of rising reduced cost.
    pub runners_up: Vec<Rival>,
}

/// The `count` best alternatives of each of `items` of one side; O(items · m · d), a tile of rows in memory.
///
/// # Errors
/// A failed tensor operation.
pub fn rivals(paired: &Paired, side: PairSide, items: &[u32], count: usize) -> Result<Vec<Rivals>> {
    let (x, y) = paired.tensors()?;
    let (own, other, prices) = match side {
        PairSide::X => (x, y, paired.potentials(PairSide::Y)),
        PairSide::Y => (y, x, paired.potentials(PairSide::X)),
    };
    let pair = |item: u32, other: u32| if side == PairSide::X { (item, other) } else { (other, item) };
    let any = paired.params().groups.is_none() && paired.params().forbidden.is_empty();
    // Distances from products lose their digits far from the origin.
    let (own, other) = match paired.cost() {
        CostKind::SquaredEuclidean | CostKind::Euclidean => {
            let mean = other.mean_keepdim(0)?;
            (own.broadcast_sub(&mean)?, other.broadcast_sub(&mean)?)
        }
        CostKind::Cosine | CostKind::NegativeInnerProduct => (own, other),
    };
    let own = own.index_select(&Tensor::new(items, own.device())?, 0)?;
    let (own_squares, squares) = (squared_lengths(&own)?, squared_lengths(&other)?);
    let prices: Vec<f32> = prices.iter().map(|&price| price as f32).collect();
    let cost = paired.cost();
    // More than asked for: the partners are among them as a rule. Rounding may reorder equals: they are priced again in f64.
    let found = Scores::new(&own, &other)?.map_rows(|at, row| {
        let item = items[at];
        let (mut best, mut nearest) = (Best::new(count + paired.partners(side, item).len()), Best::new(1));
        for (j, &product) in row.iter().enumerate() {
            let cost = match cost {
                CostKind::NegativeInnerProduct => -product,
                CostKind::Cosine => 1.0 - product,
                CostKind::SquaredEuclidean => own_squares[at] + squares[j] - 2.0 * product,
                CostKind::Euclidean => (own_squares[at] + squares[j] - 2.0 * product).max(0.0).sqrt(),
            };
            let (x, y) = pair(item, j as u32);
            if any || paired.may_be(x, y) {
                best.offer(prices[j] - cost, j as u32);
            }
            nearest.offer(-cost, j as u32);
        }
        [best.sorted(), nearest.sorted()].map(|kept| kept.into_iter().map(|(_, other)| other).collect::<Vec<u32>>())
    })?;
    let of_item = |(&item, [best, nearest]): (&u32, &[Vec<u32>; 2])| {
        let rival = |&other: &u32| {
            let (i, j) = pair(item, other);
            Rival { item: other, cost: paired.between(i, j), reduced_cost: paired.reduced_cost(i, j) }
        };
        let is_partner = |rival: &Rival| paired.partners(side, item).any(|partner| partner == rival.item);
        let mut runners_up: Vec<Rival> = best.iter().map(rival).filter(|rival| !is_partner(rival)).collect();
        runners_up.sort_by(|a, b| a.reduced_cost.total_cmp(&b.reduced_cost));
        runners_up.truncate(count);
        Rivals { nearest: rival(&nearest[0]), runners_up }
    };
    Ok(items.par_iter().zip(&found).map(of_item).collect())
}

/// The squared length of each row.
pub(super) fn squared_lengths(rows: &Tensor) -> Result<Vec<f32>> {
    rows.sqr()?.sum(1)?.to_vec1()
}

/// By how much at least the whole pairing gets dearer where a pair is forbidden: the margin by which it was chosen.
///
/// Both its items would need other partners: the margin is the sum of their least reduced costs, less the pair's own. Where
/// a place may stay free, that is a way out too. `of_x` and `of_y` are the [`rivals`] of both.
pub fn margin(paired: &Paired, [i, j]: [u32; 2], of_x: &Rivals, of_y: &Rivals) -> f64 {
    let least = |side: PairSide, item: u32, rivals: &Rivals| {
        let first = rivals.runners_up.first().map_or(f64::INFINITY, |rival| rival.reduced_cost);
        let free = paired.free_cost(side, item).map(|cost| cost - paired.potentials(side)[item as usize]);
        first.min(free.unwrap_or(f64::INFINITY))
    };
    least(PairSide::X, i, of_x) + least(PairSide::Y, j, of_y) - paired.reduced_cost(i, j)
}

/// The [`margin`] of every pair, in the order of [`Paired::pairs`]; `of_x` and `of_y` have the [`rivals`] of all items.
pub fn margins(paired: &Paired, of_x: &[Rivals], of_y: &[Rivals]) -> Vec<f64> {
    let one = |&[i, j]: &[u32; 2]| margin(paired, [i, j], &of_x[i as usize], &of_y[j as usize]);
    paired.pairs().iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hiref_core::{Permutation, WarmStart};

    fn paired(cost: CostKind) -> Paired {
        let x = Tensor::new(&[[0f32, 1.0], [2.0, 1.0], [5.0, 1.0], [1.0, 3.0]], &Device::Cpu).unwrap();
        let y = Tensor::new(&[[0f32, 1.5], [2.5, 1.0], [4.0, 0.5], [0.5, 3.0], [9.0, 9.0]], &Device::Cpu).unwrap();
        let start = WarmStart::from(Permutation::new(vec![0, 1, 2, 3], 5).unwrap());
        Paired::priced((&x, &y), cost, &start, &()).unwrap()
    }

    #[test]
    fn runners_up_are_the_cheapest_by_brute_force() {
        for cost in CostKind::ALL {
            let paired = paired(cost);
            for (side, items) in [(PairSide::X, 4u32), (PairSide::Y, 5)] {
                let all: Vec<u32> = (0..items).collect();
                for (&item, found) in all.iter().zip(rivals(&paired, side, &all, 2).unwrap()) {
                    let pair = |other: u32| if side == PairSide::X { (item, other) } else { (other, item) };
                    let partner = paired.partners(side, item).next();
                    let others = if side == PairSide::X { 5 } else { 4 };
                    let mut expected: Vec<f64> = (0..others)
                        .filter(|&other| Some(other) != partner)
                        .map(|other| paired.reduced_cost(pair(other).0, pair(other).1))
                        .collect();
                    expected.sort_by(f64::total_cmp);
                    let got: Vec<f64> = found.runners_up.iter().map(|rival| rival.reduced_cost).collect();
                    assert_eq!(got, expected[..2], "{cost} {side:?} {item}");
                    let least = (0..others).map(|other| paired.between(pair(other).0, pair(other).1));
                    assert_eq!(found.nearest.cost, least.fold(f64::INFINITY, f64::min), "{cost} {side:?} {item}");
                }
            }
        }
    }

    /// A margin is a lower bound of what a solve without the pair costs more, by brute force over all pairings.
    #[test]
    fn margins_bound_what_forbidding_a_pair_costs() {
        let paired = paired(CostKind::SquaredEuclidean);
        let of = |side, count: u32| rivals(&paired, side, &(0..count).collect::<Vec<_>>(), 3).unwrap();
        let margins = margins(&paired, &of(PairSide::X, 4), &of(PairSide::Y, 5));
        let cheapest = |forbidden: Option<(u32, u32)>| {
            let mut least = f64::INFINITY;
            for code in 0..5u32.pow(4) {
                let columns: Vec<u32> = (0..4).map(|at| code / 5u32.pow(at) % 5).collect();
                let distinct = (0..4).all(|a| (0..a).all(|b| columns[a] != columns[b]));
                let allowed = forbidden.is_none_or(|(i, j)| columns[i as usize] != j);
                if distinct && allowed {
                    least = least.min((0..4u32).map(|i| paired.between(i, columns[i as usize])).sum());
                }
            }
            least
        };
        let optimum = cheapest(None);
        for (&[i, j], margin) in paired.pairs().iter().zip(margins) {
            let dearer = cheapest(Some((i, j))) - optimum;
            assert!(margin >= -1e-9 && margin <= dearer + 1e-9, "{i}: margin {margin}, really {dearer}");
        }
    }
}
