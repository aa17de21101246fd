//! Every query with every row.

use crate::eval::{Best, Scores};
use candle_core::{Result, Tensor};
use serde::Serialize;

/// An item that was found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Hit {
    /// Its row.
    pub item: u32,
    /// The inner product with the query, less what its neighbourhood takes off.
    pub score: f32,
}

/// Rows, `(m, k)`, on the CPU, with what is taken off the score of each, `(m,)`, or nothing where that is empty.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) values: Tensor,
    pub(super) corrections: Vec<f32>,
}

impl Rows {
    /// What is taken off the score of a row.
    pub(super) fn correction(&self, row: usize) -> f32 {
        self.corrections.get(row).copied().unwrap_or_default()
    }

    /// The `count` best rows of each query, `(n, k)`, the best first.
    pub(super) fn search(&self, queries: &Tensor, count: usize) -> Result<Vec<Vec<Hit>>> {
        Scores::new(queries, &self.values)?.map_rows(|_, row| {
            let mut best = Best::new(count.min(row.len()));
            for (item, &score) in row.iter().enumerate() {
                best.offer(score - self.correction(item), item as u32);
            }
            hits(best)
        })
    }
}

pub(super) fn hits(best: Best) -> Vec<Hit> {
    best.sorted().into_iter().map(|(score, item)| Hit { item, score }).collect()
}
