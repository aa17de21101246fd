//! Costs of pairs on disk: a matrix as .npy, candidate pairs in a table or scipy's .npz; and one number for each item.

use super::npy::{self, Array};
use super::npz;
use super::rows::StoredRows;
use crate::error::{Error, NpyProblem};
use crate::table::Table;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array as _, ArrayRef};
use arrow_cast::cast;
use arrow_schema::DataType;
use std::path::Path;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 65_536;
/// Names of the columns of candidate pairs: ours, and those of `pairs.parquet`.
const COLUMNS: [[&str; 2]; 3] = [["i", "x_index"], ["j", "y_index"], ["cost", "cost"]];

/// A matrix of costs, `(n, m)`, in memory or a mapped file.
#[derive(Debug)]
pub struct CostMatrix {
    stored: StoredRows,
    /// Copied where the file's own order or type cannot be read as it lies.
    copy: Option<Vec<f64>>,
}

/// The values of a matrix, row by row.
#[derive(Debug, Clone, Copy)]
pub enum CostValues<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Double precision.
    F64(&'a [f64]),
}

impl CostMatrix {
    /// Opens an .npy file. float32 and float64 in C order stay where they are; other numbers and orders are copied once, as float64.
    ///
    /// # Errors
    /// [`Error::Npy`] for another array, [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let stored = npy::open_matrix(path)?;
        let copy = (stored.as_f32().is_none() && stored.as_f64().is_none()).then(|| stored.to_f64());
        Ok(Self { stored, copy })
    }

    /// Rows, n, and columns, m.
    pub fn shape(&self) -> [usize; 2] {
        [self.stored.rows, self.stored.dimension]
    }

    /// The values, row by row.
    pub fn values(&self) -> CostValues<'_> {
        if let Some(values) = self.stored.as_f32() {
            return CostValues::F32(values);
        }
        CostValues::F64(self.copy.as_deref().or(self.stored.as_f64()).unwrap_or(&[]))
    }
}

/// Candidate pairs with their costs.
#[derive(Debug, Default, PartialEq)]
pub struct CandidatePairs {
    /// Items of x and y; of a list, those up to the largest index.
    pub sizes: [usize; 2],
    /// x, y and cost of each pair.
    pub pairs: Vec<(u32, u32, f64)>,
}

/// Reads candidate pairs: a .parquet or .arrow file with the columns `i`, `j` (or `x_index`, `y_index`) and `cost`, or a sparse matrix of scipy's `save_npz` (csr
/// or coo), whose stored entries, zeros too, are the pairs.
///
/// # Errors
/// [`Error::Candidates`] naming what is missing or wrong; as the formats' readers.
pub fn read_candidates(path: &Path) -> Result<CandidatePairs, Error> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz")) {
        return read_npz(path);
    }
    read_table(path)
}

fn wrong(path: &Path, problem: impl Into<String>) -> Error {
    Error::Candidates { path: path.to_path_buf(), problem: problem.into() }
}

fn index(path: &Path, position: usize, value: i64) -> Result<u32, Error> {
    // The largest stands for "none" elsewhere.
    u32::try_from(value).ok().filter(|&index| index < u32::MAX / 2).ok_or_else(|| {
        wrong(path, format!("pair {position} has the index {value}, expected one from 0 below {}", u32::MAX / 2))
    })
}

fn read_table(path: &Path) -> Result<CandidatePairs, Error> {
    let table = Table::open_whole(path)?;
    let schema = table.schema().clone();
    let found = COLUMNS.map(|names| names.into_iter().find_map(|name| schema.column_with_name(name)).map(|(at, _)| at));
    let [Some(i), Some(j), Some(cost)] = found else {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        return Err(wrong(path, format!("has the columns {}, expected i, j, cost", names.join(", "))));
    };
    let mut all = CandidatePairs::default();
    let mut chosen = [i, j, cost];
    chosen.sort_unstable();
    for batch in table.batches(Some(&chosen), 0..table.num_rows(), BATCH_ROWS)? {
        let batch = batch?;
        let column = |at: usize, kind: &DataType| -> Result<ArrayRef, Error> {
            let column = batch.column(chosen.partition_point(|&chosen| chosen < at));
            let column = cast(column, kind).map_err(|error| wrong(path, format!("has no costs: {error}")))?;
            // What no longer fits has become a null.
            if column.null_count() > 0 {
                let name = schema.field(at).name();
                return Err(wrong(path, format!("column `{name}` has entries that are missing or no numbers")));
            }
            Ok(column)
        };
        let (i, j) = (column(i, &DataType::Int64)?, column(j, &DataType::Int64)?);
        let cost = column(cost, &DataType::Float64)?;
        let indices = i.as_primitive::<Int64Type>().values().iter().zip(j.as_primitive::<Int64Type>().values());
        for ((&i, &j), &cost) in indices.zip(cost.as_primitive::<Float64Type>().values()) {
            all.push(path, [i, j], cost)?;
        }
    }
    Ok(all)
}

impl CandidatePairs {
    fn push(&mut self, path: &Path, [i, j]: [i64; 2], cost: f64) -> Result<(), Error> {
        let at = self.pairs.len();
        let (i, j) = (index(path, at, i)?, index(path, at, j)?);
        self.sizes = [self.sizes[0].max(i as usize + 1), self.sizes[1].max(j as usize + 1)];
        self.pairs.push((i, j, cost));
        Ok(())
    }
}

fn read_npz(path: &Path) -> Result<CandidatePairs, Error> {
    let whole = |name: &str| -> Result<Vec<i64>, Error> {
        npz::open_array(path, name)?.integers().map_err(|problem| Error::Npy { path: path.to_path_buf(), problem })
    };
    let data = npz::open_array(path, "data")?;
    let data = data.floats().map_err(|problem| Error::Npy { path: path.to_path_buf(), problem })?;
    let shape = whole("shape")?;
    let &[n, m] = shape.as_slice() else {
        return Err(wrong(path, format!("has the shape {shape:?}, expected two sizes")));
    };
    let text = npz::open_array(path, "format")?.text();
    let (rows, columns) = match text.as_str() {
        "coo" => (whole("row")?, whole("col")?),
        "csr" => {
            let (offsets, columns) = (whole("indptr")?, whole("indices")?);
            let fits = offsets.len() as i64 - 1 == n
                && offsets.windows(2).all(|two| two[0] <= two[1])
                && (offsets.first(), offsets.last()) == (Some(&0), Some(&(columns.len() as i64)));
            if !fits {
                return Err(wrong(path, "has an `indptr` that does not fit its shape and entries"));
            }
            let counts = offsets.windows(2).map(|two| (two[1] - two[0]) as usize);
            (counts.zip(0..).flat_map(|(count, row)| std::iter::repeat_n(row, count)).collect(), columns)
        }
        other => return Err(wrong(path, format!("is stored as `{other}`, expected `csr` or `coo`"))),
    };
    if rows.len() != data.len() || columns.len() != data.len() {
        let (r, c, d) = (rows.len(), columns.len(), data.len());
        return Err(wrong(path, format!("has {r} rows, {c} columns and {d} values, expected as many of each")));
    }
    let mut all = CandidatePairs::default();
    for ((i, j), cost) in rows.into_iter().zip(columns).zip(data) {
        all.push(path, [i, j], cost)?;
    }
    let sizes = [index(path, 0, n)? as usize, index(path, 0, m)? as usize];
    if all.sizes[0] > sizes[0] || all.sizes[1] > sizes[1] {
        return Err(wrong(path, format!("has indices beyond its shape {shape:?}")));
    }
    Ok(CandidatePairs { sizes, ..all })
}

/// Reads one whole number for each item, `(n,)`, of any integer type: capacities or categories for example.
///
/// # Errors
/// [`Error::Npy`] for another array, [`Error::Io`].
pub fn read_npy_integers(path: &Path) -> Result<Vec<i64>, Error> {
    Array::open(path)?.integers().map_err(|problem| Error::Npy { path: path.to_path_buf(), problem })
}

/// Reads one whole number for each item, `(n,)`, of any integer type, as text: hashes for example, which may be too large for an i64.
///
/// # Errors
/// As [`read_npy_integers`].
pub fn read_npy_labels(path: &Path) -> Result<Vec<String>, Error> {
    Array::open(path)?.labels().map_err(|problem| Error::Npy { path: path.to_path_buf(), problem })
}

/// Reads one number for each item, `(n,)`, of any type: weights for example.
///
/// # Errors
/// [`Error::Npy`] for another array, [`Error::Io`].
pub fn read_npy_floats(path: &Path) -> Result<Vec<f64>, Error> {
    Array::open(path)?.floats().map_err(|problem: NpyProblem| Error::Npy { path: path.to_path_buf(), problem })
}
