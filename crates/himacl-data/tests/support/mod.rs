//! What the tests of sets in files share.

use arrow_array::ArrayRef;
use arrow_array::builder::{Float32Builder, ListBuilder};
use himacl_data::{Embeddings, Error};
use std::path::Path;
use std::sync::Arc;

/// Three rows of two coordinates, or two of three.
pub(crate) const ROWS: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

/// All values of the set in a file.
pub(crate) fn read(path: &Path, key: Option<&str>) -> Result<Vec<f32>, Error> {
    Embeddings::open(path, key)?.to_vec()
}

/// [`ROWS`] as a column of lists of these lengths.
pub(crate) fn lists(lengths: &[usize]) -> ArrayRef {
    let mut builder = ListBuilder::new(Float32Builder::new());
    let mut values = ROWS.iter();
    for &length in lengths {
        values.by_ref().take(length).for_each(|&value| builder.values().append_value(value));
        builder.append(true);
    }
    Arc::new(builder.finish())
}
