//! A support: points of one space, checked.

use super::input::{Points, Source};
use super::rows::{Rows, Values};
use crate::error::{Error, Side};
use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use rayon::prelude::*;
use std::ops::Deref;

/// From this many coordinates on, half precision stays as it is: below, the points are not what fills the memory.
const KEEP_HALF: usize = 32;
/// The largest coordinate: its square, times the 2^24 terms of a large sum, is still an f32 (2^116).
const LARGEST: f32 = (1_u64 << 46) as f32;
/// Rows checked at a time.
const CHUNK: usize = 256;

/// Points as rows, `(n, d)`, contiguous, in f32, or in f16 or bf16 where they came so in many dimensions; in memory of the caller, or a
/// tensor on any device with a view from the host.
#[derive(Debug, Clone)]
pub struct PointCloud<'a> {
    store: Store<'a>,
    num_points: usize,
    dimension: usize,
}

#[derive(Debug, Clone)]
enum Store<'a> {
    Borrowed(Rows<'a>),
    Tensor { tensor: Tensor, host: Tensor },
}

impl<'a> PointCloud<'a> {
    /// Takes points as they are where their type and order are kept, and a copy otherwise.
    pub(crate) fn new(points: Points<'a>, side: Side) -> Result<Self, Error> {
        let (num_points, dimension) = points.shape(side)?;
        if num_points == 0 || dimension == 0 {
            return Err(Error::EmptySupport { side, points: num_points, dimension });
        }
        let limit = (u32::MAX / 2) as usize;
        if num_points > limit {
            return Err(Error::TooManyPoints { side, points: num_points, limit });
        }
        let store = match points.source {
            Source::Host(values @ Values::F32(_), dimension) => Store::Borrowed(Rows::new(values, dimension)),
            Source::Host(values, dimension) if dimension >= KEEP_HALF => Store::Borrowed(Rows::new(values, dimension)),
            Source::Host(values, dimension) => {
                let wide = Rows::new(values, dimension).all().into_owned();
                Store::of_tensor(Tensor::from_vec(wide, (num_points, dimension), &Device::Cpu)?)?
            }
            Source::Tensor(tensor) => {
                let keep = matches!(tensor.dtype(), DType::F16 | DType::BF16) && dimension >= KEEP_HALF;
                Store::of_tensor(tensor.to_dtype(if keep { tensor.dtype() } else { DType::F32 })?.contiguous()?)?
            }
        };
        Ok(Self { store, num_points, dimension })
    }

    /// Number of points, n.
    pub fn num_points(&self) -> usize {
        self.num_points
    }

    /// Number of coordinates, d.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Where the points are; what is borrowed is in host memory.
    pub fn device(&self) -> &Device {
        match &self.store {
            Store::Borrowed(_) => &Device::Cpu,
            Store::Tensor { tensor, .. } => tensor.device(),
        }
    }

    /// The type that coordinates are stored in.
    pub fn dtype(&self) -> DType {
        match &self.store {
            Store::Borrowed(rows) => rows.dtype(),
            Store::Tensor { tensor, .. } => tensor.dtype(),
        }
    }

    /// The points as a tensor, `(n, d)`, f32, f16 or bf16, on their device: a copy where they are borrowed.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn to_tensor(&self) -> candle_core::Result<Tensor> {
        match &self.store {
            Store::Borrowed(rows) => rows.to_tensor(),
            Store::Tensor { tensor, .. } => Ok(tensor.clone()),
        }
    }

    /// The points as seen from the host; holds a read lock on a tensor's memory.
    pub fn rows(&self) -> HostRows<'_> {
        match &self.store {
            Store::Borrowed(rows) => HostRows { memory: Memory::Borrowed(*rows) },
            Store::Tensor { host, .. } => {
                let (storage, layout) = host.storage_and_layout();
                let start = layout.start_offset();
                let values = start..start + self.num_points * self.dimension;
                let dimension = self.dimension;
                HostRows { memory: Memory::Tensor { storage: Box::new(storage), values, dimension } }
            }
        }
    }

    /// Refuses NaN and infinite coordinates, naming the first.
    pub(crate) fn check_finite(&self, side: Side) -> Result<(), Error> {
        let found = self.first_where(|value| !value.is_finite());
        found.map_or(Ok(()), |(row, column, value)| Err(Error::NotFinite { side, row, column, value }))
    }

    /// Refuses coordinates whose squares, summed over coordinates and points, would leave the range of f32, naming the first.
    pub(crate) fn check_size(&self, side: Side) -> Result<(), Error> {
        let limit = LARGEST;
        let found = self.first_where(|value| value.abs() > limit);
        found.map_or(Ok(()), |(row, column, value)| Err(Error::TooLarge { side, row, column, value, limit }))
    }

    /// Row, column and value of the first coordinate that is so.
    fn first_where(&self, is_so: impl Fn(f32) -> bool + Sync) -> Option<(usize, usize, f32)> {
        let host = self.rows();
        host.view().chunks(CHUNK).enumerate().find_map_first(|(chunk, values)| {
            let at = values.iter().position(|&value| is_so(value))?;
            Some((chunk * CHUNK + at / self.dimension, at % self.dimension, values[at]))
        })
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

impl Store<'_> {
    fn of_tensor(tensor: Tensor) -> Result<Self, Error> {
        let host = tensor.to_device(&Device::Cpu)?;
        Ok(Self::Tensor { tensor, host })
    }
}

/// The rows of a [`PointCloud`] in host memory.
pub struct HostRows<'a> {
    memory: Memory<'a>,
}

enum Memory<'a> {
    Borrowed(Rows<'a>),
    Tensor { storage: Box<dyn Deref<Target = Storage> + 'a>, values: std::ops::Range<usize>, dimension: usize },
}

impl HostRows<'_> {
    /// The points, `(n, d)`.
    ///
    /// # Panics
    /// Never: the cloud's constructor put values of one of these types on the CPU.
    pub fn view(&self) -> Rows<'_> {
        let (storage, range, dimension) = match &self.memory {
            Memory::Borrowed(rows) => return *rows,
            Memory::Tensor { storage, values, dimension } => (&***storage, values.clone(), *dimension),
        };
        let values = match storage {
            Storage::Cpu(CpuStorage::F32(all)) => Values::F32(&all[range]),
            Storage::Cpu(CpuStorage::F16(all)) => Values::F16(&all[range]),
            Storage::Cpu(CpuStorage::BF16(all)) => Values::Bf16(&all[range]),
            _ => unreachable!("a point cloud keeps floating-point values on the host"),
        };
        Rows::new(values, dimension)
    }
}
