//! The two supports and the cost: what is to be paired.

use crate::cost::CostKind;
use crate::error::{Error, Side};
use crate::marginals::Marginals;
use crate::points::{PointCloud, Points};
use crate::restrictions::Restrictions;
use rayon::prelude::*;

/// Two point sets of the same space and a cost between them, checked: finite, non-empty, of one dimension, on one device.
///
/// Points that are borrowed from host memory stay where they are. Both sides carry uniform marginals unless
/// [`Problem::with_marginals`] says otherwise. With n = m the answer is a bijection; otherwise every point of the smaller side
/// is matched once and the rest of the larger side stays unmatched.
#[derive(Debug, Clone)]
pub struct Problem<'a> {
    x: PointCloud<'a>,
    y: PointCloud<'a>,
    cost: CostKind,
    marginals: Option<Marginals>,
    restrictions: Option<Restrictions>,
}

impl<'a> Problem<'a> {
    /// Checks the supports `x`, `(n, d)`, and `y`, `(m, d)`; O((n + m) d).
    ///
    /// # Errors
    /// Supports that are not matrices, are empty, differ in dimension or device or hold NaN or infinite values; zero vectors
    /// under the cosine cost, values whose squares overflow under the others.
    pub fn new(x: impl Into<Points<'a>>, y: impl Into<Points<'a>>, cost: CostKind) -> Result<Self, Error> {
        Self::of_points(x.into(), y.into(), cost)
    }

    fn of_points(x: Points<'a>, y: Points<'a>, cost: CostKind) -> Result<Self, Error> {
        let (x, y) = (PointCloud::new(x, Side::X)?, PointCloud::new(y, Side::Y)?);
        if x.dimension() != y.dimension() {
            return Err(Error::DimensionMismatch { x: x.dimension(), y: y.dimension() });
        }
        if !x.device().same_device(y.device()) {
            return Err(Error::DeviceMismatch { x: x.device().location(), y: y.device().location() });
        }
        for (cloud, side) in [(&x, Side::X), (&y, Side::Y)] {
            cloud.check_finite(side)?;
            // The cosine's vectors are brought to unit length in f64.
            if cost == CostKind::Cosine {
                cloud.check_nonzero(side)?;
            } else {
                cloud.check_size(side)?;
            }
        }
        Ok(Self { x, y, cost, marginals: None, restrictions: None })
    }

    /// The same supports with other masses; for the solvers that take them.
    ///
    /// # Errors
    /// [`Error::MarginalLength`] for marginals of other sizes.
    pub fn with_marginals(self, marginals: Marginals) -> Result<Self, Error> {
        marginals.check_sizes(self.x.num_points(), self.y.num_points())?;
        Ok(Self { marginals: Some(marginals), ..self })
    }

    /// The same supports with restricted costs.
    pub(crate) fn restricted(self, restrictions: Restrictions) -> Self {
        Self { restrictions: Some(restrictions), ..self }
    }

    /// What restricts the costs, if anything does.
    pub(crate) fn restrictions(&self) -> Option<&Restrictions> {
        self.restrictions.as_ref()
    }

    /// The source support, `(n, d)`.
    pub fn x(&self) -> &PointCloud<'a> {
        &self.x
    }

    /// The target support, `(m, d)`.
    pub fn y(&self) -> &PointCloud<'a> {
        &self.y
    }

    /// The cost.
    pub fn cost(&self) -> CostKind {
        self.cost
    }

    /// No cost of a pair is larger in size; O((n + m) d).
    pub(crate) fn largest_cost(&self) -> f64 {
        let longest = |cloud: &PointCloud<'_>| {
            let rows = cloud.rows();
            let rows = rows.view();
            let squared = |i| rows.row(i).iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
            (0..cloud.num_points()).into_par_iter().map(squared).reduce(|| 0.0, f64::max).sqrt()
        };
        let (x, y) = (longest(&self.x), longest(&self.y));
        match self.cost {
            CostKind::SquaredEuclidean => (x + y) * (x + y),
            CostKind::Euclidean => x + y,
            CostKind::Cosine => 2.0,
            CostKind::NegativeInnerProduct => x * y,
        }
    }

    /// The masses of the points, uniform unless others were given.
    pub fn marginals(&self) -> Marginals {
        self.marginals.clone().unwrap_or_else(|| Marginals::uniform(self.x.num_points(), self.y.num_points()))
    }

    /// Refuses masses that were given, for a solver that pairs points one to one.
    ///
    /// # Errors
    /// [`Error::MarginalsNotTaken`].
    pub fn expect_no_marginals(&self, solver: &'static str) -> Result<(), Error> {
        if self.marginals.is_none() { Ok(()) } else { Err(Error::MarginalsNotTaken { solver }) }
    }

    /// The same problem seen from the other side; shares the points.
    #[must_use]
    pub fn turned(&self) -> Self {
        let marginals = self.marginals.as_ref().map(Marginals::turned);
        let restrictions = self.restrictions.as_ref().map(Restrictions::turned);
        Self { x: self.y.clone(), y: self.x.clone(), cost: self.cost, marginals, restrictions }
    }
}
