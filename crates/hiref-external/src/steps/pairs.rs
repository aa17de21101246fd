//! Pairs: made cluster by cluster, regrouped and improved sweep by sweep.

use crate::block::{Block, tree_of_samples};
use crate::context::Context;
use crate::cut::CutTree;
use crate::error::Error;
use crate::step::Step;

const SOLVE: u64 = 6;
const SWEEP: u64 = 7;
const CUT: u64 = 8;

/// Pairs the rows of one cluster.
pub(crate) fn solve(context: &Context<'_>, task: usize) -> Result<(), Error> {
    let plan = context.plan;
    let sides = [0..plan.pieces(0), plan.pieces(0)..plan.all_pieces()];
    let [x, y] = sides.map(|pieces| context.open_all(Step::Route, pieces));
    let mut block = Block::routed(plan, [&x?, &y?], task)?;
    let note = block.solve(plan, context.device, context.seed(SOLVE, 0, task), context.stop)?;
    let tree =
        if plan.max_sweeps > 0 { Some(CutTree::read(&context.open(Step::Sample, 0)?, plan.dimension)?) } else { None };
    block.write(plan, &context.file(Step::Solve, task), note, 1, tree.as_ref())
}

/// Makes the tree for a sweep from the pairs before the one that comes before it.
pub(crate) fn cut(context: &Context<'_>, number: usize) -> Result<(), Error> {
    let plan = context.plan;
    let before = Step::last_pairs(number - 2);
    let files = context.open_all(before, 0..before.tasks(plan))?;
    let tree = tree_of_samples(plan, &files, number, context.seed(CUT, number, 0))?;
    let [cuts, below] = tree.groups();
    crate::segments::write(&context.file(Step::Cut(number), 0), &(), &[cuts, below, tree.means_group()])
}

/// Improves the pairs of one block.
pub(crate) fn sweep(context: &Context<'_>, number: usize, task: usize) -> Result<(), Error> {
    let plan = context.plan;
    let before = Step::last_pairs(number - 1);
    let files = context.open_all(before, 0..before.tasks(plan))?;
    let mut block = Block::paired(plan, &files, task)?;
    drop(files);
    let note = block.improve(plan, context.device, context.seed(SWEEP, number, task), context.stop)?;
    let tree = if number < plan.max_sweeps {
        Some(CutTree::read(&context.open(Step::Cut(number + 1), 0)?, plan.dimension)?)
    } else {
        None
    };
    block.write(plan, &context.file(Step::Sweep(number), task), note, number + 1, tree.as_ref())
}
