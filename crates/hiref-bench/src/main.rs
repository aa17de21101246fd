//! Whole-run benchmarks of the solver: how close to the optimum, how long, how much memory, beside which peers; and how the
//! settings of the alignment are chosen.

mod ablation;
mod choose_alignment;
mod choose_training;
mod compare;
mod contender;
mod development;
mod encoders;
mod few_anchors;
#[cfg(feature = "cuda")]
mod kernels;
mod modality_gap;
mod monge;
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
    /// Retrieval against the number of known pairs: the loop beside ridge, Procrustes and CCA on these pairs alone.
    FewAnchors(few_anchors::FewAnchorsArgs),
    /// Which training pairs, objectives and recomputed couplings help: held-out retrieval of maps trained on the emoji set.
    Ablation(ablation::AblationArgs),
    /// How far trained maps are from a known optimal transport map.
    Monge(monge::MongeArgs),
    /// Pairs two noisy towers with a gap between them by several rules.
    ModalityGap(modality_gap::ModalityGapArgs),
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
        Command::ChooseAlignment(args) => choose_alignment::run(&args),
        Command::ChooseTraining(args) => choose_training::run(&args),
        Command::FewAnchors(args) => few_anchors::run(&args),
        Command::Ablation(args) => ablation::run(&args),
        Command::Monge(args) => monge::run(&args),
        Command::ModalityGap(args) => modality_gap::run(&args),
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
