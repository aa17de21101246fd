//! Runs that end in a matching beyond one to one: of points, or of given costs.

use super::PairArgs;
use super::config::finished;
use super::names::{FILES, PAIRS, PERMUTATION, POTENTIALS, UIDS, WARM_START};
use super::results::{Files, rounded_down, write_pairs};
use super::room;
use super::selection::{Kept, Rejection};
use crate::distance;
use crate::error::Error;
use crate::matching::{MatchingArgs, NamedGroups, Resolved};
use crate::report::{self, Recorder, RunReport, write_config};
use crate::table::counted;
use crate::{Context, ExitStatus, SolveProgress};
use himacl::data::files::{remove_if_present, write_atomic_with};
use himacl::data::output::{Depth, OutputDir, Plan, fingerprint};
use himacl::data::{CostMatrix, CostValues, Metadata, read_candidates, write_npy_f32, write_npy_u32, write_npy_uids};
use hiref_core::matching::{Candidates, CostRows, Matching, pair_candidates, pair_costs};
use hiref_core::{CostKind, Hiref, Quality, RoundReport, Termination};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// summary.json.
#[derive(Serialize)]
struct Summary<'a> {
    command: &'static str,
    n: usize,
    m: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<usize>,
    cost: &'static str,
    solver: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<Quality>,
    num_pairs: usize,
    mean_cost: f64,
    total_cost: f64,
    /// The pairs' costs, and half of `unmatched_cost` for each single where that was given.
    objective: f64,
    /// As given or found.
    unmatched_cost: Option<f64>,
    singles: Singles,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups_of_x_only: Option<NamedGroups>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups_of_y_only: Option<NamedGroups>,
    bijection: bool,
    exact: bool,
    termination: Termination,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejection: Option<Rejection>,
    levels: [(); 0],
    polish: [(); 0],
    rounds: &'a [RoundReport],
    /// No matching of this kind has a lower objective.
    objective_bound: Option<f64>,
    /// Of the mean cost, where singles have no price.
    dual_bound: Option<f64>,
    relative_gap: Option<f64>,
    gap_estimate: Option<f64>,
    #[serde(flatten)]
    run: RunReport,
}

/// Items without a partner.
#[derive(Serialize)]
struct Singles {
    x: usize,
    y: usize,
}

/// What is said of the problem.
#[derive(Clone, Copy)]
struct Facts {
    d: Option<usize>,
    cost: &'static str,
    solver: &'static str,
    seed: Option<u64>,
    quality: Option<Quality>,
}

/// Solves for points and writes the results.
pub(super) fn run(
    solver: &Hiref,
    resolved: &Resolved,
    files: &Files<'_>,
    mut recorder: Recorder,
    context: &Context,
) -> Result<ExitStatus, Error> {
    let Files { config, problem, output, sides, uids } = files;
    let found = solver.solve_matching(problem, &resolved.params, &SolveProgress::new(&context.printer))?;
    let cost: CostKind = problem.cost();
    let facts = Facts {
        d: Some(problem.x().dimension()),
        cost: cost.name(),
        solver: config.solver.name(),
        seed: Some(config.hiref.seed),
        quality: Some(config.hiref.quality),
    };
    let metadata = [sides[0].metadata()?, sides[1].metadata()?];
    let pairs: (Vec<u32>, Vec<u32>) = found.pairs.iter().map(|&[x, y]| (x, y)).unzip();
    let margin = config.selection.margins(problem, (&pairs.0, &pairs.1), config.hiref.seed)?;
    let kept = config.selection.keep(pairs, &found.costs, margin);
    let kept_uids = uids.as_ref().map(|uids| config.selection.kept_uids(uids, &kept));
    let written = recorder.time("write", || {
        write(output, &found, &kept, &metadata, config.hiref.certify)?;
        kept_uids.map_or(Ok(()), |uids| Ok(write_npy_uids(&output.file(UIDS), &uids)?))
    });
    written.and_then(|()| summarize(&found, resolved, facts, (output, kept.rejection), recorder, context))
}

/// The settings of a run with given costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenConfig {
    command: String,
    matching: MatchingArgs,
    threads: usize,
}

/// Pairs by given costs and writes the results.
pub(super) fn run_given(args: &PairArgs, costs: &Path, context: &Context) -> Result<ExitStatus, Error> {
    let mut recorder = context.recorder();
    let mut output = OutputDir::open(&args.output.output, "pair", args.output.existing())?;
    let files = args.matching.files();
    output.refuse_inputs(files.iter().map(|(_, path)| path.as_path()))?;
    let matching = args.matching.absolute()?;
    let config = GivenConfig { command: "pair".to_owned(), matching, threads: context.threads };
    let print = |(flag, path): (&str, PathBuf)| Ok((flag.to_owned(), fingerprint(&[path], None, Depth::Whole)?));
    let plan = Plan {
        command: config.command.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        files: FILES.map(ToOwned::to_owned).to_vec(),
        inputs: files.into_iter().map(print).collect::<Result<_, Error>>()?,
        settings: toml::Table::try_from(&config)?,
    };
    if output.goes_on(&plan, &|name| name == "threads")? && finished(&output)? {
        let folder = output.path().display().to_string();
        output.finish()?;
        context.printer.result(&format!("`{folder}` is finished already"));
        return Ok(ExitStatus::Done);
    }
    let progress = SolveProgress::new(&context.printer);
    let mut began = |[n, m]: [usize; 2]| {
        let resolved = args.matching.resolve([n, m], None)?;
        room::check(output.path(), room::least_bytes_of(n as u64))?;
        output.begin(&plan)?;
        write_config(&output, &config)?;
        context.printer.info(&format!("pairing {n} x with {m} y by given costs, with {} threads", context.threads));
        Ok::<_, Error>(resolved)
    };
    let (found, resolved, cost) = if args.matching.cost_matrix.is_some() {
        let matrix = CostMatrix::open(costs)?;
        let [_, columns] = matrix.shape();
        let rows = recorder.time("load", || match matrix.values() {
            CostValues::F32(values) => CostRows::new(values, columns),
            CostValues::F64(values) => CostRows::new(values, columns),
        })?;
        let resolved = began(matrix.shape())?;
        let found = recorder.time("exact", || pair_costs(&rows, &resolved.params, &progress))?;
        (found, resolved, "matrix")
    } else {
        let listed = recorder.time("load", || read_candidates(costs))?;
        let [n, m] = listed.sizes;
        let candidates = Candidates::new(n, m, &listed.pairs)?;
        drop(listed);
        let resolved = began([n, m])?;
        let found = recorder.time("exact", || pair_candidates(&candidates, &resolved.params, &progress))?;
        (found, resolved, "candidates")
    };
    let (x, y) = found.pairs.iter().map(|&[x, y]| (x, y)).unzip();
    let costs = found.costs.iter().map(|&cost| cost as f32).collect();
    let kept = Kept { x, y, cost: costs, margin: None, rejection: None };
    recorder.time("write", || write(&output, &found, &kept, &[None, None], true))?;
    let facts = Facts { d: None, cost, solver: "exact", seed: None, quality: None };
    let status = summarize(&found, &resolved, facts, (&output, None), recorder, context)?;
    if status == ExitStatus::Done {
        output.finish()?;
    }
    Ok(status)
}

/// Writes permutation.npy, where no item has several partners, pairs.parquet and, if asked for, potentials.npy; removes what an earlier run left.
fn write(
    output: &OutputDir,
    found: &Matching,
    kept: &Kept,
    metadata: &[Option<Metadata>; 2],
    potentials: bool,
) -> Result<(), Error> {
    for file in ["summary.json", PERMUTATION, WARM_START, POTENTIALS, UIDS] {
        remove_if_present(&output.file(file))?;
    }
    if let Some(y_of_x) = found.y_of_x() {
        write_npy_u32(&output.file(PERMUTATION), &y_of_x)?;
    }
    if let Some([f, g]) = found.potentials.as_ref().filter(|_| potentials) {
        let values: Vec<f32> = f.iter().chain(g).map(|&value| rounded_down(value)).collect();
        write_npy_f32(&output.file(POTENTIALS), &values, &[values.len()])?;
    }
    let path = output.file(PAIRS);
    Ok(write_atomic_with(&path, |file| write_pairs(file, kept, metadata).map_err(himacl::data::Error::parquet(&path)))?)
}

fn summarize(
    found: &Matching,
    resolved: &Resolved,
    facts: Facts,
    (output, rejection): (&OutputDir, Option<Rejection>),
    recorder: Recorder,
    context: &Context,
) -> Result<ExitStatus, Error> {
    let mut recorder = recorder;
    for (phase, seconds) in [
        ("split", found.seconds.split),
        ("leaves", found.seconds.leaves),
        ("polish", found.seconds.polish),
        ("certify", found.seconds.certify),
    ] {
        recorder.note(phase, Some(seconds));
    }
    if facts.d.is_some() {
        recorder.note("exact", Some(found.seconds.exact));
    }
    let [n, m] = found.sizes;
    let [x, y] = found.singles().map(|singles| singles.len());
    let grouped = resolved.params.groups.is_some();
    let lonely = |side: usize| grouped.then(|| resolved.named(&found.lonely_groups[side]));
    let num_pairs = found.pairs.len();
    let kept = rejection.as_ref().map(|rejection| rejection.describe(num_pairs));
    let priced = resolved.params.unmatched_cost.is_some();
    let summary = Summary {
        command: "pair",
        n,
        m,
        d: facts.d,
        cost: facts.cost,
        solver: facts.solver,
        seed: facts.seed,
        quality: facts.quality,
        num_pairs,
        mean_cost: found.mean_cost(),
        total_cost: found.total_cost,
        objective: found.objective,
        unmatched_cost: found.unmatched_cost,
        singles: Singles { x, y },
        groups_of_x_only: lonely(0),
        groups_of_y_only: lonely(1),
        bijection: n == m && num_pairs == n && x == 0 && y == 0,
        exact: found.exact,
        termination: found.termination,
        rejection,
        levels: [],
        polish: [],
        rounds: &found.rounds,
        objective_bound: found.dual_bound,
        dual_bound: found.dual_bound.filter(|_| !priced && num_pairs > 0).map(|bound| bound / num_pairs as f64),
        relative_gap: found.relative_gap(),
        gap_estimate: None,
        run: recorder.report(),
    };
    report::write_summary(output, &summary)?;
    let mut lines = vec![describe(found, facts.cost, [x, y])];
    for (side, groups) in [("x", &summary.groups_of_x_only), ("y", &summary.groups_of_y_only)] {
        if let Some(groups) = groups.as_ref().filter(|groups| groups.count > 0) {
            let more = if groups.count > groups.names.len() { ", …" } else { "" };
            let names = groups.names.join(", ");
            let count =
                if groups.count == 1 { "1 category".to_owned() } else { format!("{} categories", groups.count) };
            lines.push(format!("{count} of {side} alone, with single items: {names}{more}"));
        }
    }
    lines.extend(kept);
    lines.push(format!("written to {}", output.path().display()));
    context.printer.result(&lines.join("\n"));
    Ok(if found.termination == Termination::Interrupted { ExitStatus::Partial } else { ExitStatus::Done })
}

/// The result in a line or two, for people.
fn describe(found: &Matching, cost: &str, [x, y]: [usize; 2]) -> String {
    let ending = match found.termination {
        Termination::Converged if found.exact => "optimal",
        Termination::Converged => "converged",
        Termination::MaxIterations => "all sweeps done",
        Termination::TimeLimit => "stopped at the time limit",
        Termination::Interrupted => "interrupted",
    };
    let singles = if x + y > 0 { format!(", {x} x and {y} y single") } else { String::new() };
    let (pairs, mean) = (counted(found.pairs.len(), "pair"), found.mean_cost());
    let proved = found.relative_gap().and_then(|gap| distance::proved(found.objective, gap));
    let unknown = "how far above the optimum is not known: --certify proves it, in O(n m d) time";
    let distance = if found.exact || (proved.is_none() && found.termination == Termination::Interrupted) {
        String::new()
    } else {
        format!("\n{}", proved.unwrap_or(unknown.to_owned()))
    };
    format!("{pairs}, mean {cost} cost {mean:.6} ({ending}){singles}{distance}")
}
