//! Prices that are consistent throughout, from random samples of the pairs.

use super::blocks::BlockSolver;
use super::pairing::Pairing;
use super::session::Session;
use crate::control::Control;
use crate::geometry::{Supports, equal_offsets};
use crate::points::Rows;
use crate::pricing::{PricedRounds, Pricer};
use crate::report::{Event, Observer, Phase};
use crate::rng::stream;
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// Pairs of the smallest samples, at most.
const SMALLEST: usize = 2048;
/// Samples that make a larger one.
const PARTS: usize = 4;
/// Rounds of pricing and sparse solves that improve a sample made of others. Measured on one mixture on both sides, 64 dimensions, n =
/// 16,384: after the first round of everything the cost is .55% above the optimum with one here, .04% with two, .04% with three.
const ROUNDS: usize = 2;

/// Whether prices are to be found here: where there are none that are consistent.
pub(crate) fn suits(session: &Session<'_>, pairing: &Pairing) -> bool {
    let consistent = pairing.is_priced() && pairing.block.iter().all(|&block| block == pairing.block[0]);
    session.has_sampled_prices() && session.supports.num_x() > SMALLEST && !consistent
}

/// Hears nothing, and says stop when another does: samples are no progress that is counted.
struct Quiet<'a>(Control<'a>);

impl Observer for Quiet<'_> {
    fn on_event(&self, _event: &Event) {}

    fn should_stop(&self) -> bool {
        self.0.should_stop()
    }
}

/// Improves a pairing of n = m points, and gives it prices that are consistent throughout; `None` if asked to stop.
///
/// The pairs are divided at random into samples of at most 2,048, each of which is a small problem of the same kind as the whole, solved
/// exactly. Its potentials f price all y points: `g_j = min_i (c_ij - f_i)` over the x points of the sample. Since the dual bound is
/// concave in the prices, their mean over several samples is no worse than the samples are on average. So four samples make a larger
/// one, which starts from the mean and is improved by rounds of pricing and sparse solves; and so on up to the whole, whose rounds are
/// the caller's.
///
/// Samples of pairs, not of points: what a sample of the points has too many of on one side, a cluster say, is left to chance, and its
/// prices with it. O(n m d) for the whole, a quarter of that for each step below.
pub(crate) fn price_by_samples(session: &Session<'_>, mut pairing: Pairing, control: Control<'_>) -> Option<Pairing> {
    let supports = session.supports;
    let len = supports.num_x();
    let mut x_order: Vec<u32> = (0..len as u32).collect();
    x_order.shuffle(&mut stream(session.params.seed, &[6]));
    let mut levels = 0;
    while len.div_ceil(PARTS.pow(levels)) > SMALLEST {
        levels += 1;
    }
    let mut samples = equal_offsets(len, PARTS.pow(levels));
    let quiet = Quiet(control);
    let leaves = BlockSolver { supports, device: None, control: Control::start(&quiet, None), phase: Phase::Exact };
    let solved = leaves.solve(&pairing, &x_order, &samples, false);
    if !solved.complete() {
        return None;
    }
    solved.apply(&mut pairing, len);
    for level in (0..levels).rev() {
        let larger = equal_offsets(len, PARTS.pow(level));
        let rounds = if level == 0 { 0 } else { ROUNDS };
        let joined: Vec<Option<Sample>> = larger
            .par_windows(2)
            .zip(samples.par_windows(PARTS + 1).step_by(PARTS))
            .map(|(range, cuts)| {
                let cuts: Vec<usize> = cuts.iter().map(|cut| cut - range[0]).collect();
                Sample::join(supports, &pairing, &x_order[range[0]..range[1]], &cuts, control)?.improve(rounds, control)
            })
            .collect();
        for (sample, range) in joined.into_iter().zip(larger.windows(2)) {
            sample?.apply(&x_order[range[0]..range[1]], &mut pairing);
        }
        samples = larger;
    }
    pairing.block.fill(0);
    Some(pairing)
}

/// A sample of the pairs as a problem of its own; places in it stand for points.
struct Sample<'a> {
    /// The points, `(s, d)` each.
    x: Vec<f32>,
    y: Vec<f32>,
    whole: Supports<'a>,
    /// `(s,)`: the y points.
    y_order: Vec<u32>,
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
        let y_order: Vec<u32> = x_order.iter().map(|&i| pairing.y_of_x[i as usize]).collect();
        let (x, y) = (whole.x.gather(x_order), whole.y.gather(&y_order));
        let len = x_order.len();
        let mut sample = Self { x, y, whole, y_order, y_of_x: (0..len as u32).collect(), g: vec![0.0; len] };
        let (d, supports) = (whole.dimension(), sample.supports());
        let own = |at: usize| supports.between(at as u32, at as u32) - pairing.g[sample.y_order[at] as usize];
        let f: Vec<f64> = (0..len).into_par_iter().map(own).collect();
        let mut g = vec![0.0; len];
        for part in cuts.windows(2) {
            let part = part[0]..part[1];
            let members = Supports { x: Rows::of(&sample.x[part.start * d..part.end * d], d), ..supports };
            let mut partners = vec![u32::MAX; len];
            part.clone().for_each(|at| partners[at] = (at - part.start) as u32);
            let prices = Pricer::new(members.turned(), None).least(&partners, &f[part], &|| control.should_stop())?;
            // Prices are defined up to a constant.
            let level = prices.iter().sum::<f64>() / len as f64;
            g.iter_mut().zip(prices).for_each(|(g, price)| *g += (price - level) / PARTS as f64);
        }
        sample.g = g;
        Some(sample)
    }

    fn supports(&self) -> Supports<'_> {
        let d = self.whole.dimension();
        Supports { x: Rows::of(&self.x, d), y: Rows::of(&self.y, d), ..self.whole }
    }

    fn improve(mut self, rounds: usize, control: Control<'_>) -> Option<Self> {
        if rounds > 0 {
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

    fn apply(self, x_order: &[u32], pairing: &mut Pairing) {
        for (&i, &at) in x_order.iter().zip(&self.y_of_x) {
            let y = self.y_order[at as usize];
            (pairing.y_of_x[i as usize], pairing.g[y as usize]) = (y, self.g[at as usize]);
        }
    }
}
