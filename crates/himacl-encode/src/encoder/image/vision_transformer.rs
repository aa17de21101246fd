//! Transformers over patches: `ViT`, `DINOv2`, the picture towers of CLIP and `SigLIP`.

use super::Network;
use crate::encoder::config::Config;
use crate::encoder::nn::{
    Activation, Block, BlockNames, BlockShape, Convolution, Filter, Linear, Mask, Mlp, Norm, Order, Padding, Sequences,
};
use crate::encoder::registry::Pooling;
use crate::encoder::text::families::{CLIP, OPEN_CLIP, activation, heads};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use candle_core::{DType, Result, Tensor};

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
};

const DINO: BlockNames = BlockNames {
    attention_norm: "norm1",
    up: "mlp.fc1",
    down: "mlp.fc2",
    mlp_norm: "norm2",
    scales: Some(("layer_scale1.lambda1", "layer_scale2.lambda1")),
    ..VIT
};

const TIMM: BlockNames = BlockNames {
    output: "attn.proj",
    attention_norm: "norm1",
    up: "mlp.fc1",
    down: "mlp.fc2",
    mlp_norm: "norm2",
    joined: Some(("attn.qkv.weight", "attn.qkv.bias")),
    ..VIT
};

/// The kinds of such models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::encoder) enum VisionKind {
    Vit,
    Dino,
    Clip,
    Siglip,
}

/// How tokens become one vector.
enum Head {
    Cls,
    Mean,
    /// `SigLIP`: one learnt query attends to all tokens.
    Attention(Box<AttentionHead>),
}

struct AttentionHead {
    probe: Tensor, // (1, hidden)
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norm: Norm,
    mlp: Mlp,
    heads: usize,
}

/// A transformer over patches.
pub(in crate::encoder) struct VisionTransformer {
    patches: Vec<Convolution>,
    class: Option<Tensor>, // (1, hidden)
    places: Places,
    first_norm: Option<Norm>,
    blocks: Vec<Block>,
    /// Of all tokens; CLIP's is of the class token alone, which is the same.
    last_norm: Norm,
    head: Head,
    projection: Option<Linear>,
    dimension: usize,
}

impl VisionTransformer {
    /// Reads the tower below `weights`, for pictures of `side`.
    pub(in crate::encoder) fn load(
        weights: &Weights,
        config: &Config,
        kind: VisionKind,
        side: usize,
        pooling: Option<Pooling>,
        projection: Option<Linear>,
    ) -> std::result::Result<Self, EncoderError> {
        let is_tower = matches!(kind, VisionKind::Clip | VisionKind::Siglip);
        let embeddings = weights.at("embeddings");
        let patch = embeddings.at(if is_tower { "patch_embedding" } else { "patch_embeddings.projection" });
        let weight = patch.get("weight")?;
        let (hidden, size) = (weight.dim(0)?, weight.dim(2)?);
        if !side.is_multiple_of(size) {
            return Err(config.wrong(format!("pictures of {side} do not divide into patches of {size}")));
        }
        let filter = Filter::new(weight, patch.maybe("bias")?);
        let patches = Convolution::new(filter, size, Padding::Even(0), Activation::Identity)?;
        let (names, defaults) = match kind {
            VisionKind::Vit => (&VIT, ("gelu", 1e-12)),
            VisionKind::Dino => (&DINO, ("gelu", 1e-6)),
            VisionKind::Clip => (&CLIP, ("quick_gelu", 1e-5)),
            VisionKind::Siglip => (&CLIP, ("gelu_pytorch_tanh", 1e-6)),
        };
        let shape = BlockShape {
            heads: heads(config, 12, hidden)?,
            epsilon: config.number_or("layer_norm_eps", defaults.1),
            activation: activation(config, "hidden_act", defaults.0)?,
            order: Order::Before,
            mask: Mask::Full,
            rope: None,
        };
        let layers = config.size_or("num_hidden_layers", 12)?;
        let (layer, last) = match kind {
            VisionKind::Vit | VisionKind::Dino => ("encoder.layer", "layernorm"),
            VisionKind::Clip | VisionKind::Siglip => ("encoder.layers", "post_layernorm"),
        };
        let class = match kind {
            VisionKind::Vit | VisionKind::Dino => Some(embeddings.get("cls_token")?.reshape((1, hidden))?),
            VisionKind::Clip => Some(embeddings.get("class_embedding")?.reshape((1, hidden))?),
            VisionKind::Siglip => None,
        };
        let places = embeddings.get(if is_tower { "position_embedding.weight" } else { "position_embeddings" })?;
        let places = places.reshape(((), hidden))?;
        let norm = |name: &str| Norm::layer(&weights.at(name), shape.epsilon);
        let head = match (kind, pooling) {
            (VisionKind::Siglip, _) => Head::Attention(Box::new(AttentionHead::load(&weights.at("head"), &shape)?)),
            (VisionKind::Vit | VisionKind::Dino, Some(Pooling::Mean)) => Head::Mean,
            _ => Head::Cls,
        };
        Ok(Self {
            places: Places::new(places, usize::from(class.is_some()), side / size)?,
            patches: vec![patches],
            class,
            first_norm: (kind == VisionKind::Clip).then(|| norm("pre_layrnorm")).transpose()?,
            blocks: (0..layers)
                .map(|place| Block::load(&weights.at(layer).at(place), names, &shape))
                .collect::<std::result::Result<_, _>>()?,
            last_norm: norm(last)?,
            head,
            dimension: projection.as_ref().map_or(Ok(hidden), Linear::outputs)?,
            projection,
        })
    }
}

impl VisionTransformer {
    /// Reads the tower below `weights` by the names of `open_clip`, for pictures of `side`.
    pub(in crate::encoder) fn open_clip(
        weights: &Weights,
        (layers, shape): (usize, &BlockShape),
        side: usize,
    ) -> std::result::Result<Self, EncoderError> {
        let filter = weights.get("conv1.weight")?;
        let (hidden, size) = (filter.dim(0)?, filter.dim(2)?);
        let norm = |name: &str| Norm::layer(&weights.at(name), shape.epsilon);
        // Stored as what rows are multiplied by from the right.
        let projection = Linear::new(&weights.get("proj")?.t()?, None)?;
        Ok(Self {
            patches: vec![Convolution::new(Filter::new(filter, None), size, Padding::Even(0), Activation::Identity)?],
            class: Some(weights.get("class_embedding")?.reshape((1, hidden))?),
            places: Places::new(weights.get("positional_embedding")?, 1, side / size)?,
            first_norm: Some(norm("ln_pre")?),
            blocks: (0..layers)
                .map(|place| Block::load(&weights.at("transformer.resblocks").at(place), &OPEN_CLIP, shape))
                .collect::<std::result::Result<_, _>>()?,
            last_norm: norm("ln_post")?,
            head: Head::Cls,
            dimension: projection.outputs()?,
            projection: Some(projection),
        })
    }
}

impl VisionTransformer {
    /// Reads the tower below `weights` by the names of timm, with its classifier as the projection; the class token is the
    /// picture's. Patches may be made by several convolutions.
    pub(in crate::encoder) fn timm(
        weights: &Weights,
        epsilon: f64,
        side: usize,
    ) -> std::result::Result<Self, EncoderError> {
        /// Coordinates of a head: that of every such tower.
        const HEAD: usize = 64;
        let class = weights.get("cls_token")?;
        let hidden = class.dim(2)?;
        let patches = timm_patches(&weights.at("patch_embed"))?;
        let size: usize = patches.iter().map(Convolution::stride).product();
        if !side.is_multiple_of(size) || !hidden.is_multiple_of(HEAD) {
            let reason = format!("pictures of {side} in patches of {size}, a width of {hidden} in heads of {HEAD}");
            return Err(candle_core::Error::Msg(reason).into());
        }
        // The class token may have no place of its own.
        let places = weights.get("pos_embed")?.squeeze(0)?;
        let rows = places.dim(0)?;
        let places = if rows.isqrt().pow(2) == rows {
            Tensor::cat(&[&places.narrow(0, 0, 1)?.zeros_like()?, &places], 0)?
        } else {
            places
        };
        let shape = BlockShape {
            heads: hidden / HEAD,
            epsilon,
            activation: Activation::Gelu,
            order: Order::Before,
            mask: Mask::Full,
            rope: None,
        };
        let mut blocks = Vec::new();
        loop {
            let block = weights.at("blocks").at(blocks.len());
            if !block.has_any() {
                break;
            }
            blocks.push(Block::load(&block, &TIMM, &shape)?);
        }
        let first_norm = weights.at("norm_pre");
        let projection = Linear::load(&weights.at("head"))?;
        Ok(Self {
            patches,
            class: Some(class.reshape((1, hidden))?),
            places: Places::new(places, 1, side / size)?,
            first_norm: first_norm.has("weight").then(|| Norm::layer(&first_norm, epsilon)).transpose()?,
            blocks,
            last_norm: Norm::layer(&weights.at("norm"), epsilon)?,
            head: Head::Cls,
            dimension: projection.outputs()?,
            projection: Some(projection),
        })
    }
}

/// `proj`, or the convolutions of `backbone` with normalisations and GELU between them; strides are as wide as filters.
fn timm_patches(weights: &Weights) -> std::result::Result<Vec<Convolution>, EncoderError> {
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

impl Network for VisionTransformer {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn places(&self) -> usize {
        self.places.count()
    }

    fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// `(n, side, side, 3)` to `(n, tokens, hidden)`.
    fn stem(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.patches.iter().try_fold(x.clone(), |x, convolution| convolution.forward(&x, None))?;
        let (n, height, width, hidden) = x.dims4()?;
        let mut x = x.reshape((n, height * width, hidden))?;
        if let Some(class) = &self.class {
            x = Tensor::cat(&[&class.broadcast_as((n, 1, hidden))?.contiguous()?, &x], 1)?;
        }
        x = x.broadcast_add(&self.places.rows()?)?;
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
            Head::Mean => sequences.mean(&self.last_norm.forward(&x)?, 0)?,
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

impl AttentionHead {
    fn load(weights: &Weights, shape: &BlockShape) -> std::result::Result<Self, EncoderError> {
        let part = |place: usize| Linear::part(&weights.at("attention"), ("in_proj_weight", "in_proj_bias"), place, 3);
        let query = part(0)?;
        Ok(Self {
            probe: weights.get("probe")?.reshape((1, query.outputs()?))?,
            query,
            key: part(1)?,
            value: part(2)?,
            output: Linear::load(&weights.at("attention.out_proj"))?,
            norm: Norm::layer(&weights.at("layernorm"), shape.epsilon)?,
            mlp: Mlp::Plain {
                up: Linear::load(&weights.at("mlp.fc1"))?,
                activation: shape.activation,
                down: Linear::load(&weights.at("mlp.fc2"))?,
            },
            heads: shape.heads,
        })
    }

    /// `(n tokens, hidden)` to `(n, hidden)`.
    fn forward(&self, x: &Tensor, n: usize) -> Result<Tensor> {
        let hidden = x.dim(1)?;
        let (tokens, width) = (x.dim(0)? / n, hidden / self.heads);
        let linear = |linear: &Linear, x: &Tensor| linear.forward(x, None, Activation::Identity);
        let split = |x: Tensor, tokens: usize| x.reshape((n, tokens, self.heads, width))?.transpose(1, 2)?.contiguous();
        let query = linear(&self.query, &self.probe)?.broadcast_as((n, hidden))?.contiguous()?;
        let (query, key) = (split(query, 1)?, split(linear(&self.key, x)?, tokens)?);
        let value = split(linear(&self.value, x)?, tokens)?;
        let scores = (query.matmul(&key.t()?)? * (1.0 / (width as f64).sqrt()))?; // (n, heads, 1, tokens)
        let mixed = candle_nn::ops::softmax(&scores, candle_core::D::Minus1)?.matmul(&value)?;
        let mixed = linear(&self.output, &mixed.reshape((n, hidden))?)?;
        self.mlp.forward(&self.norm.forward(&mixed)?, Some(&mixed))
    }
}

/// Embeddings of places, perhaps for another number of patches than the model was trained with.
struct Places {
    rows: Tensor, // (tokens, hidden)
    /// The number of rows that stay, and the weights of the others, `(grid grid, old old)`.
    moved: Option<(usize, Tensor)>,
}

impl Places {
    /// Bicubic, as `PyTorch`'s `interpolate`; `fixed` rows stay. Variables are moved whenever they are read.
    fn new(rows: Tensor, fixed: usize, grid: usize) -> std::result::Result<Self, EncoderError> {
        let old = ((rows.dim(0)? - fixed) as f64).sqrt().round() as usize;
        if old == grid {
            return Ok(Self { rows, moved: None });
        }
        let taps = cubic_taps(old, grid);
        // Interpolation is linear: a matrix with the products of both axes' weights.
        let mut matrix = vec![0f32; grid * grid * old * old];
        for (y, rows) in taps.iter().enumerate() {
            for (x, columns) in taps.iter().enumerate() {
                let line = &mut matrix[(y * grid + x) * old * old..][..old * old];
                for &(row, row_weight) in rows {
                    for &(column, column_weight) in columns {
                        line[row * old + column] += (row_weight * column_weight) as f32;
                    }
                }
            }
        }
        let matrix = Tensor::from_vec(matrix, (grid * grid, old * old), rows.device())?;
        let places = Self { rows, moved: Some((fixed, matrix)) };
        if places.rows.track_op() {
            return Ok(places);
        }
        Ok(Self { rows: places.rows()?, moved: None })
    }

    fn count(&self) -> usize {
        self.moved.as_ref().map_or(self.rows.dims()[0], |(fixed, matrix)| fixed + matrix.dims()[0])
    }

    fn rows(&self) -> Result<Tensor> {
        let Some((fixed, matrix)) = &self.moved else { return Ok(self.rows.clone()) };
        let moved = self.rows.narrow(0, *fixed, matrix.dim(1)?)?.to_dtype(DType::F32)?;
        let moved = matrix.matmul(&moved.contiguous()?)?.to_dtype(self.rows.dtype())?;
        Tensor::cat(&[&self.rows.narrow(0, 0, *fixed)?, &moved], 0)
    }
}

/// For each place of the result, four source places and their weights: Keys' cubic with a = -0.75, borders repeated.
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
