//! A run in a folder of temporary files: which step is next, one task at a time, what is done when a step is complete.

use crate::block::BlockNote;
use crate::context::Context;
use crate::error::Error;
use crate::inputs::Inputs;
use crate::plan::Plan;
use crate::reads;
use crate::segments::Segments;
use crate::step::Step;
use crate::steps::{self, Figures, Gap};
use candle_core::Device;
use himacl_data::FileRanges;
use himacl_data::files::{read_json, remove_if_present, remove_unfinished, write_json};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Sweeps that are made whatever they gain.
const FEWEST_SWEEPS: usize = 2;

/// What is told of a step that is complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Its name.
    pub step: String,
    /// Its tasks.
    pub tasks: usize,
    /// The mean cost after it, where it changes pairs.
    pub mean_cost: Option<f64>,
    /// Time from its first task to its last, without what an earlier, interrupted run spent.
    pub seconds: f64,
}

/// What a run comes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Mean cost over the pairs, computed anew in f64 from the points.
    pub mean_cost: f64,
    /// How far from the optimum at most, where that was asked for.
    pub gap: Option<Gap>,
    /// The steps.
    pub steps: Vec<StepReport>,
}

/// A run, as its folder of temporary files has it.
///
/// Its tasks are functions from files to a file with a fixed name and fixed bytes, which is written atomically: a task that runs twice, or on
/// another machine that sees the same folders, changes nothing.
#[derive(Debug)]
pub struct Job {
    plan: Plan,
    inputs: Inputs,
    work: PathBuf,
    device: Device,
}

impl Job {
    /// Opens a run whose plan was written.
    ///
    /// # Errors
    /// No plan, or inputs that cannot be read.
    pub fn open(work: &Path) -> Result<Self, Error> {
        Self::of(Plan::read(work)?, work)
    }

    /// Opens a run on a machine that does not see the folders it was planned with: whoever calls brings parts of the files to other places, as
    /// [`Self::opens`], [`Self::reads`] and [`Self::writes`] say, and takes results away. The folder `output` exists.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_at(work: &Path, inputs: [&Path; 2], output: &Path) -> Result<Self, Error> {
        Self::of(Plan::read(work)?.at(inputs, output), work)
    }

    fn of(plan: Plan, work: &Path) -> Result<Self, Error> {
        let inputs = Inputs::open(&plan)?;
        Ok(Self { plan, inputs, work: work.to_path_buf(), device: Device::Cpu })
    }

    /// Pairs blocks on `device`. The same bytes come from the same kind of device alone.
    #[must_use]
    pub fn on_device(self, device: &Device) -> Self {
        Self { device: device.clone(), ..self }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The steps that are complete.
    ///
    /// # Errors
    /// Marks that cannot be read.
    pub fn reports(&self) -> Result<Vec<StepReport>, Error> {
        let mut reports = Vec::new();
        let mut step = Step::Scan;
        loop {
            let mark = step.mark(&self.work);
            if !mark.is_file() {
                return Ok(reports);
            }
            reports.push(read_json(&mark)?);
            match step.next(&self.plan, self.goes_on(&reports)) {
                Some(next) => step = next,
                None => return Ok(reports),
            }
        }
    }

    /// The step to be done; none when the run is complete.
    ///
    /// # Errors
    /// As [`Self::reports`].
    pub fn next_step(&self) -> Result<Option<Step>, Error> {
        let reports = self.reports()?;
        match reports.last() {
            None => Ok(Some(Step::Scan)),
            Some(last) => Ok(last.step.parse::<Step>()?.next(&self.plan, self.goes_on(&reports))),
        }
    }

    /// The tasks of a step that are still to be done.
    pub fn open_tasks(&self, step: Step) -> Vec<usize> {
        (0..step.tasks(&self.plan)).filter(|&task| !step.file(&self.work, task).is_file()).collect()
    }

    /// The files of earlier steps that a task opens. Each begins with eight bytes, the length of its header as a `u64` (the least significant
    /// byte first), and the header. The files `plan.json` and `STEP.json` are needed too, and the headers of the inputs.
    ///
    /// # Errors
    /// No such task; marks that cannot be read.
    pub fn opens(&self, step: Step, task: usize) -> Result<Vec<PathBuf>, Error> {
        self.check(step, task)?;
        Ok(reads::opened(&self.plan, &self.work, step, task, sweeps(&self.reports()?)))
    }

    /// What a task reads of these files after their headers, which must be there, and of the inputs: no other byte matters to it, as
    /// long as the files have their length.
    ///
    /// # Errors
    /// As [`Self::opens`]; headers that cannot be read.
    pub fn reads(&self, step: Step, task: usize) -> Result<Vec<FileRanges>, Error> {
        self.check(step, task)?;
        reads::read(&self.plan, &self.inputs, &self.work, step, task, sweeps(&self.reports()?))
    }

    /// The files that a task writes. The last is its done mark.
    ///
    /// # Errors
    /// No such task.
    pub fn writes(&self, step: Step, task: usize) -> Result<Vec<PathBuf>, Error> {
        self.check(step, task)?;
        Ok(reads::written(&self.plan, &self.work, step, task))
    }

    /// The files of a step whose headers [`Self::complete`] reads.
    pub fn noted(&self, step: Step) -> Vec<PathBuf> {
        let tasks = if step.makes_pairs() { step.tasks(&self.plan) } else { 0 };
        (0..tasks).map(|task| step.file(&self.work, task)).collect()
    }

    fn check(&self, step: Step, task: usize) -> Result<(), Error> {
        let tasks = step.tasks(&self.plan);
        if task < tasks { Ok(()) } else { Err(Error::NoSuchTask { step: step.to_string(), task, tasks }) }
    }

    /// Runs one task, unless its result is there.
    ///
    /// # Errors
    /// What the task cannot read, write or solve; [`Error::Interrupted`] if `stop` says so.
    pub fn run(&self, step: Step, task: usize, stop: &(dyn Fn() -> bool + Sync)) -> Result<(), Error> {
        self.check(step, task)?;
        let folder = step.folder(&self.work);
        fs::create_dir_all(&folder).map_err(Error::io("make folder", &folder))?;
        if step.file(&self.work, task).is_file() {
            return Ok(());
        }
        let context = Context { plan: &self.plan, inputs: &self.inputs, work: &self.work, device: &self.device, stop };
        steps::run(&context, step, task, sweeps(&self.reports()?))
    }

    /// Marks a step whose tasks are all done as complete, and removes files that no later step reads.
    ///
    /// # Errors
    /// The system's.
    pub fn complete(&self, step: Step, seconds: f64) -> Result<StepReport, Error> {
        let tasks = step.tasks(&self.plan);
        let notes = self
            .noted(step)
            .iter()
            .map(|path| Segments::open(path)?.note::<BlockNote>())
            .collect::<Result<Vec<_>, _>>()?;
        let pairs: usize = notes.iter().map(|note| note.pairs).sum();
        let mean_cost = step.makes_pairs().then(|| notes.iter().map(|note| note.after).sum::<f64>() / pairs as f64);
        let report = StepReport { step: step.to_string(), tasks, mean_cost, seconds };
        write_json(&step.mark(&self.work), &report)?;
        self.tidy()?;
        Ok(report)
    }

    /// Removes files that no later step reads, and what killed tasks left.
    ///
    /// # Errors
    /// The system's.
    pub fn tidy(&self) -> Result<(), Error> {
        let reports = self.reports()?;
        let done: Vec<Step> = reports.iter().map(|report| report.step.parse()).collect::<Result<_, _>>()?;
        let has = |step: Step| done.contains(&step);
        for &step in &done {
            let unneeded = match step {
                Step::Scan => has(Step::Sample),
                Step::Score | Step::Balance => has(Step::Route),
                Step::Route => has(Step::Solve),
                Step::Solve => has(Step::Sweep(1)) || has(Step::Collect),
                Step::Cut(number) => has(Step::Sweep(number - 1)),
                Step::Sweep(number) => has(Step::Sweep(number + 1)) || has(Step::Collect),
                Step::Collect => has(Step::Prices),
                Step::Parts => has(Step::Check),
                Step::Sample | Step::Check | Step::Prices | Step::Gap | Step::Summary => false,
            };
            let folder = step.folder(&self.work);
            if unneeded && folder.is_dir() {
                remove_results(&folder)?;
            }
        }
        Ok(())
    }

    /// Removes what tasks that were killed had not finished; while no task runs.
    ///
    /// # Errors
    /// The system's.
    pub fn remove_unfinished(&self) -> Result<(), Error> {
        for entry in fs::read_dir(&self.work).map_err(Error::io("list", &self.work))? {
            let path = entry.map_err(Error::io("list", &self.work))?.path();
            if path.is_dir() {
                remove_unfinished(&path)?;
            }
        }
        Ok(())
    }

    /// What the run came to.
    ///
    /// # Errors
    /// A run that is not complete.
    pub fn outcome(&self) -> Result<Outcome, Error> {
        let figures: Figures = Segments::open(&Step::Summary.file(&self.work, 0))?.note()?;
        Ok(Outcome { mean_cost: figures.mean_cost, gap: figures.gap, steps: self.reports()? })
    }

    /// Removes all files of the run from the folder of temporary files.
    ///
    /// # Errors
    /// The system's.
    pub fn remove(work: &Path) -> Result<(), Error> {
        for entry in fs::read_dir(work).map_err(Error::io("list", work))? {
            let path = entry.map_err(Error::io("list", work))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() && name.parse::<Step>().is_ok() {
                remove_results(&path)?;
            } else if name.strip_suffix(".json").is_some_and(|stem| stem == "plan" || stem.parse::<Step>().is_ok()) {
                remove_if_present(&path)?;
            }
        }
        Ok(())
    }

    /// Whether another sweep is worth it, after the steps so far.
    fn goes_on(&self, reports: &[StepReport]) -> bool {
        let costs: Vec<f64> = reports.iter().filter_map(|report| report.mean_cost).collect();
        let done = costs.len().saturating_sub(1);
        if done < FEWEST_SWEEPS.min(self.plan.max_sweeps) {
            return true;
        }
        if done >= self.plan.max_sweeps {
            return false;
        }
        // The excess falls about like 1 / sweeps, so after t of them about t times what each gains is left.
        let window = (done / 3).max(1);
        let gain = (costs[done - window] - costs[done]) / window as f64;
        gain * done as f64 > self.plan.tolerance * costs[done].abs()
    }
}

/// Removes what tasks have left in a step's folder, and the folder if nothing else is in it.
fn remove_results(folder: &Path) -> Result<(), Error> {
    remove_unfinished(folder)?;
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.strip_suffix(".bin").is_some_and(|stem| !stem.is_empty() && stem.bytes().all(|b| b.is_ascii_digit())) {
            remove_if_present(&path)?;
        }
    }
    // It is not empty where a file of somebody else's is in it.
    let _ = fs::remove_dir(folder);
    Ok(())
}

/// Sweeps that are complete.
fn sweeps(reports: &[StepReport]) -> usize {
    reports.iter().filter(|report| report.mean_cost.is_some()).count().saturating_sub(1)
}
