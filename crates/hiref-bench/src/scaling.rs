//! Time and memory as the number of points grows.

use crate::report::{Case, QualityArg, Report, ReportArgs};
use anyhow::ensure;
use candle_core::{Device, Tensor};
use clap::{Args, ValueEnum};
use hiref_core::{CostKind, HirefParams};
use hiref_testkit::{Instance, problems};

/// The generated sets.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// A half moon and an S curve, two dimensions.
    HalfMoon,
    /// Two samples of one mixture of Gaussians.
    Mixture,
}

/// Arguments of `scaling`.
#[derive(Debug, Args)]
pub(crate) struct ScalingArgs {
    #[command(flatten)]
    report: ReportArgs,
    /// Which sets.
    #[arg(long, value_enum, default_value = "half-moon")]
    kind: Kind,
    /// Coordinates of the mixture.
    #[arg(long, short, default_value_t = 64)]
    dimension: usize,
    /// Smallest size, as a power of two.
    #[arg(long, default_value_t = 12)]
    from: u32,
    /// Largest size, as a power of two.
    #[arg(long, default_value_t = 20)]
    to: u32,
    /// The cost: sqeuclidean, euclidean, cosine or neg-dot.
    #[arg(long, default_value = "sqeuclidean")]
    cost: CostKind,
    /// Quality to run.
    #[arg(long, value_enum, default_value = "balanced")]
    quality: QualityArg,
    /// Seconds after which a solve stops improving.
    #[arg(long)]
    time_limit: Option<f64>,
}

/// Runs each size, smallest first, so that the peak memory of a row is its own.
pub(crate) fn run(args: &ScalingArgs) -> anyhow::Result<()> {
    ensure!(args.from <= args.to && args.to < 31, "expected --from <= --to < 31");
    let mut report = Report::create(&args.report)?;
    for power in args.from..=args.to {
        let n = 1 << power;
        let Instance { name, x, y, dimension, .. } = match args.kind {
            Kind::HalfMoon => problems::half_moon(n, 1),
            Kind::Mixture => problems::mixture(n, n, args.dimension, 1),
        };
        let name = name.split(',').next().unwrap_or_default();
        let x = Tensor::from_vec(x, (n, dimension), &Device::Cpu)?;
        let y = Tensor::from_vec(y, (n, dimension), &Device::Cpu)?;
        let case = Case { name, x: &x, y: &y, cost: args.cost, optimum: None };
        let params = HirefParams {
            quality: args.quality.into(),
            seed: args.report.seed,
            time_limit: args.time_limit,
            ..HirefParams::default()
        };
        report.add(case.run(params)?)?;
    }
    report.finish()
}
