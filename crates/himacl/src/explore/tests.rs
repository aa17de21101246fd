//! Explanations where the answer is known.

use super::*;
use candle_core::{Device, Tensor};
use hiref_core::matching::{Capacity, MatchingParams};
use hiref_core::{CostKind, HirefParams, Permutation, Problem, WarmStart, pair, rng};
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
    Paired::one_to_one((&x, &y), cost, &Permutation::identity(n), (vec![0.0; n], vec![0.0; m])).unwrap()
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
        let items = tree.pairs(node);
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
        let explanation = explainer.explain(Item::X(i), 5).unwrap().remove(0);
        let before = explanation.y;
        assert!(explanation.margin > -1e-6 && explanation.reduced_cost.abs() < 1e-6);
        let nearest = explanation.nearest_of_x.item;
        let nearest_holder = explainer.paired().partners(PairSide::Y, nearest).next().unwrap();
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
    let paired = Paired::one_to_one((&x, &y), CostKind::SquaredEuclidean, &permutation, zeros()).unwrap();
    let steps = path(&paired, [0, 20], 5, 1).unwrap();
    let nearest: Vec<(u32, u32)> = steps.iter().map(|step| (step.x[0], step.y[0])).collect();
    assert_eq!(nearest, [(0, 0), (5, 5), (10, 10), (15, 15), (20, 20)]);
}

/// All matchings in which every x has at most one partner and every y at most `capacity`, with their pairs.
fn matchings(n: usize, m: usize, capacity: usize) -> Vec<Vec<[u32; 2]>> {
    let mut all = vec![Vec::new()];
    for i in 0..n as u32 {
        let longer = all.iter().flat_map(|pairs: &Vec<[u32; 2]>| {
            let free = (0..m as u32).filter(|&j| pairs.iter().filter(|pair| pair[1] == j).count() < capacity);
            let with: Vec<_> = free.map(|j| [pairs.clone(), vec![[i, j]]].concat()).collect();
            with.into_iter().chain([pairs.clone()])
        });
        all = longer.collect();
    }
    all
}

/// Margins and reduced costs bound, and bounds of the mean are below, what brute force over all matchings finds; for
/// items with several partners, for single ones, and for both.
#[test]
fn prices_of_every_kind_of_matching_hold_by_brute_force() {
    let mut generator = rng::stream(13, &[]);
    let (n, m, d) = (6usize, 4usize, 2usize);
    let mut told = [0, 0, 0];
    for (capacity, unmatched_cost) in [(2, None), (1, Some(1.0)), (2, Some(1.5)), (2, None), (1, Some(0.4))] {
        let mut draw = |rows: usize| (0..rows * d).map(|_| normal(&mut generator)).collect::<Vec<f32>>();
        let (x, y) = (tensor(&draw(n), d), tensor(&draw(m), d));
        let params =
            MatchingParams { unmatched_cost, y_capacity: Capacity::All(capacity), ..MatchingParams::default() };
        let problem = Problem::new(x.clone(), y.clone(), CostKind::SquaredEuclidean).unwrap();
        let solver = HirefParams { certify: true, ..HirefParams::default() }.check().unwrap();
        let solved = solver.solve_matching(&problem, &params, &()).unwrap();
        let paired = Paired::matched((&x, &y), CostKind::SquaredEuclidean, solved.pairs.clone(), params, &()).unwrap();
        let all = matchings(n, m, capacity as usize);
        let cost = |pairs: &Vec<[u32; 2]>| pairs.iter().map(|&[i, j]| paired.between(i, j)).sum::<f64>();
        // Pairs are worth what two singles cost; without a price there are as many as can be.
        let objective = |pairs: &Vec<[u32; 2]>| cost(pairs) - unmatched_cost.unwrap_or(1e6) * pairs.len() as f64;
        let least = |may: &dyn Fn(&Vec<[u32; 2]>) -> bool| {
            all.iter().filter(|pairs| may(pairs)).map(objective).fold(f64::INFINITY, f64::min)
        };
        let optimum = least(&|_| true);
        assert!((objective(&solved.pairs) - optimum).abs() < 1e-5);
        let of = |side, count: u32| rivals(&paired, side, &(0..count).collect::<Vec<_>>(), 3).unwrap();
        let (of_x, of_y) = (of(PairSide::X, n as u32), of(PairSide::Y, m as u32));
        for (pair, margin) in paired.pairs().iter().zip(margins(&paired, &of_x, &of_y)) {
            let dearer = least(&|pairs| !pairs.contains(pair)) - optimum;
            assert!(margin > -1e-5 && margin <= dearer + 1e-5, "{pair:?}: margin {margin}, really {dearer}");
            told[0] += usize::from(margin > 0.05);
        }
        let explainer = Explainer::new(paired.clone(), &[], 0).unwrap();
        for i in 0..n as u32 {
            for rival in &of_x[i as usize].runners_up {
                assert!(!paired.partners(PairSide::X, i).any(|partner| partner == rival.item));
                let dearer = least(&|pairs| pairs.contains(&[i, rival.item])) - optimum;
                assert!(rival.reduced_cost <= dearer + 1e-5, "{i}, {rival:?}: really {dearer}");
            }
            let (pairs, single) = (explainer.explain(Item::X(i), 3).unwrap(), explainer.single(Item::X(i), 3).unwrap());
            assert_eq!(pairs.is_empty(), single.is_some());
            if let Some(single) = single {
                let dearer = least(&|pairs| pairs.iter().any(|pair| pair[0] == i)) - optimum;
                assert!(single.margin > -1e-5 && single.margin <= dearer + 1e-5, "{single:?}: really {dearer}");
                assert_eq!(single.nearest, of_x[i as usize].nearest);
                told[1] += usize::from(single.margin > 0.05);
            }
        }
        for j in 0..m as u32 {
            let partners: Vec<u32> = paired.partners(PairSide::Y, j).collect();
            for found in explainer.explain(Item::Y(j), 3).unwrap() {
                let mut all = found.other_partners_of_y.clone();
                all.push(found.x);
                all.sort_unstable();
                assert_eq!(all, partners);
                told[2] += usize::from(partners.len() > 1);
            }
        }
        let count = paired.pairs().len();
        let cheapest = all.iter().filter(|pairs| pairs.len() == count).map(cost).fold(f64::INFINITY, f64::min);
        let bound = paired.dual_bound() * count as f64;
        assert!(bound <= cheapest + 1e-5 && bound > cheapest - 0.02 * cheapest.abs() - 1e-4, "{bound}, {cheapest}");
    }
    assert!(told.iter().all(|&told| told > 1), "too little to be told: {told:?}");
}

#[test]
fn pairs_that_may_not_be_are_no_runners_up() {
    let (x, y) = (tensor(&[0.0, 1.0, 2.0, 3.0], 1), tensor(&[0.1, 1.1, 2.1, 3.1], 1));
    let groups = Some([vec![0, 1, 0, 1], vec![0, 1, 0, 1]]);
    let params = MatchingParams { groups, ..MatchingParams::default() };
    let pairs = (0..4).map(|i| [i, i]).collect();
    let paired = Paired::matched((&x, &y), CostKind::SquaredEuclidean, pairs, params, &()).unwrap();
    let found = rivals(&paired, PairSide::X, &[1], 3).unwrap();
    assert_eq!(found[0].runners_up.iter().map(|rival| rival.item).collect::<Vec<_>>(), [3]);
    let params = MatchingParams { forbidden: vec![[1, 0], [1, 2]], ..MatchingParams::default() };
    let pairs = (0..4).map(|i| [i, i]).collect();
    let paired = Paired::matched((&x, &y), CostKind::SquaredEuclidean, pairs, params, &()).unwrap();
    let found = rivals(&paired, PairSide::X, &[1], 3).unwrap();
    assert_eq!(found[0].runners_up.iter().map(|rival| rival.item).collect::<Vec<_>>(), [3]);
}
