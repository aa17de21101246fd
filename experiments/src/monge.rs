//! How far trained maps are from a known optimal transport map, beside the estimators of ott-jax on the same samples.
//!
//! The map is the gradient of a convex potential, so it is the optimal one for the squared distance, of standard normal x:
//! `T*(x) = a x + Σ_k (σ(w_k · x) - ½) w_k`, or `T*(x) = a x + Σ_k p_k(x) c_k` with `p = softmax(c_k · x / 2)`. Training sees
//! independent samples of both sides, no pair.

use crate::development::mean_and_deviation;
use anyhow::{Context, ensure};
use candle_core::{D, Device, Tensor};
use clap::{Args, ValueEnum};
use himacl::data::{Embeddings, write_npy_f32};
use himacl::eval::Metrics;
use himacl::map::{ConvexFitParams, ConvexGradient, LinearMap, Map, ResidualMlp, TwoWayMap};
use himacl::objective::{Objective, Regression};
use himacl::train::{Coupling, Embedded, Recipe, Task, Trained, train};
use hiref_baselines::Solver;
use hiref_baselines::minibatch::MinibatchParams;
use hiref_core::{CostKind, HirefParams, Problem, rng};
use rand_distr::{Distribution, StandardNormal};
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// `a`, the strong convexity of the potential.
const CONVEXITY: f32 = 0.3;
/// Length of each `w_k`: how sharply the map bends.
const BEND: f64 = 3.0;
/// Points on which maps are judged.
const TEST_POINTS: usize = 4096;
/// One pair of this many is held out of training.
const HELD_OUT_SHARE: usize = 8;
/// Penalty of the linear path, small: there are many more pairs than coordinates.
const PENALTY: f64 = 1e-6;
/// The script that runs a peer.
const SCRIPT: &str = "scripts/peers/monge.py";

/// Arguments of `monge`.
#[derive(Debug, Args)]
pub(crate) struct MongeArgs {
    /// Dimensions.
    #[arg(long, value_delimiter = ',', default_values_t = [2, 16, 64, 256])]
    dimensions: Vec<usize>,
    /// The map to find.
    #[arg(long, value_enum, default_value_t = Truth::Bends)]
    truth: Truth,
    /// Only the estimators that pair nothing: the Gaussian map and the convex gradient.
    #[arg(long)]
    unpaired: bool,
    /// Steps, units for each dimension and rows in a step of the convex gradient.
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 1, 4096])]
    convex: Vec<usize>,
    /// Samples of each side.
    #[arg(long, default_value_t = 8192)]
    samples: usize,
    /// Seeds.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Epochs of training.
    #[arg(long, default_value_t = 60)]
    epochs: u64,
    /// Pairs to a step.
    #[arg(long, default_value_t = 512)]
    batch: usize,
    /// Units of each of two hidden layers.
    #[arg(long, default_value_t = 256)]
    width: usize,
    /// Batches of the pairings by mini-batch transport; those that hold everything are left out.
    #[arg(long, value_delimiter = ',', default_values_t = [128, 512, 4096])]
    batches: Vec<usize>,
    /// Estimators of ott-jax to run for the time that the bijection and the training on it take.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Python with `scripts/peers/requirements-neural.txt`.
    #[arg(long, value_name = "FILE", default_value = "python3")]
    python: PathBuf,
    /// File for one JSON object a run; a Markdown table goes to stdout.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// The map to find.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Truth {
    /// Many directions in which it saturates, as many as dimensions; the convex gradient has such units.
    Bends,
    /// Points that attract what is near them; no sum of units is this map.
    Attractors,
}

/// One estimator on one problem.
#[derive(Debug, Clone, Serialize)]
struct Line {
    dimension: usize,
    samples: usize,
    seed: u64,
    estimator: String,
    /// `100 E|T(x) - T*(x)|² / Var(T*(x))`: 0 is the true map, 100 what the best constant has.
    l2_uvp: f64,
    seconds: f64,
}

/// Samples of both sides, and what the true map makes of fresh ones.
struct Case {
    x: Tensor,
    y: Tensor,
    test: Tensor,
    answer: Tensor,
    seed: u64,
}

impl Case {
    fn new(truth: Truth, d: usize, n: usize, seed: u64) -> anyhow::Result<Self> {
        let draw = |stream: u64, rows: usize| -> candle_core::Result<Tensor> {
            let mut generator = rng::stream(seed, &[stream, d as u64]);
            let values: Vec<f32> = (0..rows * d).map(|_| StandardNormal.sample(&mut generator)).collect();
            Tensor::from_vec(values, (rows, d), &Device::Cpu)
        };
        let bends = draw(0, d.max(8))?;
        let lengths = bends.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
        let bends = (bends.broadcast_div(&lengths)? * BEND)?; // (k, d)
        let map = |x: &Tensor| -> candle_core::Result<Tensor> {
            if matches!(truth, Truth::Attractors) {
                let centres = (&bends * ((d as f64).sqrt() / BEND))?;
                let near = (x.matmul(&centres.t()?)? * 0.5)?; // (n, k)
                let shares = near.broadcast_sub(&near.max_keepdim(1)?)?.exp()?;
                let shares = shares.broadcast_div(&shares.sum_keepdim(1)?)?;
                return (x * f64::from(CONVEXITY))? + shares.matmul(&centres)?;
            }
            let slopes = x.matmul(&bends.t()?)?; // (n, k)
            let sigmoid = ((slopes.neg()?.exp()? + 1.0)?.recip()? - 0.5)?;
            (x * f64::from(CONVEXITY))? + sigmoid.matmul(&bends)?
        };
        let test = draw(3, TEST_POINTS)?;
        let y = map(&draw(2, n)?)?;
        Ok(Self { x: draw(1, n)?, y, answer: map(&test)?, test, seed })
    }

    /// The error of the images of the test points.
    fn l2_uvp(&self, images: &Tensor) -> anyhow::Result<f64> {
        Self::unexplained(images, &self.answer)
    }

    /// `100 E|found - answer|² / Var(answer)`.
    fn unexplained(found: &Tensor, answer: &Tensor) -> anyhow::Result<f64> {
        let mean_square = |rows: &Tensor| -> candle_core::Result<f64> {
            Ok(f64::from(rows.sqr()?.sum(1)?.mean(0)?.to_scalar::<f32>()?))
        };
        let spread = mean_square(&answer.broadcast_sub(&answer.mean_keepdim(0)?)?)?;
        Ok(100.0 * mean_square(&(found - answer)?)? / spread)
    }

    /// The y row of each x row.
    fn pairs(&self, rule: Rule) -> anyhow::Result<Vec<u32>> {
        let problem = Problem::new(&self.x, &self.y, CostKind::SquaredEuclidean)?;
        Ok(match rule {
            Rule::Bijection => {
                let params = HirefParams { seed: self.seed, ..HirefParams::default() };
                params.check()?.solve(&problem, None, &())?.permutation.y_of_x().to_vec()
            }
            Rule::Minibatch(batch_size) => {
                let params = MinibatchParams { batch_size, seed: self.seed, ..MinibatchParams::default() };
                params.check()?.solve(&problem, &())?.permutation.y_of_x().to_vec()
            }
            Rule::Nearest => {
                let lengths = self.y.sqr()?.sum(1)?;
                (self.x.matmul(&self.y.t()?)? * 2.0)?.broadcast_sub(&lengths)?.argmax(D::Minus1)?.to_vec1()?
            }
        })
    }
}

/// How samples are paired.
#[derive(Debug, Clone, Copy)]
enum Rule {
    Bijection,
    Minibatch(usize),
    Nearest,
}

impl Rule {
    fn name(self) -> String {
        match self {
            Self::Bijection => "bijection".to_owned(),
            Self::Minibatch(size) => format!("mini-batch transport, {size}"),
            Self::Nearest => "nearest neighbour".to_owned(),
        }
    }
}

/// Rows with one more coordinate that is the same for all: the network sees directions, and these tell all rows apart.
fn lifted(rows: &Tensor) -> candle_core::Result<Tensor> {
    let (n, d) = rows.dims2()?;
    let last = Tensor::full((d as f32).sqrt(), (n, 1), rows.device())?;
    Tensor::cat(&[rows, &last], 1)
}

/// No evaluation while training.
#[expect(clippy::result_large_err, clippy::unnecessary_wraps, reason = "the signature that training wants")]
fn no_figures(_: &TwoWayMap, _: &Embedded) -> Result<Metrics, himacl::Error> {
    Ok(Metrics::new())
}

/// What one way of pairing leads to: images of the test points, and the seconds that pairing and training took.
struct Fitted {
    /// By the linear map that fits the pairs.
    linear: Tensor,
    /// By a residual network around it.
    network: Tensor,
    /// By the Gaussian map plus the network's part, as far as held-out pairs want it.
    corrected: Tensor,
    seconds: f64,
}

/// Pairs, fits a linear map to the pairs, then a residual network around it.
///
/// Pairs of an assignment are far from the true ones in many dimensions, and what is fitted to them is drawn to the mean.
/// The Gaussian map needs no pairs: it replaces the linear part. The network's part is multiplied by the number that suits
/// pairs best that it was not trained on, `<r, N> / <N, N>` with their residuals r, and at least 0, at most 1.
fn fitted(args: &MongeArgs, case: &Case, rule: Rule) -> anyhow::Result<Fitted> {
    let started = Instant::now();
    let partners = case.pairs(rule)?;
    let x = lifted(&case.x)?;
    let y = case.y.index_select(&Tensor::new(partners, case.y.device())?, 0)?;
    let linear = LinearMap::ridge(&x, &y, None, PENALTY)?;
    // The network's outputs are in proportion to rows of unit length.
    let scale = case.y.sqr()?.sum(1)?.mean(0)?.to_scalar::<f32>()?.sqrt();
    let small = LinearMap { weight: (&linear.weight / f64::from(scale))?, bias: linear.bias.clone() };
    let map = TwoWayMap::new(Map::ResidualMlp(ResidualMlp::around(small, 2, args.width, case.seed)?), None);
    let mut recipe = Recipe::default();
    recipe.train.seed = case.seed;
    recipe.train.epochs = args.epochs;
    recipe.train.batch_size = args.batch;
    recipe.train.log_every = 0;
    recipe.train.ema = 0.99;
    recipe.map.freeze_linear = true;
    recipe.coupling.recompute_every = 0;
    recipe.checkpoint.every_epochs = 0;
    recipe.checkpoint.every_steps = 0;
    recipe.eval.every = 0;
    let rows = x.dim(0)?;
    let trained = rows - rows / HELD_OUT_SHARE;
    let known: Vec<(u32, u32)> = (0..trained as u32).map(|at| (at, at)).collect();
    let task = Task {
        recipe: &recipe,
        x: &x,
        y: &(&y / f64::from(scale))?,
        anchors: &known,
        free: (Vec::new(), Vec::new()),
        objective: Objective::Regression(Regression { cosine_share: 0.0 }),
        map: &map,
        coupling: &Coupling::none(0, 0),
        tuning: None,
    };
    let folder = tempfile::tempdir()?;
    let Trained::Finished(map, ..) = train(&task, folder.path(), &no_figures, &())? else {
        anyhow::bail!("training was interrupted");
    };
    let network = |rows: &Tensor| -> candle_core::Result<Tensor> { map.forward.apply(rows)? * f64::from(scale) };
    let share = {
        let held_out = |side: &Tensor| side.narrow(0, trained, rows - trained);
        let rows = held_out(&x)?;
        let fit = linear.apply(&rows)?;
        let (part, residual) = ((network(&rows)? - &fit)?, (held_out(&y)? - &fit)?);
        let product = |a: &Tensor, b: &Tensor| -> candle_core::Result<f64> {
            Ok(f64::from((a * b)?.sum_all()?.to_scalar::<f32>()?))
        };
        (product(&residual, &part)? / product(&part, &part)?.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
    };
    let gaussian = LinearMap::gaussian(&case.x, &case.y)?;
    let seconds = started.elapsed().as_secs_f64();
    let test = lifted(&case.test)?;
    let (linear, network) = (linear.apply(&test)?, network(&test)?);
    let corrected = (gaussian.apply(&case.test)? + ((&network - &linear)? * share)?)?;
    Ok(Fitted { linear, network, corrected, seconds })
}

/// Figures of an estimator that pairs nothing: its name, L2-UVP and seconds.
type Unpaired = (&'static str, f64, f64);

/// The Gaussian map and the convex gradient, with the way back by it.
fn unpaired(args: &MongeArgs, case: &Case) -> anyhow::Result<Vec<Unpaired>> {
    let started = Instant::now();
    let gaussian = LinearMap::gaussian(&case.x, &case.y)?;
    let mut found =
        vec![("Gaussian map alone", case.l2_uvp(&gaussian.apply(&case.test)?)?, started.elapsed().as_secs_f64())];
    let &[steps, units, batch_size] = &args.convex[..] else {
        anyhow::bail!("expected three numbers in --convex, got {}", args.convex.len());
    };
    let started = Instant::now();
    let params = ConvexFitParams { steps, units, batch_size, seed: case.seed };
    let fit = ConvexGradient::fit(&case.x, &case.y, &params, &())?;
    let seconds = started.elapsed().as_secs_f64();
    found.push(("convex gradient", case.l2_uvp(&fit.map.apply(&case.test)?)?, seconds));
    let back = fit.map.inverse(&case.answer)?;
    found.push(("convex gradient, way back", Case::unexplained(&back, &case.test)?, seconds));
    let there_and_back = fit.map.inverse(&fit.map.apply(&case.test)?)?;
    found.push(("convex gradient, there and back", Case::unexplained(&there_and_back, &case.test)?, seconds));
    Ok(found)
}

/// Runs a peer on the same samples for `seconds`.
fn peer(args: &MongeArgs, case: &Case, name: &str, seconds: f64, folder: &Path) -> anyhow::Result<(Tensor, f64)> {
    let path = |name: &str| folder.join(format!("{name}.npy"));
    for (name, rows) in [("x", &case.x), ("y", &case.y), ("test", &case.test)] {
        write_npy_f32(&path(name), &rows.flatten_all()?.to_vec1::<f32>()?, rows.dims())?;
    }
    let mut command = Command::new(&args.python);
    command.arg(SCRIPT).arg(name);
    for name in ["x", "y", "test", "output"] {
        command.arg(format!("--{name}")).arg(path(name));
    }
    command.args(["--seconds", &seconds.to_string(), "--seed", &case.seed.to_string()]);
    let found = command.output().with_context(|| format!("cannot run {}", args.python.display()))?;
    let said = String::from_utf8_lossy(&found.stdout);
    ensure!(found.status.success(), "{name} failed: {}", String::from_utf8_lossy(&found.stderr));
    let report: serde_json::Value = serde_json::from_str(said.lines().last().unwrap_or_default())?;
    let seconds = report["seconds"].as_f64().context("the peer reports no seconds")?;
    Ok((Embeddings::open(&path("output"), None)?.to_tensor(&Device::Cpu)?, seconds))
}

/// Prints a Markdown table: mean and standard deviation of the L2-UVP over the seeds.
pub(crate) fn run(args: &MongeArgs) -> anyhow::Result<()> {
    ensure!(args.samples >= 2 && args.batch > 0 && args.seeds > 0, "expected samples, a batch and a seed");
    let mut output = File::create(&args.output).with_context(|| format!("cannot create {}", args.output.display()))?;
    let folder = tempfile::tempdir()?;
    let batches = args.batches.iter().filter(|&&size| size < args.samples).map(|&size| Rule::Minibatch(size));
    let rules: Vec<Rule> = if args.unpaired {
        Vec::new()
    } else {
        [Rule::Bijection].into_iter().chain(batches).chain([Rule::Nearest]).collect()
    };
    println!("| d | estimator | L2-UVP, % | s |\n|---|---|---|---|");
    for &d in &args.dimensions {
        let mut lines: Vec<Line> = Vec::new();
        for seed in 0..args.seeds {
            let case = Case::new(args.truth, d, args.samples, seed)?;
            let mut note = |estimator: String, l2_uvp: f64, seconds: f64| -> anyhow::Result<()> {
                let line = Line { dimension: d, samples: args.samples, seed, estimator, l2_uvp, seconds };
                writeln!(output, "{}", serde_json::to_string(&line)?)?;
                lines.push(line);
                Ok(())
            };
            for (name, l2_uvp, seconds) in unpaired(args, &case)? {
                note(name.to_owned(), l2_uvp, seconds)?;
            }
            let mut budget = 0.0;
            for &rule in &rules {
                let Fitted { linear, network, corrected, seconds } = fitted(args, &case, rule)?;
                note(format!("T on {}", rule.name()), case.l2_uvp(&network)?, seconds)?;
                if matches!(rule, Rule::Bijection) {
                    budget = seconds;
                    note("its linear path alone".to_owned(), case.l2_uvp(&linear)?, seconds)?;
                    note("T on bijection, Gaussian linear path".to_owned(), case.l2_uvp(&corrected)?, seconds)?;
                }
            }
            for name in &args.peers {
                let (images, seconds) = peer(args, &case, name, budget, folder.path())?;
                note(format!("ott-jax {name}"), case.l2_uvp(&images)?, seconds)?;
            }
        }
        let names: Vec<String> =
            lines.iter().filter(|line| line.seed == 0).map(|line| line.estimator.clone()).collect();
        for name in names {
            let of = |value: fn(&Line) -> f64| -> Vec<f64> {
                lines.iter().filter(|line| line.estimator == name).map(value).collect()
            };
            let (mean, deviation) = mean_and_deviation(&of(|line| line.l2_uvp));
            let seconds = mean_and_deviation(&of(|line| line.seconds)).0;
            println!("| {d} | {name} | {mean:.2} ± {deviation:.2} | {seconds:.1} |");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_true_maps_have_no_error_and_are_monotone() {
        for truth in [Truth::Bends, Truth::Attractors] {
            check_truth(&Case::new(truth, 3, 16, 1).unwrap());
        }
    }

    fn check_truth(case: &Case) {
        assert_eq!(case.l2_uvp(&case.answer).unwrap(), 0.0);
        let constant = case.answer.mean_keepdim(0).unwrap().broadcast_as(case.answer.shape()).unwrap();
        assert!((case.l2_uvp(&constant).unwrap() - 100.0).abs() < 1e-2);
        // The gradient of a convex function: (T(x) - T(y)) · (x - y) > 0.
        let ends = |rows: &Tensor| (rows.narrow(0, 0, 2048).unwrap() - rows.narrow(0, 2048, 2048).unwrap()).unwrap();
        let products = (ends(&case.test) * ends(&case.answer)).unwrap().sum(1).unwrap().to_vec1::<f32>().unwrap();
        assert!(products.iter().all(|&product| product > 0.0));
    }

    #[test]
    fn a_bijection_of_equal_samples_is_the_identity() {
        let mut case = Case::new(Truth::Bends, 4, 64, 2).unwrap();
        case.y = case.x.clone();
        let identity: Vec<u32> = (0..64).collect();
        assert_eq!(case.pairs(Rule::Bijection).unwrap(), identity);
        assert_eq!(case.pairs(Rule::Nearest).unwrap(), identity);
    }
}
