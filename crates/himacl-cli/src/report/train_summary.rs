//! The summaries of training runs.

use super::RunReport;
use himacl::train::{MapChoice, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Values by name.
pub type Figures = BTreeMap<String, f64>;

/// Numbers of summary.json that are not figures of the map.
const NOT_FIGURES: [&str; 3] = ["threads", "total_seconds", "peak_rss_bytes"];

/// What one run found: figures by the names of the contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunFigures {
    /// Seed of the run.
    pub seed: u64,
    /// Items trained on, known pairs, held-out items.
    pub counts: BTreeMap<String, usize>,
    /// Whether the aligned or the trained map is the result; runs of earlier versions do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_choice: Option<MapChoice>,
    /// Figures by name, on the same level as the rest.
    #[serde(flatten)]
    pub metrics: Figures,
}

/// The runs of one problem: means and standard deviations over its seeds.
#[derive(Debug, Clone, Serialize)]
pub struct ProblemSummary {
    /// The seeds.
    pub seeds: Vec<u64>,
    /// As in each run.
    pub counts: BTreeMap<String, usize>,
    /// As in each run, in the order of the seeds.
    pub map_choices: Vec<MapChoice>,
    /// Standard deviation over the seeds (n - 1) of each figure; empty with one seed.
    pub standard_deviation: Figures,
    /// Mean over the seeds of each figure.
    #[serde(flatten)]
    pub metrics: Figures,
}

/// The runs of a recipe with several seeds or variants; the main problem's figures are on top.
#[derive(Debug, Clone, Serialize)]
pub struct TrainSummary {
    /// The variants by name.
    pub variants: BTreeMap<String, ProblemSummary>,
    /// The main problem.
    #[serde(flatten)]
    pub main: ProblemSummary,
}

/// A summary.json: what was run, beside what it found.
#[derive(Debug, Serialize)]
pub struct WithReport<'a, T> {
    /// Versions, device, times, memory.
    #[serde(flatten)]
    pub report: RunReport,
    /// What was found.
    #[serde(flatten)]
    pub found: &'a T,
}

impl RunFigures {
    /// The figures of a finished run.
    pub fn new(seed: u64, outcome: Outcome) -> Self {
        let Outcome { metrics, counts, choice, .. } = outcome;
        Self { seed, counts, map_choice: Some(choice), metrics: metrics.values() }
    }

    /// The figures in the text of a run's summary.json.
    ///
    /// # Errors
    /// A text that is no such summary.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Summary {
            seed: u64,
            counts: BTreeMap<String, usize>,
            map_choice: Option<MapChoice>,
            #[serde(flatten)]
            rest: BTreeMap<String, Value>,
        }
        let Summary { seed, counts, map_choice, rest } = serde_json::from_str(text)?;
        let figures = rest.into_iter().filter(|(name, _)| !NOT_FIGURES.contains(&name.as_str()));
        Ok(Self {
            seed,
            counts,
            map_choice,
            metrics: figures.filter_map(|(name, value)| Some((name, value.as_f64()?))).collect(),
        })
    }
}

impl TrainSummary {
    /// Puts the runs, each with its problem's name, together; the first problem is the main one.
    ///
    /// # Panics
    /// Without any run.
    pub fn new(runs: &[(String, RunFigures)]) -> Self {
        let of = |name: &str| ProblemSummary::new(runs.iter().filter(|run| run.0 == name).map(|run| &run.1));
        let main_name = &runs.first().expect("a recipe has at least one run").0;
        let variants = runs.iter().map(|run| &run.0).filter(|name| *name != main_name);
        Self { variants: variants.map(|name| (name.clone(), of(name))).collect(), main: of(main_name) }
    }
}

impl ProblemSummary {
    fn new<'a>(runs: impl Iterator<Item = &'a RunFigures>) -> Self {
        let runs: Vec<&RunFigures> = runs.collect();
        let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for run in &runs {
            for (name, &value) in &run.metrics {
                values.entry(name.clone()).or_default().push(value);
            }
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let deviation = |values: &[f64]| {
            let center = mean(values);
            (values.iter().map(|value| (value - center).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
        };
        let map_choices = runs.iter().filter_map(|run| run.map_choice.clone()).collect();
        let several = values.iter().filter(|(_, values)| values.len() > 1);
        Self {
            seeds: runs.iter().map(|run| run.seed).collect(),
            counts: runs.first().map(|run| run.counts.clone()).unwrap_or_default(),
            map_choices,
            standard_deviation: several.map(|(name, values)| (name.clone(), deviation(values))).collect(),
            metrics: values.iter().map(|(name, values)| (name.clone(), mean(values))).collect(),
        }
    }
}

/// Which map is the result and why, in words: a line for each seed, or one for all where it is the same.
pub fn choices_in_words(seeds: &[u64], choices: &[MapChoice]) -> Vec<String> {
    let lines: Vec<String> = choices.iter().map(ToString::to_string).collect();
    match &lines[..] {
        [first, rest @ ..] if rest.iter().all(|line| line == first) => vec![first.clone()],
        _ => seeds.iter().zip(lines).map(|(seed, line)| format!("seed {seed}: {line}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Recorder;
    use himacl::train::ChosenMap;

    fn run(seed: u64, value: f64) -> RunFigures {
        let choice = MapChoice {
            chosen: ChosenMap::Trained,
            hidden_pairs: 0,
            ranks: None,
            not_chosen_because: Some(format!("of {value}")),
        };
        let metrics = Figures::from([("foscttm".to_owned(), value)]);
        RunFigures { seed, counts: BTreeMap::new(), map_choice: Some(choice), metrics }
    }

    #[test]
    fn means_and_deviations_over_seeds() {
        let runs =
            [("main".to_owned(), run(0, 1.0)), ("main".to_owned(), run(1, 3.0)), ("text".to_owned(), run(0, 5.0))];
        let summary = serde_json::to_value(TrainSummary::new(&runs)).unwrap();
        assert_eq!(summary["foscttm"], 2.0);
        assert_eq!(summary["standard_deviation"]["foscttm"], 2f64.sqrt());
        assert_eq!(summary["variants"]["text"]["foscttm"], 5.0);
        assert_eq!(summary["map_choices"][1]["not_chosen_because"], "of 3");
    }

    #[test]
    fn seeds_that_chose_alike_are_told_once() {
        let choice = |value: f64| run(0, value).map_choice.unwrap();
        assert_eq!(
            choices_in_words(&[1, 2], &[choice(1.0), choice(1.0)]),
            ["the trained map is the result, without a choice: of 1"]
        );
        let lines = choices_in_words(&[1, 2], &[choice(1.0), choice(2.0)]);
        assert_eq!(lines[1], "seed 2: the trained map is the result, without a choice: of 2");
        assert!(choices_in_words(&[1], &[]).is_empty());
    }

    #[test]
    fn figures_are_found_among_the_rest() {
        let report = Recorder::start("cpu".to_owned(), 2, Vec::new()).report();
        let text = serde_json::to_string(&WithReport { report, found: &run(4, 0.5) }).unwrap();
        assert_eq!(RunFigures::read(&text).unwrap(), run(4, 0.5));
    }
}
