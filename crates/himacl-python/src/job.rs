//! Runs work without Python's lock: on threads of our own, stopped by Ctrl-C, telling of its progress.

use crate::errors::{Failure, panicked};
use himacl::train::Watch;
use hiref_core::{Event, Observer};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often Python is asked for signals, and told of progress.
const TICK: Duration = Duration::from_millis(50);

/// How a call is to run.
pub(crate) struct Options<'py> {
    /// Worker threads of this call; the shared pool of the process, one thread a core, when absent.
    pub(crate) threads: Option<usize>,
    /// Gets each event as JSON.
    pub(crate) on_event: Option<Bound<'py, PyAny>>,
}

/// What the work reports to, and asks whether to stop.
pub(crate) struct Watcher {
    stop: AtomicBool,
    /// Events not yet handed to Python; `None` where nobody listens.
    events: Option<Mutex<Vec<Value>>>,
}

impl Watcher {
    fn push(&self, event: Value) {
        let Some(events) = &self.events else { return };
        let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
        // Steps of one phase between two looks of Python's are one step.
        if event["event"] == "advanced"
            && let Some(last) = events.last_mut()
            && last["event"] == "advanced"
            && last["phase"] == event["phase"]
        {
            let work = last["work"].as_u64().unwrap_or(0) + event["work"].as_u64().unwrap_or(0);
            last["work"] = work.into();
            return;
        }
        events.push(event);
    }

    fn take(&self) -> Vec<Value> {
        let events = self.events.as_ref();
        events.map_or(Vec::new(), |events| std::mem::take(&mut *events.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Tells of a share of some work that is done.
    pub(crate) fn progress(&self, phase: &str, done: usize, total: usize) {
        self.push(json!({"event": "progress", "phase": phase, "done": done, "total": total}));
    }
}

impl Observer for Watcher {
    fn on_event(&self, event: &Event) {
        if self.events.is_none() {
            return;
        }
        self.push(match event {
            Event::PhaseStarted { phase, total } => json!({"event": "started", "phase": phase, "total": total}),
            Event::Advanced { phase, work } => json!({"event": "advanced", "phase": phase, "work": work}),
            Event::PhaseFinished { phase, seconds } => {
                json!({"event": "finished", "phase": phase, "seconds": seconds})
            }
            Event::LevelFinished(report) => json!({"event": "level", "report": report}),
            Event::SweepFinished(report) => json!({"event": "sweep", "report": report}),
            Event::RoundFinished(report) => json!({"event": "round", "report": report}),
            Event::IterationFinished(report) => json!({"event": "iteration", "report": report}),
            Event::AlignmentRound(report) => json!({"event": "alignment_round", "report": report}),
            _ => return,
        });
    }

    fn should_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Watch for Watcher {
    fn on_step(&self, step: u64, total: u64, loss: f64) {
        self.push(json!({"event": "step", "step": step, "total": total, "loss": loss}));
    }

    fn note(&self, message: &str) {
        self.push(json!({"event": "note", "message": message}));
    }

    fn warn(&self, message: &str) {
        self.push(json!({"event": "warning", "message": message}));
    }
}

/// Runs `work` on worker threads while this thread, without Python's lock, looks after signals and progress.
///
/// Ctrl-C, or an exception of the listener's, asks the work to stop; its answer is awaited, then the exception is raised.
pub(crate) fn run<T: Send>(
    py: Python<'_>,
    options: &Options<'_>,
    work: impl FnOnce(&Watcher) -> Result<T, Failure> + Send,
) -> PyResult<T> {
    let pool = pool(options.threads)?;
    let watcher =
        Watcher { stop: AtomicBool::new(false), events: options.on_event.is_some().then(|| Mutex::new(Vec::new())) };
    let listener = options.on_event.as_ref().map(|listener| listener.clone().unbind());
    let (outcome, raised) = py.detach(|| {
        let (watcher, pool) = (&watcher, &pool);
        thread::scope(|scope| {
            let (done, finished) = sync_channel(1);
            let worker = scope.spawn(move || {
                let result = catch_unwind(AssertUnwindSafe(|| pool.install(|| work(watcher))));
                // The other end is there until it has heard.
                done.send(()).ok();
                result
            });
            let mut raised = None;
            loop {
                let over = !matches!(finished.recv_timeout(TICK), Err(RecvTimeoutError::Timeout));
                let heard = Python::attach(|py| look_after(py, watcher, listener.as_ref()));
                if let Err(error) = heard {
                    watcher.stop.store(true, Ordering::Relaxed);
                    raised.get_or_insert(error);
                }
                if over {
                    break;
                }
            }
            (worker.join().unwrap_or_else(Err), raised)
        })
    });
    if let Some(error) = raised {
        return Err(error);
    }
    match outcome {
        Ok(result) => result.map_err(|failure| failure.raise(py)),
        Err(panic) => Err(panicked(&*panic)),
    }
}

/// Hands events to the listener and lets Python handle its signals.
fn look_after(py: Python<'_>, watcher: &Watcher, listener: Option<&Py<PyAny>>) -> PyResult<()> {
    py.check_signals()?;
    if let Some(listener) = listener {
        for event in watcher.take() {
            listener.call1(py, (event.to_string(),))?;
        }
    }
    Ok(())
}

/// The pool of one process.
struct Shared {
    process: u32,
    pool: Arc<ThreadPool>,
}

/// Threads for a call: `threads` of its own, or those that all calls of this process share.
///
/// Threads do not survive a fork, so a child makes a pool of its own. No lock is involved: a fork while another thread
/// holds one would leave it held in the child for ever.
fn pool(threads: Option<usize>) -> PyResult<Arc<ThreadPool>> {
    static SHARED: AtomicPtr<Shared> = AtomicPtr::new(ptr::null_mut());
    if threads.is_some() {
        return build(threads);
    }
    let process = process::id();
    loop {
        let now = SHARED.load(Ordering::Acquire);
        // SAFETY: the pointer is null or comes from `Box::into_raw` below, and what it points to is never freed.
        if let Some(shared) = unsafe { now.as_ref() }
            && shared.process == process
        {
            return Ok(shared.pool.clone());
        }
        let made = Box::into_raw(Box::new(Shared { process, pool: build(None)? }));
        // A pool of the parent's is left alone: ending it would wait for threads that do not exist here.
        if SHARED.compare_exchange(now, made, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: nobody else has seen this pointer.
            drop(unsafe { Box::from_raw(made) });
        }
    }
}

fn build(threads: Option<usize>) -> PyResult<Arc<ThreadPool>> {
    let builder = ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).thread_name(|at| format!("himacl-{at}"));
    builder
        .build()
        .map(Arc::new)
        .map_err(|error| pyo3::exceptions::PyRuntimeError::new_err(format!("cannot start worker threads: {error}")))
}
