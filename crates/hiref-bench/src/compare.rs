//! Our solver and the peers side by side: alternately, each run in a fresh process, every bijection checked and every
//! cost of one recomputed here.

use crate::contender::{Contender, Coupling, Launcher, Outcome, Peer, Task};
use crate::report::{QualityArg, Report, ReportArgs, TableRow, excess, mebibytes, percent, table_head, threads};
use crate::sets::{SetArgs, StoredSet};
use anyhow::{Context, ensure};
use clap::Args;
use himacl::data::read_npy_u32;
use hiref_core::{CostKind, Permutation, Problem, mean_cost};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    sets: SetArgs,
    /// The costs: sqeuclidean, euclidean.
    #[arg(long = "cost", value_name = "COST", value_delimiter = ',', default_value = "sqeuclidean")]
    costs: Vec<CostKind>,
    /// Our qualities; ratios in the table refer to the first.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "balanced")]
    ours: Vec<QualityArg>,
    /// The peers, each as NAME or NAME:PARAMETER: bsp:PLANS, bsp-random:PLANS, emd, lsa, minibatch:SIZE, sinkhorn:EPSILON,
    /// lr-sinkhorn:RANK, progot:STEPS (`scripts/peers/run.py --help` tells what each is).
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    peers: Vec<Peer>,
    /// Rounds: in each, every solver runs once; every other round goes through them backwards.
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: u64,
    /// The interpreter that the peers are installed for, by scripts/peers/setup.sh.
    #[arg(long, value_name = "PATH", default_value = "target/peers-venv/bin/python")]
    python: PathBuf,
    /// The program that runs one peer.
    #[arg(long, value_name = "PATH", default_value = "scripts/peers/run.py")]
    script: PathBuf,
    /// Threads of every solver [default: one per core].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// End a run that takes longer than this many seconds, and note that it did.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// What one run of one solver gave.
#[derive(Debug, Serialize)]
struct Run {
    set: String,
    n: usize,
    d: usize,
    cost: CostKind,
    solver: String,
    round: u64,
    seed: u64,
    threads: usize,
    coupling: Option<Coupling>,
    mean_cost: Option<f64>,
    optimum: Option<f64>,
    /// `mean_cost / optimum - 1`
    excess: Option<f64>,
    relative_gap: Option<f64>,
    marginal_error: Option<f64>,
    seconds: Option<f64>,
    compile_seconds: Option<f64>,
    start_rss_bytes: Option<u64>,
    peak_rss_bytes: Option<u64>,
    version: String,
    options: Value,
    note: String,
    /// Why there is no result.
    failure: Option<String>,
}

impl TableRow for Run {
    const COLUMNS: &'static [&'static str] =
        &["set", "n", "d", "cost", "solver", "round", "mean cost", "above optimum", "s", "peak MiB", "remark"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.set.clone(),
            self.n.to_string(),
            self.d.to_string(),
            self.cost.to_string(),
            self.solver.clone(),
            self.round.to_string(),
            self.mean_cost.map_or_else(String::new, |cost| format!("{cost:.6}")),
            percent(self.excess),
            self.seconds.map_or_else(String::new, |seconds| format!("{seconds:.2}")),
            mebibytes(self.peak_rss_bytes),
            self.remark(),
        ]
    }
}

impl Run {
    fn remark(&self) -> String {
        let soft = (self.coupling == Some(Coupling::Soft)).then(|| "soft coupling".to_owned());
        let parts = [self.failure.clone(), soft, (!self.note.is_empty()).then(|| self.note.clone())];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

/// Runs every set, cost, round and solver.
pub(crate) fn run(args: &CompareArgs) -> anyhow::Result<()> {
    ensure!(!args.ours.is_empty(), "expected at least one of our qualities");
    let folder = tempfile::tempdir()?;
    let launcher = Launcher {
        python: args.python.clone(),
        script: args.script.clone(),
        threads: args.threads.map_or_else(threads, Ok)?,
        timeout: args.timeout.map(Duration::from_secs),
        folder: folder.path().to_path_buf(),
    };
    if !args.peers.is_empty() {
        launcher.check_python()?;
    }
    let ours = args.ours.iter().map(|&quality| Contender::Ours(quality));
    let contenders: Vec<Contender> = ours.chain(args.peers.iter().cloned().map(Contender::Peer)).collect();
    let mut report = Report::create(&args.report)?;
    for spec in &args.sets.sets {
        let set = args.sets.store(spec, folder.path())?;
        for &cost in &args.costs {
            for round in 0..args.repeat {
                let order: Vec<&Contender> =
                    if round % 2 == 0 { contenders.iter().collect() } else { contenders.iter().rev().collect() };
                for contender in order {
                    report.add(one_run(&launcher, contender, &set, cost, round, args.report.seed + round)?)?;
                }
            }
        }
    }
    let text = summary(report.rows(), &contenders);
    report.finish_with(&text)
}

/// A run that failed is a row as well; only a wrong answer ends the benchmark.
fn one_run(
    launcher: &Launcher,
    contender: &Contender,
    set: &StoredSet,
    cost: CostKind,
    round: u64,
    seed: u64,
) -> anyhow::Result<Run> {
    let solver = contender.name();
    let ended = launcher.run(contender, &Task { x: &set.x, y: &set.y, cost, seed });
    // The points are in this process's memory only between runs.
    let (x, y) = set.load()?;
    let (outcome, coupling, failure) = match ended {
        Ok((outcome, coupling)) => (Some(outcome), Some(coupling), None),
        Err(error) => (None, None, Some(format!("{error:#}"))),
    };
    let problem = Problem::new(&x, &y, cost)?;
    let found = match (&outcome, &coupling) {
        (Some(outcome), Some(file)) => {
            Some(checked_cost(outcome, file, &problem).with_context(|| format!("{solver} on {}", set.name))?)
        }
        _ => None,
    };
    let optimum = set.optimum(cost);
    Ok(Run {
        set: set.name.clone(),
        n: problem.x().num_points(),
        d: problem.x().dimension(),
        cost,
        solver,
        round,
        seed,
        threads: launcher.threads,
        coupling: outcome.as_ref().map(Outcome::coupling),
        mean_cost: found,
        optimum,
        excess: found.zip(optimum).map(|(found, optimum)| excess(found, optimum)),
        relative_gap: outcome.as_ref().and_then(|outcome| outcome.relative_gap),
        marginal_error: outcome.as_ref().and_then(|outcome| outcome.marginal_error),
        seconds: outcome.as_ref().map(|outcome| outcome.seconds),
        compile_seconds: outcome.as_ref().map(|outcome| outcome.compile_seconds),
        start_rss_bytes: outcome.as_ref().and_then(|outcome| outcome.start_rss_bytes),
        peak_rss_bytes: outcome.as_ref().and_then(|outcome| outcome.peak_rss_bytes),
        version: outcome.as_ref().map_or_else(String::new, |outcome| outcome.version.clone()),
        options: outcome.as_ref().map_or(Value::Null, |outcome| outcome.options.clone()),
        note: outcome.map_or_else(String::new, |outcome| outcome.note),
        failure,
    })
}

/// The cost of a bijection from its file, once it is seen to be one; that of a soft coupling as its solver tells it.
fn checked_cost(outcome: &Outcome, coupling: &Path, problem: &Problem) -> anyhow::Result<f64> {
    if let Some(told) = outcome.mean_cost {
        return Ok(told);
    }
    let permutation = Permutation::new(read_npy_u32(coupling)?, problem.y().num_points())?;
    let (expected, got) = (problem.x().num_points(), permutation.num_x());
    ensure!(got == expected, "a pairing of {got} x points, expected {expected}");
    Ok(mean_cost(problem, &permutation))
}

/// One line a set, cost and solver: medians over the rounds, ratios to the first of our own. Where the optimum of a set is
/// not known beforehand, that of an exact solver stands in.
fn summary(runs: &[Run], contenders: &[Contender]) -> String {
    const COLUMNS: [&str; 13] = [
        "set",
        "n",
        "d",
        "cost",
        "solver",
        "mean cost",
        "cost to ours",
        "above optimum",
        "gap",
        "s (least to most)",
        "time to ours",
        "peak MiB",
        "remark",
    ];
    let mut text = table_head(&COLUMNS);
    let mut cases: Vec<(&str, CostKind)> = Vec::new();
    for run in runs {
        if !cases.contains(&(run.set.as_str(), run.cost)) {
            cases.push((&run.set, run.cost));
        }
    }
    for (set, cost) in cases {
        let of = |contender: &Contender| -> Vec<&Run> {
            let name = contender.name();
            runs.iter().filter(|run| run.set == set && run.cost == cost && run.solver == name).collect()
        };
        let ours = of(&contenders[0]);
        let exact = contenders.iter().filter(|contender| contender.is_exact()).flat_map(of);
        let optimum = ours[0].optimum.or_else(|| median(exact.filter_map(|run| run.mean_cost)));
        for contender in contenders {
            let own = of(contender);
            // Ratios are taken within a round, so that what slows a round slows both.
            let ratio = |value: fn(&Run) -> Option<f64>| {
                median(own.iter().filter_map(|run| {
                    let partner = ours.iter().find(|other| other.round == run.round)?;
                    Some(value(run)? / value(partner)?)
                }))
            };
            let seconds: Vec<f64> = own.iter().filter_map(|run| run.seconds).collect();
            let range = (seconds.len() > 1).then(|| {
                let (least, most) =
                    seconds.iter().fold((f64::MAX, 0.0_f64), |(low, high), &s| (low.min(s), high.max(s)));
                format!(" ({least:.2} to {most:.2})")
            });
            let or_nothing = |value: Option<String>| value.unwrap_or_default();
            let cells = [
                set.to_owned(),
                own[0].n.to_string(),
                own[0].d.to_string(),
                cost.to_string(),
                contender.name(),
                or_nothing(median(own.iter().filter_map(|run| run.mean_cost)).map(|cost| format!("{cost:.6}"))),
                percent(ratio(|run| run.mean_cost).map(|ratio| ratio - 1.0)),
                percent(median(own.iter().filter_map(|run| Some(excess(run.mean_cost?, optimum?))))),
                percent(median(own.iter().filter_map(|run| run.relative_gap))),
                or_nothing(median(seconds.iter().copied()).map(|s| format!("{s:.2}{}", or_nothing(range)))),
                or_nothing(ratio(|run| run.seconds).map(|ratio| format!("{ratio:.2} x"))),
                mebibytes(own.iter().filter_map(|run| run.peak_rss_bytes).max()),
                own[0].remark(),
            ];
            let _ = write!(text, "\n| {} |", cells.join(" | "));
        }
    }
    text.push('\n');
    text
}

/// The middle value; the mean of the two middle ones where their number is even.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_of(solver: &str, round: u64, mean_cost: Option<f64>, seconds: f64) -> Run {
        Run {
            set: "s".to_owned(),
            n: 4,
            d: 2,
            cost: CostKind::SquaredEuclidean,
            solver: solver.to_owned(),
            round,
            seed: round,
            threads: 1,
            coupling: Some(Coupling::Bijection),
            mean_cost,
            optimum: None,
            excess: None,
            relative_gap: None,
            marginal_error: None,
            seconds: mean_cost.map(|_| seconds),
            compile_seconds: None,
            start_rss_bytes: None,
            peak_rss_bytes: None,
            version: String::new(),
            options: Value::Null,
            note: String::new(),
            failure: mean_cost.is_none().then(|| "not done after 9 s".to_owned()),
        }
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let peer = |text: &str| Contender::Peer(text.parse().unwrap());
        let contenders = [Contender::Ours(QualityArg::Best), peer("bsp:16"), peer("emd")];
        let runs = [
            run_of("hiref best", 0, Some(2.0), 1.0),
            run_of("bsp 16", 0, Some(2.2), 3.0),
            run_of("bsp 16", 1, None, 0.0),
            run_of("hiref best", 1, Some(2.0), 10.0),
            run_of("emd", 0, Some(1.6), 10.0),
        ];
        let text = summary(&runs, &contenders);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(
            lines[2].contains("| hiref best | 2.000000 | 0.0000% | +25.0000% |") && lines[2].contains("| 1.00 x |"),
            "{text}"
        );
        assert!(
            lines[3].contains("| bsp 16 | 2.200000 | +10.0000% | +37.5000% |") && lines[3].contains("| 3.00 x |"),
            "{text}"
        );
    }
}
