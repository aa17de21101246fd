//! One row a run: as JSON lines while it goes on, as a Markdown table at the end.

use anyhow::Context;
use candle_core::Tensor;
use clap::{Args, ValueEnum};
use hiref_core::{CostKind, HirefOutput, HirefParams, Problem, Quality};
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

/// [`Quality`] as an argument.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum QualityArg {
    /// Splits, leaves and a few sweeps.
    Fast,
    /// The default.
    Balanced,
    /// Until sweeps stop paying.
    Best,
}

impl From<QualityArg> for Quality {
    fn from(quality: QualityArg) -> Self {
        match quality {
            QualityArg::Fast => Self::Fast,
            QualityArg::Balanced => Self::Balanced,
            QualityArg::Best => Self::Best,
        }
    }
}

/// What one run gave.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    name: String,
    n: usize,
    m: usize,
    d: usize,
    cost: CostKind,
    quality: Quality,
    seed: u64,
    threads: usize,
    mean_cost: f64,
    optimum: Option<f64>,
    /// `mean_cost / optimum - 1`
    excess: Option<f64>,
    exact: bool,
    sweeps: usize,
    seconds: f64,
    split_seconds: f64,
    leaves_seconds: f64,
    polish_seconds: f64,
    /// The largest resident size of the process so far.
    peak_rss_bytes: Option<u64>,
}

/// A problem to run.
pub(crate) struct Case<'a> {
    pub(crate) name: &'a str,
    pub(crate) x: &'a Tensor,
    pub(crate) y: &'a Tensor,
    pub(crate) cost: CostKind,
    pub(crate) optimum: Option<f64>,
}

impl Case<'_> {
    /// Solves, checking included in the time.
    pub(crate) fn run(&self, params: HirefParams) -> anyhow::Result<Row> {
        let (quality, seed) = (params.quality, params.seed);
        let solver = params.check()?;
        let started = Instant::now();
        let problem = Problem::new(self.x, self.y, self.cost)?;
        let output: HirefOutput = solver.solve(&problem, None, &())?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(Row {
            name: self.name.to_owned(),
            n: problem.x().num_points(),
            m: problem.y().num_points(),
            d: problem.x().dimension(),
            cost: self.cost,
            quality,
            seed,
            threads: std::thread::available_parallelism()?.get(),
            mean_cost: output.mean_cost,
            optimum: self.optimum,
            excess: self.optimum.map(|optimum| (output.mean_cost - optimum) / optimum.abs()),
            exact: output.exact,
            sweeps: output.sweeps.len(),
            seconds,
            split_seconds: output.seconds.split,
            leaves_seconds: output.seconds.leaves,
            polish_seconds: output.seconds.polish,
            peak_rss_bytes: himacl::report::peak_rss_bytes(),
        })
    }
}

/// Collects rows.
pub(crate) struct Report {
    lines: File,
    table: PathBuf,
    rows: Vec<Row>,
}

impl Report {
    /// Creates the file of JSON lines.
    pub(crate) fn create(args: &ReportArgs) -> anyhow::Result<Self> {
        let lines = File::create(&args.output).with_context(|| format!("cannot create {}", args.output.display()))?;
        Ok(Self { lines, table: args.output.with_extension("md"), rows: Vec::new() })
    }

    /// Writes a row at once, so that an aborted benchmark keeps what it has.
    pub(crate) fn add(&mut self, row: Row) -> anyhow::Result<()> {
        writeln!(self.lines, "{}", serde_json::to_string(&row)?)?;
        println!("{}", markdown(&row));
        self.rows.push(row);
        Ok(())
    }

    /// Writes the table.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        let head = "| set | n | m | d | cost | quality | mean cost | above optimum | sweeps | split s | leaves s | polish s | \
                    total s | peak MiB |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
        let body: Vec<String> = self.rows.iter().map(markdown).collect();
        fs::write(&self.table, format!("{head}{}\n", body.join("\n")))?;
        println!("table in {}", self.table.display());
        Ok(())
    }
}

fn markdown(row: &Row) -> String {
    let excess = row.excess.map_or_else(String::new, |excess| format!("{:+.4}%", 100.0 * excess));
    let quality = format!("{:?}", row.quality).to_lowercase();
    let mark = if row.exact { " (exact)" } else { "" };
    let peak = row.peak_rss_bytes.map_or_else(String::new, |bytes| (bytes >> 20).to_string());
    format!(
        "| {} | {} | {} | {} | {} | {quality}{mark} | {:.6} | {excess} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {peak} |",
        row.name,
        row.n,
        row.m,
        row.d,
        row.cost,
        row.mean_cost,
        row.sweeps,
        row.split_seconds,
        row.leaves_seconds,
        row.polish_seconds,
        row.seconds,
    )
}
