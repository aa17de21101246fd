//! A confidence interval for the mean of bounded values.

/// The largest bet: no single value can lose everything.
const LARGEST_BET: f64 = 0.75;
/// Halvings that find an end of the interval.
const HALVINGS: usize = 60;

/// An interval that holds the mean of the distribution in [0, 1] that `values` were drawn from, independently, but for a chance of
/// `error`.
///
/// Each end comes from a game that would be fair at the true mean: stakes are bet on values above (or below) a supposed mean, and are chosen
/// from the values before. A supposed mean at which the stakes would have grown by 1 / chance is left out. The interval adapts
/// to the variance, as empirical Bernstein bounds do, with better constants.
///
/// References: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86 (2024).
pub fn mean_between(values: &[f64], error: f64) -> (f64, f64) {
    let needed = (2.0 / error).ln();
    let bets = bets(values, needed);
    let gain = |sign: f64, mean: f64| -> f64 {
        values.iter().zip(&bets).map(|(value, bet)| (sign * bet * (value - mean)).ln_1p()).sum()
    };
    // The stakes on low values grow with the supposed mean, those on high values fall.
    let high = boundary(|mean| gain(-1.0, mean) < needed);
    let low = 1.0 - boundary(|distance| gain(1.0, 1.0 - distance) < needed);
    (low.max(0.0), high)
}

/// The least number in [0, 1] from which on `inside` no longer holds; 1 if it holds everywhere.
fn boundary(inside: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    if inside(high) {
        return high;
    }
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if inside(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The bet on each value, chosen from those before it: large where they varied little.
fn bets(values: &[f64], needed: f64) -> Vec<f64> {
    let (mut count, mut sum, mut squares) = (1.0, 0.5, 0.25);
    values
        .iter()
        .map(|value| {
            let bet = (2.0 * needed / (values.len() as f64 * squares / count)).sqrt().min(LARGEST_BET);
            count += 1.0;
            sum += value;
            squares += (value - sum / count).powi(2);
            bet
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;
    use rand::Rng;

    /// Makes a value of a number drawn evenly from [0, 1).
    type Draw = fn(f64) -> f64;

    /// Values of several distributions: the interval misses the mean no more often than it may, and narrows.
    #[test]
    fn the_interval_holds_the_mean_and_narrows() {
        let error = 0.05;
        let distributions: [(f64, Draw); 3] =
            [(0.5, |unit| unit), (0.02, |unit| if unit < 0.02 { 1.0 } else { 0.0 }), (0.001, |unit| 0.002 * unit)];
        let mut rng = stream(11, &[]);
        for (mean, draw) in distributions {
            let trials = 400;
            let mut missed = 0;
            let mut widths = [0.0; 2];
            for _ in 0..trials {
                for (width, size) in widths.iter_mut().zip([100, 1600]) {
                    let values: Vec<f64> = (0..size).map(|_| draw(rng.random())).collect();
                    let (low, high) = mean_between(&values, error);
                    assert!(0.0 <= low && low <= high && high <= 1.0);
                    *width += (high - low) / f64::from(trials);
                    missed += usize::from(size == 1600 && !(low..=high).contains(&mean));
                }
            }
            assert!(missed as f64 <= 1.5 * error * f64::from(trials), "mean {mean}: missed {missed} of {trials}");
            assert!(widths[1] < 0.5 * widths[0], "mean {mean}: {widths:?}");
        }
    }
}
