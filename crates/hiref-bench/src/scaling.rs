//! Time, memory and cost as the number of points grows.

use crate::report::{Case, QualityArg, Report, ReportArgs};
use crate::sets::{Kind, known_optimum};
use anyhow::ensure;
use candle_core::{Device, Tensor};
use clap::Args;
use hiref_core::{CostKind, HirefParams};

/// Arguments of `scaling`.
#[derive(Debug, Args)]
pub(crate) struct ScalingArgs {
    #[command(flatten)]
    report: ReportArgs,
    /// Bound the distance from the optimum as well; the total then includes it.
    #[arg(long)]
    certify: bool,
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
    /// These sizes instead of the powers of two.
    #[arg(long, value_name = "N", value_delimiter = ',', conflicts_with_all = ["from", "to"])]
    sizes: Vec<usize>,
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
    let mut sizes = args.sizes.clone();
    if sizes.is_empty() {
        ensure!(args.from <= args.to && args.to < 31, "expected --from <= --to < 31");
        sizes = (args.from..=args.to).map(|power| 1 << power).collect();
    }
    sizes.sort_unstable();
    let mut report = Report::create(&args.report)?;
    for n in sizes {
        ensure!(n > 0, "expected sizes of at least 1");
        let instance = args.kind.generate(n, args.dimension, 1);
        let optimum = known_optimum(&instance, args.cost);
        let dimension = instance.dimension;
        let x = Tensor::from_vec(instance.x, (n, dimension), &Device::Cpu)?;
        let y = Tensor::from_vec(instance.y, (n, dimension), &Device::Cpu)?;
        let case = Case { set: &args.kind.name(), x: &x, y: &y, cost: args.cost, optimum };
        let params = HirefParams {
            time_limit: args.time_limit,
            certify: args.certify,
            ..args.quality.params(args.report.seed, n)
        };
        report.add(case.run(format!("hiref {}", args.quality.name()), params, None)?.0)?;
    }
    report.finish()
}
