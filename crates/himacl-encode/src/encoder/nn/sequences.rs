//! Where the sequences of a packed batch begin and end.

use candle_core::{DType, Device, Result, Tensor};
use std::sync::OnceLock;

/// The sequences of a packed batch.
pub(in crate::encoder) struct Sequences {
    starts: Vec<usize>,
    lengths: Vec<usize>,
    device: Device,
    padded: OnceLock<Padded>,
}

/// The way to a padded batch and back, for operations that need one.
struct Padded {
    gather: Tensor,  // (n longest)
    scatter: Tensor, // (tokens)
}

impl Sequences {
    pub(in crate::encoder) fn new(lengths: Vec<usize>, device: &Device) -> Self {
        let starts = lengths.iter().scan(0, |next, &length| Some(std::mem::replace(next, *next + length))).collect();
        Self { starts, lengths, device: device.clone(), padded: OnceLock::new() }
    }

    pub(in crate::encoder) fn len(&self) -> usize {
        self.lengths.len()
    }

    pub(in crate::encoder) fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0)
    }

    /// First token and number of tokens of each.
    pub(in crate::encoder) fn spans(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.starts.iter().copied().zip(self.lengths.iter().copied())
    }

    /// The place of each token in its sequence, `(tokens)`.
    pub(in crate::encoder) fn positions(&self, offset: usize) -> Result<Tensor> {
        let positions = self.lengths.iter().flat_map(|&length| (offset..offset + length).map(|place| place as u32));
        let positions: Vec<u32> = positions.collect();
        let tokens = positions.len();
        Tensor::from_vec(positions, tokens, &self.device)
    }

    /// One token of each sequence, `(tokens, width)` to `(n, width)`; `place` tells which of the sequence of a number.
    pub(in crate::encoder) fn pick(&self, x: &Tensor, place: impl Fn(usize) -> usize) -> Result<Tensor> {
        let rows = self.starts.iter().enumerate().map(|(row, start)| (start + place(row)) as u32);
        x.index_select(&Tensor::from_vec(rows.collect::<Vec<_>>(), self.len(), &self.device)?, 0)
    }

    /// The last token of each sequence, `(tokens, width)` to `(n, width)`.
    pub(in crate::encoder) fn last(&self, x: &Tensor) -> Result<Tensor> {
        self.pick(x, |row| self.lengths[row] - 1)
    }

    /// The mean of each sequence without its first `left_out` tokens, `(tokens, width)` to `(n, width)`; zeros where
    /// nothing is left.
    pub(in crate::encoder) fn mean(&self, x: &Tensor, left_out: usize) -> Result<Tensor> {
        let (n, tokens) = (self.len(), x.dim(0)?);
        let mut weights = vec![0f32; n * tokens];
        for (row, (start, length)) in self.spans().enumerate() {
            let left_out = left_out.min(length);
            weights[row * tokens + start..][left_out..length].fill(1.0 / (length - left_out) as f32);
        }
        Tensor::from_vec(weights, (n, tokens), &self.device)?.to_dtype(x.dtype())?.matmul(x)
    }

    fn padded(&self) -> Result<&Padded> {
        if let Some(padded) = self.padded.get() {
            return Ok(padded);
        }
        let longest = self.longest();
        let (mut gather, mut scatter) = (vec![0u32; self.len() * longest], Vec::new());
        for (row, (start, length)) in self.spans().enumerate() {
            for place in 0..length {
                gather[row * longest + place] = (start + place) as u32;
                scatter.push((row * longest + place) as u32);
            }
        }
        let tensor = |values: Vec<u32>| {
            let n = values.len();
            Tensor::from_vec(values, n, &self.device)
        };
        let padded = Padded { gather: tensor(gather)?, scatter: tensor(scatter)? };
        Ok(self.padded.get_or_init(|| padded))
    }

    /// `(tokens, width)` to `(n, longest, width)`; what is behind a sequence's end is arbitrary.
    pub(super) fn pad(&self, x: &Tensor) -> Result<Tensor> {
        let width = x.dim(1)?;
        let rows = if self.is_uniform() { x.clone() } else { x.index_select(&self.padded()?.gather, 0)? };
        rows.reshape((self.len(), self.longest(), width))
    }

    /// `(n, longest, width)` to `(tokens, width)`.
    pub(super) fn unpad(&self, x: &Tensor) -> Result<Tensor> {
        let (n, longest, width) = x.dims3()?;
        let rows = x.reshape((n * longest, width))?;
        if self.is_uniform() { Ok(rows) } else { rows.index_select(&self.padded()?.scatter, 0) }
    }

    fn is_uniform(&self) -> bool {
        self.lengths.iter().all(|&length| length == self.lengths[0])
    }

    /// What is added to scores, `(n, 1, longest, longest)`: `-30000` where `sees(query, key)` is false or there is no key.
    pub(super) fn bias(&self, dtype: DType, sees: impl Fn(usize, usize) -> bool) -> Result<Tensor> {
        let longest = self.longest();
        let mut bias = vec![0f32; self.len() * longest * longest];
        for (row, &length) in self.lengths.iter().enumerate() {
            for query in 0..longest {
                for key in 0..longest {
                    // Finite in half precision, and far below every score.
                    if key >= length || !sees(query, key) {
                        bias[(row * longest + query) * longest + key] = -30_000.0;
                    }
                }
            }
        }
        Tensor::from_vec(bias, (self.len(), 1, longest, longest), &self.device)?.to_dtype(dtype)
    }

    pub(super) fn needs_mask(&self) -> bool {
        !self.is_uniform()
    }
}
