//! A line chart with a legend.

use super::{COLOURS, GREY, INK, SANS, fonts};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use std::ops::Range;

/// Pixels of the picture without the legend, and of a line and a character of that.
const SIZE: (u32, u32) = (560, 390);
const LEGEND_LINE: i32 = 20;
const LEGEND_CHARACTER: f64 = 7.2;
/// Pixels of the letters.
const TEXT: f64 = 14.0;
const GRID: RGBColor = RGBColor(221, 221, 221);
/// Points of a line beyond which its marks are small.
const MANY: usize = 40;

/// How values spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithms; they must be positive.
    Log,
}

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

/// An axis.
#[derive(Clone)]
struct Axis {
    scale: Scale,
    /// Both ends, of a logarithmic one their decimal logarithms.
    low: f64,
    high: f64,
}

impl Axis {
    /// An axis that holds all values with some room at both ends; on a logarithmic one half a decade at least.
    fn around(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let drawn = values.map(|value| if scale == Scale::Log { value.log10() } else { value });
        let (low, high) = drawn.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let least = match scale {
            Scale::Log => 0.5,
            Scale::Linear if high > low => 0.0,
            Scale::Linear => high.abs().max(1.0),
        };
        let room = (0.05 * (high - low)).max(0.5 * (least - (high - low)));
        Self { scale, low: low - room, high: high + room }
    }

    /// Where a value lies, 0 at the low end and 1 at the high one.
    fn place(&self, value: f64) -> f64 {
        let drawn = if self.scale == Scale::Log { value.log10() } else { value };
        (drawn - self.low) / (self.high - self.low)
    }

    /// The marks of a logarithmic axis: powers of ten, and what is round between them where there are few.
    fn powers(&self) -> Vec<f64> {
        let length = self.high - self.low;
        let digits: &[u8] = match length {
            ..1.2 => &[1, 2, 3, 5],
            ..2.6 => &[1, 2, 5],
            _ => &[1],
        };
        let every = (length / 8.0).ceil().max(1.0) as i32;
        let decades =
            (self.low.floor() as i32..=self.high.ceil() as i32).filter(|decade| decade.rem_euclid(every) == 0);
        let marks = decades.flat_map(|decade| digits.iter().map(move |&digit| f64::from(digit) * 10f64.powi(decade)));
        marks.filter(|&mark| (0.0..=1.0).contains(&self.place(mark))).collect()
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (self.place(*value) * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match self.scale {
            Scale::Linear => RangedCoordf64::from(self.range()).key_points(hint),
            Scale::Log => self.powers(),
        }
    }

    fn range(&self) -> Range<f64> {
        match self.scale {
            Scale::Linear => self.low..self.high,
            Scale::Log => 10f64.powf(self.low)..10f64.powf(self.high),
        }
    }
}

impl ValueFormatter<f64> for Axis {
    /// In few characters: 0.05, 20, 1k, 2M, 1e-7.
    fn format_ext(&self, &mark: &f64) -> String {
        if self.scale == Scale::Linear {
            let digits = (1.0 - (self.high - self.low).log10().floor()).max(0.0) as usize;
            return format!("{mark:.digits$}");
        }
        match mark {
            1e9.. => format!("{mark:e}"),
            1e6.. => format!("{}M", (mark / 1e6).round()),
            1e3.. => format!("{}k", (mark / 1e3).round()),
            1e-4.. => format!("{}", (mark * 1e6).round() / 1e6),
            _ => format!("{mark:.0e}"),
        }
    }
}

impl Chart {
    /// The document.
    ///
    /// # Panics
    /// Never: it is written into memory, in letters that come with it.
    #[must_use]
    pub fn draw(&self) -> String {
        fonts();
        let longest = self.series.iter().map(|series| series.name.chars().count()).max().unwrap_or(0);
        let legend = 52 + (LEGEND_CHARACTER * longest as f64) as u32;
        let height = SIZE.1.max(80 + LEGEND_LINE as u32 * self.series.len() as u32);
        let mut text = String::new();
        self.draw_on(&mut text, (SIZE.0 + legend, height)).expect("nothing can fail");
        text
    }

    fn draw_on(&self, text: &mut String, size: (u32, u32)) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
        let area = SVGBackend::with_string(text, size).into_drawing_area();
        area.fill(&WHITE)?;
        let (left, right) = area.split_horizontally(SIZE.0);
        let drawn = || self.series.iter().filter(|series| !series.reference).flat_map(|series| &series.points);
        let x = Axis::around(self.x_scale, drawn().map(|point| point.0));
        let y = Axis::around(self.y_scale, drawn().map(|point| point.1));
        let mut chart = ChartBuilder::on(&left)
            .margin(10)
            .caption(&self.title, (SANS, TEXT + 3.0).into_font().color(&INK))
            .x_label_area_size(46)
            .y_label_area_size(68)
            .build_cartesian_2d(x, y.clone())?;
        chart
            .configure_mesh()
            .max_light_lines(0)
            .bold_line_style(GRID)
            .axis_style(INK)
            .x_desc(&self.x_label)
            .y_desc(&self.y_label)
            .axis_desc_style((SANS, TEXT).into_font().color(&INK))
            .label_style((SANS, TEXT).into_font().color(&INK))
            .draw()?;
        let mut coloured = 0;
        for (at, series) in self.series.iter().enumerate() {
            let middle = 50 + LEGEND_LINE * at as i32;
            let sample = vec![(0, middle), (26, middle)];
            if series.reference {
                // It ends at the frame.
                let is_inside = |point: &&(f64, f64)| (0.0..=1.0).contains(&y.place(point.1));
                let inside: Vec<_> = series.points.iter().filter(is_inside).copied().collect();
                chart.draw_series([DashedPathElement::new(inside, 6, 4, GREY.stroke_width(1))])?;
                right.draw(&DashedPathElement::new(sample, 6, 4, GREY.stroke_width(1)))?;
            } else {
                let colour = COLOURS[coloured % COLOURS.len()];
                // The colours come a second time with rings for dots.
                let mark: ShapeStyle =
                    if (coloured / COLOURS.len()).is_multiple_of(2) { colour.filled() } else { colour.stroke_width(1) };
                let radius = if series.points.len() > MANY { 1 } else { 3 };
                chart.draw_series([PathElement::new(series.points.clone(), colour.stroke_width(2))])?;
                chart.draw_series(series.points.iter().map(|&place| Circle::new(place, radius, mark)))?;
                right.draw(&PathElement::new(sample, colour.stroke_width(2)))?;
                right.draw(&Circle::new((13, middle), radius, mark))?;
                coloured += 1;
            }
            right.draw(&Text::new(series.name.clone(), (34, middle - 6), (SANS, TEXT).into_font().color(&INK)))?;
        }
        area.present()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_names_everything() {
        let series =
            |name: &str, reference| Series { name: name.to_owned(), points: vec![(1e3, 1.0), (1e6, 2e3)], reference };
        let chart = Chart {
            title: "Time of n < 5 & m".to_owned(),
            x_label: "points".to_owned(),
            y_label: "seconds".to_owned(),
            x_scale: Scale::Log,
            y_scale: Scale::Log,
            series: vec![series("hiref", false), series("n log n", true)],
        };
        let text = chart.draw();
        for name in ["Time of n &lt; 5 &amp; m", "points", "seconds", "hiref", "n log n", "100k", "1k"] {
            assert!(text.lines().any(|line| line.trim() == name), "{name}: {text}");
        }
        assert!(text.trim_end().ends_with("</svg>") && text.matches("<circle").count() == 3);
    }

    #[test]
    fn marks_are_round() {
        let labels = |scale, values: &[f64]| {
            let axis = Axis::around(scale, values.iter().copied());
            axis.key_points(9).into_iter().map(|mark| axis.format_ext(&mark)).collect::<Vec<_>>()
        };
        assert_eq!(labels(Scale::Log, &[16384.0, 1_048_576.0]), ["20k", "50k", "100k", "200k", "500k", "1M"]);
        assert_eq!(labels(Scale::Log, &[2e-7, 0.3]), ["1e-7", "1e-6", "1e-5", "0.0001", "0.001", "0.01", "0.1"]);
        assert_eq!(labels(Scale::Linear, &[5.20, 5.31]), ["5.20", "5.22", "5.24", "5.26", "5.28", "5.30"]);
        for scale in [Scale::Linear, Scale::Log] {
            assert!(!labels(scale, &[3.0]).is_empty() && !labels(scale, &[]).is_empty());
        }
    }
}
