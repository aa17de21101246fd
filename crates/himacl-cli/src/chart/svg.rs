//! An SVG document: the few shapes that the figures need.

use std::fmt::Write as _;

/// Colours that stay apart for colour-blind readers (Okabe and Ito 2008).
pub const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
/// The colour of text and axes.
pub const INK: &str = "#222222";
/// The colour of grid lines.
pub const GRID: &str = "#dddddd";

/// Where a text is held.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    /// At its start.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Stroke {
    /// Its colour.
    pub colour: &'static str,
    /// Its width.
    pub width: f64,
    /// Whether it is dashed.
    pub dashed: bool,
    /// 1 hides what is below.
    pub opacity: f64,
}

impl Stroke {
    /// A line without gaps that hides what is below.
    pub fn solid(colour: &'static str, width: f64) -> Self {
        Self { colour, width, dashed: false, opacity: 1.0 }
    }

    fn attributes(self) -> String {
        let Self { colour, width, dashed, opacity } = self;
        let dash = if dashed { " stroke-dasharray=\"5 4\"" } else { "" };
        let opacity = if opacity < 1.0 { format!(" stroke-opacity=\"{opacity}\"") } else { String::new() };
        format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"{dash}{opacity}")
    }
}

/// A document under construction; y grows downwards.
#[derive(Debug)]
pub struct Svg {
    text: String,
}

impl Svg {
    /// An empty white page.
    pub fn new(width: f64, height: f64) -> Self {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
        );
        Self { text }
    }

    /// A straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke) {
        self.path(&[from, to], stroke);
    }

    /// Straight lines from point to point.
    pub fn path(&mut self, points: &[(f64, f64)], stroke: Stroke) {
        let mut places = String::new();
        for &(x, y) in points {
            let _ = write!(places, "{x:.1},{y:.1} ");
        }
        let _ = writeln!(self.text, "<polyline points=\"{}\" {}/>", places.trim_end(), stroke.attributes());
    }

    /// Many separate lines as one shape.
    pub fn segments(&mut self, segments: &[[(f64, f64); 2]], stroke: Stroke) {
        let mut path = String::new();
        for [(x, y), (to_x, to_y)] in segments {
            let _ = write!(path, "M{x:.1} {y:.1}L{to_x:.1} {to_y:.1}");
        }
        let _ = writeln!(self.text, "<path d=\"{path}\" {}/>", stroke.attributes());
    }

    /// A rectangle between two corners.
    pub fn frame(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke) {
        self.path(&[from, (to.0, from.1), to, (from.0, to.1), from], stroke);
    }

    /// Dots of one colour: lines of no length with round ends, which take few bytes each.
    pub fn dots(&mut self, centres: &[(f64, f64)], radius: f64, colour: &str) {
        let mut path = String::new();
        for (x, y) in centres {
            let _ = write!(path, "M{x:.1} {y:.1}h0");
        }
        let width = 2.0 * radius;
        let _ = writeln!(
            self.text,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linecap=\"round\"/>"
        );
    }

    /// Rings of one colour, white inside.
    pub fn rings(&mut self, centres: &[(f64, f64)], radius: f64, colour: &str) {
        let _ = writeln!(self.text, "<g fill=\"white\" stroke=\"{colour}\" stroke-width=\"1.4\">");
        for (x, y) in centres {
            let _ = writeln!(self.text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>");
        }
        self.text.push_str("</g>\n");
    }

    /// A text in one line.
    pub fn text(&mut self, at: (f64, f64), size: f64, anchor: Anchor, text: &str) {
        let (x, y) = at;
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        let _ = writeln!(
            self.text,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{INK}\">{text}</text>"
        );
    }

    /// A text that reads upwards, centred.
    pub fn upright_text(&mut self, at: (f64, f64), size: f64, text: &str) {
        let (x, y) = at;
        let text = escape(text);
        let _ = writeln!(
            self.text,
            "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" font-size=\"{size}\" text-anchor=\"middle\" \
             fill=\"{INK}\">{text}</text>"
        );
    }

    /// The whole document.
    pub fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_break_the_document() {
        let mut page = Svg::new(10.0, 10.0);
        page.text((1.0, 2.0), 9.0, Anchor::End, "n < 5 & m > 3");
        let text = page.finish();
        assert!(text.contains(">n &lt; 5 &amp; m &gt; 3</text>"), "{text}");
        assert!(text.ends_with("</svg>\n"));
    }
}
