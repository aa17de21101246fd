//! How the settings of himacl are chosen, and what its parts are worth: experiments whose results are in `benchmarks/`.

mod ablation;
mod choose_alignment;
mod choose_training;
mod development;
mod few_anchors;
mod modality_gap;
mod monge;
mod plot;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How settings of himacl are chosen, and what its parts are worth.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
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
    /// Draws the figures of `few-anchors` from its lines.
    Plot(plot::FewAnchorsArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::ChooseAlignment(args) => choose_alignment::run(&args),
        Command::ChooseTraining(args) => choose_training::run(&args),
        Command::FewAnchors(args) => few_anchors::run(&args),
        Command::Ablation(args) => ablation::run(&args),
        Command::Monge(args) => monge::run(&args),
        Command::ModalityGap(args) => modality_gap::run(&args),
        Command::Plot(args) => plot::run(&args),
    }
}
