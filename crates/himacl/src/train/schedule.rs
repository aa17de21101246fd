//! The learning rate over time.

use serde::{Deserialize, Serialize};

/// Linear warm-up to 1, then half a cosine down to the floor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleParams {
    /// Share of all steps spent warming up, in [0, 1].
    pub warmup: f64,
    /// The last step's share of the largest learning rate, in [0, 1].
    pub floor: f64,
}

impl Default for ScheduleParams {
    fn default() -> Self {
        Self { warmup: 0.05, floor: 0.01 }
    }
}

impl ScheduleParams {
    /// The factor of the learning rate at `step` (from 0) of `total`.
    ///
    /// ```
    /// use himacl::train::ScheduleParams;
    /// let schedule = ScheduleParams { warmup: 0.2, floor: 0.1 };
    /// assert_eq!(schedule.factor(0, 10), 0.5);
    /// assert_eq!(schedule.factor(2, 10), 1.0);
    /// assert!((schedule.factor(6, 10) - 0.55).abs() < 1e-12);
    /// assert!((schedule.factor(10, 10) - 0.1).abs() < 1e-12);
    /// ```
    pub fn factor(&self, step: u64, total: u64) -> f64 {
        let warmup = (self.warmup * total as f64).round();
        let step = step as f64;
        if step < warmup {
            return (step + 1.0) / warmup;
        }
        let remaining = (total as f64 - warmup).max(1.0);
        let progress = ((step - warmup) / remaining).min(1.0);
        self.floor + (1.0 - self.floor) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_warm_up_it_starts_at_the_top_and_only_falls() {
        let schedule = ScheduleParams { warmup: 0.0, floor: 0.0 };
        let factors: Vec<f64> = (0..=8).map(|step| schedule.factor(step, 8)).collect();
        assert_eq!(factors[0], 1.0);
        assert!((factors[4] - 0.5).abs() < 1e-12);
        assert!(factors[8].abs() < 1e-12);
        assert!(factors.windows(2).all(|pair| pair[1] < pair[0]));
    }
}
