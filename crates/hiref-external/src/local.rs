//! The tasks on this machine: one worker after another, or a few at a time.

use crate::error::Error;
use crate::job::{Job, Outcome, StepReport};
use crate::plan::Plan;
use crate::step::Step;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

/// Hears of a run on this machine.
pub trait Watch: Sync {
    /// A step begins; `done` of its `tasks` were done by an earlier run.
    fn started(&self, step: Step, tasks: usize, done: usize);
    /// One of its tasks is done.
    fn advanced(&self, step: Step);
    /// It is complete.
    fn finished(&self, report: &StepReport);
    /// Whether to stop.
    fn should_stop(&self) -> bool;
}

/// Runs all that is left of a job, with so many workers at a time. Results do not depend on their number.
///
/// # Errors
/// The first that a task meets; [`Error::Interrupted`]. The job can be gone on with.
pub fn run(job: &Job, workers: usize, watch: &dyn Watch) -> Result<Outcome, Error> {
    job.remove_unfinished()?;
    job.tidy()?;
    while let Some(step) = job.next_step()? {
        let started = Instant::now();
        let open = job.open_tasks(step);
        let tasks = step.tasks(job.plan());
        watch.started(step, tasks, tasks - open.len());
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let first_error = Mutex::new(None);
        let stop = || failed.load(Ordering::Relaxed) || watch.should_stop();
        let work = || {
            while let Some(&task) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                let result = if stop() { Err(Error::Interrupted) } else { job.run(step, task, &stop) };
                match result {
                    Ok(()) => watch.advanced(step),
                    Err(error) => {
                        let mut first = first_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        first.get_or_insert(error);
                        // Only now, lest another that stops because of this one be heard first.
                        failed.store(true, Ordering::Relaxed);
                        return;
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..workers.min(open.len())).map(|_| scope.spawn(work)).collect();
            work();
            drop(others);
        });
        if let Some(error) = first_error.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            return Err(error);
        }
        watch.finished(&job.complete(step, started.elapsed().as_secs_f64())?);
    }
    job.outcome()
}

/// Bytes that are free to this user on the disk of a folder, which need not exist yet; `None` where the system does not tell.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let folder = folder.ancestors().find(|folder| folder.is_dir())?;
    let path = std::ffi::CString::new(folder.as_os_str().as_encoded_bytes()).ok()?;
    // SAFETY: `statvfs` is plain integers, for which all zeroes is a valid value.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends in a zero byte, and the pointer is to a live, writable `statvfs`.
    let status = unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) };
    #[expect(clippy::useless_conversion, reason = "the types of these numbers differ between systems")]
    // File systems that do not tell have no blocks at all.
    (status == 0 && stat.f_blocks > 0).then_some(u64::from(stat.f_bavail).saturating_mul(u64::from(stat.f_frsize)))
}

/// Refuses a folder for temporary files on a disk that has too little room for the run, which takes the place of what an earlier one left
/// there.
///
/// # Errors
/// [`Error::DiskTooSmall`].
pub fn check_disk(plan: &Plan, work: &Path) -> Result<(), Error> {
    let needed = plan.disk_bytes();
    match free_bytes(work).map(|free| free.saturating_add(bytes_in(work))) {
        Some(free) if free < needed => Err(Error::DiskTooSmall { path: work.to_path_buf(), free, needed }),
        _ => Ok(()),
    }
}

/// Bytes of the files in a folder, which need not exist.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.metadata().ok()).filter(std::fs::Metadata::is_file).map(|file| file.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_run_left_counts_as_free() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        assert_eq!(bytes_in(&work), 0);
        std::fs::create_dir_all(work.join("inside")).unwrap();
        std::fs::write(work.join("a"), [0; 700]).unwrap();
        std::fs::write(work.join("b"), [0; 300]).unwrap();
        assert_eq!(bytes_in(&work), 1000);
    }
}
