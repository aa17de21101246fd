//! The certificate: prices of all points that bound the optimum from below.

use super::block_solver::Pairing;
use super::output::Certificate;
use crate::geometry::Supports;
use crate::pricing::{DualBound, align, c_transform_x, c_transform_y, relative_gap};
use crate::progress::{Event, Observer, Phase};

/// Passes over all pairs, at most: each raises the potentials of one side as far as the other's allow.
const PASSES: usize = 4;

/// Proves a bound from the best prices at hand: those of the exact rounds if there were any, else those of the blocks; `None` if the
/// observer asked to stop before there was one.
///
/// Each pass is a c-transform, `f_i = min_j (c_ij - g_j)` or the same for g: feasible by construction, and never lowering the bound.
pub(crate) fn certify(
    supports: Supports<'_>,
    pairing: &Pairing,
    mean_cost: f64,
    known: Option<DualBound>,
    observer: &dyn Observer,
) -> Option<Certificate> {
    let (n, m) = (supports.num_x(), supports.num_y());
    observer.on_event(&Event::PhaseStarted { phase: Phase::Certify, total: PASSES as u64 });
    let should_stop = || observer.should_stop();
    let advance = || observer.on_event(&Event::Advanced { phase: Phase::Certify, work: 1 });
    let c_transform_x = |g: &[f64]| c_transform_x(supports, &pairing.y_of_x, g, &should_stop);
    let mut bound = known;
    if bound.is_none() {
        let mut g = pairing.g.clone();
        if n == m {
            align(supports, &pairing.y_of_x, &mut g, &pairing.block);
        }
        bound = c_transform_x(&g).map(|f| DualBound::new(f, g));
        advance();
    }
    for pass in 1..PASSES {
        let Some(present) = &bound else { break };
        let next = if pass % 2 == 1 {
            let g = c_transform_y(supports, &pairing.y_of_x, &present.f, &should_stop);
            g.map(|g| DualBound::new(present.f.clone(), g))
        } else {
            c_transform_x(&present.g).map(|f| DualBound::new(f, present.g.clone()))
        };
        advance();
        match next {
            Some(next) if next.value > present.value => bound = Some(next),
            _ => break,
        }
    }
    bound.map(|DualBound { value, mut f, mut g }| {
        let highest = g.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        f.iter_mut().for_each(|f| *f += highest);
        g.iter_mut().for_each(|g| *g -= highest);
        Certificate { dual_bound: value, relative_gap: relative_gap(mean_cost, value), f, g }
    })
}
