//! Encoders that are trained with the map.
//!
//! The gradient goes from the loss through the map and the preparation into an encoder's blocks. What lies before the
//! trained blocks stays as it is: its output is computed once, by the fused form, and held in memory. Before a coupling or
//! an evaluation the whole dataset goes through the encoder with the averaged weights, in the fused form again, by the
//! pipeline and to the format of `himacl embed`.

mod items;
mod origin;
mod reembed;
mod tower;
mod tuned;

pub use tuned::TunedEncoder;

use super::Watch;
use super::dataset::Dataset;
use super::embedded::Embedded;
use super::recipe::{EncoderTraining, Recipe};
use super::split::Split;
use crate::align::Preparation;
use crate::error::{EncoderTrainingError, Error};
use crate::map::Tensors;
use crate::side::DataSide;
use candle_core::{Tensor, Var};
use himacl_encode::encoder::registry::EncoderSpec;
use himacl_encode::hub::descriptions;
use origin::Origin;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The encoders that a run trains: of one side or of both.
#[derive(Debug)]
pub struct Encoders {
    sides: Vec<TunedEncoder>,
}

impl Encoders {
    /// Opens what the recipe asks for: encoders, the inputs of the training rows, and all that can be computed once.
    /// `None` where encoders are frozen.
    ///
    /// # Errors
    /// [`EncoderTrainingError`](crate::train::EncoderTrainingError); whatever the encoder's files and the dataset refuse.
    pub fn open(
        recipe: &Recipe,
        data: &Dataset,
        split: &Split,
        folder: &Path,
        watch: &dyn Watch,
    ) -> Result<Option<Self>, Error> {
        if recipe.train.encoders == EncoderTraining::Frozen {
            return Ok(None);
        }
        let mut sides = Vec::new();
        for (side, rows, embeddings) in
            [(DataSide::Source, &split.source, &data.source), (DataSide::Target, &split.target, &data.target)]
        {
            if recipe.train.encoders_of.includes(side) {
                sides.push(TunedEncoder::open(side, recipe, rows, embeddings, folder, watch)?);
            }
        }
        Ok(Some(Self { sides }))
    }

    /// The encoder of a side, where it is trained.
    pub fn of(&self, side: DataSide) -> Option<&TunedEncoder> {
        self.sides.iter().find(|tuned| tuned.side() == side)
    }

    /// All variables, as `encoder.SIDE.NAME` with their names in the encoder's file.
    pub fn variables(&self) -> BTreeMap<String, Var> {
        let named = self.sides.iter().flat_map(|tuned| {
            tuned.variables().iter().map(|(name, variable)| (tuned.parameter(name), variable.clone()))
        });
        named.collect()
    }

    /// Embeds the whole datasets with `values` (by the names of [`Encoders::variables`]) in place of the variables, and
    /// leaves encoders and embeddings in the run's folder. `None`: interrupted.
    ///
    /// # Errors
    /// Files that cannot be read or written; a dataset that has changed.
    pub fn reembed(&self, values: &Tensors, watch: &dyn Watch) -> Result<Option<Embedded>, Error> {
        let mut embedded = Embedded::default();
        for tuned in &self.sides {
            let Some(rows) = tuned.reembed(values, watch)? else { return Ok(None) };
            match tuned.side() {
                DataSide::Source => embedded.source = Some(rows),
                DataSide::Target => embedded.target = Some(rows),
            }
        }
        Ok(Some(embedded))
    }
}

/// What is behind the embeddings of the sides whose encoders `recipe` trains: files of the datasets, and those that
/// describe the encoders, by names for people. The weights are checked where they are read.
///
/// # Errors
/// [`EncoderTrainingError`]; whatever the encoder's files and the dataset refuse.
pub(super) fn inputs(recipe: &Recipe) -> Result<Vec<(String, Vec<PathBuf>)>, Error> {
    let mut found = Vec::new();
    for side in [DataSide::Source, DataSide::Target] {
        if recipe.train.encoders != EncoderTraining::Frozen && recipe.train.encoders_of.includes(side) {
            let origin = Origin::find(side, &recipe.data, &())?;
            found.push((format!("{} of the {side}", origin.input), origin.files()?));
            let descriptions = descriptions(&origin.encoder)?;
            let files = descriptions.iter().map(|name| origin.encoder.join(name)).collect();
            found.push((format!("the encoder of the {side}"), files));
        }
    }
    Ok(found)
}

/// The encoder by which a side of the run in `folder` is embedded, with the folder of its files: the one that the run has trained,
/// else the one on record beside the embeddings; `None` where `himacl embed` did not make them.
///
/// # Errors
/// Files that cannot be had.
pub fn encoder_of_run(
    recipe: &Recipe,
    folder: &Path,
    side: DataSide,
    watch: &dyn Watch,
) -> Result<Option<(EncoderSpec, PathBuf)>, Error> {
    let origin = match Origin::find(side, &recipe.data, watch) {
        Err(Error::EncoderTraining(EncoderTrainingError::NotEmbedded { .. })) => return Ok(None),
        found => found?,
    };
    let trained = side.encoder_folder(folder);
    let files = if trained.is_dir() { trained } else { origin.encoder };
    Ok(Some((origin.spec, files)))
}

/// Encoders in training, and what takes their embeddings to the spaces of the map.
#[derive(Debug, Clone, Copy)]
pub struct Tuning<'a> {
    /// The encoders.
    pub encoders: &'a Encoders,
    /// What prepares the source's embeddings.
    pub source: &'a Preparation,
    /// What prepares the target's.
    pub target: &'a Preparation,
}

impl Tuning<'_> {
    /// The prepared embeddings of training rows at `positions`, `(b, d)`, with gradients; `None` for a side whose encoder
    /// is frozen.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn rows(&self, side: DataSide, positions: &Tensor) -> Result<Option<Tensor>, Error> {
        let Some(tuned) = self.encoders.of(side) else { return Ok(None) };
        let embeddings = tuned.encode(&positions.to_vec1::<u32>()?)?;
        Ok(Some(self.preparation(side).apply(&embeddings)?))
    }

    /// All training rows of a side, prepared, `(n, d)`; `None` for a side whose encoder is frozen.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn all(&self, side: DataSide, embedded: &Embedded) -> Result<Option<Tensor>, Error> {
        let (Some(tuned), Some(rows)) = (self.encoders.of(side), embedded.of(side)) else { return Ok(None) };
        let own = rows.index_select(&Tensor::new(tuned.rows(), rows.device())?, 0)?;
        Ok(Some(self.preparation(side).apply(&own)?))
    }

    fn preparation(&self, side: DataSide) -> &Preparation {
        match side {
            DataSide::Source => self.source,
            DataSide::Target => self.target,
        }
    }
}
