//! Rows of the two sides as the run sees them: centred and normalised as asked.

use crate::error::Error;
use crate::plan::{Input, Plan};
use himacl_data::{Embeddings, FileRanges, normalize_rows, zero_rows};
use hiref_core::CostKind;
use std::ops::Range;

/// The two sides, the smaller first.
#[derive(Debug)]
pub(crate) struct Inputs {
    sides: [Embeddings; 2],
}

impl Inputs {
    pub(crate) fn open(plan: &Plan) -> Result<Self, Error> {
        let open = |input: &Input| Embeddings::open(&input.path, input.key.as_deref());
        Ok(Self { sides: [open(&plan.inputs[0])?, open(&plan.inputs[1])?] })
    }

    /// Where the bytes of the rows of a range are.
    pub(crate) fn byte_ranges(&self, side: usize, range: Range<usize>) -> Result<Vec<FileRanges>, Error> {
        Ok(self.sides[side].byte_ranges(range)?)
    }

    /// Rows of a range as they are.
    pub(crate) fn raw(&self, side: usize, range: Range<usize>) -> Result<Vec<f32>, Error> {
        Ok(self.sides[side].read_rows(range)?)
    }

    /// Rows of a range; `means`, `(2, d)`, are those of the sides.
    pub(crate) fn rows(&self, plan: &Plan, side: usize, range: Range<usize>, means: &[f32]) -> Result<Vec<f32>, Error> {
        let d = plan.dimension;
        let first = range.start;
        let mut rows = self.raw(side, range)?;
        if plan.center {
            let mean = &means[side * d..(side + 1) * d];
            rows.chunks_exact_mut(d).for_each(|row| row.iter_mut().zip(mean).for_each(|(value, mean)| *value -= mean));
        }
        if plan.normalize {
            normalize_rows(&mut rows, d).map_err(|zero| self.zero(plan, side, first, &zero, "--normalize"))?;
        } else if plan.cost == CostKind::Cosine {
            let zero = zero_rows(&rows, d);
            if !zero.is_empty() {
                return Err(self.zero(plan, side, first, &zero, "the cosine cost"));
            }
        }
        Ok(rows)
    }

    fn zero(&self, plan: &Plan, side: usize, first: usize, rows: &[usize], need: &'static str) -> Error {
        let side = &self.sides[side];
        let all: Vec<usize> = rows.iter().map(|row| first + row).collect();
        let (path, rows) = (side.path().to_path_buf(), side.places(&all));
        Error::Data(himacl_data::Error::ZeroRows { path, rows, total: all.len(), centered: plan.center, need })
    }
}

/// A range in pieces of at most `size`.
pub(crate) fn chunks(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(size).map(move |start| start..(start + size).min(end))
}
