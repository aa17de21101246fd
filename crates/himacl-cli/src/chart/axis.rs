//! An axis: its range, where values lie on it, and its ticks.

/// How values spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithms; they must be positive.
    Log,
}

/// One axis.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
}

/// A mark on an axis; minor ones have no label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// Where.
    pub(super) at: f64,
    /// What it says.
    pub(super) label: Option<String>,
}

impl Axis {
    /// An axis that holds all `values` with some room at both ends; on a logarithmic one the values must be positive.
    pub(super) fn around(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = if low > high { (1.0, 2.0) } else { (low, high) };
        match scale {
            Scale::Linear => {
                let room = if high > low { 0.06 * (high - low) } else { 0.5 * high.abs().max(1.0) };
                Self { scale, low: low - room, high: high + room }
            }
            Scale::Log => {
                // At least a factor of four, so that there are ticks to read.
                let room = (high / low).powf(0.05).max(if high / low < 2.0 { 2.0 } else { 1.0 });
                Self { scale, low: low / room, high: high * room }
            }
        }
    }

    /// The place of `value`: 0 at the low end, 1 at the high one.
    pub(super) fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        }
    }

    /// Both ends.
    pub(super) fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Marks at round values.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        match self.scale {
            Scale::Linear => self.linear_ticks(),
            Scale::Log => self.log_ticks(),
        }
    }

    fn linear_ticks(&self) -> Vec<Tick> {
        let raw = (self.high - self.low) / 8.0;
        let unit = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * unit).find(|&step| step >= raw);
        let step = step.unwrap_or(10.0 * unit);
        let digits = (-step.log10().floor()).max(0.0) as usize;
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        let tick =
            |index: i64| Tick { at: index as f64 * step, label: Some(format!("{:.digits$}", index as f64 * step)) };
        (first..=last).map(tick).collect()
    }

    fn log_ticks(&self) -> Vec<Tick> {
        let decades = (self.high / self.low).log10();
        // Labelled digits of each decade, fewer the more decades there are.
        let labelled: &[u32] = match decades {
            ..1.2 => &[1, 2, 3, 4, 6, 8],
            ..2.5 => &[1, 2, 5],
            _ => &[1],
        };
        let every = (decades / 8.0).ceil().max(1.0) as i32;
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let mut ticks = Vec::new();
        for decade in first..=last {
            for digit in 1..10_u32 {
                let at = f64::from(digit) * 10_f64.powi(decade);
                let named = labelled.contains(&digit) && decade.rem_euclid(every) == 0;
                if (self.low..=self.high).contains(&at) && (named || every == 1) {
                    ticks.push(Tick { at, label: named.then(|| short(digit, decade)) });
                }
            }
        }
        ticks
    }
}

/// `digit * 10^decade` in few characters: 0.05, 20, 1k, 2M, 1e-7.
fn short(digit: u32, decade: i32) -> String {
    let zeros = |count: i32| "0".repeat(count.unsigned_abs() as usize);
    match decade {
        ..-4 | 10.. => format!("{digit}e{decade}"),
        -4..0 => format!("0.{}{digit}", zeros(-decade - 1)),
        0..3 => format!("{digit}{}", zeros(decade)),
        3..6 => format!("{digit}{}k", zeros(decade - 3)),
        6..9 => format!("{digit}{}M", zeros(decade - 6)),
        9 => format!("{digit}G"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().filter_map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round() {
        let axis = Axis::around(Scale::Linear, [5.20, 5.31].into_iter());
        assert_eq!(labels(&axis), ["5.20", "5.22", "5.24", "5.26", "5.28", "5.30"]);
        let axis = Axis::around(Scale::Log, [16384.0, 1_048_576.0].into_iter());
        assert_eq!(labels(&axis), ["20k", "50k", "100k", "200k", "500k", "1M"]);
        let axis = Axis::around(Scale::Log, [2e-7, 0.3].into_iter());
        assert_eq!(labels(&axis), ["1e-7", "1e-6", "1e-5", "0.0001", "0.001", "0.01", "0.1"]);
    }

    #[test]
    fn a_single_value_has_an_axis() {
        for scale in [Scale::Linear, Scale::Log] {
            let axis = Axis::around(scale, [3.0].into_iter());
            assert!((axis.place(3.0) - 0.5).abs() < 1e-12 && !labels(&axis).is_empty(), "{axis:?}");
            let (low, high) = axis.ends();
            assert!(low < 3.0 && 3.0 < high);
        }
        assert!(!labels(&Axis::around(Scale::Log, std::iter::empty())).is_empty());
    }
}
