//! Being asked to stop, at any point, gives either no coupling or a whole one that says what it is.

mod support;

use hiref_core::{CostKind, Error, Event, HirefOutput, HirefParams, Observer, Phase, Termination};
use hiref_testkit::{Instance, exact_assignment, problems};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use support::{check, ending_exact, problem, reference, small_blocks};

/// Says stop from the `after`-th question on.
struct StopAfter {
    after: usize,
    asked: AtomicUsize,
}

impl Observer for StopAfter {
    fn on_event(&self, _event: &Event) {}

    fn should_stop(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) >= self.after
    }
}

/// Solves on one thread, so that the questions come in a fixed order. Returns whether a question was answered with stop.
fn stopped_after(after: usize, instance: &Instance, params: &HirefParams) -> (Result<HirefOutput, Error>, bool) {
    let observer = StopAfter { after, asked: AtomicUsize::new(0) };
    let problem = problem(instance, CostKind::SquaredEuclidean);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let result = pool.install(|| params.clone().check().unwrap().solve(&problem, None, &observer));
    (result, observer.asked.into_inner() > after)
}

/// Tries every question in turn (every `step`-th); returns how many gave an error, an interrupted and a finished result.
fn stop_everywhere(instance: &Instance, params: &HirefParams, step: usize) -> [usize; 3] {
    let optimum =
        exact_assignment(&instance.x, &instance.y, instance.dimension, reference(CostKind::SquaredEuclidean)).mean_cost;
    let mut counts = [0; 3];
    let mut faults = Vec::new();
    for after in (0..).step_by(step) {
        let (result, said_stop) = stopped_after(after, instance, params);
        match result {
            Err(Error::Interrupted) => counts[0] += 1,
            Err(other) => panic!("{other}"),
            Ok(output) => {
                check(instance, CostKind::SquaredEuclidean, &output);
                if output.exact && output.mean_cost > optimum * (1.0 + 1e-5) {
                    faults.push(format!("stop at question {after}: said to be exact, but is not"));
                }
                if said_stop && !output.exact && output.termination != Termination::Interrupted {
                    faults.push(format!("stop at question {after}: {:?}", output.termination));
                }
                if !said_stop && output.termination == Termination::Interrupted {
                    faults.push(format!("no stop before question {after}, but interrupted"));
                }
                counts[if said_stop { 1 } else { 2 }] += 1;
            }
        }
        if !said_stop {
            break;
        }
    }
    assert!(faults.is_empty(), "{} of {counts:?}: {faults:#?}", faults.len());
    counts
}

#[test]
fn stopping_before_every_unit_of_work_of_a_small_problem() {
    for instance in
        [problems::mixture(200, 200, 2, 1), problems::mixture(150, 200, 2, 1), problems::mixture(200, 150, 2, 1)]
    {
        let params = HirefParams { max_sweeps: Some(8), ..small_blocks(1) };
        let [errors, interrupted, finished] = stop_everywhere(&instance, &params, 1);
        assert!(errors > 0 && interrupted > 0 && finished == 1);
    }
}

#[test]
fn stopping_before_and_in_the_last_exact_solve() {
    let params = HirefParams { max_sweeps: Some(4), ..ending_exact(1) };
    for instance in
        [problems::mixture(200, 200, 2, 1), problems::mixture(150, 200, 6, 1), problems::duplicates(40, 5, 6, 1)]
    {
        stop_everywhere(&instance, &params, 1);
    }
}

#[test]
fn stopping_a_problem_of_one_leaf() {
    stop_everywhere(&problems::mixture(100, 100, 2, 1), &HirefParams::default(), 1);
}

/// Says stop once a phase has begun; keeps the events.
struct StopIn {
    phase: Phase,
    begun: AtomicBool,
    events: Mutex<Vec<Event>>,
}

impl Observer for StopIn {
    fn on_event(&self, event: &Event) {
        if matches!(event, Event::PhaseStarted { phase, .. } if *phase == self.phase) {
            self.begun.store(true, Ordering::SeqCst);
        }
        self.events.lock().unwrap().push(event.clone());
    }

    fn should_stop(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }
}

#[test]
fn stopping_in_each_phase_of_a_larger_problem() {
    let instance = problems::mixture(6000, 6000, 6, 1);
    let problem = problem(&instance, CostKind::Euclidean);
    for phase in [Phase::Split, Phase::Leaves, Phase::Polish, Phase::Prices, Phase::Exact] {
        let observer = StopIn { phase, begun: AtomicBool::new(false), events: Mutex::default() };
        let result = HirefParams::default().check().unwrap().solve(&problem, None, &observer);
        match (phase, result) {
            (Phase::Split, result) => assert!(matches!(result, Err(Error::Interrupted)), "{result:?}"),
            (_, Ok(output)) => {
                check(&instance, CostKind::Euclidean, &output);
                assert_eq!(output.termination, Termination::Interrupted, "in {phase:?}");
                assert!(!output.exact);
            }
            (_, Err(error)) => panic!("in {phase:?}: {error}"),
        }
        // No more than what every thread had in hand.
        let events = observer.events.into_inner().unwrap();
        let done =
            events.iter().filter(|event| matches!(event, Event::Advanced { phase: of, .. } if *of == phase)).count();
        assert!(done <= rayon::current_num_threads(), "{done} units of work after the word, in {phase:?}");
    }
}

/// Listens only; never says stop.
struct Listen<'a>(&'a StopIn);
impl Observer for Listen<'_> {
    fn on_event(&self, event: &Event) {
        self.0.on_event(event);
    }
}

/// The work of a phase that was announced, and that was done.
fn work(events: &[Event], phase: Phase) -> (u64, u64) {
    let sum = |pick: &dyn Fn(&Event) -> Option<u64>| events.iter().filter_map(pick).sum::<u64>();
    let announced = sum(&|event| match event {
        Event::PhaseStarted { phase: started, total } if *started == phase => Some(*total),
        _ => None,
    });
    let done = sum(&|event| match event {
        Event::Advanced { phase: of, work } if *of == phase => Some(*work),
        _ => None,
    });
    (announced, done)
}

/// Long passes tell of many pieces of work, and of all that they have announced.
#[test]
fn passes_over_all_pairs_tell_how_far_they_are() {
    let size = 3000;
    for (unequal, cost) in [(0, CostKind::SquaredEuclidean), (500, CostKind::Cosine)] {
        let instance = problems::mixture(size, size + unequal, 12, 1);
        let observer = StopIn { phase: Phase::Split, begun: AtomicBool::new(false), events: Mutex::default() };
        let params = HirefParams { certify: true, estimate_gap: true, ..HirefParams::default() };
        let output = params.check().unwrap().solve(&problem(&instance, cost), None, &Listen(&observer)).unwrap();
        let events = observer.events.into_inner().unwrap();
        let pairs = (size * (size + unequal)) as u64;
        let (announced, done) = work(&events, Phase::Exact);
        assert_eq!((announced, done), (pairs * output.rounds.len() as u64, announced), "{cost}");
        let is_piece = |event: &&Event| matches!(event, Event::Advanced { phase: Phase::Exact, .. });
        assert!(events.iter().filter(is_piece).count() >= output.rounds.len() * size / 256, "{cost}");
        let (announced, done) = work(&events, Phase::Prices);
        assert_eq!(announced, done, "{cost}");
        // Passes that gain nothing are the last.
        let (announced, done) = work(&events, Phase::Certify);
        assert!(done > 0 && done % pairs == 0 && done <= announced, "{cost}: {done} of {announced}");
    }
}

#[test]
fn events_tell_the_whole_story_in_order() {
    let instance = problems::mixture(3000, 3000, 6, 1);
    let observer = StopIn { phase: Phase::Split, begun: AtomicBool::new(false), events: Mutex::default() };
    let params = HirefParams { max_sweeps: Some(3), exact_limit: Some(0), ..HirefParams::default() };
    let output = params
        .check()
        .unwrap()
        .solve(&problem(&instance, CostKind::SquaredEuclidean), None, &Listen(&observer))
        .unwrap();
    let events = observer.events.into_inner().unwrap();
    let finished: Vec<Phase> = events
        .iter()
        .filter_map(|event| if let Event::PhaseFinished { phase, .. } = event { Some(*phase) } else { None })
        .collect();
    assert_eq!(finished, [Phase::Split, Phase::Leaves, Phase::Polish]);
    for phase in finished {
        let (announced, done) = work(&events, phase);
        assert_eq!(announced, done, "{phase:?}");
    }
    let levels = events.iter().filter(|event| matches!(event, Event::LevelFinished(_))).count();
    let sweeps = events.iter().filter(|event| matches!(event, Event::SweepFinished(_))).count();
    assert_eq!((levels, sweeps), (output.levels.len(), output.sweeps.len()));
}

#[test]
fn a_time_limit_ends_the_sweeps() {
    let instance = problems::mixture(20_000, 20_000, 8, 1);
    let params = HirefParams { time_limit: Some(1e-6), ..HirefParams::default() };
    let output = support::solve(&instance, CostKind::SquaredEuclidean, params);
    assert_eq!(output.termination, Termination::TimeLimit);
    assert!(output.sweeps.is_empty() && !output.exact);
    // A warm start that is good enough to go on from is what comes back.
    let good = support::solve(&instance, CostKind::SquaredEuclidean, HirefParams::default());
    let warm = HirefParams { time_limit: Some(1e-6), ..HirefParams::default() };
    let same = support::solve_from(&instance, CostKind::SquaredEuclidean, warm, Some(&good.warm_start()), &());
    assert_eq!((same.termination, same.sweeps.len()), (Termination::TimeLimit, 0));
    assert_eq!(same.permutation, good.permutation);
}

#[test]
fn a_sweep_limit_is_told() {
    let instance = problems::mixture(3000, 3000, 4, 1);
    let params = HirefParams { max_sweeps: Some(1), ..small_blocks(1) };
    let output = support::solve(&instance, CostKind::SquaredEuclidean, params);
    assert_eq!((output.termination, output.sweeps.len()), (Termination::MaxIterations, 1));
}
