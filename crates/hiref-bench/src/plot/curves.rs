//! Charts from the JSON lines of `scaling`, `quality` and `compare`.

use crate::compare::median;
use anyhow::{Context, ensure};
use clap::Args;
use himacl_cli::chart::{Chart, Scale, Series};
use serde::Deserialize;
use std::fs;
use std::path::PathBuf;

/// Arguments of `plot curves`.
#[derive(Debug, Args)]
pub(crate) struct CurvesArgs {
    /// JSON lines of `scaling`, `quality` or `compare`.
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// Folder for time.svg, cost.svg, memory.svg and sweeps.svg; those without data are left out.
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// What the titles begin with.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
}

/// What the charts need of a line.
#[derive(Debug, Clone, Deserialize)]
struct Line {
    set: String,
    n: usize,
    d: usize,
    cost: String,
    solver: String,
    seconds: Option<f64>,
    mean_cost: Option<f64>,
    optimum: Option<f64>,
    peak_rss_bytes: Option<u64>,
    #[serde(default)]
    sweeps: Vec<Sweep>,
}

#[derive(Debug, Clone, Deserialize)]
struct Sweep {
    sweep: usize,
    mean_cost: f64,
}

impl Line {
    /// The name of the set without its size.
    fn kind(&self) -> String {
        let name = self.set.split(' ').next().unwrap_or_default();
        name.replace(&format!("_{}", self.n), "")
    }

    /// What a series shares besides its solver.
    fn family(&self) -> String {
        format!("{} d={}, {}", self.kind(), self.d, self.cost)
    }
}

/// Draws what there are data for.
pub(crate) fn run(args: &CurvesArgs) -> anyhow::Result<()> {
    let mut lines: Vec<Line> = Vec::new();
    for input in &args.inputs {
        let text = fs::read_to_string(input).with_context(|| format!("cannot read {}", input.display()))?;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let at = || format!("{}, line {}", input.display(), number + 1);
            lines.push(serde_json::from_str(line).with_context(at)?);
        }
    }
    ensure!(!lines.is_empty(), "the input has no lines");
    fs::create_dir_all(&args.output).with_context(|| format!("cannot make {}", args.output.display()))?;
    let title = args.title.clone().unwrap_or_else(|| common_family(&lines).unwrap_or_default());
    for (file, chart) in charts(&lines, &title) {
        let path = args.output.join(file);
        fs::write(&path, chart.draw()).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

fn charts(lines: &[Line], title: &str) -> Vec<(&'static str, Chart)> {
    let titled = |what: &str| if title.is_empty() { what.to_owned() } else { format!("{title}: {what}") };
    let against_n = |what: &str, y_label: &str, y_scale, series| Chart {
        title: titled(what),
        x_label: "points a side, n".to_owned(),
        y_label: y_label.to_owned(),
        x_scale: Scale::Log,
        y_scale,
        series,
    };
    let mut time = series_of(lines, |line| line.seconds);
    time.extend(n_log_n(&time));
    let cost = series_of(lines, |line| line.mean_cost);
    let memory = series_of(lines, |line| line.peak_rss_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20)));
    let (sweeps, reference) = sweep_series(lines);
    let all = [
        ("time.svg", against_n("time", "seconds", Scale::Log, time)),
        ("cost.svg", against_n("cost", "mean cost", scale_for(&cost), cost)),
        ("memory.svg", against_n("peak memory", "MiB", Scale::Log, memory)),
        (
            "sweeps.svg",
            Chart {
                title: titled("polish"),
                x_label: "sweep".to_owned(),
                y_label: format!("mean cost above {reference}, %"),
                x_scale: Scale::Linear,
                y_scale: Scale::Log,
                series: sweeps,
            },
        ),
    ];
    let drawable = |(_, chart): &(&str, Chart)| {
        let own = || chart.series.iter().filter(|series| !series.reference);
        // Lines against n need more than one n.
        own().any(|series| series.points.len() > 1)
    };
    all.into_iter().filter(drawable).collect()
}

/// The family that all lines share, if they do.
fn common_family(lines: &[Line]) -> Option<String> {
    let family = lines[0].family();
    lines.iter().all(|line| line.family() == family).then_some(family)
}

/// One series a solver and family: positive medians over rounds, by n.
fn series_of(lines: &[Line], value: fn(&Line) -> Option<f64>) -> Vec<Series> {
    let common = common_family(lines).is_some();
    let name = |line: &Line| if common { line.solver.clone() } else { format!("{}, {}", line.solver, line.family()) };
    let mut names: Vec<String> = Vec::new();
    for line in lines {
        if !names.contains(&name(line)) {
            names.push(name(line));
        }
    }
    let one = |of: String| {
        let own: Vec<&Line> = lines.iter().filter(|line| name(line) == of).collect();
        let mut sizes: Vec<usize> = own.iter().map(|line| line.n).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let at = |n: usize| median(own.iter().filter(|line| line.n == n).filter_map(|line| value(line)));
        let points = sizes.into_iter().filter_map(|n| Some((n as f64, at(n).filter(|&v| v > 0.0)?))).collect();
        Series { name: of, points, reference: false }
    };
    names.into_iter().map(one).filter(|series| !series.points.is_empty()).collect()
}

/// The curve c n log n through the last point of the first series.
fn n_log_n(series: &[Series]) -> Option<Series> {
    let points = &series.first()?.points;
    let (first, &(n, seconds)) = (points.first()?.0, points.last()?);
    let factor = seconds / (n * n.ln());
    let steps = 32;
    let at = |step: i32| (first.max(2.0) * (n / first.max(2.0)).powf(f64::from(step) / f64::from(steps))).max(2.0);
    let points = (0..=steps).map(|step| (at(step), factor * at(step) * at(step).ln())).collect();
    Some(Series { name: "n log n".to_owned(), points, reference: true })
}

/// A logarithmic scale where the values span more than a factor of three.
fn scale_for(series: &[Series]) -> Scale {
    let values = || series.iter().flat_map(|series| &series.points).map(|point| point.1);
    let (low, high) = values().fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    if high > 3.0 * low { Scale::Log } else { Scale::Linear }
}

/// The excess after each sweep in percent, one series a line, and what it is an excess over.
fn sweep_series(lines: &[Line]) -> (Vec<Series>, &'static str) {
    let polished: Vec<&Line> = lines.iter().filter(|line| !line.sweeps.is_empty()).collect();
    let known = polished.iter().all(|line| line.optimum.is_some());
    let one = |line: &&Line| {
        let last = line.sweeps.last().map(|sweep| sweep.mean_cost);
        let reference = if known { line.optimum } else { last }?;
        let excess = |sweep: &Sweep| 100.0 * (sweep.mean_cost - reference) / reference.abs();
        let points = line.sweeps.iter().map(|sweep| (sweep.sweep as f64, excess(sweep)));
        // What is left below this share is rounding.
        let points: Vec<(f64, f64)> = points.filter(|&(_, excess)| excess > 1e-7).collect();
        let family = if common_family(lines).is_some() { String::new() } else { format!(", {}", line.family()) };
        let name = format!("{}, n = {}{family}", line.solver, line.n);
        (!points.is_empty()).then_some(Series { name, points, reference: false })
    };
    (polished.iter().filter_map(one).collect(), if known { "the optimum" } else { "that of the last sweep" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(solver: &str, n: usize, seconds: f64) -> Line {
        let text = format!(
            r#"{{"set": "half-moon {n} d=2", "n": {n}, "d": 2, "cost": "euclidean", "solver": "{solver}",
                "seconds": {seconds}, "mean_cost": 2.0, "optimum": null, "peak_rss_bytes": null,
                "sweeps": [{{"sweep": 1, "mean_cost": 2.02}}, {{"sweep": 2, "mean_cost": 2.0}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn rounds_become_one_point_and_solvers_lines() {
        let lines = [line("a", 100, 1.0), line("a", 100, 3.0), line("b", 100, 9.0), line("a", 10, 0.5)];
        let series = series_of(&lines, |line| line.seconds);
        assert_eq!(series.iter().map(|series| series.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(series[0].points, [(10.0, 0.5), (100.0, 2.0)]);
        assert_eq!(common_family(&lines), Some("half-moon d=2, euclidean".to_owned()));
    }

    #[test]
    fn charts_without_data_are_left_out() {
        let files = |lines: &[Line]| charts(lines, "").into_iter().map(|(file, _)| file).collect::<Vec<_>>();
        assert_eq!(files(&[line("a", 10, 1.0), line("a", 20, 2.0)]), ["time.svg", "cost.svg"]);
        assert!(files(&[line("a", 10, 1.0)]).is_empty());
    }

    #[test]
    fn the_reference_meets_the_last_point() {
        let series = series_of(&[line("a", 10, 1.0), line("a", 1000, 30.0)], |line| line.seconds);
        let reference = n_log_n(&series).unwrap();
        let &(n, seconds) = reference.points.last().unwrap();
        assert!((n - 1000.0).abs() < 1e-6 && (seconds - 30.0).abs() < 1e-9);
    }
}
