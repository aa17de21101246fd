//! Embeddings in a column of a table: lists of numbers.

use super::rows::{ElementType, NAMED_ROWS, NotFinite};
use crate::error::Error;
use crate::table::{ListFacts, Table, is_arrow};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Rows looked at for the first that is there.
const FIRST_ROWS: usize = 64;
/// Rows decoded at a time.
const BATCH_ROWS: usize = 4096;

/// A column of lists of one length.
#[derive(Debug, Clone)]
pub(crate) struct TableColumn {
    pub(crate) path: PathBuf,
    pub(crate) column: String,
    /// Its place in the schema.
    index: usize,
    pub(crate) element: ElementType,
    pub(crate) rows: usize,
    pub(crate) dimension: usize,
}

impl TableColumn {
    /// Opens the column `key`, or the only one that holds lists of numbers; returns its name too. Reads the footer, or
    /// heads of batches, and, where that does not tell how long the lists are, the first row.
    pub(crate) fn open(path: &Path, key: Option<&str>) -> Result<(Self, String), Error> {
        let table = Table::open_whole(path)?;
        let (schema, rows) = (table.schema().clone(), table.num_rows());
        let available: Vec<String> =
            schema.fields().iter().filter(|field| inner(field).is_some()).map(|field| field.name().clone()).collect();
        let name = match (key, available.as_slice()) {
            // Named by the first of what there is instead.
            (None, []) if !schema.fields().is_empty() => schema.field(0).name().clone(),
            (Some(key), _) if schema.column_with_name(key).is_some() => key.to_owned(),
            (None, [only]) => only.clone(),
            _ => {
                let all = || schema.fields().iter().map(|field| format!("{}: {}", field.name(), field.data_type()));
                let available = if available.is_empty() { all().collect() } else { available };
                return Err(Error::Key { path: path.to_path_buf(), key: key.map(ToOwned::to_owned), available });
            }
        };
        let (index, field) = schema.column_with_name(&name).unwrap_or_else(|| unreachable!("it was found by its name"));
        let refuse = |problem: String| Error::Column { path: path.to_path_buf(), column: name.clone(), problem };
        let element = inner(field)
            .and_then(|kind| element_of(&kind))
            .ok_or_else(|| {
                let wide = schema.fields().iter().filter(|field| field.data_type().is_numeric()).count();
                let hint = match wide {
                    0 | 1 => String::new(),
                    _ => format!(
                        "; {wide} columns have a number a row\nhint: in Python `numpy.save('x.npy', pandas.{}('{}')[NAMES].to_numpy())` makes rows of them",
                        if is_arrow(path) { "read_feather" } else { "read_parquet" },
                        path.display()
                    ),
                };
                refuse(format!("has type {}, expected a list of numbers{hint}", field.data_type()))
            })?;
        let ListFacts { values, may_miss } = table.list_facts(index)?;
        let mut column = Self { path: path.to_path_buf(), column: name.clone(), index, element, rows, dimension: 0 };
        column.dimension = match field.data_type() {
            DataType::FixedSizeList(_, length) => *length as usize,
            // Lists of other lengths that add up to as much are refused when they are read.
            _ if rows > 0 && values % rows as u64 == 0 && !may_miss => (values / rows as u64) as usize,
            _ => column.first_length()?,
        };
        // The type may tell of longer lists than there are.
        if rows.checked_mul(column.dimension).is_none_or(|expected| expected as u64 > values) {
            let dimension = column.dimension;
            column.refuse_missing()?;
            return Err(refuse(format!("has {values} numbers, expected {rows} lists of {dimension}")));
        }
        Ok((column, name))
    }

    /// Writes all values to `out`, `(rows * dimension,)`, as f32; less an origin, `(dimension,)`, if there is one.
    pub(crate) fn decode(&self, out: &mut [f32], origin: Option<&[f64]>) -> Result<NotFinite, Error> {
        self.decode_as(0..self.rows, out, origin)
    }

    /// Writes the values of some rows, as [`Self::decode`] does; those before them are passed over.
    pub(crate) fn decode_range(&self, rows: Range<usize>, out: &mut [f32]) -> Result<NotFinite, Error> {
        self.decode_as(rows, out, None)
    }

    fn decode_as(&self, rows: Range<usize>, out: &mut [f32], origin: Option<&[f64]>) -> Result<NotFinite, Error> {
        let mut bad = NotFinite::default();
        let mut row = 0;
        self.each_batch(BATCH_ROWS, rows.clone(), |lists| {
            for index in 0..lists.len() {
                let target = &mut out[row * self.dimension..(row + 1) * self.dimension];
                let list = self.list(lists, index, rows.start + row)?;
                match origin {
                    Some(origin) => {
                        for ((target, value), origin) in target.iter_mut().zip(self.wide(&list)).zip(origin) {
                            *target = (value - origin) as f32;
                        }
                    }
                    None => self.copy_list(&list, target),
                }
                bad.look_at(&self.path, row, target);
                row += 1;
            }
            Ok(true)
        })?;
        Ok(bad)
    }

    /// Where the bytes are that some rows are decoded from: their row groups' chunks of the column.
    pub(crate) fn byte_ranges(&self, rows: &Range<usize>) -> Result<Vec<Range<u64>>, Error> {
        Ok(Table::open_whole(&self.path)?.byte_ranges(&[self.index], rows)?.concat())
    }

    /// Hands over the first rows in f64.
    pub(crate) fn first_rows(&self, most: usize, mut take: impl FnMut(Vec<f64>)) -> Result<(), Error> {
        let mut row = 0;
        self.each_batch(BATCH_ROWS, 0..most.min(self.rows), |lists| {
            for index in 0..lists.len() {
                take(self.wide(&self.list(lists, index, row)?));
                row += 1;
            }
            Ok(true)
        })
    }

    fn first_length(&self) -> Result<usize, Error> {
        let mut length = 0;
        self.each_batch(FIRST_ROWS, 0..self.rows, |lists| {
            let first = (0..lists.len()).find(|&row| !lists.is_null(row)).and_then(|row| list_at(lists, row));
            length = first.as_ref().map_or(0, |list| list.len());
            Ok(first.is_none())
        })?;
        Ok(length)
    }

    /// Refuses rows without a list, all of them by their number.
    fn refuse_missing(&self) -> Result<(), Error> {
        let (mut rows, mut total, mut start) = (Vec::new(), 0, 0);
        self.each_batch(BATCH_ROWS, 0..self.rows, |lists| {
            let nulls: Vec<usize> = (0..lists.len()).filter(|&row| lists.is_null(row)).collect();
            total += nulls.len();
            rows.extend(nulls.into_iter().take(NAMED_ROWS - rows.len().min(NAMED_ROWS)).map(|row| start + row));
            start += lists.len();
            Ok(true)
        })?;
        if total == 0 {
            return Ok(());
        }
        Err(Error::MissingRows { path: self.path.clone(), column: self.column.clone(), rows, total })
    }

    fn each_batch(
        &self,
        size: usize,
        rows: Range<usize>,
        mut take: impl FnMut(&ArrayRef) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        for batch in Table::open_whole(&self.path)?.batches(Some(&[self.index]), rows, size)? {
            let batch = batch?;
            if !take(batch.column(0))? {
                break;
            }
        }
        Ok(())
    }

    fn list(&self, lists: &ArrayRef, index: usize, row: usize) -> Result<ArrayRef, Error> {
        let refuse =
            |problem: String| Err(Error::Column { path: self.path.clone(), column: self.column.clone(), problem });
        let list = if lists.is_null(index) { None } else { list_at(lists, index) };
        let Some(list) = list else {
            self.refuse_missing()?;
            return refuse(format!("has no list at row {row}, expected {} numbers", self.dimension));
        };
        if list.len() != self.dimension || list.null_count() > 0 {
            self.refuse_missing()?;
            let missing = if list.null_count() > 0 { ", some of them missing" } else { "" };
            return refuse(format!("has {} numbers at row {row}{missing}, expected {}", list.len(), self.dimension));
        }
        Ok(list)
    }

    fn copy_list(&self, list: &ArrayRef, target: &mut [f32]) {
        match self.element {
            ElementType::F16 => copy::<Float16Type>(list, target, |value| value.to_f32()),
            ElementType::F32 => copy::<Float32Type>(list, target, |value| value),
            ElementType::F64 => copy::<Float64Type>(list, target, |value| value as f32),
            ElementType::I8 => copy::<Int8Type>(list, target, f32::from),
            ElementType::U8 => copy::<UInt8Type>(list, target, f32::from),
            ElementType::I16 => copy::<Int16Type>(list, target, f32::from),
            ElementType::U16 => copy::<UInt16Type>(list, target, f32::from),
            ElementType::I32 => copy::<Int32Type>(list, target, |value| value as f32),
            _ => copy::<Int64Type>(list, target, |value| value as f32),
        }
    }

    /// A list in f64.
    fn wide(&self, list: &ArrayRef) -> Vec<f64> {
        match self.element {
            ElementType::F64 => list.as_primitive::<Float64Type>().values().to_vec(),
            ElementType::I32 => list.as_primitive::<Int32Type>().values().iter().map(|&value| value.into()).collect(),
            ElementType::I64 => list.as_primitive::<Int64Type>().values().iter().map(|&value| value as f64).collect(),
            _ => {
                let mut values = vec![0.0; list.len()];
                self.copy_list(list, &mut values);
                values.into_iter().map(f64::from).collect()
            }
        }
    }
}

/// The type of the numbers of a list column.
fn inner(field: &Field) -> Option<DataType> {
    match field.data_type() {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            element_of(item.data_type()).map(|_| item.data_type().clone())
        }
        _ => None,
    }
}

fn element_of(kind: &DataType) -> Option<ElementType> {
    Some(match kind {
        DataType::Float16 => ElementType::F16,
        DataType::Float32 => ElementType::F32,
        DataType::Float64 => ElementType::F64,
        DataType::Int8 => ElementType::I8,
        DataType::UInt8 => ElementType::U8,
        DataType::Int16 => ElementType::I16,
        DataType::UInt16 => ElementType::U16,
        DataType::Int32 => ElementType::I32,
        DataType::Int64 => ElementType::I64,
        _ => return None,
    })
}

fn list_at(lists: &ArrayRef, index: usize) -> Option<ArrayRef> {
    match lists.data_type() {
        DataType::List(_) => Some(lists.as_list::<i32>().value(index)),
        DataType::LargeList(_) => Some(lists.as_list::<i64>().value(index)),
        DataType::FixedSizeList(..) => Some(lists.as_fixed_size_list().value(index)),
        _ => None,
    }
}

fn copy<T: ArrowPrimitiveType>(list: &ArrayRef, target: &mut [f32], value: impl Fn(T::Native) -> f32) {
    for (target, &source) in target.iter_mut().zip(list.as_primitive::<T>().values()) {
        *target = value(source);
    }
}
