//! Retrieval on held-out pairs against the number of known pairs.

use crate::development::mean_and_deviation;
use anyhow::{Context, ensure};
use candle_core::{Device, Tensor};
use clap::Args;
use himacl::align::{Preparation, PreparedMap, PrincipalAxes, mean_log_rank_of_hidden};
use himacl::eval::{RetrievalMetrics, RetrievalParams, retrieval};
use himacl::map::{CanonicalMap, LinearMap, Map, TwoWayMap};
use himacl::train::{Dataset, Recipe, RecipeFile, Split};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

/// Principal dimensions of the maps on the known pairs alone.
const DIMENSIONS: [usize; 4] = [32, 128, 256, 384];
/// Their penalties.
const PENALTIES: [f64; 4] = [0.01, 0.1, 1.0, 10.0];
/// Folds of the known pairs by which their settings are chosen, as many as the loop's.
const FOLDS: usize = 4;
/// Neighbours of the scaled score by which their settings are chosen, as in the evaluation.
const NEIGHBOURS: usize = 10;

/// Arguments of `few-anchors`.
#[derive(Debug, Args)]
pub(crate) struct FewAnchorsArgs {
    /// The recipe whose problems are used.
    #[arg(long, value_name = "FILE", default_value = "models/recipes/quickstart.toml")]
    recipe: PathBuf,
    /// Only problems whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Numbers of known pairs.
    #[arg(long, value_delimiter = ',', default_values_t = [20, 50, 100, 200, 400])]
    anchors: Vec<usize>,
    /// Splits.
    #[arg(long, default_value_t = 3)]
    splits: u64,
    /// Seed of the first of them.
    #[arg(long, default_value_t = 201)]
    first_seed: u64,
    /// Also start without the known pairs and let them join.
    #[arg(long)]
    unpaired: bool,
    /// Also write a JSON line for each split and map, which `plot few-anchors` draws.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// One map on one split.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FewAnchorsLine {
    /// The problem of the recipe.
    pub(crate) problem: String,
    /// Known pairs.
    pub(crate) anchors: usize,
    seed: u64,
    /// Its name.
    pub(crate) map: String,
    /// What cross-validation over the known pairs chose.
    chosen: String,
    /// On pairs held out.
    pub(crate) metrics: RetrievalMetrics,
}

/// A column: its head, its figure, its decimals.
type Column = (&'static str, fn(&RetrievalMetrics) -> f64, usize);

const COLUMNS: [Column; 6] = [
    ("R@1 →", |m| m.source_to_target.at_1, 3),
    ("R@10 →", |m| m.source_to_target.at_10, 3),
    ("R@1 ←", |m| m.target_to_source.at_1, 3),
    ("R@10 ←", |m| m.target_to_source.at_10, 3),
    ("median rank", |m| 0.5 * (m.source_to_target.median_rank + m.target_to_source.median_rank), 1),
    ("FOSCTTM", |m| m.foscttm, 4),
];

/// One split: what is trained on, what is known, what is held out.
struct Case {
    source: Tensor,
    target: Tensor,
    anchors: Vec<(u32, u32)>,
    held_out: (Tensor, Tensor),
}

impl Case {
    fn new(recipe: &Recipe, data: &Dataset, anchors: usize, seed: u64) -> anyhow::Result<Self> {
        let rows = data.source.dim(0)?;
        ensure!(recipe.data.hide_pairs && rows == data.target.dim(0)?, "the recipe must hide the pairs of equal sides");
        let share = if recipe.data.held_out < 1.0 { rows as f64 } else { 1.0 };
        let split = Split::hiding_pairs(rows, (recipe.data.held_out * share).round() as usize, anchors, seed);
        let select = |side: &Tensor, rows: &[u32]| side.index_select(&Tensor::new(rows, side.device())?, 0);
        Ok(Self {
            source: select(&data.source, &split.source)?,
            target: select(&data.target, &split.target)?,
            anchors: split.anchors,
            held_out: (select(&data.source, &split.held_out)?, select(&data.target, &split.held_out)?),
        })
    }

    fn evaluate(&self, map: &PreparedMap) -> anyhow::Result<RetrievalMetrics> {
        let (x, y) = map.joint(&self.held_out.0, &self.held_out.1)?;
        Ok(retrieval(&x, &y, RetrievalParams { csls_neighbours: NEIGHBOURS })?)
    }

    /// A closed form on the known pairs alone, its dimension and penalty chosen by hiding each fold of them.
    fn closed_form(&self, form: Form, axes: &(PrincipalAxes, PrincipalAxes)) -> anyhow::Result<(PreparedMap, String)> {
        let fit = |pairs: &[(u32, u32)], dimension: usize, penalty: f64| -> anyhow::Result<PreparedMap> {
            let source = Preparation::whitening(&axes.0, dimension, 0.0)?;
            let target = Preparation::whitening(&axes.1, dimension, 0.0)?;
            let rows = |side: &Tensor, chosen: Vec<u32>| side.index_select(&Tensor::new(chosen, side.device())?, 0);
            let x = source.apply(&rows(&self.source, pairs.iter().map(|pair| pair.0).collect())?)?;
            let y = target.apply(&rows(&self.target, pairs.iter().map(|pair| pair.1).collect())?)?;
            Ok(PreparedMap { source, target, map: form.fit(&x, &y, penalty)? })
        };
        let part = |fold: usize, hidden: bool| -> Vec<(u32, u32)> {
            let pairs = self.anchors.iter().enumerate().filter(|(at, _)| (at % FOLDS == fold) == hidden);
            pairs.map(|(_, &pair)| pair).collect()
        };
        let mut best = (f64::INFINITY, 0, 0.0);
        for dimension in DIMENSIONS {
            for &penalty in form.penalties() {
                let mut score = 0.0;
                for fold in 0..FOLDS {
                    let (known, hidden) = (part(fold, false), part(fold, true));
                    let map = fit(&known, dimension, penalty)?;
                    let sides = (&self.source, &self.target);
                    score += mean_log_rank_of_hidden(&map, sides, &known, &hidden, NEIGHBOURS)?;
                }
                if score < best.0 {
                    best = (score, dimension, penalty);
                }
            }
        }
        Ok((fit(&self.anchors, best.1, best.2)?, format!("{} dimensions, penalty {}", best.1, best.2)))
    }
}

/// A map in closed form.
#[derive(Debug, Clone, Copy)]
enum Form {
    Ridge,
    Procrustes,
    Canonical,
}

impl Form {
    /// Penalties to choose from; Procrustes has none.
    fn penalties(self) -> &'static [f64] {
        match self {
            Self::Procrustes => &PENALTIES[..1],
            Self::Ridge | Self::Canonical => &PENALTIES,
        }
    }

    fn fit(self, x: &Tensor, y: &Tensor, penalty: f64) -> anyhow::Result<TwoWayMap> {
        let both =
            |forward: LinearMap, backward: LinearMap| TwoWayMap::new(Map::Linear(forward), Some(Map::Linear(backward)));
        Ok(match self {
            Self::Ridge => both(LinearMap::ridge(x, y, None, penalty)?, LinearMap::ridge(y, x, None, penalty)?),
            Self::Procrustes => both(LinearMap::procrustes(x, y, None)?, LinearMap::procrustes(y, x, None)?),
            Self::Canonical => {
                // Inner products in canonical coordinates are those of x A Bᵀ with y, and of x with y B Aᵀ.
                let map = CanonicalMap::fit(x, y, usize::MAX, penalty)?;
                let linear = |weight: Tensor| -> candle_core::Result<LinearMap> {
                    let bias = Tensor::zeros(weight.dim(1)?, weight.dtype(), weight.device())?;
                    Ok(LinearMap { weight, bias })
                };
                let forward = map.source.matmul(&map.target.t()?)?;
                both(linear(forward.clone())?, linear(forward.t()?.contiguous()?)?)
            }
        })
    }
}

/// Prints one table for each problem: mean and standard deviation over the splits.
pub(crate) fn run(args: &FewAnchorsArgs) -> anyhow::Result<()> {
    let file = RecipeFile::read(&args.recipe, &[], None)?;
    let created = |path: &PathBuf| File::create(path).with_context(|| format!("cannot create {}", path.display()));
    let mut output = args.output.as_ref().map(created).transpose()?;
    for problem in file.problems.iter().filter(|problem| problem.name.contains(&args.only)) {
        let data = Dataset::load(&problem.recipe, &Device::Cpu)?;
        let heads = COLUMNS.map(|column| column.0).join(" | ");
        println!("\n### {}\n\n| anchors | map | {heads} |\n|---|---|{}", problem.name, "---|".repeat(COLUMNS.len()));
        for &anchors in &args.anchors {
            let mut lines: Vec<FewAnchorsLine> = Vec::new();
            for seed in args.first_seed..args.first_seed + args.splits {
                let case = Case::new(&problem.recipe, &data, anchors, seed)?;
                let mut note = |map: &str, chosen: String, metrics: RetrievalMetrics| {
                    let (problem, map) = (problem.name.clone(), map.to_owned());
                    lines.push(FewAnchorsLine { problem, anchors, seed, map, chosen, metrics });
                };
                let largest = DIMENSIONS[DIMENSIONS.len() - 1];
                let axes = (
                    PrincipalAxes::fit(&case.source, largest, seed, "source")?,
                    PrincipalAxes::fit(&case.target, largest, seed, "target")?,
                );
                for (name, form) in [("ridge", Form::Ridge), ("Procrustes", Form::Procrustes), ("CCA", Form::Canonical)]
                {
                    if anchors >= 4 {
                        let (map, chosen) = case.closed_form(form, &axes)?;
                        note(name, chosen, case.evaluate(&map)?);
                    }
                }
                let aligner = problem.recipe.with_seed(seed).align_params().check()?;
                if anchors >= 2 {
                    let alignment = aligner.anchors(&case.source, &case.target, &case.anchors, &())?;
                    note("HiMACL", alignment.report.chosen.clone(), case.evaluate(&alignment.prepared_map())?);
                }
                if args.unpaired {
                    let alignment = aligner.unpaired(&case.source, &case.target, &case.anchors, &())?;
                    let chosen = alignment.report.chosen.clone();
                    note("HiMACL, unpaired start", chosen, case.evaluate(&alignment.prepared_map())?);
                }
            }
            print_rows(&lines);
            if let Some(output) = &mut output {
                for line in &lines {
                    writeln!(output, "{}", serde_json::to_string(line)?)?;
                }
            }
        }
    }
    Ok(())
}

/// One row for each map, in the order of their first lines.
fn print_rows(lines: &[FewAnchorsLine]) {
    let mut maps: Vec<&str> = Vec::new();
    for line in lines {
        if !maps.contains(&line.map.as_str()) {
            maps.push(&line.map);
        }
    }
    for map in maps {
        let own: Vec<&FewAnchorsLine> = lines.iter().filter(|line| line.map == map).collect();
        let cells = COLUMNS.map(|(_, of, decimals)| {
            let values: Vec<f64> = own.iter().map(|line| of(&line.metrics)).collect();
            let (mean, deviation) = mean_and_deviation(&values);
            format!("{mean:.decimals$} ± {deviation:.decimals$}")
        });
        println!("| {} | {map} | {} |", own[0].anchors, cells.join(" | "));
    }
}
