//! The summaries of training runs.

use crate::train::{Metrics, RunReport};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `summary.json` of one run: figures by the names of the contract, beside what is needed to judge them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunSummary {
    /// Version of himacl.
    pub himacl: String,
    /// Where tensors lived.
    pub device: String,
    /// Seed of the run.
    pub seed: u64,
    /// Wall time of each phase.
    pub seconds: Metrics,
    /// Largest resident memory of the process so far.
    pub peak_rss_bytes: u64,
    /// Items trained on, known pairs, held-out items.
    pub counts: BTreeMap<String, usize>,
    /// Figures by name, on the same level as the rest.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// The runs of one problem: means and standard deviations over its seeds.
#[derive(Debug, Clone, Serialize)]
pub struct ProblemSummary {
    /// The seeds.
    pub seeds: Vec<u64>,
    /// As in each run.
    pub counts: BTreeMap<String, usize>,
    /// Standard deviation over the seeds (n - 1) of each figure; empty with one seed.
    pub standard_deviation: Metrics,
    /// Mean over the seeds of each figure.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// `summary.json` of a recipe with several seeds or variants: the main problem's figures on top.
#[derive(Debug, Clone, Serialize)]
pub struct TrainSummary {
    /// Version of himacl.
    pub himacl: String,
    /// Where tensors lived.
    pub device: String,
    /// Wall time, of this call.
    pub seconds: Metrics,
    /// Largest resident memory of the process.
    pub peak_rss_bytes: u64,
    /// The variants by name.
    pub variants: BTreeMap<String, ProblemSummary>,
    /// The main problem.
    #[serde(flatten)]
    pub main: ProblemSummary,
}

impl RunSummary {
    /// The summary of a finished run.
    pub fn new(seed: u64, report: RunReport, device: String) -> Self {
        let RunReport { metrics, seconds, counts } = report;
        Self { himacl: version(), device, seed, seconds, peak_rss_bytes: peak_rss_bytes(), counts, metrics }
    }
}

impl TrainSummary {
    /// Puts the runs of `(problem, seed, summary)` together; the first problem is the main one.
    ///
    /// # Panics
    /// Without any run.
    pub fn new(runs: &[(String, u64, RunSummary)], seconds: f64, device: String) -> Self {
        let of = |name: &str| ProblemSummary::new(runs.iter().filter(|run| run.0 == name).map(|run| &run.2));
        let main_name = &runs.first().expect("a recipe has at least one run").0;
        let variants = runs.iter().map(|run| &run.0).filter(|name| *name != main_name);
        Self {
            himacl: version(),
            device,
            seconds: Metrics::from([("total".to_owned(), seconds)]),
            peak_rss_bytes: peak_rss_bytes(),
            variants: variants.map(|name| (name.clone(), of(name))).collect(),
            main: of(main_name),
        }
    }
}

impl ProblemSummary {
    fn new<'a>(runs: impl Iterator<Item = &'a RunSummary>) -> Self {
        let runs: Vec<&RunSummary> = runs.collect();
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
        Self {
            seeds: runs.iter().map(|run| run.seed).collect(),
            counts: runs.first().map(|run| run.counts.clone()).unwrap_or_default(),
            standard_deviation: values
                .iter()
                .filter(|(_, values)| values.len() > 1)
                .map(|(name, values)| (name.clone(), deviation(values)))
                .collect(),
            metrics: values.iter().map(|(name, values)| (name.clone(), mean(values))).collect(),
        }
    }
}

fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// Largest resident set of this process so far, in bytes; 0 where the system does not tell.
fn peak_rss_bytes() -> u64 {
    // SAFETY: `rusage` is plain data for which all zeros is a valid value, and getrusage only writes into it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        if libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) != 0 {
            return 0;
        }
        usage
    };
    usage.ru_maxrss.cast_unsigned() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_deviations_over_seeds() {
        let run = |seed, value: f64| RunSummary {
            himacl: version(),
            device: "cpu".to_owned(),
            seed,
            seconds: Metrics::new(),
            peak_rss_bytes: 1,
            counts: BTreeMap::new(),
            metrics: Metrics::from([("foscttm".to_owned(), value)]),
        };
        let runs = [("main".to_owned(), 0, run(0, 1.0)), ("main".to_owned(), 1, run(1, 3.0)), ("text".to_owned(), 0, run(0, 5.0))];
        let summary = serde_json::to_value(TrainSummary::new(&runs, 2.0, "cpu".to_owned())).unwrap();
        assert_eq!(summary["foscttm"], 2.0);
        assert_eq!(summary["standard_deviation"]["foscttm"], 2f64.sqrt());
        assert_eq!(summary["variants"]["text"]["foscttm"], 5.0);
        let one: RunSummary = serde_json::from_value(serde_json::to_value(run(4, 0.5)).unwrap()).unwrap();
        assert_eq!((one.seed, one.metrics["foscttm"]), (4, 0.5));
    }
}
