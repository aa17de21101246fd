//! Tasks on machines that see no common folder: each in a room of its own, with the bytes that it says it reads and rubbish in the place of
//! all others.

use arrow_array::builder::{Float32Builder, ListBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use himacl_data::{Embeddings, write_npy_f16, write_npy_f32};
use hiref_core::{CostKind, Quality};
use hiref_external::{Input, Job, Plan, Settings, Step};
use hiref_testkit::problems;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const RUBBISH: u8 = 0xFF;

/// Rows as lists in a parquet file, in row groups of 300.
fn write_parquet(path: &Path, rows: &[f32], dimension: usize) {
    let mut lists = ListBuilder::new(Float32Builder::new());
    for row in rows.chunks(dimension) {
        lists.values().append_slice(row);
        lists.append(true);
    }
    let column: ArrayRef = Arc::new(lists.finish());
    let batch = RecordBatch::try_from_iter([("emb", column)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(300)).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The file or the files of a folder.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_path_buf()];
    }
    fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn copy_range(from: &Path, to: &Path, range: Range<u64>) {
    let (source, mut target) = (fs::read(from).unwrap(), fs::read(to).unwrap());
    let range = range.start as usize..range.end as usize;
    target[range.clone()].copy_from_slice(&source[range]);
    fs::write(to, target).unwrap();
}

/// A folder of temporary files with marks and plan alone, and the results of steps as headers followed by rubbish.
fn bring_heads(home: &Path, room: &Path, paths: &[PathBuf]) {
    for path in files(&home.join("work")).iter().filter(|path| path.is_file()) {
        fs::copy(path, room.join("work").join(path.file_name().unwrap())).unwrap();
    }
    for to in paths {
        let from = home.join(to.strip_prefix(room).unwrap());
        let bytes = fs::read(&from).unwrap();
        let head = 16 + u64::from_le_bytes(bytes[8..16].try_into().unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, vec![RUBBISH; bytes.len()]).unwrap();
        copy_range(&from, to, 0..head);
    }
}

/// An input of which everything but values is there.
fn bring_input(from: &Path, to: &Path) {
    let set = Embeddings::open(from, None).unwrap();
    let values = set.byte_ranges(0..set.num_rows()).unwrap();
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
    }
    for (path, ranges) in values {
        let mut bytes = fs::read(&path).unwrap();
        for range in ranges {
            bytes[range.start as usize..range.end as usize].fill(RUBBISH);
        }
        fs::write(to.join(path.strip_prefix(from).unwrap()).components().as_path(), bytes).unwrap();
    }
}

/// Runs a task in a room of its own; returns bytes read and written.
fn run_apart(home: &Path, settings: &Settings, step: Step, task: usize) -> u64 {
    let room = tempfile::tempdir().unwrap();
    let room = room.path();
    let place = |path: &Path| room.join(path.strip_prefix(home).unwrap());
    let inputs = [place(&settings.x.path), place(&settings.y.path)];
    ["work", "out"].iter().for_each(|folder| fs::create_dir(room.join(folder)).unwrap());
    bring_heads(home, room, &[]);
    bring_input(&settings.x.path, &inputs[0]);
    bring_input(&settings.y.path, &inputs[1]);
    let open = || Job::open_at(&room.join("work"), [&inputs[0], &inputs[1]], &room.join("out")).unwrap();
    bring_heads(home, room, &open().opens(step, task).unwrap());
    let mut bytes = 0;
    for (path, ranges) in open().reads(step, task).unwrap() {
        let from = home.join(path.strip_prefix(room).unwrap());
        for range in ranges {
            bytes += range.end - range.start;
            copy_range(&from, &path, range);
        }
    }
    open().run(step, task, &|| false).unwrap();
    for path in open().writes(step, task).unwrap() {
        let there = home.join(path.strip_prefix(room).unwrap());
        assert_eq!(fs::read(&path).unwrap(), fs::read(&there).unwrap(), "{} of {step} {task}", there.display());
        bytes += fs::metadata(path).unwrap().len();
    }
    bytes
}

/// A driver that has nothing but headers comes to the same report.
fn complete_apart(home: &Path, settings: &Settings, step: Step) -> Option<f64> {
    let room = tempfile::tempdir().unwrap();
    let room = room.path();
    fs::create_dir(room.join("work")).unwrap();
    bring_heads(home, room, &[]);
    let job = Job::open_at(&room.join("work"), [&settings.x.path, &settings.y.path], &room.join("out")).unwrap();
    bring_heads(home, room, &job.noted(step));
    job.complete(step, 0.0).unwrap().mean_cost
}

fn check(home: &Path, settings: &Settings) {
    let work = home.join("work");
    fs::create_dir_all(&work).unwrap();
    fs::create_dir_all(&settings.output).unwrap();
    let plan = Plan::new(settings).unwrap();
    plan.write(&work).unwrap();
    let job = Job::open(&work).unwrap();
    let (mut steps, mut sweep_bytes, mut last_sweep) = (0, 0, None);
    while let Some(step) = job.next_step().unwrap() {
        for task in 0..step.tasks(job.plan()) {
            job.run(step, task, &|| false).unwrap();
            let bytes = run_apart(home, settings, step, task);
            // Headers are small beside real blocks.
            assert!(bytes <= plan.task_bytes() + (1 << 15), "{step} {task}: {bytes} bytes, {}", plan.task_bytes());
            if matches!(step, Step::Sweep(_)) && last_sweep != Some(step) {
                (last_sweep, sweep_bytes) = (Some(step), 0);
            }
            sweep_bytes += if matches!(step, Step::Sweep(_)) { bytes } else { 0 };
        }
        let mean_cost = complete_apart(home, settings, step);
        assert_eq!(job.complete(step, 0.0).unwrap().mean_cost, mean_cost);
        steps += 1;
    }
    assert!(steps > 12);
    // A sweep's tasks read each pair once, not each of them all, and write it.
    let [n, m] = plan.rows.map(|rows| rows as u64);
    let once = (n + m) * (4 * plan.dimension as u64 + 24);
    assert!(sweep_bytes < 4 * once, "{sweep_bytes} bytes, {once} for all pairs");
}

fn settings(home: &Path, x: &str, y: &str) -> Settings {
    let input = |name: &str| Input { path: home.join(name), key: None };
    Settings {
        x: input(x),
        y: input(y),
        output: home.join("out"),
        cost: CostKind::SquaredEuclidean,
        quality: Quality::Balanced,
        seed: 3,
        center: false,
        normalize: false,
        memory: 1 << 30,
        threads: 1,
        block_rows: Some(600),
        sweeps: Some(3),
        gap_rows: Some(200),
    }
}

#[test]
fn a_task_reads_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let instance = problems::mixture(1500, 2000, 8, 4);
    write_npy_f32(&home.join("x.npy"), &instance.x, &[1500, 8]).unwrap();
    write_npy_f16(&home.join("y.npy"), &instance.y, &[2000, 8]).unwrap();
    check(home, &Settings { center: true, ..settings(home, "x.npy", "y.npy") });
}

#[test]
fn of_shards_and_row_groups_it_reads_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let instance = problems::mixture(1800, 1300, 5, 4);
    fs::create_dir(home.join("x")).unwrap();
    write_parquet(&home.join("x/part_0.parquet"), &instance.x[..5 * 1000], 5);
    write_parquet(&home.join("x/part_1.parquet"), &instance.x[5 * 1000..], 5);
    write_npy_f32(&home.join("y.npy"), &instance.y, &[1300, 5]).unwrap();
    check(home, &settings(home, "x", "y.npy"));
}
