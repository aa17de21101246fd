//! A one-to-one pairing of two supports, checked when it is made.

use crate::error::Error;

/// The partner of an x point that has none (only when there are more x than y points).
pub const UNMATCHED: u32 = u32::MAX;

/// A bijection between n x points and m = n y points; when n and m differ, an injection of the smaller side into the larger.
///
/// Holds `y_of_x`, `(n,)`: the y index paired with each x index, or [`UNMATCHED`]. The constructors check that no y
/// index occurs twice and that exactly min(n, m) pairs exist, so that a value of this type always is such a pairing.
///
/// ```
/// use hiref_core::Permutation;
/// let pairing = Permutation::new(vec![2, 0, 1], 3)?;
/// assert_eq!(pairing.x_of_y(), vec![1, 2, 0]);
/// assert!(Permutation::new(vec![0, 0, 1], 3).is_err());
/// # Ok::<(), hiref_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permutation {
    y_of_x: Vec<u32>,
    num_y: usize,
}

impl Permutation {
    /// Checks `y_of_x`, `(n,)`, against `num_y` target points; O(n + m).
    ///
    /// # Errors
    /// [`Error::IndexOutOfRange`], [`Error::RepeatedIndex`] or [`Error::WrongPairCount`].
    pub fn new(y_of_x: Vec<u32>, num_y: usize) -> Result<Self, Error> {
        // Zeroed memory that is never touched is never taken: `num_y` may come from a file.
        let mut seen = vec![0_u64; num_y.div_ceil(64)];
        let mut found = 0;
        for (position, &value) in y_of_x.iter().enumerate() {
            if value == UNMATCHED {
                continue;
            }
            if value as usize >= num_y {
                return Err(Error::IndexOutOfRange { position, value, limit: num_y });
            }
            let (word, bit) = (&mut seen[value as usize / 64], 1 << (value % 64));
            if *word & bit != 0 {
                let first = y_of_x.iter().position(|&other| other == value).unwrap_or(position);
                return Err(Error::RepeatedIndex { value, first, second: position });
            }
            *word |= bit;
            found += 1;
        }
        let expected = y_of_x.len().min(num_y);
        if found != expected {
            return Err(Error::WrongPairCount { found, expected });
        }
        Ok(Self { y_of_x, num_y })
    }

    /// The pairing made by a solver whose moves only exchange partners.
    ///
    /// # Panics
    /// If the indices are not distinct after all: a fault of the solver, never of its input.
    pub(crate) fn of_distinct(y_of_x: Vec<u32>, num_y: usize) -> Self {
        match Self::new(y_of_x, num_y) {
            Ok(permutation) => permutation,
            Err(fault) => unreachable!("exchanging partners keeps a pairing one to one: {fault}"),
        }
    }

    /// Pairs index i with index i.
    pub fn identity(n: usize) -> Self {
        Self { y_of_x: (0..n as u32).collect(), num_y: n }
    }

    /// The y partner of each x point, `(n,)`, [`UNMATCHED`] where there is none.
    pub fn y_of_x(&self) -> &[u32] {
        &self.y_of_x
    }

    /// The x partner of each y point, `(m,)`, [`UNMATCHED`] where there is none.
    pub fn x_of_y(&self) -> Vec<u32> {
        let mut x_of_y = vec![UNMATCHED; self.num_y];
        for (x, y) in self.pairs() {
            x_of_y[y] = x as u32;
        }
        x_of_y
    }

    /// Number of x points, n.
    pub fn num_x(&self) -> usize {
        self.y_of_x.len()
    }

    /// Number of y points, m.
    pub fn num_y(&self) -> usize {
        self.num_y
    }

    /// Number of pairs, min(n, m).
    pub fn num_pairs(&self) -> usize {
        self.y_of_x.len().min(self.num_y)
    }

    /// Whether every point of both sides is paired (n = m).
    pub fn is_bijection(&self) -> bool {
        self.y_of_x.len() == self.num_y
    }

    /// The pairs (x index, y index), by x index.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.y_of_x.iter().enumerate().filter(|&(_, &y)| y != UNMATCHED).map(|(x, &y)| (x, y as usize))
    }

    /// The same pairs seen from the other side.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self { y_of_x: self.x_of_y(), num_y: self.y_of_x.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_injection_lists_the_unmatched() {
        let wide = Permutation::new(vec![3, 1], 4).unwrap();
        assert_eq!((wide.num_pairs(), wide.is_bijection()), (2, false));
        assert_eq!(wide.x_of_y(), vec![UNMATCHED, 1, UNMATCHED, 0]);
        assert_eq!(wide.inverse().y_of_x(), [UNMATCHED, 1, UNMATCHED, 0]);
        assert_eq!(wide.inverse().inverse(), wide);
    }

    #[test]
    fn each_rule_has_its_error() {
        assert!(matches!(
            Permutation::new(vec![0, 5], 2),
            Err(Error::IndexOutOfRange { position: 1, value: 5, limit: 2 })
        ));
        assert!(matches!(Permutation::new(vec![1, 1], 2), Err(Error::RepeatedIndex { value: 1, first: 0, second: 1 })));
        assert!(matches!(
            Permutation::new(vec![0, UNMATCHED], 2),
            Err(Error::WrongPairCount { found: 1, expected: 2 })
        ));
    }
}
