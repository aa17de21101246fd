//! Points stored in half precision are solved as they are, without a copy in f32.

mod support;

use candle_core::{DType, Device, Tensor};
use hiref_core::{CostKind, Error, HirefOutput, HirefParams, Problem, mean_cost};
use hiref_testkit::problems;
use support::{ending_exact, matrix, small_blocks};

fn solve(x: &Tensor, y: &Tensor, cost: CostKind, params: HirefParams) -> HirefOutput {
    let problem = Problem::new(x, y, cost).unwrap();
    let output = params.check().unwrap().solve(&problem, None, &()).unwrap();
    assert_eq!(output.mean_cost, mean_cost(&problem, &output.permutation));
    output
}

/// The same numbers in f32 and in half precision are the same problem, to the last bit: hierarchy, sweeps, exact rounds, certificate.
#[test]
fn results_are_those_of_the_same_points_in_f32() {
    for (n, m, d) in [(300, 300, 40), (260, 330, 33), (150, 150, 300)] {
        let instance = problems::mixture(n, m, d, 4);
        for kept in [DType::F16, DType::BF16] {
            let (x, y) =
                (matrix(&instance.x, d).to_dtype(kept).unwrap(), matrix(&instance.y, d).to_dtype(kept).unwrap());
            let wide = |points: &Tensor| points.to_dtype(DType::F32).unwrap();
            for cost in CostKind::ALL {
                for params in [small_blocks(2), HirefParams { certify: true, ..ending_exact(3) }] {
                    let half = solve(&x, &y, cost, params.clone());
                    let single = solve(&wide(&x), &wide(&y), cost, params);
                    let what = format!("{cost}, {kept:?}, {n} x {m}, d = {d}");
                    assert_eq!(half.permutation, single.permutation, "{what}");
                    assert_eq!(half.mean_cost.to_bits(), single.mean_cost.to_bits(), "{what}");
                    let bound = |output: &HirefOutput| output.certificate.as_ref().map(|c| c.dual_bound.to_bits());
                    assert_eq!(bound(&half), bound(&single), "{what}");
                }
            }
        }
    }
}

#[test]
fn what_is_wrong_with_a_row_is_named_in_half_precision_too() {
    let d = 64;
    let mut rows: Vec<f32> = (0..600 * d).map(|i| (i % 7) as f32 - 3.0).collect();
    let half = |rows: &[f32]| matrix(rows, d).to_dtype(DType::F16).unwrap();
    let fine = half(&rows);
    rows[500 * d + 3] = f32::NAN;
    match Problem::new(&fine, half(&rows), CostKind::SquaredEuclidean) {
        Err(Error::NotFinite { row, column, .. }) => assert_eq!((row, column), (500, 3)),
        other => panic!("NaN went through: {other:?}"),
    }
    rows[400 * d..401 * d].fill(0.0);
    rows[500 * d + 3] = 1.0;
    match Problem::new(half(&rows), &fine, CostKind::Cosine) {
        Err(Error::ZeroVector { row, .. }) => assert_eq!(row, 400),
        other => panic!("a zero vector went through: {other:?}"),
    }
    // f64 on the way in becomes f32.
    let double = Tensor::zeros((2, 3), DType::F64, &Device::Cpu).unwrap();
    assert_eq!(Problem::new(&double, &double, CostKind::Euclidean).unwrap().x().dtype(), DType::F32);
}
