//! One problem with one seed, from embeddings to a finished run folder.

use super::choice::{ChosenMap, MapChoice, choose};
use super::coupling::Coupling;
use super::dataset::Dataset;
use super::embedded::Embedded;
use super::encoders::{Encoders, Tuning};
use super::model::Model;
use super::recipe::{AlignmentMode, Anchors, PairConfidence, Recipe};
use super::split::Split;
use super::starting_point::{
    ALIGNMENT_REPORT, ALIGNMENT_STATE, StartingPoint, alignment_of, one_way_or_both, starting_map,
};
use super::state::{Task, select};
use super::{Trained, Watch, train};
use crate::align::{AlignError, AlignmentReport, Preparation, PreparedMap, PrincipalAxes, Verdict};
use crate::error::Error;
use crate::eval::{self, Metric, Metrics, RetrievalParams};
use crate::map::{LinearMap, Map, Tensors, TwoWayMap, decode, encode, unit_rows};
use candle_core::{Device, Tensor};
use himacl_data::ErrorKind;
use himacl_data::files::{read_json, read_toml, write_atomic};
use hiref_core::{CostKind, Permutation, UNMATCHED};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

/// Prefix of the figures of the map fitted on the anchors alone.
pub const ANCHORS_ONLY: &str = "anchors_only";
/// Prefix of the figures of the aligned map, before training.
pub const ALIGNMENT: &str = "alignment";
/// Prefix of the figures of the map fitted on all true pairs.
pub const ALL_PAIRS: &str = "all_pairs";

/// Ridge penalty of the map on all true pairs, relative to the mean square of a coordinate.
const CEILING_PENALTY: f64 = 0.1;
/// Items of each side beyond which the figures of the distribution say nothing more, but cost their square.
const MONGE_ITEMS: usize = 8192;
/// Every file that a run may leave in its folder: `#` stands for a number, `*` for anything.
pub const RUN_FILES: [&str; 34] = [
    "config.toml",
    "summary.json",
    "report.html",
    "metrics.jsonl",
    "events.out.tfevents.*",
    ALIGNMENT_REPORT,
    ALIGNMENT_STATE,
    "map.safetensors",
    "map.json",
    FINAL_COUPLING,
    "checkpoints/step_#/*",
    "checkpoints/step_#.partial/*",
    "choice/metrics.jsonl",
    "choice/events.out.tfevents.*",
    "choice/alignment.json",
    "choice/alignment.safetensors",
    "choice/checkpoints/step_#/*",
    "choice/checkpoints/step_#.partial/*",
    "encoder-source/*",
    "encoder-source/*/*",
    "embeddings-source/config.toml",
    "embeddings-source/errors.jsonl",
    "embeddings-source/img_emb/img_emb_#.npy",
    "embeddings-source/text_emb/text_emb_#.npy",
    "embeddings-source/metadata/metadata_#.parquet",
    "embeddings-source/stats/#.json",
    "encoder-target/*",
    "encoder-target/*/*",
    "embeddings-target/config.toml",
    "embeddings-target/errors.jsonl",
    "embeddings-target/img_emb/img_emb_#.npy",
    "embeddings-target/text_emb/text_emb_#.npy",
    "embeddings-target/metadata/metadata_#.parquet",
    "embeddings-target/stats/#.json",
];

/// Where a run leaves its last coupling.
const FINAL_COUPLING: &str = "couplings/final.safetensors";

/// Who is paired with whom at the end of a run; all rows are those of its source and target files.
#[derive(Debug, Clone, PartialEq)]
pub struct RunPairs {
    /// Source rows that were trained on, `(n,)`; of a partial pairing those alone that have a partner.
    pub source: Vec<u32>,
    /// Target rows, `(m,)`, likewise.
    pub target: Vec<u32>,
    /// The pairing, of positions in `source` and `target`; known pairs included.
    pub permutation: Permutation,
    /// For each source position: the higher, the surer; infinite for known pairs, zero without a partner.
    pub confidence: Vec<f32>,
}

/// What a run found.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Figures by name, such as `image_to_text_R@10` and `anchors_only.foscttm`.
    pub metrics: Metrics,
    /// Wall time of each phase: align, train, evaluate.
    pub seconds: Vec<(&'static str, f64)>,
    /// Source items trained on, target items, known pairs, held-out items.
    pub counts: BTreeMap<String, usize>,
    /// Whether the aligned or the trained map is the result, and why.
    pub choice: MapChoice,
}

/// Refuses a recipe that does not fit its data, before anything is computed.
///
/// # Errors
/// More held-out items or known pairs than there are items, known pairs that the alignment needs and there are none of,
/// embeddings that are empty or not finite, sides to evaluate on of other dimensions.
pub fn check(recipe: &Recipe, data: &Dataset) -> Result<(), Error> {
    let split = split_of(recipe, data)?;
    if recipe.alignment.mode == AlignmentMode::Anchors && split.anchors.is_empty() {
        return Err(Error::NoAnchors);
    }
    let evaluation = data.evaluation.as_ref();
    for (side, embeddings, evaluated) in [
        ("source", &data.source, evaluation.map(|sides| &sides.0)),
        ("target", &data.target, evaluation.map(|sides| &sides.1)),
    ] {
        let preparation = Preparation::centring(embeddings, side)?;
        if let Some(evaluated) = evaluated {
            preparation.apply(&evaluated.narrow(0, 0, evaluated.dim(0)?.min(1))?)?;
        }
    }
    Ok(())
}

/// Aligns, trains and evaluates, in `folder`, which exists; goes on where an earlier call was interrupted. Before that it
/// chooses, where there are known pairs enough, whether training is to change the aligned map at all.
///
/// `None`: the watch asked to stop, and a later call goes on.
///
/// # Errors
/// A recipe that does not fit the data; whatever alignment and training refuse; files that cannot be written.
pub fn run(recipe: &Recipe, data: &Dataset, folder: &Path, watch: &dyn Watch) -> Result<Option<Outcome>, Error> {
    match run_through(recipe, data, folder, watch) {
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
        done => done,
    }
}

fn run_through(recipe: &Recipe, data: &Dataset, folder: &Path, watch: &dyn Watch) -> Result<Option<Outcome>, Error> {
    let split = split_of(recipe, data)?;
    let (source, target) = (select(&data.source, &split.source)?, select(&data.target, &split.target)?);
    let mut seconds = Vec::new();

    let started = Instant::now();
    let Some(choice) = choose(recipe, data, &split, folder, watch)? else { return Ok(None) };
    if choice.ranks.is_some() {
        seconds.push(("choose", started.elapsed().as_secs_f64()));
    }

    // What is wrong with encoders should be known before the alignment is computed.
    let started = Instant::now();
    let encoders = Encoders::open(recipe, data, &split, folder, watch)?;
    if encoders.is_some() {
        seconds.push(("open encoders", started.elapsed().as_secs_f64()));
    }

    let started = Instant::now();
    let Some(alignment) = alignment_of(recipe, &source, &target, &split, folder, watch)? else { return Ok(None) };
    seconds.push(("align", started.elapsed().as_secs_f64()));

    let (x, y) = (alignment.source.apply(&source)?, alignment.target.apply(&target)?);
    let held_out = held_out(recipe, data)?;
    let figures = |map: &PreparedMap, held_out: &Option<(Tensor, Tensor)>| match held_out {
        None => Ok(Metrics::new()),
        Some((source, target)) => {
            evaluate_until(map, (source, target), recipe.eval.csls_neighbours, &|| watch.should_stop())
        }
    };
    let trained_figures = |map: &TwoWayMap, embedded: &Embedded| {
        figures(&alignment.prepared(map), &self::held_out(recipe, &data.with(embedded))?)
    };

    let started = Instant::now();
    let map = starting_map(recipe, &alignment.map)?;
    let task = Task {
        recipe,
        x: &x,
        y: &y,
        anchors: &split.anchors,
        free: split.free(),
        objective: recipe.objective.objective(),
        map: &map,
        coupling: &alignment.coupling,
        tuning: encoders.as_ref().map(|encoders| Tuning {
            encoders,
            source: &alignment.source,
            target: &alignment.target,
        }),
    };
    let trained = match choice.chosen {
        ChosenMap::Aligned => Trained::Finished(one_way_or_both(recipe, &alignment.map), Embedded::default()),
        ChosenMap::Trained => train(&task, folder, &trained_figures, watch)?,
    };
    let Trained::Finished(map, embedded) = trained else { return Ok(None) };
    let is_kept = choice.chosen == ChosenMap::Aligned && is_coupling_kept(&map, &alignment, recipe, folder)?;
    let last = if is_kept {
        task.keep(&map)?
    } else {
        let warm_start = Some(&alignment.coupling.permutation);
        let Some(last) = task.couple(&map, &embedded, warm_start, watch)? else { return Ok(None) };
        last
    };
    seconds.push(("train", started.elapsed().as_secs_f64()));

    let started = Instant::now();
    let mut metrics = trained_figures(&map, &embedded)?;
    let map = alignment.prepared(&map);
    metrics.add(Metric::lower("coupling_cost", last.mean_cost));
    metrics.extend(self_agreement(folder)?);
    let now = data.with(&embedded);
    let (source_now, target_now) = (select(&now.source, &split.source)?, select(&now.target, &split.target)?);
    let found = pairing(&map, (&source_now, &target_now), &task.free, &split, Some(&last.coupling))?;
    metrics.extend(found.clone());
    for (prefix, other) in maps_to_compare_with(recipe, &alignment, (&source, &target), &split)? {
        let mut figures = figures(&other, &held_out)?;
        if is_kept && prefix == ALIGNMENT {
            figures.extend(found.clone());
        } else if prefix != ALL_PAIRS {
            let coupling = Some(&alignment.coupling).filter(|_| prefix == ALIGNMENT);
            figures.extend(pairing(&other, (&source, &target), &task.free, &split, coupling)?);
        }
        metrics.extend(figures.prefixed(prefix));
    }
    seconds.push(("evaluate", started.elapsed().as_secs_f64()));

    let probability = task.probability(&embedded, &last.coupling.permutation)?;
    if let Some(probability) = &probability {
        let pairs = last.coupling.permutation.pairs();
        let sum: f64 = pairs.map(|(x, _)| f64::from(probability[x])).sum();
        let mean = sum / last.coupling.permutation.num_pairs().max(1) as f64;
        metrics.add(Metric::higher("expected_pairing_accuracy", mean));
    }
    let couplings = folder.join("couplings");
    fs::create_dir_all(&couplings).map_err(Error::io("make folder", &couplings))?;
    let doubtful = recipe.coupling.least_probability;
    let written = (&last.coupling, probability.as_deref().map(|probability| (probability, doubtful)));
    write_coupling(&folder.join(FINAL_COUPLING), &split, &task.free, written)?;
    Model(map).save(folder)?;
    let counts = [
        ("source_items", split.source.len()),
        ("target_items", split.target.len()),
        ("anchors", split.anchors.len()),
        ("held_out", held_out.map_or(0, |(source, _)| source.dims()[0])),
    ];
    let counts = counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    Ok(Some(Outcome { metrics, seconds, counts, choice }))
}

/// Whether the coupling of the alignment is kept where `map`, the aligned one, is the result: it was made by the same cost and
/// the same ways, judged alike, and by that map, in its axes, or by maps fitted to its pairs.
fn is_coupling_kept(map: &TwoWayMap, alignment: &StartingPoint, recipe: &Recipe, folder: &Path) -> Result<bool, Error> {
    let section = &recipe.coupling;
    if section.cost != CostKind::NegativeInnerProduct || section.confidence != PairConfidence::Margin {
        return Ok(false);
    }
    if map.backward.is_some() != alignment.map.backward.is_some() || alignment.coupling.permutation.num_pairs() == 0 {
        return Ok(false);
    }
    // Confidence is judged with the neighbours of the alignment there.
    let params = recipe.align_params();
    let mut refinements = params.candidates.iter().map(|candidate| &candidate.refinement);
    if params.unpaired.refinement.neighbours != section.neighbours
        || refinements.any(|refinement| refinement.neighbours != section.neighbours)
    {
        return Ok(false);
    }
    let report: AlignmentReport = read_json(&folder.join(ALIGNMENT_REPORT))?;
    // An axis that was left out joins the map once the items are coupled; trusted pairs were coupled in all axes.
    let trusted = |predicted: f64| predicted >= params.unpaired.least_predicted;
    Ok(report.unpaired.is_none_or(|unpaired| unpaired.left_out.is_none() || trusted(unpaired.predicted)))
}

/// The maps whose figures stand beside those of the trained one, by the prefix of their names.
fn maps_to_compare_with(
    recipe: &Recipe,
    alignment: &StartingPoint,
    (source, target): (&Tensor, &Tensor),
    split: &Split,
) -> Result<Vec<(&'static str, PreparedMap)>, Error> {
    let mut maps: Vec<_> = alignment.anchors_only.iter().map(|map| (ANCHORS_ONLY, map.clone())).collect();
    maps.push((ALIGNMENT, alignment.prepared(&alignment.map)));
    if let Some(truth) = split.truth.as_ref().filter(|_| recipe.eval.ceiling) {
        maps.push((ALL_PAIRS, ceiling(recipe, source, &select(target, truth)?)?));
    }
    Ok(maps)
}

/// The pairs that a recipe keeps for evaluation: `(h, d)` and `(h, e)`, row i belongs to row i.
///
/// # Errors
/// A recipe that does not fit the data.
pub fn held_out(recipe: &Recipe, data: &Dataset) -> Result<Option<(Tensor, Tensor)>, Error> {
    if data.evaluation.is_some() {
        return Ok(data.evaluation.clone());
    }
    let rows = split_of(recipe, data)?.held_out;
    if rows.is_empty() {
        return Ok(None);
    }
    let rows = Tensor::new(rows, data.source.device())?;
    Ok(Some((data.source.index_select(&rows, 0)?, data.target.index_select(&rows, 0)?)))
}

/// Retrieval figures of a map on pairs, of which row i of one side belongs to row i of the other.
///
/// # Errors
/// Rows of other dimensions than those trained on.
pub fn evaluate(map: &PreparedMap, source: &Tensor, target: &Tensor, csls_neighbours: usize) -> Result<Metrics, Error> {
    evaluate_until(map, (source, target), csls_neighbours, &|| false)
}

/// The same; an error of the kind [`ErrorKind::Interrupted`] once it is asked to stop.
fn evaluate_until(
    map: &PreparedMap,
    (source, target): (&Tensor, &Tensor),
    csls_neighbours: usize,
    should_stop: &dyn Fn() -> bool,
) -> Result<Metrics, Error> {
    let (x, y) = map.joint(source, target)?;
    let retrieval = eval::retrieval_until(&x, &y, RetrievalParams { csls_neighbours }, should_stop)?;
    let retrieval = retrieval.ok_or(AlignError::Interrupted)?;
    let mut metrics: Metrics = retrieval.figures().into_iter().collect();
    let mapped = map.map.forward.apply(&map.source.apply(source)?)?;
    let cosine = eval::partner_cosine(&mapped, &map.map.targets(&map.target.apply(target)?)?)?;
    metrics.add(Metric::higher("partner_cosine", cosine));
    Ok(metrics)
}

/// What a map does to the distribution of the sources, on at most `MONGE_ITEMS` items of each side, the first ones; in a
/// shared space, where the way from a source to its image has a length, with the Monge gap.
///
/// # Errors
/// Rows of other dimensions than those trained on.
pub fn monge(map: &PreparedMap, source: &Tensor, target: &Tensor, shared_space: bool) -> Result<Metrics, Error> {
    let first = |side: &Tensor| -> candle_core::Result<Tensor> { side.narrow(0, 0, side.dim(0)?.min(MONGE_ITEMS)) };
    let (x, y) = (map.source.apply(&first(source)?)?, map.map.targets(&map.target.apply(&first(target)?)?)?);
    let mapped = map.map.forward.apply(&x)?;
    let back = map.map.backward.as_ref().map(|back| back.apply(&unit_rows(&mapped)?)).transpose()?;
    let figures = eval::monge_figures(&mapped, &y, back.as_ref().map(|back| (&x, back)))?;
    let mut metrics: Metrics = figures.figures().into_iter().collect();
    if shared_space {
        metrics.add(Metric::lower("monge_gap", eval::monge_gap(&x, &unit_rows(&mapped)?, 0)?));
    }
    Ok(metrics)
}

/// The recipe of a run folder.
///
/// # Errors
/// A folder without a run, or with another file of that name.
pub fn recipe_of_run(folder: &Path) -> Result<Recipe, Error> {
    let path = folder.join("config.toml");
    let mut table: toml::Table = read_toml(&path)?;
    table.remove("variants");
    Ok(toml::Value::Table(table).try_into().map_err(|source| himacl_data::Error::Config { path, source })?)
}

/// The pairs that the finished run in `folder` ended with, by a recipe and the data that it ran on.
///
/// # Errors
/// A folder without a finished run, a damaged file, rows that are not the data's.
pub fn pairs_of_run(recipe: &Recipe, data: &Dataset, folder: &Path) -> Result<RunPairs, Error> {
    let split = split_of(recipe, data)?;
    let path = folder.join(FINAL_COUPLING);
    let tensors = decode(&fs::read(&path).map_err(Error::io("read", &path))?)?;
    let column = |name: &str| match tensors.get(name) {
        Some(tensor) => Ok(tensor),
        None => Err(candle_core::Error::Msg(format!("`{}` has no `{name}`", path.display()))),
    };
    let (source, target) = (column("source_row")?.to_vec1::<u32>()?, column("target_row")?.to_vec1::<u32>()?);
    let found = column("confidence")?.to_vec1::<f32>()?;
    let positions = |rows: &[u32]| -> BTreeMap<u32, u32> { rows.iter().copied().zip(0..).collect() };
    let (x_of, y_of) = (positions(&split.source), positions(&split.target));
    let (mut y_of_x, mut confidence) = (vec![UNMATCHED; split.source.len()], vec![0.0; split.source.len()]);
    for ((source, target), found) in source.iter().zip(&target).zip(found) {
        let (Some(&x), Some(&y)) = (x_of.get(source), y_of.get(target)) else {
            let what =
                format!("`{}` pairs rows {source} and {target}, which the run's data do not have", path.display());
            return Err(candle_core::Error::Msg(what).into());
        };
        (y_of_x[x as usize], confidence[x as usize]) = (y, found);
    }
    for &(x, y) in &split.anchors {
        (y_of_x[x as usize], confidence[x as usize]) = (y, f32::INFINITY);
    }
    let paired = || y_of_x.iter().enumerate().filter(|&(_, &y)| y != UNMATCHED);
    match Permutation::new(y_of_x.clone(), split.target.len()) {
        Ok(permutation) => Ok(RunPairs { source: split.source, target: split.target, permutation, confidence }),
        Err(hiref_core::Error::WrongPairCount { found, .. }) => Ok(RunPairs {
            source: paired().map(|(x, _)| split.source[x]).collect(),
            target: paired().map(|(_, &y)| split.target[y as usize]).collect(),
            permutation: Permutation::identity(found),
            confidence: paired().map(|(x, _)| confidence[x]).collect(),
        }),
        Err(other) => Err(other.into()),
    }
}

/// Ridge maps both ways on all true pairs, row i of `source` with row i of `target`, in the widest space that the
/// alignment may use.
fn ceiling(recipe: &Recipe, source: &Tensor, target: &Tensor) -> Result<PreparedMap, Error> {
    let refinement = recipe.alignment.candidates.first().map(|first| first.refinement.clone()).unwrap_or_default();
    let prepare = |side: &Tensor, name: &'static str| -> Result<Preparation, Error> {
        let axes = PrincipalAxes::fit(side, refinement.last_dimension, recipe.train.seed, name)?;
        Ok(Preparation::whitening(&axes, refinement.last_dimension, refinement.whitening)?)
    };
    let (source_side, target_side) = (prepare(source, "source")?, prepare(target, "target")?);
    let (x, y) = (source_side.apply(source)?, target_side.apply(target)?);
    let ridge = |x, y| LinearMap::ridge(x, y, None, CEILING_PENALTY).map(Map::Linear);
    let map = TwoWayMap::new(ridge(&x, &y)?, Some(ridge(&y, &x)?));
    Ok(PreparedMap { source: source_side, target: target_side, map })
}

fn split_of(recipe: &Recipe, data: &Dataset) -> Result<Split, Error> {
    let section = &recipe.data;
    let (source_rows, target_rows) = (data.source.dims()[0], data.target.dims()[0]);
    if !section.hide_pairs {
        return Ok(Split::of_all(source_rows, target_rows, data.anchors.clone()));
    }
    if source_rows != target_rows {
        return Err(Error::NotPaired {
            source_path: section.source.clone(),
            source_rows,
            target_path: section.target.clone(),
            target_rows,
            why: "data.hide_pairs = true takes row i of both as a pair",
        });
    }
    let share = section.held_out * if section.held_out < 1.0 { source_rows as f64 } else { 1.0 };
    let held_out = share.round() as usize;
    let anchors = match section.anchors {
        Anchors::Count(count) => count,
        Anchors::File(_) => 0,
    };
    for (key, asked, available, of) in [
        ("data.held_out", held_out, source_rows, "rows"),
        ("data.anchors", anchors, source_rows.saturating_sub(held_out), "rows beside the held-out ones"),
    ] {
        if asked > available {
            return Err(Error::TooFewItems { key, asked, available, of });
        }
    }
    Ok(Split::hiding_pairs(source_rows, held_out, anchors, recipe.train.seed))
}

/// What speaks for a pairing that was found without known pairs; nothing in other regimes.
fn self_agreement(folder: &Path) -> Result<Metrics, Error> {
    let path = folder.join(ALIGNMENT_REPORT);
    let report: AlignmentReport = read_json(&path)?;
    let Some(unpaired) = report.unpaired else { return Ok(Metrics::new()) };
    Ok(Metrics::from_iter([
        Metric::higher("start_agreement", unpaired.agreement.cosine),
        Metric::higher("start_same_partners", unpaired.agreement.same_partners),
        Metric::lower("shares_too_little", f64::from(u8::from(unpaired.shares_too_little))),
        Metric::higher("pairing_predicted", unpaired.predicted),
        Metric::higher("pairing_is_trusted", f64::from(u8::from(unpaired.verdict == Verdict::Pairing))),
        Metric::higher("matched_cosine", unpaired.matched_cosine),
    ]))
}

/// Shares of the free source items whose partner is found: by the nearest neighbour, mutually, by the bijection.
fn pairing(
    map: &PreparedMap,
    (source, target): (&Tensor, &Tensor),
    free: &(Vec<u32>, Vec<u32>),
    split: &Split,
    coupling: Option<&Coupling>,
) -> Result<Metrics, Error> {
    let Some(truth) = split.truth.as_ref().filter(|_| !free.0.is_empty()) else { return Ok(Metrics::new()) };
    let mut position = vec![0; target.dims()[0]];
    for (at, &row) in free.1.iter().enumerate() {
        position[row as usize] = at as u32;
    }
    // The partner of an anchor is its anchor, so the partners of free items are free.
    let partners: Vec<u32> = free.0.iter().map(|&row| position[truth[row as usize] as usize]).collect();
    let (x, y) = map.joint(&select(source, &free.0)?, &select(target, &free.1)?)?;
    let accuracy = eval::pairing_accuracy(&x, &y, &partners, coupling.map(|coupling| &coupling.permutation))?;
    Ok(accuracy.figures().into_iter().collect())
}

/// Writes the coupling by rows of the input files.
///
/// Where it is known how likely each pair is right, that is written too, and less likely ones than asked for are left out.
fn write_coupling(
    path: &Path,
    split: &Split,
    free: &(Vec<u32>, Vec<u32>),
    (coupling, probability): (&Coupling, Option<(&[f32], f64)>),
) -> Result<(), Error> {
    let is_likely = |x: usize| probability.is_none_or(|(of_x, least)| f64::from(of_x[x]) >= least);
    let pairs: Vec<(usize, usize)> = coupling.permutation.pairs().filter(|&(x, _)| is_likely(x)).collect();
    let column = |values: Vec<u32>| Tensor::new(values, &Device::Cpu);
    let source = pairs.iter().map(|&(x, _)| split.source[free.0[x] as usize]).collect();
    let target = pairs.iter().map(|&(_, y)| split.target[free.1[y] as usize]).collect();
    let confidence: Vec<f32> = pairs.iter().map(|&(x, _)| coupling.confidence[x]).collect();
    let mut tensors = Tensors::from([
        ("source_row".to_owned(), column(source)?),
        ("target_row".to_owned(), column(target)?),
        ("confidence".to_owned(), Tensor::new(confidence, &Device::Cpu)?),
    ]);
    if let Some((of_x, _)) = probability {
        let probability: Vec<f32> = pairs.iter().map(|&(x, _)| of_x[x]).collect();
        tensors.insert("probability".to_owned(), Tensor::new(probability, &Device::Cpu)?);
    }
    let bytes = encode(&tensors)?;
    Ok(write_atomic(path, |file| file.write_all(&bytes))?)
}
