//! A first pairing in few dimensions: optimal between the centres of small groups, handed down from coarse groups to fine.

use super::pairing::Pairing;
use super::params::{HirefParams, Quality};
use super::session::Session;
use crate::assignment::{AssignmentSolver, CostMatrix};
use crate::control::Control;
use crate::cost::CostKind;
use crate::error::Error;
use crate::geometry::{Supports, equal_offsets, kd_order};
use crate::points::Rows;
use crate::pricing::{PricedRounds, Pricer};
use crate::report::{Event, LevelReport, Phase};
use rayon::prelude::*;
use std::time::Instant;

/// Up to this many coordinates small groups of neighbours stand for their members well enough.
const MAX_DIMENSION: usize = 4;
/// Groups of the coarsest level, as a power of two.
const COARSEST: u32 = 9;
/// Each level has this power of two times the groups of the one before.
const STEP: u32 = 2;
/// Mean members of a group on the finest level, at least.
const FEWEST_MEMBERS: usize = 3;
/// A level is done once its gap is this small; what is left is undone by the next.
const GAP: f64 = 1e-4;
/// Rounds of pricing and sparse solves on a level of at most so many groups; larger ones only hand down (but at `best`), and the sweeps over
/// the points mend what is left. Measured on the half-moon, n = 2^20: a round on 2^18 groups would take a third of the whole time.
const ROUNDS: [(usize, usize); 2] = [(1 << 14, 8), (1 << 16, 1)];
/// Groups beyond the first size have rounds only if they have this many members on average: centres of fewer scatter nearly like the
/// points, and pairing them takes as long.
const SMOOTH_MEMBERS: usize = 8;

/// Whether a problem is of the kind that this start is for; else its points are split by low-rank transport.
pub(crate) fn suits(supports: Supports<'_>, params: &HirefParams) -> bool {
    let metric = matches!(supports.cost, CostKind::SquaredEuclidean | CostKind::Euclidean);
    let n = supports.num_x();
    metric
        && supports.dimension() <= MAX_DIMENSION
        && n == supports.num_y()
        && supports.restrictions.is_none()
        && n > params.leaf_size.max(4 * FEWEST_MEMBERS)
}

/// Pairs n x points with n y points in few dimensions.
///
/// Both sides are cut into the same number of equal groups by k-d trees. The assignment between the groups' centres is solved on the
/// coarsest level; on each finer one the four children of a group start out paired with those of its partner, at prices continued along the
/// cost's gradient, and rounds of pricing and sparse solves mend what the coarser level could not see. Long displacements
/// are right from the start, which no local exchange could achieve later. O(n log n) time, O(n) memory.
///
/// References: \[M11\] for the multiscale idea (semi-discrete squared Euclidean); \[S16\] for sparse multiscale transport. We differ in that
/// groups are of equal size, so that every level is an assignment.
pub(crate) fn first_pairing(session: &mut Session<'_>) -> Result<Pairing, Error> {
    let Session { supports, params, .. } = *session;
    let control = session.control.without_deadline();
    let n = supports.num_x();
    let finest = (n / FEWEST_MEMBERS).ilog2();
    let schedule: Vec<u32> = {
        // The coarsest level takes what does not divide into whole steps.
        let coarsest = if finest <= COARSEST { finest } else { COARSEST - (COARSEST - finest % STEP) % STEP };
        (coarsest..=finest).step_by(STEP as usize).collect()
    };
    let total: u64 = schedule.iter().map(|&level| 1_u64 << level).sum();
    control.begin(Phase::Split, total);
    let offsets = equal_offsets(n, 1 << finest);
    let sorted = |rows: Rows<'_>| {
        let mut order: Vec<u32> = (0..n as u32).collect();
        kd_order(&mut order, &rows.all(), rows.dimension(), &offsets);
        order
    };
    let (x_order, y_order) = rayon::join(|| sorted(supports.x), || sorted(supports.y));
    let mut coarser: Option<Level> = None;
    for (number, &level) in schedule.iter().enumerate() {
        let started = Instant::now();
        let groups = 1 << level;
        let level = Level::new(supports, &x_order, &y_order, groups);
        let (y_of_x, g) = coarser.as_ref().map_or_else(|| level.first(), |coarser| coarser.children(&level));
        let suits = |&&(largest, _): &&(usize, usize)| {
            groups <= largest && (groups <= ROUNDS[0].0 || n / groups >= SMOOTH_MEMBERS)
        };
        let rounds = ROUNDS.iter().find(suits).map_or(0, |&(_, rounds)| rounds);
        // Prices that have been mended on every level certify a smaller gap.
        let rounds = if params.quality == Quality::Best { rounds.max(1) } else { rounds };
        let level = level.solve((y_of_x, g), rounds, control)?;
        control.advance(Phase::Split, groups as u64);
        let rank = coarser.as_ref().map_or(groups, |coarser| groups / coarser.y_of_x.len());
        let seconds = started.elapsed().as_secs_f64();
        let block_size = n.div_ceil(groups);
        let report =
            LevelReport { level: number, rank, blocks: groups, block_size, block_coupling_cost: None, seconds };
        control.tell(&Event::LevelFinished(report.clone()));
        session.record.levels.push(report);
        coarser = Some(level);
    }
    let Some(last) = coarser else { unreachable!("there is at least one level") };
    Ok(last.members(supports, &x_order, &y_order))
}

/// Groups of both sides as points at their centres, paired and priced.
struct Level {
    dimension: usize,
    cost: CostKind,
    /// `(groups, d)`
    x: Vec<f32>,
    y: Vec<f32>,
    y_of_x: Vec<u32>,
    g: Vec<f64>,
}

impl Level {
    fn new(supports: Supports<'_>, x_order: &[u32], y_order: &[u32], groups: usize) -> Self {
        let d = supports.dimension();
        let offsets = equal_offsets(x_order.len(), groups);
        let centres = |rows: Rows<'_>, order: &[u32]| {
            let rows = rows.all();
            let mut centres = vec![0.0_f32; groups * d];
            centres.par_chunks_exact_mut(d).enumerate().for_each(|(group, centre)| {
                let members = &order[offsets[group]..offsets[group + 1]];
                for (k, c) in centre.iter_mut().enumerate() {
                    let sum: f64 = members.iter().map(|&i| f64::from(rows[i as usize * d + k])).sum();
                    *c = (sum / members.len() as f64) as f32;
                }
            });
            centres
        };
        let (x, y) = (centres(supports.x, x_order), centres(supports.y, y_order));
        Self { dimension: d, cost: supports.cost, x, y, y_of_x: Vec::new(), g: Vec::new() }
    }

    fn x_row(&self, i: usize) -> &[f32] {
        &self.x[i * self.dimension..][..self.dimension]
    }

    fn y_row(&self, j: usize) -> &[f32] {
        &self.y[j * self.dimension..][..self.dimension]
    }

    /// The coarsest level's optimum, by one dense solve.
    fn first(&self) -> (Vec<u32>, Vec<f64>) {
        let groups = self.x.len() / self.dimension;
        let mut cost = CostMatrix::<f64>::default();
        cost.resize(groups);
        for (i, row) in cost.rows_mut().enumerate() {
            row.iter_mut().enumerate().for_each(|(j, c)| *c = self.cost.between(self.x_row(i), self.y_row(j)));
        }
        let mut solver = AssignmentSolver::default();
        let optimum = solver.solve(&cost);
        (optimum.column_of_row.to_vec(), optimum.g.to_vec())
    }

    /// What this level's pairing and prices mean for a finer one.
    fn children(&self, finer: &Self) -> (Vec<u32>, Vec<f64>) {
        let fan_out = finer.x.len() / self.x.len();
        let mut y_of_x = Vec::with_capacity(self.y_of_x.len() * fan_out);
        let mut g = vec![0.0; self.g.len() * fan_out];
        for (x, &y) in self.y_of_x.iter().enumerate() {
            let y = y as usize;
            let children = y * fan_out..(y + 1) * fan_out;
            for (child, g) in children.clone().zip(&mut g[children]) {
                y_of_x.push(child as u32);
                *g = self.price_at(x, y, finer.y_row(child));
            }
        }
        (y_of_x, g)
    }

    /// The price of a point near group y, continued along the gradient that the cost has there as seen from y's partner x.
    fn price_at(&self, x: usize, y: usize, point: &[f32]) -> f64 {
        let (from, centre) = (self.x_row(x), self.y_row(y));
        let (mut along, mut square) = (0.0, 0.0);
        for ((&x, &y), &p) in from.iter().zip(centre).zip(point) {
            let (x, y, p) = (f64::from(x), f64::from(y), f64::from(p));
            along += (y - x) * (p - y);
            square += (y - x) * (y - x);
        }
        let slope = match self.cost {
            CostKind::Euclidean if square > 0.0 => square.sqrt().recip(),
            CostKind::Euclidean => 0.0,
            _ => 2.0,
        };
        self.g[y] + slope * along
    }

    /// Rounds of pricing and sparse solves, ending with the best prices seen.
    fn solve(
        mut self,
        (y_of_x, g): (Vec<u32>, Vec<f64>),
        rounds_allowed: usize,
        control: Control<'_>,
    ) -> Result<Self, Error> {
        let (x, y) = (Rows::of(&self.x, self.dimension), Rows::of(&self.y, self.dimension));
        let pricer = Pricer::new(Supports::new(x, y, self.cost), None);
        let mut rounds = PricedRounds::new(pricer, y_of_x, g).keeping_all();
        for _ in 0..rounds_allowed {
            let round = rounds.round(GAP, &|| control.should_stop()).ok_or(Error::Interrupted)?;
            if round.optimal || rounds.relative_gap(round.mean_cost) <= GAP {
                break;
            }
        }
        let PricedRounds { y_of_x, g, bound, .. } = rounds;
        (self.y_of_x, self.g) = (y_of_x, bound.map_or(g, |bound| bound.g));
        Ok(self)
    }

    /// The pairing and prices of the points themselves, from those of the finest groups.
    fn members(&self, supports: Supports<'_>, x_order: &[u32], y_order: &[u32]) -> Pairing {
        let n = x_order.len();
        let offsets = equal_offsets(n, self.y_of_x.len());
        let (mut y_of_x, mut prices) = (vec![0; n], vec![0.0; n]);
        let (mut spare_x, mut spare_y) = (Vec::new(), Vec::new());
        for (group, &partner) in self.y_of_x.iter().enumerate() {
            let partner = partner as usize;
            let xs = &x_order[offsets[group]..offsets[group + 1]];
            let ys = &y_order[offsets[partner]..offsets[partner + 1]];
            for &y in ys {
                prices[y as usize] = self.price_at(group, partner, &supports.y_row(y));
            }
            xs.iter().zip(ys).for_each(|(&x, &y)| y_of_x[x as usize] = y);
            // Sizes differ by one at most.
            spare_x.extend(xs.iter().skip(ys.len()));
            spare_y.extend(ys.iter().skip(xs.len()));
        }
        spare_x.into_iter().zip(spare_y).for_each(|(x, y): (u32, u32)| y_of_x[x as usize] = y);
        Pairing::priced(y_of_x, prices, n)
    }
}
