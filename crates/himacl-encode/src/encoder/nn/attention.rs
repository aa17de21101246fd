//! Multi-head attention over packed sequences.

use super::parallel::{View, product};
use super::{Activation, Linear, Norm, Rope, Sequences, fused, with_values};
use candle_core::{D, Result, Tensor};
use candle_nn::ops;
use hiref_core::math::exp_nonpositive;
use rayon::prelude::*;
use std::sync::Arc;

/// Queries of a task: their scores stay in the cache.
const QUERIES: usize = 64;

/// Which keys a query sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::encoder) enum Mask {
    /// All.
    Full,
    /// Itself and those before it.
    Causal,
    /// Those at most so many places away.
    Window(usize),
}

impl Mask {
    /// The keys of a query, as a range: every mask here is one.
    fn range(self, query: usize, length: usize) -> (usize, usize) {
        match self {
            Self::Full => (0, length),
            Self::Causal => (0, query + 1),
            Self::Window(reach) => (query.saturating_sub(reach), (query + reach + 1).min(length)),
        }
    }
}

/// What is added to scores by the distance of key and query, for each head, `(heads, longest, longest)`.
pub(in crate::encoder) struct RelativeBias(pub(in crate::encoder) Tensor);

/// Multi-head attention.
pub(in crate::encoder) struct Attention {
    pub(in crate::encoder) query: Linear,
    pub(in crate::encoder) key: Linear,
    pub(in crate::encoder) value: Linear,
    pub(in crate::encoder) output: Linear,
    pub(in crate::encoder) heads: usize,
    /// Keys and values may be shared by groups of heads.
    pub(in crate::encoder) key_heads: usize,
    pub(in crate::encoder) mask: Mask,
    /// Of queries and of keys, for each head.
    pub(in crate::encoder) norms: Option<(Norm, Norm)>,
    pub(in crate::encoder) rope: Option<Arc<Rope>>,
    /// Of what goes into the output layer.
    pub(in crate::encoder) inner_norm: Option<Norm>,
}

impl Attention {
    /// `(tokens, hidden)` to the same; `residual` is added to the result.
    pub(in crate::encoder) fn forward(
        &self,
        x: &Tensor,
        sequences: &Sequences,
        relative: Option<&RelativeBias>,
        residual: Option<&Tensor>,
    ) -> Result<Tensor> {
        let query = self.prepare(&self.query, x, self.heads, self.norms.as_ref().map(|norms| &norms.0), sequences)?;
        let key = self.prepare(&self.key, x, self.key_heads, self.norms.as_ref().map(|norms| &norms.1), sequences)?;
        let value = self.value.forward(x, None, Activation::Identity)?;
        let mixed = self.mix(&query, &key, &value, sequences, relative)?;
        let mixed = self.inner_norm.as_ref().map_or_else(|| Ok(mixed.clone()), |norm| norm.forward(&mixed))?;
        self.output.forward(&mixed, residual, Activation::Identity)
    }

    fn prepare(
        &self,
        map: &Linear,
        x: &Tensor,
        heads: usize,
        norm: Option<&Norm>,
        sequences: &Sequences,
    ) -> Result<Tensor> {
        let y = map.forward(x, None, Activation::Identity)?;
        if norm.is_none() && self.rope.is_none() {
            return Ok(y);
        }
        let (tokens, all) = y.dims2()?;
        let y = y.reshape((tokens, heads, all / heads))?;
        let y = norm.map_or_else(|| Ok(y.clone()), |norm| norm.forward(&y))?;
        let y = match &self.rope {
            Some(rope) => rope.turn(&y, sequences)?,
            None => y,
        };
        y.reshape((tokens, all))
    }

    /// Softmax of scores times values.
    fn mix(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        sequences: &Sequences,
        relative: Option<&RelativeBias>,
    ) -> Result<Tensor> {
        let all: Vec<&Tensor> = [query, key, value].into_iter().chain(relative.map(|relative| &relative.0)).collect();
        if !fused(&all) {
            return self.mix_plain(query, key, value, sequences, relative);
        }
        let (tokens, width) = query.dims2()?;
        let mut out = vec![0f32; tokens * width];
        let (query, key, value) = (query.contiguous()?, key.contiguous()?, value.contiguous()?);
        let relative = relative.map(|relative| relative.0.flatten_all()?.to_vec1::<f32>()).transpose()?;
        with_values(&query, |query| {
            with_values(&key, |key| {
                with_values(&value, |value| {
                    self.mix_fused([query, key, value], width / self.heads, sequences, relative.as_deref(), &mut out);
                })
            })
        })???;
        Tensor::from_vec(out, (tokens, width), &candle_core::Device::Cpu)
    }

    fn mix_fused(
        &self,
        [query, key, value]: [&[f32]; 3],
        width: usize,
        sequences: &Sequences,
        relative: Option<&[f32]>,
        out: &mut [f32],
    ) {
        let (row, key_row, longest) = (self.heads * width, self.key_heads * width, sequences.longest());
        let tokens = out.len() / row;
        assert!(query.len() == out.len() && key.len() == tokens * key_row && value.len() == key.len(), "shapes agree");
        let mut tasks = Vec::new();
        for (start, length) in sequences.spans() {
            assert!(start + length <= tokens, "sequences cover the tokens");
            for head in 0..self.heads {
                tasks.extend((0..length).step_by(QUERIES).map(|first| (start, length, head, first)));
            }
        }
        let target = Target(out.as_mut_ptr());
        let scale = 1.0 / (width as f32).sqrt();
        tasks.into_par_iter().with_min_len(4).for_each_init(
            Vec::new,
            |scores: &mut Vec<f32>, (start, length, head, first)| {
                let count = QUERIES.min(length - first);
                let key_head = head / (self.heads / self.key_heads);
                // Scores outside every query's range are never read.
                scores.clear();
                scores.resize(count * length, 0.0);
                let at = |values: &[f32], index: usize, row: usize, column: usize| View {
                    start: values[index..].as_ptr(),
                    row,
                    column,
                };
                let queries = at(query, (start + first) * row + head * width, row, 1);
                let keys = at(key, start * key_row + key_head * width, 1, key_row);
                // SAFETY: `count` queries of `length` keys from `start` are within the checked slices.
                unsafe { product((count, length, width), (scores.as_mut_ptr(), length), queries, keys, scale, false) };
                for (place, scores) in scores.chunks_exact_mut(length).enumerate() {
                    if let Some(relative) = relative {
                        let bias = &relative[(head * longest + first + place) * longest..][..length];
                        scores.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
                    }
                    let (from, to) = self.mask.range(first + place, length);
                    scores[..from].fill(0.0);
                    scores[to..].fill(0.0);
                    pulp::Arch::new().dispatch(Softmax(&mut scores[from..to]));
                }
                let weights = View { start: scores.as_ptr(), row: length, column: 1 };
                let values = at(value, start * key_row + key_head * width, key_row, 1);
                let target = &target;
                // SAFETY: each task writes the columns of its head in the rows of its queries, which no other task does.
                unsafe {
                    let to = target.0.add((start + first) * row + head * width);
                    product((count, width, length), (to, row), weights, values, 1.0, false);
                }
            },
        );
    }

    fn mix_plain(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        sequences: &Sequences,
        relative: Option<&RelativeBias>,
    ) -> Result<Tensor> {
        let (n, longest) = (sequences.len(), sequences.longest());
        let width = query.dim(1)? / self.heads;
        let split = |x: &Tensor, heads: usize| -> Result<Tensor> {
            let x = sequences.pad(x)?.reshape((n, longest, heads, width))?.transpose(1, 2)?;
            let shared = self.heads / heads;
            let x = x.unsqueeze(2)?.broadcast_as((n, heads, shared, longest, width))?;
            x.reshape((n, self.heads, longest, width))?.contiguous()
        };
        let (query, key, value) =
            (split(query, self.heads)?, split(key, self.key_heads)?, split(value, self.key_heads)?);
        let mut scores = (query.matmul(&key.t()?)? * (1.0 / (width as f64).sqrt()))?; // (n, heads, longest, longest)
        if let Some(RelativeBias(bias)) = relative {
            scores = scores.broadcast_add(bias)?;
        }
        if sequences.needs_mask() || self.mask != Mask::Full {
            let sees = |query: usize, key: usize| {
                let (from, to) = self.mask.range(query, longest);
                (from..to).contains(&key)
            };
            scores = scores.broadcast_add(&sequences.bias(scores.dtype(), sees)?)?;
        }
        let mixed = ops::softmax(&scores, D::Minus1)?.matmul(&value)?;
        sequences.unpad(&mixed.transpose(1, 2)?.reshape((n, longest, self.heads * width))?)
    }
}

/// Where tasks write their parts of the result.
struct Target(*mut f32);

// SAFETY: tasks write disjoint parts.
unsafe impl Sync for Target {}
// SAFETY: a pointer to memory that outlives the tasks.
unsafe impl Send for Target {}

struct Softmax<'a>(&'a mut [f32]);

impl pulp::NullaryFnOnce for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let scores = self.0;
        let mut lanes = [f32::NEG_INFINITY; 16];
        let chunks = scores.chunks_exact(16);
        let mut most = chunks.remainder().iter().fold(f32::NEG_INFINITY, |most, &x| if x > most { x } else { most });
        for chunk in chunks {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane = if x > *lane { x } else { *lane };
            }
        }
        most = lanes.iter().fold(most, |most, &x| if x > most { x } else { most });
        let mut sums = [0f32; 16];
        let mut chunks = scores.chunks_exact_mut(16);
        for chunk in &mut chunks {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *x = exp_nonpositive(*x - most);
                *sum += *x;
            }
        }
        let mut sum: f32 = sums.iter().sum();
        for x in chunks.into_remainder() {
            *x = exp_nonpositive(*x - most);
            sum += *x;
        }
        let scale = 1.0 / sum;
        scores.iter_mut().for_each(|x| *x *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn tensor(shape: (usize, usize), seed: usize) -> Tensor {
        let values: Vec<f32> =
            (0..shape.0 * shape.1).map(|i| ((i * 7919 + seed * 31) % 997) as f32 / 500.0 - 1.0).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn fused_as_plain() {
        let linear = |outputs: usize, seed: usize| Linear::new(&tensor((outputs, 12), seed), None).unwrap();
        let sequences = Sequences::new(vec![3, 150, 1, 67], &Device::Cpu);
        let x = tensor((221, 12), 5);
        for mask in [Mask::Full, Mask::Causal, Mask::Window(9)] {
            for key_heads in [4, 2] {
                let attention = Attention {
                    query: linear(32, 1),
                    key: linear(8 * key_heads, 2),
                    value: linear(8 * key_heads, 3),
                    output: linear(12, 4),
                    heads: 4,
                    key_heads,
                    mask,
                    norms: None,
                    inner_norm: None,
                    rope: Some(Arc::new(Rope::new(10_000.0, 8, 150, &x).unwrap())),
                };
                let [query, key, value] =
                    [(&attention.query, 4), (&attention.key, key_heads), (&attention.value, key_heads)]
                        .map(|(map, heads)| attention.prepare(map, &x, heads, None, &sequences).unwrap());
                let bias = RelativeBias(tensor((4 * 150, 150), 6).reshape((4, 150, 150)).unwrap());
                for relative in [None, Some(&bias)] {
                    let plain = attention.mix_plain(&query, &key, &value, &sequences, relative).unwrap();
                    let fused = attention.mix(&query, &key, &value, &sequences, relative).unwrap();
                    let worst = (plain - fused).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                    assert!(worst < 1e-5, "{mask:?} with {key_heads} key heads: {worst}");
                }
            }
        }
    }
}
