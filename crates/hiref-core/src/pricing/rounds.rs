//! Exact assignment of whole supports by rounds of pricing and sparse solves.

use super::candidates::Pricing;
use super::damping::best_share;
use super::pricer::{Pricer, Told};
use super::probe::Clustered;
use super::unlisted::{candidates_of_columns, candidates_of_unlisted};
use crate::assignment::sparse::{CandidateEdges, Edge, Unassigned, assign, rounding, solve_sparse};
use rayon::prelude::*;

/// A gap from which a pass over all pairs may lead to the tolerance, where a tree makes it a small part of the work.
const WORTH_A_PASS: f64 = 0.05;

/// New prices are followed in part in so many rounds at most: where points coincide, parts of the way gain what rounding leaves and never end.
const DAMPED_ROUNDS: usize = 8;

/// Candidates of each x point in a round that looks into clusters. Measured on generated embeddings, 131,072 points, a thousand groups of other sizes on
/// either side: with 16 each, those of a group are all of its own, and prices fall without end.
const PROBED_CANDIDATES: usize = 48;
/// And of each y point: what either side finds alone leaves out many of the best pairs. Measured on text embeddings of 256 dimensions, n = 58,829: both
/// sides that look into a 32nd each end 1.3% above the optimum after one round, x points that look into a 16th 1.7%.
const PROBED_OF_Y: usize = 8;

/// A pairing of whole supports, prices, and what they prove.
///
/// Column generation for the assignment problem: prices g give each x point its least reduced costs `c_ij - g_j` over *all* y points,
/// hence a dual bound, and the candidates that a sparse exact solve chooses among; its prices are the next round's. Candidates are kept, so
/// the cost never rises and the rounds end at the optimum: those of the last rounds and as many of the others, the least under the present
/// prices. Measured: 4 to 6 rounds where the prices start out nearly right; far more for the Euclidean cost in the plane, whose prices are
/// not unique.
///
/// References: \[FF58\] for column generation; \[JV87\] for the searches.
pub(crate) struct PricedRounds<'a> {
    pricer: Pricer<'a>,
    edges: CandidateEdges,
    /// `(m,)`: how many x points each y point takes; one each if absent.
    capacity: Option<Vec<u32>>,
    /// `(m,)`, stand-ins last; `(n,)` with capacities.
    pub(crate) y_of_x: Vec<u32>,
    /// `(m,)`
    pub(crate) g: Vec<f64>,
    /// The best bound so far.
    pub(crate) bound: Option<DualBound>,
    /// Columns reached by all searches so far, the measure of the work done.
    pub(crate) reached: usize,
    keeps_all: bool,
    /// Rounds that follow new prices as far as the bound gains by them.
    damped_rounds: usize,
}

/// A lower bound on the optimum and the prices that prove it.
#[derive(Debug, Clone)]
pub(crate) struct DualBound {
    /// Bound on the mean cost over the min(n, m) pairs.
    pub(crate) value: f64,
    /// `(n,)`: never above `min_j (c_ij - g_j)`.
    pub(crate) f: Vec<f64>,
    /// `(m,)`
    pub(crate) g: Vec<f64>,
}

impl DualBound {
    /// `(Σ_i f_i + Σ_j g_j - (m - n) max g) / n`, rounded down: the stand-ins for "no partner" take the largest price.
    pub(crate) fn new(f: Vec<f64>, g: Vec<f64>) -> Self {
        Self::with_capacity(f, g, None)
    }

    /// The same where y points take several x points each, if capacities are told: `(Σ_i f_i + Σ_j k_j g_j - (Σ_j k_j - n) max g) / n`.
    fn with_capacity(f: Vec<f64>, g: Vec<f64>, capacity: Option<&[u32]>) -> Self {
        let highest = g.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let of_column = |(j, g): (usize, &f64)| capacity.map_or(1.0, |k| f64::from(k[j])) * (g - highest);
        // Every term is counted from the largest price, so that their sum stays small: f + highest and g - highest.
        let terms = || f.iter().map(|f| f + highest).chain(g.iter().enumerate().map(of_column));
        let (mut sum, mut size) = (CompensatedSum::default(), 0.0_f64);
        for term in terms() {
            sum.add(term);
            size += term.abs();
        }
        let rounding = size * 4.0 * f64::EPSILON;
        let value = ((sum.total() - rounding) / f.len() as f64).next_down();
        Self { value, f, g }
    }
}

/// Neumaier's summation.
#[derive(Default)]
struct CompensatedSum {
    sum: f64,
    lost: f64,
}

impl CompensatedSum {
    fn add(&mut self, term: f64) {
        let next = self.sum + term;
        self.lost += if self.sum.abs() >= term.abs() { (self.sum - next) + term } else { (term - next) + self.sum };
        self.sum = next;
    }

    fn total(&self) -> f64 {
        self.sum + self.lost
    }
}

/// What one round found.
pub(crate) struct Round {
    /// Mean cost of the pairing before the round.
    pub(crate) mean_cost: f64,
    /// Whether the pairing was found to be optimal, up to rounding.
    pub(crate) optimal: bool,
    /// Whether the round left the pairing and the prices as they were: so would all further ones.
    pub(crate) settled: bool,
}

/// What a round over clusters found.
pub(crate) struct Probed {
    /// Mean cost of the pairing before it.
    pub(crate) mean_cost: f64,
    /// What the bound on the mean cost gains by its prices, as a sample tells; 0 if nothing, and they are as they were.
    pub(crate) gain: f64,
}

/// What a sparse solve found.
struct Solved {
    edges: CandidateEdges,
    y_of_x: Vec<u32>,
    g: Vec<f64>,
}

impl<'a> PricedRounds<'a> {
    /// Starts from a pairing of n x points and m - n stand-ins, `(m,)`, and prices, `(m,)`.
    pub(crate) fn new(pricer: Pricer<'a>, y_of_x: Vec<u32>, g: Vec<f64>) -> Self {
        Self::start(pricer, None, y_of_x, g)
    }

    /// Starts from n x points that y points take, up to `capacity` of them each, `(m,)`; and prices, `(m,)`.
    pub(crate) fn with_capacity(pricer: Pricer<'a>, capacity: Vec<u32>, y_of_x: Vec<u32>, g: Vec<f64>) -> Self {
        Self::start(pricer, Some(capacity), y_of_x, g)
    }

    fn start(pricer: Pricer<'a>, capacity: Option<Vec<u32>>, y_of_x: Vec<u32>, g: Vec<f64>) -> Self {
        let edges = CandidateEdges::empty(pricer.supports.num_x());
        let (bound, reached, keeps_all, damped_rounds) = (None, 0, false, 0);
        let mut rounds = Self { pricer, edges, capacity, y_of_x, g, bound, reached, keeps_all, damped_rounds };
        let leftovers = rounds.leftovers();
        if !leftovers.is_empty() {
            // What stays unmatched does so because no price is larger: none is above 0, and those are 0.
            let highest = rounds.highest();
            rounds.g.iter_mut().for_each(|g| *g -= highest);
            leftovers.into_iter().for_each(|j| rounds.g[j as usize] = 0.0);
        }
        rounds
    }

    fn highest(&self) -> f64 {
        self.g.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The y points that could take more x points.
    fn leftovers(&self) -> Vec<u32> {
        let Some(capacity) = &self.capacity else { return self.y_of_x[self.pricer.supports.num_x()..].to_vec() };
        let mut room = capacity.clone();
        self.y_of_x.iter().for_each(|&j| room[j as usize] -= 1);
        (0..room.len() as u32).filter(|&j| room[j as usize] > 0).collect()
    }

    /// The same, keeping the candidates of all rounds: in few rounds over few points their prices end closer to consistent ones.
    pub(crate) fn keeping_all(self) -> Self {
        Self { keeps_all: true, ..self }
    }

    /// The same, following the prices of sparse solves only as far as the bound gains by them. Measured on generated embeddings, 384 dimensions,
    /// 16,384 points: a gap of 1.4% after three rounds, where prices followed all the way leave 6.3%.
    ///
    /// Samples, whose prices are a mean of many, are better off without: one mixture of 64 dimensions, 65,536 points, a bound 3.5% below the optimum with
    /// it in the rounds of the samples, 1.9% without.
    pub(crate) fn damped(self) -> Self {
        Self { damped_rounds: DAMPED_ROUNDS, ..self }
    }

    /// The same, telling of the pairs that its rounds look at, as [`Self::pairs_of_round`] and [`Self::pairs_of_probe`] count them.
    pub(crate) fn telling(mut self, told: Told<'a>) -> Self {
        self.pricer = self.pricer.telling(told);
        self
    }

    /// Pairs that a round looks at.
    pub(crate) fn pairs_of_round(&self) -> u64 {
        self.pricer.supports.num_x() as u64 * self.pricer.supports.num_y() as u64
    }

    /// Pairs that a round over clusters looks at, about.
    pub(crate) fn pairs_of_probe(&self, share: f64) -> u64 {
        (2.0 * share * self.pairs_of_round() as f64) as u64
    }

    /// Candidates kept for each x point, on average.
    pub(crate) fn candidates_per_row(&self) -> f64 {
        self.edges.len() as f64 / self.edges.num_rows() as f64
    }

    /// `(cost - bound) / |cost|` for a pairing of this mean cost, at least 0; infinite without a bound.
    pub(crate) fn relative_gap(&self, mean_cost: f64) -> f64 {
        self.bound.as_ref().map_or(f64::INFINITY, |bound| relative_gap(mean_cost, bound.value))
    }

    /// Prices all y points for each x point; then, unless the bound meets `tolerance` or nothing is left to improve, solves over the candidates.
    /// `None` if `should_stop` said so; the pairing is then that of the round before.
    pub(crate) fn round(&mut self, tolerance: f64, should_stop: &(dyn Fn() -> bool + Sync)) -> Option<Round> {
        let supports = self.pricer.supports;
        let n = supports.num_x();
        let pricing = self.pricer.price(&self.y_of_x, &self.g, self.pricer.candidates(), should_stop)?;
        let own = self.own_costs();
        let mean_cost = own.iter().sum::<f64>() / n as f64;
        self.offer(DualBound::with_capacity(pricing.floor.clone(), self.g.clone(), self.capacity.as_deref()));
        if self.pricer.by_tree() && (tolerance..WORTH_A_PASS).contains(&self.relative_gap(mean_cost)) {
            self.raise(should_stop)?;
        }
        let optimal = self.leftovers_are_free()
            && (0..n).all(|i| {
                let (partner, first) = (self.y_of_x[i] as usize, i * pricing.width);
                let best = pricing.columns[first] as usize;
                let (own, least) = ((own[i], self.g[partner]), (pricing.costs[first], self.g[best]));
                own.0 - own.1 <= least.0 - least.1 + rounding(own, least)
            });
        if optimal || self.relative_gap(mean_cost) <= tolerance {
            return Some(Round { mean_cost, optimal, settled: false });
        }
        let kept = if self.keeps_all { usize::MAX } else { pricing.width };
        let more = if self.is_one_to_one() {
            let price =
                |some: &[u32], width| self.pricer.price_some_y(&self.y_of_x, some, &pricing.floor, width, should_stop);
            candidates_of_unlisted(&pricing, supports.num_y(), price)?
        } else {
            Vec::new()
        };
        let mut solved = self.solve_over((&pricing, &more, &own), kept, should_stop)?;
        // Before new prices are drawn back: what a later round, with a longer step, would make of them is not known.
        let settled = solved.y_of_x == self.y_of_x && solved.g == self.g;
        self.damp(&mut solved.g, should_stop)?;
        let settled = settled && solved.g == self.g;
        self.take(solved);
        Some(Round { mean_cost, optimal, settled })
    }

    /// A round in which either side looks for candidates in a share of the other's clusters, a small part of all pairs, and which proves nothing; one to one
    /// only. Its new prices are followed as far as the bound gains by them. `None` as for [`Self::round`].
    pub(crate) fn probe(
        &mut self,
        clusters: &Clustered,
        share: f64,
        should_stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Probed> {
        debug_assert!(self.is_one_to_one(), "clusters are looked into one to one");
        let supports = self.pricer.supports;
        let own = self.own_costs();
        let mean_cost = own.iter().sum::<f64>() / own.len() as f64;
        let width = self.pricer.candidates().min(PROBED_CANDIDATES);
        let pricing = clusters.price(supports, &self.g, (share, width), should_stop)?;
        self.pricer.tell(self.pairs_of_probe(share) / 2);
        let of_y = clusters.price_y(supports, &pricing.floor, (share, PROBED_OF_Y), should_stop)?;
        self.pricer.tell(self.pairs_of_probe(share).div_ceil(2));
        let more = candidates_of_columns(&of_y, |j| j as u32);
        drop(of_y);
        let mut solved = self.solve_over((&pricing, &more, &own), pricing.width, should_stop)?;
        let draw = self.reached as u64;
        let (step, gain) = best_share(supports, &self.g, (&solved.g, None), draw, should_stop)?;
        solved.g.iter_mut().zip(&self.g).for_each(|(new, old)| *new = old + step * (*new - old));
        self.take(solved);
        Some(Probed { mean_cost, gain })
    }

    /// Whether each point has one partner.
    fn is_one_to_one(&self) -> bool {
        self.pricer.supports.num_x() == self.pricer.supports.num_y() && self.capacity.is_none()
    }

    /// The cost of each x point with its partner, `(n,)`.
    fn own_costs(&self) -> Vec<f64> {
        let supports = self.pricer.supports;
        (0..supports.num_x()).into_par_iter().map(|i| supports.between(i as u32, self.y_of_x[i])).collect()
    }

    /// The best pairing over the candidates there are and new ones, of which each row keeps `kept` of the former; and its prices.
    fn solve_over(
        &mut self,
        (pricing, more, own): (&Pricing, &[Edge], &[f64]),
        kept: usize,
        should_stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Solved> {
        let supports = self.pricer.supports;
        let n = supports.num_x();
        let new = (&pricing.columns[..], &pricing.costs[..], more);
        let edges = self.edges.with(new, (&self.y_of_x[..n], own), (kept, &self.g));
        let (mut y_of_x, mut g) = (self.y_of_x.clone(), self.g.clone());
        let reached = match &self.capacity {
            Some(capacity) => solve_with_capacity(&edges, capacity, &mut y_of_x, &mut g, should_stop)?,
            None if n == supports.num_y() => solve_sparse(&edges, &mut y_of_x, &mut g, should_stop)?,
            None => solve_some(&edges, &mut y_of_x, &mut g, should_stop)?,
        };
        self.reached += reached;
        Some(Solved { edges, y_of_x, g })
    }

    fn take(&mut self, solved: Solved) {
        (self.edges, self.y_of_x, self.g) = (solved.edges, solved.y_of_x, solved.g);
    }

    /// Whether no y point that could take more has a lower price than another: it would be too dear for the x points.
    fn leftovers_are_free(&self) -> bool {
        let highest = self.highest();
        self.leftovers().into_iter().all(|j| self.g[j as usize] == highest)
    }

    /// Draws new prices back towards those of the best bound, as far as a sample of rows tells to; `None` if asked to stop.
    fn damp(&mut self, new: &mut [f64], should_stop: &(dyn Fn() -> bool + Sync)) -> Option<()> {
        let supports = self.pricer.supports;
        let is_damped = self.damped_rounds > 0;
        let Some(best) = self.bound.as_ref().filter(|_| is_damped) else { return Some(()) };
        self.damped_rounds -= 1;
        let capacity = self.capacity.as_deref();
        let (share, _) = best_share(supports, &best.g, (new, capacity), self.reached as u64, should_stop)?;
        // Where none gains, the sample knows too little.
        let share = if share > 0.0 { share } else { 1.0 };
        new.iter_mut().zip(&best.g).for_each(|(new, best)| *new = best + share * (*new - best));
        Some(())
    }

    /// Keeps a bound if it is better than what there is.
    fn offer(&mut self, bound: DualBound) {
        if self.bound.as_ref().is_none_or(|best| bound.value > best.value) {
            self.bound = Some(bound);
        }
    }

    /// Raises the prices of the best bound as far as its other potentials allow, by one pass over all pairs: the c-transform `g_j = min_i
    /// (c_ij - f_i)`. Where prices are not unique, those of the sparse solves lie at an extreme and the bound gains much. Where some y points could
    /// take more, no price rises above 0, that of theirs: the solves ask for it, and the bound would lose by it.
    fn raise(&mut self, should_stop: &(dyn Fn() -> bool + Sync)) -> Option<()> {
        let Some(best) = &self.bound else { return Some(()) };
        let mut g = self.pricer.silent().c_transform_y(&self.y_of_x, &best.f, should_stop)?;
        if !self.leftovers().is_empty() {
            g.iter_mut().for_each(|g| *g = g.min(0.0));
        }
        let raised = DualBound::with_capacity(best.f.clone(), g, self.capacity.as_deref());
        self.offer(raised);
        Some(())
    }
}

/// As [`solve_sparse`] for columns that take several rows.
fn solve_with_capacity(
    edges: &CandidateEdges,
    capacity: &[u32],
    column_of_row: &mut [u32],
    g: &mut [f64],
    should_stop: &dyn Fn() -> bool,
) -> Option<usize> {
    match assign(edges, capacity, column_of_row, g, should_stop) {
        Ok(reached) => Some(reached),
        Err(Unassigned::Stopped) => None,
        Err(Unassigned::TooFewColumns { .. }) => unreachable!("the present partners are candidates"),
    }
}

/// As [`solve_sparse`] for fewer rows than columns; the stand-ins, last in `y_of_x`, take the columns that are left.
fn solve_some(
    edges: &CandidateEdges,
    y_of_x: &mut [u32],
    g: &mut [f64],
    should_stop: &dyn Fn() -> bool,
) -> Option<usize> {
    let (rows, stand_ins) = y_of_x.split_at_mut(edges.num_rows());
    let reached = solve_with_capacity(edges, &vec![1; g.len()], rows, g, should_stop)?;
    let mut taken = vec![false; g.len()];
    rows.iter().for_each(|&column| taken[column as usize] = true);
    let keep = |column: u32| !taken[column as usize];
    // A stand-in keeps its column, if that is still left.
    let mut kept = taken.clone();
    stand_ins.iter().filter(|&&column| keep(column)).for_each(|&column| kept[column as usize] = true);
    let mut left = (0..g.len() as u32).filter(|&column| !kept[column as usize]);
    for column in stand_ins.iter_mut().filter(|column| !keep(**column)) {
        *column = left.next().expect("as many columns are left as there are stand-ins");
    }
    Some(reached)
}

/// `(cost - bound) / |cost|`, at least 0; 0 for what no number can tell from a closed gap.
pub(crate) fn relative_gap(cost: f64, bound: f64) -> f64 {
    as_share(cost - bound, cost)
}

/// What is open of a cost as a share of it.
pub(crate) fn as_share(open: f64, cost: f64) -> f64 {
    if open < f64::MIN_POSITIVE { 0.0 } else { open / cost.abs() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::CostKind;
    use crate::geometry::Supports;
    use crate::points::Rows;
    use hiref_testkit::problems;

    /// Rounds until the pairing is optimal.
    fn optimum(rounds: &mut PricedRounds<'_>) -> (f64, usize) {
        for round in 1..50 {
            let Round { mean_cost, optimal, .. } = rounds.round(0.0, &|| false).unwrap();
            if optimal {
                return (mean_cost, round);
            }
        }
        panic!("not optimal after 50 rounds");
    }

    #[test]
    fn rounds_over_clusters_come_close_and_ask_for_no_more_rounds_over_all_pairs() {
        let (n, d) = (6000, 32);
        let instance = problems::embeddings(n, n, d, 5);
        for cost in [CostKind::Cosine, CostKind::SquaredEuclidean] {
            let supports = Supports::new(Rows::of(&instance.x, d), Rows::of(&instance.y, d), cost);
            let start =
                || PricedRounds::new(Pricer::new(supports, None), (0..n as u32).collect(), vec![0.0; n]).damped();
            let (expected, without) = optimum(&mut start());
            let mut rounds = start();
            let clusters = Clustered::new(supports, &|| false).unwrap();
            let mut costs = Vec::new();
            for _ in 0..6 {
                let Probed { mean_cost, gain } = rounds.probe(&clusters, 1.0 / 32.0, &|| false).unwrap();
                assert!(gain >= 0.0 && rounds.bound.is_none(), "{cost}: they prove nothing");
                costs.push(mean_cost);
            }
            assert!(costs.is_sorted_by(|before, after| after <= before), "{cost}: {costs:?}");
            let close = rounds.own_costs().iter().sum::<f64>() / n as f64;
            println!("{cost}: {costs:?}, {close}; {expected} after {without} rounds");
            assert!(close >= expected - 1e-9 && close <= 1.02 * expected, "{cost}: {close} where {expected} is best");
            let (ended, with) = optimum(&mut rounds);
            assert!((ended - expected).abs() <= 1e-9 * expected.abs(), "{cost}: {ended} instead of {expected}");
            assert!(with <= without, "{cost}: {with} rounds over all pairs, {without} without those over clusters");
            assert!(start().probe(&clusters, 1.0 / 32.0, &|| true).is_none());
        }
    }
}
