//! Panels of a map in the plane: source points, target points, and where each solver sends the sources.

use crate::sets::load_points;
use anyhow::{Context, ensure};
use candle_core::Tensor;
use clap::Args;
use himacl::data::read_npy_u32;
use himacl_cli::chart::{COLOURS, INK, SANS, fonts};
use hiref_core::{CostKind, Permutation, Problem, mean_cost};
use image::{ImageFormat, RgbImage};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::fs;
use std::io::Cursor;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Pixels of a panel's side, of its title, and of what the points are, below all.
const SIDE: u32 = 346;
const TITLE: u32 = 20;
const LEGEND: u32 = 34;
/// Pixels of the letters.
const TEXT: f64 = 12.0;

/// Arguments of `plot map`.
#[derive(Debug, Args)]
pub(crate) struct MapArgs {
    /// The source points, (n, 2), an .npy file.
    #[arg(long, value_name = "FILE")]
    x: PathBuf,
    /// The target points, (n, 2), an .npy file.
    #[arg(long, value_name = "FILE")]
    y: PathBuf,
    /// A panel: its title, and what a solver wrote, a pairing (n,) of uint32 or mapped points (n, 2). Once for each.
    #[arg(long = "panel", value_name = "TITLE=FILE", required = true)]
    panels: Vec<Panel>,
    /// The cost of the pairings, for the titles.
    #[arg(long, default_value = "sqeuclidean")]
    cost: CostKind,
    /// Draw at most about this many points of a side.
    #[arg(long, value_name = "N", default_value_t = 2048)]
    points: usize,
    /// Draw at most about this many displacements.
    #[arg(long, value_name = "N", default_value_t = 256)]
    displacements: usize,
    /// File for the figure: PNG if its name ends in .png, else SVG.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// A title and a file.
#[derive(Debug, Clone)]
struct Panel {
    title: String,
    file: PathBuf,
}

impl FromStr for Panel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (title, file) = text.split_once('=').ok_or("expected TITLE=FILE")?;
        Ok(Self { title: title.to_owned(), file: file.into() })
    }
}

type Points = Vec<[f64; 2]>;

/// Draws all panels.
pub(crate) fn run(args: &MapArgs) -> anyhow::Result<()> {
    let (x_tensor, y_tensor) = (load_points(&args.x)?, load_points(&args.y)?);
    let (x, y) = (plane(&x_tensor)?, plane(&y_tensor)?);
    let mut panels = Vec::new();
    for panel in &args.panels {
        let drawn = if let Ok(y_of_x) = read_npy_u32(&panel.file) {
            let permutation = Permutation::new(y_of_x, y.len())?;
            ensure!(permutation.num_x() == x.len(), "{} pairs other points", panel.file.display());
            let images: Points =
                permutation.y_of_x().iter().map(|&j| y.get(j as usize).map_or([f64::NAN; 2], |&y| y)).collect();
            let problem = Problem::new(&x_tensor, &y_tensor, args.cost)?;
            (format!("{}: cost {:.4}", panel.title, mean_cost(&problem, &permutation)), images)
        } else {
            let mapped = load_points(&panel.file).with_context(|| {
                format!("{} holds neither a pairing (n,) of uint32 nor points (n, 2)", panel.file.display())
            })?;
            (panel.title.clone(), plane(&mapped)?)
        };
        ensure!(drawn.1.len() == x.len(), "{} has {} rows, expected {}", panel.file.display(), drawn.1.len(), x.len());
        panels.push(drawn);
    }
    let most = Most { points: args.points, displacements: args.displacements };
    fs::write(&args.output, figure(&args.output, [&x, &y], &panels, most)?)
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    println!("{}", args.output.display());
    Ok(())
}

/// Points, `(n, 2)`, as pairs.
fn plane(points: &Tensor) -> anyhow::Result<Points> {
    let (_, d) = points.dims2()?;
    ensure!(d == 2, "a map is drawn in 2 dimensions, the points have {d}");
    let values: Vec<f32> = points.flatten_all()?.to_vec1()?;
    Ok(values.as_chunks::<2>().0.iter().map(|pair| pair.map(f64::from)).collect())
}

/// The figure as SVG, or as PNG where the file is to be one.
fn figure(path: &Path, [x, y]: [&Points; 2], panels: &[(String, Points)], most: Most) -> anyhow::Result<Vec<u8>> {
    fonts();
    let size = (SIDE * panels.len() as u32, SIDE + TITLE + LEGEND);
    if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("png")) {
        let mut pixels = vec![0u8; 3 * (size.0 * size.1) as usize];
        draw(&BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area(), [x, y], panels, most)?;
        let image = RgbImage::from_raw(size.0, size.1, pixels).context("too large")?;
        let mut file = Cursor::new(Vec::new());
        image.write_to(&mut file, ImageFormat::Png)?;
        return Ok(file.into_inner());
    }
    let mut text = String::new();
    draw(&SVGBackend::with_string(&mut text, size).into_drawing_area(), [x, y], panels, most)?;
    Ok(text.into_bytes())
}

/// The range of a coordinate of all points, both of one length, so that distances look as they are.
fn ranges(points: &[&Points]) -> [Range<f64>; 2] {
    let all = || points.iter().copied().flatten();
    let bounds =
        [0, 1].map(|k| all().fold((f64::MAX, f64::MIN), |(low, high), point| (low.min(point[k]), high.max(point[k]))));
    let longest = bounds.iter().map(|(low, high)| high - low).fold(f64::MIN_POSITIVE, f64::max);
    bounds.map(|(low, high)| {
        let (middle, half) = (f64::midpoint(low, high), 0.54 * longest);
        middle - half..middle + half
    })
}

/// What is drawn of the points: at most so many, and so many displacements.
#[derive(Clone, Copy)]
struct Most {
    points: usize,
    displacements: usize,
}

fn draw<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    [x, y]: [&Points; 2],
    panels: &[(String, Points)],
    most: Most,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    area.fill(&WHITE)?;
    let (upper, legend) = area.split_vertically(area.dim_in_pixel().1 - LEGEND);
    let [across, along] = ranges(&[x, y]);
    let every = |most: usize| x.len().div_ceil(most.max(1));
    for (panel, (title, images)) in upper.split_evenly((1, panels.len())).iter().zip(panels) {
        let chart = ChartBuilder::on(panel)
            .margin(8)
            .caption(title, (SANS, TEXT + 1.0).into_font().color(&INK))
            .build_cartesian_2d(across.clone(), along.clone())?;
        let inside = chart.plotting_area();
        let sent = |most: usize| {
            let pairs = x.iter().zip(images).step_by(every(most)).filter(|(_, image)| image[0].is_finite());
            pairs.map(|(x, image)| [*x, *image].map(|[a, b]| (a, b)))
        };
        for ends in sent(most.displacements) {
            inside.draw(&PathElement::new(ends.to_vec(), INK.mix(0.35)))?;
        }
        for (points, colour) in [(x, COLOURS[0]), (y, COLOURS[1])] {
            for point in points.iter().step_by(every(most.points)) {
                inside.draw(&Circle::new((point[0], point[1]), 2, colour.filled()))?;
            }
        }
        for [_, image] in sent(most.points) {
            inside.draw(&Circle::new(image, 1, INK.filled()))?;
        }
        inside.draw(&Rectangle::new([(across.start, along.start), (across.end, along.end)], INK))?;
    }
    let mut left = 16;
    for (colour, radius, name) in
        [(COLOURS[0], 3, "source points"), (COLOURS[1], 3, "target points"), (INK, 2, "images of the source points")]
    {
        legend.draw(&Circle::new((left, 16), radius, colour.filled()))?;
        legend.draw(&Text::new(name, (left + 10, 10), (SANS, TEXT).into_font().color(&INK)))?;
        left += 44 + (0.6 * TEXT * name.len() as f64) as i32;
    }
    area.present()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_has_points_images_and_displacements() {
        let x = vec![[0.0, 0.0], [1.0, 0.0]];
        let y = vec![[0.0, 1.0], [1.0, 1.0]];
        let panels = [("ours".to_owned(), y.clone()), ("theirs".to_owned(), vec![[0.5, 1.0]; 2])];
        let most = Most { points: 100, displacements: 100 };
        let file = |name: &str| figure(Path::new(name), [&x, &y], &panels, most).unwrap();
        let text = String::from_utf8(file("map.svg")).unwrap();
        // In each panel two displacements, two sources, two targets and two images; three dots in the legend.
        assert_eq!((text.matches("<polyline").count(), text.matches("<circle").count()), (4, 15));
        assert!(text.lines().any(|line| line.trim() == "theirs"));
        assert!(image::load_from_memory(&file("map.png")).unwrap().width() > SIDE);
    }
}
