//! A start of the exact solve by splits, leaves and sweeps over all places of both sides.

use super::output::Kind;
use super::rounds::{Start, Task};
use crate::assignment::sparse::{CandidateEdges, FREE};
use crate::cost::CostKind;
use crate::error::Error;
use crate::geometry::Supports;
use crate::points::{Points, Rows};
use crate::pricing::{Pricer, align};
use crate::problem::Problem;
use crate::refine::{HirefOutput, HirefParams, Quality, WarmStart};
use crate::report::{Event, Observer, Termination};
use crate::restrictions::{Forbidden, Restrictions};
use candle_core::Device;
use rayon::prelude::*;
use std::time::Instant;

/// Solves by which the price of singles is sought where there are too many points for exact rounds.
const PRICE_SEARCHES: usize = 10;
/// And how near the number of pairs may come to the one wanted, as a share of it.
const NEAR_ENOUGH: f64 = 0.002;
/// Sweeps that prepare an exact solve, at most.
const SWEEPS_BEFORE_EXACT: usize = 16;
/// Seconds that a solve gets at least: its first pairing is always finished.
const SHORTEST_SOLVE: f64 = 1e-3;

/// What a start is made of; rows are those of the side with fewer places.
pub(crate) struct Hierarchy<'a> {
    pub(crate) params: &'a HirefParams,
    pub(crate) supports: Supports<'a>,
    pub(crate) task: &'a Task<'a>,
    pub(crate) forbidden: &'a Forbidden,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) started: Instant,
    /// Whether rounds follow that end at the optimum.
    pub(crate) exact_end: bool,
}

/// The places of both sides: items by index, each as often as it may be paired; and their points, where some item has several places.
struct Places {
    rows: Vec<u32>,
    columns: Vec<u32>,
    copies: Option<[Vec<f32>; 2]>,
}

impl Hierarchy<'_> {
    /// The start of the rounds, and the last solve that led there.
    pub(crate) fn start(&self, kind: Kind) -> Result<(Start, HirefOutput), Error> {
        let places = self.places();
        // Where an exact solve follows, sweeps only prepare it.
        let quality = if self.exact_end { Quality::Fast } else { self.params.quality };
        let (price, output) = match kind {
            Kind::Unmatched(cost) => (cost, self.solve(&places, cost, quality, None)?),
            Kind::Pairs(count) if count == places.rows.len() => {
                (f64::INFINITY, self.solve(&places, f64::INFINITY, quality, None)?)
            }
            Kind::Pairs(count) => {
                // Where all are paired, outliers make the others dear: the price is about what the dearest of the wanted pairs costs there.
                let all = self.solve(&places, f64::INFINITY, Quality::Fast, None)?;
                let price = self.cost_of_rank(&places, &all, count);
                let first = self.solve(&places, price, quality, Some(&all.warm_start()))?;
                if self.exact_end { (price, first) } else { self.seek_price(&places, count, (price, first), all)? }
            }
        };
        Ok((self.start_of(&places, kind, price, &output), output))
    }

    /// Solves for other prices until there are about as many pairs as wanted, and no fewer: the last such price and its solve.
    fn seek_price(
        &self,
        places: &Places,
        count: usize,
        (mut price, mut output): (f64, HirefOutput),
        all: HirefOutput,
    ) -> Result<(f64, HirefOutput), Error> {
        let (mut low, mut low_count) = (self.task.costs.lowest(), 0);
        let (mut best, mut best_count) = ((f64::INFINITY, all), places.rows.len());
        for _ in 0..PRICE_SEARCHES {
            let found = self.costs_of(places, &output).into_iter().filter(|&cost| cost < price).count();
            let guess = self.cost_of_rank(places, &output, count);
            let near = found >= count && (found - count) as f64 <= NEAR_ENOUGH * count as f64;
            let cut_short = matches!(output.termination, Termination::Interrupted | Termination::TimeLimit);
            let earlier = output.warm_start();
            if found >= count {
                (best, best_count) = ((price, output), found);
            } else {
                (low, low_count) = (price, found);
            }
            if near || cut_short {
                break;
            }
            // The number of pairs grows with the price: above by what it costs to reach the rank, below along the line between both ends.
            let aimed = count as f64 * (1.0 + 0.5 * NEAR_ENOUGH) - low_count as f64;
            let share = (aimed / (best_count - low_count).max(1) as f64).clamp(0.1, 0.9);
            let high = best.0.min(low + 2.0 * (price - low).abs().max(guess - low));
            price = if found >= count && guess > low && guess < high { guess } else { low + share * (high - low) };
            output = self.solve(places, price, self.params.quality, Some(&earlier))?;
        }
        Ok(best)
    }

    fn places(&self) -> Places {
        let task = self.task;
        let rows: Vec<u32> = (0..task.rows.len() as u32).map(|row| task.rows.item(row)).collect();
        let copies = |(item, &capacity): (usize, &u32)| std::iter::repeat_n(item as u32, capacity as usize);
        let columns: Vec<u32> = task.capacity.iter().enumerate().flat_map(copies).collect();
        let once = |items: &[u32], count: usize| items.len() == count && items.iter().zip(0..).all(|(&a, b)| a == b);
        let plain = once(&rows, self.supports.num_x()) && once(&columns, self.supports.num_y());
        let copies = (!plain).then(|| [self.supports.x.gather(&rows), self.supports.y.gather(&columns)]);
        Places { rows, columns, copies }
    }

    /// Pairs all places at the least total of `min(c, price)`, by a solve without an exact end.
    fn solve(
        &self,
        places: &Places,
        price: f64,
        quality: Quality,
        warm_start: Option<&WarmStart>,
    ) -> Result<HirefOutput, Error> {
        let Supports { x, y, cost, .. } = self.supports;
        let problem = if let Some([x, y]) = &places.copies {
            let d = self.supports.dimension();
            Problem::new((x, d), (y, d), cost)?
        } else {
            Problem::new(Points::from(x), Points::from(y), cost)?
        };
        let limits = self.restrictions(places, price);
        let problem = if let Some(limits) = limits { problem.restricted(limits) } else { problem };
        let left = |limit: f64| (limit - self.started.elapsed().as_secs_f64()).max(SHORTEST_SOLVE);
        let params = HirefParams {
            quality,
            max_sweeps: self.params.max_sweeps.or(self.exact_end.then_some(SWEEPS_BEFORE_EXACT)),
            exact_limit: Some(0),
            certify: false,
            estimate_gap: false,
            time_limit: self.params.time_limit.map(left),
            ..self.params.clone()
        };
        params.check()?.on_device(&Device::Cpu).solve(&problem, warm_start, &WithoutCheckpoints(self.observer))
    }

    /// What restricts the costs between places, if anything does.
    fn restrictions(&self, places: &Places, price: f64) -> Option<Restrictions> {
        if price.is_infinite() && self.forbidden.rows().is_empty() {
            return None;
        }
        let mut places_of = vec![Vec::new(); self.supports.num_y()];
        places.columns.iter().zip(0..).for_each(|(&item, place)| places_of[item as usize].push(place));
        let row_pairs = |(&item, row): (&u32, u32)| {
            let columns = self.forbidden.of(item).iter();
            columns.flat_map(|&column| &places_of[column as usize]).map(move |&place| [row, place]).collect::<Vec<_>>()
        };
        let forbidden = Forbidden::new(places.rows.iter().zip(0..).flat_map(row_pairs));
        Some(Restrictions::new(price, 4.0 * self.extent(), forbidden))
    }

    /// No pair costs so much more than another.
    fn extent(&self) -> f64 {
        let (x, y) = (largest_norm(self.supports.x), largest_norm(self.supports.y));
        match self.supports.cost {
            CostKind::SquaredEuclidean => (x + y) * (x + y),
            CostKind::Euclidean => x + y,
            CostKind::Cosine => 2.0,
            CostKind::NegativeInnerProduct => 2.0 * x * y,
        }
    }

    /// What each row's pair costs, whatever its price; infinite for a pair that may not be.
    fn costs_of(&self, places: &Places, output: &HirefOutput) -> Vec<f64> {
        let pairs = places.rows.par_iter().zip(output.permutation.y_of_x());
        pairs.map(|(&row, &place)| self.task.costs.between(row, places.columns[place as usize])).collect()
    }

    /// The cost of the pair of some rank, from 1, counted from the cheapest.
    fn cost_of_rank(&self, places: &Places, output: &HirefOutput, rank: usize) -> f64 {
        let mut costs = self.costs_of(places, output);
        *costs.select_nth_unstable_by(rank - 1, f64::total_cmp).1
    }

    /// What a solve means for the rounds: its pairs, less those that are not worth their price, and prices of the columns.
    fn start_of(&self, places: &Places, kind: Kind, price: f64, output: &HirefOutput) -> Start {
        let costs = self.costs_of(places, output);
        let single = self.task.costs.num_columns() as u32;
        let y_of_x = output.permutation.y_of_x();
        let mut worth: Vec<bool> = costs.iter().map(|&cost| cost < price || price.is_infinite()).collect();
        if let Kind::Pairs(count) = kind
            && count < worth.len()
        {
            let mut by_cost: Vec<u32> = (0..costs.len() as u32).collect();
            by_cost.sort_by(|&a, &b| costs[a as usize].total_cmp(&costs[b as usize]).then(a.cmp(&b)));
            by_cost.iter().enumerate().for_each(|(rank, &row)| worth[row as usize] = rank < count);
        }
        let column = |row: usize| match () {
            () if !worth[row] => single,
            () if costs[row].is_infinite() => FREE,
            () => places.columns[y_of_x[row] as usize],
        };
        let column_of_row: Vec<u32> = (0..costs.len()).map(column).collect();
        let known = CandidateEdges::of_rows(column_of_row.iter().zip(&costs).map(|(&column, &cost)| {
            let pair = (column < single).then_some((column, cost));
            pair.into_iter()
        }));
        let g = self.prices(places, price, &worth, output);
        let single_price =
            if price.is_finite() { self.task.singles.map_or(0.0, |singles| singles.cost - price) } else { 0.0 };
        Start { column_of_row, g, single_price, known }
    }

    /// Prices of the columns, at most 0: those that a solve has left to its places, made consistent across its blocks.
    fn prices(&self, places: &Places, price: f64, worth: &[bool], output: &HirefOutput) -> Vec<f64> {
        let (prices, block) = output.prices();
        let (mut g, y_of_x) = (prices.to_vec(), output.permutation.y_of_x());
        let bijection = g.len() == y_of_x.len();
        if bijection && price.is_infinite() {
            if places.copies.is_none() {
                let pricer = Pricer::new(self.supports, None);
                align(pricer, y_of_x, &mut g, block, &|| self.observer.should_stop());
            }
        } else {
            self.count_from_singles(places, price, worth, output, &mut g);
        }
        let highest = g.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // Places of one item have nearly the same price.
        let (mut sum, mut count) = (vec![0.0; self.supports.num_y()], vec![0.0_f64; self.supports.num_y()]);
        for (&item, g) in places.columns.iter().zip(&g) {
            sum[item as usize] += (g - highest).min(0.0);
            count[item as usize] += 1.0;
        }
        sum.iter().zip(count).map(|(sum, count)| sum / count.max(1.0)).collect()
    }

    /// Shifts the prices of each block so that its places that stay free have the price 0; where there are none, so that no single would rather
    /// be paired, nor a row that is paired be single.
    fn count_from_singles(&self, places: &Places, price: f64, worth: &[bool], output: &HirefOutput, g: &mut [f64]) {
        let block = output.prices().1;
        let blocks = block.iter().max().map_or(0, |&last| last as usize + 1);
        let (mut free, mut highest) = (vec![f64::NEG_INFINITY; blocks], vec![f64::NEG_INFINITY; blocks]);
        let mut lowest = vec![f64::NEG_INFINITY; blocks];
        let mut taken = vec![false; g.len()];
        let y_of_x = output.permutation.y_of_x();
        for ((&place, cost), _) in
            y_of_x.iter().zip(self.costs_of(places, output)).zip(worth).filter(|&(_, &worth)| worth)
        {
            let (place, at) = (place as usize, block[place as usize] as usize);
            taken[place] = true;
            // What a row saves by its pair is at most what it would cost single.
            lowest[at] = lowest[at].max(cost - price - g[place]);
        }
        for (place, &g) in g.iter().enumerate() {
            let at = block[place] as usize;
            highest[at] = highest[at].max(g);
            if !taken[place] {
                free[at] = free[at].max(g);
            }
        }
        for (g, &at) in g.iter_mut().zip(block) {
            let at = at as usize;
            let shift = match () {
                () if free[at].is_finite() => -free[at],
                () if lowest[at].is_finite() => 0.5 * (lowest[at].min(-highest[at]) - highest[at]),
                () => -highest[at],
            };
            *g = (*g + shift).min(0.0);
        }
    }
}

/// The largest length of a point.
pub(super) fn largest_norm(rows: Rows<'_>) -> f64 {
    let square = |i: usize| rows.row(i).iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
    (0..rows.num_points()).into_par_iter().map(square).reduce(|| 0.0, f64::max).sqrt()
}

/// An observer of a solve from which no other goes on.
struct WithoutCheckpoints<'a>(&'a dyn Observer);

impl Observer for WithoutCheckpoints<'_> {
    fn on_event(&self, event: &Event) {
        self.0.on_event(event);
    }

    fn should_stop(&self) -> bool {
        self.0.should_stop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;
    use hiref_testkit::{Cost, exact_of_matrix};
    use rand::Rng;

    /// One leaf holds everything, so that the solve is exact: its total is that of the best pairs and singles on the matrix with a stand-in for each
    /// item, whose entries cost half of the price with an item and nothing with each other.
    #[test]
    fn pairs_above_the_price_stand_for_two_singles() {
        let mut rng = stream(31, &[]);
        for trial in 0..20 {
            let (n, m, d) = (rng.random_range(1..20_usize), rng.random_range(20..30_usize), 3);
            let mut points = |count: usize| (0..count * d).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f32>>();
            let (x, y) = (points(n), points(m));
            let cost = CostKind::ALL[trial % 4];
            let price = if cost == CostKind::NegativeInnerProduct { -0.3 } else { 0.2 };
            let between = |i: usize, j: usize| Cost::of_name(cost.name()).between(&x[i * d..][..d], &y[j * d..][..d]);
            let size = n + m;
            let entry = |at: usize| match (at / size, at % size) {
                (i, j) if i < n && j < m => between(i, j),
                (i, j) if i >= n && j >= m => 0.0,
                _ => 0.5 * price,
            };
            let matrix: Vec<f64> = (0..size * size).map(entry).collect();
            let least: f64 =
                exact_of_matrix(&matrix, size, size).into_iter().enumerate().map(|(i, j)| matrix[i * size + j]).sum();
            let limits = Restrictions::new(price, f64::INFINITY, Forbidden::default());
            let problem = Problem::new((&x, d), (&y, d), cost).unwrap().restricted(limits);
            let solved = HirefParams::default().check().unwrap().solve(&problem, None, &()).unwrap();
            // The surplus of the larger side is single in any case.
            let got = solved.mean_cost * n as f64 + 0.5 * price * (m - n) as f64;
            assert!((got - least).abs() < 1e-9 * (1.0 + least.abs()), "{cost} {n} x {m}: {got} against {least}");
        }
    }
}
