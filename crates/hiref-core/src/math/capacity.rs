//! Assigning points to a few clusters of given sizes.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A possible move of a point out of its cluster; the heap's top is the cheapest, ties by index.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Move {
    regret: f64,
    point: u32,
}

impl Eq for Move {}

impl PartialOrd for Move {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Move {
    fn cmp(&self, other: &Self) -> Ordering {
        other.regret.total_cmp(&self.regret).then(other.point.cmp(&self.point))
    }
}

/// The labels that maximise the sum of scores under exact cluster sizes: a transport problem with r columns.
///
/// `scores` `(r, s)`, `capacities` `(r,)` summing to s; returns `(s,)` labels. Starts from each point's best cluster, which
/// is optimal but for the sizes, and moves one point at a time along shortest paths between clusters (successive
/// shortest paths), so the result is optimal. O(s r) to build the queues, O(r³ + r log s) for each point that must move;
/// few have to when the scores carry the prices of a soft solution. Deterministic: ties go to the lowest index.
pub fn assign_to_capacities(scores: &[f32], capacities: &[usize]) -> Vec<u32> {
    let rank = capacities.len();
    let size = scores.len() / rank;
    debug_assert_eq!(capacities.iter().sum::<usize>(), size, "capacities cover the points");
    // Differences of f32 values are all but exact in f64, so that regrets around a loop of moves cancel.
    let score = |cluster: usize, point: usize| f64::from(scores[cluster * size + point]);
    let mut labels = vec![0_u32; size];
    let mut best = scores[..size].to_vec();
    for cluster in 1..rank {
        for ((label, best), &value) in labels.iter_mut().zip(&mut best).zip(&scores[cluster * size..][..size]) {
            if value > *best {
                *best = value;
                *label = cluster as u32;
            }
        }
    }
    let mut counts = vec![0_usize; rank];
    for &label in &labels {
        counts[label as usize] += 1;
    }
    if counts == capacities {
        return labels;
    }
    let mut queues: Vec<BinaryHeap<Move>> = {
        let mut moves: Vec<Vec<Move>> = vec![Vec::new(); rank * rank];
        for (point, &from) in labels.iter().enumerate() {
            let from = from as usize;
            for to in (0..rank).filter(|&to| to != from) {
                moves[from * rank + to]
                    .push(Move { regret: score(from, point) - score(to, point), point: point as u32 });
            }
        }
        moves.into_iter().map(BinaryHeap::from).collect()
    };
    let resolution = 1e-12 * scores.iter().fold(0.0_f64, |m, &s| m.max(f64::from(s).abs()));
    while let Some(path) = cheapest_path(&mut queues, &labels, &counts, capacities, resolution) {
        counts[path[0].0] -= 1;
        for &(from, to, point) in &path {
            let point_index = point as usize;
            queues[from * rank + to].pop();
            labels[point_index] = to as u32;
            for next in (0..rank).filter(|&next| next != to) {
                let regret = score(to, point_index) - score(next, point_index);
                queues[to * rank + next].push(Move { regret, point });
            }
        }
        counts[path[path.len() - 1].1] += 1;
    }
    labels
}

/// The cheapest chain of moves (from, to, point) that takes one point out of an overfull cluster and adds one to an
/// underfull cluster; `None` once all sizes are right. Bellman and Ford on r nodes.
fn cheapest_path(
    queues: &mut [BinaryHeap<Move>],
    labels: &[u32],
    counts: &[usize],
    capacities: &[usize],
    resolution: f64,
) -> Option<Vec<(usize, usize, u32)>> {
    let rank = counts.len();
    let overfull = |cluster: usize| counts[cluster] > capacities[cluster];
    if !(0..rank).any(overfull) {
        return None;
    }
    let mut edges: Vec<(usize, usize, Move)> = Vec::with_capacity(rank * rank);
    for from in 0..rank {
        for to in 0..rank {
            let queue = &mut queues[from * rank + to];
            // Entries of points that have left the cluster since are dropped when they surface.
            while queue.peek().is_some_and(|top| labels[top.point as usize] as usize != from) {
                queue.pop();
            }
            if let Some(&top) = queue.peek() {
                edges.push((from, to, top));
            }
        }
    }
    let mut distance: Vec<f64> = (0..rank).map(|k| if overfull(k) { 0.0 } else { f64::INFINITY }).collect();
    let mut through: Vec<Option<(usize, u32)>> = vec![None; rank];
    for _ in 1..rank {
        for &(from, to, Move { regret, point }) in &edges {
            let reached = distance[from] + regret;
            // No loop has a negative sum but by rounding; improvements below the resolution of the scores would close one.
            if reached < distance[to] - resolution && !overfull(to) {
                distance[to] = reached;
                through[to] = Some((from, point));
            }
        }
    }
    let end = (0..rank)
        .filter(|&k| counts[k] < capacities[k] && distance[k].is_finite())
        .min_by(|&a, &b| distance[a].total_cmp(&distance[b]))?;
    let mut path = Vec::new();
    let mut to = end;
    while let Some((from, point)) = through[to] {
        path.push((from, to, point));
        to = from;
        debug_assert!(path.len() <= rank, "a shortest path visits a cluster once");
    }
    path.reverse();
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;
    use rand::Rng;

    fn total(scores: &[f32], labels: &[u32]) -> f64 {
        labels.iter().enumerate().map(|(i, &k)| f64::from(scores[k as usize * labels.len() + i])).sum()
    }

    fn best_by_enumeration(scores: &[f32], capacities: &[usize], size: usize) -> f64 {
        let rank = capacities.len();
        (0..rank.pow(size as u32))
            .map(|code| (0..size).map(|i| (code / rank.pow(i as u32) % rank) as u32).collect::<Vec<_>>())
            .filter(|labels| (0..rank).all(|k| labels.iter().filter(|&&l| l as usize == k).count() == capacities[k]))
            .map(|labels| total(scores, &labels))
            .fold(f64::NEG_INFINITY, f64::max)
    }

    #[test]
    fn optimal_by_enumeration() {
        let mut rng = stream(4, &[]);
        for trial in 0..60 {
            let (size, capacities): (usize, &[usize]) =
                [(8, [4, 4].as_slice()), (7, &[3, 2, 2]), (8, &[2, 2, 2, 2]), (5, &[1, 4])][trial % 4];
            let scores: Vec<f32> = (0..size * capacities.len()).map(|_| f32::from(rng.random_range(0..9_u8))).collect();
            let labels = assign_to_capacities(&scores, capacities);
            for (k, &capacity) in capacities.iter().enumerate() {
                assert_eq!(labels.iter().filter(|&&l| l as usize == k).count(), capacity, "trial {trial}");
            }
            assert_eq!(total(&scores, &labels), best_by_enumeration(&scores, capacities, size), "trial {trial}");
        }
    }

    #[test]
    fn ties_go_to_the_lowest_index() {
        assert_eq!(assign_to_capacities(&[0.0; 8], &[2, 2]), [1, 1, 0, 0]);
    }

    #[test]
    fn many_points_must_move() {
        // All prefer cluster 0; point i loses 2 i on leaving it for cluster 2 and i on leaving it for cluster 1. The cheapest
        // way out sends small i to cluster 2, where the rate is higher, then the next to cluster 1.
        let size = 3000;
        let scores: Vec<f32> =
            [0.0, -1.0, -2.0].iter().flat_map(|&rate| (0..size).map(move |i| rate * i as f32)).collect();
        let labels = assign_to_capacities(&scores, &[1000, 1000, 1000]);
        for (i, &label) in labels.iter().enumerate() {
            assert_eq!(label as usize, 2 - i / 1000, "point {i}");
        }
    }
}
