//! What a warm start saves: solve, perturb the points, solve again cold and warm.

use crate::report::{Case, QualityArg, Report, ReportArgs, Row, TableRow, excess, percent};
use crate::sets::SetArgs;
use candle_core::{Device, Tensor};
use clap::Args;
use hiref_core::{CostKind, Problem, mean_cost, rng};
use rand::Rng;
use rand_distr::StandardNormal;
use serde::Serialize;

/// Arguments of `warm-start`.
#[derive(Debug, Args)]
pub(crate) struct WarmStartArgs {
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    sets: SetArgs,
    /// The cost: sqeuclidean, euclidean, cosine or neg-dot.
    #[arg(long, default_value = "sqeuclidean")]
    cost: CostKind,
    /// Quality of every solve.
    #[arg(long, value_enum, default_value = "balanced")]
    quality: QualityArg,
    /// Sizes of the perturbation: the root mean square length of the noise over that of the points about their mean.
    #[arg(long, value_name = "SHARE", value_delimiter = ',', default_values_t = [0.01, 0.03, 0.1])]
    noise: Vec<f64>,
    /// Perturbations of each size.
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: u64,
}

/// A cold and a warm solve of one perturbed set.
#[derive(Debug, Serialize)]
struct Pair {
    quality: String,
    noise: f64,
    /// The first solve's time, before the perturbation.
    first_seconds: f64,
    /// Mean cost of the first pairing on the perturbed points.
    stale_cost: f64,
    /// `warm cost / cold cost - 1`
    cost_to_cold: f64,
    /// `warm seconds / cold seconds`
    time_to_cold: f64,
    cold: Row,
    warm: Row,
}

impl TableRow for Pair {
    const COLUMNS: &'static [&'static str] = &[
        "set",
        "n",
        "d",
        "cost",
        "quality",
        "noise",
        "stale cost",
        "cold cost",
        "warm cost",
        "warm to cold",
        "cold s",
        "warm s",
        "time to cold",
        "cold sweeps",
        "warm sweeps",
    ];

    fn cells(&self) -> Vec<String> {
        let cells = self.cold.cells();
        let mut all =
            vec![cells[0].clone(), cells[1].clone(), cells[3].clone(), cells[4].clone(), self.quality.clone()];
        all.extend([
            format!("{}%", 100.0 * self.noise),
            format!("{:.6}", self.stale_cost),
            format!("{:.6}", self.cold.mean_cost),
            format!("{:.6}", self.warm.mean_cost),
            percent(Some(self.cost_to_cold)),
            format!("{:.2}", self.cold.seconds),
            format!("{:.2}", self.warm.seconds),
            format!("{:.2} x", self.time_to_cold),
            self.cold.sweeps.len().to_string(),
            self.warm.sweeps.len().to_string(),
        ]);
        all
    }
}

/// Runs every set and size of perturbation.
pub(crate) fn run(args: &WarmStartArgs) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut report = Report::create(&args.report)?;
    for spec in &args.sets.sets {
        let set = args.sets.store(spec, folder.path())?;
        let (x, y) = set.load()?;
        let params = args.quality.params(args.report.seed, x.dim(0)?.max(y.dim(0)?));
        let name = |temperature: &str| format!("hiref {} {temperature}", args.quality.name());
        let case = Case { set: &set.name, x: &x, y: &y, cost: args.cost, optimum: set.optimum(args.cost) };
        let (first, first_output) = case.run(name("cold"), params.clone(), None)?;
        for (size, &noise) in args.noise.iter().enumerate() {
            for round in 0..args.repeat {
                let moved = |points: &Tensor, side: u64| {
                    perturbed(points, noise, &mut rng::stream(args.report.seed, &[size as u64, round, side]))
                };
                let (x, y) = (moved(&x, 0)?, moved(&y, 1)?);
                let case = Case { x: &x, y: &y, optimum: None, ..case };
                let (cold, _) = case.run(name("cold"), params.clone(), None)?;
                let (warm, _) = case.run(name("warm"), params.clone(), Some(&first_output.warm_start()))?;
                report.add(Pair {
                    quality: args.quality.name(),
                    noise,
                    first_seconds: first.seconds,
                    stale_cost: mean_cost(&Problem::new(&x, &y, args.cost)?, &first_output.permutation),
                    cost_to_cold: excess(warm.mean_cost, cold.mean_cost),
                    time_to_cold: warm.seconds / cold.seconds,
                    cold,
                    warm,
                })?;
            }
        }
    }
    report.finish()
}

/// Points, `(n, d)`, with Gaussian noise of `share` times their root mean square distance from their mean.
fn perturbed(points: &Tensor, share: f64, rng: &mut impl Rng) -> anyhow::Result<Tensor> {
    let (n, d) = points.dims2()?;
    let mut values: Vec<f32> = points.flatten_all()?.to_vec1()?;
    let mut mean = vec![0.0_f64; d];
    for row in values.chunks_exact(d) {
        mean.iter_mut().zip(row).for_each(|(mean, &v)| *mean += f64::from(v) / n as f64);
    }
    let square = |row: &[f32]| row.iter().zip(&mean).map(|(&v, mean)| (f64::from(v) - mean).powi(2)).sum::<f64>();
    let spread = (values.chunks_exact(d).map(square).sum::<f64>() / n as f64).sqrt();
    let scale = share * spread / (d as f64).sqrt();
    for value in &mut values {
        *value += (scale * rng.sample::<f64, _>(StandardNormal)) as f32;
    }
    Ok(Tensor::from_vec(values, (n, d), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hiref_testkit::problems;

    #[test]
    fn the_noise_has_the_size_asked_for() {
        let instance = problems::mixture(4000, 1, 3, 1);
        let x = Tensor::from_vec(instance.x.clone(), (4000, 3), &Device::Cpu).unwrap();
        let moved: Vec<f32> =
            perturbed(&x, 0.1, &mut rng::stream(1, &[])).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let square = |of: &mut dyn Iterator<Item = f64>| of.map(|v| v * v).sum::<f64>();
        let noise = square(&mut moved.iter().zip(&instance.x).map(|(&a, &b)| f64::from(a - b)));
        let mean = |k: usize| instance.x.iter().skip(k).step_by(3).map(|&v| f64::from(v)).sum::<f64>() / 4000.0;
        let means = [mean(0), mean(1), mean(2)];
        let spread = square(&mut instance.x.iter().enumerate().map(|(at, &v)| f64::from(v) - means[at % 3]));
        let share = (noise / spread).sqrt();
        assert!((share - 0.1).abs() < 0.002, "{share}");
    }
}
