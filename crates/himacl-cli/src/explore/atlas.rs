//! A pairing as a table for other viewers, such as Embedding Atlas: one row for each item.

use super::opened::Opened;
use crate::error::Error;
use arrow_array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray};
use himacl::data::files::write_atomic_with;
use himacl::explore::{Directions, PairSide};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::path::Path;
use std::sync::Arc;

impl Opened {
    /// Writes the columns `id`, `side`, `row`, `x`, `y` (places on the map), `text`, `image`, `partner` (the partner's id; of several, the cheapest) and
    /// `partner_text`, `cost`, then the columns to colour by.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn write_atlas(&self, path: &Path, directions: &Directions) -> Result<(), Error> {
        let batch = self.atlas(directions).map_err(|error| himacl::data::Error::parquet(path)(error.into()))?;
        let write = |file: &mut std::fs::File| -> Result<(), ParquetError> {
            let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
            writer.write(&batch)?;
            writer.close()?;
            Ok(())
        };
        Ok(write_atomic_with(path, |file| write(file).map_err(himacl::data::Error::parquet(path)))?)
    }

    fn atlas(&self, directions: &Directions) -> Result<RecordBatch, arrow_schema::ArrowError> {
        let [n, m] = self.paired.sizes();
        let all: Vec<(usize, u32)> = (0..n as u32).map(|i| (0, i)).chain((0..m as u32).map(|j| (1, j))).collect();
        let id = |side: usize, item: u32| i64::from(item) + if side == 0 { 0 } else { n as i64 };
        // Of several partners the cheapest.
        let partner = |side: usize, item: u32| {
            let between = |other: u32| {
                if side == 0 { self.paired.between(item, other) } else { self.paired.between(other, item) }
            };
            let partners = self.paired.partners([PairSide::X, PairSide::Y][side], item);
            partners.min_by(|&a, &b| between(a).total_cmp(&between(b)))
        };
        let text = |side: usize, item: u32| self.items[side].texts.get(item as usize).cloned().flatten();
        let picture = |side: usize, item: u32| self.items[side].pictures.get(item as usize).cloned().flatten();
        let cost = |side: usize, item: u32| {
            let other = partner(side, item)?;
            let (i, j) = if side == 0 { (item, other) } else { (other, item) };
            Some(self.paired.between(i, j) as f32)
        };
        let place = |k: usize| -> ArrayRef {
            let at = |&(side, item): &(usize, u32)| directions.plane(side)[2 * item as usize + k];
            Arc::new(Float32Array::from_iter_values(all.iter().map(at)))
        };
        let numbers = |value: &dyn Fn(usize, u32) -> Option<i64>| -> ArrayRef {
            Arc::new(all.iter().map(|&(side, item)| value(side, item)).collect::<Int64Array>())
        };
        let texts = |value: &dyn Fn(usize, u32) -> Option<String>| -> ArrayRef {
            Arc::new(all.iter().map(|&(side, item)| value(side, item)).collect::<StringArray>())
        };
        let mut columns = vec![
            ("id", numbers(&|side, item| Some(id(side, item)))),
            ("side", texts(&|side, _| Some(["x", "y"][side].to_owned()))),
            ("row", numbers(&|side, item| Some(i64::from(self.rows[side][item as usize])))),
            ("x", place(0)),
            ("y", place(1)),
            ("text", texts(&text)),
            ("image", texts(&|side, item| Some(picture(side, item)?.to_string_lossy().into_owned()))),
            ("partner", numbers(&|side, item| Some(id(1 - side, partner(side, item)?)))),
            ("partner_text", texts(&|side, item| text(1 - side, partner(side, item)?))),
            ("cost", Arc::new(all.iter().map(|&(side, item)| cost(side, item)).collect::<Float32Array>()) as ArrayRef),
        ];
        // The names of the columns above are taken.
        let names: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                let is_taken = columns.iter().any(|(name, _)| *name == column.name);
                if is_taken { format!("{} (metadata)", column.name) } else { column.name.clone() }
            })
            .collect();
        columns.extend(names.iter().map(String::as_str).zip(self.columns.iter().map(|column| column.array(&all))));
        RecordBatch::try_from_iter(columns)
    }
}
