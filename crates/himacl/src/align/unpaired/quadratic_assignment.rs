//! Matching two weighted graphs: the permutation that makes one symmetric matrix look most like the other.

use hiref_core::assignment::{AssignmentSolver, CostMatrix};
use hiref_core::rng;
use rand::Rng;
use rand::seq::SliceRandom;

/// Frank-Wolfe steps of one start; they converge in a few.
const MOST_STEPS: usize = 30;
/// A Frank-Wolfe step that gains less than this share of the bound ends the ascent.
const LEAST_GAIN: f64 = 1e-6;
/// Names the streams of the starts.
const START: u64 = 0x7161_7073;

/// A symmetric matrix, `(size, size)`, by rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Symmetric {
    pub(super) size: usize,
    pub(super) values: Vec<f64>,
}

impl Symmetric {
    /// From its entries; `entry(i, j)` must equal `entry(j, i)`.
    pub(super) fn from_fn(size: usize, entry: impl Fn(usize, usize) -> f64) -> Self {
        Self { size, values: (0..size * size).map(|at| entry(at / size, at % size)).collect() }
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.size..][..self.size]
    }

    fn norm(&self) -> f64 {
        self.values.iter().map(|value| value * value).sum::<f64>().sqrt()
    }
}

/// A matching of the indices of two matrices.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Matching {
    /// Index of b for each index of a.
    pub(super) partner: Vec<usize>,
    /// `Σ_ij a_ij b_p(i)p(j) / (|a| |b|)`, at most 1; for centred Gram matrices this is linear CKA.
    pub(super) alignment: f64,
}

/// The best matching found: `argmax_p Σ_ij a_ij b_p(i)p(j)`.
///
/// Each of `starts` starts ascends the relaxation over doubly stochastic matrices by Frank-Wolfe steps with an exact line
/// search, rounds by one assignment, and exchanges pairs of partners while that gains. The first start is the centre
/// of the relaxation, the others halfway from there to random permutations.
///
/// *Complexity*: about `starts` · 30 · 2 c³ for c indices. *Determinism*: a function of the arguments.
///
/// References: \[VCP15\] Vogelstein et al., "Fast approximate quadratic programming for graph matching", PLOS ONE 10,
/// 2015 (FAQ). We differ in the exchanges after each rounding.
pub(super) fn best_matching(a: &Symmetric, b: &Symmetric, starts: usize, seed: u64, path: &[u64]) -> Matching {
    assert_eq!(a.size, b.size, "matrices of one size");
    let size = a.size;
    let scale = (a.norm() * b.norm()).max(f64::MIN_POSITIVE);
    let mut rounding = Rounding::default();
    let mut best: Option<Matching> = None;
    for start in 0..starts.max(1) {
        let mut generator = rng::stream(seed, &[&[START], path, &[start as u64]].concat());
        let mut soft = vec![1.0 / size as f64; size * size];
        if start > 0 {
            let mut order: Vec<usize> = (0..size).collect();
            order.shuffle(&mut generator);
            let share = generator.random_range(0.3..0.7);
            soft.iter_mut().for_each(|value| *value *= 1.0 - share);
            order.iter().enumerate().for_each(|(i, &p)| soft[i * size + p] += share);
        }
        let mut partner = rounding.ascend(a, b, soft, LEAST_GAIN * scale);
        exchange(a, b, &mut partner);
        let alignment = value(a, b, &partner) / scale;
        if best.as_ref().is_none_or(|best| alignment > best.alignment) {
            best = Some(Matching { partner, alignment });
        }
    }
    best.expect("at least one start")
}

/// `Σ_ij a_ij b_p(i)p(j)`.
fn value(a: &Symmetric, b: &Symmetric, partner: &[usize]) -> f64 {
    (0..a.size)
        .map(|i| {
            let other = b.row(partner[i]);
            a.row(i).iter().zip(partner).map(|(&entry, &p)| entry * other[p]).sum::<f64>()
        })
        .sum()
}

/// Assignments, with their memory.
#[derive(Default)]
struct Rounding {
    solver: AssignmentSolver<f64>,
    cost: CostMatrix<f64>,
}

impl Rounding {
    /// `argmax_p Σ_i gain_ip(i)`.
    fn round(&mut self, gain: &[f64], size: usize) -> Vec<usize> {
        self.cost.resize(size);
        for (i, row) in self.cost.rows_mut().take(size).enumerate() {
            row.iter_mut().zip(&gain[i * size..]).for_each(|(cost, &gain)| *cost = -gain);
        }
        self.solver.solve(&self.cost).column_of_row.iter().map(|&column| column as usize).collect()
    }

    /// Frank-Wolfe ascent of `tr(a P b Pᵀ)` from the doubly stochastic `soft`, rounded.
    fn ascend(&mut self, a: &Symmetric, b: &Symmetric, mut soft: Vec<f64>, least_gain: f64) -> Vec<usize> {
        let size = a.size;
        let mut image = sandwiched(a, &soft, b);
        for _ in 0..MOST_STEPS {
            let corner = self.round(&image, size);
            let corner_image = sandwiched_permutation(a, &corner, b);
            // Along soft + t (corner - soft) the value is constant + slope t + curvature t².
            let inner = |image: &[f64], at: &dyn Fn(usize) -> f64| -> f64 {
                image.iter().enumerate().map(|(at_entry, value)| value * at(at_entry)).sum()
            };
            let at_corner =
                |image: &[f64]| -> f64 { corner.iter().enumerate().map(|(i, &p)| image[i * size + p]).sum() };
            let (soft_soft, soft_corner) = (inner(&image, &|at| soft[at]), at_corner(&image));
            let corner_corner = at_corner(&corner_image);
            let slope = 2.0 * (soft_corner - soft_soft);
            let curvature = soft_soft - 2.0 * soft_corner + corner_corner;
            let step = if curvature < 0.0 { (-slope / (2.0 * curvature)).clamp(0.0, 1.0) } else { 1.0 };
            if slope * step + curvature * step * step <= least_gain {
                break;
            }
            soft.iter_mut().for_each(|value| *value *= 1.0 - step);
            corner.iter().enumerate().for_each(|(i, &p)| soft[i * size + p] += step);
            image.iter_mut().zip(&corner_image).for_each(|(image, corner)| *image += step * (corner - *image));
        }
        self.round(&soft, size)
    }
}

/// `a P b`, `(size, size)`.
fn sandwiched(a: &Symmetric, p: &[f64], b: &Symmetric) -> Vec<f64> {
    times(&times(&a.values, p, a.size), &b.values, a.size)
}

/// `a P b` where P is a permutation: row i of `P b` is row `partner[i]` of b.
fn sandwiched_permutation(a: &Symmetric, partner: &[usize], b: &Symmetric) -> Vec<f64> {
    let rows: Vec<f64> = partner.iter().flat_map(|&p| b.row(p).iter().copied()).collect();
    times(&a.values, &rows, a.size)
}

fn times(left: &[f64], right: &[f64], size: usize) -> Vec<f64> {
    let mut product = vec![0.0; size * size];
    for (row, out) in left.chunks(size).zip(product.chunks_mut(size)) {
        for (&factor, right) in row.iter().zip(right.chunks(size)) {
            out.iter_mut().zip(right).for_each(|(sum, &value)| *sum += factor * value);
        }
    }
    product
}

/// Exchanges the partners of the two indices that gain most, until none gains.
fn exchange(a: &Symmetric, b: &Symmetric, partner: &mut [usize]) {
    let size = a.size;
    let tolerance = 1e-12 * (a.norm() * b.norm()).max(f64::MIN_POSITIVE);
    loop {
        let mut best = (tolerance, 0, 0);
        for r in 0..size {
            for s in r + 1..size {
                let gain = exchange_gain(a, b, partner, r, s);
                if gain > best.0 {
                    best = (gain, r, s);
                }
            }
        }
        if best.0 <= tolerance {
            return;
        }
        partner.swap(best.1, best.2);
    }
}

/// What exchanging the partners of r and s adds to [`value`]; O(c).
fn exchange_gain(a: &Symmetric, b: &Symmetric, partner: &[usize], r: usize, s: usize) -> f64 {
    let (p, q) = (partner[r], partner[s]);
    let (a_r, a_s, b_p, b_q) = (a.row(r), a.row(s), b.row(p), b.row(q));
    let cross: f64 = (0..a.size)
        .filter(|&k| k != r && k != s)
        .map(|k| (a_r[k] - a_s[k]) * (b_q[partner[k]] - b_p[partner[k]]))
        .sum();
    2.0 * cross + (a_r[r] - a_s[s]) * (b_q[q] - b_p[p])
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_distr::{Distribution, StandardNormal};

    /// A centred Gram matrix of random points in 3 dimensions.
    fn gram(size: usize, seed: u64) -> Symmetric {
        let mut generator = rng::stream(seed, &[]);
        let points: Vec<f64> = (0..size * 3).map(|_| StandardNormal.sample(&mut generator)).collect();
        let inner = |i: usize, j: usize| (0..3).map(|d| points[i * 3 + d] * points[j * 3 + d]).sum::<f64>();
        Symmetric::from_fn(size, inner)
    }

    fn brute_force(a: &Symmetric, b: &Symmetric) -> f64 {
        fn descend(a: &Symmetric, b: &Symmetric, partner: &mut Vec<usize>, best: &mut f64) {
            if partner.len() == a.size {
                *best = best.max(value(a, b, partner));
                return;
            }
            for p in 0..a.size {
                if !partner.contains(&p) {
                    partner.push(p);
                    descend(a, b, partner, best);
                    partner.pop();
                }
            }
        }
        let mut best = f64::NEG_INFINITY;
        descend(a, b, &mut Vec::new(), &mut best);
        best / (a.norm() * b.norm())
    }

    #[test]
    fn small_problems_are_solved_to_the_optimum() {
        for seed in 0..12 {
            let (a, b) = (gram(7, seed), gram(7, seed + 100));
            let found = best_matching(&a, &b, 24, 0, &[]);
            let optimum = brute_force(&a, &b);
            assert!((found.alignment - optimum).abs() < 1e-9, "seed {seed}: {} of {optimum}", found.alignment);
            let again = value(&a, &b, &found.partner) / (a.norm() * b.norm());
            assert!((again - found.alignment).abs() < 1e-12);
        }
    }

    #[test]
    fn a_planted_permutation_is_found() {
        let a = gram(25, 3);
        let mut order: Vec<usize> = (0..25).collect();
        order.shuffle(&mut rng::stream(1, &[]));
        let mut planted = vec![0; 25];
        order.iter().enumerate().for_each(|(to, &from)| planted[from] = to);
        let b = Symmetric::from_fn(25, |i, j| a.row(order[i])[order[j]]);
        let found = best_matching(&a, &b, 16, 0, &[]);
        assert_eq!(found.partner, planted);
        assert!((found.alignment - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_gain_of_an_exchange_is_the_difference_of_values() {
        let (a, b) = (gram(6, 1), gram(6, 2));
        let partner = vec![3, 1, 5, 0, 2, 4];
        for (r, s) in [(0, 1), (2, 5), (3, 4)] {
            let mut exchanged = partner.clone();
            exchanged.swap(r, s);
            let difference = value(&a, &b, &exchanged) - value(&a, &b, &partner);
            assert!((difference - exchange_gain(&a, &b, &partner, r, s)).abs() < 1e-12);
        }
    }
}
