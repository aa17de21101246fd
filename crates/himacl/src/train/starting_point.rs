//! What training starts from: the alignment, computed or taken up.

use super::Watch;
use super::coupling::Coupling;
use super::model::Model;
use super::recipe::{AlignmentMode, MapKind, Recipe};
use super::split::Split;
use crate::align::{AlignError, AlignmentReport, Preparation, PreparedMap};
use crate::error::Error;
use crate::map::{
    AlignedConvexGradient, LinearMap, Map, Mlp, ResidualMlp, ResidualTransformer, Tensors, TwoWayMap, decode, encode,
};
use candle_core::{DType, Tensor, bail};
use himacl_data::files::{write_atomic, write_text};
use himacl_data::{seal, sealed_facts};
use std::fs;
use std::path::Path;

/// How the alignment came about.
pub(super) const ALIGNMENT_REPORT: &str = "alignment.json";
/// The alignment, for a run that goes on; it has the report too.
pub(super) const ALIGNMENT_STATE: &str = "alignment.safetensors";
/// Under this name.
const REPORT: &str = "report";

/// What training starts from.
pub(super) struct StartingPoint {
    pub(super) source: Preparation,
    pub(super) target: Preparation,
    pub(super) map: TwoWayMap,
    pub(super) anchors_only: Option<PreparedMap>,
    pub(super) coupling: Coupling,
}

/// Aligns, or takes up the alignment that an interrupted run left in `folder`.
pub(super) fn alignment_of(
    recipe: &Recipe,
    source: &Tensor,
    target: &Tensor,
    split: &Split,
    folder: &Path,
    watch: &dyn Watch,
) -> Result<Option<StartingPoint>, Error> {
    if recipe.alignment.mode == AlignmentMode::Anchors && split.anchors.is_empty() {
        return Err(Error::NoAnchors);
    }
    let path = folder.join(ALIGNMENT_STATE);
    if let Ok(bytes) = fs::read(&path) {
        // Anything but what was written is computed anew, to the same bits.
        let report = sealed_facts(&bytes).and_then(|mut facts| facts.remove(REPORT));
        let read = || StartingPoint::from_tensors(&decode(&bytes)?, [source, target], split);
        match report.map(|report| Ok::<_, candle_core::Error>((report, read()?))) {
            Some(Ok((report, start))) => {
                write_text(&folder.join(ALIGNMENT_REPORT), &report)?;
                return Ok(Some(start));
            }
            Some(Err(reason)) => {
                watch.note(&format!("`{}`: {reason}: the alignment is computed anew", path.display()));
            }
            None => watch.note(&format!("`{}` is damaged: the alignment is computed anew", path.display())),
        }
    }
    let aligner = recipe.align_params().check()?;
    let aligned = match recipe.alignment.mode {
        AlignmentMode::SharedSpace => aligner.shared_space(source, target, watch),
        AlignmentMode::Anchors => aligner.anchors(source, target, &split.anchors, watch),
        AlignmentMode::Unpaired => aligner.unpaired(source, target, &split.anchors, watch),
    };
    let aligned = match aligned {
        Err(AlignError::Interrupted) => return Ok(None),
        aligned => aligned?,
    };
    // An interrupted solver may have ended a coupling early: such an alignment is not kept.
    if watch.should_stop() {
        return Ok(None);
    }
    let report = describe(&aligned.report);
    write_text(&folder.join(ALIGNMENT_REPORT), &report)?;
    if let Some(warning) = aligned.report.warning() {
        watch.warn(&warning);
    }
    let (num_x, num_y) = (split.free().0.len(), split.free().1.len());
    let coupling = match aligned.coupling {
        Some(permutation) => Coupling { permutation, confidence: aligned.confidence, soft: None },
        None => Coupling::none(num_x, num_y),
    };
    let start = StartingPoint {
        source: aligned.source,
        target: aligned.target,
        map: aligned.map,
        anchors_only: aligned.anchors_only,
        coupling,
    };
    let bytes = seal(&encode(&start.tensors()?)?, &[(REPORT, &report)]).map_err(candle_core::Error::wrap)?;
    write_atomic(&path, |file| file.write_all(&bytes))?;
    Ok(Some(start))
}

/// The map that training starts from: the closed form, inside a residual network or before a convex gradient where the
/// recipe wants one; or a plain network between the same spaces. A learnt cost starts with the targets where they are.
pub(super) fn starting_map(recipe: &Recipe, aligned: &TwoWayMap) -> Result<TwoWayMap, Error> {
    let section = &recipe.map;
    let grow = |map: &Map, direction: u64| -> Result<Map, Error> {
        let Map::Linear(linear) = map else { return Ok(map.clone()) };
        let seed = recipe.train.seed.wrapping_mul(2).wrapping_add(direction);
        let (layers, width) = (section.layers, section.width);
        Ok(match section.kind {
            MapKind::Linear => map.clone(),
            MapKind::ResidualMlp => Map::ResidualMlp(ResidualMlp::around(linear.clone(), layers, width, seed)?),
            MapKind::Mlp => {
                let (sizes, device) = (linear.weight.dims2()?, linear.weight.device());
                Map::Mlp(Mlp::new(sizes, layers, width, seed, device)?)
            }
            MapKind::ResidualTransformer => {
                let tokens = section.tokens;
                let map = ResidualTransformer::around(linear.clone(), layers, width, tokens, seed)?;
                Map::ResidualTransformer(Box::new(map))
            }
            MapKind::ConvexGradient => {
                let map = AlignedConvexGradient::around(linear.clone(), width, seed)?;
                Map::AlignedConvexGradient(Box::new(map))
            }
        })
    };
    let backward = aligned.backward.as_ref().filter(|_| section.inverse).map(|map| grow(map, 1)).transpose()?;
    let forward = grow(&aligned.forward, 0)?;
    let Map::Linear(LinearMap { bias, .. }) = &aligned.forward else { return Ok(TwoWayMap::new(forward, backward)) };
    let own = || LinearMap::identity(bias.elem_count(), bias.device()).map(Map::Linear);
    let partner = section.learned_cost.then(|| grow(&own()?, 1).map(Box::new)).transpose()?;
    Ok(TwoWayMap { partner, ..TwoWayMap::new(forward, backward) })
}

/// The aligned map, with the way back only where the recipe wants one.
pub(super) fn one_way_or_both(recipe: &Recipe, aligned: &TwoWayMap) -> TwoWayMap {
    TwoWayMap::new(aligned.forward.clone(), aligned.backward.clone().filter(|_| recipe.map.inverse))
}

impl StartingPoint {
    /// A map between the prepared spaces, with the preparations of the alignment.
    pub(super) fn prepared(&self, map: &TwoWayMap) -> PreparedMap {
        PreparedMap { source: self.source.clone(), target: self.target.clone(), map: map.clone() }
    }

    fn tensors(&self) -> candle_core::Result<Tensors> {
        let mut parts = vec![
            ("source", self.source.tensors()),
            ("target", self.target.tensors()),
            ("map", self.map.tensors()),
            ("coupling", self.coupling.tensors()?),
        ];
        if let Some(map) = &self.anchors_only {
            parts.push(("anchors_only", Model(map.clone()).tensors()));
        }
        Ok(parts
            .into_iter()
            .flat_map(|(part, tensors)| {
                tensors.into_iter().map(move |(name, tensor)| (format!("{part}.{name}"), tensor))
            })
            .collect())
    }

    /// The inverse of [`StartingPoint::tensors`], for the same items.
    fn from_tensors(tensors: &Tensors, [x, y]: [&Tensor; 2], split: &Split) -> candle_core::Result<Self> {
        let part = |prefix: &str| -> candle_core::Result<Tensors> {
            let named =
                tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor)));
            named.map(|(name, tensor)| Ok((name, finite(tensor)?.to_device(x.device())?))).collect()
        };
        let anchors_only = part("anchors_only.")?;
        let anchors_only = if anchors_only.is_empty() { None } else { Some(Model::from_tensors(&anchors_only)?.0) };
        let start = Self {
            source: Preparation::from_tensors(&part("source.")?)?,
            target: Preparation::from_tensors(&part("target.")?)?,
            map: TwoWayMap::from_tensors(&part("map.")?)?,
            anchors_only,
            coupling: Coupling::from_tensors(&part("coupling.")?)?,
        };
        let (free_x, free_y) = split.free();
        start.coupling.check_sizes(free_x.len(), free_y.len())?;
        // Shapes that do not follow one another show on one row.
        let (x, y) = (x.narrow(0, 0, 1)?, y.narrow(0, 0, 1)?);
        let mut maps = vec![start.prepared(&start.map)];
        maps.extend(start.anchors_only.clone());
        for PreparedMap { source, target, map } in &maps {
            let (x, y) = (source.apply(&x)?, target.apply(&y)?);
            let back = map.backward.as_ref().map(|map| Ok::<_, candle_core::Error>((map.apply(&y)?, x.clone())));
            let ahead = Ok((map.forward.apply(&x)?, map.targets(&y)?));
            for sides in [Some(ahead), back].into_iter().flatten() {
                let (mapped, compared) = sides?;
                if mapped.dims() != compared.dims() {
                    bail!("a map to {:?} coordinates of {:?}", mapped.dims(), compared.dims());
                }
            }
        }
        Ok(start)
    }
}

/// The tensor, if it holds no NaN and nothing infinite.
fn finite(tensor: &Tensor) -> candle_core::Result<&Tensor> {
    let sum = || tensor.to_dtype(DType::F64)?.abs()?.sum_all()?.to_scalar::<f64>();
    if tensor.dtype().is_float() && !sum()?.is_finite() {
        bail!("a tensor of shape {:?} is not finite", tensor.dims());
    }
    Ok(tensor)
}

fn describe(report: &AlignmentReport) -> String {
    serde_json::to_string_pretty(report).expect("plain data serialises") + "\n"
}
