//! Every row to its cluster, in clusters of exact sizes.

use crate::balance::{Balanced, Candidates, balance};
use crate::clusters::Clusters;
use crate::context::Context;
use crate::error::Error;
use crate::inputs::chunks;
use crate::segments::{Column, Group, Segments, write};
use crate::step::Step;
use crate::vectors::Vectors;

const BALANCE: u64 = 5;

fn clusters(context: &Context<'_>) -> Result<Clusters, Error> {
    Clusters::read(&context.open(Step::Sample, 0)?)
}

/// The best clusters of the rows of a piece.
pub(crate) fn score(context: &Context<'_>, task: usize) -> Result<(), Error> {
    let plan = context.plan;
    let (side, range) = plan.piece(task);
    let (clusters, means) = (clusters(context)?, context.means()?);
    let mut all = Candidates::new(plan.candidates);
    for chunk in chunks(range, plan.chunk_rows) {
        context.check_stop()?;
        let rows = context.inputs.rows(plan, side, chunk.clone(), &means)?;
        let features = clusters.features(plan).of(side, &rows);
        let found = clusters.candidates(plan, side, chunk.start, &features);
        all.clusters.extend(found.clusters);
        all.scores.extend(found.scores);
    }
    let ids: Vec<u8> = all.clusters.iter().flat_map(|cluster| cluster.to_le_bytes()).collect();
    let columns = vec![
        Column::bytes("clusters", &ids, 2 * plan.candidates),
        Column::f32s("scores", &all.scores, plan.candidates),
    ];
    write(&context.file(Step::Score, task), &(), &[Group::whole("rows", all.rows(), columns)])
}

fn candidates(file: &Segments, width: usize) -> Result<Candidates, Error> {
    let mut all = Candidates::new(width);
    let mut ids = Vec::new();
    file.bytes("rows", 0, "clusters", &mut ids)?;
    all.clusters = ids.as_chunks().0.iter().map(|id| u16::from_le_bytes(*id)).collect();
    file.f32s("rows", 0, "scores", &mut all.scores)?;
    Ok(all)
}

/// Prices for the rows of one side, and the rows that move.
pub(crate) fn balance_side(context: &Context<'_>, side: usize) -> Result<(), Error> {
    let plan = context.plan;
    let clusters = clusters(context)?;
    let first = side * plan.pieces(0);
    let files = context.open_all(Step::Score, first..first + plan.pieces(side))?;
    let source = |take: &mut dyn FnMut(usize, &Candidates)| {
        for (piece, file) in files.iter().enumerate() {
            context.check_stop()?;
            take(piece * plan.piece_rows, &candidates(file, plan.candidates)?);
        }
        Ok(())
    };
    let sizes = clusters.sizes(plan);
    let seed = context.seed(BALANCE, side, 0);
    let Balanced { prices, moved } = balance(&source, plan.rows[side], &sizes[side], &clusters.prices[side], seed)?;
    let (rows, labels): (Vec<u32>, Vec<u32>) = moved.into_iter().map(|(row, label)| (row, u32::from(label))).unzip();
    let groups = [
        Group::whole("prices", prices.len(), vec![Column::f64s("price", &prices)]),
        Group::whole("moved", rows.len(), vec![Column::u32s("row", &rows), Column::u32s("cluster", &labels)]),
    ];
    write(&context.file(Step::Balance, side), &rows.len(), &groups)
}

/// The rows of a piece by their clusters.
pub(crate) fn route(context: &Context<'_>, task: usize) -> Result<(), Error> {
    let plan = context.plan;
    let (side, range) = plan.piece(task);
    let means = context.means()?;
    let file = context.open(Step::Balance, side)?;
    let (mut prices, mut moved, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    file.f64s("prices", 0, "price", &mut prices)?;
    file.u32s("moved", 0, "row", &mut moved)?;
    file.u32s("moved", 0, "cluster", &mut labels)?;
    let all = candidates(&context.open(Step::Score, task)?, plan.candidates)?;
    let mut cluster: Vec<u32> = (0..all.rows()).map(|row| all.best(row, &prices).0.into()).collect();
    drop(all);
    let own = |row: usize| moved.partition_point(|&other| (other as usize) < row);
    for at in own(range.start)..own(range.end) {
        cluster[moved[at] as usize - range.start] = labels[at];
    }
    drop((moved, labels));
    let mut rows = Vectors::with_capacity(plan.element, plan.dimension, range.len());
    for chunk in chunks(range.clone(), plan.chunk_rows) {
        context.check_stop()?;
        rows.extend(&context.inputs.rows(plan, side, chunk, &means)?);
    }
    let ids: Vec<u32> = range.map(|row| row as u32).collect();
    let columns = vec![Column::u32s("id", &ids), Column::rows("row", &rows)];
    write(&context.file(Step::Route, task), &(), &[Group::sorted("rows", &cluster, plan.solve_blocks, columns)])
}
