//! A training run between two steps.

use super::Watch;
use super::checkpoint::{Best, Checkpoint, CheckpointStore, Counters};
use super::coupling::Coupling;
use super::ema::Ema;
use super::embedded::Embedded;
use super::encoders::Tuning;
use super::metrics::MetricsLog;
use super::optimizer::AdamW;
use super::parameters::Parameters;
use super::recipe::{CouplingSection, Recipe};
use super::recoupling::{Coupled, couple, keep, likely_partners};
use super::training_pairs::{PairParams, Pairs};
use crate::align::{ReferenceItems, pair_probability};
use crate::error::Error;
use crate::eval::{Metric, Metrics};
use crate::map::{Map, TwoWayMap, unit_rows};
use crate::objective::{Batch, Objective};
use crate::side::DataSide;
use candle_core::{DType, Tensor};
use hiref_core::Permutation;
use serde_json::Value;
use std::path::Path;

/// What is to be trained, in the spaces in which both sides are compared.
#[derive(Debug)]
pub struct Task<'a> {
    /// The settings.
    pub recipe: &'a Recipe,
    /// Source items, `(n, d)`.
    pub x: &'a Tensor,
    /// Target items, `(m, e)`.
    pub y: &'a Tensor,
    /// Known pairs, as rows of `x` and `y`.
    pub anchors: &'a [(u32, u32)],
    /// Rows of `x` and `y` that no anchor pairs.
    pub free: (Vec<u32>, Vec<u32>),
    /// What to minimise.
    pub objective: Objective,
    /// The map to start from.
    pub map: &'a TwoWayMap,
    /// The coupling of the free rows to start from.
    pub coupling: &'a Coupling,
    /// Encoders that are trained as well: `x` and `y` are then what they gave at the start.
    pub tuning: Option<Tuning<'a>>,
}

impl Task<'_> {
    /// The loss of the pairs at positions `batch`, averaged over the directions that the map has.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn loss(&self, map: &TwoWayMap, pairs: &Pairs, batch: &[u32]) -> Result<Tensor, Error> {
        let dtype = self.recipe.train.precision.dtype(self.x.device());
        self.loss_in(dtype, map, pairs, batch)
    }

    /// As [`Task::loss`], with the map computed in `dtype`: its parameters are cast for the step, and gradients come back in their own type.
    fn loss_in(&self, dtype: DType, map: &TwoWayMap, pairs: &Pairs, batch: &[u32]) -> Result<Tensor, Error> {
        let (rows, partners, weight) = pairs.batch(batch, self.x.device())?;
        let (first_x, first_y) = (self.x.index_select(&rows, 0)?, self.y.index_select(&partners, 0)?);
        let now = |side, rows: &Tensor, first: &Tensor| -> Result<Tensor, Error> {
            let tuned = self.tuning.as_ref().map(|tuning| tuning.rows(side, rows)).transpose()?.flatten();
            Ok(tuned.unwrap_or_else(|| first.clone()))
        };
        let x = now(DataSide::Source, &rows, &first_x)?; // (b, d)
        let y = now(DataSide::Target, &partners, &first_y)?; // (b, e)
        // What is aimed at by regression stays where it is: an encoder could else come to meet the map in one point.
        let aim = |side: &Tensor| match self.objective {
            Objective::Regression(_) => side.detach(),
            Objective::Contrastive(_) | Objective::Both { .. } => side.clone(),
        };
        let map = map.to_dtype(dtype)?;
        let apply = |map: &Map, rows: &Tensor| map.apply(&rows.to_dtype(dtype)?)?.to_dtype(DType::F32);
        let forward = apply(&map.forward, &x)?;
        let target = map.partner.as_ref().map_or_else(|| Ok(y.clone()), |partner| apply(partner, &y))?;
        let backward = map.backward.as_ref().map(|back| apply(back, &y)).transpose()?;
        // Only where the partner itself would be the target, and no encoder moves it.
        let (aim_y, aim_x) = match pairs.softened(batch, self.x, self.y)? {
            Some(softened) => softened,
            None => (aim(&target), aim(&x)),
        };
        let mut loss = self.objective.loss(&Batch { predicted: &forward, target: &aim_y, weight: &weight })?;
        if let Some(backward) = &backward {
            let other = self.objective.loss(&Batch { predicted: backward, target: &aim_x, weight: &weight })?;
            loss = ((loss + other)? * 0.5)?;
        }
        if let Some((klot, share)) = self.recipe.objective.klot() {
            let (teacher_x, teacher_y) = self.map.joint(&first_x, &first_y)?;
            let student = mean_cosines((&x, &target), &forward, backward.as_ref())?;
            loss = (loss + (klot.loss(&student, &teacher_x.matmul(&teacher_y.t()?)?)? * share)?)?;
        }
        Ok(loss)
    }

    /// Whether there are items to couple.
    pub fn couples(&self) -> bool {
        !self.free.0.is_empty() && !self.free.1.is_empty()
    }

    /// Couples the free items by `map`, and by encoders as trained so far; `None` if asked to stop meanwhile.
    ///
    /// # Errors
    /// What the solver refuses.
    pub fn couple(
        &self,
        map: &TwoWayMap,
        embedded: &Embedded,
        warm_start: Option<&Permutation>,
        watch: &dyn Watch,
    ) -> Result<Option<Coupled>, Error> {
        if !self.couples() {
            return Ok(Some(Coupled { coupling: self.coupling.clone(), mean_cost: 0.0 }));
        }
        let (x, y) = self.free_items(embedded)?;
        let mut coupled = couple(map, (&x, &y), &self.recipe.coupling, self.recipe.train.seed, warm_start, watch)?;
        if let Some(coupled) = &mut coupled {
            self.doubt((&x, &y), &mut coupled.coupling)?;
        }
        Ok(coupled)
    }

    /// The coupling that there is, for the map that it was found by.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn keep(&self, map: &TwoWayMap) -> Result<Coupled, Error> {
        let (x, y) = self.free_items(&Embedded::default())?;
        let (section, seed) = (&self.recipe.coupling, self.recipe.train.seed);
        let mut coupled = keep(map, (&x, &y), self.coupling, (section, seed))?;
        self.doubt((&x, &y), &mut coupled.coupling)?;
        Ok(coupled)
    }

    /// For each free source item how likely its pair is right; none where there are too few pairs to say.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn probability(&self, embedded: &Embedded, permutation: &Permutation) -> Result<Option<Vec<f32>>, Error> {
        let (x, y) = self.free_items(embedded)?;
        self.probability_of((&x, &y), permutation)
    }

    fn probability_of(&self, (x, y): (&Tensor, &Tensor), permutation: &Permutation) -> Result<Option<Vec<f32>>, Error> {
        let (limit, seed) = (self.recipe.coupling.reference_items, self.recipe.train.seed);
        Ok(pair_probability(x, y, permutation, ReferenceItems { limit, seed })?)
    }

    /// Takes all confidence from pairs that are less likely right than is asked for.
    fn doubt(&self, sides: (&Tensor, &Tensor), coupling: &mut Coupling) -> Result<(), Error> {
        let least = self.recipe.coupling.least_probability;
        if least > 0.0
            && let Some(probability) = self.probability_of(sides, &coupling.permutation)?
        {
            let doubted = coupling.confidence.iter_mut().zip(probability).filter(|(_, p)| f64::from(*p) < least);
            doubted.for_each(|(confidence, _)| *confidence = f32::NEG_INFINITY);
        }
        Ok(())
    }

    /// The free items of both sides, by encoders as trained so far.
    fn free_items(&self, embedded: &Embedded) -> Result<(Tensor, Tensor), Error> {
        let now = |side| -> Result<Option<Tensor>, Error> {
            Ok(self.tuning.as_ref().map(|tuning| tuning.all(side, embedded)).transpose()?.flatten())
        };
        let (x, y) = (now(DataSide::Source)?, now(DataSide::Target)?);
        let (x, y) = (x.as_ref().unwrap_or(self.x), y.as_ref().unwrap_or(self.y));
        Ok((select(x, &self.free.0)?, select(y, &self.free.1)?))
    }

    fn pairs(&self, coupling: &Coupling) -> Pairs {
        let CouplingSection { keep, weights, softness, .. } = self.recipe.coupling;
        let params = PairParams { keep, weights, softness, anchor_share: self.recipe.objective.anchor_share };
        Pairs::new(self.anchors, &self.free, coupling, &params)
    }

    /// The coupling to start from, with the likeliest partners by the map to start from, where targets are softened.
    fn first_coupling(&self) -> Result<Coupling, Error> {
        let mut coupling = self.coupling.clone();
        if self.couples() {
            let free = (select(self.x, &self.free.0)?, select(self.y, &self.free.1)?);
            self.doubt((&free.0, &free.1), &mut coupling)?;
            let (x, y) = self.map.joint(&free.0, &free.1)?;
            coupling.soft = likely_partners((&x, &y), &self.recipe.coupling, self.recipe.train.seed)?;
        }
        Ok(coupling)
    }
}

/// The scores of every source of a batch with every target, `(b, b)`: the mean of the cosines of every direction, as
/// [`TwoWayMap::joint`] has it.
fn mean_cosines(
    (x, y): (&Tensor, &Tensor),
    forward: &Tensor,
    backward: Option<&Tensor>,
) -> candle_core::Result<Tensor> {
    let cosines = |a: &Tensor, b: &Tensor| unit_rows(a)?.matmul(&unit_rows(b)?.t()?);
    let ahead = cosines(forward, y)?;
    match backward {
        None => Ok(ahead),
        Some(backward) => (ahead + cosines(x, backward)?)? * 0.5,
    }
}

/// The rows of `tensor` at the given positions.
pub(super) fn select(tensor: &Tensor, rows: &[u32]) -> candle_core::Result<Tensor> {
    tensor.index_select(&Tensor::new(rows, tensor.device())?, 0)
}

/// Everything that changes while training.
#[derive(Debug)]
pub struct TrainState {
    /// Counters.
    pub progress: Counters,
    /// The map being trained.
    pub parameters: Parameters,
    /// Its optimiser.
    pub optimizer: AdamW,
    /// Its moving average.
    pub ema: Ema,
    /// The coupling in force.
    pub coupling: Coupling,
    /// The pairs that follow from it.
    pub pairs: Pairs,
    /// The latest embeddings by encoders in training, and the step that they are of.
    embedded: Option<(u64, Embedded)>,
    log: MetricsLog,
    checkpoints: CheckpointStore,
}

impl TrainState {
    /// The state at the newest whole checkpoint in `folder`, or at the start where there is none.
    ///
    /// # Errors
    /// Files that cannot be read; a checkpoint of another map.
    pub fn new_or_resumed(task: &Task<'_>, folder: &Path, watch: &dyn Watch) -> Result<Self, Error> {
        let recipe = task.recipe;
        let frozen: &[&str] =
            if recipe.map.freeze_linear { &["forward.linear.", "backward.linear.", "partner.linear."] } else { &[] };
        let encoders = task.tuning.as_ref().map(|tuning| tuning.encoders.variables()).unwrap_or_default();
        let parameters = Parameters::new(task.map, frozen)?.with(encoders);
        let mut optimizer = AdamW::new(recipe.optimizer.clone(), &parameters)?;
        let mut ema = Ema::new(recipe.train.ema, &parameters)?;
        let checkpoints = CheckpointStore::new(folder.join("checkpoints"), recipe.checkpoint.keep);
        let (found, damaged) = checkpoints.latest()?;
        for problem in damaged {
            watch.note(&format!("{problem}; going on from the one before"));
        }
        let mut progress = Counters::default();
        let mut coupling = None;
        if let Some(checkpoint) = found {
            watch.note(&format!(
                "resuming at step {}, epoch {}",
                checkpoint.progress.step,
                checkpoint.progress.epoch + 1
            ));
            progress = checkpoint.progress;
            parameters.set(&checkpoint.map)?;
            optimizer.restore(&checkpoint.optimizer, progress.step)?;
            ema.restore(&checkpoint.ema)?;
            coupling = Some(checkpoint.coupling);
        }
        let log = MetricsLog::open(&folder.join("metrics.jsonl"), progress.metrics_bytes)?;
        let coupling = coupling.map_or_else(|| task.first_coupling(), Ok)?;
        let pairs = task.pairs(&coupling);
        Ok(Self { progress, parameters, optimizer, ema, coupling, pairs, embedded: None, log, checkpoints })
    }

    /// The map of the averaged parameters.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn averaged_map(&self) -> Result<TwoWayMap, Error> {
        Ok(self.parameters.map_with(self.ema.tensors())?)
    }

    /// The datasets embedded by the averaged encoders, once for a step; nothing where encoders are frozen. `None`:
    /// interrupted.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn embedded(&mut self, task: &Task<'_>, watch: &dyn Watch) -> Result<Option<Embedded>, Error> {
        let Some(tuning) = &task.tuning else { return Ok(Some(Embedded::default())) };
        if let Some((step, embedded)) = &self.embedded
            && *step == self.progress.step
        {
            return Ok(Some(embedded.clone()));
        }
        let embedded = tuning.encoders.reembed(self.ema.tensors(), watch)?;
        self.embedded = embedded.clone().map(|embedded| (self.progress.step, embedded));
        Ok(embedded)
    }

    /// Takes a newly computed coupling into use.
    pub fn recouple(&mut self, task: &Task<'_>, coupling: Coupling) {
        self.pairs = task.pairs(&coupling);
        self.coupling = coupling;
        self.progress.coupling += 1;
    }

    /// Counts a step with the given loss.
    pub fn advance(&mut self, loss: f32) {
        self.progress.step += 1;
        self.progress.batch += 1;
        self.progress.loss_sum += loss;
    }

    /// Counts an epoch whose batches have all been seen; returns its mean loss.
    pub fn finish_epoch(&mut self) -> f64 {
        let mean = f64::from(self.progress.loss_sum) / self.progress.batch as f64;
        self.progress.epoch += 1;
        self.progress.batch = 0;
        self.progress.loss_sum = 0.0;
        mean
    }

    /// Appends an object to the log, with step and epoch.
    ///
    /// # Errors
    /// A log that cannot be written.
    pub fn log(&mut self, record: Value) -> Result<(), Error> {
        let mut line = serde_json::Map::new();
        line.insert("step".to_owned(), self.progress.step.into());
        line.insert("epoch".to_owned(), self.progress.epoch.into());
        if let Value::Object(fields) = record {
            line.extend(fields);
        }
        self.log.append(line)
    }

    /// Remembers the present step as the best if its figure says so.
    pub fn note_best(&mut self, figures: &Metrics, metric: &str) {
        let Some(figure) = figures.get(metric) else { return };
        // Rounded as the best is stored, so that a resumed run decides alike.
        let value = figure.value as f32;
        let figure = Metric { value: f64::from(value), ..figure.clone() };
        if self.progress.best.is_none_or(|best| figure.beats(f64::from(best.value))) {
            self.progress.best = Some(Best { step: self.progress.step, value });
        }
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&mut self) -> Result<(), Error> {
        self.progress.metrics_bytes = self.log.sync()?;
        self.checkpoints.save(&Checkpoint {
            progress: self.progress.clone(),
            map: self.parameters.values()?,
            ema: self.ema.tensors().clone(),
            optimizer: self.optimizer.tensors(),
            coupling: self.coupling.clone(),
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{LinearMap, ResidualMlp};
    use candle_core::Device;

    #[test]
    fn the_first_map_is_its_own_teacher() {
        let rows = |step: usize| {
            let values = (0..40).map(|at| ((at * step) % 23) as f32 / 23.0 - 0.5);
            Tensor::from_iter(values, &Device::Cpu).unwrap().reshape((10, 4)).unwrap()
        };
        let (x, y) = (rows(7), rows(11));
        let residual = |seed| {
            let linear = LinearMap::identity(4, &Device::Cpu).unwrap();
            Map::ResidualMlp(ResidualMlp::around(linear, 1, 8, seed).unwrap())
        };
        let map = TwoWayMap::new(residual(0), Some(residual(1)));
        let known: Vec<(u32, u32)> = (0..10).map(|at| (at, at)).collect();
        let coupling = Coupling::none(0, 0);
        let loss = |weight: f64, shift: f64| {
            let mut recipe = Recipe::default();
            recipe.objective.klot_weight = weight;
            let task = Task {
                recipe: &recipe,
                x: &x,
                y: &y,
                anchors: &known,
                free: (Vec::new(), Vec::new()),
                objective: recipe.objective.objective(),
                map: &map,
                coupling: &coupling,
                tuning: None,
            };
            let moved = map.tensors().into_iter().map(|(name, tensor)| (name, (tensor + shift).unwrap())).collect();
            let moved = TwoWayMap::from_tensors(&moved).unwrap();
            let pairs = task.pairs(&coupling);
            let loss = task.loss(&moved, &pairs, &(0..10).collect::<Vec<u32>>()).unwrap();
            loss.to_scalar::<f32>().unwrap()
        };
        assert!((loss(0.0, 0.0) - loss(1.0, 0.0)).abs() < 1e-6);
        assert!(loss(1.0, 0.3) - loss(0.0, 0.3) > 1e-3);
    }
}
