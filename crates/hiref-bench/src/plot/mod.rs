//! Figures as SVG, from the JSON lines of the other commands.

mod curves;
mod map;

use clap::{Args, Subcommand};

/// Arguments of `plot`.
#[derive(Debug, Args)]
pub(crate) struct PlotArgs {
    #[command(subcommand)]
    figure: Figure,
}

#[derive(Debug, Subcommand)]
enum Figure {
    /// Time, cost and memory against n, and the excess cost after each sweep.
    Curves(curves::CurvesArgs),
    /// A map of points in the plane: where each solver sends every source point.
    Map(map::MapArgs),
}

/// Draws the figure.
pub(crate) fn run(args: &PlotArgs) -> anyhow::Result<()> {
    match &args.figure {
        Figure::Curves(args) => curves::run(args),
        Figure::Map(args) => map::run(args),
    }
}
