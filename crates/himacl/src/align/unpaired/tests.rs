use super::*;
use crate::align::refinement::select;
use crate::align::{AlignParams, LeftOut, RefinementParams, UnpairedParams};
use crate::map::{LinearMap, unit_rows};
use crate::side::DataSide;
use candle_core::{DType, Device};
use hiref_core::rng;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

const ITEMS: usize = 400;
const DIMENSION: usize = 8;

/// Clusters without any symmetry; a rotated copy with noise in another order; where each item went.
fn planted(noise: f64) -> (Tensor, Tensor, Vec<u32>) {
    let mut generator = rng::stream(6, &[]);
    let mut normal = |count: usize| -> Vec<f32> { (0..count).map(|_| StandardNormal.sample(&mut generator)).collect() };
    let centres = normal(12 * DIMENSION);
    let spread = normal(ITEMS * DIMENSION);
    let other = Tensor::from_vec(normal(DIMENSION * DIMENSION), (DIMENSION, DIMENSION), &Device::Cpu).unwrap();
    let errors = Tensor::from_vec(normal(ITEMS * DIMENSION), (ITEMS, DIMENSION), &Device::Cpu).unwrap();
    let mut generator = rng::stream(7, &[]);
    let cluster: Vec<usize> = (0..ITEMS).map(|_| generator.random_range(0..12)).collect();
    let values = (0..ITEMS * DIMENSION)
        .map(|at| centres[cluster[at / DIMENSION] * DIMENSION + at % DIMENSION] + 0.4 * spread[at])
        .collect::<Vec<f32>>();
    let x = Tensor::from_vec(values, (ITEMS, DIMENSION), &Device::Cpu).unwrap();
    let eye = Tensor::eye(DIMENSION, DType::F32, &Device::Cpu).unwrap();
    let y = LinearMap::procrustes(&eye, &other, None).unwrap().apply(&x).unwrap();
    let y = (y + (errors * noise).unwrap()).unwrap();
    let mut order: Vec<u32> = (0..ITEMS as u32).collect();
    order.shuffle(&mut generator);
    let mut truth = vec![0; ITEMS];
    order.iter().enumerate().for_each(|(at, &item)| truth[item as usize] = at as u32);
    (x, select(&y, &order).unwrap(), truth)
}

fn params() -> AlignParams {
    let refinement =
        RefinementParams { first_dimension: DIMENSION, last_dimension: DIMENSION, ..RefinementParams::unpaired() };
    let unpaired =
        UnpairedParams { centroids: 12, restarts: 16, matching_starts: 8, refinement, ..UnpairedParams::default() };
    AlignParams { unpaired, ..AlignParams::default() }
}

fn accuracy(alignment: &Alignment, truth: &[u32]) -> f64 {
    let coupling = alignment.coupling.as_ref().unwrap();
    coupling.pairs().filter(|&(i, j)| truth[i] == j as u32).count() as f64 / ITEMS as f64
}

#[test]
fn a_planted_rotation_is_found_without_any_pair() {
    let (x, y, truth) = planted(0.03);
    let aligner = params().check().unwrap();
    let alignment = aligner.unpaired(&x, &y, &[], &()).unwrap();
    let report = alignment.report.unpaired.as_ref().unwrap();
    assert!(accuracy(&alignment, &truth) > 0.9, "pairing accuracy {}", accuracy(&alignment, &truth));
    assert!(
        report.agreement.cosine > 0.95 && report.agreement.same_partners > 0.9 && report.verdict == Verdict::Pairing,
        "{report:?}"
    );
    // Two groups of starts agree: there is nothing left to ask.
    assert_eq!((report.left_out, report.combined, alignment.confidence.len()), (None, None, ITEMS));
    assert!(report.predicted > 0.9 && report.matched_cosine > 0.5 && alignment.anchors_only.is_none());
}

/// An axis that the other side does not share, and that has more variance than any other.
#[test]
fn an_axis_of_one_side_alone_is_left_out() {
    const WIDTH: usize = 24;
    let mut generator = rng::stream(16, &[]);
    let mut normal = |rows: usize, columns: usize, scale: f32| {
        let values = (0..rows * columns).map(|_| StandardNormal.sample(&mut generator)).collect::<Vec<f32>>();
        (Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap() * f64::from(scale)).unwrap()
    };
    // Clusters of clusters of different sizes and a falling spectrum, so that centroids have something to go by.
    let (coarse, fine, spread) = (normal(8, WIDTH, 1.0), normal(60, WIDTH, 0.7), normal(1200, WIDTH, 0.3));
    let (rotation, noise, extra) = (normal(WIDTH, WIDTH, 1.0), normal(1200, WIDTH, 0.02), normal(1200, 1, 3.0));
    let places = select(&fine, &(0..1200).map(|i| i * i % 59).collect::<Vec<u32>>()).unwrap();
    let groups = select(&coarse, &(0..1200).map(|i| i * i % 59 % 7).collect::<Vec<u32>>()).unwrap();
    let falling: Vec<f32> = (0..WIDTH).map(|at| 1.0 / (1.0 + at as f32).sqrt()).collect();
    let x = ((spread + places).unwrap() + groups).unwrap();
    let x = x.broadcast_mul(&Tensor::new(falling, &Device::Cpu).unwrap()).unwrap();
    let eye = Tensor::eye(WIDTH, DType::F32, &Device::Cpu).unwrap();
    let y = (LinearMap::procrustes(&eye, &rotation, None).unwrap().apply(&x).unwrap() + noise).unwrap();
    let y = Tensor::cat(&[&y, &extra], 1).unwrap();
    let mut order: Vec<u32> = (0..1200).collect();
    order.shuffle(&mut rng::stream(17, &[]));
    let y = select(&y, &order).unwrap();

    let found = |axes_left_out: usize| {
        let refinement =
            RefinementParams { first_dimension: 16, last_dimension: WIDTH, ..RefinementParams::unpaired() };
        let unpaired = UnpairedParams { axes_left_out, refinement, ..UnpairedParams::default() };
        let alignment = AlignParams { unpaired, ..AlignParams::default() }.check().unwrap();
        let alignment = alignment.unpaired(&x, &y, &[], &()).unwrap();
        let right = alignment.coupling.as_ref().unwrap().pairs().filter(|&(i, j)| order[j] == i as u32).count();
        (right as f64 / 1200.0, alignment.report.unpaired.unwrap())
    };
    let (right, report) = found(1);
    assert_eq!(report.left_out, Some(LeftOut { side: DataSide::Target, axis: 0 }), "{report:?}");
    assert!(right > 0.9 && report.verdict == Verdict::Pairing, "{right}: {report:?}");
    let (right, report) = found(0);
    assert!(right < 0.5, "{right}: {report:?}");
}

#[test]
fn sides_without_a_common_item_have_a_map_in_common() {
    let (x, y, truth) = planted(0.03);
    let (some, others): (Vec<u32>, Vec<u32>) = (0..ITEMS as u32).partition(|item| item % 2 == 0);
    let partners = |items: &[u32]| items.iter().map(|&item| truth[item as usize]).collect::<Vec<_>>();
    let (source, target) = (select(&x, &some).unwrap(), select(&y, &partners(&others)).unwrap());
    let alignment = params().check().unwrap().unpaired(&source, &target, &[], &()).unwrap();
    let (x, y) = alignment.prepared_map().joint(&x, &select(&y, &truth).unwrap()).unwrap();
    let cosine: f32 = (x * y).unwrap().sum(1).unwrap().mean(0).unwrap().to_scalar().unwrap();
    assert!(cosine > 0.8, "{cosine}");
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let (x, y, _) = planted(0.1);
    let weights = |threads: usize| -> Vec<u32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let alignment = pool.install(|| params().check().unwrap().unpaired(&x, &y, &[], &()).unwrap());
        let tensors = alignment.map.tensors();
        tensors.values().flat_map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap()).map(f32::to_bits).collect()
    };
    assert_eq!(weights(1), weights(3));
}

#[test]
fn known_pairs_join() {
    let (x, y, truth) = planted(0.03);
    let anchors: Vec<(u32, u32)> = (0..5).map(|i| (i, truth[i as usize])).collect();
    let alignment = params().check().unwrap().unpaired(&x, &y, &anchors, &()).unwrap();
    let coupling = alignment.coupling.as_ref().unwrap();
    let free: Vec<u32> = (0..ITEMS as u32).filter(|j| anchors.iter().all(|pair| pair.1 != *j)).collect();
    let hits = coupling.pairs().filter(|&(i, j)| truth[i + 5] == free[j]).count();
    assert!(hits as f64 > 0.9 * (ITEMS - 5) as f64, "{hits}");
    assert!(alignment.anchors_only.is_some());
}

#[test]
fn unrelated_spaces_are_said_to_share_too_little() {
    let (x, _, _) = planted(0.03);
    let mut generator = rng::stream(99, &[]);
    let values: Vec<f32> = (0..ITEMS * DIMENSION).map(|_| StandardNormal.sample(&mut generator)).collect();
    let y = Tensor::from_vec(values, (ITEMS, DIMENSION), &Device::Cpu).unwrap();
    let alignment = params().check().unwrap().unpaired(&x, &y, &[], &()).unwrap();
    let warning = alignment.report.warning().unwrap_or_default();
    let report = alignment.report.unpaired.unwrap();
    assert!(report.shares_too_little && warning.contains("known pairs"), "{report:?}");
}

/// Each of eight pairings is right about the same tenth of the items and wrong, in ways of its own, about the others.
#[test]
fn starts_together_are_better_than_each() {
    let (x, y, truth) = planted(0.03);
    let unit = |side: &Tensor| unit_rows(&side.broadcast_sub(&side.mean_keepdim(0).unwrap()).unwrap()).unwrap();
    let (x, y) = (unit(&x), unit(&y));
    let covariance = |seed: u64| -> Tensor {
        let mut wrong = truth[ITEMS / 10..].to_vec();
        wrong.shuffle(&mut rng::stream(seed, &[]));
        let partners: Vec<u32> = truth[..ITEMS / 10].iter().copied().chain(wrong).collect();
        x.t().unwrap().contiguous().unwrap().matmul(&select(&y, &partners).unwrap()).unwrap()
    };
    let mean_cosine = |covariances: &[&Tensor]| -> f32 {
        let map = first_map::as_map(&first_map::consensus_of(covariances).unwrap()).unwrap();
        let image = unit_rows(&map.forward.apply(&x).unwrap()).unwrap();
        (image * select(&y, &truth).unwrap()).unwrap().sum(1).unwrap().mean(0).unwrap().to_scalar().unwrap()
    };
    let covariances: Vec<Tensor> = (1..=8).map(covariance).collect();
    let alone: Vec<f32> = covariances.iter().map(|covariance| mean_cosine(&[covariance])).collect();
    let together = mean_cosine(&covariances.iter().collect::<Vec<_>>());
    assert!(alone.iter().all(|&alone| together > alone + 0.02), "{together} against {alone:?}");
}
