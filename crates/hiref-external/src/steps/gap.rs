//! How far from the optimum, as a sample of rows tells: prices from sampled pairs, slack over all of the larger side, streamed.
//!
//! For any prices g of the larger side the mean cost exceeds the dual bound by the mean slack `(c_iπ(i) - g_π(i)) - min_j (c_ij - g_j)`, plus,
//! where rows stay without a partner, what their prices lack to the largest. The prices are as in the solver's own estimate: a
//! few samples of pairs, each solved exactly, whose potentials f price every row by `min_i (c_ij - f_i)`; and of these the mean.

use super::finish::{CostNote, PRICE_ROWS, collected};
use crate::block::Quiet;
use crate::context::Context;
use crate::error::Error;
use crate::inputs::chunks;
use crate::plan::Plan;
use crate::segments::{Column, Group, Segments, write};
use crate::step::Step;
use crate::vectors::Vectors;
use hiref_core::math::{inner_products, mean_between};
use hiref_core::rng::order_key;
use hiref_core::{CostKind, HirefParams, Problem, UNMATCHED};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How sure the interval is to hold the gap.
const CONFIDENCE: f64 = 0.999;
/// Samples that price all rows.
const SAMPLES: usize = 4;
/// Rows whose costs are computed at a time.
const TILE: usize = 64;
const SOLVE: u64 = 11;

/// An estimate of how far the coupling is from the optimum at most, in shares of the mean cost; no proof.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// The duality gap, as the sample has it.
    pub value: f64,
    /// The lower end of its confidence interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The chance that the interval holds the gap; 1 where every row was looked at.
    pub confidence: f64,
    /// Rows looked at.
    pub rows: usize,
}

/// What a run comes to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) mean_cost: f64,
    pub(crate) gap: Option<Gap>,
}

/// Rows with what their costs need, in f32.
struct Side {
    /// `(rows, d)`, of unit length for the cosine.
    rows: Vec<f32>,
    /// Squares of their lengths.
    squares: Vec<f64>,
}

impl Side {
    fn new(plan: &Plan, rows: &[f32]) -> Self {
        let d = plan.dimension;
        let mut rows = rows.to_vec();
        if plan.cost == CostKind::Cosine {
            for row in rows.chunks_exact_mut(d) {
                let scale = 1.0 / crate::clusters::norm(row);
                row.iter_mut().for_each(|value| *value *= scale);
            }
        }
        let square = |row: &[f32]| row.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
        let squares = rows.chunks_exact(d).map(square).collect();
        Self { rows, squares }
    }

    fn len(&self) -> usize {
        self.squares.len()
    }
}

/// For each of `own` the least of `c - offset` over some of `others`.
fn least(plan: &Plan, own: &Side, others: &Side, offsets: &[f64]) -> Vec<f64> {
    let d = plan.dimension;
    let tiles: Vec<usize> = (0..own.len()).step_by(TILE).collect();
    let parts: Vec<Vec<f64>> = tiles
        .par_iter()
        .map(|&start| {
            let end = (start + TILE).min(own.len());
            let mut products = vec![0.0; (end - start) * others.len()];
            inner_products(&own.rows[start * d..end * d], &others.rows, d, &mut products, others.len());
            let of_row = |(row, products): (usize, &[f32])| {
                let square = own.squares[start + row];
                let cost = |(product, other): (&f32, &f64)| match plan.cost {
                    CostKind::SquaredEuclidean => square + other - 2.0 * f64::from(*product),
                    CostKind::Euclidean => (square + other - 2.0 * f64::from(*product)).max(0.0).sqrt(),
                    CostKind::Cosine => 1.0 - f64::from(*product),
                    CostKind::NegativeInnerProduct => -f64::from(*product),
                };
                let costs = products.iter().zip(&others.squares).map(cost);
                costs.zip(offsets).map(|(cost, offset)| cost - offset).fold(f64::INFINITY, f64::min)
            };
            products.chunks_exact(others.len()).enumerate().map(of_row).collect()
        })
        .collect();
    parts.concat()
}

/// Rows of the smaller side, `(rows, d)`, and their potentials.
type Potentials = (Vec<f32>, Vec<f64>);

/// The potentials of one sample.
struct Sample {
    x: Side,
    f: Vec<f64>,
}

/// Prices of rows of the larger side: the mean over the samples.
fn prices_of(plan: &Plan, samples: &[Sample], rows: &Side) -> Vec<f64> {
    let highest = if plan.unmatched() > 0 { 0.0 } else { f64::INFINITY };
    let mut prices = vec![0.0; rows.len()];
    for Sample { x, f } in samples {
        let own = least(plan, rows, x, f);
        prices.iter_mut().zip(own).for_each(|(price, own)| *price += own.min(highest) / samples.len() as f64);
    }
    prices
}

/// Rows are moved by the mean of the larger side, so that squares of what is left fit f32; other costs than distances stay as they are.
fn moved(plan: &Plan, shift: &[f32], rows: Vec<f32>) -> Vec<f32> {
    let mut rows = rows;
    if matches!(plan.cost, CostKind::SquaredEuclidean | CostKind::Euclidean) {
        let shift = &shift[plan.dimension..];
        for row in rows.chunks_exact_mut(plan.dimension) {
            row.iter_mut().zip(shift).for_each(|(value, shift)| *value -= shift);
        }
    }
    rows
}

fn widened(rows: &Vectors) -> Vec<f32> {
    (0..rows.len()).flat_map(|row| rows.row(row)).collect()
}

fn shift(context: &Context<'_>) -> Result<Vec<f32>, Error> {
    let mut shift = Vec::new();
    context.open(Step::Sample, 0)?.f32s("shift", 0, "shift", &mut shift)?;
    Ok(shift)
}

/// Solves the samples of pairs, and prices the partners of the sampled rows.
pub(crate) fn prices(context: &Context<'_>, sweeps: usize) -> Result<(), Error> {
    let plan = context.plan;
    let rows = || Vectors::with_capacity(plan.element, plan.dimension, 0);
    let (mut x, mut y, mut ids) = (rows(), rows(), Vec::new());
    let (mut gap_x, mut gap_y, mut costs) = (rows(), rows(), Vec::new());
    let files = collected(context, sweeps)?;
    for file in &files {
        file.u32s("prices", 0, "id", &mut ids)?;
        file.rows("prices", 0, "x_row", &mut x)?;
        file.rows("prices", 0, "y_row", &mut y)?;
        file.f64s("gap", 0, "cost", &mut costs)?;
        file.rows("gap", 0, "x_row", &mut gap_x)?;
        file.rows("gap", 0, "y_row", &mut gap_y)?;
    }
    for file in &files {
        file.u32s("singles", 0, "id", &mut ids)?;
        file.rows("singles", 0, "y_row", &mut y)?;
    }
    let seed = context.seed(PRICE_ROWS, 1, 0);
    let shift = shift(context)?;
    let mut samples = Vec::new();
    let (mut sample_of, mut all_f, mut all_x) = (Vec::new(), Vec::new(), Vec::new());
    for sample in 0..SAMPLES {
        let is_own = |at: &usize| order_key(seed, ids[*at].into()) % SAMPLES as u64 == sample as u64;
        let members: Vec<usize> = (0..ids.len()).filter(is_own).collect();
        let Some((own_x, f)) = potentials(context, &x, &y, &members, sample)? else { continue };
        let own_x = moved(plan, &shift, own_x);
        sample_of.extend(std::iter::repeat_n(samples.len() as u32, f.len()));
        all_f.extend_from_slice(&f);
        all_x.extend_from_slice(&own_x);
        samples.push(Sample { x: Side::new(plan, &own_x), f });
    }
    let partners = moved(plan, &shift, widened(&gap_y));
    let partners = if samples.is_empty() { Vec::new() } else { prices_of(plan, &samples, &Side::new(plan, &partners)) };
    let gap_x = moved(plan, &shift, widened(&gap_x));
    let d = plan.dimension;
    let count = partners.len();
    let groups = [
        Group::whole(
            "potentials",
            all_f.len(),
            vec![Column::u32s("sample", &sample_of), Column::f64s("f", &all_f), Column::f32s("row", &all_x, d)],
        ),
        Group::whole(
            "rows",
            count,
            vec![Column::f64s("cost", &costs), Column::f64s("price", &partners), Column::f32s("row", &gap_x, d)],
        ),
    ];
    write(&context.file(Step::Prices, 0), &(), &groups)
}

/// The rows of the smaller side in a sample of the pairs, and their potentials after an exact solve.
fn potentials(
    context: &Context<'_>,
    x: &Vectors,
    y: &Vectors,
    members: &[usize],
    sample: usize,
) -> Result<Option<Potentials>, Error> {
    let plan = context.plan;
    let pairs: Vec<usize> = members.iter().copied().filter(|&at| at < x.len()).collect();
    if pairs.is_empty() {
        return Ok(None);
    }
    let gather = |rows: &Vectors, of: &[usize]| of.iter().flat_map(|&at| rows.row(at)).collect::<Vec<f32>>();
    let (own_x, own_y) = (gather(x, &pairs), gather(y, members));
    let problem = Problem::new((&own_x, plan.dimension), (&own_y, plan.dimension), plan.cost)?;
    // One leaf that holds everything: its prices are consistent.
    let params = HirefParams { leaf_size: members.len().max(2), ..HirefParams::default() };
    let params = HirefParams { seed: context.seed(SOLVE, sample, 0), ..params };
    let solved = params.check()?.solve(&problem, None, &Quiet(context.stop))?;
    context.check_stop()?;
    let (g, _) = solved.prices();
    let partners = solved.permutation.y_of_x();
    let single = solved.permutation.x_of_y().into_iter().enumerate().filter(|&(_, x)| x == UNMATCHED);
    let level = single.map(|(y, _)| g[y]).fold(f64::NEG_INFINITY, f64::max);
    let highest = || g.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let level = match (plan.unmatched(), level.is_finite()) {
        (0, _) => 0.0,
        (_, true) => level,
        (_, false) => highest(),
    };
    let row = |at: usize| &own_x[at * plan.dimension..(at + 1) * plan.dimension];
    let f = |(at, &y): (usize, &u32)| {
        let partner = &own_y[y as usize * plan.dimension..(y as usize + 1) * plan.dimension];
        plan.cost.between(row(at), partner) - g[y as usize] + level
    };
    let f = partners.iter().enumerate().map(f).collect();
    Ok(Some((own_x, f)))
}

fn read_samples(plan: &Plan, file: &Segments) -> Result<Vec<Sample>, Error> {
    let (mut sample, mut f, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    file.u32s("potentials", 0, "sample", &mut sample)?;
    file.f64s("potentials", 0, "f", &mut f)?;
    file.f32s("potentials", 0, "row", &mut rows)?;
    let d = plan.dimension;
    let of = |range: std::ops::Range<usize>| Sample {
        x: Side::new(plan, &rows[range.start * d..range.end * d]),
        f: f[range].to_vec(),
    };
    let count = sample.last().map_or(0, |&last| last + 1);
    let bound = |number: u32| sample.partition_point(|&other| other < number);
    Ok((0..count).map(|number| of(bound(number)..bound(number + 1))).collect())
}

/// Least reduced costs of the sampled rows over one piece of the larger side.
pub(crate) fn gap(context: &Context<'_>, task: usize) -> Result<(), Error> {
    let plan = context.plan;
    let (side, range) = plan.piece(plan.pieces(0) + task);
    let file = context.open(Step::Prices, 0)?;
    let samples = read_samples(plan, &file)?;
    let mut rows = Vec::new();
    file.f32s("rows", 0, "row", &mut rows)?;
    let rows = Side::new(plan, &rows);
    let mut floor = vec![f64::INFINITY; rows.len()];
    let (mut highest, mut lowest, mut single) = (f64::NEG_INFINITY, f64::INFINITY, 0.0);
    if rows.len() > 0 {
        let mut taken = Vec::new();
        context.open(Step::Check, 0)?.bytes("taken", 0, "bits", &mut taken)?;
        let (means, shift) = (context.means()?, shift(context)?);
        for chunk in chunks(range, plan.chunk_rows) {
            context.check_stop()?;
            let own = moved(plan, &shift, context.inputs.rows(plan, side, chunk.clone(), &means)?);
            let own = Side::new(plan, &own);
            let prices = prices_of(plan, &samples, &own);
            for (&price, row) in prices.iter().zip(chunk) {
                highest = f64::max(highest, price);
                lowest = f64::min(lowest, price);
                if taken[row / 8] & (1 << (row % 8)) == 0 {
                    single += price;
                }
            }
            let found = least(plan, &rows, &own, &prices);
            floor.iter_mut().zip(found).for_each(|(floor, found)| *floor = floor.min(found));
        }
    }
    let prices = [highest, lowest, single];
    let groups = [
        Group::whole("rows", floor.len(), vec![Column::f64s("floor", &floor)]),
        Group::whole("prices", 3, vec![Column::f64s("value", &prices)]),
    ];
    write(&context.file(Step::Gap, task), &(), &groups)
}

/// Puts the figures together.
pub(crate) fn summary(context: &Context<'_>) -> Result<(), Error> {
    let plan = context.plan;
    let total: CostNote = context.open(Step::Check, 0)?.note()?;
    let mean_cost = total.sum / total.pairs as f64;
    let file = context.open(Step::Prices, 0)?;
    let (mut costs, mut prices) = (Vec::new(), Vec::new());
    file.f64s("rows", 0, "cost", &mut costs)?;
    file.f64s("rows", 0, "price", &mut prices)?;
    let mut floor = vec![f64::INFINITY; costs.len()];
    let (mut highest, mut lowest, mut single) = (f64::NEG_INFINITY, f64::INFINITY, 0.0);
    for task in 0..Step::Gap.tasks(plan) {
        let file = context.open(Step::Gap, task)?;
        let mut own = Vec::new();
        file.f64s("prices", 0, "value", &mut own)?;
        (highest, lowest, single) = (f64::max(highest, own[0]), f64::min(lowest, own[1]), single + own[2]);
        let mut own = Vec::new();
        file.f64s("rows", 0, "floor", &mut own)?;
        floor.iter_mut().zip(own).for_each(|(floor, own)| *floor = floor.min(own));
    }
    let slack: Vec<f64> =
        costs.iter().zip(&prices).zip(&floor).map(|((cost, price), floor)| (cost - price - floor).max(0.0)).collect();
    let gap = (!slack.is_empty()).then(|| {
        let n = plan.rows[0] as f64;
        let unmatched = if plan.unmatched() > 0 { (highest * plan.unmatched() as f64 - single) / n } else { 0.0 };
        // No row's slack is larger: its own reduced cost at most, the least of any pair at least.
        let least_cost =
            if plan.cost == CostKind::NegativeInnerProduct { -total.norms[0] * total.norms[1] } else { 0.0 };
        let limit = (total.largest - lowest - (least_cost - highest)).max(f64::MIN_POSITIVE);
        let shares: Vec<f64> = slack.iter().map(|slack| (slack / limit).min(1.0)).collect();
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        // JSON has no infinity.
        let share = |part: f64| ((part * limit + unmatched) / mean_cost.abs().max(f64::MIN_POSITIVE)).min(f64::MAX);
        if slack.len() == plan.rows[0] {
            let value = share(mean);
            return Gap { value, low: value, high: value, confidence: 1.0, rows: slack.len() };
        }
        let (low, high) = mean_between(&shares, 1.0 - CONFIDENCE);
        let [value, low, high] = [mean, low, high].map(share);
        Gap { value, low, high, confidence: CONFIDENCE, rows: slack.len() }
    });
    write(&context.file(Step::Summary, 0), &Figures { mean_cost, gap }, &[])
}
