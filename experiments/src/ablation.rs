//! What each part of the method is worth: training pairs, recomputed couplings, objectives.
//!
//! Every run starts from the same ridge maps on the known pairs alone, in the same prepared spaces, and trains the same
//! residual network for the same number of epochs; only the pairs, how often they are found anew, and the loss differ.
//! None of the settings was chosen by what is reported here.

use crate::development::mean_and_deviation;
use anyhow::{Context, ensure};
use candle_core::{D, Device, Tensor};
use clap::Args;
use himacl::align::{Preparation, PrincipalAxes};
use himacl::eval::Metrics;
use himacl::eval::{RetrievalParams, retrieval};
use himacl::map::{LinearMap, Map, ResidualMlp, TwoWayMap};
use himacl::objective::ContrastiveKind;
use himacl::train::{self, Coupling, Dataset, Embedded, ObjectiveKind, Recipe, RecipeFile, Split, Task, Trained};
use hiref_baselines::Solver;
use hiref_baselines::minibatch::MinibatchParams;
use hiref_core::{CostKind, Permutation, Problem};
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

/// Dimensions, whitening and penalty of the start: those of the candidate `sharp`.
const DIMENSION: usize = 256;
const WHITENING: f64 = 0.3;
const PENALTY: f64 = 0.25;
/// Share of the weight that the known pairs get.
const ANCHOR_SHARE: f64 = 0.3;
/// Neighbours of the scaled score of the evaluation.
const NEIGHBOURS: usize = 10;
/// Batches of mini-batch transport; those that hold everything are left out.
const BATCHES: [usize; 3] = [128, 512, 4096];

/// Arguments of `ablation`.
#[derive(Debug, Args)]
pub(crate) struct AblationArgs {
    /// The recipe whose data and training settings are used.
    #[arg(long, value_name = "FILE", default_value = "models/recipes/quickstart.toml")]
    recipe: PathBuf,
    /// The problem of the recipe.
    #[arg(long, default_value = "main")]
    problem: String,
    /// Known pairs.
    #[arg(long, default_value_t = 50)]
    anchors: usize,
    /// Splits.
    #[arg(long, default_value_t = 3)]
    splits: u64,
    /// Seed of the first of them.
    #[arg(long, default_value_t = 301)]
    first_seed: u64,
    /// Epochs of every run.
    #[arg(long, default_value_t = 24)]
    epochs: u64,
    /// Epochs between two couplings, where they are recomputed.
    #[arg(long, default_value_t = 4)]
    recompute_every: u64,
    /// Change a key of the recipe.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// File for one JSON object a run; a Markdown table goes to stdout.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// Where the training pairs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// None but the known ones.
    Known,
    /// The nearest target of each source; a target may serve many.
    Nearest,
    /// Exact transport within random batches of this size.
    Minibatch(usize),
    /// The global bijection.
    Bijection,
    /// All true pairs: the ceiling.
    Truth,
}

impl Rule {
    fn name(self) -> String {
        match self {
            Self::Known => "known pairs alone".to_owned(),
            Self::Nearest => "nearest neighbour".to_owned(),
            Self::Minibatch(size) => format!("mini-batch transport, {size}"),
            Self::Bijection => "bijection".to_owned(),
            Self::Truth => "all true pairs".to_owned(),
        }
    }
}

/// One row of the table on one split.
#[derive(Debug, Clone, Serialize)]
struct Line {
    pairs: String,
    recompute: bool,
    objective: String,
    seed: u64,
    /// Share of the unknown training items with their true partner among the last training pairs.
    pair_accuracy: Option<f64>,
    recall_at_1: f64,
    recall_at_10: f64,
    foscttm: f64,
}

/// A split, prepared, with the map that every run starts from.
struct Case {
    x: Tensor,
    y: Tensor,
    held_out: (Tensor, Tensor),
    anchors: Vec<(u32, u32)>,
    free: (Vec<u32>, Vec<u32>),
    /// The target row of each source row.
    truth: Vec<u32>,
    start: TwoWayMap,
    seed: u64,
}

impl Case {
    fn new(recipe: &Recipe, data: &Dataset, anchors: usize, seed: u64) -> anyhow::Result<Self> {
        let rows = data.source.dim(0)?;
        ensure!(recipe.data.hide_pairs && rows == data.target.dim(0)?, "the recipe must hide the pairs of equal sides");
        let share = if recipe.data.held_out < 1.0 { rows as f64 } else { 1.0 };
        let split = Split::hiding_pairs(rows, (recipe.data.held_out * share).round() as usize, anchors, seed);
        let select = |side: &Tensor, rows: &[u32]| side.index_select(&Tensor::new(rows, side.device())?, 0);
        let prepared = |side: &Tensor, rows: &[u32], name: &'static str| -> anyhow::Result<(Tensor, Tensor)> {
            let training = select(side, rows)?;
            let preparation =
                Preparation::whitening(&PrincipalAxes::fit(&training, DIMENSION, seed, name)?, DIMENSION, WHITENING)?;
            Ok((preparation.apply(&training)?, preparation.apply(&select(side, &split.held_out)?)?))
        };
        let (x, x_held_out) = prepared(&data.source, &split.source, "source")?;
        let (y, y_held_out) = prepared(&data.target, &split.target, "target")?;
        let (i, j): (Vec<u32>, Vec<u32>) = split.anchors.iter().copied().unzip();
        let (known_x, known_y) = (select(&x, &i)?, select(&y, &j)?);
        let grown = |from: &Tensor, to: &Tensor, direction: u64| -> anyhow::Result<Map> {
            let linear = LinearMap::ridge(from, to, None, PENALTY)?;
            let seed = seed.wrapping_mul(2).wrapping_add(direction);
            Ok(Map::ResidualMlp(ResidualMlp::around(linear, recipe.map.layers, recipe.map.width, seed)?))
        };
        let start = TwoWayMap::new(grown(&known_x, &known_y, 0)?, Some(grown(&known_y, &known_x, 1)?));
        let free = split.free();
        let truth = split.truth.context("a split without truth")?;
        Ok(Self { x, y, held_out: (x_held_out, y_held_out), anchors: split.anchors, free, truth, start, seed })
    }

    /// Pairs of unknown items by `map`, as rows of both sides.
    fn pairs(&self, rule: Rule, map: &TwoWayMap, round: u64) -> anyhow::Result<Vec<(u32, u32)>> {
        let select = |side: &Tensor, rows: &[u32]| side.index_select(&Tensor::new(rows, side.device())?, 0);
        let (x, y) = map.joint(&select(&self.x, &self.free.0)?, &select(&self.y, &self.free.1)?)?;
        let row = |i: usize, j: usize| (self.free.0[i], self.free.1[j]);
        let coupled = |pairing: &Permutation| pairing.pairs().map(|(i, j)| row(i, j)).collect();
        let problem = Problem::new(&x, &y, CostKind::NegativeInnerProduct)?;
        Ok(match rule {
            Rule::Known => Vec::new(),
            Rule::Truth => self.free.0.iter().map(|&i| (i, self.truth[i as usize])).collect(),
            Rule::Nearest => {
                let nearest = x.matmul(&y.t()?)?.argmax(D::Minus1)?.to_vec1::<u32>()?;
                nearest.iter().enumerate().map(|(i, &j)| row(i, j as usize)).collect()
            }
            Rule::Minibatch(batch_size) => {
                let seed = self.seed.wrapping_mul(1000).wrapping_add(round);
                let params = MinibatchParams { batch_size, seed, ..MinibatchParams::default() };
                coupled(&params.check()?.solve(&problem, &())?.permutation)
            }
            Rule::Bijection => {
                let recipe = Recipe::default();
                let solver = recipe.coupling.solver(self.seed).check()?;
                coupled(&solver.solve(&problem, None, &())?.permutation)
            }
        })
    }

    /// Trains by one row of the table.
    fn run(&self, recipe: &Recipe, rule: Rule, recompute_every: Option<u64>) -> anyhow::Result<Line> {
        let epochs = recipe.train.epochs;
        let every = recompute_every.unwrap_or(epochs).clamp(1, epochs.max(1));
        let mut map = self.start.clone();
        let mut accuracy = None;
        for round in 0..epochs.div_ceil(every) {
            let pairs = self.pairs(rule, &map, round)?;
            let hits = pairs.iter().filter(|(i, j)| self.truth[*i as usize] == *j).count();
            accuracy = (!pairs.is_empty()).then(|| hits as f64 / pairs.len() as f64);
            map = self.train(recipe, &map, pairs, every.min(epochs - round * every), round)?;
        }
        let (x, y) = map.joint(&self.held_out.0, &self.held_out.1)?;
        let metrics = retrieval(&x, &y, RetrievalParams { csls_neighbours: NEIGHBOURS })?;
        let mean = |a: f64, b: f64| 0.5 * (a + b);
        let (to, from) = (&metrics.source_to_target, &metrics.target_to_source);
        Ok(Line {
            pairs: rule.name(),
            recompute: recompute_every.is_some(),
            objective: objective_name(recipe),
            seed: self.seed,
            pair_accuracy: accuracy,
            recall_at_1: mean(to.at_1, from.at_1),
            recall_at_10: mean(to.at_10, from.at_10),
            foscttm: metrics.foscttm,
        })
    }

    /// Some epochs on fixed pairs, the known ones among them.
    fn train(
        &self,
        recipe: &Recipe,
        map: &TwoWayMap,
        mut pairs: Vec<(u32, u32)>,
        epochs: u64,
        round: u64,
    ) -> anyhow::Result<TwoWayMap> {
        // Known pairs are repeated until they have their share: all rules weigh them alike.
        let wanted = ANCHOR_SHARE / (1.0 - ANCHOR_SHARE) * pairs.len() as f64 / self.anchors.len() as f64;
        for _ in 0..(wanted.round() as usize).max(1) {
            pairs.extend(&self.anchors);
        }
        let mut recipe = recipe.with_seed(self.seed.wrapping_mul(1000).wrapping_add(round));
        recipe.train.epochs = epochs;
        recipe.train.log_every = 0;
        recipe.coupling.recompute_every = 0;
        recipe.checkpoint.every_epochs = 0;
        recipe.checkpoint.every_steps = 0;
        recipe.eval.every = 0;
        let nothing = Coupling::none(0, 0);
        let task = Task {
            recipe: &recipe,
            x: &self.x,
            y: &self.y,
            anchors: &pairs,
            free: (Vec::new(), Vec::new()),
            objective: recipe.objective.objective(),
            map,
            coupling: &nothing,
            tuning: None,
        };
        let folder = tempfile::tempdir()?;
        match train::train(&task, folder.path(), &no_figures, &())? {
            Trained::Finished(map, ..) => Ok(map),
            Trained::Interrupted => anyhow::bail!("training was interrupted"),
        }
    }
}

fn objective_name(recipe: &Recipe) -> String {
    let contrastive = match recipe.objective.contrastive {
        ContrastiveKind::InfoNce => "InfoNCE",
        ContrastiveKind::SigLip => "SigLIP",
    };
    let name = match recipe.objective.kind {
        ObjectiveKind::Regression => "regression".to_owned(),
        ObjectiveKind::Contrastive => contrastive.to_owned(),
        ObjectiveKind::Both => format!("{contrastive} + transport cost"),
    };
    if recipe.objective.klot_weight > 0.0 { format!("{name} + KLOT") } else { name }
}

/// No evaluation while training.
#[expect(clippy::result_large_err, clippy::unnecessary_wraps, reason = "the signature that training wants")]
fn no_figures(_: &TwoWayMap, _: &Embedded) -> Result<Metrics, himacl::Error> {
    Ok(Metrics::new())
}

/// A change of the recipe.
type Change = fn(&mut Recipe);

/// The rows of the table: training pairs, whether they are found anew, the loss.
fn rows(items: usize) -> Vec<(Rule, bool, Change)> {
    let regression: Change = |recipe| recipe.objective.kind = ObjectiveKind::Regression;
    let info_nce: Change = |recipe| recipe.objective.kind = ObjectiveKind::Contrastive;
    let sig_lip: Change = |recipe| {
        recipe.objective.kind = ObjectiveKind::Contrastive;
        recipe.objective.contrastive = ContrastiveKind::SigLip;
    };
    let both: Change = |recipe| recipe.objective.kind = ObjectiveKind::Both;
    let klot: Change = |recipe| {
        recipe.objective.kind = ObjectiveKind::Regression;
        recipe.objective.klot_weight = 0.3;
    };
    let mut rows = vec![(Rule::Known, false, regression), (Rule::Known, false, info_nce)];
    let batches = BATCHES.into_iter().filter(|&size| size < items).map(Rule::Minibatch);
    let rules: Vec<Rule> = [Rule::Nearest].into_iter().chain(batches).chain([Rule::Bijection]).collect();
    for recompute in [false, true] {
        rows.extend(rules.iter().map(|&rule| (rule, recompute, regression)));
    }
    for change in [info_nce, sig_lip, both, klot] {
        rows.push((Rule::Bijection, true, change));
    }
    rows.push((Rule::Nearest, true, info_nce));
    rows.extend([(Rule::Truth, false, regression), (Rule::Truth, false, info_nce)]);
    rows
}

/// Prints a Markdown table: means and standard deviations over the splits.
pub(crate) fn run(args: &AblationArgs) -> anyhow::Result<()> {
    let file = RecipeFile::read(&args.recipe, &args.set, None)?;
    let problem = file.problems.iter().find(|problem| problem.name == args.problem);
    let problem = problem.with_context(|| format!("the recipe has no problem `{}`", args.problem))?;
    let mut recipe = problem.recipe.clone();
    recipe.train.epochs = args.epochs;
    let data = Dataset::load(&recipe, &Device::Cpu)?;
    let seeds = args.first_seed..args.first_seed + args.splits;
    let cases: Vec<Case> =
        seeds.map(|seed| Case::new(&recipe, &data, args.anchors, seed)).collect::<anyhow::Result<_>>()?;
    ensure!(!cases.is_empty() && args.anchors > 0, "expected at least one split and one known pair");
    let mut output = File::create(&args.output).with_context(|| format!("cannot create {}", args.output.display()))?;
    println!("| training pairs | recomputed | objective | R@1 | R@10 | FOSCTTM | accuracy of the pairs |");
    println!("|---|---|---|---|---|---|---|");
    let mut untrained = recipe.clone();
    untrained.train.epochs = 0;
    let mut table = vec![(Rule::Known, false, untrained)];
    for (rule, recompute, change) in rows(cases[0].free.0.len()) {
        let mut changed = recipe.clone();
        change(&mut changed);
        table.push((rule, recompute, changed));
    }
    for (rule, recompute, recipe) in table {
        let every = recompute.then_some(args.recompute_every);
        let lines: Vec<Line> =
            cases.iter().map(|case| case.run(&recipe, rule, every)).collect::<anyhow::Result<_>>()?;
        for line in &lines {
            writeln!(output, "{}", serde_json::to_string(line)?)?;
        }
        let cell = |of: &dyn Fn(&Line) -> Option<f64>, decimals: usize| {
            let values: Vec<f64> = lines.iter().filter_map(of).collect();
            let (mean, deviation) = mean_and_deviation(&values);
            if values.is_empty() { String::new() } else { format!("{mean:.decimals$} ± {deviation:.decimals$}") }
        };
        let trained = recipe.train.epochs > 0;
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            if trained { rule.name() } else { "the start: ridge on the known pairs".to_owned() },
            if recompute { "yes" } else { "" },
            if trained { objective_name(&recipe) } else { String::new() },
            cell(&|line| Some(line.recall_at_1), 3),
            cell(&|line| Some(line.recall_at_10), 3),
            cell(&|line| Some(line.foscttm), 4),
            cell(&|line| line.pair_accuracy, 3),
        );
    }
    Ok(())
}
