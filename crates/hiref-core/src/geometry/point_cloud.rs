//! A support: points of one space as the rows of a tensor.

use crate::error::{Error, Side};
use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use rayon::prelude::*;
use std::ops::Deref;

/// Points as rows, `(n, d)`, f32, contiguous; on any device, with a view from the host.
#[derive(Debug, Clone)]
pub struct PointCloud {
    tensor: Tensor,
    host: Tensor,
    num_points: usize,
    dimension: usize,
}

impl PointCloud {
    /// Takes a matrix of any float type; shares its memory where it already is contiguous f32 on the CPU.
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
        let tensor = points.to_dtype(DType::F32)?.contiguous()?;
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

    /// The points, `(n, d)`, on their device.
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
        let rows = self.rows();
        let all = rows.as_slice();
        match all.par_iter().position_first(|value| !value.is_finite()) {
            None => Ok(()),
            Some(at) => {
                Err(Error::NotFinite { side, row: at / self.dimension, column: at % self.dimension, value: all[at] })
            }
        }
    }

    /// Refuses zero vectors, naming the first.
    pub(crate) fn check_nonzero(&self, side: Side) -> Result<(), Error> {
        let rows = self.rows();
        match rows.as_slice().par_chunks(self.dimension).position_first(|row| row.iter().all(|&value| value == 0.0)) {
            None => Ok(()),
            Some(row) => Err(Error::ZeroVector { side, row }),
        }
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
    /// All coordinates, row-major, `(n * d,)`.
    ///
    /// # Panics
    /// Never: the cloud's constructor put f32 values on the CPU.
    pub fn as_slice(&self) -> &[f32] {
        let Storage::Cpu(CpuStorage::F32(values)) = &**self.storage else {
            unreachable!("a point cloud keeps an f32 copy on the host");
        };
        &values[self.offset..self.offset + self.num_points * self.dimension]
    }
}
