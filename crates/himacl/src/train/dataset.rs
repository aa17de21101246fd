//! The embeddings that a recipe names.

use super::embedded::Embedded;
use super::recipe::{Anchors, EncoderTraining, Recipe};
use crate::error::Error;
use crate::side::DataSide;
use candle_core::{Device, Tensor};
use himacl_data::output::{Depth, fingerprint};
use himacl_data::{Embeddings, read_npy_pairs};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

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
        let read = |path: &Path, key: Option<&str>| Embeddings::open(path, key)?.to_tensor(device);
        let source = read(&section.source, section.source_key.as_deref())?;
        let target = read(&section.target, section.target_key.as_deref())?;
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

impl Recipe {
    /// The files and folders that a run by this recipe reads; the inputs and the folders of encoders only where it names
    /// them.
    pub fn inputs(&self) -> Vec<&Path> {
        let Self { data, eval, .. } = self;
        let anchors = match &data.anchors {
            Anchors::File(path) => Some(path),
            Anchors::Count(_) => None,
        };
        let named = [&data.source_encoder, &data.target_encoder, &data.source_input, &data.target_input];
        let named = named.into_iter().chain([&eval.source, &eval.target]).flatten();
        [&data.source, &data.target].into_iter().chain(anchors).chain(named).map(PathBuf::as_path).collect()
    }

    /// Fingerprints of the embeddings and anchors that a run by this recipe reads, by their paths; those that are in
    /// `found` already are not read again.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn fingerprints(&self, found: &mut BTreeMap<String, String>) -> Result<(), Error> {
        let Self { data, eval, .. } = self;
        let mut sets = vec![(&data.source, data.source_key.as_deref()), (&data.target, data.target_key.as_deref())];
        sets.extend([&eval.source, &eval.target].into_iter().flatten().map(|path| (path, None)));
        let mut add = |name: String, files: &dyn Fn() -> Result<Vec<PathBuf>, Error>| -> Result<(), Error> {
            if let Entry::Vacant(entry) = found.entry(name) {
                entry.insert(fingerprint(&files()?, None, Depth::Whole)?);
            }
            Ok(())
        };
        for (path, key) in sets {
            let name = format!("{}{}", path.display(), key.map_or_else(String::new, |key| format!(" ({key})")));
            add(name, &|| Ok(Embeddings::open(path, key)?.files()))?;
        }
        if let Anchors::File(path) = &data.anchors {
            add(path.display().to_string(), &|| Ok(vec![path.clone()]))?;
        }
        Ok(())
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
    read_npy_pairs(path)?.into_iter().enumerate().map(check).collect()
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
