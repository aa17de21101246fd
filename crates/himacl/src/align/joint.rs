//! Both sides in joint coordinates, in which the map's scores are inner products.

use crate::eval::Scores;
use candle_core::{Result, Tensor};
use hiref_core::rng;
use rand::seq::index;

/// Names the streams of the reference items.
const REFERENCE: u64 = 0x7265_6665;

/// The items of a side among which neighbours and likely partners are looked for: all, or as many as this drawn at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReferenceItems {
    /// At most so many.
    pub limit: usize,
    /// Draws them.
    pub seed: u64,
}

impl ReferenceItems {
    /// The indices for a side of `count` items, rising; none where all fit. `stream` tells draws for several purposes apart.
    pub(crate) fn of(self, count: usize, stream: u64) -> Option<Vec<u32>> {
        if count <= self.limit {
            return None;
        }
        let mut generator = rng::stream(self.seed, &[REFERENCE, stream]);
        let drawn = index::sample(&mut generator, count, self.limit);
        let mut drawn: Vec<u32> = drawn.into_iter().map(|at| at as u32).collect();
        drawn.sort_unstable();
        Some(drawn)
    }
}

/// Both sides in joint coordinates, whose inner products are the scores, with the scores read from either side.
///
/// On sides of more items than `ReferenceItems::limit`, neighbours are looked for among that many drawn items, so that
/// the cost grows with n and m, not with n · m.
#[derive(Debug)]
pub(crate) struct Joint {
    x: Tensor,
    y: Tensor,
    from_x: Scores,
    from_y: Scores,
    x_reference: Option<Vec<u32>>,
    y_reference: Option<Vec<u32>>,
}

impl Joint {
    /// From joint coordinates `x (n, k)` and `y (m, k)`.
    pub(crate) fn new(x: &Tensor, y: &Tensor, reference: ReferenceItems) -> Result<Self> {
        let (x_reference, y_reference) = (reference.of(x.dim(0)?, 0), reference.of(y.dim(0)?, 1));
        let (from_x, from_y) = if x_reference.is_none() && y_reference.is_none() {
            let scores = Scores::kept(x, y)?;
            let transposed = scores.transposed();
            (scores, transposed)
        } else {
            (Scores::new(x, &rows(y, y_reference.as_deref())?)?, Scores::new(y, &rows(x, x_reference.as_deref())?)?)
        };
        Ok(Self { x: x.clone(), y: y.clone(), from_x, from_y, x_reference, y_reference })
    }

    /// The coordinates of both sides.
    pub(crate) fn sides(&self) -> (&Tensor, &Tensor) {
        (&self.x, &self.y)
    }

    /// All scores, `(n * m,)`, if both sides are small.
    pub(crate) fn whole(&self) -> Option<&[f32]> {
        self.from_x.whole()
    }

    /// The same seen from the other side.
    pub(crate) fn swapped(&self) -> Self {
        Self {
            x: self.y.clone(),
            y: self.x.clone(),
            from_x: self.from_y.clone(),
            from_y: self.from_x.clone(),
            x_reference: self.y_reference.clone(),
            y_reference: self.x_reference.clone(),
        }
    }

    /// The same between some x and some y.
    pub(crate) fn of_items(&self, x: &[u32], y: &[u32], reference: ReferenceItems) -> Result<Self> {
        Self::new(&rows(&self.x, Some(x))?, &rows(&self.y, Some(y))?, reference)
    }

    /// Mean of the `neighbours` best scores of each x, `(n,)`, and of each y, `(m,)`.
    pub(crate) fn neighbourhoods(&self, neighbours: usize) -> Result<(Vec<f32>, Vec<f32>)> {
        Ok((self.from_x.top_means(neighbours)?, self.from_y.top_means(neighbours)?))
    }

    /// The scores read from x, a row for each, with those y items of which [`Joint::y_item`] tells the index.
    pub(crate) fn x_scores(&self) -> &Scores {
        &self.from_x
    }

    /// The y item at a position of a row of [`Joint::x_scores`].
    pub(crate) fn y_item(&self, position: u32) -> u32 {
        self.y_reference.as_ref().map_or(position, |reference| reference[position as usize])
    }

    /// The rows of `values`, `(m, e)`, of the y items among which x looks for neighbours.
    pub(crate) fn y_rows(&self, values: &Tensor) -> Result<Tensor> {
        rows(values, self.y_reference.as_deref())
    }

    /// Values of the y items, for those among which x looks for neighbours.
    pub(crate) fn of_y_reference(&self, values: &[f32]) -> Vec<f32> {
        match &self.y_reference {
            None => values.to_vec(),
            Some(reference) => reference.iter().map(|&j| values[j as usize]).collect(),
        }
    }
}

/// The chosen rows, or all.
pub(crate) fn rows(tensor: &Tensor, chosen: Option<&[u32]>) -> Result<Tensor> {
    match chosen {
        None => tensor.contiguous(),
        Some(chosen) => tensor.index_select(&Tensor::new(chosen, tensor.device())?, 0),
    }
}
