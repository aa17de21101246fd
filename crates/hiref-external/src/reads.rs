//! What a task reads and writes, for whoever brings it the files and takes them away: on storage that tasks do not see.

use crate::error::Error;
use crate::inputs::Inputs;
use crate::plan::Plan;
use crate::segments::Segments;
use crate::step::Step;
use crate::steps::result_file;
use himacl_data::FileRanges;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What is read of a file after its header.
#[derive(Clone, Copy)]
enum Part {
    Nothing,
    All,
    /// One segment of some groups.
    Segment(&'static [&'static str], usize),
}

/// Results of an earlier step.
struct Source {
    step: Step,
    tasks: Range<usize>,
    part: Part,
}

/// The results of earlier steps that a task reads; `sweeps` is the number of sweeps that are complete.
fn sources(plan: &Plan, step: Step, task: usize, sweeps: usize) -> Vec<Source> {
    let some = |step, tasks, part| Source { step, tasks, part };
    let one = |step, task| some(step, task..task + 1, Part::All);
    let every = |step: Step, part| some(step, 0..step.tasks(plan), part);
    let of_side = |step, side: usize| {
        let first = side * plan.pieces(0);
        some(step, first..first + plan.pieces(side), Part::All)
    };
    let collected = |part| some(Step::Collect, 0..Step::last_pairs(sweeps).tasks(plan), part);
    let sample = || one(Step::Sample, 0);
    match step {
        Step::Scan => Vec::new(),
        Step::Sample => vec![every(Step::Scan, Part::All)],
        Step::Score => vec![sample()],
        Step::Balance => vec![sample(), of_side(Step::Score, task)],
        Step::Route => {
            let means = plan.center.then(sample);
            means.into_iter().chain([one(Step::Balance, plan.piece(task).0), one(Step::Score, task)]).collect()
        }
        Step::Solve => vec![every(Step::Route, Part::Segment(&["rows"], task)), sample()],
        Step::Cut(number) => {
            vec![every(Step::last_pairs(number - 2), Part::Segment(&["sampled_pairs", "sampled_singles"], 0))]
        }
        Step::Sweep(number) => {
            let pairs = every(Step::last_pairs(number - 1), Part::Segment(&["pairs", "singles"], task));
            let tree = (number < plan.max_sweeps).then(|| one(Step::Cut(number + 1), 0));
            std::iter::once(pairs).chain(tree).collect()
        }
        Step::Collect => vec![one(Step::last_pairs(sweeps), task)],
        Step::Parts => vec![collected(Part::Segment(&["pairs"], task))],
        Step::Check => vec![every(Step::Parts, Part::All), collected(Part::Nothing)],
        Step::Prices => vec![collected(Part::Segment(&["gap", "prices", "singles"], 0)), sample()],
        Step::Gap => vec![one(Step::Prices, 0), one(Step::Check, 0), sample()],
        Step::Summary => {
            vec![every(Step::Check, Part::Nothing), one(Step::Prices, 0), every(Step::Gap, Part::All)]
        }
    }
}

/// Side and rows of the inputs that a task reads.
fn rows(plan: &Plan, step: Step, task: usize) -> Option<(usize, Range<usize>)> {
    match step {
        Step::Scan | Step::Score | Step::Route => Some(plan.piece(task)),
        Step::Gap => Some(plan.piece(plan.pieces(0) + task)),
        _ => None,
    }
}

/// The files of earlier steps that a task opens.
pub(crate) fn opened(plan: &Plan, work: &Path, step: Step, task: usize, sweeps: usize) -> Vec<PathBuf> {
    let sources = sources(plan, step, task, sweeps);
    sources.into_iter().flat_map(|source| source.tasks.map(move |task| source.step.file(work, task))).collect()
}

/// The bytes that a task reads after the headers of these files, which are there, and those of the inputs.
pub(crate) fn read(
    plan: &Plan,
    inputs: &Inputs,
    work: &Path,
    step: Step,
    task: usize,
    sweeps: usize,
) -> Result<Vec<FileRanges>, Error> {
    let mut found = Vec::new();
    for Source { step, tasks, part } in sources(plan, step, task, sweeps) {
        for path in tasks.map(|task| step.file(work, task)) {
            let ranges = match part {
                Part::Nothing => continue,
                Part::All => vec![Segments::open(&path)?.data()],
                Part::Segment(groups, segment) => {
                    let file = Segments::open(&path)?;
                    groups.iter().map(|group| file.segment(group, segment)).collect::<Result<_, _>>()?
                }
            };
            found.push((path, ranges));
        }
    }
    if let Some((side, rows)) = rows(plan, step, task) {
        found.extend(inputs.byte_ranges(side, rows)?);
    }
    found.iter_mut().for_each(|(_, ranges)| ranges.retain(|range| !range.is_empty()));
    found.retain(|(_, ranges)| !ranges.is_empty());
    Ok(found)
}

/// The files that a task writes; the one that says that it is done comes last.
pub(crate) fn written(plan: &Plan, work: &Path, step: Step, task: usize) -> Vec<PathBuf> {
    result_file(plan, step, task).into_iter().chain([step.file(work, task)]).collect()
}
