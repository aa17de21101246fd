//! By the names of transformers.

use super::VisionTransformer;
use super::grid::Turning;
use super::head::{AttentionHead, Head};
use super::places::{Move, Places};
use crate::encoder::config::Config;
use crate::encoder::nn::{
    Activation, Block, BlockNames, BlockShape, Convolution, Filter, Gate, Linear, Mask, Norm, Order, Padding,
};
use crate::encoder::registry::{ImageSpec, Interpolation, Pooling};
use crate::encoder::text::families::{CLIP, activation, heads};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use candle_core::Tensor;
use std::sync::Arc;

const VIT: BlockNames = BlockNames {
    query: "attention.attention.query",
    key: "attention.attention.key",
    value: "attention.attention.value",
    output: "attention.output.dense",
    attention_norm: "layernorm_before",
    up: "intermediate.dense",
    down: "output.dense",
    mlp_norm: "layernorm_after",
    joined: None,
    scales: None,
    gate: None,
    inner_norms: None,
};

const DINO: BlockNames = BlockNames {
    attention_norm: "norm1",
    up: "mlp.fc1",
    down: "mlp.fc2",
    mlp_norm: "norm2",
    scales: Some(("layer_scale1.lambda1", "layer_scale2.lambda1")),
    ..VIT
};

const DINO3: BlockNames = BlockNames {
    query: "attention.q_proj",
    key: "attention.k_proj",
    value: "attention.v_proj",
    output: "attention.o_proj",
    up: "mlp.up_proj",
    down: "mlp.down_proj",
    ..DINO
};

/// The kinds of such models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::encoder) enum VisionKind {
    Vit,
    Dino,
    Dino3,
    Clip,
    Siglip,
}

impl VisionKind {
    /// Activation and epsilon where the configuration is silent.
    fn defaults(self) -> (&'static str, f64) {
        match self {
            Self::Vit => ("gelu", 1e-12),
            Self::Dino => ("gelu", 1e-6),
            Self::Dino3 => ("gelu", 1e-5),
            Self::Clip => ("quick_gelu", 1e-5),
            Self::Siglip => ("gelu_pytorch_tanh", 1e-6),
        }
    }

    /// Types that the configuration may name; it need not name one.
    fn types(self) -> &'static [&'static str] {
        match self {
            Self::Vit => &["vit", "deit"],
            Self::Dino => &["dinov2", "dinov2_with_registers"],
            Self::Dino3 => &["dinov3_vit"],
            Self::Clip => &["clip_vision_model", "metaclip_2_vision_model", "chinese_clip_vision_model"],
            Self::Siglip => &["siglip_vision_model", "siglip2_vision_model"],
        }
    }

    /// The path to the patches' filter, the list of blocks, the last normalisation.
    fn paths(self) -> [&'static str; 3] {
        match self {
            Self::Vit | Self::Dino => ["embeddings.patch_embeddings.projection", "encoder.layer", "layernorm"],
            Self::Dino3 => ["embeddings.patch_embeddings", "layer", "norm"],
            Self::Clip | Self::Siglip => ["embeddings.patch_embedding", "encoder.layers", "post_layernorm"],
        }
    }
}

impl VisionTransformer {
    /// Reads the tower below `weights`, for pictures that are prepared as `image` says.
    pub(in crate::encoder) fn load(
        weights: &Weights,
        config: &Config,
        kind: VisionKind,
        image: &ImageSpec,
        pooling: Option<Pooling>,
        projection: Option<Linear>,
    ) -> Result<Self, EncoderError> {
        check(config, kind)?;
        let [patch, layer, last] = kind.paths();
        let (filter, any_size) = filter(&weights.at(patch), config)?;
        let (hidden, size) = (filter.outputs()?, filter.kernel()?);
        let grid = grid(config, image, size, any_size)?;
        let defaults = kind.defaults();
        let mut shape = BlockShape {
            heads: heads(config, 12, hidden)?,
            epsilon: config.number_or("layer_norm_eps", defaults.1),
            activation: activation(config, "hidden_act", defaults.0)?,
            order: Order::Before,
            mask: Mask::Full,
            rope: None,
        };
        let embeddings = weights.at("embeddings");
        let class = match kind {
            VisionKind::Vit | VisionKind::Dino | VisionKind::Dino3 => Some("cls_token"),
            VisionKind::Clip => Some("class_embedding"),
            VisionKind::Siglip => None,
        };
        let class = class.map(|name| Ok::<_, EncoderError>(embeddings.get(name)?.reshape((1, hidden))?)).transpose()?;
        let registers = match embeddings.maybe("register_tokens")? {
            Some(registers) if registers.dim(1)? > 0 => Some(registers.squeeze(0)?),
            _ => None,
        };
        if let (VisionKind::Dino3, Some(grid)) = (kind, grid) {
            let leading = 1 + registers.as_ref().map_or(Ok(0), |registers| registers.dim(0))?;
            let turning = Turning::Middles { theta: config.number_or("rope_theta", 100.0) };
            let like = class.as_ref().map_or(filter.weight(), |class| class);
            shape.rope = Some(Arc::new(turning.rope(hidden / shape.heads, grid, leading, like)?));
        }
        // Newer versions put the blocks one level further down.
        let layers = weights.at_if_there("model").at(layer);
        let names = names(config, kind, &layers.at(0), &mut shape);
        let norm = |name: &str| Norm::layer(&weights.at(name), shape.epsilon);
        let how = match kind {
            VisionKind::Siglip if any_size => Move::Widened(Interpolation::Bilinear),
            VisionKind::Dino if registers.is_some() => Move::Widened(Interpolation::Bicubic),
            _ => Move::Cubic,
        };
        let head = match (kind, pooling) {
            (VisionKind::Siglip, _) => Head::Attention(Box::new(AttentionHead::siglip(&weights.at("head"), &shape)?)),
            (VisionKind::Vit | VisionKind::Dino | VisionKind::Dino3, Some(Pooling::Mean)) => Head::Mean(0),
            _ => Head::Cls,
        };
        Ok(Self {
            places: places(&embeddings, kind, how, grid, hidden)?,
            patches: vec![Convolution::new(filter, size, Padding::Even(0), Activation::Identity)?],
            class,
            registers,
            first_norm: (kind == VisionKind::Clip).then(|| norm("pre_layrnorm")).transpose()?,
            blocks: (0..config.size_or("num_hidden_layers", 12)?)
                .map(|place| Block::load(&layers.at(place), &names, &shape))
                .collect::<Result<_, _>>()?,
            last_norm: norm(last)?,
            head,
            dimension: projection.as_ref().map_or(Ok(hidden), Linear::outputs)?,
            projection,
        })
    }
}

/// Refuses what is not computed here.
fn check(config: &Config, kind: VisionKind) -> Result<(), EncoderError> {
    let named = config.text("model_type", "");
    if !named.is_empty() && !kind.types().contains(&named) {
        return Err(config.wrong(format!("`model_type` is `{named}`, expected one of: {}", kind.types().join(", "))));
    }
    if kind == VisionKind::Siglip && config.get("vision_use_head").is_some() && !config.flag("vision_use_head") {
        return Err(config.wrong("`vision_use_head` is false: the model makes no embedding of a picture"));
    }
    Ok(())
}

/// The filter of patches, and whether pictures may be of any size: `SigLIP2` stores a matrix of flattened patches then.
fn filter(weights: &Weights, config: &Config) -> Result<(Filter, bool), EncoderError> {
    let (weight, bias) = (weights.get("weight")?, weights.maybe("bias")?);
    let Ok((hidden, values)) = weight.dims2() else { return Ok((Filter::new(weight, bias), false)) };
    let side = config.size_or("patch_size", 16)?;
    if values != side * side * 3 {
        return Err(config.wrong(format!("`patch_size` is {side}, expected one of {values} values in three channels")));
    }
    let weight = weight.reshape((hidden, side, side, 3))?.permute((0, 3, 1, 2))?;
    // A variable stays where it is.
    Ok((Filter::new(if weight.track_op() { weight } else { weight.contiguous()? }, bias), true))
}

/// Rows and columns of patches, `None` where every picture has its own.
fn grid(
    config: &Config,
    image: &ImageSpec,
    size: usize,
    any_size: bool,
) -> Result<Option<(usize, usize)>, EncoderError> {
    let side = image.crop as usize;
    match image.patches {
        None if side.is_multiple_of(size) => Ok(Some((side / size, side / size))),
        None => Err(config.wrong(format!("pictures of {side} do not divide into patches of {size}"))),
        Some(_) if !any_size => {
            Err(config.wrong("the model takes pictures of one size, but they are prepared in their own proportions"))
        }
        Some(patches) if patches.side as usize != size => {
            Err(config.wrong(format!("patches are {} wide, expected {size} as the weights have them", patches.side)))
        }
        Some(_) => Ok(None),
    }
}

/// Embeddings of places, where there are such.
fn places(
    embeddings: &Weights,
    kind: VisionKind,
    how: Move,
    grid: Option<(usize, usize)>,
    hidden: usize,
) -> Result<Option<Places>, EncoderError> {
    let (name, fixed) = match kind {
        VisionKind::Vit | VisionKind::Dino => ("position_embeddings", 1),
        VisionKind::Clip => ("position_embedding.weight", 1),
        VisionKind::Siglip => ("position_embedding.weight", 0),
        VisionKind::Dino3 => return Ok(None),
    };
    let rows: Tensor = embeddings.get(name)?.reshape(((), hidden))?;
    let places = Places::new(rows, fixed, how)?;
    Ok(Some(match grid {
        Some(grid) => places.settled(grid)?,
        None => places,
    }))
}

/// What tensors of a block are called, `block` being the first.
fn names(config: &Config, kind: VisionKind, block: &Weights, shape: &mut BlockShape) -> BlockNames {
    match kind {
        VisionKind::Vit => VIT,
        VisionKind::Clip | VisionKind::Siglip => CLIP,
        VisionKind::Dino3 if block.has("mlp.gate_proj.weight") => {
            BlockNames { gate: Some(Gate::Apart("mlp.gate_proj")), ..DINO3 }
        }
        VisionKind::Dino3 => DINO3,
        VisionKind::Dino if config.flag("use_swiglu_ffn") => {
            shape.activation = Activation::Silu;
            if block.has("mlp.gate_proj.weight") {
                let gate = Some(Gate::Apart("mlp.gate_proj"));
                return BlockNames { gate, up: "mlp.up_proj", down: "mlp.down_proj", ..DINO };
            }
            BlockNames { gate: Some(Gate::Joined("mlp.weights_in")), down: "mlp.weights_out", ..DINO }
        }
        VisionKind::Dino => DINO,
    }
}
