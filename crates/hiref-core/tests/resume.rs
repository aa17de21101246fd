//! An interrupted solve goes on from its checkpoint to the bits of one that was not interrupted.

mod support;

use hiref_core::{Checkpoint, CostKind, Error, Event, HirefOutput, HirefParams, Observer, Permutation, WarmStart};
use hiref_testkit::{Instance, problems};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{problem, small_blocks};

/// Says stop from the `after`-th question on, and keeps the last state offered.
struct StopAfter {
    after: usize,
    asked: AtomicUsize,
    state: Mutex<Option<(Vec<u8>, bool)>>,
}

impl Observer for StopAfter {
    fn on_event(&self, _event: &Event) {}

    fn on_checkpoint(&self, encode: &dyn Fn() -> Vec<u8>, last: bool) {
        *self.state.lock().unwrap() = Some((encode(), last));
    }

    fn should_stop(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) >= self.after
    }
}

type Stopped = (Result<HirefOutput, Error>, bool, Option<(Vec<u8>, bool)>);

/// Solves on one thread, so that the questions come in a fixed order.
fn stopped_after(after: usize, instance: &Instance, params: &HirefParams, warm: Option<&WarmStart>) -> Stopped {
    let observer = StopAfter { after, asked: AtomicUsize::new(0), state: Mutex::default() };
    let problem = problem(instance, CostKind::SquaredEuclidean);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let result = pool.install(|| params.clone().check().unwrap().solve(&problem, warm, &observer));
    (result, observer.asked.into_inner() > after, observer.state.into_inner().unwrap())
}

/// Stops at every `step`-th question; each time the last state offered must lead to the uninterrupted result. Returns how many stops left a
/// state behind, by what it held: co-clusters or a pairing.
fn resumes_everywhere(instance: &Instance, params: &HirefParams, warm: Option<&WarmStart>, step: usize) -> [usize; 2] {
    let problem = problem(instance, CostKind::SquaredEuclidean);
    let solver = params.clone().check().unwrap();
    let whole = solver.solve(&problem, warm, &()).unwrap();
    let mut stages = [0; 2];
    for after in (0..).step_by(step) {
        let (result, said_stop, state) = stopped_after(after, instance, params, warm);
        if !said_stop {
            break;
        }
        let Some((bytes, last)) = state else {
            assert!(matches!(result, Err(Error::Interrupted)), "stop at question {after}: nothing to go on from");
            continue;
        };
        assert!(last, "stop at question {after}: the state before the stop was not offered");
        let checkpoint = Checkpoint::from_bytes(&bytes).unwrap();
        stages[usize::from(bytes.windows(6).any(|name| name == b"y_of_x"))] += 1;
        let resumed = solver.resume(&problem, checkpoint, &()).unwrap();
        let what = format!("{}, stop at question {after}", instance.name);
        assert_eq!(resumed.permutation, whole.permutation, "{what}");
        assert_eq!(resumed.mean_cost.to_bits(), whole.mean_cost.to_bits(), "{what}");
        assert_eq!((resumed.exact, resumed.termination), (whole.exact, whole.termination), "{what}");
        assert_eq!((resumed.levels.len(), resumed.sweeps.len()), (whole.levels.len(), whole.sweeps.len()), "{what}");
        match (&resumed.certificate, &whole.certificate) {
            (None, None) => {}
            (Some(resumed), Some(whole)) => assert_eq!((&resumed.f, &resumed.g), (&whole.f, &whole.g), "{what}"),
            _ => panic!("{what}: one of the two is certified"),
        }
    }
    stages
}

#[test]
fn from_every_unit_of_work_of_small_problems() {
    for (n, m) in [(300, 300), (150, 200), (200, 150)] {
        let instance = problems::mixture(n, m, 6, 1);
        let params = HirefParams { max_sweeps: Some(3), certify: true, exact_limit: Some(1000), ..small_blocks(1) };
        let stages = resumes_everywhere(&instance, &params, None, 3);
        assert!(stages.iter().all(|&count| count > 0), "{stages:?}");
    }
}

#[test]
fn from_coarse_to_fine_and_from_a_warm_start() {
    let instance = problems::mixture(600, 600, 2, 1);
    let params = HirefParams { max_sweeps: Some(2), certify: true, exact_limit: Some(1000), ..small_blocks(1) };
    assert!(resumes_everywhere(&instance, &params, None, 3)[1] > 0);
    // Prices make up for a drift; a pairing without them is merged with a fresh start.
    let solved = params.clone().check().unwrap().solve(
        &problem(&problems::mixture(600, 600, 2, 2), CostKind::Euclidean),
        None,
        &(),
    );
    for warm in [solved.unwrap().warm_start(), Permutation::identity(600).into()] {
        resumes_everywhere(&instance, &params, Some(&warm), 5);
    }
}

#[test]
fn from_warm_starts_in_many_dimensions() {
    let (instance, params) =
        (problems::mixture(500, 600, 6, 1), HirefParams { max_sweeps: Some(3), ..small_blocks(1) });
    let y_of_x =
        |step: u32| WarmStart::from(Permutation::new((0..500).map(|i| (i * step) % 600).collect(), 600).unwrap());
    // No better than nothing: kept while the blocks are split, and merged with what comes of them.
    let stages = resumes_everywhere(&instance, &params, Some(&y_of_x(7)), 3);
    assert!(stages.iter().all(|&count| count > 0), "{stages:?}");
    let good =
        params.clone().check().unwrap().solve(&problem(&instance, CostKind::SquaredEuclidean), None, &()).unwrap();
    let stages = resumes_everywhere(&instance, &params, Some(&good.warm_start()), 3);
    assert!(stages[0] == 0 && stages[1] > 0, "{stages:?}");
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let instance = problems::mixture(300, 300, 6, 1);
    let params = HirefParams { max_sweeps: Some(4), ..small_blocks(1) };
    let (_, _, state) = stopped_after(60, &instance, &params, None);
    let (bytes, _) = state.unwrap();
    let checkpoint = || Checkpoint::from_bytes(&bytes).unwrap();
    let resume = |params: HirefParams, instance: &Instance, cost| {
        params.check().unwrap().resume(&problem(instance, cost), checkpoint(), &()).unwrap_err()
    };
    let mismatch = |error: Error, expected: &str| match error {
        Error::CheckpointMismatch { what } => assert_eq!(what, expected),
        other => panic!("expected another {expected}, got: {other}"),
    };
    let sqeuclidean = CostKind::SquaredEuclidean;
    mismatch(resume(HirefParams { seed: 9, ..params.clone() }, &instance, sqeuclidean), "setting");
    mismatch(resume(params.clone(), &problems::mixture(300, 300, 6, 2), sqeuclidean), "problem");
    mismatch(resume(params.clone(), &instance, CostKind::Cosine), "problem");
    for length in [0, 7, 100, bytes.len() - 1] {
        let error = Checkpoint::from_bytes(&bytes[..length]).unwrap_err();
        assert!(matches!(error, Error::BrokenCheckpoint { .. }), "{length} bytes: {error}");
    }
    let mut bent = bytes.clone();
    bent.iter_mut().rev().take(4000).for_each(|byte| *byte = 0x11);
    let outcome = Checkpoint::from_bytes(&bent)
        .and_then(|checkpoint| params.check().unwrap().resume(&problem(&instance, sqeuclidean), checkpoint, &()));
    assert!(matches!(outcome, Err(Error::BrokenCheckpoint { .. })));
}
