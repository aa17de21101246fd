//! Whether the pairs of a coupling follow from one another, and the map that they give where they do.

use super::error::AlignError;
use super::joint::{Joint, ReferenceItems, rows};
use super::params::RefinementParams;
use super::refinement::{Sides, ridge_both_ways, select};
use super::warm_coupling::WarmCoupler;
use crate::eval::Scores;
use crate::map::TwoWayMap;
use candle_core::Tensor;
use hiref_core::Permutation;

/// Parts of the pairs, each of which is judged by the others.
const PARTS: usize = 16;
/// Pairs of either half that are looked at.
const PROBES: ReferenceItems = ReferenceItems { limit: 1024, seed: 0 };

/// Ridge maps both ways in the last dimension, from the known pairs and from pairs of free items that are trusted as much.
///
/// Pairs most of which are right are better targets than means of candidates: text embeddings of 116,659 items, of which 88%
/// had their own partner, R@1 .971 / .982 in place of .951 / .964, and 93% in the next coupling. Where half of the pairs are
/// wrong it is the other way round: emoji of two vendors lose .005 to .016.
pub(super) fn fitted_to(
    sides: &Sides<'_>,
    params: &RefinementParams,
    pairs: &[(u32, u32)],
) -> Result<TwoWayMap, AlignError> {
    let (x, y) = sides.view(params.last_dimension)?;
    let (i, j): (Vec<u32>, Vec<u32>) = pairs.iter().chain(sides.anchors).copied().unzip();
    ridge_both_ways(&select(&x, &i)?, &select(&y, &j)?, sides.views, params.penalty)
}

/// Joint coordinates of the free items, each by maps fitted to pairs without its own ([`fitted_to`]).
///
/// A map in many dimensions that has seen a wrong pair scores it higher than any other would, and the next coupling keeps it.
/// Measured after a coupling of text embeddings with 50 known pairs, 4,000 items, 96.4% with their own partner: 98.0% by four
/// parts of the pairs, 98.6% by sixteen.
fn joint_by_others(
    sides: &Sides<'_>,
    params: &RefinementParams,
    pairs: &[(u32, u32)],
    reference: ReferenceItems,
) -> Result<Joint, AlignError> {
    let free = sides.free()?;
    let (x, y) = sides.view(params.last_dimension)?;
    let parts = PARTS.min(pairs.len()).max(1);
    // Items without a partner go with the first part.
    let (mut part_of_x, mut part_of_y) = (vec![0; free.x.len()], vec![0; free.y.len()]);
    for (at, (i, j)) in free.positions(pairs).into_iter().enumerate() {
        (part_of_x[i as usize], part_of_y[j as usize]) = (at % parts, at % parts);
    }
    let members = |part_of: &[usize], part: usize| -> Vec<u32> {
        (0..part_of.len() as u32).filter(|&at| part_of[at as usize] == part).collect()
    };
    let (mut joint_x, mut joint_y) = (Vec::new(), Vec::new());
    for part in 0..parts {
        let others = pairs.iter().enumerate().filter(|(at, _)| parts == 1 || at % parts != part).map(|(_, &pair)| pair);
        let map = fitted_to(sides, params, &others.collect::<Vec<_>>())?;
        let items = |free: &[u32], part_of: &[usize]| -> Vec<u32> {
            members(part_of, part).into_iter().map(|at| free[at as usize]).collect()
        };
        let (of_x, of_y) = (select(&x, &items(&free.x, &part_of_x))?, select(&y, &items(&free.y, &part_of_y))?);
        let joint = map.joint(&of_x, &of_y)?;
        joint_x.push(joint.0);
        joint_y.push(joint.1);
    }
    let in_order = |rows: &[Tensor], part_of: &[usize]| -> Result<Tensor, AlignError> {
        let mut place = vec![0; part_of.len()];
        let order = (0..parts).flat_map(|part| members(part_of, part));
        order.enumerate().for_each(|(at, item)| place[item as usize] = at as u32);
        Ok(select(&Tensor::cat(rows, 0)?, &place)?)
    };
    Ok(Joint::new(&in_order(&joint_x, &part_of_x)?, &in_order(&joint_y, &part_of_y)?, reference)?)
}

/// One more coupling where pairs are trusted, by [`joint_by_others`], and the map that is fitted to it. `pairs` are (x index, y
/// index) of free items; the coupling is of the free items by rising index. O(pairs (k + l)²) for each of 16 parts, and a coupling.
pub(super) fn coupled_by_pairs(
    sides: &Sides<'_>,
    params: &RefinementParams,
    pairs: &[(u32, u32)],
    reference: ReferenceItems,
    coupler: &mut WarmCoupler<'_>,
) -> Result<(Permutation, TwoWayMap), AlignError> {
    let coupling = coupler.couple(&joint_by_others(sides, params, pairs, reference)?)?;
    let map = fitted_to(sides, params, &sides.free()?.pairs(&coupling))?;
    Ok((coupling, map))
}

/// Share of the pairs that predict themselves: whose partners are the nearest, among the first `dimension` axes, under the maps
/// fitted to the known pairs and to the pairs of the other half of the items, in both directions on average. Near 1 where
/// pairs are right, near 0 where the map is right but the items have no partners, or the wrong ones. O(pairs (k + l)²), and
/// 4,096 rows of scores.
pub(super) fn predicted(
    sides: &Sides<'_>,
    (dimension, penalty): (usize, f64),
    pairs: &[(u32, u32)],
    reference: ReferenceItems,
) -> Result<f64, AlignError> {
    let (x, y) = sides.view(dimension)?;
    let half = |parity: usize| pairs.iter().copied().skip(parity).step_by(2).collect::<Vec<_>>();
    let halves = [half(0), half(1)];
    if halves[1].is_empty() {
        return Ok(0.0);
    }
    let hits = |(fitted, judged): (usize, usize)| -> Result<f64, AlignError> {
        let (i, j): (Vec<u32>, Vec<u32>) = halves[fitted].iter().chain(sides.anchors).copied().unzip();
        let map = ridge_both_ways(&select(&x, &i)?, &select(&y, &j)?, sides.views, penalty)?;
        // Some of the judged pairs, among as many rivals as all searches for neighbours have.
        let chosen = PROBES.of(halves[judged].len(), 22);
        let judged: Vec<(u32, u32)> = match chosen {
            None => halves[judged].clone(),
            Some(chosen) => chosen.iter().map(|&at| halves[judged][at as usize]).collect(),
        };
        let (i, j): (Vec<u32>, Vec<u32>) = judged.into_iter().unzip();
        let (joint_x, joint_y) = map.joint(&x, &y)?;
        let one_way = |probes: &Tensor, partners: &Tensor, rivals: &Tensor| -> Result<f64, AlignError> {
            let rivals = rows(rivals, reference.of(rivals.dim(0)?, 23).as_deref())?;
            let own: Vec<f32> = (probes * partners)?.sum(1)?.to_vec1()?;
            // One entry of a row may be the partner's own: rounding must not make it a rival.
            let first =
                Scores::new(probes, &rivals)?.map_rows(|at, row| row.iter().all(|&score| score <= own[at] + 1e-5))?;
            Ok(first.iter().filter(|&&first| first).count() as f64 / first.len().max(1) as f64)
        };
        let (probes_x, probes_y) = (select(&joint_x, &i)?, select(&joint_y, &j)?);
        Ok(f64::midpoint(one_way(&probes_x, &probes_y, &joint_y)?, one_way(&probes_y, &probes_x, &joint_x)?))
    };
    Ok(f64::midpoint(hits((0, 1))?, hits((1, 0))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::align::CouplingParams;
    use crate::map::unit_rows;
    use candle_core::Device;
    use hiref_core::rng;
    use rand::seq::SliceRandom;
    use rand_distr::{Distribution, StandardNormal};

    const ITEMS: usize = 400;
    const DIMENSION: usize = 8;

    /// Items, and the same turned by a fixed permutation of their coordinates, with noise.
    fn turned(noise: f64) -> (Tensor, Tensor) {
        let mut generator = rng::stream(6, &[]);
        let mut normal = || -> Tensor {
            let values: Vec<f32> = (0..ITEMS * DIMENSION).map(|_| StandardNormal.sample(&mut generator)).collect();
            unit_rows(&Tensor::from_vec(values, (ITEMS, DIMENSION), &Device::Cpu).unwrap()).unwrap()
        };
        let (x, errors) = (normal(), normal());
        let turned = x.index_select(&Tensor::new(&[3u32, 0, 7, 1, 6, 2, 5, 4], &Device::Cpu).unwrap(), 1).unwrap();
        let y = unit_rows(&(turned + (errors * noise).unwrap()).unwrap()).unwrap();
        (x, y)
    }

    /// True pairs predict one another, others do not.
    #[test]
    fn only_right_pairs_predict_themselves() {
        let (x, y) = turned(0.05);
        let sides = Sides { x: &x, y: &y, views: None, anchors: &[] };
        let share = |partners: &[u32]| {
            let pairs: Vec<(u32, u32)> = (0..ITEMS as u32).zip(partners.iter().copied()).collect();
            predicted(&sides, (DIMENSION, 0.25), &pairs, ReferenceItems { limit: 1000, seed: 0 }).unwrap()
        };
        let truth: Vec<u32> = (0..ITEMS as u32).collect();
        let mut wrong = truth.clone();
        wrong.shuffle(&mut rng::stream(3, &[]));
        assert!(share(&truth) > 0.9 && share(&wrong) < 0.1, "{} {}", share(&truth), share(&wrong));
    }

    /// A tenth of the partners exchanged, some y without any: all find their own again, and the map is as good as of true pairs.
    #[test]
    fn a_coupling_by_pairs_mends_wrong_ones() {
        let (x, y) = turned(0.05);
        // Some y have no partner.
        let x = x.narrow(0, 0, ITEMS - 7).unwrap();
        let anchors = [(5, 5), (ITEMS as u32 - 8, ITEMS as u32 - 8)];
        let sides = Sides { x: &x, y: &y, views: None, anchors: &anchors };
        let params = RefinementParams { last_dimension: DIMENSION, ..RefinementParams::unpaired() };
        let mut pairs: Vec<(u32, u32)> = sides.free().unwrap().x.iter().map(|&i| (i, i)).collect();
        for at in (0..pairs.len() - 10).step_by(20) {
            (pairs[at].1, pairs[at + 7].1) = (pairs[at + 7].1, pairs[at].1);
        }
        let couplings = CouplingParams::default();
        let mut coupler = WarmCoupler::new(&couplings, &(), "test");
        let reference = ReferenceItems { limit: 1000, seed: 0 };
        let (coupling, map) = coupled_by_pairs(&sides, &params, &pairs, reference, &mut coupler).unwrap();
        let found = sides.free().unwrap().pairs(&coupling);
        let wrong = found.iter().filter(|(i, j)| i != j).count();
        assert!(found.len() == ITEMS - 9 && wrong <= 2, "{wrong} of {} wrong", found.len());
        let image = unit_rows(&map.forward.apply(&x).unwrap()).unwrap();
        let cosine = (image * y.narrow(0, 0, ITEMS - 7).unwrap()).unwrap().sum(1).unwrap().mean(0).unwrap();
        let cosine: f32 = cosine.to_scalar().unwrap();
        assert!(cosine > 0.97, "{cosine}");
    }
}
