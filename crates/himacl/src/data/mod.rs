//! See the crate's table of modules.

use crate::error::Error;
use crate::train::{Anchors, Dataset, Recipe};
use candle_core::{DType, Device, Tensor};
use std::path::Path;

/// Stand-in.
pub fn load_matrix(path: &Path, device: &Device) -> Result<Tensor, Error> {
    Ok(Tensor::read_npy(path)?.to_dtype(DType::F32)?.to_device(device)?)
}

/// Stand-in.
pub fn save_matrix(path: &Path, rows: &Tensor) -> Result<(), Error> {
    Ok(rows.write_npy(path)?)
}

/// Stand-in.
pub fn load_dataset(recipe: &Recipe, device: &Device) -> Result<Dataset, Error> {
    let anchors = match &recipe.data.anchors {
        Anchors::Count(_) => Vec::new(),
        Anchors::File(path) => Tensor::read_npy(path)?.to_dtype(DType::U32)?.to_vec2::<u32>()?.iter().map(|row| (row[0], row[1])).collect(),
    };
    let evaluation = match (&recipe.eval.source, &recipe.eval.target) {
        (Some(source), Some(target)) => Some((load_matrix(source, device)?, load_matrix(target, device)?)),
        _ => None,
    };
    Ok(Dataset { source: load_matrix(&recipe.data.source, device)?, target: load_matrix(&recipe.data.target, device)?, anchors, evaluation })
}
