//! Small reduced costs from the clusters whose centres promise them: a small part of the work of all pairs, and no proof.

use super::bytes::{ByteBounds, quantize};
use super::candidates::{Least, Pricing};
use super::clusters::{Clusters, MOST_MEMBERS, centres};
use super::search::Scan;
use super::tiles::{LANES, Tiles};
use crate::cost::CostKind;
use crate::geometry::Supports;
use crate::points::Rows;
use hiref_kernels::bytes::{ByteColumns, ByteRows, Quantizer};
use rayon::prelude::*;
use std::ops::Range;

/// Rows of one unit of work: neighbours, many of whom look into the same clusters; and rows that choose theirs at once.
const ROWS: usize = 2048;
const CHOOSING_ROWS: usize = 64;
/// Each row looks into so many clusters at least.
const FEWEST_PROBED: usize = 16;
/// Clusters between two questions whether to stop.
const VISITS_BETWEEN_QUESTIONS: usize = 256;
/// The clusters that a row looks into before all others: what they hold leaves little of the others to look at closely.
const FIRST: usize = 2;

/// Both sides of a problem in clusters, for the reduced costs of pairs that are likely to be small.
///
/// An inverted file, as searches for nearest neighbours have it \[JDS11\]: each row looks into the clusters whose centre and mean price promise the least reduced costs. Measured on text embeddings of 384 dimensions, n = 58,829, at the optimal prices: a
/// 50th of the clusters holds the least one of 83% of the rows, a 20th that of 93%. Prices are no coordinates, so the same clusters serve every round.
pub(crate) struct Clustered {
    x: Clusters,
    y: Clusters,
}

impl Clustered {
    /// `None` if asked to stop. O((n² + m²) d / 128) in bytes.
    pub(crate) fn new(supports: Supports<'_>, should_stop: &(dyn Fn() -> bool + Sync)) -> Option<Self> {
        let d = supports.dimension();
        let of = |rows: Rows<'_>| {
            let mut values = rows.all().into_owned();
            if supports.cost == CostKind::Cosine {
                values.par_chunks_exact_mut(d).for_each(|row| {
                    let norm = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
                    row.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
                });
            }
            Clusters::new(values, d, should_stop)
        };
        Some(Self { x: of(supports.x)?, y: of(supports.y)? })
    }

    /// For each x point, up to `width` y points of small `c_ij - g_j` by rising order, from the `share` of the clusters that promise most; where there are fewer, the last stands
    /// for the rest. The floor is that of the first, and no bound. `None` if asked to stop. O(n m d (share + 1 / 128)) in bytes.
    pub(super) fn price(
        &self,
        supports: Supports<'_>,
        g: &[f64],
        (share, width): (f64, usize),
        should_stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Pricing> {
        Probe::new(supports, self.x.order(), &self.y, g, (share, width)).price(should_stop)
    }

    /// The same for each y point, `width` x points of small `c_ij - f_i`.
    pub(super) fn price_y(
        &self,
        supports: Supports<'_>,
        f: &[f64],
        (share, width): (f64, usize),
        should_stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Pricing> {
        Probe::new(supports.turned(), self.y.order(), &self.x, f, (share, width)).price(should_stop)
    }
}

/// The centres of clusters as bytes, and what is promised by them.
///
/// A promise is the mean reduced cost of a row with the members, less one standard deviation: the inner product with the centre, the mean of what else each
/// member brings (`|y|² - g`, or `-g`), less the root of its variance and that of the inner products, which is as if members were scattered alike in all directions.
struct Centres {
    bytes: ByteColumns,
    scales: Vec<f32>,
    /// Under the Euclidean cost the mean of `|y|²`, a term of its square; else 0.
    squares: Vec<f32>,
    terms: Vec<f32>,
}

impl Centres {
    fn new(tiles: &Tiles, ranges: &[Range<usize>]) -> Self {
        let (d, values) = (tiles.dimension(), tiles.values()[1]);
        let all: Vec<u32> = (0..(values.len() / d) as u32).collect();
        let centres = centres(values, d, &all, ranges);
        let (bytes, rows) = quantize(&Quantizer::of_columns(d), &centres, d);
        let norms = tiles.norms()[0];
        let size = norms.iter().map(|norm| norm * norm).sum::<f64>() / norms.len() as f64;
        // What the variance of an inner product is to that of the cost; of a distance it is 1 in the direction of the centre.
        let factor = match tiles.cost() {
            CostKind::SquaredEuclidean => 4.0 * size,
            CostKind::Cosine | CostKind::NegativeInnerProduct => size,
            CostKind::Euclidean => 1.0,
        };
        let of_cluster = |(centre, range): (&[f32], &Range<usize>)| {
            let mean = |of: &dyn Fn(usize) -> f64| range.clone().map(of).sum::<f64>() / range.len() as f64;
            let square = |at: usize| tiles.norms()[1][at].powi(2);
            let mean_square = mean(&square);
            let scatter = mean_square - centre.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
            let own = |at: usize| {
                let square = if tiles.cost() == CostKind::SquaredEuclidean { square(at) } else { 0.0 };
                square - f64::from(tiles.prices()[at])
            };
            let mean_own = mean(&own);
            let variance = mean(&|at| (own(at) - mean_own).powi(2)) + factor * scatter.max(0.0) / d as f64;
            let of_square = if tiles.cost() == CostKind::Euclidean { mean_square } else { 0.0 };
            (of_square as f32, (mean_own - variance.sqrt()) as f32)
        };
        let (squares, terms) = centres.par_chunks_exact(d).zip(ranges).map(of_cluster).unzip();
        let scales = rows.iter().map(|row| row.scale as f32).collect();
        Self { bytes: ByteColumns::new(&bytes, d), scales, squares, terms }
    }

    fn len(&self) -> usize {
        self.scales.len()
    }

    /// What each cluster promises row i, the less the better, up to what is the same for all of them, given products of bytes.
    fn promises(&self, tiles: &Tiles, bounds: &ByteBounds, i: usize, products: &[i32], out: &mut Vec<(f32, u32)>) {
        let euclidean = tiles.cost() == CostKind::Euclidean;
        let (factor, own) = (bounds.factor(i) as f32, tiles.norms()[0][i].powi(2) as f32);
        out.clear();
        let columns = products.iter().zip(&self.scales).zip(self.squares.iter().zip(&self.terms)).enumerate();
        out.extend(columns.map(|(at, ((&product, scale), (square, term)))| {
            let product = factor * scale * product as f32;
            let cost = if euclidean { (own + square - product).max(0.0).sqrt() } else { -product };
            (cost + term, at as u32)
        }));
    }
}

/// A search in clusters under one set of prices.
struct Probe<'a> {
    supports: Supports<'a>,
    g: &'a [f64],
    width: usize,
    /// How many clusters each row looks into.
    probes: usize,
    /// The rows, neighbours together.
    order: Vec<u32>,
    clusters: &'a Clusters,
    /// Rows by `order`, columns by the members of the clusters.
    tiles: Tiles,
    bounds: ByteBounds,
    centres: Centres,
}

impl<'a> Probe<'a> {
    fn new(
        supports: Supports<'a>,
        order: Vec<u32>,
        clusters: &'a Clusters,
        g: &'a [f64],
        (share, width): (f64, usize),
    ) -> Self {
        let prices: Vec<f64> = clusters.members.iter().map(|&j| g[j as usize]).collect();
        let (x, y) = (supports.x.gather(&order), supports.y.gather(&clusters.members));
        let tiles = Tiles::new(supports.cost, supports.dimension(), x, y, &prices);
        let (bounds, centres) = (ByteBounds::new(&tiles), Centres::new(&tiles, &clusters.ranges));
        let probes = ((share * centres.len() as f64) as usize).max(FEWEST_PROBED).min(centres.len());
        Self { supports, g, width: width.min(supports.num_y()), probes, order, clusters, tiles, bounds, centres }
    }

    fn price(&self, should_stop: &(dyn Fn() -> bool + Sync)) -> Option<Pricing> {
        let width = self.width;
        let found = self.order.par_chunks(ROWS).enumerate().map_init(Scratch::default, |scratch, (block, order)| {
            let start = block * ROWS;
            let lists = self.lists(start..start + order.len(), scratch, should_stop)?;
            let mut listed = Vec::with_capacity(order.len() * width);
            order.iter().zip(&lists).for_each(|(&i, list)| listed.extend(self.exact(i, list)));
            Some(listed)
        });
        let found: Vec<Option<Vec<(u32, f64)>>> = found.collect();
        let mut pricing = Pricing::new(self.order.len(), width);
        for (order, found) in self.order.chunks(ROWS).zip(found) {
            for (&i, row) in order.iter().zip(found?.chunks_exact(width)) {
                let i = i as usize;
                for (k, &(j, cost)) in row.iter().enumerate() {
                    (pricing.columns[i * width + k], pricing.costs[i * width + k]) = (j, cost);
                }
                pricing.floor[i] = row[0].1 - self.g[row[0].0 as usize];
            }
        }
        Some(pricing)
    }

    /// What row i of the supports lists, with costs in f64, by rising reduced cost; `width` of them.
    fn exact(&self, i: u32, list: &Least) -> Vec<(u32, f64)> {
        let Self { supports, g, clusters, .. } = self;
        let columns: Vec<u32> = list.entries().iter().map(|&(_, at)| clusters.members[at as usize]).collect();
        let mut listed: Vec<(u32, f64)> = columns.iter().copied().zip(supports.costs(i, &columns)).collect();
        let reduced = |&(j, cost): &(u32, f64)| cost - g[j as usize];
        listed.sort_by(|a, b| reduced(a).total_cmp(&reduced(b)).then(a.0.cmp(&b.0)));
        let last = listed[listed.len() - 1];
        listed.resize(self.width, last);
        listed
    }

    /// The columns of small rounded reduced costs of some rows, from the clusters that promise them most. `None` if asked to stop.
    fn lists(
        &self,
        rows: Range<usize>,
        scratch: &mut Scratch,
        should_stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Vec<Least>> {
        let Self { tiles, bounds, clusters, .. } = self;
        self.choose(rows.clone(), scratch, should_stop)?;
        let Scratch { visits, gathered, products, looseness, .. } = scratch;
        products.resize(ROWS * MOST_MEMBERS, 0);
        let mut lists: Vec<Least> = rows.clone().map(|_| Least::new(self.width)).collect();
        let loosest = bounds.loosest(rows.clone());
        let groups = visits.chunk_by(|a, b| (a.later, a.cluster) == (b.later, b.cluster));
        for (visited, visits) in groups.enumerate() {
            if visited % VISITS_BETWEEN_QUESTIONS == 0 && should_stop() {
                return None;
            }
            let columns = clusters.ranges[visits[0].cluster as usize].clone();
            let visitors = visits.iter().map(|visit| rows.start + usize::from(visit.row));
            bounds.multiply_some(visitors, columns.clone(), (products, MOST_MEMBERS), gathered);
            bounds.looseness(loosest, columns.clone(), looseness);
            for (visit, products) in visits.iter().zip(products.chunks_exact(MOST_MEMBERS)) {
                pulp::Arch::new().dispatch(Scan {
                    tiles,
                    bounds,
                    row: rows.start + usize::from(visit.row),
                    start: columns.start,
                    end: columns.end,
                    products,
                    looseness,
                    list: &mut lists[usize::from(visit.row)],
                });
            }
        }
        Some(lists)
    }

    /// Which of some rows look into which clusters, in the order in which they do. `None` if asked to stop.
    fn choose(&self, rows: Range<usize>, scratch: &mut Scratch, should_stop: &(dyn Fn() -> bool + Sync)) -> Option<()> {
        let Scratch { of_centres, promises, visits, .. } = scratch;
        let (count, probes) = (self.centres.len(), self.probes);
        let stride = count.next_multiple_of(LANES);
        of_centres.resize(CHOOSING_ROWS * stride, 0);
        visits.clear();
        for row in 0..rows.len() {
            let at = row % CHOOSING_ROWS;
            if at == 0 {
                if should_stop() {
                    return None;
                }
                let some = rows.start + row..rows.end.min(rows.start + row + CHOOSING_ROWS);
                self.bounds.multiply_with(some, (&self.centres.bytes, count), (of_centres, stride));
            }
            let products = &of_centres[at * stride..(at + 1) * stride];
            self.centres.promises(&self.tiles, &self.bounds, rows.start + row, products, promises);
            let less = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
            if probes < count {
                promises.select_nth_unstable_by(probes, less);
            }
            let chosen = &mut promises[..probes];
            if FIRST < probes {
                chosen.select_nth_unstable_by(FIRST, less);
            }
            let visit = |(rank, &(_, cluster))| Visit { later: rank >= FIRST, cluster, row: row as u16 };
            visits.extend(chosen.iter().enumerate().map(visit));
        }
        visits.sort_unstable();
        Some(())
    }
}

/// A row of a block that looks into a cluster, before its others or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Visit {
    later: bool,
    cluster: u32,
    row: u16,
}

/// Memory that one thread uses again for each block of rows.
#[derive(Default)]
struct Scratch {
    /// `(rows, clusters)`
    of_centres: Vec<i32>,
    promises: Vec<(f32, u32)>,
    visits: Vec<Visit>,
    gathered: ByteRows,
    products: Vec<i32>,
    looseness: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pricing::Pricer;
    use crate::rng::stream;
    use hiref_testkit::problems;
    use rand::Rng;

    fn prices(count: usize, size: f64) -> Vec<f64> {
        let mut rng = stream(5, &[]);
        (0..count).map(|_| rng.random_range(-size..size)).collect()
    }

    /// With sixteen clusters or fewer every row looks into all of them.
    #[test]
    fn few_points_are_searched_as_all_pairs_are() {
        let (n, m, d) = (900, 1100, 7);
        let instance = problems::mixture(n, m, d, 4);
        for cost in CostKind::ALL {
            let supports = Supports::new(Rows::of(&instance.x, d), Rows::of(&instance.y, d), cost);
            let clustered = Clustered::new(supports, &|| false).unwrap();
            let (g, f) = (prices(m, 0.5), prices(n, 0.5));
            let partners: Vec<u32> = (0..n as u32).collect();
            let (found, expected) = (
                clustered.price(supports, &g, (0.01, 9), &|| false).unwrap(),
                Pricer::new(supports, None).price(&partners, &g, 9, &|| false).unwrap(),
            );
            assert_eq!(found.columns, expected.columns, "{cost}");
            assert_eq!(found.costs, expected.costs, "{cost}");
            assert!(found.floor.iter().zip(&expected.floor).all(|(a, b)| (a - b).abs() < 1e-9), "{cost}");

            let found = clustered.price_y(supports, &f, (0.01, 4), &|| false).unwrap();
            let x_of_y: Vec<u32> = (0..m as u32).map(|j| j.min(n as u32 - 1)).collect();
            let all = Pricer::new(supports.turned(), None).price(&x_of_y, &f, 4, &|| false).unwrap();
            assert!(found.columns == all.columns, "{cost}, of the y points");
            assert!(clustered.price(supports, &g, (0.01, 9), &|| true).is_none());
        }
    }

    /// Points of unit size as they are, and a hundred times as large far from the origin.
    #[test]
    fn a_small_part_of_the_clusters_holds_most_of_the_least() {
        let (n, d) = (12_000, 48);
        let instance = problems::embeddings(n, n, d, 2);
        let moved = |values: &[f32]| values.iter().map(|v| 100.0 * v + 700.0).collect::<Vec<f32>>();
        let (far_x, far_y) = (moved(&instance.x), moved(&instance.y));
        let near = Supports::new(Rows::of(&instance.x, d), Rows::of(&instance.y, d), CostKind::Cosine);
        let far = Supports::new(Rows::of(&far_x, d), Rows::of(&far_y, d), CostKind::SquaredEuclidean);
        let euclidean = |supports| Supports { cost: CostKind::Euclidean, ..supports };
        let problems = [
            (near, 0.02),
            (Supports { cost: CostKind::NegativeInnerProduct, ..near }, 0.02),
            (euclidean(near), 0.02),
            (far, 400.0),
            (euclidean(far), 2.0),
        ];
        let partners: Vec<u32> = (0..n as u32).collect();
        for (supports, size) in problems {
            let (clustered, g) = (Clustered::new(supports, &|| false).unwrap(), prices(n, size));
            assert!(clustered.y.ranges.len() > 5 * FEWEST_PROBED);
            let found = clustered.price(supports, &g, (1.0 / 16.0, 4), &|| false).unwrap();
            let all = Pricer::new(supports, None).price(&partners, &g, 4, &|| false).unwrap();
            let same = (0..n).filter(|&i| found.columns[i * 4] == all.columns[i * 4]).count();
            println!("{}: {same} of {n}", supports.cost);
            assert!(same * 10 >= 9 * n, "{}: the least of {same} of {n} rows", supports.cost);
            let lowest = |(found, least): (&f64, &f64)| *found >= least - 1e-9 * size.max(1.0);
            assert!(found.floor.iter().zip(&all.floor).all(lowest), "{}", supports.cost);
        }
    }

    #[test]
    fn lists_are_the_same_whatever_the_number_of_threads() {
        let (n, d) = (5000, 24);
        let instance = problems::embeddings(n, n, d, 3);
        let supports = Supports::new(Rows::of(&instance.x, d), Rows::of(&instance.y, d), CostKind::Cosine);
        let g = prices(n, 0.02);
        let of_threads = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Clustered::new(supports, &|| false)?.price(supports, &g, (0.1, 6), &|| false)).unwrap()
        };
        let [one, three] = [1, 3].map(of_threads);
        assert!(one.columns == three.columns && one.costs == three.costs && one.floor == three.floor);
    }
}
