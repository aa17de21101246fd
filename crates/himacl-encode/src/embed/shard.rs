//! One shard while it grows.

use super::params::EmbedParams;
use super::prefetch::Row;
use crate::error::EmbedError;
use half::f16;
use serde::{Deserialize, Serialize};

/// A sample that was skipped, a line of errors.jsonl.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedSample {
    /// Its number in the dataset, from 0.
    pub position: u64,
    /// Its key.
    pub key: String,
    /// Why.
    pub reason: String,
    /// Whether it stands for the rest of a file that cannot be read further.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_rest: bool,
}

/// The rows of one modality, `(rows, dimension)`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct EmbeddingRows {
    pub(super) dimension: usize,
    pub(super) values: Vec<f32>,
}

impl EmbeddingRows {
    fn new(dimension: usize) -> Self {
        Self { dimension, values: Vec::new() }
    }

    /// Puts a batch's output where it belongs.
    pub(super) fn place(&mut self, rows: &[usize], values: &[f32]) -> Result<(), EmbedError> {
        let dimension = self.dimension;
        if values.len() != rows.len() * dimension {
            return Err(EmbedError::Shape { got: values.len(), rows: rows.len(), dimension });
        }
        for (&row, values) in rows.iter().zip(values.chunks_exact(dimension)) {
            let end = (row + 1) * dimension;
            if self.values.len() < end {
                self.values.resize(end, 0.0);
            }
            self.values[end - dimension..end].copy_from_slice(values);
        }
        Ok(())
    }

    fn row(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.dimension..(row + 1) * self.dimension]
    }

    /// Keeps the rows that `keep` says.
    fn retain(&mut self, keep: &[bool]) {
        let mut kept = 0;
        for (row, _) in keep.iter().enumerate().filter(|(_, keep)| **keep) {
            self.values.copy_within(row * self.dimension..(row + 1) * self.dimension, kept * self.dimension);
            kept += 1;
        }
        self.values.truncate(kept * self.dimension);
    }
}

/// One shard: metadata, embeddings, and what was skipped.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shard {
    pub(super) number: usize,
    /// Position of its first record in the dataset.
    pub(super) first: u64,
    /// Records seen.
    pub(super) records: u64,
    pub(super) rows: Vec<Row>,
    /// The position of each row.
    positions: Vec<u64>,
    pub(super) images: Option<EmbeddingRows>,
    pub(super) texts: Option<EmbeddingRows>,
    pub(super) skipped: Vec<SkippedSample>,
}

impl Shard {
    pub(super) fn new(number: usize, params: &EmbedParams, image: Option<usize>, text: Option<usize>) -> Self {
        Self {
            number,
            first: number as u64 * params.shard_size as u64,
            records: 0,
            rows: Vec::new(),
            positions: Vec::new(),
            images: image.filter(|_| params.modality.has_image()).map(EmbeddingRows::new),
            texts: text.filter(|_| params.modality.has_text()).map(EmbeddingRows::new),
            skipped: Vec::new(),
        }
    }

    /// Takes a record with embeddings to come; returns its row.
    pub(super) fn push(&mut self, row: Row) -> usize {
        self.positions.push(self.first + self.records);
        self.records += 1;
        self.rows.push(row);
        self.rows.len() - 1
    }

    /// Takes a record that is skipped.
    pub(super) fn skip(&mut self, key: String, reason: String, is_rest: bool) {
        self.skipped.push(SkippedSample { position: self.first + self.records, key, reason, is_rest });
        self.records += 1;
    }

    /// Brings rows to unit length, if that is wanted, and takes out those that float16 cannot hold or that have no
    /// direction, in all modalities alike.
    pub(super) fn finish(&mut self, normalize: bool) {
        let mut keep = vec![true; self.rows.len()];
        for rows in [&mut self.images, &mut self.texts].into_iter().flatten() {
            for (index, keep) in keep.iter_mut().enumerate().filter(|(_, keep)| **keep) {
                if let Err(reason) = finish_row(rows.row(index), normalize) {
                    *keep = false;
                    let (position, key) = (self.positions[index], self.rows[index].key.clone());
                    self.skipped.push(SkippedSample { position, key, reason: reason.to_owned(), is_rest: false });
                }
            }
        }
        if keep.contains(&false) {
            for rows in [&mut self.images, &mut self.texts].into_iter().flatten() {
                rows.retain(&keep);
            }
            let mut kept = keep.iter();
            self.rows.retain(|_| *kept.next().unwrap_or(&true));
            self.skipped.sort_by_key(|skipped| skipped.position);
        }
    }
}

fn finish_row(row: &mut [f32], normalize: bool) -> Result<(), &'static str> {
    if normalize {
        let norm = row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        if norm == 0.0 {
            return Err("the encoder gave a zero vector, which has no direction");
        }
        row.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
    }
    if row.iter().all(|value| f16::from_f32(*value).is_finite()) {
        Ok(())
    } else {
        Err("the encoder gave values that are not finite in float16")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str) -> Row {
        Row { key: key.to_owned(), image_path: None, caption: None, sha256: String::new() }
    }

    #[test]
    fn rows_without_a_direction_go_from_both_sides() {
        let mut shard = Shard::new(2, &EmbedParams { shard_size: 10, ..EmbedParams::default() }, Some(2), Some(1));
        for key in ["a", "b", "c"] {
            shard.push(row(key));
        }
        shard.skip("d".to_owned(), "broken".to_owned(), false);
        shard.push(row("e"));
        let images = shard.images.as_mut().unwrap();
        // Batches come back in any order.
        images.place(&[3, 1], &[5.0, 0.0, 0.0, 0.0]).unwrap();
        images.place(&[0, 2], &[3.0, 4.0, 0.0, -2.0]).unwrap();
        shard.texts.as_mut().unwrap().place(&[0, 1, 2, 3], &[2.0, 1.0, f32::NAN, -4.0]).unwrap();
        shard.finish(true);
        assert_eq!(shard.images.as_ref().unwrap().values, [0.6, 0.8, 1.0, 0.0]);
        assert_eq!(shard.texts.as_ref().unwrap().values, [1.0, -1.0]);
        assert_eq!(shard.rows, [row("a"), row("e")]);
        let skipped: Vec<_> = shard.skipped.iter().map(|skipped| (skipped.position, skipped.key.as_str())).collect();
        assert_eq!(skipped, [(21, "b"), (22, "c"), (23, "d")]);
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let error = EmbeddingRows::new(3).place(&[0, 1], &[0.0; 5]).unwrap_err();
        assert!(matches!(error, EmbedError::Shape { got: 5, rows: 2, dimension: 3 }));
    }
}
