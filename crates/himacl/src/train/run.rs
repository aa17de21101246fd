//! One problem with one seed, from embeddings to a finished run folder.

use super::checkpoint::{decode, encode};
use super::dataset::Dataset;
use super::model::Model;
use super::pairs::Coupling;
use super::recipe::{AlignmentMode, Anchors, MapKind, ObjectiveKind, Recipe};
use super::split::Split;
use super::stand_in::{self, Alignment, Space};
use super::state::Task;
use super::{Metrics, Trained, Watch, couple, train};
use crate::error::Error;
use crate::files::write_atomic;
use crate::map::{Map, ResidualMlp, Tensors, TwoWayMap};
use crate::objective::{Objective, Regression};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

/// Prefix of the figures of the map fitted on the anchors alone.
pub const ANCHORS_ONLY: &str = "anchors_only";
/// Prefix of the figures of the map fitted on all true pairs.
pub const ALL_PAIRS: &str = "all_pairs";

/// What a run found.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Figures by name, such as `image_to_text_R@10` and `anchors_only.foscttm`.
    pub metrics: Metrics,
    /// Wall time of each phase: align, train, evaluate.
    pub seconds: Vec<(&'static str, f64)>,
    /// Source items trained on, target items, known pairs, held-out items.
    pub counts: BTreeMap<String, usize>,
}

/// Aligns, trains and evaluates, in `folder`, which exists; goes on where an earlier call was interrupted.
///
/// `None`: the watch asked to stop, and a later call goes on.
///
/// # Errors
/// A recipe that does not fit the data; whatever alignment and training refuse; files that cannot be written.
pub fn run(recipe: &Recipe, data: &Dataset, folder: &Path, watch: &dyn Watch) -> Result<Option<Outcome>, Error> {
    let split = split_of(recipe, data)?;
    let device = data.source.device().clone();
    let rows = |tensor: &Tensor, rows: &[u32]| tensor.index_select(&Tensor::new(rows, &device)?, 0);
    let (source, target) = (rows(&data.source, &split.source)?, rows(&data.target, &split.target)?);
    let mut seconds = Vec::new();

    let started = Instant::now();
    let Some(alignment) = alignment_of(recipe, &source, &target, &split, folder, watch)? else { return Ok(None) };
    seconds.push(("align", started.elapsed().as_secs_f64()));

    let (x, y) = (alignment.source.apply(&source)?, alignment.target.apply(&target)?);
    let held_out = match held_out(recipe, data)? {
        Some((source, target)) => Some((alignment.source.apply(&source)?, alignment.target.apply(&target)?)),
        None => None,
    };
    let evaluate = |map: &TwoWayMap| match &held_out {
        None => Ok(Metrics::new()),
        Some((x, y)) => retrieval(map, x, y, recipe.eval.csls_neighbours),
    };

    let started = Instant::now();
    let ResidualStart(map) = ResidualStart::new(recipe, &alignment.map)?;
    let ObjectiveKind::Regression = recipe.objective.kind;
    let task = Task {
        recipe,
        x: &x,
        y: &y,
        anchors: &split.anchors,
        free: split.free(),
        objective: Objective::Regression(Regression { cosine_share: recipe.objective.cosine_share }),
        map: &map,
        coupling: &alignment.coupling,
    };
    let Trained::Finished(map, _) = train(&task, folder, &evaluate, watch)? else { return Ok(None) };
    let last = task.couple(&map, Some(&alignment.coupling.permutation), watch)?;
    if last.interrupted {
        return Ok(None);
    }
    seconds.push(("train", started.elapsed().as_secs_f64()));

    let started = Instant::now();
    let mut metrics = evaluate(&map)?;
    metrics.insert("coupling_cost".to_owned(), last.mean_cost);
    metrics.extend(pairing_accuracy(&task, &map, &last.coupling, &split)?);
    let mut others = Vec::new();
    others.extend(alignment.anchors_only.map(|map| (ANCHORS_ONLY, map)));
    if let Some(truth) = split.truth.as_ref().filter(|_| recipe.eval.ceiling) {
        let pairs: Vec<(u32, u32)> = (0..).zip(truth.iter().copied()).collect();
        others.push((ALL_PAIRS, stand_in::two_way_ridge(&x, &y, &pairs, 0.1)?));
    }
    for (prefix, map) in &others {
        let mut figures = evaluate(map)?;
        if *prefix == ANCHORS_ONLY {
            let coupled = task.couple(map, None, watch)?;
            figures.extend(pairing_accuracy(&task, map, &coupled.coupling, &split)?);
        }
        metrics.extend(figures.into_iter().map(|(name, value)| (format!("{prefix}.{name}"), value)));
    }
    seconds.push(("evaluate", started.elapsed().as_secs_f64()));

    let couplings = folder.join("couplings");
    fs::create_dir_all(&couplings).map_err(Error::io("make folder", &couplings))?;
    write_coupling(&couplings.join("final.safetensors"), &split, &task.free, &last.coupling)?;
    Model { source: alignment.source, target: alignment.target, map }.save(folder)?;
    let counts = [
        ("source_items", split.source.len()),
        ("target_items", split.target.len()),
        ("anchors", split.anchors.len()),
        ("held_out", held_out.map_or(0, |(x, _)| x.dims()[0])),
    ];
    let counts = counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    Ok(Some(Outcome { metrics, seconds, counts }))
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

/// Retrieval figures of a model on pairs, of which row i of one side belongs to row i of the other.
///
/// # Errors
/// Rows of other dimensions than those trained on.
pub fn evaluate(model: &Model, source: &Tensor, target: &Tensor, csls_neighbours: usize) -> Result<Metrics, Error> {
    retrieval(&model.map, &model.source.apply(source)?, &model.target.apply(target)?, csls_neighbours)
}

/// The recipe of a run folder.
///
/// # Errors
/// A folder without a run, or with another file of that name.
pub fn recipe_of_run(folder: &Path) -> Result<Recipe, Error> {
    let path = folder.join("config.toml");
    let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let mut table: toml::Table = toml::from_str(&text).map_err(|source| Error::Config { path: path.clone(), source })?;
    table.remove("variants");
    toml::Value::Table(table).try_into().map_err(|source| Error::Config { path, source })
}

/// The map that training starts from: the closed form, inside a residual network where the recipe wants one.
struct ResidualStart(TwoWayMap);

impl ResidualStart {
    fn new(recipe: &Recipe, aligned: &TwoWayMap) -> Result<Self, Error> {
        let section = &recipe.map;
        let grow = |map: &Map, stream: u64| -> Result<Map, Error> {
            match (section.kind, map) {
                (MapKind::ResidualMlp, Map::Linear(linear)) => {
                    let seed = recipe.train.seed.wrapping_mul(2).wrapping_add(stream);
                    Ok(Map::ResidualMlp(ResidualMlp::around(linear.clone(), section.layers, section.width, seed)?))
                }
                _ => Ok(map.clone()),
            }
        };
        let forward = grow(&aligned.forward, 0)?;
        let backward = aligned.backward.as_ref().filter(|_| section.inverse).map(|map| grow(map, 1)).transpose()?;
        Ok(Self(TwoWayMap { forward, backward }))
    }
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

/// Aligns, or takes up the alignment that an interrupted run left in `folder`.
fn alignment_of(
    recipe: &Recipe,
    source: &Tensor,
    target: &Tensor,
    split: &Split,
    folder: &Path,
    watch: &dyn Watch,
) -> Result<Option<Alignment>, Error> {
    if recipe.alignment.mode == AlignmentMode::Anchors && split.anchors.is_empty() {
        return Err(Error::NoAnchors);
    }
    let path = folder.join("alignment.safetensors");
    if let Ok(bytes) = fs::read(&path)
        && let Ok(alignment) = decode(&bytes).and_then(|tensors| alignment_from(&tensors, source.device()))
    {
        return Ok(Some(alignment));
    }
    let free = split.free();
    let couple_free = |map: &TwoWayMap, x: &Tensor, y: &Tensor| {
        let rows = |tensor: &Tensor, rows: &[u32]| tensor.index_select(&Tensor::new(rows, tensor.device())?, 0);
        let pair = (&rows(x, &free.0)?, &rows(y, &free.1)?);
        Ok(couple(map, pair, &recipe.coupling, recipe.train.seed, None, watch)?.coupling)
    };
    let alignment = stand_in::align(source, target, &split.anchors, &couple_free, watch)?;
    if watch.should_stop() {
        return Ok(None);
    }
    let bytes = encode(&alignment_tensors(&alignment)?)?;
    write_atomic(&path, |file| file.write_all(&bytes))?;
    Ok(Some(alignment))
}

fn alignment_tensors(alignment: &Alignment) -> candle_core::Result<Tensors> {
    let parts = [
        ("source", alignment.source.tensors()),
        ("target", alignment.target.tensors()),
        ("map", alignment.map.tensors()),
        ("anchors_only", alignment.anchors_only.as_ref().map_or_else(Tensors::new, TwoWayMap::tensors)),
        ("coupling", alignment.coupling.tensors()?),
    ];
    Ok(parts
        .into_iter()
        .flat_map(|(part, tensors)| tensors.into_iter().map(move |(name, tensor)| (format!("{part}.{name}"), tensor)))
        .collect())
}

fn alignment_from(tensors: &Tensors, device: &Device) -> candle_core::Result<Alignment> {
    let part = |prefix: &str| -> candle_core::Result<Tensors> {
        let named = tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor)));
        named.map(|(name, tensor)| Ok((name, tensor.to_device(device)?))).collect()
    };
    let anchors_only = part("anchors_only.")?;
    Ok(Alignment {
        source: Space::from_tensors(&part("source.")?)?,
        target: Space::from_tensors(&part("target.")?)?,
        map: TwoWayMap::from_tensors(&part("map.")?)?,
        anchors_only: if anchors_only.is_empty() { None } else { Some(TwoWayMap::from_tensors(&anchors_only)?) },
        coupling: Coupling::from_tensors(&part("coupling.")?)?,
    })
}

/// Retrieval figures of prepared rows, of which row i of `x` belongs to row i of `y`.
pub(crate) fn retrieval(map: &TwoWayMap, x: &Tensor, y: &Tensor, csls_neighbours: usize) -> Result<Metrics, Error> {
    let (x_joint, y_joint) = map.joint(x, y)?;
    let mut metrics = stand_in::retrieval(&x_joint, &y_joint, csls_neighbours)?;
    let mapped = crate::map::unit_rows(&map.forward.apply(x)?)?;
    let cosine = (mapped * crate::map::unit_rows(y)?)?.sum(1)?.mean(0)?.to_scalar::<f32>()?;
    metrics.insert("partner_cosine".to_owned(), f64::from(cosine));
    Ok(metrics)
}

/// Shares of the free source items whose partner is found by the bijection, and by their nearest neighbour.
fn pairing_accuracy(task: &Task<'_>, map: &TwoWayMap, coupling: &Coupling, split: &Split) -> Result<Metrics, Error> {
    let Some(truth) = &split.truth else { return Ok(Metrics::new()) };
    let (free_x, free_y) = &task.free;
    if free_x.is_empty() {
        return Ok(Metrics::new());
    }
    let select = |tensor: &Tensor, rows: &[u32]| tensor.index_select(&Tensor::new(rows, tensor.device())?, 0);
    let (x, y) = map.joint(&select(task.x, free_x)?, &select(task.y, free_y)?)?;
    let nearest = stand_in::nearest(&x, &y)?;
    let accuracy = |partner: &dyn Fn(usize) -> Option<u32>| {
        let correct = |&at: &usize| partner(at).is_some_and(|y| free_y[y as usize] == truth[free_x[at] as usize]);
        (0..free_x.len()).filter(correct).count() as f64 / free_x.len() as f64
    };
    let bijection = coupling.permutation.y_of_x();
    Ok(Metrics::from([
        ("pairing_accuracy_bijection".to_owned(), accuracy(&|at| Some(bijection[at]).filter(|&y| y != hiref_core::UNMATCHED))),
        ("pairing_accuracy_nearest".to_owned(), accuracy(&|at| Some(nearest[at]))),
    ]))
}

/// Writes the coupling by rows of the input files.
fn write_coupling(path: &Path, split: &Split, free: &(Vec<u32>, Vec<u32>), coupling: &Coupling) -> Result<(), Error> {
    let pairs: Vec<(usize, usize)> = coupling.permutation.pairs().collect();
    let column = |values: Vec<u32>| Tensor::new(values, &Device::Cpu);
    let source = pairs.iter().map(|&(x, _)| split.source[free.0[x] as usize]).collect();
    let target = pairs.iter().map(|&(_, y)| split.target[free.1[y] as usize]).collect();
    let confidence: Vec<f32> = pairs.iter().map(|&(x, _)| coupling.confidence[x]).collect();
    let tensors = Tensors::from([
        ("source_row".to_owned(), column(source)?),
        ("target_row".to_owned(), column(target)?),
        ("confidence".to_owned(), Tensor::new(confidence, &Device::Cpu)?),
    ]);
    let bytes = encode(&tensors)?;
    write_atomic(path, |file| file.write_all(&bytes))
}
