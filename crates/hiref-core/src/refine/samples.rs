//! Prices that are consistent throughout, from random samples of the pairs.

use super::blocks::BlockSolver;
use super::pairing::Pairing;
use super::session::Session;
use crate::control::Control;
use crate::geometry::{Supports, equal_offsets};
use crate::points::Rows;
use crate::pricing::{PricedRounds, Pricer, Told};
use crate::report::{Event, Observer, Phase};
use crate::rng::stream;
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// Pairs of a sample that prices all y points as it is, at most; and of one that is a part of larger ones. As parts, 2,048 pairs are no better than 1,024
/// (n = 30,000, mixtures and text embeddings), and take four times the memory and up to 40% more of the whole time.
const LARGEST_ALONE: usize = 2048;
const LARGEST_PART: usize = 1024;
/// Samples that make a larger one.
const PARTS: usize = 4;
/// Rounds of pricing and sparse solves that improve a sample made of others. Measured on 65,536 points, `balanced`: after one here, two rounds of everything
/// more are needed (one mixture, 16 dimensions, 29 processor seconds instead of 22); three gain nothing over two.
const ROUNDS: usize = 2;

/// Samples that price all y points, where few do: their mean is better than one sample of as many pairs.
const FEW: usize = 4;

/// Whether prices are to be found here: where there are none that are consistent.
pub(crate) fn suits(session: &Session<'_>, pairing: &Pairing) -> bool {
    session.has_sampled_prices() && session.supports.num_x() > LARGEST_ALONE && !pairing.is_consistent()
}

/// Hears nothing, and says stop when another does: samples are no progress that is counted.
struct Quiet<'a>(Control<'a>);

impl Observer for Quiet<'_> {
    fn on_event(&self, _event: &Event) {}

    fn should_stop(&self) -> bool {
        self.0.should_stop()
    }
}

/// The prices of all y points by small samples of `pairs` pairs in all, `(m,)`, for pairings of any sizes n <= m; the pairing stays as it is. `None` if
/// asked to stop.
///
/// Each sample, of at most 2,048 pairs, is a small problem of the same kind as the whole, solved exactly. Its potentials f price all y points:
/// `g_j = min_i (c_ij - f_i)` over the x points of the sample. Since the dual bound is concave in the prices, their mean over several samples is no
/// worse than the samples are on average. Where n < m, unmatched y points are in the samples as often as in the whole: their prices are zero, and no
/// others are larger. O(pairs m d).
///
/// Samples of pairs, not of points: what a sample of the points has too many of on one side, a cluster say, is left to chance, and its
/// prices with it.
///
/// Measured, `fast`, n = 65,536, the duality gap by 32,768 pairs (and by 4,096) as a share of the cost: one mixture on both sides, 64
/// dimensions, 10% (15%) where the cost is 7.8% above the optimum; text embeddings, 384 dimensions, 19% (22%) for 13.5%.
pub(crate) fn prices_by_few(
    session: &Session<'_>,
    pairing: &Pairing,
    pairs: usize,
    watch: (Phase, Control<'_>),
) -> Option<Vec<f64>> {
    prices_of_few(session, session.supports, pairing, pairs, watch)
}

/// As [`prices_by_few`], for supports of a session that are perhaps turned.
pub(crate) fn prices_of_few(
    session: &Session<'_>,
    supports: Supports<'_>,
    pairing: &Pairing,
    pairs: usize,
    watch: (Phase, Control<'_>),
) -> Option<Vec<f64>> {
    let x_order = drawn(session, pairs);
    let count = FEW.max(x_order.len().div_ceil(LARGEST_ALONE)).min(x_order.len());
    let offsets = equal_offsets(x_order.len(), count);
    let mut solved = pairing.fork();
    solve_each(supports, &mut solved, &x_order, &offsets, watch.1)?;
    mean_prices(supports, &solved, &x_order, &offsets, watch)
}

/// The prices of all y points, `(m,)`, by four large samples of so many pairs in all; the pairing stays as it is. `None` if asked to stop. O(pairs m d).
///
/// As in [`prices_by_few`], but four samples make a larger one, which starts from their mean and is improved by rounds of pricing and sparse solves; and so
/// on up to the four.
///
/// Measured with prices from a quarter of the pairs, cost above the optimum after one round with eight candidates for each point: text embeddings of 256
/// coordinates, n = 58,829, by one sample .30%, by four .21%, by eight .37%; n = 50,000, m = 58,829 .62% and .19%.
pub(crate) fn prices_by_large_samples(
    session: &Session<'_>,
    pairing: &Pairing,
    pairs: usize,
    control: Control<'_>,
) -> Option<Vec<f64>> {
    let x_order = drawn(session, pairs);
    let (supports, mut solved) = (session.supports, pairing.fork());
    let offsets = solve_samples(supports, &mut solved, &x_order, (FEW.min(x_order.len()), ROUNDS), control)?;
    mean_prices(supports, &solved, &x_order, &offsets, (Phase::Prices, control))
}

/// A pairing improved by samples that hold all of the pairs, and its prices; `None` if asked to stop. Twice as dear as a pass over all pairs.
///
/// As in [`prices_by_large_samples`], up to one sample: the whole, whose rounds are the caller's.
pub(crate) fn price_by_samples(session: &Session<'_>, mut pairing: Pairing, control: Control<'_>) -> Option<Pairing> {
    let x_order = shuffled(session);
    solve_samples(session.supports, &mut pairing, &x_order, (1, 0), control)?;
    pairing.block.fill(0);
    Some(pairing)
}

/// What solved samples, ranges of `x_order`, make of the prices of all y points, on average; a part of the phase that is told.
fn mean_prices(
    supports: Supports<'_>,
    solved: &Pairing,
    x_order: &[u32],
    offsets: &[usize],
    (phase, control): (Phase, Control<'_>),
) -> Option<Vec<f64>> {
    let (y_of_x, g) = (&solved.y_of_x, &solved.g);
    control.begin(phase, x_order.len() as u64 * supports.num_y() as u64);
    let told = |pairs| control.advance(phase, pairs);
    let mut mean = MeanPrices::new(supports);
    for range in offsets.windows(2) {
        let (points, stand_ins) = points_first(supports, &x_order[range[0]..range[1]]);
        let pairs = |i: &[u32]| i.iter().map(|&i| (i, y_of_x[i as usize], g[y_of_x[i as usize] as usize])).collect();
        let (points, stand_ins): (Vec<Priced>, Vec<Priced>) = (pairs(&points), pairs(&stand_ins));
        mean.add(&points, &stand_ins, (control, Some(&told)))?;
    }
    Some(mean.take())
}

/// An x index, its y point, and the price of that.
type Priced = (u32, u32, f64);

/// The mean of what several samples of the pairs make of the prices of all y points.
struct MeanPrices<'a> {
    supports: Supports<'a>,
    /// `(m,)`
    sum: Vec<f64>,
    samples: f64,
}

impl<'a> MeanPrices<'a> {
    fn new(supports: Supports<'a>) -> Self {
        Self { supports, sum: vec![0.0; supports.num_y()], samples: 0.0 }
    }

    /// Adds what one sample makes of them, told its pairs and its unmatched y points. `None` if asked to stop.
    fn add(
        &mut self,
        points: &[Priced],
        unmatched: &[Priced],
        (control, told): (Control<'_>, Option<Told<'_>>),
    ) -> Option<()> {
        // Of few x points among many y points a sample may have none.
        if points.is_empty() {
            return Some(());
        }
        let supports = self.supports;
        let highest = |some: &[Priced]| some.iter().map(|&(.., price)| price).fold(f64::NEG_INFINITY, f64::max);
        let level = highest(if unmatched.is_empty() { points } else { unmatched });
        let f: Vec<f64> = points.par_iter().map(|&(i, j, price)| supports.between(i, j) - price + level).collect();
        let mut partners = vec![u32::MAX; self.sum.len()];
        points.iter().enumerate().for_each(|(at, &(_, j, _))| partners[j as usize] = at as u32);
        let members: Vec<u32> = points.iter().map(|&(i, ..)| i).collect();
        let x = supports.x.gather(&members);
        let some = Supports { x: Rows::of(&x, supports.dimension()), ..supports };
        let pricer = Pricer::new(some.turned(), None);
        let pricer = told.map_or(pricer, |told| pricer.telling(told));
        let prices = pricer.least(&partners, &f, &|| control.should_stop())?;
        // Prices are defined up to a constant, unless some y points stay unmatched.
        let all = supports.num_x() == supports.num_y();
        let level = if all { prices.iter().sum::<f64>() / prices.len() as f64 } else { 0.0 };
        let highest = if all { f64::INFINITY } else { 0.0 };
        self.sum.iter_mut().zip(prices).for_each(|(sum, price)| *sum += (price - level).min(highest));
        self.samples += 1.0;
        Some(())
    }

    fn take(self) -> Vec<f64> {
        self.sum.into_iter().map(|sum| sum / f64::max(self.samples, 1.0)).collect()
    }
}

/// x indices, those of points before those of stand-ins; either as they were.
fn points_first(supports: Supports<'_>, x_order: &[u32]) -> (Vec<u32>, Vec<u32>) {
    x_order.iter().partition(|&&i| supports.is_point(i))
}

/// So many x indices in random order.
fn drawn(session: &Session<'_>, pairs: usize) -> Vec<u32> {
    let mut x_order = shuffled(session);
    x_order.truncate(pairs);
    x_order
}

/// All x indices, stand-ins included, in random order.
fn shuffled(session: &Session<'_>) -> Vec<u32> {
    let mut x_order: Vec<u32> = (0..session.supports.num_y() as u32).collect();
    x_order.shuffle(&mut stream(session.params.seed, &[6]));
    x_order
}

/// Solves small samples exactly, ranges of `x_order`, each on its own.
fn solve_each(
    supports: Supports<'_>,
    pairing: &mut Pairing,
    x_order: &[u32],
    samples: &[usize],
    control: Control<'_>,
) -> Option<()> {
    let quiet = Quiet(control);
    let leaves = BlockSolver { supports, device: None, control: Control::start(&quiet, None), phase: Phase::Exact };
    let solved = leaves.solve(pairing, x_order, samples, false);
    if !solved.complete() {
        return None;
    }
    solved.apply(pairing, supports.num_x());
    Some(())
}

/// Improves the pairs of `count` equal samples, ranges of `x_order`, and prices them; those of more than 1,024 pairs by ever larger parts of
/// them, up to what prices the whole. The last ones are improved by `last_rounds`. Gives the ranges.
fn solve_samples(
    supports: Supports<'_>,
    pairing: &mut Pairing,
    x_order: &[u32],
    (count, last_rounds): (usize, usize),
    control: Control<'_>,
) -> Option<Vec<usize>> {
    let len = x_order.len();
    let mut levels = 0;
    while len.div_ceil(count * PARTS.pow(levels)) > LARGEST_PART {
        levels += 1;
    }
    let mut samples = equal_offsets(len, count * PARTS.pow(levels));
    solve_each(supports, pairing, x_order, &samples, control)?;
    let rounds_at = |level: u32| if level == 0 { last_rounds } else { ROUNDS };
    // Each sample is looked at once to price it by its parts, and once in each round.
    let looked_at = |range: &[usize], level: u32| ((range[1] - range[0]).pow(2) * (1 + rounds_at(level))) as u64;
    for level in (0..levels).rev() {
        let larger = equal_offsets(len, count * PARTS.pow(level));
        control.begin(Phase::Prices, larger.windows(2).map(|range| looked_at(range, level)).sum());
    }
    for level in (0..levels).rev() {
        let larger = equal_offsets(len, count * PARTS.pow(level));
        let rounds = rounds_at(level);
        let joined: Vec<Option<Sample>> = larger
            .par_windows(2)
            .zip(samples.par_windows(PARTS + 1).step_by(PARTS))
            .map(|(range, cuts)| {
                let cuts: Vec<usize> = cuts.iter().map(|cut| cut - range[0]).collect();
                let sample = Sample::join(supports, pairing, &x_order[range[0]..range[1]], &cuts, control)?;
                let sample = sample.improve(rounds, control);
                control.advance(Phase::Prices, looked_at(range, level));
                sample
            })
            .collect();
        for sample in joined {
            sample?.apply(pairing);
        }
        samples = larger;
    }
    Some(samples)
}

/// A sample of the pairs as a problem of its own; places in it stand for points. Its stand-ins come last, as in any problem.
struct Sample<'a> {
    whole: Supports<'a>,
    /// `(s,)`: the x indices.
    x_order: Vec<u32>,
    /// `(s,)`: their y points.
    y_order: Vec<u32>,
    /// The points of x, without stand-ins, and of y; rows of d.
    x: Vec<f32>,
    y: Vec<f32>,
    /// `(s,)`
    y_of_x: Vec<u32>,
    /// `(s,)`
    g: Vec<f64>,
}

impl<'a> Sample<'a> {
    /// The pairs of `x_order`, priced by the mean of the samples `cuts[k]..cuts[k + 1]` of them.
    fn join(
        whole: Supports<'a>,
        pairing: &Pairing,
        x_order: &[u32],
        cuts: &[usize],
        control: Control<'_>,
    ) -> Option<Self> {
        let (points, stand_ins) = points_first(whole, x_order);
        let is_point = |range: &[usize]| x_order[range[0]..range[1]].iter().filter(|&&i| whole.is_point(i)).count();
        let points_of: Vec<usize> = cuts.windows(2).map(is_point).collect();
        let y_of = |i: &u32| pairing.y_of_x[*i as usize];
        let x = whole.x.gather(&points);
        let x_order = [points, stand_ins].concat();
        let y_order: Vec<u32> = x_order.iter().map(y_of).collect();
        let (y, len) = (whole.y.gather(&y_order), x_order.len());
        let mut sample = Self { whole, x_order, y_order, x, y, y_of_x: (0..len as u32).collect(), g: vec![0.0; len] };
        let priced = |at: usize| (at as u32, at as u32, pairing.g[sample.y_order[at] as usize]);
        let mut mean = MeanPrices::new(sample.supports());
        let (mut point, mut stand_in) = (0, points_of.iter().sum::<usize>());
        for (cut, &points) in cuts.windows(2).zip(&points_of) {
            let others = cut[1] - cut[0] - points;
            let points: Vec<Priced> = (point..point + points).map(priced).collect();
            let unmatched: Vec<Priced> = (stand_in..stand_in + others).map(priced).collect();
            mean.add(&points, &unmatched, (control, None))?;
            (point, stand_in) = (point + points.len(), stand_in + others);
        }
        let g = mean.take();
        sample.g = g;
        Some(sample)
    }

    fn supports(&self) -> Supports<'_> {
        let d = self.whole.dimension();
        Supports { x: Rows::of(&self.x, d), y: Rows::of(&self.y, d), ..self.whole }
    }

    fn improve(mut self, rounds: usize, control: Control<'_>) -> Option<Self> {
        if rounds > 0 && !self.x.is_empty() {
            let pricer = Pricer::new(self.supports(), None);
            let mut improved = PricedRounds::new(pricer, self.y_of_x.clone(), self.g.clone());
            for _ in 0..rounds {
                if improved.round(0.0, &|| control.should_stop())?.optimal {
                    break;
                }
            }
            let PricedRounds { y_of_x, g, .. } = improved;
            (self.y_of_x, self.g) = (y_of_x, g);
        }
        Some(self)
    }

    fn apply(self, pairing: &mut Pairing) {
        for (&i, &at) in self.x_order.iter().zip(&self.y_of_x) {
            let y = self.y_order[at as usize];
            (pairing.y_of_x[i as usize], pairing.g[y as usize]) = (y, self.g[at as usize]);
        }
    }
}
