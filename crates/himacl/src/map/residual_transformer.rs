//! A linear map plus a small transformer that learns what the linear map misses.

use super::residual_mlp::{normal_weights, output_scale};
use super::{LinearMap, Tensors};
use candle_core::{D, DType, Device, Result, Tensor, bail};
use himacl_nn::{gelu, unit_root_mean_square};

/// Width of one attention head; a narrower network has one head.
const HEAD_WIDTH: usize = 32;
/// Units of a block's feed-forward part, relative to its width.
const EXPANSION: usize = 2;
/// Added to a variance before the division.
const NORM_EPSILON: f64 = 1e-5;
/// Standard deviation of the slots at the start.
const SLOT_VARIANCE: f32 = 0.02 * 0.02;

/// `T(x) = x W + b + N(x) / √e`. N turns `x`, scaled to unit root mean square, into t tokens by one linear layer, adds a
/// learned slot to each, lets k blocks of self-attention and feed-forward layers work on them, and reads the answer off
/// their mean.
///
/// Blocks normalise first. The read-out starts at zero, so that training starts exactly at the linear map. Only operations
/// with a backward pass are used: Candle's fused norms and softmax drop gradients without a word.
///
/// References: \[VSP17\] Vaswani et al., "Attention is all you need", 2017; \[MHB21\] Mokady, Hertz, Bermano, 2021 (the
/// mapping network).
#[derive(Debug, Clone)]
pub struct ResidualTransformer {
    /// The linear path, d to e.
    pub linear: LinearMap,
    /// d to t · w.
    pub input: LinearMap,
    /// `(t, w)`.
    pub slots: Tensor,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// The read-out, w to e.
    pub output: LinearMap,
}

/// One block; every part is a scale and a shift, or a linear layer.
#[derive(Debug, Clone)]
pub struct Block {
    /// Scale and shift before attention, `(w,)` each.
    attention_norm: (Tensor, Tensor),
    /// w to 3 w: queries, keys and values.
    attention: LinearMap,
    /// w to w.
    mix: LinearMap,
    /// Scale and shift before the feed-forward part.
    feed_norm: (Tensor, Tensor),
    /// w to 2 w.
    feed: LinearMap,
    /// 2 w to w.
    back: LinearMap,
}

impl ResidualTransformer {
    /// A transformer of `layers` blocks of `width` units on `tokens` tokens around `linear`, drawn from the seed.
    ///
    /// # Errors
    /// A width of more than 32 that is no multiple of 32.
    pub fn around(linear: LinearMap, layers: usize, width: usize, tokens: usize, seed: u64) -> Result<Self> {
        num_heads(width)?;
        let (inputs, outputs) = linear.weight.dims2()?;
        let device = linear.weight.device();
        let mut drawn = 0;
        let mut layer = |from: usize, to: usize| -> Result<LinearMap> {
            drawn += 1;
            let weight = normal_weights((from, to), 1.0 / from as f32, (seed, drawn), DType::F32, device)?;
            Ok(LinearMap { weight, bias: Tensor::zeros(to, DType::F32, device)? })
        };
        let input = layer(inputs, tokens * width)?;
        let blocks = (0..layers)
            .map(|_| {
                Ok(Block {
                    attention_norm: unit_norm(width, device)?,
                    attention: layer(width, 3 * width)?,
                    mix: layer(width, width)?,
                    feed_norm: unit_norm(width, device)?,
                    feed: layer(width, EXPANSION * width)?,
                    back: layer(EXPANSION * width, width)?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let slots = normal_weights((tokens, width), SLOT_VARIANCE, (seed, 0), DType::F32, device)?;
        let output = LinearMap {
            weight: Tensor::zeros((width, outputs), DType::F32, device)?,
            bias: Tensor::zeros(outputs, DType::F32, device)?,
        };
        Ok(Self { linear, input, slots, blocks, output })
    }

    /// Maps the rows of `x`, `(n, d)`, to `(n, e)`; differentiable in every tensor of the map. For k blocks of width w on t
    /// tokens O(n t (k w² + k t w + d w)) time.
    ///
    /// # Errors
    /// Rows of another dimension than d.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (n, (tokens, width)) = (x.dim(0)?, self.slots.dims2()?);
        let heads = num_heads(width)?;
        let mut states = self.input.apply(&unit_root_mean_square(x)?)?.reshape((n, tokens, width))?; // (n, t, w)
        states = states.broadcast_add(&self.slots)?;
        for block in &self.blocks {
            states = (&states + block.attend(&states, heads)?)?;
            states = (&states + block.feed_forward(&states)?)?;
        }
        self.linear.apply(x)? + self.output.scaled(output_scale(&self.output))?.apply(&states.mean(1)?)? // (n, e)
    }

    /// The parameters by name.
    pub(super) fn tensors(&self) -> Tensors {
        let mut tensors = Tensors::from([("slots".to_owned(), self.slots.clone())]);
        let mut insert = |name: &str, weight: &Tensor, bias: &Tensor| {
            tensors.insert(format!("{name}.weight"), weight.clone());
            tensors.insert(format!("{name}.bias"), bias.clone());
        };
        for (name, layer) in [("linear", &self.linear), ("input", &self.input), ("output", &self.output)] {
            insert(name, &layer.weight, &layer.bias);
        }
        for (index, block) in self.blocks.iter().enumerate() {
            for (name, (weight, bias)) in [("attention_norm", &block.attention_norm), ("feed_norm", &block.feed_norm)] {
                insert(&format!("block.{index}.{name}"), weight, bias);
            }
            let layers =
                [("attention", &block.attention), ("mix", &block.mix), ("feed", &block.feed), ("back", &block.back)];
            for (name, layer) in layers {
                insert(&format!("block.{index}.{name}"), &layer.weight, &layer.bias);
            }
        }
        tensors
    }

    /// The inverse of [`ResidualTransformer::tensors`]; `layer` takes a linear layer out by its name.
    pub(super) fn from_tensors(tensors: &Tensors, layer: &dyn Fn(&str) -> Result<LinearMap>) -> Result<Self> {
        let get = |name: &str| match tensors.get(name) {
            Some(tensor) => Ok(tensor.clone()),
            None => bail!("the map has no tensor `{name}`"),
        };
        let norm = |name: &str| -> Result<(Tensor, Tensor)> {
            Ok((get(&format!("{name}.weight"))?, get(&format!("{name}.bias"))?))
        };
        let depth = (0..usize::MAX).take_while(|at| tensors.contains_key(&format!("block.{at}.mix.weight"))).count();
        let block = |index: usize| {
            let named = |part: &str| format!("block.{index}.{part}");
            Ok(Block {
                attention_norm: norm(&named("attention_norm"))?,
                attention: layer(&named("attention"))?,
                mix: layer(&named("mix"))?,
                feed_norm: norm(&named("feed_norm"))?,
                feed: layer(&named("feed"))?,
                back: layer(&named("back"))?,
            })
        };
        Ok(Self {
            linear: layer("linear")?,
            input: layer("input")?,
            slots: get("slots")?,
            blocks: (0..depth).map(block).collect::<Result<_>>()?,
            output: layer("output")?,
        })
    }
}

impl Block {
    fn attend(&self, states: &Tensor, heads: usize) -> Result<Tensor> {
        let (n, tokens, width) = states.dims3()?;
        let head = width / heads;
        let all = of_tokens(&self.attention, &normed(states, &self.attention_norm)?)?; // (n, t, 3 w)
        let part = |index: usize| {
            all.narrow(D::Minus1, index * width, width)?
                .reshape((n, tokens, heads, head))?
                .transpose(1, 2)?
                .contiguous() // (n, h, t, w / h)
        };
        let (queries, keys, values) = (part(0)?, part(1)?, part(2)?);
        let scores = (queries.matmul(&keys.t()?.contiguous()?)? * (1.0 / (head as f64).sqrt()))?; // (n, h, t, t)
        let mixed = softmax(&scores)?.matmul(&values)?; // (n, h, t, w / h)
        of_tokens(&self.mix, &mixed.transpose(1, 2)?.reshape((n, tokens, width))?)
    }

    fn feed_forward(&self, states: &Tensor) -> Result<Tensor> {
        let wide = gelu(&of_tokens(&self.feed, &normed(states, &self.feed_norm)?)?)?; // (n, t, 2 w)
        of_tokens(&self.back, &wide)
    }
}

fn num_heads(width: usize) -> Result<usize> {
    match width {
        0 => bail!("a transformer map needs a width of at least 1"),
        1..HEAD_WIDTH => Ok(1),
        _ if width.is_multiple_of(HEAD_WIDTH) => Ok(width / HEAD_WIDTH),
        _ => bail!("a transformer map has width {width}, expected a multiple of {HEAD_WIDTH}, its heads' width"),
    }
}

fn unit_norm(width: usize, device: &Device) -> Result<(Tensor, Tensor)> {
    Ok((Tensor::ones(width, DType::F32, device)?, Tensor::zeros(width, DType::F32, device)?))
}

/// A linear layer on every token, `(n, t, from)` to `(n, t, to)`.
fn of_tokens(layer: &LinearMap, states: &Tensor) -> Result<Tensor> {
    let (n, tokens, width) = states.dims3()?;
    layer.apply(&states.reshape((n * tokens, width))?)?.reshape((n, tokens, ()))
}

/// Zero mean and unit variance over the last dimension, then scale and shift.
fn normed(states: &Tensor, (scale, shift): &(Tensor, Tensor)) -> Result<Tensor> {
    // Half precision would lose the sums.
    let dtype = states.dtype();
    let states = states.to_dtype(DType::F32)?;
    let centred = states.broadcast_sub(&states.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let unit = centred.broadcast_div(&(variance + NORM_EPSILON)?.sqrt()?)?.to_dtype(dtype)?;
    unit.broadcast_mul(scale)?.broadcast_add(shift)
}

/// Over the last dimension, by operations that have a backward pass.
fn softmax(scores: &Tensor) -> Result<Tensor> {
    let dtype = scores.dtype();
    let scores = scores.to_dtype(DType::F32)?;
    let largest = scores.max_keepdim(D::Minus1)?.detach();
    let weights = scores.broadcast_sub(&largest)?.exp()?;
    weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?.to_dtype(dtype)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(tokens: usize) -> ResidualTransformer {
        ResidualTransformer::around(LinearMap::identity(6, &Device::Cpu).unwrap(), 2, 32, tokens, 1).unwrap()
    }

    fn rows() -> Tensor {
        Tensor::new(&[[1f32, -2.0, 0.5, 0.0, 3.0, 1.0], [0.3, 0.1, 0.7, -1.0, 0.0, 2.0]], &Device::Cpu).unwrap()
    }

    #[test]
    fn it_starts_at_its_linear_path() {
        let x = rows();
        assert_eq!(map(4).apply(&x).unwrap().to_vec2::<f32>().unwrap(), x.to_vec2::<f32>().unwrap());
    }

    #[test]
    fn rows_do_not_see_one_another() {
        let mut map = map(4);
        map.output.weight = (map.output.weight + 0.3).unwrap();
        let both = map.apply(&rows()).unwrap().to_vec2::<f32>().unwrap();
        let second = map.apply(&rows().narrow(0, 1, 1).unwrap()).unwrap().to_vec2::<f32>().unwrap();
        assert!(both[1].iter().zip(&second[0]).all(|(a, b)| (a - b).abs() < 1e-5));
        assert_ne!(both[1], rows().to_vec2::<f32>().unwrap()[1]);
    }

    #[test]
    fn attention_by_hand() {
        // With one token, attention is the identity on its values.
        let block = &map(1).blocks[0];
        let states = rows().repeat((1, 6)).unwrap().narrow(1, 0, 32).unwrap().reshape((2, 1, 32)).unwrap();
        let values = of_tokens(&block.attention, &normed(&states, &block.attention_norm).unwrap()).unwrap();
        let expected = of_tokens(&block.mix, &values.narrow(2, 64, 32).unwrap().contiguous().unwrap()).unwrap();
        let found = block.attend(&states, 1).unwrap();
        let difference = (found - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(difference < 1e-5, "{difference}");
        let weights = softmax(&Tensor::new(&[[0f32, 3f32.ln()]], &Device::Cpu).unwrap()).unwrap();
        assert!((weights.to_vec2::<f32>().unwrap()[0][1] - 0.75).abs() < 1e-6);
    }

    #[test]
    fn widths_must_fit_the_heads() {
        assert!(num_heads(40).unwrap_err().to_string().contains("multiple of 32"));
        assert_eq!([num_heads(8).unwrap(), num_heads(32).unwrap(), num_heads(128).unwrap()], [1, 1, 4]);
    }
}
