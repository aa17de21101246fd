//! One side's points on a device, or on their way there.

#[cfg(any(feature = "cuda", test))]
use crate::cost::CostKind;
use crate::error::Error;
use crate::points::Rows;
use hiref_kernels::{Buffer, DeviceRows, NONE, Queue, View, inverse_norms};
use rayon::prelude::*;
use std::ops::Range;

/// Rows sent at a time: those in half precision are widened on the way.
#[cfg(any(feature = "cuda", test))]
const CHUNK: usize = 1 << 16;

/// Points as rows, `(n, d)`.
#[derive(Debug)]
pub(crate) struct DevicePoints<'a> {
    store: Store<'a>,
    dimension: usize,
    /// `1 / |row|` for the cosine cost, where the points are on the device.
    inverse_norms: Option<Buffer<f64>>,
    num_points: usize,
}

#[derive(Debug)]
enum Store<'a> {
    #[cfg_attr(not(any(feature = "cuda", test)), expect(dead_code, reason = "no device to be had"))]
    Uploaded(Buffer<f32>),
    /// The tensor's memory, which it keeps alive.
    #[cfg(feature = "cuda")]
    Tensor { pointer: u64, _tensor: candle_core::Tensor },
    /// In host memory: what a batch needs is sent with it.
    #[cfg_attr(not(any(feature = "cuda", test)), expect(dead_code, reason = "no device to be had"))]
    Streamed(Rows<'a>),
}

/// Some rows on the device, and how to index them.
pub(crate) struct Picked<'b> {
    sent: Option<Buffer<f32>>,
    norms: Option<Buffer<f64>>,
    side: &'b DevicePoints<'b>,
    /// The indices as the device knows them.
    pub(crate) index: Vec<u32>,
}

impl Picked<'_> {
    pub(crate) fn rows(&self) -> DeviceRows<'_> {
        match &self.sent {
            None => self.side.rows(0..self.side.num_points),
            Some(values) => DeviceRows {
                values: values.view(),
                dimension: self.side.dimension,
                scales: self.norms.as_ref().map(Buffer::view),
            },
        }
    }
}

#[cfg(any(feature = "cuda", test))]
impl<'a> DevicePoints<'a> {
    /// A copy on the device.
    pub(crate) fn uploaded(queue: &Queue, rows: Rows<'_>, cost: CostKind) -> Result<Self, Error> {
        let (n, d) = (rows.num_points(), rows.dimension());
        let mut values = queue.allocate(n * d)?;
        for start in (0..n).step_by(CHUNK) {
            values.write_at(start * d, &rows.range(start..(start + CHUNK).min(n)))?;
        }
        Self::stored(queue, Store::Uploaded(values), n, d, cost)
    }

    /// Points that stay on the host.
    pub(crate) fn streamed(rows: Rows<'a>) -> Self {
        let (num_points, dimension) = (rows.num_points(), rows.dimension());
        Self { store: Store::Streamed(rows), dimension, inverse_norms: None, num_points }
    }

    /// The memory of a tensor on the queue's device.
    #[cfg(feature = "cuda")]
    pub(crate) fn of_cloud(
        queue: &Queue,
        cloud: &crate::points::PointCloud<'_>,
        cost: CostKind,
    ) -> Result<Self, Error> {
        use candle_core::backend::BackendStorage;
        use cudarc::driver::DevicePtr;
        let tensor = cloud.to_tensor()?.to_dtype(candle_core::DType::F32)?.contiguous()?;
        let pointer = {
            let (storage, layout) = tensor.storage_and_layout();
            let candle_core::Storage::Cuda(storage) = &*storage else {
                return Err(candle_core::Error::Msg("the points are not on a CUDA device".to_owned()).into());
            };
            let stream = storage.device().cuda_stream();
            let values = storage.as_cuda_slice::<f32>()?;
            let (pointer, _guard) = values.device_ptr(&stream);
            pointer + (layout.start_offset() * size_of::<f32>()) as u64
        };
        let (n, d) = (cloud.num_points(), cloud.dimension());
        Self::stored(queue, Store::Tensor { pointer, _tensor: tensor }, n, d, cost)
    }

    fn stored(
        queue: &Queue,
        store: Store<'a>,
        num_points: usize,
        dimension: usize,
        cost: CostKind,
    ) -> Result<Self, Error> {
        let mut side = Self { store, dimension, inverse_norms: None, num_points };
        if cost == CostKind::Cosine {
            side.inverse_norms = Some(inverse_norms(queue, side.values(), dimension)?);
        }
        Ok(side)
    }
}

impl DevicePoints<'_> {
    /// Whether the points are in the device's memory.
    pub(crate) fn is_resident(&self) -> bool {
        !matches!(self.store, Store::Streamed(_))
    }

    fn values(&self) -> View<'_, f32> {
        match &self.store {
            Store::Uploaded(buffer) => buffer.view(),
            #[cfg(feature = "cuda")]
            // SAFETY: the tensor keeps its memory, `n d` values on the queue's device, as long as this side lives. Someone else who holds the same
            // memory as a variable could write to it in between: that would spoil the result, and nothing else, since any bits are a number.
            Store::Tensor { pointer, .. } => unsafe { View::from_raw(*pointer, self.num_points * self.dimension) },
            Store::Streamed(_) => unreachable!("streamed points are not on the device"),
        }
    }

    fn rows(&self, range: Range<usize>) -> DeviceRows<'_> {
        let scales = self.inverse_norms.as_ref().map(|scales| scales.view().range(range.clone()));
        let values = self.values().range(range.start * self.dimension..range.end * self.dimension);
        DeviceRows { values, dimension: self.dimension, scales }
    }

    /// The rows with these indices, wherever they are; indices past the points stay "none".
    pub(crate) fn pick(&self, queue: &Queue, index: Vec<u32>, normalize: bool) -> Result<Picked<'_>, Error> {
        let Store::Streamed(values) = self.store else {
            return Ok(Picked { sent: None, norms: None, side: self, index });
        };
        let sent = self.send(queue, index.len(), normalize, |at, row| match index[at] {
            i if (i as usize) < self.num_points => values.copy_row(i as usize, row),
            _ => row.fill(0.0),
        })?;
        let known = |(at, &i): (usize, &u32)| if (i as usize) < self.num_points { at as u32 } else { NONE };
        Ok(Picked { index: index.par_iter().enumerate().map(known).collect(), ..sent })
    }

    /// A range of rows.
    pub(crate) fn pick_range(&self, queue: &Queue, range: Range<usize>, normalize: bool) -> Result<Picked<'_>, Error> {
        let Store::Streamed(values) = self.store else {
            return Ok(Picked { sent: None, norms: None, side: self, index: Vec::new() });
        };
        self.send(queue, range.len(), normalize, |at, row| values.copy_row(range.start + at, row))
    }

    /// Rows that `row` writes, to the device.
    fn send(
        &self,
        queue: &Queue,
        rows: usize,
        normalize: bool,
        row: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Result<Picked<'_>, Error> {
        let sent = queue.send(rows, self.dimension, |range, values: &mut [f32]| {
            values.par_chunks_exact_mut(self.dimension).enumerate().for_each(|(at, out)| row(range.start + at, out));
        })?;
        let norms = if normalize { Some(inverse_norms(queue, sent.view(), self.dimension)?) } else { None };
        Ok(Picked { sent: Some(sent), norms, side: self, index: Vec::new() })
    }
}

impl Picked<'_> {
    /// The index, in `picked` as given to [`DevicePoints::pick`], of what the device knows as `index`.
    pub(crate) fn original(&self, index: u32, picked: &[u32]) -> u32 {
        if self.sent.is_some() { picked.get(index as usize).copied().unwrap_or(NONE) } else { index }
    }

    /// The rows of a range that was picked by [`DevicePoints::pick_range`].
    pub(crate) fn range_rows(&self, range: Range<usize>) -> DeviceRows<'_> {
        if self.sent.is_some() { self.rows() } else { self.side.rows(range) }
    }
}
