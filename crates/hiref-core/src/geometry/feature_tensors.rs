//! The features of the splits as tensors on a device.

#[cfg(any(feature = "cuda", test))]
use super::InnerProductGeometry;
use crate::error::Error;
use candle_core::{D, Tensor};
#[cfg(any(feature = "cuda", test))]
use {candle_core::Device, rayon::prelude::*};

/// Features of both sides: x `(n + 1, k)` with a last row of zeros for the stand-ins, y `(m, k)`.
#[derive(Debug)]
pub(crate) struct FeatureTensors {
    x: Tensor,
    y: Tensor,
    num_x: usize,
    /// How many of the features are coordinates.
    coordinates: usize,
}

/// A batch of blocks of equal size, each block centred.
pub(crate) struct CentredBlocks {
    /// `(B, s, k)`
    pub(crate) x: Tensor,
    /// `(B, s, k)`
    pub(crate) y: Tensor,
}

impl FeatureTensors {
    #[cfg(any(feature = "cuda", test))]
    pub(crate) fn new(geometry: &InnerProductGeometry<'_>, device: &Device) -> Result<Self, Error> {
        let (n, m, k) = (geometry.num_x(), geometry.num_y(), geometry.dimension());
        // Stand-ins are rows of zeros.
        let mut x = vec![0.0_f32; (n + usize::from(n < m)) * k];
        x.par_chunks_exact_mut(k).enumerate().for_each(|(i, out)| {
            geometry.copy_x(i as u32, out);
        });
        let x = Tensor::from_vec(x, ((), k), device)?;
        let mut y = vec![0.0_f32; m * k];
        y.par_chunks_exact_mut(k).enumerate().for_each(|(j, out)| geometry.copy_y(j as u32, out));
        let y = Tensor::from_vec(y, (m, k), device)?;
        Ok(Self { x, y, num_x: n, coordinates: geometry.coordinates() })
    }

    /// The features of some blocks, `(B * s,)` indices of each side, less the mean of each block.
    pub(crate) fn centred(&self, x: &[u32], y: &[u32], size: usize) -> Result<CentredBlocks, Error> {
        let stand_in = self.num_x as u32;
        let x: Vec<u32> = x.iter().map(|&i| i.min(stand_in)).collect();
        Ok(CentredBlocks { x: blocks(&self.x, &x, size)?, y: blocks(&self.y, y, size)? })
    }

    /// The coordinates among the features times a matrix, `(coordinates, width)`: x `(n, width)` and y `(m, width)`.
    pub(crate) fn project(&self, matrix: &[f32], width: usize) -> Result<[Vec<f32>; 2], Error> {
        let k = self.y.dim(1)?;
        // Coordinates beyond are features of the splits alone.
        let mut padded = matrix.to_vec();
        padded.resize(k * width, 0.0);
        debug_assert_eq!(matrix.len(), self.coordinates * width, "a row for each coordinate");
        let matrix = Tensor::from_vec(padded, (k, width), self.y.device())?;
        let x = self.x.narrow(0, 0, self.num_x)?.matmul(&matrix)?.flatten_all()?.to_vec1()?;
        Ok([x, self.y.matmul(&matrix)?.flatten_all()?.to_vec1()?])
    }
}

/// The rows of blocks, centred, `(B, size, k)`.
fn blocks(rows: &Tensor, index: &[u32], size: usize) -> Result<Tensor, Error> {
    let device = rows.device();
    let blocks = index.len() / size;
    let picked = rows.index_select(&Tensor::new(index, device)?, 0)?.reshape((blocks, size, rows.dim(D::Minus1)?))?;
    // A product with a row of ones sums faster than a reduction over the middle axis.
    let ones = Tensor::full(1.0 / size as f32, (blocks, 1, size), device)?;
    let mean = ones.matmul(&picked)?; // (B, 1, k)
    Ok(picked.broadcast_sub(&mean)?)
}
