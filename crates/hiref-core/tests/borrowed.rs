//! Points in memory of the caller are solved where they lie, and to the bits of the same points in a tensor.

mod support;

use candle_core::{DType, Tensor};
use half::{bf16, f16};
use hiref_core::{
    CostKind, Error, ErrorKind, HirefOutput, HirefParams, Permutation, Points, Problem, Side, StopFlag, pair,
};
use hiref_testkit::problems;
use std::borrow::Cow;
use support::{ending_exact, matrix, small_blocks};

fn claims(output: &HirefOutput) -> (&Permutation, u64, Option<u64>) {
    let bound = output.certificate.as_ref().map(|certificate| certificate.dual_bound.to_bits());
    (&output.permutation, output.mean_cost.to_bits(), bound)
}

#[test]
fn results_are_those_of_tensors() {
    for (n, m, d) in [(200, 200, 2), (230, 180, 40)] {
        let instance = problems::mixture(n, m, d, 4);
        let (x, y) = (&instance.x[..], &instance.y[..]);
        let half = |values: &[f32]| values.iter().map(|&v| f16::from_f32(v)).collect::<Vec<_>>();
        let brain = |values: &[f32]| values.iter().map(|&v| bf16::from_f32(v)).collect::<Vec<_>>();
        let (half, brain) = ([half(x), half(y)], [brain(x), brain(y)]);
        for params in [small_blocks(2), HirefParams { certify: true, ..ending_exact(3) }] {
            for cost in CostKind::ALL {
                let solve =
                    |x: Points<'_>, y: Points<'_>| pair(x, y).cost(cost).params(params.clone()).solve().unwrap();
                let tensors = |kept: DType| {
                    let [x, y] = [x, y].map(|rows| Points::from(matrix(rows, d).to_dtype(kept).unwrap()));
                    solve(x, y)
                };
                let borrowed = solve((x, d).into(), (y, d).into());
                assert_eq!(claims(&borrowed), claims(&tensors(DType::F32)), "{cost}, f32");
                let borrowed = solve((&half[0], d).into(), (&half[1], d).into());
                assert_eq!(claims(&borrowed), claims(&tensors(DType::F16)), "{cost}, f16");
                let borrowed = solve((&brain[0], d).into(), (&brain[1], d).into());
                assert_eq!(claims(&borrowed), claims(&tensors(DType::BF16)), "{cost}, bf16");
            }
        }
    }
}

#[test]
fn the_problem_holds_the_memory_of_the_caller() {
    let x = vec![[0.0_f32, 1.0], [2.0, 3.0]];
    let problem = Problem::new(&x, (x.as_flattened(), 2), CostKind::Euclidean).unwrap();
    for cloud in [problem.x(), problem.y()] {
        let rows = cloud.rows();
        let Cow::Borrowed(values) = rows.view().range(0..2) else { panic!("a copy was made") };
        assert_eq!(values.as_ptr(), x.as_flattened().as_ptr());
        assert_eq!(cloud.to_tensor().unwrap().to_vec2::<f32>().unwrap(), x);
    }
    let half = vec![f16::ONE; 40];
    let problem = Problem::new((&half, 40), (&half, 40), CostKind::Cosine).unwrap();
    assert_eq!(problem.x().dtype(), DType::F16);
}

#[test]
fn coordinates_that_make_no_points_are_refused() {
    let refused = |x: (&[f32], usize), y: (&[f32], usize)| Problem::new(x, y, CostKind::Euclidean).unwrap_err();
    let good = &[1.0_f32; 6][..];
    let error = refused((good, 2), (&good[..5], 2));
    assert!(matches!(error, Error::RaggedRows { side: Side::Y, values: 5, dimension: 2 }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Input);
    for empty in [(&good[..0], 2), (&good[..0], 0), (good, 0)] {
        assert!(matches!(refused(empty, (good, 2)), Error::EmptySupport { side: Side::X, .. }));
    }
    let mut bad = [1.0_f32; 6];
    bad[3] = f32::INFINITY;
    let error = refused((good, 2), (&bad, 2));
    assert!(matches!(error, Error::NotFinite { side: Side::Y, row: 1, column: 1, .. }), "{error}");
}

/// A tensor beside borrowed points; and one flag that stops many solves.
#[test]
fn kinds_of_points_mix() {
    let y = Tensor::new(&[[3.0_f64], [1.0]], &candle_core::Device::Cpu).unwrap();
    let solved = pair(&[[1.0_f32], [2.0]], &y).solve().unwrap();
    assert_eq!((solved.permutation.y_of_x(), solved.mean_cost), (&[1, 0][..], 0.5));
    let (flag, instance) = (StopFlag::new(), problems::mixture(900, 900, 3, 1));
    let solve = || pair((&instance.x, 3), (&instance.y, 3)).params(small_blocks(1)).stop_flag(&flag).solve();
    assert!(solve().is_ok());
    flag.clone().stop();
    assert_eq!(solve().unwrap_err().kind(), ErrorKind::Interrupted);
}
