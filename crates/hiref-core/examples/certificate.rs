//! A proof of how far a pairing is from the optimum at most: potentials of all points, which anyone can check.

use hiref_core::{CostKind, Error, Quality, pair};

pub(crate) fn main() -> Result<(), Error> {
    let cloud = |scale: f32| -> Vec<[f32; 6]> {
        (0..600_u16).map(|i| std::array::from_fn(|k| scale * (f32::from(i) * (0.37 + k as f32)).cos())).collect()
    };
    let (x, y) = (cloud(1.0), cloud(1.5));
    let cost = CostKind::Euclidean;
    let solved = pair(&x, &y).cost(cost).quality(Quality::Fast).certify(true).solve()?;
    let Some(certificate) = &solved.certificate else { unreachable!("one was asked for") };
    println!("cost {:.6}, no pairing below {:.6}", solved.mean_cost, certificate.dual_bound);

    // Checked by hand: no pair costs less than the sum of its two potentials, so no pairing costs less than their total.
    for (x, f) in x.iter().zip(&certificate.f) {
        for (y, g) in y.iter().zip(&certificate.g) {
            assert!(f + g <= cost.between(x, y) + 1e-9);
        }
    }
    let total: f64 = certificate.f.iter().chain(&certificate.g).sum();
    assert!((total / 600.0 - certificate.dual_bound).abs() < 1e-9);
    assert!(certificate.dual_bound <= solved.mean_cost && certificate.relative_gap < 0.2);
    Ok(())
}
