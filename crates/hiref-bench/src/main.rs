//! Whole-run benchmarks of the solver: how close to the optimum, how long, how much memory; and how settings are chosen.

mod choose_alignment;
mod choose_training;
mod development;
mod quality;
mod report;
mod scaling;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whole-run benchmarks of hiref-core, and how settings of himacl are chosen.
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
    /// Chooses the settings of an alignment by hiding known pairs of development splits.
    ChooseAlignment(choose_alignment::ChooseAlignmentArgs),
    /// Chooses the settings of the training in the same way.
    ChooseTraining(choose_training::ChooseTrainingArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Quality(args) => quality::run(&args),
        Command::Scaling(args) => scaling::run(&args),
        Command::ChooseAlignment(args) => choose_alignment::run(&args),
        Command::ChooseTraining(args) => choose_training::run(&args),
    }
}
