//! Line charts and other figures as SVG.

mod axis;
mod line_chart;
mod svg;

pub use axis::Scale;
pub use line_chart::{Chart, Series};
pub use svg::{Anchor, COLOURS, GRID, INK, Stroke, Svg};
