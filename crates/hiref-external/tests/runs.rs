//! Whole runs in blocks far smaller than the sets.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, UInt32Type};
use himacl_data::{read_npy_u32, write_npy_f16, write_npy_f32};
use hiref_core::{CostKind, HirefParams, Problem, Quality, UNMATCHED};
use hiref_external::local::{self, Watch};
use hiref_external::{Error, Input, Job, Outcome, Plan, Settings, Step, StepReport};
use hiref_testkit::problems::{self, Instance};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Says stop after so many tasks.
struct StopAfter(AtomicUsize);

impl Watch for StopAfter {
    fn started(&self, _step: Step, _tasks: usize, _done: usize) {}

    fn advanced(&self, _step: Step) {
        let left = self.0.load(Ordering::SeqCst);
        self.0.store(left.saturating_sub(1), Ordering::SeqCst);
    }

    fn finished(&self, _report: &StepReport) {}

    fn should_stop(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

fn never() -> StopAfter {
    StopAfter(AtomicUsize::new(usize::MAX))
}

/// Settings for blocks of `block_rows` pairs of the sets in `folder`.
fn settings(folder: &Path, cost: CostKind, block_rows: usize) -> Settings {
    let input = |name: &str| Input { path: folder.join(name), key: None };
    let output = folder.join("out");
    fs::create_dir_all(&output).unwrap();
    Settings {
        x: input("x.npy"),
        y: input("y.npy"),
        output,
        cost,
        quality: Quality::Balanced,
        seed: 3,
        center: false,
        normalize: false,
        memory: 1 << 30,
        threads: 2,
        block_rows: Some(block_rows),
        sweeps: None,
        gap_rows: None,
    }
}

fn write(folder: &Path, instance: &Instance, half: bool) {
    let d = instance.dimension;
    for (name, values) in [("x.npy", &instance.x), ("y.npy", &instance.y)] {
        let shape = [values.len() / d, d];
        let write = if half { write_npy_f16 } else { write_npy_f32 };
        write(&folder.join(name), values, &shape).unwrap();
    }
}

fn start(folder: &Path, settings: &Settings) -> Job {
    let work = folder.join("work");
    fs::create_dir_all(&work).unwrap();
    Plan::new(settings).unwrap().write(&work).unwrap();
    Job::open(&work).unwrap()
}

/// What the result's files say: who goes with whom, by the permutation and by the pairs, and the mean cost of the latter.
fn read(output: &Path, n: usize, m: usize) -> (Vec<u32>, f64) {
    let y_of_x = read_npy_u32(&output.join("permutation.npy")).unwrap();
    assert_eq!(y_of_x.len(), n);
    let (mut seen_x, mut seen_y) = (vec![false; n], vec![false; m]);
    let (mut sum, mut pairs) = (0.0, 0);
    for part in 0.. {
        let Ok(file) = File::open(output.join(format!("pairs/part-{part:05}.parquet"))) else { break };
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let (x, y) = (batch.column(0).as_primitive::<UInt32Type>(), batch.column(1).as_primitive::<UInt32Type>());
            let costs = batch.column(2).as_primitive::<Float32Type>();
            for ((&x, &y), &cost) in x.values().iter().zip(y.values()).zip(costs.values()) {
                assert!(!std::mem::replace(&mut seen_x[x as usize], true), "x {x} twice");
                assert!(!std::mem::replace(&mut seen_y[y as usize], true), "y {y} twice");
                assert_eq!(y_of_x[x as usize], y);
                sum += f64::from(cost);
                pairs += 1;
            }
        }
    }
    assert_eq!(pairs, n.min(m));
    assert_eq!(y_of_x.iter().filter(|&&y| y != UNMATCHED).count(), pairs);
    (y_of_x, sum / pairs as f64)
}

/// Runs and checks a set; returns the outcome and the pairing.
fn run(instance: &Instance, cost: CostKind, block_rows: usize, half: bool) -> (Outcome, Vec<u32>) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), instance, half);
    let settings = settings(folder.path(), cost, block_rows);
    let job = start(folder.path(), &settings);
    let outcome = local::run(&job, 1, &never()).unwrap();
    let (y_of_x, mean_cost) = read(&settings.output, instance.num_x(), instance.num_y());
    assert!((outcome.mean_cost - mean_cost).abs() <= 1e-5 * mean_cost.abs() + 1e-6, "{mean_cost}: {outcome:?}");
    let costs: Vec<f64> = outcome.steps.iter().filter_map(|step| step.mean_cost).collect();
    let slack = 1e-6 * costs[0].abs();
    assert!(costs.windows(2).all(|two| two[1] <= two[0] + slack), "costs never rise: {costs:?}");
    (outcome, y_of_x)
}

/// The mean cost of a solve in memory.
fn in_memory(instance: &Instance, cost: CostKind) -> f64 {
    let problem = Problem::new((&instance.x, instance.dimension), (&instance.y, instance.dimension), cost).unwrap();
    HirefParams { exact_limit: Some(0), ..HirefParams::default() }
        .check()
        .unwrap()
        .solve(&problem, None, &())
        .unwrap()
        .mean_cost
}

#[test]
fn a_planted_pairing_is_found_across_blocks() {
    for (n, m) in [(6000, 6000), (4000, 6000), (6000, 4000)] {
        let instance = problems::planted(n, m, 3, 5);
        let (outcome, y_of_x) = run(&instance, CostKind::SquaredEuclidean, 1000, false);
        let expected = instance.optimum.as_ref().unwrap();
        let wrong = y_of_x.iter().zip(expected).filter(|(a, b)| a != b).count();
        assert!(wrong * 50 <= n, "{n} x {m}: {wrong} pairs are others, {outcome:?}");
    }
}

#[test]
fn blocks_cost_little_more_than_memory() {
    for (n, m, cost) in [
        (5000, 5000, CostKind::SquaredEuclidean),
        (5000, 5000, CostKind::Euclidean),
        (3000, 5000, CostKind::SquaredEuclidean),
        (5000, 3000, CostKind::Cosine),
        (5000, 5000, CostKind::NegativeInnerProduct),
    ] {
        let instance = problems::mixture(n, m, 16, 2);
        let (outcome, _) = run(&instance, cost, 1250, false);
        let whole = in_memory(&instance, cost);
        let excess = (outcome.mean_cost - whole) / whole.abs();
        assert!(excess < 0.03, "{n} x {m} {cost}: {excess} above {whole}");
        let gap = outcome.gap.unwrap();
        assert!(0.0 <= gap.low && gap.low <= gap.value && gap.value <= gap.high && gap.high < 1.0, "{gap:?}");
    }
}

#[test]
fn equal_points_and_few_points_are_paired() {
    run(&problems::all_equal(3000, 3000, 4), CostKind::SquaredEuclidean, 500, false);
    run(&problems::all_equal(10, 3000, 4), CostKind::SquaredEuclidean, 500, false);
    run(&problems::duplicates(40, 100, 3, 1), CostKind::Euclidean, 700, true);
    run(&problems::planted(1, 1, 3, 1), CostKind::SquaredEuclidean, 500, false);
}

/// All files of a folder with their contents.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.push((path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

#[test]
fn the_same_bytes_however_it_is_run() {
    let instance = problems::mixture(2500, 3000, 6, 4);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &instance, true);
    let settings = settings(folder.path(), CostKind::SquaredEuclidean, 800);
    let first = local::run(&start(folder.path(), &settings), 1, &never()).unwrap();
    let expected = contents(&settings.output);
    assert_eq!(expected.len(), 2);
    // Several workers.
    let again = |stop_after: Option<usize>, workers: usize| {
        fs::remove_dir_all(folder.path().join("work")).unwrap();
        fs::remove_dir_all(&settings.output).unwrap();
        fs::create_dir(&settings.output).unwrap();
        let mut job = start(folder.path(), &settings);
        if let Some(tasks) = stop_after {
            while let Err(error) = local::run(&job, workers, &StopAfter(AtomicUsize::new(tasks))) {
                assert!(matches!(error, Error::Interrupted), "{error}");
                job = Job::open(&folder.path().join("work")).unwrap();
            }
        }
        local::run(&job, workers, &never()).unwrap()
    };
    for (stop_after, workers) in [(None, 3), (Some(1), 1), (Some(2), 2), (Some(7), 1)] {
        let outcome = again(stop_after, workers);
        assert_eq!(contents(&settings.output), expected, "stopped after {stop_after:?}, {workers} workers");
        assert_eq!((outcome.mean_cost, outcome.gap), (first.mean_cost, first.gap));
    }
    Job::remove(&folder.path().join("work")).unwrap();
    assert_eq!(fs::read_dir(folder.path().join("work")).unwrap().count(), 0);
}

#[test]
fn stored_archives_are_read_where_they_lie() {
    let instance = problems::mixture(1500, 1500, 6, 4);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &instance, true);
    let mut settings = settings(folder.path(), CostKind::Cosine, 600);
    local::run(&start(folder.path(), &settings), 1, &never()).unwrap();
    let expected = contents(&settings.output);
    // Each side is the second array of an archive.
    for (name, input) in [("x", &mut settings.x), ("y", &mut settings.y)] {
        let path = folder.path().join(name).with_extension("npz");
        let mut archive = ZipWriter::new(File::create(&path).unwrap());
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        for (member, content) in [("ids.npy", b"other".to_vec()), ("emb.npy", fs::read(&input.path).unwrap())] {
            archive.start_file(member, stored).unwrap();
            archive.write_all(&content).unwrap();
        }
        archive.finish().unwrap();
        fs::remove_file(&input.path).unwrap();
        *input = Input { path, key: Some("emb".to_owned()) };
    }
    fs::remove_dir_all(folder.path().join("work")).unwrap();
    fs::remove_dir_all(&settings.output).unwrap();
    fs::create_dir(&settings.output).unwrap();
    local::run(&start(folder.path(), &settings), 1, &never()).unwrap();
    assert_eq!(contents(&settings.output), expected);
}

/// Says stop once it was asked so many times.
struct StopAtQuestion(AtomicUsize);

impl Watch for StopAtQuestion {
    fn started(&self, _step: Step, _tasks: usize, _done: usize) {}

    fn advanced(&self, _step: Step) {}

    fn finished(&self, _report: &StepReport) {}

    fn should_stop(&self) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
    }
}

#[test]
fn a_stop_inside_a_task_is_no_failure() {
    let instance = problems::mixture(900, 900, 6, 4);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &instance, false);
    let settings = settings(folder.path(), CostKind::SquaredEuclidean, 450);
    let mut stops = 0;
    // Wherever it is asked within the first tasks, the solver's own start included.
    for questions in 0..60 {
        let job = start(folder.path(), &settings);
        if let Err(error) = local::run(&job, 1, &StopAtQuestion(AtomicUsize::new(questions))) {
            assert!(matches!(error, Error::Interrupted), "after {questions} questions: {error}");
            stops += 1;
        }
        fs::remove_dir_all(folder.path().join("work")).unwrap();
    }
    assert!(stops > 40, "only {stops} runs were stopped");
}
