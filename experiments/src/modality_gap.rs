//! Pairing in a shared space: two noisy towers of real features with a gap between them.

use candle_core::{D, DType, Device, Tensor};
use clap::Args;
use himacl::align::{AlignParams, Preparation};
use himacl::data::Embeddings;
use hiref_baselines::Solver;
use hiref_baselines::sinkhorn::SinkhornParams;
use hiref_core::{CostKind, Problem, rng};
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use std::path::PathBuf;

/// Neighbours of CSLS.
const NEIGHBOURS: usize = 10;
/// Length of the gap, in units of the features' root mean square length.
const GAP: f64 = 1.0;
/// Sinkhorn's regularisations, in units of the cosine distance; the best is reported, which favours it.
const EPSILONS: [f64; 3] = [0.02, 0.05, 0.1];

/// Arguments of `modality-gap`.
#[derive(Debug, Args)]
pub(crate) struct ModalityGapArgs {
    /// Features that both towers see.
    #[arg(long, value_name = "FILE", default_value = "models/quickstart/emoji_fluent_efficientnet-lite0.npy")]
    features: PathBuf,
    /// Lengths of the noise of each tower, in units of the features' root mean square length.
    #[arg(long, value_delimiter = ',', default_values_t = [0.5, 1.0, 1.5, 2.0])]
    noise: Vec<f64>,
    /// Seeds.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
}

/// Both towers, `(n, d)` each, and the y index of each x.
fn towers(features: &Tensor, noise: f64, seed: u64) -> anyhow::Result<(Tensor, Tensor, Vec<u32>)> {
    let (n, d) = features.dims2()?;
    let mut generator = rng::stream(seed, &[1]);
    let mut normal = |rows: usize| -> candle_core::Result<Tensor> {
        let values: Vec<f32> = (0..rows * d).map(|_| StandardNormal.sample(&mut generator)).collect();
        Tensor::from_vec(values, (rows, d), features.device())? / (d as f64).sqrt()
    };
    let gap = (normal(1)? * (0.5 * GAP))?;
    let x = (features + (normal(n)? * noise)?)?.broadcast_add(&gap)?;
    let y = (features + (normal(n)? * noise)?)?.broadcast_sub(&gap)?;
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.shuffle(&mut rng::stream(seed, &[2]));
    let mut truth = vec![0; n];
    order.iter().enumerate().for_each(|(at, &item)| truth[item as usize] = at as u32);
    Ok((x, y.index_select(&Tensor::new(order, features.device())?, 0)?, truth))
}

/// Shares of the true pairs found by each rule, in the order of the table.
fn accuracies(x: &Tensor, y: &Tensor, truth: &[u32], seed: u64) -> anyhow::Result<Vec<f64>> {
    let n = truth.len() as f64;
    let share = |found: &[u32]| found.iter().zip(truth).filter(|(a, b)| a == b).count() as f64 / n;
    let unit = |side: &Tensor| -> candle_core::Result<Tensor> {
        side.broadcast_div(&side.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?)
    };
    let argmax = |scores: &Tensor| scores.argmax(D::Minus1)?.to_vec1::<u32>();
    let raw = unit(x)?.matmul(&unit(y)?.t()?)?;
    let (centred_x, centred_y) =
        (Preparation::centring(x, "source")?.apply(x)?, Preparation::centring(y, "target")?.apply(y)?);
    let scores = centred_x.matmul(&centred_y.t()?)?.contiguous()?;
    let transposed = scores.t()?.contiguous()?;
    let (of_x, of_y) = (argmax(&scores)?, argmax(&transposed)?);
    let mutual: Vec<u32> =
        of_x.iter().enumerate().map(|(i, &j)| if of_y[j as usize] as usize == i { j } else { u32::MAX }).collect();
    let top_means = |scores: &Tensor| -> candle_core::Result<Vec<f32>> {
        let rows = scores.to_vec2::<f32>()?;
        let mean = |mut row: Vec<f32>| {
            row.sort_unstable_by(|a, b| b.total_cmp(a));
            row[..NEIGHBOURS.min(row.len())].iter().sum::<f32>() / NEIGHBOURS.min(row.len()) as f32
        };
        Ok(rows.into_iter().map(mean).collect())
    };
    // The correction of x does not change which y is best.
    let correction = Tensor::new(top_means(&transposed)?, scores.device())?;
    let scaled = (&scores * 2.0)?.broadcast_sub(&correction)?;
    let problem = Problem::new(&centred_x, &centred_y, CostKind::Cosine)?;
    let mut sinkhorn = 0.0f64;
    for epsilon in EPSILONS {
        let params = SinkhornParams { epsilon: Some(epsilon), max_iterations: 500, ..SinkhornParams::default() };
        let output = params.check()?.solve(&problem, &())?;
        sinkhorn = sinkhorn.max(share(&output.coupling.row_argmax()));
    }
    let aligner = AlignParams { seed, ..AlignParams::default() }.check()?;
    let bijection = aligner.shared_space(x, y, &())?.coupling.map_or(0.0, |pairing| share(pairing.y_of_x()));
    Ok(vec![share(&argmax(&raw)?), share(&of_x), share(&mutual), share(&argmax(&scaled)?), sinkhorn, bijection])
}

/// Prints one row for each level of noise: mean and standard deviation over the seeds.
pub(crate) fn run(args: &ModalityGapArgs) -> anyhow::Result<()> {
    let features = Embeddings::open(&args.features, None)?.to_tensor(&Device::Cpu)?.to_dtype(DType::F32)?;
    let centred = features.broadcast_sub(&features.mean_keepdim(0)?)?;
    let length = centred.sqr()?.sum(1)?.mean(0)?.to_scalar::<f32>()?.sqrt();
    let features = (centred / f64::from(length))?;
    println!(
        "| noise | nearest, as they are | nearest, centred | mutual nearest | CSLS | Sinkhorn argmax | bijection |"
    );
    println!("|---|---|---|---|---|---|---|");
    for &noise in &args.noise {
        let mut columns: Vec<Vec<f64>> = vec![Vec::new(); 6];
        for seed in 0..args.seeds {
            let (x, y, truth) = towers(&features, noise, seed)?;
            let found = accuracies(&x, &y, &truth, seed)?;
            columns.iter_mut().zip(found).for_each(|(column, value)| column.push(value));
        }
        let cells: Vec<String> = columns
            .iter()
            .map(|values| {
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
                format!("{mean:.3} ± {:.3}", (squares / (values.len() as f64 - 1.0).max(1.0)).sqrt())
            })
            .collect();
        println!("| {noise} | {} |", cells.join(" | "));
    }
    Ok(())
}
