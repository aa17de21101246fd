//! Figures by name, each with the direction in which it is better.

use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// Which of two values of a figure is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The higher one.
    Higher,
    /// The lower one.
    Lower,
}

/// A figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name in `summary.json`.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// When it is better.
    pub better: Better,
}

impl Metric {
    /// A figure that is better the higher it is.
    pub fn higher(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, better: Better::Higher }
    }

    /// A figure that is better the lower it is.
    pub fn lower(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, better: Better::Lower }
    }

    /// Whether it is better than another value of the same figure; never where either is not a number.
    pub fn beats(&self, other: f64) -> bool {
        match self.better {
            Better::Higher => self.value > other,
            Better::Lower => self.value < other,
        }
    }
}

/// Figures, each name once; serialised as a map from name to value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics(BTreeMap<String, Metric>);

impl Metrics {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a figure, in place of an earlier one of its name.
    pub fn add(&mut self, metric: Metric) {
        self.0.insert(metric.name.clone(), metric);
    }

    /// The figure of this name.
    pub fn get(&self, name: &str) -> Option<&Metric> {
        self.0.get(name)
    }

    /// All figures, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Metric> {
        self.0.values()
    }

    /// The same under names that begin with `prefix` and a dot.
    #[must_use]
    pub fn prefixed(self, prefix: &str) -> Self {
        self.into_iter().map(|metric| Metric { name: format!("{prefix}.{}", metric.name), ..metric }).collect()
    }

    /// The values by name.
    pub fn values(&self) -> BTreeMap<String, f64> {
        self.iter().map(|metric| (metric.name.clone(), metric.value)).collect()
    }
}

impl IntoIterator for Metrics {
    type Item = Metric;
    type IntoIter = std::collections::btree_map::IntoValues<String, Metric>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_values()
    }
}

impl Extend<Metric> for Metrics {
    fn extend<T: IntoIterator<Item = Metric>>(&mut self, metrics: T) {
        metrics.into_iter().for_each(|metric| self.add(metric));
    }
}

impl FromIterator<Metric> for Metrics {
    fn from_iter<T: IntoIterator<Item = Metric>>(metrics: T) -> Self {
        let mut all = Self::new();
        all.extend(metrics);
        all
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|metric| (&metric.name, metric.value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_knows_its_direction() {
        assert!(Metric::higher("R@1", 0.5).beats(0.4) && !Metric::higher("R@1", 0.5).beats(0.5));
        assert!(Metric::lower("rank", 1.0).beats(2.0) && !Metric::lower("rank", f64::NAN).beats(2.0));
    }

    #[test]
    fn they_are_written_as_plain_numbers() {
        let mut metrics = Metrics::from_iter([Metric::lower("b", 2.0), Metric::higher("a", 1.0)]);
        metrics.extend(Metrics::from_iter([Metric::lower("c", 3.0)]).prefixed("alignment"));
        assert_eq!(serde_json::to_string(&metrics).unwrap(), r#"{"a":1.0,"alignment.c":3.0,"b":2.0}"#);
    }
}
