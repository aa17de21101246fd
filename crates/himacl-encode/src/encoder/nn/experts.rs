//! A mixture of experts in the place of the two layers after attention.

use super::{Activation, Linear};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use candle_core::{D, DType, Result, Tensor};
use candle_nn::ops;

/// Experts of two layers each, of which every token goes through a few.
pub(in crate::encoder) struct Experts {
    router: Linear,
    layers: Vec<(Linear, Linear)>,
    /// Added once to what a token's experts give.
    bias: Tensor,
    /// Experts of a token.
    chosen: usize,
    activation: Activation,
}

impl Experts {
    /// `router.layer` `(experts, hidden)`, `experts.mlp.w1` and `w2` `(experts inner, hidden)`, one expert after the other,
    /// and `experts.bias`: as megablocks stores them.
    pub(in crate::encoder) fn load(
        weights: &Weights,
        chosen: usize,
        activation: Activation,
    ) -> std::result::Result<Self, EncoderError> {
        let router = Linear::load(&weights.at("router.layer"))?;
        let count = router.outputs()?;
        let (up, down) = (weights.get("experts.mlp.w1")?, weights.get("experts.mlp.w2")?);
        let inner = up.dim(0)? / count;
        if up.dims() != down.dims() || inner * count != up.dim(0)? {
            let got = format!("layers {:?} and {:?} of {count} experts", up.dims(), down.dims());
            return Err(candle_core::Error::Msg(format!("{got} do not fit together")).into());
        }
        let expert = |place: usize| {
            let part = |x: &Tensor| x.narrow(0, place * inner, inner);
            // The second layer is stored as what rows are multiplied by from the right.
            Ok((Linear::new(&part(&up)?, None)?, Linear::new(&part(&down)?.t()?, None)?))
        };
        let layers = (0..count).map(expert).collect::<std::result::Result<_, EncoderError>>()?;
        Ok(Self { router, layers, bias: weights.get("experts.bias")?, chosen, activation })
    }

    /// `(tokens, hidden)` to the same: for each token the sum of its likeliest experts, each times its probability among
    /// all.
    pub(in crate::encoder) fn forward(&self, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        let scores = self.router.forward(x, None, Activation::Identity)?;
        let shares = ops::softmax(&scores, D::Minus1)?; // (tokens, experts)
        let mut tokens = vec![Vec::new(); self.layers.len()];
        for (token, shares) in shares.to_dtype(DType::F32)?.to_vec2::<f32>()?.iter().enumerate() {
            let mut order: Vec<usize> = (0..shares.len()).collect();
            order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]));
            order.truncate(self.chosen);
            order.into_iter().for_each(|expert| tokens[expert].push(token as u32));
        }
        let mut sum = x.zeros_like()?.broadcast_add(&self.bias)?;
        for (place, ((up, down), tokens)) in self.layers.iter().zip(tokens).enumerate() {
            if tokens.is_empty() {
                continue;
            }
            let count = tokens.len();
            let tokens = Tensor::from_vec(tokens, count, x.device())?;
            let inner = up.forward(&x.index_select(&tokens, 0)?, None, self.activation)?;
            let share = shares.index_select(&tokens, 0)?.narrow(1, place, 1)?;
            let out = down.forward(&inner, None, Activation::Identity)?.broadcast_mul(&share)?;
            sum = sum.index_add(&tokens, &out, 0)?;
        }
        residual.iter().try_fold(sum, |sum, residual| sum + *residual)
    }
}
