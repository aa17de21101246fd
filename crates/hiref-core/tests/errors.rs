//! Each refusal can be provoked, and says what was found where.

mod support;

use candle_core::{DType, Device, Tensor};
use hiref_core::{CostKind, Error, ErrorKind, HirefParams, Marginals, Observer, Permutation, Problem, Side, UNMATCHED};
use hiref_testkit::problems;
use support::{matrix, problem};

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

fn refused(x: &Tensor, y: &Tensor, cost: CostKind) -> Error {
    Problem::new(x, y, cost).expect_err("this problem must be refused")
}

#[test]
fn supports_that_are_no_matrices() {
    let good = zeros(&[4, 2]);
    for shape in [&[4][..], &[4, 2, 1], &[]] {
        let error = refused(&zeros(shape), &good, CostKind::default());
        assert!(matches!(&error, Error::NotAMatrix { side: Side::X, shape: found } if found == shape), "{error}");
    }
    assert!(matches!(refused(&good, &zeros(&[4]), CostKind::default()), Error::NotAMatrix { side: Side::Y, .. }));
}

#[test]
fn supports_without_points_or_coordinates() {
    let good = zeros(&[4, 2]);
    for (points, dimension) in [(0, 2), (4, 0)] {
        let error = refused(&good, &zeros(&[points, dimension]), CostKind::default());
        let Error::EmptySupport { side: Side::Y, points: p, dimension: d } = error else { panic!("{error}") };
        assert_eq!((p, d), (points, dimension));
    }
}

#[test]
fn more_points_than_indices() {
    // One number, seen 2^31 times.
    let many = Tensor::new(&[[1.0_f32]], &Device::Cpu).unwrap().broadcast_as((1 << 31, 1)).unwrap();
    let error = refused(&many, &zeros(&[1, 1]), CostKind::default());
    assert!(matches!(error, Error::TooManyPoints { side: Side::X, points, limit } if points == limit + 1), "{error}");
}

#[test]
fn supports_of_different_spaces() {
    let error = refused(&zeros(&[4, 2]), &zeros(&[4, 3]), CostKind::default());
    assert!(matches!(error, Error::DimensionMismatch { x: 2, y: 3 }), "{error}");
    assert!(error.to_string().contains("hint:"));
}

#[test]
fn values_that_are_not_finite() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut rows = vec![1.0; 30];
        rows[17] = bad;
        rows[25] = f32::NAN;
        let error = refused(&matrix(&[1.0; 30], 3), &matrix(&rows, 3), CostKind::default());
        let Error::NotFinite { side: Side::Y, row: 5, column: 2, value } = error else { panic!("{error}") };
        assert_eq!(value.to_bits(), bad.to_bits());
    }
    // Finite in f64, infinite as f32.
    let wide = Tensor::new(&[[1e300_f64, 0.0]], &Device::Cpu).unwrap();
    assert!(matches!(
        refused(&wide, &wide, CostKind::default()),
        Error::NotFinite { side: Side::X, row: 0, column: 0, .. }
    ));
}

#[test]
fn zero_vectors_only_under_the_cosine() {
    let mut rows = vec![1.0; 12];
    rows[4..6].fill(0.0);
    let (x, y) = (matrix(&rows, 2), matrix(&[1.0; 12], 2));
    assert!(matches!(refused(&x, &y, CostKind::Cosine), Error::ZeroVector { side: Side::X, row: 2 }));
    assert!(matches!(refused(&y, &x, CostKind::Cosine), Error::ZeroVector { side: Side::Y, row: 2 }));
    for cost in CostKind::ALL.into_iter().filter(|&cost| cost != CostKind::Cosine) {
        assert!(Problem::new(&x, &y, cost).is_ok());
    }
}

#[test]
fn vectors_too_small_to_square_have_a_cosine() {
    let tiny = matrix(&[1e-30, 0.0, 0.0, 1e-30], 2);
    let problem = Problem::new(&tiny, matrix(&[0.0, 1.0, 1.0, 0.0], 2), CostKind::Cosine).unwrap();
    let output = HirefParams::default().check().unwrap().solve(&problem, None, &()).unwrap();
    assert_eq!(output.permutation.y_of_x(), [1, 0]);
    assert!(output.mean_cost.abs() < 1e-12);
}

#[test]
fn pairings_that_are_not_one_to_one() {
    let new = |y_of_x: &[u32], num_y| Permutation::new(y_of_x.to_vec(), num_y).expect_err("must be refused");
    assert!(matches!(new(&[0, 1, 7], 3), Error::IndexOutOfRange { position: 2, value: 7, limit: 3 }));
    assert!(matches!(new(&[2, 1, 2], 3), Error::RepeatedIndex { value: 2, first: 0, second: 2 }));
    assert!(matches!(new(&[2, UNMATCHED, 1], 3), Error::WrongPairCount { found: 2, expected: 3 }));
    assert!(matches!(new(&[0, UNMATCHED, UNMATCHED], 2), Error::WrongPairCount { found: 1, expected: 2 }));
}

#[test]
fn a_warm_start_of_another_problem() {
    let problem = problem(&problems::mixture(10, 12, 2, 1), CostKind::default());
    let solver = HirefParams::default().check().unwrap();
    for (n, m) in [(12, 10), (10, 10), (9, 12)] {
        let warm = (0..n).map(|i| if i < m { i } else { UNMATCHED }).collect();
        let warm = Permutation::new(warm, m as usize).unwrap();
        let error = solver.solve(&problem, Some(&warm.into()), &()).expect_err("must be refused");
        assert!(matches!(error, Error::WarmStartMismatch { x: 10, y: 12, .. }), "{error}");
    }
}

#[test]
fn marginals_are_refused_where_every_point_has_the_same_mass() {
    let problem = problem(&problems::mixture(3, 3, 2, 1), CostKind::default());
    let marginals = Marginals::new(vec![1.0, 2.0, 3.0], vec![1.0; 3]).unwrap();
    let error = HirefParams::default().check().unwrap().solve(&problem.with_marginals(marginals).unwrap(), None, &());
    let error = error.expect_err("must be refused");
    assert!(matches!(error, Error::MarginalsNotTaken { solver: "hiref" }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Parameter);
}

#[test]
fn parameters_outside_their_ranges() {
    let default = HirefParams::default;
    for (params, name, value) in [
        (HirefParams { max_rank: 1, ..default() }, "max_rank", "1"),
        (HirefParams { leaf_size: 0, ..default() }, "leaf_size", "0"),
        (HirefParams { polish_block_size: Some(1), ..default() }, "polish_block_size", "1"),
        (HirefParams { time_limit: Some(0.0), ..default() }, "time_limit", "0"),
        (HirefParams { time_limit: Some(-1.0), ..default() }, "time_limit", "-1"),
        (HirefParams { time_limit: Some(f64::NAN), ..default() }, "time_limit", "NaN"),
    ] {
        let error = params.check().expect_err("must be refused");
        assert!(matches!(&error, Error::Parameter { name: n, value: v, .. } if *n == name && v == value), "{error}");
    }
    assert!(
        HirefParams { max_rank: 2, leaf_size: 2, polish_block_size: Some(2), max_sweeps: Some(0), ..default() }
            .check()
            .is_ok()
    );
}

#[test]
fn a_time_limit_of_ages_is_no_limit() {
    let problem = problem(&problems::mixture(20, 20, 2, 1), CostKind::default());
    for limit in [1e30, f64::MAX, f64::INFINITY] {
        let params = HirefParams { time_limit: Some(limit), ..HirefParams::default() };
        // Refusing is as good; panicking is not.
        if let Ok(solver) = params.check() {
            solver.solve(&problem, None, &()).unwrap();
        }
    }
}

#[test]
fn an_interrupt_before_the_first_coupling() {
    struct Stop;
    impl Observer for Stop {
        fn on_event(&self, _event: &hiref_core::Event) {}
        fn should_stop(&self) -> bool {
            true
        }
    }
    let problem = problem(&problems::mixture(2000, 2000, 2, 1), CostKind::default());
    let error = HirefParams::default().check().unwrap().solve(&problem, None, &Stop).expect_err("must stop");
    assert!(matches!(error, Error::Interrupted));
}

#[test]
fn a_tensor_of_whole_numbers_is_converted() {
    let whole = Tensor::new(&[[1_u32, 2], [3, 4]], &Device::Cpu).unwrap();
    assert!(Problem::new(&whole, &whole, CostKind::default()).is_ok());
}

#[test]
fn a_failed_tensor_operation_keeps_its_cause() {
    use std::error::Error as _;
    let cause = zeros(&[2, 3]).matmul(&zeros(&[2, 3])).unwrap_err();
    let error = Error::from(cause);
    assert_eq!(error.to_string(), "tensor operation failed");
    assert!(error.source().is_some());
}
