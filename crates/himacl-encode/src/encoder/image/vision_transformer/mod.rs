//! Transformers over patches: `ViT`, DINO, the picture towers of CLIP and `SigLIP`, Perception Encoder, EVA-02.

mod grid;
mod head;
mod open_clip;
mod places;
mod timm;
mod transformers;

pub(in crate::encoder) use timm::Trunk;
pub(in crate::encoder) use transformers::VisionKind;

use super::Network;
use crate::encoder::nn::{Activation, Block, Convolution, Linear, Norm, Sequences};
use candle_core::{Result, Tensor};
use head::Head;
use places::Places;

/// A transformer over patches.
pub(in crate::encoder) struct VisionTransformer {
    patches: Vec<Convolution>,
    class: Option<Tensor>,     // (1, hidden)
    registers: Option<Tensor>, // (registers, hidden), behind the class token
    places: Option<Places>,
    first_norm: Option<Norm>,
    blocks: Vec<Block>,
    /// Of all tokens; CLIP's is of the class token alone, which is the same.
    last_norm: Norm,
    head: Head,
    projection: Option<Linear>,
    dimension: usize,
}

impl VisionTransformer {
    /// Tokens before the patches: of the class, registers.
    fn leading(&self) -> usize {
        [&self.class, &self.registers].into_iter().flatten().map(|tokens| tokens.dims()[0]).sum()
    }
}

impl Network for VisionTransformer {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn places(&self, (height, width): (usize, usize)) -> usize {
        let size: usize = self.patches.iter().map(Convolution::stride).product();
        self.leading() + (height / size) * (width / size)
    }

    fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// `(n, height, width, 3)` to `(n, tokens, hidden)`.
    fn stem(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.patches.iter().try_fold(x.clone(), |x, convolution| convolution.forward(&x, None))?;
        let (n, height, width, hidden) = x.dims4()?;
        let mut x = x.reshape((n, height * width, hidden))?;
        let mut class = self.class.clone();
        if let Some(places) = &self.places {
            let (rows, fixed) = (places.at((height, width))?, places.fixed());
            x = x.broadcast_add(&rows.narrow(0, fixed, height * width)?)?;
            if fixed > 0 {
                class = class.map(|class| class + rows.narrow(0, 0, fixed)?).transpose()?;
            }
        }
        let leading: Vec<&Tensor> = class.iter().chain(&self.registers).collect();
        if !leading.is_empty() {
            let leading = Tensor::cat(&leading, 0)?.unsqueeze(0)?;
            let leading = leading.broadcast_as((n, leading.dim(1)?, hidden))?.contiguous()?;
            x = Tensor::cat(&[&leading, &x], 1)?;
        }
        self.first_norm.as_ref().map_or_else(|| Ok(x.clone()), |norm| norm.forward(&x))
    }

    fn block(&self, place: usize, x: &Tensor) -> Result<Tensor> {
        let (rows, sequences) = packed(x)?;
        self.blocks[place].forward(&rows, &sequences, None)?.reshape(x.shape())
    }

    fn head(&self, x: &Tensor) -> Result<Tensor> {
        let n = x.dim(0)?;
        let (x, sequences) = packed(x)?;
        let pooled = match &self.head {
            Head::Cls => self.last_norm.forward(&sequences.pick(&x, |_| 0)?)?,
            Head::Mean(left_out) => sequences.mean(&self.last_norm.forward(&x)?, *left_out)?,
            Head::Attention(head) => head.forward(&self.last_norm.forward(&x)?, n)?,
        };
        match &self.projection {
            Some(projection) => projection.forward(&pooled, None, Activation::Identity),
            None => Ok(pooled),
        }
    }
}

/// `(n, tokens, hidden)` to `(n tokens, hidden)`.
fn packed(x: &Tensor) -> Result<(Tensor, Sequences)> {
    let (n, tokens, hidden) = x.dims3()?;
    Ok((x.reshape((n * tokens, hidden))?, Sequences::new(vec![tokens; n], x.device())))
}
