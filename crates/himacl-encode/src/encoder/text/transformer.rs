//! The one shape that all text models have here.

use crate::encoder::nn::{Block, Norm, RelativeBias, Sequences};
use candle_core::{Result, Tensor};

/// Embeddings of tokens and places, blocks, a last normalisation.
pub(in crate::encoder) struct TextTransformer {
    pub(in crate::encoder) words: Tensor, // (vocabulary, hidden)
    /// Multiplies the rows of tokens.
    pub(in crate::encoder) scale: Option<f64>,
    /// `(positions, hidden)` and the row of the first place.
    pub(in crate::encoder) places: Option<(Tensor, usize)>,
    /// Added to every token.
    pub(in crate::encoder) kind: Option<Tensor>,
    pub(in crate::encoder) embedding_norm: Option<Norm>,
    pub(in crate::encoder) relative: Option<RelativeBuckets>,
    pub(in crate::encoder) blocks: Vec<Block>,
    pub(in crate::encoder) final_norm: Option<Norm>,
    /// The longest text, by the configuration.
    pub(in crate::encoder) longest: usize,
}

/// T5's relative position bias, bidirectional: a number for each head and bucket of distances.
pub(in crate::encoder) struct RelativeBuckets {
    pub(in crate::encoder) table: Tensor, // (buckets, heads)
    pub(in crate::encoder) furthest: usize,
}

impl RelativeBuckets {
    fn bias(&self, longest: usize) -> Result<RelativeBias> {
        let (buckets, heads) = self.table.dims2()?;
        let mut places = Vec::with_capacity(longest * longest);
        for query in 0..longest {
            places.extend((0..longest).map(|key| bucket(query, key, buckets, self.furthest)));
        }
        let places = Tensor::from_vec(places, longest * longest, self.table.device())?;
        Ok(RelativeBias(self.table.index_select(&places, 0)?.t()?.reshape((heads, longest, longest))?))
    }
}

/// Half the buckets for keys behind the query; in each half, the first half for exact distances, then logarithmic.
fn bucket(query: usize, key: usize, buckets: usize, furthest: usize) -> u32 {
    let half = buckets / 2;
    let exact = half / 2;
    let distance = query.abs_diff(key);
    let within = if distance < exact {
        distance
    } else {
        let steps =
            (distance as f32 / exact as f32).ln() / (furthest as f32 / exact as f32).ln() * (half - exact) as f32;
        (exact + steps as usize).min(half - 1)
    };
    (within + if key > query { half } else { 0 }) as u32
}

impl TextTransformer {
    pub(in crate::encoder) fn hidden(&self) -> usize {
        self.words.dims()[1]
    }

    /// Tokens that a text may have.
    pub(in crate::encoder) fn positions(&self) -> usize {
        self.places.as_ref().map_or(self.longest, |(places, first)| places.dims()[0].saturating_sub(*first))
    }

    /// `(tokens)` to `(tokens, hidden)`, through the first `blocks` blocks.
    pub(in crate::encoder) fn start(&self, ids: &Tensor, sequences: &Sequences, blocks: usize) -> Result<Tensor> {
        let mut x = self.words.index_select(ids, 0)?;
        if let Some(scale) = self.scale {
            x = (x * scale)?;
        }
        if let Some((places, first)) = &self.places {
            x = (x + places.index_select(&sequences.positions(*first)?, 0)?)?;
        }
        if let Some(kind) = &self.kind {
            x = x.broadcast_add(kind)?;
        }
        if let Some(norm) = &self.embedding_norm {
            x = norm.forward(&x)?;
        }
        self.through(x, sequences, &self.blocks[..blocks])
    }

    /// `(tokens, hidden)` to the same, through the last `blocks` blocks and the last normalisation.
    pub(in crate::encoder) fn finish(&self, x: Tensor, sequences: &Sequences, blocks: usize) -> Result<Tensor> {
        let x = self.through(x, sequences, &self.blocks[self.blocks.len() - blocks..])?;
        self.final_norm.as_ref().map_or_else(|| Ok(x.clone()), |norm| norm.forward(&x))
    }

    fn through(&self, x: Tensor, sequences: &Sequences, blocks: &[Block]) -> Result<Tensor> {
        if blocks.is_empty() {
            return Ok(x);
        }
        let relative = self.relative.as_ref().map(|buckets| buckets.bias(sequences.longest())).transpose()?;
        blocks.iter().try_fold(x, |x, block| block.forward(&x, sequences, relative.as_ref()))
    }
}
