//! Rows in memory, in the type that they are stored in.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use himacl_data::ElementType;
use hiref_core::Points;
use serde::{Deserialize, Serialize};

/// How coordinates are stored between tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Element {
    F32,
    F16,
    Bf16,
}

impl Element {
    /// Bytes of one number.
    pub(crate) fn size(self) -> usize {
        if self == Self::F32 { 4 } else { 2 }
    }
}

impl From<ElementType> for Element {
    fn from(element: ElementType) -> Self {
        match element {
            ElementType::F16 => Self::F16,
            ElementType::Bf16 => Self::Bf16,
            _ => Self::F32,
        }
    }
}

/// Rows of numbers, `(len, d)`.
#[derive(Debug, Clone)]
pub(crate) struct Vectors {
    values: Values,
    dimension: usize,
}

#[derive(Debug, Clone)]
enum Values {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
}

impl Vectors {
    /// None yet, with room for `rows`.
    pub(crate) fn with_capacity(element: Element, dimension: usize, rows: usize) -> Self {
        let room = rows * dimension;
        let values = match element {
            Element::F32 => Values::F32(Vec::with_capacity(room)),
            Element::F16 => Values::F16(Vec::with_capacity(room)),
            Element::Bf16 => Values::Bf16(Vec::with_capacity(room)),
        };
        Self { values, dimension }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        let values = match &self.values {
            Values::F32(values) => values.len(),
            Values::F16(values) => values.len(),
            Values::Bf16(values) => values.len(),
        };
        values / self.dimension
    }

    /// Adds rows of f32; those that come from half precision are stored exactly.
    pub(crate) fn extend(&mut self, rows: &[f32]) {
        match &mut self.values {
            Values::F32(values) => values.extend_from_slice(rows),
            Values::F16(values) => values.extend(rows.iter().map(|&value| f16::from_f32(value))),
            Values::Bf16(values) => values.extend(rows.iter().map(|&value| bf16::from_f32(value))),
        }
    }

    /// Adds rows from their bytes, as [`Self::copy_bytes`] gives them.
    pub(crate) fn extend_from_bytes(&mut self, bytes: &[u8]) {
        match &mut self.values {
            Values::F32(values) => values.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b))),
            Values::F16(values) => values.extend(bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b))),
            Values::Bf16(values) => values.extend(bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b))),
        }
    }

    /// Bytes of one row.
    pub(crate) fn width(&self) -> usize {
        self.dimension * if matches!(self.values, Values::F32(_)) { 4 } else { 2 }
    }

    /// Writes the bytes of one row.
    pub(crate) fn copy_bytes(&self, row: usize, out: &mut [u8]) {
        let range = row * self.dimension..(row + 1) * self.dimension;
        match &self.values {
            Values::F32(values) => copy(&values[range], out, f32::to_le_bytes),
            Values::F16(values) => copy(&values[range], out, f16::to_le_bytes),
            Values::Bf16(values) => copy(&values[range], out, bf16::to_le_bytes),
        }
    }

    /// Writes one row as f32.
    pub(crate) fn widen(&self, row: usize, out: &mut [f32]) {
        let range = row * self.dimension..(row + 1) * self.dimension;
        match &self.values {
            Values::F32(values) => out.copy_from_slice(&values[range]),
            Values::F16(values) => values[range].convert_to_f32_slice(out),
            Values::Bf16(values) => values[range].convert_to_f32_slice(out),
        }
    }

    /// One row as f32.
    pub(crate) fn row(&self, row: usize) -> Vec<f32> {
        let mut out = vec![0.0; self.dimension];
        self.widen(row, &mut out);
        out
    }

    /// Brings rows into an order, in place: one that takes each of them once.
    pub(crate) fn reorder(&mut self, order: &[u32]) {
        match &mut self.values {
            Values::F32(values) => reorder(values, self.dimension, order),
            Values::F16(values) => reorder(values, self.dimension, order),
            Values::Bf16(values) => reorder(values, self.dimension, order),
        }
    }

    /// As the solver takes them.
    pub(crate) fn points(&self) -> Points<'_> {
        match &self.values {
            Values::F32(values) => Points::new(values, self.dimension),
            Values::F16(values) => Points::new(values, self.dimension),
            Values::Bf16(values) => Points::new(values, self.dimension),
        }
    }
}

/// Follows each cycle of the order, with room for one row.
fn reorder<T: Copy>(values: &mut [T], d: usize, order: &[u32]) {
    let mut seen = vec![false; order.len()];
    for first in 0..order.len() {
        if std::mem::replace(&mut seen[first], true) || order[first] as usize == first {
            continue;
        }
        let room = values[first * d..(first + 1) * d].to_vec();
        let mut at = first;
        loop {
            let from = order[at] as usize;
            if from == first {
                values[at * d..(at + 1) * d].copy_from_slice(&room);
                break;
            }
            values.copy_within(from * d..(from + 1) * d, at * d);
            seen[from] = true;
            at = from;
        }
    }
}

fn copy<T: Copy, const N: usize>(values: &[T], out: &mut [u8], bytes: fn(T) -> [u8; N]) {
    out.as_chunks_mut().0.iter_mut().zip(values).for_each(|(out, &value)| *out = bytes(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_brought_into_any_order() {
        for element in [Element::F32, Element::F16, Element::Bf16] {
            let mut rows = Vectors::with_capacity(element, 2, 5);
            rows.extend(&[0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]);
            let order = [3, 1, 0, 2, 4];
            rows.reorder(&order);
            for (at, &from) in order.iter().enumerate() {
                assert_eq!(rows.row(at), [from as f32, from as f32 + 0.5]);
            }
            let mut bytes = vec![0; rows.width()];
            let mut again = Vectors::with_capacity(element, 2, 5);
            for row in 0..rows.len() {
                rows.copy_bytes(row, &mut bytes);
                again.extend_from_bytes(&bytes);
                assert_eq!(again.row(row), rows.row(row));
            }
        }
    }
}
