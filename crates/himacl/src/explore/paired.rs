//! Two sides in one space, who is paired with whom, and what each item is worth.

use crate::error::Error;
use crate::map::unit_rows;
use candle_core::{DType, Device, Tensor};
use hiref_core::matching::{Capacity, MatchingParams};
use hiref_core::{CostKind, HirefParams, Observer, Permutation, Problem, WarmStart};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

/// One of the two sides of a pairing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PairSide {
    /// The first.
    X,
    /// The second.
    Y,
}

/// A pairing with all that its explanations are read off: one to one, or a matching in which items of one side have several
/// partners, and some have none.
#[derive(Debug, Clone)]
pub struct Paired {
    cost: CostKind,
    dimension: usize,
    sides: [Vec<f32>; 2],
    sizes: [usize; 2],
    /// `[x, y]`, by x, then y.
    pairs: Vec<[u32; 2]>,
    /// Where the pairs of each item begin in `of_item`, one more than there are items.
    starts: [Vec<u32>; 2],
    /// Numbers of pairs, by item.
    of_item: [Vec<u32>; 2],
    params: MatchingParams,
    forbidden: HashSet<[u32; 2]>,
    potentials: [Vec<f64>; 2],
    /// Partners that each item may have.
    capacity: [Vec<u32>; 2],
    /// What a place that stays free costs; none where it cannot.
    free: [Vec<Option<f64>>; 2],
}

impl Paired {
    /// Pairs `[x, y]` of the rows of `x (n, d)` and `y (m, d)` with the potentials that go with them, those of x first:
    /// `f_i + g_j <= c_ij` for all pairs that may be. `params` says which those are, and how many partners an item may have; a
    /// number of pairs is said by the price of singles that goes with it.
    ///
    /// Rows are made unit vectors where the cost is the cosine's, which changes no cost.
    ///
    /// # Errors
    /// Sides of different dimension, potentials of another length, pairs of rows that there are not.
    pub fn new(
        (x, y): (&Tensor, &Tensor),
        cost: CostKind,
        mut pairs: Vec<[u32; 2]>,
        params: MatchingParams,
        (f, g): (Vec<f64>, Vec<f64>),
    ) -> Result<Self, Error> {
        let ((n, d), (m, e)) = (x.dims2()?, y.dims2()?);
        let reach = |side: usize| pairs.iter().map(|pair| pair[side] as usize + 1).max().unwrap_or_default();
        let sizes = [(d, e), (reach(0).max(n), n), (reach(1).max(m), m), (f.len(), n), (g.len(), m)];
        if let Some((got, expected)) = sizes.into_iter().find(|(got, expected)| got != expected) {
            let what = format!("a pairing of {n} and {m} rows: a part of it has {got} entries, expected {expected}");
            return Err(candle_core::Error::Msg(what).into());
        }
        let values = |side: &Tensor| -> Result<Vec<f32>, Error> {
            let side = side.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
            let side = if cost == CostKind::Cosine { unit_rows(&side)? } else { side };
            Ok(side.flatten_all()?.to_vec1()?)
        };
        pairs.sort_unstable();
        let sizes = [n, m];
        let capacity = [resolved(&params.x_capacity, sizes), resolved(&params.y_capacity, [m, n])];
        let free = free(&pairs, &params, &capacity);
        let by_item = [0, 1].map(|side| by_item(&pairs, side, sizes[side]));
        let [(starts_x, of_x), (starts_y, of_y)] = by_item;
        Ok(Self {
            cost,
            dimension: d,
            sides: [values(x)?, values(y)?],
            sizes,
            pairs,
            starts: [starts_x, starts_y],
            of_item: [of_x, of_y],
            forbidden: params.forbidden.iter().copied().collect(),
            params,
            potentials: [f, g],
            capacity,
            free,
        })
    }

    /// A pairing that is one to one, with its potentials.
    ///
    /// # Errors
    /// As [`Paired::new`].
    pub fn one_to_one(
        sides: (&Tensor, &Tensor),
        cost: CostKind,
        permutation: &Permutation,
        potentials: (Vec<f64>, Vec<f64>),
    ) -> Result<Self, Error> {
        let pairs = permutation.pairs().map(|(i, j)| [i as u32, j as u32]).collect();
        Self::new(sides, cost, pairs, MatchingParams::default(), potentials)
    }

    /// The same with potentials of its own: those that a certificate proves, from a short solve that starts from the
    /// pairing. They are potentials of the problem whether or not the pairing is optimal.
    ///
    /// *Complexity*: O(n m d), less where `warm_start` has prices.
    ///
    /// # Errors
    /// What the solver refuses; asked to stop.
    pub fn priced(
        (x, y): (&Tensor, &Tensor),
        cost: CostKind,
        warm_start: &WarmStart,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let problem = Problem::new(x.to_device(&Device::Cpu)?, y.to_device(&Device::Cpu)?, cost)?;
        let params = HirefParams { certify: true, ..HirefParams::default() };
        let solved = params.check()?.solve(&problem, Some(warm_start), observer)?;
        let certificate = solved.certificate.ok_or(crate::align::AlignError::Interrupted)?;
        Self::one_to_one((x, y), cost, warm_start.permutation(), (certificate.f, certificate.g))
    }

    /// A matching of any kind with potentials of its own: those of a solve of its problem.
    ///
    /// # Errors
    /// As [`Paired::priced`].
    pub fn matched(
        (x, y): (&Tensor, &Tensor),
        cost: CostKind,
        pairs: Vec<[u32; 2]>,
        params: MatchingParams,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let problem = Problem::new(x.to_device(&Device::Cpu)?, y.to_device(&Device::Cpu)?, cost)?;
        let solver = HirefParams { certify: true, ..HirefParams::default() }.check()?;
        let solved = solver.solve_matching(&problem, &params, observer)?;
        let [f, g] = solved.potentials.ok_or(crate::align::AlignError::Interrupted)?;
        Self::new((x, y), cost, pairs, params, (f, g))
    }

    /// The cost that the pairing makes small.
    pub fn cost(&self) -> CostKind {
        self.cost
    }

    /// Coordinates of an item, d.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Items of x and of y.
    pub fn sizes(&self) -> [usize; 2] {
        self.sizes
    }

    /// Who is paired with whom: `[x, y]`, by x, then y.
    pub fn pairs(&self) -> &[[u32; 2]] {
        &self.pairs
    }

    /// The numbers of an item's pairs; none where it is single.
    pub fn pairs_of(&self, side: PairSide, item: u32) -> &[u32] {
        let (starts, at) = (&self.starts[side as usize], item as usize);
        &self.of_item[side as usize][starts[at] as usize..starts[at + 1] as usize]
    }

    /// The partners of an item.
    pub fn partners(&self, side: PairSide, item: u32) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.pairs_of(side, item).iter().map(move |&pair| self.pairs[pair as usize][1 - side as usize])
    }

    /// Items without a partner.
    pub fn singles(&self, side: PairSide) -> Vec<u32> {
        (0..self.sizes[side as usize] as u32).filter(|&item| self.pairs_of(side, item).is_empty()).collect()
    }

    /// What the matching may look like.
    pub fn params(&self) -> &MatchingParams {
        &self.params
    }

    /// Whether i and j may be partners.
    pub fn may_be(&self, i: u32, j: u32) -> bool {
        let same = self.params.groups.as_ref().is_none_or(|[x, y]| x[i as usize] == y[j as usize]);
        same && (self.forbidden.is_empty() || !self.forbidden.contains(&[i, j]))
    }

    /// What it costs if a place of an item stays free; none where it cannot.
    pub fn free_cost(&self, side: PairSide, item: u32) -> Option<f64> {
        self.free[side as usize][item as usize]
    }

    /// Coordinates of an x item, `(d,)`.
    pub fn x(&self, i: u32) -> &[f32] {
        &self.sides[0][i as usize * self.dimension..][..self.dimension]
    }

    /// Coordinates of a y item, `(d,)`.
    pub fn y(&self, j: u32) -> &[f32] {
        &self.sides[1][j as usize * self.dimension..][..self.dimension]
    }

    /// Potentials of the items of a side, in units of the cost.
    pub fn potentials(&self, side: PairSide) -> &[f64] {
        &self.potentials[side as usize]
    }

    /// The cost of any pair.
    pub fn between(&self, i: u32, j: u32) -> f64 {
        self.cost.between(self.x(i), self.y(j))
    }

    /// `c_ij - f_i - g_j`: by how much at least the whole pairing gets dearer where i and j are made partners; 0 for pairs of
    /// an optimal pairing.
    pub fn reduced_cost(&self, i: u32, j: u32) -> f64 {
        self.between(i, j) - self.potentials[0][i as usize] - self.potentials[1][j as usize]
    }

    /// A bound of the mean cost of every matching of as many pairs: what the potentials prove. The pairs of a matching cost no
    /// less than the potentials of the places that they take, and those no less than the least ones of each category.
    pub fn dual_bound(&self) -> f64 {
        let mut total = 0.0;
        for side in [0, 1] {
            let mut places: BTreeMap<u32, (Vec<f64>, usize)> = BTreeMap::new();
            for (item, (&potential, &capacity)) in self.potentials[side].iter().zip(&self.capacity[side]).enumerate() {
                let (all, taken) = places.entry(group_of(&self.params, side, item as u32)).or_default();
                all.extend(std::iter::repeat_n(potential, capacity as usize));
                *taken += (self.starts[side][item + 1] - self.starts[side][item]) as usize;
            }
            for (mut all, taken) in places.into_values() {
                all.sort_by(f64::total_cmp);
                total += all[..taken.min(all.len())].iter().sum::<f64>();
            }
        }
        total / self.pairs.len().max(1) as f64
    }

    /// The mean cost of the pairs.
    pub fn mean_cost(&self) -> f64 {
        let total: f64 = self.pairs.iter().map(|&[i, j]| self.between(i, j)).sum();
        total / self.pairs.len().max(1) as f64
    }

    /// Both sides, `(n, d)` and `(m, d)`, each less the mean of its items that have partners, and these means.
    pub(super) fn centred(&self) -> candle_core::Result<([Tensor; 2], [Tensor; 2])> {
        let (x, y) = self.tensors()?;
        let mean = |rows: &Tensor, side: PairSide| {
            let paired: Vec<u32> =
                (0..rows.dims()[0] as u32).filter(|&item| !self.pairs_of(side, item).is_empty()).collect();
            if paired.is_empty() || paired.len() == rows.dims()[0] {
                return rows.mean_keepdim(0);
            }
            rows.index_select(&Tensor::new(paired, &Device::Cpu)?, 0)?.mean_keepdim(0)
        };
        let means = [mean(&x, PairSide::X)?, mean(&y, PairSide::Y)?];
        Ok(([x.broadcast_sub(&means[0])?, y.broadcast_sub(&means[1])?], means))
    }

    /// Both sides as tensors, `(n, d)` and `(m, d)`.
    pub(super) fn tensors(&self) -> candle_core::Result<(Tensor, Tensor)> {
        let of = |side: usize| Tensor::from_slice(&self.sides[side], (self.sizes[side], self.dimension), &Device::Cpu);
        Ok((of(0)?, of(1)?))
    }
}

/// The category of an item; one of all where there are none.
fn group_of(params: &MatchingParams, side: usize, item: u32) -> u32 {
    params.groups.as_ref().map_or(0, |groups| groups[side][item as usize])
}

/// Partners that each item may have, at most all of the other side.
fn resolved(capacity: &Capacity, [items, others]: [usize; 2]) -> Vec<u32> {
    let limit = u32::try_from(others).unwrap_or(u32::MAX);
    match capacity {
        Capacity::One => vec![1; items],
        Capacity::All(each) => vec![(*each).min(limit); items],
        Capacity::Each(each) => each.iter().map(|&each| each.min(limit)).collect(),
    }
}

/// What a free place of each item costs: half the price of two singles, or nothing where its category has more places than pairs.
fn free(pairs: &[[u32; 2]], params: &MatchingParams, capacity: &[Vec<u32>; 2]) -> [Vec<Option<f64>>; 2] {
    [0, 1].map(|side| {
        if let Some(cost) = params.unmatched_cost {
            return vec![Some(cost / 2.0); capacity[side].len()];
        }
        let mut free: BTreeMap<u32, i64> = BTreeMap::new();
        for (item, &places) in capacity[side].iter().enumerate() {
            *free.entry(group_of(params, side, item as u32)).or_default() += i64::from(places);
        }
        pairs.iter().for_each(|pair| *free.entry(group_of(params, side, pair[side])).or_default() -= 1);
        let of = |item: usize| (free[&group_of(params, side, item as u32)] > 0).then_some(0.0);
        (0..capacity[side].len()).map(of).collect()
    })
}

/// The numbers of the pairs by item of a side, and where those of each begin.
fn by_item(pairs: &[[u32; 2]], side: usize, items: usize) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0u32; items + 1];
    pairs.iter().for_each(|pair| starts[pair[side] as usize + 1] += 1);
    for item in 0..items {
        starts[item + 1] += starts[item];
    }
    let mut next = starts.clone();
    let mut of_item = vec![0; pairs.len()];
    for (number, pair) in pairs.iter().enumerate() {
        let at = &mut next[pair[side] as usize];
        of_item[*at as usize] = number as u32;
        *at += 1;
    }
    (starts, of_item)
}
