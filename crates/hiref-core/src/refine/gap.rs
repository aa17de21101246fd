//! How far from the optimum, as a sample of the points tells: an estimate with a confidence interval, and no proof.

mod groups;

use super::output::GapEstimate;
use super::pairing::Pairing;
use super::samples::prices_by_few;
use super::session::Session;
use crate::control::Control;
use crate::cost::CostKind;
use crate::geometry::Supports;
use crate::math::mean_between;
use crate::points::Rows;
use crate::pricing::{Pricer, as_share};
use crate::report::Phase;
use crate::rng::stream;
use groups::Groups;
use rand::Rng;
use rayon::prelude::*;
use std::ops::RangeInclusive;

/// How sure the interval is to hold the gap.
const CONFIDENCE: f64 = 0.999;
/// Rows looked at unless the parameters say how many. A sweep takes as long as some rows for each pair of a block: a sixteenth of the pairs
/// keeps the estimate a small part of the sweeps' time, and depends on nothing but them.
const ROWS: RangeInclusive<usize> = 1024..=8192;
const ROWS_PER_SWEPT: f64 = 0.0625;
/// Pairs of the samples that find the prices. Theirs is a search by bytes for the least cost alone, and takes as long as d and a constant:
/// so many take a fifth of the sweeps' time.
const PAIRS: RangeInclusive<usize> = 4096..=32_768;
const PAIRS_PER_SWEPT_TIMES_DIMENSION: usize = 400;
const CONSTANT_DIMENSION: usize = 40;
/// Rows that tell which prices are better.
const PILOT_ROWS: usize = 512;
/// A gap under the prices of the sweeps, as a share of the cost, below which none are sought in samples, which takes longer in few dimensions than all
/// sweeps: the half-moon at 2^20 points, 24 s of processor time for solve and estimate with samples (0.007%), 11 without (0.7%).
const GOOD_ENOUGH: f64 = 0.01;

/// Estimates the duality gap of a pairing; `None` if the observer asked to stop.
///
/// For any prices g the mean cost exceeds the dual bound by the mean over x of the slack `(c_iπ(i) - g_π(i)) - min_j (c_ij - g_j)`, which
/// is never negative, plus, where y points stay unmatched, what their prices lack to the largest. The former is estimated from random rows, drawn
/// in proportion to an upper limit of their slack; the latter is known. The prices come from samples of the pairs, drawn beforehand: the rows of
/// the estimate are independent of them. O((rows + pairs) · m · d).
pub(crate) fn estimate_gap(session: &Session<'_>, pairing: &Pairing, mean_cost: f64) -> Option<GapEstimate> {
    let (supports, seed, control) = (session.supports, session.params.seed, session.control.without_deadline());
    let n = supports.num_x();
    let swept = session.record.sweeps.iter().map(|sweep| sweep.block_size).sum();
    // A round over everything takes far longer than as many rows as that.
    let rows_by_work = if pairing.is_consistent() { *ROWS.end() } else { rows_after(swept) };
    let rows = session.params.gap_rows.unwrap_or(rows_by_work).min(n);
    let pairs = pairs_after(swept, session.supports.dimension());
    let g = prices(session, pairing, mean_cost, pairs, control)?;
    let limits = Limits::new(supports, pairing, &g);
    let unmatched: f64 = pairing.y_of_x[n..].iter().map(|&j| limits.highest - g[j as usize]).sum::<f64>() / n as f64;
    let share = |gap: f64| as_share(gap + unmatched, mean_cost);
    let estimate = if rows == n {
        let all: Vec<u32> = (0..n as u32).collect();
        let slack = limits.slack(pairing, &g, &all, control)?;
        let gap = share(slack.iter().sum::<f64>() / n as f64);
        GapEstimate { value: gap, low: gap, high: gap, confidence: 1.0, rows }
    } else {
        let drawn = limits.draw(rows, seed);
        let mut distinct = drawn.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let slack = limits.slack(pairing, &g, &distinct, control)?;
        let shares: Vec<f64> = drawn
            .iter()
            .map(|&i| {
                let at = distinct.partition_point(|&other| other < i);
                (slack[at] / limits.slack[i as usize]).clamp(0.0, 1.0)
            })
            .collect();
        let mean = shares.iter().sum::<f64>() / rows as f64;
        let (low, high) = mean_between(&shares, 1.0 - CONFIDENCE);
        let [value, low, high] = [mean, low, high].map(|part| share(part * limits.mean));
        GapEstimate { value, low, high, confidence: CONFIDENCE, rows }
    };
    Some(estimate)
}

/// The prices to estimate by: those of rounds over everything, if there were any; those that the sweeps have left, where they are consistent and as few
/// rows tell good enough; else those of samples, or the better of the two. The rows of the estimate are drawn independently of these.
fn prices(
    session: &Session<'_>,
    pairing: &Pairing,
    mean_cost: f64,
    pairs: usize,
    control: Control<'_>,
) -> Option<Vec<f64>> {
    if pairing.is_consistent() {
        return Some(pairing.g.clone());
    }
    if !session.sweeps_leave_prices() {
        return prices_by_few(session, pairing, pairs, (Phase::Certify, control));
    }
    let (supports, n) = (session.supports, session.supports.num_x());
    let mut rng = stream(session.params.seed, &[7]);
    let rows: Vec<u32> = (0..PILOT_ROWS).map(|_| rng.random_range(0..n as u32)).collect();
    let open = |g: &[f64]| {
        let floor = floor_of(supports, pairing, g, &rows, control)?;
        let own = rows.iter().map(|&i| {
            let j = pairing.y_of_x[i as usize];
            supports.between(i, j) - g[j as usize]
        });
        Some(own.zip(floor).map(|(own, floor)| own - floor).sum::<f64>() / rows.len() as f64)
    };
    let left = open(&pairing.g)?;
    if left <= GOOD_ENOUGH * mean_cost.abs() {
        return Some(pairing.g.clone());
    }
    let sampled = prices_by_few(session, pairing, pairs, (Phase::Certify, control))?;
    Some(if open(&sampled)? < left { sampled } else { pairing.g.clone() })
}

/// `min_j (c_ij - g_j)` of some rows, from below.
fn floor_of(
    supports: Supports<'_>,
    pairing: &Pairing,
    g: &[f64],
    rows: &[u32],
    control: Control<'_>,
) -> Option<Vec<f64>> {
    control.begin(Phase::Certify, rows.len() as u64 * supports.num_y() as u64);
    let told = |pairs| control.advance(Phase::Certify, pairs);
    let x = supports.x.gather(rows);
    let some = Supports { x: Rows::of(&x, supports.dimension()), ..supports };
    let partners: Vec<u32> = rows.iter().map(|&i| pairing.y_of_x[i as usize]).collect();
    Pricer::new(some, None).telling(&told).c_transform_x(&partners, g, &|| control.should_stop())
}

/// So many rows that the estimate takes a small part of the time of sweeps over `swept` pairs for each point.
fn rows_after(swept: usize) -> usize {
    ((ROWS_PER_SWEPT * swept as f64) as usize).clamp(*ROWS.start(), *ROWS.end())
}

/// As many pairs for the samples, in the same way.
fn pairs_after(swept: usize, dimension: usize) -> usize {
    let pairs = PAIRS_PER_SWEPT_TIMES_DIMENSION * swept / (dimension + CONSTANT_DIMENSION);
    pairs.clamp(*PAIRS.start(), *PAIRS.end())
}

/// What no row's slack exceeds.
struct Limits<'a> {
    supports: Supports<'a>,
    /// The largest price.
    highest: f64,
    /// `(n,)`
    own: Vec<f64>,
    /// `(n,)`
    slack: Vec<f64>,
    mean: f64,
}

impl<'a> Limits<'a> {
    fn new(supports: Supports<'a>, pairing: &Pairing, g: &[f64]) -> Self {
        let n = supports.num_x();
        let highest = g.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // No distance is negative; what the groups say of the rest is better as a rule.
        let distance = supports.cost != CostKind::NegativeInnerProduct;
        let bounds = Groups::new(supports, &pairing.y_of_x, g).bounds();
        let (own, slack): (Vec<f64>, Vec<f64>) = (0..n as u32)
            .into_par_iter()
            .zip(bounds)
            .map(|(i, bound)| {
                let j = pairing.y_of_x[i as usize];
                let own = supports.between(i, j) - g[j as usize];
                let bound = if distance { bound.max(-highest) } else { bound };
                // More than rounding can add to a slack; a row that is known to have none is not drawn but for that.
                (own, (own - bound).max(0.0) + 1e-9 * (own.abs() + bound.abs()))
            })
            .unzip();
        let mean = slack.iter().sum::<f64>() / n as f64;
        Self { supports, highest, own, slack, mean }
    }

    /// Rows drawn with replacement, each as likely as its limit is large.
    fn draw(&self, rows: usize, seed: u64) -> Vec<u32> {
        let mut sum = 0.0;
        let sums: Vec<f64> = self
            .slack
            .iter()
            .map(|limit| {
                sum += limit;
                sum
            })
            .collect();
        let mut rng = stream(seed, &[5]);
        let last = sums.len() - 1;
        let at = |target: f64| sums.partition_point(|&up_to| up_to <= target).min(last) as u32;
        (0..rows).map(|_| at(sum * rng.random::<f64>())).collect()
    }

    /// The slack of some rows.
    fn slack(&self, pairing: &Pairing, g: &[f64], rows: &[u32], control: Control<'_>) -> Option<Vec<f64>> {
        let floor = floor_of(self.supports, pairing, g, rows, control)?;
        Some(rows.iter().zip(floor).map(|(&i, floor)| (self.own[i as usize] - floor).max(0.0)).collect())
    }
}
