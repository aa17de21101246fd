//! The certificate: prices of all points that bound the optimum from below.

use super::output::Certificate;
use super::pairing::Pairing;
use super::session::Session;
use crate::pricing::{DualBound, align, relative_gap};
use crate::report::Phase;

/// Passes over all pairs, at most: each raises the potentials of one side as far as the other's allow.
const PASSES: usize = 4;

/// Proves a bound from the best prices at hand: those of the exact rounds if there were any, else those of the blocks; `None` if the
/// observer asked to stop before there was one.
///
/// Each pass is a c-transform, `f_i = min_j (c_ij - g_j)` or the same for g: feasible by construction, and never lowering the bound.
pub(crate) fn certify(
    session: &Session<'_>,
    pairing: &Pairing,
    mean_cost: f64,
    known: Option<DualBound>,
) -> Option<Certificate> {
    let control = session.control.without_deadline();
    let told = |pairs| control.advance(Phase::Certify, pairs);
    let pricer = session.pricer().telling(&told);
    let passes = if known.is_some() { PASSES - 1 } else { PASSES };
    let of_pass = session.supports.num_x() as u64 * session.supports.num_y() as u64;
    control.begin(Phase::Certify, passes as u64 * of_pass);
    let should_stop = || control.should_stop();
    let c_transform_x = |g: &[f64]| pricer.c_transform_x(&pairing.y_of_x, g, &should_stop);
    let mut bound = known;
    if bound.is_none() {
        let mut g = pairing.g.clone();
        if session.supports.num_x() == session.supports.num_y() {
            align(pricer, &pairing.y_of_x, &mut g, &pairing.block, &should_stop);
        }
        bound = c_transform_x(&g).map(|f| DualBound::new(f, g));
    }
    for pass in 1..PASSES {
        let Some(present) = &bound else { break };
        let next = if pass % 2 == 1 {
            let g = pricer.c_transform_y(&pairing.y_of_x, &present.f, &should_stop);
            g.map(|g| DualBound::new(present.f.clone(), g))
        } else {
            c_transform_x(&present.g).map(|f| DualBound::new(f, present.g.clone()))
        };
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
