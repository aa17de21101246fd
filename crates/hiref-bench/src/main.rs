//! Whole-run benchmarks of the solver: how close to the optimum, how long, how much memory, beside which peers.

mod compare;
mod contender;
mod encoders;
#[cfg(feature = "cuda")]
mod kernels;
mod plot;
mod quality;
mod report;
mod scaling;
mod sets;
mod solve;
mod training;
mod warm_start;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whole-run benchmarks of hiref-core, and of the training and the encoders of himacl.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Pairs every stored set whose optimum is known, at every quality.
    Quality(quality::QualityArgs),
    /// Pairs generated sets of growing size.
    Scaling(scaling::ScalingArgs),
    /// Sets our solver and others side by side.
    Compare(compare::CompareArgs),
    /// Solves, perturbs the points, and solves again cold and warm.
    WarmStart(warm_start::WarmStartArgs),
    /// Draws figures from the results of other commands.
    Plot(plot::PlotArgs),
    /// Solves one pair of files and prints what it took, as one JSON object.
    Solve(solve::SolveArgs),
    /// Writes generated sets to files.
    Generate(sets::GenerateArgs),
    /// Times the steps of training on random pairs.
    Training(training::TrainingArgs),
    /// Times an encoder over fixed batches.
    Encoders(encoders::EncodersArgs),
    /// Measures the CUDA kernels against what the device can do.
    #[cfg(feature = "cuda")]
    Kernels(kernels::KernelsArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Quality(args) => quality::run(&args),
        Command::Scaling(args) => scaling::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::WarmStart(args) => warm_start::run(&args),
        Command::Plot(args) => plot::run(&args),
        Command::Solve(args) => solve::run(&args),
        Command::Generate(args) => sets::generate(&args),
        Command::Training(args) => training::run(&args),
        Command::Encoders(args) => encoders::run(&args),
        #[cfg(feature = "cuda")]
        Command::Kernels(args) => kernels::run(&args),
    }
}
