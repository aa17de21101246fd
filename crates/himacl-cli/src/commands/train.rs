//! `himacl train`: align, train and evaluate by a recipe.

use crate::args::existing;
use crate::error::Error;
use crate::report::{RunFigures, TrainSummary, WithReport};
use crate::table;
use crate::{Context, ExitStatus, TrainProgress};
use clap::Args;
use himacl::data::files::{write_json, write_text};
use himacl::data::output::{Existing, OutputDir, Plan};
use himacl::train::{self, Anchors, Dataset, NamedRecipe, RUN_FILES, Recipe, RecipeFile};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

const EXAMPLES: &str = "\
Examples:
  himacl train --config models/recipes/quickstart.toml
  himacl train --config my.toml --set train.epochs=50 --set data.anchors=known.csv --set output.dir=runs/few-anchors
  himacl train --config my.toml --resume";

const CONFIG: &str = "config.toml";
const SUMMARY: &str = "summary.json";

/// Learn the map between two sets of embeddings.
///
/// Writes a run folder: config.toml (the resolved recipe), metrics.jsonl, checkpoints, couplings, map.safetensors,
/// map.json and summary.json. With several seeds or variants each run has a folder PROBLEM/seed-N of its own. From 500
/// known pairs on, some of them are hidden first to tell whether training improves the aligned map, in the folder choice;
/// where it does not, the aligned map is the result.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TrainArgs {
    /// The recipe.
    #[arg(long, short, value_name = "RECIPE.toml")]
    config: PathBuf,

    /// Change a key of the recipe, such as train.epochs=3; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Go on with an interrupted run; the result is that of a run that was never interrupted.
    #[arg(long, conflicts_with = "force")]
    resume: bool,

    /// Replace an earlier run in the output folder; everything else there stays.
    #[arg(long)]
    force: bool,
}

impl TrainArgs {
    /// The command that goes on with this run, for a shell.
    fn command_to_resume(&self) -> String {
        let set = self.set.iter().map(|change| format!(" --set {}", quoted(change)));
        format!("himacl train --config {}{} --resume", quoted(&self.config.to_string_lossy()), set.collect::<String>())
    }
}

/// A word for a POSIX shell: in quotes where it needs some.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./=,:+@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Runs the command.
pub(crate) fn run(args: &TrainArgs, context: &Context) -> Result<ExitStatus, Error> {
    let mut recorder = context.recorder();
    let mut file = RecipeFile::read(&args.config, &args.set, context.seed)?;
    if let ([problem], [seed]) = (&file.problems[..], &file.problems[0].recipe.seeds()[..]) {
        // A single run has the folder to itself, and its settings there: with its seed, not with a list of one.
        file.resolved = toml::Table::try_from(problem.recipe.with_seed(*seed))?;
    }
    let jobs: Vec<(&NamedRecipe, u64)> = file
        .problems
        .iter()
        .flat_map(|problem| problem.recipe.seeds().into_iter().map(move |seed| (problem, seed)))
        .collect();
    // All that can be refused is refused before anything is touched.
    let mut output = output_folder(args, &file, context)?;
    output.refuse_inputs(file.problems.iter().flat_map(|problem| problem.recipe.inputs()))?;
    let datasets = load_datasets(&file, context)?;
    for &(problem, seed) in &jobs {
        train::check(&problem.recipe.with_seed(seed), &datasets[&data_key(&problem.recipe)])?;
    }
    let plan = plan(&file, &jobs)?;
    output.goes_on(&plan, &|name| name == "output" || name == "output.dir")?;
    output.begin(&plan)?;
    let folder = output.path().to_path_buf();
    write_text(&folder.join(CONFIG), &toml::to_string(&file.resolved)?)?;
    context.printer.info(&format!("run folder: {}", folder.display()));

    let work = |position: usize| {
        let (problem, seed) = jobs[position];
        let run_folder = match jobs.len() {
            1 => folder.clone(),
            _ => folder.join(run_name(problem, seed)),
        };
        let title = format!("{} seed {seed} ({}/{})", problem.name, position + 1, jobs.len());
        let data = &datasets[&data_key(&problem.recipe)];
        one_run(&problem.recipe.with_seed(seed), data, &run_folder, &title, context)
    };
    let mut runs = Vec::new();
    for (&(problem, _), done) in
        jobs.iter().zip(side_by_side(jobs.len(), file.problems[0].recipe.train.parallel_runs, &work))
    {
        let Some((figures, seconds)) = done? else {
            context.printer.warn(&format!("interrupted; `{}` goes on", args.command_to_resume()));
            return Ok(ExitStatus::Partial);
        };
        for (phase, seconds) in seconds {
            recorder.note(phase, Some(seconds));
        }
        runs.push((problem.name.clone(), figures));
    }

    let summary = TrainSummary::new(&runs);
    let report = recorder.report();
    if jobs.len() > 1 {
        let path = folder.join(SUMMARY);
        write_json(&path, &WithReport { report: report.clone(), found: &summary })?;
    }
    output.finish()?;
    context.printer.result(&table::training(&summary, &report));
    context.printer.result(&format!("summary: {}", folder.join(SUMMARY).display()));
    Ok(ExitStatus::Done)
}

/// What a run found and, if it was not finished before, its seconds by phase; `None` when it was interrupted.
type Done = Option<(RunFigures, Vec<(&'static str, f64)>)>;
type Datasets = HashMap<[Option<PathBuf>; 5], Dataset>;

/// The folder of one of several runs, in that of all.
fn run_name(problem: &NamedRecipe, seed: u64) -> String {
    format!("{}/seed-{seed}", problem.name)
}

/// What the runs make, and of what.
fn plan(file: &RecipeFile, jobs: &[(&NamedRecipe, u64)]) -> Result<Plan, Error> {
    let mut files = RUN_FILES.map(ToOwned::to_owned).to_vec();
    if jobs.len() > 1 {
        files.truncate(0);
        files.extend([CONFIG, SUMMARY, "report.html"].map(ToOwned::to_owned));
        let of_run = |&(problem, seed): &(&NamedRecipe, u64)| {
            let run = run_name(problem, seed);
            RUN_FILES.map(|file| format!("{run}/{file}"))
        };
        files.extend(jobs.iter().flat_map(of_run));
    }
    let mut inputs = BTreeMap::new();
    for problem in &file.problems {
        problem.recipe.fingerprints(&mut inputs)?;
    }
    let (command, version) = ("train".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    Ok(Plan { command, version, files, inputs, settings: file.resolved.clone() })
}

/// The files that a recipe's data come from.
fn data_key(recipe: &Recipe) -> [Option<PathBuf>; 5] {
    let anchors = match &recipe.data.anchors {
        Anchors::File(path) => Some(path.clone()),
        Anchors::Count(_) => None,
    };
    let (source, target) = (recipe.data.source.clone(), recipe.data.target.clone());
    [Some(source), Some(target), anchors, recipe.eval.source.clone(), recipe.eval.target.clone()]
}

/// Reads the data of all problems, each once.
fn load_datasets(file: &RecipeFile, context: &Context) -> Result<Datasets, Error> {
    let mut datasets = Datasets::new();
    for problem in &file.problems {
        if let Entry::Vacant(entry) = datasets.entry(data_key(&problem.recipe)) {
            entry.insert(Dataset::load(&problem.recipe, &context.device)?);
        }
    }
    Ok(datasets)
}

/// The results of `work(0..count)`, in order, with up to `workers` at a time; after a failure or an interrupt no further
/// one is begun.
fn side_by_side(
    count: usize,
    workers: usize,
    work: &(dyn Fn(usize) -> Result<Done, Error> + Sync),
) -> Vec<Result<Done, Error>> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results: Mutex<Vec<(usize, Result<Done, Error>)>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..workers.clamp(1, count) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let position = next.fetch_add(1, Ordering::Relaxed);
                    if position >= count {
                        break;
                    }
                    let result = work(position);
                    if !matches!(result, Ok(Some(_))) {
                        stop.store(true, Ordering::Relaxed);
                    }
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((position, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(position, _)| *position);
    // What was not begun counts as interrupted, unless something failed.
    if let Some(failed) = results.iter().position(|(_, result)| result.is_err()) {
        results.swap(0, failed);
    }
    let mut results: Vec<_> = results.into_iter().map(|(_, result)| result).collect();
    results.resize_with(count, || Ok(None));
    results
}

/// One problem with one seed; `None` when interrupted. A run that is finished already is only read.
fn one_run(recipe: &Recipe, data: &Dataset, folder: &Path, title: &str, context: &Context) -> Result<Done, Error> {
    let summary_path = folder.join(SUMMARY);
    if let Ok(text) = fs::read_to_string(&summary_path) {
        let figures =
            RunFigures::read(&text).map_err(|source| himacl::data::Error::Json { path: summary_path, source })?;
        return Ok(Some((figures, Vec::new())));
    }
    fs::create_dir_all(folder).map_err(Error::io("make folder", folder))?;
    write_text(&folder.join(CONFIG), &toml::to_string(recipe)?)?;
    let mut recorder = context.recorder();
    let progress = TrainProgress::new(&context.printer, title);
    let Some(outcome) = train::run(recipe, data, folder, &progress)? else { return Ok(None) };
    let seconds = outcome.seconds.clone();
    for &(phase, seconds) in &seconds {
        recorder.note(phase, Some(seconds));
    }
    let figures = RunFigures::new(recipe.train.seed, outcome);
    // Last of all, since its presence tells that the rest is complete.
    write_json(&summary_path, &WithReport { report: recorder.report(), found: &figures })?;
    Ok(Some((figures, seconds)))
}

/// Takes the folder where this run goes: the one asked for, or the recipe's own under `runs/`, numbered so that nothing is
/// overwritten.
fn output_folder(args: &TrainArgs, file: &RecipeFile, context: &Context) -> Result<OutputDir, Error> {
    let existing = existing(args.force, args.resume);
    let take = |folder: &Path| OutputDir::open(folder, "train", existing);
    if let Some(folder) = &file.problems[0].recipe.output.dir {
        return Ok(take(folder)?);
    }
    let stem = args.config.file_stem().unwrap_or_default().to_string_lossy();
    let numbered = |number: usize| match number {
        1 => Path::new("runs").join(&*stem),
        _ => Path::new("runs").join(format!("{stem}-{number}")),
    };
    let is_used = |folder: &Path| fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    let free = (1..usize::MAX).find(|&number| !is_used(&numbered(number))).expect("numbers do not end");
    match existing {
        Existing::Overwrite => return Ok(take(&numbered(1))?),
        Existing::Resume => return Ok(take(&numbered((free - 1).max(1)))?),
        Existing::Refuse => {}
    }
    if free > 1 {
        let last = numbered(free - 1);
        let state = if last.join(SUMMARY).is_file() {
            "holds a finished run"
        } else {
            "holds an unfinished run (--resume goes on with it)"
        };
        context.printer.info(&format!("{} {state}; --force would replace {}", last.display(), numbered(1).display()));
    }
    Ok(take(&numbered(free))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        train: TrainArgs,
    }

    #[test]
    fn the_command_to_resume_repeats_what_was_changed() {
        let words =
            ["train", "--config", "my runs/r.toml", "--set", "output.dir=out", "--set", "run.seeds=[1, 2]", "--force"];
        let line = Line::try_parse_from(words).unwrap();
        let expected = "himacl train --config 'my runs/r.toml' --set output.dir=out --set 'run.seeds=[1, 2]' --resume";
        assert_eq!(line.train.command_to_resume(), expected);
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
