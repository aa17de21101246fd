//! The sweeps: when to go on, with which blocks, and when to stop.

use super::grouping::{Grouping, group_pairs};
use crate::refine::checkpoint::State;
use crate::refine::multiscale;
use crate::refine::pairing::Pairing;
use crate::refine::params::Effort;
use crate::refine::session::Session;
use crate::refine::stage::Origin;
use crate::report::{Event, Phase, SweepReport, Termination};
use std::time::Instant;

/// Where an exact solve of everything follows, sweeps only prepare it: small blocks, until the gain still expected, as a
/// share of the cost, makes it the faster way on.
const TOLERANCE_BEFORE_EXACT: f64 = 0.02;
const SWEEPS_BEFORE_EXACT: usize = 3;
/// And where its prices come from samples, so many are enough, however much is left to gain. Measured on one mixture on both sides, 64 dimensions,
/// n = 32,768: 18 rounds follow 3 sweeps, 13 follow 8, and 7 follow 16, which take as long as one of them.
const SWEEPS_BEFORE_SAMPLES: usize = 16;
/// After so many it shows whether much is left, and of so many pairs not before: one mixture, 64 dimensions, n = 2^20, gains .5% by each of the first
/// three sweeps, and 10% by 32.
const SWEEPS_THAT_TELL: usize = 8;
const MANY_PAIRS: usize = 1 << 17;

/// Sweeps until a rule says stop, and says why if it was another than that nothing is left to gain. The record's costs start with the
/// pairing's. Offers the state after each sweep, and the one before a sweep that is cut short.
pub(crate) fn sweep(session: &mut Session<'_>, pairing: &mut Pairing, origin: Origin) -> Option<Termination> {
    let (supports, control, len) = (session.supports, session.control, pairing.y_of_x.len());
    let multiscale = multiscale::suits(supports, session.params);
    let swept = origin == Origin::EarlierSolve && !multiscale;
    let before_exact = session.ends_exactly().then(|| {
        if session.may_end_by_tree() {
            Ending::Perhaps
        } else if session.has_sampled_prices() {
            Ending::Sampled
        } else {
            Ending::Aligned
        }
    });
    let effort = effort_of_sweeps(session.effort(), len, before_exact, swept);
    // What comes down from coarse groups is nearly optimal; one sweep shows it.
    let min_sweeps = if multiscale { 1 } else { effort.min_sweeps };
    let offer = |session: &Session<'_>, pairing: &Pairing, last| {
        session.offer(State::Pairing(pairing), session.record.seconds, last);
    };
    loop {
        let number = session.record.sweeps.len() + 1;
        let costs = &session.record.costs;
        let cost = costs[costs.len() - 1];
        if number > min_sweeps && (number > effort.enough || little_left(costs, effort)) {
            return None;
        }
        if number > effort.max_sweeps {
            return Some(Termination::MaxIterations);
        }
        if control.should_stop() {
            offer(session, pairing, true);
            return Some(control.reason());
        }
        let started = Instant::now();
        let block_size = effort.block_size_of(number);
        let (seed, device) = (session.params.seed, session.device);
        let Grouping { order, offsets } =
            group_pairs(session.geometry, device, pairing, block_size, seed, number as u64);
        control.begin(Phase::Polish, len as u64);
        let solved = session.block_solver(Phase::Polish, control).solve(pairing, &order, &offsets, true);
        let complete = solved.complete();
        if !complete {
            offer(session, pairing, true);
        }
        let mean_cost = cost + solved.apply(pairing, supports.num_x()) / supports.num_x() as f64;
        let seconds = started.elapsed().as_secs_f64();
        let report = SweepReport { sweep: number, block_size, mean_cost, seconds };
        control.tell(&Event::SweepFinished(report.clone()));
        session.record.costs.push(mean_cost);
        session.record.sweeps.push(report);
        if !complete {
            return Some(control.reason());
        }
        offer(session, pairing, false);
    }
}

/// The exact solve of everything that follows sweeps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// From the prices that they leave.
    Aligned,
    /// From prices of samples.
    Sampled,
    /// From the prices that they leave, if they leave much to gain.
    Perhaps,
}

/// Whether so little is left to gain that sweeps are done, given the mean costs so far (the first before any sweep).
pub(crate) fn little_left(costs: &[f64], effort: Effort) -> bool {
    expected_gain(costs) <= effort.tolerance * costs[costs.len() - 1].abs()
}

/// The work to spend on sweeps of so many pairs; `before_exact` says which exact solve follows, if one does; `swept` says that an earlier solve has taken what small blocks can give.
fn effort_of_sweeps(effort: Effort, len: usize, before_exact: Option<Ending>, swept: bool) -> Effort {
    if let Some(ending) = before_exact {
        Effort {
            largest_block: effort.block_size,
            tolerance: if ending == Ending::Perhaps {
                effort.tolerance
            } else {
                effort.tolerance.max(TOLERANCE_BEFORE_EXACT)
            },
            enough: match ending {
                Ending::Aligned => effort.enough,
                Ending::Sampled => SWEEPS_BEFORE_SAMPLES,
                Ending::Perhaps => SWEEPS_THAT_TELL,
            },
            min_sweeps: if ending == Ending::Sampled && len > MANY_PAIRS {
                SWEEPS_THAT_TELL.min(effort.max_sweeps)
            } else {
                effort.min_sweeps.min(SWEEPS_BEFORE_EXACT)
            },
            ..effort
        }
    } else if swept {
        Effort { block_size: effort.largest_block, ..effort }
    } else {
        effort
    }
}

/// What further sweeps can be expected to gain, from the mean costs so far (the first before any sweep).
///
/// The excess over the optimum falls about like 1 / sweeps, so what is left after t sweeps is about t times what the last
/// ones gained each; on every measured set this over-estimates. Infinite before the first sweep; the first two count four times.
fn expected_gain(costs: &[f64]) -> f64 {
    let sweeps = costs.len() - 1;
    if sweeps == 0 {
        return f64::INFINITY;
    }
    let caution = if sweeps < 3 { 4.0 } else { 1.0 };
    let window = (sweeps / 3).max(2).min(sweeps);
    let gain_per_sweep = (costs[sweeps - window] - costs[sweeps]) / window as f64;
    caution * sweeps as f64 * gain_per_sweep
}

#[cfg(test)]
mod tests {
    use super::expected_gain;

    #[test]
    fn the_gain_left_is_not_under_estimated_under_harmonic_decay() {
        let costs: Vec<f64> = (0..40).map(|t| 1.0 + 1.0 / f64::from(t + 1)).collect();
        assert_eq!(expected_gain(&costs[..1]), f64::INFINITY);
        assert!((1..3).all(|sweeps| expected_gain(&costs[..=sweeps]) > costs[sweeps] - 1.0));
        for sweeps in 3..40 {
            let left = costs[sweeps] - 1.0;
            let expected = expected_gain(&costs[..=sweeps]);
            assert!((left..3.0 * left).contains(&expected), "{sweeps} sweeps: {expected} against {left}");
        }
        assert_eq!(expected_gain(&[2.0, 1.0, 1.0, 1.0, 1.0]), 0.0);
    }
}
