//! Embeddings of places, perhaps for another number of patches than the model was trained with.

use super::super::resample;
use crate::encoder::registry::Interpolation;
use candle_core::{DType, Result, Tensor};

/// How embeddings of one grid become those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// From four places an axis, whatever the sizes: Keys' cubic with a = -0.75, borders repeated.
    Cubic,
    /// As pictures are resampled: from more places where the new grid is smaller.
    Widened(Interpolation),
}

/// Embeddings of places.
pub(super) struct Places {
    rows: Tensor, // (fixed + grid grid, hidden)
    /// Rows that stay.
    fixed: usize,
    grid: (usize, usize),
    how: Move,
}

impl Places {
    /// For a square grid; the first `fixed` rows are those of other tokens than patches.
    pub(super) fn new(rows: Tensor, fixed: usize, how: Move) -> Result<Self> {
        let patches = rows.dim(0)? - fixed;
        let side = patches.isqrt();
        if side * side != patches {
            candle_core::bail!("{patches} embeddings of places are not those of a square");
        }
        Ok(Self { rows, fixed, grid: (side, side), how })
    }

    /// For one grid alone; variables are moved whenever they are read.
    pub(super) fn settled(self, grid: (usize, usize)) -> Result<Self> {
        if self.rows.track_op() {
            return Ok(self);
        }
        Ok(Self { rows: self.at(grid)?, grid, ..self })
    }

    /// Tokens that have a place and are no patches.
    pub(super) fn fixed(&self) -> usize {
        self.fixed
    }

    /// `(fixed + height width, hidden)` for a grid of patches.
    pub(super) fn at(&self, grid: (usize, usize)) -> Result<Tensor> {
        if grid == self.grid {
            return Ok(self.rows.clone());
        }
        let ((old_height, old_width), (height, width)) = (self.grid, grid);
        let hidden = self.rows.dim(1)?;
        let patches = self.rows.narrow(0, self.fixed, old_height * old_width)?.to_dtype(DType::F32)?;
        // Both axes, one after the other.
        let lines = patches.contiguous()?.reshape((old_height, old_width * hidden))?;
        let lines = self.matrix(old_height, height)?.matmul(&lines)?; // (height, old_width hidden)
        let lines = lines.reshape((height, old_width, hidden))?;
        let moved = self.matrix(old_width, width)?.broadcast_matmul(&lines)?; // (height, width, hidden)
        let moved = moved.reshape((height * width, hidden))?.to_dtype(self.rows.dtype())?;
        Tensor::cat(&[&self.rows.narrow(0, 0, self.fixed)?, &moved], 0)
    }

    /// `(new, old)`: the weights of an axis.
    fn matrix(&self, old: usize, new: usize) -> Result<Tensor> {
        let mut matrix = vec![0f32; new * old];
        match self.how {
            Move::Cubic => {
                for (line, taps) in matrix.chunks_exact_mut(old).zip(cubic_taps(old, new)) {
                    taps.into_iter().for_each(|(place, weight)| line[place] += weight as f32);
                }
            }
            Move::Widened(interpolation) => {
                let taps = resample::taps((old, new), 0..new, interpolation);
                for (line, (first, weights)) in matrix.chunks_exact_mut(old).zip(taps) {
                    line[first..].iter_mut().zip(weights).for_each(|(value, weight)| *value = weight as f32);
                }
            }
        }
        Tensor::from_vec(matrix, (new, old), self.rows.device())
    }
}

/// For each place of the result, four source places and their weights.
fn cubic_taps(old: usize, new: usize) -> Vec<[(usize, f64); 4]> {
    const A: f64 = -0.75;
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let taps = |place: usize| {
        let centre = (place as f64 + 0.5) * old as f64 / new as f64 - 0.5;
        let first = centre.floor();
        let t = centre - first;
        let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
        std::array::from_fn(|tap| {
            let source = (first as isize + tap as isize - 1).clamp(0, old as isize - 1);
            (source as usize, weights[tap])
        })
    };
    (0..new).map(taps).collect()
}
