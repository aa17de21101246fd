//! What a map does to the distribution: does it reach the targets' one, at what price, and can it be undone.

use super::metrics::Metric;
use crate::map::unit_rows;
use candle_core::{D, DType, Result, Tensor};
use hiref_baselines::Solver;
use hiref_baselines::sinkhorn::SinkhornParams;
use hiref_core::{CostKind, Problem};
use serde::{Deserialize, Serialize};

/// Regularisation of the divergence, as a share of the mean squared distance between both sides.
const EPSILON_SHARE: f64 = 0.05;
/// Enough for four digits of the divergence.
const MAX_ITERATIONS: usize = 500;

/// Figures of a map on items whose partners need not be known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MongeFigures {
    /// Sinkhorn divergence between the mapped sources and the targets, in squared distances of unit vectors.
    pub sinkhorn_divergence: f64,
    /// Share of the targets that are some mapped source's nearest.
    pub distinct_targets: f64,
    /// Mean squared distance between the sources and what the way there and back makes of them; none without a map back.
    pub cycle_error: Option<f64>,
}

impl MongeFigures {
    /// The figures under the names used in `summary.json`.
    pub fn figures(&self) -> Vec<Metric> {
        let mut figures = vec![
            Metric::lower("sinkhorn_divergence", self.sinkhorn_divergence),
            Metric::higher("distinct_targets", self.distinct_targets),
        ];
        figures.extend(self.cycle_error.map(|value| Metric::lower("cycle_error", value)));
        figures
    }
}

/// Figures of a map from what it makes of the sources: `mapped (n, e)`, the targets `(m, e)`, and, where there is a map
/// back, the sources `(n, d)` with their images there and back `(n, d)`. All rows are made unit vectors.
///
/// *Complexity*: O(n m e) and three Sinkhorn solves. *Determinism*: same bits whatever the number of threads.
///
/// # Errors
/// Empty sides, values that are not finite, shapes that do not agree.
pub fn monge_figures(
    mapped: &Tensor,
    target: &Tensor,
    there_and_back: Option<(&Tensor, &Tensor)>,
) -> std::result::Result<MongeFigures, hiref_core::Error> {
    let (mapped, target) = (unit_rows(mapped)?, unit_rows(target)?);
    let nearest = mapped.matmul(&target.t()?)?.argmax(D::Minus1)?.to_vec1::<u32>()?;
    let mut reached = vec![false; target.dim(0)?];
    nearest.iter().for_each(|&j| reached[j as usize] = true);
    Ok(MongeFigures {
        sinkhorn_divergence: sinkhorn_divergence(&mapped, &target)?,
        distinct_targets: reached.iter().filter(|&&reached| reached).count() as f64 / reached.len() as f64,
        cycle_error: there_and_back.map(|(x, back)| cycle_error(&unit_rows(x)?, &unit_rows(back)?)).transpose()?,
    })
}

/// `OT_ε(a, b) - (OT_ε(a, a) + OT_ε(b, b)) / 2` for squared distances, with ε a twentieth of the mean squared distance
/// between both sides: 0 where the two sets are one, never negative.
///
/// *Shapes*: `a (n, d)`, `b (m, d)`. *Complexity*: up to 500 passes over n m, n² and m² costs.
///
/// References: \[FSVATP19\] Feydy et al., "Interpolating between optimal transport and MMD using Sinkhorn divergences",
/// AISTATS 2019.
///
/// # Errors
/// Empty sides, values that are not finite, sides of different dimensions.
pub fn sinkhorn_divergence(a: &Tensor, b: &Tensor) -> std::result::Result<f64, hiref_core::Error> {
    let epsilon = (EPSILON_SHARE * mean_squared_distance(a, b)?).max(1e-12);
    let value = |x: &Tensor, y: &Tensor| -> std::result::Result<f64, hiref_core::Error> {
        let problem = Problem::new(x, y, CostKind::SquaredEuclidean)?;
        let params =
            SinkhornParams { epsilon: Some(epsilon), max_iterations: MAX_ITERATIONS, ..SinkhornParams::default() };
        Ok(params.check()?.solve(&problem, &())?.dual_cost)
    };
    Ok((value(a, b)? - 0.5 * (value(a, a)? + value(b, b)?)).max(0.0))
}

/// `mean |x_i - T(x_i)|² - min_σ mean |x_i - T(x_σ(i))|²`: what the map pays beyond the cheapest way to the same image;
/// 0 for an optimal map, never negative. Only where both spaces are one.
///
/// The minimum is over one-to-one pairings by the global solver, so the answer is a lower bound, exact where the solver
/// reaches the optimum (up to 16,384 items in few dimensions).
///
/// *Shapes*: `x (n, d)`, `mapped (n, d)`. *Complexity*: one pairing of n items.
///
/// References: \[UC23\] Uscidda, Cuturi, "The Monge gap", ICML 2023; we use the unregularised optimum.
///
/// # Errors
/// Sides of different shapes; values that are not finite.
pub fn monge_gap(x: &Tensor, mapped: &Tensor, seed: u64) -> std::result::Result<f64, hiref_core::Error> {
    let paid = cycle_error(x, mapped)?;
    let problem = Problem::new(x, mapped, CostKind::SquaredEuclidean)?;
    let solver = hiref_core::HirefParams { seed, ..hiref_core::HirefParams::default() }.check()?;
    let permutation = solver.solve(&problem, None, &())?.permutation;
    Ok((paid - hiref_core::mean_cost(&problem, &permutation)).max(0.0))
}

/// `mean |x_i - back_i|²` for `x (n, d)` and `back (n, d)`, what the way there and back made of x; O(n d).
///
/// # Errors
/// Sides of different shapes.
pub fn cycle_error(x: &Tensor, back: &Tensor) -> Result<f64> {
    (x - back)?.sqr()?.sum(1)?.to_dtype(DType::F64)?.mean(0)?.to_scalar()
}

/// `mean_ij |a_i - b_j|² = mean |a|² + mean |b|² - 2 (mean a) · (mean b)`.
fn mean_squared_distance(a: &Tensor, b: &Tensor) -> Result<f64> {
    let square = |side: &Tensor| side.sqr()?.sum(1)?.mean(0)?.to_scalar::<f32>().map(f64::from);
    let product = (a.mean(0)? * b.mean(0)?)?.sum_all()?.to_scalar::<f32>()?;
    Ok(square(a)? + square(b)? - 2.0 * f64::from(product))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hiref_core::rng;
    use rand_distr::{Distribution, StandardNormal};

    fn normal(n: usize, d: usize, purpose: u64) -> Tensor {
        let mut generator = rng::stream(2, &[purpose]);
        let values: Vec<f32> = (0..n * d).map(|_| StandardNormal.sample(&mut generator)).collect();
        Tensor::from_vec(values, (n, d), &Device::Cpu).unwrap()
    }

    #[test]
    fn the_divergence_of_a_shift_is_its_square() {
        let x = normal(200, 3, 0);
        assert!(sinkhorn_divergence(&x, &x).unwrap() < 1e-3);
        let shift = Tensor::new(&[[2f32, 0.0, 0.0]], &Device::Cpu).unwrap();
        // Regularised or not: a shift's optimal plan is the shift, and the debiasing takes the rest away.
        let divergence = sinkhorn_divergence(&x, &x.broadcast_add(&shift).unwrap()).unwrap();
        assert!((divergence - 4.0).abs() < 0.05, "{divergence}");
    }

    #[test]
    fn the_gap_is_zero_for_gradients_of_convex_functions_only() {
        let x = normal(150, 2, 1);
        assert!(monge_gap(&x, &(&x * 2.0).unwrap(), 0).unwrap() < 1e-6);
        // -x pays |2 x|² = 4 E|x|² where the same image could be had for less.
        let paid = 4.0 * f64::from(x.sqr().unwrap().sum(1).unwrap().mean(0).unwrap().to_scalar::<f32>().unwrap());
        let gap = monge_gap(&x, &x.neg().unwrap(), 0).unwrap();
        assert!(gap > 0.8 * paid && gap <= paid, "{gap} of {paid}");
    }

    #[test]
    fn figures_by_hand() {
        let x = Tensor::new(&[[2f32, 0.0], [0.0, 1.0]], &Device::Cpu).unwrap();
        let both_same = Tensor::new(&[[1f32, 0.0], [1.0, 0.1]], &Device::Cpu).unwrap();
        let back = Tensor::new(&[[1f32, 0.0], [1.0, 0.0]], &Device::Cpu).unwrap();
        let figures = monge_figures(&both_same, &x, Some((&x, &back))).unwrap();
        assert_eq!((figures.distinct_targets, figures.cycle_error), (0.5, Some(1.0)));
        assert_eq!(figures.figures().len(), 3);
        assert_eq!(monge_figures(&x, &x, None).unwrap().distinct_targets, 1.0);
    }
}
