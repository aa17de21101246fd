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

/// Two samples of what pretrained encoders make of natural data: a thousand clusters, each long in a few directions of its own, and
/// unit norm.
pub fn embeddings(n: usize, m: usize, d: usize, seed: u64) -> Instance {
    const CLUSTERS: usize = 1000;
    const DIRECTIONS: usize = 256;
    const OWN: usize = 16;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut rows = |count: usize| normal(&mut rng, count * d).into_iter().map(|v| v as f32).collect::<Vec<f32>>();
    let (centres, directions) = (rows(CLUSTERS), rows(DIRECTIONS));
    let own: Vec<[usize; OWN]> =
        (0..CLUSTERS).map(|_| std::array::from_fn(|_| rng.random_range(0..DIRECTIONS))).collect();
    let mut sample = |points: usize| {
        let mut rows = Vec::with_capacity(points * d);
        for _ in 0..points {
            let cluster = rng.random_range(0..CLUSTERS);
            let start = rows.len();
            let centre = &centres[cluster * d..][..d];
            rows.extend(centre.iter().map(|c| c + 0.3 * rng.sample::<f32, _>(StandardNormal)));
            let row: &mut [f32] = &mut rows[start..];
            for (k, &direction) in own[cluster].iter().enumerate() {
                let along = 0.5 * 0.85_f32.powi(k as i32) * rng.sample::<f32, _>(StandardNormal);
                row.iter_mut().zip(&directions[direction * d..][..d]).for_each(|(v, u)| *v += along * u);
            }
            let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter_mut().for_each(|v| *v /= norm);
        }
        rows
    };
    let (x, y) = (sample(n), sample(m));
    Instance::unknown(&format!("embeddings {n} x {m}, d = {d}"), x, y, d)
}

/// Two samples of what a sentence encoder makes of short texts: themes, topics within them and single texts, all spread as its principal
/// variances are, around a mean of their own; unit norm.
///
/// Fitted to 40,000 glosses of `WordNet` by all-minilm-l6-v2, 384 coordinates: variance k of d falls as `k^-0.45 (1 - k / (d + 1))^1.2` (outside the
/// leading 64, 128 and 256 lies .39, .19 and .03 of it, measured .45, .23 and .04), the mean has a norm of .24 (.23); of 20,000 y points the first,
/// eighth and 64th nearest to an x point are at a cosine distance of .37, .51 and .60 (.37, .51 and .63), all of them at .94 (.95).
pub fn text_embeddings(n: usize, m: usize, d: usize, seed: u64) -> Instance {
    const THEMES: usize = 100;
    const TOPICS: usize = 10_000;
    /// Of the variance: between themes, between topics of one, and within a topic.
    const SHARES: [f32; 3] = [0.33, 0.27, 0.4];
    /// Squared norm of the mean, for a variance of 1.
    const MEAN: f32 = 0.055;
    let mut rng = StdRng::seed_from_u64(seed);
    let variance = |k: usize| (k as f64).powf(-0.45) * (1.0 - k as f64 / (d + 1) as f64).powf(1.2);
    let total: f64 = (1..=d).map(variance).sum();
    let deviation: Vec<f32> = (1..=d).map(|k| (variance(k) / total).sqrt() as f32).collect();
    // Adds a draw of some share of the variance to a row.
    let spread = |row: &mut [f32], share: f32, rng: &mut StdRng| {
        let scale = share.sqrt();
        row.iter_mut().zip(&deviation).for_each(|(v, s)| *v += scale * s * rng.sample::<f32, _>(StandardNormal));
    };
    // The first of `count` groups are the largest.
    let group = |count: usize, rng: &mut StdRng| (rng.random::<f64>().powf(1.5) * count as f64) as usize;
    let mut themes = vec![0.0; THEMES * d];
    spread(&mut themes[..d], MEAN, &mut rng);
    let mean = themes[..d].to_vec();
    themes.chunks_exact_mut(d).for_each(|theme| theme.copy_from_slice(&mean));
    themes.chunks_exact_mut(d).for_each(|theme| spread(theme, SHARES[0], &mut rng));
    let mut topics = Vec::with_capacity(TOPICS * d);
    for topic in 0..TOPICS {
        topics.extend_from_slice(&themes[group(THEMES, &mut rng) * d..][..d]);
        spread(&mut topics[topic * d..], SHARES[1], &mut rng);
    }
    let mut sample = |points: usize| {
        let mut rows = Vec::with_capacity(points * d);
        for point in 0..points {
            rows.extend_from_slice(&topics[group(TOPICS, &mut rng) * d..][..d]);
            let row: &mut [f32] = &mut rows[point * d..];
            // Some texts are far from their topic, some close to it.
            let own = (0.6 * rng.sample::<f32, _>(StandardNormal)).exp();
            spread(row, SHARES[2] * own, &mut rng);
            let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter_mut().for_each(|v| *v /= norm);
        }
        rows
    };
    let (x, y) = (sample(n), sample(m));
    Instance::unknown(&format!("text embeddings {n} x {m}, d = {d}"), x, y, d)
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

/// A half moon as x and an S curve as y, as \[H25\] draws them (after \[B24\]), for any n.
///
/// The moon: n angles evenly over half a turn on the unit circle, noise 0.05, turned by 30 degrees, moved by (0, -0.5). The
/// curve: scikit-learn's S without its middle coordinate, noise 0.05, turned by -30 degrees, scaled by 0.6, moved by
/// (0.5, -2).
pub fn half_moon_s_curve(n: usize, seed: u64) -> Instance {
    let mut rng = StdRng::seed_from_u64(seed);
    let (sin, cos) = (TAU / 12.0).sin_cos();
    let (mut x, mut y) = (Vec::with_capacity(2 * n), Vec::with_capacity(2 * n));
    for i in 0..n {
        let mut noise = || 0.05 * rng.sample::<f64, _>(StandardNormal);
        let (height, width) = (TAU / 2.0 * i as f64 / (n.max(2) - 1) as f64).sin_cos();
        let (a, b) = (width + noise(), height + noise());
        x.extend([(cos * a - sin * b) as f32, (sin * a + cos * b - 0.5) as f32]);
        let noise = [noise(), noise()];
        let turn = 1.5 * TAU * (rng.random::<f64>() - 0.5);
        let (a, b) = (turn.signum() * (turn.cos() - 1.0) + noise[0], turn.sin() + noise[1]);
        y.extend([(0.6 * (cos * a + sin * b) + 0.5) as f32, (0.6 * (cos * b - sin * a) - 2.0) as f32]);
    }
    let (x, _) = shuffled(&x, 2, &mut rng);
    Instance::unknown(&format!("half moon to S curve, n = {n}"), x, y, 2)
}

/// Five Gaussians of deviation 0.25, at the corners and the centre of a square of side 10, as x, and four, at the middles
/// of its sides, as y: two dimensions; the checkerboard of \[H25\] (after \[M20\]).
pub fn checkerboard(n: usize, seed: u64) -> Instance {
    const FIVE: [[f64; 2]; 5] = [[0.0, 0.0], [5.0, 5.0], [5.0, -5.0], [-5.0, 5.0], [-5.0, -5.0]];
    const FOUR: [[f64; 2]; 4] = [[0.0, 5.0], [0.0, -5.0], [5.0, 0.0], [-5.0, 0.0]];
    let mut rng = StdRng::seed_from_u64(seed);
    let mut sample = |centres: &[[f64; 2]]| {
        let mut rows = Vec::with_capacity(2 * n);
        for _ in 0..n {
            let centre = centres[rng.random_range(0..centres.len())];
            rows.extend(centre.map(|v| (v + 0.25 * rng.sample::<f64, _>(StandardNormal)) as f32));
        }
        rows
    };
    let (x, y) = (sample(&FIVE), sample(&FOUR));
    Instance::unknown(&format!("checkerboard, n = {n}"), x, y, 2)
}

/// A bent Gaussian as x and four rings as y, as \[H25\] draws them (after \[B24\]): two dimensions.
///
/// x: `(½ (a + b²) - 5, b)` with standard normal a and b. y: a quarter of the points each, evenly spaced, on circles of
/// radius 0.75, 1.65, 2.7 and 3.6, noise 0.08.
pub fn moon_to_rings(n: usize, seed: u64) -> Instance {
    const RADII: [f64; 4] = [3.6, 2.7, 1.65, 0.75];
    let mut rng = StdRng::seed_from_u64(seed);
    let mut x = Vec::with_capacity(2 * n);
    for _ in 0..n {
        let (a, b): (f64, f64) = (rng.sample(StandardNormal), rng.sample(StandardNormal));
        x.extend([(0.5 * (a + b * b) - 5.0) as f32, b as f32]);
    }
    let mut y = Vec::with_capacity(2 * n);
    for (ring, radius) in RADII.into_iter().enumerate() {
        // What n / 4 leaves over goes to the innermost ring.
        let points = if ring < 3 { n / 4 } else { n - 3 * (n / 4) };
        for i in 0..points {
            let (sin, cos) = (TAU * i as f64 / points as f64).sin_cos();
            y.extend([cos, sin].map(|v| (radius * v + 0.08 * rng.sample::<f64, _>(StandardNormal)) as f32));
        }
    }
    let (y, _) = shuffled(&y, 2, &mut rng);
    Instance::unknown(&format!("moon to rings, n = {n}"), x, y, 2)
}

/// The toy flow of \[H25\]: x a Gaussian of covariance diag(0.6, 0.1); every point moves away from both axes, by 2 along
/// each. The optimum under the squared distance is 8 for every n, to the last bit.
///
/// y = x + 2 sign(x) is the gradient of the convex `|x|²/2 + 2 |x_1| + 2 |x_2|` (a subgradient of it on the axes), so x -> y
/// is cyclically monotone and optimal between the samples themselves, and every pair costs 2² + 2². The coordinates of x
/// are rounded to multiples of 2^-20, below which no f32 of less than 16 has bits to lose: y is exact, and so is y - x.
pub fn toy_ode(n: usize, seed: u64) -> Instance {
    const STEP: f64 = 1.0 / (1 << 20) as f64;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut x = Vec::with_capacity(2 * n);
    for _ in 0..n {
        for variance in [0.6_f64, 0.1] {
            let value = variance.sqrt() * rng.sample::<f64, _>(StandardNormal);
            x.push(((value / STEP).round() * STEP) as f32);
        }
    }
    let y: Vec<f32> = x.iter().map(|&v| if v < 0.0 { v - 2.0 } else { v + 2.0 }).collect();
    let costs = [Cost::SquaredEuclidean, Cost::NegativeInnerProduct];
    Instance::planted(format!("toy ODE, n = {n}"), (&x, &y), 2, &costs, &mut rng)
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
            toy_ode(61, 9),
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
    fn the_toy_flow_costs_eight_exactly() {
        for n in [1, 2, 1000, 4097] {
            let instance = toy_ode(n, n as u64);
            assert_eq!(instance.optimal_cost(Cost::SquaredEuclidean), 8.0, "n = {n}");
        }
    }

    #[test]
    fn the_sets_of_the_paper_lie_where_its_figures_show_them() {
        type Make = fn(usize, u64) -> Instance;
        // Bounds of x and of y, with a margin for noise of five deviations.
        let sets: [(Make, [[f32; 2]; 4]); 3] = [
            (half_moon_s_curve, [[-1.3, -1.3], [1.2, 0.8], [-0.9, -3.2], [1.9, -0.8]]),
            (checkerboard, [[-6.3, -6.3], [6.3, 6.3], [-6.3, -6.3], [6.3, 6.3]]),
            (moon_to_rings, [[-7.5, -5.0], [8.0, 5.0], [-4.0, -4.0], [4.0, 4.0]]),
        ];
        for (make, [x_low, x_high, y_low, y_high]) in sets {
            let instance = make(1001, 3);
            assert_eq!((instance.num_x(), instance.num_y(), instance.dimension), (1001, 1001, 2), "{}", instance.name);
            assert_eq!(make(1001, 3).y, instance.y, "{}", instance.name);
            for (points, low, high) in [(&instance.x, x_low, x_high), (&instance.y, y_low, y_high)] {
                for row in points.chunks_exact(2) {
                    let inside = (0..2).all(|k| low[k] < row[k] && row[k] < high[k]);
                    assert!(inside, "{}: {row:?}", instance.name);
                }
            }
        }
        assert_eq!(half_moon_s_curve(1, 1).x.len(), 2);
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
