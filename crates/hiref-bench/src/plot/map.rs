//! Panels of a map in the plane: source points, target points, and where each solver sends the sources.

use crate::sets::load_points;
use anyhow::{Context, ensure};
use candle_core::Tensor;
use clap::Args;
use himacl::data::read_npy_u32;
use himacl_cli::chart::{Anchor, COLOURS, INK, Stroke, Svg};
use hiref_core::{CostKind, Permutation, Problem, mean_cost};
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

const SIDE: f64 = 330.0;
const GAP: f64 = 16.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 40.0;
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
    /// File for the figure.
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
    fs::write(&args.output, draw(&x, &y, &panels, args.points, args.displacements))
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

fn draw(x: &Points, y: &Points, panels: &[(String, Points)], points: usize, displacements: usize) -> String {
    let width = GAP + (SIDE + GAP) * panels.len() as f64;
    let mut page = Svg::new(width, TOP + SIDE + BOTTOM);
    let all = || x.iter().chain(y);
    let bound = |k: usize, pick: fn(f64, f64) -> f64, start: f64| all().map(|point| point[k]).fold(start, pick);
    let low = [bound(0, f64::min, f64::MAX), bound(1, f64::min, f64::MAX)];
    let high = [bound(0, f64::max, f64::MIN), bound(1, f64::max, f64::MIN)];
    // One scale for both directions, the points in the middle of the panel.
    let extent = f64::max(high[0] - low[0], high[1] - low[1]).max(f64::MIN_POSITIVE);
    let scale = 0.92 * SIDE / extent;
    let every = |most: usize| x.len().div_ceil(most.max(1));
    for (at, (title, images)) in panels.iter().enumerate() {
        let left = GAP + (SIDE + GAP) * at as f64;
        let place = |point: &[f64; 2]| {
            let from_middle = |k: usize| scale * (point[k] - f64::midpoint(low[k], high[k]));
            (left + SIDE / 2.0 + from_middle(0), TOP + SIDE / 2.0 - from_middle(1))
        };
        let sent = |most: usize| {
            let pairs = x.iter().zip(images).step_by(every(most)).filter(|(_, image)| image[0].is_finite());
            pairs.map(|(x, image)| [place(x), place(image)]).collect::<Vec<_>>()
        };
        page.segments(&sent(displacements), Stroke { opacity: 0.35, ..Stroke::solid(INK, 0.6) });
        let dots = |points_of: &Points| points_of.iter().step_by(every(points)).map(place).collect::<Vec<_>>();
        page.dots(&dots(x), 1.5, COLOURS[0]);
        page.dots(&dots(y), 1.5, COLOURS[1]);
        page.dots(&sent(points).iter().map(|sent| sent[1]).collect::<Vec<_>>(), 0.8, INK);
        page.frame((left, TOP), (left + SIDE, TOP + SIDE), Stroke::solid(INK, 1.0));
        page.text((left, TOP - 12.0), TEXT + 1.0, Anchor::Start, title);
    }
    let mut legend_x = GAP + 6.0;
    for (colour, radius, name) in [
        (COLOURS[0], 3.0, "source points"),
        (COLOURS[1], 3.0, "target points"),
        (INK, 1.8, "images of the source points"),
    ] {
        page.dots(&[(legend_x, TOP + SIDE + 22.0)], radius, colour);
        page.text((legend_x + 9.0, TOP + SIDE + 26.0), TEXT, Anchor::Start, name);
        legend_x += 40.0 + 0.6 * TEXT * name.len() as f64;
    }
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_has_points_images_and_displacements() {
        let x = vec![[0.0, 0.0], [1.0, 0.0]];
        let y = vec![[0.0, 1.0], [1.0, 1.0]];
        let text =
            draw(&x, &y, &[("ours".to_owned(), y.clone()), ("theirs".to_owned(), vec![[0.5, 1.0]; 2])], 100, 100);
        // In each panel two displacements, two sources, two targets and two images; three dots in the legend.
        assert_eq!((text.matches('M').count(), text.matches("h0").count()), (19, 15));
        assert!(text.contains(">theirs</text>"));
    }
}
