//! The loop that grows a map from a few known pairs: couple, believe the surest, refit, look at more dimensions.

use super::confidence::{confidence, pair_scores, surest};
use super::error::AlignError;
use super::joint::{Joint, ReferenceItems};
use super::params::RefinementParams;
use super::report::RoundReport;
use super::softening::Softening;
use super::structure::density_profiles;
use super::warm_coupling::WarmCoupler;
use crate::map::{LinearMap, Map, TwoWayMap, unit_rows};
use candle_core::{Result, Tensor};
use hiref_core::{AlignmentRound, Permutation, rng};
use rand::Rng;
use std::borrow::Cow;
use std::time::Instant;

/// Names the streams of the coordinates left out.
const DROPOUT: u64 = 0x6472_6f70;

/// Names the stream of the pairs that are looked at.
const DRAWN_PAIRS: u64 = 24;

/// A known pair weighs at least as much as so many targets that are means over candidates.
const ANCHOR_WORTH: f64 = 3.0;

/// Ridge penalty of a first map whose targets are means afterwards, relative to the mean square of a known pair's inputs
/// divided by their number: nearly a sum over known pairs, which says more of few pairs than what interpolates them.
const ANCHOR_PENALTY: f64 = 3.0;

/// The whitened coordinates of both sides, of falling variance, and the known pairs.
pub(crate) struct Sides<'a> {
    /// `(n, k)`.
    pub(crate) x: &'a Tensor,
    /// `(m, k)`.
    pub(crate) y: &'a Tensor,
    /// Where the columns are those of two views.
    pub(crate) views: Option<Views>,
    /// Known pairs (x index, y index).
    pub(crate) anchors: &'a [(u32, u32)],
}

/// Coordinates of two views side by side: each has maps of its own, and the scores are those of both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Views {
    /// Columns of the first view of x.
    pub(crate) x: usize,
    /// Of y.
    pub(crate) y: usize,
}

impl Views {
    fn swapped(self) -> Self {
        Self { x: self.y, y: self.x }
    }
}

/// The items that no known pair names, by rising index.
#[derive(Clone)]
pub(crate) struct Free {
    pub(crate) x: Vec<u32>,
    pub(crate) y: Vec<u32>,
}

impl Free {
    /// A coupling of free items by the items' own indices.
    pub(crate) fn pairs(&self, coupling: &Permutation) -> Vec<(u32, u32)> {
        coupling.pairs().map(|(i, j)| (self.x[i], self.y[j])).collect()
    }

    /// Pairs of free items by their positions among the free ones.
    pub(crate) fn positions(&self, pairs: &[(u32, u32)]) -> Vec<(u32, u32)> {
        let at = |free: &[u32], item: u32| free.binary_search(&item).expect("hidden pairs are free") as u32;
        pairs.iter().map(|&(i, j)| (at(&self.x, i), at(&self.y, j))).collect()
    }
}

/// What the loop found.
pub(crate) struct Refined {
    /// From the known pairs alone, in the first dimension.
    pub(crate) start: TwoWayMap,
    /// In the last dimension.
    pub(crate) map: TwoWayMap,
    /// The rounds.
    pub(crate) rounds: Vec<RoundReport>,
}

impl Sides<'_> {
    /// Unit rows of the first `dimension` coordinates of both sides; of all coordinates where there are two views, which
    /// are of unit length as they come.
    pub(crate) fn view(&self, dimension: usize) -> Result<(Tensor, Tensor)> {
        if self.views.is_some() {
            return Ok((self.x.clone(), self.y.clone()));
        }
        let view = |side: &Tensor| unit_rows(&side.narrow(1, 0, dimension.min(side.dim(1)?))?.contiguous()?);
        Ok((view(self.x)?, view(self.y)?))
    }

    /// The items that no known pair names.
    pub(crate) fn free(&self) -> Result<Free> {
        let without = |count: usize, taken: &dyn Fn(&(u32, u32)) -> u32| {
            let mut free = vec![true; count];
            self.anchors.iter().for_each(|pair| free[taken(pair) as usize] = false);
            (0..count as u32).filter(|&at| free[at as usize]).collect()
        };
        Ok(Free { x: without(self.x.dim(0)?, &|pair| pair.0), y: without(self.y.dim(0)?, &|pair| pair.1) })
    }
}

/// Runs `rounds` rounds of the loop from the known pairs.
pub(crate) fn refine(
    sides: &Sides<'_>,
    params: &RefinementParams,
    rounds: usize,
    reference: ReferenceItems,
    coupler: &mut WarmCoupler<'_>,
) -> std::result::Result<Refined, AlignError> {
    let (anchors_x, anchors_y): (Vec<u32>, Vec<u32>) = sides.anchors.iter().copied().unzip();
    let (x, y) = sides.view(params.first_dimension)?;
    let penalty = if params.couples() {
        params.penalty
    } else {
        let columns = sides.views.map_or(x.dim(1)?, |views| views.x);
        params.penalty.max(ANCHOR_PENALTY * columns as f64 / anchors_x.len() as f64)
    };
    let start = ridge_both_ways(&select(&x, &anchors_x)?, &select(&y, &anchors_y)?, sides.views, penalty)?;
    refine_from(sides, params, start, rounds, reference, coupler)
}

/// Runs `rounds` rounds of the loop from a map between the views in the first dimension; there may be no known pair.
pub(crate) fn refine_from(
    sides: &Sides<'_>,
    params: &RefinementParams,
    start: TwoWayMap,
    rounds: usize,
    reference: ReferenceItems,
    coupler: &mut WarmCoupler<'_>,
) -> std::result::Result<Refined, AlignError> {
    let free = sides.free()?;
    let (anchors_x, anchors_y): (Vec<u32>, Vec<u32>) = sides.anchors.iter().copied().unzip();
    let (mut x, mut y) = sides.view(params.first_dimension)?;
    let (mut map, mut last, mut reports) = (start.clone(), Vec::new(), Vec::new());
    if free.x.is_empty() || free.y.is_empty() {
        let (x, y) = sides.view(params.last_dimension)?;
        map = ridge_both_ways(&select(&x, &anchors_x)?, &select(&y, &anchors_y)?, sides.views, params.penalty)?;
        return Ok(Refined { start, map, rounds: reports });
    }
    let profiles =
        if rounds > 1 && params.structure > 0.0 { Some(profiles(sides, params, &free, reference)?) } else { None };
    for round in 0..rounds {
        let started = Instant::now();
        let progress = round as f64 / (rounds - 1).max(1) as f64;
        let (joint_x, joint_y) = map.joint(&select(&x, &free.x)?, &select(&y, &free.y)?)?;
        let scored = |joint_x: &Tensor| match &profiles {
            Some((profile_x, profile_y)) if progress < 1.0 => {
                // Two more blocks of coordinates add their inner product to the scores.
                let weight = (params.structure * (1.0 - progress)).sqrt();
                let joint_x = Tensor::cat(&[joint_x, &(profile_x * weight)?], 1)?;
                Joint::new(&joint_x, &Tensor::cat(&[&joint_y, &(profile_y * weight)?], 1)?, reference)
            }
            _ => Joint::new(joint_x, &joint_y, reference),
        };
        let joint = scored(&joint_x)?;
        let share = params.first_share + (params.last_share - params.first_share) * progress;
        let believed = if params.couples() {
            let part = without_some(&joint_x, params.dropout * (1.0 - progress), (reference.seed, round))?;
            let coupling = match part {
                Some(part) => coupler.couple(&scored(&part)?)?,
                None => coupler.couple(&joint)?,
            };
            Believed::surest(joint, &coupling, &free, reference, (params.neighbours, share))?
        } else {
            coupler.check()?;
            Believed::all(joint, &free, params.neighbours)?
        };

        let dimension = x.dim(1)?;
        (x, y) = sides.view(grown(params, round + 1, rounds))?;
        map = refitted(params, (&x, &y), sides, &believed)?;

        let Believed { partners, matched_score, .. } = believed;
        let stayed = last.iter().zip(&partners).filter(|(before, now)| before == now).count();
        let items = [free.x.len(), free.y.len()];
        let stage = String::new();
        coupler.tell(AlignmentRound { stage, round: round + 1, rounds, items, dimension, matched_score });
        reports.push(RoundReport {
            round: round + 1,
            dimension,
            share,
            matched_score,
            moved: 1.0 - stayed as f64 / free.x.len() as f64,
            seconds: started.elapsed().as_secs_f64(),
        });
        last = partners;
    }
    Ok(Refined { start, map, rounds: reports })
}

/// What a round makes of the scores of the free items.
struct Believed<'a> {
    /// The items that are looked at: the free ones, of many pairs those of a draw.
    free: Cow<'a, Free>,
    joint: Joint,
    /// The mean of the best scores of each x, and of each y.
    means: (Vec<f32>, Vec<f32>),
    /// Those x from which the map to y learns, by position among `free`.
    x: Vec<u32>,
    /// Those y from which the map back learns; where items are coupled, each the partner of the x at its place.
    y: Vec<u32>,
    /// The partner of each free x: the coupled one, or the nearest where nothing is coupled.
    partners: Vec<u32>,
    /// Mean score of the x that have a partner.
    matched_score: f64,
}

impl<'a> Believed<'a> {
    /// The pairs of a coupling that stand out most.
    fn surest(
        mut joint: Joint,
        coupling: &Permutation,
        free: &'a Free,
        reference: ReferenceItems,
        (neighbours, share): (usize, f64),
    ) -> std::result::Result<Self, AlignError> {
        let partners = coupling.y_of_x().to_vec();
        let (mut free, mut coupling) = (Cow::Borrowed(free), Cow::Borrowed(coupling));
        if let Some((x, y)) = drawn_pairs(&coupling, reference) {
            joint = joint.of_items(&x, &y, reference)?;
            let of = |side: &[u32], drawn: &[u32]| drawn.iter().map(|&at| side[at as usize]).collect();
            free = Cow::Owned(Free { x: of(&free.x, &x), y: of(&free.y, &y) });
            coupling = Cow::Owned(Permutation::identity(x.len()));
        }
        let means = joint.neighbourhoods(neighbours)?;
        let scores = pair_scores(&joint, &coupling)?;
        let surest = surest(&coupling, &confidence(&scores, &coupling, &means.0, &means.1), share);
        let (x, y) = surest.iter().map(|&(i, j)| (i as u32, j as u32)).unzip();
        let matched: f64 = coupling.pairs().map(|(i, _)| f64::from(scores[i])).sum();
        let matched_score = matched / coupling.num_pairs() as f64;
        Ok(Self { free, joint, means, x, y, partners, matched_score })
    }

    /// All items, none with a partner of its own.
    fn all(joint: Joint, free: &'a Free, neighbours: usize) -> Result<Self> {
        let nearest = joint.x_scores().map_rows(|_, row| {
            let larger = |best: (usize, f32), (at, &score)| if score > best.1 { (at, score) } else { best };
            row.iter().enumerate().fold((0, f32::NEG_INFINITY), larger)
        })?;
        let matched: f64 = nearest.iter().map(|&(_, score)| f64::from(score)).sum();
        let every = |side: &[u32]| (0..side.len() as u32).collect();
        let partners = nearest.iter().map(|&(at, _)| joint.y_item(at as u32)).collect();
        let (x, y, matched_score) = (every(&free.x), every(&free.y), matched / nearest.len() as f64);
        let means = joint.neighbourhoods(neighbours)?;
        Ok(Self { free: Cow::Borrowed(free), joint, means, x, y, partners, matched_score })
    }
}

/// The items of so many pairs of a coupling as neighbours are looked for among twice over, drawn at random, where there are
/// more: as good a sample for a map, at a cost that does not grow with the pairs.
fn drawn_pairs(coupling: &Permutation, reference: ReferenceItems) -> Option<(Vec<u32>, Vec<u32>)> {
    let limit = reference.limit.saturating_mul(2);
    let drawn = ReferenceItems { limit, ..reference }.of(coupling.num_pairs(), DRAWN_PAIRS)?;
    let pairs: Vec<(u32, u32)> = coupling.pairs().map(|(i, j)| (i as u32, j as u32)).collect();
    Some(drawn.into_iter().map(|at| pairs[at as usize]).unzip())
}

/// Ridge maps both ways between the views, from the known pairs and from what is believed of the free items.
fn refitted(
    params: &RefinementParams,
    (x, y): (&Tensor, &Tensor),
    &Sides { views, anchors, .. }: &Sides<'_>,
    believed: &Believed<'_>,
) -> std::result::Result<TwoWayMap, AlignError> {
    let Believed { free, joint, means: (x_means, y_means), .. } = believed;
    let (free_x, free_y) = (select(x, &free.x)?, select(y, &free.y)?);
    let (inputs_x, inputs_y) = (select(&free_x, &believed.x)?, select(&free_y, &believed.y)?);
    let targets_y = softened(joint, y_means, params, &believed.x, &free_y, &inputs_y)?;
    let targets_x = softened(&joint.swapped(), x_means, params, &believed.y, &free_x, &inputs_x)?;
    let (anchors_x, anchors_y): (Vec<u32>, Vec<u32>) = anchors.iter().copied().unzip();
    let with_anchors = |rows: &Tensor, side: &Tensor, anchors: &[u32]| match anchors {
        [] => Ok(rows.clone()),
        anchors => Tensor::cat(&[&select(side, anchors)?, rows], 0),
    };
    let fitted = |inputs: Tensor, targets: Tensor, views: Option<Views>| {
        let others = inputs.dim(0)? - anchors.len();
        let weights = weights(anchors.len(), others, anchor_share(params, anchors.len(), others));
        ridge((&inputs, &targets), views, Some(&weights), params.penalty)
    };
    let forward = fitted(with_anchors(&inputs_x, x, &anchors_x)?, with_anchors(&targets_y, y, &anchors_y)?, views)?;
    let views = views.map(Views::swapped);
    let backward = fitted(with_anchors(&inputs_y, y, &anchors_y)?, with_anchors(&targets_x, x, &anchors_x)?, views)?;
    Ok(TwoWayMap::new(Map::Linear(forward), Some(Map::Linear(backward))))
}

/// The joint coordinates with about `share` of them, drawn for this round, set to zero; none where nothing would be left
/// out, or nothing left.
fn without_some(joint: &Tensor, share: f64, (seed, round): (u64, usize)) -> Result<Option<Tensor>> {
    if share <= 0.0 {
        return Ok(None);
    }
    let mut generator = rng::stream(seed, &[DROPOUT, round as u64]);
    let kept: Vec<bool> = (0..joint.dim(1)?).map(|_| generator.random::<f64>() >= share).collect();
    if kept.iter().all(|&kept| kept) || !kept.contains(&true) {
        return Ok(None);
    }
    let factors: Vec<f32> = kept.iter().map(|&kept| f32::from(u8::from(kept))).collect();
    joint.broadcast_mul(&Tensor::new(factors, joint.device())?).map(Some)
}

/// Density profiles of the free items, measured among all items of their side.
fn profiles(
    sides: &Sides<'_>,
    params: &RefinementParams,
    free: &Free,
    reference: ReferenceItems,
) -> Result<(Tensor, Tensor)> {
    let (x, y) = sides.view(params.last_dimension)?;
    Ok((select(&density_profiles(&x, reference)?, &free.x)?, select(&density_profiles(&y, reference)?, &free.y)?))
}

/// The free items in the joint coordinates of `map`.
pub(crate) fn joint(
    map: &TwoWayMap,
    view: (&Tensor, &Tensor),
    free: &Free,
    reference: ReferenceItems,
) -> Result<Joint> {
    let (x, y) = map.joint(&select(view.0, &free.x)?, &select(view.1, &free.y)?)?;
    Joint::new(&x, &y, reference)
}

/// Ridge maps from x to y and from y to x on paired rows; of either view on its own, where there are two.
pub(crate) fn ridge_both_ways(
    x: &Tensor,
    y: &Tensor,
    views: Option<Views>,
    penalty: f64,
) -> std::result::Result<TwoWayMap, AlignError> {
    let forward = Map::Linear(ridge((x, y), views, None, penalty)?);
    let backward = Map::Linear(ridge((y, x), views.map(Views::swapped), None, penalty)?);
    Ok(TwoWayMap::new(forward, Some(backward)))
}

/// A ridge map, `(d, e)`, from inputs `(n, d)` to targets `(n, e)`; of two views a block for each, and zeros elsewhere.
fn ridge(
    (inputs, targets): (&Tensor, &Tensor),
    views: Option<Views>,
    weights: Option<&[f32]>,
    penalty: f64,
) -> std::result::Result<LinearMap, AlignError> {
    let Some(Views { x: k, y: l }) = views else { return Ok(LinearMap::ridge(inputs, targets, weights, penalty)?) };
    let ([d, e], device) = ([inputs.dim(1)?, targets.dim(1)?], inputs.device());
    let block = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
        let inputs = inputs.narrow(1, rows.start, rows.len())?.contiguous()?;
        let targets = targets.narrow(1, columns.start, columns.len())?.contiguous()?;
        let weight = LinearMap::ridge(&inputs, &targets, weights, penalty)?.weight;
        let zeros = |width: usize| Tensor::zeros((rows.len(), width), weight.dtype(), device);
        let weight = Tensor::cat(&[&zeros(columns.start)?, &weight, &zeros(e - columns.end)?], 1)?;
        Ok::<_, AlignError>(weight)
    };
    let weight = Tensor::cat(&[&block(0..k, 0..l)?, &block(k..d, l..e)?], 0)?; // (d, e)
    let bias = Tensor::zeros(e, weight.dtype(), device)?;
    Ok(LinearMap { weight, bias })
}

/// The chosen rows.
pub(crate) fn select(rows: &Tensor, chosen: &[u32]) -> Result<Tensor> {
    rows.index_select(&Tensor::new(chosen, rows.device())?, 0)
}

/// Principal dimensions after `round` of `rounds` rounds.
fn grown(params: &RefinementParams, round: usize, rounds: usize) -> usize {
    let (first, last) = (params.first_dimension as f64, params.last_dimension as f64);
    (first * (last / first).powf(round as f64 / rounds as f64)).round() as usize
}

/// The known pairs' share of the total weight: what is set, or more where they are many beside targets that are means.
fn anchor_share(params: &RefinementParams, anchors: usize, others: usize) -> f64 {
    if params.couples() || anchors == 0 {
        return params.anchor_share;
    }
    let worth = ANCHOR_WORTH * anchors as f64;
    params.anchor_share.max(worth / (worth + others as f64))
}

/// Weights of the known pairs, which share `anchor_share`, and of the others, which share the rest.
fn weights(anchors: usize, others: usize, anchor_share: f64) -> Vec<f32> {
    let each = |share: f64, count: usize| (share / count.max(1) as f64) as f32;
    let mut weights = vec![each(anchor_share, anchors); anchors];
    weights.resize(anchors + others, each(1.0 - anchor_share, others));
    weights
}

/// Targets of the x items `chosen`: their partners' rows, `hard`, drawn towards the mean of their best candidates; with softness 1
/// that mean alone, and `hard` is not read.
fn softened(
    joint: &Joint,
    y_means: &[f32],
    params: &RefinementParams,
    chosen: &[u32],
    values: &Tensor,
    hard: &Tensor,
) -> Result<Tensor> {
    if params.softness == 0.0 {
        return Ok(hard.clone());
    }
    let softening = Softening { candidates: params.candidates, temperature: params.temperature };
    let soft = softening.targets(joint, y_means, values)?;
    let width = values.dim(1)?;
    let soft = Tensor::from_vec(soft, joint.sides().0.dim(0)? * width, values.device())?.reshape(((), width))?;
    if params.softness == 1.0 {
        return select(&soft, chosen);
    }
    (hard * (1.0 - params.softness))? + (select(&soft, chosen)? * params.softness)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_grow_from_first_to_last() {
        let params = RefinementParams { first_dimension: 4, last_dimension: 64, ..RefinementParams::default() };
        let grown: Vec<usize> = (0..=4).map(|round| grown(&params, round, 4)).collect();
        assert_eq!(grown, [4, 8, 16, 32, 64]);
    }

    #[test]
    fn whole_coordinates_are_left_out_anew_each_round() {
        let joint = Tensor::ones((3, 400), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
        let left = |share, round| without_some(&joint, share, (5, round)).unwrap().map(|t| t.to_vec2::<f32>().unwrap());
        assert!(left(0.0, 0).is_none());
        let (first, second) = (left(0.8, 0).unwrap(), left(0.8, 1).unwrap());
        assert!(first[0] == first[1] && first[1] == first[2] && first != second);
        assert!(first[0].iter().all(|&value| value == 0.0 || value == 1.0));
        let kept = first[0].iter().sum::<f32>();
        assert!((50.0..110.0).contains(&kept), "{kept} of 400 coordinates kept");
    }

    #[test]
    fn two_views_have_maps_of_their_own() {
        let rows = |columns: usize, seed: u64| {
            let mut generator = rng::stream(seed, &[]);
            let values: Vec<f32> = (0..9 * columns).map(|_| generator.random::<f32>() - 0.5).collect();
            Tensor::from_vec(values, (9, columns), &candle_core::Device::Cpu).unwrap()
        };
        let (x, y) = ([rows(3, 1), rows(12, 2)], [rows(4, 3), rows(2, 4)]);
        let side = |views: &[Tensor; 2]| Tensor::cat(&views[..], 1).unwrap();
        let weight = |map: TwoWayMap| map.tensors()["forward.linear.weight"].to_vec2::<f32>().unwrap();
        let both = weight(ridge_both_ways(&side(&x), &side(&y), Some(Views { x: 3, y: 4 }), 0.2).unwrap());
        let [first, second] = [0, 1].map(|view| weight(ridge_both_ways(&x[view], &y[view], None, 0.2).unwrap()));
        for (i, row) in both.iter().enumerate() {
            let expected = if i < 3 {
                [first[i].as_slice(), &[0.0; 2]].concat()
            } else {
                [[0.0; 4].as_slice(), &second[i - 3]].concat()
            };
            assert_eq!(*row, expected, "row {i}");
        }
    }

    #[test]
    fn of_many_pairs_some_are_looked_at() {
        let reference = ReferenceItems { limit: 10, seed: 3 };
        let turned = |n: u32| Permutation::new((0..n).rev().collect(), n as usize).unwrap();
        assert!(drawn_pairs(&turned(20), reference).is_none());
        let (x, y) = drawn_pairs(&turned(50), reference).unwrap();
        assert!(x.len() == 20 && x.windows(2).all(|two| two[0] < two[1]));
        assert!(x.iter().zip(&y).all(|(i, j)| i + j == 49), "pairs stay together");

        // Scores that are right: what is believed is true, by the items' own numbers.
        let side: Vec<f32> = (0..50).flat_map(|i| [(i as f32 * 0.06).cos(), (i as f32 * 0.06).sin()]).collect();
        let x = Tensor::from_vec(side, (50, 2), &candle_core::Device::Cpu).unwrap();
        let y = select(&x, &(0..50).rev().collect::<Vec<_>>()).unwrap();
        let joint = Joint::new(&x, &y, reference).unwrap();
        let free = Free { x: (100..150).collect(), y: (200..250).collect() };
        let believed = Believed::surest(joint, &turned(50), &free, reference, (3, 0.5)).unwrap();
        assert_eq!((believed.x.len(), believed.free.x.len(), believed.partners.len()), (10, 20, 50));
        let item = |side: &[u32], at: &u32| side[*at as usize];
        let pairs = believed.x.iter().zip(&believed.y);
        let sums = pairs.map(|(i, j)| item(&believed.free.x, i) - 100 + item(&believed.free.y, j) - 200);
        assert!(sums.into_iter().all(|sum| sum == 49));
        assert!((believed.matched_score - 1.0).abs() < 1e-6);
    }

    #[test]
    fn weights_share_one() {
        assert_eq!(weights(2, 3, 0.25), [0.125, 0.125, 0.25, 0.25, 0.25]);
    }

    #[test]
    fn many_known_pairs_weigh_more_than_means_of_candidates() {
        let share = |params: RefinementParams, anchors, others| anchor_share(&params, anchors, others);
        assert_eq!(
            [(20, 1000), (1000, 1000), (0, 10)].map(|(a, o)| share(RefinementParams::diffuse(), a, o)),
            [0.5, 0.75, 0.5]
        );
        assert_eq!(share(RefinementParams::sharp(), 1000, 1000), 0.3);
    }
}
