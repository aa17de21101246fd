//! A line chart with a legend.

use super::axis::{Axis, Scale};
use super::svg::{Anchor, COLOURS, GRID, INK, Stroke, Svg};

const TEXT: f64 = 12.0;
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 76.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 54.0;
const LEGEND_LINE: f64 = 20.0;

/// One line.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// In the order of x.
    pub points: Vec<(f64, f64)>,
    /// A reference: dashed, without markers, not part of the range.
    pub reference: bool,
}

/// What is drawn.
#[derive(Debug)]
pub struct Chart {
    /// Above the frame.
    pub title: String,
    /// Below the frame.
    pub x_label: String,
    /// Beside the frame.
    pub y_label: String,
    /// Of the horizontal axis.
    pub x_scale: Scale,
    /// Of the vertical axis.
    pub y_scale: Scale,
    /// The lines.
    pub series: Vec<Series>,
}

impl Chart {
    /// The document.
    #[must_use]
    pub fn draw(&self) -> String {
        let drawn = || self.series.iter().filter(|series| !series.reference).flat_map(|series| &series.points);
        let x_axis = Axis::around(self.x_scale, drawn().map(|point| point.0));
        let y_axis = Axis::around(self.y_scale, drawn().map(|point| point.1));
        let longest = self.series.iter().map(|series| series.name.chars().count()).max().unwrap_or(0);
        let legend_width = 56.0 + 0.62 * TEXT * longest as f64;
        let legend_height = LEGEND_LINE * self.series.len() as f64;
        let height = f64::max(HEIGHT, legend_height);
        let mut page = Svg::new(LEFT + WIDTH + legend_width, TOP + height + BOTTOM);
        let place = |(x, y): (f64, f64)| (LEFT + WIDTH * x_axis.place(x), TOP + height * (1.0 - y_axis.place(y)));
        let (x_ends, y_ends) = (x_axis.ends(), y_axis.ends());

        for tick in x_axis.ticks() {
            let (bottom, top) = (place((tick.at, y_ends.0)), place((tick.at, y_ends.1)));
            let width = if tick.label.is_some() { 1.0 } else { 0.4 };
            page.line(bottom, top, Stroke::solid(GRID, width));
            if let Some(label) = tick.label {
                page.text((bottom.0, bottom.1 + 17.0), TEXT, Anchor::Middle, &label);
            }
        }
        for tick in y_axis.ticks() {
            let (left, right) = (place((x_ends.0, tick.at)), place((x_ends.1, tick.at)));
            let width = if tick.label.is_some() { 1.0 } else { 0.4 };
            page.line(left, right, Stroke::solid(GRID, width));
            if let Some(label) = tick.label {
                page.text((left.0 - 7.0, left.1 + 4.0), TEXT, Anchor::End, &label);
            }
        }
        page.frame((LEFT, TOP), (LEFT + WIDTH, TOP + height), Stroke::solid(INK, 1.0));
        page.text((LEFT, TOP - 14.0), TEXT + 2.0, Anchor::Start, &self.title);
        page.text((LEFT + WIDTH / 2.0, TOP + height + 42.0), TEXT, Anchor::Middle, &self.x_label);
        page.upright_text((18.0, TOP + height / 2.0), TEXT, &self.y_label);

        let mut drawn = 0;
        for (at, series) in self.series.iter().enumerate() {
            let places: Vec<(f64, f64)> = series.points.iter().map(|&point| place(point)).collect();
            let legend_y = TOP + LEGEND_LINE * (0.5 + at as f64);
            let legend = [(LEFT + WIDTH + 12.0, legend_y), (LEFT + WIDTH + 38.0, legend_y)];
            if series.reference {
                let stroke = Stroke { dashed: true, ..Stroke::solid("#888888", 1.4) };
                page.path(&clipped(&places, TOP, TOP + height), stroke);
                page.path(&legend, stroke);
            } else {
                let colour = COLOURS[drawn % COLOURS.len()];
                // The colours come a second time with rings for dots.
                let mark = if (drawn / COLOURS.len()).is_multiple_of(2) { Svg::dots } else { Svg::rings };
                let radius = if places.len() > 40 { 1.6 } else { 3.0 };
                page.path(&places, Stroke::solid(colour, 1.8));
                page.path(&legend, Stroke::solid(colour, 1.8));
                mark(&mut page, &places, radius, colour);
                mark(&mut page, &[(LEFT + WIDTH + 25.0, legend_y)], radius, colour);
                drawn += 1;
            }
            page.text((LEFT + WIDTH + 45.0, legend_y + 4.0), TEXT, Anchor::Start, &series.name);
        }
        page.finish()
    }
}

/// The part of a line between two heights; the line is monotone in y.
fn clipped(places: &[(f64, f64)], top: f64, bottom: f64) -> Vec<(f64, f64)> {
    let mut inside = Vec::new();
    for pair in places.windows(2) {
        let ((x, y), (to_x, to_y)) = (pair[0], pair[1]);
        let at = |limit: f64| x + (to_x - x) * (limit - y) / (to_y - y);
        let cut = |(x, y): (f64, f64)| {
            if y < top {
                (at(top), top)
            } else if y > bottom {
                (at(bottom), bottom)
            } else {
                (x, y)
            }
        };
        if y.max(to_y) >= top && y.min(to_y) <= bottom {
            inside.extend([cut((x, y)), cut((to_x, to_y))]);
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_names_everything() {
        let series =
            |name: &str, reference| Series { name: name.to_owned(), points: vec![(1e3, 1.0), (1e6, 2e3)], reference };
        let chart = Chart {
            title: "Time".to_owned(),
            x_label: "points".to_owned(),
            y_label: "seconds".to_owned(),
            x_scale: Scale::Log,
            y_scale: Scale::Log,
            series: vec![series("hiref", false), series("n log n", true)],
        };
        let text = chart.draw();
        for name in ["Time", "points", "seconds", "hiref", "n log n", "100k"] {
            assert!(text.contains(&format!(">{name}</text>")), "{name}");
        }
        assert_eq!(text.matches("stroke-dasharray").count(), 2);
    }

    #[test]
    fn a_reference_ends_at_the_frame() {
        let line = [(0.0, 300.0), (100.0, 0.0), (200.0, -100.0)];
        assert_eq!(clipped(&line, 30.0, 270.0), [(10.0, 270.0), (90.0, 30.0)]);
    }
}
