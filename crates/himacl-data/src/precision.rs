//! What rounding to single precision does to coordinates that are far from zero and near to one another.

/// Rows that are looked at.
const ROWS: usize = 512;
/// Rounding that moves rows by a larger share of their distances from the middle changes what is near to what.
const MOST: f64 = 1e-3;

/// Some rows of a set as they are, in f64.
#[derive(Debug)]
pub(crate) struct Sample {
    dimension: usize,
    values: Vec<f64>,
}

impl Sample {
    pub(crate) fn new(dimension: usize) -> Self {
        Self { dimension: dimension.max(1), values: Vec::new() }
    }

    /// Of so many rows in so many files, one of how many is looked at, and how many of a file at most.
    pub(crate) fn steps(rows: usize, files: usize) -> (usize, usize) {
        (rows.div_ceil(ROWS).max(1), ROWS.div_ceil(files.max(1)))
    }

    /// Takes a row, unless single precision has no such numbers.
    pub(crate) fn take(&mut self, row: impl Iterator<Item = f64>) {
        let before = self.values.len();
        self.values.extend(row);
        if !self.values[before..].iter().all(|&value| (value as f32).is_finite()) {
            self.values.truncate(before);
        }
    }

    /// The median of each coordinate, `(d,)`, which single rows far away do not move; zeros where there are no rows.
    pub(crate) fn middle(&self) -> Vec<f64> {
        let count = self.values.len() / self.dimension;
        let median = |column: usize| {
            let mut values: Vec<f64> = self.values.iter().skip(column).step_by(self.dimension).copied().collect();
            values.select_nth_unstable_by(count / 2, f64::total_cmp);
            values[count / 2]
        };
        (0..self.dimension).map(|column| if count > 0 { median(column) } else { 0.0 }).collect()
    }

    /// How far rounding moves a row, as a share of its distance from the middle, in the median of the rows; none where that is of no account.
    pub(crate) fn lost(&self) -> Option<f64> {
        let middle = self.middle();
        let rows = self.values.chunks_exact(self.dimension);
        let squares = rows.map(|row| {
            let spread = row.iter().zip(&middle).map(|(value, middle)| (value - middle).powi(2)).sum::<f64>();
            // What is too small for f32 is too small to matter.
            let seen = row.iter().filter(|value| value.abs() >= f64::from(f32::MIN_POSITIVE));
            (spread, seen.map(|value| (value - f64::from(*value as f32)).powi(2)).sum::<f64>())
        });
        let (spread, moved): (Vec<f64>, Vec<f64>) = squares.unzip();
        let [spread, moved] = [spread, moved].map(|mut squares| {
            squares.sort_by(f64::total_cmp);
            squares.get(squares.len() / 2).copied().unwrap_or_default()
        });
        // Rows that are all the same lose nothing.
        let share = if spread > 0.0 { (moved / spread).sqrt() } else { 0.0 };
        (share > MOST).then_some(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rows: &[[f64; 2]]) -> Sample {
        let mut sample = Sample::new(2);
        rows.iter().for_each(|row| sample.take(row.iter().copied()));
        sample
    }

    #[test]
    fn what_is_lost_is_told_from_what_is_not() {
        let rows = |offset: f64, scale: f64| -> Vec<[f64; 2]> {
            (0..400).map(|row| [1.0, 2.0].map(|factor| offset + scale * (f64::from(row) * factor).sin())).collect()
        };
        let lost = |offset: f64, scale: f64| sample(&rows(offset, scale)).lost();
        assert_eq!([lost(0.0, 1.0), lost(1e3, 1.0), lost(0.0, 1e-60), lost(7.0, 0.0)], [None; 4]);
        assert!(lost(1e9, 1.0).unwrap() > 1.0, "nothing is left");
        assert!((0.001..0.1).contains(&lost(1e5, 1.0).unwrap()), "{:?}", lost(1e5, 1.0));
        // A single row far from all others tells nothing of them.
        let mut with_zero = rows(1e9, 1.0);
        with_zero[0] = [0.0; 2];
        assert!(sample(&with_zero).lost().unwrap() > 0.9);
        let mut with_far = rows(0.0, 1.0);
        with_far[0] = [1e9; 2];
        assert!(sample(&with_far).lost().is_none());
        for count in 0..60 {
            assert_eq!(sample(&vec![[0.1, 1e9 + 0.1]; count]).lost(), None, "{count} equal rows");
        }
    }

    #[test]
    fn the_middle_is_that_of_most_rows() {
        let rows = [[1e9, 0.0], [1.0, 5.0], [2.0, 4.0], [f64::NAN, 3.0], [3.0, 1e300]];
        assert_eq!(sample(&rows).middle(), [2.0, 4.0]);
        assert_eq!(Sample::new(2).middle(), [0.0, 0.0]);
    }
}
