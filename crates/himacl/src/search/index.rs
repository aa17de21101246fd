//! An inverted file: rows in lists by their nearest centre; a query looks at the lists of the nearest centres alone.

use super::exact::{Hit, Rows, hits};
use crate::eval::{Best, Scores, with_host_values};
use candle_core::{Device, Result, Tensor, bail};
use hiref_core::rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// Names the streams of samples and queries.
const SAMPLE: u64 = 0x6976_6673;
const QUERIES: u64 = 0x6976_6671;
/// Rows of the sample that centres are found on, for each list.
const ROWS_PER_LIST: usize = 40;
/// Steps that move the centres.
const STEPS: usize = 8;
/// Queries that the number of lists looked at is chosen by, and as many others that the recall is measured on.
const TRIALS: usize = 256;
/// Hits that recall is measured by.
const HITS: usize = 10;

/// How an index is built.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IndexParams {
    /// Lists; chosen from the number of rows when absent.
    pub lists: Option<usize>,
    /// The share of the ten best that is to be found.
    pub recall: f64,
    /// Seed of every random choice.
    pub seed: u64,
}

impl Default for IndexParams {
    fn default() -> Self {
        Self { lists: None, recall: 0.985, seed: 0 }
    }
}

/// Rows in lists by their nearest centre.
#[derive(Debug, Clone)]
pub struct Index {
    /// `(lists, k)`
    centres: Tensor,
    /// The rows in the order of their lists, `(m, k)`, and where each list begins.
    rows: Tensor,
    items: Vec<u32>,
    starts: Vec<usize>,
    probes: usize,
    recall: f64,
}

impl Index {
    /// Builds it over rows, and chooses how many lists a query looks at: the fewest with which half of
    /// `queries`, at most 256, finds the share of the ten best that `params` asks for. The other half measures the recall.
    ///
    /// *Complexity*: O(m · lists · k) for the lists, O(queries · m · k) for the recall; the rows are kept once more.
    /// *Determinism*: same bits for the same seed.
    ///
    /// References: \[JDS11\] Jégou, Douze, Schmid, "Product quantization for nearest neighbor search", 2011 (the inverted file;
    /// we keep whole rows).
    ///
    /// # Errors
    /// Fewer than two rows or queries; a failed tensor operation.
    pub(super) fn build(gallery: &Rows, queries: &Tensor, params: IndexParams) -> Result<Self> {
        let (m, width) = gallery.values.dims2()?;
        let (n, _) = queries.dims2()?;
        if m < 2 || n < 2 {
            bail!("an index over {m} rows, tried by {n} queries: expected two of each at least");
        }
        // As many lists as a list has rows on average would make both parts of a search equal; centres are multiplied faster.
        let lists = params.lists.unwrap_or((m as f64).sqrt() as usize).clamp(1, m);
        let centres = centres(&gallery.values, lists, params.seed)?;
        let list_of = nearest(&gallery.values, &centres)?;
        let mut starts = vec![0usize; lists + 1];
        list_of.iter().for_each(|&list| starts[list as usize + 1] += 1);
        (0..lists).for_each(|list| starts[list + 1] += starts[list]);
        let mut place = starts.clone();
        let mut items = vec![0u32; m];
        for (item, &list) in list_of.iter().enumerate() {
            items[place[list as usize]] = item as u32;
            place[list as usize] += 1;
        }
        let mut rows = vec![0.0f32; m * width];
        with_host_values(&gallery.values, |values| {
            let copy =
                |(out, &item): (&mut [f32], &u32)| out.copy_from_slice(&values[item as usize * width..][..width]);
            rows.par_chunks_mut(width).zip(&items).for_each(copy);
        })?;
        let rows = Tensor::from_vec(rows, (m, width), &Device::Cpu)?;
        let mut index = Self { centres, rows, items, starts, probes: lists, recall: 1.0 };
        index.tune(gallery, queries, params)?;
        Ok(index)
    }

    /// Lists, and how many of them a query looks at.
    pub fn lists(&self) -> (usize, usize) {
        (self.starts.len() - 1, self.probes)
    }

    /// Whether a query looks at so few lists that the index is faster than all rows by tiles. Real embeddings may have no clear topics: of 58,829
    /// text embeddings by static vectors, 242 lists, one in six holds .92 of the ten best and is 2.7 times as fast, one in three holds .96 and is
    /// 1.5 times as fast, and for .99 it takes six in ten, slower than all.
    pub fn is_faster(&self) -> bool {
        let (lists, probes) = self.lists();
        probes * 3 <= lists
    }

    /// The share of the ten best that was found, on queries that nothing was chosen by.
    pub fn recall(&self) -> f64 {
        self.recall
    }

    fn tune(&mut self, gallery: &Rows, queries: &Tensor, params: IndexParams) -> Result<()> {
        let mut order: Vec<u32> = (0..queries.dim(0)? as u32).collect();
        order.shuffle(&mut rng::stream(params.seed, &[QUERIES]));
        order.truncate(2 * TRIALS);
        let (tuning, testing) = order.split_at(order.len() / 2);
        let chosen = |rows: &[u32]| -> Result<(Tensor, Vec<Vec<Hit>>)> {
            let rows = queries.index_select(&Tensor::new(rows, queries.device())?, 0)?.to_device(&Device::Cpu)?;
            let exact = gallery.search(&rows, HITS)?;
            Ok((rows, exact))
        };
        let (rows, exact) = chosen(tuning)?;
        let lists = self.lists().0;
        self.probes = 1;
        loop {
            let found = recall(&exact, &self.search(gallery, &rows, HITS)?);
            if found >= params.recall || self.probes == lists {
                break;
            }
            self.probes = (self.probes + self.probes.div_ceil(4)).min(lists);
        }
        let (rows, exact) = chosen(testing)?;
        self.recall = recall(&exact, &self.search(gallery, &rows, HITS)?);
        Ok(())
    }

    /// The best items of each query among the lists of the nearest centres.
    pub(super) fn search(&self, gallery: &Rows, queries: &Tensor, count: usize) -> Result<Vec<Vec<Hit>>> {
        let queries = queries.to_device(&Device::Cpu)?.to_dtype(candle_core::DType::F32)?.contiguous()?;
        let near = Scores::new(&queries, &self.centres)?.map_rows(|_, row| {
            let mut best = Best::new(self.probes);
            row.iter().enumerate().for_each(|(list, &score)| best.offer(score, list as u32));
            best.sorted()
        })?;
        let one = |(at, lists): (usize, &Vec<(f32, u32)>)| -> Result<Vec<Hit>> {
            let query = queries.narrow(0, at, 1)?.t()?; // (k, 1)
            let mut found = Vec::new();
            for &(_, list) in lists {
                let (start, end) = (self.starts[list as usize], self.starts[list as usize + 1]);
                if start == end {
                    continue;
                }
                let scores = self.rows.narrow(0, start, end - start)?.matmul(&query)?; // (rows of the list, 1)
                let mut best = Best::new(count.min(end - start));
                // Items of a list rise, as the keeper of the best wants them.
                with_host_values(&scores, |scores| {
                    for (&score, &item) in scores.iter().zip(&self.items[start..end]) {
                        best.offer(score - gallery.correction(item as usize), item);
                    }
                })?;
                found.extend(hits(best));
            }
            found.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.item.cmp(&b.item)));
            found.truncate(count);
            Ok(found)
        };
        near.par_iter().enumerate().map(one).collect()
    }
}

/// The share of `exact` that is in `found`.
fn recall(exact: &[Vec<Hit>], found: &[Vec<Hit>]) -> f64 {
    let hit = |(exact, found): (&Vec<Hit>, &Vec<Hit>)| {
        exact.iter().filter(|hit| found.iter().any(|other| other.item == hit.item)).count()
    };
    let total: usize = exact.iter().map(Vec::len).sum();
    exact.iter().zip(found).map(hit).sum::<usize>() as f64 / total.max(1) as f64
}

/// Spherical k-means on a sample: centres are unit vectors, rows go to the one of largest inner product.
fn centres(rows: &Tensor, lists: usize, seed: u64) -> Result<Tensor> {
    let (m, width) = rows.dims2()?;
    let mut sample: Vec<u32> = (0..m as u32).collect();
    sample.shuffle(&mut rng::stream(seed, &[SAMPLE]));
    sample.truncate((ROWS_PER_LIST * lists).min(m));
    let mut centres = crate::map::unit_rows(&rows.index_select(&Tensor::new(&sample[..lists], rows.device())?, 0)?)?;
    sample.sort_unstable();
    let sample = rows.index_select(&Tensor::new(sample, rows.device())?, 0)?;
    for _ in 0..STEPS {
        let list_of = nearest(&sample, &centres)?;
        let mut sums = centres.flatten_all()?.to_vec1::<f32>()?;
        // An empty list keeps its centre.
        let mut seen = vec![false; lists];
        with_host_values(&sample, |values| {
            for (row, &list) in values.chunks_exact(width).zip(&list_of) {
                let sum = &mut sums[list as usize * width..][..width];
                if !std::mem::replace(&mut seen[list as usize], true) {
                    sum.fill(0.0);
                }
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
        })?;
        centres = crate::map::unit_rows(&Tensor::from_vec(sums, (lists, width), rows.device())?)?;
    }
    Ok(centres)
}

/// The centre of each row.
fn nearest(rows: &Tensor, centres: &Tensor) -> Result<Vec<u32>> {
    Scores::new(rows, centres)?.map_rows(|_, row| {
        let mut best = (f32::NEG_INFINITY, 0);
        for (list, &score) in row.iter().enumerate() {
            if score > best.0 {
                best = (score, list as u32);
            }
        }
        best.1
    })
}

#[cfg(test)]
mod tests {
    use super::super::Gallery;
    use super::*;
    use rand_distr::{Distribution, StandardNormal};

    /// Rows around 40 centres, as embeddings lie around topics, unit length.
    fn clustered(n: usize, d: usize, seed: u64) -> Tensor {
        let mut topics = rng::stream(9, &[]);
        let draw = |generator: &mut _| -> f32 { StandardNormal.sample(generator) };
        let topics: Vec<f32> = (0..40 * d).map(|_| draw(&mut topics)).collect();
        let mut generator = rng::stream(seed, &[]);
        let values = (0..n * d).map(|at| topics[at / d % 40 * d + at % d] + 0.7 * draw(&mut generator)).collect();
        crate::map::unit_rows(&Tensor::from_vec::<_, f32>(values, (n, d), &Device::Cpu).unwrap()).unwrap()
    }

    #[test]
    fn an_index_finds_what_it_says_and_looks_at_few_lists() {
        let (rows, queries) = (clustered(8000, 24, 1), clustered(900, 24, 2));
        let gallery = Gallery::new(&rows).unwrap().corrected(&queries, 5).unwrap();
        let exact = gallery.search_exactly(&queries, 10).unwrap();
        let gallery = gallery.indexed(&queries, IndexParams { recall: 0.98, ..IndexParams::default() }).unwrap();
        let index = gallery.index().unwrap();
        let (lists, probes) = index.lists();
        assert!(lists == 89 && probes < lists / 3, "{probes} of {lists} lists");
        assert!(index.is_faster());
        let found = recall(&exact, &gallery.search(&queries, 10).unwrap());
        assert!(found > 0.96 && (found - index.recall()).abs() < 0.02, "{found}, measured {}", index.recall());
    }

    #[test]
    fn rows_without_topics_are_better_searched_exactly() {
        let mut generator = rng::stream(5, &[]);
        let mut draw = |n: usize| {
            let values: Vec<f32> = (0..n * 64).map(|_| StandardNormal.sample(&mut generator)).collect();
            crate::map::unit_rows(&Tensor::from_vec(values, (n, 64), &Device::Cpu).unwrap()).unwrap()
        };
        let gallery = Gallery::new(&draw(3000)).unwrap().indexed(&draw(200), IndexParams::default()).unwrap();
        assert!(!gallery.index().unwrap().is_faster(), "{:?}", gallery.index().unwrap().lists());
    }

    #[test]
    fn all_lists_are_the_exact_search() {
        let (rows, queries) = (clustered(300, 8, 3), clustered(40, 8, 4));
        let exact = Gallery::new(&rows).unwrap().search_exactly(&queries, 7).unwrap();
        let params = IndexParams { lists: Some(9), recall: 2.0, seed: 0 };
        let gallery = Gallery::new(&rows).unwrap().indexed(&queries, params).unwrap();
        assert_eq!(gallery.index().unwrap().lists(), (9, 9));
        let items = |found: &[Vec<Hit>]| {
            found.iter().map(|hits| hits.iter().map(|h| h.item).collect()).collect::<Vec<Vec<u32>>>()
        };
        assert_eq!(items(&gallery.search(&queries, 7).unwrap()), items(&exact));
    }
}
