//! Retrieval against the number of known pairs.

use crate::few_anchors::FewAnchorsLine;
use anyhow::{Context, ensure};
use clap::Args;
use himacl::eval::RetrievalMetrics;
use himacl_cli::chart::{Chart, Scale, Series};
use std::fs;
use std::path::PathBuf;

/// Arguments of `plot few-anchors`.
#[derive(Debug, Args)]
pub(crate) struct FewAnchorsArgs {
    /// JSON lines of `few-anchors`.
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// Folder for PROBLEM-recall.svg and PROBLEM-foscttm.svg.
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
}

/// Draws two charts for each problem.
pub(crate) fn run(args: &FewAnchorsArgs) -> anyhow::Result<()> {
    let mut lines: Vec<FewAnchorsLine> = Vec::new();
    for input in &args.inputs {
        let text = fs::read_to_string(input).with_context(|| format!("cannot read {}", input.display()))?;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let at = || format!("{}, line {}", input.display(), number + 1);
            lines.push(serde_json::from_str(line).with_context(at)?);
        }
    }
    ensure!(!lines.is_empty(), "the input has no lines");
    fs::create_dir_all(&args.output).with_context(|| format!("cannot make {}", args.output.display()))?;
    for problem in distinct(lines.iter().map(|line| line.problem.as_str())) {
        let own: Vec<&FewAnchorsLine> = lines.iter().filter(|line| line.problem == problem).collect();
        let recall = |m: &RetrievalMetrics| 0.5 * (m.source_to_target.at_10 + m.target_to_source.at_10);
        for (file, label, scale, of) in [
            ("recall", "R@10, mean of both directions", Scale::Linear, &recall as &dyn Fn(&RetrievalMetrics) -> f64),
            ("foscttm", "FOSCTTM", Scale::Log, &|m| m.foscttm),
        ] {
            let chart = Chart {
                title: format!("{problem}: held-out pairs, mean over splits"),
                x_label: "known pairs".to_owned(),
                y_label: label.to_owned(),
                x_scale: Scale::Log,
                y_scale: scale,
                series: series(&own, of),
            };
            let path = args.output.join(format!("{problem}-{file}.svg"));
            fs::write(&path, chart.draw()).with_context(|| format!("cannot write {}", path.display()))?;
            println!("{}", path.display());
        }
    }
    Ok(())
}

/// One line for each map: the mean over splits at every number of known pairs above 0.
fn series(lines: &[&FewAnchorsLine], of: &dyn Fn(&RetrievalMetrics) -> f64) -> Vec<Series> {
    let one = |map: &str| {
        let own: Vec<_> = lines.iter().filter(|line| line.map == map && line.anchors > 0).collect();
        let mut counts: Vec<usize> = own.iter().map(|line| line.anchors).collect();
        counts.sort_unstable();
        counts.dedup();
        let mean = |anchors: usize| {
            let values: Vec<f64> =
                own.iter().filter(|line| line.anchors == anchors).map(|line| of(&line.metrics)).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        let points = counts.into_iter().map(|anchors| (anchors as f64, mean(anchors))).collect();
        Series { name: map.to_owned(), points, reference: false }
    };
    distinct(lines.iter().map(|line| line.map.as_str())).into_iter().map(one).collect()
}

/// Without repetition, in the order of first occurrence.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_become_one_point() {
        let line = |map: &str, anchors: usize, foscttm: f64| -> FewAnchorsLine {
            let metrics = serde_json::to_value(RetrievalMetrics { foscttm, ..RetrievalMetrics::default() }).unwrap();
            let text = serde_json::json!({
                "problem": "p", "anchors": anchors, "seed": 1, "map": map, "chosen": "", "metrics": metrics
            });
            serde_json::from_value(text).unwrap()
        };
        let lines = [line("a", 20, 0.2), line("b", 20, 0.5), line("a", 20, 0.4), line("a", 5, 0.6)];
        let series = series(&lines.iter().collect::<Vec<_>>(), &|m| m.foscttm);
        assert_eq!(series.iter().map(|series| series.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(series[0].points[0], (5.0, 0.6));
        assert!((series[0].points[1].1 - 0.3).abs() < 1e-12);
    }
}
