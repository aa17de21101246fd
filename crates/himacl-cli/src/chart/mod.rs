//! Line charts as SVG, and what all figures share: the font, colours.

mod line_chart;

pub use line_chart::{Chart, Scale, Series};

use plotters::style::{FontStyle, RGBColor, register_font};
use std::sync::Once;

/// The name of the font of all figures.
pub const SANS: &str = "sans-serif";
/// Colours that stay apart for colour-blind readers (Okabe and Ito 2008).
pub const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
/// Of what is in the background.
pub const GREY: RGBColor = RGBColor(150, 150, 150);
/// Of letters and axes.
pub const INK: RGBColor = RGBColor(34, 34, 34);

/// Makes [`SANS`] known to plotters: pixels have no letters of their own.
pub fn fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let font = include_bytes!("../../vendor/dejavu/DejaVuSans-subset.ttf");
        // That it is a font is tested: the figures have letters.
        let _ = register_font(SANS, FontStyle::Normal, font);
    });
}
