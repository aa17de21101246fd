//! Steps of training a second, by the loop that `himacl train` runs; `scripts/cuda/checks.py` times `PyTorch` on the same problem.

use anyhow::ensure;
use candle_core::{Device, Tensor};
use clap::{Args, ValueEnum};
use himacl::eval::Metrics;
use himacl::map::{LinearMap, Map, ResidualMlp, TwoWayMap};
use himacl::objective::{Objective, Regression};
use himacl::train::{Coupling, Embedded, Precision, Recipe, Task, Trained, train};
use hiref_core::Permutation;
use std::time::Instant;

/// Where to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Place {
    Cpu,
    Cuda,
}

/// Arguments of `training`.
#[derive(Debug, Args)]
pub(crate) struct TrainingArgs {
    /// The device.
    #[arg(long, value_enum, default_value = "cpu")]
    device: Place,
    /// Compute in f32 on CUDA, too.
    #[arg(long)]
    single: bool,
    /// Pairs to train on.
    #[arg(long, default_value_t = 1 << 16)]
    pairs: usize,
    /// Coordinates of both sides.
    #[arg(long, default_value_t = 1024)]
    dimension: usize,
    /// Units of each of two hidden layers.
    #[arg(long, default_value_t = 2048)]
    width: usize,
    /// Pairs to a step.
    #[arg(long, default_value_t = 2048)]
    batch: usize,
    /// Passes over the pairs.
    #[arg(long, default_value_t = 8)]
    epochs: u64,
}

/// No evaluation while training.
#[expect(clippy::result_large_err, clippy::unnecessary_wraps, reason = "the signature that training wants")]
fn no_figures(_: &TwoWayMap, _: &Embedded) -> Result<Metrics, himacl::Error> {
    Ok(Metrics::new())
}

/// Trains on random pairs and prints one JSON object; the first pass is not timed.
pub(crate) fn run(args: &TrainingArgs) -> anyhow::Result<()> {
    ensure!(args.pairs >= args.batch && args.batch > 0 && args.epochs > 0, "expected at least one step");
    let device = match args.device {
        Place::Cpu => Device::Cpu,
        Place::Cuda => Device::new_cuda_with_stream(0)?,
    };
    let (n, d) = (args.pairs, args.dimension);
    let draw = || Tensor::randn(0.0_f32, 1.0, (n, d), &device);
    let (x, y) = (draw()?, draw()?);
    let linear = LinearMap::identity(d, &device)?;
    let map = TwoWayMap::new(Map::ResidualMlp(ResidualMlp::around(linear, 2, args.width, 0)?), None);
    let identity: Vec<u32> = (0..n as u32).collect();
    let coupling =
        Coupling { permutation: Permutation::new(identity.clone(), n)?, confidence: vec![0.0; n], soft: None };
    let mut recipe = Recipe::default();
    recipe.train.batch_size = args.batch;
    recipe.train.log_every = 0;
    recipe.train.precision = if args.single { Precision::F32 } else { Precision::Auto };
    recipe.coupling.recompute_every = 0;
    recipe.coupling.keep = 1.0;
    recipe.checkpoint.every_epochs = 0;
    recipe.checkpoint.every_steps = 0;
    recipe.eval.every = 0;
    let seconds = |epochs: u64| -> anyhow::Result<f64> {
        let mut recipe = recipe.clone();
        recipe.train.epochs = epochs;
        let task = Task {
            recipe: &recipe,
            x: &x,
            y: &y,
            anchors: &[],
            free: (identity.clone(), identity.clone()),
            objective: Objective::Regression(Regression { cosine_share: recipe.objective.cosine_share }),
            map: &map,
            coupling: &coupling,
            tuning: None,
        };
        let folder = tempfile::tempdir()?;
        device.synchronize()?;
        let started = Instant::now();
        let trained = train(&task, folder.path(), &no_figures, &())?;
        device.synchronize()?;
        ensure!(matches!(trained, Trained::Finished(..)), "training was interrupted");
        Ok(started.elapsed().as_secs_f64())
    };
    // What a run takes beside its steps (and the compilation of kernels) is in both.
    let first = seconds(1)?;
    let seconds = seconds(1 + args.epochs)? - first.min(seconds(1)?);
    let steps = args.epochs as f64 * n.div_ceil(args.batch) as f64;
    println!(
        "{}",
        serde_json::json!({
            "device": format!("{:?}", args.device).to_lowercase(),
            "precision": if args.single { "f32" } else { "auto" },
            "pairs": n, "dimension": d, "width": args.width, "batch": args.batch,
            "steps_per_second": steps / seconds,
            "pairs_per_second": args.epochs as f64 * n as f64 / seconds,
        })
    );
    Ok(())
}
