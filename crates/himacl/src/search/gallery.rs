//! The items that are searched.

use super::exact::{Hit, Rows};
use super::index::{Index, IndexParams};
use crate::eval::Scores;
use candle_core::{DType, Device, Result, Tensor};

/// Rows that are searched by inner product.
///
/// Give rows and queries in joint coordinates ([`PreparedMap::joint_sources`](crate::align::PreparedMap::joint_sources) and
/// `joint_targets`), in which the inner product is the score that retrieval is evaluated by. Those of unit length have cosines.
#[derive(Debug, Clone)]
pub struct Gallery {
    rows: Rows,
    index: Option<Index>,
}

impl Gallery {
    /// All rows of `rows (m, k)`.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn new(rows: &Tensor) -> Result<Self> {
        let values = rows.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
        Ok(Self { rows: Rows { values, corrections: Vec::new() }, index: None })
    }

    /// Takes from hubs what they have too much, as [`retrieval`](crate::eval::retrieval()) does: from each score half the mean of the row's
    /// `neighbours` largest scores with `reference (n, k)`, items of the queries' side. O(n m k).
    ///
    /// # Errors
    /// Rows of another dimension.
    pub fn corrected(mut self, reference: &Tensor, neighbours: usize) -> Result<Self> {
        if neighbours > 0 {
            let means = Scores::new(&self.rows.values, &reference.to_device(&Device::Cpu)?)?.top_means(neighbours)?;
            self.rows.corrections = means.into_iter().map(|mean| 0.5 * mean).collect();
        }
        Ok(self)
    }

    /// Adds an index, whose recall is measured on `queries (n, k)` alike those to come; recall is told by [`Index::recall`].
    ///
    /// # Errors
    /// Fewer than two rows or queries; a failed tensor operation.
    pub fn indexed(mut self, queries: &Tensor, params: IndexParams) -> Result<Self> {
        self.index = Some(Index::build(&self.rows, queries, params)?);
        Ok(self)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.values.dims()[0]
    }

    /// Whether there is nothing to be found.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows, `(m, k)`.
    pub fn rows(&self) -> &Tensor {
        &self.rows.values
    }

    /// The index, where there is one.
    pub fn index(&self) -> Option<&Index> {
        self.index.as_ref()
    }

    /// The `count` best items of each query, `(n, k)`, the best first: by the index where there is one, else exactly.
    ///
    /// # Errors
    /// Queries of another dimension.
    pub fn search(&self, queries: &Tensor, count: usize) -> Result<Vec<Vec<Hit>>> {
        match &self.index {
            Some(index) => index.search(&self.rows, queries, count),
            None => self.search_exactly(queries, count),
        }
    }

    /// The same without the index; O(n m k), a tile of scores in memory.
    ///
    /// # Errors
    /// Queries of another dimension.
    pub fn search_exactly(&self, queries: &Tensor, count: usize) -> Result<Vec<Vec<Hit>>> {
        self.rows.search(&queries.to_device(&Device::Cpu)?, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{RetrievalParams, retrieval};
    use hiref_core::rng;
    use rand_distr::{Distribution, StandardNormal};

    fn draw(n: usize, d: usize, seed: u64) -> Tensor {
        let mut generator = rng::stream(seed, &[]);
        let values: Vec<f32> = (0..n * d).map(|_| StandardNormal.sample(&mut generator)).collect();
        Tensor::from_vec(values, (n, d), &Device::Cpu).unwrap()
    }

    /// What a search finds among the first k is what the evaluation counts, with and without corrections.
    #[test]
    fn recall_is_that_of_the_evaluation() {
        let (x, noise) = (draw(300, 8, 1), draw(300, 8, 2));
        let y = (&x + (noise * 0.8).unwrap()).unwrap();
        for neighbours in [0, 10] {
            let expected = retrieval(&x, &y, RetrievalParams { csls_neighbours: neighbours }).unwrap().source_to_target;
            let gallery = Gallery::new(&y).unwrap().corrected(&x, neighbours).unwrap();
            let found = gallery.search(&x, 10).unwrap();
            for (count, expected) in [(1, expected.at_1), (5, expected.at_5), (10, expected.at_10)] {
                let hit =
                    |(query, hits): (usize, &Vec<Hit>)| hits[..count].iter().any(|hit| hit.item as usize == query);
                let share = found.iter().enumerate().filter(|&entry| hit(entry)).count() as f64 / 300.0;
                assert!((share - expected).abs() < 1e-9, "R@{count} is {share}, expected {expected}");
            }
        }
    }
}
