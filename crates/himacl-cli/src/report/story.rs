//! What a finished run has to tell: sentences first, then tables and curves.

use super::choices_in_words;
use crate::distance;
use crate::error::Error;
use himacl::data::files::read_json;
use himacl::train::{CHOICE, ChosenMap, MapChoice};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Entries of a summary that say how it was run rather than how well.
const CIRCUMSTANCES: [&str; 5] = ["seed", "threads", "peak_rss_bytes", "total_seconds", "seeds"];
/// Entries of a training log that count.
const COUNTS: [&str; 3] = ["step", "epoch_finished", "coupling"];

/// The (step, value)s of one run.
pub type Curve = Vec<(f64, f64)>;

/// A run in words, tables and curves.
#[derive(Debug, Default, Serialize)]
pub struct Story {
    /// The folder.
    pub title: String,
    /// What happened, in sentences.
    pub lead: Vec<String>,
    /// What the reader should know before believing it.
    pub warnings: Vec<String>,
    /// Figures.
    pub tables: Vec<Table>,
    /// What was logged on the way.
    pub curves: Vec<Curves>,
    /// config.toml.
    pub settings: String,
}

/// A table of figures: rows by name, a column for each map.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// What it is of.
    pub heading: String,
    /// What was counted.
    pub note: String,
    /// The maps.
    pub columns: Vec<String>,
    /// A figure's name, and its value for each map.
    pub rows: Vec<(String, Vec<String>)>,
}

/// One figure of all runs over the steps.
#[derive(Debug, Serialize)]
pub struct Curves {
    /// Its name.
    pub figure: String,
    /// Each run's name and its (step, value)s.
    pub lines: Vec<(String, Curve)>,
    /// What the maps that are compared with have, by name: straight lines.
    pub baselines: Vec<(String, f64)>,
}

/// Reads what the run in `folder` left, or all runs of a recipe with several seeds and variants.
///
/// # Errors
/// A folder without summary.json or config.toml, or with broken ones.
pub fn story(folder: &Path) -> Result<Story, Error> {
    let summary: Value = read_json(&folder.join("summary.json"))?;
    let config_path = folder.join("config.toml");
    let settings = fs::read_to_string(&config_path).map_err(Error::io("read", &config_path))?;
    let config: toml::Table = toml::from_str(&settings).unwrap_or_default();
    let mut story = Story { title: folder.display().to_string(), settings, ..Story::default() };
    if text(&summary, "command") == Some("pair") {
        story.tell_pairing(&summary);
        return Ok(story);
    }
    let mode = config.get("alignment").and_then(|section| section.get("mode")).and_then(toml::Value::as_str);
    story.tell_training("", mode, &summary);
    story.tables.push(table("main", &summary));
    for (name, variant) in summary.get("variants").and_then(Value::as_object).into_iter().flatten() {
        story.tell_training(name, None, variant);
        story.tables.push(table(name, variant));
    }
    let mut curves: BTreeMap<String, Vec<(String, Curve)>> = BTreeMap::new();
    for (name, run) in runs(folder)? {
        for (figure, curve) in read_curves(&run)? {
            curves.entry(figure).or_default().push((name.clone(), curve));
        }
    }
    let baselines = |figure: &str| {
        let maps =
            [("anchors only", "anchors_only"), ("aligned, untrained", "alignment"), ("all pairs known", "all_pairs")];
        let of =
            |(name, prefix): (&str, &str)| Some((name.to_owned(), number(&summary, &format!("{prefix}.{figure}"))?));
        maps.into_iter().filter_map(of).collect()
    };
    let one = |(figure, lines): (String, Vec<_>)| Curves { baselines: baselines(&figure), figure, lines };
    story.curves = curves.into_iter().map(one).collect();
    Ok(story)
}

impl Story {
    fn tell_pairing(&mut self, summary: &Value) {
        let count = |key: &str| summary.get(key).and_then(Value::as_u64).unwrap_or_default();
        let solver = text(summary, "solver").unwrap_or("hiref");
        self.lead.push(format!(
            "{} pairs of {} x and {} y points of {} coordinates, by the solver {solver}.",
            count("num_pairs"),
            count("n"),
            count("m"),
            count("d")
        ));
        if let Some(mean) = number(summary, "mean_cost") {
            let cost = text(summary, "cost").unwrap_or("given");
            self.lead.push(format!("The mean {cost} cost is {mean:.6}."));
        }
        if let Some(rejection) = summary.get("rejection").filter(|rejection| rejection.is_object()) {
            let kept = rejection.get("num_kept").and_then(Value::as_u64).unwrap_or_default();
            let by = text(rejection, "by").unwrap_or("cost");
            let mean = number(rejection, "mean_cost").unwrap_or_default();
            self.lead.push(format!("{kept} of the pairs are kept, by their {by}; their mean cost is {mean:.6}."));
        }
        let mean = number(summary, "mean_cost").unwrap_or_default();
        let estimate = summary.get("gap_estimate").filter(|estimate| !estimate.is_null());
        let estimated = estimate.and_then(|estimate| {
            let of = |key: &str| number(estimate, key);
            let rows = estimate.get("rows").and_then(Value::as_u64)? as usize;
            Some(distance::estimated(mean, (of("value")?, of("high")?), of("confidence")?, rows))
        });
        let proved = number(summary, "relative_gap").and_then(|gap| distance::proved(mean, gap));
        if summary.get("exact").and_then(Value::as_bool) == Some(true) {
            self.lead.push("The pairing is optimal, up to rounding.".to_owned());
        } else if proved.is_none() && estimated.is_none() {
            self.warnings.push("How far the pairing is above the optimum is not known.".to_owned());
        }
        for said in [proved, estimated].into_iter().flatten() {
            self.lead.push(format!("Its cost: {said}."));
        }
        match text(summary, "termination") {
            Some("interrupted") => self.warnings.push("The run was interrupted: it can be resumed.".to_owned()),
            Some("time-limit" | "time_limit") => self.warnings.push("The run ended at its time limit.".to_owned()),
            _ => {}
        }
        let mut table = table("figures", summary);
        table.columns = vec!["value".to_owned()];
        self.tables.push(table);
    }

    fn tell_training(&mut self, variant: &str, mode: Option<&str>, summary: &Value) {
        let start = if variant.is_empty() { String::new() } else { format!("{variant}: ") };
        let counts = summary.get("counts");
        let count =
            |key: &str| counts.and_then(|counts| counts.get(key)).map_or_else(|| "?".to_owned(), ToString::to_string);
        let how = match mode {
            Some("anchors") => " The spaces differ, and a few pairs are known.",
            Some("shared-space") => " Both sides live in one space; the pairing itself is the product.",
            Some("unpaired") => " The spaces differ, and no pair is known, or very few.",
            _ => "",
        };
        self.lead.push(format!(
            "{start}{} source and {} target items, {} known pairs, {} pairs held out.{how}",
            count("source_items"),
            count("target_items"),
            count("anchors"),
            count("held_out")
        ));
        let figure = "image_to_text_R@10";
        let of = |prefix: &str| number(summary, &format!("{prefix}{figure}"));
        let choices = map_choices(summary);
        let is_trained = choices.is_empty() || choices.iter().any(|choice| choice.chosen == ChosenMap::Trained);
        if let (Some(aligned), false) = (of(""), is_trained) {
            let share = 100.0 * aligned;
            self.lead.push(format!("{start}Of the held-out pairs {share:.1}% are found among the first ten."));
        } else if let (Some(trained), Some(aligned)) = (of(""), of("alignment.")) {
            let change = trained - aligned;
            let noise = summary.get("standard_deviation").and_then(|all| number(all, figure)).unwrap_or(0.0);
            let verdict = match change {
                change if change.abs() <= noise.max(0.005) => "added nothing that stands out from chance",
                change if change > 0.0 => "added",
                _ => "lost",
            };
            self.lead.push(format!(
                "{start}Of the held-out pairs {:.1}% are found among the first ten; the linear map alone finds {:.1}%: \
                 the neural map {verdict} ({:+.1} points).",
                100.0 * trained,
                100.0 * aligned,
                100.0 * change
            ));
        }
        let seeds = summary.get("seeds").and_then(Value::as_array);
        let seeds: Vec<u64> = seeds.into_iter().flatten().filter_map(Value::as_u64).collect();
        self.lead.extend(choices_in_words(&seeds, &choices).iter().map(|choice| sentence(&format!("{start}{choice}"))));
        let accuracy = (number(summary, "pairing_accuracy_bijection"), number(summary, "pairing_accuracy_nearest"));
        if let (Some(bijection), Some(nearest)) = accuracy {
            self.lead.push(format!(
                "{start}Of the unknown pairs {:.1}% are right; nearest neighbours alone would have {:.1}%.",
                100.0 * bijection,
                100.0 * nearest
            ));
        }
        if number(summary, "shares_too_little").is_some_and(|share| share > 0.0) {
            self.warnings.push(format!(
                "{start}The two spaces share too little for a pairing without known pairs: independent starts disagree."
            ));
        }
    }
}

/// Which map each run ended with: of one run, or of a recipe's several.
fn map_choices(summary: &Value) -> Vec<MapChoice> {
    let of_one = summary.get("map_choice").into_iter();
    let all = of_one.chain(summary.get("map_choices").and_then(Value::as_array).into_iter().flatten());
    all.filter_map(|choice| MapChoice::deserialize(choice).ok()).collect()
}

/// With a capital at the beginning and a stop at the end.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(['.']).collect()
}

fn number(summary: &Value, key: &str) -> Option<f64> {
    summary.get(key).and_then(Value::as_f64)
}

fn text<'a>(summary: &'a Value, key: &str) -> Option<&'a str> {
    summary.get(key).and_then(Value::as_str)
}

/// The log of the training whose map is the result; where that is the aligned one, of the training before the choice.
fn training_log(run: &Path) -> Option<PathBuf> {
    [run.to_path_buf(), run.join(CHOICE)]
        .map(|folder| folder.join("metrics.jsonl"))
        .into_iter()
        .find(|log| log.is_file())
}

/// The training logs, with the names of their runs: of the folder itself, or of PROBLEM/seed-N below it.
fn runs(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    if let Some(log) = training_log(folder) {
        return Ok(vec![(String::new(), log)]);
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
        for run in below(&problem)? {
            if let Some(log) = training_log(&run) {
                found.push((run.strip_prefix(folder).unwrap_or(&run).display().to_string(), log));
            }
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
            if let Some(value) = value.as_f64().filter(|_| !COUNTS.contains(&name.as_str())) {
                curves.entry(name.clone()).or_default().push((step, value));
            }
        }
    }
    Ok(curves)
}

/// The figures of one problem, a column for each map: the part of a name before the first dot is the map's.
fn table(heading: &str, summary: &Value) -> Table {
    let deviation = |key: &str| summary.get("standard_deviation").and_then(|all| number(all, key));
    let counts = summary.get("counts").and_then(Value::as_object);
    let parts = counts.into_iter().flatten().map(|(name, count)| {
        let count = count.as_str().map_or_else(|| count.to_string(), ToOwned::to_owned);
        format!("{} {count}", name.replace('_', " "))
    });
    let note = parts.collect::<Vec<_>>().join(", ");
    let mut maps: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    for (key, value) in summary.as_object().into_iter().flatten() {
        let Some(value) = value.as_f64().filter(|_| !CIRCUMSTANCES.contains(&key.as_str())) else { continue };
        let (map, figure) = key.split_once('.').unwrap_or(("HiMACL", key));
        let text = match deviation(key) {
            Some(deviation) => format!("{value:.4} ± {deviation:.4}"),
            None if value.fract() == 0.0 && value.abs() >= 2.0 => format!("{value}"),
            None => format!("{value:.4}"),
        };
        maps.entry(map).or_default().insert(figure, text);
    }
    let figures: BTreeSet<&str> = maps.values().flat_map(|figures| figures.keys().copied()).collect();
    let row = |figure: &str| {
        let values = maps.values().map(|values| values.get(figure).cloned().unwrap_or_default()).collect();
        (figure.replace('_', " "), values)
    };
    Table {
        heading: heading.to_owned(),
        note,
        columns: maps.keys().map(|map| map.replace('_', " ")).collect(),
        rows: figures.into_iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(summary: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.toml"), "[alignment]\nmode = \"unpaired\"\n").unwrap();
        fs::write(folder.path().join("summary.json"), summary).unwrap();
        folder
    }

    #[test]
    fn a_run_is_told_in_words_tables_and_curves() {
        let folder = folder(
            r#"{"seed": 3, "counts": {"anchors": 5}, "foscttm": 0.25, "alignment.foscttm": 0.5, "image_to_text_R@10": 0.5,
                "alignment.image_to_text_R@10": 0.4, "shares_too_little": 1.0, "total_seconds": 2.0}"#,
        );
        let log = "{\"step\": 0, \"loss\": 4.0}\n{\"step\": 10, \"loss\": 2.0}\n{\"step\": 10, \"figures\": {\"foscttm\": 0.25}}\n";
        fs::write(folder.path().join("metrics.jsonl"), log).unwrap();
        let story = story(folder.path()).unwrap();
        assert!(story.lead[0].contains("5 known pairs") && story.lead[0].contains("no pair is known"), "{story:?}");
        assert!(story.lead[1].contains("50.0%") && story.lead[1].contains("added (+10.0 points)"), "{story:?}");
        assert!(story.warnings[0].contains("independent starts disagree"));
        let [table] = &story.tables[..] else { panic!("{story:?}") };
        assert_eq!(table.columns, ["HiMACL", "alignment"]);
        assert!(table.rows.contains(&("foscttm".to_owned(), vec!["0.2500".to_owned(), "0.5000".to_owned()])));
        let figures: Vec<&str> = story.curves.iter().map(|curves| curves.figure.as_str()).collect();
        assert_eq!(figures, ["foscttm", "loss"]);
        assert_eq!(story.curves[0].baselines, [("aligned, untrained".to_owned(), 0.5)]);
        assert_eq!(story.curves[1].lines[0].1, [(0.0, 4.0), (10.0, 2.0)]);
    }

    #[test]
    fn the_choice_of_the_map_is_told() {
        let ranks = r#"{"aligned_mean_log_rank": 0.5, "trained_mean_log_rank": 0.49, "gain": 0.01, "standard_error": 0.02,
            "aligned_come_first": 0.75, "trained_come_first": 0.8}"#;
        let folder = folder(&format!(
            r#"{{"image_to_text_R@10": 0.5, "alignment.image_to_text_R@10": 0.5,
                "map_choice": {{"chosen": "aligned", "hidden_pairs": 120, "ranks": {ranks}, "not_chosen_because": null}}}}"#
        ));
        let log = "{\"step\": 10, \"loss\": 2.0}\n";
        fs::create_dir(folder.path().join("choice")).unwrap();
        fs::write(folder.path().join("choice/metrics.jsonl"), log).unwrap();
        let story = story(folder.path()).unwrap();
        assert_eq!(story.lead[1], "Of the held-out pairs 50.0% are found among the first ten.");
        assert!(story.lead[2].starts_with("The aligned map is the result: of 120 known pairs"), "{story:?}");
        assert!(
            story.lead[2].contains("80.0% came first by the trained map and 75.0% by the aligned one"),
            "{story:?}"
        );
        assert!(story.lead[2].ends_with("by 0.010, no more than its standard error of 0.020."), "{story:?}");
        assert_eq!(story.curves[0].lines[0].1, [(10.0, 2.0)]);
    }

    #[test]
    fn a_pairing_says_how_far_above_the_optimum_it_is() {
        let told = |rest: &str| {
            let start =
                r#"{"command": "pair", "num_pairs": 7, "n": 7, "m": 9, "d": 3, "cost": "cosine", "mean_cost": 0.5, "#;
            let folder = folder(&format!("{start}{rest}}}"));
            let story = story(folder.path()).unwrap();
            (story.lead.join(" "), story.warnings)
        };
        assert!(told(r#""exact": true"#).0.contains("7 pairs of 7 x and 9 y points of 3 coordinates"));
        assert!(told(r#""exact": true"#).0.ends_with("optimal, up to rounding."));
        assert!(told(r#""relative_gap": 0.5"#).0.contains("Its cost: at most 100.0000% above the optimum (proved)."));
        let estimate = r#""gap_estimate": {"value": 0.02, "high": 0.2, "confidence": 0.999, "rows": 64}"#;
        let both = told(&format!(r#""relative_gap": 0.5, {estimate}"#)).0;
        assert!(
            both.contains("proved") && both.contains("with 99.9% confidence at most 25.00% above the optimum"),
            "{both}"
        );
        assert_eq!(told(r#""relative_gap": 2.0"#).1.len(), 1);
        assert_eq!(told(r#""gap_estimate": null"#).1.len(), 1);
    }

    #[test]
    fn runs_of_several_seeds_share_their_curves() {
        let folder = folder("{}");
        for (seed, loss) in [(1, 1.0), (2, 3.0)] {
            let run = folder.path().join(format!("main/seed-{seed}"));
            fs::create_dir_all(&run).unwrap();
            fs::write(run.join("metrics.jsonl"), format!("{{\"step\": 1, \"loss\": {loss}}}\n")).unwrap();
        }
        let curves = story(folder.path()).unwrap().curves;
        let names: Vec<&str> = curves[0].lines.iter().map(|line| line.0.as_str()).collect();
        assert_eq!(names, ["main/seed-1", "main/seed-2"]);
        assert!(story(&folder.path().join("main")).is_err());
    }
}
