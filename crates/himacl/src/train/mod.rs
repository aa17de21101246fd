//! Training a map on a coupling: the loop.
//!
//! Everything that the loop needs to go on is in a [`Checkpoint`], and everything random is a function of the seed and
//! the counters in its [`Counters`]: a resumed run ends with the same bits as one that was never stopped.

mod checkpoint;
mod choice;
#[cfg(test)]
mod choice_tests;
mod coupling;
mod dataset;
mod ema;
mod embedded;
mod encoders;
#[cfg(test)]
mod hostile_tests;
mod inputs;
mod metrics;
mod model;
mod optimizer;
mod parameters;
mod recipe;
mod recoupling;
mod run;
mod schedule;
mod split;
mod starting_point;
mod state;
#[cfg(test)]
mod stop_tests;
mod tensorboard;
mod training_pairs;

pub use crate::error::{CheckpointError, EncoderTrainingError, RecipeError};
pub use crate::side::DataSide;
pub use checkpoint::{Best, Checkpoint, CheckpointStore, Counters};
pub use choice::{CHOICE, ChosenMap, HiddenRanks, MapChoice};
pub use coupling::Coupling;
pub use dataset::{Dataset, read_pairs};
pub use ema::Ema;
pub use embedded::Embedded;
pub use encoders::{Encoders, TunedEncoder, Tuning, encoder_of_run};
pub use metrics::MetricsLog;
pub use model::Model;
pub use optimizer::{AdamW, AdamWParams};
pub use parameters::{Gradients, Parameters, clip_by_norm};
pub use recipe::{
    AlignmentMode, Anchors, CouplingSection, DataSection, EncoderSides, EncoderTraining, MAIN_PROBLEM, MapKind,
    NamedRecipe, ObjectiveKind, PairConfidence, PairWeights, Precision, Recipe, RecipeFile,
};
pub use recoupling::{Coupled, couple};
pub use run::{
    ALIGNMENT, ALL_PAIRS, ANCHORS_ONLY, Outcome, RUN_FILES, RunPairs, check, evaluate, held_out, monge, pairs_of_run,
    recipe_of_run, run,
};
pub use schedule::ScheduleParams;
pub use split::Split;
pub use state::{Task, TrainState};
pub use training_pairs::{PairParams, Pairs};

use crate::error::Error;
use crate::eval::{Metric, Metrics};
use crate::map::TwoWayMap;
use himacl_data::ErrorKind;
use hiref_core::Observer;
use serde_json::json;
use std::path::Path;

/// Follows a training run; also receives the events of its couplings, and says when to stop.
pub trait Watch: Observer {
    /// A step ended; the loss is that of its batch.
    fn on_step(&self, step: u64, total: u64, loss: f64);
    /// Something the user may want to know.
    fn note(&self, message: &str);
    /// Something the user should know.
    fn warn(&self, message: &str);
}

/// Follows nothing.
impl Watch for () {
    fn on_step(&self, _step: u64, _total: u64, _loss: f64) {}
    fn note(&self, _message: &str) {}
    fn warn(&self, _message: &str) {}
}

/// How a training run ended.
#[derive(Debug)]
pub enum Trained {
    /// All epochs are done: the moving average of the map, and the embeddings by encoders that were trained.
    Finished(TwoWayMap, Embedded),
    /// It was asked to stop; a checkpoint says where.
    Interrupted,
}

/// Trains the map of `task`, keeping checkpoints and `metrics.jsonl` in `folder`; goes on from the newest whole
/// checkpoint where there is one.
///
/// `evaluate` gives the figures of a map, and of embeddings by encoders that are trained; it is called as often as the
/// recipe says.
///
/// Determinism: on the CPU, the same task gives the same bits, however often it was interrupted.
///
/// # Errors
/// A file that cannot be written, what the solver refuses, a failed tensor operation.
pub fn train(
    task: &Task<'_>,
    folder: &Path,
    evaluate: &dyn Fn(&TwoWayMap, &Embedded) -> Result<Metrics, Error>,
    watch: &dyn Watch,
) -> Result<Trained, Error> {
    let mut state = TrainState::new_or_resumed(task, folder, watch)?;
    while state.progress.epoch < task.recipe.train.epochs {
        match state.recouple_if_due(task, watch)? {
            Next::GoOn => {}
            Next::Settled => break,
            Next::Stop => return Ok(Trained::Interrupted),
        }
        if state.steps(task, watch)? && state.end_epoch(task, evaluate, watch)? {
            continue;
        }
        return Ok(Trained::Interrupted);
    }
    let Some(embedded) = state.embedded(task, watch)? else { return Ok(Trained::Interrupted) };
    Ok(Trained::Finished(state.averaged_map()?, embedded))
}

/// What follows the start of an epoch.
enum Next {
    GoOn,
    /// The coupling moves no more: training ends.
    Settled,
    /// Asked to stop; the state is saved.
    Stop,
}

impl TrainState {
    /// Recomputes the coupling where the epoch about to begin wants that.
    fn recouple_if_due(&mut self, task: &Task<'_>, watch: &dyn Watch) -> Result<Next, Error> {
        let section = &task.recipe.coupling;
        if !recoupling_is_due(&self.progress, section.recompute_every) {
            return Ok(Next::GoOn);
        }
        let map = self.averaged_map()?;
        // Where all pairs are known there is nothing to couple, nor anything to embed for it.
        let embedded = if task.couples() { self.embedded(task, watch)? } else { Some(Embedded::default()) };
        let Some(embedded) = embedded else {
            self.save()?;
            return Ok(Next::Stop);
        };
        let Some(coupled) = task.couple(&map, &embedded, Some(&self.coupling.permutation), watch)? else {
            self.save()?; // the state before the coupling, which a resumed run computes anew
            return Ok(Next::Stop);
        };
        let churn = churn(&self.coupling, &coupled.coupling);
        self.recouple(task, coupled.coupling);
        self.log(json!({"coupling": self.progress.coupling, "coupling_cost": coupled.mean_cost, "churn": churn}))?;
        if !(task.couples() && has_settled(churn, section.settled_churn)) {
            return Ok(Next::GoOn);
        }
        // Not saved: a resumed run computes the coupling anew, and ends here too.
        watch.note(&format!("the coupling has settled ({:.2}% of the items moved): training ends", 100.0 * churn));
        Ok(Next::Settled)
    }

    /// Takes the steps that are left of the epoch; whether it came to their end.
    fn steps(&mut self, task: &Task<'_>, watch: &dyn Watch) -> Result<bool, Error> {
        let recipe = task.recipe;
        let order = self.pairs.order(recipe.train.seed, self.progress.epoch);
        let batches = batches(&order, recipe.train.batch_size);
        let total = recipe.train.epochs * batches.len() as u64;
        for batch in batches.iter().skip(self.progress.batch as usize) {
            let factor = recipe.schedule.factor(self.progress.step, total);
            let loss = task.loss(self.parameters.map(), &self.pairs, batch)?;
            let mut gradients = self.parameters.gradients(&mut loss.backward()?)?;
            let norm = clip_by_norm(&mut gradients, recipe.optimizer.clip_norm)?;
            self.optimizer.step(&self.parameters, &gradients, factor)?;
            self.ema.update(&self.parameters, self.optimizer.steps())?;

            let loss = loss.to_scalar::<f32>()?;
            self.advance(loss);
            if is_due(self.progress.step, recipe.train.log_every) {
                let rate = recipe.optimizer.learning_rate * factor;
                self.log(json!({"loss": loss, "learning_rate": rate, "gradient_norm": norm}))?;
            }
            watch.on_step(self.progress.step, total, f64::from(loss));
            let stop = watch.should_stop();
            if stop || is_due(self.progress.step, recipe.checkpoint.every_steps) {
                self.save()?;
            }
            if stop {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Evaluates and saves where the recipe says so; false if it was asked to stop meanwhile, before the epoch counts as finished.
    fn end_epoch(
        &mut self,
        task: &Task<'_>,
        evaluate: &dyn Fn(&TwoWayMap, &Embedded) -> Result<Metrics, Error>,
        watch: &dyn Watch,
    ) -> Result<bool, Error> {
        let recipe = task.recipe;
        // Embedded before the epoch is counted as finished: a run that is stopped meanwhile goes on with its evaluation.
        let evaluated = is_due(self.progress.epoch + 1, recipe.eval.every);
        let embedded = if evaluated { self.embedded(task, watch)? } else { Some(Embedded::default()) };
        let Some(embedded) = embedded else {
            self.save()?;
            return Ok(false);
        };
        let found = match if evaluated { evaluate(&self.averaged_map()?, &embedded) } else { Ok(Metrics::new()) } {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.save()?;
                return Ok(false);
            }
            found => found?,
        };
        let loss = self.finish_epoch();
        let epoch = self.progress.epoch;
        let mut figures = Metrics::from_iter([Metric::lower("epoch_loss", loss)]);
        figures.extend(found);
        self.log(json!({"epoch_finished": epoch, "figures": figures}))?;
        if is_due(epoch, recipe.checkpoint.every_epochs) || epoch == recipe.train.epochs {
            self.note_best(&figures, &recipe.checkpoint.best_metric);
            self.save()?;
        }
        Ok(true)
    }
}

/// Whether a share of moved items is small enough to end training; a limit of 0 never is.
fn has_settled(churn: f64, limit: f64) -> bool {
    limit > 0.0 && churn <= limit
}

fn is_due(count: u64, every: u64) -> bool {
    every > 0 && count.is_multiple_of(every)
}

/// Whether the epoch about to begin wants a coupling that has not been computed yet.
fn recoupling_is_due(progress: &Counters, every: u64) -> bool {
    every > 0 && progress.epoch / every > progress.coupling
}

/// Cuts an epoch into batches of at most `size` pairs, as equal as can be, so that no small rest gets a full step.
fn batches(order: &[u32], size: usize) -> Vec<&[u32]> {
    let count = order.len().div_ceil(size).max(1);
    (0..count).map(|k| &order[k * order.len() / count..(k + 1) * order.len() / count]).collect()
}

/// The share of source items whose partner changed.
fn churn(before: &Coupling, after: &Coupling) -> f64 {
    let pairs = before.permutation.y_of_x().iter().zip(after.permutation.y_of_x());
    let changed = pairs.filter(|(before, after)| before != after).count();
    changed as f64 / before.permutation.num_x().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_even_and_whole() {
        let order: Vec<u32> = (0..10).collect();
        let sizes = |size| batches(&order, size).iter().map(|batch| batch.len()).collect::<Vec<_>>();
        assert_eq!(sizes(4), [3, 3, 4]);
        assert_eq!(sizes(100), [10]);
        assert_eq!(batches(&order, 3).concat(), order);
    }

    #[test]
    fn couplings_settle_at_the_limit() {
        assert_eq!(
            [has_settled(0.01, 0.02), has_settled(0.02, 0.02), has_settled(0.03, 0.02), has_settled(0.0, 0.0)],
            [true, true, false, false]
        );
    }

    #[test]
    fn a_coupling_is_due_once() {
        let at = |epoch, coupling| recoupling_is_due(&Counters { epoch, coupling, ..Counters::default() }, 2);
        assert_eq!(
            [at(0, 0), at(1, 0), at(2, 0), at(2, 1), at(3, 1), at(4, 1)],
            [false, false, true, false, false, true]
        );
    }
}
