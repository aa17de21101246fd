//! Pairs of one block, with points and prices: read from the files of an earlier step, improved, written for the next.

use crate::cut::{CutTree, Item, item_key};
use crate::error::Error;
use crate::plan::Plan;
use crate::segments::{Column, Group, Segments, write};
use crate::vectors::Vectors;
use candle_core::Device;
use hiref_core::{HirefOutput, Observer, Permutation, Problem, UNMATCHED, WarmStart, mean_cost};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// Items of a block that the next tree is cut from, for each of its leaves.
const SAMPLED_PER_LEAF: usize = 1024;
/// Items whose leaves are found at a time.
const CHUNK: usize = 1024;

/// Pairs, and rows of the larger side without a partner.
#[derive(Debug)]
pub(crate) struct Block {
    /// Rows of the smaller side, `(n,)`.
    pub(crate) x_ids: Vec<u32>,
    /// Rows of the larger side, `(m,)`: partners of the x first, in their order, once there are pairs.
    pub(crate) y_ids: Vec<u32>,
    /// Prices of the larger side, `(m,)`.
    pub(crate) g: Vec<f64>,
    /// In which earlier block each was priced, `(m,)`.
    label: Vec<u32>,
    pub(crate) x: Vectors,
    pub(crate) y: Vectors,
}

/// What is told of a block.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct BlockNote {
    pub(crate) pairs: usize,
    /// Sum of the pairs' costs before the step; as after it where there were no pairs before.
    pub(crate) before: f64,
    pub(crate) after: f64,
}

/// Hears nothing, and says stop when it is told to.
pub(crate) struct Quiet<'a>(pub(crate) &'a (dyn Fn() -> bool + Sync));

impl Observer for Quiet<'_> {
    fn on_event(&self, _event: &hiref_core::Event) {}

    fn should_stop(&self) -> bool {
        (self.0)()
    }
}

impl Block {
    fn with_room(plan: &Plan, n: usize, m: usize) -> Self {
        let rows = |rows| Vectors::with_capacity(plan.element, plan.dimension, rows);
        let ids = Vec::with_capacity;
        let (g, label) = (Vec::with_capacity(m), Vec::with_capacity(m));
        Self { x_ids: ids(n), y_ids: ids(m), g, label, x: rows(n), y: rows(m) }
    }

    /// Rows that were routed to a cluster, without pairs yet.
    pub(crate) fn routed(plan: &Plan, files: [&[Segments]; 2], segment: usize) -> Result<Self, Error> {
        let count =
            |files: &[Segments]| -> Result<usize, Error> { files.iter().map(|file| file.count("rows", segment)).sum() };
        let mut block = Self::with_room(plan, count(files[0])?, count(files[1])?);
        for file in files[0] {
            file.u32s("rows", segment, "id", &mut block.x_ids)?;
            file.rows("rows", segment, "row", &mut block.x)?;
        }
        for file in files[1] {
            file.u32s("rows", segment, "id", &mut block.y_ids)?;
            file.rows("rows", segment, "row", &mut block.y)?;
        }
        Ok(block)
    }

    /// Pairs from the files of an earlier step.
    pub(crate) fn paired(plan: &Plan, files: &[Segments], segment: usize) -> Result<Self, Error> {
        let count = |group: &str| -> Result<usize, Error> { files.iter().map(|file| file.count(group, segment)).sum() };
        let pairs = count("pairs")?;
        let mut block = Self::with_room(plan, pairs, pairs + count("singles")?);
        let mut labels = HashMap::new();
        for (group, has_x) in [("pairs", true), ("singles", false)] {
            for (index, file) in files.iter().enumerate() {
                if has_x {
                    file.u32s(group, segment, "x", &mut block.x_ids)?;
                    file.rows(group, segment, "x_row", &mut block.x)?;
                }
                file.u32s(group, segment, "y", &mut block.y_ids)?;
                file.f64s(group, segment, "g", &mut block.g)?;
                file.rows(group, segment, "y_row", &mut block.y)?;
                let first = block.label.len();
                file.u32s(group, segment, "label", &mut block.label)?;
                // Labels of the solver must be below the number of rows.
                for label in &mut block.label[first..] {
                    let next = labels.len() as u32;
                    *label = *labels.entry((index as u32, *label)).or_insert(next);
                }
            }
        }
        Ok(block)
    }

    fn problem(&self, plan: &Plan) -> Result<Problem<'_>, Error> {
        Ok(Problem::new(self.x.points(), self.y.points(), plan.cost)?)
    }

    /// Pairs rows from nothing.
    pub(crate) fn solve(
        &mut self,
        plan: &Plan,
        device: &Device,
        seed: u64,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<BlockNote, Error> {
        if self.x_ids.is_empty() {
            return Ok(self.without_pairs());
        }
        let params = plan.params(seed);
        let params = hiref_core::HirefParams { max_sweeps: Some(plan.first_sweeps), ..params };
        let problem = self.problem(plan)?;
        let solved = params.check()?.on_device(device).solve(&problem, None, &Quiet(stop))?;
        if stop() {
            return Err(Error::Interrupted);
        }
        let after = solved.mean_cost * self.x_ids.len() as f64;
        drop(problem);
        self.take_over(&solved);
        Ok(BlockNote { pairs: self.x_ids.len(), before: after, after })
    }

    /// Improves the pairs there are.
    pub(crate) fn improve(
        &mut self,
        plan: &Plan,
        device: &Device,
        seed: u64,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<BlockNote, Error> {
        let (n, m) = (self.x_ids.len(), self.y_ids.len());
        if n == 0 {
            return Ok(self.without_pairs());
        }
        let params = hiref_core::HirefParams {
            max_sweeps: Some(plan.inner_sweeps),
            polish_block_size: Some(plan.polish_block),
            exact_limit: Some(usize::MAX),
            // On a device rounds start from poorer prices.
            max_rounds: Some(if device.is_cpu() { plan.rounds } else { 0 }),
            ..plan.params(seed)
        };
        let identity = Permutation::new((0..n as u32).collect(), m)?;
        let (g, label) = (std::mem::take(&mut self.g), std::mem::take(&mut self.label));
        let start = WarmStart::with_prices(identity.clone(), g, label)?;
        let problem = self.problem(plan)?;
        let before = mean_cost(&problem, &identity) * n as f64;
        let solved = params.check()?.on_device(device).improve(&problem, start, &Quiet(stop))?;
        if stop() {
            return Err(Error::Interrupted);
        }
        let after = solved.mean_cost * n as f64;
        drop(problem);
        self.take_over(&solved);
        Ok(BlockNote { pairs: n, before, after })
    }

    fn without_pairs(&mut self) -> BlockNote {
        self.g.resize(self.y_ids.len(), 0.0);
        self.label.resize(self.y_ids.len(), 0);
        BlockNote { pairs: 0, before: 0.0, after: 0.0 }
    }

    /// Orders the larger side by the pairs of a solve.
    fn take_over(&mut self, solved: &HirefOutput) {
        let (g, label) = solved.prices();
        let mut order: Vec<u32> = solved.permutation.y_of_x().to_vec();
        let single = solved.permutation.x_of_y().into_iter().enumerate().filter(|&(_, x)| x == UNMATCHED);
        order.extend(single.map(|(y, _)| y as u32));
        self.g = order.iter().map(|&y| g[y as usize]).collect();
        self.label = order.iter().map(|&y| label[y as usize]).collect();
        self.y_ids = order.iter().map(|&y| self.y_ids[y as usize]).collect();
        self.y.reorder(&order);
    }

    /// Writes the pairs by the leaves of the next tree, all in one segment without one; and a sample of them for the tree after that.
    pub(crate) fn write(
        &self,
        plan: &Plan,
        path: &Path,
        note: BlockNote,
        cut: usize,
        tree: Option<&CutTree>,
    ) -> Result<(), Error> {
        let (n, m) = (self.x_ids.len(), self.y_ids.len());
        let leaves = if tree.is_some() { plan.sweep_blocks } else { 1 };
        let mut leaf = vec![0_u32; m];
        if let Some(tree) = tree {
            let d = plan.dimension;
            leaf.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, leaves)| {
                let (mut x, mut y, mut room) = (vec![0.0; d], vec![0.0; d], vec![0.0; d]);
                for (at, leaf) in leaves.iter_mut().enumerate() {
                    let at = chunk * CHUNK + at;
                    self.y.widen(at, &mut y);
                    if at < n {
                        self.x.widen(at, &mut x);
                    }
                    let key = item_key(plan.seed, cut, self.y_ids[at]);
                    *leaf = tree.leaf(&Item { key, x: (at < n).then_some(&x), y: &y }, &mut room);
                }
            });
        }
        let pairs = vec![
            Column::u32s("x", &self.x_ids),
            Column::u32s("y", &self.y_ids),
            Column::f64s("g", &self.g),
            Column::u32s("label", &self.label),
            Column::rows("x_row", &self.x),
            Column::rows("y_row", &self.y),
        ];
        // Rows without a partner follow the pairs.
        let single: Vec<u32> = (n as u32..m as u32).collect();
        let ids: Vec<u32> = self.y_ids[n..].to_vec();
        let (g, label) = (&self.g[n..], &self.label[n..]);
        let singles = vec![
            Column::u32s("y", &ids),
            Column::f64s("g", g),
            Column::u32s("label", label),
            Column::rows_from("y_row", &self.y, n),
        ];
        // As many as the next tree needs, whichever block they are in.
        let wanted = (SAMPLED_PER_LEAF * plan.sweep_blocks) as f64 / plan.rows[1] as f64;
        let limit = if wanted >= 1.0 { u64::MAX } else { (wanted * u64::MAX as f64) as u64 };
        let is_sampled = |at: &u32| item_key(plan.seed ^ 1, cut, self.y_ids[*at as usize]) <= limit;
        let sampled: Vec<u32> = (0..n as u32).filter(is_sampled).collect();
        let others: Vec<u32> = single.into_iter().filter(is_sampled).collect();
        let groups = [
            Group::sorted("pairs", &leaf[..n], leaves, pairs),
            Group::sorted("singles", &leaf[n..], leaves, singles),
            Group::chosen(
                "sampled_pairs",
                sampled,
                vec![Column::u32s("y", &self.y_ids), Column::rows("x_row", &self.x), Column::rows("y_row", &self.y)],
            ),
            Group::chosen(
                "sampled_singles",
                others,
                vec![Column::u32s("y", &self.y_ids), Column::rows("y_row", &self.y)],
            ),
        ];
        write(path, &note, &groups)
    }
}

/// A tree for the pairs that earlier steps have sampled.
pub(crate) fn tree_of_samples(plan: &Plan, files: &[Segments], cut: usize, seed: u64) -> Result<CutTree, Error> {
    let rows = || Vectors::with_capacity(plan.element, plan.dimension, 0);
    let (mut ids, mut x, mut y) = (Vec::new(), rows(), rows());
    for file in files {
        file.u32s("sampled_pairs", 0, "y", &mut ids)?;
        file.rows("sampled_pairs", 0, "x_row", &mut x)?;
        file.rows("sampled_pairs", 0, "y_row", &mut y)?;
    }
    for file in files {
        file.u32s("sampled_singles", 0, "y", &mut ids)?;
        file.rows("sampled_singles", 0, "y_row", &mut y)?;
    }
    Ok(tree_of(plan, &ids, &x, &y, plan.sweep_blocks, cut, seed))
}

/// A tree with so many leaves for pairs: x of the first rows, y of all.
pub(crate) fn tree_of(
    plan: &Plan,
    ids: &[u32],
    x: &Vectors,
    y: &Vectors,
    leaves: usize,
    cut: usize,
    seed: u64,
) -> CutTree {
    let rows = |vectors: &Vectors| (0..vectors.len()).map(|row| vectors.row(row)).collect::<Vec<_>>();
    let (x, y) = (rows(x), rows(y));
    let items: Vec<Item<'_>> = y
        .iter()
        .enumerate()
        .map(|(at, y)| Item { key: item_key(plan.seed, cut, ids[at]), x: x.get(at).map(Vec::as_slice), y })
        .collect();
    CutTree::new(&items, plan.dimension, leaves, seed)
}
