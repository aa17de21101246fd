//! One encoder in training.

use super::items::Intake;
use super::origin::Origin;
use super::tower::{Item, Tower};
use crate::error::EncoderTrainingError;
use crate::error::Error;
use crate::map::unit_rows;
use crate::side::DataSide;
use crate::train::Watch;
use crate::train::parameters::ENCODER_PREFIX;
use crate::train::recipe::{EncoderTraining, Recipe};
use candle_core::{DType, Device, Tensor, Var};
use himacl_encode::encoder::Encoder;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Items by which it is found out on which variables the embeddings depend.
const PROBES: usize = 4;
/// Rows by which it is checked that the encoder and the dataset are those of the embeddings.
const CHECKED: usize = 16;
/// Below this cosine a row is not what the encoder gives: half precision is nearer.
const SAME: f64 = 0.998;

/// An encoder in training, with the inputs of its side's training rows.
#[derive(Debug)]
pub struct TunedEncoder {
    side: DataSide,
    pub(super) origin: Origin,
    /// The form with gradients.
    tower: Tower,
    /// Those that training changes, by their names in the file.
    variables: BTreeMap<String, Var>,
    /// The trained blocks, the last ones; `None`: all, and what is before them.
    last: Option<usize>,
    rows: Vec<u32>,
    items: Vec<Item>,
    /// Rows of the whole dataset.
    pub(super) total: usize,
    pub(super) device: Device,
    /// The run's folder.
    pub(super) run: PathBuf,
}

impl TunedEncoder {
    /// Opens the encoder behind `embeddings`, of which `rows` are trained on.
    pub(super) fn open(
        side: DataSide,
        recipe: &Recipe,
        rows: &[u32],
        embeddings: &Tensor,
        run: &Path,
        watch: &dyn Watch,
    ) -> Result<Self, Error> {
        let (device, total) = (embeddings.device().clone(), embeddings.dim(0)?);
        let origin = Origin::find(side, &recipe.data, watch)?;
        let missing = || EncoderTrainingError::NotEmbedded {
            side,
            path: origin.embeddings.clone(),
            reason: format!("encoder `{}` does not give {}", origin.spec.name, origin.kind),
        };
        let (trainable, variables) = Encoder::load_trainable(&origin.spec, &origin.encoder, &device)?;
        let tower = Tower::of(trainable, origin.reads).ok_or_else(missing)?;
        let fast = Encoder::load(&origin.spec, &origin.encoder, &device, DType::F32)?;
        let fast = Tower::of(fast, origin.reads).ok_or_else(missing)?;
        let last = match recipe.train.encoders {
            EncoderTraining::LastBlocks => Some(recipe.train.encoder_blocks),
            EncoderTraining::Full | EncoderTraining::Frozen => None,
        };
        let intake = Intake { side, origin: &origin, rows, total, memory: recipe.train.encoder_memory };
        let items = intake.read(&fast, last)?;
        drop(fast);
        let mut tuned = Self {
            side,
            origin,
            tower,
            variables,
            last,
            rows: rows.to_vec(),
            items,
            total,
            device,
            run: run.to_path_buf(),
        };
        tuned.keep_what_trains()?;
        tuned.check_embeddings(embeddings)?;
        watch.note(&tuned.describe());
        Ok(tuned)
    }

    /// Whose encoder it is.
    pub fn side(&self) -> DataSide {
        self.side
    }

    /// The variables that training changes, by their names in the encoder's file.
    pub fn variables(&self) -> &BTreeMap<String, Var> {
        &self.variables
    }

    /// The training rows, in the order of [`TunedEncoder::encode`]'s positions.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The name of a variable among a run's parameters.
    pub(super) fn parameter(&self, name: &str) -> String {
        format!("{ENCODER_PREFIX}{}.{name}", self.side)
    }

    /// The embeddings of the training rows at `positions`, `(b, d)`, with gradients.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn encode(&self, positions: &[u32]) -> Result<Tensor, Error> {
        let items: Vec<&Item> = positions.iter().map(|&position| &self.items[position as usize]).collect();
        self.tower.encode(&items, self.last)
    }

    /// Leaves out the variables that the embeddings do not depend on, and those that what is computed once depends on:
    /// it would no longer be true.
    fn keep_what_trains(&mut self) -> Result<(), Error> {
        let probes: Vec<u32> = (0..self.items.len().min(PROBES) as u32).collect();
        let gradients = self.encode(&probes)?.sum_all()?.backward()?;
        let mut names: BTreeSet<String> = BTreeSet::new();
        for (name, variable) in &self.variables {
            if gradients.get(variable).is_some() {
                names.insert(name.clone());
            }
        }
        if let Some(last) = self.last {
            for name in self.names_before(last)? {
                names.remove(&name);
            }
        }
        self.variables.retain(|name, _| names.contains(name));
        Ok(())
    }

    /// The variables on which the input of the last `last` blocks depends.
    fn names_before(&self, last: usize) -> Result<Vec<String>, Error> {
        let sample = self.origin.first_sample(self.side)?;
        let unusable =
            |reason| EncoderTrainingError::Sample { input: self.origin.input.clone(), key: sample.key.clone(), reason };
        let item = self.tower.prepare(&sample).map_err(unusable)?;
        let before = self.tower.before(&[&item], last)?;
        let gradients = before[0].sum_all()?.backward()?;
        Ok(self
            .variables
            .iter()
            .filter(|(_, variable)| gradients.get(variable).is_some())
            .map(|(name, _)| name.clone())
            .collect())
    }

    /// The first rows must be what the encoder gives for the first inputs.
    fn check_embeddings(&self, embeddings: &Tensor) -> Result<(), Error> {
        let probes: Vec<u32> = (0..self.items.len().min(CHECKED) as u32).collect();
        // Few at a time: this form keeps all that a gradient would need.
        let own = probes.chunks(PROBES).map(|some| Ok(self.encode(some)?.detach()));
        let own = unit_rows(&Tensor::cat(&own.collect::<Result<Vec<_>, Error>>()?, 0)?)?;
        let rows: Vec<u32> = probes.iter().map(|&probe| self.rows[probe as usize]).collect();
        let there = unit_rows(&embeddings.index_select(&Tensor::new(rows.as_slice(), &self.device)?, 0)?)?;
        let same_shape = own.dims() == there.dims();
        let cosines = if same_shape { (own * there)?.sum(1)?.to_vec1::<f32>()? } else { vec![0.0] };
        for (&row, cosine) in rows.iter().zip(cosines) {
            let cosine = f64::from(cosine);
            if cosine < SAME || cosine.is_nan() {
                let (row, input) = (row as usize, self.origin.input.clone());
                return Err(EncoderTrainingError::OtherEmbeddings { side: self.side, row, cosine, input }.into());
            }
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let blocks = self.tower.num_blocks();
        let parts = match self.last {
            None => "all of it".to_owned(),
            Some(last) => format!("the last {} of {blocks} blocks and what follows", last.min(blocks)),
        };
        let values: usize = self.variables.values().map(|variable| variable.elem_count()).sum();
        let bytes: usize = self.items.iter().map(Item::size).sum();
        format!(
            "encoder of the {}, {}: training {parts}, {values} values in {} tensors; inputs in memory: {:.2} GiB",
            self.side,
            self.origin.spec.name,
            self.variables.len(),
            bytes as f64 / f64::from(1 << 30)
        )
    }
}
