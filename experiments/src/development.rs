//! Problems on which settings are chosen, and how a choice is made.
//!
//! Nothing of a pairing is read but the known pairs of each development split, and among these is no pair that a run of
//! the recipe holds out.

use anyhow::{Context, ensure};
use candle_core::{Device, Tensor};
use clap::Args;
use himacl::train::{Dataset, Recipe, RecipeFile, Split};
use std::collections::HashSet;
use std::path::PathBuf;

/// Arguments of everything that chooses settings.
#[derive(Debug, Args)]
pub(crate) struct DevelopmentArgs {
    /// The recipe whose problems are used; the pairs that its seeds hold out are left alone.
    #[arg(long, value_name = "FILE", default_value = "models/recipes/quickstart.toml")]
    recipe: PathBuf,
    /// Only problems whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Numbers of known pairs.
    #[arg(long, value_delimiter = ',', default_values_t = [50, 100])]
    anchors: Vec<usize>,
    /// Development splits.
    #[arg(long, default_value_t = 6)]
    splits: u64,
    /// Seed of the first of them.
    #[arg(long, default_value_t = 100)]
    first_seed: u64,
}

/// One problem of the recipe.
pub(crate) struct Problem {
    pub(crate) name: String,
    pub(crate) recipe: Recipe,
    pub(crate) splits: Vec<DevelopmentSplit>,
}

/// Items to pair and the pairs that are known.
pub(crate) struct DevelopmentSplit {
    pub(crate) seed: u64,
    /// `(n, d)`.
    pub(crate) source: Tensor,
    /// `(m, e)`.
    pub(crate) target: Tensor,
    pub(crate) anchors: Vec<(u32, u32)>,
}

impl DevelopmentArgs {
    /// The problems with their splits.
    pub(crate) fn problems(&self) -> anyhow::Result<Vec<Problem>> {
        let file = RecipeFile::read(&self.recipe, &[], None)?;
        let problems = file.problems.into_iter().filter(|problem| problem.name.contains(&self.only));
        problems
            .map(|problem| {
                let data = Dataset::load(&problem.recipe, &Device::Cpu)?;
                let splits = self.splits(&problem.recipe, &data).context("making development splits")?;
                Ok(Problem { name: problem.name, recipe: problem.recipe, splits })
            })
            .collect()
    }

    fn splits(&self, recipe: &Recipe, data: &Dataset) -> anyhow::Result<Vec<DevelopmentSplit>> {
        let rows = data.source.dim(0)?;
        ensure!(recipe.data.hide_pairs && rows == data.target.dim(0)?, "the recipe must hide the pairs of equal sides");
        let share = if recipe.data.held_out < 1.0 { rows as f64 } else { 1.0 };
        let held_out = (recipe.data.held_out * share).round() as usize;
        let own = recipe.seeds();
        let reserved: HashSet<u32> =
            own.iter().flat_map(|&seed| Split::hiding_pairs(rows, held_out, 0, seed).held_out).collect();
        let mut splits = Vec::new();
        for seed in self.first_seed..self.first_seed + self.splits {
            ensure!(!own.contains(&seed), "seed {seed} is one of the recipe's own");
            // Every pair in a random order, of which the first allowed ones are known.
            let all = Split::hiding_pairs(rows, held_out, rows - held_out, seed);
            let allowed: Vec<(u32, u32)> =
                all.anchors.into_iter().filter(|pair| !reserved.contains(&all.source[pair.0 as usize])).collect();
            let select = |side: &Tensor, rows: Vec<u32>| side.index_select(&Tensor::new(rows, side.device())?, 0);
            let (source, target) = (select(&data.source, all.source)?, select(&data.target, all.target)?);
            for &count in &self.anchors {
                ensure!(count <= allowed.len(), "only {} pairs are not held out by the recipe", allowed.len());
                let (source, target) = (source.clone(), target.clone());
                splits.push(DevelopmentSplit { seed, source, target, anchors: allowed[..count].to_vec() });
            }
        }
        Ok(splits)
    }
}

/// Scores of one setting on every split; lower is better.
pub(crate) struct Scored {
    pub(crate) value: String,
    pub(crate) scores: Vec<f64>,
}

impl Scored {
    pub(crate) fn mean(&self) -> f64 {
        mean(&self.scores)
    }

    /// Mean difference from `other` over the splits, and its standard error.
    pub(crate) fn behind(&self, other: &Self) -> (f64, f64) {
        let differences: Vec<f64> = self.scores.iter().zip(&other.scores).map(|(a, b)| a - b).collect();
        (mean(&differences), deviation(&differences) / (differences.len() as f64).sqrt())
    }

    /// Standard deviation over the splits.
    pub(crate) fn deviation(&self) -> f64 {
        deviation(&self.scores)
    }
}

/// Mean and standard deviation over independent runs.
pub(crate) fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    (mean(values), deviation(values))
}

fn deviation(values: &[f64]) -> f64 {
    let centre = mean(values);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    (squares / (values.len() as f64 - 1.0).max(1.0)).sqrt()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The first of `settings`, simplest first, that is not further behind the best than one standard error.
///
/// Prints a row for each: mean score, distance from the best, its standard error.
pub(crate) fn choose(what: &str, settings: &[Scored]) -> usize {
    let best = (0..settings.len()).min_by(|&a, &b| settings[a].mean().total_cmp(&settings[b].mean())).unwrap_or(0);
    let close = |setting: &Scored| {
        let (behind, error) = setting.behind(&settings[best]);
        behind <= error
    };
    let chosen = settings.iter().position(close).unwrap_or(best);
    for (at, setting) in settings.iter().enumerate() {
        let (behind, error) = setting.behind(&settings[best]);
        let mark = if at == chosen { "chosen" } else { "" };
        println!("| {what} | {} | {:.3} | +{behind:.3} | {error:.3} | {mark} |", setting.value, setting.mean());
    }
    chosen
}

/// Prints the head of the table that [`choose`] fills.
pub(crate) fn print_head(problem: &Problem) {
    println!("\n### {}\n", problem.name);
    println!("| setting | value | mean log rank | behind the best | standard error of that | |");
    println!("|---|---|---|---|---|---|");
}
