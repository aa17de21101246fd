//! Whether the aligned or the trained map is a run's result: chosen by known pairs that neither has seen.

use super::embedded::Embedded;
use super::recipe::{EncoderTraining, MapKind, Recipe};
use super::split::Split;
use super::starting_point::{alignment_of, one_way_or_both, starting_map};
use super::state::{Task, select};
use super::{Dataset, Trained, Watch, train};
use crate::align::{RankComparison, ReferenceItems, compare_on_hidden};
use crate::error::Error;
use crate::eval::Metrics;
use crate::map::TwoWayMap;
use hiref_core::{Event, Observer};
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter, Result as FmtResult};
use std::fs;
use std::path::Path;

/// Where a run leaves the alignment and the training by which it chose, in its folder.
pub const CHOICE: &str = "choice";
/// Hidden pairs below which chance is larger than what training mostly adds.
const FEWEST_HIDDEN: usize = 100;

/// The map that is a run's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChosenMap {
    /// That of the alignment, in closed form.
    Aligned,
    /// That which training makes of it.
    Trained,
}

/// How it was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapChoice {
    /// The map that is the result.
    pub chosen: ChosenMap,
    /// Known pairs that were hidden from alignment and training to choose by, and put back afterwards.
    pub hidden_pairs: usize,
    /// How both maps ranked them; without hidden pairs there is no choice, and the trained map is taken, if any is trained.
    pub ranks: Option<HiddenRanks>,
    /// Why none were hidden.
    pub not_chosen_because: Option<String>,
}

/// How two maps rank hidden pairs, in both directions. Mean log ranks are means of `ln(rank)`: lower is better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HiddenRanks {
    /// By the aligned map.
    pub aligned_mean_log_rank: f64,
    /// By the trained map.
    pub trained_mean_log_rank: f64,
    /// By how much the trained map's is lower.
    pub gain: f64,
    /// Standard error of the gain.
    pub standard_error: f64,
    /// Share of the pairs that come first by the aligned map.
    pub aligned_come_first: f64,
    /// And by the trained map.
    pub trained_come_first: f64,
}

impl From<RankComparison> for HiddenRanks {
    fn from(found: RankComparison) -> Self {
        let RankComparison { mean_log_ranks, gain, standard_error, come_first, pairs: _ } = found;
        let [aligned_mean_log_rank, trained_mean_log_rank] = mean_log_ranks;
        let [aligned_come_first, trained_come_first] = come_first;
        Self {
            aligned_mean_log_rank,
            trained_mean_log_rank,
            gain,
            standard_error,
            aligned_come_first,
            trained_come_first,
        }
    }
}

impl MapChoice {
    /// One of the maps, without a choice.
    fn not_made(chosen: ChosenMap, reason: String) -> Self {
        Self { chosen, hidden_pairs: 0, ranks: None, not_chosen_because: Some(reason) }
    }

    /// The simpler map, unless the other is better by more than one standard error.
    fn by(found: RankComparison) -> Self {
        let chosen = if found.gain > found.standard_error { ChosenMap::Trained } else { ChosenMap::Aligned };
        Self { chosen, hidden_pairs: found.pairs, ranks: Some(found.into()), not_chosen_because: None }
    }
}

impl Display for MapChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let (chosen, compared) = match self.chosen {
            ChosenMap::Aligned => ("aligned", "no more than"),
            ChosenMap::Trained => ("trained", "more than"),
        };
        if let Some(ranks) = &self.ranks {
            let percent = |share: f64| 100.0 * share;
            write!(
                f,
                "the {chosen} map is the result: of {} known pairs, hidden from both to choose, {:.1}% came first by the \
                 trained map and {:.1}% by the aligned one; training improved the mean log rank by {:.3}, {compared} its \
                 standard error of {:.3}",
                self.hidden_pairs,
                percent(ranks.trained_come_first),
                percent(ranks.aligned_come_first),
                ranks.gain,
                ranks.standard_error
            )
        } else {
            let reason = self.not_chosen_because.as_deref().unwrap_or("no pairs were hidden");
            match self.chosen {
                // There is no other map.
                ChosenMap::Aligned => write!(f, "the aligned map is the result: {reason}"),
                ChosenMap::Trained => write!(f, "the trained map is the result, without a choice: {reason}"),
            }
        }
    }
}

/// Hides some of the known pairs, aligns and trains without them in a folder of its own within `folder`, and compares
/// what either map makes of them.
///
/// The items of hidden pairs are left out altogether. If they were free, the coupling would find most of their partners
/// where few others are free, and training would learn the very pairs by which it is to be judged.
///
/// `None`: the watch asked to stop, and a later call goes on.
///
/// # Errors
/// Whatever alignment and training refuse; files that cannot be written.
pub(super) fn choose(
    recipe: &Recipe,
    data: &Dataset,
    split: &Split,
    folder: &Path,
    watch: &dyn Watch,
) -> Result<Option<MapChoice>, Error> {
    if let Some(reason) = nothing_is_trained(recipe) {
        return Ok(Some(MapChoice::not_made(ChosenMap::Aligned, reason.to_owned())));
    }
    let count = match number_to_hide(recipe, split.anchors.len()) {
        Ok(count) => count,
        Err(reason) => return Ok(Some(MapChoice::not_made(ChosenMap::Trained, reason))),
    };
    let folder = folder.join(CHOICE);
    fs::create_dir_all(&folder).map_err(Error::io("make folder", &folder))?;
    let known = split.anchors.len();
    watch.note(&format!(
        "first without {count} of {known} known pairs, to choose between the aligned and the trained map"
    ));
    let watch = &WithoutWarnings(watch);

    let [hidden, known] = split.some_known(count, recipe.train.seed);
    let seen = split.without(&hidden);
    let (source, target) = (select(&data.source, &seen.source)?, select(&data.target, &seen.target)?);
    let Some(alignment) = alignment_of(recipe, &source, &target, &seen, &folder, watch)? else { return Ok(None) };
    let (x, y) = (alignment.source.apply(&source)?, alignment.target.apply(&target)?);
    let task = Task {
        recipe,
        x: &x,
        y: &y,
        anchors: &seen.anchors,
        free: seen.free(),
        objective: recipe.objective.objective(),
        map: &starting_map(recipe, &alignment.map)?,
        coupling: &alignment.coupling,
        tuning: None,
    };
    let no_figures = |_: &TwoWayMap, _: &Embedded| Ok(Metrics::new());
    let Trained::Finished(trained, _) = train(&task, &folder, &no_figures, watch)? else { return Ok(None) };

    let all = (select(&data.source, &split.source)?, select(&data.target, &split.target)?);
    let maps = [one_way_or_both(recipe, &alignment.map), trained].map(|map| alignment.prepared(&map));
    let reference = ReferenceItems { limit: recipe.coupling.reference_items, seed: recipe.train.seed };
    let neighbours = recipe.coupling.neighbours;
    let found = compare_on_hidden(&maps, (&all.0, &all.1), [&known, &hidden], neighbours, reference)?;
    let choice = MapChoice::by(found);
    watch.note(&choice.to_string());
    Ok(Some(choice))
}

/// Why training would leave the aligned map as it is, where it would.
pub(super) fn nothing_is_trained(recipe: &Recipe) -> Option<&'static str> {
    let (map, train) = (&recipe.map, &recipe.train);
    // Encoders are no part of the map, a learnt cost compares elsewhere, a plain network does not start at the aligned map.
    if train.encoders != EncoderTraining::Frozen || map.learned_cost || map.kind == MapKind::Mlp {
        return None;
    }
    if train.epochs == 0 {
        return Some("nothing is trained, since train.epochs is 0");
    }
    (map.kind == MapKind::Linear && map.freeze_linear)
        .then_some("nothing is trained, since map.kind is linear and map.freeze_linear is true")
}

/// How many of the known pairs are to be hidden, or why none are.
pub(super) fn number_to_hide(recipe: &Recipe, known: usize) -> Result<usize, String> {
    let share = recipe.map.validation_share;
    let count = (share * known as f64).round() as usize;
    if share == 0.0 {
        return Err("map.validation_share is 0".to_owned());
    }
    if recipe.train.encoders != EncoderTraining::Frozen {
        return Err("encoders are trained too, and the aligned map is for those before training".to_owned());
    }
    if recipe.map.learned_cost {
        return Err(
            "a learnt cost is no map between the two spaces, which the aligned one could stand in for".to_owned()
        );
    }
    if recipe.train.epochs == 0 {
        return Err("train.epochs is 0, so it is the map at its start".to_owned());
    }
    if count < FEWEST_HIDDEN {
        return Err(format!(
            "{known} known pairs are too few to hide {FEWEST_HIDDEN} of them (map.validation_share is {share})"
        ));
    }
    Ok(count)
}

/// Passes on everything but warnings, which the run itself gives after the choice.
struct WithoutWarnings<'a>(&'a dyn Watch);

impl Observer for WithoutWarnings<'_> {
    fn on_event(&self, event: &Event) {
        self.0.on_event(event);
    }

    fn should_stop(&self) -> bool {
        self.0.should_stop()
    }
}

impl Watch for WithoutWarnings<'_> {
    fn on_step(&self, step: u64, total: u64, loss: f64) {
        self.0.on_step(step, total, loss);
    }

    fn note(&self, message: &str) {
        self.0.note(message);
    }

    fn warn(&self, _message: &str) {}
}
