//! Distance from the optimum on stored sets.

use crate::report::{Case, QualityArg, Report, ReportArgs};
use anyhow::Context;
use candle_core::{Device, Tensor};
use clap::Args;
use himacl::data::Embeddings;
use hiref_core::{CostKind, HirefParams};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// Arguments of `quality`.
#[derive(Debug, Args)]
pub(crate) struct QualityArgs {
    #[command(flatten)]
    report: ReportArgs,
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
        let read = |side: &str| -> anyhow::Result<Tensor> {
            Ok(Embeddings::open(&args.fixtures.join(format!("{name}_{side}.npy")), None)?.to_tensor(&Device::Cpu)?)
        };
        let (x, y) = (read("x")?, read("y")?);
        for cost in CostKind::ALL {
            let Some(optimum) = facts[cost.name()].as_f64() else { continue };
            let case = Case { name, x: &x, y: &y, cost, optimum: Some(optimum) };
            for &quality in &args.qualities {
                let params = HirefParams { quality: quality.into(), seed: args.report.seed, ..HirefParams::default() };
                report.add(case.run(params)?)?;
            }
        }
    }
    report.finish()
}
