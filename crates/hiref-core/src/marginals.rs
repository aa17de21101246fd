//! How much mass each point carries.

use crate::error::{Error, Side};

/// Probability weights `a (n,)` and `b (m,)` of the two supports, checked: positive, finite, each side of sum one.
///
/// ```
/// use hiref_core::Marginals;
/// let marginals = Marginals::new(vec![1.0, 3.0], vec![2.0, 2.0, 4.0])?;
/// assert_eq!(marginals.a(), [0.25, 0.75]);
/// assert!(Marginals::new(vec![1.0, 0.0], vec![1.0]).is_err());
/// # Ok::<(), hiref_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Marginals {
    a: Vec<f64>,
    b: Vec<f64>,
}

impl Marginals {
    /// Takes weights in any unit and scales each side to sum one.
    ///
    /// # Errors
    /// [`Error::Weight`] for a weight that is not a positive finite number.
    pub fn new(a: Vec<f64>, b: Vec<f64>) -> Result<Self, Error> {
        Ok(Self { a: normalized(a, Side::X)?, b: normalized(b, Side::Y)? })
    }

    /// Equal weights on n and m points.
    pub fn uniform(n: usize, m: usize) -> Self {
        Self { a: vec![1.0 / n as f64; n], b: vec![1.0 / m as f64; m] }
    }

    /// Weights of x, `(n,)`.
    pub fn a(&self) -> &[f64] {
        &self.a
    }

    /// Weights of y, `(m,)`.
    pub fn b(&self) -> &[f64] {
        &self.b
    }

    /// The two sides exchanged.
    #[must_use]
    pub fn turned(&self) -> Self {
        Self { a: self.b.clone(), b: self.a.clone() }
    }

    /// The weights of some points, at their present scale.
    #[must_use]
    pub fn restricted(&self, rows: &[u32], columns: &[u32]) -> Self {
        let pick = |from: &[f64], indices: &[u32]| indices.iter().map(|&i| from[i as usize]).collect();
        Self { a: pick(&self.a, rows), b: pick(&self.b, columns) }
    }

    /// Other weights of the first side, of sum one, with the same second side.
    #[must_use]
    pub fn with_a(&self, a: Vec<f64>) -> Self {
        Self { a, b: self.b.clone() }
    }

    /// Refuses weights for other numbers of points.
    pub(crate) fn check_sizes(&self, n: usize, m: usize) -> Result<(), Error> {
        for (side, weights, points) in [(Side::X, &self.a, n), (Side::Y, &self.b, m)] {
            if weights.len() != points {
                return Err(Error::MarginalLength { side, weights: weights.len(), points });
            }
        }
        Ok(())
    }
}

fn normalized(mut weights: Vec<f64>, side: Side) -> Result<Vec<f64>, Error> {
    if let Some((position, &value)) = weights.iter().enumerate().find(|(_, w)| !(w.is_finite() && **w > 0.0)) {
        return Err(Error::Weight { side, position, value });
    }
    let total: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= total);
    Ok(weights)
}
