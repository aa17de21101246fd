//! The results: costs computed anew, pairs in order, each row checked.

use crate::context::Context;
use crate::error::Error;
use crate::plan::Plan;
use crate::segments::{Column, Group, Segments, write};
use crate::step::Step;
use crate::vectors::Vectors;
use arrow_array::{ArrayRef, Float32Array, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema};
use himacl_data::files::{write_atomic, write_atomic_with};
use hiref_core::UNMATCHED;
use hiref_core::rng::order_key;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// Pairs whose rows are in memory at a time.
const CHUNK: usize = 4096;
/// The permutation's file, and the folder of the pairs.
const PERMUTATION: &str = "permutation.npy";
const PAIRS: &str = "pairs";
/// Purposes of random choices.
pub(super) const GAP_ROWS: u64 = 9;
pub(super) const PRICE_ROWS: u64 = 10;

/// What is told of the pairs of one file.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub(super) struct CostNote {
    pub(super) pairs: usize,
    pub(super) sum: f64,
    pub(super) largest: f64,
    /// The longest rows of either side.
    pub(super) norms: [f64; 2],
}

impl CostNote {
    fn add(&mut self, cost: f64, rows: [&[f32]; 2]) {
        self.pairs += 1;
        self.sum += cost;
        self.largest = self.largest.max(cost);
        for (norm, row) in self.norms.iter_mut().zip(rows) {
            *norm = norm.max(f64::from(crate::clusters::norm(row)));
        }
    }
}

/// Pairs, or rows of the larger side alone, that are drawn at random.
struct Drawn {
    seed: u64,
    limit: u64,
    ids: Vec<u32>,
    costs: Vec<f64>,
    x: Vectors,
    y: Vectors,
}

impl Drawn {
    /// None yet, of which about `wanted` of `rows` are to be drawn.
    fn new(context: &Context<'_>, purpose: u64, wanted: usize, rows: usize) -> Self {
        let plan = context.plan;
        let none = || Vectors::with_capacity(plan.element, plan.dimension, 0);
        let limit = match plan.gap_rows {
            0 => 0,
            _ if wanted >= rows => u64::MAX,
            _ => (wanted as f64 / rows as f64 * u64::MAX as f64) as u64,
        };
        let (ids, costs, seed) = (Vec::new(), Vec::new(), context.seed(purpose, 0, 0));
        Self { seed, limit, ids, costs, x: none(), y: none() }
    }

    /// Takes a pair if the number `id` is drawn.
    fn offer(&mut self, id: u32, cost: f64, x: Option<&[f32]>, y: &[f32]) {
        if self.limit > 0 && order_key(self.seed, id.into()) <= self.limit {
            self.ids.push(id);
            self.costs.push(cost);
            self.y.extend(y);
            if let Some(x) = x {
                self.x.extend(x);
            }
        }
    }

    fn group(&self, name: &'static str, are_pairs: bool) -> Group<'_> {
        let mut columns =
            vec![Column::u32s("id", &self.ids), Column::f64s("cost", &self.costs), Column::rows("y_row", &self.y)];
        if are_pairs {
            columns.push(Column::rows("x_row", &self.x));
        }
        Group::whole(name, self.ids.len(), columns)
    }
}

/// Computes the costs of the pairs of one file; draws rows for the gap, and pairs for its prices.
pub(crate) fn collect(context: &Context<'_>, task: usize, sweeps: usize) -> Result<(), Error> {
    let plan = context.plan;
    let source = context.open(Step::last_pairs(sweeps), task)?;
    let segments = if sweeps < plan.max_sweeps { plan.sweep_blocks } else { 1 };
    let rows = || Vectors::with_capacity(plan.element, plan.dimension, 0);
    let mut gap = Drawn::new(context, GAP_ROWS, plan.gap_rows, plan.rows[0]);
    let mut prices = Drawn::new(context, PRICE_ROWS, plan.price_rows, plan.rows[1]);
    let mut singles = Drawn::new(context, PRICE_ROWS, plan.price_rows, plan.rows[1]);
    let mut note = CostNote::default();
    let (mut x_ids, mut y_ids, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    for segment in 0..segments {
        context.check_stop()?;
        let first = x_ids.len();
        source.u32s("pairs", segment, "x", &mut x_ids)?;
        source.u32s("pairs", segment, "y", &mut y_ids)?;
        let (mut x, mut y) = (rows(), rows());
        source.rows("pairs", segment, "x_row", &mut x)?;
        source.rows("pairs", segment, "y_row", &mut y)?;
        for at in 0..x.len() {
            let (x, y) = (x.row(at), y.row(at));
            let cost = plan.cost.between(&x, &y);
            note.add(cost, [&x, &y]);
            costs.push(cost);
            gap.offer(x_ids[first + at], cost, Some(&x), &y);
            prices.offer(y_ids[first + at], cost, Some(&x), &y);
        }
        let (mut ids, mut y) = (Vec::new(), rows());
        source.u32s("singles", segment, "y", &mut ids)?;
        source.rows("singles", segment, "y_row", &mut y)?;
        ids.into_iter().enumerate().for_each(|(at, id)| singles.offer(id, 0.0, None, &y.row(at)));
    }
    let parts: Vec<u32> = x_ids.iter().map(|&id| (id as usize / plan.part_rows) as u32).collect();
    let pairs = vec![Column::u32s("x", &x_ids), Column::u32s("y", &y_ids), Column::f64s("cost", &costs)];
    let groups = [
        Group::sorted("pairs", &parts, plan.parts(), pairs),
        gap.group("gap", true),
        prices.group("prices", true),
        singles.group("singles", false),
    ];
    write(&context.file(Step::Collect, task), &note, &groups)
}

/// The results of the collecting tasks.
pub(super) fn collected(context: &Context<'_>, sweeps: usize) -> Result<Vec<Segments>, Error> {
    let tasks = Step::last_pairs(sweeps).tasks(context.plan);
    context.open_all(Step::Collect, 0..tasks)
}

/// Writes the pairs of a range of rows of the smaller side, in order.
pub(crate) fn part(context: &Context<'_>, task: usize, sweeps: usize) -> Result<(), Error> {
    let plan = context.plan;
    let (mut x, mut y, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    for file in collected(context, sweeps)? {
        file.u32s("pairs", task, "x", &mut x)?;
        file.u32s("pairs", task, "y", &mut y)?;
        file.f64s("pairs", task, "cost", &mut costs)?;
    }
    let first = task * plan.part_rows;
    let rows = plan.part_rows.min(plan.rows[0] - first);
    let mut partners = vec![UNMATCHED; rows];
    let mut cost_of = vec![0.0_f32; rows];
    let lost = |what: String| Error::broken(&context.file(Step::Collect, 0), what);
    for ((&x, &y), &cost) in x.iter().zip(&y).zip(&costs) {
        let at = x as usize - first;
        if partners[at] != UNMATCHED {
            return Err(lost(format!("row {x} has two partners")));
        }
        (partners[at], cost_of[at]) = (y, cost as f32);
    }
    if let Some(at) = partners.iter().position(|&y| y == UNMATCHED) {
        return Err(lost(format!("row {} has no partner", first + at)));
    }
    let folder = plan.output.join(PAIRS);
    std::fs::create_dir_all(&folder).map_err(Error::io("make folder", &folder))?;
    let path = part_file(plan, task);
    let ids: Vec<u32> = (first as u32..(first + rows) as u32).collect();
    let columns = if plan.turned { [partners.clone(), ids] } else { [ids, partners.clone()] };
    write_atomic_with(&path, |file| {
        write_pairs(file, columns, cost_of).map_err(|source| himacl_data::Error::Parquet { path: path.clone(), source })
    })?;
    write(&context.file(Step::Parts, task), &(), &[Group::whole("rows", rows, vec![Column::u32s("y", &partners)])])
}

fn write_pairs(file: &mut File, [x, y]: [Vec<u32>; 2], costs: Vec<f32>) -> Result<(), ParquetError> {
    let kinds = [("x_index", DataType::UInt32), ("y_index", DataType::UInt32), ("cost", DataType::Float32)];
    let fields: Vec<Field> = kinds.into_iter().map(|(name, kind)| Field::new(name, kind, false)).collect();
    let schema = Arc::new(Schema::new(fields));
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))?;
    let columns: Vec<ArrayRef> =
        vec![Arc::new(UInt32Array::from(x)), Arc::new(UInt32Array::from(y)), Arc::new(Float32Array::from(costs))];
    writer.write(&RecordBatch::try_new(schema, columns)?)?;
    writer.close()?;
    Ok(())
}

/// Checks that no row has two partners, and writes the permutation.
pub(crate) fn check(context: &Context<'_>, sweeps: usize) -> Result<(), Error> {
    let plan = context.plan;
    let mut taken = vec![0_u8; plan.rows[1].div_ceil(8)];
    let mut pairs = 0;
    each_part(context, |first, partners| {
        for (at, &y) in partners.iter().enumerate() {
            let (byte, bit) = (y as usize / 8, 1 << (y % 8));
            if y as usize >= plan.rows[1] || taken[byte] & bit != 0 {
                let what = format!("row {y} of the larger side is the partner of row {} and another", first + at);
                return Err(Error::broken(&Step::Parts.folder(context.work), what));
            }
            taken[byte] |= bit;
            pairs += 1;
        }
        Ok(())
    })?;
    if pairs != plan.rows[0] {
        let what = format!("there are {pairs} pairs, expected {}", plan.rows[0]);
        return Err(Error::broken(&Step::Parts.folder(context.work), what));
    }
    write_permutation(context)?;
    let mut total = CostNote::default();
    for file in collected(context, sweeps)? {
        let note: CostNote = file.note()?;
        total.pairs += note.pairs;
        total.sum += note.sum;
        total.largest = total.largest.max(note.largest);
        total.norms = [0, 1].map(|side| total.norms[side].max(note.norms[side]));
    }
    let group = Group::whole("taken", taken.len(), vec![Column::bytes("bits", &taken, 1)]);
    write(&context.file(Step::Check, 0), &total, &[group])
}

/// Hands over the partners of the rows of the smaller side, part by part.
fn each_part(context: &Context<'_>, mut take: impl FnMut(usize, &[u32]) -> Result<(), Error>) -> Result<(), Error> {
    for part in 0..context.plan.parts() {
        context.check_stop()?;
        let mut partners = Vec::new();
        context.open(Step::Parts, part)?.u32s("rows", 0, "y", &mut partners)?;
        take(part * context.plan.part_rows, &partners)?;
    }
    Ok(())
}

/// The y row of each x row as the user calls them: in the order of the parts, or, where y is the smaller side, range by range of x.
fn write_permutation(context: &Context<'_>) -> Result<(), Error> {
    let plan = context.plan;
    let path = plan.output.join(PERMUTATION);
    let rows = if plan.turned { plan.rows[1] } else { plan.rows[0] };
    let range = if plan.turned { ((plan.memory / 16) as usize).max(1 << 16).min(rows) } else { rows };
    let mut failed = None;
    let header = npy_header(rows);
    let written = write_atomic(&path, |out| {
        out.write_all(&header)?;
        let mut write = |values: &[u32]| {
            values.chunks(CHUNK).try_for_each(|values| {
                out.write_all(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
            })
        };
        let mut result = Ok(());
        if !plan.turned {
            let read = each_part(context, |_, partners| {
                result = write(partners);
                if result.is_ok() { Ok(()) } else { Err(Error::Interrupted) }
            });
            result?;
            return read.map_err(|error| keep(&mut failed, error));
        }
        for start in (0..rows).step_by(range) {
            let mut values = vec![UNMATCHED; range.min(rows - start)];
            let read = each_part(context, |first, partners| {
                for (at, &y) in partners.iter().enumerate() {
                    if let Some(value) = (y as usize).checked_sub(start).and_then(|at| values.get_mut(at)) {
                        *value = (first + at) as u32;
                    }
                }
                Ok(())
            });
            read.map_err(|error| keep(&mut failed, error))?;
            write(&values)?;
        }
        Ok(())
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(written?),
    }
}

/// Keeps an error that a writer cannot return.
fn keep(place: &mut Option<Error>, error: Error) -> std::io::Error {
    *place = Some(error);
    std::io::ErrorKind::Other.into()
}

/// The head of a file of u32, `(rows,)`, as numpy writes it.
fn npy_header(rows: usize) -> Vec<u8> {
    let text = format!("{{'descr': '<u4', 'fortran_order': False, 'shape': ({rows},), }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{text:<width$}\n", width = length - 1).bytes());
    bytes
}

fn part_file(plan: &Plan, task: usize) -> PathBuf {
    plan.output.join(PAIRS).join(format!("part-{task:05}.parquet"))
}

/// The file that a task writes into the folder for the results, if it writes one.
pub(crate) fn result_file(plan: &Plan, step: Step, task: usize) -> Option<PathBuf> {
    match step {
        Step::Parts => Some(part_file(plan, task)),
        Step::Check => Some(plan.output.join(PERMUTATION)),
        _ => None,
    }
}

/// The files that a run makes in the folder for the results; `#` stands for a number.
pub fn result_files() -> [String; 2] {
    [PERMUTATION.to_owned(), format!("{PAIRS}/part-#.parquet")]
}
