//! The embeddings that a recipe names.

use super::embedded::Embedded;
use super::recipe::{Anchors, EncoderTraining, Recipe};
use crate::error::Error;
use crate::side::DataSide;
use candle_core::{Device, Tensor};
use himacl_data::Embeddings;
use std::path::Path;

/// The embeddings of a problem.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// `(n, d)`, f32.
    pub source: Tensor,
    /// `(m, e)`, f32.
    pub target: Tensor,
    /// Known pairs by row, where they come from a file.
    pub anchors: Vec<(u32, u32)>,
    /// Paired rows to evaluate on, where they come from files.
    pub evaluation: Option<(Tensor, Tensor)>,
}

impl Dataset {
    /// Reads everything that `recipe` names, onto `device`.
    ///
    /// # Errors
    /// Files that cannot be read or hold other things; anchors outside the data or used twice; evaluation sides of
    /// different lengths.
    pub fn load(recipe: &Recipe, device: &Device) -> Result<Self, Error> {
        let section = &recipe.data;
        let source = Embeddings::open(&section.source, section.source_key.as_deref())?;
        let target = Embeddings::open(&section.target, section.target_key.as_deref())?;
        if section.hide_pairs {
            source.check_same_shards(&target)?;
        }
        let (source, target) = (source.to_tensor(device)?, target.to_tensor(device)?);
        let anchors = match &section.anchors {
            Anchors::Count(_) => Vec::new(),
            Anchors::File(path) => read_anchors(path, source.dims()[0], target.dims()[0])?,
        };
        let evaluation = match (&recipe.eval.source, &recipe.eval.target) {
            (Some(source), Some(target)) => Some(read_pairs((source, None), (target, None), device)?),
            _ => None,
        };
        Ok(Self { source, target, anchors, evaluation })
    }

    /// Reads what [`Dataset::load`] does, with the embeddings of encoders that the finished run in `folder` has trained.
    ///
    /// # Errors
    /// As [`Dataset::load`].
    pub fn load_of_run(recipe: &Recipe, folder: &Path, device: &Device) -> Result<Self, Error> {
        let data = Self::load(recipe, device)?;
        let read = |side: DataSide| -> Result<Option<Tensor>, Error> {
            let path = side.embeddings_folder(folder);
            let trained = recipe.train.encoders != EncoderTraining::Frozen && recipe.train.encoders_of.includes(side);
            trained.then(|| Ok(Embeddings::open(&path, None)?.to_tensor(device)?)).transpose()
        };
        Ok(data.with(&Embedded { source: read(DataSide::Source)?, target: read(DataSide::Target)? }))
    }

    /// The same with other embeddings of the sides that have such.
    #[must_use]
    pub fn with(&self, embedded: &Embedded) -> Self {
        let source = embedded.source.as_ref().unwrap_or(&self.source).clone();
        let target = embedded.target.as_ref().unwrap_or(&self.target).clone();
        Self { source, target, ..self.clone() }
    }
}

/// Reads two sets of embeddings of which row i of one belongs to row i of the other; each a path and a key.
///
/// # Errors
/// Files that cannot be read; different numbers of rows.
pub fn read_pairs(
    (source_path, source_key): (&Path, Option<&str>),
    (target_path, target_key): (&Path, Option<&str>),
    device: &Device,
) -> Result<(Tensor, Tensor), Error> {
    let (source, target) = (Embeddings::open(source_path, source_key)?, Embeddings::open(target_path, target_key)?);
    source.check_same_shards(&target)?;
    let (source_rows, target_rows) = (source.num_rows(), target.num_rows());
    if source_rows != target_rows {
        return Err(Error::NotPaired {
            source_path: source_path.to_path_buf(),
            source_rows,
            target_path: target_path.to_path_buf(),
            target_rows,
            why: "row i of one belongs to row i of the other",
        });
    }
    Ok((source.to_tensor(device)?, target.to_tensor(device)?))
}

/// Reads known pairs: source row, target row; each row at most once.
fn read_anchors(path: &Path, source_rows: usize, target_rows: usize) -> Result<Vec<(u32, u32)>, Error> {
    let mut used = [vec![false; source_rows], vec![false; target_rows]];
    let check = |(position, (source_row, target_row)): (usize, (i64, i64))| {
        let refuse =
            |problem| Err(Error::Anchor { path: path.to_path_buf(), position, source_row, target_row, problem });
        for (used, row) in used.iter_mut().zip([source_row, target_row]) {
            match usize::try_from(row).ok().and_then(|row| used.get_mut(row)) {
                None => return refuse("there is no such row"),
                Some(true) => return refuse("an earlier anchor has one of these rows"),
                Some(free) => *free = true,
            }
        }
        Ok((source_row as u32, target_row as u32))
    };
    himacl_data::read_pairs(path)?.into_iter().enumerate().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors.npy");
        let read = |pairs: &[u32]| {
            let tensor = Tensor::from_slice(pairs, (pairs.len() / 2, 2), &Device::Cpu).unwrap();
            tensor.write_npy(&path).unwrap();
            read_anchors(&path, 5, 3)
        };
        assert_eq!(read(&[4, 0, 0, 2]).unwrap(), [(4, 0), (0, 2)]);
        assert!(matches!(read(&[4, 0, 0, 3]), Err(Error::Anchor { position: 1, target_row: 3, .. })));
        assert!(matches!(read(&[4, 0, 1, 0]), Err(Error::Anchor { position: 1, source_row: 1, .. })));
    }
}
