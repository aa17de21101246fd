//! Distance from the optimum on stored sets.

use crate::report::{Case, QualityArg, Report, ReportArgs};
use crate::sets::load_points;
use anyhow::Context;
use clap::Args;
use hiref_core::{CostKind, HirefParams};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// Arguments of `quality`.
#[derive(Debug, Args)]
pub(crate) struct QualityArgs {
    #[command(flatten)]
    report: ReportArgs,
    /// Bound the distance from the optimum as well; the total then includes it.
    #[arg(long)]
    certify: bool,
    /// Folder with exact.json and the sets it names, `NAME_x.npy` and `NAME_y.npy`.
    #[arg(long, value_name = "DIR", default_value = "tests/fixtures")]
    fixtures: PathBuf,
    /// Only sets whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Qualities to run.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["fast", "balanced", "best"])]
    qualities: Vec<QualityArg>,
}

/// Runs every set, cost and quality.
pub(crate) fn run(args: &QualityArgs) -> anyhow::Result<()> {
    let path = args.fixtures.join("exact.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let exact: serde_json::Map<String, Value> = serde_json::from_str(&text)?;
    let mut report = Report::create(&args.report)?;
    for (name, facts) in exact.iter().filter(|(name, _)| name.contains(&args.only)) {
        let read = |side: &str| load_points(&args.fixtures.join(format!("{name}_{side}.npy")));
        let (x, y) = (read("x")?, read("y")?);
        for cost in CostKind::ALL {
            let Some(optimum) = facts[cost.name()].as_f64() else { continue };
            let case = Case { set: name, x: &x, y: &y, cost, optimum: Some(optimum) };
            for &quality in &args.qualities {
                let params =
                    HirefParams { certify: args.certify, ..quality.params(args.report.seed, x.dim(0)?.max(y.dim(0)?)) };
                report.add(case.run(format!("hiref {}", quality.name()), params, None)?.0)?;
            }
        }
    }
    report.finish()
}
