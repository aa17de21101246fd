//! What rounding to single precision does to coordinates that are far from zero and near to one another.

/// Rows that are looked at.
const ROWS: usize = 512;
/// Rounding that moves rows by a larger share of their distances from the mean changes what is near to what.
const MOST: f64 = 1e-3;

/// How values of more than single precision become f32: counted from an origin, with some rows noted as they were.
#[derive(Debug)]
pub(crate) struct Conversion {
    /// What is subtracted first, `(d,)`; nothing where it is empty.
    origin: Vec<f64>,
    /// One of so many rows is noted.
    step: usize,
    /// Noted rows, less the origin.
    noted: Vec<f64>,
}

impl Conversion {
    /// The conversion of a set of so many rows.
    pub(crate) fn new(rows: usize, origin: Option<Vec<f64>>) -> Self {
        Self { origin: origin.unwrap_or_default(), step: rows.div_ceil(ROWS).max(1), noted: Vec::new() }
    }

    /// Whether values are counted from elsewhere than zero.
    pub(crate) fn has_origin(&self) -> bool {
        !self.origin.is_empty()
    }

    /// A value of a column, counted from the origin.
    pub(crate) fn shifted(&self, column: usize, value: f64) -> f64 {
        value - self.origin.get(column).copied().unwrap_or_default()
    }

    /// One of so many rows is noted.
    pub(crate) fn step(&self) -> usize {
        self.step
    }

    /// Notes a row.
    pub(crate) fn note(&mut self, row: impl Iterator<Item = f64>) {
        let origin = self.origin.iter().copied().chain(std::iter::repeat(0.0));
        self.noted.extend(row.zip(origin).map(|(value, origin)| value - origin));
    }

    /// How far rounding moves the rows, as a share of their distances from the mean, in root mean squares; none where that is of no
    /// account.
    pub(crate) fn lost(&self, dimension: usize) -> Option<f64> {
        let rows: Vec<&[f64]> = self.noted.chunks_exact(dimension.max(1)).filter(|row| is_finite(row)).collect();
        let mut mean = vec![0.0; dimension];
        for row in &rows {
            mean.iter_mut().zip(*row).for_each(|(mean, value)| *mean += value / rows.len() as f64);
        }
        let (mut spread, mut moved) = (0.0, 0.0);
        for row in &rows {
            for (value, mean) in row.iter().zip(&mean) {
                spread += (value - mean).powi(2);
                moved += (value - f64::from(*value as f32)).powi(2);
            }
        }
        // Rows that are all the same lose nothing.
        let share = if spread > 0.0 { (moved / spread).sqrt() } else { 0.0 };
        (share > MOST).then_some(share)
    }
}

fn is_finite(row: &[f64]) -> bool {
    row.iter().all(|&value| (value as f32).is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_told_from_what_is_not() {
        let lost = |offset: f64, origin: Option<f64>| {
            let mut conversion = Conversion::new(2000, origin.map(|origin| vec![origin; 2]));
            let value = |row: usize, column: usize| offset + (row as f64 * (1.0 + column as f64)).sin();
            (0..2000)
                .step_by(conversion.step())
                .for_each(|row| conversion.note((0..2).map(|column| value(row, column))));
            conversion.lost(2)
        };
        assert_eq!([lost(0.0, None), lost(1e3, None), lost(1e9, Some(1e9 + 0.5))], [None; 3]);
        assert!(lost(1e9, None).unwrap() > 1.0, "nothing is left");
        assert!((0.001..0.1).contains(&lost(1e5, None).unwrap()), "{:?}", lost(1e5, None));
        let mut same = Conversion::new(3, None);
        (0..3).for_each(|_| same.note([1e9 + 0.1].into_iter()));
        assert_eq!(same.lost(1), None);
    }
}
