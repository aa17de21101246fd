//! How likely each pair of a coupling is right.

use super::confidence::pair_scores;
use super::error::AlignError;
use super::joint::{Joint, ReferenceItems, rows};
use super::params::CouplingParams;
use super::refinement::{ridge_both_ways, select};
use super::warm_coupling::WarmCoupler;
use crate::eval::{Best, Scores};
use crate::map::{TwoWayMap, unit_rows};
use candle_core::Tensor;
use hiref_core::{HirefParams, Permutation, Quality};

/// Ridge penalty of the maps that judge; rows are of length 1.
const PENALTY: f64 = 0.3;
/// Neighbours of an item over which its popularity is measured.
const NEIGHBOURS: usize = 10;
/// Fewer pairs say nothing of each other.
const FEWEST_PAIRS: usize = 40;
/// The stream of the pairs that are judged against chance; another for each map.
const CHANCE: u64 = 33;
/// Items up to which couplings by chance are exact.
const FEW_ITEMS: usize = 2048;
/// In which the share of wrong pairs and the margins of chance settle.
const STEPS: usize = 8;

/// For each x item `(n,)` the probability that its pair is right, 0 without a partner; none for fewer than 40 pairs.
///
/// Every pair is judged by a map that has not seen it: ridge maps fitted to the pairs of the other half. Its margin
/// `2 s_ij - r_i - r_j` (s the cosines in joint coordinates, r the mean of the 10 best scores of either item with others
/// than its partner) is compared with margins of chance: the x items of some pairs are coupled one to one, by a map fitted to
/// all, with the y items of others, where none has its partner if the pairs are right. With densities f of the margins, f₀ of
/// those by chance and the share π₀ of wrong pairs, the probability is `1 - π₀ f₀ / f`, one less the local false discovery
/// rate \[Efr04\]; f₀ / f falls with the margin and is fitted as such (isotonic regression), π₀ from the observed margins
/// below the median of chance \[Sto02\].
///
/// Where an item has no partner at all on the other side, its pair is wrong, and this is the probability that it has one. It
/// errs on the side of caution: of text embeddings of which half the items were on both sides 40% of the pairs were right and
/// 25% expected to be; of those at 0.5 and above 92% were right.
///
/// *Shapes*: `x (n, k)`, `y (m, l)` in any coordinates. *Complexity*: O((n + m) (k + l) · min(max(n, m), `reference.limit`))
/// and twelve couplings of at most a quarter of the pairs, or of `reference.limit` / 2. *Determinism*: same bits for the same
/// seed.
///
/// References: \[Efr04\] Efron, "Large-Scale Simultaneous Hypothesis Testing", JASA 2004; \[Sto02\] Storey, "A Direct Approach
/// to False Discovery Rates", JRSS B 2002.
///
/// # Errors
/// A failed tensor operation.
///
/// # Panics
/// If the coupling is of other sizes than the two sides.
pub fn pair_probability(
    x: &Tensor,
    y: &Tensor,
    coupling: &Permutation,
    reference: ReferenceItems,
) -> Result<Option<Vec<f32>>, AlignError> {
    assert_eq!((coupling.num_x(), coupling.num_y()), (x.dim(0)?, y.dim(0)?), "a coupling of other sizes");
    let pairs: Vec<(u32, u32)> = coupling.pairs().map(|(i, j)| (i as u32, j as u32)).collect();
    if pairs.len() < FEWEST_PAIRS {
        return Ok(None);
    }
    let (x, y) = (unit_rows(x)?, unit_rows(y)?);
    let fitted_to = |pairs: &[(u32, u32)]| -> Result<TwoWayMap, AlignError> {
        let (i, j): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
        ridge_both_ways(&select(&x, &i)?, &select(&y, &j)?, None, PENALTY)
    };
    // By which the pairs were chosen, more or less.
    let (i, j): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
    let chosen_by = fitted_to(&pairs)?.joint(&select(&x, &i)?, &select(&y, &j)?)?;
    let (mut observed, mut chance) = (vec![0.0; pairs.len()], Chance::of(pairs.len()));
    for fitted in [0, 1] {
        let map = fitted_to(&pairs.iter().copied().skip(fitted).step_by(2).collect::<Vec<_>>())?;
        let unseen: Vec<u32> = (0..pairs.len() as u32).skip(1 - fitted).step_by(2).collect();
        let judged: Vec<(u32, u32)> = unseen.iter().map(|&at| pairs[at as usize]).collect();
        let margins = Margins::new(&map, (&x, &y), &judged, reference)?;
        unseen.iter().zip(margins.of_pairs()?).for_each(|(&at, margin)| observed[at as usize] = margin);
        let chosen_by = (&select(&chosen_by.0, &unseen)?, &select(&chosen_by.1, &unseen)?);
        margins.by_chance(CHANCE + fitted as u64, chosen_by, &mut chance)?;
    }
    let mut probability = vec![0.0; x.dim(0)?];
    for (&(i, _), value) in pairs.iter().zip(chance.probability(&observed)) {
        probability[i as usize] = value as f32;
    }
    Ok(Some(probability))
}

/// How a map that was fitted to some of the pairs judges others.
struct Margins {
    /// Joint coordinates of the pairs' items, `(p, e)`.
    x: Tensor,
    y: Tensor,
    /// How popular each is among those that are not its partner.
    x_means: Vec<f32>,
    y_means: Vec<f32>,
    reference: ReferenceItems,
}

impl Margins {
    fn new(
        map: &TwoWayMap,
        (x, y): (&Tensor, &Tensor),
        pairs: &[(u32, u32)],
        reference: ReferenceItems,
    ) -> Result<Self, AlignError> {
        let (joint_x, joint_y) = map.joint(x, y)?;
        let (i, j): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
        let popularity =
            |own: &Tensor, others: &Tensor, partners: &[u32], stream: u64| -> Result<Vec<f32>, AlignError> {
                let chosen = reference.of(others.dim(0)?, stream);
                let scores = Scores::new(own, &rows(others, chosen.as_deref())?)?;
                let item = |at: u32| chosen.as_ref().map_or(at, |chosen| chosen[at as usize]);
                Ok(scores.map_rows(|at, row| {
                    let mut best = Best::new((NEIGHBOURS + 1).min(row.len()));
                    row.iter().enumerate().for_each(|(other, &score)| best.offer(score, other as u32));
                    let best = best.sorted();
                    let others = best.iter().filter(|&&(_, other)| item(other) != partners[at]).take(NEIGHBOURS);
                    let (sum, count) = others.fold((0.0, 0), |(sum, count), &(score, _)| (sum + score, count + 1));
                    sum / count.max(1) as f32
                })?)
            };
        let (own_x, own_y) = (select(&joint_x, &i)?, select(&joint_y, &j)?);
        let (x_means, y_means) = (popularity(&own_x, &joint_y, &j, 31)?, popularity(&own_y, &joint_x, &i, 32)?);
        Ok(Self { x: own_x, y: own_y, x_means, y_means, reference })
    }

    /// Of the pairs themselves.
    fn of_pairs(&self) -> Result<Vec<f64>, AlignError> {
        let scores: Vec<f32> = (&self.x * &self.y)?.sum(1)?.to_vec1()?;
        Ok((0..scores.len()).map(|at| self.margin(scores[at], at, at)).collect())
    }

    /// Adds those of x items of some pairs coupled with y items of others: of either half of the pairs with the other half, and
    /// of a quarter with another. `stream` draws them where they are many.
    fn by_chance(&self, stream: u64, chosen_by: (&Tensor, &Tensor), chance: &mut Chance) -> Result<(), AlignError> {
        let count = self.x_means.len();
        let chosen = self.reference.of(count, stream).unwrap_or_else(|| (0..count as u32).collect());
        let part = |from: usize, every: usize| chosen.iter().copied().skip(from).step_by(every).collect::<Vec<_>>();
        let many = [part(0, 2), part(1, 2)];
        for (of_x, of_y) in [(0, 1), (1, 0)] {
            chance.many.extend(self.of_coupled(chosen_by, &many[of_x], &many[of_y])?);
        }
        for (of_x, of_y) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
            chance.half_as_many.extend(self.of_coupled(chosen_by, &part(of_x, 4), &part(of_y, 4))?);
        }
        chance.doublings = (chance.pairs as f64 / many[0].len() as f64).log2();
        Ok(())
    }

    /// Of the x items of some pairs coupled one to one with the y items of others, in the coordinates by which pairs are chosen.
    fn of_coupled(&self, chosen_by: (&Tensor, &Tensor), of_x: &[u32], of_y: &[u32]) -> Result<Vec<f64>, AlignError> {
        let solver = HirefParams {
            quality: Quality::Fast,
            exact_limit: Some(0),
            seed: self.reference.seed,
            ..HirefParams::default()
        };
        let params = CouplingParams { solver, exact_limit: FEW_ITEMS };
        let joint = Joint::new(&select(chosen_by.0, of_x)?, &select(chosen_by.1, of_y)?, self.reference)?;
        let coupling = WarmCoupler::new(&params, &(), "chance").couple(&joint)?;
        let judged = Joint::new(
            &select(&self.x, of_x)?,
            &select(&self.y, of_y)?,
            ReferenceItems { limit: 1, ..self.reference },
        )?;
        let scores = pair_scores(&judged, &coupling)?;
        Ok(coupling.pairs().map(|(i, j)| self.margin(scores[i], of_x[i] as usize, of_y[j] as usize)).collect())
    }

    fn margin(&self, score: f32, x: usize, y: usize) -> f64 {
        2.0 * f64::from(score) - f64::from(self.x_means[x]) - f64::from(self.y_means[y])
    }
}

/// Margins of items that are coupled with others than their partners.
#[derive(Default)]
struct Chance {
    /// In all.
    pairs: usize,
    /// Among a quarter of the pairs' items, or fewer.
    many: Vec<f64>,
    /// Among half of those: the more there are to choose from, the higher the margins.
    half_as_many: Vec<f64>,
    /// How often the quarter must be doubled to become all items.
    doublings: f64,
}

impl Chance {
    fn of(pairs: usize) -> Self {
        Self { pairs, ..Self::default() }
    }

    /// For each of the observed margins the probability that its pair is right.
    ///
    /// Items of wrong pairs had all the other items of wrong pairs to choose from: margins are moved to what they would be
    /// among so many, by the mean gain of a doubling. How many those are and how high the margins follow from each other.
    fn probability(&self, observed: &[f64]) -> Vec<f64> {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let gain = (mean(&self.many) - mean(&self.half_as_many)).max(0.0);
        let mut wrong: f64 = 0.5;
        let mut by_chance = self.many.clone();
        for _ in 0..STEPS {
            // Never below what was measured.
            let shift = (gain * (self.doublings + wrong.max(f64::MIN_POSITIVE).log2())).max(0.0);
            by_chance.iter_mut().zip(&self.many).for_each(|(moved, margin)| *moved = margin + shift);
            wrong = wrong_share(observed, &by_chance);
        }
        local_probability(observed, &by_chance, wrong)
    }
}

/// The share of observed values that are by chance, from those below the median of chance \[Sto02\].
fn wrong_share(observed: &[f64], by_chance: &[f64]) -> f64 {
    let mut sorted = by_chance.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let below = observed.iter().filter(|&&value| value < median).count() as f64;
    (2.0 * below / observed.len() as f64).min(1.0)
}

/// For each observed value the probability that it is not one of those by chance, of which there are `wrong` among the
/// observed: rising with the value.
fn local_probability(observed: &[f64], by_chance: &[f64], wrong: f64) -> Vec<f64> {
    // Values of both kinds in order, the observed ones with their places; of equal ones those by chance come last, so that
    // they count against.
    let of_observed = observed.iter().enumerate().map(|(at, &value)| (value, Some(at)));
    let mut all: Vec<(f64, Option<usize>)> = of_observed.chain(by_chance.iter().map(|&value| (value, None))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.is_none().cmp(&b.1.is_none())));
    // The share of observed mass that rises with the value: neighbours of which it does not are pooled (isotonic regression).
    let mut pools: Vec<Pool> = Vec::new();
    for (_, place) in &all {
        let mut pool = match place {
            Some(_) => Pool { observed: 1.0 / observed.len() as f64, by_chance: 0.0, values: 1 },
            None => Pool { observed: 0.0, by_chance: 1.0 / by_chance.len() as f64, values: 1 },
        };
        while let Some(lower) = pools.pop_if(|lower| lower.observed * pool.by_chance >= pool.observed * lower.by_chance)
        {
            pool.observed += lower.observed;
            pool.by_chance += lower.by_chance;
            pool.values += lower.values;
        }
        pools.push(pool);
    }
    let mut probability = vec![0.0; observed.len()];
    let levels = pools.iter().flat_map(|pool| std::iter::repeat_n(pool.probability(wrong), pool.values));
    for ((_, place), level) in all.iter().zip(levels) {
        if let Some(place) = *place {
            probability[place] = level;
        }
    }
    probability
}

/// Neighbouring values that have one level.
struct Pool {
    /// Mass, of 1 in all.
    observed: f64,
    by_chance: f64,
    values: usize,
}

impl Pool {
    /// That an observed value in it is not one of those by chance, of which there are `wrong` among the observed.
    fn probability(&self, wrong: f64) -> f64 {
        if self.observed > 0.0 { (1.0 - wrong * self.by_chance / self.observed).clamp(0.0, 1.0) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};
    use hiref_core::rng;
    use rand_distr::{Distribution, Normal, StandardNormal};

    /// Of values by chance and of others, half each, the posterior is known.
    #[test]
    fn the_probability_of_two_normal_kinds() {
        let mut generator = rng::stream(3, &[]);
        let mut draw = |mean: f64, count: usize| -> Vec<f64> {
            let normal = Normal::new(mean, 1.0).unwrap();
            (0..count).map(|_| normal.sample(&mut generator)).collect()
        };
        let (chance, wrong, right) = (draw(0.0, 4000), draw(0.0, 4000), draw(3.0, 4000));
        let observed = [wrong, right].concat();
        let found = local_probability(&observed, &chance, wrong_share(&observed, &chance));
        let true_one = |value: f64| 1.0 / (1.0 + (4.5 - 3.0 * value).exp());
        let errors = observed.iter().zip(&found).map(|(&value, p)| (p - true_one(value)).abs());
        assert!(errors.sum::<f64>() / 8000.0 < 0.04);
        let mean = found.iter().sum::<f64>() / 8000.0;
        assert!((mean - 0.5).abs() < 0.03, "{mean}");
        let mut pairs: Vec<_> = observed.iter().zip(&found).collect();
        pairs.sort_by(|a, b| a.0.total_cmp(b.0));
        assert!(pairs.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        let nothing = draw(0.0, 4000);
        let nothing = local_probability(&nothing, &chance, wrong_share(&nothing, &chance));
        assert!(nothing.iter().sum::<f64>() / 4000.0 < 0.1);
    }

    fn normal(shape: (usize, usize), seed: u64) -> Tensor {
        let mut generator = rng::stream(seed, &[]);
        let values: Vec<f32> = (0..shape.0 * shape.1).map(|_| StandardNormal.sample(&mut generator)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// 600 items, of which the first `common` have their partner on the other side, with some noise.
    #[test]
    fn items_without_a_partner_are_told_from_those_with_one() {
        const WIDTH: usize = 16;
        let rotation = normal((WIDTH, WIDTH), 1);
        let reference = ReferenceItems { limit: 1000, seed: 0 };
        for (common, low, high) in [(600usize, 0.97, 1.0), (300, 0.35, 0.55), (0, 0.0, 0.12)] {
            let x = normal((600, WIDTH), 2);
            let own = normal((600, WIDTH), 3);
            let y = Tensor::cat(&[x.narrow(0, 0, common).unwrap(), own.narrow(0, common, 600 - common).unwrap()], 0);
            let noise = (normal((600, WIDTH), 4) * 0.2).unwrap();
            let y = (y.unwrap() + noise).unwrap().matmul(&rotation).unwrap();
            // The best coupling under the right map.
            let back = (x.matmul(&rotation).unwrap(), y.clone());
            let joint = Joint::new(&unit_rows(&back.0).unwrap(), &unit_rows(&back.1).unwrap(), reference).unwrap();
            let coupling = WarmCoupler::new(&CouplingParams::default(), &(), "test").couple(&joint).unwrap();
            let found = pair_probability(&x, &y, &coupling, reference).unwrap().unwrap();
            let mean = found.iter().map(|&p| f64::from(p)).sum::<f64>() / 600.0;
            assert!((low..=high).contains(&mean), "{common} in common: {mean}");
            let sure = |range: std::ops::Range<usize>| range.filter(|&i| found[i] > 0.5).count() as f64;
            if common == 300 {
                let (right, wrong) = (sure(0..300), sure(300..600));
                assert!(right > 0.75 * 300.0 && wrong < 0.1 * right, "{right} right and {wrong} wrong are likely");
            }
        }
    }

    #[test]
    fn few_pairs_say_nothing() {
        let x = normal((20, 4), 5);
        let reference = ReferenceItems { limit: 1000, seed: 0 };
        assert!(pair_probability(&x, &x, &Permutation::identity(20), reference).unwrap().is_none());
    }
}
