//! Points that move a little are paired anew from where the last pairing ended: saved as bytes, and read again.

use hiref_core::{Error, HirefParams, Problem, WarmStart, pair};

pub(crate) fn main() -> Result<(), Error> {
    let grid = |shift: f32| -> Vec<[f32; 8]> {
        let point = |i: u16| std::array::from_fn(|k| ((f32::from(i) + 1.0) * (k as f32 + 1.7)).sin() + shift);
        (0..1500).map(point).collect()
    };
    let (x, y) = (grid(0.0), grid(0.3));
    let bytes = pair(&x, &y).seed(3).solve()?.warm_start().to_bytes();

    // The y points move; the same way in, with the pairing and the prices of before.
    let moved: Vec<[f32; 8]> = y.iter().map(|point| point.map(|value| value * 1.02)).collect();
    let warm = WarmStart::from_bytes(&bytes)?;
    let again = pair(&x, &moved).warm_start(&warm).solve()?;

    // The solver and the problem by themselves, for those who solve one problem in several ways.
    let problem = Problem::new(&x, &moved, Default::default())?;
    let stale = hiref_core::mean_cost(&problem, warm.permutation());
    let fresh = HirefParams::default().check()?.solve(&problem, None, &())?;
    println!("as it was {stale:.6}, gone on from {:.6}, from nothing {:.6}", again.mean_cost, fresh.mean_cost);
    assert!(again.mean_cost <= stale);
    assert!((again.mean_cost - fresh.mean_cost).abs() <= 1e-3 * fresh.mean_cost);
    Ok(())
}
