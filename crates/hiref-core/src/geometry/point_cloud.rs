//! A support: points of one space as the rows of a tensor.

use super::rows::{Rows, Values};
use crate::error::{Error, Side};
use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use rayon::prelude::*;
use std::ops::Deref;

/// From this many coordinates on, half precision stays as it is: below, the points are not what fills the memory.
const KEEP_HALF: usize = 32;
/// Rows checked at a time.
const CHUNK: usize = 256;

/// Points as rows, `(n, d)`, contiguous, in f32, or in f16 or bf16 where they came so in many dimensions; on any device, with a view
/// from the host.
#[derive(Debug, Clone)]
pub struct PointCloud {
    tensor: Tensor,
    host: Tensor,
    num_points: usize,
    dimension: usize,
}

impl PointCloud {
    /// Takes a matrix of any float type; shares its memory where that is contiguous, of a type kept and on the CPU.
    pub(crate) fn new(points: &Tensor, side: Side) -> Result<Self, Error> {
        let &[num_points, dimension] = points.dims() else {
            return Err(Error::NotAMatrix { side, shape: points.dims().to_vec() });
        };
        if num_points == 0 || dimension == 0 {
            return Err(Error::EmptySupport { side, points: num_points, dimension });
        }
        let limit = (u32::MAX / 2) as usize;
        if num_points > limit {
            return Err(Error::TooManyPoints { side, points: num_points, limit });
        }
        let keep = matches!(points.dtype(), DType::F16 | DType::BF16) && dimension >= KEEP_HALF;
        let tensor = points.to_dtype(if keep { points.dtype() } else { DType::F32 })?.contiguous()?;
        let host = tensor.to_device(&Device::Cpu)?;
        Ok(Self { tensor, host, num_points, dimension })
    }

    /// Number of points, n.
    pub fn num_points(&self) -> usize {
        self.num_points
    }

    /// Number of coordinates, d.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The points, `(n, d)`, f32, f16 or bf16, on their device.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// The points as seen from the host; holds a read lock on the tensor's memory.
    pub fn rows(&self) -> HostRows<'_> {
        let (storage, layout) = self.host.storage_and_layout();
        HostRows {
            storage: Box::new(storage),
            offset: layout.start_offset(),
            num_points: self.num_points,
            dimension: self.dimension,
        }
    }

    /// Refuses NaN and infinite coordinates, naming the first.
    pub(crate) fn check_finite(&self, side: Side) -> Result<(), Error> {
        let host = self.rows();
        let found = host.view().chunks(CHUNK).enumerate().find_map_first(|(chunk, values)| {
            let at = values.iter().position(|value| !value.is_finite())?;
            Some((chunk * CHUNK + at / self.dimension, at % self.dimension, values[at]))
        });
        found.map_or(Ok(()), |(row, column, value)| Err(Error::NotFinite { side, row, column, value }))
    }

    /// Refuses zero vectors, naming the first.
    pub(crate) fn check_nonzero(&self, side: Side) -> Result<(), Error> {
        let host = self.rows();
        let found = host.view().chunks(CHUNK).enumerate().find_map_first(|(chunk, values)| {
            let mut rows = values.chunks_exact(self.dimension);
            Some(chunk * CHUNK + rows.position(|row| row.iter().all(|&value| value == 0.0))?)
        });
        found.map_or(Ok(()), |row| Err(Error::ZeroVector { side, row }))
    }
}

/// The rows of a [`PointCloud`] in host memory.
pub struct HostRows<'a> {
    storage: Box<dyn Deref<Target = Storage> + 'a>,
    offset: usize,
    num_points: usize,
    dimension: usize,
}

impl HostRows<'_> {
    /// The points, `(n, d)`.
    ///
    /// # Panics
    /// Never: the cloud's constructor put values of one of these types on the CPU.
    pub fn view(&self) -> Rows<'_> {
        let values = self.offset..self.offset + self.num_points * self.dimension;
        let values = match &**self.storage {
            Storage::Cpu(CpuStorage::F32(all)) => Values::F32(&all[values]),
            Storage::Cpu(CpuStorage::F16(all)) => Values::F16(&all[values]),
            Storage::Cpu(CpuStorage::BF16(all)) => Values::Bf16(&all[values]),
            _ => unreachable!("a point cloud keeps floating-point values on the host"),
        };
        Rows::new(values, self.dimension)
    }
}
