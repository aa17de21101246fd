//! Chooses the training settings of a recipe by the known pairs alone.

use crate::development::{DevelopmentArgs, DevelopmentSplit, Problem, Scored, choose, print_head};
use candle_core::Device;
use clap::Args;
use himacl::align::mean_log_rank_of_hidden;
use himacl::train::{self, Dataset, Model, Recipe};
use std::fs;
use std::path::Path;

/// Arguments of `choose-training`.
#[derive(Debug, Args)]
pub(crate) struct ChooseTrainingArgs {
    #[command(flatten)]
    development: DevelopmentArgs,
}

/// The values tried of one key, simplest first.
struct Coordinate {
    name: &'static str,
    values: &'static [f64],
    set: fn(&mut Recipe, f64),
}

/// Keys in the order in which they are gone through.
const GRID: [Coordinate; 5] = [
    Coordinate { name: "train.epochs", values: &[6.0, 12.0, 24.0], set: |r, v| r.train.epochs = v as u64 },
    Coordinate { name: "optimizer.learning_rate", values: &[3e-4, 1e-3], set: |r, v| r.optimizer.learning_rate = v },
    Coordinate { name: "train.ema", values: &[0.9, 0.99], set: |r, v| r.train.ema = v },
    Coordinate { name: "optimizer.weight_decay", values: &[1e-2, 1e-1], set: |r, v| r.optimizer.weight_decay = v },
    Coordinate { name: "map.freeze_linear (1 = true)", values: &[1.0, 0.0], set: |r, v| r.map.freeze_linear = v > 0.5 },
];

/// One key after the other, each with the others as chosen so far; and, for comparison, no training.
pub(crate) fn run(args: &ChooseTrainingArgs) -> anyhow::Result<()> {
    for problem in args.development.problems()? {
        let mut chosen = problem.recipe.clone();
        for Coordinate { values, set, .. } in &GRID {
            set(&mut chosen, values[0]);
        }
        let folder = tempfile::tempdir()?;
        let folds = folds(&problem, folder.path())?;
        print_head(&problem);
        let scored = |recipe: &Recipe, value: String| -> anyhow::Result<Scored> {
            Ok(Scored { value, scores: folds.iter().map(|fold| fold.score(recipe)).collect::<anyhow::Result<_>>()? })
        };
        let mut untrained = chosen.clone();
        untrained.train.epochs = 0;
        choose("no training", &[scored(&untrained, "-".to_owned())?]);
        for Coordinate { name, values, set } in &GRID {
            let mut tried = Vec::new();
            for &value in *values {
                let mut recipe = chosen.clone();
                set(&mut recipe, value);
                tried.push(scored(&recipe, value.to_string())?);
            }
            set(&mut chosen, values[choose(name, &tried)]);
        }
    }
    Ok(())
}

/// A split of which every other known pair is hidden, aligned once for all settings.
struct Fold<'a> {
    split: &'a DevelopmentSplit,
    known: Vec<(u32, u32)>,
    hidden: Vec<(u32, u32)>,
    folder: std::path::PathBuf,
}

fn folds<'a>(problem: &'a Problem, folder: &Path) -> anyhow::Result<Vec<Fold<'a>>> {
    let mut folds = Vec::new();
    for (at, split) in problem.splits.iter().enumerate() {
        let part = |odd: usize| split.anchors.iter().skip(odd).step_by(2).copied().collect();
        let fold = Fold { split, known: part(0), hidden: part(1), folder: folder.join(at.to_string()) };
        let mut recipe = problem.recipe.clone();
        recipe.train.epochs = 0;
        fold.train(&recipe, "aligned")?;
        folds.push(fold);
    }
    Ok(folds)
}

impl Fold<'_> {
    /// Mean log rank of the hidden pairs by a map trained as `recipe` says.
    fn score(&self, recipe: &Recipe) -> anyhow::Result<f64> {
        let folder = self.folder.join("trained");
        fs::create_dir_all(&folder)?;
        let name = "alignment.safetensors";
        fs::copy(self.folder.join("aligned").join(name), folder.join(name))?;
        self.train(recipe, "trained")?;
        let Model(map) = Model::load(&folder, &Device::Cpu)?;
        fs::remove_dir_all(&folder)?;
        let sides = (&self.split.source, &self.split.target);
        Ok(mean_log_rank_of_hidden(&map, sides, &self.known, &self.hidden, recipe.eval.csls_neighbours)?)
    }

    fn train(&self, recipe: &Recipe, name: &str) -> anyhow::Result<()> {
        let mut recipe = recipe.with_seed(self.split.seed);
        recipe.data.hide_pairs = false;
        let data = Dataset {
            source: self.split.source.clone(),
            target: self.split.target.clone(),
            anchors: self.known.clone(),
            evaluation: None,
        };
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        train::run(&recipe, &data, &folder, &())?;
        Ok(())
    }
}
