//! Transport problems, most with an optimum known by construction.
//!
//! Both sides come shuffled, so that no optimum is the identity.

use crate::UNMATCHED;
use crate::cost::Cost;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_distr::StandardNormal;
use std::f64::consts::TAU;

/// Two supports, and what is known of their optimal pairing.
#[derive(Debug, Clone)]
pub struct Instance {
    /// What it is called in messages.
    pub name: String,
    /// `(n, d)`
    pub x: Vec<f32>,
    /// `(m, d)`
    pub y: Vec<f32>,
    /// Number of coordinates, d.
    pub dimension: usize,
    /// An optimal `y_of_x`, `(n,)`, for the costs in `optimal_for`.
    pub optimum: Option<Vec<u32>>,
    /// The costs under which `optimum` is optimal.
    pub optimal_for: Vec<Cost>,
}

impl Instance {
    /// Two supports of which nothing is known.
    pub fn unknown(name: &str, x: Vec<f32>, y: Vec<f32>, dimension: usize) -> Self {
        Self { name: name.to_owned(), x, y, dimension, optimum: None, optimal_for: Vec::new() }
    }

    /// Number of x points, n.
    pub fn num_x(&self) -> usize {
        self.x.len() / self.dimension
    }

    /// Number of y points, m.
    pub fn num_y(&self) -> usize {
        self.y.len() / self.dimension
    }

    /// The least mean cost over the min(n, m) pairs, in f64.
    ///
    /// # Panics
    /// If the optimum under this cost is not known.
    pub fn optimal_cost(&self, cost: Cost) -> f64 {
        assert!(self.optimal_for.contains(&cost), "{}: the optimum under {cost:?} is not known", self.name);
        let optimum = self.optimum.as_ref().expect("an optimum comes with the costs it is optimal for");
        let d = self.dimension;
        let pairs = optimum.iter().enumerate().filter(|&(_, &j)| j != UNMATCHED);
        let total: f64 = pairs.map(|(i, &j)| cost.between(&self.x[i * d..][..d], &self.y[j as usize * d..][..d])).sum();
        total / self.num_x().min(self.num_y()) as f64
    }

    /// The same problem with the sides exchanged.
    #[must_use]
    pub fn turned(&self) -> Self {
        let turn = |y_of_x: &Vec<u32>| {
            let mut x_of_y = vec![UNMATCHED; self.num_y()];
            for (i, &j) in y_of_x.iter().enumerate().filter(|&(_, &j)| j != UNMATCHED) {
                x_of_y[j as usize] = i as u32;
            }
            x_of_y
        };
        Self {
            name: format!("{}, turned", self.name),
            x: self.y.clone(),
            y: self.x.clone(),
            dimension: self.dimension,
            optimum: self.optimum.as_ref().map(turn),
            optimal_for: self.optimal_for.clone(),
        }
    }

    /// Takes rows of which the first min(n, m) belong together, and shuffles both sides.
    fn planted(
        name: String,
        (x, y): (&[f32], &[f32]),
        dimension: usize,
        optimal_for: &[Cost],
        rng: &mut StdRng,
    ) -> Self {
        let (x, place_x) = shuffled(x, dimension, rng);
        let (y, place_y) = shuffled(y, dimension, rng);
        let mut optimum = vec![UNMATCHED; place_x.len()];
        for (&i, &j) in place_x.iter().zip(&place_y) {
            optimum[i as usize] = j;
        }
        Self { name, x, y, dimension, optimum: Some(optimum), optimal_for: optimal_for.to_vec() }
    }
}

/// The rows in random order, and the new place of each.
fn shuffled(rows: &[f32], d: usize, rng: &mut StdRng) -> (Vec<f32>, Vec<u32>) {
    let mut place: Vec<u32> = (0..(rows.len() / d) as u32).collect();
    place.shuffle(rng);
    let mut out = vec![0.0; rows.len()];
    for (row, &to) in rows.chunks_exact(d).zip(&place) {
        out[to as usize * d..][..d].copy_from_slice(row);
    }
    (out, place)
}

/// A permutation with a gap: both sides sit on sites of a unit lattice, y at most 0.1 away from its site.
///
/// Partners are at most 0.1 apart and all others at least 0.9, so the planted pairs are the one optimum under both
/// distances. With n != m the larger side holds more sites.
pub fn planted(n: usize, m: usize, d: usize, seed: u64) -> Instance {
    let mut rng = StdRng::seed_from_u64(seed);
    let sites = n.max(m);
    let mut side = 1_usize;
    while side.pow(d as u32) < sites {
        side += 1;
    }
    let mut order: Vec<usize> = (0..sites).collect();
    order.shuffle(&mut rng);
    let site = |of: usize, k: usize| (of / side.pow(k as u32) % side) as f32;
    let x: Vec<f32> = order[..n].iter().flat_map(|&of| (0..d).map(move |k| site(of, k))).collect();
    let jitter = 0.1 / (d as f32).sqrt();
    let mut y = Vec::with_capacity(m * d);
    for &of in &order[..m] {
        for k in 0..d {
            y.push(site(of, k) + rng.random_range(-jitter..jitter));
        }
    }
    let costs = [Cost::SquaredEuclidean, Cost::Euclidean];
    Instance::planted(format!("planted {n} x {m}, d = {d}"), (&x, &y), d, &costs, &mut rng)
}

/// A permutation with a gap under every cost: evenly spaced unit vectors on a random great circle of d >= 2 dimensions, y
/// turned by at most a tenth of the spacing.
///
/// # Panics
/// If d < 2.
pub fn planted_on_circle(n: usize, m: usize, d: usize, seed: u64) -> Instance {
    assert!(d >= 2, "a circle needs two dimensions");
    let mut rng = StdRng::seed_from_u64(seed);
    let sites = n.max(m);
    let mut first = normal(&mut rng, d);
    unit(&mut first);
    let mut second = normal(&mut rng, d);
    let inner: f64 = first.iter().zip(&second).map(|(a, b)| a * b).sum();
    second.iter_mut().zip(&first).for_each(|(b, a)| *b -= inner * a);
    unit(&mut second);
    let at = |turn: f64| {
        let (sin, cos) = (turn * TAU / sites as f64).sin_cos();
        first.iter().zip(&second).map(move |(a, b)| (a * cos + b * sin) as f32).collect::<Vec<f32>>()
    };
    let mut order: Vec<usize> = (0..sites).collect();
    order.shuffle(&mut rng);
    let x: Vec<f32> = order[..n].iter().flat_map(|&of| at(of as f64)).collect();
    let y: Vec<f32> = order[..m].iter().flat_map(|&of| at(of as f64 + rng.random_range(-0.1..0.1))).collect();
    Instance::planted(format!("circle {n} x {m}, d = {d}"), (&x, &y), d, &Cost::ALL, &mut rng)
}

/// Every site of [`planted_on_circle`] holds `copies` equal points, on both sides.
///
/// # Panics
/// If d < 2.
pub fn duplicates(sites: usize, copies: usize, d: usize, seed: u64) -> Instance {
    let once = planted_on_circle(sites, sites, d, seed);
    let mut rng = StdRng::seed_from_u64(seed ^ 1);
    let optimum = once.optimum.as_ref().expect("planted");
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for (i, &j) in optimum.iter().enumerate() {
        for _ in 0..copies {
            x.extend_from_slice(&once.x[i * d..][..d]);
            y.extend_from_slice(&once.y[j as usize * d..][..d]);
        }
    }
    Instance::planted(format!("{copies} copies of {sites}, d = {d}"), (&x, &y), d, &Cost::ALL, &mut rng)
}

/// All points of both sides are one point: every pairing is optimal.
pub fn all_equal(n: usize, m: usize, d: usize) -> Instance {
    let row: Vec<f32> = (0..d).map(|k| 0.5 + k as f32).collect();
    Instance {
        name: format!("all equal, {n} x {m}, d = {d}"),
        x: row.repeat(n),
        y: row.repeat(m),
        dimension: d,
        optimum: Some((0..n as u32).map(|i| if (i as usize) < m { i } else { UNMATCHED }).collect()),
        optimal_for: Cost::ALL.to_vec(),
    }
}

/// Random points on a line through d dimensions, d = 1 included: sorted order is optimal under both distances, and under the
/// inner product because n = m.
///
/// The directions are small integers over a power of two, so that the points are collinear in f32 too.
pub fn on_a_line(n: usize, d: usize, seed: u64) -> Instance {
    let mut rng = StdRng::seed_from_u64(seed);
    let direction: Vec<f32> = (0..d).map(|k| [1.0, -0.5, 2.0, 0.25][k % 4]).collect();
    let mut points = |centre: f32, spread: f32| {
        let mut at: Vec<f32> = (0..n).map(|_| centre + spread * rng.random_range(-1.0..1.0_f32)).collect();
        at.sort_unstable_by(f32::total_cmp);
        at.into_iter().flat_map(|at| direction.iter().map(move |v| at * v).collect::<Vec<f32>>()).collect::<Vec<f32>>()
    };
    let (x, y) = (points(0.0, 1.0), points(0.5, 2.0));
    let costs = [Cost::SquaredEuclidean, Cost::Euclidean, Cost::NegativeInnerProduct];
    Instance::planted(format!("line of {n}, d = {d}"), (&x, &y), d, &costs, &mut rng)
}

/// y is x moved by one vector of length `distance`: the optimum is `distance²` and `distance`, whatever x is.
pub fn moved(n: usize, d: usize, distance: f32, seed: u64) -> Instance {
    let mut rng = StdRng::seed_from_u64(seed);
    let x: Vec<f32> = normal(&mut rng, n * d).into_iter().map(|v| v as f32).collect();
    let step = distance / (d as f32).sqrt();
    let y: Vec<f32> = x.iter().map(|v| v + step).collect();
    let costs = [Cost::SquaredEuclidean, Cost::Euclidean, Cost::NegativeInnerProduct];
    Instance::planted(format!("moved by {distance}, n = {n}, d = {d}"), (&x, &y), d, &costs, &mut rng)
}

/// y is the gradient of a strictly convex function at x, so x -> y is cyclically monotone: optimal for the squared distance
/// and the inner product.
///
/// The function is `|x|²/2 + Σ_k log cosh(<w_k, x>)` with random w, whose gradient mixes all coordinates.
pub fn convex_gradient(n: usize, d: usize, seed: u64) -> Instance {
    let mut rng = StdRng::seed_from_u64(seed);
    let weights: Vec<Vec<f64>> = (0..d).map(|_| normal(&mut rng, d)).collect();
    let x: Vec<f32> = normal(&mut rng, n * d).into_iter().map(|v| v as f32).collect();
    let mut y = Vec::with_capacity(n * d);
    for row in x.chunks_exact(d) {
        let mut image: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
        for w in &weights {
            let slope = w.iter().zip(row).map(|(w, &v)| w * f64::from(v)).sum::<f64>().tanh();
            image.iter_mut().zip(w).for_each(|(out, w)| *out += slope * w);
        }
        y.extend(image.into_iter().map(|v| v as f32));
    }
    let costs = [Cost::SquaredEuclidean, Cost::NegativeInnerProduct];
    Instance::planted(format!("convex gradient, n = {n}, d = {d}"), (&x, &y), d, &costs, &mut rng)
}

/// [`planted`] with one more pair of partners, far away: `offset` along every coordinate.
///
/// # Panics
/// Never: the optimum of a planted problem is known.
pub fn outlier_pair(n: usize, d: usize, offset: f32, seed: u64) -> Instance {
    let near = planted(n - 1, n - 1, d, seed);
    let mut rng = StdRng::seed_from_u64(seed ^ 1);
    let (mut x, mut y) = (vec![offset; d], vec![offset; d]);
    for (i, &j) in near.optimum.as_ref().expect("planted").iter().enumerate() {
        x.extend_from_slice(&near.x[i * d..][..d]);
        y.extend_from_slice(&near.y[j as usize * d..][..d]);
    }
    let name = format!("outliers at {offset:e}, n = {n}, d = {d}");
    Instance::planted(name, (&x, &y), d, &near.optimal_for, &mut rng)
}

/// Two samples of one mixture of ten Gaussians.
pub fn mixture(n: usize, m: usize, d: usize, seed: u64) -> Instance {
    const COMPONENTS: usize = 10;
    let mut rng = StdRng::seed_from_u64(seed);
    let centres: Vec<f64> = normal(&mut rng, COMPONENTS * d).into_iter().map(|v| 3.0 * v).collect();
    let mut sample = |points: usize| {
        let mut rows = Vec::with_capacity(points * d);
        for _ in 0..points {
            let component = rng.random_range(0..COMPONENTS);
            for k in 0..d {
                rows.push((centres[component * d + k] + rng.sample::<f64, _>(StandardNormal)) as f32);
            }
        }
        rows
    };
    let (x, y) = (sample(n), sample(m));
    Instance::unknown(&format!("mixture {n} x {m}, d = {d}"), x, y, d)
}

/// x is one standard Gaussian; y has `near` points of the same and `far` points of one centred `distance` away.
pub fn two_clusters(n: usize, near: usize, far: usize, d: usize, distance: f32, seed: u64) -> Instance {
    let mut rng = StdRng::seed_from_u64(seed);
    let x: Vec<f32> = normal(&mut rng, n * d).into_iter().map(|v| v as f32).collect();
    let mut y: Vec<f32> = normal(&mut rng, (near + far) * d).into_iter().map(|v| v as f32).collect();
    y[near * d..].iter_mut().for_each(|v| *v += distance / (d as f32).sqrt());
    let (y, _) = shuffled(&y, d, &mut rng);
    Instance::unknown(&format!("{n} x {near} near and {far} far, d = {d}"), x, y, d)
}

/// A half moon as x and an S curve as y, both with Gaussian noise: two dimensions.
pub fn half_moon(n: usize, seed: u64) -> Instance {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut x, mut y) = (Vec::with_capacity(2 * n), Vec::with_capacity(2 * n));
    for _ in 0..n {
        let mut noise = |scale: f64| scale * rng.sample::<f64, _>(StandardNormal);
        let (moon, curve) = ([noise(0.1), noise(0.1)], [noise(0.1), noise(0.1)]);
        let (sin, cos) = (rng.random::<f64>() * TAU / 2.0).sin_cos();
        x.extend([(2.0 * cos + moon[0]) as f32, (2.0 * sin + moon[1]) as f32]);
        let turn = 1.5 * TAU * (rng.random::<f64>() - 0.5);
        y.extend([(turn.sin() + curve[0] + 2.0) as f32, (turn.signum() * (turn.cos() - 1.0) + curve[1]) as f32]);
    }
    Instance::unknown(&format!("half moon, n = {n}"), x, y, 2)
}

fn normal(rng: &mut StdRng, count: usize) -> Vec<f64> {
    (0..count).map(|_| rng.sample(StandardNormal)).collect()
}

fn unit(vector: &mut [f64]) {
    let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
    for v in vector {
        *v /= norm;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assignment::exact_assignment;
    use crate::check::{Claim, check_coupling};

    #[test]
    fn planted_optima_are_optimal() {
        for instance in [
            planted(60, 60, 2, 1),
            planted(60, 60, 5, 1),
            planted(40, 70, 3, 2),
            planted(70, 40, 3, 2),
            planted_on_circle(61, 61, 2, 3),
            planted_on_circle(40, 70, 7, 4),
            planted_on_circle(70, 40, 7, 4),
            duplicates(20, 3, 3, 5),
            all_equal(20, 20, 3),
            all_equal(20, 25, 3),
            all_equal(25, 20, 3),
            on_a_line(60, 1, 6),
            on_a_line(60, 5, 7),
            moved(60, 4, 2.0, 8),
            convex_gradient(60, 3, 9),
            outlier_pair(60, 3, 1e6, 10),
            outlier_pair(60, 3, 1e6, 10).turned(),
        ] {
            for &cost in &instance.optimal_for {
                let expected = exact_assignment(&instance.x, &instance.y, instance.dimension, cost).mean_cost;
                let claimed = instance.optimal_cost(cost);
                let slack = 1e-6 * expected.abs().max(1e-6);
                assert!((claimed - expected).abs() <= slack, "{} {cost:?}: {claimed}, {expected}", instance.name);
                let claim = Claim {
                    supports: Some((&instance.x, &instance.y)),
                    dimension: Some(instance.dimension),
                    cost: Some(cost),
                    y_of_x: instance.optimum.as_deref(),
                    num_pairs: Some(instance.num_x().min(instance.num_y())),
                    mean_cost: Some(claimed),
                };
                check_coupling(&claim).unwrap();
            }
        }
    }

    #[test]
    fn a_move_costs_its_length() {
        let instance = moved(100, 4, 2.0, 8);
        assert!((instance.optimal_cost(Cost::SquaredEuclidean) - 4.0).abs() < 1e-5);
        assert!((instance.optimal_cost(Cost::Euclidean) - 2.0).abs() < 1e-5);
    }

    #[test]
    fn unknown_problems_have_their_sizes_and_repeat() {
        for make in [|| mixture(30, 40, 3, 1), || two_clusters(30, 35, 5, 3, 100.0, 1)] {
            let instance = make();
            assert_eq!((instance.num_x(), instance.num_y()), (30, 40));
            assert_eq!(instance.y, make().y);
        }
        assert_eq!(half_moon(50, 1).x.len(), 100);
    }
}
