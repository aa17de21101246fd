//! The first look at the rows, and the coarse partition that a sample of them gives.

use crate::block::{Quiet, tree_of};
use crate::clusters::{Clusters, Features, shift_of};
use crate::context::Context;
use crate::cut::{Item, item_key};
use crate::error::Error;
use crate::inputs::chunks;
use crate::plan::Plan;
use crate::segments::{Column, Group, write};
use crate::step::Step;
use crate::vectors::Vectors;
use hiref_core::rng::stream;
use hiref_core::{Problem, UNMATCHED};
use rand::seq::index;

/// Purposes of random choices.
const ROWS: u64 = 1;
const SOLVE: u64 = 2;
const CLUSTERS: u64 = 3;
const CUT: u64 = 4;

/// The sampled rows of a side, in order.
fn sampled(plan: &Plan, side: usize) -> Vec<usize> {
    let mut rng = stream(plan.seed, &[ROWS, side as u64]);
    let mut rows = index::sample(&mut rng, plan.rows[side], plan.sample_rows[side]).into_vec();
    rows.sort_unstable();
    rows
}

/// Reads a piece: the sums of its rows, and those that belong to the sample.
pub(crate) fn scan(context: &Context<'_>, task: usize) -> Result<(), Error> {
    let plan = context.plan;
    let (side, range) = plan.piece(task);
    let d = plan.dimension;
    let wanted = sampled(plan, side);
    let mut next = wanted.partition_point(|&row| row < range.start);
    let mut sums = vec![0.0_f64; d];
    let mut rows = Vec::new();
    for chunk in chunks(range, plan.chunk_rows) {
        context.check_stop()?;
        let values = context.inputs.raw(side, chunk.clone())?;
        for row in values.chunks_exact(d) {
            sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        while let Some(row) = wanted.get(next).filter(|&&row| row < chunk.end) {
            rows.extend_from_slice(&values[(row - chunk.start) * d..(row - chunk.start + 1) * d]);
            next += 1;
        }
    }
    let groups = [
        Group::whole("rows", rows.len() / d, vec![Column::f32s("row", &rows, d)]),
        Group::whole("sums", d, vec![Column::f64s("sum", &sums)]),
    ];
    write(&context.file(Step::Scan, task), &(), &groups)
}

/// Pairs the sample, makes clusters of its pairs, and the first tree.
pub(crate) fn sample(context: &Context<'_>) -> Result<(), Error> {
    let plan = context.plan;
    let d = plan.dimension;
    let mut means = Vec::new();
    let mut sides = Vec::new();
    for side in 0..2 {
        let first = side * plan.pieces(0);
        let files = context.open_all(Step::Scan, first..first + plan.pieces(side))?;
        let mut sums = vec![0.0_f64; d];
        let mut rows = Vec::with_capacity(plan.sample_rows[side] * d);
        for file in &files {
            let mut own = Vec::new();
            file.f64s("sums", 0, "sum", &mut own)?;
            sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
            file.f32s("rows", 0, "row", &mut rows)?;
        }
        let mean: Vec<f32> = sums.iter().map(|sum| (sum / plan.rows[side] as f64) as f32).collect();
        sides.push(transformed(plan, rows, &mean));
        means.extend(mean);
    }
    let [x, mut y]: [Vectors; 2] = sides.try_into().expect("two sides");
    let (n, m) = (x.len(), y.len());
    // The rows of the sample stand for themselves.
    let ids: Vec<u32> = (0..m as u32).collect();
    if plan.solve_blocks > 1 {
        let order = pair_sample(context, &x, &y)?;
        y.reorder(&order);
    }
    let widened = |rows: &Vectors| -> Vec<f32> { (0..rows.len()).flat_map(|row| rows.row(row)).collect() };
    let (wide_x, wide_y) = (widened(&x), widened(&y));
    let mean_of = |rows: &[f32]| -> Vec<f32> {
        let mut sums = vec![0.0_f64; d];
        for row in rows.chunks_exact(d) {
            sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        sums.iter().map(|sum| (sum / (rows.len() / d) as f64) as f32).collect()
    };
    let unshifted = Features { plan, shift: &vec![0.0; 2 * d] };
    let plain = |side: usize, rows: &[f32]| -> Vec<f32> {
        let features = unshifted.of(side, rows);
        features.chunks_exact(plan.feature_width()).flat_map(|row| row[..d].to_vec()).collect()
    };
    let shift = shift_of(plan, [&mean_of(&plain(0, &wide_x)), &mean_of(&plain(1, &wide_y))]);
    let features = Features { plan, shift: &shift };
    let (of_x, of_y) = (features.of(0, &wide_x), features.of(1, &wide_y));
    drop((wide_x, wide_y));
    let start = first_labels(plan, &ids, &x, &y, context.seed(CLUSTERS, 0, 0));
    let clusters = Clusters::new(plan, shift, [&of_x, &of_y], &start)?;
    drop((of_x, of_y));
    debug_assert!(n <= m, "the smaller side comes first");
    let tree = tree_of(plan, &ids, &x, &y, plan.sweep_blocks, 1, context.seed(CUT, 1, 0));
    let mut groups = clusters.groups(plan);
    groups.extend(tree.groups());
    groups.push(tree.means_group());
    groups.push(Group::whole("means", 2, vec![Column::f32s("mean", &means, d)]));
    write(&context.file(Step::Sample, 0), &(), &groups)
}

/// Rows as the run sees them, in the type that they are stored in. Zero rows are refused when they are scored.
fn transformed(plan: &Plan, mut rows: Vec<f32>, mean: &[f32]) -> Vectors {
    let d = plan.dimension;
    if plan.center {
        rows.chunks_exact_mut(d).for_each(|row| row.iter_mut().zip(mean).for_each(|(value, mean)| *value -= mean));
    }
    if plan.normalize {
        // What cannot be normalised stays zero.
        let _ = himacl_data::normalize_rows(&mut rows, d);
    }
    let mut vectors = Vectors::with_capacity(plan.element, d, rows.len() / d);
    vectors.extend(&rows);
    vectors
}

/// The order of the sampled y in which the partners of the x come first.
fn pair_sample(context: &Context<'_>, x: &Vectors, y: &Vectors) -> Result<Vec<u32>, Error> {
    let plan = context.plan;
    let problem = Problem::new(x.points(), y.points(), plan.cost)?;
    let solver = plan.params(context.seed(SOLVE, 0, 0)).check()?;
    let solved = solver.solve(&problem, None, &Quiet(context.stop))?;
    context.check_stop()?;
    let mut order: Vec<u32> = solved.permutation.y_of_x().to_vec();
    let single = solved.permutation.x_of_y().into_iter().enumerate().filter(|&(_, x)| x == UNMATCHED);
    order.extend(single.map(|(y, _)| y as u32));
    Ok(order)
}

/// Clusters to start from: leaves of a random tree.
fn first_labels(plan: &Plan, ids: &[u32], x: &Vectors, y: &Vectors, seed: u64) -> Vec<u32> {
    if plan.solve_blocks == 1 {
        return vec![0; y.len()];
    }
    let tree = tree_of(plan, ids, x, y, plan.solve_blocks, 0, seed);
    let mut room = vec![0.0; plan.dimension];
    let label = |at: usize| {
        let (own, partner) = (y.row(at), (at < x.len()).then(|| x.row(at)));
        let key = item_key(plan.seed, 0, ids[at]);
        tree.leaf(&Item { key, x: partner.as_deref(), y: &own }, &mut room)
    };
    (0..y.len()).map(label).collect()
}
