//! One solve in a process of its own, under the contract that the peers keep (`scripts/peers/run.py`).

use crate::contender::{Coupling, Outcome};
use crate::report::QualityArg;
use crate::sets::load_points;
use clap::Args;
use himacl::data::write_npy_u32;
use himacl_cli::report::{peak_rss_bytes, rss_bytes};
use hiref_core::{CostKind, Problem};
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `solve`.
#[derive(Debug, Args)]
pub(crate) struct SolveArgs {
    /// The source points, an .npy file.
    #[arg(long, value_name = "FILE")]
    x: PathBuf,
    /// The target points, an .npy file.
    #[arg(long, value_name = "FILE")]
    y: PathBuf,
    /// The cost: sqeuclidean, euclidean, cosine or neg-dot.
    #[arg(long, default_value = "sqeuclidean")]
    cost: CostKind,
    /// How much work to spend.
    #[arg(long, value_enum, default_value = "balanced")]
    quality: QualityArg,
    /// Seed of the solver.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// File for the pairing: the y row of each x row, uint32.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// Solves, writes the pairing, and prints one JSON object. The time is that of the solve, from points in memory to a
/// pairing in memory, checks of the points included.
pub(crate) fn run(args: &SolveArgs) -> anyhow::Result<()> {
    let (x, y) = (load_points(&args.x)?, load_points(&args.y)?);
    let solver = args.quality.params(args.seed, x.dim(0)?.max(y.dim(0)?)).check()?;
    let start_rss_bytes = rss_bytes();
    let started = Instant::now();
    let problem = Problem::new(&x, &y, args.cost)?;
    let output = solver.solve(&problem, None, &())?;
    let seconds = started.elapsed().as_secs_f64();
    let outcome = Outcome {
        seconds,
        compile_seconds: 0.0,
        start_rss_bytes,
        peak_rss_bytes: peak_rss_bytes(),
        version: format!("hiref-core {}", env!("CARGO_PKG_VERSION")),
        options: serde_json::json!({
            "quality": args.quality.name(),
            "exact": output.exact,
            "sweeps": output.sweeps.len(),
            "termination": output.termination,
        }),
        note: String::new(),
        mean_cost: None,
        marginal_error: None,
        relative_gap: None,
    };
    write_npy_u32(&args.output, output.permutation.y_of_x())?;
    debug_assert_eq!(outcome.coupling(), Coupling::Bijection);
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}
