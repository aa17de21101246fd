//! The two supports and the cost: what is to be paired.

use crate::cost::CostKind;
use crate::error::{Error, Side};
use crate::geometry::PointCloud;
use candle_core::Tensor;

/// Two point sets of the same space and a cost between them, checked: finite, non-empty, of one dimension.
///
/// Both sides carry uniform marginals. With n = m the answer is a bijection; otherwise every point of the smaller side
/// is matched once and the rest of the larger side stays unmatched.
#[derive(Debug, Clone)]
pub struct Problem {
    x: PointCloud,
    y: PointCloud,
    cost: CostKind,
}

impl Problem {
    /// Checks the supports `x`, `(n, d)`, and `y`, `(m, d)`; any float type and device; O((n + m) d).
    ///
    /// # Errors
    /// Supports that are not matrices, are empty, differ in dimension or hold NaN or infinite values; zero vectors
    /// under the cosine cost.
    pub fn new(x: &Tensor, y: &Tensor, cost: CostKind) -> Result<Self, Error> {
        let x = PointCloud::new(x, Side::X)?;
        let y = PointCloud::new(y, Side::Y)?;
        if x.dimension() != y.dimension() {
            return Err(Error::DimensionMismatch { x: x.dimension(), y: y.dimension() });
        }
        for (cloud, side) in [(&x, Side::X), (&y, Side::Y)] {
            cloud.check_finite(side)?;
            if cost == CostKind::Cosine {
                cloud.check_nonzero(side)?;
            }
        }
        Ok(Self { x, y, cost })
    }

    /// The source support, `(n, d)`.
    pub fn x(&self) -> &PointCloud {
        &self.x
    }

    /// The target support, `(m, d)`.
    pub fn y(&self) -> &PointCloud {
        &self.y
    }

    /// The same problem seen from the other side; shares the points.
    pub(crate) fn turned(&self) -> Self {
        Self { x: self.y.clone(), y: self.x.clone(), cost: self.cost }
    }

    /// The cost.
    pub fn cost(&self) -> CostKind {
        self.cost
    }
}
