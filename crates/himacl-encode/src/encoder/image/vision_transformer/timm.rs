//! Picture towers by the names of timm.

use super::VisionTransformer;
use super::grid::Turning;
use super::head::{AttentionHead, Head};
use super::places::{Move, Places};
use crate::encoder::config::Config;
use crate::encoder::nn::{
    Activation, Block, BlockNames, BlockShape, Convolution, Filter, Gate, Linear, Mask, Norm, Order, Padding,
};
use crate::encoder::registry::Pooling;
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use std::sync::Arc;

const NAMES: BlockNames = BlockNames {
    query: "attn.q_proj",
    key: "attn.k_proj",
    value: "attn.v_proj",
    output: "attn.proj",
    attention_norm: "norm1",
    up: "mlp.fc1",
    down: "mlp.fc2",
    mlp_norm: "norm2",
    joined: None,
    scales: None,
    gate: None,
    inner_norms: None,
};

/// What the weights of a tower do not tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::encoder) struct Trunk {
    /// Heads; as many as are 64 wide where this is absent.
    heads: Option<usize>,
    epsilon: f64,
    turning: Option<Turning>,
    order: Order,
    pool: Pool,
}

/// How tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pool {
    /// The class token.
    Token,
    /// By attention with so many heads.
    Map(usize),
    /// The mean of the patches.
    Mean,
}

impl Trunk {
    /// Those that are computed here, by the names of timm's models.
    pub(in crate::encoder) fn named(name: &str) -> Option<Self> {
        let plain = |epsilon| Self { heads: None, epsilon, turning: None, order: Order::Before, pool: Pool::Token };
        let eva = Turning::Steps { first: 0.0, reference: 16, columns_first: false };
        let perception = |first, reference| {
            let turning = Turning::Steps { first, reference, columns_first: true };
            Self { turning: Some(turning), pool: Pool::Map(8), ..plain(1e-5) }
        };
        Some(match name {
            "vit_base_mci_224" => plain(1e-6),
            "vit_large_patch14_clip_224" => plain(1e-5),
            "eva02_base_patch16_clip_224" | "eva02_large_patch14_clip_224" | "eva02_large_patch14_clip_336" => {
                Self { turning: Some(eva), ..plain(1e-6) }
            }
            // EVA-01's giant; open_clip has it by the first name.
            "eva_giant_patch14_224" | "eva_giant_patch14_clip_224" => Self { heads: Some(16), ..plain(1e-6) },
            "eva02_enormous_patch14_clip_224" => Self { heads: Some(16), order: Order::Between, ..plain(1e-6) },
            "vit_pe_core_base_patch16_224" => perception(1.0, 14),
            "vit_pe_core_tiny_patch16_384" | "vit_pe_core_small_patch16_384" | "vit_pe_core_large_patch14_336" => {
                perception(1.0, 24)
            }
            "vit_pe_core_gigantic_patch14_448" => Self { heads: Some(16), ..perception(0.0, 32) },
            _ => return None,
        })
    }

    /// The pooling, as timm calls it.
    pub(in crate::encoder) fn pool(&self) -> &'static str {
        match self.pool {
            Pool::Token => "token",
            Pool::Map(_) => "map",
            Pool::Mean => "avg",
        }
    }

    /// jina-clip-v2's form of EVA-02, as its `vision_config` describes it.
    pub(in crate::encoder) fn jina(config: &Config) -> Result<Self, EncoderError> {
        for (key, expected) in [
            ("rope_embeddings", true),
            ("intp_freq", true),
            ("naive_swiglu", true),
            ("subln", true),
            ("post_norm", false),
        ] {
            if config.flag(key) != expected {
                return Err(config.wrong(format!("`{key}` is {}, expected {expected}", !expected)));
            }
        }
        for key in ["proj_type", "ls_init_value"] {
            if let Some(value) = config.get(key) {
                return Err(config.wrong(format!("`{key}` is {value}, which is not supported")));
            }
        }
        let (width, head) = (config.size("width")?, config.size_or("head_width", 64)?.max(1));
        let reference = config.size_or("pt_hw_seq_len", 16)?;
        let turning = Some(Turning::Steps { first: 0.0, reference, columns_first: false });
        Ok(Self { heads: Some(width / head), epsilon: 1e-6, turning, order: Order::Before, pool: Pool::Token })
    }

    /// `DINOv3`. Pooled as the description says or, where it is silent, the configuration.
    pub(in crate::encoder) fn dino(config: &Config, pooling: Option<Pooling>) -> Result<Self, EncoderError> {
        const KNOWN: [&str; 5] = ["small", "small_plus", "base", "large", "huge_plus"];
        let name = config.text("architecture", "");
        let size = name.strip_prefix("vit_").and_then(|name| name.strip_suffix("_patch16_dinov3"));
        if !size.is_some_and(|size| KNOWN.contains(&size)) {
            let known = KNOWN.join(", ");
            let expected = format!("expected vit_SIZE_patch16_dinov3 with a size of {known}");
            return Err(config.wrong(format!("`architecture` is `{name}`, {expected}")));
        }
        let pool = match (pooling, config.text("global_pool", "avg")) {
            (Some(Pooling::Cls), _) | (None, "token") => Pool::Token,
            (Some(Pooling::Mean), _) | (None, "avg") => Pool::Mean,
            (_, other) => return Err(config.wrong(format!("`global_pool` is `{other}`, expected token or avg"))),
        };
        let turning = Some(Turning::Middles { theta: 100.0 });
        Ok(Self { heads: None, epsilon: 1e-5, turning, order: Order::Before, pool })
    }
}

impl VisionTransformer {
    /// Reads the tower below `weights`, with its classifier, if it has one, as the projection. Patches may be made by several
    /// convolutions.
    pub(in crate::encoder) fn timm(weights: &Weights, trunk: &Trunk, side: usize) -> Result<Self, EncoderError> {
        /// Coordinates of a head: that of most such towers.
        const HEAD: usize = 64;
        let patches = patches(&weights.at("patch_embed"))?;
        let size: usize = patches.iter().map(Convolution::stride).product();
        let hidden = patches.last().map_or(Ok(0), Convolution::outputs)?;
        let heads = trunk.heads.unwrap_or(hidden / HEAD).max(1);
        // What is left of a picture beside the patches is not looked at.
        if size > side || !hidden.is_multiple_of(heads) {
            let reason = format!("pictures of {side} in patches of {size}, a width of {hidden} in {heads} heads");
            return Err(candle_core::Error::Msg(reason).into());
        }
        let grid = (side / size, side / size);
        let class = weights.maybe("cls_token")?.map(|class| class.squeeze(0)).transpose()?;
        let registers = weights.maybe("reg_token")?.map(|registers| registers.squeeze(0)).transpose()?;
        let leading = [&class, &registers].into_iter().flatten().map(|tokens| tokens.dims()[0]).sum();
        let places = weights.maybe("pos_embed")?.map(|places| places.squeeze(0)).transpose()?;
        let places = places.map(|places| {
            // The class token may have no place of its own.
            let rows = places.dim(0)?;
            Places::new(places, usize::from(rows.isqrt().pow(2) != rows), Move::Cubic)?.settled(grid)
        });
        let like = weights.get("blocks.0.norm1.weight")?;
        let turning = trunk.turning.map(|turning| turning.rope(hidden / heads, grid, leading, &like).map(Arc::new));
        let shape = BlockShape {
            heads,
            epsilon: trunk.epsilon,
            activation: Activation::Gelu,
            order: trunk.order,
            mask: Mask::Full,
            rope: turning.transpose()?,
        };
        let mut blocks = Vec::new();
        loop {
            let block = weights.at("blocks").at(blocks.len());
            if !block.has_any() {
                break;
            }
            blocks.push(load_block(&block, &shape)?);
        }
        let norm = |name: &str| Norm::layer(&weights.at(name), trunk.epsilon);
        let head = match trunk.pool {
            Pool::Token => Head::Cls,
            Pool::Mean => Head::Mean(leading),
            Pool::Map(heads) => {
                Head::Attention(Box::new(AttentionHead::timm(&weights.at("attn_pool"), heads, trunk.epsilon)?))
            }
        };
        let projection = weights.at("head");
        let projection = projection.has("weight").then(|| Linear::load(&projection)).transpose()?;
        Ok(Self {
            patches,
            class,
            registers,
            places: places.transpose()?,
            first_norm: weights.has("norm_pre.weight").then(|| norm("norm_pre")).transpose()?,
            blocks,
            last_norm: norm("norm")?,
            head,
            dimension: projection.as_ref().map_or(Ok(hidden), Linear::outputs)?,
            projection,
        })
    }
}

/// A block; its tensors tell of what form it is.
fn load_block(weights: &Weights, shape: &BlockShape) -> Result<Block, EncoderError> {
    let mut names = NAMES;
    if weights.has("attn.qkv.weight") {
        names.joined = Some(("attn.qkv.weight", "attn.qkv.bias"));
    }
    if weights.has("gamma_1") {
        names.scales = Some(("gamma_1", "gamma_2"));
    }
    let mut shape = shape.clone();
    if weights.has("mlp.fc1_g.weight") {
        (names.gate, names.up) = (Some(Gate::Apart("mlp.fc1_g")), "mlp.fc1_x");
        shape.activation = Activation::Silu;
        if weights.has("attn.norm.weight") {
            names.inner_norms = Some(("attn.norm", "mlp.norm"));
        }
    }
    // EVA's own names.
    if weights.has("mlp.w1.weight") {
        (names.gate, names.up, names.down) = (Some(Gate::Apart("mlp.w1")), "mlp.w2", "mlp.w3");
        (shape.activation, names.inner_norms) = (Activation::Silu, Some(("attn.inner_attn_ln", "mlp.ffn_ln")));
    }
    let mut block = Block::load(weights, &names, &shape)?;
    // Keys have none.
    if weights.has("attn.q_bias") {
        block.attention.query = block.attention.query.biased(weights.get("attn.q_bias")?)?;
        block.attention.value = block.attention.value.biased(weights.get("attn.v_bias")?)?;
    }
    Ok(block)
}

/// `proj`, or the convolutions of `backbone` with normalisations and GELU between them; strides are as wide as filters.
fn patches(weights: &Weights) -> Result<Vec<Convolution>, EncoderError> {
    let convolution = |filter: Filter, activation: Activation| {
        let size = filter.kernel()?;
        Ok::<_, EncoderError>(Convolution::new(filter, size, Padding::Even(0), activation)?)
    };
    let plain = |weights: &Weights| {
        convolution(Filter::new(weights.get("weight")?, weights.maybe("bias")?), Activation::Identity)
    };
    let proj = weights.at("proj");
    if proj.has("weight") {
        return Ok(vec![plain(&proj)?]);
    }
    let mut patches = Vec::new();
    loop {
        let layer = weights.at("backbone").at(patches.len());
        if !layer.at("bn").has_any() {
            patches.push(plain(&layer.at("conv"))?);
            return Ok(patches);
        }
        patches.push(convolution(Filter::normalised(&layer.at("conv"), &layer.at("bn"), 1e-5)?, Activation::Gelu)?);
    }
}
