//! Whole-run benchmarks of the solver: how close to the optimum, how long, how much memory.

mod quality;
mod report;
mod scaling;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whole-run benchmarks of hiref-core.
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
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Quality(args) => quality::run(&args),
        Command::Scaling(args) => scaling::run(&args),
    }
}
