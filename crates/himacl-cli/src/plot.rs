//! Pictures of points in the plane or in space, as SVG or PNG.

use crate::chart::{COLOURS, GREY, INK, SANS, fonts};
use crate::error::Error;
use image::{ImageFormat, RgbImage};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::io::Cursor;

/// How much wider than the points the picture is.
const MARGIN: f64 = 0.04;
/// The share of an arrow's length that its head takes, and the head's half width.
const HEAD: (f64, f64) = (0.28, 0.12);
/// From where space is looked at: turned about the upright axis, then tilted.
const VIEW: (f64, f64) = (0.6, 0.4);

/// A place in the plane, or in space.
pub(crate) type Place = [f64; 3];

/// What is drawn, from back to front: lines, arrows, points.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    /// Above the picture.
    pub(crate) title: String,
    /// What the axes are; those of space have no numbers.
    pub(crate) axes: [String; 2],
    /// Whether it is of space: looked at from above and aside.
    pub(crate) solid: bool,
    /// Between two places, in the colour of a group or in grey.
    pub(crate) lines: Vec<(Place, Place, Option<usize>)>,
    /// From one place to another.
    pub(crate) arrows: Vec<(Place, Place)>,
    /// Discs of x and rings of y, each in the colour of its group.
    pub(crate) points: [Vec<(Place, usize)>; 2],
}

impl Picture {
    /// The file of the picture, of `size` pixels a side.
    ///
    /// # Errors
    /// [`Error::Plot`].
    pub(crate) fn file(&self, size: u32, png: bool) -> Result<Vec<u8>, Error> {
        fonts();
        let wrong = |reason: String| Error::Plot(reason);
        if !png {
            let mut text = String::new();
            let area = SVGBackend::with_string(&mut text, (size, size)).into_drawing_area();
            self.draw(&area, size).map_err(wrong)?;
            drop(area);
            return Ok(text.into_bytes());
        }
        let mut pixels = vec![0u8; 3 * size as usize * size as usize];
        {
            let area = BitMapBackend::with_buffer(&mut pixels, (size, size)).into_drawing_area();
            self.draw(&area, size).map_err(wrong)?;
        }
        let image = RgbImage::from_raw(size, size, pixels).ok_or_else(|| wrong("too large".to_owned()))?;
        let mut file = Cursor::new(Vec::new());
        image.write_to(&mut file, ImageFormat::Png).map_err(|error| wrong(error.to_string()))?;
        Ok(file.into_inner())
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, size: u32) -> Result<(), String> {
        let said = |error: DrawingAreaErrorKind<B::ErrorType>| error.to_string();
        area.fill(&WHITE).map_err(said)?;
        let [x, y] = self.ranges();
        let letters = |share: f64| (SANS, (f64::from(size) / share).max(9.0)).into_font().color(&INK);
        let mut builder = ChartBuilder::on(area);
        builder.margin(size / 40).caption(&self.title, letters(42.0));
        if !self.solid {
            builder.x_label_area_size(size / 14).y_label_area_size(size / 10);
        }
        let mut chart = builder.build_cartesian_2d(x.0..x.1, y.0..y.1).map_err(said)?;
        if !self.solid {
            let digits = (1.0 - (x.1 - x.0).log10().floor()).clamp(0.0, 12.0) as usize;
            let number = |value: &f64| format!("{value:.digits$}");
            chart
                .configure_mesh()
                .disable_mesh()
                .axis_style(INK)
                .x_desc(&self.axes[0])
                .y_desc(&self.axes[1])
                .axis_desc_style(letters(50.0))
                .label_style(letters(55.0))
                .x_label_formatter(&number)
                .y_label_formatter(&number)
                .draw()
                .map_err(said)?;
        }
        let line = |from: &Place, to: &Place| vec![self.seen(from), self.seen(to)];
        let thin = |group: &Option<usize>| group.map_or(GREY, |group| COLOURS[group % COLOURS.len()]).mix(0.5);
        let lines = self.lines.iter().map(|(from, to, group)| PathElement::new(line(from, to), thin(group)));
        chart.draw_series(lines).map_err(said)?;
        let arrows = self.arrows.iter().map(|(from, to)| PathElement::new(self.arrow(from, to), COLOURS[0].mix(0.8)));
        chart.draw_series(arrows).map_err(said)?;
        self.legend(area, size, &letters(55.0)).map_err(said)?;
        let count = self.points.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let radius = (f64::from(size) / 6.0 / (count as f64).sqrt()).clamp(1.0, 5.0) as i32;
        for (side, points) in self.points.iter().enumerate() {
            // What is far away is drawn first.
            let mut order: Vec<&(Place, usize)> = points.iter().collect();
            order.sort_by(|a, b| self.depth(&b.0).total_cmp(&self.depth(&a.0)));
            let shape = |(place, group): &(Place, usize)| {
                let colour = COLOURS[group % COLOURS.len()];
                let style = if side == 0 { colour.filled() } else { colour.stroke_width(1) };
                Circle::new(self.seen(place), radius + side as i32, style)
            };
            chart.draw_series(order.into_iter().map(shape)).map_err(said)?;
        }
        area.present().map_err(said)
    }

    /// What discs and rings are, at the foot, where there are points.
    fn legend<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        size: u32,
        letters: &TextStyle<'_>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let (foot, step) = (size as i32 - size as i32 / 40, size as i32 / 12);
        for (side, name) in ["x", "y"].into_iter().enumerate().filter(|&(side, _)| !self.points[side].is_empty()) {
            let left = size as i32 / 40 + step * side as i32;
            let style = if side == 0 { INK.filled() } else { INK.stroke_width(1) };
            area.draw(&Circle::new((left, foot), 4, style))?;
            area.draw(&Text::new(name, (left + 9, foot - 6), letters.clone()))?;
        }
        Ok(())
    }

    /// Where a place is on the picture.
    fn seen(&self, place: &Place) -> (f64, f64) {
        if !self.solid {
            return (place[0], place[1]);
        }
        let (turn, tilt) = VIEW;
        let aside = place[0] * turn.cos() + place[1] * turn.sin();
        (aside, place[2] * tilt.cos() + self.depth_of_turned(place) * tilt.sin())
    }

    /// How far a place is from the eye.
    fn depth(&self, place: &Place) -> f64 {
        if self.solid { self.depth_of_turned(place) * VIEW.1.cos() - place[2] * VIEW.1.sin() } else { 0.0 }
    }

    fn depth_of_turned(&self, place: &Place) -> f64 {
        debug_assert!(self.solid, "a plane has no depth");
        place[1] * VIEW.0.cos() - place[0] * VIEW.0.sin()
    }

    /// A line with a head.
    fn arrow(&self, from: &Place, to: &Place) -> Vec<(f64, f64)> {
        let (from, to) = (self.seen(from), self.seen(to));
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let (back, wide) = HEAD;
        let end = |side: f64| (to.0 - back * dx - side * wide * dy, to.1 - back * dy + side * wide * dx);
        vec![from, to, end(1.0), to, end(-1.0)]
    }

    /// Least and largest of both coordinates of the picture, equally long, so that distances look as they are.
    fn ranges(&self) -> [(f64, f64); 2] {
        let lines = self.lines.iter().flat_map(|line| [&line.0, &line.1]);
        let arrows = self.arrows.iter().flat_map(|arrow| [&arrow.0, &arrow.1]);
        let points = self.points.iter().flatten().map(|point| &point.0);
        let mut bounds = [(f64::INFINITY, f64::NEG_INFINITY); 2];
        for (x, y) in lines.chain(arrows).chain(points).map(|place| self.seen(place)) {
            bounds[0] = (bounds[0].0.min(x), bounds[0].1.max(x));
            bounds[1] = (bounds[1].0.min(y), bounds[1].1.max(y));
        }
        let longest = bounds.iter().map(|(least, most)| most - least).fold(1e-12, f64::max);
        bounds.map(|(least, most)| {
            let (middle, half) = (f64::midpoint(least, most), (0.5 + MARGIN) * longest);
            (middle - half, middle + half)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(solid: bool) -> Picture {
        let at = |k: f64| [k, k * k, 1.0 - k];
        Picture {
            title: "Pairs of x < y".to_owned(),
            axes: ["first".to_owned(), "second".to_owned()],
            solid,
            lines: vec![(at(0.0), at(1.0), None), (at(0.5), at(2.0), Some(3))],
            arrows: vec![(at(0.1), at(0.9))],
            points: [vec![(at(0.0), 0), (at(0.5), 3)], vec![(at(1.0), 1)]],
        }
    }

    #[test]
    fn a_picture_has_every_part() {
        for solid in [false, true] {
            let svg = String::from_utf8(picture(solid).file(400, false).unwrap()).unwrap();
            // With two of the legend.
            assert_eq!(svg.matches("<circle").count(), 5, "{svg}");
            assert!(svg.matches("<polyline").count() >= 3 && svg.contains("#CC79A7"), "{svg}");
            let says = |text: &str| svg.lines().any(|line| line.trim() == text);
            assert!(says("Pairs of x &lt; y"), "{svg}");
            assert!(says("first") != solid && says("1.0") != solid, "axes of the plane alone: {svg}");
            let png = image::load_from_memory(&picture(solid).file(200, true).unwrap()).unwrap().to_rgb8();
            let is_ink = |x: u32, y: u32| png.get_pixel(x, y).0.iter().all(|&value| value < 130);
            let letters = (0..200).flat_map(|x| (0..16).map(move |y| (x, y))).filter(|&(x, y)| is_ink(x, y)).count();
            assert!(letters > 20, "the title has letters: {letters} pixels");
            assert_eq!(png.dimensions(), (200, 200));
            for colour in [COLOURS[0], COLOURS[1]] {
                let there = png.pixels().any(|pixel| pixel.0 == [colour.0, colour.1, colour.2]);
                assert!(there, "no pixel of {colour:?}");
            }
        }
    }

    #[test]
    fn both_axes_have_one_scale() {
        let [x, y] = picture(false).ranges();
        assert!(((x.1 - x.0) - (y.1 - y.0)).abs() < 1e-12);
    }
}
