//! `FastViT` as the picture tower of `MobileCLIP`, by the names of timm.
//!
//! It was trained with several branches side by side, each with a normalisation of its own. All of them are linear, so
//! that one convolution does what they do together; files that hold that convolution already (`reparam_conv`) are read, too.

use super::{Network, PLACES};
use crate::encoder::nn::{
    self, Activation, Attention, Convolution, Depthwise, Linear, Mask, Mlp, Norm, Padding, Sequences, scale_and_shift,
};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use candle_core::{D, DType, Result, Tensor};

const EPSILON: f64 = 1e-5;
/// Coordinates of a head.
const HEAD: usize = 32;

/// `FastViT` with its classifier as the projection.
pub(in crate::encoder) struct FastVit {
    stem: Vec<Layer>,
    stages: Vec<Stage>,
    last: Layer,
    projection: Linear,
    dimension: usize,
}

struct Stage {
    /// Half the height and width, more channels; the first stage begins where the stem ends.
    shrink: Vec<Layer>,
    /// Tells places apart.
    places: Option<Depthwise>,
    blocks: Vec<Block>,
}

/// A token mixer and two layers, each added to what went in.
struct Block {
    mixer: Mixer,
    /// In front of the two layers.
    local: Depthwise,
    mlp: Mlp,
}

enum Mixer {
    /// With what went in, and the factors, as part of the filters.
    Convolution(Depthwise),
    Attention {
        norm: Option<Norm>,
        attention: Box<Attention>,
    },
}

impl FastVit {
    /// Numbers of stages, blocks and channels are read off the weights.
    pub(in crate::encoder) fn load(weights: &Weights) -> std::result::Result<Self, EncoderError> {
        let mut channels = 3;
        let mut layer = |weights: Weights, stride: usize| {
            let layer = Layer::load(&weights, channels, stride)?;
            channels = layer.outputs;
            Ok::<_, EncoderError>(layer)
        };
        let stem = weights.at("stem");
        let stem = vec![layer(stem.at(0), 2)?, layer(stem.at(1), 2)?, layer(stem.at(2), 1)?];
        let mut stages = Vec::new();
        loop {
            let stage = weights.at("stages").at(stages.len());
            let blocks = blocks(&stage.at("blocks"))?;
            if blocks.is_empty() {
                break;
            }
            let shrink = stage.at("downsample.proj");
            let shrink = if shrink.at(1).has_any() {
                vec![layer(shrink.at(0), 2)?, layer(shrink.at(1), 1)?]
            } else {
                Vec::new()
            };
            let places = stage.at("pos_emb");
            let places = places.has_any().then(|| Filter::of_places(&places)?.depthwise()).transpose()?;
            stages.push(Stage { shrink, places, blocks });
        }
        let projection = Linear::load(&weights.at("head.fc"))?;
        let last = layer(weights.at("final_conv"), 1)?;
        Ok(Self { stem, stages, last, dimension: projection.outputs()?, projection })
    }
}

fn blocks(weights: &Weights) -> std::result::Result<Vec<Block>, EncoderError> {
    let mut blocks = Vec::new();
    loop {
        let block = weights.at(blocks.len());
        if !block.has_any() {
            return Ok(blocks);
        }
        let mixer = block.at("token_mixer");
        let (mixer, factors) = if mixer.has("qkv.weight") {
            (attention(&block)?, "layer_scale_2.gamma")
        } else {
            (Mixer::Convolution(Filter::of_mixer(&mixer)?.depthwise()?), "layer_scale.gamma")
        };
        let mlp = block.at("mlp");
        let down = pointwise(&mlp.at("fc2"))?;
        let down = match block.maybe(factors)? {
            Some(factors) => down.scaled(factors.flatten_all()?)?,
            None => down,
        };
        blocks.push(Block {
            mixer,
            local: Filter::folded(&mlp.at("conv"))?.depthwise()?,
            mlp: Mlp::Plain { up: pointwise(&mlp.at("fc1"))?, activation: Activation::Gelu, down },
        });
    }
}

/// Attention of a block; where the normalisation has fixed statistics, it becomes a part of the layer behind it.
fn attention(block: &Weights) -> std::result::Result<Mixer, EncoderError> {
    let mixer = block.at("token_mixer");
    let (mut weight, mut bias) = (mixer.get("qkv.weight")?, mixer.maybe("qkv.bias")?);
    let width = weight.dim(1)?;
    if !width.is_multiple_of(HEAD) {
        let reason = format!("attention has a width of {width}, expected a multiple of {HEAD}");
        return Err(candle_core::Error::Msg(reason).into());
    }
    let norm = block.at("norm");
    let norm = if norm.has("running_var") {
        let (scale, shift) = scale_and_shift(&norm, EPSILON)?;
        let moved = weight.matmul(&shift.reshape((width, 1))?)?.squeeze(1)?;
        bias = Some(bias.map_or_else(|| Ok(moved.clone()), |bias| bias + &moved)?);
        weight = weight.broadcast_mul(&scale)?;
        None
    } else {
        Some(Norm::layer(&norm, EPSILON)?)
    };
    let part = |place: usize| {
        let bias = bias.as_ref().map(|bias| bias.narrow(0, place * width, width)).transpose()?;
        Linear::new(&weight.narrow(0, place * width, width)?, bias)
    };
    let output = Linear::load(&mixer.at("proj"))?;
    let output = match block.maybe("layer_scale_1.gamma")? {
        Some(factors) => output.scaled(factors.flatten_all()?)?,
        None => output,
    };
    let heads = width / HEAD;
    let attention = Attention {
        query: part(0)?,
        key: part(1)?,
        value: part(2)?,
        output,
        heads,
        key_heads: heads,
        mask: Mask::Full,
        norms: None,
        rope: None,
        inner_norm: None,
    };
    Ok(Mixer::Attention { norm, attention: Box::new(attention) })
}

impl Network for FastVit {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn places(&self, _size: (usize, usize)) -> usize {
        PLACES
    }

    /// Stages: they change the size.
    fn num_blocks(&self) -> usize {
        self.stages.len()
    }

    fn stem(&self, x: &Tensor) -> Result<Tensor> {
        through(&self.stem, x)
    }

    fn block(&self, place: usize, x: &Tensor) -> Result<Tensor> {
        let stage = &self.stages[place];
        let x = through(&stage.shrink, x)?;
        let x = stage.places.iter().try_fold(x, |x, places| places.forward(&x))?;
        stage.blocks.iter().try_fold(x, |x, block| block.forward(&x))
    }

    fn head(&self, x: &Tensor) -> Result<Tensor> {
        let pooled = self.last.forward(x)?.mean((1, 2))?;
        self.projection.forward(&pooled, None, Activation::Identity)
    }
}

fn through(layers: &[Layer], x: &Tensor) -> Result<Tensor> {
    layers.iter().try_fold(x.clone(), |x, layer| layer.forward(&x))
}

impl Block {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (n, height, width, channels) = x.dims4()?;
        let rows = |x: &Tensor| x.reshape((n * height * width, channels));
        let x = match &self.mixer {
            Mixer::Convolution(convolution) => convolution.forward(x)?,
            Mixer::Attention { norm, attention } => {
                let x = rows(x)?;
                let normed = norm.as_ref().map_or_else(|| Ok(x.clone()), |norm| norm.forward(&x))?;
                let sequences = Sequences::new(vec![height * width; n], x.device());
                attention.forward(&normed, &sequences, None, Some(&x))?.reshape((n, height, width, channels))?
            }
        };
        let inner = rows(&self.local.forward(&x)?)?;
        self.mlp.forward(&inner, Some(&rows(&x)?))?.reshape((n, height, width, channels))
    }
}

/// A convolution, factors of its channels where there are such, GELU.
struct Layer {
    filters: Filters,
    gate: Option<Gate>,
    outputs: usize,
}

enum Filters {
    Whole(Convolution),
    /// Several filters for each channel: those of the first output of every channel, of the second, ...
    OfEach(Vec<Depthwise>),
}

impl Layer {
    fn load(weights: &Weights, inputs: usize, stride: usize) -> std::result::Result<Self, EncoderError> {
        let filter = if weights.has("large_conv.conv.weight") {
            Filter::sum(&[Filter::folded(&weights.at("large_conv"))?], &weights.at("small_conv"))?
        } else {
            Filter::of_branches(weights)?
        };
        let gate = weights.at("se");
        let gate = gate.has_any().then(|| Gate::load(&gate)).transpose()?;
        let activation = if gate.is_some() { Activation::Identity } else { Activation::Gelu };
        Ok(Self { outputs: filter.bias.dim(0)?, filters: filter.filters(inputs, stride, activation)?, gate })
    }

    /// `(n, h, w, c)` to `(n, h', w', c')`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = match &self.filters {
            Filters::Whole(convolution) => convolution.forward(x, None)?,
            Filters::OfEach(filters) => {
                let outputs = filters.iter().map(|filter| filter.forward(x)).collect::<Result<Vec<_>>>()?;
                match outputs.as_slice() {
                    [output] => output.clone(),
                    outputs => Tensor::stack(outputs, D::Minus1)?.flatten_from(3)?,
                }
            }
        };
        self.gate.as_ref().map_or_else(|| Ok(y.clone()), |gate| Activation::Gelu.of(&gate.forward(&y)?))
    }
}

/// Squeeze and excitation: a factor for each channel, from the means of all.
struct Gate {
    squeeze: Linear,
    excite: Linear,
}

impl Gate {
    fn load(weights: &Weights) -> std::result::Result<Self, EncoderError> {
        Ok(Self { squeeze: pointwise(&weights.at("fc1"))?, excite: pointwise(&weights.at("fc2"))? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (n, _, _, channels) = x.dims4()?;
        let inner = self.squeeze.forward(&x.mean((1, 2))?, None, Activation::Relu)?;
        let factors = candle_nn::ops::sigmoid(&self.excite.forward(&inner, None, Activation::Identity)?)?;
        x.broadcast_mul(&factors.reshape((n, 1, 1, channels))?)
    }
}

/// A convolution with filters of one place, which is an affine map of each place.
fn pointwise(weights: &Weights) -> std::result::Result<Linear, EncoderError> {
    Linear::new(&weights.get("weight")?.flatten_from(1)?, weights.maybe("bias")?)
}

/// What branches do together: a convolution with stride one and zeros around.
#[derive(Clone)]
struct Filter {
    weight: Tensor, // (outputs, inputs of a group, side, side)
    bias: Tensor,   // (outputs)
}

impl Filter {
    /// The one convolution that a file holds in the place of branches.
    fn merged(weights: &Weights) -> std::result::Result<Option<Self>, EncoderError> {
        let merged = weights.at("reparam_conv");
        let filter = || Ok(Self { weight: merged.get("weight")?, bias: merged.get("bias")? });
        merged.has("weight").then(filter).transpose()
    }

    /// `conv` and the normalisation `bn` behind it.
    fn folded(weights: &Weights) -> std::result::Result<Self, EncoderError> {
        let (weight, bias) = nn::Filter::normalised(&weights.at("conv"), &weights.at("bn"), EPSILON)?.folded()?;
        let bias = bias.map_or_else(|| Tensor::zeros(weight.dim(0)?, weight.dtype(), weight.device()), Ok)?;
        Ok(Self { weight, bias })
    }

    /// Convolutions `conv_kxk`, one of single places `conv_scale`, and none at all, `identity`, as far as they are there.
    fn of_branches(weights: &Weights) -> std::result::Result<Self, EncoderError> {
        if let Some(merged) = Self::merged(weights)? {
            return Ok(merged);
        }
        let (mut branches, identity) = (Vec::new(), weights.at("identity"));
        loop {
            let branch = weights.at("conv_kxk").at(branches.len());
            if !branch.has("conv.weight") {
                break;
            }
            branches.push(Self::folded(&branch)?);
        }
        if identity.has("weight") {
            let inputs = branches.first().map_or(Ok(1), |branch| branch.weight.dim(1))?;
            let (scale, shift) = scale_and_shift(&identity, EPSILON)?;
            branches.push(Self::identity(&scale, shift, inputs)?);
        }
        Self::sum(&branches, &weights.at("conv_scale"))
    }

    /// `x + factors (mixer(x) - norm(x))`.
    fn of_mixer(weights: &Weights) -> std::result::Result<Self, EncoderError> {
        if let Some(merged) = Self::merged(weights)? {
            return Ok(merged);
        }
        let mixer = Self::of_branches(&weights.at("mixer"))?;
        let norm = Self::of_branches(&weights.at("norm"))?;
        let factors = match weights.maybe("layer_scale.gamma")? {
            Some(factors) => factors.flatten_all()?,
            None => mixer.bias.ones_like()?,
        };
        let unchanged = Self::identity(&factors.ones_like()?, factors.zeros_like()?, 1)?;
        let branches = [unchanged, mixer.scaled(&factors)?, norm.scaled(&factors.neg()?)?];
        Ok(Self::total(&branches)?)
    }

    /// `x + pos_enc(x)`.
    fn of_places(weights: &Weights) -> std::result::Result<Self, EncoderError> {
        if let Some(merged) = Self::merged(weights)? {
            return Ok(merged);
        }
        let places = weights.at("pos_enc");
        let places = Self { weight: places.get("weight")?, bias: places.get("bias")? };
        let unchanged = Self::identity(&places.bias.ones_like()?, places.bias.zeros_like()?, 1)?;
        Ok(Self::total(&[unchanged, places])?)
    }

    /// `scale x + shift` for channels in groups of `inputs`: each by itself, or all of them.
    fn identity(scale: &Tensor, shift: Tensor, inputs: usize) -> Result<Self> {
        let channels = scale.dim(0)?;
        let weight = if inputs == 1 {
            scale.reshape((channels, 1, 1, 1))?
        } else {
            let diagonal = Tensor::eye(channels, DType::F32, scale.device())?.to_dtype(scale.dtype())?;
            diagonal.broadcast_mul(scale)?.reshape((channels, channels, 1, 1))?
        };
        Ok(Self { weight, bias: shift })
    }

    fn scaled(&self, factors: &Tensor) -> Result<Self> {
        let weight = self.weight.broadcast_mul(&factors.reshape(((), 1, 1, 1))?)?;
        Ok(Self { weight, bias: (&self.bias * factors)? })
    }

    /// Branches and another one, if that is there.
    fn sum(branches: &[Self], other: &Weights) -> std::result::Result<Self, EncoderError> {
        let other = other.has("conv.weight").then(|| Self::folded(other)).transpose()?;
        let branches: Vec<Self> = branches.iter().cloned().chain(other).collect();
        Ok(Self::total(&branches)?)
    }

    /// The sum of branches: small filters lie in the middle of large ones.
    fn total(branches: &[Self]) -> Result<Self> {
        let sides = branches.iter().map(|branch| branch.weight.dim(3)).collect::<Result<Vec<_>>>()?;
        let Some((first, rest)) = branches.split_first() else { candle_core::bail!("a convolution has no branches") };
        let largest = sides.iter().copied().max().unwrap_or(1);
        let padded = |weight: &Tensor, side: usize| {
            let around = (largest - side) / 2;
            weight.pad_with_zeros(2, around, around)?.pad_with_zeros(3, around, around)
        };
        let start = Self { weight: padded(&first.weight, sides[0])?, bias: first.bias.clone() };
        rest.iter().zip(&sides[1..]).try_fold(start, |sum, (branch, &side)| {
            Ok(Self { weight: (sum.weight + padded(&branch.weight, side)?)?, bias: (sum.bias + &branch.bias)? })
        })
    }

    fn filters(self, inputs: usize, stride: usize, activation: Activation) -> Result<Filters> {
        let (outputs, group, side, _) = self.weight.dims4()?;
        let padding = Padding::Even(side / 2);
        if group == inputs {
            return Ok(Filters::Whole(Convolution::new(
                nn::Filter::new(self.weight, Some(self.bias)),
                stride,
                padding,
                activation,
            )?));
        }
        if group != 1 || !outputs.is_multiple_of(inputs) {
            candle_core::bail!("a convolution of {inputs} channels has {outputs} filters of {group}");
        }
        let each = outputs / inputs;
        let (weight, bias) = (self.weight.reshape((inputs, each, side, side))?, self.bias.reshape((inputs, each))?);
        let filters = (0..each).map(|place| {
            let bias = bias.narrow(1, place, 1)?.squeeze(1)?.contiguous()?;
            let filter = nn::Filter::new(weight.narrow(1, place, 1)?.contiguous()?, Some(bias));
            Depthwise::new(filter, stride, padding, activation)
        });
        Ok(Filters::OfEach(filters.collect::<Result<_>>()?))
    }

    /// For one filter to each channel, with stride one and no activation.
    fn depthwise(self) -> std::result::Result<Depthwise, EncoderError> {
        let padding = Padding::Even(self.weight.dim(3)? / 2);
        Ok(Depthwise::new(nn::Filter::new(self.weight, Some(self.bias)), 1, padding, Activation::Identity)?)
    }
}
