//! An exact reference for every kind of matching: stand-ins make it an assignment, which the testkit solves on the full matrix.

use hiref_core::matching::{Capacity, Matching, MatchingParams};
use hiref_testkit::exact_of_matrix;

/// Dearer than anything else.
const NEVER: f64 = 1e7;

/// How often each item may be paired, with each of the `others` once.
fn slots(capacity: &Capacity, items: usize, others: usize) -> Vec<usize> {
    let of = |item: usize| match capacity {
        Capacity::One => 1,
        Capacity::All(capacity) => *capacity,
        Capacity::Each(capacity) => capacity[item],
    };
    (0..items).flat_map(|item| std::iter::repeat_n(item, (of(item) as usize).min(others))).collect()
}

/// The least objective of a problem of n x with m y, infinite costs never paid; `None` where there is no matching.
pub(crate) fn least_objective(
    cost: &dyn Fn(usize, usize) -> f64,
    [n, m]: [usize; 2],
    params: &MatchingParams,
) -> Option<f64> {
    let (x, y) = (slots(&params.x_capacity, n, m), slots(&params.y_capacity, m, n));
    let pair = |i: usize, j: usize| {
        let never = params.forbidden.contains(&[x[i] as u32, y[j] as u32]);
        let c = cost(x[i], y[j]);
        if never || c.is_infinite() { NEVER } else { c }
    };
    let most = x.len().min(y.len());
    let count = params.num_pairs.unwrap_or(most);
    let (standing_y, standing_x, single, both) = if let Some(lambda) = params.unmatched_cost {
        (x.len(), y.len(), 0.5 * lambda, 0.0)
    } else {
        (x.len() - count, y.len() - count, 0.0, NEVER)
    };
    let (rows, columns) = (x.len() + standing_x, y.len() + standing_y);
    let entry = |i: usize, j: usize| match (i < x.len(), j < y.len()) {
        (true, true) => pair(i, j),
        (false, false) => both,
        _ => single,
    };
    let matrix: Vec<f64> = (0..rows * columns).map(|at| entry(at / columns, at % columns)).collect();
    let total: f64 = exact_of_matrix(&matrix, rows, columns).into_iter().enumerate().map(|(i, j)| entry(i, j)).sum();
    (total < 0.5 * NEVER).then_some(total)
}

/// Fails unless a matching is one, of the kind asked for, and its figures are those of its pairs.
pub(crate) fn check(
    found: &Matching,
    cost: &dyn Fn(usize, usize) -> f64,
    [n, m]: [usize; 2],
    params: &MatchingParams,
    what: &str,
) {
    assert_eq!(found.sizes, [n, m], "{what}");
    assert!(found.pairs.windows(2).all(|two| two[0] < two[1]), "{what}: pairs are sorted, none twice");
    for (side, (capacity, items, others)) in
        [(&params.x_capacity, n, m), (&params.y_capacity, m, n)].into_iter().enumerate()
    {
        let mut left = vec![0; items];
        slots(capacity, items, others).into_iter().for_each(|item| left[item] += 1);
        for pair in &found.pairs {
            let left = &mut left[pair[side] as usize];
            assert!(*left > 0, "{what}: item {} of side {side} is paired too often", pair[side]);
            *left -= 1;
        }
    }
    assert!(found.pairs.iter().all(|pair| !params.forbidden.contains(pair)), "{what}: a forbidden pair");
    let (x, y) = (slots(&params.x_capacity, n, m).len(), slots(&params.y_capacity, m, n).len());
    let total: f64 = found.pairs.iter().map(|&[i, j]| cost(i as usize, j as usize)).sum();
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + a.abs());
    assert!(close(found.total_cost, total), "{what}: {} against {total}", found.total_cost);
    match params.unmatched_cost {
        Some(lambda) => {
            let singles = (x + y - 2 * found.pairs.len()) as f64;
            assert!(close(found.objective, total + 0.5 * lambda * singles), "{what}: objective {}", found.objective);
        }
        None => assert_eq!(found.pairs.len(), params.num_pairs.unwrap_or(x.min(y)), "{what}: number of pairs"),
    }
}

/// As [`check`], and that the matching is optimal and proved to be.
pub(crate) fn check_optimal(
    found: &Matching,
    cost: &dyn Fn(usize, usize) -> f64,
    sizes: [usize; 2],
    params: &MatchingParams,
    what: &str,
) {
    check(found, cost, sizes, params, what);
    let least = least_objective(cost, sizes, params).unwrap();
    let tolerance = 1e-9 * (1.0 + least.abs());
    assert!((found.objective - least).abs() <= tolerance, "{what}: {} against the least {least}", found.objective);
    assert!(found.exact, "{what}: not known to be optimal");
    let bound = found.dual_bound.unwrap();
    assert!(
        bound <= least + tolerance && bound >= least - 1e-5 * (1.0 + least.abs()),
        "{what}: bound {bound} of {least}"
    );
    check_potentials(found, cost, sizes, params, what);
}

/// Fails unless the potentials prove the bound.
pub(crate) fn check_potentials(
    found: &Matching,
    cost: &dyn Fn(usize, usize) -> f64,
    [n, m]: [usize; 2],
    params: &MatchingParams,
    what: &str,
) {
    let [f, g] = found.potentials.as_ref().unwrap();
    assert_eq!((f.len(), g.len()), (n, m), "{what}");
    for (i, f) in f.iter().enumerate() {
        for (j, g) in g.iter().enumerate() {
            let allowed = !params.forbidden.contains(&[i as u32, j as u32]) && cost(i, j).is_finite();
            assert!(!allowed || f + g <= cost(i, j) + 1e-9, "{what}: potentials of {i}, {j}");
        }
    }
    if let Some(lambda) = params.unmatched_cost {
        assert!(f.iter().chain(g).all(|&p| p <= 0.5 * lambda + 1e-9), "{what}: a potential above half of the price");
        let used = |slots: Vec<usize>, values: &[f64]| -> f64 { slots.into_iter().map(|item| values[item]).sum() };
        let proved = used(slots(&params.x_capacity, n, m), f) + used(slots(&params.y_capacity, m, n), g);
        let bound = found.dual_bound.unwrap();
        assert!((proved - bound).abs() < 1e-6 * (1.0 + bound.abs()), "{what}: {proved} proved, {bound} claimed");
    }
}
