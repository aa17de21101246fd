//! Inner products between two sets, a tile of rows at a time, and what is read off them.

use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor};
use rayon::prelude::*;
use std::sync::Arc;

/// Entries of one tile, 256 MiB of f32; sets whose whole matrix fits are multiplied once and kept.
const TILE_ENTRIES: usize = 1 << 26;
/// Rows of a tile where the budget allows more: enough for full speed, few enough to stay in cache.
const TILE_ROWS: usize = 1024;

/// The matrix `x yᵀ`, `(n, m)`, of which no more than a tile is in memory, unless it is small.
#[derive(Debug, Clone)]
pub(crate) struct Scores {
    x: Tensor,
    y: Tensor,
    num_x: usize,
    num_y: usize,
    kept: Option<Arc<Vec<f32>>>,
}

impl Scores {
    /// Between the rows of `x (n, k)` and of `y (m, k)`.
    pub(crate) fn new(x: &Tensor, y: &Tensor) -> Result<Self> {
        let (x, y) = (x.to_dtype(DType::F32)?.contiguous()?, y.to_dtype(DType::F32)?.contiguous()?);
        let (num_x, num_y) = (x.dim(0)?, y.dim(0)?);
        Ok(Self { x, y, num_x, num_y, kept: None })
    }

    /// The same, multiplied now and kept if it is small: for matrices that are read several times.
    pub(crate) fn kept(x: &Tensor, y: &Tensor) -> Result<Self> {
        let mut scores = Self::new(x, y)?;
        if scores.num_x.saturating_mul(scores.num_y) <= TILE_ENTRIES {
            let all = scores.x.matmul(&scores.y.t()?)?;
            scores.kept = Some(Arc::new(all.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?));
        }
        Ok(scores)
    }

    /// The whole matrix, `(n * m,)`, if it was kept.
    pub(crate) fn whole(&self) -> Option<&[f32]> {
        self.kept.as_ref().map(|values| values.as_slice())
    }

    /// Rows of x and of y.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.num_x, self.num_y)
    }

    /// The matrix `y xᵀ`, `(m, n)`.
    pub(crate) fn transposed(&self) -> Self {
        let kept = self.kept.as_ref().map(|values| {
            let (n, m) = self.shape();
            let mut transposed = vec![0.0; n * m];
            transposed.par_chunks_mut(n.max(1)).enumerate().for_each(|(j, column)| {
                for (i, value) in column.iter_mut().enumerate() {
                    *value = values[i * m + j];
                }
            });
            Arc::new(transposed)
        });
        Self { x: self.y.clone(), y: self.x.clone(), num_x: self.num_y, num_y: self.num_x, kept }
    }

    /// Calls `read(i, row)` on every row, `(m,)`, and collects the answers in order; rows are read in parallel.
    pub(crate) fn map_rows<A: Send>(&self, read: impl Fn(usize, &[f32]) -> A + Sync) -> Result<Vec<A>> {
        Ok(self.map_rows_until(&|| false, read)?.unwrap_or_default())
    }

    /// The same, `None` once it is asked to stop: that is looked at before each tile.
    pub(crate) fn map_rows_until<A: Send>(
        &self,
        should_stop: &dyn Fn() -> bool,
        read: impl Fn(usize, &[f32]) -> A + Sync,
    ) -> Result<Option<Vec<A>>> {
        let (n, m) = self.shape();
        if m == 0 {
            return Ok(Some((0..n).map(|i| read(i, &[])).collect()));
        }
        if let Some(values) = &self.kept {
            return Ok(Some(values.par_chunks(m).enumerate().map(|(i, row)| read(i, row)).collect()));
        }
        let y = self.y.t()?;
        let tile_rows = (TILE_ENTRIES / m).clamp(1, TILE_ROWS);
        let mut answers = Vec::with_capacity(n);
        for start in (0..n).step_by(tile_rows) {
            if should_stop() {
                return Ok(None);
            }
            let tile = self.x.narrow(0, start, tile_rows.min(n - start))?.matmul(&y)?; // (tile_rows, m)
            with_host_values(&tile, |values| {
                answers.par_extend(values.par_chunks(m).enumerate().map(|(i, row)| read(start + i, row)));
            })?;
        }
        Ok(Some(answers))
    }

    /// For each row the mean of its `count` largest entries, `(n,)`; zero where there are no columns.
    pub(crate) fn top_means(&self, count: usize) -> Result<Vec<f32>> {
        Ok(self.top_means_until(&|| false, count)?.unwrap_or_default())
    }

    /// The same, `None` once it is asked to stop.
    pub(crate) fn top_means_until(&self, should_stop: &dyn Fn() -> bool, count: usize) -> Result<Option<Vec<f32>>> {
        self.map_rows_until(should_stop, |_, row| {
            let mut best = Best::new(count.min(row.len()));
            for (j, &value) in row.iter().enumerate() {
                best.offer(value, j as u32);
            }
            let best = best.sorted();
            let sum: f64 = best.iter().map(|&(value, _)| f64::from(value)).sum();
            (sum / best.len().max(1) as f64) as f32
        })
    }
}

/// Gives the values of a contiguous f32 tensor to `read`, without a copy where they already are on the host.
pub(crate) fn with_host_values<A>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> A) -> Result<A> {
    let host = tensor.to_device(&Device::Cpu)?.contiguous()?;
    let (storage, layout) = host.storage_and_layout();
    match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => {
            let start = layout.start_offset();
            Ok(read(&values[start..start + host.elem_count()]))
        }
        _ => candle_core::bail!("expected f32 values, got {:?}", host.dtype()),
    }
}

/// Keeps the largest values offered, with their indices; of equal values the lower index wins.
pub(crate) struct Best {
    count: usize,
    entries: Vec<(f32, u32)>,
    least: f32,
}

impl Best {
    /// Keeps `count` values.
    pub(crate) fn new(count: usize) -> Self {
        Self { count, entries: Vec::with_capacity(2 * count), least: f32::NEG_INFINITY }
    }

    /// Offers one value; indices must rise from one offer to the next, NaN is never kept.
    #[inline]
    pub(crate) fn offer(&mut self, value: f32, index: u32) {
        // Strictly greater: of equal values the earlier stays. The first offers pass whatever they are.
        if value > self.least || (self.entries.len() < self.count && value == f32::NEG_INFINITY) {
            self.accept(value, index);
        }
    }

    #[cold]
    fn accept(&mut self, value: f32, index: u32) {
        if self.count == 0 {
            return;
        }
        self.entries.push((value, index));
        if self.entries.len() == 2 * self.count {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.entries.len() > self.count {
            self.entries.select_nth_unstable_by(self.count - 1, |&a, &b| falling(a, b));
            self.entries.truncate(self.count);
        }
        if self.entries.len() == self.count
            && let Some(least) = self.entries.iter().map(|entry| entry.0).min_by(f32::total_cmp)
        {
            self.least = least;
        }
    }

    /// The values kept, falling.
    pub(crate) fn sorted(mut self) -> Vec<(f32, u32)> {
        self.cut();
        self.entries.sort_unstable_by(|&a, &b| falling(a, b));
        self.entries
    }
}

fn falling(a: (f32, u32), b: (f32, u32)) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_kept_and_ties_go_to_the_lower_index() {
        let mut best = Best::new(3);
        for (index, value) in [1.0, 5.0, 2.0, 5.0, f32::NAN, 2.0, -1.0, 0.0].into_iter().enumerate() {
            best.offer(value, index as u32);
        }
        assert_eq!(best.sorted(), [(5.0, 1), (5.0, 3), (2.0, 2)]);
    }

    #[test]
    fn rows_end_with_the_tile_in_which_they_are_asked_to() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let x = Tensor::ones((3 * TILE_ROWS, 1), DType::F32, &Device::Cpu).unwrap();
        let scores = Scores::new(&x, &x.narrow(0, 0, 2).unwrap()).unwrap();
        let read = AtomicUsize::new(0);
        let count = |_: usize, _: &[f32]| read.fetch_add(1, Ordering::Relaxed);
        let stop = || read.load(Ordering::Relaxed) >= TILE_ROWS;
        assert!(scores.map_rows_until(&stop, count).unwrap().is_none());
        assert_eq!(read.into_inner(), TILE_ROWS);
        assert_eq!(scores.top_means_until(&|| true, 1).unwrap(), None);
        assert_eq!(scores.top_means(1).unwrap().len(), 3 * TILE_ROWS);
    }

    #[test]
    fn kept_and_tiled_scores_agree() {
        let x = Tensor::arange(0f32, 12.0, &Device::Cpu).unwrap().reshape((4, 3)).unwrap();
        let y = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
        let rows = |scores: &Scores| scores.map_rows(|i, row| (i, row.to_vec())).unwrap();
        let (tiled, kept) = (Scores::new(&x, &y).unwrap(), Scores::kept(&x, &y).unwrap());
        assert_eq!(rows(&tiled), rows(&kept));
        assert_eq!(rows(&tiled.transposed()), rows(&kept.transposed()));
        assert_eq!(rows(&kept)[1], (1, vec![14.0, 50.0]));
        assert_eq!(kept.top_means(2).unwrap()[1], 32.0);
        assert_eq!(kept.top_means(9).unwrap()[1], 32.0);
    }
}
