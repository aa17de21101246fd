use super::*;
use crate::align::refinement::select;
use crate::align::{AlignParams, Candidate, PreparedMap, RefinementParams, mean_log_rank_of_hidden};
use crate::eval::{RetrievalParams, retrieval};
use candle_core::Device;
use hiref_core::{Event, rng};
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

const ITEMS: usize = 400;
const DIMENSION: usize = 12;

/// Points of falling variance, a rotated copy of them with noise in another order, and where each went.
fn planted(noise: f32) -> (Tensor, Tensor, Vec<u32>) {
    let mut generator = rng::stream(4, &[]);
    let mut normal = |count: usize| -> Vec<f32> { (0..count).map(|_| StandardNormal.sample(&mut generator)).collect() };
    let mut values = normal(ITEMS * DIMENSION);
    for (at, value) in values.iter_mut().enumerate() {
        // Squares are not symmetric about zero, so no reflection looks like the truth.
        *value = (*value + 0.4 * *value * *value) / (1.0 + 0.3 * (at % DIMENSION) as f32);
    }
    let x = Tensor::from_vec(values, (ITEMS, DIMENSION), &Device::Cpu).unwrap();
    let other = Tensor::from_vec(normal(DIMENSION * DIMENSION), (DIMENSION, DIMENSION), &Device::Cpu).unwrap();
    let eye = Tensor::eye(DIMENSION, candle_core::DType::F32, &Device::Cpu).unwrap();
    let rotation = crate::map::LinearMap::procrustes(&eye, &other, None).unwrap();
    let spread = Tensor::from_vec(normal(ITEMS * DIMENSION), (ITEMS, DIMENSION), &Device::Cpu).unwrap();
    let y = (rotation.apply(&x).unwrap() + (spread * f64::from(noise)).unwrap()).unwrap();
    let mut order: Vec<u32> = (0..ITEMS as u32).collect();
    order.shuffle(&mut generator);
    let mut truth = vec![0; ITEMS];
    order.iter().enumerate().for_each(|(at, &item)| truth[item as usize] = at as u32);
    (x, select(&y, &order).unwrap(), truth)
}

fn params() -> AlignParams {
    let refinement = RefinementParams { first_dimension: 4, last_dimension: DIMENSION, ..RefinementParams::sharp() };
    AlignParams { candidates: vec![Candidate { name: "small".to_owned(), refinement }], ..AlignParams::default() }
}

fn anchors(truth: &[u32], count: u32) -> Vec<(u32, u32)> {
    (0..count).map(|i| (i, truth[i as usize])).collect()
}

fn accuracy(alignment: &Alignment, truth: &[u32], anchors: &[(u32, u32)]) -> f64 {
    let free_x: Vec<u32> = (0..ITEMS as u32).filter(|i| anchors.iter().all(|pair| pair.0 != *i)).collect();
    let free_y: Vec<u32> = (0..ITEMS as u32).filter(|j| anchors.iter().all(|pair| pair.1 != *j)).collect();
    let coupling = alignment.coupling.as_ref().unwrap();
    let hits = coupling.pairs().filter(|&(i, j)| truth[free_x[i] as usize] == free_y[j]).count();
    hits as f64 / free_x.len() as f64
}

#[test]
fn a_planted_rotation_is_found_from_few_pairs() {
    let (x, y, truth) = planted(0.05);
    let known = anchors(&truth, 6);
    let alignment = params().check().unwrap().anchors(&x, &y, &known, &()).unwrap();
    assert_eq!(alignment.report.chosen, "small");
    assert_eq!((alignment.report.rounds.len(), alignment.report.dimension), (16, DIMENSION));
    let found = accuracy(&alignment, &truth, &known);
    assert!(found > 0.9, "pairing accuracy {found}");
    let paired = select(&y, &truth).unwrap();
    let evaluate = |map: &PreparedMap| {
        let (x, y) = map.joint(&x, &paired).unwrap();
        retrieval(&x, &y, RetrievalParams::default()).unwrap().source_to_target.at_1
    };
    let (loop_found, baseline) =
        (evaluate(&alignment.prepared_map()), evaluate(alignment.anchors_only.as_ref().unwrap()));
    assert!(loop_found > 0.95 && loop_found > baseline + 0.1, "{loop_found} against {baseline}");
}

#[test]
fn known_pairs_alone_decide_where_the_loop_is_worse() {
    // Without their weight the noise carries the loop away from the known pairs.
    let (x, y, truth) = planted(1.0);
    let mut params = params();
    params.candidates[0].refinement = RefinementParams {
        anchor_share: 0.0,
        last_dimension: 4,
        first_share: 0.01,
        last_share: 0.01,
        ..params.candidates[0].refinement.clone()
    };
    let alignment = params.check().unwrap().anchors(&x, &y, &anchors(&truth, 60), &()).unwrap();
    let report = &alignment.report.selection[0];
    assert!(report.anchors_only_mean_log_rank + 0.1 < report.mean_log_rank, "{report:?}");
    assert_eq!((alignment.report.chosen.as_str(), alignment.report.rounds.len()), ("anchors-only", 0));
    assert_eq!(alignment.report.dimension, 4);
}

#[test]
fn smooth_maps_follow_what_linear_ones_cannot() {
    // The absolute values of coordinates: no linear map knows them.
    let (x, _, _) = planted(0.0);
    let y = x.abs().unwrap();
    let pairs: Vec<(u32, u32)> = (0..ITEMS as u32).step_by(2).map(|i| (i, i)).collect();
    let ranked = |kernel_width: f64| {
        let refinement = RefinementParams {
            kernel_width,
            first_dimension: 100,
            last_dimension: 100,
            candidates: 20,
            ..RefinementParams::diffuse()
        };
        let candidate = Candidate { name: "diffuse".to_owned(), refinement };
        let params = AlignParams { candidates: vec![candidate], folds: 0, ..AlignParams::default() };
        let aligner = params.check().unwrap();
        let alignment = aligner.anchors(&x, &y, &pairs, &()).unwrap();
        assert_eq!((alignment.report.chosen.as_str(), alignment.report.rounds.len()), ("diffuse", 3));
        assert!(alignment.report.rounds.iter().all(|round| round.share == 1.0 && round.matched_score > 0.0));
        let hidden: Vec<(u32, u32)> = (0..ITEMS as u32).skip(1).step_by(2).map(|i| (i, i)).collect();
        mean_log_rank_of_hidden(&alignment.prepared_map(), (&x, &y), &pairs, &hidden, 10).unwrap()
    };
    let (smooth, linear) = (ranked(0.25), ranked(0.0));
    assert!(smooth + 0.15 < linear, "{smooth} against {linear}");
}

#[test]
fn what_is_surely_behind_is_not_chosen() {
    let report = |folds: usize, mean_log_rank: f64| SelectionReport {
        name: String::new(),
        folds,
        mean_log_rank,
        anchors_only_mean_log_rank: mean_log_rank + 0.5,
        behind: false,
        anchors_only_ahead: false,
        hidden_first: 0.0,
    };
    let both = [true; 2];
    // Its one fold was an easy one.
    let found = chosen(&[report(1, 1.0), report(4, 2.0), report(4, 3.0)], &[true; 3]);
    assert_eq!((found.candidate, found.by_known_alone), (1, false));
    let alone = SelectionReport { anchors_only_ahead: true, ..report(4, 2.0) };
    let found = chosen(&[alone, SelectionReport { anchors_only_mean_log_rank: 1.5, ..report(4, 3.0) }], &both);
    assert_eq!((found.candidate, found.by_known_alone), (1, true));
    assert_eq!(chosen(&[], &[]).candidate, 0);
    // The one that does not couple, unless it is behind.
    for (behind, expected) in [(false, 1), (true, 0)] {
        let cheap = SelectionReport { behind, ..report(4, 2.3) };
        assert_eq!(chosen(&[report(4, 2.0), cheap], &[true, false]).candidate, expected);
    }
}

#[test]
fn unrelated_sides_are_no_better_than_chance() {
    let (x, _, truth) = planted(0.05);
    let (_, y, _) = planted(50.0);
    let alignment = params().check().unwrap().anchors(&x, &y, &anchors(&truth, 20), &()).unwrap();
    let report = &alignment.report.selection[0];
    // Chance is about ln(n / e).
    assert!(report.mean_log_rank > 4.0 && report.anchors_only_mean_log_rank > 4.0, "{report:?}");
}

#[test]
fn sides_of_different_sizes_are_coupled() {
    let (x, y, truth) = planted(0.05);
    let known = anchors(&truth, 10);
    let fewer = x.narrow(0, 0, 300).unwrap();
    let alignment = params().check().unwrap().anchors(&fewer, &y, &known, &()).unwrap();
    let coupling = alignment.coupling.unwrap();
    assert_eq!((coupling.num_x(), coupling.num_y(), coupling.num_pairs()), (290, 390, 290));
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let (x, y, truth) = planted(0.2);
    let weights = |threads: usize| -> Vec<u32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let known = anchors(&truth, 10);
        let alignment = pool.install(|| params().check().unwrap().anchors(&x, &y, &known, &()).unwrap());
        let tensors = alignment.map.tensors();
        tensors.values().flat_map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap()).map(f32::to_bits).collect()
    };
    assert_eq!(weights(1), weights(3));
}

#[test]
fn each_rule_has_its_error() {
    let (x, y, _) = planted(0.1);
    let refused = |known: &[(u32, u32)]| params().check().unwrap().anchors(&x, &y, known, &()).unwrap_err();
    assert!(matches!(refused(&[(0, 0)]), AlignError::TooFewAnchors { got: 1, expected: 2 }));
    let outside = refused(&[(0, 0), (1, 400)]);
    assert!(matches!(outside, AlignError::AnchorOutOfRange { position: 1, side: "target", value: 400, limit: 400 }));
    let repeated = refused(&[(0, 0), (0, 1)]);
    assert!(matches!(repeated, AlignError::RepeatedAnchor { side: "source", value: 0, first: 0, second: 1 }));
    let broken = (&x * f64::NAN).unwrap();
    let refused = params().check().unwrap().anchors(&broken, &y, &[(0, 0), (1, 1)], &());
    assert!(matches!(refused, Err(AlignError::Embeddings { side: "source", .. })));
}

#[test]
fn all_pairs_known_leaves_nothing_to_couple() {
    let (x, y, truth) = planted(0.05);
    let alignment = params().check().unwrap().anchors(&x, &y, &anchors(&truth, ITEMS as u32), &()).unwrap();
    assert!(alignment.coupling.is_none() && alignment.confidence.is_empty());
}

#[test]
fn cross_validation_tries_every_candidate_on_every_fold() {
    let (x, y, truth) = planted(0.05);
    let mut params = params();
    let mut hopeless = params.candidates[0].clone();
    hopeless.refinement.penalty = 1e6;
    params.candidates.push(hopeless);
    let aligner = params.check().unwrap();
    // Three pairs a fold at least.
    for (pairs, folds) in [(20, 4), (9, 3)] {
        let reports = aligner.cross_validate(&x, &y, &anchors(&truth, pairs), &()).unwrap();
        assert_eq!(reports.iter().map(|report| report.folds).collect::<Vec<_>>(), [folds, folds]);
    }
    let reports = aligner.cross_validate(&x, &y, &anchors(&truth, 12), &()).unwrap();
    assert!(reports[0].mean_log_rank < 0.5, "{reports:?}");
    let refused = aligner.cross_validate(&x, &y, &anchors(&truth, 5), &());
    assert!(matches!(refused, Err(AlignError::TooFewAnchors { got: 5, expected: 6 })));
}

#[test]
fn hidden_pairs_are_ranked_among_free_items() {
    let (x, y, truth) = planted(0.05);
    let pairs = anchors(&truth, 40);
    let (known, hidden) = pairs.split_at(10);
    let alignment = params().check().unwrap().anchors(&x, &y, known, &()).unwrap();
    let rank = |map: &PreparedMap| mean_log_rank_of_hidden(map, (&x, &y), known, hidden, 10).unwrap();
    let (found, baseline) = (rank(&alignment.prepared_map()), rank(alignment.anchors_only.as_ref().unwrap()));
    assert!(found < 0.2 && baseline > found, "{found} against {baseline}");
}

struct Impatient;

impl Observer for Impatient {
    fn on_event(&self, _event: &Event) {}
    fn should_stop(&self) -> bool {
        true
    }
}

#[test]
fn it_stops_when_asked() {
    let (x, y, truth) = planted(0.05);
    let stopped = params().check().unwrap().anchors(&x, &y, &anchors(&truth, 10), &Impatient);
    assert!(matches!(stopped, Err(AlignError::Interrupted)));
}
