//! Figures as SVG, from the JSON lines of the other commands.

mod axis;
mod chart;
mod curves;
mod few_anchors;
mod map;
mod svg;

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
    /// Retrieval against the number of known pairs, from the lines of `few-anchors`.
    FewAnchors(few_anchors::FewAnchorsArgs),
    /// A map of points in the plane: where each solver sends every source point.
    Map(map::MapArgs),
}

/// Draws the figure.
pub(crate) fn run(args: &PlotArgs) -> anyhow::Result<()> {
    match &args.figure {
        Figure::Curves(args) => curves::run(args),
        Figure::FewAnchors(args) => few_anchors::run(args),
        Figure::Map(args) => map::run(args),
    }
}
