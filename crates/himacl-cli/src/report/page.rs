//! A run folder as one HTML file that needs nothing else: tables of the figures, curves of the training.

use crate::chart::{Chart, Scale, Series};
use crate::error::Error;
use himacl::data::files::read_json;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How every page begins.
const START: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>himacl run</title>";
const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:64em;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .7em;border-bottom:1px solid #ddd;text-align:right}\
td:first-child,th:first-child{text-align:left}figure{display:inline-block;margin:0 1em 1em 0}\
figcaption{font-size:13px}svg text{font:11px system-ui,sans-serif;fill:#444}pre{background:#f6f6f6;padding:1em;overflow:auto}\
.warning{background:#fff3cd;padding:.6em 1em}";

/// Points (step, value) of one run.
type Curve = Vec<(f64, f64)>;

/// The page of the run in `folder`, or of all runs of a recipe with several seeds and variants.
///
/// # Errors
/// A folder without summary.json or config.toml, or with broken ones.
pub fn page(folder: &Path) -> Result<String, Error> {
    let summary = read_json(&folder.join("summary.json"))?;
    let config_path = folder.join("config.toml");
    let config = fs::read_to_string(&config_path).map_err(Error::io("read", &config_path))?;
    let mut html = format!("{START}<style>{STYLE}</style>\n<h1>{}</h1>\n", escaped(&folder.display().to_string()));
    tables(&mut html, "main", &summary);
    if let Some(variants) = summary.get("variants").and_then(Value::as_object) {
        variants.iter().for_each(|(name, variant)| tables(&mut html, name, variant));
    }
    let mut curves: BTreeMap<String, Vec<(String, Curve)>> = BTreeMap::new();
    for (name, run) in runs(folder)? {
        for (figure, curve) in read_curves(&run.join("metrics.jsonl"))? {
            curves.entry(figure).or_default().push((name.clone(), curve));
        }
    }
    if !curves.is_empty() {
        html.push_str("<h2>Training</h2>\n");
        curves.iter().for_each(|(figure, lines)| chart(&mut html, figure, lines));
    }
    let seconds = summary.get("total_seconds").and_then(Value::as_f64).unwrap_or_default();
    let _ = write!(html, "<h2>Recipe</h2>\n<p>took {seconds:.1} s</p>\n<pre>{}</pre>\n</html>\n", escaped(&config));
    Ok(html)
}

/// Whether a file is a page that [`page`] gave, and may be replaced by another.
pub fn is_page(path: &Path) -> bool {
    let mut start = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(START.len() as u64).read_to_string(&mut start));
    read.is_ok() && start == START
}

/// The folders with a training log, with their names: the folder itself, or PROBLEM/seed-N below it.
fn runs(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    if folder.join("metrics.jsonl").is_file() {
        return Ok(vec![(String::new(), folder.to_path_buf())]);
    }
    let below = |folder: &Path| -> Result<Vec<PathBuf>, Error> {
        let entries = fs::read_dir(folder).map_err(Error::io("read folder", folder))?;
        let mut folders: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
        folders.sort();
        Ok(folders)
    };
    let mut found = Vec::new();
    for problem in below(folder)? {
        for run in below(&problem)?.into_iter().filter(|run| run.join("metrics.jsonl").is_file()) {
            let name = run.strip_prefix(folder).unwrap_or(&run).display().to_string();
            found.push((name, run));
        }
    }
    Ok(found)
}

/// Every figure of a training log, by name.
fn read_curves(path: &Path) -> Result<BTreeMap<String, Curve>, Error> {
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let mut curves: BTreeMap<String, Curve> = BTreeMap::new();
    for line in text.lines() {
        let record: Map<String, Value> = serde_json::from_str(line)
            .map_err(|source| himacl::data::Error::Json { path: path.to_path_buf(), source })?;
        let Some(step) = record.get("step").and_then(Value::as_f64) else { continue };
        let inner = record.values().filter_map(Value::as_object).flatten();
        for (name, value) in record.iter().chain(inner) {
            let counts = ["step", "epoch_finished", "coupling"].contains(&name.as_str());
            if let Some(value) = value.as_f64().filter(|_| !counts) {
                curves.entry(name.clone()).or_default().push((step, value));
            }
        }
    }
    Ok(curves)
}

/// One problem: a row for each map that was evaluated, then everything else that was measured.
fn tables(html: &mut String, name: &str, summary: &Value) {
    let Some(fields) = summary.as_object() else { return };
    let deviation = |key: &str| summary.get("standard_deviation").and_then(|all| all.get(key)).and_then(Value::as_f64);
    let _ = writeln!(html, "<h2>{}</h2>", escaped(name));
    if fields.get("shares_too_little").and_then(Value::as_f64).is_some_and(|share| share > 0.0) {
        html.push_str("<p class=\"warning\">The two spaces share too little for a pairing without known pairs: independent starts disagree.</p>\n");
    }
    if let Some(counts) = fields.get("counts").and_then(Value::as_object) {
        let parts: Vec<String> = counts
            .iter()
            .map(|(name, count)| format!("{} {}", escaped(&name.replace('_', " ")), escaped(&text_of(count))))
            .collect();
        let _ = writeln!(html, "<p>{}</p>", parts.join(", "));
    }
    // Figures by map: the part before the first dot names the map.
    let mut maps: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    for (key, value) in fields {
        let Some(value) =
            value.as_f64().filter(|_| !["seed", "threads", "peak_rss_bytes", "total_seconds"].contains(&key.as_str()))
        else {
            continue;
        };
        let (map, figure) = key.split_once('.').unwrap_or(("HiMACL", key));
        let text = match deviation(key) {
            Some(deviation) => format!("{value:.4} ± {deviation:.4}"),
            None => format!("{value:.4}"),
        };
        maps.entry(map).or_default().insert(figure, text);
    }
    let figures: std::collections::BTreeSet<&str> = maps.values().flat_map(|figures| figures.keys().copied()).collect();
    html.push_str("<table><tr><th></th>");
    maps.keys().for_each(|map| {
        let _ = write!(html, "<th>{}</th>", escaped(&map.replace('_', " ")));
    });
    html.push_str("</tr>\n");
    for figure in figures {
        let _ = write!(html, "<tr><td>{}</td>", escaped(&figure.replace('_', " ")));
        for values in maps.values() {
            let _ = write!(html, "<td>{}</td>", values.get(figure).map_or("", String::as_str));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table>\n");
}

/// One figure of all runs over the steps.
fn chart(html: &mut String, figure: &str, lines: &[(String, Curve)]) {
    let finite = |curve: &Curve| curve.iter().copied().filter(|point| point.1.is_finite()).collect::<Vec<_>>();
    let series =
        lines.iter().map(|(name, curve)| Series { name: name.clone(), points: finite(curve), reference: false });
    let series: Vec<Series> = series.filter(|series| !series.points.is_empty()).collect();
    if series.is_empty() {
        return;
    }
    let title = figure.replace('_', " ");
    let (x_label, y_label) = ("steps".to_owned(), String::new());
    let chart = Chart { title, x_label, y_label, x_scale: Scale::Linear, y_scale: Scale::Linear, series };
    let _ = writeln!(html, "<figure>{}</figure>", chart.draw());
}

/// A value as people read it.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.toml"), "[data]\nsource = \"<x> & y\"\n").unwrap();
        let summary = r#"{"seed": 3, "counts": {"anchors": 5}, "foscttm": 0.25, "alignment.foscttm": 0.5, "shares_too_little": 1.0, "total_seconds": 2.0}"#;
        fs::write(folder.path().join("summary.json"), summary).unwrap();
        folder
    }

    #[test]
    fn figures_curves_and_warning_are_there() {
        let folder = folder();
        let log = "{\"step\": 0, \"loss\": 4.0}\n{\"step\": 10, \"loss\": 2.0}\n{\"step\": 10, \"figures\": {\"foscttm\": 0.25}}\n";
        fs::write(folder.path().join("metrics.jsonl"), log).unwrap();
        let html = page(folder.path()).unwrap();
        assert!(html.contains("<td>foscttm</td><td>0.2500</td><td>0.5000</td>"), "{html}");
        assert!(html.contains(">loss</text>") && html.contains(">foscttm</text>"), "{html}");
        assert!(html.contains("independent starts disagree") && html.contains("&lt;x&gt; &amp; y"));
        assert!(!html.replace("http://www.w3.org/2000/svg", "").contains("http"), "nothing is loaded from elsewhere");
    }

    #[test]
    fn whatever_a_summary_holds_is_text() {
        let folder = folder();
        let summary = r#"{"counts": {"anchors": "<script>alert(1)</script>", "more": ["<b>"]}}"#;
        fs::write(folder.path().join("summary.json"), summary).unwrap();
        let html = page(folder.path()).unwrap();
        assert!(!html.contains("<script") && !html.contains("<b>"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(1)"), "{html}");
        let file = folder.path().join("page.html");
        fs::write(&file, &html).unwrap();
        assert!(is_page(&file) && !is_page(&folder.path().join("summary.json")));
    }

    #[test]
    fn runs_of_several_seeds_share_their_charts() {
        let folder = folder();
        for (seed, loss) in [(1, 1.0), (2, 3.0)] {
            let run = folder.path().join(format!("main/seed-{seed}"));
            fs::create_dir_all(&run).unwrap();
            fs::write(run.join("metrics.jsonl"), format!("{{\"step\": 1, \"loss\": {loss}}}\n")).unwrap();
        }
        let html = page(folder.path()).unwrap();
        assert_eq!(html.matches("<figure>").count(), 1);
        assert!(html.contains("main/seed-1</text>") && html.contains("main/seed-2</text>"));
        assert!(page(&folder.path().join("main")).is_err());
    }
}
