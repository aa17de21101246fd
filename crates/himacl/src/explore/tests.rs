//! Explanations where the answer is known.

use super::*;
use candle_core::{Device, Tensor};
use hiref_core::{CostKind, Permutation, WarmStart, pair, rng};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

fn tensor(values: &[f32], width: usize) -> Tensor {
    Tensor::from_slice(values, (values.len() / width, width), &Device::Cpu).unwrap()
}

fn normal(generator: &mut impl Rng) -> f32 {
    StandardNormal.sample(generator)
}

/// Random orthonormal rows, `(d, d)`.
fn orthonormal(d: usize, generator: &mut impl Rng) -> Vec<Vec<f32>> {
    let mut rows: Vec<Vec<f32>> = Vec::new();
    while rows.len() < d {
        let mut row: Vec<f32> = (0..d).map(|_| normal(generator)).collect();
        for other in &rows {
            let along: f32 = row.iter().zip(other).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
        }
        let length = row.iter().map(|a| a * a).sum::<f32>().sqrt();
        rows.push(row.iter().map(|a| a / length).collect());
    }
    rows
}

fn identity(x: &[f32], y: &[f32], width: usize, cost: CostKind) -> Paired {
    let (x, y) = (tensor(x, width), tensor(y, width));
    let (n, m) = (x.dim(0).unwrap(), y.dim(0).unwrap());
    Paired::new((&x, &y), cost, Permutation::identity(n), (vec![0.0; n], vec![0.0; m])).unwrap()
}

/// Each pair's match is carried by two of twelve planted directions, all of one variance, in any orientation, towards either
/// end; everything else is noise of its own on either side.
#[test]
fn planted_directions_are_the_top_two() {
    let (n, d, planted) = (1500usize, 40, 12);
    let mut generator = rng::stream(3, &[]);
    let axes = orthonormal(d, &mut generator);
    let (mut x, mut y, mut carriers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..n {
        let mut chosen: Vec<usize> = (0..planted).collect();
        chosen.shuffle(&mut generator);
        chosen.truncate(2);
        let mut strength = || generator.random_range(1.5f32..2.5) * if generator.random() { 1.0 } else { -1.0 };
        let strengths = [strength(), strength()];
        for side in [&mut x, &mut y] {
            let at = |i: usize| chosen.iter().zip(&strengths).map(|(&k, strength)| strength * axes[k][i]).sum::<f32>();
            side.extend((0..d).map(|i| at(i) + 0.2 * normal(&mut generator)));
        }
        chosen.sort_unstable();
        carriers.push(chosen);
    }
    let paired = identity(&x, &y, d, CostKind::SquaredEuclidean);
    let directions = Directions::find(&paired, 20, 0).unwrap();
    let planted_of = |direction: usize| {
        let along = |axis: &[f32]| axis.iter().zip(directions.axis(direction)).map(|(a, b)| a * b).sum::<f32>().abs();
        (0..planted).max_by(|&a, &b| along(&axes[a]).total_cmp(&along(&axes[b]))).unwrap()
    };
    let found = |i: u32| {
        let parts = directions.contributions(i, i);
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by(|&a, &b| parts[b].total_cmp(&parts[a]));
        let mut top = vec![planted_of(order[0]), planted_of(order[1])];
        top.sort_unstable();
        top
    };
    let right = carriers.iter().zip(0u32..).filter(|(carriers, i)| **carriers == found(*i)).count();
    assert!(100 * right >= 95 * n, "{right} of {n}");
}

#[test]
fn contributions_add_up_to_the_score() {
    let mut generator = rng::stream(5, &[]);
    let (n, d) = (30, 6);
    let mut draw = || (0..n * d).map(|_| 1.0 + normal(&mut generator)).collect::<Vec<f32>>();
    let paired = identity(&draw(), &draw(), d, CostKind::NegativeInnerProduct);
    let directions = Directions::find(&paired, d, 0).unwrap();
    for (i, j) in [(0, 0), (3, 17), (29, 1)] {
        let (sum, score) = (directions.contributions(i, j).iter().sum::<f64>(), directions.score(&paired, i, j));
        assert!((sum - score).abs() < 1e-4 * (1.0 + score.abs()), "{sum}, expected {score}");
    }
    assert!(directions.mean_contributions().is_sorted_by(|a, b| a >= b));
}

#[test]
fn planted_groups_are_found_and_named() {
    let words = ["apple", "bridge", "cloud", "drum", "engine"];
    let mut generator = rng::stream(9, &[]);
    let (n, d) = (500usize, 10usize);
    let mut draw = || {
        let place = |item: usize, k: usize| if item % words.len() == k { 6.0 } else { 0.0 };
        (0..n * d).map(|at| place(at / d, at % d) + normal(&mut generator)).collect::<Vec<f32>>()
    };
    let paired = identity(&draw(), &draw(), d, CostKind::SquaredEuclidean);
    // Only y has texts; each has words of others beside that of its group.
    let texts: Vec<Option<String>> = (0..2 * n)
        .map(|at| (at >= n).then(|| format!("an {} of {}", words[(at - n) % words.len()], ["wood", "iron"][at % 2])))
        .collect();
    let vocabulary = Vocabulary::new(texts.iter().map(|text| text.as_deref()));
    let directions = Directions::find(&paired, 8, 0).unwrap();
    let tree = Tree::grow(&paired, &directions, &vocabulary, 0);
    let first: Vec<&TreeNode> = tree.nodes.iter().filter(|node| node.level == 1).collect();
    assert_eq!(first.len(), words.len());
    for node in first {
        let items = tree.items(node);
        let group = items[0] as usize % words.len();
        assert!(items.iter().all(|&item| item as usize % words.len() == group) && items.len() == n / words.len());
        assert_eq!(node.words[0].word, words[group]);
        assert!(node.words.iter().all(|word| !words.contains(&word.word.as_str()) || word.word == words[group]));
    }
    let mut order = tree.order.clone();
    order.sort_unstable();
    assert_eq!(order, (0..n as u32).collect::<Vec<_>>());
    for node in &tree.nodes[1..] {
        let parent = &tree.nodes[node.parent.unwrap() as usize];
        assert!(node.start >= parent.start && node.start + node.size <= parent.start + parent.size);
    }
}

/// Every counterfactual is what a solve without the removed item finds, and none is missed among those that are tried.
#[test]
fn counterfactuals_are_what_a_solve_finds() {
    let mut generator = rng::stream(11, &[]);
    let (n, d) = (40usize, 3usize);
    let mut draw = || (0..n * d).map(|_| normal(&mut generator)).collect::<Vec<f32>>();
    let (x, y) = (draw(), draw());
    let rows = |values: &[f32]| values.chunks(d).map(<[f32]>::to_vec).collect::<Vec<_>>();
    let solve = |x: &[f32]| pair(tensor(x, d), tensor(&y, d)).solve().unwrap().permutation;
    let start = WarmStart::from(solve(&x));
    let paired = Paired::priced((&tensor(&x, d), &tensor(&y, d)), CostKind::SquaredEuclidean, &start, &()).unwrap();
    let explainer = Explainer::new(paired, &[], 0).unwrap();
    let mut reported = 0;
    for i in 0..n as u32 {
        let explanation = explainer.explain(Item::X(i), 5).unwrap().unwrap();
        let before = explanation.y;
        assert!(explanation.margin > -1e-6 && explanation.reduced_cost.abs() < 1e-6);
        let nearest_holder = explainer.paired().x_of_y(explanation.nearest_of_x.item).unwrap();
        let tried = explanation.removals.iter().map(|removal| removal.removed).chain([nearest_holder]);
        for removed in tried.filter(|&removed| removed != i) {
            let kept: Vec<Vec<f32>> =
                rows(&x).into_iter().zip(0u32..).filter(|(_, at)| *at != removed).map(|(row, _)| row).collect();
            let again = solve(&kept.concat());
            let after = again.y_of_x()[(i - u32::from(i > removed)) as usize];
            let expected = explanation.removals.iter().find(|removal| removal.removed == removed);
            assert_eq!(expected.map_or(before, |removal| removal.partner), after, "x {i} without {removed}");
        }
        reported += explanation.removals.len();
    }
    assert!(reported > n / 2, "only {reported} removals found: too few to say anything");
}

#[test]
fn a_path_leads_from_an_item_to_its_partner() {
    let line: Vec<f32> = (0..21).flat_map(|at| [at as f32, 0.0]).collect();
    let (x, y) = (tensor(&line, 2), tensor(&line, 2));
    // 0 goes to 20, 20 to 0, the rest stay.
    let mut y_of_x: Vec<u32> = (0..21).collect();
    y_of_x.swap(0, 20);
    let zeros = || (vec![0.0; 21], vec![0.0; 21]);
    let permutation = Permutation::new(y_of_x, 21).unwrap();
    let paired = Paired::new((&x, &y), CostKind::SquaredEuclidean, permutation, zeros()).unwrap();
    let steps = path(&paired, 0, 5, 1).unwrap();
    let nearest: Vec<(u32, u32)> = steps.iter().map(|step| (step.x[0], step.y[0])).collect();
    assert_eq!(nearest, [(0, 0), (5, 5), (10, 10), (15, 15), (20, 20)]);
}
