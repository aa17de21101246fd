//! Points as they are handed in.

use super::rows::{Coordinate, Rows};
use crate::error::{Error, Side};
use candle_core::Tensor;

/// Points of one side, not checked yet: borrowed from memory, or a tensor.
///
/// Whatever converts into it can be paired: a slice of coordinates with their number for each point, points as arrays, a tensor, or
/// [`Rows`]. Borrowed coordinates are f32, f16 or bf16, row-major, and are read where they lie: no copy of them is made, except that half
/// precision of fewer than 32 coordinates is widened once, and that a GPU gets its own.
///
/// ```
/// use hiref_core::{CostKind, Points, Problem};
/// let flat = vec![0.0_f32, 0.0, 3.0, 4.0];
/// let x = Points::from((&flat[..], 2));
/// let problem = Problem::new(x, &[[0.0_f32, 1.0], [2.0, 2.0]], CostKind::Euclidean)?;
/// assert_eq!((problem.x().num_points(), problem.x().dimension()), (2, 2));
/// # Ok::<(), hiref_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Points<'a> {
    pub(super) source: Source<'a>,
}

#[derive(Debug, Clone)]
pub(super) enum Source<'a> {
    /// Coordinates, and how many each point has.
    Host(super::rows::Values<'a>, usize),
    Tensor(Tensor),
}

impl<'a> Points<'a> {
    /// Coordinates row-major, `dimension` for each point.
    pub fn new<T: Coordinate>(values: &'a [T], dimension: usize) -> Self {
        Self { source: Source::Host(T::values(values), dimension) }
    }
}

impl<'a, T: Coordinate> From<(&'a [T], usize)> for Points<'a> {
    fn from((values, dimension): (&'a [T], usize)) -> Self {
        Self::new(values, dimension)
    }
}

impl<'a, T: Coordinate> From<(&'a Vec<T>, usize)> for Points<'a> {
    fn from((values, dimension): (&'a Vec<T>, usize)) -> Self {
        Self::new(values, dimension)
    }
}

impl<'a, T: Coordinate, const D: usize> From<&'a [[T; D]]> for Points<'a> {
    fn from(points: &'a [[T; D]]) -> Self {
        Self::new(points.as_flattened(), D)
    }
}

impl<'a, T: Coordinate, const D: usize, const N: usize> From<&'a [[T; D]; N]> for Points<'a> {
    fn from(points: &'a [[T; D]; N]) -> Self {
        Self::new(points.as_flattened(), D)
    }
}

impl<'a, T: Coordinate, const D: usize> From<&'a Vec<[T; D]>> for Points<'a> {
    fn from(points: &'a Vec<[T; D]>) -> Self {
        Self::new(points.as_flattened(), D)
    }
}

impl<'a> From<Rows<'a>> for Points<'a> {
    fn from(rows: Rows<'a>) -> Self {
        let (values, dimension) = rows.into_parts();
        Self { source: Source::Host(values, dimension) }
    }
}

/// A matrix of any number type, `(n, d)`; shares its memory where that is contiguous and of a type that is kept.
impl From<&Tensor> for Points<'_> {
    fn from(tensor: &Tensor) -> Self {
        tensor.clone().into()
    }
}

impl From<Tensor> for Points<'_> {
    fn from(tensor: Tensor) -> Self {
        Self { source: Source::Tensor(tensor) }
    }
}

impl Points<'_> {
    /// Number of points and of coordinates.
    pub(super) fn shape(&self, side: Side) -> Result<(usize, usize), Error> {
        match &self.source {
            Source::Tensor(tensor) => match tensor.dims() {
                &[num_points, dimension] => Ok((num_points, dimension)),
                shape => Err(Error::NotAMatrix { side, shape: shape.to_vec() }),
            },
            Source::Host(values, dimension) => match values.len().checked_rem(*dimension) {
                None => Ok((0, 0)),
                Some(0) => Ok((values.len() / dimension, *dimension)),
                Some(_) => Err(Error::RaggedRows { side, values: values.len(), dimension: *dimension }),
            },
        }
    }
}
