//! `himacl pair` for sets that do not fit memory: from files to files.

use super::config::PairConfig;
use super::names::PERMUTATION;
use super::{Certify, PairArgs, Solver};
use crate::distance;
use crate::error::{Error, ExternalError};
use crate::interrupt;
use crate::report::{self, Recorder, RunReport, available_memory};
use crate::table::counted;
use crate::{Context, ExitStatus, Printer, ProgressTask};
use clap::Args;
use himacl::data::ErrorKind;
use himacl::data::output::{FETCHED, OutputDir};
use hiref_core::{CostKind, Quality, Termination};
use hiref_external::local::{self, Watch, check_disk};
use hiref_external::{Gap, Input, Job, Outcome, Plan, Settings, Step, StepReport};
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The folder of temporary files, inside the output folder.
const WORK: &str = "work";
/// The Python that runs tasks on Ray; the package's own command names itself.
const PYTHON: &str = "HIMACL_PYTHON";
/// Share of the available memory that is taken where no limit is given.
const SHARE: f64 = 0.7;
/// What is said of a run that was stopped.
pub(super) const INTERRUPTED: &str = "interrupted: go on with --resume";

/// How sets are paired from files.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, Args)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Sets that do not fit memory (docs/out-of-core.md)")]
pub(super) struct ExternalArgs {
    /// Pair from files to files, in blocks that fit --max-memory, even if both sides do. Without the flag that happens where they do not.
    #[arg(long)]
    external: bool,

    /// Folder for temporary files, as large as twice both sides, and for inputs that are fetched [default: in the output folder].
    #[arg(long, value_name = "DIR")]
    pub(super) work_dir: Option<PathBuf>,

    /// Tasks that run at a time [default: 1], among which the memory is divided. They share the threads. The result depends on the blocks alone: with the same
    /// --block-rows it is the same.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(super) workers: Option<u16>,

    /// Pairs of one block [default: as many as fit --max-memory].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub(super) block_rows: Option<u32>,

    /// Sweeps over all blocks, at most [default: by --quality].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) external_sweeps: Option<u16>,

    /// Run the tasks on the Ray cluster at this address (`auto`: the one of this machine). Folders must be on storage that all of its
    /// machines see; or --x, --y, --output and --work-dir may be addresses of object stores, `s3://bucket/x`, `gs://...` (with --max-memory;
    /// each task has one thread unless --threads says more). Needs the Python package: pip install 'himacl[ray]', for addresses
    /// 'himacl[object-store]' and the store's own package, s3fs for example.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) ray: Option<String>,

    /// With addresses: the folder on each machine's own disk where tasks keep their files [default: the machine's for temporary files].
    #[arg(long, value_name = "DIR", requires = "ray")]
    pub(super) scratch_dir: Option<PathBuf>,
}

/// Settings that may change between an interrupted run and its resumption.
pub(super) const FREE_KEYS: [&str; 2] = ["external.workers", "external.ray"];

impl ExternalArgs {
    /// Whether sets are to be paired from files, whether or not they fit memory.
    pub(super) fn is_asked_for(&self) -> bool {
        self.external || self.ray.is_some()
    }

    fn workers(&self) -> u16 {
        self.workers.unwrap_or(1)
    }

    /// With paths that do not depend on where the command runs.
    pub(super) fn absolute(&self) -> Result<Self, Error> {
        let absolute = |path: &PathBuf| std::path::absolute(path).map_err(Error::io("resolve", path));
        Ok(Self { work_dir: self.work_dir.as_ref().map(absolute).transpose()?, ..self.clone() })
    }
}

/// The flag that does not go with pairing from files, if one is there.
pub(super) fn obstacle(args: &PairArgs) -> Option<&'static str> {
    [
        ("--solver", args.solver != Solver::Hiref),
        ("--time-limit", args.time_limit.is_some()),
        ("--warm-start", args.warm_start.is_some()),
        ("--certify proof", args.certify == Some(Certify::Proof)),
    ]
    .into_iter()
    .find_map(|(flag, is_there)| is_there.then_some(flag))
    .or_else(|| args.matching.first_flag())
    .or_else(|| args.selection.first_flag())
}

/// The files that a run makes in the output folder.
pub(super) fn files() -> Vec<String> {
    let mut files: Vec<String> = hiref_external::work_files().iter().map(|file| format!("{WORK}/{file}")).collect();
    files.extend(hiref_external::result_files().into_iter().filter(|file| file != PERMUTATION));
    files
}

/// summary.json.
#[derive(Serialize)]
struct Summary<'a> {
    command: &'static str,
    n: usize,
    m: usize,
    d: usize,
    cost: CostKind,
    solver: Solver,
    seed: u64,
    quality: Quality,
    num_pairs: usize,
    mean_cost: f64,
    bijection: bool,
    exact: bool,
    termination: Termination,
    external: External<'a>,
    gap_estimate: Option<Gap>,
    #[serde(flatten)]
    run: RunReport,
}

#[derive(Serialize)]
struct External<'a> {
    memory_bytes: u64,
    disk_bytes: u64,
    solve_blocks: usize,
    sweep_blocks: usize,
    steps: &'a [StepReport],
}

/// Whether a run pairs from files: if it is asked to, or if `estimate` bytes are more than it may take and it can.
pub(super) fn suits(args: &PairArgs, estimate: u64) -> Result<bool, Error> {
    let limit = args.max_memory.map(bytes);
    let does_not_fit = limit.is_some_and(|limit| estimate > limit);
    match obstacle(args) {
        Some(second) if args.external.is_asked_for() => Err(Error::FlagsNotTogether { first: "--external", second }),
        Some(_) => Ok(false),
        None => Ok(args.external.is_asked_for() || does_not_fit),
    }
}

fn bytes(gib: f64) -> u64 {
    (gib * f64::from(1 << 30)) as u64
}

/// The run's settings, as its plan is made from them.
pub(super) fn settings(
    args: &PairArgs,
    config: &PairConfig,
    [x, y]: &[PathBuf; 2],
    output: &Path,
) -> Result<Settings, Error> {
    let input = |path: &Path, key: &Option<String>| {
        let path = std::path::absolute(path).map_err(Error::io("resolve", path))?;
        Ok::<_, Error>(Input { path, key: key.clone() })
    };
    let memory = match args.max_memory {
        Some(gib) => bytes(gib),
        None => (available_memory().unwrap_or(4 << 30) as f64 * SHARE) as u64,
    };
    let gap_rows = match args.certify {
        Some(Certify::No) => Some(0),
        Some(Certify::Sampled(rows)) => rows,
        _ => None,
    };
    Ok(Settings {
        x: input(x, &config.x_key)?,
        y: input(y, &config.y_key)?,
        output: std::path::absolute(output).map_err(Error::io("resolve", output))?,
        cost: config.cost,
        quality: config.hiref.quality,
        seed: config.hiref.seed,
        center: config.center,
        normalize: config.normalize,
        memory: memory / u64::from(args.external.workers()),
        threads: config.threads,
        block_rows: args.external.block_rows.map(|rows| rows as usize),
        sweeps: args.external.external_sweeps.map(usize::from),
        gap_rows,
    })
}

/// Plans a run.
///
/// # Errors
/// Too little memory for any block; inputs that cannot be read in parts.
pub(super) fn plan(args: &ExternalArgs, settings: &Settings) -> Result<Plan, Error> {
    // The memory is divided among them.
    let workers = u64::from(args.workers());
    Plan::new(settings).map_err(|error| match error {
        hiref_external::Error::TooLittleMemory { limit, needed, .. } => {
            Error::Memory { estimate: needed * workers, limit: limit * workers, from_files: true }
        }
        other => other.into(),
    })
}

/// The folder for temporary files: the output folder's own, or one that bears the output folder's name on another disk.
fn work_folder(args: &ExternalArgs, output: &OutputDir) -> Result<PathBuf, Error> {
    folder(args, output, WORK, "himacl-work")
}

/// The folder for inputs that are fetched, in the same way.
pub(super) fn folder_for_fetched(args: &ExternalArgs, output: &OutputDir) -> Result<PathBuf, Error> {
    folder(args, output, FETCHED, "himacl-fetched")
}

fn folder(args: &ExternalArgs, output: &OutputDir, inside: &str, outside: &str) -> Result<PathBuf, Error> {
    let path = std::path::absolute(output.path()).map_err(Error::io("resolve", output.path()))?;
    let Some(work) = &args.work_dir else { return Ok(path.join(inside)) };
    let work = std::path::absolute(work).map_err(Error::io("resolve", work))?;
    // Parts of the path, so that runs with different outputs never share a folder.
    let name: String =
        path.to_string_lossy().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect::<String>();
    Ok(work.join(format!("{outside}{name}")))
}

/// What is known before anything is written.
pub(super) struct Prepared {
    /// The folder for temporary files.
    pub(super) work: PathBuf,
    /// None where an earlier run's is gone on with.
    plan: Option<Plan>,
}

/// Plans the run and says what it will take; `goes_on` says whether an earlier run is resumed.
///
/// # Errors
/// As [`plan`]; a disk that has too little room.
pub(super) fn prepare(
    args: &PairArgs,
    settings: &Settings,
    output: &OutputDir,
    goes_on: bool,
    context: &Context,
) -> Result<Prepared, Error> {
    let work = work_folder(&args.external, output)?;
    if goes_on && Plan::exists(&work) {
        describe(&Plan::read(&work)?, &work, context);
        return Ok(Prepared { work, plan: None });
    }
    let plan = plan(&args.external, settings)?;
    check_disk(&plan, &work)?;
    describe(&plan, &work, context);
    Ok(Prepared { work, plan: Some(plan) })
}

/// Pairs from files to files.
pub(super) fn run(
    args: &PairArgs,
    config: &PairConfig,
    prepared: Prepared,
    output: &OutputDir,
    mut recorder: Recorder,
    context: &Context,
) -> Result<ExitStatus, Error> {
    let Prepared { work, plan } = prepared;
    fs::create_dir_all(&work).map_err(Error::io("make folder", &work))?;
    if let Some(plan) = plan {
        Job::remove(&work)?;
        if let Err(error) = plan.write(&work) {
            // A folder that holds something stays.
            let _ = fs::remove_dir(&work);
            return Err(error.into());
        }
    }
    let job = Job::open(&work)?.on_device(&context.device);
    let done = recorder.time("pair", || match &args.external.ray {
        None => Ok(local::run(&job, args.external.workers().into(), &Shown::new(&context.printer))?),
        Some(address) => on_ray(&job, &work, address),
    });
    let outcome = match done {
        Err(Error::External(ExternalError(hiref_external::Error::Interrupted))) => {
            context.printer.result(INTERRUPTED);
            return Ok(ExitStatus::Partial);
        }
        Err(error) => {
            // What is refused before a step is done leaves nothing.
            if is_refusal(&error) && job.reports().is_ok_and(|done| done.is_empty()) {
                remove_folder(&work);
            }
            return Err(error);
        }
        Ok(outcome) => outcome,
    };
    let plan = job.plan();
    let [n, m] = if plan.turned { [plan.rows[1], plan.rows[0]] } else { plan.rows };
    let last_sweeps = outcome.steps.iter().filter(|step| step.mean_cost.is_some()).count().saturating_sub(1);
    let all_sweeps = last_sweeps == plan.max_sweeps && plan.max_sweeps > 0;
    let termination = if all_sweeps { Termination::MaxIterations } else { Termination::Converged };
    let summary = Summary {
        command: "pair",
        n,
        m,
        d: plan.dimension,
        cost: plan.cost,
        solver: Solver::Hiref,
        seed: config.hiref.seed,
        quality: plan.quality,
        num_pairs: n.min(m),
        mean_cost: outcome.mean_cost,
        // The step `check` has seen that each row is there once.
        bijection: n == m,
        exact: false,
        termination,
        external: External {
            memory_bytes: plan.memory,
            disk_bytes: plan.disk_bytes(),
            solve_blocks: plan.solve_blocks,
            sweep_blocks: plan.sweep_blocks,
            steps: &outcome.steps,
        },
        gap_estimate: outcome.gap,
        run: recorder.report(),
    };
    report::write_summary(output, &summary)?;
    remove_folder(&work);
    let place = output.path().display();
    context.printer.result(&result(outcome.mean_cost, outcome.gap, n.min(m), plan.cost, &place));
    Ok(ExitStatus::Done)
}

/// Whether the inputs cannot be paired, whenever it is tried.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::External(ExternalError(hiref_external::Error::Data(error))) => error.kind() == ErrorKind::InvalidInput,
        Error::External(ExternalError(error)) => matches!(error, hiref_external::Error::Solver(_)),
        _ => false,
    }
}

/// Removes a run's temporary files, and their folder if nothing else is in it. What stays is no failure of the run.
fn remove_folder(work: &Path) {
    if Job::remove(work).is_ok() {
        let _ = fs::remove_dir(work);
    }
}

/// What a run of the same settings left in its folder of temporary files goes with the finished result.
pub(super) fn remove_work(args: &PairArgs, output: &OutputDir) -> Result<(), Error> {
    let work = work_folder(&args.external, output)?;
    if work.is_dir() {
        remove_folder(&work);
    }
    Ok(())
}

fn describe(plan: &Plan, work: &Path, context: &Context) {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let [n, m] = if plan.turned { [plan.rows[1], plan.rows[0]] } else { plan.rows };
    context.printer.info(&format!(
        "pairing {n} x with {m} y points of {} coordinates from files, cost {}, {:.2} GiB of memory: {} blocks, then {} blocks a sweep\n\
         up to {:.2} GiB of temporary files in `{}`, about {} with {} threads",
        plan.dimension,
        plan.cost,
        gib(plan.memory),
        plan.solve_blocks,
        plan.sweep_blocks,
        gib(plan.disk_bytes()),
        work.display(),
        duration(plan.seconds(context.threads)),
        context.threads,
    ));
}

/// A duration to one or two digits.
fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds if seconds < 5400.0 => format!("{:.0} minutes", seconds / 60.0),
        seconds => format!("{:.1} hours", seconds / 3600.0),
    }
}

/// The result in words.
pub(super) fn result(mean: f64, gap: Option<Gap>, pairs: usize, cost: CostKind, place: &dyn Display) -> String {
    let gap = gap.map_or(String::new(), |gap| {
        format!("\n{}", distance::estimated(mean, (gap.value, gap.high), gap.confidence, gap.rows))
    });
    let pairs = counted(pairs, "pair");
    format!("{pairs}, mean {cost} cost {mean:.6}{gap}\nwritten to {place}")
}

/// The driver of the Python package.
pub(super) fn driver() -> Command {
    let mut driver = Command::new(std::env::var_os(PYTHON).unwrap_or_else(|| "python3".into()));
    driver.args(["-m", "himacl.ray"]);
    driver
}

/// Runs what is left of a job by the Python package, whose driver ends when the job is complete.
fn on_ray(job: &Job, work: &Path, address: &str) -> Result<Outcome, Error> {
    let mut driver = driver();
    let status = driver.arg(work).args(["--address", address]).status();
    let status = status.map_err(Error::io("run", Path::new(driver.get_program())))?;
    if interrupt::requested() {
        return Err(hiref_external::Error::Interrupted.into());
    }
    if !status.success() {
        return Err(Error::Ray);
    }
    Ok(job.outcome()?)
}

/// Shows the steps.
struct Shown<'a> {
    printer: &'a Printer,
    task: Mutex<Option<ProgressTask>>,
}

/// A step's end, as a line of `--progress json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum JsonEvent<'a> {
    Step(&'a StepReport),
}

impl<'a> Shown<'a> {
    fn new(printer: &'a Printer) -> Self {
        Self { printer, task: Mutex::new(None) }
    }

    fn task(&self) -> std::sync::MutexGuard<'_, Option<ProgressTask>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Shown<'_> {
    fn started(&self, step: Step, tasks: usize, done: usize) {
        let task = self.printer.task(&step.to_string(), "tasks", tasks as u64);
        task.set_done(done as u64);
        *self.task() = Some(task);
    }

    fn advanced(&self, _step: Step) {
        if let Some(task) = &*self.task() {
            task.advance(1);
        }
    }

    fn finished(&self, report: &StepReport) {
        *self.task() = None;
        self.printer.json(&JsonEvent::Step(report));
        if let Some(cost) = report.mean_cost {
            self.printer.info(&format!("{}: mean cost {cost:.6}, {:.1} s", report.step, report.seconds));
        }
    }

    fn should_stop(&self) -> bool {
        interrupt::requested()
    }
}
