//! The certificate: prices of all points that bound the optimum from below.

use super::block_solver::Pairing;
use super::output::Certificate;
use crate::geometry::Supports;
use crate::pricing::{align, price};
use crate::progress::{Event, Observer, Phase};
use crate::solver::sparse_assignment::{DualBound, relative_gap};

/// Passes over all pairs: each raises the potentials of one side as far as the other's allow.
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
    let pass = |supports: Supports<'_>, partners: &[u32], prices: &[f64]| {
        let floor = price(supports, partners, prices, 1, &should_stop)?.floor;
        observer.on_event(&Event::Advanced { phase: Phase::Certify, work: 1 });
        Some(floor)
    };
    let mut bound = known;
    if bound.is_none() {
        let mut g = pairing.g.clone();
        if n == m {
            align(supports, &pairing.y_of_x, &mut g, &pairing.block);
        }
        bound = pass(supports, &pairing.y_of_x, &g).map(|f| DualBound::new(f, g));
    }
    let turned = Supports { x: supports.y, y: supports.x, ..supports };
    let mut x_of_y = vec![u32::MAX; m];
    pairing.y_of_x.iter().enumerate().for_each(|(x, &y)| x_of_y[y as usize] = x as u32);
    for from_x in [true, false, true].into_iter().take(PASSES - 1) {
        let Some(present) = &bound else { break };
        let next = if from_x {
            pass(turned, &x_of_y, &present.f).map(|g| DualBound::new(present.f.clone(), g))
        } else {
            pass(supports, &pairing.y_of_x, &present.g).map(|f| DualBound::new(f, present.g.clone()))
        };
        match next {
            Some(next) if next.value > present.value => bound = Some(next),
            Some(_) => {}
            None => break,
        }
    }
    bound.map(|DualBound { value, mut f, mut g }| {
        let highest = g.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        f.iter_mut().for_each(|f| *f += highest);
        g.iter_mut().for_each(|g| *g -= highest);
        Certificate { dual_bound: value, relative_gap: relative_gap(mean_cost, value), f, g }
    })
}
