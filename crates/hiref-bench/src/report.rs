//! One row a run: as JSON lines while it goes on, as a Markdown table at the end.

use anyhow::Context;
use candle_core::Tensor;
use clap::{Args, ValueEnum};
use himacl_cli::report::peak_rss_bytes;
use hiref_core::{CostKind, HirefOutput, HirefParams, Problem, Quality, SweepReport, WarmStart};
use serde::Serialize;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Where results go.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// File for one JSON object a run; a Markdown table goes beside it, with the extension `md`.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Seed of the solver.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

/// How much work to spend, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QualityArg {
    /// Splits and exact leaves alone: the algorithm as published.
    Unpolished,
    /// Splits, leaves and a few sweeps.
    Fast,
    /// The default.
    Balanced,
    /// Until sweeps stop paying.
    Best,
    /// One exact solve of everything, in O(n²) memory.
    Exact,
}

impl QualityArg {
    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The solver's parameters, for sides of at most `largest_side` points.
    pub(crate) fn params(self, seed: u64, largest_side: usize) -> HirefParams {
        let params = HirefParams { seed, ..HirefParams::default() };
        match self {
            Self::Unpolished => HirefParams { max_sweeps: Some(0), exact_limit: Some(0), ..params },
            Self::Fast => HirefParams { quality: Quality::Fast, ..params },
            Self::Balanced => HirefParams { quality: Quality::Balanced, ..params },
            Self::Best => HirefParams { quality: Quality::Best, ..params },
            // One leaf that holds everything.
            Self::Exact => HirefParams { leaf_size: largest_side.max(2), ..params },
        }
    }
}

/// What one run gave.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    set: String,
    n: usize,
    m: usize,
    d: usize,
    cost: CostKind,
    solver: String,
    seed: u64,
    threads: usize,
    pub(crate) mean_cost: f64,
    optimum: Option<f64>,
    /// `mean_cost / optimum - 1`
    excess: Option<f64>,
    /// The share of the mean cost that a dual bound leaves open, where the solver certifies.
    relative_gap: Option<f64>,
    exact: bool,
    pub(crate) seconds: f64,
    split_seconds: f64,
    leaves_seconds: f64,
    polish_seconds: f64,
    exact_seconds: f64,
    certify_seconds: f64,
    /// The largest resident size of the process so far.
    peak_rss_bytes: Option<u64>,
    pub(crate) sweeps: Vec<SweepReport>,
}

/// A problem to run.
pub(crate) struct Case<'a> {
    pub(crate) set: &'a str,
    pub(crate) x: &'a Tensor,
    pub(crate) y: &'a Tensor,
    pub(crate) cost: CostKind,
    pub(crate) optimum: Option<f64>,
}

impl Case<'_> {
    /// Solves from points in memory to a pairing in memory, checking included in the time; `solver` is its name in tables.
    pub(crate) fn run(
        &self,
        solver: String,
        params: HirefParams,
        warm_start: Option<&WarmStart>,
    ) -> anyhow::Result<(Row, HirefOutput)> {
        let seed = params.seed;
        let checked = params.check()?;
        let started = Instant::now();
        let problem = Problem::new(self.x, self.y, self.cost)?;
        let output = checked.solve(&problem, warm_start, &())?;
        let seconds = started.elapsed().as_secs_f64();
        let row = Row {
            set: self.set.to_owned(),
            n: problem.x().num_points(),
            m: problem.y().num_points(),
            d: problem.x().dimension(),
            cost: self.cost,
            solver,
            seed,
            threads: threads()?,
            mean_cost: output.mean_cost,
            optimum: self.optimum,
            excess: self.optimum.map(|optimum| excess(output.mean_cost, optimum)),
            relative_gap: output.certificate.as_ref().map(|certificate| certificate.relative_gap),
            exact: output.exact,
            seconds,
            split_seconds: output.seconds.split,
            leaves_seconds: output.seconds.leaves,
            polish_seconds: output.seconds.polish,
            exact_seconds: output.seconds.exact,
            certify_seconds: output.seconds.certify,
            peak_rss_bytes: peak_rss_bytes(),
            sweeps: output.sweeps.clone(),
        };
        Ok((row, output))
    }
}

/// The threads that the solver uses: those of rayon, which reads `RAYON_NUM_THREADS`.
pub(crate) fn threads() -> anyhow::Result<usize> {
    let set = std::env::var("RAYON_NUM_THREADS").ok().and_then(|threads| threads.parse().ok());
    match set {
        Some(threads) if threads > 0 => Ok(threads),
        _ => Ok(std::thread::available_parallelism()?.get()),
    }
}

/// How far `cost` is above `reference`, as a share of it.
pub(crate) fn excess(cost: f64, reference: f64) -> f64 {
    (cost - reference) / reference.abs()
}

/// A share as a signed percentage.
pub(crate) fn percent(share: Option<f64>) -> String {
    let percent = |share: f64| {
        // No sign for what rounds to nothing.
        if share.abs() < 5e-7 { "0.0000%".to_owned() } else { format!("{:+.4}%", 100.0 * share) }
    };
    share.map_or_else(String::new, percent)
}

/// Bytes as whole MiB.
pub(crate) fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| (bytes >> 20).to_string())
}

/// The head of a Markdown table with these columns, without a line break at its end.
pub(crate) fn table_head(columns: &[&str]) -> String {
    format!("| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()))
}

/// A line of a report's table.
pub(crate) trait TableRow: Serialize {
    /// The columns.
    const COLUMNS: &'static [&'static str];
    /// The cells, one a column.
    fn cells(&self) -> Vec<String>;
}

/// Collects rows.
pub(crate) struct Report<R> {
    lines: File,
    table: PathBuf,
    rows: Vec<R>,
}

impl<R: TableRow> Report<R> {
    /// Creates the file of JSON lines.
    pub(crate) fn create(args: &ReportArgs) -> anyhow::Result<Self> {
        let lines = File::create(&args.output).with_context(|| format!("cannot create {}", args.output.display()))?;
        Ok(Self { lines, table: args.output.with_extension("md"), rows: Vec::new() })
    }

    /// Writes a row at once, so that an aborted benchmark keeps what it has.
    pub(crate) fn add(&mut self, row: R) -> anyhow::Result<()> {
        writeln!(self.lines, "{}", serde_json::to_string(&row)?)?;
        println!("{}", markdown(&row));
        self.rows.push(row);
        Ok(())
    }

    /// The rows so far.
    pub(crate) fn rows(&self) -> &[R] {
        &self.rows
    }

    /// Writes the table, one line a row.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        let body: Vec<String> = self.rows.iter().map(markdown).collect();
        let text = format!("{}\n{}\n", table_head(R::COLUMNS), body.join("\n"));
        self.finish_with(&text)
    }

    /// Writes `text` in the table's place.
    pub(crate) fn finish_with(self, text: &str) -> anyhow::Result<()> {
        fs::write(&self.table, text).with_context(|| format!("cannot write {}", self.table.display()))?;
        println!("table in {}", self.table.display());
        Ok(())
    }
}

fn markdown(row: &impl TableRow) -> String {
    format!("| {} |", row.cells().join(" | "))
}

impl TableRow for Row {
    const COLUMNS: &'static [&'static str] = &[
        "set",
        "n",
        "m",
        "d",
        "cost",
        "solver",
        "mean cost",
        "above optimum",
        "gap",
        "sweeps",
        "split s",
        "leaves s",
        "polish s",
        "exact s",
        "certify s",
        "total s",
        "peak MiB",
    ];

    fn cells(&self) -> Vec<String> {
        let mark = if self.exact { " (exact)" } else { "" };
        vec![
            self.set.clone(),
            self.n.to_string(),
            self.m.to_string(),
            self.d.to_string(),
            self.cost.to_string(),
            format!("{}{mark}", self.solver),
            format!("{:.6}", self.mean_cost),
            percent(self.excess),
            percent(self.relative_gap),
            self.sweeps.len().to_string(),
            format!("{:.2}", self.split_seconds),
            format!("{:.2}", self.leaves_seconds),
            format!("{:.2}", self.polish_seconds),
            format!("{:.2}", self.exact_seconds),
            format!("{:.2}", self.certify_seconds),
            format!("{:.2}", self.seconds),
            mebibytes(self.peak_rss_bytes),
        ]
    }
}
