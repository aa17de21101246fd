//! The inputs of the training rows, as far as they can be computed once.

use super::origin::Origin;
use super::tower::{Item, Tower};
use crate::error::EncoderTrainingError;
use crate::error::Error;
use crate::side::DataSide;
use himacl_encode::readers::{Record, Sample};
use rayon::prelude::*;
use std::collections::HashMap;

/// Samples that are prepared and go through the frozen blocks at a time.
const CHUNK: usize = 64;

/// How inputs are taken in.
pub(super) struct Intake<'a> {
    pub(super) side: DataSide,
    pub(super) origin: &'a Origin,
    /// Rows of the embeddings, in the order of the items wanted.
    pub(super) rows: &'a [u32],
    /// Rows in all.
    pub(super) total: usize,
    /// GiB that the items may take.
    pub(super) memory: f64,
}

impl Intake<'_> {
    /// Reads the dataset once; `fast` takes items as far as they stay the same. Items come in the order of `rows`.
    pub(super) fn read(&self, fast: &Tower, last: Option<usize>) -> Result<Vec<Item>, Error> {
        let wanted: HashMap<usize, usize> =
            self.rows.iter().enumerate().map(|(position, &row)| (row as usize, position)).collect();
        let mut items: Vec<Option<Item>> = (0..self.rows.len()).map(|_| None).collect();
        let mut bytes = 0;
        let mut waiting = Vec::new();
        let (mut row, mut taken) = (0, 0);
        let skipped = self.origin.skipped()?;
        let mut take = |waiting: &mut Vec<(usize, Sample)>| -> Result<(), Error> {
            let whole = std::mem::take(waiting);
            taken += whole.len();
            for (position, item) in self.prepare(&whole, fast, last)? {
                bytes += item.size();
                items[position] = Some(item);
            }
            // The mean so far tells what all will take, before the memory is gone.
            let needed = bytes as f64 / taken.max(1) as f64 * self.rows.len() as f64 / f64::from(1 << 30);
            if needed > self.memory {
                let (side, items, allowed) = (self.side, self.rows.len(), self.memory);
                return Err(EncoderTrainingError::Memory { side, needed, items, allowed }.into());
            }
            Ok(())
        };
        for (position, record) in self.origin.dataset()?.enumerate() {
            let record = record?;
            if skipped.contains(&(position as u64)) {
                continue;
            }
            if let Some(&position) = wanted.get(&row) {
                match record {
                    Record::Sample(sample) => waiting.push((position, sample)),
                    Record::Unusable { key, reason, .. } => return Err(self.unusable(key, reason)),
                }
            }
            row += 1;
            if waiting.len() == CHUNK {
                take(&mut waiting)?;
            }
        }
        take(&mut waiting)?;
        if row != self.total {
            let (side, input) = (self.side, self.origin.input.clone());
            return Err(EncoderTrainingError::OtherInput { side, input, got: row, expected: self.total }.into());
        }
        // Every row is below the total, so that each has been met.
        Ok(items.into_iter().flatten().collect())
    }

    fn prepare(
        &self,
        samples: &[(usize, Sample)],
        fast: &Tower,
        last: Option<usize>,
    ) -> Result<Vec<(usize, Item)>, Error> {
        let prepared = samples.par_iter().map(|(position, sample)| match fast.prepare(sample) {
            Ok(item) => Ok((*position, item)),
            Err(reason) => Err(self.unusable(sample.key.clone(), reason)),
        });
        let prepared: Vec<(usize, Item)> = prepared.collect::<Result<_, Error>>()?;
        let Some(last) = last.filter(|_| !prepared.is_empty()) else { return Ok(prepared) };
        let items: Vec<&Item> = prepared.iter().map(|(_, item)| item).collect();
        let activations = fast.before(&items, last)?;
        Ok(prepared.iter().map(|(position, _)| *position).zip(activations.into_iter().map(Item::Activations)).collect())
    }

    fn unusable(&self, key: String, reason: String) -> Error {
        EncoderTrainingError::Sample { input: self.origin.input.clone(), key, reason }.into()
    }
}
