//! Points in host memory, read in the type that they are stored in.

use candle_core::{DType, Device, Tensor};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;

/// Points as rows, `(n, d)`, in f32, f16 or bf16. Half precision is widened where it is read, which is exact: results are those of
/// the same points stored in f32, in half the memory.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    values: Values<'a>,
    dimension: usize,
}

/// A type that coordinates are stored in: f32, f16 or bf16.
pub trait Coordinate: sealed::Stored {}

impl Coordinate for f32 {}
impl Coordinate for f16 {}
impl Coordinate for bf16 {}

mod sealed {
    /// What the crate knows of a [`super::Coordinate`].
    pub trait Stored: Copy + Sized {
        /// The values with their type.
        fn values(values: &[Self]) -> super::Values<'_>;
    }
}

/// Coordinates in the type that they are stored in.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Half precision.
    F16(&'a [f16]),
    /// Half precision with the range of f32.
    Bf16(&'a [bf16]),
}

impl sealed::Stored for f32 {
    fn values(values: &[Self]) -> Values<'_> {
        Values::F32(values)
    }
}

impl sealed::Stored for f16 {
    fn values(values: &[Self]) -> Values<'_> {
        Values::F16(values)
    }
}

impl sealed::Stored for bf16 {
    fn values(values: &[Self]) -> Values<'_> {
        Values::Bf16(values)
    }
}

impl<'a> Values<'a> {
    pub(super) fn len(self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::Bf16(values) => values.len(),
        }
    }

    /// The values of a range, widened into `out`.
    fn copy(self, range: Range<usize>, out: &mut [f32]) {
        match self {
            Self::F32(values) => out.copy_from_slice(&values[range]),
            Self::F16(values) => values[range].convert_to_f32_slice(out),
            Self::Bf16(values) => values[range].convert_to_f32_slice(out),
        }
    }

    fn get(self, range: Range<usize>) -> Cow<'a, [f32]> {
        match self {
            Self::F32(values) => Cow::Borrowed(&values[range]),
            Self::F16(_) | Self::Bf16(_) => {
                let mut out = vec![0.0; range.len()];
                self.copy(range, &mut out);
                Cow::Owned(out)
            }
        }
    }
}

impl<'a> Rows<'a> {
    pub(super) fn new(values: Values<'a>, dimension: usize) -> Self {
        debug_assert!(values.len().is_multiple_of(dimension), "whole rows");
        Self { values, dimension }
    }

    /// Rows of `dimension` values each.
    pub(crate) fn of(values: &'a [f32], dimension: usize) -> Self {
        Self::new(Values::F32(values), dimension)
    }

    pub(super) fn into_parts(self) -> (Values<'a>, usize) {
        (self.values, self.dimension)
    }

    /// The type that coordinates are stored in.
    pub fn dtype(self) -> DType {
        match self.values {
            Values::F32(_) => DType::F32,
            Values::F16(_) => DType::F16,
            Values::Bf16(_) => DType::BF16,
        }
    }

    /// A copy as a tensor, `(n, d)`.
    pub(super) fn to_tensor(self) -> candle_core::Result<Tensor> {
        let shape = (self.num_points(), self.dimension);
        match self.values {
            Values::F32(values) => Tensor::from_slice(values, shape, &Device::Cpu),
            Values::F16(values) => Tensor::from_slice(values, shape, &Device::Cpu),
            Values::Bf16(values) => Tensor::from_slice(values, shape, &Device::Cpu),
        }
    }

    /// Number of points, n.
    pub fn num_points(self) -> usize {
        self.values.len() / self.dimension
    }

    /// Number of coordinates, d.
    pub fn dimension(self) -> usize {
        self.dimension
    }

    /// One point, `(d,)`; borrowed where it is stored in f32.
    ///
    /// # Panics
    /// If there is no such point.
    pub fn row(self, index: usize) -> Cow<'a, [f32]> {
        self.range(index..index + 1)
    }

    /// Points of a range, `(range, d)`, row-major; borrowed where they are stored in f32.
    ///
    /// # Panics
    /// If there are no such points.
    pub fn range(self, points: Range<usize>) -> Cow<'a, [f32]> {
        self.values.get(points.start * self.dimension..points.end * self.dimension)
    }

    /// All points, `(n, d)`.
    pub fn all(self) -> Cow<'a, [f32]> {
        self.range(0..self.num_points())
    }

    /// All points in chunks of `points` rows (the last may be shorter), in order.
    pub fn chunks(self, points: usize) -> impl IndexedParallelIterator<Item = Cow<'a, [f32]>> {
        let num_points = self.num_points();
        (0..num_points.div_ceil(points))
            .into_par_iter()
            .map(move |chunk| self.range(chunk * points..((chunk + 1) * points).min(num_points)))
    }

    /// Copies one point to `out`, `(d,)`.
    pub(crate) fn copy_row(self, index: usize, out: &mut [f32]) {
        self.values.copy(index * self.dimension..(index + 1) * self.dimension, out);
    }

    /// The points of `order`, one after the other, `(order, d)`.
    pub fn gather(self, order: &[u32]) -> Vec<f32> {
        let mut out = vec![0.0; order.len() * self.dimension];
        out.par_chunks_exact_mut(self.dimension).zip(order).for_each(|(out, &i)| self.copy_row(i as usize, out));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_widened_exactly() {
        let values: Vec<f32> = (0..15).map(|i| i as f32 * 0.25 - 1.0).collect();
        let (half, brain): (Vec<f16>, Vec<bf16>) =
            values.iter().map(|&v| (f16::from_f32(v), bf16::from_f32(v))).unzip();
        let single = Rows::of(&values, 3);
        for rows in [single, Rows::new(Values::F16(&half), 3), Rows::new(Values::Bf16(&brain), 3)] {
            assert_eq!((rows.num_points(), rows.dimension()), (5, 3));
            assert_eq!(rows.row(2), &values[6..9]);
            assert_eq!(rows.all(), values);
            assert_eq!(rows.gather(&[4, 0]), [&values[12..], &values[..3]].concat());
            let chunks: Vec<usize> = rows.chunks(2).map(|chunk| chunk.len()).collect();
            assert_eq!(chunks, [6, 6, 3]);
        }
        assert!(matches!(single.row(0), Cow::Borrowed(_)));
    }
}
