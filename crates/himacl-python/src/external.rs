//! Pairing from files to files, task by task.

use crate::device::open_device;
use crate::errors::{Failure, with_causes};
use crate::job::{self, Options};
use hiref_core::Observer;
use hiref_external::{Error, Job, Plan, Settings, Step};
use pyo3::prelude::*;
use std::ops::Range;
use std::path::PathBuf;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = with_causes(&error);
        match error {
            Error::Interrupted => Self::Interrupted,
            Error::Data(inner) => inner.into(),
            Error::Solver(inner) => inner.into(),
            Error::Broken { .. } | Error::DiskTooSmall { .. } => Self::File(text),
            _ => Self::Input(text),
        }
    }
}

fn raised<T>(py: Python<'_>, result: Result<T, Error>) -> PyResult<T> {
    result.map_err(|error| Failure::from(error).raise(py))
}

/// Parts of a file, from a start to an end.
type Read = (PathBuf, Vec<(u64, u64)>);

/// A run in a folder of temporary files.
#[pyclass(name = "ExternalJob", frozen)]
pub(crate) struct ExternalJob {
    job: Job,
}

#[pymethods]
impl ExternalJob {
    /// `places` are those of x, y and the results, where they are not as planned.
    #[new]
    fn new(py: Python<'_>, work: PathBuf, device: &str, places: Option<(PathBuf, PathBuf, PathBuf)>) -> PyResult<Self> {
        himacl_cli::keep_no_free_memory();
        let device = open_device(device).map_err(|failure| failure.raise(py))?;
        let job = match &places {
            None => Job::open(&work),
            Some((x, y, output)) => Job::open_at(&work, [x, y], output),
        };
        Ok(Self { job: raised(py, job)?.on_device(&device) })
    }

    /// Writes the plan for settings in JSON.
    #[staticmethod]
    fn plan(py: Python<'_>, settings: &str, work: PathBuf) -> PyResult<()> {
        let plan = || {
            let settings: Settings = serde_json::from_str(settings)?;
            let write =
                |error: std::io::Error| Failure::File(format!("cannot make folder `{}`: {error}", work.display()));
            std::fs::create_dir_all(&work).map_err(write)?;
            std::fs::create_dir_all(&settings.output).map_err(write)?;
            Ok(Plan::new(&settings)?.write(&work)?)
        };
        plan().map_err(|failure: Failure| failure.raise(py))
    }

    /// Bytes that one task may hold.
    #[getter]
    fn memory(&self) -> u64 {
        self.job.plan().memory
    }

    /// Bytes that the folder of temporary files will hold at most.
    #[getter]
    fn disk_bytes(&self) -> u64 {
        self.job.plan().disk_bytes()
    }

    /// Bytes that one task reads and writes at most.
    #[getter]
    fn task_bytes(&self) -> u64 {
        self.job.plan().task_bytes()
    }

    fn opens(&self, py: Python<'_>, step: &str, task: usize) -> PyResult<Vec<PathBuf>> {
        raised(py, self.job.opens(step_of(py, step)?, task))
    }

    fn reads(&self, py: Python<'_>, step: &str, task: usize) -> PyResult<Vec<Read>> {
        let reads = raised(py, self.job.reads(step_of(py, step)?, task))?;
        let pairs = |ranges: Vec<Range<u64>>| ranges.into_iter().map(|range| (range.start, range.end)).collect();
        Ok(reads.into_iter().map(|(path, ranges)| (path, pairs(ranges))).collect())
    }

    fn writes(&self, py: Python<'_>, step: &str, task: usize) -> PyResult<Vec<PathBuf>> {
        raised(py, self.job.writes(step_of(py, step)?, task))
    }

    fn noted(&self, py: Python<'_>, step: &str) -> PyResult<Vec<PathBuf>> {
        Ok(self.job.noted(step_of(py, step)?))
    }

    fn next_step(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(raised(py, self.job.next_step())?.map(|step| step.to_string()))
    }

    fn tasks(&self, py: Python<'_>, step: &str) -> PyResult<usize> {
        Ok(step_of(py, step)?.tasks(self.job.plan()))
    }

    fn open_tasks(&self, py: Python<'_>, step: &str) -> PyResult<Vec<usize>> {
        Ok(self.job.open_tasks(step_of(py, step)?))
    }

    fn run(&self, py: Python<'_>, step: &str, task: usize, threads: Option<usize>) -> PyResult<()> {
        let step = step_of(py, step)?;
        let options = Options { threads, on_event: None };
        job::run(py, &options, |watcher| Ok(self.job.run(step, task, &|| watcher.should_stop())?))
    }

    /// The report as JSON.
    fn complete(&self, py: Python<'_>, step: &str, seconds: f64) -> PyResult<String> {
        let report = raised(py, self.job.complete(step_of(py, step)?, seconds))?;
        serde_json::to_string(&report).map_err(|error| Failure::from(error).raise(py))
    }

    fn remove_unfinished(&self, py: Python<'_>) -> PyResult<()> {
        raised(py, self.job.remove_unfinished().and_then(|()| self.job.tidy()))
    }

    /// The outcome as JSON.
    fn outcome(&self, py: Python<'_>) -> PyResult<String> {
        let outcome = raised(py, self.job.outcome())?;
        serde_json::to_string(&outcome).map_err(|error| Failure::from(error).raise(py))
    }
}

fn step_of(py: Python<'_>, name: &str) -> PyResult<Step> {
    raised(py, name.parse())
}
