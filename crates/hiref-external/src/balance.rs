//! Labels of exact sizes: prices of clusters by dual ascent, then the few rows left over by least loss. Reads its rows in chunks.

use crate::error::Error;
use crate::plan::ASCENT_ROWS;
use hiref_core::rng::order_key;
use rayon::prelude::*;
use std::collections::{BTreeMap, BinaryHeap};

/// Temperatures of the ascent, in units of the mean distance between a row's two best scores.
const TEMPERATURES: [f64; 6] = [2.0, 1.0, 0.5, 0.25, 0.12, 0.06];
/// Most steps at one temperature, and the largest relative error of a size at which the next one is due: where clusters lie along a line,
/// what one lacks has to pass through the others.
const STEPS: usize = 60;
const CLOSE: f64 = 2e-3;
/// Passes that look for rows to move before any row will do.
const PASSES: usize = 8;
/// Rows of one partial sum: fixed, so that bits do not depend on the number of threads.
const CHUNK: usize = 4096;

/// The best clusters of some rows, `(rows, width)`, with their scores before prices.
#[derive(Debug, Clone, Default)]
pub(crate) struct Candidates {
    pub(crate) width: usize,
    pub(crate) clusters: Vec<u16>,
    pub(crate) scores: Vec<f32>,
}

impl Candidates {
    pub(crate) fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    pub(crate) fn rows(&self) -> usize {
        self.clusters.len() / self.width
    }

    /// Cluster and score with price of each candidate of a row.
    fn of_row<'a>(&'a self, row: usize, prices: &'a [f64]) -> impl Iterator<Item = (u16, f64)> + 'a {
        let range = row * self.width..(row + 1) * self.width;
        let pairs = self.clusters[range.clone()].iter().zip(&self.scores[range]);
        pairs.map(|(&cluster, &score)| (cluster, f64::from(score) + prices[cluster as usize]))
    }

    /// The best cluster of a row, the lowest of equals, and its score with price.
    pub(crate) fn best(&self, row: usize, prices: &[f64]) -> (u16, f64) {
        let better = |best: (u16, f64), other: (u16, f64)| {
            if other.1 > best.1 || (other.1 == best.1 && other.0 < best.0) { other } else { best }
        };
        self.of_row(row, prices).reduce(better).expect("a row has candidates")
    }

    fn push_row(&mut self, other: &Self, row: usize) {
        let range = row * other.width..(row + 1) * other.width;
        self.clusters.extend_from_slice(&other.clusters[range.clone()]);
        self.scores.extend_from_slice(&other.scores[range]);
    }
}

/// Hands over the candidates of all rows, chunk by chunk with the first row of each, as often as it is called.
pub(crate) type Source<'a> = dyn Fn(&mut dyn FnMut(usize, &Candidates)) -> Result<(), Error> + 'a;

/// How rows get their labels.
#[derive(Debug)]
pub(crate) struct Balanced {
    pub(crate) prices: Vec<f64>,
    /// Rows whose label is not their best cluster, with that label.
    pub(crate) moved: BTreeMap<u32, u16>,
}

/// Prices and moves that bring labels to sizes, whose sum is `rows`.
pub(crate) fn balance(
    source: &Source<'_>,
    rows: usize,
    sizes: &[usize],
    prices: &[f64],
    seed: u64,
) -> Result<Balanced, Error> {
    let mut balanced = Balanced { prices: prices.to_vec(), moved: BTreeMap::new() };
    if sizes.len() == 1 {
        return Ok(balanced);
    }
    let keep =
        if rows <= ASCENT_ROWS { u64::MAX } else { (u64::MAX as f64 * (ASCENT_ROWS as f64 / rows as f64)) as u64 };
    let mut sample = Candidates::new(0);
    source(&mut |start, candidates| {
        sample.width = candidates.width;
        for row in 0..candidates.rows() {
            if order_key(seed, (start + row) as u64) <= keep {
                sample.push_row(candidates, row);
            }
        }
    })?;
    ascend(&sample, sizes, &mut balanced.prices);
    drop(sample);
    let mut counts = vec![0_usize; sizes.len()];
    source(&mut |_, candidates| {
        for row in 0..candidates.rows() {
            counts[candidates.best(row, &balanced.prices).0 as usize] += 1;
        }
    })?;
    for pass in 0..=PASSES {
        if counts == sizes {
            break;
        }
        move_rows(source, sizes, &mut counts, &mut balanced, pass == PASSES)?;
    }
    debug_assert_eq!(counts, sizes, "every row has a place");
    Ok(balanced)
}

/// Sinkhorn's iteration for the prices of the clusters, at falling temperatures: rows choose softly, and a cluster's price rises by
/// the logarithm of what it lacks.
fn ascend(sample: &Candidates, sizes: &[usize], prices: &mut [f64]) {
    let rows = sample.rows();
    if rows == 0 {
        return;
    }
    let gap = |row: usize| {
        let mut two = [f64::NEG_INFINITY; 2];
        for (_, score) in sample.of_row(row, prices) {
            if score > two[0] {
                two = [score, two[0]];
            } else if score > two[1] {
                two[1] = score;
            }
        }
        if two[1].is_finite() { two[0] - two[1] } else { 0.0 }
    };
    let unit = (0..rows).map(gap).sum::<f64>() / rows as f64;
    if unit <= 0.0 {
        return;
    }
    let total: usize = sizes.iter().sum();
    let wanted: Vec<f64> = sizes.iter().map(|&size| (size as f64 * rows as f64 / total as f64).max(1e-3)).collect();
    for temperature in TEMPERATURES.map(|factor| factor * unit) {
        for _ in 0..STEPS {
            let counts = soft_counts(sample, prices, temperature);
            let mut close = true;
            for ((price, count), wanted) in prices.iter_mut().zip(counts).zip(&wanted) {
                let lacking = (wanted / count.max(1e-3)).ln();
                close &= lacking.abs() < CLOSE;
                *price += temperature * lacking.clamp(-3.0, 3.0);
            }
            if close {
                break;
            }
        }
    }
}

fn soft_counts(sample: &Candidates, prices: &[f64], temperature: f64) -> Vec<f64> {
    let starts: Vec<usize> = (0..sample.rows()).step_by(CHUNK).collect();
    let partial: Vec<Vec<f64>> = starts
        .par_iter()
        .map(|&start| {
            let mut counts = vec![0.0; prices.len()];
            let mut weights: Vec<(u16, f64)> = Vec::new();
            for row in start..(start + CHUNK).min(sample.rows()) {
                weights.clear();
                weights.extend(sample.of_row(row, prices));
                let most = weights.iter().fold(f64::NEG_INFINITY, |most, &(_, score)| most.max(score));
                let mut sum = 0.0;
                for (_, score) in &mut weights {
                    *score = ((*score - most) / temperature).exp();
                    sum += *score;
                }
                weights.iter().for_each(|&(cluster, weight)| counts[cluster as usize] += weight / sum);
            }
            counts
        })
        .collect();
    let mut counts = vec![0.0; prices.len()];
    for part in partial {
        counts.iter_mut().zip(part).for_each(|(count, part)| *count += part);
    }
    counts
}

/// A row that may leave its cluster; the heap's top is the dearest, ties by row.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Move {
    loss: f64,
    row: u32,
    from: u16,
    to: u16,
}

impl Eq for Move {}

impl PartialOrd for Move {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Move {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.loss.total_cmp(&other.loss).then(self.row.cmp(&other.row))
    }
}

/// Moves rows out of clusters that have too many to their best cluster that has too few, those that lose least first; any row to any
/// such cluster where that is to be the last pass.
fn move_rows(
    source: &Source<'_>,
    sizes: &[usize],
    counts: &mut [usize],
    balanced: &mut Balanced,
    last: bool,
) -> Result<(), Error> {
    let over: Vec<usize> = counts.iter().zip(sizes).map(|(count, size)| count.saturating_sub(*size)).collect();
    let mut heaps: Vec<BinaryHeap<Move>> = vec![BinaryHeap::new(); sizes.len()];
    let Balanced { prices, moved } = &mut *balanced;
    let has_room = |cluster: u16| counts[cluster as usize] < sizes[cluster as usize];
    source(&mut |start, candidates| {
        for row in 0..candidates.rows() {
            let index = (start + row) as u32;
            let (best, score) = candidates.best(row, prices);
            let from = moved.get(&index).copied().unwrap_or(best);
            if over[from as usize] == 0 {
                continue;
            }
            let open = candidates.of_row(row, prices).filter(|&(cluster, _)| has_room(cluster));
            let to = open.reduce(|best, other| if other.1 > best.1 { other } else { best });
            let found = match to {
                Some((to, other)) => Move { loss: score - other, row: index, from, to },
                None if last => Move { loss: f64::MAX, row: index, from, to: 0 },
                None => continue,
            };
            let heap = &mut heaps[from as usize];
            if heap.len() < over[from as usize] {
                heap.push(found);
            } else if heap.peek().is_some_and(|dearest| found < *dearest) {
                heap.pop();
                heap.push(found);
            }
        }
    })?;
    let mut moves: Vec<Move> = heaps.into_iter().flatten().collect();
    moves.sort_unstable();
    for Move { row, from, mut to, .. } in moves {
        let has_room = |cluster: usize| counts[cluster] < sizes[cluster];
        if last && !has_room(to as usize) {
            let open = (0..sizes.len()).find(|&cluster| has_room(cluster));
            to = open.map_or(to, |cluster| cluster as u16);
        }
        if counts[from as usize] > sizes[from as usize] && has_room(to as usize) {
            moved.insert(row, to);
            counts[from as usize] -= 1;
            counts[to as usize] += 1;
        }
    }
    Ok(())
}

/// Divides a number in proportion to shares, in whole numbers with that sum: the largest remainders are rounded up.
pub(crate) fn divide(total: usize, shares: &[usize]) -> Vec<usize> {
    let sum: u128 = shares.iter().map(|&share| share as u128).sum::<u128>().max(1);
    let part = |share: usize| (total as u128 * share as u128 / sum) as usize;
    let mut parts: Vec<usize> = shares.iter().map(|&share| part(share)).collect();
    let mut order: Vec<usize> = (0..shares.len()).collect();
    let remainder = |k: usize| total as u128 * shares[k] as u128 % sum;
    order.sort_by(|&a, &b| remainder(b).cmp(&remainder(a)).then(a.cmp(&b)));
    let left = total - parts.iter().sum::<usize>();
    order.iter().cycle().take(left).for_each(|&k| parts[k] += 1);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use hiref_core::rng::stream;
    use rand::Rng;

    fn labels(candidates: &Candidates, sizes: &[usize]) -> Vec<u16> {
        let source = |take: &mut dyn FnMut(usize, &Candidates)| {
            take(0, candidates);
            Ok(())
        };
        let balanced = balance(&source, candidates.rows(), sizes, &vec![0.0; sizes.len()], 1).unwrap();
        let label = |row: usize| balanced.moved.get(&(row as u32)).copied();
        (0..candidates.rows())
            .map(|row| label(row).unwrap_or_else(|| candidates.best(row, &balanced.prices).0))
            .collect()
    }

    fn counts(labels: &[u16], clusters: usize) -> Vec<usize> {
        (0..clusters).map(|cluster| labels.iter().filter(|&&label| label as usize == cluster).count()).collect()
    }

    #[test]
    fn sizes_are_exact_and_the_loss_small() {
        let mut rng = stream(2, &[]);
        let (rows, clusters) = (20_000, 5);
        let mut candidates = Candidates::new(clusters);
        for _ in 0..rows {
            candidates.clusters.extend(0..clusters as u16);
            // Scores along a line: the optimum sorts the rows.
            let at: f32 = rng.random::<f32>().powi(2);
            candidates.scores.extend((0..clusters).map(|cluster| at * cluster as f32));
        }
        let sizes = [1000, 7000, 2000, 4000, 6000];
        let labels = labels(&candidates, &sizes);
        assert_eq!(counts(&labels, clusters), sizes);
        let total = |labels: &[u16]| -> f64 {
            labels
                .iter()
                .enumerate()
                .map(|(row, &label)| f64::from(candidates.scores[row * clusters + label as usize]))
                .sum()
        };
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by(|&a, &b| candidates.scores[a * clusters + 1].total_cmp(&candidates.scores[b * clusters + 1]));
        let mut best = vec![0; rows];
        let mut start = 0;
        for (cluster, &size) in sizes.iter().enumerate() {
            order[start..start + size].iter().for_each(|&row| best[row] = cluster as u16);
            start += size;
        }
        let (got, optimum) = (total(&labels), total(&best));
        assert!(got <= optimum + 1e-6 && got > 0.999 * optimum, "{got} of {optimum}");
    }

    #[test]
    fn rows_without_a_choice_are_moved_all_the_same() {
        let candidates = Candidates { width: 1, clusters: vec![0; 100], scores: vec![1.0; 100] };
        assert_eq!(counts(&labels(&candidates, &[30, 40, 30]), 3), [30, 40, 30]);
    }

    #[test]
    fn parts_add_up() {
        assert_eq!(divide(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(divide(7, &[0, 5, 2]), [0, 5, 2]);
        assert_eq!(divide(5, &[0, 0]), [3, 2]);
    }
}
